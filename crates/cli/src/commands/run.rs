//! `overlock run`: what cron calls. Also home of what `sync` and `demo` share with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::event::ErrorReport;
use overlock_core::{
    Clock, Error, ErrorKind, Source, SourceName, StreamName, StreamStatus, StreamSummary,
    SystemClock, Timestamp,
};
use overlock_engine::{
    Options, Pipeline, ReadMode, Record, Report, Stop, StopReason, StreamPlan, StreamSettings,
    Tally,
};

use crate::app::{App, runtime};
use crate::args::{How, Run};
use crate::config::files::{DefaultsTable, ReadModeText, StreamTable};
use crate::config::{DestinationSettings, PipelineSettings, Project, Wanted};
use crate::failure::{Failure, Outcome};
use crate::render::progress::Progress;
use crate::render::summary::{self, Ended};
use crate::signals::{Signals, stop_on_signal};
use crate::{exit, render, suggest};

/// Settings of the streams that a pipeline file does not name one by one.
pub(crate) const REST: &str = "*";

/// Runs pipelines.
pub(crate) fn run(app: &App, arguments: &Run) -> Outcome<u8> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let wanted = if arguments.all || arguments.due {
        Wanted::All
    } else if arguments.pipelines.is_empty() {
        Wanted::Named(vec![only_pipeline(&app.project(Wanted::None)?)?])
    } else {
        Wanted::Named(arguments.pipelines.clone())
    };
    let project = app.project(wanted.clone())?;
    let mut names: Vec<String> = match wanted {
        Wanted::Named(names) => names,
        Wanted::All | Wanted::None => project.pipelines.clone(),
    };
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        return Err(Failure::usage(
            "find a pipeline: pipelines/ has none",
            "write one with `overlock init`",
        ));
    }
    let work_dir = app.work_dir(&project);
    let mut pipelines = Vec::new();
    for name in &names {
        let pipeline = project.pipeline(name)?;
        if arguments.due {
            let Some(schedule) = &pipeline.schedule else {
                continue;
            };
            if !schedule.is_due(last_start(&work_dir, &pipeline.name)?, clock.now()) {
                continue;
            }
        }
        pipelines.push(pipeline);
    }
    let mut plans: Vec<(PipelineSettings, Pipeline)> = Vec::new();
    let mut unmatched: Vec<&String> = arguments.select.iter().chain(&arguments.exclude).collect();
    for pipeline in pipelines {
        let mut plan = plan(&pipeline, &arguments.how)?;
        let all: Vec<String> = plan
            .streams
            .iter()
            .map(|one| one.name.to_string())
            .collect();
        unmatched.retain(|pattern| !all.iter().any(|name| fits(pattern, &pipeline, name)));
        if !arguments.select.is_empty() {
            plan.rest = None;
        }
        plan.streams.retain(|one| {
            let any = |patterns: &[String]| {
                patterns
                    .iter()
                    .any(|pattern| fits(pattern, &pipeline, one.name.as_str()))
            };
            (arguments.select.is_empty() || any(&arguments.select)) && !any(&arguments.exclude)
        });
        if !plan.streams.is_empty() || plan.rest.is_some() {
            plans.push((pipeline, plan));
        }
    }
    if let Some(pattern) = unmatched.first()
        && !(arguments.due && plans.is_empty())
    {
        return Err(no_match(&project, &names, pattern));
    }
    if plans.is_empty() {
        if !arguments.due {
            return Err(Failure::usage(
                "find a stream to run: every one is excluded",
                "see --exclude",
            ));
        }
        if app.output.is_json() {
            app.output.json(&summary::end(&[], exit::OK));
        } else {
            app.output.remark("nothing is due");
        }
        return App::ok();
    }
    let job = Job {
        app,
        project: &project,
        how: &arguments.how,
        clock,
    };
    let (ended, code) = job.run_all(&plans)?;
    report(app, &ended, code, true);
    Ok(code)
}

