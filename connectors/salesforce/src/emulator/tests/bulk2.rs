//! Bulk API 2.0.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use overlock_core::{Clock, Timestamp};
use serde_json::{Value as Json, json};

use super::{csv, names, org, org_of, start};
use crate::emulator::*;

#[test]
fn bulk_rest_and_world_agree_on_every_object_and_value() {
    let org = org_of(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    });
    let now = org.clock.now();
    let objects = org.emulator.with_world(|world| world.objects_at(now));
    assert!(objects.len() > 20);
    let mut seen = 0;
    for object in objects
        .iter()
        .filter(|object| object.bulk && object.queryable)
    {
        let fields = names(object);
        let soql = format!("SELECT {} FROM {}", fields.join(","), object.name);
        let id = org.job_id(&soql);
        assert_eq!(org.poll(&id)["state"], "JobComplete");
        let rows = org.download(&id, 7);
        let expected = org
            .emulator
            .with_world(|world| world.expected(&object.name, now));
        assert_eq!(rows.len(), expected.len(), "{}", object.name);
        seen += rows.len();
        let spelled = |row: &BTreeMap<String, String>| -> BTreeMap<String, Option<String>> {
            object
                .fields
                .iter()
                .filter(|field| field.computed.is_none() && fields.contains(&field.name))
                .map(|field| {
                    let text = row[&field.name].clone();
                    let value = match field.kind {
                        _ if text.is_empty() => None,
                        FieldKind::Int | FieldKind::Long => Some(canonical_number(&text)),
                        kind if kind.is_decimal() => Some(canonical_number(&text)),
                        FieldKind::Datetime => Some(Timestamp::parse(&text).unwrap().to_string()),
                        _ => Some(text),
                    };
                    (field.name.clone(), value)
                })
                .collect()
        };
        let mut actual: Vec<_> = rows.iter().map(spelled).collect();
        let mut wanted: Vec<BTreeMap<String, Option<String>>> = expected
            .into_iter()
            .map(|row| {
                row.payload
                    .into_iter()
                    .filter(|pair| fields.contains(&pair.0))
                    .collect()
            })
            .collect();
        actual.sort();
        wanted.sort();
        for (actual, wanted) in actual.iter().zip(&wanted) {
            for (name, value) in wanted {
                assert_eq!(actual.get(name), Some(value), "{}.{name}", object.name);
            }
        }
        assert!(actual == wanted, "{} differs", object.name);
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn rest_values_are_the_exact_literals_of_the_world() {
    let org = org_of(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    });
    let now = org.clock.now();
    for object in org.emulator.with_world(|world| world.objects_at(now)) {
        if !object.queryable {
            continue;
        }
        let numbers: Vec<&Field> = object
            .fields
            .iter()
            .filter(|field| field.kind.is_decimal())
            .collect();
        let (Some(first), true) = (numbers.first(), object.has_id()) else {
            continue;
        };
        let reply = org.query_all(&format!(
            "SELECT Id, {} FROM {} LIMIT 50",
            first.name, object.name
        ));
        assert_eq!(reply.status, 200, "{}", reply.text);
        let rows = org
            .emulator
            .with_world(|world| world.rows_at(&object.name, now));
        for row in rows.iter().take(50) {
            let value = org
                .emulator
                .with_world(|world| world.value(row, first, now));
            if let Value::Number(text) = value {
                let literal = format!("\"{}\":{text}", first.name);
                assert!(
                    reply.text.contains(&literal),
                    "{literal} of {}",
                    object.name
                );
            }
        }
    }
}

