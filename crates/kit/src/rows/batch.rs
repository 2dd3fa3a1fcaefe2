//! A batch under construction: all columns of a stream, `_extra` and the counts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use overlock_core::stream::{DELETED, EXTRA};
use overlock_core::{Error, ErrorKind, Result};

use super::column::{Column, Fit};
use super::extra::{Digest, Extra};
use super::scan::Block;
use super::text::unescape;
use super::{Counts, Options};

/// Where a source column goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Its column in the schema. Without this and `copy`, its values go to `_extra`.
    pub(super) column: Option<usize>,
    /// The column `_deleted`, if it is copied there too.
    pub(super) copy: Option<usize>,
}

impl Target {
    /// Whether the schema has no place for it.
    pub(super) fn is_unknown(self) -> bool {
        self.column.is_none() && self.copy.is_none()
    }
}

/// The columns of one CSV page.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Names as in the header.
    pub(super) header: Vec<String>,
    /// Where they go.
    pub(super) targets: Vec<Target>,
    /// Columns of the schema that the page does not have.
    pub(super) missing: Vec<usize>,
}

/// A batch under construction.
#[derive(Debug)]
pub(super) struct Builder {
    schema: SchemaRef,
    pub(super) options: Options,
    /// All columns of the schema but the last, which is `_extra`.
    columns: Vec<Column>,
    extra: Extra,
    names: HashMap<String, usize>,
    deleted: Option<usize>,
    rows: usize,
    /// About the bytes of the batch under construction.
    bytes: usize,
    /// Bytes of a row besides its text.
    row_bytes: usize,
    /// Of the batch under construction.
    pub(super) counts: Counts,
    /// Row and position of the values of a block that go to `_extra`.
    misfits: Vec<(u32, u32)>,
    scratch: Vec<u8>,
}

impl Builder {
    pub(super) fn new(schema: SchemaRef, options: Options) -> Result<Self> {
        // A stream of two thousand columns has shorter batches.
        let row_bytes = schema
            .fields()
            .iter()
            .map(|field| Column::row_bytes(field))
            .sum::<usize>();
        let capacity = (options.batch_bytes / row_bytes.max(1))
            .min(options.batch_rows)
            .clamp(1, 1 << 16);
        let Some((last, fields)) = schema.fields().split_last() else {
            return Err(Error::bug("decode rows into a schema without columns"));
        };
        if last.name() != EXTRA || *last.data_type() != DataType::Utf8 {
            return Err(Error::bug(format!(
                "decode rows into a schema whose last column is not `{EXTRA}`"
            )));
        }
        let mut columns = Vec::with_capacity(fields.len());
        let mut names = HashMap::with_capacity(fields.len());
        let mut deleted = None;
        for (at, field) in fields.iter().enumerate() {
            columns.push(Column::new(field, capacity)?);
            if field.name() == DELETED {
                if *field.data_type() != DataType::Boolean {
                    return Err(Error::bug(format!(
                        "decode `{DELETED}` as anything but Boolean"
                    )));
                }
                deleted = Some(at);
            } else if names.insert(field.name().clone(), at).is_some() {
                return Err(
                    Error::bug("decode rows into a schema with two columns of one name")
                        .context("column", field.name()),
                );
            }
        }
        Ok(Self {
            columns,
            extra: Extra::new(capacity),
            names,
            deleted,
            rows: 0,
            bytes: 0,
            row_bytes,
            counts: Counts::default(),
            misfits: Vec::new(),
            scratch: Vec::new(),
            schema,
            options,
        })
    }

    /// Rows of the batch under construction.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the schema but `_extra`.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Whether the schema has a column that comes from the source.
    pub(super) fn has_source_columns(&self) -> bool {
        !self.names.is_empty()
    }

    /// Where the source's column of this name goes.
    pub(super) fn target(&self, name: &str) -> Target {
        let copied = self.options.deleted_from.as_deref() == Some(name);
        Target {
            column: self.names.get(name).copied(),
            copy: self.deleted.filter(|_| copied),
        }
    }

    /// The layout of a page with this header.
    pub(super) fn layout(&self, header: Vec<String>) -> Layout {
        let targets: Vec<_> = header.iter().map(|name| self.target(name)).collect();
        let mut filled = vec![false; self.columns.len()];
        for column in targets
            .iter()
            .flat_map(|target| [target.column, target.copy])
            .flatten()
        {
            if let Some(filled) = filled.get_mut(column) {
                *filled = true;
            }
        }
        let missing = (0..filled.len())
            .filter(|column| !filled[*column])
            .collect();
        Layout {
            header,
            targets,
            missing,
        }
    }

    /// How many of the page's missing columns are the source's own.
    pub(super) fn count_missing(&self, layout: &Layout) -> u64 {
        let missing = layout.missing.iter();
        missing
            .filter(|column| Some(**column) != self.deleted)
            .count() as u64
    }

    /// Adds the records of a block, which came as `bytes` bytes, column by column.
    pub(super) fn take_block(
        &mut self,
        block: &Block<'_>,
        layout: &Layout,
        bytes: usize,
    ) -> Result<()> {
        let rows = block.rows();
        self.misfits.clear();
        for (position, target) in layout.targets.iter().enumerate() {
            for column in [target.column, target.copy].into_iter().flatten() {
                let before = self.misfits.len();
                if let Some(builder) = self.columns.get_mut(column) {
                    builder.extend_csv(
                        block,
                        position,
                        &self.options,
                        &mut self.counts,
                        &mut self.misfits,
                    );
                }
                // What misfits the copy misfits the column as well, and is kept once.
                if target.column.is_some_and(|original| original != column) {
                    self.misfits.truncate(before);
                }
            }
            if target.is_unknown() {
                let keep_empty = !self.options.empty_is_null;
                let null = self.options.null_text.as_deref().map(str::as_bytes);
                for (row, field) in block.column(position).enumerate() {
                    let is_null = null.is_some() && field.plain() == null;
                    if !is_null && (keep_empty || !field.is_empty()) {
                        self.misfits
                            .push((super::column::index(row), super::column::index(position)));
                    }
                }
            }
        }
        for column in &layout.missing {
            if let Some(builder) = self.columns.get_mut(*column) {
                builder.push_nulls(rows);
            }
        }
        self.take_misfits(block, layout)?;
        self.rows += rows;
        self.counts.rows += rows as u64;
        self.bytes += bytes + rows * self.row_bytes;
        Ok(())
    }

