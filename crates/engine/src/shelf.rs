//! The packages of one key, behind a trait so that the protocol can be tested on memory.
//!
//! The model test runs thousands of histories with a crash at every step; Parquet and fsync would make
//! that hours. So the loop speaks to [`Shelf`] and [`Draft`]; [`Disk`] is the only implementation outside
//! tests and adds nothing of its own to `overlock_package`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use overlock_core::{
    CommitId, Error, ErrorKind, Manifest, Package, Redactor, Result, State, StreamName, SyncKey,
};
use overlock_package::{Lock, LockInfo, NewPackage, Recovered, Settings, Writer};

use crate::record::{self, Record};

/// What is held while a run holds its pipeline.
pub(crate) type Hold = Arc<dyn std::any::Any + Send + Sync>;

/// All shelves of one pipeline. All calls block, but for [`Shelves::are_instant`].
pub(crate) trait Shelves: Send + Sync {
    /// Takes the pipeline, so that a second run on this machine gets a friendly answer at once. `None` if
    /// nothing can be held here and the user accepts that.
    fn lock(&self, info: &LockInfo) -> Result<Option<Hold>>;

    /// Keeps what is known of a run.
    fn record(&self, record: &Record) -> Result<()>;

    /// Whether nothing really blocks, so that no thread is needed (tests that replay a seed).
    fn are_instant(&self) -> bool {
        false
    }

    /// The shelf of a stream.
    fn shelf(&self, stream: &StreamName) -> Arc<dyn Shelf>;

    /// Streams that may have packages.
    fn known(&self) -> Result<Vec<StreamName>>;
}

/// What keeps two runs of one pipeline apart. A commit names its parent, so a table is safe either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// A lock in the pipeline's folder. A file system without locks is refused.
    #[default]
    Required,
    /// The same lock where there are locks, else the heads of the tables alone: for a network file system
    /// without locks. Two runs that share the folder then waste each other's work.
    HeadOnly,
}

impl LockMode {
    /// Locks the pipeline whose folder is `dir`; `None` if the heads alone must do.
    pub(crate) fn acquire(self, dir: &Path, info: &LockInfo) -> Result<Option<Lock>> {
        let path = dir.join("lock");
        match self {
            Self::Required => Lock::acquire(&path, info).map(Some),
            Self::HeadOnly => Lock::acquire_if_supported(&path, info),
        }
    }
}

/// Where the packages of one key lie. All calls block.
pub(crate) trait Shelf: Send + Sync {
    /// Sorts out what a crash or another run left behind.
    fn recover(&self, key: &SyncKey, head: Option<CommitId>) -> Result<Recovered>;

    /// Opens a new, empty package.
    fn create(&self, new: NewPackage) -> Result<Box<dyn Draft>>;

    /// Goes on with an open package after its last checkpoint.
    fn reopen(&self, package: Package) -> Result<Box<dyn Draft>>;

    /// Deletes a package.
    fn remove(&self, package: &Package) -> Result<()>;
}

/// A package that is being written. All calls block.
pub(crate) trait Draft: Send {
    /// Adds rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Rows since the last checkpoint.
    fn pending_rows(&self) -> u64;

    /// Bytes since the last checkpoint.
    fn pending_bytes(&self) -> u64;

    /// Makes all rows so far durable together with the state that covers them.
    fn checkpoint(&mut self, state: Option<State>) -> Result<()>;

    /// Forgets everything since the last checkpoint.
    fn rollback(&mut self) -> Result<()>;

    /// The manifest as of the last checkpoint.
    fn manifest(&self) -> &Manifest;

    /// Counts values kept in `_extra`.
    fn add_extra_values(&mut self, count: u64);

    /// Closes the package.
    fn seal(self: Box<Self>, state: Option<State>, complete: bool) -> Result<Package>;

    /// The package as of the last checkpoint.
    fn into_open(self: Box<Self>) -> Result<Package>;
}

/// Shelves in the folder of a pipeline.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The project's `.overlock` folder.
    pub(crate) work_dir: PathBuf,
    /// `<work>/<pipeline>`.
    pub(crate) dir: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) lock: LockMode,
    pub(crate) redactor: Redactor,
}

impl Shelves for Disk {
    fn lock(&self, info: &LockInfo) -> Result<Option<Hold>> {
        let lock = self.lock.acquire(&self.dir, info)?;
        Ok(lock.map(|lock| Arc::new(lock) as Hold))
    }

    fn record(&self, record: &Record) -> Result<()> {
        record::write(&self.work_dir, record, &self.redactor)
    }

    fn shelf(&self, stream: &StreamName) -> Arc<dyn Shelf> {
        Arc::new(DiskShelf {
            shelf: overlock_package::Shelf::new(self.dir.join(stream.as_str())),
            settings: self.settings.clone(),
        })
    }

    fn known(&self) -> Result<Vec<StreamName>> {
        let failed = |error| io(&self.dir, error);
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // Anything that is no folder with the name of a stream is not ours to touch.
            if let Ok(name) = entry.file_name().into_string()
                && let Ok(name) = StreamName::new(name)
                && entry.file_type().is_ok_and(|kind| kind.is_dir())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

fn io(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "list the open packages of the pipeline")
        .context("path", path.display())
        .source(error)
}

#[derive(Debug)]
struct DiskShelf {
    shelf: overlock_package::Shelf,
    settings: Settings,
}

impl Shelf for DiskShelf {
    fn recover(&self, key: &SyncKey, head: Option<CommitId>) -> Result<Recovered> {
        self.shelf.recover(key, head)
    }

    fn create(&self, new: NewPackage) -> Result<Box<dyn Draft>> {
        Ok(Box::new(DiskDraft(Writer::create(
            &self.shelf,
            new,
            self.settings.clone(),
        )?)))
    }

    fn reopen(&self, package: Package) -> Result<Box<dyn Draft>> {
        Ok(Box::new(DiskDraft(Writer::reopen(
            package,
            self.settings.clone(),
        )?)))
    }

    fn remove(&self, package: &Package) -> Result<()> {
        overlock_package::remove(package)
    }
}

#[derive(Debug)]
struct DiskDraft(Writer);

impl Draft for DiskDraft {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch)
    }

    fn pending_rows(&self) -> u64 {
        self.0.pending_rows()
    }

    fn pending_bytes(&self) -> u64 {
        self.0.pending_bytes()
    }

    fn checkpoint(&mut self, state: Option<State>) -> Result<()> {
        self.0.checkpoint(state)
    }

    fn rollback(&mut self) -> Result<()> {
        self.0.rollback()
    }

    fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }

    fn add_extra_values(&mut self, count: u64) {
        self.0.add_extra_values(count);
    }

    fn seal(self: Box<Self>, state: Option<State>, complete: bool) -> Result<Package> {
        self.0.seal(state, complete, None)
    }

    fn into_open(self: Box<Self>) -> Result<Package> {
        self.0.into_open()
    }
}
