//! Rows L1 to L16 of the fault matrix on the real binary: what a source does although nothing is broken.

use std::time::Duration;

use overlock_core::Timestamp;
use overlock_local::View;
use overlock_salesforce::emulator::{JobFault, Moment, Outcome, SandboxOptions, Value};
use overlock_sandbox::{Fault, Match};
use overlock_tests::lab::Lab;

const DAY: Duration = Duration::from_secs(86_400);

fn lab(streams: &[&str]) -> Lab {
    Lab::new(21, streams)
        .source("max_records = 10")
        .source("rest_below_rows = 0")
}

/// Some ids of rows that are not deleted.
fn ids(lab: &Lab, object: &str, count: usize) -> Vec<String> {
    let now = lab.now();
    let live = lab.sandbox.with_world(|world| world.expected(object, now));
    let live = live.into_iter().filter(|row| !row.is_deleted);
    let ids: Vec<String> = live.take(count).map(|row| row.key).collect();
    assert_eq!(ids.len(), count);
    ids
}

#[test]
fn l1_more_rows_in_one_second_than_a_page_holds_are_all_read() {
    // covers: L1
    for rest in ["rest_below_rows = 0", "rest_below_rows = 100000"] {
        let lab = Lab::new(21, &["Task"])
            .source("max_records = 7")
            .source(rest);
        lab.sandbox
            .emulator()
            .behave(|behaviour| behaviour.query_page_rows = 7);
        lab.run().expect(0);
        let now = lab.now();
        lab.sandbox.with_world(|world| {
            for id in world.ids("Task").to_vec() {
                drop(world.touch("Task", &id, now));
            }
        });
        lab.settle_and_judge();
    }
}

#[test]
fn l2_a_late_commit_is_read_by_the_lookback() {
    // covers: L2
    let lab = lab(&["Account"]);
    lab.run().expect(0);
    let id = ids(&lab, "Account", 1).remove(0);
    let begin = lab.now().plus(Duration::from_secs(60));
    lab.sandbox
        .with_world(|world| {
            world.touch(
                "Account",
                &id,
                Moment::late(begin, Duration::from_secs(590)),
            )
        })
        .unwrap();
    // A run between the stamp and the commit: its state moves past the stamp without the row.
    lab.sandbox.clock().advance(Duration::from_secs(300));
    lab.run().expect(0);
    lab.sandbox.clock().advance(Duration::from_secs(400));
    lab.settle_and_judge();
}

#[test]
fn l3_a_row_of_the_very_second_that_the_state_names_is_read() {
    // covers: L3
    let lab = lab(&["Account"]);
    lab.run().expect(0);
    let now = lab.now();
    let id = ids(&lab, "Account", 1).remove(0);
    lab.sandbox
        .with_world(|world| world.touch("Account", &id, now))
        .unwrap();
    lab.settle_and_judge();
}

#[test]
fn l15_a_change_of_the_clocks_moves_no_window() {
    // covers: L15
    // Clocks in New York go from 02:00 to 03:00 on this day, at 07:00 UTC.
    let start = Timestamp::parse("2026-03-08T06:30:00Z").unwrap();
    let mut options = SandboxOptions::tiny(22, start);
    options.world.drift = false;
    options.evolves = false;
    let lab = Lab::with_options(options, &["Account"]).environment("TZ", "America/New_York");
    lab.run().expect(0);
    for minutes in [20, 15, 40] {
        lab.sandbox
            .clock()
            .advance(Duration::from_secs(minutes * 60));
        let now = lab.now();
        let id = ids(&lab, "Account", 1).remove(0);
        lab.sandbox
            .with_world(|world| world.touch("Account", &id, now))
            .unwrap();
        lab.run().expect(0);
    }
    lab.settle_and_judge();
}

#[test]
fn l5_a_row_newer_than_the_window_waits_for_the_next_run() {
    // covers: L5
    let lab = Lab::new(21, &["Account"]).source("settle = \"5m\"");
    lab.run().expect(0);
    let id = ids(&lab, "Account", 1).remove(0);
    lab.sandbox.clock().advance(Duration::from_secs(3_600));
    let stamp = lab.now();
    lab.sandbox
        .with_world(|world| world.touch("Account", &id, stamp))
        .unwrap();
    lab.run().expect(0);
    let shown = |lab: &Lab| {
        lab.table("Account")
            .into_iter()
            .any(|row| row["SystemModstamp"].as_deref() == Some(&stamp.to_string()))
    };
    assert!(
        !shown(&lab),
        "the window ends five minutes before the server's clock"
    );
    lab.sandbox.clock().advance(Duration::from_secs(600));
    lab.run().expect(0);
    assert!(shown(&lab));
    assert!(lab.findings("Account").is_empty());
}

