//! The org as a client sees it, call by call, without a socket in between.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use overlock_core::{Clock, Timestamp};
use overlock_sandbox::{Emulator, Request, VirtualClock};
use serde_json::{Value as Json, json};

use super::*;

mod bulk1;
mod bulk2;
mod login;
mod org;
mod rest;

struct Org {
    emulator: SalesforceEmulator,
    clock: VirtualClock,
    token: String,
    index: Cell<u64>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// `errorCode` of the first error.
    fn code(&self) -> String {
        self.json()[0]["errorCode"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn message(&self) -> String {
        self.json()[0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-03-01T12:00:00Z").unwrap()
}

fn org_of(options: WorldOptions) -> Org {
    let clock = VirtualClock::still(start());
    let emulator = SalesforceEmulator::new(World::seeded(options), clock.clone());
    emulator.set_instance_url("http://127.0.0.1:1");
    let mut org = Org {
        emulator,
        clock,
        token: String::new(),
        index: Cell::new(0),
    };
    let reply = org.form(
        "grant_type=client_credentials",
        &[(
            "authorization",
            &basic("3MVG9canary.client.id", "canary-client-secret-8f21"),
        )],
    );
    assert_eq!(reply.status, 200, "{}", reply.text);
    org.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    org
}

fn org() -> Org {
    org_of(WorldOptions::tiny(7, start()))
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Org {
    fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let index = self.index.get();
        self.index.set(index + 1);
        let mut map = HeaderMap::new();
        if !self.token.is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", self.token)).unwrap();
            map.insert("authorization", value);
            map.insert(
                "x-sfdc-session",
                HeaderValue::from_str(&self.token).unwrap(),
            );
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let head_bytes = target.len()
            + 40
            + map
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 4)
                .sum::<usize>();
        let request = Request {
            index,
            at: self.clock.now(),
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: map,
            body: Bytes::from(body.to_owned()),
            head_bytes,
        };
        let response = self.emulator.handle(&request);
        Reply {
            status: response.status.as_u16(),
            headers: response.headers,
            text: String::from_utf8(response.body.into_bytes().to_vec()).unwrap(),
        }
    }

    fn get(&self, target: &str) -> Reply {
        self.call("GET", target, &[], "")
    }

    fn data(&self, rest: &str) -> Reply {
        self.get(&format!("/services/data/v62.0{rest}"))
    }

    fn query(&self, soql: &str) -> Reply {
        self.data(&format!("/query?q={}", encode(soql)))
    }

    fn query_all(&self, soql: &str) -> Reply {
        self.data(&format!("/queryAll?q={}", encode(soql)))
    }

    fn form(&self, body: &str, headers: &[(&str, &str)]) -> Reply {
        self.call("POST", "/services/oauth2/token", headers, body)
    }

    fn refresh(&self, token: &str) -> Reply {
        self.form(
            &format!(
                "grant_type=refresh_token&client_id=3MVG9canary.client.id&client_secret=canary-client-secret-8f21&refresh_token={token}"
            ),
            &[],
        )
    }

    fn job(&self, soql: &str) -> Reply {
        let body = json!({"operation": "queryAll", "query": soql}).to_string();
        self.call("POST", "/services/data/v62.0/jobs/query", &[], &body)
    }

    fn job_id(&self, soql: &str) -> String {
        let reply = self.job(soql);
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    fn poll(&self, id: &str) -> Json {
        self.data(&format!("/jobs/query/{id}")).json()
    }

    /// All rows of a job by the serial chain of pages.
    fn download(&self, id: &str, max_records: u64) -> Vec<BTreeMap<String, String>> {
        let mut rows = Vec::new();
        let mut locator = String::new();
        loop {
            let reply = self.data(&format!(
                "/jobs/query/{id}/results?maxRecords={max_records}{locator}"
            ));
            assert_eq!(reply.status, 200, "{}", reply.text);
            let page = csv(&reply.text);
            assert_eq!(
                reply.header("sforce-numberofrecords"),
                page.len().to_string()
            );
            rows.extend(page);
            match reply.header("sforce-locator") {
                "null" => return rows,
                next => locator = format!("&locator={next}"),
            }
        }
    }
}

/// Reads all-quoted CSV, written for these tests alone.
fn csv(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut rows: Vec<Vec<String>> = vec![Vec::new()];
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        assert_eq!(first, '"', "a value is not quoted in {text:.300}");
        let mut value = String::new();
        while let Some(character) = rest.next() {
            if character != '"' {
                value.push(character);
            } else if rest.peek() == Some(&'"') {
                rest.next();
                value.push('"');
            } else {
                break;
            }
        }
        rows.last_mut().unwrap().push(value);
        match rest.next() {
            Some(',') => {}
            Some('\n') => rows.push(Vec::new()),
            other => panic!("{other:?} behind a value"),
        }
    }
    assert_eq!(rows.pop(), Some(Vec::new()), "the last line has no end");
    let mut rows = rows.into_iter();
    let header = rows.next().unwrap();
    rows.map(|row| {
        assert_eq!(row.len(), header.len());
        header.iter().cloned().zip(row).collect()
    })
    .collect()
}

fn names(object: &Object) -> Vec<String> {
    object
        .fields
        .iter()
        .filter(|field| !field.kind.is_compound())
        .filter(|field| !matches!(field.kind, FieldKind::Base64 | FieldKind::Complex))
        // The wire spells an untyped number as it was stored, the oracle in its canonical way.
        .filter(|field| field.kind != FieldKind::Any)
        .map(|field| field.name.clone())
        .collect()
}
