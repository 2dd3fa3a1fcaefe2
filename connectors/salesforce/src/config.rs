//! The settings of a Salesforce source: what a user may write below `[source.NAME]`.

use std::time::Duration;

use overlock_core::{Error, ErrorKind, Key, KeyKind, Redactor, Result, Secret, Spec, Timestamp};
use overlock_kit::{HttpConfig, duration};
use serde::Deserialize;
use url::{Host, Url};

use crate::api::Version;
use crate::limits;

/// All settings but `connector`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to log in: `https://login.salesforce.com`, `https://test.salesforce.com` for sandboxes, or
    /// the My Domain URL.
    #[serde(default = "login_url")]
    pub login_url: Url,
    /// Token endpoint, where it is not `<login_url>/services/oauth2/token`.
    #[serde(default)]
    pub token_url: Option<Url>,
    /// Audience of the JWT, where it is not the login host.
    #[serde(default)]
    pub audience: Option<String>,
    /// The API host, where the org answers with one that is not of a Salesforce domain.
    #[serde(default)]
    pub instance_url: Option<Url>,
    /// Version of the API.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// How to log in.
    pub auth: Auth,
    /// Rows stamped before this are not read at first.
    #[serde(default)]
    pub start_date: Option<Timestamp>,
    /// How far each run looks back behind its state, for rows that became visible after their stamp.
    #[serde(default = "lookback", with = "duration::text")]
    pub lookback: Duration,
    /// How far behind the server's clock a run ends.
    #[serde(default = "settle", with = "duration::text")]
    pub settle: Duration,
    /// Length of the windows that a long range is read in.
    #[serde(default, with = "duration::option")]
    pub window: Option<Duration>,
    /// Rows per result page of Bulk.
    #[serde(default = "max_records")]
    pub max_records: u32,
    /// Ranges with fewer rows are read by REST.
    #[serde(default = "rest_below_rows")]
    pub rest_below_rows: u64,
    /// Rows per page of REST; the server may send fewer.
    #[serde(default = "rest_page_rows")]
    pub rest_page_rows: u32,
    /// Longest query that is sent in a URI; longer ones go by Bulk or in pieces.
    #[serde(default = "max_query_bytes")]
    pub max_query_bytes: usize,
    /// Bulk jobs in flight.
    #[serde(default = "max_concurrent_jobs")]
    pub max_concurrent_jobs: usize,
    /// Result pages of one job that are open at once.
    #[serde(default = "parallel_pages")]
    pub parallel_pages: usize,
    /// Most API calls of one run.
    #[serde(default)]
    pub max_api_calls: Option<u64>,
    /// Stop when the org has used this share of its daily calls.
    #[serde(default = "stop_at_percent")]
    pub stop_at_percent_of_daily: u8,
    /// First pause between two looks at a Bulk job; grows to sixty times as much.
    #[serde(default = "poll_interval", with = "duration::text")]
    pub poll_interval: Duration,
    /// A Bulk job that is not done after this is aborted.
    #[serde(default = "job_timeout", with = "duration::text")]
    pub job_timeout: Duration,
    /// Time-outs and retries.
    #[serde(default)]
    pub http: HttpConfig,
}

/// How to log in.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// OAuth 2.0 JWT bearer: a private key, no password; for servers.
    Jwt {
        /// Consumer key of the app.
        client_id: String,
        /// User to act as.
        username: String,
        /// RSA private key, PEM.
        private_key: Secret,
    },
    /// OAuth 2.0 client credentials: the app's "Run As" user; My Domain only.
    ClientCredentials {
        /// Consumer key of the app.
        client_id: String,
        /// Consumer secret of the app.
        client_secret: Secret,
    },
    /// A refresh token from an earlier authorisation.
    RefreshToken {
        /// Consumer key of the app.
        client_id: String,
        /// Consumer secret, where the app asks for it.
        #[serde(default)]
        client_secret: Option<Secret>,
        /// The token.
        refresh_token: Secret,
    },
}

impl Auth {
    /// Consumer key of the app.
    pub fn client_id(&self) -> &str {
        match self {
            Self::Jwt { client_id, .. }
            | Self::ClientCredentials { client_id, .. }
            | Self::RefreshToken { client_id, .. } => client_id,
        }
    }

