//! Faults of the source's logic: ties, late commits, jobs that fail, schemas that move.

use std::time::Duration;

use overlock_core::{Deletes, ErrorKind, State};
use overlock_salesforce::emulator::{JobFault, Moment, Outcome, Value};
use overlock_sandbox::{Fault, Match};
use serde_json::json;

use crate::org::{Mischief, Org, time};

const MINUTE: Duration = Duration::from_secs(60);

fn fail(org: &Org, object: &str, times: u64, outcome: Outcome) {
    org.emulator().behave(|behaviour| {
        behaviour.job_faults.push(JobFault {
            object: Some(object.to_owned()),
            nth: 1,
            times,
            outcome,
        });
    });
}

#[tokio::test]
async fn more_rows_of_one_second_than_a_page_holds_are_all_read() {
    // covers: L1
    let org = Org::small();
    let moment = org.now().minus(MINUTE * 10);
    let touched = org
        .emulator()
        .with_world(|world| world.mass_update("Contact", 1_000, moment))
        .unwrap();
    org.emulator().behave(|behaviour| {
        behaviour.bulk_page_rows = 2;
        behaviour.tiny_batches = true;
    });
    assert!(touched > 4, "one page must not be enough: {touched}");
    for extra in [
        json!({"rest_below_rows": 0, "max_records": 2, "lookback": "0s"}),
        json!({"rest_below_rows": 0, "max_records": 2, "parallel_pages": 1, "lookback": "0s"}),
        json!({"rest_page_rows": 2, "lookback": "0s"}),
    ] {
        let state = serde_json::from_value(json!({"v": 1, "from": moment})).unwrap();
        let reading = org.client(&extra).read("Contact", Some(state)).await.ok();
        assert_eq!(reading.rows.len(), touched, "{extra}");
        assert_eq!(reading.keys().len(), touched, "{extra}");
        assert!(reading.states.len() > 2, "{extra}: one state per page");
    }
}

#[tokio::test]
async fn a_row_that_commits_late_is_read_by_the_next_run() {
    // covers: L2
    let org = Org::small();
    let id = org.keys("Account").first().unwrap().clone();
    let first = org.client(&json!({})).read("Account", None).await.ok();
    // Stamped nine minutes before the first run, visible after it.
    let stamp = org.now().minus(MINUTE * 9);
    let moment = Moment::late(stamp, MINUTE * 10);
    org.emulator()
        .with_world(|world| world.update("Account", &id, &[("Site", Value::text("late"))], moment))
        .unwrap();
    org.clock().advance(MINUTE * 5);
    let client = org.client(&json!({}));
    let second = client.read("Account", Some(first.state())).await.ok();
    let row = second
        .rows
        .iter()
        .find(|row| row["Id"] == id)
        .expect("the late row");
    assert_eq!(row["Site"], "late");
    // The look-back is what finds it.
    let blind = org.client(&json!({"lookback": "0s"}));
    let missed = blind.read("Account", Some(first.state())).await.ok();
    assert!(!missed.keys().contains(&id), "the test shows nothing");
}

#[tokio::test]
async fn the_second_of_the_border_belongs_to_the_next_window() {
    // covers: L3, L5
    let org = Org::small();
    let until = org.now().minus(MINUTE * 20);
    let ids: Vec<_> = org.keys("Account").into_iter().collect();
    org.emulator().with_world(|world| {
        world
            .touch("Account", &ids[0], until.minus(Duration::from_secs(1)))
            .unwrap();
        world.touch("Account", &ids[1], until).unwrap();
    });
    let mut client = org.client(&json!({"lookback": "0s"}));
    client.until = until;
    let first = client.read("Account", None).await.ok();
    assert!(first.keys().contains(&ids[0]));
    assert!(
        !first.keys().contains(&ids[1]),
        "a row at `until` is not in the window"
    );
    assert_eq!(first.state().as_json()["from"], until.to_string());
    // Another row gets the very stamp that the state has.
    org.emulator()
        .with_world(|world| world.touch("Account", &ids[2], until))
        .unwrap();
    client.until = org.now();
    let second = client.read("Account", Some(first.state())).await.ok();
    assert_eq!(
        second.keys(),
        [ids[1].clone(), ids[2].clone()].into(),
        "nothing is skipped and nothing is read twice"
    );
}

