//! Values as query results show them: their order, and their texts in JSON and CSV.
//!
//! Numbers are texts of digits from end to end; nothing here goes through a binary fraction.

use std::cmp::Ordering;

use chrono::{LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use overlock_core::Timestamp;

use super::model::Value;

/// The zone of tenants that have set none: Zuora's own.
pub(super) const DEFAULT_ZONE: &str = "America/Los_Angeles";

/// A value, with the zone that an instant is shown in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Boolean(bool),
    /// Plain decimal digits, exactly as stored.
    Number(String),
    /// `YYYY-MM-DD`.
    Date(String),
    Time(Timestamp, Tz),
}

impl Cell {
    /// A stored value; instants are shown in the zone given.
    pub(super) fn of(value: &Value, zone: Tz) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Text(text) => Self::Text(text.clone()),
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Number(digits) => Self::Number(digits.clone()),
            Value::Date(date) => Self::Date(date.clone()),
            Value::Time(time) => Self::Time(*time, zone),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// Order of two values; `None` if there is none: a null, or values of different nature.
    /// A date stands for its midnight in `zone` where it meets an instant.
    pub(super) fn compare(&self, other: &Self, zone: Tz) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Text(left), Self::Text(right)) | (Self::Date(left), Self::Date(right)) => {
                left.cmp(right)
            }
            (Self::Boolean(left), Self::Boolean(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => compare_numbers(left, right),
            (Self::Time(left, _), Self::Time(right, _)) => left.cmp(right),
            (Self::Date(date), Self::Time(time, _)) => midnight(date, zone)?.cmp(time),
            (Self::Time(time, _), Self::Date(date)) => time.cmp(&midnight(date, zone)?),
            _ => return None,
        })
    }

    /// Its text in JSON: numbers without quotes, instants to the millisecond.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) => json_text(text),
            Self::Boolean(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Date(date) => json_text(date),
            Self::Time(time, zone) => json_text(&spelled(*time, *zone, "%Y-%m-%dT%H:%M:%S%.3f")),
        }
    }

    /// Its text in a file of separated values. A null is nothing, an empty text is a pair of quotes.
    pub(super) fn separated(&self, separator: char) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) => {
                let special = |c: char| matches!(c, '"' | '\r' | '\n') || c == separator;
                if text.is_empty() || text.contains(special) {
                    format!("\"{}\"", text.replace('"', "\"\""))
                } else {
                    text.clone()
                }
            }
            Self::Boolean(value) => value.to_string(),
            Self::Number(text) | Self::Date(text) => text.clone(),
            Self::Time(time, zone) => spelled(*time, *zone, "%Y-%m-%dT%H:%M:%S%.3f"),
        }
    }

    /// What a cast to `varchar` makes of it.
    pub(super) fn into_text(self) -> Self {
        match self {
            Self::Null => Self::Null,
            Self::Boolean(value) => Self::Text(value.to_string()),
            Self::Text(text) | Self::Number(text) | Self::Date(text) => Self::Text(text),
            Self::Time(time, zone) => {
                let local = time.to_chrono().with_timezone(&zone);
                let text = local.format("%Y-%m-%d %H:%M:%S%.3f");
                Self::Text(format!("{text} {}", zone.name()))
            }
        }
    }
}

/// An instant in a zone: `Z` in UTC, otherwise the offset with a colon.
pub(super) fn spelled(time: Timestamp, zone: Tz, format: &str) -> String {
    let local = time.to_chrono().with_timezone(&zone);
    let offset = match zone {
        Tz::UTC => "Z".to_owned(),
        _ => local.format("%:z").to_string(),
    };
    format!("{}{offset}", local.format(format))
}

/// A text in JSON.
pub(super) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A zone by its name; `None`: there is no such zone.
pub(super) fn zone(name: &str) -> Option<Tz> {
    match name {
        "Z" | "+00:00" => Some(Tz::UTC),
        name => name.parse().ok(),
    }
}

/// The instant of a local time in a zone. An hour that comes twice means the first; one that does not come means
/// the hour after.
pub(super) fn instant(local: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    let time = match zone.from_local_datetime(&local) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time,
        LocalResult::None => {
            let later = local.checked_add_signed(chrono::TimeDelta::hours(1))?;
            zone.from_local_datetime(&later).earliest()?
        }
    };
    Timestamp::from_micros(time.timestamp_micros())
}

fn midnight(date: &str, zone: Tz) -> Option<Timestamp> {
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    instant(date.and_hms_opt(0, 0, 0)?, zone)
}

/// Compares two texts of plain decimal digits by their value.
pub(super) fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left_negative, left) = magnitude(left);
    let (right_negative, right) = magnitude(right);
    match (left_negative, right_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => left.cmp(&right),
        (true, true) => right.cmp(&left),
    }
}

/// Whether a number is below zero, and its digits in a form that sorts: count of whole digits, whole, fraction.
fn magnitude(text: &str) -> (bool, (usize, &str, &str)) {
    let bare = text.trim_start_matches(['-', '+']);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let zero = whole.is_empty() && fraction.is_empty();
    let negative = text.starts_with('-') && !zero;
    (negative, (whole.len(), whole, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_not_by_text() {
        for (left, right, expected) in [
            ("9", "10", Ordering::Less),
            ("-2", "1", Ordering::Less),
            ("-2", "-10", Ordering::Greater),
            ("0.10", "0.1", Ordering::Equal),
            ("-0.0", "0", Ordering::Equal),
            ("007", "7", Ordering::Equal),
            (
                "9007199254740993.000000001",
                "9007199254740993.000000002",
                Ordering::Less,
            ),
        ] {
            assert_eq!(compare_numbers(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn instants_carry_the_offset_of_their_season() {
        let winter = Timestamp::parse("2024-11-10T17:35:45Z").unwrap();
        let summer = Timestamp::parse("2024-07-10T17:35:45Z").unwrap();
        for (time, zone, expected) in [
            (winter, Tz::UTC, "\"2024-11-10T17:35:45.000Z\""),
            (
                winter,
                Tz::America__Los_Angeles,
                "\"2024-11-10T09:35:45.000-08:00\"",
            ),
            (
                summer,
                Tz::America__Los_Angeles,
                "\"2024-07-10T10:35:45.000-07:00\"",
            ),
        ] {
            assert_eq!(Cell::Time(time, zone).json(), expected);
        }
        let text = Cell::Time(winter, Tz::UTC).into_text();
        assert_eq!(text, Cell::Text("2024-11-10 17:35:45.000 UTC".to_owned()));
    }

    #[test]
    fn separated_values_tell_null_from_empty() {
        for (cell, expected) in [
            (Cell::Null, ""),
            (Cell::Text(String::new()), "\"\""),
            (Cell::Text("a\"b,c\n".to_owned()), "\"a\"\"b,c\n\""),
            (Cell::Number("-0.010".to_owned()), "-0.010"),
        ] {
            assert_eq!(cell.separated(','), expected);
        }
    }

    #[test]
    fn a_date_meets_an_instant_at_its_local_midnight() {
        let zone = Tz::America__Los_Angeles;
        let date = Cell::Date("2024-11-10".to_owned());
        let midnight = Timestamp::parse("2024-11-10T08:00:00Z").unwrap();
        let order = date.compare(&Cell::Time(midnight, Tz::UTC), zone);
        assert_eq!(order, Some(Ordering::Equal));
        assert_eq!(date.compare(&Cell::Null, zone), None);
    }
}
