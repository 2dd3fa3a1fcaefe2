//! The account behind one address: who asks, what budget it costs, which resource answers.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlock_core::Clock;
use overlock_sandbox::{Emulator, Request, Response, VirtualClock};
use serde_json::{Value, json};

use super::answer::{Answer, JSON, Refusal, json as answer};
use super::bench::{Ask, Bench};
use super::call::{self, Call, Memory};
use super::limits::{Bucket, Limits, too_many};
use super::oauth::{Caller, Tokens};
use super::options::{Behaviour, Credentials};
use super::record::Key;
use super::world::World;
use super::{catalog, exports, lists};

/// One emulated account.
pub struct ZendeskEmulator {
    clock: VirtualClock,
    credentials: Credentials,
    evolves: bool,
    bench: Option<Bench>,
    state: Mutex<State>,
}

struct State {
    world: World,
    behaviour: Behaviour,
    tokens: Tokens,
    limits: Limits,
    memory: Memory,
    requests: u64,
}

impl ZendeskEmulator {
    /// An account over a world. Its clock decides what is there, when tokens end and budgets refill.
    pub fn new(world: World, clock: VirtualClock) -> Self {
        Self {
            clock,
            credentials: Credentials::default(),
            evolves: true,
            bench: None,
            state: Mutex::new(State {
                world,
                behaviour: Behaviour::default(),
                tokens: Tokens::default(),
                limits: Limits::default(),
                memory: Memory::default(),
                requests: 0,
            }),
        }
    }

    /// The same account with other credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The same account with other limits and habits.
    #[must_use]
    pub fn with_behaviour(self, behaviour: Behaviour) -> Self {
        self.state().behaviour = behaviour;
        self
    }

    /// The same account, whose world changes only by mutations of a test.
    #[must_use]
    pub fn without_evolution(mut self) -> Self {
        self.evolves = false;
        self
    }

    /// The same account, whose export of tickets by cursor serves so many made-up tickets from memory,
    /// without limits and not compressed, for measurements. All other streams stay as they are.
    #[must_use]
    pub fn with_bench(mut self, tickets: u64) -> Self {
        self.bench = Some(Bench::new(tickets, self.clock.now().seconds()));
        self
    }

