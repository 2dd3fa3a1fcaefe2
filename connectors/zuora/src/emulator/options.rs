//! What a test or the demo may set: credentials of the tenant, its limits, and how it misbehaves.
//!
//! All of it is data that reads from JSON, so that a fault plan on disk can hold it. Faults of the wire (resets,
//! cut bodies, any status by path or count) are not here: they belong to the sandbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data_habits::DataHabits;
use super::object_query::ObjectHabits;

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// Id of the OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// User of the legacy key headers.
    pub user: String,
    /// Password of the legacy key headers.
    pub password: String,
}

impl Default for Credentials {
    /// Canary values: whatever leaks one of them is found by a search for `canary`.
    fn default() -> Self {
        Self {
            client_id: "overlock-canary-zuora-client".to_owned(),
            client_secret: "canary-zuora-secret-7d21e".to_owned(),
            user: "loader.canary@acme.example".to_owned(),
            password: "canary-zuora-password-58ab".to_owned(),
        }
    }
}

/// How a query of a job ends when it does not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Status `aborted`, 90007.
    Aborted,
    /// Status `aborted`, 90027: it took too long.
    TooLong,
    /// Status `aborted`, 90029: it was processing for too long.
    Stuck,
    /// Status `error`, 90010.
    Error,
    /// Status `cancelled`.
    Cancelled,
    /// Status `deleted_notallowed`, 90017.
    DeletedNotallowed,
}

/// A planned outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchOutcome {
    /// Queries from this object end so.
    pub object: String,
    /// How.
    pub outcome: Outcome,
    /// In so many jobs; counted down.
    pub jobs: u64,
}

/// Downloads that end early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutFiles {
    /// So many downloads; counted down.
    pub files: u64,
    /// They end after so many bytes.
    pub bytes: u64,
    /// They end behind the last whole line of these bytes, so that nothing looks torn.
    #[serde(default)]
    pub at_line_end: bool,
}

/// Calls that a tenant may make per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Per minute.
    pub minute: u64,
    /// Per hour.
    pub hour: u64,
    /// Per day.
    pub day: u64,
}

impl Default for RateLimits {
    /// Those of a production tenant.
    fn default() -> Self {
        Self {
            minute: 50_000,
            hour: 2_250_000,
            day: 27_000_000,
        }
    }
}

/// Limits and habits of the tenant. A test changes them at any time through the emulator.
///
/// The defaults are those of the real service, nothing broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches that a test turns one by one"
)]
pub struct Behaviour {
    /// Life of access tokens in virtual seconds; 0: they never end.
    pub token_secs: u64,
    /// Whether calls above `rate_limits` are refused. They are counted and told in headers anyway.
    pub limits: bool,
    /// Calls per window.
    pub rate_limits: RateLimits,
    /// What `Concurrency-Limit-Limit` says.
    pub concurrency_limit: u64,
    /// What `Concurrency-Limit-Remaining` says; one below the limit if missing.
    pub concurrency_remaining: Option<u64>,
    /// Every n-th call is answered 429; 0: none.
    pub busy_every: u64,
    /// `Retry-After` of these answers, in seconds.
    pub busy_retry_after_secs: u64,
    /// The next so many calls of a kind (`token`, `describe`, `submit`, `poll`, `cancel`, `file`, `export`,
    /// `action`) answer HTTP 200 with `{"success":false,"reasons":[…]}`; counted down.
    pub error_200: BTreeMap<String, u64>,
    /// The next so many calls of a kind answer HTTP 200 with a page of HTML; counted down.
    pub html_200: BTreeMap<String, u64>,
    /// Organisations of the tenant, for `Zuora-Org-Ids`.
    pub org_ids: Vec<String>,

    /// Objects whose Describe answers 500.
    pub describe_500: Vec<String>,
    /// Objects whose Describe answers 404, though the list names them.
    pub describe_404: Vec<String>,
    /// Describe has `<related-objects>` also without `showRelationships=true`.
    pub related_always: bool,
    /// Describe has stray `<field>` elements below `<related-objects>`.
    pub stray_fields: bool,
    /// Objects whose fields have no `<contexts>`.
    pub without_contexts: Vec<String>,

