//! Tables of Data Query against the emulated tenant: every row, to the last digit, whatever goes wrong on the way.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: a failure is the test's"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array as _, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use overlock_core::{
    Catalog, Config, Connector as _, Context, Error, ErrorKind, Event, Events, Proxy, ReadRequest,
    Redactor, Result, Source, SourceName, State, Stream, StreamName, Timestamp,
};
use overlock_sandbox::{Fault, Match};
use overlock_zuora::Connector;
use overlock_zuora::emulator::{Behaviour, Login, Row, SandboxOptions, Value, World, ZuoraSandbox};
use serde_json::json;

const START: &str = "2026-03-01T12:00:00Z";
const HOUR: u64 = 3_600;
const SETTLE: Duration = Duration::from_secs(2 * HOUR);

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A running tenant and a source that reads it.
struct Bench {
    sandbox: ZuoraSandbox,
    source: Arc<dyn Source>,
    events: Arc<Mutex<Vec<Event>>>,
    _folder: tempfile::TempDir,
}

/// Name of a column and its text; nulls are left out.
type Cells = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Reading {
    rows: Vec<Cells>,
    /// States with the number of rows before each.
    states: Vec<(State, usize)>,
    error: Option<Error>,
}

impl Reading {
    #[track_caller]
    fn ok(self) -> Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        self
    }

    #[track_caller]
    fn failed(self) -> Error {
        self.error.expect("the read fails")
    }

    fn state(&self) -> State {
        self.states.last().expect("a state").0.clone()
    }

    fn ids(&self) -> BTreeSet<String> {
        self.rows.iter().map(|row| row["id"].clone()).collect()
    }
}

impl Bench {
    /// Nothing has changed for three hours, so that everything is settled.
    fn still() -> Self {
        Self::of(false, &json!({}))
    }

    fn of(evolves: bool, extra: &serde_json::Value) -> Self {
        let start = time(START);
        let sandbox = ZuoraSandbox::start(SandboxOptions {
            now: Some(start.plus(Duration::from_secs(3 * HOUR))),
            evolves,
            ..SandboxOptions::tiny(7, start)
        })
        .unwrap();
        Self::over(sandbox, extra)
    }

    fn over(sandbox: ZuoraSandbox, extra: &serde_json::Value) -> Self {
        // The clock of tokens is turned by days.
        sandbox
            .emulator()
            .behave(|behaviour| behaviour.token_secs = 0);
        let folder = tempfile::tempdir().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let source = connect(&sandbox, folder.path(), &events, extra);
        Self {
            sandbox,
            source,
            events,
            _folder: folder,
        }
    }

