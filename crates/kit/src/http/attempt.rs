//! One try: leave to send, headers, answer, and what the connector makes of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use overlock_core::{Error, ErrorKind, Event, Result, crash_point};
use tokio::time::Instant;
use tracing::debug;
use url::Url;

use super::api::Verdict;
use super::auth::Token;
use super::body::{Body, Watch, watched};
use super::client::Inner;
use super::inflate::{Caps, Encoding};
use super::request::{Class, Request, Response};
use super::{answer, budget, failure, headers, origin};
use crate::limits::Permit;

/// A good answer.
pub(super) enum Got {
    Whole(Response),
    Open(Body),
}

/// What came of one try.
pub(super) enum Outcome {
    Done(Got),
    /// The token is no longer good.
    Worn(Error),
    /// Worth another try.
    Again {
        error: Error,
        /// The server asks everybody to wait this long.
        after: Option<Duration>,
        /// Whom: the requests of this bucket, or all.
        gate: Option<&'static str>,
        /// Another try cannot do harm although the request is not idempotent.
        harmless: bool,
    },
    Fail(Error),
}

/// One try, ready to be sent.
pub(super) struct Attempt<'a> {
    pub(super) request: &'a Request,
    pub(super) url: Url,
    /// What authorises it; nothing for logins and for other hosts.
    pub(super) token: Option<&'a Token>,
    pub(super) open: bool,
    /// Logins answer with any status below 500; their [`Auth`] says what it means.
    pub(super) login: bool,
}

impl Inner {
    /// Sends once, and says what came of it.
    pub(super) async fn attempt(&self, attempt: Attempt<'_>) -> Outcome {
        let request = attempt.request;
        let permit = match self
            .limits
            .ready(request.bucket, self.config.max_wait)
            .await
        {
            Ok(permit) => permit,
            Err(wait) => return Outcome::Fail(budget::wait_too_long(wait)),
        };
        let headers = match Self::headers(&attempt) {
            Ok(headers) => headers,
            Err(error) => return Outcome::Fail(error),
        };
        if let Err(error) = self.budget.take_call(self.max_api_calls) {
            return Outcome::Fail(error);
        }
        crash_point!("H1.before_send");
        let watch = self.watch(request.class);
        let started = Instant::now();
        let sending = self
            .client
            .request(request.method.clone(), attempt.url.clone())
            .headers(headers)
            .body(request.body.clone())
            .send();
        let patience = self
            .config
            .connect_timeout
            .saturating_add(watch.idle)
            .min(watch.total);
        let sent = tokio::time::timeout(patience, sending).await;
        let waited = started.elapsed();
        let status = match &sent {
            Ok(Ok(answer)) => Some(answer.status().as_u16()),
            _ => None,
        };
        self.cx.events.emit(Event::Request {
            stream: request.stream.clone(),
            method: request.method.to_string(),
            url: origin::shown(&attempt.url),
            status,
            millis: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        });
        debug!(method = %request.method, url = %origin::shown(&attempt.url), status, "Request ended.");
        match sent {
            Ok(Ok(answer)) => {
                crash_point!("H2.after_headers");
                self.receive(&attempt, answer, watch, waited, permit).await
            }
            Ok(Err(error)) => {
                let route = self.proxies.route(&attempt.url);
                let failure = failure::of_send(error, &attempt.url, &route);
                let error = failure.error.context("url", origin::shown(&attempt.url));
                if failure.retry {
                    Outcome::Again {
                        error,
                        after: None,
                        gate: None,
                        harmless: failure.unsent,
                    }
                } else {
                    Outcome::Fail(error)
                }
            }
            Err(_) => {
                let patience = crate::duration::format(patience);
                let host = attempt.url.host_str().unwrap_or_default();
                Outcome::Again {
                    error: Error::new(
                        ErrorKind::Unavailable,
                        format!("ask {host}: no answer for {patience}"),
                    )
                    .context("url", origin::shown(&attempt.url))
                    .hint("the service or the network is slow: try again later, or raise `http.read_timeout`"),
                    after: None,
                    gate: None,
                    harmless: false,
                }
            }
        }
    }

