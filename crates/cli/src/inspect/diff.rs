//! What changed between two commits of a table.
//!
//! The older side is held as one pair of hashes per row, and only the first few differing rows are kept
//! in full, so a table of many millions of rows can be compared.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use arrow::record_batch::RecordBatch;
use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Result};
use overlock_local::Rows;
use serde::Serialize;

use super::value;

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Diff {
    /// Rows that are only in the newer one.
    pub(super) added: u64,
    /// Rows that are only in the older one.
    pub(super) removed: u64,
    /// Rows with another value.
    pub(super) changed: u64,
    /// Rows that are the same.
    pub(super) same: u64,
    /// Columns that only one of the two has.
    pub(super) columns: Vec<String>,
    /// The first of them.
    pub(super) rows: Vec<Row>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// `added`, `removed` or `changed`.
    pub(super) change: &'static str,
    /// The values of the key columns.
    pub(super) key: Vec<Option<String>>,
    /// Column, older value, newer value.
    pub(super) values: Vec<(String, Option<String>, Option<String>)>,
}

type Values = Vec<Option<String>>;

struct Known {
    hash: u128,
    seen: bool,
}

/// Compares two views by key, keeping `limit` differing rows.
///
/// # Errors
/// `Config` if a key column is missing or the key is not unique; as a scan's.
pub(super) fn compare(old: &Rows, new: &Rows, key: &[String], limit: usize) -> Result<Diff> {
    let (old_schema, new_schema) = (old.schema()?, new.schema()?);
    let has = |schema: &arrow::datatypes::Schema, name: &str| schema.field_with_name(name).is_ok();
    for name in key {
        if !has(&old_schema, name) || !has(&new_schema, name) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("find the key column `{}` on both sides", printable(name)),
            )
            .hint("name the columns that identify a row: --key Id"));
        }
    }
    let names = |schema: &arrow::datatypes::Schema| -> Vec<String> {
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect()
    };
    let is_ours = |name: &String| {
        name == overlock_core::stream::SYNCED_AT || name == overlock_core::stream::COMMIT_ID
    };
    let (old_names, new_names) = (names(&old_schema), names(&new_schema));
    let rest: Vec<String> = old_names
        .iter()
        .filter(|name| new_names.contains(name) && !key.contains(name) && !is_ours(name))
        .cloned()
        .collect();
    let mut diff = Diff {
        columns: old_names
            .iter()
            .filter(|name| !new_names.contains(name))
            .chain(new_names.iter().filter(|name| !old_names.contains(name)))
            .cloned()
            .collect(),
        ..Diff::default()
    };
    let columns: Vec<String> = key.iter().chain(&rest).cloned().collect();

    let mut known: HashMap<u128, Known> = HashMap::new();
    each(old, &columns, |values| {
        let (key_values, rest_values) = split(&values, key.len());
        let known_row = Known {
            hash: hash(rest_values),
            seen: false,
        };
        match known.insert(hash(key_values), known_row) {
            None => Ok(()),
            Some(_) => Err(not_unique(key)),
        }
    })?;
    let mut wanted: HashMap<u128, Values> = HashMap::new();
    let mut unique: std::collections::HashSet<u128> = std::collections::HashSet::new();
    each(new, &columns, |values| {
        let (key_values, rest_values) = split(&values, key.len());
        let key_hash = hash(key_values);
        match known.get_mut(&key_hash) {
            Some(row) if row.seen => return Err(not_unique(key)),
            Some(row) => {
                row.seen = true;
                if row.hash == hash(rest_values) {
                    diff.same += 1;
                } else {
                    diff.changed += 1;
                    if wanted.len() + diff.rows.len() < limit {
                        wanted.insert(key_hash, values);
                    }
                }
            }
            None if !unique.insert(key_hash) => return Err(not_unique(key)),
            None => {
                diff.added += 1;
                if wanted.len() + diff.rows.len() < limit {
                    let pairs = rest
                        .iter()
                        .zip(rest_values)
                        .filter(|(_, value)| value.is_some());
                    let values = pairs
                        .map(|(name, value)| (name.clone(), None, value.clone()))
                        .collect();
                    diff.rows.push(Row {
                        change: "added",
                        key: key_values.to_vec(),
                        values,
                    });
                }
            }
        }
        Ok(())
    })?;
    diff.removed = known.values().filter(|row| !row.seen).count() as u64;
    if diff.removed > 0 || !wanted.is_empty() {
        each(old, &columns, |values| {
            let (key_values, rest_values) = split(&values, key.len());
            let key_hash = hash(key_values);
            let is_gone = known.get(&key_hash).is_some_and(|row| !row.seen);
            if let Some(newer) = wanted.get(&key_hash) {
                let (_, newer) = split(newer, key.len());
                let pairs = rest.iter().zip(rest_values.iter().zip(newer));
                let values = pairs
                    .filter(|(_, (before, after))| before != after)
                    .map(|(name, (before, after))| (name.clone(), before.clone(), after.clone()))
                    .collect();
                diff.rows.push(Row {
                    change: "changed",
                    key: key_values.to_vec(),
                    values,
                });
            } else if is_gone && diff.rows.len() < limit {
                diff.rows.push(Row {
                    change: "removed",
                    key: key_values.to_vec(),
                    values: vec![],
                });
            }
            Ok(())
        })?;
    }
    diff.rows
        .sort_by(|a, b| (a.change, &a.key).cmp(&(b.change, &b.key)));
    Ok(diff)
}

