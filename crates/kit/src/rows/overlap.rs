//! The overlapped path of a CSV page: network, decoding and the consumer work at the same time.
//!
//! A task takes chunks from the network into a queue of four; a thread inflates and decodes them into a
//! queue of one batch. Both queues are bounded, so that a slow consumer stops the socket. No page is ever held:
//! a retry of a page that broke in the middle goes on behind the batches that were delivered, after it has
//! proved by a hash that the source sends the same bytes again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::stream;
use overlock_core::{BoxStream, Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::{Counts, CsvDecoder};
use crate::http::{Body, Inflater};

/// Chunks between network and decoder.
const CHUNKS: usize = 4;
/// Batches between decoder and consumer. The decoder holds another one while it waits.
const BATCHES: usize = 1;

/// How much of a page was delivered, so that a retry of the same page can go on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefix {
    /// Records delivered.
    pub rows: u64,
    /// Decompressed bytes up to the end of the last of them, header included.
    pub bytes: u64,
    /// CRC-32 of these bytes.
    pub crc32: u32,
}

/// What comes out of [`DecodeThread::decode_csv`].
#[derive(Debug, Clone)]
pub enum Decoded {
    /// Some rows.
    Rows {
        /// The rows.
        batch: RecordBatch,
        /// What was seen in them.
        counts: Counts,
        /// Hand this to the next try of the same page, should this one fail.
        prefix: Prefix,
    },
    /// The page is whole; nothing follows.
    End {
        /// What was seen in the page. After a resume: all rows of the page, oddities only of what this try decoded.
        counts: Counts,
        /// Names of the page's columns.
        header: Vec<String>,
    },
}

enum Chunk {
    Bytes(Bytes),
    /// The body is whole. A queue that merely closes says nothing of the kind.
    End,
    Broken(Error),
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that decodes the pages of one read, one after the other.
///
/// Were it a thread of a pool, the next page might take another one: the allocator would then keep the memory of
/// both, a fifth of the whole process (measured).
#[derive(Debug)]
pub struct DecodeThread(std::sync::mpsc::Sender<Job>);

impl DecodeThread {
    /// Starts the thread. It ends when this and the streams of its pages are dropped.
    ///
    /// # Errors
    /// `Io` if the system has no thread to give.
    pub fn start() -> Result<Self> {
        let (sender, jobs) = std::sync::mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("overlock-decode".to_owned())
            .spawn(move || {
                for job in jobs {
                    // Whoever waits for the result notices; the panic hook has told stderr where it was.
                    catch_unwind(AssertUnwindSafe(job)).ok();
                }
            })
            .map_err(|error| Error::new(ErrorKind::Io, "start a thread").source(error))?;
        Ok(Self(sender))
    }

    /// Decodes a page while it arrives. The last item is [`Decoded::End`] or an error; a page without either was not
    /// whole. After an error with a kind worth retrying, ask for the same page again and pass the `prefix` of the
    /// last rows received.
    ///
    /// Reading begins at once and goes on until the queue is full; decoding begins when the first item is asked for,
    /// so that a page that is opened ahead holds a few chunks and no rows. One page is decoded at a time: read it to
    /// its end, or drop it, before the next. Dropping the stream closes the connection; the thread then finishes at
    /// most the chunk it is at.
    ///
    /// Must be called within a tokio runtime.
    pub fn decode_csv(
        &self,
        body: Body,
        decoder: CsvDecoder,
        resume: Option<Prefix>,
    ) -> BoxStream<'static, Result<Decoded>> {
        let decoder = match resume {
            Some(prefix) => decoder.resume_after(prefix),
            None => decoder,
        };
        let inflater = body.inflater();
        let (chunks, queue) = mpsc::channel(CHUNKS);
        let network = AbortOnDrop(tokio::spawn(receive(body, chunks)).abort_handle());
        let jobs = self.0.clone();
        let start = move || {
            let (items, rows) = mpsc::channel(BATCHES);
            let (answer, last) = oneshot::channel();
            let job: Job = Box::new(move || {
                // Nobody listens any more if the stream was dropped.
                answer.send(decode(queue, inflater, decoder, &items)).ok();
            });
            // Without a thread the answer is dropped, which is noticed where it is waited for.
            jobs.send(job).ok();
            Decoding {
                rows,
                last,
                network,
            }
        };
        Box::pin(stream::unfold(Page::Opened(start), |page| async move {
            let mut decoding = match page {
                Page::Opened(start) => start(),
                Page::Decoding(decoding) => decoding,
                Page::Over => return None,
            };
            if let Some(rows) = decoding.rows.recv().await {
                return Some((Ok(rows), Page::Decoding(decoding)));
            }
            let last = decoding.last.await.unwrap_or_else(|_| {
                Err(Error::bug(
                    "decode a CSV page: its decoder ended without a word",
                ))
            });
            Some((last, Page::Over))
        }))
    }
}

