//! The steps of a commit, as data, and the SQL of each.

use std::path::PathBuf;

use overlock_core::{CommitId, Part, State, SyncKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::column::{ColumnType, Mapped, Route};
use crate::sql::{Name, Place};

/// Where a stream's rows and its state live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose rows.
    pub key: SyncKey,
    /// Target table.
    pub table: Name,
    /// One row per key: the newest commit.
    pub heads: Name,
    /// Append-only history.
    pub commits: Name,
    /// Named stage.
    pub stage: Name,
    /// Where it lies, if Snowflake does not keep it itself.
    pub external: Option<ExternalStage>,
}

/// What SQL says of a stage in a bucket of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalStage {
    /// As Snowflake spells it, such as `s3://bucket/path/`.
    pub url: String,
    /// Name of the storage integration through which Snowflake reads it.
    pub storage_integration: Option<String>,
}

/// What a head row holds beside its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    /// The commit.
    pub id: CommitId,
    /// The one before.
    pub parent: Option<CommitId>,
    /// State after it.
    pub state: Option<State>,
    /// Whether the read came to its end.
    pub complete: bool,
    /// Rows of its package.
    pub rows: u64,
    /// When.
    pub at: Timestamp,
    /// Which column took what.
    pub mapping: Vec<Mapped>,
}

/// How versions of one row are told apart in the staging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Key columns.
    pub primary: Vec<Route>,
    /// Column that orders versions.
    pub replication: Option<Route>,
    /// Whether the staging table has the column `_row`.
    pub row_numbers: bool,
}

/// Which staged rows are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// All.
    All,
    /// The newest of each primary key; those that have a newer one in the table stay out.
    Newest,
    /// The first of each pair of primary and replication key that the table does not have yet.
    Unseen,
}

/// The value of a column that is the same in all rows of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// Column of the target.
    pub column: String,
    /// Its type.
    pub kind: ColumnType,
    /// As text.
    pub value: String,
    /// Only in rows whose flag `_deleted` is set.
    pub only_deleted: bool,
}

/// What every statement that touches rows asks for: that this attempt holds the head.
///
/// If the session was replaced after the head was moved, the move was rolled back, and no row lands on its own. If
/// the statement comes late, from a process that is dead, another attempt holds the head, and no row lands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The package.
    pub id: CommitId,
    /// A number of this attempt alone.
    pub attempt: CommitId,
}

/// Rows on their way from the staging table to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// From.
    pub staging: Name,
    /// To.
    pub target: Target,
    /// Only by this attempt.
    pub claim: Claim,
    /// Columns.
    pub routes: Vec<Route>,
    /// Constant columns.
    pub constants: Vec<Constant>,
    /// Keys; without any, all rows are loaded.
    pub keys: Keys,
    /// Which rows.
    pub choice: Choice,
    /// Leave out rows whose flag `_deleted` is set.
    pub without_deleted: bool,
}