#[test]
fn locators_are_stable_and_pages_tile_in_any_order() {
    let org = org();
    org.emulator.behave(|behaviour| {
        behaviour.bulk_page_rows = 5;
        behaviour.chunk_rows = 4;
    });
    let id = org.job_id("SELECT Id, Name FROM Contact");
    let job = org.poll(&id);
    let total = usize::try_from(job["numberRecordsProcessed"].as_u64().unwrap()).unwrap();
    assert!(total > 30, "{total}");
    assert_eq!(job["isPkChunkingSupported"], true);
    let serial = org.download(&id, 3);
    assert_eq!(serial, org.download(&id, 1_000));
    assert_eq!(serial.len(), total);
    let ids: Vec<&String> = serial.iter().map(|row| &row["Id"]).collect();
    assert!(!ids.is_sorted(), "without ORDER BY there is no order");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), total);

    let mut links = Vec::new();
    let mut target = format!("/services/data/v62.0/jobs/query/{id}/resultPages");
    loop {
        let answer = org.get(&target).json();
        assert_eq!(answer["nextRecordsUrl"], answer["nextRecordUrl"]);
        let pages = answer["resultPages"].as_array().unwrap();
        assert!(pages.len() <= 5);
        links.extend(
            pages
                .iter()
                .map(|page| page["resultUrl"].as_str().unwrap().to_owned()),
        );
        if answer["done"] == true {
            assert!(answer["nextRecordsUrl"].is_null());
            break;
        }
        target = answer["nextRecordsUrl"].as_str().unwrap().to_owned();
    }
    assert_eq!(links.len(), total.div_ceil(5));
    let mut pages: Vec<Vec<_>> = links
        .iter()
        .rev()
        .map(|link| csv(&org.get(link).text))
        .collect();
    pages.reverse();
    assert_eq!(pages.concat(), serial);

    let other = org.job_id("SELECT Id FROM Contact");
    let first = org.data(&format!("/jobs/query/{other}/results?maxRecords=3"));
    let foreign = first.header("sforce-locator").to_owned();
    let reply = org.data(&format!("/jobs/query/{id}/results?locator={foreign}"));
    assert_eq!(reply.code(), "INVALID_QUERY_LOCATOR");
    let reply = org.data(&format!("/jobs/query/{id}/results?locator=AAAA"));
    assert_eq!(reply.code(), "INVALID_QUERY_LOCATOR");
    org.emulator
        .behave(|behaviour| behaviour.result_pages = false);
    assert_eq!(
        org.data(&format!("/jobs/query/{id}/resultPages")).status,
        404
    );
    let ordered = org.job_id("SELECT Id FROM Contact ORDER BY Id");
    assert_eq!(org.poll(&ordered)["isPkChunkingSupported"], false);
    let ids: Vec<String> = org
        .download(&ordered, 10)
        .iter()
        .map(|row| row["Id"].clone())
        .collect();
    assert!(ids.is_sorted());
}

#[test]
fn columns_may_change_their_order_from_page_to_page() {
    let org = org();
    let id = org.job_id("SELECT Id, Name, Email FROM Contact");
    let plain = org.download(&id, 4);
    org.emulator
        .behave(|behaviour| behaviour.rotate_columns = true);
    assert_eq!(org.download(&id, 4), plain);
    let next = org.data(&format!("/jobs/query/{id}/results?maxRecords=1"));
    let next = next.header("sforce-locator").to_owned();
    let page = org.data(&format!(
        "/jobs/query/{id}/results?maxRecords=1&locator={next}"
    ));
    assert!(
        page.text.starts_with("\"Name\",\"Email\",\"Id\"\n"),
        "{}",
        page.text
    );
}

#[test]
fn bytes_of_attachments_are_behind_the_path_in_the_row() {
    let org = org();
    let now = org.clock.now();
    let body = [("Body", Value::text("aGVsbG8gb3Jn"))];
    let id = org
        .emulator
        .with_world(|world| world.insert("Attachment", &body, now))
        .unwrap();
    let page = org
        .query(&format!(
            "SELECT Id, Body FROM Attachment WHERE Id = '{id}'"
        ))
        .json();
    let path = page["records"][0]["Body"].as_str().unwrap();
    assert_eq!(
        path,
        format!("/services/data/v62.0/sobjects/Attachment/{id}/Body")
    );
    assert_eq!(org.get(path).text, "hello org");
    assert_eq!(
        org.job("SELECT Id, Body FROM Attachment").code(),
        "INVALIDENTITY"
    );
}

#[test]
fn pages_are_bounded_by_bytes_as_well() {
    let org = org();
    org.emulator
        .behave(|behaviour| behaviour.bulk_page_bytes = 100);
    let id = org.job_id("SELECT Id, Name FROM Contact");
    let reply = org.data(&format!("/jobs/query/{id}/results?maxRecords=1000"));
    assert!(reply.text.len() < 250, "{}", reply.text);
    assert_eq!(org.download(&id, 1_000).len(), org.download(&id, 1).len());
}

