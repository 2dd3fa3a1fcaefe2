//! Result files to pages: decoded while they arrive, counted, looked at row by row.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use futures::StreamExt as _;
use overlock_core::stream::DELETED;
use overlock_core::{Error, ErrorKind, Result, crash_point};
use overlock_kit::http::{Encoding, Request};
use overlock_kit::out::Out;
use overlock_kit::rows::{self, Counts, CsvDecoder, Decoded, Prefix};

use super::check::{check_window, fill_in};
use super::{Piece, Reader, Target};
use crate::api::Files;
use crate::config::Format;
use crate::errors::Meaning;
use crate::ids::Bag;
use crate::limits;
use crate::state::ONLY;

/// Tries of one file.
const FILE_TRIES: u32 = 5;

/// Rows of a batch.
const BATCH_ROWS: usize = 4096;

/// A result whose files are to be read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) job: String,
    pub(super) query: String,
    pub(super) files: Files,
    /// Files that were delivered before.
    pub(super) skip: usize,
    /// Rows of these.
    pub(super) rows: u64,
    /// Deleted rows were asked for, too.
    pub(super) deletes: bool,
}

/// What came of a file.
#[derive(Debug)]
pub(super) enum Fetched {
    /// All of its rows are delivered: so many.
    Done(u64),
    /// It is gone at Zuora, and nothing of it was delivered.
    Gone,
    /// Zuora does not hand it out.
    TooLarge(Error),
}

/// What is seen in passing.
#[derive(Debug)]
pub(super) struct Seen {
    /// Ids, each with a hash of the columns that change in silence.
    pub(super) ids: Bag,
    /// Ids of deleted rows.
    pub(super) gone: Bag,
    /// The last Id.
    pub(super) last: Option<String>,
}

impl Seen {
    pub(super) fn new(folder: &std::path::Path) -> Self {
        Self {
            ids: Bag::new(folder),
            gone: Bag::new(folder),
            last: None,
        }
    }
}

/// A file, and what it should hold.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) target: &'a Target,
    pub(super) piece: &'a Piece,
    pub(super) file: &'a str,
    /// Rows, if that is known of this file alone.
    pub(super) expected: Option<u64>,
    /// Deleted rows were asked for, too.
    pub(super) deletes: bool,
    pub(super) entity: &'a str,
}

/// Where the columns are that are looked at.
struct Places {
    id: Option<usize>,
    deleted: Option<usize>,
    stamp: Option<usize>,
    silent: Vec<usize>,
}

impl Places {
    fn new(target: &Target) -> Self {
        let at = |name: &str| target.stream.schema.index_of(name).ok();
        Self {
            id: target.stream.primary_key.last().and_then(|id| at(id)),
            deleted: at(DELETED),
            stamp: target.stream.replication_key.as_deref().and_then(at),
            silent: target.silent_names().filter_map(at).collect(),
        }
    }
}

