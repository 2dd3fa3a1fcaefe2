//! Every switch bites.

use super::super::options::{BatchOutcome, CutFiles, Outcome};
use super::*;

const ALL: &str = "select Id, Name from Account";

#[test]
fn tokens_end_and_keys_do_not() {
    let mut tenant = Tenant::with(|behaviour| behaviour.token_secs = 60);
    tenant.log_in();
    assert_eq!(tenant.emulator.logins(), 2);
    tenant.pass(59);
    assert_eq!(tenant.get("/v1/describe").status, 200);
    tenant.pass(1);
    let refused = tenant.get("/v1/describe");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["reasons"][0]["code"], "90000011");
    let known = tenant.emulator.credentials().clone();
    let keys = [
        ("apiAccessKeyId", known.user.as_str()),
        ("apiSecretAccessKey", known.password.as_str()),
    ];
    assert_eq!(
        tenant
            .send("GET", "/v1/describe", &keys, String::new())
            .status,
        200
    );
    let keys = [
        ("apiAccessKeyId", known.user.as_str()),
        ("apiSecretAccessKey", "wrong"),
    ];
    assert_eq!(
        tenant
            .send("GET", "/v1/describe", &keys, String::new())
            .status,
        401
    );
    tenant.emulator.behave(|behaviour| behaviour.token_secs = 0);
    tenant.log_in();
    tenant.pass(1_000_000);
    assert_eq!(tenant.get("/v1/describe").status, 200);
    tenant.emulator.expire_tokens();
    assert_eq!(tenant.get("/v1/describe").status, 401);
    let wrong = tenant.send(
        "POST",
        "/oauth/token",
        &[],
        "client_id=x&client_secret=y&grant_type=client_credentials".to_owned(),
    );
    assert_eq!(
        (wrong.status, wrong.json()["success"].clone()),
        (401, json!(false))
    );
    let wrong = tenant.send(
        "POST",
        "/oauth/token",
        &[],
        "grant_type=password".to_owned(),
    );
    assert_eq!(wrong.status, 400);
    assert_eq!(tenant.emulator.calls_by_kind()["token"], 5);
}

#[test]
fn every_nth_call_is_refused() {
    let tenant = Tenant::with(|behaviour| {
        behaviour.busy_every = 3;
        behaviour.busy_retry_after_secs = 7;
    });
    let answers: Vec<Answer> = (0..6).map(|_| tenant.get("/v1/describe")).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 429, 200, 200, 429, 200]);
    assert_eq!(answers[1].header("retry-after"), "7");
    assert_eq!(answers[1].json()["code"], "REQUEST_EXCEEDED_LIMIT");
    assert_eq!(tenant.emulator.refused(), 2);
}

#[test]
fn windows_of_calls_are_counted_and_told() {
    let tenant = Tenant::with(|behaviour| behaviour.rate_limits.minute = 4);
    let told = |answer: &Answer| {
        ["limit", "remaining", "reset"]
            .map(|name| answer.header(&format!("ratelimit-{name}")).to_owned())
    };
    // The login was a call too.
    let first = tenant.get("/v1/describe");
    assert_eq!(
        told(&first),
        ["4, 4;w=60, 2250000;w=3600, 27000000;w=86400", "2", "60"]
    );
    assert_eq!(first.header("concurrency-limit-limit"), "40");
    assert_eq!(first.header("concurrency-limit-remaining"), "39");
    assert!(!first.header("concurrency-limit-type").is_empty());
    tenant.pass(10);
    tenant.get("/v1/describe");
    tenant.get("/v1/describe");
    let refused = tenant.get("/v1/describe");
    assert_eq!((refused.status, refused.header("retry-after")), (429, "50"));
    assert_eq!(told(&refused)[1..], ["0", "50"]);
    tenant.pass(50);
    assert_eq!(tenant.get("/v1/describe").status, 200);
    tenant.emulator.behave(|behaviour| {
        behaviour.rate_limits.minute = 1;
        behaviour.limits = false;
        behaviour.concurrency_remaining = Some(1);
        behaviour.concurrency_limit = 80;
    });
    let answer = tenant.get("/v1/describe");
    assert_eq!(
        (answer.status, answer.header("ratelimit-remaining")),
        (200, "0")
    );
    assert_eq!(answer.header("concurrency-limit-remaining"), "1");
    assert_eq!(answer.header("concurrency-limit-limit"), "80");
}

