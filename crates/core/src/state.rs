//! The position of a stream: a small JSON object that only its connector understands.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// Longest state, in bytes of JSON. A cursor that does not fit is not a cursor.
pub const MAX_STATE_BYTES: usize = 4 * 1024;

/// A JSON object `{"v":1,...}`; typed by the connector, opaque to all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(Value);

impl State {
    /// Makes a state from a connector's own type.
    ///
    /// # Errors
    /// `Bug` if it is not a JSON object with a number `v`; `Data` if it is over [`MAX_STATE_BYTES`].
    pub fn new(typed: &impl Serialize) -> Result<Self> {
        let value = serde_json::to_value(typed)
            .map_err(|error| Error::bug("write a state as JSON").source(error))?;
        if !value.get("v").is_some_and(Value::is_u64) {
            return Err(Error::bug("make a state without the version number `v`"));
        }
        if value.to_string().len() > MAX_STATE_BYTES {
            return Err(Error::new(
                ErrorKind::Data,
                format!("keep a state of more than {MAX_STATE_BYTES} bytes"),
            ));
        }
        Ok(Self(value))
    }

    /// Reads a state as the connector's own type.
    ///
    /// # Errors
    /// `Config` if it is malformed or of a version other than `version`; never "start over".
    pub fn parse<T: DeserializeOwned>(&self, version: u64) -> Result<T> {
        let found = self.0.get("v").and_then(Value::as_u64);
        let hint =
            "use the overlock version that wrote it, or reset the stream: `overlock state reset`";
        if found != Some(version) {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            return Err(Error::new(
                ErrorKind::Config,
                format!("understand a stored state of version {found}; this overlock knows version {version}"),
            )
            .hint(hint));
        }
        if self.0.to_string().len() > MAX_STATE_BYTES {
            return Err(Error::new(
                ErrorKind::Config,
                format!("accept a stored state of more than {MAX_STATE_BYTES} bytes"),
            )
            .hint(hint));
        }
        T::deserialize(&self.0).map_err(|error| {
            Error::new(ErrorKind::Config, "understand a stored state")
                .hint(hint)
                .source(error)
        })
    }

    /// The JSON as it is stored.
    pub fn as_json(&self) -> &Value {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_an_error_and_never_a_fresh_start() {
        // covers: T3
        let state: State = serde_json::from_str(r#"{"v":2,"from":"x"}"#).unwrap();
        let error = state.parse::<Value>(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let state: State = serde_json::from_str(r#"["v"]"#).unwrap();
        assert!(state.parse::<Value>(1).is_err());
    }

    #[test]
    fn a_state_without_version_or_too_long_is_refused() {
        // covers: I24
        assert!(State::new(&serde_json::json!({"from": 1})).is_err());
        assert!(
            State::new(&serde_json::json!({"v": 1, "cursor": "x".repeat(10_000_000)})).is_err()
        );
        assert!(State::new(&serde_json::json!({"v": 1})).is_ok());
    }
}