/// How far a page is.
enum Page<Start> {
    /// Bytes arrive; the thread is not started yet.
    Opened(Start),
    Decoding(Decoding),
    Over,
}

struct Decoding {
    rows: mpsc::Receiver<Decoded>,
    /// The end of the page, or why there is none.
    last: oneshot::Receiver<Result<Decoded>>,
    #[expect(dead_code, reason = "dropping it ends the task")]
    network: AbortOnDrop,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn receive(mut body: Body, chunks: mpsc::Sender<Chunk>) {
    loop {
        let chunk = match body.chunk().await {
            Ok(Some(bytes)) => Chunk::Bytes(bytes),
            Ok(None) => Chunk::End,
            Err(error) => Chunk::Broken(error),
        };
        let goes_on = matches!(chunk, Chunk::Bytes(_));
        if chunks.send(chunk).await.is_err() || !goes_on {
            return;
        }
    }
}

fn decode(
    mut queue: mpsc::Receiver<Chunk>,
    mut inflater: Inflater,
    mut decoder: CsvDecoder,
    items: &mpsc::Sender<Decoded>,
) -> Result<Decoded> {
    let mut deliver = |batch, counts, prefix| {
        let rows = Decoded::Rows {
            batch,
            counts,
            prefix,
        };
        items.blocking_send(rows).map_err(|_| cancelled())
    };
    loop {
        match queue.blocking_recv() {
            Some(Chunk::Bytes(bytes)) => {
                inflater.push(&bytes, |piece| decoder.feed_into(piece, &mut deliver))?;
            }
            Some(Chunk::End) => {
                inflater.finish()?;
                let counts = decoder.finish_into(&mut deliver)?;
                let header = decoder.header().to_vec();
                return Ok(Decoded::End { counts, header });
            }
            Some(Chunk::Broken(error)) => return Err(error),
            None => return Err(cancelled()),
        }
    }
}

fn cancelled() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "decode a CSV page: nobody wants it any more",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use arrow::array::{AsArray as _, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use futures::StreamExt as _;
    use http::HeaderMap;
    use overlock_core::stream::json_field;

    use super::super::Options;
    use super::*;
    use crate::http::{Caps, Encoding};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("Id", DataType::Utf8, true),
            Field::new("N", DataType::Int64, true),
            json_field("_extra"),
        ]))
    }

    fn page(rows: usize) -> String {
        let records = (0..rows).map(|row| format!("\"id {row} \"\"q\"\"\nx\",\"{row}\"\n"));
        std::iter::once("\"Id\",\"N\"\n".to_owned())
            .chain(records)
            .collect()
    }

    fn decoder() -> CsvDecoder {
        let options = Options {
            batch_rows: 100,
            ..Options::default()
        };
        CsvDecoder::new(schema(), options).unwrap()
    }

    fn body(chunks: Vec<Result<Bytes>>, encoding: Encoding) -> Body {
        Body::new(
            200,
            HeaderMap::new(),
            encoding,
            Caps::new(1 << 30),
            stream::iter(chunks),
        )
    }

    fn chunks(bytes: &[u8], size: usize) -> Vec<Result<Bytes>> {
        bytes
            .chunks(size)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect()
    }

    async fn drain(
        mut stream: BoxStream<'static, Result<Decoded>>,
    ) -> (Vec<RecordBatch>, Option<Prefix>, Result<Counts>) {
        let mut batches = Vec::new();
        let mut last = None;
        while let Some(item) = stream.next().await {
            match item {
                Ok(Decoded::Rows { batch, prefix, .. }) => {
                    batches.push(batch);
                    last = Some(prefix);
                }
                Ok(Decoded::End { counts, .. }) => return (batches, last, Ok(counts)),
                Err(error) => return (batches, last, Err(error)),
            }
        }
        panic!("neither end nor error");
    }

    fn ids(batches: &[RecordBatch]) -> Vec<String> {
        let all = concat_batches(&schema(), batches).unwrap();
        let column: &StringArray = all.column(0).as_string();
        column.iter().map(|id| id.unwrap().to_owned()).collect()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn a_page_comes_out_whole_plain_or_compressed() {
        let text = page(1050);
        for (wire, encoding) in [
            (text.clone().into_bytes(), Encoding::Identity),
            (gzip(&text), Encoding::Gzip),
        ] {
            for size in [1, 777, usize::MAX] {
                let body = body(chunks(&wire, size), encoding);
                let (batches, _, end) = drain(DecodeThread::start().unwrap().decode_csv(
                    body,
                    decoder(),
                    None,
                ))
                .await;
                assert_eq!(end.unwrap().rows, 1050);
                assert_eq!(batches.len(), 11);
                assert_eq!(ids(&batches)[1049], "id 1049 \"q\"\nx");
            }
        }
    }

    #[tokio::test]
    async fn a_retry_goes_on_behind_what_was_delivered() {
        // covers: N6
        let text = page(1050);
        let whole = drain(DecodeThread::start().unwrap().decode_csv(
            body(chunks(text.as_bytes(), 999), Encoding::Identity),
            decoder(),
            None,
        ))
        .await;
        for cut in [20, 5_000, text.len() / 2, text.len() - 3] {
            let mut broken = chunks(&text.as_bytes()[..cut], 999);
            broken.push(Err(Error::new(
                ErrorKind::Unavailable,
                "receive an answer: cut",
            )));
            let first = drain(DecodeThread::start().unwrap().decode_csv(
                body(broken, Encoding::Identity),
                decoder(),
                None,
            ))
            .await;
            assert_eq!(first.2.unwrap_err().kind(), ErrorKind::Unavailable);
            let again = body(chunks(&gzip(&text), 500), Encoding::Gzip);
            let second = drain(DecodeThread::start().unwrap().decode_csv(
                again,
                decoder(),
                first.1,
            ))
            .await;
            assert_eq!(second.2.unwrap().rows, 1050);
            let mut batches = first.0;
            batches.extend(second.0);
            assert_eq!(ids(&batches), ids(&whole.0), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_retry_that_brings_other_bytes_is_refused() {
        let text = page(1050);
        let mut broken = chunks(&text.as_bytes()[..text.len() / 2], 999);
        broken.push(Err(Error::new(
            ErrorKind::Unavailable,
            "receive an answer: cut",
        )));
        let first = drain(DecodeThread::start().unwrap().decode_csv(
            body(broken, Encoding::Identity),
            decoder(),
            None,
        ))
        .await;
        let prefix = first.1;
        assert!(prefix.unwrap().rows >= 100);
        for other in [
            text.replacen("\"7\"", "\"8\"", 1),
            text.replacen("\"Id\",\"N\"", "\"N\",\"Id\"", 1),
            page(50),
            page(0),
        ] {
            let body = body(chunks(other.as_bytes(), 999), Encoding::Identity);
            let second = drain(
                DecodeThread::start()
                    .unwrap()
                    .decode_csv(body, decoder(), prefix),
            )
            .await;
            assert_eq!(second.2.unwrap_err().kind(), ErrorKind::Data);
            assert!(second.0.is_empty());
        }
    }

    #[tokio::test]
    async fn a_page_that_ended_without_a_line_feed_does_so_again_or_is_another_one() {
        let torn = "Id,N\na,1\nb,2";
        let text = "Id,N\na,1\nb,23\n";
        let read = |text: &str, prefix| {
            let body = body(chunks(text.as_bytes(), 5), Encoding::Identity);
            let thread = DecodeThread::start().unwrap();
            drain(thread.decode_csv(body, decoder(), prefix))
        };
        let (_, prefix, end) = read(torn, None).await;
        assert_eq!(end.unwrap().unterminated_pages, 1);
        let (batches, _, end) = read(torn, prefix).await;
        assert_eq!((end.unwrap().unterminated_pages, batches.len()), (1, 0));
        let (batches, _, end) = read(text, prefix).await;
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Data);
        assert!(batches.is_empty());
    }

    #[tokio::test]
    async fn a_cut_page_never_ends_well() {
        let text = page(300);
        let wire = gzip(&text);
        for cut in [0, 5, wire.len() / 2, wire.len() - 1] {
            let body = body(chunks(&wire[..cut], 100), Encoding::Gzip);
            assert!(
                drain(
                    DecodeThread::start()
                        .unwrap()
                        .decode_csv(body, decoder(), None)
                )
                .await
                .2
                .is_err(),
                "cut at {cut}"
            );
        }
    }

    #[tokio::test]
    async fn dropping_the_stream_ends_both_workers() {
        let (sender, receiver) = mpsc::channel::<()>(1);
        let chunk = Bytes::from("\"x\",\"1\"\n".repeat(10_000));
        // The sender lives in the body's stream: the receiver learns when the body is gone.
        let endless = stream::unfold((sender, true), move |(sender, first)| {
            let chunk = if first {
                Bytes::from("\"Id\",\"N\"\n")
            } else {
                chunk.clone()
            };
            async move { Some((Ok(chunk), (sender, false))) }
        });
        let body = Body::new(
            200,
            HeaderMap::new(),
            Encoding::Identity,
            Caps::new(u64::MAX),
            endless,
        );
        let mut stream = DecodeThread::start()
            .unwrap()
            .decode_csv(body, decoder(), None);
        assert!(matches!(
            stream.next().await,
            Some(Ok(Decoded::Rows { .. }))
        ));
        drop(stream);
        let mut receiver = receiver;
        assert!(receiver.recv().await.is_none());
    }
}
