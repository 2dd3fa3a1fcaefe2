//! The binary: arguments, config files, registry, rendering, exit codes.
//!
//! [`main`] parses the command line, reads the environment once, and calls one function of `commands`.
//! This crate alone prints, exits and reads environment variables: everything below it reports errors and
//! emits events. Each concern has one module: `args` (verbs and flags), `config` (files with positions),
//! `secrets`, `registry`, `schedule`, `output` (the two streams), `render` (how things look), `exit` (the
//! one table of codes), `env` (the one table of variables).
//!
//! **Invariant:** nothing is read and no runtime is started before the arguments are parsed, so `--help`
//! answers at once; every byte that is printed has passed the redactor.

mod app;
mod args;
mod commands;
mod config;
mod env;
mod exit;
mod failure;
mod inspect;
mod logging;
mod output;
#[cfg(test)]
mod reference;
mod registry;
mod render;
mod schedule;
mod secrets;
mod signals;
mod suggest;
mod usage;

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;

use overlock_core::Redactor;

use crate::app::App;

/// Runs the command line and gives its exit code.
pub fn main() -> ExitCode {
    // Everything overlock writes is for its user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let redactor = Redactor::default();
    let shown = redactor.clone();
    std::panic::set_hook(Box::new(move |panic| report_panic(panic, &shown)));
    let code = catch_unwind(AssertUnwindSafe(|| run(&redactor))).unwrap_or(exit::BUG);
    ExitCode::from(code)
}

fn run(redactor: &Redactor) -> u8 {
    let arguments = match usage::parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error),
    };
    let Some(command) = arguments.command else {
        return usage::short_screen();
    };
    App::run(arguments.global, command, redactor)
}

/// What a person can do about a panic is to report it. Tasks of a run are caught at their border, so a
/// panic there fails one stream and not the process.
fn report_panic(panic: &PanicHookInfo<'_>, redactor: &Redactor) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    let message = overlock_core::text::printable(&message);
    let text = format!(
        "error: internal error at {place}: {message}\n  what is committed is safe\n\n\
         hint: this is a defect of overlock {}: please report it with this text and the run id\n",
        env!("CARGO_PKG_VERSION")
    );
    let text = redactor.redact(&text);
    // If stderr is gone there is nobody to tell.
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).ok();
}

/// Ways in for the fuzzer; the same functions run over its corpora as plain tests.
pub mod fuzz {
    /// Reads bytes as an `overlock.toml` and gives what a person would be shown; never panics.
    pub fn config(data: &[u8]) -> Vec<String> {
        match std::str::from_utf8(data) {
            Ok(text) => crate::config::check_text(text),
            Err(_) => vec!["error: the file is not UTF-8".to_owned()],
        }
    }
}
