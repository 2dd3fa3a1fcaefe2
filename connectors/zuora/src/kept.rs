//! Jobs whose results are not delivered yet, kept between runs: a restart goes on with their files.
//!
//! A job is written down when Zuora has taken it, and each of its queries is struck out when its rows are delivered.
//! Files stay at Zuora for three days. A cache: without it, the same is asked again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use overlock_core::Timestamp;
use overlock_kit::files;
use serde::{Deserialize, Serialize};

use crate::limits;

/// Jobs that are remembered at most.
const MOST: usize = 200;

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptJob {
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) at: Timestamp,
    pub(crate) queries: Vec<KeptQuery>,
}

/// A query of it that covers a window of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptQuery {
    /// Its name in the job.
    pub(crate) name: String,
    pub(crate) stream: String,
    /// Fingerprint of what was asked: object, fields, conditions but for the window.
    pub(crate) shape: String,
    pub(crate) lower: Option<Timestamp>,
    pub(crate) upper: Timestamp,
    /// Deleted rows were asked for, too.
    pub(crate) deletes: bool,
}

/// The jobs.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    jobs: Mutex<Vec<KeptJob>>,
    /// Jobs of this run: whoever waits for one of these shares it, and asks for it again if it was no good.
    own: Mutex<BTreeSet<String>>,
}

impl Kept {
    pub(crate) fn new(path: PathBuf) -> Self {
        let jobs = files::read(&path).unwrap_or_default();
        Self {
            path,
            jobs: Mutex::new(jobs),
            own: Mutex::default(),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<KeptJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, jobs: &[KeptJob]) {
        if let Err(error) = files::replace(&self.path, &jobs, || ()) {
            tracing::debug!(%error, "Jobs are not kept.");
        }
    }

    /// Writes a job down.
    pub(crate) fn add(&self, job: KeptJob) {
        if job.queries.is_empty() {
            return;
        }
        self.own().insert(job.id.clone());
        let mut jobs = self.jobs();
        let now = job.at;
        jobs.push(job);
        jobs.retain(|job| now.since(job.at) < limits::FILES_KEPT);
        let surplus = jobs.len().saturating_sub(MOST);
        jobs.drain(..surplus);
        self.save(&jobs);
    }

    /// The newest job of an earlier run that covers a stream from `lower` on, with the query of it.
    pub(crate) fn find(
        &self,
        entity: &str,
        stream: &str,
        shape: &str,
        lower: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<(String, KeptQuery)> {
        let jobs = self.jobs();
        let own = self.own();
        let good = |job: &&KeptJob| {
            job.entity == entity && now.since(job.at) < limits::FILES_KEPT && !own.contains(&job.id)
        };
        jobs.iter().rev().filter(good).find_map(|job| {
            let query = job.queries.iter().find(|query| {
                query.stream == stream && query.shape == shape && query.lower == lower
            })?;
            Some((job.id.clone(), query.clone()))
        })
    }

    /// Whether a query is known to ask for deleted rows, too.
    pub(crate) fn asked_deletes(&self, id: &str, name: &str) -> bool {
        let jobs = self.jobs();
        let mut queries = jobs
            .iter()
            .filter(|job| job.id == id)
            .flat_map(|job| &job.queries);
        queries.any(|query| query.name == name && query.deletes)
    }

    /// A query is delivered, or of no use.
    pub(crate) fn strike(&self, id: &str, name: &str) {
        let mut jobs = self.jobs();
        for job in jobs.iter_mut().filter(|job| job.id == id) {
            job.queries.retain(|query| query.name != name);
        }
        jobs.retain(|job| !job.queries.is_empty());
        self.save(&jobs);
    }

    /// A job is gone.
    pub(crate) fn forget(&self, id: &str) {
        let mut jobs = self.jobs();
        let before = jobs.len();
        jobs.retain(|job| job.id != id);
        if jobs.len() != before {
            self.save(&jobs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn query(name: &str, lower: Option<Timestamp>) -> KeptQuery {
        KeptQuery {
            name: name.to_owned(),
            stream: "Account".to_owned(),
            shape: "s".to_owned(),
            lower,
            upper: time("2026-01-02"),
            deletes: true,
        }
    }

    #[test]
    fn a_query_is_found_until_it_is_struck_out_or_its_file_is_purged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.json");
        let kept = Kept::new(path.clone());
        let now = time("2026-01-02T02:00:00Z");
        let lower = Some(time("2026-01-01"));
        kept.add(KeptJob {
            id: "j1".to_owned(),
            entity: String::new(),
            at: now,
            queries: vec![query("q0", None), query("q1", lower)],
        });
        assert!(
            kept.find("", "Account", "s", lower, now).is_none(),
            "it is this run's own"
        );
        let kept = Kept::new(path);
        let find = |lower, now| kept.find("", "Account", "s", lower, now).map(|(id, _)| id);
        assert_eq!(find(lower, now).as_deref(), Some("j1"));
        assert!(kept.asked_deletes("j1", "q1"));
        assert!(!kept.asked_deletes("j1", "q7") && !kept.asked_deletes("j2", "q1"));
        assert_eq!(find(Some(time("2025-01-01")), now), None);
        assert_eq!(find(lower, time("2026-01-05T02:00:00Z")), None);
        assert!(kept.find("", "Account", "other", lower, now).is_none());
        assert!(kept.find("e", "Account", "s", lower, now).is_none());
        kept.strike("j1", "q1");
        assert_eq!(find(lower, now), None);
        assert!(find(None, now).is_some());
        kept.forget("j1");
        assert_eq!(find(None, now), None);
    }
}
