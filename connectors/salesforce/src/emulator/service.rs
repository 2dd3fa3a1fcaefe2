//! The org behind one address: checks sessions and quota, then hands each call to its resource.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, mem};

use bytes::Bytes;
use http::{HeaderMap, Method};
use overlock_core::{Clock, Timestamp};
use overlock_sandbox::{Emulator, Request, Response, VirtualClock};

use super::answer::{Answer, Refusal, bad_message, quote};
use super::bench::Bench;
use super::bulk1::AsyncJobs;
use super::bulk2::Jobs;
use super::model::Object;
use super::oauth::{Door, Sessions, bearer};
use super::options::{Behaviour, Credentials};
use super::query::Cursors;
use super::quota::Quota;
use super::world::World;
use super::{bulk1, bulk2, composite, describe, oauth, query, replication, schema};

/// Most bytes of a request line with its header; the web server in front refuses more.
const MAX_HEAD_BYTES: usize = 16_384;

/// First version that still answers, and the versions that answer 410.
const OLDEST_VERSION: u32 = 31;
const RETIRED_VERSIONS: std::ops::RangeInclusive<u32> = 20..=30;

/// One emulated org.
pub struct SalesforceEmulator {
    clock: VirtualClock,
    credentials: Credentials,
    bench: Option<Bench>,
    evolves: bool,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) world: World,
    pub(super) behaviour: Behaviour,
    pub(super) instance_url: String,
    pub(super) sessions: Sessions,
    pub(super) quota: Quota,
    pub(super) cursors: Cursors,
    pub(super) jobs: Jobs,
    pub(super) async_jobs: AsyncJobs,
    serial: u64,
}

impl State {
    /// A new id of the given prefix.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        self.serial += 1;
        schema::record_id(prefix, self.serial)
    }
}

impl SalesforceEmulator {
    /// An org over a world. Its clock decides what is visible and when sessions end.
    pub fn new(world: World, clock: VirtualClock) -> Self {
        Self {
            clock,
            credentials: Credentials::default(),
            bench: None,
            evolves: true,
            state: Mutex::new(State {
                world,
                behaviour: Behaviour::default(),
                instance_url: "http://127.0.0.1".to_owned(),
                sessions: Sessions::default(),
                quota: Quota::default(),
                cursors: Cursors::default(),
                jobs: Jobs::default(),
                async_jobs: AsyncJobs::default(),
                serial: 0,
            }),
        }
    }

    /// The same org with other credentials.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The same org with other limits and habits.
    #[must_use]
    pub fn with_behaviour(self, behaviour: Behaviour) -> Self {
        self.state().behaviour = behaviour;
        self
    }

    /// The same org, whose world changes only by mutations of a test.
    #[must_use]
    pub fn without_evolution(mut self) -> Self {
        self.evolves = false;
        self
    }

    /// The same org with one more object, `Bench__c`: 40 fields, 538 bytes per row of CSV, `rows` rows
    /// with different ids, served from memory for measurements.
    #[must_use]
    pub fn with_bench(mut self, rows: u64) -> Self {
        self.bench = Some(Bench::new(rows, self.clock.now()));
        self
    }

    /// What token answers give as `instance_url`; set once the port is known.
    pub fn set_instance_url(&self, url: &str) {
        url.clone_into(&mut self.state().instance_url);
    }

