//! The destination.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use overlock_core::{Clock, Commit, Destination, Error, Package, Result, StreamName, SyncKey};

use crate::options::LocalOptions;

/// A folder of tables, one folder per stream.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
    #[expect(dead_code, reason = "the first commit uses it")]
    options: LocalOptions,
    #[expect(dead_code, reason = "the first commit uses it")]
    clock: Arc<dyn Clock>,
}

impl Local {
    /// The destination at `root`, which is `<data>/<source>`; made by the first commit.
    pub fn new(root: impl Into<PathBuf>, options: LocalOptions, clock: Arc<dyn Clock>) -> Self {
        Self { root: root.into(), options, clock }
    }

    /// The folder of tables.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of one table.
    pub fn table_dir(&self, stream: &StreamName) -> PathBuf {
        self.root.join(stream.as_str())
    }
}

#[async_trait]
impl Destination for Local {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn head(&self, key: &SyncKey) -> Result<Option<Commit>> {
        let _ = key;
        Err(Error::bug("head"))
    }

    async fn commit(&self, package: &Package) -> Result<Commit> {
        let _ = package;
        Err(Error::bug("commit"))
    }
}
