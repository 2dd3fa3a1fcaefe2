//! What calls cost: windows of a minute, an hour and a day, by the virtual clock.

use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::json;

use super::call::json_answer;
use super::options::{Behaviour, RateLimits};

const SECONDS: [i64; 3] = [60, 3_600, 86_400];

/// The windows: when each began, and the calls in it.
#[derive(Debug, Default)]
pub(super) struct Limits([(i64, u64); 3]);

fn allowed(limits: RateLimits) -> [u64; 3] {
    [limits.minute, limits.hour, limits.day]
}

impl Limits {
    /// Counts a call. Above a limit it says after how many seconds to come back; refused calls count too.
    pub(super) fn spend(&mut self, now: Timestamp, behaviour: &Behaviour) -> Option<i64> {
        let mut wait = None;
        let limits = allowed(behaviour.rate_limits);
        for ((window, length), limit) in self.0.iter_mut().zip(SECONDS).zip(limits) {
            let begin = now.seconds() - now.seconds().rem_euclid(length);
            if window.0 != begin {
                *window = (begin, 0);
            }
            window.1 += 1;
            if window.1 > limit {
                let left = begin + length - now.seconds();
                wait = wait.max(Some(left));
            }
        }
        wait.filter(|_| behaviour.limits)
    }

    /// Tells of the limits in headers. The window that has the least left is the one that is told of.
    pub(super) fn sign(
        &self,
        response: Response,
        now: Timestamp,
        behaviour: &Behaviour,
    ) -> Response {
        let RateLimits { minute, hour, day } = behaviour.rate_limits;
        let windows = self
            .0
            .iter()
            .zip(SECONDS)
            .zip(allowed(behaviour.rate_limits));
        let tightest = windows
            .map(|((window, length), limit)| {
                let left = limit.saturating_sub(window.1);
                (left, limit, window.0 + length - now.seconds())
            })
            .min();
        let (left, limit, reset) = tightest.unwrap_or((minute, minute, 60));
        let limit = format!("{limit}, {minute};w=60, {hour};w=3600, {day};w=86400");
        let concurrency = behaviour.concurrency_limit;
        let remaining = behaviour
            .concurrency_remaining
            .unwrap_or(concurrency.saturating_sub(1));
        response
            .with_header("ratelimit-limit", &limit)
            .with_header("ratelimit-remaining", &left.to_string())
            .with_header("ratelimit-reset", &reset.to_string())
            .with_header("Concurrency-Limit-Type", "Default")
            .with_header("Concurrency-Limit-Limit", &concurrency.to_string())
            .with_header("Concurrency-Limit-Remaining", &remaining.to_string())
    }
}

/// 429 for too many calls in a window.
pub(super) fn too_many(seconds: i64) -> Response {
    let body = json!({
        "success": false,
        "processId": "5D1C0A7788E2F390",
        "reasons": [{
            "code": "90000070",
            "message": "Your total number of requests has exceeded the limit allowed by the system.",
        }],
    });
    json_answer(429, &body).with_header("Retry-After", &seconds.to_string())
}

/// 429 for too many at the same time.
pub(super) fn too_concurrent(seconds: u64) -> Response {
    let body = json!({
        "code": "REQUEST_EXCEEDED_LIMIT",
        "message": "Your total number of concurrent requests have exceeded the limit allowed by the system. \
                    Please resubmit your request later.",
    });
    json_answer(429, &body).with_header("Retry-After", &seconds.to_string())
}
