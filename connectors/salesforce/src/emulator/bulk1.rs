//! Bulk API 1.0, for clients that still use it: jobs, batches, results, in XML or JSON.
//!
//! Batches are complete at the first look, unless the org is set to let clients poll. With PK chunking
//! the first batch is not processed and one batch per range of ids follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde::Deserialize;

use super::answer::{ASYNC_NAMESPACE, Answer, Refusal, escape_xml, quote};
use super::bulk2;
use super::evaluate::{Plan, Reader};
use super::model::Row;
use super::oauth::user_id;
use super::render::{CsvStyle, Dialect, JsonWriter, bulk_instant};
use super::service::{Ask, Call};

/// Default and largest number of ids per chunk.
const CHUNK_ROWS: usize = 100_000;
const MAX_CHUNK_ROWS: usize = 250_000;

/// Most rows of one result file.
const RESULT_ROWS: usize = 250_000;

#[derive(Debug)]
struct Batch {
    id: String,
    created: Timestamp,
    polls: u64,
    /// `NotProcessed`, `Failed`, or `None` for what depends on polls.
    fixed: Option<&'static str>,
    message: Option<String>,
    rows: Arc<Vec<Row>>,
    plan: Option<Arc<Plan>>,
}

#[derive(Debug)]
struct Job {
    id: String,
    all: bool,
    object: String,
    json: bool,
    created: Timestamp,
    state: &'static str,
    version: String,
    chunk_rows: Option<usize>,
    batches: Vec<Batch>,
}

/// All jobs of Bulk API 1.0.
#[derive(Debug, Default)]
pub(super) struct AsyncJobs {
    known: BTreeMap<String, Job>,
}

