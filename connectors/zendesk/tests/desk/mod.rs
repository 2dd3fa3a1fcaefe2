//! An emulated account on a loopback port, a source connected to it, and what it made of the account.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use overlock_core::{
    Catalog, Clock, Config, Connector as _, Context, Error, Event, Events, Page, Proxy,
    ReadRequest, Redactor, Result, Source, SourceName, State, Stream, StreamName, Timestamp,
};
use overlock_sandbox::oracle::{Cell, record_differences};
use overlock_sandbox::{Fault, Match};
use overlock_zendesk::Connector;
use overlock_zendesk::emulator::{Behaviour, Login, SandboxOptions, World, ZendeskSandbox};
use serde_json::{Value, json};

/// Where the world's history ends.
pub(crate) const START: &str = "2026-03-01T12:00:00Z";

pub(crate) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A running account.
pub(crate) struct Desk {
    pub(crate) sandbox: ZendeskSandbox,
}

impl Desk {
    /// Some sixty tickets; nothing changes by itself; an hour after the last change.
    pub(crate) fn small() -> Self {
        Self::of(Self::options())
    }

    pub(crate) fn options() -> SandboxOptions {
        let start = time(START);
        SandboxOptions {
            now: Some(start.plus(Duration::from_secs(3_600))),
            evolves: false,
            ..SandboxOptions::tiny(7, start)
        }
    }

    pub(crate) fn of(options: SandboxOptions) -> Self {
        Self {
            sandbox: ZendeskSandbox::start(options).unwrap(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sandbox.clock().now()
    }

    /// Turns the clock; the account's own story goes on if it does so by itself.
    pub(crate) fn pass(&self, seconds: u64) {
        self.sandbox.clock().advance(Duration::from_secs(seconds));
    }

    pub(crate) fn behave(&self, act: impl FnOnce(&mut Behaviour)) {
        self.sandbox.emulator().behave(act);
    }

    pub(crate) fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.sandbox.with_world(act)
    }

    pub(crate) fn fault(&self, matches: Match, fault: Fault) {
        self.sandbox.faults().add(matches, fault);
    }

    /// Requests whose path contains the text.
    pub(crate) fn count(&self, part: &str) -> usize {
        let requests = self.sandbox.requests();
        requests
            .iter()
            .filter(|record| record.path.contains(part))
            .count()
    }

    /// The settings of a source, quick in everything.
    pub(crate) fn settings(&self, login: Login, extra: &Value) -> Value {
        let mut settings = self.sandbox.config(login);
        settings["http"] = json!({
            "backoff_base": "1ms",
            "backoff_cap": "3ms",
            "rate_limit_wait": "1ms",
            "read_timeout": "5s",
            "retries": 200,
        });
        for (key, value) in extra.as_object().unwrap() {
            settings[key] = value.clone();
        }
        settings
    }

    pub(crate) fn connect(&self, cx: &Context, extra: &Value) -> Result<Arc<dyn Source>> {
        self.connect_as(cx, Login::ClientCredentials, extra)
    }

    pub(crate) fn connect_as(
        &self,
        cx: &Context,
        login: Login,
        extra: &Value,
    ) -> Result<Arc<dyn Source>> {
        let name = SourceName::new("help").unwrap();
        Connector.connect(&Config::new(name, self.settings(login, extra)), cx)
    }

    /// A client of this account with a work folder of its own.
    pub(crate) fn client(&self, extra: &Value) -> Client {
        self.client_as(Login::ClientCredentials, extra)
    }

    pub(crate) fn client_as(&self, login: Login, extra: &Value) -> Client {
        self.client_in(Arc::new(tempfile::tempdir().unwrap()), login, extra)
    }

    /// A client that goes on with the work folder of another one.
    pub(crate) fn client_again(&self, client: &Client, extra: &Value) -> Client {
        self.client_in(Arc::clone(&client.folder), Login::ClientCredentials, extra)
    }

    pub(crate) fn client_in(
        &self,
        folder: Arc<tempfile::TempDir>,
        login: Login,
        extra: &Value,
    ) -> Client {
        let events = Arc::new(Mutex::new(Vec::new()));
        let cx = context(
            folder.path(),
            &events,
            Arc::new(self.sandbox.clock().clone()),
        );
        Client {
            source: self.connect_as(&cx, login, extra).unwrap(),
            events,
            folder,
        }
    }

    /// The keys that a complete sync shows now, with the record as the API gives it.
    pub(crate) fn expected(&self, stream: &str) -> BTreeMap<String, Value> {
        let now = self.now();
        self.world(|world| {
            // Tickets of AI agents, too: that is what the source asks for.
            let all = format!("{stream}:all");
            world
                .ids(&all, now)
                .into_iter()
                .map(|key| {
                    let record = world.expected(&all, &key, now);
                    let record = record.unwrap_or(Value::Null);
                    // The settings are one object without an id; ours is their name.
                    if stream == "account_settings" {
                        return ("settings".to_owned(), record["settings"].clone());
                    }
                    (key, record)
                })
                .collect()
        })
    }
}

pub(crate) fn context(
    folder: &Path,
    events: &Arc<Mutex<Vec<Event>>>,
    clock: Arc<dyn Clock>,
) -> Context {
    let sink = Arc::clone(events);
    Context {
        work_dir: folder.to_owned(),
        events: Events::new(move |event| sink.lock().unwrap().push(event)),
        clock,
        redactor: Redactor::default(),
        proxy: Proxy::default(),
        max_api_calls: None,
        ca_file: None,
    }
}

/// A connected source and what it told.
pub(crate) struct Client {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

/// A row: column name to text, nulls left out.
pub(crate) type Row = BTreeMap<String, String>;

/// What a read gave.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Rows in the order they came.
    pub(crate) rows: Vec<Row>,
    /// States with the number of rows before each.
    pub(crate) states: Vec<(State, usize)>,
    pub(crate) error: Option<Error>,
}

impl Reading {
    pub(crate) fn state(&self) -> State {
        self.states.last().expect("the read gave a state").0.clone()
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        self
    }

