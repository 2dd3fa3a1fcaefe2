//! Resources, discovery, composites and REST queries.

use std::collections::BTreeSet;
use std::time::Duration;

use overlock_core::Clock;
use serde_json::{Value as Json, json};

use super::{encode, org, org_of, start};
use crate::emulator::*;

#[test]
fn versions_and_resources_are_listed_with_and_without_a_slash() {
    let mut org = org();
    for target in ["/limits", "/limits/", "/sobjects/", "/"] {
        assert_eq!(org.data(target).status, 200, "{target}");
    }
    assert_eq!(org.get("/services/data/v29.0/limits").code(), "GONE");
    assert_eq!(org.get("/services/data/v99.0/limits").code(), "NOT_FOUND");
    assert_eq!(org.get("/nowhere").status, 404);
    org.token.clear();
    let versions = org.get("/services/data").json();
    assert!(
        versions
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["version"] == "62.0")
    );
    assert_eq!(org.data("").status, 401);
}

#[test]
fn describe_follows_the_schema_and_304_hides_no_change() {
    let org = org();
    let list = org.data("/sobjects").json();
    let account = list["sobjects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["name"] == "Account");
    assert_eq!(account.unwrap()["keyPrefix"], "001");
    let describe = org.data("/sobjects/account/describe");
    let fields = describe.json()["fields"].as_array().unwrap().len();
    let modified = describe.header("last-modified").to_owned();
    let again = || {
        org.call(
            "GET",
            "/services/data/v62.0/sobjects/Account/describe",
            &[("if-modified-since", &modified)],
            "",
        )
    };
    org.clock.advance(Duration::from_secs(2));
    assert_eq!(again().status, 304);
    // A change in the very second of the client's copy must not hide behind it.
    org.clock.advance(Duration::from_secs(58));
    let describe = org.data("/sobjects/Contact/describe");
    let modified_contact = describe.header("last-modified").to_owned();
    let now = org.clock.now();
    org.emulator
        .with_world(|world| world.hide_field("Contact", "Email", now, None))
        .unwrap();
    let target = "/services/data/v62.0/sobjects/Contact/describe";
    let since = [("if-modified-since", modified_contact.as_str())];
    assert_eq!(org.call("GET", target, &since, "").status, 200);
    let now = org.clock.now();
    org.emulator
        .with_world(|world| world.hide_field("Account", "Industry", now, None))
        .unwrap();
    let reply = again();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["fields"].as_array().unwrap().len(), fields - 1);
    let reply = org.query("SELECT Id, Industry FROM Account");
    assert_eq!(reply.code(), "INVALID_FIELD");
    assert!(
        reply
            .message()
            .contains("No such column 'Industry' on entity 'Account'")
    );
    assert_eq!(org.data("/sobjects/Nope/describe").code(), "NOT_FOUND");
}

#[test]
fn a_composite_costs_one_call_and_a_batch_one_per_part() {
    let org = org();
    let before = org.emulator.api_calls();
    let parts: Vec<Json> = ["Account", "Nope", "Contact"]
        .iter()
        .enumerate()
        .map(|(position, name)| {
            json!({"method": "GET", "url": format!("/services/data/v62.0/sobjects/{name}/describe"),
                "referenceId": format!("r{position}")})
        })
        .collect();
    let body = json!({"allOrNone": false, "compositeRequest": parts}).to_string();
    let reply = org
        .call("POST", "/services/data/v62.0/composite", &[], &body)
        .json();
    assert_eq!(org.emulator.api_calls(), before + 1);
    let parts = reply["compositeResponse"].as_array().unwrap();
    assert_eq!(parts[0]["body"]["name"], "Account");
    assert_eq!(
        (
            &parts[1]["httpStatusCode"],
            &parts[1]["body"][0]["errorCode"]
        ),
        (&json!(404), &json!("NOT_FOUND"))
    );
    assert_eq!(parts[2]["referenceId"], "r2");

    let requests: Vec<Json> = ["Account", "Nope", "Contact"]
        .iter()
        .map(|name| json!({"method": "GET", "url": format!("v61.0/sobjects/{name}/describe")}))
        .collect();
    let body = json!({"haltOnError": true, "batchRequests": requests}).to_string();
    let before = org.emulator.api_calls();
    let reply = org
        .call("POST", "/services/data/v62.0/composite/batch", &[], &body)
        .json();
    assert_eq!(org.emulator.api_calls(), before + 3);
    assert_eq!(reply["hasErrors"], true);
    let statuses: Vec<&Json> = reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["statusCode"])
        .collect();
    assert_eq!(statuses, [&json!(200), &json!(404), &json!(412)]);

    let too_many = json!({"compositeRequest": (0..26).map(|part| json!({"method": "GET",
        "url": "/services/data/v62.0/limits", "referenceId": format!("r{part}")})).collect::<Vec<_>>()});
    let reply = org.call(
        "POST",
        "/services/data/v62.0/composite",
        &[],
        &too_many.to_string(),
    );
    assert_eq!(reply.status, 400);
}

