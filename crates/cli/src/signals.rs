//! Signals: the first asks for a clean stop, the second ends the process at once.
//!
//! Ending at once is safe at any moment: a file is complete under its name or not there at all.

use std::future::Future;

use overlock_core::{Error, ErrorKind};
use overlock_engine::{Stop, StopReason};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// The signals that stop a run.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals")
    }
}

impl Signals {
    /// Begins to listen; call it inside a runtime.
    pub(crate) fn listen() -> Outcome<Self> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Error::new(ErrorKind::Io, "listen for signals").source(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal and gives its exit code.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => exit::INTERRUPTED,
            _ = self.terminate.recv() => exit::TERMINATED,
            _ = self.hangup.recv() => exit::TERMINATED,
        }
    }
}

/// Turns signals into stops of runs for as long as the process lives.
pub(crate) fn stop_on_signal(mut signals: Signals, stop: Stop, output: Output) {
    tokio::spawn(async move {
        let first = signals.next().await;
        output.remark("stopping at the next state; a second signal stops at once");
        stop.request(if first == exit::INTERRUPTED {
            StopReason::Interrupt
        } else {
            StopReason::Terminate
        });
        let second = signals.next().await;
        end_at_once(second);
    });
}

#[expect(
    clippy::exit,
    reason = "the second signal means now: nothing may wait for streams or destructors"
)]
fn end_at_once(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

/// Waits for a future, or for a signal, or for the time limit, whichever comes first.
pub(crate) async fn interruptible<T>(
    future: impl Future<Output = Outcome<T>>,
    timeout: Option<std::time::Duration>,
) -> Outcome<T> {
    let mut signals = Signals::listen()?;
    let limit = async {
        match timeout {
            Some(timeout) => {
                tokio::time::timeout(timeout, std::future::pending::<()>())
                    .await
                    .ok();
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = future => outcome,
        code = signals.next() => Err(Failure::Code(code)),
        () = limit => Err(Failure::Error(
            Error::new(ErrorKind::Unavailable, "finish within the time of --timeout")
                .hint("give it more time, or look at the network and the proxy settings"),
        )),
    }
}
