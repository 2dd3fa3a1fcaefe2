//! What the verbs do: runs, locks, schedules, state, signals, the demo.

use std::process::Stdio;
use std::time::{Duration, Instant};

use overlock_core::{Clock as _, SystemClock};
use overlock_package::{Lock, LockInfo};
use overlock_sandbox::{Fault, Match};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, Ran, overlock, run};

#[test]
fn a_second_run_finds_nothing_new_and_sync_shares_its_state() {
    let bench = Bench::new(&["Account", "Contact"]);
    let first = bench.run(&["run", "--json"]).expect(0).json();
    assert!(
        first["streams"][0]["rows_committed"].as_u64().unwrap() > 0,
        "{first}"
    );
    assert_eq!(first["status"], "ok");
    let second = bench.run(&["run", "crm", "--json"]).expect(0).json();
    assert!(second["streams"][0]["rows_read"].as_u64() < first["streams"][0]["rows_read"].as_u64());
    let ran = bench
        .run(&["sync", "sfdc", "--stream", "Account", "--json"])
        .expect(0)
        .json();
    assert_eq!(ran["runs"][0]["pipeline"], "crm");
    assert_eq!(ran["streams"].as_array().unwrap().len(), 1);
    let ran = bench.run(&[
        "sync",
        "sfdc",
        "--stream",
        "Account",
        "--full-refresh",
        "--json",
    ]);
    let rows = ran.expect(0).json()["streams"][0]["rows_committed"].as_u64();
    assert_eq!(rows, first["streams"][0]["rows_committed"].as_u64());
}

