//! Export ZOQL with meaning: names become fields, literals get the types of their fields.
//!
//! What a tenant's user may not name is not there: the causes of refusals are the service's own.

use std::collections::BTreeSet;

use overlock_core::Timestamp;

use super::model::{Field, Kind, Object};
use super::options::names;
use super::pacific;
use super::world::World;
use super::zoql::{Condition, Function, Item, Operand, Operator, Query};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Own(String),
    /// The key of a parent, which the row itself names.
    Key(String),
    /// A field of a parent.
    Parent {
        relation: String,
        object: String,
        field: String,
    },
    /// A number that was computed.
    Computed(usize),
}

/// A selected column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) source: Source,
    pub(super) kind: Kind,
    /// The object or the relation.
    pub(super) owner: String,
    /// The field as Describe spells it.
    pub(super) name: String,
    /// The field as headers spell it.
    pub(super) header: String,
    pub(super) alias: Option<String>,
}

/// A query that is ready to run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// In the canonical spelling.
    pub(super) object: String,
    pub(super) columns: Vec<Column>,
    pub(super) filter: Option<Filter>,
    /// The only columns, if there are any.
    pub(super) aggregates: Vec<(Function, Option<Source>)>,
    /// Sort keys, and whether descending.
    pub(super) order: Vec<(Source, bool)>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
    /// A relation that fails the whole job was joined.
    pub(super) poisonous: bool,
}

/// A condition whose names and literals are checked.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare {
        source: Source,
        operator: Operator,
        literal: Literal,
    },
    Null {
        source: Source,
        not: bool,
    },
}

/// What is compared with, in the type of the field.
#[derive(Debug, Clone)]
pub(super) enum Literal {
    Text(String),
    Number(String),
    Boolean(bool),
    /// First and last second.
    Span(i64, i64),
    Date(String),
    Source(Source),
    Null,
}

/// The tenant at an instant, for one who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'w> {
    pub(super) world: &'w World,
    pub(super) at: Timestamp,
    pub(super) entity: Option<usize>,
}

/// What a query may name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Fields, as `Object.Field`, that are refused.
    pub(super) unknown_fields: &'a [String],
    /// Objects are looked for among those of the legacy export instead of AQuA.
    pub(super) data_source: bool,
}

/// The cause of a refusal when an object is not known.
pub(super) fn no_object(name: &str) -> String {
    format!("There is no object named {name}")
}

fn no_field(name: &str) -> String {
    format!("There is no field named {name}")
}

struct Binder<'a> {
    view: View<'a>,
    rules: Rules<'a>,
    object: &'a Object,
    poisonous: bool,
}

/// Gives a query its meaning at an instant; the error is a sentence.
pub(super) fn bind(query: &Query, view: View<'_>, rules: Rules<'_>) -> Result<Plan, String> {
    let object = find(view.world, &query.object)
        .filter(|object| {
            if rules.data_source {
                object.data_source
            } else {
                object.aqua
            }
        })
        .ok_or_else(|| no_object(&query.object))?;
    let mut binder = Binder {
        view,
        rules,
        object,
        poisonous: false,
    };
    let mut columns = Vec::new();
    let mut aggregates = Vec::new();
    for item in &query.select {
        match item {
            Item::All => columns.extend(binder.every(object, None)),
            Item::AllOf(name) => columns.extend(binder.every_of(name)?),
            Item::Field { name, alias } => {
                let mut column = binder.column(name)?;
                column.alias.clone_from(alias);
                columns.push(column);
            }
            Item::Aggregate {
                function,
                name,
                alias,
            } => {
                let of = name
                    .as_deref()
                    .map(|name| binder.column(name))
                    .transpose()?;
                let number = *function == Function::Count || *function == Function::Sum;
                let shown = of.as_ref().map_or("*", |column| column.name.as_str());
                let called = format!("{function:?}({shown})").to_lowercase();
                columns.push(Column {
                    source: Source::Computed(aggregates.len()),
                    kind: of
                        .as_ref()
                        .filter(|_| !number)
                        .map_or(Kind::Decimal, |column| column.kind),
                    owner: object.name.clone(),
                    name: called.clone(),
                    header: called,
                    alias: alias.clone(),
                });
                aggregates.push((*function, of.map(|column| column.source)));
            }
        }
    }
    if !aggregates.is_empty() && aggregates.len() < columns.len() {
        return Err("A field stands next to an aggregate without group by".to_owned());
    }
    let mut seen = BTreeSet::new();
    for column in &columns {
        if !seen.insert((&column.source, &column.alias)) {
            return Err(format!("Duplicate column {}.{}", column.owner, column.name));
        }
    }
    let filter = query
        .filter
        .as_ref()
        .map(|condition| binder.filter(condition))
        .transpose()?;
    let mut order = Vec::new();
    for (name, descending) in &query.order {
        order.push((binder.column(name)?.source, *descending));
    }
    Ok(Plan {
        object: object.name.clone(),
        columns,
        filter,
        aggregates,
        order,
        limit: query.limit,
        offset: query.offset,
        poisonous: binder.poisonous,
    })
}

/// An object by its name; order lines have a name in the singular and one in the plural.
pub(super) fn find<'w>(world: &'w World, name: &str) -> Option<&'w Object> {
    world.object(name).or_else(|| {
        let other = match name.strip_suffix('s') {
            Some(singular) => singular.to_owned(),
            None => format!("{name}s"),
        };
        world
            .object(&other)
            .filter(|_| other.to_ascii_lowercase().starts_with("orderlineitem"))
    })
}

