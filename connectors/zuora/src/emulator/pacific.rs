//! Time as the service writes and reads it: Los Angeles is the zone of the system, and of this tenant.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::America::Los_Angeles;
use overlock_core::Timestamp;

/// Seconds since the epoch of a wall-clock time in Los Angeles. Of an hour that comes twice the first is meant; one
/// that is skipped counts as the hour after it.
pub(super) fn seconds_of(local: NaiveDateTime) -> Option<i64> {
    let found = Los_Angeles.from_local_datetime(&local).earliest();
    let found = found.or_else(|| {
        Los_Angeles
            .from_local_datetime(&(local + Duration::hours(1)))
            .earliest()
    });
    found.map(|time| time.timestamp())
}

/// `YYYY-MM-DD HH:MM:SS`, in Pacific time or UTC.
pub(super) fn stamp(time: Timestamp, utc: bool) -> String {
    let time = time.to_chrono();
    if utc {
        return time.format("%Y-%m-%d %H:%M:%S").to_string();
    }
    let local = time.with_timezone(&Los_Angeles);
    local.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The instant of `YYYY-MM-DD HH:MM:SS`, in Pacific time or UTC.
pub(super) fn parse_stamp(text: &str, utc: bool) -> Option<Timestamp> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    let seconds = if utc {
        local.and_utc().timestamp()
    } else {
        seconds_of(local)?
    };
    Timestamp::from_seconds(seconds)
}

/// A datetime as result files have it.
pub(super) fn datetime(time: Timestamp, utc: bool, bare_midnight: bool) -> String {
    let time = time.to_chrono();
    let local = time.with_timezone(&Los_Angeles);
    if bare_midnight && local.time() == chrono::NaiveTime::MIN {
        return local.format("%Y-%m-%d").to_string();
    }
    if utc {
        time.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
    } else {
        local.format("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// A datetime with milliseconds, as the legacy JSON calls have it.
pub(super) fn millis(time: Timestamp) -> String {
    let local = time.to_chrono().with_timezone(&Los_Angeles);
    local.format("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string()
}

/// The day in Los Angeles.
pub(super) fn day(seconds: i64) -> Option<NaiveDate> {
    let time = DateTime::<Utc>::from_timestamp(seconds, 0)?;
    Some(time.with_timezone(&Los_Angeles).date_naive())
}

/// What a literal of a query means as an instant: its first and last second.
pub(super) fn span(text: &str, now: Timestamp) -> Option<(i64, i64)> {
    let text = text.trim();
    if let Some(date) = date_of(text) {
        return whole_day(date);
    }
    let second = |seconds: i64| Some((seconds, seconds));
    for format in ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
            return second(seconds_of(local)?);
        }
        if let Some(bare) = text.strip_suffix(['Z', 'z'])
            && let Ok(time) = NaiveDateTime::parse_from_str(bare, format)
        {
            return second(time.and_utc().timestamp());
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M:%S%z"] {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return second(time.timestamp());
        }
    }
    relative(text, now)
}

/// `2008-09-12` or `2008-09-12Z`.
pub(super) fn date_of(text: &str) -> Option<NaiveDate> {
    let bare = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    (bare.len() == 10)
        .then(|| NaiveDate::parse_from_str(bare, "%Y-%m-%d").ok())
        .flatten()
}

fn whole_day(date: NaiveDate) -> Option<(i64, i64)> {
    let first = seconds_of(date.and_hms_opt(0, 0, 0)?)?;
    let next = seconds_of(date.succ_opt()?.and_hms_opt(0, 0, 0)?)?;
    Some((first, next - 1))
}

/// `now - 1 day`, `today - 30 days`.
fn relative(text: &str, now: Timestamp) -> Option<(i64, i64)> {
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split_whitespace();
    let base = words.next()?;
    let back = match (words.next(), words.next(), words.next()) {
        (None, ..) => 0,
        (Some(sign @ ("-" | "+")), Some(count), Some(unit)) => {
            let count: i64 = count.parse().ok()?;
            let unit = match unit.trim_end_matches('s') {
                "second" => 1,
                "minute" => 60,
                "hour" => 3_600,
                "day" => 86_400,
                "week" => 604_800,
                _ => return None,
            };
            count.checked_mul(unit)? * if sign == "-" { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = now.seconds().checked_add(back)?;
    match base {
        "now" => Some((seconds, seconds)),
        "today" => whole_day(day(seconds)?),
        _ => None,
    }
}
