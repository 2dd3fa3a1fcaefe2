//! Finding the fields of CSV records (RFC 4180) without copying them.
//!
//! [`Scanner`] works on a window of bytes: it marks all quotes, many bytes at a time, then walks from quote
//! to quote, which in all-quoted CSV (Salesforce's) is from field to field. It stops before a record that is
//! not whole. [`Assembler`] takes such a record byte run by byte run, whatever the chunk borders, with bounded
//! memory however long its values are. Both accept the same language, which a property test holds them to:
//! quotes may be left out, line ends are LF or CRLF, empty lines between records of several columns are skipped,
//! and anything behind a closing quote but a delimiter or a line end is an error.

use overlock_core::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use super::extra::Digest;

/// Bytes that are scanned at a time: small enough for the second-level cache, together with its spans.
pub(super) const WINDOW: usize = 64 << 10;

/// Most columns of a header; `_extra` may not become a way to fill the memory.
const MAX_HEADER_COLUMNS: usize = 65_536;

const ESCAPED: u32 = 1 << 31;
const OVERSIZE: u32 = 1 << 30;
const POSITION: u32 = OVERSIZE - 1;

/// Where a field is: its first byte, and the byte behind its last one with two flags.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline]
    fn new(start: usize, end: usize, flags: u32) -> Self {
        // Windows and rows are far below 2^30 bytes.
        let position = |at: usize| u32::try_from(at).unwrap_or(POSITION) & POSITION;
        Self {
            start: position(start),
            end: position(end) | flags,
        }
    }
}

/// One field of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    raw: &'a [u8],
    start: u32,
    flags: u32,
}

impl<'a> Field<'a> {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.flags & OVERSIZE == 0
    }

    /// Bytes of the value; a value that was too long to be kept is longer than any limit.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self.flags {
            0 => self.raw.len(),
            ESCAPED => self.raw.len() - memchr::memchr_iter(b'"', self.raw).count() / 2,
            _ => usize::MAX,
        }
    }

    /// The value, if it needs no unescaping.
    #[inline]
    pub(super) fn plain(&self) -> Option<&'a [u8]> {
        (self.flags == 0).then_some(self.raw)
    }

    /// The value, if it needs no unescaping and is at most `max` bytes long.
    #[inline]
    pub(super) fn short(&self, max: usize) -> Option<&'a [u8]> {
        (self.flags == 0 && self.raw.len() <= max).then_some(self.raw)
    }

    /// Where the field is in the data of its block.
    #[inline]
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    /// Bytes of the field as it came, at least those of its value.
    #[inline]
    pub(super) fn raw_len(&self) -> usize {
        self.raw.len()
    }

    /// Writes the value to the beginning of `out`, which has room for it; returns its length.
    pub(super) fn unescape_into(&self, out: &mut [u8]) -> usize {
        let mut written = 0;
        let mut rest = self.raw;
        while !rest.is_empty() {
            let length = match memchr::memchr(b'"', rest) {
                Some(at) if self.flags & ESCAPED != 0 => at + 1,
                _ => rest.len(),
            };
            let (value, tail) = rest.split_at(length);
            if let Some(target) = out.get_mut(written..written + length) {
                target.copy_from_slice(value);
            }
            written += length;
            // The second of two quotes.
            rest = if tail.is_empty() {
                tail
            } else {
                tail.get(1..).unwrap_or_default()
            };
        }
        written
    }

    /// Appends the value.
    pub(super) fn unescape(&self, out: &mut Vec<u8>) {
        let mut rest = self.raw;
        if self.flags & ESCAPED != 0 {
            while let Some(at) = memchr::memchr(b'"', rest) {
                let (value, quotes) = rest.split_at(at + 1);
                out.extend_from_slice(value);
                rest = quotes.get(1..).unwrap_or_default();
            }
        }
        out.extend_from_slice(rest);
    }
}

/// Some whole records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    data: &'a [u8],
    spans: &'a [Span],
    oversize: &'a [(usize, Digest)],
    width: usize,
}

