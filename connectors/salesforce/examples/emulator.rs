//! Runs the emulated org until it is killed, for clients in other languages.
//!
//! Prints one line of JSON: `{"base_url": .., "login": {..}}`. The world stands still unless `--evolve` is
//! given, so that two clients see the same rows; a line `advance SECONDS` on standard input lets so much
//! time go by and is answered by the new instant. `--behind-secs` starts the clock in the past, because
//! readers do not trust a clock that is ahead of theirs.
//!
//! ```text
//! cargo run -p overlock-salesforce --features emulator --example emulator -- --port 0 --nasty
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Clock as _, Error, ErrorKind, Result, SystemClock, Timestamp};
use overlock_salesforce::emulator::{
    Behaviour, Credentials, SalesforceEmulator, TEST_PRIVATE_KEY, World, WorldOptions,
};
use overlock_sandbox::{Server, ServerOptions, VirtualClock};
use serde_json::json;

struct Arguments {
    port: u16,
    seed: u64,
    scale: u32,
    behind_secs: u64,
    nasty: bool,
    evolve: bool,
    double_integers: bool,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| serve(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        port: 0,
        seed: 1,
        scale: 20,
        behind_secs: 0,
        nasty: false,
        evolve: false,
        double_integers: false,
    };
    let wrong = |name: &str| {
        Error::new(ErrorKind::Config, format!("understand `{name}`"))
            .hint("--port N --seed N --scale N --behind-secs N --nasty --evolve --double-integers")
    };
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| wrong(&name));
        match name.as_str() {
            "--port" => arguments.port = value()?.parse().map_err(|_| wrong(&name))?,
            "--seed" => arguments.seed = value()?.parse().map_err(|_| wrong(&name))?,
            "--scale" => arguments.scale = value()?.parse().map_err(|_| wrong(&name))?,
            "--behind-secs" => {
                arguments.behind_secs = value()?.parse().map_err(|_| wrong(&name))?;
            }
            "--nasty" => arguments.nasty = true,
            "--evolve" => arguments.evolve = true,
            "--double-integers" => arguments.double_integers = true,
            _ => return Err(wrong(&name)),
        }
    }
    Ok(arguments)
}

fn serve(arguments: &Arguments) -> Result<()> {
    // The clock is the real one: assertions of real clients carry the real time.
    let behind = Duration::from_secs(arguments.behind_secs);
    let clock = VirtualClock::running(SystemClock.now().minus(behind));
    // Evolution begins on a midnight three days ago, so that some of it has happened.
    let today = clock.now().seconds();
    let start = Timestamp::from_seconds(today - today.rem_euclid(86_400) - 3 * 86_400);
    let mut world = World::seeded(WorldOptions {
        scale: arguments.scale,
        nasty: arguments.nasty,
        ..WorldOptions::tiny(arguments.seed, start.unwrap_or(Timestamp::EPOCH))
    });
    world.evolve(clock.now());
    let credentials = Credentials::default();
    let login = json!({
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "username": credentials.username,
        "password": credentials.password,
        "security_token": credentials.security_token,
        "refresh_token": credentials.refresh_token,
        "private_key": TEST_PRIVATE_KEY,
    });
    let emulator = SalesforceEmulator::new(world, clock.clone())
        .with_credentials(credentials)
        .with_behaviour(Behaviour {
            double_integers: arguments.double_integers,
            ..Behaviour::default()
        });
    let emulator = Arc::new(if arguments.evolve {
        emulator
    } else {
        emulator.without_evolution()
    });
    let options = ServerOptions {
        port: arguments.port,
        ..ServerOptions::new(clock.clone())
    };
    let server = Server::start(emulator.clone(), options)?;
    let base_url = server.base_url();
    emulator.set_instance_url(&base_url);
    announce(&json!({ "base_url": base_url, "login": login }).to_string());
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        let seconds = line
            .strip_prefix("advance ")
            .and_then(|text| text.parse().ok());
        let Some(seconds) = seconds else {
            return Err(Error::new(ErrorKind::Config, "understand a line of input"));
        };
        clock.advance(Duration::from_secs(seconds));
        let now = clock.now();
        emulator.with_world(|world| world.evolve(now));
        announce(&json!({ "now": now }).to_string());
    }
    // Without a caller that holds the input open, only a signal ends it.
    loop {
        std::thread::park();
    }
}

#[expect(clippy::print_stdout, reason = "the line is what the caller waits for")]
fn announce(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "an example talks to a developer")]
fn complain(error: &Error) {
    eprintln!("failed to {error}");
}
