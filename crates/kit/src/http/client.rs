//! The client itself: one loop that sends, asks the connector what the answer means, and tries again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use overlock_core::{
    Context, Error, ErrorKind, Event, Result, Secret, StreamName, Timestamp, crash_point,
};
use tokio::time::Instant;
use url::Url;

use super::api::{Api, Quota, Verdict};
use super::auth::{Auth, Session, Sessions};
use super::body::{Body, Watch, watched};
use super::budget::{self, Budget};
use super::config::HttpConfig;
use super::failure;
use super::inflate::{Caps, Encoding};
use super::origin::{self, Origins};
use super::proxy::Proxies;
use super::request::{Class, Request, Response};
use super::{answer, connect, headers};
use crate::limits::{Limits, Permit};

/// What a connector says when it makes its client.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Time-outs, retries and size limits.
    pub config: HttpConfig,
    /// Where requests may go.
    pub origins: Origins,
    /// How fast.
    pub limits: Limits,
    /// Most calls per run by the source's own settings; the context may have a smaller budget.
    pub max_api_calls: Option<u64>,
    /// Stop when this much of the service's quota is used, in percent.
    pub stop_at_percent: Option<u8>,
}

/// The HTTP client of one source instance. Cheap to clone; all clones share session, limits and budgets.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

pub(super) struct Inner {
    client: reqwest::Client,
    config: HttpConfig,
    pub(super) origins: Arc<Origins>,
    proxies: Arc<Proxies>,
    limits: Limits,
    pub(super) auth: Arc<dyn Auth>,
    api: Arc<dyn Api>,
    pub(super) cx: Context,
    sessions: Sessions,
    budget: Budget,
    max_api_calls: Option<u64>,
    stop_at_percent: Option<u8>,
    quota: Mutex<Option<Quota>>,
}

impl Http {
    /// Builds the client; no network.
    ///
    /// # Errors
    /// `Config` if settings, proxy or CA file are of no use.
    pub fn new(
        settings: HttpSettings,
        auth: Arc<dyn Auth>,
        api: Arc<dyn Api>,
        cx: &Context,
    ) -> Result<Self> {
        settings.config.validate()?;
        settings.origins.validate()?;
        let origins = Arc::new(settings.origins);
        let proxies = Arc::new(Proxies::new(&cx.proxy)?);
        for password in proxies.passwords() {
            cx.redactor.learn(password);
        }
        let client = connect::client(&settings.config, &origins, &proxies, cx.ca_file.as_deref())?;
        let budgets = [settings.max_api_calls, cx.max_api_calls];
        Ok(Self(Arc::new(Inner {
            client,
            config: settings.config,
            origins,
            proxies,
            limits: settings.limits,
            auth,
            api,
            cx: cx.clone(),
            sessions: Sessions::default(),
            budget: Budget::default(),
            max_api_calls: budgets.into_iter().flatten().min(),
            stop_at_percent: settings.stop_at_percent,
            quota: Mutex::new(None),
        })))
    }

    /// Logs in if that was not done yet, and returns the origin of the API.
    ///
    /// # Errors
    /// As the connector's [`Auth`] says.
    pub async fn login(&self) -> Result<Url> {
        let session = self.0.sessions.get(&self.0, None).await?;
        Ok(session.token.base.clone())
    }

    /// Sends a request and reads the whole answer, trying again as often as the budgets allow.
    ///
    /// # Errors
    /// What the connector's [`Api`] says, or: `Unavailable` if the service cannot be reached or keeps
    /// failing, `RateLimited` if a budget is used up, `Auth` if it refuses fresh credentials.
    pub async fn send(&self, request: Request) -> Result<Response> {
        match self.0.run(&request, false).await? {
            Got::Whole(response) => Ok(response),
            Got::Open(_) => Err(Error::bug(
                "read an answer that was not asked for in pieces",
            )),
        }
    }

