//! From objects to streams: which columns there are, of which types, under which names in queries and files.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema};
use overlock_core::stream::{DELETED, EXTRA, json_field, timestamp_type};
use overlock_core::{Deletes, Error, ErrorKind, Result, Stream, StreamName};

use crate::describe::Object;
use crate::limits;

/// The column that says which entity a row belongs to.
pub const ENTITY: &str = "entity_id";

/// What the settings say about columns.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Ask for the keys of parents.
    pub joins: bool,
    /// Objects for which that is too much.
    pub without_joins: &'a [String],
    /// Digits behind the point.
    pub decimal_scale: i8,
    /// The tenant has several entities.
    pub entities: bool,
    /// Deletions of the object are told, or found by comparison.
    pub deletes: Deletes,
}

/// A column of a stream and what it is called elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// In the stream.
    pub name: String,
    /// In queries: `Name`, or `Account.Id` of a parent.
    pub path: String,
    /// In the header of a file: `Invoice.Name`, `Account.Id`.
    pub header: String,
    /// Its type.
    pub data_type: DataType,
}

/// The type of a column.
fn data_type(kind: &str, scale: i8) -> DataType {
    match kind {
        "boolean" => DataType::Boolean,
        "integer" => DataType::Int64,
        "decimal" | "number" => DataType::Decimal128(limits::DECIMAL_PRECISION, scale),
        "date" => DataType::Date32,
        "datetime" => timestamp_type(),
        // Text, picklists, `ZOQL`, `timestamp` of unknown shape, and whatever comes next.
        _ => DataType::Utf8,
    }
}

/// Types whose values are known to be text, or to have a column of their own.
const KNOWN_KINDS: &[&str] = &[
    "text",
    "longtext",
    "picklist",
    "zoql",
    "boolean",
    "integer",
    "decimal",
    "number",
    "date",
    "datetime",
    "timestamp",
];

/// The columns that can be asked for.
pub fn columns(object: &Object, shape: Shape<'_>) -> Vec<Column> {
    let own = |field: &crate::describe::Field| Column {
        name: field.name.clone(),
        path: field.name.clone(),
        header: format!("{}.{}", object.name, field.name),
        data_type: data_type(&field.kind, shape.decimal_scale),
    };
    let exportable = || object.fields.iter().filter(|field| field.exportable);
    let is_id = |name: &str| name.eq_ignore_ascii_case("Id");
    let mut columns: Vec<Column> = exportable()
        .filter(|field| is_id(&field.name))
        .map(own)
        .collect();
    columns.extend(exportable().filter(|field| !is_id(&field.name)).map(own));
    if !joins(object, shape) {
        return columns;
    }
    add_currency(object, &mut columns);
    for related in &object.related {
        let name = format!("{}Id", related.name);
        let is_poisonous = limits::POISONOUS_RELATIONS
            .iter()
            .any(|poison| related.name.eq_ignore_ascii_case(poison));
        // Its own key would have the header of the object's own.
        if is_poisonous || related.name.eq_ignore_ascii_case(&object.name) || has(&columns, &name) {
            continue;
        }
        let path = format!("{}.Id", related.name);
        columns.push(Column {
            name,
            header: path.clone(),
            path,
            data_type: DataType::Utf8,
        });
    }
    columns
}

fn joins(object: &Object, shape: Shape<'_>) -> bool {
    shape.joins
        && !shape
            .without_joins
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&object.name))
}

fn has(columns: &[Column], name: &str) -> bool {
    columns
        .iter()
        .any(|column| column.name.eq_ignore_ascii_case(name))
}

/// Amounts are in the currency of the account: it stands beside them where the object does not tell it.
fn add_currency(object: &Object, columns: &mut Vec<Column>) {
    let is_amount = |column: &Column| matches!(column.data_type, DataType::Decimal128(..));
    let is_own = limits::CURRENCY_FIELDS
        .iter()
        .any(|name| has(columns, name));
    let has_account = object.related.iter().any(|one| one.name == "Account");
    if let Some(first) = columns.iter().position(is_amount)
        && !is_own
        && has_account
    {
        columns.insert(
            first,
            Column {
                name: "AccountCurrency".to_owned(),
                path: "Account.Currency".to_owned(),
                header: "Account.Currency".to_owned(),
                data_type: DataType::Utf8,
            },
        );
    }
}

