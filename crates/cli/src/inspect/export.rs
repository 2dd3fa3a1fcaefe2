//! Writing rows to a file or to stdout: CSV, JSON lines, Parquet.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use overlock_core::{
    DeleteMode, Error, ErrorKind, Result, SourceName, StreamName, SyncKey, Timestamp, WriteMode,
};
use overlock_local::Rows;
use overlock_package as package;

use super::grid::{batch_json_lines, csv_header, csv_lines};

/// Forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportForm {
    /// Comma-separated values; null is empty, an empty text is "".
    Csv,
    /// One JSON object per row.
    Jsonl,
    /// One Parquet file.
    Parquet,
}

/// Writes rows as text, batch by batch; gives their number. A reader that goes away ends it quietly.
///
/// # Errors
/// As a scan's; `Io` if the disk is full.
pub(super) fn text(
    rows: &Rows,
    columns: Option<&[String]>,
    form: ExportForm,
    into: &mut dyn Write,
) -> Result<u64> {
    let mut count = 0;
    let mut put = |text: &str| match into.write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::new(ErrorKind::Io, "write the export").source(error)),
    };
    let batches = rows.scan(columns)?;
    if form == ExportForm::Csv {
        let schema = project(&rows.schema()?, columns)?;
        if !put(&csv_header(&schema))? {
            return Ok(count);
        }
    }
    for batch in batches {
        let batch = batch?;
        let lines = if form == ExportForm::Csv {
            csv_lines(&batch)?
        } else {
            batch_json_lines(&batch)?
        };
        if !put(&lines)? {
            return Ok(count);
        }
        count += batch.num_rows() as u64;
    }
    into.flush()
        .or_else(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                Ok(())
            } else {
                Err(error)
            }
        })
        .map_err(|error| Error::new(ErrorKind::Io, "write the export").source(error))?;
    Ok(count)
}

/// The schema with these columns (`None`: all).
///
/// # Errors
/// `Config` if there is no such column.
pub(super) fn project(schema: &SchemaRef, columns: Option<&[String]>) -> Result<SchemaRef> {
    let Some(columns) = columns else {
        return Ok(Arc::clone(schema));
    };
    let field = |name: &String| {
        schema.field_with_name(name).cloned().map_err(|_| {
            let shown = overlock_core::text::printable(name);
            Error::new(ErrorKind::Config, format!("find a column `{shown}`"))
                .hint("`overlock inspect … schema` lists the columns")
        })
    };
    let fields: Vec<Field> = columns.iter().map(field).collect::<Result<_>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Writes rows as text into a file, under another name until it is whole; gives their number.
///
/// # Errors
/// As [`text`].
pub(super) fn file(
    rows: &Rows,
    columns: Option<&[String]>,
    form: ExportForm,
    path: &Path,
) -> Result<u64> {
    let temporary = package::fs::temporary(path);
    package::fs::remove_file(&temporary)?;
    let write = || {
        let mut file = std::io::BufWriter::new(package::fs::File::create_new(&temporary)?);
        let count = text(rows, columns, form, &mut file)?;
        let file = file.into_inner().map_err(|error| {
            Error::new(ErrorKind::Io, "write the export").source(error.into_error())
        })?;
        file.sync()?;
        package::fs::rename(&temporary, path)?;
        Ok(count)
    };
    let result = write();
    if result.is_err() {
        // The first error is the one to tell; what is left has a name that says what it is.
        package::fs::remove_file(&temporary).ok();
    }
    result
}

/// Writes rows into a new Parquet file, with the same writer as a sync; gives their number.
///
/// # Errors
/// As a scan's; `Config` if there are no rows or the file is there already; `Io`.
pub(super) fn parquet(rows: &Rows, columns: Option<&[String]>, path: &Path) -> Result<u64> {
    let schema = project(&rows.schema()?, columns)?;
    let here = package::fs::parent(path);
    let mut hidden = std::ffi::OsString::from(".overlock-export-");
    hidden.push(path.file_name().unwrap_or_default());
    let shelf = package::Shelf::new(here.join(hidden));
    let settings = package::Settings {
        file_bytes: u64::MAX,
        ..package::Settings::default()
    };
    let new = package::NewPackage {
        parent: None,
        key: SyncKey::new(SourceName::new("export")?, StreamName::new("Export")?),
        source: SourceName::new("export")?,
        mode: WriteMode::Replace,
        deletes: DeleteMode::default(),
        primary_key: Vec::new(),
        replication_key: None,
        schema,
        started: Timestamp::EPOCH,
        until: Timestamp::EPOCH,
    };
    let write = || {
        let mut writer = package::Writer::create(&shelf, new, settings)?;
        for batch in rows.scan(columns)? {
            writer.write(&batch?)?;
        }
        let sealed = writer.seal(None, true, None)?;
        let [part] = sealed.manifest.files.as_slice() else {
            return Err(Error::new(
                ErrorKind::Config,
                "export to Parquet: there are no rows",
            ));
        };
        package::fs::rename(&sealed.dir.join(&part.name), path)?;
        package::fs::sync_dir(here)?;
        Ok(part.rows)
    };
    let result = write();
    // Whatever happened, nothing but the export itself stays.
    let cleaned = package::fs::remove_dir_all(shelf.dir());
    result.and_then(|count| cleaned.map(|()| count))
}
