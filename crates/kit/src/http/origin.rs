//! Where requests may go: a fixed set of origins made from the configuration.
//!
//! A source's settings name hosts; a token answer may name one more, of a domain the connector trusts.
//! Everything else a server says about hosts is ignored: of its links only path and query are taken, and
//! a link to a foreign origin is refused. Redirects are off. Names that nobody configured are refused when
//! they lead to this machine or to the metadata service of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Result};
use url::{Host, Url};

/// Longest link of a server that is followed.
const MAX_LINK_BYTES: usize = 16 * 1024;

/// The origins of one source instance.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// URLs that the user wrote himself: these may be this machine, then also without TLS.
    pub configured: Vec<Url>,
    /// URLs that the connector knows: https only, never this machine.
    pub known: Vec<Url>,
    /// Domains, such as `.salesforce.com`, that a token answer's base may end with: https only.
    pub suffixes: &'static [&'static str],
}

impl Origins {
    /// Checks the configured and known URLs.
    ///
    /// # Errors
    /// `Config` if one has user info, is not http(s), or is http to another machine.
    pub fn validate(&self) -> Result<()> {
        for url in self.configured.iter().chain(&self.known) {
            check_url(url)?;
        }
        Ok(())
    }

    /// Whether the user wrote this origin himself.
    pub fn is_configured(&self, url: &Url) -> bool {
        self.configured.iter().any(|known| same_origin(known, url))
    }

    /// Whether every URL is this machine without TLS, as that of an emulator is.
    pub(super) fn is_local(&self) -> bool {
        !self.configured.is_empty()
            && self.known.is_empty()
            && self.configured.iter().all(|url| url.scheme() == "http")
    }

    /// Whether a host was written by the user himself; such hosts may be private.
    pub(super) fn is_configured_host(&self, host: &str) -> bool {
        self.configured.iter().any(|known| {
            known
                .host_str()
                .is_some_and(|known| known.eq_ignore_ascii_case(host))
        })
    }

    /// Refuses a URL that is not of one of these origins.
    ///
    /// # Errors
    /// `Unavailable` for a foreign origin, `Config` for a URL that no request may go to.
    pub fn check(&self, url: &Url) -> Result<()> {
        check_url(url)?;
        if self.is_configured(url) || self.known.iter().any(|known| same_origin(known, url)) {
            return Ok(());
        }
        if url.scheme() == "https" && url.port().is_none() && self.has_trusted_domain(url) {
            return Ok(());
        }
        Err(foreign(url))
    }

    fn has_trusted_domain(&self, url: &Url) -> bool {
        let Some(Host::Domain(host)) = url.host() else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        self.suffixes.iter().any(|suffix| {
            host.strip_suffix(suffix)
                .is_some_and(|name| suffix.starts_with('.') && !name.is_empty())
        })
    }
}

/// Takes path and query of a link that a server gave, for use on our own origin.
///
/// # Errors
/// `Unavailable` if the link leads to another origin or is no link.
pub fn link(base: &Url, link: &str) -> Result<String> {
    let refuse = |why: &str| {
        Error::new(
            ErrorKind::Unavailable,
            format!("follow a link that the server gave: {why}"),
        )
        .hint("overlock asks only the configured host; report this to the vendor of the service")
    };
    if link.len() > MAX_LINK_BYTES {
        return Err(refuse("it is too long"));
    }
    if link.is_empty()
        || link
            .chars()
            .any(|c| c.is_control() || c == '\\' || c == ' ')
    {
        return Err(refuse("it is not well-formed"));
    }
    // Anything that is not a plain absolute path must be a URL of exactly our origin: "//host/x" and
    // "host/x" are refused rather than resolved.
    let url = if link.starts_with('/') && !link.starts_with("//") {
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.join(link)
            .map_err(|_| refuse("it is not well-formed"))?
    } else {
        Url::parse(link).map_err(|_| refuse("it is not well-formed"))?
    };
    if !same_origin(base, &url) || !url.username().is_empty() || url.password().is_some() {
        let host = url.host_str().unwrap_or("an unknown host");
        return Err(refuse(&format!(
            "it leads to {}://{}",
            printable(url.scheme()),
            printable(host)
        )));
    }
    let mut path = url.path().to_owned();
    if path.starts_with("//") {
        return Err(refuse("it is not well-formed"));
    }
    if let Some(query) = url.query() {
        path.push('?');
        path.push_str(query);
    }
    Ok(path)
}

