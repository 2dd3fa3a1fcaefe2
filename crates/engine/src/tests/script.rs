//! A source that plays a script, and the local destination with a switch to fail.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt as _;
use overlock_core::{
    BoxStream, Catalog, Commit, Destination, Error, ErrorKind, Event, Events, FixedClock, Package,
    Page, ReadRequest, Result, Source, SourceName, State, Stream, StreamName, StreamSummary,
    SyncKey, Timestamp,
};
use overlock_local::{Local, LocalOptions, Table, View};

use super::world::{Kind, Row, batch, rows, state};
use crate::pipeline::{Pipeline, StreamPlan, StreamSettings};
use crate::run::{Options, Report, run};
use crate::stop::{Stop, StopReason};
use crate::tally::Tally;

/// One thing the source does in a read.
#[derive(Clone)]
pub(crate) enum Act {
    /// Gives rows with these stamps, and perhaps a state.
    Page(std::ops::Range<i64>, Option<usize>),
    /// Gives a batch as it is.
    Batch(RecordBatch, Option<usize>),
    /// Ends the read with an error.
    Fail(ErrorKind),
    /// Has a defect.
    Panic,
    /// Never answers.
    Stall,
    /// Takes its time.
    Sleep(Duration),
    /// Somebody asks the run to stop.
    Stop,
    /// Somebody deletes a folder.
    Delete(PathBuf),
}

pub(crate) fn page(stamps: std::ops::Range<i64>, state: usize) -> Act {
    Act::Page(stamps, Some(state))
}

/// A source that does as it is told, read by read.
pub(crate) struct Script {
    pub(crate) streams: Vec<Stream>,
    pub(crate) unavailable: Vec<(String, String)>,
    pub(crate) lacking: Vec<(String, String)>,
    pub(crate) discover_fails: Option<ErrorKind>,
    reads: Mutex<HashMap<String, VecDeque<Vec<Act>>>>,
    /// The states that reads were begun with.
    pub(crate) begun: Mutex<Vec<Option<State>>>,
    pub(crate) stop: Stop,
    open_reads: AtomicUsize,
    pub(crate) most_open_reads: AtomicUsize,
}

impl Script {
    pub(crate) fn new(streams: Vec<Stream>) -> Self {
        Self {
            streams,
            unavailable: vec![],
            lacking: vec![],
            discover_fails: None,
            reads: Mutex::default(),
            begun: Mutex::default(),
            stop: Stop::new(),
            open_reads: AtomicUsize::new(0),
            most_open_reads: AtomicUsize::new(0),
        }
    }

    /// One incremental stream `Account` whose reads go like this.
    pub(crate) fn account(reads: Vec<Vec<Act>>) -> Self {
        Self::new(vec![Kind::Merge.stream("Account")]).reads("Account", reads)
    }

    pub(crate) fn reads(self, stream: &str, reads: Vec<Vec<Act>>) -> Self {
        self.reads
            .lock()
            .unwrap()
            .insert(stream.to_owned(), reads.into());
        self
    }

    pub(crate) fn begun(&self) -> Vec<Option<State>> {
        self.begun.lock().unwrap().clone()
    }
}

struct Opened<'a>(&'a AtomicUsize);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Source for Script {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn discover(&self, _only: &[StreamName]) -> Result<Catalog> {
        if let Some(kind) = self.discover_fails {
            return Err(Error::new(kind, "read the catalog"));
        }
        Ok(Catalog {
            streams: self.streams.iter().cloned().map(Arc::new).collect(),
            unavailable: self.unavailable.clone(),
            lacking: self.lacking.clone(),
        })
    }

    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
        self.begun.lock().unwrap().push(request.state.clone());
        let open = self.open_reads.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open_reads.fetch_max(open, Ordering::SeqCst);
        let opened = Opened(&self.open_reads);
        let mut all = self.reads.lock().unwrap();
        let next = all
            .get_mut(request.stream.name.as_str())
            .and_then(VecDeque::pop_front);
        let acts: VecDeque<Act> = next.unwrap_or_default().into();
        futures::stream::unfold((acts, opened), |(mut acts, opened)| async {
            loop {
                let act = acts.pop_front()?;
                let page = match act {
                    Act::Page(stamps, at) => {
                        let rows: Vec<Row> = stamps
                            .map(|stamp| Row {
                                id: stamp,
                                stamp,
                                value: stamp * 10,
                            })
                            .collect();
                        Ok(Page {
                            batch: batch(&rows),
                            state: at.map(state),
                        })
                    }
                    Act::Batch(batch, at) => Ok(Page {
                        batch,
                        state: at.map(state),
                    }),
                    Act::Fail(kind) => Err(Error::new(kind, "read a page")),
                    Act::Panic => panic!("the connector has a defect"),
                    Act::Stall => std::future::pending().await,
                    Act::Sleep(time) => {
                        drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
                        continue;
                    }
                    Act::Stop => {
                        self.stop.request(StopReason::Interrupt);
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Act::Delete(path) => {
                        std::fs::remove_dir_all(path).unwrap();
                        continue;
                    }
                };
                return Some((page, (acts, opened)));
            }
        })
        .boxed()
    }
}

