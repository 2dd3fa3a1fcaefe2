//! Which rows a table has, after all its commits.
//!
//! Only the key columns are read here. What is kept per row is a hash of the key, a place and a rank,
//! and the answer is one bit per row; the rows themselves then stream by with that filter. The hash has
//! 128 bits of SHA-256, so that two keys are never taken for one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use arrow::array::{Array, AsArray as _};
use arrow::buffer::{BooleanBuffer, MutableBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::bit_util;
use overlock_core::stream::DELETED;
use overlock_core::{DeleteMode, Error, Manifest, Result, WriteMode};
use sha2::{Digest as _, Sha256};

/// How rows with the same key compete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// All rows stay.
    All,
    /// The newest version per primary key stays; perhaps not if it is a deletion.
    Newest {
        primary_key: Vec<String>,
        replication_key: Option<String>,
        hide_deleted: bool,
    },
    /// The first row of each pair of primary and replication key stays.
    First { key: Vec<String> },
}

impl Rule {
    /// The rule of the newest commit, which holds for all rows since the last replacement: the table
    /// means what its pipeline says now.
    pub(crate) fn of(newest: &Manifest) -> Self {
        let keyed = !newest.primary_key.is_empty();
        match (newest.mode, &newest.replication_key) {
            (WriteMode::Merge | WriteMode::Replace, replication_key) if keyed => Self::Newest {
                primary_key: newest.primary_key.clone(),
                replication_key: replication_key.clone(),
                hide_deleted: newest.deletes == DeleteMode::Hard,
            },
            (WriteMode::Append, Some(replication_key)) if keyed => {
                let mut key = newest.primary_key.clone();
                key.push(replication_key.clone());
                Self::First { key }
            }
            _ => Self::All,
        }
    }

    /// Columns that decide, in the order that [`Fold::add`] wants them.
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::First { key } => key.clone(),
            Self::Newest {
                primary_key,
                replication_key,
                hide_deleted,
            } => {
                let mut columns = primary_key.clone();
                columns.extend(replication_key.clone());
                columns.extend(hide_deleted.then(|| DELETED.to_owned()));
                columns
            }
        }
    }
}

/// Takes rows in commit order and remembers which of them stay.
#[derive(Debug)]
pub(crate) struct Fold {
    rule: Rule,
    winners: HashMap<u128, Winner, BuildHasherDefault<Uniform>>,
    /// Rows without a key: nothing can replace them.
    keyless: Vec<u64>,
    rows: u64,
}

#[derive(Debug)]
struct Winner {
    rank: Rank,
    row: u64,
    deleted: bool,
}

/// Place of a version among those of its row: larger is newer, no value is oldest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    None,
    Number(i64),
    /// Bytes that compare like the values they stand for.
    Bytes(Box<[u8]>),
}

impl Fold {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            winners: HashMap::default(),
            keyless: Vec::new(),
            rows: 0,
        }
    }

    /// Adds rows with the columns of [`Rule::columns`], each in the table's type.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = match &self.rule {
            Rule::All => 0,
            Rule::First { key } => key.len(),
            Rule::Newest { primary_key, .. } => primary_key.len(),
        };
        let (key_columns, rest) = batch.columns().split_at(keys);
        let hashes = Hashes::new(key_columns)?;
        let (ranks, deleted) = match &self.rule {
            Rule::Newest {
                replication_key: Some(_),
                ..
            } => (rest.first().map(Ranks::new).transpose()?, rest.get(1)),
            Rule::Newest { .. } => (None, rest.first()),
            _ => (None, None),
        };
        let deleted = deleted.and_then(|column| column.as_boolean_opt());
        for row in 0..batch.num_rows() {
            let place = self.rows;
            self.rows += 1;
            let Some(hash) = hashes.get(row) else {
                self.keyless.push(place);
                continue;
            };
            let rank = ranks.as_ref().map_or(Rank::None, |ranks| ranks.get(row));
            let deleted = deleted.is_some_and(|flags| flags.is_valid(row) && flags.value(row));
            let winner = Winner {
                rank,
                row: place,
                deleted,
            };
            match self.winners.entry(hash) {
                Entry::Vacant(entry) => drop(entry.insert(winner)),
                Entry::Occupied(mut entry) => {
                    let newest = matches!(self.rule, Rule::Newest { .. });
                    if newest && winner.rank >= entry.get().rank {
                        entry.insert(winner);
                    }
                }
            }
        }
        Ok(())
    }

    /// One bit per row that was added.
    pub(crate) fn finish(self) -> BooleanBuffer {
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let mut bits = MutableBuffer::new_null(rows);
        let hide = matches!(
            self.rule,
            Rule::Newest {
                hide_deleted: true,
                ..
            }
        );
        let shown = self
            .winners
            .into_values()
            .filter(|winner| !(hide && winner.deleted));
        for row in shown.map(|winner| winner.row).chain(self.keyless) {
            bit_util::set_bit(
                bits.as_slice_mut(),
                usize::try_from(row).unwrap_or(usize::MAX),
            );
        }
        BooleanBuffer::new(bits.into(), 0, rows)
    }
}

/// Hashes of the keys of a batch.
struct Hashes {
    rows: arrow::row::Rows,
    nulls: Vec<Option<arrow::buffer::NullBuffer>>,
}

impl Hashes {
    fn new(columns: &[arrow::array::ArrayRef]) -> Result<Self> {
        Ok(Self {
            rows: comparable(columns)?,
            nulls: columns
                .iter()
                .map(|column| column.nulls().cloned())
                .collect(),
        })
    }

    /// `None` where a part of the key is null: as in SQL, such a row equals no other.
    fn get(&self, row: usize) -> Option<u128> {
        if self.nulls.iter().flatten().any(|nulls| nulls.is_null(row)) {
            return None;
        }
        let hash = Sha256::digest(self.rows.row(row).as_ref());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash) {
            *to = from;
        }
        Some(u128::from_le_bytes(bytes))
    }
}

/// Ranks of the rows of a batch.
enum Ranks {
    Numbers(arrow::array::ArrayRef),
    Bytes(arrow::array::ArrayRef, arrow::row::Rows),
}

impl Ranks {
    fn new(column: &arrow::array::ArrayRef) -> Result<Self> {
        match column.data_type() {
            DataType::Int64 | DataType::Timestamp(..) => {
                let numbers = cast(column, &DataType::Int64)
                    .map_err(|error| Error::bug("order a replication key").source(error))?;
                Ok(Self::Numbers(numbers))
            }
            _ => Ok(Self::Bytes(
                column.clone(),
                comparable(std::slice::from_ref(column))?,
            )),
        }
    }

    fn get(&self, row: usize) -> Rank {
        match self {
            Self::Numbers(numbers) if numbers.is_valid(row) => {
                Rank::Number(numbers.as_primitive::<Int64Type>().value(row))
            }
            Self::Bytes(column, rows) if column.is_valid(row) => {
                Rank::Bytes(rows.row(row).as_ref().into())
            }
            _ => Rank::None,
        }
    }
}

fn comparable(columns: &[arrow::array::ArrayRef]) -> Result<arrow::row::Rows> {
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    RowConverter::new(fields.collect())
        .and_then(|converter| converter.convert_columns(columns))
        .map_err(|error| Error::bug("compare keys").source(error))
}

/// Hashes what is a hash already.
#[derive(Debug, Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = u64::try_from(value >> 64).unwrap_or_default();
    }
}
