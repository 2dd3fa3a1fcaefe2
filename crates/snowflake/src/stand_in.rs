//! A stand-in that no one here wrote (fakesnow), with Snowflake's own connector beside it, for tests.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "only tests call this, and a panic is how a test fails"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

/// The server and the connector; both end when the test program does, because their input ends.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    pipe: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _child: Child,
}

/// Rows as text.
pub type Rows = Vec<Vec<Option<String>>>;

impl StandIn {
    /// The one of this test program; started by the first call. Tests keep apart by their databases.
    pub fn shared() -> &'static Self {
        static ONE: OnceLock<StandIn> = OnceLock::new();
        ONE.get_or_init(Self::start)
    }

    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/stand_in.py");
        let mut child = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 (3.11 or newer, with venv) is needed for the tests with the stand-in");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut lines = BufReader::new(output);
        let url = loop {
            let mut line = String::new();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "the stand-in did not start"
            );
            // The environment may be installed first, which says so.
            if let Ok(started) = serde_json::from_str::<Value>(&line) {
                let url = started.get("url").and_then(Value::as_str);
                break url.unwrap().to_owned();
            }
        };
        Self {
            url,
            pipe: Mutex::new((input, lines)),
            _child: child,
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the connector reads, every value as text.
    ///
    /// # Errors
    /// What the connector says.
    pub fn ask(&self, sql: &str) -> Result<Rows, String> {
        self.say(&json!({"sql": sql}))
    }

    /// Rolls back what killed clients left open in a database, as Snowflake does after some minutes.
    pub fn abandon(&self, database: &str) {
        self.say(&json!({"abandon": database})).unwrap();
    }

    fn say(&self, wanted: &Value) -> Result<Rows, String> {
        let mut pipe = self.pipe.lock().unwrap();
        writeln!(pipe.0, "{wanted}").unwrap();
        let mut line = String::new();
        pipe.1.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        match answer.get("rows") {
            Some(rows) => Ok(serde_json::from_value(rows.clone()).unwrap()),
            None => Err(answer
                .get("error")
                .map(ToString::to_string)
                .unwrap_or_default()),
        }
    }
}
