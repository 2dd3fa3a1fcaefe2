//! What every destination must do, as tests: rules D1 to D3, and what each write mode means.
//!
//! A destination's test crate makes a [`Subject`] and calls [`destination`]. Each case gets a fresh
//! world. A case that breaks the destination in the middle asks for one failure after 0, 1, 2 …
//! operations, until a commit gets through: so every gap between two steps is visited, without the suite
//! knowing the steps.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test suite: panics are its results"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use overlock_core::stream::{DELETED, EXTRA};
use overlock_core::{
    Commit, CommitId, DeleteMode, Destination, ErrorKind, Package, Result, StreamName, SyncKey,
    WriteMode,
};

use crate::Settings;
use crate::sample::{Row, Sample, batch, key, row, rows_of, schema, state, tombstone};

/// A destination in a world of its own.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The destination as a process that starts now would see it.
    fn destination(&self) -> Arc<dyn Destination>;

    /// Folder for packages; removed with the subject.
    fn work_dir(&self) -> &Path;

    /// The rows a reader sees now, with at least the columns `id`, `version`, `note` and `_deleted`;
    /// empty if there is no table.
    async fn rows(&self, key: &SyncKey) -> Result<Vec<RecordBatch>>;

    /// How packages for this destination are written.
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// From now on this many operations of the destination succeed and all later ones fail; `None`:
    /// all succeed again.
    fn fail_after(&self, operations: Option<u64>);
}

/// Operations of one commit at most; a suite that goes on beyond that would never end.
const MAX_OPERATIONS: u64 = 500;

/// Runs all cases.
pub async fn destination<S: Subject>(make: impl AsyncFn() -> S) {
    nothing_has_no_head(&make().await).await;
    a_commit_shows_rows_and_state_together(&make().await).await;
    committing_again_changes_nothing(&make().await).await;
    only_a_child_of_the_head_is_committed(&make().await).await;
    merge_keeps_the_newest_version(&make().await).await;
    deletions_are_flags_or_gone(&make().await).await;
    append_keeps_every_version_once(&make().await).await;
    append_without_keys_keeps_all(&make().await).await;
    replace_starts_over_and_refuses_to_empty(&make().await).await;
    a_reset_forgets_the_state_and_keeps_the_rows(&make().await).await;
    a_state_moves_without_rows(&make().await).await;
    streams_do_not_touch_each_other(&make().await).await;
    the_table_follows_the_schema(&make().await).await;
    a_damaged_package_is_refused(&make().await).await;
    for mode in [WriteMode::Merge, WriteMode::Append, WriteMode::Replace] {
        for operations in 0.. {
            assert!(operations < MAX_OPERATIONS, "a commit never ends");
            if broken_anywhere_it_is_all_or_nothing(&make().await, mode, operations).await {
                break;
            }
        }
    }
}

async fn rows(subject: &impl Subject) -> Vec<Row> {
    rows_of(&subject.rows(&key()).await.unwrap())
}

async fn head(subject: &impl Subject) -> Option<Commit> {
    subject.destination().head(&key()).await.unwrap()
}

async fn commit(subject: &impl Subject, sample: &Sample, rows: &[Row]) -> Commit {
    let package = sample.seal_with(subject.work_dir(), subject.settings(), rows);
    subject.destination().commit(&package).await.unwrap()
}

fn sample(parent: &Commit, mode: WriteMode) -> Sample {
    Sample::new(Some(parent.id), mode)
}

async fn nothing_has_no_head(subject: &impl Subject) {
    subject.destination().check().await.unwrap();
    assert_eq!(head(subject).await, None);
    assert!(rows(subject).await.is_empty());
}

async fn a_commit_shows_rows_and_state_together(subject: &impl Subject) {
    let given = [row(1, 1, "a"), row(2, 1, "b")];
    let sample = Sample::new(None, WriteMode::Merge);
    let package = sample.seal_with(subject.work_dir(), subject.settings(), &given);
    assert!(
        rows(subject).await.is_empty(),
        "a package is seen before it is committed"
    );
    assert_eq!(head(subject).await, None);
    let commit = subject.destination().commit(&package).await.unwrap();
    assert_eq!((commit.id, commit.parent), (package.manifest.id, None));
    assert_eq!((commit.rows, commit.complete), (2, true));
    assert_eq!(commit.state, Some(state(1)));
    assert_eq!(head(subject).await, Some(commit));
    assert_eq!(rows(subject).await, given);
}