#[test]
fn rest_pages_follow_links_and_ignore_a_repeated_query() {
    let org = org_of(WorldOptions {
        scale: 260,
        ..WorldOptions::tiny(7, start())
    });
    let options = [("sforce-query-options", "batchSize=200")];
    let target = format!(
        "/services/data/v62.0/query?q={}",
        encode("SELECT Id, Name FROM Contact")
    );
    let mut page = org.call("GET", &target, &options, "").json();
    let total = page["totalSize"].as_u64().unwrap();
    assert!(total > 400, "{total}");
    let mut ids = BTreeSet::new();
    let mut pages = 0;
    loop {
        pages += 1;
        for record in page["records"].as_array().unwrap() {
            assert_eq!(record["attributes"]["type"], "Contact");
            ids.insert(record["Id"].as_str().unwrap().to_owned());
        }
        if page["done"] == true {
            assert!(page.get("nextRecordsUrl").is_none());
            break;
        }
        let next = page["nextRecordsUrl"].as_str().unwrap().to_owned();
        assert!(next.contains("/query/01g") && next.ends_with(&format!("-{}", pages * 200)));
        page = match pages {
            1 => org.get(&format!("{next}?q=SELECT+nonsense")).json(),
            // A locator without its offset goes on where the client stands; queryAll is the same.
            2 => {
                let bare = next
                    .rsplit_once('-')
                    .unwrap()
                    .0
                    .replace("/query/", "/queryAll/");
                org.get(&bare).json()
            }
            _ => org.get(&next).json(),
        };
    }
    assert_eq!(ids.len() as u64, total);
    org.clock.advance(Duration::from_secs(60));
    let reply = org.call("GET", &target, &options, "").json();
    let next = reply["nextRecordsUrl"].as_str().unwrap().to_owned();
    org.emulator.expire_cursors();
    assert_eq!(org.get(&next).code(), "INVALID_QUERY_LOCATOR");
}

#[test]
fn counts_deleted_rows_and_literals_mean_what_they_mean_to_the_service() {
    let org = org();
    let now = org.clock.now();
    let ids: Vec<String> = org.emulator.with_world(|world| {
        let changes = |name: &'static str| [("Name", Value::text(name))];
        let ids: Vec<_> = ["Quote'd", "plain", "gone"]
            .iter()
            .map(|name| {
                world
                    .insert("Account", &changes(name), now)
                    .unwrap()
                    .to_string()
            })
            .collect();
        world
            .delete("Account", &ids[2], now.plus(Duration::from_secs(5)))
            .unwrap();
        ids
    });
    org.clock.advance(Duration::from_secs(10));
    let count = |soql: &str, all: bool| {
        let reply = if all {
            org.query_all(soql)
        } else {
            org.query(soql)
        };
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()["totalSize"].as_u64().unwrap()
    };
    let live = count("SELECT COUNT() FROM Account", false);
    assert!(count("SELECT count() FROM Account", true) > live);
    let same_second = "SELECT COUNT() FROM Account WHERE SystemModstamp";
    assert_eq!(
        count(&format!("{same_second} = 2026-03-01T12:00:00.999Z"), false),
        2
    );
    assert_eq!(
        count(&format!("{same_second} >= 2026-03-01T13:00:05+01:00"), true),
        1
    );
    assert_eq!(
        count(
            &format!("{same_second} >= 2026-03-01T12:00:05.000+0000 AND IsDeleted = true"),
            true
        ),
        1
    );
    assert_eq!(
        count(
            "SELECT COUNT() FROM Account WHERE Name = 'quote\\'D'",
            false
        ),
        1
    );
    assert_eq!(
        count(
            "SELECT COUNT() FROM Account WHERE Name LIKE 'pl_in' OR Name LIKE 'Quote%'",
            false
        ),
        2
    );
    let short: String = ids[0].chars().take(15).collect();
    assert_eq!(
        count(
            &format!(
                "SELECT COUNT() FROM Account WHERE Id IN ('{short}','{}')",
                ids[1]
            ),
            false
        ),
        2
    );
    let after = count(
        &format!("SELECT COUNT() FROM Account WHERE Id > '{}'", ids[0]),
        true,
    );
    assert_eq!(after, 2);
    let page = org
        .query("SELECT Id, Name, Owner.Name, Owner.Email FROM Account WHERE Name = 'plain' ORDER BY Id DESC LIMIT 1")
        .json();
    assert_eq!(page["records"][0]["Name"], "plain");
}

