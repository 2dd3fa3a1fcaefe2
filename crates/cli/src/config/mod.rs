//! The configuration of a project: read, laid together, checked, and handed out piece by piece.
//!
//! Precedence, high to low: flags, `--set`, `OVERLOCK__SECTION__KEY`, `[env.NAME]`, the files, defaults.
//! All of it becomes one tree ([`tree`]); its shape comes from the types in [`files`], which make the
//! JSON Schema that [`shape`] checks against. Loading never needs a variable or a secret: those are put
//! in when a source, destination or pipeline is asked for, so one command needs only its own secrets.

pub(crate) mod files;
mod interpolate;
mod load;
mod problem;
mod shape;
pub(crate) mod snowflake;
pub(crate) mod tree;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use overlock_core::{Config, Redactor, SourceName, StreamName};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub(crate) use self::load::{Request, Wanted, check_text};
pub(crate) use self::problem::{Files, Problem};

use self::files::{DefaultsTable, DestinationTable, OnSchemaChange, PipelineFile, RunTable};
use self::snowflake::SnowflakeTable;
use self::tree::{Node, Value};
use crate::env::Environment;
use crate::failure::{Failure, Outcome};
use crate::schedule::Schedule;
use crate::secrets::{Vault, is_reference};
use crate::suggest;

/// A project whose configuration has the right shape.
#[derive(Debug)]
pub(crate) struct Project {
    /// Folder of `overlock.toml`.
    pub(crate) root: PathBuf,
    /// Texts of all files, for messages.
    pub(crate) files: Files,
    /// Names of all files in `pipelines/`, loaded or not.
    pub(crate) pipelines: Vec<String>,
    tree: Node,
    environment: Environment,
    redactor: Redactor,
}

/// One source, ready to be connected.
#[derive(Debug)]
pub(crate) struct SourceSettings {
    /// The name the user gave it.
    pub(crate) name: SourceName,
    /// Which connector.
    pub(crate) connector: String,
    /// Its keys, with secrets resolved.
    pub(crate) config: Config,
}

/// Where rows go.
#[derive(Debug)]
pub(crate) enum DestinationSettings {
    /// A folder.
    Local(PathBuf),
    /// A schema in Snowflake.
    Snowflake(Box<SnowflakeTable>),
}

/// One pipeline.
#[derive(Debug)]
pub(crate) struct PipelineSettings {
    /// Its name: the file's name without `.toml`.
    pub(crate) name: SourceName,
    /// Name of its source.
    pub(crate) source: SourceName,
    /// Name of its destination; `None`: the local default.
    pub(crate) destination: Option<String>,
    /// The rest of the file.
    pub(crate) file: PipelineFile,
    /// When it is due, if it has a schedule.
    pub(crate) schedule: Option<Schedule>,
}

impl PipelineSettings {
    /// What a sync of a source goes by that no pipeline file reads from: it has the source's name.
    pub(crate) fn without_file(source: &SourceName, destination: Option<&str>) -> Self {
        Self {
            name: source.clone(),
            source: source.clone(),
            destination: destination.map(ToOwned::to_owned),
            schedule: None,
            file: PipelineFile {
                source: source.to_string(),
                destination: None,
                schedule: None,
                defaults: DefaultsTable::default(),
                on_schema_change: OnSchemaChange::default(),
                allow_empty_replace: false,
                streams: std::collections::BTreeMap::new(),
            },
        }
    }
}

impl Project {
    /// What a source is synced by when no pipeline is named, and to where.
    ///
    /// If exactly one pipeline file reads from the source, its name and its settings hold, so that both
    /// go on from the same state. Otherwise the source's name stands for the pipeline.
    pub(crate) fn by_hand(
        &self,
        source: &SourceName,
        to: Option<&str>,
    ) -> Outcome<PipelineSettings> {
        let mut reading = Vec::new();
        for name in &self.pipelines {
            let pipeline = self.pipeline(name)?;
            if pipeline.source == *source {
                reading.push(pipeline);
            }
        }
        let mut settings = match reading.len() {
            1 => reading.remove(0),
            _ => PipelineSettings::without_file(source, None),
        };
        if let Some(to) = to {
            self.destination(Some(to))?;
            settings.destination = Some(to.to_owned());
        } else if settings.destination.is_none() {
            let destinations = self.destinations();
            if destinations.len() > 1 {
                return Err(Failure::usage(
                    "choose a destination: the project has several",
                    format!("name one with --to: {}", destinations.join(", ")),
                ));
            }
            settings.destination = destinations.first().map(|only| (*only).to_owned());
        }
        Ok(settings)
    }

    /// The whole tree, for `config show`.
    pub(crate) fn tree(&self) -> &Node {
        &self.tree
    }

    /// Names of all sources.
    pub(crate) fn sources(&self) -> Vec<&str> {
        self.keys("source")
    }