/// What is needed to run pipelines.
pub(crate) struct Job<'a> {
    /// Flags and outputs.
    pub(crate) app: &'a App,
    /// The project.
    pub(crate) project: &'a Project,
    /// Flags of the run.
    pub(crate) how: &'a How,
    /// The clock of source, engine and destination.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Job<'_> {
    /// Runs pipelines one after the other; a failing one does not keep the next from running.
    pub(crate) fn run_all(
        &self,
        plans: &[(PipelineSettings, Pipeline)],
    ) -> Outcome<(Vec<Ended>, u8)> {
        let runtime = runtime()?;
        let progress = Progress::new(&self.app.output, self.app.global.progress);
        let stop = Stop::new();
        let ended = runtime.block_on(async {
            stop_on_signal(Signals::listen()?, stop.clone(), self.app.output.clone());
            let mut ended = Vec::new();
            for (settings, plan) in plans {
                if matches!(
                    stop.reason(),
                    Some(StopReason::Interrupt | StopReason::Terminate)
                ) {
                    break;
                }
                ended.push(self.run_one(settings, plan, &progress, &stop).await?);
            }
            Ok::<_, Failure>(ended)
        });
        progress.finish();
        // Abandoned blocking work must not hold the end of the process.
        runtime.shutdown_timeout(Duration::from_millis(200));
        let ended = ended?;
        let codes: Vec<u8> = ended.iter().map(|run| run.code).collect();
        let code = exit::join(&codes);
        progress.end(&summary::end(&ended, code));
        Ok((ended, code))
    }

    async fn run_one(
        &self,
        settings: &PipelineSettings,
        plan: &Pipeline,
        progress: &Progress,
        stop: &Stop,
    ) -> Outcome<Ended> {
        let app = self.app;
        let work_dir = app.work_dir(self.project);
        let tally = Tally::new(&progress.events());
        let source_settings = self.project.source(&settings.source)?;
        let source = app.connect(
            &source_settings,
            &work_dir,
            tally.events(),
            Arc::clone(&self.clock),
            self.how.max_api_calls,
        )?;
        let to = app.destination(self.project, settings.destination.as_deref())?;
        let clock = Arc::clone(&self.clock);
        let destination = app.open_destination(&to, settings, clock, Some(&work_dir))?;
        let mut options = self.options(settings, &work_dir)?;
        // A folder keeps the order of rows, a table does not.
        options.settings.row_numbers = matches!(to, DestinationSettings::Snowflake(_));
        let clock = Arc::clone(&self.clock);
        let report = overlock_engine::run(
            plan,
            Arc::clone(&source),
            destination,
            &options,
            &tally,
            clock,
            stop,
        )
        .await;
        // A stream that the source does not have is a mistake in the file: point at it.
        for name in suspects(&report) {
            if let Some(known) = unknown_stream(source.as_ref(), name.as_str()).await {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                return Err(self.project.stream_problem(&plan.name, &name, &known));
            }
        }
        let error = report.error.as_ref().map(ErrorReport::from);
        Ok(Ended {
            code: code_of(&report),
            run: report.run,
            pipeline: plan.name.to_string(),
            source: plan.source.to_string(),
            streams: report.streams,
            error,
            calls: report.calls,
            elapsed: report.elapsed,
            stopped: report.stopped,
        })
    }

    fn options(&self, settings: &PipelineSettings, work_dir: &Path) -> Outcome<Options> {
        let table = self.project.run()?;
        let mut options = Options::new(work_dir, overlock_core::CommitId::generate().to_string());
        options.full_refresh = self.how.full_refresh;
        options.fail_fast = self.how.fail_fast;
        options.exit_code = code_of;
        options.redactor = self.app.output.redactor().clone();
        let scheduled = settings
            .file
            .schedule
            .as_ref()
            .and_then(|table| table.timeout);
        options.timeout = self
            .app
            .global
            .timeout
            .or_else(|| scheduled.or(table.timeout).map(|text| text.0));
        if let Some(lock) = table.lock {
            options.lock = lock.into();
        }
        if let Some(grace) = table.grace {
            options.grace = grace.0;
        }
        if let Some(jobs) = self.how.jobs.or(table.max_concurrent_streams) {
            options.max_concurrent_streams = usize::try_from(jobs).unwrap_or(1);
        }
        if let Some(every) = table.file_every {
            options.checkpoint_after = every.0;
        }
        if let Some(rows) = table.seal_rows {
            options.seal_rows = rows;
        }
        if let Some(bytes) = table.seal_bytes {
            options.seal_bytes = bytes;
        }
        if let Some(every) = table.seal_every {
            options.seal_after = every.0;
        }
        if let Some(rows) = table.row_group_rows {
            options.settings.row_group_rows = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
        }
        if let Some(bytes) = table.file_bytes {
            options.settings.file_bytes = bytes.max(1);
        }
        Ok(options)
    }
}

