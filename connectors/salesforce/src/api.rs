//! Pure functions of the Salesforce API: paths, SOQL, headers, the meaning of an error. No I/O.

use std::fmt::Write as _;

use chrono::DateTime;
use overlock_core::{Error, ErrorKind, Result, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::limits;

/// What is left as it is in a query component. Commas and parentheses stay, because they are a third of
/// a query and the length of the URI is bounded.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',')
    .remove(b'(')
    .remove(b')')
    .remove(b':');

/// Text as one query component.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// A version of the API, such as `62.0`, and the paths below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Checks the form `NN.0`.
    ///
    /// # Errors
    /// `Config` if it is of another form or older than 47.0, the first version with Bulk 2.0 queries.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('v');
        let major = text
            .strip_suffix(".0")
            .and_then(|major| major.parse::<u16>().ok());
        match major {
            Some(47..=999) => Ok(Self(text.to_owned())),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "use `{}` as api_version",
                    overlock_core::text::printable(text)
                ),
            )
            .context("key", "api_version")
            .hint("write it like 62.0; Bulk API 2.0 queries need 47.0 or newer")),
        }
    }

    /// The version as text, such as `62.0`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether parallel result pages exist (58.0).
    pub fn has_result_pages(&self) -> bool {
        self.0
            .strip_suffix(".0")
            .and_then(|major| major.parse::<u16>().ok())
            .is_some_and(|major| major >= 58)
    }

    /// `/services/data/v62.0` and what follows.
    pub fn path(&self, rest: &str) -> String {
        format!("/services/data/v{}{rest}", self.0)
    }

    /// Path of the describe of one object.
    pub fn describe(&self, object: &str) -> String {
        self.path(&format!("/sobjects/{object}/describe"))
    }

    /// Path of a REST query that sees deleted and archived rows too.
    pub fn query_all(&self, soql: &str) -> String {
        self.path(&format!("/queryAll?q={}", encode(soql)))
    }

    /// Path of a REST query over live rows.
    pub fn query(&self, soql: &str) -> String {
        self.path(&format!("/query?q={}", encode(soql)))
    }

    /// Path of the next page of a REST query, from the token that [`query_token`] took out of a link.
    pub fn next_query(&self, token: &str) -> String {
        self.path(&format!("/query/{}", encode(token)))
    }

    /// Path of the query jobs.
    pub fn jobs(&self) -> String {
        self.path("/jobs/query")
    }

    /// Path of one query job.
    pub fn job(&self, id: &str) -> String {
        self.path(&format!("/jobs/query/{}", encode(id)))
    }

    /// Path of one result page.
    pub fn results(&self, id: &str, max_records: u32, locator: Option<&str>) -> String {
        let mut path = self.job(id);
        let _infallible = write!(path, "/results?maxRecords={max_records}");
        if let Some(locator) = locator {
            let _infallible = write!(path, "&locator={}", encode(locator));
        }
        path
    }

    /// Path of the list of result pages.
    pub fn result_pages(&self, id: &str, max_records: u32) -> String {
        format!("{}/resultPages?maxRecords={max_records}", self.job(id))
    }
}

/// The opaque token of `nextRecordsUrl`: its last path segment. The rest of the link is ours, whatever
/// origin the server wrote.
///
/// # Errors
/// `Data` if the link has no such segment or carries characters that no locator has.
pub fn query_token(link: &str) -> Result<String> {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    let token = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !path.contains("/query") || token.is_empty() || !token.chars().all(plain) {
        return Err(Error::new(
            ErrorKind::Data,
            "follow the next link of a query: it is not of the documented form",
        ));
    }
    Ok(token.to_owned())
}

/// The `locator` parameter of a link to a result page; `None` if it has none (the first page).
pub fn link_locator(link: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "locator")
        .map(|(_, value)| value.into_owned())
}

/// Direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Up,
    /// Largest first.
    Down,
}

/// What a SOQL statement selects.
#[derive(Debug, Clone, Default)]
pub struct Select<'a> {
    /// Field names; from describe, so they are identifiers.
    pub fields: Vec<&'a str>,
    /// The object.
    pub object: &'a str,
    /// Conditions, joined by AND.
    pub conditions: Vec<String>,
    /// Field to order by, with its direction; never for Bulk, where it switches chunking off.
    pub order_by: Option<(&'a str, Direction)>,
    /// Most rows.
    pub limit: Option<u32>,
}

impl Select<'_> {
    /// The statement as text.
    pub fn to_soql(&self) -> String {
        let mut soql = format!("SELECT {} FROM {}", self.fields.join(","), self.object);
        for (index, condition) in self.conditions.iter().enumerate() {
            soql.push_str(if index == 0 { " WHERE " } else { " AND " });
            soql.push_str(condition);
        }
        if let Some((field, direction)) = self.order_by {
            let word = match direction {
                Direction::Up => "ASC",
                Direction::Down => "DESC",
            };
            let _infallible = write!(soql, " ORDER BY {field} {word}");
        }
        if let Some(limit) = self.limit {
            let _infallible = write!(soql, " LIMIT {limit}");
        }
        soql
    }
}

