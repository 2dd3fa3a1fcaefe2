//! Turning a refusal of the server into an error that a person can act on.
//!
//! Bodies of errors are outside text: cut at 500 characters, escaped, and HTML is named but never
//! shown or parsed as data.

use http::{HeaderMap, StatusCode, header};
use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Result};

/// How much of an error page is read at all.
pub(super) const MAX_ERROR_BYTES: u64 = 64 * 1024;

/// Whether a body is an HTML page, by its header or its first bytes.
pub fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let html_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let value = value.trim_start().to_ascii_lowercase();
            value.starts_with("text/html") || value.starts_with("application/xhtml")
        });
    html_type || begins_like_html(body)
}

/// Whether the first bytes are those of an HTML page.
pub fn begins_like_html(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let start = body.trim_ascii_start();
    [
        &b"<!doctype html"[..],
        b"<html",
        b"<head",
        b"<body",
        b"<!--",
    ]
    .iter()
    .any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(tag))
    })
}

/// Refuses an HTML page that stands where data should be.
pub(super) fn refuse_html(status: u16, headers: &HeaderMap, body: &[u8]) -> Result<()> {
    if !is_html(headers, body) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("get data from the server: it answered {}", describe(status, headers, body)),
    )
    .context("status", status)
    .hint("a login or maintenance page, or a proxy, stands between here and the API: open the URL in a browser to see which"))
}

/// Status and message of an answer on one line, such as `403 Forbidden: {"error":"..."}`.
pub fn describe(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .map_or(String::new(), |reason| format!(" {reason}"));
    let message = if is_html(headers, body) {
        match title(body) {
            Some(title) => format!(": an HTML page with the title `{}`", printable(&title)),
            None => ": an HTML page".to_owned(),
        }
    } else {
        let text = String::from_utf8_lossy(body);
        match text.trim() {
            "" => String::new(),
            text => format!(": {}", printable(text)),
        }
    };
    format!("{status}{reason}{message}")
}

/// The error for a status that the connector has nothing more precise to say about.
pub fn refusal(status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let (kind, hint) = match status {
        300..=399 => {
            let to = redirect_target(headers);
            let shown = to.map_or(String::new(), |to| format!(" to {to}"));
            return Error::new(
                ErrorKind::Unavailable,
                format!("use the server: it answered {status} and redirects{shown}; redirects are never followed"),
            )
            .context("status", status)
            .hint("correct the host in the source's settings if the service has moved");
        }
        401 => (ErrorKind::Auth, "check the source's credentials"),
        403 => (
            ErrorKind::Permission,
            "give the user of this source permission to read it",
        ),
        404 | 410 => (
            ErrorKind::NotFound,
            "it is gone, or the user of this source may not see it",
        ),
        408 | 420 | 425 | 500..=599 => (
            ErrorKind::Unavailable,
            "the service has a problem of its own: try again later",
        ),
        429 => (
            ErrorKind::RateLimited,
            "try again later, or ask for less at a time",
        ),
        _ => (
            ErrorKind::Config,
            "the service does not accept this request: check the source's settings",
        ),
    };
    Error::new(
        kind,
        format!(
            "use the server: it answered {}",
            describe(status, headers, body)
        ),
    )
    .context("status", status)
    .hint(hint)
}

/// Scheme and host of a `Location`, without path and query.
fn redirect_target(headers: &HeaderMap) -> Option<String> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    match url::Url::parse(location) {
        Ok(url) => Some(format!(
            "{}://{}",
            printable(url.scheme()),
            printable(url.host_str().unwrap_or("an unknown host"))
        )),
        Err(_) => Some("another path of the same host".to_owned()),
    }
}

fn title(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..16 * 1024).unwrap_or(body));
    let lower = text.to_ascii_lowercase();
    // ASCII lowering keeps byte positions, so an index found in one fits the other.
    let open = lower.find("<title")?;
    let start = open + lower.get(open..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    let title = text
        .get(start..end)?
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    (!title.is_empty()).then(|| title.chars().take(120).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            http::HeaderValue::from_static(content_type),
        );
        headers
    }

    #[test]
    fn html_is_recognised_by_header_or_first_bytes() {
        // covers: N16
        for (content_type, body, expected) in [
            ("text/html; charset=utf-8", "{}", true),
            ("application/json", "<!DOCTYPE html><html>", true),
            ("application/json", "\u{feff}\n <HTML>", true),
            ("text/csv", "\"Id\"\n\"<html>\"\n", false),
            ("application/json", "{\"html\":\"<html>\"}", false),
            ("application/xml", "<?xml version=\"1.0\"?><a/>", false),
            ("text/plain", "<", false),
        ] {
            assert_eq!(
                is_html(&headers(content_type), body.as_bytes()),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn the_servers_words_are_cut_and_escaped() {
        // covers: I21
        let body = format!(
            "{{\"message\":\"no\n\u{1b}[2Jerror: forged {}\"}}",
            "x".repeat(10_000)
        );
        let shown = describe(400, &headers("application/json"), body.as_bytes());
        assert!(
            shown.starts_with("400 Bad Request: {\"message\":\"no\\n\\u{1b}[2Jerror"),
            "{shown}"
        );
        assert!(shown.chars().count() < 600);
        assert!(!shown.chars().any(char::is_control));
    }

    #[test]
    fn an_html_page_is_named_by_its_title_and_not_shown() {
        let page = b"<html><head><TITLE>\n Down for\tmaintenance </title></head><p>secret</p>";
        assert_eq!(
            describe(503, &HeaderMap::new(), page),
            "503 Service Unavailable: an HTML page with the title `Down for maintenance`"
        );
        assert_eq!(
            describe(502, &HeaderMap::new(), b"<html>"),
            "502 Bad Gateway: an HTML page"
        );
    }

    #[test]
    fn a_redirect_names_the_host_and_never_the_query() {
        // covers: N17
        let mut headers = HeaderMap::new();
        headers.insert(
            header::LOCATION,
            http::HeaderValue::from_static("https://evil.test/login?token=abcdef123456"),
        );
        let error = refusal(302, &headers, b"");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("https://evil.test"));
        assert!(!error.message().contains("abcdef"));
    }

    #[test]
    fn the_kind_follows_the_status() {
        for (status, kind) in [
            (400, ErrorKind::Config),
            (401, ErrorKind::Auth),
            (403, ErrorKind::Permission),
            (404, ErrorKind::NotFound),
            (429, ErrorKind::RateLimited),
            (502, ErrorKind::Unavailable),
            (599, ErrorKind::Unavailable),
        ] {
            assert_eq!(refusal(status, &HeaderMap::new(), b"").kind(), kind);
        }
    }
}
