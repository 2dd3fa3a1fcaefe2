//! The real binary against an emulated Zuora tenant: days of changes, kills, faults, late commits, refusals, and the
//! oracle.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use overlock_core::Timestamp;
use overlock_sandbox::{Fault, Random};
use overlock_tests::lab::{Outcome, kill, signal, write};
use overlock_tests::tenant::Tenant;
use overlock_zuora::emulator::{Login, Value};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;
use serde_json::Value as Json;

const HOUR: Duration = Duration::from_secs(3_600);

/// Streams of each kind: with deletions and without, with columns that change in silence, without any stamp.
const STREAMS: [&str; 10] = [
    "Account",
    "Subscription",
    "RatePlanCharge",
    "Invoice",
    "InvoiceItem",
    "Payment",
    "Usage",
    "AccountingCode",
    "PaymentTransactionLog",
    "EmailHistory",
];

/// Kills in the normal test run.
const KILLS: usize = 100;

/// Streams of the pipeline that is shipped.
fn shipped() -> Vec<String> {
    let path = overlock_tests::house::root().join("pipelines/billing.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("[streams.")?.strip_suffix(']'));
    names.map(ToOwned::to_owned).collect()
}

#[track_caller]
fn follow_for_days(tenant: &Tenant) {
    tenant.settle_and_judge();
    for hours in [5, 24, 30] {
        tenant.advance(hours * HOUR);
        tenant.settle_and_judge();
    }
    let now = tenant.now();
    let balances = tenant.sandbox.with_world(|world| world.balances(now));
    assert_eq!(balances, Ok(()), "the world that was judged by is no good");
}

#[test]
fn the_shipped_pipeline_shows_the_tenant_over_days() {
    let shipped = shipped();
    let names: Vec<&str> = shipped.iter().map(String::as_str).collect();
    assert!(names.contains(&"InvoiceItem"), "{names:?}");
    let tenant = Tenant::new(701, &names).compares_always();
    follow_for_days(&tenant);
}

#[test]
fn every_object_of_a_tenant_is_shown_over_days() {
    let tenant = Tenant::whole(Tenant::options(702)).compares_always();
    assert!(tenant.streams().len() >= 39, "{:?}", tenant.streams());
    follow_for_days(&tenant);
    let jobs = tenant.sandbox.emulator().jobs();
    let widest = jobs.iter().map(|job| job.queries.len()).max();
    assert_eq!(widest, Some(tenant.streams().len()), "all in one job");
}

#[test]
fn hostile_values_arrive_as_they_are() {
    let mut options = Tenant::options(703);
    options.world.nasty = true;
    options.behaviour.nul_bytes = true;
    options.behaviour.bom = true;
    let tenant = Tenant::whole(options).compares_always();
    tenant.settle_and_judge();
    tenant.advance(24 * HOUR);
    tenant.settle_and_judge();
}

#[test]
fn an_idle_run_commits_nothing_and_costs_a_handful_of_calls() {
    // What has no stamp is read as a whole by every run.
    let streams: Vec<&str> = STREAMS
        .into_iter()
        .filter(|name| *name != "EmailHistory")
        .collect();
    let tenant = Tenant::new(704, &streams);
    tenant.settle();
    tenant.run().expect(0);
    let (commits, calls) = (tenant.commit_counts(), tenant.all_calls());
    tenant.run().expect(0);
    assert_eq!(tenant.commit_counts(), commits);
    // A login tells the time, and that nothing can be new.
    assert_eq!(tenant.all_calls() - calls, 1);
    tenant.settle();
    let calls = tenant.all_calls();
    tenant.run().expect(0);
    // A login, one job, one look at it, and a file for each object.
    assert_eq!(tenant.all_calls() - calls, 3 + streams.len() as u64);
    tenant.judge();
}

/// How often each window was asked for. Queries of whole objects belong to no window.
fn submissions(tenant: &Tenant) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for job in tenant.sandbox.emulator().jobs() {
        for (_, query) in job.queries {
            if query.contains("Date < ") {
                *counts.entry(query).or_default() += 1;
            }
        }
    }
    counts
}

/// Windows that a job of an earlier run is known to cover, because the binary wrote it down, and when it was made.
fn written_down(tenant: &Tenant) -> Vec<(String, Timestamp)> {
    let files = overlock_tests::house::files(&tenant.path().join(".overlock"), "json");
    let file = files.iter().find(|path| path.ends_with("jobs.json"));
    let Some(text) = file.and_then(|path| std::fs::read_to_string(path).ok()) else {
        return Vec::new();
    };
    let kept: Vec<Json> = serde_json::from_str(&text).unwrap();
    let is_kept = |id: &str, name: &str| {
        let job = kept.iter().find(|job| job["id"] == id);
        let queries = job.and_then(|job| job["queries"].as_array());
        queries.is_some_and(|queries| queries.iter().any(|query| query["name"] == name))
    };
    let jobs = tenant.sandbox.emulator().jobs();
    let queries = jobs.iter().flat_map(|job| {
        let kept = job
            .queries
            .iter()
            .filter(|(name, _)| is_kept(&job.id, name));
        kept.map(|(_, query)| (query.clone(), job.submitted))
    });
    queries.collect()
}

#[test]
fn a_hundred_kills_at_random_moments_lose_and_double_nothing() {
    // covers: R1, R5
    let mut options = Tenant::options(705);
    // A run waits for its job for about as long as it reads, and each query has several files.
    options.behaviour.job_polls = 5;
    options.behaviour.segments_of_rows = Some(4);
    let tenant = Tenant::with_options(options, &STREAMS)
        .compares_always()
        .run_setting("file_every = \"1ms\"")
        .run_setting("seal_rows = 10");
    let mut random = StdRng::seed_from_u64(705);
    let begun = Instant::now();
    tenant.settle();
    tenant.run().expect(0);
    let mut typical = begun.elapsed();
    let (mut killed, mut ended, mut kept) = (0, 0, 0);
    // Windows whose job was written down, how often they had been asked for by then, and when the last time.
    let mut promised: BTreeMap<String, (usize, Timestamp)> = BTreeMap::new();
    while killed < KILLS {
        if random.random_bool(0.4) {
            tenant.advance(Duration::from_secs(random.random_range(60..100_000)));
        }
        let before = Instant::now();
        let mut child = tenant.start();
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
            let counts = submissions(&tenant);
            for (query, (count, made)) in std::mem::take(&mut promised) {
                let files_are_kept = tenant.now().since(made) < 70 * HOUR;
                if files_are_kept {
                    assert_eq!(counts[&query], count, "asked for again: {query}");
                }
            }
            let windows = written_down(&tenant).into_iter();
            promised = windows
                .filter_map(|(query, made)| {
                    let count = *counts.get(&query)?;
                    Some((query, (count, made)))
                })
                .collect();
            kept += usize::from(!promised.is_empty());
            if killed % 10 == 9 {
                tenant.settle_and_judge();
            }
        }
        assert!(
            ended < 20 * KILLS,
            "the binary ends before it can be killed"
        );
    }
    tenant.settle_and_judge();
    // A run with nothing new changes nothing that a reader sees.
    tenant.run().expect(0);
    tenant.judge();
    let submissions = submissions(&tenant);
    let windows = submissions.len();
    let repeated: usize = submissions.values().map(|count| count - 1).sum();
    println!(
        "{killed} kills, {ended} runs ended first, {kept} left a job behind; {windows} windows, {repeated} of them \
         asked for again"
    );
    // Made again are the jobs whose answer was still on its way to a process that was killed.
    assert!(
        repeated <= killed * STREAMS.len() / 4,
        "{repeated} windows were asked for again after {killed} kills"
    );
    assert!(kept > killed / 4, "only {kept} kills left a job behind");
}