#[test]
fn l6_deletes_undeletes_and_merges_arrive() {
    // covers: L6
    let lab = lab(&["Account", "Contact"]);
    lab.run().expect(0);
    let chosen = ids(&lab, "Contact", 2);
    let now = lab.now().plus(Duration::from_secs(5));
    lab.sandbox.clock().set(now.plus(Duration::from_secs(5)));
    lab.sandbox.with_world(|world| {
        world.delete("Contact", &chosen[0], now).unwrap();
        world.delete("Contact", &chosen[1], now).unwrap();
    });
    lab.settle_and_judge();
    let deleted = |lab: &Lab, id: &str| {
        let rows = lab.table("Contact");
        let row = rows
            .iter()
            .find(|row| row["Id"].as_deref() == Some(id))
            .unwrap();
        row["_deleted"].clone()
    };
    assert_eq!(deleted(&lab, &chosen[0]).as_deref(), Some("true"));
    let now = lab.now().plus(Duration::from_secs(5));
    lab.sandbox.clock().set(now.plus(Duration::from_secs(5)));
    lab.sandbox
        .with_world(|world| world.undelete("Contact", &chosen[0], now))
        .unwrap();
    lab.settle_and_judge();
    assert_eq!(deleted(&lab, &chosen[0]).as_deref(), Some("false"));
    assert_eq!(deleted(&lab, &chosen[1]).as_deref(), Some("true"));
}

fn job_fault(lab: &Lab, times: u64, outcome: Outcome) {
    lab.sandbox.emulator().behave(|behaviour| {
        behaviour.job_faults = vec![JobFault {
            object: Some("Account".to_owned()),
            nth: 1,
            times,
            outcome,
        }];
    });
}

#[test]
fn l7_a_failed_or_aborted_job_is_tried_with_half_the_window() {
    // covers: L7
    for outcome in [
        Outcome::Failed("InternalServerError : 1234-5678".to_owned()),
        Outcome::Aborted,
    ] {
        let lab = lab(&["Account"]);
        job_fault(&lab, 1, outcome);
        lab.run().expect(0);
        lab.settle_and_judge();
    }
    let lab = lab(&["Account", "Contact"]);
    job_fault(
        &lab,
        10_000,
        Outcome::Failed("Failed to write query result".to_owned()),
    );
    let report = lab.run().expect(4);
    assert!(
        report.stderr.contains("Failed to write query result"),
        "{}",
        report.stderr
    );
}

#[test]
fn l8_a_job_that_never_ends_is_given_up() {
    // covers: L8
    let lab = lab(&["Account"]).source("job_timeout = \"300ms\"");
    job_fault(&lab, 10_000, Outcome::Never);
    let outcome = lab.run().expect(5);
    assert!(outcome.took < Duration::from_secs(60));
    let aborted = lab
        .sandbox
        .requests()
        .iter()
        .any(|request| request.method == "PATCH");
    assert!(aborted, "the job is left running at the source");
}

#[test]
fn l9_a_job_that_is_gone_is_read_again_from_the_head() {
    // covers: L9
    for outcome in [Outcome::Gone, Outcome::GoneAfterPages(2)] {
        let lab = lab(&["Account"]).run_setting("file_every = \"1ms\"");
        job_fault(&lab, 1, outcome);
        lab.run().expect(0);
        lab.settle_and_judge();
    }
    // Gone between two runs, while our state names it.
    let lab = lab(&["Account"]).run_setting("file_every = \"1ms\"");
    assert_eq!(lab.run_armed("S3.after_page:1").code, None);
    lab.sandbox.emulator().forget_jobs();
    lab.settle_and_judge();
}

