//! The reading half of a stream: pages from the source into a bounded channel.
//!
//! It runs on its own task so that the next page is fetched and decoded while the last one is written. It
//! ends when the source ends, fails, or a stop was asked for and a state covers everything yielded.

use std::sync::Arc;

use futures::StreamExt as _;
use overlock_core::{Error, Page, ReadRequest, Result, Source};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::stop::Stop;

/// Pages that may wait between reading and writing. A source holds some more on its way here.
pub(crate) const QUEUED_PAGES: usize = 1;

/// What reading brings.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Some rows, and perhaps a state.
    Page(Page),
    /// The source has no more.
    End,
    /// The source failed.
    Failed(Error),
    /// A stop was asked for, and everything before this is covered by a state.
    Stopped,
}

/// A task that is aborted when its handle is dropped, so that nothing outlives its stream.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts it.
    pub(crate) fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `Bug` if it panicked.
    pub(crate) async fn join(mut self) -> Result<T> {
        (&mut self.0).await.map_err(|error| from_join(&error))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The error of a task that did not end by itself.
pub(crate) fn from_join(error: &tokio::task::JoinError) -> Error {
    if error.is_panic() {
        // The payload may hold outside data; the panic hook has already told stderr where it was.
        panicked()
    } else {
        Error::new(
            overlock_core::ErrorKind::Cancelled,
            "finish a task that was stopped",
        )
    }
}

/// The error of work that panicked.
pub(crate) fn panicked() -> Error {
    Error::bug("go on after an internal fault (a task panicked)")
}

/// Reads until the end, a failure, a stop, or the other side is gone.
pub(crate) async fn read(
    source: Arc<dyn Source>,
    request: ReadRequest,
    stop: Stop,
    sender: mpsc::Sender<Arrival>,
) {
    let declared = Arc::clone(&request.stream);
    let mut pages = source.read(request);
    let mut covered = true;
    loop {
        let next = if covered {
            tokio::select! {
                biased;
                () = stop.requested() => {
                    send(&sender, Arrival::Stopped).await;
                    return;
                }
                next = pages.next() => next,
            }
        } else {
            pages.next().await
        };
        let arrival = match next {
            None => Arrival::End,
            Some(Err(error)) => Arrival::Failed(error),
            Some(Ok(page)) if !same_schema(&page, &declared) => Arrival::Failed(
                Error::bug(format!(
                    "read `{}`: the connector gave a batch that has not the declared columns",
                    declared.name
                ))
                .context("stream", &declared.name),
            ),
            Some(Ok(page)) => {
                covered = page.state.is_some() || (covered && page.batch.num_rows() == 0);
                if !send(&sender, Arrival::Page(page)).await {
                    return;
                }
                continue;
            }
        };
        send(&sender, arrival).await;
        return;
    }
}

/// Whether the writer still listens.
async fn send(sender: &mpsc::Sender<Arrival>, arrival: Arrival) -> bool {
    sender.send(arrival).await.is_ok()
}

fn same_schema(page: &Page, stream: &overlock_core::Stream) -> bool {
    let given = page.batch.schema_ref();
    Arc::ptr_eq(given, &stream.schema) || given.fields() == stream.schema.fields()
}
