//! Bulk API 2.0: one job per slice, its result pages opened ahead and delivered in order.
//!
//! Pages are found through `resultPages` (any order, any parallelism) where the version has it, else by
//! the chain of `Sforce-Locator`. Each page is counted against `Sforce-NumberOfRecords` and all of them
//! against the job's `numberRecordsProcessed`. A page that broke off is asked for again and goes on behind
//! the rows that were already delivered, which kit proves to be the same bytes.

use std::collections::{HashSet, VecDeque};

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use overlock_core::{BoxStream, Error, ErrorKind, Result, crash_point};
use overlock_kit::http::Request;
use overlock_kit::rows::{Counts, CsvDecoder, Decoded, Prefix};
use overlock_kit::{Poll, poll};
use serde::{Deserialize, Serialize};

use super::jobs::Guard;
use super::{Place, Reader, Work};
use crate::api::{self, Locator, Version};
use crate::errors::{self, Meaning};
use crate::limits;
use crate::state::JobAt;
use overlock_kit::out::Out;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewJob<'a> {
    operation: &'static str,
    query: &'a str,
    content_type: &'static str,
    column_delimiter: &'static str,
    line_ending: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    id: String,
    state: String,
    #[serde(default)]
    number_records_processed: Option<u64>,
    #[serde(default)]
    error_message: Option<String>,
}

/// Makes a job and waits until it is complete. One that disappears meanwhile is made again, once: no state
/// names it yet.
pub(super) async fn begin(reader: &Reader<'_>, soql: &str) -> Result<Work> {
    if soql.chars().count() > limits::MAX_SOQL_CHARS {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "write a query of more than {} characters",
                limits::MAX_SOQL_CHARS
            ),
        )
        .hint("select fewer columns"));
    }
    let client = reader.client();
    let version = client.version();
    let _permit = reader.source.job_permit().await?;
    let mut again = true;
    let (id, total, guard) = loop {
        let id = create(reader, soql).await?;
        let guard = reader.source.orphans().guard(&id);
        crash_point!("S1.after_job_created");
        // A job is never complete when it is made: the first look would be a call for nothing.
        overlock_kit::sleep(reader.source.tuning().poll_interval).await;
        match wait(reader, version, &id).await {
            Ok(total) => break (id, total, guard),
            Err(error) if Meaning::of(&error) == Some(Meaning::Gone) => {
                guard.keep();
                if !std::mem::take(&mut again) {
                    return Err(expired(error));
                }
            }
            Err(error) => return Err(error),
        }
    };
    crash_point!("S2.after_job_complete");
    if let Some(total) = total {
        client.expect(&reader.stream.name, total);
    }
    Ok(Work::Job {
        at: JobAt {
            id,
            api: version.as_str().to_owned(),
            ..JobAt::default()
        },
        total,
        guard: Some(guard),
    })
}

async fn create(reader: &Reader<'_>, soql: &str) -> Result<String> {
    let body = serde_json::to_vec(&NewJob {
        operation: "queryAll",
        query: soql,
        content_type: "CSV",
        column_delimiter: "COMMA",
        line_ending: "LF",
    })
    .map_err(|error| Error::bug("write a job as JSON").source(error))?;
    // A job made twice costs nothing but a line in the org's list.
    let request = Request::post(reader.client().version().jobs(), body)
        .stream(&reader.stream.name)
        .idempotent(true);
    let job: Job = reader.client().send(request).await?.json()?;
    let is_word = job.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if job.id.is_empty() || job.id.len() > 40 || !is_word {
        return Err(Error::new(
            ErrorKind::Data,
            "use a new job: its id is not of the documented form",
        ));
    }
    Ok(job.id)
}

/// Waits until a job is complete; returns its number of rows.
async fn wait(reader: &Reader<'_>, version: &Version, id: &str) -> Result<Option<u64>> {
    let first = reader.source.tuning().poll_interval;
    let schedule = Poll {
        first,
        cap: first.saturating_mul(limits::POLL_GROWTH),
        budget: reader.source.tuning().job_timeout,
    };
    poll(schedule, "a Bulk job", || async move {
        let request = Request::get(version.job(id)).stream(&reader.stream.name);
        let job: Job = reader.client().send(request).await?.json()?;
        match job.state.as_str() {
            "JobComplete" => Ok(Some(job.number_records_processed)),
            "Failed" => Err(errors::job_error(
                job.error_message.as_deref().unwrap_or("no reason given"),
            )
            .context("job", id)),
            "Aborted" => Err(errors::job_error("the job was aborted at Salesforce")
                .context("job", id)
                .context("job_state", "Aborted")),
            // Also states that are new to us.
            _ => Ok(None),
        }
    })
    .await
}