/// D1.
async fn committing_again_changes_nothing(subject: &impl Subject) {
    let package = Sample::new(None, WriteMode::Append).seal_with(
        subject.work_dir(),
        subject.settings(),
        &[row(1, 1, "a")],
    );
    let first = subject.destination().commit(&package).await.unwrap();
    let again = subject.destination().commit(&package).await.unwrap();
    assert_eq!(again, first, "D1");
    assert_eq!(head(subject).await, Some(first));
    assert_eq!(rows(subject).await, [row(1, 1, "a")]);
}

/// D2.
async fn only_a_child_of_the_head_is_committed(subject: &impl Subject) {
    let first = commit(
        subject,
        &Sample::new(None, WriteMode::Merge),
        &[row(1, 1, "a")],
    )
    .await;
    let one = sample(&first, WriteMode::Merge).seal_with(
        subject.work_dir(),
        subject.settings(),
        &[row(2, 1, "one")],
    );
    let other = sample(&first, WriteMode::Merge).seal_with(
        subject.work_dir(),
        subject.settings(),
        &[row(3, 1, "other")],
    );
    let newest = subject.destination().commit(&one).await.unwrap();
    let orphans = [
        other,
        Sample::new(None, WriteMode::Merge).seal_with(
            subject.work_dir(),
            subject.settings(),
            &[row(4, 1, "again")],
        ),
        Sample::new(Some(CommitId::generate()), WriteMode::Replace).seal_with(
            subject.work_dir(),
            subject.settings(),
            &[row(5, 1, "unknown")],
        ),
    ];
    for orphan in orphans {
        let error = subject.destination().commit(&orphan).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "D2");
        assert_eq!(head(subject).await, Some(newest.clone()), "D2");
        assert_eq!(
            rows(subject).await,
            [row(1, 1, "a"), row(2, 1, "one")],
            "D2"
        );
    }
}

async fn merge_keeps_the_newest_version(subject: &impl Subject) {
    let given = [
        row(1, 1, "old"),
        row(1, 3, "new"),
        row(1, 2, "late"),
        row(2, 5, "b"),
        row(3, 1, "c"),
    ];
    let first = commit(subject, &Sample::new(None, WriteMode::Merge), &given).await;
    assert_eq!(
        rows(subject).await,
        [row(1, 3, "new"), row(2, 5, "b"), row(3, 1, "c")]
    );
    // A late backfill must not win; of equal versions the one read later does.
    let later = [
        row(2, 4, "too late"),
        row(1, 3, "read again"),
        row(3, 2, "c2"),
        row(4, 1, "d"),
    ];
    commit(subject, &sample(&first, WriteMode::Merge), &later).await;
    let expected = [
        row(1, 3, "read again"),
        row(2, 5, "b"),
        row(3, 2, "c2"),
        row(4, 1, "d"),
    ];
    assert_eq!(rows(subject).await, expected);
}

async fn deletions_are_flags_or_gone(subject: &impl Subject) {
    let given = [row(1, 1, "a"), row(2, 1, "b")];
    let first = commit(subject, &Sample::new(None, WriteMode::Merge), &given).await;
    let second = commit(
        subject,
        &sample(&first, WriteMode::Merge),
        &[tombstone(1, 2)],
    )
    .await;
    assert_eq!(rows(subject).await, [tombstone(1, 2), row(2, 1, "b")]);
    let hard = Sample {
        deletes: DeleteMode::Hard,
        ..sample(&second, WriteMode::Merge)
    };
    let third = commit(subject, &hard, &[tombstone(2, 2), row(3, 1, "c")]).await;
    assert!(!rows(subject).await.iter().any(|row| row.id == 2));
    // Back from the bin.
    let hard = Sample {
        deletes: DeleteMode::Hard,
        ..sample(&third, WriteMode::Merge)
    };
    commit(subject, &hard, &[row(2, 3, "back")]).await;
    assert!(rows(subject).await.contains(&row(2, 3, "back")));
}

async fn append_keeps_every_version_once(subject: &impl Subject) {
    let given = [row(1, 1, "a"), row(1, 2, "b"), row(1, 1, "repeat")];
    let first = commit(subject, &Sample::new(None, WriteMode::Append), &given).await;
    assert_eq!(rows(subject).await, [row(1, 1, "a"), row(1, 2, "b")]);
    // What a lookback window reads again.
    let again = [row(1, 2, "b"), row(1, 3, "c"), row(2, 1, "d")];
    commit(subject, &sample(&first, WriteMode::Append), &again).await;
    let expected = [
        row(1, 1, "a"),
        row(1, 2, "b"),
        row(1, 3, "c"),
        row(2, 1, "d"),
    ];
    assert_eq!(rows(subject).await, expected);
}

