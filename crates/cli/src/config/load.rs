//! Finds and reads the files of a project, and lays everything over one another.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Redactor, SourceName};
use serde_json::Value as Json;

use super::problem::{Files, Problem};
use super::shape::Checker;
use super::tree::{self, Node, Origin, Table, Value};
use super::{Project, absolute, files};
use crate::env::Environment;
use crate::failure::{Failure, Outcome};
use crate::suggest;

/// Longest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Most files in `pipelines/`.
const MAX_PIPELINES: usize = 10_000;
/// Names that `.overlock/` uses itself next to one folder per pipeline.
const RESERVED: &[&str] = &["runs", "sources", "lock"];

/// What to load.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// `--config`, or the variable.
    pub(crate) config: Option<PathBuf>,
    /// `--env`, or the variable.
    pub(crate) env: Option<String>,
    /// `--set`, in order.
    pub(crate) sets: Vec<String>,
    /// Which pipeline files to read.
    pub(crate) wanted: Wanted,
    /// Values that the program itself lays over all others, such as the port of the demo's server.
    pub(crate) program: Vec<(Vec<String>, String)>,
}

/// Which pipeline files to read.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) enum Wanted {
    /// None: only their names are needed.
    #[default]
    None,
    /// These; each must exist.
    Named(Vec<String>),
    /// All.
    All,
}

impl Project {
    /// Loads a project.
    pub(crate) fn load(
        request: &Request,
        environment: &Environment,
        redactor: &Redactor,
    ) -> Outcome<Self> {
        let path = match &request.config {
            Some(path) => absolute(path),
            None => find()?,
        };
        let root = path.parent().unwrap_or(Path::new(".")).to_owned();
        let mut files = Files::default();
        let shown = shown_path(&path);
        let mut tree = read(&path, &shown, &mut files)?;
        let mut problems = Vec::new();
        if let Some(node) = tree.at(&["pipeline"]) {
            let problem = Problem::new("unknown key `pipeline`")
                .at(node.key.clone())
                .label(Some(
                    "a pipeline is a file of its own: pipelines/NAME.toml".into(),
                ));
            return Err(Failure::Problems(vec![problem], files));
        }
        let pipelines = pipeline_names(&root)?;
        let wanted: Vec<&String> = match &request.wanted {
            Wanted::None => Vec::new(),
            Wanted::All => pipelines.iter().collect(),
            Wanted::Named(names) => names.iter().collect(),
        };
        let mut loaded = Table::new();
        for name in wanted {
            if !pipelines.contains(name) {
                let known: Vec<&str> = pipelines.iter().map(String::as_str).collect();
                return Err(super::missing("pipeline", name, &known, "pipelines/"));
            }
            let path = root.join("pipelines").join(format!("{name}.toml"));
            let node = match read(&path, &shown_path(&path), &mut files) {
                Ok(node) => node,
                Err(Failure::Problems(found, _)) => {
                    problems.extend(found);
                    continue;
                }
                Err(other) => return Err(other),
            };
            loaded.insert(name.clone(), node);
        }
        let envs = take_envs(&mut tree);
        let schema = files::project_schema();
        let pipeline_schema = files::pipeline_schema();
        tree.set(
            &["pipeline".to_owned()],
            Node {
                value: Value::Table(loaded),
                ..Node::empty()
            },
        );
        let base = tree.clone();
        let check = |tree: &Node, problems: &mut Vec<Problem>| {
            let found = check_tree(tree, &schema, &pipeline_schema, redactor);
            for problem in found {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        };
        // Every overlay is checked, chosen or not: a typing error should not wait for production.
        for (name, overlay) in envs.table().into_iter().flatten() {
            let before = problems.len();
            check_overlay(overlay, &base, &pipelines, redactor, &mut problems);
            if problems.len() > before {
                continue;
            }
            let mut laid = base.clone();
            laid.overlay(known_pipelines(overlay, &base));
            if request.env.as_deref() == Some(name) {
                tree = laid.clone();
            }
            check(&laid, &mut problems);
        }
        if let Some(name) = &request.env
            && envs.at(&[name]).is_none()
        {
            let known: Vec<&str> = envs
                .table()
                .into_iter()
                .flatten()
                .map(|(n, _)| n.as_str())
                .collect();
            return Err(super::missing("environment", name, &known, "overlock.toml"));
        }
        check(&base, &mut problems);
        for (variable, path, value) in environment.overrides() {
            let origin = Origin::Variable(variable.to_owned());
            put(
                &mut tree,
                &path,
                value,
                &origin,
                &schema,
                &pipeline_schema,
                &mut problems,
            );
        }
        for set in &request.sets {
            let Some((key, value)) = set.split_once('=') else {
                return Err(Failure::usage(
                    format!("read --set `{}`", printable(set)),
                    "write --set section.name.key=value",
                ));
            };
            let path: Vec<String> = key.trim().split('.').map(ToOwned::to_owned).collect();
            let origin = Origin::Flag(format!("--set {}", printable(key.trim())));
            put(
                &mut tree,
                &path,
                value,
                &origin,
                &schema,
                &pipeline_schema,
                &mut problems,
            );
        }
        for (path, value) in &request.program {
            tree.set(path, Node::program(Value::Text(value.clone()), "demo"));
        }
        check(&tree, &mut problems);
        if !problems.is_empty() {
            return Err(Failure::Problems(problems, files));
        }
        Ok(Self {
            root,
            files,
            pipelines,
            tree,
            environment: environment.clone(),
            redactor: redactor.clone(),
        })
    }
}

/// The nearest `overlock.toml` upwards from here.
fn find() -> Outcome<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Error::new(ErrorKind::Io, "find the current folder").source(error))?;
    let found = here
        .ancestors()
        .map(|folder| folder.join("overlock.toml"))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::usage(
            "find overlock.toml here or in a folder above",
            "write one with `overlock init`, try `overlock demo`, or name one with --config",
        )
    })
}

