//! Asking a run to stop: first gently, then at once.

use std::sync::Arc;

use tokio::sync::watch;

/// Why a run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// SIGINT.
    Interrupt,
    /// SIGTERM or SIGHUP.
    Terminate,
    /// The run's time limit is over.
    Timeout,
    /// Another stream failed and the run was told to fail fast.
    FailFast,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    None,
    AtNextState,
    Now,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    urgency: Urgency,
    reason: Option<StopReason>,
}

/// A handle that stops a run. The first request lets each stream go on to its next state, seal and
/// commit within the grace time; the second abandons everything at once. Both are safe at any moment.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<Level>>);

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A handle that nobody has used yet.
    pub fn new() -> Self {
        let level = Level {
            urgency: Urgency::None,
            reason: None,
        };
        Self(Arc::new(watch::Sender::new(level)))
    }

    /// Asks for a stop; asking again makes it immediate.
    pub fn request(&self, reason: StopReason) {
        self.0.send_modify(|level| {
            level.urgency = match level.urgency {
                Urgency::None => Urgency::AtNextState,
                Urgency::AtNextState | Urgency::Now => Urgency::Now,
            };
            level.reason.get_or_insert(reason);
        });
    }

    /// The first reason that was given, if any.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.borrow().reason
    }

    /// Asks for a stop at the next state unless one was asked for already.
    pub(crate) fn request_once(&self, reason: StopReason) {
        self.0.send_if_modified(|level| {
            let first = level.urgency == Urgency::None;
            if first {
                *level = Level {
                    urgency: Urgency::AtNextState,
                    reason: Some(reason),
                };
            }
            first
        });
    }

    /// Makes the stop immediate.
    pub(crate) fn now(&self) {
        self.0.send_modify(|level| level.urgency = Urgency::Now);
    }

    /// Waits for the first request.
    pub(crate) async fn requested(&self) {
        self.reached(Urgency::AtNextState).await;
    }

    /// Waits until the stop is immediate.
    pub(crate) async fn immediate(&self) {
        self.reached(Urgency::Now).await;
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.borrow().urgency >= Urgency::AtNextState
    }

    async fn reached(&self, urgency: Urgency) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        if receiver
            .wait_for(|level| level.urgency >= urgency)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_immediate_and_the_first_reason_stays() {
        let stop = Stop::new();
        assert!(!stop.is_requested());
        stop.request_once(StopReason::Timeout);
        stop.request_once(StopReason::FailFast);
        assert_eq!(stop.0.borrow().urgency, Urgency::AtNextState);
        stop.request(StopReason::Interrupt);
        assert_eq!(stop.0.borrow().urgency, Urgency::Now);
        assert_eq!(stop.reason(), Some(StopReason::Timeout));
    }
}
