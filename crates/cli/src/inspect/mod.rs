//! `overlock inspect`: looking into local Parquet without a warehouse.
//!
//! It shows what is committed and nothing else. A target is a table (`sfdc.Account` or its folder), a folder
//! of tables, or any single Parquet file, which may be damaged or hostile: the answer is then an error.
//! Everything here reads; only `export -o` writes, and only the file it was told.

mod diff;
mod export;
mod grid;
#[cfg(test)]
mod samples;
mod stats;
mod target;
#[cfg(test)]
mod tests;
mod value;
mod verbs;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use overlock_core::ErrorKind;

use self::export::ExportForm;
use crate::app::App;
use crate::failure::{Failure, Outcome};

/// `overlock inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    overlock inspect sfdc.Account\n  \
    overlock inspect sfdc.Account stats\n  \
    overlock inspect sfdc sql 'SELECT COUNT(*) FROM Account'\n  \
    overlock inspect sfdc.Account diff --from head~1\n  \
    overlock inspect sfdc.Account export -o accounts.csv")]
pub(crate) struct Arguments {
    /// SOURCE.STREAM, a folder of tables, or a .parquet file
    pub(crate) target: String,
    /// What to show [default: an overview]
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the columns
    Schema,
    /// Show the first rows
    Head(Few),
    /// Show the last rows
    Tail(Few),
    /// Count the rows
    Count(Which),
    /// List the Parquet files
    Files,
    /// List the commits
    Commits,
    /// Nulls, distinct values, range and a histogram of each column
    Stats(Columns),
    /// Ask in SQL; tables have their streams' names, a single file is `file`
    Sql(Sql),
    /// What changed between two commits
    Diff(Diff),
    /// Write rows as CSV, JSON lines or Parquet
    Export(Export),
}

/// Which rows of a table.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Which {
    /// Which rows
    #[arg(long, value_enum, default_value_t)]
    pub(crate) view: ViewName,
    /// The table as it was after this commit: an id, head, or head~1
    #[arg(long, value_name = "COMMIT", conflicts_with = "view")]
    pub(crate) as_of: Option<String>,
}

/// Name of a view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ViewName {
    /// The newest version of each row.
    #[default]
    Current,
    /// Every row of every commit.
    All,
}

/// Which rows and columns.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Columns {
    /// Which rows.
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only these columns, in this order
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) columns: Vec<String>,
}

/// Some rows.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Few {
    /// Which of them.
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// How many
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub(crate) rows: usize,
}

/// `inspect TARGET sql`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sql {
    /// One SELECT
    pub(crate) query: String,
    /// Which rows
    #[arg(long, value_enum, default_value_t)]
    pub(crate) view: ViewName,
}

/// `inspect TARGET diff`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Diff {
    /// The older commit
    #[arg(long, default_value = "head~1", value_name = "COMMIT")]
    pub(crate) from: String,
    /// The newer commit
    #[arg(long, default_value = "head", value_name = "COMMIT")]
    pub(crate) to: String,
    /// Columns that identify a row [default: the primary key]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) key: Vec<String>,
    /// Differing rows to show
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub(crate) rows: usize,
}

/// `inspect TARGET export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Export {
    /// Which rows and columns.
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Form [default: by the file's ending, else CSV]
    #[arg(long = "as", value_enum, value_name = "FORM")]
    pub(crate) form: Option<ExportForm>,
    /// File to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Runs it.
pub(crate) fn run(app: &App, arguments: &Arguments) -> Outcome<u8> {
    show(app, arguments).map_err(|failure| match failure {
        // Nothing here asks a source: what does not add up lies on this disk.
        Failure::Error(error) if error.kind() == ErrorKind::Data => {
            let error = error.with_kind(ErrorKind::Destination);
            Failure::Error(if error.hint_text().is_some() {
                error
            } else {
                error.hint("the file is damaged, or it is no Parquet file")
            })
        }
        other => other,
    })
}

fn show(app: &App, arguments: &Arguments) -> Outcome<u8> {
    let target = target::find(app, &arguments.target)?;
    let output = &app.output;
    match &arguments.verb {
        None => verbs::overview(output, &target)?,
        Some(Verb::Schema) => output.listing(&verbs::schema(&target)?),
        Some(Verb::Head(few)) => verbs::head(output, &target, few)?,
        Some(Verb::Tail(few)) => verbs::tail(output, &target, few)?,
        Some(Verb::Count(which)) => verbs::count(output, &target, which)?,
        Some(Verb::Files) => output.listing(&verbs::files(&target)?),
        Some(Verb::Commits) => {
            output.listing(&verbs::commits(verbs::table(&target)?, output.format()));
        }
        Some(Verb::Stats(columns)) => verbs::show_stats(output, &target, columns)?,
        Some(Verb::Sql(sql)) => verbs::query(app, &target, sql)?,
        Some(Verb::Diff(wanted)) => verbs::show_diff(output, &target, wanted)?,
        Some(Verb::Export(wanted)) => verbs::write(output, &target, wanted)?,
    }
    App::ok()
}
