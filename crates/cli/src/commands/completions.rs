//! `overlock completions SHELL`.

use clap::CommandFactory as _;

use crate::app::App;
use crate::args::{Arguments, Completions};
use crate::failure::Outcome;

/// Prints the script for a shell.
pub(crate) fn run(app: &App, arguments: &Completions) -> Outcome<u8> {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "overlock", &mut script);
    app.output.result(&String::from_utf8_lossy(&script));
    App::ok()
}
