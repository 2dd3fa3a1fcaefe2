//! One stream from head to head: recover, read into packages, seal, hand to the committer.
//!
//! The writing half lives here. Reading runs on a task of its own behind a channel of two pages, and
//! committing on another behind a channel of one package, so all three overlap and memory stays bounded:
//! two pages, one row group, and three packages on disk. Whatever blocks goes to a thread of its own.
//!
//! Rows count only once a state covers them: on any failure the package falls back to its last checkpoint,
//! unless everything in it is covered.

use std::sync::Arc;

use overlock_core::{
    Commit, CommitId, Error, ErrorKind, Event, Package, Page, ReadRequest, Result, State, Stream,
    WriteMode, crash_point,
};
use overlock_package::NewPackage;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::commit::{commit, commit_all};
use crate::extra::extra_values;
use crate::pipeline::{Modes, ReadMode, modes, project};
use crate::read::{Arrival, QUEUED_PAGES, Task, read};
use crate::run::{StreamContext, Turn, warning};
use crate::shelf::Draft;
use crate::worker::Worker;

/// Reads of one stream in one run that may end in `Data` or `StateExpired` before the stream fails.
const READS: u32 = 3;

/// What is known about a stream before its source was asked anything.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// The newest commit, after everything sealed was committed.
    head: Option<Commit>,
    /// An open package that builds on it.
    open: Option<Package>,
    /// A sealed package that the destination refused by policy, and those that build on it.
    refused: Option<(Error, Vec<Package>)>,
}

impl Chain {
    /// Whether the stream was ever committed.
    pub(crate) fn has_head(&self) -> bool {
        self.head.is_some()
    }
}

/// How a stream ended, if well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The source had no more.
    Complete,
    /// A stop was asked for.
    Stopped,
}

