//! From a described object to a stream: columns and their types, keys, what to tell the user.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as Column, Schema};
use overlock_core::stream::{self, Deletes};
use overlock_core::{Result, Stream, StreamName};

use crate::describe::{Field, Object};
use crate::{api, hints};

/// Source column that says whether a row is in the recycle bin.
pub const IS_DELETED: &str = "IsDeleted";

/// When a row was made; the only stamp of history objects.
const CREATED: &str = "CreatedDate";

/// Fields that a window may be cut by, best first. Each is set by the system.
const REPLICATION_KEYS: &[&str] = &["SystemModstamp", "LastModifiedDate", CREATED, "LoginTime"];

/// How a field becomes a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapping {
    /// A column; `bulk` is false where Bulk cannot deliver it.
    Column {
        /// The column.
        column: Column,
        /// Bulk can deliver it.
        bulk: bool,
    },
    /// Left out because its parts are columns.
    Parts,
    /// Left out because a query gives only a link to the bytes.
    Bytes,
    /// Left out because it cannot be named in a query.
    Hidden,
}

/// Maps one field of an object. A type that is new to us never stops a sync.
pub fn map(object: &Object, field: &Field) -> Mapping {
    if field.deprecated_and_hidden || !api::is_identifier(&field.name) {
        return Mapping::Hidden;
    }
    let plain = |data_type: DataType| Mapping::Column {
        column: Column::new(&field.name, data_type, true),
        bulk: true,
    };
    let json = || Mapping::Column {
        column: stream::json_field(&field.name),
        bulk: false,
    };
    match field.kind.as_str() {
        "boolean" => plain(DataType::Boolean),
        "int" | "long" => plain(DataType::Int64),
        "double" | "percent" | "currency" => plain(number_type(field)),
        "date" => plain(DataType::Date32),
        "datetime" => plain(stream::timestamp_type()),
        "id"
        | "reference"
        | "string"
        | "textarea"
        | "phone"
        | "email"
        | "url"
        | "picklist"
        | "multipicklist"
        | "combobox"
        | "time"
        | "encryptedstring"
        | "anyType"
        | "datacategorygroupreference"
        | "masterrecord"
        | "byte" => plain(DataType::Utf8),
        "base64" => Mapping::Bytes,
        "address" | "location" => {
            let has_parts = object
                .fields
                .iter()
                .any(|part| part.compound_field_name.as_deref() == Some(&field.name));
            if has_parts { Mapping::Parts } else { json() }
        }
        "complexvalue" | "json" => json(),
        _ => match field.soap_type.as_str() {
            "xsd:boolean" => plain(DataType::Boolean),
            "xsd:int" | "xsd:long" => plain(DataType::Int64),
            "xsd:double" => plain(number_type(field)),
            "xsd:date" => plain(DataType::Date32),
            "xsd:dateTime" => plain(stream::timestamp_type()),
            "xsd:base64Binary" => Mapping::Bytes,
            other if other.starts_with("xsd:") || other == "tns:ID" || other.is_empty() => {
                plain(DataType::Utf8)
            }
            _ => json(),
        },
    }
}

/// Exact wherever the server says how many digits there are. Money is never a float, also when a formula
/// or roll-up computes it. Currency gets six more digits after the point than declared, because
/// conversion and loads through the API leave more than the declared scale.
fn number_type(field: &Field) -> DataType {
    let has_digits = (1..=38).contains(&field.precision) && (0..=38).contains(&field.scale);
    let scale = i8::try_from(field.scale).unwrap_or(0);
    match field.kind.as_str() {
        "currency" if has_digits => DataType::Decimal128(38, scale.saturating_add(6).min(18)),
        "double" | "percent" if has_digits && !field.calculated => DataType::Decimal128(38, scale),
        _ => DataType::Float64,
    }
}

