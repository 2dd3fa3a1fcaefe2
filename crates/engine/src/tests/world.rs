//! A world on memory: a source that is a log of changes, machines with disks, a destination.
//!
//! A process dies at its n-th step: from then on nothing it does has any effect, as after `kill -9`.
//! Everything random is drawn from the process's own dice, and blocking work runs where it is called, so
//! that a history is a function of its description.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::StreamExt as _;
use overlock_core::{
    BoxStream, Catalog, Clock, Commit, CommitId, Deletes, Destination, Error, ErrorKind, Manifest,
    Package, Page, Part, ReadRequest, Result, Source, State, Stream, StreamName, SyncKey,
    Timestamp, WriteMode,
};
use overlock_package::{LockInfo, NewPackage, Recovered};
use serde::{Deserialize, Serialize};

use super::support::{key, schema};
use crate::record::Record;
use crate::run::Report;
use crate::shelf::{Draft, Hold, Shelf, Shelves};
use crate::stop::{Stop, StopReason};

/// One version of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) stamp: i64,
    pub(crate) value: i64,
}

/// What kind of stream and table a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Incremental with keys; a resume repeats some rows.
    Merge,
    /// The same rows, appended: one per (id, stamp).
    AppendKeyed,
    /// No keys, but exact states: a resume repeats nothing.
    AppendExact,
    /// The whole log again, replaced by key.
    ReplaceKeyed,
    /// A snapshot without keys.
    ReplaceKeyless,
}

impl Kind {
    pub(crate) fn write_mode(self) -> WriteMode {
        match self {
            Self::Merge => WriteMode::Merge,
            Self::AppendKeyed | Self::AppendExact => WriteMode::Append,
            Self::ReplaceKeyed | Self::ReplaceKeyless => WriteMode::Replace,
        }
    }

    pub(crate) fn stream(self, name: &str) -> Stream {
        let has_keys = !matches!(self, Self::AppendExact | Self::ReplaceKeyless);
        Stream {
            name: StreamName::new(name).unwrap(),
            schema: schema(),
            primary_key: if has_keys { vec!["id".into()] } else { vec![] },
            replication_key: has_keys.then(|| "stamp".into()),
            incremental: self != Self::ReplaceKeyless,
            deletes: Deletes::NotReported,
            exact_states: self == Self::AppendExact,
            notes: vec![],
        }
    }

    /// Rows that a resume repeats.
    fn overlap(self) -> usize {
        match self {
            Self::Merge | Self::AppendKeyed | Self::ReplaceKeyed => 2,
            Self::AppendExact | Self::ReplaceKeyless => 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Position {
    v: u64,
    at: usize,
}

pub(crate) fn state(at: usize) -> State {
    State::new(&Position { v: 1, at }).unwrap()
}

pub(crate) fn position(state: &State) -> usize {
    state.parse::<Position>(1).unwrap().at
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let column = |get: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(get)))
    };
    let extra: ArrayRef = Arc::new(StringArray::new_null(rows.len()));
    RecordBatch::try_new(
        schema(),
        vec![
            column(|r| r.id),
            column(|r| r.stamp),
            column(|r| r.value),
            extra,
        ],
    )
    .unwrap()
}

pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let column = |index: usize| {
        batch
            .column(index)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    let (ids, stamps, values) = (column(0), column(1), column(2));
    (0..batch.num_rows())
        .map(|i| Row {
            id: ids[i],
            stamp: stamps[i],
            value: values[i],
        })
        .collect()
}

/// splitmix64.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// One life of the program.
#[derive(Debug)]
pub(crate) struct Process {
    dead: AtomicBool,
    steps_left: AtomicI64,
    died: tokio::sync::Notify,
    pub(crate) dice: Dice,
    /// Percent of steps outside the process that go wrong.
    faults: u64,
    pub(crate) stop: Stop,
}

impl Process {
    pub(crate) fn new(crash_at: Option<u16>, seed: u64, faults: u8) -> Arc<Self> {
        Arc::new(Self {
            dead: AtomicBool::new(false),
            steps_left: AtomicI64::new(crash_at.map_or(i64::MAX, i64::from)),
            died: tokio::sync::Notify::new(),
            dice: Dice::new(seed),
            faults: u64::from(faults),
            stop: Stop::new(),
        })
    }

    pub(crate) fn clean() -> Arc<Self> {
        Self::new(None, 7, 0)
    }