impl<'a> Block<'a> {
    /// The fields of one column, from the first record to the last.
    #[inline]
    pub(super) fn column(&self, position: usize) -> impl Iterator<Item = Field<'a>> {
        let data = self.data;
        let spans = self.spans.get(position..).unwrap_or_default();
        spans
            .iter()
            .step_by(self.width)
            .map(move |span| field(data, *span))
    }

    /// The fields of the first record.
    pub(super) fn record(&self) -> impl Iterator<Item = Field<'a>> {
        let data = self.data;
        self.spans
            .iter()
            .take(self.width)
            .map(move |span| field(data, *span))
    }

    /// One field.
    pub(super) fn field(&self, row: usize, position: usize) -> Field<'a> {
        match self.spans.get(row * self.width + position) {
            Some(span) => field(self.data, *span),
            None => field(&[], Span { start: 0, end: 0 }),
        }
    }

    /// The bytes that the fields are in.
    #[inline]
    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// What is left of a field that was too long to be kept.
    pub(super) fn digest(&self, position: usize) -> Option<&'a Digest> {
        self.oversize
            .iter()
            .find(|(at, _)| *at == position)
            .map(|(_, digest)| digest)
    }

    /// Number of records.
    pub(super) fn rows(&self) -> usize {
        self.spans.len() / self.width.max(1)
    }
}

#[inline]
fn field(data: &[u8], span: Span) -> Field<'_> {
    let range = span.start as usize..(span.end & POSITION) as usize;
    Field {
        raw: data.get(range).unwrap_or_default(),
        start: span.start,
        flags: span.end & !POSITION,
    }
}

fn refuse(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, what)
}

fn wrong_width(found: usize, width: usize) -> Error {
    refuse(format!(
        "read a CSV record: it has {found} fields and the header has {width}"
    ))
}

fn behind_quote() -> Error {
    refuse("read a CSV record: something other than a delimiter follows a closing quote")
}

/// Finds whole records in a window.
#[derive(Debug)]
pub(super) struct Scanner {
    delimiter: u8,
    quotes: Vec<u32>,
    spans: Vec<Span>,
}

impl Scanner {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            quotes: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Finds up to `max_rows` records of `width` fields at the beginning of `window`; returns how many bytes
    /// they are. A record that is longer than `max_row_bytes` is left to the [`Assembler`], as is one that is
    /// not whole.
    pub(super) fn scan(
        &mut self,
        window: &[u8],
        width: usize,
        max_rows: usize,
        max_row_bytes: usize,
    ) -> Result<usize> {
        self.spans.clear();
        let quotes = mark_quotes(window, &mut self.quotes);
        let spans = &mut self.spans;
        let mut next_quote = 0;
        let mut at = 0;
        let mut consumed = 0;
        let mut rows = 0;
        'records: while rows < max_rows {
            let first_span = spans.len();
            let mut fields = 0;
            loop {
                // `at` is the first byte of a field; `next_quote` is the first quote that is not before it.
                let Some(first) = window.get(at) else {
                    break 'records;
                };
                let (span, end, terminator) = if *first == b'"' {
                    let start = at + 1;
                    let mut flags = 0;
                    next_quote += 1;
                    let end = loop {
                        let Some(close) = quotes.get(next_quote) else {
                            break 'records;
                        };
                        let close = *close as usize;
                        next_quote += 1;
                        match window.get(close + 1) {
                            None => break 'records,
                            Some(b'"') => {
                                flags = ESCAPED;
                                next_quote += 1;
                            }
                            Some(_) => break close,
                        }
                    };
                    let span = Span::new(start, end, flags);
                    // The bound was checked just above.
                    let mut end = end + 1;
                    let mut terminator = window.get(end).copied().unwrap_or_default();
                    if terminator == b'\r' {
                        end += 1;
                        match window.get(end) {
                            Some(b'\n') => terminator = b'\n',
                            Some(_) => return Err(behind_quote()),
                            None => break 'records,
                        }
                    }
                    (span, end, terminator)
                } else {
                    let rest = window.get(at..).unwrap_or_default();
                    let Some(length) = memchr::memchr2(self.delimiter, b'\n', rest) else {
                        break 'records;
                    };
                    let end = at + length;
                    let terminator = window.get(end).copied().unwrap_or_default();
                    let crlf = terminator == b'\n'
                        && rest
                            .get(..length)
                            .is_some_and(|field| field.ends_with(b"\r"));
                    while quotes
                        .get(next_quote)
                        .is_some_and(|quote| (*quote as usize) < end)
                    {
                        next_quote += 1;
                    }
                    let stop = if crlf { end - 1 } else { end };
                    if terminator == b'\n' && fields == 0 && stop == at && width != 1 {
                        at = end + 1;
                        consumed = at;
                        continue 'records;
                    }
                    (Span::new(at, stop, 0), end, terminator)
                };
                spans.push(span);
                fields += 1;
                at = end + 1;
                if terminator == self.delimiter {
                    if fields == width {
                        return Err(wrong_width(fields + 1, width));
                    }
                } else if terminator == b'\n' {
                    break;
                } else {
                    return Err(behind_quote());
                }
            }
            if fields != width {
                return Err(wrong_width(fields, width));
            }
            if at - consumed > max_row_bytes {
                spans.truncate(first_span);
                break;
            }
            rows += 1;
            consumed = at;
        }
        spans.truncate(rows * width);
        Ok(consumed)
    }

    /// The records that the last scan of this window found.
    pub(super) fn block<'a>(&'a self, window: &'a [u8], width: usize) -> Block<'a> {
        Block {
            data: window,
            spans: &self.spans,
            oversize: &[],
            width,
        }
    }
}