/// The field by which an object is read in windows.
pub fn change_key(object: &Object) -> Option<&str> {
    limits::CHANGE_KEYS.iter().find_map(|key| {
        let field = object.exportable(key)?;
        (field.kind == "datetime").then_some(field.name.as_str())
    })
}

/// The stream of an object.
///
/// # Errors
/// `Schema` if its rows cannot be told apart, or its name is none.
pub fn stream(object: &Object, shape: Shape<'_>) -> Result<Stream> {
    let name = StreamName::new(&object.name)?;
    let Some(id) = object.exportable("Id") else {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("tell the rows of `{name}` apart: its Id cannot be exported"),
        ));
    };
    let columns = columns(object, shape);
    let key = change_key(object).map(ToOwned::to_owned);
    let mut notes = Vec::new();
    let hidden = object.fields.iter().filter(|one| !one.exportable).count();
    if hidden > 0 {
        let fields = if hidden == 1 { "field" } else { "fields" };
        notes.push(format!("{hidden} {fields} cannot be exported"));
    }
    let unheard: Vec<&str> = object
        .fields
        .iter()
        .filter(|field| field.exportable && !KNOWN_KINDS.contains(&field.kind.as_str()))
        .map(|field| field.name.as_str())
        .collect();
    if !unheard.is_empty() {
        notes.push(format!(
            "kept as text, their type is unknown: {}",
            unheard.join(", ")
        ));
    }
    if key.is_none() {
        notes.push("it says nothing about changes, so each run reads all of it".to_owned());
    }
    let fields = columns
        .iter()
        .map(|column| ArrowField::new(&column.name, column.data_type.clone(), true));
    let primary_key = shape
        .entities
        .then(|| ENTITY.to_owned())
        .into_iter()
        .chain([id.name.clone()])
        .collect();
    let incremental = key.is_some();
    Ok(Stream {
        name,
        schema: schema(fields, shape.entities, incremental),
        primary_key,
        replication_key: key,
        incremental,
        deletes: if incremental {
            shape.deletes
        } else {
            Deletes::NotReported
        },
        exact_states: false,
        notes,
    })
}

/// The columns of a stream with those of ours around them.
pub fn schema(
    columns: impl Iterator<Item = ArrowField>,
    entities: bool,
    deletes: bool,
) -> Arc<Schema> {
    let first = entities.then(|| ArrowField::new(ENTITY, DataType::Utf8, true));
    let last = deletes.then(|| ArrowField::new(DELETED, DataType::Boolean, true));
    let fields: Vec<ArrowField> = first
        .into_iter()
        .chain(columns.filter(|column| !column.name().starts_with('_')))
        .chain(last)
        .chain([json_field(EXTRA)])
        .collect();
    Arc::new(Schema::new(fields))
}

/// Whether deleted rows of the object can be asked for, as far as the documentation knows.
pub fn has_soft_deletes(object: &str) -> bool {
    !limits::WITHOUT_DELETES
        .iter()
        .any(|name| name.eq_ignore_ascii_case(object))
}