impl Reader<'_> {
    /// Reads one file. Its rows go to `out`, if there is one.
    pub(super) async fn fetch(
        &self,
        wanted: Wanted<'_>,
        seen: &mut Seen,
        mut out: Option<&mut Out>,
    ) -> Result<Fetched> {
        let Wanted {
            target,
            file,
            entity,
            ..
        } = wanted;
        let places = Places::new(target);
        let mut prefix: Option<Prefix> = None;
        let mut attempt = 1;
        let mut total = Counts::default();
        loop {
            let request = Request::get(format!("/v1/file/{file}"))
                .stream(&self.target.stream.name)
                .bulk();
            let request = self.source.client().scoped(request, entity);
            let body = match self.source.client().open(request).await {
                Ok(body) => body,
                Err(error) => match Meaning::of(&error) {
                    Some(Meaning::TooLarge) if prefix.is_none() => {
                        return Ok(Fetched::TooLarge(error));
                    }
                    Some(Meaning::Gone) if prefix.is_none() => return Ok(Fetched::Gone),
                    Some(Meaning::TooLarge | Meaning::Gone) => {
                        return Err(Error::new(
                            ErrorKind::Data,
                            "fetch a result file once more: Zuora does not hand it out again",
                        )
                        .source(error));
                    }
                    _ => return Err(error),
                },
            };
            let body = match encoding(body.header("content-type"), self.source.format()) {
                Encoding::Identity => body,
                packed => body.as_file(packed),
            };
            let decoder = CsvDecoder::new(
                Arc::clone(&target.stream.schema),
                target.options(BATCH_ROWS),
            )?;
            let mut items = self.decoding.decode_csv(body, decoder, prefix);
            let result: Result<u64> = loop {
                let Some(item) = items.next().await else {
                    break Err(Error::bug("decode a file that neither ends nor fails"));
                };
                match item {
                    Ok(Decoded::Rows {
                        batch,
                        counts,
                        prefix: reached,
                    }) => {
                        let batch = inspect(wanted, &places, &batch, seen)?;
                        total += counts;
                        prefix = Some(reached);
                        if let Some(out) = out.as_deref_mut() {
                            let rows = batch.num_rows() as u64;
                            self.emitted.fetch_add(rows, Ordering::Relaxed);
                            out.page(batch, None).await?;
                        }
                    }
                    Ok(Decoded::End { counts, header }) => {
                        // What is dropped before decoding belongs to no batch.
                        total.nul_stripped += counts.nul_stripped;
                        break self
                            .check_file(wanted, &counts, &header)
                            .map(|()| counts.rows);
                    }
                    Err(error) => break Err(error),
                }
            };
            drop(items);
            let error = match result {
                Ok(rows) => {
                    self.tell_oddities(target, &total);
                    crash_point!("S3.after_page");
                    return Ok(Fetched::Done(rows));
                }
                Err(error) => error,
            };
            if attempt >= FILE_TRIES {
                return Err(error);
            }
            self.source
                .client()
                .http()
                .retry(Some(&self.target.stream.name), attempt, error)
                .await?;
            attempt += 1;
        }
    }

    /// Compares a file that has ended with what was asked and announced.
    fn check_file(&self, wanted: Wanted<'_>, counts: &Counts, header: &[String]) -> Result<()> {
        let name = self.target.stream.name.as_str();
        let learnt = self.source.learnt();
        let has = |name: &str| header.iter().any(|column| column == name);
        let mut columns = wanted.target.columns.iter();
        let missing = columns
            .find(|column| !learnt.is_dropped(name, &column.path) && !has(&column.name))
            .map(|column| column.header.as_str());
        // Without the mark, deleted rows would look alive.
        let unmarked = wanted.deletes && !has(limits::DELETED_COLUMN);
        if let Some(column) = missing.or(unmarked.then_some(limits::DELETED_COLUMN)) {
            return Err(Error::new(
                ErrorKind::Data,
                format!("find the column `{column}` in a result file"),
            ));
        }
        counts.check_page(wanted.expected)?;
        self.check_end(counts)
    }

    /// A file that is cut inside its last value has as many rows as a whole one. Whether files end with a line feed
    /// nobody documents, so the tenant's own show it.
    fn check_end(&self, counts: &Counts) -> Result<()> {
        let learnt = self.source.learnt();
        if counts.rows == 0 {
            return Ok(());
        }
        if counts.unterminated_pages == 0 {
            learnt.files_end_with_line_feed();
            return Ok(());
        }
        if learnt.do_files_end_with_line_feed() {
            return Err(Error::new(
                ErrorKind::Data,
                "prove a result file whole: its last row has no line feed, which this tenant's files have",
            ));
        }
        self.source.client().warn(
            "W0709",
            Some(&self.target.stream.name),
            "a result file ends without a line feed: nothing proves that its last value is whole",
        );
        Ok(())
    }

    fn tell_oddities(&self, target: &Target, counts: &Counts) {
        let client = self.source.client();
        let stream = Some(&target.stream.name);
        if counts.extra_values > 0 {
            client.warn(
                "W0702",
                stream,
                format!(
                    "{} values do not fit their columns, or have none, and are kept as they are in `_extra`; an amount of more than {} digits behind the point is such a value: `decimal_scale` can be raised",
                    counts.extra_values,
                    self.source.tuning().decimal_scale
                ),
            );
        }
        if counts.nulls_from_empty > 0 {
            client.warn(
                "W0708",
                stream,
                "Zuora writes NULL as empty text although it was asked for another one: texts that are NULL arrive as empty texts",
            );
        }
        if counts.lossy_strings > 0 {
            client.warn(
                "W0705",
                stream,
                format!(
                    "{} texts were not UTF-8 and have U+FFFD in them",
                    counts.lossy_strings
                ),
            );
        }
        if counts.nul_stripped > 0 {
            client.warn(
                "W0706",
                stream,
                format!("{} NUL bytes in texts were dropped", counts.nul_stripped),
            );
        }
    }
}

/// Looks at each row, and fills in what files do not have.
fn inspect(
    wanted: Wanted<'_>,
    places: &Places,
    batch: &RecordBatch,
    seen: &mut Seen,
) -> Result<RecordBatch> {
    let (target, piece) = (wanted.target, wanted.piece);
    check_window(batch, target.key.as_deref(), piece.lower, piece.upper)?;
    let entity = Some(wanted.entity).filter(|entity| *entity != ONLY);
    let batch = fill_in(batch, Some(limits::DELETED_COLUMN), entity)?;
    let ids = places.id.map(|at| batch.column(at).as_string::<i32>());
    let Some(ids) = ids else {
        return Err(Error::bug("read rows without an Id"));
    };
    let deleted = places.deleted.map(|at| batch.column(at).as_boolean());
    let stamps = places.stamp.and_then(|at| {
        batch
            .column(at)
            .as_primitive_opt::<TimestampMicrosecondType>()
    });
    let silent: Vec<&ArrayRef> = places.silent.iter().map(|at| batch.column(*at)).collect();
    for row in 0..batch.num_rows() {
        if ids.is_null(row) || ids.value(row).is_empty() {
            return Err(Error::new(
                ErrorKind::Data,
                "tell rows apart: one has no Id",
            ));
        }
        let id = ids.value(row);
        // What comes after the last Id of a page is asked for next: out of order, rows would be passed over.
        if piece.page.is_some() {
            let last = seen.last.as_deref().or(piece.after.as_deref());
            if last.is_some_and(|last| id <= last) {
                return Err(Error::new(
                    ErrorKind::Data,
                    "believe a page of Ids: they do not ascend, as its query says",
                ));
            }
            seen.last = Some(id.to_owned());
        }
        let stamp = stamps.filter(|stamps| stamps.is_valid(row));
        let stamp = stamp.map_or(i64::MIN, |stamps| stamps.value(row));
        seen.ids.add(id, hash(&silent, row), stamp)?;
        if deleted.is_some_and(|deleted| !deleted.is_null(row) && deleted.value(row)) {
            seen.gone.add(id, 1, stamp)?;
        }
    }
    if let Some(last) = batch.num_rows().checked_sub(1) {
        seen.last = Some(ids.value(last).to_owned());
    }
    Ok(batch)
}

