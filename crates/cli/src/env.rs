//! Every environment variable that overlock reads, in one place; no other module reads any.
//!
//! The environment is read once, at the start, into an [`Environment`]; the rest of the program gets it
//! handed in, so tests never touch the process environment.

use std::collections::BTreeMap;

use overlock_core::{Error, ErrorKind, Proxy, Result};

/// Path of `overlock.toml`, as if given with `--config`.
pub(crate) const CONFIG: &str = "OVERLOCK_CONFIG";
/// Name of the `[env.NAME]` overlay, as if given with `--env`.
pub(crate) const ENV: &str = "OVERLOCK_ENV";
/// Log filter such as `debug` or `overlock_engine=trace`; wins over `--log-level`.
pub(crate) const LOG: &str = "OVERLOCK_LOG";
/// Folder for open packages, locks, token stores and run records, as if given with `--state-dir`.
pub(crate) const WORK_DIR: &str = "OVERLOCK_WORK_DIR";
/// Any value but empty or `0`: never ask a question, as if given with `--no-input`.
pub(crate) const NO_INPUT: &str = "OVERLOCK_NO_INPUT";
/// Any value but empty or `0`: show the chain of causes with kinds and context for every error.
pub(crate) const BACKTRACE: &str = "OVERLOCK_BACKTRACE";
/// Where a test kills the process; only in builds with crash points.
pub(crate) const CRASH_AT: &str = "OVERLOCK_CRASH_AT";
/// Prefix of configuration overrides: `OVERLOCK__SOURCE__CRM__LOGIN_URL=...`.
pub(crate) const OVERRIDE_PREFIX: &str = "OVERLOCK__";

/// Every variable with its meaning, for the reference page.
pub(crate) const TABLE: &[(&str, &str)] = &[
    (CONFIG, "path of `overlock.toml`, as `--config`"),
    (ENV, "name of the `[env.NAME]` overlay, as `--env`"),
    (
        LOG,
        "log filter such as `debug`; wins over `--log-level`, -v and -q",
    ),
    (
        WORK_DIR,
        "folder of open packages, locks and run records, as `--state-dir`",
    ),
    (NO_INPUT, "`1`: never ask, as `--no-input`"),
    (BACKTRACE, "`1`: show kind and context of every error"),
    (
        "OVERLOCK__SECTION__KEY",
        "overrides one configuration key; below `--set`, above `[env.NAME]`",
    ),
    ("NO_COLOR", "any value: no colour"),
    (
        "CLICOLOR_FORCE",
        "any value but `0`: colour even without a terminal",
    ),
    ("TERM", "`dumb`: no colour, no progress bars"),
    ("CI", "any value: no progress bars"),
    (
        "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
        "proxy for the connectors; lower case works too",
    ),
    (
        "SSL_CERT_FILE",
        "one more PEM file of certificates to trust",
    ),
];

/// The environment as it was when the process started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the process environment; variables that are not UTF-8 are left out.
    pub(crate) fn read() -> Self {
        let pairs = std::env::vars_os();
        Self(
            pairs
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// The value of a variable; an empty one counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a variable is set to anything but nothing or `0`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0")
    }

    /// Names of all variables, for suggestions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The configuration overrides: variable, path in lower case, value.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = (&str, Vec<String>, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(OVERRIDE_PREFIX)?;
            let path = rest.split("__").map(str::to_lowercase).collect();
            Some((name.as_str(), path, value.as_str()))
        })
    }

    /// Adds the `NAME=value` lines of an env file; variables that are set already win.
    ///
    /// # Errors
    /// `Config` with the number of the first line that is neither empty, a `#` comment nor `NAME=value`.
    pub(crate) fn add_file(&mut self, text: &str, path: &str) -> Result<()> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = line.strip_prefix("export ").unwrap_or(line).split_once('=');
            let Some((name, value)) = pair.filter(|(name, _)| is_name(name.trim())) else {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("read line {number} of the env file"),
                )
                .context("path", path)
                .hint("write one NAME=value per line"));
            };
            let value = value.trim();
            let bare = [('"', '"'), ('\'', '\'')].iter().find_map(|(open, close)| {
                value
                    .strip_prefix(*open)
                    .and_then(|rest| rest.strip_suffix(*close))
            });
            self.0
                .entry(name.trim().to_owned())
                .or_insert_with(|| bare.unwrap_or(value).to_owned());
        }
        Ok(())
    }

    /// The proxy settings; lower-case names win, as with curl.
    pub(crate) fn proxy(&self) -> Proxy {
        let either = |lower: &str, upper: &str| {
            self.get(lower)
                .or_else(|| self.get(upper))
                .map(ToOwned::to_owned)
        };
        Proxy {
            https: either("https_proxy", "HTTPS_PROXY"),
            http: either("http_proxy", "HTTP_PROXY"),
            no_proxy: either("no_proxy", "NO_PROXY"),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }
}

/// Whether a text may name an environment variable.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_split_at_double_underscores() {
        let environment = Environment::of(&[
            ("OVERLOCK__SOURCE__CRM__LOGIN_URL", "http://127.0.0.1:1"),
            ("OVERLOCK_ENV", "dev"),
        ]);
        let found: Vec<_> = environment.overrides().collect();
        assert_eq!(
            found,
            [(
                "OVERLOCK__SOURCE__CRM__LOGIN_URL",
                vec![
                    "source".to_owned(),
                    "crm".to_owned(),
                    "login_url".to_owned()
                ],
                "http://127.0.0.1:1"
            )]
        );
    }

    #[test]
    fn an_env_file_fills_gaps_only_and_names_its_bad_line() {
        let mut environment = Environment::of(&[("A", "process")]);
        environment
            .add_file(
                "# comment\nA=file\nexport B = 'two words'\n\nC=\"3\"\n",
                "x.env",
            )
            .unwrap();
        assert_eq!(environment.get("A"), Some("process"));
        assert_eq!(environment.get("B"), Some("two words"));
        assert_eq!(environment.get("C"), Some("3"));
        let error = environment
            .add_file("D=1\nnonsense\n", "x.env")
            .unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
