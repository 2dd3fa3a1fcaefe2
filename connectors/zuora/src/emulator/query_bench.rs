//! What the tests of the two query services share: a small tenant, and requests made by hand.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::{Value as Json, json};

use super::call::Call;
use super::data_habits::DataHabits;
use super::data_query::DataQueries;
use super::model::{ChangeKey, Field, Kind, Object, Related, Row, Value};
use super::world::{World, WorldOptions};

pub(super) const NOW: &str = "2024-11-20T00:00:00Z";

pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn object(name: &str, fields: &[(&str, Kind)]) -> Object {
    Object {
        name: name.to_owned(),
        fields: fields
            .iter()
            .map(|(name, kind)| Field::new(name, *kind))
            .collect(),
        related: Vec::new(),
        change: ChangeKey::UpdatedDate,
        deletes: true,
        aqua: true,
        table: Some(name.to_lowercase()),
        plural: Some(format!("{}s", name.to_lowercase())),
        data_source: true,
        described: true,
        forbidden: false,
    }
}

fn row(id: &str, values: &[(&str, Value)]) -> Row {
    let mut values: BTreeMap<String, Value> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    values.insert("Id".to_owned(), Value::Text(id.to_owned()));
    Row {
        id: id.to_owned(),
        values,
        parents: BTreeMap::new(),
        deleted: false,
        entity: 0,
    }
}

/// Four accounts, one of them deleted and one of another entity; a log without deletes; an object nobody may read.
pub(super) fn tenant() -> World {
    let mut world = World::empty(WorldOptions {
        seed: 7,
        start: time("2024-11-01T00:00:00Z"),
        history_days: 0,
        accounts: 0,
        changes_per_day: 0,
        nasty: false,
    });
    let mut account = object(
        "Account",
        &[
            ("Id", Kind::Text),
            ("Name", Kind::Text),
            ("Balance", Kind::Decimal),
            ("BillCycleDay", Kind::Integer),
            ("AutoPay", Kind::Boolean),
            ("LastInvoiceDate", Kind::Date),
            ("VATId", Kind::Text),
            ("Tier__c", Kind::Picklist),
            ("UpdatedDate", Kind::DateTime),
        ],
    );
    for (name, poisonous) in [
        ("BillToContact", false),
        ("SubscriptionStatusHistory", true),
    ] {
        account.related.push(Related {
            name: name.to_owned(),
            object: "Contact".to_owned(),
            poisonous,
        });
    }
    world.add_object(account);
    let mut log = object(
        "EmailHistory",
        &[("Id", Kind::Text), ("Subject", Kind::Text)],
    );
    log.deletes = false;
    world.add_object(log);
    let mut secret = object("Secret", &[("Id", Kind::Text)]);
    secret.forbidden = true;
    world.add_object(secret);
    let mut hidden = object("Hidden", &[("Id", Kind::Text)]);
    (hidden.table, hidden.plural) = (None, None);
    world.add_object(hidden);
    let text = |text: &str| Value::Text(text.to_owned());
    let number = |digits: &str| Value::Number(digits.to_owned());
    let accounts = [
        (
            "a1",
            "Acme",
            "9007199254740993.000000001",
            "2024-11-10T17:35:45Z",
        ),
        ("a2", "It's \"Beta\", Inc", "-0.010", "2024-11-11T08:00:00Z"),
        ("a3", "Gamma", "230.0", "2024-11-12T00:00:00Z"),
        ("a4", "Acme West", "7", "2024-11-13T00:00:00Z"),
    ];
    for (id, name, balance, updated) in accounts {
        let mut row = row(
            id,
            &[
                ("Name", text(name)),
                ("Balance", number(balance)),
                ("AutoPay", Value::Boolean(id == "a1")),
                ("UpdatedDate", Value::Time(time(updated))),
            ],
        );
        if id == "a1" {
            row.values.insert("BillCycleDay".to_owned(), number("31"));
            row.values.insert(
                "LastInvoiceDate".to_owned(),
                Value::Date("2024-11-10".to_owned()),
            );
            row.parents
                .insert("BillToContact".to_owned(), "c1".to_owned());
        }
        row.entity = usize::from(id == "a4");
        world.put("Account", row, time(updated));
    }
    world.delete("Account", "a3", time("2024-11-15T00:00:00Z"));
    world.put(
        "EmailHistory",
        row("e1", &[("Subject", text("Hi"))]),
        time("2024-11-10T00:00:00Z"),
    );
    world.put("Secret", row("s1", &[]), time("2024-11-10T00:00:00Z"));
    world
}

/// A request by hand.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: String,
    pub(super) now: Timestamp,
    pub(super) entity: Option<usize>,
}

/// A `GET` of a path with its query.
pub(super) fn get(path: &str) -> Request {
    Request {
        method: Method::GET,
        path: path.to_owned(),
        headers: Vec::new(),
        body: String::new(),
        now: time(NOW),
        entity: None,
    }
}

impl Request {
    pub(super) fn answer(&self, act: impl FnOnce(&Call<'_>) -> Response) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        act(&Call {
            method: &self.method,
            path,
            query,
            headers: &headers,
            body: self.body.as_bytes(),
            now: self.now,
            base: "http://127.0.0.1:1",
            entity: self.entity,
        })
    }
}

/// Status and text of an answer.
pub(super) fn read(answer: Response) -> (u16, String) {
    let bytes = answer.body.into_bytes();
    (
        answer.status.as_u16(),
        String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// A tenant, its jobs and their habits.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) jobs: DataQueries,
    pub(super) habits: DataHabits,
}

pub(super) fn submission(query: &str, more: &Json) -> Request {
    let mut body = json!({
        "query": query, "compression": "NONE", "output": {"target": "S3"}, "outputFormat": "JSON",
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let mut request = get("/query/jobs");
    request.method = Method::POST;
    request.headers.push(("content-type", "application/json"));
    request.body = body.to_string();
    request
}

impl Bench {
    pub(super) fn new(habits: DataHabits) -> Self {
        Self {
            world: tenant(),
            jobs: DataQueries::default(),
            habits,
        }
    }

    pub(super) fn send(&mut self, request: &Request) -> (u16, Json) {
        let answer = request.answer(|call| self.jobs.handle(call, &self.world, &self.habits));
        let (status, text) = read(answer);
        (status, serde_json::from_str(&text).unwrap())
    }

    pub(super) fn submit(&mut self, query: &str) -> String {
        let (status, answer) = self.send(&submission(query, &json!({})));
        assert_eq!(
            (status, &answer["data"]["queryStatus"]),
            (200, &json!("accepted")),
            "{answer}"
        );
        answer["data"]["id"].as_str().unwrap().to_owned()
    }

    pub(super) fn poll(&mut self, id: &str) -> Json {
        let (status, answer) = self.send(&get(&format!("/query/jobs/{id}")));
        assert_eq!(status, 200);
        answer["data"].clone()
    }

    /// The job as it stands at its end.
    pub(super) fn ended(&mut self, id: &str) -> Json {
        (0..100)
            .map(|_| self.poll(id))
            .find(|job| {
                !["accepted", "in_progress"].contains(&job["queryStatus"].as_str().unwrap())
            })
            .expect("the job ends")
    }

    pub(super) fn run(&mut self, query: &str) -> Json {
        let id = self.submit(query);
        self.ended(&id)
    }

    pub(super) fn download(&self, job: &Json) -> Response {
        let url = job["dataFile"].as_str().unwrap();
        let path = url.strip_prefix("http://127.0.0.1:1").unwrap();
        get(path).answer(|call| self.jobs.file(call, &self.habits))
    }
}
