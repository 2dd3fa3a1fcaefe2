//! What goes out and what comes back.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use overlock_core::{Error, ErrorKind, Result, StreamName};
use serde::de::DeserializeOwned;
use url::Url;

use super::answer;

/// Which time-outs and size limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Ordinary API calls.
    #[default]
    Normal,
    /// Large downloads.
    Bulk,
}

/// One request to the source's own origin.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) elsewhere: Option<Url>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) stream: Option<StreamName>,
    pub(super) idempotent: bool,
    pub(super) class: Class,
    pub(super) max_body: Option<u64>,
    pub(super) bucket: Option<&'static str>,
    pub(super) invalid: Option<String>,
}

impl Request {
    /// A request with any method. `path` is path and query, beginning with `/`.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let idempotent = method.is_idempotent();
        Self {
            method,
            path: path.into(),
            elsewhere: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            stream: None,
            idempotent,
            class: Class::Normal,
            max_body: None,
            bucket: None,
            invalid: None,
        }
    }

    /// `GET path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// `GET url`, a signed URL that the service gave, on any of the source's origins and without its credentials.
    pub fn get_signed(url: Url) -> Self {
        let mut request = Self::get(url.path());
        request.elsewhere = Some(url);
        request
    }

    /// `DELETE path`.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// `POST path` with a JSON body; never repeated once it may have arrived, unless marked
    /// [`idempotent`](Self::idempotent).
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path).body("application/json", body)
    }

    /// `PATCH path` with a JSON body; repeated only if marked [`idempotent`](Self::idempotent).
    pub fn patch(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::PATCH, path).body("application/json", body)
    }

    /// Sets the body and its content type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static(content_type),
        );
        self.body = body.into();
        self
    }

    /// Appends `name=value` to the query, percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.path
            .push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&encode(name));
        self.path.push('=');
        self.path.push_str(&encode(value));
        self
    }

    /// Sets a header. A name or value that cannot be a header makes the request fail when it is sent.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => self.invalid = Some(name.to_owned()),
        }
        self
    }

    /// Says on behalf of which stream the request is made.
    #[must_use]
    pub fn stream(mut self, stream: &StreamName) -> Self {
        self.stream = Some(stream.clone());
        self
    }

    /// Whether it may be repeated although it may have arrived. By default as the method says: GET, PUT
    /// and DELETE may, POST and PATCH may not.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Uses the time-outs and size limits of large downloads.
    #[must_use]
    pub fn bulk(mut self) -> Self {
        self.class = Class::Bulk;
        self
    }

    /// Largest body, decompressed.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Draws from this bucket of [`crate::Limits`] instead of from all buckets without a name.
    #[must_use]
    pub fn bucket(mut self, name: &'static str) -> Self {
        self.bucket = Some(name);
        self
    }
}

/// A whole answer, decompressed and within its size limit.
#[derive(Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers as they came.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// Reads the body as JSON into a type of the connector.
    ///
    /// # Errors
    /// `Unavailable` if it is an HTML page; `Data` if it is empty, no JSON, or JSON of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        answer::refuse_html(self.status, &self.headers, &self.body)?;
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::new(
                ErrorKind::Data,
                "read JSON from the server: the answer is empty",
            )
            .context("status", self.status));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // The text of serde_json names a position and a type, and for wrong types the value: the
            // value may be a secret, so only the position is shown.
            let place = format!("line {} column {}", error.line(), error.column());
            let what = match error.classify() {
                serde_json::error::Category::Data => "JSON of another shape than expected",
                serde_json::error::Category::Eof => "JSON that is cut",
                _ => "no JSON",
            };
            Error::new(
                ErrorKind::Data,
                format!("read JSON from the server: the answer is {what}, {place}"),
            )
            .context("status", self.status)
        })
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Response {
    /// Never the headers or the body: answers to logins are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Percent-encodes a piece of a query or a path segment.
pub fn encode(text: &str) -> String {
    const KEEP: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    percent_encoding::utf8_percent_encode(text, &KEEP).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_cannot_add_parameters() {
        let request = Request::get("/q").query("a", "x&b=1 #é").query("c", "");
        assert_eq!(request.path, "/q?a=x%26b%3D1%20%23%C3%A9&c=");
    }

    #[test]
    fn only_what_cannot_do_harm_twice_is_repeated_by_default() {
        assert!(Request::get("/").idempotent);
        assert!(Request::delete("/").idempotent);
        assert!(!Request::post("/", "").idempotent);
        assert!(!Request::patch("/", "").idempotent);
    }

    #[test]
    fn a_header_with_a_line_break_is_not_a_header() {
        // covers: I23
        assert!(
            Request::get("/")
                .header("x-a", "b\r\nx-c: d")
                .invalid
                .is_some()
        );
    }

    #[test]
    fn json_errors_say_what_came_and_never_the_value() {
        // covers: N16
        let check = |body: &'static str, kind, text: &str| {
            let response = Response {
                status: 200,
                headers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
            };
            let error = response.json::<Vec<u64>>().unwrap_err();
            assert_eq!(error.kind(), kind, "{body}");
            assert!(error.to_string().contains(text), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        };
        check("", ErrorKind::Data, "empty");
        check("  \n", ErrorKind::Data, "empty");
        check("[1,", ErrorKind::Data, "cut");
        check("nope", ErrorKind::Data, "no JSON");
        check(r#"["hunter2"]"#, ErrorKind::Data, "another shape");
        check(
            "<!DOCTYPE html><title>Log in</title>",
            ErrorKind::Unavailable,
            "Log in",
        );
    }
}
