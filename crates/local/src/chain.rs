//! The commits of a table folder, as they are on disk.
//!
//! ```text
//! <root>/<stream>/root/          first commit: manifest.json, commit.json, part-00001.parquet ...
//! <root>/<stream>/<first id>/    second commit
//! <root>/<stream>/<second id>/   third commit
//! <root>/<stream>/head.json      a hint where the chain ends
//! ```
//!
//! A commit's folder is named after its parent, so a second child cannot exist, and the folder that is
//! named after a commit is the next one. The hint saves the walk; it may be old, torn or missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use overlock_core::{
    Commit, CommitId, Error, ErrorKind, Manifest, Package, Result, SyncKey, Timestamp,
};
use overlock_package::{COMMIT_FILE, fs, manifest};
use serde::{Deserialize, Serialize};

const HEAD_FILE: &str = "head.json";
const MAX_SMALL_BYTES: u64 = 64 << 10;

/// One commit of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitInfo {
    /// Its head row.
    pub commit: Commit,
    /// Its folder and manifest.
    pub package: Package,
}

/// What the destination adds to a committed folder.
#[derive(Debug, Serialize, Deserialize)]
struct CommitFile {
    id: CommitId,
    at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeadFile {
    id: CommitId,
    parent: Option<CommitId>,
}

/// Folder of the commit that has this parent.
pub(crate) fn folder(table: &Path, parent: Option<CommitId>) -> PathBuf {
    match parent {
        Some(parent) => table.join(parent.to_string()),
        None => table.join("root"),
    }
}

/// The commit with this parent, if there is one.
pub(crate) fn load(table: &Path, parent: Option<CommitId>) -> Result<Option<CommitInfo>> {
    let dir = folder(table, parent);
    let mut package = manifest::load(&dir);
    if is_missing(&package) {
        // A folder without a manifest was never committed by us: a commit is one rename.
        if fs::list(&dir)?.is_none_or(|entries| entries.is_empty()) {
            return Ok(None);
        }
        // That rename may have come between the two looks.
        package = manifest::load(&dir);
    }
    let package = match package {
        Ok(package) => package,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(&dir, "its manifest is missing"));
        }
        Err(error) if error.kind() == ErrorKind::Data => {
            return Err(error.while_doing("read a commit").hint(DAMAGED_HINT));
        }
        Err(error) => return Err(error.while_doing("read a commit")),
    };
    if package.manifest.parent != parent || !package.manifest.sealed {
        return Err(damaged(&dir, "its manifest belongs elsewhere"));
    }
    let at = committed_at(&dir, &package.manifest);
    let commit = package.manifest.to_commit(at);
    Ok(Some(CommitInfo { commit, package }))
}

fn is_missing<T>(found: &Result<T>) -> bool {
    matches!(found, Err(error) if error.kind() == ErrorKind::NotFound)
}

const DAMAGED_HINT: &str = "restore the folder from a backup, or move the whole table away and sync it again from the start";

fn damaged(dir: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Data, format!("read a commit: {what}"))
        .context("path", dir.display())
        .hint(DAMAGED_HINT)
}

/// Without its file (which no crash of ours explains) the package's own time stands in.
fn committed_at(dir: &Path, manifest: &Manifest) -> Timestamp {
    read_small::<CommitFile>(&dir.join(COMMIT_FILE))
        .filter(|file| file.id == manifest.id)
        .map_or(manifest.started, |file| file.at)
}

fn read_small<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let bytes = fs::read(path, MAX_SMALL_BYTES).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// All commits, oldest first.
pub(crate) fn all(table: &Path) -> Result<Vec<CommitInfo>> {
    let mut commits = Vec::new();
    follow(table, None, |found| commits.push(found))?;
    Ok(commits)
}

/// Walks over the commits after `parent`.
fn follow(
    table: &Path,
    mut parent: Option<CommitId>,
    mut each: impl FnMut(CommitInfo),
) -> Result<()> {
    let mut seen: HashSet<CommitId> = parent.into_iter().collect();
    while let Some(found) = load(table, parent)? {
        if !seen.insert(found.commit.id) {
            return Err(damaged(
                &found.package.dir,
                "the chain of commits is a circle",
            ));
        }
        parent = Some(found.commit.id);
        each(found);
    }
    Ok(())
}

/// The newest commit.
pub(crate) fn head(table: &Path) -> Result<Option<CommitInfo>> {
    let hint = read_small::<HeadFile>(&table.join(HEAD_FILE));
    // A hint counts only if the folder agrees.
    let mut newest = match hint {
        Some(hint) => load(table, hint.parent)?.filter(|found| found.commit.id == hint.id),
        None => None,
    };
    let from = newest.as_ref().map(|found| found.commit.id);
    follow(table, from, |found| newest = Some(found))?;
    Ok(newest)
}

/// Refuses a table that another pipeline fills.
pub(crate) fn check_key(found: &CommitInfo, key: &SyncKey) -> Result<()> {
    let owner = &found.package.manifest.key;
    if owner == key {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "use the table `{}`: the pipeline `{}` fills it",
            key.stream, owner.pipeline
        ),
    )
    .context("path", fs::parent(&found.package.dir).display())
    .context("filled_by", &owner.pipeline)
    .hint(format!(
        "give `{}` another destination path, or run the pipeline `{}`",
        key.pipeline, owner.pipeline
    )))
}

/// Notes the time of the commit in a package that is about to be committed.
pub(crate) fn stamp(package: &Path, id: CommitId, at: Timestamp) -> Result<()> {
    write_small(&package.join(COMMIT_FILE), &CommitFile { id, at })
}

/// Moves the hint. A failure costs nothing but a walk.
pub(crate) fn hint(table: &Path, commit: &Commit) {
    let file = HeadFile {
        id: commit.id,
        parent: commit.parent,
    };
    if let Err(error) = write_small(&table.join(HEAD_FILE), &file) {
        tracing::debug!(%error, "The hint to the newest commit stays behind.");
    }
}

fn write_small(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| Error::bug("write a small file as JSON").source(error))?;
    bytes.push(b'\n');
    fs::replace(path, &bytes, |_| {})
}
