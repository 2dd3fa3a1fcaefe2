//! Runs queries over the tenant as it stands at an instant.
//!
//! Nulls make a comparison unknown, as in SQL: neither it nor its contrary lets a row through.

use std::borrow::Cow;
use std::cmp::Ordering;

use overlock_core::Timestamp;

use super::model::{Row, Value};
use super::plan::{Filter, Literal, Plan, Source, View};
use super::zoql::{Function, Operator};

/// What a query found.
#[derive(Debug)]
pub(super) enum Found<'w> {
    Rows(Vec<&'w Row>),
    /// The one row of a query of aggregates.
    Computed(Vec<Value>),
}

/// The value of a column in a row.
pub(super) fn value<'w>(view: View<'w>, row: &'w Row, source: &Source) -> Cow<'w, Value> {
    match source {
        Source::Own(field) => Cow::Borrowed(row.value(field)),
        Source::Key(relation) => match key(row, relation) {
            Some(id) => Cow::Owned(Value::Text(id.to_owned())),
            None => Cow::Owned(Value::Null),
        },
        Source::Parent {
            relation,
            object,
            field,
        } => key(row, relation)
            .and_then(|id| view.world.row(object, id, view.at))
            .map_or(Cow::Owned(Value::Null), |parent| {
                Cow::Borrowed(parent.value(field))
            }),
        Source::Computed(_) => Cow::Owned(Value::Null),
    }
}

/// The id of a parent, which some objects have as a field of their own.
fn key<'w>(row: &'w Row, relation: &str) -> Option<&'w str> {
    if let Some(id) = row.parents.get(relation) {
        return Some(id);
    }
    match row.value(&format!("{relation}Id")) {
        Value::Text(id) => Some(id),
        _ => None,
    }
}

/// Which rows count, besides the condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// Deleted rows too.
    pub(super) deleted: bool,
    /// Rows stamped from here until there only.
    pub(super) window: Option<(Timestamp, Timestamp)>,
}

/// Runs a query.
pub(super) fn run<'w>(plan: &Plan, view: View<'w>, scope: Scope) -> Found<'w> {
    let change = view.world.object(&plan.object).map(|object| object.change);
    let mut rows = candidates(plan, view, scope.deleted);
    rows.retain(|row| {
        let stamped = match (scope.window, change) {
            (Some((from, until)), Some(change)) if change.field().is_some() => row
                .stamp(change)
                .is_some_and(|stamp| stamp >= from && stamp < until),
            _ => true,
        };
        stamped && lets(plan, view, row)
    });
    if !plan.aggregates.is_empty() {
        let results = plan.aggregates.iter();
        return Found::Computed(
            results
                .map(|(function, source)| aggregate(*function, source.as_ref(), view, &rows))
                .collect(),
        );
    }
    let by_id = matches!(plan.order.as_slice(), [(Source::Own(name), false)] if name == "Id");
    if !by_id && !plan.order.is_empty() {
        rows.sort_by(|left, right| {
            for (source, descending) in &plan.order {
                let ordering = order(&value(view, left, source), &value(view, right, source));
                if ordering != Ordering::Equal {
                    return if *descending {
                        ordering.reverse()
                    } else {
                        ordering
                    };
                }
            }
            Ordering::Equal
        });
    }
    let skip = usize::try_from(plan.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(plan.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    if skip > 0 || take < rows.len() {
        rows = rows.into_iter().skip(skip).take(take).collect();
    }
    Found::Rows(rows)
}

/// Rows that the condition of a query does not let through.
pub(super) fn outside<'w>(plan: &Plan, view: View<'w>, most: usize) -> Vec<&'w Row> {
    let mut rows = candidates(plan, view, false);
    rows.retain(|row| !lets(plan, view, row));
    rows.truncate(most);
    rows
}

fn candidates<'w>(plan: &Plan, view: View<'w>, deleted: bool) -> Vec<&'w Row> {
    let mut rows = view.world.rows(&plan.object, view.at);
    rows.retain(|row| {
        (deleted || !row.deleted) && view.entity.is_none_or(|entity| row.entity == entity)
    });
    rows
}

fn lets(plan: &Plan, view: View<'_>, row: &Row) -> bool {
    let filter = plan.filter.as_ref();
    filter.is_none_or(|filter| holds(filter, view, row) == Some(true))
}

fn holds(filter: &Filter, view: View<'_>, row: &Row) -> Option<bool> {
    match filter {
        Filter::And(parts) => {
            let mut all = Some(true);
            for part in parts {
                match holds(part, view, row) {
                    Some(false) => return Some(false),
                    None => all = None,
                    Some(true) => {}
                }
            }
            all
        }
        Filter::Or(parts) => {
            let mut any = Some(false);
            for part in parts {
                match holds(part, view, row) {
                    Some(true) => return Some(true),
                    None => any = None,
                    Some(false) => {}
                }
            }
            any
        }
        Filter::Not(inner) => holds(inner, view, row).map(|held| !held),
        Filter::Null { source, not } => Some((*value(view, row, source) == Value::Null) != *not),
        Filter::Compare {
            source,
            operator,
            literal,
        } => {
            let found = value(view, row, source);
            compare(view, row, &found, *operator, literal)
        }
    }
}