/// A datetime literal. Whole seconds: Salesforce compares at that granularity, so a fraction would move
/// a border without anybody noticing.
pub fn datetime(time: Timestamp) -> String {
    time.floor_second().to_string()
}

/// Conditions for `lower <= key < upper`; either end may be open. With `nulls` rows whose key is null
/// are kept too.
pub fn window(
    key: &str,
    lower: Option<Timestamp>,
    upper: Option<Timestamp>,
    nulls: bool,
) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(lower) = lower {
        conditions.push(format!("{key} >= {}", datetime(lower)));
    }
    if let Some(upper) = upper {
        conditions.push(format!("{key} < {}", datetime(upper)));
    }
    if nulls && !conditions.is_empty() {
        return vec![format!("(({}) OR {key} = null)", conditions.join(" AND "))];
    }
    conditions
}

/// Conditions for `after < Id <= through`; either end may be open.
pub fn id_range(after: Option<&str>, through: Option<&str>) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(after) = after {
        conditions.push(format!("Id > {}", quote(after)));
    }
    if let Some(through) = through {
        conditions.push(format!("Id <= {}", quote(through)));
    }
    conditions
}

/// A text literal.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// Whether the text may stand as a name in SOQL.
pub fn is_identifier(name: &str) -> bool {
    name.len() <= 120
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `Sforce-Limit-Info`: calls used and allowed in the rolling 24 hours.
///
/// Two forms: `api-usage=18/15000` and `api-usage=25/5000; per-app-api-usage=17/250(appName=my app)`.
pub fn limit_info(header: &str) -> Option<(u64, u64)> {
    let usage = header
        .split([';', ','])
        .find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, max) = usage.split_once('/')?;
    let (used, max) = (used.trim().parse().ok()?, max.trim().parse().ok()?);
    (max > 0).then_some((used, max))
}

/// `Sforce-Locator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// There is a next page.
    Next(String),
    /// The text `null`: this was the last page.
    End,
    /// The header is missing or empty: the end only if the counts say so.
    Missing,
}

/// Longest locator that is followed and stored.
const MAX_LOCATOR_BYTES: usize = 1_024;

/// Reads `Sforce-Locator`.
///
/// # Errors
/// `Data` if it is too long to be one.
pub fn locator(header: Option<&str>) -> Result<Locator> {
    match header.map(str::trim) {
        None | Some("") => Ok(Locator::Missing),
        Some("null") => Ok(Locator::End),
        Some(text) if text.len() <= MAX_LOCATOR_BYTES && text.is_ascii() => {
            Ok(Locator::Next(text.to_owned()))
        }
        Some(_) => Err(Error::new(
            ErrorKind::Data,
            format!("use a result locator of more than {MAX_LOCATOR_BYTES} bytes"),
        )),
    }
}

/// `Sforce-NumberOfRecords`: rows in this page; `None` if missing or not a number.
pub fn number_of_records(header: Option<&str>) -> Option<u64> {
    header?.trim().parse().ok()
}

/// The `Date` header as an instant; `None` if it cannot be one that a server sent.
pub fn server_date(header: Option<&str>) -> Option<Timestamp> {
    let parsed = DateTime::parse_from_rfc2822(header?.trim()).ok()?;
    let seconds = parsed.timestamp();
    (seconds >= limits::OLDEST_DATE_SECONDS)
        .then(|| Timestamp::from_seconds(seconds))
        .flatten()
}

/// One error as the data APIs write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiError {
    /// Such as `INVALID_FIELD`; empty if the body was not understood.
    pub code: String,
    /// The server's words.
    pub message: String,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default, alias = "exceptionCode", alias = "error")]
    #[serde(rename = "errorCode")]
    code: Option<String>,
    #[serde(default, alias = "exceptionMessage", alias = "error_description")]
    message: Option<String>,
}

/// Reads an error body: an array of objects, a bare object, or something else (HTML, nothing).
pub fn parse_error(body: &[u8]) -> ApiError {
    let from = |wire: WireError| ApiError {
        code: wire.code.unwrap_or_default(),
        message: wire.message.unwrap_or_default(),
    };
    if let Ok(list) = serde_json::from_slice::<Vec<WireError>>(body) {
        return list.into_iter().next().map(from).unwrap_or_default();
    }
    serde_json::from_slice::<WireError>(body)
        .map(from)
        .unwrap_or_default()
}