    fn behave(&self, act: impl FnOnce(&mut Behaviour)) {
        self.sandbox.emulator().behave(act);
    }

    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.sandbox.with_world(act)
    }

    fn now(&self) -> Timestamp {
        use overlock_core::Clock as _;
        self.sandbox.clock().now()
    }

    fn pass(&self, hours: u64) {
        self.sandbox
            .clock()
            .advance(Duration::from_secs(hours * HOUR));
    }

    async fn catalog(&self, names: &[&str]) -> Result<Catalog> {
        let names: Vec<StreamName> = names
            .iter()
            .map(|name| StreamName::new(*name).unwrap())
            .collect();
        self.source.discover(&names).await
    }

    async fn stream(&self, name: &str) -> Arc<Stream> {
        let catalog = self.catalog(&[name]).await.unwrap();
        let found = catalog.get(name).cloned();
        found.unwrap_or_else(|| panic!("{name}: {:?}", catalog.unavailable))
    }

    async fn read(&self, name: &str, state: Option<State>) -> Reading {
        let stream = self.stream(name).await;
        self.read_stream(stream, state).await
    }

    async fn read_stream(&self, stream: Arc<Stream>, state: Option<State>) -> Reading {
        let request = ReadRequest {
            stream: Arc::clone(&stream),
            state,
            since: None,
            until: self.now(),
            filter: None,
        };
        let mut reading = Reading::default();
        let mut pages = self.source.read(request);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    assert_eq!(page.batch.schema(), stream.schema);
                    reading.rows.extend(cells(&page.batch));
                    if let Some(state) = page.state {
                        reading.states.push((state, reading.rows.len()));
                    }
                }
                Err(error) => reading.error = Some(error),
            }
        }
        reading
    }

    /// What a table should have now: the rows that are settled.
    fn expected(&self, object: &str) -> BTreeMap<String, Row> {
        let now = self.now();
        self.world(|world| world.expected(object, now, now.minus(SETTLE)))
    }

    /// Bodies of the queries that were submitted.
    fn queries(&self) -> Vec<String> {
        let requests = self.sandbox.requests();
        let posts = requests
            .iter()
            .filter(|request| request.method == "POST" && request.path == "/query/jobs");
        posts
            .map(|request| {
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                body["query"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// A vehicle is copied so many times, all with one stamp.
    fn many_vehicles(&self, count: u32, stamp: &str) {
        let stamp = time(stamp);
        self.world(|world| {
            let like = world.rows("default__vehicle", stamp)[0].clone();
            for number in 0..count {
                let mut row = like.clone();
                row.id = format!(
                    "8ad0{:08x}{number:020x}",
                    number.wrapping_mul(2_654_435_761)
                );
                row.values
                    .insert("Id".to_owned(), Value::Text(row.id.clone()));
                row.values
                    .insert("UpdatedDate".to_owned(), Value::Time(stamp));
                world.put("default__vehicle", row, stamp);
            }
        });
    }
}

fn connect(
    sandbox: &ZuoraSandbox,
    folder: &std::path::Path,
    events: &Arc<Mutex<Vec<Event>>>,
    extra: &serde_json::Value,
) -> Arc<dyn Source> {
    let mut settings = sandbox.config(Login::OAuth);
    settings["poll_interval"] = json!("1ms");
    settings["http"] = json!({
        "backoff_base": "1ms", "backoff_cap": "3ms", "rate_limit_wait": "1ms",
        "read_timeout": "5s", "retries": 200,
    });
    for (key, value) in extra.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let sink = Arc::clone(events);
    let cx = Context {
        work_dir: folder.to_owned(),
        events: Events::new(move |event| sink.lock().unwrap().push(event)),
        clock: Arc::new(sandbox.clock().clone()),
        redactor: Redactor::default(),
        proxy: Proxy::default(),
        max_api_calls: None,
        ca_file: None,
    };
    let name = SourceName::new("billing").unwrap();
    Connector
        .connect(&Config::new(name, settings), &cx)
        .unwrap()
}

fn cells(batch: &RecordBatch) -> Vec<Cells> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let names = schema.fields().iter().map(|field| field.name().clone());
            names
                .zip(&columns)
                .zip(batch.columns())
                .filter(|(_, column)| !column.is_null(row))
                .map(|((name, text), _)| (name, text.value(row).to_string()))
                .collect()
        })
        .collect()
}

/// A row of the world as a batch shows it.
fn shown(row: &Row, deleted: Option<bool>) -> Cells {
    let mut cells = Cells::new();
    for (name, value) in &row.values {
        let text = match value {
            Value::Null => continue,
            Value::Text(text) | Value::Date(text) => text.clone(),
            Value::Boolean(value) => value.to_string(),
            Value::Number(digits) => digits.clone(),
            Value::Time(time) => time.to_string(),
        };
        cells.insert(name.to_lowercase(), text);
    }
    for (name, id) in &row.parents {
        cells.insert(format!("{}id", name.to_lowercase()), id.clone());
    }
    if let Some(deleted) = deleted {
        cells.insert("deleted".to_owned(), deleted.to_string());
        cells.insert("_deleted".to_owned(), deleted.to_string());
    }
    cells
}

