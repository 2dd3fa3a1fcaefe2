//! A tenant: an emulated Zuora, a project folder beside it, the real binary, and an oracle.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Deref;
use std::time::Duration;

use overlock_core::{Clock as _, Timestamp};
use overlock_salesforce::emulator::canonical_number;
use overlock_snowflake::stand_in::StandIn;
use overlock_zuora::emulator::{
    Kind, Login, Object, Row as Record, SandboxOptions, Value, World, ZuoraSandbox,
};
use serde_json::json;

use crate::lab::START;
use crate::project::Project;
use crate::rows::Row;

/// A reader leaves out the last two hours, because long transactions show their rows that late.
const SETTLE: Duration = Duration::from_secs(2 * 3_600);

/// Everything one test needs; gone with its folder when dropped. It is its project, with a tenant beside it.
#[derive(Debug)]
pub struct Tenant {
    /// The emulated tenant.
    pub sandbox: ZuoraSandbox,
    /// The project folder.
    pub project: Project,
}

impl Deref for Tenant {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl Tenant {
    /// A tiny tenant that changes only when it is told to, and a pipeline over these streams.
    pub fn new(seed: u64, streams: &[&str]) -> Self {
        Self::with_options(Self::options(seed), streams)
    }

    /// What [`Tenant::new`] makes it from.
    pub fn options(seed: u64) -> SandboxOptions {
        let start = Timestamp::parse(START).unwrap();
        let mut options = SandboxOptions::tiny(seed, start);
        options.evolves = false;
        options
    }

    /// A tenant of this kind, and a pipeline over these streams.
    pub fn with_options(options: SandboxOptions, streams: &[&str]) -> Self {
        let sandbox = ZuoraSandbox::start(options).unwrap();
        let table = table(&sandbox, Login::OAuth);
        let mut project = Project::new("billing", "billing", table, streams);
        let known = sandbox.emulator().credentials();
        project.add_variable("TENANT_CLIENT_SECRET", &known.client_secret);
        project.add_variable("TENANT_PASSWORD", &known.password);
        Self { sandbox, project }.source("poll_interval = \"2ms\"")
    }

    /// A tiny tenant, and a pipeline over everything that can be read of it by AQuA.
    pub fn whole(options: SandboxOptions) -> Self {
        let names = {
            let sandbox = ZuoraSandbox::start(options.clone()).unwrap();
            let now = sandbox.clock().now();
            sandbox.with_world(|world| -> Vec<String> {
                let objects = world.objects().filter(|object| is_readable(object, now));
                objects.map(|object| object.name.clone()).collect()
            })
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Self::with_options(options, &names)
    }

    /// Adds a line to the source's table.
    #[must_use]
    pub fn source(mut self, line: &str) -> Self {
        self.project.add_setting(line);
        self
    }

    /// Compares what no window shows in every run that is later than the one before.
    #[must_use]
    pub fn compares_always(self) -> Self {
        self.source("shadow_refresh = \"1s\"")
            .source("sweep = \"1s\"")
    }

    /// Adds a line to the table `[run]`.
    #[must_use]
    pub fn run_setting(mut self, line: &str) -> Self {
        self.project.add_run_setting(line);
        self
    }

    /// Logs in in another way.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.project.set_table(table(&self.sandbox, login));
        self
    }

    /// Sends rows to a database of the Snowflake stand-in, which is made.
    #[must_use]
    pub fn snowflake(mut self) -> Self {
        self.project.use_snowflake();
        self
    }

    /// The tenant's present.
    pub fn now(&self) -> Timestamp {
        self.sandbox.clock().now()
    }

    /// Lets the virtual clock and the tenant move on.
    pub fn advance(&self, by: Duration) {
        self.sandbox.clock().advance(by);
        let now = self.now();
        self.sandbox.with_world(|world| world.evolve(now));
    }

