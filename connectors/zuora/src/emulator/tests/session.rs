//! Stateful sessions, and the calls of the client that uses them.

use super::*;

/// A job of a session.
fn stateful(query: &str, project: &str) -> Json {
    let mut body = job(&[query]);
    body["partner"] = json!("salesforce");
    body["project"] = json!(project);
    body["queries"][0]["deleted"] = json!({"column": "Deleted", "format": "Boolean"});
    body
}

#[test]
fn a_session_gives_everything_first_and_then_increments() {
    let tenant = Tenant::new();
    let body = stateful("select Id from Invoice", "p");
    assert_eq!(
        tenant.file(&body).text(),
        "Invoice.Deleted,Invoice.Id\nfalse,i1\nfalse,i2\nfalse,i3\n"
    );
    tenant.pass(60);
    assert_eq!(tenant.file(&body).text(), "Invoice.Deleted,Invoice.Id\n");
    let now = tenant.clock.now();
    tenant.emulator.with_world(|world| {
        world.update(
            "Invoice",
            "i1",
            &[("Amount", Value::Number("11".to_owned()))],
            Some(now),
            now,
        );
        world.delete("Invoice", "i2", now);
    });
    tenant.pass(60);
    let submitted = tenant.post("/v1/batch-query/", &body).json();
    assert_eq!(submitted["batches"][0]["full"], false);
    assert_eq!(
        submitted["batches"][0]["deleted"],
        json!({"column": "Deleted", "format": "Boolean"})
    );
    // A job that did not complete does not move the session.
    let path = format!("/v1/batch-query/jobs/{}", submitted["id"].as_str().unwrap());
    tenant.send("DELETE", &path, &[], String::new());
    assert_eq!(
        tenant.file(&body).text(),
        "Invoice.Deleted,Invoice.Id\nfalse,i1\ntrue,i2\n"
    );
    tenant.pass(60);
    assert_eq!(tenant.file(&body).text(), "Invoice.Deleted,Invoice.Id\n");
    // Another text or another project begins anew, and so does a long silence.
    let other = stateful("select Id, Amount from Invoice", "p");
    assert_eq!(
        tenant.post("/v1/batch-query/", &other).json()["batches"][0]["full"],
        true
    );
    let other = stateful("select Id from Invoice", "q");
    assert_eq!(
        tenant.post("/v1/batch-query/", &other).json()["batches"][0]["full"],
        true
    );
    let last = tenant
        .get("/v1/batch-query/jobs/partner/salesforce/project/p")
        .json();
    assert_eq!(last["status"], "completed");
    let mut reuse = body.clone();
    reuse["queries"] = json!([]);
    let reused = tenant.post("/v1/batch-query/", &reuse).json();
    assert_eq!(reused["useLastCompletedJobQueries"], true);
    assert_eq!(reused["batches"][0]["query"], "select Id from Invoice");
    tenant.pass(181 * 86_400);
    let mut tenant = tenant;
    tenant.log_in();
    assert_eq!(
        tenant.post("/v1/batch-query/", &body).json()["batches"][0]["full"],
        true
    );
}

#[test]
fn incremental_time_is_pacific_and_comes_back_in_milliseconds() {
    let tenant = Tenant::new();
    let mut body = stateful("select Id from Invoice", "p");
    body["incrementalTime"] = json!("2015-01-21 10:30:01");
    let submitted = tenant.post("/v1/batch-query/", &body).json();
    assert_eq!(submitted["incrementalTime"], 1_421_865_001_000_i64);
    assert_eq!(submitted["batches"][0]["full"], false);
    // Four in the afternoon there is midnight here.
    body["incrementalTime"] = json!("2026-02-02 16:00:00");
    assert_eq!(
        tenant.file(&body).text(),
        "Invoice.Deleted,Invoice.Id\nfalse,i3\ntrue,i4\n"
    );
    tenant
        .emulator
        .behave(|behaviour| behaviour.european = true);
    assert_eq!(
        tenant.file(&body).text(),
        "Invoice.Deleted,Invoice.Id\nfalse,i3\ntrue,i4\n"
    );
    body["incrementalTime"] = json!("2026-02-03 00:00:01");
    assert_eq!(
        tenant.file(&body).text(),
        "Invoice.Deleted,Invoice.Id\ntrue,i4\n"
    );
    // Such jobs do not move the session.
    body.as_object_mut().unwrap().remove("incrementalTime");
    assert_eq!(
        tenant.post("/v1/batch-query/", &body).json()["batches"][0]["full"],
        true
    );
}

