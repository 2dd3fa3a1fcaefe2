//! Where a read stands: `{"v":1,"from":T}` between windows, and inside one the job or query in work with
//! its next page.

use overlock_core::{Error, ErrorKind, Result, State, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{api, limits};

/// Version of this state.
pub const VERSION: u64 = 1;

/// The typed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    v: u64,
    /// The org that it is a position in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Every row that was visible and stamped before this is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The slice in work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// The Bulk job that reads the slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobAt>,
    /// The REST query that reads the slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryAt>,
    /// A read without windows reached its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// A piece of an object: rows with `lower <= stamp < upper` and `after < Id <= through`; each end may
/// be open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// First stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Timestamp>,
    /// First stamp after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<Timestamp>,
    /// The last Id before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Its last Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Rows without a stamp belong to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls: bool,
}

/// A position inside the results of a Bulk job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobAt {
    /// Its id.
    pub id: String,
    /// Version of the API it was made with: results must be asked for with the same.
    pub api: String,
    /// The next page; `None`: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
    /// Pages delivered.
    pub pages: u64,
    /// Rows delivered.
    pub rows: u64,
}

/// A position inside the results of a REST query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryAt {
    /// Token of the next page.
    pub next: String,
    /// Rows the first page announced.
    pub total: u64,
    /// Rows delivered.
    pub rows: u64,
}

impl Position {
    /// Between windows: everything before `from` is delivered.
    pub fn at(from: Option<Timestamp>) -> Self {
        Self {
            v: VERSION,
            from,
            ..Self::default()
        }
    }

    /// The end of a read without windows.
    pub fn done() -> Self {
        Self {
            v: VERSION,
            done: true,
            ..Self::default()
        }
    }

    /// Inside a slice.
    #[must_use]
    pub fn inside(mut self, slice: Slice, job: Option<JobAt>, query: Option<QueryAt>) -> Self {
        (self.slice, self.job, self.query) = (Some(slice), job, query);
        self
    }

    /// Reads a stored state; none is the beginning.
    ///
    /// # Errors
    /// `Config` if it is malformed, of another version, or holds what no state of ours would.
    pub fn read(state: Option<&State>) -> Result<Self> {
        let Some(state) = state else {
            return Ok(Self::at(None));
        };
        let position: Self = state.parse(VERSION)?;
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        let job_fits = position
            .job
            .as_ref()
            .is_none_or(|job| word(&job.id) && api::Version::parse(&job.api).is_ok());
        let query_fits = position
            .query
            .as_ref()
            .is_none_or(|query| word(&query.next.replace(['-', '_'], "")));
        let slice_fits = position.slice.as_ref().is_none_or(|slice| {
            slice.after.as_deref().is_none_or(word) && slice.through.as_deref().is_none_or(word)
        });
        let has_slice =
            position.slice.is_some() || (position.job.is_none() && position.query.is_none());
        if job_fits && query_fits && slice_fits && has_slice {
            return Ok(position);
        }
        Err(Error::new(
            ErrorKind::Config,
            "understand a stored state: it is damaged",
        )
        .hint("reset the stream: `overlock state reset`"))
    }

    /// The state as it is stored.
    ///
    /// # Errors
    /// `Data` if a locator makes it too long.
    pub fn write(&self) -> Result<State> {
        State::new(self)
    }

    /// Refuses a position in another org: going on from it would skip everything that is older there.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_org(&self, org: Option<&str>) -> Result<()> {
        match (self.org.as_deref(), org) {
            (Some(known), Some(org)) if known != org => Err(Error::new(
                ErrorKind::Config,
                "go on from a state of another org: its rows would be mixed with this one's",
            )
            .context("org", org)
            .context("state_of", known)
            .hint(
                "log in to the other org, or send this one to a destination, schema or folder of its own; if this org \
                 took the other's place, as a refreshed sandbox does: `overlock sync --full-refresh` it",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses a position later than the server's clock: going on from it would skip everything until
    /// that moment.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_future(&self, now: Timestamp) -> Result<()> {
        match self.from {
            Some(from) if from > now.plus(limits::FUTURE_STATE) => Err(Error::new(
                ErrorKind::Config,
                "go on from a stored state that lies in the future: rows would be skipped",
            )
            .context("state", from)
            .context("server_time", now)
            .hint("reset the stream: `overlock state reset`")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn parse(json: &str) -> Result<Position> {
        Position::read(Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn states_have_the_documented_form_and_come_back() {
        let between = Position::at(Some(time("2026-01-01")));
        assert_eq!(
            between.write().unwrap().as_json().to_string(),
            r#"{"from":"2026-01-01T00:00:00Z","v":1}"#
        );
        let inside = between.clone().inside(
            Slice {
                lower: Some(time("2025-12-31T23:45:00Z")),
                upper: Some(time("2026-01-02")),
                ..Slice::default()
            },
            Some(JobAt {
                id: "750A".to_owned(),
                api: "62.0".to_owned(),
                locator: Some("MTAw".to_owned()),
                pages: 1,
                rows: 100,
            }),
            None,
        );
        for position in [between, inside, Position::done()] {
            let state = position.write().unwrap();
            assert_eq!(Position::read(Some(&state)).unwrap(), position);
        }
        assert_eq!(Position::read(None).unwrap(), Position::at(None));
    }

    #[test]
    fn a_damaged_state_is_refused() {
        // covers: T3, I16, I24
        for bad in [
            r#"{"v":2}"#,
            r#"{"v":1,"from":5}"#,
            r#"{"v":1,"cursor":"x"}"#,
            r#"{"v":1,"slice":{},"job":{"id":"../x","api":"62.0","pages":0,"rows":0}}"#,
            r#"{"v":1,"slice":{},"job":{"id":"750","api":"..","pages":0,"rows":0}}"#,
            r#"{"v":1,"slice":{"after":"' OR Id > '"}}"#,
            r#"{"v":1,"slice":{},"query":{"next":"a/b","total":0,"rows":0}}"#,
            r#"{"v":1,"job":{"id":"750","api":"62.0","pages":0,"rows":0}}"#,
        ] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn a_state_in_the_future_is_refused() {
        // covers: L14
        let position = parse(r#"{"v":1,"from":"2030-01-01T00:00:00Z"}"#).unwrap();
        let error = position.check_future(time("2026-01-01")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(position.check_future(time("2029-12-31T23:55:00Z")).is_ok());
    }
}