/// Collects the positions of all quotes; `quotes` is only there to be reused.
fn mark_quotes<'q>(window: &[u8], quotes: &'q mut Vec<u32>) -> &'q [u32] {
    if quotes.len() < window.len() {
        quotes.resize(window.len(), 0);
    }
    let mut found = 0;
    let mut base = 0_u32;
    let (blocks, rest) = window.as_chunks::<64>();
    for block in blocks {
        let mut mask = quote_mask(block);
        while mask != 0 {
            if let Some(slot) = quotes.get_mut(found) {
                *slot = base + mask.trailing_zeros();
            }
            found += 1;
            mask &= mask - 1;
        }
        base += 64;
    }
    for byte in rest {
        if *byte == b'"' {
            if let Some(slot) = quotes.get_mut(found) {
                *slot = base;
            }
            found += 1;
        }
        base += 1;
    }
    quotes.get(..found).unwrap_or_default()
}

/// One bit per byte that is a quote.
///
/// The first loop is compiled to vector compares. The products gather the lowest bits of eight bytes into one byte.
/// (The processor's own instruction for this cannot be called without `unsafe`.)
#[inline]
fn quote_mask(block: &[u8; 64]) -> u64 {
    let mut equal = [0; 64];
    for (equal, byte) in equal.iter_mut().zip(block) {
        *equal = u8::from(*byte == b'"');
    }
    let (lanes, _) = equal.as_chunks::<8>();
    let mut mask = 0;
    for (at, lane) in lanes.iter().enumerate() {
        let bits = u64::from_le_bytes(*lane).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (at * 8);
    }
    mask
}

/// Takes one record whose bytes come in pieces.
#[derive(Debug)]
pub(super) struct Assembler {
    delimiter: u8,
    max_value_bytes: usize,
    max_row_bytes: usize,
    /// Fields of a record; `None` while the header is read.
    width: Option<usize>,
    state: State,
    quoted: bool,
    data: Vec<u8>,
    spans: Vec<Span>,
    oversize: Vec<(usize, Digest)>,
    start: usize,
    hashing: Option<(Sha256, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a record.
    Start,
    /// Before the first byte of a later field.
    Field,
    Unquoted,
    /// A carriage return in an unquoted field: the end of the record if a line feed follows.
    UnquotedReturn,
    Quoted,
    /// A quote inside quotes: the end of the field, or the first half of an escaped quote.
    Quote,
    /// A carriage return behind a closing quote.
    Return,
    /// The record is whole.
    Done,
}

impl Assembler {
    pub(super) fn new(delimiter: u8, max_value_bytes: usize, max_row_bytes: usize) -> Self {
        Self {
            delimiter,
            max_value_bytes,
            max_row_bytes,
            width: None,
            state: State::Start,
            quoted: false,
            data: Vec::new(),
            spans: Vec::new(),
            oversize: Vec::new(),
            start: 0,
            hashing: None,
        }
    }

    /// Goes over from the header to records of this many fields.
    pub(super) fn begin_records(
        &mut self,
        width: usize,
        max_value_bytes: usize,
        max_row_bytes: usize,
    ) {
        self.width = Some(width);
        self.max_value_bytes = max_value_bytes;
        self.max_row_bytes = max_row_bytes;
        self.reset();
    }

