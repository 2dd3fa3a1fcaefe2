//! The connection: kit's HTTP client, taught how Zendesk speaks and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use overlock_core::{ErrorKind, Event, Events, Result, StreamName};
use overlock_kit::http::{Api, HeaderMap, Rate, Request, Response, Url, Verdict, headers};
use overlock_kit::{Http, Limit, Limits};
use serde::de::DeserializeOwned;
use std::time::Duration;

use crate::errors::{self, Meaning};
use crate::limits;

/// Which allowance a call is counted against, besides the plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bucket {
    /// Only the plan's.
    Plan,
    /// Incremental exports.
    Exports,
    /// The cursor export of users.
    Users,
    /// Help center: as many calls as the plan, counted apart.
    HelpCenter,
}

impl Bucket {
    fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Exports => "exports",
            Self::Users => "users",
            Self::HelpCenter => "help_center",
        }
    }
}

/// The limits to begin with; Zendesk's answers correct them.
pub(crate) fn limits(share: u8, at_once: usize) -> Limits {
    let window = |bucket: Bucket, calls, share| Limit::Window {
        bucket: Some(bucket.name()),
        calls,
        per: limits::WINDOW,
        share,
    };
    Limits::new([
        // Nobody but extractors calls the exports, so they are used whole.
        window(Bucket::Exports, limits::EXPORT_CALLS, 100),
        window(Bucket::Users, limits::USER_EXPORT_CALLS, 100),
        window(Bucket::HelpCenter, limits::PLAN_CALLS, share),
        // All calls count against the plan.
        Limit::Window {
            bucket: None,
            calls: limits::PLAN_CALLS,
            per: limits::WINDOW,
            share,
        },
        // Last: a call that waits for a window must not keep a place from one that need not.
        Limit::Concurrent {
            bucket: None,
            calls: at_once,
        },
    ])
}

/// How Zendesk's answers read.
#[derive(Debug, Default)]
pub(crate) struct Answers;

impl Api for Answers {
    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
        errors::classify(status, headers, body)
    }

    fn rates(&self, bucket: Option<&'static str>, headers: &HeaderMap) -> Vec<Rate> {
        rates(bucket, headers)
    }

    fn gate(&self, bucket: Option<&'static str>, headers: &HeaderMap) -> Option<&'static str> {
        let spent = account(headers).is_some_and(|rate| rate.remaining == Some(0));
        match bucket {
            // Help center has an account-wide allowance of its own.
            Some("help_center") => bucket,
            _ if spent => None,
            _ => bucket,
        }
    }
}

/// The account-wide allowance, by the newest spelling that is there, with the smallest rest of all.
fn account(headers: &HeaderMap) -> Option<Rate> {
    let number =
        |name: &str| -> Option<u32> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let all = |names: [&str; 3]| names.into_iter().filter_map(&number).collect::<Vec<_>>();
    let limit = all(["ratelimit-limit", "x-rate-limit", "rate-limit"]);
    let remaining = all([
        "ratelimit-remaining",
        "x-rate-limit-remaining",
        "rate-limit-remaining",
    ]);
    let resets = all(["ratelimit-reset", "x-rate-limit-reset", "rate-limit-reset"]);
    if limit.is_empty() && remaining.is_empty() {
        return None;
    }
    Some(Rate {
        bucket: None,
        limit: limit.first().copied(),
        remaining: remaining.into_iter().min(),
        resets: resets
            .first()
            .map(|seconds| Duration::from_secs(u64::from(*seconds))),
    })
}

fn rates(bucket: Option<&'static str>, headers: &HeaderMap) -> Vec<Rate> {
    let mut rates = Vec::new();
    if let Some(mut rate) = account(headers) {
        if bucket == Some(Bucket::HelpCenter.name()) {
            rate.bucket = bucket;
        }
        rates.push(rate);
    }
    let exports = [Bucket::Exports, Bucket::Users].map(|one| Some(one.name()));
    if !exports.contains(&bucket) {
        return rates;
    }
    let mut own: Option<Rate> = None;
    for (name, value) in headers {
        let name = name.as_str();
        let family = name
            .strip_prefix("zendesk-ratelimit-")
            .or_else(|| name.strip_prefix("zendesk-rate-limit-"));
        // Others, such as jobs in flight, are none of an export's.
        if !family.is_some_and(|family| family.starts_with("incremental")) {
            continue;
        }
        let value = value.to_str().unwrap_or_default();
        let small = |part: Option<u64>| part.and_then(|number| u32::try_from(number).ok());
        let found = Rate {
            bucket,
            limit: small(errors::part(value, "total")),
            remaining: small(errors::part(value, "remaining")),
            resets: errors::part(value, "resets").map(Duration::from_secs),
        };
        // Of several, the one with the least left.
        if own.is_none_or(|own| found.remaining < own.remaining) {
            own = Some(found);
        }
    }
    rates.extend(own);
    rates
}