/// Looks at a job of an earlier run; returns its number of rows.
pub(super) async fn revive(reader: &Reader<'_>, at: &JobAt) -> Result<Option<u64>> {
    let version = Version::parse(&at.api)?;
    match wait(reader, &version, &at.id).await {
        Err(error) if error.get("job").is_some() => Err(expired(error)),
        Err(error) => Err(expire_if_gone(error)),
        Ok(total) => Ok(total),
    }
}

fn expired(error: Error) -> Error {
    Error::new(
        ErrorKind::StateExpired,
        "go on with the results of a Bulk job: they are gone at Salesforce",
    )
    .hint("the stream is read again from its last commit; results are kept for seven days")
    .source(error)
}

fn expire_if_gone(error: Error) -> Error {
    if Meaning::of(&error) == Some(Meaning::Gone) {
        expired(error)
    } else {
        error
    }
}

/// Yields all result pages of a job, from the position on.
pub(super) async fn deliver(
    reader: &Reader<'_>,
    place: &Place,
    at: JobAt,
    total: Option<u64>,
    guard: Option<Guard>,
    out: &mut Out,
) -> Result<()> {
    let version = Version::parse(&at.api)?;
    let id = at.id.clone();
    let mut pages = Pages::new(reader, version.clone(), &at);
    let mut open: VecDeque<OpenPage> = VecDeque::new();
    let mut done = at;
    let mut empty_pages = 0_u32;
    let mut guard = guard;
    loop {
        while open.len() < reader.source.tuning().parallel_pages {
            let Some(page) = pages.open_next(done.rows, total).await? else {
                break;
            };
            open.push_back(page);
        }
        let Some(page) = open.pop_front() else {
            // Cannot happen for a job has at least one page; but then nothing proves the end.
            return Err(Error::new(
                ErrorKind::Data,
                "find the result pages of a job",
            ));
        };
        let header_next = page.next.clone();
        let (rows, rest) = consume(reader, page, out).await?;
        crash_point!("S3.after_page");
        done.rows += rows;
        done.pages += 1;
        empty_pages = if rows == 0 { empty_pages + 1 } else { 0 };
        let is_last = open.is_empty() && !pages.has_more(done.rows, total).await?;
        check_progress(&done, total, is_last, empty_pages)?;
        if is_last {
            out.page(rest, Some(reader.state(&place.after)?)).await?;
            break;
        }
        done.locator = open
            .front()
            .and_then(|page| page.locator.clone())
            .or_else(|| pages.peek())
            .or(match header_next {
                Locator::Next(locator) => Some(locator),
                Locator::End | Locator::Missing => None,
            });
        let state = match &done.locator {
            Some(_) => Some(reader.state(&place.inside(Some(done.clone()), None))?),
            None => None,
        };
        let is_resumable = state.is_some();
        out.page(rest, state).await?;
        if is_resumable && let Some(guard) = guard.take() {
            guard.keep();
        }
    }
    if let Some(guard) = guard.take() {
        guard.keep();
    }
    // Not deleted yet: until the rows are committed, a state may ask for this job again.
    reader
        .source
        .jobs_done()
        .add(&reader.stream.name, &id, &version);
    Ok(())
}

/// Compares what came with what the job announced.
fn check_progress(done: &JobAt, total: Option<u64>, is_last: bool, empty_pages: u32) -> Result<()> {
    let Some(total) = total else {
        return check_empty(empty_pages);
    };
    let rows = done.rows;
    if rows > total || (is_last && rows != total) {
        return Err(Error::new(
            ErrorKind::Data,
            format!("balance a Bulk job: it announced {total} rows and its pages have {rows}"),
        )
        .context("job", &done.id));
    }
    if is_last {
        Ok(())
    } else {
        check_empty(empty_pages)
    }
}

fn check_empty(empty_pages: u32) -> Result<()> {
    if empty_pages < limits::MAX_EMPTY_PAGES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Data,
        format!("get on: {empty_pages} result pages in a row were empty"),
    ))
}