#[test]
fn l10_a_session_that_ends_during_a_job_is_renewed_and_the_job_goes_on() {
    // covers: L10
    let lab = lab(&["Account"]);
    let expired = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
    lab.sandbox
        .faults()
        .add(Match::path("*/results").nth(2), Fault::json(401, expired));
    lab.run().expect(0);
    let jobs = lab
        .sandbox
        .requests()
        .iter()
        .filter(|r| r.method == "POST" && r.path.ends_with("/jobs/query"))
        .count();
    assert_eq!(jobs, 1, "the job was created again");
    lab.settle_and_judge();
}

#[test]
fn l4_a_row_without_its_stamp_is_kept_and_moves_no_state() {
    // covers: L4
    let lab = lab(&["Contact"]);
    let now = lab.now();
    let stamp = lab.sandbox.with_world(|world| {
        let mut stamps: Vec<_> = world
            .expected("Contact", now)
            .iter()
            .map(|row| row.stamp)
            .collect();
        stamps.sort();
        stamps[stamps.len() / 2]
    });
    lab.sandbox.faults().add(
        Match::path("*/results").times(50),
        Fault::Replace {
            find: stamp.to_string().replace('Z', ""),
            with: "no date".to_owned(),
        },
    );
    let ended = lab.overlock(&["run", "crm", "--json"]).expect(0).json();
    assert!(lab.sandbox.faults().fired() > 0);
    assert_ne!(ended["streams"][0]["extra"], 0, "not counted: {ended}");
    let table = lab.table("Contact");
    let odd = table.iter().filter(|row| {
        row["SystemModstamp"]
            .as_deref()
            .is_some_and(|stamp| stamp.contains("no date"))
    });
    let odd: Vec<String> = odd.map(|row| row["Id"].clone().unwrap()).collect();
    assert!(!odd.is_empty() && odd.len() < table.len(), "{odd:?}");
    lab.sandbox.faults().clear();
    // A later version of such a row takes its place.
    let at = lab.now().plus(Duration::from_secs(60));
    lab.sandbox.clock().set(at.plus(Duration::from_secs(60)));
    lab.sandbox.with_world(|world| {
        for id in &odd {
            world.touch("Contact", id, at).unwrap();
        }
    });
    lab.settle_and_judge();
}

#[test]
fn l11_another_order_of_columns_on_a_later_page_changes_nothing() {
    // covers: L11
    let lab = lab(&["Contact"]);
    lab.sandbox
        .emulator()
        .behave(|behaviour| behaviour.rotate_columns = true);
    lab.run().expect(0);
    lab.settle_and_judge();

    // A column that has another name on the second page.
    let lab = self::lab(&["Contact"]);
    lab.sandbox.faults().add(
        Match::path("*/results").nth(2),
        Fault::Replace {
            find: "\"AssistantName\"".to_owned(),
            with: "\"HelperName\"".to_owned(),
        },
    );
    let outcome = lab.run().expect(0);
    assert_eq!(lab.sandbox.faults().fired(), 1);
    let rows = lab.table("Contact");
    let odd = rows
        .iter()
        .filter(|row| {
            row["_extra"]
                .as_deref()
                .is_some_and(|extra| extra.contains("HelperName"))
        })
        .count();
    assert!(
        outcome.stderr.contains("warning"),
        "{odd} no word of it: {}",
        outcome.stderr
    );
    let rows = lab.table("Contact");
    let odd = rows.iter().filter(|row| {
        row["_extra"]
            .as_deref()
            .is_some_and(|extra| extra.contains("HelperName"))
    });
    assert!(odd.count() > 0, "the values of the unknown column are kept");
}

#[test]
fn l12_a_field_that_changes_its_type_is_kept_and_counted() {
    // covers: L12
    let lab = lab(&["Account"]);
    lab.run().expect(0);
    let id = ids(&lab, "Account", 1).remove(0);
    let at = lab.now().plus(Duration::from_secs(10));
    lab.sandbox.clock().set(at.plus(Duration::from_secs(10)));
    lab.sandbox.with_world(|world| {
        world
            .change_type("Account", "NumberOfEmployees s40", at)
            .unwrap();
        world
            .update(
                "Account",
                &id,
                &[("NumberOfEmployees", Value::text("about a dozen"))],
                at,
            )
            .unwrap();
    });
    let outcome = lab.run().expect(0);
    assert!(
        outcome.stderr.contains("NumberOfEmployees"),
        "no word of the change: {}",
        outcome.stderr
    );
    let rows = lab.table("Account");
    let row = rows
        .iter()
        .find(|row| row["Id"].as_deref() == Some(&id))
        .unwrap();
    assert!(format!("{row:?}").contains("about a dozen"), "{row:?}");

    let strict = self::lab(&["Account"]);
    strict.append_to_pipeline("on_schema_change = \"fail\"\n");
    strict.run().expect(0);
    let at = strict.now().plus(Duration::from_secs(10));
    strict.sandbox.clock().set(at.plus(Duration::from_secs(10)));
    strict.sandbox.with_world(|world| {
        world
            .change_type("Account", "NumberOfEmployees s40", at)
            .unwrap();
        world
            .update(
                "Account",
                &id,
                &[("NumberOfEmployees", Value::text("about a dozen"))],
                at,
            )
            .unwrap();
    });
    strict.run().expect(8);
}