#[test]
fn headers_of_requests_come_back() {
    let tenant = Tenant::new();
    let answer = tenant.send(
        "GET",
        "/v1/describe",
        &[("Zuora-Track-Id", "t-1")],
        String::new(),
    );
    assert_eq!(answer.header("zuora-track-id"), "t-1");
    assert!(!answer.header("zuora-request-id").is_empty());
}

#[test]
fn entities_and_organisations_are_checked() {
    let call = |tenant: &Tenant, headers: &[(&str, &str)]| {
        tenant
            .send("GET", "/v1/describe", headers, String::new())
            .status
    };
    let tenant =
        Tenant::with(|behaviour| behaviour.org_ids = vec!["o1".to_owned(), "o2".to_owned()]);
    let id = "11e64eef-a30d-4a7f-a9a0-0e4f0b9f1111";
    assert_eq!(call(&tenant, &[("Zuora-Entity-Ids", id)]), 403);
    assert_eq!(call(&tenant, &[("Zuora-Org-Ids", "o1, o2")]), 200);
    assert_eq!(call(&tenant, &[("Zuora-Org-Ids", "o1,o3")]), 403);
    let other = "22e64eef-a30d-4a7f-a9a0-0e4f0b9f2222";
    tenant.emulator.with_world(|world| {
        world.set_entities(vec![id.to_owned(), other.to_owned()]);
        let mut row = row("c9", "2026-02-01T00:00:00Z", &[], &[]);
        row.entity = 1;
        world.put("Contact", row, time("2026-02-01T00:00:00Z"));
    });
    assert_eq!(call(&tenant, &[]), 403);
    assert_eq!(
        call(
            &tenant,
            &[("Zuora-Entity-Ids", "33e64eef-a30d-4a7f-a9a0-0e4f0b9f3333")]
        ),
        403
    );
    let headers = [("Zuora-Entity-Ids", other)];
    let body = job(&["select Id from Contact"]).to_string();
    let submitted = tenant
        .send("POST", "/v1/batch-query/", &headers, body)
        .json();
    let path = format!("/v1/batch-query/jobs/{}", submitted["id"].as_str().unwrap());
    let done = tenant.send("GET", &path, &headers, String::new()).json();
    assert_eq!(done["batches"][0]["recordCount"], 1);
}

#[test]
fn describe_fails_and_hides_as_planned() {
    let tenant = Tenant::with(|behaviour| {
        behaviour.describe_500 = vec!["Account".to_owned()];
        behaviour.describe_404 = vec!["Contact".to_owned()];
        behaviour.related_always = false;
        behaviour.stray_fields = true;
        behaviour.without_contexts = vec!["Hidden".to_owned(), "PaymentTransactionLog".to_owned()];
    });
    assert_eq!(tenant.get("/v1/describe/Account").status, 500);
    assert_eq!(tenant.get("/v1/describe/Contact").status, 404);
    assert_eq!(tenant.get("/v1/describe/Nothing").status, 404);
    assert_eq!(tenant.get("/v1/describe/Hidden").status, 404);
    let list = tenant.get("/v1/describe").text();
    assert!(list.contains("Contact") && !list.contains("Hidden"));
    let bare = tenant.get("/v1/describe/Invoice").text();
    assert!(!bare.contains("<related-objects>"));
    let full = tenant
        .get("/v1/describe/Invoice?showRelationships=true")
        .text();
    assert!(full.contains("<cardinality>TO_ONE</cardinality>"));
    assert!(full.contains("<path>Invoice.Account</path>"));
    assert!(full.contains("<name>Stray</name>"));
    assert!(
        !tenant
            .get("/v1/describe/PaymentTransactionLog")
            .text()
            .contains("contexts")
    );
    tenant.emulator.with_world(|world| {
        let mut later = Field::new("A&B__c", Kind::Picklist);
        later.since = Some(time("2026-03-02T00:00:00Z"));
        world.add_field("Invoice", later);
    });
    assert!(
        !tenant
            .get("/v1/describe/Invoice")
            .text()
            .contains("A&amp;B__c")
    );
    let mut tenant = tenant;
    tenant.pass(86_400);
    tenant.log_in();
    let text = tenant.get("/v1/describe/Invoice").text();
    assert!(text.contains("<name>A&amp;B__c</name>") && text.contains("<options>"));
}

