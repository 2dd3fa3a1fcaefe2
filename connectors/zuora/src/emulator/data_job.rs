//! One job of Data Query: what was submitted, what it shows of itself, and the text of its file.

use bytes::Bytes;
use chrono_tz::Tz;
use overlock_core::Timestamp;
use overlock_sandbox::company::Dice;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::cell;
use super::data_file::link;
use super::data_habits::DataHabits;

/// Longest query.
const MAX_QUERY_CHARS: usize = 1_000_000;

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: String,
    /// What its links are signed with.
    pub(super) secret: u64,
    pub(super) entity: Option<usize>,
    pub(super) submission: Submission,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) end: End,
    pub(super) state: State,
    /// Polls since it runs.
    pub(super) polls: u64,
    /// Polls of other jobs since it runs.
    pub(super) other_polls: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Accepted,
    InProgress,
    Ended,
    Cancelled,
}

#[derive(Debug, Clone)]
pub(super) enum End {
    Completed { file: Bytes, rows: u64 },
    Failed(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Submission {
    #[serde(default)]
    pub(super) query: String,
    pub(super) compression: Option<String>,
    pub(super) output: Option<Output>,
    pub(super) output_format: Option<String>,
    pub(super) column_separator: Option<String>,
    #[serde(default)]
    pub(super) use_index_join: bool,
    #[serde(default)]
    pub(super) read_deleted: bool,
    pub(super) source_data: Option<String>,
    pub(super) encryption_key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Output {
    pub(super) target: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Separated(char),
}

impl Submission {
    /// The format of its file, or why it is refused.
    pub(super) fn format(&self) -> Result<Format, &'static str> {
        if self.query.trim().is_empty() {
            return Err("query must not be empty");
        }
        if self.query.chars().count() > MAX_QUERY_CHARS {
            return Err("query must not be longer than 1000000 characters");
        }
        match self.compression.as_deref() {
            Some("NONE" | "GZIP") => {}
            Some("ZIP") => return Err("compression ZIP is not emulated"),
            _ => return Err("compression must be one of NONE, GZIP, ZIP"),
        }
        let target = self
            .output
            .as_ref()
            .and_then(|output| output.target.as_deref());
        if !target.is_some_and(|target| target.eq_ignore_ascii_case("S3")) {
            return Err("output.target must be S3");
        }
        if self.encryption_key.is_some() {
            return Err("encryptionKey is not emulated");
        }
        if !matches!(
            self.source_data.as_deref(),
            None | Some("LIVE" | "WAREHOUSE")
        ) {
            return Err("sourceData must be one of LIVE, WAREHOUSE");
        }
        let separator = self
            .column_separator
            .as_deref()
            .and_then(|text| text.chars().next());
        match (self.output_format.as_deref(), separator) {
            (Some("JSON"), _) => Ok(Format::JsonLines),
            (Some("CSV"), _) => Ok(Format::Separated(',')),
            (Some("TSV"), _) => Ok(Format::Separated('\t')),
            (Some("DSV"), Some(separator)) => Ok(Format::Separated(separator)),
            (Some("DSV"), None) => Err("columnSeparator must be given with DSV"),
            _ => Err("outputFormat must be one of JSON, CSV, TSV, DSV"),
        }
    }

    pub(super) fn of_warehouse(&self) -> bool {
        self.source_data.as_deref() == Some("WAREHOUSE")
    }
}

impl Job {
    pub(super) fn open(&self) -> bool {
        matches!(self.state, State::Accepted | State::InProgress)
    }

    pub(super) fn status(&self) -> &'static str {
        match (self.state, &self.end) {
            (State::Accepted, _) => "accepted",
            (State::InProgress, _) => "in_progress",
            (State::Ended, End::Completed { .. }) => "completed",
            (State::Ended, End::Failed(_)) => "failed",
            (State::Cancelled, _) => "cancelled",
        }
    }
}

/// A job as the API shows it.
pub(super) fn described(job: &Job, call: &Call<'_>, habits: &DataHabits) -> Value {
    let time = |time: Timestamp| cell::spelled(time, Tz::UTC, "%Y-%m-%dT%H:%M:%S%.3f");
    let failed = job.status() == "failed";
    let mut data = json!({
        "id": job.id,
        "query": job.submission.query,
        "useIndexJoin": job.submission.use_index_join,
        "sourceData": job.submission.source_data.as_deref().unwrap_or("LIVE"),
        "queryStatus": job.status(),
        "remainingRetries": if failed { 0 } else { 3 },
        "retries": 3,
        "updatedOn": time(job.updated),
        "createdOn": time(job.created),
        "createdBy": "514f3ea1-0c5f-4a4e-9c3b-5d0f6f2f9d11",
        "createdByUserEmail": "loader@acme.example",
    });
    let base = habits.file_base.as_deref().unwrap_or(call.base);
    match (&job.end, job.state) {
        (End::Completed { rows, .. }, State::Ended) => {
            data["dataFile"] = json!(link(job, call.now, base, habits));
            data["outputRows"] = json!(rows);
            data["processingTime"] = json!(120 + rows / 10);
        }
        (End::Failed(message), State::Ended) => data["errorMessage"] = json!(message),
        _ => {}
    }
    data
}

pub(super) fn uuid(dice: &mut Dice) -> String {
    let bits = (u128::from(dice.next()) << 64) | u128::from(dice.next());
    let digits = format!("{bits:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let tail = [part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
    format!("{}-{tail}", part(0, 8))
}
