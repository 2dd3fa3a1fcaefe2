//! An emulated org on a loopback port, a source connected to it, and what a read of it gave.

#![expect(dead_code, reason = "each test binary uses its own part of this")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use overlock_core::{
    Clock, Config, Connector as _, Context, Error, Event, Events, Page, Proxy, ReadRequest,
    Redactor, Result, Source, SourceName, State, Stream, StreamName, Timestamp,
};
use overlock_salesforce::Connector;
use overlock_salesforce::emulator::{
    Credentials, SalesforceEmulator, TEST_PRIVATE_KEY, World, WorldOptions,
};
use overlock_sandbox::{
    Emulator, Fault, Match, Request, RequestRecord, Response, Server, ServerOptions, VirtualClock,
};
use serde_json::{Value, json};

/// Where the world's history ends.
pub(crate) const START: &str = "2026-03-01T12:00:00Z";

pub(crate) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// What the org does at a request besides answering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    ExpireSessions,
    ForgetJobs,
}

type Hook = Box<dyn FnMut(&Request, &SalesforceEmulator) -> Option<Response> + Send>;

/// The emulator with hooks that run before a request is answered.
struct Hooked {
    inner: Arc<SalesforceEmulator>,
    mischief: Mutex<Vec<(u64, Mischief)>>,
    hooks: Mutex<Vec<Hook>>,
}

impl Emulator for Hooked {
    fn handle(&self, request: &Request) -> Response {
        let due: Vec<Mischief> = {
            let mischief = self.mischief.lock().unwrap();
            let due = mischief.iter().filter(|(at, _)| *at == request.index);
            due.map(|(_, what)| *what).collect()
        };
        for what in due {
            match what {
                Mischief::ExpireSessions => self.inner.expire_sessions(),
                Mischief::ForgetJobs => {
                    self.inner.forget_jobs();
                    self.inner.expire_cursors();
                }
            }
        }
        for hook in self.hooks.lock().unwrap().iter_mut() {
            if let Some(response) = hook(request, &self.inner) {
                return response;
            }
        }
        self.inner.handle(request)
    }
}

/// A running org.
pub(crate) struct Org {
    hooked: Arc<Hooked>,
    server: Server,
    clock: VirtualClock,
    credentials: Credentials,
}

impl Org {
    /// A few hundred rows; nothing changes by itself; an hour after the last change.
    pub(crate) fn small() -> Self {
        Self::of(WorldOptions {
            history_days: 20,
            scale: 3,
            drift: false,
            ..WorldOptions::tiny(7, time(START))
        })
    }

    pub(crate) fn of(options: WorldOptions) -> Self {
        Self::with(options, Credentials::default())
    }

    pub(crate) fn with(options: WorldOptions, credentials: Credentials) -> Self {
        let clock = VirtualClock::still(options.start.plus(Duration::from_secs(3_600)));
        let emulator = SalesforceEmulator::new(World::seeded(options), clock.clone())
            .with_credentials(credentials.clone())
            .without_evolution();
        Self::start(emulator, clock, credentials)
    }

    pub(crate) fn start(
        emulator: SalesforceEmulator,
        clock: VirtualClock,
        credentials: Credentials,
    ) -> Self {
        let hooked = Arc::new(Hooked {
            inner: Arc::new(emulator),
            mischief: Mutex::default(),
            hooks: Mutex::default(),
        });
        let server = Server::start(
            Arc::clone(&hooked) as Arc<dyn Emulator>,
            ServerOptions::new(clock.clone()),
        )
        .unwrap();
        hooked.inner.set_instance_url(&server.base_url());
        Self {
            hooked,
            server,
            clock,
            credentials,
        }
    }

    pub(crate) fn emulator(&self) -> &SalesforceEmulator {
        &self.hooked.inner
    }

