//! A project folder beside an emulated service, the real binary in it, and the rows that it has committed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use overlock_local::{Table, View};
use overlock_snowflake::stand_in::StandIn;

use crate::lab::{Outcome, binary, finish, write};
use crate::rows::{self, Row};

/// Short time-outs, so that a fault costs no patience.
const HTTP: &str = "http = { connect_timeout = \"2s\", read_timeout = \"700ms\", total_timeout = \"20s\", \
                    bulk_read_timeout = \"700ms\", bulk_total_timeout = \"30s\", \
                    backoff_base = \"5ms\", backoff_cap = \"20ms\" }";

/// One source, one pipeline, one destination; gone with its folder when dropped.
#[derive(Debug)]
pub struct Project {
    folder: tempfile::TempDir,
    source: &'static str,
    pipeline: &'static str,
    /// Lines of the source's table that every test has.
    table: String,
    settings: Vec<String>,
    run_settings: Vec<String>,
    streams: Vec<String>,
    /// Variables that the binary finds, and no others.
    environment: Vec<(String, String)>,
    /// Name of a database of the stand-in, if rows go there.
    database: Option<String>,
}

impl Project {
    /// A project with a source and a pipeline of these names, over these streams; `table` holds the first lines of
    /// the source's table.
    pub fn new(
        source: &'static str,
        pipeline: &'static str,
        table: String,
        streams: &[&str],
    ) -> Self {
        let project = Self {
            folder: tempfile::tempdir().unwrap(),
            source,
            pipeline,
            table,
            settings: Vec::new(),
            run_settings: Vec::new(),
            streams: streams.iter().map(|name| (*name).to_owned()).collect(),
            environment: Vec::new(),
            database: None,
        };
        project.write();
        project
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Streams of the pipeline.
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// Whether rows go to the stand-in; its database then.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Other first lines of the source's table.
    pub fn set_table(&mut self, table: String) {
        self.table = table;
        self.write();
    }

    /// Adds a line to the source's table.
    pub fn add_setting(&mut self, line: &str) {
        self.settings.push(line.to_owned());
        self.write();
    }

    /// Adds a line to the table `[run]`.
    pub fn add_run_setting(&mut self, line: &str) {
        self.run_settings.push(line.to_owned());
        self.write();
    }

    /// Sets a variable for every command.
    pub fn add_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Sends rows to a database of the Snowflake stand-in, which is made.
    pub fn use_snowflake(&mut self) {
        static DATABASES: AtomicU64 = AtomicU64::new(0);
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", self.source.to_uppercase());
        self.database = Some(StandIn::shared().make_database(&name));
        self.write();
    }

    fn write(&self) {
        let mut project = format!(
            "version = 1\n\n[source.{}]\n{}\n",
            self.source,
            self.table.trim_end()
        );
        let mut line = |line: &str| {
            project.push_str(line);
            project.push('\n');
        };
        if !self.settings.iter().any(|line| line.starts_with("http")) {
            line(HTTP);
        }
        self.settings.iter().for_each(|setting| line(setting));
        line("\n[destination.lake]");
        match &self.database {
            None => line("kind = \"local\"\npath = \"data\""),
            Some(database) => line(&StandIn::shared().settings(database)),
        }
        line("\n[run]");
        self.run_settings.iter().for_each(|setting| line(setting));
        let mut pipeline = format!("source = \"{}\"\ndestination = \"lake\"\n", self.source);
        for stream in &self.streams {
            pipeline.extend(["\n[streams.", stream, "]\n"]);
        }
        let pipelines = self.path().join("pipelines");
        std::fs::create_dir_all(&pipelines).unwrap();
        write(&self.path().join("overlock.toml"), &project);
        write(
            &pipelines.join(format!("{}.toml", self.pipeline)),
            &pipeline,
        );
    }

    /// A command of the binary in the project folder, with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// Runs the binary to its end.
    pub fn overlock(&self, arguments: &[&str]) -> Outcome {
        finish(self.command(arguments))
    }

    /// Runs the pipeline to its end.
    pub fn run(&self) -> Outcome {
        self.overlock(&["run", self.pipeline])
    }

    /// Runs the pipeline with a crash point armed.
    pub fn run_armed(&self, crash: &str) -> Outcome {
        let mut command = self.command(&["run", self.pipeline]);
        command.env("OVERLOCK_CRASH_AT", crash);
        finish(command)
    }

    /// Starts the pipeline and leaves it running.
    pub fn start(&self) -> Child {
        self.command(&["run", self.pipeline])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The folder of the source's tables.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data").join(self.source)
    }

    /// The folder of a table.
    pub fn table_dir(&self, stream: &str) -> PathBuf {
        self.data_dir().join(stream)
    }

    fn schema(&self) -> String {
        self.source.to_uppercase()
    }

    fn opened(&self, stream: &str) -> Option<Table> {
        let dir = self.table_dir(stream);
        dir.exists().then(|| Table::open(dir).unwrap())
    }

    /// Rows of the current view of a table; none if it does not exist yet.
    pub fn table(&self, stream: &str) -> Vec<Row> {
        if let Some(database) = &self.database {
            return rows::loaded(database, &self.schema(), stream);
        }
        let Some(table) = self.opened(stream) else {
            return Vec::new();
        };
        let batches: Vec<_> = table
            .scan(View::Current, None)
            .unwrap()
            .map(|batch| batch.unwrap())
            .collect();
        rows::rows(&batches)
    }

    /// Ids of the commits of a table, oldest first.
    pub fn commits(&self, stream: &str) -> Vec<String> {
        if let Some(database) = &self.database {
            return rows::logged(database, &self.schema(), stream);
        }
        let Some(table) = self.opened(stream) else {
            return Vec::new();
        };
        let commits = table.commits().iter();
        commits.map(|info| info.commit.id.to_string()).collect()
    }

    /// How many commits each stream of the pipeline has.
    pub fn commit_counts(&self) -> Vec<usize> {
        let streams = self.streams.iter();
        streams.map(|name| self.commits(name).len()).collect()
    }
}
