//! Result files: rows as text, in the dialect of the service, plain, as gzip or as zip.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use overlock_core::Timestamp;

use super::evaluate::{Found, value};
use super::model::{Kind, Row, Value};
use super::options::Behaviour;
use super::pacific;
use super::plan::{Column, Plan, Source, View};

/// How files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Gzip,
    Zip,
}

impl Format {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "gzip" => Some(Self::Gzip),
            "zip" => Some(Self::Zip),
            _ => None,
        }
    }

    /// As answers echo it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Gzip => "GZIP",
            Self::Zip => "ZIP",
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv;charset=UTF-8",
            Self::Gzip => "application/x-gzip;charset=UTF-8",
            Self::Zip => "application/zip;charset=UTF-8",
        }
    }
}

/// The column that says which rows are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deleted {
    pub(super) column: String,
    /// `1` and `0` instead of `true` and `false`.
    pub(super) numeric: bool,
}

impl Deleted {
    /// `Boolean` or `Numeric`.
    pub(super) fn format(&self) -> &'static str {
        if self.numeric { "Numeric" } else { "Boolean" }
    }
}

/// How values are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Style {
    /// API names in the header instead of display names.
    pub(super) labels: bool,
    /// Datetimes in UTC.
    pub(super) utc: bool,
    /// What stands for null.
    pub(super) null: Option<String>,
    pub(super) deleted: Option<Deleted>,
}

/// What a query found, as text.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// One text, or one per segment.
    pub(super) texts: Vec<String>,
    pub(super) rows: u64,
}

/// Writes what a query found.
pub(super) fn write(
    plan: &Plan,
    found: &Found<'_>,
    view: View<'_>,
    style: &Style,
    behaviour: &Behaviour,
) -> Written {
    let columns = arranged(&plan.columns, behaviour.shuffled_columns);
    let head = header(&plan.object, &columns, style, behaviour);
    let rows = match found {
        Found::Rows(rows) => rows,
        Found::Computed(values) => {
            let mut text = head;
            let mut first = true;
            for column in &columns {
                let place = match column.source {
                    Source::Computed(place) => place,
                    _ => 0,
                };
                separate(&mut text, &mut first);
                cell(
                    &mut text,
                    values.get(place).unwrap_or(&Value::Null),
                    style,
                    behaviour,
                    false,
                );
            }
            text.push('\n');
            return Written {
                texts: vec![text],
                rows: 1,
            };
        }
    };
    let segment = behaviour.segments_of_rows.unwrap_or(u64::MAX).max(1);
    let segment = usize::try_from(segment).unwrap_or(usize::MAX);
    let mut texts = Vec::new();
    for part in rows.chunks(segment) {
        let mut text = head.clone();
        for (number, row) in part.iter().enumerate() {
            let ragged = behaviour.ragged && number + 1 == part.len();
            line(&mut text, row, &columns, view, style, behaviour, ragged);
        }
        texts.push(text);
    }
    if texts.is_empty() {
        texts.push(head);
    }
    Written {
        texts,
        rows: rows.len() as u64,
    }
}

fn line(
    text: &mut String,
    row: &Row,
    columns: &[&Column],
    view: View<'_>,
    style: &Style,
    behaviour: &Behaviour,
    ragged: bool,
) {
    let mut first = true;
    if let Some(deleted) = &style.deleted {
        separate(text, &mut first);
        text.push_str(match (deleted.numeric, row.deleted) {
            (false, true) => "true",
            (false, false) => "false",
            (true, true) => "1",
            (true, false) => "0",
        });
    }
    let shown = columns.len() - usize::from(ragged && !columns.is_empty());
    for column in columns.iter().take(shown) {
        separate(text, &mut first);
        let found = value(view, row, &column.source);
        let keyed = column.name.ends_with("Id") || column.kind == Kind::Picklist;
        cell(
            text,
            &found,
            style,
            behaviour,
            behaviour.nul_bytes && !keyed,
        );
    }
    text.push('\n');
}

fn separate(text: &mut String, first: &mut bool) {
    if !*first {
        text.push(',');
    }
    *first = false;
}

fn cell(text: &mut String, found: &Value, style: &Style, behaviour: &Behaviour, nul: bool) {
    match found {
        Value::Null => {
            if let Some(null) = style
                .null
                .as_deref()
                .filter(|_| !behaviour.null_replacement_ignored)
            {
                quoted(text, null);
            }
        }
        Value::Text(value) if nul => {
            let mut broken = value.clone();
            let at = value
                .char_indices()
                .nth(1)
                .map_or(value.len(), |(at, _)| at);
            broken.insert(at, '\0');
            quoted(text, &broken);
        }
        Value::Text(value) => quoted(text, value),
        Value::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) | Value::Date(value) => text.push_str(value),
        Value::Time(time) => text.push_str(&time_text(*time, style, behaviour)),
    }
}

