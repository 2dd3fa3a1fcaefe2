//! Writing a package.
//!
//! Rows go into Parquet files under temporary names. A file that is full is finished and gets its name,
//! but exists for nobody until a [`checkpoint`](Writer::checkpoint) lists it in the manifest together
//! with the state that covers it; a crash before that costs exactly the rows since the last checkpoint.
//! The hash of a file is computed from the bytes as they are written, so that nothing is read twice.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use overlock_core::stream::ROW;
use overlock_core::{
    CommitId, DeleteMode, Error, ErrorKind, Manifest, Package, Part, Result, SourceName, State,
    SyncKey, Timestamp, WriteMode, crash_point,
};
use parquet::errors::ParquetError;
use sha2::{Digest as _, Sha256};

use crate::encoder::{Encoder, Limits};
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::{columns, fs, manifest, verify};

/// Memory of rows handed to the encoder at once. Wide rows would otherwise pile up in its buffers
/// before their size is looked at.
const SLICE_BYTES: usize = 16 << 20;

/// What is known about a package before its first row.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPackage {
    /// The commit it builds on.
    pub parent: Option<CommitId>,
    /// Pipeline and stream.
    pub key: SyncKey,
    /// The source's name.
    pub source: SourceName,
    /// How the rows reach the table.
    pub mode: WriteMode,
    /// What deleted rows do.
    pub deletes: DeleteMode,
    /// Columns that identify a row.
    pub primary_key: Vec<String>,
    /// Column that orders versions of a row.
    pub replication_key: Option<String>,
    /// Schema of every batch.
    pub schema: SchemaRef,
    /// Now.
    pub started: Timestamp,
    /// Upper bound of the read.
    pub until: Timestamp,
}

/// Writes one package. Blocking: use it on a thread of its own.
///
/// Dropped without [`seal`](Self::seal), it leaves the package as it was at the last checkpoint.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    settings: Settings,
    /// As it is on disk.
    manifest: Manifest,
    /// The file that takes rows.
    open: Option<OpenPart>,
    /// Finished files that no manifest names yet.
    pending: Vec<Part>,
    /// Rows given since the last checkpoint.
    given: u64,
    extra_values: u64,
    /// Number of the last file; never goes back, so that no name is used twice.
    last_number: u64,
    /// A file failed in the middle: its rows are gone until a rollback.
    dead: bool,
}

#[derive(Debug)]
struct OpenPart {
    encoder: Encoder<Sink>,
    schema: SchemaRef,
    name: String,
    temporary: PathBuf,
    rows: u64,
}

impl Writer {
    /// Opens a new, empty package on the shelf.
    ///
    /// # Errors
    /// `Io`; `Config` if the folder is not ours.
    pub fn create(shelf: &Shelf, new: NewPackage, settings: Settings) -> Result<Self> {
        let manifest = Manifest {
            format: manifest::FORMAT,
            id: CommitId::generate(),
            parent: new.parent,
            key: new.key,
            source: new.source,
            mode: new.mode,
            deletes: new.deletes,
            primary_key: new.primary_key,
            replication_key: new.replication_key,
            schema: new.schema,
            files: Vec::new(),
            state: None,
            sealed: false,
            complete: false,
            started: new.started,
            until: new.until,
            rows_read: 0,
            rows_reported: None,
            extra_values: 0,
            row_numbers: settings.row_numbers,
        };
        crash_point!("P3.before_mkdir");
        fs::create_dir_all(shelf.dir())?;
        fs::check_own_dir(shelf.dir())?;
        let dir = shelf.dir().join(manifest.id.to_string());
        fs::create_dir(&dir)?;
        fs::sync_dir(shelf.dir())?;
        crash_point!("P3.after_mkdir");
        store(&dir, &manifest, |_| {})?;
        crash_point!("P3.after_manifest");
        Ok(Self::at(dir, manifest, settings))
    }

