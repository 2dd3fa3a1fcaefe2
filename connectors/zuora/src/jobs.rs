//! AQuA jobs: many queries of one snapshot, asked again without what Zuora refuses, until each has an outcome.
//!
//! Zuora refuses a job for the sake of one query, sometimes naming it, sometimes only a field or nothing; or it runs
//! the job and aborts it half way. Whoever is named is taken out or mended, and the others are asked again; if nobody
//! is, the job is halved until the culprit is alone.
//!
//! **Invariant:** every query that was asked has an outcome. One that Zuora leaves out of the answer without a word
//! (error 90018) is refused, never empty.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Result, StreamName, Timestamp, crash_point};
use overlock_kit::http::Request;
use overlock_kit::{Limit, Limits, Poll, poll};

use crate::api::{self, Batch, Files, Job, Named, Query, Standing};
use crate::client::Client;
use crate::config::Format;
use crate::discovery::Descriptions;
use crate::errors::{self, Meaning};
use crate::kept::{Kept, KeptJob, KeptQuery};
use crate::learnt::Learnt;
use crate::limits;
use crate::state::fingerprint;
use crate::streams::Column;

/// How often one job is asked again without something.
const MENDINGS: u32 = 400;

/// Jobs that disappear while they are waited for, one after the other.
const MOST_GONE: u32 = 2;

/// The pause between two looks at a job grows up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A query, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) stream: StreamName,
    pub(crate) columns: Vec<Column>,
    /// Conditions but for the window.
    pub(crate) conditions: Vec<String>,
    pub(crate) span: Span,
    /// Rows at most, in the order of Ids.
    pub(crate) page: Option<u64>,
    /// Ask for deleted rows, too, if there are any to be had.
    pub(crate) deletes: bool,
}

/// Which part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    /// Rows whose `key` is in `lower..upper`.
    Window {
        key: String,
        lower: Option<Timestamp>,
        upper: Timestamp,
    },
    /// All rows.
    Whole,
}

impl Ask {
    /// A name for everything that is asked but the window: not for fields that Zuora has refused.
    pub(crate) fn shape(&self, learnt: &Learnt) -> String {
        let object = self.stream.as_str();
        let paths = self
            .columns
            .iter()
            .map(|column| column.path.as_str())
            .filter(|path| !learnt.is_dropped(object, path));
        let rest = self.conditions.iter().map(String::as_str);
        fingerprint(paths.chain(rest).chain([self.stream.as_str()]))
    }

    fn text(&self, learnt: &Learnt) -> Result<String> {
        let object = self.stream.as_str();
        let mut conditions = match &self.span {
            Span::Window { key, lower, upper } => api::window(key, *lower, *upper),
            Span::Whole => Vec::new(),
        };
        conditions.extend(self.conditions.iter().cloned());
        let query = Query {
            fields: self
                .columns
                .iter()
                .map(|column| column.path.as_str())
                .filter(|path| !learnt.is_dropped(object, path))
                .collect(),
            object,
            conditions,
            page: self.page,
        };
        let text = query.text();
        if text.chars().count() > limits::QUERY_CHARS {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "ask for all fields of `{object}`: the query has more than {} characters",
                    limits::QUERY_CHARS
                ),
            )
            .hint(
                "leave columns out with `exclude`, or the keys of parents with `without_joins`",
            ));
        }
        Ok(text)
    }
}

/// What came of a query.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its rows.
    Files {
        job: String,
        query: String,
        files: Files,
        /// Deleted rows were asked for, too.
        deletes: bool,
    },
    /// It is too much for one query. The flag: nobody said so; the job was aborted without a reason.
    TooLarge(Error, bool),
    /// It cannot be.
    Refused(Error),
}

/// Runs jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) client: Client,
    pub(crate) format: Format,
    pub(crate) first_pause: Duration,
    pub(crate) timeout: Duration,
    places: Limits,
    /// Jobs that are under way, with their entities.
    running: Mutex<BTreeSet<(String, String)>>,
    /// Jobs of earlier runs that are over: fifty streams ask for each.
    over: tokio::sync::Mutex<BTreeMap<String, Arc<Job>>>,
}

