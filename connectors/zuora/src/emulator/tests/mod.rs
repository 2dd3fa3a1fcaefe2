//! Tests of the emulator, called directly.

mod aqua;
mod bench;
mod faults;
mod legacy;
mod query;
mod session;
mod world;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use overlock_core::{Clock as _, Timestamp};
use overlock_sandbox::{Emulator as _, Request, VirtualClock};
use serde_json::{Value as Json, json};

use super::model::{ChangeKey, Field, Kind, Object, Related, Row, Value};
use super::options::Behaviour;
use super::service::ZuoraEmulator;
use super::world::{World, WorldOptions};

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn object(name: &str, fields: &[(&str, Kind)], related: &[(&str, &str)]) -> Object {
    let mut all = vec![
        Field::new("Id", Kind::Text),
        Field::new("UpdatedDate", Kind::DateTime),
    ];
    all.extend(fields.iter().map(|(name, kind)| Field::new(name, *kind)));
    Object {
        name: name.to_owned(),
        fields: all,
        related: related
            .iter()
            .map(|(name, object)| Related {
                name: (*name).to_owned(),
                object: (*object).to_owned(),
                poisonous: *name == "SubscriptionStatusHistory",
            })
            .collect(),
        change: ChangeKey::UpdatedDate,
        deletes: true,
        aqua: true,
        table: None,
        plural: None,
        data_source: true,
        described: true,
        forbidden: false,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn row(id: &str, stamp: &str, values: &[(&str, Value)], parents: &[(&str, &str)]) -> Row {
    let mut all: std::collections::BTreeMap<String, Value> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    all.insert("Id".to_owned(), text(id));
    all.insert("UpdatedDate".to_owned(), Value::Time(time(stamp)));
    Row {
        id: id.to_owned(),
        values: all,
        parents: parents
            .iter()
            .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
            .collect(),
        deleted: false,
        entity: 0,
    }
}

const START: &str = "2026-03-01T12:00:00Z";

/// Three accounts, four invoices, one of them deleted, and objects with quirks.
fn world() -> World {
    let mut world = World::empty(WorldOptions::tiny(1, time(START)));
    let mut account = object(
        "Account",
        &[
            ("Name", Kind::Text),
            ("Status", Kind::Picklist),
            ("MRR", Kind::Decimal),
            ("BillCycleDay", Kind::Integer),
            ("AutoPay", Kind::Boolean),
            ("LastInvoiceDate", Kind::Date),
            ("Secret", Kind::Text),
        ],
        &[("BillToContact", "Contact")],
    );
    for field in &mut account.fields {
        if field.name == "MRR" {
            field.header = Some("Mrr".to_owned());
        }
        if field.name == "Secret" {
            field.export = false;
        }
    }
    world.add_object(account);
    world.add_object(object("Contact", &[("City", Kind::Text)], &[]));
    let related = [
        ("Account", "Account"),
        ("SubscriptionStatusHistory", "Account"),
    ];
    world.add_object(object("Invoice", &[("Amount", Kind::Decimal)], &related));
    let mut log = object("PaymentTransactionLog", &[], &[]);
    log.deletes = false;
    world.add_object(log);
    let mut metrics = object("ChargeMetrics", &[], &[]);
    metrics.aqua = false;
    metrics.data_source = false;
    world.add_object(metrics);
    let mut hidden = object("Hidden", &[], &[]);
    hidden.described = false;
    world.add_object(hidden);
    let mut forbidden = object("JournalRun", &[], &[]);
    forbidden.forbidden = true;
    world.add_object(forbidden);

    let number = |text: &str| Value::Number(text.to_owned());
    let long_ago = time("2025-01-01T00:00:00Z");
    world.put(
        "Contact",
        row("c1", "2026-02-01T00:00:00Z", &[("City", text("Köln"))], &[]),
        long_ago,
    );
    let accounts = [
        (
            "a1",
            "2026-02-01T08:00:00Z",
            "Acme, Inc.",
            "Active",
            "100.50",
            "1",
        ),
        (
            "a2",
            "2026-02-10T10:30:00Z",
            "Say \"hi\"",
            "Draft",
            "-0.01",
            "15",
        ),
        ("a3", "2026-02-20T23:59:59Z", "Zeta", "Active", "9", "31"),
    ];
    for (id, stamp, name, status, mrr, day) in accounts {
        let mut values = vec![
            ("Name", text(name)),
            ("Status", text(status)),
            ("MRR", number(mrr)),
            ("BillCycleDay", number(day)),
            ("AutoPay", Value::Boolean(id == "a1")),
        ];
        if id != "a3" {
            values.push(("LastInvoiceDate", Value::Date("2026-01-31".to_owned())));
        }
        let parents: &[(&str, &str)] = if id == "a1" {
            &[("BillToContact", "c1")]
        } else {
            &[]
        };
        world.put("Account", row(id, stamp, &values, parents), long_ago);
    }
    for (id, stamp, amount) in [
        ("i1", "2026-02-01T00:00:00Z", "10"),
        ("i2", "2026-02-02T00:00:00Z", "20.25"),
        ("i3", "2026-02-03T00:00:00Z", "30"),
        ("i4", "2026-02-04T00:00:00Z", "40"),
    ] {
        let values = [("Amount", number(amount))];
        world.put(
            "Invoice",
            row(id, stamp, &values, &[("Account", "a1")]),
            long_ago,
        );
    }
    world.delete("Invoice", "i4", time("2026-02-25T00:00:00Z"));
    world
}

/// An emulator that was logged in to.
struct Tenant {
    emulator: ZuoraEmulator,
    clock: VirtualClock,
    token: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap_or(Json::Null)
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.to_vec()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Tenant {
    fn of(world: World) -> Self {
        let clock = VirtualClock::still(time(START));
        let emulator = ZuoraEmulator::new(world, clock.clone());
        let mut tenant = Self {
            emulator,
            clock,
            token: String::new(),
        };
        tenant.log_in();
        tenant
    }

    fn with(act: impl FnOnce(&mut Behaviour)) -> Self {
        let tenant = Self::of(world());
        tenant.emulator.behave(act);
        tenant
    }

    fn new() -> Self {
        Self::of(world())
    }

    fn log_in(&mut self) {
        let answer = self.send("POST", "/oauth/token", &[], form(&self.emulator));
        self.token = answer.json()["access_token"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
    }

    fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut all = HeaderMap::new();
        all.insert("host", HeaderValue::from_static("127.0.0.1:1"));
        if !self.token.is_empty() {
            let value = format!("Bearer {}", self.token);
            all.insert("authorization", HeaderValue::from_str(&value).unwrap());
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            all.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let response = self.emulator.handle(&Request {
            index: 0,
            at: self.clock.now(),
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: all,
            body: body.into(),
            head_bytes: 0,
        });
        Answer {
            status: response.status.as_u16(),
            headers: response.headers,
            bytes: response.body.into_bytes(),
        }
    }

    fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], String::new())
    }

    fn post(&self, target: &str, body: &Json) -> Answer {
        self.send("POST", target, &[], body.to_string())
    }

    fn submit(&self, queries: &[&str]) -> Json {
        self.post("/v1/batch-query/", &job(queries)).json()
    }

    /// The job as its last poll shows it.
    fn poll(&self, submitted: &Json) -> Json {
        let id = submitted["id"].as_str().unwrap();
        self.get(&format!("/v1/batch-query/jobs/{id}")).json()
    }

    /// The file of the first query of a job.
    fn file(&self, body: &Json) -> Answer {
        let submitted = self.post("/v1/batch-query/", body).json();
        let done = self.poll(&submitted);
        let file = done["batches"][0]["fileId"].as_str();
        let file = file.unwrap_or_else(|| panic!("{submitted} {done}"));
        self.get(&format!("/v1/file/{file}"))
    }

    /// The lines of the result of a query.
    fn lines(&self, query: &str) -> Vec<String> {
        let text = self.file(&job(&[query])).text();
        text.lines().map(str::to_owned).collect()
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn form(emulator: &ZuoraEmulator) -> String {
    let known = emulator.credentials();
    format!(
        "client_id={}&client_secret={}&grant_type=client_credentials",
        known.client_id, known.client_secret
    )
}

/// A stateless job.
fn job(queries: &[&str]) -> Json {
    let queries = queries.iter().zip(0..).map(|(query, number)| {
        json!({"name": format!("q{number}"), "type": "zoqlexport", "query": query})
    });
    json!({
        "format": "csv", "version": "1.2", "name": "test", "encrypted": "none",
        "useQueryLabels": true, "dateTimeUtc": true, "queries": queries.collect::<Vec<_>>(),
    })
}
