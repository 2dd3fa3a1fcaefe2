//! When a pipeline is due: cron fields in a time zone, correct over daylight-saving changes.
//!
//! A fixed time that does not exist on the day of a change runs at the next instant that does; one that
//! exists twice runs once. Fields such as `*/15` keep their pace on the real time line.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::str::FromStr as _;
use std::time::Duration;

use chrono_tz::Tz;
use croner::Cron;
use overlock_core::Timestamp;

use crate::suggest;

/// A schedule that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    cron: Cron,
    zone: Tz,
    jitter: Duration,
    name: String,
}

/// What is wrong with cron fields, if anything.
pub(crate) fn cron_problem(text: &str) -> Option<String> {
    let fields = text.split_whitespace().count();
    if fields != 5 && !text.starts_with('@') {
        return Some(format!(
            "write five fields (minute hour day month weekday), not {fields}"
        ));
    }
    match Cron::from_str(text) {
        Ok(_) => None,
        Err(error) => Some(overlock_core::text::printable(&error.to_string())),
    }
}

/// What is wrong with the name of a time zone, if anything.
pub(crate) fn zone_problem(text: &str) -> Option<String> {
    if Tz::from_str(text).is_ok() {
        return None;
    }
    let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    Some(match suggest::nearest(text, names) {
        Some(found) => format!("did you mean `{found}`?"),
        None => "use a name of the time-zone database, such as Europe/Berlin".to_owned(),
    })
}

impl Schedule {
    /// A schedule from texts that passed [`cron_problem`] and [`zone_problem`]; `None` otherwise.
    pub(crate) fn new(name: &str, cron: &str, zone: &str, jitter: Duration) -> Option<Self> {
        Some(Self {
            cron: Cron::from_str(cron).ok()?,
            zone: Tz::from_str(zone).ok()?,
            jitter,
            name: name.to_owned(),
        })
    }

