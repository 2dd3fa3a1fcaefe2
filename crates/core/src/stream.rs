//! Streams: what a source offers.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::name::StreamName;

/// Reserved Boolean column: true where the source says that the row is deleted.
pub const DELETED: &str = "_deleted";
/// Reserved column: JSON object with the unknown keys of a row and the values that misfit their column.
pub const EXTRA: &str = "_extra";
/// Reserved column that a destination adds: when the commit was made.
pub const SYNCED_AT: &str = "_synced_at";
/// Reserved column that a destination adds: the id of the commit.
pub const COMMIT_ID: &str = "_commit_id";

/// Reserved column that a package may have in its files: the number of the row in the package, from 0. It tells
/// which of two equal versions was read later where a destination keeps no order.
pub const ROW: &str = "_row";

/// Metadata key of a field; the value `json` marks text that holds JSON.
pub const TYPE_METADATA: &str = "overlock.type";

/// The zone of every timestamp column. Not "UTC": arrow-csv and others need a zone table for that name.
pub const UTC: &str = "+00:00";

/// One stream of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// The source's own name for it.
    pub name: StreamName,
    /// Arrow schema; reserved names start with an underscore. The last column is [`EXTRA`].
    pub schema: SchemaRef,
    /// Columns that identify a row; empty: append or replace only.
    pub primary_key: Vec<String>,
    /// Column that the state advances on; `None`: full refresh only, or an opaque cursor.
    pub replication_key: Option<String>,
    /// Whether a read can begin at a state.
    pub incremental: bool,
    /// Whether deleted rows are seen.
    pub deletes: Deletes,
    /// Whether a resume repeats no row, so that append is safe without keys.
    pub exact_states: bool,
    /// What a person should know, such as "7 fields are hidden from this user".
    pub notes: Vec<String>,
}

/// Whether a stream reports deleted rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    /// Deleted rows arrive with `_deleted = true`.
    Reported,
    /// Deleted rows are not seen.
    NotReported,
}

/// The streams of an account, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// Streams in the order of their names.
    pub streams: Vec<Arc<Stream>>,
    /// Streams that exist but cannot be read, each with the reason.
    pub unavailable: Vec<(String, String)>,
    /// Streams that the account has not bought, each with the reason: no failure, unless they were read before.
    pub lacking: Vec<(String, String)>,
}

impl Catalog {
    /// Finds a stream by its exact name.
    pub fn get(&self, name: &str) -> Option<&Arc<Stream>> {
        self.streams
            .iter()
            .find(|stream| stream.name.as_str() == name)
    }
}

impl Stream {
    /// The same stream with the columns `keep` says; key columns and reserved columns always stay.
    #[must_use]
    pub fn project(&self, keep: impl Fn(&str) -> bool) -> Self {
        let fields: Vec<_> = self
            .schema
            .fields()
            .iter()
            .filter(|field| {
                let name = field.name().as_str();
                name.starts_with('_')
                    || self.primary_key.iter().any(|key| key == name)
                    || self.replication_key.as_deref() == Some(name)
                    || keep(name)
            })
            .cloned()
            .collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            ..self.clone()
        }
    }
}

/// A nullable column that holds JSON text.
pub fn json_field(name: impl Into<String>) -> Field {
    Field::new(name, DataType::Utf8, true)
        .with_metadata([(TYPE_METADATA.to_owned(), "json".to_owned())].into())
}

/// Whether the column holds JSON text.
pub fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(TYPE_METADATA)
        .is_some_and(|kind| kind == "json")
}

/// The type of every timestamp column: microseconds, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}
