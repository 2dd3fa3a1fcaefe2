//! An emulated tenant on a loopback port, a source connected to it, and what it made of the tenant.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use overlock_core::{
    Catalog, Clock, Config, Connector as _, Context, Error, ErrorKind, Event, Events, Page, Proxy,
    ReadRequest, Redactor, Result, Source, SourceName, State, Stream, StreamName, Timestamp,
};
use overlock_sandbox::{Fault, Match};
use overlock_zuora::Connector;
use overlock_zuora::emulator::{
    Behaviour, JobRecord, Login, Object, Row as WorldRow, SandboxOptions, Value as Cell, World,
    ZuoraSandbox,
};
use serde_json::{Value, json};

/// Where the world's history ends.
pub(crate) const START: &str = "2026-03-01T12:00:00Z";

/// What windows stay behind the present unless a test says otherwise.
pub(crate) const SETTLE: Duration = Duration::from_secs(2 * 3_600);

pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// All objects that AQuA reads in windows.
pub(crate) const WINDOWED: &[&str] = &[
    "Account",
    "AccountingCode",
    "AccountingPeriod",
    "Amendment",
    "BillingRun",
    "Contact",
    "ContactSnapshot",
    "CreditBalanceAdjustment",
    "CreditMemo",
    "CreditMemoItem",
    "DebitMemo",
    "DebitMemoItem",
    "Invoice",
    "InvoiceItem",
    "InvoiceItemAdjustment",
    "InvoicePayment",
    "JournalEntry",
    "Order",
    "OrderAction",
    "OrderLineItem",
    "Payment",
    "PaymentMethod",
    "PaymentTransactionLog",
    "ProcessedUsage",
    "Product",
    "ProductRatePlan",
    "ProductRatePlanCharge",
    "ProductRatePlanChargeTier",
    "RatePlan",
    "RatePlanCharge",
    "RatePlanChargeTier",
    "Refund",
    "RefundInvoicePayment",
    "RefundTransactionLog",
    "Subscription",
    "TaxationItem",
    "Usage",
];

pub(crate) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A running tenant.
pub(crate) struct Tenant {
    pub(crate) sandbox: ZuoraSandbox,
}

/// The world of most tests is always the same: it is made up once.
fn seeded() -> World {
    static SEEDED: OnceLock<World> = OnceLock::new();
    SEEDED
        .get_or_init(|| World::seeded(Tenant::options().world))
        .clone()
}

impl Tenant {
    /// A dozen accounts; nothing changes by itself; three hours after the last change.
    pub(crate) fn small() -> Self {
        Self::over(seeded(), Self::options())
    }

    /// The same, and the world goes on with the clock.
    pub(crate) fn living() -> Self {
        let options = SandboxOptions {
            evolves: true,
            ..Self::options()
        };
        Self::over(seeded(), options)
    }

    pub(crate) fn options() -> SandboxOptions {
        let start = time(START);
        SandboxOptions {
            now: Some(start.plus(seconds(3 * HOUR))),
            evolves: false,
            ..SandboxOptions::tiny(7, start)
        }
    }

    pub(crate) fn of(options: SandboxOptions) -> Self {
        Self::over(World::seeded(options.world.clone()), options)
    }

    pub(crate) fn over(world: World, options: SandboxOptions) -> Self {
        Self {
            sandbox: ZuoraSandbox::start_with(world, options).unwrap(),
        }
    }

    /// A tenant of two entities, and their ids.
    pub(crate) fn of_two_entities() -> (Self, Vec<String>) {
        let mut world = seeded();
        world.split_entities(2);
        let entities = world.entities().to_vec();
        (Self::over(world, Self::options()), entities)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sandbox.clock().now()
    }

