//! SOQL with meaning: names become fields, literals get the types of their fields, rows are picked.
//!
//! Comparisons follow the service: instants count in whole seconds, text without case, ids by their first
//! 15 characters, numbers as exact decimals.

use std::cmp::Ordering;
use std::sync::Arc;

use overlock_core::Timestamp;

use super::answer::{Answer, Refusal};
use super::model::{Field, FieldKind, Object, Row, Value, canonical_number};
use super::schema::id18;
use super::soql::{self, Condition, Literal, Name, Operator, Query, Select};
use super::world::World;

/// One selected column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Own(Box<Field>),
    /// A field of the record that a reference points at, such as `Owner.Name`.
    Parent {
        relationship: String,
        reference: Box<Field>,
        name: String,
    },
}

impl Column {
    /// Its name in a CSV header.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Own(field) => field.name.clone(),
            Self::Parent {
                relationship, name, ..
            } => format!("{relationship}.{name}"),
        }
    }
}

/// A condition whose names and literals are checked.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare {
        column: Column,
        operator: Operator,
        literals: Vec<Literal>,
    },
}

/// A query that is ready to run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) object: Arc<Object>,
    pub(super) columns: Vec<Column>,
    pub(super) count_only: bool,
    pub(super) filter: Option<Filter>,
    order: Vec<(Column, bool, bool)>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

impl Plan {
    /// Whether the client asked for an order or a limit.
    pub(super) fn is_ordered(&self) -> bool {
        !self.order.is_empty() || self.limit.is_some()
    }

    /// Width of the window over the replication key in days; `None` if a side is open.
    pub(super) fn window_days(&self) -> Option<u64> {
        let mut lower = None;
        let mut upper = None;
        if let Some(filter) = &self.filter {
            window(filter, &mut lower, &mut upper);
        }
        let seconds: i64 = upper?.checked_sub(lower?)?;
        u64::try_from(seconds).ok().map(|seconds| seconds / 86_400)
    }
}

fn window(filter: &Filter, lower: &mut Option<i64>, upper: &mut Option<i64>) {
    match filter {
        Filter::And(parts) => parts.iter().for_each(|part| window(part, lower, upper)),
        Filter::Compare {
            operator, literals, ..
        } => {
            if let Some(Literal::DateTime(seconds)) = literals.first() {
                match operator {
                    Operator::Greater | Operator::GreaterOrEqual => *lower = Some(*seconds),
                    Operator::Less | Operator::LessOrEqual => *upper = Some(*seconds),
                    _ => {}
                }
            }
        }
        Filter::Or(_) | Filter::Not(_) => {}
    }
}

/// Turns a parsed query into a plan over the schema of `at`.
pub(super) fn bind(text: &str, query: &Query, world: &World, at: Timestamp) -> Answer<Plan> {
    let Some(object) = world.object_at(&query.object.text, at) else {
        let problem = Refusal::invalid_type(&query.object.text);
        let message = soql::at_position(text, query.object.at, &problem.message);
        return Err(Refusal::new(400, "INVALID_TYPE", message));
    };
    bind_to(text, query, world, object, at)
}

