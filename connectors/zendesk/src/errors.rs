//! What Zendesk's refusals mean. Its errors come in half a dozen shapes; none is relied on.

use std::time::Duration;

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind};
use overlock_kit::http::{HeaderMap, Verdict};
use serde_json::Value;

/// What a refusal means where more than its kind is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The page is too large to be made in time: ask for fewer rows.
    TooLarge,
    /// The start lies within the last minute: there is nothing new.
    TooRecent,
    /// The request is not accepted; perhaps its cursor is too old.
    Refused,
    /// The account or the user's role does not have it.
    Forbidden,
    /// The token lacks a scope.
    Scope,
    /// There is no such endpoint: the product is not switched on.
    NoEndpoint,
    /// The record is gone.
    NoRecord,
}

impl Meaning {
    const ALL: &[Self] = &[
        Self::TooLarge,
        Self::TooRecent,
        Self::Refused,
        Self::Forbidden,
        Self::Scope,
        Self::NoEndpoint,
        Self::NoRecord,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooRecent => "too_recent",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Scope => "scope",
            Self::NoEndpoint => "no_endpoint",
            Self::NoRecord => "no_record",
        }
    }

    /// What an error of [`classify`] means; `None` for others.
    pub fn of(error: &Error) -> Option<Self> {
        let word = error.get("meaning")?;
        Self::ALL.iter().copied().find(|one| one.as_str() == word)
    }
}

/// Code and words of an error body, whatever its shape; empty where there are none.
pub fn words(body: &[u8]) -> (String, String) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        return (String::new(), printable(text.trim()));
    };
    let text = |value: &Value| value.as_str().map(printable);
    let first = value.get("errors").and_then(|errors| errors.get(0));
    let inner = [value.get("error").filter(|error| error.is_object()), first]
        .into_iter()
        .flatten()
        .next();
    let code = value
        .get("error")
        .and_then(&text)
        .or_else(|| inner.and_then(|inner| inner.get("code").and_then(&text)))
        .or_else(|| inner.and_then(|inner| inner.get("title").and_then(&text)));
    let message = ["description", "error_description", "message"]
        .iter()
        .find_map(|key| value.get(*key).and_then(&text))
        .or_else(|| {
            ["message", "detail", "title"]
                .iter()
                .find_map(|key| inner?.get(*key).and_then(&text))
        });
    (code.unwrap_or_default(), message.unwrap_or_default())
}

/// Says what an answer means.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
    if (200..300).contains(&status) {
        return Verdict::Ok;
    }
    let (code, message) = words(body);
    let fail = |kind, meaning: Meaning, hint: &str| {
        let mut shown = format!("get an answer: Zendesk said {status}");
        for word in [&code, &message] {
            if !word.is_empty() {
                shown.push_str(if shown.ends_with(char::is_numeric) {
                    " "
                } else {
                    ": "
                });
                shown.push_str(word);
            }
        }
        let mut error = Error::new(kind, shown)
            .context("status", status)
            .context("meaning", meaning.as_str())
            .hint(hint);
        if let Some(id) = headers.get("x-request-id").and_then(|id| id.to_str().ok()) {
            error = error.context("request_id", id);
        }
        Verdict::Fail(error)
    };
    match status {
        400 if code == "StartTimeTooRecent" || message.contains("Too recent start_time") => fail(
            ErrorKind::Unavailable,
            Meaning::TooRecent,
            "nothing is old enough to be exported: run again in a minute",
        ),
        400 | 422 => fail(
            ErrorKind::Config,
            Meaning::Refused,
            "Zendesk does not accept this request: report it with the request id if the settings are right",
        ),
        401 => Verdict::RefreshAuth,
        403 if message.contains("scope") => fail(
            ErrorKind::Permission,
            Meaning::Scope,
            "the token lacks a scope: ask for `read`, and give the OAuth client that scope",
        ),
        403 => fail(
            ErrorKind::Permission,
            Meaning::Forbidden,
            "exports need an administrator's token; some streams need a larger plan or an add-on",
        ),
        // Zendesk's own words are JSON: a page for people says nothing about a record.
        404 | 410 if overlock_kit::http::is_html(headers, body) => Verdict::Retry { after: None },
        404 if code == "InvalidEndpoint" => fail(
            ErrorKind::NotFound,
            Meaning::NoEndpoint,
            "the account does not have this product, or it is switched off",
        ),
        404 | 410 => fail(
            ErrorKind::NotFound,
            Meaning::NoRecord,
            "it is gone at Zendesk, or this user may not see it",
        ),
        504 => fail(
            ErrorKind::Unavailable,
            Meaning::TooLarge,
            "Zendesk could not make the page in time: set a smaller page_size, or run again later",
        ),
        // No record is changed by a GET: a conflict is the service's own and passes.
        409 | 408 | 420 | 425 | 500 | 502 | 503 | 506..=599 => Verdict::Retry { after: None },
        429 => Verdict::Retry {
            after: if headers.contains_key("retry-after") {
                None
            } else {
                reset(headers)
            },
        },
        _ => fail(
            ErrorKind::Unavailable,
            Meaning::Refused,
            "Zendesk refused the request: run again later; what is committed is kept",
        ),
    }
}

