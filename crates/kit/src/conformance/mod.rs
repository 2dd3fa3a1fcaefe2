//! The rules of a source, S1 to S5, as tests that every connector runs against its emulator.
//!
//! A connector implements [`Subject`] and [`World`] and writes one line in `tests/conformance.rs`:
//!
//! ```text
//! overlock_kit::conformance!(MySubject);
//! ```
//!
//! Its configuration should have tiny pauses (`http.backoff_base`, `http.rate_limit_wait`), because each
//! fault is injected at each request. The suite plays the engine: after a `Data` or `StateExpired` error
//! rows since the last state are thrown away and the read begins again.

mod reading;
mod rules;
mod telling;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use overlock_core::{Clock, Context, Result, Source, StreamName, Timestamp};

pub use rules::{
    Healed, every_rule, faults_at_every_request, nothing_outlives_the_stream,
    resume_from_every_state, schemas_and_keys, secrets_stay_secret,
};

/// A connector under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new world with the same rows each time, and no request made to it yet.
    async fn fresh(&self) -> Box<dyn World>;
}

/// An emulated account, and the connection to it.
pub trait World: Send + Sync {
    /// A source connected to this world, with credentials that work.
    ///
    /// # Errors
    /// As the connector's `connect`; fails the test.
    fn connect(&self, cx: &Context) -> Result<Arc<dyn Source>>;

    /// The clock of the world.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The streams to test: at least one of each way of reading.
    fn streams(&self) -> Vec<StreamName>;

    /// Start of history.
    fn since(&self) -> Option<Timestamp> {
        None
    }

    /// Upper bound of the reads; later than all rows.
    fn until(&self) -> Timestamp;

    /// The primary keys that a whole read of the stream yields, the parts of a key joined by `|`; `None`:
    /// the first undisturbed read is taken for the truth.
    fn expected(&self, stream: &StreamName) -> Option<BTreeSet<String>>;

    /// Requests that arrived so far.
    fn requests(&self) -> u64;

    /// Answers the request with this number (the first that ever arrives is 0) with a fault, once.
    fn inject(&self, index: u64, fault: Fault);

    /// Every credential and token of this world.
    fn canaries(&self) -> Vec<String>;
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Status 429, with `Retry-After: 0`.
    TooManyRequests,
    /// Status 503 with an HTML body.
    Unavailable,
    /// The connection is reset before the headers.
    Dropped,
    /// The connection is reset in the middle of the body.
    Cut,
    /// The token is no longer good, from this request on.
    TokenExpired,
    /// Jobs and cursors that exist now are gone, from this request on.
    JobExpired,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 6] = [
        Self::TooManyRequests,
        Self::Unavailable,
        Self::Dropped,
        Self::Cut,
        Self::TokenExpired,
        Self::JobExpired,
    ];
}

/// Makes one test per rule. The subject is an expression that is evaluated in each test.
#[macro_export]
macro_rules! conformance {
    ($subject:expr) => {
        #[tokio::test]
        async fn s1_s2_every_state_is_a_place_to_go_on_from() {
            $crate::conformance::resume_from_every_state(&$subject).await;
        }

        #[tokio::test]
        async fn s1_no_fault_loses_or_invents_a_row() {
            $crate::conformance::faults_at_every_request(&$subject).await;
        }

        #[tokio::test]
        async fn s3_batches_have_the_declared_schema() {
            $crate::conformance::schemas_and_keys(&$subject).await;
        }

        #[tokio::test]
        async fn s4_nothing_outlives_the_stream() {
            $crate::conformance::nothing_outlives_the_stream(&$subject).await;
        }

        #[tokio::test]
        async fn s5_secrets_stay_secret() {
            $crate::conformance::secrets_stay_secret(&$subject).await;
        }
    };
}
