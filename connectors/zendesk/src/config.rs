//! The settings of a Zendesk source: what a user may write below `[source.NAME]`.

use overlock_core::{Error, ErrorKind, Key, KeyKind, Redactor, Result, Secret, Spec, Timestamp};
use overlock_kit::HttpConfig;
use overlock_kit::http::{Url, parse_url};
use serde::Deserialize;

use crate::limits;

/// All settings but `connector`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The account: `acme` of `https://acme.zendesk.com`.
    #[serde(default)]
    pub subdomain: Option<String>,
    /// Scheme, host and port instead of the subdomain, for tests and proxies.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How to log in.
    pub auth: Auth,
    /// What changed before this is not read at first.
    #[serde(default)]
    pub start_date: Option<Timestamp>,
    /// Where comments come from.
    #[serde(default)]
    pub comments_mode: CommentsMode,
    /// One more typed column `cf_<id>` for each custom field of tickets.
    #[serde(default)]
    pub custom_field_columns: bool,
    /// Which tickets the exports show.
    #[serde(default)]
    pub support_type_scope: SupportTypeScope,
    /// Rows per page of exports at first; halved where Zendesk answers 504.
    #[serde(default = "page_size")]
    pub page_size: u32,
    /// The part of the account's calls per minute that is ours, in percent.
    #[serde(default = "rate_share_percent")]
    pub rate_share_percent: u8,
    /// Calls at once.
    #[serde(default = "max_concurrent_calls")]
    pub max_concurrent_calls: usize,
    /// Most API calls of one run.
    #[serde(default)]
    pub max_api_calls: Option<u64>,
    /// Time-outs and retries.
    #[serde(default)]
    pub http: HttpConfig,
}

/// How to log in.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// OAuth client credentials: nothing to keep, best for servers.
    ClientCredentials {
        /// Unique identifier of the OAuth client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// Scopes to ask for, separated by blanks.
        #[serde(default = "scope")]
        scope: String,
    },
    /// A refresh token, which changes at each use and is kept in the work folder.
    RefreshToken {
        /// Unique identifier of the OAuth client.
        client_id: String,
        /// Its secret; public clients have none.
        #[serde(default)]
        client_secret: Option<Secret>,
        /// The first token.
        refresh_token: Secret,
        /// Scopes that the token should have.
        #[serde(default = "scope")]
        scope: String,
    },
    /// An OAuth access token that does not expire.
    Bearer {
        /// The token.
        access_token: Secret,
    },
    /// An API token; these end in April 2027.
    ApiToken {
        /// Address of the user it belongs to.
        email: String,
        /// The token.
        api_token: Secret,
    },
    /// Not possible any more; here so that the refusal can say so.
    Password {
        /// Ignored.
        #[serde(default)]
        email: Option<Secret>,
        /// Ignored.
        #[serde(default)]
        username: Option<Secret>,
        /// Ignored.
        #[serde(default)]
        password: Option<Secret>,
    },
}

/// Where comments come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommentsMode {
    /// From the export of ticket events: one call per 1,000 events.
    Events,
    /// From each changed ticket: one call per ticket, with today's text of redacted comments.
    PerTicket,
    /// By cost: events for the first read and large changes, tickets for small ones.
    #[default]
    Auto,
}

/// Which tickets the exports show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupportTypeScope {
    /// Those that people worked on: Zendesk's own default.
    Agent,
    /// Those that only an AI agent worked on.
    AiAgent,
    /// All.
    #[default]
    All,
}

impl SupportTypeScope {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::AiAgent => "ai_agent",
            Self::All => "all",
        }
    }
}

impl Auth {
    /// Teaches the redactor every secret.
    pub fn teach(&self, redactor: &Redactor) {
        let secrets: &[Option<&Secret>] = match self {
            Self::ClientCredentials { client_secret, .. } => &[Some(client_secret)],
            Self::RefreshToken {
                client_secret,
                refresh_token,
                ..
            } => &[client_secret.as_ref(), Some(refresh_token)],
            Self::Bearer { access_token } => &[Some(access_token)],
            Self::ApiToken { api_token, .. } => &[Some(api_token)],
            Self::Password { password, .. } => &[password.as_ref()],
        };
        for secret in secrets.iter().copied().flatten() {
            redactor.learn(secret.expose());
        }
    }

    /// Who logs in, to tell the files of two users apart.
    pub(crate) fn identity(&self) -> &str {
        match self {
            Self::ClientCredentials { client_id, .. } | Self::RefreshToken { client_id, .. } => {
                client_id
            }
            Self::ApiToken { email, .. } => email,
            Self::Bearer { .. } | Self::Password { .. } => "",
        }
    }
}

