//! Lets the commits of a run go together, where each one alone would wake a warehouse.
//!
//! A stream's last package waits, sealed on disk, until every stream has read what there is; then all are committed
//! back to back. It does not wait longer than a package may be open, nor when the run is asked to stop, nor when
//! another stream commits in the middle of its read: then the warehouse is awake anyway.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::stop::Stop;

/// What is waited for.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    /// Streams that still read.
    reading: usize,
    /// How often somebody did not wait.
    waves: u64,
}

/// The meeting point of a run's commits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gather(Arc<watch::Sender<Run>>);

/// A stream that still reads; it has read when this is dropped.
#[derive(Debug)]
pub(crate) struct Reading(Gather);

impl Gather {
    /// One more stream reads.
    pub(crate) fn join(&self) -> Reading {
        self.0.send_modify(|run| run.reading += 1);
        Reading(self.clone())
    }

    /// Waits for the others, at most that long.
    pub(crate) async fn wait(&self, most: Duration, stop: &Stop) {
        let mut run = self.0.subscribe();
        let waves = run.borrow().waves;
        let others = run.wait_for(|run| run.reading == 0 || run.waves != waves);
        tokio::select! {
            // The sender is here, so this ends only as it should.
            _ = others => {}
            () = tokio::time::sleep(most) => self.go(),
            () = stop.requested() => {}
        }
    }

    /// Somebody commits now, so all who wait may as well.
    pub(crate) fn go(&self) {
        self.0.send_modify(|run| run.waves += 1);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let gather = &self.0.0;
        gather.send_modify(|run| run.reading = run.reading.saturating_sub(1));
    }
}
