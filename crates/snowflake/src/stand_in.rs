//! A stand-in that no one here wrote (fakesnow), with Snowflake's own connector beside it, for tests. With
//! `OVERLOCK_TEST_SNOWFLAKE=1` the same tests use a real account; `tests/interop/warehouse.py` says what that needs.
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

use overlock_core::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Account, Auth};

/// The server and the connector; both end when the test program does, because their input ends.
#[derive(Debug)]
pub struct StandIn {
    described: Described,
    pipe: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _child: Child,
}

/// What there is.
#[derive(Debug, Deserialize)]
struct Described {
    /// Begin of the names of databases.
    prefix: String,
    /// Of a stand-in; the rest of a real account.
    url: Option<String>,
    #[serde(default)]
    account: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    private_key_file: String,
    warehouse: Option<String>,
    role: Option<String>,
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
        let described = loop {
            let mut line = String::new();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "the stand-in did not start"
            );
            // The environment may be installed first, which says so.
            if let Ok(described) = serde_json::from_str(&line) {
                break described;
            }
        };
        Self {
            described,
            pipe: Mutex::new((input, lines)),
            _child: child,
        }
    }

    /// Where it listens; `None` for a real account.
    pub fn url(&self) -> Option<&str> {
        self.described.url.as_deref()
    }

    /// Makes a database, and gives its name.
    pub fn make_database(&self, name: &str) -> String {
        let name = format!("{}{name}", self.described.prefix);
        self.ask(&format!("CREATE DATABASE {name}")).unwrap();
        name
    }

    /// Who logs in there.
    pub fn account(&self, database: &str) -> Account {
        let described = &self.described;
        let mut account = Account {
            account: described.account.clone(),
            host: None,
            user: described.user.clone(),
            auth: Auth::Password(Secret::new("not-a-secret")),
            role: described.role.clone(),
            warehouse: described.warehouse.clone(),
            database: Some(database.to_owned()),
            test_url: None,
        };
        if let Some(url) = self.url() {
            "stand-in".clone_into(&mut account.account);
            "loader".clone_into(&mut account.user);
            account.test_url = Some(url.parse().unwrap());
        } else {
            let pem = std::fs::read_to_string(&described.private_key_file).unwrap();
            account.auth = Auth::KeyPair {
                private_key: Secret::new(pem),
                passphrase: None,
            };
        }
        account
    }

    /// The table of a destination in a project file, without its header.
    pub fn settings(&self, database: &str) -> String {
        let account = self.account(database);
        let mut lines = vec![
            ("kind", "snowflake".to_owned()),
            ("account", account.account),
            ("user", account.user),
            ("database", database.to_owned()),
        ];
        lines.extend(account.role.map(|role| ("role", role)));
        lines.extend(account.warehouse.map(|warehouse| ("warehouse", warehouse)));
        lines.extend(self.url().map(|url| ("test_url", url.to_owned())));
        let lines = lines
            .iter()
            .map(|(key, value)| format!("{key} = \"{value}\"\n"));
        let auth = if self.url().is_some() {
            "kind = \"password\", password = \"cmd:printf stand-in-password\"".to_owned()
        } else {
            let file = &self.described.private_key_file;
            format!("kind = \"key_pair\", private_key = \"file:{file}\"")
        };
        format!("{}auth = {{ {auth} }}\n", lines.collect::<String>())
    }

    /// What the connector reads, every value as text.
    ///
    /// # Errors
    /// What the connector says.
    pub fn ask(&self, sql: &str) -> Result<Rows, String> {
        self.say(&json!({"sql": sql}))
    }

    /// What a program that shares no code with overlock finds wrong in a table (`tests/interop/verify.py` describes
    /// the file that it is compared with).
    pub fn verify(&self, expected: &Path) -> Vec<String> {
        let rows = self.say(&json!({"verify": expected})).unwrap();
        rows.into_iter().flatten().flatten().collect()
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
