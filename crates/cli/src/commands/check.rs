//! `overlock check`: would a run work? One line per check; nothing is changed.

use std::sync::Arc;

use overlock_core::event::ErrorReport;
use overlock_core::{Error, ErrorKind, Source, StreamName, SystemClock};
use overlock_engine::{modes, project as project_columns};
use serde_json::json;

use crate::app::{App, runtime};
use crate::args::{Check, How};
use crate::commands::run::{plan, unknown_stream};
use crate::config::{PipelineSettings, Project, Wanted};
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::output::Style;
use crate::render::progress::Progress;
use crate::render::{self, error::error_json};
use crate::signals::interruptible;

/// Checks everything that a run of the chosen sources would need.
pub(crate) fn run(app: &App, arguments: &Check) -> Outcome<u8> {
    let project = app.project(Wanted::All)?;
    for name in &arguments.sources {
        project.require_source(name)?;
    }
    let mut checks = Checks {
        app,
        done: Vec::new(),
        progress: Progress::new(&app.output, app.global.progress),
    };
    let files = project.pipelines.len();
    checks.good(
        "configuration",
        &format!("overlock.toml and {files} pipeline file(s)"),
    );
    let runtime = runtime()?;
    let outcome = runtime.block_on(interruptible(
        all(app, &project, arguments, &mut checks),
        app.global.timeout,
    ));
    runtime.shutdown_background();
    checks.progress.finish();
    outcome?;
    Ok(checks.finish())
}

async fn all(app: &App, project: &Project, arguments: &Check, checks: &mut Checks<'_>) -> Outcome {
    let names: Vec<String> = if arguments.sources.is_empty() {
        project
            .sources()
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    } else {
        arguments.sources.clone()
    };
    let mut pipelines = Vec::new();
    for name in &project.pipelines {
        let pipeline = project.pipeline(name)?;
        if names
            .iter()
            .any(|source| source == pipeline.source.as_str())
        {
            pipelines.push(pipeline);
        }
    }
    for name in &names {
        let label = format!("source {name}");
        let connected = project
            .require_source(name)
            .and_then(|name| project.source(&name))
            .and_then(|settings| {
                let clock = Arc::new(SystemClock);
                let work_dir = app.work_dir(project);
                app.connect(&settings, &work_dir, checks.progress.events(), clock, None)
            });
        let source = match connected {
            Ok(source) => source,
            Err(failure) => {
                checks.bad(&format!("{label}: settings and secrets"), failure);
                continue;
            }
        };
        checks.good(&format!("{label}: settings and secrets"), "resolved");
        if arguments.offline {
            continue;
        }
        match source.check().await {
            Ok(()) => checks.good(&format!("{label}: login"), "accepted"),
            Err(error) => {
                checks.bad(&format!("{label}: login"), error.into());
                continue;
            }
        }
        for pipeline in pipelines.iter().filter(|one| one.source.as_str() == name) {
            streams(project, source.as_ref(), pipeline, checks).await?;
        }
    }
    for pipeline in &pipelines {
        let label = format!("pipeline {}: destination", pipeline.name);
        let opened = app
            .destination(project, pipeline.destination.as_deref())
            .and_then(|to| app.open_destination(&to, pipeline, Arc::new(SystemClock), None));
        let checked = match opened {
            Ok(destination) => destination.check().await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match checked {
            Ok(found) => {
                let name = pipeline.destination.as_deref().unwrap_or("data");
                let found = std::iter::once(name.to_owned()).chain(found);
                let found: Vec<String> = found.collect();
                checks.good(&label, &overlock_core::text::printable(&found.join("; ")));
            }
            Err(failure) => checks.bad(&label, failure),
        }
    }
    Ok(())
}

async fn streams(
    project: &Project,
    source: &dyn Source,
    pipeline: &PipelineSettings,
    checks: &mut Checks<'_>,
) -> Outcome {
    let plan = plan(pipeline, &How::default())?;
    let only: Vec<StreamName> = if plan.rest.is_some() {
        Vec::new()
    } else {
        plan.streams.iter().map(|one| one.name.clone()).collect()
    };
    let label = |stream: &str| format!("pipeline {}: {stream}", pipeline.name);
    let catalog = match source.discover(&only).await {
        Ok(catalog) => catalog,
        Err(error) => {
            checks.bad(&label("streams"), error.into());
            return Ok(());
        }
    };
    for one in &plan.streams {
        let name = one.name.as_str();
        let label = label(name);
        if let Some(stream) = catalog.get(name) {
            let chosen = modes(stream, &one.settings, false)
                .and_then(|modes| project_columns(stream, &one.settings).map(|it| (modes, it)));
            match chosen {
                Ok((modes, stream)) => {
                    let columns = stream.schema.fields().len();
                    let mut text =
                        format!("{:?}, {:?}, {columns} columns", modes.read, modes.write);
                    text = text.replace("FullRefresh", "full refresh").to_lowercase();
                    for note in &stream.notes {
                        text.push_str("; ");
                        text.push_str(&overlock_core::text::printable(note));
                    }
                    checks.good(&label, &text);
                }
                Err(error) => checks.bad(&label, error.into()),
            }
            continue;
        }
        if let Some((_, reason)) = catalog.lacking.iter().find(|(other, _)| other == name) {
            checks.good(&label, &overlock_core::text::printable(reason));
            continue;
        }
        let unavailable = catalog.unavailable.iter().find(|(other, _)| other == name);
        match (unknown_stream(source, name).await, unavailable) {
            (None, Some((_, reason))) => {
                let reason = overlock_core::text::printable(reason);
                let error = Error::new(ErrorKind::Permission, format!("read `{name}`: {reason}"));
                checks.bad(&label, error.into());
            }
            (known, _) => {
                let known = known.unwrap_or_default();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                checks.bad(
                    &label,
                    project.stream_problem(&pipeline.name, &one.name, &known),
                );
            }
        }
    }
    Ok(())
}

struct Checks<'a> {
    app: &'a App,
    progress: Progress,
    done: Vec<(String, Result<String, Failure>)>,
}

