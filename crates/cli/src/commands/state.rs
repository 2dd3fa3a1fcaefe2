//! `overlock state list|show|reset`: where each stream stands.
//!
//! State lives at the destination, in the newest commit of each stream; there is no second place that
//! could say something else.

use std::sync::Arc;

use overlock_core::{Clock, Commit, Destination, SourceName, StreamName, SyncKey, SystemClock};
use overlock_engine::Reset;
use serde_json::json;

use crate::app::{App, runtime};
use crate::args::State;
use crate::commands::run::REST;
use crate::config::{DestinationSettings, PipelineSettings, Project, Wanted};
use crate::failure::{Failure, Outcome};
use crate::render::listing::{Cell, Listing};
use crate::signals::interruptible;
use crate::suggest;

/// Runs one of them.
pub(crate) fn run(app: &App, verb: State) -> Outcome<u8> {
    match verb {
        State::List { pipelines } => list(app, &pipelines),
        State::Show { key, to } => show(app, &key, to.as_deref()),
        State::Reset { key, to } => reset(app, &key, to.as_deref()),
    }
}

fn list(app: &App, names: &[String]) -> Outcome<u8> {
    let project;
    let mut pipelines = Vec::new();
    if names.is_empty() {
        project = app.project(Wanted::All)?;
        for name in &project.pipelines {
            pipelines.push(project.pipeline(name)?);
        }
        // What was synced by hand, without a pipeline file.
        for source in project.sources() {
            if project.pipelines.iter().any(|name| name == source) {
                continue;
            }
            let source = SourceName::new(source)?;
            let destinations = project.destinations();
            if destinations.is_empty() {
                pipelines.push(PipelineSettings::without_file(&source, None));
            }
            for to in destinations {
                pipelines.push(PipelineSettings::without_file(&source, Some(to)));
            }
        }
    } else {
        project = app.project(Wanted::Named(names.to_vec()))?;
        for name in names {
            pipelines.push(project.pipeline(name)?);
        }
    }
    let runtime = runtime()?;
    let mut listing = Listing::new(&[
        "pipeline", "stream", "commit", "at", "rows", "complete", "state",
    ]);
    for pipeline in &pipelines {
        let destination = open(app, &project, pipeline)?;
        for stream in streams(app, &project, pipeline)? {
            let key = SyncKey::new(pipeline.name.clone(), stream);
            let head = runtime.block_on(interruptible(
                async { Ok(destination.head(&key).await) },
                app.global.timeout,
            ))?;
            let is_named = pipeline.file.streams.contains_key(key.stream.as_str());
            let head = match head {
                // It stands in the lines of the pipeline that fills it.
                Err(error) if !is_named && error.get("filled_by").is_some() => continue,
                head => head?,
            };
            if head.is_none() && !is_named {
                continue;
            }
            listing.row(vec![
                pipeline.name.as_str().into(),
                key.stream.as_str().into(),
                Cell::maybe(head.as_ref().map(|head| head.id)),
                Cell::maybe(head.as_ref().map(|head| head.at.floor_second())),
                head.as_ref()
                    .map_or(Cell::None, |head| Cell::Number(head.rows)),
                head.as_ref()
                    .map_or(Cell::None, |head| Cell::Flag(head.complete)),
                Cell::maybe(head.as_ref().and_then(state_text)),
            ]);
        }
    }
    app.output.listing(&listing);
    App::ok()
}

fn show(app: &App, key: &str, to: Option<&str>) -> Outcome<u8> {
    let (project, pipeline, key) = find(app, key, to)?;
    let destination = open(app, &project, &pipeline)?;
    let runtime = runtime()?;
    let head = runtime.block_on(interruptible(
        async { Ok(destination.head(&key).await?) },
        app.global.timeout,
    ))?;
    if app.output.is_json() {
        app.output
            .json(&json!({"pipeline": key.pipeline, "stream": key.stream, "head": head}));
        return App::ok();
    }
    match head {
        None => app
            .output
            .result(&format!("{key}: nothing is committed yet")),
        Some(head) => {
            let state = head.state.as_ref().map_or_else(
                || "none: the next run reads from the beginning".to_owned(),
                |state| state.as_json().to_string(),
            );
            let parent = head
                .parent
                .map_or_else(|| "none".to_owned(), |id| id.to_string());
            app.output.result(&format!(
                "{key}\n  commit    {}\n  parent    {parent}\n  at        {}\n  rows      {}\n  complete  {}\n  state     {state}",
                head.id, head.at, head.rows, head.complete
            ));
        }
    }
    App::ok()
}

