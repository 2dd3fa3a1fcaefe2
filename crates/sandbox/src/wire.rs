//! What happens between an answer and the socket: cuts, stalls, drips, resets, broken gzip.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::fault::Fault;
use crate::message::Body;

/// Largest piece handed to the socket at once; small enough that a cut is exact and memory stays flat.
const PIECE_BYTES: usize = 256 * 1024;

/// Time for the bytes before a cut to leave the machine, so that the cut hits where it should.
const FLUSH: Duration = Duration::from_millis(3);

/// How a body ends before its announced length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    Stall,
}

/// A body as it goes on the wire.
pub(crate) struct WireBody {
    chunks: Box<dyn Iterator<Item = Bytes> + Send>,
    current: Bytes,
    announced: u64,
    /// Length of an open body for the accounting; such a body announces nothing.
    accounted: Option<u64>,
    sent: u64,
    end: Option<(u64, End)>,
    drip: Option<(usize, Duration)>,
    pause: Option<Pin<Box<Sleep>>>,
    ending: bool,
    reset: Arc<AtomicBool>,
}

impl WireBody {
    pub(crate) fn new(body: Body, faults: &[Fault], reset: Arc<AtomicBool>) -> Self {
        let accounted = body.length();
        let open = matches!(body, Body::Open { .. });
        // An open body ends where its chunks end.
        let length = if open { u64::MAX } else { accounted };
        let chunks: Box<dyn Iterator<Item = Bytes> + Send> = match body {
            Body::Full(bytes) => Box::new(std::iter::once(bytes)),
            Body::Chunks { chunks, .. } | Body::Open { chunks, .. } => chunks,
        };
        let mut wire = Self {
            chunks,
            current: Bytes::new(),
            announced: length,
            accounted: open.then_some(accounted),
            sent: 0,
            end: None,
            drip: None,
            pause: None,
            ending: false,
            reset,
        };
        for fault in faults {
            match fault {
                Fault::CutAt { bytes } => wire.end = Some((*bytes, End::Close)),
                Fault::ResetAt { bytes } => wire.end = Some((*bytes, End::Reset)),
                Fault::Stall { bytes: Some(bytes) } => wire.end = Some((*bytes, End::Stall)),
                Fault::TruncateAt { bytes } => wire.announced = length.min(*bytes),
                Fault::Drip { bytes, every_ms } => {
                    let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX).max(1);
                    wire.drip = Some((bytes, Duration::from_millis(*every_ms)));
                }
                _ => {}
            }
        }
        // A cut past the end would not be one: cut before the last byte instead.
        if let Some((at, _)) = &mut wire.end {
            *at = (*at).min(wire.announced.saturating_sub(1));
            // An empty body cannot be cut, so one byte is announced that never comes.
            wire.announced = wire.announced.max(1);
        }
        wire
    }

    pub(crate) fn announced(&self) -> u64 {
        self.accounted.unwrap_or(self.announced)
    }

    fn fill(&mut self) -> bool {
        while self.current.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.current = chunk,
                None => return false,
            }
        }
        true
    }
}

impl hyper::body::Body for WireBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let mut room = this.announced.saturating_sub(this.sent);
        if let Some((at, end)) = this.end {
            room = at.saturating_sub(this.sent);
            if room == 0 {
                if end == End::Stall {
                    return Poll::Pending;
                }
                if !this.ending {
                    this.ending = true;
                    let mut pause = Box::pin(tokio::time::sleep(FLUSH));
                    if pause.as_mut().poll(cx).is_pending() {
                        this.pause = Some(pause);
                        return Poll::Pending;
                    }
                }
                if end == End::Reset {
                    this.reset.store(true, Ordering::Relaxed);
                }
                return Poll::Ready(Some(Err(io::Error::other("cut by a fault plan"))));
            }
        }
        if room == 0 || !this.fill() {
            return Poll::Ready(None);
        }
        let mut size = this.current.len().min(PIECE_BYTES);
        size = size.min(usize::try_from(room).unwrap_or(usize::MAX));
        if let Some((bytes, every)) = this.drip {
            size = size.min(bytes);
            this.pause = Some(Box::pin(tokio::time::sleep(every)));
        }
        let piece = this.current.split_to(size);
        this.sent += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() && self.sent >= self.announced
    }

    fn size_hint(&self) -> SizeHint {
        match self.accounted {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.announced.saturating_sub(self.sent)),
        }
    }
}

/// Whether any of the faults needs a compressed body.
pub(crate) fn wants_gzip(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| {
        matches!(
            fault,
            Fault::GzipCut { .. }
                | Fault::GzipBadCrc
                | Fault::GzipSecondMember
                | Fault::GzipTrailing
                | Fault::GzipBomb { .. }
        )
    })
}

/// Compresses a body, broken as the faults ask for.
pub(crate) fn gzip(body: Body, faults: &[Fault]) -> io::Result<Bytes> {
    let bomb = faults.iter().find_map(|fault| match fault {
        Fault::GzipBomb { bytes } => Some(*bytes),
        _ => None,
    });
    let level = Compression::new(if bomb.is_some() { 9 } else { 1 });
    let mut encoder = GzEncoder::new(Vec::new(), level);
    match (bomb, body) {
        (Some(bytes), _) => {
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut encoder)?;
        }
        (None, Body::Full(bytes)) => encoder.write_all(&bytes)?,
        (None, Body::Chunks { chunks, .. } | Body::Open { chunks, .. }) => {
            for chunk in chunks {
                encoder.write_all(&chunk)?;
            }
        }
    }
    let mut member = encoder.finish()?;
    for fault in faults {
        match fault {
            Fault::GzipCut { missing } => {
                let missing = usize::try_from(*missing).unwrap_or(usize::MAX);
                member.truncate(member.len().saturating_sub(missing));
            }
            Fault::GzipBadCrc => {
                // The last eight bytes are the check sum and the length (RFC 1952).
                let at = member.len().saturating_sub(8);
                if let Some(byte) = member.get_mut(at) {
                    *byte ^= 0xff;
                }
            }
            Fault::GzipSecondMember => member.extend_from_within(..),
            Fault::GzipTrailing => member.extend_from_slice(b"trailing bytes that are no gzip"),
            _ => {}
        }
    }
    Ok(Bytes::from(member))
}

/// Changes the content of a body before it is compressed.
pub(crate) fn alter(body: Body, faults: &[Fault]) -> Body {
    let mut body = body;
    for fault in faults {
        body = match fault {
            Fault::Garble { at } => {
                let mut bytes = body.into_bytes().to_vec();
                let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                let at = if *at < 0 { length + *at } else { *at };
                if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 0xff;
                }
                Body::Full(Bytes::from(bytes))
            }
            Fault::Replace { find, with } => Body::Full(replace(
                &body.into_bytes(),
                find.as_bytes(),
                with.as_bytes(),
            )),
            _ => body,
        };
    }
    body
}

fn replace(bytes: &Bytes, find: &[u8], with: &[u8]) -> Bytes {
    if find.is_empty() {
        return bytes.clone();
    }
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes.clone();
    while let Some(at) = rest.windows(find.len()).position(|window| window == find) {
        replaced.extend_from_slice(&rest.split_to(at));
        replaced.extend_from_slice(with);
        rest.advance(find.len());
    }
    replaced.extend_from_slice(&rest);
    Bytes::from(replaced)
}

/// A socket that can be told to reset instead of to close.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    pub(crate) reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Zero linger turns the close into a reset. If it fails, the peer sees a plain close.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
