//! What runs the steps.

use async_trait::async_trait;
use overlock_core::{CommitId, Error, ErrorKind, SyncKey};

use crate::client::AGAIN;
use crate::step::Step;

/// What is known after a step failed.
#[derive(Debug)]
pub enum Failure {
    /// The step was not done, and trying again would not help.
    Refused(Error),
    /// The head or the schema is not there, or may not be seen (Snowflake does not tell which).
    Missing(Error),
    /// Nobody knows whether the step was done, or it may work later: only the head can tell.
    Lost(Error),
}

impl Failure {
    /// What to tell a person.
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Missing(error) | Self::Lost(error) => error,
        }
    }

    /// Outcome unknown: the head decides.
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self::Lost(Error::new(ErrorKind::Destination, message).hint(AGAIN))
    }

    /// Not done, for a reason that stays.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Refused(Error::new(ErrorKind::Destination, message).hint(AGAIN))
    }
}

/// The result of a step.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The answer to a statement: a small table of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names of its columns, in lower case.
    pub columns: Vec<String>,
    /// Rows; `None` is SQL's NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// A value by the name of its column.
    pub fn get(&self, row: usize, column: &str) -> Option<&str> {
        let position = self.columns.iter().position(|name| name == column)?;
        self.rows.get(row)?.get(position)?.as_deref()
    }

    /// The only number of an answer that is one: a count, or the rows that a statement changed.
    ///
    /// # Errors
    /// `Lost` if it is none: without the count, nobody knows what was done.
    pub fn number(&self) -> Result<u64> {
        // An UPDATE also tells of rows that were joined more than once; the first number is the one changed.
        let cell = self.rows.first().and_then(|row| row.first());
        cell.and_then(Option::as_deref)
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| Failure::lost("read how many rows a statement changed"))
    }
}

/// Whose statements these are: the tag that Snowflake keeps with each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Pipeline and stream.
    pub key: SyncKey,
    /// The package, if one is being committed.
    pub id: Option<CommitId>,
}

/// One session. Dropping it gives up what was not committed.
#[async_trait]
pub trait Session: Send {
    /// Runs one step.
    async fn run(&mut self, step: &Step) -> Result<Answer>;

    /// Ends the session, which gives up what was not committed and lets go of locks.
    async fn close(&mut self) {}
}

/// A place to open sessions at.
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// Opens a session; what was committed before is seen in it.
    async fn open(&self, tag: &Tag) -> Result<Box<dyn Session>>;
}