/// Turns a parsed query into a plan over a given object.
pub(super) fn bind_to(
    text: &str,
    query: &Query,
    world: &World,
    object: Arc<Object>,
    at: Timestamp,
) -> Answer<Plan> {
    let binder = Binder {
        text,
        world,
        object: &object,
        at,
    };
    let mut columns: Vec<Column> = Vec::new();
    match &query.select {
        Select::Count => {}
        Select::All => {
            if query.limit.is_none_or(|limit| limit > 200) {
                return Err(Refusal::malformed(soql::at_position(
                    text,
                    query.object.at,
                    "The SOQL FIELDS function must have a LIMIT of at most 200",
                )));
            }
            columns.extend(object.fields.iter().cloned().map(Box::new).map(Column::Own));
        }
        Select::Fields(names) => {
            for name in names {
                let column = binder.column(name)?;
                if columns.contains(&column) {
                    return Err(Refusal::new(
                        400,
                        "INVALID_FIELD",
                        format!("duplicate field selected: {}", name.text),
                    ));
                }
                columns.push(column);
            }
        }
    }
    let filter = query.filter.as_ref().map(|filter| binder.filter(filter));
    let filter = filter.transpose()?;
    let mut order = Vec::new();
    for key in &query.order {
        let column = binder.column(&key.name)?;
        if matches!(&column, Column::Own(field) if !field.sortable) {
            return Err(binder.field_refused(&key.name, "sorted"));
        }
        order.push((column, key.descending, key.nulls_first));
    }
    let offset = query.offset.unwrap_or(0);
    if offset > 2_000 {
        return Err(Refusal::new(
            400,
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Maximum SOQL offset allowed is 2000",
        ));
    }
    Ok(Plan {
        count_only: query.select == Select::Count,
        columns,
        filter,
        order,
        limit: query.limit,
        offset,
        object,
    })
}

struct Binder<'a> {
    text: &'a str,
    world: &'a World,
    object: &'a Object,
    at: Timestamp,
}

impl Binder<'_> {
    fn column(&self, name: &Name) -> Answer<Column> {
        // `Account.Name` over Account is a long spelling of `Name`.
        let bare = match name.text.split_once('.') {
            Some((object, field)) if object.eq_ignore_ascii_case(&self.object.name) => field,
            _ => &name.text,
        };
        let Some((relationship, field)) = bare.split_once('.') else {
            let field = self
                .object
                .field(bare)
                .ok_or_else(|| self.no_column(name, bare))?;
            return Ok(Column::Own(Box::new(field.clone())));
        };
        let reference = self.object.fields.iter().find(|field| {
            let known = field.relationship.as_deref().unwrap_or_default();
            known.eq_ignore_ascii_case(relationship)
        });
        let Some(reference) = reference else {
            let problem = format!(
                "Didn't understand relationship '{relationship}' in field path. If you are attempting to use a \
                 custom relationship, be sure to append the '__r' after the custom relationship name. Please \
                 reference your WSDL or the describe call for the appropriate names."
            );
            let message = soql::at_position(self.text, name.at, &problem);
            return Err(Refusal::invalid_field(message));
        };
        let parents = reference.reference_to.iter();
        let found = parents
            .filter_map(|parent| self.world.object_at(parent, self.at))
            .find_map(|parent| parent.field(field).map(|field| field.name.clone()));
        let name = found.ok_or_else(|| self.no_column(name, field))?;
        Ok(Column::Parent {
            relationship: reference.relationship.clone().unwrap_or_default(),
            reference: Box::new(reference.clone()),
            name,
        })
    }

    fn no_column(&self, name: &Name, field: &str) -> Refusal {
        let problem = format!(
            "No such column '{field}' on entity '{}'. If you are attempting to use a custom field, be sure to append \
             the '__c' after the custom field name. Please reference your WSDL or the describe call for the \
             appropriate names.",
            self.object.name
        );
        Refusal::invalid_field(soql::at_position(self.text, name.at, &problem))
    }

    fn field_refused(&self, name: &Name, what: &str) -> Refusal {
        let problem = format!("field '{}' can not be {what} in a query call", name.text);
        Refusal::invalid_field(soql::at_position(self.text, name.at, &problem))
    }

    fn filter(&self, condition: &Condition) -> Answer<Filter> {
        let all = |parts: &[Condition]| {
            parts
                .iter()
                .map(|part| self.filter(part))
                .collect::<Answer<Vec<Filter>>>()
        };
        Ok(match condition {
            Condition::And(parts) => Filter::And(all(parts)?),
            Condition::Or(parts) => Filter::Or(all(parts)?),
            Condition::Not(inner) => Filter::Not(Box::new(self.filter(inner)?)),
            Condition::Compare {
                name,
                operator,
                literals,
            } => {
                let column = self.column(name)?;
                let mut literals = literals.clone();
                if let Column::Own(field) = &column {
                    if !field.filterable {
                        return Err(self.field_refused(name, "filtered"));
                    }
                    for literal in &mut literals {
                        self.check(name, field, *operator, literal)?;
                    }
                }
                Filter::Compare {
                    column,
                    operator: *operator,
                    literals,
                }
            }
        })
    }

    /// Refuses a literal of the wrong type and brings ids to 18 characters.
    fn check(
        &self,
        name: &Name,
        field: &Field,
        operator: Operator,
        literal: &mut Literal,
    ) -> Answer<()> {
        let (wanted, fits, quoted) = match field.kind {
            FieldKind::Datetime => ("dateTime", matches!(literal, Literal::DateTime(_)), false),
            FieldKind::Date => ("date", matches!(literal, Literal::Date(_)), false),
            FieldKind::Int | FieldKind::Long => {
                ("int", matches!(literal, Literal::Number(_)), false)
            }
            FieldKind::Double | FieldKind::Currency | FieldKind::Percent => {
                ("double", matches!(literal, Literal::Number(_)), false)
            }
            FieldKind::Boolean => ("boolean", matches!(literal, Literal::Bool(_)), false),
            FieldKind::Time => ("time", true, false),
            _ => ("string", matches!(literal, Literal::Text(_)), true),
        };
        if *literal != Literal::Null && !fits {
            let advice = if quoted { "should" } else { "should not" };
            let problem = format!(
                "value of filter criterion for field '{}' must be of type {wanted} and {advice} be enclosed in quotes",
                field.name
            );
            let message = soql::at_position(self.text, name.at, &problem);
            return Err(Refusal::invalid_field(message));
        }
        if matches!(field.kind, FieldKind::Id | FieldKind::Reference)
            && operator != Operator::Like
            && let Literal::Text(id) = literal
        {
            let well_formed = match id.len() {
                15 => id.chars().all(|c| c.is_ascii_alphanumeric()),
                18 => id.get(..15).is_some_and(|short| id18(short) == *id),
                _ => false,
            };
            if !well_formed {
                return Err(Refusal::new(
                    400,
                    "INVALID_QUERY_FILTER_OPERATOR",
                    soql::at_position(self.text, name.at, &format!("invalid ID field: {id}")),
                ));
            }
        }
        Ok(())
    }
}

