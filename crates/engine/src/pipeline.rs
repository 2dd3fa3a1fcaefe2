//! What to move and how: pipelines, their streams, and the modes that follow from both.
//!
//! Everything here is a pure function of the user's settings and the source's catalog, so that `check`
//! and `plan` give the same answers as a run.

use std::sync::Arc;

use overlock_core::{
    DeleteMode, Error, ErrorKind, Result, SourceName, Stream, StreamName, SyncKey, Timestamp,
    WriteMode,
};
use serde::{Deserialize, Serialize};

/// One pipeline: a source, some of its streams, and how each is read and written.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The pipeline's name; with the stream's name it makes the [`SyncKey`].
    pub name: SourceName,
    /// The source's name; the first folder of every table.
    pub source: SourceName,
    /// The streams in the order to start them.
    pub streams: Vec<StreamPlan>,
    /// If given: every other stream of the catalog, with these settings.
    pub rest: Option<StreamSettings>,
}

impl Pipeline {
    /// The key of one of its streams.
    pub fn key(&self, stream: &StreamName) -> SyncKey {
        SyncKey::new(self.name.clone(), stream.clone())
    }
}

/// One stream of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPlan {
    /// The source's own name for it.
    pub name: StreamName,
    /// How it is read and written.
    pub settings: StreamSettings,
}

impl StreamPlan {
    /// The stream with every default.
    pub fn new(name: StreamName) -> Self {
        Self {
            name,
            settings: StreamSettings::default(),
        }
    }
}

/// What the user may say about a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamSettings {
    /// How it is read; `None`: as the stream allows.
    pub read_mode: Option<ReadMode>,
    /// How its rows reach the table; `None`: as the stream allows.
    pub write_mode: Option<WriteMode>,
    /// What deleted rows do in merge mode.
    pub deletes: DeleteMode,
    /// Start of history for the first read.
    pub since: Option<Timestamp>,
    /// A condition in the source's own language, passed as it is.
    pub filter: Option<String>,
    /// Patterns of columns to take, with `*` and `?`; empty: all.
    pub include: Vec<String>,
    /// Patterns of columns to leave out; key columns always stay.
    pub exclude: Vec<String>,
}

/// How a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// What is new since the state of the last commit.
    Incremental,
    /// Everything, every time.
    FullRefresh,
}

/// How a stream is read and written once all defaults are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Modes {
    /// How it is read.
    pub read: ReadMode,
    /// How its rows reach the table.
    pub write: WriteMode,
}

/// Chooses the modes of a stream, or says why the user's choice cannot keep the promises.
///
/// Defaults: incremental with a primary key merges, incremental without one appends, all else replaces.
/// With `full_refresh` the stream is read from the beginning and replaces its table in one commit.
///
/// # Errors
/// `Config` for a pair that would lose or double rows.
pub fn modes(stream: &Stream, settings: &StreamSettings, full_refresh: bool) -> Result<Modes> {
    let refuse = |message: String, hint: &str| {
        Err(Error::new(ErrorKind::Config, message)
            .context("stream", &stream.name)
            .hint(hint))
    };
    if full_refresh {
        return Ok(Modes {
            read: ReadMode::FullRefresh,
            write: WriteMode::Replace,
        });
    }
    let read = match (settings.read_mode, settings.write_mode) {
        (Some(read), _) => read,
        (None, Some(WriteMode::Replace)) => ReadMode::FullRefresh,
        (None, _) if stream.incremental => ReadMode::Incremental,
        (None, _) => ReadMode::FullRefresh,
    };
    let has_key = !stream.primary_key.is_empty();
    let write = settings.write_mode.unwrap_or(match (read, has_key) {
        (ReadMode::Incremental, true) => WriteMode::Merge,
        (ReadMode::Incremental, false) => WriteMode::Append,
        (ReadMode::FullRefresh, _) => WriteMode::Replace,
    });
    let name = &stream.name;
    if read == ReadMode::Incremental && !stream.incremental {
        return refuse(
            format!("read `{name}` incrementally: the source offers it only as a whole"),
            "remove `read_mode`, or set it to \"full_refresh\"",
        );
    }
    if read == ReadMode::Incremental && write == WriteMode::Replace {
        return refuse(
            format!(
                "replace the table of `{name}` by an incremental read: it would keep only what changed"
            ),
            "set `read_mode` to \"full_refresh\", or `write_mode` to \"merge\" or \"append\"",
        );
    }
    if write == WriteMode::Merge && !has_key {
        return refuse(
            format!("merge `{name}`: it has no primary key"),
            "set `write_mode` to \"append\" or \"replace\"",
        );
    }
    let has_pair = has_key && stream.replication_key.is_some();
    let exact = stream.exact_states && read == ReadMode::Incremental;
    if write == WriteMode::Append && !has_pair && !exact {
        return refuse(
            format!(
                "append `{name}` without doubles: it has no primary key with a replication key, and a read \
                 may repeat rows"
            ),
            "set `write_mode` to \"replace\", or to \"merge\" if the stream has a primary key",
        );
    }
    Ok(Modes { read, write })
}

