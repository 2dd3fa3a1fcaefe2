//! Tables that only Data Query has: SQL jobs, counted before they are read.
//!
//! A live query gives half a million rows and reads ten million of each table; what is more is refused, or cut without
//! a word. So each part of a table is counted first and halved until it is small enough: by time, inside a second by
//! Id. Its rows then have to be as many as the job says, each inside its window, no Id twice.
//!
//! What it does not do: read the warehouse copy, which is hours old and costs credits, or find deletions in tables that
//! have no column `deleted`.
//!
//! **Invariant:** the mark of a window moves only after all parts of it were counted, read and proven so.

mod file;
mod job;
mod slice;
mod sql;
mod table;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use overlock_core::{Error, ErrorKind, ReadRequest, Result, State, Timestamp, crash_point};
use overlock_kit::files;
use overlock_kit::out::Out;
use overlock_kit::rows::{Counts, JsonDecoder, Options, timestamp};
use serde_json::Value;

use self::file::{Fetch, array, few};
use self::job::Finished;
use self::slice::{Seen, Slice};
use self::sql::Shape;
use super::check::{check_window, compact, fill_in};
use crate::errors::Meaning;
use crate::ids::Bag;
use crate::limits;
use crate::source::Zuora;
use crate::state::Position;

pub(crate) use self::job::TableJobs;
pub(crate) use self::table::{Table, is_name};

/// The tables that are no objects of AQuA.
///
/// # Errors
/// What Zuora says.
pub(crate) async fn extra(source: &Zuora, objects: &[&str]) -> Result<Vec<String>> {
    let rows = few(source, None, source.first_entity(), "SHOW TABLES").await?;
    let all: Vec<String> = rows
        .iter()
        .filter_map(|row| row.values().next()?.as_str().map(ToOwned::to_owned))
        .collect();
    let mut names: Vec<String> = all
        .iter()
        .filter(|name| is_name(name) && !table::is_object(name, objects, &all))
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Asks for a table; `None` if there is none of this name.
///
/// # Errors
/// What Zuora says; `Data` if it has no columns.
pub(crate) async fn describe(source: &Zuora, name: &str) -> Result<Option<Table>> {
    let sql = format!("DESCRIBE {}", sql::name(name));
    let rows = match few(source, None, source.first_entity(), &sql).await {
        Ok(rows) => rows,
        Err(error) if Meaning::of(&error) == Some(Meaning::Gone) => return Ok(None),
        Err(error) => return Err(error),
    };
    let table = Table::described(name, &rows);
    if table.columns.is_empty() {
        return Err(Error::new(
            ErrorKind::Data,
            format!("describe the table `{name}`: Zuora names no columns"),
        ));
    }
    Ok(Some(table))
}

/// Reads a table.
///
/// # Errors
/// What Zuora says; `Data` if what came cannot be proven to be what was asked for.
pub(crate) async fn read(
    source: &Zuora,
    table: &Table,
    request: &ReadRequest,
    out: &mut Out,
) -> Result<()> {
    let upper = super::upper(source, request.until).await?;
    let mut position = super::position(source, request)?;
    // Parts of windows are of no use here: what is delivered of them is read again.
    position.inside = None;
    let mut reader = Reader {
        source,
        table,
        request,
        key: table.key().filter(|_| table.is_incremental()),
        position,
        told: Counts::default(),
    };
    reader.run(upper, out).await?;
    out.taken().await
}

/// One read of one table.
struct Reader<'a> {
    source: &'a Zuora,
    table: &'a Table,
    request: &'a ReadRequest,
    /// The column that windows are cut by.
    key: Option<&'a str>,
    position: Position,
    /// What was odd in the rows so far.
    told: Counts,
}

