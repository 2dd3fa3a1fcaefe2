//! A table that can be shown in every form: aligned text, Markdown, CSV, JSON, JSON lines.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value as Json};

use super::number;
use crate::args::Format;

/// Columns and rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One value of a [`Listing`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Text.
    Text(String),
    /// A count.
    Number(u64),
    /// A number of bytes.
    Bytes(u64),
    /// A duration in milliseconds.
    Millis(u64),
    /// True or false.
    Flag(bool),
    /// Nothing known.
    None,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl Cell {
    /// Text, or nothing.
    pub(crate) fn maybe<T: ToString>(value: Option<T>) -> Self {
        value.map_or(Self::None, |value| Self::Text(value.to_string()))
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number::count(*number),
            Self::Bytes(bytes) => number::bytes(*bytes),
            Self::Millis(millis) => number::duration(std::time::Duration::from_millis(*millis)),
            Self::Flag(true) => "yes".to_owned(),
            Self::Flag(false) => "no".to_owned(),
            Self::None => String::new(),
        }
    }

    /// The value for machines: raw numbers, no units.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Text(text) => Json::from(text.as_str()),
            Self::Number(number) | Self::Bytes(number) | Self::Millis(number) => {
                Json::from(*number)
            }
            Self::Flag(flag) => Json::from(*flag),
            Self::None => Json::Null,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Bytes(_) | Self::Millis(_))
    }
}

impl Listing {
    /// An empty table with these columns; the names are the JSON keys too.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as JSON objects.
    pub(crate) fn to_json(&self) -> Vec<Json> {
        let object = |row: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(row);
            Json::Object(
                pairs
                    .map(|(name, cell)| ((*name).to_owned(), cell.json()))
                    .collect::<Map<_, _>>(),
            )
        };
        self.rows.iter().map(object).collect()
    }

    /// The table in a form.
    pub(crate) fn render(&self, format: Format) -> String {
        match format {
            Format::Auto | Format::Table => self.text(presets::NOTHING),
            Format::Md => self.text(presets::ASCII_MARKDOWN),
            Format::Json => Json::Array(self.to_json()).to_string(),
            Format::Jsonl => {
                let lines: Vec<String> = self.to_json().iter().map(Json::to_string).collect();
                lines.join("\n")
            }
            Format::Csv => {
                let header = self.columns.iter().map(|name| (*name).to_owned()).collect();
                let rows = self.rows.iter().map(|row| {
                    let field = |cell: &Cell| match cell.json() {
                        Json::String(text) => text,
                        Json::Null => String::new(),
                        other => other.to_string(),
                    };
                    row.iter().map(field).collect()
                });
                let lines: Vec<String> =
                    std::iter::once(header).chain(rows).map(csv_line).collect();
                lines.join("\n")
            }
        }
    }

    fn text(&self, preset: &str) -> String {
        let mut table = Table::new();
        table.load_preset(preset);
        table.set_header(self.columns.iter().map(|name| name.replace('_', " ")));
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::shown));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let numbers = self
                .rows
                .iter()
                .filter_map(|row| row.get(index))
                .any(Cell::is_number);
            if numbers {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if preset == presets::NOTHING {
                let left = u16::from(index > 0);
                column.set_padding((left, 1));
            }
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

fn csv_line(fields: Vec<String>) -> String {
    let quote = |field: String| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    };
    let fields: Vec<String> = fields.into_iter().map(quote).collect();
    fields.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_has_every_form() {
        let mut listing = Listing::new(&["stream", "rows", "note"]);
        listing.row(vec!["Account".into(), Cell::Number(12_000), Cell::None]);
        listing.row(vec!["Lead".into(), Cell::Number(7), "a, \"b\"".into()]);
        for (format, expected) in [
            (
                Format::Table,
                "stream     rows  note\nAccount  12\u{2009}000\nLead          7  a, \"b\"",
            ),
            (
                Format::Csv,
                "stream,rows,note\nAccount,12000,\nLead,7,\"a, \"\"b\"\"\"",
            ),
            (
                Format::Jsonl,
                "{\"note\":null,\"rows\":12000,\"stream\":\"Account\"}\n{\"note\":\"a, \\\"b\\\"\",\"rows\":7,\"stream\":\"Lead\"}",
            ),
        ] {
            assert_eq!(listing.render(format), expected, "{format:?}");
        }
        assert!(listing.render(Format::Md).starts_with("| stream"));
    }
}
