//! Tables: their columns as Data Query describes them, and the streams they make.

use arrow::datatypes::{DataType, Field};
use overlock_core::stream::timestamp_type;
use overlock_core::{Deletes, Result, Stream, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits;
use crate::streams::{self, ENTITY};

/// The column that tells deleted rows.
pub(super) const DELETED: &str = "deleted";

/// The column that tells rows apart.
const ID: &str = "id";

/// A table of Data Query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type, as `DESCRIBE` spells it.
    pub(crate) kind: String,
}

/// A type, taken apart.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Known(DataType),
    /// Exact where it fits the column.
    Double(DataType),
    Unknown,
}

/// The type of a column.
fn kind(text: &str, scale: i8) -> Kind {
    let text = text.trim().to_ascii_lowercase();
    let (name, parameters, rest) = match text.split_once('(') {
        Some((name, rest)) => match rest.split_once(')') {
            Some((parameters, rest)) => (name.trim(), parameters, rest.trim()),
            None => return Kind::Unknown,
        },
        None => (text.as_str(), "", ""),
    };
    let decimal = |scale| DataType::Decimal128(limits::DECIMAL_PRECISION, scale);
    match (name, rest) {
        ("boolean", "") => Kind::Known(DataType::Boolean),
        ("bigint" | "integer" | "int" | "smallint" | "tinyint", "") => Kind::Known(DataType::Int64),
        ("date", "") => Kind::Known(DataType::Date32),
        ("decimal", "") if parameters.is_empty() => Kind::Known(decimal(scale)),
        ("decimal", "") => decimal_scale(parameters, scale)
            .map_or(Kind::Unknown, |scale| Kind::Known(decimal(scale))),
        ("double" | "real", "") => Kind::Double(decimal(scale)),
        ("timestamp with time zone" | "timestamp", "") | ("timestamp", "with time zone") => {
            Kind::Known(timestamp_type())
        }
        ("varchar" | "char", "") => Kind::Known(DataType::Utf8),
        _ => Kind::Unknown,
    }
}

/// Digits behind the point of a column that holds every `decimal(p,s)`: as many as the settings say, unless that
/// leaves too little room before it.
fn decimal_scale(parameters: &str, scale: i8) -> Option<i8> {
    let (digits, behind) = parameters.split_once(',').unwrap_or((parameters, "0"));
    let digits: i8 = digits.trim().parse().ok()?;
    let behind: i8 = behind.trim().parse().ok()?;
    if !(1..=38).contains(&digits) || !(0..=digits).contains(&behind) {
        return None;
    }
    let wanted = behind.max(scale);
    Some(if digits - behind + wanted <= 38 {
        wanted
    } else {
        behind
    })
}

fn data_type(text: &str, scale: i8) -> DataType {
    match kind(text, scale) {
        Kind::Known(data_type) | Kind::Double(data_type) => data_type,
        Kind::Unknown => DataType::Utf8,
    }
}

/// Whether the column is an instant.
pub(super) fn is_instant(kind: &str) -> bool {
    matches!(data_type(kind, 0), DataType::Timestamp(..))
}

/// Whether this may be the name of a table that is offered.
pub(crate) fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty()
        && name.bytes().all(is_word)
        && !limits::NO_TABLES.contains(&name)
        && !name.starts_with(limits::NO_TABLES_PREFIX)
}

/// Whether a table is one of these objects, which AQuA reads. `tables`: all there are, because a plural is an
/// object's table only where the object's own name is none.
pub(super) fn is_object(table: &str, objects: &[&str], tables: &[String]) -> bool {
    objects.iter().any(|object| {
        let object = object.to_ascii_lowercase();
        if table == object {
            return true;
        }
        let is_own = tables.contains(&object);
        let plural = |one: &str, many: &str| {
            let ies = one.strip_suffix('y').map(|stem| format!("{stem}ies"));
            many.strip_suffix('s') == Some(one) || ies.as_deref() == Some(many)
        };
        !is_own && (plural(&object, table) || plural(table, &object))
    })
}

