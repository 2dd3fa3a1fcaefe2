//! Streaming the rows of a view, one batch at a time.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use overlock_core::{Error, Part, Result};
use overlock_package as package;

use crate::adapt::Adapter;
use crate::table::Verified;

/// One file to read.
pub(crate) struct Job {
    pub(crate) dir: PathBuf,
    pub(crate) part: Part,
    pub(crate) adapter: Arc<Adapter>,
    /// Which of its rows stay; `None`: all.
    pub(crate) keep: Option<BooleanBuffer>,
}

/// The batches of a view. After an error it ends.
pub struct Scan {
    schema: SchemaRef,
    jobs: VecDeque<Job>,
    verified: Verified,
    current: Option<Current>,
}

struct Current {
    batches: package::Batches,
    adapter: Arc<Adapter>,
    keep: Option<BooleanBuffer>,
    row: usize,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Scan {
    pub(crate) fn new(schema: SchemaRef, jobs: Vec<Job>, verified: Verified) -> Self {
        Self {
            schema,
            jobs: jobs.into(),
            verified,
            current: None,
        }
    }

    /// Schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.advance()? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    Some(batch) => return Ok(Some(batch)),
                    None => self.current = None,
                }
            }
            let Some(job) = self.jobs.pop_front() else {
                return Ok(None);
            };
            if job
                .keep
                .as_ref()
                .is_some_and(|keep| keep.count_set_bits() == 0)
            {
                continue;
            }
            self.verified.check(&job.dir, &job.part)?;
            let columns = &job.adapter.columns;
            self.current = Some(Current {
                batches: package::read_verified_part(&job.dir, &job.part, Some(columns))?,
                adapter: job.adapter,
                keep: job.keep,
                row: 0,
            });
        }
    }
}

impl Current {
    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.batches.next().transpose()? else {
            return Ok(None);
        };
        let rows = batch.num_rows();
        let Some(keep) = &self.keep else {
            return self.adapter.adapt(&batch).map(Some);
        };
        let keep = keep.slice(self.row, rows);
        self.row += rows;
        let kept = match keep.count_set_bits() {
            count if count == rows => batch,
            0 => batch.slice(0, 0),
            _ => filter_record_batch(&batch, &BooleanArray::new(keep, None))
                .map_err(|error| Error::bug("choose rows").source(error))?,
        };
        self.adapter.adapt(&kept).map(Some)
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.current = None;
            self.jobs.clear();
        }
        next
    }
}
