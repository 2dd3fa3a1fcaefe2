//! One run of one pipeline: lock, recover, discover, streams side by side, summary.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use overlock_core::event::ErrorReport;
use overlock_core::{
    Catalog, Clock, CommitId, Destination, Error, ErrorKind, Event, Events, Redactor, Result,
    Source, SourceName, StreamName, StreamStatus, StreamSummary, SyncKey, Timestamp, WriteMode,
    crash_point,
};
use overlock_package::{LockInfo, Settings};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::gather::{Gather, Reading};
use crate::pipeline::{Pipeline, StreamSettings};
use crate::read::{Task, from_join};
use crate::record::{self, Record};
use crate::shelf::{Disk, Hold, LockMode, Shelf, Shelves};
use crate::stop::{Stop, StopReason};
use crate::stream::{Chain, End, foresee, recover, sync};
use crate::tally::Tally;
use crate::worker::Worker;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's `.overlock` folder: packages, locks, run records.
    pub work_dir: PathBuf,
    /// Id of the run; letters, digits and `-` only, since it names a folder.
    pub run: String,
    /// How packages are written.
    pub settings: Settings,
    /// What keeps two runs of the pipeline apart.
    pub lock: LockMode,
    /// Read everything again and replace the tables.
    pub full_refresh: bool,
    /// Stop all streams when one fails.
    pub fail_fast: bool,
    /// Stop at the next state after this long.
    pub timeout: Option<Duration>,
    /// Time between asking for a stop and abandoning what is not finished.
    pub grace: Duration,
    /// Streams at a time.
    pub max_concurrent_streams: usize,
    /// Age of unsaved rows at which the next state makes them durable.
    pub checkpoint_after: Duration,
    /// Rows after which an incremental package is sealed at the next state.
    pub seal_rows: u64,
    /// Bytes after which an incremental package is sealed at the next state.
    pub seal_bytes: u64,
    /// Age after which an incremental package is sealed at the next state.
    pub seal_after: Duration,
    /// Upper bound of the read; `None`: now.
    pub until: Option<Timestamp>,
    /// The one table of exit codes, which belongs to the command line.
    pub exit_code: fn(&Report) -> u8,
    /// Takes secrets out of the record: a service may repeat one in what it says.
    pub redactor: Redactor,
}

impl Options {
    /// The defaults, for packages under `work_dir` and a run called `run`.
    pub fn new(work_dir: impl Into<PathBuf>, run: impl Into<String>) -> Self {
        Self {
            work_dir: work_dir.into(),
            run: run.into(),
            settings: Settings::default(),
            lock: LockMode::default(),
            full_refresh: false,
            fail_fast: false,
            timeout: None,
            grace: Duration::from_secs(10),
            max_concurrent_streams: 4,
            checkpoint_after: Duration::from_secs(30),
            seal_rows: 5_000_000,
            seal_bytes: 1 << 30,
            seal_after: Duration::from_secs(600),
            until: None,
            exit_code: |report| u8::from(!report.is_ok()),
            redactor: Redactor::default(),
        }
    }
}

/// How long a source may take to leave nothing behind.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// Id of the run.
    pub run: String,
    /// Upper bound of the read.
    pub until: Timestamp,
    /// What came of each stream, in the order they were asked for.
    pub streams: Vec<StreamSummary>,
    /// Why the run could not start, or could not read any stream.
    pub error: Option<Error>,
    /// Why it stopped early, if it was asked to.
    pub stopped: Option<StopReason>,
    /// HTTP requests of the run, as far as the [`Tally`] saw them.
    pub calls: u64,
    /// Wall time.
    pub elapsed: Duration,
}

impl Report {
    /// Whether every stream is up to date.
    pub fn is_ok(&self) -> bool {
        self.error.is_none() && self.streams.iter().all(is_fine)
    }
}

/// Whether a stream is up to date.
pub(crate) fn is_fine(summary: &StreamSummary) -> bool {
    matches!(
        summary.status,
        StreamStatus::Ok | StreamStatus::Empty | StreamStatus::Skipped
    )
}

