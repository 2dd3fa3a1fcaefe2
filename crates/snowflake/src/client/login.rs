//! The login: credentials and session parameters.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use overlock_core::{Error, ErrorKind, Redactor, Result, Secret};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::config::{Account, Auth};
use crate::warehouse::{Failure, Tag};

/// How long a JWT is good for. Snowflake takes at most an hour (unverified); it is used at once.
const JWT_SECONDS: u64 = 300;

/// Of an RSA key (snowflake.md, section 12).
const MIN_KEY_BITS: usize = 2048;

/// Parameters of every session, set with the login and read back from its answer (reliability.md, section 3).
fn parameters(tag: &Tag) -> Vec<(&'static str, Value)> {
    let mut query_tag = json!({
        "tool": "overlock",
        "pipeline": tag.key.pipeline,
        "stream": tag.key.stream,
    });
    if let Some(id) = tag.id {
        query_tag["commit"] = json!(id.to_string());
    }
    vec![
        ("QUERY_TAG", json!(query_tag.to_string())),
        ("TIMEZONE", json!("UTC")),
        // All heads of a schema lie in one table: a commit waits as long as another may take. A transaction
        // that nobody holds any more ends after five minutes.
        ("LOCK_TIMEOUT", json!(14_400)),
        ("STATEMENT_TIMEOUT_IN_SECONDS", json!(14_400)),
        ("TRANSACTION_ABORT_ON_ERROR", json!(true)),
        ("ERROR_ON_NONDETERMINISTIC_MERGE", json!(true)),
        ("QUOTED_IDENTIFIERS_IGNORE_CASE", json!(false)),
    ]
}

/// Statements that the stand-in cannot run and answers with nothing (interop.md).
const STAND_IN_SKIPS: [&str; 2] = [
    r"^\s*(--[^\n]*\n)?\s*REMOVE ",
    r"^\s*(--[^\n]*\n)?\s*GRANT ",
];

/// What is put into the driver's login.
pub(crate) struct Login {
    account: Arc<Account>,
    key: Option<Key>,
    tag: Tag,
    redactor: Redactor,
}

/// A private key, ready to sign.
#[derive(Clone)]
pub(crate) struct Key {
    signer: EncodingKey,
    /// As Snowflake shows it: `SHA256:<base64>`.
    pub(crate) fingerprint: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
}

impl Login {
    pub(crate) fn new(
        account: Arc<Account>,
        key: Option<Key>,
        tag: Tag,
        redactor: Redactor,
    ) -> Self {
        Self {
            account,
            key,
            tag,
            redactor,
        }
    }

    /// Keeps a token out of all outputs.
    pub(crate) fn learn(&self, token: &str) {
        self.redactor.learn(token);
    }

    /// Text of the server without our secrets.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redactor.redact(text)
    }

    /// Puts credentials and parameters into the driver's login.
    pub(crate) fn fill(&self, body: &mut Value, is_stand_in: bool) -> Result<()> {
        let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) else {
            return Err(Error::bug("read the driver's login"));
        };
        data.insert("ACCOUNT_NAME".to_owned(), json!(self.account.login_name()));
        data.insert("LOGIN_NAME".to_owned(), json!(self.account.user));
        data.remove("PASSWORD");
        let mut put = |name: &str, value: &str| {
            data.insert(name.to_owned(), json!(value));
        };
        match &self.account.auth {
            Auth::Password(password) => put("PASSWORD", password.expose()),
            Auth::OAuth(token) => {
                put("AUTHENTICATOR", "OAUTH");
                put("TOKEN", token.expose());
            }
            Auth::Token(token) => {
                put("AUTHENTICATOR", "PROGRAMMATIC_ACCESS_TOKEN");
                put("TOKEN", token.expose());
            }
            Auth::KeyPair { .. } => {
                let token = self.jwt()?;
                self.redactor.learn(&token);
                put("AUTHENTICATOR", "SNOWFLAKE_JWT");
                put("TOKEN", &token);
            }
        }
        let session = data.entry("SESSION_PARAMETERS").or_insert(json!({}));
        for (name, value) in parameters(&self.tag) {
            session[name] = value;
        }
        if is_stand_in {
            session["nop_regexes"] = json!(STAND_IN_SKIPS);
        }
        Ok(())
    }

    fn jwt(&self) -> Result<String> {
        let Some(key) = &self.key else {
            return Err(Error::bug("sign without a key"));
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let subject = format!(
            "{}.{}",
            self.account.login_name(),
            self.account.user.to_ascii_uppercase()
        );
        let claims = Claims {
            iss: format!("{subject}.{}", key.fingerprint),
            sub: subject,
            iat: now,
            exp: now + JWT_SECONDS,
        };
        encode(&Header::new(Algorithm::RS256), &claims, &key.signer)
            .map_err(|error| Error::bug("sign a login").source(error))
    }

    /// A parameter that did not take would change what statements mean.
    pub(crate) fn verify(&self, answer: &Value) -> std::result::Result<(), Failure> {
        for token in ["token", "masterToken"] {
            if let Some(token) = answer
                .pointer(&format!("/data/{token}"))
                .and_then(Value::as_str)
                && !token.is_empty()
            {
                self.redactor.learn(token);
            }
        }
        let found = answer.pointer("/data/parameters").and_then(Value::as_array);
        let text = |value: &Value| match value {
            Value::String(text) => text.to_ascii_lowercase(),
            other => other.to_string(),
        };
        for (name, wanted) in parameters(&self.tag) {
            let mut all = found.into_iter().flatten();
            let Some(one) = all.find(|one| one.get("name").and_then(Value::as_str) == Some(name))
            else {
                // Not every parameter is told.
                continue;
            };
            let value = one.get("value").unwrap_or(&Value::Null);
            if text(value) != text(&wanted) {
                return Err(Failure::refused(format!(
                    "set the session parameter {name}: Snowflake has {value} instead of {wanted}"
                )));
            }
        }
        Ok(())
    }
}