    /// Who may log in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Looks at the world or changes it.
    pub fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.state().world)
    }

    /// Changes limits and habits while it runs.
    pub fn behave(&self, act: impl FnOnce(&mut Behaviour)) {
        act(&mut self.state().behaviour);
    }

    /// Ends every session; refresh tokens stay good.
    pub fn expire_sessions(&self) {
        self.state().sessions.expire_all();
    }

    /// Makes every REST cursor invalid.
    pub fn expire_cursors(&self) {
        self.state().cursors.clear();
    }

    /// Forgets every bulk job and its results.
    pub fn forget_jobs(&self) {
        let mut state = self.state();
        state.jobs.clear();
        state.async_jobs.clear();
    }

    /// Ids and states of all bulk 2.0 jobs that exist.
    pub fn jobs(&self) -> Vec<(String, String)> {
        self.state().jobs.states()
    }

    /// How many API calls were counted against the quota since the start.
    pub fn api_calls(&self) -> u64 {
        self.state().quota.total
    }

    /// How many logins succeeded since the start.
    pub fn logins(&self) -> u64 {
        self.state().sessions.logins
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SalesforceEmulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SalesforceEmulator")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// One call to a data resource: from a client, or inside a composite.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path behind the version, without empty segments, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Such as `62.0`.
    pub(super) version: String,
    pub(super) major: u32,
}

impl Ask {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// `v62.0`.
    pub(super) fn version_segment(&self) -> String {
        format!("v{}", self.version)
    }

    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The body read as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Answer<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Refusal::new(
                400,
                "JSON_PARSER_ERROR",
                format!("Unexpected body: {error}"),
            )
        })
    }
}

/// Everything a resource may use while it answers one call.
pub(super) struct Call<'a> {
    pub(super) state: &'a mut State,
    pub(super) bench: Option<&'a Bench>,
    pub(super) now: Timestamp,
}

impl Call<'_> {
    /// Every object the user can see.
    pub(super) fn objects(&self) -> Vec<std::sync::Arc<Object>> {
        let mut objects = self.state.world.objects_at(self.now);
        objects.extend(self.bench.map(|bench| bench.object().clone()));
        objects
    }

    /// One object, its name in any case.
    pub(super) fn object_at(&self, name: &str, at: Timestamp) -> Option<std::sync::Arc<Object>> {
        if let Some(bench) = self.bench_of(name) {
            return Some(bench.object().clone());
        }
        self.state.world.object_at(name, at)
    }

    /// The bench object if this is its name.
    pub(super) fn bench_of(&self, name: &str) -> Option<&Bench> {
        self.bench
            .filter(|bench| bench.object().name.eq_ignore_ascii_case(name))
    }
}

impl Emulator for SalesforceEmulator {
    fn handle(&self, request: &Request) -> Response {
        let uri_bytes = request.path.len() + request.query.len() + 1;
        if uri_bytes > MAX_HEAD_BYTES {
            return bad_message(414, "URI Too Long");
        }
        if request.head_bytes > MAX_HEAD_BYTES {
            return bad_message(431, "Request Header Fields Too Large");
        }
        let segments: Vec<String> = request
            .path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| {
                percent_encoding::percent_decode_str(segment)
                    .decode_utf8_lossy()
                    .into_owned()
            })
            .collect();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut guard = self.state();
        let state = &mut *guard;
        if self.evolves {
            state.world.evolve(request.at);
        }
        match path.as_slice() {
            ["services", "oauth2", resource] => {
                let behaviour = state.behaviour.clone();
                let instance_url = state.instance_url.clone();
                let door = Door {
                    credentials: &self.credentials,
                    behaviour: &behaviour,
                    instance_url: &instance_url,
                    now: request.at,
                };
                door.answer(&mut state.sessions, request, resource)
            }
            ["services", "Soap", "u", ..] => {
                let behaviour = state.behaviour.clone();
                let instance_url = state.instance_url.clone();
                let door = Door {
                    credentials: &self.credentials,
                    behaviour: &behaviour,
                    instance_url: &instance_url,
                    now: request.at,
                };
                door.soap(
                    &mut state.sessions,
                    request,
                    path.get(3).copied().unwrap_or_default(),
                )
            }
            ["services", "data"] => Response::json(200, versions(state.behaviour.newest_version)),
            ["services", "data", version, rest @ ..] => {
                let rest: Vec<String> = rest.iter().map(|&segment| segment.to_owned()).collect();
                let mut response = self
                    .data(state, request, version, rest)
                    .unwrap_or_else(Refusal::into_rest);
                if response.status != 401 {
                    let header = state.quota.header(request.at, &state.behaviour);
                    response = response.with_header("sforce-limit-info", &header);
                }
                response
            }
            ["services", "async", version, rest @ ..] => {
                self.asynchronous(state, request, version, rest)
            }
            _ => Refusal::not_found().into_rest(),
        }
    }

    fn intercepted(&self, request: &Request) {
        if request.path.starts_with("/services/data/v")
            || request.path.starts_with("/services/async/")
        {
            let mut state = self.state();
            state.quota.calls.add(request.at, 1);
            state.quota.total += 1;
        }
    }
}

