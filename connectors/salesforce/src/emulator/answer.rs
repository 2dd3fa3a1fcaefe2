//! Refusals in the three shapes the service has, and small helpers for JSON text.

use http::header::{HeaderValue, LOCATION};
use overlock_sandbox::Response;

/// An answer or a refusal.
pub(super) type Answer<T = Response> = Result<T, Refusal>;

/// A refusal; its shape depends on the family of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            fields: Vec::new(),
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "MALFORMED_QUERY", message)
    }

    pub(super) fn invalid_field(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_FIELD", message)
    }

    pub(super) fn invalid_type(name: &str) -> Self {
        Self::new(
            400,
            "INVALID_TYPE",
            format!(
                "sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to \
                 append the '__c' after the entity name. Please reference your WSDL or the describe call for the \
                 appropriate names."
            ),
        )
    }

    /// The array of the data APIs.
    pub(super) fn array(&self) -> String {
        let fields = if self.fields.is_empty() {
            String::new()
        } else {
            let fields: Vec<String> = self.fields.iter().map(|field| quote(field)).collect();
            format!(",\"fields\":[{}]", fields.join(","))
        };
        format!(
            "[{{\"message\":{},\"errorCode\":{}{fields}}}]",
            quote(&self.message),
            quote(&self.code)
        )
    }

    pub(super) fn into_rest(self) -> Response {
        Response::json(self.status, self.array())
    }

    /// The object of the token endpoint.
    pub(super) fn into_oauth(self) -> Response {
        let body = format!(
            "{{\"error\":{},\"error_description\":{}}}",
            quote(&self.code),
            quote(&self.message)
        );
        Response::json(self.status, body)
    }

    /// The object or element of Bulk API 1.0, whose codes are written in camel case.
    pub(super) fn into_async(self, json: bool) -> Response {
        if json {
            let body = format!(
                "{{\"exceptionCode\":{},\"exceptionMessage\":{}}}",
                quote(&self.code),
                quote(&self.message)
            );
            return Response::json(self.status, body);
        }
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><error xmlns=\"{ASYNC_NAMESPACE}\"><exceptionCode>{}\
             </exceptionCode><exceptionMessage>{}</exceptionMessage></error>",
            escape_xml(&self.code),
            escape_xml(&self.message)
        );
        Response::of(self.status, "application/xml", body)
    }
}

/// Namespace of every element of Bulk API 1.0.
pub(super) const ASYNC_NAMESPACE: &str = "http://www.force.com/2009/06/asyncapi/dataload";

/// A JSON string literal.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_quoted(&mut quoted, text);
    quoted
}

/// Appends a JSON string literal.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if (control as u32) < 0x20 => {
                out.extend([format!("\\u{:04x}", control as u32)]);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A JSON string literal or null.
pub(super) fn quote_option(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quote)
}

pub(super) fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// HTML of the web server in front of the service.
pub(super) fn bad_message(status: u16, reason: &str) -> Response {
    Response::of(
        status,
        "text/html;charset=iso-8859-1",
        format!("<h1>Bad Message {status}</h1><pre>reason: {reason}</pre>"),
    )
}

/// A 304 or another answer without a body.
pub(super) fn empty(status: u16) -> Response {
    let mut response = Response::new(status);
    response.headers.remove(LOCATION);
    response
        .headers
        .insert("cache-control", HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_agrees_with_a_json_parser() {
        for text in ["", "a\"b\\c", "line\nfeed\r\t\u{0}\u{1f}", "é😀\u{202e}"] {
            let back: String = serde_json::from_str(&quote(text)).unwrap();
            assert_eq!(back, text);
        }
    }

    #[test]
    fn a_refusal_has_three_shapes() {
        let refusal = Refusal::new(400, "X", "a \"b\" <c>");
        assert_eq!(
            refusal.array(),
            r#"[{"message":"a \"b\" <c>","errorCode":"X"}]"#
        );
        let body =
            |response: Response| String::from_utf8(response.body.into_bytes().to_vec()).unwrap();
        assert_eq!(
            body(refusal.clone().into_oauth()),
            r#"{"error":"X","error_description":"a \"b\" <c>"}"#
        );
        assert!(body(refusal.into_async(false)).contains("a \"b\" &lt;c&gt;"));
    }
}
