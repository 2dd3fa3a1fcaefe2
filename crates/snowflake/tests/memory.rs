//! The destination on a warehouse in memory: the suite, and every fault between any two operations.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use overlock_core::{
    Commit, CommitId, Destination, Error, ErrorKind, FixedClock, Package, Result, StreamName,
    SyncKey, WriteMode,
};
use overlock_package::conformance::{self, Subject};
use overlock_package::sample::{self, Row, Sample, key, row, state};
use overlock_package::{Settings, fs};
use overlock_snowflake::memory::{Cell, Fault, Line, MemoryWarehouse};
use overlock_snowflake::{
    Answer, Failure, Name, Place, Policy, Session, Snowflake, Step, Table, Tag, Target, Warehouse,
    plan, target,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

struct World {
    warehouse: MemoryWarehouse,
    dir: TempDir,
}

fn place() -> Place {
    Place {
        database: "RAW".to_owned(),
        schema: "ZENDESK".to_owned(),
    }
}

impl World {
    fn new() -> Self {
        Self {
            warehouse: MemoryWarehouse::default(),
            dir: sample::temp_dir(),
        }
    }

    fn snowflake(&self) -> Snowflake {
        let clock = Arc::new(FixedClock(sample::instant()));
        Snowflake::new(
            Arc::new(self.warehouse.clone()),
            place(),
            Policy::default(),
            clock,
        )
    }

    fn target() -> Target {
        target(&place(), &key())
    }

    fn seal(&self, sample: &Sample, rows: &[Row]) -> Package {
        sample.seal_with(self.dir.path(), settings(), rows)
    }

    fn lines(&self, key: &SyncKey) -> Vec<Row> {
        let table = self.warehouse.table(&target(&place(), key).table);
        let mut rows: Vec<Row> = table
            .into_iter()
            .flat_map(|table| table.rows)
            .map(|line| read(&line))
            .collect();
        rows.sort();
        rows
    }
}

fn settings() -> Settings {
    Settings {
        row_numbers: true,
        ..Settings::default()
    }
}

fn read(line: &Line) -> Row {
    let number = |name: &str| match line.get(name) {
        Some(Cell::Number(number)) => i64::try_from(*number).unwrap(),
        other => panic!("{name}: {other:?}"),
    };
    let note = match line.get("NOTE") {
        Some(Cell::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    Row {
        id: number("ID"),
        version: number("VERSION"),
        note,
        deleted: line.get("_DELETED") == Some(&Cell::Boolean(true)),
    }
}

#[async_trait]
impl Subject for World {
    fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(self.snowflake())
    }

    fn work_dir(&self) -> &Path {
        self.dir.path()
    }

    fn settings(&self) -> Settings {
        settings()
    }

    async fn rows(&self, key: &SyncKey) -> Result<Vec<RecordBatch>> {
        Ok(vec![sample::batch(&self.lines(key))])
    }

    fn fail_after(&self, operations: Option<u64>) {
        self.warehouse.fault(operations.map(Fault::Down));
    }
}

#[tokio::test(start_paused = true)]
async fn the_warehouse_keeps_the_rules() {
    conformance::destination(async || World::new()).await;
}

/// Commits twice with one fault in the second commit; then the table must have each row once.
async fn survives(fault: Fault, mode: WriteMode, keyed: bool) -> bool {
    let world = World::new();
    let keys = |sample: Sample| Sample { keyed, ..sample };
    let first = keys(Sample::new(None, mode));
    let first = world.seal(&first, &[row(1, 1, "a"), row(2, 1, "b")]);
    let old = world.snowflake().commit(&first).await.unwrap();
    let next = Sample {
        state: Some(state(2)),
        ..keys(Sample::new(Some(old.id), mode))
    };
    let package = world.seal(&next, &[row(2, 2, "b2"), row(3, 1, "c")]);
    world.warehouse.fault(Some(fault));
    let outcome = world.snowflake().commit(&package).await;
    let at = match fault {
        Fault::ReplacedThenDown(at, _)
        | Fault::Down(at)
        | Fault::NotDone(at)
        | Fault::AnswerLost(at)
        | Fault::SessionReplaced(at) => at,
    };
    let operations = world.warehouse.words();
    let commit = outcome.unwrap_or_else(|error| panic!("{fault:?} {operations:?}: {error:?}"));
    assert_eq!(commit.id, package.manifest.id);
    let head = world.snowflake().head(&key()).await.unwrap();
    assert_eq!(head, Some(commit), "{fault:?}");
    let expected = match mode {
        WriteMode::Merge => vec![row(1, 1, "a"), row(2, 2, "b2"), row(3, 1, "c")],
        WriteMode::Append => vec![
            row(1, 1, "a"),
            row(2, 1, "b"),
            row(2, 2, "b2"),
            row(3, 1, "c"),
        ],
        WriteMode::Replace => vec![row(2, 2, "b2"), row(3, 1, "c")],
    };
    assert_eq!(
        world.lines(&key()),
        expected,
        "{fault:?} {mode:?} {operations:?}"
    );
    let ids: Vec<_> = world
        .warehouse
        .commits(&World::target())
        .iter()
        .map(|line| line.head.id)
        .collect();
    assert_eq!(
        ids,
        [old.id, package.manifest.id],
        "{fault:?}: the history is linear"
    );
    // Nothing was resent after a doubt before the head was read back.
    let lost = usize::try_from(at).unwrap();
    if matches!(fault, Fault::AnswerLost(_)) && operations.get(lost) == Some(&"commit") {
        let after: Vec<_> = operations[lost + 1..]
            .iter()
            .filter(|word| **word != "rollback")
            .collect();
        assert_eq!(after[..2], [&"open", &"look"], "{operations:?}");
        assert!(!after.contains(&&"insert"), "{operations:?}");
    }
    operations.len() > lost
}

#[tokio::test(start_paused = true)]
async fn one_fault_at_any_operation_is_survived_within_the_commit() {
    // covers: W2, W6, W7, W8, W9, W11, W12, W18
    let faults: [fn(u64) -> Fault; 3] = [Fault::NotDone, Fault::AnswerLost, Fault::SessionReplaced];
    for (mode, keyed) in [
        (WriteMode::Merge, true),
        (WriteMode::Append, true),
        (WriteMode::Append, false),
        (WriteMode::Replace, true),
    ] {
        for fault in faults {
            let mut at = 0;
            while survives(fault(at), mode, keyed).await {
                at += 1;
            }
            assert!(at >= 12, "{mode:?}: only {at} operations were broken");
        }
    }
}

/// The worst there is: the transaction is gone in silence, and later the process dies.
#[tokio::test(start_paused = true)]
async fn a_head_that_moved_outside_its_transaction_is_no_head() {
    // covers: W18
    for (mode, keyed) in [
        (WriteMode::Merge, true),
        (WriteMode::Append, true),
        (WriteMode::Append, false),
        (WriteMode::Replace, true),
    ] {
        for from in 0..16 {
            for down in from + 1..18 {
                let world = World::new();
                let keys = |sample: Sample| Sample { keyed, ..sample };
                let first = keys(Sample::new(None, mode));
                let first = world.seal(&first, &[row(1, 1, "a"), row(2, 1, "b")]);
                let old = world.snowflake().commit(&first).await.unwrap();
                let next = keys(Sample::new(Some(old.id), mode));
                let package = world.seal(&next, &[row(2, 2, "b2"), row(3, 1, "c")]);
                world
                    .warehouse
                    .fault(Some(Fault::ReplacedThenDown(from, down)));
                let dead = world.snowflake().commit(&package).await;
                world.warehouse.fault(None);
                let head = world.snowflake().head(&key()).await.unwrap().unwrap();
                if dead.is_ok() || head.id == package.manifest.id {
                    assert_eq!(head.id, package.manifest.id, "{from} {down}");
                } else {
                    assert_eq!(head, old, "{from} {down}");
                    // Another process goes on from that head.
                    world.snowflake().commit(&package).await.unwrap();
                }
                let expected = match mode {
                    WriteMode::Merge => vec![row(1, 1, "a"), row(2, 2, "b2"), row(3, 1, "c")],
                    WriteMode::Append => {
                        vec![
                            row(1, 1, "a"),
                            row(2, 1, "b"),
                            row(2, 2, "b2"),
                            row(3, 1, "c"),
                        ]
                    }
                    WriteMode::Replace => vec![row(2, 2, "b2"), row(3, 1, "c")],
                };
                assert_eq!(
                    world.lines(&key()),
                    expected,
                    "{mode:?} {keyed} {from} {down}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_runners_never_get_through_both() {
    // covers: W13
    for round in 0..500_u64 {
        let world = World::new();
        let rows = |runner: i64| [row(runner, 1, "first"), row(9, runner, "both")];
        let mut runners = Vec::new();
        for runner in 1..=2 {
            let sample = Sample::new(None, WriteMode::Merge);
            let dir = world.dir.path().join(runner.to_string());
            let package = sample.seal_with(&dir, settings(), &rows(runner));
            let snowflake = world.snowflake();
            // Each round lets one of them begin a little later.
            let late = if u64::try_from(runner).unwrap() == round % 2 + 1 {
                round / 2 % 40
            } else {
                0
            };
            runners.push(tokio::spawn(async move {
                for _ in 0..late {
                    tokio::task::yield_now().await;
                }
                snowflake.commit(&package).await
            }));
        }
        let mut won = Vec::new();
        for (runner, task) in (1..).zip(runners) {
            match task.await.unwrap() {
                Ok(commit) => won.push((runner, commit)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{round}: {error:?}"),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        let (runner, commit) = &won[0];
        assert_eq!(world.lines(&key()), rows(*runner), "round {round}");
        assert_eq!(
            world.snowflake().head(&key()).await.unwrap().as_ref(),
            Some(commit)
        );
        assert_eq!(world.warehouse.commits(&World::target()).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn two_head_rows_are_refused_with_the_way_out() {
    // covers: W14
    let world = World::new();
    let first = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    let head = world.snowflake().commit(&first).await.unwrap();
    world.warehouse.double_head(&World::target());
    let next = world.seal(
        &Sample::new(Some(head.id), WriteMode::Merge),
        &[row(2, 1, "b")],
    );
    let error = world.snowflake().commit(&next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Destination);
    assert!(
        error.hint_text().unwrap().contains("_OVERLOCK_COMMITS"),
        "{error:?}"
    );
    assert_eq!(world.lines(&key()), [row(1, 1, "a")]);
}

#[tokio::test(start_paused = true)]
async fn what_a_commit_needs_on_the_way_goes() {
    let world = World::new();
    let first = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    world.snowflake().commit(&first).await.unwrap();
    assert_eq!(world.warehouse.tables(), [World::target().table]);
    assert_eq!(world.warehouse.staged_files(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_dead_packages_left_goes_after_a_week() {
    let world = World::new();
    let dead = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    // Looks, prepares and copies; then the machine burns down.
    world.warehouse.fault(Some(Fault::Down(14)));
    world.snowflake().commit(&dead).await.unwrap_err();
    assert_eq!(
        (
            world.warehouse.staged_files(),
            world.warehouse.tables().len()
        ),
        (1, 2)
    );
    world.warehouse.fault(None);
    for (days, left) in [(6, 1), (8, 0)] {
        let other = Sample {
            key: SyncKey::new(
                key().pipeline,
                StreamName::new(format!("users_{days}")).unwrap(),
            ),
            ..Sample::new(None, WriteMode::Merge)
        };
        let package = world.seal(&other, &[row(1, 1, "a")]);
        let made = dead.manifest.id.made_at().unwrap();
        let later = made.plus(Duration::from_secs(days * 86_400));
        let warehouse = Arc::new(world.warehouse.clone());
        let snowflake = Snowflake::new(
            warehouse,
            place(),
            Policy::default(),
            Arc::new(FixedClock(later)),
        );
        snowflake.commit(&package).await.unwrap();
        assert_eq!(world.warehouse.staged_files(), left, "{days} days");
    }
    let staging = |name: &Name| name.object.starts_with("_OVERLOCK_0");
    assert!(!world.warehouse.tables().iter().any(staging));
}

#[tokio::test(start_paused = true)]
async fn a_commit_takes_few_statements() {
    let world = World::new();
    let snowflake = world.snowflake();
    let first = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    let head = snowflake.commit(&first).await.unwrap();
    let next = world.seal(
        &Sample::new(Some(head.id), WriteMode::Merge),
        &[row(2, 1, "b")],
    );
    world.warehouse.fault(None);
    snowflake.commit(&next).await.unwrap();
    let words: Vec<_> = world
        .warehouse
        .words()
        .into_iter()
        .filter(|word| *word != "open")
        .collect();
    let expected = [
        "look",
        "upload",
        "list",
        "create_staging",
        "copy",
        "begin",
        "move_head",
        "delete_old",
        "insert",
        "log_commit",
        "commit",
        "look",
        "drop_staging",
        "remove_staged",
    ];
    assert_eq!(words, expected);
}

#[tokio::test]
async fn streams_share_one_reading_and_nothing_new_wakes_no_warehouse() {
    // A run with nothing new sends nothing that a warehouse must run for.
    let world = World::new();
    let file = world.work_dir().join("heads/support.json");
    let process = || world.snowflake().remember(file.clone());
    let streams: Vec<_> = (0..20)
        .map(|number| {
            let mut sample = Sample::new(None, WriteMode::Merge);
            sample.key.stream = StreamName::new(format!("stream_{number}")).unwrap();
            sample
        })
        .collect();
    let asked = async |snowflake: &Snowflake| {
        world.warehouse.fault(None);
        let mut heads = Vec::new();
        for stream in &streams {
            heads.push(snowflake.head(&stream.key).await.unwrap());
        }
        (heads, world.warehouse.words().join(" "))
    };
    let first = process();
    let (heads, words) = asked(&first).await;
    assert!(heads.iter().all(Option::is_none));
    assert!(
        words.starts_with("open show_commits look_all create_schema"),
        "{words}"
    );
    let mut commits = Vec::new();
    for stream in &streams {
        let package = world.seal(stream, &[row(1, 1, "a")]);
        commits.push(Some(first.commit(&package).await.unwrap()));
    }
    // The number of rows was not known before the first commit, so the next process asks.
    let (heads, words) = asked(&process()).await;
    assert_eq!(
        (heads, words.as_str()),
        (commits.clone(), "open show_commits look_all")
    );
    let (heads, words) = asked(&process()).await;
    assert_eq!(
        (heads, words.as_str()),
        (commits.clone(), "open show_commits")
    );
    // What a process commits, it remembers.
    let next = |parent: &Option<Commit>, version| {
        let parent = parent.as_ref().map(|commit| commit.id);
        let mut sample = Sample::new(parent, WriteMode::Merge);
        sample.key = streams[3].key.clone();
        world.seal(&sample, &[row(1, version, "b")])
    };
    let second = process();
    asked(&second).await;
    world.warehouse.fault(None);
    commits[3] = Some(second.commit(&next(&commits[3], 2)).await.unwrap());
    assert_eq!(second.head(&streams[3].key).await.unwrap(), commits[3]);
    let sessions = world.warehouse.words().into_iter();
    assert_eq!(
        sessions.filter(|word| *word == "open").count(),
        2,
        "one to commit, one to see"
    );
    let (heads, words) = asked(&process()).await;
    assert_eq!(
        (heads, words.as_str()),
        (commits.clone(), "open show_commits")
    );
    // What another machine commits is seen, at once by its own look and by the next process.
    let third = process();
    asked(&third).await;
    let theirs = world
        .snowflake()
        .commit(&next(&commits[3], 3))
        .await
        .unwrap();
    assert_eq!(
        third.head(&streams[3].key).await.unwrap(),
        Some(theirs.clone())
    );
    commits[3] = Some(theirs);
    let (heads, words) = asked(&process()).await;
    assert_eq!(
        (heads, words.as_str()),
        (commits.clone(), "open show_commits look_all")
    );
    // A file that lies costs one conflict, and is forgotten.
    let text = std::fs::read_to_string(&file).unwrap();
    let id = commits[3].as_ref().unwrap().id.to_string();
    let lie = text
        .split_at(64)
        .1
        .replace(&id, "01K00000000000000000000009");
    let lie = format!("{:x}{lie}", Sha256::digest(&lie));
    fs::replace(&file, lie.as_bytes(), |_| {}).unwrap();
    let misled = process();
    let (heads, _) = asked(&misled).await;
    let error = misled.commit(&next(&heads[3], 4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let (heads, _) = asked(&process()).await;
    assert_eq!(heads, commits);
    // A flipped bit is noticed by the hash.
    let text = std::fs::read_to_string(&file).unwrap();
    fs::replace(
        &file,
        text.replace("\"rows\":1", "\"rows\":2").as_bytes(),
        |_| {},
    )
    .unwrap();
    let (heads, words) = asked(&process()).await;
    assert_eq!(
        (heads, words.as_str()),
        (commits.clone(), "open show_commits look_all")
    );
    fs::replace(&file, b"not JSON", |_| {}).unwrap();
    let (heads, _) = asked(&process()).await;
    assert_eq!(heads, commits);
}

/// Changes the answer to one kind of step, the first times that it is asked.
#[derive(Clone)]
struct Lying {
    inner: MemoryWarehouse,
    word: &'static str,
    change: fn(&mut Answer) -> std::result::Result<(), Failure>,
    times: Arc<AtomicU64>,
}

struct LyingSession(Lying, Box<dyn Session>);

#[async_trait]
impl Warehouse for Lying {
    async fn open(&self, tag: &Tag) -> std::result::Result<Box<dyn Session>, Failure> {
        Ok(Box::new(LyingSession(
            self.clone(),
            self.inner.open(tag).await?,
        )))
    }
}

#[async_trait]
impl Session for LyingSession {
    async fn run(&mut self, step: &Step) -> std::result::Result<Answer, Failure> {
        let mut answer = self.1.run(step).await?;
        let Self(lie, _) = self;
        let is_left = || {
            let less = |left: u64| left.checked_sub(1);
            lie.times
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .is_ok()
        };
        if step.word() == lie.word && is_left() {
            (lie.change)(&mut answer)?;
        }
        Ok(answer)
    }
}

/// Commits while one answer is changed; gives the outcome and the rows that are seen then.
async fn lied_to(
    step: &'static str,
    times: u64,
    change: fn(&mut Answer) -> std::result::Result<(), Failure>,
) -> (Result<Commit>, Vec<Row>) {
    let world = World::new();
    let package = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    let lying = Lying {
        inner: world.warehouse.clone(),
        word: step,
        change,
        times: Arc::new(AtomicU64::new(times)),
    };
    let clock = Arc::new(FixedClock(sample::instant()));
    let snowflake = Snowflake::new(Arc::new(lying), place(), Policy::default(), clock);
    let outcome = snowflake.commit(&package).await;
    let head = world.snowflake().head(&key()).await.unwrap();
    assert_eq!(head.is_some(), outcome.is_ok());
    (outcome, world.lines(&key()))
}

#[tokio::test(start_paused = true)]
async fn counts_and_sizes_that_do_not_agree_stop_a_commit() {
    // covers: W3
    let shorter = |answer: &mut Answer| {
        for row in &mut answer.rows {
            row[1] = Some("7".to_owned());
        }
        Ok(())
    };
    // The first list is the look for what dead packages left.
    let (outcome, rows) = lied_to("list", 2, shorter).await;
    assert_eq!(outcome.unwrap().rows, 1, "sent again");
    assert_eq!(rows, [row(1, 1, "a")]);
    let (outcome, rows) = lied_to("list", 99, shorter).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        (error.kind(), error.get("bytes").is_some()),
        (ErrorKind::Destination, true)
    );
    assert_eq!(rows, []);
    // covers: W4
    let (outcome, rows) = lied_to("copy", 99, |_| {
        let error = Error::new(ErrorKind::Destination, "run a statement: 100038");
        Err(Failure::Refused(error))
    })
    .await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!(rows, []);
    // covers: W5
    let fewer: fn(&mut Answer) -> std::result::Result<(), Failure> = |answer| {
        answer.rows[0][3] = Some("0".to_owned());
        Ok(())
    };
    let partly: fn(&mut Answer) -> std::result::Result<(), Failure> = |answer| {
        answer.rows[0][1] = Some("PARTIALLY_LOADED".to_owned());
        Ok(())
    };
    let nothing: fn(&mut Answer) -> std::result::Result<(), Failure> = |answer| {
        // "Copy executed with 0 files processed."
        answer.rows.clear();
        Ok(())
    };
    for lie in [fewer, partly, nothing] {
        let (outcome, rows) = lied_to("copy", 99, lie).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Destination, "{error:?}");
        assert!(
            error.hint_text().unwrap().contains("package is kept"),
            "{error:?}"
        );
        assert_eq!(rows, []);
    }
}

/// Schema of a row with another column before the reserved ones.
fn with_key(kind: DataType, ids: ArrayRef) -> RecordBatch {
    let plain = sample::batch(&[row(2, 1, "b")]);
    let mut fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields[0] = Field::new("id", kind, true);
    let mut columns = plain.columns().to_vec();
    columns[0] = ids;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_is_refused_and_doubles_nothing() {
    // covers: W15
    let world = World::new();
    let first = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    let head = world.snowflake().commit(&first).await.unwrap();
    let batch = with_key(DataType::Utf8, Arc::new(StringArray::from(vec!["1"])));
    for mode in [WriteMode::Merge, WriteMode::Append] {
        let next = Sample {
            schema: batch.schema(),
            ..Sample::new(Some(head.id), mode)
        };
        let package =
            next.seal_batches_with(world.dir.path(), settings(), std::slice::from_ref(&batch));
        let error = world.snowflake().commit(&package).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{error:?}");
        assert!(
            error.hint_text().unwrap().contains("state reset"),
            "{error:?}"
        );
    }
    assert_eq!(world.lines(&key()), [row(1, 1, "a")]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_somebody_dropped_is_not_begun_again_with_what_changed() {
    // covers: W15
    let world = World::new();
    let first = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    let head = world.snowflake().commit(&first).await.unwrap();
    world.warehouse.drop_table(&World::target().table);
    let next = world.seal(
        &Sample::new(Some(head.id), WriteMode::Merge),
        &[row(2, 1, "b")],
    );
    let error = world.snowflake().commit(&next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error:?}");
    // A reset goes through, and then rows of whatever key.
    let reset = Sample {
        state: None,
        complete: false,
        ..Sample::new(Some(head.id), WriteMode::Merge)
    };
    let reset = reset.seal_batches_with(world.dir.path(), settings(), &[]);
    let head = world.snowflake().commit(&reset).await.unwrap();
    let again = world.seal(
        &Sample::new(Some(head.id), WriteMode::Merge),
        &[row(3, 1, "c")],
    );
    let head = world.snowflake().commit(&again).await.unwrap();
    assert_eq!(world.lines(&key()), [row(3, 1, "c")]);
    world.warehouse.drop_table(&World::target().table);
    let whole = world.seal(
        &Sample::new(Some(head.id), WriteMode::Replace),
        &[row(1, 1, "a"), row(2, 1, "b")],
    );
    world.snowflake().commit(&whole).await.unwrap();
    assert_eq!(world.lines(&key()), [row(1, 1, "a"), row(2, 1, "b")]);
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_version_are_appended_once() {
    let world = World::new();
    let plain = sample::batch(&[row(1, 1, "a")]);
    let mut columns = plain.columns().to_vec();
    columns[1] = Arc::new(Int64Array::from(vec![None::<i64>]));
    let batch = RecordBatch::try_new(plain.schema(), columns).unwrap();
    let mut parent = None;
    for _ in 0..2 {
        let sample = Sample::new(parent, WriteMode::Append);
        let batches = [batch.clone(), batch.clone()];
        let package = sample.seal_batches_with(world.dir.path(), settings(), &batches);
        parent = Some(world.snowflake().commit(&package).await.unwrap().id);
    }
    let table = world.warehouse.table(&World::target().table).unwrap();
    assert_eq!(table.rows.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn head_rows_that_two_first_runs_added_become_one() {
    let world = World::new();
    let first = world.seal(&Sample::new(None, WriteMode::Merge), &[row(1, 1, "a")]);
    // Prepares everything, and adds the row that is never written to.
    world.warehouse.fault(Some(Fault::Down(9)));
    world.snowflake().commit(&first).await.unwrap_err();
    world.warehouse.fault(None);
    world.warehouse.double_head(&World::target());
    assert_eq!(world.snowflake().head(&key()).await.unwrap(), None);
    let head = world.snowflake().commit(&first).await.unwrap();
    assert_eq!(world.snowflake().head(&key()).await.unwrap(), Some(head));
    assert_eq!(world.lines(&key()), [row(1, 1, "a")]);
}

#[tokio::test(start_paused = true)]
async fn a_statement_of_a_dead_process_that_comes_late_adds_nothing() {
    let world = World::new();
    let keyless = Sample {
        keyed: false,
        ..Sample::new(None, WriteMode::Append)
    };
    let package = world.seal(&keyless, &[row(1, 1, "a")]);
    let target = World::target();
    // What the dead process had planned: the same package, another attempt.
    let (at, dead) = (sample::instant(), CommitId::generate());
    let table = Table::default();
    let steps = plan(&package, &table, None, &target, Policy::default(), at, dead).unwrap();
    let tag = Tag {
        key: key(),
        id: Some(package.manifest.id),
    };
    world.warehouse.fault(Some(Fault::Down(13)));
    world.snowflake().commit(&package).await.unwrap_err();
    world.warehouse.fault(None);
    let commit = world.snowflake().commit(&package).await.unwrap();
    let mut late = world
        .warehouse
        .open(&tag)
        .await
        .unwrap_or_else(|_| panic!());
    for step in &steps {
        let is_late = matches!(
            step,
            Step::CreateStaging { .. } | Step::Upload { .. } | Step::Copy { .. }
        );
        if is_late
            || matches!(
                step,
                Step::Insert(_) | Step::LogCommit { .. } | Step::MoveHead { .. }
            )
        {
            late.run(step).await.unwrap_or_else(|_| panic!());
        }
    }
    assert_eq!(world.lines(&key()), [row(1, 1, "a")]);
    assert_eq!(world.warehouse.commits(&target).len(), 1);
    assert_eq!(world.snowflake().head(&key()).await.unwrap(), Some(commit));
}