/// Reads values of columns at an instant.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) world: &'a World,
    pub(super) at: Timestamp,
}

impl Reader<'_> {
    pub(super) fn value(&self, row: &Row, column: &Column) -> Value {
        match column {
            Column::Own(field) => self.world.value(row, field, self.at),
            Column::Parent {
                reference, name, ..
            } => match self.parent(row, reference) {
                Some((object, parent)) => self.world.value_by_name(&object, &parent, name, self.at),
                None => Value::Null,
            },
        }
    }

    /// The record a reference points at, and its object.
    pub(super) fn parent(&self, row: &Row, reference: &Field) -> Option<(String, Row)> {
        let id = self.world.value(row, reference, self.at);
        let id = id.as_text()?;
        reference.reference_to.iter().find_map(|object| {
            let parent = self.world.row_at(object, id, self.at)?;
            Some((object.clone(), parent))
        })
    }

    pub(super) fn passes(&self, row: &Row, filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) => parts.iter().all(|part| self.passes(row, part)),
            Filter::Or(parts) => parts.iter().any(|part| self.passes(row, part)),
            Filter::Not(inner) => !self.passes(row, inner),
            Filter::Compare {
                column,
                operator,
                literals,
            } => {
                let value = self.value(row, column);
                let by_id = matches!(column, Column::Own(field)
                    if matches!(field.kind, FieldKind::Id | FieldKind::Reference));
                holds(&value, *operator, literals, by_id)
            }
        }
    }

    /// The rows of a plan, in order: filtered, sorted, limited.
    pub(super) fn rows(&self, plan: &Plan, rows: Vec<Row>, all: bool) -> Vec<Row> {
        let archived = plan.object.field("IsArchived");
        let mut rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| {
                let hidden = row.version.is_deleted
                    || archived
                        .is_some_and(|field| *row.version.get(field.slot) == Value::Bool(true));
                (all || !hidden)
                    && plan
                        .filter
                        .as_ref()
                        .is_none_or(|filter| self.passes(row, filter))
            })
            .collect();
        if !plan.order.is_empty() {
            let mut keyed: Vec<(Vec<Value>, Row)> = rows
                .into_iter()
                .map(|row| {
                    let keys = plan
                        .order
                        .iter()
                        .map(|key| self.value(&row, &key.0))
                        .collect();
                    (keys, row)
                })
                .collect();
            keyed.sort_by(|left, right| {
                let pairs = left.0.iter().zip(&right.0).zip(&plan.order);
                pairs
                    .map(|((left, right), key)| sort_order(left, right, key.1, key.2))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            });
            rows = keyed.into_iter().map(|(_, row)| row).collect();
        }
        let offset = usize::try_from(plan.offset).unwrap_or(usize::MAX);
        let limit = plan.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        rows.into_iter().skip(offset).take(limit).collect()
    }
}

