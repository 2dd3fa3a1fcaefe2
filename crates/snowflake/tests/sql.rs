//! The SQL of commits, read by people before it is accepted.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use overlock_core::stream::{self, DELETED, EXTRA};
use overlock_core::{
    CommitId, DeleteMode, Manifest, Package, Part, SourceName, State, StreamName, SyncKey,
    Timestamp, WriteMode,
};
use overlock_snowflake::{
    Column, ColumnType, CompatColumns, Mapped, Place, Policy, Table, clean, plan, prepare, render,
    target,
};

fn id(last: char) -> CommitId {
    format!("01K0000000000000000000000{last}").parse().unwrap()
}

fn manifest(mode: WriteMode) -> Manifest {
    let schema = Schema::new(vec![
        Field::new("Id", DataType::Utf8, true),
        Field::new("Amount__c", DataType::Decimal128(38, 8), true),
        Field::new("Count of \"x\"", DataType::Int64, true),
        stream::json_field("Address"),
        Field::new("SystemModstamp", stream::timestamp_type(), true),
        Field::new(DELETED, DataType::Boolean, true),
        stream::json_field(EXTRA),
    ]);
    Manifest {
        format: 1,
        id: id('2'),
        parent: Some(id('1')),
        key: SyncKey::new(
            SourceName::new("crm").unwrap(),
            StreamName::new("Opportunity").unwrap(),
        ),
        source: SourceName::new("sfdc").unwrap(),
        mode,
        deletes: DeleteMode::Soft,
        primary_key: vec!["Id".to_owned()],
        replication_key: Some("SystemModstamp".to_owned()),
        schema: Arc::new(schema),
        files: vec![Part {
            name: "part-00001.parquet".to_owned(),
            rows: 3,
            bytes: 1000,
            sha256: "00".repeat(32),
        }],
        state: Some(State::new(&serde_json::json!({"v": 1, "from": "it's \\ here"})).unwrap()),
        sealed: true,
        complete: true,
        started: at(),
        until: at(),
        rows_read: 3,
        rows_reported: None,
        extra_values: 0,
        row_numbers: true,
    }
}

fn at() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

fn sql(manifest: Manifest, table: &Table, policy: Policy) -> String {
    let place = Place {
        database: "RAW".to_owned(),
        schema: "SFDC".to_owned(),
    };
    let target = target(&place, &manifest.key);
    let package = Package {
        dir: "/srv/packages/one".into(),
        manifest,
    };
    let mut steps = prepare(&target);
    steps.extend(plan(&package, table, None, &target, policy, at(), id('9')).unwrap());
    steps.extend(clean(&package, &target));
    let statements: Vec<String> = steps
        .iter()
        .map(|step| format!("{};", render(step)))
        .collect();
    statements.join("\n\n")
}

#[test]
fn a_first_commit() {
    insta::assert_snapshot!(sql(
        manifest(WriteMode::Merge),
        &Table::default(),
        Policy::default()
    ));
}

#[test]
fn a_commit_to_a_table_that_must_follow() {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind: Some(kind),
    };
    let mapped = |name: &str, column: &str| Mapped {
        name: name.to_owned(),
        column: column.to_owned(),
    };
    // `Address` was a number, `Amount__c` had fewer digits, somebody's own column stands in the way of `Id`.
    let table = Table {
        columns: vec![
            column("ID_2", ColumnType::Text),
            column("ID", ColumnType::Boolean),
            column("AMOUNT__C", ColumnType::Number(18, 8)),
            column("ADDRESS", ColumnType::Number(38, 0)),
            column("SYSTEMMODSTAMP", ColumnType::Timestamp),
            // A failed attempt made it, so it is in no mapping.
            column("COUNT_OF__X_", ColumnType::Number(38, 0)),
            column("_DELETED", ColumnType::Boolean),
        ],
        mapping: vec![
            mapped("Id", "ID_2"),
            mapped("Amount__c", "AMOUNT__C"),
            mapped("Address", "ADDRESS"),
            mapped("SystemModstamp", "SYSTEMMODSTAMP"),
            mapped("_deleted", "_DELETED"),
        ],
    };
    let mut append = manifest(WriteMode::Append);
    append.row_numbers = false;
    insta::assert_snapshot!(sql(append, &table, Policy::default()));
}

#[test]
fn a_replacement_with_the_columns_of_stitch() {
    let mut replace = manifest(WriteMode::Replace);
    replace.deletes = DeleteMode::Hard;
    let table = Table {
        columns: vec![Column {
            name: "ID".to_owned(),
            kind: Some(ColumnType::Text),
        }],
        mapping: Vec::new(),
    };
    let policy = Policy {
        compat_columns: CompatColumns::Stitch,
        ..Policy::default()
    };
    insta::assert_snapshot!(sql(replace, &table, policy));
}