    /// Goes on with an open package after its last checkpoint.
    ///
    /// # Errors
    /// `Bug` if it is sealed.
    pub fn reopen(package: Package, settings: Settings) -> Result<Self> {
        if package.manifest.sealed {
            return Err(Error::bug("write to a package that is sealed"));
        }
        Ok(Self::at(package.dir, package.manifest, settings))
    }

    fn at(dir: PathBuf, manifest: Manifest, settings: Settings) -> Self {
        let numbers = manifest
            .files
            .iter()
            .filter_map(|part| number_of(&part.name));
        let last_number = numbers.max().unwrap_or(0);
        Self {
            dir,
            settings,
            manifest,
            open: None,
            pending: Vec::new(),
            given: 0,
            extra_values: 0,
            last_number,
            dead: false,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `Io`; `Bug` if the schema differs. After an error only [`rollback`](Self::rollback) is of use.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.ensure_alive()?;
        let (ours, given) = (&self.manifest.schema, batch.schema_ref());
        if !Arc::ptr_eq(ours, given) && ours.fields() != given.fields() {
            return Err(Error::bug(
                "write rows of another schema than the package has",
            ));
        }
        let rows = batch.num_rows();
        let step = slice_rows(rows, batch.get_array_memory_size());
        let mut offset = 0;
        while offset < rows {
            let length = step.min(rows - offset);
            let written = if length == rows {
                self.write_slice(batch)
            } else {
                self.write_slice(&batch.slice(offset, length))
            };
            self.dead |= written.is_err();
            written?;
            offset += length;
        }
        Ok(())
    }

    fn write_slice(&mut self, batch: &RecordBatch) -> Result<()> {
        let numbered;
        let batch = if self.manifest.row_numbers {
            numbered = self.numbered(batch)?;
            &numbered
        } else {
            batch
        };
        let mut part = match self.open.take() {
            Some(part) => part,
            None => self.open_part(batch)?,
        };
        let result = part.write(batch);
        let size = part.size();
        let rows = length(batch.num_rows());
        self.given += rows;
        part.rows += rows;
        self.open = Some(part);
        result?;
        if size >= self.settings.file_bytes {
            self.finish_part()
        } else {
            Ok(())
        }
    }

    /// The batch with the numbers of its rows in the package.
    fn numbered(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let first = self.manifest.rows() + self.given;
        let rows = (first..).take(batch.num_rows());
        let rows: Int64Array = rows.map(|row| i64::try_from(row).ok()).collect();
        let schema = match self.open.as_ref() {
            Some(part) => Arc::clone(&part.schema),
            None => with_row(&self.manifest.schema),
        };
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(rows) as ArrayRef);
        RecordBatch::try_new(schema, columns)
            .map_err(|error| Error::bug("number the rows of a batch").source(error))
    }

    fn open_part(&mut self, batch: &RecordBatch) -> Result<OpenPart> {
        crash_point!("P4.before_part");
        self.last_number += 1;
        let name = format!("part-{:05}.parquet", self.last_number);
        let temporary = fs::temporary(&self.dir.join(&name));
        let properties = columns::properties(batch, &self.settings)?;
        fs::remove_file(&temporary)?;
        let sink = Sink::new(fs::File::create_new(&temporary)?);
        let limits = Limits {
            rows: self.settings.row_group_rows,
            bytes: self.settings.row_group_bytes,
        };
        let schema = batch.schema();
        let encoder = Encoder::new(sink, &schema, properties, limits)
            .map_err(|error| encoding_failed(error, &temporary))?;
        crash_point!("P4.part_opened");
        Ok(OpenPart {
            encoder,
            schema,
            name,
            temporary,
            rows: 0,
        })
    }

    /// Finishes the open file, durably and under its name, but not listed yet.
    fn finish_part(&mut self) -> Result<()> {
        let Some(part) = self.open.take() else {
            return Ok(());
        };
        let temporary = part.temporary.clone();
        let finished = part.finish(&self.dir);
        if finished.is_err() {
            self.dead = true;
            fs::discard(&temporary);
        }
        self.pending.push(finished?);
        Ok(())
    }

