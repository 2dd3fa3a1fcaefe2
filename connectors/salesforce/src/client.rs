//! The connection: kit's HTTP client, taught how Salesforce speaks, and the server's clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use overlock_core::{Error, ErrorKind, Event, Events, Result, StreamName, Timestamp};
use overlock_kit::Http;
use overlock_kit::http::{Api, Body, HeaderMap, Quota, Request, Response, Verdict};

use crate::api::{self, Version};
use crate::auth::Org;
use crate::errors::{self, Meaning};
use crate::limits;

/// How Salesforce's answers read.
#[derive(Debug, Default)]
pub(crate) struct Answers;

impl Api for Answers {
    fn classify(&self, status: u16, _: &HeaderMap, body: &[u8]) -> Verdict {
        if (200..300).contains(&status) {
            return Verdict::Ok;
        }
        let error = errors::parse_error(body);
        match errors::meaning(status, &error) {
            Meaning::SessionExpired => Verdict::RefreshAuth,
            Meaning::Transient | Meaning::Throttled => Verdict::Retry { after: None },
            _ => Verdict::Fail(errors::to_error(status, &error)),
        }
    }

    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        let value = headers.get("sforce-limit-info")?.to_str().ok()?;
        let (used, max) = api::limit_info(value)?;
        Some(Quota { used, max })
    }
}

/// One connected org. Cheap to clone; all clones share session, budgets and clock.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: Http,
    version: Version,
    events: Events,
    clock: Arc<ServerClock>,
    org: Org,
}

#[derive(Debug, Default)]
struct ServerClock {
    /// The newest `Date`, and when it came.
    seen: Mutex<Option<(Timestamp, Instant)>>,
    warned: AtomicBool,
}

impl Client {
    /// Wraps a client.
    pub(crate) fn new(http: Http, version: Version, events: Events, org: Org) -> Self {
        Self {
            org,
            http,
            version,
            events,
            clock: Arc::new(ServerClock::default()),
        }
    }

    /// The id of the org, once it is known.
    pub(crate) fn org(&self) -> Option<&str> {
        self.org.get().map(String::as_str)
    }

    /// The HTTP client itself.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// The version of the API in use.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// As the error table says; see [`Meaning::of`].
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        let response = self.http.send(request).await?;
        self.note(&response.headers);
        Ok(response)
    }

    /// Opens a streamed answer.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn open(&self, request: Request) -> Result<Body> {
        let body = self.http.open(request).await?;
        self.note(&body.headers);
        Ok(body)
    }

    /// Says something that a person should know.
    pub(crate) fn warn(&self, code: &str, stream: Option<&StreamName>, message: impl Into<String>) {
        self.events.emit(Event::Warning {
            code: code.to_owned(),
            stream: stream.cloned(),
            message: message.into(),
        });
    }

    /// Reports a change of the schema.
    pub(crate) fn drift(&self, stream: &StreamName, change: impl Into<String>) {
        self.events.emit(Event::Drift {
            stream: stream.clone(),
            change: change.into(),
        });
    }

    /// Says how many rows to expect.
    pub(crate) fn expect(&self, stream: &StreamName, rows: u64) {
        self.events.emit(Event::Expected {
            stream: stream.clone(),
            rows,
        });
    }

    fn note(&self, headers: &HeaderMap) {
        let value = headers.get("date").and_then(|value| value.to_str().ok());
        if let Some(date) = api::server_date(value) {
            let mut seen = self
                .clock
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *seen = Some((date, Instant::now()));
        }
    }

    fn seen(&self) -> Option<(Timestamp, Duration)> {
        let seen = *self
            .clock
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seen.map(|(date, at)| (date, at.elapsed()))
    }

    /// The present by the server's clock; asks for it if the last answer is old.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn server_now(&self) -> Result<Timestamp> {
        let fresh = |seen: &(Timestamp, Duration)| seen.1 < limits::SERVER_TIME_AGE;
        let mut seen = self.seen().filter(fresh);
        if seen.is_none() {
            self.send(Request::get("/services/data")).await?;
            seen = self.seen().filter(fresh);
        }
        let local = self.http.now();
        let (now, warning) = choose_now(seen.map(|(date, age)| date.plus(age)), local);
        if let Some(warning) = warning
            && !self.clock.warned.swap(true, Ordering::Relaxed)
        {
            self.warn("W0501", None, warning);
        }
        Ok(now)
    }
}

/// Which clock to trust, and what to say about it.
fn choose_now(server: Option<Timestamp>, local: Timestamp) -> (Timestamp, Option<String>) {
    let Some(server) = server else {
        return (
            local.minus(limits::BLIND_CLOCK_MARGIN),
            Some("Salesforce sent no usable Date header: this machine's clock minus five minutes is used".to_owned()),
        );
    };
    let ahead = server.since(local);
    let skew = ahead.max(local.since(server));
    if ahead > limits::ABSURD_SKEW {
        return (
            local.minus(limits::BLIND_CLOCK_MARGIN),
            Some(format!(
                "Salesforce's clock says {server}, more than a day ahead of this machine: this machine's clock minus five minutes is used"
            )),
        );
    }
    let warning = (skew > limits::CLOCK_SKEW).then(|| {
        format!("Salesforce's clock says {server} and this machine's {local}: Salesforce's is used")
    });
    (server, warning)
}

/// The error of a stream that cannot go on because two rows share what should be a key.
pub(crate) fn shared_key(key: &str) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!("tell rows apart: several of them have the same `{key}`"),
    )
    .hint("the object has no key of its own: read it with write_mode = \"replace\" or exclude the stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn the_servers_clock_is_trusted_unless_it_is_absurd() {
        // covers: N21
        let local = time("2026-01-10T12:00:00Z");
        for (server, expected, warns) in [
            (Some("2026-01-10T12:00:30Z"), "2026-01-10T12:00:30Z", false),
            (Some("2026-01-10T12:06:00Z"), "2026-01-10T12:06:00Z", true),
            (Some("2024-01-01T00:00:00Z"), "2024-01-01T00:00:00Z", true),
            (Some("2026-01-12T00:00:00Z"), "2026-01-10T11:55:00Z", true),
            (None, "2026-01-10T11:55:00Z", true),
        ] {
            let (now, warning) = choose_now(server.map(time), local);
            assert_eq!(now, time(expected), "{server:?}");
            assert_eq!(warning.is_some(), warns, "{server:?}");
        }
    }

    #[test]
    fn what_is_worth_another_try_is_tried_again() {
        // covers: N10, N11
        let check = |status, body: &[u8]| Answers.classify(status, &HeaderMap::new(), body);
        assert!(matches!(check(200, b""), Verdict::Ok));
        assert!(matches!(check(401, b""), Verdict::RefreshAuth));
        assert!(matches!(
            check(
                401,
                br#"[{"errorCode":"INVALID_AUTH_HEADER","message":"INVALID_JWT_FORMAT"}]"#
            ),
            Verdict::RefreshAuth
        ));
        for status in [406, 420, 429, 500, 502, 503] {
            assert!(
                matches!(check(status, b"<html>"), Verdict::Retry { .. }),
                "{status}"
            );
        }
        let body = br#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentPerOrgLongTxn Limit exceeded."}]"#;
        assert!(matches!(check(403, body), Verdict::Retry { .. }));
        let body = br#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]"#;
        let Verdict::Fail(error) = check(403, body) else {
            panic!("the day's quota is no reason to wait");
        };
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(Meaning::of(&error), Some(Meaning::QuotaExhausted));
    }
}
