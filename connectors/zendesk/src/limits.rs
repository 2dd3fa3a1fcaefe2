//! Outside limits and quirks of Zendesk, each with where it comes from. Nothing here is a preference:
//! preferences are settings, in `config.rs`.

use std::time::Duration;

/// All limits are counted by the minute (developer.zendesk.com, "Rate limits").
pub const WINDOW: Duration = Duration::from_secs(60);

/// Calls per minute of the smallest plan that is sold (Team); answers say what the account really has.
pub const PLAN_CALLS: u32 = 200;

/// Calls per minute of all incremental exports but the cursor export of users; 30 with the High Volume add-on.
pub const EXPORT_CALLS: u32 = 10;

/// Calls per minute of the cursor export of users; 60 with the High Volume add-on.
pub const USER_EXPORT_CALLS: u32 = 20;

/// Rows per page of an export, most and default ("Incremental Exports").
pub const EXPORT_ROWS: u32 = 1_000;

/// Rows per page of lists; most endpoints refuse more ("Pagination").
pub const LIST_ROWS: u32 = 100;

/// Rows per page of `ticket_metric_events` by cursor, which takes more than other lists.
pub const METRIC_EVENT_ROWS: u32 = 1_000;

/// Exports hold back what is younger, and refuse a `start_time` that is ("StartTimeTooRecent").
pub const HELD_BACK: Duration = Duration::from_secs(61);

/// Pages of lists that bring nothing and are not the last one, before we no longer believe the server.
pub const MAX_EMPTY_PAGES: u32 = 100;

/// Empty pages of an export in a row; each costs one of ten calls a minute.
pub const MAX_EMPTY_EXPORT_PAGES: u32 = 10;

/// So many odd tickets on a page may be chance; if all of more are odd, it is not.
pub const FEW: u64 = 5;

/// Pages of one list; 10,000,000 rows.
pub const MAX_LIST_PAGES: u32 = 100_000;

/// Pages of one child list of one ticket: "up to 5,000 comments per ticket", 100 a page, doubled.
pub const MAX_CHILD_PAGES: u32 = 100;

/// Days of ratings or audit logs per query: short ranges are answered fast, long ones time out.
pub const WINDOW_DAYS: u64 = 30;

/// How long after its end an empty range of time is believed to stay empty.
pub const LATE_ROWS: Duration = Duration::from_secs(86_400);

/// Lists are not held back as exports are: rows of the last minutes may appear out of order.
pub const SETTLE: Duration = Duration::from_secs(120);

/// How long ago a ticket may have moved out of the sight of passes over tickets, one after the other.
pub const LONGEST_CHASE: Duration = Duration::from_secs(7 * 86_400);

/// Seconds that two of Zendesk's own clocks may differ.
pub const CLOCKS: i64 = 300;

/// A subdomain has 3 to 63 characters ("Creating an account").
pub const SUBDOMAIN_CHARS: std::ops::RangeInclusive<usize> = 3..=63;

/// API tokens stop working for everybody on this day (announcement of the removal of API tokens).
pub const API_TOKENS_END: &str = "2027-04-30";
/// From this day on nobody can create API tokens.
pub const API_TOKENS_NO_NEW: &str = "2026-10-27";
/// Tokens that are not used for so many days are switched off.
pub const API_TOKEN_IDLE_DAYS: u32 = 30;

/// An access token is asked for anew when less than this is left of it.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(120);

/// How often a login is tried whose answer is damaged.
pub const LOGIN_TRIES: u32 = 3;

/// Life of a refreshed access token that is asked for, in seconds; "less than 172800".
pub const TOKEN_SECONDS: u32 = 86_400;
/// Life of a rotated refresh token that is asked for, in seconds: 89 days; "less than 7776000".
pub const REFRESH_SECONDS: u32 = 89 * 86_400;

/// In `auto`, tickets changed since the last run whose comments are read ticket by ticket: one page of the export.
pub const AUTO_PER_TICKET: u64 = 1_000;
