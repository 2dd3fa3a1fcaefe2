//! What a connector crate offers to the registry.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::event::Events;
use crate::name::SourceName;
use crate::secret::Redactor;
use crate::source::Source;
use crate::time::Clock;

/// One per connector crate; listed once in the registry.
pub trait Connector: Send + Sync {
    /// The name that `connector = "..."` asks for.
    fn name(&self) -> &'static str;

    /// Documented keys, which of them are secret, and examples.
    fn spec(&self) -> Spec;

    /// Parses and validates; no network.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    fn connect(&self, config: &Config, cx: &Context) -> Result<Arc<dyn Source>>;
}

/// What a connector says about itself; docs pages and `overlock connectors` are made from it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// One sentence.
    pub summary: &'static str,
    /// Every key of `[source.NAME]` but `connector`, in reading order.
    pub keys: Vec<Key>,
    /// A `[source.NAME]` table that works once its values are filled in.
    pub example: &'static str,
}

/// One configuration key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Path inside the source's table, such as `auth.client_id`.
    pub path: &'static str,
    /// Kind of value.
    pub kind: KeyKind,
    /// Must be given.
    pub required: bool,
    /// Holds a secret reference such as `env:NAME`; shown masked.
    pub secret: bool,
    /// Default as text.
    pub default: Option<&'static str>,
    /// One or two sentences for the user.
    pub doc: &'static str,
}

/// Kind of a configuration value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Duration such as `90s`, `15m`, `2h`, `7d`.
    Duration,
    /// RFC 3339 instant or date.
    Instant,
    /// List of text.
    TextList,
}

/// The parsed table of one source, with secret references already resolved.
pub struct Config {
    name: SourceName,
    values: Value,
}

impl Config {
    /// Wraps the values of `[source.NAME]` without the key `connector`.
    pub fn new(name: SourceName, values: Value) -> Self {
        Self { name, values }
    }

    /// The name the user gave to the source.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// Reads the values as the connector's own type.
    ///
    /// # Errors
    /// `Config` if a key is missing, unknown or of the wrong type. The message names the key, never a value.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.values).map_err(|error| {
            let message = error.to_string();
            // serde quotes the offending value in "invalid type: string "..."": keep only what was expected.
            let safe = match message.split_once(", expected ") {
                Some((_, expected)) if message.starts_with("invalid") => {
                    format!("use a value that is not {expected}")
                }
                _ => format!("read the source's settings: {message}"),
            };
            Error::new(ErrorKind::Config, safe).context("source", &self.name)
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What the house lends to a connector.
#[derive(Debug, Clone)]
pub struct Context {
    /// Folder for this source's own small files (token store, describe cache); mode 0700.
    pub work_dir: PathBuf,
    /// Where events go.
    pub events: Events,
    /// The local clock.
    pub clock: Arc<dyn Clock>,
    /// Learns every secret that appears at run time, such as access tokens.
    pub redactor: Redactor,
    /// Proxy settings, as the command line read them from the environment.
    pub proxy: Proxy,
    /// Most HTTP requests this run may make; `None`: no budget but the source's own.
    pub max_api_calls: Option<u64>,
    /// One more file of PEM certificates to trust.
    pub ca_file: Option<PathBuf>,
}

/// Proxy settings from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Proxy for https URLs.
    pub https: Option<String>,
    /// Proxy for http URLs.
    pub http: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub no_proxy: Option<String>,
}