    /// A job takes so many virtual seconds.
    pub job_latency_secs: u64,
    /// A job is done when it was asked about so many times.
    pub job_polls: u64,
    /// Jobs of a tenant that may run at the same time.
    pub concurrent_jobs: u64,
    /// A job above that is refused by HTTP 429 instead of error 90028.
    pub concurrent_as_429: bool,
    /// Queries that do not complete.
    pub batch_outcomes: Vec<BatchOutcome>,
    /// A query with more result rows ends `aborted` with 90027.
    pub abort_above_rows: Option<u64>,
    /// Objects whose queries are left out of jobs without a word (90018).
    pub vanish_queries: Vec<String>,
    /// Stateless jobs may ask for deleted rows by `forceExport`; otherwise that is error 90012.
    pub force_export: bool,
    /// Partner ids that are known; others are error 90019.
    pub partner_ids: Vec<String>,
    /// Fields, as `Object.Field`, that queries are refused for (90005) though Describe lists them.
    pub unknown_fields: Vec<String>,
    /// Refusals are the documented sentence alone, without `(Error = …, Query = …)`.
    pub plain_message: bool,
    /// Refused submissions have an id.
    pub id_in_rejections: bool,
    /// `incrementalTime` and `startTime` are UTC, as in European data centres, not Pacific time.
    pub european: bool,

    /// Result files hold at most so many rows, and a batch has `segments`.
    pub segments_of_rows: Option<u64>,
    /// A larger file is answered 403.
    pub max_file_bytes: u64,
    /// Days of the virtual clock that result files are kept.
    pub file_days: u64,
    /// Downloads are answered 403: the user lacks the permission.
    pub forbid_files: bool,
    /// Result files are gone: 404.
    pub purge_files: bool,
    /// Downloads that end early without an error.
    pub cut_files: Option<CutFiles>,
    /// Headers are spelled as the service spells them (`Account.Mrr`), otherwise as Describe does.
    pub canonical_headers: bool,
    /// Columns come in another order than they were selected in.
    pub shuffled_columns: bool,
    /// Datetimes at midnight in Los Angeles are written as bare dates.
    pub bare_midnight: bool,
    /// Files begin with a byte order mark.
    pub bom: bool,
    /// Texts hold NUL bytes.
    pub nul_bytes: bool,
    /// `recordCount` differs by so much from the rows.
    pub wrong_count: i64,
    /// A result holds so many rows twice, and counts them twice.
    pub duplicate_rows: u64,
    /// A result holds so many rows that its condition does not let through.
    pub out_of_window_rows: u64,
    /// The last row of a file lacks its last cell.
    pub ragged: bool,
    /// Nulls are empty cells, whatever `nullReplacement` says.
    pub null_replacement_ignored: bool,
    /// Fields, as `Object.Field`, that the legacy export refuses though Describe lists them.
    pub export_lacks: Vec<String>,

    /// Data Query.
    pub data_query: DataHabits,
    /// Object Query.
    pub object_query: ObjectHabits,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            token_secs: 3_600,
            limits: true,
            rate_limits: RateLimits::default(),
            concurrency_limit: 40,
            concurrency_remaining: None,
            busy_every: 0,
            busy_retry_after_secs: 1,
            error_200: BTreeMap::new(),
            html_200: BTreeMap::new(),
            org_ids: Vec::new(),
            describe_500: Vec::new(),
            describe_404: Vec::new(),
            related_always: true,
            stray_fields: false,
            without_contexts: Vec::new(),
            job_latency_secs: 0,
            job_polls: 1,
            concurrent_jobs: 50,
            concurrent_as_429: false,
            batch_outcomes: Vec::new(),
            abort_above_rows: None,
            vanish_queries: Vec::new(),
            force_export: true,
            partner_ids: vec!["salesforce".to_owned()],
            unknown_fields: Vec::new(),
            plain_message: false,
            id_in_rejections: true,
            european: false,
            segments_of_rows: None,
            max_file_bytes: 2_047 * 1024 * 1024,
            file_days: 3,
            forbid_files: false,
            purge_files: false,
            cut_files: None,
            canonical_headers: true,
            shuffled_columns: true,
            bare_midnight: true,
            bom: false,
            nul_bytes: false,
            wrong_count: 0,
            duplicate_rows: 0,
            out_of_window_rows: 0,
            ragged: false,
            null_replacement_ignored: false,
            export_lacks: Vec::new(),
            data_query: DataHabits::default(),
            object_query: ObjectHabits::default(),
        }
    }
}

/// Whether a list names something, whatever the case.
pub(super) fn names(list: &[String], name: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Takes one from a countdown; whether there was one left.
pub(super) fn take(counts: &mut BTreeMap<String, u64>, kind: &str) -> bool {
    match counts.get_mut(kind) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}