impl AsyncJobs {
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

/// Answers everything below `/services/async/{version}`. `json` is what the request itself speaks.
pub(super) fn answer(call: &mut Call<'_>, ask: &Ask, json: bool) -> Response {
    let path = ask.segments();
    // Within a job its content type decides the language, whatever the request says.
    let json = match path.as_slice() {
        ["job", id, ..] => match call.state.async_jobs.known.get(*id) {
            Some(job) if path.len() > 2 => job.json,
            _ => json,
        },
        _ => json,
    };
    let answered = match (ask.method.as_str(), path.as_slice()) {
        ("POST", ["job"]) => create(call, ask),
        ("POST", ["job", id]) => change(call, ask, id),
        ("GET", ["job", id]) => find(call, id).map(|job| job_answer(200, job, json)),
        ("POST", ["job", id, "batch"]) => add_batch(call, ask, id),
        ("GET", ["job", id, "batch"]) => batches(call, id),
        ("GET", ["job", id, "batch", batch]) => batch_info(call, id, batch),
        ("GET", ["job", id, "batch", batch, "result"]) => result_list(call, id, batch),
        ("GET", ["job", id, "batch", batch, "result", result]) => {
            result_data(call, ask, id, batch, result)
        }
        _ => Err(Refusal::new(400, "InvalidUrl", "Destination URL not found")),
    };
    answered.unwrap_or_else(|refusal| refusal.into_async(json))
}

fn find<'a>(call: &'a mut Call<'_>, id: &str) -> Answer<&'a mut Job> {
    // Always JSON on the wire for unknown jobs, see `create`.
    call.state
        .async_jobs
        .known
        .get_mut(id)
        .ok_or_else(|| Refusal::new(400, "InvalidJob", format!("Unable to find job: {id}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    operation: String,
    object: String,
    #[serde(default)]
    content_type: Option<String>,
}

/// Reads a job from JSON or from XML.
fn read_create(ask: &Ask) -> Answer<Create> {
    if ask.body.trim_ascii_start().starts_with(b"{") {
        return ask
            .json()
            .map_err(|refusal| Refusal::new(400, "InvalidJob", refusal.message));
    }
    let text = String::from_utf8_lossy(&ask.body).into_owned();
    let element = |name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        after.split('<').next().map(str::to_owned)
    };
    match (element("operation"), element("object")) {
        (Some(operation), Some(object)) => Ok(Create {
            operation,
            object,
            content_type: element("contentType"),
        }),
        _ => Err(Refusal::new(400, "InvalidJob", "Unable to parse Job")),
    }
}

fn create(call: &mut Call<'_>, ask: &Ask) -> Answer {
    let create = read_create(ask)?;
    let all = match create.operation.as_str() {
        "query" => false,
        "queryAll" => true,
        other => {
            return Err(Refusal::new(
                400,
                "InvalidJob",
                format!("Operation {other} is not supported by this org"),
            ));
        }
    };
    let object = call.object_at(&create.object, call.now).ok_or_else(|| {
        Refusal::new(
            400,
            "InvalidJob",
            format!("InvalidEntity : Unable to find object: {}", create.object),
        )
    })?;
    let behaviour = &call.state.behaviour;
    let refused = behaviour.bulk_refused.iter();
    let mut refused = refused.map(|name| name.eq_ignore_ascii_case(&object.name));
    if behaviour.bulk_disabled {
        return Err(Refusal::new(
            400,
            "FeatureNotEnabled",
            "Async API not enabled",
        ));
    }
    if !object.bulk || refused.any(|refused| refused) {
        return Err(Refusal::new(
            400,
            "InvalidEntity",
            format!("Entity '{}' is not supported by the Bulk API.", object.name),
        ));
    }
    let json = match create.content_type.as_deref() {
        None | Some("CSV" | "XML") => false,
        Some("JSON") => true,
        Some(other) => {
            return Err(Refusal::new(
                400,
                "InvalidJob",
                format!("Unsupported content type: {other}"),
            ));
        }
    };
    let chunking = ask.header("sforce-enable-pkchunking");
    let chunk_rows = (!chunking.is_empty() && !chunking.eq_ignore_ascii_case("false")).then(|| {
        let asked = chunking
            .split(';')
            .find_map(|option| option.trim().strip_prefix("chunkSize="))
            .and_then(|size| size.trim().parse().ok());
        asked.unwrap_or(CHUNK_ROWS).clamp(1, MAX_CHUNK_ROWS)
    });
    let job = Job {
        id: call.state.new_id("750"),
        all,
        object: object.name.clone(),
        json,
        created: call.now,
        state: "Open",
        version: ask.version.clone(),
        chunk_rows,
        batches: Vec::new(),
    };
    // The answer speaks the language of the request, not that of the batches.
    let speaks_json = ask.body.trim_ascii_start().starts_with(b"{");
    let response = job_answer(201, &job, speaks_json);
    call.state.async_jobs.known.insert(job.id.clone(), job);
    Ok(response)
}

fn change(call: &mut Call<'_>, ask: &Ask, id: &str) -> Answer {
    let text = String::from_utf8_lossy(&ask.body).into_owned();
    let job = find(call, id)?;
    if text.contains("Closed") {
        job.state = "Closed";
    } else if text.contains("Aborted") {
        job.state = "Aborted";
    } else {
        return Err(Refusal::new(
            400,
            "InvalidJobState",
            "Unknown state for a job",
        ));
    }
    let json = text.trim_start().starts_with('{');
    Ok(job_answer(200, job, json))
}

/// Text of a job or batch from its pairs; numbers and booleans without quotes in JSON.
fn pairs_text(element: &str, pairs: &[(&str, String, bool)], json: bool) -> String {
    if json {
        let entries: Vec<String> = pairs
            .iter()
            .map(|(key, value, bare)| {
                let value = if *bare { value.clone() } else { quote(value) };
                format!("\"{key}\":{value}")
            })
            .collect();
        return format!("{{{}}}", entries.join(","));
    }
    let entries: Vec<String> = pairs
        .iter()
        .map(|(key, value, _)| format!("<{key}>{}</{key}>", escape_xml(value)))
        .collect();
    let entries = entries.concat();
    match element {
        "" => entries,
        element => format!("<{element} xmlns=\"{ASYNC_NAMESPACE}\">{entries}</{element}>"),
    }
}

fn in_language(status: u16, text: String, json: bool) -> Response {
    if json {
        Response::json(status, text)
    } else {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}");
        Response::of(status, "application/xml", text)
    }
}

fn job_answer(status: u16, job: &Job, json: bool) -> Response {
    let done = job
        .batches
        .iter()
        .filter(|batch| batch.fixed.is_none())
        .count();
    let rows: usize = job.batches.iter().map(|batch| batch.rows.len()).sum();
    let text = |value: &str| value.to_owned();
    let pairs = [
        ("id", text(&job.id), false),
        (
            "operation",
            text(if job.all { "queryAll" } else { "query" }),
            false,
        ),
        ("object", text(&job.object), false),
        ("createdById", user_id(), false),
        ("createdDate", bulk_instant(job.created), false),
        ("systemModstamp", bulk_instant(job.created), false),
        ("state", text(job.state), false),
        ("concurrencyMode", text("Parallel"), false),
        (
            "contentType",
            text(if job.json { "JSON" } else { "CSV" }),
            false,
        ),
        ("numberBatchesQueued", text("0"), true),
        ("numberBatchesInProgress", text("0"), true),
        ("numberBatchesCompleted", done.to_string(), true),
        (
            "numberBatchesFailed",
            (job.batches
                .iter()
                .filter(|batch| batch.fixed == Some("Failed"))
                .count())
            .to_string(),
            true,
        ),
        ("numberBatchesTotal", job.batches.len().to_string(), true),
        ("numberRecordsProcessed", rows.to_string(), true),
        ("numberRetries", text("0"), true),
        ("apiVersion", job.version.clone(), true),
        ("numberRecordsFailed", text("0"), true),
        ("totalProcessingTime", text("0"), true),
        ("apiActiveProcessingTime", text("0"), true),
        ("apexProcessingTime", text("0"), true),
    ];
    in_language(status, pairs_text("jobInfo", &pairs, json), json)
}

fn add_batch(call: &mut Call<'_>, ask: &Ask, id: &str) -> Answer {
    let query = String::from_utf8_lossy(&ask.body).into_owned();
    let job = find(call, id)?;
    if job.state != "Open" {
        return Err(Refusal::new(400, "InvalidJobState", "Job is not open"));
    }
    let (all, chunk_rows, json) = (job.all, job.chunk_rows, job.json);
    let used = call.state.quota.batches.sum(call.now);
    if used >= 15_000 {
        return Err(Refusal::new(
            400,
            "ExceededQuota",
            "ApiBatchItems Limit exceeded.",
        ));
    }
    let checked = bulk2::check(call, &query);
    let mut batches = Vec::new();
    match checked {
        // A bad query is found when the batch runs, not when it is added.
        Err(refusal) => {
            let mut batch = new_batch(call, Some("Failed"));
            batch.message = Some(format!(
                "InvalidBatch : Failed to process query: {}: {}",
                refusal.code, refusal.message
            ));
            batches.push(batch);
        }
        Ok(plan) => {
            let plan = Arc::new(plan);
            let reader = Reader {
                world: &call.state.world,
                at: call.now,
            };
            let rows = if let Some(bench) = call.bench_of(&plan.object.name) {
                let selection = bench.select(&plan);
                (0..selection.count())
                    .filter_map(|at| selection.row(at))
                    .collect()
            } else {
                let rows = call.state.world.rows_at(&plan.object.name, call.now);
                reader.rows(&plan, rows, all)
            };
            let chunked = chunk_rows.filter(|_| !plan.is_ordered());
            if let Some(chunk_rows) = chunked {
                batches.push(new_batch(call, Some("NotProcessed")));
                for chunk in rows.chunks(chunk_rows) {
                    let mut batch = new_batch(call, None);
                    batch.rows = Arc::new(chunk.to_vec());
                    batch.plan = Some(plan.clone());
                    batches.push(batch);
                }
                if rows.is_empty() {
                    let mut batch = new_batch(call, None);
                    batch.plan = Some(plan.clone());
                    batches.push(batch);
                }
            } else {
                let mut batch = new_batch(call, None);
                batch.rows = Arc::new(rows);
                batch.plan = Some(plan);
                batches.push(batch);
            }
        }
    }
    call.state.quota.batches.add(call.now, batches.len() as u64);
    let shown = batches
        .first()
        .map(|batch| batch_text(batch, id, "Queued", json, "batchInfo"));
    find(call, id)?.batches.extend(batches);
    Ok(in_language(201, shown.unwrap_or_default(), json))
}

fn new_batch(call: &mut Call<'_>, fixed: Option<&'static str>) -> Batch {
    Batch {
        id: call.state.new_id("751"),
        created: call.now,
        polls: 0,
        fixed,
        message: None,
        rows: Arc::default(),
        plan: None,
    }
}

impl Batch {
    fn state(&self, job_polls: u64) -> &'static str {
        match self.fixed {
            Some(state) => state,
            None if self.polls <= job_polls && job_polls > 0 => "InProgress",
            None => "Completed",
        }
    }
}

fn batch_text(batch: &Batch, job: &str, state: &str, json: bool, element: &str) -> String {
    let rows = if state == "Completed" {
        batch.rows.len()
    } else {
        0
    };
    let mut pairs = vec![
        ("id", batch.id.clone(), false),
        ("jobId", job.to_owned(), false),
        ("state", state.to_owned(), false),
    ];
    if let Some(message) = batch.message.as_ref().filter(|_| state == "Failed") {
        pairs.push(("stateMessage", message.clone(), false));
    }
    pairs.extend([
        ("createdDate", bulk_instant(batch.created), false),
        ("systemModstamp", bulk_instant(batch.created), false),
        ("numberRecordsProcessed", rows.to_string(), true),
        ("numberRecordsFailed", "0".to_owned(), true),
        ("totalProcessingTime", "0".to_owned(), true),
        ("apiActiveProcessingTime", "0".to_owned(), true),
        ("apexProcessingTime", "0".to_owned(), true),
    ]);
    pairs_text(element, &pairs, json)
}

fn batches(call: &mut Call<'_>, id: &str) -> Answer {
    let job_polls = call.state.behaviour.job_polls;
    let job = find(call, id)?;
    let json = job.json;
    let texts: Vec<String> = job
        .batches
        .iter_mut()
        .map(|batch| {
            batch.polls += 1;
            let text = batch_text(batch, id, batch.state(job_polls), json, "");
            if json {
                text
            } else {
                format!("<batchInfo>{text}</batchInfo>")
            }
        })
        .collect();
    let text = if json {
        format!("{{\"batchInfo\":[{}]}}", texts.join(","))
    } else {
        format!(
            "<batchInfoList xmlns=\"{ASYNC_NAMESPACE}\">{}</batchInfoList>",
            texts.concat()
        )
    };
    Ok(in_language(200, text, json))
}

fn find_batch<'a>(job: &'a mut Job, batch: &str) -> Answer<&'a mut Batch> {
    job.batches
        .iter_mut()
        .find(|known| known.id == batch)
        .ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidBatch",
                format!("Unable to find batch: {batch}"),
            )
        })
}