#[tokio::test]
async fn deleted_and_restored_rows_say_so() {
    // covers: L6
    let org = Org::small();
    let ids: Vec<_> = org.keys("Contact").into_iter().collect();
    let at = org.now().minus(MINUTE * 10);
    org.emulator().with_world(|world| {
        world.delete("Contact", &ids[0], at).unwrap();
        world.delete("Contact", &ids[1], at).unwrap();
        world.undelete("Contact", &ids[1], at.plus(MINUTE)).unwrap();
        world.merge("Contact", &ids[2], &ids[3], at).unwrap();
    });
    let client = org.client(&json!({}));
    for extra in [json!({}), json!({"rest_below_rows": 0})] {
        let reading = org.client(&extra).read("Contact", None).await.ok();
        for (id, deleted) in [(&ids[0], "true"), (&ids[1], "false"), (&ids[3], "true")] {
            let row = reading.rows.iter().find(|row| row["Id"] == *id).unwrap();
            assert_eq!(row["_deleted"], deleted, "{extra}");
        }
        let loser = reading.rows.iter().find(|row| row["Id"] == ids[3]).unwrap();
        assert_eq!(loser["MasterRecordId"], ids[2]);
    }
    let blind = client.stream("User").await;
    assert_eq!(blind.deletes, Deletes::NotReported);
    assert!(
        blind
            .notes
            .iter()
            .any(|note| note.contains("deleted rows are not seen"))
    );
}

#[tokio::test]
async fn a_column_subset_still_knows_what_is_deleted() {
    let org = Org::small();
    let client = org.client(&json!({}));
    let stream = client.stream("Contact").await;
    let narrow = std::sync::Arc::new(stream.project(|name| name == "LastName"));
    let reading = client
        .read_request(client.request(&narrow, None))
        .await
        .ok();
    assert_eq!(reading.keys(), org.keys("Contact"));
    assert!(reading.rows.iter().all(|row| row.contains_key("_deleted")));
    assert!(
        reading
            .rows
            .iter()
            .all(|row| !row.contains_key("Phone") && !row.contains_key("_extra"))
    );
}

