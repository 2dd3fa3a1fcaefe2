//! The settings of a Zuora source: what a user may write below `[source.NAME]`.

use std::time::Duration;

use overlock_core::{Error, ErrorKind, Key, KeyKind, Redactor, Result, Secret, Spec, Timestamp};
use overlock_kit::HttpConfig;
use overlock_kit::http::{Url, parse_url};
use serde::Deserialize;

use crate::limits;

/// All settings but `connector`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The data centre, by its name in [`limits::DATA_CENTERS`].
    #[serde(default)]
    pub data_center: Option<String>,
    /// Scheme, host and port instead of a data centre.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How to log in.
    pub auth: Auth,
    /// Ids of the entities of a multi-entity tenant, each of which is read.
    #[serde(default)]
    pub entities: Vec<String>,
    /// Ids of the organizations of a multi-org tenant; none: all that the user sees.
    #[serde(default)]
    pub organizations: Vec<String>,
    /// What changed before this is not read at first.
    #[serde(default)]
    pub start_date: Option<Timestamp>,
    /// How far behind the present windows end.
    #[serde(default = "settle", with = "overlock_kit::duration::text")]
    pub settle: Duration,
    /// How much of the last window is read again.
    #[serde(default, with = "overlock_kit::duration::text")]
    pub lookback: Duration,
    /// Longest window; none: as long as the stream's history.
    #[serde(default, with = "overlock_kit::duration::option")]
    pub window: Option<Duration>,
    /// Ask for the keys of parents.
    #[serde(default = "yes")]
    pub joins: bool,
    /// Objects whose parents' keys are not asked for.
    #[serde(default)]
    pub without_joins: Vec<String>,
    /// Objects that are never put into a job with others.
    #[serde(default)]
    pub own_jobs: Vec<String>,
    /// Ask for the columns in home currency.
    #[serde(default)]
    pub home_currency: bool,
    /// Digits behind the point of decimal columns.
    #[serde(default = "decimal_scale")]
    pub decimal_scale: i8,
    /// How result files are packed.
    #[serde(default)]
    pub format: Format,
    /// How often columns that change without a stamp are compared; zero: never.
    #[serde(default = "day", with = "overlock_kit::duration::text")]
    pub shadow_refresh: Duration,
    /// How often objects that do not report deletions are compared; zero: never.
    #[serde(default = "week", with = "overlock_kit::duration::text")]
    pub sweep: Duration,
    /// Offer tables that only Data Query has.
    #[serde(default = "yes")]
    pub data_query: bool,
    /// Age at which the description of an object is asked for again.
    #[serde(default = "describe_age", with = "overlock_kit::duration::text")]
    pub describe_age: Duration,
    /// Pause before a job is looked at for the second time; it grows.
    #[serde(default, with = "overlock_kit::duration::option")]
    pub poll_interval: Option<Duration>,
    /// Time after which a job is given up.
    #[serde(default = "job_timeout", with = "overlock_kit::duration::text")]
    pub job_timeout: Duration,
    /// Calls at once; Zuora allows 40 per tenant.
    #[serde(default = "max_concurrent_calls")]
    pub max_concurrent_calls: usize,
    /// Jobs at once; Zuora allows 50 per tenant.
    #[serde(default = "max_concurrent_jobs")]
    pub max_concurrent_jobs: usize,
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
    /// OAuth client credentials.
    Oauth {
        /// Id of the OAuth client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// User name and password in the two legacy headers.
    Keys {
        /// Name of the API user.
        user: String,
        /// Its password.
        password: Secret,
    },
}

/// How result files are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As they are; the transport may still compress them.
    Csv,
    /// gzip: about a fifth of the bytes, and five times the rows below the limit of a file.
    #[default]
    Gzip,
    /// zip.
    Zip,
}

impl Format {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Gzip => "gzip",
            Self::Zip => "zip",
        }
    }
}

impl Auth {
    /// Teaches the redactor every secret.
    pub fn teach(&self, redactor: &Redactor) {
        match self {
            Self::Oauth { client_secret, .. } => redactor.learn(client_secret.expose()),
            Self::Keys { password, .. } => redactor.learn(password.expose()),
        }
    }

    /// Who logs in, to tell the files of two users apart.
    pub(crate) fn identity(&self) -> &str {
        match self {
            Self::Oauth { client_id, .. } => client_id,
            Self::Keys { user, .. } => user,
        }
    }
}

