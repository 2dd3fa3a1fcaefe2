//! The HTTP client of a tenant: how its answers read, and what time it is there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use overlock_core::{Event, Events, Result, StreamName, Timestamp};
use overlock_kit::http::{Api, Body, HeaderMap, Rate, Request, Response, Url, Verdict, headers};
use overlock_kit::{Http, Limit, Limits};
use serde::de::DeserializeOwned;

use crate::auth::Tenant;
use crate::state;
use crate::{errors, limits};

/// Tries of an answer that turns out damaged.
const ANSWER_TRIES: u32 = 4;

/// The limits of a tenant, as they are until the server says more.
pub(crate) fn limits(at_once: usize) -> Limits {
    Limits::new([
        Limit::Window {
            bucket: None,
            calls: limits::CALLS_PER_MINUTE,
            per: Duration::from_secs(60),
            share: 100,
        },
        // Last: a call that waits for a window must not keep a place from one that need not.
        Limit::Concurrent {
            bucket: None,
            calls: at_once,
        },
    ])
}

/// How Zuora's answers read.
#[derive(Debug, Default)]
pub(crate) struct Answers;

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    // The first of `2250000, 50000;w=60, ...` is the limit that is in force.
    let text = headers.get(name)?.to_str().ok()?;
    text.split([',', ';']).next()?.trim().parse().ok()
}

impl Api for Answers {
    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
        errors::classify(status, headers, body)
    }

    fn rates(&self, _bucket: Option<&'static str>, headers: &HeaderMap) -> Vec<Rate> {
        let limit = number(headers, "ratelimit-limit");
        let remaining = number(headers, "ratelimit-remaining");
        if limit.is_none() && remaining.is_none() {
            return Vec::new();
        }
        let reserve = limit.unwrap_or(0) / 100 * limits::RESERVE_PERCENT;
        vec![Rate {
            bucket: None,
            limit,
            remaining: remaining.map(|remaining| remaining.saturating_sub(reserve)),
            resets: number(headers, "ratelimit-reset")
                .map(|seconds| Duration::from_secs(u64::from(seconds))),
        }]
    }

    fn room(&self, headers: &HeaderMap) -> Option<i64> {
        let limit = number(headers, "concurrency-limit-limit").unwrap_or(0);
        let remaining = number(headers, "concurrency-limit-remaining")?;
        let reserve = limit * limits::RESERVE_PERCENT / 100;
        Some(i64::from(remaining) - i64::from(reserve))
    }
}

/// Clocks that differ by less are not worth a word.
const CLOCK_SKEW_SECS: i64 = 300;

/// By how much this machine's clock is ahead of Zuora's, in seconds, by the latest answer.
#[derive(Clone, Debug)]
pub(crate) struct Ahead(Arc<AtomicI64>);

/// No answer had a date yet.
const UNKNOWN: i64 = i64::MIN;

impl Default for Ahead {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Ahead {
    /// Takes in the date of an answer.
    pub(crate) fn note(&self, headers: &HeaderMap, local: Timestamp) {
        if let Some(date) = headers::date(headers) {
            // The answer was on its way for some time, so this is a little too much: the safe side.
            self.0
                .store(local.seconds() - date.seconds(), Ordering::Relaxed);
        }
    }

    fn seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds != UNKNOWN)
    }
}

/// Code and stream of a warning.
type Said = (String, Option<StreamName>);

/// One connected tenant. Cheap to clone; all clones share session, limits and budgets.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: Http,
    events: Events,
    host: Arc<str>,
    organizations: Option<Arc<str>>,
    tenant: Tenant,
    ahead: Ahead,
    said: Arc<Mutex<BTreeSet<Said>>>,
}

impl Client {
    /// Wraps a client.
    pub(crate) fn new(
        http: Http,
        events: Events,
        base: &Url,
        organizations: &[String],
        tenant: Tenant,
        ahead: Ahead,
    ) -> Self {
        Self {
            http,
            events,
            // Not the port: that of an emulator differs from run to run.
            host: base.host_str().unwrap_or_default().into(),
            organizations: (!organizations.is_empty()).then(|| organizations.join(",").into()),
            tenant,
            ahead,
            said: Arc::default(),
        }
    }

