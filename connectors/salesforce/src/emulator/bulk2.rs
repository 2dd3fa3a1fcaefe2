//! Bulk API 2.0 query jobs: create, poll, results, result pages, abort, delete, list.
//!
//! A job is checked when it is created and run when it is first looked at after its time has come. Without
//! ORDER BY and LIMIT its rows come chunk by chunk in no particular order, and each chunk sees the
//! world at its own moment between creation and completion, as with PK chunking.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::Method;
use overlock_core::Timestamp;
use overlock_sandbox::{Body, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Refusal, empty, quote};
use super::bench::Selection;
use super::evaluate::{Column, Plan, Reader};
use super::model::{FieldKind, Row};
use super::oauth::user_id;
use super::options::{Behaviour, LatencyClock, Outcome};
use super::query;
use super::render::{CsvStyle, rest_instant};
use super::service::{Ask, Call};
use super::world::World;

/// Jobs and their results live so long.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// First version with `resultPages`, and the last whose locators are numbers.
const RESULT_PAGES_SINCE: u32 = 58;
const NUMERIC_LOCATORS_UNTIL: u32 = 48;

/// Page links per answer of `resultPages`.
const LINKS_PER_ANSWER: usize = 5;

/// Columns that CSV is separated by.
const DELIMITERS: [(&str, char); 6] = [
    ("BACKQUOTE", '`'),
    ("CARET", '^'),
    ("COMMA", ','),
    ("PIPE", '|'),
    ("SEMICOLON", ';'),
    ("TAB", '\t'),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Queued,
    Running,
    Complete,
    Failed(String),
    Aborted,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Queued => "UploadComplete",
            Self::Running => "InProgress",
            Self::Complete => "JobComplete",
            Self::Failed(_) => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    fn is_terminal(&self) -> bool {
        matches!(self, Self::Complete | Self::Failed(_) | Self::Aborted)
    }
}

/// Rows of a completed job.
#[derive(Debug, Clone)]
enum Rows {
    World(Arc<Vec<(Row, Timestamp)>>),
    Bench(Arc<Selection>),
}

impl Rows {
    fn count(&self) -> u64 {
        match self {
            Self::World(rows) => rows.len() as u64,
            Self::Bench(selection) => selection.count(),
        }
    }
}

#[derive(Debug)]
struct Job {
    id: String,
    all: bool,
    plan: Arc<Plan>,
    version: String,
    major: u32,
    style: CsvStyle,
    delimiter: &'static str,
    created: Timestamp,
    created_wall: Instant,
    changed: Timestamp,
    polls: u64,
    state: State,
    fate: Option<Outcome>,
    rows: Option<Rows>,
    /// Borders of pages when the client does not ask for a size, first and last included.
    borders: OnceLock<Arc<Vec<u64>>>,
    pages_served: u64,
}

/// All jobs of the org.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    known: BTreeMap<String, Job>,
    per_object: BTreeMap<String, u64>,
    created: u64,
}

impl Jobs {
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    pub(super) fn states(&self) -> Vec<(String, String)> {
        self.known
            .values()
            .map(|job| (job.id.clone(), job.state.name().to_owned()))
            .collect()
    }
}

