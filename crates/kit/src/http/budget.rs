//! What a run may spend: API calls, retries, and time spent waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result};
use rand::Rng as _;

use super::config::HttpConfig;

/// Counters of one client, shared by all its requests.
#[derive(Debug, Default)]
pub(super) struct Budget {
    calls: AtomicU64,
    retries: AtomicU64,
    waited_millis: AtomicU64,
}

/// Context pair of errors that say when to come again.
pub(super) const RETRY_AFTER: &str = "retry_after_s";
/// Context pair of errors that were tried again until nothing was left to try.
pub(super) const ATTEMPTS: &str = "attempts";

impl Budget {
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Takes one API call.
    pub(super) fn take_call(&self, max: Option<u64>) -> Result<()> {
        let taken = self
            .calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
                max.is_none_or(|max| calls < max).then(|| calls + 1)
            });
        match (taken, max) {
            (Err(_), Some(max)) => Err(Error::new(
                ErrorKind::RateLimited,
                format!("make another API call: the budget of {max} calls of this run is used up"),
            )
            .context("max_api_calls", max)
            .hint("what was read is kept; run again to go on, or raise `max_api_calls`")),
            _ => Ok(()),
        }
    }

    /// Takes one retry: a fixed number per run and a share of its calls.
    pub(super) fn take_retry(&self, config: &HttpConfig) -> bool {
        let earned = self.calls().saturating_mul(u64::from(config.retry_percent)) / 100;
        let max = u64::from(config.retries).saturating_add(earned);
        self.retries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |retries| {
                (retries < max).then(|| retries + 1)
            })
            .is_ok()
    }

    /// Takes waiting time; `false` if there is not enough left.
    pub(super) fn take_wait(&self, wait: Duration, config: &HttpConfig) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let max = millis(config.max_total_wait);
        self.waited_millis
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waited| {
                let sum = waited.saturating_add(millis(wait));
                (sum <= max).then_some(sum)
            })
            .is_ok()
    }
}

/// The pause before attempt `attempt` (from 2): at random between zero and a bound that doubles.
pub(super) fn backoff(attempt: u32, config: &HttpConfig) -> Duration {
    let bound = bound(attempt, config);
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rand::rng().random_range(0..=micros))
}

fn bound(attempt: u32, config: &HttpConfig) -> Duration {
    let doublings = attempt.saturating_sub(2).min(30);
    config
        .backoff_base
        .saturating_mul(1 << doublings)
        .min(config.backoff_cap)
}

/// The run must stop because the wait that was asked for does not fit its budget.
pub(super) fn wait_too_long(wait: Duration) -> Error {
    let seconds = wait.as_secs().max(1);
    Error::new(
        ErrorKind::RateLimited,
        format!(
            "wait for the service: it asks to wait {}, longer than this run may",
            crate::duration::format(Duration::from_secs(seconds))
        ),
    )
    .context(RETRY_AFTER, seconds)
    .hint("what was read is kept; run again after that time, or raise `http.max_wait` and `http.max_total_wait`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calls_end_with_the_budget() {
        // covers: L16
        let budget = Budget::default();
        assert!(budget.take_call(Some(2)).is_ok());
        assert!(budget.take_call(Some(2)).is_ok());
        let error = budget.take_call(Some(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(budget.calls(), 2);
        assert!(budget.take_call(None).is_ok());
    }

    proptest! {
        #[test]
        fn the_retry_schedule_stays_within_its_budgets(
            calls in 0_u64..5_000, retries in 0_u32..50, percent in 0_u32..50,
            base in 1_u64..10_000, cap in 1_u64..100_000, waits in proptest::collection::vec(0_u64..1_000_000, 0..50),
        ) {
            let config = HttpConfig {
                retries, retry_percent: percent,
                backoff_base: Duration::from_millis(base), backoff_cap: Duration::from_millis(cap),
                max_total_wait: Duration::from_secs(3_000),
                ..HttpConfig::default()
            };
            let budget = Budget::default();
            for _ in 0..calls { budget.take_call(None).unwrap(); }
            let taken = (0..10_000).filter(|_| budget.take_retry(&config)).count() as u64;
            prop_assert_eq!(taken, u64::from(retries) + calls * u64::from(percent) / 100);
            for attempt in 0..200 {
                prop_assert!(backoff(attempt, &config) <= Duration::from_millis(cap));
                prop_assert!(bound(attempt, &config) <= bound(attempt + 1, &config));
            }
            let spent: u64 = waits.iter().filter(|wait| budget.take_wait(Duration::from_millis(**wait), &config)).sum();
            prop_assert!(spent <= 3_000_000);
        }
    }
}