/// Commits what earlier runs left sealed, without a call to the source.
pub(crate) async fn recover(cx: StreamContext) -> Result<Chain> {
    crash_point!("P1.before_head");
    let head = cx.run.destination.head(&cx.key).await?;
    crash_point!("P1.after_head");
    let id = head.as_ref().map(|head| head.id);
    cx.progress.update(|counts| counts.head = id);
    let (shelf, key) = (Arc::clone(&cx.shelf), cx.key.clone());
    let recovered = cx.run.blocking(move || shelf.recover(&key, id)).await?;
    for message in recovered.warnings {
        warning(&cx, "W0301", message);
    }
    let mut chain = Chain {
        head,
        open: recovered.open,
        refused: None,
    };
    let mut sealed = recovered.sealed.into_iter();
    while let Some(package) = sealed.next() {
        match commit(&cx, &package, true).await {
            Ok(commit) => chain.head = Some(commit),
            Err(error) if error.kind() == ErrorKind::Schema => {
                let mut packages = vec![package];
                packages.extend(sealed);
                packages.extend(chain.open.take());
                chain.refused = Some((error, packages));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(chain)
}

/// Brings the stream up to date.
pub(crate) async fn sync(
    cx: StreamContext,
    stream: Arc<Stream>,
    mut chain: Chain,
    turn: Turn,
) -> Result<End> {
    let wanted = modes(&stream, &cx.settings, cx.run.options.full_refresh)?;
    let stream = project(&stream, &cx.settings)?;
    give_up_refused(&cx, &stream, &mut chain).await?;
    let (open, modes) = continue_open(&cx, &stream, wanted, chain.open.take()).await?;
    cx.progress.update(|counts| counts.mode = modes.write);
    cx.run.events.emit(Event::StreamStarted {
        stream: cx.key.stream.clone(),
        mode: modes.write,
        resumed: open.is_some(),
    });
    let (queue, packages) = mpsc::channel(1);
    let committer = Task::spawn(commit_all(cx.clone(), packages));
    let now = Instant::now();
    let tip = chain.head.map_or(Tip::default(), |head| Tip {
        id: Some(head.id),
        state: head.state,
        complete: head.complete,
    });
    let mut session = Session {
        latest: tip.state.clone(),
        taken: 0,
        uncovered: 0,
        opened: now,
        checkpointed: now,
        draft: None,
        worker: Worker::start()?,
        cx,
        stream,
        modes,
        tip,
        queue,
    };
    let produced = match open {
        Some(package) => session.reopen(package).await,
        None => Ok(()),
    };
    let produced = match produced {
        Ok(()) => session.produce().await,
        Err(error) => Err(error),
    };
    drop(session);
    drop(turn);
    // A failed commit is the cause of whatever the writing half said, so it comes first.
    committer.join().await??;
    produced
}

/// A package that a policy refused stays while nothing has changed; it is read again if it was an empty
/// replacement, which the source may have filled by now, if the stream's columns have changed, or if everything is
/// read again.
async fn give_up_refused(cx: &StreamContext, stream: &Stream, chain: &mut Chain) -> Result<()> {
    let Some((error, packages)) = chain.refused.take() else {
        return Ok(());
    };
    let stale = packages.first().is_none_or(|package| {
        package.manifest.rows() == 0
            || package.manifest.schema.fields() != stream.schema.fields()
            // Everything is read again anyway.
            || cx.run.options.full_refresh
    });
    if !stale {
        return Err(error);
    }
    for package in packages {
        remove(cx, package).await?;
    }
    warning(
        cx,
        "W0306",
        format!("a package that the destination refused is read again: {error}"),
    );
    Ok(())
}

async fn remove(cx: &StreamContext, package: Package) -> Result<()> {
    let shelf = Arc::clone(&cx.shelf);
    cx.run.blocking(move || shelf.remove(&package)).await
}

/// Keeps the open package if it fits what is read now; else drops it, so that its rows are read again.
///
/// An interrupted full refresh goes on even if this run was not asked for one: dropping it would throw
/// hours of work away, and finishing it is what the user asked for before.
async fn continue_open(
    cx: &StreamContext,
    stream: &Stream,
    wanted: Modes,
    open: Option<Package>,
) -> Result<(Option<Package>, Modes)> {
    let Some(package) = open else {
        return Ok((None, wanted));
    };
    let (modes, reason) = fit(cx, stream, wanted, &package);
    let Some(reason) = reason else {
        return Ok((Some(package), modes));
    };
    let manifest = &package.manifest;
    let rows = manifest.rows();
    if rows > 0 {
        warning(
            cx,
            "W0302",
            format!("an open package of {rows} rows is dropped and read again: {reason}"),
        );
    }
    remove(cx, package).await?;
    Ok((None, wanted))
}

/// The modes with which an open package goes on, and why it cannot.
fn fit(
    cx: &StreamContext,
    stream: &Stream,
    wanted: Modes,
    package: &Package,
) -> (Modes, Option<&'static str>) {
    let manifest = &package.manifest;
    let modes = if manifest.mode == WriteMode::Replace {
        Modes {
            read: ReadMode::FullRefresh,
            write: WriteMode::Replace,
        }
    } else {
        wanted
    };
    let reason = if manifest.schema.fields() != stream.schema.fields() {
        Some("the columns of the stream have changed")
    } else if manifest.mode != modes.write
        || manifest.deletes != cx.settings.deletes
        || manifest.primary_key != stream.primary_key
        || manifest.replication_key != stream.replication_key
        || manifest.source != cx.run.source_name
    {
        Some("the settings of the stream have changed")
    } else if manifest.rows() > 0 && manifest.state.is_none() {
        Some("its rows have no state to go on from")
    } else if manifest.mode == WriteMode::Replace
        && stream.primary_key.is_empty()
        && !stream.exact_states
        && manifest.rows() > 0
    {
        Some("without a primary key its rows could come twice")
    } else {
        None
    };
    (modes, reason)
}

/// What [`sync`] will ask the source for, if nothing comes in between.
pub(crate) fn foresee(
    cx: &StreamContext,
    stream: &Arc<Stream>,
    chain: &Chain,
) -> Option<ReadRequest> {
    let wanted = modes(stream, &cx.settings, cx.run.options.full_refresh).ok()?;
    let stream = project(stream, &cx.settings).ok()?;
    let open = chain.open.as_ref().filter(|_| chain.refused.is_none());
    let kept = open.map(|package| (package, fit(cx, &stream, wanted, package)));
    let (modes, open) = match kept {
        Some((package, (modes, None))) => (modes, package.manifest.state.clone()),
        _ => (wanted, None),
    };
    let head = chain.head.as_ref().and_then(|head| head.state.clone());
    Some(ReadRequest {
        stream,
        state: open.or(match modes.read {
            ReadMode::Incremental => head,
            ReadMode::FullRefresh => None,
        }),
        since: cx.settings.since,
        until: cx.run.until,
        filter: cx.settings.filter.clone(),
    })
}

/// The end of the chain of packages: what the next one builds on.
#[derive(Debug, Default)]
struct Tip {
    id: Option<CommitId>,
    state: Option<State>,
    complete: bool,
}

/// How one read ended.
enum Outcome {
    End,
    Stopped,
    Failed(Error),
    /// The committer failed and says why.
    CommitFailed,
}

/// The writing half of a stream.
struct Session {
    cx: StreamContext,
    stream: Arc<Stream>,
    modes: Modes,
    tip: Tip,
    /// Made at the first row or state worth keeping, so that an idle stream leaves no trace.
    draft: Option<Box<dyn Draft>>,
    worker: Worker,
    /// Covers every row but the last `uncovered` ones.
    latest: Option<State>,
    uncovered: u64,
    /// Rows that this run put into `draft`.
    taken: u64,
    opened: Instant,
    checkpointed: Instant,
    queue: mpsc::Sender<Package>,
}

impl Session {
    async fn produce(&mut self) -> Result<End> {
        let mut reads = 1;
        loop {
            let error = match self.read_once().await? {
                Outcome::CommitFailed => return Ok(End::Stopped),
                Outcome::End => {
                    self.finish().await?;
                    return Ok(End::Complete);
                }
                Outcome::Stopped => {
                    self.hand_over().await?;
                    return Ok(End::Stopped);
                }
                Outcome::Failed(error) => error,
            };
            match error.kind() {
                ErrorKind::Bug => return Err(error),
                ErrorKind::StateExpired => self.discard().await?,
                ErrorKind::Data if reads == READS => self.discard().await?,
                ErrorKind::Data => self.keep_covered().await?,
                _ => {
                    self.keep_covered().await?;
                    self.hand_over().await?;
                    return Err(error);
                }
            }
            if reads == READS {
                return Err(error);
            }
            reads += 1;
            warning(
                &self.cx,
                "W0303",
                format!("reading again from the last sure point: {error}"),
            );
        }
    }

    /// Where the next read begins.
    fn start(&self) -> Option<State> {
        let kept = self
            .draft
            .as_ref()
            .and_then(|draft| draft.manifest().state.clone());
        kept.or_else(|| match self.modes.read {
            ReadMode::Incremental => self.tip.state.clone(),
            ReadMode::FullRefresh => None,
        })
    }

    async fn read_once(&mut self) -> Result<Outcome> {
        self.latest = self.start();
        self.uncovered = 0;
        let request = ReadRequest {
            stream: Arc::clone(&self.stream),
            state: self.latest.clone(),
            since: self.cx.settings.since,
            until: self.cx.run.until,
            filter: self.cx.settings.filter.clone(),
        };
        let (sender, mut arrivals) = mpsc::channel(QUEUED_PAGES);
        let source = Arc::clone(&self.cx.run.source);
        let stop = self.cx.run.stop.clone();
        let reader = Task::spawn(read(source, request, stop, sender));
        loop {
            let arrival = tokio::select! {
                biased;
                () = self.queue.closed() => return Ok(Outcome::CommitFailed),
                arrival = arrivals.recv() => arrival,
            };
            let outcome = match arrival {
                Some(Arrival::Page(page)) => {
                    self.take(page).await?;
                    continue;
                }
                Some(Arrival::End) if self.stream.incremental && self.uncovered > 0 => {
                    Outcome::Failed(Error::bug(format!(
                        "finish reading `{}`: the connector gave no state after the last rows",
                        self.stream.name
                    )))
                }
                Some(Arrival::End) => Outcome::End,
                Some(Arrival::Stopped) => Outcome::Stopped,
                Some(Arrival::Failed(error)) => Outcome::Failed(error),
                None => {
                    reader.join().await?;
                    return Err(Error::bug("read on: the reading task ended without a word"));
                }
            };
            reader.join().await?;
            return Ok(outcome);
        }
    }

    /// Writes one page; checkpoints and seals if it brought a state and it is time.
    async fn take(&mut self, page: Page) -> Result<()> {
        let rows = page.batch.num_rows() as u64;
        if rows > 0 {
            let bytes = page.batch.get_array_memory_size() as u64;
            let batch = page.batch;
            let extra = self
                .with_draft(move |draft| {
                    let extra = extra_values(&batch);
                    draft.add_extra_values(extra);
                    draft.write(&batch).map(|()| extra)
                })
                .await?;
            self.taken += rows;
            self.uncovered += rows;
            self.cx.progress.update(|counts| {
                counts.rows_read += rows;
                counts.extra += extra;
            });
            self.cx.run.events.emit(Event::Rows {
                stream: self.cx.key.stream.clone(),
                rows,
                bytes,
                extra,
            });
        }
        let Some(state) = page.state else {
            return Ok(());
        };
        self.latest = Some(state);
        self.uncovered = 0;
        if self.is_seal_due() {
            return self.seal(self.latest.clone(), false).await;
        }
        if self.is_checkpoint_due() {
            self.checkpoint().await?;
        }
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let options = &self.cx.run.options;
        let (rows, bytes) = self.draft.as_ref().map_or((0, 0), |draft| {
            (draft.pending_rows(), draft.pending_bytes())
        });
        let is_late = self.checkpointed.elapsed() >= options.checkpoint_after;
        let is_big = bytes >= options.settings.file_bytes;
        (rows > 0 || self.latest != self.start()) && (is_late || is_big)
    }

    fn is_seal_due(&self) -> bool {
        let options = &self.cx.run.options;
        let Some(draft) = &self.draft else {
            return false;
        };
        // Only a whole full refresh may become visible.
        self.modes.read == ReadMode::Incremental
            && (draft.manifest().rows() + draft.pending_rows() >= options.seal_rows
                || draft.manifest().bytes() + draft.pending_bytes() >= options.seal_bytes
                || self.opened.elapsed() >= options.seal_after)
    }

    async fn checkpoint(&mut self) -> Result<()> {
        let state = self.latest.clone();
        let rows = self
            .with_draft(move |draft| {
                draft.checkpoint(state)?;
                Ok(draft.manifest().rows())
            })
            .await?;
        self.checkpointed = Instant::now();
        self.cx.run.events.emit(Event::Checkpoint {
            stream: self.cx.key.stream.clone(),
            rows,
        });
        Ok(())
    }

    /// The source has no more: seals and hands over unless nothing is new.
    async fn finish(&mut self) -> Result<()> {
        let state = if self.stream.incremental {
            self.latest.clone()
        } else {
            None
        };
        // Where a commit costs money, a state alone is not worth one.
        let is_free = !self.cx.run.destination.is_costly() || self.tip.id.is_none();
        let is_news = self.rows() > 0
            || (state != self.tip.state && is_free)
            // The table must become what the source has, even if that is nothing.
            || self.modes.write == WriteMode::Replace
            // The head says that the read went on; now it has ended.
            || (self.tip.id.is_some() && !self.tip.complete);
        if is_news {
            self.seal(state, true).await
        } else {
            self.discard().await
        }
    }

    /// Stops at a state: seals what an incremental read has, leaves a full refresh open.
    async fn hand_over(&mut self) -> Result<()> {
        if self.modes.read == ReadMode::FullRefresh {
            return self.keep_covered().await;
        }
        if self.rows() > 0 || self.latest != self.tip.state {
            self.seal(self.latest.clone(), false).await
        } else {
            self.discard().await
        }
    }

    /// After a failure: makes durable what a state covers, else falls back to the last checkpoint.
    async fn keep_covered(&mut self) -> Result<()> {
        let Some(draft) = &self.draft else {
            return Ok(());
        };
        let pending = draft.pending_rows();
        if self.uncovered == 0 && self.latest.is_some() {
            if pending > 0 || self.latest != self.start() {
                self.checkpoint().await?;
            }
            return Ok(());
        }
        self.with_draft(|draft| draft.rollback()).await?;
        self.forget(pending);
        self.latest = self.start();
        self.uncovered = 0;
        Ok(())
    }

    /// Drops the open package.
    async fn discard(&mut self) -> Result<()> {
        if let Some(draft) = self.draft.take() {
            let packages = Arc::clone(&self.cx.shelf);
            let remove = move || packages.remove(&draft.into_open()?);
            self.cx.run.writing(&self.worker, remove).await?;
        }
        self.forget(self.taken);
        self.latest = self.start();
        self.uncovered = 0;
        Ok(())
    }

    fn forget(&mut self, rows: u64) {
        self.taken = self.taken.saturating_sub(rows);
        self.cx
            .progress
            .update(|counts| counts.rows_read = counts.rows_read.saturating_sub(rows));
    }

    fn rows(&self) -> u64 {
        self.draft
            .as_ref()
            .map_or(0, |draft| draft.manifest().rows() + draft.pending_rows())
    }

    async fn reopen(&mut self, package: Package) -> Result<()> {
        let packages = Arc::clone(&self.cx.shelf);
        self.draft = Some(
            self.cx
                .run
                .writing(&self.worker, move || packages.reopen(package))
                .await?,
        );
        Ok(())
    }

    /// Closes the package and gives it to the committer; waits while an earlier one is in the queue.
    async fn seal(&mut self, state: Option<State>, complete: bool) -> Result<()> {
        let expected = self.rows();
        self.with_draft(|_| Ok(())).await?;
        let Some(draft) = self.draft.take() else {
            return Err(Error::bug("seal a package that is not open"));
        };
        let sealed_state = state.clone();
        let seal = move || draft.seal(sealed_state, complete);
        let package = self.cx.run.writing(&self.worker, seal).await?;
        let manifest = &package.manifest;
        if manifest.rows() != expected || manifest.rows_read != expected {
            return Err(Error::bug(format!(
                "seal a package: {expected} rows were read, {} written, {} counted",
                manifest.rows(),
                manifest.rows_read
            )));
        }
        self.taken = 0;
        self.tip = Tip {
            id: Some(manifest.id),
            state,
            complete,
        };
        self.opened = Instant::now();
        self.checkpointed = self.opened;
        self.cx.run.events.emit(Event::Sealed {
            stream: self.cx.key.stream.clone(),
            id: manifest.id,
            rows: manifest.rows(),
            bytes: manifest.bytes(),
        });
        // If the committer is gone, its own error is the one to report.
        drop(self.queue.send(package).await);
        Ok(())
    }

    /// Runs blocking work on the open package, which is made if there is none.
    async fn with_draft<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut dyn Draft) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let draft = self.draft.take();
        if draft.is_none() {
            self.opened = Instant::now();
            self.checkpointed = self.opened;
        }
        let new = NewPackage {
            parent: self.tip.id,
            key: self.cx.key.clone(),
            source: self.cx.run.source_name.clone(),
            mode: self.modes.write,
            deletes: self.cx.settings.deletes,
            primary_key: self.stream.primary_key.clone(),
            replication_key: self.stream.replication_key.clone(),
            schema: Arc::clone(&self.stream.schema),
            started: self.cx.run.clock.now(),
            until: self.cx.run.until,
        };
        let packages = Arc::clone(&self.cx.shelf);
        let step = move || {
            let mut draft = match draft {
                Some(draft) => draft,
                None => packages.create(new)?,
            };
            let result = work(&mut *draft);
            Ok((draft, result))
        };
        let (draft, result) = self.cx.run.writing(&self.worker, step).await?;
        self.draft = Some(draft);
        result
    }
}
