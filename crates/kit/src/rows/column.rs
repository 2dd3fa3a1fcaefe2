//! Column builders that are filled straight from text.
//!
//! Text is collected as bytes and checked for UTF-8 once per batch, all values of a column at a time: only a
//! batch that fails is looked at value by value, and only the broken values change.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
    Float64Array, Int64Array, NullBufferBuilder, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit};
use base64::Engine as _;
use overlock_core::stream::is_json;
use overlock_core::{Error, Result};

use super::scan::{Block, Field as CsvField};
use super::text::{copy_json, is_deep, unescape, write_string};
use super::{Counts, Options, date, decimal, float, integer, time, timestamp};

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is in its column.
    Kept,
    /// The column is null; the value belongs into `_extra`.
    Misfit,
}

/// Values of a fixed width.
#[derive(Debug)]
pub(super) struct Fixed<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
    /// Which values of a block are there; only to be reused.
    valid: Vec<bool>,
}

impl<T: Copy + Default> Fixed<T> {
    fn new(capacity: usize) -> Self {
        Self {
            values: Vec::with_capacity(capacity),
            nulls: NullBufferBuilder::new(capacity),
            valid: Vec::new(),
        }
    }

    #[inline]
    fn push(&mut self, value: Option<T>) -> Fit {
        if let Some(value) = value {
            self.values.push(value);
            self.nulls.append_non_null();
            Fit::Kept
        } else {
            self.values.push(T::default());
            self.nulls.append_null();
            Fit::Misfit
        }
    }

    fn push_nulls(&mut self, count: usize) {
        self.values.resize(self.values.len() + count, T::default());
        self.nulls.append_n_nulls(count);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.nulls.truncate(0);
    }

    fn take(&mut self) -> (Vec<T>, Option<arrow::buffer::NullBuffer>) {
        let empty = Vec::with_capacity(self.values.len());
        (
            std::mem::replace(&mut self.values, empty),
            self.nulls.finish(),
        )
    }

    /// One loop over a column of a block; `parse` is compiled into it.
    fn extend(
        &mut self,
        block: &Block<'_>,
        position: usize,
        options: &Options,
        counts: &mut Counts,
        misfits: &mut Vec<(u32, u32)>,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) {
        let max = options.max_value_bytes;
        self.values.reserve(block.rows());
        self.valid.clear();
        for (row, field) in block.column(position).enumerate() {
            let value = field.short(max).and_then(&parse);
            if value.is_none() && !is_null(&field, options, counts) {
                misfits.push((index(row), index(position)));
            }
            self.values.push(value.unwrap_or_default());
            self.valid.push(value.is_some());
        }
        append_valid(&mut self.nulls, &self.valid);
    }
}

/// Whether a CSV field of a column that is not text stands for nothing.
fn is_null(field: &CsvField<'_>, options: &Options, counts: &mut Counts) -> bool {
    let Some(null) = options.null_text.as_deref() else {
        return field.is_empty();
    };
    counts.nulls_from_empty += u64::from(field.is_empty());
    field.is_empty() || field.plain() == Some(null.as_bytes())
}

/// Appends the validity of a block; most have no null at all.
fn append_valid(nulls: &mut NullBufferBuilder, valid: &[bool]) {
    if valid.iter().all(|valid| *valid) {
        nulls.append_n_non_nulls(valid.len());
    } else if valid.iter().any(|valid| *valid) {
        nulls.append_slice(valid);
    } else {
        nulls.append_n_nulls(valid.len());
    }
}

/// Rows and columns of a block are counted in `u32`; blocks are far smaller.
pub(super) fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Values of any length.
#[derive(Debug)]
pub(super) struct Text {
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    /// Which values of a block are there; only to be reused.
    valid: Vec<bool>,
}

/// Values up to this length are copied as if they had it, which is faster than to look.
const STRIDE: usize = 64;

