//! A project folder with an emulated org beside it, and the binary to run in it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use overlock_core::Timestamp;
use overlock_salesforce::emulator::{SalesforceSandbox, SandboxOptions};

/// Folder, org and binary.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sandbox: SalesforceSandbox,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// The binary with an environment that says nothing.
pub(crate) fn overlock(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overlock"));
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ran {
    Ran::of(&overlock(folder).args(arguments).output().unwrap())
}

/// Writes a file, with the folders above it.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no care")]
    std::fs::write(path, text).unwrap();
}

impl Bench {
    /// A tiny org, and a pipeline `crm` over these streams.
    pub(crate) fn new(streams: &[&str]) -> Self {
        let start = Timestamp::parse("2026-03-02T09:00:00Z").unwrap();
        let mut options = SandboxOptions::tiny(7, start);
        options.world.drift = false;
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
            sandbox: SalesforceSandbox::start(options).unwrap(),
        };
        bench.write_project("");
        bench.write_pipeline("crm", streams, "");
        bench
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `overlock.toml` with more lines at its end.
    pub(crate) fn write_project(&self, more: &str) {
        let known = self.sandbox.emulator().credentials();
        let text = format!(
            "version = 1\n[source.sfdc]\nconnector = \"salesforce\"\nlogin_url = \"{}\"\n\
             http = {{ attempts = 2, backoff_base = \"1ms\", backoff_cap = \"2ms\", read_timeout = \"20s\" }}\n\
             [source.sfdc.auth]\nkind = \"client_credentials\"\nclient_id = \"{}\"\n\
             client_secret = \"cmd:printf %s '{}'\"\n\
             [destination.lake]\nkind = \"local\"\n{more}\n",
            self.sandbox.base_url(),
            known.client_id,
            known.client_secret,
        );
        write(self.path(), "overlock.toml", &text);
    }

    /// Writes a pipeline file.
    pub(crate) fn write_pipeline(&self, name: &str, streams: &[&str], more: &str) {
        let mut text = format!("source = \"sfdc\"\n{more}\n");
        for stream in streams {
            text.push_str("[streams.");
            text.push_str(stream);
            text.push_str("]\n");
        }
        write(self.path(), &format!("pipelines/{name}.toml"), &text);
    }

    /// Runs the binary in the project.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(self.path(), arguments)
    }
}
