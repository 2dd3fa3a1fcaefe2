//! The destination: a package becomes a commit by one rename.
//!
//! The rename target is named after the parent, so that of two runners that build on the same commit
//! one fails (the folder is there and not empty), on whichever machine they run. Everything before the
//! rename can be repeated, and everything after it (making it durable, moving the hint) is repeated by
//! the next call that finds the commit already there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use overlock_core::{
    Clock, Commit, Destination, Error, ErrorKind, Package, Result, StreamName, SyncKey, WriteMode,
    crash_point,
};
use overlock_package as package;
use overlock_package::fs;

use crate::chain::{self, CommitInfo};
use crate::options::{LocalOptions, OnSchemaChange};
use crate::table::{Table, View, unified};
use crate::{copy, schema};

/// A folder of tables, one folder per stream.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
    options: LocalOptions,
    clock: Arc<dyn Clock>,
}

/// How old the remains of somebody's copy must be before they are removed.
const STALE_COPY: Duration = Duration::from_secs(24 * 60 * 60);

impl Local {
    /// The destination at `root`, which is `<data>/<source>`; made by the first commit.
    pub fn new(root: impl Into<PathBuf>, options: LocalOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            root: root.into(),
            options,
            clock,
        }
    }

    /// The folder of tables.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of one table.
    pub fn table_dir(&self, stream: &StreamName) -> PathBuf {
        self.root.join(stream.as_str())
    }

    fn check_now(&self) -> Result<()> {
        // The nearest folder that exists decides, because the others will be made in it.
        let mut dir = self.root.as_path();
        while std::fs::symlink_metadata(dir).is_err() && dir != Path::new(".") {
            dir = fs::parent(dir);
        }
        let metadata =
            std::fs::metadata(dir).map_err(|error| fs::failed(&error, "look at", dir))?;
        if !metadata.is_dir() {
            return Err(
                Error::new(ErrorKind::Config, "use as a folder what is none")
                    .context("path", dir.display())
                    .hint("choose another `path` for this destination"),
            );
        }
        if metadata.permissions().readonly() {
            return Err(Error::new(
                ErrorKind::Destination,
                "write to a folder that is read-only",
            )
            .context("path", dir.display())
            .hint("make it writable for this user, or choose another `path`"));
        }
        Ok(())
    }

    fn head_now(&self, key: &SyncKey) -> Result<Option<CommitInfo>> {
        let head = chain::head(&self.table_dir(&key.stream))?;
        if let Some(head) = &head {
            chain::check_key(head, key)?;
        }
        Ok(head)
    }

    fn commit_now(&self, package: &Package) -> Result<Commit> {
        let manifest = &package.manifest;
        if !manifest.sealed {
            return Err(Error::bug("commit a package that is not sealed"));
        }
        let rows = !manifest.files.is_empty();
        if manifest.mode == WriteMode::Replace && !manifest.complete && rows {
            return Err(Error::bug("replace a table by rows that are not complete"));
        }
        let table = self.table_dir(&manifest.key.stream);
        fs::create_dir_all(&self.root)?;
        fs::create_dir(&table)?;
        fs::check_own_dir(&table)?;
        fs::sync_dir(&self.root)?;

        let head = self.head_now(&manifest.key)?;
        if let Some(head) = &head
            && head.commit.id == manifest.id
        {
            // An earlier attempt may have died between the rename and this.
            fs::sync_dir(&table)?;
            chain::hint(&table, &head.commit);
            return Ok(head.commit.clone());
        }
        if head.as_ref().map(|head| head.commit.id) != manifest.parent {
            return Err(conflict(package, head.as_ref()));
        }
        package::verify_sizes(package)?;
        self.check_policies(package, head.is_some(), &table)?;
        let at = self.clock.now();
        self.publish(package, &table, at)?;
        let commit = manifest.to_commit(at);
        crash_point!("P10.before_head_file");
        chain::hint(&table, &commit);
        crash_point!("P10.after_head_file");
        Ok(commit)
    }

    fn check_policies(&self, package: &Package, has_head: bool, table: &Path) -> Result<()> {
        let manifest = &package.manifest;
        let replace = manifest.mode == WriteMode::Replace && manifest.complete;
        let empties = replace && manifest.rows() == 0 && !self.options.allow_empty_replace;
        let strict = self.options.on_schema_change == OnSchemaChange::Fail;
        let strict = strict && !manifest.files.is_empty();
        if !has_head || !(empties || strict) {
            return Ok(());
        }
        let table = Table::open(table)?;
        if empties && table.count(View::Current)? > 0 {
            return Err(Error::new(
                ErrorKind::Schema,
                "replace a table that has rows by nothing: the source returned 0 rows",
            )
            .context("stream", &manifest.key.stream)
            .hint(
                "check the source; if it is empty indeed, set `allow_empty_replace = true` in the \
                 pipeline file",
            ));
        }
        if strict {
            let changes =
                schema::changes(&unified(table.commits()), package.manifest.schema.as_ref());
            if !changes.is_empty() {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!(
                        "accept another schema: {}",
                        overlock_core::text::printable(&changes.join(", "))
                    ),
                )
                .context("stream", &manifest.key.stream)
                .hint("set `on_schema_change = \"evolve\"` to let the table follow"));
            }
        }
        Ok(())
    }

    /// Moves the package to its place in the chain.
    fn publish(&self, package: &Package, table: &Path, at: overlock_core::Timestamp) -> Result<()> {
        let target = chain::folder(table, package.manifest.parent);
        chain::stamp(&package.dir, package.manifest.id, at)?;
        crash_point!("P10.before_rename");
        let moved = match fs::try_rename(&package.dir, &target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                remove_stale_copies(table);
                let copied = copy::beside(package, table)?;
                fs::try_rename(&copied, &target).inspect_err(|_| {
                    if let Err(error) = fs::remove_dir_all(&copied) {
                        tracing::debug!(%error, "A useless copy stays for a day.");
                    }
                })
            }
            moved => moved,
        };
        match moved {
            Ok(()) => {}
            Err(error) if is_taken(&error) => {
                return Err(conflict(
                    package,
                    self.head_now(&package.manifest.key)?.as_ref(),
                ));
            }
            Err(error) => return Err(fs::failed(&error, "move a package to", &target)),
        }
        crash_point!("P10.after_rename");
        fs::sync_dir(table)?;
        fs::sync_dir(fs::parent(&package.dir))?;
        crash_point!("P10.after_folder_fsync");
        Ok(())
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
    )
}