fn split(values: &[Option<String>], keys: usize) -> (&[Option<String>], &[Option<String>]) {
    values.split_at_checked(keys).unwrap_or((values, &[]))
}

fn not_unique(key: &[String]) -> Error {
    let key = key
        .iter()
        .map(|name| printable(name))
        .collect::<Vec<_>>()
        .join(", ");
    Error::new(
        ErrorKind::Config,
        format!("compare rows by {key}: several rows have the same"),
    )
    .hint("name more columns: --key Id --key SystemModstamp")
}

/// Two 64-bit hashes of differently seeded text: a collision in a billion rows is less likely than a
/// broken disk.
fn hash(values: &[Option<String>]) -> u128 {
    let half = |seed: u64| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        values.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    (half(1) << 64) | half(2)
}

fn each(
    rows: &Rows,
    columns: &[String],
    mut visit: impl FnMut(Values) -> Result<()>,
) -> Result<()> {
    for batch in rows.scan(Some(columns))? {
        let batch: RecordBatch = batch?;
        for row in 0..batch.num_rows() {
            let values: Result<Values> = batch
                .columns()
                .iter()
                .map(|column| value::text(column, row))
                .collect();
            visit(values?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use overlock_local::View;

    use super::*;
    use crate::inspect::samples::Project;

    #[test]
    fn added_changed_and_removed_rows_are_told_apart() {
        let project = Project::new();
        let first = project.replace(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
        let second = project.replace(&[("b", Some("9")), ("c", Some("3")), ("d", None)]);
        let table = project.table();
        let side = |id| Rows::Table(table.clone(), View::AsOf(id));
        let key = ["Id".to_owned()];
        let diff = compare(&side(first), &side(second), &key, 10).unwrap();
        assert_eq!(
            (diff.added, diff.removed, diff.changed, diff.same),
            (1, 1, 1, 1)
        );
        let shown: Vec<_> = diff
            .rows
            .iter()
            .map(|row| (row.change, row.key[0].as_deref().unwrap()))
            .collect();
        assert_eq!(shown, [("added", "d"), ("changed", "b"), ("removed", "a")]);
        assert_eq!(
            diff.rows[1].values,
            [(
                "Name".to_owned(),
                Some("2".to_owned()),
                Some("9".to_owned())
            )]
        );
        let none = compare(&side(first), &side(second), &key, 0).unwrap();
        assert_eq!((none.added, none.rows.len()), (1, 0));
        assert!(compare(&side(first), &side(second), &["Nme".to_owned()], 1).is_err());
        let error = compare(&side(first), &side(second), &[], 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