/// A path as messages show it: relative to here where that is shorter.
fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shown = path.strip_prefix(&here).unwrap_or(path);
    printable(&shown.display().to_string())
}

fn read(path: &Path, shown: &str, files: &mut Files) -> Outcome<Node> {
    let fail = |message: &str| Error::new(ErrorKind::Config, message).context("path", shown);
    let metadata =
        std::fs::metadata(path).map_err(|error| fail("read a configuration file").source(error))?;
    if !metadata.is_file() {
        return Err(fail("read a configuration file that is not a regular file").into());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)
        .map_err(|error| fail("read a configuration file").source(error))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fail("read a configuration file").source(error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(fail("accept a configuration file of more than 1 MiB").into());
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let file = files.add(shown.to_owned(), text);
            let problem = Problem::new("the file is not UTF-8")
                .at(Origin::File(file, good..good + 1))
                .syntax();
            return Err(Failure::Problems(vec![problem], files.clone()));
        }
    };
    let file = files.add(shown.to_owned(), text.clone());
    tree::parse(&text, file).map_err(|problems| Failure::Problems(problems, files.clone()))
}

/// Names of the files in `pipelines/`, sorted.
fn pipeline_names(root: &Path) -> Outcome<Vec<String>> {
    let folder = root.join("pipelines");
    let fail = |error: std::io::Error| {
        Error::new(ErrorKind::Config, "list the folder of pipelines")
            .context("path", folder.display())
            .source(error)
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error).into()),
    };
    let mut names = Vec::new();
    for entry in entries.take(MAX_PIPELINES) {
        let name = entry.map_err(fail)?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".toml")) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let shown = printable(name);
        if RESERVED.contains(&name) {
            return Err(Failure::usage(
                format!("accept `{shown}` as the name of a pipeline"),
                "overlock uses this name itself: rename the file in pipelines/",
            ));
        }
        SourceName::new(name)
            .map_err(|error| error.context("path", format!("pipelines/{shown}.toml")))?;
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// Takes the table `env` out of the tree; what is not a table stays for the check to find.
fn take_envs(tree: &mut Node) -> Node {
    if let Value::Table(table) = &mut tree.value
        && table.get("env").is_some_and(|envs| {
            envs.table()
                .is_some_and(|envs| envs.values().all(|env| env.table().is_some()))
        })
        && let Some(envs) = table.remove("env")
    {
        return envs;
    }
    Node::empty()
}

