//! The command line: verbs, flags and their help texts. Nothing here touches disk or network, so
//! `--help` answers at once.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inspect;

/// Salesforce, Zendesk, Zuora and other SaaS data into Parquet and Snowflake: incremental, resumable, exact.
#[derive(Debug, Parser)]
#[command(
    name = "overlock",
    version,
    max_term_width = 80,
    disable_help_subcommand = true,
    infer_subcommands = false,
    propagate_version = true,
    after_help = "Data goes to stdout, everything else to stderr. Exit codes: 0 done, 2 usage or\n\
        configuration, 3 refused, 4 partial, 5 source, 6 destination or disk, 7 busy,\n\
        8 data refused, 9 quota or time, 130 and 143 stopped."
)]
pub(crate) struct Arguments {
    /// Flags of every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags of every verb; they may stand before or after it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags, as users type them"
)]
pub(crate) struct Global {
    /// Configuration file [default: nearest overlock.toml upwards]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Overlay [env.NAME] of the configuration
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// More environment variables: NAME=value lines
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Override one configuration key, e.g. source.crm.lookback=1h
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Form of the result
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub(crate) format: Format,
    /// Same as --format json
    #[arg(long, global = true, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Progress on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub(crate) progress: ProgressMode,
    /// Form of the log on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub(crate) log_format: LogFormat,
    /// Least important log records to show
    #[arg(long, global = true, value_enum)]
    pub(crate) log_level: Option<LogLevel>,
    /// More log records: -v info, -vv debug, -vvv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print nothing unless something fails
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub(crate) color: Color,
    /// Answer yes to every question
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Never ask: a needed question becomes an error
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Stop cleanly after this time, e.g. 50m
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// Folder of the local destination
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder of open packages, locks and run records
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Form of the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and text for people.
    #[default]
    Auto,
    /// Tables and text for people.
    Table,
    /// One JSON value.
    Json,
    /// One JSON object per row.
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// A Markdown table.
    Md,
}

/// Progress on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, otherwise nothing but trouble.
    #[default]
    Auto,
    /// Bars.
    Bar,
    /// Plain lines.
    Log,
    /// One JSON object per event.
    Json,
    /// Nothing.
    None,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object per record.
    Json,
}

/// Importance of log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Data or operator at stake.
    Error,
    /// Recovered, worth knowing.
    Warn,
    /// Milestones.
    Info,
    /// Every request.
    Debug,
    /// Every page.
    Trace,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR says no.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it: bundled Salesforce, Zendesk and Zuora emulators into Parquet, no credentials
    Demo(Demo),
    /// Write a new project: overlock.toml and a first pipeline
    Init(Init),
    /// Check configuration, secrets, login, streams and destination
    Check(Check),
    /// List the streams of a source
    Discover(Discover),
    /// Run pipelines; what cron calls
    Run(Run),
    /// Sync streams of one source now, without a pipeline file
    Sync(Sync),
    /// Show what a run would do, down to the SQL of a commit
    Plan(Plan),
    /// Look into local Parquet: rows, files, SQL, differences, statistics
    Inspect(inspect::Arguments),
    /// Show or reset where each stream continues
    #[command(subcommand)]
    State(State),
    /// List the connectors and their configuration keys
    Connectors(Connectors),
    /// Serve the Salesforce, Zendesk or Zuora emulator on this machine
    Sandbox(Sandbox),
    /// Show, validate or describe the configuration
    #[command(subcommand)]
    Config(Config),
    /// List schedules and next starts
    #[command(subcommand)]
    Schedule(Schedule),
    /// Print completions for a shell
    Completions(Completions),
}

/// `overlock demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Run it again in the same folder: a day has passed, and only what changed is read."
)]
pub(crate) struct Demo {
    /// Folder of the demo project
    #[arg(default_value = "overlock-demo")]
    pub(crate) dir: PathBuf,
    /// Rows in the emulated service, in percent of the usual
    #[arg(long, default_value_t = 100, value_name = "PERCENT",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) scale: u32,
}

/// `overlock init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Folder of the new project
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Connector of the first source
    #[arg(long, default_value = "salesforce", value_name = "CONNECTOR")]
    pub(crate) source: String,
}

/// `overlock check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Sources to check [default: all]
    pub(crate) sources: Vec<String>,
    /// Only what needs no network
    #[arg(long)]
    pub(crate) offline: bool,
}

/// `overlock plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Name of the pipeline [default: the only one]
    pub(crate) pipeline: Option<String>,
    /// Only these streams
    #[arg(short, long, value_name = "STREAM")]
    pub(crate) stream: Vec<String>,
    /// Print the SQL of a first commit; the warehouse is not asked
    #[arg(long)]
    pub(crate) ddl: bool,
}

/// `overlock discover`.
#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// Name of the source [default: the only one]
    pub(crate) source: Option<String>,
    /// Only these streams, with their columns
    #[arg(long, value_name = "STREAM")]
    pub(crate) stream: Vec<String>,
    /// Add what the source says about each stream's columns
    #[arg(long)]
    pub(crate) columns: bool,
}