/// The stream of an object.
///
/// # Errors
/// `Config` if the object's name is not one.
pub fn stream(object: &Object) -> Result<Stream> {
    let mut columns = Vec::with_capacity(object.fields.len() + 2);
    let mut notes = Vec::new();
    let (mut bytes, mut rest_only, mut formulas) = (Vec::new(), Vec::new(), 0_usize);
    for field in &object.fields {
        match map(object, field) {
            Mapping::Column { column, bulk } => {
                columns.push(column);
                if !bulk {
                    rest_only.push(field.name.as_str());
                }
                formulas += usize::from(field.calculated);
            }
            Mapping::Bytes => bytes.push(field.name.as_str()),
            Mapping::Parts | Mapping::Hidden => {}
        }
    }
    let has = |name: &str| columns.iter().any(|column| column.name() == name);
    let primary_key: Vec<String> = ["DurableId", "Id"]
        .into_iter()
        .find(|name| has(name))
        .map(|name| vec![name.to_owned()])
        .unwrap_or_default();
    let replication_key = replication_key(object).map(ToOwned::to_owned);
    let deletes = if has(IS_DELETED) {
        columns.push(Column::new(stream::DELETED, DataType::Boolean, true));
        if replication_key.as_deref() == Some(CREATED) {
            notes.push(
                "increments do not see deleted rows: deleting does not move CreatedDate; refresh fully now and then"
                    .to_owned(),
            );
            Deletes::NotReported
        } else {
            Deletes::Reported
        }
    } else {
        notes.push("deleted rows are not seen: the object has no IsDeleted".to_owned());
        Deletes::NotReported
    };
    columns.push(stream::json_field(stream::EXTRA));
    if replication_key.is_none() {
        notes.push("read as a whole each time: no date that can be filtered on".to_owned());
    }
    if formulas > 0 {
        notes.push(format!(
            "{formulas} formula or roll-up fields change without the row being touched: refresh fully now and then"
        ));
    }
    if !bytes.is_empty() {
        notes.push(format!("the bytes of {} are not read", bytes.join(", ")));
    }
    if !rest_only.is_empty() {
        notes.push(format!(
            "read by REST: Bulk cannot deliver {}",
            rest_only.join(", ")
        ));
    }
    Ok(Stream {
        name: StreamName::new(object.name.clone())?,
        schema: Arc::new(Schema::new(columns)),
        primary_key,
        incremental: replication_key.is_some(),
        // A resume inside a window repeats nothing, but the look-back of the next one does.
        exact_states: replication_key.is_none(),
        replication_key,
        deletes,
        notes,
    })
}

/// The field that windows are cut by.
pub fn replication_key(object: &Object) -> Option<&str> {
    if !hints::has_date_filter(&object.name) {
        return None;
    }
    REPLICATION_KEYS.iter().copied().find(|name| {
        object
            .field(name)
            .is_some_and(|field| field.filterable && field.kind == "datetime")
    })
}

/// Whether Bulk can deliver all of these columns of the object.
pub fn fits_bulk(object: &Object, columns: &[&str]) -> bool {
    hints::for_object(&object.name) != hints::Hint::RestOnly
        && columns.iter().all(|name| {
            object.field(name).is_none_or(|field| {
                !matches!(map(object, field), Mapping::Column { bulk: false, .. })
            })
        })
}