/// What an error means for the caller; the table of the API contract, sections 7.7, 10 and 2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Log in anew and ask again, once.
    SessionExpired,
    /// Nobody's fault and over soon.
    Transient,
    /// Slow down and ask again.
    Throttled,
    /// The allowance of 24 hours is used up.
    QuotaExhausted,
    /// The allowance of Bulk jobs or result bytes is used up; REST still works.
    BulkQuotaExhausted,
    /// The query took too long: ask for less.
    TooSlow,
    /// The statement or URI is too long, or has too many fields.
    TooWide,
    /// A field is unknown: it was deleted, renamed or hidden from this user.
    UnknownField,
    /// The object is unknown or hidden from this user.
    UnknownObject,
    /// The object cannot be read by plain queries.
    Unreadable,
    /// Bulk does not take this object; REST does.
    NotByBulk,
    /// Bulk does not take one of the fields.
    NotByBulkField,
    /// The org has no Bulk API at all.
    BulkDisabled,
    /// A cursor, job or page is gone.
    Gone,
    /// A job is not ready yet.
    NotReady,
    /// The settings are wrong.
    Config,
    /// The user may not.
    Forbidden,
    /// We did something that we should not have.
    OurFault,
    /// Refused for a reason this version does not know.
    Refused,
}

impl Meaning {
    const ALL: &[Self] = &[
        Self::SessionExpired,
        Self::Transient,
        Self::Throttled,
        Self::QuotaExhausted,
        Self::BulkQuotaExhausted,
        Self::TooSlow,
        Self::TooWide,
        Self::UnknownField,
        Self::UnknownObject,
        Self::Unreadable,
        Self::NotByBulk,
        Self::NotByBulkField,
        Self::BulkDisabled,
        Self::Gone,
        Self::NotReady,
        Self::Config,
        Self::Forbidden,
        Self::OurFault,
        Self::Refused,
    ];

    /// The word that stands in an error's context under `meaning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionExpired => "session_expired",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::QuotaExhausted => "quota_exhausted",
            Self::BulkQuotaExhausted => "bulk_quota_exhausted",
            Self::TooSlow => "too_slow",
            Self::TooWide => "too_wide",
            Self::UnknownField => "unknown_field",
            Self::UnknownObject => "unknown_object",
            Self::Unreadable => "unreadable",
            Self::NotByBulk => "not_by_bulk",
            Self::NotByBulkField => "not_by_bulk_field",
            Self::BulkDisabled => "bulk_disabled",
            Self::Gone => "gone",
            Self::NotReady => "not_ready",
            Self::Config => "config",
            Self::Forbidden => "forbidden",
            Self::OurFault => "our_fault",
            Self::Refused => "refused",
        }
    }

    /// What an error of [`to_error`] means; `None` for errors made elsewhere.
    pub fn of(error: &Error) -> Option<Self> {
        let word = error.get("meaning")?;
        Self::ALL
            .iter()
            .copied()
            .find(|meaning| meaning.as_str() == word)
    }
}

/// Decides what a failed answer means.
pub fn meaning(status: u16, error: &ApiError) -> Meaning {
    let code = error.code.as_str();
    let says = |text: &str| {
        error
            .message
            .to_ascii_lowercase()
            .contains(&text.to_ascii_lowercase())
    };
    match code {
        "INVALID_SESSION_ID" if says("not valid for use with the rest api") => {
            return Meaning::Config;
        }
        "INVALID_SESSION_ID" | "INVALID_AUTH_HEADER" | "InvalidSessionId" => {
            return Meaning::SessionExpired;
        }
        "QUERY_TIMEOUT" | "OPERATION_TOO_LARGE" => return Meaning::TooSlow,
        "QUERY_TOO_COMPLICATED" => return Meaning::TooWide,
        "INVALID_FIELD" => return Meaning::UnknownField,
        "INVALID_TYPE" => return Meaning::UnknownObject,
        "INVALIDENTITY" => return Meaning::NotByBulk,
        "INVALID_TYPE_FOR_OPERATION"
        | "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"
        | "MALFORMED_QUERY"
        | "INVALID_QUERY_FILTER_OPERATOR" => return Meaning::Unreadable,
        "INVALID_QUERY_LOCATOR" | "INVALIDJOB" | "InvalidJob" => return Meaning::Gone,
        "JOB_NOT_COMPLETE" | "INVALIDJOBSTATE" => return Meaning::NotReady,
        "REQUEST_LIMIT_EXCEEDED" if says("TotalRequests") => return Meaning::QuotaExhausted,
        "REQUEST_LIMIT_EXCEEDED" | "rate_limit_exceeded" => return Meaning::Throttled,
        "LIMIT_EXCEEDED" if says("bulk") => return Meaning::BulkQuotaExhausted,
        "LIMIT_EXCEEDED" => return Meaning::QuotaExhausted,
        "FeatureNotEnabled" if says("Cannot serialize value") => return Meaning::NotByBulkField,
        "FUNCTIONALITY_NOT_ENABLED" if says("Selecting compound data") => {
            return Meaning::NotByBulkField;
        }
        "API_DISABLED_FOR_ORG" | "FeatureNotEnabled" if says("async") || says("bulk") => {
            return Meaning::BulkDisabled;
        }
        "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => return Meaning::Config,
        "INSUFFICIENT_ACCESS"
        | "INVALID_CROSS_REFERENCE_KEY"
        | "FUNCTIONALITY_NOT_ENABLED"
        | "INSUFFICIENT_ACCESS_OR_READONLY" => return Meaning::Forbidden,
        "TXN_SECURITY_METERING_ERROR"
        | "UNABLE_TO_LOCK_ROW"
        | "SERVER_UNAVAILABLE"
        | "UNKNOWN_EXCEPTION"
        | "unknown_error" => return Meaning::Transient,
        "API_ERROR" if says("Implementation restriction") || says("does not support query") => {
            return Meaning::Unreadable;
        }
        _ => {}
    }
    if says("Max bulk v2 query") {
        return Meaning::BulkQuotaExhausted;
    }
    if says("not supported by the Bulk API") {
        return Meaning::NotByBulk;
    }
    if says("Selecting compound data not supported") || says("Cannot serialize value") {
        return Meaning::NotByBulkField;
    }
    if says("does not support query") || says("Implementation restriction") {
        return Meaning::Unreadable;
    }
    match status {
        401 => Meaning::SessionExpired,
        404 => Meaning::Gone,
        409 => Meaning::OurFault,
        410 => Meaning::Config,
        412 | 204 => Meaning::NotReady,
        414 | 431 => Meaning::TooWide,
        403 => Meaning::Forbidden,
        406 | 408 | 420 | 500..=599 => Meaning::Transient,
        429 => Meaning::Throttled,
        _ => Meaning::Refused,
    }
}

