//! Help, usage errors, and how fast and wide they are.

use std::time::{Duration, Instant};

use crate::bench::{overlock, run};

const VERBS: &[&[&str]] = &[
    &[],
    &["demo"],
    &["init"],
    &["check"],
    &["discover"],
    &["run"],
    &["sync"],
    &["inspect"],
    &["state"],
    &["state", "reset"],
    &["connectors"],
    &["sandbox"],
    &["config"],
    &["config", "show"],
    &["schedule"],
    &["completions"],
];

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_help_of_every_verb_is_as_it_was_and_fits_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    for verb in VERBS {
        for flag in ["-h", "--help"] {
            let mut arguments = verb.to_vec();
            arguments.push(flag);
            let ran = run(folder.path(), &arguments).expect(0);
            assert_eq!(ran.stderr, "");
            for line in ran.stdout.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
            if flag == "-h" {
                snapshot(&format!("help_{}", verb.join("_")), &ran.stdout);
            }
        }
    }
    snapshot("alone", &run(folder.path(), &[]).expect(0).stdout);
}

#[test]
fn the_help_of_every_verb_answers_in_under_20_ms() {
    let folder = tempfile::tempdir().unwrap();
    for verb in VERBS {
        let mut best = Duration::MAX;
        // The machine may be busy with other tests: the best of many is what the program needs.
        for _ in 0..60 {
            let begun = Instant::now();
            let output = overlock(folder.path())
                .args(*verb)
                .arg("--help")
                .output()
                .unwrap();
            assert!(output.status.success());
            best = best.min(begun.elapsed());
            if best < Duration::from_millis(20) {
                break;
            }
        }
        assert!(best < Duration::from_millis(20), "{verb:?} took {best:?}");
    }
}

#[test]
fn a_mistake_on_the_command_line_gets_a_suggestion_and_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (
            &["rnu"][..],
            "unrecognised command `rnu`; did you mean `run`?",
        ),
        (
            &["dmeo"],
            "unrecognised command `dmeo`; did you mean `demo`?",
        ),
        (
            &["run", "--ful-refresh"],
            "unrecognised flag `--ful-refresh`; did you mean `--full-refresh`?",
        ),
        (
            &["--jsn", "run"],
            "unrecognised flag `--jsn`; did you mean `--json`?",
        ),
        (&["demo", "a", "b"], "unrecognised argument `b`"),
        (&["connectors", "salesfroce"], "did you mean `salesforce`?"),
        (&["completions", "bsh"], "bash"),
        (&["run", "--jobs", "0"], "1..=64"),
        (&["sync"], "<SOURCE>"),
        (&["run", "--set", "nonsense"], "overlock.toml"),
    ] {
        let ran = run(folder.path(), arguments).expect(2);
        assert!(
            ran.stderr.contains(expected),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn every_shell_has_completions_and_the_version_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(folder.path(), &["completions", shell]).expect(0);
        assert!(ran.stdout.contains("overlock"), "{shell}");
    }
    let ran = run(folder.path(), &["--version"]).expect(0);
    assert_eq!(
        ran.stdout.trim(),
        format!("overlock {}", env!("CARGO_PKG_VERSION"))
    );
}
