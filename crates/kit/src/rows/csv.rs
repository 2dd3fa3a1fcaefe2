//! CSV to Arrow.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use overlock_core::Result;

use super::{Counts, Options};

/// Decodes one CSV page, fed in chunks that are cut anywhere.
#[derive(Debug)]
pub struct CsvDecoder {
    _schema: SchemaRef,
    _options: Options,
}

impl CsvDecoder {
    /// Prepares for one page with these columns.
    ///
    /// # Errors
    /// `Bug` if the schema has a column type that rows cannot have.
    pub fn new(schema: SchemaRef, options: Options) -> Result<Self> {
        Ok(Self {
            _schema: schema,
            _options: options,
        })
    }

    /// Takes the next bytes of the page; full batches are added to `batches`.
    ///
    /// # Errors
    /// `Data` if the page is not CSV of this stream.
    pub fn feed(&mut self, _bytes: &[u8], _batches: &mut Vec<RecordBatch>) -> Result<()> {
        Ok(())
    }

    /// Ends the page; the last batch, if it has rows, is added to `batches`.
    ///
    /// # Errors
    /// `Data` if the page ends within a record or has no header.
    pub fn finish(&mut self, _batches: &mut Vec<RecordBatch>) -> Result<Counts> {
        Ok(Counts::default())
    }
}