#[test]
fn l13_an_empty_answer_never_replaces_a_table_with_rows() {
    // covers: L13
    let lab = Lab::new(21, &["User"])
        .all_streams("read_mode = \"full_refresh\"\nwrite_mode = \"replace\"");
    lab.run().expect(0);
    let rows = lab.table("User");
    assert!(!rows.is_empty());
    let empty = r#"{"totalSize":0,"done":true,"records":[]}"#;
    lab.sandbox
        .faults()
        .add(Match::path("*/queryAll*"), Fault::json(200, empty));
    let outcome = lab.run().expect(8);
    assert!(
        outcome.stderr.contains("allow_empty_replace"),
        "{}",
        outcome.stderr
    );
    assert_eq!(lab.table("User"), rows);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn l14_a_state_in_the_future_is_refused() {
    // covers: L14
    let lab = lab(&["Account"]);
    lab.run().expect(0);
    let commits = lab.commits("Account");
    lab.sandbox
        .clock()
        .set(Timestamp::parse("2026-02-01T00:00:00Z").unwrap());
    let outcome = lab.run().expect(2);
    assert!(outcome.stderr.contains("future"), "{}", outcome.stderr);
    assert_eq!(lab.commits("Account"), commits);
}

#[test]
fn l14_a_state_of_another_org_is_refused() {
    // covers: L14
    let lab = lab(&["Account"]);
    lab.run().expect(0);
    let commits = lab.commits("Account");
    lab.advance(Duration::from_secs(100_000));
    // The same names, another org: its older rows would be left out, and the others mixed with them.
    lab.sandbox.faults().add(
        Match::path("*/oauth2/token").times(9),
        Fault::Replace {
            find: "/id/00D".to_owned(),
            with: "/id/00DX".to_owned(),
        },
    );
    let outcome = lab.run().expect(2);
    for part in ["another org", "00DX", "--full-refresh"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert_eq!(lab.commits("Account"), commits);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn l16_a_used_up_quota_stops_with_what_is_sealed_and_says_when_to_come_again() {
    // covers: L16
    let lab = lab(&["Account", "Contact", "Task"]);
    lab.sandbox.emulator().behave(|behaviour| {
        behaviour.daily_api_requests = 1_000;
        behaviour.used_by_others = 795;
    });
    let outcome = lab.run();
    assert!(
        matches!(outcome.code, Some(9)),
        "{:?} {}",
        outcome.code,
        outcome.stderr
    );
    assert!(outcome.stderr.contains("80"), "{}", outcome.stderr);
    lab.sandbox
        .emulator()
        .behave(|behaviour| behaviour.used_by_others = 0);
    lab.settle_and_judge();

    let lab = self::lab(&["Account"]).source("max_api_calls = 4");
    let outcome = lab.run().expect(9);
    assert!(
        outcome.stderr.contains("max_api_calls"),
        "{}",
        outcome.stderr
    );
    assert!(lab.calls() <= 5, "{} calls", lab.calls());
}

#[test]
fn every_past_commit_stays_readable() {
    let lab = lab(&["Account"]);
    lab.run().expect(0);
    let first = lab.table("Account");
    lab.advance(DAY * 5);
    lab.settle_and_judge();
    let commits = lab.commits("Account");
    assert!(commits.len() > 1);
    let then = lab.view("Account", View::AsOf(commits[0].parse().unwrap()));
    assert_eq!(then.len(), first.len());
    assert_ne!(lab.table("Account"), first);
}
