//! Reading Parquet: what we wrote, after its hash was checked, and any other file with care.
//!
//! The parser may panic on damaged bytes, so every call into it runs inside `catch_unwind`, and a panic
//! becomes an error of kind `Data`. Only regular files are opened.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use overlock_core::{Error, ErrorKind, Package, Part, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::{footer, fs, verify};

/// Rows of a batch at most.
pub const BATCH_ROWS: usize = 8192;

/// All rows of a package, in row order, after its sizes were checked; each file's hash is checked
/// before it is opened.
///
/// # Errors
/// `Data` if a file is not what the manifest says.
pub fn read(package: &Package) -> Result<Batches> {
    verify::verify_sizes(package)?;
    let schema = package.manifest.schema.clone();
    let parts = package.manifest.files.iter().cloned().collect();
    Ok(Batches::over(
        Origin::Parts {
            dir: package.dir.clone(),
            parts,
        },
        schema,
        None,
    ))
}

/// Some columns (`None`: all) of one file of a package, in the order asked for, after its hash was
/// checked.
///
/// # Errors
/// `Data` if the file is not what the manifest says, `Config` if it has no such column.
pub fn read_part(dir: &Path, part: &Part, columns: Option<&[String]>) -> Result<Batches> {
    verify::verify_part(dir, part)?;
    read_verified_part(dir, part, columns)
}

/// Like [`read_part`] for a file whose hash the caller checked before.
///
/// # Errors
/// As [`read_part`].
pub fn read_verified_part(dir: &Path, part: &Part, columns: Option<&[String]>) -> Result<Batches> {
    let path = dir.join(&part.name);
    let reader = open(fs::open_own(&path)?, &path, columns)?;
    let mut batches = Batches::over(Origin::Nothing, reader.schema.clone(), columns);
    batches.reader = Some(Reader {
        expected: Some(part.rows),
        ..reader
    });
    Ok(batches)
}

/// Some columns (`None`: all) of any Parquet file; damage is an error, never a panic.
///
/// # Errors
/// `Config` if the path is not a regular file or there is no such column, `NotFound`, `Data` if it is
/// not sound Parquet.
pub fn read_file(path: &Path, columns: Option<&[String]>) -> Result<Batches> {
    let reader = open(fs::open_any(path)?, path, columns)?;
    let mut batches = Batches::over(Origin::Nothing, reader.schema.clone(), columns);
    batches.reader = Some(reader);
    Ok(batches)
}

/// What the footer of a Parquet file says.
#[derive(Debug, Clone, PartialEq)]
pub struct FileInfo {
    /// Columns.
    pub schema: SchemaRef,
    /// Rows.
    pub rows: u64,
    /// Row groups.
    pub row_groups: usize,
    /// Size of the file.
    pub bytes: u64,
    /// Which program wrote it.
    pub created_by: Option<String>,
}

/// Reads the footer of any Parquet file.
///
/// # Errors
/// As [`read_file`].
pub fn file_info(path: &Path) -> Result<FileInfo> {
    let mut file = fs::open_any(path)?;
    footer::check(&mut file).map_err(|what| not_parquet(path, &what))?;
    let bytes = file
        .metadata()
        .map_err(|error| fs::failed(&error, "look at", path))?
        .len();
    let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
    let metadata = builder.metadata().file_metadata();
    Ok(FileInfo {
        schema: builder.schema().clone(),
        rows: u64::try_from(metadata.num_rows())
            .map_err(|_| not_parquet(path, "it has a negative number of rows"))?,
        row_groups: builder.metadata().num_row_groups(),
        bytes,
        created_by: metadata.created_by().map(overlock_core::text::printable),
    })
}

/// Batches of one or more files, in row order. After an error it ends.
pub struct Batches {
    origin: Origin,
    schema: SchemaRef,
    columns: Option<Vec<String>>,
    reader: Option<Reader>,
}

enum Origin {
    Nothing,
    Parts { dir: PathBuf, parts: VecDeque<Part> },
}

struct Reader {
    path: PathBuf,
    inner: ParquetRecordBatchReader,
    /// Where the columns asked for are in the batches of `inner`.
    order: Option<Vec<usize>>,
    schema: SchemaRef,
    /// Rows by the manifest.
    expected: Option<u64>,
    seen: u64,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Batches {
    fn over(origin: Origin, schema: SchemaRef, columns: Option<&[String]>) -> Self {
        Self {
            origin,
            schema,
            columns: columns.map(<[String]>::to_vec),
            reader: None,
        }
    }

    /// Schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(batch) = reader.advance()? {
                    return Ok(Some(batch));
                }
                self.reader = None;
            }
            let Origin::Parts { dir, parts } = &mut self.origin else {
                return Ok(None);
            };
            let Some(part) = parts.pop_front() else {
                return Ok(None);
            };
            verify::verify_part(dir, &part)?;
            let path = dir.join(&part.name);
            let reader = open(fs::open_own(&path)?, &path, self.columns.as_deref())?;
            self.reader = Some(Reader {
                expected: Some(part.rows),
                ..reader
            });
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.reader = None;
            self.origin = Origin::Nothing;
        }
        next
    }
}

impl Reader {
    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        let Self {
            path, inner, order, ..
        } = self;
        let next = guarded(path, || {
            let Some(batch) = inner.next().transpose()? else {
                return Ok(None);
            };
            match order {
                Some(order) => batch.project(order).map(Some),
                None => Ok(Some(batch)),
            }
        })?;
        match (&next, self.expected) {
            (Some(batch), _) => self.seen += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX),
            (None, Some(expected)) if expected != self.seen => {
                let what = format!("{} rows instead of {expected}", self.seen);
                return Err(not_parquet(path, &what));
            }
            (None, _) => {}
        }
        Ok(next)
    }
}

fn open(mut file: std::fs::File, path: &Path, columns: Option<&[String]>) -> Result<Reader> {
    footer::check(&mut file).map_err(|what| not_parquet(path, &what))?;
    let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
    let mut schema = builder.schema().clone();
    let mut order = None;
    let mut mask = ProjectionMask::all();
    if let Some(columns) = columns {
        let mut wanted = Vec::new();
        for column in columns {
            wanted.push(schema.index_of(column).map_err(|_| {
                let shown = overlock_core::text::printable(column);
                Error::new(ErrorKind::Config, format!("find a column `{shown}`"))
                    .context("path", path.display())
            })?);
        }
        mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
        let mut sorted = wanted.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let position = |index: &usize| sorted.binary_search(index).unwrap_or_default();
        order = Some(wanted.iter().map(position).collect());
        let projected = schema.project(&wanted);
        schema = projected
            .map_err(|error| Error::bug("choose columns").source(error))?
            .into();
    }
    let inner = guarded(path, || {
        builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
    })?;
    Ok(Reader {
        path: path.to_owned(),
        inner,
        order,
        schema,
        expected: None,
        seen: 0,
    })
}

/// Calls the parser; errors and panics become `Data`.
fn guarded<T, E: std::error::Error + Send + Sync + 'static>(
    path: &Path,
    call: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    // What a panic leaves half done is dropped by the callers: after an error they read no further.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(not_parquet(path, "it is damaged").source(error)),
        Err(_) => Err(not_parquet(
            path,
            "it is damaged beyond what the parser can take",
        )),
    }
}

fn not_parquet(path: &Path, what: &str) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Error::new(ErrorKind::Data, format!("read `{name}` as Parquet: {what}"))
        .context("path", path.display())
}

#[cfg(test)]
mod tests;