/// Answers everything below `/jobs/query`.
pub(super) fn answer(call: &mut Call<'_>, ask: &Ask, path: &[&str]) -> Answer {
    match (ask.method.as_str(), path) {
        ("POST", []) => create(call, ask),
        ("GET", []) => Ok(list(call, ask)),
        ("GET", [id]) => with_job(call, ask, id, |job, _| {
            job.polls += 1;
            Ok(Response::json(200, job.render(true)))
        }),
        ("PATCH", [id]) => abort(call, ask, id),
        ("DELETE", [id]) => delete(call, ask, id),
        ("GET", [id, "results"]) => results(call, ask, id),
        ("GET", [id, "resultPages"]) => result_pages(call, ask, id),
        _ => Err(Refusal::not_found()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    operation: String,
    query: String,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    column_delimiter: Option<String>,
    #[serde(default)]
    line_ending: Option<String>,
}

fn create(call: &mut Call<'_>, ask: &Ask) -> Answer {
    let create: Create = ask
        .json()
        .map_err(|refusal| Refusal::new(400, "INVALIDJOB", refusal.message))?;
    let bad = |message: &str| Refusal::new(400, "INVALIDJOB", message);
    let all = match create.operation.as_str() {
        "query" => false,
        "queryAll" => true,
        _ => return Err(bad("InvalidJob : Unsupported operation for a query job")),
    };
    if create
        .content_type
        .as_deref()
        .is_some_and(|kind| kind != "CSV")
    {
        return Err(bad("InvalidJob : Only CSV is supported as content type"));
    }
    let wanted = create.column_delimiter.as_deref().unwrap_or("COMMA");
    let Some(&(delimiter, character)) = DELIMITERS.iter().find(|known| known.0 == wanted) else {
        return Err(bad("InvalidJob : Unknown column delimiter"));
    };
    let crlf = match create.line_ending.as_deref() {
        None | Some("LF") => false,
        Some("CRLF") => true,
        Some(_) => return Err(bad("InvalidJob : Unknown line ending")),
    };
    let plan = check(call, &create.query)?;
    let used = call.state.quota.bulk_jobs.sum(call.now);
    let most = call.state.behaviour.daily_bulk_jobs;
    if used >= most {
        return Err(Refusal::new(
            400,
            "LIMIT_EXCEEDED",
            format!("Max bulk v2 query jobs ({most}) per 24 hrs has been reached"),
        ));
    }
    let most = call.state.behaviour.daily_bulk_bytes;
    if call.state.quota.bulk_bytes.sum(call.now) >= most {
        return Err(Refusal::new(
            400,
            "LIMIT_EXCEEDED",
            format!(
                "Max bulk v2 query result size stored ({}) kb per 24 hrs has been exceeded",
                most / 1_000
            ),
        ));
    }
    call.state.quota.bulk_jobs.add(call.now, 1);
    let id = call.state.new_id("750");
    let fate = fate(
        &mut call.state.jobs,
        &call.state.behaviour,
        &plan.object.name,
    );
    let job = Job {
        id: id.clone(),
        all,
        plan: Arc::new(plan),
        version: ask.version.clone(),
        major: ask.major,
        style: CsvStyle {
            delimiter: character,
            crlf,
            double_integers: call.state.behaviour.double_integers,
        },
        delimiter,
        created: call.now,
        created_wall: Instant::now(),
        changed: call.now,
        polls: 0,
        state: State::Queued,
        fate,
        rows: None,
        borders: OnceLock::new(),
        pages_served: 0,
    };
    let body = job.render(false);
    call.state.jobs.known.insert(id, job);
    Ok(Response::json(200, body))
}

/// Checks a query against what the Bulk API takes.
pub(super) fn check(call: &Call<'_>, text: &str) -> Answer<Plan> {
    if call.state.behaviour.bulk_disabled {
        return Err(Refusal::new(
            403,
            "API_DISABLED_FOR_ORG",
            "Async API not enabled",
        ));
    }
    let upper = text.to_ascii_uppercase();
    for clause in [" GROUP BY ", "TYPEOF "] {
        if upper.contains(clause) {
            let clause = clause.trim();
            return Err(Refusal::new(
                400,
                "API_ERROR",
                format!("{clause} is not supported in Bulk Query"),
            ));
        }
    }
    let plan = query::prepare(call, text)?;
    let refused = call.state.behaviour.bulk_refused.iter();
    let mut refused = refused.map(|name| name.eq_ignore_ascii_case(&plan.object.name));
    if !plan.object.bulk || refused.any(|refused| refused) {
        return Err(Refusal::new(
            400,
            "INVALIDENTITY",
            format!(
                "Entity '{}' is not supported by the Bulk API.",
                plan.object.name
            ),
        ));
    }
    if plan.count_only || plan.offset > 0 {
        return Err(Refusal::new(
            400,
            "API_ERROR",
            "Aggregate functions and OFFSET are not supported in Bulk Query",
        ));
    }
    for column in &plan.columns {
        let Column::Own(field) = column else {
            continue;
        };
        if field.kind.is_compound() {
            return Err(Refusal::new(
                400,
                "FUNCTIONALITY_NOT_ENABLED",
                "Selecting compound data not supported in Bulk Query",
            ));
        }
        if matches!(field.kind, FieldKind::Base64 | FieldKind::Complex) {
            return Err(Refusal::new(
                400,
                "FeatureNotEnabled",
                format!("Cannot serialize value for '{}' in CSV format", field.name),
            ));
        }
    }
    Ok(plan)
}

fn fate(jobs: &mut Jobs, behaviour: &Behaviour, object: &str) -> Option<Outcome> {
    jobs.created += 1;
    let of_object = jobs.per_object.entry(object.to_owned()).or_default();
    *of_object += 1;
    let (of_object, of_all) = (*of_object, jobs.created);
    behaviour
        .job_faults
        .iter()
        .find(|fault| {
            let number = match &fault.object {
                Some(wanted) if wanted.eq_ignore_ascii_case(object) => of_object,
                Some(_) => return false,
                None => of_all,
            };
            number >= fault.nth && number - fault.nth < fault.times
        })
        .map(|fault| fault.outcome.clone())
}

/// Finds a job, brings it up to date and checks the version.
fn with_job<T>(
    call: &mut Call<'_>,
    ask: &Ask,
    id: &str,
    act: impl FnOnce(&mut Job, &World) -> Answer<T>,
) -> Answer<T> {
    let bench = call.bench;
    let state = &mut *call.state;
    let now = call.now;
    let id = match id.len() {
        15 => super::schema::id18(id),
        _ => id.to_owned(),
    };
    let job = state
        .jobs
        .known
        .get_mut(&id)
        .filter(|job| now.since(job.created) < LIFETIME && job.fate != Some(Outcome::Gone))
        .ok_or_else(Refusal::not_found)?;
    if job.version != ask.version {
        return Err(Refusal::new(
            409,
            "CONFLICT",
            format!(
                "The job was created with API version {}: use the same version",
                job.version
            ),
        ));
    }
    job.advance(&state.world, bench, &state.behaviour, now);
    act(job, &state.world)
}

impl Job {
    /// Brings the state up to date with clock and polls, and runs the query when its time has come.
    fn advance(
        &mut self,
        world: &World,
        bench: Option<&super::bench::Bench>,
        behaviour: &Behaviour,
        now: Timestamp,
    ) {
        if self.state.is_terminal() {
            return;
        }
        let waited = match behaviour.latency_clock {
            LatencyClock::Virtual => now.since(self.created),
            LatencyClock::Wall => self.created_wall.elapsed(),
        };
        let latency = Duration::from_millis(behaviour.job_latency_ms);
        let waiting = waited < latency || self.polls < behaviour.job_polls;
        if waiting || self.fate == Some(Outcome::Never) {
            let queued = waited < latency / 4 && self.polls == 0;
            self.state = if queued {
                State::Queued
            } else {
                State::Running
            };
            return;
        }
        self.changed = now;
        self.state = match &self.fate {
            Some(Outcome::Failed(message)) => State::Failed(message.clone()),
            Some(Outcome::Aborted) => State::Aborted,
            _ => match self.run(world, bench, behaviour, now) {
                Ok(rows) => {
                    self.rows = Some(rows);
                    State::Complete
                }
                Err(message) => State::Failed(message),
            },
        };
    }

    fn run(
        &self,
        world: &World,
        bench: Option<&super::bench::Bench>,
        behaviour: &Behaviour,
        now: Timestamp,
    ) -> Result<Rows, String> {
        let timeout = || "QUERY_TIMEOUT: Your query request was running for too long.".to_owned();
        let days = self.plan.window_days();
        if behaviour
            .timeout_days
            .is_some_and(|most| days.is_none_or(|days| days > most))
        {
            return Err(timeout());
        }
        let bench = bench.filter(|bench| bench.object().name == self.plan.object.name);
        let rows = match bench {
            Some(bench) => Rows::Bench(bench.select(&self.plan)),
            None => Rows::World(Arc::new(self.collect(world, behaviour, now))),
        };
        if behaviour
            .timeout_rows
            .is_some_and(|most| rows.count() > most)
        {
            return Err(timeout());
        }
        Ok(rows)
    }

    fn collect(
        &self,
        world: &World,
        behaviour: &Behaviour,
        now: Timestamp,
    ) -> Vec<(Row, Timestamp)> {
        let name = &self.plan.object.name;
        let rows_at = |at: Timestamp| {
            let reader = Reader { world, at };
            reader.rows(&self.plan, world.rows_at(name, at), self.all)
        };
        let at_end = rows_at(now);
        let chunk_rows = usize::try_from(behaviour.chunk_rows.max(1)).unwrap_or(usize::MAX);
        if self.plan.is_ordered() || at_end.len() <= chunk_rows {
            return at_end.into_iter().map(|row| (row, now)).collect();
        }
        // Chunks are ranges of ids; each one sees the world at a moment of its own.
        let mut borders: Vec<Arc<str>> = at_end
            .chunks(chunk_rows)
            .filter_map(|chunk| chunk.first().map(|row| row.id.clone()))
            .collect();
        let chunks = borders.len();
        borders.remove(0);
        let span = now.since(self.created);
        let mut order: Vec<usize> = (0..chunks).collect();
        order.sort_by_key(|chunk| Sha256::digest(format!("{}/{chunk}", self.id)).to_vec());
        let mut collected = Vec::with_capacity(at_end.len());
        for (turn, chunk) in order.into_iter().enumerate() {
            let done = u32::try_from(turn + 1).unwrap_or(u32::MAX);
            let of = u32::try_from(chunks).unwrap_or(u32::MAX);
            let at = if span.is_zero() {
                now
            } else {
                self.created.plus(span / of * done).min(now)
            };
            let lower = chunk.checked_sub(1).and_then(|before| borders.get(before));
            let upper = borders.get(chunk);
            let within = |row: &Row| {
                lower.is_none_or(|lower| row.id >= *lower)
                    && upper.is_none_or(|upper| row.id < *upper)
            };
            let rows = if at == now {
                at_end.clone()
            } else {
                rows_at(at)
            };
            collected.extend(rows.into_iter().filter(within).map(|row| (row, at)));
        }
        collected
    }

    fn render(&self, polled: bool) -> String {
        let mut body = format!(
            "{{\"id\":{},\"operation\":\"{}\",\"object\":{},\"createdById\":{},\"createdDate\":\"{}\",\
             \"systemModstamp\":\"{}\",\"state\":\"{}\",\"concurrencyMode\":\"Parallel\",\"contentType\":\"CSV\",\
             \"apiVersion\":{},\"lineEnding\":\"{}\",\"columnDelimiter\":\"{}\"",
            quote(&self.id),
            if self.all { "queryAll" } else { "query" },
            quote(&self.plan.object.name),
            quote(&user_id()),
            rest_instant(self.created),
            rest_instant(self.changed),
            self.state.name(),
            self.version,
            if self.style.crlf { "CRLF" } else { "LF" },
            self.delimiter,
        );
        if polled {
            let rows = self.rows.as_ref().map_or(0, Rows::count);
            let milliseconds = self.changed.since(self.created).as_millis();
            let chunking = !self.plan.is_ordered() && self.plan.object.key_prefix.is_some();
            body.extend([format!(
                ",\"jobType\":\"V2Query\",\"numberRecordsProcessed\":{rows},\"retries\":0,\
                 \"totalProcessingTime\":{milliseconds},\"isPkChunkingSupported\":{chunking}"
            )]);
            if let State::Failed(message) = &self.state {
                body.extend([",\"errorMessage\":".to_owned(), quote(message)]);
            }
        }
        body.push('}');
        body
    }

    /// Where pages begin and end if nobody asks for a size.
    fn borders(&self, world: &World, behaviour: &Behaviour) -> Arc<Vec<u64>> {
        let borders = self.borders.get_or_init(|| {
            let most_rows = behaviour.bulk_page_rows.max(1);
            let mut borders = vec![0];
            let mut page_bytes = 0;
            let mut page_rows = 0;
            let count = self.rows.as_ref().map_or(0, Rows::count);
            for position in 0..count {
                // Rows of the bench have one length, so they need no measuring.
                let bytes = match &self.rows {
                    Some(Rows::World(rows)) => self.row_bytes(world, rows, position),
                    Some(Rows::Bench(selection)) => selection.mean_row_bytes(),
                    None => 0,
                };
                let full = page_rows >= most_rows || page_bytes + bytes > behaviour.bulk_page_bytes;
                if full && page_rows > 0 {
                    borders.push(position);
                    page_rows = 0;
                    page_bytes = 0;
                }
                page_rows += 1;
                page_bytes += bytes;
            }
            if count > 0 {
                borders.push(count);
            }
            Arc::new(borders)
        });
        borders.clone()
    }

    fn row_bytes(&self, world: &World, rows: &[(Row, Timestamp)], position: u64) -> u64 {
        let mut line = String::new();
        let row = usize::try_from(position)
            .ok()
            .and_then(|position| rows.get(position));
        if let Some((row, at)) = row {
            let reader = Reader { world, at: *at };
            self.style.row(&mut line, reader, &self.plan.columns, row);
        }
        line.len() as u64
    }

    /// Opaque text for a position, and the end of the page if it is fixed.
    fn locator(&self, from: u64, end: Option<u64>) -> String {
        if self.major <= NUMERIC_LOCATORS_UNTIL && end.is_none() {
            return from.to_string();
        }
        let mut text = format!(
            "{from}:{}",
            end.map_or(String::new(), |end| end.to_string())
        );
        let check = Sha256::digest(format!("{}/{text}", self.id));
        for byte in check.iter().take(3) {
            text.extend([format!("{byte:02x}")]);
        }
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    fn position(&self, locator: &str) -> Option<(u64, Option<u64>)> {
        if self.major <= NUMERIC_LOCATORS_UNTIL
            && let Ok(from) = locator.parse()
        {
            return Some((from, None));
        }
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(locator)
            .ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (text, _) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let (from, end) = text.split_once(':')?;
        let from = from.parse().ok()?;
        let end = match end {
            "" => None,
            end => Some(end.parse().ok()?),
        };
        (self.locator(from, end) == locator).then_some((from, end))
    }

    fn page(&self, world: &World, behaviour: &Behaviour, from: u64, end: u64) -> Body {
        let mut columns = self.plan.columns.clone();
        if behaviour.rotate_columns && from > 0 && !columns.is_empty() {
            columns.rotate_left(1);
        }
        let mut text = String::new();
        self.style.header(&mut text, &columns);
        match &self.rows {
            Some(Rows::Bench(selection)) => selection.page(text, self.style, from, end),
            Some(Rows::World(rows)) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                let end = usize::try_from(end).unwrap_or(usize::MAX);
                for (row, at) in rows.get(from..end).unwrap_or_default() {
                    let reader = Reader { world, at: *at };
                    self.style.row(&mut text, reader, &columns, row);
                }
                Body::Full(text.into())
            }
            None => Body::Full(text.into()),
        }
    }
}

fn results(call: &mut Call<'_>, ask: &Ask, id: &str) -> Answer {
    let max_records = match ask.parameter("maxRecords") {
        None => None,
        Some(text) => Some(
            text.parse::<u64>()
                .ok()
                .filter(|most| *most > 0)
                .ok_or_else(|| {
                    Refusal::new(
                        400,
                        "API_ERROR",
                        format!("Illegal value for maxRecords: {text}"),
                    )
                })?,
        ),
    };
    let locator = ask
        .parameter("locator")
        .filter(|locator| !locator.is_empty());
    let behaviour = call.state.behaviour.clone();
    let page = with_job(call, ask, id, |job, world| {
        if let Some(not_ready) = not_ready(job, &behaviour) {
            return not_ready.map(Err);
        }
        if let Some(Outcome::GoneAfterPages(pages)) = job.fate
            && job.pages_served >= pages
        {
            job.fate = Some(Outcome::Gone);
            return Err(Refusal::not_found());
        }
        let count = job.rows.as_ref().map_or(0, Rows::count);
        let (from, fixed_end) = match locator {
            None => (0, None),
            Some(locator) => job
                .position(locator)
                .filter(|(from, _)| *from <= count)
                .ok_or_else(|| {
                    Refusal::new(
                        400,
                        "INVALID_QUERY_LOCATOR",
                        format!("Invalid locator: {locator}"),
                    )
                })?,
        };
        let end = match (max_records, fixed_end) {
            (None, Some(end)) => end,
            (Some(most), _) => bounded_end(job, world, &behaviour, from, most),
            (None, None) => {
                let borders = job.borders(world, &behaviour);
                borders
                    .iter()
                    .copied()
                    .find(|border| *border > from)
                    .unwrap_or(count)
            }
        }
        .min(count);
        job.pages_served += 1;
        let next = if end < count {
            // A page that was linked leads to the next link, any other to the next position.
            let next_end = fixed_end.filter(|_| max_records.is_none()).and_then(|_| {
                let borders = job.borders(world, &behaviour);
                borders.iter().copied().find(|border| *border > end)
            });
            job.locator(end, next_end)
        } else {
            "null".to_owned()
        };
        Ok(Ok((
            job.page(world, &behaviour, from, end),
            end - from,
            next,
        )))
    })?;
    let (body, rows, next) = match page {
        Ok(page) => page,
        Err(response) => return Ok(response),
    };
    let length = body.length();
    call.state.quota.bulk_bytes.add(call.now, length);
    let mut response = Response::of(200, "text/csv; charset=UTF-8", "");
    response.compressible = matches!(body, Body::Full(_));
    response.body = body;
    Ok(response
        .with_header("sforce-numberofrecords", &rows.to_string())
        .with_header("sforce-locator", &next))
}

/// The end of a page of at most so many rows and about as many bytes as the org allows.
fn bounded_end(job: &Job, world: &World, behaviour: &Behaviour, from: u64, most: u64) -> u64 {
    let count = job.rows.as_ref().map_or(0, Rows::count);
    let end = count.min(from.saturating_add(most));
    match &job.rows {
        Some(Rows::World(rows)) => {
            let mut bytes = 0;
            for position in from..end {
                bytes += job.row_bytes(world, rows, position);
                if bytes > behaviour.bulk_page_bytes && position > from {
                    return position;
                }
            }
            end
        }
        Some(Rows::Bench(selection)) => {
            let fitting = behaviour.bulk_page_bytes / selection.mean_row_bytes().max(1);
            end.min(from.saturating_add(fitting.max(1)))
        }
        None => end,
    }
}

/// What to answer about results of a job that has none.
fn not_ready(job: &Job, behaviour: &Behaviour) -> Option<Answer> {
    match &job.state {
        State::Complete => None,
        State::Queued | State::Running => Some(if behaviour.not_ready_status == 204 {
            Ok(empty(204))
        } else {
            let state = if job.state == State::Queued {
                "UPLOAD_COMPLETE"
            } else {
                "IN_PROGRESS"
            };
            Err(Refusal::new(
                412,
                "JOB_NOT_COMPLETE",
                format!(
                    "can only download query results of successfully completed bulk job with status: JOB_COMPLETE. \
                     Current status: {state}"
                ),
            ))
        }),
        State::Failed(_) | State::Aborted => Some(Err(Refusal::new(
            400,
            "INVALIDJOBSTATE",
            format!("Invalid job state: {}", job.state.name()),
        ))),
    }
}

fn result_pages(call: &mut Call<'_>, ask: &Ask, id: &str) -> Answer {
    if ask.major < RESULT_PAGES_SINCE || !call.state.behaviour.result_pages {
        return Err(Refusal::not_found());
    }
    let behaviour = call.state.behaviour.clone();
    let locator = ask
        .parameter("locator")
        .filter(|locator| !locator.is_empty());
    let base = format!("/services/data/{}/jobs/query/{id}", ask.version_segment());
    with_job(call, ask, id, |job, world| {
        if let Some(not_ready) = not_ready(job, &behaviour) {
            return not_ready;
        }
        let borders = job.borders(world, &behaviour);
        let from = match locator {
            None => 0,
            Some(locator) => {
                job.position(locator)
                    .ok_or_else(|| {
                        Refusal::new(
                            400,
                            "INVALID_QUERY_LOCATOR",
                            format!("Invalid locator: {locator}"),
                        )
                    })?
                    .0
            }
        };
        let pairs: Vec<(u64, u64)> = borders
            .windows(2)
            .filter_map(|pair| Some((*pair.first()?, *pair.last()?)))
            .filter(|pair| pair.0 >= from)
            .collect();
        // A job without rows has one page, which is its header.
        let pairs = if borders.len() < 2 {
            vec![(0, 0)]
        } else {
            pairs
        };
        let links: Vec<String> = pairs
            .iter()
            .take(LINKS_PER_ANSWER)
            .map(|&(from, end)| {
                let url = format!("{base}/results?locator={}", job.locator(from, Some(end)));
                format!("{{\"resultUrl\":{}}}", quote(&url))
            })
            .collect();
        let next = pairs.get(LINKS_PER_ANSWER).map(|pair| {
            quote(&format!(
                "{base}/resultPages?locator={}",
                job.locator(pair.0, None)
            ))
        });
        // The documentation spells the link in two ways: both are given.
        let next_text = next.as_deref().unwrap_or("null");
        let body = format!(
            "{{\"resultPages\":[{}],\"nextRecordsUrl\":{next_text},\"nextRecordUrl\":{next_text},\"done\":{}}}",
            links.join(","),
            next.is_none()
        );
        Ok(Response::json(200, body))
    })
}

fn abort(call: &mut Call<'_>, ask: &Ask, id: &str) -> Answer {
    #[derive(Deserialize)]
    struct Patch {
        state: String,
    }
    let patch: Patch = ask.json()?;
    if patch.state != "Aborted" {
        return Err(Refusal::new(
            400,
            "INVALIDJOBSTATE",
            "The only state a query job can be set to is Aborted",
        ));
    }
    let now = call.now;
    with_job(call, ask, id, |job, _| {
        if matches!(job.state, State::Complete | State::Failed(_)) {
            return Err(Refusal::new(
                400,
                "INVALIDJOBSTATE",
                format!(
                    "Aborting already completed Job not allowed: {}",
                    job.state.name()
                ),
            ));
        }
        job.state = State::Aborted;
        job.changed = now;
        Ok(Response::json(200, job.render(false)))
    })
}

fn delete(call: &mut Call<'_>, ask: &Ask, id: &str) -> Answer {
    debug_assert_eq!(ask.method, Method::DELETE);
    let key = with_job(call, ask, id, |job, _| {
        if job.state.is_terminal() {
            Ok(job.id.clone())
        } else {
            Err(Refusal::new(
                400,
                "INVALIDJOBSTATE",
                format!(
                    "Deleting a job in state {} is not allowed",
                    job.state.name()
                ),
            ))
        }
    })?;
    call.state.jobs.known.remove(&key);
    Ok(empty(204))
}

fn list(call: &mut Call<'_>, ask: &Ask) -> Response {
    const PER_PAGE: usize = 1_000;
    let bench = call.bench;
    let now = call.now;
    let state = &mut *call.state;
    let from = ask.parameter("queryLocator").unwrap_or_default();
    let mut records = Vec::new();
    let mut next = None;
    for job in state.jobs.known.values_mut() {
        let alive = now.since(job.created) < LIFETIME && job.fate != Some(Outcome::Gone);
        if !alive || job.id.as_str() < from {
            continue;
        }
        if records.len() == PER_PAGE {
            next = Some(job.id.clone());
            break;
        }
        job.advance(&state.world, bench, &state.behaviour, now);
        records.push(job.render(false));
    }
    let next_url = next.as_ref().map_or_else(
        || "null".to_owned(),
        |next| {
            quote(&format!(
                "/services/data/{}/jobs/query?queryLocator={next}",
                ask.version_segment()
            ))
        },
    );
    let body = format!(
        "{{\"done\":{},\"records\":[{}],\"nextRecordsUrl\":{next_url}}}",
        next.is_none(),
        records.join(",")
    );
    Response::json(200, body)
}