impl Table {
    /// Reads the rows of a description.
    pub(super) fn described(name: &str, rows: &[Map<String, Value>]) -> Self {
        let mut columns: Vec<Column> = Vec::with_capacity(rows.len());
        let text = |row: &Map<String, Value>, key: &str| {
            let value = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            value.and_then(|(_, value)| value.as_str().map(ToOwned::to_owned))
        };
        for row in rows {
            let Some(name) = text(row, "Column").filter(|name| !name.is_empty()) else {
                continue;
            };
            if columns.iter().all(|column| column.name != name) {
                let kind = text(row, "Type").unwrap_or_default();
                columns.push(Column { name, kind });
            }
        }
        Self {
            name: name.to_owned(),
            columns,
        }
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that tells rows apart.
    pub(super) fn id(&self) -> Option<&str> {
        let id = self.column(ID)?;
        // Ranges of Ids are ranges of texts.
        (data_type(&id.kind, 0) == DataType::Utf8).then_some(ID)
    }

    /// The column that tells when a row changed.
    pub(super) fn key(&self) -> Option<&str> {
        limits::CHANGE_KEYS.iter().find_map(|key| {
            let column = self.column(&key.to_ascii_lowercase())?;
            is_instant(&column.kind).then_some(column.name.as_str())
        })
    }

    /// Whether it is read in windows.
    pub(super) fn is_incremental(&self) -> bool {
        self.id().is_some() && self.key().is_some()
    }

    /// The column that tells deleted rows, where they are read: a whole table has only those that are alive.
    pub(super) fn deleted(&self) -> Option<&str> {
        let column = self.column(DELETED)?;
        (self.is_incremental() && data_type(&column.kind, 0) == DataType::Boolean)
            .then_some(DELETED)
    }

    /// Columns that a stream has.
    pub(super) fn offered(&self, entities: bool) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(move |column| {
            // Names of ours begin with an underscore.
            let is_ours = column.name.starts_with('_') || (entities && column.name == ENTITY);
            let says_nothing = column.name == DELETED && !self.is_incremental();
            !is_ours && !says_nothing
        })
    }

