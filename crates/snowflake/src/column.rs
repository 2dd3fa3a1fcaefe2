//! Column types of Snowflake, and how a table follows the schemas of its packages.
//!
//! A column keeps its type for ever, apart from precision that grows. Values of another type go to a column
//! of their own, named `PRICE__TEXT` for text that came where `PRICE` is a number, so that a query written
//! yesterday still means the same today. A column that the source no longer has stays.

use std::fmt;

use arrow_schema::{DataType, Field};
use overlock_core::stream::{self, DELETED, EXTRA, ROW};
use overlock_core::{Error, ErrorKind, Manifest, Result};
use serde::{Deserialize, Serialize};

use crate::sql::{normalized, unused};

/// Most digits of a NUMBER.
const MAX_DIGITS: u8 = 38;

/// The types that overlock makes (snowflake.md, section 5, "How types land").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// BOOLEAN.
    Boolean,
    /// NUMBER(precision, scale).
    Number(u8, u8),
    /// FLOAT.
    Float,
    /// VARCHAR, of the longest length there is.
    Text,
    /// DATE.
    Date,
    /// TIMESTAMP_TZ, always in UTC.
    Timestamp,
    /// BINARY.
    Binary,
    /// VARIANT: JSON.
    Variant,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Number(precision, scale) => write!(f, "NUMBER({precision}, {scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Text => f.write_str("VARCHAR"),
            Self::Date => f.write_str("DATE"),
            Self::Timestamp => f.write_str("TIMESTAMP_TZ"),
            Self::Binary => f.write_str("BINARY"),
            Self::Variant => f.write_str("VARIANT"),
        }
    }
}

impl ColumnType {
    /// The type of a column of a package in its target.
    ///
    /// # Errors
    /// `Bug` for a type that no connector may use.
    pub fn of(field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean,
            DataType::Int64 => Self::Number(MAX_DIGITS, 0),
            DataType::Float64 => Self::Float,
            DataType::Decimal128(precision, scale) => {
                Self::Number(*precision, u8::try_from(*scale).unwrap_or(0))
            }
            DataType::Utf8 if stream::is_json(field) => Self::Variant,
            DataType::Utf8 => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Binary => Self::Binary,
            other => {
                return Err(Error::bug(format!("load a column of the type {other}")));
            }
        })
    }

    /// As `INFORMATION_SCHEMA.COLUMNS` tells it; `None` for a type that overlock never makes.
    pub fn parse(data_type: &str, precision: Option<u8>, scale: Option<u8>) -> Option<Self> {
        Some(match data_type {
            "BOOLEAN" => Self::Boolean,
            "NUMBER" => Self::Number(precision.unwrap_or(MAX_DIGITS), scale.unwrap_or(0)),
            "FLOAT" => Self::Float,
            "TEXT" => Self::Text,
            "DATE" => Self::Date,
            "TIMESTAMP_TZ" => Self::Timestamp,
            "BINARY" => Self::Binary,
            "VARIANT" | "OBJECT" | "ARRAY" => Self::Variant,
            _ => return None,
        })
    }

    /// While rows wait for their transaction, JSON is text: COPY would make a string of it otherwise.
    #[must_use]
    pub fn staged(self) -> Self {
        match self {
            Self::Variant => Self::Text,
            other => other,
        }
    }

    /// What the name of a column of its own ends with.
    fn suffix(self) -> String {
        match self {
            Self::Boolean => "BOOLEAN".to_owned(),
            Self::Number(_, scale) => format!("NUMBER_{scale}"),
            Self::Float => "FLOAT".to_owned(),
            Self::Text => "TEXT".to_owned(),
            Self::Date => "DATE".to_owned(),
            Self::Timestamp => "TIMESTAMP".to_owned(),
            Self::Binary => "BINARY".to_owned(),
            Self::Variant => "JSON".to_owned(),
        }
    }

    /// The type this column must have so that values of the other type fit exactly; `None`: they cannot.
    fn holding(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Number(precision, scale), Self::Number(more, other_scale)) => {
                let whole = more.saturating_sub(other_scale);
                let needed = whole.saturating_add(scale);
                // The scale of a column never changes.
                (other_scale <= scale && needed <= MAX_DIGITS)
                    .then_some(Self::Number(precision.max(needed), scale))
            }
            // Any JSON is text, but not any text is JSON.
            (Self::Text, Self::Variant) => Some(Self::Text),
            (one, other) if one == other => Some(one),
            _ => None,
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As Snowflake spells it.
    pub name: String,
    /// Its type; `None` for one that overlock never makes, so that nothing fits into it.
    pub kind: Option<ColumnType>,
}

/// Which column of the target took the values of a column of the source; kept with the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// Name at the source.
    pub name: String,
    /// Name of the column.
    pub column: String,
}

/// A target as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its columns; empty if there is no such table.
    pub columns: Vec<Column>,
    /// What earlier packages put where.
    pub mapping: Vec<Mapped>,
}

/// One column of a package on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Name in the Parquet files and in the staging table.
    pub name: String,
    /// Type of the values.
    pub kind: ColumnType,
    /// Column of the target.
    pub column: String,
    /// Type of that column.
    pub target: ColumnType,
}

/// What a table must become to take a package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evolution {
    /// Columns that are not there yet.
    pub add: Vec<(String, ColumnType)>,
    /// Columns whose precision grows.
    pub widen: Vec<(String, ColumnType)>,
    /// Where each column of the package goes.
    pub routes: Vec<Route>,
    /// What is to be kept with the head.
    pub mapping: Vec<Mapped>,
    /// One phrase for each difference.
    pub changes: Vec<String>,
}

