//! What every command shares: flags, environment, outputs, and the way to projects and sources.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use overlock_core::crash;
use overlock_core::{Clock, Context, Destination, Error, ErrorKind, Events, Redactor, Source};
use overlock_local::{Local, LocalOptions};
use overlock_snowflake::{Snowflake, SnowflakeWarehouse};

use crate::args::{Command, Global};
use crate::config::files::OnSchemaChange;
use crate::config::{
    DestinationSettings, PipelineSettings, Project, Request, SourceSettings, Wanted,
};
use crate::env::{self, Environment};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Style};
use crate::{commands, exit, logging, registry, render};

/// What every command shares.
#[derive(Debug)]
pub(crate) struct App {
    /// Flags of every verb.
    pub(crate) global: Global,
    /// The environment, read once.
    pub(crate) environment: Environment,
    /// Where results and notes go.
    pub(crate) output: Output,
}

impl App {
    /// Runs one command and gives the exit code.
    pub(crate) fn run(global: Global, command: Command, redactor: &Redactor) -> u8 {
        let mut environment = Environment::read();
        let env_file = global
            .env_file
            .as_deref()
            .map(|path| add_env_file(&mut environment, path));
        let output = Output::new(&global, &environment, redactor);
        let detailed = global.verbose >= 2 || environment.is_on(env::BACKTRACE);
        let app = Self {
            global,
            environment,
            output,
        };
        let outcome = env_file
            .unwrap_or(Ok(()))
            .and_then(|()| app.start())
            .and_then(|()| commands::dispatch(&app, command));
        let code = match outcome {
            Ok(code) => code,
            Err(failure) => {
                app.show(&failure, detailed);
                failure.code()
            }
        };
        let code = match app.output.finish() {
            Ok(()) => code,
            Err(error) => {
                let failure = Failure::Error(error);
                app.show(&failure, detailed);
                failure.code()
            }
        };
        app.output.flush();
        code
    }

    fn start(&self) -> Outcome {
        logging::start(&self.global, &self.environment, &self.output)?;
        if let Some(plan) = self.environment.get(env::CRASH_AT) {
            crash::arm(plan)?;
        }
        Ok(())
    }

    fn show(&self, failure: &Failure, detailed: bool) {
        if matches!(failure, Failure::Code(_)) {
            return;
        }
        if self.output.is_json() {
            self.output.json(&render::error::end(failure));
        }
        self.output
            .note(&self.painted(&render::error::failure(failure, detailed)));
    }