/// What tells the rows of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrayValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// One statement of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes the schema.
    CreateSchema(Place),
    /// Makes the table of heads.
    CreateHeads(Name),
    /// Makes the table of commits.
    CreateCommits(Name),
    /// Makes the stage.
    CreateStage {
        /// Stage.
        stage: Name,
        /// Where it lies, if Snowflake does not keep it itself.
        external: Option<ExternalStage>,
    },
    /// Asks what is known about the history without a warehouse: when it was made, and how many rows it has.
    ShowCommits(Name),
    /// Reads all head rows of the schema; of the pipeline's own, the heads as well.
    LookAll(Target),
    /// Reads the head rows of the key and of its table, and the columns of the table.
    Look(Target),
    /// Adds the row that all heads of a key will be written to.
    AddHead(Target),
    /// Deletes head rows of the key that no commit was ever written to: two first runs may add two.
    DropEmptyHeads(Target),
    /// Counts the rows of the target.
    CountRows(Name),
    /// Asks for the server's time, in seconds since 1970.
    AskTime,
    /// Asks what is known about a user.
    DescribeUser(String),
    /// Asks for a stage's properties.
    DescribeStage(Name),
    /// Makes the target.
    CreateTable {
        /// Target.
        table: Name,
        /// Columns in order.
        columns: Vec<(String, ColumnType)>,
    },
    /// Adds columns.
    AddColumns {
        /// Target.
        table: Name,
        /// Columns.
        columns: Vec<(String, ColumnType)>,
    },
    /// Raises the precision of a column.
    Widen {
        /// Target.
        table: Name,
        /// Column.
        column: String,
        /// Its type from now on.
        kind: ColumnType,
    },
    /// Makes the staging table of a package, empty.
    CreateStaging {
        /// Staging table.
        staging: Name,
        /// Columns of the Parquet files.
        columns: Vec<(String, ColumnType)>,
    },
    /// Sends files.
    Upload {
        /// Stage.
        stage: Name,
        /// Folder on it, ending in `/`.
        prefix: String,
        /// Folder here.
        dir: PathBuf,
        /// Files in it.
        files: Vec<Part>,
    },
    /// Lists what is on the stage.
    List {
        /// Stage.
        stage: Name,
        /// Folder on it.
        prefix: String,
    },
    /// Reads the files into the staging table.
    Copy {
        /// Staging table.
        staging: Name,
        /// Stage.
        stage: Name,
        /// Folder on it.
        prefix: String,
        /// Two columns have names that differ in case only.
        case_sensitive: bool,
    },
    /// Begins the transaction.
    Begin,
    /// Moves the head, if it stands at the parent.
    MoveHead {
        /// Whose.
        target: Target,
        /// To what.
        head: HeadRow,
        /// Where it may stand instead of at the parent, unless the history has it by now.
        stray: Option<CommitId>,
        /// Number of this attempt.
        attempt: CommitId,
    },
    /// Deletes what staged rows take the place of.
    DeleteOld(Load),
    /// Deletes all rows.
    DeleteAll {
        /// Of what.
        target: Target,
        /// Only by this attempt.
        claim: Claim,
    },
    /// Deletes rows that a head left behind which was moved outside a transaction and never logged.
    DeleteStray {
        /// Of what.
        target: Target,
        /// Only by this attempt.
        claim: Claim,
        /// A constant column.
        column: String,
        /// As SQL compares it: its value in those rows.
        value: StrayValue,
    },
    /// Inserts staged rows.
    Insert(Load),
    /// Writes the history, if as many rows are staged as the package has.
    LogCommit {
        /// Whose.
        target: Target,
        /// What.
        head: HeadRow,
        /// Number of this attempt.
        attempt: CommitId,
        /// Staging table, if the package has rows.
        staging: Option<Name>,
        /// A column of it that is never NULL, if there is one: COPY leaves columns out in silence.
        never_null: Option<String>,
        /// JSON columns of the staging table.
        json: Vec<String>,
    },
    /// Commits the transaction.
    Commit,
    /// Gives the transaction up.
    Rollback,
    /// Removes the staging table.
    DropStaging(Name),
    /// Removes the files.
    RemoveStaged {
        /// Stage.
        stage: Name,
        /// Folder on it.
        prefix: String,
    },
}

impl Step {
    /// A word for it, for query tags and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::CreateSchema(_) => "create_schema",
            Self::CreateHeads(_) => "create_heads",
            Self::CreateCommits(_) => "create_commits",
            Self::CreateStage { .. } => "create_stage",
            Self::ShowCommits(_) => "show_commits",
            Self::LookAll(_) => "look_all",
            Self::Look(_) => "look",
            Self::AddHead(_) => "add_head",
            Self::DropEmptyHeads(_) => "drop_empty_heads",
            Self::CountRows(_) => "count_rows",
            Self::AskTime => "ask_time",
            Self::DescribeUser(_) => "describe_user",
            Self::DescribeStage(_) => "describe_stage",
            Self::CreateTable { .. } => "create_table",
            Self::AddColumns { .. } => "add_columns",
            Self::Widen { .. } => "widen",
            Self::CreateStaging { .. } => "create_staging",
            Self::Upload { .. } => "upload",
            Self::List { .. } => "list",
            Self::Copy { .. } => "copy",
            Self::Begin => "begin",
            Self::MoveHead { .. } => "move_head",
            Self::DeleteOld(_) => "delete_old",
            Self::DeleteAll { .. } => "delete_all",
            Self::DeleteStray { .. } => "delete_stray",
            Self::Insert(_) => "insert",
            Self::LogCommit { .. } => "log_commit",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::DropStaging(_) => "drop_staging",
            Self::RemoveStaged { .. } => "remove_staged",
        }
    }

    /// Whether it would end an open transaction (Snowflake commits it silently).
    pub fn is_ddl(&self) -> bool {
        matches!(
            self,
            Self::CreateSchema(_)
                | Self::CreateHeads(_)
                | Self::CreateCommits(_)
                | Self::CreateStage { .. }
                | Self::CreateTable { .. }
                | Self::AddColumns { .. }
                | Self::Widen { .. }
                | Self::CreateStaging { .. }
                | Self::DropStaging(_)
        )
    }

    /// Whether a warehouse must run for it; the rest is the business of Snowflake's cloud services.
    pub fn needs_warehouse(&self) -> bool {
        matches!(
            self,
            Self::Look(_)
                | Self::LookAll(_)
                | Self::AddHead(_)
                | Self::DropEmptyHeads(_)
                | Self::CountRows(_)
                | Self::Copy { .. }
                | Self::MoveHead { .. }
                | Self::DeleteOld(_)
                | Self::DeleteAll { .. }
                | Self::DeleteStray { .. }
                | Self::Insert(_)
                | Self::LogCommit { .. }
        )
    }
}
