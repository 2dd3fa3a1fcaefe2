//! What a person gets wrong, on the real binary: position, suggestion, exit code, and nothing half done.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::time::Instant;

use overlock_tests::lab::Lab;

fn lab() -> Lab {
    Lab::new(41, &["Account"])
}

#[test]
fn a_misspelt_key_has_a_position_and_a_suggestion() {
    for (line, wrong, right) in [
        ("lokback = \"15m\"", "lokback", "lookback"),
        ("max_recrods = 10", "max_recrods", "max_records"),
    ] {
        let outcome = lab().source(line).run().expect(2);
        let text = &outcome.stderr;
        assert!(
            text.contains("overlock.toml:")
                && text.contains(wrong)
                && text.contains(&format!("`{right}`")),
            "{text}"
        );
        assert!(text.contains('^'), "{text}");
    }
    let outcome = lab()
        .stream("Account", "write_mode = \"merg\"")
        .run()
        .expect(2);
    assert!(
        outcome.stderr.contains("pipelines/crm.toml:") && outcome.stderr.contains("`merge`"),
        "{}",
        outcome.stderr
    );
    let outcome = lab().stream("Account", "wherre = \"x\"").run().expect(2);
    assert!(outcome.stderr.contains("`where`"), "{}", outcome.stderr);
}