    /// Calls of a kind so far, as the emulator counts them.
    pub fn calls(&self, kind: &str) -> u64 {
        let calls = self.sandbox.emulator().calls_by_kind();
        calls.get(kind).copied().unwrap_or_default()
    }

    /// All calls so far.
    pub fn all_calls(&self) -> u64 {
        self.sandbox.emulator().calls_by_kind().values().sum()
    }

    /// Lets the two hours pass that a reader leaves out, without a change of a row.
    pub fn settle(&self) {
        self.sandbox
            .clock()
            .advance(SETTLE + Duration::from_secs(1));
    }

    /// The same, runs, and asks the oracle about every stream.
    #[track_caller]
    pub fn settle_and_judge(&self) {
        self.settle();
        self.run().expect(0);
        self.judge();
    }

    /// Compares every stream's table with what a complete sync must show at this moment.
    #[track_caller]
    pub fn judge(&self) {
        for stream in self.streams() {
            let mut findings = self.findings(stream);
            if let Some(file) = self.expected_file(stream) {
                findings.extend(StandIn::shared().verify(file.path()));
            }
            let count = findings.len();
            findings.truncate(12);
            assert!(
                findings.is_empty(),
                "{stream}, {count}: {}",
                findings.join("; ")
            );
        }
    }

    /// What the tenant knows about one stream, for the verifier of tables in Snowflake. None where rows vanish without
    /// a word: what is written in their place has a stamp of ours.
    fn expected_file(&self, stream: &str) -> Option<tempfile::NamedTempFile> {
        let (database, now) = (self.database()?, self.now());
        let lines = self.sandbox.with_world(|world| {
            let object = world.object(stream).filter(|object| object.deletes)?;
            let currencies = currencies(world, now);
            let mut lines = vec![json!({
                "database": database,
                "schema": "BILLING",
                "stream": stream,
                "mode": "merge",
                "keys": ["Id"],
                "version": object.change.field()?,
                "deletes": "soft",
            })];
            for record in world.rows(stream, now) {
                lines.push(json!({
                    "key": record.id,
                    "stamp": record.stamp(object.change)?.to_string(),
                    "deleted": record.deleted,
                    "current": true,
                    "values": expected(object, record, &currencies, now),
                }));
            }
            Some(lines)
        })?;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        Some(file)
    }

    /// What is lost, doubled, altered, invented or still alive in one stream.
    pub fn findings(&self, stream: &str) -> Vec<String> {
        let now = self.now();
        let mut findings = Vec::new();
        let mut found: BTreeMap<String, Row> = BTreeMap::new();
        for row in self.table(stream) {
            let key = row.get("Id").cloned().flatten().unwrap_or_default();
            if found.insert(key.clone(), row).is_some() {
                findings.push(format!("doubled {key}"));
            }
        }
        self.sandbox.with_world(|world| {
            let object = world.object(stream).unwrap().clone();
            let currencies = currencies(world, now);
            let live = world.expected(stream, now, now.plus(SETTLE));
            for (key, record) in &live {
                match found.get(key) {
                    None => findings.push(format!("lost {key}")),
                    Some(row) => {
                        let wrong = differences(&object, row, record, &currencies, now);
                        findings.extend(wrong.map(|wrong| format!("altered {key}: {wrong}")));
                        if cell(row, "_deleted") == Some("true") {
                            findings.push(format!("{key} is marked as deleted, and is not"));
                        }
                    }
                }
            }
            for (key, row) in &found {
                if live.contains_key(key) {
                    continue;
                }
                if !world.was_ever(stream, key) {
                    findings.push(format!("invented {key}"));
                } else if cell(row, "_deleted") != Some("true") {
                    findings.push(format!("{key} is gone, and not marked as deleted"));
                }
            }
            // Whoever asks in time is told of every row that was deleted.
            if object.deletes && object.change.field().is_some() {
                for record in world.rows(stream, now).iter().filter(|row| row.deleted) {
                    if !found.contains_key(&record.id) {
                        findings.push(format!("lost {}, which is deleted", record.id));
                    }
                }
            }
        });
        findings
    }
}

/// Whether an object can be read by AQuA.
fn is_readable(object: &Object, now: Timestamp) -> bool {
    let has_id = object
        .field("Id")
        .is_some_and(|field| field.export && field.selectable && field.exists(now));
    object.aqua && object.described && !object.forbidden && has_id
}

fn cell<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name)?.as_deref()
}

