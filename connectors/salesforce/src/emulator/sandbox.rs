//! Everything a test needs in one call: world, clock, emulator and server, and the settings that log in.

use std::ops::Deref;

use overlock_core::{Result, Timestamp};
use overlock_sandbox::{Plan, Running, Serving, VirtualClock};
use serde_json::{Value, json};

use super::options::{Behaviour, Credentials, TEST_PRIVATE_KEY};
use super::service::SalesforceEmulator;
use super::world::{World, WorldOptions};

/// How a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// JWT bearer with the test key.
    Jwt,
    /// Client id and secret.
    ClientCredentials,
    /// Refresh token.
    RefreshToken,
}

/// What a sandbox is made from.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The world.
    pub world: WorldOptions,
    /// Limits and habits of the org.
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
    /// Adds the object for measurements with so many rows.
    pub bench_rows: Option<u64>,
    /// Whether answers are compressed for clients that accept gzip.
    pub gzip: bool,
}

impl SandboxOptions {
    /// A small world at `start` under a clock that stands still.
    pub fn tiny(seed: u64, start: Timestamp) -> Self {
        Self {
            world: WorldOptions::tiny(seed, start),
            behaviour: Behaviour::default(),
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
}

/// A running org. Stops when dropped.
#[derive(Debug)]
pub struct SalesforceSandbox(Running<SalesforceEmulator>);

impl Deref for SalesforceSandbox {
    type Target = Running<SalesforceEmulator>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl SalesforceSandbox {
    /// Starts world, emulator and server.
    ///
    /// # Errors
    /// `Io` if the port is taken.
    pub fn start(options: SandboxOptions) -> Result<Self> {
        let start = options.now.unwrap_or(options.world.start);
        let clock = VirtualClock::at_speed(start, options.clock_speed);
        let world = World::seeded(options.world);
        let mut emulator = SalesforceEmulator::new(world, clock.clone())
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
        let running = Running::start(emulator, clock, serving)?;
        running.emulator().set_instance_url(&running.base_url());
        Ok(Self(running))
    }

    /// Looks at the world or changes it.
    pub fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.emulator().with_world(act)
    }

    /// The values of a `[source.NAME]` table that logs in here, secrets in clear.
    pub fn config(&self, login: Login) -> Value {
        let known = self.emulator().credentials();
        let auth = match login {
            Login::Jwt => json!({
                "kind": "jwt",
                "client_id": known.client_id,
                "username": known.username,
                "private_key": TEST_PRIVATE_KEY,
            }),
            Login::ClientCredentials => json!({
                "kind": "client_credentials",
                "client_id": known.client_id,
                "client_secret": known.client_secret,
            }),
            Login::RefreshToken => json!({
                "kind": "refresh_token",
                "client_id": known.client_id,
                "client_secret": known.client_secret,
                "refresh_token": known.refresh_token,
            }),
        };
        json!({ "login_url": self.base_url(), "auth": auth })
    }

    /// Every secret that clients of this org are given; none may show up in any output.
    pub fn canaries(&self) -> Vec<String> {
        let known = self.emulator().credentials();
        vec![
            known.client_secret.clone(),
            known.password.clone(),
            known.security_token.clone(),
            known.refresh_token.clone(),
        ]
    }
}