#[test]
fn errors_come_under_the_status_of_a_success() {
    let tenant = Tenant::with(|behaviour| {
        for kind in ["submit", "poll", "file", "describe"] {
            behaviour.error_200.insert(kind.to_owned(), 1);
            behaviour.html_200.insert(kind.to_owned(), 1);
        }
    });
    let submitted = tenant.submit(&[ALL]);
    assert_eq!(submitted["success"], false);
    assert_eq!(tenant.submit(&[ALL]), Json::Null);
    let submitted = tenant.submit(&[ALL]);
    assert_eq!(tenant.poll(&submitted)["reasons"][0]["code"], "SystemError");
    assert_eq!(tenant.poll(&submitted), Json::Null);
    let done = tenant.poll(&submitted);
    let path = format!(
        "/v1/file/{}",
        done["batches"][0]["fileId"].as_str().unwrap()
    );
    assert_eq!(tenant.get(&path).json()["success"], false);
    let html = tenant.get(&path);
    assert_eq!(
        (html.status, html.header("content-type")),
        (200, "text/html;charset=UTF-8")
    );
    assert!(tenant.get(&path).text().starts_with("Account."));
}

#[test]
fn queries_end_as_planned_and_only_so_often() {
    let cases = [
        (Outcome::Aborted, "aborted", "aborted", "90007"),
        (Outcome::TooLong, "aborted", "aborted", "90027"),
        (Outcome::Stuck, "aborted", "aborted", "90029"),
        (Outcome::Error, "error", "error", "90010"),
        (Outcome::Cancelled, "cancelled", "cancelled", "cancelled"),
        (
            Outcome::DeletedNotallowed,
            "aborted",
            "deleted_notallowed",
            "90017",
        ),
    ];
    for (outcome, job, batch, message) in cases {
        let tenant = Tenant::with(|behaviour| {
            behaviour.batch_outcomes = vec![BatchOutcome {
                object: "account".to_owned(),
                outcome,
                jobs: 1,
            }];
        });
        let done = tenant.poll(&tenant.submit(&["select Id from Contact", ALL]));
        assert_eq!(done["status"], job);
        assert_eq!(done["batches"][1]["status"], batch);
        assert!(
            done["batches"][1]["message"]
                .as_str()
                .unwrap()
                .contains(message)
        );
        let done = tenant.poll(&tenant.submit(&[ALL]));
        assert_eq!(done["status"], "completed");
    }
}

#[test]
fn large_results_abort_and_large_files_are_refused() {
    let tenant = Tenant::with(|behaviour| behaviour.abort_above_rows = Some(2));
    let done = tenant.poll(&tenant.submit(&[ALL]));
    assert_eq!(done["status"], "aborted");
    assert!(
        done["batches"][0]["message"]
            .as_str()
            .unwrap()
            .contains("90027")
    );
    assert_eq!(tenant.lines("select Id from Account limit 2").len(), 3);
    tenant
        .emulator
        .behave(|behaviour| behaviour.max_file_bytes = 10);
    let refused = tenant.file(&job(&["select Id from Account limit 2"]));
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .text()
            .contains("<security:max-object-size>2047MB</security:max-object-size>")
    );
}

#[test]
fn jobs_at_the_same_time_are_limited() {
    let tenant = Tenant::with(|behaviour| {
        behaviour.concurrent_jobs = 2;
        behaviour.job_polls = 2;
    });
    let first = tenant.submit(&[ALL]);
    tenant.submit(&[ALL]);
    assert_eq!(tenant.submit(&[ALL])["errorCode"], "90028");
    tenant
        .emulator
        .behave(|behaviour| behaviour.concurrent_as_429 = true);
    let refused = tenant.post("/v1/batch-query/", &job(&[ALL]));
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (429, Some("REQUEST_EXCEEDED_LIMIT"))
    );
    assert!(!refused.header("retry-after").is_empty());
    tenant.poll(&first);
    tenant.poll(&first);
    assert_eq!(tenant.submit(&[ALL])["status"], "submitted");
    // Jobs that nobody asks about are done one day all the same.
    tenant.pass(600);
    assert_eq!(tenant.submit(&[ALL])["status"], "submitted");
}

