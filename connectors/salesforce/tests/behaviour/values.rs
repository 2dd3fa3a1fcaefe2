//! Which way rows come, what it costs, and that each value arrives as it is.

use std::collections::BTreeMap;

use overlock_core::{ErrorKind, StreamName};
use overlock_salesforce::emulator::{
    Credentials, SalesforceEmulator, World, WorldOptions, canonical_number,
};
use overlock_sandbox::VirtualClock;
use serde_json::json;

use crate::org::{Org, Reading, START, time};

fn nasty() -> Org {
    Org::of(WorldOptions {
        nasty: true,
        scale: 2,
        history_days: 10,
        drift: false,
        ..WorldOptions::tiny(3, time(START))
    })
}

/// Compares each value of each row with what the world holds.
fn check_values(org: &Org, object: &str, reading: &Reading) {
    let now = org.now();
    let expected = org
        .emulator()
        .with_world(|world| world.expected(object, now));
    let decimals: Vec<String> = org.emulator().with_world(|world| {
        let view = world.object_at(object, now).unwrap();
        let fields = view.fields.iter().filter(|field| field.kind.is_decimal());
        fields.map(|field| field.name.clone()).collect()
    });
    let rows: BTreeMap<&str, _> = reading
        .rows
        .iter()
        .map(|row| (row["Id"].as_str(), row))
        .collect();
    assert_eq!(rows.len(), reading.rows.len(), "{object}: a row came twice");
    assert_eq!(rows.len(), expected.len(), "{object}");
    for truth in expected {
        let row = rows[truth.key.as_str()];
        for (name, value) in &truth.payload {
            let Some(value) = value else {
                assert!(
                    !row.contains_key(name),
                    "{object}.{name}: null became {:?}",
                    row[name]
                );
                continue;
            };
            let Some(found) = row.get(name) else {
                // Too odd for its column: then it is kept, literally, beside it.
                let extra = row.get("_extra").map_or("", String::as_str);
                assert!(
                    extra.contains(name.as_str()),
                    "{object}.{name}: {value:?} is lost; extra: {extra}"
                );
                continue;
            };
            // A value of any type comes as its text on the wire, such as `1.0`.
            let is_number = decimals.contains(name) || name == "Anything__c";
            let same = found == value || (is_number && canonical_number(found) == *value);
            assert!(same, "{object}.{name}: {value:?} became {found:?}");
        }
    }
}

#[tokio::test]
async fn every_value_arrives_as_it_is_both_ways() {
    let org = nasty();
    for object in ["Nasty__c", "Burst__c", "Empty__c", "Account", "Opportunity"] {
        for extra in [
            json!({"rest_below_rows": 0}),
            json!({"rest_below_rows": 1_000_000}),
        ] {
            let reading = org.client(&extra).read(object, None).await.ok();
            check_values(&org, object, &reading);
        }
    }
}

#[tokio::test]
async fn objects_with_800_columns_come_by_either_way() {
    let org = nasty();
    let bulk = org
        .client(&json!({"max_query_bytes": 4_000}))
        .read("Wide__c", None)
        .await
        .ok();
    check_values(&org, "Wide__c", &bulk);
    assert_eq!(
        org.count("POST", "/jobs/query"),
        1,
        "the query does not fit a URI"
    );
    // Bulk refuses: then in several queries of some columns each.
    org.emulator().behave(|behaviour| {
        behaviour.bulk_refused.push("Wide__c".to_owned());
        behaviour.tiny_batches = true;
    });
    let client = org.client(&json!({"rest_page_rows": 3, "max_query_bytes": 4_000}));
    let rest = client.read("Wide__c", None).await.ok();
    check_values(&org, "Wide__c", &rest);
    assert!(rest.states.len() > 1);
    for (state, before) in &rest.states {
        let more = client.read("Wide__c", Some(state.clone())).await.ok();
        assert!(
            before + more.rows.len() >= rest.rows.len(),
            "{:?}",
            state.as_json()
        );
    }
}

