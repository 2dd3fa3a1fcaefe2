//! Runs the emulated account until it is killed, for clients in other languages.
//!
//! Prints one line of JSON: `{"base_url": .., "login": {..}}`. The world stands still unless `--evolve` is
//! given, so that two clients see the same rows; a line `advance SECONDS` on standard input lets so much
//! time go by and is answered by the new instant, a line `dump PATH` writes every record that a sync must
//! show as lines of JSON. `GET /__stats` tells what was asked, `POST /__clock` turns the clock as well.
//!
//! ```text
//! cargo run -p overlock-zendesk --features emulator --example emulator_zendesk -- --port 0 --limits
//! ```

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Clock as _, Error, ErrorKind, Result, SystemClock, Timestamp};
use overlock_sandbox::{Server, ServerOptions, VirtualClock};
use overlock_zendesk::emulator::{Behaviour, Credentials, World, WorldOptions, ZendeskEmulator};
use serde_json::json;

struct Arguments {
    port: u16,
    seed: u64,
    tickets: u32,
    behind_secs: u64,
    bench_tickets: Option<u64>,
    nasty: bool,
    evolve: bool,
    limits: bool,
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
        tickets: 60,
        behind_secs: 0,
        bench_tickets: None,
        nasty: false,
        evolve: false,
        limits: false,
    };
    let wrong = |name: &str| {
        Error::new(ErrorKind::Config, format!("understand `{name}`")).hint(
            "--port N --seed N --tickets N --behind-secs N --bench-tickets N --nasty --evolve --limits",
        )
    };
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| wrong(&name));
        match name.as_str() {
            "--port" => arguments.port = value()?.parse().map_err(|_| wrong(&name))?,
            "--seed" => arguments.seed = value()?.parse().map_err(|_| wrong(&name))?,
            "--tickets" => arguments.tickets = value()?.parse().map_err(|_| wrong(&name))?,
            "--behind-secs" => {
                arguments.behind_secs = value()?.parse().map_err(|_| wrong(&name))?;
            }
            "--bench-tickets" => {
                arguments.bench_tickets = Some(value()?.parse().map_err(|_| wrong(&name))?);
            }
            "--nasty" => arguments.nasty = true,
            "--evolve" => arguments.evolve = true,
            "--limits" => arguments.limits = true,
            _ => return Err(wrong(&name)),
        }
    }
    Ok(arguments)
}

fn serve(arguments: &Arguments) -> Result<()> {
    // The clock is the real one: real clients compare what they read with their own.
    let behind = Duration::from_secs(arguments.behind_secs);
    let clock = VirtualClock::running(SystemClock.now().minus(behind));
    // Evolution begins on a midnight three days ago, so that some of it has happened.
    let today = clock.now().seconds();
    let start = Timestamp::from_seconds(today - today.rem_euclid(86_400) - 3 * 86_400);
    let mut world = World::seeded(WorldOptions {
        tickets: arguments.tickets,
        nasty: arguments.nasty,
        ..WorldOptions::tiny(arguments.seed, start.unwrap_or(Timestamp::EPOCH))
    });
    // Nothing of the last minutes, so that two readers see the same although time goes by.
    world.evolve(clock.now().minus(Duration::from_secs(120)));
    let credentials = Credentials::default();
    let login = json!({
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "access_token": credentials.access_token,
        "refresh_token": credentials.refresh_token,
        "email": credentials.email,
        "api_token": credentials.api_token,
    });
    let mut emulator = ZendeskEmulator::new(world, clock.clone())
        .with_credentials(credentials)
        .with_behaviour(Behaviour {
            limits: arguments.limits,
            ..Behaviour::default()
        });
    if !arguments.evolve {
        emulator = emulator.without_evolution();
    }
    if let Some(tickets) = arguments.bench_tickets {
        emulator = emulator.with_bench(tickets);
    }
    let emulator = Arc::new(emulator);
    let options = ServerOptions {
        port: arguments.port,
        ..ServerOptions::new(clock.clone())
    };
    let server = Server::start(emulator.clone(), options)?;
    announce(&json!({ "base_url": server.base_url(), "login": login }).to_string());
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        let answer = match line.split_once(' ') {
            Some(("advance", seconds)) => {
                let seconds = seconds.parse().map_err(|_| unknown(&line))?;
                clock.advance(Duration::from_secs(seconds));
                let now = clock.now();
                emulator.with_world(|world| world.evolve(now.minus(Duration::from_secs(120))));
                json!({ "now": now })
            }
            Some(("dump", path)) => json!({ "rows": dump(&emulator, path, clock.now())? }),
            _ => return Err(unknown(&line)),
        };
        announce(&answer.to_string());
    }
    // Without a caller that holds the input open, only a signal ends it.
    loop {
        std::thread::park();
    }
}

fn unknown(line: &str) -> Error {
    Error::new(ErrorKind::Config, format!("understand the line `{line}`"))
}

/// Writes what a complete sync at `now` must show, straight from the world.
fn dump(emulator: &ZendeskEmulator, path: &str, now: Timestamp) -> Result<u64> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Io, "write the dump").source(error);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    let mut rows = 0;
    emulator.with_world(|world| {
        for stream in World::streams() {
            for key in world.ids(stream, now) {
                // As text: a number is as long as it was written.
                let record = match world.expected_text(stream, &key, now) {
                    Some(text) => text,
                    None => json!(world.expected(stream, &key, now)).to_string(),
                };
                let parent = world.parent(stream, &key);
                let silent = world.changed_silently(stream, &key, now);
                let line = json!({
                    "stream": stream, "key": key, "parent": parent, "silent": silent,
                });
                let line = line.to_string();
                let begin = line.trim_end_matches('}');
                writeln!(file, "{begin},\"record\":{record}}}").map_err(failed)?;
                rows += 1;
            }
        }
        file.flush().map_err(failed)
    })?;
    Ok(rows)
}

#[expect(clippy::print_stdout, reason = "the line is what the caller waits for")]
fn announce(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "an example talks to a developer")]
fn complain(error: &Error) {
    eprintln!("failed to {error}");
}