impl Settings {
    /// Refuses what cannot work, before any request; the origin of the API otherwise.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    pub fn validate(&self) -> Result<Url> {
        let positive = [
            ("max_concurrent_calls", self.max_concurrent_calls > 0),
            ("max_concurrent_jobs", self.max_concurrent_jobs > 0),
            ("max_api_calls", self.max_api_calls != Some(0)),
            ("window", self.window.is_none_or(|window| window >= SECOND)),
            ("job_timeout", self.job_timeout >= SECOND),
        ];
        for (key, good) in positive {
            if !good {
                return Err(refuse(
                    key,
                    &format!("accept so small a `{key}`"),
                    "leave the key out to get its default",
                ));
            }
        }
        if !(0..=18).contains(&self.decimal_scale) {
            return Err(refuse(
                "decimal_scale",
                "accept a `decimal_scale` outside of 0 to 18",
                "9 has room for every price that Zuora shows; more digits leave less room before the point",
            ));
        }
        let (key, who) = match &self.auth {
            Auth::Oauth { client_id, .. } => ("auth.client_id", client_id),
            Auth::Keys { user, .. } => ("auth.user", user),
        };
        if who.trim().is_empty() {
            return Err(refuse(
                key,
                &format!("log in with an empty `{key}`"),
                "Zuora shows the id and the secret of an OAuth client once, when it is made (Administration, Manage Users)",
            ));
        }
        for (key, ids) in [
            ("entities", &self.entities),
            ("organizations", &self.organizations),
        ] {
            let is_id = |id: &String| {
                let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                (1..=64).contains(&id.len()) && id.bytes().all(word)
            };
            let repeated = ids
                .iter()
                .enumerate()
                .any(|(at, id)| ids[..at].contains(id));
            if repeated || !ids.iter().all(is_id) {
                return Err(refuse(
                    key,
                    &format!(
                        "accept `{key}`: each is an id such as 2c92c0f9-5f4a-4e1d-8b6c-0a1b2c3d4e5f, once"
                    ),
                    "Zuora shows them under Administration, Manage Entity Profile",
                ));
            }
        }
        self.http.validate()?;
        self.base()
    }

    fn base(&self) -> Result<Url> {
        let names = || {
            let names: Vec<&str> = limits::DATA_CENTERS.iter().map(|(name, _)| *name).collect();
            names.join(", ")
        };
        match (&self.data_center, &self.base_url) {
            (None, None) => Err(refuse(
                "data_center",
                "find the tenant: neither `data_center` nor `base_url` is set",
                &format!("the data centres are {}", names()),
            )),
            (Some(_), Some(_)) => Err(refuse(
                "base_url",
                "choose between `data_center` and `base_url`: both are set",
                "keep `data_center`; `base_url` is for tests, proxies and new data centres",
            )),
            (Some(wanted), None) => {
                let known = limits::DATA_CENTERS.iter().find(|(name, _)| name == wanted);
                match known {
                    Some((_, url)) => parse_url("data_center", url),
                    None => Err(refuse(
                        "data_center",
                        "find the data centre: there is none of this name",
                        &format!("the data centres are {}", names()),
                    )),
                }
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

    /// How much of the last window is read again, so that no late commit is missed: what `settle` does not wait for.
    pub fn overlap(&self) -> Duration {
        self.lookback
            .max(limits::LATE_COMMIT.saturating_sub(self.settle))
    }

    /// The first pause while a job runs: longer where a day has ten thousand calls.
    pub fn first_pause(&self) -> Duration {
        let is_sandbox = self
            .data_center
            .as_deref()
            .is_some_and(|name| name.ends_with("-sandbox"));
        self.poll_interval
            .unwrap_or(if is_sandbox { 10 * SECOND } else { SECOND })
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn refuse(key: &'static str, message: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, message)
        .context("key", key)
        .hint(hint)
}

fn yes() -> bool {
    true
}

fn settle() -> Duration {
    limits::LATE_COMMIT
}

fn decimal_scale() -> i8 {
    9
}

fn day() -> Duration {
    Duration::from_secs(86_400)
}

fn week() -> Duration {
    7 * day()
}

fn describe_age() -> Duration {
    Duration::from_secs(6 * 3_600)
}

fn job_timeout() -> Duration {
    limits::JOB_TIMEOUT
}

fn max_concurrent_calls() -> usize {
    8
}

fn max_concurrent_jobs() -> usize {
    4
}

/// The documented keys.
pub fn spec() -> Spec {
    Spec {
        summary: "Zuora Billing: every object that Describe offers, 50 to a job and of one snapshot, with deletes and exact amounts; other tables by Data Query",
        keys: keys(),
        example: EXAMPLE,
    }
}

const EXAMPLE: &str = r#"connector = "zuora"
data_center = "us"

[source.billing.auth]
kind = "oauth"
client_id = "2d6f0c6e-3b1f-4d0f-9f0c-6a5a4f2b1c3d"
client_secret = "env:ZUORA_CLIENT_SECRET"
"#;

fn keys() -> Vec<Key> {
    use KeyKind::{Boolean, Duration, Instant, Integer, OneOf, Text, TextList};
    let key = |path, kind, default, doc| Key {
        path,
        kind,
        required: false,
        secret: false,
        default,
        doc,
    };
    let secret = |path, doc| Key {
        secret: true,
        ..key(path, Text, None, doc)
    };
    vec![
        key(
            "data_center",
            OneOf(&[
                "us",
                "us-sandbox",
                "us-test",
                "us2",
                "us2-sandbox",
                "us2-pt1",
                "eu",
                "eu-sandbox",
                "eu-test",
                "apac",
                "apac-test",
            ]),
            None,
            "Where the tenant is. us2 is for tenants from before September 2020; -test are the central sandboxes. Either this or `base_url`.",
        ),
        key(
            "base_url",
            Text,
            None,
            "Scheme, host and port instead of a data centre, for tests, proxies and data centres that are new.",
        ),
        Key {
            required: true,
            ..key(
                "auth.kind",
                OneOf(&["oauth", "keys"]),
                None,
                "How to log in: an OAuth client, or user name and password in the legacy headers.",
            )
        },
        key(
            "auth.client_id",
            Text,
            None,
            "Id of the OAuth client, for oauth.",
        ),
        secret("auth.client_secret", "Its secret, for oauth."),
        key("auth.user", Text, None, "Name of the API user, for keys."),
        secret("auth.password", "Its password, for keys."),
        key(
            "entities",
            TextList,
            None,
            "Ids of the entities to read, in a tenant that has several. Each row then has its `entity_id`, which is part of the key.",
        ),
        key(
            "organizations",
            TextList,
            None,
            "Ids of the organizations to read, in a tenant with Multi-Org. Left out: all that the user may see.",
        ),
        key(
            "start_date",
            Instant,
            None,
            "What changed before this is not read. Left out: everything is read.",
        ),
        key(
            "settle",
            Duration,
            Some("2h"),
            "How far behind the present reading ends: long transactions show rows up to two hours after their stamp. With less, the time up to two hours is read again in the next run.",
        ),
        key(
            "lookback",
            Duration,
            Some("0s"),
            "How much of what was read before is read again in each run.",
        ),
        key(
            "window",
            Duration,
            None,
            "Longest time that one query covers. Left out: all that is new; what is too much for Zuora is halved.",
        ),
        key(
            "joins",
            Boolean,
            Some("true"),
            "Ask for the keys of parents, such as `Invoice.Id` of an InvoiceItem, as columns `InvoiceId`; and for `AccountCurrency` where amounts have no currency beside them.",
        ),
        key(
            "without_joins",
            TextList,
            None,
            "Objects that are so large that these joins cost too much.",
        ),
        key(
            "own_jobs",
            TextList,
            None,
            "Objects that get a job of their own instead of a place among 50 of one snapshot.",
        ),
        key(
            "home_currency",
            Boolean,
            Some("false"),
            "Ask for the columns in home currency, where the tenant has them.",
        ),
        key(
            "decimal_scale",
            Integer,
            Some("9"),
            "Digits behind the point of decimal columns. An amount with more is kept, exactly, in `_extra`, and warned of.",
        ),
        key(
            "format",
            OneOf(&["gzip", "csv", "zip"]),
            Some("gzip"),
            "How result files are packed on their way.",
        ),
        key(
            "shadow_refresh",
            Duration,
            Some("1d"),
            "How often columns are compared that change without any stamp, such as RatePlanCharge.ChargedThroughDate. 0s: never.",
        ),
        key(
            "sweep",
            Duration,
            Some("7d"),
            "How often the Ids of objects that do not report deletions are compared. 0s: never.",
        ),
        key(
            "data_query",
            Boolean,
            Some("true"),
            "Offer tables that only Data Query has, such as chargemetrics.",
        ),
        key(
            "describe_age",
            Duration,
            Some("6h"),
            "Age at which a run asks again for the fields of an object. `discover` always asks.",
        ),
        key(
            "poll_interval",
            Duration,
            None,
            "Pause before a running job is looked at again; it grows to 30 s. Left out: 1s, or 10s in API sandboxes, which have 10 000 calls a day.",
        ),
        key(
            "job_timeout",
            Duration,
            Some("6h"),
            "Time after which a job is given up, and its window halved.",
        ),
        key(
            "max_concurrent_calls",
            Integer,
            Some("8"),
            "Calls at once. Zuora allows 40 for the whole tenant; fewer go out when its answers say that the tenant is near that.",
        ),
        key(
            "max_concurrent_jobs",
            Integer,
            Some("4"),
            "AQuA jobs at once. Zuora allows 50 for the whole tenant.",
        ),
        key(
            "max_api_calls",
            Integer,
            None,
            "Most API calls of one run; then it stops at a state with exit code 9.",
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

    fn settings(text: &str) -> Settings {
        serde_json::from_str(text).unwrap()
    }

    const AUTH: &str = r#""auth":{"kind":"oauth","client_id":"c","client_secret":"s"}"#;

    #[test]
    fn settings_that_cannot_work_name_their_key() {
        for (text, key) in [
            (format!("{{{AUTH}}}"), "data_center"),
            (format!(r#"{{"data_center":"mars",{AUTH}}}"#), "data_center"),
            (
                format!(r#"{{"data_center":"eu","base_url":"http://127.0.0.1:1",{AUTH}}}"#),
                "base_url",
            ),
            (
                format!(r#"{{"base_url":"http://zuora.example",{AUTH}}}"#),
                "base_url",
            ),
            (
                format!(r#"{{"base_url":"https://zuora.example/v1",{AUTH}}}"#),
                "base_url",
            ),
            (
                format!(r#"{{"data_center":"eu","decimal_scale":19,{AUTH}}}"#),
                "decimal_scale",
            ),
            (
                format!(r#"{{"data_center":"eu","entities":["a b"],{AUTH}}}"#),
                "entities",
            ),
            (
                format!(r#"{{"data_center":"eu","entities":["a","a"],{AUTH}}}"#),
                "entities",
            ),
            (
                format!(r#"{{"data_center":"eu","organizations":["a,b"],{AUTH}}}"#),
                "organizations",
            ),
            (
                format!(r#"{{"data_center":"eu","window":"0s",{AUTH}}}"#),
                "window",
            ),
            (
                format!(r#"{{"data_center":"eu","max_concurrent_jobs":0,{AUTH}}}"#),
                "max_concurrent_jobs",
            ),
            (
                r#"{"data_center":"eu","auth":{"kind":"keys","user":" ","password":"p"}}"#
                    .to_owned(),
                "auth.user",
            ),
        ] {
            let error = settings(&text).validate().unwrap_err();
            assert_eq!(error.get("key"), Some(key), "{text}: {error}");
            assert!(error.hint_text().is_some());
        }
    }

    #[test]
    fn every_data_centre_is_documented_and_has_a_host() {
        let documented = keys().into_iter().find(|key| key.path == "data_center");
        let KeyKind::OneOf(names) = documented.unwrap().kind else {
            panic!("a list of names");
        };
        let known: Vec<&str> = limits::DATA_CENTERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, known);
        for name in names {
            let url = settings(&format!(r#"{{"data_center":"{name}",{AUTH}}}"#))
                .validate()
                .unwrap();
            assert!(url.host_str().unwrap().ends_with(".zuora.com"));
            assert_eq!(url.scheme(), "https");
        }
    }

    #[test]
    fn late_commits_are_waited_for_or_read_again() {
        for (extra, expected) in [
            ("", 0),
            (r#""settle":"5m","#, 115),
            (r#""settle":"3h","#, 0),
            (r#""settle":"5m","lookback":"3h","#, 180),
        ] {
            let settings = settings(&format!(r#"{{{extra}"data_center":"eu",{AUTH}}}"#));
            assert_eq!(settings.overlap().as_secs(), expected * 60, "{extra}");
        }
    }

    #[test]
    fn sandboxes_are_polled_sparingly() {
        for (name, seconds) in [("us", 1), ("eu-sandbox", 10)] {
            let settings = settings(&format!(r#"{{"data_center":"{name}",{AUTH}}}"#));
            assert_eq!(settings.first_pause().as_secs(), seconds);
        }
    }
}
