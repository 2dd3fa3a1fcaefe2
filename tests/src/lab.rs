//! A laboratory: an emulated org, a project folder beside it, the real binary, and an oracle.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use overlock_core::{Clock as _, Timestamp};
use overlock_local::{Table, View};
use overlock_salesforce::emulator::{Expected, SalesforceSandbox, SandboxOptions};

use overlock_snowflake::stand_in::StandIn;
use serde_json::json;

use crate::rows::{self, Row};

/// Where the world of every test begins, unless it says otherwise.
pub const START: &str = "2026-03-02T09:00:00Z";

/// Everything one test needs; gone with its folder when dropped.
#[derive(Debug)]
pub struct Lab {
    /// The emulated org.
    pub sandbox: SalesforceSandbox,
    /// The project folder.
    pub project: tempfile::TempDir,
    streams: Vec<StreamSpec>,
    settings: Vec<String>,
    run_settings: Vec<String>,
    auth: Option<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    /// Name of a database of the stand-in, if rows go there.
    database: Option<String>,
    /// Lines of its table.
    destination: Vec<String>,
}

/// One stream of the pipeline under test.
#[derive(Debug, Clone)]
struct StreamSpec {
    name: String,
    settings: String,
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Wall time.
    pub took: Duration,
}

impl Outcome {
    /// The JSON object on standard output.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.stdout.trim())
            .unwrap_or_else(|error| panic!("{error} in:\n{}\n{}", self.stdout, self.stderr))
    }

    /// Panics with everything that was printed unless the exit code is as expected.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the check is what it is called for"
    )]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code; stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Finds the binary that `cargo test --workspace` built; `OVERLOCK_TEST_BINARY` names another one.
#[expect(
    clippy::disallowed_methods,
    reason = "a documented knob of these tests"
)]
pub fn binary() -> PathBuf {
    if let Ok(path) = std::env::var("OVERLOCK_TEST_BINARY") {
        return path.into();
    }
    let path = assert_cmd::cargo::cargo_bin("overlock");
    assert!(
        path.exists(),
        "{} is missing: run the tests with `cargo test --workspace`",
        path.display()
    );
    path
}

impl Lab {
    /// A tiny org with everything switched on, and a pipeline over these streams with default modes.
    pub fn new(seed: u64, streams: &[&str]) -> Self {
        Self::with_options(Self::options(seed), streams)
    }

    /// A tiny org with everything switched on but schema changes; nothing happens by itself.
    pub fn options(seed: u64) -> SandboxOptions {
        let start = Timestamp::parse(START).unwrap();
        let mut options = SandboxOptions::tiny(seed, start);
        options.world.drift = false;
        options.evolves = false;
        // Several pages per job, so that there is always something half done.
        options.behaviour.bulk_page_rows = 10;
        options
    }

    /// An org of this kind, and a pipeline over these streams with default modes.
    pub fn with_options(options: SandboxOptions, streams: &[&str]) -> Self {
        let sandbox = SalesforceSandbox::start(options).unwrap();
        let mut lab = Self {
            sandbox,
            project: tempfile::tempdir().unwrap(),
            streams: Vec::new(),
            settings: Vec::new(),
            run_settings: Vec::new(),
            auth: None,
            environment: Vec::new(),
            arguments: Vec::new(),
            database: None,
            destination: Vec::new(),
        };
        for stream in streams {
            lab.streams.push(StreamSpec {
                name: (*stream).to_owned(),
                settings: String::new(),
            });
        }
        lab.write();
        lab
    }

    /// Adds settings to one stream's table, for example `write_mode = "append"`.
    #[must_use]
    pub fn stream(mut self, name: &str, settings: &str) -> Self {
        for stream in &mut self.streams {
            if stream.name == name {
                settings.clone_into(&mut stream.settings);
            }
        }
        self.write();
        self
    }

