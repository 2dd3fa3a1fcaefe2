//! Rows in the form the user wants: a table, one block per record, Markdown, CSV, JSON, JSON lines.

use std::fmt::Write as _;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use comfy_table::{CellAlignment, Table, presets};
use overlock_core::Result;
use overlock_core::text::printable;

use super::value;
use crate::args::Format;

/// Columns that are shown side by side; with more, each row becomes a block of lines.
const MAX_COLUMNS: usize = 12;
/// Characters of a value in a table.
const MAX_CHARS: usize = 40;

/// Renders rows.
///
/// # Errors
/// `Data` if a column cannot be shown.
pub(super) fn render(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: Format,
) -> Result<String> {
    match format {
        Format::Auto | Format::Table if schema.fields().len() > MAX_COLUMNS => {
            blocks(schema, batches)
        }
        Format::Auto | Format::Table => table(schema, batches, presets::NOTHING),
        Format::Md => table(schema, batches, presets::ASCII_MARKDOWN),
        Format::Json => {
            let mut text = String::new();
            for line in json_lines(batches)?.lines() {
                text.push(if text.is_empty() { '[' } else { ',' });
                text.push_str(line);
            }
            text.push_str(if text.is_empty() { "[]" } else { "]" });
            Ok(text)
        }
        Format::Jsonl => json_lines(batches),
        Format::Csv => {
            let mut text = csv_header(schema);
            for batch in batches {
                text.push_str(&csv_lines(batch)?);
            }
            Ok(text)
        }
    }
}

/// The names of the columns as a line of CSV.
pub(super) fn csv_header(schema: &SchemaRef) -> String {
    let mut text = String::new();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        value::push_csv(Some(field.name()), &mut text);
    }
    text.push('\n');
    text
}

/// The rows as lines of CSV.
pub(super) fn csv_lines(batch: &RecordBatch) -> Result<String> {
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (index, column) in batch.columns().iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            value::push_csv(value::text(column, row)?.as_deref(), &mut text);
        }
        text.push('\n');
    }
    Ok(text)
}

/// The rows as JSON objects, one per line.
pub(super) fn batch_json_lines(batch: &RecordBatch) -> Result<String> {
    let schema = batch.schema();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        text.push('{');
        for (index, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
            if index > 0 {
                text.push(',');
            }
            value::push_string(field.name(), &mut text);
            text.push(':');
            value::json(column, field, row, &mut text)?;
        }
        text.push_str("}\n");
    }
    Ok(text)
}

fn json_lines(batches: &[RecordBatch]) -> Result<String> {
    batches.iter().map(batch_json_lines).collect()
}

fn table(schema: &SchemaRef, batches: &[RecordBatch], preset: &str) -> Result<String> {
    let mut table = Table::new();
    table.load_preset(preset);
    table.set_header(schema.fields().iter().map(|field| printable(field.name())));
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells: Result<Vec<String>> = batch
                .columns()
                .iter()
                .map(|column| shown(column, row))
                .collect();
            table.add_row(cells?);
        }
    }
    let fields = schema.fields();
    for (index, column) in table.column_iter_mut().enumerate() {
        if fields
            .get(index)
            .is_some_and(|field| value::is_number(field.data_type()))
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if preset == presets::NOTHING {
            column.set_padding((u16::from(index > 0), 1));
        }
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n"))
}

fn blocks(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String> {
    let width = schema
        .fields()
        .iter()
        .map(|field| field.name().chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let mut number = 0;
    for batch in batches {
        for row in 0..batch.num_rows() {
            number += 1;
            writeln!(text, "row {number}").ok();
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                if !column.is_null(row) {
                    let name = printable(field.name());
                    let value = shown(column, row)?;
                    // Writing to a String cannot fail.
                    writeln!(text, "  {name:<width$}  {value}").ok();
                }
            }
        }
    }
    Ok(text)
}

fn shown(column: &dyn arrow::array::Array, row: usize) -> Result<String> {
    Ok(value::text(column, row)?.map_or_else(String::new, |text| cut(&text)))
}

/// Text that is safe on a terminal and not too long for a table.
pub(super) fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::samples::{accounts, wide};

    #[test]
    fn a_table_has_every_form() {
        let batch = accounts();
        let schema = batch.schema();
        let batches = [batch];
        for (format, expected) in [
            (
                Format::Table,
                "Id  Amount  Name\na1    1.50  Ann\na2          esc\\u{1b}[2J",
            ),
            (
                Format::Csv,
                "Id,Amount,Name\na1,1.50,Ann\na2,,esc\u{1b}[2J\n",
            ),
            (
                Format::Jsonl,
                "{\"Id\":\"a1\",\"Amount\":1.50,\"Name\":\"Ann\"}\n{\"Id\":\"a2\",\"Amount\":null,\"Name\":\"esc\\u001b[2J\"}\n",
            ),
            (
                Format::Json,
                "[{\"Id\":\"a1\",\"Amount\":1.50,\"Name\":\"Ann\"},{\"Id\":\"a2\",\"Amount\":null,\"Name\":\"esc\\u001b[2J\"}]",
            ),
        ] {
            assert_eq!(
                render(&schema, &batches, format).unwrap(),
                expected,
                "{format:?}"
            );
        }
        assert!(
            render(&schema, &batches, Format::Md)
                .unwrap()
                .starts_with("| Id")
        );
        assert_eq!(render(&schema, &[], Format::Json).unwrap(), "[]");
    }

    #[test]
    fn a_wide_table_is_shown_record_by_record_without_its_nulls() {
        let batch = wide(20);
        let text = render(&batch.schema(), std::slice::from_ref(&batch), Format::Auto).unwrap();
        assert!(text.starts_with("row 1\n  column_0   0\n"), "{text}");
        assert!(!text.contains("column_19"), "{text}");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(50)), format!("{}…", "é".repeat(40)));
        assert_eq!(cut("short"), "short");
    }
}
