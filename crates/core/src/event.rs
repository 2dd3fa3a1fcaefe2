//! Events: the one list that progress, logs, metrics, summary and exit code are folded from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;
use crate::name::{SourceName, StreamName};
use crate::package::{CommitId, WriteMode};
use crate::time::Timestamp;

/// Something that a person may want to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A run of one pipeline began.
    RunStarted {
        /// Id of the run (a ULID).
        run: String,
        /// The pipeline.
        pipeline: SourceName,
        /// Its source.
        source: SourceName,
        /// Streams in the order they were asked for.
        streams: Vec<StreamName>,
        /// Upper bound of time windows.
        until: Timestamp,
    },
    /// A stream began.
    StreamStarted {
        /// The stream.
        stream: StreamName,
        /// How its rows reach the table.
        mode: WriteMode,
        /// An open package of an earlier run is continued.
        resumed: bool,
    },
    /// A request was answered or failed; failed attempts count too.
    Request {
        /// On behalf of which stream, if any.
        stream: Option<StreamName>,
        /// HTTP method.
        method: String,
        /// Scheme, host and path; never query or user info.
        url: String,
        /// HTTP status; `None` when there was no answer.
        status: Option<u16>,
        /// Wall time until the headers came, in milliseconds.
        millis: u64,
    },
    /// A request will be repeated.
    Retry {
        /// On behalf of which stream, if any.
        stream: Option<StreamName>,
        /// Number of the next attempt, from 2.
        attempt: u32,
        /// Pause before it, in milliseconds.
        wait_millis: u64,
        /// Why.
        reason: String,
    },
    /// The source said how much of its quota is used.
    Quota {
        /// Calls used in the source's window.
        used: u64,
        /// Calls allowed in it.
        max: u64,
    },
    /// Rows arrived.
    Rows {
        /// The stream.
        stream: StreamName,
        /// Rows in this page.
        rows: u64,
        /// Bytes of Arrow memory in this page.
        bytes: u64,
        /// Values kept in `_extra`.
        extra: u64,
    },
    /// The source said how many rows to expect; an estimate for progress only.
    Expected {
        /// The stream.
        stream: StreamName,
        /// Rows still to come or in all, as the source counts.
        rows: u64,
    },
    /// A file and the state after it became durable.
    Checkpoint {
        /// The stream.
        stream: StreamName,
        /// Rows in the package so far.
        rows: u64,
    },
    /// A package was closed.
    Sealed {
        /// The stream.
        stream: StreamName,
        /// Its id.
        id: CommitId,
        /// Its rows.
        rows: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// A package became visible.
    Committed {
        /// The stream.
        stream: StreamName,
        /// Its id.
        id: CommitId,
        /// Its rows.
        rows: u64,
        /// Its bytes.
        bytes: u64,
        /// It was sealed by an earlier run, and committed without asking the source.
        recovered: bool,
    },
    /// The schema of a stream differs from the last commit's.
    Drift {
        /// The stream.
        stream: StreamName,
        /// What changed, one line.
        change: String,
    },
    /// Something is off, but the run goes on.
    Warning {
        /// Stable code, such as `W0203`.
        code: String,
        /// The stream, if it concerns one.
        stream: Option<StreamName>,
        /// What happened and what it means.
        message: String,
    },
    /// A stream ended, well or not.
    StreamFinished {
        /// What came of it.
        summary: StreamSummary,
    },
    /// The run ended.
    RunFinished {
        /// Id of the run.
        run: String,
        /// Process exit code by the one table.
        exit_code: u8,
        /// Wall time in milliseconds.
        millis: u64,
    },
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamStatus {
    /// All rows up to the run's upper bound are committed.
    Ok,
    /// Nothing was new.
    Empty,
    /// The account does not have it, and never had: nothing to read.
    Skipped,
    /// Stopped by signal, time-out or budget at a state; what is sealed is kept.
    Stopped,
    /// Failed; what was committed before stays.
    Failed,
}

/// What came of one stream in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// The stream.
    pub stream: StreamName,
    /// How it ended.
    pub status: StreamStatus,
    /// How rows reach the table.
    pub mode: WriteMode,
    /// Rows read from the source in this run.
    pub rows_read: u64,
    /// Rows in packages committed by this run.
    pub rows_committed: u64,
    /// Bytes of Parquet committed by this run.
    pub bytes: u64,
    /// HTTP requests on behalf of this stream, failed ones too.
    pub calls: u64,
    /// Values kept in `_extra`.
    pub extra: u64,
    /// Packages committed by this run.
    pub commits: u64,
    /// The head after the run.
    pub head: Option<CommitId>,
    /// Wall time in milliseconds.
    pub millis: u64,
    /// Why it failed or stopped.
    pub error: Option<ErrorReport>,
}

/// An error in a form that travels in events and JSON output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The kind.
    pub kind: ErrorKind,
    /// What failed: outermost message.
    pub message: String,
    /// Causes, outermost first.
    pub causes: Vec<String>,
    /// Machine-readable pairs.
    pub context: Vec<(String, String)>,
    /// What to do.
    pub hint: Option<String>,
}

impl From<&crate::Error> for ErrorReport {
    fn from(error: &crate::Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            causes: error.causes(),
            context: error
                .pairs()
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
            hint: error.hint_text().map(ToOwned::to_owned),
        }
    }
}

/// Where events go. Cheap to clone; never blocks for long.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends every event to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops all events.
    pub fn none() -> Self {
        Self::new(drop)
    }

    /// Sends one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
