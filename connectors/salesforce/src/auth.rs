//! The three logins: JWT bearer, client credentials, refresh token with rotation.
//!
//! Token endpoint and audience are separate settings, because real orgs need each combination (GovCloud,
//! Spring '26). A refresh token that the app rotates is stored before the access token is used: presenting
//! the old one again would revoke both. A file lock keeps two runs from presenting the same one.
//!
//! **Invariant:** no secret leaves this file but inside [`Secret`] and the form that is posted.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use overlock_core::{Error, ErrorKind, Result, Secret, Timestamp, crash_point};
use overlock_kit::files;
use overlock_kit::http::{Auth, LoginClient, Token};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{self, Settings};
use crate::{errors, limits};

/// Logs in as the settings say.
pub(crate) struct Login {
    kind: config::Auth,
    token_url: Url,
    audience: String,
    instance_url: Option<Url>,
    folder: PathBuf,
    key: Option<EncodingKey>,
    org: Org,
}

/// The id of the org that the first login led to.
pub(crate) type Org = Arc<OnceLock<String>>;

impl Login {
    /// Prepares a login; reads the private key, so that a wrong one is found before any request.
    ///
    /// # Errors
    /// `Config` if the private key is not an RSA key in PEM form.
    pub(crate) fn new(settings: Settings, folder: PathBuf) -> Result<Self> {
        let token_url = settings.token_url();
        let audience = settings.audience();
        let key = match &settings.auth {
            config::Auth::Jwt { private_key, .. } => {
                // The library's error could quote the key: only its own words are kept.
                let key = EncodingKey::from_rsa_pem(private_key.expose().as_bytes());
                Some(key.map_err(|_| {
                    Error::new(ErrorKind::Config, "read auth.private_key as an RSA key")
                        .context("key", "auth.private_key")
                        .hint("give the PEM text that begins with -----BEGIN PRIVATE KEY-----, for example as file:secrets/sfdc.pem")
                })?)
            }
            _ => None,
        };
        Ok(Self {
            kind: settings.auth,
            token_url,
            audience,
            instance_url: settings.instance_url,
            folder,
            key,
            org: Org::default(),
        })
    }

    /// The id of the org, known after the first login.
    pub(crate) fn org(&self) -> Org {
        Arc::clone(&self.org)
    }

    fn assertion(&self, username: &str, now: Timestamp) -> Result<Secret> {
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| Error::bug("sign without a key"))?;
        let claims = Claims {
            iss: self.kind.client_id(),
            sub: username,
            aud: &self.audience,
            exp: now.seconds() + limits::ASSERTION_LIFE_SECONDS,
        };
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, key)
            .map_err(|_| Error::new(ErrorKind::Config, "sign with auth.private_key"))?;
        Ok(Secret::new(signed))
    }

    async fn refresh(
        &self,
        client: &LoginClient<'_>,
        client_secret: Option<&Secret>,
        configured: &Secret,
    ) -> Result<TokenAnswer> {
        let path = self.folder.join("refresh_token.json");
        let _lock =
            files::lock(&self.folder.join("refresh_token.lock"), "the refresh token").await?;
        let replaces = files::fingerprint(configured.expose());
        let stored = files::read::<Stored>(&path).filter(|stored| stored.replaces == replaces);
        let present = stored
            .as_ref()
            .map_or(configured, |stored| &stored.refresh_token);
        client.learn(present.expose());
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", self.kind.client_id()),
            ("refresh_token", present.expose()),
        ];
        if let Some(secret) = client_secret {
            form.push(("client_secret", secret.expose()));
        }
        let answer = self.post(client, &form, false).await?;
        if let Some(rotated) = &answer.refresh_token
            && rotated.expose() != present.expose()
        {
            client.learn(rotated.expose());
            crash_point!("T1.before_token_file");
            let record = Rotated {
                replaces: &replaces,
                refresh_token: rotated.expose(),
            };
            files::replace(&path, &record, || crash_point!("T2.token_written"))?;
            crash_point!("T3.after_token_rename");
        }
        Ok(answer)
    }

    async fn post(
        &self,
        client: &LoginClient<'_>,
        form: &[(&str, &str)],
        repeatable: bool,
    ) -> Result<TokenAnswer> {
        let response = client.post_form(&self.token_url, form, repeatable).await?;
        if !(200..300).contains(&response.status) {
            let body = String::from_utf8_lossy(&response.body);
            let safe = client.redactor().redact(&body);
            return Err(errors::login_error(response.status, safe.as_bytes())
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
        let answer = match &self.kind {
            config::Auth::Jwt { username, .. } => {
                let assertion = self.assertion(username, client.now())?;
                client.learn(assertion.expose());
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.expose()),
                ];
                self.post(client, &form, true).await?
            }
            config::Auth::ClientCredentials {
                client_id,
                client_secret,
            } => {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.expose()),
                ];
                self.post(client, &form, true).await?
            }
            config::Auth::RefreshToken {
                client_secret,
                refresh_token,
                ..
            } => {
                self.refresh(client, client_secret.as_ref(), refresh_token)
                    .await?
            }
        };
        client.learn(answer.access_token.expose());
        if let Some(org) = answer.org() {
            // Of two logins of one run, the first counts; the second is of the same user.
            self.org.get_or_init(|| org);
        }
        let base = match &self.instance_url {
            Some(base) => base.clone(),
            None => Url::parse(answer.instance_url.trim_end_matches('/')).map_err(|_| {
                Error::new(
                    ErrorKind::Unavailable,
                    "use the instance_url of the login's answer: it is not a URL",
                )
            })?,
        };
        let authorization = Secret::new(format!("Bearer {}", answer.access_token.expose()));
        Ok(Token::authorization(authorization, base))
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    #[serde(default)]
    instance_url: String,
    #[serde(default)]
    refresh_token: Option<Secret>,
    /// `https://login.salesforce.com/id/<org>/<user>` (salesforce.md, section 2).
    #[serde(default)]
    id: String,
}

impl TokenAnswer {
    fn org(&self) -> Option<String> {
        let (_, rest) = self.id.split_once("/id/")?;
        let org = rest.split('/').next()?;
        let is_id = org.starts_with("00D") && org.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // The first 15 signs are the id; three more only check it.
        is_id.then(|| org.get(..15).unwrap_or(org).to_owned())
    }
}

/// The token store: a token that replaced the configured one. A new token in the settings makes it void.
#[derive(Deserialize)]
struct Stored {
    replaces: String,
    refresh_token: Secret,
}

#[derive(Serialize)]
struct Rotated<'a> {
    replaces: &'a str,
    refresh_token: &'a str,
}
