//! A stream of pages from an ordinary async function, without a task of its own: the function runs only
//! while somebody asks for pages, and ends with the stream.

use std::future::Future;

use arrow::array::RecordBatch;
use futures::channel::mpsc;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use overlock_core::{BoxStream, Error, ErrorKind, Page, Result, State};

/// Where the function puts its pages.
#[derive(Debug)]
pub struct Out(mpsc::Sender<Result<Page>>);

impl Out {
    /// Hands over a page; waits until the one before it was taken.
    ///
    /// # Errors
    /// `Cancelled` if the stream was dropped.
    pub async fn page(&mut self, batch: RecordBatch, state: Option<State>) -> Result<()> {
        self.0
            .send(Ok(Page { batch, state }))
            .await
            .map_err(|_| gone())
    }

    /// Waits until all pages were taken.
    ///
    /// # Errors
    /// `Cancelled` if the stream was dropped.
    pub async fn taken(&mut self) -> Result<()> {
        self.0.flush().await.map_err(|_| gone())
    }
}

fn gone() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "hand over a page: nobody reads any more",
    )
}

/// Runs `work` as a stream of the pages it puts out; its error comes last.
pub fn pages<'a, Work>(make: impl FnOnce(Out) -> Work) -> BoxStream<'a, Result<Page>>
where
    Work: Future<Output = Result<()>> + Send + 'a,
{
    let (sender, receiver) = mpsc::channel(0);
    let mut last = sender.clone();
    let work = make(Out(sender));
    let driver = async move {
        if let Err(error) = work.await {
            // If nobody reads any more, nobody needs the error.
            let _unread = last.send(Err(error)).await;
        }
    };
    let silent = driver
        .into_stream()
        .filter_map(|()| std::future::ready(None));
    Box::pin(futures::stream::select(receiver, silent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    #[tokio::test]
    async fn pages_come_in_order_and_the_error_last() {
        let pages = pages(|mut out| async move {
            for number in 0..3 {
                let state = State::new(&serde_json::json!({"v": number}))?;
                out.page(batch(), Some(state)).await?;
            }
            Err(Error::new(ErrorKind::Data, "count"))
        });
        let pages: Vec<_> = pages.collect().await;
        assert_eq!(pages.len(), 4);
        for (number, page) in pages.iter().take(3).enumerate() {
            let state = page.as_ref().unwrap().state.as_ref().unwrap();
            assert_eq!(state.as_json()["v"], number);
        }
        assert_eq!(pages[3].as_ref().unwrap_err().kind(), ErrorKind::Data);
    }

    #[tokio::test]
    async fn taken_waits_for_the_reader() {
        let seen = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mark = Arc::clone(&seen);
        let mut pages = pages(|mut out| async move {
            out.page(batch(), None).await?;
            out.taken().await?;
            mark.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        });
        assert!(pages.next().await.is_some());
        assert!(pages.next().await.is_none());
        assert!(seen.load(std::sync::atomic::Ordering::SeqCst));
    }
}