#[tokio::test]
async fn a_job_that_times_out_is_read_in_halves() {
    // covers: L7
    for outcome in [
        Outcome::Failed("QUERY_TIMEOUT: Your query request was running for too long.".to_owned()),
        Outcome::Failed("Retried more than fifteen times".to_owned()),
        Outcome::Aborted,
    ] {
        let org = Org::small();
        fail(&org, "Account", 1, outcome.clone());
        let client = org.client(&json!({"rest_below_rows": 0}));
        let reading = client.read("Account", None).await.ok();
        assert_eq!(reading.keys(), org.keys("Account"), "{outcome:?}");
        assert_eq!(org.count("POST", "/jobs/query"), 3, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_job_that_fails_for_good_ends_the_stream() {
    // covers: L7
    let org = Org::small();
    fail(&org, "Account", u64::MAX, Outcome::Aborted);
    let client = org.client(&json!({"rest_below_rows": 0}));
    let reading = client.read("Account", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Unavailable);
    let jobs = org.count("POST", "/jobs/query");
    assert!(
        (2..=3).contains(&jobs),
        "one new job per half of the window: {jobs}"
    );
    // Others are not concerned.
    let other = client.read("Contact", None).await.ok();
    assert_eq!(other.keys(), org.keys("Contact"));
}

#[tokio::test]
async fn windows_get_small_enough_for_a_slow_org() {
    // covers: L7
    let org = Org::small();
    org.emulator()
        .behave(|behaviour| behaviour.timeout_days = Some(3));
    for extra in [
        json!({"rest_below_rows": 0, "start_date": "2026-02-01"}),
        json!({"start_date": "2026-02-01"}),
    ] {
        let client = org.client(&extra);
        let reading = client.read("Account", None).await.ok();
        assert_eq!(reading.keys(), org.keys("Account"), "{extra}");
        assert_eq!(
            reading.rows.len(),
            reading.keys().len(),
            "{extra}: no row twice"
        );
    }
}

#[tokio::test]
async fn a_second_with_too_many_rows_is_read_by_ranges_of_ids() {
    // covers: L1, L7
    let org = Org::small();
    let moment = org.now().minus(MINUTE * 10);
    let touched = org
        .emulator()
        .with_world(|world| world.mass_update("Contact", 1_000, moment))
        .unwrap();
    let most = touched as u64 / 2;
    org.emulator()
        .behave(|behaviour| behaviour.timeout_rows = Some(most));
    let state: State = serde_json::from_value(json!({"v": 1, "from": moment})).unwrap();
    let client = org.client(&json!({"rest_below_rows": 0, "lookback": "0s"}));
    let reading = client.read("Contact", Some(state.clone())).await.ok();
    assert_eq!(reading.rows.len(), touched);
    // Each state on the way is a place to go on from.
    for (state, before) in &reading.states {
        let rest = client.read("Contact", Some(state.clone())).await;
        assert!(
            rest.error.is_none(),
            "{:?}: {:?}",
            state.as_json(),
            rest.error
        );
        assert_eq!(before + rest.rows.len(), touched, "{:?}", state.as_json());
    }
}

#[tokio::test]
async fn a_job_that_never_ends_is_aborted() {
    // covers: L8
    let org = Org::small();
    fail(&org, "Account", 1, Outcome::Never);
    let client = org.client(&json!({"rest_below_rows": 0, "job_timeout": "30ms"}));
    let reading = client.read("Account", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Unavailable);
    assert_eq!(
        org.count("PATCH", "/jobs/query/"),
        1,
        "it is aborted at the source"
    );
    assert!(
        org.emulator().jobs().is_empty(),
        "{:?}",
        org.emulator().jobs()
    );
}

#[tokio::test]
async fn results_that_are_gone_expire_the_state() {
    // covers: L9
    let org = Org::small();
    org.emulator().behave(|behaviour| {
        behaviour.bulk_page_rows = 2;
        behaviour.tiny_batches = true;
    });
    for extra in [json!({"rest_below_rows": 0}), json!({"rest_page_rows": 2})] {
        let client = org.client(&extra);
        let whole = client.read("Account", None).await.ok();
        let (inside, _) = whole.states.first().unwrap();
        org.emulator().forget_jobs();
        org.emulator().expire_cursors();
        let reading = client.read("Account", Some(inside.clone())).await;
        assert_eq!(reading.failed().kind(), ErrorKind::StateExpired, "{extra}");
        let again = client.read("Account", None).await.ok();
        assert_eq!(again.keys(), org.keys("Account"), "{extra}");
    }
}

#[tokio::test]
async fn a_run_goes_on_with_the_same_job() {
    let org = Org::small();
    org.emulator()
        .behave(|behaviour| behaviour.bulk_page_rows = 2);
    let extra = json!({"rest_below_rows": 0});
    let whole = org.client(&extra).read("Account", None).await.ok();
    let jobs = org.count("POST", "/jobs/query");
    let (state, before) = whole.states.first().unwrap();
    // Another process: nothing in memory, an empty work folder.
    let rest = org
        .client(&extra)
        .read("Account", Some(state.clone()))
        .await
        .ok();
    assert_eq!(
        &rest.rows[..whole.rows.len() - before],
        &whole.rows[*before..]
    );
    let increments = org.count("POST", "/jobs/query") - jobs;
    assert!(
        increments <= 1,
        "only the look-back needs a new job: {increments}"
    );
}

#[tokio::test]
async fn a_token_that_dies_while_a_job_runs_costs_one_login() {
    // covers: L10, N11
    let org = Org::small();
    org.emulator().behave(|behaviour| behaviour.job_polls = 6);
    let client = org.client(&json!({"rest_below_rows": 0}));
    client.stream("Account").await;
    org.mischief_at(org.requests().len() as u64 + 4, Mischief::ExpireSessions);
    let reading = client.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert_eq!(org.count("POST", "/jobs/query"), 1, "the same job goes on");
    assert_eq!(org.emulator().logins(), 2);
}

#[tokio::test]
async fn columns_are_found_by_name_on_each_page() {
    // covers: L11
    let org = Org::small();
    org.emulator()
        .behave(|behaviour| behaviour.bulk_page_rows = 2);
    let fault = Fault::Replace {
        find: "\"AccountNumber\"".to_owned(),
        with: "\"Renamed__c\"".to_owned(),
    };
    org.fault(Match::path("*/results").nth(2), fault);
    let client = org.client(&json!({"rest_below_rows": 0}));
    let reading = client.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert!(client.warnings().contains(&"W0504".to_owned()));
    let odd: Vec<_> = reading
        .rows
        .iter()
        .filter(|row| row.contains_key("_extra"))
        .collect();
    assert!(!odd.is_empty() && odd.len() <= 2, "{}", odd.len());
    assert!(
        odd.iter()
            .all(|row| row["_extra"].contains("Renamed__c") && !row.contains_key("AccountNumber"))
    );
}

#[tokio::test]
async fn values_of_another_type_are_kept_beside_their_column() {
    // covers: L12
    let org = Org::small();
    let fault = Fault::Replace {
        find: "\"false\"".to_owned(),
        with: "\"perhaps\"".to_owned(),
    };
    org.fault(Match::path("*/results"), fault);
    let client = org.client(&json!({"rest_below_rows": 0}));
    let reading = client.read("Contact", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Contact"));
    let odd = reading.rows.iter().filter(|row| row.contains_key("_extra"));
    assert!(odd.clone().count() > 0);
    for row in odd {
        assert!(row["_extra"].contains("perhaps"), "{}", row["_extra"]);
    }
}

#[tokio::test]
async fn a_field_that_is_lost_between_describe_and_query_is_dropped() {
    let org = Org::small();
    for (extra, field) in [(json!({"rest_below_rows": 0}), "Phone"), (json!({}), "Fax")] {
        let client = org.client(&extra);
        let stream = client.stream("Account").await;
        let now = org.now();
        org.emulator()
            .with_world(|world| world.hide_field("Account", field, now, None))
            .unwrap();
        let reading = client
            .read_request(client.request(&stream, None))
            .await
            .ok();
        assert_eq!(reading.keys(), org.keys("Account"));
        assert!(reading.rows.iter().all(|row| !row.contains_key(field)));
        let drifts = client.drifts();
        assert_eq!(drifts.len(), 1, "{drifts:?}");
        assert!(
            drifts[0].contains(field) && drifts[0].contains("lost access"),
            "{drifts:?}"
        );
    }
}

#[tokio::test]
async fn drift_between_runs_is_told_once() {
    let org = Org::small();
    let client = org.client(&json!({}));
    let first = client.read("Account", None).await.ok();
    assert!(
        client.drifts().is_empty(),
        "the first run has nothing to compare"
    );
    let at = org.now();
    org.emulator().with_world(|world| {
        world.add_field("Account", "Region__c pk40", at).unwrap();
        world.hide_field("Account", "Website", at, None).unwrap();
    });
    // Far enough that a stored describe is not taken for the present one.
    org.clock().advance(MINUTE * 60);
    let next = org.client_in(client.folder, &json!({}));
    next.read("Account", Some(first.state())).await.ok();
    let drifts = next.drifts();
    assert_eq!(drifts.len(), 2, "{drifts:?}");
    assert!(
        drifts
            .iter()
            .any(|drift| drift.contains("Region__c") && drift.contains("is new"))
    );
    assert!(
        drifts
            .iter()
            .any(|drift| drift.contains("Website") && drift.contains("lost access"))
    );
    let third = org.client_in(next.folder, &json!({}));
    third.read("Account", Some(first.state())).await.ok();
    assert!(third.drifts().is_empty(), "{:?}", third.drifts());
}

#[tokio::test]
async fn a_state_in_the_future_is_refused() {
    // covers: L14
    let org = Org::small();
    let state = serde_json::from_value(json!({"v": 1, "from": "2030-01-01T00:00:00Z"})).unwrap();
    let reading = org.client(&json!({})).read("Account", Some(state)).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Config);
    assert!(reading.rows.is_empty() && reading.states.is_empty());
}

#[tokio::test]
async fn the_source_stops_at_its_share_of_the_daily_calls() {
    // covers: L16
    let org = Org::small();
    org.emulator().behave(|behaviour| {
        behaviour.daily_api_requests = 1_000;
        behaviour.used_by_others = 795;
        behaviour.bulk_page_rows = 1;
    });
    let extra = json!({"rest_below_rows": 0, "parallel_pages": 1, "max_records": 1});
    let client = org.client(&extra);
    let reading = client.read("Contact", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::RateLimited);
    assert!(!reading.states.is_empty(), "it stops behind a state");
    // The next day it goes on.
    org.emulator()
        .behave(|behaviour| behaviour.used_by_others = 0);
    let rest = org
        .client(&extra)
        .read("Contact", Some(reading.state()))
        .await
        .ok();
    let mut keys = rest.keys();
    keys.extend(
        reading.rows[..reading.states.last().unwrap().1]
            .iter()
            .map(|row| row["Id"].clone()),
    );
    assert_eq!(keys, org.keys("Contact"));
}

#[tokio::test]
async fn the_own_budget_of_calls_and_the_orgs_quota_end_a_run_resumably() {
    // covers: L16
    let org = Org::small();
    let client = org.client(&json!({"max_api_calls": 4}));
    let reading = client.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    let failed = client.read("Contact", None).await;
    assert_eq!(failed.failed().kind(), ErrorKind::RateLimited);

    let body =
        r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
    org.fault(Match::path("*/queryAll"), Fault::json(403, body));
    let reading = org.client(&json!({})).read("Account", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn windows_are_prepared_side_by_side_and_delivered_in_order() {
    let org = Org::small();
    let extra = json!({"rest_below_rows": 0, "window": "4d", "start_date": "2026-02-01"});
    let client = org.client(&extra);
    let reading = client.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert_eq!(reading.rows.len(), reading.keys().len());
    let ends: Vec<_> = reading
        .states
        .iter()
        .filter_map(|(state, _)| state.as_json()["from"].as_str().map(time))
        .collect();
    assert!(ends.is_sorted() && ends.len() >= 7, "{ends:?}");
    // Without a start the oldest row is looked for.
    let open = org.client(&json!({"rest_below_rows": 0, "window": "4d"}));
    let reading = open.read("Account", None).await.ok();
    assert_eq!(reading.keys(), org.keys("Account"));
    assert!(org.count("POST", "/jobs/query") < 30);
}

#[tokio::test]
async fn a_second_run_without_changes_reads_only_the_lookback() {
    let org = Org::small();
    org.clock().advance(MINUTE * 60);
    let client = org.client(&json!({}));
    let first = client.read("Account", None).await.ok();
    let second = client.read("Account", Some(first.state())).await.ok();
    assert!(second.rows.is_empty());
    assert_eq!(second.state(), first.state());
}