/// Delivers one page but for its last batch, which is returned with the number of rows.
async fn consume(
    reader: &Reader<'_>,
    mut page: OpenPage,
    out: &mut Out,
) -> Result<(u64, RecordBatch)> {
    let mut prefix: Option<Prefix> = None;
    let mut held: Option<RecordBatch> = None;
    let mut attempt = 1;
    loop {
        let drained = drain(reader, &mut page, &mut prefix, &mut held, out).await;
        let error = match drained.and_then(|counts| {
            counts.check_page(page.rows)?;
            Ok(counts)
        }) {
            Ok(counts) => return Ok((counts.rows, held.unwrap_or_else(|| reader.empty()))),
            Err(error) => error,
        };
        if attempt >= limits::PAGE_ATTEMPTS {
            return Err(error);
        }
        reader
            .client()
            .http()
            .retry(Some(&reader.stream.name), attempt, error)
            .await?;
        attempt += 1;
        page = open(reader, page.path, page.locator, prefix).await?;
    }
}

async fn drain(
    reader: &Reader<'_>,
    page: &mut OpenPage,
    prefix: &mut Option<Prefix>,
    held: &mut Option<RecordBatch>,
    out: &mut Out,
) -> Result<Counts> {
    while let Some(decoded) = page.decoded.next().await {
        match decoded? {
            Decoded::Rows {
                batch,
                counts,
                prefix: reached,
            } => {
                reader.inspect(&batch, &counts)?;
                *prefix = Some(reached);
                if let Some(ready) = held.replace(batch) {
                    out.page(ready, None).await?;
                }
            }
            Decoded::End { counts, .. } => return Ok(counts),
        }
    }
    Err(Error::bug("decode a page that neither ends nor fails"))
}

/// A result page whose headers are here and whose rows are coming.
struct OpenPage {
    path: String,
    locator: Option<String>,
    /// Rows it announces.
    rows: Option<u64>,
    /// The page after it, by its own header.
    next: Locator,
    decoded: BoxStream<'static, Result<Decoded>>,
}

async fn open(
    reader: &Reader<'_>,
    path: String,
    locator: Option<String>,
    resume: Option<Prefix>,
) -> Result<OpenPage> {
    let mut attempt = 1;
    loop {
        let request = Request::get(&path)
            .stream(&reader.stream.name)
            .header("accept", "text/csv")
            .bulk();
        let error = match reader.client().open(request).await {
            Ok(body) if body.status == 204 => Error::new(
                ErrorKind::Unavailable,
                "open a result page: the job is not ready although it was complete",
            ),
            Ok(body) => {
                let rows = api::number_of_records(body.header("sforce-numberofrecords"));
                let next = api::locator(body.header("sforce-locator"))?;
                let decoder = CsvDecoder::new(reader.schema(), reader.options())?;
                return Ok(OpenPage {
                    path,
                    locator,
                    rows,
                    next,
                    decoded: reader.decoding.decode_csv(body, decoder, resume),
                });
            }
            Err(error) if Meaning::of(&error) == Some(Meaning::NotReady) => error,
            Err(error) => return Err(expire_if_gone(error)),
        };
        let name = Some(&reader.stream.name);
        reader.client().http().retry(name, attempt, error).await?;
        attempt += 1;
    }
}

/// Where the next page comes from.
enum Source {
    /// The list of pages: links found so far, and the link to more of the list.
    List {
        found: VecDeque<String>,
        more: Option<String>,
    },
    /// The chain of locators.
    Chain(Link),
}

/// A link of the chain.
enum Link {
    First,
    At(String),
    End,
}

impl Link {
    fn to(locator: Option<String>) -> Self {
        locator.map_or(Self::First, Self::At)
    }
}