/// How a file is packed: what its type says, else what was asked for.
fn encoding(content_type: Option<&str>, asked: Format) -> Encoding {
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let told = match content_type.split(';').next().unwrap_or_default().trim() {
        "application/x-gzip" | "application/gzip" => Format::Gzip,
        "application/zip" | "application/x-zip-compressed" => Format::Zip,
        "text/csv" => Format::Csv,
        _ => asked,
    };
    match told {
        Format::Gzip => Encoding::GzipFile,
        Format::Zip => Encoding::ZipFile,
        Format::Csv => Encoding::Identity,
    }
}

/// A hash of some values of a row, the same whichever other columns there are.
fn hash(columns: &[&ArrayRef], row: usize) -> u64 {
    // Eight bytes at a time, with the length of each value.
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut mix = |word: u64| {
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    };
    let mut add = |bytes: &[u8]| {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            mix(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        for (target, byte) in last.iter_mut().zip(words.remainder()) {
            *target = *byte;
        }
        mix(u64::from_le_bytes(last));
        mix(bytes.len() as u64);
    };
    for column in columns {
        if column.is_null(row) {
            add(&[0]);
            continue;
        }
        add(&[1]);
        if let Some(text) = column.as_string_opt::<i32>() {
            add(text.value(row).as_bytes());
        } else if let Some(days) = column.as_primitive_opt::<Date32Type>() {
            add(&days.value(row).to_le_bytes());
        } else if let Some(amount) = column.as_primitive_opt::<Decimal128Type>() {
            add(&amount.value(row).to_le_bytes());
        } else if let Some(number) = column.as_primitive_opt::<Int64Type>() {
            add(&number.value(row).to_le_bytes());
        } else if let Some(stamp) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            add(&stamp.value(row).to_le_bytes());
        } else if let Some(flag) = column.as_boolean_opt() {
            add(&[u8::from(flag.value(row))]);
        }
    }
    hash
}

impl Target {
    /// How result files are read.
    pub(super) fn options(&self, batch_rows: usize) -> rows::Options {
        let object = self.stream.name.as_str();
        let deleted = format!("{object}.{}", limits::DELETED_COLUMN);
        let mut renamed: Vec<(String, String)> = self
            .columns
            .iter()
            .map(|column| (column.header.clone(), column.name.clone()))
            .collect();
        renamed.push((deleted, limits::DELETED_COLUMN.to_owned()));
        let has_deleted = self.stream.schema.index_of(DELETED).is_ok();
        rows::Options {
            batch_rows,
            deleted_from: has_deleted.then(|| limits::DELETED_COLUMN.to_owned()),
            renamed,
            empty_is_null: false,
            null_text: Some(limits::NULL_TEXT.to_owned()),
            bare_date_zone: Some(limits::SYSTEM_ZONE),
            strip_nul: true,
            ..rows::Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, StringArray};

    #[test]
    fn a_hash_tells_nulls_empty_texts_and_neighbours_apart() {
        let column =
            |texts: [Option<&str>; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(1), None]));
        let a = column([Some("a"), None]);
        let b = column([Some("ab"), Some("")]);
        let hashes = [
            hash(&[&a, &b], 0),
            hash(&[&a, &b], 1),
            hash(&[&b, &a], 0),
            hash(&[&a, &days], 0),
            hash(&[&a, &days], 1),
            hash(&[], 0),
        ];
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash), "{at}");
        }
    }

    #[test]
    fn the_type_of_a_file_says_how_it_is_packed() {
        for (content_type, asked, expected) in [
            (
                Some("application/x-gzip;charset=UTF-8"),
                Format::Csv,
                Encoding::GzipFile,
            ),
            (Some("application/zip"), Format::Gzip, Encoding::ZipFile),
            (
                Some("text/csv;charset=UTF-8"),
                Format::Gzip,
                Encoding::Identity,
            ),
            (None, Format::Gzip, Encoding::GzipFile),
            (
                Some("application/octet-stream"),
                Format::Csv,
                Encoding::Identity,
            ),
        ] {
            assert_eq!(encoding(content_type, asked), expected, "{content_type:?}");
        }
    }
}