/// What the `errorMessage` of a failed job means: whether less of the same may succeed.
pub fn job_failure(message: &str) -> Meaning {
    let code = message.split([':', ' ']).next().unwrap_or_default();
    let error = ApiError {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    match meaning(400, &error) {
        Meaning::Refused => Meaning::TooSlow,
        known => known,
    }
}

/// The error of a job that ended `Failed`.
pub fn job_error(message: &str) -> Error {
    let error = ApiError {
        code: String::new(),
        message: message.to_owned(),
    };
    with_meaning(400, &error, job_failure(message))
}

/// The error of a refused request, in the project's terms.
pub fn to_error(status: u16, error: &ApiError) -> Error {
    with_meaning(status, error, meaning(status, error))
}

fn with_meaning(status: u16, error: &ApiError, meaning: Meaning) -> Error {
    let (kind, hint): (ErrorKind, &str) = match meaning {
        Meaning::SessionExpired => (
            ErrorKind::Auth,
            "the session was refused after a fresh login: check that the user is active and may use the API",
        ),
        Meaning::Transient => (
            ErrorKind::Unavailable,
            "Salesforce has a problem of its own: run again later; what is committed is kept",
        ),
        Meaning::Throttled => (
            ErrorKind::Unavailable,
            "too many long requests run in this org at once: run again later, or lower max_concurrent_jobs",
        ),
        Meaning::QuotaExhausted => (
            ErrorKind::RateLimited,
            "the org's API allowance of 24 hours is used up: run again later; the next run goes on from here",
        ),
        Meaning::BulkQuotaExhausted => (
            ErrorKind::RateLimited,
            "the org's Bulk allowance of 24 hours is used up: run again later; the next run goes on from here",
        ),
        Meaning::TooSlow => (
            ErrorKind::Unavailable,
            "Salesforce gave up on the query: set a smaller `window`, or select fewer columns",
        ),
        Meaning::TooWide => (
            ErrorKind::Config,
            "the query is too long: select fewer columns",
        ),
        Meaning::UnknownField => (
            ErrorKind::Schema,
            "a field was deleted or hidden from this user: run `overlock discover` and look at the notes",
        ),
        Meaning::UnknownObject => (
            ErrorKind::NotFound,
            "the object was deleted, or this user has no read permission on it",
        ),
        Meaning::Unreadable => (
            ErrorKind::Config,
            "Salesforce does not let this object be read as a whole: exclude the stream",
        ),
        Meaning::NotByBulk | Meaning::NotByBulkField | Meaning::BulkDisabled => (
            ErrorKind::Unavailable,
            "the Bulk API does not take this: the next run reads it by REST",
        ),
        Meaning::Gone => (
            ErrorKind::NotFound,
            "it is gone at Salesforce, or this user may not see it",
        ),
        Meaning::NotReady => (
            ErrorKind::Unavailable,
            "the job was not ready in time: run again later",
        ),
        Meaning::Config => (
            ErrorKind::Config,
            "check that the org has API access and that api_version is one it offers",
        ),
        Meaning::Forbidden => (
            ErrorKind::Permission,
            "give the user read permission on this object and the permission `API Enabled`",
        ),
        Meaning::OurFault => (
            ErrorKind::Bug,
            "this is a defect of overlock: please report it with the run id",
        ),
        Meaning::Refused => (
            ErrorKind::Unavailable,
            "Salesforce refused the request; its words are in the cause",
        ),
    };
    let mut made = Error::new(kind, shown(status, error))
        .context("status", status)
        .context("code", &error.code)
        .context("meaning", meaning.as_str())
        .hint(hint);
    if let Some(field) = unknown_field(&error.message) {
        made = made.context("field", field);
    }
    made
}

/// The server's words in one short line.
fn shown(status: u16, error: &ApiError) -> String {
    if error.code.is_empty() && error.message.is_empty() {
        return format!(
            "get an answer: the server said {status} without an error that can be read"
        );
    }
    let message = overlock_core::text::printable(error.message.trim());
    format!(
        "get an answer: the server said {status} {}: {message}",
        overlock_core::text::printable(&error.code)
    )
}

/// The field that an `INVALID_FIELD` message names, if it does.
pub fn unknown_field(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("No such column '")?;
    let (name, _) = rest.split_once('\'')?;
    is_identifier(name).then_some(name)
}

/// What the token endpoint's refusal means, with the setting to look at.
pub fn login_error(status: u16, body: &[u8]) -> Error {
    let error = parse_error(body);
    let says = |text: &str| error.message.to_ascii_lowercase().contains(text);
    let (kind, hint) = match error.code.as_str() {
        "invalid_grant" if says("expired access/refresh token") => (
            ErrorKind::Auth,
            "auth.refresh_token is no longer valid: authorise the app anew and store the new token",
        ),
        "invalid_grant" if says("hasn't approved") => (
            ErrorKind::Auth,
            "pre-authorise the app for the profile of auth.username, or check audience and token_url",
        ),
        "invalid_grant" if says("audience") => (
            ErrorKind::Config,
            "set audience: https://login.salesforce.com, https://test.salesforce.com or the My Domain URL",
        ),
        "invalid_grant" if says("assertion") || says("authorization code") => (
            ErrorKind::Auth,
            "auth.private_key does not belong to the app's certificate, or this machine's clock is wrong",
        ),
        "invalid_grant" if says("not supported on this domain") => (
            ErrorKind::Config,
            "client credentials work only at the My Domain URL: set login_url to it",
        ),
        "invalid_grant" if says("no client credentials user") => (
            ErrorKind::Auth,
            "set a \"Run As\" user in the app's client credentials flow",
        ),
        "invalid_grant" if says("ip restricted") => (
            ErrorKind::Auth,
            "the app or profile allows other IP addresses only",
        ),
        "invalid_grant" => (
            ErrorKind::Auth,
            "check auth.username, that the user is active, and that the app allows this flow",
        ),
        "invalid_client_id" | "app_not_found" => (
            ErrorKind::Auth,
            "check auth.client_id, and that login_url is the host of this org (My Domain)",
        ),
        "invalid_client" => (ErrorKind::Auth, "check auth.client_secret"),
        "unsupported_grant_type" => (
            ErrorKind::Auth,
            "the app does not allow this kind of login: check auth.kind",
        ),
        "inactive_org" | "inactive_user" => (ErrorKind::Auth, "the org or its user is inactive"),
        "rate_limit_exceeded" => (
            ErrorKind::Unavailable,
            "too many logins in an hour: run again later",
        ),
        _ if status >= 500 || matches!(status, 406 | 408 | 420 | 429) => (
            ErrorKind::Unavailable,
            "the login service has a problem of its own: run again later",
        ),
        _ => (
            ErrorKind::Auth,
            "check login_url and the settings under auth",
        ),
    };
    let code = overlock_core::text::printable(&error.code);
    let message = overlock_core::text::printable(&error.message);
    Error::new(
        kind,
        format!("log in to Salesforce: the server said {status} {code}: {message}"),
    )
    .context("status", status)
    .context("code", code)
    .hint(hint)
}

/// Ids in the order of SOQL: digits, then upper case, then lower case.
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What the letters of five characters that are upper case, as bits, stand for at the end of an Id.
const CHECK_32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The number that the first 15 characters of an Id stand for in that order.
pub fn id_number(id: &str) -> Option<u128> {
    let bytes = id.as_bytes().get(..15)?;
    bytes.iter().try_fold(0_u128, |number, byte| {
        let digit = BASE_62.iter().position(|digit| digit == byte)?;
        Some(number * 62 + u128::try_from(digit).ok()?)
    })
}

/// The 18-character Id for such a number.
pub fn id_from_number(mut number: u128) -> String {
    let mut digits = [b'0'; 15];
    for place in digits.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or(0);
        *place = BASE_62.get(digit).copied().unwrap_or(b'0');
        number /= 62;
    }
    let mut id: String = digits.iter().map(|byte| char::from(*byte)).collect();
    for group in digits.chunks(5) {
        let bits = group.iter().enumerate().fold(0_usize, |bits, (i, byte)| {
            bits | usize::from(byte.is_ascii_uppercase()) << i
        });
        id.push(char::from(CHECK_32.get(bits).copied().unwrap_or(b'A')));
    }
    id
}

