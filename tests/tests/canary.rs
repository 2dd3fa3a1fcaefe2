//! No secret in any output, log level or file: every byte that a whole working life of the binary leaves
//! behind is searched for every secret, in every usual spelling.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use overlock_sandbox::{Fault, Match};
use overlock_tests::lab::Lab;

/// A secret in the spellings it could leak in, and its first 12 characters.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut found = vec![secret.as_bytes().to_vec()];
    if let Some(start) = secret.get(..12) {
        found.push(start.as_bytes().to_vec());
    }
    let percent: String = secret
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    found.push(percent.into_bytes());
    found.push(
        secret
            .bytes()
            .flat_map(|byte| format!("{byte:02x}").into_bytes())
            .collect(),
    );
    found.push(base64(secret.as_bytes()));
    found
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = Vec::new();
    // Without padding: the last group of a longer text that holds the secret differs.
    for chunk in bytes.chunks_exact(3) {
        let group = u32::from(chunk[0]) << 16 | u32::from(chunk[1]) << 8 | u32::from(chunk[2]);
        for shift in [18, 12, 6, 0] {
            encoded.push(ALPHABET[(group >> shift & 63) as usize]);
        }
    }
    encoded
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn search(place: &str, bytes: &[u8], secrets: &[String]) -> usize {
    for secret in secrets {
        for spelling in spellings(secret) {
            assert!(
                !contains(bytes, &spelling),
                "{place} shows a secret: {}",
                String::from_utf8_lossy(&spelling)
            );
        }
    }
    bytes.len()
}

fn search_folder(folder: &Path, secrets: &[String]) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            searched += search_folder(&path, secrets);
        } else if !path.to_string_lossy().contains("token") {
            // The token store is the one file that must hold a secret; its mode is checked below.
            searched += search(
                &path.display().to_string(),
                &std::fs::read(&path).unwrap(),
                secrets,
            );
        }
    }
    searched
}

#[test]
fn no_secret_is_in_any_output_log_or_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut options = Lab::options(31);
    options.credentials.rotate_refresh_tokens = true;
    let lab = Lab::with_options(options, &["Account", "Contact"]);
    let login = lab.sandbox.emulator().credentials().clone();
    let lab = lab
        .auth(&format!(
            "{{ kind = \"refresh_token\", client_id = \"{}\", client_secret = \"env:LAB_SECRET\", refresh_token = \"env:LAB_REFRESH\" }}",
            login.client_id
        ))
        .environment("LAB_REFRESH", &login.refresh_token)
        .source("rest_below_rows = 50");
    let mut searched = 0;
    let mut everything = Vec::new();
    let mut keep = |outcome: overlock_tests::lab::Outcome| {
        everything.extend_from_slice(outcome.stdout.as_bytes());
        everything.extend_from_slice(outcome.stderr.as_bytes());
    };
    keep(lab.overlock(&["check", "-vvv"]));
    keep(lab.overlock(&["discover", "crm", "-vvv"]));
    keep(lab.overlock(&["config", "show"]));
    keep(lab.overlock(&["config", "show", "--json"]));
    keep(lab.overlock(&["run", "crm", "-vvv"]));
    keep(lab.overlock(&["run", "crm", "--json", "--log-level", "trace"]));
    keep(lab.overlock(&[
        "run",
        "crm",
        "--progress",
        "json",
        "--log-format",
        "json",
        "-vvv",
    ]));
    // Servers like to send back what they were sent.
    let echo = format!(
        "{{\"error\":\"invalid_grant\",\"error_description\":\"bad {} and {}\"}}",
        login.client_secret, login.refresh_token
    );
    lab.sandbox.emulator().expire_sessions();
    lab.sandbox.faults().add(
        Match::path("/services/oauth2/token"),
        Fault::json(400, echo.clone()),
    );
    keep(lab.overlock(&["run", "crm", "-vvv"]));
    keep(lab.overlock(&["check", "--json", "-vvv"]));
    lab.sandbox.faults().clear();
    lab.sandbox.faults().add(
        Match::path("/services/data/*"),
        Fault::json(
            500,
            format!(
                "[{{\"errorCode\":\"UNKNOWN_EXCEPTION\",\"message\":\"{} \"}}]",
                login.client_secret
            ),
        ),
    );
    keep(lab.overlock(&["run", "crm", "-vvv"]));
    lab.sandbox.faults().clear();
    lab.advance(Duration::from_secs(86_400));
    keep(lab.run_armed("P4.part_written"));
    keep(lab.overlock(&["run", "crm", "-vvv"]));
    assert!(
        everything.len() > 10_000,
        "too little output to mean anything: {}",
        everything.len()
    );

    // Access tokens appear on the wire only: take them from the requests that carried them.
    let mut secrets = lab.sandbox.canaries();
    for request in lab.sandbox.requests() {
        if let Some(value) = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
        {
            // A token begins with the id of the org, which every state has too and which opens nothing.
            let token = value.trim_start_matches("Bearer ");
            secrets.push(
                token
                    .split_once('!')
                    .map_or(token, |(_, secret)| secret)
                    .to_owned(),
            );
        }
    }
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() > 4, "no access token was seen");
    searched += search("the output", &everything, &secrets);
    searched += search_folder(lab.project.path(), &secrets);
    assert!(searched > 50_000, "only {searched} bytes were searched");

    for entry in walk(&lab.project.path().join(".overlock")) {
        let mode = std::fs::metadata(&entry).unwrap().permissions().mode() & 0o777;
        let wanted = if entry.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{} has mode {mode:o}", entry.display());
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