impl<'a> Binder<'a> {
    fn usable(&self, object: &Object, field: &Field) -> bool {
        field.selectable
            && field.export
            && field.exists(self.view.at)
            && !names(
                self.rules.unknown_fields,
                &format!("{}.{}", object.name, field.name),
            )
    }

    fn every(&self, object: &Object, relation: Option<&str>) -> Vec<Column> {
        let fields = object.fields.iter();
        fields
            .filter(|field| self.usable(object, field))
            .map(|field| column_of(object, relation, field))
            .collect()
    }

    fn every_of(&mut self, name: &str) -> Result<Vec<Column>, String> {
        if name.eq_ignore_ascii_case(&self.object.name) {
            return Ok(self.every(self.object, None));
        }
        let (relation, parent) = self.relation(name, &format!("{name}.*"))?;
        Ok(self.every(parent, Some(&relation)))
    }

    fn relation(&mut self, name: &str, whole: &str) -> Result<(String, &'a Object), String> {
        let related = self.object.relation(name).ok_or_else(|| no_field(whole))?;
        self.poisonous |= related.poisonous;
        let parent = find(self.view.world, &related.object).ok_or_else(|| no_field(whole))?;
        Ok((related.name.clone(), parent))
    }

    fn column(&mut self, name: &str) -> Result<Column, String> {
        let (owner, field) = match name.rsplit_once('.') {
            Some((owner, field)) if !owner.eq_ignore_ascii_case(&self.object.name) => {
                (Some(owner), field)
            }
            Some((_, field)) => (None, field),
            None => (None, name),
        };
        let Some(owner) = owner else {
            let known = self.object.field(field);
            let known = known.filter(|field| self.usable(self.object, field));
            let known = known.ok_or_else(|| no_field(field))?;
            return Ok(column_of(self.object, None, known));
        };
        let related = self.object.relation(owner).ok_or_else(|| no_field(name))?;
        self.poisonous |= related.poisonous;
        if field.eq_ignore_ascii_case("Id") {
            return Ok(Column {
                source: Source::Key(related.name.clone()),
                kind: Kind::Text,
                owner: related.name.clone(),
                name: "Id".to_owned(),
                header: "Id".to_owned(),
                alias: None,
            });
        }
        let relation = related.name.clone();
        let parent = find(self.view.world, &related.object).ok_or_else(|| no_field(name))?;
        let known = parent.field(field);
        let known = known.filter(|field| self.usable(parent, field));
        let known = known.ok_or_else(|| no_field(name))?;
        Ok(column_of(parent, Some(&relation), known))
    }

    fn filter(&mut self, condition: &Condition) -> Result<Filter, String> {
        let mut several = |parts: &[Condition]| -> Result<Vec<Filter>, String> {
            parts.iter().map(|part| self.filter(part)).collect()
        };
        Ok(match condition {
            Condition::And(parts) => Filter::And(several(parts)?),
            Condition::Or(parts) => Filter::Or(several(parts)?),
            Condition::Not(inner) => Filter::Not(Box::new(self.filter(inner)?)),
            Condition::Null { name, not } => Filter::Null {
                source: self.column(name)?.source,
                not: *not,
            },
            Condition::Compare {
                name,
                operator,
                operand,
            } => {
                let column = self.column(name)?;
                if *operand == Operand::Null
                    && matches!(operator, Operator::Equal | Operator::NotEqual)
                {
                    return Ok(Filter::Null {
                        source: column.source,
                        not: *operator == Operator::NotEqual,
                    });
                }
                let literal = match operand {
                    Operand::Field(other) => Literal::Source(self.column(other)?.source),
                    operand => literal(column.kind, operand, self.view.at)
                        .ok_or_else(|| format!("Invalid value for the field {name}"))?,
                };
                Filter::Compare {
                    source: column.source,
                    operator: *operator,
                    literal,
                }
            }
        })
    }
}

fn column_of(object: &Object, relation: Option<&str>, field: &Field) -> Column {
    let source = match relation {
        None => Source::Own(field.name.clone()),
        Some(relation) if field.name == "Id" => Source::Key(relation.to_owned()),
        Some(relation) => Source::Parent {
            relation: relation.to_owned(),
            object: object.name.clone(),
            field: field.name.clone(),
        },
    };
    Column {
        source,
        kind: field.kind,
        owner: relation.unwrap_or(&object.name).to_owned(),
        name: field.name.clone(),
        header: field.header.clone().unwrap_or_else(|| field.name.clone()),
        alias: None,
    }
}

fn literal(kind: Kind, operand: &Operand, now: Timestamp) -> Option<Literal> {
    let text = match operand {
        Operand::Text(text) | Operand::Number(text) => text.clone(),
        Operand::Boolean(value) => value.to_string(),
        Operand::Null => return Some(Literal::Null),
        Operand::Field(_) => return None,
    };
    Some(match kind {
        Kind::DateTime => {
            let (first, last) = pacific::span(&text, now)?;
            Literal::Span(first, last)
        }
        Kind::Date => {
            let date = pacific::date_of(&text);
            let date = date.or_else(|| pacific::day(pacific::span(&text, now)?.0))?;
            Literal::Date(date.to_string())
        }
        Kind::Boolean => Literal::Boolean(match text.to_ascii_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return None,
        }),
        Kind::Integer | Kind::Decimal | Kind::CapitalDecimal | Kind::Number => {
            is_number(&text).then_some(Literal::Number(text))?
        }
        _ => Literal::Text(text),
    })
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.matches('.').count() < 2
}
