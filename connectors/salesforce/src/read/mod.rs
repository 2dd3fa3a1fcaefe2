//! Reading one stream: which slices, by which way, and what is remembered between them.
//!
//! A read is a queue of slices (half-open windows of stamps, or the whole object). Each slice is
//! *prepared* (a REST query that turns out small, or a Bulk job that is waited for) and then *delivered*
//! page by page. Several may be in preparation at once; delivery is in order, so that the state stays one
//! value. A slice that is too much for the server is halved by time, at last by Id.
//!
//! **Invariant:** the state moves to the end of a window only after all of its rows were yielded.

mod bulk;
mod jobs;
mod rest;
mod wide;
mod windows;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::SchemaRef;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use overlock_core::{
    BoxStream, Error, ErrorKind, Page, ReadRequest, Result, State, Stream, Timestamp, stream,
};
use overlock_kit::rows;

use self::jobs::Guard;
pub(crate) use self::jobs::{JOB_PLACE_WAIT, JobsDone, Orphans, discard};
use crate::api::{self, Direction, Select};
use crate::client::{Client, shared_key};
use crate::describe::Object;
use crate::errors::Meaning;
use crate::limits;
use crate::source::Salesforce;
use crate::state::{JobAt, Position, QueryAt, Slice};
use crate::streams::{self, IS_DELETED};
use overlock_kit::out::{Out, pages};

/// Reads a stream.
pub(crate) fn read(source: &Salesforce, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
    pages(move |mut out| async move {
        source.sweep().await;
        let name = request.stream.name.clone();
        let result = async {
            let reader = Reader::new(source, &request).await?;
            reader.run(&request, &mut out).await
        }
        .await;
        if result.is_err() {
            source.sweep().await;
        }
        result.map_err(|error| {
            error
                .context("stream", &name)
                .while_doing(format!("read `{name}`"))
        })
    })
}

/// One read of one stream.
struct Reader<'a> {
    source: &'a Salesforce,
    stream: Arc<Stream>,
    /// Field that windows are cut by, and whether it may be null.
    key: Option<(String, bool)>,
    filter: Option<String>,
    /// Fields that are asked for; shrinks when the server no longer knows one.
    fields: Mutex<Arc<Vec<String>>>,
    rest_only: AtomicBool,
    described_again: AtomicBool,
    /// Decodes result pages.
    decoding: rows::DecodeThread,
    warned: Warned,
}

/// What was said already; each thing is said once per read.
#[derive(Default)]
struct Warned {
    missing: AtomicBool,
    lossy: AtomicBool,
}

/// A slice to be read.
struct Todo {
    slice: Slice,
    /// Goes on with work of an earlier run.
    resume: Option<Work>,
    /// How often its range of Ids was halved.
    id_splits: u32,
    /// A job over a larger slice was aborted at the source.
    aborted: bool,
}

impl Todo {
    fn new(slice: Slice) -> Self {
        Self {
            slice,
            resume: None,
            id_splits: 0,
            aborted: false,
        }
    }
}

/// What came of preparing a slice.
enum Prepared {
    Ready(Box<(Slice, Work)>),
    Halves(Box<[Todo; 2]>),
}

/// How a slice is delivered.
enum Work {
    /// From a finished Bulk job.
    Job {
        at: JobAt,
        total: Option<u64>,
        guard: Option<Guard>,
    },
    /// From a job of an earlier run, which may be gone.
    OldJob(JobAt),
    /// From a REST query whose first page is here.
    Query(rest::First),
    /// From a REST query of an earlier run.
    OldQuery(QueryAt),
    /// By REST in several columns' worth of queries.
    Wide,
}