/// The stream with only the columns that the settings ask for.
///
/// # Errors
/// `Config` if a pattern of `include` matches no column.
pub fn project(stream: &Arc<Stream>, settings: &StreamSettings) -> Result<Arc<Stream>> {
    if settings.include.is_empty() && settings.exclude.is_empty() {
        return Ok(Arc::clone(stream));
    }
    let matches_any = |pattern: &String| {
        stream
            .schema
            .fields()
            .iter()
            .any(|field| matches(pattern, field.name()))
    };
    if let Some(pattern) = settings
        .include
        .iter()
        .find(|pattern| !matches_any(pattern))
    {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "find a column of `{}` that matches `{}`",
                stream.name,
                overlock_core::text::printable(pattern)
            ),
        )
        .context("stream", &stream.name)
        .hint("`overlock discover` lists the columns; patterns may hold `*` and `?`"));
    }
    let wanted = |column: &str| {
        let included = settings.include.is_empty()
            || settings
                .include
                .iter()
                .any(|pattern| matches(pattern, column));
        included
            && !settings
                .exclude
                .iter()
                .any(|pattern| matches(pattern, column))
    };
    Ok(Arc::new(stream.project(wanted)))
}

/// Whether `text` fits a pattern with `*` (any characters) and `?` (one character).
///
/// Two cursors and one point to return to, so that no pattern takes more than `pattern * text` steps.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(expected) if *expected == '?' || text.get(seen) == Some(expected) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, star_seen)) = star else {
                    return false;
                };
                star = Some((star_at, star_seen + 1));
                at = star_at + 1;
                seen = star_seen + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use overlock_core::Deletes;

    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "a table of cases reads best so"
    )]
    fn stream(incremental: bool, primary: bool, replication: bool, exact: bool) -> Stream {
        Stream {
            name: StreamName::new("Account").unwrap(),
            schema: Arc::new(Schema::new(vec![
                Field::new("Id", DataType::Utf8, true),
                Field::new("Name", DataType::Utf8, true),
                Field::new("Stamp", DataType::Int64, true),
                Field::new("Region__c", DataType::Utf8, true),
                overlock_core::stream::json_field("_extra"),
            ])),
            primary_key: if primary { vec!["Id".into()] } else { vec![] },
            replication_key: replication.then(|| "Stamp".into()),
            incremental,
            deletes: Deletes::NotReported,
            exact_states: exact,
            notes: vec![],
        }
    }

    fn settings(read: Option<ReadMode>, write: Option<WriteMode>) -> StreamSettings {
        StreamSettings {
            read_mode: read,
            write_mode: write,
            ..StreamSettings::default()
        }
    }

    #[test]
    fn modes_follow_the_stream_and_refuse_what_would_lose_or_double_rows() {
        use ReadMode::{FullRefresh, Incremental};
        use WriteMode::{Append, Merge, Replace};
        let keyed = stream(true, true, true, false);
        let keyless_exact = stream(true, false, false, true);
        let keyless = stream(true, false, false, false);
        let whole = stream(false, true, false, false);
        let cases = [
            (&keyed, None, None, Some((Incremental, Merge))),
            (&keyed, None, Some(Append), Some((Incremental, Append))),
            (&keyed, None, Some(Replace), Some((FullRefresh, Replace))),
            (
                &keyed,
                Some(FullRefresh),
                None,
                Some((FullRefresh, Replace)),
            ),
            (
                &keyed,
                Some(FullRefresh),
                Some(Merge),
                Some((FullRefresh, Merge)),
            ),
            (
                &keyed,
                Some(FullRefresh),
                Some(Append),
                Some((FullRefresh, Append)),
            ),
            (&keyed, Some(Incremental), Some(Replace), None),
            (&keyless_exact, None, None, Some((Incremental, Append))),
            (&keyless_exact, None, Some(Merge), None),
            (&keyless_exact, Some(FullRefresh), Some(Append), None),
            (&keyless, None, None, None),
            (&keyless, None, Some(Replace), Some((FullRefresh, Replace))),
            (&whole, None, None, Some((FullRefresh, Replace))),
            (&whole, Some(Incremental), None, None),
            (&whole, None, Some(Merge), Some((FullRefresh, Merge))),
            (&whole, None, Some(Append), None),
        ];
        for (stream, read, write, expected) in cases {
            let got = modes(stream, &settings(read, write), false);
            match expected {
                Some((read, write)) => assert_eq!(got.unwrap(), Modes { read, write }),
                None => assert_eq!(
                    got.unwrap_err().kind(),
                    ErrorKind::Config,
                    "{read:?} {write:?}"
                ),
            }
        }
        assert_eq!(
            modes(&keyless, &settings(None, Some(Append)), true).unwrap(),
            Modes {
                read: FullRefresh,
                write: Replace
            }
        );
    }

    #[test]
    fn patterns_choose_columns_but_never_drop_a_key() {
        let stream = Arc::new(stream(true, true, true, false));
        let names = |include: &[&str], exclude: &[&str]| -> Result<Vec<String>> {
            let settings = StreamSettings {
                include: include.iter().map(ToString::to_string).collect(),
                exclude: exclude.iter().map(ToString::to_string).collect(),
                ..StreamSettings::default()
            };
            let projected = project(&stream, &settings)?;
            Ok(projected
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect())
        };
        assert_eq!(
            names(&[], &["*__c"]).unwrap(),
            ["Id", "Name", "Stamp", "_extra"]
        );
        assert_eq!(
            names(&["Name"], &[]).unwrap(),
            ["Id", "Name", "Stamp", "_extra"]
        );
        assert_eq!(names(&[], &["*"]).unwrap(), ["Id", "Stamp", "_extra"]);
        assert_eq!(names(&["Nme"], &[]).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn a_pattern_is_matched_in_bounded_time() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a*c", "abcbc", true),
            ("a*d", "abcbc", false),
            ("*__c", "Region__c", true),
            ("*__c", "Region__cx", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(40), &"b".repeat(4_000)));
    }
}