#[test]
fn a_job_goes_through_its_states_by_polls_and_by_time() {
    let org = org();
    org.emulator.behave(|behaviour| behaviour.job_polls = 2);
    let id = org.job_id("SELECT Id FROM Account");
    let reply = org.data(&format!("/jobs/query/{id}/results"));
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (412, "JOB_NOT_COMPLETE")
    );
    org.emulator
        .behave(|behaviour| behaviour.not_ready_status = 204);
    let reply = org.data(&format!("/jobs/query/{id}/results"));
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    let states: Vec<Json> = (0..4).map(|_| org.poll(&id)["state"].clone()).collect();
    assert_eq!(
        states,
        ["InProgress", "InProgress", "JobComplete", "JobComplete"]
    );

    org.emulator.behave(|behaviour| {
        behaviour.job_polls = 0;
        behaviour.job_latency_ms = 60_000;
    });
    let id = org.job_id("SELECT Id FROM Account");
    assert_eq!(org.poll(&id)["state"], "UploadComplete");
    org.clock.advance(Duration::from_secs(30));
    assert_eq!(org.poll(&id)["state"], "InProgress");
    let delete = || {
        org.call(
            "DELETE",
            &format!("/services/data/v62.0/jobs/query/{id}"),
            &[],
            "",
        )
    };
    assert_eq!(delete().status, 400);
    org.clock.advance(Duration::from_secs(30));
    let job = org.poll(&id);
    assert_eq!(job["state"], "JobComplete");
    assert_eq!(job["totalProcessingTime"], 60_000);
    assert_eq!((delete().status, delete().status), (204, 404));
    assert_eq!(org.data(&format!("/jobs/query/{id}/results")).status, 404);
}

#[test]
fn jobs_can_be_aborted_listed_and_expire() {
    let org = org();
    org.emulator.behave(|behaviour| behaviour.job_polls = 1_000);
    let id = org.job_id("SELECT Id FROM Account");
    let target = format!("/services/data/v62.0/jobs/query/{id}");
    let reply = org.call("PATCH", &target, &[], "{\"state\":\"Aborted\"}");
    assert_eq!(reply.json()["state"], "Aborted");
    assert_eq!(
        org.data(&format!("/jobs/query/{id}/results")).code(),
        "INVALIDJOBSTATE"
    );
    let list = org.data("/jobs/query?jobType=V2Query").json();
    assert_eq!(
        (list["records"].as_array().unwrap().len(), &list["done"]),
        (1, &json!(true))
    );
    let other = org.get(&target.replace("v62.0", "v61.0"));
    assert_eq!(other.status, 409);
    for _ in 0..100 {
        org.clock.advance(Duration::from_secs(7_000));
        org.data("/limits");
    }
    assert_eq!(org.get(&target).status, 404);
}

#[test]
fn jobs_come_to_a_bad_end_by_plan() {
    let org = org();
    let fault = |object: Option<&str>, nth, outcome| JobFault {
        object: object.map(str::to_owned),
        nth,
        times: 1,
        outcome,
    };
    org.emulator.behave(|behaviour| {
        behaviour.job_faults = vec![
            fault(
                Some("Contact"),
                1,
                Outcome::Failed("InternalServerError : x".to_owned()),
            ),
            fault(Some("Contact"), 2, Outcome::Aborted),
            fault(Some("Account"), 1, Outcome::Never),
            fault(Some("Account"), 2, Outcome::Gone),
            fault(Some("Lead"), 1, Outcome::GoneAfterPages(2)),
        ];
    });
    let job = |object: &str| org.job_id(&format!("SELECT Id FROM {object}"));
    let state = |id: &str| org.poll(id)["state"].clone();
    let failed = org.poll(&job("Contact"));
    assert_eq!(
        (&failed["state"], &failed["errorMessage"]),
        (&json!("Failed"), &json!("InternalServerError : x"))
    );
    assert_eq!(state(&job("Contact")), "Aborted");
    assert_eq!(state(&job("Contact")), "JobComplete");
    let never = job("Account");
    org.clock.advance(Duration::from_secs(3_600));
    assert_eq!(state(&never), "InProgress");
    let gone = job("Account");
    assert_eq!(org.data(&format!("/jobs/query/{gone}")).status, 404);
    let lead = job("Lead");
    let page = || {
        org.data(&format!("/jobs/query/{lead}/results?maxRecords=1"))
            .status
    };
    assert_eq!((page(), page(), page(), page()), (200, 200, 404, 404));
}

