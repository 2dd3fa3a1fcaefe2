//! What is shown before anything runs: help, the short screen, and mistakes on the command line.

use std::fmt::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};
use overlock_core::text::printable;

use crate::args::Arguments;
use crate::{env, exit, suggest};

/// The command line as it is parsed; `--help` also lists exit codes and environment variables.
pub(crate) fn command() -> clap::Command {
    let mut after = "Exit codes:\n".to_owned();
    for (code, meaning) in exit::TABLE {
        _ = writeln!(after, "  {code:<5}{meaning}");
    }
    after.push_str("\nEnvironment variables:\n");
    for (name, meaning) in env::TABLE {
        _ = writeln!(after, "  {name}\n      {meaning}");
    }
    Arguments::command()
        .bin_name("overlock")
        .after_long_help(after)
}

/// Parses the command line of this process.
pub(crate) fn parse() -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches()?;
    Arguments::from_arg_matches(&matches)
}

/// The screen of `overlock` alone.
const SHORT: &str = "\
overlock: SaaS data into Parquet: incremental, resumable, exact

  overlock demo                try it now: no credentials, no network
  overlock init                write a new project
  overlock check               check configuration, login and streams
  overlock run                 run pipelines; one line in crontab is enough
  overlock inspect TABLE       look into the Parquet
  overlock state list          see where each stream stands

All verbs: overlock --help        One verb: overlock VERB --help
";

/// Prints the short screen.
pub(crate) fn short_screen() -> u8 {
    print(&mut std::io::stdout(), SHORT);
    exit::OK
}

/// Prints what clap has to say: help and version to stdout, mistakes to stderr.
pub(crate) fn report(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print(&mut std::io::stdout(), &error.render().to_string());
            exit::OK
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            print(&mut std::io::stderr(), &error.render().to_string());
            exit::CONFIG
        }
        _ => {
            print(&mut std::io::stderr(), &mistake(error));
            exit::CONFIG
        }
    }
}

fn mistake(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(printable(text)),
        Some(ContextValue::Strings(texts)) => texts.first().map(|text| printable(text)),
        _ => None,
    };
    let (what, wrong, near) = match error.kind() {
        ErrorKind::InvalidSubcommand => (
            "command",
            text(ContextKind::InvalidSubcommand),
            text(ContextKind::SuggestedSubcommand),
        ),
        ErrorKind::UnknownArgument => (
            "flag",
            text(ContextKind::InvalidArg),
            text(ContextKind::SuggestedArg),
        ),
        _ => ("", None, None),
    };
    let Some(wrong) = wrong else {
        // clap's own words; control characters of the arguments are its business no more than ours.
        let rendered = error.render().to_string();
        let lines: Vec<String> = rendered.lines().map(printable).collect();
        return format!("{}\n", lines.join("\n"));
    };
    let what = if what == "flag" && !wrong.starts_with('-') {
        "argument"
    } else {
        what
    };
    let near = near.or_else(|| {
        let command = command();
        let names: Vec<&str> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let found = suggest::nearest(&wrong, names.iter().copied());
        found.filter(|_| what == "command").map(ToOwned::to_owned)
    });
    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!(
        "error: unrecognised {what} `{wrong}`{near}\n\nhint: `overlock --help` lists what there is\n"
    )
}

/// A reader that went away is no failure here.
fn print(to: &mut impl std::io::Write, text: &str) {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).ok();
}