impl Settings {
    /// Refuses what cannot work, before any request; the origin of the API otherwise.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    pub fn validate(&self) -> Result<Url> {
        if let Auth::Password { .. } = self.auth {
            return Err(refuse(
                "auth.kind",
                "log in with a password: Zendesk has taken no passwords for its API since January 2026",
                "use kind = \"client_credentials\" with an OAuth client (Admin Center, Apps and integrations, APIs, OAuth clients)",
            ));
        }
        let positive = [
            ("page_size", self.page_size > 0),
            ("max_concurrent_calls", self.max_concurrent_calls > 0),
            ("max_api_calls", self.max_api_calls != Some(0)),
            ("rate_share_percent", self.rate_share_percent > 0),
        ];
        for (key, good) in positive {
            if !good {
                return Err(refuse(
                    key,
                    &format!("accept zero for `{key}`"),
                    "leave the key out to get its default",
                ));
            }
        }
        if self.page_size > limits::EXPORT_ROWS {
            return Err(refuse(
                "page_size",
                "accept a `page_size` over 1000",
                "Zendesk sends at most 1000 rows per page",
            ));
        }
        if self.rate_share_percent > 100 {
            return Err(refuse(
                "rate_share_percent",
                "accept a `rate_share_percent` over 100",
                "80 leaves a fifth of the account's calls to people and apps",
            ));
        }
        if let Auth::ClientCredentials {
            client_id, scope, ..
        }
        | Auth::RefreshToken {
            client_id, scope, ..
        } = &self.auth
        {
            if client_id.trim().is_empty() {
                return Err(refuse(
                    "auth.client_id",
                    "log in without an OAuth client",
                    "it is the \"Unique identifier\" of the client in Admin Center",
                ));
            }
            if scope.trim().is_empty() {
                return Err(refuse(
                    "auth.scope",
                    "ask for a token without any scope",
                    "leave the key out: \"read\" is enough for everything",
                ));
            }
        }
        if let Auth::ApiToken { email, .. } = &self.auth
            && (!email.contains('@') || email.contains(':') || email.ends_with("/token"))
        {
            return Err(refuse(
                "auth.email",
                "log in: `auth.email` is not the address of a user",
                "write the plain address of the user that the token belongs to, without /token",
            ));
        }
        self.http.validate()?;
        match (&self.subdomain, &self.base_url) {
            (None, None) => Err(refuse(
                "subdomain",
                "find the account: neither `subdomain` nor `base_url` is set",
                "for https://acme.zendesk.com write subdomain = \"acme\"",
            )),
            (Some(_), Some(_)) => Err(refuse(
                "base_url",
                "choose between `subdomain` and `base_url`: both are set",
                "keep `subdomain`; `base_url` is for tests and proxies",
            )),
            (Some(subdomain), None) => {
                let name = subdomain_of(subdomain)?;
                parse_url("subdomain", &format!("https://{name}.zendesk.com/"))
            }
            (None, Some(url)) => {
                let url = parse_url("base_url", url)?;
                if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                    return Err(refuse(
                        "base_url",
                        "accept a `base_url` with a path",
                        "write scheme, host and port alone",
                    ));
                }
                Ok(url)
            }
        }
    }
}

/// The plain subdomain of what people write: `https://acme.zendesk.com/` is `acme`.
///
/// # Errors
/// `Config` if it cannot be one.
pub fn subdomain_of(text: &str) -> Result<String> {
    let name = text.trim();
    let name = name
        .strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"))
        .unwrap_or(name);
    let name = name.split('/').next().unwrap_or_default();
    let name = name.strip_suffix(".zendesk.com").unwrap_or(name);
    let good = limits::SUBDOMAIN_CHARS.contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if good {
        return Ok(name.to_owned());
    }
    Err(refuse(
        "subdomain",
        "accept the `subdomain`: it has 3 to 63 small letters, digits and hyphens, and begins with a letter",
        "for https://acme.zendesk.com write subdomain = \"acme\"",
    ))
}

fn refuse(key: &'static str, message: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, message)
        .context("key", key)
        .hint(hint)
}

fn scope() -> String {
    "read".to_owned()
}

fn page_size() -> u32 {
    limits::EXPORT_ROWS
}

fn rate_share_percent() -> u8 {
    80
}

fn max_concurrent_calls() -> usize {
    8
}

/// The documented keys.
pub fn spec() -> Spec {
    Spec {
        summary: "Zendesk Support: one export pass for tickets, metrics and everything below them, users, organizations and some forty smaller streams",
        keys: keys(),
        example: EXAMPLE,
    }
}

const EXAMPLE: &str = r#"connector = "zendesk"
subdomain = "acme"

[source.help.auth]
kind = "client_credentials"
client_id = "overlock_reader"
client_secret = "env:ZENDESK_CLIENT_SECRET"
"#;

