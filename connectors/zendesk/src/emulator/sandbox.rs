//! Everything a test needs in one call: world, clock, emulator and server, and the settings that log in.

use std::ops::Deref;

use overlock_core::{Result, Timestamp};
use overlock_sandbox::{Plan, Running, Serving, VirtualClock};
use serde_json::{Value, json};

use super::options::{Behaviour, Credentials};
use super::service::ZendeskEmulator;
use super::world::{World, WorldOptions};

/// How a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Client id and secret.
    ClientCredentials,
    /// An access token that never expires.
    Bearer,
    /// Refresh token; it rotates.
    RefreshToken,
    /// Address and API token.
    ApiToken,
}

/// What a sandbox is made from.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The world.
    pub world: WorldOptions,
    /// Limits and habits of the account.
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
    /// Serves so many made-up tickets from the ticket export by cursor instead of those of the world.
    pub bench_tickets: Option<u64>,
    /// Whether answers are compressed for clients that accept gzip.
    pub gzip: bool,
}

impl SandboxOptions {
    /// A small world at `start` under a clock that stands still; limits are off, because under such a clock
    /// a used-up budget never refills. Set `behaviour.limits` to count.
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
            bench_tickets: None,
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

/// A running account. Stops when dropped.
#[derive(Debug)]
pub struct ZendeskSandbox(Running<ZendeskEmulator>);

impl Deref for ZendeskSandbox {
    type Target = Running<ZendeskEmulator>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl ZendeskSandbox {
    /// Starts world, emulator and server.
    ///
    /// # Errors
    /// `Io` if the port is taken.
    pub fn start(options: SandboxOptions) -> Result<Self> {
        let start = options.now.unwrap_or(options.world.start);
        let clock = VirtualClock::at_speed(start, options.clock_speed);
        let world = World::seeded(options.world);
        let mut emulator = ZendeskEmulator::new(world, clock.clone())
            .with_credentials(options.credentials)
            .with_behaviour(options.behaviour);
        if !options.evolves {
            emulator = emulator.without_evolution();
        }
        if let Some(tickets) = options.bench_tickets {
            emulator = emulator.with_bench(tickets);
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
            Login::ClientCredentials => json!({
                "kind": "client_credentials",
                "client_id": known.client_id,
                "client_secret": known.client_secret,
            }),
            Login::Bearer => json!({
                "kind": "bearer",
                "access_token": known.access_token,
            }),
            Login::RefreshToken => json!({
                "kind": "refresh_token",
                "client_id": known.client_id,
                "client_secret": known.client_secret,
                "refresh_token": known.refresh_token,
            }),
            Login::ApiToken => json!({
                "kind": "api_token",
                "email": known.email,
                "api_token": known.api_token,
            }),
        };
        json!({ "base_url": self.base_url(), "auth": auth })
    }

    /// Every secret that clients of this account are given; none may show up in any output.
    pub fn canaries(&self) -> Vec<String> {
        let known = self.emulator().credentials();
        vec![
            known.client_secret.clone(),
            known.access_token.clone(),
            known.refresh_token.clone(),
            known.api_token.clone(),
        ]
    }
}
