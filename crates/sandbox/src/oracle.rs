//! Compares what should be in a destination with what is there, and tells five kinds of wrong apart.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// One row, as the world made it or as a destination shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The stream.
    pub stream: String,
    /// Its key.
    pub key: String,
    /// Larger is newer, for example microseconds of the replication key.
    pub version: i64,
    /// All other values in one canonical spelling.
    pub payload: String,
}

/// What is wrong; empty lists mean nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rows that should be there and are not: `stream/key`.
    pub lost: Vec<String>,
    /// Rows that are there more than once.
    pub doubled: Vec<String>,
    /// Rows in the right version with another payload.
    pub altered: Vec<String>,
    /// Rows that never existed.
    pub invented: Vec<String>,
    /// Rows in an old version.
    pub stale: Vec<String>,
}

impl Findings {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Findings {
    /// Counts and the first few of each kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("clean");
        }
        let kinds = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("altered", &self.altered),
            ("invented", &self.invented),
            ("stale", &self.stale),
        ];
        let mut first = true;
        for (kind, rows) in kinds {
            if rows.is_empty() {
                continue;
            }
            if !first {
                f.write_str("; ")?;
            }
            first = false;
            let some: Vec<&str> = rows.iter().take(5).map(String::as_str).collect();
            write!(f, "{} {kind}: {}", rows.len(), some.join(", "))?;
            if rows.len() > 5 {
                f.write_str(", …")?;
            }
        }
        Ok(())
    }
}

/// Compares rows of a current view. `expected` may hold several versions of a key: the newest is what
/// should be there, the older ones help to tell stale from invented.
pub fn compare(
    expected: impl IntoIterator<Item = Row>,
    actual: impl IntoIterator<Item = Row>,
) -> Findings {
    let mut versions: HashMap<(String, String), BTreeMap<i64, Vec<String>>> = HashMap::new();
    for row in expected {
        versions
            .entry((row.stream, row.key))
            .or_default()
            .entry(row.version)
            .or_default()
            .push(row.payload);
    }
    let mut seen: HashMap<(String, String), u64> = HashMap::new();
    let mut findings = Findings::default();
    for row in actual {
        let name = format!("{}/{}", row.stream, row.key);
        let key = (row.stream, row.key);
        let count = seen.entry(key.clone()).or_default();
        *count += 1;
        if *count == 2 {
            findings.doubled.push(name.clone());
        }
        let Some(known) = versions.get(&key) else {
            findings.invented.push(name);
            continue;
        };
        match known.last_key_value() {
            Some((newest, payloads)) if *newest == row.version => {
                if !payloads.contains(&row.payload) {
                    findings.altered.push(name);
                }
            }
            Some((newest, _)) if row.version < *newest => match known.get(&row.version) {
                Some(payloads) if !payloads.contains(&row.payload) => findings.altered.push(name),
                Some(_) | None => findings.stale.push(name),
            },
            _ => findings.invented.push(name),
        }
    }
    for key in versions.keys() {
        if !seen.contains_key(key) {
            findings.lost.push(format!("{}/{}", key.0, key.1));
        }
    }
    for list in [
        &mut findings.lost,
        &mut findings.doubled,
        &mut findings.altered,
        &mut findings.invented,
        &mut findings.stale,
    ] {
        list.sort_unstable();
    }
    findings
}

/// What a table shows of one key of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// There is no such column.
    NoColumn,
    /// The column is null.
    Null,
    /// Plain text, as any column but one of JSON shows it.
    Text(String),
    /// The text of a JSON value.
    Json(String),
}

