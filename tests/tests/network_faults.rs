//! Rows N1 to N21 of the fault matrix, on the real binary: the exit code, that no row is lost or doubled
//! after the next clean run, that the message says what to do, and that no secret is shown.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use overlock_sandbox::{Fault, Match, Random};
use overlock_tests::lab::{Lab, Outcome};

const DATA: &str = "/services/data/*";
const RESULTS: &str = "*/results";
const TOKEN: &str = "/services/oauth2/token";
const DAY: Duration = Duration::from_secs(86_400);

/// One stream by Bulk, in several pages.
fn lab() -> Lab {
    Lab::new(1, &["Account"]).source("max_records = 10").source("rest_below_rows = 0").source(
        "http = { connect_timeout = \"1s\", read_timeout = \"400ms\", total_timeout = \"5s\", \
         bulk_read_timeout = \"400ms\", bulk_total_timeout = \"5s\", backoff_base = \"5ms\", backoff_cap = \"20ms\", \
         rate_limit_wait = \"20ms\", min_bytes_per_s = 2000, min_bytes_period = \"1s\", attempts = 4 }",
    )
}

/// The fault comes once and is survived: exit 0, exact.
#[track_caller]
fn once(path: &str, fault: Fault) {
    let lab = lab();
    let name = format!("{fault:?}");
    lab.sandbox.faults().add(Match::path(path).times(1), fault);
    lab.run().expect(0);
    assert!(
        lab.sandbox.faults().fired() > 0,
        "{name} never happened on {path}"
    );
    lab.settle_and_judge();
}

/// The fault stays: this exit code, head and rows untouched, a message with a way out; then, without the
/// fault, a clean run is exact.
#[track_caller]
fn lasting(path: &str, fault: Fault, code: i32) -> Outcome {
    let lab = lab();
    lab.run().expect(0);
    let (commits, rows) = (lab.commits("Account"), lab.table("Account"));
    lab.advance(DAY);
    lab.sandbox.faults().add(Match::path(path), fault);
    let outcome = lab.run().expect(code);
    assert!(lab.sandbox.faults().fired() > 0, "the fault never happened");
    assert_eq!(
        (lab.commits("Account"), lab.table("Account")),
        (commits, rows),
        "head or rows moved"
    );
    speaks(&lab, &outcome);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
    outcome
}

/// The error names a cause and a way out, and shows no secret.
#[track_caller]
fn speaks(lab: &Lab, outcome: &Outcome) {
    let text = &outcome.stderr;
    assert!(text.contains("error"), "{text}");
    assert!(
        text.contains("hint") || text.contains("Retry") || text.contains("fix"),
        "{text}"
    );
    for secret in lab.sandbox.canaries() {
        assert!(
            !text.contains(&secret) && !outcome.stdout.contains(&secret),
            "a secret in {text}"
        );
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn n1_a_refused_connection_is_unavailable() {
    // covers: N1
    let lab = lab()
        .argument("--set")
        .argument("source.crm.login_url=http://127.0.0.1:9");
    let outcome = lab.run().expect(5);
    speaks(&lab, &outcome);
    assert!(outcome.stderr.contains("127.0.0.1:9"), "{}", outcome.stderr);
}

#[test]
fn n2_a_connection_that_hangs_times_out() {
    // covers: N2
    // A listener whose queue is full drops further connection attempts without a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..6_000 {
        match TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            Ok(stream) => queue.push(stream),
            Err(_) => break,
        }
    }
    let lab = lab()
        .argument("--set")
        .argument(&format!("source.crm.login_url=http://{address}"));
    let outcome = lab.run().expect(5);
    speaks(&lab, &outcome);
    drop(queue);
}

#[test]
fn n3_silence_is_noticed() {
    // covers: N3
    once(RESULTS, Fault::Stall { bytes: None });
    once(RESULTS, Fault::Stall { bytes: Some(500) });
    once(TOKEN, Fault::Stall { bytes: None });
    lasting(RESULTS, Fault::Stall { bytes: Some(500) }, 5);
}

