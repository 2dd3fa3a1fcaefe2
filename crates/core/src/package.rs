//! Packages and commits: the unit that moves rows and state together.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::name::{SourceName, SyncKey};
use crate::state::State;
use crate::time::Timestamp;

/// The id of a package and of the commit it becomes: a ULID, made once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(ulid::Ulid);

impl CommitId {
    /// A new id; unique even if the wall clock jumps, because 80 of its bits are random.
    pub fn generate() -> Self {
        Self(ulid::Ulid::r#gen())
    }

    /// When it was made, by the clock of the machine that made it; `None` for an id that no clock made.
    pub fn made_at(self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.0.timestamp_ms() / 1000).ok();
        seconds.and_then(Timestamp::from_seconds)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CommitId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ulid::Ulid::from_string(text).map(Self).map_err(|error| {
            let shown = crate::text::printable(text);
            Error::new(ErrorKind::Config, format!("read `{shown}` as a commit id")).source(error)
        })
    }
}

impl Serialize for CommitId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommitId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// How rows reach the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// Newest version per primary key.
    Merge,
    /// Every row stays; repeats of (primary key, replication key) are dropped where both exist.
    Append,
    /// The package is the whole table.
    Replace,
}

/// What a row with `_deleted = true` does in merge mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteMode {
    /// The row stays with its flag set.
    #[default]
    Soft,
    /// The row disappears from the current version of the table.
    Hard,
}

/// What the manifest of a package says, format 1. The manifest is the only truth about a package: a
/// file that it does not name does not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    pub format: u32,
    /// Id of the package and of the commit it becomes.
    pub id: CommitId,
    /// The commit it builds on; `None`: the first.
    pub parent: Option<CommitId>,
    /// Pipeline and stream.
    pub key: SyncKey,
    /// The source's name, which is the first folder of the table.
    pub source: SourceName,
    /// How the rows reach the table.
    pub mode: WriteMode,
    /// What deleted rows do.
    #[serde(default)]
    pub deletes: DeleteMode,
    /// Columns that identify a row.
    pub primary_key: Vec<String>,
    /// Column that orders versions of a row.
    pub replication_key: Option<String>,
    /// Schema of every file.
    pub schema: SchemaRef,
    /// Finished files, in row order.
    pub files: Vec<Part>,
    /// Covers all rows of `files`.
    pub state: Option<State>,
    /// Nothing will be added any more.
    pub sealed: bool,
    /// The read reached its end.
    pub complete: bool,
    /// When the package was opened.
    pub started: Timestamp,
    /// Upper bound of the read, fixed at the start of the run.
    pub until: Timestamp,
    /// Rows that were read from the source into `files`.
    pub rows_read: u64,
    /// Rows the source said it has, where it says so.
    pub rows_reported: Option<u64>,
    /// Values that were kept in `_extra`.
    #[serde(default)]
    pub extra_values: u64,
    /// The files have the column `_row` after those of the schema.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub row_numbers: bool,
}

/// One finished Parquet file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// File name inside the package folder, `^[0-9A-Za-z_-]+\.parquet$`.
    pub name: String,
    /// Rows by the Parquet footer.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file in lowercase hex.
    pub sha256: String,
}

impl Manifest {
    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|part| part.rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|part| part.bytes).sum()
    }

    /// The commit that this package is once it is committed at `at`.
    pub fn to_commit(&self, at: Timestamp) -> Commit {
        Commit {
            id: self.id,
            parent: self.parent,
            state: self.state.clone(),
            complete: self.complete,
            rows: self.rows(),
            at,
        }
    }
}

/// A package on disk: a folder of Parquet files and their manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// The folder.
    pub dir: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

/// A committed package: the newest one of a key is its state store, its lock and its resume point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Id.
    pub id: CommitId,
    /// The commit before it.
    pub parent: Option<CommitId>,
    /// Where the next read begins; `None` after a reset or for a full refresh.
    pub state: Option<State>,
    /// The read reached its end.
    pub complete: bool,
    /// Rows in the package.
    pub rows: u64,
    /// When it was committed.
    pub at: Timestamp,
}
