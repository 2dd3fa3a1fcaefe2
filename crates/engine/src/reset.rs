//! Forgetting the state of a stream: the next read begins at the beginning.
//!
//! A reset is a commit like any other, without rows and without state, so the trail stays and two machines
//! cannot disagree about it.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use overlock_core::{
    Clock, Commit, DeleteMode, Destination, Result, SourceName, SyncKey, WriteMode,
};
use overlock_package::{LockInfo, NewPackage, Settings, Shelf, Writer, remove};

use crate::run::on_blocking_thread;
use crate::shelf::LockMode;

/// What to reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// Pipeline and stream.
    pub key: SyncKey,
    /// The source's name.
    pub source: SourceName,
    /// Id for the lock's message, such as a run id.
    pub run: String,
    /// What keeps it apart from a run.
    pub lock: LockMode,
}

/// Forgets the state of one stream and drops what earlier runs left on this machine. Rows that are
/// committed stay; the next run reads from the beginning. Gives the new head, `None` if there was none.
///
/// # Errors
/// `Conflict` if a run holds the pipeline or moved the head; else as the destination's, or `Io`.
pub async fn reset(
    reset: &Reset,
    destination: Arc<dyn Destination>,
    work_dir: &Path,
    clock: Arc<dyn Clock>,
) -> Result<Option<Commit>> {
    let dir = work_dir.join(reset.key.pipeline.as_str());
    let now = clock.now();
    let (lock, lock_dir, info) = (reset.lock, dir.clone(), LockInfo::new(&reset.run, now));
    let _lock = on_blocking_thread(move || lock.acquire(&lock_dir, &info), false).await?;
    let head = destination.head(&reset.key).await?;
    let has_state = head.as_ref().is_some_and(|head| head.state.is_some());
    let new = NewPackage {
        parent: head.as_ref().map(|head| head.id),
        key: reset.key.clone(),
        source: reset.source.clone(),
        // It has no rows, so every mode leaves the table as it is, but for replace, which would empty it.
        mode: WriteMode::Merge,
        deletes: DeleteMode::default(),
        primary_key: Vec::new(),
        replication_key: None,
        schema: Arc::new(Schema::empty()),
        started: now,
        until: now,
    };
    let shelf = Shelf::new(dir.join(reset.key.stream.as_str()));
    let package = on_blocking_thread(
        move || {
            let left = shelf.recover(&new.key, new.parent)?;
            for package in left.sealed.iter().chain(&left.open) {
                remove(package)?;
            }
            if !has_state {
                return Ok(None);
            }
            let writer = Writer::create(&shelf, new, Settings::default())?;
            writer.seal(None, false, None).map(Some)
        },
        false,
    )
    .await?;
    let Some(package) = package else {
        return Ok(head);
    };
    let commit = destination.commit(&package).await?;
    on_blocking_thread(move || remove(&package), false).await?;
    Ok(Some(commit))
}
