//! Small packages for tests of this crate and of destinations.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "only tests call this, and a panic is how a test fails"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray as _, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use overlock_core::stream::{self, DELETED, EXTRA};
use overlock_core::{
    CommitId, DeleteMode, Package, SourceName, State, StreamName, SyncKey, Timestamp, WriteMode,
};

use crate::{NewPackage, Settings, Shelf, Writer};

/// One version of one row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Primary key.
    pub id: i64,
    /// Replication key.
    pub version: i64,
    /// Payload.
    pub note: String,
    /// `_deleted`.
    pub deleted: bool,
}

/// A live row.
pub fn row(id: i64, version: i64, note: &str) -> Row {
    Row {
        id,
        version,
        note: note.to_owned(),
        deleted: false,
    }
}

/// A deleted row.
pub fn tombstone(id: i64, version: i64) -> Row {
    Row {
        id,
        version,
        note: String::new(),
        deleted: true,
    }
}

/// A folder that goes with its value, in memory where there is such a place: tests sync a lot.
pub fn temp_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::TempDir::new_in(memory).or_else(|_| tempfile::TempDir::new());
    made.unwrap()
}

/// The key `support.tickets`.
pub fn key() -> SyncKey {
    SyncKey::new(
        SourceName::new("support").unwrap(),
        StreamName::new("tickets").unwrap(),
    )
}

/// The state `{"v":1,"cursor":cursor}`.
pub fn state(cursor: u64) -> State {
    State::new(&serde_json::json!({"v": 1, "cursor": cursor})).unwrap()
}

/// A fixed instant.
pub fn instant() -> Timestamp {
    Timestamp::parse("2026-01-31T09:30:00Z").unwrap()
}

/// Columns `id`, `version`, `note`, `_deleted`, `_extra`.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("version", DataType::Int64, true),
        Field::new("note", DataType::Utf8, true),
        Field::new(DELETED, DataType::Boolean, true),
        stream::json_field(EXTRA),
    ]))
}

/// The rows as one batch of [`schema`].
pub fn batch(rows: &[Row]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|row| Some(row.id)).collect();
    let versions: Int64Array = rows.iter().map(|row| Some(row.version)).collect();
    let notes: StringArray = rows.iter().map(|row| Some(row.note.as_str())).collect();
    let deleted: BooleanArray = rows.iter().map(|row| Some(row.deleted)).collect();
    let extra = StringArray::from(vec![None::<&str>; rows.len()]);
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(ids),
            Arc::new(versions),
            Arc::new(notes),
            Arc::new(deleted),
            Arc::new(extra),
        ],
    )
    .unwrap()
}

/// The rows in batches that have at least the columns `id`, `version`, `note` and `_deleted`, sorted.
pub fn rows_of(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let ids = column("id").as_primitive::<Int64Type>();
        let versions = column("version").as_primitive::<Int64Type>();
        let notes = column("note").as_string::<i32>();
        let deleted = column(DELETED).as_boolean();
        for index in 0..batch.num_rows() {
            rows.push(Row {
                id: ids.value(index),
                version: versions.value(index),
                note: notes.value(index).to_owned(),
                deleted: deleted.is_valid(index) && deleted.value(index),
            });
        }
    }
    rows.sort();
    rows
}

/// What a package is about; the rest is fixed.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The commit it builds on.
    pub parent: Option<CommitId>,
    /// Key.
    pub key: SyncKey,
    /// Mode.
    pub mode: WriteMode,
    /// Deletes.
    pub deletes: DeleteMode,
    /// Whether there is a primary key.
    pub keyed: bool,
    /// Schema.
    pub schema: SchemaRef,
    /// State after it.
    pub state: Option<State>,
    /// Whether the read came to its end.
    pub complete: bool,
}

impl Sample {
    /// A complete, keyed package of [`schema`] with the state 1.
    pub fn new(parent: Option<CommitId>, mode: WriteMode) -> Self {
        Self {
            parent,
            key: key(),
            mode,
            deletes: DeleteMode::Soft,
            keyed: true,
            schema: schema(),
            state: Some(state(1)),
            complete: true,
        }
    }

    /// What the writer wants to know.
    pub fn new_package(&self) -> NewPackage {
        NewPackage {
            parent: self.parent,
            key: self.key.clone(),
            source: SourceName::new("zendesk").unwrap(),
            mode: self.mode,
            deletes: self.deletes,
            primary_key: if self.keyed {
                vec!["id".to_owned()]
            } else {
                Vec::new()
            },
            replication_key: self.keyed.then(|| "version".to_owned()),
            schema: Arc::clone(&self.schema),
            started: instant(),
            until: instant(),
        }
    }

    /// Opens it on the shelf of its key under `work`.
    pub fn create(&self, work: &Path) -> Writer {
        self.create_with(work, Settings::default())
    }

    /// Opens it on the shelf of its key under `work`.
    pub fn create_with(&self, work: &Path, settings: Settings) -> Writer {
        Writer::create(&shelf(work, &self.key), self.new_package(), settings).unwrap()
    }

    /// Writes and seals it.
    pub fn seal(&self, work: &Path, rows: &[Row]) -> Package {
        self.seal_with(work, Settings::default(), rows)
    }

    /// Writes and seals it.
    pub fn seal_with(&self, work: &Path, settings: Settings, rows: &[Row]) -> Package {
        self.seal_batches_with(work, settings, &[batch(rows)])
    }

    /// Writes and seals it.
    pub fn seal_batches(&self, work: &Path, batches: &[RecordBatch]) -> Package {
        self.seal_batches_with(work, Settings::default(), batches)
    }

    /// Writes and seals it.
    pub fn seal_batches_with(
        &self,
        work: &Path,
        settings: Settings,
        batches: &[RecordBatch],
    ) -> Package {
        let mut writer = self.create_with(work, settings);
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer
            .seal(self.state.clone(), self.complete, None)
            .unwrap()
    }
}

/// The shelf of a key under `work`.
pub fn shelf(work: &Path, key: &SyncKey) -> Shelf {
    Shelf::new(work.join(key.pipeline.as_str()).join(key.stream.as_str()))
}