    /// The stream of the table.
    ///
    /// # Errors
    /// `Config` if its name is none.
    pub(crate) fn stream(&self, entities: bool, scale: i8) -> Result<Stream> {
        let name = StreamName::new(&self.name)?;
        let is_incremental = self.is_incremental();
        let names = |wanted: fn(&Kind) -> bool| {
            let found: Vec<&str> = self
                .offered(entities)
                .filter(|column| wanted(&kind(&column.kind, scale)))
                .map(|column| column.name.as_str())
                .collect();
            (!found.is_empty()).then(|| found.join(", "))
        };
        let mut notes = vec!["read by Data Query".to_owned()];
        notes.extend(
            names(|kind| *kind == Kind::Unknown)
                .map(|names| format!("kept as text, their type is unknown: {names}")),
        );
        notes.extend(names(|kind| matches!(kind, Kind::Double(_))).map(|names| {
            format!("binary fractions, in `_extra` where they have more than {scale} digits behind the point: {names}")
        }));
        let is_left_out =
            |column: &&Column| column.name.starts_with('_') || (entities && column.name == ENTITY);
        let left_out: Vec<&str> = self
            .columns
            .iter()
            .filter(is_left_out)
            .map(|column| column.name.as_str())
            .collect();
        if !left_out.is_empty() {
            notes.push(format!(
                "left out, their names are reserved: {}",
                left_out.join(", ")
            ));
        }
        if !is_incremental {
            notes.push(
                "it has no Id or says nothing about changes, so each run reads all of it"
                    .to_owned(),
            );
        } else if self.deleted().is_none() {
            notes.push("deletions are not told".to_owned());
        }
        let fields = self
            .offered(entities)
            .map(|column| Field::new(&column.name, data_type(&column.kind, scale), true));
        let has_deleted = self.deleted().is_some();
        let id = self.id().map(ToOwned::to_owned);
        let entity = (entities && id.is_some()).then(|| ENTITY.to_owned());
        Ok(Stream {
            name,
            schema: streams::schema(fields, entities, has_deleted),
            primary_key: entity.into_iter().chain(id).collect(),
            replication_key: self.key().filter(|_| is_incremental).map(ToOwned::to_owned),
            incremental: is_incremental,
            deletes: if has_deleted {
                Deletes::Reported
            } else {
                Deletes::NotReported
            },
            exact_states: false,
            notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &str)]) -> Table {
        Table {
            name: "chargemetrics".to_owned(),
            columns: columns
                .iter()
                .map(|(name, kind)| Column {
                    name: (*name).to_owned(),
                    kind: (*kind).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn types_follow_describe_and_no_decimal_loses_a_digit() {
        use DataType::{Boolean, Date32, Decimal128, Int64, Utf8};
        for (text, expected) in [
            ("bigint", Int64),
            ("integer", Int64),
            ("boolean", Boolean),
            ("date", Date32),
            ("decimal(18,6)", Decimal128(38, 9)),
            ("decimal(22, 9)", Decimal128(38, 9)),
            ("DECIMAL(38,12)", Decimal128(38, 12)),
            ("decimal(38,2)", Decimal128(38, 2)),
            ("decimal(31)", Decimal128(38, 0)),
            ("decimal", Decimal128(38, 9)),
            ("double", Decimal128(38, 9)),
            ("timestamp with time zone", timestamp_type()),
            ("timestamp(3) with time zone", timestamp_type()),
            ("timestamp", timestamp_type()),
            ("timestamp(3)", timestamp_type()),
            ("varchar", Utf8),
            ("varchar(255)", Utf8),
        ] {
            assert_ne!(kind(text, 9), Kind::Unknown, "{text}");
            assert_eq!(data_type(text, 9), expected, "{text}");
        }
        for text in [
            "decimal(39,1)",
            "decimal(5,6)",
            "decimal(a,b)",
            "decimal(1",
            "array(varchar)",
            "time",
            "",
            "varchar(3)[]",
        ] {
            assert_eq!(kind(text, 9), Kind::Unknown, "{text}");
            assert_eq!(data_type(text, 9), Utf8, "{text}");
        }
    }

    #[test]
    fn a_stream_has_the_columns_of_the_table_and_reserved_ones_behind() {
        let table = table(&[
            ("id", "varchar"),
            ("mrr", "decimal(22,9)"),
            ("shape", "geometry"),
            ("_odd", "varchar"),
            ("updateddate", "timestamp with time zone"),
            ("deleted", "boolean"),
        ]);
        let stream = table.stream(true, 9).unwrap();
        let names: Vec<_> = stream
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        assert_eq!(
            names,
            [
                "entity_id",
                "id",
                "mrr",
                "shape",
                "updateddate",
                "deleted",
                "_deleted",
                "_extra"
            ]
        );
        assert_eq!(stream.primary_key, ["entity_id", "id"]);
        assert_eq!(stream.replication_key.as_deref(), Some("updateddate"));
        assert!(stream.incremental);
        assert_eq!(stream.deletes, Deletes::Reported);
        let notes = stream.notes.join("; ");
        assert!(
            notes.contains("unknown: shape") && notes.contains("reserved: _odd"),
            "{notes}"
        );
    }

    #[test]
    fn without_a_stamp_or_an_id_a_table_is_read_whole_and_alive() {
        for columns in [
            &[
                ("id", "varchar"),
                ("updateddate", "varchar"),
                ("deleted", "boolean"),
            ][..],
            &[
                ("id", "bigint"),
                ("updateddate", "timestamp"),
                ("deleted", "boolean"),
            ],
            &[("updateddate", "timestamp"), ("deleted", "boolean")],
        ] {
            let stream = table(columns).stream(false, 9).unwrap();
            assert!(!stream.incremental, "{columns:?}");
            assert_eq!(stream.replication_key, None);
            assert_eq!(stream.deletes, Deletes::NotReported);
            assert!(stream.schema.index_of("deleted").is_err());
            assert!(stream.schema.index_of("_deleted").is_err());
        }
        let last = table(&[
            ("id", "varchar"),
            ("updatedon", "timestamp"),
            ("transactiondate", "date"),
        ]);
        assert_eq!(last.key(), Some("updatedon"));
    }

    #[test]
    fn names_of_tables_are_words_and_some_are_never_offered() {
        for (name, good) in [
            ("chargemetrics", true),
            ("default__vehicle2", true),
            ("Account", false),
            ("a\" b", false),
            ("", false),
            ("archived_invoiceitem", false),
            ("aggregatedataqueryslowdata", false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }

    #[test]
    fn tables_of_objects_are_known_by_their_plural_too() {
        let tables = [
            "orders",
            "orderlineitems",
            "ramp",
            "ramps",
            "journalentries",
            "account",
        ]
        .map(ToOwned::to_owned);
        let objects = ["Order", "OrderLineItem", "Ramp", "JournalEntry", "Account"];
        for (table, expected) in [
            ("orders", true),
            ("orderlineitems", true),
            ("ramp", true),
            // The object's own table is another one.
            ("ramps", false),
            ("journalentries", true),
            ("account", true),
            ("chargemetrics", false),
        ] {
            assert_eq!(is_object(table, &objects, &tables), expected, "{table}");
        }
    }
}
