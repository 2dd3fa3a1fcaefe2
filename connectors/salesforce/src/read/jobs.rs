//! Jobs in the org that somebody has to clean up: those nobody will read, and those whose rows are here.
//!
//! A dropped read cannot wait for an answer, so its jobs become orphans that the next call aborts. A
//! finished job is deleted only when a later read shows that no state needs it any more.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use overlock_core::{StreamName, crash_point};
use overlock_kit::files;
use overlock_kit::http::Request;
use serde::{Deserialize, Serialize};

use crate::api::Version;
use crate::client::Client;
use crate::errors::Meaning;
use crate::limits;

/// Jobs that were made and that nobody will read; swept by the next call that may wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orphans(Arc<Mutex<Vec<String>>>);

impl Orphans {
    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn guard(&self, id: &str) -> Guard {
        Guard {
            orphans: self.clone(),
            id: Some(id.to_owned()),
        }
    }
}

/// Makes its job an orphan when dropped, unless a state names the job by then.
#[derive(Debug)]
pub(super) struct Guard {
    orphans: Orphans,
    id: Option<String>,
}

impl Guard {
    pub(super) fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let mut orphans = self
                .orphans
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            orphans.push(id);
        }
    }
}

/// Deletes a job that nobody will read, aborting it first if it still runs. Best effort.
pub(crate) async fn discard(client: &Client, id: &str) {
    let path = client.version().job(id);
    let deleted = client.send(Request::delete(path.clone())).await;
    if deleted.is_err() {
        let abort = Request::patch(path.clone(), r#"{"state":"Aborted"}"#).idempotent(true);
        let aborted = client.send(abort).await;
        if aborted.is_ok() {
            let again = client.send(Request::delete(path)).await;
            tracing::debug!(job = id, deleted = again.is_ok(), "Job is aborted.");
        }
    }
}

/// A job whose rows were all yielded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    stream: StreamName,
    id: String,
    api: String,
}

/// Jobs to be deleted once a later read shows that nobody needs them any more. Kept on disk, for that
/// read is usually another run's.
#[derive(Debug)]
pub(crate) struct JobsDone {
    path: PathBuf,
    list: Mutex<Vec<Done>>,
}

impl JobsDone {
    /// Goes on with the list in this file.
    pub(crate) fn new(path: PathBuf) -> Self {
        let list = Mutex::new(files::read(&path).unwrap_or_default());
        Self { path, list }
    }

    pub(super) fn add(&self, stream: &StreamName, id: &str, version: &Version) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.iter().any(|done| done.id == id) {
            return;
        }
        list.push(Done {
            stream: stream.clone(),
            id: id.to_owned(),
            api: version.as_str().to_owned(),
        });
        // Salesforce forgets jobs after seven days, so a list need not grow without end.
        if list.len() > limits::MAX_JOBS_DONE {
            list.remove(0);
        }
        self.store(&list);
    }

    fn store(&self, list: &[Done]) {
        if let Err(error) = files::replace(&self.path, &list, || ()) {
            tracing::debug!(%error, "List of finished jobs is not kept.");
        }
    }

    /// Deletes the jobs of a stream but for the one that its state names. Never an error: what cannot be
    /// deleted goes away by itself.
    pub(super) async fn delete(&self, client: &Client, stream: &StreamName, keep: Option<&str>) {
        let due: Vec<Done> = {
            let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = |done: &&Done| done.stream == *stream && Some(done.id.as_str()) != keep;
            list.iter()
                .filter(is_due)
                .take(limits::MAX_JOBS_DELETED)
                .cloned()
                .collect()
        };
        if due.is_empty() {
            return;
        }
        for done in &due {
            crash_point!("S4.before_job_delete");
            let Ok(version) = Version::parse(&done.api) else {
                continue;
            };
            let request = Request::delete(version.job(&done.id)).stream(stream);
            match client.send(request).await {
                Err(error) if Meaning::of(&error) != Some(Meaning::Gone) => {
                    let message = format!(
                        "Bulk job {} could not be deleted; Salesforce deletes it after seven days: {error}",
                        done.id
                    );
                    client.warn("W0503", Some(stream), message);
                }
                _ => {}
            }
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|done| !due.contains(done));
        self.store(&list);
    }
}

/// Waits for a place among the jobs in flight; far longer than any job takes.
pub(crate) const JOB_PLACE_WAIT: Duration = Duration::from_secs(24 * 3_600);