/// Shows how it ended: table and last line on stdout, what failed on stderr.
pub(crate) fn report(app: &App, ended: &[Ended], code: u8, with_table: bool) {
    let output = &app.output;
    let loud = !output.is_quiet() || code != exit::OK;
    if output.is_json() {
        output.json(&summary::end(ended, code));
    } else if loud && with_table {
        let table = summary::table(ended);
        if !table.is_empty() {
            output.listing(&table);
        }
        for run in ended {
            output.result(&summary::line(run));
        }
    }
    let detailed = app.global.verbose >= 2;
    for run in ended {
        let mut said: Vec<(&ErrorReport, &StreamSummary, Vec<String>)> = Vec::new();
        for stream in &run.streams {
            let Some(error) = &stream.error else { continue };
            let whole_run = run
                .error
                .as_ref()
                .is_some_and(|whole| whole.message == error.message);
            let quiet_stop =
                stream.status == StreamStatus::Stopped && error.kind == ErrorKind::Cancelled;
            if whole_run || quiet_stop {
                continue;
            }
            // The same cause for every stream is said once.
            let same = said.iter_mut().find(|(other, ..)| {
                !error.causes.is_empty() && other.causes == error.causes && other.kind == error.kind
            });
            match same {
                Some((_, _, others)) => others.push(format!("`{}`", stream.stream)),
                None => said.push((error, stream, Vec::new())),
            }
        }
        for (error, stream, others) in said {
            let text = render::error::report(error, Some(&summary::safe(stream)), detailed);
            output.note(&app.painted(&text));
            if !others.is_empty() {
                let text = format!("error: the same for {}", others.join(", "));
                output.note(&app.painted(&text));
            }
        }
        let is_over = run.stopped == Some(StopReason::Timeout);
        if let Some(error) = &run.error
            && !(is_over && error.kind == ErrorKind::Cancelled)
        {
            let safe = "what was committed before is unchanged";
            let text = render::error::report(error, Some(safe), detailed);
            output.note(&app.painted(&text));
        }
        if matches!(run.code, exit::INTERRUPTED | exit::TERMINATED) {
            output.note("stopped; run the same again: it goes on where this run stopped");
        } else if run.code == exit::QUOTA {
            output.note(&over(run));
        }
    }
}

/// What a used-up budget means.
fn over(run: &Ended) -> String {
    let what = if run.stopped == Some(StopReason::Timeout) {
        "the time of --timeout (or `timeout` of the pipeline) is over"
    } else {
        "a budget is used up"
    };
    let used = render::number::duration(run.elapsed);
    let calls = render::number::plural(run.calls, "call");
    if run.streams.iter().any(|stream| stream.rows_read > 0) {
        format!("{what}; what was read is kept, and the next run goes on from there")
    } else {
        format!(
            "{what} before a row was read ({calls}, {used}): raise the limit if the next run \
             gets no further either"
        )
    }
}

