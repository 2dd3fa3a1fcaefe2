//! What a job is: queries that ran at the instant it was submitted, and what may be seen of them so far.

use overlock_core::Timestamp;
use serde_json::{Value, json};

use super::csv::{Deleted, Format};
use super::pacific;

/// Virtual seconds after which a job that nobody asks about is done all the same.
const UNATTENDED_SECS: u64 = 600;

/// One query of a job, and how it ends.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) name: String,
    /// `zoqlexport` or `zoql`.
    pub(super) kind: String,
    pub(super) api_version: Value,
    pub(super) query: String,
    pub(super) deleted: Option<Deleted>,
    /// All rows, not an increment.
    pub(super) full: bool,
    /// How it ends.
    pub(super) end: &'static str,
    pub(super) message: String,
    /// What it says about the number of its rows.
    pub(super) count: i64,
    pub(super) files: Vec<String>,
    pub(super) segmented: bool,
}

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: String,
    /// What the submission said and answers echo.
    pub(super) echo: Value,
    pub(super) format: Format,
    pub(super) submitted: Timestamp,
    pub(super) polls: u64,
    pub(super) batches: Vec<Batch>,
    /// How it ends.
    pub(super) end: &'static str,
    /// It has ended.
    pub(super) over: bool,
    /// Partner and project of a stateful job.
    pub(super) session: Option<(String, String)>,
    /// Its end moves the session.
    pub(super) moves: bool,
    /// Its times are UTC.
    pub(super) utc: bool,
}

/// A job as tests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its id.
    pub id: String,
    /// Name and text of each query that was not left out.
    pub queries: Vec<(String, String)>,
    /// Its status at the last look.
    pub status: String,
    /// Announced rows per query.
    pub counts: Vec<i64>,
    /// How often it was asked about.
    pub polls: u64,
    /// When it was submitted.
    pub submitted: Timestamp,
}

impl Job {
    /// Whether it is done by now; from then on it is over.
    pub(super) fn settle(&mut self, now: Timestamp, latency: u64, polls: u64) -> bool {
        let passed = now.since(self.submitted).as_secs();
        let unattended = latency.saturating_add(UNATTENDED_SECS);
        if passed >= latency && (self.polls >= polls || passed >= unattended) {
            self.over = true;
        }
        self.over
    }

    pub(super) fn status(&self) -> &'static str {
        if self.over {
            self.end
        } else if self.polls == 0 {
            "submitted"
        } else {
            "executing"
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.over && self.end == "completed"
    }

    /// Ends it before its time; queries that had not begun are cancelled.
    pub(super) fn cancel(&mut self) {
        self.over = true;
        self.end = "cancelled";
        for batch in &mut self.batches {
            batch.end = "cancelled";
            "The job was cancelled.".clone_into(&mut batch.message);
        }
    }

    /// As answers have it.
    pub(super) fn json(&self, submission: bool) -> Value {
        let mut body = self.echo.clone();
        body["id"] = self.id.as_str().into();
        body["status"] = self.status().into();
        body["format"] = self.format.name().into();
        if !submission {
            body["startTime"] = pacific::stamp(self.submitted, self.utc).into();
        }
        let batches = self
            .batches
            .iter()
            .map(|batch| self.batch(batch, submission));
        body["batches"] = batches.collect();
        body
    }

    fn batch(&self, batch: &Batch, submission: bool) -> Value {
        let status = match (self.over, self.polls) {
            (true, _) => batch.end,
            (false, 0 | 1) => "pending",
            (false, _) => "executing",
        };
        let mut body = json!({
            "batchId": batch.id, "batchType": batch.kind, "apiVersion": batch.api_version,
            "name": batch.name, "full": batch.full, "query": batch.query, "status": status,
            "localizedStatus": status, "recordCount": 0,
        });
        if let Some(deleted) = &batch.deleted {
            body["deleted"] = json!({"column": deleted.column, "format": deleted.format()});
        }
        if !submission {
            let message = if self.over {
                batch.message.as_str()
            } else {
                ""
            };
            body["message"] = message.into();
        }
        if self.over && batch.end == "completed" {
            body["recordCount"] = batch.count.into();
            if batch.segmented {
                body["segments"] = json!(batch.files);
            } else if let Some(file) = batch.files.first() {
                body["fileId"] = file.as_str().into();
            }
        }
        body
    }

    pub(super) fn record(&self) -> JobRecord {
        JobRecord {
            id: self.id.clone(),
            queries: self
                .batches
                .iter()
                .map(|batch| (batch.name.clone(), batch.query.clone()))
                .collect(),
            status: self.status().to_owned(),
            counts: self.batches.iter().map(|batch| batch.count).collect(),
            polls: self.polls,
            submitted: self.submitted,
        }
    }
}