#[tokio::test]
async fn bulk_refusals_are_remembered() {
    let org = Org::small();
    org.emulator()
        .behave(|behaviour| behaviour.bulk_refused.push("Account".to_owned()));
    let extra = json!({"rest_below_rows": 0});
    let client = org.client(&extra);
    let reading = client.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert_eq!(org.count("POST", "/jobs/query"), 1);
    let next = org.client_in(client.folder, &extra);
    let reading = next.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert_eq!(org.count("POST", "/jobs/query"), 1, "the second run knows");
    assert!(
        next.stream("Account")
            .await
            .notes
            .iter()
            .any(|note| note.contains("Bulk refused"))
    );
}

#[tokio::test]
async fn an_org_without_bulk_is_read_by_rest() {
    let org = Org::small();
    org.emulator()
        .behave(|behaviour| behaviour.bulk_disabled = true);
    let reading = org
        .client(&json!({"rest_below_rows": 0}))
        .read("Account", None)
        .await
        .ok();
    assert_eq!(reading.keys(), org.keys("Account"));
}

#[tokio::test]
async fn rows_that_share_their_key_fail_the_stream() {
    let org = nasty();
    let catalog = org.client(&json!({})).source.discover(&[]).await.unwrap();
    let durable = catalog
        .streams
        .iter()
        .find(|stream| stream.primary_key == ["DurableId"])
        .unwrap();
    let client = org.client(&json!({}));
    // With its durable id the object is fine; taken by Id, all rows would be one.
    client.read(durable.name.as_str(), None).await.ok();
    let mut stream = (**durable).clone();
    stream.primary_key = vec!["Id".to_owned()];
    let reading = client
        .read_request(client.request(&stream.into(), None))
        .await;
    assert_eq!(reading.failed().kind(), ErrorKind::Schema);
}

#[tokio::test]
async fn discovery_costs_one_call_per_25_objects() {
    let org = nasty();
    let client = org.client(&json!({}));
    let catalog = client.source.discover(&[]).await.unwrap();
    assert!(catalog.streams.len() > 20, "{}", catalog.streams.len());
    assert_eq!(
        org.count("POST", "/composite"),
        catalog.streams.len().div_ceil(25)
    );
    assert_eq!(org.count("GET", "/describe"), 0);
    // Refused as a whole: one by one.
    let body = r#"[{"message":"The requested resource does not exist","errorCode":"NOT_FOUND"}]"#;
    org.fault(
        overlock_sandbox::Match::path("*/composite"),
        overlock_sandbox::Fault::json(404, body),
    );
    let single = org.client(&json!({})).source.discover(&[]).await.unwrap();
    assert_eq!(single, catalog);
    assert_eq!(org.count("GET", "/describe"), catalog.streams.len());
}

#[tokio::test]
async fn a_stored_describe_is_revalidated() {
    let org = Org::small();
    let client = org.client(&json!({}));
    let names = ["Account", "Contact"].map(|name| StreamName::new(name).unwrap());
    let first = client.source.discover(&names).await.unwrap();
    org.clock().advance(std::time::Duration::from_secs(7_200));
    let next = org.client_in(client.folder, &json!({}));
    let second = next.source.discover(&names).await.unwrap();
    assert_eq!(first, second);
    let composites: Vec<_> = org
        .requests()
        .into_iter()
        .filter(|r| r.path.ends_with("/composite"))
        .collect();
    let sent = String::from_utf8_lossy(&composites.last().unwrap().body).into_owned();
    assert!(sent.contains("If-Modified-Since"), "{sent}");
}

#[tokio::test]
async fn a_million_rows_cost_at_most_twenty_calls() {
    // Ten pages, as a million rows have at 100,000 a page.
    let start = time(START);
    let clock = VirtualClock::still(start);
    let options = WorldOptions {
        scale: 1,
        history_days: 2,
        ..WorldOptions::tiny(1, start)
    };
    let emulator = SalesforceEmulator::new(World::seeded(options), clock.clone())
        .without_evolution()
        .with_bench(20_000);
    let org = Org::start(emulator, clock, Credentials::default());
    org.emulator()
        .behave(|behaviour| behaviour.bulk_page_rows = 2_000);
    let client = org.client(&json!({"max_records": 2_000}));
    let reading = client.read("Bench__c", None).await.ok();
    assert_eq!(reading.keys().len(), 20_000);
    assert_eq!(org.count("GET", "/results"), 10);
    let calls = org.requests().len();
    assert!(calls <= 19, "{calls} calls, and one to delete the job");
}