/// Streams that failed as one would that does not exist and never did.
fn suspects(report: &Report) -> Vec<StreamName> {
    let named = report
        .error
        .as_ref()
        .filter(|error| error.kind() == ErrorKind::Config);
    let named = named.and_then(|error| StreamName::new(error.get("stream")?).ok());
    let failed = report.streams.iter().filter(|stream| {
        let kind = stream.error.as_ref().map(|error| error.kind);
        stream.head.is_none()
            && stream.rows_read == 0
            && matches!(kind, Some(ErrorKind::Permission | ErrorKind::NotFound))
    });
    named
        .into_iter()
        .chain(failed.map(|stream| stream.stream.clone()))
        .collect()
}

/// The names of all streams if the source has none of this name; asks the source once more.
pub(crate) async fn unknown_stream(source: &dyn Source, name: &str) -> Option<Vec<String>> {
    let catalog = source.discover(&[]).await.ok()?;
    let readable = catalog.streams.iter().map(|stream| stream.name.to_string());
    let known: Vec<String> = readable
        .chain(catalog.unavailable.iter().map(|(name, _)| name.clone()))
        .chain(catalog.lacking.iter().map(|(name, _)| name.clone()))
        .collect();
    (!known.iter().any(|other| other == name)).then_some(known)
}

/// The exit code of a report.
pub(crate) fn code_of(report: &Report) -> u8 {
    let error = report.error.as_ref().map(ErrorReport::from);
    summary::code(&report.streams, error.as_ref(), report.stopped)
}

/// What the engine is told to do for a pipeline.
pub(crate) fn plan(settings: &PipelineSettings, how: &How) -> Outcome<Pipeline> {
    let mut plan = Pipeline {
        name: settings.name.clone(),
        source: settings.source.clone(),
        streams: Vec::new(),
        rest: None,
    };
    for (name, table) in &settings.file.streams {
        let stream = stream_settings(table, &settings.file.defaults, how);
        if name == REST {
            plan.rest = Some(stream);
        } else {
            plan.streams.push(StreamPlan {
                name: StreamName::new(name)?,
                settings: stream,
            });
        }
    }
    Ok(plan)
}

/// The settings of one stream: its own, then the pipeline's, then the flags'.
pub(crate) fn stream_settings(
    table: &StreamTable,
    defaults: &DefaultsTable,
    how: &How,
) -> StreamSettings {
    StreamSettings {
        read_mode: table
            .read_mode
            .or(defaults.read_mode)
            .map(|mode| match mode {
                ReadModeText::Incremental => ReadMode::Incremental,
                ReadModeText::FullRefresh => ReadMode::FullRefresh,
            }),
        write_mode: table.write_mode.or(defaults.write_mode).map(Into::into),
        deletes: table
            .deletes
            .or(defaults.deletes)
            .map(Into::into)
            .unwrap_or_default(),
        since: how
            .since
            .or(table.since.or(defaults.since).map(|text| text.0)),
        filter: table.r#where.clone(),
        include: table.include.clone(),
        exclude: table.exclude.clone(),
    }
}

/// The one pipeline of a project.
pub(crate) fn only_pipeline(project: &Project) -> Outcome<String> {
    match project.pipelines.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::usage(
            "find a pipeline: pipelines/ has none",
            "write one with `overlock init`",
        )),
        several => Err(Failure::usage(
            "choose a pipeline: the project has several",
            format!("name one, or add --all: {}", several.join(", ")),
        )),
    }
}

/// Whether a pattern means a stream: `Account`, `crm.Account`, `Acc*`, `crm.*`. The part before the dot is
/// the pipeline or its source.
fn fits(pattern: &str, pipeline: &PipelineSettings, stream: &str) -> bool {
    match pattern.split_once('.') {
        Some((owner, pattern)) => {
            let names = [&pipeline.name, &pipeline.source];
            names.iter().any(|name| glob(owner, name.as_str())) && glob(pattern, stream)
        }
        None => glob(pattern, stream),
    }
}