/// Joins our origin and a path with query that we made or took from [`link`].
pub(super) fn join(base: &Url, path: &str) -> Result<Url> {
    let refuse = || Error::bug("make a request: its path is not well-formed");
    if !path.starts_with('/') || path.starts_with("//") || path.contains(['\\', '#']) {
        return Err(refuse());
    }
    let url = base.join(path).map_err(|_| refuse())?;
    if !same_origin(base, &url) {
        return Err(refuse());
    }
    Ok(url)
}

/// Whether scheme, host and port are the same.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// A URL for events and messages: scheme, host, port and path.
pub(super) fn shown(url: &Url) -> String {
    printable(&format!(
        "{}{}",
        url.origin().ascii_serialization(),
        url.path()
    ))
}

/// Parses a URL that the user wrote into the source's settings under `key`.
///
/// # Errors
/// `Config` if it is no URL, has user info, is not http(s), or is http to another machine.
pub fn parse_url(key: &'static str, text: &str) -> Result<Url> {
    let clean = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let url = Url::parse(text).ok().filter(|_| clean).ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            format!("accept the value of `{key}`: it is not a URL"),
        )
        .context("key", key)
        .hint("write it with its scheme: https://host")
    })?;
    check_url(&url).map_err(|error| error.context("key", key))?;
    Ok(url)
}

fn check_url(url: &Url) -> Result<()> {
    let refuse = |why: &str, hint: &str| {
        // Never the whole URL: user info may hold a password.
        let host = printable(url.host_str().unwrap_or("no host"));
        Err(Error::new(
            ErrorKind::Config,
            format!("accept the URL of {host}: {why}"),
        )
        .hint(hint))
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "it has a user name or password in it",
            "give credentials under their own keys",
        );
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(host)) if is_loopback(&host) => Ok(()),
        ("http", Some(_)) => refuse("it is not encrypted", "use https"),
        (scheme, _) => refuse(
            &format!("its scheme is `{}`", printable(scheme)),
            "use https",
        ),
    }
}

fn foreign(url: &Url) -> Error {
    let host = printable(&url.origin().ascii_serialization());
    Error::new(
        ErrorKind::Unavailable,
        format!("use the host that the server named: {host} is not of this service"),
    )
    .hint("if the host is right, write it into the source's settings")
}

/// Whether the host is this machine by its spelling.
pub(super) fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref().eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Addresses that a name nobody configured must not lead to: this machine, the local link (which has the
/// metadata services of the clouds) and what is no single host. Private ranges stay allowed: companies
/// reach their services by private links under public names.
pub(super) fn is_private_target(address: IpAddr) -> bool {
    /// Metadata services outside of the local link: Alibaba Cloud and, for IPv6, AWS.
    const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.octets().first() == Some(&0)
                || v4 == METADATA_V4
        }
        IpAddr::V6(v6) => match v6.to_ipv4() {
            // Also "::1" and "::" come here, as 0.0.0.1 and 0.0.0.0.
            Some(v4) => is_private_target(IpAddr::V4(v4)),
            None => v6.is_unicast_link_local() || v6.is_multicast() || v6 == METADATA_V6,
        },
    }
}

