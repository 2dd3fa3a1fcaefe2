//! Tests of the emulated account.

mod exports;
mod limits;
mod lists;
mod login;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap};
use http::{HeaderValue, Method};
use overlock_core::{Clock, Timestamp};
use overlock_sandbox::{Emulator, Request, Response, VirtualClock};
use serde_json::Value;

use super::{Behaviour, Credentials, World, WorldOptions, ZendeskEmulator};

fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

/// An account without a socket.
struct Desk {
    emulator: ZendeskEmulator,
    clock: VirtualClock,
    authorization: String,
}

impl Desk {
    fn tiny() -> Self {
        Self::with(Behaviour {
            limits: false,
            ..Behaviour::default()
        })
    }

    fn with(behaviour: Behaviour) -> Self {
        Self::over(WorldOptions::tiny(1, start()), behaviour)
    }

    fn over(world: WorldOptions, behaviour: Behaviour) -> Self {
        let clock = VirtualClock::still(start());
        let world = World::seeded(world);
        Self {
            emulator: ZendeskEmulator::new(world, clock.clone()).with_behaviour(behaviour),
            clock,
            authorization: format!("Bearer {}", Credentials::default().access_token),
        }
    }

    fn send(&self, method: Method, target: &str, body: &str) -> Response {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8080"));
        if !self.authorization.is_empty() {
            headers.insert(AUTHORIZATION, self.authorization.parse().unwrap());
        }
        self.emulator.handle(&Request {
            index: 0,
            at: self.clock.now(),
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::from(body.to_owned()),
            head_bytes: 0,
        })
    }

    /// Status and body.
    fn get(&self, target: &str) -> (u16, Value) {
        let response = self.send(Method::GET, target, "");
        let status = response.status.as_u16();
        let bytes = response.body.into_bytes();
        let value = serde_json::from_slice(&bytes);
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        (status, value.unwrap_or_else(|_| text()))
    }

    fn ok(&self, target: &str) -> Value {
        let (status, body) = self.get(target);
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    fn post(&self, target: &str, body: &Value) -> (u16, Value) {
        let response = self.send(Method::POST, target, &body.to_string());
        let status = response.status.as_u16();
        let body = response.body.into_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.emulator.with_world(act)
    }
}

/// Path and query of an address of this account.
fn rest(url: &Value) -> String {
    let url = url.as_str().unwrap();
    url.strip_prefix("http://127.0.0.1:8080")
        .unwrap()
        .to_owned()
}

fn id(row: &Value) -> String {
    match &row["id"] {
        Value::String(text) => text.clone(),
        Value::Null => row["name"]
            .as_str()
            .or(row["key"].as_str())
            .unwrap()
            .to_owned(),
        other => other.to_string(),
    }
}

/// Reads an export by cursor to its end: rows by key, newest last, and pages.
fn by_cursor(desk: &Desk, target: &str, key: &str) -> (BTreeMap<String, Vec<Value>>, usize) {
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut target = target.to_owned();
    for pages in 1..1_000 {
        let body = desk.ok(&target);
        for row in body[key].as_array().unwrap() {
            rows.entry(id(row)).or_default().push(row.clone());
        }
        if body["end_of_stream"] == true {
            return (rows, pages);
        }
        target = rest(&body["after_url"]);
    }
    panic!("{key} never ends");
}

/// Reads an export by time to its end.
fn by_time(desk: &Desk, target: &str, key: &str) -> (BTreeMap<String, Vec<Value>>, usize) {
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut target = target.to_owned();
    let mut end = Value::Null;
    for pages in 1..1_000 {
        let body = desk.ok(&target);
        for row in body[key].as_array().unwrap() {
            rows.entry(id(row)).or_default().push(row.clone());
        }
        if body["end_of_stream"] == true || body["end_time"] == end {
            return (rows, pages);
        }
        end = body["end_time"].clone();
        target = rest(&body["next_page"]);
    }
    panic!("{key} never ends");
}

/// Reads a list by cursor to its end.
fn by_page(desk: &Desk, target: &str, key: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut target = target.to_owned();
    for _ in 1..1_000 {
        let body = desk.ok(&target);
        rows.extend(body[key].as_array().unwrap().iter().cloned());
        if body["meta"]["has_more"] == false {
            return rows;
        }
        target = rest(&body["links"]["next"]);
    }
    panic!("{key} never ends");
}
