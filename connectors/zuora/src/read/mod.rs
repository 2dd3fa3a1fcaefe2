//! Reading one stream: which pieces, from which job, and what is remembered between them.
//!
//! The rows of an object that changed in a window are one piece. Usually its query is one of fifty in a job that all
//! streams of the run share; a piece of an earlier run may still have its files at Zuora; and a piece that is too much
//! for Zuora is halved by time, at last read by Id. After the windows come, each when it is due, what windows cannot
//! see: a new field's old values, columns that change in silence, rows that vanished.
//!
//! **Invariant:** the mark of a window moves only after its query was completed, its rows were counted against what
//! Zuora announced, each of them lay inside it, and no Id came twice.

mod check;
mod compare;
mod fetch;
mod pieces;
pub(crate) mod tables;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use overlock_core::{
    BoxStream, Error, ErrorKind, Page, ReadRequest, Result, State, Timestamp, crash_point,
};
use overlock_kit::out::{Out, pages};
use overlock_kit::rows;

use self::fetch::{Fetched, Found, Seen, Wanted};
use self::pieces::{Piece, Target, beginning, smaller, start};
use crate::describe::Object;
use crate::discovery::Offer;
use crate::errors::Meaning;
use crate::ids::Bag;
use crate::jobs::Outcome;
use crate::limits;
use crate::plan::{Place, Plan, Planned};
use crate::source::Zuora;
use crate::state::{Inside, JobAt, Position};

/// Jobs that Zuora aborts without a reason, before it is believed that smaller ones would be aborted, too.
const UNEXPLAINED: u32 = 6;

/// Results that are gone when they are fetched, in one read.
const MOST_GONE: u32 = 3;

/// Reads a stream.
pub(crate) fn read(source: &Zuora, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
    pages(move |mut out| async move {
        let name = request.stream.name.clone();
        let result = match source.descriptions().get(name.as_str()) {
            Some((_, Offer::Object(object))) => {
                read_object(source, &object, &request, &mut out).await
            }
            Some((_, Offer::Table(table))) => {
                tables::read(source, &table, &request, &mut out).await
            }
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("find `{name}`: it was not discovered"),
            )),
        };
        result.map_err(|error| {
            error
                .context("stream", &name)
                .while_doing(format!("read `{name}`"))
        })
    })
}

async fn read_object(
    source: &Zuora,
    object: &Object,
    request: &ReadRequest,
    out: &mut Out,
) -> Result<()> {
    let plan = planned(source, request.until).await?;
    let upper = plan.upper.unwrap_or(request.until);
    let position = position(source, request)?;
    let target = Target::new(source, object, &request.stream, request.filter.as_deref());
    let mut reader = Reader {
        source,
        request,
        decoding: rows::DecodeThread::start()?,
        unexplained: 0,
        position,
        target: Arc::new(target),
        page_end: None,
        emitted: AtomicU64::new(0),
        gone: 0,
    };
    reader.run(&plan, upper, out).await?;
    out.taken().await
}

/// Where the stream stands, if that is a place to go on from.
fn position(source: &Zuora, request: &ReadRequest) -> Result<Position> {
    let stream = &request.stream;
    let client = source.client();
    let mut position = Position::read(request.state.as_ref())?;
    position.check_tenant(&client.tenant())?;
    position.check_future(client.now())?;
    position.check_key(&stream.primary_key)?;
    let wanted = start(source, request);
    if request.state.is_none() {
        position.start = wanted;
    } else if let Some(begun) = position.narrower_start(wanted) {
        client.warn(
            "W0710",
            Some(&stream.name),
            format!("rows from before {begun} are not read, although the settings ask for them by now: `overlock sync --full-refresh` reads them"),
        );
    }
    position.tenant = Some(client.tenant());
    position.key.clone_from(&stream.primary_key);
    Ok(position)
}

