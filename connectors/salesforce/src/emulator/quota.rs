//! The daily quotas: a rolling window of 24 hours on the virtual clock.

use std::collections::VecDeque;
use std::time::Duration;

use overlock_core::Timestamp;

use super::answer::{Answer, Refusal};
use super::options::Behaviour;

const DAY: Duration = Duration::from_secs(86_400);

/// Sum of amounts over the last 24 hours, kept per minute.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    minutes: VecDeque<(i64, u64)>,
    sum: u64,
}

impl Rolling {
    pub(super) fn add(&mut self, now: Timestamp, amount: u64) {
        let minute = now.seconds().div_euclid(60);
        self.sum += amount;
        match self.minutes.back_mut() {
            Some(last) if last.0 >= minute => last.1 += amount,
            _ => self.minutes.push_back((minute, amount)),
        }
    }

    pub(super) fn sum(&mut self, now: Timestamp) -> u64 {
        let oldest = now.minus(DAY).seconds().div_euclid(60);
        while let Some(&(minute, amount)) = self.minutes.front()
            && minute <= oldest
        {
            self.sum -= amount;
            self.minutes.pop_front();
        }
        self.sum
    }
}

/// What the org has used.
#[derive(Debug, Default)]
pub(super) struct Quota {
    pub(super) calls: Rolling,
    pub(super) bulk_jobs: Rolling,
    pub(super) bulk_bytes: Rolling,
    pub(super) batches: Rolling,
    /// Calls since the start, for tests.
    pub(super) total: u64,
}

impl Quota {
    /// Counts calls, or refuses them when the day's quota is used up.
    pub(super) fn spend(
        &mut self,
        now: Timestamp,
        calls: u64,
        behaviour: &Behaviour,
    ) -> Answer<()> {
        if self.used(now, behaviour) >= behaviour.daily_api_requests {
            return Err(Refusal::new(
                403,
                "REQUEST_LIMIT_EXCEEDED",
                "TotalRequests Limit exceeded.",
            ));
        }
        self.calls.add(now, calls);
        self.total += calls;
        Ok(())
    }

    /// Calls in the window, those of other programs included.
    pub(super) fn used(&mut self, now: Timestamp, behaviour: &Behaviour) -> u64 {
        self.calls.sum(now).saturating_add(behaviour.used_by_others)
    }

    /// Value of `Sforce-Limit-Info`.
    pub(super) fn header(&mut self, now: Timestamp, behaviour: &Behaviour) -> String {
        let used = self.used(now, behaviour);
        let most = behaviour.daily_api_requests;
        if behaviour.per_app_usage {
            let own = self.calls.sum(now);
            format!("api-usage={used}/{most}; per-app-api-usage={own}/250(appName=overlock)")
        } else {
            format!("api-usage={used}/{most}")
        }
    }

    /// The body of `/limits`.
    pub(super) fn limits(&mut self, now: Timestamp, behaviour: &Behaviour) -> String {
        const MEGABYTE: u64 = 1_000_000;
        let used_bytes = self.bulk_bytes.sum(now) / MEGABYTE;
        let limits = [
            ("ConcurrentAsyncGetReportInstances", 200, 0),
            ("ConcurrentSyncReportRuns", 20, 0),
            (
                "DailyApiRequests",
                behaviour.daily_api_requests,
                self.used(now, behaviour),
            ),
            ("DailyAsyncApexExecutions", 250_000, 0),
            ("DailyBulkApiBatches", 15_000, self.batches.sum(now)),
            ("DailyBulkV2QueryFileStorageMB", 976_562, used_bytes),
            (
                "DailyBulkV2QueryJobs",
                behaviour.daily_bulk_jobs,
                self.bulk_jobs.sum(now),
            ),
            ("DataStorageMB", 1_024, 5),
            ("FileStorageMB", 1_024, 1),
            ("HourlyODataCallout", 1_000, 0),
            ("SingleEmail", 5_000, 0),
        ];
        let entries: Vec<String> = limits
            .iter()
            .map(|(name, most, used)| {
                let remaining = most.saturating_sub(*used);
                format!("\"{name}\":{{\"Max\":{most},\"Remaining\":{remaining}}}")
            })
            .collect();
        format!("{{{}}}", entries.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_rolls_with_the_clock() {
        let start = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let behaviour = Behaviour {
            daily_api_requests: 20,
            used_by_others: 17,
            ..Behaviour::default()
        };
        let mut quota = Quota::default();
        for _ in 0..3 {
            quota.spend(start, 1, &behaviour).unwrap();
        }
        assert_eq!(quota.header(start, &behaviour), "api-usage=20/20");
        let refusal = quota.spend(start, 1, &behaviour).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (403, "REQUEST_LIMIT_EXCEEDED")
        );
        let almost = start.plus(Duration::from_secs(86_399));
        assert!(quota.spend(almost, 1, &behaviour).is_err());
        let next_day = start.plus(DAY);
        quota.spend(next_day, 1, &behaviour).unwrap();
        assert_eq!(quota.header(next_day, &behaviour), "api-usage=18/20");
        assert_eq!(quota.total, 4);
    }
}