impl Checks<'_> {
    fn good(&mut self, label: &str, text: &str) {
        if !self.app.output.is_json() && !self.app.output.is_quiet() {
            let word = self.app.output.paint(Style::Good, "ok  ");
            self.app.output.result(&format!("{word}  {label}: {text}"));
        }
        self.done.push((label.to_owned(), Ok(text.to_owned())));
    }

    fn bad(&mut self, label: &str, failure: Failure) {
        if !self.app.output.is_json() {
            let word = self.app.output.paint(Style::Bad, "FAIL");
            self.app.output.result(&format!("{word}  {label}"));
        }
        let text = render::error::failure(&failure, false);
        self.app.output.note(&self.app.painted(&text));
        self.done.push((label.to_owned(), Err(failure)));
    }

    fn finish(self) -> u8 {
        let failed: Vec<u8> = self
            .done
            .iter()
            .filter_map(|(_, result)| result.as_ref().err().map(Failure::code))
            .collect();
        // What passed does not make a failed check partial: nothing was run.
        let code = exit::join(&failed);
        if self.app.output.is_json() {
            let checks: Vec<_> = self
                .done
                .iter()
                .map(|(label, result)| {
                    let error = match result {
                        Ok(_) => None,
                        Err(Failure::Error(error)) => Some(error_json(&ErrorReport::from(error))),
                        Err(failure) => Some(render::error::end(failure)),
                    };
                    json!({
                        "check": label,
                        "ok": result.is_ok(),
                        "text": result.as_ref().ok(),
                        "error": error,
                    })
                })
                .collect();
            self.app.output.json(&json!({
                "event": "end",
                "status": exit::status(code),
                "exit_code": code,
                "retryable": exit::is_retryable(code),
                "retry_after_s": null,
                "checks": checks,
            }));
        }
        code
    }
}
