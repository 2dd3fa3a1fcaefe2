//! Result files: lines of JSON behind a signed link, read while they arrive.
//!
//! A link ends after a while and a download may break: the job is then asked for a new link, and reading goes on behind
//! what was taken, after a hash has shown that the file begins with the same bytes.
//!
//! **Invariant:** a file is over only when its gzip stream is, and as many rows were taken as the job says it has.

use overlock_core::{Error, ErrorKind, Result, StreamName};
use overlock_kit::http::{Body, Encoding, Inflater, Request, Url};
use serde_json::{Map, Value};

use super::job::{self, Finished};
use crate::errors::Meaning;
use crate::source::Zuora;

/// Tries of one file.
const FILE_TRIES: u32 = 4;

/// Tries of a query whose result is small enough to be asked for again.
const SMALL_TRIES: u32 = 3;

/// Lines are handed on in blocks of about this size.
const BLOCK_BYTES: usize = 1 << 20;

/// Longest row.
const MOST_ROW_BYTES: usize = 64 << 20;

/// Longest result that is kept in memory as a whole.
const MOST_SMALL_BYTES: usize = 64 << 20;

/// The beginning of a file: its length and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix {
    bytes: u64,
    hash: u64,
}

impl Default for Prefix {
    fn default() -> Self {
        // FNV-1a. It tells accidents, not attacks: whoever makes the file may put anything into it anyway.
        Self {
            bytes: 0,
            hash: 0xCBF2_9CE4_8422_2325,
        }
    }
}

impl Prefix {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        self.bytes += bytes.len() as u64;
    }
}

/// Bytes on their way to whole lines.
#[derive(Debug, Default)]
struct Lines {
    /// What an earlier try of the same file has taken.
    before: Prefix,
    /// How much of it has come again.
    skipped: Prefix,
    pending: Vec<u8>,
    /// So many of the pending bytes are whole lines.
    whole: usize,
}

impl Lines {
    fn after(before: Prefix) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        let missing = self.before.bytes - self.skipped.bytes;
        if missing > 0 {
            let at = usize::try_from(missing).unwrap_or(usize::MAX);
            let (again, rest) = bytes.split_at(at.min(bytes.len()));
            self.skipped.add(again);
            if self.skipped.bytes == self.before.bytes && self.skipped != self.before {
                return Err(changed());
            }
            bytes = rest;
        }
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.pending.len() + end + 1;
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() - self.whole > MOST_ROW_BYTES {
            return Err(too_long("a row", MOST_ROW_BYTES));
        }
        Ok(())
    }

    /// Whole lines, if there are enough of them.
    fn cut(&mut self) -> Option<Vec<u8>> {
        if self.whole < BLOCK_BYTES {
            return None;
        }
        let rest = self.pending.split_off(self.whole);
        self.whole = 0;
        Some(std::mem::replace(&mut self.pending, rest))
    }

    /// What is left at the end; its last line may lack a line feed.
    fn rest(&mut self) -> Result<Vec<u8>> {
        if self.skipped != self.before {
            return Err(changed());
        }
        self.whole = 0;
        Ok(std::mem::take(&mut self.pending))
    }
}

fn changed() -> Error {
    Error::new(
        ErrorKind::Data,
        "go on with a result file: it does not begin as it did before",
    )
}

fn too_long(what: &str, most: usize) -> Error {
    Error::new(
        ErrorKind::Data,
        format!("keep {what} of a result file: it has more than {most} bytes"),
    )
    .context("limit", "row")
}

/// One try of a file.
#[derive(Debug)]
struct Download {
    body: Body,
    inflater: Inflater,
    lines: Lines,
    is_over: bool,
}