impl Text {
    pub(super) fn new(capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push(0);
        Self {
            values: Vec::new(),
            offsets,
            nulls: NullBufferBuilder::new(capacity),
            valid: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        self.values.extend_from_slice(value);
        self.close();
    }

    /// Takes one column of a block.
    fn extend(
        &mut self,
        block: &Block<'_>,
        position: usize,
        options: &Options,
        misfits: &mut Vec<(u32, u32)>,
    ) {
        let (max, empty_is_null) = (options.max_value_bytes, options.empty_is_null);
        let null = options.null_text.as_deref().map(str::as_bytes);
        let rows = block.rows();
        let data = block.data();
        let bytes: usize = block.column(position).map(|field| field.raw_len()).sum();
        let mut end = self.values.len();
        // Room for all values, and for what is copied behind the last one for speed.
        self.values.resize(end + bytes + STRIDE, 0);
        self.offsets.reserve(rows);
        self.valid.clear();
        for (row, field) in block.column(position).enumerate() {
            let mut is_valid = true;
            if let Some(plain) = field.short(max) {
                let start = field.start();
                let source = data.get(start..start + STRIDE);
                let target = self.values.get_mut(end..end + STRIDE);
                if let (true, Some(source), Some(target)) = (plain.len() <= STRIDE, source, target)
                {
                    target.copy_from_slice(source);
                } else if let Some(target) = self.values.get_mut(end..end + plain.len()) {
                    target.copy_from_slice(plain);
                }
                if null.is_some() && Some(plain) == null {
                    is_valid = false;
                } else {
                    end += plain.len();
                    is_valid = !plain.is_empty() || !empty_is_null;
                }
            } else if field.len() > max {
                is_valid = false;
                misfits.push((index(row), index(position)));
            } else {
                end += field.unescape_into(self.values.get_mut(end..).unwrap_or_default());
            }
            self.offsets.push(offset(end));
            self.valid.push(is_valid);
        }
        self.values.truncate(end);
        append_valid(&mut self.nulls, &self.valid);
    }

    /// Ends the value whose bytes were written to [`Self::bytes`].
    #[inline]
    pub(super) fn close(&mut self) {
        self.offsets.push(offset(self.values.len()));
        self.nulls.append_non_null();
    }

    /// Where the bytes of the next value go.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.values
    }

    #[inline]
    pub(super) fn push_nulls(&mut self, count: usize) {
        let end = offset(self.values.len());
        self.offsets.resize(self.offsets.len() + count, end);
        self.nulls.append_n_nulls(count);
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.offsets.truncate(1);
        self.nulls.truncate(0);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<arrow::buffer::NullBuffer>) {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        let offsets = std::mem::replace(&mut self.offsets, offsets);
        // A tenth more than this batch needed, so that the next one seldom has to grow.
        let room = self.values.len() + self.values.len() / 10;
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(room));
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(values),
            self.nulls.finish(),
        )
    }

    /// The column as text, and how many of its values were repaired.
    pub(super) fn finish(&mut self) -> Result<(ArrayRef, u64)> {
        let (offsets, values, nulls) = self.take();
        if let Ok(array) = StringArray::try_new(offsets.clone(), values.clone(), nulls.clone()) {
            return Ok((Arc::new(array), 0));
        }
        let mut fixed = Vec::with_capacity(values.len() + 64);
        let mut ends = vec![0];
        let mut lossy = 0;
        for pair in offsets.windows(2) {
            let [start, end] = pair else { continue };
            let range = usize::try_from(*start).unwrap_or(0)..usize::try_from(*end).unwrap_or(0);
            let value = values.get(range).unwrap_or_default();
            let text = String::from_utf8_lossy(value);
            lossy += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
            fixed.extend_from_slice(text.as_bytes());
            ends.push(offset(fixed.len()));
        }
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        let array = StringArray::try_new(ends, Buffer::from_vec(fixed), nulls)
            .map_err(|error| Error::bug("build a text column").source(error))?;
        Ok((Arc::new(array), lossy))
    }

    fn finish_binary(&mut self) -> Result<ArrayRef> {
        let (offsets, values, nulls) = self.take();
        let array = BinaryArray::try_new(offsets, values, nulls)
            .map_err(|error| Error::bug("build a binary column").source(error))?;
        Ok(Arc::new(array))
    }
}

