//! What Object Query can select, sort by and filter by.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use overlock_core::Timestamp;
use overlock_sandbox::Response;

use super::call::refusal;
use super::cell::Cell;
use super::model::{Kind, Object, Row};

/// Codes of refusals: six digits of a resource, two of a category.
pub(super) const INVALID_VALUE: u64 = 58_730_020;
const UNKNOWN_FIELD: u64 = 58_730_021;

pub(super) type Answer<T> = Result<T, Box<Response>>;

pub(super) fn refused<T>(status: u16, code: u64, message: &str) -> Answer<T> {
    Err(Box::new(refusal(status, code, message)))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Field(String, Kind),
    Parent(String),
}

/// What can be selected: the key in answers, and where the value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) key: String,
    source: Source,
}

impl Column {
    pub(super) fn cell(&self, row: &Row, zone: Tz) -> Cell {
        match &self.source {
            Source::Field(name, _) => Cell::of(row.value(name), zone),
            Source::Parent(name) => row
                .parents
                .get(name)
                .map_or(Cell::Null, |id| Cell::Text(id.clone())),
        }
    }
}

pub(super) fn columns(object: &Object, at: Timestamp) -> Vec<Column> {
    let mut all: Vec<Column> = object
        .fields
        .iter()
        .filter(|field| field.selectable && field.exists(at))
        .map(|field| Column {
            key: if field.custom {
                field.name.clone()
            } else {
                camel_case(&field.name)
            },
            source: Source::Field(field.name.clone(), field.kind),
        })
        .collect();
    for related in &object.related {
        let key = camel_case(&format!("{}Id", related.name));
        if !related.poisonous && all.iter().all(|column| column.key != key) {
            let source = Source::Parent(related.name.clone());
            all.push(Column { key, source });
        }
    }
    all
}

/// `AccountNumber` becomes `accountNumber`, `IBAN` becomes `iban`, `VATId` becomes `vatId`.
pub(super) fn camel_case(name: &str) -> String {
    let capitals = name.chars().take_while(char::is_ascii_uppercase).count();
    let word_follows = name
        .chars()
        .nth(capitals)
        .is_some_and(|next| next.is_ascii_lowercase());
    // The last capital of a run begins the next word.
    let lowered = if word_follows {
        capitals.saturating_sub(1).max(1)
    } else {
        capitals
    };
    let lower = |(at, character): (usize, char)| {
        if at < lowered {
            character.to_ascii_lowercase()
        } else {
            character
        }
    };
    name.chars().enumerate().map(lower).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    StartsWith,
    In,
}

#[derive(Debug)]
pub(super) struct Filter {
    column: Column,
    operator: Operator,
    values: Vec<Cell>,
}

impl Filter {
    pub(super) fn holds(&self, row: &Row, zone: Tz) -> bool {
        let found = self.column.cell(row, zone);
        let equal = |value: &Cell| {
            (value.is_null() && found.is_null())
                || found.compare(value, zone).is_some_and(Ordering::is_eq)
        };
        let order = || {
            self.values
                .first()
                .and_then(|value| found.compare(value, zone))
        };
        match self.operator {
            Operator::Equal | Operator::In => self.values.iter().any(equal),
            Operator::NotEqual => !self.values.iter().any(equal),
            Operator::Less => order().is_some_and(Ordering::is_lt),
            Operator::Greater => order().is_some_and(Ordering::is_gt),
            Operator::LessOrEqual => order().is_some_and(Ordering::is_le),
            Operator::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
            Operator::StartsWith => match (&found, self.values.first()) {
                (Cell::Text(text), Some(Cell::Text(start))) => text.starts_with(start.as_str()),
                _ => false,
            },
        }
    }
}

pub(super) fn named(name: &str, columns: &[Column]) -> Answer<Column> {
    let found = columns
        .iter()
        .find(|column| column.key.eq_ignore_ascii_case(name));
    match found {
        Some(column) => Ok(column.clone()),
        None => refused(
            400,
            UNKNOWN_FIELD,
            &format!("Field '{name}' does not exist"),
        ),
    }
}

/// `updateddate.ASC`.
pub(super) fn sort(text: &str, columns: &[Column]) -> Answer<(Column, bool)> {
    let (name, direction) = text.rsplit_once('.').unwrap_or((text, "ASC"));
    let column = named(name, columns)?;
    match direction.to_ascii_uppercase().as_str() {
        "ASC" => Ok((column, false)),
        "DESC" => Ok((column, true)),
        _ => refused(400, INVALID_VALUE, "A sort key ends in .ASC or .DESC"),
    }
}

/// `updateddate.GE:2024-01-01T00:00:00Z`, `status.IN:[Draft,Posted]`, `crmid.EQ:null`.
pub(super) fn filter(text: &str, columns: &[Column], zone: Tz) -> Answer<Filter> {
    let Some((target, value)) = text.split_once(':') else {
        return refused(
            400,
            INVALID_VALUE,
            "A filter has the form field.OPERATOR:value",
        );
    };
    let (name, operator) = target.rsplit_once('.').unwrap_or((target, ""));
    let column = named(name, columns)?;
    let operator = match operator.to_ascii_uppercase().as_str() {
        "EQ" => Operator::Equal,
        "NE" => Operator::NotEqual,
        "LT" => Operator::Less,
        "GT" => Operator::Greater,
        "LE" => Operator::LessOrEqual,
        "GE" => Operator::GreaterOrEqual,
        "SW" => Operator::StartsWith,
        "IN" => Operator::In,
        other => {
            return refused(
                400,
                INVALID_VALUE,
                &format!("Operator '{other}' is not supported"),
            );
        }
    };
    let texts: Vec<&str> = match operator {
        Operator::In => {
            let inner = value
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            let Some(inner) = inner else {
                return refused(400, INVALID_VALUE, "IN takes a list in brackets");
            };
            inner.split(',').map(str::trim).collect()
        }
        _ => vec![value],
    };
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        match literal(text, &column, zone) {
            Some(value) => values.push(value),
            None => {
                return refused(
                    400,
                    INVALID_VALUE,
                    &format!("'{text}' does not fit field '{name}'"),
                );
            }
        }
    }
    Ok(Filter {
        column,
        operator,
        values,
    })
}

/// A text as a value of a column's type; `None` if it is none.
pub(super) fn literal(text: &str, column: &Column, zone: Tz) -> Option<Cell> {
    if text == "null" {
        return Some(Cell::Null);
    }
    let Source::Field(_, kind) = &column.source else {
        return Some(Cell::Text(text.to_owned()));
    };
    Some(match kind {
        Kind::Boolean => Cell::Boolean(text.parse().ok()?),
        Kind::Integer | Kind::Decimal | Kind::CapitalDecimal | Kind::Number => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
            if digits.is_empty() || !plain || digits.matches('.').count() > 1 {
                return None;
            }
            Cell::Number(text.to_owned())
        }
        Kind::Date => Cell::Date(
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()?
                .to_string(),
        ),
        Kind::DateTime => {
            // An unencoded plus of an offset arrives as a space.
            let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).ok()?;
            Cell::Time(Timestamp::from_micros(time.timestamp_micros())?, zone)
        }
        _ => Cell::Text(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lower_the_first_word() {
        for (name, expected) in [
            ("Id", "id"),
            ("AccountNumber", "accountNumber"),
            ("MRR", "mrr"),
            ("IBAN", "iban"),
            ("VATId", "vatId"),
            ("UOM", "uom"),
            ("SKU2", "sku2"),
        ] {
            assert_eq!(camel_case(name), expected);
        }
    }
}