    /// Forgets the record.
    pub(super) fn reset(&mut self) {
        self.state = State::Start;
        self.quoted = false;
        self.data.clear();
        // One giant record must not keep its memory for the rest of the page.
        self.data.shrink_to(1 << 20);
        self.spans.clear();
        self.oversize.clear();
        self.start = 0;
        self.hashing = None;
    }

    /// Whether part of a record was taken.
    pub(super) fn is_active(&self) -> bool {
        self.state != State::Start
    }

    /// Whether the record is whole.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The whole record.
    pub(super) fn block(&self) -> Block<'_> {
        Block {
            data: &self.data,
            spans: &self.spans,
            oversize: &self.oversize,
            width: self.spans.len(),
        }
    }

    /// Takes bytes up to the end of the record; returns how many it took.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut at = 0;
        while self.state != State::Done {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(first) = rest.first().copied() else {
                break;
            };
            at += match self.state {
                State::Start | State::Field if first == b'"' => {
                    self.state = State::Quoted;
                    self.quoted = true;
                    1
                }
                State::Start | State::Field | State::Unquoted => {
                    self.state = State::Unquoted;
                    let length = memchr::memchr3(self.delimiter, b'\n', b'\r', rest);
                    let (value, end) = rest.split_at(length.unwrap_or(rest.len()));
                    self.append(value)?;
                    match end.first() {
                        None => {}
                        Some(b'\n') => self.end_record()?,
                        Some(b'\r') => self.state = State::UnquotedReturn,
                        Some(_) => self.end_field()?,
                    }
                    value.len() + usize::from(!end.is_empty())
                }
                State::UnquotedReturn if first == b'\n' => {
                    self.end_record()?;
                    1
                }
                State::UnquotedReturn => {
                    self.append(b"\r")?;
                    self.state = State::Unquoted;
                    0
                }
                State::Quoted => {
                    let length = memchr::memchr(b'"', rest);
                    let (value, end) = rest.split_at(length.unwrap_or(rest.len()));
                    self.append(value)?;
                    if !end.is_empty() {
                        self.state = State::Quote;
                    }
                    value.len() + usize::from(!end.is_empty())
                }
                State::Quote if first == b'"' => {
                    self.append(b"\"")?;
                    self.state = State::Quoted;
                    1
                }
                State::Quote if first == self.delimiter => {
                    self.end_field()?;
                    1
                }
                State::Quote | State::Return if first == b'\n' => {
                    self.end_record()?;
                    1
                }
                State::Quote if first == b'\r' => {
                    self.state = State::Return;
                    1
                }
                State::Quote | State::Return => return Err(behind_quote()),
                State::Done => 0,
            };
        }
        Ok(at)
    }

    /// There are no more bytes: says whether this ended a record.
    pub(super) fn end(&mut self) -> Result<bool> {
        match self.state {
            State::Start => {}
            State::Quoted => {
                return Err(refuse(
                    "read the end of a CSV page: it ends inside a quoted value",
                ));
            }
            _ => self.end_record()?,
        }
        Ok(self.state == State::Done)
    }

    fn append(&mut self, piece: &[u8]) -> Result<()> {
        if let Some((hasher, bytes)) = &mut self.hashing {
            hasher.update(piece);
            *bytes += piece.len() as u64;
            return Ok(());
        }
        if self.data.len() - self.start + piece.len() > self.max_value_bytes && self.width.is_some()
        {
            let value = self.data.get(self.start..).unwrap_or_default();
            let hasher = Sha256::new().chain_update(value).chain_update(piece);
            self.hashing = Some((hasher, (value.len() + piece.len()) as u64));
            self.data.truncate(self.start);
            return Ok(());
        }
        if self.data.len() + piece.len() > self.max_row_bytes {
            return Err(refuse(format!(
                "keep a CSV record of more than {} bytes",
                self.max_row_bytes
            )));
        }
        self.data.extend_from_slice(piece);
        Ok(())
    }

    fn end_field(&mut self) -> Result<()> {
        self.state = State::Field;
        let flags = if let Some((hasher, bytes)) = self.hashing.take() {
            let sha256 = hasher.finalize().into();
            self.oversize
                .push((self.spans.len(), Digest { bytes, sha256 }));
            OVERSIZE
        } else {
            0
        };
        self.spans
            .push(Span::new(self.start, self.data.len(), flags));
        self.start = self.data.len();
        match self.width {
            Some(width) if self.spans.len() >= width => {
                Err(wrong_width(self.spans.len() + 1, width))
            }
            None if self.spans.len() >= MAX_HEADER_COLUMNS => Err(refuse(format!(
                "read a CSV header of more than {MAX_HEADER_COLUMNS} columns"
            ))),
            _ => Ok(()),
        }
    }

    fn end_record(&mut self) -> Result<()> {
        let empty = self.spans.is_empty() && self.data.is_empty() && self.hashing.is_none();
        if empty && !self.quoted && self.width != Some(1) {
            self.reset();
            return Ok(());
        }
        // The last field is not followed by another one, so it may be the one that makes the width.
        let width = self.width.take();
        self.end_field()?;
        self.width = width;
        self.state = State::Done;
        match width {
            Some(width) if self.spans.len() != width => Err(wrong_width(self.spans.len(), width)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Records = std::result::Result<Vec<Vec<Vec<u8>>>, String>;

    fn values(block: Block<'_>) -> Vec<Vec<Vec<u8>>> {
        (0..block.rows())
            .map(|row| {
                (0..block.width)
                    .map(|column| {
                        let mut value = Vec::new();
                        let field = block.field(row, column);
                        field.unescape(&mut value);
                        assert_eq!(field.len(), value.len());
                        value
                    })
                    .collect()
            })
            .collect()
    }

    /// All records, by the scanner as far as it goes.
    fn scanned(text: &[u8], width: usize, max_rows: usize) -> Records {
        let mut scanner = Scanner::new(b',');
        let mut assembler = Assembler::new(b',', 1 << 20, 1 << 20);
        assembler.begin_records(width, 1 << 20, 1 << 20);
        let mut records = Vec::new();
        let mut rest = text;
        loop {
            let consumed = scanner
                .scan(rest, width, max_rows, 1 << 20)
                .map_err(|error| error.to_string())?;
            let block = scanner.block(rest, width);
            records.extend(values(block));
            if consumed == 0 {
                break;
            }
            rest = &rest[consumed..];
        }
        let taken = assembler.feed(rest).map_err(|error| error.to_string())?;
        assert_eq!(taken, rest.len());
        if assembler.end().map_err(|error| error.to_string())? {
            records.extend(values(assembler.block()));
        }
        Ok(records)
    }

    /// All records, by the assembler alone, in pieces of `piece` bytes.
    fn assembled(text: &[u8], width: usize, piece: usize) -> Records {
        let mut assembler = Assembler::new(b',', 1 << 20, 1 << 20);
        assembler.begin_records(width, 1 << 20, 1 << 20);
        let mut records = Vec::new();
        for mut chunk in text.chunks(piece) {
            while !chunk.is_empty() {
                let taken = assembler.feed(chunk).map_err(|error| error.to_string())?;
                chunk = &chunk[taken..];
                if assembler.is_done() {
                    records.extend(values(assembler.block()));
                    assembler.reset();
                }
            }
        }
        if assembler.end().map_err(|error| error.to_string())? {
            records.extend(values(assembler.block()));
        }
        Ok(records)
    }

    #[test]
    fn records_are_split_by_rfc_4180() {
        // covers: I17
        for (text, width, expected) in [
            ("\"a\",\"b\"\n", 2, Some(vec![vec!["a", "b"]])),
            ("a,b\n", 2, Some(vec![vec!["a", "b"]])),
            (
                "a,\"b\"\r\n\"c\",d\r\n",
                2,
                Some(vec![vec!["a", "b"], vec!["c", "d"]]),
            ),
            ("\"a\"\"b\",\"\"\"\"\n", 2, Some(vec![vec!["a\"b", "\""]])),
            (
                "\"a\nb\r\nc\rd\",\"x,y\"\n",
                2,
                Some(vec![vec!["a\nb\r\nc\rd", "x,y"]]),
            ),
            (",\n", 2, Some(vec![vec!["", ""]])),
            ("\"\",\"\"", 2, Some(vec![vec!["", ""]])),
            ("a,", 2, Some(vec![vec!["a", ""]])),
            ("a,b", 2, Some(vec![vec!["a", "b"]])),
            ("a,b\r", 2, Some(vec![vec!["a", "b"]])),
            ("a\rb,c\n", 2, Some(vec![vec!["a\rb", "c"]])),
            ("a\"b,c\n", 2, Some(vec![vec!["a\"b", "c"]])),
            ("\0,\"\0\"\n", 2, Some(vec![vec!["\0", "\0"]])),
            ("\n\na,b\n\r\n", 2, Some(vec![vec!["a", "b"]])),
            ("\n\"\"\nx\n", 1, Some(vec![vec![""], vec![""], vec!["x"]])),
            ("", 2, Some(vec![])),
            ("a\n", 2, None),
            ("a,b,c\n", 2, None),
            ("\"a\",\"b\",\"c\"\n", 2, None),
            ("\"a\"x,b\n", 2, None),
            ("\"a\"\rx,b\n", 2, None),
            ("\"a\" ,b\n", 2, None),
            ("a,\"b", 2, None),
            ("a,\"b\"\"", 2, None),
        ] {
            let expected = expected.map(|rows: Vec<Vec<&str>>| -> Vec<Vec<Vec<u8>>> {
                rows.into_iter()
                    .map(|row| {
                        row.into_iter()
                            .map(|value| value.as_bytes().to_vec())
                            .collect()
                    })
                    .collect()
            });
            for piece in [1, 2, 3, 1000] {
                assert_eq!(
                    assembled(text.as_bytes(), width, piece).ok(),
                    expected,
                    "{text:?}"
                );
            }
            assert_eq!(
                scanned(text.as_bytes(), width, 100).ok(),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn memory_does_not_grow_with_a_value_that_is_too_long() {
        // covers: I10
        let mut assembler = Assembler::new(b',', 1024, 2048);
        assembler.begin_records(3, 1024, 2048);
        assembler.feed(b"\"a\",\"").unwrap();
        let piece = [b'x'; 4096];
        let mut hasher = Sha256::new();
        for _ in 0..1000 {
            hasher.update(piece);
            assembler.feed(&piece).unwrap();
            assert!(assembler.data.capacity() < 8192);
        }
        assembler.feed(b"\",\"b\"\n").unwrap();
        assert!(assembler.is_done());
        let digest = assembler.block().digest(1).unwrap().clone();
        assert_eq!(digest.bytes, 4_096_000);
        assert_eq!(digest.sha256, <[u8; 32]>::from(hasher.finalize()));
        assert_eq!(assembler.block().field(0, 2).plain(), Some(b"b".as_slice()));
    }

    #[test]
    fn a_row_that_is_too_long_is_an_error() {
        let mut assembler = Assembler::new(b',', 1024, 2048);
        assembler.begin_records(3, 1024, 2048);
        let value = "x".repeat(1000);
        let error = assembler
            .feed(format!("{value},{value},{value}\n").as_bytes())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
    }

    proptest! {
        #[test]
        fn both_ways_to_find_records_agree(
            text in proptest::collection::vec(prop_oneof![
                4 => Just(b'"'), 3 => Just(b','), 2 => Just(b'\n'), 1 => Just(b'\r'), 4 => Just(b'a'), 1 => any::<u8>()
            ], 0..200),
            width in 1_usize..4,
            piece in 1_usize..20,
            max_rows in 1_usize..5,
        ) {
            let scanned = scanned(&text, width, max_rows);
            let assembled = assembled(&text, width, piece);
            prop_assert_eq!(scanned.is_ok(), assembled.is_ok(), "{:?} {:?}", scanned, assembled);
            if let (Ok(scanned), Ok(assembled)) = (scanned, assembled) {
                prop_assert_eq!(scanned, assembled);
            }
        }

        #[test]
        fn every_quote_of_a_block_has_its_bit(block in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'#'), Just(0xa2), any::<u8>()], 64)) {
            let block: [u8; 64] = block.try_into().unwrap();
            let expected = block.iter().enumerate().map(|(at, byte)| u64::from(*byte == b'"') << at).sum::<u64>();
            prop_assert_eq!(quote_mask(&block), expected);
        }
    }
}