    async fn receive(
        &self,
        attempt: &Attempt<'_>,
        answer: reqwest::Response,
        watch: Watch,
        waited: Duration,
        permit: Permit,
    ) -> Outcome {
        let request = attempt.request;
        let url = origin::shown(&attempt.url);
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        self.note_quota(&headers);
        if !attempt.login {
            self.limits.learn(&self.api.rates(request.bucket, &headers));
            if let Some(room) = self.api.room(&headers) {
                self.limits.learn_room(room);
            }
        }
        let good = answer.status().is_success();
        let encoding = match encoding(status, &headers) {
            Ok(encoding) => encoding,
            Err(error) => return Outcome::Fail(error.context("url", url)),
        };
        let max = if good {
            self.max_body(request)
        } else {
            answer::MAX_ERROR_BYTES
        };
        let chunks = watched(answer, watch, waited);
        let mut body = Body::new(status, headers.clone(), encoding, Caps::new(max), chunks);
        if good && attempt.open {
            // The permit bounds requests in flight, not downloads: a body may wait for its consumer while
            // that one needs another request.
            drop(permit);
            return self.opened(body, &url).await;
        }
        if !good {
            let words = beginning(&mut body).await;
            return self.refused(attempt, status, &headers, &words);
        }
        let whole = match body.collect().await {
            Ok(whole) => whole,
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                return again(error.context("url", url));
            }
            Err(error) => return Outcome::Fail(error.context("url", url)),
        };
        if let Err(error) = answer::refuse_html(status, &headers, &whole) {
            return again(error.context("url", url));
        }
        let verdict = if attempt.login {
            Verdict::Ok
        } else {
            self.api.classify(status, &headers, &whole)
        };
        self.act(attempt, verdict, status, headers, whole)
    }

    /// A streamed answer is good unless it is a page for people.
    async fn opened(&self, mut body: Body, url: &str) -> Outcome {
        let mut first = None;
        if body.encoding() == Encoding::Identity {
            first = match body.chunk().await {
                Ok(first) => first,
                Err(error) => {
                    return again(error.context("url", url));
                }
            };
        }
        let start = first.as_deref().unwrap_or_default();
        if let Err(error) = answer::refuse_html(body.status, &body.headers, start) {
            return again(error.context("url", url));
        }
        body.put_back(first);
        Outcome::Done(Got::Open(body))
    }

    fn refused(
        &self,
        attempt: &Attempt<'_>,
        status: u16,
        headers: &HeaderMap,
        words: &[u8],
    ) -> Outcome {
        // A server may repeat a credential in its refusal.
        let words = String::from_utf8_lossy(words);
        let words = self.cx.redactor.redact(&words).into_owned();
        let words = Bytes::from(words.into_bytes());
        let verdict = if attempt.login {
            match status {
                408 | 420 | 425 | 429 | 500..=599 => Verdict::Retry { after: None },
                300..=399 => Verdict::Fail(answer::refusal(status, headers, &words)),
                _ => Verdict::Ok,
            }
        } else if (300..=399).contains(&status) {
            Verdict::Fail(answer::refusal(status, headers, &words))
        } else {
            self.api.classify(status, headers, &words)
        };
        self.act(attempt, verdict, status, headers.clone(), words)
    }

    fn act(
        &self,
        attempt: &Attempt<'_>,
        verdict: Verdict,
        status: u16,
        headers: HeaderMap,
        body: Bytes,
    ) -> Outcome {
        let url = origin::shown(&attempt.url);
        match verdict {
            Verdict::Ok if attempt.open => Outcome::Fail(
                answer::refusal(status, &headers, &body).context("url", url),
            ),
            Verdict::Ok => Outcome::Done(Got::Whole(Response {
                status,
                headers,
                body,
            })),
            Verdict::RefreshAuth => Outcome::Worn(
                answer::refusal(status, &headers, &body)
                    .with_kind(ErrorKind::Auth)
                    .hint("the service refuses even a fresh login: check the source's credentials and permissions")
                    .context("url", url),
            ),
            Verdict::Fail(error) => Outcome::Fail(if error.get("url").is_none() {
                error.context("url", url)
            } else {
                error
            }),
            Verdict::Retry { after } => {
                let limited = status == 429;
                let after = after
                    .or_else(|| {
                        let now = self.cx.clock.now();
                        if limited {
                            headers::retry_after(&headers, now)
                        } else {
                            // Services tell with every answer when their window ends; only a 429 is about it.
                            headers::asked_wait(&headers, now)
                        }
                    })
                    .or(limited.then_some(self.config.rate_limit_wait));
                let mut error = answer::refusal(status, &headers, &body)
                    .with_kind(ErrorKind::Unavailable)
                    .context("url", url);
                if let Some(after) = after {
                    error = error.context(budget::RETRY_AFTER, after.as_secs().max(1));
                }
                Outcome::Again {
                    error,
                    after,
                    gate: self.api.gate(attempt.request.bucket, &headers),
                    // A 429 is a refusal to act.
                    harmless: limited,
                }
            }
        }
    }

    fn headers(attempt: &Attempt<'_>) -> Result<HeaderMap> {
        let mut headers = attempt.request.headers.clone();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let credentials = attempt.token.map(|token| &token.headers);
        for (name, value) in credentials.into_iter().flatten() {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                Error::new(
                    ErrorKind::Config,
                    "use the source's credentials: they have characters that no header may have",
                )
                .hint("look for a line break or a blank at the end of the secret")
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    fn watch(&self, class: Class) -> Watch {
        let config = &self.config;
        let (idle, total) = match class {
            Class::Normal => (config.read_timeout, config.total_timeout),
            Class::Bulk => (config.bulk_read_timeout, config.bulk_total_timeout),
        };
        Watch {
            idle,
            total,
            min_bytes_per_s: config.min_bytes_per_s,
            period: config.min_bytes_period,
        }
    }

    fn max_body(&self, request: &Request) -> u64 {
        request.max_body.unwrap_or(match request.class {
            Class::Normal => self.config.max_body_bytes,
            Class::Bulk => self.config.bulk_max_body_bytes,
        })
    }
}

/// Worth another try of a request that may be repeated.
fn again(error: Error) -> Outcome {
    Outcome::Again {
        error,
        after: None,
        gate: None,
        harmless: false,
    }
}

/// The beginning of a refusal's body; whatever breaks in it does not matter.
async fn beginning(body: &mut Body) -> Vec<u8> {
    let mut inflater = body.inflater();
    let mut words = Vec::new();
    while let Ok(Some(chunk)) = body.chunk().await {
        let pushed = inflater.push(&chunk, |bytes| {
            words.extend_from_slice(bytes);
            Ok(())
        });
        if pushed.is_err() {
            break;
        }
    }
    words
}

fn encoding(status: u16, headers: &HeaderMap) -> Result<Encoding> {
    // No body, whatever the header says of it.
    if status == 204 || status == 205 {
        return Ok(Encoding::Identity);
    }
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let name = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err(Error::new(
            ErrorKind::Data,
            format!(
                "read an answer: it is encoded as `{}`, which nobody asked for",
                overlock_core::text::printable(other)
            ),
        )),
    }
}
