//! Everything a test needs in one call: world, clock, emulator and server, and the settings that log in.

use std::ops::Deref;

use overlock_core::{Result, Timestamp};
use overlock_sandbox::{Plan, Running, Serving, VirtualClock};
use serde_json::{Value, json};

use super::options::{Behaviour, Credentials};
use super::service::ZuoraEmulator;
use super::world::{World, WorldOptions};

/// How a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Client id and secret.
    OAuth,
    /// User and password in headers.
    Keys,
}

/// What a sandbox is made from.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The world.
    pub world: WorldOptions,
    /// Limits and habits of the tenant.
    pub behaviour: Behaviour,
    /// Who may log in.
    pub credentials: Credentials,
    /// Faults of the wire from the start.
    pub faults: Plan,
    /// Port; 0 picks a free one.
    pub port: u16,
    /// Virtual seconds per real second; 0: the clock stands still until it is turned.
    pub clock_speed: u32,
    /// Where the clock begins; the world's start if missing.
    pub now: Option<Timestamp>,
    /// Whether the world goes on by itself when the clock moves.
    pub evolves: bool,
    /// Serves so many made-up invoice items instead of those of the world.
    pub bench_rows: Option<u64>,
    /// Whether answers are compressed for clients that accept gzip.
    pub gzip: bool,
}

impl SandboxOptions {
    /// A small world at `start` under a clock that stands still; limits are off, because under such a clock
    /// a used-up window never ends. Set `behaviour.limits` to have calls refused.
    pub fn tiny(seed: u64, start: Timestamp) -> Self {
        Self {
            world: WorldOptions::tiny(seed, start),
            behaviour: Behaviour {
                limits: false,
                ..Behaviour::default()
            },
            credentials: Credentials::default(),
            faults: Plan::default(),
            port: 0,
            clock_speed: 0,
            now: None,
            evolves: true,
            bench_rows: None,
            gzip: true,
        }
    }

    /// The world of the demo at `start`; otherwise as [`SandboxOptions::tiny`].
    pub fn demo(seed: u64, start: Timestamp) -> Self {
        Self {
            world: WorldOptions::demo(seed, start),
            ..Self::tiny(seed, start)
        }
    }
}

/// A running tenant. Stops when dropped.
#[derive(Debug)]
pub struct ZuoraSandbox(Running<ZuoraEmulator>);

impl Deref for ZuoraSandbox {
    type Target = Running<ZuoraEmulator>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl ZuoraSandbox {
    /// Starts world, emulator and server.
    ///
    /// # Errors
    /// `Io` if the port is taken.
    pub fn start(options: SandboxOptions) -> Result<Self> {
        let world = World::seeded(options.world.clone());
        Self::start_with(world, options)
    }

    /// Starts emulator and server over a world that is there already.
    ///
    /// # Errors
    /// `Io` if the port is taken.
    pub fn start_with(world: World, options: SandboxOptions) -> Result<Self> {
        let start = options.now.unwrap_or(options.world.start);
        let clock = VirtualClock::at_speed(start, options.clock_speed);
        let mut emulator = ZuoraEmulator::new(world, clock.clone())
            .with_credentials(options.credentials)
            .with_behaviour(options.behaviour);
        if !options.evolves {
            emulator = emulator.without_evolution();
        }
        if let Some(rows) = options.bench_rows {
            emulator = emulator.with_bench(rows);
        }
        let serving = Serving {
            port: options.port,
            faults: options.faults,
            gzip: options.gzip,
        };
        Ok(Self(Running::start(emulator, clock, serving)?))
    }

    /// Looks at the world or changes it.
    pub fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.emulator().with_world(act)
    }

    /// The values of a `[source.NAME]` table that logs in here, secrets in clear.
    pub fn config(&self, login: Login) -> Value {
        let known = self.emulator().credentials();
        let auth = match login {
            Login::OAuth => json!({
                "kind": "oauth",
                "client_id": known.client_id,
                "client_secret": known.client_secret,
            }),
            Login::Keys => json!({
                "kind": "keys",
                "user": known.user,
                "password": known.password,
            }),
        };
        json!({ "base_url": self.base_url(), "auth": auth })
    }

    /// Every secret that clients of this tenant are given; none may show up in any output.
    pub fn canaries(&self) -> Vec<String> {
        let known = self.emulator().credentials();
        vec![known.client_secret.clone(), known.password.clone()]
    }
}
