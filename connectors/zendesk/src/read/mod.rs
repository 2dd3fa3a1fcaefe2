//! Reading one stream: each way of the table of streams has a file.
//!
//! **Invariant:** a state is given out only behind all rows it covers, and it moves only by what Zendesk said: a
//! cursor, the end of a page, the stamp of a row. This machine's clock never decides what was read.

mod children;
mod comments;
mod cursor;
mod list;
mod records;
mod since;
mod time;

pub(crate) use self::children::all;

use std::sync::Arc;

use arrow::array::RecordBatch;
use overlock_core::{BoxStream, Error, ErrorKind, ReadRequest, Result, Stream, Timestamp};
use overlock_kit::out::{Out, pages};
use overlock_kit::rows::Counts;

use crate::client::Client;
use crate::decode::{Decoded, Decoder, Decoding};
use crate::envelope::Page;
use crate::source::Zendesk;
use crate::state::Position;
use crate::streams::{self, Spec, Way};

/// Reads a stream.
pub(crate) fn read(
    source: &Zendesk,
    request: ReadRequest,
) -> BoxStream<'_, Result<overlock_core::Page>> {
    pages(move |mut out| async move {
        let name = request.stream.name.clone();
        let work = async {
            let mut reader = Reader::new(source, &request)?;
            let following = Following::of(source, reader.spec);
            let done = reader.run(&mut out).await;
            if done
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::Data)
            {
                following.forget();
            }
            done
        };
        work.await.map_err(|error| {
            error
                .context("stream", &name)
                .while_doing(format!("read `{name}`"))
        })
    })
}

/// The exports that a stream follows; it leaves them when it ends, however that is.
struct Following<'a> {
    source: &'a Zendesk,
    spec: &'static Spec,
}

impl<'a> Following<'a> {
    fn of(source: &'a Zendesk, spec: &'static Spec) -> Self {
        Self { source, spec }
    }

    fn forget(&self) {
        for export in self.spec.follows() {
            self.source.shared().forget(export);
        }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        for export in self.spec.follows() {
            self.source.shared().leave(export, self.spec.name);
        }
    }
}

/// One read of one stream.
struct Reader<'a> {
    source: &'a Zendesk,
    spec: &'static Spec,
    stream: Arc<Stream>,
    position: Position,
    /// Where history begins, in epoch seconds.
    since: i64,
    until: Timestamp,
    decoder: Decoder,
    lossy: u64,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Zendesk, request: &ReadRequest) -> Result<Self> {
        let name = request.stream.name.as_str();
        let spec = streams::find(name)
            .ok_or_else(|| Error::bug(format!("read a stream that nobody offered: `{name}`")))?;
        if request.filter.is_some() {
            return Err(Error::new(
                ErrorKind::Config,
                format!("filter `{name}`: Zendesk's exports and lists take no condition"),
            )
            .hint("leave `where` out of the stream's table, and choose rows where they are used"));
        }
        let since = request.since.or(source.start_date());
        if since.is_some_and(|since| since > request.until) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("read `{name}` from a start in the future"),
            )
            .context("key", "start_date")
            .hint("correct `start_date`, or --since"));
        }
        Ok(Self {
            source,
            spec,
            stream: Arc::clone(&request.stream),
            position: Position::of(request.state.as_ref(), source.client().host())?,
            since: since.map_or(0, Timestamp::seconds).max(0),
            until: request.until,
            decoder: Decoder::new(spec, &request.stream)?,
            lossy: 0,
        })
    }

    async fn run(&mut self, out: &mut Out) -> Result<()> {
        let done = match self.spec.way {
            Way::Cursor(export) => cursor::rows(self, export, out).await,
            Way::Metrics => cursor::metrics(self, out).await,
            Way::Identities => cursor::identities(self, out).await,
            Way::PerTicket { below, list } => cursor::below(self, below, list, out).await,
            Way::Comments => comments::read(self, out).await,
            Way::Time { .. } => time::rows(self, out).await,
            Way::Since { .. } => since::read(self, out).await,
            Way::List(which) => list::read(self, which, out).await,
            Way::Dictionary => list::dictionary(self, out).await,
            Way::CustomRecords => list::custom_records(self, out).await,
            Way::PerParent {
                parents,
                below,
                list,
                column,
            } => list::per_parent(self, parents, below, list, column, out).await,
        };
        if self.lossy > 0 {
            let message = format!(
                "{} texts had bytes that are no text; they were replaced by U+FFFD",
                self.lossy
            );
            self.client()
                .warn("W0605", Some(&self.stream.name), message);
        }
        done
    }

    fn client(&self) -> &'a Client {
        self.source.client()
    }

    fn name(&self) -> &'static str {
        self.spec.name
    }

    /// A batch without rows, for a state that moves alone.
    fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(&self.stream.schema))
    }

    async fn decode(&mut self, records: bytes::Bytes) -> Result<Vec<Decoded>> {
        let (batches, counts) = self.decoder.records(records).await?;
        self.note(&counts);
        Ok(batches)
    }

    async fn decode_page(&mut self, page: &Page) -> Result<Vec<Decoded>> {
        match self.decode(page.records()).await {
            Err(error) if error.kind() == ErrorKind::Data => match page.exact()? {
                Some(exact) => self.decode(exact.records()).await,
                None => Err(error),
            },
            decoded => decoded,
        }
    }

    fn note(&mut self, counts: &Counts) {
        self.lossy += counts.lossy_strings;
    }

    /// The rows of a page that was begun.
    async fn finish_page(&mut self, page: &Page, decoding: Decoding) -> Result<Vec<Decoded>> {
        match self.decoder.finish(decoding).await {
            Ok((decoded, counts)) => {
                self.note(&counts);
                Ok(decoded)
            }
            Err(error) if error.kind() == ErrorKind::Data => match page.exact()? {
                Some(exact) => self.decode(exact.records()).await,
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The rows of records that stand for themselves, whatever their stamps.
    async fn batches(&mut self, records: bytes::Bytes) -> Result<Vec<RecordBatch>> {
        let decoded = self.decode(records).await?;
        Ok(decoded.into_iter().map(|one| one.batch).collect())
    }

    /// Hands over batches, the last one with the position.
    async fn give(&self, out: &mut Out, mut batches: Vec<RecordBatch>) -> Result<()> {
        let last = batches.pop().unwrap_or_else(|| self.empty());
        for batch in batches {
            out.page(batch, None).await?;
        }
        out.page(last, Some(self.position.state()?)).await
    }

    /// Where an export begins at first: never within the last minute, which Zendesk refuses.
    fn start(&self) -> i64 {
        let newest = self.until.minus(crate::limits::HELD_BACK).seconds();
        self.position.at.unwrap_or(self.since).min(newest).max(0)
    }
}
