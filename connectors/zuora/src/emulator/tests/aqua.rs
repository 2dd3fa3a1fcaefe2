//! AQuA as it is documented: jobs, sessions, files.

use std::io::Read as _;

use super::*;

const WINDOW: &str =
    "select Id, Amount, Account.Id from Invoice where UpdatedDate < '2026-03-01T00:00:00Z'";

pub(super) fn with(mut body: Json, changes: &[(&str, Json)]) -> Json {
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body
}

fn with_deleted(query: &str, deleted: &Json) -> Json {
    let mut body = job(&[query]);
    body["queries"][0]["deleted"] = deleted.clone();
    body
}

#[test]
fn a_job_goes_from_submission_to_files() {
    let tenant = Tenant::with(|behaviour| behaviour.job_polls = 3);
    let submitted = tenant.submit(&[WINDOW, "select Id from Contact"]);
    assert_eq!(submitted["status"], "submitted");
    assert_eq!(submitted["format"], "CSV");
    assert_eq!(submitted["version"], "1.2");
    assert_eq!(submitted["batches"][1]["status"], "pending");
    assert_eq!(submitted["batches"][1]["full"], true);
    assert!(submitted.get("startTime").is_none());
    assert!(submitted.get("errorCode").is_none());
    let statuses: Vec<Json> = (0..3)
        .map(|_| tenant.poll(&submitted)["status"].clone())
        .collect();
    assert_eq!(statuses, ["executing", "executing", "completed"]);
    let done = tenant.poll(&submitted);
    // Noon UTC is four in the morning in Los Angeles.
    assert_eq!(done["startTime"], "2026-03-01 04:00:00");
    assert_eq!(done["batches"][0]["status"], "completed");
    assert_eq!(done["batches"][0]["recordCount"], 3);
    assert_eq!(done["batches"][0]["message"], "");
    assert!(done["batches"][0].get("segments").is_none());
    let id = done["batches"][0]["fileId"].as_str().unwrap();
    for path in ["file", "files"] {
        let file = tenant.get(&format!("/v1/{path}/{id}"));
        assert_eq!(file.status, 200);
        assert_eq!(file.header("content-type"), "text/csv;charset=UTF-8");
        assert!(file.header("content-length").is_empty());
        assert_eq!(file.text().lines().count(), 4);
    }
    let listed = tenant.emulator.jobs();
    assert_eq!(listed[0].status, "completed");
    assert_eq!(listed[0].counts, [3, 1]);
    assert_eq!(listed[0].queries[0].1, WINDOW);
}

#[test]
fn a_job_takes_its_time() {
    let tenant = Tenant::with(|behaviour| behaviour.job_latency_secs = 30);
    let submitted = tenant.submit(&[WINDOW]);
    assert_eq!(tenant.poll(&submitted)["status"], "executing");
    tenant.pass(30);
    assert_eq!(tenant.poll(&submitted)["status"], "completed");
}

#[test]
fn all_queries_see_the_instant_of_the_submission() {
    let mut tenant = Tenant::new();
    let submitted = tenant.submit(&["select Id from Contact"]);
    tenant.emulator.with_world(|world| {
        world.put(
            "Contact",
            row("c2", "2026-01-01T00:00:00Z", &[], &[]),
            time("2026-01-01T00:00:00Z"),
        );
    });
    assert_eq!(tenant.poll(&submitted)["batches"][0]["recordCount"], 1);
    // A row that a long transaction shows later only.
    tenant.emulator.with_world(|world| {
        world.put(
            "Contact",
            row("c3", "2026-03-01T11:00:00Z", &[], &[]),
            time("2026-03-01T13:00:00Z"),
        );
    });
    assert_eq!(tenant.lines("select Id from Contact").len(), 3);
    tenant.pass(3_600);
    tenant.log_in();
    assert_eq!(tenant.lines("select Id from Contact").len(), 4);
}

#[test]
fn deleted_rows_come_with_a_column_in_front() {
    let tenant = Tenant::new();
    let forced = json!({"column": "IsDeleted", "format": "Boolean", "forceExport": true});
    let lines = tenant
        .file(&with_deleted("select Id from Invoice", &forced))
        .text();
    assert_eq!(
        lines,
        "Invoice.IsDeleted,Invoice.Id\nfalse,i1\nfalse,i2\nfalse,i3\ntrue,i4\n"
    );
    let numeric = json!({"column": "Deleted", "format": "Numeric", "forceExport": true});
    let lines = tenant
        .file(&with_deleted(
            "select Id from Invoice where Id = 'i4'",
            &numeric,
        ))
        .text();
    assert_eq!(lines, "Invoice.Deleted,Invoice.Id\n1,i4\n");
    let plain = json!({"column": "Deleted", "format": "Boolean"});
    let refused = tenant
        .post("/v1/batch-query", &with_deleted(WINDOW, &plain))
        .json();
    assert_eq!(refused["errorCode"], "90012");
    let refused = tenant
        .post(
            "/v1/batch-query",
            &with_deleted("select Id from PaymentTransactionLog", &forced),
        )
        .json();
    assert_eq!(refused["errorCode"], "90017");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("Remove \"Deleted\" section")
    );
    tenant
        .emulator
        .behave(|behaviour| behaviour.force_export = false);
    let refused = tenant
        .post("/v1/batch-query", &with_deleted(WINDOW, &forced))
        .json();
    assert_eq!(refused["errorCode"], "90012");
    let wrong = json!({"column": "Deleted", "format": "boolean", "forceExport": true});
    let refused = tenant
        .post("/v1/batch-query", &with_deleted(WINDOW, &wrong))
        .json();
    assert_eq!(refused["errorCode"], "90005");
}

