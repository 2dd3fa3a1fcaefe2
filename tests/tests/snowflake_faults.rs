//! Rows W1 to W18 of the fault matrix, on the real binary: a proxy before the stand-in refuses, loses, delays and
//! lies. After each fault: the exit code, that the message says what to do, that nothing is half loaded, and
//! that without the fault the next run leaves what the oracle knows.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use overlock_snowflake::stand_in::{Rows, StandIn};
use overlock_tests::house;
use overlock_tests::lab::{Lab, Outcome, kill};
use overlock_tests::proxy::{Fault, Proxy, Reply, stand_in};
use overlock_tests::rows::Row;

/// Puts the proxy in between.
const TEST_URL: &str = "OVERLOCK__DESTINATION__LAKE__TEST_URL";

/// What a message says of a package that waits for the next run.
const KEPT: &str = "the package is kept";

const DAYS: Duration = Duration::from_secs(200_000);

/// How long a fault is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many benches share the cases of a table. They wait more than they work.
const BENCHES: usize = 6;

/// A pipeline with one stream, and the proxy in between.
struct Bench {
    lab: Lab,
    proxy: Proxy,
}

impl Bench {
    /// Nothing is loaded yet.
    fn empty() -> Self {
        let proxy = Proxy::start();
        // Few columns: the stand-in takes its time with each.
        let lab = Lab::new(401, &["Account"])
            .stream("Account", "include = [\"Name\", \"Industry\"]")
            .snowflake()
            .environment(TEST_URL, proxy.url());
        Self { lab, proxy }
    }

    /// A first load is done, and there is more to load.
    fn loaded() -> Self {
        let bench = Self::empty();
        bench.lab.run().expect(0);
        bench.next();
        bench
    }

    /// No fault, and more to load.
    fn next(&self) {
        self.proxy.clear();
        self.lab.advance(DAYS);
    }

    /// What readers see: commits, and rows in an order of their own.
    fn seen(&self) -> (Vec<String>, Vec<Row>) {
        let mut rows = self.lab.table("Account");
        rows.sort();
        (self.lab.commits("Account"), rows)
    }