impl<'a> Reader<'a> {
    async fn new(source: &'a Salesforce, request: &ReadRequest) -> Result<Self> {
        let stream = Arc::clone(&request.stream);
        let object = source.discovery().one(stream.name.as_str(), false).await?;
        source.discovery().note_drift(&stream.name, &object);
        let fields = selected(&stream, &object);
        let names: Vec<&str> = fields.iter().map(String::as_str).collect();
        let learnt = source.discovery().verdict(&object.name);
        let rest_only =
            !streams::fits_bulk(&object, &names) || learnt.is_some_and(|verdict| verdict.rest_only);
        let key = stream.replication_key.as_ref().map(|key| {
            let nullable = object.field(key).is_some_and(|field| field.nillable);
            (key.clone(), nullable)
        });
        if let Some((key, _)) = &key
            && object.field(key).is_none()
        {
            return Err(lost_key(key));
        }
        Ok(Self {
            source,
            stream,
            key,
            filter: request.filter.clone(),
            fields: Mutex::new(Arc::new(fields)),
            rest_only: AtomicBool::new(rest_only),
            described_again: AtomicBool::new(false),
            decoding: rows::DecodeThread::start()?,
            warned: Warned::default(),
        })
    }

    fn client(&self) -> &'a Client {
        self.source.client()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.stream.schema)
    }

    fn fields(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.fields.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn options(&self) -> rows::Options {
        let has_deleted = self.stream.schema.field_with_name(stream::DELETED).is_ok();
        rows::Options {
            deleted_from: has_deleted.then(|| IS_DELETED.to_owned()),
            skip_keys: vec!["attributes".to_owned()],
            ..rows::Options::default()
        }
    }

    fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(self.schema())
    }

    fn conditions(&self, slice: &Slice) -> Vec<String> {
        let mut conditions = match &self.key {
            Some((key, _)) => api::window(key, slice.lower, slice.upper, slice.nulls),
            None => Vec::new(),
        };
        conditions.extend(api::id_range(
            slice.after.as_deref(),
            slice.through.as_deref(),
        ));
        conditions.extend(self.filter.as_ref().map(|filter| format!("({filter})")));
        conditions
    }

    fn select<'f>(&'f self, slice: &Slice, fields: &'f [String]) -> Select<'f> {
        Select {
            fields: fields.iter().map(String::as_str).collect(),
            object: self.stream.name.as_str(),
            conditions: self.conditions(slice),
            ..Select::default()
        }
    }

    /// A position in this org, to go on from.
    fn state(&self, position: &Position) -> Result<State> {
        let mut position = position.clone();
        if let Some(org) = self.client().org() {
            position.org = Some(org.to_owned());
        }
        position.write()
    }

    async fn run(&self, request: &ReadRequest, out: &mut Out) -> Result<()> {
        let position = Position::read(request.state.as_ref())?;
        let now = self.client().server_now().await?;
        position.check_future(now)?;
        position.check_org(self.client().org())?;
        let job = position.job.as_ref().map(|job| job.id.as_str());
        let done = self.source.jobs_done();
        done.delete(self.client(), &self.stream.name, job).await;
        if position.done {
            return out.page(self.empty(), Some(self.state(&position)?)).await;
        }
        let upper = request
            .until
            .min(now.minus(self.source.tuning().settle))
            .floor_second();
        let mut from = position.from;
        let mut todo = self.plan(&position, request.since, upper).await?;
        let mut flight = FuturesOrdered::new();
        let mut delivered = false;
        loop {
            while flight.len() < self.source.tuning().max_concurrent_jobs {
                let Some(next) = todo.next() else { break };
                flight.push_back(self.prepare(next));
            }
            let Some(prepared) = flight.next().await else {
                break;
            };
            match prepared? {
                Prepared::Ready(ready) => {
                    let (slice, work) = *ready;
                    from = self.deliver(slice, work, from, out).await?;
                    delivered = true;
                }
                Prepared::Halves(halves) => {
                    let [first, second] = *halves;
                    flight.push_front(self.prepare(second));
                    flight.push_front(self.prepare(first));
                }
            }
        }
        if !delivered {
            let state = self.state(&Position::at(from))?;
            out.page(self.empty(), Some(state)).await?;
        }
        out.taken().await
    }

    /// The slices of this read, oldest first.
    async fn plan(
        &self,
        position: &Position,
        since: Option<Timestamp>,
        upper: Timestamp,
    ) -> Result<Box<dyn Iterator<Item = Todo> + Send>> {
        let mut first = VecDeque::new();
        if let Some(slice) = &position.slice {
            let resume = match (&position.job, &position.query) {
                (Some(job), _) => Some(Work::OldJob(job.clone())),
                (None, Some(query)) => Some(Work::OldQuery(query.clone())),
                (None, None) => None,
            };
            first.push_back(Todo {
                resume,
                ..Todo::new(slice.clone())
            });
        }
        let Some((_, nullable)) = self.key else {
            if first.is_empty() {
                first.push_back(Todo::new(Slice::default()));
            }
            return Ok(Box::new(first.into_iter()));
        };
        let tuning = self.source.tuning();
        let since = since.or(tuning.start_date).map(Timestamp::floor_second);
        // After a slice of an earlier run, too, some rows may have become visible late.
        let reached = match &position.slice {
            Some(slice) => slice.upper.max(position.from),
            None => position.from,
        };
        let lower = match reached {
            Some(reached) => Some(reached.minus(tuning.lookback).floor_second()).max(since),
            None => since,
        };
        if reached.is_some_and(|reached| reached >= upper) {
            return Ok(Box::new(first.into_iter()));
        }
        let mut oldest = None;
        if lower.is_none() && tuning.window.is_some() && first.is_empty() {
            oldest = self.oldest().await?;
        }
        let mut nulls = nullable && first.is_empty();
        let windows = windows::cut(lower, upper, tuning.window, oldest).map(move |mut slice| {
            slice.nulls = std::mem::take(&mut nulls);
            Todo::new(slice)
        });
        Ok(Box::new(first.into_iter().chain(windows)))
    }

    /// The oldest stamp of the object; `None` if there is none or the server takes too long to say.
    async fn oldest(&self) -> Result<Option<Timestamp>> {
        let Some((key, _)) = &self.key else {
            return Ok(None);
        };
        let mut conditions = vec![format!("{key} != null")];
        conditions.extend(self.conditions(&Slice::default()));
        let select = Select {
            fields: vec![key],
            object: self.stream.name.as_str(),
            conditions,
            order_by: Some((key, Direction::Up)),
            limit: Some(1),
        };
        match rest::first_text(self, &select.to_soql(), key).await {
            Ok(found) => Ok(found.and_then(|text| {
                let micros = rows::timestamp(text.as_bytes(), true)?;
                Timestamp::from_micros(micros).map(Timestamp::floor_second)
            })),
            Err(error) if Meaning::of(&error) == Some(Meaning::TooSlow) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, todo: Todo) -> Result<Prepared> {
        if let Some(work) = todo.resume {
            return Ok(Prepared::Ready(Box::new((todo.slice, work))));
        }
        loop {
            let fields = self.fields();
            let error = match self.begin(&todo.slice, &fields).await {
                Ok(work) => return Ok(Prepared::Ready(Box::new((todo.slice, work)))),
                Err(error) => error,
            };
            match Meaning::of(&error) {
                Some(Meaning::TooSlow) => return self.halve(todo, error).await,
                Some(Meaning::UnknownField) => self.drop_fields(error, &fields).await?,
                Some(Meaning::NotByBulk | Meaning::NotByBulkField | Meaning::BulkDisabled)
                    if !self.rest_only.swap(true, Ordering::Relaxed) =>
                {
                    self.source
                        .discovery()
                        .learn(self.stream.name.as_str(), true, &error);
                }
                Some(Meaning::Unreadable | Meaning::UnknownObject) => {
                    if self.filter.is_some() {
                        return Err(error.hint("look at the stream's filter first: Salesforce refuses the query as it stands"));
                    }
                    self.source
                        .discovery()
                        .learn(self.stream.name.as_str(), false, &error);
                    return Err(error);
                }
                _ => return Err(error),
            }
        }
    }

    /// Chooses the way: REST where the answer is small or Bulk is impossible, else Bulk.
    async fn begin(&self, slice: &Slice, fields: &[String]) -> Result<Work> {
        let soql = self.select(slice, fields).to_soql();
        let path = self.client().version().query_all(&soql);
        let fits_rest = path.len() <= self.source.tuning().max_query_bytes;
        if self.rest_only.load(Ordering::Relaxed) {
            if !fits_rest {
                return Ok(Work::Wide);
            }
            return match rest::first(self, &path).await {
                Err(error) if Meaning::of(&error) == Some(Meaning::TooWide) => Ok(Work::Wide),
                first => first.map(Work::Query),
            };
        }
        let below = self.source.tuning().rest_below_rows;
        if below > 0 && fits_rest {
            // One call answers both questions: how many rows, and, if few, which.
            match rest::first(self, &path).await {
                Ok(first) if first.total < below => return Ok(Work::Query(first)),
                Ok(_) => {}
                Err(error)
                    if matches!(
                        Meaning::of(&error),
                        Some(Meaning::TooSlow | Meaning::TooWide)
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        bulk::begin(self, &soql).await
    }

    /// Two halves of a slice that was too much, or the error if it cannot be halved.
    async fn halve(&self, todo: Todo, error: Error) -> Result<Prepared> {
        let aborted = error.get("job_state") == Some("Aborted");
        if aborted && todo.aborted {
            return Err(error);
        }
        let halves = windows::halve_time(&todo.slice);
        let by_id = halves.is_none();
        let halves = match halves {
            Some(halves) => Some(halves),
            None if todo.id_splits < limits::MAX_ID_SPLITS => self.halve_ids(&todo.slice).await?,
            None => None,
        };
        let Some(halves) = halves else {
            return Err(error);
        };
        tracing::debug!(stream = %self.stream.name, by_id, "Slice is halved.");
        let halves = halves.map(|slice| Todo {
            slice,
            resume: None,
            id_splits: todo.id_splits + u32::from(by_id),
            aborted: aborted || todo.aborted,
        });
        Ok(Prepared::Halves(Box::new(halves)))
    }

    async fn halve_ids(&self, slice: &Slice) -> Result<Option<[Slice; 2]>> {
        if !self.fields().iter().any(|field| field == "Id") {
            return Ok(None);
        }
        let mut ends = Vec::new();
        for direction in [Direction::Up, Direction::Down] {
            let select = Select {
                fields: vec!["Id"],
                object: self.stream.name.as_str(),
                conditions: self.conditions(slice),
                order_by: Some(("Id", direction)),
                limit: Some(1),
            };
            ends.push(rest::first_text(self, &select.to_soql(), "Id").await?);
        }
        let [Some(smallest), Some(largest)] = ends.as_slice() else {
            return Ok(None);
        };
        Ok(windows::halve_ids(slice, smallest, largest))
    }

    /// Looks again at the object after the server refused a field, and goes on without what is gone.
    async fn drop_fields(&self, error: Error, used: &Arc<Vec<String>>) -> Result<()> {
        if !Arc::ptr_eq(used, &self.fields()) {
            return Ok(());
        }
        let mut gone: Vec<String> = Vec::new();
        if !self.described_again.swap(true, Ordering::Relaxed) {
            let discovery = self.source.discovery();
            let object = discovery.one(self.stream.name.as_str(), true).await?;
            let is_gone = |field: &&String| object.field(field).is_none();
            gone = used.iter().filter(is_gone).cloned().collect();
            discovery.note_drift(&self.stream.name, &object);
        }
        if gone.is_empty() {
            // Describe and query do not agree: believe the query.
            let named = error.get("field").unwrap_or_default();
            gone.extend(
                used.iter()
                    .find(|field| field.eq_ignore_ascii_case(named))
                    .cloned(),
            );
            for field in &gone {
                let change = format!(
                    "field `{field}` is refused by the query although describe names it; its column gets nulls"
                );
                self.client().drift(&self.stream.name, change);
            }
        }
        if gone.is_empty() {
            return Err(error);
        }
        let key = self.key.as_ref().map(|(key, _)| key.as_str());
        let needed = |field: &&String| {
            Some(field.as_str()) == key || self.stream.primary_key.contains(field)
        };
        if let Some(lost) = gone.iter().find(needed) {
            return Err(lost_key(lost).source(error));
        }
        let left = used
            .iter()
            .filter(|field| !gone.contains(field))
            .cloned()
            .collect();
        *self.fields.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(left);
        Ok(())
    }

    /// Yields all pages of a slice; returns where the stream stands then.
    async fn deliver(
        &self,
        slice: Slice,
        work: Work,
        from: Option<Timestamp>,
        out: &mut Out,
    ) -> Result<Option<Timestamp>> {
        let mut reached = from;
        let after = match (&slice.through, &self.key) {
            (Some(through), _) => {
                let rest = Slice {
                    after: Some(through.clone()),
                    through: None,
                    ..slice.clone()
                };
                Position::at(from).inside(rest, None, None)
            }
            // Within the look-back: a state never goes back, so what is left of it is named.
            (None, Some(_)) if slice.upper < from => {
                let rest = Slice {
                    lower: slice.upper,
                    upper: from,
                    ..Slice::default()
                };
                Position::at(from).inside(rest, None, None)
            }
            (None, Some(_)) => {
                reached = slice.upper;
                Position::at(reached)
            }
            (None, None) => Position::done(),
        };
        let place = Place { from, slice, after };
        match work {
            Work::Job { at, total, guard } => {
                bulk::deliver(self, &place, at, total, guard, out).await?;
            }
            Work::OldJob(at) => {
                let total = bulk::revive(self, &at).await?;
                bulk::deliver(self, &place, at, total, None, out).await?;
            }
            Work::Query(first) => rest::deliver(self, &place, first, out).await?,
            Work::OldQuery(at) => rest::resume(self, &place, at, out).await?,
            Work::Wide => wide::deliver(self, &place, out).await?,
        }
        Ok(reached)
    }

    /// Looks at a batch before it goes out: the counters of the decoder, and keys that are none.
    fn inspect(&self, batch: &RecordBatch, counts: &rows::Counts) -> Result<()> {
        if counts.missing_columns > 0 && !self.warned.missing.swap(true, Ordering::Relaxed) {
            self.client().warn(
                "W0504",
                Some(&self.stream.name),
                format!(
                    "{} columns are missing in what Salesforce sent and are null",
                    counts.missing_columns
                ),
            );
        }
        if counts.lossy_strings > 0 && !self.warned.lossy.swap(true, Ordering::Relaxed) {
            self.client().warn(
                "W0506",
                Some(&self.stream.name),
                "some text was not valid UTF-8; the bytes concerned became U+FFFD",
            );
        }
        let [key] = self.stream.primary_key.as_slice() else {
            return Ok(());
        };
        let constant = batch
            .column_by_name(key)
            .and_then(|column| column.as_string_opt::<i32>())
            .is_some_and(|column| {
                column.len() > 1
                    && column
                        .iter()
                        .filter(|id| *id == Some(limits::CONSTANT_ID))
                        .count()
                        > 1
            });
        if constant {
            return Err(shared_key(key));
        }
        Ok(())
    }
}

/// Where a slice stands in the read.
struct Place {
    /// State before the slice.
    from: Option<Timestamp>,
    slice: Slice,
    /// State after it.
    after: Position,
}

impl Place {
    fn inside(&self, job: Option<JobAt>, query: Option<QueryAt>) -> Position {
        Position::at(self.from).inside(self.slice.clone(), job, query)
    }
}

/// The fields to ask for: the stream's columns that the object still has, and what `_deleted` needs.
fn selected(stream: &Stream, object: &Object) -> Vec<String> {
    let mut fields: Vec<String> = stream
        .schema
        .fields()
        .iter()
        .map(|column| column.name().clone())
        .filter(|name| !name.starts_with('_') && object.field(name).is_some())
        .collect();
    let wants_deleted = stream.schema.field_with_name(stream::DELETED).is_ok();
    if wants_deleted
        && object.field(IS_DELETED).is_some()
        && !fields.iter().any(|field| field == IS_DELETED)
    {
        fields.push(IS_DELETED.to_owned());
    }
    fields
}

fn lost_key(field: &str) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!("read without the field `{field}`, which rows are told apart or found by"),
    )
    .hint("give the user access to the field again, or reset the stream to read it another way")
}
