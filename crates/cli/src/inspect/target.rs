//! What to look at: a table, a folder of tables, or a single Parquet file.

use std::path::{Path, PathBuf};

use overlock_core::text::printable;
use overlock_core::{CommitId, Error, ErrorKind, Result};
use overlock_local::Table;

use crate::app::App;
use crate::config::{DestinationSettings, Wanted};
use crate::failure::{Failure, Outcome};
use crate::suggest;

/// What the user points at.
#[derive(Debug)]
pub(super) enum Target {
    /// A table and its name.
    Table(String, Table),
    /// A folder of tables.
    Folder(Vec<(String, PathBuf)>),
    /// One Parquet file.
    File(PathBuf),
}

/// Finds `text` on disk, else as `source.stream` or `source` of the project.
pub(super) fn find(app: &App, text: &str) -> Outcome<Target> {
    let path = Path::new(text);
    if std::fs::symlink_metadata(path).is_ok() {
        return Ok(open(path)?);
    }
    let looks_like_a_path = text.contains(std::path::MAIN_SEPARATOR) || text.ends_with(".parquet");
    if looks_like_a_path {
        return Err(Error::new(ErrorKind::NotFound, "find what to look at")
            .context("path", path.display())
            .hint("give a table as SOURCE.STREAM, its folder, or a .parquet file")
            .into());
    }
    let project = app.project(Wanted::All)?;
    let (source, stream) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let mut roots = Vec::new();
    let mut has_warehouse = false;
    let names = project.folders().into_iter().map(Some);
    for name in std::iter::once(None).chain(names) {
        match app.destination(&project, name)? {
            DestinationSettings::Local(root) => roots.push(root),
            DestinationSettings::Snowflake(_) => has_warehouse = true,
        }
    }
    roots.dedup();
    let mut known = Vec::new();
    for root in &roots {
        let folder = root.join(source);
        // A name of a source is never a path: `..` finds nothing here.
        let is_name = overlock_core::SourceName::new(source).is_ok();
        let tables = if is_name {
            overlock_local::tables(&folder)?
        } else {
            Vec::new()
        };
        match stream {
            None if !tables.is_empty() => return Ok(open(&folder)?),
            None => {}
            Some(stream) => {
                if let Some((name, dir)) = tables.iter().find(|(name, _)| name.as_str() == stream) {
                    return Ok(Target::Table(name.to_string(), Table::open(dir)?));
                }
            }
        }
        known.extend(
            tables
                .into_iter()
                .map(|(name, _)| format!("{source}.{name}")),
        );
        known.extend(
            project
                .sources()
                .iter()
                .filter(|_| stream.is_none())
                .map(|name| (*name).to_owned()),
        );
    }
    let hint = suggest::sentence(text, known.iter().map(String::as_str)).unwrap_or_else(|| {
        let hint = if has_warehouse {
            "this looks into local Parquet; what went to a warehouse is asked for there"
        } else {
            "run a sync first, or give a folder or a .parquet file"
        };
        hint.to_owned()
    });
    Err(Failure::usage(
        format!("find a table `{}`", printable(text)),
        hint,
    ))
}

/// Opens a path.
pub(super) fn open(path: &Path) -> Result<Target> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        Error::new(ErrorKind::NotFound, "look at the path")
            .context("path", path.display())
            .source(error)
    })?;
    if metadata.is_dir() {
        let name = path.canonicalize().ok();
        let name = name
            .as_deref()
            .unwrap_or(path)
            .file_name()
            .unwrap_or_default();
        return match Table::open(path) {
            Ok(table) => Ok(Target::Table(printable(&name.to_string_lossy()), table)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let tables = overlock_local::tables(path)?;
                if tables.is_empty() {
                    return Err(error);
                }
                let tables = tables
                    .into_iter()
                    .map(|(name, dir)| (name.to_string(), dir));
                Ok(Target::Folder(tables.collect()))
            }
            Err(error) => Err(error),
        };
    }
    if !metadata.is_file() {
        // A FIFO or a device could keep us waiting for ever.
        return Err(Error::new(
            ErrorKind::Config,
            "look into what is neither a folder nor a regular file",
        )
        .context("path", path.display()));
    }
    Ok(Target::File(path.to_owned()))
}

/// A commit by its id, the beginning of its id, `head` or `head~2`.
pub(super) fn commit(table: &Table, text: &str) -> Result<CommitId> {
    let commits = table.commits();
    let refuse = |message: String| {
        Err(Error::new(ErrorKind::Config, message)
            .hint("`overlock inspect TABLE commits` lists the commits; `head` is the newest, `head~1` the one before"))
    };
    let shown = printable(text);
    if let Some(rest) = text.strip_prefix("head") {
        let back = if rest.is_empty() {
            Some(0)
        } else {
            rest.strip_prefix('~').and_then(|n| n.parse::<usize>().ok())
        };
        let index = back.and_then(|back| commits.len().checked_sub(back.checked_add(1)?));
        return match index.and_then(|index| commits.get(index)) {
            Some(info) => Ok(info.commit.id),
            None => refuse(format!(
                "find the commit `{shown}`: there are {}",
                commits.len()
            )),
        };
    }
    let upper = text.to_ascii_uppercase();
    let mut found = commits
        .iter()
        .filter(|info| info.commit.id.to_string().starts_with(&upper));
    match (found.next(), found.next()) {
        (Some(info), None) if text.len() >= 4 => Ok(info.commit.id),
        (Some(_), _) => refuse(format!(
            "tell which commit `{shown}` means: several begin so"
        )),
        (None, _) => refuse(format!("find the commit `{shown}`")),
    }
}