fn batch_info(call: &mut Call<'_>, id: &str, batch: &str) -> Answer {
    let job_polls = call.state.behaviour.job_polls;
    let job = find(call, id)?;
    let json = job.json;
    let batch = find_batch(job, batch)?;
    batch.polls += 1;
    let text = batch_text(batch, id, batch.state(job_polls), json, "batchInfo");
    Ok(in_language(200, text, json))
}

/// The id of the `part`th result of a batch; the batch id with another prefix and the part inside.
fn result_id(batch: &Batch, part: usize) -> String {
    let tail: String = batch.id.chars().skip(3).take(10).collect();
    super::schema::id18(&format!("752{tail}{part:02}"))
}

fn parts(batch: &Batch) -> usize {
    batch.rows.len().div_ceil(RESULT_ROWS).max(1)
}

fn completed<'a>(job: &'a mut Job, batch: &str, job_polls: u64) -> Answer<&'a mut Batch> {
    let batch = find_batch(job, batch)?;
    if batch.state(job_polls) != "Completed" {
        return Err(Refusal::new(400, "InvalidBatch", "Batch not completed"));
    }
    Ok(batch)
}

fn result_list(call: &mut Call<'_>, id: &str, batch: &str) -> Answer {
    let job_polls = call.state.behaviour.job_polls;
    let job = find(call, id)?;
    let json = job.json;
    let batch = completed(job, batch, job_polls)?;
    let ids: Vec<String> = (0..parts(batch))
        .map(|part| result_id(batch, part))
        .collect();
    let text = if json {
        let ids: Vec<String> = ids.iter().map(|id| quote(id)).collect();
        format!("[{}]", ids.join(","))
    } else {
        let ids: Vec<String> = ids
            .iter()
            .map(|id| format!("<result>{id}</result>"))
            .collect();
        let ids = ids.concat();
        format!("<result-list xmlns=\"{ASYNC_NAMESPACE}\">{ids}</result-list>")
    };
    Ok(in_language(200, text, json))
}