fn sort_order(left: &Value, right: &Value, descending: bool, nulls_first: bool) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = match (left, right) {
                (Value::Int(left), Value::Int(right)) => left.cmp(right),
                (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
                (Value::DateTime(left), Value::DateTime(right)) => left.cmp(right),
                (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
                (Value::Text(left), Value::Text(right)) => {
                    // Ids sort by bytes; other text without case, ties by bytes.
                    if left.len() == 18 && right.len() == 18 {
                        left.cmp(right)
                    } else {
                        left.to_lowercase()
                            .cmp(&right.to_lowercase())
                            .then(left.cmp(right))
                    }
                }
                (left, right) => left.canonical().cmp(&right.canonical()),
            };
            if descending { order.reverse() } else { order }
        }
    }
}

/// Whether a comparison holds for a value.
pub(super) fn holds(value: &Value, operator: Operator, literals: &[Literal], by_id: bool) -> bool {
    let equal = |literal: &Literal| match literal {
        Literal::Null => value.is_null(),
        // A null boolean counts as false.
        Literal::Bool(false) if value.is_null() => true,
        literal => compare(value, literal, by_id) == Some(Ordering::Equal),
    };
    let order = || {
        literals
            .first()
            .and_then(|literal| compare(value, literal, by_id))
    };
    match operator {
        Operator::Equal | Operator::In => literals.iter().any(equal),
        Operator::NotEqual | Operator::NotIn => !literals.iter().any(equal),
        Operator::Less => order() == Some(Ordering::Less),
        Operator::Greater => order() == Some(Ordering::Greater),
        Operator::LessOrEqual => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
        Operator::GreaterOrEqual => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
        Operator::Like => match (value, literals.first()) {
            (Value::Text(text), Some(Literal::Text(pattern))) => {
                let text: Vec<char> = text.to_lowercase().chars().collect();
                let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
                like(&text, &pattern)
            }
            _ => false,
        },
    }
}

fn compare(value: &Value, literal: &Literal, by_id: bool) -> Option<Ordering> {
    Some(match (value, literal) {
        (Value::DateTime(time), Literal::DateTime(seconds)) => time.seconds().cmp(seconds),
        (Value::Date(date), Literal::Date(literal)) => date.as_ref().cmp(literal.as_str()),
        (Value::Bool(value), Literal::Bool(literal)) => value.cmp(literal),
        (Value::Int(value), Literal::Number(literal)) => {
            compare_numbers(&value.to_string(), literal)
        }
        (Value::Number(value), Literal::Number(literal)) => compare_numbers(value, literal),
        (Value::Text(text), Literal::Text(literal)) if by_id => {
            let short = |id: &str| id.get(..15).unwrap_or(id).to_owned();
            short(text).cmp(&short(literal))
        }
        (Value::Text(text), Literal::Text(literal)) => {
            text.to_lowercase().cmp(&literal.to_lowercase())
        }
        (Value::Time(time), Literal::Text(literal)) => time.as_ref().cmp(literal.as_str()),
        _ => return None,
    })
}