/// Compares a record, as an API gives it, with the row that a table has of it: each key must stand in its column or in
/// the JSON object `extra`. Returns the keys that do not, with what is wrong.
///
/// Instants may be spelled differently, and an empty text may be null in a column that is not text.
pub fn record_differences(
    record: &serde_json::Value,
    extra: Option<&str>,
    cell: impl Fn(&str) -> Cell,
) -> Vec<(String, String)> {
    use serde_json::Value;
    let extra: Value = extra
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let is_same = |name: &str, value: &Value| match (value, cell(name)) {
        (Value::Null, Cell::Null | Cell::NoColumn) => true,
        (value, Cell::Null | Cell::NoColumn) => {
            extra.get(name) == Some(value) || value.as_str() == Some("")
        }
        (value, Cell::Json(text)) => match serde_json::from_str::<Value>(&text) {
            Ok(found) => found == *value,
            Err(_) => value.as_str() == Some(&text),
        },
        (Value::String(value), Cell::Text(text)) => {
            let instant = |text: &str| overlock_core::Timestamp::parse(text).ok();
            *value == text || (instant(value).is_some() && instant(value) == instant(&text))
        }
        (value, Cell::Text(text)) => {
            let spelled = value.to_string();
            spelled == text
        }
    };
    let Value::Object(keys) = record else {
        return vec![(String::new(), format!("{record} is no record"))];
    };
    keys.iter()
        .filter(|(name, value)| !is_same(name, value))
        .map(|(name, value)| {
            let found = cell(name);
            (
                name.clone(),
                format!("{name}: {value} became {found:?}, extra {extra}"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, version: i64, payload: &str) -> Row {
        Row {
            stream: "s".to_owned(),
            key: key.to_owned(),
            version,
            payload: payload.to_owned(),
        }
    }

    #[test]
    fn each_kind_of_wrong_is_told_apart() {
        let expected = [
            row("a", 1, "a1"),
            row("a", 2, "a2"),
            row("b", 1, "b1"),
            row("c", 1, "c1"),
            row("d", 1, "d1"),
        ];
        let actual = [
            row("a", 1, "a1"),
            row("b", 1, "other"),
            row("c", 1, "c1"),
            row("c", 1, "c1"),
            row("x", 1, "x1"),
            row("d", 9, "d1"),
        ];
        let findings = compare(expected, actual);
        assert_eq!(findings.stale, ["s/a"]);
        assert_eq!(findings.altered, ["s/b"]);
        assert_eq!(findings.doubled, ["s/c"]);
        assert_eq!(findings.invented, ["s/d", "s/x"]);
        assert!(findings.lost.is_empty());
        assert!(
            findings.to_string().starts_with("1 doubled: s/c; "),
            "{findings}"
        );
    }

    #[test]
    fn a_key_that_is_neither_in_its_column_nor_beside_it_is_told() {
        let record = serde_json::json!({"id": 9_007_199_254_740_993_i64, "at": "2026-01-01T00:00:00Z", "tags": ["a"], "new": {"x": 1}, "none": null});
        let good = |name: &str| match name {
            "id" => Cell::Text("9007199254740993".to_owned()),
            "at" => Cell::Text("2026-01-01T00:00:00.000Z".to_owned()),
            "tags" => Cell::Json("[\"a\"]".to_owned()),
            "none" => Cell::Null,
            _ => Cell::NoColumn,
        };
        let extra = Some(r#"{"new":{"x":1}}"#);
        assert_eq!(record_differences(&record, extra, good), []);
        let wrong = |bad: &'static str, cell: Cell| {
            let found = record_differences(&record, extra, |name| {
                if name == bad {
                    cell.clone()
                } else {
                    good(name)
                }
            });
            found.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(
            wrong("id", Cell::Text("9007199254740992".to_owned())),
            ["id"]
        );
        assert_eq!(
            wrong("at", Cell::Text("2026-01-01T00:00:01Z".to_owned())),
            ["at"]
        );
        assert_eq!(wrong("tags", Cell::Null), ["tags"]);
        assert_eq!(wrong("none", Cell::Text("0".to_owned())), ["none"]);
        assert_eq!(record_differences(&record, None, good)[0].0, "new");
    }

    #[test]
    fn a_missing_row_is_lost_and_the_newest_version_is_clean() {
        let expected = || [row("a", 1, "a1"), row("a", 2, "a2"), row("b", 1, "b1")];
        assert_eq!(compare(expected(), [row("a", 2, "a2")]).lost, ["s/b"]);
        let clean = compare(expected(), [row("a", 2, "a2"), row("b", 1, "b1")]);
        assert!(clean.is_clean(), "{clean}");
    }
}
