//! What is kept of a run: `<work>/runs/<run>/run.json`.
//!
//! Written when the run starts and again when it ends, so that a killed run is visible as one that never
//! ended. Nothing is ever read back to decide what to read: the head at the destination is the only state.
//! At the end of a run, records of the same pipeline go that are older than 90 days.

use std::path::Path;
use std::time::{Duration, SystemTime};

use overlock_core::event::ErrorReport;
use overlock_core::{
    Error, ErrorKind, Redactor, Result, SourceName, StreamName, StreamSummary, Timestamp,
};
use overlock_package::fs;
use serde::{Deserialize, Serialize};

use crate::pipeline::Pipeline;
use crate::run::{Report, is_fine};
use crate::stop::StopReason;

/// Its name within the folder of the run.
const FILE: &str = "run.json";

/// Version of the format.
const FORMAT: u32 = 1;

/// How long records are kept after their last change.
const KEEP: Duration = Duration::from_secs(90 * 86_400);

/// Largest record that is read back.
const MAX_BYTES: u64 = 16 << 20;

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

/// Writes the record, replacing an earlier one of the same run; without secrets that errors repeat.
pub(crate) fn write(work_dir: &Path, record: &Record, redactor: &Redactor) -> Result<()> {
    let dir = work_dir.join("runs").join(&record.run);
    fs::create_dir_all(&dir)?;
    let mut text = serde_json::to_string_pretty(record)
        .map_err(|error| Error::bug("write the record of a run as JSON").source(error))?;
    text.push('\n');
    fs::replace(&dir.join(FILE), redactor.redact(&text).as_bytes(), |_| {})
        .map_err(|error| error.while_doing("write the record of the run"))?;
    if record.finished.is_none() {
        return Ok(());
    }
    let before = SystemTime::now().checked_sub(KEEP);
    prune(
        &work_dir.join("runs"),
        record,
        before.unwrap_or(SystemTime::UNIX_EPOCH),
    )
    .map_err(|error| error.while_doing("remove old records of runs"))
}

/// Removes records of the same pipeline that were last changed before an instant; never this one, so that
/// a schedule always finds when its pipeline ran last.
fn prune(runs: &Path, newest: &Record, before: SystemTime) -> Result<()> {
    for entry in fs::list(runs)?.unwrap_or_default() {
        let is_old = entry.metadata.is_dir()
            && entry
                .metadata
                .modified()
                .is_ok_and(|changed| changed < before);
        if !is_old || entry.name == newest.run {
            continue;
        }
        // What is not a record of ours is left alone.
        let Ok(bytes) = fs::read(&entry.path.join(FILE), MAX_BYTES) else {
            continue;
        };
        let record = serde_json::from_slice::<Record>(&bytes);
        if record.is_ok_and(|record| record.pipeline == newest.pipeline) {
            fs::remove_dir_all(&entry.path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run: &str, pipeline: &str) -> Record {
        let pipeline = Pipeline {
            name: SourceName::new(pipeline).unwrap(),
            source: SourceName::new("sfdc").unwrap(),
            streams: Vec::new(),
            rest: None,
        };
        let report = Report {
            run: run.to_owned(),
            until: Timestamp::EPOCH,
            streams: Vec::new(),
            error: None,
            stopped: None,
            calls: 0,
            elapsed: Duration::ZERO,
        };
        let mut record = Record::new(&pipeline, &report, Timestamp::EPOCH);
        record.finish(&report, 0, Timestamp::EPOCH);
        record
    }

    #[test]
    fn old_records_of_the_same_pipeline_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("runs");
        for (run, pipeline) in [("A1", "crm"), ("A2", "crm"), ("B1", "billing")] {
            write(dir.path(), &record(run, pipeline), &Redactor::default()).unwrap();
        }
        std::fs::create_dir(runs.join("notes")).unwrap();
        let names = || {
            let mut names: Vec<String> = std::fs::read_dir(&runs)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let newest = record("A2", "crm");
        prune(&runs, &newest, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(names(), ["A1", "A2", "B1", "notes"]);
        let future = SystemTime::now() + Duration::from_secs(60);
        prune(&runs, &newest, future).unwrap();
        assert_eq!(names(), ["A2", "B1", "notes"]);
    }

    #[test]
    fn a_secret_that_an_error_repeats_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let redactor = Redactor::default();
        redactor.learn("s3cr3t-\"quoted\"");
        let mut record = record("A1", "crm");
        let error = Error::new(ErrorKind::Data, "read it: it says s3cr3t-\"quoted\"");
        record.error = Some(ErrorReport::from(&error));
        write(dir.path(), &record, &redactor).unwrap();
        let text = std::fs::read_to_string(dir.path().join("runs/A1/run.json")).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        let read: Record = serde_json::from_str(&text).unwrap();
        assert!(read.error.unwrap().message.contains("[redacted]"));
    }

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
