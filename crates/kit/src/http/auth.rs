//! Logging in: once for all, seldom, and never again after a refusal.
//!
//! All requests of a client share one token. When it dies, the first request that notices logs in again
//! while the others wait (single flight). A refused login is remembered: repeating it could lock the
//! account.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use overlock_core::{Error, ErrorKind, Redactor, Result, Secret, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::client::Inner;
use super::request::{Request, Response};

/// What authorises requests, and where they go.
pub struct Token {
    /// Headers that carry it, such as `authorization: Bearer ...`; names in small letters.
    pub headers: Vec<(&'static str, Secret)>,
    /// The origin of the API. Must be one of the client's [`Origins`](super::Origins).
    pub base: Url,
}

impl Token {
    /// A token in the header `Authorization`.
    pub fn authorization(value: Secret, base: Url) -> Self {
        Self {
            headers: vec![("authorization", value)],
            base,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("base", &super::origin::shown(&self.base))
            .finish_non_exhaustive()
    }
}

/// How a connector logs in.
#[async_trait]
pub trait Auth: Send + Sync {
    /// Gets a fresh token. Called by one request at a time, at most twice per run (and once more for each
    /// hour that it lasts). A `Config`, `Auth` or `Permission` error is final for the run.
    async fn login(&self, client: &LoginClient<'_>) -> Result<Token>;
}

/// A value of `Authorization` that never changes, such as an API key or basic authentication.
pub struct StaticAuth {
    authorization: Arc<Secret>,
    base: Url,
}

impl StaticAuth {
    /// Sends `authorization` with each request to `base`.
    pub fn new(authorization: Secret, base: Url) -> Self {
        Self {
            authorization: Arc::new(authorization),
            base,
        }
    }
}

impl fmt::Debug for StaticAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticAuth")
    }
}

#[async_trait]
impl Auth for StaticAuth {
    async fn login(&self, _: &LoginClient<'_>) -> Result<Token> {
        let authorization = Secret::new(self.authorization.expose());
        Ok(Token::authorization(authorization, self.base.clone()))
    }
}

/// What a login may use: posts to the configured and known origins, and nothing else.
pub struct LoginClient<'a> {
    pub(super) inner: &'a Inner,
}

impl LoginClient<'_> {
    /// Posts a form without any authorisation and returns the answer whatever its status below 500, but for
    /// 429. `repeatable` says that the same form may be sent again if the answer was lost; a refresh token
    /// that rotates may not.
    ///
    /// # Errors
    /// `Config` if the URL is not of a configured or known origin; `Unavailable` or `RateLimited` if there
    /// was no answer of use.
    pub async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        repeatable: bool,
    ) -> Result<Response> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request =
            Request::new(Method::POST, url.path()).body("application/x-www-form-urlencoded", body);
        self.inner
            .login_send(url, request.idempotent(repeatable))
            .await
    }

    /// Posts a JSON object in the same way.
    ///
    /// # Errors
    /// As [`post_form`](Self::post_form).
    pub async fn post_json(&self, url: &Url, body: String, repeatable: bool) -> Result<Response> {
        let request = Request::post(url.path(), body);
        self.inner
            .login_send(url, request.idempotent(repeatable))
            .await
    }

    /// Makes a secret that appeared during the login known to the output filter.
    pub fn learn(&self, secret: &str) {
        self.redactor().learn(secret);
    }

    /// The output filter.
    pub fn redactor(&self) -> &Redactor {
        &self.inner.cx.redactor
    }

    /// The local clock.
    pub fn now(&self) -> Timestamp {
        self.inner.cx.clock.now()
    }
}

impl fmt::Debug for LoginClient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginClient")
    }
}

/// A token with the number of the login that made it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: Token,
    pub(super) number: u32,
}

/// Logins that every run may make: one, and one after the token died.
const LOGINS: u32 = 2;
/// One more login per this much time, for runs that outlive several tokens.
const EARNED_EACH: Duration = Duration::from_secs(3_600);

/// A token that lived so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Sessions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    logins: u32,
    /// Logins in all.
    number: u32,
    first: Option<Instant>,
    /// When the newest token was asked for.
    newest: Option<Instant>,
    refused: Option<Refusal>,
}

/// An error is not `Clone`; this is what of it every later request gets to see.
struct Refusal {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Sessions {
    /// The current session, or a new one if there is none or the current one is `worn`.
    pub(super) async fn get(&self, inner: &Inner, worn: Option<u32>) -> Result<Arc<Session>> {
        let mut state = self.state.lock().await;
        if let Some(refused) = &state.refused {
            return Err(refused.error());
        }
        if let Some(session) = &state.session
            && worn.is_none_or(|worn| worn < session.number)
        {
            return Ok(Arc::clone(session));
        }
        let first = *state.first.get_or_insert_with(Instant::now);
        // A token that was good for some time and then died says nothing against its successor.
        let lived = state.newest.map(|newest| newest.elapsed());
        if lived.is_some_and(|lived| lived >= GOOD_AFTER) {
            state.logins = state.logins.saturating_sub(1);
        }
        let earned = first.elapsed().as_secs() / EARNED_EACH.as_secs();
        if u64::from(state.logins) >= u64::from(LOGINS) + earned {
            let error = too_many();
            return Err(state.refuse(error));
        }
        state.newest = Some(Instant::now());
        state.logins += 1;
        state.number += 1;
        let number = state.number;
        let token = match inner.auth.login(&LoginClient { inner }).await {
            Ok(token) => token,
            Err(error) => {
                let final_kinds = [ErrorKind::Config, ErrorKind::Auth, ErrorKind::Permission];
                return Err(if final_kinds.contains(&error.kind()) {
                    state.refuse(error)
                } else {
                    // No token was given, so none was refused: the next request may try again.
                    state.logins -= 1;
                    error
                });
            }
        };
        inner.origins.check(&token.base)?;
        for (_, value) in &token.headers {
            let value = value.expose();
            inner.cx.redactor.learn(value);
            if let Some((_, credentials)) = value.split_once(' ') {
                inner.cx.redactor.learn(credentials);
            }
        }
        let session = Arc::new(Session { token, number });
        state.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// The base of the current session, if there is one.
    pub(super) async fn base(&self) -> Option<Url> {
        let state = self.state.lock().await;
        state
            .session
            .as_ref()
            .map(|session| session.token.base.clone())
    }
}

impl State {
    fn refuse(&mut self, error: Error) -> Error {
        self.session = None;
        self.refused = Some(Refusal {
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint_text().map(ToOwned::to_owned),
        });
        error
    }
}

impl Refusal {
    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        match &self.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    }
}

fn too_many() -> Error {
    Error::new(
        ErrorKind::Auth,
        "keep a session: the service refused the token twice, and more logins could lock the account",
    )
    .hint("check the permissions and the session settings of the source's user")
}