#[test]
fn a_job_that_is_done_at_zuora_is_not_made_again_after_a_kill() {
    for point in ["S2.after_job_complete", "S3.after_page", "S5.after_ids"] {
        let mut options = Tenant::options(706);
        options.behaviour.segments_of_rows = Some(25);
        let tenant = Tenant::with_options(options, &STREAMS);
        tenant.settle();
        assert_eq!(tenant.run_armed(point).code, None, "{point} was not hit");
        let jobs = tenant.sandbox.emulator().jobs().len();
        tenant.run().expect(0);
        // Only what has no windows is asked for again.
        let jobs = tenant.sandbox.emulator().jobs().split_off(jobs);
        let again = jobs.iter().flat_map(|job| &job.queries);
        let again: Vec<&(String, String)> = again
            .filter(|(name, _)| !name.ends_with("EmailHistory"))
            .collect();
        assert!(again.is_empty(), "{point}: {again:?}");
        tenant.judge();
    }
}

#[test]
fn a_job_whose_answer_died_with_the_process_is_made_once_more() {
    let tenant = Tenant::new(707, &["Account", "Invoice"]);
    tenant.settle();
    let outcome = tenant.run_armed("S1.after_job_created");
    assert_eq!(outcome.code, None, "the point was not hit");
    tenant.run().expect(0);
    assert!(tenant.sandbox.emulator().jobs().len() <= 2);
    tenant.judge();
}

