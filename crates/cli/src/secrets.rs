//! Secret references: `env:NAME`, `file:/path`, `cmd:command`.
//!
//! A secret never stands in a flag, and in a file only if the project says `allow_plain_secrets = true`.
//! Every value that is resolved here is learnt by the redactor before anyone else sees it.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Redactor, Result};

use crate::env::Environment;

/// Kinds of reference, also the keys of the table form `{ env = "NAME" }`.
pub(crate) const KINDS: &[&str] = &["env", "file", "cmd"];

/// What a reference looks like, for hints.
pub(crate) const FORMS: &str = "write \"env:NAME\", \"file:/path\" or \"cmd:command\"";

/// Longest secret, in bytes: a private key has about 3,300.
const MAX_BYTES: usize = 64 * 1024;
/// Shorter secrets could not be told from ordinary words when they are removed from outputs.
const MIN_BYTES: usize = 6;
/// How long a command may take to print a secret: a password manager may ask for a finger.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether a text has the form of a reference.
pub(crate) fn is_reference(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(kind, rest)| KINDS.contains(&kind) && !rest.is_empty())
}

/// A reference as `config show` shows it: never more than where the value comes from.
pub(crate) fn shown(text: &str) -> String {
    match text.split_once(':') {
        Some(("cmd", command)) => {
            let program = command.split_whitespace().next().unwrap_or("");
            format!("cmd:{} ...", printable(program))
        }
        Some((kind, rest)) if KINDS.contains(&kind) => format!("{kind}:{}", printable(rest)),
        _ => "[masked]".to_owned(),
    }
}

/// Where secrets may come from.
#[derive(Debug)]
pub(crate) struct Vault<'a> {
    /// For `env:`.
    pub(crate) environment: &'a Environment,
    /// Relative paths of `file:` start here.
    pub(crate) root: &'a Path,
    /// Learns every value.
    pub(crate) redactor: &'a Redactor,
    /// Take a text that is no reference as the secret itself.
    pub(crate) allow_plain: bool,
}

impl Vault<'_> {
    /// The secret behind a reference.
    ///
    /// # Errors
    /// `Config` if it cannot be had or cannot be a secret. The message never holds the value.
    pub(crate) fn resolve(&self, reference: &str) -> Result<String> {
        let value = match reference.split_once(':') {
            Some(("env", name)) => self.variable(name)?,
            Some(("file", path)) => read_file(&self.root.join(path))?,
            Some(("cmd", command)) => run(command, self.root)?,
            _ if self.allow_plain => reference.to_owned(),
            _ => {
                self.redactor.learn(reference);
                return Err(
                    config("accept a secret that is written into the file").hint(format!(
                        "{FORMS}, or set allow_plain_secrets = true for a test system"
                    )),
                );
            }
        };
        let value = value.trim_end_matches(['\n', '\r']).to_owned();
        self.redactor.learn(&value);
        check(&value)?;
        Ok(value)
    }

    fn variable(&self, name: &str) -> Result<String> {
        if let Some(value) = self.environment.get(name) {
            return Ok(value.to_owned());
        }
        let near = crate::suggest::nearest(name, self.environment.names());
        let hint = match near {
            Some(near) => format!("did you mean `env:{near}`?"),
            None => format!("set it: export {}=...", printable(name)),
        };
        Err(config(format!(
            "find the environment variable `{}`",
            printable(name)
        ))
        .hint(hint))
    }
}

