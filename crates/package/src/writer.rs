//! Writing a package.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use overlock_core::{
    CommitId, DeleteMode, Error, Manifest, Package, Result, SourceName, State, SyncKey, Timestamp,
    WriteMode,
};

use crate::settings::Settings;
use crate::shelf::Shelf;

/// What is known about a package before its first row.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPackage {
    /// The commit it builds on.
    pub parent: Option<CommitId>,
    /// Pipeline and stream.
    pub key: SyncKey,
    /// The source's name.
    pub source: SourceName,
    /// How the rows reach the table.
    pub mode: WriteMode,
    /// What deleted rows do.
    pub deletes: DeleteMode,
    /// Columns that identify a row.
    pub primary_key: Vec<String>,
    /// Column that orders versions of a row.
    pub replication_key: Option<String>,
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// Now.
    pub started: Timestamp,
    /// Upper bound of the read.
    pub until: Timestamp,
}

/// Writes one package. Blocking: use it on a thread of its own.
///
/// Dropped without [`seal`](Self::seal), it leaves the package as it was at the last checkpoint.
#[derive(Debug)]
pub struct Writer {
    manifest: Manifest,
}

impl Writer {
    /// Opens a new, empty package on the shelf.
    ///
    /// # Errors
    /// `Io`; `Config` if the folder is not ours.
    pub fn create(shelf: &Shelf, new: NewPackage, settings: Settings) -> Result<Self> {
        let _ = (shelf, new, settings);
        Err(Error::bug("write"))
    }

    /// Goes on with an open package after its last checkpoint.
    ///
    /// # Errors
    /// `Bug` if it is sealed; `Io`.
    pub fn reopen(package: Package, settings: Settings) -> Result<Self> {
        let _ = (package, settings);
        Err(Error::bug("write"))
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `Io`; `Bug` if the schema differs. After an error only [`rollback`](Self::rollback) is of use.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let _ = batch;
        Err(Error::bug("write"))
    }

    /// Rows since the last checkpoint.
    pub fn pending_rows(&self) -> u64 {
        0
    }

    /// Encoded bytes since the last checkpoint, estimated for what is not written yet.
    pub fn pending_bytes(&self) -> u64 {
        0
    }

    /// Makes all rows so far durable, together with the state that covers them.
    ///
    /// # Errors
    /// `Io`; `Data` if counts do not balance.
    pub fn checkpoint(&mut self, state: Option<State>) -> Result<()> {
        let _ = state;
        Err(Error::bug("write"))
    }

    /// Forgets everything since the last checkpoint.
    ///
    /// # Errors
    /// `Io`.
    pub fn rollback(&mut self) -> Result<()> {
        Err(Error::bug("write"))
    }

    /// The manifest as of the last checkpoint.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Counts values that were kept in `_extra`; becomes part of the next checkpoint.
    pub fn add_extra_values(&mut self, count: u64) {
        let _ = count;
    }

    /// Makes all rows durable and closes the package.
    ///
    /// # Errors
    /// `Io`; `Data` if counts do not balance.
    pub fn seal(
        self,
        state: Option<State>,
        complete: bool,
        rows_reported: Option<u64>,
    ) -> Result<Package> {
        let _ = (state, complete, rows_reported);
        Err(Error::bug("write"))
    }

    /// The package as of the last checkpoint; the writer is gone and so are later rows.
    ///
    /// # Errors
    /// `Io`.
    pub fn into_open(self) -> Result<Package> {
        Err(Error::bug("write"))
    }
}
