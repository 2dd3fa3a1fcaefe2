//! Limits and bad habits of Data Query, as data that reads from JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cell;

/// Limits and bad habits of Data Query. A test changes them at any time; jobs that are submitted keep theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataHabits {
    /// The tenant's time zone, by name; one that does not exist counts as Zuora's own.
    pub time_zone: String,
    /// Most rows that a live query may give. One over the warehouse may give a hundred times as many.
    pub output_rows: u64,
    /// Most rows that a table may give to a live query after its condition.
    pub input_rows: u64,
    /// Jobs that run at a time.
    pub running: usize,
    /// Jobs that wait behind them; with as many waiting, a submission is refused.
    pub queued: usize,
    /// Polls that find a job unfinished.
    pub polls: u64,
    /// So many jobs fail with an error that passes.
    pub fail_first: u64,
    /// Tables whose queries fail for good, and what the job says.
    pub fail_tables: BTreeMap<String, String>,
    /// So many downloads come with half of the file's bytes, and a length that says that this is all.
    pub cut_files: u64,
    /// So many jobs say one row more than they have.
    pub wrong_output_rows: u64,
    /// Scheme, host and port of the signed links; unset: those of the API.
    pub file_base: Option<String>,
    /// A signed link is good for so many seconds; each poll signs a new one.
    pub file_secs: u32,
    /// A literal of an instant with six digits behind the second defeats the index: the query reads more rows than
    /// it may.
    pub microsecond_literals_fail: bool,
    /// A query of too many rows does not fail: it gives exactly as many as it may, and says so.
    pub truncate_silently: bool,
}

impl Default for DataHabits {
    fn default() -> Self {
        Self {
            time_zone: cell::DEFAULT_ZONE.to_owned(),
            output_rows: 500_000,
            input_rows: 10_000_000,
            running: 5,
            queued: 10,
            polls: 1,
            fail_first: 0,
            fail_tables: BTreeMap::new(),
            cut_files: 0,
            wrong_output_rows: 0,
            file_base: None,
            file_secs: 3_600,
            microsecond_literals_fail: false,
            truncate_silently: false,
        }
    }
}
