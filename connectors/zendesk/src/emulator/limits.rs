//! Budgets of requests per minute, by the virtual clock, and what they have counted.

use std::collections::BTreeMap;
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::{Value, json};

use super::answer::JSON;
use super::options::{Behaviour, RetryAfter};

/// Requests per minute that are told where requests are not counted.
const WITHOUT_LIMITS: u64 = 1_000_000;

/// A budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bucket {
    Plan,
    HelpCenter,
    Exports,
    UsersCursor,
    Sample,
    SearchExport,
    TicketsIndex,
}

impl Bucket {
    const ALL: [Self; 7] = [
        Self::Plan,
        Self::HelpCenter,
        Self::Exports,
        Self::UsersCursor,
        Self::Sample,
        Self::SearchExport,
        Self::TicketsIndex,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::HelpCenter => "help-center",
            Self::Exports => "incremental-exports",
            Self::UsersCursor => "incremental-exports-cursor",
            Self::Sample => "incremental-sample",
            Self::SearchExport => "search-export",
            Self::TicketsIndex => "tickets-index",
        }
    }

    fn limit(self, behaviour: &Behaviour) -> u64 {
        match (self, behaviour.high_volume) {
            (Self::Plan | Self::HelpCenter, true) => 2_500.max(behaviour.plan_per_minute),
            (Self::Plan | Self::HelpCenter, false) => behaviour.plan_per_minute,
            (Self::Exports, true) => 30,
            (Self::Exports | Self::Sample, _) => 10,
            (Self::UsersCursor, true) => 60,
            (Self::UsersCursor, false) => 20,
            (Self::SearchExport, _) => 100,
            (Self::TicketsIndex, _) => 50,
        }
    }

    fn window(self) -> Duration {
        Duration::from_secs(if self == Self::Sample { 1_200 } else { 60 })
    }

    /// What a request is counted against.
    pub(super) fn of(path: &str, page: u64) -> Vec<Self> {
        let mut all = vec![
            if path.starts_with("help_center/") || path.starts_with("community/") {
                Self::HelpCenter
            } else {
                Self::Plan
            },
        ];
        if path.starts_with("incremental/") {
            all.push(match path {
                _ if path.ends_with("/sample") => Self::Sample,
                "incremental/users/cursor" => Self::UsersCursor,
                _ => Self::Exports,
            });
        } else if path == "search/export" {
            all.push(Self::SearchExport);
        } else if path == "tickets" && page > 500 {
            all.push(Self::TicketsIndex);
        }
        all
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    /// Begin of the window: that of its first request.
    since: Timestamp,
    used: u64,
    total: u64,
    refused: u64,
    /// Most requests in one window.
    most: u64,
}

/// All budgets.
#[derive(Debug, Default)]
pub(super) struct Limits {
    counts: BTreeMap<Bucket, Count>,
}

impl Limits {
    /// Counts a request; says in how many seconds to come back if a budget is used up.
    pub(super) fn spend(
        &mut self,
        buckets: &[Bucket],
        now: Timestamp,
        behaviour: &Behaviour,
    ) -> Option<(Bucket, u64)> {
        for bucket in buckets {
            let limit = bucket.limit(behaviour);
            let count = self.count(*bucket, now, behaviour);
            if behaviour.limits && count.used >= limit {
                count.refused += 1;
                return Some((*bucket, rest(*bucket, count.since, now)));
            }
        }
        for bucket in buckets {
            let count = self.count(*bucket, now, behaviour);
            count.used += 1;
            count.total += 1;
            count.most = count.most.max(count.used);
        }
        None
    }

    fn count(&mut self, bucket: Bucket, now: Timestamp, behaviour: &Behaviour) -> &mut Count {
        let others = match bucket {
            Bucket::Plan => behaviour.used_by_others,
            _ => 0,
        };
        let count = self.counts.entry(bucket).or_insert(Count {
            since: now,
            used: others,
            total: 0,
            refused: 0,
            most: 0,
        });
        if now < count.since || now.since(count.since) >= bucket.window() {
            count.since = now;
            count.used = others;
        }
        count
    }

    /// Adds the three families of headers.
    pub(super) fn sign(
        &mut self,
        response: Response,
        buckets: &[Bucket],
        now: Timestamp,
        behaviour: &Behaviour,
    ) -> Response {
        let mut response = response;
        let old = if behaviour.old_headers {
            "rate-limit"
        } else {
            "ratelimit"
        };
        for bucket in buckets {
            let mut limit = bucket.limit(behaviour);
            let mut count = *self.count(*bucket, now, behaviour);
            if !behaviour.limits {
                // An account whose budgets nobody can use up; a careful client believes what it is told.
                (limit, count.used) = (WITHOUT_LIMITS, 0);
            }
            let remaining = limit.saturating_sub(count.used).to_string();
            let (limit, resets) = (
                limit.to_string(),
                rest(*bucket, count.since, now).to_string(),
            );
            response = match bucket {
                Bucket::Plan | Bucket::HelpCenter => response
                    .with_header("x-rate-limit", &limit)
                    .with_header("x-rate-limit-remaining", &remaining)
                    .with_header(
                        if behaviour.old_headers {
                            old
                        } else {
                            "ratelimit-limit"
                        },
                        &limit,
                    )
                    .with_header(&format!("{old}-remaining"), &remaining)
                    .with_header(&format!("{old}-reset"), &resets),
                _ => response.with_header(
                    &format!("zendesk-{old}-{}", bucket.name()),
                    &format!("total={limit}; remaining={remaining}; resets={resets}"),
                ),
            };
        }
        response
    }

    /// What was counted since the start.
    pub(super) fn stats(&self) -> Value {
        let mut buckets = serde_json::Map::new();
        for bucket in Bucket::ALL {
            if let Some(count) = self.counts.get(&bucket) {
                let entry = json!({
                    "requests": count.total, "refused": count.refused, "most_per_window": count.most,
                });
                buckets.insert(bucket.name().to_owned(), entry);
            }
        }
        Value::Object(buckets)
    }

    /// Requests that a budget has counted since the start.
    pub(super) fn total(&self, name: &str) -> u64 {
        let mut counts = self.counts.iter();
        let found = counts.find(|(bucket, _)| bucket.name() == name);
        found.map_or(0, |(_, count)| count.total)
    }

    /// Requests that were refused since the start.
    pub(super) fn refused(&self) -> u64 {
        self.counts.values().map(|count| count.refused).sum()
    }
}

fn rest(bucket: Bucket, since: Timestamp, now: Timestamp) -> u64 {
    let passed = now.since(since);
    let rest = bucket.window().saturating_sub(passed);
    // Whole seconds, rounded up: who waits so long finds the window over.
    rest.as_secs() + u64::from(rest.subsec_nanos() > 0)
}

/// The answer of a budget that is used up.
pub(super) fn too_many(secs: u64, now: Timestamp, behaviour: &Behaviour) -> Response {
    let text = "Number of allowed API requests per minute exceeded";
    let response = if behaviour.plain_429 {
        Response::of(429, "text/plain", text)
    } else {
        let body = json!({ "error": "APIRateLimitExceeded", "description": text });
        Response::of(429, JSON, body.to_string())
    };
    match behaviour.retry_after {
        RetryAfter::Seconds => response.with_header("retry-after", &secs.to_string()),
        RetryAfter::Date => {
            let then = now.plus(Duration::from_secs(secs)).to_chrono();
            let date = then.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            response.with_header("retry-after", &date)
        }
        RetryAfter::Missing => response,
    }
}
