//! Reading a table.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use overlock_core::{Commit, CommitId, Error, Package, Result};

/// Which rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum View {
    /// The table as it is now.
    #[default]
    Current,
    /// Every row of every commit, with `_synced_at` and `_commit_id`.
    All,
    /// The table as it was after this commit.
    AsOf(CommitId),
}

/// One commit of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitInfo {
    /// Its head row.
    pub commit: Commit,
    /// Its folder and manifest.
    pub package: Package,
}

/// A table of committed packages; a snapshot taken by [`open`](Self::open).
#[derive(Debug, Clone)]
pub struct Table {
    dir: PathBuf,
    commits: Vec<CommitInfo>,
}

impl Table {
    /// Opens the table in the folder `dir` (`<data>/<source>/<stream>`).
    ///
    /// # Errors
    /// `NotFound` if nothing was ever committed there; `Data` if a manifest is damaged; `Io`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let _: PathBuf = dir.into();
        Err(Error::bug("open"))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All commits, oldest first.
    pub fn commits(&self) -> &[CommitInfo] {
        &self.commits
    }

    /// The columns of a view.
    ///
    /// # Errors
    /// `NotFound` if it asks for a commit that is not there.
    pub fn schema(&self, view: View) -> Result<SchemaRef> {
        let _ = view;
        Err(Error::bug("schema"))
    }

    /// The rows of a view, with these columns in this order (`None`: all).
    ///
    /// # Errors
    /// `NotFound` for an unknown commit, `Config` for an unknown column, `Data` for damaged files.
    pub fn scan(&self, view: View, columns: Option<&[String]>) -> Result<Scan> {
        let _ = (view, columns);
        Err(Error::bug("scan"))
    }
}

/// The batches of a view.
pub struct Scan {
    schema: SchemaRef,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}

impl Scan {
    /// Schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
