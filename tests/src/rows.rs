//! Rows of a local table as the oracle compares them: one canonical text per value.

use std::collections::BTreeMap;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use overlock_core::Timestamp;
use overlock_salesforce::emulator::canonical_number;

/// One row: canonical value by column, null as `None`. Values that live in `_extra` stand under their
/// own column's name, as the source spelled them.
pub type Row = BTreeMap<String, Option<String>>;

/// All rows of some batches.
pub fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(|row| read(batch, row)))
        .collect()
}

fn read(batch: &RecordBatch, row: usize) -> Row {
    let mut values = Row::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        values.insert(field.name().clone(), canonical(column.as_ref(), row));
    }
    let extra = values.get("_extra").cloned().flatten();
    if let Some(extra) = extra {
        let parsed: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&extra).unwrap_or_else(|error| panic!("_extra {extra}: {error}"));
        for (name, value) in parsed {
            let text = match value {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text),
                other => Some(other.to_string()),
            };
            if let Some(slot) = values.get_mut(&name)
                && slot.is_none()
            {
                *slot = text;
            }
        }
    }
    values
}

fn canonical(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => column
            .as_any()
            .downcast_ref::<StringArray>()?
            .value(row)
            .to_owned(),
        DataType::Boolean => column
            .as_any()
            .downcast_ref::<BooleanArray>()?
            .value(row)
            .to_string(),
        DataType::Int64 => column
            .as_any()
            .downcast_ref::<Int64Array>()?
            .value(row)
            .to_string(),
        DataType::Float64 => {
            let value = column.as_any().downcast_ref::<Float64Array>()?.value(row);
            canonical_number(&format!("{value:e}"))
        }
        DataType::Decimal128(_, _) => {
            let array = column.as_any().downcast_ref::<Decimal128Array>()?;
            canonical_number(&array.value_as_string(row))
        }
        DataType::Date32 => {
            let array = column.as_any().downcast_ref::<Date32Array>()?;
            array.value_as_date(row)?.to_string()
        }
        DataType::Timestamp(_, _) => {
            let array = column
                .as_any()
                .downcast_ref::<TimestampMicrosecondArray>()?;
            Timestamp::from_micros(array.value(row))?.to_string()
        }
        DataType::Dictionary(_, _) => {
            let values = column.as_any_dictionary_opt()?;
            let index = values.normalized_keys()[row];
            return canonical(values.values().as_ref(), index);
        }
        other => panic!("a column of type {other} in a package"),
    })
}
