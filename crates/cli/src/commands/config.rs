//! `overlock config show|validate|schema`.

use serde_json::{Map, Value as Json, json};

use crate::app::App;
use crate::args::{Config, SchemaOf};
use crate::config::snowflake;
use crate::config::tree::{Node, Origin, Value};
use crate::config::{Project, Wanted, files};
use crate::failure::Outcome;
use crate::{registry, secrets};

/// Runs one of them.
pub(crate) fn run(app: &App, verb: &Config) -> Outcome<u8> {
    match verb {
        Config::Show { origin } => show(app, *origin),
        Config::Validate => validate(app),
        Config::Schema { of } => {
            let schema = match of {
                SchemaOf::Project => files::project_schema(),
                SchemaOf::Pipeline => files::pipeline_schema(),
            };
            app.output.result(&format!("{schema:#}"));
            App::ok()
        }
    }
}

fn validate(app: &App) -> Outcome<u8> {
    let project = app.project(Wanted::All)?;
    let sources = project.sources().len();
    let pipelines = project.pipelines.len();
    if app.output.is_json() {
        app.output
            .json(&json!({"valid": true, "sources": sources, "pipelines": pipelines}));
    } else if !app.output.is_quiet() {
        app.output
            .result(&format!("ok: {sources} source(s), {pipelines} pipeline(s)"));
    }
    App::ok()
}

fn show(app: &App, origin: bool) -> Outcome<u8> {
    let project = app.project(Wanted::All)?;
    let mut lines = Vec::new();
    walk(&project, project.tree(), &mut Vec::new(), &mut lines);
    if app.output.is_json() {
        let values: Vec<Json> = lines
            .iter()
            .map(|line| {
                let mut object = Map::new();
                object.insert("key".into(), line.key.as_str().into());
                object.insert("value".into(), line.value.clone());
                if origin {
                    object.insert("origin".into(), project.files.describe(&line.origin).into());
                }
                Json::Object(object)
            })
            .collect();
        app.output.json(&values);
        return App::ok();
    }
    let width = lines
        .iter()
        .map(|line| line.key.len() + line.value.to_string().len() + 3)
        .max()
        .unwrap_or(0)
        .min(70);
    for line in &lines {
        let pair = format!("{} = {}", line.key, line.value);
        if origin {
            let place = project.files.describe(&line.origin);
            app.output.result(&format!("{pair:<width$}  # {place}"));
        } else {
            app.output.result(&pair);
        }
    }
    App::ok()
}

struct Line {
    key: String,
    value: Json,
    origin: Origin,
}

fn walk(project: &Project, node: &Node, path: &mut Vec<String>, lines: &mut Vec<Line>) {
    let secret = is_secret(project, path);
    if let Value::Table(table) = &node.value
        && !secret
    {
        // The root has no key of its own, and no pipelines is not a setting.
        if table.is_empty() && path.len() > 1 {
            lines.push(Line {
                key: path.join("."),
                value: json!({}),
                origin: node.key.clone(),
            });
        }
        for (key, below) in table {
            path.push(key.clone());
            walk(project, below, path, lines);
            path.pop();
        }
        return;
    }
    let value = if secret {
        // The table form `{ env = "NAME" }` holds a reference and never a value.
        match &node.value {
            Value::Text(text) => Json::from(secrets::shown(text)),
            Value::Table(table) => match table.iter().next() {
                Some((kind, below)) => Json::from(secrets::shown(&format!(
                    "{kind}:{}",
                    below.text().unwrap_or("")
                ))),
                None => Json::from("[masked]"),
            },
            _ => Json::from("[masked]"),
        }
    } else {
        node.to_json()
    };
    lines.push(Line {
        key: path.join("."),
        value,
        origin: node.origin.clone(),
    });
}

/// Whether a path belongs to a secret key of a destination, or of its source's connector.
fn is_secret(project: &Project, path: &[String]) -> bool {
    if let [section, _, table, key] = path
        && section == "destination"
    {
        return snowflake::SECRETS.contains(&(table.as_str(), key.as_str()));
    }
    let [section, name, rest @ ..] = path else {
        return false;
    };
    if section != "source" {
        return false;
    }
    let connector = project.tree().at(&["source", name, "connector"]);
    let Some(connector) = connector.and_then(Node::text) else {
        return true;
    };
    let Ok(connector) = registry::connector(connector) else {
        return true;
    };
    let path = rest.join(".");
    connector
        .spec()
        .keys
        .iter()
        .any(|key| key.secret && key.path == path)
}