#[test]
fn the_bulk_api_refuses_what_the_service_refuses() {
    let org = org_of(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    });
    org.emulator.behave(|behaviour| {
        behaviour.bulk_refused = vec!["Campaign".to_owned()];
        behaviour.not_queryable = vec!["Event".to_owned()];
    });
    for (soql, code, text) in [
        (
            "SELECT Id FROM Campaign",
            "INVALIDENTITY",
            "Entity 'Campaign' is not supported by the Bulk API.",
        ),
        (
            "SELECT BillingAddress FROM Account",
            "FUNCTIONALITY_NOT_ENABLED",
            "Selecting compound data not supported in Bulk Query",
        ),
        ("SELECT COUNT() FROM Account", "API_ERROR", "not supported"),
        (
            "SELECT Id FROM Account LIMIT 1 OFFSET 1",
            "API_ERROR",
            "OFFSET",
        ),
        (
            "SELECT Id FROM Account GROUP BY Id",
            "API_ERROR",
            "GROUP BY",
        ),
        (
            "SELECT Id FROM Event",
            "INVALID_TYPE_FOR_OPERATION",
            "does not support query",
        ),
        (
            "SELECT Nope FROM Account",
            "INVALID_FIELD",
            "No such column",
        ),
    ] {
        let reply = org.job(soql);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{soql}: {}",
            reply.text
        );
        assert!(
            reply.message().contains(text),
            "{soql}: {}",
            reply.message()
        );
    }
    org.emulator
        .behave(|behaviour| behaviour.daily_bulk_jobs = 1);
    org.job_id("SELECT Id FROM Account");
    let reply = org.job("SELECT Id FROM Account");
    assert!(
        reply
            .message()
            .contains("Max bulk v2 query jobs (1) per 24 hrs has been reached")
    );
    org.emulator
        .behave(|behaviour| behaviour.bulk_disabled = true);
    assert_eq!(
        org.job("SELECT Id FROM Account").code(),
        "API_DISABLED_FOR_ORG"
    );
}

#[test]
fn an_empty_job_has_a_header_and_no_locator() {
    let org = org();
    let id = org.job_id("SELECT Id, Name FROM Account WHERE Name = 'nobody has this name'");
    let reply = org.data(&format!("/jobs/query/{id}/results"));
    assert_eq!(reply.text, "\"Id\",\"Name\"\n");
    assert_eq!(reply.header("sforce-numberofrecords"), "0");
    assert_eq!(reply.header("sforce-locator"), "null");
    let pages = org.data(&format!("/jobs/query/{id}/resultPages")).json();
    assert_eq!(pages["resultPages"].as_array().unwrap().len(), 1);
    let body = json!({"operation": "query", "query": "SELECT Id, Name FROM Account", "columnDelimiter": "PIPE",
        "lineEnding": "CRLF", "contentType": "CSV"});
    let id = org
        .call(
            "POST",
            "/services/data/v62.0/jobs/query",
            &[],
            &body.to_string(),
        )
        .json()["id"]
        .clone();
    let reply = org.data(&format!("/jobs/query/{}/results", id.as_str().unwrap()));
    assert!(reply.text.starts_with("\"Id\"|\"Name\"\r\n") && reply.text.ends_with("\"\r\n"));
}

#[test]
fn rows_that_commit_late_appear_with_an_older_stamp() {
    let org = org();
    let begin = org.clock.now();
    let late = Moment::late(begin, Duration::from_secs(300));
    let id = org
        .emulator
        .with_world(|world| world.insert("Account", &[("Name", Value::text("late"))], late))
        .unwrap();
    let seen = || {
        org.query("SELECT SystemModstamp FROM Account WHERE Name = 'late'")
            .json()
    };
    org.clock.advance(Duration::from_secs(299));
    assert_eq!(seen()["totalSize"], 0);
    org.clock.advance(Duration::from_secs(1));
    assert_eq!(
        seen()["records"][0]["SystemModstamp"],
        "2026-03-01T12:00:00.000+0000"
    );
    assert_eq!(
        org.data(&format!("/sobjects/Account/{id}")).json()["Name"],
        "late"
    );
}
