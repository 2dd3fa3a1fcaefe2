//! One query job of Bulk API 2.0: its life, its rows and its pages.
//!
//! A job runs when it is first looked at after its time has come. Without ORDER BY and LIMIT its rows come
//! chunk by chunk in no particular order, and each chunk sees the world at its own moment between creation
//! and completion, as with PK chunking. Pages are cut out of the kept rows, so they never change.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use overlock_core::Timestamp;
use overlock_sandbox::Body;
use sha2::{Digest, Sha256};

use super::answer::quote;
use super::bench::{Bench, Selection};
use super::evaluate::{Plan, Reader};
use super::model::Row;
use super::oauth::user_id;
use super::options::{Behaviour, LatencyClock, Outcome};
use super::render::{CsvStyle, rest_instant};
use super::world::World;

/// The last version whose locators are numbers.
const NUMERIC_LOCATORS_UNTIL: u32 = 48;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    Running,
    Complete,
    Failed(String),
    Aborted,
}

impl State {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Queued => "UploadComplete",
            Self::Running => "InProgress",
            Self::Complete => "JobComplete",
            Self::Failed(_) => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Complete | Self::Failed(_) | Self::Aborted)
    }
}

/// Rows of a completed job.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    World(Arc<Vec<(Row, Timestamp)>>),
    Bench(Arc<Selection>),
}

impl Rows {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::World(rows) => rows.len() as u64,
            Self::Bench(selection) => selection.count(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) all: bool,
    pub(super) plan: Arc<Plan>,
    pub(super) version: String,
    pub(super) major: u32,
    pub(super) style: CsvStyle,
    pub(super) delimiter: &'static str,
    pub(super) created: Timestamp,
    pub(super) created_wall: Instant,
    pub(super) changed: Timestamp,
    pub(super) polls: u64,
    pub(super) state: State,
    pub(super) fate: Option<Outcome>,
    pub(super) rows: Option<Rows>,
    /// Borders of pages when the client does not ask for a size, first and last included.
    pub(super) borders: OnceLock<Arc<Vec<u64>>>,
    pub(super) pages_served: u64,
}

impl Job {
    /// Brings the state up to date with clock and polls, and runs the query when its time has come.
    pub(super) fn advance(
        &mut self,
        world: &World,
        bench: Option<&Bench>,
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

    pub(super) fn run(
        &self,
        world: &World,
        bench: Option<&Bench>,
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

    pub(super) fn collect(
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

    pub(super) fn render(&self, polled: bool) -> String {
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
    pub(super) fn borders(&self, world: &World, behaviour: &Behaviour) -> Arc<Vec<u64>> {
        let borders = self.borders.get_or_init(|| {
            let most_rows = behaviour.bulk_page_rows.max(1);
            let mut borders = vec![0];
            let count = self.rows.as_ref().map_or(0, Rows::count);
            match &self.rows {
                // Rows of the bench have one length, so they need no measuring.
                Some(Rows::Bench(selection)) => {
                    let fitting = behaviour.bulk_page_bytes / selection.mean_row_bytes().max(1);
                    let rows = most_rows.min(fitting).max(1);
                    let mut position = rows;
                    while position < count {
                        borders.push(position);
                        position += rows;
                    }
                }
                Some(Rows::World(rows)) => {
                    let (mut page_rows, mut page_bytes) = (0, 0);
                    for position in 0..count {
                        let bytes = self.row_bytes(world, rows, position);
                        let full = page_rows >= most_rows
                            || page_bytes + bytes > behaviour.bulk_page_bytes;
                        if full && page_rows > 0 {
                            borders.push(position);
                            (page_rows, page_bytes) = (0, 0);
                        }
                        page_rows += 1;
                        page_bytes += bytes;
                    }
                }
                None => {}
            }
            if count > 0 {
                borders.push(count);
            }
            Arc::new(borders)
        });
        borders.clone()
    }

    pub(super) fn row_bytes(&self, world: &World, rows: &[(Row, Timestamp)], position: u64) -> u64 {
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
    pub(super) fn locator(&self, from: u64, end: Option<u64>) -> String {
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

    pub(super) fn position(&self, locator: &str) -> Option<(u64, Option<u64>)> {
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

    pub(super) fn page(&self, world: &World, behaviour: &Behaviour, from: u64, end: u64) -> Body {
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

/// The end of a page of at most so many rows and about as many bytes as the org allows.
pub(super) fn bounded_end(
    job: &Job,
    world: &World,
    behaviour: &Behaviour,
    from: u64,
    most: u64,
) -> u64 {
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
