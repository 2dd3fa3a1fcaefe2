//! The folder that holds the packages of one key, and what a crash left in it.
//!
//! Recovery trusts two things: the newest commit at the destination, and manifests whose checksum is
//! right. From the head it follows the parent ids over sealed packages to at most one open package;
//! everything else of this key is committed, orphaned or unfinished, and goes. What is damaged is put
//! aside for a person, and its rows are read again. What it does not know it leaves alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use overlock_core::{
    CommitId, Error, ErrorKind, Package, Result, SyncKey, crash_point, text::printable,
};

use crate::verify::{self, verify};
use crate::{fs, manifest};

/// Ending of a folder that is kept for a person to look at.
const CORRUPT: &str = "corrupt";

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
    /// The open package at the end of that chain. If it has files but no state (`manifest.state` is
    /// `None`), it can only be kept where reading again from the beginning may repeat them.
    pub open: Option<Package>,
    /// Packages that were put aside as damaged just now, by their new folder.
    pub quarantined: Vec<PathBuf>,
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
    /// `Config` if the folder or something in it is a symbolic link or belongs to someone else; `Io`.
    pub fn recover(&self, key: &SyncKey, head: Option<CommitId>) -> Result<Recovered> {
        crash_point!("P2.before_recover");
        let mut recovered = Recovered::default();
        let packages = self.sort(key, head, &mut recovered)?;
        let (chain, orphans) = chain_from(head, packages);
        // A damaged package ends the chain; what builds on it can never be committed.
        let mut sound = true;
        for package in chain {
            if !sound {
                verify::remove_dir(&package.dir)?;
                continue;
            }
            match tidy(&package, &mut recovered).and_then(|()| verify(&package)) {
                Ok(()) if package.manifest.sealed => recovered.sealed.push(package),
                Ok(()) => recovered.open = Some(package),
                Err(error) if error.kind() == ErrorKind::Data => {
                    sound = false;
                    quarantine(&package.dir, &error, &mut recovered)?;
                }
                Err(error) => return Err(error),
            }
        }
        for package in orphans {
            tracing::debug!(id = %package.manifest.id, "A package that builds on no head is removed.");
            verify::remove_dir(&package.dir)?;
        }
        crash_point!("P2.after_recover");
        Ok(recovered)
    }

    /// Removes what needs no thought, and returns the readable packages of this key.
    fn sort(
        &self,
        key: &SyncKey,
        head: Option<CommitId>,
        recovered: &mut Recovered,
    ) -> Result<Vec<Package>> {
        let Some(entries) = fs::list(&self.dir)? else {
            return Ok(Vec::new());
        };
        fs::check_own_dir(&self.dir)?;
        let mut packages = Vec::new();
        let mut unknown = Vec::new();
        for entry in entries {
            let id = CommitId::from_str(&entry.name).ok();
            let is_package = id.is_some_and(|id| id.to_string() == entry.name);
            let is_trash = ends(&entry.name, verify::TRASH);
            let is_corrupt = entry.name.contains(&format!(".{CORRUPT}"));
            if is_package {
                fs::check_own_dir(&entry.path)?;
                let package = load(&entry.path, key, recovered)?;
                match package {
                    Some(package) if Some(package.manifest.id) == head => {
                        verify::remove_dir(&package.dir)?;
                    }
                    package => packages.extend(package),
                }
            } else if is_trash && entry.metadata.is_dir() {
                fs::remove_dir_all(&entry.path)?;
            } else if ends(&entry.name, "tmp") && entry.metadata.is_file() {
                fs::remove_file(&entry.path)?;
            } else if !is_corrupt {
                unknown.push(printable(&entry.name));
            }
        }
        if !unknown.is_empty() {
            recovered.warnings.push(format!(
                "left alone in `{}` what is not a package: {}",
                self.dir.display(),
                some(&unknown)
            ));
        }
        Ok(packages)
    }
}

