//! Turning rows of one commit into rows of the table's schema.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use overlock_core::stream::{self, EXTRA};
use overlock_core::{Error, ErrorKind, Result};

use crate::schema::{Fit, fit};

/// Which columns to read from a commit's files, and what to make of them.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// Columns to read, in this order.
    pub(crate) columns: Vec<String>,
    target: SchemaRef,
    outputs: Vec<Output>,
}

#[derive(Debug, Clone)]
enum Output {
    Column {
        index: usize,
        fit: Fit,
    },
    Constant(ArrayRef),
    Missing,
    Extra {
        base: Option<usize>,
        misfits: Vec<Misfit>,
    },
}

/// A column whose values may not fit into that of the table.
#[derive(Debug, Clone)]
struct Misfit {
    index: usize,
    field: Field,
    /// The table's type, if some values fit.
    wider: Option<DataType>,
}

impl Adapter {
    /// From files with the schema `source` to a table whose whole schema is `table`, of which the
    /// columns of `target` are wanted. `constants` are one-row arrays for columns that no file has.
    pub(crate) fn new(
        source: &Schema,
        table: &Schema,
        target: SchemaRef,
        constants: &[(&str, ArrayRef)],
    ) -> Self {
        let mut columns: Vec<String> = Vec::new();
        let mut read = |name: &str| {
            columns
                .iter()
                .position(|column| column == name)
                .unwrap_or_else(|| {
                    columns.push(name.to_owned());
                    columns.len() - 1
                })
        };
        let mut outputs = Vec::new();
        for field in target.fields() {
            let name = field.name().as_str();
            let found = source.field_with_name(name).ok();
            outputs.push(
                if let Some((_, value)) = constants.iter().find(|pair| pair.0 == name) {
                    Output::Constant(Arc::clone(value))
                } else if name == EXTRA {
                    let base = found.map(|_| read(name));
                    let mut misfits = Vec::new();
                    for field in source.fields().iter().filter(|field| field.name() != EXTRA) {
                        let Ok(column) = table.field_with_name(field.name()) else {
                            continue;
                        };
                        let wider = match fit(field, column) {
                            Fit::Same => continue,
                            Fit::Widened => Some(column.data_type().clone()),
                            Fit::Misfit => None,
                        };
                        let field = field.as_ref().clone();
                        misfits.push(Misfit {
                            index: read(field.name()),
                            field,
                            wider,
                        });
                    }
                    Output::Extra { base, misfits }
                } else {
                    match found.map(|found| fit(found, field)) {
                        None | Some(Fit::Misfit) => Output::Missing,
                        Some(fit) => Output::Column {
                            index: read(name),
                            fit,
                        },
                    }
                },
            );
        }
        Self {
            columns,
            target,
            outputs,
        }
    }

    /// The rows of `batch`, which has exactly the columns to read.
    pub(crate) fn adapt(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let build = || {
            let mut arrays = Vec::with_capacity(self.outputs.len());
            for (output, field) in self.outputs.iter().zip(self.target.fields()) {
                arrays.push(match output {
                    Output::Column {
                        index,
                        fit: Fit::Same,
                    } => Arc::clone(batch.column(*index)),
                    Output::Column { index, .. } => widen(batch.column(*index), field.data_type())?,
                    Output::Constant(value) => repeat(value, rows)?,
                    Output::Missing => new_null_array(field.data_type(), rows),
                    Output::Extra { base, misfits } => extra(batch, *base, misfits)?,
                });
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(&self.target), arrays, &options)
        };
        build().map_err(|error: ArrowError| {
            Error::new(ErrorKind::Data, "bring stored rows into the table's form").source(error)
        })
    }
}

/// Values that do not fit become null; [`extra`] finds them.
fn widen(array: &dyn Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(
        array,
        to,
        &CastOptions {
            safe: true,
            ..CastOptions::default()
        },
    )
}

fn repeat(value: &ArrayRef, rows: usize) -> Result<ArrayRef, ArrowError> {
    let indices = arrow::array::UInt32Array::from_value(0, rows);
    arrow::compute::take(value, &indices, None)
}