#[test]
fn refusals_have_codes() {
    let tenant = Tenant::new();
    let long = "x".repeat(5_000);
    let stateful = [("partner", json!("salesforce")), ("project", json!("p"))];
    let cases: Vec<(&str, Json)> = vec![
        ("90004", job(&vec!["select Id from Contact"; 51])),
        ("90014", with(job(&[WINDOW]), &[("notifyUrl", json!(long))])),
        ("90016", with(job(&[]), &[])),
        (
            "90019",
            with(
                job(&[WINDOW]),
                &[("partner", json!("nobody")), ("project", json!("p"))],
            ),
        ),
        (
            "90015",
            with(
                with(job(&[WINDOW]), &stateful),
                &[("incrementalTime", json!("2026-01-01T00:00:00Z"))],
            ),
        ),
        (
            "90015",
            with(with(job(&[WINDOW]), &stateful), &[("offset", json!(3_601))]),
        ),
        ("90005", job(&["select Id from ChargeMetrics"])),
    ];
    for (code, body) in cases {
        let answer = tenant.post("/v1/batch-query/", &body);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["errorCode"], code, "{body}");
        assert_eq!(answer.json()["status"], "error");
    }
    let mut body = job(&[WINDOW]);
    body["queries"][0]["convertToCurrencies"] = json!("EUR,12");
    assert_eq!(
        tenant.post("/v1/batch-query/", &body).json()["errorCode"],
        "90021"
    );
    assert_eq!(
        tenant
            .send("POST", "/v1/batch-query/", &[], "{".to_owned())
            .status,
        400
    );
    assert_eq!(
        tenant.get("/v1/batch-query/jobs/none").json()["errorCode"],
        "90002"
    );
    assert!(tenant.emulator.jobs().is_empty());
}

#[test]
fn version_one_is_stateless_whatever_partner_it_names() {
    let tenant = Tenant::new();
    let body = with(
        job(&[WINDOW]),
        &[
            ("version", json!(1.0)),
            ("partner", json!("x")),
            ("project", json!("p")),
        ],
    );
    assert_eq!(
        tenant.post("/v1/batch-query/", &body).json()["status"],
        "submitted"
    );
}

#[test]
fn queries_without_permission_are_left_out_without_a_word() {
    let tenant = Tenant::new();
    let submitted = tenant.submit(&["select Id from JournalRun", "select Id from Contact"]);
    let done = tenant.poll(&submitted);
    assert_eq!(done["status"], "completed");
    assert_eq!(done["batches"].as_array().unwrap().len(), 1);
    assert_eq!(done["batches"][0]["name"], "q1");
    // Not even when nothing is left.
    let submitted = tenant.submit(&["select Id from JournalRun"]);
    assert!(submitted.get("message").is_none());
    let done = tenant.poll(&submitted);
    assert_eq!(
        (done["status"].as_str(), &done["batches"]),
        (Some("completed"), &json!([]))
    );
}

