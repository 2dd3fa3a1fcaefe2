//! What readers and runners of the folder destination can rely on.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray as _, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use overlock_core::stream::{self, COMMIT_ID, DELETED, EXTRA, SYNCED_AT};
use overlock_core::{
    Commit, CommitId, DeleteMode, Destination as _, ErrorKind, FixedClock, Package, SourceName,
    SyncKey, WriteMode,
};
use overlock_local::{Local, LocalOptions, OnSchemaChange, Table, View, tables};
use overlock_package::replay::{Recorder, power_loss};
use overlock_package::sample::{
    self, Row, Sample, batch, key, row, rows_of, state, temp_dir, tombstone,
};
use tempfile::TempDir;

struct World {
    dir: TempDir,
    options: LocalOptions,
}

impl World {
    fn new() -> Self {
        Self {
            dir: temp_dir(),
            options: LocalOptions::default(),
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("data/zendesk")
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn table_dir(&self) -> PathBuf {
        self.root().join("tickets")
    }

    fn local(&self) -> Local {
        local(&self.root(), self.options.clone())
    }

    fn table(&self) -> Table {
        Table::open(self.table_dir()).unwrap()
    }

    async fn commit(&self, sample: &Sample, rows: &[Row]) -> Commit {
        self.local()
            .commit(&sample.seal(&self.work(), rows))
            .await
            .unwrap()
    }

    async fn commit_batch(&self, parent: Option<CommitId>, batch: RecordBatch) -> Commit {
        let sample = Sample {
            schema: batch.schema(),
            ..Sample::new(parent, WriteMode::Merge)
        };
        let package = sample.seal_batches(&self.work(), &[batch]);
        self.local().commit(&package).await.unwrap()
    }

    fn rows(&self, view: View) -> Vec<Row> {
        rows(&self.table(), view)
    }
}

fn local(root: &Path, options: LocalOptions) -> Local {
    Local::new(root, options, Arc::new(FixedClock(sample::instant())))
}

fn scan(table: &Table, view: View, columns: Option<&[&str]>) -> Vec<RecordBatch> {
    let columns: Option<Vec<String>> =
        columns.map(|columns| columns.iter().map(ToString::to_string).collect());
    table
        .scan(view, columns.as_deref())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn rows(table: &Table, view: View) -> Vec<Row> {
    rows_of(&scan(table, view, None))
}

fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[tokio::test]
async fn every_commit_stays_readable_as_of_its_time() {
    let world = World::new();
    let mut parent = None;
    let mut history = Vec::new();
    let steps = [
        (
            WriteMode::Merge,
            vec![row(1, 1, "a"), row(2, 1, "b")],
            vec![row(1, 1, "a"), row(2, 1, "b")],
        ),
        (
            WriteMode::Merge,
            vec![row(1, 2, "a2")],
            vec![row(1, 2, "a2"), row(2, 1, "b")],
        ),
        (
            WriteMode::Replace,
            vec![row(3, 1, "c")],
            vec![row(3, 1, "c")],
        ),
        (
            WriteMode::Merge,
            vec![row(3, 0, "late"), row(4, 1, "d")],
            vec![row(3, 1, "c"), row(4, 1, "d")],
        ),
    ];
    for (mode, given, expected) in steps {
        let commit = world.commit(&Sample::new(parent, mode), &given).await;
        parent = Some(commit.id);
        history.push((commit, expected));
    }
    let table = world.table();
    for (commit, expected) in &history {
        assert_eq!(rows(&table, View::AsOf(commit.id)), *expected);
        assert_eq!(
            table.count(View::AsOf(commit.id)).unwrap(),
            expected.len() as u64
        );
    }
    assert_eq!(rows(&table, View::Current), history[3].1);
    assert_eq!(rows(&table, View::All).len(), 6);
    let found: Vec<&Commit> = table.commits().iter().map(|info| &info.commit).collect();
    assert_eq!(
        found,
        history.iter().map(|(commit, _)| commit).collect::<Vec<_>>()
    );
    let unknown = table
        .scan(View::AsOf(CommitId::generate()), None)
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn all_rows_tell_when_and_by_which_commit_they_came() {
    let world = World::new();
    let one = world
        .commit(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")])
        .await;
    let two = world
        .commit(
            &Sample::new(Some(one.id), WriteMode::Merge),
            &[row(1, 2, "b")],
        )
        .await;
    let table = world.table();
    let schema = table.schema(View::All).unwrap();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        names,
        [
            "id", "version", "note", DELETED, EXTRA, SYNCED_AT, COMMIT_ID
        ]
    );
    let batches = scan(&table, View::All, Some(&[COMMIT_ID, SYNCED_AT, "version"]));
    let ids: Vec<String> = batches
        .iter()
        .map(|batch| batch.column(0).as_string::<i32>().value(0).to_owned())
        .collect();
    assert_eq!(ids, [one.id.to_string(), two.id.to_string()]);
    assert_eq!(*batches[0].column(1).data_type(), stream::timestamp_type());
    assert!(
        table
            .scan(View::Current, Some(&[COMMIT_ID.to_owned()]))
            .is_err()
    );
}

#[tokio::test]
async fn columns_come_as_asked_and_none_still_counts() {
    let world = World::new();
    let given = [row(1, 1, "a"), row(2, 1, "b"), row(1, 2, "c")];
    world
        .commit(&Sample::new(None, WriteMode::Merge), &given)
        .await;
    let table = world.table();
    let batches = scan(&table, View::Current, Some(&["note", "id"]));
    assert_eq!(batches[0].schema().field(0).name(), "note");
    let counted = scan(&table, View::Current, Some(&[]));
    assert_eq!(counted.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    let error = table
        .scan(View::Current, Some(&["nope".to_owned()]))
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.get("column")),
        (ErrorKind::Config, Some("nope"))
    );
}

#[tokio::test]
async fn what_is_not_committed_is_never_shown() {
    let world = World::new();
    assert_eq!(
        Table::open(world.table_dir()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(tables(&world.root()).unwrap(), []);
    let one = world
        .commit(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")])
        .await;
    let child = Sample::new(Some(one.id), WriteMode::Merge).seal(&world.work(), &[row(2, 1, "b")]);
    // The remains of a copy from another file system.
    let copy = world.table_dir().join(format!("{}.tmp", child.manifest.id));
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(child.dir.join("manifest.json"), copy.join("manifest.json")).unwrap();
    assert_eq!(world.rows(View::Current), [row(1, 1, "a")]);
    assert_eq!(world.local().head(&key()).await.unwrap(), Some(one));
    let found = tables(&world.root()).unwrap();
    assert_eq!(found[0].0.as_str(), "tickets");
    assert_eq!(found[0].1, world.table_dir());
    // A snapshot does not change under its reader.
    let table = world.table();
    world.local().commit(&child).await.unwrap();
    assert_eq!(rows(&table, View::Current), [row(1, 1, "a")]);
    assert_eq!(world.rows(View::Current).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_runners_on_one_head_exactly_one_gets_through() {
    // covers: W13
    let world = World::new();
    let mut parent = None;
    for round in 0..10 {
        let mut racers = Vec::new();
        for racer in 0..4 {
            let sample = Sample::new(parent, WriteMode::Append);
            let work = world.dir.path().join(format!("work-{racer}"));
            let package = sample.seal(&work, &[row(round * 10 + racer, 1, "race")]);
            let local = world.local();
            racers.push(tokio::spawn(async move { local.commit(&package).await }));
        }
        let mut won = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                Ok(commit) => won.push(commit),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
            }
        }
        assert_eq!(won.len(), 1);
        parent = Some(won[0].id);
        assert_eq!(world.local().head(&key()).await.unwrap(), won.pop());
    }
    assert_eq!(world.table().commits().len(), 10);
    assert_eq!(world.rows(View::Current).len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_while_a_commit_lands_sees_it_or_not() {
    let world = World::new();
    let first = Sample::new(None, WriteMode::Append);
    let mut head = world.commit(&first, &[row(0, 1, "x")]).await;
    let done = Arc::new(AtomicBool::new(false));
    let lookers: Vec<_> = (0..3)
        .map(|_| {
            let (local, done) = (world.local(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen = None;
                while !done.load(Ordering::Relaxed) {
                    let now = local.head(&key()).await.unwrap().map(|head| head.at);
                    assert!(now >= seen);
                    seen = now;
                }
            })
        })
        .collect();
    for id in 1..150 {
        let next = Sample::new(Some(head.id), WriteMode::Append);
        head = world.commit(&next, &[row(id, 1, "x")]).await;
    }
    done.store(true, Ordering::Relaxed);
    for looker in lookers {
        looker.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_a_replacement_half_done() {
    let world = World::new();
    let full = |version: i64| -> Vec<Row> { (0..50).map(|id| row(id, version, "x")).collect() };
    let mut head = world
        .commit(&Sample::new(None, WriteMode::Replace), &full(0))
        .await;
    let dir = world.table_dir();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let found = rows(&Table::open(&dir).unwrap(), View::Current);
            let version = found[0].version;
            let expected: Vec<Row> = (0..50).map(|id| row(id, version, "x")).collect();
            assert_eq!(found, expected, "empty or mixed");
            seen.push(version);
        }
        seen
    });
    for version in 1..15 {
        let sample = Sample::new(Some(head.id), WriteMode::Replace);
        head = world.commit(&sample, &full(version)).await;
    }
    stop.send(()).unwrap();
    let seen = reader.join().unwrap();
    assert!(seen.is_sorted() && seen.len() > 1, "{seen:?}");
}

#[tokio::test]
async fn an_empty_replacement_needs_permission() {
    // covers: L13
    let mut world = World::new();
    let nothing = Sample::new(None, WriteMode::Replace);
    let one = world.commit(&nothing, &[]).await;
    let sample = |parent: &Commit| Sample::new(Some(parent.id), WriteMode::Replace);
    let two = world.commit(&sample(&one), &[]).await;
    let three = world.commit(&sample(&two), &[row(1, 1, "a")]).await;
    let empty = sample(&three).seal_batches(&world.work(), &[]);
    let error = world.local().commit(&empty).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.hint_text().unwrap().contains("allow_empty_replace"));
    assert!(empty.dir.exists(), "a refused package stays");
    world.options = LocalOptions::default().allow_empty_replace(true);
    world.local().commit(&empty).await.unwrap();
    assert_eq!(world.rows(View::Current), []);
}

#[tokio::test]
async fn a_reset_leaves_the_rows_as_they_were() {
    let world = World::new();
    let none = Arc::new(Schema::empty());
    let reset = |parent: &Commit| Sample {
        keyed: false,
        schema: Arc::clone(&none) as _,
        state: None,
        complete: false,
        ..Sample::new(Some(parent.id), WriteMode::Merge)
    };
    let merge = |parent: Option<CommitId>| Sample {
        deletes: DeleteMode::Hard,
        ..Sample::new(parent, WriteMode::Merge)
    };
    let given = [row(1, 1, "a"), row(2, 1, "b"), row(3, 1, "c")];
    let one = world.commit(&merge(None), &given).await;
    let changed = [row(1, 2, "a2"), tombstone(2, 2)];
    let two = world.commit(&merge(Some(one.id)), &changed).await;
    let expected = [row(1, 2, "a2"), row(3, 1, "c")];
    assert_eq!(world.rows(View::Current), expected);
    let mut head = two;
    for _ in 0..2 {
        let package = reset(&head).seal_batches(&world.work(), &[]);
        head = world.local().commit(&package).await.unwrap();
        assert_eq!(head.state, None);
        assert_eq!(world.rows(View::Current), expected);
        assert_eq!(world.rows(View::AsOf(head.id)), expected);
        assert_eq!(world.table().count(View::Current).unwrap(), 2);
    }
    assert_eq!(world.rows(View::All).len(), 5);
}

#[tokio::test]
async fn a_reset_of_an_empty_table_leaves_its_columns() {
    let world = World::new();
    let empty = Sample::new(None, WriteMode::Replace).seal_batches(&world.work(), &[]);
    let one = world.local().commit(&empty).await.unwrap();
    let reset = Sample {
        keyed: false,
        schema: Arc::new(Schema::empty()),
        state: None,
        complete: false,
        ..Sample::new(Some(one.id), WriteMode::Merge)
    };
    let package = reset.seal_batches(&world.work(), &[]);
    world.local().commit(&package).await.unwrap();
    assert_eq!(world.rows(View::Current), []);
    let schema = world.table().schema(View::Current).unwrap();
    assert_eq!(schema.fields(), sample::schema().fields());
}

#[tokio::test]
async fn a_table_belongs_to_one_pipeline() {
    let world = World::new();
    world
        .commit(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")])
        .await;
    let other = SyncKey::new(SourceName::new("sales").unwrap(), key().stream);
    let error = world.local().head(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint_text().unwrap().contains("sales"));
    let sample = Sample {
        key: other,
        ..Sample::new(None, WriteMode::Merge)
    };
    let package = sample.seal(&world.work(), &[row(2, 1, "b")]);
    assert_eq!(
        world.local().commit(&package).await.unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(world.rows(View::Current), [row(1, 1, "a")]);
}

#[tokio::test]
async fn the_hint_may_be_missing_torn_old_or_wrong() {
    let world = World::new();
    let hint = world.table_dir().join("head.json");
    let one = world
        .commit(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")])
        .await;
    let old = std::fs::read(&hint).unwrap();
    let two = world
        .commit(
            &Sample::new(Some(one.id), WriteMode::Merge),
            &[row(2, 1, "b")],
        )
        .await;
    let new = std::fs::read(&hint).unwrap();
    let wrong = String::from_utf8(new.clone())
        .unwrap()
        .replace(&two.id.to_string(), &one.id.to_string());
    for bytes in [&old[..], &new[..10], b"", b"{}", wrong.as_bytes(), &new] {
        overwrite(&hint, bytes);
        assert_eq!(world.local().head(&key()).await.unwrap(), Some(two.clone()));
    }
    std::fs::remove_file(&hint).unwrap();
    assert_eq!(world.local().head(&key()).await.unwrap(), Some(two.clone()));
    world
        .commit(
            &Sample::new(Some(two.id), WriteMode::Merge),
            &[row(3, 1, "c")],
        )
        .await;
    assert_eq!(world.rows(View::Current).len(), 3);
}

#[tokio::test]
async fn a_strict_table_refuses_another_schema() {
    // covers: L12
    let mut world = World::new();
    world.options = LocalOptions::default().on_schema_change(OnSchemaChange::Fail);
    let one = world
        .commit(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")])
        .await;
    let whole = batch(&[row(2, 1, "b")]);
    for (columns, phrase) in [
        (vec![0, 1, 2, 3], "`_extra` is gone"),
        (vec![0, 1, 4], "`note` is gone"),
    ] {
        let batch = whole.project(&columns).unwrap();
        let sample = Sample {
            schema: batch.schema(),
            ..Sample::new(Some(one.id), WriteMode::Merge)
        };
        let package = sample.seal_batches(&world.work(), &[batch]);
        let error = world.local().commit(&package).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(error.message().contains(phrase), "{error}");
    }
    // The same schema, or nothing at all, is no change.
    let two = world
        .commit(
            &Sample::new(Some(one.id), WriteMode::Merge),
            &[row(2, 1, "b")],
        )
        .await;
    let empty = Sample {
        schema: whole.project(&[0]).unwrap().schema(),
        ..Sample::new(Some(two.id), WriteMode::Merge)
    };
    world
        .local()
        .commit(&empty.seal_batches(&world.work(), &[]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_column_that_changes_its_type_keeps_the_old_one() {
    // covers: L12, L11
    let typed = |kind: DataType, values: Arc<dyn Array>, ids: &[i64]| {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("size", kind, true),
            stream::json_field(EXTRA),
        ]);
        let extra = StringArray::from(vec![None::<&str>; ids.len()]);
        let ids = Int64Array::from(ids.to_vec());
        RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(ids), values, Arc::new(extra)],
        )
        .unwrap()
    };
    let world = World::new();
    let numbers = Arc::new(Int64Array::from(vec![10, 20]));
    let one = world
        .commit_batch(None, typed(DataType::Int64, numbers, &[1, 2]))
        .await;
    let texts = Arc::new(StringArray::from(vec![Some("large \"x\""), None]));
    let two = world
        .commit_batch(Some(one.id), typed(DataType::Utf8, texts, &[2, 3]))
        .await;
    let again = Arc::new(Int64Array::from(vec![30]));
    world
        .commit_batch(Some(two.id), typed(DataType::Int64, again, &[4]))
        .await;
    let table = world.table();
    let found = arrow::compute::concat_batches(
        &table.schema(View::Current).unwrap(),
        &scan(&table, View::Current, None),
    )
    .unwrap();
    let ids: Vec<_> = found
        .column(0)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec();
    let sizes: Vec<_> = found.column(1).as_primitive::<Int64Type>().iter().collect();
    let extra: Vec<_> = found.column(2).as_string::<i32>().iter().collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(sizes, [Some(10), None, None, Some(30)]);
    assert_eq!(extra, [None, Some(r#"{"size":"large \"x\""}"#), None, None]);
}

#[tokio::test]
async fn rows_without_a_key_are_never_lost() {
    let world = World::new();
    let given = batch(&[row(1, 1, "a"), row(2, 1, "b"), row(3, 1, "c")]);
    let mut columns = given.columns().to_vec();
    columns[0] = Arc::new(Int64Array::from(vec![Some(1), None, None]));
    let keyless = RecordBatch::try_new(given.schema(), columns).unwrap();
    world.commit_batch(None, keyless).await;
    assert_eq!(world.table().count(View::Current).unwrap(), 3);
}

#[tokio::test]
async fn versions_are_ordered_by_value_and_none_is_the_oldest() {
    // covers: L4
    let texts =
        |values: Vec<Option<&str>>| -> Arc<dyn Array> { Arc::new(StringArray::from(values)) };
    let decimals = |values: Vec<Option<i128>>| -> Arc<dyn Array> {
        let array = arrow::array::Decimal128Array::from(values);
        Arc::new(array.with_precision_and_scale(20, 3).unwrap())
    };
    let dates = |values: Vec<Option<i32>>| -> Arc<dyn Array> {
        Arc::new(arrow::array::Date32Array::from(values))
    };
    for versions in [
        texts(vec![None, Some("2026-02"), Some("2026-01"), None]),
        decimals(vec![None, Some(10_000), Some(9_999), None]),
        dates(vec![None, Some(1), Some(-5), None]),
    ] {
        let world = World::new();
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("version", versions.data_type().clone(), true),
            Field::new("note", DataType::Utf8, true),
        ]);
        let ids = Int64Array::from(vec![1; 4]);
        let notes = StringArray::from(vec!["none", "newest", "older", "none again"]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(ids), versions, Arc::new(notes)],
        );
        world.commit_batch(None, batch.unwrap()).await;
        let found = scan(&world.table(), View::Current, Some(&["note"]));
        assert_eq!(
            found[0]
                .column(0)
                .as_string::<i32>()
                .iter()
                .collect::<Vec<_>>(),
            [Some("newest")]
        );
    }
}

#[tokio::test]
async fn a_late_row_does_not_bring_back_what_was_deleted() {
    let world = World::new();
    let hard = |parent| Sample {
        deletes: DeleteMode::Hard,
        ..Sample::new(parent, WriteMode::Merge)
    };
    let one = world
        .commit(&hard(None), &[row(1, 1, "a"), row(2, 1, "b")])
        .await;
    let two = world.commit(&hard(Some(one.id)), &[tombstone(1, 5)]).await;
    let three = world
        .commit(&hard(Some(two.id)), &[row(1, 4, "late")])
        .await;
    assert_eq!(world.rows(View::Current), [row(2, 1, "b")]);
    world
        .commit(&hard(Some(three.id)), &[row(1, 6, "undeleted")])
        .await;
    assert_eq!(
        world.rows(View::Current),
        [row(1, 6, "undeleted"), row(2, 1, "b")]
    );
}

#[tokio::test]
async fn damage_in_a_table_is_an_error_and_never_a_wrong_row() {
    // covers: K5, K4
    let world = World::new();
    let one = world
        .commit(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")])
        .await;
    world
        .commit(
            &Sample::new(Some(one.id), WriteMode::Merge),
            &[row(2, 1, "b")],
        )
        .await;
    let part = world.table_dir().join("root/part-00001.parquet");
    let sound = std::fs::read(&part).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() / 3] ^= 16;
    overwrite(&part, &flipped);
    let table = world.table();
    let read = |table: &Table| {
        table
            .scan(View::Current, None)
            .and_then(|mut scan| scan.next().unwrap())
    };
    assert_eq!(read(&table).unwrap_err().kind(), ErrorKind::Data);
    let all = table.scan(View::All, None).unwrap().next().unwrap();
    assert_eq!(all.unwrap_err().kind(), ErrorKind::Data);
    overwrite(&part, &sound);
    assert!(read(&table).is_ok());

    let manifest = world.table_dir().join("root/manifest.json");
    let bytes = std::fs::read(&manifest).unwrap();
    overwrite(&manifest, &bytes[..bytes.len() / 2]);
    let error = Table::open(world.table_dir()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.hint_text().unwrap().contains("backup"));
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(
        Table::open(world.table_dir()).unwrap_err().kind(),
        ErrorKind::Data
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_table_folder_that_is_a_symbolic_link_is_refused() {
    // covers: K7
    let (world, elsewhere) = (World::new(), temp_dir());
    std::fs::create_dir_all(world.root()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), world.table_dir()).unwrap();
    let package = Sample::new(None, WriteMode::Merge).seal(&world.work(), &[row(1, 1, "a")]);
    let error = world.local().commit(&package).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn check_looks_and_leaves_nothing() {
    let world = World::new();
    world.local().check().await.unwrap();
    assert!(!world.root().exists());
    overwrite(&world.dir.path().join("data"), b"a file");
    assert_eq!(
        world.local().check().await.unwrap_err().kind(),
        ErrorKind::Config
    );
}

#[tokio::test]
async fn defects_of_the_caller_are_called_so() {
    let world = World::new();
    let mut writer = Sample::new(None, WriteMode::Replace).create(&world.work());
    writer.write(&batch(&[row(1, 1, "a")])).unwrap();
    let partial = writer.seal(None, false, None).unwrap();
    let error = world.local().commit(&partial).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Bug,
        "a replacement that is not complete"
    );
    let open = Sample::new(None, WriteMode::Merge)
        .create(&world.work())
        .into_open()
        .unwrap();
    assert_eq!(
        world.local().commit(&open).await.unwrap_err().kind(),
        ErrorKind::Bug
    );
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % end).unwrap()
    }
}

#[tokio::test]
async fn merging_agrees_with_a_model_on_random_histories() {
    for seed in 0..15 {
        let mut dice = Dice(seed);
        let deletes = if seed % 2 == 0 {
            DeleteMode::Soft
        } else {
            DeleteMode::Hard
        };
        let world = World::new();
        let mut parent = None;
        let mut model: std::collections::BTreeMap<i64, Row> = std::collections::BTreeMap::new();
        for commit in 0..8 {
            let mode = match dice.below(5) {
                0 => WriteMode::Replace,
                _ => WriteMode::Merge,
            };
            let mut given: Vec<Row> = (0..=dice.below(40))
                .map(|number| Row {
                    id: dice.below(12),
                    version: dice.below(6),
                    note: format!("{commit}-{number}"),
                    deleted: dice.below(6) == 0,
                })
                .collect();
            if mode == WriteMode::Replace {
                model.clear();
                // At least one row must live, or the next replacement would be refused.
                given.push(row(99, commit, "alive"));
            }
            let sample = Sample {
                deletes,
                ..Sample::new(parent, mode)
            };
            parent = Some(world.commit(&sample, &given).await.id);
            for row in given {
                match model.get(&row.id) {
                    Some(old) if old.version > row.version => {}
                    _ => drop(model.insert(row.id, row)),
                }
            }
            let mut expected: Vec<Row> = model
                .values()
                .filter(|row| !(row.deleted && deletes == DeleteMode::Hard))
                .cloned()
                .collect();
            expected.sort();
            assert_eq!(
                world.rows(View::Current),
                expected,
                "seed {seed}, commit {commit}"
            );
        }
    }
}

fn cursor_of(head: Option<&Commit>) -> i64 {
    let state = head.and_then(|head| head.state.as_ref());
    state.map_or(0, |state| state.as_json()["cursor"].as_i64().unwrap())
}

/// One run after the power came back: recover, commit what is sealed, and say what the head is.
async fn run_after_loss(data: &Path, work: &Path) -> (Option<Commit>, Vec<Package>) {
    let local = local(data, LocalOptions::default());
    let mut head = local.head(&key()).await.unwrap();
    let shelf = sample::shelf(work, &key());
    let found = shelf
        .recover(&key(), head.as_ref().map(|head| head.id))
        .unwrap();
    assert!(found.quarantined.is_empty());
    for package in &found.sealed {
        head = Some(local.commit(package).await.unwrap());
        overlock_package::remove(package).unwrap();
    }
    (head, found.sealed)
}

#[tokio::test]
async fn after_a_power_loss_the_table_is_a_prefix_of_the_truth() {
    // covers: R1
    let origin = temp_dir();
    let (data, work) = (
        origin.path().join("data/zendesk"),
        origin.path().join("work"),
    );
    let recorder = Recorder::start(origin.path());
    let destination = local(&data, LocalOptions::default());
    let (mut parent, mut promises) = (None, vec![(0, 0, 0)]);
    for number in 1..4_i64 {
        let cursor = u64::try_from(number).unwrap();
        let sample = Sample {
            state: Some(state(cursor)),
            ..Sample::new(parent, WriteMode::Append)
        };
        let package = sample.seal(&work, &[row(number, 1, "x")]);
        promises.push((recorder.steps().len(), number, number - 1));
        parent = Some(destination.commit(&package).await.unwrap().id);
        overlock_package::remove(&package).unwrap();
        promises.push((recorder.steps().len(), number, number));
    }
    let steps = recorder.steps();
    drop(recorder);
    assert!(steps.len() > 60, "{} steps", steps.len());
    for count in 0..=steps.len() {
        let promise = promises.iter().rev().find(|promise| promise.0 <= count);
        let (_, sealed, committed) = *promise.unwrap();
        for seed in 0..12 {
            let disk = temp_dir();
            power_loss(&steps[..count], disk.path(), seed * 1000 + count as u64);
            private(disk.path());
            let data = disk.path().join("data/zendesk");
            // What a commit said is there without any repair; what was sealed is there after it.
            let head = local(&data, LocalOptions::default())
                .head(&key())
                .await
                .unwrap();
            assert!(
                cursor_of(head.as_ref()) >= committed,
                "after {count} steps, seed {seed}"
            );
            let (head, _) = run_after_loss(&data, &disk.path().join("work")).await;
            let cursor = cursor_of(head.as_ref());
            let found = match Table::open(data.join("tickets")) {
                Err(_) => Vec::new(),
                Ok(table) => rows(&table, View::Current),
            };
            let expected: Vec<Row> = (1..=cursor).map(|number| row(number, 1, "x")).collect();
            assert_eq!(found, expected, "after {count} steps, seed {seed}");
            assert!(cursor >= sealed, "after {count} steps, seed {seed}");
        }
    }
}

/// The rebuilt folders have the mode of the test's umask.
fn private(dir: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            private(&entry.path());
        }
    }
}

#[tokio::test]
async fn deleted_flags_are_optional() {
    let world = World::new();
    let whole = batch(&[row(1, 1, "a")]).project(&[0, 1, 2, 4]).unwrap();
    let hard = Sample {
        deletes: DeleteMode::Hard,
        schema: whole.schema(),
        ..Sample::new(None, WriteMode::Merge)
    };
    let one = world
        .local()
        .commit(&hard.seal_batches(&world.work(), &[whole]))
        .await
        .unwrap();
    assert_eq!(world.table().count(View::Current).unwrap(), 1);
    let flagged = batch(&[tombstone(1, 2)]);
    let flags = flagged.column_by_name(DELETED).unwrap().as_boolean();
    assert_eq!(*flags, BooleanArray::from(vec![true]));
    let hard = Sample {
        deletes: DeleteMode::Hard,
        ..Sample::new(Some(one.id), WriteMode::Merge)
    };
    world
        .local()
        .commit(&hard.seal_batches(&world.work(), &[flagged]))
        .await
        .unwrap();
    assert_eq!(world.table().count(View::Current).unwrap(), 0);
}