    /// Rows since the last checkpoint.
    pub fn pending_rows(&self) -> u64 {
        self.given
    }

    /// Encoded bytes since the last checkpoint, estimated for what is not written yet.
    pub fn pending_bytes(&self) -> u64 {
        let finished: u64 = self.pending.iter().map(|part| part.bytes).sum();
        finished + self.open.as_ref().map_or(0, OpenPart::size)
    }

    /// Makes all rows so far durable, together with the state that covers them.
    ///
    /// The state replaces the one before, also when it is `None`: a package with files and without a
    /// state can only be sealed, or read again from the beginning.
    ///
    /// # Errors
    /// `Io`; `Data` if counts do not balance. The package stays at its last checkpoint then.
    pub fn checkpoint(&mut self, state: Option<State>) -> Result<()> {
        if self.given == 0 && self.extra_values == 0 && self.manifest.state == state {
            return Ok(());
        }
        let next = self.next_manifest(state)?;
        self.adopt(next)
    }

    fn next_manifest(&mut self, state: Option<State>) -> Result<Manifest> {
        self.ensure_alive()?;
        self.finish_part()?;
        let finished: u64 = self.pending.iter().map(|part| part.rows).sum();
        if finished != self.given {
            let message = format!(
                "balance the books: {} rows given, {finished} in files",
                self.given
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let mut next = self.manifest.clone();
        next.files.extend(self.pending.iter().cloned());
        next.state = state;
        next.rows_read += self.given;
        next.extra_values += self.extra_values;
        if next.rows() != next.rows_read {
            return Err(Error::new(
                ErrorKind::Data,
                "balance the books of a manifest",
            ));
        }
        Ok(next)
    }

    fn adopt(&mut self, next: Manifest) -> Result<()> {
        crash_point!("P5.before_manifest");
        store(&self.dir, &next, |step| match step {
            fs::Step::Written => crash_point!("P5.manifest_written"),
            fs::Step::Synced => crash_point!("P5.after_fsync"),
            fs::Step::Renamed => crash_point!("P5.after_rename"),
            fs::Step::Done => crash_point!("P5.after_folder_fsync"),
        })?;
        self.manifest = next;
        self.pending.clear();
        self.given = 0;
        self.extra_values = 0;
        Ok(())
    }

    /// Forgets everything since the last checkpoint.
    ///
    /// # Errors
    /// `Io`, after all was forgotten: what could not be deleted goes at the next start.
    pub fn rollback(&mut self) -> Result<()> {
        let open = self.open.take().map(|part| part.temporary);
        let pending = std::mem::take(&mut self.pending);
        self.given = 0;
        self.extra_values = 0;
        self.dead = false;
        let finished = pending.iter().map(|part| self.dir.join(&part.name));
        finished
            .chain(open)
            .try_for_each(|path| fs::remove_file(&path))
    }

    /// The manifest as of the last checkpoint.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder of the package.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Counts values that were kept in `_extra`; becomes part of the next checkpoint.
    pub fn add_extra_values(&mut self, count: u64) {
        self.extra_values += count;
    }

    /// Makes all rows durable and closes the package. `rows_reported` is what the source said, kept for
    /// the record: what a difference means is for the source to judge.
    ///
    /// # Errors
    /// `Io`; `Data` if counts do not balance.
    pub fn seal(
        mut self,
        state: Option<State>,
        complete: bool,
        rows_reported: Option<u64>,
    ) -> Result<Package> {
        let mut next = self.next_manifest(state)?;
        next.complete = complete;
        next.rows_reported = rows_reported;
        next.sealed = true;
        crash_point!("P6.before_seal");
        self.adopt(next)?;
        crash_point!("P6.after_seal");
        let package = Package {
            dir: self.dir,
            manifest: self.manifest,
        };
        verify::verify_sizes(&package)?;
        Ok(package)
    }

    /// The package as of the last checkpoint; the writer is gone and so are later rows.
    ///
    /// # Errors
    /// `Io`.
    pub fn into_open(mut self) -> Result<Package> {
        self.rollback()?;
        Ok(Package {
            dir: self.dir,
            manifest: self.manifest,
        })
    }

    fn ensure_alive(&self) -> Result<()> {
        if self.dead {
            return Err(Error::bug(
                "write to a package after a failure without rolling it back",
            ));
        }
        Ok(())
    }
}

impl OpenPart {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = self
            .encoder
            .write(batch)
            .map_err(|error| encoding_failed(error, &self.temporary))?;
        if groups > 0 {
            crash_point!("P4.row_group_written");
        }
        Ok(())
    }

    /// Bytes written and to be written.
    fn size(&self) -> u64 {
        length(self.encoder.size())
    }

    fn finish(mut self, dir: &Path) -> Result<Part> {
        let failed = |error| encoding_failed(error, &self.temporary);
        self.encoder.flush().map_err(failed)?;
        crash_point!("P4.row_group_written");
        let metadata = self.encoder.finish().map_err(failed)?;
        let footer_rows = metadata.file_metadata().num_rows();
        if u64::try_from(footer_rows) != Ok(self.rows) {
            let message = format!(
                "balance the books of `{}`: {} rows given, {footer_rows} in its footer",
                self.name, self.rows
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let sink = self.encoder.sink_mut();
        let bytes = sink.bytes;
        let sha256 = verify::hex(std::mem::take(&mut sink.hasher));
        let file = sink
            .file
            .take()
            .ok_or_else(|| Error::bug("finish a file twice"))?;
        let file = file
            .into_inner()
            .map_err(|error| fs::failed(error.error(), "write", &self.temporary))?;
        crash_point!("P4.part_written");
        file.sync()?;
        crash_point!("P4.after_fsync");
        fs::rename(&self.temporary, &dir.join(&self.name))?;
        crash_point!("P4.after_rename");
        fs::sync_dir(dir)?;
        crash_point!("P4.after_folder_fsync");
        Ok(Part {
            name: self.name,
            rows: self.rows,
            bytes,
            sha256,
        })
    }
}

/// The schema of files whose rows are numbered.
fn with_row(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().map(Arc::clone).collect();
    fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// Pages of Parquet are some kilobytes; each alone would be a call to the system.
const BUFFER_BYTES: usize = 256 << 10;

/// A file that knows the hash of what was written to it.
#[derive(Debug)]
struct Sink {
    file: Option<io::BufWriter<fs::File>>,
    hasher: Sha256,
    bytes: u64,
}

impl Sink {
    fn new(file: fs::File) -> Self {
        Self {
            file: Some(io::BufWriter::with_capacity(BUFFER_BYTES, file)),
            hasher: Sha256::new(),
            bytes: 0,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("the file is finished"));
        };
        file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += length(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn store(dir: &Path, manifest: &Manifest, after: impl Fn(fs::Step)) -> Result<()> {
    fs::replace(
        &dir.join(manifest::FILE_NAME),
        &manifest::encode(manifest)?,
        after,
    )
}

/// Rows of one slice of a batch with this many rows and bytes.
fn slice_rows(rows: usize, bytes: usize) -> usize {
    let slices = bytes.div_ceil(SLICE_BYTES).max(1);
    rows.div_ceil(slices).max(1)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("part-")?
        .strip_suffix(".parquet")?
        .parse()
        .ok()
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Finds the operating system's error inside that of Parquet.
fn encoding_failed(error: ParquetError, path: &Path) -> Error {
    if let ParquetError::External(inner) = &error
        && let Some(inner) = inner.downcast_ref::<io::Error>()
    {
        return fs::failed(inner, "write", path);
    }
    Error::bug("encode rows as Parquet")
        .context("path", path.display())
        .source(error)
}

#[cfg(test)]
mod tests;