    #[track_caller]
    pub(crate) fn failed(&self) -> &Error {
        self.error.as_ref().expect("the read failed")
    }

    /// What a column says, row by row.
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let value = |row: &Row| row.get(name).cloned().unwrap_or_default();
        self.rows.iter().map(value).collect()
    }
}

impl Client {
    pub(crate) async fn discover(&self, names: &[&str]) -> Result<Catalog> {
        let names: Vec<StreamName> = names
            .iter()
            .map(|name| StreamName::new(*name).unwrap())
            .collect();
        self.source.discover(&names).await
    }

    pub(crate) async fn stream(&self, name: &str) -> Arc<Stream> {
        let catalog = self.discover(&[name]).await.unwrap();
        let found = catalog.get(name);
        found
            .unwrap_or_else(|| panic!("{name}: {:?}", catalog.lacking))
            .clone()
    }

    pub(crate) async fn read(&self, desk: &Desk, name: &str, state: Option<State>) -> Reading {
        let stream = self.stream(name).await;
        self.read_stream(desk, &stream, state).await
    }

    pub(crate) async fn read_stream(
        &self,
        desk: &Desk,
        stream: &Arc<Stream>,
        state: Option<State>,
    ) -> Reading {
        let request = ReadRequest {
            stream: Arc::clone(stream),
            state,
            since: None,
            until: desk.now(),
            filter: None,
        };
        self.read_request(request).await
    }

    pub(crate) async fn read_request(&self, request: ReadRequest) -> Reading {
        let mut reading = Reading::default();
        let mut pages = self.source.read(request);
        while let Some(page) = pages.next().await {
            match page {
                Ok(Page { batch, state }) => {
                    reading.rows.extend(rows(&batch));
                    if let Some(state) = state {
                        reading.states.push((state, reading.rows.len()));
                    }
                }
                Err(error) => reading.error = Some(error),
            }
        }
        reading
    }

    /// Codes of the warnings so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Warning { code, .. } => Some(code.clone()),
                _ => None,
            })
            .collect()
    }
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            schema
                .fields()
                .iter()
                .zip(&columns)
                .zip(batch.columns())
                .filter(|(_, column)| !column.is_null(row))
                .map(|((field, text), _)| (field.name().clone(), text.value(row).to_string()))
                .collect()
        })
        .collect()
}

/// A table as a destination keeps it: the newest row of each key.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<String, Row>);

impl Table {
    pub(crate) fn merge(&mut self, stream: &Stream, rows: &[Row]) {
        for row in rows {
            let key: Vec<&str> = stream
                .primary_key
                .iter()
                .map(|name| row[name].as_str())
                .collect();
            let key = key.join("|");
            let newer_by = stream.replication_key.as_ref();
            let is_older = newer_by.is_some_and(|by| {
                let old = self.0.get(&key).and_then(|row| row.get(by));
                match (old, row.get(by)) {
                    (Some(old), Some(new)) => match (old.parse::<i64>(), new.parse::<i64>()) {
                        (Ok(old), Ok(new)) => old > new,
                        _ => old > new,
                    },
                    _ => false,
                }
            });
            if !is_older {
                self.0.insert(key, row.clone());
            }
        }
    }

    /// Keys of rows that are not deleted.
    pub(crate) fn live(&self) -> Vec<&String> {
        let is_live = |row: &Row| row.get("_deleted").is_none_or(|deleted| deleted == "false");
        self.0
            .iter()
            .filter(|(_, row)| is_live(row))
            .map(|(key, _)| key)
            .collect()
    }
}

/// Keys of API records that are no data of their stream's rows.
const NO_DATA: &[&str] = &["fields", "metric_set"];

/// What is wrong with a row, compared with the record as the API gives it.
pub(crate) fn differences(stream: &Stream, row: &Row, record: &Value) -> Vec<(String, String)> {
    let mut record = record.clone();
    if let Some(keys) = record.as_object_mut() {
        for name in NO_DATA {
            keys.remove(*name);
        }
        // A comment knows its ticket only from where it was read.
        if keys.get("ticket_id").is_some_and(Value::is_null) {
            keys.remove("ticket_id");
        }
    }
    let extra = row.get("_extra").map(String::as_str);
    record_differences(&record, extra, |name| {
        let Ok(field) = stream.schema.field_with_name(name) else {
            return Cell::NoColumn;
        };
        match row.get(name) {
            None => Cell::Null,
            Some(text) if overlock_core::stream::is_json(field) => Cell::Json(text.clone()),
            Some(text) => Cell::Text(text.clone()),
        }
    })
}
