//! What is needed to log in.

use overlock_core::{Error, ErrorKind, Result, Secret};
use url::Url;

/// An account, a person and a place.
#[derive(Debug)]
pub struct Account {
    /// Account identifier, such as `myorg-myaccount` or `xy12345.eu-central-1`.
    pub account: String,
    /// Host, if it is not `<account>.snowflakecomputing.com`: PrivateLink and other domains.
    pub host: Option<String>,
    /// Login name.
    pub user: String,
    /// How to prove to be that user.
    pub auth: Auth,
    /// Role; `None`: the user's default.
    pub role: Option<String>,
    /// Warehouse; `None`: the user's default.
    pub warehouse: Option<String>,
    /// Database that sessions begin in; statements name theirs in full.
    pub database: Option<String>,
    /// Where a stand-in for tests listens, on this machine.
    pub test_url: Option<Url>,
}

/// How to prove to be a user.
#[derive(Debug)]
pub enum Auth {
    /// A private key.
    KeyPair {
        /// PEM: PKCS#8, plain or encrypted, or PKCS#1.
        private_key: Secret,
        /// Of an encrypted key.
        passphrase: Option<Secret>,
    },
    /// A password.
    Password(Secret),
    /// An OAuth access token.
    OAuth(Secret),
    /// A programmatic access token.
    Token(Secret),
}

/// The domain of accounts that tell no host (snowflake.md, section 1).
const DOMAIN: &str = "snowflakecomputing.com";

/// Longest account identifier that is sent anywhere (reliability.md, section 3: it is pasted into a URL).
const MAX_ACCOUNT: usize = 128;

impl Account {
    /// Checks what would end up in a URL.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<()> {
        let good = |text: &str| {
            text.len() <= MAX_ACCOUNT
                && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !good(&self.account) {
            return Err(bad(
                "account",
                &self.account,
                "write it as in `myorg-myaccount`, without https:// and domain",
            ));
        }
        if let Some(host) = &self.host
            && !good(host)
        {
            return Err(bad(
                "host",
                host,
                "write it as in `xy12345.eu-central-1.privatelink.snowflakecomputing.com`",
            ));
        }
        if let Some(url) = &self.test_url
            && !matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
        {
            return Err(bad(
                "test_url",
                url.as_str(),
                "a stand-in for tests listens on 127.0.0.1",
            ));
        }
        Ok(())
    }

    /// Where requests go.
    pub(crate) fn base(&self) -> Result<Url> {
        if let Some(url) = &self.test_url {
            return Ok(url.clone());
        }
        let host = self.host.clone().unwrap_or_else(|| {
            // Underscores of account names are hyphens in host names.
            format!(
                "{}.{DOMAIN}",
                self.account.to_ascii_lowercase().replace('_', "-")
            )
        });
        Url::parse(&format!("https://{host}"))
            .map_err(|error| bad("host", &host, "write a host name").source(error))
    }

    /// The account as login and JWT want it: no region, upper case (snowflake.md, section 1).
    pub(crate) fn login_name(&self) -> String {
        let account = self.account.to_ascii_uppercase();
        match account.split_once('.') {
            Some((name, rest)) if rest.contains("GLOBAL") => {
                name.split('-').next().unwrap_or(name).to_owned()
            }
            Some((name, _)) => name.to_owned(),
            None => account,
        }
    }
}

fn bad(key: &'static str, value: &str, hint: &str) -> Error {
    let shown = overlock_core::text::printable(value);
    Error::new(
        ErrorKind::Config,
        format!("accept `{shown}` as `{key}` of a Snowflake account"),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account {
            account: name.to_owned(),
            host: None,
            user: "loader".to_owned(),
            auth: Auth::Password(Secret::new("x")),
            role: None,
            warehouse: None,
            database: None,
            test_url: None,
        }
    }

    #[test]
    fn hosts_and_login_names_are_two_things() {
        for (name, host, login) in [
            (
                "myorg-myaccount",
                "myorg-myaccount.snowflakecomputing.com",
                "MYORG-MYACCOUNT",
            ),
            (
                "xy12345.eu-central-1",
                "xy12345.eu-central-1.snowflakecomputing.com",
                "XY12345",
            ),
            (
                "acme-x1.global",
                "acme-x1.global.snowflakecomputing.com",
                "ACME",
            ),
            ("my_org-a", "my-org-a.snowflakecomputing.com", "MY_ORG-A"),
        ] {
            let account = account(name);
            assert_eq!(account.base().unwrap().host_str(), Some(host));
            assert_eq!(account.login_name(), login);
        }
    }

    #[test]
    fn nothing_else_becomes_part_of_a_url() {
        for name in [
            "",
            "evil.test/#",
            "a b",
            "-x",
            "https://x",
            &"a".repeat(200),
        ] {
            assert_eq!(
                account(name).validate().unwrap_err().kind(),
                ErrorKind::Config,
                "{name}"
            );
        }
        let far = Account {
            test_url: Some(Url::parse("http://example.com").unwrap()),
            ..account("a")
        };
        assert!(far.validate().is_err());
    }
}
