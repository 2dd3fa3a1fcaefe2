//! `overlock run` into Snowflake: the real binary, the real wire, a stand-in and a connector that no one here
//! wrote (`crates/snowflake/src/stand_in.rs`), and the oracle that knows every row.
//!
//! `OVERLOCK_KILLS=1000 cargo test -p overlock-tests --test snowflake` kills as often.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use overlock_core::Timestamp;
use overlock_salesforce::emulator::{Value, World};
use overlock_snowflake::stand_in::StandIn;
use overlock_tests::lab::{Lab, kill};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kills in the normal test run.
const KILLS: u64 = 50;

/// Double starts in the normal test run.
const DOUBLE_STARTS: u64 = 50;

fn kills() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the documented knob of this test"
    )]
    let wanted = std::env::var("OVERLOCK_KILLS").ok();
    wanted.map_or(KILLS, |wanted| wanted.parse().unwrap())
}

/// First load, increments with changes and deletes, and a run with nothing new.
fn days(seed: u64, modes: &str) {
    let streams = ["Account", "Opportunity", "Task", "Lead"];
    let lab = Lab::new(seed, &streams).all_streams(modes).snowflake();
    lab.run().expect(0);
    lab.judge();
    for _ in 0..3 {
        lab.advance(Duration::from_secs(100_000));
        lab.run().expect(0);
        lab.judge();
    }
    lab.settle_and_judge();
    let commits = |lab: &Lab| -> Vec<Vec<String>> {
        streams.iter().map(|stream| lab.commits(stream)).collect()
    };
    let before = commits(&lab);
    assert!(
        before.iter().all(|commits| !commits.is_empty()),
        "{before:?}"
    );
    lab.run().expect(0);
    lab.judge();
    // Nothing is new, so nothing is committed: that would wake a warehouse.
    lab.sandbox.clock().advance(Duration::from_secs(7_200));
    lab.run().expect(0);
    let before = commits(&lab);
    lab.sandbox.clock().advance(Duration::from_secs(7_200));
    let outcome = lab.overlock(&["run", "crm", "--log-level", "debug"]);
    let said = outcome.expect(0).stderr;
    lab.judge();
    if !modes.contains("replace") {
        assert_eq!(commits(&lab), before);
        // One statement for all streams, which wakes no warehouse.
        assert_eq!(statements(&said), ["show_commits"], "{said}");
    }
}

/// The statements that a log tells of.
fn statements(log: &str) -> Vec<&str> {
    let lines = log
        .lines()
        .filter(|line| line.contains("Statement answered."));
    let word =
        |line| -> Option<&str> { Some(str::split_once(line, "step=\"")?.1.split_once('"')?.0) };
    lines.filter_map(word).collect()
}

#[test]
fn a_bucket_of_ones_own_takes_the_files_instead_of_the_stage() {
    if StandIn::shared().url().is_none() {
        // A real account reads no folder of this machine.
        return;
    }
    let bucket = tempfile::tempdir().unwrap();
    let stage = format!("stage = {{ url = \"file://{}\" }}", bucket.path().display());
    let lab = Lab::new(310, &["Account", "Opportunity"])
        .snowflake()
        .destination(&stage);
    for _ in 0..2 {
        let outcome = lab
            .overlock(&["run", "crm", "--log-level", "debug"])
            .expect(0);
        let words = statements(&outcome.stderr);
        assert!(words.contains(&"copy"), "{words:?}");
        assert!(!words.contains(&"upload"), "{words:?}");
        lab.judge();
        lab.advance(Duration::from_secs(100_000));
    }
    lab.settle_and_judge();
    let left = overlock_tests::house::files(bucket.path(), "parquet");
    assert!(left.is_empty(), "{left:?}");
    // The SQL names the bucket and the integration.
    let planned = lab.overlock(&["plan", "--ddl"]).expect(0).stdout;
    assert!(
        planned.contains(&format!("URL = 'file://{}/'", bucket.path().display())),
        "{planned}"
    );
}

#[test]
fn merged_rows_are_those_of_the_oracle() {
    days(301, "");
}

#[test]
fn appended_rows_are_those_of_the_oracle() {
    days(302, "write_mode = \"append\"");
}