impl SalesforceEmulator {
    fn data(
        &self,
        state: &mut State,
        request: &Request,
        version: &str,
        path: Vec<String>,
    ) -> Answer {
        let (version, major) = live_version(version.trim_start_matches('v'), &state.behaviour)?;
        state
            .sessions
            .touch(bearer(request), request.at, &state.behaviour)?;
        let ask = Ask {
            method: request.method.clone(),
            path,
            query: request.query_pairs(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            version,
            major,
        };
        let price = composite::price(&ask);
        state.quota.spend(request.at, price, &state.behaviour)?;
        let mut call = Call {
            state,
            bench: self.bench.as_ref(),
            now: request.at,
        };
        dispatch(&mut call, &ask)
    }

    fn asynchronous(
        &self,
        state: &mut State,
        request: &Request,
        version: &str,
        path: &[&str],
    ) -> Response {
        let json = request.header("content-type").contains("json")
            || request.header("accept").contains("json");
        let Ok((version, major)) = live_version(version, &state.behaviour) else {
            return Refusal::new(
                400,
                "InvalidVersion",
                format!("Invalid Api version specified on URL: {version}"),
            )
            .into_async(json);
        };
        let token = match request.header("x-sfdc-session") {
            "" => bearer(request),
            token => token,
        };
        if state
            .sessions
            .touch(token, request.at, &state.behaviour)
            .is_err()
        {
            return Refusal::new(400, "InvalidSessionId", "Invalid session id").into_async(json);
        }
        if state.quota.spend(request.at, 1, &state.behaviour).is_err() {
            return Refusal::new(400, "ExceededQuota", "TotalRequests Limit exceeded.")
                .into_async(json);
        }
        let ask = Ask {
            method: request.method.clone(),
            path: path.iter().map(|&segment| segment.to_owned()).collect(),
            query: request.query_pairs(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            version,
            major,
        };
        let mut call = Call {
            state,
            bench: self.bench.as_ref(),
            now: request.at,
        };
        bulk1::answer(&mut call, &ask, json)
    }
}

/// Answers one call to a resource behind the version.
pub(super) fn dispatch(call: &mut Call<'_>, ask: &Ask) -> Answer {
    let get = ask.method == Method::GET || ask.method == Method::HEAD;
    match (ask.segments().as_slice(), get) {
        ([], true) => Ok(Response::json(200, resources(&ask.version_segment()))),
        (["limits"], true) => {
            if call.state.behaviour.limits_forbidden {
                return Err(Refusal::new(
                    403,
                    "FUNCTIONALITY_NOT_ENABLED",
                    "You do not have access to view this resource.",
                ));
            }
            let behaviour = mem::take(&mut call.state.behaviour);
            let body = call.state.quota.limits(call.now, &behaviour);
            call.state.behaviour = behaviour;
            Ok(Response::json(200, body))
        }
        (["composite"], false) => composite::composite(call, ask),
        (["composite", "batch"], false) => composite::batch(call, ask),
        (["sobjects"], true) => Ok(describe::global(call, ask)),
        (["sobjects", name], true) => describe::basic(call, ask, name),
        (["sobjects", name, "describe"], true) => describe::object(call, ask, name),
        (["sobjects", name, "updated"], true) => replication::updated(call, ask, name),
        (["sobjects", name, "deleted"], true) => replication::deleted(call, ask, name),
        (["sobjects", name, id], true) => query::record(call, ask, name, id),
        (["sobjects", name, id, field], true) => query::blob(call, name, id, field),
        (["query"], true) => query::start(call, ask, false),
        (["queryAll"], true) => query::start(call, ask, true),
        (["query" | "queryAll", locator], true) => query::next(call, ask, locator),
        (["jobs", "query", rest @ ..], _) => bulk2::answer(call, ask, rest),
        (["chatter", "users", "me"], true) => {
            let body = format!(
                "{{\"id\":{},\"username\":\"loader\"}}",
                quote(&oauth::user_id())
            );
            Ok(Response::json(200, body))
        }
        (
            ["limits" | "sobjects" | "query" | "queryAll" | "composite"]
            | ["sobjects", _, "describe"]
            | ["composite", "batch"],
            _,
        ) => Err(Refusal::new(
            405,
            "METHOD_NOT_ALLOWED",
            format!("HTTP Method '{}' not allowed. Allowed are GET", ask.method),
        )),
        _ => Err(Refusal::not_found()),
    }
}

/// Text and number of a version that still answers.
pub(super) fn live_version(version: &str, behaviour: &Behaviour) -> Answer<(String, u32)> {
    let number = version
        .strip_suffix(".0")
        .and_then(|major| major.parse::<u32>().ok())
        .ok_or_else(Refusal::not_found)?;
    if RETIRED_VERSIONS.contains(&number) {
        return Err(Refusal::new(
            410,
            "GONE",
            format!("REST API version {version} is no longer supported. Use a newer version."),
        ));
    }
    if !(OLDEST_VERSION..=behaviour.newest_version).contains(&number) {
        return Err(Refusal::not_found());
    }
    Ok((version.to_owned(), number))
}

/// The list of versions with the names of their releases: three releases a year.
fn versions(newest: u32) -> String {
    let entries: Vec<String> = (OLDEST_VERSION..=newest)
        .map(|version| {
            // 58.0 is Summer '23; then Winter '24, Spring '24, Summer '24 and so on.
            let turn = version + 2;
            let (season, year) = match turn % 3 {
                0 => ("Summer", turn / 3 + 3),
                1 => ("Winter", turn / 3 + 4),
                _ => ("Spring", turn / 3 + 4),
            };
            format!(
                "{{\"label\":\"{season} '{year}\",\"url\":\"/services/data/v{version}.0\",\"version\":\"{version}.0\"}}"
            )
        })
        .collect();
    format!("[{}]", entries.join(","))
}

fn resources(version: &str) -> String {
    let names = [
        "tooling",
        "metadata",
        "eclair",
        "folders",
        "search",
        "quickActions",
        "sobjects",
        "query",
        "queryAll",
        "jobs",
        "limits",
        "composite",
        "recent",
        "theme",
        "parameterizedSearch",
    ];
    let entries: Vec<String> = names
        .iter()
        .map(|name| format!("\"{name}\":\"/services/data/{version}/{name}\""))
        .collect();
    format!("{{{}}}", entries.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_carry_the_names_of_their_releases() {
        let list = versions(66);
        for (version, label) in [
            (58, "Summer '23"),
            (59, "Winter '24"),
            (60, "Spring '24"),
            (62, "Winter '25"),
            (65, "Winter '26"),
            (66, "Spring '26"),
        ] {
            let entry = format!(
                "{{\"label\":\"{label}\",\"url\":\"/services/data/v{version}.0\",\"version\":\"{version}.0\"}}"
            );
            assert!(list.contains(&entry), "{entry} in {list}");
        }
    }

    #[test]
    fn retired_and_unknown_versions_are_refused_differently() {
        let behaviour = Behaviour::default();
        assert_eq!(live_version("62.0", &behaviour).unwrap().1, 62);
        assert_eq!(live_version("29.0", &behaviour).unwrap_err().status, 410);
        for text in ["99.0", "62", "x.0", "62.1"] {
            assert_eq!(
                live_version(text, &behaviour).unwrap_err().status,
                404,
                "{text}"
            );
        }
    }
}
