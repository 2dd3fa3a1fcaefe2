//! Reading a table: its commits, its columns, its rows now or as of any commit.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use overlock_core::stream::{COMMIT_ID, DELETED, SYNCED_AT, UTC};
use overlock_core::text::printable;
use overlock_core::{CommitId, Error, ErrorKind, Part, Result, StreamName, WriteMode};
use overlock_package as package;
use overlock_package::fs;

use crate::adapt::Adapter;
use crate::chain::{self, CommitInfo};
use crate::fold::{Fold, Rule};
use crate::scan::{Job, Scan};
use crate::schema;

/// Which rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum View {
    /// The table as it is now.
    #[default]
    Current,
    /// Every row of every commit, with `_synced_at` and `_commit_id`.
    All,
    /// The table as it was after this commit.
    AsOf(CommitId),
}

/// A table of committed packages; a snapshot taken by [`open`](Self::open), so that commits made
/// later change nothing in what it shows.
#[derive(Debug, Clone)]
pub struct Table {
    dir: PathBuf,
    commits: Vec<CommitInfo>,
    verified: Verified,
}

/// Files whose hash was checked by this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verified(Arc<Mutex<HashSet<PathBuf>>>);

impl Verified {
    pub(crate) fn check(&self, dir: &Path, part: &Part) -> Result<()> {
        let path = dir.join(&part.name);
        if self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&path)
        {
            return Ok(());
        }
        package::verify_part(dir, part)?;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path);
        Ok(())
    }
}

/// The tables under `root` (`<data>/<source>`) to which something was committed, by name.
///
/// # Errors
/// `Io`.
pub fn tables(root: &Path) -> Result<Vec<(StreamName, PathBuf)>> {
    let mut tables = Vec::new();
    for entry in fs::list(root)?.unwrap_or_default() {
        let Ok(name) = StreamName::new(entry.name) else {
            continue;
        };
        let first = chain::folder(&entry.path, None).join(package::manifest::FILE_NAME);
        if first.is_file() {
            tables.push((name, entry.path));
        }
    }
    Ok(tables)
}