/// A call: path and query, what it is counted against, and for whom it is made.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) path: String,
    pub(crate) bucket: Bucket,
    pub(crate) stream: Option<StreamName>,
}

impl Ask {
    /// `GET /api/v2/{path}`.
    pub(crate) fn new(path: &str, bucket: Bucket) -> Self {
        Self {
            path: format!("/api/v2/{path}"),
            bucket,
            stream: None,
        }
    }

    /// On behalf of a stream.
    pub(crate) fn stream(mut self, stream: &StreamName) -> Self {
        self.stream = Some(stream.clone());
        self
    }

    /// Appends a parameter, percent-encoded.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.path
            .push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(&overlock_kit::http::encode(name));
        self.path.push('=');
        self.path.push_str(&overlock_kit::http::encode(value));
        self
    }

    fn request(&self) -> Request {
        let mut request = Request::get(self.path.clone()).header("accept", "application/json");
        if let Some(stream) = &self.stream {
            request = request.stream(stream);
        }
        request.bucket(self.bucket.name())
    }
}

/// One connected account. Cheap to clone; all clones share session, limits and budgets.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: Http,
    events: Events,
    base: Url,
    refused_hint: Arc<str>,
    /// The newest `Date` of an answer, in epoch seconds; 0: none yet.
    server: Arc<AtomicI64>,
}

impl Client {
    /// Wraps a client.
    pub(crate) fn new(http: Http, events: Events, base: Url, refused_hint: String) -> Self {
        Self {
            http,
            events,
            base,
            refused_hint: refused_hint.into(),
            server: Arc::default(),
        }
    }

    /// The HTTP client itself.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// The host of the account.
    pub(crate) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Sends once as kit does: with its retries, but not those of answers that turn out damaged.
    ///
    /// # Errors
    /// As [`errors::classify`] says.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Response> {
        let answer = self
            .http
            .send(ask.request())
            .await
            .map_err(|error| match error.kind() {
                // A refused login has said what to do already.
                ErrorKind::Auth if error.get("token_url").is_none() => {
                    error.hint(self.refused_hint.to_string())
                }
                _ => error,
            })?;
        if let Some(date) = headers::date(&answer.headers) {
            self.server.fetch_max(date.seconds(), Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// What time it is at Zendesk, by its latest answer; `None` before the first one.
    pub(crate) fn server_time(&self) -> Option<i64> {
        Some(self.server.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// Sends and reads; asks again for an answer that is cut or no JSON, and for one that could not be made in
    /// time.
    ///
    /// # Errors
    /// As [`send`](Self::send), and whatever `read` says in the end.
    pub(crate) async fn read<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Response) -> Result<T>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let error = match self.send(ask).await.and_then(|answer| read(&answer)) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again =
                error.kind() == ErrorKind::Data || Meaning::of(&error) == Some(Meaning::TooLarge);
            if !again {
                return Err(error);
            }
            self.http.retry(ask.stream.as_ref(), attempt, error).await?;
            attempt += 1;
        }
    }

    /// Sends and reads a JSON answer.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) async fn json<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T> {
        self.read(ask, Response::json).await
    }