/// An overlay without the pipelines that this command did not load.
fn known_pipelines(overlay: &Node, base: &Node) -> Node {
    let mut overlay = overlay.clone();
    if let Value::Table(table) = &mut overlay.value
        && let Some(Value::Table(pipelines)) = table.get_mut("pipeline").map(|node| &mut node.value)
    {
        pipelines.retain(|name, _| base.at(&["pipeline", name]).is_some());
    }
    overlay
}

/// An overlay changes what is there: names that are new are typing errors.
fn check_overlay(
    overlay: &Node,
    base: &Node,
    pipelines: &[String],
    redactor: &Redactor,
    problems: &mut Vec<Problem>,
) {
    const SECTIONS: &[&str] = &[
        "allow_plain_secrets",
        "source",
        "destination",
        "run",
        "pipeline",
    ];
    for (section, node) in overlay.table().into_iter().flatten() {
        if !SECTIONS.contains(&section.as_str()) {
            if let Some(text) = node.text() {
                redactor.learn(text);
            }
            problems.push(
                Problem::new(format!("unknown key `{}`", printable(section)))
                    .at(node.key.clone())
                    .label(suggest::sentence(section, SECTIONS.iter().copied())),
            );
            continue;
        }
        let known: Vec<&str> = match section.as_str() {
            "pipeline" => pipelines.iter().map(String::as_str).collect(),
            "source" | "destination" => {
                let table = base.at(&[section]).and_then(Node::table);
                table
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.as_str())
                    .collect()
            }
            _ => continue,
        };
        for (name, node) in node.table().into_iter().flatten() {
            let complete = node.at(&["connector"]).is_some() || node.at(&["kind"]).is_some();
            if !known.contains(&name.as_str()) && !complete {
                problems.push(
                    Problem::new(format!("there is no {section} `{}`", printable(name)))
                        .at(node.key.clone())
                        .label(suggest::sentence(name, known.iter().copied())),
                );
            }
        }
    }
}

/// Everything that can be said about a tree without variables and secrets.
fn check_tree(
    tree: &Node,
    schema: &Json,
    pipeline_schema: &Json,
    redactor: &Redactor,
) -> Vec<Problem> {
    let mut project = tree.clone();
    let pipelines = match &mut project.value {
        Value::Table(table) => table.remove("pipeline"),
        _ => None,
    };
    let mut checker = Checker::new(schema, redactor);
    checker.check(&project, schema, "");
    let mut problems = checker.problems;
    let table = pipelines.as_ref().and_then(Node::table);
    for (name, pipeline) in table.into_iter().flatten() {
        let mut checker = Checker::new(pipeline_schema, redactor);
        checker.check(pipeline, pipeline_schema, "");
        problems.extend(checker.problems);
        for section in ["source", "destination"] {
            let Some(node) = pipeline.at(&[section]) else {
                continue;
            };
            let Some(wanted) = node.text() else { continue };
            let table = tree.at(&[section]).and_then(Node::table);
            let known: Vec<&str> = table
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            if !known.contains(&wanted) && !wanted.contains("${") {
                let label = suggest::sentence(wanted, known.iter().copied())
                    .unwrap_or_else(|| format!("overlock.toml has no [{section}.NAME] yet"));
                problems.push(
                    Problem::new(format!("unknown {section} `{}`", printable(wanted)))
                        .at(node.origin.clone())
                        .label(Some(label)),
                );
            }
        }
        let streams = pipeline.at(&["streams"]);
        if let Some(streams) = streams
            && streams.table().is_some_and(Table::is_empty)
        {
            problems.push(
                Problem::new(format!("pipeline `{name}` has no streams"))
                    .at(streams.key.clone())
                    .label(Some("add [streams.NAME]".to_owned())),
            );
        }
    }
    problems
}

