//! Which staged rows are loaded, and what they take the place of.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use super::{Cell, Database, Line, cell, changed};
use crate::column::ColumnType;
use crate::step::{Choice, Constant, Load};
use crate::warehouse::{Answer, Result};

impl Database {
    pub(super) fn delete_old(&mut self, load: &Load) -> Result<Answer> {
        if !self.is_head(&load.target, load.claim) {
            return Ok(changed(0));
        }
        let staged = self.table(&load.staging)?.rows.clone();
        let table = self.table(&load.target.table)?;
        let before = table.rows.len();
        table.rows.retain(|old| {
            !staged.iter().any(|new| {
                let is_same = load.keys.primary.iter().all(|key| {
                    let (old, new) = (cell(old, &key.column), cell(new, &key.name));
                    old.compare(&new) == Some(Ordering::Equal)
                });
                let wins = load.keys.replication.as_ref().is_none_or(|key| {
                    let (old, new) = (cell(old, &key.column), cell(new, &key.name));
                    old.is_null() || new.compare(&old).is_some_and(Ordering::is_ge)
                });
                is_same && wins
            })
        });
        let count = before - table.rows.len();
        Ok(changed(count))
    }

    pub(super) fn insert(&mut self, load: &Load) -> Result<Answer> {
        if !self.is_head(&load.target, load.claim) {
            return Ok(changed(0));
        }
        let staged = self.table(&load.staging)?.rows.clone();
        let table = self.table(&load.target.table)?;
        let existing = table.rows.clone();
        let mut count = 0;
        for line in chosen(staged, load) {
            let deleted = cell(&line, "_deleted") == Cell::Boolean(true);
            if load.without_deleted && deleted {
                continue;
            }
            let mut same = load.keys.primary.clone();
            if load.choice == Choice::Unseen {
                same.extend(load.keys.replication.clone());
            }
            let is_there = load.choice != Choice::All
                && existing.iter().any(|old| {
                    same.iter().all(|key| {
                        let (old, new) = (cell(old, &key.column), cell(&line, &key.name));
                        let is_version = load.keys.replication.as_ref() == Some(key);
                        old.compare(&new) == Some(Ordering::Equal)
                            || is_version && old.is_null() && new.is_null()
                    })
                });
            if is_there {
                continue;
            }
            let mut row = Line::new();
            for route in &load.routes {
                row.insert(route.column.clone(), cell(&line, &route.name));
            }
            for constant in &load.constants {
                let value = if constant.only_deleted && !deleted {
                    Cell::Null
                } else {
                    value_of(constant)
                };
                row.insert(constant.column.clone(), value);
            }
            table.rows.push(row);
            count += 1;
        }
        Ok(changed(count))
    }
}

fn value_of(constant: &Constant) -> Cell {
    match constant.kind {
        ColumnType::Number(..) => Cell::Number(constant.value.parse().unwrap()),
        ColumnType::Timestamp => {
            let at = overlock_core::Timestamp::parse(&constant.value).unwrap();
            Cell::Number(at.micros().into())
        }
        _ => Cell::Text(constant.value.clone()),
    }
}

/// The staged rows that are loaded.
fn chosen(staged: Vec<Line>, load: &Load) -> Vec<Line> {
    let key_of = |line: &Line| -> Option<String> {
        let mut names: Vec<&str> = load
            .keys
            .primary
            .iter()
            .map(|key| key.name.as_str())
            .collect();
        if load.choice == Choice::Unseen {
            names.extend(load.keys.replication.iter().map(|key| key.name.as_str()));
        }
        let cells: Vec<Cell> = names.iter().map(|name| cell(line, name)).collect();
        let keys = cells.get(..load.keys.primary.len()).unwrap_or_default();
        (!keys.iter().any(Cell::is_null)).then(|| format!("{cells:?}"))
    };
    let version = |line: &Line| {
        load.keys
            .replication
            .as_ref()
            .map(|key| cell(line, &key.name))
    };
    match load.choice {
        Choice::All => staged,
        Choice::Unseen => {
            let mut seen = HashSet::new();
            let mut staged = staged;
            staged.retain(|line| key_of(line).is_none_or(|key| seen.insert(key)));
            staged
        }
        Choice::Newest => {
            let mut newest: BTreeMap<String, Line> = BTreeMap::new();
            let mut chosen = Vec::new();
            for line in staged {
                let Some(key) = key_of(&line) else {
                    chosen.push(line);
                    continue;
                };
                let wins =
                    newest
                        .get(&key)
                        .is_none_or(|old| match (version(old), version(&line)) {
                            (Some(old), Some(new)) if old.is_null() || new.is_null() => {
                                old.is_null() || !new.is_null()
                            }
                            (Some(old), Some(new)) => {
                                new.compare(&old).is_some_and(Ordering::is_ge)
                            }
                            _ => true,
                        });
                if wins {
                    newest.insert(key, line);
                }
            }
            chosen.extend(newest.into_values());
            chosen
        }
    }
}