/// The Id in the middle of two, if there is one strictly between them.
pub fn id_between(low: &str, high: &str) -> Option<String> {
    let (low, high) = (id_number(low)?, id_number(high)?);
    let middle = low + high.checked_sub(low)? / 2;
    (middle > low && middle < high).then(|| id_from_number(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn soql_is_half_open_second_aligned_and_unordered() {
        // covers: L1, L3
        let select = Select {
            fields: vec!["Id", "Name"],
            object: "Account",
            conditions: window(
                "SystemModstamp",
                Some(time("2026-01-01T00:00:00.999Z")),
                Some(time("2026-01-02T00:00:00Z")),
                false,
            ),
            ..Select::default()
        };
        assert_eq!(
            select.to_soql(),
            "SELECT Id,Name FROM Account WHERE SystemModstamp >= 2026-01-01T00:00:00Z AND SystemModstamp < 2026-01-02T00:00:00Z"
        );
    }

    #[test]
    fn rows_without_a_key_are_kept_where_the_key_may_be_null() {
        // covers: L4
        assert_eq!(
            window("LoginTime", None, Some(time("2026-01-02")), true),
            ["((LoginTime < 2026-01-02T00:00:00Z) OR LoginTime = null)"]
        );
        assert!(window("X", None, None, true).is_empty());
    }

    #[test]
    fn literals_cannot_leave_their_quotes() {
        for (text, expected) in [
            ("abc", "'abc'"),
            ("a'b", r"'a\'b'"),
            (r"a\", r"'a\\'"),
            (r"\' OR Name != '", r"'\\\' OR Name != \''"),
        ] {
            assert_eq!(quote(text), expected);
        }
        for bad in ["", "1a", "a b", "a;", "a'", "Ä", "a.b"] {
            assert!(!is_identifier(bad), "{bad}");
        }
        assert!(is_identifier("Foo__Latitude__s"));
    }

    #[test]
    fn limit_info_has_two_forms() {
        for (header, expected) in [
            ("api-usage=18/15000", Some((18, 15_000))),
            (
                "api-usage=25/5000; per-app-api-usage=17/250(appName=my app)",
                Some((25, 5_000)),
            ),
            (
                "per-app-api-usage=17/250(appName=a), api-usage=3/9",
                Some((3, 9)),
            ),
            ("api-usage=1/0", None),
            ("api-usage=x/5", None),
            ("api-usage=-1/5", None),
            ("", None),
            ("per-app-api-usage=17/250", None),
        ] {
            assert_eq!(limit_info(header), expected, "{header}");
        }
    }

    #[test]
    fn locators_end_only_at_the_word_null() {
        for (header, expected) in [
            (Some("MTAwMDA"), Locator::Next("MTAwMDA".to_owned())),
            (Some("null"), Locator::End),
            (Some("  null "), Locator::End),
            (Some(""), Locator::Missing),
            (None, Locator::Missing),
        ] {
            assert_eq!(locator(header).unwrap(), expected);
        }
        assert!(locator(Some(&"x".repeat(10_000))).is_err());
        assert_eq!(number_of_records(Some(" 50000 ")), Some(50_000));
        assert_eq!(number_of_records(Some("-1")), None);
        assert_eq!(number_of_records(Some("9".repeat(40).as_str())), None);
        assert_eq!(number_of_records(None), None);
    }

    #[test]
    fn absurd_dates_are_not_believed() {
        // covers: N21
        for (header, expected) in [
            (
                Some("Sun, 22 Nov 2026 03:51:03 GMT"),
                Some("2026-11-22T03:51:03Z"),
            ),
            (Some("Sat, 01 Jan 1983 00:00:00 GMT"), None),
            (Some("yesterday"), None),
            (None, None),
        ] {
            assert_eq!(
                server_date(header).map(|t| t.to_string()).as_deref(),
                expected
            );
        }
    }

    #[test]
    fn every_row_of_the_error_table_has_its_meaning() {
        // covers: N13, N15, L16
        let json = |code: &str, message: &str| {
            serde_json::to_vec(&serde_json::json!([{"errorCode": code, "message": message}]))
                .unwrap()
        };
        let none: Vec<u8> = Vec::new();
        let html = b"<h1>Bad Message 431</h1>".to_vec();
        for (status, body, expected) in [
            (
                400,
                json("MALFORMED_QUERY", "unexpected token: 'FORM'"),
                Meaning::Unreadable,
            ),
            (
                400,
                json(
                    "INVALID_FIELD",
                    "No such column 'Foo__c' on entity 'Account'.",
                ),
                Meaning::UnknownField,
            ),
            (
                400,
                json("INVALID_TYPE", "sObject type 'Foo' is not supported."),
                Meaning::UnknownObject,
            ),
            (
                400,
                json(
                    "INVALID_TYPE_FOR_OPERATION",
                    "entity type X does not support query",
                ),
                Meaning::Unreadable,
            ),
            (
                400,
                json(
                    "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
                    "Getting all X is unsupported",
                ),
                Meaning::Unreadable,
            ),
            (
                400,
                json(
                    "QUERY_TIMEOUT",
                    "Your query request was running for too long.",
                ),
                Meaning::TooSlow,
            ),
            (
                400,
                json("QUERY_TOO_COMPLICATED", "SOQL statement too complicated"),
                Meaning::TooWide,
            ),
            (
                400,
                json("OPERATION_TOO_LARGE", "exceeded 100000 distinct who/what's"),
                Meaning::TooSlow,
            ),
            (
                400,
                json("INVALID_QUERY_LOCATOR", "invalid query locator"),
                Meaning::Gone,
            ),
            (
                400,
                json(
                    "INVALIDENTITY",
                    "Entity 'X' is not supported by the Bulk API.",
                ),
                Meaning::NotByBulk,
            ),
            (
                400,
                json("API_ERROR", "Entity 'X' is not supported by the Bulk API."),
                Meaning::NotByBulk,
            ),
            (
                400,
                json(
                    "API_ERROR",
                    "Selecting compound data not supported in Bulk Query",
                ),
                Meaning::NotByBulkField,
            ),
            (
                400,
                json("API_ERROR", "Implementation restriction: needs a filter"),
                Meaning::Unreadable,
            ),
            (
                400,
                json(
                    "FeatureNotEnabled",
                    "Cannot serialize value for 'F' in CSV format",
                ),
                Meaning::NotByBulkField,
            ),
            (
                400,
                json("FeatureNotEnabled", "Async API not enabled"),
                Meaning::BulkDisabled,
            ),
            (
                403,
                json("API_DISABLED_FOR_ORG", "Async API not enabled"),
                Meaning::BulkDisabled,
            ),
            (
                400,
                json(
                    "FUNCTIONALITY_NOT_ENABLED",
                    "Selecting compound data not supported in Bulk Query",
                ),
                Meaning::NotByBulkField,
            ),
            (
                400,
                json(
                    "LIMIT_EXCEEDED",
                    "Max bulk v2 query jobs (10000) per 24 hrs has been reached",
                ),
                Meaning::BulkQuotaExhausted,
            ),
            (
                400,
                json(
                    "X",
                    "Max bulk v2 query result size stored (1000000000) kb per 24 hrs has been exceeded",
                ),
                Meaning::BulkQuotaExhausted,
            ),
            (
                401,
                json("INVALID_SESSION_ID", "Session expired or invalid"),
                Meaning::SessionExpired,
            ),
            (
                401,
                json(
                    "INVALID_SESSION_ID",
                    "This session is not valid for use with the REST API",
                ),
                Meaning::Config,
            ),
            (
                401,
                json("INVALID_AUTH_HEADER", "INVALID_JWT_FORMAT"),
                Meaning::SessionExpired,
            ),
            (401, none.clone(), Meaning::SessionExpired),
            (
                403,
                json("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
                Meaning::QuotaExhausted,
            ),
            (
                403,
                json(
                    "REQUEST_LIMIT_EXCEEDED",
                    "ConcurrentPerOrgLongTxn Limit exceeded.",
                ),
                Meaning::Throttled,
            ),
            (
                403,
                json(
                    "API_DISABLED_FOR_ORG",
                    "The REST API is not enabled for this Organization.",
                ),
                Meaning::Config,
            ),
            (
                403,
                json("TXN_SECURITY_METERING_ERROR", "took too long"),
                Meaning::Transient,
            ),
            (403, json("INSUFFICIENT_ACCESS", "no"), Meaning::Forbidden),
            (403, none.clone(), Meaning::Forbidden),
            (
                404,
                json("NOT_FOUND", "The requested resource does not exist"),
                Meaning::Gone,
            ),
            (406, none.clone(), Meaning::Transient),
            (409, none.clone(), Meaning::OurFault),
            (410, json("GONE", "retired"), Meaning::Config),
            (
                412,
                json("JOB_NOT_COMPLETE", "can only download"),
                Meaning::NotReady,
            ),
            (414, html.clone(), Meaning::TooWide),
            (431, html.clone(), Meaning::TooWide),
            (420, html.clone(), Meaning::Transient),
            (429, none.clone(), Meaning::Throttled),
            (
                500,
                json("UNKNOWN_EXCEPTION", "ErrorId: 1-2 (3)"),
                Meaning::Transient,
            ),
            (503, html, Meaning::Transient),
            (400, none, Meaning::Refused),
        ] {
            let error = parse_error(&body);
            assert_eq!(meaning(status, &error), expected, "{status} {error:?}");
        }
    }

    #[test]
    fn a_failed_job_asks_for_less_unless_it_says_why() {
        // covers: L7
        for (message, expected) in [
            (
                "QUERY_TIMEOUT: Your query request was running for too long.",
                Meaning::TooSlow,
            ),
            ("Retried more than fifteen times", Meaning::TooSlow),
            ("Failed to write query result", Meaning::TooSlow),
            ("InternalServerError : UNKNOWN ErrorId 1", Meaning::TooSlow),
            (
                "INVALID_FIELD: No such column 'A__c' on entity 'X'",
                Meaning::UnknownField,
            ),
        ] {
            assert_eq!(job_failure(message), expected, "{message}");
        }
    }

    #[test]
    fn a_refused_login_names_the_setting() {
        let body = |code: &str, text: &str| {
            serde_json::to_vec(&serde_json::json!({"error": code, "error_description": text}))
                .unwrap()
        };
        for (status, body, kind, hint) in [
            (
                400,
                body("invalid_grant", "expired access/refresh token"),
                ErrorKind::Auth,
                "auth.refresh_token",
            ),
            (
                400,
                body("invalid_grant", "user hasn't approved this consumer"),
                ErrorKind::Auth,
                "pre-authorise",
            ),
            (
                400,
                body("invalid_grant", "audience is invalid"),
                ErrorKind::Config,
                "audience",
            ),
            (
                400,
                body("invalid_grant", "invalid assertion"),
                ErrorKind::Auth,
                "auth.private_key",
            ),
            (
                400,
                body("invalid_client_id", "client identifier invalid"),
                ErrorKind::Auth,
                "auth.client_id",
            ),
            (
                401,
                body("invalid_client", "invalid client credentials"),
                ErrorKind::Auth,
                "auth.client_secret",
            ),
            (
                400,
                body("rate_limit_exceeded", ""),
                ErrorKind::Unavailable,
                "logins",
            ),
            (503, b"<html>".to_vec(), ErrorKind::Unavailable, "later"),
            (400, b"<html>".to_vec(), ErrorKind::Auth, "login_url"),
        ] {
            let error = login_error(status, &body);
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(error.hint_text().unwrap().contains(hint), "{error:?}");
        }
    }

    #[test]
    fn only_the_token_of_a_next_link_is_taken() {
        // covers: N18
        for (link, expected) in [
            (
                "/services/data/v62.0/query/01gRM000001hKlzYAE-2000",
                Some("01gRM000001hKlzYAE-2000"),
            ),
            (
                "https://evil.example/services/data/v62.0/query/01g-2000?q=x",
                Some("01g-2000"),
            ),
            ("https://evil.example/", None),
            ("/services/data/v62.0/query/..", None),
            ("/services/data/v62.0/query/a%2Fb", None),
            ("", None),
        ] {
            assert_eq!(query_token(link).ok().as_deref(), expected, "{link}");
        }
        assert_eq!(
            link_locator("/x/results?maxRecords=5&locator=aB%2BcD").as_deref(),
            Some("aB+cD")
        );
        assert_eq!(link_locator("/x/results"), None);
    }

    #[test]
    fn ids_order_and_halve_like_numbers() {
        assert_eq!(
            id_from_number(id_number("001RM00000559kHYAQ").unwrap()),
            "001RM00000559kHYAQ"
        );
        let middle = id_between("001000000000000AAA", "001zzzzzzzzzzzzAAA").unwrap();
        assert!(middle.as_str() > "001000000000000" && middle.as_str() < "001zzzzzzzzzzzz");
        assert_eq!(id_between("001000000000001AAA", "001000000000002AAA"), None);
        assert_eq!(id_number("short"), None);
        assert!(id_number("00500000000000a").unwrap() > id_number("00500000000000Z").unwrap());
    }

    #[test]
    fn versions_and_paths() {
        let version = Version::parse("v62.0").unwrap();
        assert_eq!(
            version.describe("Account"),
            "/services/data/v62.0/sobjects/Account/describe"
        );
        assert_eq!(
            version.results("750x", 5, Some("a+b/")),
            "/services/data/v62.0/jobs/query/750x/results?maxRecords=5&locator=a%2Bb%2F"
        );
        assert_eq!(
            version.query("SELECT Id FROM A WHERE B > 'x y'"),
            "/services/data/v62.0/query?q=SELECT%20Id%20FROM%20A%20WHERE%20B%20%3E%20%27x%20y%27"
        );
        assert!(version.has_result_pages());
        assert!(!Version::parse("57.0").unwrap().has_result_pages());
        for bad in ["", "62", "sixty", "62.1", "46.0", "../62.0"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
