//! The column `_extra`: per row a JSON object with what has no place in a typed column, or null.

use arrow::array::ArrayRef;
use overlock_core::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use super::column::{Text, count_replaced};
use super::text::{copy_json, is_deep, write_string};
use super::{Counts, Options, Oversize};

/// Length and hash of a value that is too long to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

impl Digest {
    pub(super) fn of(value: &[u8]) -> Self {
        Self {
            bytes: value.len() as u64,
            sha256: Sha256::digest(value).into(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut text = format!(
            "{{\"_truncated\":true,\"bytes\":{},\"sha256\":\"",
            self.bytes
        );
        for byte in self.sha256 {
            text.extend([byte >> 4, byte & 15].map(hex_digit));
        }
        text.push_str("\"}");
        out.extend_from_slice(text.as_bytes());
    }
}

/// Builder of `_extra`. Values of a row are added in turn, then the row is ended.
#[derive(Debug)]
pub(super) struct Extra {
    column: Text,
    row: Vec<u8>,
    entries: u64,
    oversize: u64,
}

impl Extra {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            column: Text::new(capacity),
            row: Vec::new(),
            entries: 0,
            oversize: 0,
        }
    }

    fn key(&mut self, name: &[u8], counts: &mut Counts) {
        self.row.push(if self.entries == 0 { b'{' } else { b',' });
        count_replaced(write_string(name, &mut self.row), counts);
        self.row.push(b':');
        self.entries += 1;
    }

    /// Adds a value that is text at the source.
    pub(super) fn add_text(&mut self, name: &[u8], value: &[u8], counts: &mut Counts) {
        self.key(name, counts);
        count_replaced(write_string(value, &mut self.row), counts);
    }

    /// Adds a value that is JSON at the source.
    pub(super) fn add_json(&mut self, name: &[u8], raw: &[u8], counts: &mut Counts) {
        self.key(name, counts);
        if is_deep(raw) {
            counts.deep_values += 1;
            count_replaced(write_string(raw, &mut self.row), counts);
        } else {
            count_replaced(copy_json(raw, &mut self.row), counts);
        }
    }

    /// Adds what is left of a value that is too long.
    ///
    /// # Errors
    /// `Schema` if the user asked for failure.
    pub(super) fn add_digest(
        &mut self,
        name: &[u8],
        digest: &Digest,
        options: &Options,
        counts: &mut Counts,
    ) -> Result<()> {
        if options.oversize == Oversize::Fail {
            return Err(oversize(
                &String::from_utf8_lossy(name),
                digest.bytes,
                options,
            ));
        }
        self.key(name, counts);
        digest.write(&mut self.row);
        self.oversize += 1;
        Ok(())
    }

    /// Ends a row.
    ///
    /// # Errors
    /// `Schema` if the row's object itself is too long and the user asked for failure.
    pub(super) fn end_row(&mut self, options: &Options, counts: &mut Counts) -> Result<()> {
        if self.entries == 0 {
            self.column.push_nulls(1);
            return Ok(());
        }
        self.row.push(b'}');
        counts.extra_values += self.entries;
        counts.oversize_values += self.oversize;
        if self.row.len() > options.max_value_bytes {
            let digest = Digest::of(&self.row);
            if options.oversize == Oversize::Fail {
                return Err(oversize(
                    overlock_core::stream::EXTRA,
                    digest.bytes,
                    options,
                ));
            }
            counts.oversize_values += 1;
            digest.write(self.column.bytes());
            self.column.close();
        } else {
            self.column.push(&self.row);
        }
        self.row.clear();
        self.entries = 0;
        self.oversize = 0;
        Ok(())
    }

    /// Ends `count` rows without anything extra.
    pub(super) fn push_nulls(&mut self, count: usize) {
        self.column.push_nulls(count);
    }

    /// Drops all rows, also one that has not ended.
    pub(super) fn clear(&mut self) {
        self.column.clear();
        self.row.clear();
        self.entries = 0;
        self.oversize = 0;
    }

    /// The column as an array; empty afterwards.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        Ok(self.column.finish()?.0)
    }
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

fn oversize(name: &str, bytes: u64, options: &Options) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!(
            "keep a value of {bytes} bytes: at most {} are allowed",
            options.max_value_bytes
        ),
    )
    .context("column", name)
    .hint("raise `max_value_bytes`, leave the column out, or set `oversize = \"truncate\"` to keep only its length and hash")
}
