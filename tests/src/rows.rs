//! Rows of a local table as the oracle compares them: one canonical text per value.

use std::collections::BTreeMap;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use overlock_core::Timestamp;
use overlock_salesforce::emulator::canonical_number;
use overlock_snowflake::stand_in::StandIn;

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
    with_extra(values)
}

/// Values that live in `_extra` stand under their own column's name.
fn with_extra(mut values: Row) -> Row {
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

/// All rows of a table of the Snowflake stand-in, as Snowflake's own connector reads them; none if it does not
/// exist yet. Columns stand under the names that the source has for them.
pub fn loaded(database: &str, schema: &str, stream: &str) -> Vec<Row> {
    let name = schema;
    let stand_in = StandIn::shared();
    let schema = format!("\"{database}\".\"{schema}\"");
    let table = stream.to_uppercase();
    let mapping = stand_in.ask(&format!(
        "SELECT HEAD FROM {schema}.\"_OVERLOCK_HEADS\" WHERE TABLE_NAME = '{table}'"
    ));
    let mapping = match mapping {
        Err(error) if error.contains("002003") => return Vec::new(),
        mapping => mapping.unwrap(),
    };
    let Some(mapping) = mapping.first().and_then(|row| row[0].clone()) else {
        return Vec::new();
    };
    let head: serde_json::Value = serde_json::from_str(&mapping).unwrap();
    let mapping: Vec<BTreeMap<String, String>> =
        serde_json::from_value(head["mapping"].clone()).unwrap();
    let kinds = stand_in.ask(&format!(
        "SELECT COLUMN_NAME, DATA_TYPE FROM \"{database}\".INFORMATION_SCHEMA.COLUMNS \
         WHERE TABLE_SCHEMA = '{name}' AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
    ));
    let kinds = kinds.unwrap();
    let columns: Vec<(String, String)> = kinds
        .into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap()))
        .collect();
    // Timestamps that are NULL come as 1970 unless they are cast (interop.md).
    let list: Vec<String> = columns
        .iter()
        .map(|(name, _)| format!("\"{name}\"::VARCHAR"))
        .collect();
    let sql = format!("SELECT {} FROM {schema}.\"{table}\"", list.join(", "));
    let rows = stand_in.ask(&sql).unwrap();
    let read = |row: Vec<Option<String>>| {
        let mut values = Row::new();
        for ((name, kind), cell) in columns.iter().zip(row) {
            let value = cell.map(|text| canonical_text(kind, &text));
            let mapped = mapping.iter().find(|mapped| mapped["column"] == *name);
            let name = mapped.map_or(name, |mapped| &mapped["name"]);
            // Of two columns for one name, the one that has the value counts.
            let slot = values.entry(name.clone()).or_default();
            *slot = value.or(slot.take());
        }
        with_extra(values)
    };
    rows.into_iter().map(read).collect()
}

/// Ids of the commits of a table of the stand-in, oldest first. Each must build on the one before.
pub fn logged(database: &str, schema: &str, stream: &str) -> Vec<String> {
    let sql = format!(
        "SELECT ID, PARENT FROM \"{database}\".\"{schema}\".\"_OVERLOCK_COMMITS\" WHERE STREAM = '{stream}'"
    );
    let mut left = match StandIn::shared().ask(&sql) {
        Err(error) if error.contains("002003") => return Vec::new(),
        rows => rows.unwrap(),
    };
    let mut ids = Vec::new();
    let mut parent = None;
    while let Some(next) = left.iter().position(|row| row[1] == parent) {
        parent.clone_from(&left.swap_remove(next)[0]);
        ids.extend(parent.clone());
    }
    assert!(
        left.is_empty(),
        "{stream}: commits that build on none: {left:?}"
    );
    ids
}

fn canonical_text(kind: &str, text: &str) -> String {
    match kind {
        "NUMBER" | "FLOAT" => canonical_number(text),
        "BOOLEAN" => text.to_lowercase(),
        "TIMESTAMP_TZ" => {
            let text = text
                .trim_end_matches("+00")
                .trim_end_matches(" +0000")
                .trim_end_matches(" Z");
            let instant = format!("{}Z", text.replace(' ', "T"));
            let instant = Timestamp::parse(&instant);
            instant
                .unwrap_or_else(|error| panic!("{text}: {error}"))
                .to_string()
        }
        _ => text.to_owned(),
    }
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
