//! The real binary against an emulated Zendesk account: kills, faults, refused logins, plans, and the oracle.

use std::time::{Duration, Instant};

use overlock_sandbox::{Fault, Match, Random};
use overlock_tests::desk::Desk;
use overlock_tests::lab::{kill, signal};
use overlock_zendesk::emulator::Login;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

/// One stream of each way of reading.
const STREAMS: [&str; 8] = [
    "tickets",
    "ticket_metrics",
    "ticket_comments",
    "users",
    "organizations",
    "group_memberships",
    "ticket_metric_events",
    "satisfaction_ratings",
];

/// Kills in the normal test run.
const KILLS: u64 = 100;

#[test]
fn a_hundred_kills_at_random_moments_lose_and_double_nothing() {
    // covers: R1, R5
    let desk = Desk::new(301, &STREAMS)
        .source("page_size = 11")
        .source("comments_mode = \"per_ticket\"")
        .run_setting("file_every = \"1ms\"")
        .run_setting("seal_rows = 40");
    let mut random = StdRng::seed_from_u64(301);
    let begun = Instant::now();
    desk.run().expect(0);
    let mut typical = begun.elapsed();
    let (mut killed, mut ended) = (0, 0);
    while killed < KILLS {
        if random.random_bool(0.4) {
            desk.advance(Duration::from_secs(random.random_range(60..200_000)));
        }
        let before = Instant::now();
        let mut child = desk.start();
        std::thread::sleep(typical.mul_f64(random.random_range(0.0..1.1)));
        if random.random_bool(0.1) {
            signal(child.id(), Signal::STOP);
            std::thread::sleep(Duration::from_millis(20));
            signal(child.id(), Signal::CONT);
        }
        kill(child.id());
        if child.wait().unwrap().code().is_some() {
            ended += 1;
            typical = typical.mul_f64(0.5) + before.elapsed().mul_f64(0.5);
        } else {
            killed += 1;
        }
        if killed % 10 == 9 {
            desk.settle_and_judge();
        }
        assert!(
            ended < 20 * KILLS,
            "the binary ends before it can be killed"
        );
    }
    desk.settle_and_judge();
    // A run with nothing new changes nothing that a reader sees.
    desk.run().expect(0);
    desk.judge();
    println!("{killed} kills, {ended} runs ended first");
}

