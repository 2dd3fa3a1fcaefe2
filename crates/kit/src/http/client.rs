//! The client itself: one loop that sends, asks the connector what the answer means, and tries again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use overlock_core::{Context, Error, ErrorKind, Event, Result, StreamName, Timestamp};
use url::Url;

use super::api::{Api, Quota};
use super::attempt::{Attempt, Got, Outcome};
use super::auth::{Auth, Session, Sessions};
use super::body::Body;
use super::budget::{self, Budget};
use super::config::HttpConfig;
use super::connect;
use super::origin::{self, Origins};
use super::proxy::Proxies;
use super::request::{Request, Response};
use crate::limits::Limits;

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
    pub(super) client: reqwest::Client,
    pub(super) config: HttpConfig,
    pub(super) origins: Arc<Origins>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) limits: Limits,
    pub(super) auth: Arc<dyn Auth>,
    pub(super) api: Arc<dyn Api>,
    pub(super) cx: Context,
    sessions: Sessions,
    pub(super) budget: Budget,
    pub(super) max_api_calls: Option<u64>,
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
    /// The given error if it is not `Unavailable` or `Data`, is about a size limit, comes from a request
    /// whose own attempts are used up, or the attempts or budgets are used up.
    pub async fn retry(
        &self,
        stream: Option<&StreamName>,
        attempt: u32,
        error: Error,
    ) -> Result<()> {
        let kind = error.kind();
        // A size limit holds next time too; and where the attempts of a request were used up, more of them
        // would multiply.
        let hopeless = error.get("limit").is_some() || error.get(budget::ATTEMPTS).is_some();
        if !matches!(kind, ErrorKind::Unavailable | ErrorKind::Data) || hopeless {
            return Err(error);
        }
        let reason = error.to_string();
        self.0
            .pause(stream, None, attempt, None, &reason, error)
            .await
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
            let (outcome, number) = if let Some(url) = &request.elsewhere {
                (self.try_elsewhere(request, url, open).await, 0)
            } else {
                let session = self.sessions.get(self, worn).await?;
                let outcome = self.try_once(request, &session, open).await;
                (outcome, session.number)
            };
            let (error, after, gate) = match outcome {
                Outcome::Done(got) => return Ok(got),
                Outcome::Fail(error) => return Err(error),
                Outcome::Worn(error) if worn.is_some() || number == 0 => return Err(error),
                Outcome::Worn(_) => {
                    worn = Some(number);
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
                Outcome::Again {
                    error, after, gate, ..
                } => (error, after, gate),
            };
            let reason = error.to_string();
            self.pause(
                request.stream.as_ref(),
                gate,
                attempt,
                after,
                &reason,
                error,
            )
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
            token: Some(&session.token),
            open,
            login: false,
        };
        self.attempt(attempt).await
    }

    /// Asks another host of the source's origins, without any credentials: a signed URL is one in itself.
    async fn try_elsewhere(&self, request: &Request, url: &Url, open: bool) -> Outcome {
        if let Err(error) = self.origins.check(url) {
            return Outcome::Fail(error);
        }
        if let Some(query) = url.query() {
            self.cx.redactor.learn(query);
        }
        let attempt = Attempt {
            request,
            url: url.clone(),
            token: None,
            open,
            login: false,
        };
        self.attempt(attempt).await
    }

    /// Sends a login; see [`super::LoginClient::post_form`].
    pub(super) async fn login_send(&self, url: &Url, request: Request) -> Result<Response> {
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
        let request = request.header("accept", "application/json");
        let repeatable = request.idempotent;
        let mut attempt = 1;
        loop {
            let outcome = self
                .attempt(Attempt {
                    request: &request,
                    url: url.clone(),
                    token: None,
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
            self.pause(None, None, attempt, after, &reason, error)
                .await?;
            attempt += 1;
        }
    }

    /// Pauses before the next try, or hands the error back if there is none.
    async fn pause(
        &self,
        stream: Option<&StreamName>,
        gate: Option<&'static str>,
        attempt: u32,
        after: Option<Duration>,
        reason: &str,
        error: Error,
    ) -> Result<()> {
        if let Some(wait) = after {
            // Shut it first: whether or not this request goes on, the others must know.
            let longer = self.limits.shut(gate, wait);
            if wait > self.config.max_wait || !self.budget.take_wait(longer, &self.config) {
                return Err(budget::wait_too_long(wait).source(error));
            }
        }
        if attempt >= self.config.attempts {
            return Err(error.context(budget::ATTEMPTS, attempt));
        }
        if !self.budget.take_retry(&self.config) {
            return Err(error.context(budget::ATTEMPTS, attempt).hint(
                "too many requests failed in this run: see whether the service has a problem, then run again",
            ));
        }
        let next = attempt.saturating_add(1);
        let wait = match after {
            Some(wait) => wait,
            None => budget::backoff(next, &self.config),
        };
        if after.is_none() && !self.budget.take_wait(wait, &self.config) {
            return Err(error.context(budget::ATTEMPTS, attempt));
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

    pub(super) fn note_quota(&self, headers: &HeaderMap) {
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use overlock_core::{Clock, Events, Proxy, Redactor, Secret};

    use super::super::api::PlainApi;
    use super::super::auth::{LoginClient, Token};
    use super::*;

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }
    }

    struct Always(Url);

    #[async_trait]
    impl Auth for Always {
        async fn login(&self, _: &LoginClient<'_>) -> Result<Token> {
            Ok(Token {
                headers: vec![("authorization", Secret::new("Bearer good-for-half-an-hour"))],
                base: self.0.clone(),
            })
        }
    }

    fn client() -> Http {
        let base = Url::parse("http://127.0.0.1:9").unwrap();
        let cx = Context {
            work_dir: std::path::PathBuf::new(),
            events: Events::none(),
            clock: Arc::new(Still),
            redactor: Redactor::default(),
            proxy: Proxy::default(),
            max_api_calls: None,
            ca_file: None,
        };
        let settings = HttpSettings {
            origins: Origins {
                configured: vec![base.clone()],
                ..Origins::default()
            },
            ..HttpSettings::default()
        };
        Http::new(settings, Arc::new(Always(base)), Arc::new(PlainApi), &cx).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_outlives_many_tokens_of_half_an_hour() {
        let http = client();
        let inner = &http.0;
        for number in 1..=20 {
            let worn = (number > 1).then_some(number - 1);
            let session = inner.sessions.get(inner, worn).await.unwrap();
            assert_eq!(session.number, number);
            crate::sleep(Duration::from_secs(1_800)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_refused_at_once_is_not_asked_for_again_and_again() {
        let http = client();
        let inner = &http.0;
        for worn in [None, Some(1)] {
            assert!(inner.sessions.get(inner, worn).await.is_ok());
        }
        let refused = inner.sessions.get(inner, Some(2)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth);
    }
}
