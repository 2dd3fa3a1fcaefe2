//! What a tenant has taught us, kept between runs: objects that cannot be read, or not with deleted rows.
//!
//! A cache: without it, the same is learnt again for some calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlock_core::{Redactor, Timestamp};
use overlock_kit::files;
use serde::{Deserialize, Serialize};

/// How long a refusal is believed: permissions change, and so does Zuora.
const BELIEVED: Duration = Duration::from_secs(7 * 86_400);

/// What was learnt.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// When it became known that jobs without a session have no deleted rows here.
    no_deletes: Option<Timestamp>,
    /// The same of single objects, in small letters.
    no_deletes_of: BTreeMap<String, Timestamp>,
    /// Objects that cannot be read, with the reason.
    refused: BTreeMap<String, (Timestamp, String)>,
    /// Result files end with a line feed.
    line_feed: bool,
}

/// The store.
#[derive(Debug)]
pub(crate) struct Learnt {
    path: PathBuf,
    redactor: Redactor,
    known: Mutex<Known>,
    /// Fields that a query of this run was refused for: object and path, in small letters.
    dropped: Mutex<BTreeSet<(String, String)>>,
}

fn fresh(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) < BELIEVED
}

impl Learnt {
    pub(crate) fn new(path: PathBuf, redactor: Redactor) -> Self {
        let known = files::read(&path).unwrap_or_default();
        Self {
            path,
            redactor,
            known: Mutex::new(known),
            dropped: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, known: &Known) {
        if let Err(error) = files::replace(&self.path, known, || ()) {
            tracing::debug!(%error, "What was learnt about the tenant is not kept.");
        }
    }

    /// Whether deleted rows of an object can be asked for, as far as anybody knows.
    pub(crate) fn has_deletes(&self, object: &str, now: Timestamp) -> bool {
        let known = self.known();
        crate::streams::has_soft_deletes(object)
            && !known.no_deletes.is_some_and(|at| fresh(at, now))
            && !known
                .no_deletes_of
                .get(&object.to_lowercase())
                .is_some_and(|at| fresh(*at, now))
    }

    /// Jobs without a session have no deleted rows in this tenant.
    pub(crate) fn no_deletes(&self, now: Timestamp) {
        let mut known = self.known();
        known.no_deletes = Some(now);
        self.save(&known);
    }

    /// An object has no deleted rows to ask for.
    pub(crate) fn no_deletes_of(&self, object: &str, now: Timestamp) {
        let mut known = self.known();
        known.no_deletes_of.insert(object.to_lowercase(), now);
        self.save(&known);
    }

    /// Why an object could not be read, if that was lately.
    pub(crate) fn refusal(&self, object: &str, now: Timestamp) -> Option<String> {
        let known = self.known();
        let (at, reason) = known.refused.get(&object.to_lowercase())?;
        fresh(*at, now).then(|| reason.clone())
    }

    /// An object cannot be read.
    pub(crate) fn refused(&self, object: &str, now: Timestamp, reason: &str) {
        let mut known = self.known();
        // Zuora may repeat a secret in what it says.
        let reason = self.redactor.redact(reason).into_owned();
        known.refused.insert(object.to_lowercase(), (now, reason));
        self.save(&known);
    }

    /// A result file ended with a line feed: they all do.
    pub(crate) fn files_end_with_line_feed(&self) {
        let mut known = self.known();
        if !known.line_feed {
            known.line_feed = true;
            self.save(&known);
        }
    }

    /// Whether result files end with a line feed, as far as anybody knows.
    pub(crate) fn do_files_end_with_line_feed(&self) -> bool {
        self.known().line_feed
    }

    /// A field is not asked for again in this run; false if it was not already.
    pub(crate) fn drop_field(&self, object: &str, path: &str) -> bool {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.insert((object.to_lowercase(), path.to_lowercase()))
    }

    /// Whether a field is not asked for in this run.
    pub(crate) fn is_dropped(&self, object: &str, path: &str) -> bool {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.contains(&(object.to_lowercase(), path.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_kept_for_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("learnt.json");
        let now = Timestamp::parse("2026-01-01").unwrap();
        let learnt = Learnt::new(path.clone(), Redactor::default());
        assert!(learnt.has_deletes("Account", now));
        assert!(!learnt.has_deletes("accountingcode", now));
        learnt.no_deletes_of("Account", now);
        learnt.redactor.learn("hunter22");
        learnt.refused("Order", now, "no permission for hunter22");
        assert!(!learnt.do_files_end_with_line_feed());
        learnt.files_end_with_line_feed();
        let again = Learnt::new(path, Redactor::default());
        assert!(again.do_files_end_with_line_feed());
        assert!(!again.has_deletes("Account", now));
        assert!(again.has_deletes("Invoice", now));
        assert_eq!(
            again.refusal("order", now).as_deref(),
            Some("no permission for [redacted]")
        );
        let later = now.plus(BELIEVED);
        assert!(again.has_deletes("Account", later));
        assert_eq!(again.refusal("Order", later), None);
        again.no_deletes(later);
        assert!(!again.has_deletes("Invoice", later));
    }

    #[test]
    fn a_field_is_dropped_once_and_for_one_object() {
        let folder = tempfile::tempdir().unwrap();
        let learnt = Learnt::new(folder.path().join("learnt.json"), Redactor::default());
        assert!(learnt.drop_field("Account", "Old__c"));
        assert!(!learnt.drop_field("account", "old__C"));
        assert!(learnt.is_dropped("Account", "Old__c"));
        assert!(!learnt.is_dropped("Invoice", "Old__c"));
    }
}