    /// Colours the words `error:` and `hint:` at the beginning of lines.
    pub(crate) fn painted(&self, text: &str) -> String {
        let lines = text.lines().map(|line| {
            for (word, style) in [("error:", Style::Bad), ("hint:", Style::Hint)] {
                if let Some(rest) = line.strip_prefix(word) {
                    return format!("{}{rest}", self.output.paint(style, word));
                }
            }
            line.to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Loads the project.
    pub(crate) fn project(&self, wanted: Wanted) -> Outcome<Project> {
        let config = self.environment.get(env::CONFIG).map(PathBuf::from);
        let request = Request {
            config: self.global.config.clone().or(config),
            env: self
                .global
                .env
                .clone()
                .or_else(|| self.environment.get(env::ENV).map(ToOwned::to_owned)),
            sets: self.global.set.clone(),
            wanted,
            program: Vec::new(),
        };
        self.load(&request)
    }

    /// Loads a project by a request of its own.
    pub(crate) fn load(&self, request: &Request) -> Outcome<Project> {
        Project::load(request, &self.environment, self.output.redactor())
    }

    /// The folder of open packages, locks and run records.
    pub(crate) fn work_dir(&self, project: &Project) -> PathBuf {
        let chosen = self.global.state_dir.clone();
        chosen
            .or_else(|| self.environment.get(env::WORK_DIR).map(PathBuf::from))
            .map_or_else(
                || project.default_work_dir(),
                |path| crate::config::absolute(&path),
            )
    }

    /// Where rows go; `--data-dir` means a folder, whatever the files say.
    pub(crate) fn destination(
        &self,
        project: &Project,
        name: Option<&str>,
    ) -> Outcome<DestinationSettings> {
        match &self.global.data_dir {
            Some(path) => Ok(DestinationSettings::Local(crate::config::absolute(path))),
            None => project.destination(name),
        }
    }

    /// Opens the destination of a pipeline; no network yet. In `work_dir` a warehouse remembers where streams stand.
    pub(crate) fn open_destination(
        &self,
        settings: &DestinationSettings,
        pipeline: &PipelineSettings,
        clock: Arc<dyn Clock>,
        work_dir: Option<&Path>,
    ) -> Outcome<Arc<dyn Destination>> {
        let allow_empty_replace = pipeline.file.allow_empty_replace;
        match settings {
            DestinationSettings::Local(path) => {
                let options = LocalOptions::default()
                    .allow_empty_replace(allow_empty_replace)
                    .on_schema_change(match pipeline.file.on_schema_change {
                        OnSchemaChange::Evolve => overlock_local::OnSchemaChange::Evolve,
                        OnSchemaChange::Fail => overlock_local::OnSchemaChange::Fail,
                    });
                let root = path.join(pipeline.source.as_str());
                Ok(Arc::new(Local::new(root, options, clock)))
            }
            DestinationSettings::Snowflake(table) => {
                let policy = table.policy(pipeline);
                let redactor = self.output.redactor().clone();
                let mut warehouse = SnowflakeWarehouse::new(table.account(), redactor)?;
                if let Some(bucket) = table.bucket()? {
                    warehouse = warehouse.external_stage(&bucket)?;
                }
                let place = table.place(&pipeline.source);
                let identity = table.identity(warehouse.fingerprint());
                let snowflake = Snowflake::new(Arc::new(warehouse), place, policy, clock);
                let mut snowflake = snowflake
                    .external_stage(table.external_stage())
                    .identity(identity);
                if let Some(work_dir) = work_dir {
                    let file = format!("{}.json", pipeline.name);
                    snowflake = snowflake.remember(work_dir.join("heads").join(file));
                }
                Ok(Arc::new(snowflake))
            }
        }
    }

    /// Connects a source: parses its keys, no network yet.
    pub(crate) fn connect(
        &self,
        settings: &SourceSettings,
        work_dir: &Path,
        events: Events,
        clock: Arc<dyn Clock>,
        max_api_calls: Option<u64>,
    ) -> Outcome<Arc<dyn Source>> {
        let connector = registry::connector(&settings.connector)?;
        let context = Context {
            work_dir: work_dir.join("sources").join(settings.name.as_str()),
            events,
            clock,
            redactor: self.output.redactor().clone(),
            proxy: self.environment.proxy(),
            max_api_calls,
            ca_file: self.environment.get("SSL_CERT_FILE").map(PathBuf::from),
        };
        Ok(connector.connect(&settings.config, &context)?)
    }

    /// Done.
    #[expect(clippy::unnecessary_wraps, reason = "it ends functions that can fail")]
    pub(crate) fn ok() -> Outcome<u8> {
        Ok(exit::OK)
    }
}

/// A runtime for the commands that wait for the network.
pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    // Only waiting happens on this thread; whatever computes has threads of its own.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Io, "start the runtime")
                .source(error)
                .into()
        })
}

fn add_env_file(environment: &mut Environment, path: &Path) -> Outcome {
    let fail =
        |message: &str| Error::new(ErrorKind::Config, message).context("path", path.display());
    let size = std::fs::metadata(path)
        .map_err(|error| fail("read the env file").source(error))?
        .len();
    if size > 1024 * 1024 {
        return Err(fail("accept an env file of more than 1 MiB").into());
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| fail("read the env file").source(error))?;
    environment.add_file(&text, &path.display().to_string())?;
    Ok(())
}
