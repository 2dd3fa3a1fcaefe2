//! What a source does.

use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;

use crate::BoxStream;
use crate::error::Result;
use crate::state::State;
use crate::stream::{Catalog, Stream};
use crate::time::Timestamp;

/// One outside system, connected with one set of credentials.
///
/// Rules, each with a test in the conformance suite:
/// - **S1** A state covers all rows yielded before it; restarting from it yields every later row at least
///   once and may repeat rows, never skip.
/// - **S2** Within one read, states never go back; the last page of a finished read carries a state if
///   the stream is incremental.
/// - **S3** Batches have exactly the declared schema (same names, order, types).
/// - **S4** No sleeping, retrying or limiting by hand: only through kit. No spawn that outlives the
///   returned stream.
/// - **S5** Credentials never appear in an error, event, log line or state.
#[async_trait]
pub trait Source: Send + Sync {
    /// Cheapest call that proves credentials and reach; does nothing a sync would not do.
    async fn check(&self) -> Result<()>;

    /// The streams this account offers, with their Arrow schemas. `only` names the streams wanted, so
    /// that a sync does not pay for describing all others; empty means all.
    async fn discover(&self, only: &[crate::StreamName]) -> Result<Catalog>;

    /// What a run is about to read, told once before its first read, so that a source can ask its service for
    /// several streams at a time. A hint: a stream may be read from another state, again, or not at all, and reads
    /// without a plan are as good.
    fn plan(&self, requests: &[ReadRequest]) {
        let _ = requests;
    }

    /// Rows after `request.state`, in pages.
    ///
    /// An `Err` ends the read. Rows after the last state that was yielded may be incomplete or damaged
    /// then: the engine throws them away and, for kinds `Data` and `StateExpired`, reads again.
    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>>;

    /// Told once after the last read of a run, however it ended: leaves nothing running at the service. It has a few
    /// seconds; what it cannot do in that time, the next run may find.
    async fn close(&self) {}
}

/// What to read.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The stream, perhaps with fewer columns than `discover` gave; batches have its schema.
    pub stream: Arc<Stream>,
    /// `None`: from the beginning.
    pub state: Option<State>,
    /// Configured start of history.
    pub since: Option<Timestamp>,
    /// Fixed once per run: upper bound of time windows; cursor streams stop once past it.
    pub until: Timestamp,
    /// The user's own condition in the source's language, passed as it is.
    pub filter: Option<String>,
}

/// Some rows, and perhaps the state that covers everything so far.
#[derive(Debug, Clone)]
pub struct Page {
    /// May have zero rows when only the state moves.
    pub batch: RecordBatch,
    /// Covers every row yielded so far in this read.
    pub state: Option<State>,
}
