//! The two logins: an OAuth client, whose token lives for an hour, and the legacy headers.
//!
//! **Invariant:** no secret leaves this file but inside [`Secret`] and the form that is posted.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use overlock_core::{Error, ErrorKind, Result, Secret};
use overlock_kit::http::{Auth, LoginClient, Token, Url};
use serde::Deserialize;

use crate::client::Ahead;
use crate::config;
use crate::errors;

/// The number of the tenant that the first login led to, where the answer tells it.
pub(crate) type Tenant = Arc<OnceLock<String>>;

/// Logs in as the settings say.
pub(crate) struct Login {
    kind: config::Auth,
    base: Url,
    token_url: Url,
    tenant: Tenant,
    ahead: Ahead,
}

impl Login {
    /// Prepares a login.
    ///
    /// # Errors
    /// `Config` if the base is none.
    pub(crate) fn new(kind: config::Auth, base: Url) -> Result<Self> {
        let token_url = base
            .join("/oauth/token")
            .map_err(|_| Error::new(ErrorKind::Config, "use base_url"))?;
        Ok(Self {
            kind,
            base,
            token_url,
            tenant: Tenant::default(),
            ahead: Ahead::default(),
        })
    }

    /// How the clocks differ, known after the first login by OAuth.
    pub(crate) fn ahead(&self) -> Ahead {
        self.ahead.clone()
    }

    /// The number of the tenant, known after the first login by OAuth.
    pub(crate) fn tenant(&self) -> Tenant {
        Arc::clone(&self.tenant)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Secret,
    #[serde(default)]
    scope: String,
}

#[async_trait]
impl Auth for Login {
    async fn login(&self, client: &LoginClient<'_>) -> Result<Token> {
        let (client_id, client_secret) = match &self.kind {
            config::Auth::Oauth {
                client_id,
                client_secret,
            } => (client_id, client_secret),
            config::Auth::Keys { user, password } => {
                let header = |text: &str| Secret::new(text.to_owned());
                return Ok(Token {
                    headers: vec![
                        ("apiaccesskeyid", header(user)),
                        ("apisecretaccesskey", header(password.expose())),
                    ],
                    base: self.base.clone(),
                });
            }
        };
        let form = [
            ("client_id", client_id.as_str()),
            ("client_secret", client_secret.expose()),
            ("grant_type", "client_credentials"),
        ];
        let response = client.post_form(&self.token_url, &form, true).await?;
        self.ahead.note(&response.headers, client.now());
        if !(200..300).contains(&response.status) {
            let text = String::from_utf8_lossy(&response.body);
            let safe = client.redactor().redact(&text);
            return Err(errors::login_error(response.status, safe.as_bytes())
                .context("token_url", self.token_url.as_str()));
        }
        let answer: TokenAnswer = response.json()?;
        client.learn(answer.access_token.expose());
        if let Some(number) = answer
            .scope
            .split_whitespace()
            .find_map(|scope| scope.strip_prefix("tenant."))
        {
            self.tenant.get_or_init(|| number.to_owned());
        }
        let bearer = Secret::new(format!("Bearer {}", answer.access_token.expose()));
        Ok(Token::authorization(bearer, self.base.clone()))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("token_url", &self.token_url.as_str())
            .finish_non_exhaustive()
    }
}
