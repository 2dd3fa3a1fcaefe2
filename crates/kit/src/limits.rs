//! How fast a source may be asked: calls per time, calls at once, and gates that the server shuts.
//!
//! One [`Limits`] per source instance; all its streams share it. Gates are for answers such as 429: when
//! one request is told to wait, all of its bucket wait, or all there are. A window learns from what the server
//! says about it, so that its whole allowance is used and no call is refused.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::http::Rate;
use crate::window::Window;

/// Named buckets and a gate. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Limits(Arc<Inner>);

#[derive(Default)]
struct Inner {
    buckets: Vec<Bucket>,
    /// Until when requests wait, by bucket; `None`: all of them.
    gates: Mutex<Vec<(Option<&'static str>, Instant)>>,
}

struct Bucket {
    /// Requests that name this bucket draw from it; `None`: all requests do.
    name: Option<&'static str>,
    kind: Kind,
}

enum Kind {
    Rate(Box<DefaultDirectRateLimiter>),
    Window(Window),
    Concurrent(Places),
}

/// Places for calls at once, some of which may be withheld for a time.
struct Places {
    free: Arc<Semaphore>,
    most: usize,
    withheld: Mutex<usize>,
}

impl Places {
    fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            withheld: Mutex::new(0),
        }
    }

    /// Has as many places as calls are under way, and `room` more or less; at least one, at most all.
    fn learn(&self, room: i64) {
        let mut withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.most.saturating_sub(*withheld);
        let busy = open.saturating_sub(self.free.available_permits());
        let wanted = i64::try_from(busy).unwrap_or(i64::MAX).saturating_add(room);
        let wanted = usize::try_from(wanted).unwrap_or(0).clamp(1, self.most);
        if wanted > open {
            self.free.add_permits(wanted - open);
            *withheld -= wanted - open;
        } else {
            // Those in use are taken back when they are free: the next answer says how many are too many then.
            *withheld += self.free.forget_permits(open - wanted);
        }
    }
}

/// Leave to send one request; give it back by dropping it.
#[derive(Debug, Default)]
pub struct Permit {
    held: Vec<OwnedSemaphorePermit>,
}

impl Limits {
    /// No limits but the gate.
    pub fn none() -> Self {
        Self::default()
    }