struct Pages<'r, 'a> {
    reader: &'r Reader<'a>,
    version: Version,
    id: String,
    source: Source,
    /// Links of the list are skipped up to this locator.
    skip_to: Option<String>,
    /// Paths seen, against a chain that runs in a circle.
    seen: HashSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageList {
    #[serde(default)]
    result_pages: Vec<PageLink>,
    #[serde(default)]
    next_records_url: Option<String>,
    /// The documentation has both spellings, and a server may send both.
    #[serde(default)]
    next_record_url: Option<String>,
    #[serde(default)]
    done: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageLink {
    result_url: String,
}

impl<'r, 'a> Pages<'r, 'a> {
    fn new(reader: &'r Reader<'a>, version: Version, at: &JobAt) -> Self {
        let max_records = reader.source.tuning().max_records;
        // One open page at a time needs no list; and versions before 58.0 have none.
        let source = if version.has_result_pages() && reader.source.tuning().parallel_pages > 1 {
            Source::List {
                found: VecDeque::new(),
                more: Some(version.result_pages(&at.id, max_records)),
            }
        } else {
            Source::Chain(Link::to(at.locator.clone()))
        };
        Self {
            reader,
            version,
            id: at.id.clone(),
            source,
            skip_to: at.locator.clone(),
            seen: HashSet::new(),
        }
    }

    /// Makes sure that the next page is known, if there is one.
    async fn has_more(&mut self, rows: u64, total: Option<u64>) -> Result<bool> {
        let mut empty_lists = 0;
        while let Source::List { found, more } = &mut self.source {
            if !found.is_empty() {
                return Ok(true);
            }
            let Some(path) = more.take() else {
                if let Some(locator) = self.skip_to.take() {
                    // The list does not know the page we stopped at: follow the chain from there.
                    self.source = Source::Chain(Link::At(locator));
                    break;
                }
                return Ok(false);
            };
            empty_lists += 1;
            if empty_lists > limits::MAX_EMPTY_PAGES * 100 || !self.seen.insert(path.clone()) {
                return Err(circle());
            }
            self.list(&path).await?;
        }
        match &self.source {
            Source::Chain(Link::End) => Ok(false),
            Source::Chain(_) => Ok(true),
            Source::List { .. } => Err(Error::bug(format!(
                "leave the list of pages at row {rows} of {total:?}"
            ))),
        }
    }

    /// Fetches one piece of the list.
    async fn list(&mut self, path: &str) -> Result<()> {
        let request = Request::get(path).stream(&self.reader.stream.name);
        let answer = match self.reader.client().send(request).await {
            Ok(response) => response.json::<PageList>()?,
            Err(error)
                if matches!(
                    Meaning::of(&error),
                    Some(Meaning::Gone | Meaning::Refused | Meaning::Unreadable)
                ) && self.seen.len() == 1 =>
            {
                // Not offered here, or the job is gone: the chain will tell.
                self.source = Source::Chain(Link::to(self.skip_to.take()));
                return Ok(());
            }
            Err(error) => return Err(expire_if_gone(error)),
        };
        let mut links = VecDeque::new();
        for link in answer.result_pages {
            let path = self.reader.client().http().link(&link.result_url).await?;
            if let Some(wanted) = &self.skip_to {
                if api::link_locator(&path).as_ref() != Some(wanted) {
                    continue;
                }
                self.skip_to = None;
            }
            links.push_back(path);
        }
        let more = match answer.next_records_url.or(answer.next_record_url) {
            Some(link) if answer.done != Some(true) => {
                Some(self.reader.client().http().link(&link).await?)
            }
            _ => None,
        };
        if let Source::List { found, more: next } = &mut self.source {
            found.extend(links);
            *next = more;
        }
        Ok(())
    }

    /// Opens the next page; `None` after the last.
    async fn open_next(&mut self, rows: u64, total: Option<u64>) -> Result<Option<OpenPage>> {
        if !self.has_more(rows, total).await? {
            return Ok(None);
        }
        let (path, locator) = match &mut self.source {
            Source::List { found, .. } => {
                let Some(path) = found.pop_front() else {
                    return Ok(None);
                };
                let locator = api::link_locator(&path);
                (path, locator)
            }
            Source::Chain(link) => {
                let locator = match std::mem::replace(link, Link::End) {
                    Link::First => None,
                    Link::At(locator) => Some(locator),
                    Link::End => return Ok(None),
                };
                let max_records = self.reader.source.tuning().max_records;
                let path = self
                    .version
                    .results(&self.id, max_records, locator.as_deref());
                (path, locator)
            }
        };
        if !self.seen.insert(path.clone()) {
            return Err(circle());
        }
        let page = open(self.reader, path, locator, None).await?;
        if let (Source::Chain(link), Locator::Next(locator)) = (&mut self.source, &page.next) {
            // A missing locator is the end, if the counts agree: they are compared after the page.
            *link = Link::At(locator.clone());
        }
        Ok(Some(page))
    }

    /// Locator of the page that comes next, if known.
    fn peek(&self) -> Option<String> {
        match &self.source {
            Source::List { found, .. } => api::link_locator(found.front()?),
            Source::Chain(Link::At(locator)) => Some(locator.clone()),
            Source::Chain(_) => None,
        }
    }
}

fn circle() -> Error {
    Error::new(
        ErrorKind::Data,
        "get on: Salesforce names a result page that was read already",
    )
}