    /// Sends a request and returns when the headers of a good answer are here; the body follows as it
    /// comes, still compressed. Failures before that are tried again as in [`send`](Self::send); for a body
    /// that breaks see [`retry`](Self::retry).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn open(&self, request: Request) -> Result<Body> {
        match self.0.run(&request, true).await? {
            Got::Open(body) => Ok(body),
            Got::Whole(_) => Err(Error::bug("stream an answer that was not asked for whole")),
        }
    }

    /// Takes path and query of a link that the server gave, for a [`Request`].
    ///
    /// # Errors
    /// `Unavailable` if it leads to another origin than the API's.
    pub async fn link(&self, link: &str) -> Result<String> {
        let base = match self.0.sessions.base().await {
            Some(base) => base,
            None => self.login().await?,
        };
        origin::link(&base, link)
    }

    /// Decides about an answer that arrived but turned out damaged: pauses and returns, so that the caller
    /// asks for it again, or hands the error back. `attempt` counts the tries of this answer so far, from 1.
    ///
    /// # Errors
    /// The given error if it is not `Unavailable` or `Data`, is about a size limit, or the attempts or
    /// budgets are used up.
    pub async fn retry(
        &self,
        stream: Option<&StreamName>,
        attempt: u32,
        error: Error,
    ) -> Result<()> {
        let kind = error.kind();
        if !matches!(kind, ErrorKind::Unavailable | ErrorKind::Data) || error.get("limit").is_some()
        {
            return Err(error);
        }
        let reason = error.to_string();
        self.0.pause(stream, attempt, None, &reason, error).await
    }

    /// Requests so far; failed attempts and logins count too.
    pub fn calls(&self) -> u64 {
        self.0.budget.calls()
    }

    /// The limits and time-outs in force.
    pub fn config(&self) -> &HttpConfig {
        &self.0.config
    }

    /// The local clock.
    pub fn now(&self) -> Timestamp {
        self.0.cx.clock.now()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

enum Got {
    Whole(Response),
    Open(Body),
}

enum Outcome {
    Done(Got),
    /// The token is no longer good.
    Worn(Error),
    /// Worth another try.
    Again {
        error: Error,
        /// The server asks everybody to wait this long.
        after: Option<Duration>,
        /// Another try cannot do harm although the request is not idempotent.
        harmless: bool,
    },
    Fail(Error),
}

/// One try, ready to be sent.
struct Attempt<'a> {
    request: &'a Request,
    url: Url,
    authorization: Option<&'a Secret>,
    open: bool,
    /// Logins answer with any status below 500; their [`Auth`] says what it means.
    login: bool,
}