/// Runs a pipeline once. Never fails as a whole without saying so in the report, and never panics on what
/// a source or destination does.
pub async fn run(
    pipeline: &Pipeline,
    source: Arc<dyn Source>,
    destination: Arc<dyn Destination>,
    options: &Options,
    tally: &Tally,
    clock: Arc<dyn Clock>,
    stop: &Stop,
) -> Report {
    let shelves = Disk {
        work_dir: options.work_dir.clone(),
        dir: options.work_dir.join(pipeline.name.as_str()),
        settings: options.settings.clone(),
        lock: options.lock,
        redactor: options.redactor.clone(),
    };
    let parts = Parts {
        source,
        destination,
        tally: tally.clone(),
        clock,
    };
    run_on(pipeline, parts, options, stop, Arc::new(shelves)).await
}

/// What a run is given.
pub(crate) struct Parts {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) tally: Tally,
    pub(crate) clock: Arc<dyn Clock>,
}

/// [`run`] on any shelves.
pub(crate) async fn run_on(
    pipeline: &Pipeline,
    parts: Parts,
    options: &Options,
    stop: &Stop,
    shelves: Arc<dyn Shelves>,
) -> Report {
    let began = Instant::now();
    let calls_before = parts.tally.calls();
    let events = parts.tally.events();
    let started = parts.clock.now();
    let until = options.until.unwrap_or(started);
    let mut report = Report {
        run: options.run.clone(),
        until,
        streams: Vec::new(),
        error: None,
        stopped: None,
        calls: 0,
        elapsed: Duration::ZERO,
    };
    let hold = match acquire(pipeline, options, started, &shelves).await {
        Ok(hold) => hold,
        Err(error) => {
            report.error = Some(error);
            return report;
        }
    };
    let mut record = Record::new(pipeline, &report, started);
    if let Err(error) = shelves.record(&record) {
        report.error = Some(error);
        return report;
    }
    let tally = parts.tally.clone();
    let clock = Arc::clone(&parts.clock);
    let inner = Stop::new();
    let is_locked = hold.is_some();
    let run = Arc::new(Run {
        source: parts.source,
        destination: parts.destination,
        options: options.clone(),
        tally: parts.tally,
        events: events.clone(),
        clock: parts.clock,
        stop: inner.clone(),
        source_name: pipeline.source.clone(),
        until,
        slots: Arc::new(Semaphore::new(options.max_concurrent_streams.max(1))),
        commits: Semaphore::new(options.max_concurrent_streams.max(1)),
        gather: Gather::default(),
        hold: Mutex::new(Some(hold.unwrap_or_else(|| Arc::new(())))),
        is_instant: shelves.are_instant(),
    });
    events.emit(Event::RunStarted {
        run: options.run.clone(),
        pipeline: pipeline.name.clone(),
        source: pipeline.source.clone(),
        streams: pipeline
            .streams
            .iter()
            .map(|plan| plan.name.clone())
            .collect(),
        until,
    });
    if !is_locked {
        events.emit(Event::Warning {
            code: "W0308".to_owned(),
            stream: None,
            message: format!(
                "this file system has no locks: another run of `{}` in the same folder would go unnoticed \
                 until one of the two commits",
                pipeline.name
            ),
        });
    }
    let work = all_streams(pipeline, Arc::clone(&run), Arc::clone(&shelves));
    tokio::pin!(work);
    let outcome = tokio::select! {
        biased;
        outcome = &mut work => outcome,
        () = pass_on(stop, &inner, options) => (&mut work).await,
    };
    let closing = Task::spawn({
        let source = Arc::clone(&run.source);
        async move { source.close().await }
    });
    // Whoever has waited for the grace time need not wait for a service that does not answer.
    drop(tokio::time::timeout(CLOSE_WITHIN, closing.join()).await);
    run.hold
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    report.streams = outcome.streams;
    report.error = outcome.error;
    report.stopped = inner.reason();
    report.calls = tally.calls().saturating_sub(calls_before);
    report.elapsed = began.elapsed();
    let exit_code = (options.exit_code)(&report);
    record.finish(&report, exit_code, clock.now());
    if let Err(error) = shelves.record(&record) {
        events.emit(Event::Warning {
            code: "W0307".to_owned(),
            stream: None,
            message: format!("the record of this run could not be written: {error}"),
        });
    }
    events.emit(Event::RunFinished {
        run: options.run.clone(),
        exit_code,
        millis: millis(report.elapsed),
    });
    report
}