    /// Builds limits from a list.
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let buckets = limits
            .into_iter()
            .map(|limit| match limit {
                Limit::Rate { bucket, calls, per } => {
                    let calls = NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN);
                    // `with_period` refuses zero only.
                    let each = (per / calls.get()).max(Duration::from_nanos(1));
                    let quota = Quota::with_period(each)
                        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX))
                        .allow_burst(calls);
                    Bucket {
                        name: bucket,
                        kind: Kind::Rate(Box::new(governor::RateLimiter::direct(quota))),
                    }
                }
                Limit::Window {
                    bucket,
                    calls,
                    per,
                    share,
                } => Bucket {
                    name: bucket,
                    kind: Kind::Window(Window::new(calls, per, share)),
                },
                Limit::Concurrent { bucket, calls } => Bucket {
                    name: bucket,
                    kind: Kind::Concurrent(Places::new(calls.max(1))),
                },
            })
            .collect();
        Self(Arc::new(Inner {
            buckets,
            gates: Mutex::default(),
        }))
    }

    /// Waits until a request of `bucket` may be sent.
    ///
    /// # Errors
    /// The time that is left if the gate stays shut for longer than `max_wait`.
    pub async fn ready(
        &self,
        bucket: Option<&'static str>,
        max_wait: Duration,
    ) -> Result<Permit, Duration> {
        let mut permit = Permit::default();
        let mine = |limit: &&Bucket| limit.name.is_none() || limit.name == bucket;
        for limit in self.0.buckets.iter().filter(mine) {
            match &limit.kind {
                Kind::Concurrent(Places { free, .. }) => {
                    // The semaphore is never closed, so this fails never; without a permit the request goes on.
                    if let Ok(held) = Arc::clone(free).acquire_owned().await {
                        permit.held.push(held);
                    }
                }
                Kind::Window(window) => {
                    while let Err(wait) = window.take() {
                        crate::sleep(wait).await;
                    }
                }
                Kind::Rate(limiter) => {
                    while let Err(not_until) = limiter.check() {
                        let wait = not_until.wait_time_from(DefaultClock::default().now());
                        crate::sleep(wait.max(Duration::from_millis(1))).await;
                    }
                }
            }
        }
        // The gates come last: one may have been shut while this request stood in line.
        while let Some(wait) = self.gate_wait(bucket) {
            if wait > max_wait {
                return Err(wait);
            }
            crate::sleep(wait).await;
        }
        Ok(permit)
    }

    /// Shuts the gate for the requests of a bucket, or for all; returns by how much that is longer than it already
    /// was.
    pub fn shut(&self, bucket: Option<&'static str>, wait: Duration) -> Duration {
        let now = Instant::now();
        let Some(until) = now.checked_add(wait) else {
            return Duration::ZERO;
        };
        let mut gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|(_, until)| *until > now);
        let Some((_, shut)) = gates.iter_mut().find(|(name, _)| *name == bucket) else {
            gates.push((bucket, until));
            return wait;
        };
        let before = *shut;
        *shut = before.max(until);
        until.saturating_duration_since(before)
    }

    /// Takes in what the server says about its windows.
    pub fn learn(&self, rates: &[Rate]) {
        for rate in rates {
            for limit in self.0.buckets.iter().filter(|one| one.name == rate.bucket) {
                if let Kind::Window(window) = &limit.kind {
                    window.learn(rate);
                }
            }
        }
    }

    /// Takes in how many more calls the server would take at once, or how many fewer it should be.
    pub fn learn_room(&self, room: i64) {
        for limit in self.0.buckets.iter().filter(|one| one.name.is_none()) {
            if let Kind::Concurrent(places) = &limit.kind {
                places.learn(room);
            }
        }
    }

    /// How long the gates before a request of this bucket stay shut.
    fn gate_wait(&self, bucket: Option<&'static str>) -> Option<Duration> {
        let now = Instant::now();
        let gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates
            .iter()
            .filter(|(name, _)| name.is_none() || *name == bucket)
            .map(|(_, until)| until.saturating_duration_since(now))
            .max()
            .filter(|wait| !wait.is_zero())
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("buckets", &self.0.buckets.len())
            .finish_non_exhaustive()
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many calls in each such time, in bursts if need be.
    Rate {
        /// Which requests; `None`: all.
        bucket: Option<&'static str>,
        /// How many.
        calls: u32,
        /// In what time.
        per: Duration,
    },
    /// So many calls in each window of the server's, which says in its answers what is left and when the next
    /// one begins.
    Window {
        /// Which requests; `None`: all.
        bucket: Option<&'static str>,
        /// How many, until the server says.
        calls: u32,
        /// In what time, until the server says.
        per: Duration,
        /// The part of them that is ours to use, in percent; the rest is for others.
        share: u8,
    },
    /// So many calls at once.
    Concurrent {
        /// Which requests; `None`: all.
        bucket: Option<&'static str>,
        /// How many.
        calls: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1_000);

    #[tokio::test(start_paused = true)]
    async fn a_shut_gate_holds_all_requests_until_its_time() {
        // covers: N8
        let limits = Limits::none();
        let started = Instant::now();
        assert_eq!(
            limits.shut(None, Duration::from_secs(7)),
            Duration::from_secs(7)
        );
        assert_eq!(limits.shut(None, Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(
            limits.shut(None, Duration::from_secs(9)),
            Duration::from_secs(2)
        );
        let (a, b) = tokio::join!(limits.ready(None, LONG), limits.ready(Some("jobs"), LONG));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(started.elapsed().as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_of_one_bucket_holds_only_that_bucket() {
        let limits = Limits::none();
        let started = Instant::now();
        limits.shut(Some("exports"), Duration::from_secs(30));
        limits.ready(Some("lists"), LONG).await.unwrap();
        limits.ready(None, LONG).await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
        limits.ready(Some("exports"), LONG).await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 30);
        limits.shut(None, Duration::from_secs(5));
        limits.ready(Some("lists"), LONG).await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 35);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_shut_for_too_long_is_not_waited_for() {
        // covers: N9
        let limits = Limits::none();
        limits.shut(None, LONG * 2);
        let started = Instant::now();
        assert_eq!(limits.ready(None, LONG).await.unwrap_err(), LONG * 2);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_are_bounded_per_bucket() {
        let limits = Limits::new([
            Limit::Concurrent {
                bucket: None,
                calls: 2,
            },
            Limit::Concurrent {
                bucket: Some("jobs"),
                calls: 1,
            },
        ]);
        let job = limits.ready(Some("jobs"), LONG).await.unwrap();
        let second = tokio::time::timeout(LONG, limits.ready(Some("jobs"), LONG)).await;
        assert!(second.is_err(), "a second job must wait");
        let call = limits.ready(None, LONG).await.unwrap();
        assert!(
            tokio::time::timeout(LONG, limits.ready(None, LONG))
                .await
                .is_err()
        );
        drop((job, call));
        assert!(limits.ready(Some("jobs"), LONG).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn places_follow_the_room_that_the_server_has() {
        let limits = Limits::new([Limit::Concurrent {
            bucket: None,
            calls: 4,
        }]);
        let soon = Duration::from_millis(1);
        let take = || async {
            tokio::time::timeout(soon, limits.ready(None, LONG))
                .await
                .ok()
        };
        let first = take().await.unwrap();
        limits.learn_room(1);
        let second = take().await.unwrap();
        assert!(
            take().await.is_none(),
            "one was under way, and one more had room"
        );
        limits.learn_room(-5);
        drop((first, second));
        limits.learn_room(-5);
        let only = take().await.unwrap();
        assert!(take().await.is_none(), "one place is always left");
        limits.learn_room(100);
        let mut rest = Vec::new();
        while let Some(permit) = take().await {
            rest.push(permit);
        }
        assert_eq!(rest.len(), 3, "never more than at the start");
        drop(only);
    }

    #[tokio::test]
    async fn a_rate_lets_a_burst_pass_and_then_holds() {
        let limits = Limits::new([Limit::Rate {
            bucket: None,
            calls: 3,
            per: Duration::from_millis(150),
        }]);
        let started = std::time::Instant::now();
        for _ in 0..4 {
            limits.ready(None, LONG).await.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_millis(40));
    }
}