impl Inner {
    async fn run(&self, request: &Request, open: bool) -> Result<Got> {
        if let Some(name) = &request.invalid {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "send the header `{name}`: its value has characters that no header may have"
                ),
            ));
        }
        let mut attempt = 1;
        let mut worn: Option<u32> = None;
        loop {
            self.check_quota()?;
            let session = self.sessions.get(self, worn).await?;
            let outcome = self.try_once(request, &session, open).await;
            let (error, after) = match outcome {
                Outcome::Done(got) => return Ok(got),
                Outcome::Fail(error) => return Err(error),
                Outcome::Worn(error) if worn.is_some() => return Err(error),
                Outcome::Worn(_) => {
                    worn = Some(session.number);
                    self.emit_retry(
                        request.stream.as_ref(),
                        attempt,
                        Duration::ZERO,
                        "the token is no longer good",
                    );
                    continue;
                }
                Outcome::Again {
                    error, harmless, ..
                } if !(harmless || request.idempotent) => {
                    return Err(error.hint("whether the service acted on this request is unknown; it is not repeated by itself"));
                }
                Outcome::Again { error, after, .. } => (error, after),
            };
            let reason = error.to_string();
            self.pause(request.stream.as_ref(), attempt, after, &reason, error)
                .await?;
            attempt += 1;
        }
    }

    async fn try_once(&self, request: &Request, session: &Session, open: bool) -> Outcome {
        let url = match origin::join(&session.token.base, &request.path) {
            Ok(url) => url,
            Err(error) => return Outcome::Fail(error),
        };
        let attempt = Attempt {
            request,
            url,
            authorization: Some(&session.token.authorization),
            open,
            login: false,
        };
        self.attempt(attempt).await
    }

    /// Posts a login form; see [`super::LoginClient::post_form`].
    pub(super) async fn login_post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        repeatable: bool,
    ) -> Result<Response> {
        if !self.origins.is_configured(url)
            && !self
                .origins
                .known
                .iter()
                .any(|known| origin::same_origin(known, url))
        {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "log in at {}: it is not a host of the source's settings",
                    origin::shown(url)
                ),
            ));
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::new(Method::POST, url.path())
            .body("application/x-www-form-urlencoded", body)
            .header("accept", "application/json")
            .idempotent(repeatable);
        let mut attempt = 1;
        loop {
            let outcome = self
                .attempt(Attempt {
                    request: &request,
                    url: url.clone(),
                    authorization: None,
                    open: false,
                    login: true,
                })
                .await;
            let (error, after) = match outcome {
                Outcome::Done(Got::Whole(response)) => return Ok(response),
                Outcome::Done(Got::Open(_)) => return Err(Error::bug("stream a login's answer")),
                Outcome::Fail(error) | Outcome::Worn(error) => return Err(error),
                Outcome::Again {
                    error, harmless, ..
                } if !(harmless || repeatable) => {
                    return Err(error);
                }
                Outcome::Again { error, after, .. } => (error, after),
            };
            let reason = error.to_string();
            self.pause(None, attempt, after, &reason, error).await?;
            attempt += 1;
        }
    }

    async fn attempt(&self, attempt: Attempt<'_>) -> Outcome {
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
        let good = answer.status().is_success();
        let encoding = match encoding(&headers) {
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
                return Outcome::Again {
                    error: error.context("url", url),
                    after: None,
                    harmless: false,
                };
            }
            Err(error) => return Outcome::Fail(error.context("url", url)),
        };
        if let Err(error) = answer::refuse_html(status, &headers, &whole) {
            return Outcome::Again {
                error: error.context("url", url),
                after: None,
                harmless: false,
            };
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
                    return Outcome::Again {
                        error: error.context("url", url),
                        after: None,
                        harmless: false,
                    };
                }
            };
        }
        let start = first.as_deref().unwrap_or_default();
        if let Err(error) = answer::refuse_html(body.status, &body.headers, start) {
            return Outcome::Again {
                error: error.context("url", url),
                after: None,
                harmless: false,
            };
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
                    .or_else(|| headers::retry_after(&headers, self.cx.clock.now()))
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
                    // A 429 is a refusal to act.
                    harmless: limited,
                }
            }
        }
    }

    /// Pauses before the next try, or hands the error back if there is none.
    async fn pause(
        &self,
        stream: Option<&StreamName>,
        attempt: u32,
        after: Option<Duration>,
        reason: &str,
        error: Error,
    ) -> Result<()> {
        if let Some(wait) = after {
            // Shut it first: whether or not this request goes on, the others must know.
            let longer = self.limits.shut(wait);
            if wait > self.config.max_wait || !self.budget.take_wait(longer, &self.config) {
                return Err(budget::wait_too_long(wait).source(error));
            }
        }
        if attempt >= self.config.attempts {
            return Err(error.context("attempts", attempt));
        }
        if !self.budget.take_retry(&self.config) {
            return Err(error.context("attempts", attempt).hint(
                "too many requests failed in this run: see whether the service has a problem, then run again",
            ));
        }
        let next = attempt.saturating_add(1);
        let wait = match after {
            Some(wait) => wait,
            None => budget::backoff(next, &self.config),
        };
        if after.is_none() && !self.budget.take_wait(wait, &self.config) {
            return Err(error.context("attempts", attempt));
        }
        self.emit_retry(stream, attempt, wait, reason);
        // A wait that the server asked for is spent at the gate.
        if after.is_none() {
            crate::sleep(wait).await;
        }
        Ok(())
    }

    fn emit_retry(&self, stream: Option<&StreamName>, attempt: u32, wait: Duration, reason: &str) {
        self.cx.events.emit(Event::Retry {
            stream: stream.cloned(),
            attempt: attempt.saturating_add(1),
            wait_millis: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            reason: self.cx.redactor.redact(reason).into_owned(),
        });
    }

    fn headers(attempt: &Attempt<'_>) -> Result<HeaderMap> {
        let mut headers = attempt.request.headers.clone();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(authorization) = attempt.authorization {
            let mut value = HeaderValue::from_str(authorization.expose()).map_err(|_| {
                Error::new(
                    ErrorKind::Config,
                    "use the source's credentials: they have characters that no header may have",
                )
                .hint("look for a line break or a blank at the end of the secret")
            })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
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

    fn note_quota(&self, headers: &HeaderMap) {
        let Some(quota) = self.api.quota(headers) else {
            return;
        };
        let mut known = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != Some(quota) {
            *known = Some(quota);
            drop(known);
            let Quota { used, max } = quota;
            self.cx.events.emit(Event::Quota { used, max });
        }
    }

    fn check_quota(&self) -> Result<()> {
        let Some(percent) = self.stop_at_percent else {
            return Ok(());
        };
        let quota = *self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        match quota {
            Some(Quota { used, max })
                if u128::from(used) * 100 >= u128::from(max) * u128::from(percent) =>
            {
                Err(Error::new(
                    ErrorKind::RateLimited,
                    format!("make another API call: {used} of the service's {max} calls are used, and this source stops at {percent} %"),
                )
                .context("quota_used", used)
                .context("quota_max", max)
                .hint("what was read is kept; run again when calls are free, or raise `stop_at_percent_of_daily`"))
            }
            _ => Ok(()),
        }
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

fn encoding(headers: &HeaderMap) -> Result<Encoding> {
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
