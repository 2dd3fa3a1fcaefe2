//! CSV to Arrow, a column of some hundred records at a time.
//!
//! Bytes come in chunks that are cut anywhere. A window of whole records is decoded where it lies; only a record that
//! a chunk border cuts is copied. Each page has its own header, which maps columns by name, so that the source may
//! order them as it likes. A page that does not keep to its own header is refused as a whole: nobody can tell which
//! of its values belong where.

use std::borrow::Cow;
use std::collections::HashSet;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use overlock_core::{Error, ErrorKind, Result};

use super::batch::{Builder, Layout};
use super::overlap::Prefix;
use super::scan::{Assembler, Block, Scanner, WINDOW};
use super::{Counts, Options};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A batch on its way out: its rows, what was seen in them, and how much of the page is delivered with it.
type Sink<'a> = &'a mut dyn FnMut(RecordBatch, Counts, Prefix) -> Result<()>;

/// Decodes one CSV page, fed in chunks that are cut anywhere.
#[derive(Debug)]
pub struct CsvDecoder {
    builder: Builder,
    layout: Layout,
    stage: Stage,
    scanner: Scanner,
    assembler: Assembler,
    /// Bytes of the record that the assembler holds.
    assembled: usize,
    /// Of the page, without the batch under construction.
    total: Counts,
    bytes: u64,
    crc: crc32fast::Hasher,
    resume: Option<Prefix>,
}

/// How far the page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// So many bytes of a byte order mark were seen.
    Mark(usize),
    Header,
    /// Records that an earlier try of this page delivered.
    Skip(Prefix),
    /// What was delivered ends without a line feed: nothing may follow.
    Torn,
    Records,
    /// After the end or an error.
    Spent,
}