    /// The HTTP client itself.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// The tenant, as far as it is known.
    pub(crate) fn tenant(&self) -> state::Tenant {
        state::Tenant {
            host: self.host.to_string(),
            number: self.tenant.get().cloned(),
        }
    }

    /// The request with the headers that say for whom it is.
    pub(crate) fn scoped(&self, request: Request, entity: &str) -> Request {
        let request = match entity {
            "" => request,
            entity => request.header("zuora-entity-ids", entity),
        };
        match &self.organizations {
            Some(ids) => request.header("zuora-org-ids", ids),
            None => request,
        }
    }

    /// Sends once as kit does: with its retries, but not those of answers that turn out damaged.
    ///
    /// # Errors
    /// As [`errors::classify`] says.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        let answer = self.http.send(request).await?;
        self.note(&answer.headers);
        Ok(answer)
    }

    /// Sends and reads; asks again for an answer that is cut or of another form.
    ///
    /// # Errors
    /// As [`send`](Self::send), and whatever `read` says in the end.
    pub(crate) async fn read<T>(
        &self,
        request: &Request,
        read: impl Fn(&Response) -> Result<T>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let error = match self
                .send(request.clone())
                .await
                .and_then(|answer| read(&answer))
            {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_damaged = error.kind() == overlock_core::ErrorKind::Data
                && errors::Meaning::of(&error).is_none();
            if !is_damaged || attempt >= ANSWER_TRIES {
                return Err(error);
            }
            self.http.retry(None, attempt, error).await?;
            attempt += 1;
        }
    }

    /// Sends and reads a JSON answer.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        self.read(request, Response::json).await
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

    fn note(&self, headers: &HeaderMap) {
        self.ahead.note(headers, self.http.now());
    }

    /// The present, never later than it is at Zuora: windows end hours before it, so a slow clock of this machine costs
    /// freshness, while a fast one would cost rows that are committed late.
    pub(crate) fn now(&self) -> Timestamp {
        let ahead = self.ahead.seconds().unwrap_or(0).max(0);
        let ahead = Duration::from_secs(u64::try_from(ahead).unwrap_or(0));
        self.http.now().minus(ahead).floor_second()
    }

    /// Makes sure that Zuora's clock is known: one call, if no answer has come yet.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn ask_time(&self, entity: &str) -> Result<()> {
        self.http.login().await?;
        if self.ahead.seconds().is_none() {
            let request = Request::get("/v1/describe/Account");
            self.send(self.scoped(request, entity)).await?;
        }
        let ahead = self.ahead.seconds().unwrap_or(0);
        if ahead.abs() > CLOCK_SKEW_SECS {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            let seconds = ahead.unsigned_abs();
            self.warn(
                "W0701",
                None,
                format!("this machine's clock is {seconds} seconds {side} Zuora's: windows end by the one that is behind"),
            );
        }
        Ok(())
    }

    /// Says something that a person should know; once for each code and stream.
    pub(crate) fn warn(&self, code: &str, stream: Option<&StreamName>, message: impl Into<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.insert((code.to_owned(), stream.cloned())) {
            return;
        }
        drop(said);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_tenth_of_each_window_is_left_to_others() {
        let told = headers(&[
            ("ratelimit-limit", "50000, 50000;w=60, 2250000;w=3600"),
            ("ratelimit-remaining", "5399"),
            ("ratelimit-reset", "42"),
        ]);
        assert_eq!(
            Answers.rates(None, &told),
            [Rate {
                bucket: None,
                limit: Some(50_000),
                remaining: Some(399),
                resets: Some(Duration::from_secs(42)),
            }]
        );
        let spent = headers(&[
            ("ratelimit-limit", "50000"),
            ("ratelimit-remaining", "4999"),
        ]);
        assert_eq!(Answers.rates(None, &spent)[0].remaining, Some(0));
        assert!(
            Answers
                .rates(None, &headers(&[("ratelimit-limit", "many")]))
                .is_empty()
        );
    }

    #[test]
    fn fewer_calls_go_out_while_the_tenant_is_busy() {
        let room = |limit, remaining| {
            Answers.room(&headers(&[
                ("concurrency-limit-limit", limit),
                ("concurrency-limit-remaining", remaining),
            ]))
        };
        assert_eq!(room("40", "30"), Some(26));
        assert_eq!(room("40", "1"), Some(-3));
        assert_eq!(Answers.room(&HeaderMap::new()), None);
    }
}
