//! Rows to Arrow in one pass over the raw bytes: CSV and JSON, nothing lost, nothing rounded.
//!
//! [`CsvDecoder`] is fed chunks of a page as they arrive, cut anywhere. [`JsonDecoder`] takes the array of
//! records of a page. Both fill typed columns straight from the text of a value. A value that does not fit
//! its column exactly, and every field the schema does not know, is kept as JSON in the column `_extra` and
//! counted: no row is lost, no sync dies because of one odd value, and a reader can see what was odd.
//! [`DecodeThread`] overlaps the network with decoding.
//!
//! **Invariant:** no number passes through `f64` unless its column is `Float64`, and then only if the text
//! comes back from it unchanged. No `serde_json::Value` is ever built here. Nothing recurses over nested input.
//!
//! **Invariant:** after an error a decoder is spent. Rows it has given out are those of whole records, but
//! whoever asked must decide whether they count; the engine drops them back to its last checkpoint.

mod batch;
mod column;
mod csv;
mod extra;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod number;
mod overlap;
mod scan;
mod text;
mod time;

use std::ops::AddAssign;

use arrow::datatypes::{Schema, SchemaRef};
use overlock_core::{Error, ErrorKind, Result};

pub use self::csv::CsvDecoder;
pub use self::json::JsonDecoder;
pub use self::number::{decimal, float, integer};
pub use self::overlap::{DecodeThread, Decoded, Prefix};
pub use self::time::{date, timestamp};

/// How rows become columns. Start from `Options::default()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Rows of a full batch.
    pub batch_rows: usize,
    /// A batch is also closed once it holds about this many bytes; some of them are in memory at a time.
    pub batch_bytes: usize,
    /// Longest value that is kept; see [`Oversize`] for longer ones.
    pub max_value_bytes: usize,
    /// Most bytes of one row that are kept; a longer row is an error.
    pub max_row_bytes: usize,
    /// Longest header row of CSV.
    pub max_header_bytes: usize,
    /// What happens to a value longer than `max_value_bytes`.
    pub oversize: Oversize,
    /// Source column whose Boolean is copied into `_deleted`; it need not be part of the schema.
    pub deleted_from: Option<String>,
    /// An empty CSV field is null in text columns too. In other columns it always is.
    pub empty_is_null: bool,
    /// Keys of JSON records that are not data, such as Salesforce's `attributes`.
    pub skip_keys: Vec<String>,
    /// Delimiter of CSV fields: one ASCII byte that is neither quote, line feed nor carriage return.
    pub delimiter: u8,
    /// Timestamps without a zone are UTC; otherwise they do not fit a timestamp column.
    pub zoneless_is_utc: bool,
    /// Header that a CSV page must have, such as the one of the first page.
    pub expected_header: Option<Vec<String>>,
    /// Names of a CSV header and the columns they mean, such as `Account.Id` and `AccountId`. Names are compared
    /// without regard to case; a name that is not here means the column of that name.
    pub renamed: Vec<(String, String)>,
    /// A CSV field of exactly this text is null, in every column.
    pub null_text: Option<String>,
    /// A date without a time in a timestamp column of CSV is the midnight that begins it in this zone; otherwise it
    /// does not fit.
    pub bare_date_zone: Option<chrono_tz::Tz>,
    /// Drops U+0000 from CSV before anything else looks at it.
    pub strip_nul: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_rows: 4096,
            batch_bytes: 8 << 20,
            max_value_bytes: 16 << 20,
            max_row_bytes: 64 << 20,
            max_header_bytes: 1 << 20,
            oversize: Oversize::Truncate,
            deleted_from: None,
            empty_is_null: true,
            skip_keys: Vec::new(),
            delimiter: b',',
            zoneless_is_utc: false,
            expected_header: None,
            renamed: Vec::new(),
            null_text: None,
            bare_date_zone: None,
            strip_nul: false,
        }
    }
}

/// What happens to a value longer than `max_value_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// The column is null, and `_extra` says `{"_truncated":true,"bytes":..,"sha256":".."}`.
    Truncate,
    /// The read fails with kind `Schema`.
    Fail,
}

/// What was seen while decoding. Everything but `rows` counts oddities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Values kept in `_extra`: unknown keys, misfits and oversize values.
    pub extra_values: u64,
    /// Of these, values longer than the limit, of which only length and hash are kept.
    pub oversize_values: u64,
    /// Strings in which invalid UTF-8 or lone surrogates became U+FFFD.
    pub lossy_strings: u64,
    /// Values whose U+0000 became U+FFFD, because they are stored as JSON.
    pub nul_replaced: u64,
    /// Bytes U+0000 that were dropped from CSV.
    pub nul_stripped: u64,
    /// Keys that came more than once in a record; the last one won.
    pub duplicate_keys: u64,
    /// Empty text in a column that is not text, read as null; in CSV only where nulls have a text of their own.
    pub nulls_from_empty: u64,
    /// Columns of the schema that the header of a CSV page does not have.
    pub missing_columns: u64,
    /// Nested values deeper than 128 levels, kept as raw text.
    pub deep_values: u64,
    /// CSV pages whose last record had no line feed: whether such a page is whole, only a count can tell.
    pub unterminated_pages: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.extra_values += other.extra_values;
        self.oversize_values += other.oversize_values;
        self.lossy_strings += other.lossy_strings;
        self.nul_replaced += other.nul_replaced;
        self.nul_stripped += other.nul_stripped;
        self.duplicate_keys += other.duplicate_keys;
        self.nulls_from_empty += other.nulls_from_empty;
        self.missing_columns += other.missing_columns;
        self.deep_values += other.deep_values;
        self.unterminated_pages += other.unterminated_pages;
    }
}

impl Counts {
    /// Compares the rows of a page with what the source said about it.
    ///
    /// # Errors
    /// `Data` if the source gave a number and it differs, or if it gave none and the page did not end with a
    /// line feed, so that nothing proves it to be whole.
    pub fn check_page(&self, expected_rows: Option<u64>) -> Result<()> {
        match expected_rows {
            Some(expected) if expected == self.rows => Ok(()),
            Some(expected) => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "balance a page: the source announced {expected} rows and sent {}",
                    self.rows
                ),
            )),
            None if self.unterminated_pages == 0 => Ok(()),
            None => Err(Error::new(
                ErrorKind::Data,
                "prove a page whole: its last record has no line feed and its row count is unknown",
            )),
        }
    }
}

/// Keeps the first `max` columns of a schema besides its reserved ones and those `keep` asks for; the values of
/// the others then land in `_extra`. Returns the names that were dropped.
pub fn limit_columns(
    schema: &Schema,
    max: usize,
    keep: impl Fn(&str) -> bool,
) -> (SchemaRef, Vec<String>) {
    let mut kept = 0;
    let mut dropped = Vec::new();
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .filter(|field| {
            if matches!(
                field.name().as_str(),
                overlock_core::stream::DELETED | overlock_core::stream::EXTRA
            ) {
                return true;
            }
            let stays = kept < max || keep(field.name());
            if stays {
                kept += 1;
            } else {
                dropped.push(field.name().clone());
            }
            stays
        })
        .cloned()
        .collect();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    (schema.into(), dropped)
}