    /// Turns the clock; the tenant's own story goes on if it does so by itself.
    pub(crate) fn pass(&self, secs: u64) {
        self.sandbox.clock().advance(seconds(secs));
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

    /// Jobs that were made, oldest first.
    pub(crate) fn jobs(&self) -> Vec<JobRecord> {
        self.sandbox.emulator().jobs()
    }

    /// Calls of a kind so far.
    pub(crate) fn calls(&self, kind: &str) -> u64 {
        let calls = self.sandbox.emulator().calls_by_kind();
        calls.get(kind).copied().unwrap_or(0)
    }

    /// The Id of a row that can be seen now and is not deleted.
    pub(crate) fn some_id(&self, object: &str) -> String {
        let now = self.now();
        self.world(|world| world.ids(object, now).into_iter().next())
            .unwrap()
    }

    /// A row as it is now.
    pub(crate) fn row(&self, object: &str, id: &str) -> WorldRow {
        let now = self.now();
        self.world(|world| world.row(object, id, now).cloned())
            .unwrap()
    }

    /// Changes a row, stamped and visible now.
    pub(crate) fn change(&self, object: &str, id: &str, field: &str, value: &str) {
        let now = self.now();
        self.world(|world| {
            let value = Cell::Text(value.to_owned());
            world.update(object, id, &[(field, value)], Some(now), now);
        });
    }

    /// Adds copies of a row, all stamped with one instant.
    pub(crate) fn crowd(&self, object: &str, count: u32, at: Timestamp) {
        let now = self.now();
        self.world(|world| {
            let template = world.rows(object, now).into_iter().find(|row| !row.deleted);
            let template = template.unwrap().clone();
            let change = world
                .object(object)
                .and_then(|object| object.change.field());
            for number in 0..count {
                let mut copy = template.clone();
                copy.id = format!("2c92{number:028x}");
                let id = Cell::Text(copy.id.clone());
                copy.values.insert("Id".to_owned(), id);
                if let Some(key) = change {
                    copy.values.insert(key.to_owned(), Cell::Time(at));
                }
                world.put(object, copy, at);
            }
        });
    }

    /// The settings of a source, quick in everything.
    pub(crate) fn settings(&self, login: Login, extra: &Value) -> Value {
        let mut settings = self.sandbox.config(login);
        settings["poll_interval"] = json!("1ms");
        settings["data_query"] = json!(false);
        settings["http"] = json!({
            "backoff_base": "1ms",
            "backoff_cap": "3ms",
            "rate_limit_wait": "1ms",
            "read_timeout": "5s",
            "bulk_read_timeout": "5s",
            "retries": 400,
        });
        for (key, value) in extra.as_object().unwrap() {
            settings[key] = value.clone();
        }
        settings
    }

    pub(crate) fn connect(&self, cx: &Context, extra: &Value) -> Result<Arc<dyn Source>> {
        self.connect_as(cx, Login::OAuth, extra)
    }

    pub(crate) fn connect_as(
        &self,
        cx: &Context,
        login: Login,
        extra: &Value,
    ) -> Result<Arc<dyn Source>> {
        let name = SourceName::new("billing").unwrap();
        Connector.connect(&Config::new(name, self.settings(login, extra)), cx)
    }

    /// A client of this tenant with a work folder of its own.
    pub(crate) fn client(&self, extra: &Value) -> Client {
        self.client_in(Arc::new(tempfile::tempdir().unwrap()), Login::OAuth, extra)
    }

    /// A client that goes on with the work folder of another one, as the next process does.
    pub(crate) fn client_again(&self, client: &Client, extra: &Value) -> Client {
        self.client_in(Arc::clone(&client.folder), Login::OAuth, extra)
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

    /// What is wrong with a table, compared with the tenant as it is now. Rows count that are stamped before `before`.
    pub(crate) fn problems(
        &self,
        stream: &Stream,
        table: &Table,
        before: Timestamp,
    ) -> Vec<String> {
        let now = self.now();
        let name = stream.name.as_str();
        self.world(|world| {
            let Some(object) = world.object(name).cloned() else {
                return vec![format!("there is no {name}")];
            };
            let mut problems = Vec::new();
            let expected = world.expected(name, now, before);
            let entities = world.entities().to_vec();
            let has_entities = stream.primary_key.len() > 1;
            let key = |row: &WorldRow| match entities.get(row.entity) {
                Some(entity) if has_entities => format!("{entity}|{}", row.id),
                _ => row.id.clone(),
            };
            let mut wanted = BTreeSet::new();
            for row in expected.values() {
                wanted.insert(key(row));
                match table.rows.get(&key(row)) {
                    None => problems.push(format!("{name} {} is missing", row.id)),
                    Some(got) if is_deleted(got) => {
                        problems.push(format!("{name} {} is marked as deleted", row.id));
                    }
                    Some(got) => {
                        let found = differences(world, &object, stream, row, got, now);
                        problems.extend(
                            found
                                .into_iter()
                                .map(|what| format!("{name} {}: {what}", row.id)),
                        );
                    }
                }
            }
            // What is not expected must be a row that changed behind the window.
            let recent: BTreeSet<String> = world
                .rows(name, now)
                .into_iter()
                .filter(|row| {
                    row.stamp(object.change)
                        .is_some_and(|stamp| stamp >= before)
                })
                .map(key)
                .collect();
            for (key, row) in &table.rows {
                if !wanted.contains(key) && !recent.contains(key) && !is_deleted(row) {
                    problems.push(format!("{name} {key} should not be there"));
                }
            }
            problems
        })
    }

    /// Fails if the table is not the tenant's, up to two hours ago.
    #[track_caller]
    pub(crate) fn assert_exact(&self, stream: &Stream, table: &Table) {
        let problems = self.problems(stream, table, self.now().minus(SETTLE));
        assert!(
            problems.is_empty(),
            "{} problems: {:#?}",
            problems.len(),
            &problems[..problems.len().min(12)]
        );
    }
}

fn is_deleted(row: &Row) -> bool {
    row.get("_deleted").is_some_and(|text| text == "true")
}

/// A decimal number without zeros that say nothing.
pub(crate) fn normal(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let text = match fraction {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    };
    match text.as_str() {
        "0" => text,
        _ => format!("{sign}{text}"),
    }
}

/// Whether a column, or the keeper of misfits, says what the tenant says.
fn agrees(value: &Cell, data_type: &DataType, got: Option<&String>, extra: Option<&str>) -> bool {
    let Some(got) = got else {
        return match (value, extra) {
            (Cell::Null, _) => true,
            (Cell::Text(text) | Cell::Date(text) | Cell::Number(text), Some(extra)) => {
                extra == text.replace('\0', "")
            }
            _ => false,
        };
    };
    match value {
        Cell::Null => false,
        Cell::Text(text) => *got == text.replace('\0', ""),
        Cell::Boolean(value) => *got == value.to_string(),
        Cell::Number(number) => normal(got) == normal(number),
        Cell::Date(date) => got == date,
        Cell::Time(time) if *data_type == DataType::Utf8 => {
            // A text of a shape that nobody promised is kept as it stands in the file.
            let stamp = got.replace("+0000", "Z");
            got.len() == 10 || Timestamp::parse(&stamp).is_ok_and(|stamp| stamp == *time)
        }
        Cell::Time(time) => *got == time.to_string(),
    }
}

/// What is wrong with a row: each field, each key of a parent, and the currency of its account.
pub(crate) fn differences(
    world: &World,
    object: &Object,
    stream: &Stream,
    row: &WorldRow,
    got: &Row,
    now: Timestamp,
) -> Vec<String> {
    let extra: Value = got
        .get("_extra")
        .map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    let mut found = Vec::new();
    let exists = |name: &str| stream.schema.field_with_name(name).ok();
    let mut check = |name: &str, value: &Cell| {
        let Some(field) = exists(name) else {
            found.push(format!("there is no column {name}"));
            return;
        };
        let misfit = extra[name].as_str();
        if !agrees(value, field.data_type(), got.get(name), misfit) {
            found.push(format!(
                "{name} is {:?} (extra {misfit:?}), should be {value:?}",
                got.get(name)
            ));
        }
    };
    for field in &object.fields {
        if field.export && field.selectable && field.exists(now) {
            check(&field.name, row.value(&field.name));
        }
    }
    for related in &object.related {
        let name = format!("{}Id", related.name);
        if related.poisonous || related.name == object.name || object.field(&name).is_some() {
            continue;
        }
        let parent = row.parents.get(&related.name);
        check(
            &name,
            &parent.map_or(Cell::Null, |id| Cell::Text(id.clone())),
        );
    }
    if exists("AccountCurrency").is_some() {
        let account = row.parents.get("Account");
        let account = account.and_then(|id| world.row("Account", id, now));
        let currency = account.map_or(Cell::Null, |account| account.value("Currency").clone());
        check("AccountCurrency", &currency);
    }
    found
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

    /// The Ids in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.column("Id")
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
            .unwrap_or_else(|| panic!("{name}: {:?}", catalog.unavailable))
            .clone()
    }

    /// Reads one stream alone.
    pub(crate) async fn read(&self, tenant: &Tenant, name: &str, state: Option<State>) -> Reading {
        let stream = self.stream(name).await;
        self.read_request(request(tenant, &stream, state)).await
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

    /// A whole run as the engine makes it: discover, plan, read each stream, close. Only what a state covers is
    /// committed; what the engine would begin again is begun again.
    pub(crate) async fn run(&self, tenant: &Tenant, names: &[&str], store: &mut Store) -> Run {
        let catalog = self.discover(names).await.unwrap();
        let requests: Vec<ReadRequest> = names
            .iter()
            .map(|name| {
                let stream = catalog.get(name);
                let stream = stream.unwrap_or_else(|| panic!("{name}: {:?}", catalog.unavailable));
                let state = store.state(stream);
                request(tenant, stream, state)
            })
            .collect();
        self.source.plan(&requests);
        let mut run = Run::default();
        for request in requests {
            if let Some(error) = self.read_and_commit(request, store, &mut run).await {
                run.errors.insert(error.0, error.1);
            }
        }
        self.source.close().await;
        run
    }

    async fn read_and_commit(
        &self,
        mut request: ReadRequest,
        store: &mut Store,
        run: &mut Run,
    ) -> Option<(String, Error)> {
        let name = request.stream.name.to_string();
        let mut tries = 0;
        loop {
            let reading = self.read_request(request.clone()).await;
            run.rows += reading.rows.len();
            *run.rows_of.entry(name.clone()).or_default() += reading.rows.len();
            store.commit(&request.stream, &reading);
            let error = reading.error?;
            tries += 1;
            let begin_again =
                matches!(error.kind(), ErrorKind::Data | ErrorKind::StateExpired) && tries < 3;
            if !begin_again {
                return Some((name, error));
            }
            request.state = store.state(&request.stream);
            run.begun_again += 1;
        }
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

    /// What was told about changes of schemas.
    pub(crate) fn drifts(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Drift { stream, change } => Some(format!("{stream}: {change}")),
                _ => None,
            })
            .collect()
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Errors by stream.
    pub(crate) errors: BTreeMap<String, Error>,
    pub(crate) rows: usize,
    pub(crate) rows_of: BTreeMap<String, usize>,
    pub(crate) begun_again: usize,
}

impl Run {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self
    }
}

pub(crate) fn request(tenant: &Tenant, stream: &Arc<Stream>, state: Option<State>) -> ReadRequest {
    ReadRequest {
        stream: Arc::clone(stream),
        state,
        since: None,
        until: tenant.now(),
        filter: None,
    }
}

pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
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

/// A table as a destination keeps it: of each key the row with the larger stamp, of equal ones the later.
#[derive(Debug, Default, Clone)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<String, Row>,
    pub(crate) state: Option<State>,
}

