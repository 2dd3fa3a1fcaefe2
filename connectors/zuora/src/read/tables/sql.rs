//! The statements that are sent: pure functions, no I/O.
//!
//! Names are always in double quotes and texts in single ones, each doubled inside, so that neither can end what it
//! stands in. Instants have three digits behind the second: six defeat Zuora's index, and the query then runs into the
//! limit of input rows.

use overlock_core::Timestamp;

use super::slice::Slice;
use crate::api;

/// A name.
pub(super) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// An instant to the millisecond.
pub(super) fn instant(time: Timestamp) -> String {
    let time = time.to_chrono().format("%Y-%m-%d %H:%M:%S%.3f");
    format!("TIMESTAMP '{time} +00:00'")
}

/// What is read of a table, whichever part of it.
#[derive(Debug, Clone)]
pub(super) struct Shape<'a> {
    pub(super) table: &'a str,
    /// Columns, and whether each is an instant.
    pub(super) columns: Vec<(&'a str, bool)>,
    /// The column that windows are cut by.
    pub(super) key: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    /// The column that tells deleted rows. To name it in the list of columns is what makes them visible.
    pub(super) deleted: Option<&'a str>,
    /// The user's own condition.
    pub(super) filter: Option<&'a str>,
}

impl Shape<'_> {
    /// The rows of a slice. Instants are shown in the zone of the tenant unless another is asked for.
    pub(super) fn rows(&self, slice: &Slice) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(column, is_instant)| {
                let column = name(column);
                if *is_instant {
                    format!("at_timezone({column}, 'UTC') AS {column}")
                } else {
                    column
                }
            })
            .collect();
        self.select(&columns, slice)
    }

    /// How many rows a slice has, and its first and last stamp and Id.
    pub(super) fn count(&self, slice: &Slice) -> String {
        let mut columns = vec!["count(*) AS rows_found".to_owned()];
        if let Some(deleted) = self.deleted {
            columns.push(format!("count({}) AS rows_marked", name(deleted)));
        }
        if let Some(key) = self.key.map(name) {
            columns.push(format!(
                "min(at_timezone({key}, 'UTC')) AS first_stamp, max(at_timezone({key}, 'UTC')) AS last_stamp"
            ));
        }
        if let Some(id) = self.id.map(name) {
            columns.push(format!("min({id}) AS first_id, max({id}) AS last_id"));
        }
        self.select(&columns, slice)
    }

    fn select(&self, columns: &[String], slice: &Slice) -> String {
        let mut text = format!("SELECT {} FROM {}", columns.join(", "), name(self.table));
        let conditions = self.conditions(slice);
        if !conditions.is_empty() {
            text.push_str(" WHERE ");
            text.push_str(&conditions.join(" AND "));
        }
        text
    }

    fn conditions(&self, slice: &Slice) -> Vec<String> {
        let mut conditions = Vec::new();
        if let (Some(key), Some(upper)) = (self.key.map(name), slice.upper) {
            let upper = instant(upper);
            match slice.lower {
                Some(lower) => {
                    conditions.push(format!("{key} >= {}", instant(lower)));
                    conditions.push(format!("{key} < {upper}"));
                }
                // Rows without a stamp belong to the beginning.
                None => conditions.push(format!("({key} < {upper} OR {key} IS NULL)")),
            }
        }
        if let Some(id) = self.id.map(name) {
            match (&slice.from, &slice.to) {
                (Some(from), _) => conditions.push(format!("{id} >= {}", api::quote(from))),
                // A row without an Id is an error, which somebody has to see.
                (None, Some(to)) => {
                    conditions.push(format!("({id} < {} OR {id} IS NULL)", api::quote(to)));
                }
                (None, None) => {}
            }
            if let (Some(_), Some(to)) = (&slice.from, &slice.to) {
                conditions.push(format!("{id} < {}", api::quote(to)));
            }
        }
        // A comment at the end of the user's condition must not swallow what follows.
        conditions.extend(self.filter.map(|filter| format!("({filter}\n)")));
        conditions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn shape() -> Shape<'static> {
        Shape {
            table: "chargemetrics",
            columns: vec![("id", false), ("updateddate", true)],
            key: Some("updateddate"),
            id: Some("id"),
            deleted: None,
            filter: None,
        }
    }

    #[test]
    fn windows_are_asked_for_by_milliseconds_and_shown_in_utc() {
        let slice = Slice::window(
            Some(time("2023-01-02T03:04:05.678901Z")),
            time("2023-01-03"),
        );
        assert_eq!(
            shape().rows(&slice),
            "SELECT \"id\", at_timezone(\"updateddate\", 'UTC') AS \"updateddate\" FROM \"chargemetrics\" WHERE \"updateddate\" >= TIMESTAMP '2023-01-02 03:04:05.678 +00:00' AND \"updateddate\" < TIMESTAMP '2023-01-03 00:00:00.000 +00:00'"
        );
        let first = Slice::window(None, time("2023-01-03"));
        assert!(shape().rows(&first).ends_with(
            "WHERE (\"updateddate\" < TIMESTAMP '2023-01-03 00:00:00.000 +00:00' OR \"updateddate\" IS NULL)"
        ));
    }

    #[test]
    fn a_count_sees_the_rows_that_a_read_would_see() {
        let deleted = Shape {
            deleted: Some("deleted"),
            ..shape()
        };
        assert_eq!(
            deleted.count(&Slice::whole()),
            "SELECT count(*) AS rows_found, count(\"deleted\") AS rows_marked, min(at_timezone(\"updateddate\", 'UTC')) AS first_stamp, max(at_timezone(\"updateddate\", 'UTC')) AS last_stamp, min(\"id\") AS first_id, max(\"id\") AS last_id FROM \"chargemetrics\""
        );
        let bare = Shape {
            key: None,
            id: None,
            ..shape()
        };
        assert_eq!(
            bare.count(&Slice::whole()),
            "SELECT count(*) AS rows_found FROM \"chargemetrics\""
        );
    }

    #[test]
    fn ranges_of_ids_leave_no_row_out() {
        let range = |from: Option<&str>, to: Option<&str>| {
            let slice = Slice {
                from: from.map(ToOwned::to_owned),
                to: to.map(ToOwned::to_owned),
                ..Slice::whole()
            };
            let text = shape().rows(&slice);
            text.split_once(" WHERE ").map(|(_, rest)| rest.to_owned())
        };
        for (from, to, expected) in [
            (None, None, None),
            (None, Some("8"), Some("(\"id\" < '8' OR \"id\" IS NULL)")),
            (Some("8"), Some("c"), Some("\"id\" >= '8' AND \"id\" < 'c'")),
            (Some("c"), None, Some("\"id\" >= 'c'")),
        ] {
            assert_eq!(range(from, to).as_deref(), expected);
        }
    }

    #[test]
    fn no_name_and_no_value_can_leave_its_place() {
        assert_eq!(name("a\" FROM x --"), "\"a\"\" FROM x --\"");
        let hostile = Shape {
            table: "t\" UNION SELECT \"x",
            columns: vec![("c\", (SELECT 1) AS \"d", false)],
            filter: Some("name = 'x' OR 1 = 1 -- "),
            ..shape()
        };
        let slice = Slice {
            from: Some("a' OR ''='".to_owned()),
            ..Slice::whole()
        };
        assert_eq!(
            hostile.rows(&slice),
            "SELECT \"c\"\", (SELECT 1) AS \"\"d\" FROM \"t\"\" UNION SELECT \"\"x\" WHERE \"id\" >= 'a'' OR ''''=''' AND (name = 'x' OR 1 = 1 -- \n)"
        );
    }
}