    /// The zone's name.
    pub(crate) fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first scheduled start after `time`, jitter included; `None` if there is none any more.
    pub(crate) fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        // With jitter a start belongs to an instant up to `jitter` earlier, so the search begins there.
        let mut from = time.minus(self.jitter);
        loop {
            let local = from.to_chrono().with_timezone(&self.zone);
            let found = self.cron.find_next_occurrence(&local, false).ok()?;
            let instant = Timestamp::from_micros(found.timestamp_micros())?;
            let start = instant.plus(self.delay(instant));
            if start > time {
                return Some(start);
            }
            from = instant;
        }
    }

    /// Whether a scheduled start lies after the last one and not after `now`. A pipeline that never ran
    /// is due at once.
    pub(crate) fn is_due(&self, last_start: Option<Timestamp>, now: Timestamp) -> bool {
        match last_start {
            None => true,
            Some(last) => self.next_after(last).is_some_and(|next| next <= now),
        }
    }

    /// The start after `time` in the schedule's own zone, for people.
    pub(crate) fn local(&self, time: Timestamp) -> String {
        let local = time.to_chrono().with_timezone(&self.zone);
        local.format("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// The same for the same name and instant, so that every call and every host agree.
    fn delay(&self, instant: Timestamp) -> Duration {
        let seconds = self.jitter.as_secs();
        if seconds == 0 {
            return Duration::ZERO;
        }
        let mut hasher = DefaultHasher::new();
        (&self.name, instant.micros()).hash(&mut hasher);
        Duration::from_secs(hasher.finish() % seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn next_starts_follow_the_zone_over_daylight_saving_changes() {
        // covers: L15
        let table = [
            // Plain days.
            (
                "7 * * * *",
                "UTC",
                "2026-03-01T00:07:00Z",
                "2026-03-01T01:07:00Z",
            ),
            (
                "30 6 * * *",
                "Europe/Berlin",
                "2026-01-10T00:00:00Z",
                "2026-01-10T05:30:00Z",
            ),
            (
                "30 6 * * *",
                "Europe/Berlin",
                "2026-07-10T00:00:00Z",
                "2026-07-10T04:30:00Z",
            ),
            (
                "0 0 29 2 *",
                "UTC",
                "2026-03-01T00:00:00Z",
                "2028-02-29T00:00:00Z",
            ),
            (
                "0 9 * * MON",
                "America/New_York",
                "2026-03-02T20:00:00Z",
                "2026-03-09T13:00:00Z",
            ),
            // 2026-03-29: Berlin jumps from 02:00 to 03:00. 02:30 does not exist: next existing instant.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-30T00:30:00Z",
            ),
            // 2026-10-25: Berlin repeats 02:00 to 03:00. 02:30 runs once, at its first instant.
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                "2026-10-25T00:30:00Z",
            ),
            (
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z",
            ),
            // A pace keeps its pace through the repeated hour.
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
            ),
            (
                "*/30 * * * *",
                "Europe/Berlin",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
            ),
            // Half-hour zone.
            (
                "0 0 * * *",
                "Asia/Kolkata",
                "2026-01-01T00:00:00Z",
                "2026-01-01T18:30:00Z",
            ),
        ];
        for (cron, zone, after, expected) in table {
            let schedule = Schedule::new("crm", cron, zone, Duration::ZERO).unwrap();
            let next = schedule.next_after(at(after)).unwrap();
            assert_eq!(next, at(expected), "{cron} {zone} after {after}");
        }
    }

    #[test]
    fn due_means_a_scheduled_start_after_the_last_one() {
        let schedule = Schedule::new("crm", "0 * * * *", "UTC", Duration::ZERO).unwrap();
        for (last, now, expected) in [
            (None, "2026-03-01T10:30:00Z", true),
            (Some("2026-03-01T10:00:00Z"), "2026-03-01T10:59:59Z", false),
            (Some("2026-03-01T10:00:00Z"), "2026-03-01T11:00:00Z", true),
            (
                Some("2026-03-01T10:00:00.5Z"),
                "2026-03-01T10:30:00Z",
                false,
            ),
            // A host that slept for days catches up once.
            (Some("2026-02-01T10:00:00Z"), "2026-03-01T10:30:00Z", true),
            // A clock that went back never makes a pipeline due.
            (Some("2026-03-01T10:00:00Z"), "2026-02-01T00:00:00Z", false),
        ] {
            assert_eq!(
                schedule.is_due(last.map(at), at(now)),
                expected,
                "{last:?} {now}"
            );
        }
    }

    #[test]
    fn jitter_is_stable_bounded_and_differs_by_name() {
        let plain = at("2026-03-01T11:00:00Z");
        let mut starts = Vec::new();
        for name in ["crm", "billing", "support"] {
            let schedule =
                Schedule::new(name, "0 * * * *", "UTC", Duration::from_secs(600)).unwrap();
            let start = schedule.next_after(at("2026-03-01T10:15:00Z")).unwrap();
            assert_eq!(schedule.next_after(at("2026-03-01T10:15:00Z")), Some(start));
            assert!(start >= plain && start < plain.plus(Duration::from_secs(600)));
            assert!(schedule.next_after(start).unwrap() > start);
            starts.push(start);
        }
        assert!(starts[0] != starts[1] || starts[1] != starts[2]);
    }

    #[test]
    fn bad_fields_and_zones_are_told_with_a_suggestion() {
        assert!(cron_problem("7 * * *").unwrap().contains("five fields"));
        assert!(cron_problem("99 * * * *").is_some());
        assert!(cron_problem("7 * * * *").is_none());
        assert_eq!(
            zone_problem("Europe/Berln").unwrap(),
            "did you mean `Europe/Berlin`?"
        );
        assert!(
            zone_problem("Mars/Olympus")
                .unwrap()
                .contains("Europe/Berlin")
        );
    }
}