async fn append_without_keys_keeps_all(subject: &impl Subject) {
    let keyless = |parent| Sample {
        keyed: false,
        ..Sample::new(parent, WriteMode::Append)
    };
    let first = commit(subject, &keyless(None), &[row(1, 1, "a"), row(1, 1, "a")]).await;
    commit(subject, &keyless(Some(first.id)), &[row(1, 1, "a")]).await;
    assert_eq!(rows(subject).await.len(), 3);
}

async fn replace_starts_over_and_refuses_to_empty(subject: &impl Subject) {
    let given = [row(1, 1, "a"), row(2, 1, "b")];
    let first = commit(subject, &Sample::new(None, WriteMode::Replace), &given).await;
    let next = [row(2, 1, "b2"), row(3, 1, "c"), row(3, 1, "c2")];
    let second = commit(subject, &sample(&first, WriteMode::Replace), &next).await;
    let expected = [row(2, 1, "b2"), row(3, 1, "c2")];
    assert_eq!(rows(subject).await, expected);
    let empty = sample(&second, WriteMode::Replace).seal_batches_with(
        subject.work_dir(),
        subject.settings(),
        &[],
    );
    let error = subject.destination().commit(&empty).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "an empty replacement");
    assert_eq!(head(subject).await.unwrap().id, second.id);
    assert_eq!(rows(subject).await, expected);
}

async fn a_reset_forgets_the_state_and_keeps_the_rows(subject: &impl Subject) {
    for mode in [WriteMode::Merge, WriteMode::Replace] {
        let parent = head(subject).await.map(|head| head.id);
        let first = commit(subject, &Sample::new(parent, mode), &[row(1, 1, "a")]).await;
        let reset = Sample {
            state: None,
            complete: false,
            ..sample(&first, mode)
        };
        let package = reset.seal_batches_with(subject.work_dir(), subject.settings(), &[]);
        let commit = subject.destination().commit(&package).await.unwrap();
        assert_eq!((commit.state.clone(), commit.complete), (None, false));
        assert_eq!(head(subject).await, Some(commit));
        assert_eq!(rows(subject).await, [row(1, 1, "a")]);
    }
}

async fn a_state_moves_without_rows(subject: &impl Subject) {
    let first = commit(
        subject,
        &Sample::new(None, WriteMode::Merge),
        &[row(1, 1, "a")],
    )
    .await;
    let moved = Sample {
        state: Some(state(2)),
        ..sample(&first, WriteMode::Merge)
    };
    let second = commit(subject, &moved, &[]).await;
    assert_eq!((second.state.clone(), second.rows), (Some(state(2)), 0));
    assert_eq!(head(subject).await, Some(second));
    assert_eq!(rows(subject).await, [row(1, 1, "a")]);
}

async fn streams_do_not_touch_each_other(subject: &impl Subject) {
    let other = SyncKey::new(key().pipeline, StreamName::new("users").unwrap());
    let first = commit(
        subject,
        &Sample::new(None, WriteMode::Merge),
        &[row(1, 1, "ticket")],
    )
    .await;
    let user = Sample {
        key: other.clone(),
        ..Sample::new(None, WriteMode::Replace)
    };
    let second = commit(subject, &user, &[row(1, 1, "user")]).await;
    assert_eq!(head(subject).await, Some(first));
    assert_eq!(
        subject.destination().head(&other).await.unwrap(),
        Some(second)
    );
    assert_eq!(rows(subject).await, [row(1, 1, "ticket")]);
    assert_eq!(
        rows_of(&subject.rows(&other).await.unwrap()),
        [row(1, 1, "user")]
    );
}

