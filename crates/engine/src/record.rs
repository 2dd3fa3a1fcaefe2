//! What is kept of a run: `<work>/runs/<run>/run.json`.
//!
//! Written when the run starts and again when it ends, so that a killed run is visible as one that never
//! ended. Nothing is ever read back to decide anything: the head at the destination is the only state.

use std::path::Path;

use overlock_core::event::ErrorReport;
use overlock_core::{Error, ErrorKind, Result, SourceName, StreamName, StreamSummary, Timestamp};
use overlock_package::fs;
use serde::{Deserialize, Serialize};

use crate::pipeline::Pipeline;
use crate::run::{Report, is_fine};
use crate::stop::StopReason;

/// Version of the format.
const FORMAT: u32 = 1;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not ended, or was killed.
    Running,
    /// Every stream is up to date.
    Ok,
    /// Some streams are up to date, others are not.
    Partial,
    /// No stream is up to date.
    Failed,
    /// It was asked to stop.
    Stopped,
}

/// The record of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format: 1.
    pub format: u32,
    /// Id of the run.
    pub run: String,
    /// The pipeline.
    pub pipeline: SourceName,
    /// Its source.
    pub source: SourceName,
    /// The streams that were asked for by name.
    pub asked: Vec<StreamName>,
    /// How it stands.
    pub status: Status,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Upper bound of the read.
    pub until: Timestamp,
    /// Exit code.
    pub exit_code: Option<u8>,
    /// Why it stopped early.
    pub stopped: Option<StopReason>,
    /// HTTP requests.
    pub calls: u64,
    /// What came of each stream.
    pub streams: Vec<StreamSummary>,
    /// Why it could not read any stream.
    pub error: Option<ErrorReport>,
}

impl Record {
    /// The record of a run that begins.
    pub(crate) fn new(pipeline: &Pipeline, report: &Report, started: Timestamp) -> Self {
        Self {
            format: FORMAT,
            run: report.run.clone(),
            pipeline: pipeline.name.clone(),
            source: pipeline.source.clone(),
            asked: pipeline
                .streams
                .iter()
                .map(|plan| plan.name.clone())
                .collect(),
            status: Status::Running,
            started,
            finished: None,
            until: report.until,
            exit_code: None,
            stopped: None,
            calls: 0,
            streams: Vec::new(),
            error: None,
        }
    }

    /// Adds what came of the run.
    pub(crate) fn finish(&mut self, report: &Report, exit_code: u8, now: Timestamp) {
        self.status = if report.is_ok() {
            Status::Ok
        } else if report.stopped.is_some() {
            Status::Stopped
        } else if report.error.is_none() && report.streams.iter().any(is_fine) {
            Status::Partial
        } else {
            Status::Failed
        };
        self.finished = Some(now);
        self.exit_code = Some(exit_code);
        self.stopped = report.stopped;
        self.calls = report.calls;
        self.streams.clone_from(&report.streams);
        self.error = report.error.as_ref().map(ErrorReport::from);
    }
}

/// Refuses an id that could lead out of the folder of runs.
pub(crate) fn check_run_id(run: &str) -> Result<()> {
    let is_good = (1..=64).contains(&run.len())
        && run
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_good {
        return Ok(());
    }
    let shown = overlock_core::text::printable(run);
    Err(Error::new(
        ErrorKind::Config,
        format!("accept `{shown}` as the id of a run"),
    )
    .hint("use letters, digits and `-`, at most 64"))
}

/// Writes the record, replacing an earlier one of the same run.
pub(crate) fn write(work_dir: &Path, record: &Record) -> Result<()> {
    let dir = work_dir.join("runs").join(&record.run);
    fs::create_dir_all(&dir)?;
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Error::bug("write the record of a run as JSON").source(error))?;
    bytes.push(b'\n');
    fs::replace(&dir.join("run.json"), &bytes, |_| {})
        .map_err(|error| error.while_doing("write the record of the run"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_never_a_path() {
        // covers: I15
        for bad in ["", "..", "a/b", "a\\b", "a b", "\0", &"x".repeat(65)] {
            assert_eq!(
                check_run_id(bad).unwrap_err().kind(),
                ErrorKind::Config,
                "{bad:?}"
            );
        }
        check_run_id("01JD2F7QZX-retry").unwrap();
    }
}
