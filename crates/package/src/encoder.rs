//! Rows into the row groups of one Parquet file, the columns side by side.
//!
//! Encoding is the largest cost of a sync, and columns know nothing of each other: each batch is spread over
//! the threads of rayon's pool, column by column, and only whole row groups reach the file, in order, on the
//! thread that called. What the file looks like does not depend on how many threads there are.

use std::cmp::Reverse;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;

type Result<T> = std::result::Result<T, ParquetError>;

/// Rows that are worth waking the other threads for.
const ENOUGH_ROWS: usize = 8192;

/// Memory of rows that is, however few they are. Bounds what waits.
const ENOUGH_BYTES: usize = 4 << 20;

/// Writes one Parquet file.
#[derive(Debug)]
pub(crate) struct Encoder<W: Write + Send> {
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    limits: Limits,
    /// Of the row group under construction.
    columns: Vec<Column>,
    /// Rows that are in `columns`.
    rows: usize,
    /// Rows that are not, in order.
    waiting: Vec<RecordBatch>,
}

/// When a row group is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Rows at most.
    pub(crate) rows: usize,
    /// Bytes in memory after which it is written.
    pub(crate) bytes: usize,
}

/// The writers of one top-level column: one for each of its leaves.
#[derive(Default)]
struct Column(Vec<ArrowColumnWriter>);

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Column({} leaves)", self.0.len())
    }
}

impl Column {
    fn write(&mut self, field: &Field, array: &ArrayRef) -> Result<()> {
        let leaves = compute_leaves(field, array)?;
        if leaves.len() != self.0.len() {
            let name = field.name();
            return Err(ParquetError::General(format!("encode column `{name}`")));
        }
        let mut pairs = self.0.iter_mut().zip(&leaves);
        pairs.try_for_each(|(writer, leaf)| writer.write(leaf))
    }
}

impl<W: Write + Send> Encoder<W> {
    /// Starts a file.
    pub(crate) fn new(
        sink: W,
        schema: &SchemaRef,
        properties: WriterProperties,
        limits: Limits,
    ) -> Result<Self> {
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        Ok(Self {
            file,
            factory,
            schema: Arc::clone(schema),
            limits,
            columns: Vec::new(),
            rows: 0,
            waiting: Vec::new(),
        })
    }

    /// Adds rows; says how many row groups were written.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<usize> {
        let before = self.file.flushed_row_groups().len();
        let most = self.limits.rows.max(1);
        let mut offset = 0;
        while offset < batch.num_rows() {
            let room = most - self.rows - self.waiting_rows();
            let length = room.min(batch.num_rows() - offset);
            self.waiting.push(batch.slice(offset, length));
            offset += length;
            let is_full = self.rows + self.waiting_rows() >= most;
            let is_enough = self.waiting_rows() >= ENOUGH_ROWS
                || self.waiting_bytes() >= ENOUGH_BYTES.min(self.limits.bytes);
            if is_full || is_enough {
                self.encode()?;
            }
            if is_full || self.held_bytes() >= self.limits.bytes {
                self.flush()?;
            }
        }
        Ok(self.file.flushed_row_groups().len() - before)
    }

    fn waiting_rows(&self) -> usize {
        self.waiting.iter().map(RecordBatch::num_rows).sum()
    }

    fn waiting_bytes(&self) -> usize {
        let sizes = self.waiting.iter().map(RecordBatch::get_array_memory_size);
        sizes.sum()
    }

    /// Encodes the rows that wait, each column on whichever thread is free.
    fn encode(&mut self) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = self.start_row_group()?;
        }
        let batches = std::mem::take(&mut self.waiting);
        let size = |index: usize| -> usize {
            let columns = batches.iter().map(|batch| batch.column(index));
            columns.map(Array::get_buffer_memory_size).sum()
        };
        let fields = self.schema.fields().iter().enumerate();
        let mut jobs: Vec<_> = fields.zip(&mut self.columns).collect();
        // The longest first: what is left for the end is short, and no thread waits long for the last one.
        jobs.sort_by_cached_key(|((index, _), _)| Reverse(size(*index)));
        jobs.into_iter()
            .par_bridge()
            .try_for_each(|((index, field), column)| {
                let mut arrays = batches.iter().map(|batch| batch.column(index));
                arrays.try_for_each(|array| column.write(field, array))
            })?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        self.rows += rows;
        Ok(())
    }

    fn start_row_group(&self) -> Result<Vec<Column>> {
        let group = self.file.flushed_row_groups().len();
        let leaves = self.factory.create_column_writers(group)?;
        let mut columns: Vec<Column> = Vec::new();
        columns.resize_with(self.schema.fields().len(), Column::default);
        let schema = self.file.schema_descr();
        for (leaf, writer) in leaves.into_iter().enumerate() {
            let root = schema.get_column_root_idx(leaf);
            if let Some(column) = columns.get_mut(root) {
                column.0.push(writer);
            }
        }
        Ok(columns)
    }

    /// Writes the row group under construction, if it has rows.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            self.encode()?;
        }
        if self.rows == 0 {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns);
        self.rows = 0;
        let chunks: Vec<Vec<ArrowColumnChunk>> = columns
            .into_par_iter()
            .with_max_len(1)
            .map(|column| column.0.into_iter().map(ArrowColumnWriter::close).collect())
            .collect::<Result<_>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks.into_iter().flatten() {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes what is left and the footer.
    pub(crate) fn finish(&mut self) -> Result<ParquetMetaData> {
        self.flush()?;
        self.file.finish()
    }

    /// Memory that the encoded rows of the row group hold. What the encoders estimate to write may be more
    /// for columns that compress badly; then that counts.
    fn held_bytes(&self) -> usize {
        let memory: usize = self.leaves().map(ArrowColumnWriter::memory_size).sum();
        memory.max(self.encoded_bytes())
    }

    /// Estimated bytes of the encoded rows of the row group, once written.
    fn encoded_bytes(&self) -> usize {
        self.leaves()
            .map(ArrowColumnWriter::get_estimated_total_bytes)
            .sum()
    }

    fn leaves(&self) -> impl Iterator<Item = &ArrowColumnWriter> {
        self.columns.iter().flat_map(|column| &column.0)
    }

    /// Bytes written and to be written; rows that wait count as they are in memory.
    pub(crate) fn size(&self) -> usize {
        self.file.bytes_written() + self.encoded_bytes() + self.waiting_bytes()
    }

    /// Where the file goes. What is written to it by others ends up within the file.
    pub(crate) fn sink_mut(&mut self) -> &mut W {
        self.file.inner_mut()
    }
}
