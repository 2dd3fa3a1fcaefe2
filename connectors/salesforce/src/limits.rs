//! Outside limits and quirks of Salesforce, each with where it comes from. Nothing here is a preference:
//! preferences are settings, in `config.rs`.

use std::time::Duration;

/// Version asked for unless the settings say otherwise: Winter '25, the first where parallel result
/// pages are generally available.
pub const DEFAULT_API_VERSION: &str = "62.0";

/// "The composite resource: up to 25 subrequests in a single call", and the whole call counts as one
/// (REST API Developer Guide, Composite).
pub const COMPOSITE_PARTS: usize = 25;

/// A describe of a wide object is about 1 MB of JSON, and 25 of them travel in one composite answer.
pub const MAX_DESCRIBE_BYTES: u64 = 64 * 1024 * 1024;

/// Most rows of one REST page: `Sforce-Query-Options: batchSize` takes 200 to 2,000 (REST API Developer
/// Guide, Query Options Header). A hint only: wide rows make the server choose less.
pub const REST_PAGE_ROWS: u32 = 2_000;

/// URI and headers of a GET may have 16,384 bytes together, else 414 or 431 with an HTML body. The rest
/// of the budget is for headers, of which the access token is the longest.
pub const MAX_QUERY_BYTES: usize = 12_000;

/// Longest SOQL statement in characters (SOQL and SOSL Reference, limits). Reached only by Bulk, where
/// the query travels in the body.
pub const MAX_SOQL_CHARS: usize = 100_000;

/// Rows per result page that are asked for. Salesforce keeps a page small enough by itself; very long
/// single downloads are cut, so more is not better.
pub const DEFAULT_MAX_RECORDS: u32 = 100_000;

/// Below this many rows REST is cheaper: a Bulk job costs at least five calls (create, poll, page list,
/// page, delete), a REST query one per 2,000 rows.
pub const DEFAULT_REST_BELOW_ROWS: u64 = 6_000;

/// Query jobs of one org that overlock keeps in flight. Salesforce runs more, but other users of the org
/// wait behind them.
pub const DEFAULT_CONCURRENT_JOBS: usize = 4;

/// Result pages of one job that are open at the same time.
pub const DEFAULT_PARALLEL_PAGES: usize = 2;

/// More would gain nothing: each open page holds its buffers.
pub const MAX_PARALLEL_PAGES: usize = 8;

/// Share of the org's rolling 24-hour allowance at which overlock stops and leaves the rest to others.
pub const DEFAULT_STOP_AT_PERCENT: u8 = 80;

/// Transactions last up to ten minutes, and a row's stamp is taken inside its transaction, so a row may
/// appear ten minutes after its stamp. The default look-back stays above that.
pub const DEFAULT_LOOKBACK: Duration = Duration::from_secs(15 * 60);

/// How far behind the server's clock the newest window ends.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(60);

/// First pause between two looks at a job. Each look is one call.
pub const POLL_FIRST: Duration = Duration::from_millis(500);

/// The longest pause in first pauses: 30 s. The pause grows by half each time, so a job of 30 minutes
/// costs about 75 calls, not 900.
pub const POLL_GROWTH: u32 = 60;

/// Finished jobs that wait for their deletion; more are left to Salesforce.
pub const MAX_JOBS_DONE: usize = 1_000;

/// Finished jobs that one read deletes.
pub const MAX_JOBS_DELETED: usize = 50;

/// A job that is not done after this is aborted at the source.
pub const JOB_DEADLINE: Duration = Duration::from_secs(6 * 3_600);

/// Windows are halved down to this length; stamps have a granularity of one second, and a minute of one
/// object that still times out is split by Id instead.
pub const SMALLEST_WINDOW: Duration = Duration::from_secs(60);

/// How often a range of Ids is halved before the stream gives up: 2^8 parts of one minute.
pub const MAX_ID_SPLITS: u32 = 8;

/// Fresh attempts for one result page whose rows broke off or did not add up.
pub const PAGE_ATTEMPTS: u32 = 4;

/// Result pages without a row, one after the other, before the chain counts as endless.
pub const MAX_EMPTY_PAGES: u32 = 10;

/// A stored describe is only revalidated with `If-Modified-Since` for this long; then it is fetched anew,
/// because it is not documented that a change of field-level security counts as a modification.
pub const DESCRIBE_TRUST: Duration = Duration::from_secs(24 * 3_600);

/// How long an error's verdict about an object is believed.
pub const VERDICT_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Where a range without a lower bound is cut first. Salesforce opened in 1999; rows with older stamps
/// are imports, and stay in the open part.
pub const OLDEST_SPLIT_SECONDS: i64 = 946_684_800; // 2000-01-01T00:00:00Z

/// A state newer than the server's clock by more than this would skip rows.
pub const FUTURE_STATE: Duration = Duration::from_secs(5 * 60);

/// Clocks that differ by more than this are worth a warning.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Taken off the local clock where the server's is not to be had.
pub const BLIND_CLOCK_MARGIN: Duration = Duration::from_secs(5 * 60);

/// A `Date` header that is further ahead of the local clock than this is not believed.
pub const ABSURD_SKEW: Duration = Duration::from_secs(24 * 3_600);

/// No Salesforce server sends a `Date` before this.
pub const OLDEST_DATE_SECONDS: i64 = OLDEST_SPLIT_SECONDS;

/// A server time read longer ago than this is asked for again before a window is closed.
pub const SERVER_TIME_AGE: Duration = Duration::from_secs(60);

/// "exp: must be within 3 minutes" (OAuth 2.0 JWT Bearer Flow). Less leaves room for clocks.
pub const ASSERTION_LIFE_SECONDS: i64 = 170;

/// Domains that an `instance_url` may end with.
pub const INSTANCE_SUFFIXES: &[&str] = &[
    ".salesforce.com",
    ".force.com",
    ".salesforce.mil",
    ".cloudforce.com",
];

/// The Id that rows of metadata-like objects share.
pub const CONSTANT_ID: &str = "000000000000000AAA";
