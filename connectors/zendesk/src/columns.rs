//! The columns of a stream, written down as text: `id:i subject:s created_at:t`.
//!
//! `i` whole number, `s` text, `b` Boolean, `t` instant, `f` float, `d` day, `j` JSON: lists, objects, and values
//! that come in more than one form. The reserved columns follow by themselves.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use overlock_core::stream::{DELETED, EXTRA, json_field, timestamp_type};
use overlock_core::{Error, Result};

/// How Zendesk says that a record is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Not at all.
    Never,
    /// A missing record of a list that is always read whole.
    Absent,
    /// This Boolean is true, or the record is missing.
    Flag(&'static str),
    /// This Boolean is false: users.
    NotFlag(&'static str),
    /// This column has a value.
    Set(&'static str),
    /// This text column has this word.
    Word(&'static str, &'static str),
}

/// The schema of a list of columns.
///
/// # Errors
/// `Bug` if the text is not of this form.
pub(crate) fn schema(columns: &str, deleted: Deleted, more: &[Field]) -> Result<SchemaRef> {
    let mut fields = Vec::new();
    for column in columns.split_whitespace() {
        let (name, kind) = column
            .split_once(':')
            .ok_or_else(|| Error::bug(format!("read the column `{column}`")))?;
        fields.push(match kind {
            "i" => Field::new(name, DataType::Int64, true),
            "s" => Field::new(name, DataType::Utf8, true),
            "b" => Field::new(name, DataType::Boolean, true),
            "t" => Field::new(name, timestamp_type(), true),
            "f" => Field::new(name, DataType::Float64, true),
            "d" => Field::new(name, DataType::Date32, true),
            "j" => json_field(name),
            _ => return Err(Error::bug(format!("read the column `{column}`"))),
        });
    }
    fields.extend(more.iter().cloned());
    if deleted != Deleted::Never {
        fields.push(Field::new(DELETED, DataType::Boolean, true));
    }
    fields.push(json_field(EXTRA));
    Ok(Arc::new(Schema::new(fields)))
}

/// The same batch with `_deleted` as the record's own columns say; unchanged where there is no such column.
///
/// # Errors
/// `Bug` if the rule names a column of another type.
pub(crate) fn mark(batch: RecordBatch, deleted: Deleted) -> Result<RecordBatch> {
    let schema = batch.schema();
    let Ok(at) = schema.index_of(DELETED) else {
        return Ok(batch);
    };
    let values: BooleanArray = match deleted {
        Deleted::Never | Deleted::Absent => {
            std::iter::repeat_n(Some(false), batch.num_rows()).collect()
        }
        Deleted::Flag(name) => {
            let flag = find(&batch, name)?;
            flags(&flag, name)?
                .iter()
                .map(|flag| Some(flag == Some(true)))
                .collect()
        }
        Deleted::NotFlag(name) => {
            let flag = find(&batch, name)?;
            flags(&flag, name)?
                .iter()
                .map(|flag| Some(flag == Some(false)))
                .collect()
        }
        Deleted::Set(name) => {
            let column = find(&batch, name)?;
            (0..batch.num_rows())
                .map(|row| Some(column.is_valid(row)))
                .collect()
        }
        Deleted::Word(name, word) => {
            let column = find(&batch, name)?;
            let text = column.as_string_opt::<i32>().ok_or_else(|| wrong(name))?;
            text.iter().map(|text| Some(text == Some(word))).collect()
        }
    };
    let mut columns = batch.columns().to_vec();
    if let Some(column) = columns.get_mut(at) {
        *column = Arc::new(values);
    }
    RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::bug("mark deleted rows").source(error))
}

fn find(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    batch
        .column_by_name(name)
        .cloned()
        .ok_or_else(|| wrong(name))
}

/// The columns of `schema`, by name: a pipeline may leave some out.
///
/// # Errors
/// `Bug` if there is no such column.
pub(crate) fn select(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| find(batch, field.name()))
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| Error::bug("select the columns of a batch").source(error))
}

fn flags<'a>(column: &'a ArrayRef, name: &str) -> Result<&'a BooleanArray> {
    column.as_boolean_opt().ok_or_else(|| wrong(name))
}

fn wrong(name: &str) -> Error {
    Error::bug(format!("tell deleted rows by the column `{name}`"))
}