#[test]
fn errors_of_queries_have_the_texts_of_the_service() {
    let org = org();
    let name = "No such column 'Foo__c' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c'";
    for (soql, code, text) in [
        (
            "SELECT Id FORM Account",
            "MALFORMED_QUERY",
            "ERROR at Row:1:Column:11\nunexpected token: 'FORM'",
        ),
        ("SELECT Id, Foo__c FROM Account", "INVALID_FIELD", name),
        (
            "SELECT Id FROM Nope",
            "INVALID_TYPE",
            "sObject type 'Nope' is not supported.",
        ),
        (
            "SELECT Id FROM Account WHERE SystemModstamp >= 2024-01-01",
            "INVALID_FIELD",
            "value of filter criterion for field 'SystemModstamp' must be of type dateTime and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Account WHERE SystemModstamp >= '2024-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "must be of type dateTime",
        ),
        (
            "SELECT Id FROM Account WHERE Description = 'x'",
            "INVALID_FIELD",
            "field 'Description' can not be filtered",
        ),
        (
            "SELECT Id FROM Account WHERE Id = '001x'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid ID field: 001x",
        ),
        (
            "SELECT Id FROM Account OFFSET 2001",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "2000",
        ),
        (
            "SELECT FIELDS(ALL) FROM Account",
            "MALFORMED_QUERY",
            "LIMIT of at most 200",
        ),
        ("", "MALFORMED_QUERY", ""),
    ] {
        let reply = org.query(soql);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{soql}");
        assert!(
            reply.message().contains(text),
            "{soql}: {}",
            reply.message()
        );
    }
    assert_eq!(
        org.query("SELECT FIELDS(ALL) FROM Account LIMIT 3").status,
        200
    );
}

#[test]
fn long_requests_are_refused_by_the_web_server() {
    let org = org();
    let fields = vec!["Name"; 4_000].join(",");
    let reply = org.query(&format!("SELECT {fields} FROM Account"));
    assert_eq!(reply.status, 414);
    let filler = "x".repeat(9_000);
    let target = format!("/services/data/v62.0/query?q={}", "y".repeat(8_000));
    let reply = org.call("GET", &target, &[("x-filler", &filler)], "");
    assert_eq!(reply.status, 431);
    assert!(reply.text.starts_with("<h1>Bad Message 431</h1>"));
}

#[test]
fn wide_windows_and_many_rows_time_out_when_the_org_is_slow() {
    let org = org();
    org.emulator
        .behave(|behaviour| behaviour.timeout_days = Some(10));
    let window = |from: &str| {
        org.query(&format!(
            "SELECT Id FROM Account WHERE SystemModstamp >= {from} AND SystemModstamp < 2026-03-01T00:00:00Z"
        ))
    };
    assert_eq!(window("2026-02-25T00:00:00Z").status, 200);
    assert_eq!(window("2026-01-25T00:00:00Z").code(), "QUERY_TIMEOUT");
    assert_eq!(org.query("SELECT Id FROM Account").code(), "QUERY_TIMEOUT");
    let id = org.job_id("SELECT Id FROM Account");
    let job = org.poll(&id);
    assert_eq!(job["state"], "Failed");
    assert!(
        job["errorMessage"]
            .as_str()
            .unwrap()
            .starts_with("QUERY_TIMEOUT")
    );
    org.emulator.behave(|behaviour| {
        behaviour.timeout_days = None;
        behaviour.timeout_rows = Some(1);
    });
    assert_eq!(org.query("SELECT Id FROM Account").code(), "QUERY_TIMEOUT");
}