#[test]
fn the_calls_of_the_singer_tap_work() {
    let tenant = Tenant::with(|behaviour| {
        behaviour.plain_message = true;
        behaviour.canonical_headers = false;
    });
    let probe = |object: &str| {
        let body = json!({
            "name": "discover", "partner": "salesforce", "project": "discover", "format": "csv", "version": "1.2",
            "encrypted": "none", "useQueryLabels": "true", "dateTimeUtc": "true",
            "queries": [{"name": object, "query": format!("select * from {object} limit 1"), "type": "zoqlexport"}],
        });
        let answer = tenant.post("/v1/batch-query/", &body).json();
        let path = format!("/v1/batch-query/jobs/{}", answer["id"].as_str().unwrap());
        let deleted = tenant.send("DELETE", &path, &[], String::new());
        assert!(deleted.status < 400);
        answer
    };
    let first = probe("Account");
    assert!(
        first.get("errorCode").is_none() && first.get("message").is_none(),
        "{first}"
    );
    assert_eq!(
        probe("ChargeMetrics")["message"],
        "There is a syntax error in one of the queries in the AQuA input"
    );
    let list = tenant.get("/v1/describe");
    assert_eq!(list.header("content-type"), "text/xml;charset=UTF-8");
    assert!(list.text().contains("<name>Account</name>"));
    let one = tenant.get("/v1/describe/Account").text();
    for part in [
        "<fields>",
        "<related-objects>",
        "<name>MRR</name>",
        "<type>decimal</type>",
        "<required>",
        "<context>export</context>",
        "<name>BillToContact</name>",
    ] {
        assert!(one.contains(part), "{part} in {one}");
    }
    let mut body = stateful(
        "select Id, MRR, BillToContact.Id from Account order by UpdatedDate asc",
        "Account_1772366400",
    );
    body["incrementalTime"] = json!("2025-12-31 16:00:00");
    body["useQueryLabels"] = json!("true");
    body["dateTimeUtc"] = json!("true");
    let submitted = tenant.post("/v1/batch-query/", &body).json();
    assert!(submitted.get("message").is_none());
    assert_eq!(tenant.poll(&submitted)["status"], "completed");
    let done = tenant.poll(&submitted);
    let file = tenant
        .get(&format!(
            "/v1/file/{}",
            done["batches"][0]["fileId"].as_str().unwrap()
        ))
        .text();
    let header = file.lines().next().unwrap();
    assert!(header.starts_with("Account.Deleted,"), "{header}");
    for name in ["Account.Id", "Account.MRR", "BillToContact.Id"] {
        assert!(header.split(',').any(|column| column == name), "{header}");
    }
    let rest = tenant.post(
        "/v1/object/export",
        &json!({"Query": "select * from ChargeMetrics limit 1", "Format": "csv"}),
    );
    assert_eq!(rest.status, 400);
    assert!(
        rest.json()["Errors"][0]["Message"]
            .as_str()
            .unwrap()
            .contains("noSuchDataSource")
    );
    // With the message that real tenants send.
    tenant
        .emulator
        .behave(|behaviour| behaviour.id_in_rejections = false);
    assert!(
        tenant
            .submit(&["select Nope from Account"])
            .get("id")
            .is_none()
    );
}