impl Reader<'_> {
    fn state(&self) -> Result<Option<State>> {
        self.position.write().map(Some)
    }

    fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(&self.request.stream.schema))
    }

    async fn run(&mut self, upper: Timestamp, out: &mut Out) -> Result<()> {
        if self.position.done && self.key.is_none() {
            let state = self.state()?;
            return out.page(self.empty(), state).await;
        }
        for entity in self.source.tuning().entities.clone() {
            let todo = match self.key {
                Some(_) => self.windows(&entity, upper),
                None => VecDeque::from([Slice::whole()]),
            };
            self.drain(todo, &entity, out).await?;
        }
        self.position.done = self.key.is_none();
        let state = self.state()?;
        out.page(self.empty(), state).await
    }

    /// What is new of an entity, in windows of the length that the settings allow.
    fn windows(&self, entity: &str, upper: Timestamp) -> VecDeque<Slice> {
        let tuning = self.source.tuning();
        let mark = self.position.mark(entity);
        let start = self.request.since.or(tuning.start_date);
        let mut lower = mark
            .map(|mark| mark.minus(tuning.overlap))
            .max(start)
            .map(Timestamp::floor_second);
        let mut windows = VecDeque::new();
        if mark.is_some_and(|mark| mark >= upper) || lower.is_some_and(|lower| lower >= upper) {
            return windows;
        }
        // Without a beginning there would be years of empty windows, each of them a job; what is too much is halved.
        while let (Some(begin), Some(step)) = (lower, tuning.window) {
            let end = begin.plus(step);
            if end >= upper {
                break;
            }
            windows.push_back(Slice::window(lower, end));
            lower = Some(end);
        }
        windows.push_back(Slice::window(lower, upper));
        windows
    }

    /// Reads slices, and the halves of those that are too much; the end of a window moves the mark.
    async fn drain(
        &mut self,
        mut todo: VecDeque<Slice>,
        entity: &str,
        out: &mut Out,
    ) -> Result<()> {
        while let Some(slice) = todo.pop_front() {
            if let Some([first, second]) = self.deliver(&slice, entity, out).await? {
                tracing::debug!(stream = %self.request.stream.name, ?first, ?second, "A slice is halved.");
                todo.push_front(second);
                todo.push_front(first);
                continue;
            }
            if let (Some(upper), true) = (slice.upper, slice.ends_window) {
                self.position.advance(entity, upper);
                let state = self.state()?;
                out.page(self.empty(), state).await?;
                crash_point!("S3.after_page");
            }
        }
        Ok(())
    }

    /// Delivers the rows of a slice, or its halves if they are too many.
    async fn deliver(
        &mut self,
        slice: &Slice,
        entity: &str,
        out: &mut Out,
    ) -> Result<Option<[Slice; 2]>> {
        let counted = match self.count(slice, entity).await {
            Ok(counted) => counted,
            Err(error) => return self.halve(slice, None, error).map(Some),
        };
        if counted.rows == 0 {
            return Ok(None);
        }
        if counted.rows >= limits::DATA_QUERY_ROWS {
            let error = too_many(counted.rows);
            return self.halve(slice, Some(&counted), error).map(Some);
        }
        let job = match self.ask(slice, entity).await {
            Ok(job) => job,
            Err(error) => return self.halve(slice, Some(&counted), error).map(Some),
        };
        if job.rows >= limits::DATA_QUERY_ROWS {
            let error = too_many(job.rows);
            return self.halve(slice, Some(&counted), error).map(Some);
        }
        // The two saw different moments: rows leave a window when they change, and come late. If there are more than the
        // result has, it was cut, whatever the limit is.
        if job.rows != counted.rows {
            let again = match self.count(slice, entity).await {
                Ok(again) => again,
                Err(error) => return self.halve(slice, Some(&counted), error).map(Some),
            };
            if job.rows < again.rows {
                let error = Error::new(
                    ErrorKind::Data,
                    format!(
                        "believe the result of a Data Query: there are {} rows, and it has {}",
                        again.rows, job.rows
                    ),
                );
                let error = Meaning::TooLarge.mark(error);
                return self.halve(slice, Some(&again), error).map(Some);
            }
        }
        let stream = &self.request.stream.name;
        self.source.client().expect(stream, job.rows);
        self.fetch(slice, entity, job, out).await?;
        Ok(None)
    }

    /// The halves of a slice that is too much; the error if it is not about that, or there are none.
    fn halve(&self, slice: &Slice, seen: Option<&Seen>, error: Error) -> Result<[Slice; 2]> {
        if Meaning::of(&error) != Some(Meaning::TooLarge) {
            return Err(error);
        }
        let has_ids = self.table.id().is_some();
        slice.halves(has_ids, seen).ok_or_else(|| {
            error.hint(if has_ids {
                "Data Query has a limit of rows, and the smallest part that can be asked for is above it: report this"
            } else {
                "Data Query has a limit of rows, and a table without a text column `id` cannot be read in parts: narrow it with `filter`"
            })
        })
    }

    fn is_dropped(&self, column: &str) -> bool {
        self.source.learnt().is_dropped(&self.table.name, column)
    }

    fn shape(&self) -> Shape<'_> {
        let schema = &self.request.stream.schema;
        let is_wanted = |name: &str| {
            schema.index_of(name).is_ok()
                || self.key == Some(name)
                || self.table.id() == Some(name)
                || self.table.deleted() == Some(name)
        };
        let columns = self
            .table
            .offered(self.source.has_entities())
            .filter(|column| is_wanted(&column.name) && !self.is_dropped(&column.name))
            .map(|column| (column.name.as_str(), table::is_instant(&column.kind)))
            .collect();
        Shape {
            table: &self.table.name,
            columns,
            key: self.key,
            id: self.table.id(),
            deleted: self.table.deleted(),
            filter: self.request.filter.as_deref(),
        }
    }

    async fn count(&self, slice: &Slice, entity: &str) -> Result<Seen> {
        let sql = self.shape().count(slice);
        let stream = Some(&self.request.stream.name);
        let rows = few(self.source, stream, entity, &sql).await;
        let rows = rows.inspect_err(|error| {
            // Without its stamp, its Id or its mark of deletion it is another table: the next run asks what it is now.
            if Meaning::of(error) == Some(Meaning::UnknownField) {
                self.source.descriptions().doubt(&self.table.name);
            }
        })?;
        let [row] = rows.as_slice() else {
            return Err(Error::new(
                ErrorKind::Data,
                format!("count rows: the answer has {} rows, not one", rows.len()),
            ));
        };
        let found = row.get("rows_found").and_then(Value::as_u64);
        let text = |name: &str| row.get(name)?.as_str().map(ToOwned::to_owned);
        let stamp = |name: &str| {
            let micros = timestamp(row.get(name)?.as_str()?.as_bytes(), true)?;
            Timestamp::from_micros(micros)
        };
        Ok(Seen {
            rows: found.ok_or_else(|| {
                Error::new(ErrorKind::Data, "count rows: the answer has no number")
            })?,
            stamps: stamp("first_stamp").zip(stamp("last_stamp")),
            ids: text("first_id").zip(text("last_id")),
        })
    }

    /// Runs the query of a slice; without a column that is gone at Zuora.
    async fn ask(&self, slice: &Slice, entity: &str) -> Result<Finished> {
        loop {
            let sql = self.shape().rows(slice);
            let stream = Some(&self.request.stream.name);
            let error = match job::run(self.source, stream, entity, &sql).await {
                Ok(job) => return Ok(job),
                Err(error) => error,
            };
            if Meaning::of(&error) != Some(Meaning::UnknownField) {
                return Err(error);
            }
            self.drop_column(error)?;
        }
    }

    /// Goes on without a column that Zuora does not know.
    fn drop_column(&self, error: Error) -> Result<()> {
        let field = error.get("field").unwrap_or_default();
        let shape = self.shape();
        // `t.mrr`, where the query said `mrr`.
        let name = field.rsplit('.').next().unwrap_or(field).trim_matches('"');
        let column = shape
            .columns
            .iter()
            .map(|(column, _)| *column)
            .find(|column| column.eq_ignore_ascii_case(name));
        // Without one of these, rows would be missed.
        let needed = [shape.key, shape.id, shape.deleted];
        let Some(column) = column.filter(|column| !needed.contains(&Some(*column))) else {
            self.source.descriptions().doubt(&self.table.name);
            return Err(error);
        };
        if !self.source.learnt().drop_field(&self.table.name, column) {
            return Err(error);
        }
        self.source.descriptions().doubt(&self.table.name);
        self.source.client().drift(
            &self.request.stream.name,
            format!("column {column} is left out of this run: Zuora says that there is none"),
        );
        Ok(())
    }

    /// Delivers the rows of a result.
    async fn fetch(
        &mut self,
        slice: &Slice,
        entity: &str,
        job: Finished,
        out: &mut Out,
    ) -> Result<()> {
        let stream = Arc::clone(&self.request.stream);
        let schema = Arc::clone(&stream.schema);
        let folder = files::fingerprint(stream.name.as_str());
        let mut ids = Bag::new(&self.source.shelves().join(folder));
        let mut decoder = Some(JsonDecoder::new(Arc::clone(&schema), self.options())?);
        let mut fetch = Fetch::new(self.source, Some(&stream.name), entity, job);
        while let Some(block) = fetch.next().await? {
            let Some(mut json) = decoder.take() else {
                return Err(Error::bug("decode rows without a decoder"));
            };
            let work = move || {
                let mut batches = Vec::new();
                let counts = json.page(&array(&block), &mut batches);
                (json, block, counts, batches)
            };
            let done = tokio::task::spawn_blocking(work).await;
            let (json, block, counts, batches) =
                done.map_err(|error| Error::bug("decode rows of a result").source(error))?;
            decoder = Some(json);
            let counts = match counts {
                Ok(counts) => counts,
                Err(error) if error.kind() == ErrorKind::Data => {
                    fetch.again(error).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            fetch.take(&block, counts.rows);
            self.told += counts;
            for batch in batches {
                let batch = self.inspect(slice, &batch, entity, &mut ids)?;
                out.page(batch, None).await?;
            }
        }
        self.tell_oddities();
        if self.table.id().is_none() {
            return Ok(());
        }
        let sorted = move || ids.sorted()?.repeated();
        match super::blocking(sorted).await? {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ErrorKind::Data,
                "believe a result: an Id is in it twice",
            )),
        }
    }

    fn options(&self) -> Options {
        Options {
            deleted_from: self.table.deleted().map(ToOwned::to_owned),
            // Instants are asked for in UTC.
            zoneless_is_utc: true,
            ..Options::default()
        }
    }

    /// Looks at each row, and fills in what results do not have.
    fn inspect(
        &self,
        slice: &Slice,
        batch: &RecordBatch,
        entity: &str,
        seen: &mut Bag,
    ) -> Result<RecordBatch> {
        check_window(batch, self.key, slice.lower, slice.upper)?;
        let schema = batch.schema();
        let at = |name: &str| schema.index_of(name).ok();
        let ids = self.table.id().and_then(at);
        if let Some(ids) = ids.and_then(|at| batch.column(at).as_string_opt::<i32>()) {
            for id in ids {
                let id = id
                    .ok_or_else(|| Error::new(ErrorKind::Data, "tell rows apart: one has no Id"))?;
                seen.add(&compact(id), 0, 0)?;
            }
        } else if self.table.id().is_some() {
            return Err(Error::bug("read rows without an Id"));
        }
        let entity = self.source.has_entities().then_some(entity);
        fill_in(batch, self.table.deleted(), entity)
    }

    fn tell_oddities(&mut self) {
        let counts = std::mem::take(&mut self.told);
        let stream = Some(&self.request.stream.name);
        let client = self.source.client();
        if counts.extra_values > 0 {
            client.warn(
                "W0702",
                stream,
                format!(
                    "{} values do not fit their columns and are kept, as they are, in `_extra`",
                    counts.extra_values
                ),
            );
        }
        if counts.lossy_strings > 0 {
            client.warn(
                "W0705",
                stream,
                format!(
                    "{} texts were not UTF-8 and have U+FFFD in them",
                    counts.lossy_strings
                ),
            );
        }
    }
}

fn too_many(rows: u64) -> Error {
    Meaning::TooLarge.mark(Error::new(
        ErrorKind::Unavailable,
        format!(
            "read {rows} rows by one Data Query: it gives fewer than {}",
            limits::DATA_QUERY_ROWS
        ),
    ))
}
