//! Dates and instants from their text, on the real calendar and never rounded.
//!
//! Years are 0001 to 9999, what `Timestamp(us)` and every warehouse can hold. A leap second, `24:00:00`, the
//! 29th of February of a common year or a seventh digit of a second's fraction do not fit, rather than turn
//! into some other instant.

use chrono::{NaiveDate, TimeZone as _};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MIN_MICROS: i64 = -62_135_596_800_000_000; // 0001-01-01T00:00:00Z
const MAX_MICROS: i64 = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999Z

/// Days since 1970-01-01 of a date written `YYYY-MM-DD`.
pub fn date(text: &[u8]) -> Option<i32> {
    let text: &[u8; 10] = text.try_into().ok()?;
    calendar_day(text)
}

/// Microseconds since 1970-01-01T00:00:00Z of an instant written as RFC 3339, also with a space for the `T`,
/// without seconds, with a fraction of any length, and with the zone as `Z`, `+01:00`, `+0100` or `+01`.
/// Without a zone it is an instant only if `zoneless_is_utc`.
pub fn timestamp(text: &[u8], zoneless_is_utc: bool) -> Option<i64> {
    let (day, rest) = text.split_first_chunk::<10>()?;
    let day = calendar_day(day)?;
    let (b'T' | b't' | b' ', rest) = rest.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let (clock, mut rest) = rest.split_first_chunk::<5>()?;
    let [h1, h2, b':', m1, m2] = clock else {
        return None;
    };
    let hour = two(*h1, *h2)?;
    let minute = two(*m1, *m2)?;
    let mut second = 0;
    let mut micros = 0;
    if let [b':', s1, s2, tail @ ..] = rest {
        second = two(*s1, *s2)?;
        rest = tail;
        if let [b'.' | b',', tail @ ..] = rest {
            (micros, rest) = fraction(tail)?;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        b"" if zoneless_is_utc => 0,
        [sign @ (b'+' | b'-'), h1, h2] => zone(*sign, *h1, *h2, b'0', b'0')?,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            zone(*sign, *h1, *h2, *m1, *m2)?
        }
        _ => return None,
    };
    let seconds = i64::from(day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let micros = seconds * MICROS_PER_SECOND + micros;
    in_range(micros)
}

/// Microseconds since the epoch of the midnight that begins a day in a zone, or of the first moment of that day where
/// its midnight was skipped.
pub(super) fn midnight(day: i32, zone: chrono_tz::Tz) -> Option<i64> {
    let date = NaiveDate::from_epoch_days(day)?;
    let local = (0..=3).find_map(|hour| {
        let time = date.and_hms_opt(hour, 0, 0)?;
        zone.from_local_datetime(&time).earliest()
    })?;
    in_range(local.timestamp_micros())
}

/// Microseconds since the epoch from a number of milliseconds since the epoch.
pub(super) fn epoch_millis(text: &[u8]) -> Option<i64> {
    in_range(i64::try_from(super::number::decimal(text, 38, 3)?).ok()?)
}

fn in_range(micros: i64) -> Option<i64> {
    (MIN_MICROS..=MAX_MICROS)
        .contains(&micros)
        .then_some(micros)
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then_some(i64::from(tens) * 10 + i64::from(ones))
}

/// Seconds east of UTC.
fn zone(sign: u8, h1: u8, h2: u8, m1: u8, m2: u8) -> Option<i64> {
    let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Some(if sign == b'-' { -seconds } else { seconds })
}

/// Reads the digits of a second's fraction: microseconds, and what follows. A nonzero seventh digit has no
/// place in microseconds.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let mut micros = 0;
    for at in 0..6 {
        micros = micros * 10 + i64::from(digits.get(at).map_or(0, |digit| digit - b'0'));
    }
    digits
        .iter()
        .skip(6)
        .all(|digit| *digit == b'0')
        .then_some((micros, rest))
}

/// Days since 1970-01-01, if the day exists and its year is 0001 to 9999.
#[inline]
fn calendar_day(text: &[u8; 10]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2].map(|byte| byte.wrapping_sub(b'0'));
    if digits.iter().fold(0, |most, digit| most.max(*digit)) > 9 {
        return None;
    }
    let [y1, y2, y3, y4, m1, m2, d1, d2] = digits.map(i32::from);
    let year = y1 * 1000 + y2 * 100 + y3 * 10 + y4;
    let month = usize::try_from(m1 * 10 + m2).unwrap_or(0);
    let day = d1 * 10 + d2;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = if is_leap { LEAP_YEAR } else { COMMON_YEAR };
    let begin = *before.get(month)?;
    // Month 0 has no days, and neither has month 13.
    let end = *before.get(month + 1)?;
    if year == 0 || day == 0 || day > end - begin {
        return None;
    }
    let years = year - 1;
    let centuries = years / 100;
    let leap_days = years / 4 - centuries + centuries / 4;
    Some(years * 365 + leap_days + begin + day - DAYS_BEFORE_1970)
}

