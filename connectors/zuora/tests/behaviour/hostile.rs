//! Answers that are damaged at random, or lead elsewhere: never a panic, never fewer rows, never a secret.

use std::net::TcpListener;
use std::time::Duration;

use overlock_core::ErrorKind;
use overlock_sandbox::company::Dice;
use overlock_sandbox::{Fault, Match};
use overlock_zuora::{api, describe};
use serde_json::json;

use crate::tenant::{Store, Tenant, request};

/// The bytes with one to four of them changed, left out, doubled, or cut off behind.
fn mutated(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len() as u64;
        let at = usize::try_from(dice.below(length)).unwrap();
        match dice.below(7) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, bytes[at]),
            4 => bytes.truncate(at),
            5 => {
                let piece: Vec<u8> = bytes[at..].iter().take(40).copied().collect();
                bytes.splice(at..at, piece);
            }
            _ => {
                let to = usize::try_from(dice.below(length)).unwrap();
                bytes.swap(at, to);
            }
        }
    }
    bytes
}

/// What the server answered to a plain read of Account: the description, the job, the file.
async fn answers(tenant: &Tenant) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let url = tenant.sandbox.base_url();
    let client = tenant.client(&json!({"format": "csv"}));
    client.read(tenant, "Contact", None).await.ok();
    let requests = tenant.sandbox.requests();
    let token = requests
        .iter()
        .find_map(|record| record.headers.get("authorization"))
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let path = |part: &str| {
        let found = requests
            .iter()
            .rfind(|record| record.path.contains(part) && record.method == "GET");
        found.unwrap().path.clone()
    };
    let mut bodies = Vec::new();
    for part in ["/v1/describe/Contact", "/v1/batch-query/jobs/", "/v1/file/"] {
        bodies.push(plain_get(&url, &path(part), &token));
    }
    let file = bodies.pop().unwrap();
    let job = bodies.pop().unwrap();
    (bodies.pop().unwrap(), job, file)
}

