//! AQuA: jobs of up to fifty queries over one snapshot, stateless or as increments of a session.
//!
//! A job is worked off when it is submitted, so that all its queries see that instant; its clients only learn of it
//! later. Refusals come as HTTP 200.

use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::{Value, json};

use super::bench::Bench;
use super::call::{Call, json_answer, refusal};
use super::csv::{self, Deleted, Format, Style};
use super::evaluate::{self, Found, Scope};
use super::files::Content;
use super::job::{Batch, Job};
use super::limits::too_concurrent;
use super::options::{Outcome, names};
use super::pacific;
use super::plan::{self, Plan};
use super::tenant::{Session, Tenant};
use super::zoql;

/// Most queries of a job.
const MAX_QUERIES: usize = 50;

/// Longest address for notifications.
const MAX_NOTIFY_CHARS: usize = 5_000;

/// A session that was silent for so many days begins anew.
const SESSION_DAYS: u64 = 180;

const SYNTAX: &str = "There is a syntax error in one of the queries in the AQuA input";

/// A refusal: code and message.
#[derive(Debug)]
pub(super) struct Refused(&'static str, String);

impl Refused {
    fn new(code: &'static str, message: &str) -> Self {
        Self(code, message.to_owned())
    }

    fn syntax(cause: &str, query: &str, plain: bool) -> Self {
        if plain {
            return Self::new("90005", SYNTAX);
        }
        Self(
            "90005",
            format!("{SYNTAX} (Error = {cause}, Query = {query})"),
        )
    }

    fn into_response(self, id: Option<String>) -> Response {
        let mut body = json!({"status": "error", "errorCode": self.0, "message": self.1});
        if let Some(id) = id {
            body["id"] = id.into();
        }
        json_answer(200, &body)
    }
}

/// Everything below `/v1/batch-query`; `rest` is what follows, without slashes around it.
pub(super) fn answer(tenant: &mut Tenant, call: &Call<'_>, rest: &str) -> Response {
    let parts: Vec<&str> = rest.split('/').collect();
    match (call.method.as_str(), parts.as_slice()) {
        ("POST", ["" | "jobs"]) => submit(tenant, call),
        ("GET", ["jobs", id]) => poll(tenant, call, id),
        ("DELETE", ["jobs", id]) => cancel(tenant, call, id),
        ("GET", ["jobs", "partner", partner, "project", project]) => {
            last_of(tenant, call, partner, project)
        }
        _ => refusal(404, 90_000_040, "The requested resource does not exist."),
    }
}

fn submit(tenant: &mut Tenant, call: &Call<'_>) -> Response {
    let Ok(given) = serde_json::from_slice::<Value>(call.body) else {
        return refusal(400, 90_000_090, "Malformed JSON in the request body");
    };
    settle_all(tenant, call.now);
    let running = tenant.jobs.values().filter(|job| !job.over).count() as u64;
    if running >= tenant.behaviour.concurrent_jobs && tenant.behaviour.concurrent_as_429 {
        tenant.refused += 1;
        return too_concurrent(tenant.behaviour.busy_retry_after_secs);
    }
    let id = tenant.new_id();
    let made = if running >= tenant.behaviour.concurrent_jobs {
        let message =
            "The total number of concurrent jobs has exceeded the limit allowed by the system.";
        Err(Refused::new("90028", message))
    } else {
        make(tenant, call, &given, id.clone())
    };
    match made {
        Ok(job) => {
            let body = job.json(true);
            tenant.order.push(id.clone());
            tenant.jobs.insert(id, job);
            json_answer(200, &body)
        }
        Err(refused) => {
            let id = tenant.behaviour.id_in_rejections.then_some(id);
            refused.into_response(id)
        }
    }
}

/// Whether a flag is on; some clients send it as text.
fn flag(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// The session of a stateful job.
fn session_of(given: &Value) -> Option<(String, String)> {
    let version = match &given["version"] {
        Value::String(text) => text.parse().unwrap_or(1.0),
        Value::Number(number) => number.as_f64().unwrap_or(1.0),
        _ => 1.0,
    };
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    let session = (text("partner")?, text("project")?);
    (version >= 1.1).then_some(session)
}

fn make(tenant: &mut Tenant, call: &Call<'_>, given: &Value, id: String) -> Result<Job, Refused> {
    let long = |value: &Value| {
        let notify = value["notifyUrl"].as_str().unwrap_or_default();
        notify.chars().count() >= MAX_NOTIFY_CHARS
    };
    if long(given) {
        let message = "notifyURL must be less than 5000 characters in length.";
        return Err(Refused::new("90014", message));
    }
    let format = Format::parse(given["format"].as_str().unwrap_or("csv"))
        .ok_or_else(|| Refused::new("90010", "The format is not supported."))?;
    let session = session_of(given);
    if let Some((partner, _)) = &session
        && !names(&tenant.behaviour.partner_ids, partner)
    {
        return Err(Refused::new(
            "90019",
            "Partner ID is not recognized. Note: Submit a request at Zuora Global Support to obtain a partner ID.",
        ));
    }
    let known = session
        .as_ref()
        .and_then(|key| tenant.sessions.get(key))
        .cloned();
    let mut queries = &given["queries"];
    let mut reused = false;
    if queries.as_array().is_none_or(Vec::is_empty) {
        match &known {
            Some(known) => {
                queries = &known.submitted;
                reused = true;
            }
            None => {
                return Err(Refused::new(
                    "90016",
                    "There are no queries included in the AQuA version 1.0 request.",
                ));
            }
        }
    }
    let queries = queries.as_array().cloned().unwrap_or_default();
    if queries.len() > MAX_QUERIES {
        return Err(Refused::new(
            "90004",
            "Invalid number of queries allowed. A maximum of 50 queries are supported in an AQuA request.",
        ));
    }
    let utc = tenant.behaviour.european;
    let incremental = match given["incrementalTime"].as_str() {
        Some(text) if session.is_some() => Some(
            pacific::parse_stamp(text, utc)
                .ok_or_else(|| Refused::new("90015", "The incremental timestamp is invalid."))?,
        ),
        _ => None,
    };
    let offset = given["offset"].as_u64().unwrap_or(0);
    if session.is_some() && offset > 3_600 {
        return Err(Refused::new(
            "90015",
            "The offset must be between 0 and 3600 seconds.",
        ));
    }
    let until = call.now.minus(std::time::Duration::from_secs(offset));
    let style = Style {
        labels: flag(&given["useQueryLabels"]),
        utc: flag(&given["dateTimeUtc"]),
        null: given["nullReplacement"].as_str().map(str::to_owned),
        deleted: None,
    };
    let mut checked = Vec::new();
    for query in &queries {
        if let Some(query) = check(tenant, call, query, session.is_some())? {
            checked.push(query);
        }
    }
    // Without any query that the user may run the job is empty, and completes: 90018 is never said.
    let mut job = Job {
        id,
        echo: echo(given, reused, incremental),
        format,
        submitted: call.now,
        polls: 0,
        batches: Vec::new(),
        end: "completed",
        over: false,
        moves: session.is_some() && incremental.is_none(),
        session,
        utc,
    };
    let since = known.map(|known| (known, call.now));
    for query in checked {
        // What ran before keeps its files; what would have come after does not run.
        if job.end != "completed" {
            job.batches
                .push(query.into_batch(tenant, "cancelled", "The query was not executed."));
            continue;
        }
        let mut window = incremental.map(|from| (from, until));
        if window.is_none()
            && let Some((known, now)) = &since
        {
            let silent = now.since(known.start).as_secs() >= SESSION_DAYS * 86_400;
            let same = known.queries.contains(&query.identity());
            if same && !silent {
                window = Some((known.start, until));
            }
        }
        let batch = work(tenant, call, &job, query, window, &style)?;
        match batch.end {
            "completed" => {}
            "error" => job.end = "error",
            "cancelled" => job.end = "cancelled",
            _ => job.end = "aborted",
        }
        job.batches.push(batch);
    }
    Ok(job)
}

fn echo(given: &Value, reused: bool, incremental: Option<Timestamp>) -> Value {
    let or = |name: &str, otherwise: Value| match &given[name] {
        Value::Null => otherwise,
        value => value.clone(),
    };
    let mut echo = json!({
        "name": or("name", "".into()), "version": or("version", 1.0.into()),
        "encrypted": or("encrypted", "none".into()), "offset": or("offset", 0.into()),
        "sourceData": or("sourceData", "LIVE".into()), "useLastCompletedJobQueries": reused,
    });
    for name in ["partner", "project", "notifyUrl"] {
        if !given[name].is_null() {
            echo[name] = given[name].clone();
        }
    }
    if let Some(time) = incremental {
        echo["incrementalTime"] = (time.seconds() * 1_000).into();
    }
    echo
}

/// A query that may run.
struct Checked {
    name: String,
    kind: String,
    api_version: Value,
    text: String,
    deleted: Option<Deleted>,
    object: String,
    plan: Plan,
}

impl Checked {
    /// What a session compares.
    fn identity(&self) -> (String, Option<(String, bool)>) {
        let deleted = self.deleted.as_ref();
        let deleted = deleted.map(|deleted| (deleted.column.clone(), deleted.numeric));
        (self.text.clone(), deleted)
    }

    fn into_batch(self, tenant: &mut Tenant, end: &'static str, message: &str) -> Batch {
        Batch {
            id: tenant.new_id(),
            name: self.name,
            kind: self.kind,
            api_version: self.api_version,
            query: self.text,
            deleted: self.deleted,
            full: true,
            end,
            message: message.to_owned(),
            count: 0,
            files: Vec::new(),
            segmented: false,
        }
    }
}

/// Checks a query; `None` if it is left out without a word.
fn check(
    tenant: &Tenant,
    call: &Call<'_>,
    given: &Value,
    stateful: bool,
) -> Result<Option<Checked>, Refused> {
    let text = given["query"].as_str().unwrap_or_default();
    let behaviour = &tenant.behaviour;
    let syntax = |cause: &str| Refused::syntax(cause, text, behaviour.plain_message);
    let kind = given["type"].as_str().unwrap_or("zoqlexport");
    if !matches!(kind.to_ascii_lowercase().as_str(), "zoqlexport" | "zoql") {
        return Err(syntax(&format!("Unknown query type {kind}")));
    }
    let query = zoql::parse(text).map_err(|cause| syntax(&cause))?;
    let known = plan::find(&tenant.world, &query.object);
    if known.is_some_and(|object| object.forbidden)
        || names(&behaviour.vanish_queries, &query.object)
    {
        return Ok(None);
    }
    let view = tenant.view(call.now, call.entity);
    let plan = plan::bind(&query, view, tenant.rules()).map_err(|cause| syntax(&cause))?;
    let deleted = match &given["deleted"] {
        Value::Null => None,
        deleted => {
            let numeric = match deleted["format"].as_str() {
                Some("Boolean") => false,
                Some("Numeric") => true,
                _ => return Err(syntax("The format of the deleted column is invalid")),
            };
            let forced = flag(&deleted["forceExport"]) && behaviour.force_export;
            if !stateful && !forced {
                return Err(Refused::new(
                    "90012",
                    "Stateless AQuA does not support deleted columns.",
                ));
            }
            let column = deleted["column"].as_str().unwrap_or("Deleted").to_owned();
            Some(Deleted { column, numeric })
        }
    };
    if deleted.is_some() && known.is_some_and(|object| !object.deletes) {
        let message = if behaviour.plain_message {
            "Objects included in the queries do not support the querying of deleted records. Remove Deleted section \
             in the JSON request and retry the request"
        } else {
            "Objects included in the queries do not support the querying of deleted records. Remove \"Deleted\" \
             section in the JSON request and retry the request."
        };
        return Err(Refused::new("90017", message));
    }
    let currencies = given["convertToCurrencies"].as_str().unwrap_or_default();
    let strange = currencies
        .split(',')
        .any(|code| !(code.is_empty() || code.len() == 3 && code.chars().all(char::is_alphabetic)));
    if strange {
        return Err(Refused::new(
            "90021",
            "Invalid currency specified in the convertToCurrencies request parameter.",
        ));
    }
    let api_version = match &given["apiVersion"] {
        Value::Null => "145.0".into(),
        version => version.clone(),
    };
    Ok(Some(Checked {
        name: given["name"].as_str().unwrap_or_default().to_owned(),
        kind: kind.to_owned(),
        api_version,
        text: text.to_owned(),
        deleted,
        object: plan.object.clone(),
        plan,
    }))
}

/// Runs a query and keeps its files.
fn work(
    tenant: &mut Tenant,
    call: &Call<'_>,
    job: &Job,
    query: Checked,
    window: Option<(Timestamp, Timestamp)>,
    style: &Style,
) -> Result<Batch, Refused> {
    if query.plan.poisonous {
        let message = "90007: The query execution has been aborted.";
        return Ok(query.into_batch(tenant, "aborted", message));
    }
    if let Some(outcome) = planned(tenant, &query.object) {
        let (end, message) = ending(outcome);
        return Ok(query.into_batch(tenant, end, message));
    }
    let style = Style {
        deleted: query.deleted.clone(),
        ..style.clone()
    };
    let bench = tenant
        .bench
        .clone()
        .filter(|_| Bench::serves(&query.object));
    if let Some(bench) = bench {
        if job.format == Format::Zip {
            return Err(Refused::new(
                "90010",
                "Made-up rows cannot be packed as zip.",
            ));
        }
        let behaviour = &tenant.behaviour;
        let selection = bench
            .select(&query.plan, &style, behaviour)
            .map_err(|cause| Refused::syntax(&cause, &query.text, behaviour.plain_message))?;
        let rows = selection.rows();
        let id = tenant.new_id();
        tenant.files.keep(
            id.clone(),
            Content::Bench(selection),
            job.format,
            call.now,
            false,
        );
        let mut batch = query.into_batch(tenant, "completed", "");
        batch.count = i64::try_from(rows).unwrap_or(i64::MAX);
        batch.files = vec![id];
        return Ok(batch);
    }
    let behaviour = &tenant.behaviour;
    let view = tenant.view(call.now, call.entity);
    // The first job of a session has no deleted rows.
    let stateful = job.session.is_some();
    let scope = Scope {
        deleted: style.deleted.is_some() && (!stateful || window.is_some()),
        window,
    };
    let mut found = evaluate::run(&query.plan, view, scope);
    if let Found::Rows(rows) = &mut found {
        if behaviour
            .abort_above_rows
            .is_some_and(|most| rows.len() as u64 > most)
        {
            let (end, message) = ending(Outcome::TooLong);
            return Ok(query.into_batch(tenant, end, message));
        }
        let most = usize::try_from(behaviour.duplicate_rows).unwrap_or(usize::MAX);
        rows.extend_from_within(..most.min(rows.len()));
        let most = usize::try_from(behaviour.out_of_window_rows).unwrap_or(usize::MAX);
        if most > 0 {
            rows.extend(evaluate::outside(&query.plan, view, most));
        }
    }
    let written = csv::write(&query.plan, &found, view, &style, behaviour);
    let count = i64::try_from(written.rows).unwrap_or(i64::MAX);
    let count = count.saturating_add(behaviour.wrong_count);
    let segmented = behaviour.segments_of_rows.is_some();
    let mut files = Vec::new();
    for text in written.texts {
        let id = tenant.new_id();
        let name = format!("{}.csv", query.name);
        let packed = csv::pack(job.format, &name, text)
            .map_err(|_| Refused::new("90006", "Internal Storage Error."))?;
        tenant.files.keep(
            id.clone(),
            Content::Bytes(packed),
            job.format,
            call.now,
            false,
        );
        files.push(id);
    }
    let mut batch = query.into_batch(tenant, "completed", "");
    batch.full = window.is_none();
    batch.count = count;
    batch.files = files;
    batch.segmented = segmented;
    Ok(batch)
}

/// The planned outcome of a query, counted down.
fn planned(tenant: &mut Tenant, object: &str) -> Option<Outcome> {
    let mut planned = tenant.behaviour.batch_outcomes.iter_mut();
    let planned =
        planned.find(|planned| planned.jobs > 0 && planned.object.eq_ignore_ascii_case(object))?;
    planned.jobs -= 1;
    Some(planned.outcome)
}

fn ending(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Aborted => ("aborted", "90007: The query execution has been aborted."),
        Outcome::TooLong => (
            "aborted",
            "90027: The query exceeded maximum processing time.",
        ),
        Outcome::Stuck => (
            "aborted",
            "90029: The job was marked as Error as it exceeded maximum time limit in Processing status.",
        ),
        Outcome::Error => ("error", "90010: Internal Server Error."),
        Outcome::Cancelled => ("cancelled", "The query was cancelled."),
        Outcome::DeletedNotallowed => (
            "deleted_notallowed",
            "90017: Objects included in the queries do not support the querying of deleted records.",
        ),
    }
}

/// Ends the jobs whose time has come.
pub(super) fn settle_all(tenant: &mut Tenant, now: Timestamp) {
    let running: Vec<String> = tenant
        .jobs
        .values()
        .filter(|job| !job.over)
        .map(|job| job.id.clone())
        .collect();
    for id in running {
        settle(tenant, now, &id);
    }
}

fn settle(tenant: &mut Tenant, now: Timestamp, id: &str) {
    let latency = tenant.behaviour.job_latency_secs;
    let polls = tenant.behaviour.job_polls;
    let Some(job) = tenant.jobs.get_mut(id) else {
        return;
    };
    let before = job.over;
    if before || !job.settle(now, latency, polls) || job.end != "completed" || !job.moves {
        return;
    }
    let Some(key) = job.session.clone() else {
        return;
    };
    let queries = job.batches.iter().map(|batch| {
        let deleted = batch.deleted.as_ref();
        let deleted = deleted.map(|deleted| (deleted.column.clone(), deleted.numeric));
        (batch.query.clone(), deleted)
    });
    let submitted = job.batches.iter().map(|batch| {
        let mut query = json!({
            "name": batch.name, "type": batch.kind, "apiVersion": batch.api_version,
            "query": batch.query,
        });
        if let Some(deleted) = &batch.deleted {
            query["deleted"] = json!({"column": deleted.column, "format": deleted.format()});
        }
        query
    });
    let session = Session {
        job: job.id.clone(),
        start: job.submitted,
        queries: queries.collect(),
        submitted: submitted.collect(),
    };
    tenant.sessions.insert(key, session);
}

fn poll(tenant: &mut Tenant, call: &Call<'_>, id: &str) -> Response {
    if let Some(job) = tenant.jobs.get_mut(id) {
        job.polls += 1;
    }
    settle(tenant, call.now, id);
    match tenant.jobs.get(id) {
        Some(job) => json_answer(200, &job.json(false)),
        None => Refused::new("90002", "Invalid Job Id.").into_response(None),
    }
}

fn cancel(tenant: &mut Tenant, call: &Call<'_>, id: &str) -> Response {
    settle(tenant, call.now, id);
    match tenant.jobs.get_mut(id) {
        Some(job) if !job.over => {
            job.cancel();
            json_answer(200, &job.json(false))
        }
        _ => {
            let refused = Refused::new("90003", "Invalid Job Id for job cancellation.");
            refused.into_response(Some(id.to_owned()))
        }
    }
}

fn last_of(tenant: &mut Tenant, call: &Call<'_>, partner: &str, project: &str) -> Response {
    settle_all(tenant, call.now);
    let key = (partner.to_owned(), project.to_owned());
    let known = tenant.sessions.get(&key);
    let job = known.and_then(|known| tenant.jobs.get(&known.job));
    match job {
        Some(job) if job.is_complete() => json_answer(200, &job.json(false)),
        _ => Refused::new("90002", "Invalid Job Id.").into_response(None),
    }
}
