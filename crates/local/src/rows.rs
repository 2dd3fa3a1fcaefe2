//! Rows to look at, wherever they come from: a table under a view, or one Parquet file.

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use overlock_core::Result;
use overlock_package as package;

use crate::table::{Table, View};

/// Rows of a table or of a single file.
#[derive(Debug, Clone)]
pub enum Rows {
    /// A table, seen in one way.
    Table(Table, View),
    /// A Parquet file, which may be anybody's: damaged or hostile files are errors.
    File(PathBuf),
}

/// Batches of rows, one after the other.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

impl Rows {
    /// Their columns.
    ///
    /// # Errors
    /// As [`Table::schema`]; for a file `Data` if it is no Parquet, `NotFound`, `Io`.
    pub fn schema(&self) -> Result<SchemaRef> {
        match self {
            Self::Table(table, view) => table.schema(*view),
            Self::File(path) => Ok(package::file_info(path)?.schema),
        }
    }

    /// How many there are.
    ///
    /// # Errors
    /// As [`schema`](Self::schema).
    pub fn count(&self) -> Result<u64> {
        match self {
            Self::Table(table, view) => table.count(*view),
            Self::File(path) => Ok(package::file_info(path)?.rows),
        }
    }

    /// The rows, with these columns in this order (`None`: all).
    ///
    /// # Errors
    /// As [`Table::scan`]; for a file as [`schema`](Self::schema). The batches bring errors of their own.
    pub fn scan(&self, columns: Option<&[String]>) -> Result<Batches> {
        Ok(match self {
            Self::Table(table, view) => Box::new(table.scan(*view, columns)?),
            Self::File(path) => Box::new(package::read_file(path, columns)?),
        })
    }
}
