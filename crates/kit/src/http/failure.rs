//! Turning a failure of the network into an error that says what broke and whether to try again.

use std::error::Error as StdError;
use std::io;

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind};
use url::Url;

use super::proxy::Route;

/// A failure without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Trying again may help.
    pub(super) retry: bool,
    /// The request cannot have reached the server.
    pub(super) unsent: bool,
}

/// What stands in the causes instead of reqwest's text, which has the URL with its query.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Refused {}

/// A request failed before its headers came.
pub(super) fn of_send(error: reqwest::Error, url: &Url, route: &Route) -> Failure {
    let host = printable(url.host_str().unwrap_or("the server"));
    let connecting = error.is_connect();
    let error = error.without_url();
    if let Some(refused) = find::<Refused>(&error) {
        return Failure {
            error: Error::new(ErrorKind::Unavailable, refused.0.clone()).hint(
                "write the host into the source's settings if it is meant to be on this network",
            ),
            retry: false,
            unsent: true,
        };
    }
    if connecting && is_tls(&error) {
        return Failure {
            error: Error::new(
                ErrorKind::Unavailable,
                format!("make a secure connection to {host}: {}", deepest(&error)),
            )
            .hint("the certificate or the TLS version does not fit: check the host name and the clock; for a company's own certificate authority set `ca_file`"),
            retry: false,
            unsent: true,
        };
    }
    if connecting
        && let Route::Proxy {
            variable,
            host: proxy,
        } = route
    {
        return Failure {
            error: Error::new(
                ErrorKind::Unavailable,
                format!(
                    "reach {host} through the proxy {proxy} of the variable {variable}: {}",
                    deepest(&error)
                ),
            )
            .hint(format!(
                "correct or unset {variable}, or add {host} to NO_PROXY"
            )),
            retry: true,
            unsent: true,
        };
    }
    let what = if connecting { "connect to" } else { "ask" };
    let why = if error.is_timeout() {
        "no connection in time".to_owned()
    } else {
        deepest(&error)
    };
    Failure {
        error: Error::new(ErrorKind::Unavailable, format!("{what} {host}: {why}"))
            .hint("check the network and the service's status page; the next run goes on from what is kept"),
        retry: true,
        unsent: connecting,
    }
}

/// A body broke off.
pub(super) fn of_body(error: reqwest::Error) -> Error {
    let error = error.without_url();
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "receive an answer: the connection broke: {}",
            deepest(&error)
        ),
    )
    .hint("the next run goes on from what is kept")
}

/// rustls reports its errors as `InvalidData` of the connection.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if error.kind() == io::ErrorKind::InvalidData {
                return true;
            }
            // An io::Error's `source` skips the error it wraps.
            if let Some(inner) = error.get_ref()
                && is_tls(inner)
            {
                return true;
            }
        }
        next = error.source();
    }
    false
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        if let Some(found) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| find::<E>(inner))
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost cause: the outer ones only say "error sending request".
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut deepest = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    printable(&deepest.to_string())
}