    /// Who may log in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Looks at the world or changes it, as it stands now: what the clock has passed has happened.
    pub fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state();
        if self.evolves {
            state.world.evolve(self.clock.now());
        }
        act(&mut state.world)
    }

    /// Changes limits and habits while it runs.
    pub fn behave(&self, act: impl FnOnce(&mut Behaviour)) {
        act(&mut self.state().behaviour);
    }

    /// Ends every access token that was given out; refresh tokens stay good.
    pub fn expire_tokens(&self) {
        self.state().tokens.expire_all(false);
    }

    /// Ends the fixed access token as well.
    pub fn revoke_access(&self) {
        self.state().tokens.expire_all(true);
    }

    /// Refuses every export cursor that was given out so far with this status (400, 404 or 422); cursors
    /// that are given out from now on are good.
    pub fn refuse_cursors(&self, status: u16) {
        let mut state = self.state();
        state.memory.cursors.clear();
        state.memory.refuse = Some(status);
    }

    /// How many tokens were given out since the start.
    pub fn logins(&self) -> u64 {
        self.state().tokens.logins
    }

    /// Requests that a budget has counted: `plan`, `help-center`, `incremental-exports`,
    /// `incremental-exports-cursor` (users), `incremental-sample`, `search-export`, `tickets-index`.
    pub fn spent(&self, bucket: &str) -> u64 {
        self.state().limits.total(bucket)
    }

    /// How many requests were answered 429.
    pub fn refused(&self) -> u64 {
        self.state().limits.refused()
    }

    /// What `GET /__stats` says.
    pub fn stats(&self) -> Value {
        let state = self.state();
        json!({
            "now": self.clock.now(), "requests": state.requests, "logins": state.tokens.logins,
            "refused": state.limits.refused(), "buckets": state.limits.stats(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `POST /__clock` with `{"advance": SECONDS}`.
    fn turn(&self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        if let Some(seconds) = body["advance"].as_u64() {
            self.clock.advance(Duration::from_secs(seconds));
        }
        let now = self.clock.now();
        if self.evolves {
            self.state().world.evolve(now);
        }
        answer(json!({ "now": now }).to_string())
    }

    /// Everything below `/api/v2`.
    fn api(&self, state: &mut State, request: &Request, path: &str) -> Response {
        if self.evolves {
            state.world.evolve(request.at);
        }
        let query = call::parameters(request);
        let page = query.iter().find(|(name, _)| name == "page");
        let page = page.and_then(|(_, value)| value.parse().ok()).unwrap_or(1);
        let path = catalog::without_locale(path);
        let buckets = Bucket::of(&path, page);
        let caller = match state.tokens.caller(request, &self.credentials) {
            Ok(caller) => caller,
            Err(refusal) => return refusal.into_response(),
        };
        if path == "users/me" {
            return me(&caller, state);
        }
        let Caller::Known(scopes) = caller else {
            return Refusal::not_authenticated().into_response();
        };
        let bench = self
            .bench
            .as_ref()
            .filter(|_| path == "incremental/tickets/cursor");
        let spent = state.limits.spend(&buckets, request.at, &state.behaviour);
        let response = match spent {
            Some((_, secs)) => too_many(secs, request.at, &state.behaviour),
            None if let Some(bench) = bench => measured(bench, request, &query),
            None => self
                .resource(state, request, path, query, &scopes)
                .unwrap_or_else(Refusal::into_response),
        };
        state
            .limits
            .sign(response, &buckets, request.at, &state.behaviour)
    }

    fn resource(
        &self,
        state: &mut State,
        request: &Request,
        path: String,
        query: Vec<(String, String)>,
        scopes: &[String],
    ) -> Answer {
        if request.method != http::Method::GET {
            return Err(Refusal::invalid_endpoint());
        }
        let stream = exports::stream_of(&path).or_else(|| catalog::stream_of(&path));
        if !may_read(scopes, stream) {
            return Err(Refusal::missing_scope());
        }
        if let Some(stream) = stream {
            let names = |list: &[String]| list.iter().any(|name| name == stream);
            if names(&state.behaviour.not_enabled) {
                return Err(Refusal::invalid_endpoint());
            }
            if names(&state.behaviour.plan_lacks) {
                return Err(Refusal::not_in_plan());
            }
        }
        if state.behaviour.is_agent && (path.starts_with("incremental/") || path == "audit_logs") {
            return Err(Refusal::not_for_agents());
        }
        if path == "oauth/tokens/current" {
            return Ok(state.tokens.current(request, &self.credentials));
        }
        let host = request.header("host");
        let mut call = Call {
            world: &mut state.world,
            behaviour: &mut state.behaviour,
            memory: &mut state.memory,
            now: request.at.seconds(),
            base: format!("http://{host}"),
            raw_path: request.path.clone(),
            path,
            query,
        };
        if let Some(answered) = exports::answer(&mut call) {
            return answered;
        }
        if let Some(answered) = lists::answer(&mut call) {
            return answered;
        }
        single(&call)
    }
}

impl fmt::Debug for ZendeskEmulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZendeskEmulator")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// The path behind `/api/v2/`, without suffix.
fn below_api(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/api/v2/")?.trim_end_matches('/');
    Some(rest.strip_suffix(".json").unwrap_or(rest))
}

/// A page of the tickets for measurements.
fn measured(bench: &Bench, request: &Request, query: &[(String, String)]) -> Response {
    let value = |name: &str| {
        let found = query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let per_page = value("per_page")
        .and_then(|rows| rows.parse().ok())
        .unwrap_or(1_000);
    let ask = Ask {
        base: &format!("http://{}", request.header("host")),
        path: &request.path,
        start_time: value("start_time").and_then(|text| text.split('.').next()?.parse().ok()),
        cursor: value("cursor"),
        per_page: u64::clamp(per_page, 1, 1_000),
        metrics: value("include").is_some_and(|include| include.contains("metric_sets")),
    };
    let page = bench.page(ask);
    page.unwrap_or_else(|| Refusal::stale_cursor(400).into_response())
}

/// Audits and logs need the global scope; a narrower one reads its own resource.
fn may_read(scopes: &[String], stream: Option<&str>) -> bool {
    scopes.iter().any(|scope| match scope.split_once(':') {
        None => scope == "read",
        Some((resource, "read")) => match stream {
            Some("tickets" | "ticket_metrics" | "ticket_comments") => resource == "tickets",
            Some(stream) => resource == stream && stream != "ticket_audits",
            None => false,
        },
        Some(_) => false,
    })
}

/// `/users/me`: answers everybody.
fn me(caller: &Caller, state: &State) -> Response {
    let place = usize::from(state.behaviour.is_agent);
    let agent = state.world.story.agents.get(place).copied().unwrap_or(0);
    let admin = match caller {
        Caller::Anonymous => None,
        Caller::Known(_) => state
            .world
            .table("users")
            .and_then(|users| users.records.get(&Key::from(agent))),
    };
    let body = match admin.and_then(|admin| admin.versions.last()) {
        Some(version) => format!("{{\"user\":{}}}", version.text),
        None => "{\"user\":{\"id\":null,\"url\":null,\"name\":\"Anonymous user\",\"email\":\"invalid@example.com\",\
                 \"role\":\"end-user\",\"verified\":false}}"
            .to_owned(),
    };
    answer(body)
}

/// What is neither export nor list.
fn single(call: &Call<'_>) -> Answer {
    let parts: Vec<&str> = call.path.split('/').collect();
    match parts.as_slice() {
        ["account", "settings"] => {
            let row = call.world.row("account_settings", &Key::from(1), call.now);
            row.map(|row| answer(row.version.text.to_string()))
                .ok_or_else(Refusal::record_not_found)
        }
        ["tickets", id, "metrics"] => {
            let id = Key::parse(id);
            let mut rows = call.world.children("ticket_metrics", &id, call.now);
            let row = rows.next().ok_or_else(Refusal::record_not_found)?;
            Ok(answer(format!("{{\"ticket_metric\":{}}}", row.version.text)))
        }
        ["search"] => Ok(answer(
            "{\"results\":[],\"facets\":null,\"next_page\":null,\"previous_page\":null,\"count\":0}".to_owned(),
        )),
        ["search", "count"] => Ok(answer("{\"count\":0}".to_owned())),
        _ => Err(Refusal::invalid_endpoint()),
    }
}

impl Emulator for ZendeskEmulator {
    fn handle(&self, request: &Request) -> Response {
        match request.path.as_str() {
            "/__stats" => return Response::of(200, JSON, self.stats().to_string()),
            "/__clock" => return self.turn(request),
            _ => {}
        }
        let mut guard = self.state();
        let state = &mut *guard;
        state.requests += 1;
        let response = if request.path == "/oauth/tokens" || request.path == "/oauth/tokens.json" {
            state
                .tokens
                .token(request, &self.credentials, &state.behaviour)
                .unwrap_or_else(Refusal::into_response)
        } else if let Some(path) = below_api(&request.path) {
            self.api(state, request, path)
        } else {
            Refusal::invalid_endpoint().into_response()
        };
        response.with_header("x-request-id", &format!("req-{:08}", request.index))
    }

    fn intercepted(&self, request: &Request) {
        let Some(path) = below_api(&request.path) else {
            return;
        };
        let mut guard = self.state();
        let state = &mut *guard;
        state.requests += 1;
        let buckets = Bucket::of(&catalog::without_locale(path), 1);
        // What a fault answers has cost as much as what the service answers.
        let _refused: Option<(Bucket, u64)> =
            state.limits.spend(&buckets, request.at, &state.behaviour);
    }
}
