//! Expressions and conditions whose names are columns, and what they are for a row.

use std::cmp::Ordering;

use chrono_tz::Tz;

use super::super::cell::Cell;
use super::super::model::Row;
use super::table::{Source, Type};
use super::tree::Operator;

/// An expression whose names are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    Column(Source, Type),
    Literal(Cell, Type),
    Zoned(Box<Bound>, Tz),
    Text(Box<Bound>),
    CountRows,
    Count(Box<Bound>),
    Min(Box<Bound>),
    Max(Box<Bound>),
}

impl Bound {
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Column(_, kind) | Self::Literal(_, kind) => *kind,
            Self::Zoned(..) => Type::Timestamp,
            Self::Text(_) => Type::Varchar,
            Self::CountRows | Self::Count(_) => Type::Bigint,
            Self::Min(inner) | Self::Max(inner) => inner.kind(),
        }
    }

    pub(super) fn aggregates(&self) -> bool {
        match self {
            Self::Column(..) | Self::Literal(..) => false,
            Self::Zoned(inner, _) | Self::Text(inner) => inner.aggregates(),
            Self::CountRows | Self::Count(_) | Self::Min(_) | Self::Max(_) => true,
        }
    }

    pub(super) fn mentions_deleted(&self) -> bool {
        match self {
            Self::Column(source, _) => *source == Source::Deleted,
            Self::Literal(..) | Self::CountRows => false,
            Self::Zoned(inner, _)
            | Self::Text(inner)
            | Self::Count(inner)
            | Self::Min(inner)
            | Self::Max(inner) => inner.mentions_deleted(),
        }
    }

    /// Its value over rows: over one row, or over all of them where it aggregates.
    pub(super) fn value(&self, rows: &[&Row], zone: Tz) -> Cell {
        let each = |inner: &Self| -> Vec<Cell> {
            let values = rows.iter().map(|row| inner.value(&[*row], zone));
            values.filter(|value| !value.is_null()).collect()
        };
        let best = |inner: &Self, wanted: Ordering| {
            let better = |best: Cell, next: Cell| match next.compare(&best, zone) {
                Some(order) if order == wanted => next,
                _ => best,
            };
            each(inner).into_iter().reduce(better).unwrap_or(Cell::Null)
        };
        match self {
            Self::Literal(value, _) => value.clone(),
            Self::Column(source, _) => match (rows.first(), source) {
                (None, _) => Cell::Null,
                (Some(row), Source::Field(name)) => Cell::of(row.value(name), zone),
                (Some(row), Source::Parent(name)) => row
                    .parents
                    .get(name)
                    .map_or(Cell::Null, |id| Cell::Text(id.clone())),
                (Some(row), Source::Deleted) => Cell::Boolean(row.deleted),
            },
            Self::Zoned(inner, other) => match inner.value(rows, zone) {
                Cell::Time(time, _) => Cell::Time(time, *other),
                value => value,
            },
            Self::Text(inner) => inner.value(rows, zone).into_text(),
            Self::CountRows => Cell::Number(rows.len().to_string()),
            Self::Count(inner) => Cell::Number(each(inner).len().to_string()),
            Self::Min(inner) => best(inner, Ordering::Less),
            Self::Max(inner) => best(inner, Ordering::Greater),
        }
    }
}

/// A condition whose names are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Bound, Operator, Bound),
    IsNull(Bound),
    Like(Bound, Vec<char>),
}

impl Filter {
    /// True, false or unknown.
    pub(super) fn holds(&self, row: &Row, zone: Tz) -> Option<bool> {
        match self {
            Self::And(parts) => decide(parts.iter().map(|part| part.holds(row, zone)), false),
            Self::Or(parts) => decide(parts.iter().map(|part| part.holds(row, zone)), true),
            Self::Not(inner) => inner.holds(row, zone).map(|holds| !holds),
            Self::IsNull(inner) => Some(inner.value(&[row], zone).is_null()),
            Self::Like(inner, pattern) => match inner.value(&[row], zone) {
                Cell::Text(text) => Some(like(&text.chars().collect::<Vec<char>>(), pattern)),
                _ => None,
            },
            Self::Compare(left, operator, right) => {
                let right = right.value(&[row], zone);
                let order = left.value(&[row], zone).compare(&right, zone)?;
                Some(match operator {
                    Operator::Equal => order.is_eq(),
                    Operator::NotEqual => order.is_ne(),
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    Operator::GreaterOrEqual => order.is_ge(),
                })
            }
        }
    }

    pub(super) fn mentions_deleted(&self) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::mentions_deleted),
            Self::Not(inner) => inner.mentions_deleted(),
            Self::Compare(left, _, right) => left.mentions_deleted() || right.mentions_deleted(),
            Self::IsNull(inner) | Self::Like(inner, _) => inner.mentions_deleted(),
        }
    }
}

/// One decisive part decides; otherwise one unknown part makes the whole unknown.
fn decide(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decisive)
}

/// SQL's LIKE without an escape: `%` any characters, `_` one.
fn like(text: &[char], pattern: &[char]) -> bool {
    // Where to go on after the newest `%`: keeps the time within text times pattern.
    let mut back: Option<(usize, usize)> = None;
    let (mut at, mut in_pattern) = (0, 0);
    loop {
        match (pattern.get(in_pattern), text.get(at)) {
            (None, None) => return true,
            (Some('%'), _) => {
                in_pattern += 1;
                back = Some((at, in_pattern));
            }
            (Some(wanted), Some(found)) if wanted == found || *wanted == '_' => {
                at += 1;
                in_pattern += 1;
            }
            _ => match back {
                Some((from, after)) if from < text.len() => {
                    (at, in_pattern) = (from + 1, after);
                    back = Some((at, after));
                }
                _ => return false,
            },
        }
    }
}
