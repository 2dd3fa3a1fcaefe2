//! Single values as text and as JSON: exact, and safe to show.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use overlock_core::{Error, ErrorKind, Result, Timestamp, stream};

/// A value as text, exactly; `None`: null.
///
/// # Errors
/// `Data` if the column has a type that cannot be shown.
pub(super) fn text(column: &dyn Array, row: usize) -> Result<Option<String>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let text = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Binary => hex(column.as_binary::<i32>().value(row)),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(_)) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp::from_micros(micros)
                .map_or_else(|| micros.to_string(), |time| time.to_string())
        }
        DataType::Date32 => column
            .as_primitive::<Date32Type>()
            .value_as_date(row)
            .map(|date| date.to_string())
            .unwrap_or_default(),
        _ => {
            let fail = |error| Error::new(ErrorKind::Data, "show a value").source(error);
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column, &options).map_err(fail)?;
            formatter.value(row).try_to_string().map_err(fail)?
        }
    };
    Ok(Some(text))
}

/// Appends a value as JSON. Numbers keep all their digits; text that holds JSON is put in as it is.
///
/// # Errors
/// As [`text`].
pub(super) fn json(column: &dyn Array, field: &Field, row: usize, into: &mut String) -> Result<()> {
    let Some(text) = text(column, row)? else {
        into.push_str("null");
        return Ok(());
    };
    let is_bare = match column.data_type() {
        DataType::Boolean => true,
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).is_finite(),
        kind if kind.is_integer() || kind.is_decimal() => true,
        DataType::Utf8 if stream::is_json(field) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok()
        }
        _ => false,
    };
    if is_bare {
        into.push_str(&text);
    } else {
        push_string(&text, into);
    }
    Ok(())
}

/// Appends text as a JSON string.
pub(super) fn push_string(text: &str, into: &mut String) {
    into.push('"');
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                write!(into, "\\u{:04x}", u32::from(c)).ok();
            }
            c => into.push(c),
        }
    }
    into.push('"');
}

/// Appends text as a CSV field; an empty text is quoted, so that it differs from null.
pub(super) fn push_csv(text: Option<&str>, into: &mut String) {
    let Some(text) = text else { return };
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        into.push('"');
        into.push_str(&text.replace('"', "\"\""));
        into.push('"');
    } else {
        into.push_str(text);
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// A short name of a column type.
pub(super) fn type_name(field: &Field) -> String {
    match field.data_type() {
        DataType::Utf8 if stream::is_json(field) => "json".to_owned(),
        DataType::Utf8 => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "integer".to_owned(),
        DataType::Float64 => "float".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Binary => "binary".to_owned(),
        other => other.to_string(),
    }
}

/// Whether values look best right-aligned.
pub(super) fn is_number(kind: &DataType) -> bool {
    kind.is_numeric()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
        Int64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn every_type_keeps_its_exact_value() {
        // covers: I1, I3, I5
        let decimal = Decimal128Array::from(vec![1_234_567_890_123_456_789_012])
            .with_precision_and_scale(38, 4)
            .unwrap();
        let stamp = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("+00:00");
        let cases: Vec<(ArrayRef, Field, &str, &str)> = vec![
            (
                Arc::new(Int64Array::from(vec![i64::MIN])),
                Field::new("a", DataType::Int64, true),
                "-9223372036854775808",
                "-9223372036854775808",
            ),
            (
                Arc::new(decimal),
                Field::new("a", DataType::Decimal128(38, 4), true),
                "123456789012345678.9012",
                "123456789012345678.9012",
            ),
            (
                Arc::new(BooleanArray::from(vec![true])),
                Field::new("a", DataType::Boolean, true),
                "true",
                "true",
            ),
            (
                Arc::new(Float64Array::from(vec![f64::NAN])),
                Field::new("a", DataType::Float64, true),
                "NaN",
                "\"NaN\"",
            ),
            (
                Arc::new(stamp),
                Field::new("a", stream::timestamp_type(), true),
                "1970-01-01T00:00:01.500Z",
                "\"1970-01-01T00:00:01.500Z\"",
            ),
            (
                Arc::new(Date32Array::from(vec![0])),
                Field::new("a", DataType::Date32, true),
                "1970-01-01",
                "\"1970-01-01\"",
            ),
            (
                Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"])),
                Field::new("a", DataType::Binary, true),
                "00ff",
                "\"00ff\"",
            ),
            (
                Arc::new(StringArray::from(vec!["a\"\u{1b}\n"])),
                Field::new("a", DataType::Utf8, true),
                "a\"\u{1b}\n",
                "\"a\\\"\\u001b\\n\"",
            ),
            (
                Arc::new(StringArray::from(vec!["{\"k\":1.50}"])),
                stream::json_field("a"),
                "{\"k\":1.50}",
                "{\"k\":1.50}",
            ),
            (
                Arc::new(StringArray::from(vec!["{oops"])),
                stream::json_field("a"),
                "{oops",
                "\"{oops\"",
            ),
        ];
        for (column, field, plain, as_json) in cases {
            assert_eq!(text(&column, 0).unwrap().as_deref(), Some(plain));
            let mut got = String::new();
            json(&column, &field, 0, &mut got).unwrap();
            assert_eq!(got, as_json);
        }
    }

    #[test]
    fn csv_tells_null_from_empty() {
        let mut line = String::new();
        for field in [None, Some(""), Some("a,\"b\"\n"), Some("plain")] {
            push_csv(field, &mut line);
            line.push(';');
        }
        assert_eq!(line, ";\"\";\"a,\"\"b\"\"\n\";plain;");
    }
}