#[test]
fn queries_vanish() {
    let tenant = Tenant::with(|behaviour| behaviour.vanish_queries = vec!["Account".to_owned()]);
    let submitted = tenant.submit(&["select Id from Contact", ALL]);
    assert_eq!(submitted["batches"].as_array().unwrap().len(), 1);
    assert_eq!(tenant.poll(&submitted)["status"], "completed");
}

#[test]
fn fields_are_refused_though_described() {
    let tenant =
        Tenant::with(|behaviour| behaviour.unknown_fields = vec!["Account.Name".to_owned()]);
    assert!(
        tenant
            .get("/v1/describe/Account")
            .text()
            .contains("<name>Name</name>")
    );
    let refused = tenant.submit(&[ALL]);
    assert_eq!(
        refused["message"],
        format!(
            "There is a syntax error in one of the queries in the AQuA input (Error = There is no field named Name, Query = {ALL})"
        )
    );
    tenant
        .emulator
        .behave(|behaviour| behaviour.plain_message = true);
    assert_eq!(
        tenant.submit(&[ALL])["message"],
        "There is a syntax error in one of the queries in the AQuA input"
    );
    tenant
        .emulator
        .behave(|behaviour| behaviour.id_in_rejections = false);
    assert!(tenant.submit(&[ALL]).get("id").is_none());
    let deleted = json!({"column": "Deleted", "format": "Boolean", "forceExport": true});
    let mut body = job(&["select Id from PaymentTransactionLog"]);
    body["queries"][0]["deleted"] = deleted;
    let message = tenant.post("/v1/batch-query/", &body).json()["message"].clone();
    assert_eq!(
        message,
        "Objects included in the queries do not support the querying of deleted records. Remove Deleted section in \
         the JSON request and retry the request"
    );
}

#[test]
fn segments_instead_of_one_file() {
    let tenant = Tenant::with(|behaviour| behaviour.segments_of_rows = Some(2));
    let done = tenant.poll(&tenant.submit(&["select Id from Account"]));
    assert!(done["batches"][0].get("fileId").is_none());
    let texts: Vec<String> = done["batches"][0]["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| {
            tenant
                .get(&format!("/v1/file/{}", id.as_str().unwrap()))
                .text()
        })
        .collect();
    assert_eq!(texts, ["Account.Id\na1\na2\n", "Account.Id\na3\n"]);
    assert_eq!(done["batches"][0]["recordCount"], 3);
}

#[test]
fn downloads_end_early_without_an_error() {
    let query = "select Id from Account";
    let whole = "Account.Id\na1\na2\na3\n";
    for (at_line_end, expected) in [(false, "Account.Id\na1\na"), (true, "Account.Id\na1\n")] {
        let cut = CutFiles {
            files: 1,
            bytes: 15,
            at_line_end,
        };
        let tenant = Tenant::with(|behaviour| behaviour.cut_files = Some(cut));
        let done = tenant.poll(&tenant.submit(&[query]));
        assert_eq!(done["batches"][0]["recordCount"], 3);
        let path = format!(
            "/v1/file/{}",
            done["batches"][0]["fileId"].as_str().unwrap()
        );
        let first = tenant.get(&path);
        assert_eq!((first.status, first.text().as_str()), (200, expected));
        assert_eq!(tenant.get(&path).text(), whole);
    }
}

#[test]
fn files_are_purged() {
    let tenant = Tenant::with(|behaviour| behaviour.token_secs = 0);
    let mut tenant = tenant;
    tenant.log_in();
    let done = tenant.poll(&tenant.submit(&[ALL]));
    let path = format!(
        "/v1/file/{}",
        done["batches"][0]["fileId"].as_str().unwrap()
    );
    tenant.pass(3 * 86_400 - 1);
    assert_eq!(tenant.get(&path).status, 200);
    tenant
        .emulator
        .behave(|behaviour| behaviour.forbid_files = true);
    let refused = tenant.get(&path);
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("max-object-size"));
    tenant.emulator.behave(|behaviour| {
        behaviour.forbid_files = false;
        behaviour.purge_files = true;
    });
    assert_eq!(tenant.get(&path).status, 404);
    tenant
        .emulator
        .behave(|behaviour| behaviour.purge_files = false);
    tenant.pass(1);
    assert_eq!(tenant.get(&path).status, 404);
    tenant.emulator.behave(|behaviour| behaviour.file_days = 4);
    assert_eq!(tenant.get(&path).status, 200);
}

