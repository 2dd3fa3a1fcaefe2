//! What a connector tells the client about its service.

use std::time::Duration;

use http::HeaderMap;
use overlock_core::Error;

use super::answer;

/// What an answer means.
#[derive(Debug)]
pub enum Verdict {
    /// Use it.
    Ok,
    /// Try again, after this time if the service says how long; the client reads `Retry-After` itself.
    Retry {
        /// A wait that only the connector could read, for example from the body.
        after: Option<Duration>,
    },
    /// The token is no longer good: get another one and ask again, once.
    RefreshAuth,
    /// Give up with this error.
    Fail(Error),
}

/// How a service speaks. All functions are pure.
pub trait Api: Send + Sync {
    /// Says what an answer means. The body is decompressed; of refusals it is cut at 64 KiB and secrets are
    /// already removed. Streamed answers (`Http::open`) with a 2xx status are not classified: there is no
    /// body yet.
    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
        classify_by_status(status, headers, body)
    }

    /// How much of its quota the service says is used, if it says so in this answer.
    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        let _ = headers;
        None
    }

    /// What an answer to a request of `bucket` says about the rates of the service, if it says anything;
    /// only buckets that are [`Limit::Window`](crate::Limit::Window) learn from it.
    fn rates(&self, bucket: Option<&'static str>, headers: &HeaderMap) -> Vec<Rate> {
        let _ = (bucket, headers);
        Vec::new()
    }

    /// How many more calls the service would take at once, beside those under way, or how many fewer it should be, if
    /// an answer says so; only [`Limit::Concurrent`](crate::Limit::Concurrent) of all requests learns from it.
    fn room(&self, headers: &HeaderMap) -> Option<i64> {
        let _ = headers;
        None
    }

    /// Which requests wait when one of `bucket` is told to: those of a bucket, or all (`None`).
    fn gate(&self, bucket: Option<&'static str>, headers: &HeaderMap) -> Option<&'static str> {
        let _ = (bucket, headers);
        None
    }
}

/// What a service says about the rate of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The bucket; `None`: the one that all requests draw from.
    pub bucket: Option<&'static str>,
    /// Calls per window, if told.
    pub limit: Option<u32>,
    /// Calls left in this window, if told.
    pub remaining: Option<u32>,
    /// When the window ends, if told.
    pub resets: Option<Duration>,
}

/// Use of a quota in the service's own window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Calls used.
    pub used: u64,
    /// Calls allowed.
    pub max: u64,
}

/// The usual meaning of a status: 2xx is good, 401 asks for another token, 408, 420, 425, 429 and 5xx but
/// 501 and 505 are worth a retry, everything else is an error with the server's words.
pub fn classify_by_status(status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
    match status {
        200..=299 => Verdict::Ok,
        401 => Verdict::RefreshAuth,
        501 | 505 => Verdict::Fail(answer::refusal(status, headers, body)),
        408 | 420 | 425 | 429 | 500..=599 => Verdict::Retry { after: None },
        _ => Verdict::Fail(answer::refusal(status, headers, body)),
    }
}

/// A service without surprises.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainApi;

impl Api for PlainApi {}
