//! Instants: microseconds since 1970-01-01T00:00:00Z, always UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};

/// An instant in microseconds since the epoch, UTC, within the years 0001 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the epoch; `None` outside the years 0001 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        let time = DateTime::<Utc>::from_timestamp_micros(micros)?;
        (1..=9999).contains(&time.year()).then_some(Self(micros))
    }

    /// From whole seconds since the epoch; `None` outside the years 0001 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::from_micros(seconds.checked_mul(MICROS_PER_SECOND)?)
    }

    /// Parses RFC 3339, such as `2026-01-31T09:30:00Z` or with an offset or a fraction; also a bare
    /// date, meaning its midnight in UTC.
    ///
    /// # Errors
    /// `Config` if the text is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = DateTime::parse_from_rfc3339(text)
            .ok()
            .or_else(|| DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")).ok())
            .and_then(|time| Self::from_micros(time.timestamp_micros()));
        parsed.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("read an instant from `{}`", crate::text::printable(text)),
            )
            .hint("write it as RFC 3339, for example 2026-01-31T09:30:00Z")
        })
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The same instant without its fraction of a second (rounded down).
    #[must_use]
    pub fn floor_second(self) -> Self {
        Self(self.seconds() * MICROS_PER_SECOND)
    }

    /// Later by `duration`, clamped to the end of year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(MAX_MICROS))
    }

    /// Earlier by `duration`, clamped to the beginning of year 1.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(MIN_MICROS))
    }

    /// Time from `earlier` to `self`; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As a chrono instant.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
    }
}

const MIN_MICROS: i64 = -62_135_596_800_000_000; // 0001-01-01T00:00:00Z
const MAX_MICROS: i64 = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999Z

impl fmt::Display for Timestamp {
    /// RFC 3339 with `Z`; fractions only when there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .to_chrono()
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Where the current time comes from, so that tests and the demo can turn it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(MAX_MICROS),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(MIN_MICROS, |micros| -micros)
            }
        };
        Timestamp(micros.clamp(MIN_MICROS, MAX_MICROS))
    }
}

/// A clock that stands still.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_display_are_inverse() {
        for text in [
            "2026-01-31T09:30:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        let offset = Timestamp::parse("2026-01-31T10:30:00+01:00").unwrap();
        assert_eq!(offset.to_string(), "2026-01-31T09:30:00Z");
        assert_eq!(
            Timestamp::parse("2026-01-31").unwrap().to_string(),
            "2026-01-31T00:00:00Z"
        );
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn limits_are_the_years_1_to_9999() {
        assert_eq!(
            Timestamp::from_micros(MIN_MICROS).map(Timestamp::micros),
            Some(MIN_MICROS)
        );
        assert_eq!(
            Timestamp::from_micros(MAX_MICROS).map(Timestamp::micros),
            Some(MAX_MICROS)
        );
        assert!(Timestamp::from_micros(MIN_MICROS - 1).is_none());
        assert!(Timestamp::from_micros(MAX_MICROS + 1).is_none());
    }

    #[test]
    fn floor_rounds_down_before_the_epoch_too() {
        let time = Timestamp::from_micros(-1).unwrap();
        assert_eq!(time.floor_second().micros(), -1_000_000);
    }
}