    /// Adds the same settings to every stream.
    #[must_use]
    pub fn all_streams(mut self, settings: &str) -> Self {
        for stream in &mut self.streams {
            settings.clone_into(&mut stream.settings);
        }
        self.write();
        self
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

    /// Sends rows to a database of the Snowflake stand-in, which is made.
    #[must_use]
    pub fn snowflake(mut self) -> Self {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let database = StandIn::shared().make_database(&format!("LAB_{number}"));
        self.database = Some(database);
        self.write();
        self
    }

    /// Adds a line to the destination's table.
    #[must_use]
    pub fn destination(mut self, line: &str) -> Self {
        self.destination.push(line.to_owned());
        self.write();
        self
    }

    /// The database of the stand-in.
    pub fn database(&self) -> &str {
        self.database.as_deref().unwrap()
    }

    /// Logs in another way: the inline table of `auth`.
    #[must_use]
    pub fn auth(mut self, table: &str) -> Self {
        self.auth = Some(table.to_owned());
        self.write();
        self
    }

    /// Sets an environment variable for every run.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to every run of the pipeline.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    fn write(&self) {
        let login = self.sandbox.emulator().credentials();
        let auth = self.auth.clone().unwrap_or_else(|| {
            format!(
                "{{ kind = \"client_credentials\", client_id = \"{}\", client_secret = \"env:LAB_SECRET\" }}",
                login.client_id
            )
        });
        let mut project = format!(
            "version = 1\n\n[source.crm]\nconnector = \"salesforce\"\nlogin_url = \"{}\"\nauth = {auth}\n\
             poll_interval = \"20ms\"\n",
            self.sandbox.base_url(),
        );
        let http = "http = { connect_timeout = \"2s\", read_timeout = \"700ms\", total_timeout = \"20s\", \
             bulk_read_timeout = \"700ms\", bulk_total_timeout = \"30s\", backoff_base = \"5ms\", backoff_cap = \"20ms\" }";
        if !self.settings.iter().any(|line| line.starts_with("http")) {
            project.push_str(http);
            project.push('\n');
        }
        if !self.settings.iter().any(|line| line.starts_with("settle")) {
            project.push_str("settle = \"0s\"\n");
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
                for line in &self.destination {
                    project.push_str(line);
                    project.push('\n');
                }
            }
        }
        project.push_str("\n[run]\n");
        project.push_str(&self.run_settings.join("\n"));
        project.push('\n');
        let mut pipeline = "source = \"crm\"\ndestination = \"lake\"\n".to_owned();
        for stream in &self.streams {
            let table = format!("\n[streams.{}]\n{}\n", stream.name, stream.settings);
            pipeline.push_str(&table);
        }
        let folder = self.project.path();
        std::fs::create_dir_all(folder.join("pipelines")).unwrap();
        write(&folder.join("overlock.toml"), &project);
        write(&folder.join("pipelines/crm.toml"), &pipeline);
    }

    /// Puts lines at the top of the pipeline's file, until the next change of settings.
    pub fn append_to_pipeline(&self, lines: &str) {
        let path = self.project.path().join("pipelines/crm.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        write(&path, &format!("{lines}{text}"));
    }

    /// Writes a file of the project.
    pub fn write_file(&self, name: &str, text: &str) {
        write(&self.project.path().join(name), text);
    }

    /// A command of the binary in the project folder, with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.project.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(
                "LAB_SECRET",
                &self.sandbox.emulator().credentials().client_secret,
            )
            .stdin(Stdio::null());
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// Runs the binary to its end.
    pub fn overlock(&self, arguments: &[&str]) -> Outcome {
        self.finish(self.command(arguments))
    }

    /// Runs the pipeline to its end.
    pub fn run(&self) -> Outcome {
        self.finish(self.run_command())
    }

    /// The command that runs the pipeline.
    pub fn run_command(&self) -> Command {
        let mut arguments = vec!["run", "crm"];
        arguments.extend(self.arguments.iter().map(String::as_str));
        self.command(&arguments)
    }

    /// Runs the pipeline with a crash point armed.
    pub fn run_armed(&self, crash: &str) -> Outcome {
        let mut command = self.run_command();
        command.env("OVERLOCK_CRASH_AT", crash);
        self.finish(command)
    }

    /// Starts the pipeline and leaves it running.
    pub fn start(&self) -> Child {
        self.run_command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs a command to its end, at most 120 s.
    pub fn finish(&self, command: Command) -> Outcome {
        finish(command)
    }

    /// The org's present.
    pub fn now(&self) -> Timestamp {
        self.sandbox.clock().now()
    }

    /// Lets the virtual clock and the org move on.
    pub fn advance(&self, by: Duration) {
        self.sandbox.clock().advance(by);
        let now = self.now();
        self.sandbox.with_world(|world| world.evolve(now));
    }

    /// The folder of a table.
    pub fn table_dir(&self, stream: &str) -> PathBuf {
        self.project.path().join("data/crm").join(stream)
    }

    /// Rows of the current view of a table.
    pub fn table(&self, stream: &str) -> Vec<Row> {
        self.view(stream, View::Current)
    }

    /// Rows of a view of a table; none if it does not exist yet.
    pub fn view(&self, stream: &str, view: View) -> Vec<Row> {
        if let Some(database) = &self.database {
            return rows::loaded(database, "CRM", stream);
        }
        let dir = self.table_dir(stream);
        if !dir.exists() {
            return Vec::new();
        }
        let table = Table::open(dir).unwrap();
        let batches: Vec<_> = table
            .scan(view, None)
            .unwrap()
            .map(|batch| batch.unwrap())
            .collect();
        rows::rows(&batches)
    }

    /// Ids of the commits of a table, oldest first.
    pub fn commits(&self, stream: &str) -> Vec<String> {
        if let Some(database) = &self.database {
            return rows::logged(database, "CRM", stream);
        }
        let dir = self.table_dir(stream);
        if !dir.exists() {
            return Vec::new();
        }
        let table = Table::open(dir).unwrap();
        table
            .commits()
            .iter()
            .map(|info| info.commit.id.to_string())
            .collect()
    }

    /// Calls to the emulator so far.
    pub fn calls(&self) -> u64 {
        self.sandbox.server().request_count()
    }

    /// Moves the clock past the newest stamp without changing a row, runs, and asks the oracle about
    /// every stream.
    #[track_caller]
    pub fn settle_and_judge(&self) {
        self.sandbox.clock().advance(Duration::from_secs(2));
        self.run().expect(0);
        self.judge();
    }

    /// Compares every stream's current view with what a complete sync must show at this moment.
    #[track_caller]
    pub fn judge(&self) {
        for stream in &self.streams {
            let mut findings = self.findings(&stream.name);
            if self.database.is_some() {
                let file = self.expected_file(stream);
                findings.extend(StandIn::shared().verify(file.path()));
            }
            findings.truncate(20);
            assert!(
                findings.is_empty(),
                "{}: {}",
                stream.name,
                findings.join("; ")
            );
        }
    }

    /// What the org knows about one stream, for the verifier of tables in Snowflake.
    fn expected_file(&self, stream: &StreamSpec) -> tempfile::NamedTempFile {
        let now = self.now();
        let name = &stream.name;
        let (expected, ever) = self
            .sandbox
            .with_world(|world| (world.expected(name, now), world.ever(name, now)));
        let modes = ["append", "replace"];
        let mode = modes.iter().find(|mode| stream.settings.contains(**mode));
        let has = |field: &str| ever.iter().any(|row| row.payload.contains_key(field));
        let deletes = if stream.settings.contains("hard") {
            "hard"
        } else {
            "soft"
        };
        let mut lines = vec![json!({
            "database": self.database(),
            "schema": "CRM",
            "stream": name,
            "mode": mode.unwrap_or(&"merge"),
            "keys": [if has("Id") { "Id" } else { "DurableId" }],
            "version": has("SystemModstamp").then_some("SystemModstamp"),
            "deletes": deletes,
        })];
        // What the pipeline leaves out is nowhere.
        let is_left_out = |field: &str| {
            let included = stream.settings.split_once("include = [");
            let list = included.and_then(|(_, rest)| Some(rest.split_once(']')?.0));
            list.is_some_and(|list| {
                !list.contains(&format!("\"{field}\""))
                    && !["Id", "SystemModstamp"].contains(&field)
            })
        };
        let version = |row: &Expected| (row.key.clone(), row.version);
        let current: HashSet<_> = expected.iter().map(version).collect();
        for row in &ever {
            let mut values = row.payload.clone();
            values.retain(|field, _| !is_left_out(field));
            lines.push(json!({
                "key": row.key,
                "stamp": row.stamp.to_string(),
                "deleted": row.is_deleted,
                "current": current.contains(&version(row)),
                "values": values,
            }));
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        file
    }

    /// What is lost, doubled, altered, invented or stale in one stream.
    pub fn findings(&self, stream: &str) -> Vec<String> {
        let now = self.now();
        let (expected, ever) = self
            .sandbox
            .with_world(|world| (world.expected(stream, now), world.ever(stream, now)));
        assert!(
            !ever.is_empty(),
            "the org has no {stream}: the oracle would be blind"
        );
        let append = self
            .streams
            .iter()
            .any(|s| s.name == stream && s.settings.contains("append"));
        let mut known: HashMap<&str, BTreeMap<Timestamp, Vec<_>>> = HashMap::new();
        for row in &ever {
            known
                .entry(&row.key)
                .or_default()
                .entry(row.stamp)
                .or_default()
                .push(row);
        }
        let mut findings = Vec::new();
        let mut seen: HashMap<(String, Option<String>), u64> = HashMap::new();
        let newest: HashMap<&str, _> = expected.iter().map(|row| (row.key.as_str(), row)).collect();
        for row in self.table(stream) {
            let get = |name: &str| row.get(name).cloned().flatten();
            let key = get("DurableId").or_else(|| get("Id")).unwrap_or_default();
            let stamp = get("SystemModstamp")
                .or_else(|| get("LastModifiedDate"))
                .or_else(|| get("CreatedDate"));
            let version = if append { stamp.clone() } else { None };
            let count = seen.entry((key.clone(), version)).or_default();
            *count += 1;
            if *count == 2 {
                findings.push(format!("doubled {key}"));
            }
            let Some(versions) = known.get(key.as_str()) else {
                findings.push(format!("invented {key}"));
                continue;
            };
            let candidates: Vec<_> = match &stamp {
                Some(stamp) => Timestamp::parse(stamp)
                    .ok()
                    .and_then(|stamp| versions.get(&stamp))
                    .cloned()
                    .unwrap_or_default(),
                None => versions.values().flatten().copied().collect(),
            };
            if candidates.is_empty() {
                findings.push(format!("invented {key} at {stamp:?}"));
                continue;
            }
            let differences: Vec<Vec<String>> = candidates
                .iter()
                .map(|candidate| {
                    candidate
                        .payload
                        .iter()
                        .filter(|(name, value)| row.get(*name).is_some_and(|found| found != *value))
                        .map(|(name, value)| format!("{name}: {:?} is not {value:?}", row[name]))
                        .collect()
                })
                .collect();
            if differences.iter().all(|difference| !difference.is_empty()) {
                findings.push(format!("altered {key}: {}", differences[0].join(", ")));
            }
            if let Some(expected) = newest.get(key.as_str())
                && !append
            {
                if let Some(stamp) = stamp
                    .as_deref()
                    .and_then(|stamp| Timestamp::parse(stamp).ok())
                    && stamp < expected.stamp
                    && row.contains_key("SystemModstamp")
                {
                    findings.push(format!(
                        "stale {key}: {stamp} is older than {}",
                        expected.stamp
                    ));
                }
                if row.contains_key("_deleted")
                    && get("_deleted")
                        .is_some_and(|deleted| deleted != expected.is_deleted.to_string())
                {
                    findings.push(format!(
                        "altered {key}: _deleted is not {}",
                        expected.is_deleted
                    ));
                }
            }
        }
        let keys: HashSet<&str> = seen.keys().map(|(key, _)| key.as_str()).collect();
        for row in &expected {
            if !keys.contains(row.key.as_str()) {
                findings.push(format!("lost {}", row.key));
            }
        }
        findings
    }
}

/// Runs a command to its end, at most 120 s.
pub fn finish(mut command: Command) -> Outcome {
    let begun = Instant::now();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        // The sender is dropped when the process has ended; nothing is ever sent.
        if receiver.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            kill(id);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(sender);
    watchdog.join().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: begun.elapsed(),
    }
}

/// Sends SIGKILL to a process that this test started.
pub fn kill(id: u32) {
    signal(id, rustix::process::Signal::KILL);
}

/// Sends a signal to a process that this test started.
pub fn signal(id: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // The process may have ended by itself: then there is nothing to do.
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// Writes another text into a manifest, with the right check sum.
#[expect(
    clippy::disallowed_methods,
    reason = "a test damages a file on purpose"
)]
pub fn rewrite_manifest(path: &Path, text: &str) {
    let (body, _) = text
        .rsplit_once(",\"crc32\":\"")
        .expect("a manifest ends with its check sum");
    let checksum = crc32fast::hash(body.as_bytes());
    std::fs::write(path, format!("{body},\"crc32\":\"{checksum:08x}\"}}")).unwrap();
}

/// Writes a file of a project.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's own project file needs no durability"
)]
pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