/// Puts an override into the tree, reading its text as the kind of value that belongs there.
fn put(
    tree: &mut Node,
    path: &[String],
    text: &str,
    origin: &Origin,
    schema: &Json,
    pipeline_schema: &Json,
    problems: &mut Vec<Problem>,
) {
    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
    if steps.iter().any(|step| step.is_empty()) {
        problems.push(
            Problem::new("an override names no key")
                .at(origin.clone())
                .hint("write section.name.key"),
        );
        return;
    }
    if let ["pipeline", name, ..] = steps.as_slice()
        && tree.at(&["pipeline", name]).is_none()
    {
        // This command did not load that pipeline.
        return;
    }
    let wanted = match steps.split_first() {
        Some((&"pipeline", rest)) => kind_at(pipeline_schema, rest.get(1..).unwrap_or(&[])),
        _ => kind_at(schema, &steps),
    };
    let value = match wanted.as_deref() {
        Some("string") | None => Value::Text(text.to_owned()),
        Some(_) => {
            // Numbers, booleans, lists and tables are written as in TOML.
            let parsed = tree::parse(
                &format!("value = {text}"),
                super::problem::FileId(usize::MAX),
            );
            let found = parsed.ok().and_then(|node| node.at(&["value"]).cloned());
            found.map_or_else(
                || Value::Text(text.to_owned()),
                |mut node| {
                    reorigin(&mut node, origin);
                    node.value
                },
            )
        }
    };
    let node = Node {
        value,
        origin: origin.clone(),
        key: origin.clone(),
    };
    tree.set(path, node);
}

/// Says of everything below a node that it comes from an override.
fn reorigin(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    node.key = origin.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| reorigin(item, origin)),
        Value::Table(table) => table.values_mut().for_each(|below| reorigin(below, origin)),
        _ => {}
    }
}

/// The JSON type that a schema wants at a path; `None` if the path is unknown.
fn kind_at(root: &Json, path: &[&str]) -> Option<String> {
    let mut schema = root;
    for step in path {
        schema = resolve(root, schema);
        let variants = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        let candidates = match variants.and_then(Json::as_array) {
            Some(variants) => variants.iter().map(|one| resolve(root, one)).collect(),
            None => vec![schema],
        };
        schema = candidates.iter().find_map(|one| {
            let properties = one.get("properties").and_then(Json::as_object);
            let found = properties.and_then(|known| {
                let key = known.keys().find(|key| key.eq_ignore_ascii_case(step))?;
                known.get(key)
            });
            found.or_else(|| {
                one.get("additionalProperties")
                    .filter(|inner| inner.is_object())
            })
        })?;
    }
    schema = resolve(root, schema);
    if let Some(variants) = schema
        .get("anyOf")
        .or_else(|| schema.get("oneOf"))
        .and_then(Json::as_array)
    {
        schema = resolve(root, variants.first()?);
    }
    match schema.get("type")? {
        Json::String(kind) => Some(kind.clone()),
        Json::Array(kinds) => kinds.first()?.as_str().map(ToOwned::to_owned),
        _ => None,
    }
}

fn resolve<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let reference = schema.get("$ref").and_then(Json::as_str);
    let found = reference.and_then(|path| root.pointer(path.trim_start_matches('#')));
    found.unwrap_or(schema)
}

/// Checks the text of an `overlock.toml` alone: what a fuzzer feeds in. Returns what would be shown.
pub(crate) fn check_text(text: &str) -> Vec<String> {
    let mut files = Files::default();
    let file = files.add("overlock.toml".to_owned(), text.to_owned());
    let problems = match tree::parse(text, file) {
        Ok(mut tree) => {
            take_envs(&mut tree);
            let redactor = Redactor::default();
            check_tree(
                &tree,
                &files::project_schema(),
                &files::pipeline_schema(),
                &redactor,
            )
        }
        Err(problems) => problems,
    };
    problems
        .iter()
        .map(|problem| problem.render(&files))
        .collect()
}