/// The jobs of this run; made when the first stream reads.
async fn planned(source: &Zuora, until: Timestamp) -> Result<Arc<Plan>> {
    let foreseen = source.foreseen();
    let fits = |request: &&ReadRequest| request.until == until;
    if !foreseen.requests.iter().any(|request| fits(&request)) {
        let upper = upper(source, until).await?;
        return Ok(Arc::new(Plan::new(upper, Vec::new())));
    }
    let plan = foreseen.plan.get_or_try_init(|| async {
        let upper = upper(source, until).await?;
        let mut planned = Vec::new();
        for request in foreseen.requests.iter().filter(fits) {
            planned.extend(plan_stream(source, request, upper));
        }
        Ok::<_, Error>(Arc::new(Plan::new(upper, planned)))
    });
    Ok(Arc::clone(plan.await?))
}

/// Where windows end.
async fn upper(source: &Zuora, until: Timestamp) -> Result<Timestamp> {
    source.client().ask_time(source.first_entity()).await?;
    let settled = source.client().now().minus(source.tuning().settle);
    Ok(until.min(settled).floor_second())
}

/// The queries of a stream that fit into a job with others: one window for each entity.
fn plan_stream(source: &Zuora, request: &ReadRequest, upper: Timestamp) -> Vec<Planned> {
    let Some((_, Offer::Object(object))) = source.descriptions().get(request.stream.name.as_str())
    else {
        return Vec::new();
    };
    let Ok(mut position) = Position::read(request.state.as_ref()) else {
        // Whoever reads says why.
        return Vec::new();
    };
    if position.inside.is_some() || position.done {
        return Vec::new();
    }
    let target = Target::new(source, &object, &request.stream, request.filter.as_deref());
    let own_job = source
        .tuning()
        .own_jobs
        .iter()
        .any(|name| name.eq_ignore_ascii_case(request.stream.name.as_str()));
    let mut planned = Vec::new();
    for entity in &source.tuning().entities {
        let mut reached = None;
        while let Some(kept) = target.kept(source, request, &position, entity)
            && reached < Some(kept.upper)
        {
            // That comes first, and this job goes on behind it.
            reached = Some(kept.upper);
            position.advance(entity, kept.upper);
        }
        let Some(piece) = target.first_piece(source, request, &position, entity, upper) else {
            continue;
        };
        let is_cut = matches!(
            (source.tuning().window, piece.lower),
            (Some(window), Some(lower)) if upper.since(lower) > window
        ) || (source.tuning().window.is_some() && piece.lower.is_none());
        if is_cut && piece.upper.is_some() {
            continue;
        }
        planned.push(Planned {
            entity: entity.clone(),
            ask: target.ask(&piece),
            state: request.state.clone(),
            own_job,
        });
    }
    planned
}

/// One read of one stream.
struct Reader<'a> {
    source: &'a Zuora,
    request: &'a ReadRequest,
    target: Arc<Target>,
    decoding: rows::DecodeThread,
    /// Jobs that were aborted without a reason, one after the other.
    unexplained: u32,
    position: Position,
    /// The last Id of a page of Ids that was full.
    page_end: Option<String>,
    /// Rows that were delivered.
    emitted: AtomicU64,
    /// Results that were gone when they were fetched.
    gone: u32,
}

/// A piece to be read.
struct Todo {
    piece: Piece,
    from: From,
}

/// Where its rows are.
enum From {
    /// In a job that is still to be made.
    New,
    /// In the job that this stream shares.
    Shared(Place),
    /// In a job of an earlier run.
    Kept {
        job: String,
        query: String,
        files: usize,
        rows: u64,
    },
}

impl Todo {
    fn new(piece: Piece) -> Self {
        Self {
            piece,
            from: From::New,
        }
    }
}