    /// One step that a crash may come before.
    pub(crate) fn step(&self) -> Result<()> {
        if self.steps_left.fetch_sub(1, Ordering::SeqCst) <= 1 {
            self.dead.store(true, Ordering::SeqCst);
            self.died.notify_one();
        }
        if self.dead.load(Ordering::SeqCst) {
            return Err(Error::bug("live on"));
        }
        Ok(())
    }

    pub(crate) async fn died(&self) {
        if !self.dead.load(Ordering::SeqCst) {
            self.died.notified().await;
        }
    }

    fn is_faulty(&self) -> bool {
        self.dice.below(100) < self.faults
    }

    /// Lets other tasks and runners go first, sometimes.
    async fn dawdle(&self) {
        for _ in 0..self.dice.below(3) {
            tokio::task::yield_now().await;
        }
    }
}

/// A commit with what it made visible.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) commit: Commit,
    pub(crate) manifest: Manifest,
    pub(crate) rows: Vec<Row>,
}

/// Everything outside the processes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) log: Mutex<Vec<Row>>,
    pub(crate) chain: Mutex<Vec<Committed>>,
    /// What a package held when it was sealed: stands for the upload.
    sealed: Mutex<HashMap<CommitId, Vec<Row>>>,
    /// Reads that were begun, with the state they began at.
    pub(crate) reads: Mutex<Vec<Option<State>>>,
}

impl World {
    pub(crate) fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            kind,
            log: Mutex::default(),
            chain: Mutex::default(),
            sealed: Mutex::default(),
            reads: Mutex::default(),
        })
    }

    /// New versions of some records.
    pub(crate) fn grow(&self, count: u64, dice: &Dice) {
        let mut log = self.log.lock().unwrap();
        for _ in 0..count {
            let stamp = i64::try_from(log.len()).unwrap();
            let id = i64::try_from(dice.below(12)).unwrap();
            log.push(Row {
                id,
                stamp,
                value: id * 1_000 + stamp,
            });
        }
    }

    pub(crate) fn head(&self) -> Option<Commit> {
        self.chain
            .lock()
            .unwrap()
            .last()
            .map(|last| last.commit.clone())
    }

    /// What a reader of the table sees.
    pub(crate) fn table(&self) -> Vec<Row> {
        table(self.kind, &self.chain.lock().unwrap())
    }

    /// What it must see when all of the log was synced.
    pub(crate) fn expected(&self) -> Vec<Row> {
        let log = self.log.lock().unwrap();
        match self.kind.write_mode() {
            WriteMode::Append => log.clone(),
            WriteMode::Merge | WriteMode::Replace => newest(&log),
        }
    }

    /// What a run says must be so.
    pub(crate) fn check_report(&self, report: &Report) {
        let chain = self.chain.lock().unwrap();
        for summary in &report.streams {
            if let Some(head) = summary.head {
                assert!(
                    chain.iter().any(|committed| committed.commit.id == head),
                    "a head that never was"
                );
            }
        }
        let state = chain.last().and_then(|last| last.commit.state.as_ref());
        if report.is_ok() && self.kind != Kind::ReplaceKeyless {
            let until = usize::try_from(report.until.micros()).unwrap();
            // An empty log needs no commit.
            assert!(
                state.map_or(0, position) >= until,
                "it said that all is well, and it is not"
            );
        }
    }

    /// What holds after every step of every history: E1, no doubles, nothing invented, never a part of a
    /// replacement.
    pub(crate) fn check(&self) {
        let log = self.log.lock().unwrap();
        let chain = self.chain.lock().unwrap();
        for (index, last) in chain.iter().enumerate() {
            assert_eq!(
                last.commit.parent,
                index.checked_sub(1).map(|i| chain[i].commit.id),
                "chain is not linear"
            );
            assert_eq!(
                last.rows.len() as u64,
                last.manifest.rows(),
                "the manifest counts wrong"
            );
            let seen = table(self.kind, &chain[..=index]);
            for row in &seen {
                assert!(log.contains(row), "{row:?} was never at the source");
            }
            let unique: BTreeSet<&Row> = seen.iter().collect();
            assert_eq!(unique.len(), seen.len(), "a row is there twice");
            let covered = match &last.commit.state {
                Some(state) => position(state),
                // Without a state only a whole snapshot may be visible.
                None => usize::try_from(last.manifest.until.micros()).unwrap(),
            };
            if self.kind.write_mode() == WriteMode::Append {
                for row in &log[..covered] {
                    assert!(
                        unique.contains(row),
                        "{row:?} is covered by a state and lost"
                    );
                }
            } else {
                for row in newest(&log[..covered]) {
                    let found = seen.iter().find(|other| other.id == row.id);
                    assert!(
                        found.is_some_and(|other| other.stamp >= row.stamp),
                        "{row:?} is covered and lost"
                    );
                }
            }
            if self.kind.write_mode() == WriteMode::Replace {
                assert!(
                    last.commit.complete,
                    "a part of a replacement became visible"
                );
            }
        }
    }
}

