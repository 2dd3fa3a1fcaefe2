//! One request as the resources see it: authenticated, with the instant it arrived at.

use http::{HeaderMap, Method};
use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::{Value, json};

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    /// Path, without query.
    pub(super) path: &'a str,
    /// Query, still percent-encoded, without `?`.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// The instant it arrived at, by the virtual clock.
    pub(super) now: Timestamp,
    /// `http://host:port` as the client wrote it.
    pub(super) base: &'a str,
    /// The entity it is for, in a tenant that has several.
    pub(super) entity: Option<usize>,
}

impl Call<'_> {
    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// An answer of JSON.
pub(super) fn json_answer(status: u16, body: &Value) -> Response {
    Response::of(status, "application/json;charset=UTF-8", body.to_string())
}

/// A refusal in the shape of v1 REST.
pub(super) fn refusal(status: u16, code: u64, message: &str) -> Response {
    let body = json!({
        "success": false,
        "processId": "CBCFED6580B4E076",
        "reasons": [{"code": code, "message": message}],
    });
    json_answer(status, &body)
}
