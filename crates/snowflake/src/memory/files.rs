//! The stage, and what a COPY reads from it.

use std::path::Path;

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use overlock_package as package;

use super::{Cell, Database, Line, missing};
use crate::sql::Name;
use crate::warehouse::{Answer, Failure, Result};

impl Database {
    pub(super) fn upload(
        &mut self,
        stage: &Name,
        prefix: &str,
        file: &Path,
        bytes: u64,
    ) -> Result<()> {
        if !self.stages.contains(stage) {
            return Err(missing(stage));
        }
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let mut lines = Vec::new();
        let batches = package::read_file(file, None).map_err(Failure::Refused)?;
        for batch in batches {
            lines.extend(lines_of(&batch.map_err(Failure::Refused)?));
        }
        self.files
            .insert((stage.clone(), format!("{prefix}{name}")), (bytes, lines));
        Ok(())
    }

    fn of_prefix<'a>(
        &'a self,
        stage: &'a Name,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a (u64, Vec<Line>))> {
        self.files
            .iter()
            .filter(move |((of, path), _)| of == stage && path.starts_with(prefix))
            .map(|((_, path), file)| (path.as_str(), file))
    }

    pub(super) fn list(&self, stage: &Name, prefix: &str) -> Answer {
        let rows = self
            .of_prefix(stage, prefix)
            .map(|(path, (bytes, _))| vec![Some(path.to_owned()), Some(bytes.to_string())]);
        Answer {
            columns: vec!["name".to_owned(), "size".to_owned()],
            rows: rows.collect(),
        }
    }

    pub(super) fn copy(&mut self, staging: &Name, stage: &Name, prefix: &str) -> Result<Answer> {
        let mut rows = Vec::new();
        let mut lines = Vec::new();
        for (path, (_, of_file)) in self.of_prefix(stage, prefix) {
            let count = of_file.len().to_string();
            rows.push(vec![
                Some(path.to_owned()),
                Some("LOADED".to_owned()),
                Some(count.clone()),
                Some(count),
                Some("0".to_owned()),
                None,
            ]);
            lines.extend(of_file.iter().cloned());
        }
        let columns = [
            "file",
            "status",
            "rows_parsed",
            "rows_loaded",
            "errors_seen",
            "first_error",
        ];
        let table = self.table(staging)?;
        for mut line in lines {
            // Columns that the table does not have are ignored: that is how COPY loses data.
            line.retain(|name, _| table.columns.iter().any(|(column, _)| column == name));
            table.rows.push(line);
        }
        Ok(Answer {
            columns: columns.map(ToOwned::to_owned).to_vec(),
            rows,
        })
    }
}

fn lines_of(batch: &RecordBatch) -> Vec<Line> {
    let mut lines = vec![Line::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for (row, line) in lines.iter_mut().enumerate() {
            let value = if column.is_null(row) {
                Cell::Null
            } else {
                value_at(column, row)
            };
            line.insert(field.name().clone(), value);
        }
    }
    lines
}

fn value_at(column: &dyn Array, row: usize) -> Cell {
    match column.data_type() {
        DataType::Boolean => Cell::Boolean(column.as_boolean().value(row)),
        DataType::Int64 => Cell::Number(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            Cell::Number(column.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Date32 => Cell::Number(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(..) => Cell::Number(
            column
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .into(),
        ),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        _ => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
    }
}
