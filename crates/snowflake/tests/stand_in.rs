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

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use overlock_core::{Destination, ErrorKind, FixedClock, Redactor, Result, Secret, SyncKey};
use overlock_package::Settings;
use overlock_package::conformance::{self, Subject};
use overlock_package::sample::{self, Row};
use overlock_snowflake::stand_in::StandIn;
use overlock_snowflake::{
    Account, Answer, Auth, Failure, Place, Policy, Session, Snowflake, SnowflakeWarehouse, Step,
    Tag, Warehouse, target,
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

fn account(url: &str, database: &str) -> Account {
    Account {
        account: "stand-in".to_owned(),
        host: None,
        user: "loader".to_owned(),
        auth: Auth::Password(Secret::new("not-a-secret")),
        role: None,
        warehouse: None,
        database: Some(database.to_owned()),
        test_url: Some(url.parse().unwrap()),
    }
}

impl World {
    fn new() -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            database: format!("RAW_{number}"),
            schema: "ZENDESK".to_owned(),
        };
        let stand_in = StandIn::shared();
        stand_in
            .ask(&format!("CREATE DATABASE {}", place.database))
            .unwrap();
        let inner = SnowflakeWarehouse::new(
            account(stand_in.url(), &place.database),
            Redactor::default(),
        )
        .unwrap();
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