fn conflict(package: &Package, head: Option<&CommitInfo>) -> Error {
    let shown = head.map_or_else(|| "none".to_owned(), |head| head.commit.id.to_string());
    Error::new(
        ErrorKind::Conflict,
        "commit a package that builds on another commit than the newest",
    )
    .context("stream", &package.manifest.key.stream)
    .context("commit", package.manifest.id)
    .context("head", shown)
    .hint("another run was faster; nothing is lost: the next run reads on from its commit")
}

/// A crash in the middle of a copy leaves a folder that nobody reads.
fn remove_stale_copies(table: &Path) {
    for entry in fs::list(table).ok().flatten().unwrap_or_default() {
        let stale = entry
            .metadata
            .modified()
            .ok()
            .and_then(|time| time.elapsed().ok());
        let is_copy = entry.path.extension().is_some_and(|end| end == "tmp");
        if is_copy
            && entry.metadata.is_dir()
            && stale.is_some_and(|age| age > STALE_COPY)
            && let Err(error) = fs::remove_dir_all(&entry.path)
        {
            tracing::debug!(%error, "A stale copy stays.");
        }
    }
}

#[async_trait]
impl Destination for Local {
    async fn check(&self) -> Result<Vec<String>> {
        let local = self.clone();
        blocking(move || local.check_now().map(|()| Vec::new())).await
    }

    async fn head(&self, key: &SyncKey) -> Result<Option<Commit>> {
        let (local, key) = (self.clone(), key.clone());
        blocking(move || Ok(local.head_now(&key)?.map(|head| head.commit))).await
    }

    async fn commit(&self, package: &Package) -> Result<Commit> {
        let (local, package) = (self.clone(), package.clone());
        blocking(move || local.commit_now(&package)).await
    }
}

/// Disk work off the async threads, so that one stream's fsync does not stop another's download.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::bug("finish disk work").source(error)),
    }
}