#[test]
fn with_a_quarter_of_all_answers_faulty_ten_tenants_come_out_whole() {
    let (mut fired, mut requests) = (0, 0);
    for seed in 0..10 {
        let mut options = Tenant::options(seed);
        options.behaviour.segments_of_rows = (seed % 2 == 0).then_some(40);
        let tenant = Tenant::with_options(options, &STREAMS)
            .compares_always()
            .source(["format = \"csv\"", "format = \"gzip\"", "format = \"zip\""][usize::try_from(seed).unwrap() % 3])
            .source(
                "http = { connect_timeout = \"1s\", read_timeout = \"400ms\", total_timeout = \"5s\", bulk_read_timeout = \"400ms\", \
                 bulk_total_timeout = \"5s\", backoff_base = \"1ms\", \
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
            Fault::json(200, r#"{"id":"8ad08f06909293cd"#),
            Fault::json(200, r#"{"success":false,"reasons":[{"code":53100050,"message":"Failed to get a lock"}]}"#),
            Fault::json(200, r#"{"success":false,"reasons":[{"code":"90000061","message":"temporary error"}]}"#),
        ]);
        tenant.sandbox.faults().set_random(Some(random));
        for _ in 0..3 {
            let outcome = tenant.run();
            assert!(
                matches!(outcome.code, Some(0 | 4 | 5)),
                "seed {seed}, {:?}: {}",
                outcome.code,
                outcome.stderr
            );
            tenant.advance(Duration::from_secs(20_000));
        }
        fired += tenant.sandbox.faults().fired();
        requests += tenant.sandbox.server().request_count();
        tenant.sandbox.faults().set_random(None);
        tenant.settle_and_judge();
    }
    println!("{fired} of {requests} requests were faulty");
    assert!(
        fired * 5 > requests,
        "only {fired} faults in {requests} requests"
    );
}

/// Changes a row of each stream now, in transactions that commit two hours later; new rows appear like that, too.
fn commit_late(tenant: &Tenant, random: &mut StdRng) {
    let now = tenant.now();
    let late = now.plus(2 * HOUR);
    tenant.sandbox.with_world(|world| {
        for stream in STREAMS {
            let Some(key) = world
                .object(stream)
                .and_then(|object| object.change.field())
            else {
                continue;
            };
            let ids: Vec<String> = world.ids(stream, now).into_iter().collect();
            let id = &ids[random.random_range(0..ids.len())];
            world.update(stream, id, &[], Some(now), late);
            let mut twin = world.row(stream, id, now).unwrap().clone();
            twin.id = format!("{:032x}", random.random::<u128>());
            let id = Value::Text(twin.id.clone());
            twin.values.insert("Id".to_owned(), id);
            twin.values.insert(key.to_owned(), Value::Time(now));
            world.put(stream, twin, late);
        }
    });
}

#[test]
fn commits_two_hours_late_are_exact_over_thirty_rounds() {
    // The second reads up to ten minutes ago, and the last two hours again.
    for settle in ["2h", "10m"] {
        let tenant = Tenant::new(708, &STREAMS)
            .compares_always()
            .source(&format!("settle = \"{settle}\""));
        let mut random = StdRng::seed_from_u64(708);
        let mut last = tenant.now();
        for round in 0..30 {
            commit_late(&tenant, &mut random);
            tenant.advance(Duration::from_secs(random.random_range(60..12_000)));
            tenant.run().expect(0);
            assert!(tenant.now() > last, "round {round}");
            last = tenant.now();
        }
        tenant.settle_and_judge();
    }
}

fn end(child: Child) -> Outcome {
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: begun.elapsed(),
    }
}

#[test]
fn a_stop_signal_cancels_the_job_and_the_next_run_completes() {
    // covers: R2
    let mut options = Tenant::options(709);
    options.behaviour.job_polls = u64::MAX;
    let tenant = Tenant::with_options(options, &STREAMS);
    tenant.settle();
    let child = tenant.start();
    let begun = Instant::now();
    let status = || {
        let jobs = tenant.sandbox.emulator().jobs();
        jobs.last().map(|job| (job.polls, job.status.clone()))
    };
    while status().is_none_or(|(polls, _)| polls == 0) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "no job was waited for"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(child.id(), Signal::TERM);
    let outcome = end(child).expect(143);
    assert!(outcome.took < Duration::from_secs(12), "{:?}", outcome.took);
    let jobs = tenant.sandbox.emulator().jobs();
    let statuses: Vec<&str> = jobs.iter().map(|job| job.status.as_str()).collect();
    assert_eq!(statuses, ["cancelled"]);
    tenant
        .sandbox
        .emulator()
        .behave(|behaviour| behaviour.job_polls = 1);
    tenant.run().expect(0);
    tenant.judge();
}

#[track_caller]
fn says(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "no `{word}` in\n{}",
            outcome.stderr
        );
    }
    for secret in ["wrong-secret", "canary-zuora-secret"] {
        assert!(!outcome.stderr.contains(secret), "{}", outcome.stderr);
    }
}

