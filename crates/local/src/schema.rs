//! One schema for a table whose commits may each have another.
//!
//! The first commit's columns come first; a later commit may add columns and widen decimals. Any other
//! change of type leaves the column as it was: the values of the other type are found in `_extra`, so
//! that a query written yesterday still means the same today.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use overlock_core::stream::{self, COMMIT_ID, DELETED, EXTRA, SYNCED_AT};

/// Most digits of a decimal.
const MAX_DIGITS: u8 = 38;

/// How values of one commit's column reach the table's column of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// As they are.
    Same,
    /// Converted without loss; what does not fit goes to `_extra`.
    Widened,
    /// Not at all: they go to `_extra`.
    Misfit,
}

pub(crate) fn fit(from: &Field, to: &Field) -> Fit {
    match (from.data_type(), to.data_type()) {
        (DataType::Decimal128(..), DataType::Decimal128(..))
            if from.data_type() != to.data_type() =>
        {
            Fit::Widened
        }
        // Any JSON is text, but not any text is JSON.
        (from_type, to_type)
            if from_type == to_type && (!stream::is_json(to) || stream::is_json(from)) =>
        {
            Fit::Same
        }
        _ => Fit::Misfit,
    }
}

/// The schema that holds the rows of all these.
pub(crate) fn unify<'a>(schemas: impl IntoIterator<Item = &'a SchemaRef>) -> SchemaRef {
    let mut columns: Vec<Field> = Vec::new();
    let mut misfits = false;
    for schema in schemas {
        for field in schema.fields() {
            match columns
                .iter_mut()
                .find(|column| column.name() == field.name())
            {
                None => columns.push(field.as_ref().clone().with_nullable(true)),
                Some(column) => match fit(field, column) {
                    Fit::Same => {}
                    Fit::Widened => {
                        let wider = wider(column.data_type(), field.data_type());
                        column.set_data_type(wider);
                    }
                    Fit::Misfit => misfits = true,
                },
            }
        }
    }
    if misfits && !columns.iter().any(|column| column.name() == EXTRA) {
        columns.push(stream::json_field(EXTRA));
    }
    // The reserved columns stay last, wherever later columns were added.
    columns.sort_by_key(|column| match column.name().as_str() {
        DELETED => 1,
        EXTRA => 2,
        _ => 0,
    });
    Arc::new(Schema::new(columns))
}

/// Decimals keep the larger scale and, up to the limit, all digits before the point.
fn wider(one: &DataType, other: &DataType) -> DataType {
    let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (one, other) else {
        return one.clone();
    };
    let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
    let scale = *s1.max(s2);
    let digits = whole(*p1, *s1).max(whole(*p2, *s2)) + i16::from(scale);
    let precision = u8::try_from(digits)
        .unwrap_or(MAX_DIGITS)
        .clamp(1, MAX_DIGITS);
    DataType::Decimal128(precision, scale)
}

/// The schema with the columns that this destination adds.
pub(crate) fn with_origin(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    fields.push(Field::new(SYNCED_AT, stream::timestamp_type(), false));
    fields.push(Field::new(COMMIT_ID, DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

/// What differs between a table and a stream, one phrase each; empty if nothing does.
pub(crate) fn changes(table: &Schema, stream: &Schema) -> Vec<String> {
    let mut changes = Vec::new();
    for field in stream.fields() {
        match table.field_with_name(field.name()) {
            Err(_) => changes.push(format!("column `{}` is new", field.name())),
            Ok(column) if fit(field, column) != Fit::Same => changes.push(format!(
                "column `{}` changed from {} to {}",
                field.name(),
                column.data_type(),
                field.data_type()
            )),
            Ok(_) => {}
        }
    }
    for column in table.fields() {
        if stream.field_with_name(column.name()).is_err() {
            changes.push(format!("column `{}` is gone", column.name()));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        let fields = columns
            .iter()
            .map(|(name, kind)| Field::new(*name, kind.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    #[test]
    fn columns_are_added_decimals_widened_and_other_changes_left_out() {
        use DataType::{Boolean, Decimal128, Int64, Utf8};
        let first = schema(&[
            ("id", Int64),
            ("price", Decimal128(10, 2)),
            (DELETED, Boolean),
        ]);
        let second = schema(&[("id", Int64), ("price", Decimal128(12, 4)), ("name", Utf8)]);
        let third = schema(&[("id", Utf8), ("price", Decimal128(38, 6)), ("name", Utf8)]);
        let unified = unify([&first, &second, &third]);
        let expected = schema(&[
            ("id", Int64),
            ("price", Decimal128(38, 6)),
            ("name", Utf8),
            (DELETED, Boolean),
            (EXTRA, Utf8),
        ]);
        let kinds = |schema: &SchemaRef| -> Vec<(String, DataType)> {
            let fields = schema.fields().iter();
            fields
                .map(|field| (field.name().clone(), field.data_type().clone()))
                .collect()
        };
        assert_eq!(kinds(&unified), kinds(&expected));
        let two = unify([&first, &second]);
        assert_eq!(
            *two.field_with_name("price").unwrap().data_type(),
            Decimal128(12, 4)
        );
        assert!(two.field_with_name(EXTRA).is_err());
    }

    #[test]
    fn names_that_differ_in_case_only_are_two_columns() {
        // covers: I14
        let one = schema(&[("Name", DataType::Utf8)]);
        let other = schema(&[
            ("NAME", DataType::Utf8),
            ("\"; DROP TABLE x; --", DataType::Utf8),
        ]);
        assert_eq!(unify([&one, &other]).fields().len(), 3);
    }
}