    fn take_misfits(&mut self, block: &Block<'_>, layout: &Layout) -> Result<()> {
        if self.misfits.is_empty() {
            self.extra.push_nulls(block.rows());
            return Ok(());
        }
        self.misfits.sort_unstable();
        let (options, counts) = (&self.options, &mut self.counts);
        let mut misfits = self.misfits.iter().peekable();
        for row in 0..block.rows() {
            while let Some((_, position)) = misfits.next_if(|(at, _)| *at as usize == row) {
                let position = *position as usize;
                let name = layout
                    .header
                    .get(position)
                    .map_or(&b""[..], |name| name.as_bytes());
                let field = block.field(row, position);
                if let Some(digest) = block.digest(position) {
                    self.extra.add_digest(name, digest, options, counts)?;
                    continue;
                }
                self.scratch.clear();
                field.unescape(&mut self.scratch);
                if self.scratch.len() > options.max_value_bytes {
                    let digest = Digest::of(&self.scratch);
                    self.extra.add_digest(name, &digest, options, counts)?;
                } else {
                    self.extra.add_text(name, &self.scratch, counts);
                }
            }
            self.extra.end_row(options, counts)?;
        }
        Ok(())
    }

    /// Adds one JSON record: a raw value per column of the schema, and what the schema does not know.
    pub(super) fn take_record<'a>(
        &mut self,
        values: &[Option<&'a str>],
        copy: Option<&'a str>,
        unknown: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        let mut kept = 0;
        for (at, builder) in self.columns.iter_mut().enumerate() {
            let (name, value) = if Some(at) == self.deleted {
                (
                    self.options.deleted_from.as_deref().unwrap_or(DELETED),
                    copy,
                )
            } else {
                (
                    self.schema.field(at).name().as_str(),
                    values.get(at).copied().flatten(),
                )
            };
            let Some(raw) = value else {
                builder.push_nulls(1);
                continue;
            };
            if raw.len() > self.options.max_value_bytes
                && let Some(digest) = digest_if_long(raw, &self.options, &mut self.scratch)
            {
                builder.push_nulls(1);
                self.extra
                    .add_digest(name.as_bytes(), &digest, &self.options, &mut self.counts)?;
                continue;
            }
            kept += raw.len();
            let fit = builder.push_json(raw, &self.options, &mut self.counts, &mut self.scratch);
            let is_second = Some(at) == self.deleted && self.names.contains_key(name);
            if fit == Fit::Misfit && !is_second {
                self.extra
                    .add_json(name.as_bytes(), raw.as_bytes(), &mut self.counts);
            }
        }
        for (name, raw) in unknown {
            match digest_if_long(raw, &self.options, &mut self.scratch) {
                Some(digest) => {
                    self.extra.add_digest(
                        name.as_bytes(),
                        &digest,
                        &self.options,
                        &mut self.counts,
                    )?;
                }
                None => self
                    .extra
                    .add_json(name.as_bytes(), raw.as_bytes(), &mut self.counts),
            }
            kept += name.len() + raw.len();
        }
        self.extra.end_row(&self.options, &mut self.counts)?;
        if kept > self.options.max_row_bytes {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "keep a record of more than {} bytes",
                    self.options.max_row_bytes
                ),
            ));
        }
        self.rows += 1;
        self.counts.rows += 1;
        self.bytes += kept + self.row_bytes;
        Ok(())
    }

    /// Whether it is time for [`Self::finish`].
    pub(super) fn is_full(&self) -> bool {
        self.rows >= self.options.batch_rows.max(1) || self.bytes >= self.options.batch_bytes
    }

    /// Drops the batch under construction.
    pub(super) fn clear(&mut self) {
        for column in &mut self.columns {
            column.clear();
        }
        self.extra.clear();
        self.rows = 0;
        self.bytes = 0;
        self.counts = Counts::default();
    }

    /// The batch, if it has rows, and what was seen in it; empty afterwards.
    pub(super) fn finish(&mut self) -> Result<Option<(RecordBatch, Counts)>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(self.columns.len() + 1);
        for column in &mut self.columns {
            let (array, lossy) = column.finish()?;
            self.counts.lossy_strings += lossy;
            arrays.push(array);
        }
        arrays.push(self.extra.finish()?);
        self.rows = 0;
        self.bytes = 0;
        let counts = std::mem::take(&mut self.counts);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| {
            Error::new(
                ErrorKind::Data,
                "build a batch that has the stream's schema",
            )
            .source(error)
        })?;
        Ok(Some((batch, counts)))
    }
}

/// Length and hash of a JSON value whose text is too long.
fn digest_if_long(raw: &str, options: &Options, scratch: &mut Vec<u8>) -> Option<Digest> {
    if raw.len() <= options.max_value_bytes {
        return None;
    }
    let [b'"', inner @ .., b'"'] = raw.as_bytes() else {
        return Some(Digest::of(raw.as_bytes()));
    };
    scratch.clear();
    unescape(inner, scratch);
    (scratch.len() > options.max_value_bytes).then(|| Digest::of(scratch))
}