/// Columns of the object that change without moving its stamp, and that the stream has.
pub fn silent_columns<'a>(columns: &'a [Column], object: &str) -> Vec<&'a Column> {
    let silent = limits::SILENT_COLUMNS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(object))
        .map_or(&[][..], |(_, columns)| columns);
    columns
        .iter()
        .filter(|column| {
            silent
                .iter()
                .any(|name| column.name.eq_ignore_ascii_case(name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{Field, Related};

    fn object(name: &str, fields: &[(&str, &str)], related: &[&str]) -> Object {
        Object {
            name: name.to_owned(),
            fields: fields
                .iter()
                .map(|(name, kind)| Field {
                    name: (*name).to_owned(),
                    kind: (*kind).to_owned(),
                    exportable: true,
                })
                .collect(),
            related: related
                .iter()
                .map(|name| Related {
                    name: (*name).to_owned(),
                    object: (*name).to_owned(),
                })
                .collect(),
        }
    }

    fn shape() -> Shape<'static> {
        Shape {
            joins: true,
            without_joins: &[],
            decimal_scale: 9,
            entities: false,
            deletes: Deletes::Reported,
        }
    }

    fn names(object: &Object, shape: Shape<'_>) -> Vec<String> {
        columns(object, shape)
            .into_iter()
            .map(|column| format!("{}={}", column.name, column.path))
            .collect()
    }

    #[test]
    fn parents_are_joined_except_where_that_fails_or_is_there_already() {
        let item = object(
            "InvoiceItem",
            &[
                ("ChargeName", "text"),
                ("Id", "text"),
                ("ChargeAmount", "decimal"),
                ("SubscriptionId", "text"),
                ("UpdatedDate", "datetime"),
            ],
            &[
                "Account",
                "Invoice",
                "Subscription",
                "InvoiceItem",
                "SubscriptionStatusHistory",
            ],
        );
        assert_eq!(
            names(&item, shape()),
            [
                "Id=Id",
                "ChargeName=ChargeName",
                "AccountCurrency=Account.Currency",
                "ChargeAmount=ChargeAmount",
                "SubscriptionId=SubscriptionId",
                "UpdatedDate=UpdatedDate",
                "AccountId=Account.Id",
                "InvoiceId=Invoice.Id",
            ]
        );
        let without = ["invoiceitem".to_owned()];
        let plain = Shape {
            without_joins: &without,
            ..shape()
        };
        assert_eq!(names(&item, plain).len(), 5);
        let headers: Vec<String> = columns(&item, shape())
            .into_iter()
            .map(|column| column.header)
            .collect();
        assert_eq!(headers[0], "InvoiceItem.Id");
        assert_eq!(headers[7], "Invoice.Id");
    }

    #[test]
    fn a_currency_of_its_own_needs_no_join() {
        let payment = object(
            "Payment",
            &[
                ("Id", "text"),
                ("Amount", "decimal"),
                ("Currency", "picklist"),
            ],
            &["Account"],
        );
        assert!(!names(&payment, shape()).contains(&"AccountCurrency=Account.Currency".to_owned()));
    }

    #[test]
    fn types_follow_describe_and_the_unknown_ones_are_kept_as_text() {
        use DataType::{Boolean, Date32, Decimal128, Utf8};
        let odd = object(
            "Odd",
            &[
                ("Id", "text"),
                ("A", "longtext"),
                ("B", "zoql"),
                ("C", "number"),
                ("D", "timestamp"),
                ("E", "hologram"),
                ("F", "date"),
                ("UpdatedOn", "datetime"),
            ],
            &[],
        );
        let stream = stream(&odd, shape()).unwrap();
        let kinds: Vec<_> = stream
            .schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        assert_eq!(
            kinds,
            [
                Utf8,
                Utf8,
                Utf8,
                Decimal128(38, 9),
                Utf8,
                Utf8,
                Date32,
                timestamp_type(),
                Boolean,
                Utf8
            ]
        );
        assert_eq!(stream.replication_key.as_deref(), Some("UpdatedOn"));
        assert!(stream.notes[0].contains('E'), "{:?}", stream.notes);
    }

    #[test]
    fn without_an_id_or_a_stamp_it_is_told() {
        let no_id = object("BillingPreviewRun", &[("Status", "text")], &[]);
        assert!(stream(&no_id, shape()).is_err());
        let history = object("EmailHistory", &[("Id", "text")], &[]);
        let history = stream(&history, shape()).unwrap();
        assert!(!history.incremental);
        assert_eq!(history.deletes, Deletes::NotReported);
    }

    #[test]
    fn entities_are_part_of_the_key() {
        let account = object(
            "Account",
            &[("Id", "text"), ("UpdatedDate", "datetime")],
            &[],
        );
        let several = Shape {
            entities: true,
            ..shape()
        };
        let stream = stream(&account, several).unwrap();
        assert_eq!(stream.primary_key, [ENTITY, "Id"]);
        assert_eq!(stream.schema.field(0).name(), ENTITY);
    }

    #[test]
    fn silent_columns_are_those_of_the_documentation() {
        let charge = object(
            "RatePlanCharge",
            &[
                ("Id", "text"),
                ("ChargedThroughDate", "date"),
                ("Name", "text"),
            ],
            &[],
        );
        let columns = columns(&charge, shape());
        let silent = silent_columns(&columns, "RatePlanCharge");
        assert_eq!(silent.len(), 1);
        assert_eq!(silent[0].name, "ChargedThroughDate");
    }
}
