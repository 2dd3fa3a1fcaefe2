//! Refusals in the many shapes the service has.

use overlock_sandbox::Response;

use super::record::quote;

/// An answer or a refusal.
pub(super) type Answer<T = Response> = Result<T, Refusal>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    body: String,
}

/// An answer of JSON text.
pub(super) fn json(body: String) -> Response {
    Response::of(200, JSON, body)
}

pub(super) const JSON: &str = "application/json; charset=utf-8";

impl Refusal {
    fn raw(status: u16, body: &str) -> Self {
        Self {
            status,
            body: body.to_owned(),
        }
    }

    /// The common shape.
    pub(super) fn new(status: u16, error: &str, description: &str) -> Self {
        Self {
            status,
            body: format!(
                "{{\"error\":{},\"description\":{}}}",
                quote(error),
                quote(description)
            ),
        }
    }

    pub(super) fn not_authenticated() -> Self {
        Self::raw(401, "{\"error\":\"Couldn't authenticate you\"}")
    }

    pub(super) fn invalid_token() -> Self {
        Self::raw(
            401,
            "{\"error\":\"invalid_token\",\"error_description\":\"The access token provided is expired, revoked, \
             malformed or invalid for other reasons.\"}",
        )
    }

    pub(super) fn record_not_found() -> Self {
        Self::new(404, "RecordNotFound", "Not found")
    }

    pub(super) fn invalid_endpoint() -> Self {
        Self::new(404, "InvalidEndpoint", "Not found")
    }

    pub(super) fn not_in_plan() -> Self {
        Self::raw(
            403,
            "{\"error\":{\"title\":\"Forbidden\",\"message\":\"You do not have access to this page. Please contact \
             the account owner of this help desk for further help.\"}}",
        )
    }

    pub(super) fn not_for_agents() -> Self {
        Self::raw(
            403,
            "{\"error\":{\"title\":\"Forbidden\",\"message\":\"Access to this resource is restricted. Please contact \
             the account administrator for assistance.\"}}",
        )
    }

    pub(super) fn missing_scope() -> Self {
        Self::new(
            403,
            "Forbidden",
            "Missing the following required scopes: read",
        )
    }

    pub(super) fn too_deep() -> Self {
        Self::raw(
            400,
            "{\"errors\":[{\"code\":\"InvalidPaginationDepth\",\"title\":\"Pagination requests using Offset \
             Pagination are limited to 100 pages\",\"detail\":\"You've requested page 101 or higher\"}]}",
        )
    }

    pub(super) fn bad_page(detail: &str) -> Self {
        Self {
            status: 400,
            body: format!(
                "{{\"errors\":[{{\"code\":\"InvalidPaginationParameter\",\"title\":\"Invalid pagination \
                 parameter\",\"detail\":{}}}]}}",
                quote(detail)
            ),
        }
    }

    pub(super) fn too_recent() -> Self {
        Self::new(
            400,
            "StartTimeTooRecent",
            "Too recent start_time. Use a start_time older than 60 seconds",
        )
    }

    /// The shape of the token endpoint.
    pub(super) fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self {
            status,
            body: format!(
                "{{\"error\":{},\"error_description\":{}}}",
                quote(error),
                quote(description)
            ),
        }
    }

    /// A cursor that is not taken any more.
    pub(super) fn stale_cursor(status: u16) -> Self {
        match status {
            404 => Self::record_not_found(),
            422 => Self::new(422, "invalid", "Invalid cursor"),
            _ => Self::bad_page("cursor is not valid"),
        }
    }

    pub(super) fn into_response(self) -> Response {
        Response::of(self.status, JSON, self.body)
    }
}