/// Entry point of the fuzz target `url_pinning`: whatever the link, a request stays on our origin.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for base in [
        "https://acme.my.salesforce.com",
        "http://127.0.0.1:8080/x?y",
    ] {
        let Ok(base) = Url::parse(base) else { return };
        if let Ok(path) = link(&base, text) {
            let url = join(&base, &path);
            assert!(url.is_ok_and(|url| same_origin(&base, &url)), "{text:?}");
        }
        let origins = Origins {
            configured: vec![base],
            known: Vec::new(),
            suffixes: &[".salesforce.com"],
        };
        if let Ok(url) = Url::parse(text)
            && origins.check(&url).is_ok()
            && !origins.is_configured(&url)
        {
            assert!(url.scheme() == "https" && url.username().is_empty());
            assert!(
                url.host_str()
                    .is_some_and(|host| host.ends_with(".salesforce.com"))
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn of_a_link_only_path_and_query_are_taken() {
        let base = url("https://acme.my.salesforce.com");
        for (text, expected) in [
            ("/a/b?c=d", "/a/b?c=d"),
            ("https://acme.my.salesforce.com/a?b=%2F", "/a?b=%2F"),
            ("https://ACME.my.salesforce.com:443/a#f", "/a"),
            ("/a/../b", "/b"),
            ("/a?u=https://evil.test/", "/a?u=https://evil.test/"),
        ] {
            assert_eq!(link(&base, text).unwrap(), expected);
        }
    }

    #[test]
    fn a_link_to_another_origin_is_refused() {
        // covers: N18
        let base = url("https://acme.my.salesforce.com");
        for text in [
            "https://evil.test/a?token=abcdef123456",
            "http://acme.my.salesforce.com/a",
            "https://acme.my.salesforce.com:8443/a",
            "https://acme.my.salesforce.com@evil.test/",
            "https://user:abcdef123456@acme.my.salesforce.com/a",
            "//evil.test/a",
            "/\\evil.test/a",
            "\\\\evil.test",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "a/b",
            "?a=b",
            "",
            "/a\r\nHost: evil.test",
            "/\t/evil.test",
            "/..//evil.test",
            "https://acme.my.salesforce.com//evil.test",
        ] {
            let error = link(&base, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{text}");
            assert!(!error.to_string().contains("abcdef"), "{error}");
        }
        assert!(link(&base, &format!("/{}", "a".repeat(100_000))).is_err());
    }

    #[test]
    fn a_base_from_a_token_must_be_of_the_service() {
        // covers: N18
        let origins = Origins {
            configured: vec![url("http://127.0.0.1:8080")],
            known: vec![url("https://login.salesforce.com")],
            suffixes: &[".salesforce.com"],
        };
        for good in [
            "http://127.0.0.1:8080/x",
            "https://login.salesforce.com",
            "https://acme.my.salesforce.com",
        ] {
            assert!(origins.check(&url(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://127.0.0.1:8081",
            "http://acme.my.salesforce.com",
            "https://acme.my.salesforce.com:444",
            "https://salesforce.com",
            "https://evilsalesforce.com",
            "https://acme.my.salesforce.com.evil.test",
            "https://169.254.169.254",
            "https://u:p@acme.my.salesforce.com",
            "ftp://acme.my.salesforce.com",
        ] {
            assert!(origins.check(&url(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn configured_urls_are_https_or_this_machine() {
        // covers: I23
        for good in [
            "https://acme.test",
            "http://127.0.0.1:1",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(parse_url("login_url", good).is_ok(), "{good}");
        }
        for bad in [
            "http://acme.test",
            "http://127.0.0.1.evil.test",
            "file:///etc/passwd",
            "https://user:hunter22@acme.test",
            "acme.test",
            "https://acme.test/ x",
            "https://acme.test/\n",
            "",
        ] {
            let error = parse_url("login_url", bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            assert_eq!(error.get("key"), Some("login_url"));
            assert!(!error.to_string().contains("hunter22"));
        }
    }

    #[test]
    fn this_machine_and_metadata_services_are_private_targets() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "100.100.100.200",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
        ] {
            assert!(is_private_target(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "10.0.0.1",
            "192.168.1.1",
            "2606:4700::1111",
            "fd12::1",
        ] {
            assert!(!is_private_target(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn no_path_leaves_our_origin() {
        let base = url("https://acme.test");
        for bad in ["x", "//evil.test", "/\\evil.test", "/a#b", ""] {
            assert!(join(&base, bad).is_err(), "{bad}");
        }
        assert_eq!(
            join(&base, "/a?b").unwrap().as_str(),
            "https://acme.test/a?b"
        );
    }
}
