//! Replication, quota, the bench object, and the whole org on a socket.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use overlock_core::Clock;
use overlock_sandbox::{Fault, Match};

use super::{org, start};
use crate::emulator::*;

#[test]
fn deletions_and_changes_are_reported_within_their_days() {
    let org = org();
    let now = org.clock.now();
    let (gone, kept) = org.emulator.with_world(|world| {
        let gone = world.insert("Account", &[], now).unwrap();
        let kept = world.insert("Account", &[], now).unwrap();
        world
            .delete("Account", &gone, now.plus(Duration::from_secs(60)))
            .unwrap();
        (gone, kept)
    });
    org.clock.advance(Duration::from_secs(600));
    let window = "start=2026-03-01T11%3A55%3A00%2B00%3A00&end=2026-03-01T12%3A10%3A00.000Z";
    let deleted = org
        .data(&format!("/sobjects/Account/deleted/?{window}"))
        .json();
    let records = deleted["deletedRecords"].as_array().unwrap();
    assert!(
        records.iter().any(|record| record["id"] == *gone
            && record["deletedDate"] == "2026-03-01T12:01:00.000+0000")
    );
    assert!(deleted["latestDateCovered"].is_string());
    let updated = org
        .data(&format!("/sobjects/Account/updated/?{window}"))
        .json();
    let ids: Vec<&str> = updated["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert!(ids.contains(&&*kept) && !ids.contains(&&*gone));
    for (window, code) in [
        (
            "start=2026-01-01T00:00:00Z&end=2026-03-01T00:00:00Z",
            "INVALID_REPLICATION_DATE",
        ),
        (
            "start=2026-03-01T00:00:10Z&end=2026-03-01T00:00:50Z",
            "INVALID_REPLICATION_DATE",
        ),
        ("start=yesterday&end=2026-03-01T00:00:50Z", "INVALID_FIELD"),
    ] {
        assert_eq!(
            org.data(&format!("/sobjects/Account/deleted/?{window}"))
                .code(),
            code
        );
    }
}

#[test]
fn the_daily_quota_counts_every_call_and_stops_them() {
    let org = org();
    org.emulator
        .behave(|behaviour| behaviour.daily_api_requests = 20);
    assert_eq!(
        org.data("/sobjects").header("sforce-limit-info"),
        "api-usage=18/20"
    );
    assert_eq!(
        org.query("SELECT nonsense").header("sforce-limit-info"),
        "api-usage=19/20"
    );
    assert_eq!(
        org.data("/jobs/query/750").header("sforce-limit-info"),
        "api-usage=20/20"
    );
    let reply = org.data("/sobjects");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "REQUEST_LIMIT_EXCEEDED")
    );
    org.emulator.behave(|behaviour| {
        behaviour.per_app_usage = true;
        behaviour.daily_api_requests = 15_000;
    });
    let reply = org.data("/limits");
    assert_eq!(
        reply.header("sforce-limit-info"),
        "api-usage=21/15000; per-app-api-usage=4/250(appName=overlock)"
    );
    let limits = reply.json();
    assert_eq!(limits["DailyApiRequests"]["Remaining"], 15_000 - 21);
    assert_eq!(limits["DailyBulkApiBatches"]["Max"], 15_000);
    org.emulator
        .behave(|behaviour| behaviour.limits_forbidden = true);
    assert_eq!(org.data("/limits").status, 403);
}

#[test]
fn the_bench_object_answers_like_any_other() {
    let mut org = org();
    org.emulator = SalesforceEmulator::new(
        World::seeded(WorldOptions::tiny(7, start())),
        org.clock.clone(),
    )
    .with_bench(1_234);
    let reply = org.refresh("5Aep861canary.refresh.token");
    org.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let describe = org.data("/sobjects/Bench__c/describe").json();
    let fields: Vec<&str> = describe["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(fields.len(), 40);
    let id = org.job_id(&format!("SELECT {} FROM Bench__c", fields.join(",")));
    assert_eq!(org.poll(&id)["numberRecordsProcessed"], 1_234);
    let rows = org.download(&id, 500);
    let ids: BTreeSet<&String> = rows.iter().map(|row| &row["Id"]).collect();
    assert_eq!(ids.len(), 1_234);
    assert_eq!(
        org.query("SELECT COUNT() FROM Bench__c").json()["totalSize"],
        1_234
    );
    let half = "SystemModstamp >= 2025-09-01T00:00:00Z";
    let half = org
        .query(&format!("SELECT Id, Amount__c FROM Bench__c WHERE {half}"))
        .json();
    let count = half["totalSize"].as_u64().unwrap();
    assert!((500..700).contains(&count), "{count}");
    let by_id: HashMap<&str, &BTreeMap<String, String>> =
        rows.iter().map(|row| (row["Id"].as_str(), row)).collect();
    for record in half["records"].as_array().unwrap() {
        assert!(by_id.contains_key(record["Id"].as_str().unwrap()));
    }
}

#[test]
fn a_sandbox_serves_over_a_socket_and_counts_what_faults_swallow() {
    use std::io::{Read, Write};
    let sandbox = SalesforceSandbox::start(SandboxOptions::tiny(7, start())).unwrap();
    let get = || {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", sandbox.server().port())).unwrap();
        let request =
            "GET /services/data/v62.0/limits HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        drop(stream.read_to_string(&mut text));
        text
    };
    assert!(get().contains("INVALID_SESSION_ID"));
    sandbox
        .faults()
        .add(Match::path("*/limits"), Fault::status(503));
    let text = get();
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("text/html"),
        "{text}"
    );
    assert_eq!(sandbox.emulator().api_calls(), 1);
    assert_eq!(sandbox.requests().len(), 2);
    let config = sandbox.config(Login::Jwt);
    assert_eq!(config["login_url"], sandbox.base_url());
}