    /// Names of all destinations.
    pub(crate) fn destinations(&self) -> Vec<&str> {
        self.keys("destination")
    }

    /// Names of the destinations that are folders.
    pub(crate) fn folders(&self) -> Vec<&str> {
        let mut names = self.destinations();
        names.retain(|name| {
            let kind = self.tree.at(&["destination", name, "kind"]);
            kind.and_then(Node::text) == Some("local")
        });
        names
    }

    fn keys(&self, section: &str) -> Vec<&str> {
        let table = self.tree.at(&[section]).and_then(Node::table);
        table
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Whether plain secrets are accepted.
    fn allows_plain_secrets(&self) -> bool {
        let flag = self.tree.at(&["allow_plain_secrets"]);
        flag.is_some_and(|node| node.value == Value::Boolean(true))
    }

    /// Fails unless there is a source of this name.
    pub(crate) fn require_source(&self, name: &str) -> Outcome<SourceName> {
        if !self.sources().contains(&name) {
            return Err(missing("source", name, &self.sources(), "overlock.toml"));
        }
        Ok(SourceName::new(name)?)
    }

    /// The connector and the keys of a source, with variables and secrets put in.
    pub(crate) fn source(&self, name: &SourceName) -> Outcome<SourceSettings> {
        self.require_source(name.as_str())?;
        let Some(node) = self.tree.at(&["source", name.as_str()]) else {
            return Err(missing(
                "source",
                name.as_str(),
                &self.sources(),
                "overlock.toml",
            ));
        };
        let schema = files::project_schema();
        let pointer = "/properties/source/additionalProperties";
        let mut node = self.settle(node, &schema, pointer, name.as_str())?;
        let mut connector = String::new();
        if let Value::Table(table) = &mut node.value
            && let Some(found) = table.remove("connector")
        {
            found.text().unwrap_or("").clone_into(&mut connector);
        }
        let spec = crate::registry::connector(&connector)?.spec();
        for key in spec.keys.iter().filter(|key| key.secret) {
            self.learn_plain(&node, &key.path.split('.').collect::<Vec<_>>());
        }
        for key in &spec.keys {
            let steps: Vec<&str> = key.path.split('.').collect();
            let Some(found) = node.at(&steps) else {
                continue;
            };
            // Client ids and user names are no secrets, but people keep them next to the secrets.
            let beside = key.path.starts_with("auth.") && found.text().is_some_and(is_reference);
            if !key.secret && !beside {
                continue;
            }
            self.resolve(&mut node, &steps)?;
        }
        Ok(SourceSettings {
            name: name.clone(),
            connector,
            config: Config::new(name.clone(), node.to_json()),
        })
    }

    /// Learns a secret that is written out, before an error about another one shows its line.
    fn learn_plain(&self, node: &Node, steps: &[&str]) {
        let text = node.at(steps).and_then(Node::text);
        if let Some(text) = text.filter(|text| !is_reference(text)) {
            self.redactor.learn(text);
        }
    }

    /// Puts the secret in that the reference at `steps` names.
    fn resolve(&self, node: &mut Node, steps: &[&str]) -> Outcome {
        let Some(found) = node.at(steps) else {
            return Ok(());
        };
        let reference = match &found.value {
            Value::Text(text) => text.clone(),
            Value::Table(table) => match table.iter().next() {
                Some((kind, value)) => format!("{kind}:{}", value.text().unwrap_or("")),
                None => String::new(),
            },
            _ => String::new(),
        };
        let origin = found.origin.clone();
        let vault = Vault {
            environment: &self.environment,
            root: &self.root,
            redactor: &self.redactor,
            allow_plain: self.allows_plain_secrets(),
        };
        let value = vault.resolve(&reference).map_err(|error| {
            let mut message = format!("cannot {error}");
            for (pair, value) in error.pairs() {
                _ = write!(message, " ({pair}: {value})");
            }
            let label = error.hint_text().map(ToOwned::to_owned);
            let problem = Problem::new(message).at(origin).label(label);
            Failure::Problems(vec![problem], self.files.clone())
        })?;
        let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
        node.set(&steps, Node::program(Value::Text(value), "secret"));
        Ok(())
    }

    /// A destination, with variables and secrets put in. `None` asks for the default: a folder `data`.
    pub(crate) fn destination(&self, name: Option<&str>) -> Outcome<DestinationSettings> {
        let Some(name) = name else {
            return Ok(DestinationSettings::Local(self.root.join("data")));
        };
        let Some(node) = self.tree.at(&["destination", name]) else {
            return Err(missing(
                "destination",
                name,
                &self.destinations(),
                "overlock.toml",
            ));
        };
        let schema = files::project_schema();
        let pointer = "/properties/destination/additionalProperties";
        let mut node = self.settle(node, &schema, pointer, name)?;
        for (table, secret) in snowflake::SECRETS {
            self.learn_plain(&node, &[table, secret]);
        }
        for (table, secret) in snowflake::SECRETS {
            self.resolve(&mut node, &[table, secret])?;
        }
        Ok(match Self::typed(&node.to_json())? {
            DestinationTable::Local { path } => DestinationSettings::Local(self.root.join(path)),
            DestinationTable::Snowflake(table) => DestinationSettings::Snowflake(table),
        })
    }

    /// `[run]`.
    pub(crate) fn run(&self) -> Outcome<RunTable> {
        let Some(node) = self.tree.at(&["run"]) else {
            return Ok(RunTable::default());
        };
        let schema = files::project_schema();
        let node = self.settle(node, &schema, "/$defs/RunTable", "run")?;
        Self::typed(&node.to_json())
    }

    /// One pipeline.
    pub(crate) fn pipeline(&self, name: &str) -> Outcome<PipelineSettings> {
        let names: Vec<&str> = self.pipelines.iter().map(String::as_str).collect();
        let Some(node) = self.tree.at(&["pipeline", name]) else {
            return Err(missing("pipeline", name, &names, "pipelines/"));
        };
        let schema = files::pipeline_schema();
        let node = self.settle(node, &schema, "", name)?;
        let file: PipelineFile = Self::typed(&node.to_json())?;
        let schedule = file.schedule.as_ref().and_then(|table| {
            let jitter = table.jitter.map_or(Duration::ZERO, |jitter| jitter.0);
            let zone = table.timezone.as_deref().unwrap_or("UTC");
            Schedule::new(name, &table.cron, zone, jitter)
        });
        let destinations = self.destinations();
        let destination = match &file.destination {
            Some(destination) => Some(destination.clone()),
            None if destinations.len() > 1 => {
                let problem = Problem::new(format!("pipeline `{name}` has no key `destination`"))
                    .at(node.key.clone())
                    .label(Some(format!("use one of: {}", destinations.join(", "))));
                return Err(self.problem(problem));
            }
            None => destinations.first().map(|only| (*only).to_owned()),
        };
        Ok(PipelineSettings {
            name: SourceName::new(name)?,
            source: SourceName::new(&file.source)?,
            destination,
            schedule,
            file,
        })
    }

    /// A problem at the key of one stream of a pipeline.
    pub(crate) fn stream_problem(
        &self,
        pipeline: &SourceName,
        stream: &StreamName,
        known: &[&str],
    ) -> Failure {
        let path = ["pipeline", pipeline.as_str(), "streams", stream.as_str()];
        let origin = self.tree.at(&path).map(|node| node.key.clone());
        let mut problem = Problem::new(format!("the source has no stream `{stream}`"));
        if let Some(origin) = origin {
            problem = problem.at(origin);
        }
        let label = suggest::nearest(stream.as_str(), known.iter().copied())
            .map(|found| format!("did you mean `{found}`?"));
        if label.is_none() {
            problem = problem.hint("`overlock discover` lists the streams of a source");
        }
        self.problem(problem.label(label))
    }

    /// One problem as a failure.
    pub(crate) fn problem(&self, problem: Problem) -> Failure {
        Failure::Problems(vec![problem], self.files.clone())
    }

    /// The folder of open packages, locks and run records unless a flag says otherwise.
    pub(crate) fn default_work_dir(&self) -> PathBuf {
        self.root.join(".overlock")
    }

    /// Puts variables into a part of the tree and checks the part again, now completely.
    fn settle(&self, node: &Node, schema: &Json, pointer: &str, name: &str) -> Outcome<Node> {
        let mut node = node.clone();
        let mut problems = Vec::new();
        interpolate::node(&mut node, &self.environment, &mut problems);
        if problems.is_empty() {
            let mut checker = shape::Checker::new(schema, &self.redactor);
            checker.check(&node, schema.pointer(pointer).unwrap_or(schema), name);
            problems = checker.problems;
        }
        if problems.is_empty() {
            Ok(node)
        } else {
            Err(Failure::Problems(problems, self.files.clone()))
        }
    }

    fn typed<T: DeserializeOwned>(json: &Json) -> Outcome<T> {
        T::deserialize(json).map_err(|error| {
            // The schema let it pass, so the schema is wrong; the value is not shown, only the kind.
            let error = overlock_core::Error::bug("read a checked configuration").source(error);
            Failure::Error(error)
        })
    }
}

/// "There is no such thing", with a suggestion.
fn missing(what: &str, name: &str, known: &[&str], place: &str) -> Failure {
    let shown = overlock_core::text::printable(name);
    let hint = suggest::sentence(name, known.iter().copied()).unwrap_or_else(|| match known {
        [] => format!("{place} has none yet; see `overlock init --help`"),
        _ => format!("{place} has: {}", known.join(", ")),
    });
    let article = if what.starts_with('e') { "an" } else { "a" };
    Failure::usage(format!("find {article} {what} `{shown}`"), hint)
}

/// Makes a path absolute without asking the file system.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
