//! What an emulator receives and gives back: a whole request, and a response of known length.
//!
//! Emulators are pure in time: they answer at once from memory and say by [`Response::delay`] how long
//! the answer should take. Everything that goes wrong on a wire is the business of the server.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use overlock_core::Timestamp;

/// One whole request.
#[derive(Clone)]
pub struct Request {
    /// Position among all requests of this server, from 0.
    pub index: u64,
    /// When it arrived, by the server's clock.
    pub at: Timestamp,
    /// The method.
    pub method: Method,
    /// Path as sent, still percent-encoded, without the query.
    pub path: String,
    /// Query as sent, still percent-encoded, without the question mark; empty if there is none.
    pub query: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Bytes of the request line and all header lines as they were on the wire (within a few bytes).
    pub head_bytes: usize,
}

impl Request {
    /// A header as text; empty if missing or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Pairs of the query, decoded.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .into_owned()
            .collect()
    }

    /// The first value of a query parameter, decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.into_owned())
    }

    /// Pairs of a body in the form `a=b&c=d`, decoded.
    pub fn form_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body)
            .into_owned()
            .collect()
    }
}

impl fmt::Debug for Request {
    /// Without headers and body: they carry credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.index, self.method, self.path)
    }
}

/// A body; its length is known before it is sent, unless it is open.
pub enum Body {
    /// All bytes at hand.
    Full(Bytes),
    /// Bytes made while they are sent.
    Chunks {
        /// Sum of the lengths of all chunks.
        length: u64,
        /// The chunks.
        chunks: Box<dyn Iterator<Item = Bytes> + Send>,
    },
    /// Bytes made while they are sent, without a word to the client about their number.
    Open {
        /// Sum of the lengths of all chunks as far as known, for the accounting; 0 if it is not.
        length: u64,
        /// The chunks.
        chunks: Box<dyn Iterator<Item = Bytes> + Send>,
    },
}

impl Body {
    /// An open body whose bytes are at hand.
    pub fn open(bytes: Bytes) -> Self {
        Self::Open {
            length: bytes.len() as u64,
            chunks: Box::new(std::iter::once(bytes)),
        }
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Full(bytes) => bytes.len() as u64,
            Self::Chunks { length, .. } | Self::Open { length, .. } => *length,
        }
    }

    /// All bytes; reads a chunked body to its end.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Full(bytes) => bytes,
            Self::Chunks { chunks, .. } | Self::Open { chunks, .. } => {
                let mut all = Vec::new();
                for chunk in chunks {
                    all.extend_from_slice(&chunk);
                }
                Bytes::from(all)
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.length())
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Header fields; `Date`, `Content-Length` and `Content-Encoding` are added by the server.
    pub headers: HeaderMap,
    /// The body, not compressed.
    pub body: Body,
    /// How long the answer takes, in real time.
    pub delay: Duration,
    /// Whether the server may compress it for a client that accepts gzip.
    pub compressible: bool,
}

impl Response {
    /// An empty answer.
    pub fn new(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: HeaderMap::new(),
            body: Body::Full(Bytes::new()),
            delay: Duration::ZERO,
            compressible: true,
        }
    }

    /// An answer with a body of a content type.
    pub fn of(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::new(status);
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.body = Body::Full(body.into());
        response
    }

    /// An answer of JSON text.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::of(status, "application/json;charset=UTF-8", body)
    }

    /// The same answer with one more header field; a name or value that is not allowed is left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// The behaviour of one outside system, answering from memory.
pub trait Emulator: Send + Sync {
    /// Answers a request. Runs on the server's thread: it must not wait.
    fn handle(&self, request: &Request) -> Response;

    /// Told about a request that a fault answers instead of [`Emulator::handle`], so that quotas can
    /// count it.
    fn intercepted(&self, request: &Request) {
        let _: &Request = request;
    }
}
