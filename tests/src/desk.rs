//! A desk: an emulated Zendesk account, a project folder beside it, the real binary, and an oracle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_local::{Table, View};
use overlock_sandbox::oracle::{Cell, record_differences};
use overlock_snowflake::stand_in::StandIn;
use overlock_zendesk::emulator::{Login, SandboxOptions, ZendeskSandbox};

use crate::lab::{Outcome, START, binary, finish, write};
use crate::rows::{self, Row};

/// Everything one test needs; gone with its folder when dropped.
#[derive(Debug)]
pub struct Desk {
    /// The emulated account.
    pub sandbox: ZendeskSandbox,
    /// The project folder.
    pub project: tempfile::TempDir,
    streams: Vec<String>,
    settings: Vec<String>,
    run_settings: Vec<String>,
    login: Login,
    /// Name of a database of the stand-in, if rows go there.
    database: Option<String>,
}

/// Keys of records that are no data of their stream's rows.
const NO_DATA: &[&str] = &["fields", "metric_set"];

/// Columns of JSON whose values may be plain text.
const MIXED: &[&str] = &["satisfaction_rating", "via"];

/// Changes that Zendesk does not date: no increment sees them.
const UNDATED: &[(&str, &str)] = &[
    ("ticket_metric_events", "deleted"),
    ("users", "two_factor_auth_enabled"),
];

impl Desk {
    /// A tiny account that changes only when it is told to, and a pipeline over these streams.
    pub fn new(seed: u64, streams: &[&str]) -> Self {
        let start = Timestamp::parse(START).unwrap();
        let mut options = SandboxOptions::tiny(seed, start);
        options.evolves = false;
        // Several pages, so that there is always something half done.
        options.behaviour.time_page_rows = 60;
        options.behaviour.list_page_rows = 7;
        Self::with_options(options, streams)
    }

    /// An account of this kind, and a pipeline over these streams.
    pub fn with_options(options: SandboxOptions, streams: &[&str]) -> Self {
        let desk = Self {
            sandbox: ZendeskSandbox::start(options).unwrap(),
            project: tempfile::tempdir().unwrap(),
            streams: streams.iter().map(|name| (*name).to_owned()).collect(),
            settings: Vec::new(),
            run_settings: Vec::new(),
            login: Login::ClientCredentials,
            database: None,
        };
        desk.write();
        desk
    }

    /// Adds a line to the source's table.
    #[must_use]
    pub fn source(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self.write();
        self
    }

    /// Adds a line to the table `[run]`.
    #[must_use]
    pub fn run_setting(mut self, line: &str) -> Self {
        self.run_settings.push(line.to_owned());
        self.write();
        self
    }

