//! Which proxy a request goes through, by `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
//!
//! The decision is our own rather than reqwest's, so that an error can name the variable that made it.
//! This machine is never asked through a proxy.

use std::net::IpAddr;

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Proxy, Result};
use url::{Host, Url};

use super::origin;

/// How a request travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Direct,
    Proxy {
        /// Name of the environment variable.
        variable: &'static str,
        /// Host and port.
        host: String,
    },
}

/// Proxies that were parsed once.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    https: Option<Url>,
    http: Option<Url>,
    no_proxy: Vec<String>,
}

impl Proxies {
    pub(super) fn new(proxy: &Proxy) -> Result<Self> {
        let parse = |variable: &'static str, value: &Option<String>| -> Result<Option<Url>> {
            let Some(text) = value
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
            else {
                return Ok(None);
            };
            let text = if text.contains("://") {
                text.to_owned()
            } else {
                format!("http://{text}")
            };
            // The value is not shown: it may hold a password.
            let url = Url::parse(&text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            url.map(Some).ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "use the proxy of the variable {variable}: its value is not a proxy's URL"
                    ),
                )
                .hint("write it as http://host:port")
            })
        };
        let no_proxy = proxy.no_proxy.as_deref().unwrap_or_default();
        Ok(Self {
            https: parse("HTTPS_PROXY", &proxy.https)?,
            http: parse("HTTP_PROXY", &proxy.http)?,
            no_proxy: no_proxy
                .split(',')
                .map(|rule| rule.trim().to_ascii_lowercase())
                .filter(|rule| !rule.is_empty())
                .collect(),
        })
    }

    /// The proxy for a URL.
    pub(super) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref()?,
            _ => self.http.as_ref()?,
        };
        let host = url.host()?;
        let direct =
            origin::is_loopback(&host) || self.no_proxy.iter().any(|rule| fits(rule, &host, url));
        (!direct).then_some(proxy)
    }

    pub(super) fn route(&self, url: &Url) -> Route {
        match self.of(url) {
            None => Route::Direct,
            Some(proxy) => Route::Proxy {
                variable: if url.scheme() == "https" {
                    "HTTPS_PROXY"
                } else {
                    "HTTP_PROXY"
                },
                host: printable(&format!(
                    "{}:{}",
                    proxy.host_str().unwrap_or_default(),
                    proxy.port_or_known_default().unwrap_or_default()
                )),
            },
        }
    }

    /// Whether a name is that of a proxy, which the user wrote himself.
    pub(super) fn has_host(&self, host: &str) -> bool {
        [&self.https, &self.http]
            .into_iter()
            .flatten()
            .any(|proxy| {
                proxy
                    .host_str()
                    .is_some_and(|known| known.eq_ignore_ascii_case(host))
            })
    }

    /// Passwords inside proxy URLs.
    pub(super) fn passwords(&self) -> impl Iterator<Item = &str> {
        [&self.https, &self.http]
            .into_iter()
            .flatten()
            .filter_map(Url::password)
    }
}

/// One rule of `NO_PROXY`: `*`, an address, an address range, or a domain with or without a leading dot
/// and with or without a port.
fn fits(rule: &str, host: &Host<&str>, url: &Url) -> bool {
    if rule == "*" {
        return true;
    }
    let address = match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        Host::Domain(_) => None,
    };
    if let Some(address) = address {
        return match rule.split_once('/') {
            Some((network, bits)) => in_network(address, network, bits),
            None => rule.trim_matches(['[', ']']).parse() == Ok(address),
        };
    }
    let Host::Domain(name) = host else {
        return false;
    };
    let (rule, port) = match rule.rsplit_once(':') {
        Some((rule, port)) => (rule, port.parse().ok()),
        None => (rule, None),
    };
    if port.is_some() && port != url.port_or_known_default() {
        return false;
    }
    let rule = rule.trim_start_matches("*.").trim_start_matches('.');
    let name = name.to_ascii_lowercase();
    name == rule
        || name
            .strip_suffix(rule)
            .is_some_and(|front| !rule.is_empty() && front.ends_with('.'))
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let shift = 32 - bits;
            u32::from(address).checked_shr(shift).unwrap_or(0)
                == u32::from(network).checked_shr(shift).unwrap_or(0)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let shift = 128 - bits;
            u128::from(address).checked_shr(shift).unwrap_or(0)
                == u128::from(network).checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::new(&Proxy {
            https: Some("http://user:hunter22@proxy.test:3128".to_owned()),
            http: Some("proxy.test:8080".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
        })
        .unwrap()
    }

    #[test]
    fn no_proxy_rules_are_read_as_curl_reads_them() {
        for (rules, url, direct) in [
            ("", "https://acme.test", false),
            ("*", "https://acme.test", true),
            ("acme.test", "https://acme.test", true),
            ("acme.test", "https://a.acme.test", true),
            (".acme.test", "https://a.acme.test", true),
            ("*.acme.test", "https://a.acme.test", true),
            ("acme.test", "https://evilacme.test", false),
            ("acme.test:444", "https://acme.test", false),
            ("acme.test:443", "https://acme.test", true),
            ("x, ACME.test ,y", "https://acme.test", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("0.0.0.0/0", "https://11.1.2.3", true),
            ("10.1.2.3", "https://10.1.2.3", true),
            ("fd00::/8", "https://[fd12::1]", true),
            ("", "http://127.0.0.1:8080", true),
            ("", "http://localhost", true),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(proxies(rules).of(&url).is_none(), direct, "{rules} {url}");
        }
    }

    #[test]
    fn a_route_names_the_variable_and_never_the_password() {
        let route = proxies("").route(&Url::parse("https://acme.test").unwrap());
        assert_eq!(
            route,
            Route::Proxy {
                variable: "HTTPS_PROXY",
                host: "proxy.test:3128".to_owned()
            }
        );
    }

    #[test]
    fn a_value_that_is_no_proxy_is_refused_by_the_name_of_its_variable() {
        let error = Proxies::new(&Proxy {
            https: Some("socks9://user:hunter22@x".to_owned()),
            ..Proxy::default()
        })
        .unwrap_err();
        assert!(error.to_string().contains("HTTPS_PROXY"));
        assert!(!error.to_string().contains("hunter22"));
    }
}
