//! Tables of a tenant: their columns and types, and which of them can be read.

use overlock_core::Timestamp;

use super::super::model::{Kind, Object};
use super::super::world::World;
use super::tree::Name;

/// Tables that are listed and cannot be read: an internal one, and archives in a tenant that archives nothing.
pub(super) const UNREADABLE: &[&str] = &["aggregatedataqueryslowdata", "archived_invoice"];

/// The error of a service that is away; it passes, but never for an archive that does not exist.
pub(in super::super) const UNAVAILABLE: &str =
    "Service Temporarily Unavailable. Please try again later. LINK_30000007";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Unknown,
    Varchar,
    Boolean,
    Bigint,
    Decimal,
    Date,
    Timestamp,
}

impl Type {
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean,
            Kind::Integer => Self::Bigint,
            Kind::Decimal | Kind::CapitalDecimal | Kind::Number => Self::Decimal,
            Kind::Date => Self::Date,
            Kind::DateTime => Self::Timestamp,
            Kind::Text
            | Kind::LongText
            | Kind::Picklist
            | Kind::Zoql
            | Kind::Timestamp
            | Kind::Unheard(_) => Self::Varchar,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Varchar => "varchar",
            Self::Boolean => "boolean",
            Self::Bigint => "bigint",
            Self::Decimal => "decimal(22,9)",
            Self::Date => "date",
            Self::Timestamp => "timestamp with time zone",
        }
    }

    pub(super) fn meets(self, other: Self) -> bool {
        let numbers = |kind| matches!(kind, Self::Bigint | Self::Decimal);
        let times = |kind| matches!(kind, Self::Date | Self::Timestamp);
        self == other
            || self == Self::Unknown
            || other == Self::Unknown
            || (numbers(self) && numbers(other))
            || (times(self) && times(other))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Field(String),
    Parent(String),
    Deleted,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// In lower case.
    pub(super) name: String,
    /// The canonical spelling.
    pub(super) spelling: String,
    pub(super) kind: Type,
    pub(super) source: Source,
}

/// The columns of an object's table at an instant: own fields, keys of parents, the mark of deletion.
pub(super) fn columns(object: &Object, at: Timestamp) -> Vec<Column> {
    let mut all: Vec<Column> = object
        .fields
        .iter()
        .filter(|field| field.selectable && field.exists(at))
        .map(|field| Column {
            name: field.name.to_lowercase(),
            spelling: field.name.clone(),
            kind: Type::of(field.kind),
            source: Source::Field(field.name.clone()),
        })
        .collect();
    for related in &object.related {
        let spelling = format!("{}Id", related.name);
        let name = spelling.to_lowercase();
        if !related.poisonous && all.iter().all(|column| column.name != name) {
            all.push(Column {
                name,
                spelling,
                kind: Type::Varchar,
                source: Source::Parent(related.name.clone()),
            });
        }
    }
    if object.deletes && all.iter().all(|column| column.name != "deleted") {
        all.push(Column {
            name: "deleted".to_owned(),
            spelling: "Deleted".to_owned(),
            kind: Type::Boolean,
            source: Source::Deleted,
        });
    }
    all
}

pub(super) fn table<'a>(name: &Name, world: &'a World) -> Result<&'a Object, String> {
    if UNREADABLE.contains(&name.text.as_str()) {
        return Err(UNAVAILABLE.to_owned());
    }
    let known = |prefix: &[String]| match prefix {
        [] => true,
        [schema] => schema == "data",
        [catalog, schema] => catalog == "owl" && schema == "data",
        _ => false,
    };
    let found = world
        .objects()
        .find(|object| object.table.as_deref() == Some(&name.text))
        .filter(|_| known(&name.prefix));
    match found {
        None => Err(format!(
            "{}: Table owl.data.{} does not exist",
            name.at, name.text
        )),
        Some(object) if object.forbidden => Err(format!("failed to process object {}", name.text)),
        Some(object) => Ok(object),
    }
}