fn compare(
    view: View<'_>,
    row: &Row,
    found: &Value,
    operator: Operator,
    literal: &Literal,
) -> Option<bool> {
    if *found == Value::Null {
        return None;
    }
    // The place of the value against the first and the last of what the literal means.
    let (first, last) = match literal {
        Literal::Null => return None,
        Literal::Span(first, last) => {
            let Value::Time(time) = found else {
                return None;
            };
            (time.seconds().cmp(first), time.seconds().cmp(last))
        }
        Literal::Source(other) => {
            let other = value(view, row, other);
            if *other == Value::Null {
                return None;
            }
            let ordering = order(found, &other);
            (ordering, ordering)
        }
        Literal::Number(number) => {
            let ordering = numbers(&text_of(found), number);
            (ordering, ordering)
        }
        Literal::Boolean(wanted) => {
            let Value::Boolean(found) = found else {
                return None;
            };
            let ordering = found.cmp(wanted);
            (ordering, ordering)
        }
        Literal::Text(wanted) | Literal::Date(wanted) => {
            if operator == Operator::Like {
                return Some(like(&text_of(found), wanted));
            }
            let ordering = text_of(found).as_ref().cmp(wanted.as_str());
            (ordering, ordering)
        }
    };
    let inside = first != Ordering::Less && last != Ordering::Greater;
    Some(match operator {
        Operator::Equal | Operator::Like => inside,
        Operator::NotEqual => !inside,
        Operator::Less => first == Ordering::Less,
        Operator::LessOrEqual => last != Ordering::Greater,
        Operator::Greater => last == Ordering::Greater,
        Operator::GreaterOrEqual => first != Ordering::Less,
    })
}

fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::Text(text) | Value::Number(text) | Value::Date(text) => Cow::Borrowed(text),
        Value::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Value::Time(time) => Cow::Owned(time.to_string()),
    }
}

/// One `%`, at the start or at the end.
fn like(text: &str, pattern: &str) -> bool {
    let text = text.to_lowercase();
    let pattern = pattern.to_lowercase();
    if let Some(middle) = pattern
        .strip_prefix('%')
        .and_then(|rest| rest.strip_suffix('%'))
    {
        text.contains(middle)
    } else if let Some(end) = pattern.strip_prefix('%') {
        text.ends_with(end)
    } else if let Some(start) = pattern.strip_suffix('%') {
        text.starts_with(start)
    } else {
        text == pattern
    }
}

/// The order of two values, nulls first.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        (left, right) => text_of(left).cmp(&text_of(right)),
    }
}

/// The order of two plain decimals of any length.
pub(super) fn numbers(left: &str, right: &str) -> Ordering {
    fn parts(text: &str) -> (bool, &str, &str) {
        let (minus, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        (
            minus && !(whole.is_empty() && fraction.is_empty()),
            whole,
            fraction,
        )
    }
    let (left_minus, left_whole, left_fraction) = parts(left);
    let (right_minus, right_whole, right_fraction) = parts(right);
    let size = (left_whole.len(), left_whole, left_fraction).cmp(&(
        right_whole.len(),
        right_whole,
        right_fraction,
    ));
    match (left_minus, right_minus) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

fn aggregate(function: Function, source: Option<&Source>, view: View<'_>, rows: &[&Row]) -> Value {
    let Some(source) = source else {
        return Value::Number(rows.len().to_string());
    };
    let mut values = rows
        .iter()
        .map(|row| value(view, row, source))
        .filter(|value| **value != Value::Null);
    match function {
        Function::Count => Value::Number(values.count().to_string()),
        Function::Min => values
            .min_by(|left, right| order(left, right))
            .map_or(Value::Null, Cow::into_owned),
        Function::Max => values
            .max_by(|left, right| order(left, right))
            .map_or(Value::Null, Cow::into_owned),
        Function::Sum => {
            const PLACES: usize = 9;
            let sum = values.try_fold(0_i128, |sum, value| {
                sum.checked_add(scaled(&text_of(&value), PLACES)?)
            });
            sum.map_or(Value::Null, |sum| Value::Number(unscaled(sum, PLACES)))
        }
    }
}

/// A decimal times ten to the power of `places`; more fraction digits are cut.
fn scaled(text: &str, places: usize) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(places)
        .collect();
    format!("{whole}{fraction}").parse().ok()
}

fn unscaled(sum: i128, places: usize) -> String {
    let digits = format!("{:0>width$}", sum.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    let sign = if sum < 0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}