#[test]
fn a_poisonous_relation_fails_the_job() {
    let tenant = Tenant::new();
    let submitted = tenant.submit(&[
        "select Id from Contact",
        "select Id, SubscriptionStatusHistory.Id from Invoice",
        "select Id from Account",
    ]);
    let done = tenant.poll(&submitted);
    assert_eq!(done["status"], "aborted");
    let statuses: Vec<&str> = (0..3)
        .map(|at| done["batches"][at]["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["completed", "aborted", "cancelled"]);
    assert!(done["batches"][0]["fileId"].is_string());
    assert!(done["batches"][1].get("fileId").is_none());
}

#[test]
fn cancelling_ends_what_runs_and_nothing_else() {
    let tenant = Tenant::with(|behaviour| behaviour.job_polls = 2);
    let submitted = tenant.submit(&[WINDOW]);
    let path = format!("/v1/batch-query/jobs/{}", submitted["id"].as_str().unwrap());
    let cancelled = tenant.send("DELETE", &path, &[], String::new());
    assert_eq!(cancelled.status, 200);
    assert_eq!(cancelled.json()["status"], "cancelled");
    assert_eq!(tenant.poll(&submitted)["batches"][0]["status"], "cancelled");
    assert_eq!(
        tenant.send("DELETE", &path, &[], String::new()).json()["errorCode"],
        "90003"
    );
    let submitted = tenant.submit(&[WINDOW]);
    tenant.poll(&submitted);
    tenant.poll(&submitted);
    let path = format!("/v1/batch-query/jobs/{}", submitted["id"].as_str().unwrap());
    let late = tenant.send("DELETE", &path, &[], String::new());
    assert_eq!(
        (late.status, late.json()["errorCode"].as_str()),
        (200, Some("90003"))
    );
}

#[test]
fn a_repeated_submission_gives_the_first_answer() {
    let tenant = Tenant::new();
    let body = job(&[WINDOW]).to_string();
    let key = [("Idempotency-Key", "k1")];
    let first = tenant.send("POST", "/v1/batch-query/", &key, body.clone());
    let again = tenant.send("POST", "/v1/batch-query/", &key, body.clone());
    let other = tenant.send(
        "POST",
        "/v1/batch-query/",
        &[("Idempotency-Key", "k2")],
        body,
    );
    assert_eq!((first.status, again.status, other.status), (200, 409, 200));
    assert_eq!(first.bytes, again.bytes);
    assert_ne!(first.json()["id"], other.json()["id"]);
    assert_eq!(tenant.emulator.jobs().len(), 2);
}

#[test]
fn packed_files_hold_the_same_text() {
    let tenant = Tenant::new();
    let plain = tenant.file(&job(&[WINDOW])).text();
    let gzip = tenant.file(&with(job(&[WINDOW]), &[("format", json!("GZIP"))]));
    assert_eq!(
        gzip.header("content-type"),
        "application/x-gzip;charset=UTF-8"
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzip.bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, plain);
    let zip = tenant.file(&with(job(&[WINDOW]), &[("format", json!("zip"))]));
    assert_eq!(zip.header("content-type"), "application/zip;charset=UTF-8");
    assert_eq!(unzip(&zip.bytes), ("q0.csv".to_owned(), plain));
}

/// Reads a zip file from its end, as readers do.
pub(super) fn unzip(file: &[u8]) -> (String, String) {
    let number = |at: usize, size: usize| {
        let bytes = &file[at..at + size];
        bytes
            .iter()
            .rev()
            .fold(0_usize, |sum, byte| sum * 256 + usize::from(*byte))
    };
    let end = file.len() - 22;
    assert_eq!(&file[end..end + 4], b"PK\x05\x06");
    assert_eq!((number(end + 8, 2), number(end + 10, 2)), (1, 1));
    let directory = number(end + 16, 4);
    assert_eq!(directory + number(end + 12, 4), end);
    assert_eq!(&file[directory..directory + 4], b"PK\x01\x02");
    let (crc, packed, size) = (
        number(directory + 16, 4),
        number(directory + 20, 4),
        number(directory + 24, 4),
    );
    let name_size = number(directory + 28, 2);
    let name = &file[directory + 46..directory + 46 + name_size];
    assert_eq!(directory + 46 + name_size, end);
    let local = number(directory + 42, 4);
    assert_eq!(&file[local..local + 4], b"PK\x03\x04");
    let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(&file[start..start + packed])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.len(), size);
    assert_eq!(crc32fast::hash(text.as_bytes()) as usize, crc);
    (String::from_utf8(name.to_vec()).unwrap(), text)
}

#[test]
fn values_are_written_as_the_service_writes_them() {
    let tenant = Tenant::with(|behaviour| behaviour.shuffled_columns = false);
    let query =
        "select Id, Name, AutoPay, MRR, LastInvoiceDate, UpdatedDate from Account order by Id";
    let text = tenant.file(&job(&[query])).text();
    assert_eq!(
        text,
        "Account.Id,Account.Name,Account.AutoPay,Account.Mrr,Account.LastInvoiceDate,Account.UpdatedDate\n\
         a1,\"Acme, Inc.\",true,100.50,2026-01-31,2026-02-01\n\
         a2,\"Say \"\"hi\"\"\",false,-0.01,2026-01-31,2026-02-10T10:30:00+0000\n\
         a3,Zeta,false,9,,2026-02-20T23:59:59+0000\n"
    );
    let body = with(
        job(&[query]),
        &[
            ("dateTimeUtc", json!(false)),
            ("nullReplacement", json!("\\N")),
            ("useQueryLabels", json!("false")),
        ],
    );
    let text = tenant.file(&body).text();
    assert!(
        text.starts_with("Account: ID,Account: Name,Account: Auto Pay,"),
        "{text}"
    );
    assert!(
        text.ends_with("a3,Zeta,false,9,\\N,2026-02-20T15:59:59-08:00\n"),
        "{text}"
    );
    // Strings instead of booleans, as one client sends them.
    let body = with(
        job(&[query]),
        &[
            ("dateTimeUtc", json!("true")),
            ("useQueryLabels", json!("true")),
        ],
    );
    assert!(tenant.file(&body).text().contains("Account.Id"));
}