/// How the destination misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Commits fail and change nothing.
    Down,
    /// Commits work, but the answer is lost.
    Mute,
    /// Panics.
    Defect,
}

/// The local destination, perhaps in trouble.
pub(crate) struct Place {
    pub(crate) local: Local,
    pub(crate) trouble: Mutex<Option<Trouble>>,
    pub(crate) attempts: AtomicUsize,
    /// Whether a commit costs money.
    pub(crate) is_costly: AtomicBool,
    begun: tokio::time::Instant,
    /// Attempts at commits: the stream, and the second since the desk was made.
    pub(crate) committed: Mutex<Vec<(String, u64)>>,
}

#[async_trait]
impl Destination for Place {
    async fn check(&self) -> Result<Vec<String>> {
        self.local.check().await
    }

    async fn head(&self, key: &SyncKey) -> Result<Option<Commit>> {
        self.local.head(key).await
    }

    fn is_costly(&self) -> bool {
        self.is_costly.load(Ordering::SeqCst)
    }

    async fn commit(&self, package: &Package) -> Result<Commit> {
        let stream = package.manifest.key.stream.to_string();
        let second = self.begun.elapsed().as_secs();
        self.committed.lock().unwrap().push((stream, second));
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let trouble = *self.trouble.lock().unwrap();
        match trouble {
            Some(Trouble::Down) => Err(Error::new(ErrorKind::Destination, "reach the warehouse")),
            Some(Trouble::Defect) => panic!("the connector has a defect"),
            Some(Trouble::Mute) => {
                self.local.commit(package).await?;
                Err(Error::new(ErrorKind::Destination, "read the answer"))
            }
            None => self.local.commit(package).await,
        }
    }
}

/// A project folder, its destination, and all events of its runs.
pub(crate) struct Desk {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) place: Arc<Place>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) options: Options,
    pub(crate) settings: StreamSettings,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock(Timestamp::EPOCH));
        let local = Local::new(dir.path().join("data/sfdc"), LocalOptions::default(), clock);
        Self {
            place: Arc::new(Place {
                local,
                trouble: Mutex::default(),
                attempts: AtomicUsize::new(0),
                is_costly: false.into(),
                begun: tokio::time::Instant::now(),
                committed: Mutex::default(),
            }),
            events: Arc::default(),
            options: Options::new(dir.path().join("work"), "01RUN"),
            settings: StreamSettings::default(),
            dir,
        }
    }

    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        *self.place.trouble.lock().unwrap() = trouble;
    }

    pub(crate) fn pipeline(&self, streams: &[&str]) -> Pipeline {
        let plan = |name: &&str| StreamPlan {
            name: StreamName::new(*name).unwrap(),
            settings: self.settings.clone(),
        };
        Pipeline {
            name: SourceName::new("crm").unwrap(),
            source: SourceName::new("sfdc").unwrap(),
            streams: streams.iter().map(plan).collect(),
            rest: None,
        }
    }

    /// Runs stream `Account`.
    pub(crate) async fn run(&self, script: Script) -> (StreamSummary, Report, Arc<Script>) {
        let (report, script) = self.run_streams(script, &["Account"]).await;
        (report.streams[0].clone(), report, script)
    }

    pub(crate) async fn run_streams(
        &self,
        script: Script,
        streams: &[&str],
    ) -> (Report, Arc<Script>) {
        let script = Arc::new(script);
        let heard = Arc::clone(&self.events);
        let tally = Tally::new(&Events::new(move |event| heard.lock().unwrap().push(event)));
        let report = run(
            &self.pipeline(streams),
            Arc::clone(&script) as _,
            Arc::clone(&self.place) as _,
            &self.options,
            &tally,
            Arc::new(FixedClock(Timestamp::EPOCH)),
            &script.stop,
        )
        .await;
        (report, script)
    }

    /// Stamps that a reader of the table sees, in order.
    pub(crate) fn table(&self, stream: &str) -> Vec<i64> {
        let name = StreamName::new(stream).unwrap();
        let Ok(table) = Table::open(self.place.local.table_dir(&name)) else {
            return vec![];
        };
        let mut stamps = vec![];
        for batch in table.scan(View::Current, None).unwrap() {
            stamps.extend(rows(&batch.unwrap()).iter().map(|row| row.stamp));
        }
        stamps.sort_unstable();
        stamps
    }

    pub(crate) fn codes(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let code = |event: &Event| match event {
            Event::Warning { code, .. } => Some(code.clone()),
            _ => None,
        };
        events.iter().filter_map(code).collect()
    }
}
