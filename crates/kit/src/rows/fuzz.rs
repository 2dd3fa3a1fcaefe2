//! Entry points of the fuzz targets `csv_rows`, `json_rows`, `timestamps` and `decimals`: what must hold for any
//! bytes. They also run over the corpora as plain tests.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use overlock_core::stream::{DELETED, EXTRA, json_field, timestamp_type};

use super::{Counts, CsvDecoder, JsonDecoder, Options, date, decimal, float, integer, timestamp};

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

fn options() -> Options {
    Options {
        batch_rows: 3,
        max_value_bytes: 1000,
        max_row_bytes: 4000,
        max_header_bytes: 500,
        deleted_from: Some("bool".to_owned()),
        ..Options::default()
    }
}

fn csv(page: &[u8], chunk: usize) -> Option<(Vec<RecordBatch>, Counts)> {
    let mut decoder = CsvDecoder::new(schema(), options()).ok()?;
    let mut batches = Vec::new();
    for piece in page.chunks(chunk) {
        decoder.feed(piece, &mut batches).ok()?;
    }
    let counts = decoder.finish(&mut batches).ok()?;
    Some((batches, counts))
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// Any bytes are a page or an error, the same one however they are cut.
pub fn csv_rows(page: &[u8]) {
    let whole = csv(page, usize::MAX);
    for chunk in [1, 7, 100] {
        assert!(whole == csv(page, chunk), "chunks of {chunk} bytes matter");
    }
    if let Some((batches, counts)) = whole {
        assert!(rows(&batches) == counts.rows);
    }
}

/// Any bytes are a page or an error; whoever else reads the page as JSON sees as many records.
pub fn json_rows(page: &[u8]) {
    let Ok(mut decoder) = JsonDecoder::new(schema(), options()) else {
        return;
    };
    let mut batches = Vec::new();
    let ours = decoder.page(page, &mut batches);
    let theirs: Result<Vec<serde_json::Map<String, serde_json::Value>>, _> =
        serde_json::from_slice(page);
    match (ours, theirs) {
        (Ok(counts), Ok(theirs)) => {
            assert!(rows(&batches) == counts.rows);
            assert!(counts.rows == theirs.len() as u64);
        }
        // serde_json's own values know neither lone surrogates nor 1e400 nor deep nesting.
        (Ok(counts), Err(_)) => assert!(rows(&batches) == counts.rows),
        // The record may be longer than allowed here.
        (Err(_), _) => assert!(batches.is_empty()),
    }
}

/// A date or an instant that is read is the one that chrono reads.
pub fn timestamps(text: &[u8]) {
    if let Some(micros) = timestamp(text, true) {
        let again = chrono::DateTime::from_timestamp_micros(micros)
            .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
        let again = again.and_then(|text| timestamp(text.as_bytes(), false));
        assert!(again == Some(micros));
    }
    if let Ok(text) = std::str::from_utf8(text)
        && let (Ok(theirs), Some(ours)) = (
            chrono::DateTime::parse_from_rfc3339(text),
            timestamp(text.as_bytes(), false),
        )
    {
        assert!(theirs.timestamp_micros() == ours);
    }
    if let Some(day) = date(text) {
        let theirs = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<chrono::NaiveDate>().ok());
        assert!(theirs.map(|date| date.to_epoch_days()) == Some(day));
    }
}

/// A number that is read is the same under every scale that holds it, and as an integer.
pub fn decimals(text: &[u8]) {
    let mut known: Option<(i128, i8)> = None;
    for scale in 0..=38 {
        let Some(value) = decimal(text, 38, scale) else {
            continue;
        };
        if let Some((before, at)) = known {
            let factor = 10_i128.pow(u32::try_from(scale - at).unwrap_or(0));
            assert!(before.checked_mul(factor) == Some(value));
        }
        known = Some((value, scale));
    }
    if let Some(value) = integer(text) {
        assert!(decimal(text, 38, 0) == Some(i128::from(value)));
    }
    if let Some(value) = float(text) {
        assert!(value.is_finite());
        assert!(std::str::from_utf8(text).is_ok_and(|text| text.parse() == Ok(value)));
    }
}