/// A GET by hand, so that the test does not see through the eyes of what it tests.
fn plain_get(url: &str, path: &str, authorization: &str) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let host = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET {path}?showRelationships=true HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).unwrap();
    let end = whole
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let (head, body) = (
        String::from_utf8_lossy(&whole[..end]).to_lowercase(),
        &whole[end + 4..],
    );
    if !head.contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let mut rest = body;
    let mut plain = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            return plain;
        }
        plain.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_damaged_descriptions_never_panic() {
    let tenant = Tenant::small();
    let (describe, _, _) = answers(&tenant).await;
    assert!(
        describe.starts_with(b"<?xml"),
        "{}",
        String::from_utf8_lossy(&describe)
    );
    let whole = describe::parse_object(&describe).unwrap();
    assert!(whole.fields.len() > 20);
    let mut dice = Dice::numbered(11, "describe", 0);
    let mut refused = 0;
    for _ in 0..1_000 {
        let damaged = mutated(&describe, &mut dice);
        match describe::parse_object(&damaged) {
            Ok(object) => assert!(object.fields.len() <= whole.fields.len() + 2),
            Err(_) => refused += 1,
        }
        // It is no list either.
        assert!(describe::parse_list(&damaged).is_err());
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_damaged_jobs_never_panic_and_never_have_files_without_a_count() {
    let tenant = Tenant::small();
    let (_, job, _) = answers(&tenant).await;
    let mut dice = Dice::numbered(12, "job", 0);
    let mut understood = 0;
    for _ in 0..1_000 {
        let damaged = mutated(&job, &mut dice);
        let Ok(job) = serde_json::from_slice::<api::Job>(&damaged) else {
            continue;
        };
        understood += 1;
        job.refusal();
        drop(job.id());
        for batch in &job.batches {
            if let Ok(files) = batch.files() {
                assert!(!files.files.is_empty());
                assert!(files.files.iter().all(|file| api::word(file).is_some()));
            }
        }
    }
    assert!(understood > 50, "{understood}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_damaged_files_are_never_taken_with_fewer_rows() {
    let tenant = Tenant::small();
    let (_, _, file) = answers(&tenant).await;
    assert!(
        file.starts_with(b"Contact."),
        "{}",
        String::from_utf8_lossy(&file[..40])
    );
    let client = tenant.client(&json!({"format": "csv"}));
    let whole = client.read(&tenant, "Contact", None).await.ok().rows.len();
    let stream = client.stream("Contact").await;
    let mut dice = Dice::numbered(13, "file", 0);
    let (mut taken, mut refused) = (0, 0);
    for number in 0..1_000 {
        let damaged = mutated(&file, &mut dice);
        let Ok(text) = String::from_utf8(damaged) else {
            continue;
        };
        tenant.sandbox.faults().clear();
        let fault = Fault::Status {
            status: 200,
            content_type: "text/csv;charset=UTF-8".to_owned(),
            body: text,
            headers: Vec::new(),
        };
        tenant.fault(Match::path("/v1/file/*"), fault);
        let client = tenant.client_again(&client, &json!({"format": "csv"}));
        let reading = client.read_request(request(&tenant, &stream, None)).await;
        if reading.error.is_none() {
            assert_eq!(reading.rows.len(), whole, "number {number}");
            taken += 1;
        } else {
            assert!(reading.states.is_empty(), "number {number}");
            refused += 1;
        }
    }
    // A changed letter inside of a text cannot be noticed; most other damage is.
    assert!(taken > 20 && refused > 100, "{taken} {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn damaged_jobs_end_as_an_error_or_as_all_rows() {
    let tenant = Tenant::small();
    let (_, job, _) = answers(&tenant).await;
    let client = tenant.client(&json!({"format": "csv"}));
    let stream = client.stream("Contact").await;
    let whole = client
        .read_request(request(&tenant, &stream, None))
        .await
        .ok()
        .rows
        .len();
    let mut dice = Dice::numbered(14, "job", 0);
    for number in 0..200 {
        let Ok(text) = String::from_utf8(mutated(&job, &mut dice)) else {
            continue;
        };
        // One that is never over would be waited for by hours: that is its own test.
        if !text.contains(r#""status":"completed""#) {
            continue;
        }
        tenant.sandbox.faults().clear();
        tenant.fault(
            Match::path("/v1/batch-query/jobs/*").method("GET").times(4),
            Fault::json(200, text.clone()),
        );
        let client = tenant.client_again(&client, &json!({"format": "csv", "job_timeout": "1s"}));
        let read = client.read_request(request(&tenant, &stream, None));
        let reading = tokio::time::timeout(Duration::from_secs(30), read).await;
        let reading = reading.unwrap_or_else(|_| panic!("number {number} never ends: {text}"));
        if reading.error.is_none() {
            assert_eq!(reading.rows.len(), whole, "number {number}: {text}");
        } else {
            assert!(reading.states.is_empty(), "number {number}");
        }
    }
}

#[tokio::test]
async fn ids_that_are_addresses_lead_nowhere() {
    let evil = TcpListener::bind("127.0.0.1:0").unwrap();
    evil.set_nonblocking(true).unwrap();
    let port = evil.local_addr().unwrap().port();
    for id in [
        format!("http://127.0.0.1:{port}/x"),
        format!("//127.0.0.1:{port}/x"),
        format!("@127.0.0.1:{port}"),
        "../../oauth/token".to_owned(),
        "..%2f..%2foauth%2ftoken".to_owned(),
        "a?b=c".to_owned(),
        "a#b".to_owned(),
        "a\\u000d\\u000aHost: evil".to_owned(),
        String::new(),
        "x".repeat(100),
    ] {
        for body in [
            format!(r#"{{"id":"{id}","status":"submitted"}}"#),
            format!(
                r#"{{"id":"8ad0","status":"completed","batches":[{{"name":"q0_Account","status":"completed","recordCount":1,"fileId":"{id}"}}]}}"#
            ),
            format!(
                r#"{{"id":"8ad0","status":"completed","batches":[{{"name":"q0_Account","status":"completed","recordCount":1,"segments":["{id}"]}}]}}"#
            ),
        ] {
            let tenant = Tenant::small();
            let is_submission = body.contains("submitted");
            let matches =
                Match::path("/v1/batch-query/*").method(if is_submission { "POST" } else { "GET" });
            tenant.fault(matches, Fault::json(200, body.clone()));
            let client = tenant.client(&json!({}));
            let reading = client.read(&tenant, "Account", None).await;
            assert!(
                reading.error.is_some() && reading.states.is_empty(),
                "{body}"
            );
            let strange = tenant.sandbox.requests().into_iter().find(|record| {
                record.path.starts_with("/v1/file/")
                    || record.path.matches("/oauth/token").count() > 1
            });
            assert!(strange.is_none(), "{strange:?}");
        }
    }
    // Not a redirect either.
    for status in [301, 302, 303, 307, 308] {
        let tenant = Tenant::small();
        let to = format!("http://127.0.0.1:{port}/v1/file/1");
        tenant.fault(Match::path("/v1/file/*"), Fault::redirect(status, &to));
        let client = tenant.client(&json!({}));
        let reading = client.read(&tenant, "Account", None).await;
        assert!(reading.error.is_some(), "a {status} was followed");
    }
    let visit = evil.accept();
    assert!(
        visit.is_err(),
        "somebody was sent to the other host: {visit:?}"
    );
}

#[tokio::test]
async fn no_output_shows_a_secret() {
    let refused = r#"{"success":false,"reasons":[{"code":"90000011","message":"your secret is canary-zuora-secret-7d21e"}]}"#;
    for (path, fault) in [
        ("/oauth/token", Fault::json(401, refused)),
        ("/oauth/token", Fault::json(400, refused)),
        ("/v1/describe/*", Fault::json(403, r#"{"message":"no"}"#)),
        ("/v1/batch-query/*", Fault::status(500)),
        ("/v1/file/*", Fault::json(401, r#"{"message":"no"}"#)),
        ("/nothing", Fault::status(500)),
    ] {
        let tenant = Tenant::small();
        tenant.fault(Match::path(path), fault);
        let client = tenant.client(&json!({}));
        let mut said = Vec::new();
        let shown =
            |error: &overlock_core::Error| format!("{error} {error:?} {:?}", error.causes());
        if let Err(error) = client.source.check().await {
            said.push(shown(&error));
        }
        match client.discover(&["Account"]).await {
            Err(error) => said.push(shown(&error)),
            Ok(catalog) => {
                said.push(format!("{catalog:?}"));
                if let Some(stream) = catalog.get("Account") {
                    let reading = client.read_request(request(&tenant, stream, None)).await;
                    said.push(format!("{:?}", reading.states));
                    said.extend(reading.error.as_ref().map(shown));
                }
            }
        }
        said.push(format!("{:?}", client.events.lock().unwrap()));
        let said = said.join("\n");
        let folders = walk(client.folder.path());
        for canary in tenant.sandbox.canaries() {
            assert!(!said.contains(&canary), "{path}: {said}");
            for (file, text) in &folders {
                assert!(!text.contains(&canary), "{path}: {file} holds a secret");
            }
        }
    }
}

/// Every file below a folder, as text.
fn walk(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.push((
                    path.display().to_string(),
                    String::from_utf8_lossy(&bytes).into_owned(),
                ));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_quarter_of_all_calls_may_fail_and_no_row_is_lost() {
    for seed in 0..10 {
        let tenant = Tenant::small();
        tenant
            .sandbox
            .faults()
            .set_random(Some(overlock_sandbox::Random::new(seed, 0.25)));
        let http = json!({
            "attempts": 20, "backoff_base": "1ms", "backoff_cap": "2ms", "rate_limit_wait": "1ms",
            "read_timeout": "300ms", "bulk_read_timeout": "300ms", "retries": 10_000,
        });
        let client = tenant.client(&json!({"http": http}));
        let names = ["Account", "Contact", "Invoice", "InvoiceItem"];
        let mut store = Store::default();
        client.run(&tenant, &names, &mut store).await.ok();
        tenant.sandbox.faults().clear();
        crate::tenant::assert_all_exact(&tenant, &client, &names, &store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_that_is_cut_inside_its_last_value_is_not_believed() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.shuffled_columns = false);
    let (_, _, file) = answers(&tenant).await;
    let extra = json!({"format": "csv"});
    let client = tenant.client(&extra);
    let whole = client.read(&tenant, "Contact", None).await.ok();
    let (end, cut) = (
        &file[file.len() - 60..],
        &file[file.len() - 60..file.len() - 3],
    );
    let [end, cut] = [end, cut].map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    assert!(end.ends_with('\n') && !cut.ends_with('\n'));
    let files = || Match::path("/v1/file/*").method("GET");
    let fault = Fault::Replace {
        find: end,
        with: cut,
    };
    // Here files end with a line feed.
    tenant.fault(files(), fault.clone());
    let again = tenant.client_again(&client, &extra);
    let reading = again.read(&tenant, "Contact", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(reading.states.is_empty());
    // Nor is one whose end comes late: what was delivered of it is not what it has.
    tenant.sandbox.faults().clear();
    tenant.fault(files().times(1), fault.clone());
    let again = tenant.client_again(&client, &extra);
    let reading = again.read(&tenant, "Contact", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(reading.states.is_empty());
    let again = tenant.client_again(&client, &extra);
    let reading = again.read(&tenant, "Contact", None).await.ok();
    assert_eq!(reading.rows, whole.rows);
    // Who has seen no other file of this tenant is warned.
    tenant.sandbox.faults().clear();
    tenant.fault(files(), fault);
    let other = tenant.client(&extra);
    other.read(&tenant, "Contact", None).await.ok();
    let warnings = other.warnings();
    assert!(
        warnings.iter().any(|text| text.contains("W0709")),
        "{warnings:?}"
    );
}