impl Key {
    /// Reads a private key in PEM.
    ///
    /// # Errors
    /// `Config`, with the command that makes it readable.
    pub(crate) fn read(pem: &Secret, passphrase: Option<&Secret>) -> Result<Self> {
        let text = pem.expose();
        let bad =
            |what: &str| Error::new(ErrorKind::Config, format!("read the private key: {what}"));
        let key = if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            let Some(passphrase) = passphrase else {
                return Err(bad("it is encrypted").hint("set `auth.passphrase`"));
            };
            RsaPrivateKey::from_pkcs8_encrypted_pem(text, passphrase.expose()).map_err(|_| {
                bad("it is encrypted otherwise, or with another passphrase").hint(CONVERT)
            })?
        } else if text.contains("BEGIN RSA PRIVATE KEY") {
            if text.contains("Proc-Type") {
                return Err(bad("it is encrypted in the old way").hint(CONVERT));
            }
            RsaPrivateKey::from_pkcs1_pem(text).map_err(|_| bad("it is damaged").hint(CONVERT))?
        } else if text.contains("BEGIN PRIVATE KEY") {
            RsaPrivateKey::from_pkcs8_pem(text)
                .map_err(|_| bad("it is no RSA key, or damaged").hint(MAKE))?
        } else if let Some((_, kind)) = OTHER_KINDS.iter().find(|(begin, _)| text.contains(begin)) {
            return Err(bad(&format!("it is {kind}, and Snowflake wants an RSA key")).hint(MAKE));
        } else {
            return Err(bad("it is not PEM").hint(CONVERT));
        };
        let bits = key.size() * 8;
        if bits < MIN_KEY_BITS {
            let what = format!("it has {bits} bits; Snowflake wants {MIN_KEY_BITS}");
            return Err(bad(&what).hint(MAKE));
        }
        let private = key.to_pkcs1_der().map_err(|_| bad("it is damaged"))?;
        let public = key
            .to_public_key()
            .to_public_key_der()
            .map_err(|_| bad("it is damaged"))?;
        Ok(Self {
            signer: EncodingKey::from_rsa_der(private.as_bytes()),
            fingerprint: format!(
                "SHA256:{}",
                STANDARD.encode(Sha256::digest(public.as_bytes()))
            ),
        })
    }
}

/// What else stands in PEM files.
const OTHER_KINDS: [(&str, &str); 5] = [
    ("BEGIN EC ", "an EC key"),
    ("BEGIN DSA ", "a DSA key"),
    ("BEGIN OPENSSH ", "a key of SSH"),
    ("BEGIN PUBLIC ", "a public key"),
    ("BEGIN CERTIFICATE", "a certificate"),
];

const MAKE: &str = "make a new one: `openssl genrsa 2048 | openssl pkcs8 -topk8 -nocrypt -out key.p8`, then \
                    `ALTER USER ... SET RSA_PUBLIC_KEY`";

const CONVERT: &str = "make it PKCS#8: `openssl pkcs8 -topk8 -v2 aes256 -in key.pem -out key.p8`";