fn time_text(time: Timestamp, style: &Style, behaviour: &Behaviour) -> String {
    pacific::datetime(time, style.utc, behaviour.bare_midnight)
}

/// Quotes only where it is needed.
pub(super) fn quoted(text: &mut String, value: &str) {
    if !value.contains([',', '"', '\n', '\r']) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for part in value.split_inclusive('"') {
        text.push_str(part);
        if part.ends_with('"') {
            text.push('"');
        }
    }
    text.push('"');
}

/// Columns in the order of the file, which is never that of the select list.
pub(super) fn arranged(columns: &[Column], shuffled: bool) -> Vec<&Column> {
    let mut arranged: Vec<&Column> = columns.iter().collect();
    if !shuffled || columns.len() < 2 {
        return arranged;
    }
    arranged.sort_by_key(|column| {
        let bytes = column.owner.bytes().chain(column.name.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    if arranged
        .iter()
        .zip(columns)
        .all(|(left, right)| *left == right)
    {
        arranged.rotate_left(1);
    }
    arranged
}

/// The header line.
pub(super) fn header(
    object: &str,
    columns: &[&Column],
    style: &Style,
    behaviour: &Behaviour,
) -> String {
    let mut text = String::new();
    if behaviour.bom {
        text.push('\u{feff}');
    }
    let mut first = true;
    let mut name = |owner: &str, field: &str| {
        separate(&mut text, &mut first);
        let whole = if style.labels {
            format!("{owner}.{field}")
        } else {
            format!("{}: {}", label(owner), label(field))
        };
        quoted(&mut text, &whole);
    };
    if let Some(deleted) = &style.deleted {
        name(object, &deleted.column);
    }
    for column in columns {
        match &column.alias {
            Some(alias) => name(&column.owner, alias),
            None if behaviour.canonical_headers => name(&column.owner, &column.header),
            None => name(&column.owner, &column.name),
        }
    }
    text.push('\n');
    text
}

/// The display name of an API name: `AccountNumber` is "Account Number".
pub(super) fn label(name: &str) -> String {
    if name == "Id" {
        return "ID".to_owned();
    }
    let mut label = String::new();
    let mut small = false;
    for character in name.chars() {
        if character.is_uppercase() && small {
            label.push(' ');
        }
        small = character.is_lowercase() || character.is_ascii_digit();
        label.push(character);
    }
    label
}

/// Packs a text.
pub(super) fn pack(format: Format, name: &str, text: String) -> io::Result<Bytes> {
    match format {
        Format::Csv => Ok(Bytes::from(text)),
        Format::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes())?;
            Ok(Bytes::from(encoder.finish()?))
        }
        Format::Zip => zip(name, text.as_bytes()),
    }
}

/// A zip archive of one deflated entry, as APPNOTE 6.3 has it: local header, data, directory, end.
fn zip(name: &str, content: &[u8]) -> io::Result<Bytes> {
    let too_large = |_| io::Error::other("the content is too large for a zip file");
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content)?;
    let packed = encoder.finish()?;
    let mut common = Vec::new();
    // Version 2.0, names in UTF-8, deflated, 1980-01-01T00:00.
    for part in [20_u16, 0x0800, 8, 0, 0x0021] {
        common.extend_from_slice(&part.to_le_bytes());
    }
    common.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    for size in [packed.len(), content.len()] {
        common.extend_from_slice(&u32::try_from(size).map_err(too_large)?.to_le_bytes());
    }
    common.extend_from_slice(&u16::try_from(name.len()).map_err(too_large)?.to_le_bytes());
    common.extend_from_slice(&[0, 0]);
    let mut file = b"PK\x03\x04".to_vec();
    file.extend_from_slice(&common);
    file.extend_from_slice(name.as_bytes());
    file.extend_from_slice(&packed);
    let start = u32::try_from(file.len()).map_err(too_large)?;
    file.extend_from_slice(b"PK\x01\x02\x14\x00");
    file.extend_from_slice(&common);
    // No comment, disk 0, no attributes, entry at 0.
    file.extend_from_slice(&[0; 14]);
    file.extend_from_slice(name.as_bytes());
    let size = u32::try_from(file.len()).map_err(too_large)? - start;
    file.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(&start.to_le_bytes());
    file.extend_from_slice(&[0, 0]);
    Ok(Bytes::from(file))
}

/// Text of XML, and of its attributes.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other if (other < ' ' && !matches!(other, '\n' | '\t')) || other == '\r' => {
                // XML 1.0 has no control characters, not even as references.
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}
