//! How each column is encoded.
//!
//! A dictionary pays for columns with few values (picklists, statuses, references to few rows) and
//! costs time and bytes for the rest (ids, names, free text, instants, amounts): choosing per column is
//! a third faster than dictionaries everywhere, and smaller. The choice is made by type and, where the
//! type does not say, by the distinct values of the first batch.

use std::collections::HashSet;
use std::hash::Hash;

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Int64Type};
use arrow::record_batch::RecordBatch;
use overlock_core::{Error, Result, stream};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::settings::Settings;

/// Rows that are looked at; more would not change the choice.
const SAMPLE_ROWS: usize = 8192;

/// Rows of a data page. Pages of all columns are under construction at the same time, so this bounds memory.
const PAGE_ROWS: usize = 10_000;

/// A dictionary is used where a value comes at least this often on average.
const MIN_REPEATS: usize = 4;

/// Properties of a file whose first rows are `batch`.
pub(crate) fn properties(batch: &RecordBatch, settings: &Settings) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(settings.zstd_level)
        .map_err(|error| Error::bug("use this level of zstd").source(error))?;
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("overlock ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_size(settings.row_group_rows.max(1))
        // Minimum and maximum per column and row group are what readers skip by. Those per page cost a
        // fifth of the encoder's time and help none of our readers.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_enabled(false);
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let path = ColumnPath::from(field.name().as_str());
        if wants_dictionary(field, column.as_ref()) {
            builder = builder.set_column_dictionary_enabled(path.clone(), true);
        }
        if !wants_statistics(field, column.as_ref()) {
            builder = builder.set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    Ok(builder.build())
}

fn wants_dictionary(field: &Field, column: &dyn Array) -> bool {
    let column = column.slice(0, column.len().min(SAMPLE_ROWS));
    let filled = column.len() - column.null_count();
    match field.data_type() {
        DataType::Utf8 if stream::is_json(field) => false,
        DataType::Utf8 => repeats(column.as_string::<i32>().iter().flatten(), filled),
        DataType::Int64 => repeats(column.as_primitive::<Int64Type>().iter().flatten(), filled),
        DataType::Date32 => repeats(column.as_primitive::<Date32Type>().iter().flatten(), filled),
        // Parquet has no dictionaries for Boolean; amounts and instants are nearly unique.
        _ => false,
    }
}

/// Text and amounts are expensive to compare, and worth it only where they come in order: otherwise each
/// row group has values from one end of the range to the other, and nobody can skip any.
fn wants_statistics(field: &Field, column: &dyn Array) -> bool {
    let column = column.slice(0, column.len().min(SAMPLE_ROWS));
    match field.data_type() {
        // The smallest and largest JSON text tell nobody anything.
        DataType::Utf8 if stream::is_json(field) => false,
        DataType::Binary => false,
        DataType::Utf8 => column.as_string::<i32>().iter().flatten().is_sorted(),
        DataType::Decimal128(..) => column
            .as_primitive::<Decimal128Type>()
            .iter()
            .flatten()
            .is_sorted(),
        _ => true,
    }
}

fn repeats<T: Hash + Eq>(values: impl Iterator<Item = T>, filled: usize) -> bool {
    let most = filled / MIN_REPEATS;
    let mut seen = HashSet::new();
    for value in values {
        seen.insert(value);
        if seen.len() > most {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn few_values_get_a_dictionary_and_near_unique_columns_none() {
        let rows = 1000_i64;
        let text = |make: fn(i64) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..rows).map(make)))
        };
        let empty: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 1000]));
        let columns: Vec<(&str, DataType, ArrayRef, bool)> = vec![
            (
                "Id",
                DataType::Utf8,
                text(|row| format!("001{row:015}")),
                false,
            ),
            (
                "Description",
                DataType::Utf8,
                text(|row| format!("text {row} and more")),
                false,
            ),
            (
                "Stage",
                DataType::Utf8,
                text(|row| format!("stage {}", row % 7)),
                true,
            ),
            (
                "OwnerId",
                DataType::Utf8,
                text(|row| format!("005{:015}", row % 100)),
                true,
            ),
            ("Unused__c", DataType::Utf8, empty, true),
            (
                "Count",
                DataType::Int64,
                Arc::new(Int64Array::from_iter_values(0..rows)),
                false,
            ),
            (
                "Year",
                DataType::Int64,
                Arc::new(Int64Array::from_iter_values(
                    (0..rows).map(|row| 2000 + row % 20),
                )),
                true,
            ),
            (
                "IsWon",
                DataType::Boolean,
                Arc::new(
                    (0..rows)
                        .map(|row| Some(row % 2 == 0))
                        .collect::<BooleanArray>(),
                ),
                false,
            ),
            (
                "CreatedDate",
                stream::timestamp_type(),
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values((0..rows).map(|_| 5))
                        .with_timezone(stream::UTC),
                ),
                false,
            ),
        ];
        let mut fields: Vec<Field> = columns
            .iter()
            .map(|(name, data_type, ..)| Field::new(*name, data_type.clone(), true))
            .collect();
        fields.push(stream::json_field(stream::EXTRA));
        let mut arrays: Vec<ArrayRef> = columns.iter().map(|column| column.2.clone()).collect();
        arrays.push(Arc::new(StringArray::from(vec!["{}"; 1000])));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let properties = properties(&batch, &Settings::default()).unwrap();
        for (name, _, _, expected) in &columns {
            assert_eq!(
                properties.dictionary_enabled(&ColumnPath::from(*name)),
                *expected,
                "{name}"
            );
        }
        let extra = ColumnPath::from(stream::EXTRA);
        assert!(!properties.dictionary_enabled(&extra));
        assert_eq!(
            properties.statistics_enabled(&extra),
            EnabledStatistics::None
        );
        for (name, expected) in [
            ("Id", EnabledStatistics::Chunk),
            ("Stage", EnabledStatistics::None),
            ("OwnerId", EnabledStatistics::None),
            ("Year", EnabledStatistics::Chunk),
            ("CreatedDate", EnabledStatistics::Chunk),
        ] {
            let found = properties.statistics_enabled(&ColumnPath::from(name));
            assert_eq!(found, expected, "{name}");
        }
    }
}
