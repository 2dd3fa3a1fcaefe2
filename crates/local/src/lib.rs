//! A folder of Parquet as destination, and the reader over it.

mod destination;
mod options;
#[cfg(feature = "sql")]
pub mod sql;
mod table;

pub use destination::Local;
pub use options::{LocalOptions, OnSchemaChange};
pub use table::{CommitInfo, Scan, Table, View};