/// What jobs need to know and to tell.
pub(crate) struct Tenant<'a> {
    pub(crate) jobs: &'a Jobs,
    pub(crate) learnt: &'a Learnt,
    pub(crate) kept: &'a Kept,
    pub(crate) descriptions: &'a Descriptions,
}

/// How a submission went.
enum Submitted {
    Job(String, Vec<Named>),
    Refused(Error),
}

impl Jobs {
    pub(crate) fn new(
        client: Client,
        format: Format,
        first_pause: Duration,
        timeout: Duration,
        at_once: usize,
    ) -> Self {
        Self {
            client,
            format,
            first_pause,
            timeout,
            places: Limits::new([Limit::Concurrent {
                bucket: None,
                calls: at_once,
            }]),
            running: Mutex::default(),
            over: tokio::sync::Mutex::default(),
        }
    }

    fn schedule(&self) -> Poll {
        Poll {
            first: self.first_pause,
            cap: LONGEST_PAUSE.max(self.first_pause),
            budget: self.timeout,
        }
    }

    fn note(&self, id: &str, entity: &str, runs: bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let job = (id.to_owned(), entity.to_owned());
        if runs {
            running.insert(job);
        } else {
            running.remove(&job);
        }
    }

    /// Looks at a job.
    async fn look(&self, id: &str, entity: &str) -> Result<Job> {
        let request = Request::get(format!("/v1/batch-query/jobs/{id}"));
        let request = self.client.scoped(request, entity);
        let job: Job = self.client.json(&request).await?;
        match job.refusal() {
            // A job that was aborted has a status and batches; this is no job.
            Some((code, message)) if job.batches.is_empty() => {
                Err(errors::aqua_error(code.as_deref(), &message))
            }
            _ => Ok(job),
        }
    }

    /// Waits until a job is over.
    async fn wait(&self, id: &str, entity: &str) -> Result<Job> {
        poll(self.schedule(), "an AQuA job", || async move {
            let job = self.look(id, entity).await?;
            Ok((api::standing(job.status.as_deref()) != Standing::Running).then_some(job))
        })
        .await
    }

    /// Cancels a job; best effort.
    async fn cancel(&self, id: &str, entity: &str) {
        let request = Request::delete(format!("/v1/batch-query/jobs/{id}"));
        let request = self.client.scoped(request, entity);
        if let Err(error) = self.client.send(request).await {
            tracing::debug!(%error, "A job is not cancelled.");
        }
    }

    /// Cancels what is under way.
    pub(crate) async fn cancel_all(&self, kept: &Kept) {
        let running: Vec<(String, String)> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running).into_iter().collect()
        };
        for (id, entity) in running {
            self.cancel(&id, &entity).await;
            kept.forget(&id);
        }
    }
}

/// Outcomes by the numbers of the asks.
type Outcomes = BTreeMap<usize, Outcome>;