/// Takes the pipeline, so that a second run on this machine gets a friendly answer at once.
async fn acquire(
    pipeline: &Pipeline,
    options: &Options,
    started: Timestamp,
    shelves: &Arc<dyn Shelves>,
) -> Result<Option<Hold>> {
    record::check_run_id(&options.run)?;
    check_unique(pipeline)?;
    crash_point!("P0.before_lock");
    let info = LockInfo::new(&options.run, started);
    let locked = Arc::clone(shelves);
    let hold = on_blocking_thread(move || locked.lock(&info), shelves.are_instant()).await?;
    crash_point!("P0.after_lock");
    Ok(hold)
}

/// Two writers of one key in one run would only fight each other.
fn check_unique(pipeline: &Pipeline) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    match pipeline
        .streams
        .iter()
        .find(|plan| !names.insert(&plan.name))
    {
        Some(plan) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "run pipeline `{}`: stream `{}` is in it twice",
                pipeline.name, plan.name
            ),
        )),
        None => Ok(()),
    }
}

/// Turns requests from outside, the time limit and the grace time into stops of this run.
async fn pass_on(outer: &Stop, inner: &Stop, options: &Options) {
    let limit = async {
        match options.timeout {
            // The deadline uses the monotonic clock: a jump of the wall clock changes nothing.
            Some(timeout) => {
                drop(tokio::time::timeout(timeout, std::future::pending::<()>()).await);
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = outer.requested() => inner.request_once(outer.reason().unwrap_or(StopReason::Interrupt)),
        () = inner.requested() => {}
        () = limit => inner.request_once(StopReason::Timeout),
    }
    // However it ends: a second request or the end of the grace time.
    drop(tokio::time::timeout(options.grace, outer.immediate()).await);
    inner.now();
}

/// What all streams of a run share.
pub(crate) struct Run {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) options: Options,
    pub(crate) tally: Tally,
    pub(crate) events: Events,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: Stop,
    pub(crate) source_name: SourceName,
    pub(crate) until: Timestamp,
    /// Streams that may read at a time.
    slots: Arc<Semaphore>,
    /// Commits at a time.
    pub(crate) commits: Semaphore,
    pub(crate) gather: Gather,
    /// The lock, until the run ends. Blocking work holds it too, so that it is not released while abandoned
    /// work still runs; and no such work begins without it.
    hold: Mutex<Option<Hold>>,
    is_instant: bool,
}

impl Run {
    /// Runs blocking work on a blocking thread.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        on_blocking_thread(self.held(work)?, self.is_instant).await
    }

    /// Runs blocking work on the thread of one stream's writing half.
    pub(crate) async fn writing<T: Send + 'static>(
        &self,
        worker: &Worker,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let work = self.held(work)?;
        if self.is_instant {
            return work();
        }
        worker.run(work).await
    }

    /// The same work, holding the lock of the run.
    fn held<T>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<impl FnOnce() -> Result<T> + Send + 'static> {
        let hold = self
            .hold
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(hold) = hold else {
            return Err(Error::new(ErrorKind::Cancelled, "go on: the run is over"));
        };
        Ok(move || {
            let result = work();
            drop(hold);
            result
        })
    }
}

/// Runs blocking work on a blocking thread, or here if it does not really block.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
    is_instant: bool,
) -> Result<T> {
    if is_instant {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(from_join(&error)),
    }
}

/// What belongs to one stream of a run.
#[derive(Clone)]
pub(crate) struct StreamContext {
    pub(crate) run: Arc<Run>,
    pub(crate) key: SyncKey,
    pub(crate) settings: Arc<StreamSettings>,
    pub(crate) shelf: Arc<dyn Shelf>,
    pub(crate) progress: Arc<Progress>,
}

