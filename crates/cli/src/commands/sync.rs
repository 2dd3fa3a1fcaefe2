//! `overlock sync SOURCE [--stream S]`: streams of one source now.

use std::sync::Arc;

use overlock_core::{Clock, StreamName, SystemClock};
use overlock_engine::{Pipeline, StreamPlan};

use crate::app::App;
use crate::args::Sync;
use crate::commands::run::{Job, REST, glob, report, stream_settings};
use crate::config::Wanted;
use crate::config::files::StreamTable;
use crate::failure::{Failure, Outcome};

/// Syncs the streams.
pub(crate) fn run(app: &App, arguments: &Sync) -> Outcome<u8> {
    let project = app.project(Wanted::All)?;
    let source = project.require_source(&arguments.source)?;
    let mut settings = project.by_hand(&source, arguments.to.as_deref())?;
    // A sync by hand is not the scheduled run: its time limit does not hold here.
    settings.file.schedule = None;
    let mut plan = Pipeline {
        name: settings.name.clone(),
        source,
        streams: Vec::new(),
        rest: None,
    };
    let file = &settings.file;
    let listed = || file.streams.keys().filter(|name| *name != REST);
    let mut names: Vec<&String> = Vec::new();
    if arguments.stream.is_empty() {
        names.extend(listed());
    }
    for wanted in &arguments.stream {
        if !wanted.contains(['*', '?']) {
            names.push(wanted);
            continue;
        }
        let before = names.len();
        names.extend(listed().filter(|name| glob(wanted, name)));
        if names.len() == before {
            let shown = overlock_core::text::printable(wanted);
            return Err(Failure::usage(
                format!("find a stream that fits `{shown}`"),
                "patterns choose among the streams of the pipeline file; name others in full",
            ));
        }
    }
    if names.is_empty() {
        return Err(Failure::usage(
            format!(
                "choose streams: no pipeline file lists any for `{}`",
                plan.source
            ),
            format!(
                "name them with --stream; `overlock discover {}` lists what there is",
                plan.source
            ),
        ));
    }
    for name in names {
        let table = file
            .streams
            .get(name)
            .cloned()
            .unwrap_or_else(StreamTable::default);
        let name = StreamName::new(name)?;
        if plan.streams.iter().all(|one| one.name != name) {
            plan.streams.push(StreamPlan {
                name,
                settings: stream_settings(&table, &file.defaults, &arguments.how),
            });
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let job = Job {
        app,
        project: &project,
        how: &arguments.how,
        clock,
    };
    let (ended, code) = job.run_all(&[(settings, plan)])?;
    report(app, &ended, code, true);
    Ok(code)
}