impl Tenant<'_> {
    /// Asks all of these in one job, or in as few as there have to be.
    ///
    /// # Errors
    /// What concerns all of them: no login, no service, no budget.
    pub(crate) async fn run(&self, entity: &str, asks: &[Ask]) -> Result<Vec<Outcome>> {
        let numbered = asks.iter().cloned().enumerate().collect();
        let mut outcomes = self.run_numbered(entity, numbered).await?;
        (0..asks.len())
            .map(|number| {
                outcomes
                    .remove(&number)
                    .ok_or_else(|| Error::bug("leave a query without an outcome"))
            })
            .collect()
    }

    /// Boxed, because halves of a job are jobs themselves.
    fn run_numbered<'b>(
        &'b self,
        entity: &'b str,
        asks: Vec<(usize, Ask)>,
    ) -> Pin<Box<dyn Future<Output = Result<Outcomes>> + Send + 'b>> {
        Box::pin(async move {
            let mut outcomes = Outcomes::new();
            let mut asks = asks;
            let mut mendings = 0;
            let mut gone = 0;
            while !asks.is_empty() {
                mendings += 1;
                if mendings > MENDINGS {
                    return Err(Error::new(
                        ErrorKind::Data,
                        "get a job accepted: Zuora refuses it again and again",
                    ));
                }
                let verdict = self
                    .try_once(entity, &mut asks, &mut outcomes, &mut gone)
                    .await?;
                if let Some(error) = verdict {
                    if asks.len() == 1 {
                        let outcome = alone(error);
                        if let Some((number, _)) = asks.pop() {
                            outcomes.insert(number, outcome);
                        }
                        break;
                    }
                    tracing::debug!(queries = asks.len(), %error, "A job is halved.");
                    let rest = asks.split_off(asks.len() / 2);
                    outcomes.extend(self.run_numbered(entity, asks).await?);
                    outcomes.extend(self.run_numbered(entity, rest).await?);
                    break;
                }
            }
            Ok(outcomes)
        })
    }

    /// One submission and its job. Queries that have an outcome leave `asks`; an error is of nobody in particular, and
    /// `None` means: go on with what is left.
    async fn try_once(
        &self,
        entity: &str,
        asks: &mut Vec<(usize, Ask)>,
        outcomes: &mut Outcomes,
        gone: &mut u32,
    ) -> Result<Option<Error>> {
        let now = self.jobs.client.now();
        let mut named = Vec::with_capacity(asks.len());
        let mut refused = Vec::new();
        for (number, ask) in asks.iter() {
            match ask.text(self.learnt) {
                Ok(text) => named.push(Named {
                    name: api::query_name(*number, ask.stream.as_str()),
                    text,
                    deletes: ask.deletes && self.learnt.has_deletes(ask.stream.as_str(), now),
                }),
                Err(error) => refused.push((*number, error)),
            }
        }
        if !refused.is_empty() {
            asks.retain(|(number, _)| refused.iter().all(|(refused, _)| refused != number));
            for (number, error) in refused {
                outcomes.insert(number, Outcome::Refused(error));
            }
            return Ok(None);
        }
        let place = self.jobs.places.ready(None, Duration::MAX).await;
        let _place = place.map_err(|_| Error::bug("get a place for a job"))?;
        let deletes = named.iter().any(|query| query.deletes);
        let (id, named) = match self.submit(entity, asks, named).await? {
            Submitted::Job(id, named) => (id, named),
            Submitted::Refused(error) => return Ok(self.mend(asks, outcomes, error, deletes)),
        };
        crash_point!("S1.after_job_created");
        // A job is never complete when it is made: the first look would be a call for nothing.
        overlock_kit::sleep(self.jobs.first_pause).await;
        let waited = self.jobs.wait(&id, entity).await;
        let job = match waited {
            Ok(job) => job,
            Err(error) if Meaning::of(&error) == Some(Meaning::Gone) => {
                self.jobs.note(&id, entity, false);
                self.kept.forget(&id);
                *gone += 1;
                if *gone > MOST_GONE {
                    return Err(Error::new(
                        ErrorKind::Data,
                        "find a job that was just made: it is gone at Zuora, again and again",
                    )
                    .source(error));
                }
                return Ok(None);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && error.get("url").is_none() => {
                // It took too long: less at a time may not.
                self.jobs.cancel(&id, entity).await;
                self.jobs.note(&id, entity, false);
                self.kept.forget(&id);
                return Ok(Some(if asks.len() == 1 {
                    Meaning::TooLarge.mark(error)
                } else {
                    error
                }));
            }
            Err(error) => return Err(error),
        };
        self.jobs.note(&id, entity, false);
        crash_point!("S2.after_job_complete");
        Ok(self.evaluate(&id, &job, &named, asks, outcomes))
    }

    /// Makes a job; waits while there are too many.
    async fn submit(
        &self,
        entity: &str,
        asks: &[(usize, Ask)],
        named: Vec<Named>,
    ) -> Result<Submitted> {
        let what = match asks {
            [(_, ask)] => ask.stream.as_str(),
            _ => "snapshot",
        };
        let body = api::job(&named, self.jobs.format, &format!("overlock {what}")).to_string();
        // A job made twice costs nothing but a line in the tenant's list; the key may spare even that when an answer is
        // lost. What was answered is asked again under another key: the same one would give the same answer.
        let request = || {
            let key = ulid::Ulid::r#gen().to_string();
            let request = Request::post("/v1/batch-query/", body.clone())
                .header("idempotency-key", &key)
                .idempotent(true);
            self.jobs.client.scoped(request, entity)
        };
        let request = &request;
        let mut passing = 1;
        let submitted = poll(
            self.jobs.schedule(),
            "a place for an AQuA job",
            || async move {
                let answer: Job = match self.jobs.client.json(&request()).await {
                    Ok(answer) => answer,
                    Err(error) => return Ok(Some(Err(error))),
                };
                match answer.refusal() {
                    None => Ok(Some(Ok(answer))),
                    Some((code, message)) => {
                        let error = errors::aqua_error(code.as_deref(), &message);
                        match Meaning::of(&error) {
                            Some(Meaning::Busy) => Ok(None),
                            _ => Ok(Some(Err(error))),
                        }
                    }
                }
            },
        );
        let mut submitted = submitted.await?;
        while let Err(error) = submitted {
            if Meaning::of(&error) != Some(Meaning::Passing) {
                return match Meaning::of(&error) {
                    // Of the whole tenant, not of a query.
                    Some(Meaning::Forbidden | Meaning::Gone) | None => Err(error),
                    Some(_) => Ok(Submitted::Refused(error)),
                };
            }
            self.jobs.client.http().retry(None, passing, error).await?;
            passing += 1;
            let answer: Job = self.jobs.client.json(&request()).await?;
            submitted = match answer.refusal() {
                None => Ok(answer),
                Some((code, message)) => Err(errors::aqua_error(code.as_deref(), &message)),
            };
        }
        let job = submitted?;
        let id = job.id()?;
        self.jobs.note(&id, entity, true);
        self.kept.add(KeptJob {
            id: id.clone(),
            entity: entity.to_owned(),
            at: self.jobs.client.now(),
            queries: asks
                .iter()
                .zip(&named)
                .filter_map(|((_, ask), named)| kept_query(ask, named, self.learnt))
                .collect(),
        });
        Ok(Submitted::Job(id, named))
    }

    /// Mends what a refusal names; hands it back if it names nobody. `deletes`: there is a query that asks for deleted
    /// rows; without one it is of no use to ask for fewer of them.
    fn mend(
        &self,
        asks: &mut Vec<(usize, Ask)>,
        outcomes: &mut Outcomes,
        error: Error,
        deletes: bool,
    ) -> Option<Error> {
        let now = self.jobs.client.now();
        match Meaning::of(&error) {
            Some(Meaning::NoDeletes) if deletes => {
                self.learnt.no_deletes(now);
                self.jobs.client.warn(
                    "W0703",
                    None,
                    "this tenant gives no deleted rows to jobs without a session: deletions are found by comparing Ids",
                );
                None
            }
            Some(Meaning::NoDeletesOfObject) if deletes && asks.len() == 1 => {
                for (_, ask) in asks.iter() {
                    self.learnt.no_deletes_of(ask.stream.as_str(), now);
                }
                None
            }
            Some(Meaning::UnknownField) => self.drop_field(asks, error),
            Some(Meaning::BadQuery) => {
                let object = error.get("object").map(ToOwned::to_owned);
                let named = object.and_then(|object| {
                    asks.iter()
                        .position(|(_, ask)| ask.stream.as_str().eq_ignore_ascii_case(&object))
                });
                match named {
                    Some(at) => {
                        let (number, _) = asks.remove(at);
                        outcomes.insert(number, Outcome::Refused(error));
                        None
                    }
                    None => Some(error),
                }
            }
            _ => Some(error),
        }
    }

    /// Goes on without a field that Zuora does not know.
    fn drop_field(&self, asks: &[(usize, Ask)], error: Error) -> Option<Error> {
        let field = error.get("field").unwrap_or_default().to_owned();
        let object = error.get("object").map(ToOwned::to_owned);
        let mut dropped = false;
        for (_, ask) in asks {
            let name = ask.stream.as_str();
            let concerned = object
                .as_deref()
                .is_none_or(|object| object.eq_ignore_ascii_case(name));
            // `Account.Old__c`, where the query said `Old__c`.
            let own = field
                .split_once('.')
                .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(name));
            let field = own.map_or(field.as_str(), |(_, rest)| rest);
            let column = ask
                .columns
                .iter()
                .find(|column| column.path.eq_ignore_ascii_case(field));
            let is_key = match &ask.span {
                Span::Window { key, .. } => key.eq_ignore_ascii_case(field),
                Span::Whole => false,
            } || field.eq_ignore_ascii_case("Id");
            let Some(column) = column.filter(|_| concerned && !is_key) else {
                continue;
            };
            if self.learnt.drop_field(name, &column.path) {
                dropped = true;
                self.descriptions.doubt(name);
                self.jobs.client.drift(
                    &ask.stream,
                    format!(
                        "column {} is left out of this run: Zuora says that there is no field `{}`",
                        column.name,
                        printable(&column.path)
                    ),
                );
            }
        }
        (!dropped).then_some(error)
    }

    /// What a job that is over means for each of its queries.
    fn evaluate(
        &self,
        id: &str,
        job: &Job,
        named: &[Named],
        asks: &mut Vec<(usize, Ask)>,
        outcomes: &mut Outcomes,
    ) -> Option<Error> {
        let completed = api::standing(job.status.as_deref()) == Standing::Completed;
        let mut culprits = Vec::new();
        let mut mended = false;
        let mut done = Vec::new();
        let mut vague: Vec<(usize, Error)> = Vec::new();
        for ((number, ask), query) in asks.iter().zip(named) {
            let object = ask.stream.as_str();
            let batch = match batch_of(job, &query.name) {
                Ok(batch) => batch,
                Err(error) => {
                    culprits.push((*number, Outcome::Refused(error)));
                    continue;
                }
            };
            let Some(batch) = batch else {
                if completed {
                    culprits.push((*number, Outcome::Refused(ignored(object))));
                }
                continue;
            };
            match api::standing(batch.status.as_deref()) {
                Standing::Completed if completed => {
                    let outcome = match batch.files() {
                        Ok(files) => {
                            self.jobs.client.expect(&ask.stream, files.rows);
                            Outcome::Files {
                                job: id.to_owned(),
                                query: query.name.clone(),
                                files,
                                deletes: query.deletes,
                            }
                        }
                        Err(error) => Outcome::Refused(error),
                    };
                    done.push((*number, outcome));
                }
                Standing::Running if completed => culprits.push((
                    *number,
                    Outcome::Refused(Error::new(
                        ErrorKind::Data,
                        format!("read `{object}`: its job is completed and its query is not"),
                    )),
                )),
                // Of a job that was aborted, nothing is taken.
                Standing::Running | Standing::Completed => {}
                // It was not begun, because another one failed.
                Standing::Ended if !completed && is_cancelled(batch.status.as_deref()) => {}
                Standing::Ended => {
                    let status = batch.status.as_deref().unwrap_or_default();
                    let message = batch.message.as_deref().unwrap_or_default();
                    let error = if status.eq_ignore_ascii_case("deleted_notallowed") {
                        errors::aqua_error(Some("90017"), message)
                    } else {
                        errors::aqua_error(None, message)
                    };
                    match Meaning::of(&error) {
                        Some(Meaning::NoDeletesOfObject | Meaning::NoDeletes) if query.deletes => {
                            self.learnt.no_deletes_of(object, self.jobs.client.now());
                            mended = true;
                        }
                        Some(Meaning::UnknownField) => {
                            let only = [(*number, ask.clone())];
                            match self.drop_field(&only, error) {
                                None => mended = true,
                                Some(error) => culprits.push((*number, Outcome::Refused(error))),
                            }
                        }
                        Some(Meaning::TooLarge) => {
                            culprits.push((*number, Outcome::TooLarge(error, false)));
                        }
                        Some(
                            Meaning::Forbidden
                            | Meaning::BadQuery
                            | Meaning::Gone
                            | Meaning::NoDeletes
                            | Meaning::NoDeletesOfObject,
                        ) => {
                            culprits.push((*number, Outcome::Refused(error)));
                        }
                        _ => vague.push((*number, error)),
                    }
                }
            }
        }
        if completed {
            culprits.extend(
                vague
                    .drain(..)
                    .map(|(number, error)| (number, Outcome::Refused(error))),
            );
        } else if is_cancelled(job.status.as_deref()) {
            // Somebody wanted it to end: nobody's query is wrong.
            let all: Vec<usize> = asks.iter().map(|(number, _)| *number).collect();
            culprits = all
                .into_iter()
                .map(|number| (number, Outcome::Refused(cancelled(id))))
                .collect();
        } else if !culprits.is_empty() || mended {
            // Whoever else ended did so because of them, and is asked again.
        } else if let (Some((number, _)), true) = (vague.first(), vague.len() == 1) {
            // One ended without a reason, the others were not begun: alone it is asked in smaller pieces.
            let number = *number;
            culprits.extend(
                vague
                    .pop()
                    .map(|(_, error)| (number, Outcome::TooLarge(error, true))),
            );
        } else {
            self.kept.forget(id);
            // The first that ended without a reason ended the others; alone it is asked once more.
            let reason = vague.into_iter().next().map(|(_, error)| error);
            return Some(reason.unwrap_or_else(|| {
                let message = job.message.as_deref().unwrap_or_default();
                errors::aqua_error(None, message)
            }));
        }
        if !completed {
            self.kept.forget(id);
        }
        for (number, outcome) in culprits.into_iter().chain(done) {
            asks.retain(|(other, _)| *other != number);
            outcomes.insert(number, outcome);
        }
        None
    }

    /// The result of a job of an earlier run; `None` if it is of no use any more.
    ///
    /// # Errors
    /// What concerns all of them: no login, no service, no budget.
    pub(crate) async fn revive(
        &self,
        entity: &str,
        id: &str,
        query: &str,
    ) -> Result<Option<Outcome>> {
        let mut over = self.jobs.over.lock().await;
        let looked = if let Some(job) = over.get(id) {
            Ok(Arc::clone(job))
        } else {
            self.jobs.note(id, entity, true);
            self.jobs.wait(id, entity).await.map(Arc::new)
        };
        let job = match looked {
            Ok(job) => job,
            Err(error) if Meaning::of(&error).is_some() => {
                self.jobs.note(id, entity, false);
                self.kept.forget(id);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.jobs.note(id, entity, false);
        over.insert(id.to_owned(), Arc::clone(&job));
        drop(over);
        // A damaged answer is asked for anew, with its job.
        let batch = batch_of(&job, query).ok().flatten();
        let good =
            |status: &Option<String>| api::standing(status.as_deref()) == Standing::Completed;
        match batch {
            Some(batch) if good(&job.status) && good(&batch.status) => Ok(Some(Outcome::Files {
                job: id.to_owned(),
                query: query.to_owned(),
                files: batch.files()?,
                deletes: self.kept.asked_deletes(id, query),
            })),
            _ => {
                self.kept.strike(id, query);
                Ok(None)
            }
        }
    }
}

/// The result of a query, if the job has one.
///
/// # Errors
/// `Data` if it has two: nobody knows which of them counts.
fn batch_of<'a>(job: &'a Job, query: &str) -> Result<Option<&'a Batch>> {
    let mut batches = job
        .batches
        .iter()
        .filter(|batch| batch.name.as_deref() == Some(query));
    match (batches.next(), batches.next()) {
        (_, Some(_)) => Err(Error::new(
            ErrorKind::Data,
            format!("believe a job: it has two results of its query `{query}`"),
        )),
        (batch, None) => Ok(batch),
    }
}