fn keys() -> Vec<Key> {
    use KeyKind::{Boolean, Instant, Integer, OneOf, Text};
    let key = |path, kind, default, doc| Key {
        path,
        kind,
        required: false,
        secret: false,
        default,
        doc,
    };
    let secret = |path, doc| Key {
        path,
        kind: Text,
        required: false,
        secret: true,
        default: None,
        doc,
    };
    vec![
        key(
            "subdomain",
            Text,
            None,
            "The account: `acme` of https://acme.zendesk.com. Either this or `base_url`.",
        ),
        key(
            "base_url",
            Text,
            None,
            "Scheme, host and port instead of the subdomain, for tests and proxies.",
        ),
        Key {
            required: true,
            ..key(
                "auth.kind",
                OneOf(&[
                    "client_credentials",
                    "refresh_token",
                    "bearer",
                    "api_token",
                    "password",
                ]),
                None,
                "How to log in. client_credentials needs nothing to be kept between runs. password is only there to say why it is refused.",
            )
        },
        key(
            "auth.client_id",
            Text,
            None,
            "Unique identifier of the OAuth client, for client_credentials and refresh_token.",
        ),
        secret(
            "auth.client_secret",
            "Secret of the OAuth client; a public client has none and can only refresh.",
        ),
        key(
            "auth.scope",
            Text,
            Some("read"),
            "Scopes to ask for, separated by blanks. Audits need the whole of `read`.",
        ),
        secret(
            "auth.refresh_token",
            "First refresh token, for refresh_token. It changes at each use; the new one is kept in the work folder.",
        ),
        secret("auth.access_token", "OAuth access token, for bearer."),
        key(
            "auth.email",
            Text,
            None,
            "Address of the user of an API token, for api_token.",
        ),
        secret(
            "auth.password",
            "Not possible any more; it is only known so that the refusal can say so.",
        ),
        secret(
            "auth.api_token",
            "API token, for api_token. Zendesk ends these on 2027-04-30.",
        ),
        key(
            "start_date",
            Instant,
            None,
            "What changed before this is not read. Left out: everything is read.",
        ),
        key(
            "comments_mode",
            OneOf(&["auto", "events", "per_ticket"]),
            Some("auto"),
            "Where comments come from: the export of events, each changed ticket, or what costs less.",
        ),
        key(
            "custom_field_columns",
            Boolean,
            Some("false"),
            "One more typed column cf_<id> for each custom field of tickets, beside the list `custom_fields`.",
        ),
        key(
            "support_type_scope",
            OneOf(&["all", "agent", "ai_agent"]),
            Some("all"),
            "Which tickets the exports show. Zendesk's own default, agent, hides those of AI agents.",
        ),
        key(
            "page_size",
            Integer,
            Some("1000"),
            "Rows per page of the exports by cursor at first, 1 to 1000; halved where Zendesk answers 504.",
        ),
        key(
            "rate_share_percent",
            Integer,
            Some("80"),
            "The part of the account's calls per minute that overlock uses; the rest is for people and apps. Exports have calls of their own, which are used whole.",
        ),
        key(
            "max_concurrent_calls",
            Integer,
            Some("8"),
            "Calls at once, for audits and comments of single tickets.",
        ),
        key(
            "max_api_calls",
            Integer,
            None,
            "Most API calls of one run; then it stops at a state with exit code 9.",
        ),
        key(
            "http.read_timeout",
            KeyKind::Duration,
            Some("60s"),
            "Longest silence of the server; the table `http` has more such keys.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_people_write_as_subdomain_is_understood() {
        for text in [
            "acme",
            "https://acme.zendesk.com/",
            "http://acme.zendesk.com/agent",
            " acme.zendesk.com ",
        ] {
            assert_eq!(subdomain_of(text).unwrap(), "acme", "{text}");
        }
        for text in [
            "",
            "ab",
            "Acme",
            "1acme",
            "a_b",
            "acme.example.com",
            "acme@evil",
            "acme.zendesk.com.evil.test",
            &"a".repeat(64),
        ] {
            assert!(subdomain_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_that_cannot_work_name_their_key() {
        let auth = r#""auth":{"kind":"bearer","access_token":"t"}"#;
        for (text, key) in [
            (format!("{{{auth}}}"), "subdomain"),
            (format!(r#"{{"subdomain":"acme","base_url":"http://127.0.0.1:1",{auth}}}"#), "base_url"),
            (format!(r#"{{"base_url":"http://acme.example",{auth}}}"#), "base_url"),
            (format!(r#"{{"base_url":"https://acme.example/path",{auth}}}"#), "base_url"),
            (format!(r#"{{"subdomain":"acme","page_size":1001,{auth}}}"#), "page_size"),
            (format!(r#"{{"subdomain":"acme","rate_share_percent":0,{auth}}}"#), "rate_share_percent"),
            (r#"{"subdomain":"acme","auth":{"kind":"password","email":"a@b.c","password":"p"}}"#.to_owned(), "auth.kind"),
            (r#"{"subdomain":"acme","auth":{"kind":"api_token","email":"a@b.c/token","api_token":"p"}}"#.to_owned(), "auth.email"),
            (r#"{"subdomain":"acme","auth":{"kind":"client_credentials","client_id":" ","client_secret":"p"}}"#.to_owned(), "auth.client_id"),
        ] {
            let error = settings(&text).validate().unwrap_err();
            assert_eq!(error.get("key"), Some(key), "{text}: {error}");
            assert!(error.hint_text().is_some());
        }
        let url = settings(&format!(r#"{{"subdomain":"acme",{auth}}}"#))
            .validate()
            .unwrap();
        assert_eq!(url.as_str(), "https://acme.zendesk.com/");
    }
}
