//! Packages on disk: folders of Parquet files and one manifest each.
//!
//! The engine writes pages into a package with a [`Writer`]; a destination commits the sealed
//! [`Package`](overlock_core::Package); a [`Shelf`] is the folder that holds the packages of one key
//! and sorts out, after any crash, what is still worth something. This is the only crate that knows
//! Parquet, and [`fs`] is the only place that changes files that must survive a crash.
//!
//! **Invariant:** a file that no manifest names does not exist; a manifest is only ever replaced as a
//! whole; nothing is renamed before it was synced.

mod columns;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod encoder;
mod footer;
pub mod fs;
mod lock;
pub mod manifest;
mod reader;
#[cfg(any(test, feature = "conformance"))]
pub mod replay;
#[cfg(any(test, feature = "conformance"))]
pub mod sample;
mod settings;
mod shelf;
mod verify;
mod writer;

pub use lock::{Lock, LockInfo};
pub use reader::{
    BATCH_ROWS, Batches, FileInfo, file_info, read, read_file, read_part, read_verified_part,
};
pub use settings::Settings;
pub use shelf::{COMMIT_FILE, Recovered, Shelf};
pub use verify::{remove, verify, verify_part, verify_sizes};
pub use writer::{NewPackage, Writer};
