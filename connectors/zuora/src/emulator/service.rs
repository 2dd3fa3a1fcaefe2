//! The tenant behind one address: who asks, what it costs, which resource answers.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flate2::read::GzDecoder;
use overlock_core::Clock;
use overlock_sandbox::{Body, Emulator, Request, Response, VirtualClock};
use serde_json::{Value, json};

use super::bench::Bench;
use super::call::{Call, json_answer, refusal};
use super::job::JobRecord;
use super::limits::{too_concurrent, too_many};
use super::options::{Behaviour, Credentials, take};
use super::tenant::Tenant;
use super::world::World;
use super::{action, aqua, describe, files, legacy, oauth, object_query};

/// Most bytes of a packed request body.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// One emulated tenant.
pub struct ZuoraEmulator {
    clock: VirtualClock,
    credentials: Credentials,
    evolves: bool,
    tenant: Mutex<Tenant>,
}

impl ZuoraEmulator {
    /// A tenant over a world. Its clock decides what is there, when tokens end and jobs are done.
    pub fn new(world: World, clock: VirtualClock) -> Self {
        Self {
            clock,
            credentials: Credentials::default(),
            evolves: true,
            tenant: Mutex::new(Tenant::new(world)),
        }
    }

    /// The same tenant with other credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The same tenant with other limits and habits.
    #[must_use]
    pub fn with_behaviour(self, behaviour: Behaviour) -> Self {
        self.tenant().behaviour = behaviour;
        self
    }

    /// The same tenant, whose world changes only by mutations of a test.
    #[must_use]
    pub fn without_evolution(mut self) -> Self {
        self.evolves = false;
        self
    }

    /// The same tenant with so many made-up invoice items instead of its own, for measurements: forty columns,
    /// about 540 bytes a row, files of any size, and so many empty objects that there are some more than a hundred.
    /// All other objects stay as they are.
    #[must_use]
    pub fn with_bench(self, rows: u64) -> Self {
        let mut tenant = self.tenant();
        tenant.bench = Some(Arc::new(Bench::new(rows, self.clock.now())));
        tenant.world.add_object(Bench::object());
        for object in Bench::more_objects(&tenant.world) {
            tenant.world.add_object(object);
        }
        tenant.behaviour.max_file_bytes = u64::MAX;
        drop(tenant);
        self
    }

    /// Who may log in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Looks at the world or changes it, as it stands now: what the clock has passed has happened.
    pub fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut tenant = self.tenant();
        if self.evolves {
            tenant.world.evolve(self.clock.now());
        }
        act(&mut tenant.world)
    }

    /// Changes limits and habits while it runs.
    pub fn behave(&self, act: impl FnOnce(&mut Behaviour)) {
        act(&mut self.tenant().behaviour);
    }

    /// Ends every access token that was given out.
    pub fn expire_tokens(&self) {
        self.tenant().tokens.expire_all();
    }

    /// How many tokens were given out since the start.
    pub fn logins(&self) -> u64 {
        self.tenant().tokens.logins
    }

    /// All jobs of AQuA, oldest first; refused submissions are none.
    pub fn jobs(&self) -> Vec<JobRecord> {
        let mut tenant = self.tenant();
        aqua::settle_all(&mut tenant, self.clock.now());
        let jobs = tenant.order.iter();
        jobs.filter_map(|id| tenant.jobs.get(id).map(super::job::Job::record))
            .collect()
    }

    /// Calls by kind: `token`, `describe`, `submit`, `poll`, `cancel`, `file`, `export`, `action`, `data_query`,
    /// `object_query`, `other`.
    pub fn calls_by_kind(&self) -> BTreeMap<&'static str, u64> {
        self.tenant().calls.clone()
    }

    /// How many calls were answered 429.
    pub fn refused(&self) -> u64 {
        self.tenant().refused
    }

    /// What `GET /__stats` says.
    pub fn stats(&self) -> Value {
        let tenant = self.tenant();
        json!({
            "now": self.clock.now(), "requests": tenant.requests, "logins": tenant.tokens.logins,
            "refused": tenant.refused, "jobs": tenant.order.len(), "calls": tenant.calls,
        })
    }

    fn tenant(&self) -> MutexGuard<'_, Tenant> {
        self.tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `POST /__clock` with `{"advance": SECONDS}`.
    fn turn(&self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        if let Some(seconds) = body["advance"].as_u64() {
            self.clock.advance(Duration::from_secs(seconds));
        }
        let now = self.clock.now();
        if self.evolves {
            self.tenant().world.evolve(now);
        }
        json_answer(200, &json!({ "now": now }))
    }

    /// A call that has been counted.
    fn admitted(&self, tenant: &mut Tenant, request: &Request, kind: &str) -> Response {
        if kind == "token" {
            let Tenant {
                tokens, behaviour, ..
            } = tenant;
            let token = tokens.token(request, &self.credentials, behaviour);
            return troubled(tenant, kind).unwrap_or(token);
        }
        // A signed address is its own permission.
        let entity = if request.path.starts_with("/data-files/") {
            Ok(None)
        } else {
            tenant
                .tokens
                .admit(request, &self.credentials)
                .and_then(|()| oauth::organisations(request, &tenant.behaviour.org_ids))
                .and_then(|()| oauth::entity(request, tenant.world.entities()))
        };
        let entity = match entity {
            Ok(entity) => entity,
            Err(refused) => return *refused,
        };
        if let Some(trouble) = troubled(tenant, kind) {
            return trouble;
        }
        if self.evolves {
            tenant.world.evolve(request.at);
        }
        let base = format!("http://{}", request.header("host"));
        let mut unpacked = Vec::new();
        let body = if request
            .header("content-encoding")
            .eq_ignore_ascii_case("gzip")
        {
            let mut reader = GzDecoder::new(request.body.as_ref()).take(MAX_BODY_BYTES);
            if reader.read_to_end(&mut unpacked).is_err() {
                return refusal(400, 90_000_090, "The request body is not gzip");
            }
            unpacked.as_slice()
        } else {
            request.body.as_ref()
        };
        let call = Call {
            method: &request.method,
            path: &request.path,
            query: &request.query,
            headers: &request.headers,
            body,
            now: request.at,
            base: &base,
            entity,
        };
        let key = request.header("idempotency-key");
        if key.is_empty() || request.method != http::Method::POST {
            return route(tenant, &call);
        }
        let key = format!("{} {key}", request.path);
        if let Some(first) = tenant.replays.get(&key) {
            return Response::json(409, first.clone());
        }
        let mut response = route(tenant, &call);
        let body = std::mem::replace(&mut response.body, Body::Full(bytes::Bytes::new()));
        let body = body.into_bytes();
        if response.status.is_success() {
            tenant.replays.insert(key, body.clone());
        }
        response.body = Body::Full(body);
        response
    }
}

