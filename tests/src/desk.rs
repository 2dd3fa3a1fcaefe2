//! A desk: an emulated Zendesk account, a project folder beside it, the real binary, and an oracle.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::oracle::{Cell, record_differences};
use overlock_zendesk::emulator::{Login, SandboxOptions, ZendeskSandbox};

use crate::lab::START;
use crate::project::Project;
use crate::rows::Row;

/// Everything one test needs; gone with its folder when dropped. It is its project, with an account beside it.
#[derive(Debug)]
pub struct Desk {
    /// The emulated account.
    pub sandbox: ZendeskSandbox,
    /// The project folder.
    pub project: Project,
}

impl Deref for Desk {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

/// Keys of records that are no data of their stream's rows.
const NO_DATA: &[&str] = &["fields", "metric_set"];

/// Columns of JSON whose values may be plain text.
const MIXED: &[&str] = &["satisfaction_rating", "via"];

/// Changes that Zendesk does not date: no increment sees them.
const UNDATED: &[(&str, &str)] = &[
    ("ticket_metric_events", "deleted"),
    ("users", "two_factor_auth_enabled"),
];

impl Desk {
    /// A tiny account that changes only when it is told to, and a pipeline over these streams.
    pub fn new(seed: u64, streams: &[&str]) -> Self {
        let start = Timestamp::parse(START).unwrap();
        let mut options = SandboxOptions::tiny(seed, start);
        options.evolves = false;
        // Several pages, so that there is always something half done.
        options.behaviour.time_page_rows = 60;
        options.behaviour.list_page_rows = 7;
        Self::with_options(options, streams)
    }

    /// An account of this kind, and a pipeline over these streams.
    pub fn with_options(options: SandboxOptions, streams: &[&str]) -> Self {
        let sandbox = ZendeskSandbox::start(options).unwrap();
        let table = table(&sandbox, Login::ClientCredentials);
        let mut project = Project::new("help", "support", table, streams);
        let known = sandbox.emulator().credentials();
        for (name, secret) in [
            ("DESK_CLIENT_SECRET", &known.client_secret),
            ("DESK_ACCESS_TOKEN", &known.access_token),
            ("DESK_REFRESH_TOKEN", &known.refresh_token),
            ("DESK_API_TOKEN", &known.api_token),
        ] {
            project.add_variable(name, secret);
        }
        Self { sandbox, project }
    }

    /// Adds a line to the source's table.
    #[must_use]
    pub fn source(mut self, line: &str) -> Self {
        self.project.add_setting(line);
        self
    }

    /// Adds a line to the table `[run]`.
    #[must_use]
    pub fn run_setting(mut self, line: &str) -> Self {
        self.project.add_run_setting(line);
        self
    }

    /// Logs in in another way.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.project.set_table(table(&self.sandbox, login));
        self
    }

    /// Sends rows to a database of the Snowflake stand-in, which is made.
    #[must_use]
    pub fn snowflake(mut self) -> Self {
        self.project.use_snowflake();
        self
    }

    /// The account's present.
    pub fn now(&self) -> Timestamp {
        use overlock_core::Clock as _;
        self.sandbox.clock().now()
    }

    /// Lets the virtual clock and the account move on.
    pub fn advance(&self, by: Duration) {
        self.sandbox.clock().advance(by);
        let now = self.now();
        self.sandbox.with_world(|world| world.evolve(now));
    }

    /// Requests whose path contains the text.
    pub fn count(&self, part: &str) -> usize {
        let requests = self.sandbox.requests();
        requests
            .iter()
            .filter(|record| record.path.contains(part))
            .count()
    }

    /// Lets the last minute pass that exports hold back, runs, and asks the oracle about every stream.
    #[track_caller]
    pub fn settle_and_judge(&self) {
        self.sandbox.clock().advance(Duration::from_secs(120));
        self.run().expect(0);
        self.judge();
    }

    /// Compares every stream's table with what a complete sync must show at this moment.
    #[track_caller]
    pub fn judge(&self) {
        for stream in self.streams() {
            let mut findings = self.findings(stream);
            let count = findings.len();
            findings.truncate(12);
            assert!(
                findings.is_empty(),
                "{stream}, {count}: {}",
                findings.join("; ")
            );
        }
    }

    /// What is lost, doubled, altered or invented in one stream.
    pub fn findings(&self, stream: &str) -> Vec<String> {
        let now = self.now();
        let all = format!("{stream}:all");
        let mut findings = Vec::new();
        let mut found: BTreeMap<String, Row> = BTreeMap::new();
        for row in self.table(stream) {
            let key = ["id", "name"].iter().find_map(|key| row.get(*key)?.clone());
            let key = key.unwrap_or_default();
            if found.insert(key.clone(), row).is_some() {
                findings.push(format!("doubled {key}"));
            }
        }
        self.sandbox.with_world(|world| {
            let ids = world.ids(&all, now);
            assert!(
                !ids.is_empty(),
                "the account has no {stream}: the oracle would be blind"
            );
            for key in &ids {
                let record = world.expected(&all, key, now).unwrap_or_default();
                match found.get(key) {
                    None => findings.push(format!("lost {key}")),
                    Some(row) => {
                        for (name, wrong) in differences(row, record) {
                            if !UNDATED.contains(&(stream, name.as_str())) {
                                findings.push(format!("altered {key}: {wrong}"));
                            }
                        }
                    }
                }
            }
            for (key, row) in &found {
                let is_deleted = row.get("_deleted").cloned().flatten();
                if !ids.contains(key) && world.ever(stream, key, now).is_empty() {
                    findings.push(format!("invented {key}"));
                } else if !ids.contains(key) && is_deleted.as_deref() == Some("false") {
                    findings.push(format!("{key} is gone, and not marked as deleted"));
                }
            }
        });
        findings
    }
}

/// The lines of the source's table that log in.
fn table(sandbox: &ZendeskSandbox, login: Login) -> String {
    let values = sandbox.config(login);
    let auth = &values["auth"];
    let secret = |key: &str| {
        [
            "client_secret",
            "access_token",
            "refresh_token",
            "api_token",
        ]
        .contains(&key)
    };
    let pairs: Vec<String> = auth
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            if secret(key) {
                format!("{key} = \"env:DESK_{}\"", key.to_uppercase())
            } else {
                format!("{key} = {value}")
            }
        })
        .collect();
    format!(
        "connector = \"zendesk\"\nbase_url = \"{}\"\nauth = {{ {} }}",
        sandbox.base_url(),
        pairs.join(", "),
    )
}

fn differences(row: &Row, record: serde_json::Value) -> Vec<(String, String)> {
    let mut record = record;
    if let Some(keys) = record.as_object_mut() {
        for name in NO_DATA {
            keys.remove(*name);
        }
        // A comment knows its ticket only from where it was read.
        if keys
            .get("ticket_id")
            .is_some_and(serde_json::Value::is_null)
        {
            keys.remove("ticket_id");
        }
    }
    let extra = row.get("_extra").cloned().flatten();
    let structured = |name: &str| {
        record
            .get(name)
            .is_some_and(|value| value.is_object() || value.is_array())
            || MIXED.contains(&name)
    };
    record_differences(&record, extra.as_deref(), |name| match row.get(name) {
        None => Cell::NoColumn,
        Some(None) => Cell::Null,
        // What stands in `_extra` is shown under its own name; JSON text is told by the record.
        Some(Some(text)) if structured(name) => Cell::Json(text.clone()),
        Some(Some(text)) => Cell::Text(text.clone()),
    })
}
