//! Dates as numbers of days since 1970-01-01, and the midnights of Los Angeles.

use overlock_core::Timestamp;

/// Seconds since the epoch.
pub(crate) type Sec = i64;

pub(crate) const DAY: Sec = 86_400;

/// A calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) i64);

impl Day {
    /// The day an instant falls on, in UTC.
    pub(crate) fn of(at: Sec) -> Self {
        Self(at.div_euclid(DAY))
    }

    /// `YYYY-MM-DD`.
    pub(crate) fn text(self) -> String {
        let mut text = instant(self.0.saturating_mul(DAY)).to_string();
        text.truncate(10);
        text
    }

    pub(crate) fn plus(self, days: i64) -> Self {
        Self(self.0 + days)
    }

    /// Year, month and day of the month, all from 1.
    fn parts(self) -> (i64, i64, i64) {
        let text = self.text();
        let mut parts = text.split('-').map(|part| part.parse().unwrap_or(1));
        let mut next = || parts.next().unwrap_or(1);
        (next(), next(), next())
    }

    fn from_parts(year: i64, month: i64, day: i64) -> Self {
        let text = format!("{year:04}-{month:02}-{day:02}");
        Timestamp::parse(&text).map_or(Self(0), |time| Self::of(time.seconds()))
    }

    /// The same day some months later, or the 28th if it is later than that, which every month has.
    pub(crate) fn plus_months(self, months: i64) -> Self {
        let (year, month, day) = self.parts();
        let count = year * 12 + month - 1 + months;
        Self::from_parts(count.div_euclid(12), count.rem_euclid(12) + 1, day.min(28))
    }

    /// The first day of its month.
    pub(crate) fn first_of_month(self) -> Self {
        let (year, month, _) = self.parts();
        Self::from_parts(year, month, 1)
    }

    /// The instant at which it begins in Los Angeles, which is the time of the service itself.
    pub(crate) fn midnight_in_los_angeles(self) -> Sec {
        let (year, _, _) = self.parts();
        // Clocks change at two in the morning: the Sunday itself still begins in the time before.
        let summer = Self::from_parts(year, 3, 1).sunday().plus(7);
        let winter = Self::from_parts(year, 11, 1).sunday();
        let hours = if self > summer && self <= winter {
            7
        } else {
            8
        };
        self.0 * DAY + hours * 3_600
    }

    /// The first Sunday on it or after it; the epoch was a Thursday.
    fn sunday(self) -> Self {
        self.plus((3 - self.0).rem_euclid(7))
    }
}

/// An instant; the epoch if there is no such.
pub(crate) fn instant(at: Sec) -> Timestamp {
    Timestamp::from_seconds(at).unwrap_or(Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::of(Timestamp::parse(text).unwrap().seconds())
    }

    #[test]
    fn midnights_of_los_angeles_follow_its_summer_time() {
        for (text, wanted) in [
            ("2026-01-15", "2026-01-15T08:00:00Z"),
            ("2026-03-08", "2026-03-08T08:00:00Z"),
            ("2026-03-09", "2026-03-09T07:00:00Z"),
            ("2026-07-04", "2026-07-04T07:00:00Z"),
            ("2026-11-01", "2026-11-01T07:00:00Z"),
            ("2026-11-02", "2026-11-02T08:00:00Z"),
        ] {
            let at = day(text).midnight_in_los_angeles();
            assert_eq!(instant(at).to_string(), wanted);
        }
    }

    #[test]
    fn months_are_added_over_the_end_of_the_year() {
        assert_eq!(day("2025-11-30").plus_months(3).text(), "2026-02-28");
        assert_eq!(day("2026-01-05").plus_months(-1).text(), "2025-12-05");
        assert_eq!(day("2026-02-19").first_of_month().text(), "2026-02-01");
    }
}
