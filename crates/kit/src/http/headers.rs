//! Headers that say when: `Retry-After`, `Date`, and the reset headers of rate limits.
//!
//! All functions are total: whatever the server writes there, the answer is a bounded value or `None`.

use std::time::Duration;

use http::{HeaderMap, header};
use overlock_core::Timestamp;

/// A wait longer than this is not believed: it is taken as "none".
const MAX_BELIEVED: Duration = Duration::from_secs(366 * 86_400);

/// Difference between the clocks that is worth a warning, and how far behind the local clock a run
/// stays whose server does not tell the time.
const SKEW: Duration = Duration::from_secs(300);

/// How long the server asks to wait, by `Retry-After` or the usual reset headers; `None` if there is no
/// such header or nobody could believe its value.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let reference = date(headers).unwrap_or(now);
    asked_wait(headers, now).or_else(|| {
        ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"]
            .iter()
            .find_map(|name| reset(text(headers, name)?, reference))
            .filter(|asked| *asked <= MAX_BELIEVED)
    })
}

/// How long the server asks to wait by `Retry-After` alone.
pub fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let reference = date(headers).unwrap_or(now);
    text(headers, header::RETRY_AFTER.as_str())
        .and_then(|value| seconds_or_date(value, reference))
        .filter(|asked| *asked <= MAX_BELIEVED)
}

/// The server's clock by its `Date` header; `None` if it is missing or unreadable.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(text(headers, header::DATE.as_str())?)
}

/// What time it is for the purpose of an upper bound of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNow {
    /// The server's time if it can be believed, else the local time minus five minutes.
    pub at: Timestamp,
    /// What a person should know about it.
    pub warning: Option<String>,
}

/// The server's time if it can be believed. A missing, unreadable, ancient (before 2000) or far future
/// (24 h ahead of the local clock) `Date` is not; a smaller difference is believed with a warning.
pub fn server_now(headers: &HeaderMap, local: Timestamp) -> ServerNow {
    const YEAR_2000: i64 = 946_684_800;
    let behind = local.minus(SKEW);
    match date(headers) {
        Some(at) if at.seconds() >= YEAR_2000 && at.since(local) <= Duration::from_secs(86_400) => {
            let skew = at.since(local).max(local.since(at));
            ServerNow {
                at,
                warning: (skew > SKEW).then(|| {
                    format!("the server's clock says {at}, the local clock {local}: the server's is used")
                }),
            }
        }
        Some(at) => ServerNow {
            at: behind,
            warning: Some(format!(
                "the server's clock says {at}, which cannot be: the local clock minus five minutes is used"
            )),
        },
        None => ServerNow {
            at: behind,
            warning: Some(
                "the server does not say what time it is: the local clock minus five minutes is used"
                    .to_owned(),
            ),
        },
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// Whole seconds, or an HTTP date in one of its three spellings.
fn seconds_or_date(value: &str, reference: Timestamp) -> Option<Duration> {
    if let Some(seconds) = whole(value) {
        return Some(Duration::from_secs(seconds));
    }
    Some(http_date(value)?.since(reference))
}

/// Seconds until the reset, or the second of the reset since 1970.
fn reset(value: &str, reference: Timestamp) -> Option<Duration> {
    // No limit lasts 30 years, and no clock stands before 2001.
    const EPOCH_FROM: u64 = 1_000_000_000;
    let number = whole(value)?;
    if number < EPOCH_FROM {
        return Some(Duration::from_secs(number));
    }
    let at = Timestamp::from_seconds(i64::try_from(number).ok()?)?;
    Some(at.since(reference))
}

fn whole(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok())?
}

fn http_date(value: &str) -> Option<Timestamp> {
    // Longer than any spelling of a date: not worth a parser's time.
    if value.len() > 64 {
        return None;
    }
    let time = httpdate::parse_http_date(value).ok()?;
    let seconds = time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Timestamp::from_seconds(i64::try_from(seconds).ok()?)
}

/// Entry point of the fuzz target `headers`: reads `name: value` lines and asks every question.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name),
            http::HeaderValue::from_bytes(value.trim_ascii()),
        ) {
            headers.append(name, value);
        }
    }
    let now = Timestamp::EPOCH.plus(Duration::from_secs(1_800_000_000));
    assert!(retry_after(&headers, now).is_none_or(|wait| wait <= MAX_BELIEVED));
    let at = server_now(&headers, now).at;
    assert!(at <= now.plus(Duration::from_secs(86_400)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-31T09:30:00Z";

    fn wait(pairs: &[(&'static str, &'static str)]) -> Option<u64> {
        retry_after(&map(pairs), Timestamp::parse(NOW).unwrap()).map(|wait| wait.as_secs())
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        // covers: N8
        for (value, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Sat, 31 Jan 2026 09:31:00 GMT", Some(60)),
            ("Saturday, 31-Jan-26 09:31:00 GMT", Some(60)),
            ("Sat Jan 31 09:31:00 2026", Some(60)),
            ("Sat, 31 Jan 2026 09:00:00 GMT", Some(0)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
            ("999999999", None),
            ("Sat, 31 Jan 9999 09:31:00 GMT", None),
        ] {
            assert_eq!(wait(&[("retry-after", value)]), expected, "{value:?}");
        }
    }

    #[test]
    fn a_date_is_measured_against_the_servers_own_clock() {
        // covers: N8, N21
        let pairs = [
            ("date", "Sat, 31 Jan 2026 07:00:00 GMT"),
            ("retry-after", "Sat, 31 Jan 2026 07:00:30 GMT"),
        ];
        assert_eq!(wait(&pairs), Some(30));
    }

    #[test]
    fn reset_headers_stand_in_as_seconds_or_as_an_instant() {
        // covers: N8
        assert_eq!(wait(&[("ratelimit-reset", "41")]), Some(41));
        assert_eq!(wait(&[("x-rate-limit-reset", "1769851860")]), Some(60));
        assert_eq!(wait(&[("x-rate-limit-reset", "-1")]), None);
        assert_eq!(
            wait(&[("retry-after", "-1"), ("ratelimit-reset", "3")]),
            Some(3)
        );
    }

    #[test]
    fn the_upper_bound_survives_every_server_clock() {
        // covers: N21
        let local = Timestamp::parse(NOW).unwrap();
        let check = |date: Option<&'static str>, expected: &str, warned: bool| {
            let headers = date.map_or(HeaderMap::new(), |date| map(&[("date", date)]));
            let found = server_now(&headers, local);
            assert_eq!(found.at.to_string(), expected, "{date:?}");
            assert_eq!(found.warning.is_some(), warned, "{date:?}");
        };
        check(
            Some("Sat, 31 Jan 2026 09:31:00 GMT"),
            "2026-01-31T09:31:00Z",
            false,
        );
        check(
            Some("Sat, 31 Jan 2026 09:36:00 GMT"),
            "2026-01-31T09:36:00Z",
            true,
        );
        check(
            Some("Fri, 31 Jan 2020 09:30:00 GMT"),
            "2020-01-31T09:30:00Z",
            true,
        );
        for absurd in [
            Some("Thu, 01 Jan 1970 00:00:00 GMT"),
            Some("Fri, 01 Jan 2027 00:00:00 GMT"),
            Some("yesterday"),
            None,
        ] {
            check(absurd, "2026-01-31T09:25:00Z", true);
        }
    }
}