/// Removes the unfinished files of a package and reports those that are not ours.
fn tidy(package: &Package, recovered: &mut Recovered) -> Result<()> {
    let mut unknown = Vec::new();
    for entry in fs::list(&package.dir)?.unwrap_or_default() {
        let listed = package
            .manifest
            .files
            .iter()
            .any(|part| part.name == entry.name);
        if listed || entry.name == manifest::FILE_NAME || entry.name == COMMIT_FILE {
            continue;
        }
        let unfinished = ends(&entry.name, "tmp")
            || (entry.name.starts_with("part-") && ends(&entry.name, "parquet"));
        if unfinished && entry.metadata.is_file() {
            fs::remove_file(&entry.path)?;
        } else {
            unknown.push(printable(&entry.name));
        }
    }
    if !unknown.is_empty() {
        let id = package.manifest.id;
        recovered.warnings.push(format!(
            "left alone in the package {id} what it does not name: {}",
            some(&unknown)
        ));
    }
    Ok(())
}

/// A file that a destination may keep beside the manifest.
pub const COMMIT_FILE: &str = "commit.json";

/// Reads the manifest of a package folder; `None` if the folder is not for us (any more).
fn load(dir: &Path, key: &SyncKey, recovered: &mut Recovered) -> Result<Option<Package>> {
    let name = dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let package = match manifest::load(dir) {
        Ok(package) => package,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Killed right after the folder was made: nothing in it can be of worth.
            let entries = fs::list(dir)?.unwrap_or_default();
            if entries.iter().all(|entry| ends(&entry.name, "tmp")) {
                verify::remove_dir(dir)?;
            } else {
                quarantine(dir, &error, recovered)?;
            }
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::Data => {
            quarantine(dir, &error, recovered)?;
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::Config && is_newer(&error) => {
            recovered
                .warnings
                .push(format!("left alone the package {name}: failed to {error}"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let found = &package.manifest;
    if found.key != *key || found.id.to_string() != name {
        recovered.warnings.push(format!(
            "left alone the folder {name}: it holds the package {} of {}, copied here by someone",
            found.id, found.key
        ));
        return Ok(None);
    }
    Ok(Some(package))
}

/// Whether the manifest is of a newer format (and not a symbolic link or somebody else's).
fn is_newer(error: &Error) -> bool {
    std::error::Error::source(error).is_none() && error.get("format").is_some()
}

/// Follows the parents from the head; the rest are orphans.
fn chain_from(head: Option<CommitId>, packages: Vec<Package>) -> (Vec<Package>, Vec<Package>) {
    let mut children: HashMap<Option<CommitId>, Vec<Package>> = HashMap::new();
    for package in packages {
        children
            .entry(package.manifest.parent)
            .or_default()
            .push(package);
    }
    let mut chain: Vec<Package> = Vec::new();
    let mut next = head;
    while let Some(mut candidates) = children.remove(&next) {
        // Two children of one parent come from two runs: a sealed one is worth more than an open one,
        // a newer one has seen more than an older one. Either alone is consistent.
        candidates.sort_by_key(|package| (package.manifest.sealed, package.manifest.id));
        let Some(chosen) = candidates.pop() else {
            break;
        };
        let (id, sealed) = (chosen.manifest.id, chosen.manifest.sealed);
        chain.push(chosen);
        if !candidates.is_empty() {
            children.insert(next, candidates);
        }
        if !sealed {
            break;
        }
        next = Some(id);
    }
    (chain, children.into_values().flatten().collect())
}

/// Renames a damaged package, so that a person can look at it and nothing else ever does.
fn quarantine(dir: &Path, error: &Error, recovered: &mut Recovered) -> Result<()> {
    let mut target = dir.with_extension(CORRUPT);
    let mut number = 1;
    while std::fs::symlink_metadata(&target).is_ok() {
        number += 1;
        target = dir.with_extension(format!("{CORRUPT}-{number}"));
    }
    fs::rename(dir, &target)?;
    fs::sync_dir(fs::parent(dir))?;
    recovered.warnings.push(format!(
        "put aside the damaged package `{}` and read its rows again: failed to {error}",
        target.display()
    ));
    recovered.quarantined.push(target);
    Ok(())
}

fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn ends(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == ending)
}

#[cfg(test)]
mod tests;