fn newest(rows: &[Row]) -> Vec<Row> {
    let mut table: BTreeMap<i64, Row> = BTreeMap::new();
    for row in rows {
        let entry = table.entry(row.id).or_insert(*row);
        if row.stamp >= entry.stamp {
            *entry = *row;
        }
    }
    table.into_values().collect()
}

fn table(kind: Kind, chain: &[Committed]) -> Vec<Row> {
    let all = || {
        chain
            .iter()
            .flat_map(|committed| committed.rows.iter().copied())
    };
    let mut rows: Vec<Row> = match kind {
        Kind::Merge => newest(&all().collect::<Vec<_>>()),
        Kind::AppendKeyed => all().collect::<BTreeSet<_>>().into_iter().collect(),
        Kind::AppendExact => all().collect(),
        Kind::ReplaceKeyed => chain.last().map_or(vec![], |last| newest(&last.rows)),
        Kind::ReplaceKeyless => chain.last().map_or(vec![], |last| last.rows.clone()),
    };
    if kind.write_mode() == WriteMode::Append {
        rows.sort_by_key(|row| row.stamp);
    } else {
        rows.sort();
    }
    rows
}

/// Time is the length of the log.
impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.log.lock().unwrap().len()).unwrap()).unwrap()
    }
}

/// The source as one process sees it.
pub(crate) struct MemorySource {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
    /// The states that the run foresaw for its first reads.
    pub(crate) planned: Mutex<Vec<Option<State>>>,
}

#[async_trait]
impl Source for MemorySource {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn discover(&self, _only: &[StreamName]) -> Result<Catalog> {
        self.process.step()?;
        Ok(Catalog {
            streams: vec![Arc::new(self.world.kind.stream("Account"))],
            unavailable: vec![],
            lacking: vec![],
        })
    }

    fn plan(&self, requests: &[ReadRequest]) {
        let states = requests.iter().map(|request| request.state.clone());
        *self.planned.lock().unwrap() = states.collect();
    }

    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
        if let Some(planned) = self.planned.lock().unwrap().pop() {
            assert_eq!(planned, request.state, "a run reads what it has planned");
        }
        self.world.reads.lock().unwrap().push(request.state.clone());
        let until = usize::try_from(request.until.micros()).unwrap();
        let log = self.world.log.lock().unwrap()[..until].to_vec();
        let rows = if self.world.kind == Kind::ReplaceKeyless {
            newest(&log)
        } else {
            log
        };
        let resume = request.state.as_ref().map(position);
        let begin = resume.map_or(0, |at| at.saturating_sub(self.world.kind.overlap()));
        let reading = Reading {
            rows,
            at: begin,
            is_resumed: resume.is_some(),
            is_over: false,
        };
        futures::stream::unfold(reading, |mut reading| async {
            if reading.is_over {
                return None;
            }
            let page = self.page(&mut reading).await;
            reading.is_over |= page.is_err();
            Some((page, reading))
        })
        .boxed()
    }
}

struct Reading {
    rows: Vec<Row>,
    at: usize,
    is_resumed: bool,
    is_over: bool,
}

impl MemorySource {
    async fn page(&self, reading: &mut Reading) -> Result<Page> {
        let process = &self.process;
        process.dawdle().await;
        process.step()?;
        if process.is_faulty() {
            let fail = |kind| Err(Error::new(kind, "read a page"));
            match process.dice.below(8) {
                0 if reading.is_resumed => return fail(ErrorKind::StateExpired),
                1 => return fail(ErrorKind::Unavailable),
                2 => return fail(ErrorKind::RateLimited),
                3 => return fail(ErrorKind::Data),
                4 | 5 => {
                    // A damaged page: rows that never were, then an error.
                    let rows = [
                        Row {
                            id: 1,
                            stamp: -5,
                            value: -1,
                        },
                        Row {
                            id: 99,
                            stamp: -6,
                            value: -1,
                        },
                    ];
                    let kind = if process.dice.below(2) == 0 {
                        ErrorKind::Data
                    } else {
                        ErrorKind::Unavailable
                    };
                    reading.rows.truncate(0);
                    reading.at = usize::MAX;
                    reading.is_resumed = kind == ErrorKind::Data;
                    return Ok(Page {
                        batch: batch(&rows),
                        state: None,
                    });
                }
                6 => panic!("the connector has a defect"),
                _ => process.stop.request(StopReason::Interrupt),
            }
        }
        if reading.at == usize::MAX {
            let kind = if reading.is_resumed {
                ErrorKind::Data
            } else {
                ErrorKind::Unavailable
            };
            return Err(Error::new(kind, "read the rest of a page"));
        }
        let size = usize::try_from(process.dice.below(4)).unwrap();
        let end = (reading.at + size).min(reading.rows.len());
        let taken = &reading.rows[reading.at..end];
        reading.at = end;
        let is_last = end == reading.rows.len();
        reading.is_over = is_last;
        let gives_state = is_last || process.dice.below(2) == 0;
        // Never behind the state that the read began at (S2), although rows before it are repeated.
        let state = gives_state.then(|| state(end));
        Ok(Page {
            batch: batch(taken),
            state,
        })
    }
}

