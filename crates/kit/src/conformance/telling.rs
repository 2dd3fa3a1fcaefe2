//! Everything a source says while it is tested, searched for secrets.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use overlock_core::{Clock, Context, Error, Events, Proxy, Redactor, State};

/// Collects what a source says. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(super) struct Telling(Arc<Mutex<String>>);

impl Telling {
    pub(super) fn add(&self, text: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(text);
        said.push('\n');
    }

    pub(super) fn add_error(&self, error: &Error) {
        self.add(&format!("{error}\n{error:?}\n{:?}", error.causes()));
    }

    pub(super) fn add_state(&self, state: &State) {
        self.add(&state.as_json().to_string());
    }

    /// A context whose events are collected, with a redactor of its own: the source must not rely on the
    /// filter of the command line.
    pub(super) fn context(&self, clock: Arc<dyn Clock>, work_dir: std::path::PathBuf) -> Context {
        let said = self.clone();
        Context {
            work_dir,
            events: Events::new(move |event| {
                said.add(&format!("{event:?}"));
            }),
            clock,
            redactor: Redactor::default(),
            proxy: Proxy::default(),
            max_api_calls: None,
            ca_file: None,
        }
    }

    /// Fails if a canary, its beginning, or a usual spelling of it was said.
    pub(super) fn check(&self, canaries: &[String]) {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for canary in canaries {
            for spelling in spellings(canary) {
                assert!(
                    !said.contains(&spelling),
                    "a secret was told (S5): {} in {}",
                    shorten(&spelling),
                    around(&said, &spelling)
                );
            }
        }
    }
}

/// The raw value, its first 12 characters, and its base64, percent, hex and JSON spellings.
fn spellings(canary: &str) -> Vec<String> {
    use base64::Engine as _;
    let mut hex = String::new();
    for byte in canary.bytes() {
        // Writing to a String cannot fail.
        let _written = write!(hex, "{byte:02x}");
    }
    let json = serde_json::Value::from(canary).to_string();
    let mut spellings = vec![
        canary.to_owned(),
        canary.chars().take(12).collect(),
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(canary),
        crate::http::encode(canary),
        hex,
        json.trim_matches('"').to_owned(),
    ];
    spellings.retain(|spelling| spelling.len() >= 6);
    spellings
}

fn shorten(secret: &str) -> String {
    secret.chars().take(4).chain("...".chars()).collect()
}

fn around(said: &str, secret: &str) -> String {
    let line = said.lines().find(|line| line.contains(secret));
    line.unwrap_or_default()
        .replace(secret, "[SECRET]")
        .chars()
        .take(400)
        .collect()
}