#[test]
fn n4_a_drip_is_given_up() {
    // covers: N4
    once(
        RESULTS,
        Fault::Drip {
            bytes: 1,
            every_ms: 100,
        },
    );
    lasting(
        RESULTS,
        Fault::Drip {
            bytes: 1,
            every_ms: 100,
        },
        5,
    );
}

#[test]
fn n5_a_reset_or_early_close_at_any_byte_repeats_the_page_and_no_row() {
    // covers: N5
    once(RESULTS, Fault::Reset);
    once(RESULTS, Fault::Lost);
    for bytes in [0, 1, 300, 900, 2_000] {
        once(RESULTS, Fault::ResetAt { bytes });
        once(RESULTS, Fault::CutAt { bytes });
    }
    lasting(RESULTS, Fault::CutAt { bytes: 900 }, 5);
    lasting(DATA, Fault::Reset, 5);
}

#[test]
fn n6_a_cut_that_http_cannot_notice_fails_the_count() {
    // covers: N6
    for bytes in [0, 10, 700, 1_500] {
        once(RESULTS, Fault::TruncateAt { bytes });
    }
    lasting(RESULTS, Fault::TruncateAt { bytes: 900 }, 5);
}

#[test]
fn n7_damaged_compression_is_noticed() {
    // covers: N7
    for fault in [
        Fault::GzipCut { missing: 3 },
        Fault::GzipCut { missing: 60 },
        Fault::GzipBadCrc,
        Fault::GzipSecondMember,
        Fault::GzipTrailing,
    ] {
        once(RESULTS, fault.clone());
        once("*/composite", fault);
    }
    lasting(RESULTS, Fault::GzipBadCrc, 5);
    lasting(RESULTS, Fault::GzipBomb { bytes: 200 << 20 }, 5);
}

#[test]
fn n8_too_many_requests_waits_as_told() {
    // covers: N8
    let date = "Mon, 02 Mar 2026 09:00:00 GMT";
    for form in [
        Some("0"),
        Some("1"),
        Some(date),
        None,
        Some("soon"),
        Some("-5"),
    ] {
        once(DATA, Fault::too_many_requests(form));
    }
    lasting(DATA, Fault::too_many_requests(Some("0")), 5);
}