    /// Logs in another way.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.login = login;
        self.write();
        self
    }

    /// Sends rows to a database of the Snowflake stand-in, which is made.
    #[must_use]
    pub fn snowflake(mut self) -> Self {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        self.database = Some(StandIn::shared().make_database(&format!("DESK_{number}")));
        self.write();
        self
    }

    fn write(&self) {
        let values = self.sandbox.config(self.login);
        let auth = &values["auth"];
        let secret = |key: &str| {
            [
                "client_secret",
                "access_token",
                "refresh_token",
                "api_token",
            ]
            .contains(&key)
        };
        let pairs: Vec<String> = auth
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| {
                if secret(key) {
                    format!("{key} = \"env:DESK_{}\"", key.to_uppercase())
                } else {
                    format!("{key} = {value}")
                }
            })
            .collect();
        let mut project = format!(
            "version = 1\n\n[source.help]\nconnector = \"zendesk\"\nbase_url = \"{}\"\nauth = {{ {} }}\n",
            self.sandbox.base_url(),
            pairs.join(", "),
        );
        if !self.settings.iter().any(|line| line.starts_with("http")) {
            project.push_str(
                "http = { connect_timeout = \"2s\", read_timeout = \"700ms\", total_timeout = \"20s\", backoff_base = \"5ms\", backoff_cap = \"20ms\" }\n",
            );
        }
        for line in &self.settings {
            project.push_str(line);
            project.push('\n');
        }
        match &self.database {
            None => project.push_str("\n[destination.lake]\nkind = \"local\"\npath = \"data\"\n"),
            Some(database) => {
                project.push_str("\n[destination.lake]\n");
                project.push_str(&StandIn::shared().settings(database));
            }
        }
        project.push_str("\n[run]\n");
        project.push_str(&self.run_settings.join("\n"));
        project.push('\n');
        let mut pipeline = "source = \"help\"\ndestination = \"lake\"\n".to_owned();
        for stream in &self.streams {
            pipeline.extend(["\n[streams.", stream, "]\n"]);
        }
        let folder = self.project.path();
        std::fs::create_dir_all(folder.join("pipelines")).unwrap();
        write(&folder.join("overlock.toml"), &project);
        write(&folder.join("pipelines/support.toml"), &pipeline);
    }

    /// A command of the binary in the project folder, with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let known = self.sandbox.emulator().credentials();
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.project.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DESK_CLIENT_SECRET", &known.client_secret)
            .env("DESK_ACCESS_TOKEN", &known.access_token)
            .env("DESK_REFRESH_TOKEN", &known.refresh_token)
            .env("DESK_API_TOKEN", &known.api_token)
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn overlock(&self, arguments: &[&str]) -> Outcome {
        finish(self.command(arguments))
    }

    /// Runs the pipeline to its end.
    pub fn run(&self) -> Outcome {
        self.overlock(&["run", "support"])
    }

    /// Runs the pipeline with a crash point armed.
    pub fn run_armed(&self, crash: &str) -> Outcome {
        let mut command = self.command(&["run", "support"]);
        command.env("OVERLOCK_CRASH_AT", crash);
        finish(command)
    }

    /// Starts the pipeline and leaves it running.
    pub fn start(&self) -> Child {
        self.command(&["run", "support"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The account's present.
    pub fn now(&self) -> Timestamp {
        use overlock_core::Clock as _;
        self.sandbox.clock().now()
    }

    /// Lets the virtual clock and the account move on.
    pub fn advance(&self, by: Duration) {
        self.sandbox.clock().advance(by);
        let now = self.now();
        self.sandbox.with_world(|world| world.evolve(now));
    }

    /// Requests whose path contains the text.
    pub fn count(&self, part: &str) -> usize {
        let requests = self.sandbox.requests();
        requests
            .iter()
            .filter(|record| record.path.contains(part))
            .count()
    }

    /// The folder of a table.
    pub fn table_dir(&self, stream: &str) -> PathBuf {
        self.project.path().join("data/help").join(stream)
    }

    /// Rows of the current view of a table; none if it does not exist yet.
    pub fn table(&self, stream: &str) -> Vec<Row> {
        if let Some(database) = &self.database {
            return rows::loaded(database, "HELP", stream);
        }
        let dir = self.table_dir(stream);
        if !dir.exists() {
            return Vec::new();
        }
        let table = Table::open(dir).unwrap();
        let batches: Vec<_> = table
            .scan(View::Current, None)
            .unwrap()
            .map(|batch| batch.unwrap())
            .collect();
        rows::rows(&batches)
    }

    /// Ids of the commits of a table of the stand-in, oldest first.
    pub fn commits(&self, stream: &str) -> Vec<String> {
        let database = self.database.as_deref().unwrap();
        rows::logged(database, "HELP", stream)
    }

    /// Lets the last minute pass that exports hold back, runs, and asks the oracle about every stream.
    #[track_caller]
    pub fn settle_and_judge(&self) {
        self.sandbox.clock().advance(Duration::from_secs(120));
        self.run().expect(0);
        self.judge();
    }

    /// Compares every stream's table with what a complete sync must show at this moment.
    #[track_caller]
    pub fn judge(&self) {
        for stream in &self.streams {
            let mut findings = self.findings(stream);
            let count = findings.len();
            findings.truncate(12);
            assert!(
                findings.is_empty(),
                "{stream}, {count}: {}",
                findings.join("; ")
            );
        }
    }

    /// What is lost, doubled, altered or invented in one stream.
    pub fn findings(&self, stream: &str) -> Vec<String> {
        let now = self.now();
        let all = format!("{stream}:all");
        let mut findings = Vec::new();
        let mut found: BTreeMap<String, Row> = BTreeMap::new();
        for row in self.table(stream) {
            let key = ["id", "name"].iter().find_map(|key| row.get(*key)?.clone());
            let key = key.unwrap_or_default();
            if found.insert(key.clone(), row).is_some() {
                findings.push(format!("doubled {key}"));
            }
        }
        self.sandbox.with_world(|world| {
            let ids = world.ids(&all, now);
            assert!(
                !ids.is_empty(),
                "the account has no {stream}: the oracle would be blind"
            );
            for key in &ids {
                let record = world.expected(&all, key, now).unwrap_or_default();
                match found.get(key) {
                    None => findings.push(format!("lost {key}")),
                    Some(row) => {
                        for (name, wrong) in differences(row, record) {
                            if !UNDATED.contains(&(stream, name.as_str())) {
                                findings.push(format!("altered {key}: {wrong}"));
                            }
                        }
                    }
                }
            }
            for (key, row) in &found {
                let is_deleted = row.get("_deleted").cloned().flatten();
                if !ids.contains(key) && world.ever(stream, key, now).is_empty() {
                    findings.push(format!("invented {key}"));
                } else if !ids.contains(key) && is_deleted.as_deref() == Some("false") {
                    findings.push(format!("{key} is gone, and not marked as deleted"));
                }
            }
        });
        findings
    }
}

fn differences(row: &Row, record: serde_json::Value) -> Vec<(String, String)> {
    let mut record = record;
    if let Some(keys) = record.as_object_mut() {
        for name in NO_DATA {
            keys.remove(*name);
        }
        // A comment knows its ticket only from where it was read.
        if keys
            .get("ticket_id")
            .is_some_and(serde_json::Value::is_null)
        {
            keys.remove("ticket_id");
        }
    }
    let extra = row.get("_extra").cloned().flatten();
    let structured = |name: &str| {
        record
            .get(name)
            .is_some_and(|value| value.is_object() || value.is_array())
            || MIXED.contains(&name)
    };
    record_differences(&record, extra.as_deref(), |name| match row.get(name) {
        None => Cell::NoColumn,
        Some(None) => Cell::Null,
        // What stands in `_extra` is shown under its own name; JSON text is told by the record.
        Some(Some(text)) if structured(name) => Cell::Json(text.clone()),
        Some(Some(text)) => Cell::Text(text.clone()),
    })
}
