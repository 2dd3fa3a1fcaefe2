//! Where a stream stands: for each entity the end of what was read, inside a window the file or the Id it is at, and
//! when it was last compared as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result, State, Timestamp};
use overlock_kit::files;
use serde::{Deserialize, Serialize};

use crate::api;

/// Version of this state.
pub const VERSION: u64 = 1;

/// A mark later than the server's clock by more than this is not ours.
const FUTURE: Duration = Duration::from_secs(600);

/// The entity of a tenant that has one.
pub const ONLY: &str = "";

/// The typed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    v: u64,
    /// The tenant that it is a position in: host, and number where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// What tells rows apart: the primary key. Rows of one key and of another do not replace each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Rows from before were not wanted when the first was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// By entity: every row that was stamped before is delivered. Without entities the key is empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub from: BTreeMap<String, Timestamp>,
    /// A piece that is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// Fingerprint of the columns that rows were read with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
    /// When columns that change in silence were last compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<Timestamp>,
    /// When Ids were last compared; the end of the first read counts. None: that is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept: Option<Timestamp>,
    /// Windows since the last comparison were read without deleted rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
    /// A read without windows reached its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its host.
    pub host: String,
    /// Its number, where a login told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// A piece of an object that is partly delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inside {
    /// Its entity.
    pub entity: String,
    /// Where it ends.
    pub upper: Timestamp,
    /// Rows up to this Id are delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The job whose files are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobAt>,
}

/// A position among the files of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobAt {
    /// Its id.
    pub id: String,
    /// The name of its query.
    pub query: String,
    /// Files delivered.
    pub files: usize,
    /// Rows delivered.
    pub rows: u64,
}

impl Position {
    /// The beginning.
    pub fn beginning() -> Self {
        Self {
            v: VERSION,
            ..Self::default()
        }
    }