#[test]
fn replaced_rows_are_those_of_the_oracle() {
    days(
        303,
        "read_mode = \"full_refresh\"\nwrite_mode = \"replace\"",
    );
}

#[test]
fn the_verifier_of_tables_finds_every_kind_of_damage() {
    // Its environment is installed by now.
    StandIn::shared();
    let script = overlock_tests::house::root().join("tests/interop/test_verify.py");
    let output = std::process::Command::new("python3")
        .arg(script)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_table_follows_its_object() {
    // covers: L12
    let lab = Lab::new(311, &["Account"]).snowflake();
    lab.run().expect(0);
    let kinds = || -> Vec<String> {
        let sql = format!(
            "SELECT COLUMN_NAME FROM \"{}\".INFORMATION_SCHEMA.COLUMNS \
             WHERE TABLE_SCHEMA = 'CRM' AND TABLE_NAME = 'ACCOUNT' ORDER BY ORDINAL_POSITION",
            lab.database()
        );
        let rows = StandIn::shared().ask(&sql).unwrap();
        rows.into_iter().flatten().flatten().collect()
    };
    let before = kinds();
    // Changes the org, gives its first rows a value in the changed field, and loads.
    let change = |change: &dyn Fn(&mut World, Timestamp), value: Value| {
        let at = lab.now().plus(Duration::from_secs(10));
        lab.sandbox.clock().set(at.plus(Duration::from_secs(10)));
        lab.sandbox.with_world(|world| {
            change(world, at);
            let live: Vec<_> = world
                .rows_at("Account", at)
                .into_iter()
                .filter(|row| !row.version.is_deleted)
                .collect();
            for row in live.iter().take(3) {
                world
                    .update("Account", &row.id, &[("Score__c", value.clone())], at)
                    .unwrap();
            }
        });
        lab.run().expect(0);
        lab.settle_and_judge();
    };
    let add = |world: &mut World, at| {
        world.add_field("Account", "Score__c int8", at).unwrap();
        world.drop_field("Account", "Industry", at).unwrap();
    };
    change(&add, Value::Int(12));
    let retype = |world: &mut World, at| world.change_type("Account", "Score__c s40", at).unwrap();
    change(&retype, Value::text("about a dozen"));
    let after = kinds();
    let added: Vec<&String> = after.iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(added, ["SCORE__C", "SCORE__C__TEXT"]);
    // What the object has no more stays in the table.
    assert!(after.contains(&"INDUSTRY".to_owned()), "{after:?}");
}

#[test]
fn kills_at_random_moments_lose_and_double_nothing() {
    // covers: R1
    let streams = ["Account", "Opportunity"];
    let lab = Lab::new(304, &streams)
        .snowflake()
        .source("max_records = 40")
        .run_setting("file_every = \"1ms\"")
        .run_setting("seal_rows = 60");
    let mut random = StdRng::seed_from_u64(304);
    let begun = Instant::now();
    lab.run().expect(0);
    let mut typical = begun.elapsed();
    let (mut killed, mut ended) = (0, 0);
    while killed < kills() {
        if random.random_bool(0.4) {
            lab.advance(Duration::from_secs(random.random_range(60..200_000)));
        }
        let before = Instant::now();
        let mut child = lab.start();
        std::thread::sleep(typical.mul_f64(random.random_range(0.0..1.0)));
        kill(child.id());
        let status = child.wait().unwrap();
        StandIn::shared().abandon(lab.database());
        if status.code().is_some() {
            ended += 1;
            typical = typical.mul_f64(0.5) + before.elapsed().mul_f64(0.5);
        } else {
            killed += 1;
        }
        if killed % 10 == 9 {
            lab.settle_and_judge();
        }
        assert!(
            ended < 20 * kills() + 100,
            "the binary ends before it can be killed"
        );
    }
    lab.settle_and_judge();
    lab.run().expect(0);
    lab.judge();
    let commits: usize = streams.iter().map(|stream| lab.commits(stream).len()).sum();
    println!("{killed} kills, {ended} runs ended first, {commits} commits in unbroken chains");
}

#[test]
fn of_two_starts_on_two_machines_one_wins_each_commit() {
    // covers: W13
    let lab = Lab::new(305, &["Account"]).snowflake();
    let mut conflicts = 0;
    for _ in 0..DOUBLE_STARTS {
        lab.advance(Duration::from_secs(50_000));
        // Another machine has another work folder, so that no lock keeps them apart.
        let other = tempfile::tempdir().unwrap();
        let mut command = lab.run_command();
        command.arg("--state-dir").arg(other.path());
        let outcome = std::thread::scope(|scope| {
            let second = scope.spawn(|| lab.finish(command));
            let first = lab.run();
            [first, second.join().unwrap()]
        });
        for one in outcome {
            assert!(
                matches!(one.code, Some(0 | 7)),
                "{:?}\n{}",
                one.code,
                one.stderr
            );
            conflicts += u64::from(one.code == Some(7));
        }
    }
    lab.settle_and_judge();
    println!("{DOUBLE_STARTS} double starts, {conflicts} conflicts");
    assert!(conflicts > 0, "they never met");
    assert!(!lab.commits("Account").is_empty());
}

#[test]
fn what_somebody_did_to_the_table_is_noticed() {
    // covers: W15
    let lab = Lab::new(306, &["Account"]).snowflake();
    lab.run().expect(0);
    let table = format!("\"{}\".\"CRM\".\"ACCOUNT\"", lab.database());
    let ask = |sql: String| StandIn::shared().ask(&sql).unwrap();
    ask(format!("ALTER TABLE {table} DROP COLUMN \"INDUSTRY\""));
    lab.append_to_pipeline("on_schema_change = \"fail\"\n");
    lab.advance(Duration::from_secs(100_000));
    let outcome = lab.run().expect(8);
    assert!(outcome.stderr.contains("`Industry`"), "{}", outcome.stderr);
}

#[test]
fn rows_that_somebody_else_loaded_are_not_mixed_with_ours() {
    // covers: W15
    let lab = Lab::new(312, &["Account"]).snowflake();
    let schema = format!("\"{}\".\"CRM\"", lab.database());
    let ask = |sql: String| StandIn::shared().ask(&sql).unwrap();
    ask(format!("CREATE SCHEMA {schema}"));
    ask(format!(
        "CREATE TABLE {schema}.\"ACCOUNT\" (\"ID\" VARCHAR)"
    ));
    ask(format!("INSERT INTO {schema}.\"ACCOUNT\" VALUES ('mine')"));
    let outcome = lab.run().expect(8);
    assert!(
        outcome.stderr.contains("1 rows that overlock did not load"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("rename or drop"),
        "{}",
        outcome.stderr
    );
    let rows = ask(format!("SELECT \"ID\" FROM {schema}.\"ACCOUNT\""));
    assert_eq!(rows, [[Some("mine".to_owned())]]);
    ask(format!("DROP TABLE {schema}.\"ACCOUNT\""));
    lab.settle_and_judge();
}

#[test]
fn check_says_what_is_there_and_plan_prints_the_sql_without_asking() {
    // covers: W17
    let lab = Lab::new(307, &["Account"]).snowflake();
    let planned = lab.overlock(&["plan", "--ddl"]).expect(0);
    for part in [
        "CREATE STAGE",
        "PUT 'file://",
        "COPY INTO",
        "BEGIN TRANSACTION",
        "UPDATE",
        "COMMIT;",
    ] {
        assert!(planned.stdout.contains(part), "{part}: {}", planned.stdout);
    }
    let schemas = format!(
        "SELECT COUNT(*) FROM \"{0}\".INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = 'CRM'",
        lab.database()
    );
    let count = || {
        StandIn::shared().ask(&schemas).unwrap()[0][0]
            .clone()
            .unwrap()
    };
    assert_eq!(count(), "0", "a plan asks no warehouse");
    let checked = lab.overlock(&["check"]).expect(0);
    assert!(checked.stdout.contains("destination"), "{}", checked.stdout);
    assert_eq!(count(), "1");
    let listed = lab.overlock(&["plan", "crm"]).expect(0);
    assert!(
        listed.stdout.contains("\"CRM\".\"ACCOUNT\""),
        "{}",
        listed.stdout
    );
    lab.run().expect(0);
    let listed = lab.overlock(&["state", "list"]).expect(0);
    assert!(listed.stdout.contains("Account"), "{}", listed.stdout);
    let reset = lab
        .overlock(&["state", "reset", "crm.Account", "--yes"])
        .expect(0);
    assert!(
        reset.stdout.contains("from the beginning"),
        "{}",
        reset.stdout
    );
    lab.settle_and_judge();
}

#[test]
fn no_secret_is_in_any_output_log_or_file() {
    let lab = Lab::new(309, &["Account"]).snowflake();
    let mut said = String::new();
    for arguments in [
        &["check", "-vvv"][..],
        &["run", "crm", "--log-level", "trace"],
        &["plan", "--ddl", "-vvv"],
        &["config", "show", "--json"],
        &["state", "list", "-vvv"],
    ] {
        let outcome = lab.overlock(arguments).expect(0);
        said.push_str(&outcome.stdout);
        said.push_str(&outcome.stderr);
    }
    assert!(
        said.contains("Statement answered."),
        "the log says something"
    );
    for path in overlock_tests::house::files(&lab.project.path().join(".overlock"), "json") {
        said.push_str(&std::fs::read_to_string(path).unwrap());
    }
    for secret in ["stand-in-password", "Snowflake Token", "masterToken", "eyJ"] {
        let at = said.find(secret);
        assert!(
            at.is_none(),
            "{secret}: {:?}",
            at.and_then(|at| said.get(at.saturating_sub(200)..at + 60))
        );
    }
}

#[test]
fn a_warehouse_that_is_not_there_is_told_and_costs_nothing() {
    // covers: W6
    let Some(url) = StandIn::shared().url() else {
        return;
    };
    let lab = Lab::new(308, &["Account"]).snowflake();
    let path = lab.project.path().join("overlock.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let dead = text.replace(url, "http://127.0.0.1:9");
    lab.write_file("overlock.toml", &dead);
    let outcome = lab.run().expect(6);
    assert!(
        outcome.stderr.contains("connect to Snowflake"),
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stderr.contains("stand-in-password"),
        "{}",
        outcome.stderr
    );
    lab.write_file("overlock.toml", &text);
    lab.settle_and_judge();
}

#[test]
fn a_zendesk_account_is_loaded_followed_and_left_alone_when_idle() {
    use overlock_tests::desk::Desk;

    let streams = [
        "tickets",
        "ticket_metrics",
        "users",
        "organizations",
        "groups",
        "organization_memberships",
        "satisfaction_ratings",
    ];
    let desk = Desk::new(21, &streams).snowflake();
    desk.run().expect(0);
    desk.settle_and_judge();
    for _ in 0..2 {
        desk.advance(Duration::from_secs(100_000));
        desk.settle_and_judge();
    }
    let commits = |desk: &Desk| -> Vec<usize> {
        streams
            .iter()
            .map(|name| desk.commits(name).len())
            .collect()
    };
    let before = commits(&desk);
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    desk.run().expect(0);
    desk.sandbox.clock().advance(Duration::from_secs(7_200));
    desk.run().expect(0);
    assert_eq!(
        commits(&desk),
        before,
        "an idle run must not wake a warehouse"
    );
    desk.judge();
}

#[test]
fn a_zuora_tenant_is_loaded_followed_and_left_alone_when_idle() {
    use overlock_tests::tenant::Tenant;

    let streams = [
        "Account",
        "Subscription",
        "RatePlanCharge",
        "Invoice",
        "InvoiceItem",
        "InvoicePayment",
        "Payment",
        "Usage",
        "AccountingCode",
    ];
    let tenant = Tenant::new(22, &streams).compares_always().snowflake();
    tenant.settle_and_judge();
    for _ in 0..2 {
        tenant.advance(Duration::from_secs(100_000));
        tenant.settle_and_judge();
    }
    let before = tenant.commit_counts();
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    tenant.run().expect(0);
    tenant.settle();
    tenant.run().expect(0);
    assert_eq!(
        tenant.commit_counts(),
        before,
        "an idle run must not wake a warehouse"
    );
    tenant.judge();
}
