//! Durations as people write them: `500ms`, `90s`, `15m`, `2h`, `7d`.
//!
//! One number and one unit; no sums, no fractions, so that each duration has one shortest spelling.

use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result};

/// Longest duration that is accepted: one hundred years. A longer one is a typing error.
const MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses `500ms`, `90s`, `15m`, `2h` or `7d`.
///
/// # Errors
/// `Config` if the text is not of this form.
pub fn parse(text: &str) -> Result<Duration> {
    let refuse = || {
        let shown = overlock_core::text::printable(text);
        Error::new(ErrorKind::Config, format!("read a duration from `{shown}`"))
            .hint("write one number and one unit: 500ms, 90s, 15m, 2h or 7d")
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(refuse)?;
    let (number, unit) = text.split_at_checked(split).ok_or_else(refuse)?;
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let (_, millis) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(refuse)?;
    let duration = Duration::from_millis(number.checked_mul(*millis).ok_or_else(refuse)?);
    if duration > MAX {
        return Err(refuse());
    }
    Ok(duration)
}

/// The shortest spelling of a duration, rounded down to milliseconds.
pub fn format(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    for (name, size) in UNITS {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{name}", millis / size);
        }
    }
    "0s".to_owned()
}

/// `#[serde(with = "overlock_kit::duration::text")]` for a field of type `Duration`.
pub mod text {
    use super::{Duration, format, parse};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Reads a duration from text.
    ///
    /// # Errors
    /// If the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(|error| {
            de::Error::custom(format!(
                "{error}; {}",
                error.hint_text().unwrap_or_default()
            ))
        })
    }

    /// Writes a duration as text.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*value))
    }
}

/// `#[serde(default, with = "overlock_kit::duration::option")]` for a field of type `Option<Duration>`.
pub mod option {
    use super::{Duration, format, parse};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Reads a duration from text, if there is one.
    ///
    /// # Errors
    /// If the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| parse(&text).map_err(de::Error::custom))
            .transpose()
    }

    /// Writes a duration as text, if there is one.
    ///
    /// # Errors
    /// If the serializer fails.
    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&format(*value)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_format_are_inverse() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis));
            assert_eq!(format(duration), text);
        }
        assert_eq!(format(parse("60s").unwrap()), "1m");
        assert_eq!(parse("0s").unwrap(), Duration::ZERO);
        assert_eq!(format(Duration::ZERO), "0s");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5h",
            "1h30m",
            " 1s",
            "1 s",
            "1S",
            "1w",
            "99999999999999999999s",
            "40000000d",
            "１s",
        ] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Config, "{bad:?}");
        }
    }
}