#[test]
fn with_a_quarter_of_all_answers_faulty_ten_accounts_come_out_whole() {
    let (mut fired, mut requests) = (0, 0);
    for seed in 0..10 {
        let desk = Desk::new(seed, &STREAMS)
            .source("page_size = 15")
            .source(if seed % 2 == 0 {
                "comments_mode = \"per_ticket\""
            } else {
                "comments_mode = \"auto\""
            })
            .source(
                "http = { connect_timeout = \"1s\", read_timeout = \"400ms\", total_timeout = \"5s\", backoff_base = \"1ms\", \
                 backoff_cap = \"5ms\", rate_limit_wait = \"5ms\", attempts = 12, retries = 2000 }",
            );
        let mut random = Random::new(seed, 0.25);
        random.faults = Fault::transient();
        random.faults.extend([
            Fault::TruncateAt { bytes: 400 },
            Fault::Stall { bytes: Some(100) },
            Fault::GzipTrailing,
            Fault::GzipSecondMember,
            Fault::json(504, "upstream request timeout"),
            Fault::json(200, r#"{"tickets":[{"id":1"#),
        ]);
        desk.sandbox.faults().set_random(Some(random));
        for _ in 0..3 {
            let outcome = desk.run();
            assert!(
                matches!(outcome.code, Some(0 | 4 | 5)),
                "{:?}: {}",
                outcome.code,
                outcome.stderr
            );
            desk.advance(Duration::from_secs(20_000));
        }
        fired += desk.sandbox.faults().fired();
        requests += desk.sandbox.server().request_count();
        desk.sandbox.faults().set_random(None);
        if seed % 2 == 0 {
            desk.settle_and_judge();
        } else {
            desk.sandbox.clock().advance(Duration::from_secs(120));
            desk.run().expect(0);
            // Read from events, comments show what was written, and not what stands there now.
            for stream in STREAMS.iter().filter(|name| **name != "ticket_comments") {
                assert_eq!(desk.findings(stream), Vec::<String>::new(), "{stream}");
            }
            let lost: Vec<String> = desk
                .findings("ticket_comments")
                .into_iter()
                .filter(|finding| finding.starts_with("lost"))
                .collect();
            assert_eq!(lost, Vec::<String>::new());
        }
    }
    println!("{fired} of {requests} requests were faulty");
    assert!(
        fired * 5 > requests,
        "only {fired} faults in {requests} requests"
    );
}

#[test]
fn one_pass_over_the_export_feeds_tickets_metrics_audits_and_comments() {
    let desk = Desk::new(
        5,
        &[
            "tickets",
            "ticket_metrics",
            "ticket_audits",
            "ticket_comments",
            "side_conversations",
            "users",
            "user_identities",
        ],
    )
    .source("page_size = 10")
    .source("comments_mode = \"per_ticket\"");
    desk.run().expect(0);
    desk.settle_and_judge();
    let exports = desk.count("incremental/tickets/cursor");
    let tickets = desk.table("tickets").len();
    // Two runs: the pages of the first one, and one look for news.
    assert!(
        exports <= tickets.div_ceil(10) + 2,
        "{exports} calls for {tickets} tickets"
    );
    assert_eq!(desk.count("/metrics"), 0);
    let users = desk.table("users").len();
    assert!(desk.count("incremental/users/cursor") <= users.div_ceil(10) + 2);
}

#[test]
fn what_the_plan_lacks_is_skipped_and_what_it_lost_fails() {
    let streams = [
        "groups",
        "audit_logs",
        "calls",
        "articles",
        "side_conversations",
    ];
    let desk = Desk::new(6, &streams);
    desk.sandbox.emulator().behave(|behaviour| {
        behaviour.plan_lacks = vec!["audit_logs".to_owned(), "side_conversations".to_owned()];
        behaviour.not_enabled = [
            "calls",
            "call_legs",
            "talk_phone_numbers",
            "articles",
            "sections",
            "categories",
        ]
        .map(ToOwned::to_owned)
        .to_vec();
    });
    let outcome = desk
        .overlock(&["run", "support", "--json"])
        .expect(0)
        .json();
    let status = |outcome: &serde_json::Value, name: &str| {
        let streams = outcome["streams"].as_array().unwrap();
        let found = streams.iter().find(|stream| stream["stream"] == name);
        found.unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&outcome, "groups"), "ok");
    for name in &streams[1..] {
        assert_eq!(status(&outcome, name), "skipped", "{name}");
    }
    let words = desk.run().expect(0).stderr;
    assert!(words.contains("not in this plan"), "{words}");
    // Bought, read, and given back: a stream that stands still must not look well.
    desk.sandbox.emulator().behave(|behaviour| {
        behaviour.plan_lacks.clear();
        behaviour.not_enabled.clear();
    });
    desk.run().expect(0);
    desk.sandbox.emulator().behave(|behaviour| {
        behaviour.plan_lacks = vec!["audit_logs".to_owned()];
    });
    let outcome = desk.run().expect(4);
    assert!(
        outcome.stderr.contains("audit_logs") && outcome.stderr.contains("not in this plan"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_rotated_token_survives_a_kill_at_every_step_but_the_one_that_cannot() {
    for (point, code) in [
        ("T1.before_token_file", 3),
        ("T2.token_written", 3),
        ("T3.after_token_rename", 0),
    ] {
        let desk = Desk::new(8, &["groups"]).login(Login::RefreshToken);
        assert_eq!(desk.run_armed(point).code, None, "{point} was not hit");
        let outcome = desk.run().expect(code);
        if code == 3 {
            // The answer died with the process that had asked: only a person can help.
            assert!(
                outcome.stderr.contains("authorise")
                    && outcome.stderr.contains("auth.refresh_token"),
                "{}",
                outcome.stderr
            );
        } else {
            desk.judge();
        }
    }
}

#[test]
fn two_runs_at_once_share_one_rotating_token() {
    let desk = Desk::new(9, &["groups", "brands"]).login(Login::RefreshToken);
    let first = desk.command(&["sync", "help", "--stream", "groups"]);
    let second = desk.command(&["sync", "help", "--stream", "brands"]);
    let runs =
        [first, second].map(|command| std::thread::spawn(|| overlock_tests::lab::finish(command)));
    for run in runs {
        let outcome = run.join().unwrap();
        // One of them may be told that the project is busy; none may have spent the other's token.
        assert!(
            matches!(outcome.code, Some(0 | 7)),
            "{:?} {}",
            outcome.code,
            outcome.stderr
        );
    }
    desk.run().expect(0);
}

#[test]
fn refused_logins_say_what_to_do_and_are_not_repeated() {
    let check = |login: Login, act: &dyn Fn(&Desk), words: &[&str]| {
        let desk = Desk::new(10, &["groups", "tickets", "users"]).login(login);
        act(&desk);
        let outcome = desk.run().expect(3);
        for word in words {
            assert!(
                outcome.stderr.contains(word),
                "{login:?}: no `{word}` in\n{}",
                outcome.stderr
            );
        }
        desk
    };
    let unauthorised = |desk: &Desk| {
        desk.sandbox.faults().add(
            Match::path("*"),
            Fault::json(401, r#"{"error":"Couldn't authenticate you"}"#),
        );
    };
    let desk = check(
        Login::ApiToken,
        &unauthorised,
        &["30 days", "2027-04-30", "client_credentials"],
    );
    assert!(desk.sandbox.server().request_count() <= 4);
    check(Login::Bearer, &unauthorised, &["expired or revoked"]);
    check(
        Login::ClientCredentials,
        &unauthorised,
        &["auth.client_secret"],
    );
    check(
        Login::ClientCredentials,
        &|desk| {
            desk.sandbox.emulator().behave(|behaviour| {
                behaviour.echoed_scope = Some("tickets:read".to_owned());
            });
        },
        &["scope", "tickets:read"],
    );
    let agent = |desk: &Desk| {
        desk.sandbox
            .emulator()
            .behave(|behaviour| behaviour.is_agent = true);
    };
    let desk = Desk::new(11, &["tickets"]);
    agent(&desk);
    let outcome = desk.overlock(&["check"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("administrator"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_api_token_works_and_its_end_is_announced() {
    let desk = Desk::new(12, &["groups"]).login(Login::ApiToken);
    let outcome = desk.run().expect(0);
    assert!(outcome.stderr.contains("2027-04-30"), "{}", outcome.stderr);
    desk.judge();
}

#[test]
fn an_account_that_is_not_the_states_is_refused() {
    let desk = Desk::new(13, &["groups", "tickets"]);
    desk.run().expect(0);
    let project = desk.project.path().join("overlock.toml");
    let text = std::fs::read_to_string(&project).unwrap();
    // The same server under another name is another account.
    overlock_tests::lab::write(&project, &text.replace("127.0.0.1", "localhost"));
    let outcome = desk.run().expect(2);
    assert!(
        outcome.stderr.contains("127.0.0.1") && outcome.stderr.contains("localhost"),
        "{}",
        outcome.stderr
    );
}