#[test]
fn what_matches_nothing_is_exit_2_with_a_suggestion() {
    let bench = Bench::new(&["Acount", "Contact"]);
    let ran = bench.run(&["run"]).expect(2);
    assert!(
        ran.stderr.contains("pipelines/crm.toml:3:10"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("^^^^^^ did you mean `Account`?"),
        "{}",
        ran.stderr
    );
    bench.write_pipeline("crm", &["Account", "Contact"], "");
    for (arguments, expected) in [
        (&["run", "cmr"][..], "did you mean `crm`?"),
        (&["run", "--select", "Acount"], "did you mean `Account`?"),
        (&["run", "--select", "zendesk.*"], "find a stream that fits"),
        (&["run", "--exclude", "Leed"], "find a stream that fits"),
        (&["run", "--exclude", "*"], "every one is excluded"),
        (
            &["sync", "sfcd", "--stream", "Account"],
            "did you mean `sfdc`?",
        ),
        (
            &["sync", "sfdc", "--stream", "Acount"],
            "did you mean `Account`?",
        ),
        (
            &["sync", "sfdc", "--stream", "Account", "--to", "lkae"],
            "did you mean `lake`?",
        ),
        (&["discover", "sfcd"], "did you mean `sfdc`?"),
        (
            &["discover", "--stream", "Acount"],
            "did you mean `Account`?",
        ),
        (&["check", "sfcd"], "did you mean `sfdc`?"),
        (&["state", "show", "crm.Acount"], "did you mean `Account`?"),
        (&["state", "show", "Account"], "PIPELINE.STREAM"),
        (&["state", "list", "cmr"], "did you mean `crm`?"),
        (&["run", "--env", "prod"], "find an environment `prod`"),
    ] {
        let ran = bench.run(arguments).expect(2);
        assert!(
            ran.stderr.contains(expected),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    let ran = bench
        .run(&["run", "--select", "Acc*", "--json"])
        .expect(0)
        .json();
    assert_eq!(ran["streams"].as_array().unwrap().len(), 1);
    let ran = bench
        .run(&["run", "-x", "crm.Account", "--json"])
        .expect(0)
        .json();
    assert_eq!(ran["streams"][0]["stream"], "Contact");
}

#[test]
fn a_second_start_while_one_runs_is_exit_7_at_once_and_names_the_holder() {
    // covers: R8
    let bench = Bench::new(&["Account"]);
    let folder = bench.path().join(".overlock/crm");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("lock");
    make_private(&bench.path().join(".overlock"));
    make_private(&folder);
    let held = Lock::acquire(&path, &LockInfo::new("the-other-run", SystemClock.now())).unwrap();
    let begun = Instant::now();
    let ran = bench.run(&["run", "--json"]).expect(7);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        ran.stderr.contains(&std::process::id().to_string()),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.json()["retryable"], true);
    assert!(bench.run(&["state", "reset", "crm.Account", "--yes"]).code == Some(7));
    drop(held);
    // covers: R9
    // The file of the dead holder is still there; only the kernel's lock counts.
    assert!(path.exists());
    bench.run(&["run"]).expect(0);
}

fn make_private(path: &std::path::Path) {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(path, permissions).unwrap();
}

#[test]
fn due_runs_once_per_scheduled_instant() {
    let bench = Bench::new(&["Account"]);
    bench.write_pipeline("crm", &["Account"], "schedule = { cron = \"0 0 1 1 *\" }");
    bench.write_pipeline("other", &["Account"], "");
    let list = bench.run(&["schedule", "list", "--json"]).expect(0).json();
    assert_eq!(
        (&list[0]["due"], list.as_array().unwrap().len()),
        (&true.into(), 1)
    );
    let first = bench.run(&["run", "--due", "--json"]).expect(0).json();
    assert_eq!(first["runs"][0]["pipeline"], "crm");
    assert_eq!(first["runs"].as_array().unwrap().len(), 1);
    let second = bench.run(&["run", "--due", "--json"]).expect(0).json();
    assert_eq!(second["runs"].as_array().unwrap().len(), 0);
    assert_eq!(bench.run(&["run", "--due", "-q"]).expect(0).stdout, "");
    let next = bench
        .run(&["schedule", "next", "-n", "2", "--json"])
        .expect(0)
        .json();
    assert_eq!(next.as_array().unwrap().len(), 2);
}

#[test]
fn state_is_listed_shown_and_reset_only_when_somebody_says_yes() {
    let bench = Bench::new(&["Account"]);
    let ran = bench.run(&["state", "show", "crm.Account"]).expect(0);
    assert!(
        ran.stdout.contains("nothing is committed yet"),
        "{}",
        ran.stdout
    );
    let first = bench.run(&["run", "--json"]).expect(0).json();
    let list = bench.run(&["state", "list", "--json"]).expect(0).json();
    assert_eq!(list[0]["commit"], first["streams"][0]["head"]);
    let ran = bench.run(&["state", "reset", "crm.Account"]).expect(2);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    bench
        .run(&["state", "reset", "crm.Account", "--yes"])
        .expect(0);
    let shown = bench
        .run(&["state", "show", "crm.Account", "--json"])
        .expect(0)
        .json();
    assert_eq!(shown["head"]["state"], serde_json::Value::Null);
    let again = bench.run(&["run", "--json"]).expect(0).json();
    assert_eq!(
        again["streams"][0]["rows_read"],
        first["streams"][0]["rows_read"]
    );
}

#[test]
fn what_was_synced_without_a_pipeline_file_has_a_state_to_look_at() {
    let bench = Bench::new(&["Account"]);
    bench.write_project("path = \"lake\"");
    bench.write_pipeline("other", &["Contact"], "");
    // Two pipelines read from the source: the sync belongs to neither of them.
    bench
        .run(&["sync", "sfdc", "--stream", "User", "-q"])
        .expect(0);
    let list = bench.run(&["state", "list", "--json"]).expect(0).json();
    let found: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| !row["commit"].is_null())
        .map(|row| (row["pipeline"].as_str(), row["stream"].as_str()))
        .collect();
    assert_eq!(found, [(Some("sfdc"), Some("User"))]);
    let ran = bench.run(&["state", "show", "sfdc.User"]).expect(0);
    assert!(
        ran.stdout.starts_with("sfdc.User\n  commit"),
        "{}",
        ran.stdout
    );
    std::fs::remove_file(bench.folder.path().join("pipelines/other.toml")).unwrap();
    let ran = bench.run(&["state", "show", "sfdc.Account"]).expect(0);
    assert!(ran.stdout.starts_with("crm.Account"), "{}", ran.stdout);
    std::fs::remove_file(bench.folder.path().join("pipelines/crm.toml")).unwrap();
    let ran = bench.run(&["state", "show", "sfdc.User"]).expect(0);
    assert!(
        ran.stdout.starts_with("sfdc.User\n  commit"),
        "{}",
        ran.stdout
    );
    bench
        .run(&["state", "reset", "sfdc.User", "--yes"])
        .expect(0);
    let ran = bench.run(&["state", "show", "sdfc.User"]).expect(2);
    assert!(
        ran.stderr.contains("did you mean `sfdc`?"),
        "{}",
        ran.stderr
    );
}

#[test]
fn with_several_destinations_a_state_is_looked_for_where_it_was_put() {
    let bench = Bench::new(&["Account"]);
    bench.write_project("path = \"lake\"\n[destination.pond]\nkind = \"local\"\npath = \"pond\"");
    bench.write_pipeline("crm", &["Account"], "destination = \"lake\"");
    bench.write_pipeline("other", &["Contact"], "destination = \"lake\"");
    let sync = ["sync", "sfdc", "--stream", "User", "-q"];
    let ran = bench.run(&sync).expect(2);
    assert!(ran.stderr.contains("--to: lake, pond"), "{}", ran.stderr);
    bench
        .run(&[&sync[..], &["--to", "pond"]].concat())
        .expect(0);
    let list = bench.run(&["state", "list"]).expect(0);
    assert!(list.stdout.contains("User"), "{}", list.stdout);
    let show = ["state", "show", "sfdc.User"];
    let ran = bench.run(&show).expect(2);
    assert!(ran.stderr.contains("--to: lake, pond"), "{}", ran.stderr);
    let ran = bench
        .run(&[&show[..], &["--to", "pond"]].concat())
        .expect(0);
    assert!(
        ran.stdout.starts_with("sfdc.User\n  commit"),
        "{}",
        ran.stdout
    );
    bench
        .run(&[&show[..], &["--to", "lake"]].concat())
        .expect(2);
    // A pipeline's state at another destination than its own.
    bench.run(&["run", "crm", "-q"]).expect(0);
    let ran = bench
        .run(&["state", "show", "crm.Account", "--to", "pond"])
        .expect(0);
    assert!(
        ran.stdout.contains("nothing is committed"),
        "{}",
        ran.stdout
    );
    bench
        .run(&["state", "reset", "crm.Account", "--to", "sea", "--yes"])
        .expect(2);
}

#[test]
fn a_pattern_chooses_among_the_streams_of_the_pipeline_file() {
    let bench = Bench::new(&["Account", "Contact", "Campaign"]);
    let ran = bench
        .run(&["sync", "sfdc", "--stream", "C*", "--json"])
        .expect(0)
        .json();
    let names = ran["streams"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| one["stream"].as_str().unwrap()).collect();
    assert_eq!(names, ["Campaign", "Contact"]);
    let ran = bench.run(&["sync", "sfdc", "--stream", "Opp*"]).expect(2);
    assert!(ran.stderr.contains("name others in full"), "{}", ran.stderr);
}

#[test]
fn a_single_file_answers_sql_and_an_unknown_ending_is_no_form() {
    let bench = Bench::new(&["Account"]);
    let rows =
        bench.run(&["run", "--json"]).expect(0).json()["streams"][0]["rows_committed"].clone();
    let files = bench
        .run(&["inspect", "sfdc.Account", "files", "--json"])
        .expect(0)
        .json();
    let file = files[0]["path"].as_str().unwrap();
    if cfg!(feature = "sql") {
        let ran = bench
            .run(&[
                "inspect",
                file,
                "sql",
                "SELECT count(*) AS n FROM file",
                "--json",
            ])
            .expect(0);
        assert_eq!(ran.json()[0]["n"], rows);
    }
    if cfg!(feature = "sql") {
        let long = format!(
            "SELECT count(*) FROM file WHERE 1=2{}",
            " OR 1=2".repeat(2_000)
        );
        bench.run(&["inspect", file, "sql", &long]).expect(0);
        let ran = bench
            .run(&["inspect", file, "sql", &long.repeat(8)])
            .expect(2);
        assert!(ran.stderr.contains("64 KiB"), "{}", ran.stderr);
    }
    let ran = bench
        .run(&["inspect", "sfdc.Account", "export", "-o", "accounts.xlsx"])
        .expect(2);
    assert!(
        ran.stderr.contains(".csv, .jsonl or .parquet"),
        "{}",
        ran.stderr
    );
    assert!(!bench.folder.path().join("accounts.xlsx").exists());
}

#[test]
fn a_limit_that_lets_nothing_through_says_so() {
    let bench = Bench::new(&["Account"]);
    let ran = bench.run(&["run", "--max-api-calls", "2"]).expect(9);
    assert!(
        ran.stderr.contains("before a row was read"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_port_that_is_taken_is_a_matter_of_the_command_line() {
    let bench = Bench::new(&["Account"]);
    let port = bench
        .sandbox
        .base_url()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let ran = bench.run(&["sandbox", "--port", &port]).expect(2);
    assert!(ran.stderr.contains("choose another port"), "{}", ran.stderr);
}

#[test]
fn check_says_one_line_per_check_and_discover_lists_streams() {
    let bench = Bench::new(&["Account"]);
    let ran = bench.run(&["check"]).expect(0);
    for expected in [
        "source sfdc: login",
        "pipeline crm: Account",
        "pipeline crm: destination",
    ] {
        assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    }
    let json = bench.run(&["check", "--json"]).expect(0).json();
    assert_eq!(json["exit_code"], 0);
    let list = bench.run(&["discover", "--json"]).expect(0).json();
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .any(|row| row["stream"] == "Opportunity")
    );
    let columns = bench
        .run(&["discover", "--stream", "Account", "--format", "csv"])
        .expect(0);
    assert!(
        columns
            .stdout
            .starts_with("stream,column,type,key,nullable\nAccount,Id,")
    );
    let refusal = r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#;
    bench
        .sandbox
        .faults()
        .add(Match::path("*/oauth2/token"), Fault::json(400, refusal));
    let ran = bench.run(&["check"]).expect(3);
    assert!(ran.stderr.contains("invalid"), "{}", ran.stderr);
    let ran = bench.run(&["run", "--json"]).expect(3);
    assert_eq!(ran.json()["retryable"], false);
}

/// Starts a run whose source never answers.
fn hanging(bench: &Bench) -> std::process::Child {
    bench.write_project("[run]\ngrace = \"300ms\"\n");
    bench
        .sandbox
        .faults()
        .add(Match::path("*/query*"), Fault::Stall { bytes: None });
    let child = overlock(bench.path())
        .args(["run", "--progress", "none"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !bench
        .sandbox
        .requests()
        .iter()
        .any(|request| request.path.contains("/query"))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no query was made"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_signal_stops_cleanly_and_a_second_one_at_once() {
    // covers: R2
    for (signals, code) in [
        (&[Signal::INT][..], 130),
        (&[Signal::TERM], 143),
        (&[Signal::HUP], 143),
        (&[Signal::INT, Signal::INT], 130),
    ] {
        let bench = Bench::new(&["Account"]);
        let child = hanging(&bench);
        let pid = Pid::from_child(&child);
        let begun = Instant::now();
        for signal in signals {
            // The process may be gone before the second signal.
            kill_process(pid, *signal).ok();
            std::thread::sleep(Duration::from_millis(30));
        }
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(code), "{signals:?}: {}", ran.stderr);
        assert!(begun.elapsed() < Duration::from_secs(5));
        bench.sandbox.faults().clear();
        bench.run(&["run"]).expect(0);
    }
}

#[test]
fn a_time_limit_stops_cleanly_with_exit_9() {
    let bench = Bench::new(&["Account"]);
    bench.write_project("[run]\ngrace = \"100ms\"\n");
    bench
        .sandbox
        .faults()
        .add(Match::path("*/query*"), Fault::Stall { bytes: None });
    let ran = bench.run(&["run", "--timeout", "1s", "--json"]).expect(9);
    assert_eq!(ran.json()["status"], "stopped");
}

#[test]
fn the_demo_runs_needs_nothing_and_the_next_day_reads_only_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |end: &serde_json::Value| -> u64 {
        let streams = end["streams"].as_array().unwrap();
        streams
            .iter()
            .map(|stream| stream["rows_read"].as_u64().unwrap())
            .sum()
    };
    let first = run(folder.path(), &["demo", "--scale", "20", "--json"])
        .expect(0)
        .json();
    let sources = |name: &str| {
        let streams = first["streams"].as_array().unwrap();
        streams
            .iter()
            .filter(|stream| stream["source"] == name)
            .count()
    };
    assert_eq!((sources("sfdc"), sources("help")), (15, 15));
    let second = run(folder.path(), &["demo", "--json"]).expect(0).json();
    assert!(
        rows(&second) > 0 && rows(&second) < rows(&first),
        "{} {}",
        rows(&first),
        rows(&second)
    );
    let project = folder.path().join("overlock-demo");
    run(&project, &["config", "validate"]).expect(0);
    let ran = run(&project, &["inspect", "data/sfdc/Account", "count"]).expect(0);
    assert!(
        ran.stdout.contains(|c: char| c.is_ascii_digit()),
        "{}",
        ran.stdout
    );
    // A project of one's own is never taken for the demo.
    run(folder.path(), &["init", "mine"]).expect(0);
    let ran = run(folder.path(), &["demo", "mine"]).expect(2);
    assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
}

#[test]
fn a_killed_demo_is_taken_up_again_on_the_same_day() {
    // covers: R1
    let folder = tempfile::tempdir().unwrap();
    let calm = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let expected = run(calm.path(), &["demo", "--scale", "20", "--json"])
        .expect(0)
        .json();
    let typical = begun.elapsed();
    // The first part of it goes into making the two accounts.
    for share in [0.2, 0.4, 0.55, 0.7, 0.85] {
        let mut child = overlock(folder.path())
            .args(["demo", "--scale", "20"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(typical.mul_f64(share));
        kill_process(Pid::from_child(&child), Signal::KILL).ok();
        if child.wait().unwrap().success() {
            break;
        }
    }
    run(folder.path(), &["demo", "--json"]).expect(0);
    let project = folder.path().join("overlock-demo");
    for stream in expected["streams"].as_array().unwrap() {
        let name = stream["stream"].as_str().unwrap();
        let source = stream["source"].as_str().unwrap();
        let table = format!("data/{source}/{name}");
        let count = |project: &std::path::Path| {
            run(project, &["inspect", &table, "count", "--json"])
                .expect(0)
                .stdout
        };
        let same_day = std::fs::read_to_string(project.join(".overlock/demo.json")).unwrap();
        if same_day.contains("\"day\":0") {
            assert_eq!(
                count(&project),
                count(&calm.path().join("overlock-demo")),
                "{name}"
            );
        }
    }
}

#[test]
fn the_sandbox_tells_its_address_and_serves_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = overlock(folder.path())
        .args(["sandbox", "--json", "--scale", "5"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let text = format!(
        "allow_plain_secrets = true\n[source.x]\nconnector = \"salesforce\"\nlogin_url = {}\n\
         auth = {{ kind = \"client_credentials\", client_id = {}, client_secret = {} }}\n",
        told["url"], told["client_id"], told["client_secret"]
    );
    crate::bench::write(folder.path(), "overlock.toml", &text);
    run(folder.path(), &["check"]).expect(0);
    let ran = run(folder.path(), &["sync", "x", "-s", "Lead", "--json"])
        .expect(0)
        .json();
    assert!(ran["streams"][0]["rows_committed"].as_u64().unwrap() > 0);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