/// A column more, a wider decimal, a column less, and another type under an old name.
async fn the_table_follows_the_schema(subject: &impl Subject) {
    let price = |scale: i8, value: i128| -> (Field, ArrayRef) {
        let array = Decimal128Array::from(vec![value]);
        let kind = DataType::Decimal128(18, scale);
        let array = array.with_precision_and_scale(18, scale).unwrap();
        (Field::new("price", kind, true), Arc::new(array))
    };
    let text: (Field, ArrayRef) = (
        Field::new("price", DataType::Utf8, true),
        Arc::new(StringArray::from(vec!["on request"])),
    );
    let count: (Field, ArrayRef) = (
        Field::new("Count of \"x\"", DataType::Int64, true),
        Arc::new(Int64Array::from(vec![7])),
    );
    let steps: [Vec<(Field, ArrayRef)>; 5] = [
        vec![],
        vec![price(2, 125)],
        vec![price(4, 12_501), count],
        vec![],
        vec![text],
    ];
    let mut parent = None;
    let mut expected = Vec::new();
    for (id, columns) in (1_i64..).zip(steps) {
        let given = row(id, 1, "row");
        let sample = Sample::new(parent, WriteMode::Merge);
        let widened = with_columns(&batch(std::slice::from_ref(&given)), columns);
        let sample = Sample {
            schema: widened.schema(),
            ..sample
        };
        let package = sample.seal_batches_with(subject.work_dir(), subject.settings(), &[widened]);
        parent = Some(subject.destination().commit(&package).await.unwrap().id);
        expected.push(given);
        assert_eq!(rows(subject).await, expected, "after schema {id}");
    }
}

/// `batch` with more columns before the reserved ones.
fn with_columns(batch: &RecordBatch, more: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let old = schema();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    let mut more = Some(more);
    for (field, array) in old.fields().iter().zip(batch.columns()) {
        if field.name() == DELETED || field.name() == EXTRA {
            for (field, array) in more.take().unwrap_or_default() {
                fields.push(Arc::new(field));
                arrays.push(array);
            }
        }
        fields.push(Arc::clone(field));
        arrays.push(Arc::clone(array));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

async fn a_damaged_package_is_refused(subject: &impl Subject) {
    let first = commit(
        subject,
        &Sample::new(None, WriteMode::Merge),
        &[row(1, 1, "a")],
    )
    .await;
    let package = sample(&first, WriteMode::Merge).seal_with(
        subject.work_dir(),
        subject.settings(),
        &[row(2, 1, "b")],
    );
    let part = package.dir.join(&package.manifest.files[0].name);
    let file = std::fs::OpenOptions::new().write(true).open(part).unwrap();
    file.set_len(package.manifest.files[0].bytes - 1).unwrap();
    let error = subject.destination().commit(&package).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!(head(subject).await, Some(first));
    assert_eq!(rows(subject).await, [row(1, 1, "a")]);
}

/// D3; true if the commit got through in spite of everything.
async fn broken_anywhere_it_is_all_or_nothing(
    subject: &impl Subject,
    mode: WriteMode,
    operations: u64,
) -> bool {
    let old_rows = [row(1, 1, "a"), row(2, 1, "b")];
    let old = commit(subject, &Sample::new(None, mode), &old_rows).await;
    let next = Sample {
        state: Some(state(2)),
        ..sample(&old, mode)
    };
    let package = next.seal_with(subject.work_dir(), subject.settings(), &[row(3, 1, "c")]);
    let new_rows = match mode {
        WriteMode::Replace => vec![row(3, 1, "c")],
        _ => [&old_rows[..], &[row(3, 1, "c")]].concat(),
    };
    let destination = subject.destination();
    subject.fail_after(Some(operations));
    let outcome = destination.commit(&package).await;
    subject.fail_after(None);
    check_truth(subject, &package, &old, (&old_rows, &new_rows), operations).await;
    if outcome.is_ok() {
        assert_eq!(
            head(subject).await.unwrap().id,
            package.manifest.id,
            "a lie after {operations}"
        );
    }
    // The next run: it asks for the head, and commits what is left.
    let again = subject.destination().commit(&package).await;
    let again =
        again.unwrap_or_else(|error| panic!("not repeatable after {operations}: {error:?}"));
    assert_eq!(
        (again.id, again.state),
        (package.manifest.id, Some(state(2)))
    );
    assert_eq!(
        rows(subject).await,
        new_rows,
        "after {operations} and a repeat"
    );
    outcome.is_ok()
}

async fn check_truth(
    subject: &impl Subject,
    package: &Package,
    old: &Commit,
    (old_rows, new_rows): (&[Row], &[Row]),
    operations: u64,
) {
    let found = head(subject).await.unwrap();
    let (id, expected) = if found.id == old.id {
        (old.id, old_rows)
    } else {
        (package.manifest.id, new_rows)
    };
    assert_eq!(found.id, id, "D3: a head from nowhere after {operations}");
    assert_eq!(
        rows(subject).await,
        expected,
        "D3: head and rows differ after {operations}"
    );
}
