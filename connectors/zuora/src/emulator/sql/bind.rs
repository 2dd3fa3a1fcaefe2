//! Gives names and literals of a query their meaning, with the engine's words where there is none.

use chrono::FixedOffset;
use chrono_tz::Tz;

use super::super::cell::{self, Cell};
use super::bound::{Bound, Filter};
use super::table::{Column, Type};
use super::tree::{Condition, Expression, Item, Literal, Name, Operator, Query};

/// Gives names and literals of a query their meaning.
pub(super) struct Binder<'a> {
    pub(super) query: &'a Query,
    pub(super) columns: Vec<Column>,
    pub(super) zone: Tz,
}

impl Binder<'_> {
    fn column(&self, name: &Name) -> Result<Bound, String> {
        let table = &self.query.table.text;
        let prefix = self.query.alias.as_ref().unwrap_or(table);
        let ours = name.prefix.is_empty() || name.prefix == [prefix.clone()];
        let found = self.columns.iter().find(|column| column.name == name.text);
        match found.filter(|_| ours) {
            Some(column) => Ok(Bound::Column(column.source.clone(), column.kind)),
            None => Err(format!(
                "{}: Column '{}' cannot be resolved",
                name.at,
                dotted(name)
            )),
        }
    }

    fn expression(&self, expression: &Expression) -> Result<Bound, String> {
        let inner = |inner: &Expression| self.expression(inner).map(Box::new);
        Ok(match expression {
            Expression::Column(name) => self.column(name)?,
            Expression::Literal(literal, at) => {
                let (value, kind) = self
                    .literal(literal)
                    .map_err(|problem| format!("{at}: {problem}"))?;
                Bound::Literal(value, kind)
            }
            Expression::AtTimezone(of, name, at) => {
                let of = inner(of)?;
                if !of.kind().meets(Type::Timestamp) || of.kind() == Type::Date {
                    let kind = of.kind().name();
                    return Err(format!(
                        "{at}: Unexpected parameters ({kind}, varchar) for function at_timezone. \
                         Expected: at_timezone(timestamp with time zone, varchar)"
                    ));
                }
                let zone =
                    cell::zone(name).ok_or_else(|| format!("Time zone not supported: {name}"))?;
                Bound::Zoned(of, zone)
            }
            Expression::CastText(of) => Bound::Text(inner(of)?),
            Expression::CountRows => Bound::CountRows,
            Expression::Count(of) => Bound::Count(inner(of)?),
            Expression::Min(of) => Bound::Min(inner(of)?),
            Expression::Max(of) => Bound::Max(inner(of)?),
        })
    }

    fn literal(&self, literal: &Literal) -> Result<(Cell, Type), String> {
        Ok(match literal {
            Literal::Null => (Cell::Null, Type::Unknown),
            Literal::Boolean(value) => (Cell::Boolean(*value), Type::Boolean),
            Literal::Text(text) => (Cell::Text(text.clone()), Type::Varchar),
            Literal::Date(date) => (Cell::Date(date.clone()), Type::Date),
            Literal::Number(digits) => {
                let kind = if digits.contains('.') {
                    Type::Decimal
                } else {
                    Type::Bigint
                };
                (Cell::Number(digits.clone()), kind)
            }
            Literal::Timestamp(local, zone) => {
                let zone = zone.as_deref();
                let offset = zone.and_then(|zone| zone.parse::<FixedOffset>().ok());
                let time = match (zone, offset) {
                    (_, Some(offset)) => {
                        let utc = local.checked_sub_offset(offset);
                        utc.and_then(|utc| cell::instant(utc, Tz::UTC))
                    }
                    (None, None) => cell::instant(*local, self.zone),
                    (Some(name), None) => {
                        cell::zone(name).and_then(|zone| cell::instant(*local, zone))
                    }
                };
                let time =
                    time.ok_or_else(|| format!("'{local}' is not a valid timestamp literal"))?;
                (Cell::Time(time, self.zone), Type::Timestamp)
            }
        })
    }

    pub(super) fn filter(&self, condition: &Condition) -> Result<Filter, String> {
        let all = |parts: &[Condition]| -> Result<Vec<Filter>, String> {
            parts.iter().map(|part| self.filter(part)).collect()
        };
        Ok(match condition {
            Condition::And(parts) => Filter::And(all(parts)?),
            Condition::Or(parts) => Filter::Or(all(parts)?),
            Condition::Not(inner) => Filter::Not(Box::new(self.filter(inner)?)),
            Condition::IsNull(of) => Filter::IsNull(self.plain(of)?),
            Condition::Holds(of, at) => {
                let truth = Literal::Boolean(true);
                let truth = Expression::Literal(truth, *at);
                let of = self.plain(of)?;
                if !of.kind().meets(Type::Boolean) {
                    let kind = of.kind().name();
                    return Err(format!(
                        "{at}: WHERE clause must evaluate to a boolean: actual type {kind}"
                    ));
                }
                Filter::Compare(of, Operator::Equal, self.plain(&truth)?)
            }
            Condition::Like(of, pattern) => {
                let of = self.plain(of)?;
                if !of.kind().meets(Type::Varchar) {
                    let kind = of.kind().name();
                    return Err(format!(
                        "Left side of LIKE expression must evaluate to a varchar (actual: {kind})"
                    ));
                }
                Filter::Like(of, pattern.chars().collect())
            }
            Condition::Compare(left, operator, right, at) => {
                let (left, right) = (self.plain(left)?, self.plain(right)?);
                let (one, other) = (left.kind(), right.kind());
                if !one.meets(other) {
                    return Err(format!(
                        "{at}: '{}' cannot be applied to {}, {}",
                        operator.name(),
                        one.name(),
                        other.name()
                    ));
                }
                Filter::Compare(left, *operator, right)
            }
            Condition::In(of, list, at) => {
                let one = |right: &Expression| {
                    let equal = Operator::Equal;
                    self.filter(&Condition::Compare(of.clone(), equal, right.clone(), *at))
                };
                Filter::Or(list.iter().map(one).collect::<Result<_, _>>()?)
            }
        })
    }

    /// An expression of a condition: over one row.
    fn plain(&self, expression: &Expression) -> Result<Bound, String> {
        let bound = self.expression(expression)?;
        if bound.aggregates() {
            return Err(
                "WHERE clause cannot contain aggregations, window functions or grouping operations"
                    .to_owned(),
            );
        }
        Ok(bound)
    }

    /// Names and expressions of the select list.
    pub(super) fn items(&self) -> Result<Vec<(String, Bound)>, String> {
        let mut all: Vec<(String, Bound)> = Vec::new();
        for item in &self.query.items {
            match item {
                Item::All => all.extend(self.columns.iter().map(|column| {
                    let bound = Bound::Column(column.source.clone(), column.kind);
                    (column.name.clone(), bound)
                })),
                Item::One { expression, alias } => {
                    let name = match (alias, expression) {
                        (Some(alias), _) => alias.clone(),
                        (None, Expression::Column(name)) => name.text.clone(),
                        (None, _) => format!("_col{}", all.len()),
                    };
                    all.push((name, self.expression(expression)?));
                }
            }
        }
        Ok(all)
    }

    /// A sort key: a number or a name of the select list, or an expression of its own.
    pub(super) fn key(
        &self,
        expression: &Expression,
        items: &[(String, Bound)],
    ) -> Result<Bound, String> {
        let item = match expression {
            Expression::Literal(Literal::Number(number), at) => {
                let number = number
                    .parse::<usize>()
                    .ok()
                    .and_then(|number| number.checked_sub(1));
                let item = number.and_then(|number| items.get(number));
                Some(item.ok_or_else(|| format!("{at}: ORDER BY position is not in select list"))?)
            }
            Expression::Column(name) if name.prefix.is_empty() => {
                items.iter().find(|(item, _)| *item == name.text)
            }
            _ => None,
        };
        match item {
            Some((_, bound)) => Ok(bound.clone()),
            None => self.expression(expression),
        }
    }
}

fn dotted(name: &Name) -> String {
    let mut parts = name.prefix.clone();
    parts.push(name.text.clone());
    parts.join(".")
}