#[test]
fn files_are_spelled_as_the_switches_say() {
    let list = "Id, Name, Status, MRR, BillCycleDay, UpdatedDate";
    let selected: Vec<String> = list
        .split(", ")
        .map(|name| format!("Account.{name}"))
        .collect();
    let query = format!("select {list} from Account order by Id");
    let header = |tenant: &Tenant| tenant.lines(&query)[0].clone();
    let tenant = Tenant::with(|behaviour| behaviour.canonical_headers = false);
    let shuffled = header(&tenant);
    assert_ne!(shuffled, selected.join(","));
    let mut sorted: Vec<&str> = shuffled.split(',').collect();
    let mut wanted: Vec<&str> = selected.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    tenant
        .emulator
        .behave(|behaviour| behaviour.shuffled_columns = false);
    assert_eq!(header(&tenant), selected.join(","));
    tenant
        .emulator
        .behave(|behaviour| behaviour.canonical_headers = true);
    assert!(header(&tenant).contains("Account.Mrr"));
    assert!(tenant.lines(&query)[1].ends_with(",2026-02-01"));
    tenant
        .emulator
        .behave(|behaviour| behaviour.bare_midnight = false);
    assert!(tenant.lines(&query)[1].ends_with(",2026-02-01T08:00:00+0000"));
    tenant.emulator.behave(|behaviour| behaviour.bom = true);
    assert!(header(&tenant).starts_with('\u{feff}'));
    assert!(!tenant.lines(&query).join("\n").contains('\0'));
    tenant
        .emulator
        .behave(|behaviour| behaviour.nul_bytes = true);
    let lines = tenant.lines(&query);
    assert!(
        lines[1].contains("A\0cme") && lines[1].starts_with("a1,"),
        "{}",
        lines[1]
    );
}

#[test]
fn results_lie_as_planned() {
    let query = "select Id, LastInvoiceDate from Account where Id > 'a1' order by Id";
    let look = |act: fn(&mut Behaviour)| {
        let tenant = Tenant::with(|behaviour| {
            behaviour.shuffled_columns = false;
            act(behaviour);
        });
        let mut body = job(&[query]);
        body["nullReplacement"] = json!("\\N");
        let done = tenant.poll(&tenant.post("/v1/batch-query/", &body).json());
        let count = done["batches"][0]["recordCount"].as_i64().unwrap();
        (count, tenant.file(&body).text())
    };
    let head = "Account.Id,Account.LastInvoiceDate\n";
    let (two, three) = ("a2,2026-01-31\n", "a3,\\N\n");
    assert_eq!(look(|_| {}), (2, format!("{head}{two}{three}")));
    assert_eq!(look(|behaviour| behaviour.wrong_count = -1).0, 1);
    let (count, text) = look(|behaviour| behaviour.duplicate_rows = 1);
    assert_eq!((count, text), (3, format!("{head}{two}{three}{two}")));
    let (count, text) = look(|behaviour| behaviour.out_of_window_rows = 1);
    assert_eq!(
        (count, text),
        (3, format!("{head}{two}{three}a1,2026-01-31\n"))
    );
    assert_eq!(
        look(|behaviour| behaviour.ragged = true).1,
        format!("{head}{two}a3\n")
    );
    let (_, text) = look(|behaviour| behaviour.null_replacement_ignored = true);
    assert_eq!(text, format!("{head}{two}a3,\n"));
}

#[test]
fn behaviour_reads_from_json_and_refuses_typos() {
    let read: Behaviour = serde_json::from_value(json!({
        "token_secs": 5,
        "batch_outcomes": [{"object": "Account", "outcome": "too_long", "jobs": 2}],
        "cut_files": {"files": 1, "bytes": 100},
        "error_200": {"file": 2},
    }))
    .unwrap();
    assert_eq!(read.token_secs, 5);
    assert_eq!(read.batch_outcomes[0].outcome, Outcome::TooLong);
    assert!(serde_json::from_value::<Behaviour>(json!({"token_seconds": 5})).is_err());
}
