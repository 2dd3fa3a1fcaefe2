//! Rows to Arrow from outside: hostile input, round trips with random chunks, corpora of the fuzz targets.

#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "small inputs, written the plain way"
)]

mod corpus;
mod csv;
mod json;
mod round_trip;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, Schema, SchemaRef,
    TimestampMicrosecondType,
};
use overlock_core::Result;
use overlock_core::stream::{DELETED, EXTRA, is_json, json_field, timestamp_type};
use overlock_kit::rows::{Counts, CsvDecoder, JsonDecoder, Options};
use serde_json::value::RawValue;

/// A value as it is in a batch.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Text(String),
    Int(i64),
    Decimal(i128),
    Float(f64),
    Bool(bool),
    Date(i32),
    Timestamp(i64),
    Bytes(Vec<u8>),
}

/// A column of every type there is.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("int", DataType::Int64, true),
        Field::new("decimal", DataType::Decimal128(38, 6), true),
        Field::new("float", DataType::Float64, true),
        Field::new("bool", DataType::Boolean, true),
        Field::new("date", DataType::Date32, true),
        Field::new("timestamp", timestamp_type(), true),
        json_field("json"),
        Field::new("binary", DataType::Binary, true),
        Field::new(DELETED, DataType::Boolean, true),
        json_field(EXTRA),
    ]))
}

/// Columns of [`schema`] that come from the source.
const NAMES: [&str; 9] = [
    "text",
    "int",
    "decimal",
    "float",
    "bool",
    "date",
    "timestamp",
    "json",
    "binary",
];

fn options() -> Options {
    Options {
        deleted_from: Some("bool".to_owned()),
        ..Options::default()
    }
}

/// All values of all rows, by column, as decoded.
struct Table {
    columns: BTreeMap<String, Vec<Cell>>,
    counts: Counts,
    batches: Vec<RecordBatch>,
}

impl Table {
    fn new(batches: Vec<RecordBatch>, counts: Counts) -> Self {
        let mut columns: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
        for batch in &batches {
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let cells = columns.entry(field.name().clone()).or_default();
                for row in 0..batch.num_rows() {
                    cells.push(if column.is_null(row) {
                        Cell::Null
                    } else {
                        match field.data_type() {
                            DataType::Utf8 => {
                                let text = column.as_string::<i32>().value(row).to_owned();
                                if is_json(field) {
                                    let _: Box<RawValue> = serde_json::from_str(&text).unwrap();
                                    assert!(
                                        !text.contains("\\u0000") || text.contains("\\\\u0000")
                                    );
                                }
                                Cell::Text(text)
                            }
                            DataType::Int64 => {
                                Cell::Int(column.as_primitive::<Int64Type>().value(row))
                            }
                            DataType::Decimal128(..) => {
                                Cell::Decimal(column.as_primitive::<Decimal128Type>().value(row))
                            }
                            DataType::Float64 => {
                                Cell::Float(column.as_primitive::<Float64Type>().value(row))
                            }
                            DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
                            DataType::Date32 => {
                                Cell::Date(column.as_primitive::<Date32Type>().value(row))
                            }
                            DataType::Timestamp(..) => Cell::Timestamp(
                                column.as_primitive::<TimestampMicrosecondType>().value(row),
                            ),
                            DataType::Binary => {
                                Cell::Bytes(column.as_binary::<i32>().value(row).to_vec())
                            }
                            other => panic!("{other}"),
                        }
                    });
                }
            }
        }
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(counts.rows, rows as u64);
        let table = Self {
            columns,
            counts,
            batches,
        };
        let kept: usize = (0..rows).map(|row| table.extra(row).len()).sum();
        if counts.oversize_values == 0 {
            assert_eq!(
                counts.extra_values, kept as u64,
                "every value in `_extra` is counted"
            );
        }
        table
    }

    fn cell(&self, name: &str, row: usize) -> &Cell {
        &self.columns[name][row]
    }

    fn text(&self, name: &str, row: usize) -> &str {
        match self.cell(name, row) {
            Cell::Text(text) => text,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// What is in `_extra`, as raw JSON by key.
    fn extra(&self, row: usize) -> BTreeMap<String, String> {
        match self.columns.get(EXTRA).map(|cells| &cells[row]) {
            Some(Cell::Text(text)) => {
                let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
                object
                    .into_iter()
                    .map(|(key, raw)| (key, raw.get().to_owned()))
                    .collect()
            }
            _ => BTreeMap::new(),
        }
    }
}

/// Decodes a CSV page in chunks of these sizes, over and over.
fn decode_csv(text: &[u8], sizes: &[usize], options: Options) -> Result<Table> {
    decode_csv_as(schema(), text, sizes, options)
}

fn decode_csv_as(
    schema: SchemaRef,
    text: &[u8],
    sizes: &[usize],
    options: Options,
) -> Result<Table> {
    let mut decoder = CsvDecoder::new(schema, options)?;
    let mut batches = Vec::new();
    let mut rest = text;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, tail) = rest.split_at((*size).min(rest.len()));
        decoder.feed(chunk, &mut batches)?;
        rest = tail;
    }
    let counts = decoder.finish(&mut batches)?;
    Ok(Table::new(batches, counts))
}

fn decode_json(page: impl AsRef<[u8]>, options: Options) -> Result<Table> {
    decode_json_as(schema(), page, options)
}

fn decode_json_as(schema: SchemaRef, page: impl AsRef<[u8]>, options: Options) -> Result<Table> {
    let mut decoder = JsonDecoder::new(schema, options)?;
    let mut batches = Vec::new();
    let counts = decoder.page(page.as_ref(), &mut batches)?;
    Ok(Table::new(batches, counts))
}

/// One row with one value in this column, as CSV and as JSON (where `json` is the raw value).
fn one_csv(name: &str, value: &str) -> Table {
    let text = format!("\"{name}\"\n\"{}\"\n", value.replace('"', "\"\""));
    decode_csv(text.as_bytes(), &[7], options()).unwrap()
}

fn one_json(name: &str, raw: &str) -> Table {
    decode_json(format!("[{{\"{name}\":{raw}}}]"), options()).unwrap()
}