impl fmt::Debug for ZuoraEmulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZuoraEmulator")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// What a test has planned for calls of a kind.
fn troubled(tenant: &mut Tenant, kind: &str) -> Option<Response> {
    if take(&mut tenant.behaviour.error_200, kind) {
        return Some(files::error_200());
    }
    take(&mut tenant.behaviour.html_200, kind).then(files::html)
}

/// The kind of a call.
fn kind_of(request: &Request) -> &'static str {
    let path = request.path.as_str();
    let is_get = request.method == http::Method::GET;
    match () {
        () if path == "/oauth/token" => "token",
        () if path.starts_with("/v1/describe") => "describe",
        () if path.starts_with("/v1/batch-query") => match request.method.as_str() {
            "POST" => "submit",
            "DELETE" => "cancel",
            _ => "poll",
        },
        () if path.starts_with("/v1/file") && is_get => "file",
        () if path.starts_with("/v1/object/export") => "export",
        () if path.starts_with("/v1/action/") => "action",
        () if path.starts_with("/query/") || path.starts_with("/data-files/") => "data_query",
        () if path.starts_with("/object-query/") => "object_query",
        () => "other",
    }
}

/// Finds the resource.
fn route(tenant: &mut Tenant, call: &Call<'_>) -> Response {
    let path = call.path;
    if let Some(rest) = path.strip_prefix("/v1/describe") {
        return describe::answer(call, rest, &tenant.world, &tenant.behaviour);
    }
    if let Some(rest) = path.strip_prefix("/v1/batch-query") {
        return aqua::answer(tenant, call, rest.trim_matches('/'));
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (call.method.as_str(), parts.as_slice()) {
        ("GET", ["v1", "file" | "files", id]) => {
            tenant.files.answer(id, call.now, &mut tenant.behaviour)
        }
        ("POST", ["v1", "object", "export"]) => legacy::submit(tenant, call),
        ("GET", ["v1", "object", "export", id]) => legacy::poll(tenant, call, id),
        ("POST", ["v1", "action", "query"]) => action::query(tenant, call),
        ("POST", ["v1", "action", "queryMore"]) => action::more(tenant, call),
        (_, ["query", ..]) => {
            let habits = &tenant.behaviour.data_query;
            tenant.queries.handle(call, &tenant.world, habits)
        }
        (_, ["data-files", ..]) => tenant.queries.file(call, &tenant.behaviour.data_query),
        (_, ["object-query", ..]) => {
            object_query::handle(call, &tenant.world, &tenant.behaviour.object_query)
        }
        _ => not_found(),
    }
}

fn not_found() -> Response {
    refusal(404, 90_000_040, "The requested resource does not exist.")
}

impl Emulator for ZuoraEmulator {
    fn handle(&self, request: &Request) -> Response {
        match request.path.as_str() {
            "/__stats" => return json_answer(200, &self.stats()),
            "/__clock" => return self.turn(request),
            _ => {}
        }
        let mut guard = self.tenant();
        let tenant = &mut *guard;
        tenant.requests += 1;
        let kind = kind_of(request);
        *tenant.calls.entry(kind).or_default() += 1;
        let every = tenant.behaviour.busy_every;
        let response = if every > 0 && tenant.requests.is_multiple_of(every) {
            too_concurrent(tenant.behaviour.busy_retry_after_secs)
        } else if let Some(seconds) = tenant.limits.spend(request.at, &tenant.behaviour) {
            too_many(seconds)
        } else {
            self.admitted(tenant, request, kind)
        };
        tenant.refused += u64::from(response.status.as_u16() == 429);
        let response = tenant.limits.sign(response, request.at, &tenant.behaviour);
        let id = format!("Req-{:08}", request.index);
        let response = response.with_header("Zuora-Request-Id", &id);
        match request.header("zuora-track-id") {
            "" => response,
            track => response.with_header("Zuora-Track-Id", track),
        }
    }

    fn intercepted(&self, request: &Request) {
        let mut guard = self.tenant();
        let tenant = &mut *guard;
        tenant.requests += 1;
        *tenant.calls.entry(kind_of(request)).or_default() += 1;
        // What a fault answers has cost as much as what the service answers.
        let _wait: Option<i64> = tenant.limits.spend(request.at, &tenant.behaviour);
    }
}
