//! Small builders.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use overlock_core::{
    CommitId, DeleteMode, Manifest, SourceName, StreamName, SyncKey, Timestamp, WriteMode,
};

pub(crate) fn merge() -> WriteMode {
    WriteMode::Merge
}

pub(crate) fn key(stream: &str) -> SyncKey {
    SyncKey::new(
        SourceName::new("crm").unwrap(),
        StreamName::new(stream).unwrap(),
    )
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("stamp", DataType::Int64, true),
        Field::new("value", DataType::Int64, true),
        overlock_core::stream::json_field("_extra"),
    ]))
}

pub(crate) fn manifest(parent: Option<CommitId>, mode: WriteMode) -> Manifest {
    Manifest {
        format: 1,
        id: CommitId::generate(),
        parent,
        key: key("Account"),
        source: SourceName::new("sfdc").unwrap(),
        mode,
        deletes: DeleteMode::Soft,
        primary_key: vec!["id".into()],
        replication_key: Some("stamp".into()),
        schema: schema(),
        files: vec![],
        state: None,
        sealed: true,
        complete: true,
        started: Timestamp::EPOCH,
        until: Timestamp::EPOCH,
        rows_read: 0,
        rows_reported: None,
        extra_values: 0,
        row_numbers: false,
    }
}