/// Why an object is not offered, if so.
pub fn refusal(object: &Object) -> Option<&'static str> {
    if object.deprecated_and_hidden {
        return Some("it is deprecated and hidden");
    }
    if !object.queryable {
        return Some("Salesforce says that it cannot be queried");
    }
    match hints::for_object(&object.name) {
        hints::Hint::NotQueryable => Some("it cannot be queried"),
        hints::Hint::NeedsFilter => Some("it can be queried only with a filter on a parent"),
        hints::Hint::None | hints::Hint::RestOnly => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use super::{replication_key as key_of, stream as stream_of};

    fn field(name: &str, kind: &str) -> Field {
        Field {
            name: name.to_owned(),
            kind: kind.to_owned(),
            filterable: true,
            ..Field::default()
        }
    }

    fn number(kind: &str, precision: i32, scale: i32, calculated: bool) -> Field {
        Field {
            precision,
            scale,
            calculated,
            ..field("N", kind)
        }
    }

    fn object(fields: Vec<Field>) -> Object {
        Object {
            name: "Account".to_owned(),
            queryable: true,
            fields,
            ..Object::default()
        }
    }

    #[test]
    fn every_type_of_the_table_has_its_column() {
        let decimal = |scale| DataType::Decimal128(38, scale);
        for (field, expected) in [
            (field("A", "id"), DataType::Utf8),
            (field("A", "reference"), DataType::Utf8),
            (field("A", "multipicklist"), DataType::Utf8),
            (field("A", "anyType"), DataType::Utf8),
            (field("A", "time"), DataType::Utf8),
            (field("A", "encryptedstring"), DataType::Utf8),
            (field("A", "boolean"), DataType::Boolean),
            (field("A", "int"), DataType::Int64),
            (field("A", "long"), DataType::Int64),
            (field("A", "date"), DataType::Date32),
            (field("A", "datetime"), stream::timestamp_type()),
            (number("double", 18, 15, false), decimal(15)),
            (number("percent", 5, 2, false), decimal(2)),
            (number("currency", 18, 2, false), decimal(8)),
            (number("currency", 18, 17, false), decimal(18)),
            (number("currency", 18, 2, true), decimal(8)),
            (number("double", 18, 2, true), DataType::Float64),
            (number("percent", 18, 2, true), DataType::Float64),
            (number("double", 0, 0, false), DataType::Float64),
            (number("currency", 0, 0, false), DataType::Float64),
            (number("double", 39, 2, false), DataType::Float64),
            (field("A", "brandNewType"), DataType::Utf8),
        ] {
            let Mapping::Column { column, bulk: true } = map(&object(Vec::new()), &field) else {
                panic!("{field:?}");
            };
            assert_eq!(column.data_type(), &expected, "{field:?}");
            assert!(column.is_nullable());
        }
    }

    #[test]
    fn an_unknown_type_goes_by_its_soap_type() {
        for (soap, expected) in [
            ("xsd:int", DataType::Int64),
            ("xsd:boolean", DataType::Boolean),
            ("xsd:date", DataType::Date32),
            ("xsd:anyType", DataType::Utf8),
        ] {
            let field = Field {
                soap_type: soap.to_owned(),
                ..field("A", "new")
            };
            let Mapping::Column { column, .. } = map(&object(Vec::new()), &field) else {
                panic!("{soap}");
            };
            assert_eq!(column.data_type(), &expected, "{soap}");
        }
    }

    #[test]
    fn compounds_give_way_to_their_parts_and_names_do_not() {
        let part = Field {
            compound_field_name: Some("BillingAddress".to_owned()),
            ..field("BillingCity", "string")
        };
        let first = Field {
            compound_field_name: Some("Name".to_owned()),
            ..field("FirstName", "string")
        };
        let with_parts = object(vec![
            part,
            first,
            field("BillingAddress", "address"),
            field("Name", "string"),
        ]);
        let stream = stream_of(&with_parts).unwrap();
        let names: Vec<_> = stream
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        assert_eq!(names, ["BillingCity", "FirstName", "Name", "_extra"]);
        assert!(fits_bulk(&with_parts, &["Name", "BillingCity"]));

        let alone = object(vec![field("Where__c", "location")]);
        assert!(!fits_bulk(&alone, &["Where__c"]));
        assert!(stream::is_json(stream_of(&alone).unwrap().schema.field(0)));
    }

    #[test]
    fn keys_follow_the_order_of_trust() {
        // covers: L6
        let key = |names: &[&str]| {
            let fields = names.iter().map(|name| field(name, "datetime")).collect();
            key_of(&object(fields)).map(ToOwned::to_owned)
        };
        assert_eq!(
            key(&["CreatedDate", "LastModifiedDate", "SystemModstamp"]).as_deref(),
            Some("SystemModstamp")
        );
        assert_eq!(
            key(&["CreatedDate", "LastModifiedDate"]).as_deref(),
            Some("LastModifiedDate")
        );
        assert_eq!(key(&["CreatedDate"]).as_deref(), Some("CreatedDate"));
        assert_eq!(key(&["Name"]), None);
        let mut unfilterable = field("SystemModstamp", "datetime");
        unfilterable.filterable = false;
        assert_eq!(key_of(&object(vec![unfilterable])), None);

        let durable = object(vec![field("Id", "id"), field("DurableId", "string")]);
        let stream = stream_of(&durable).unwrap();
        assert_eq!(stream.primary_key, ["DurableId"]);
        assert_eq!(stream.deletes, Deletes::NotReported);
        assert!(!stream.incremental && stream.exact_states);
        let none = stream_of(&object(vec![field("Label", "string")])).unwrap();
        assert!(none.primary_key.is_empty());
        let deleted = stream_of(&object(vec![
            field("Id", "id"),
            field(IS_DELETED, "boolean"),
        ]))
        .unwrap();
        assert_eq!(deleted.deletes, Deletes::Reported);
        let history = stream_of(&object(vec![
            field("Id", "id"),
            field(IS_DELETED, "boolean"),
            field(CREATED, "datetime"),
        ]))
        .unwrap();
        assert_eq!(history.deletes, Deletes::NotReported);
        assert!(history.schema.field_with_name(stream::DELETED).is_ok());
        let names: Vec<_> = deleted
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        assert_eq!(names, ["Id", "IsDeleted", "_deleted", "_extra"]);
    }

    #[test]
    fn what_is_no_identifier_never_gets_into_a_query() {
        // covers: I16
        for name in [
            "Name FROM User",
            "Name,Email",
            "Name)",
            "Owner.Name",
            "x'y",
            "Name--",
            "Näme",
            "",
        ] {
            let bad = field(name, "datetime");
            assert_eq!(map(&object(Vec::new()), &bad), Mapping::Hidden, "{name}");
            let mut named = object(vec![field("Id", "id"), bad]);
            let stream = stream_of(&named).unwrap();
            assert_eq!(stream.schema.field_with_name(name).ok(), None, "{name}");
            assert_eq!(stream.replication_key, None, "{name}");
            name.clone_into(&mut named.name);
            assert!(refusal(&named).is_some(), "{name}");
        }
    }

    #[test]
    fn refusals_have_reasons() {
        let mut event = object(Vec::new());
        event.name = "AccountChangeEvent".to_owned();
        assert!(refusal(&event).is_some());
        let mut closed = object(Vec::new());
        closed.queryable = false;
        assert!(refusal(&closed).is_some());
        assert_eq!(refusal(&object(Vec::new())), None);
    }
}