/// Decimals without zeros behind their last digit, so that `1.50` is what `1.500000000` is.
fn plain(stream: &Stream, cells: &Cells) -> Cells {
    let is_decimal = |name: &str| {
        let field = stream.schema.field_with_name(name).unwrap();
        field.data_type().to_string().starts_with("Decimal")
    };
    let text = |name: &str, text: &str| {
        if is_decimal(name) && text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    cells
        .iter()
        .map(|(name, value)| (name.clone(), text(name, value)))
        .collect()
}

#[track_caller]
fn assert_same(
    stream: &Stream,
    found: &[Cells],
    expected: &BTreeMap<String, Row>,
    deleted: Option<bool>,
) {
    let found: BTreeMap<String, Cells> = found
        .iter()
        .map(|row| (row["id"].clone(), plain(stream, row)))
        .collect();
    let expected: BTreeMap<String, Cells> = expected
        .iter()
        .map(|(id, row)| (id.clone(), plain(stream, &shown(row, deleted))))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
}

#[tokio::test]
async fn every_row_is_that_of_the_world_to_the_last_digit() {
    let bench = Bench::still();
    bench.behave(|behaviour| behaviour.data_query.microsecond_literals_fail = true);
    bench.world(|world| {
        let id = world.rows("ChargeMetrics", time(START))[0].id.clone();
        let digits = Value::Number("9007199254740993.000000001".to_owned());
        world.update("ChargeMetrics", &id, &[("Mrr", digits)], None, time(START));
    });
    for (table, object, least) in [
        ("chargemetrics", "ChargeMetrics", 10),
        ("default__vehicle", "default__vehicle", 3),
    ] {
        let stream = bench.stream(table).await;
        assert!(stream.incremental);
        assert_eq!(stream.primary_key, ["id"]);
        assert_eq!(stream.replication_key.as_deref(), Some("updateddate"));
        let reading = bench.read(table, None).await.ok();
        let expected = bench.expected(object);
        assert!(expected.len() >= least, "{}", expected.len());
        assert_eq!(reading.rows.len(), expected.len());
        assert_same(&stream, &reading.rows, &expected, None);
    }
    let has_digits = bench
        .read("chargemetrics", None)
        .await
        .rows
        .iter()
        .any(|row| {
            row.get("mrr")
                .is_some_and(|mrr| mrr == "9007199254740993.000000001")
        });
    assert!(has_digits);
    // The store is asked with its own signature alone.
    let requests = bench.sandbox.requests();
    let mut files = requests
        .iter()
        .filter(|one| one.path.starts_with("/data-files/"));
    assert!(files.clone().count() >= 4);
    assert!(files.all(|one| !one.headers.contains_key("authorization")));
}

#[tokio::test]
async fn tables_are_discovered_where_objects_are_not() {
    let bench = Bench::still();
    let catalog = bench.catalog(&[]).await.unwrap();
    let names: BTreeSet<&str> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
    for name in ["chargemetrics", "default__vehicle", "Account", "Order"] {
        assert!(names.contains(name), "{name}: {:?}", catalog.unavailable);
    }
    for name in [
        "account",
        "orders",
        "archived_invoiceitem",
        "aggregatedataqueryslowdata",
    ] {
        assert!(!names.contains(name), "{name}");
    }
    let missing = bench.catalog(&["no_such_table"]).await.unwrap();
    assert!(
        missing.streams.is_empty() && missing.unavailable.is_empty(),
        "{missing:?}"
    );
}

#[tokio::test]
async fn increments_bring_what_changed_meanwhile() {
    let bench = Bench::of(true, &json!({}));
    for (table, object) in [
        ("chargemetrics", "ChargeMetrics"),
        ("default__vehicle", "default__vehicle"),
    ] {
        let stream = bench.stream(table).await;
        let mut kept: BTreeMap<String, Cells> = BTreeMap::new();
        let mut state = None;
        for round in 0..4 {
            let reading = bench.read(table, state.clone()).await.ok();
            if round > 0 {
                assert!(reading.rows.len() < kept.len().max(4), "{table} {round}");
            }
            kept.extend(
                reading
                    .rows
                    .iter()
                    .map(|row| (row["id"].clone(), row.clone())),
            );
            state = Some(reading.state());
            let rows: Vec<Cells> = kept.values().cloned().collect();
            assert_same(&stream, &rows, &bench.expected(object), None);
            bench.pass(24 * 3);
        }
    }
}

#[tokio::test]
async fn deleted_rows_come_marked() {
    let bench = Bench::still();
    bench.world(|world| {
        world.change_object("default__vehicle", |object| object.deletes = true);
    });
    let stream = bench.stream("default__vehicle").await;
    assert_eq!(stream.deletes, overlock_core::Deletes::Reported);
    let first = bench.read("default__vehicle", None).await.ok();
    assert_same(
        &stream,
        &first.rows,
        &bench.expected("default__vehicle"),
        Some(false),
    );
    let id = first.rows[0]["id"].clone();
    let at = bench.now();
    bench.world(|world| world.delete("default__vehicle", &id, at));
    bench.pass(24);
    let second = bench
        .read("default__vehicle", Some(first.state()))
        .await
        .ok();
    assert_eq!(second.rows.len(), 1);
    assert_eq!(
        (&second.rows[0]["id"], second.rows[0]["_deleted"].as_str()),
        (&id, "true")
    );
}

#[tokio::test]
async fn limits_of_rows_are_kept_by_halving() {
    for truncates in [false, true] {
        let bench = Bench::still();
        let stream = bench.stream("chargemetrics").await;
        let everything = bench.expected("ChargeMetrics");
        assert!(everything.len() > 10, "{}", everything.len());
        let limit = everything.len() as u64 / 4;
        bench.behave(|behaviour| {
            behaviour.data_query.output_rows = limit;
            behaviour.data_query.input_rows = limit * 2;
            behaviour.data_query.truncate_silently = truncates;
        });
        let reading = bench.read("chargemetrics", None).await.ok();
        assert_eq!(reading.rows.len(), everything.len());
        assert_same(&stream, &reading.rows, &everything, None);
        assert!(reading.states.len() > 4);
    }
}

#[tokio::test]
async fn many_rows_in_one_second_are_read_by_id() {
    for truncates in [false, true] {
        let bench = Bench::still();
        bench.many_vehicles(230, "2026-02-10T10:00:00Z");
        bench.behave(|behaviour| {
            behaviour.data_query.output_rows = 50;
            behaviour.data_query.input_rows = 100;
            behaviour.data_query.truncate_silently = truncates;
        });
        let stream = bench.stream("default__vehicle").await;
        let reading = bench.read("default__vehicle", None).await.ok();
        let expected = bench.expected("default__vehicle");
        assert!(expected.len() >= 230);
        assert_eq!(reading.rows.len(), expected.len(), "truncates: {truncates}");
        assert_same(&stream, &reading.rows, &expected, None);
        let queries = bench.queries();
        assert!(queries.iter().any(|query| query.contains("\"id\" >= '")));
    }
}

#[tokio::test]
async fn a_read_begun_anew_from_any_state_misses_nothing() {
    let bench = Bench::still();
    bench.many_vehicles(120, "2026-02-10T10:00:00Z");
    bench.many_vehicles(60, "2026-02-11T10:00:00Z");
    bench.behave(|behaviour| behaviour.data_query.output_rows = 40);
    let whole = bench.read("default__vehicle", None).await.ok();
    assert!(whole.states.len() >= 4, "{}", whole.states.len());
    for (state, before) in &whole.states {
        let rest = bench
            .read("default__vehicle", Some(state.clone()))
            .await
            .ok();
        let missing: Vec<&Cells> = whole.rows[*before..]
            .iter()
            .filter(|row| !rest.rows.contains(row))
            .collect();
        assert!(missing.is_empty(), "{before}: {missing:?}");
    }
    let last = bench
        .read("default__vehicle", Some(whole.state()))
        .await
        .ok();
    assert!(last.rows.is_empty());
}

#[tokio::test]
async fn a_table_without_stamps_is_read_whole_and_in_parts() {
    let bench = Bench::still();
    bench.many_vehicles(120, "2026-02-10T10:00:00Z");
    bench.world(|world| {
        world.change_object("default__vehicle", |object| {
            object.fields.retain(|field| field.name != "UpdatedDate");
        });
    });
    bench.behave(|behaviour| behaviour.data_query.output_rows = 50);
    let stream = bench.stream("default__vehicle").await;
    assert!(!stream.incremental);
    let reading = bench.read("default__vehicle", None).await.ok();
    assert_eq!(reading.ids().len(), reading.rows.len());
    assert_eq!(reading.rows.len(), bench.expected("default__vehicle").len());
    let again = bench
        .read("default__vehicle", Some(reading.state()))
        .await
        .ok();
    assert!(again.rows.is_empty(), "it is done");
    bench.world(|world| {
        world.change_object("default__vehicle", |object| {
            object.fields.retain(|field| field.name != "Id");
        });
    });
    let other = Bench::over(bench.sandbox, &json!({}));
    let error = other.read("default__vehicle", None).await.failed();
    assert!(
        error
            .hint_text()
            .unwrap()
            .contains("without a text column `id`"),
        "{error:?}"
    );
    other.behave(|behaviour| behaviour.data_query.output_rows = 500);
    let rows = other.read("default__vehicle", None).await.ok().rows;
    assert_eq!(rows.len(), reading.rows.len());
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let bench = Bench::still();
    let stream = bench.stream("chargemetrics").await;
    let expected = bench.expected("ChargeMetrics");
    bench.behave(|behaviour| {
        behaviour.data_query.fail_first = 3;
        behaviour.data_query.cut_files = 3;
    });
    let reading = bench.read("chargemetrics", None).await.ok();
    assert_same(&stream, &reading.rows, &expected, None);
    assert_eq!(reading.rows.len(), expected.len(), "no row twice");
}

#[tokio::test]
async fn a_file_that_breaks_in_the_middle_gives_each_row_once() {
    let bench = Bench::still();
    bench.many_vehicles(9_000, "2026-02-10T10:00:00Z");
    let stream = bench.stream("default__vehicle").await;
    bench.read("default__vehicle", None).await.ok();
    // The count comes whole, the rows do not.
    let sizes = bench.sandbox.requests();
    let largest = sizes.iter().map(|request| request.response_bytes).max();
    assert!(largest > Some(100_000), "{largest:?}");
    bench.sandbox.faults().add(
        Match::path("/data-files/*").nth(2),
        Fault::ResetAt {
            bytes: largest.unwrap() * 3 / 4,
        },
    );
    let reading = bench.read("default__vehicle", None).await.ok();
    assert_same(
        &stream,
        &reading.rows,
        &bench.expected("default__vehicle"),
        None,
    );
    assert_eq!(reading.rows.len(), reading.ids().len());
}

#[tokio::test]
async fn a_result_that_does_not_balance_is_not_believed() {
    let bench = Bench::still();
    let stream = bench.stream("chargemetrics").await;
    // The count is small and asked for again.
    bench.behave(|behaviour| behaviour.data_query.wrong_output_rows = 1);
    let rows = bench.read("chargemetrics", None).await.ok().rows;
    assert_same(&stream, &rows, &bench.expected("ChargeMetrics"), None);
    let bench = Bench::still();
    bench.stream("chargemetrics").await;
    bench.behave(|behaviour| behaviour.data_query.wrong_output_rows = 1_000);
    let reading = bench.read("chargemetrics", None).await;
    assert!(reading.states.is_empty());
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
}

#[tokio::test]
async fn a_table_that_may_not_be_read_is_an_error_and_not_empty() {
    let bench = Bench::still();
    let stream = bench.stream("chargemetrics").await;
    for (message, kind) in [
        (
            "failed to process object chargemetrics",
            ErrorKind::Permission,
        ),
        (
            "Service Temporarily Unavailable. LINK_30000007",
            ErrorKind::Unavailable,
        ),
        ("out of luck", ErrorKind::Unavailable),
        (
            "line 1:1: Table owl.data.chargemetrics does not exist",
            ErrorKind::NotFound,
        ),
    ] {
        let table = ("chargemetrics".to_owned(), message.to_owned());
        bench.behave(|behaviour| behaviour.data_query.fail_tables = [table].into());
        let reading = bench.read_stream(Arc::clone(&stream), None).await;
        assert!(reading.rows.is_empty() && reading.states.is_empty());
        assert_eq!(reading.failed().kind(), kind, "{message}");
    }
    bench.behave(|behaviour| {
        behaviour.data_query.fail_tables.clear();
        behaviour.error_200 = [("data_query".to_owned(), 1_000)].into();
    });
    let reading = bench.read_stream(stream, None).await;
    assert!(reading.states.is_empty());
    reading.failed();
}

#[tokio::test]
async fn a_column_that_is_gone_is_left_out_and_told() {
    let bench = Bench::still();
    let stream = bench.stream("default__vehicle").await;
    bench.world(|world| {
        world.change_object("default__vehicle", |object| {
            object.fields.retain(|field| field.name != "Seats__c");
        });
    });
    let reading = bench.read_stream(Arc::clone(&stream), None).await.ok();
    assert_eq!(reading.rows.len(), bench.expected("default__vehicle").len());
    assert!(
        reading
            .rows
            .iter()
            .all(|row| !row.contains_key("seats__c") && row.contains_key("price__c"))
    );
    let events = bench.events.lock().unwrap().clone();
    let drifts = events.iter().filter(
        |event| matches!(event, Event::Drift { change, .. } if change.contains("seats__c")),
    );
    assert_eq!(drifts.count(), 1);
    // Without the stamp nobody knows what belongs to a window.
    bench.world(|world| {
        world.change_object("default__vehicle", |object| {
            object.fields.retain(|field| field.name != "UpdatedDate");
        });
    });
    let reading = bench.read_stream(stream, None).await;
    assert!(reading.states.is_empty());
    assert_eq!(reading.failed().get("field"), Some("updateddate"));
    assert!(
        !bench.stream("default__vehicle").await.incremental,
        "it is asked for again"
    );
}

#[tokio::test]
async fn a_file_elsewhere_is_refused() {
    let bench = Bench::still();
    let stream = bench.stream("default__vehicle").await;
    bench.behave(|behaviour| {
        behaviour.data_query.file_base = Some("http://127.0.0.1:9".to_owned());
    });
    let reading = bench.read_stream(stream, None).await;
    assert!(reading.rows.is_empty() && reading.states.is_empty());
    let error = format!("{:?}", reading.failed());
    assert!(!error.contains("X-Amz-Signature"), "{error}");
}

#[tokio::test]
async fn rows_of_the_beginning_may_lack_a_stamp() {
    let bench = Bench::still();
    bench.world(|world| {
        let mut row = world.rows("default__vehicle", time(START))[0].clone();
        row.id = "8ad0ffffffffffffffffffffffffffff".to_owned();
        row.values
            .insert("Id".to_owned(), Value::Text(row.id.clone()));
        row.values.insert("UpdatedDate".to_owned(), Value::Null);
        world.put("default__vehicle", row, time(START));
    });
    let stream = bench.stream("default__vehicle").await;
    let reading = bench.read("default__vehicle", None).await.ok();
    assert_same(
        &stream,
        &reading.rows,
        &bench.expected("default__vehicle"),
        None,
    );
    let state = reading.state();
    bench.pass(5);
    let next = bench.read("default__vehicle", Some(state)).await.ok();
    assert!(next.rows.is_empty());
}

#[tokio::test]
async fn each_entity_has_its_own_rows_and_mark() {
    let start = time(START);
    let sandbox = ZuoraSandbox::start(SandboxOptions {
        now: Some(start.plus(Duration::from_secs(3 * HOUR))),
        evolves: false,
        ..SandboxOptions::tiny(7, start)
    })
    .unwrap();
    sandbox.with_world(|world| world.split_entities(2));
    let entities = sandbox.with_world(|world| world.entities().to_vec());
    let bench = Bench::over(sandbox, &json!({ "entities": entities }));
    let stream = bench.stream("chargemetrics").await;
    assert_eq!(stream.primary_key, ["entity_id", "id"]);
    let reading = bench.read("chargemetrics", None).await.ok();
    let expected = bench.expected("ChargeMetrics");
    assert_eq!(reading.rows.len(), expected.len());
    let mut seen = BTreeSet::new();
    for row in &reading.rows {
        let entity = &entities[expected[&row["id"]].entity];
        assert_eq!(&row["entity_id"], entity);
        seen.insert(entity);
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(reading.states.len(), 3);
}

#[tokio::test]
async fn a_full_queue_is_waited_for_and_what_runs_is_cancelled_in_the_end() {
    let bench = Bench::still();
    let stream = bench.stream("default__vehicle").await;
    bench.behave(|behaviour| {
        behaviour.data_query.running = 0;
        behaviour.data_query.queued = 0;
    });
    let mut pages = bench.source.read(ReadRequest {
        stream: Arc::clone(&stream),
        state: None,
        since: None,
        until: bench.now(),
        filter: None,
    });
    let waits = tokio::time::timeout(Duration::from_millis(300), pages.next()).await;
    assert!(waits.is_err(), "it waits");
    assert!(bench.queries().len() > 3);
    // It is queued now, and nothing runs.
    bench.behave(|behaviour| behaviour.data_query.queued = 1);
    let waits = tokio::time::timeout(Duration::from_millis(600), pages.next()).await;
    assert!(waits.is_err(), "it waits still");
    drop(pages);
    bench.source.close().await;
    let requests = bench.sandbox.requests();
    let cancelled = requests
        .iter()
        .filter(|one| one.method == "DELETE" && one.path.starts_with("/query/jobs/"));
    assert_eq!(cancelled.count(), 1);
    bench.behave(|behaviour| behaviour.data_query.running = 5);
    let reading = bench.read_stream(stream, None).await.ok();
    assert_eq!(reading.rows.len(), 3);
}