impl Reader<'_> {
    fn start(&self) -> Option<Timestamp> {
        start(self.source, self.request)
    }

    fn state(&self) -> Result<Option<State>> {
        self.position.write().map(Some)
    }

    async fn run(&mut self, plan: &Plan, upper: Timestamp, out: &mut Out) -> Result<()> {
        if self.position.done {
            let state = self.state()?;
            return out.page(self.target.empty(), state).await;
        }
        self.settle_pending().await?;
        let before = self.position.from.values().min().copied();
        let looked = self.looked();
        if before.is_none() && self.position.inside.is_none() {
            self.begin();
        }
        for entity in self.source.tuning().entities.clone() {
            self.read_entity(plan, &entity, upper, out).await?;
        }
        if self.target.key.is_none() {
            self.position.done = true;
            let state = self.state()?;
            return out.page(self.target.empty(), state).await;
        }
        self.look_beyond(before, looked, upper, out).await?;
        self.keep_looked(before, upper);
        let state = self.state()?;
        out.page(self.target.empty(), state).await
    }

    /// The windows of one entity.
    async fn read_entity(
        &mut self,
        plan: &Plan,
        entity: &str,
        upper: Timestamp,
        out: &mut Out,
    ) -> Result<()> {
        let mut todo = VecDeque::new();
        let inside = self.position.inside.clone();
        if let Some(inside) = inside.filter(|inside| inside.entity == entity) {
            todo.push_back(self.go_on(&inside, entity));
            self.drain(&mut todo, entity, out).await?;
        }
        // One after the other, if several runs did not come to their end.
        while let Some(kept) = self
            .target
            .kept(self.source, self.request, &self.position, entity)
        {
            todo.push_back(Todo {
                piece: Piece {
                    lower: kept.lower,
                    upper: Some(kept.upper),
                    ..Piece::default()
                },
                from: From::Kept {
                    job: kept.job,
                    query: kept.query,
                    files: 0,
                    rows: 0,
                },
            });
            self.drain(&mut todo, entity, out).await?;
        }
        let first =
            self.target
                .first_piece(self.source, self.request, &self.position, entity, upper);
        let Some(piece) = first else { return Ok(()) };
        // If something came in between, the state is not the one that was planned with.
        let place = plan
            .place(
                self.target.stream.name.as_str(),
                entity,
                self.request.state.as_ref(),
            )
            .filter(|place| {
                place
                    .ask()
                    .is_some_and(|ask| ask.span == self.target.ask(&piece).span)
            });
        match place {
            Some(place) => todo.push_back(Todo {
                piece,
                from: From::Shared(place),
            }),
            None => todo.extend(self.cut(piece).into_iter().map(Todo::new)),
        }
        self.drain(&mut todo, entity, out).await
    }

    /// The piece that a state stands in.
    fn go_on(&self, inside: &Inside, entity: &str) -> Todo {
        let lower = self
            .position
            .mark(entity)
            .map(|mark| mark.minus(self.source.tuning().overlap))
            .max(self.start())
            .map(Timestamp::floor_second);
        let piece = Piece {
            lower,
            upper: Some(inside.upper),
            after: inside.after.clone(),
            page: inside.after.as_ref().map(|_| limits::ID_PAGE_ROWS),
            ..Piece::default()
        };
        let from = match &inside.job {
            Some(job) => From::Kept {
                job: job.id.clone(),
                query: job.query.clone(),
                files: job.files,
                rows: job.rows,
            },
            None => From::New,
        };
        Todo { piece, from }
    }

    /// Cuts a window by the length that the settings allow.
    fn cut(&self, piece: Piece) -> Vec<Piece> {
        let (Some(step), Some(upper)) = (self.source.tuning().window, piece.upper) else {
            return vec![piece];
        };
        let mut pieces = Vec::new();
        let mut lower = piece.lower;
        loop {
            let begin = lower.unwrap_or(beginning());
            let end = begin.plus(step).min(upper);
            pieces.push(Piece {
                lower,
                upper: Some(end),
                ..piece.clone()
            });
            if end >= upper {
                return pieces;
            }
            lower = Some(end);
        }
    }

    /// Reads pieces, and the halves of those that are too much; each moves the mark.
    async fn drain(
        &mut self,
        todo: &mut VecDeque<Todo>,
        entity: &str,
        out: &mut Out,
    ) -> Result<()> {
        while let Some(Todo { piece, from }) = todo.pop_front() {
            let target = Arc::clone(&self.target);
            let found = self.find(&target, &piece, from, entity).await?;
            let found = match found {
                Step::Found(found) => found,
                Step::Again => {
                    todo.push_front(Todo::new(piece));
                    continue;
                }
                Step::Smaller(pieces) => {
                    push_all(todo, pieces);
                    continue;
                }
            };
            let delivered = self.deliver(&piece, &found, entity, out).await;
            let fetched = match delivered {
                Ok(fetched) => fetched,
                Err(error) => {
                    if error.kind() == ErrorKind::Data {
                        self.source.kept().strike(&found.job, &found.query);
                    }
                    return Err(error);
                }
            };
            match fetched {
                Fetched::Done(_) => {
                    self.source.kept().strike(&found.job, &found.query);
                    if let Some(next) = self.next_page(&piece) {
                        todo.push_front(Todo::new(next));
                    }
                }
                Fetched::Gone => {
                    self.source.kept().forget(&found.job);
                    self.count_gone()?;
                    todo.push_front(Todo::new(piece));
                }
                Fetched::TooLarge(error) => push_all(todo, smaller(&piece).ok_or(error)?),
            }
        }
        Ok(())
    }

    /// A result that is gone is made once more, but not for ever.
    fn count_gone(&mut self) -> Result<()> {
        self.gone += 1;
        if self.gone <= MOST_GONE {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Data,
            "fetch a result file: it is gone at Zuora as soon as it is made, again and again",
        ))
    }

    /// The result of a piece, or what to do instead.
    async fn find(
        &mut self,
        target: &Target,
        piece: &Piece,
        from: From,
        entity: &str,
    ) -> Result<Step> {
        let (skip, rows) = match &from {
            From::Kept { files, rows, .. } => (*files, *rows),
            _ => (0, 0),
        };
        match self.outcome(target, piece, from, entity).await? {
            None => Ok(Step::Again),
            Some(Outcome::Refused(error)) => {
                self.learn(&error);
                Err(error)
            }
            Some(Outcome::TooLarge(error, unexplained)) => {
                self.unexplained += u32::from(unexplained);
                if self.unexplained > UNEXPLAINED {
                    return Err(error.hint("Zuora aborts the query again and again without a reason: ask its support, or leave joins out with `without_joins`"));
                }
                let pieces = smaller(piece).ok_or(error)?;
                tracing::debug!(stream = %target.stream.name, ?pieces, "A piece is made smaller.");
                Ok(Step::Smaller(pieces))
            }
            Some(Outcome::Files {
                job,
                query,
                files,
                deletes,
            }) => {
                self.unexplained = 0;
                Ok(Step::Found(Found {
                    job,
                    query,
                    files,
                    skip,
                    rows,
                    deletes,
                }))
            }
        }
    }

    /// Delivers the files of a window, with a state after each, and moves the mark at the end.
    async fn deliver(
        &mut self,
        piece: &Piece,
        found: &Found,
        entity: &str,
        out: &mut Out,
    ) -> Result<Fetched> {
        let target = Arc::clone(&self.target);
        let mut rows = found.rows;
        let count = found.files.files.len();
        let mut last = None;
        // Over all files, if there are several: each puts its own on the shelf before its state.
        let mut all = Bag::new(&target.shelves);
        for (number, file) in found.files.files.iter().enumerate().skip(found.skip) {
            let is_last = number + 1 == count;
            let expected = is_last.then(|| found.files.rows.saturating_sub(rows));
            let mut seen = Seen::new(&target.shelves);
            let fetched = self
                .fetch(
                    Wanted {
                        target: &target,
                        piece,
                        file,
                        expected,
                        deletes: found.deletes,
                        entity,
                    },
                    &mut seen,
                    Some(out),
                )
                .await?;
            match fetched {
                Fetched::Done(delivered) => rows += delivered,
                _ if number > found.skip => {
                    return Err(Error::new(
                        ErrorKind::Data,
                        "go on with the next file of a job: it is gone at Zuora",
                    ));
                }
                other => return Ok(other),
            }
            last = seen.last.take().or(last);
            let known = target.known(entity);
            let gone = target.gone(entity);
            let (ids, deleted) = (seen.ids, seen.gone);
            let mut copies = all;
            all = blocking(move || {
                if count > 1 {
                    ids.copy_to(&mut copies)?;
                }
                no_repeats(known.add(ids.sorted()?)?)?;
                no_repeats(gone.add(deleted.sorted()?)?)?;
                Ok(copies)
            })
            .await?;
            crash_point!("S5.after_ids");
            if !is_last && piece.page.is_none() {
                let at = JobAt {
                    id: found.job.clone(),
                    query: found.query.clone(),
                    files: number + 1,
                    rows,
                };
                self.note_columns();
                self.position.untold |= !self.is_told();
                self.position.inside = inside(piece, entity, None, Some(at));
                let state = self.state()?;
                out.page(target.empty(), state).await?;
            }
        }
        if rows != found.files.rows {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "balance a query: Zuora announced {} rows and its files have {rows}",
                    found.files.rows
                ),
            ));
        }
        if count > 1 {
            let all = std::mem::replace(&mut all, Bag::new(&target.shelves));
            blocking(move || no_repeats(all.sorted()?.repeated()?)).await?;
        }
        self.page_end = last.filter(|_| piece.page.is_some_and(|page| rows >= page));
        self.note_columns();
        self.position.untold |= !self.is_told();
        if let Some(upper) = piece.upper {
            match &self.page_end {
                Some(after) => {
                    self.position.inside = inside(piece, entity, Some(after.clone()), None);
                }
                None => self.position.advance(entity, upper),
            }
            let state = self.state()?;
            out.page(target.empty(), state).await?;
        }
        Ok(Fetched::Done(rows))
    }

    fn learn(&self, error: &Error) {
        let name = self.target.stream.name.as_str();
        if matches!(
            Meaning::of(error),
            Some(Meaning::Forbidden | Meaning::BadQuery | Meaning::Gone)
        ) && self.target.filter.is_none()
        {
            let now = self.source.client().now();
            self.source.learnt().refused(name, now, &error.to_string());
        }
    }

    /// What came of the query of a piece; `None`: the job that had it is of no use.
    async fn outcome(
        &self,
        target: &Target,
        piece: &Piece,
        from: From,
        entity: &str,
    ) -> Result<Option<Outcome>> {
        let tenant = self.source.tenant();
        match from {
            From::Shared(place) => place.take(&tenant).await,
            From::Kept { job, query, .. } => tenant.revive(entity, &job, &query).await,
            From::New => {
                let asks = [target.ask(piece)];
                Ok(tenant.run(entity, &asks).await?.pop())
            }
        }
    }

    /// The page of Ids that follows; `None` if this was the last, or no page.
    fn next_page(&mut self, piece: &Piece) -> Option<Piece> {
        let after = self.page_end.take()?;
        Some(Piece {
            after: Some(after),
            ..piece.clone()
        })
    }
}

/// What to do for a piece.
enum Step {
    Found(Found),
    /// Ask for it in a job of its own.
    Again,
    /// Ask for these instead.
    Smaller(Vec<Piece>),
}

fn push_all(todo: &mut VecDeque<Todo>, pieces: Vec<Piece>) {
    for piece in pieces.into_iter().rev() {
        todo.push_front(Todo::new(piece));
    }
}

fn no_repeats(twice: Option<String>) -> Result<()> {
    match twice {
        None => Ok(()),
        Some(id) => Err(Error::new(
            ErrorKind::Data,
            format!(
                "believe a result: the Id {} is in it twice",
                overlock_core::text::printable(&id)
            ),
        )),
    }
}

/// Runs work that blocks on a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::bug("finish work on Ids").source(error)),
    }
}

/// A position inside a piece.
fn inside(
    piece: &Piece,
    entity: &str,
    after: Option<String>,
    job: Option<JobAt>,
) -> Option<Inside> {
    Some(Inside {
        entity: entity.to_owned(),
        upper: piece.upper?,
        after,
        job,
    })
}
