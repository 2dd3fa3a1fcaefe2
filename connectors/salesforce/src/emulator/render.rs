//! Rows as the service writes them: JSON records of REST, all-quoted CSV of the Bulk APIs.
//!
//! Numbers are copied as text from the world to the wire; nothing here ever turns one into a float.

use chrono::SecondsFormat;
use overlock_core::Timestamp;

use super::answer::push_quoted;
use super::evaluate::{Column, Reader};
use super::model::{Field, FieldKind, Row, Value};

/// `2024-01-31T09:30:00.000+0000`, as REST writes instants.
pub(super) fn rest_instant(time: Timestamp) -> String {
    time.to_chrono()
        .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
        .to_string()
}

/// `2024-01-31T09:30:00.000Z`, as CSV and Bulk 1.0 write instants.
pub(super) fn bulk_instant(time: Timestamp) -> String {
    time.to_chrono()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// How JSON records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// REST: instants as text.
    Rest,
    /// Bulk 1.0: instants as milliseconds since the epoch.
    Bulk1,
}

/// Writes JSON records.
#[derive(Clone, Copy)]
pub(super) struct JsonWriter<'a> {
    pub(super) reader: Reader<'a>,
    /// Such as `v62.0`.
    pub(super) version: &'a str,
    pub(super) dialect: Dialect,
}

impl JsonWriter<'_> {
    /// Appends `{"attributes":…, …}`.
    pub(super) fn record(&self, out: &mut String, object: &str, columns: &[Column], row: &Row) {
        self.open(out, object, row);
        let mut nested: Vec<&str> = Vec::new();
        for column in columns {
            match column {
                Column::Own(field) => {
                    out.push(',');
                    push_quoted(out, &field.name);
                    out.push(':');
                    self.own(out, object, row, field);
                }
                Column::Parent {
                    relationship,
                    reference,
                    ..
                } => {
                    // All columns of one relationship stand together in one object.
                    if nested.contains(&relationship.as_str()) {
                        continue;
                    }
                    nested.push(relationship);
                    out.push(',');
                    push_quoted(out, relationship);
                    out.push(':');
                    let Some((parent_object, parent)) = self.reader.parent(row, reference) else {
                        out.push_str("null");
                        continue;
                    };
                    self.open(out, &parent_object, &parent);
                    for column in columns {
                        if let Column::Parent {
                            relationship: other,
                            name,
                            ..
                        } = column
                            && other == relationship
                        {
                            let value = self.reader.world.value_by_name(
                                &parent_object,
                                &parent,
                                name,
                                self.reader.at,
                            );
                            out.push(',');
                            push_quoted(out, name);
                            out.push(':');
                            self.value(out, &value);
                        }
                    }
                    out.push('}');
                }
            }
        }
        out.push('}');
    }

    fn open(&self, out: &mut String, object: &str, row: &Row) {
        let id = self
            .reader
            .world
            .value_by_name(object, row, "Id", self.reader.at);
        let id = id.as_text().unwrap_or(&row.id);
        let url = format!("/services/data/{}/sobjects/{object}/{id}", self.version);
        out.push_str("{\"attributes\":{\"type\":");
        push_quoted(out, object);
        out.push_str(",\"url\":");
        push_quoted(out, &url);
        out.push('}');
    }

    fn own(&self, out: &mut String, object: &str, row: &Row, field: &Field) {
        if field.kind.is_compound() {
            self.compound(out, object, row, field);
            return;
        }
        let value = self.reader.world.value(row, field, self.reader.at);
        match (field.kind, &value) {
            (FieldKind::Base64, value) if !value.is_null() => {
                let version = self.version;
                let path = format!(
                    "/services/data/{version}/sobjects/{object}/{}/{}",
                    row.id, field.name
                );
                push_quoted(out, &path);
            }
            // Structured values are kept as JSON text.
            (FieldKind::Complex, Value::Text(json))
                if serde_json::from_str::<&serde_json::value::RawValue>(json).is_ok() =>
            {
                out.push_str(json);
            }
            (_, value) => self.value(out, value),
        }
    }

    fn compound(&self, out: &mut String, object: &str, row: &Row, compound: &Field) {
        let Some(object) = self.reader.world.object_at(object, self.reader.at) else {
            out.push_str("null");
            return;
        };
        let mut parts = String::new();
        let mut any = false;
        for (key, field) in object.components(compound) {
            let value = self.reader.world.value(row, field, self.reader.at);
            any |= !value.is_null();
            if !parts.is_empty() {
                parts.push(',');
            }
            push_quoted(&mut parts, key);
            parts.push(':');
            self.value(&mut parts, &value);
        }
        if any {
            out.push('{');
            out.push_str(&parts);
            out.push('}');
        } else {
            out.push_str("null");
        }
    }

    fn value(&self, out: &mut String, value: &Value) {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => out.push_str(&value.to_string()),
            Value::Number(text) => out.push_str(text),
            Value::Text(text) | Value::Date(text) | Value::Time(text) => push_quoted(out, text),
            Value::DateTime(time) => match self.dialect {
                Dialect::Rest => push_quoted(out, &rest_instant(*time)),
                Dialect::Bulk1 => out.push_str(&(time.micros() / 1_000).to_string()),
            },
        }
    }
}

