//! The destination over the real wire, on a stand-in that no one here wrote (fakesnow), read back by
//! Snowflake's own connector.
//!
//! This shows our SQL, our flow and our data; it does not show that genuine answers of Snowflake are read
//! rightly, nor DDL that commits, nor locks: `docs/how-to/snowflake.md` says what only an account can show.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use overlock_core::{Destination, ErrorKind, FixedClock, Redactor, Result, SyncKey};
use overlock_core::{WriteMode, stream};
use overlock_package::Settings;
use overlock_package::conformance::{self, Subject};
use overlock_package::sample::{self, Row, Sample};
use overlock_snowflake::stand_in::StandIn;
use overlock_snowflake::{
    Answer, Failure, Place, Policy, Session, Snowflake, SnowflakeWarehouse, Step, Tag, Warehouse,
    target,
};
use tempfile::TempDir;

/// Fails what a test wants to fail, on the way to a warehouse.
#[derive(Clone)]
struct Breaking {
    inner: SnowflakeWarehouse,
    left: Arc<Mutex<Option<u64>>>,
    words: Arc<Mutex<Vec<&'static str>>>,
}

impl Breaking {
    fn operation(&self, word: &'static str) -> std::result::Result<(), Failure> {
        self.words.lock().unwrap().push(word);
        match &mut *self.left.lock().unwrap() {
            Some(0) => Err(Failure::Lost(overlock_core::Error::new(
                ErrorKind::Destination,
                "reach the warehouse",
            ))),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

struct BreakingSession(Breaking, Box<dyn Session>);

#[async_trait]
impl Warehouse for Breaking {
    async fn open(&self, tag: &Tag) -> std::result::Result<Box<dyn Session>, Failure> {
        self.operation("open")?;
        Ok(Box::new(BreakingSession(
            self.clone(),
            self.inner.open(tag).await?,
        )))
    }
}

#[async_trait]
impl Session for BreakingSession {
    async fn run(&mut self, step: &Step) -> std::result::Result<Answer, Failure> {
        self.0.operation(step.word())?;
        self.1.run(step).await
    }

    async fn close(&mut self) {
        self.1.close().await;
    }
}

struct World {
    warehouse: Breaking,
    place: Place,
    dir: TempDir,
}

static WORLDS: AtomicU64 = AtomicU64::new(0);

impl World {
    fn new() -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let stand_in = StandIn::shared();
        let place = Place {
            database: stand_in.make_database(&format!("RAW_{number}")),
            schema: "ZENDESK".to_owned(),
        };
        let account = stand_in.account(&place.database);
        let inner = SnowflakeWarehouse::new(account, Redactor::default()).unwrap();
        Self {
            warehouse: Breaking {
                inner,
                left: Arc::default(),
                words: Arc::default(),
            },
            place,
            dir: sample::temp_dir(),
        }
    }

    fn snowflake(&self) -> Snowflake {
        let clock = Arc::new(FixedClock(sample::instant()));
        Snowflake::new(
            Arc::new(self.warehouse.clone()),
            self.place.clone(),
            Policy::default(),
            clock,
        )
        .pause(Duration::from_millis(1))
    }

    fn lines(&self, key: &SyncKey) -> Vec<Row> {
        let table = target(&self.place, key).table;
        let sql =
            format!("SELECT \"ID\", \"VERSION\", \"NOTE\", \"_DELETED\"::VARCHAR FROM {table}");
        let mut rows: Vec<Row> = match StandIn::shared().ask(&sql) {
            Err(error) if error.contains("002003") => Vec::new(),
            rows => rows.unwrap().iter().map(|row| read(row)).collect(),
        };
        rows.sort();
        rows
    }
}

fn settings() -> Settings {
    Settings {
        row_numbers: true,
        ..Settings::default()
    }
}

fn read(cells: &[Option<String>]) -> Row {
    let text = |at: usize| cells[at].clone().unwrap_or_else(|| panic!("{cells:?}"));
    Row {
        id: text(0).parse().unwrap(),
        version: text(1).parse().unwrap(),
        note: text(2),
        deleted: text(3).eq_ignore_ascii_case("true"),
    }
}

#[async_trait]
impl Subject for World {
    fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(self.snowflake())
    }

    fn work_dir(&self) -> &Path {
        self.dir.path()
    }

    fn settings(&self) -> Settings {
        settings()
    }

    async fn rows(&self, key: &SyncKey) -> Result<Vec<RecordBatch>> {
        Ok(vec![sample::batch(&self.lines(key))])
    }

    fn fail_after(&self, operations: Option<u64>) {
        *self.warehouse.left.lock().unwrap() = operations;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_wire_the_rules_are_kept() {
    conformance::destination(async || World::new()).await;
}

/// Every type, with the values that others lose.
#[tokio::test(flavor = "multi_thread")]
async fn every_value_arrives_as_it_is() {
    let world = World::new();
    let text = ["it's \"quoted\", \\ and ☃ 🎉 \u{202e}", "", "NULL"];
    let json = [Some("{\"a\": [1, 2.50, \"x\"]}"), Some("not json"), None];
    let money = Decimal128Array::from(vec![
        Some(-12_345_678_901_234_567_890_123_456_789_i128),
        Some(1),
        None,
    ]);
    let columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new("id", DataType::Int64, true),
            Arc::new(Int64Array::from(vec![1, 2, 3])),
        ),
        (
            Field::new("Text", DataType::Utf8, true),
            Arc::new(StringArray::from(text.to_vec())),
        ),
        (
            Field::new("Money", DataType::Decimal128(38, 9), true),
            Arc::new(money.with_precision_and_scale(38, 9).unwrap()),
        ),
        (
            Field::new("Big", DataType::Int64, true),
            Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 0])),
        ),
        (
            Field::new("Real", DataType::Float64, true),
            Arc::new(Float64Array::from(vec![Some(0.1), Some(-1e300), None])),
        ),
        (
            Field::new("Flag", DataType::Boolean, true),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            Field::new("Day", DataType::Date32, true),
            Arc::new(Date32Array::from(vec![Some(-98_615), Some(19_000), None])),
        ),
        (
            Field::new("At", stream::timestamp_type(), true),
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_767_225_600_123_456), Some(-1), None])
                    .with_timezone(stream::UTC),
            ),
        ),
        (
            Field::new("Bytes", DataType::Binary, true),
            Arc::new(BinaryArray::from(vec![
                Some(&[0_u8, 255, 10][..]),
                Some(&[][..]),
                None,
            ])),
        ),
        (
            stream::json_field("Json"),
            Arc::new(StringArray::from(json.to_vec())),
        ),
        (
            Field::new("_deleted", DataType::Boolean, true),
            Arc::new(BooleanArray::from(vec![false; 3])),
        ),
        (
            stream::json_field("_extra"),
            Arc::new(StringArray::from(vec![None::<&str>; 3])),
        ),
    ];
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let sample = Sample {
        schema,
        keyed: false,
        ..Sample::new(None, WriteMode::Append)
    };
    let package = sample.seal_batches_with(world.dir.path(), settings(), &[batch]);
    world.snowflake().commit(&package).await.unwrap();
    let table = target(&world.place, &sample::key()).table;
    let ask = |what: &str| {
        let sql = format!("SELECT {what} FROM {table} ORDER BY ID");
        StandIn::shared().ask(&sql).unwrap()
    };
    let column = |what: &str| -> Vec<Option<String>> {
        ask(what).into_iter().map(|mut row| row.remove(0)).collect()
    };
    let some = |values: [&str; 3]| values.map(|value| Some(value.to_owned())).to_vec();
    assert_eq!(column("TEXT"), some(text));
    let money = ["-12345678901234567890.123456789", "0.000000001"];
    assert_eq!(
        column("MONEY::VARCHAR")[..2],
        money.map(|value| Some(value.to_owned()))
    );
    let big = ["9223372036854775807", "-9223372036854775808", "0"];
    assert_eq!(column("BIG::VARCHAR"), some(big));
    let real = column("REAL::VARCHAR");
    assert_eq!(
        real[0]
            .as_deref()
            .unwrap()
            .parse::<f64>()
            .unwrap()
            .to_bits(),
        0.1_f64.to_bits()
    );
    assert_eq!(
        real[1]
            .as_deref()
            .unwrap()
            .parse::<f64>()
            .unwrap()
            .to_bits(),
        (-1e300_f64).to_bits()
    );
    assert_eq!(
        column("DAY::VARCHAR")[..2],
        ["1700-01-01", "2022-01-08"].map(|day| Some(day.to_owned()))
    );
    let at = column("\"AT\"::VARCHAR");
    assert!(
        at[0]
            .as_deref()
            .unwrap()
            .starts_with("2026-01-01 00:00:00.123456"),
        "{at:?}"
    );
    assert!(
        at[1]
            .as_deref()
            .unwrap()
            .starts_with("1969-12-31 23:59:59.999999"),
        "{at:?}"
    );
    assert_eq!(
        column("LOWER(HEX_ENCODE(BYTES))")[..2],
        ["00ff0a", ""].map(|hex| Some(hex.to_owned()))
    );
    // JSON is JSON; what is none stays as it is, and is counted.
    assert_eq!(
        column("JSON:a[1]::VARCHAR")[0]
            .as_deref()
            .map(|text| text.trim_end_matches('0')),
        Some("2.5")
    );
    // The stand-in shows a string in a VARIANT with its quotes, Snowflake without.
    let kept = column("JSON::VARCHAR")[1].clone().unwrap();
    assert_eq!(kept.trim_matches('"'), "not json");
    for name in [
        "MONEY", "REAL", "FLAG", "DAY", "\"AT\"", "BYTES", "JSON", "_EXTRA",
    ] {
        assert_eq!(column(&format!("{name}::VARCHAR"))[2], None, "{name}");
    }
    let commits = target(&world.place, &sample::key()).commits;
    let counted = StandIn::shared().ask(&format!(
        "SELECT UNPARSED_JSON::VARCHAR, ROW_COUNT::VARCHAR FROM {commits}"
    ));
    assert_eq!(
        counted.unwrap(),
        [[Some("1".to_owned()), Some("3".to_owned())]]
    );
}