/// Counts that survive when a stream is abandoned.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Counts>);

/// See [`StreamSummary`].
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) mode: WriteMode,
    pub(crate) rows_read: u64,
    pub(crate) rows_committed: u64,
    pub(crate) bytes: u64,
    pub(crate) extra: u64,
    pub(crate) commits: u64,
    pub(crate) head: Option<CommitId>,
    calls_before: u64,
    worked: Duration,
}

impl Progress {
    pub(crate) fn update(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn counts(&self) -> Counts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Tells about something that is off while the stream goes on.
pub(crate) fn warning(cx: &StreamContext, code: &str, message: String) {
    cx.run.events.emit(Event::Warning {
        code: code.to_owned(),
        stream: Some(cx.key.stream.clone()),
        message,
    });
}

struct RunOutcome {
    streams: Vec<StreamSummary>,
    error: Option<Error>,
}

/// First what is sealed is committed for every stream, then the source is asked what it offers, then each
/// stream is read. So a source that is down does not keep finished work from the destination.
async fn all_streams(pipeline: &Pipeline, run: Arc<Run>, shelves: Arc<dyn Shelves>) -> RunOutcome {
    let mut outcome = RunOutcome {
        streams: Vec::new(),
        error: None,
    };
    let context = |name: &StreamName, settings: &StreamSettings| StreamContext {
        run: Arc::clone(&run),
        key: pipeline.key(name),
        settings: Arc::new(settings.clone()),
        shelf: shelves.shelf(name),
        progress: Arc::new(Progress(Mutex::new(Counts {
            mode: settings.write_mode.unwrap_or(WriteMode::Merge),
            rows_read: 0,
            rows_committed: 0,
            bytes: 0,
            extra: 0,
            commits: 0,
            head: None,
            calls_before: run.tally.calls_of(name),
            worked: Duration::ZERO,
        }))),
    };
    let mut contexts: Vec<StreamContext> = pipeline
        .streams
        .iter()
        .map(|plan| context(&plan.name, &plan.settings))
        .collect();
    if let Some(rest) = &pipeline.rest {
        let found = Arc::clone(&shelves);
        match run.blocking(move || found.known()).await {
            Ok(names) => {
                for name in names {
                    if contexts.iter().all(|cx| cx.key.stream != name) {
                        contexts.push(context(&name, rest));
                    }
                }
            }
            Err(error) => {
                outcome.error = Some(error);
                return outcome;
            }
        }
    }
    let limit = run.options.max_concurrent_streams.max(1);
    let mut chains = side_by_side(limit, contexts.clone(), |cx| async move {
        timed(&cx, recover(cx.clone())).await
    })
    .await;
    let catalog = if chains.iter().any(Result::is_ok) || chains.is_empty() {
        let mut only: Vec<StreamName> = Vec::new();
        if pipeline.rest.is_none() {
            only.extend(contexts.iter().map(|cx| cx.key.stream.clone()));
        }
        discover(&run, only).await.and_then(|catalog| {
            check_names(pipeline, &catalog, &chains)?;
            Ok(catalog)
        })
    } else {
        Ok(Catalog::default())
    };
    let catalog = match catalog {
        Ok(catalog) => Arc::new(catalog),
        Err(error) => {
            for (cx, chain) in contexts.iter().zip(&chains) {
                let report = ErrorReport::from(chain.as_ref().err().unwrap_or(&error));
                outcome.streams.push(summarise(cx, Err(report)));
            }
            outcome.error = Some(error);
            return outcome;
        }
    };
    if let Some(rest) = &pipeline.rest {
        for stream in &catalog.streams {
            if contexts.iter().all(|cx| cx.key.stream != stream.name) {
                let cx = context(&stream.name, rest);
                chains.push(timed(&cx, recover(cx.clone())).await);
                contexts.push(cx);
            }
        }
    }
    let plan: Vec<_> = contexts
        .iter()
        .zip(&chains)
        .filter_map(|(cx, chain)| {
            let stream = catalog.get(cx.key.stream.as_str())?;
            foresee(cx, stream, chain.as_ref().ok()?)
        })
        .collect();
    run.source.plan(&plan);
    let work: Vec<_> = contexts
        .into_iter()
        .zip(chains)
        .map(|(cx, chain)| (cx, chain, run.gather.join()))
        .collect();
    // All at once: how many read at a time is the business of their turns.
    outcome.streams = side_by_side(usize::MAX, work, |(cx, chain, reading)| {
        let catalog = Arc::clone(&catalog);
        async move {
            let result = match chain {
                Ok(chain) => match Turn::take(&cx, reading).await {
                    Ok(turn) => one_stream(&cx, &catalog, chain, turn).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = &result
                && cx.run.options.fail_fast
                && error.kind() != ErrorKind::Cancelled
            {
                cx.run.stop.request_once(StopReason::FailFast);
            }
            summarise(&cx, result.map_err(|error| ErrorReport::from(&error)))
        }
    })
    .await;
    outcome
}

/// A stream's turn to read: one of the run's places, and the others waiting for its end. Dropped when it has read.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _reading: Reading,
}

impl Turn {
    async fn take(cx: &StreamContext, reading: Reading) -> Result<Self> {
        let place = Arc::clone(&cx.run.slots).acquire_owned().await;
        Ok(Self {
            _place: place.map_err(|error| Error::bug("give a stream its turn").source(error))?,
            _reading: reading,
        })
    }
}

/// Works on all items, started in order, some at a time; the answers have the order of the items.
async fn side_by_side<I, T, F: Future<Output = T>>(
    limit: usize,
    items: Vec<I>,
    work: impl Fn(I) -> F,
) -> Vec<T> {
    let work = &work;
    let mut answers: Vec<(usize, T)> = futures::stream::iter(items.into_iter().enumerate())
        .map(|(index, item)| async move { (index, work(item).await) })
        // Not `buffered`: a slow first item would keep the finished ones' places.
        .buffer_unordered(limit)
        .collect()
        .await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Runs a part of a stream's work on a task of its own, where a panic ends and an immediate stop cuts it.
async fn timed<T: Send + 'static>(
    cx: &StreamContext,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        result = Task::spawn(work).join() => result.and_then(|result| result),
        () = cx.run.stop.immediate() => Err(stopped(cx)),
    };
    cx.progress
        .update(|counts| counts.worked += began.elapsed());
    result.map_err(|error| describe(error, cx))
}

/// Adds what a person needs to find their way.
fn describe(error: Error, cx: &StreamContext) -> Error {
    let mut error = error;
    if error.get("stream").is_none() {
        error = error.context("stream", &cx.key.stream);
    }
    if error.kind() == ErrorKind::Bug && error.get("run").is_none() {
        error = error.context("run", &cx.run.options.run);
    }
    error
}

fn stopped(cx: &StreamContext) -> Error {
    let why = match cx.run.stop.reason() {
        Some(StopReason::Timeout) => "its time limit is over",
        Some(StopReason::FailFast) => "another stream failed",
        _ => "the run was asked to stop",
    };
    Error::new(
        ErrorKind::Cancelled,
        format!("finish `{}`: {why}", cx.key.stream),
    )
    .context("stream", &cx.key.stream)
    .hint("run again: it goes on where this run stopped")
}

/// Asks the source what it offers; empty `only`: everything.
async fn discover(run: &Arc<Run>, only: Vec<StreamName>) -> Result<Catalog> {
    let asked = Arc::clone(run);
    let task = Task::spawn(async move { asked.source.discover(&only).await });
    let result = tokio::select! {
        biased;
        // Nothing was read yet, so there is no state to wait for.
        () = run.stop.requested() => {
            return Err(Error::new(ErrorKind::Cancelled, "read the catalog: the run was asked to stop"));
        }
        result = task.join() => result.and_then(|result| result),
    };
    result.map_err(|error| {
        let error = match error.kind() {
            ErrorKind::Bug => error.context("run", &run.options.run),
            _ => error,
        };
        error.context("source", &run.source_name)
    })
}

/// Refuses a stream that the source does not have and that was never committed: most likely a misspelling,
/// and better found before an hour of reading than after. One that was committed before has vanished at
/// the source, which is its own failure and not the run's.
fn check_names(pipeline: &Pipeline, catalog: &Catalog, chains: &[Result<Chain>]) -> Result<()> {
    for (plan, chain) in pipeline.streams.iter().zip(chains) {
        let name = plan.name.as_str();
        let is_known = catalog.get(name).is_some()
            || named(&catalog.unavailable, name).is_some()
            || named(&catalog.lacking, name).is_some()
            || !matches!(chain, Ok(chain) if !chain.has_head());
        if !is_known {
            return Err(Error::new(
                ErrorKind::Config,
                format!("find stream `{name}` at source `{}`", pipeline.source),
            )
            .context("stream", name)
            .context("source", &pipeline.source)
            .hint(format!(
                "`overlock discover {}` lists its streams",
                pipeline.source
            )));
        }
    }
    Ok(())
}

/// The reason that a list of streams gives for this one.
fn named<'a>(list: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = list.iter().find(|(other, _)| other == name);
    found.map(|(_, reason)| reason.as_str())
}

/// How a stream ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Read,
    /// The account does not have it.
    Skipped,
}