/// How CSV is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CsvStyle {
    pub(super) delimiter: char,
    pub(super) crlf: bool,
    pub(super) double_integers: bool,
}

impl CsvStyle {
    pub(super) fn end(self, out: &mut String) {
        out.push_str(if self.crlf { "\r\n" } else { "\n" });
    }

    /// Appends the header row.
    pub(super) fn header(self, out: &mut String, columns: &[Column]) {
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                out.push(self.delimiter);
            }
            push_csv(out, &column.name());
        }
        self.end(out);
    }

    /// Appends one row.
    pub(super) fn row(self, out: &mut String, reader: Reader<'_>, columns: &[Column], row: &Row) {
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                out.push(self.delimiter);
            }
            self.value(out, &reader.value(row, column));
        }
        self.end(out);
    }

    pub(super) fn value(self, out: &mut String, value: &Value) {
        match value {
            Value::Text(text) => push_csv(out, text),
            other => {
                out.push('"');
                match other {
                    Value::Null | Value::Text(_) => {}
                    Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
                    Value::Int(value) => push_integer(out, *value, self.double_integers),
                    Value::Number(text) | Value::Date(text) | Value::Time(text) => {
                        out.push_str(text);
                    }
                    Value::DateTime(time) => out.push_str(&bulk_instant(*time)),
                }
                out.push('"');
            }
        }
    }
}

/// Whole numbers of ten million and more come with an exponent, as doubles print in the service's
/// language; smaller ones may come with a point.
fn push_integer(out: &mut String, value: i64, double: bool) {
    let digits = value.unsigned_abs().to_string();
    if (8..=10).contains(&digits.len()) {
        let sign = if value < 0 { "-" } else { "" };
        let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let rest = rest.trim_end_matches('0');
        let rest = if rest.is_empty() { "0" } else { rest };
        out.extend([format!("{sign}{first}.{rest}E{}", digits.len() - 1)]);
    } else if double && digits.len() < 8 {
        out.extend([format!("{value}.0")]);
    } else {
        out.push_str(&value.to_string());
    }
}

fn push_csv(out: &mut String, text: &str) {
    out.push('"');
    if text.contains('"') {
        out.push_str(&text.replace('"', "\"\""));
    } else {
        out.push_str(text);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_spelled_as_each_api_does() {
        let time = Timestamp::parse("2024-01-31T09:30:00Z").unwrap();
        assert_eq!(rest_instant(time), "2024-01-31T09:30:00.000+0000");
        assert_eq!(bulk_instant(time), "2024-01-31T09:30:00.000Z");
    }

    #[test]
    fn integers_print_like_doubles_when_they_are_large() {
        for (value, double, expected) in [
            (0, false, "0"),
            (3, true, "3.0"),
            (9_999_999, false, "9999999"),
            (10_000_000, false, "1.0E7"),
            (12_345_678, false, "1.2345678E7"),
            (-20_500_000, false, "-2.05E7"),
            (9_007_199_254_740_993, false, "9007199254740993"),
        ] {
            let mut out = String::new();
            push_integer(&mut out, value, double);
            assert_eq!(out, expected);
            assert_eq!(
                super::super::model::canonical_number(&out),
                value.to_string(),
                "{out}"
            );
        }
    }

    #[test]
    fn every_csv_value_is_quoted_and_quotes_are_doubled() {
        let style = CsvStyle {
            delimiter: ',',
            crlf: false,
            double_integers: false,
        };
        let mut out = String::new();
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::text("a \"b\",\r\n\u{0}c"),
            Value::Number("1.5E7".into()),
        ] {
            style.value(&mut out, &value);
            out.push('|');
        }
        assert_eq!(out, "\"\"|\"true\"|\"a \"\"b\"\",\r\n\u{0}c\"|\"1.5E7\"|");
    }
}