#[test]
fn a_refused_login_says_what_to_do_and_is_tried_once() {
    let mut tenant = Tenant::new(710, &STREAMS);
    tenant
        .project
        .add_variable("TENANT_CLIENT_SECRET", "wrong-secret-71");
    let outcome = tenant.run().expect(3);
    says(
        &outcome,
        &[
            "log in to Zuora",
            "401",
            "client id and secret",
            "data centre",
        ],
    );
    assert_eq!(tenant.all_calls(), 1, "{:?}", tenant.sandbox.requests());
    let outcome = tenant.overlock(&["check"]).expect(3);
    says(&outcome, &["client id and secret"]);

    let mut tenant = Tenant::new(711, &STREAMS).login(Login::Keys);
    tenant.settle_and_judge();
    tenant
        .project
        .add_variable("TENANT_PASSWORD", "wrong-secret-72");
    let calls = tenant.all_calls();
    let outcome = tenant.run().expect(3);
    says(&outcome, &["401", "credentials"]);
    let calls = tenant.all_calls() - calls;
    println!("{calls} calls with a password that is wrong");
    assert!(calls <= 4, "{calls} calls with a password that is wrong");
}

#[test]
fn an_entity_that_is_not_the_tenants_is_refused_in_a_sentence() {
    let strange = "entities = [\"2c92c0f9-5f4a-4e1d-8b6c-0a1b2c3d4e5f\"]";
    for count in [0, 2] {
        let tenant = Tenant::new(712, &["Account", "Invoice"]).source(strange);
        if count > 0 {
            tenant
                .sandbox
                .with_world(|world| world.split_entities(count));
        }
        let outcome = tenant.run();
        assert!(
            matches!(outcome.code, Some(2..=4)),
            "{:?} {}",
            outcome.code,
            outcome.stderr
        );
        says(&outcome, &["entity"]);
        assert!(tenant.commit_counts().iter().all(|count| *count == 0));
    }
}

#[test]
fn an_object_without_permission_fails_alone() {
    let tenant = Tenant::new(713, &["Account", "Invoice", "Payment"]);
    tenant.sandbox.with_world(|world| {
        world.change_object("Invoice", |object| object.forbidden = true);
    });
    tenant.settle();
    let outcome = tenant.run().expect(4);
    says(&outcome, &["Invoice", "90018", "permission"]);
    for stream in ["Account", "Payment"] {
        assert_eq!(tenant.findings(stream), Vec::<String>::new(), "{stream}");
    }
    assert_eq!(tenant.commits("Invoice"), Vec::<String>::new());
    // Once it is given, everything of it is read.
    tenant.sandbox.with_world(|world| {
        world.change_object("Invoice", |object| object.forbidden = false);
    });
    tenant.advance(48 * HOUR);
    tenant.settle_and_judge();
}

#[test]
fn an_unknown_data_centre_is_refused_before_any_call() {
    let tenant = Tenant::new(714, &["Account"]);
    let path = tenant.path().join("overlock.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let base = format!("base_url = \"{}\"", tenant.sandbox.base_url());
    write(&path, &text.replace(&base, "data_center = \"mars\""));
    let outcome = tenant.run().expect(2);
    says(&outcome, &["data_center", "eu-sandbox", "apac"]);
    assert_eq!(tenant.all_calls(), 0);
}