impl CsvDecoder {
    /// Prepares for one page with these columns, the last of which must be `_extra`.
    ///
    /// # Errors
    /// `Bug` if the schema has a column type that rows cannot have, or lacks `_extra`.
    pub fn new(schema: SchemaRef, options: Options) -> Result<Self> {
        let delimiter = options.delimiter;
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\r' | b'\n') {
            return Err(Error::bug("decode CSV with a delimiter that is none"));
        }
        let most = options.max_header_bytes;
        Ok(Self {
            builder: Builder::new(schema, options)?,
            layout: Layout::default(),
            stage: Stage::Mark(0),
            scanner: Scanner::new(delimiter),
            assembler: Assembler::new(delimiter, most, most),
            assembled: 0,
            total: Counts::default(),
            bytes: 0,
            crc: crc32fast::Hasher::new(),
            resume: None,
        })
    }

    /// Goes on behind what an earlier try of the same page delivered: these bytes are compared by their hash, but
    /// not decoded again. To be called before the first byte is fed.
    #[must_use]
    pub fn resume_after(mut self, prefix: Prefix) -> Self {
        self.resume = (prefix.rows > 0).then_some(prefix);
        self
    }

    /// Names of the page's columns, empty until the header is read. `Options::expected_header` holds later pages
    /// to them.
    pub fn header(&self) -> &[String] {
        &self.layout.header
    }

    /// Takes the next bytes of the page; full batches are added to `batches`.
    ///
    /// # Errors
    /// `Data` if the page is not CSV of this stream; the decoder is spent then.
    pub fn feed(&mut self, bytes: &[u8], batches: &mut Vec<RecordBatch>) -> Result<()> {
        self.feed_into(bytes, &mut |batch, _, _| {
            batches.push(batch);
            Ok(())
        })
    }

    /// Ends the page; the last batch, if it has rows, is added to `batches`. Returns what was seen in the page.
    ///
    /// # Errors
    /// `Data` if the page has no header or ends within a record; the decoder is spent in any case.
    pub fn finish(&mut self, batches: &mut Vec<RecordBatch>) -> Result<Counts> {
        self.finish_into(&mut |batch, _, _| {
            batches.push(batch);
            Ok(())
        })
    }

    pub(super) fn feed_into(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<()> {
        let bytes = self.strip(bytes);
        let mut bytes = &*bytes;
        while !bytes.is_empty() {
            let taken = match self.stage {
                Stage::Mark(seen) => self.take_mark(seen, bytes),
                Stage::Header => self.take_header(bytes),
                Stage::Skip(prefix) => self.skip(prefix, bytes),
                Stage::Torn => Err(differs()),
                Stage::Records => self.take_records(bytes, sink),
                Stage::Spent => Err(Error::bug("decode CSV with a decoder that is spent")),
            };
            let taken = taken.map_err(|error| self.spend(error))?;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The bytes without U+0000, if that is wanted.
    fn strip<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if !self.builder.options.strip_nul || memchr::memchr(0, bytes).is_none() {
            return Cow::Borrowed(bytes);
        }
        let kept: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
        self.total.nul_stripped += (bytes.len() - kept.len()) as u64;
        Cow::Owned(kept)
    }

    pub(super) fn finish_into(&mut self, sink: Sink<'_>) -> Result<Counts> {
        let ended = self.end(sink).map_err(|error| self.spend(error));
        self.stage = Stage::Spent;
        ended
    }

    fn spend(&mut self, error: Error) -> Error {
        self.stage = Stage::Spent;
        error.context("record", self.records() + 1)
    }

    /// Records of the page so far.
    fn records(&self) -> u64 {
        self.total.rows + self.builder.counts.rows
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Drops a byte order mark; if it is none, it belongs to the header.
    fn take_mark(&mut self, seen: usize, bytes: &[u8]) -> Result<usize> {
        if bytes.first() == BYTE_ORDER_MARK.get(seen) {
            self.hash(bytes.get(..1).unwrap_or_default());
            self.stage = Stage::Mark(seen + 1);
            return Ok(1);
        }
        if let Some(begun @ [_, ..]) = BYTE_ORDER_MARK.get(..seen)
            && seen < BYTE_ORDER_MARK.len()
        {
            self.assembler.feed(begun)?;
        }
        self.stage = Stage::Header;
        Ok(0)
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = self.assembler.feed(bytes)?;
        self.hash(bytes.get(..taken).unwrap_or_default());
        if self.assembler.is_done() {
            self.read_header()?;
        }
        Ok(taken)
    }

    fn read_header(&mut self) -> Result<()> {
        let mut header = Vec::new();
        for field in self.assembler.block().record() {
            let mut name = Vec::new();
            field.unescape(&mut name);
            let name = String::from_utf8(name)
                .map_err(|_| refuse("read a CSV header: a name is not UTF-8"))?;
            let renamed = &self.builder.options.renamed;
            let known = renamed
                .iter()
                .find(|(from, _)| from.eq_ignore_ascii_case(&name));
            header.push(known.map_or(name, |(_, to)| to.clone()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = header.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(refuse("read a CSV header: a name is there twice").context("column", twice));
        }
        let options = &self.builder.options;
        if options
            .expected_header
            .as_ref()
            .is_some_and(|expected| *expected != header)
        {
            return Err(refuse(
                "match a CSV page: its header differs from the first page's",
            ));
        }
        let (value_bytes, row_bytes) = (options.max_value_bytes, options.max_row_bytes);
        self.assembler
            .begin_records(header.len(), value_bytes, row_bytes);
        self.layout = self.builder.layout(header);
        // Without any known name this is no header, or that of another stream.
        let unknown = self.layout.targets.iter().all(|target| target.is_unknown());
        if unknown && self.builder.has_source_columns() {
            return Err(refuse(
                "find a column of the stream in the header of a CSV page",
            ));
        }
        self.builder.counts.missing_columns = self.builder.count_missing(&self.layout);
        self.stage = match self.resume {
            None => Stage::Records,
            Some(prefix) if prefix.bytes > self.bytes => Stage::Skip(prefix),
            Some(_) => return Err(differs()),
        };
        Ok(())
    }

    /// Passes over what an earlier try delivered, and checks that it is the same.
    fn skip(&mut self, prefix: Prefix, bytes: &[u8]) -> Result<usize> {
        let left = usize::try_from(prefix.bytes - self.bytes).unwrap_or(usize::MAX);
        let taken = left.min(bytes.len());
        self.hash(bytes.get(..taken).unwrap_or_default());
        if taken == left {
            if self.crc.clone().finalize() != prefix.crc32 {
                return Err(differs());
            }
            self.total.rows = prefix.rows;
            self.stage = match bytes.get(..taken).and_then(<[u8]>::last) {
                Some(b'\n') => Stage::Records,
                _ => Stage::Torn,
            };
        }
        Ok(taken)
    }

    fn take_records(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<usize> {
        if !self.assembler.is_active() {
            let window = bytes.get(..WINDOW).unwrap_or(bytes);
            let options = &self.builder.options;
            let room = options
                .batch_rows
                .max(1)
                .saturating_sub(self.builder.rows());
            let width = self.layout.targets.len();
            let consumed = self
                .scanner
                .scan(window, width, room, options.max_row_bytes)?;
            if consumed > 0 {
                let block = self.scanner.block(window, width);
                refuse_second_header(&self.layout, &block, self.records())?;
                self.builder.take_block(&block, &self.layout, consumed)?;
                self.hash(window.get(..consumed).unwrap_or_default());
                self.deliver_if_full(sink)?;
                return Ok(consumed);
            }
        }
        let taken = self.assembler.feed(bytes)?;
        self.hash(bytes.get(..taken).unwrap_or_default());
        self.assembled += taken;
        if self.assembler.is_done() {
            self.take_assembled()?;
            self.deliver_if_full(sink)?;
        }
        Ok(taken)
    }

    fn take_assembled(&mut self) -> Result<()> {
        let block = self.assembler.block();
        refuse_second_header(&self.layout, &block, self.records())?;
        let bytes = std::mem::take(&mut self.assembled);
        self.builder.take_block(&block, &self.layout, bytes)?;
        self.assembler.reset();
        Ok(())
    }

    fn deliver_if_full(&mut self, sink: Sink<'_>) -> Result<()> {
        if self.builder.is_full() {
            self.deliver(sink)?;
        }
        Ok(())
    }

    fn deliver(&mut self, sink: Sink<'_>) -> Result<()> {
        if let Some((batch, counts)) = self.builder.finish()? {
            self.total += counts;
            let prefix = Prefix {
                rows: self.total.rows,
                bytes: self.bytes,
                crc32: self.crc.clone().finalize(),
            };
            sink(batch, counts, prefix)?;
        }
        Ok(())
    }

    fn end(&mut self, sink: Sink<'_>) -> Result<Counts> {
        if let Stage::Mark(seen @ 1..3) = self.stage {
            self.assembler
                .feed(BYTE_ORDER_MARK.get(..seen).unwrap_or_default())?;
        }
        match self.stage {
            Stage::Mark(_) | Stage::Header => {
                if !self.assembler.end()? {
                    return Err(refuse("find the header of a CSV page: the page is empty"));
                }
                self.read_header()?;
                self.total.unterminated_pages = 1;
                if self.resume.is_some() {
                    return Err(differs());
                }
            }
            Stage::Skip(_) => return Err(differs()),
            Stage::Torn => self.total.unterminated_pages = 1,
            Stage::Records => {
                if self.assembler.end()? {
                    self.take_assembled()?;
                    self.total.unterminated_pages = 1;
                }
                self.deliver(sink)?;
            }
            Stage::Spent => return Err(Error::bug("end a CSV page with a decoder that is spent")),
        }
        // A page without rows still has a header to count by.
        self.total += std::mem::take(&mut self.builder.counts);
        Ok(self.total)
    }
}

/// A page whose first record repeats its header was glued together by somebody.
fn refuse_second_header(layout: &Layout, block: &Block<'_>, records: u64) -> Result<()> {
    let same = |(position, name): (usize, &String)| {
        block.field(0, position).plain() == Some(name.as_bytes())
    };
    if records == 0
        && block.rows() > 0
        && layout.header.len() > 1
        && layout.header.iter().enumerate().all(same)
    {
        return Err(refuse("read a CSV page: its header is there twice"));
    }
    Ok(())
}

fn refuse(what: &'static str) -> Error {
    Error::new(ErrorKind::Data, what)
}

fn differs() -> Error {
    refuse("continue a CSV page: what was delivered of it before is not what the source sends now")
}