    /// Asks the stand-in past the proxy; `CRM.` is the schema.
    fn ask(&self, sql: &str) -> Rows {
        let sql = sql.replace("CRM.", &format!("\"{}\".\"CRM\".", self.lab.database()));
        let answer = StandIn::shared().ask(&sql);
        answer.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The faults come and are survived by the same run: one more commit, and every row once.
    #[track_caller]
    fn survives(&self, name: &str) {
        let commits = self.lab.commits("Account").len();
        self.lab.run().expect(0);
        assert!(self.proxy.fired() > 0, "never happened: {name}");
        self.lab.judge();
        assert_eq!(self.lab.commits("Account").len(), commits + 1, "{name}");
    }

    /// The faults stay: this exit code, head and rows untouched, a message with a way out; then, without them,
    /// a clean run is exact.
    #[track_caller]
    fn fails(&self, code: i32, said: &[&str]) {
        let before = self.seen();
        let outcome = self.lab.run().expect(code);
        assert!(self.proxy.fired() > 0, "never happened: {said:?}");
        assert!(self.seen() == before, "{said:?}: head or rows moved");
        self.speaks(&outcome, said);
        let is_kept = !outcome.stderr.contains(KEPT) || self.has_package();
        assert!(is_kept, "a package that is not kept: {}", outcome.stderr);
        self.proxy.clear();
        self.lab.settle_and_judge();
    }

    /// The error names a cause and a way out, and shows no secret.
    #[track_caller]
    fn speaks(&self, outcome: &Outcome, said: &[&str]) {
        let text = &outcome.stderr;
        for part in ["error", "hint"].iter().chain(said) {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let mut secrets = self.lab.sandbox.canaries();
        secrets.push("stand-in-password".to_owned());
        for secret in secrets {
            let shown = text.contains(&secret) || outcome.stdout.contains(&secret);
            assert!(!shown, "a secret in {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }

    /// Loads everything again, from the beginning.
    #[track_caller]
    fn reset(&self) {
        let reset = ["state", "reset", "crm.Account", "--yes"];
        self.lab.overlock(&reset).expect(0);
        self.lab.settle_and_judge();
        self.next();
    }

    /// Waits until so many faults happened.
    #[track_caller]
    fn until(&self, fired: u32) {
        let begun = Instant::now();
        while self.proxy.fired() < fired {
            assert!(begun.elapsed() < PATIENCE, "the fault never happened");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs; while the faulty request is held, something else happens.
    #[track_caller]
    fn meanwhile(&self, code: i32, happens: impl FnOnce()) -> Outcome {
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| self.lab.run());
            self.until(1);
            happens();
            self.proxy.clear();
            run.join().unwrap()
        });
        run.expect(code)
    }

    /// Whether a sealed package waits here.
    fn has_package(&self) -> bool {
        let manifests = house::files(&self.lab.project.path().join(".overlock"), "json");
        let mut texts = manifests
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap());
        texts.any(|text| text.contains("\"sealed\":true"))
    }
}

/// Tries all cases, each on a bench that was loaded and has more to load.
fn each<T: Sync>(cases: &[T], test: impl Fn(&Bench, &T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..BENCHES.min(cases.len()) {
            scope.spawn(|| {
                let bench = Bench::loaded();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    test(&bench, case);
                    bench.next();
                }
                bench.lab.settle_and_judge();
            });
        }
    });
}

fn cut() -> Fault {
    Fault::NotDone(Reply::Cut)
}

fn lost() -> Fault {
    Fault::Done(Reply::Cut)
}

fn html(status: u16) -> Fault {
    Fault::NotDone(Reply::html(status))
}

fn refused(code: &str) -> Fault {
    Fault::NotDone(Reply::refusal(code, "told by the server"))
}

/// A COPY that says of its one file what is not so.
fn copied(rows: &[&[&str]]) -> Fault {
    let columns = [
        "file",
        "status",
        "rows_parsed",
        "rows_loaded",
        "errors_seen",
        "first_error",
    ];
    Fault::Done(Reply::rows(&columns, rows))
}

#[test]
fn a_fault_that_passes_is_survived_by_the_same_run() {
    // The last is how often the request is sent; a run without faults logs in three
    // times: to read the heads, to commit, and to look whether that is so.
    let cases = [
        // covers: W2
        ("put_file", cut(), 2),
        ("put_file", html(403), 2),
        // covers: W3
        ("put_file", Fault::Short(100), 2),
        // covers: W6
        ("login", cut(), 4),
        ("show_commits", lost(), 2),
        ("look", html(503), 3),
        ("upload", cut(), 2),
        ("create_staging", lost(), 2),
        ("copy", lost(), 2),
        // covers: W7
        ("commit", lost(), 1),
        // covers: W8
        ("insert", lost(), 2),
        ("commit", cut(), 2),
        // covers: W10
        ("copy", Fault::InProgress(1), 1),
        ("commit", Fault::InProgress(1), 1),
        // covers: W11
        ("begin", refused("390114"), 2),
        ("insert", refused("390104"), 2),
        ("commit", refused("390114"), 2),
        ("insert", Fault::Expired, 2),
        ("commit", Fault::Expired, 2),
        // covers: W12
        ("move_head", refused("000625"), 2),
        // covers: W18
        ("begin", Fault::NotDone(Reply::done()), 1),
        ("commit", Fault::NotDone(Reply::done()), 2),
    ];
    each(&cases, |bench, (word, fault, sent)| {
        let name = format!("{word} {fault:?}");
        bench.proxy.once(word, fault.clone());
        bench.survives(&name);
        assert_eq!(bench.proxy.count(word), *sent, "{name}");
    });
}

#[test]
fn a_first_load_survives_what_is_lost() {
    // covers: W6, W7
    let cases = [
        ("create_schema", lost()),
        ("create_commits", lost()),
        ("create_stage", cut()),
        ("add_head", lost()),
        ("create_table", lost()),
        ("commit", lost()),
    ];
    std::thread::scope(|scope| {
        for (word, fault) in cases {
            scope.spawn(move || {
                let bench = Bench::empty();
                bench.proxy.once(word, fault.clone());
                bench.survives(&format!("{word} {fault:?}"));
                bench.proxy.clear();
                bench.lab.settle_and_judge();
            });
        }
    });
}

#[test]
fn a_first_load_without_a_grant_is_refused() {
    // covers: W17
    let bench = Bench::empty();
    for word in ["create_schema", "create_table", "insert"] {
        bench.proxy.clear();
        bench.proxy.always(word, refused("003001"));
        let outcome = bench.lab.run().expect(6);
        bench.speaks(&outcome, &["003001", "overlock check"]);
        let (commits, rows) = bench.seen();
        assert!(commits.is_empty() && rows.is_empty(), "{word}");
    }
    bench.proxy.clear();
    bench.lab.settle_and_judge();
}

#[test]
fn a_fault_that_stays_has_its_exit_code_and_a_way_out() {
    let value = "Numeric value 'abc' is not recognized File 'part-00001.parquet', line 3 Row 3, column AMOUNT";
    let part = "stage/crm/Account/x/part-00001.parquet";
    let bad_value = Fault::NotDone(Reply::refusal("100038", value));
    let bad_row = copied(&[&[part, "LOAD_FAILED", "3", "0", "1", value]]);
    let no_row = copied(&[&[part, "LOADED", "3", "0", "0", ""]]);
    let cases: [(&str, Fault, i32, &[&str]); 14] = [
        // These two may pass, so they are tried for a while.
        // covers: W6
        ("copy", html(503), 6, &["503", KEPT]),
        // covers: W12
        ("move_head", refused("000625"), 6, &["000625", KEPT]),
        // covers: W2
        ("put_file", html(403), 6, &["send a file", "403", KEPT]),
        // covers: W4
        (
            "copy",
            bad_value,
            6,
            &["part-00001", "Row 3", "AMOUNT", KEPT],
        ),
        ("copy", bad_row, 6, &["part-00001", "Row 3", "AMOUNT", KEPT]),
        (
            "copy",
            refused("100082"),
            6,
            &["100082", "longer than a column"],
        ),
        (
            "insert",
            refused("100082"),
            6,
            &["100082", "longer than a column"],
        ),
        ("insert", refused("100069"), 6, &["100069", KEPT]),
        // covers: W5
        ("copy", no_row, 6, &["part-00001", KEPT]),
        ("copy", copied(&[]), 6, &["0 files loaded", KEPT]),
        // covers: W16
        ("copy", refused("000606"), 6, &["000606", "no warehouse"]),
        (
            "copy",
            refused("090073"),
            9,
            &["090073", "resource monitor"],
        ),
        // covers: W17
        (
            "insert",
            refused("003001"),
            6,
            &["003001", "overlock check"],
        ),
        ("copy", refused("002003"), 6, &["002003", "overlock check"]),
    ];
    each(&cases, |bench, (word, fault, code, said)| {
        bench.proxy.always(word, fault.clone());
        bench.fails(*code, said);
    });
}

#[test]
fn a_fault_that_stays_has_a_cause_and_says_what_is_safe() {
    let cases: [(&str, Fault, &[&str]); 5] = [
        // covers: W2
        ("put_file", cut(), &["send a file", "connection", KEPT]),
        // covers: W3
        (
            "put_file",
            Fault::Short(100),
            &["part-00001.parquet", "100", KEPT],
        ),
        // The head cannot be read, but it was there.
        // covers: W6, W16, W17
        ("look", cut(), &["connection", "earlier runs"]),
        ("look", refused("000606"), &["no warehouse", "earlier runs"]),
        (
            "look",
            refused("002003"),
            &["overlock check", "earlier runs"],
        ),
    ];
    each(&cases, |bench, (word, fault, said)| {
        bench.proxy.always(word, fault.clone());
        bench.fails(6, said);
    });
}

#[test]
fn a_refused_login_is_told_and_not_tried_again() {
    // covers: W1
    let bench = Bench::loaded();
    for (code, message, hint) in [
        (
            "390100",
            "Incorrect username or password was specified.",
            "GET_LOGIN_FAILURE_DETAILS",
        ),
        (
            "390102",
            "Your user account has been temporarily locked.",
            "check user",
        ),
        ("390144", "JWT token is invalid.", "RSA_PUBLIC_KEY"),
        (
            "394304",
            "JWT token public key fingerprint mismatch.",
            "compare the fingerprint",
        ),
    ] {
        bench.proxy.clear();
        let refusal = Reply::refusal(code, message);
        bench.proxy.always("login", Fault::NotDone(refusal));
        let before = bench.seen();
        let outcome = bench.lab.run().expect(3);
        assert_eq!(bench.proxy.count("login"), 1, "{code} was tried again");
        assert!(bench.seen() == before, "{code}: head or rows moved");
        bench.speaks(&outcome, &[code, message, hint]);
    }
    bench.proxy.clear();
    bench.lab.settle_and_judge();
}

#[test]
fn a_transaction_that_still_runs_is_waited_for_and_found_done() {
    // covers: W9
    let bench = Bench::loaded();
    bench.proxy.once("commit", Fault::Late);
    // Nothing more of that session arrives. The first session, which looks only, ends as it should.
    bench.proxy.once("rollback", cut());
    bench.proxy.later("close", 1, cut());
    bench.proxy.later("move_head", 1, Fault::BehindLate);
    bench.survives("a commit that comes late");
    assert_eq!(bench.proxy.fired(), 4);
    bench.next();
    bench.lab.settle_and_judge();
}

#[test]
fn what_is_lost_while_a_statement_runs_is_no_loss() {
    // covers: W10
    let bench = Bench::loaded();
    for word in ["copy", "commit"] {
        bench.proxy.once(word, Fault::InProgress(3));
        bench.proxy.later("poll", 1, cut());
        bench.survives(word);
        assert_eq!(bench.proxy.fired(), 2);
        bench.next();
    }
    // The token ends while the statement runs.
    bench.proxy.once("insert", Fault::InProgress(1));
    bench.proxy.once("poll", Fault::Expired);
    bench.survives("poll");
    assert_eq!(bench.proxy.count("renew"), 1);
    bench.next();
    // covers: W11
    bench.proxy.once("insert", Fault::Expired);
    bench.proxy.once("renew", refused("390114"));
    bench.survives("renew");
    bench.proxy.clear();
    bench.lab.settle_and_judge();
}

#[test]
fn a_session_that_the_server_ends_inside_a_transaction_is_begun_again() {
    // covers: W11
    let bench = Bench::loaded();
    for word in ["insert", "commit"] {
        bench.proxy.once(word, Fault::Held);
        let commits = bench.lab.commits("Account").len();
        bench.meanwhile(0, || StandIn::shared().abandon(bench.lab.database()));
        assert_eq!(bench.proxy.count("begin"), 1, "{word}: not begun again");
        bench.lab.judge();
        assert_eq!(bench.lab.commits("Account").len(), commits + 1, "{word}");
        bench.next();
    }
    bench.lab.settle_and_judge();
}

#[test]
fn of_two_runners_the_slower_is_told_and_reads_on_from_the_faster() {
    // covers: W13
    let bench = Bench::loaded();
    for word in ["look", "begin", "move_head"] {
        bench.proxy.once(word, Fault::Held);
        let outcome = bench.meanwhile(7, || {
            // Another machine has another work folder, so that no lock keeps them apart.
            let other = tempfile::tempdir().unwrap();
            let mut command = bench.lab.run_command();
            command.arg("--state-dir").arg(other.path());
            command.env(TEST_URL, stand_in());
            bench.lab.finish(command).expect(0);
            bench.lab.judge();
        });
        bench.speaks(&outcome, &["Account", "another run"]);
        bench.lab.judge();
        bench.next();
        bench.lab.settle_and_judge();
        bench.next();
    }
}

#[test]
fn two_head_rows_are_refused_until_one_is_gone() {
    // covers: W14
    let bench = Bench::loaded();
    bench.ask(
        "INSERT INTO CRM.\"_OVERLOCK_HEADS\" SELECT PIPELINE, STREAM, TABLE_NAME, 'twice', PARENT, ATTEMPT, HEAD \
         FROM CRM.\"_OVERLOCK_HEADS\"",
    );
    let outcome = bench.lab.run().expect(6);
    let way_out = ["two rows", "_OVERLOCK_COMMITS", "STREAM = 'Account'"];
    bench.speaks(&outcome, &way_out);
    bench.ask("DELETE FROM CRM.\"_OVERLOCK_HEADS\" WHERE ID = 'twice'");
    bench.lab.settle_and_judge();
}

#[test]
fn a_table_that_somebody_changed_is_mended_or_refused() {
    // covers: W15
    let bench = Bench::loaded();
    for (change, column) in [
        (
            "ALTER TABLE CRM.ACCOUNT DROP COLUMN \"INDUSTRY\"",
            "`Industry`",
        ),
        (
            "ALTER TABLE CRM.ACCOUNT ADD COLUMN \"INDUSTRY\" NUMBER(38, 0)",
            "`Industry`",
        ),
    ] {
        if change.contains("ADD") {
            bench.ask("ALTER TABLE CRM.ACCOUNT DROP COLUMN \"INDUSTRY\"");
        }
        bench.ask(change);
        let pipeline = bench.lab.project.path().join("pipelines/crm.toml");
        let text = std::fs::read_to_string(pipeline).unwrap();
        bench
            .lab
            .append_to_pipeline("on_schema_change = \"fail\"\n");
        let before = bench.seen();
        let outcome = bench.lab.run().expect(8);
        bench.speaks(&outcome, &[column]);
        assert!(bench.seen() == before, "{change}: head or rows moved");
        // To follow is the default. What the column had comes back by a load from the beginning.
        bench.lab.write_file("pipelines/crm.toml", &text);
        bench.lab.run().expect(0);
        bench.reset();
    }
    bench.ask("DROP TABLE CRM.ACCOUNT");
    let outcome = bench.lab.run().expect(8);
    bench.speaks(&outcome, &["UNDROP TABLE", "state reset"]);
    bench.reset();
}

#[test]
fn check_finds_what_a_role_may_not() {
    // covers: W17
    let bench = Bench::loaded();
    for (word, code, grant) in [
        ("create_schema", "003001", "CREATE SCHEMA ON DATABASE"),
        ("create_heads", "003001", "CREATE TABLE ON SCHEMA"),
        ("create_stage", "003001", "CREATE STAGE ON SCHEMA"),
        ("create_staging", "003001", "CREATE TABLE ON SCHEMA"),
        ("look", "002003", "ON WAREHOUSE"),
        ("count_rows", "000606", "ON WAREHOUSE"),
    ] {
        bench.proxy.always(word, refused(code));
        let outcome = bench.lab.overlock(&["check"]).expect(6);
        assert!(bench.proxy.fired() > 0, "{word} never came");
        bench.speaks(&outcome, &[code, "GRANT", grant]);
        bench.proxy.clear();
    }
    bench.lab.overlock(&["check"]).expect(0);
    bench.proxy.always("login", refused("390100"));
    let outcome = bench.lab.overlock(&["check"]).expect(3);
    bench.speaks(&outcome, &["390100"]);
}

#[test]
fn what_was_done_without_a_transaction_is_mended_by_the_next_run() {
    // covers: W18
    let bench = Bench::loaded();
    for word in ["insert", "log_commit", "commit"] {
        // The server dropped the transaction in silence, and then the process dies.
        bench.proxy.once("begin", Fault::NotDone(Reply::done()));
        bench.proxy.once(word, Fault::Held);
        let before = bench.lab.commits("Account");
        let mut child = bench.lab.start();
        bench.until(2);
        kill(child.id());
        child.wait().unwrap();
        bench.proxy.clear();
        let is_in = word == "commit";
        assert_eq!(
            bench.lab.commits("Account").len(),
            before.len() + usize::from(is_in)
        );
        bench.lab.settle_and_judge();
        bench.next();
    }
}

#[test]
fn json_that_does_not_parse_is_kept_as_text_and_counted() {
    let bench = Bench::loaded();
    bench.proxy.once("begin", Fault::Held);
    bench.meanwhile(0, || {
        let staging = bench.ask(&format!(
            "SELECT TABLE_NAME FROM \"{}\".INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME LIKE '\\_OVERLOCK\\_0%'",
            bench.lab.database()
        ));
        let staging = staging[0][0].as_deref().unwrap();
        bench.ask(&format!(
            "UPDATE CRM.\"{staging}\" SET \"_extra\" = '{{\"a\": broken'"
        ));
    });
    let found = bench.ask(
        "SELECT c.ROW_COUNT::VARCHAR, c.UNPARSED_JSON::VARCHAR FROM CRM.\"_OVERLOCK_COMMITS\" c \
         JOIN CRM.\"_OVERLOCK_HEADS\" h ON c.ID = h.ID",
    );
    assert_eq!(found[0][0], found[0][1], "every row had it: {found:?}");
    let texts = bench.ask("SELECT _EXTRA::VARCHAR FROM CRM.ACCOUNT WHERE _EXTRA IS NOT NULL");
    let has_text = |row: &Vec<Option<String>>| row[0].as_deref().unwrap().contains("broken");
    assert!(texts.iter().any(has_text), "{texts:?}");
    bench.reset();
}
