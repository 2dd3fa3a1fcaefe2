//! Bulk API 1.0.

use serde_json::json;

use super::{csv, org};

#[test]
fn bulk_one_speaks_xml_for_csv_jobs() {
    let org = org();
    let base = "/services/async/61.0/job";
    let json = [("content-type", "application/json")];
    let body = "{\"operation\":\"queryAll\",\"object\":\"Account\",\"contentType\":\"CSV\",\"concurrencyMode\":0}";
    let reply = org.call("POST", base, &json, body);
    assert_eq!(
        (reply.status, &reply.json()["state"]),
        (201, &json!("Open"))
    );
    let job = reply.json()["id"].as_str().unwrap().to_owned();
    let reply = org.call(
        "POST",
        &format!("{base}/{job}/batch"),
        &[("content-type", "text/csv")],
        "SELECT Id, Name FROM Account ORDER BY Id",
    );
    assert_eq!(reply.status, 201);
    let between = |text: &str, name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>")).unwrap();
        after.split('<').next().unwrap().to_owned()
    };
    let batch = between(&reply.text, "id");
    let reply = org.call(
        "POST",
        &format!("{base}/{job}"),
        &json,
        "{\"state\":\"Closed\"}",
    );
    assert_eq!(
        (reply.status, &reply.json()["state"]),
        (200, &json!("Closed"))
    );
    let reply = org.call("GET", &format!("{base}/{job}/batch/{batch}"), &json, "");
    assert_eq!(between(&reply.text, "state"), "Completed");
    assert!(
        org.get(&format!("{base}/{job}/batch"))
            .text
            .contains("<batchInfoList")
    );
    let reply = org.get(&format!("{base}/{job}/batch/{batch}/result"));
    let result = between(&reply.text, "result");
    let data = org.get(&format!("{base}/{job}/batch/{batch}/result/{result}"));
    assert_eq!(data.header("content-type"), "text/csv; charset=UTF-8");
    let rows = csv(&org
        .get(&format!("{base}/{job}/batch/{batch}/result/{result}"))
        .text);
    let job2 = org.job_id("SELECT Id, Name FROM Account ORDER BY Id");
    assert_eq!(rows, org.download(&job2, 1_000));
    let reply = org.call("GET", &format!("{base}/750000000000000AAA"), &json, "");
    assert_eq!(
        (reply.status, &reply.json()["exceptionCode"]),
        (400, &json!("InvalidJob"))
    );
}

#[test]
fn bulk_one_speaks_json_for_json_jobs_with_instants_as_numbers() {
    let org = org();
    let base = "/services/async/62.0/job";
    let json = [("content-type", "application/json")];
    let body = "{\"operation\":\"query\",\"object\":\"Account\",\"contentType\":\"JSON\"}";
    let job = org.call("POST", base, &json, body).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let soql = "SELECT Id, SystemModstamp FROM Account";
    let batch = org
        .call("POST", &format!("{base}/{job}/batch"), &json, soql)
        .json();
    assert_eq!(batch["state"], "Queued");
    let batch = batch["id"].as_str().unwrap().to_owned();
    let info = org.get(&format!("{base}/{job}/batch/{batch}")).json();
    assert_eq!(info["state"], "Completed");
    let results = org
        .get(&format!("{base}/{job}/batch/{batch}/result"))
        .json();
    let result = results[0].as_str().unwrap();
    let rows = org
        .get(&format!("{base}/{job}/batch/{batch}/result/{result}"))
        .json();
    assert!(rows[0]["SystemModstamp"].as_i64().unwrap() > 1_000_000_000_000);
    assert_eq!(rows[0]["attributes"]["type"], "Account");
    let bad = org
        .call(
            "POST",
            &format!("{base}/{job}/batch"),
            &json,
            "SELECT Nope FROM Account",
        )
        .json();
    let bad = bad["id"].as_str().unwrap().to_owned();
    let info = org.get(&format!("{base}/{job}/batch/{bad}")).json();
    assert_eq!(info["state"], "Failed");
    assert!(
        info["stateMessage"]
            .as_str()
            .unwrap()
            .contains("No such column")
    );
}

#[test]
fn bulk_one_splits_by_id_ranges_when_asked() {
    let org = org();
    let base = "/services/async/62.0/job";
    let headers = [
        ("content-type", "application/json"),
        ("sforce-enable-pkchunking", "true; chunkSize=10"),
    ];
    let body = "{\"operation\":\"queryAll\",\"object\":\"Contact\",\"contentType\":\"JSON\"}";
    let job = org.call("POST", base, &headers, body).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    org.call(
        "POST",
        &format!("{base}/{job}/batch"),
        &headers,
        "SELECT Id FROM Contact",
    );
    let batches = org.get(&format!("{base}/{job}/batch")).json();
    let batches = batches["batchInfo"].as_array().unwrap().clone();
    assert_eq!(batches[0]["state"], "NotProcessed");
    let rows: u64 = batches
        .iter()
        .map(|batch| batch["numberRecordsProcessed"].as_u64().unwrap())
        .sum();
    let total = org.query_all("SELECT COUNT() FROM Contact").json()["totalSize"]
        .as_u64()
        .unwrap();
    assert_eq!(rows, total);
    assert_eq!(batches.len() as u64, total.div_ceil(10) + 1);
    let mut stranger = org;
    stranger.token = "wrong".to_owned();
    let reply = stranger.call("GET", &format!("{base}/{job}"), &headers, "");
    assert_eq!(
        (reply.status, &reply.json()["exceptionCode"]),
        (400, &json!("InvalidSessionId"))
    );
}
