//! A server's window of calls, as far as its answers tell: how many are left in it, and when the next begins.
//!
//! Servers count calls in windows of a minute and refuse what is too much. A client that spreads its calls evenly
//! leaves some of each window unused; one that bursts is refused. This one follows the server's own count: calls
//! go out as long as some are left, then wait for the window's end. Answers that come late, or out of order, never
//! raise the count within a window.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::http::Rate;

/// Servers tell the end of a window in whole seconds, cut off: a call may be a second too early.
const ROUNDED: Duration = Duration::from_secs(1);
/// A window whose end is told to be so much later is the next one.
const NEXT_WINDOW: Duration = Duration::from_secs(3);
/// Ends of windows that nobody could mean are not believed.
const LONGEST: Duration = Duration::from_secs(3_600);

/// One window. All methods are quick.
#[derive(Debug)]
pub(crate) struct Window {
    share: u8,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Calls per window.
    calls: u32,
    per: Duration,
    /// Calls that were sent in this window.
    used: u32,
    /// Calls that are left in it, all clients together, as far as known.
    left: u32,
    ends: Option<Instant>,
}

impl Window {
    pub(crate) fn new(calls: u32, per: Duration, share: u8) -> Self {
        Self {
            share: share.clamp(1, 100),
            state: Mutex::new(State {
                calls: calls.max(1),
                per,
                used: 0,
                left: calls.max(1),
                ends: None,
            }),
        }
    }

    /// Takes one call, or says how long none is left.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ends.is_some_and(|ends| now >= ends) {
            state.begin();
        }
        let ours = (u64::from(state.calls) * u64::from(self.share) / 100).max(1);
        if state.left == 0 || u64::from(state.used) >= ours {
            let ends = *state.ends.get_or_insert(now + ROUNDED);
            return Err(ends
                .saturating_duration_since(now)
                .max(Duration::from_millis(1)));
        }
        state.used += 1;
        state.left -= 1;
        if state.ends.is_none() {
            // Until the server says: a window that begins with this call.
            state.ends = Some(now + state.per + ROUNDED);
        }
        Ok(())
    }

    /// Takes in what an answer says.
    pub(crate) fn learn(&self, rate: &Rate) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = rate.limit.filter(|limit| *limit > 0) {
            if limit > state.calls {
                // More than was assumed: what is left grows by as much.
                state.left = state.left.saturating_add(limit - state.calls);
            }
            state.calls = limit;
            state.left = state.left.min(limit);
        }
        if let Some(resets) = rate.resets.filter(|resets| *resets <= LONGEST) {
            let ends = now + resets + ROUNDED;
            let known = state.ends.unwrap_or(ends);
            if ends > known + NEXT_WINDOW && state.used > 1 {
                // The server has begun another window: this call is its first.
                state.used = 1;
                state.left = state.calls.saturating_sub(1);
            }
            // Told again and again, cut to seconds: the earliest end is the nearest to the truth.
            state.ends = Some(if ends > known + NEXT_WINDOW {
                ends
            } else {
                known.min(ends)
            });
        }
        if let Some(remaining) = rate.remaining {
            state.left = state.left.min(remaining);
        }
    }
}

impl State {
    fn begin(&mut self) {
        self.used = 0;
        self.left = self.calls;
        self.ends = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A server with windows of a minute that begin on the minute.
    struct Server {
        started: Instant,
        limit: u32,
        offset: Duration,
        count: Mutex<(u64, u32)>,
        refused: Mutex<u32>,
        answered: Mutex<u32>,
    }

    impl Server {
        fn new(limit: u32, offset: u64) -> Arc<Self> {
            Arc::new(Self {
                started: Instant::now(),
                limit,
                offset: Duration::from_secs(offset),
                count: Mutex::new((0, 0)),
                refused: Mutex::new(0),
                answered: Mutex::new(0),
            })
        }

        fn ask(&self) -> Rate {
            let now = self.started.elapsed() + self.offset;
            let window = now.as_secs() / 60;
            let mut count = self.count.lock().unwrap();
            if count.0 != window {
                *count = (window, 0);
            }
            if count.1 >= self.limit {
                *self.refused.lock().unwrap() += 1;
            } else {
                count.1 += 1;
                *self.answered.lock().unwrap() += 1;
            }
            Rate {
                bucket: None,
                limit: Some(self.limit),
                remaining: Some(self.limit - count.1),
                resets: Some(Duration::from_secs(60 - now.as_secs() % 60)),
            }
        }
    }

    /// `workers` clients ask for `minutes`; an answer takes `latency`.
    async fn load(
        server: Arc<Server>,
        window: Window,
        workers: u32,
        latency: u64,
        minutes: u64,
    ) -> (u32, u32) {
        let window = Arc::new(window);
        let tasks: Vec<_> = (0..workers)
            .map(|worker| {
                let (server, window) = (Arc::clone(&server), Arc::clone(&window));
                tokio::spawn(async move {
                    while server.started.elapsed() < Duration::from_secs(minutes * 60) {
                        match window.take() {
                            Ok(()) => {
                                // The way there and back differs from worker to worker.
                                let way = Duration::from_millis(latency + u64::from(worker) * 7);
                                crate::sleep(way / 2).await;
                                let rate = server.ask();
                                crate::sleep(way / 2).await;
                                window.learn(&rate);
                            }
                            Err(wait) => crate::sleep(wait).await,
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let done = *server.answered.lock().unwrap();
        let refused = *server.refused.lock().unwrap();
        (done, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_each_window_is_used_and_no_call_is_refused() {
        for (limit, workers, latency, offset, assumed) in [
            (10, 1, 100, 0, 10),
            (10, 1, 2_000, 31, 10),
            (30, 1, 300, 59, 10),
            (700, 20, 250, 17, 200),
        ] {
            let server = Server::new(limit, offset);
            let window = Window::new(assumed, Duration::from_secs(60), 100);
            let (done, refused) = load(server, window, workers, latency, 60).await;
            assert_eq!(refused, 0, "{limit} {offset}");
            let allowed = limit * 60;
            assert!(
                done * 100 >= allowed * 98,
                "{limit} {offset}: {done} of {allowed}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_leaves_the_rest_to_others() {
        let server = Server::new(100, 0);
        let window = Window::new(100, Duration::from_secs(60), 60);
        let (done, refused) = load(server, window, 4, 50, 10).await;
        assert_eq!(refused, 0);
        assert!((590..=600).contains(&done), "{done}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_word_from_the_server_the_assumed_rate_holds() {
        let window = Window::new(10, Duration::from_secs(60), 100);
        let started = Instant::now();
        let mut sent = 0;
        while started.elapsed() < Duration::from_secs(600) {
            match window.take() {
                Ok(()) => sent += 1,
                Err(wait) => crate::sleep(wait).await,
            }
        }
        assert!((90..=100).contains(&sent), "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn nonsense_neither_stops_nor_unleashes_it() {
        let window = Window::new(10, Duration::from_secs(60), 100);
        window.learn(&Rate {
            bucket: None,
            limit: Some(0),
            remaining: Some(u32::MAX),
            resets: Some(Duration::MAX),
        });
        assert_eq!((0..20).filter(|_| window.take().is_ok()).count(), 10);
    }
}