fn result_data(call: &mut Call<'_>, ask: &Ask, id: &str, batch: &str, result: &str) -> Answer {
    let job_polls = call.state.behaviour.job_polls;
    let double_integers = call.state.behaviour.double_integers;
    let now = call.now;
    let job = find(call, id)?;
    let json = job.json;
    let batch = completed(job, batch, job_polls)?;
    let part = (0..parts(batch))
        .find(|part| result_id(batch, *part) == result)
        .ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidBatch",
                format!("Unable to find result: {result}"),
            )
        })?;
    let (rows, plan) = (batch.rows.clone(), batch.plan.clone());
    let Some(plan) = plan else {
        return Err(Refusal::new(400, "InvalidBatch", "Batch has no results"));
    };
    let rows = rows.chunks(RESULT_ROWS).nth(part).unwrap_or_default();
    let reader = Reader {
        world: &call.state.world,
        at: now,
    };
    let mut text = String::new();
    if json {
        let version = ask.version_segment();
        let writer = JsonWriter {
            reader,
            version: &version,
            dialect: Dialect::Bulk1,
        };
        text.push('[');
        for (position, row) in rows.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            writer.record(&mut text, &plan.object.name, &plan.columns, row);
        }
        text.push(']');
        return Ok(Response::json(200, text));
    }
    let style = CsvStyle {
        delimiter: ',',
        crlf: false,
        double_integers,
    };
    if rows.is_empty() {
        text.push_str("\"Records not found for this query\"\n");
    } else {
        style.header(&mut text, &plan.columns);
    }
    for row in rows {
        style.row(&mut text, reader, &plan.columns, row);
    }
    Ok(Response::of(200, "text/csv; charset=UTF-8", text))
}