/// Refuses what cannot be a credential, or could smuggle a header.
fn check(value: &str) -> Result<()> {
    if value.len() < MIN_BYTES {
        return Err(config(format!(
            "accept a secret of {} bytes: it needs at least {MIN_BYTES}",
            value.len()
        )));
    }
    if value.len() > MAX_BYTES {
        return Err(config(format!(
            "accept a secret of more than {MAX_BYTES} bytes"
        )));
    }
    // A PEM key is the one secret of several lines; it goes into a signature, never into a header.
    if value.starts_with("-----BEGIN ") {
        return Ok(());
    }
    if value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(
            config("accept a secret with spaces, line ends or control characters")
                .hint("copy the value again; only a PEM key may have several lines"),
        );
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<String> {
    let fail = |what: &str| config(what).context("path", path.display());
    let read = || -> std::io::Result<(std::fs::Metadata, Vec<u8>)> {
        let metadata = std::fs::metadata(path)?;
        let mut bytes = Vec::new();
        if metadata.is_file() {
            let file = std::fs::File::open(path)?;
            let limit = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
            file.take(limit).read_to_end(&mut bytes)?;
        }
        Ok((metadata, bytes))
    };
    let (metadata, bytes) = read().map_err(|error| fail("read a secret file").source(error))?;
    if !metadata.is_file() {
        return Err(fail(
            "read a secret from something that is not a regular file",
        ));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(fail("trust a secret file that others may read or write")
            .context("mode", format!("{mode:04o}"))
            .hint("run: chmod 600 on that file"));
    }
    if bytes.len() > MAX_BYTES {
        return Err(fail("read a secret file of more than 64 KiB"));
    }
    String::from_utf8(bytes).map_err(|_| fail("read a secret file that is not text"))
}

fn run(command: &str, root: &Path) -> Result<String> {
    let name = command.split_whitespace().next().unwrap_or("").to_owned();
    let fail = |what: &str| config(what).context("command", &name);
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| fail("start the command of a secret").source(error))?;
    // The output is read on its own thread, so that a command that never ends cannot hold us.
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
        if let Some(stdout) = stdout {
            let read = stdout.take(limit).read_to_end(&mut bytes);
            if read.is_err() {
                bytes.clear();
            }
        }
        bytes
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < COMMAND_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(None) | Err(_) => {
                if child.kill().is_ok() {
                    child.wait().ok();
                }
                return Err(fail("wait for the command of a secret: it took over 60 s"));
            }
        }
    };
    if !status.success() {
        return Err(fail("get a secret from its command")
            .context("status", status)
            .hint("run the command by hand to see what it says"));
    }
    let bytes = reader.join().unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| fail("read the output of a secret's command as text"))
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(reference: &str, allow_plain: bool, root: &Path) -> Result<String> {
        let environment =
            Environment::of(&[("TOKEN_A", "abc123secret"), ("BAD", "two words here")]);
        Vault {
            environment: &environment,
            root,
            redactor: &Redactor::default(),
            allow_plain,
        }
        .resolve(reference)
    }

    #[test]
    fn a_reference_is_resolved_and_a_literal_refused() {
        let root = std::env::temp_dir();
        assert_eq!(
            resolve("env:TOKEN_A", false, &root).unwrap(),
            "abc123secret"
        );
        assert_eq!(
            resolve("cmd:printf 'from%s\\n' -command", false, &root).unwrap(),
            "from-command"
        );
        assert_eq!(
            resolve("literal-secret", true, &root).unwrap(),
            "literal-secret"
        );
        let error = resolve("literal-secret", false, &root).unwrap_err();
        assert!(!format!("{error:?}").contains("literal-secret"));
        let error = resolve("env:TOKEN_B", false, &root).unwrap_err();
        assert_eq!(error.hint_text(), Some("did you mean `env:TOKEN_A`?"));
        assert!(resolve("cmd:exit 3", false, &root).is_err());
    }

    #[test]
    fn a_secret_that_could_smuggle_a_header_or_redact_words_is_refused() {
        // covers: I23
        let root = std::env::temp_dir();
        for bad in [
            "env:BAD",
            "cmd:printf 'abcdef\\nX-Evil: 1'",
            "cmd:printf abc",
        ] {
            let error = resolve(bad, false, &root).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
            assert!(!format!("{error:?}").contains("Evil"));
        }
        let pem =
            "cmd:printf -- '-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n'";
        assert!(
            resolve(pem, false, &root)
                .unwrap()
                .starts_with("-----BEGIN")
        );
    }

    #[test]
    fn a_secret_file_must_belong_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
            b"from-a-file\n",
        )
        .unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = resolve("file:key", false, folder.path());
            assert_eq!(found.is_ok(), fine, "{mode:o}");
        }
        assert!(resolve("file:.", false, folder.path()).is_err());
        assert!(resolve("file:gone", false, folder.path()).is_err());
    }

    #[test]
    fn showing_a_reference_never_shows_a_value() {
        for (reference, expected) in [
            ("env:NAME", "env:NAME"),
            ("file:/run/key", "file:/run/key"),
            ("cmd:pass show --token=abc", "cmd:pass ..."),
            ("hunter22", "[masked]"),
            ("op://x/y", "[masked]"),
        ] {
            assert_eq!(shown(reference), expected);
        }
    }
}
