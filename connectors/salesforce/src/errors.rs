//! What a refusal means: the error table of the API, as data that the caller acts on. Pure.
//!
//! The texts of Salesforce are matched here and nowhere else; everybody else asks for the [`Meaning`].

use overlock_core::{Error, ErrorKind};
use serde::Deserialize;

use crate::api::is_identifier;

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
    // A refusal with 403 is one of rights, even where an administrator's setting is behind it.
    let kind = match (status, kind) {
        (403, ErrorKind::Config) => ErrorKind::Permission,
        _ => kind,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