/// Days from 0001-01-01 to 1970-01-01, both in the Gregorian calendar, and one more since days count from 1.
const DAYS_BEFORE_1970: i32 = 719_163;

/// Days of a year before each month; the first is for month 0, the last for the end of the year.
const COMMON_YEAR: &[i32; 14] = &[
    0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365,
];
const LEAP_YEAR: &[i32; 14] = &[
    0, 0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366,
];

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    }

    #[test]
    fn every_spelling_of_an_instant_is_the_same_instant() {
        let expected = Some(micros("2020-10-22T21:03:23Z"));
        for text in [
            "2020-10-22T21:03:23.000+0000",
            "2020-10-22T21:03:23.000+00:00",
            "2020-10-22T21:03:23.000Z",
            "2020-10-22T21:03:23Z",
            "2020-10-22T21:03:23+00",
            "2020-10-22 21:03:23z",
            "2020-10-22T23:03:23+0200",
            "2020-10-22T16:33:23-04:30",
            "2020-10-22T21:03:23.000000000Z",
            "2020-10-23T11:03:23+14:00",
        ] {
            assert_eq!(timestamp(text.as_bytes(), false), expected, "{text}");
        }
        assert_eq!(epoch_millis(b"1603400603000"), expected);
        assert_eq!(epoch_millis(b"1603400603000.0"), expected);
        assert_eq!(epoch_millis(b"1.603400603E12"), expected);
        assert_eq!(epoch_millis(b"-1"), Some(-1000));
        assert_eq!(epoch_millis(b"0.0001"), None);
        assert_eq!(epoch_millis(b"1e300"), None);
    }

    #[test]
    fn instants_outside_the_years_1_to_9999_and_those_that_do_not_exist_do_not_fit() {
        // covers: I5
        for (text, expected) in [
            ("0001-01-01T00:00:00Z", Some(MIN_MICROS)),
            ("9999-12-31T23:59:59.999999Z", Some(MAX_MICROS)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000)),
            ("1969-12-31T23:59:59.5Z", Some(-500_000)),
            ("2024-02-29T00:00Z", Some(micros("2024-02-29T00:00:00Z"))),
            ("0001-01-01T00:00:00+00:01", None),
            ("9999-12-31T23:59:59.999999-00:01", None),
            ("9999-12-31T23:59:59.9999999Z", None),
            ("10000-01-01T00:00:00Z", None),
            ("0000-01-01T00:00:00Z", None),
            ("-0001-01-01T00:00:00Z", None),
            ("2020-01-01T24:00:00Z", None),
            ("2016-12-31T23:59:60Z", None),
            ("2020-01-01T23:60:00Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2020-01-01T00:00:00", None),
            ("2020-01-01T00:00:00+24:00", None),
            ("2020-01-01T00:00:00+0:00", None),
            ("2020-01-01T00:00:00.Z", None),
            ("2020-01-01T00:00:00Z ", None),
            ("2020-01-01", None),
            ("2020-01-01T1:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(timestamp(text.as_bytes(), false), expected, "{text}");
        }
        assert_eq!(timestamp(b"1970-01-01T00:00:01", true), Some(1_000_000));
    }

    #[test]
    fn only_real_days_are_dates() {
        // covers: I6
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2020-11-16", Some(18_582)),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("2000-02-29", Some(11_016)),
            ("1900-02-29", None),
            ("2023-02-29", None),
            ("0000-00-00", None),
            ("2023-00-10", None),
            ("2023-13-10", None),
            ("2023-04-31", None),
            ("10000-01-01", None),
            ("2023-4-3", None),
            ("2023-04-30Z", None),
            ("", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_day_agrees_with_chrono(day in -719_162_i32..=2_932_896) {
            let text = NaiveDate::from_epoch_days(day).unwrap().format("%Y-%m-%d").to_string();
            prop_assert_eq!(date(text.as_bytes()), Some(day));
        }

        #[test]
        fn every_microsecond_agrees_with_chrono(value in MIN_MICROS..=MAX_MICROS) {
            let time = DateTime::<Utc>::from_timestamp_micros(value).unwrap();
            let text = time.to_rfc3339_opts(SecondsFormat::Micros, true);
            prop_assert_eq!(timestamp(text.as_bytes(), false), Some(value));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (date(&text), timestamp(&text, true), epoch_millis(&text));
        }

        #[test]
        fn what_chrono_refuses_is_refused_too(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-5][0-9]:[0-5][0-9]Z") {
            let ours = timestamp(text.as_bytes(), false);
            let theirs = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.timestamp_micros());
            prop_assert_eq!(ours, theirs.filter(|micros| (MIN_MICROS..=MAX_MICROS).contains(micros)));
        }
    }
}
