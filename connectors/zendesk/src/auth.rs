//! The logins: client credentials, a refresh token that changes at each use, a bearer token, an API token.
//!
//! A refresh kills the tokens it replaces at once. What it answers is on disk, whole, before it is used, and a
//! lock keeps two runs from presenting the same one: a lost answer would mean that a person has to authorise
//! overlock again.
//!
//! **Invariant:** no secret leaves this file but inside [`Secret`] and what is posted to the account itself.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use overlock_core::{Error, ErrorKind, Result, Secret, Timestamp, crash_point};
use overlock_kit::files;
use overlock_kit::http::{Auth, LoginClient, Token, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config;
use crate::errors;
use crate::limits;

/// Logs in as the settings say.
pub(crate) struct Login {
    kind: config::Auth,
    base: Url,
    token_url: Url,
    folder: PathBuf,
    /// Fingerprint of the token that this process uses: a login after it means that it is dead.
    used: Mutex<Option<String>>,
}

impl Login {
    /// Prepares a login to the account at `base`.
    ///
    /// # Errors
    /// `Config` if no token endpoint can be made of `base`.
    pub(crate) fn new(kind: config::Auth, base: Url, folder: PathBuf) -> Result<Self> {
        // Not below /api/v2 (zendesk.md, section 2.1).
        let token_url = base
            .join("/oauth/tokens")
            .map_err(|error| Error::bug("make the URL of the token endpoint").source(error))?;
        Ok(Self {
            kind,
            base,
            token_url,
            folder,
            used: Mutex::default(),
        })
    }

    /// Notes which token is used from now on; false if it is the one that was used already.
    fn hand_out(&self, token: &Secret) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = files::fingerprint(token.expose());
        let is_new = used.as_ref() != Some(&fingerprint);
        *used = Some(fingerprint);
        is_new
    }

    async fn refresh(
        &self,
        client: &LoginClient<'_>,
        client_id: &str,
        client_secret: Option<&Secret>,
        configured: &Secret,
        scope: &str,
    ) -> Result<Secret> {
        let path = self.folder.join("token.json");
        let _lock = files::lock(&self.folder.join("token.lock"), "the refresh token").await?;
        let replaces = files::fingerprint(configured.expose());
        let stored = files::read::<Stored>(&path);
        if stored.is_none() && path.exists() {
            // Going back to the configured token would present one that is used up.
            return Err(Error::new(ErrorKind::Io, "read the stored refresh token")
                .context("path", path.display())
                .hint("restore the file; or delete it, authorise the OAuth client anew and put the new token under auth.refresh_token"));
        }
        let stored = stored.filter(|stored| stored.replaces == replaces);
        if let Some(stored) = &stored {
            client.learn(stored.refresh_token.expose());
            client.learn(stored.access_token.expose());
            // Also what another run has just fetched, if this one was refused the token before it.
            let is_alive = stored
                .expires
                .is_some_and(|expires| expires.minus(limits::TOKEN_MARGIN) > client.now());
            if is_alive && self.hand_out(&stored.access_token) {
                return Ok(Secret::new(stored.access_token.expose()));
            }
        }
        let present = stored
            .as_ref()
            .map_or(configured, |stored| &stored.refresh_token);
        let mut body = json!({
            "grant_type": "refresh_token",
            "client_id": client_id,
            "refresh_token": present.expose(),
            "scope": scope,
            "expires_in": limits::TOKEN_SECONDS,
            "refresh_token_expires_in": limits::REFRESH_SECONDS,
        });
        if let (Some(secret), Some(body)) = (client_secret, body.as_object_mut()) {
            body.insert("client_secret".to_owned(), secret.expose().into());
        }
        let answer = self.post(client, &body, false).await?;
        if let Some(rotated) = &answer.refresh_token {
            client.learn(rotated.expose());
            client.learn(answer.access_token.expose());
            let expires = answer
                .seconds()
                .map(|seconds| client.now().plus(Duration::from_secs(seconds)));
            crash_point!("T1.before_token_file");
            let record = Record {
                replaces: &replaces,
                refresh_token: rotated.expose(),
                access_token: answer.access_token.expose(),
                expires,
            };
            files::replace(&path, &record, || crash_point!("T2.token_written"))?;
            crash_point!("T3.after_token_rename");
        }
        self.hand_out(&answer.access_token);
        // After the new token is safe: the one before it is dead already.
        check_scopes(scope, answer.scope.as_deref())?;
        Ok(answer.access_token)
    }

    async fn post(
        &self,
        client: &LoginClient<'_>,
        body: &serde_json::Value,
        repeatable: bool,
    ) -> Result<TokenAnswer> {
        let mut tries = 1;
        let response = loop {
            let response = client
                .post_json(&self.token_url, body.to_string(), repeatable)
                .await?;
            let is_good = (200..300).contains(&response.status);
            // A damaged answer to a question that may be asked again.
            let is_damaged = is_good && response.json::<TokenAnswer>().is_err();
            if !(is_damaged && repeatable && tries < limits::LOGIN_TRIES) {
                break response;
            }
            tries += 1;
        };
        if !(200..300).contains(&response.status) {
            let text = String::from_utf8_lossy(&response.body);
            let safe = client.redactor().redact(&text);
            return Err(login_error(response.status, safe.as_bytes())
                .context("token_url", self.token_url.as_str()));
        }
        response.json()
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("token_url", &self.token_url.as_str())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Auth for Login {
    async fn login(&self, client: &LoginClient<'_>) -> Result<Token> {
        let authorization = match &self.kind {
            config::Auth::ClientCredentials {
                client_id,
                client_secret,
                scope,
            } => {
                let body = json!({
                    "grant_type": "client_credentials",
                    "client_id": client_id,
                    "client_secret": client_secret.expose(),
                    "scope": scope,
                    "expires_in": limits::TOKEN_SECONDS,
                });
                let answer = self.post(client, &body, true).await?;
                check_scopes(scope, answer.scope.as_deref())?;
                bearer(&answer.access_token)
            }
            config::Auth::RefreshToken {
                client_id,
                client_secret,
                refresh_token,
                scope,
            } => {
                let token = self
                    .refresh(
                        client,
                        client_id,
                        client_secret.as_ref(),
                        refresh_token,
                        scope,
                    )
                    .await?;
                bearer(&token)
            }
            config::Auth::Bearer {
                access_token: token,
            }
            | config::Auth::ApiToken {
                api_token: token, ..
            } if !self.hand_out(token) => {
                // There is no other token to be had, and nobody should try this one again.
                return Err(
                    Error::new(ErrorKind::Auth, "log in to Zendesk: it refuses the token")
                        .hint(refused_hint(&self.kind)),
                );
            }
            config::Auth::Bearer { access_token } => bearer(access_token),
            config::Auth::ApiToken { email, api_token } => {
                let pair = format!("{email}/token:{}", api_token.expose());
                Secret::new(format!("Basic {}", STANDARD.encode(pair)))
            }
            config::Auth::Password { .. } => {
                return Err(Error::bug("log in with a password"));
            }
        };
        if let Some((_, value)) = authorization.expose().split_once(' ') {
            client.learn(value);
        }
        Ok(Token::authorization(authorization, self.base.clone()))
    }
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    #[serde(default)]
    refresh_token: Option<Secret>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl TokenAnswer {
    /// Life of the access token in seconds, however it is written; the token is too dear to be lost by that.
    fn seconds(&self) -> Option<u64> {
        let text = match &self.expires_in {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.split('.').next()?.parse().ok()
    }
}

/// The token store: what replaced the configured token. A new token in the settings makes it void.
#[derive(Deserialize)]
struct Stored {
    replaces: String,
    refresh_token: Secret,
    access_token: Secret,
    #[serde(default)]
    expires: Option<Timestamp>,
}

#[derive(Serialize)]
struct Record<'a> {
    replaces: &'a str,
    refresh_token: &'a str,
    access_token: &'a str,
    expires: Option<Timestamp>,
}

/// Compares the scopes that were asked for with those that were given: a name that Zendesk does not know still
/// yields a token, which is then refused everything (zendesk.md, section 2.1).
///
/// # Errors
/// `Permission` if one is missing.
pub(crate) fn check_scopes(wanted: &str, granted: Option<&str>) -> Result<()> {
    let Some(granted) = granted else {
        return Ok(());
    };
    let has = |scope: &str| granted.split_whitespace().any(|one| one == scope);
    let missing: Vec<&str> = wanted
        .split_whitespace()
        .filter(|scope| {
            // `read` includes every `thing:read`.
            let general = scope.rsplit(':').next().unwrap_or(scope);
            !has(scope) && !has(general)
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = |scopes: &str| overlock_core::text::printable(scopes);
    Err(Error::new(
        ErrorKind::Permission,
        format!(
            "get a token with the scope `{}`: Zendesk gave one with `{}`",
            shown(&missing.join(" ")),
            shown(granted)
        ),
    )
    .hint("give the OAuth client the scope `read`, and leave auth.scope out"))
}

/// What the token endpoint's refusal means, with the setting to look at.
fn login_error(status: u16, body: &[u8]) -> Error {
    let (code, message) = errors::words(body);
    let (kind, hint) = match code.as_str() {
        "invalid_scope" => (
            ErrorKind::Permission,
            "the OAuth client may not have this scope: correct auth.scope, or the client's scopes in Admin Center",
        ),
        "invalid_client" | "unauthorized_client" => (
            ErrorKind::Auth,
            "check auth.client_id (the client's unique identifier) and auth.client_secret; client_credentials needs a confidential client",
        ),
        "invalid_grant" => (
            ErrorKind::Auth,
            "the refresh token is used up, expired or revoked: authorise the OAuth client anew and store the new token under auth.refresh_token",
        ),
        "unsupported_grant_type" => (
            ErrorKind::Auth,
            "the account does not allow this kind of login: check auth.kind",
        ),
        _ if status == 404 => (
            ErrorKind::Config,
            "there is no such account: check `subdomain`",
        ),
        _ => (
            ErrorKind::Auth,
            "check `subdomain`, auth.client_id and auth.client_secret",
        ),
    };
    Error::new(
        kind,
        format!("log in to Zendesk: it said {status} {code}: {message}"),
    )
    .context("status", status)
    .hint(hint)
}

/// What to say about API tokens on this day.
pub(crate) fn api_token_warning(now: Timestamp) -> String {
    let days = Timestamp::parse(&format!("{}T00:00:00Z", limits::API_TOKENS_END))
        .map_or(0, |end| end.since(now).as_secs() / 86_400);
    let end = limits::API_TOKENS_END;
    let left = if days == 0 {
        format!("API tokens ended on {end}")
    } else {
        format!("API tokens stop working on {end}, in {days} days")
    };
    format!(
        "{left}; none can be made since {}, and one that is not used for {} days is switched off: change auth.kind to client_credentials",
        limits::API_TOKENS_NO_NEW,
        limits::API_TOKEN_IDLE_DAYS
    )
}

/// What to do about a token that is refused, by the kind of login.
pub(crate) fn refused_hint(kind: &config::Auth) -> String {
    match kind {
        config::Auth::ApiToken { .. } => format!(
            "check auth.email and auth.api_token. Zendesk switches off API tokens that were not used for {} days and ends all of them on {}: move to kind = \"client_credentials\"",
            limits::API_TOKEN_IDLE_DAYS,
            limits::API_TOKENS_END
        ),
        config::Auth::Bearer { .. } => "the access token is expired or revoked: make a new one, or use kind = \"client_credentials\", which needs none to be kept".to_owned(),
        _ => "check that the OAuth client and its user are active and that the user is an administrator".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_were_not_given_are_told() {
        for (wanted, granted, good) in [
            ("read", Some("read"), true),
            ("read", Some("read write"), true),
            ("tickets:read users:read", Some("read"), true),
            ("read", None, true),
            ("read", Some("tickets:read"), false),
            ("read", Some(""), false),
            ("read impersonate", Some("read"), false),
        ] {
            assert_eq!(
                check_scopes(wanted, granted).is_ok(),
                good,
                "{wanted} {granted:?}"
            );
        }
    }

    #[test]
    fn the_end_of_api_tokens_is_counted_down() {
        let at = |text: &str| api_token_warning(Timestamp::parse(text).unwrap());
        assert!(at("2026-11-22T00:00:00Z").contains("2027-04-30, in 159 days"));
        assert!(at("2027-05-01T00:00:00Z").contains("ended on 2027-04-30"));
    }
}