impl Table {
    /// Opens the table in the folder `dir` (`<data>/<source>/<stream>`).
    ///
    /// # Errors
    /// `NotFound` if nothing was ever committed there; `Data` if a manifest is damaged; `Io`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        let commits = chain::all(&dir)?;
        if commits.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "find a committed table")
                .context("path", dir.display())
                .hint("run a sync first; what is not committed is never shown"));
        }
        Ok(Self {
            dir,
            commits,
            verified: Verified::default(),
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All commits, oldest first.
    pub fn commits(&self) -> &[CommitInfo] {
        &self.commits
    }

    /// The columns of a view.
    ///
    /// # Errors
    /// `NotFound` if it asks for a commit that is not there.
    pub fn schema(&self, view: View) -> Result<SchemaRef> {
        let schema = unified(self.commits_of(view)?);
        Ok(if view == View::All {
            schema::with_origin(&schema)
        } else {
            schema
        })
    }

    /// The rows of a view, with these columns in this order (`None`: all).
    ///
    /// # Errors
    /// `NotFound` for an unknown commit, `Config` for an unknown column, `Data` for damaged files.
    pub fn scan(&self, view: View, columns: Option<&[String]>) -> Result<Scan> {
        let commits = self.commits_of(view)?;
        let whole = self.schema(view)?;
        let target = match columns {
            None => Arc::clone(&whole),
            Some(columns) => project(&whole, columns)?,
        };
        let keep = match view {
            View::All => None,
            View::Current | View::AsOf(_) => self.keep(commits, &whole)?,
        };
        let mut jobs = Vec::new();
        let mut row = 0;
        for info in commits {
            let adapter = Arc::new(adapter(info, &whole, &target));
            for part in &info.package.manifest.files {
                let rows = usize::try_from(part.rows)
                    .map_err(|error| Error::bug("count rows").source(error))?;
                jobs.push(Job {
                    dir: info.package.dir.clone(),
                    part: part.clone(),
                    adapter: Arc::clone(&adapter),
                    keep: keep.as_ref().map(|keep| keep.slice(row, rows)),
                });
                row += rows;
            }
        }
        Ok(Scan::new(target, jobs, self.verified.clone()))
    }

    /// Number of rows of a view, read from key columns only.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn count(&self, view: View) -> Result<u64> {
        let commits = self.commits_of(view)?;
        let keep = match view {
            View::All => None,
            View::Current | View::AsOf(_) => self.keep(commits, &self.schema(view)?)?,
        };
        Ok(match keep {
            Some(keep) => u64::try_from(keep.count_set_bits()).unwrap_or(u64::MAX),
            None => commits.iter().map(|info| info.commit.rows).sum(),
        })
    }

    /// The commits whose rows a view may show: those since the last replacement, up to a commit.
    fn commits_of(&self, view: View) -> Result<&[CommitInfo]> {
        let end = match view {
            View::All => return Ok(&self.commits),
            View::Current => self.commits.len(),
            View::AsOf(id) => {
                let found = self.commits.iter().position(|info| info.commit.id == id);
                found.map(|index| index + 1).ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, format!("find the commit {id}"))
                        .context("path", self.dir.display())
                })?
            }
        };
        let commits = self.commits.get(..end).unwrap_or_default();
        let start = commits.iter().rposition(replaces).unwrap_or(0);
        Ok(commits.get(start..).unwrap_or_default())
    }

    /// Which rows stay; `None`: all.
    fn keep(
        &self,
        commits: &[CommitInfo],
        whole: &SchemaRef,
    ) -> Result<Option<arrow::buffer::BooleanBuffer>> {
        let Some(newest) = newest(commits) else {
            return Ok(None);
        };
        let has = |name: &str| whole.field_with_name(name).is_ok();
        let mut manifest = newest.package.manifest.clone();
        manifest.replication_key = manifest.replication_key.filter(|name| has(name));
        if let Some(missing) = manifest.primary_key.iter().find(|name| !has(name)) {
            return Err(Error::new(
                ErrorKind::Data,
                format!("find the key column `{}` in the table", printable(missing)),
            )
            .context("path", self.dir.display()));
        }
        let mut rule = Rule::of(&manifest);
        if let Rule::Newest { hide_deleted, .. } = &mut rule {
            *hide_deleted &= has(DELETED);
        }
        if rule == Rule::All {
            return Ok(None);
        }
        let target = project(whole, &rule.columns())?;
        let mut fold = Fold::new(rule);
        for info in commits {
            let adapter = adapter(info, whole, &target);
            for part in &info.package.manifest.files {
                let dir = &info.package.dir;
                self.verified.check(dir, part)?;
                for batch in package::read_verified_part(dir, part, Some(&adapter.columns))? {
                    fold.add(&adapter.adapt(&batch?)?)?;
                }
            }
        }
        Ok(Some(fold.finish()))
    }
}

/// Whether nothing before this commit is seen any more. A reset in replace mode has no rows and is not
/// complete: it moves the state and leaves the table.
fn replaces(info: &CommitInfo) -> bool {
    info.package.manifest.mode == WriteMode::Replace && info.commit.complete
}

/// The newest commit that says what the table is. A reset has no columns and no keys, and so nothing to say.
fn newest(commits: &[CommitInfo]) -> Option<&CommitInfo> {
    let says = |info: &&CommitInfo| !info.package.manifest.schema.fields().is_empty();
    commits.iter().rfind(says)
}

pub(crate) fn unified(commits: &[CommitInfo]) -> SchemaRef {
    // A commit without files brings no rows, and so no columns: unless it is all there is.
    let with_rows = commits
        .iter()
        .filter(|info| !info.package.manifest.files.is_empty());
    let schema = schema::unify(with_rows.map(|info| &info.package.manifest.schema));
    if schema.fields().is_empty() {
        return schema::unify(newest(commits).map(|info| &info.package.manifest.schema));
    }
    schema
}

fn project(whole: &Schema, columns: &[String]) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        let field = whole.field_with_name(column).map_err(|_| {
            Error::new(
                ErrorKind::Config,
                format!("find a column `{}`", printable(column)),
            )
            .context("column", column)
            .hint("list the columns with `overlock inspect … schema`")
        })?;
        fields.push(field.clone());
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn adapter(info: &CommitInfo, whole: &Schema, target: &SchemaRef) -> Adapter {
    let at = TimestampMicrosecondArray::from(vec![info.commit.at.micros()]).with_timezone(UTC);
    let id = StringArray::from(vec![info.commit.id.to_string()]);
    let constants: [(&str, ArrayRef); 2] = [(SYNCED_AT, Arc::new(at)), (COMMIT_ID, Arc::new(id))];
    Adapter::new(
        &info.package.manifest.schema,
        whole,
        Arc::clone(target),
        &constants,
    )
}