/// Batches are closed long before two gigabytes.
#[inline]
fn offset(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// One column of a batch under construction.
#[derive(Debug)]
pub(super) enum Column {
    Boolean(BooleanBufferBuilder, NullBufferBuilder),
    Integer(Fixed<i64>),
    Float(Fixed<f64>),
    Decimal(Fixed<i128>, u8, i8),
    Date(Fixed<i32>),
    Timestamp(Fixed<i64>, DataType),
    Text(Text),
    Json(Text),
    Binary(Text),
}

impl Column {
    pub(super) fn new(field: &Field, capacity: usize) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean(
                BooleanBufferBuilder::new(capacity),
                NullBufferBuilder::new(capacity),
            ),
            DataType::Int64 => Self::Integer(Fixed::new(capacity)),
            DataType::Float64 => Self::Float(Fixed::new(capacity)),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal(Fixed::new(capacity), *precision, *scale)
            }
            DataType::Date32 => Self::Date(Fixed::new(capacity)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Timestamp(Fixed::new(capacity), field.data_type().clone())
            }
            DataType::Utf8 if is_json(field) => Self::Json(Text::new(capacity)),
            DataType::Utf8 => Self::Text(Text::new(capacity)),
            DataType::Binary => Self::Binary(Text::new(capacity)),
            other => {
                return Err(Error::bug(format!(
                    "decode rows into column `{}` of type {other}",
                    field.name()
                )));
            }
        })
    }

    /// Bytes that a row takes whatever its value; text comes on top.
    pub(super) fn row_bytes(field: &Field) -> usize {
        match field.data_type() {
            DataType::Boolean => 1,
            DataType::Decimal128(..) => 16,
            DataType::Int64 | DataType::Float64 | DataType::Timestamp(..) => 8,
            _ => 4,
        }
    }

    pub(super) fn push_nulls(&mut self, count: usize) {
        match self {
            Self::Boolean(values, nulls) => {
                values.append_n(count, false);
                nulls.append_n_nulls(count);
            }
            Self::Integer(fixed) | Self::Timestamp(fixed, _) => fixed.push_nulls(count),
            Self::Float(fixed) => fixed.push_nulls(count),
            Self::Decimal(fixed, _, _) => fixed.push_nulls(count),
            Self::Date(fixed) => fixed.push_nulls(count),
            Self::Text(text) | Self::Json(text) | Self::Binary(text) => text.push_nulls(count),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Boolean(values, nulls) => {
                values.truncate(0);
                nulls.truncate(0);
            }
            Self::Integer(fixed) | Self::Timestamp(fixed, _) => fixed.clear(),
            Self::Float(fixed) => fixed.clear(),
            Self::Decimal(fixed, _, _) => fixed.clear(),
            Self::Date(fixed) => fixed.clear(),
            Self::Text(text) | Self::Json(text) | Self::Binary(text) => text.clear(),
        }
    }

    /// Takes one column of a block of CSV records; rows whose value does not fit are added to `misfits`.
    pub(super) fn extend_csv(
        &mut self,
        block: &Block<'_>,
        position: usize,
        options: &Options,
        counts: &mut Counts,
        misfits: &mut Vec<(u32, u32)>,
    ) {
        let max = options.max_value_bytes;
        match self {
            Self::Boolean(values, nulls) => {
                for (row, field) in block.column(position).enumerate() {
                    let value = field.short(max).and_then(boolean);
                    if value.is_none() && !is_null(&field, options, counts) {
                        misfits.push((index(row), index(position)));
                    }
                    values.append(value.unwrap_or(false));
                    nulls.append(value.is_some());
                }
            }
            Self::Integer(fixed) => {
                fixed.extend(block, position, options, counts, misfits, integer);
            }
            Self::Float(fixed) => fixed.extend(block, position, options, counts, misfits, float),
            Self::Decimal(fixed, precision, scale) => {
                let (precision, scale) = (*precision, *scale);
                fixed.extend(block, position, options, counts, misfits, |text| {
                    decimal(text, precision, scale)
                });
            }
            Self::Date(fixed) => fixed.extend(block, position, options, counts, misfits, date),
            Self::Timestamp(fixed, _) => {
                let zoneless = options.zoneless_is_utc;
                let zone = options.bare_date_zone;
                fixed.extend(block, position, options, counts, misfits, |text| {
                    timestamp(text, zoneless).or_else(|| time::midnight(date(text)?, zone?))
                });
            }
            Self::Text(text) => {
                text.extend(block, position, options, misfits);
            }
            Self::Json(text) => {
                let mut scratch = Vec::new();
                for (row, field) in block.column(position).enumerate() {
                    scratch.clear();
                    field.unescape(&mut scratch);
                    if is_null(&field, options, counts) {
                        text.push_nulls(1);
                    } else if field.len() > max || !is_valid_json(&scratch) {
                        text.push_nulls(1);
                        misfits.push((index(row), index(position)));
                    } else {
                        push_json(text, scratch.trim_ascii(), counts);
                    }
                }
            }
            Self::Binary(text) => {
                for (row, field) in block.column(position).enumerate() {
                    if is_null(&field, options, counts) {
                        text.push_nulls(1);
                    } else if !field
                        .short(max)
                        .is_some_and(|plain| push_base64(text, plain))
                    {
                        text.push_nulls(1);
                        misfits.push((index(row), index(position)));
                    }
                }
            }
        }
    }

    /// Takes one JSON value of at most `max_value_bytes`. `scratch` is only there to be reused.
    pub(super) fn push_json(
        &mut self,
        raw: &str,
        options: &Options,
        counts: &mut Counts,
        scratch: &mut Vec<u8>,
    ) -> Fit {
        let bytes = raw.as_bytes();
        if raw == "null" {
            self.push_nulls(1);
            return Fit::Kept;
        }
        if let Self::Json(text) = self {
            push_json(text, bytes, counts);
            return Fit::Kept;
        }
        let inner = match bytes {
            [b'"', inner @ .., b'"'] => Some(inner),
            _ => None,
        };
        if let Self::Text(text) = self {
            match inner {
                Some(inner) => counts.lossy_strings += u64::from(unescape(inner, &mut text.values)),
                None if is_deep(bytes) => {
                    counts.deep_values += 1;
                    text.values.extend_from_slice(bytes);
                }
                None => count_replaced(copy_json(bytes, &mut text.values), counts),
            }
            text.close();
            return Fit::Kept;
        }
        let value = match inner {
            Some(b"") => {
                counts.nulls_from_empty += 1;
                self.push_nulls(1);
                return Fit::Kept;
            }
            Some(inner) if inner.contains(&b'\\') => {
                scratch.clear();
                // A lone surrogate is no part of any number or date, so this one will be a misfit.
                unescape(inner, scratch);
                scratch.as_slice()
            }
            Some(inner) => inner,
            None => bytes,
        };
        let is_string = inner.is_some();
        match self {
            Self::Boolean(values, nulls) => {
                let value = boolean(value);
                values.append(value.unwrap_or(false));
                nulls.append(value.is_some());
                if value.is_some() {
                    Fit::Kept
                } else {
                    Fit::Misfit
                }
            }
            Self::Integer(fixed) => fixed.push(integer(value)),
            Self::Float(fixed) => fixed.push(float(value)),
            Self::Decimal(fixed, precision, scale) => {
                let value = decimal(value, *precision, *scale);
                fixed.push(value)
            }
            Self::Date(fixed) => fixed.push(if is_string { date(value) } else { None }),
            Self::Timestamp(fixed, _) => fixed.push(if is_string {
                timestamp(value, options.zoneless_is_utc)
            } else {
                time::epoch_millis(value)
            }),
            Self::Binary(text) => {
                if is_string && push_base64(text, value) {
                    Fit::Kept
                } else {
                    text.push_nulls(1);
                    Fit::Misfit
                }
            }
            Self::Text(_) | Self::Json(_) => Fit::Misfit,
        }
    }

    /// The column as an array, and how many of its strings were repaired; empty afterwards.
    pub(super) fn finish(&mut self) -> Result<(ArrayRef, u64)> {
        let array: ArrayRef = match self {
            Self::Boolean(values, nulls) => {
                Arc::new(BooleanArray::new(values.finish(), nulls.finish()))
            }
            Self::Integer(fixed) => {
                let (values, nulls) = fixed.take();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Self::Float(fixed) => {
                let (values, nulls) = fixed.take();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Self::Decimal(fixed, precision, scale) => {
                let (values, nulls) = fixed.take();
                let array = Decimal128Array::new(values.into(), nulls)
                    .with_precision_and_scale(*precision, *scale)
                    .map_err(|error| Error::bug("build a decimal column").source(error))?;
                Arc::new(array)
            }
            Self::Date(fixed) => {
                let (values, nulls) = fixed.take();
                Arc::new(Date32Array::new(values.into(), nulls))
            }
            Self::Timestamp(fixed, data_type) => {
                let (values, nulls) = fixed.take();
                let array = TimestampMicrosecondArray::new(values.into(), nulls);
                Arc::new(array.with_data_type(data_type.clone()))
            }
            Self::Text(text) | Self::Json(text) => return text.finish(),
            Self::Binary(text) => text.finish_binary()?,
        };
        Ok((array, 0))
    }
}

fn boolean(text: &[u8]) -> Option<bool> {
    if text == b"true" || text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text == b"false" || text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// Whether the text is one JSON value; serde_json skips values without recursion.
fn is_valid_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
        && std::str::from_utf8(text).is_ok()
}

fn push_json(text: &mut Text, raw: &[u8], counts: &mut Counts) {
    if is_deep(raw) {
        counts.deep_values += 1;
        count_replaced(write_string(raw, &mut text.values), counts);
    } else {
        count_replaced(copy_json(raw, &mut text.values), counts);
    }
    text.close();
}

pub(super) fn count_replaced(replaced: super::text::Replaced, counts: &mut Counts) {
    counts.nul_replaced += u64::from(replaced.nul);
    counts.lossy_strings += u64::from(replaced.lossy);
}

fn push_base64(text: &mut Text, value: &[u8]) -> bool {
    let before = text.values.len();
    let decoded = base64::engine::general_purpose::STANDARD.decode_vec(value, &mut text.values);
    if decoded.is_err() {
        text.values.truncate(before);
        return false;
    }
    text.close();
    true
}
