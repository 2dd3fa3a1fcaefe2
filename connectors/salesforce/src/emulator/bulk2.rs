//! Bulk API 2.0 query jobs: create, poll, results, result pages, abort, delete, list.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use overlock_sandbox::{Body, Response};
use serde::Deserialize;

use super::answer::{Answer, Refusal, empty, quote};
use super::evaluate::{Column, Plan};
use super::job::{Job, Rows, State, bounded_end};
use super::model::FieldKind;
use super::options::{Behaviour, Outcome};
use super::query;
use super::render::CsvStyle;
use super::service::{Ask, Call};
use super::world::World;

/// Jobs and their results live so long.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// First version with `resultPages`.
const RESULT_PAGES_SINCE: u32 = 58;

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
