//! The one HTTP client of a source instance: what every connector needs and none should write.
//!
//! A connector says how to log in ([`Auth`]), what answers mean ([`Api`]) and where requests may go
//! ([`Origins`]); the client does the rest: limits, retries with full jitter, waits that the server asks
//! for, time-outs, size limits, decompression, budgets and events.
//!
//! What it refuses: redirects, hosts that nobody configured, unencrypted connections to other machines,
//! bodies without bound, repeating a request that may have been acted on, a third login, and pages for
//! people where data should be. No secret, header, body or query gets into an event; of a refusal only the
//! server's words do, cut and escaped.

mod answer;
mod api;
mod attempt;
mod auth;
mod body;
mod budget;
mod client;
mod config;
mod connect;
mod failure;
pub mod headers;
mod inflate;
mod origin;
mod proxy;
mod request;
mod zip;

pub use answer::{begins_like_html, describe, is_html, refusal};
pub use api::{Api, PlainApi, Quota, Rate, Verdict, classify_by_status};
pub use auth::{Auth, LoginClient, StaticAuth, Token};
pub use body::Body;
pub use client::{Http, HttpSettings};
pub use config::HttpConfig;
pub use http::{HeaderMap, Method};
pub use inflate::{Caps, Encoding, Inflater};
pub use origin::{Origins, link, parse_url};
pub use request::{Class, Request, Response, encode};
pub use url::Url;

/// Entry points of the fuzz targets; also run over their corpora as plain tests.
#[doc(hidden)]
pub mod fuzz {
    pub use super::headers::fuzz as headers;
    pub use super::inflate::fuzz as gzip_stream;
    pub use super::origin::fuzz as url_pinning;
}