/// Compares two numbers by their exact decimal value.
pub(super) fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (canonical_number(left), canonical_number(right));
    match (left.strip_prefix('-'), right.strip_prefix('-')) {
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (None, None) => compare_digits(&left, &right),
        (Some(left), Some(right)) => compare_digits(right, left),
    }
}

fn compare_digits(left: &str, right: &str) -> Ordering {
    let parts = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        (whole.len(), whole.to_owned(), fraction.to_owned())
    };
    parts(left).cmp(&parts(right))
}

/// SQL's LIKE: `%` any characters, `_` one, a backslash takes the next as it is.
fn like(text: &[char], pattern: &[char]) -> bool {
    // Positions after the newest `%`, to come back to: keeps the time within text times pattern.
    let (mut at, mut in_pattern) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let matched = match (pattern.get(in_pattern), text.get(at)) {
            (None, None) => return true,
            (Some('%'), _) => {
                in_pattern += 1;
                back = Some((at, in_pattern));
                continue;
            }
            (Some('\\'), Some(character)) if pattern.get(in_pattern + 1) == Some(character) => {
                Some(2)
            }
            (Some('_'), Some(_)) => Some(1),
            (Some(wanted), Some(character)) if wanted == character => Some(1),
            _ => None,
        };
        match (matched, back) {
            (Some(width), _) => {
                at += 1;
                in_pattern += width;
            }
            (None, Some((from, after))) if from < text.len() => {
                at = from + 1;
                in_pattern = after;
                back = Some((at, after));
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_not_by_text() {
        for (left, right, expected) in [
            ("9", "10", Ordering::Less),
            ("1.0E7", "10000000", Ordering::Equal),
            ("-2", "1", Ordering::Less),
            ("-2", "-10", Ordering::Greater),
            ("0.10", "0.1", Ordering::Equal),
            ("-0.0", "0", Ordering::Equal),
            (
                "123456789012345678.1",
                "123456789012345678.2",
                Ordering::Less,
            ),
        ] {
            assert_eq!(compare_numbers(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn like_knows_its_two_wildcards() {
        for (text, pattern, expected) in [
            ("acme", "a%", true),
            ("acme", "%m_", true),
            ("acme", "a_me", true),
            ("acme", "a_e", false),
            ("a%b", "a\\%b", true),
            ("axb", "a\\%b", false),
            ("", "%", true),
            ("aXbXd", "%b%c", false),
            ("axbxc", "%b%c", true),
        ] {
            let text: Vec<char> = text.chars().collect();
            let pattern: Vec<char> = pattern.chars().collect();
            assert_eq!(like(&text, &pattern), expected, "{text:?} {pattern:?}");
        }
    }

    #[test]
    fn comparisons_with_null_follow_the_service() {
        let null = Value::Null;
        let text = [Literal::Text("x".to_owned())];
        assert!(!holds(&null, Operator::Equal, &text, false));
        assert!(holds(&null, Operator::NotEqual, &text, false));
        assert!(!holds(&null, Operator::Less, &text, false));
        assert!(holds(&null, Operator::Equal, &[Literal::Null], false));
        assert!(holds(
            &null,
            Operator::Equal,
            &[Literal::Bool(false)],
            false
        ));
    }

    #[test]
    fn instants_compare_in_whole_seconds_and_ids_by_fifteen_characters() {
        let time = Value::DateTime(Timestamp::from_micros(1_000_999_999).unwrap());
        assert!(holds(
            &time,
            Operator::Equal,
            &[Literal::DateTime(1_000)],
            false
        ));
        let id = Value::text("001Ov0000000001AAA");
        let short = [Literal::Text("001Ov0000000001".to_owned())];
        assert!(holds(&id, Operator::Equal, &short, true));
        assert!(!holds(&id, Operator::Greater, &short, true));
    }
}
