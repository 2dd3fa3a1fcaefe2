//! Small tables for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use overlock_core::{
    CommitId, DeleteMode, Destination as _, FixedClock, SourceName, StreamName, SyncKey, Timestamp,
    WriteMode,
};
use overlock_local::{Local, LocalOptions, Table};
use overlock_package::{NewPackage, Settings, Shelf, Writer};

pub(super) fn accounts() -> RecordBatch {
    let amount = Decimal128Array::from(vec![Some(150), None])
        .with_precision_and_scale(18, 2)
        .unwrap();
    let schema = Schema::new(vec![
        Field::new("Id", DataType::Utf8, true),
        Field::new("Amount", DataType::Decimal128(18, 2), true),
        Field::new("Name", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a1", "a2"])),
        Arc::new(amount),
        Arc::new(StringArray::from(vec!["Ann", "esc\u{1b}[2J"])),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// One row; the last column is null.
pub(super) fn wide(columns: usize) -> RecordBatch {
    let column = |index: usize| -> (String, ArrayRef, bool) {
        let value = (index + 1 < columns).then(|| i64::try_from(index).unwrap());
        (
            format!("column_{index}"),
            Arc::new(Int64Array::from(vec![value])),
            true,
        )
    };
    RecordBatch::try_from_iter_with_nullable((0..columns).map(column)).unwrap()
}

/// A folder with the table `sfdc/Account`.
pub(super) struct Project {
    pub(super) dir: tempfile::TempDir,
    local: Local,
    time: AtomicI64,
}

impl Project {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock(Timestamp::EPOCH));
        let local = Local::new(dir.path().join("sfdc"), LocalOptions::default(), clock);
        Self {
            dir,
            local,
            time: AtomicI64::new(0),
        }
    }

    /// Replaces the table by these rows.
    pub(super) fn replace(&self, rows: &[(&str, Option<&str>)]) -> CommitId {
        let schema = Arc::new(Schema::new(vec![
            Field::new("Id", DataType::Utf8, true),
            Field::new("Name", DataType::Utf8, true),
            overlock_core::stream::json_field("_extra"),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
            Arc::new(StringArray::new_null(rows.len())),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let key = SyncKey::new(
            SourceName::new("crm").unwrap(),
            StreamName::new("Account").unwrap(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let head = runtime.block_on(self.local.head(&key)).unwrap();
        let now = Timestamp::from_seconds(self.time.fetch_add(1, Ordering::SeqCst)).unwrap();
        let new = NewPackage {
            parent: head.map(|head| head.id),
            key,
            source: SourceName::new("sfdc").unwrap(),
            mode: WriteMode::Replace,
            deletes: DeleteMode::Soft,
            primary_key: vec!["Id".into()],
            replication_key: None,
            schema,
            started: now,
            until: now,
        };
        let packages = Shelf::new(self.dir.path().join("work"));
        let mut writer = Writer::create(&packages, new, Settings::default()).unwrap();
        writer.write(&batch).unwrap();
        let package = writer.seal(None, true, None).unwrap();
        runtime.block_on(self.local.commit(&package)).unwrap().id
    }

    pub(super) fn table(&self) -> Table {
        Table::open(self.dir.path().join("sfdc/Account")).unwrap()
    }
}
