//! What a test or the demo may set: credentials of the org, its limits, and how it misbehaves.
//!
//! All of it is data that reads from JSON, so that a fault plan on disk can hold it. Faults of the wire
//! are not here: they belong to the sandbox.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The key pair that the emulator trusts for JWT bearer logins: private half, PKCS #8. Test only.
pub const TEST_PRIVATE_KEY: &str = include_str!("keys/test-only-private.pem");
/// The key pair that the emulator trusts for JWT bearer logins: public half. Test only.
pub const TEST_PUBLIC_KEY: &str = include_str!("keys/test-only-public.pem");
/// A private key that the emulator does not trust. Test only.
pub const TEST_OTHER_PRIVATE_KEY: &str = include_str!("keys/test-only-other-private.pem");

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// Consumer key of the connected app.
    pub client_id: String,
    /// Consumer secret.
    pub client_secret: String,
    /// User of JWT, password and SOAP logins.
    pub username: String,
    /// Password without the security token.
    pub password: String,
    /// Security token that follows the password.
    pub security_token: String,
    /// Refresh token that is good at the start.
    pub refresh_token: String,
    /// Public key in PEM that JWT assertions are verified with.
    pub public_key: String,
    /// Audiences that are accepted besides the two login hosts and the emulator itself.
    pub audiences: Vec<String>,
    /// Each refresh answers a new refresh token and kills the old one.
    pub rotate_refresh_tokens: bool,
    /// The client secret may be left out of a refresh.
    pub secret_optional: bool,
}

impl Default for Credentials {
    /// Canary values: whatever leaks one of them is found by a search for `canary`.
    fn default() -> Self {
        Self {
            client_id: "3MVG9canary.client.id".to_owned(),
            client_secret: "canary-client-secret-8f21".to_owned(),
            username: "loader@acme.example".to_owned(),
            password: "canary-password-77".to_owned(),
            security_token: "canarySecurityToken".to_owned(),
            refresh_token: "5Aep861canary.refresh.token".to_owned(),
            public_key: TEST_PUBLIC_KEY.to_owned(),
            audiences: Vec::new(),
            rotate_refresh_tokens: false,
            secret_optional: false,
        }
    }
}

/// The clock that the latency of bulk jobs is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyClock {
    /// The world's clock, which a test turns.
    Virtual,
    /// The machine's clock.
    Wall,
}

/// What happens to a bulk job instead of its completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It fails with this message.
    Failed(String),
    /// Somebody aborts it.
    Aborted,
    /// It stays in progress for ever.
    Never,
    /// It is gone: every call about it answers 404.
    Gone,
    /// It completes, and its results are gone after so many downloaded pages.
    GoneAfterPages(u64),
}

/// Which bulk jobs come to a bad end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFault {
    /// Only jobs over this object.
    #[serde(default)]
    pub object: Option<String>,
    /// The first job that is hit among those over the object, from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many jobs are hit from then on.
    #[serde(default = "one")]
    pub times: u64,
    /// What happens.
    pub outcome: Outcome,
}

fn one() -> u64 {
    1
}

/// Limits and habits of the org. A test changes them at any time through the emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches that a test turns one by one"
)]
pub struct Behaviour {
    /// API calls per rolling 24 hours (`DailyApiRequests`).
    pub daily_api_requests: u64,
    /// Calls that other programs have made in these 24 hours.
    pub used_by_others: u64,
    /// Adds `per-app-api-usage` to `Sforce-Limit-Info`.
    pub per_app_usage: bool,
    /// A session dies after so many seconds without a call.
    pub session_secs: u64,
    /// An expired session answers as the edge does for tokens in JWT format.
    pub expired_as_jwt: bool,
    /// `/limits` is refused, as without the permission to view the setup.
    pub limits_forbidden: bool,
    /// Newest API version.
    pub newest_version: u32,
    /// Rows per REST page if the client does not say.
    pub query_page_rows: u64,
    /// Whether `Sforce-Query-Options` may ask for fewer than 200 rows, for tests of paging.
    pub tiny_batches: bool,
    /// A query that matches more rows is refused with `QUERY_TIMEOUT`.
    pub timeout_rows: Option<u64>,
    /// A query whose window is wider than so many days is refused with `QUERY_TIMEOUT`.
    pub timeout_days: Option<u64>,
    /// REST cursors live so many seconds.
    pub cursor_secs: u64,
    /// Rows per page of bulk results.
    pub bulk_page_rows: u64,
    /// Bytes per page of bulk results, as far as whole rows allow.
    pub bulk_page_bytes: u64,
    /// `resultPages` exists.
    pub result_pages: bool,
    /// Status of results that are asked for too early: 412 or 204.
    pub not_ready_status: u16,
    /// A job is complete only after so many polls.
    pub job_polls: u64,
    /// A job is complete only after so many milliseconds.
    pub job_latency_ms: u64,
    /// Which clock they are measured by.
    pub latency_clock: LatencyClock,
    /// Rows per chunk of a bulk job; chunks come in no particular order.
    pub chunk_rows: u64,
    /// Jobs per rolling 24 hours.
    pub daily_bulk_jobs: u64,
    /// Result bytes per rolling 24 hours.
    pub daily_bulk_bytes: u64,
    /// The org has no asynchronous API.
    pub bulk_disabled: bool,
    /// Objects that the Bulk API refuses besides those the world names.
    pub bulk_refused: Vec<String>,
    /// Objects that cannot be queried without a filter by id.
    pub filter_required: Vec<String>,
    /// Objects that cannot be queried at all.
    pub not_queryable: Vec<String>,
    /// Whole numbers may come as `3.0` in CSV.
    pub double_integers: bool,
    /// Every page of bulk results but the first has its columns in another order.
    pub rotate_columns: bool,
    /// Bad ends of jobs.
    pub job_faults: Vec<JobFault>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            daily_api_requests: 15_000,
            used_by_others: 17,
            per_app_usage: false,
            session_secs: 2 * 3_600,
            expired_as_jwt: false,
            limits_forbidden: false,
            newest_version: 66,
            query_page_rows: 2_000,
            tiny_batches: false,
            timeout_rows: None,
            timeout_days: None,
            cursor_secs: 2 * 86_400,
            bulk_page_rows: 100_000,
            bulk_page_bytes: 100 * 1024 * 1024,
            result_pages: true,
            not_ready_status: 412,
            job_polls: 0,
            job_latency_ms: 0,
            latency_clock: LatencyClock::Virtual,
            chunk_rows: 250,
            daily_bulk_jobs: 10_000,
            daily_bulk_bytes: 1_000_000_000_000,
            bulk_disabled: false,
            bulk_refused: Vec::new(),
            filter_required: Vec::new(),
            not_queryable: Vec::new(),
            double_integers: false,
            rotate_columns: false,
            job_faults: Vec::new(),
        }
    }
}

impl Behaviour {
    pub(super) fn session_time(&self) -> Duration {
        Duration::from_secs(self.session_secs)
    }
}