#[test]
fn a_check_asks_for_one_account_and_makes_no_job() {
    let tenant = Tenant::new(715, &STREAMS);
    tenant.overlock(&["check"]).expect(0);
    let calls = tenant.sandbox.emulator().calls_by_kind();
    assert_eq!(calls.get("object_query"), Some(&1), "{calls:?}");
    assert_eq!(calls.get("token"), Some(&1), "{calls:?}");
    // The streams of the pipelines are looked for, too.
    assert_eq!(tenant.all_calls(), 2 + STREAMS.len() as u64, "{calls:?}");
    assert!(tenant.sandbox.emulator().jobs().is_empty());
}

#[test]
fn discover_shows_streams_with_their_notes_and_makes_no_job() {
    let tenant = Tenant::new(716, &["Account"]);
    let found = tenant
        .overlock(&["discover", "billing", "--json"])
        .expect(0)
        .json();
    let streams = found.as_array().unwrap();
    let notes = |name: &str| {
        let found = streams.iter().find(|stream| stream["stream"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {streams:?}"));
        found["notes"].as_str().unwrap().to_owned()
    };
    assert!(
        notes("Account").contains("1 field cannot be exported"),
        "{}",
        notes("Account")
    );
    assert!(
        notes("Product").contains("Footprint__c"),
        "{}",
        notes("Product")
    );
    assert!(notes("EmailHistory").contains("each run reads all of it"));
    assert!(
        notes("AccountingCode").contains("comparison"),
        "{}",
        notes("AccountingCode")
    );
    // Its rows cannot be told apart.
    assert!(
        streams
            .iter()
            .all(|stream| stream["stream"] != "BillingPreviewRun")
    );
    let words = tenant.overlock(&["discover", "billing"]).expect(0);
    assert!(words.stdout.contains("InvoiceItem"), "{}", words.stdout);
    assert!(
        format!("{}{}", words.stdout, words.stderr).contains("BillingPreviewRun"),
        "{}{}",
        words.stdout,
        words.stderr
    );
    assert!(tenant.sandbox.emulator().jobs().is_empty());
}

/// Rows of a question in SQL.
fn ask(tenant: &Tenant, sql: &str) -> Vec<Json> {
    let outcome = tenant
        .overlock(&["inspect", "billing", "sql", sql, "--format", "jsonl"])
        .expect(0);
    let lines = outcome.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn money_adds_up_in_sql_to_the_last_digit() {
    let tenant = Tenant::whole(Tenant::options(717)).compares_always();
    tenant.settle_and_judge();
    tenant.advance(72 * HOUR);
    tenant.settle_and_judge();
    let now: Timestamp = tenant.now();
    let balances = tenant.sandbox.with_world(|world| world.balances(now));
    assert_eq!(balances, Ok(()));
    let wrong = ask(
        &tenant,
        "WITH items AS (SELECT \"InvoiceId\" AS id, sum(\"ChargeAmount\") + sum(\"TaxAmount\") AS amount \
           FROM \"InvoiceItem\" WHERE NOT _deleted GROUP BY 1), \
         paid AS (SELECT \"InvoiceId\" AS id, sum(\"Amount\") AS amount FROM \"InvoicePayment\" WHERE NOT _deleted GROUP BY 1) \
         SELECT i.\"Id\", i.\"Amount\", items.amount, i.\"PaymentAmount\", paid.amount AS paid FROM \"Invoice\" i \
         LEFT JOIN items ON items.id = i.\"Id\" LEFT JOIN paid ON paid.id = i.\"Id\" \
         WHERE NOT i._deleted AND (i.\"Amount\" <> coalesce(items.amount, 0) \
           OR i.\"PaymentAmount\" <> coalesce(paid.amount, 0))",
    );
    assert_eq!(wrong, Vec::<Json>::new());
    let sums = ask(
        &tenant,
        "SELECT (SELECT sum(\"Amount\") FROM \"Invoice\" WHERE NOT _deleted) AS invoices, \
         (SELECT sum(\"ChargeAmount\") + sum(\"TaxAmount\") FROM \"InvoiceItem\" WHERE NOT _deleted) AS items, \
         (SELECT sum(\"AppliedAmount\") FROM \"Payment\" WHERE NOT _deleted) AS applied, \
         (SELECT sum(\"Amount\") FROM \"InvoicePayment\" WHERE NOT _deleted) AS parts, \
         (SELECT count(*) FROM \"Invoice\" WHERE NOT _deleted) AS count",
    );
    let text = |name: &str| sums[0][name].to_string();
    assert_eq!(text("invoices"), text("items"));
    assert_eq!(text("applied"), text("parts"));
    assert!(sums[0]["count"].as_i64().unwrap() > 20, "{sums:?}");
    println!("{sums:?}");
}
