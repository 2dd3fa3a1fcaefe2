//! The lock that keeps two runs of one pipeline on one machine apart.

use std::path::Path;

use overlock_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// When the run began.
    pub started: Timestamp,
    /// Id of the run.
    pub run: String,
}

impl LockInfo {
    /// This process, for the run `run`.
    pub fn new(run: impl Into<String>, started: Timestamp) -> Self {
        Self { pid: std::process::id(), host: String::new(), started, run: run.into() }
    }
}

/// A held lock; released when dropped, or by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

impl Lock {
    /// Takes the lock at `path` without waiting.
    ///
    /// # Errors
    /// `Conflict` with the context pairs `pid`, `host` and `started` if another run holds it.
    pub fn acquire(path: &Path, info: &LockInfo) -> Result<Self> {
        let _ = (path, info);
        Err(Error::bug("lock"))
    }
}