/// The destination as one process sees it.
pub(crate) struct MemoryDestination {
    pub(crate) world: Arc<World>,
    pub(crate) process: Arc<Process>,
}

#[async_trait]
impl Destination for MemoryDestination {
    async fn check(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn head(&self, wanted: &SyncKey) -> Result<Option<Commit>> {
        assert_eq!(wanted, &key("Account"));
        self.process.dawdle().await;
        self.process.step()?;
        if self.process.faults > 0 && self.process.dice.below(300) < self.process.faults {
            return Err(Error::new(ErrorKind::Destination, "read the head"));
        }
        Ok(self.world.head())
    }

    async fn commit(&self, package: &Package) -> Result<Commit> {
        self.process.dawdle().await;
        self.process.step()?;
        let lost = || Error::new(ErrorKind::Destination, "read the answer");
        let fault = self.process.is_faulty().then(|| self.process.dice.below(3));
        match fault {
            Some(0) => return Err(lost()),
            Some(1) => return Ok(package.manifest.to_commit(Timestamp::EPOCH)),
            _ => {}
        }
        let commit = {
            let mut chain = self.world.chain.lock().unwrap();
            let head = chain.last().map(|last| last.commit.clone());
            match head {
                Some(head) if head.id == package.manifest.id => head,
                head if head.as_ref().map(|head| head.id) == package.manifest.parent => {
                    assert!(package.manifest.sealed, "an open package was committed");
                    let sealed = self.world.sealed.lock().unwrap();
                    let rows = sealed[&package.manifest.id].clone();
                    let commit = package.manifest.to_commit(Timestamp::EPOCH);
                    chain.push(Committed {
                        commit: commit.clone(),
                        manifest: package.manifest.clone(),
                        rows,
                    });
                    commit
                }
                _ => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        "commit: the head has moved",
                    ));
                }
            }
        };
        self.process.dawdle().await;
        self.process.step()?;
        if fault == Some(2) {
            Err(lost())
        } else {
            Ok(commit)
        }
    }
}

/// A machine's disk; survives its processes.
#[derive(Debug, Default)]
pub(crate) struct Machine(Mutex<Vec<OnDisk>>);

#[derive(Debug, Clone)]
struct OnDisk {
    manifest: Manifest,
    rows: Vec<Row>,
}

impl Machine {
    pub(crate) fn packages(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The shelf of the one stream, as one process sees it.
#[derive(Clone)]
pub(crate) struct MemoryShelf {
    pub(crate) world: Arc<World>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) process: Arc<Process>,
}

impl Shelves for MemoryShelf {
    fn lock(&self, _info: &LockInfo) -> Result<Option<Hold>> {
        self.process.step()?;
        Ok(Some(Arc::new(())))
    }

    fn record(&self, _record: &Record) -> Result<()> {
        self.process.step()
    }

    fn are_instant(&self) -> bool {
        true
    }

    fn shelf(&self, _stream: &StreamName) -> Arc<dyn Shelf> {
        Arc::new(self.clone())
    }

    fn known(&self) -> Result<Vec<StreamName>> {
        Ok(vec![StreamName::new("Account").unwrap()])
    }
}

impl MemoryShelf {
    fn package(on_disk: &OnDisk) -> Package {
        Package {
            dir: "memory".into(),
            manifest: on_disk.manifest.clone(),
        }
    }

