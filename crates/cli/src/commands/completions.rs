//! `overlock completions SHELL`.

use crate::app::App;
use crate::args::Completions;
use crate::failure::Outcome;

/// Prints the script for a shell.
pub(crate) fn run(app: &App, arguments: &Completions) -> Outcome<u8> {
    let mut command = crate::usage::command();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "overlock", &mut script);
    app.output.result(&String::from_utf8_lossy(&script));
    App::ok()
}
