//! Runs the emulated tenant until it is killed, for clients in other languages.
//!
//! Prints one line of JSON: `{"base_url": .., "login": {..}}`. The world stands still, so that two clients see the
//! same rows; a line `advance SECONDS` on standard input lets so much time go by and is answered by the new
//! instant, a line `dump PATH` writes every object and every row that can be seen as lines of JSON. `GET /__stats`
//! tells what was asked.
//!
//! ```text
//! cargo run -p overlock-zuora --features emulator --example emulator_zuora -- --port 0 --accounts 12
//! ```

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Clock as _, Error, ErrorKind, Result, SystemClock, Timestamp};
use overlock_sandbox::{Server, ServerOptions, VirtualClock};
use overlock_zuora::emulator::{
    Behaviour, Credentials, Object, Row, Value, World, WorldOptions, ZuoraEmulator,
};
use serde_json::json;

/// Nothing happens in the last hours: what has a stamp can be seen, transactions that commit late included, and
/// lies before the window that a careful reader leaves out.
const QUIET: Duration = Duration::from_secs(2 * 3_600 + 120);

struct Arguments {
    port: u16,
    seed: u64,
    accounts: u32,
    behind_secs: u64,
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
        accounts: 12,
        behind_secs: 0,
    };
    let wrong = |name: &str| {
        Error::new(ErrorKind::Config, format!("understand `{name}`"))
            .hint("--port N --seed N --accounts N --behind-secs N")
    };
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| wrong(&name))?;
        let parsed = match name.as_str() {
            "--port" => value.parse().map(|port| arguments.port = port),
            "--seed" => value.parse().map(|seed| arguments.seed = seed),
            "--accounts" => value.parse().map(|count| arguments.accounts = count),
            "--behind-secs" => value.parse().map(|secs| arguments.behind_secs = secs),
            _ => return Err(wrong(&name)),
        };
        parsed.map_err(|_| wrong(&name))?;
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
        accounts: arguments.accounts,
        ..WorldOptions::tiny(arguments.seed, start.unwrap_or(Timestamp::EPOCH))
    });
    world.evolve(clock.now().minus(QUIET));
    let credentials = Credentials::default();
    let login = json!({
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "user": credentials.user,
        "password": credentials.password,
    });
    let emulator = ZuoraEmulator::new(world, clock.clone())
        .without_evolution()
        .with_credentials(credentials)
        .with_behaviour(Behaviour {
            limits: false,
            // One client looks headers up as Describe spells them, and takes a bare date for midnight in UTC.
            canonical_headers: false,
            bare_midnight: false,
            // It compares whole messages, and knows the documented ones.
            plain_message: true,
            ..Behaviour::default()
        });
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
                emulator.with_world(|world| world.evolve(now.minus(QUIET)));
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

/// Writes every object, and after it every row of it that can be seen at `now`, straight from the world.
fn dump(emulator: &ZuoraEmulator, path: &str, now: Timestamp) -> Result<u64> {
    let failed = |error: std::io::Error| Error::new(ErrorKind::Io, "write the dump").source(error);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    let mut rows = 0;
    emulator.with_world(|world| {
        for object in world.objects() {
            writeln!(file, "{}", described(object, now)).map_err(failed)?;
            for row in world.rows(&object.name, now) {
                writeln!(file, "{}", shown(object, row, now)).map_err(failed)?;
                rows += 1;
            }
        }
        file.flush().map_err(failed)
    })?;
    Ok(rows)
}

/// What can be read of an object, and how.
fn described(object: &Object, now: Timestamp) -> serde_json::Value {
    let fields: Vec<&str> = exported(object, now).collect();
    let relations: Vec<String> = relations(object).map(|name| format!("{name}Id")).collect();
    // Nobody reads an object whose rows cannot be told apart.
    let readable = object.described && !object.forbidden && fields.contains(&"Id");
    json!({
        "object": object.name,
        "fields": fields,
        "relations": relations,
        "stamp": object.change.field(),
        "deletes": object.deletes,
        "aqua": object.aqua && readable,
        "data_source": object.data_source && readable,
    })
}

fn exported(object: &Object, now: Timestamp) -> impl Iterator<Item = &str> {
    let fields = object.fields.iter();
    fields
        .filter(move |field| field.selectable && field.export && field.exists(now))
        .map(|field| field.name.as_str())
}

/// Relations that give a column of their own.
fn relations(object: &Object) -> impl Iterator<Item = &str> {
    object
        .related
        .iter()
        .filter(|related| !related.poisonous)
        .map(|related| related.name.as_str())
        .filter(|name| object.field(&format!("{name}Id")).is_none())
}

/// A row as text: a number is as long as it was written.
fn shown(object: &Object, row: &Row, now: Timestamp) -> String {
    let mut pairs = Vec::new();
    for name in exported(object, now) {
        let value = match row.value(name) {
            Value::Null => "null".to_owned(),
            Value::Text(text) | Value::Date(text) => json!(text).to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::Number(digits) => digits.clone(),
            Value::Time(time) => json!(time).to_string(),
        };
        pairs.push(format!("{}:{value}", json!(name)));
    }
    for name in relations(object) {
        let id = row.parents.get(name);
        pairs.push(format!("{}:{}", json!(format!("{name}Id")), json!(id)));
    }
    let head = json!({"stream": object.name, "key": row.id, "deleted": row.deleted}).to_string();
    let head = head.trim_end_matches('}');
    format!("{head},\"record\":{{{}}}}}", pairs.join(","))
}

#[expect(clippy::print_stdout, reason = "the line is what the caller waits for")]
fn announce(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "an example talks to a developer")]
fn complain(error: &Error) {
    eprintln!("failed to {error}");
}