    /// Reads a stored state; none is the beginning.
    ///
    /// # Errors
    /// `Config` if it is malformed, of another version, or holds what no state of ours would.
    pub fn read(state: Option<&State>) -> Result<Self> {
        let Some(state) = state else {
            return Ok(Self::beginning());
        };
        let position: Self = state.parse(VERSION)?;
        let fits = position.inside.as_ref().is_none_or(|inside| {
            let job_fits = inside.job.as_ref().is_none_or(|job| {
                api::word(&job.id).is_some() && api::word(&job.query.replace('_', "-")).is_some()
            });
            let after_fits = inside.after.as_deref().is_none_or(|id| id.len() <= 64);
            job_fits && after_fits
        });
        if fits {
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
    /// `Data` if there are so many entities that it gets too long.
    pub fn write(&self) -> Result<State> {
        State::new(self)
    }

    /// Up to where an entity is delivered.
    pub fn mark(&self, entity: &str) -> Option<Timestamp> {
        self.from.get(entity).copied()
    }

    /// Moves the mark of an entity.
    pub fn advance(&mut self, entity: &str, to: Timestamp) {
        self.inside = None;
        let mark = self.from.entry(entity.to_owned()).or_insert(to);
        *mark = (*mark).max(to);
    }

    /// Refuses a position in another tenant: going on from it would skip what is older there.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_tenant(&self, tenant: &Tenant) -> Result<()> {
        let Some(known) = &self.tenant else {
            return Ok(());
        };
        let other_number = matches!(
            (&known.number, &tenant.number),
            (Some(known), Some(number)) if known != number
        );
        if known.host == tenant.host && !other_number {
            return Ok(());
        }
        let name = |tenant: &Tenant| match &tenant.number {
            Some(number) => format!("{} tenant {number}", tenant.host),
            None => tenant.host.clone(),
        };
        Err(Error::new(
            ErrorKind::Config,
            "go on from a state of another tenant: its rows would be mixed with this one's",
        )
        .context("tenant", name(tenant))
        .context("state_of", name(known))
        .hint(
            "log in to the other tenant, or send this one to a destination, schema or folder of its own; if this \
             tenant took the other's place, as a refreshed sandbox does: `overlock sync --full-refresh` it",
        ))
    }

    /// Refuses a position of rows with another key: new versions would stand beside the old ones.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_key(&self, key: &[String]) -> Result<()> {
        if self.key.is_empty() || self.key == key {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "go on with the key `{}`: the rows at the destination have `{}`, so new versions would stand beside \
                 the old ones",
                key.join(", "),
                self.key.join(", ")
            ),
        )
        .hint("take `entities` back to what it was, or `overlock sync --full-refresh` the stream"))
    }

    /// Where the first read began, if more is wanted by now.
    pub fn narrower_start(&self, wanted: Option<Timestamp>) -> Option<Timestamp> {
        self.start
            .filter(|start| wanted.is_none_or(|wanted| wanted < *start))
    }

    /// Refuses a mark later than the clock: everything until that moment would be skipped.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_future(&self, now: Timestamp) -> Result<()> {
        let latest = self.from.values().max().copied();
        match latest {
            Some(from) if from > now.plus(FUTURE) => Err(Error::new(
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

/// A short name for a list of columns.
pub fn fingerprint<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = columns.collect();
    names.sort_unstable();
    files::fingerprint(&names.join("\n"))
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
        let mut position = Position::beginning();
        position.advance(ONLY, time("2026-01-01"));
        assert_eq!(
            position.write().unwrap().as_json().to_string(),
            r#"{"from":{"":"2026-01-01T00:00:00Z"},"v":1}"#
        );
        position.inside = Some(Inside {
            entity: ONLY.to_owned(),
            upper: time("2026-01-02"),
            after: Some("2c92".to_owned()),
            job: Some(JobAt {
                id: "8ad0".to_owned(),
                query: "q1_Account".to_owned(),
                files: 1,
                rows: 500_000,
            }),
        });
        position.columns = Some(fingerprint(["Id", "Name"].into_iter()));
        position.tenant = Some(Tenant {
            host: "rest.zuora.com".to_owned(),
            number: Some("19".to_owned()),
        });
        let state = position.write().unwrap();
        assert_eq!(Position::read(Some(&state)).unwrap(), position);
        position.advance(ONLY, time("2025-01-01"));
        assert_eq!(position.mark(ONLY), Some(time("2026-01-01")));
        assert_eq!(position.inside, None);
    }

    #[test]
    fn a_damaged_state_is_refused() {
        // covers: T3, I16, I24
        for bad in [
            r#"{"v":2}"#,
            r#"{"v":1,"from":5}"#,
            r#"{"v":1,"cursor":"x"}"#,
            r#"{"v":1,"inside":{"entity":"","upper":"2026-01-01T00:00:00Z","job":{"id":"../x","query":"q","files":0,"rows":0}}}"#,
            r#"{"v":1,"inside":{"entity":"","upper":"2026-01-01T00:00:00Z","job":{"id":"x","query":"q/..","files":0,"rows":0}}}"#,
        ] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn a_state_in_the_future_of_another_tenant_or_of_another_key_is_refused() {
        // covers: L14
        let future = parse(r#"{"v":1,"from":{"":"2030-01-01T00:00:00Z"}}"#).unwrap();
        assert!(future.check_future(time("2026-01-01")).is_err());
        assert!(future.check_future(time("2029-12-31T23:55:00Z")).is_ok());
        let position = Position {
            key: vec!["Id".to_owned()],
            start: Some(time("2024-01-01")),
            ..Position::beginning()
        };
        for (key, good) in [
            (vec!["Id"], true),
            (vec!["id"], false),
            (vec!["_entity", "Id"], false),
        ] {
            let key: Vec<String> = key.into_iter().map(ToOwned::to_owned).collect();
            assert_eq!(position.check_key(&key).is_ok(), good, "{key:?}");
            assert!(Position::beginning().check_key(&key).is_ok());
        }
        let narrower = |wanted| position.narrower_start(wanted).is_some();
        assert!(narrower(None) && narrower(Some(time("2023-12-31"))));
        assert!(!narrower(Some(time("2024-01-01"))));
        assert_eq!(Position::beginning().narrower_start(None), None);
        let tenant = |host: &str, number: Option<&str>| Tenant {
            host: host.to_owned(),
            number: number.map(ToOwned::to_owned),
        };
        let known = Position {
            tenant: Some(tenant("a", Some("1"))),
            ..Position::beginning()
        };
        for (other, good) in [
            (tenant("a", Some("1")), true),
            (tenant("a", None), true),
            (tenant("a", Some("2")), false),
            (tenant("b", Some("1")), false),
        ] {
            assert_eq!(known.check_tenant(&other).is_ok(), good, "{other:?}");
        }
    }
}
