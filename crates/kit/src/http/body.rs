//! A body that is still arriving, with its silence, its length and its speed watched.
//!
//! Only time in which somebody waits for more bytes counts: a slow consumer never makes a download time
//! out. Dropping the body closes the connection.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{Stream, StreamExt as _};
use http::HeaderMap;
use overlock_core::{BoxStream, Error, ErrorKind, Result, crash_point};
use tokio::time::Instant;

use super::failure;
use super::inflate::{Caps, Encoding, Inflater};

/// An answer whose headers are here and whose bytes are still coming, as they are on the wire.
pub struct Body {
    /// HTTP status; always 2xx.
    pub status: u16,
    /// Headers as they came.
    pub headers: HeaderMap,
    encoding: Encoding,
    caps: Caps,
    chunks: BoxStream<'static, Result<Bytes>>,
    done: bool,
}

impl Body {
    /// A body from chunks made elsewhere, for tests and for other transports.
    pub fn new(
        status: u16,
        headers: HeaderMap,
        encoding: Encoding,
        caps: Caps,
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self {
            status,
            headers,
            encoding,
            caps,
            chunks: Box::pin(chunks),
            done: false,
        }
    }

    /// The next bytes as they are on the wire, perhaps compressed; `None` at the end.
    ///
    /// # Errors
    /// `Unavailable` if the connection broke, fell silent or is too slow. There are no more bytes then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if self.done {
            return Ok(None);
        }
        let next = self.chunks.next().await.transpose();
        self.done = !matches!(next, Ok(Some(_)));
        if let Ok(Some(_)) = next {
            crash_point!("H3.body_chunk");
        } else if let Ok(None) = next {
            crash_point!("H4.after_body");
        }
        next
    }

    /// Puts a chunk in front of what still comes.
    pub(super) fn put_back(&mut self, chunk: Option<Bytes>) {
        if let Some(chunk) = chunk {
            let rest = std::mem::replace(&mut self.chunks, Box::pin(futures::stream::empty()));
            self.chunks = Box::pin(futures::stream::iter([Ok(chunk)]).chain(rest));
        }
    }

    /// How the bytes are encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The same body, whose bytes are a file of this encoding, whatever the wire did to them on top.
    #[must_use]
    pub fn as_file(mut self, encoding: Encoding) -> Self {
        if self.encoding == Encoding::Identity {
            self.encoding = encoding;
            return self;
        }
        let (status, headers, caps) = (self.status, self.headers.clone(), self.caps);
        let inflater = self.inflater();
        let chunks =
            futures::stream::try_unfold((self, inflater), |(mut body, mut inflater)| async {
                let Some(chunk) = body.chunk().await? else {
                    inflater.finish()?;
                    return Ok(None);
                };
                let mut bytes = Vec::new();
                inflater.push(&chunk, |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
                Ok(Some((Bytes::from(bytes), (body, inflater))))
            });
        Self::new(status, headers, encoding, caps, chunks)
    }

    /// An inflater that fits this body; feed it with every chunk, then call its `finish`.
    pub fn inflater(&self) -> Inflater {
        Inflater::new(self.encoding, self.caps)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads and decompresses the whole body into memory.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk) and [`Inflater::push`].
    pub async fn collect(mut self) -> Result<Bytes> {
        let mut inflater = self.inflater();
        let mut whole = Vec::with_capacity(self.announced());
        while let Some(chunk) = self.chunk().await? {
            inflater.push(&chunk, |bytes| {
                whole.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        inflater.finish()?;
        Ok(whole.into())
    }
}

/// Room that is made at once for a body whose length was announced; longer ones grow.
const MOST_ANNOUNCED: usize = 16 << 20;

impl Body {
    /// Bytes that the server says will come, if they come as they are.
    fn announced(&self) -> usize {
        let length = self.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        match self.encoding {
            Encoding::Identity => length.unwrap_or(0).min(MOST_ANNOUNCED),
            Encoding::Gzip | Encoding::GzipFile | Encoding::ZipFile => 0,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("status", &self.status)
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

/// How long a body may be silent, how long it may take, and how slow it may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    pub(super) idle: Duration,
    pub(super) total: Duration,
    pub(super) min_bytes_per_s: u64,
    pub(super) period: Duration,
}

/// The chunks of an answer under watch. `waited` is the network time spent before the headers came.
pub(super) fn watched(
    answer: reqwest::Response,
    watch: Watch,
    waited: Duration,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let state = Watched {
        bytes: Box::pin(answer.bytes_stream()),
        watch,
        waited,
        period_waited: Duration::ZERO,
        period_bytes: 0,
    };
    futures::stream::try_unfold(state, |mut state| async move {
        Ok(state.next().await?.map(|bytes| (bytes, state)))
    })
}

struct Watched {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    watch: Watch,
    waited: Duration,
    period_waited: Duration,
    period_bytes: u64,
}

impl Watched {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let watch = self.watch;
        let left = watch.total.saturating_sub(self.waited);
        let started = Instant::now();
        let next = tokio::time::timeout(watch.idle.min(left), self.bytes.next()).await;
        let elapsed = started.elapsed();
        self.waited += elapsed;
        self.period_waited += elapsed;
        let bytes = match next {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => return Err(failure::of_body(error)),
            Err(_) if watch.idle <= left => {
                let idle = crate::duration::format(watch.idle);
                return Err(broken(&format!("nothing came for {idle}")));
            }
            Err(_) => {
                let total = crate::duration::format(watch.total);
                return Err(broken(&format!("it took longer than {total}")));
            }
        };
        self.period_bytes += bytes.len() as u64;
        if self.period_waited >= watch.period {
            let floor = u128::from(watch.min_bytes_per_s) * self.period_waited.as_millis() / 1_000;
            if u128::from(self.period_bytes) < floor {
                let minimum = watch.min_bytes_per_s;
                return Err(broken(&format!(
                    "it came slower than {minimum} bytes per second"
                )));
            }
            self.period_waited = Duration::ZERO;
            self.period_bytes = 0;
        }
        Ok(Some(bytes))
    }
}

fn broken(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("receive an answer: {why}"))
        .hint("the service or the network is slow: try again later")
}