/// How the target must change so that the package's columns, and `constants`, fit.
///
/// # Errors
/// `Bug` for a type that no connector may use.
pub fn evolve(
    table: &Table,
    manifest: &Manifest,
    constants: &[(&str, ColumnType)],
) -> Result<Evolution> {
    let mut evolution = Evolution {
        mapping: table.mapping.clone(),
        ..Evolution::default()
    };
    let mut columns = table.columns.clone();
    let exists = !columns.is_empty();
    let reserved: Vec<String> = [normalized(DELETED), normalized(EXTRA)]
        .into_iter()
        .chain(constants.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
    for field in manifest.schema.fields() {
        let kind = ColumnType::of(field)?;
        let ours = [DELETED, EXTRA].contains(&field.name().as_str());
        let reserved = if ours { &[] } else { &reserved[..] };
        let route = route(field.name(), kind, reserved, &mut columns, &mut evolution);
        evolution.routes.push(route);
    }
    for (name, kind) in constants {
        if columns.iter().all(|column| column.name != *name) {
            evolution.add.push(((*name).to_owned(), *kind));
        }
    }
    if !exists {
        evolution.changes.clear();
    }
    Ok(evolution)
}

fn route(
    name: &str,
    kind: ColumnType,
    reserved: &[String],
    columns: &mut Vec<Column>,
    evolution: &mut Evolution,
) -> Route {
    let known: Vec<String> = evolution
        .mapping
        .iter()
        .filter(|mapped| mapped.name == name)
        .map(|mapped| mapped.column.clone())
        .collect();
    let plain = normalized(name);
    let is_mapped = |column: &str| {
        let mut mapping = evolution.mapping.iter();
        mapping.any(|mapped| mapped.column == column) || reserved.iter().any(|one| one == column)
    };
    // A table that somebody made beforehand is taken as it is, where names and types agree.
    let is_adopted = known.is_empty() && !is_mapped(&plain);
    let candidates = known.iter().chain(is_adopted.then_some(&plain));
    for candidate in candidates {
        let Some(column) = columns.iter_mut().find(|one| one.name == *candidate) else {
            continue;
        };
        let Some(target) = column.kind.and_then(|have| have.holding(kind)) else {
            continue;
        };
        if column.kind != Some(target) {
            evolution
                .changes
                .push(format!("column `{name}` becomes {target}"));
            evolution.widen.push((candidate.clone(), target));
            column.kind = Some(target);
        }
        let mapped = Mapped {
            name: name.to_owned(),
            column: candidate.clone(),
        };
        if !evolution.mapping.contains(&mapped) {
            evolution.mapping.push(mapped);
        }
        return Route {
            name: name.to_owned(),
            kind,
            column: candidate.clone(),
            target,
        };
    }
    // A column that was mapped and is gone is made again under its name.
    let gone = known
        .iter()
        .find(|column| columns.iter().all(|one| one.name != **column));
    let has_conflict = gone.is_none()
        && (!known.is_empty() || columns.iter().any(|one| one.name == plain) && is_adopted);
    let column = if let Some(gone) = gone {
        gone.clone()
    } else {
        let wanted = if has_conflict {
            format!("{plain}__{}", kind.suffix())
        } else {
            plain
        };
        // What an attempt made that failed later is there, and in no mapping.
        let other = |one: &Column| one.kind != Some(kind);
        let taken = |name: &str| {
            columns.iter().any(|one| one.name == name && other(one)) || is_mapped(name)
        };
        unused(&wanted, taken)
    };
    if columns.iter().any(|one| one.name == column) {
        evolution.mapping.push(Mapped {
            name: name.to_owned(),
            column: column.clone(),
        });
        return Route {
            name: name.to_owned(),
            kind,
            column,
            target: kind,
        };
    }
    evolution.changes.push(if has_conflict {
        format!("column `{name}` is {kind} now")
    } else {
        format!("column `{name}` is new")
    });
    columns.push(Column {
        name: column.clone(),
        kind: Some(kind),
    });
    evolution.add.push((column.clone(), kind));
    if gone.is_none() {
        evolution.mapping.push(Mapped {
            name: name.to_owned(),
            column: column.clone(),
        });
    }
    Route {
        name: name.to_owned(),
        kind,
        column,
        target: kind,
    }
}

/// The columns of the staging table: those of the Parquet files, under their names.
pub(crate) fn staging(manifest: &Manifest) -> Result<Vec<(String, ColumnType)>> {
    let fields = manifest.schema.fields().iter();
    let mut columns: Vec<(String, ColumnType)> = fields
        .map(|field| Ok((field.name().clone(), ColumnType::of(field)?.staged())))
        .collect::<Result<_>>()?;
    if manifest.row_numbers {
        columns.push((ROW.to_owned(), ColumnType::Number(MAX_DIGITS, 0)));
    }
    Ok(columns)
}

/// Refuses changes under the policy that wants none.
pub(crate) fn refuse_changes(evolution: &Evolution, stream: &str) -> Result<()> {
    if evolution.changes.is_empty() {
        return Ok(());
    }
    let changes = overlock_core::text::printable(&evolution.changes.join(", "));
    Err(Error::new(
        ErrorKind::Schema,
        format!("accept another schema: {changes}"),
    )
    .context("stream", stream)
    .hint("set `on_schema_change = \"evolve\"` to let the table follow"))
}