    /// Says something that a person should know.
    pub(crate) fn warn(&self, code: &str, stream: Option<&StreamName>, message: impl Into<String>) {
        self.events.emit(Event::Warning {
            code: code.to_owned(),
            stream: stream.cloned(),
            message: message.into(),
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
    fn all_three_families_of_headers_are_read_and_the_smallest_rest_counts() {
        let found = rates(
            Some("exports"),
            &headers(&[
                ("x-rate-limit", "700"),
                ("x-rate-limit-remaining", "650"),
                ("ratelimit-limit", "700"),
                ("ratelimit-remaining", "640"),
                ("ratelimit-reset", "41"),
                (
                    "zendesk-ratelimit-incremental-exports",
                    "total=10; remaining=9; resets=30",
                ),
            ]),
        );
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(
            found,
            [
                Rate {
                    bucket: None,
                    limit: Some(700),
                    remaining: Some(640),
                    resets: seconds(41)
                },
                Rate {
                    bucket: Some("exports"),
                    limit: Some(10),
                    remaining: Some(9),
                    resets: seconds(30)
                },
            ]
        );
        let old = rates(
            Some("users"),
            &headers(&[
                ("rate-limit", "400"),
                ("rate-limit-remaining", "3"),
                ("rate-limit-reset", "5"),
                (
                    "zendesk-rate-limit-incremental-exports-cursor",
                    "total=20;remaining=0;resets=7",
                ),
            ]),
        );
        assert_eq!(old.len(), 2);
        assert_eq!(old[1].remaining, Some(0));
        assert!(rates(None, &headers(&[("x-rate-limit", "many")])).is_empty());
    }

    #[test]
    fn only_a_spent_account_stops_everything() {
        let gate = |bucket, pairs: &[_]| Answers.gate(bucket, &headers(pairs));
        assert_eq!(
            gate(
                Some("exports"),
                &[("ratelimit-remaining", "12"), ("ratelimit-limit", "700")]
            ),
            Some("exports")
        );
        assert_eq!(
            gate(Some("exports"), &[("x-rate-limit-remaining", "0")]),
            None
        );
        assert_eq!(
            gate(Some("help_center"), &[("x-rate-limit-remaining", "0")]),
            Some("help_center")
        );
        assert_eq!(gate(Some("plan"), &[]), Some("plan"));
    }

    /// A minute's allowance is counted by the emulator; time is tokio's, which passes as fast as nobody works.
    #[tokio::test(start_paused = true)]
    async fn under_ten_calls_a_minute_all_are_used_and_none_is_refused() {
        use crate::emulator::{World, WorldOptions, ZendeskEmulator};
        use overlock_core::{Clock as _, Timestamp};
        use overlock_sandbox::{Emulator as _, VirtualClock};
        use tokio::time::Instant;

        for (high_volume, latency) in [(false, 150), (false, 2_500), (true, 400)] {
            let start = Timestamp::parse("2026-03-01T12:00:17Z").unwrap();
            let clock = VirtualClock::still(start);
            let emulator =
                ZendeskEmulator::new(World::seeded(WorldOptions::tiny(1, start)), clock.clone())
                    .without_evolution();
            emulator.behave(|behaviour| behaviour.high_volume = high_volume);
            let token = format!("Bearer {}", emulator.credentials().access_token);
            let limits = limits(80, 8);
            let began = Instant::now();
            let minutes = 60;
            let mut calls = 0;
            while began.elapsed() < Duration::from_secs(minutes * 60) {
                let permit = limits
                    .ready(Some(Bucket::Exports.name()), Duration::MAX)
                    .await;
                overlock_kit::sleep(Duration::from_millis(latency / 2)).await;
                clock.set(start.plus(began.elapsed()));
                let answer = emulator.handle(&overlock_sandbox::Request {
                    index: calls,
                    at: clock.now(),
                    method: "GET".parse().unwrap(),
                    path: "/api/v2/incremental/tickets/cursor.json".to_owned(),
                    query: "start_time=0&per_page=1".to_owned(),
                    headers: headers_of(&token),
                    body: bytes::Bytes::new(),
                    head_bytes: 0,
                });
                overlock_kit::sleep(Duration::from_millis(latency / 2)).await;
                limits.learn(&rates(Some(Bucket::Exports.name()), &answer.headers));
                drop(permit);
                calls += 1;
            }
            assert_eq!(emulator.refused(), 0, "{high_volume} {latency}");
            let allowed = minutes * if high_volume { 30 } else { 10 };
            // What one client can ask at all, one answer after the other.
            let possible = allowed.min(minutes * 60_000 / latency);
            assert!(
                calls * 100 >= possible * 98,
                "{calls} of {possible} calls were used"
            );
        }
    }

    fn headers_of(token: &str) -> HeaderMap {
        [("authorization".parse().unwrap(), token.parse().unwrap())]
            .into_iter()
            .collect()
    }
}
