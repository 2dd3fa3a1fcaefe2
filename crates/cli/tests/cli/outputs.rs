//! The two outputs: closed, full, coloured, quiet, and without secrets.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::{Bench, Ran, overlock};

fn shell(bench: &Bench, script: &str) -> Ran {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .current_dir(bench.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("O", env!("CARGO_BIN_EXE_overlock"))
        .stdin(Stdio::null());
    Ran::of(&command.output().unwrap())
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_success() {
    // covers: R6
    let bench = Bench::new(&["Account"]);
    for verb in [
        &["config", "schema"][..],
        &["run"],
        &["run", "--json"],
        &["--help"],
    ] {
        let mut child = overlock(bench.path())
            .args(verb)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{verb:?}: {stderr}");
        assert!(!stderr.contains("error"), "{verb:?}: {stderr}");
    }
    let ran = shell(&bench, "\"$O\" run --json >/dev/full").expect(6);
    assert!(
        ran.stderr.contains("write the result to stdout"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_run_goes_on_without_a_working_stderr() {
    // covers: R7
    for script in [
        "\"$O\" run --json 2>&-",
        "\"$O\" run --json --progress log 2>/dev/full",
    ] {
        let bench = Bench::new(&["Account"]);
        let end = shell(&bench, script).expect(0).json();
        assert!(
            end["streams"][0]["rows_committed"].as_u64().unwrap() > 0,
            "{end}"
        );
    }
    // A stderr that nobody reads: the pipe is full long before the log is done.
    let bench = Bench::new(&["Account", "Contact", "Opportunity"]);
    let mut child = overlock(bench.path())
        .args(["run", "-q", "--log-level", "trace"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn quiet_prints_nothing_on_success_and_the_failure_when_there_is_one() {
    let bench = Bench::new(&["Account"]);
    let ran = bench.run(&["run", "-q"]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let ran = bench.run(&["run", "-q", "--json"]).expect(0);
    assert_eq!(
        (ran.json()["exit_code"].as_u64(), ran.stderr.as_str()),
        (Some(0), "")
    );
    bench.write_pipeline("crm", &["Account", "Acount"], "");
    let ran = bench.run(&["run", "-q"]).expect(2);
    assert!(ran.stderr.contains("did you mean"), "{}", ran.stderr);
}

#[test]
fn piped_output_has_no_colour_and_progress_json_ends_with_one_end_object() {
    let bench = Bench::new(&["Account"]);
    let ran = bench.run(&["run", "--progress", "json"]).expect(0);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
    let events: Vec<serde_json::Value> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ends = events
        .iter()
        .filter(|event| event["event"] == "end")
        .count();
    assert_eq!((ends, &events.last().unwrap()["event"]), (1, &"end".into()));
    assert!(
        events.iter().all(|event| event["ts"].is_string()),
        "{events:?}"
    );
    let bad = overlock(bench.path())
        .args(["run", "nope", "--color=always"])
        .output()
        .unwrap();
    assert!(Ran::of(&bad).stderr.contains('\u{1b}'));
    let bad = overlock(bench.path())
        .args(["run", "nope"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(Ran::of(&bad).stderr.contains('\u{1b}'));
    let mut command = overlock(bench.path());
    command
        .args(["run", "nope"])
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1");
    assert!(
        !Ran::of(&command.output().unwrap())
            .stderr
            .contains('\u{1b}')
    );
}

fn every_file(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            every_file(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[test]
fn no_secret_is_in_any_output_log_or_file_and_files_belong_to_their_user_alone() {
    let bench = Bench::new(&["Account", "Contact"]);
    let mut shown = String::new();
    for arguments in [
        &["check", "-vvv"][..],
        &["config", "show", "--origin"],
        &["run", "-vvv", "--progress", "json"],
        &["run", "-vvv", "--log-format", "json", "--json"],
        &["discover", "--json", "-vvv"],
        &["state", "list"],
        &["sync", "sfdc", "-s", "Nope", "-vvv"],
    ] {
        let ran = bench.run(arguments);
        shown.push_str(&ran.stdout);
        shown.push_str(&ran.stderr);
    }
    assert!(
        shown.len() > 10_000,
        "the log is too short to prove anything: {shown}"
    );
    let mut files = Vec::new();
    every_file(bench.path(), &mut files);
    for canary in bench.sandbox.canaries() {
        assert!(!shown.contains(&canary), "{canary}");
        for file in &files {
            let bytes = std::fs::read(file).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let own = file.ends_with("overlock.toml");
            assert!(
                own || !text.contains(&canary),
                "{canary} in {}",
                file.display()
            );
        }
    }
    for file in files {
        let below = file.strip_prefix(bench.path()).unwrap();
        if below.starts_with(".overlock") || below.starts_with("data") {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(&file).unwrap().permissions(),
            );
            assert_eq!(mode & 0o077, 0, "{}", file.display());
        }
    }
}