fn reset(app: &App, key: &str, to: Option<&str>) -> Outcome<u8> {
    let (project, pipeline, key) = find(app, key, to)?;
    let destination = open(app, &project, &pipeline)?;
    app.output.confirm(&format!(
        "Forget where {key} continues? Rows stay; the next run reads everything again."
    ))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let work_dir = app.work_dir(&project);
    let what = Reset {
        key: key.clone(),
        source: pipeline.source.clone(),
        run: overlock_core::CommitId::generate().to_string(),
        lock: project.run()?.lock.map(Into::into).unwrap_or_default(),
    };
    let runtime = runtime()?;
    let head = runtime
        .block_on(async { overlock_engine::reset(&what, destination, &work_dir, clock).await })?;
    if app.output.is_json() {
        app.output
            .json(&json!({"pipeline": key.pipeline, "stream": key.stream, "head": head}));
    } else if !app.output.is_quiet() {
        let text = match head {
            Some(_) => "the next run reads from the beginning; committed rows stay",
            None => "nothing was committed yet; nothing to forget",
        };
        app.output.result(&format!("{key}: {text}"));
    }
    App::ok()
}

/// `PIPELINE.STREAM` or `SOURCE.STREAM`, checked against the files and the tables that are there.
fn find(app: &App, key: &str, to: Option<&str>) -> Outcome<(Project, PipelineSettings, SyncKey)> {
    let Some((name, stream)) = key.split_once('.') else {
        return Err(Failure::usage(
            format!("read `{}` as a key", overlock_core::text::printable(key)),
            "write PIPELINE.STREAM or SOURCE.STREAM; `overlock state list` shows them",
        ));
    };
    let is_pipeline = app
        .project(Wanted::None)?
        .pipelines
        .iter()
        .any(|known| known == name);
    let (project, pipeline) = if is_pipeline {
        let project = app.project(Wanted::Named(vec![name.to_owned()]))?;
        let mut pipeline = project.pipeline(name)?;
        if let Some(to) = to {
            project.destination(Some(to))?;
            pipeline.destination = Some(to.to_owned());
        }
        (project, pipeline)
    } else {
        of_source(app, name, to)?
    };
    let known = streams(app, &project, &pipeline)?;
    let Some(found) = known.iter().find(|known| known.as_str() == stream) else {
        let shown = overlock_core::text::printable(stream);
        let hint = suggest::sentence(stream, known.iter().map(StreamName::as_str))
            .unwrap_or_else(|| "`overlock state list` shows the streams".to_owned());
        return Err(Failure::usage(
            format!("find stream `{shown}` in pipeline `{name}`"),
            hint,
        ));
    };
    let key = SyncKey::new(pipeline.name.clone(), found.clone());
    Ok((project, pipeline, key))
}

/// The pipeline that reads from a source, as `sync` would choose it.
fn of_source(app: &App, name: &str, to: Option<&str>) -> Outcome<(Project, PipelineSettings)> {
    let project = app.project(Wanted::All)?;
    if !project.sources().contains(&name) {
        let known = project.pipelines.iter().map(String::as_str);
        let hint = suggest::sentence(name, known.chain(project.sources()))
            .unwrap_or_else(|| "`overlock state list` shows the pipelines".to_owned());
        let shown = overlock_core::text::printable(name);
        return Err(Failure::usage(
            format!("find a pipeline or source `{shown}`"),
            hint,
        ));
    }
    let source = project.require_source(name)?;
    let pipeline = project.by_hand(&source, to)?;
    Ok((project, pipeline))
}

fn open(
    app: &App,
    project: &Project,
    pipeline: &PipelineSettings,
) -> Outcome<Arc<dyn Destination>> {
    let destination = app.destination(project, pipeline.destination.as_deref())?;
    app.open_destination(&destination, pipeline, Arc::new(SystemClock), None)
}

/// The streams that the file names, and those that have a table already.
fn streams(app: &App, project: &Project, pipeline: &PipelineSettings) -> Outcome<Vec<StreamName>> {
    let mut names = Vec::new();
    for name in pipeline.file.streams.keys().filter(|name| *name != REST) {
        names.push(StreamName::new(name)?);
    }
    let destination = app.destination(project, pipeline.destination.as_deref())?;
    let tables = match destination {
        DestinationSettings::Local(root) => {
            std::fs::read_dir(root.join(pipeline.source.as_str())).ok()
        }
        DestinationSettings::Snowflake(_) => None,
    };
    for entry in tables.into_iter().flatten().flatten() {
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .and_then(|name| StreamName::new(name).ok());
        if let Some(name) = name
            && !names.contains(&name)
            && entry.path().is_dir()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn state_text(head: &Commit) -> Option<String> {
    head.state.as_ref().map(|state| state.as_json().to_string())
}