impl Table {
    pub(crate) fn merge(&mut self, stream: &Stream, rows: &[Row]) {
        for row in rows {
            let key: Vec<&str> = stream
                .primary_key
                .iter()
                .map(|name| row[name].as_str())
                .collect();
            let key = key.join("|");
            let is_older = stream.replication_key.as_ref().is_some_and(|by| {
                let old = self.rows.get(&key).and_then(|row| row.get(by));
                matches!((old, row.get(by)), (Some(old), Some(new)) if old > new)
            });
            if !is_older {
                self.rows.insert(key, row.clone());
            }
        }
    }

    /// Keys of rows that are not deleted.
    pub(crate) fn live(&self) -> BTreeSet<String> {
        self.rows
            .iter()
            .filter(|(_, row)| !is_deleted(row))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

/// Everything that was committed.
#[derive(Debug, Default, Clone)]
pub(crate) struct Store(pub(crate) BTreeMap<String, Table>);

impl Store {
    /// The state that the engine would go on from; streams that are read whole have none.
    pub(crate) fn state(&self, stream: &Stream) -> Option<State> {
        let table = self.0.get(stream.name.as_str())?;
        stream.incremental.then(|| table.state.clone()).flatten()
    }

    pub(crate) fn commit(&mut self, stream: &Stream, reading: &Reading) {
        let table = self.0.entry(stream.name.to_string()).or_default();
        if !stream.incremental {
            if reading.error.is_none() {
                table.rows.clear();
                table.merge(stream, &reading.rows);
            }
            return;
        }
        if let Some((state, covered)) = reading.states.last() {
            table.merge(stream, &reading.rows[..*covered]);
            table.state = Some(state.clone());
        }
    }

    pub(crate) fn table(&self, name: &str) -> &Table {
        self.0.get(name).expect("the stream was read")
    }
}

/// Compares all tables with the tenant.
pub(crate) async fn assert_all_exact(
    tenant: &Tenant,
    client: &Client,
    names: &[&str],
    store: &Store,
) {
    let before = tenant.now().minus(SETTLE);
    let mut problems = Vec::new();
    for name in names {
        let stream = client.stream(name).await;
        problems.extend(tenant.problems(&stream, store.table(name), before));
    }
    assert!(
        problems.is_empty(),
        "{} problems: {:#?}",
        problems.len(),
        &problems[..problems.len().min(12)]
    );
}