#[test]
fn n9_a_wait_longer_than_the_budget_stops_and_says_when_to_come_again() {
    // covers: N9
    let outcome = lasting(DATA, Fault::too_many_requests(Some("7200")), 9);
    assert!(
        outcome.stderr.contains("7200") || outcome.stderr.contains("2h"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn n10_server_errors_are_retried_and_never_read_as_data() {
    // covers: N10
    for status in [500, 502, 503, 504, 520, 521, 522, 523, 524, 406, 420] {
        once(DATA, Fault::status(status));
    }
    once(RESULTS, Fault::status(503));
    once(TOKEN, Fault::status(503));
    lasting(DATA, Fault::status(502), 5);
    lasting(TOKEN, Fault::status(500), 5);
}

#[test]
fn n11_one_expired_session_costs_one_login() {
    // covers: N11
    let body = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
    for path in [DATA, RESULTS] {
        let lab = lab();
        lab.sandbox
            .faults()
            .add(Match::path(path).times(1), Fault::json(401, body));
        lab.run().expect(0);
        let logins = lab
            .sandbox
            .requests()
            .iter()
            .filter(|r| r.path == TOKEN)
            .count();
        assert_eq!(logins, 2, "the first login and one more");
        lab.settle_and_judge();
    }
}

#[test]
fn n12_a_session_refused_again_is_not_asked_a_third_time() {
    // covers: N12
    let body = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
    let lab = lab();
    lab.sandbox
        .faults()
        .add(Match::path(DATA), Fault::json(401, body));
    let outcome = lab.run().expect(3);
    speaks(&lab, &outcome);
    let logins = lab
        .sandbox
        .requests()
        .iter()
        .filter(|r| r.path == TOKEN)
        .count();
    assert!(logins <= 2, "{logins} logins lock accounts");
}

const FORBIDDEN: &str = r#"[{"message":"insufficient access rights on cross-reference id","errorCode":"INSUFFICIENT_ACCESS"}]"#;

/// Faults whatever asks for one object: the query of a job, and its description where `describe` says so.
fn fault_object(lab: &Lab, object: &str, fault: &Fault) {
    lab.sandbox.faults().add(
        Match {
            body: Some(format!("*FROM {object}*")),
            ..Match::default()
        },
        fault.clone(),
    );
    lab.sandbox.faults().add(
        Match {
            query: Some(format!("*FROM {object}*")),
            ..Match::default()
        },
        fault.clone(),
    );
}

#[test]
fn n13_one_forbidden_stream_does_not_stop_the_others() {
    // covers: N13
    let lab = Lab::new(1, &["Account", "Contact"]).source("rest_below_rows = 0");
    fault_object(&lab, "Contact", &Fault::json(403, FORBIDDEN));
    let outcome = lab.run().expect(4);
    assert!(
        outcome.stderr.contains("Contact") && outcome.stderr.contains("insufficient access"),
        "{}",
        outcome.stderr
    );
    assert!(lab.findings("Account").is_empty());
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn n14_everything_forbidden_is_a_refusal() {
    // covers: N14
    let outcome = lasting(DATA, Fault::json(403, FORBIDDEN), 3);
    assert!(
        outcome.stderr.contains("insufficient access rights"),
        "{}",
        outcome.stderr
    );
    let lines = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("insufficient"))
        .count();
    assert!(lines <= 8, "{}", outcome.stderr);
}

#[test]
fn n15_a_stream_that_vanished_fails_alone() {
    // covers: N15
    let lab = Lab::new(1, &["Account", "Contact"]).source("rest_below_rows = 0");
    let gone =
        r#"[{"message":"sObject type 'Contact' is not supported.","errorCode":"INVALID_TYPE"}]"#;
    fault_object(&lab, "Contact", &Fault::json(400, gone));
    lab.run().expect(4);
    assert!(lab.findings("Account").is_empty());
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn n16_a_login_page_is_never_no_rows() {
    // covers: N16
    for fault in [
        Fault::login_page(),
        Fault::json(200, ""),
        Fault::json(200, r#"{"success":false}"#),
        Fault::json(200, "null"),
    ] {
        lasting("*/jobs/query*", fault, 5);
    }
    lasting(RESULTS, Fault::login_page(), 5);
    lasting(TOKEN, Fault::login_page(), 5);
}

#[test]
fn n17_redirects_are_not_followed() {
    // covers: N17
    for (status, location) in [
        (302, "https://evil.example/steal"),
        (301, "http://127.0.0.1:9/elsewhere"),
        (307, "/services/data/v62.0/loop"),
        (308, "https://login.salesforce.com/?ec=302"),
    ] {
        let outcome = lasting(DATA, Fault::redirect(status, location), 5);
        assert!(
            !outcome.stderr.contains("?ec=302"),
            "a query in {}",
            outcome.stderr
        );
    }
}

#[test]
fn n18_links_to_other_origins_are_refused() {
    // covers: N18
    for evil in [
        "https://evil.example",
        "http://127.0.0.1:9",
        "//evil.example",
        "http://user@evil.example",
    ] {
        let swap = |from: &str, to: String| Fault::Replace {
            find: from.to_owned(),
            with: to,
        };
        lasting(
            "*/resultPages",
            swap("\"resultUrl\":\"/", format!("\"resultUrl\":\"{evil}/")),
            5,
        );
    }
    let lab = lab();
    let base = lab.sandbox.base_url();
    lab.sandbox.faults().add(
        Match::path(TOKEN),
        Fault::Replace {
            find: format!("\"instance_url\":\"{base}"),
            with: "\"instance_url\":\"https://evil.example".to_owned(),
        },
    );
    let outcome = lab.run();
    assert!(
        matches!(outcome.code, Some(2 | 3 | 5)),
        "{:?} {}",
        outcome.code,
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("evil.example"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn n19_a_cursor_that_does_not_move_is_an_error() {
    // covers: N19
    let lab = Lab::new(1, &["Account"])
        .source("max_records = 10")
        .source("rest_below_rows = 0");
    lab.sandbox
        .emulator()
        .behave(|behaviour| behaviour.result_pages = false);
    lab.sandbox.faults().add(
        Match::path(RESULTS),
        Fault::SetHeader {
            name: "Sforce-Locator".to_owned(),
            value: "MTA".to_owned(),
        },
    );
    let outcome = lab.run().expect(5);
    speaks(&lab, &outcome);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn n20_a_page_served_twice_doubles_nothing() {
    // covers: N20
    let lab = lab();
    lab.sandbox
        .emulator()
        .behave(|behaviour| behaviour.result_pages = false);
    lab.sandbox
        .faults()
        .add(Match::path(RESULTS).nth(2), Fault::Repeat);
    let outcome = lab.run();
    assert!(
        matches!(outcome.code, Some(0 | 5)),
        "{:?} {}",
        outcome.code,
        outcome.stderr
    );
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn n21_a_wrong_or_missing_server_clock_skips_nothing() {
    // covers: N21
    for fault in [
        Fault::RemoveHeader {
            name: "date".to_owned(),
        },
        Fault::SetHeader {
            name: "date".to_owned(),
            value: "yesterday".to_owned(),
        },
        Fault::SetHeader {
            name: "date".to_owned(),
            value: "Fri, 31 Dec 9999 23:59:59 GMT".to_owned(),
        },
        Fault::SetHeader {
            name: "date".to_owned(),
            value: "Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
        },
    ] {
        let lab = lab();
        lab.sandbox.faults().add(Match::path("*"), fault.clone());
        let outcome = lab.run().expect(0);
        assert!(
            outcome.stderr.to_lowercase().contains("clock"),
            "{fault:?}: {}",
            outcome.stderr
        );
    }
    let lab = lab();
    lab.sandbox
        .faults()
        .add(Match::path("*"), Fault::SkewDate { seconds: -3_600 });
    lab.run().expect(0);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn a_quarter_of_all_requests_faulty_is_exact_on_ten_seeds() {
    let (mut fired, mut requests) = (0, 0);
    for seed in 0..10 {
        let lab = Lab::new(seed, &["Account", "Opportunity", "Task"])
            .source("max_records = 60")
            .source("rest_below_rows = 5")
            .source(
                "http = { connect_timeout = \"1s\", read_timeout = \"400ms\", total_timeout = \"5s\", bulk_read_timeout = \"400ms\", \
                 bulk_total_timeout = \"5s\", backoff_base = \"1ms\", backoff_cap = \"5ms\", rate_limit_wait = \"5ms\", \
                 attempts = 12, retries = 2000 }",
            );
        lab.sandbox
            .emulator()
            .behave(|behaviour| behaviour.bulk_page_rows = 4);
        let mut random = Random::new(seed, 0.25);
        random.faults = Fault::transient();
        random.faults.extend([
            Fault::TruncateAt { bytes: 400 },
            Fault::Stall { bytes: Some(100) },
            Fault::GzipTrailing,
            Fault::GzipSecondMember,
        ]);
        lab.sandbox.faults().set_random(Some(random));
        for _ in 0..3 {
            let outcome = lab.run();
            assert!(
                matches!(outcome.code, Some(0 | 4 | 5)),
                "{:?}: {}",
                outcome.code,
                outcome.stderr
            );
            lab.advance(Duration::from_secs(20_000));
        }
        fired += lab.sandbox.faults().fired();
        requests += lab.calls();
        lab.sandbox.faults().set_random(None);
        lab.settle_and_judge();
    }
    println!("{fired} of {requests} requests were faulty");
    assert!(
        fired * 5 > requests,
        "only {fired} faults in {requests} requests"
    );
}
