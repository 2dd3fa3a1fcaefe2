//! How connections are made: certificates, proxies, names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::config::HttpConfig;
use super::failure::Refused;
use super::origin::{self, Origins};
use super::proxy::Proxies;

/// Builds the client that all requests of a source instance go through.
pub(super) fn client(
    config: &HttpConfig,
    origins: &Arc<Origins>,
    proxies: &Arc<Proxies>,
    ca_file: Option<&Path>,
) -> Result<reqwest::Client> {
    let all_https = origins
        .configured
        .iter()
        .chain(&origins.known)
        .all(|url| url.scheme() == "https");
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("overlock/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .https_only(all_https)
        .min_tls_version(reqwest::tls::Version::TLS_1_2)
        .connect_timeout(config.connect_timeout)
        .tcp_keepalive(Duration::from_secs(60))
        .http1_only()
        // Bodies are inflated here, within limits, whatever another crate asked of reqwest.
        .no_gzip()
        .no_proxy()
        .dns_resolver(Arc::new(Resolver {
            origins: Arc::clone(origins),
            proxies: Arc::clone(proxies),
        }));
    if origins.is_local() {
        // Reading some hundred certificates takes longer than a whole sync of an emulator.
        builder = builder.tls_built_in_root_certs(false);
    }
    let chosen = Arc::clone(proxies);
    builder = builder.proxy(reqwest::Proxy::custom(move |url| chosen.of(url).cloned()));
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder
        .build()
        .map_err(|error| Error::bug("build the HTTP client").source(error.without_url()))
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>> {
    const MAX_CA_BYTES: u64 = 4 << 20;
    let refuse = |why: String| {
        let path = overlock_core::text::printable(&path.display().to_string());
        Error::new(ErrorKind::Config, format!("use the CA file {path}: {why}"))
            .hint("`ca_file` names a file of PEM certificates")
    };
    let size = std::fs::metadata(path)
        .map_err(|error| refuse(error.to_string()))?
        .len();
    if size > MAX_CA_BYTES {
        return Err(refuse("it is too large".to_owned()));
    }
    let text = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&text)
        .map_err(|_| refuse("it is not PEM".to_owned()))?;
    if found.is_empty() {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

/// Resolves names, and refuses those that nobody configured and that lead to a private target.
struct Resolver {
    origins: Arc<Origins>,
    proxies: Arc<Proxies>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let trusted = self.origins.is_configured_host(&host) || self.proxies.has_host(&host);
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if !trusted
                && found
                    .iter()
                    .any(|found| origin::is_private_target(found.ip()))
            {
                let shown = overlock_core::text::printable(&host);
                let refused = Refused(format!(
                    "connect to {shown}: the name leads to this machine or its local network, and nobody configured that"
                ));
                return Err(refused.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}