impl Download {
    async fn open(
        source: &Zuora,
        stream: Option<&StreamName>,
        url: Url,
        before: Prefix,
    ) -> Result<Self> {
        let request = Request::get_signed(url).bulk();
        let request = match stream {
            Some(stream) => request.stream(stream),
            None => request,
        };
        // Past the client of the tenant: the store's clock says nothing about Zuora's.
        let body = source.client().http().open(request).await?;
        let body = match body.encoding() {
            Encoding::Identity => body.as_file(Encoding::GzipFile),
            // The store says itself what its file is.
            _ => body,
        };
        Ok(Self {
            inflater: body.inflater(),
            body,
            lines: Lines::after(before),
            is_over: false,
        })
    }

    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(block) = self.lines.cut() {
                return Ok(Some(block));
            }
            if self.is_over {
                return Ok(None);
            }
            let lines = &mut self.lines;
            if let Some(chunk) = self.body.chunk().await? {
                self.inflater.push(&chunk, |bytes| lines.push(bytes))?;
            } else {
                self.inflater.finish()?;
                self.is_over = true;
                let rest = lines.rest()?;
                if !rest.is_empty() {
                    return Ok(Some(rest));
                }
            }
        }
    }
}

/// A result that is being read.
#[derive(Debug)]
pub(super) struct Fetch<'a> {
    source: &'a Zuora,
    stream: Option<&'a StreamName>,
    entity: &'a str,
    job: Finished,
    download: Option<Download>,
    attempt: u32,
    taken: Prefix,
    rows: u64,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        source: &'a Zuora,
        stream: Option<&'a StreamName>,
        entity: &'a str,
        job: Finished,
    ) -> Self {
        Self {
            source,
            stream,
            entity,
            job,
            download: None,
            attempt: 1,
            taken: Prefix::default(),
            rows: 0,
        }
    }

    /// The next lines; `None` when all rows were taken.
    ///
    /// # Errors
    /// `Data` if the file has not as many rows as its job says, `Unavailable` if it does not come.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let opened = match self.download.take() {
                Some(download) => Ok(Some(download)),
                None => self.open().await,
            };
            let error = match opened {
                Ok(None) => return Ok(None),
                Ok(Some(mut download)) => match download.next().await {
                    Ok(Some(block)) => {
                        self.download = Some(download);
                        return Ok(Some(block));
                    }
                    Ok(None) if self.rows == self.job.rows => return Ok(None),
                    Ok(None) => Error::new(
                        ErrorKind::Data,
                        format!(
                            "balance a Data Query: Zuora announced {} rows and its file has {}",
                            self.job.rows, self.rows
                        ),
                    ),
                    Err(error) => error,
                },
                // The link has ended.
                Err(error)
                    if matches!(
                        Meaning::of(&error),
                        Some(Meaning::Forbidden | Meaning::Gone)
                    ) =>
                {
                    Error::new(
                        ErrorKind::Unavailable,
                        "fetch the result of a Data Query: the store refuses its signed link",
                    )
                    .source(error)
                }
                Err(error) => return Err(error),
            };
            self.again(error).await?;
        }
    }

    async fn open(&mut self) -> Result<Option<Download>> {
        if self.attempt > 1 {
            let job = job::refreshed(self.source, self.stream, self.entity, &self.job.id).await?;
            if job.rows != self.job.rows {
                return Err(changed());
            }
            self.job = job;
        }
        match &self.job.file {
            // Without rows there is nothing that could be missing from the file.
            Some(url) if self.job.rows > 0 => {
                let url = url.clone();
                let download = Download::open(self.source, self.stream, url, self.taken);
                download.await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Says that lines were good, and how many rows they had.
    pub(super) fn take(&mut self, block: &[u8], rows: u64) {
        self.taken.add(block);
        self.rows += rows;
    }

    /// Asks for the file once more, from behind what was taken.
    ///
    /// # Errors
    /// The given one, if that is of no use.
    pub(super) async fn again(&mut self, error: Error) -> Result<()> {
        self.download = None;
        if self.attempt >= FILE_TRIES {
            return Err(error);
        }
        let http = self.source.client().http();
        http.retry(self.stream, self.attempt, error).await?;
        self.attempt += 1;
        Ok(())
    }
}

/// The lines of a block that are not empty.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = block.split(|byte| *byte == b'\n');
    lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

/// The lines of a block as one array.
pub(super) fn array(block: &[u8]) -> Vec<u8> {
    let mut array = Vec::with_capacity(block.len() + 2);
    array.push(b'[');
    for (at, line) in lines(block).enumerate() {
        if at > 0 {
            array.push(b',');
        }
        array.extend_from_slice(line);
    }
    array.push(b']');
    array
}

/// The rows of a query that has few of them.
///
/// # Errors
/// What Zuora says; `Data` if the result does not balance, however often it is asked for.
pub(super) async fn few(
    source: &Zuora,
    stream: Option<&StreamName>,
    entity: &str,
    sql: &str,
) -> Result<Vec<Map<String, Value>>> {
    let mut attempt = 1;
    loop {
        let job = job::run(source, stream, entity, sql).await?;
        let error = match few_of(Fetch::new(source, stream, entity, job)).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Data || attempt >= SMALL_TRIES {
            return Err(error);
        }
        source.client().http().retry(stream, attempt, error).await?;
        attempt += 1;
    }
}

async fn few_of(mut fetch: Fetch<'_>) -> Result<Vec<Map<String, Value>>> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(block) = fetch.next().await? {
        bytes += block.len();
        if bytes > MOST_SMALL_BYTES {
            return Err(too_long("the rows", MOST_SMALL_BYTES));
        }
        let found: Result<Vec<Map<String, Value>>> = lines(&block)
            .map(|line| {
                // serde_json's words may quote a value.
                serde_json::from_slice(line).map_err(|_| {
                    Error::new(
                        ErrorKind::Data,
                        "read a row of a result: it is no JSON object",
                    )
                })
            })
            .collect();
        match found {
            Ok(found) => {
                fetch.take(&block, found.len() as u64);
                rows.extend(found);
            }
            Err(error) => fetch.again(error).await?,
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize) -> String {
        format!(
            "{{\"id\":\"{number}\",\"text\":\"{}\"}}\n",
            "x".repeat(number % 97)
        )
    }

    #[test]
    fn blocks_are_whole_lines_wherever_the_chunks_are_cut() {
        let text: String = (0..40_000).map(row).collect();
        assert!(text.len() > 2 * BLOCK_BYTES);
        for chunk in [1_000, 65_537, usize::MAX] {
            let mut lines = Lines::default();
            let mut blocks = Vec::new();
            for chunk in text.as_bytes().chunks(chunk.min(text.len())) {
                lines.push(chunk).unwrap();
                blocks.extend(lines.cut());
            }
            blocks.push(lines.rest().unwrap());
            blocks.retain(|block| !block.is_empty());
            assert!(blocks.iter().all(|block| block.ends_with(b"\n")));
            assert_eq!(blocks.concat(), text.as_bytes());
        }
    }

    #[test]
    fn a_second_try_goes_on_behind_the_first_if_it_is_the_same_file() {
        let text: String = (0..9).map(row).collect();
        let bytes = text.as_bytes();
        for at in [0, 1, 30, bytes.len()] {
            let mut before = Prefix::default();
            before.add(&bytes[..at]);
            for chunk in [1, 7, bytes.len()] {
                let mut again = Lines::after(before);
                for chunk in bytes.chunks(chunk) {
                    again.push(chunk).unwrap();
                }
                assert_eq!(again.rest().unwrap(), &bytes[at..]);
            }
            if at > 0 {
                let other = text.replace("id", "Id");
                let mut changed = Lines::after(before);
                let pushed = changed.push(other.as_bytes());
                assert!(pushed.is_err() || at == 1, "{at}");
                let mut short = Lines::after(before);
                short.push(&bytes[..at - 1]).unwrap();
                assert!(short.rest().is_err());
            }
        }
    }

    #[test]
    fn a_row_without_end_is_refused_before_it_fills_the_memory() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1 << 20];
        let pushed = (0..100).find_map(|_| lines.push(&piece).err());
        assert_eq!(pushed.unwrap().get("limit"), Some("row"));
        assert!(lines.pending.len() <= MOST_ROW_BYTES + piece.len());
    }

    #[test]
    fn lines_become_an_array() {
        for (block, expected) in [
            (
                &b"{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":3}"[..],
                "[{\"a\":1},{\"a\":2},{\"a\":3}]",
            ),
            (b"\n", "[]"),
            (b"", "[]"),
        ] {
            assert_eq!(array(block), expected.as_bytes());
        }
    }
}
