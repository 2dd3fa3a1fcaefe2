//! The folder that holds the packages of one key, and what a crash left in it.

use std::path::{Path, PathBuf};

use overlock_core::{CommitId, Error, Package, Result, SyncKey};

/// The folder `<work>/<pipeline>/<stream>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    dir: PathBuf,
}

/// What is still worth something.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// Sealed packages in the order they must be committed; the parent of the first is the head.
    pub sealed: Vec<Package>,
    /// The open package at the end of that chain. Its files without a state (`manifest.state` is
    /// `None`) can only be kept if reading again from the beginning may repeat them.
    pub open: Option<Package>,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

impl Shelf {
    /// The shelf at `dir`, which is made when the first package is.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sorts what a crash or another run left behind, given the newest commit at the destination:
    /// deletes what is committed, orphaned or unfinished, and puts aside what is damaged.
    ///
    /// # Errors
    /// `Config` if the folder is a symbolic link or belongs to someone else; `Io`.
    pub fn recover(&self, key: &SyncKey, head: Option<CommitId>) -> Result<Recovered> {
        let _ = (key, head);
        Err(Error::bug("recover"))
    }
}