/// `_extra` of the files, with the values that have no place in the table's columns.
fn extra(
    batch: &RecordBatch,
    base: Option<usize>,
    misfits: &[Misfit],
) -> Result<ArrayRef, ArrowError> {
    let rows = batch.num_rows();
    let base = base.map(|index| batch.column(index));
    if misfits.is_empty() {
        return Ok(base.map_or_else(|| new_null_array(&DataType::Utf8, rows), Arc::clone));
    }
    let mut texts: Vec<Option<String>> = match base.and_then(|base| base.as_string_opt::<i32>()) {
        Some(base) => base
            .iter()
            .map(|text| text.map(ToOwned::to_owned))
            .collect(),
        None => vec![None; rows],
    };
    for Misfit {
        index,
        field,
        wider,
    } in misfits
    {
        let column = batch.column(*index);
        let fitted = wider
            .as_ref()
            .map(|wider| widen(column, wider))
            .transpose()?;
        let values = JsonValues::new(column.as_ref(), field)?;
        for (row, text) in texts.iter_mut().enumerate() {
            let fits = fitted.as_ref().is_some_and(|fitted| fitted.is_valid(row));
            if column.is_valid(row) && !fits {
                *text = Some(with_member(
                    text.as_deref(),
                    field.name(),
                    &values.json(row),
                ));
            }
        }
    }
    Ok(Arc::new(StringArray::from(texts)))
}

/// The JSON object `object` with one more member, without touching the text of the others.
fn with_member(object: Option<&str>, name: &str, value: &str) -> String {
    let name = quoted(name);
    let members = object
        .map(str::trim)
        .and_then(|object| object.strip_prefix('{')?.strip_suffix('}'))
        .map_or("", str::trim);
    if members.is_empty() {
        format!("{{{name}:{value}}}")
    } else {
        format!("{{{members},{name}:{value}}}")
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Renders the values of a column as JSON, numbers with all their digits.
struct JsonValues<'a> {
    array: &'a dyn Array,
    field: &'a Field,
    formatter: ArrayFormatter<'a>,
}

impl<'a> JsonValues<'a> {
    fn new(array: &'a dyn Array, field: &'a Field) -> Result<Self, ArrowError> {
        let formatter = ArrayFormatter::try_new(array, &FormatOptions::default())?;
        Ok(Self {
            array,
            field,
            formatter,
        })
    }

    fn json(&self, row: usize) -> String {
        let shown = self.formatter.value(row);
        match self.field.data_type() {
            DataType::Boolean | DataType::Int64 | DataType::Decimal128(..) => shown.to_string(),
            DataType::Float64 => {
                let text = shown.to_string();
                let is_json = text.parse::<f64>().is_ok_and(f64::is_finite);
                if is_json { text } else { quoted(&text) }
            }
            DataType::Utf8 => {
                let text = self.array.as_string::<i32>().value(row);
                if stream::is_json(self.field) {
                    text.to_owned()
                } else {
                    quoted(text)
                }
            }
            _ => quoted(&shown.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array};

    use super::*;
    use crate::schema::unify;

    #[test]
    fn members_are_added_without_touching_the_others() {
        for (object, expected) in [
            (None, r#"{"a \"b\"":1}"#),
            (Some("{}"), r#"{"a \"b\"":1}"#),
            (Some(" { \"n\" : 1.000 } "), r#"{"n" : 1.000,"a \"b\"":1}"#),
        ] {
            assert_eq!(with_member(object, "a \"b\"", "1"), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_found_in_extra_with_all_its_digits() {
        // covers: L12
        let decimal = |scale| DataType::Decimal128(38, scale);
        let old = Schema::new(vec![
            Field::new("n", decimal(6), true),
            Field::new("k", DataType::Utf8, true),
            stream::json_field(EXTRA),
        ]);
        let new = Schema::new(vec![
            Field::new("n", decimal(0), true),
            Field::new("k", DataType::Int64, true),
            stream::json_field(EXTRA),
        ]);
        let (old, new) = (Arc::new(old), Arc::new(new));
        let table = unify([&old, &new]);
        let big = 10_i128.pow(37);
        let batch = RecordBatch::try_new(
            Arc::clone(&new),
            vec![
                Arc::new(
                    Decimal128Array::from(vec![Some(7), Some(big), None])
                        .with_precision_and_scale(38, 0)
                        .unwrap(),
                ),
                Arc::new(Int64Array::from(vec![
                    Some(9_007_199_254_740_993),
                    None,
                    None,
                ])),
                Arc::new(StringArray::from(vec![None, Some("{\"x\":1}"), None])),
            ],
        )
        .unwrap();
        let adapter = Adapter::new(&new, &table, Arc::clone(&table), &[]);
        let rows = adapter.adapt(&batch.project(&[0, 2, 1]).unwrap()).unwrap();
        assert_eq!(adapter.columns, ["n", EXTRA, "k"]);
        let n = rows
            .column(0)
            .as_primitive::<arrow::datatypes::Decimal128Type>();
        assert_eq!(n.iter().collect::<Vec<_>>(), [Some(7_000_000), None, None]);
        assert_eq!(rows.column(1).null_count(), 3);
        let extra: Vec<_> = rows.column(2).as_string::<i32>().iter().collect();
        let lost = format!("{{\"x\":1,\"n\":{big}}}");
        assert_eq!(
            extra,
            [Some("{\"k\":9007199254740993}"), Some(lost.as_str()), None]
        );
    }
}