/// A value as rows of tables show it: null and empty text are not the same.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        // No destination takes NUL; it is dropped with a warning.
        Value::Text(text) => Some(text.replace('\0', "")),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Number(digits) => Some(canonical_number(digits)),
        Value::Date(text) => Some(text.clone()),
        Value::Time(time) => Some(time.to_string()),
    }
}

/// The currency of each account.
fn currencies(world: &World, now: Timestamp) -> BTreeMap<String, Value> {
    let accounts = world.rows("Account", now).into_iter();
    accounts
        .map(|row| (row.id.clone(), row.value("Currency").clone()))
        .collect()
}

/// Every column that can be read, as the world has it: own fields, the keys of parents, the currency of amounts.
fn expected(
    object: &Object,
    record: &Record,
    currencies: &BTreeMap<String, Value>,
    now: Timestamp,
) -> BTreeMap<String, Option<String>> {
    let is_there = |name: &str| object.field(name).is_some();
    let mut expected: BTreeMap<String, Option<String>> = object
        .fields
        .iter()
        .filter(|field| field.selectable && field.export && field.exists(now))
        .map(|field| (field.name.clone(), shown(record.value(&field.name))))
        .collect();
    for related in object.related.iter().filter(|related| !related.poisonous) {
        let name = format!("{}Id", related.name);
        if !is_there(&name) {
            expected.insert(name, record.parents.get(&related.name).cloned());
        }
    }
    let has_amount = object.fields.iter().any(|field| {
        let is_amount = matches!(
            field.kind,
            Kind::Decimal | Kind::CapitalDecimal | Kind::Number
        );
        is_amount && expected.contains_key(&field.name)
    });
    if has_amount && !is_there("Currency") && object.relation("Account").is_some() {
        let account = record.parents.get("Account");
        let currency = account.and_then(|id| currencies.get(id)).and_then(shown);
        expected.insert("AccountCurrency".to_owned(), currency);
    }
    expected
}

/// What a row says that its record does not.
fn differences(
    object: &Object,
    row: &Row,
    record: &Record,
    currencies: &BTreeMap<String, Value>,
    now: Timestamp,
) -> impl Iterator<Item = String> {
    let number = |name: &str| matches!(record.value(name), Value::Number(_));
    let mut wrong = Vec::new();
    for (name, wanted) in expected(object, record, currencies, now) {
        let found = match row.get(&name) {
            // In `_extra` numbers stand as Zuora wrote them.
            Some(Some(text)) if number(&name) => Some(canonical_number(text)),
            Some(found) => found.clone(),
            None => {
                wrong.push(format!("there is no column {name}"));
                continue;
            }
        };
        if found != wanted {
            wrong.push(format!("{name} is {found:?}, not {wanted:?}"));
        }
    }
    wrong.into_iter()
}

/// The lines of the source's table that log in.
fn table(sandbox: &ZuoraSandbox, login: Login) -> String {
    let known = sandbox.emulator().credentials();
    let auth = match login {
        Login::OAuth => format!(
            "kind = \"oauth\", client_id = \"{}\", client_secret = \"env:TENANT_CLIENT_SECRET\"",
            known.client_id
        ),
        Login::Keys => format!(
            "kind = \"keys\", user = \"{}\", password = \"env:TENANT_PASSWORD\"",
            known.user
        ),
    };
    format!(
        "connector = \"zuora\"\nbase_url = \"{}\"\nauth = {{ {auth} }}",
        sandbox.base_url()
    )
}
