//! Log records for developers, on stderr, redacted. What a person should see is an event, not a record.

use std::io;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::args::{Global, LogFormat, LogLevel};
use crate::env::{Environment, LOG};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Crates whose more detailed records hold headers and bodies: never below INFO, whatever is asked.
const CAPPED: &[&str] = &[
    "hyper",
    "hyper_util",
    "reqwest",
    "reqwest_middleware",
    "rustls",
    "h2",
    "tower",
    "snowflake_api",
    "object_store",
];

/// Starts logging.
///
/// # Errors
/// Usage, if the filter in the environment cannot be understood.
pub(crate) fn start(global: &Global, environment: &Environment, output: &Output) -> Outcome {
    let level = match (global.log_level, global.verbose, global.quiet) {
        (Some(LogLevel::Warn), ..) => LevelFilter::WARN,
        (Some(LogLevel::Info), ..) | (None, 1, _) => LevelFilter::INFO,
        (Some(LogLevel::Debug), ..) | (None, 2, _) => LevelFilter::DEBUG,
        (Some(LogLevel::Trace), ..) | (None, 3.., _) => LevelFilter::TRACE,
        // Warnings for people are events; by default the log adds nothing.
        (Some(LogLevel::Error), ..) | (None, 0, _) => LevelFilter::ERROR,
    };
    let wanted = environment.get(LOG);
    if level <= LevelFilter::ERROR && wanted.is_none() && global.log_level.is_none() {
        return Ok(());
    }
    let filter = match wanted {
        None => EnvFilter::default().add_directive(level.into()),
        Some(text) => EnvFilter::try_new(text).map_err(|error| {
            Failure::usage(
                format!("read the log filter in {LOG}: {error}"),
                "write a level such as `debug`, or `overlock_engine=trace,info`",
            )
        })?,
    };
    let capped = filter_fn(|metadata| {
        let name = metadata.target().split("::").next().unwrap_or("");
        !CAPPED.contains(&name) || *metadata.level() <= tracing::Level::INFO
    });
    let layer = fmt::layer()
        .with_ansi(false)
        .with_writer(Lines(output.clone()));
    let layer = match global.log_format {
        LogFormat::Json => layer.json().boxed(),
        LogFormat::Auto | LogFormat::Text => layer.boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(layer.with_filter(capped))
        .with(filter)
        .try_init();
    started
        .map_err(|error| Failure::Error(overlock_core::Error::bug("start logging").source(error)))
}

struct Lines(Output);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone(), Vec::new())
    }
}

/// One record; shown when it is complete, so that a secret cannot hide across two writes.
struct Line(Output, Vec<u8>);

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.1);
        self.0.note(text.trim_end());
    }
}