/// The end of the window in the headers of an endpoint's own limit, such as
/// `zendesk-ratelimit-incremental-exports: total=10; remaining=0; resets=41`.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    let mut resets: Vec<u64> = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        if name.starts_with("zendesk-ratelimit-") || name.starts_with("zendesk-rate-limit-") {
            let value = value.to_str().unwrap_or_default();
            if part(value, "remaining") == Some(0) {
                resets.extend(part(value, "resets"));
            }
        }
    }
    resets.into_iter().max().map(Duration::from_secs)
}

/// A number of a header such as `total=100; remaining=99; resets=41`.
pub(crate) fn part(value: &str, name: &str) -> Option<u64> {
    value.split(';').find_map(|pair| {
        let (key, number) = pair.split_once('=')?;
        (key.trim() == name)
            .then(|| number.trim().parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_error_is_read() {
        for (body, code, message) in [
            (
                r#"{"error":"Couldn't authenticate you"}"#,
                "Couldn't authenticate you",
                "",
            ),
            (
                r#"{"error":"RecordNotFound","description":"Not found"}"#,
                "RecordNotFound",
                "Not found",
            ),
            (
                r#"{"error":"invalid_token","error_description":"expired"}"#,
                "invalid_token",
                "expired",
            ),
            (
                r#"{"error":{"title":"Forbidden","message":"No access"}}"#,
                "Forbidden",
                "No access",
            ),
            (
                r#"{"errors":[{"code":"InvalidPaginationDepth","title":"t","detail":"too deep"}]}"#,
                "InvalidPaginationDepth",
                "too deep",
            ),
            ("upstream request timeout", "", "upstream request timeout"),
            ("", "", ""),
            ("[]", "", ""),
            (r#"{"error":7}"#, "", ""),
        ] {
            let found = words(body.as_bytes());
            assert_eq!(
                (found.0.as_str(), found.1.as_str()),
                (code, message),
                "{body}"
            );
        }
    }

    #[test]
    fn each_status_has_its_verdict() {
        // covers: N10, N13, N14, N15
        let meaning =
            |status, body: &str| match classify(status, &HeaderMap::new(), body.as_bytes()) {
                Verdict::Fail(error) => (Some(error.kind()), Meaning::of(&error)),
                _ => (None, None),
            };
        assert_eq!(
            meaning(400, r#"{"error":"StartTimeTooRecent","description":"x"}"#).1,
            Some(Meaning::TooRecent)
        );
        assert_eq!(
            meaning(422, "{}"),
            (Some(ErrorKind::Config), Some(Meaning::Refused))
        );
        assert_eq!(
            meaning(
                403,
                r#"{"error":"Forbidden","description":"Missing the following required scopes: read"}"#
            ),
            (Some(ErrorKind::Permission), Some(Meaning::Scope))
        );
        assert_eq!(
            meaning(403, "{}"),
            (Some(ErrorKind::Permission), Some(Meaning::Forbidden))
        );
        assert_eq!(
            meaning(
                404,
                r#"{"error":"InvalidEndpoint","description":"Not found"}"#
            )
            .1,
            Some(Meaning::NoEndpoint)
        );
        assert_eq!(meaning(404, "").1, Some(Meaning::NoRecord));
        assert_eq!(
            meaning(504, "upstream request timeout").1,
            Some(Meaning::TooLarge)
        );
        assert!(matches!(
            classify(401, &HeaderMap::new(), b""),
            Verdict::RefreshAuth
        ));
        for status in [409, 429, 500, 502, 503, 520, 524] {
            assert!(
                matches!(
                    classify(status, &HeaderMap::new(), b"<html>"),
                    Verdict::Retry { .. }
                ),
                "{status}"
            );
        }
    }

    #[test]
    fn a_429_without_retry_after_waits_for_the_endpoints_own_window() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "zendesk-ratelimit-incremental-exports",
            "total=10; remaining=0; resets=41".parse().unwrap(),
        );
        let Verdict::Retry { after } = classify(429, &headers, b"") else {
            panic!("a 429 is worth a retry");
        };
        assert_eq!(after, Some(Duration::from_secs(41)));
    }
}
