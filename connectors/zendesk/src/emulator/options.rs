//! What a test or the demo may set: credentials of the account, its limits, and how it misbehaves.
//!
//! All of it is data that reads from JSON, so that a fault plan on disk can hold it. Faults of the wire
//! (resets, cut bodies, any status by path or count) are not here: they belong to the sandbox.

use serde::{Deserialize, Serialize};

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// Unique identifier of the OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// An access token that never expires.
    pub access_token: String,
    /// Refresh token that is good at the start.
    pub refresh_token: String,
    /// User of the API token.
    pub email: String,
    /// API token.
    pub api_token: String,
    /// Scopes the client may ask for; others are `invalid_scope`.
    pub scopes: Vec<String>,
    /// What the access token and the API token may do.
    pub granted: Vec<String>,
    /// A public client refreshes without its secret, and gets no token by `client_credentials`.
    pub public_client: bool,
}

impl Default for Credentials {
    /// Canary values: whatever leaks one of them is found by a search for `canary`.
    fn default() -> Self {
        Self {
            client_id: "overlock_canary_client".to_owned(),
            client_secret: "canary-zendesk-secret-41c7".to_owned(),
            access_token: "canary-zendesk-access-9b02".to_owned(),
            refresh_token: "canary-zendesk-refresh-first".to_owned(),
            email: "loader@acme.example".to_owned(),
            api_token: "canaryZendeskApiToken6fd1".to_owned(),
            scopes: vec!["read".to_owned(), "write".to_owned()],
            granted: vec!["read".to_owned()],
            public_client: false,
        }
    }
}

/// How an answer 429 says when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// In seconds.
    Seconds,
    /// As a date, of the virtual clock.
    Date,
    /// Not at all: only the other headers tell.
    Missing,
}

/// Limits and habits of the account. A test changes them at any time through the emulator.
///
/// The defaults are those of the real service on an Enterprise plan, nothing broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches that a test turns one by one"
)]
pub struct Behaviour {
    /// Whether requests are counted against limits at all.
    pub limits: bool,
    /// Requests per minute of the plan; the help center has as many of its own.
    pub plan_per_minute: u64,
    /// The High Volume add-on: 2500 for the plan, 30 exports, 60 pages of users per minute.
    pub high_volume: bool,
    /// Requests of other programs in every minute of the plan.
    pub used_by_others: u64,
    /// How 429 says when to come back.
    pub retry_after: RetryAfter,
    /// 429 comes as plain text instead of JSON.
    pub plain_429: bool,
    /// Header names of older servers: `rate-limit-*`, `zendesk-rate-limit-*`.
    pub old_headers: bool,
    /// The tokens belong to an agent: exports answer 403.
    pub is_agent: bool,
    /// Streams that the plan lacks: 403.
    pub plan_lacks: Vec<String>,
    /// Streams of products that are not enabled: 404 `InvalidEndpoint`.
    pub not_enabled: Vec<String>,
    /// Life of access tokens that the token endpoint gives, in virtual seconds. A client may ask for
    /// another one, unless this is 300 or less.
    pub access_token_secs: u64,
    /// Such a token is dead after so many requests.
    pub access_token_requests: Option<u64>,
    /// Life of refresh tokens, in virtual seconds.
    pub refresh_token_secs: u64,
    /// `scope` of token answers, whatever was granted.
    pub echoed_scope: Option<String>,
    /// Pages of exports and lists with more rows than this answer 504 `upstream request timeout`.
    pub timeout_above: Option<u64>,
    /// Rows per page of time exports.
    pub time_page_rows: u64,
    /// Rows per page of lists at most.
    pub list_page_rows: u64,
    /// Time exports cut a page inside a second: `end_time` may equal `start_time`.
    pub old_time_export: bool,
    /// Time exports of these streams say nothing about the end.
    pub without_end_of_stream: Vec<String>,
    /// So many further export pages are empty with `end_of_stream: false` and the same cursor moved on.
    pub empty_pages: u64,
    /// Addresses of further pages, used in turn instead of the right ones; `{rest}` stands for path and
    /// query of the right one, such as `https://evil.example{rest}`.
    pub foreign_urls: Vec<String>,
    /// So many further pages give the cursor again that they were asked with.
    pub stuck_pages: u64,
    /// Export cursors are good for so many virtual seconds.
    pub cursor_secs: Option<u64>,
    /// The answer to an older one: 400, 404 or 422.
    pub stale_cursor_status: u16,
    /// Lists of these streams leave `has_more` out unless `include_boundary_indicators=true` is sent.
    pub without_has_more: Vec<String>,
    /// Lists end with an empty page.
    pub extra_empty_page: bool,
    /// Pages by cursor begin with so many rows of the page before.
    pub repeat_rows: u64,
    /// So many times the first ticket of an export page is updated before the next page is asked for.
    pub updates_between_pages: u64,
    /// So many times the first ticket of an export page is deleted before its children are asked for.
    pub deletes_after_export: u64,
    /// `updated_at` of these streams is null in every answer.
    pub null_updated_at: Vec<String>,
    /// Every `content_url`, `mapped_content_url` and `recording_url` is this.
    pub content_url: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            limits: true,
            plan_per_minute: 700,
            high_volume: false,
            used_by_others: 0,
            retry_after: RetryAfter::Seconds,
            plain_429: false,
            old_headers: false,
            is_agent: false,
            plan_lacks: Vec::new(),
            not_enabled: Vec::new(),
            access_token_secs: 1_800,
            access_token_requests: None,
            refresh_token_secs: 2_592_000,
            echoed_scope: None,
            timeout_above: None,
            time_page_rows: 1_000,
            list_page_rows: 100,
            old_time_export: false,
            without_end_of_stream: Vec::new(),
            empty_pages: 0,
            foreign_urls: Vec::new(),
            stuck_pages: 0,
            cursor_secs: None,
            stale_cursor_status: 400,
            without_has_more: Vec::new(),
            extra_empty_page: false,
            repeat_rows: 0,
            updates_between_pages: 0,
            deletes_after_export: 0,
            null_updated_at: Vec::new(),
            content_url: None,
        }
    }
}