/// `*` stands for any characters, `?` for one.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Row by row over the pattern: which prefixes of the text fit so far.
    let mut fits = vec![false; text.len() + 1];
    if let Some(first) = fits.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let mut next = vec![false; text.len() + 1];
        for end in 0..=text.len() {
            let here = fits.get(end).copied().unwrap_or(false);
            let before = end.checked_sub(1);
            let good = if wanted == '*' {
                here || before.and_then(|at| next.get(at)).copied().unwrap_or(false)
            } else {
                before.is_some_and(|at| {
                    let same = text
                        .get(at)
                        .is_some_and(|found| wanted == '?' || *found == wanted);
                    same && fits.get(at).copied().unwrap_or(false)
                })
            };
            if let Some(slot) = next.get_mut(end) {
                *slot = good;
            }
        }
        fits = next;
    }
    fits.last().copied().unwrap_or(false)
}

fn no_match(project: &Project, names: &[String], pattern: &str) -> Failure {
    let mut known = Vec::new();
    for name in names {
        if let Ok(pipeline) = project.pipeline(name) {
            known.extend(pipeline.file.streams.into_keys());
        }
    }
    let shown = overlock_core::text::printable(pattern);
    let last = pattern.rsplit('.').next().unwrap_or(pattern);
    let hint = suggest::sentence(last, known.iter().map(String::as_str))
        .unwrap_or_else(|| "the pipeline files list the streams".to_owned());
    Failure::usage(format!("find a stream that fits `{shown}`"), hint)
}

/// Most run records that are looked at for the last start.
const MAX_RECORDS: usize = 100_000;
/// Largest run record.
const MAX_RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// When the newest recorded run of a pipeline started; runs that failed in a way that a retry may heal do
/// not count, so that `--due` tries them again.
pub(crate) fn last_start(work_dir: &Path, pipeline: &SourceName) -> Outcome<Option<Timestamp>> {
    let folder = work_dir.join("runs");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let error = Error::new(ErrorKind::Io, "list the run records")
                .context("path", folder.display())
                .source(error);
            return Err(error.into());
        }
    };
    let mut last = None;
    for entry in entries.take(MAX_RECORDS).flatten() {
        let path = entry.path().join("run.json");
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        if !metadata.is_file() || metadata.len() > MAX_RECORD_BYTES {
            continue;
        }
        // A record that a crash left unreadable says nothing about a start.
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
            continue;
        };
        let worth_a_retry = matches!(
            record.exit_code,
            Some(exit::SOURCE | exit::DESTINATION | exit::CONFLICT | exit::QUOTA)
        );
        if record.pipeline == *pipeline && !worth_a_retry {
            last = last.max(Some(record.started));
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, text, expected) in [
            ("Account", "Account", true),
            ("Acc", "Account", false),
            ("Acc*", "Account", true),
            ("*", "Account", true),
            ("*unt", "Account", true),
            ("A??ount", "Account", true),
            ("a*", "Account", false),
            ("**t*", "Account", true),
            ("", "Account", false),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_stream_and_the_stream_over_the_pipeline() {
        let defaults = DefaultsTable {
            write_mode: Some(crate::config::files::WriteModeText::Append),
            ..DefaultsTable::default()
        };
        let table = StreamTable {
            write_mode: Some(crate::config::files::WriteModeText::Merge),
            ..StreamTable::default()
        };
        let how = How {
            since: Some(Timestamp::EPOCH),
            ..How::default()
        };
        let settings = stream_settings(&table, &defaults, &how);
        assert_eq!(settings.write_mode, Some(overlock_core::WriteMode::Merge));
        assert_eq!(settings.since, Some(Timestamp::EPOCH));
        let settings = stream_settings(&StreamTable::default(), &defaults, &How::default());
        assert_eq!(settings.write_mode, Some(overlock_core::WriteMode::Append));
    }
}