async fn one_stream(
    cx: &StreamContext,
    catalog: &Catalog,
    chain: Chain,
    turn: Turn,
) -> Result<Done> {
    if cx.run.stop.is_requested() {
        return Err(stopped(cx));
    }
    let name = cx.key.stream.as_str();
    let Some(stream) = catalog.get(name) else {
        let lacking = named(&catalog.lacking, name);
        if let Some(reason) = lacking
            && !chain.has_head()
        {
            let reason = overlock_core::text::printable(reason);
            warning(cx, "W0308", format!("nothing to read: {reason}"));
            return Ok(Done::Skipped);
        }
        let error = match named(&catalog.unavailable, name).or(lacking) {
            Some(reason) => Error::new(
                ErrorKind::Permission,
                format!("read `{name}`: {}", overlock_core::text::printable(reason)),
            )
            .hint("give the source's user access to it, or remove it from the pipeline"),
            None => Error::new(
                ErrorKind::NotFound,
                format!("read `{name}`: the source has it no more"),
            )
            .hint("what was committed stays; remove the stream from the pipeline if it is gone for good"),
        };
        return Err(describe(error, cx));
    };
    match timed(cx, sync(cx.clone(), Arc::clone(stream), chain, turn)).await? {
        End::Complete => Ok(Done::Read),
        End::Stopped => Err(stopped(cx)),
    }
}

/// Folds the counts of a stream into its summary and tells about it.
fn summarise(cx: &StreamContext, result: Result<Done, ErrorReport>) -> StreamSummary {
    let counts = cx.progress.counts();
    let status = match result.as_ref().map_err(|error| error.kind) {
        Ok(Done::Skipped) => StreamStatus::Skipped,
        Ok(Done::Read) if counts.rows_committed == 0 => StreamStatus::Empty,
        Ok(Done::Read) => StreamStatus::Ok,
        Err(ErrorKind::Cancelled | ErrorKind::RateLimited) => StreamStatus::Stopped,
        Err(_) => StreamStatus::Failed,
    };
    let summary = StreamSummary {
        stream: cx.key.stream.clone(),
        status,
        mode: counts.mode,
        rows_read: counts.rows_read,
        rows_committed: counts.rows_committed,
        bytes: counts.bytes,
        calls: cx
            .run
            .tally
            .calls_of(&cx.key.stream)
            .saturating_sub(counts.calls_before),
        extra: counts.extra,
        commits: counts.commits,
        head: counts.head,
        millis: millis(counts.worked),
        error: result.err(),
    };
    cx.run.events.emit(Event::StreamFinished {
        summary: summary.clone(),
    });
    summary
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
