//! One long-lived thread for the writing half of a stream.
//!
//! Encoding a package on whichever blocking thread is free would spread its buffers over the allocator's
//! arenas of all of them: a third more memory at the peak (measured), and a wake-up of another thread for
//! each batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};

use overlock_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use crate::read::panicked;

type Work = Box<dyn FnOnce() + Send>;

/// The thread; it ends after its work when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker(Sender<Work>);

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Io` if the system has no thread to give.
    pub(crate) fn start() -> Result<Self> {
        let (sender, queue) = channel::<Work>();
        std::thread::Builder::new()
            .name("overlock-write".to_owned())
            .spawn(move || queue.iter().for_each(|work| work()))
            .map_err(|error| Error::new(ErrorKind::Io, "start a thread").source(error))?;
        Ok(Self(sender))
    }

    /// Runs work on the thread, after what was given to it before.
    ///
    /// # Errors
    /// As the work; `Bug` if it panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = oneshot::channel();
        let job = move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            // Nobody listens any more when the stream was abandoned.
            answer.send(done).ok();
        };
        let gone = || Error::bug("work on: the writing thread is gone");
        self.0.send(Box::new(job)).map_err(|_| gone())?;
        // Paused time in tests runs on while only a thread of our own works; a blocking task stops it.
        let done = if cfg!(test) {
            tokio::task::spawn_blocking(move || result.blocking_recv())
                .await
                .map_err(|_| gone())?
        } else {
            result.await
        };
        match done.map_err(|_| gone())? {
            Ok(result) => result,
            // The payload may hold outside data; the panic hook has already told stderr where it was.
            Err(_) => Err(panicked()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_in_order_on_one_thread_and_survives_a_panic() {
        // covers: R4
        crate::tests::hush();
        let worker = Worker::start().unwrap();
        let thread = || worker.run(|| Ok(std::thread::current().id()));
        let first = thread().await.unwrap();
        let panic = worker
            .run(|| -> Result<()> { panic!("the connector has a defect") })
            .await;
        assert_eq!(panic.unwrap_err().kind(), ErrorKind::Bug);
        assert_eq!(thread().await.unwrap(), first);
    }
}