    pub(crate) fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.server.requests()
    }

    /// Requests whose path contains the text.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        let fits = |record: &&RequestRecord| record.method == method && record.path.contains(part);
        self.requests().iter().filter(fits).count()
    }

    pub(crate) fn fault(&self, matches: Match, fault: Fault) {
        self.server.faults().add(matches, fault);
    }

    pub(crate) fn fault_at(&self, index: u64, fault: Fault) {
        let matches = Match {
            index: Some(index),
            times: Some(1),
            ..Match::default()
        };
        self.fault(matches, fault);
    }

    pub(crate) fn mischief_at(&self, index: u64, what: Mischief) {
        self.hooked.mischief.lock().unwrap().push((index, what));
    }

    /// Runs before each request is answered; an answer of the hook replaces the true one.
    pub(crate) fn hook(
        &self,
        hook: impl FnMut(&Request, &SalesforceEmulator) -> Option<Response> + Send + 'static,
    ) {
        self.hooked.hooks.lock().unwrap().push(Box::new(hook));
    }

    /// Keys of all rows that a complete sync shows now.
    pub(crate) fn keys(&self, object: &str) -> BTreeSet<String> {
        let now = self.now();
        let rows = self
            .emulator()
            .with_world(|world| world.expected(object, now));
        rows.into_iter().map(|row| row.key).collect()
    }

    pub(crate) fn canaries(&self) -> Vec<String> {
        let known = &self.credentials;
        let mut canaries = vec![
            known.client_secret.clone(),
            known.password.clone(),
            known.security_token.clone(),
            known.refresh_token.clone(),
        ];
        let key_line = |line: &&str| line.len() > 40;
        canaries.extend(
            TEST_PRIVATE_KEY
                .lines()
                .filter(key_line)
                .map(ToOwned::to_owned),
        );
        canaries
    }

    /// The settings of a source, quick in everything.
    pub(crate) fn settings(&self, auth: &Value, extra: &Value) -> Value {
        let mut settings = json!({
            "login_url": self.base_url(),
            "auth": auth,
            "poll_interval": "1ms",
            "http": {
                "backoff_base": "1ms",
                "backoff_cap": "3ms",
                "rate_limit_wait": "1ms",
                "read_timeout": "5s",
                "bulk_read_timeout": "5s",
                "retries": 200,
            },
        });
        for (key, value) in extra.as_object().unwrap() {
            settings[key] = value.clone();
        }
        settings
    }

    pub(crate) fn jwt(&self) -> Value {
        json!({
            "kind": "jwt",
            "client_id": self.credentials.client_id,
            "username": self.credentials.username,
            "private_key": TEST_PRIVATE_KEY,
        })
    }

    pub(crate) fn refresh_token(&self) -> Value {
        json!({
            "kind": "refresh_token",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
            "refresh_token": self.credentials.refresh_token,
        })
    }

    pub(crate) fn client_credentials(&self) -> Value {
        json!({
            "kind": "client_credentials",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
        })
    }

    pub(crate) fn connect(&self, cx: &Context, extra: &Value) -> Result<Arc<dyn Source>> {
        self.connect_as(cx, &self.jwt(), extra)
    }

    pub(crate) fn connect_as(
        &self,
        cx: &Context,
        auth: &Value,
        extra: &Value,
    ) -> Result<Arc<dyn Source>> {
        let name = SourceName::new("crm").unwrap();
        Connector.connect(&Config::new(name, self.settings(auth, extra)), cx)
    }

    /// A client of this org with a work folder of its own.
    pub(crate) fn client(&self, extra: &Value) -> Client {
        self.client_in(tempfile::tempdir().unwrap(), extra)
    }

    /// A client that goes on with the work folder of another one.
    pub(crate) fn client_in(&self, folder: tempfile::TempDir, extra: &Value) -> Client {
        self.client_as(folder, &self.jwt(), extra)
    }

    pub(crate) fn client_as(
        &self,
        folder: tempfile::TempDir,
        auth: &Value,
        extra: &Value,
    ) -> Client {
        let events = Arc::new(Mutex::new(Vec::new()));
        let cx = context(folder.path(), &events, Arc::new(self.clock()));
        let source = self.connect_as(&cx, auth, extra).unwrap();
        Client {
            source,
            events,
            folder,
            until: self.now(),
        }
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
    pub(crate) folder: tempfile::TempDir,
    pub(crate) until: Timestamp,
}

/// What a read gave.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Rows in the order they came: column name to text, nulls left out.
    pub(crate) rows: Vec<BTreeMap<String, String>>,
    /// States with the number of rows before each.
    pub(crate) states: Vec<(State, usize)>,
    pub(crate) error: Option<Error>,
}

impl Reading {
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.rows.iter().map(|row| row["Id"].clone()).collect()
    }

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
}

impl Client {
    pub(crate) async fn stream(&self, name: &str) -> Arc<Stream> {
        let name = StreamName::new(name).unwrap();
        let catalog = self
            .source
            .discover(std::slice::from_ref(&name))
            .await
            .unwrap();
        catalog
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name}: {:?}", catalog.unavailable))
            .clone()
    }

    pub(crate) fn request(&self, stream: &Arc<Stream>, state: Option<State>) -> ReadRequest {
        ReadRequest {
            stream: Arc::clone(stream),
            state,
            since: None,
            until: self.until,
            filter: None,
        }
    }

    pub(crate) async fn read(&self, name: &str, state: Option<State>) -> Reading {
        let stream = self.stream(name).await;
        self.read_request(self.request(&stream, state)).await
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

    pub(crate) fn drifts(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Drift { change, .. } => Some(change.clone()),
                _ => None,
            })
            .collect()
    }
}

fn rows(batch: &RecordBatch) -> Vec<BTreeMap<String, String>> {
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