    /// Teaches the redactor every secret.
    pub fn teach(&self, redactor: &Redactor) {
        match self {
            Self::Jwt { private_key, .. } => redactor.learn(private_key.expose()),
            Self::ClientCredentials { client_secret, .. } => redactor.learn(client_secret.expose()),
            Self::RefreshToken {
                client_secret,
                refresh_token,
                ..
            } => {
                redactor.learn(refresh_token.expose());
                if let Some(secret) = client_secret {
                    redactor.learn(secret.expose());
                }
            }
        }
    }
}

impl Settings {
    /// Refuses what cannot work, before any request.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    pub fn validate(&self) -> Result<Version> {
        for (key, url) in [
            ("login_url", Some(&self.login_url)),
            ("token_url", self.token_url.as_ref()),
            ("instance_url", self.instance_url.as_ref()),
        ] {
            if let Some(url) = url {
                check_url(key, url)?;
            }
        }
        let positive = [
            ("max_records", self.max_records > 0),
            ("rest_page_rows", self.rest_page_rows > 0),
            ("max_query_bytes", self.max_query_bytes > 0),
            ("max_concurrent_jobs", self.max_concurrent_jobs > 0),
            ("parallel_pages", self.parallel_pages > 0),
            ("max_api_calls", self.max_api_calls != Some(0)),
            ("poll_interval", !self.poll_interval.is_zero()),
        ];
        for (key, good) in positive {
            if !good {
                return Err(refuse(
                    key,
                    "accept zero",
                    "leave the key out to get its default",
                ));
            }
        }
        if self
            .window
            .is_some_and(|window| window < limits::SMALLEST_WINDOW)
        {
            return Err(refuse(
                "window",
                "accept a window under one minute",
                "days are usual: 30d",
            ));
        }
        if !(1..=100).contains(&self.stop_at_percent_of_daily) {
            return Err(refuse(
                "stop_at_percent_of_daily",
                "accept a share outside 1 to 100",
                "80 leaves a fifth of the org's calls to others",
            ));
        }
        if self.auth.client_id().trim().is_empty() {
            return Err(refuse(
                "auth.client_id",
                "log in without a consumer key",
                "it is shown under \"Manage Consumer Details\" of the app",
            ));
        }
        self.http.validate()?;
        Version::parse(&self.api_version)
    }

    /// The token endpoint.
    pub fn token_url(&self) -> Url {
        self.token_url.clone().unwrap_or_else(|| {
            let mut url = self.login_url.clone();
            let path = format!("{}/services/oauth2/token", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        })
    }

    /// The audience of the JWT: the login host unless set.
    pub fn audience(&self) -> String {
        self.audience
            .clone()
            .unwrap_or_else(|| self.login_url.as_str().trim_end_matches('/').to_owned())
    }
}

fn check_url(key: &'static str, url: &Url) -> Result<()> {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let has_scheme = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_scheme && !has_user && url.query().is_none() && url.fragment().is_none() {
        return Ok(());
    }
    Err(refuse(
        key,
        "accept a URL that is not plain https",
        "write it like https://acme.my.salesforce.com, without user, query or fragment",
    ))
}