/// `overlock run`.
#[derive(Debug, Args)]
#[command(after_help = "Crontab: * * * * * cd /srv/project && overlock run --due -q")]
pub(crate) struct Run {
    /// Pipelines to run [default: the only one]
    pub(crate) pipelines: Vec<String>,
    /// Every pipeline
    #[arg(long, conflicts_with_all = ["pipelines", "due"])]
    pub(crate) all: bool,
    /// Every pipeline whose schedule says that it is time
    #[arg(long, conflicts_with = "pipelines")]
    pub(crate) due: bool,
    /// Only streams that fit, e.g. 'Account' or 'crm.Opp*'
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) select: Vec<String>,
    /// No streams that fit
    #[arg(short = 'x', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// How to run.
    #[command(flatten)]
    pub(crate) how: How,
}

/// `overlock sync`.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Name of the source
    pub(crate) source: String,
    /// Streams to sync, or patterns over those of the pipeline that reads this
    /// source [default: all of those]
    #[arg(short, long, value_name = "STREAM")]
    pub(crate) stream: Vec<String>,
    /// Destination [default: the only one, or the folder `data`]
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// How to run.
    #[command(flatten)]
    pub(crate) how: How,
}

/// Flags of `run` and `sync`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Run options")]
pub(crate) struct How {
    /// Read everything again and replace the tables
    #[arg(long)]
    pub(crate) full_refresh: bool,
    /// Stop all streams when one fails
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Most HTTP requests per source
    #[arg(long, value_name = "N")]
    pub(crate) max_api_calls: Option<u64>,
    /// Streams read side by side
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: Option<u32>,
    /// Start of history for streams read for the first time
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) since: Option<overlock_core::Timestamp>,
}

/// `overlock state`.
#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// List the newest commit of every stream
    List {
        /// Only these pipelines
        pipelines: Vec<String>,
    },
    /// Show where one stream continues
    Show {
        /// PIPELINE.STREAM or SOURCE.STREAM
        key: String,
        /// Destination [default: the pipeline's own, or the only one]
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
    /// Forget where a stream continues: the next run reads from the beginning
    Reset {
        /// PIPELINE.STREAM or SOURCE.STREAM
        key: String,
        /// Destination [default: the pipeline's own, or the only one]
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
}

/// `overlock connectors`.
#[derive(Debug, Args)]
pub(crate) struct Connectors {
    /// Show the keys of this connector
    pub(crate) name: Option<String>,
}

/// `overlock sandbox`.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// Which service
    #[arg(value_enum, default_value_t = SandboxOf::Salesforce)]
    pub(crate) of: SandboxOf,
    /// Port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Seed of the emulated company
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Rows in the emulated org, in percent of the usual
    #[arg(long, default_value_t = 100, value_name = "PERCENT",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) scale: u32,
    /// Fail this share of requests, e.g. 0.25
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) faults: Option<f64>,
    /// Values that break careless readers
    #[arg(long)]
    pub(crate) nasty: bool,
    /// Instant the emulator's clock shows now [default: the real time]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) at: Option<overlock_core::Timestamp>,
    /// For measurements: add an object Bench__c of this many rows, or serve so many made-up tickets or invoice items without limits
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) bench_rows: Option<u64>,
}

/// Services that `overlock sandbox` plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SandboxOf {
    /// A Salesforce org
    Salesforce,
    /// A Zendesk account
    Zendesk,
    /// A Zuora tenant
    Zuora,
}

/// `overlock config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show the configuration as it is in force; secrets are masked
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Check the shape of all files; no network, no secrets
    Validate,
    /// Print the JSON Schema of a file
    Schema {
        /// Which file
        #[arg(value_enum, default_value_t = SchemaOf::Project)]
        of: SchemaOf,
    },
}

/// Files with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// overlock.toml
    Project,
    /// pipelines/NAME.toml
    Pipeline,
}

/// `overlock schedule`.
#[derive(Debug, Subcommand)]
pub(crate) enum Schedule {
    /// List the schedule of every pipeline
    List,
    /// List the next starts
    Next {
        /// Starts per pipeline
        #[arg(short = 'n', long, default_value_t = 3,
              value_parser = clap::value_parser!(u32).range(1..=1_000))]
        count: u32,
    },
}

/// `overlock completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    overlock_kit::duration::parse(text).map_err(|_| "write 90s, 15m, 2h or 7d".to_owned())
}

fn instant(text: &str) -> Result<overlock_core::Timestamp, String> {
    overlock_core::Timestamp::parse(text)
        .map_err(|_| "write a date or RFC 3339, such as 2026-01-31T09:30:00Z".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text
        .parse()
        .map_err(|_| "write a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("write a number from 0 to 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_verb() {
        for line in [
            ["overlock", "--json", "connectors"],
            ["overlock", "connectors", "--json"],
        ] {
            assert!(Arguments::try_parse_from(line).unwrap().global.json);
        }
    }

    #[test]
    fn no_line_of_any_help_is_wider_than_80_columns() {
        fn check(command: &mut clap::Command) {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    let width = line.chars().count();
                    assert!(width <= 80, "{}: {line}", command.get_name());
                }
            }
            for inner in command.get_subcommands_mut() {
                check(inner);
            }
        }
        let mut command = Arguments::command();
        command.build();
        check(&mut command);
    }
}