/// What a refusal means for a query that is alone in its job.
fn alone(error: Error) -> Outcome {
    match Meaning::of(&error) {
        Some(Meaning::TooLarge) => Outcome::TooLarge(error, false),
        Some(_) => Outcome::Refused(error),
        None => Outcome::TooLarge(error, true),
    }
}

fn kept_query(ask: &Ask, named: &Named, learnt: &Learnt) -> Option<KeptQuery> {
    let Span::Window { lower, upper, .. } = &ask.span else {
        return None;
    };
    ask.page.is_none().then(|| KeptQuery {
        name: named.name.clone(),
        stream: ask.stream.to_string(),
        shape: ask.shape(learnt),
        lower: *lower,
        upper: *upper,
        deletes: named.deletes,
    })
}

fn ignored(object: &str) -> Error {
    Meaning::Forbidden.mark(
        Error::new(
            ErrorKind::Permission,
            format!("read `{object}`: Zuora left its query out of the job without a word, as it does where the user has no permission (90018)"),
        )
        .hint("give the source's user permission to the object, or remove the stream from the pipeline"),
    )
}

fn is_cancelled(status: Option<&str>) -> bool {
    status.is_some_and(|status| status.to_ascii_lowercase().starts_with("cancel"))
}

fn cancelled(id: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("finish job {id}: somebody cancelled it at Zuora"),
    )
    .hint("run again, once whoever cancelled it agrees")
}
