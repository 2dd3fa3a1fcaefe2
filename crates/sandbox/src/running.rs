//! An emulator with its server and its clock: what every sandbox of a connector is made of.

use std::fmt;
use std::sync::Arc;

use overlock_core::Result;

use crate::{Emulator, Faults, Plan, RequestRecord, Server, ServerOptions, VirtualClock};

/// How an emulator is served.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// Port; 0 picks a free one.
    pub port: u16,
    /// Faults of the wire from the start.
    pub faults: Plan,
    /// Whether answers are compressed for clients that accept gzip.
    pub gzip: bool,
}

/// A served emulator. Stops when dropped.
pub struct Running<E> {
    emulator: Arc<E>,
    server: Server,
    clock: VirtualClock,
}

impl<E: Emulator + 'static> Running<E> {
    /// Starts the server.
    ///
    /// # Errors
    /// `Io` if the port is taken.
    pub fn start(emulator: E, clock: VirtualClock, serving: Serving) -> Result<Self> {
        let emulator = Arc::new(emulator);
        let faults = Faults::default();
        faults.load(serving.faults);
        let server = Server::start(
            emulator.clone(),
            ServerOptions {
                port: serving.port,
                faults,
                gzip: serving.gzip,
                ..ServerOptions::new(clock.clone())
            },
        )?;
        Ok(Self {
            emulator,
            server,
            clock,
        })
    }
}

impl<E> Running<E> {
    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// The emulator: what it remembers, and how it misbehaves.
    pub fn emulator(&self) -> &E {
        &self.emulator
    }

    /// The clock.
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// Faults of the wire.
    pub fn faults(&self) -> &Faults {
        self.server.faults()
    }

    /// The newest requests, in order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.server.requests()
    }

    /// The server underneath.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl<E> fmt::Debug for Running<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("server", &self.server)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
