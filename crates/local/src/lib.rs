//! A folder of Parquet as destination, the embedded default, and the reader over it.
//!
//! [`Local`] makes a package visible by one rename; the folder it becomes is named after its parent, so
//! that a second child of one commit cannot exist. [`Table`] reads what was committed, and nothing
//! else: the current version of each row, every version, or the table as of any commit. With the
//! feature `sql`, [`sql::query`] lets DataFusion ask a table; the rest works without it.

mod adapt;
mod chain;
mod copy;
mod destination;
mod fold;
mod options;
mod rows;
mod scan;
mod schema;
#[cfg(feature = "sql")]
pub mod sql;
mod table;

pub use chain::CommitInfo;
pub use destination::Local;
pub use options::{LocalOptions, OnSchemaChange};
pub use rows::{Batches, Rows};
pub use scan::Scan;
pub use table::{Table, View, tables};