#[test]
fn a_misspelt_stream_is_exit_2_with_a_suggestion() {
    let lab = Lab::new(41, &["Acount"]);
    let outcome = lab.run().expect(2);
    assert!(
        outcome.stderr.contains("Acount") && outcome.stderr.contains("`Account`"),
        "{}",
        outcome.stderr
    );
    let lab = self::lab();
    let outcome = lab
        .overlock(&["sync", "crm", "--stream", "Opportunty"])
        .expect(2);
    assert!(
        outcome.stderr.contains("`Opportunity`"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_misspelt_pipeline_source_verb_or_flag_is_exit_2_with_a_suggestion() {
    let lab = lab();
    for (arguments, right) in [
        (vec!["run", "cmr"], "crm"),
        (vec!["rnu"], "run"),
        (vec!["run", "--al"], "--all"),
        (vec!["sync", "cmr"], "crm"),
        (vec!["inspect", "crm.Acount", "head"], "Account"),
        (vec!["state", "shwo"], "show"),
    ] {
        if arguments[0] == "inspect" {
            lab.run().expect(0);
        }
        let outcome = lab.overlock(&arguments).expect(2);
        assert!(
            outcome.stderr.contains(right),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn output_without_a_terminal_has_no_escapes() {
    let lab = lab();
    for arguments in [
        vec!["run", "crm"],
        vec!["inspect", "crm.Account", "head"],
        vec!["inspect", "crm.Account", "stats"],
        vec!["discover", "crm"],
        vec!["connectors"],
        vec!["run", "nothing"],
    ] {
        let outcome = lab.overlock(&arguments);
        assert!(
            !outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'),
            "{arguments:?}"
        );
    }
}

#[test]
fn help_of_every_verb_answers_at_once_without_a_project() {
    let lab = lab();
    let empty = tempfile::tempdir().unwrap();
    for verb in [
        "demo",
        "init",
        "check",
        "discover",
        "run",
        "sync",
        "inspect",
        "state",
        "connectors",
        "sandbox",
        "config",
        "schedule",
        "completions",
    ] {
        let mut command = lab.command(&[verb, "--help"]);
        command.current_dir(empty.path());
        let begun = Instant::now();
        let outcome = lab.finish(command).expect(0);
        // Not asserted as a figure: machines are noisy. A second would be a network call or a runtime.
        assert!(begun.elapsed().as_millis() < 1_000, "{verb}");
        assert!(
            outcome.stdout.contains("Usage"),
            "{verb}: {}",
            outcome.stdout
        );
        let widest = outcome
            .stdout
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0);
        assert!(widest <= 80, "{verb}: {widest} columns");
    }
    assert_eq!(lab.calls(), 0);
}

#[test]
fn from_cron_nothing_is_printed_when_all_is_well() {
    let lab = lab();
    let outcome = lab.overlock(&["run", "--all", "-q"]).expect(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let outcome = lab.overlock(&["run", "crm", "-q", "--json"]).expect(0);
    let end = outcome.json();
    assert_eq!(end["exit_code"], 0);
    assert_eq!(end["retryable"], false);
    assert!(
        end["streams"]
            .as_array()
            .is_some_and(|streams| streams.len() == 1),
        "{end}"
    );
}

#[test]
fn a_server_s_refusal_is_shown_in_at_most_eight_lines() {
    use overlock_sandbox::{Fault, Match};
    let lab = lab();
    let body = r#"[{"message":"The REST API is not enabled for this Organization.","errorCode":"API_DISABLED_FOR_ORG"}]"#;
    lab.sandbox
        .faults()
        .add(Match::path("/services/data/*"), Fault::json(403, body));
    let outcome = lab.run().expect(3);
    let error: Vec<&str> = outcome
        .stderr
        .lines()
        .skip_while(|line| !line.starts_with("error"))
        .collect();
    let shown = error
        .iter()
        .position(|line| line.contains("not enabled for this Organization"));
    assert!(shown.is_some_and(|line| line < 8), "{}", outcome.stderr);
    assert!(
        error.iter().any(|line| line.contains("hint")),
        "{}",
        outcome.stderr
    );
}

/// A project whose warehouse has these keys beside those that it needs.
fn with_warehouse(lines: &str) -> Lab {
    let lab = lab();
    let path = lab.project.path().join("overlock.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("[destination.lake]").unwrap();
    let run = rest.split_once("[run]").unwrap().1;
    let mut warehouse = "kind = \"snowflake\"\n".to_owned();
    for (key, value) in [
        ("account", "\"myorg-a\""),
        ("user", "\"LOADER\""),
        ("database", "\"RAW\""),
        (
            "auth",
            "{ kind = \"password\", password = \"cmd:printf not-a-secret\" }",
        ),
    ] {
        if !lines.contains(&format!("{key} =")) {
            _ = writeln!(warehouse, "{key} = {value}");
        }
    }
    let project = format!("{before}[destination.lake]\n{warehouse}{lines}\n[run]{run}");
    lab.write_file("overlock.toml", &project);
    lab
}

#[test]
fn what_is_wrong_with_a_warehouse_is_found_before_anything_is_asked() {
    let login =
        "access_key_id = \"cmd:printf AKIA1234\", secret_access_key = \"cmd:printf abcdefgh\"";
    let stage = |rest: &str| format!("stage = {{ url = \"s3://bucket/path\", {login}, {rest} }}");
    for (verb, lines, said) in [
        (
            "validate",
            "account = \"myorg-a.snowflakecomputing.com\"".to_owned(),
            "without the domain",
        ),
        (
            "validate",
            "account = \"https://myorg-a\"".to_owned(),
            "without https://",
        ),
        ("validate", "database = \"\"".to_owned(), "write a name"),
        ("validate", "schema = \" \"".to_owned(), "write a name"),
        (
            "check",
            stage("region = \"eu-central-1\""),
            "storage_integration",
        ),
        (
            "check",
            stage("storage_integration = \"LAKE\", region = \"eu central/1\""),
            "eu-central-1",
        ),
        ("check", stage("storage_integration = \"LAKE\""), "`region`"),
    ] {
        let lab = with_warehouse(&lines);
        let arguments: &[&str] = match verb {
            "validate" => &["config", "validate"],
            _ => &["check"],
        };
        let outcome = lab.overlock(arguments).expect(2);
        assert!(outcome.stderr.contains(said), "{lines}: {}", outcome.stderr);
    }
}

#[test]
fn of_two_secrets_on_one_line_none_is_shown() {
    let [first, second] = ["PlainSecretOne", "SuperSecret123"];
    for lines in [
        format!(
            "auth = {{ kind = \"key_pair\", private_key = \"{first}\", passphrase = \"{second}\" }}"
        ),
        format!(
            "stage = {{ url = \"s3://b/p\", access_key_id = \"{first}\", secret_access_key = \"{second}\" }}"
        ),
    ] {
        let lab = with_warehouse(&lines);
        for arguments in [&["check"][..], &["run", "crm", "-vvv"], &["plan", "--ddl"]] {
            let outcome = lab.overlock(arguments).expect(2);
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(said.contains("written into the file"), "{said}");
            assert!(!said.contains(first) && !said.contains(second), "{said}");
        }
    }
}
