//! The positions of the streams. Each is a few fields of JSON, at most 4 KiB.

use std::collections::BTreeMap;

use overlock_core::{Error, ErrorKind, Result, State};
use serde::{Deserialize, Serialize};

/// Version of all of them.
const VERSION: u64 = 1;

/// Most rows of the last second that are remembered, to leave them out when they come again. More of them just come
/// again.
const MAX_SEEN: usize = 64;

/// A position. Which fields are there depends on the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    v: u64,
    /// Host of the account.
    host: String,
    /// Opaque cursor of an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// Epoch second up to which everything was read, that second included. Of a cursor: where to begin if the
    /// cursor is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<i64>,
    /// Of comments read ticket by ticket: where the pass began that ended, or is still going on. Events from there on
    /// may be of tickets that were changed again before the pass came to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<i64>,
    /// That pass is still going on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) open: bool,
    /// Rows of that second that were read: hashes of their whole content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) seen: Vec<String>,
    /// What a list was like: the name of a snapshot in the work folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<String>,
    /// A snapshot that is small enough to be here itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rows: BTreeMap<String, String>,
}

impl Position {
    /// The beginning.
    pub(crate) fn new(host: &str) -> Self {
        Self {
            v: VERSION,
            host: host.to_owned(),
            ..Self::default()
        }
    }

    /// Reads a position of this account; the beginning if there is none.
    ///
    /// # Errors
    /// `Config` if it is malformed, of another version or of another account.
    pub(crate) fn of(state: Option<&State>, host: &str) -> Result<Self> {
        let Some(state) = state else {
            return Ok(Self::new(host));
        };
        let position: Self = state.parse(VERSION)?;
        if position.host != host {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "go on from the stored state: it is of the account {}, and this source reads {host}",
                    overlock_core::text::printable(&position.host)
                ),
            )
            .hint("correct `subdomain`, or give the other account a pipeline of its own; for an account that was renamed reset the stream: `overlock state reset`"));
        }
        Ok(position)
    }

    /// The position as a state.
    ///
    /// # Errors
    /// `Data` if it is over 4 KiB, as a cursor that is none may be.
    pub(crate) fn state(&self) -> Result<State> {
        State::new(self)
    }

    /// Moves to a second with these rows in it.
    pub(crate) fn reach(&mut self, at: i64, seen: impl IntoIterator<Item = u64>) {
        self.at = Some(at);
        self.seen = seen
            .into_iter()
            .take(MAX_SEEN + 1)
            .map(|hash| format!("{hash:016x}"))
            .collect();
        if self.seen.len() > MAX_SEEN {
            self.seen.clear();
        }
    }

    /// The hashes of the rows that were read of the last second.
    pub(crate) fn seen(&self) -> impl Iterator<Item = u64> + '_ {
        self.seen
            .iter()
            .filter_map(|hash| u64::from_str_radix(hash, 16).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_and_stay_small() {
        // covers: I24
        let mut position = Position::new("acme.zendesk.com");
        position.cursor = Some("MTY5NTA1MjY2My4wfHwyOHw=".to_owned());
        position.reach(1_695_052_663, [1, u64::MAX]);
        let state = position.state().unwrap();
        assert_eq!(
            state.as_json().to_string(),
            r#"{"at":1695052663,"cursor":"MTY5NTA1MjY2My4wfHwyOHw=","host":"acme.zendesk.com","seen":["0000000000000001","ffffffffffffffff"],"v":1}"#
        );
        let back = Position::of(Some(&state), "acme.zendesk.com").unwrap();
        assert_eq!(back, position);
        assert_eq!(back.seen().collect::<Vec<_>>(), [1, u64::MAX]);
        position.reach(5, 0..1_000);
        assert!(position.seen.is_empty());
        assert!(position.state().is_ok());
    }

    #[test]
    fn a_state_of_another_account_is_refused() {
        let state = Position::new("acme.zendesk.com").state().unwrap();
        let error = Position::of(Some(&state), "other.zendesk.com").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("acme.zendesk.com"), "{error}");
    }
}
