//! One module per verb. Each takes the [`App`] and its arguments and gives an exit code or a [`Failure`].
//!
//! [`Failure`]: crate::failure::Failure

mod check;
mod completions;
mod config;
mod connectors;
mod demo;
mod discover;
mod init;
mod plan;
mod run;
mod sandbox;
mod schedule;
mod state;
mod sync;

use crate::app::App;
use crate::args::Command;
use crate::failure::Outcome;

/// Calls the function of a verb.
pub(crate) fn dispatch(app: &App, command: Command) -> Outcome<u8> {
    match command {
        Command::Demo(arguments) => demo::run(app, &arguments),
        Command::Sandbox(arguments) => sandbox::run(app, &arguments),
        Command::Init(arguments) => init::run(app, &arguments),
        Command::Check(arguments) => check::run(app, &arguments),
        Command::Discover(arguments) => discover::run(app, &arguments),
        Command::Plan(arguments) => plan::run(app, &arguments),
        Command::Run(arguments) => run::run(app, &arguments),
        Command::Sync(arguments) => sync::run(app, &arguments),
        Command::Inspect(arguments) => crate::inspect::run(app, &arguments),
        Command::State(verb) => state::run(app, verb),
        Command::Connectors(arguments) => connectors::run(app, &arguments),
        Command::Config(verb) => config::run(app, &verb),
        Command::Schedule(verb) => schedule::run(app, &verb),
        Command::Completions(arguments) => completions::run(app, &arguments),
    }
}