    fn draft(&self, manifest: &Manifest) -> Box<dyn Draft> {
        Box::new(MemoryDraft {
            shelf: self.clone(),
            manifest: manifest.clone(),
            pending: vec![],
        })
    }
}

impl Shelf for MemoryShelf {
    fn recover(&self, _key: &SyncKey, head: Option<CommitId>) -> Result<Recovered> {
        self.process.step()?;
        let mut recovered = Recovered::default();
        {
            let mut packages = self.machine.0.lock().unwrap();
            let mut next = head;
            let mut kept = vec![];
            while let Some(index) = packages
                .iter()
                .position(|other| other.manifest.parent == next)
            {
                let on_disk = packages.swap_remove(index);
                next = Some(on_disk.manifest.id);
                let package = Self::package(&on_disk);
                let is_sealed = on_disk.manifest.sealed;
                kept.push(on_disk);
                if !is_sealed {
                    recovered.open = Some(package);
                    break;
                }
                recovered.sealed.push(package);
            }
            *packages = kept;
        }
        self.process.step()?;
        Ok(recovered)
    }

    fn create(&self, new: NewPackage) -> Result<Box<dyn Draft>> {
        self.process.step()?;
        let manifest = Manifest {
            format: 1,
            id: CommitId::generate(),
            parent: new.parent,
            key: new.key,
            source: new.source,
            mode: new.mode,
            deletes: new.deletes,
            primary_key: new.primary_key,
            replication_key: new.replication_key,
            schema: new.schema,
            files: vec![],
            state: None,
            sealed: false,
            complete: false,
            started: new.started,
            until: new.until,
            rows_read: 0,
            rows_reported: None,
            extra_values: 0,
            row_numbers: false,
        };
        {
            let mut packages = self.machine.0.lock().unwrap();
            assert!(
                packages
                    .iter()
                    .all(|other| other.manifest.parent != manifest.parent),
                "two packages of one disk have the same parent"
            );
            packages.push(OnDisk {
                manifest: manifest.clone(),
                rows: vec![],
            });
        }
        self.process.step()?;
        Ok(self.draft(&manifest))
    }

    fn reopen(&self, package: Package) -> Result<Box<dyn Draft>> {
        self.process.step()?;
        assert!(!package.manifest.sealed);
        Ok(self.draft(&package.manifest))
    }

    fn remove(&self, package: &Package) -> Result<()> {
        self.process.step()?;
        self.machine
            .0
            .lock()
            .unwrap()
            .retain(|other| other.manifest.id != package.manifest.id);
        self.process.step()
    }
}

struct MemoryDraft {
    shelf: MemoryShelf,
    manifest: Manifest,
    pending: Vec<Row>,
}

impl MemoryDraft {
    fn save(&mut self, state: Option<State>, sealed: bool, complete: bool) -> Result<()> {
        self.shelf.process.step()?;
        let manifest = &mut self.manifest;
        if !self.pending.is_empty() {
            let count = self.pending.len() as u64;
            manifest.files.push(Part {
                name: "part.parquet".into(),
                rows: count,
                bytes: count * 10,
                sha256: String::new(),
            });
            manifest.rows_read += count;
        }
        manifest.state = state;
        manifest.sealed = sealed;
        manifest.complete = complete;
        {
            let mut packages = self.shelf.machine.0.lock().unwrap();
            let on_disk = packages
                .iter_mut()
                .find(|other| other.manifest.id == manifest.id)
                .unwrap();
            assert!(!on_disk.manifest.sealed, "a sealed package was changed");
            on_disk.manifest = manifest.clone();
            on_disk.rows.append(&mut self.pending);
            if sealed {
                let rows = on_disk.rows.clone();
                self.shelf
                    .world
                    .sealed
                    .lock()
                    .unwrap()
                    .insert(manifest.id, rows);
            }
        }
        self.shelf.process.step()
    }
}

impl Draft for MemoryDraft {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.shelf.process.step()?;
        self.pending.extend(rows(batch));
        Ok(())
    }

    fn pending_rows(&self) -> u64 {
        self.pending.len() as u64
    }

    fn pending_bytes(&self) -> u64 {
        self.pending.len() as u64 * 10
    }

    fn checkpoint(&mut self, state: Option<State>) -> Result<()> {
        self.save(state, false, false)
    }

    fn rollback(&mut self) -> Result<()> {
        self.pending.clear();
        Ok(())
    }

    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn add_extra_values(&mut self, count: u64) {
        self.manifest.extra_values += count;
    }

    fn seal(mut self: Box<Self>, state: Option<State>, complete: bool) -> Result<Package> {
        self.save(state, true, complete)?;
        Ok(Package {
            dir: "memory".into(),
            manifest: self.manifest,
        })
    }

    fn into_open(self: Box<Self>) -> Result<Package> {
        Ok(Package {
            dir: "memory".into(),
            manifest: self.manifest,
        })
    }
}