fn refuse(key: &'static str, message: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{message} for `{key}`"))
        .context("key", key)
        .hint(hint)
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
fn login_url() -> Url {
    Url::parse("https://login.salesforce.com").expect("the default login URL is a URL")
}

fn api_version() -> String {
    limits::DEFAULT_API_VERSION.to_owned()
}

fn lookback() -> Duration {
    limits::DEFAULT_LOOKBACK
}

fn settle() -> Duration {
    limits::DEFAULT_SETTLE
}

fn max_records() -> u32 {
    limits::DEFAULT_MAX_RECORDS
}

fn rest_below_rows() -> u64 {
    limits::DEFAULT_REST_BELOW_ROWS
}

fn rest_page_rows() -> u32 {
    limits::REST_PAGE_ROWS
}

fn max_concurrent_jobs() -> usize {
    limits::DEFAULT_CONCURRENT_JOBS
}

fn parallel_pages() -> usize {
    limits::DEFAULT_PARALLEL_PAGES
}

fn stop_at_percent() -> u8 {
    limits::DEFAULT_STOP_AT_PERCENT
}

fn max_query_bytes() -> usize {
    limits::MAX_QUERY_BYTES
}

fn job_timeout() -> Duration {
    limits::JOB_DEADLINE
}

fn poll_interval() -> Duration {
    limits::POLL_FIRST
}

/// The documented keys.
pub fn spec() -> Spec {
    Spec {
        summary: "Salesforce objects by Bulk API 2.0 and REST, with deletes, exact decimals and resume inside a job",
        keys: keys(),
        example: EXAMPLE,
    }
}

const EXAMPLE: &str = r#"connector = "salesforce"
login_url = "https://acme.my.salesforce.com"

[source.crm.auth]
kind = "jwt"
client_id = "env:SFDC_CLIENT_ID"
username = "etl@acme.example"
private_key = "file:secrets/sfdc.pem"
"#;

fn keys() -> Vec<Key> {
    use KeyKind::{Duration, Instant, Integer, OneOf, Text};
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
    let required = |path, kind, doc| Key {
        path,
        kind,
        required: true,
        secret: false,
        default: None,
        doc,
    };
    vec![
        key(
            "login_url",
            Text,
            Some("https://login.salesforce.com"),
            "Where to log in: login.salesforce.com, test.salesforce.com for sandboxes, or the My Domain URL.",
        ),
        key(
            "token_url",
            Text,
            None,
            "Token endpoint, where it is not `<login_url>/services/oauth2/token`.",
        ),
        key(
            "audience",
            Text,
            None,
            "Audience of the JWT, where it is not login_url. GovCloud needs https://login.salesforce.com here and My Domain as login_url.",
        ),
        key(
            "instance_url",
            Text,
            None,
            "The API host, where the org answers with one outside Salesforce's domains, such as a proxy of yours.",
        ),
        key(
            "api_version",
            Text,
            Some(limits::DEFAULT_API_VERSION),
            "Version of the API, 47.0 or newer.",
        ),
        required(
            "auth.kind",
            OneOf(&["jwt", "client_credentials", "refresh_token"]),
            "How to log in.",
        ),
        required(
            "auth.client_id",
            Text,
            "Consumer key of the connected app or External Client App.",
        ),
        secret(
            "auth.client_secret",
            "Consumer secret: for client_credentials, and for refresh_token where the app asks for it.",
        ),
        key("auth.username", Text, None, "User to act as, for jwt."),
        secret("auth.private_key", "RSA private key in PEM form, for jwt."),
        secret(
            "auth.refresh_token",
            "Refresh token, for refresh_token. If the app rotates it, the new one is kept in the work folder.",
        ),
        key(
            "start_date",
            Instant,
            None,
            "Rows stamped before this are not read. Left out: everything is read.",
        ),
        key(
            "lookback",
            Duration,
            Some("15m"),
            "How far each run looks back behind its state, for rows that became visible after their stamp. Transactions last up to ten minutes.",
        ),
        key(
            "settle",
            Duration,
            Some("1m"),
            "How far behind the server's clock a run ends.",
        ),
        key(
            "window",
            Duration,
            None,
            "Length of the windows that a long range is read in, such as 30d; several are prepared at once. Left out: one job.",
        ),
        key(
            "max_records",
            Integer,
            Some("100000"),
            "Rows per result page of Bulk. Lower it for very wide objects.",
        ),
        key(
            "rest_below_rows",
            Integer,
            Some("6000"),
            "Ranges with fewer rows are read by REST, which then costs fewer calls. 0: Bulk wherever possible.",
        ),
        key(
            "rest_page_rows",
            Integer,
            Some("2000"),
            "Rows per page of REST, 200 to 2000; Salesforce may send fewer.",
        ),
        key(
            "max_query_bytes",
            Integer,
            Some("12000"),
            "Longest query that is sent in a URI; longer ones go by Bulk or in pieces. Lower it where a proxy allows less.",
        ),
        key(
            "max_concurrent_jobs",
            Integer,
            Some("4"),
            "Bulk jobs in flight per stream, with `window`.",
        ),
        key(
            "parallel_pages",
            Integer,
            Some("2"),
            "Result pages of one job that are open at once.",
        ),
        key(
            "max_api_calls",
            Integer,
            None,
            "Most API calls of one run; then it stops at a state with exit code 9.",
        ),
        key(
            "stop_at_percent_of_daily",
            Integer,
            Some("80"),
            "Stop at a state, with exit code 9, when the org has used this share of its calls of 24 hours.",
        ),
        key(
            "poll_interval",
            Duration,
            Some("500ms"),
            "First pause between two looks at a Bulk job; grows to sixty times as much. Each look is a call.",
        ),
        key(
            "job_timeout",
            Duration,
            Some("6h"),
            "A Bulk job that is not done after this is aborted.",
        ),
        key(
            "http.read_timeout",
            Duration,
            Some("60s"),
            "Longest silence of the server; the table `http` has more such keys.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(extra: &serde_json::Value) -> std::result::Result<Settings, serde_json::Error> {
        let mut values = json!({"auth": {"kind": "client_credentials", "client_id": "abc", "client_secret": "secret-1"}});
        for (key, value) in extra.as_object().unwrap() {
            values[key] = value.clone();
        }
        Settings::deserialize(&values)
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = parse(&json!({})).unwrap();
        settings.validate().unwrap();
        assert_eq!(settings.lookback, Duration::from_secs(900));
        assert_eq!(
            settings.token_url().as_str(),
            "https://login.salesforce.com/services/oauth2/token"
        );
        assert_eq!(settings.audience(), "https://login.salesforce.com");
        assert_eq!(settings.max_records, 100_000);
        for key in spec().keys {
            let Some(default) = key.default else { continue };
            if key.kind == KeyKind::Duration {
                assert!(duration::parse(default).is_ok(), "{}", key.path);
            }
        }
    }

    #[test]
    fn token_url_and_audience_are_independent() {
        let settings = parse(&json!({
            "login_url": "https://acme.my.salesforce.com",
            "token_url": "https://other.my.salesforce.com/services/oauth2/token",
            "audience": "https://test.salesforce.com",
        }))
        .unwrap();
        assert_eq!(
            settings.token_url().host_str(),
            Some("other.my.salesforce.com")
        );
        assert_eq!(settings.audience(), "https://test.salesforce.com");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        // covers: I23
        for (extra, key) in [
            (
                json!({"login_url": "http://login.salesforce.com"}),
                "login_url",
            ),
            (
                json!({"login_url": "https://user:pw@login.salesforce.com"}),
                "login_url",
            ),
            (
                json!({"token_url": "https://a.salesforce.com/t?x=1"}),
                "token_url",
            ),
            (
                json!({"instance_url": "file:///etc/passwd"}),
                "instance_url",
            ),
            (json!({"max_records": 0}), "max_records"),
            (json!({"parallel_pages": 0}), "parallel_pages"),
            (json!({"window": "5s"}), "window"),
            (
                json!({"stop_at_percent_of_daily": 0}),
                "stop_at_percent_of_daily",
            ),
            (json!({"max_api_calls": 0}), "max_api_calls"),
            (json!({"api_version": "29.0"}), "api_version"),
        ] {
            let error = parse(&extra).unwrap().validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{extra}");
            assert_eq!(error.get("key"), Some(key), "{extra}");
        }
        for extra in [
            json!({"logn_url": "https://login.salesforce.com"}),
            json!({"auth": {"kind": "password", "client_id": "a"}}),
            json!({"auth": {"kind": "jwt", "client_id": "a", "username": "u"}}),
            json!({"auth": {"kind": "jwt", "client_id": "a", "username": "u", "private_key": "p", "x": 1}}),
            json!({"lookback": 15}),
        ] {
            assert!(parse(&extra).is_err(), "{extra}");
        }
        assert!(
            parse(&json!({"login_url": "http://127.0.0.1:8080"}))
                .unwrap()
                .validate()
                .is_ok()
        );
    }
}
