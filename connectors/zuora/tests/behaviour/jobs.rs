//! Jobs that are shared, refused, aborted, lost and found again.

use std::time::Duration;

use overlock_core::ErrorKind;
use overlock_sandbox::{Fault, Match};
use overlock_zuora::emulator::{BatchOutcome, Outcome};
use serde_json::json;

use crate::tenant::{Client, DAY, HOUR, Run, Store, Tenant, WINDOWED, assert_all_exact, request};

/// Five objects that share a job.
const FIVE: &[&str] = &["Account", "Contact", "Invoice", "InvoiceItem", "Payment"];

async fn run(client: &Client, tenant: &Tenant, names: &[&str]) -> (Run, Store) {
    let mut store = Store::default();
    let run = client.run(tenant, names, &mut store).await;
    (run, store)
}

fn end_so(tenant: &Tenant, object: &str, outcome: Outcome, jobs: u64) {
    tenant.behave(|behaviour| {
        behaviour.batch_outcomes.push(BatchOutcome {
            object: object.to_owned(),
            outcome,
            jobs,
        });
    });
}

/// The four that are not `Invoice`, whole.
async fn assert_others_exact(tenant: &Tenant, client: &Client, store: &Store) {
    let others = ["Account", "Contact", "InvoiceItem", "Payment"];
    assert_all_exact(tenant, client, &others, store).await;
}

#[tokio::test]
async fn more_than_fifty_objects_take_two_jobs() {
    let tenant = Tenant::small();
    let copies: Vec<String> = (0..60).map(|number| format!("Copy{number}")).collect();
    tenant.world(|world| {
        let product = world.object("Product").unwrap().clone();
        for name in &copies {
            let mut copy = product.clone();
            copy.name.clone_from(name);
            world.add_object(copy);
        }
    });
    let client = tenant.client(&json!({}));
    let names: Vec<&str> = WINDOWED
        .iter()
        .copied()
        .chain(copies.iter().map(String::as_str))
        .collect();
    let (run, store) = run(&client, &tenant, &names).await;
    run.ok();
    let sizes: Vec<usize> = tenant.jobs().iter().map(|job| job.queries.len()).collect();
    assert_eq!(sizes, [50, names.len() - 50]);
    assert_all_exact(&tenant, &client, WINDOWED, &store).await;
}

#[tokio::test]
async fn all_queries_of_a_run_end_at_the_same_instant() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({"own_jobs": ["InvoiceItem"]}));
    run(&client, &tenant, FIVE).await.0.ok();
    let jobs = tenant.jobs();
    assert_eq!(jobs.len(), 2);
    let ends: std::collections::BTreeSet<String> = jobs
        .iter()
        .flat_map(|job| &job.queries)
        .map(|(_, text)| {
            let (_, rest) = text.split_once("UpdatedDate < '").unwrap();
            rest.chars().take(20).collect()
        })
        .collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
}

#[tokio::test]
async fn a_field_that_zuora_does_not_know_is_left_out_and_told() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.unknown_fields = vec!["Account.Region__c".to_owned()]);
    let client = tenant.client(&json!({}));
    let (run, store) = run(&client, &tenant, FIVE).await;
    run.ok();
    let drifts = client.drifts();
    assert_eq!(drifts.len(), 1, "{drifts:?}");
    assert!(drifts[0].starts_with("Account: ") && drifts[0].contains("Region__c"));
    // Contact has a field of the same name, which is another one.
    let contacts = store.table("Contact").rows.values();
    assert!(contacts.filter(|row| row.contains_key("Region__c")).count() > 0);
    let stream = client.stream("Account").await;
    let problems = tenant.problems(&stream, store.table("Account"), tenant.now());
    assert!(problems.iter().all(|problem| problem.contains("Region__c")));
    assert_all_exact(&tenant, &client, &FIVE[1..], &store).await;
    assert_eq!(tenant.jobs().len(), 1);
}

#[tokio::test]
async fn a_field_that_was_refused_for_a_while_has_its_values_when_it_works_again() {
    let tenant = Tenant::small();
    let mut store = Store::default();
    let client = tenant.client(&json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    let id = tenant.some_id("Account");
    tenant.change("Account", &id, "Region__c", "APAC");
    tenant.pass(DAY);
    tenant.behave(|behaviour| behaviour.unknown_fields = vec!["Account.Region__c".to_owned()]);
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    tenant.behave(|behaviour| behaviour.unknown_fields.clear());
    tenant.pass(DAY);
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    assert_all_exact(&tenant, &client, FIVE, &store).await;
}

#[tokio::test]
async fn a_field_that_is_gone_costs_one_refusal_and_no_other_value() {
    let tenant = Tenant::small();
    let mut store = Store::default();
    let client = tenant.client(&json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    tenant.pass(HOUR);
    let now = tenant.now();
    tenant.world(|world| {
        world.change_object("Account", |object| {
            let field = object.fields.iter_mut().find(|field| field.name == "VATId");
            field.unwrap().until = Some(now);
        });
    });
    let id = tenant.some_id("Account");
    tenant.change("Account", &id, "Notes", "without a VAT id");
    tenant.pass(4 * HOUR);
    // The description is remembered, and wrong.
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    assert_eq!(client.drifts().len(), 1);
    assert_all_exact(&tenant, &client, FIVE, &store).await;
    // The next run knows.
    let before = tenant.calls("submit");
    tenant.pass(HOUR);
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    assert_eq!(tenant.calls("submit"), before + 1);
    assert!(
        client
            .stream("Account")
            .await
            .schema
            .index_of("VATId")
            .is_err()
    );
    assert_eq!(client.drifts(), Vec::<String>::new());
}

#[tokio::test]
async fn an_object_without_deleted_rows_that_nobody_listed_is_found_out() {
    for plain in [false, true] {
        let tenant = Tenant::small();
        tenant.behave(|behaviour| behaviour.plain_message = plain);
        tenant.world(|world| world.change_object("Invoice", |object| object.deletes = false));
        let client = tenant.client(&json!({}));
        let (first, store) = run(&client, &tenant, FIVE).await;
        first.ok();
        assert_all_exact(&tenant, &client, FIVE, &store).await;
        // It is remembered: the next run asks once.
        let before = tenant.calls("submit");
        let again = tenant.client_again(&client, &json!({}));
        run(&again, &tenant, FIVE).await.0.ok();
        assert_eq!(tenant.calls("submit"), before + 1);
    }
}

#[tokio::test]
async fn deletednotallowed_in_the_middle_of_a_job_is_asked_again_without() {
    let tenant = Tenant::small();
    end_so(&tenant, "Invoice", Outcome::DeletedNotallowed, 1);
    let client = tenant.client(&json!({}));
    let (run, store) = run(&client, &tenant, FIVE).await;
    run.ok();
    assert_all_exact(&tenant, &client, FIVE, &store).await;
    assert_eq!(tenant.jobs().len(), 2);
}

#[tokio::test]
async fn a_tenant_without_deleted_rows_in_stateless_jobs_is_told_once() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.force_export = false);
    let client = tenant.client(&json!({}));
    let (first, store) = run(&client, &tenant, FIVE).await;
    first.ok();
    assert_eq!(client.warnings(), ["W0703"]);
    assert_eq!(tenant.jobs().len(), 1);
    assert_eq!(tenant.calls("submit"), 2);
    let before = tenant.now().minus(crate::tenant::SETTLE);
    for name in FIVE {
        let stream = client.stream(name).await;
        assert_eq!(
            tenant.problems(&stream, store.table(name), before),
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn a_query_that_zuora_leaves_out_in_silence_is_refused_and_never_empty() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.vanish_queries = vec!["Invoice".to_owned()]);
    let client = tenant.client(&json!({}));
    let (run, store) = run(&client, &tenant, FIVE).await;
    assert_eq!(run.errors.len(), 1);
    let error = &run.errors["Invoice"];
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.to_string().contains("Invoice") && error.hint_text().is_some());
    assert!(
        store
            .0
            .get("Invoice")
            .is_none_or(|table| table.state.is_none())
    );
    assert_others_exact(&tenant, &client, &store).await;
    assert_eq!(
        tenant.jobs().len(),
        1,
        "the outcome of the shared job is final"
    );
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_halved_and_the_others_are_not() {
    for outcome in [
        Outcome::TooLong,
        Outcome::Stuck,
        Outcome::Aborted,
        Outcome::Error,
    ] {
        let tenant = Tenant::small();
        end_so(&tenant, "Invoice", outcome, 1);
        let client = tenant.client(&json!({}));
        let (run, store) = run(&client, &tenant, FIVE).await;
        run.ok();
        assert_all_exact(&tenant, &client, FIVE, &store).await;
        let halves = |object: &str| {
            let jobs = tenant.jobs();
            let names = jobs.iter().flat_map(|job| &job.queries);
            names
                .filter(|(name, text)| name.ends_with(object) && text.contains(">="))
                .count()
        };
        for other in ["_Account", "_Contact", "_InvoiceItem", "_Payment"] {
            assert_eq!(halves(other), 0, "{outcome:?}: {other} is halved");
        }
        assert!(
            tenant.jobs().len() <= 7,
            "{outcome:?}: {} jobs",
            tenant.jobs().len()
        );
    }
}

#[tokio::test]
async fn of_two_queries_only_the_one_that_took_too_long_is_halved() {
    let tenant = Tenant::small();
    end_so(&tenant, "Account", Outcome::TooLong, 1);
    let client = tenant.client(&json!({}));
    let names = ["Account", "Contact"];
    let (run, store) = run(&client, &tenant, &names).await;
    run.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
    let jobs = tenant.jobs();
    let queries = jobs.iter().flat_map(|job| &job.queries);
    let of_contact: Vec<_> = queries
        .filter(|(name, text)| name.ends_with("_Contact") && text.contains(">="))
        .collect();
    assert!(of_contact.is_empty(), "{of_contact:?}");
}

#[tokio::test]
async fn a_query_that_is_always_aborted_fails_alone_and_soon() {
    let tenant = Tenant::small();
    end_so(&tenant, "Invoice", Outcome::Aborted, u64::MAX);
    let client = tenant.client(&json!({}));
    let (run, store) = run(&client, &tenant, FIVE).await;
    assert_eq!(run.errors.keys().collect::<Vec<_>>(), ["Invoice"]);
    assert!(!run.errors["Invoice"].to_string().is_empty());
    assert_others_exact(&tenant, &client, &store).await;
    assert!(tenant.jobs().len() < 20, "{}", tenant.jobs().len());
}

#[tokio::test]
async fn a_job_that_somebody_cancelled_is_an_error_and_is_made_again_when_asked() {
    let tenant = Tenant::small();
    end_so(&tenant, "Invoice", Outcome::Cancelled, 1);
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    let run = client.run(&tenant, FIVE, &mut store).await;
    assert_eq!(run.errors.len(), FIVE.len());
    for error in run.errors.values() {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("cancelled"));
    }
    assert!(
        store
            .0
            .values()
            .all(|table| table.rows.is_empty() && table.state.is_none())
    );
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, FIVE, &mut store).await.ok();
    assert_all_exact(&tenant, &client, FIVE, &store).await;
}

#[tokio::test]
async fn a_restart_after_the_submission_goes_on_with_the_job() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.job_polls = 1_000_000);
    let client = tenant.client(&json!({}));
    let catalog = client.discover(FIVE).await.unwrap();
    let requests: Vec<_> = FIVE
        .iter()
        .map(|name| request(&tenant, catalog.get(name).unwrap(), None))
        .collect();
    client.source.plan(&requests);
    let read = client.read_request(requests[0].clone());
    // The process is killed while the job runs.
    let killed = tokio::time::timeout(Duration::from_millis(100), read).await;
    assert!(killed.is_err());
    drop(client.source);
    assert_eq!(tenant.jobs().len(), 1);
    tenant.behave(|behaviour| behaviour.job_polls = 1);
    tenant.pass(600);
    let again = tenant.client_in(
        client.folder,
        overlock_zuora::emulator::Login::OAuth,
        &json!({}),
    );
    let mut store = Store::default();
    again.run(&tenant, FIVE, &mut store).await.ok();
    assert_all_exact(&tenant, &again, FIVE, &store).await;
    // One more for the ten minutes since.
    let jobs = tenant.jobs();
    assert_eq!(jobs.len(), 2, "{jobs:#?}");
    let lower = |text: &str| text.contains(">=");
    assert!(jobs[1].queries.iter().all(|(_, text)| lower(text)));
    assert!(jobs.iter().all(|job| job.status == "completed"));
}

#[tokio::test]
async fn a_restart_at_once_makes_no_second_job() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let catalog = client.discover(FIVE).await.unwrap();
    let requests: Vec<_> = FIVE
        .iter()
        .map(|name| request(&tenant, catalog.get(name).unwrap(), None))
        .collect();
    client.source.plan(&requests);
    // Killed in the middle of a file: nothing of it is committed.
    tenant.fault(
        Match::path("/v1/file/*").times(1),
        Fault::Stall { bytes: Some(300) },
    );
    let read = client.read_request(requests[0].clone());
    let killed = tokio::time::timeout(Duration::from_millis(300), read).await;
    assert!(killed.is_err());
    let again = tenant.client_again(&client, &json!({}));
    let mut store = Store::default();
    again.run(&tenant, FIVE, &mut store).await.ok();
    assert_all_exact(&tenant, &again, FIVE, &store).await;
    assert_eq!(tenant.jobs().len(), 1);
}

#[tokio::test]
async fn a_kept_job_that_lacks_a_field_is_no_trap() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.unknown_fields = vec!["Account.Region__c".to_owned()];
        behaviour.job_polls = 1_000_000;
    });
    let client = tenant.client(&json!({}));
    let stream = client.stream("Account").await;
    let all = [request(&tenant, &stream, None)];
    client.source.plan(&all);
    let read = client.read_request(all[0].clone());
    let killed = tokio::time::timeout(Duration::from_millis(100), read).await;
    assert!(killed.is_err());
    tenant.behave(|behaviour| {
        behaviour.unknown_fields.clear();
        behaviour.job_polls = 1;
    });
    let again = tenant.client_again(&client, &json!({}));
    let mut store = Store::default();
    let run = again.run(&tenant, &["Account"], &mut store).await.ok();
    assert_eq!(run.begun_again, 0, "the read had to begin again");
    assert_all_exact(&tenant, &again, &["Account"], &store).await;
}

#[tokio::test]
async fn segments_go_on_behind_the_last_that_was_committed() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.segments_of_rows = Some(25));
    let client = tenant.client(&json!({}));
    let reading = client.read(&tenant, "InvoiceItem", None).await.ok();
    let files = tenant.calls("file");
    assert!(files > 4 && reading.states.len() as u64 >= files);
    let jobs = tenant.jobs().len();
    let whole: std::collections::BTreeSet<String> = reading.ids().into_iter().collect();
    for (number, (state, covered)) in reading.states.iter().enumerate() {
        let before = tenant.calls("file");
        let rest = client
            .read(&tenant, "InvoiceItem", Some(state.clone()))
            .await
            .ok();
        let mut ids = reading.ids()[..*covered].to_vec();
        ids.extend(rest.ids());
        let seen: std::collections::BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(seen, whole, "state {number}");
        assert_eq!(ids.len(), whole.len(), "state {number}: no row twice");
        let left = files.saturating_sub(number as u64 + 1);
        assert_eq!(tenant.calls("file") - before, left, "state {number}");
    }
    assert_eq!(tenant.jobs().len(), jobs, "no further job");
}

#[tokio::test]
async fn close_cancels_what_is_under_way() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.job_polls = 1_000_000);
    let client = tenant.client(&json!({}));
    let stream = client.stream("Account").await;
    let read = client.read_request(request(&tenant, &stream, None));
    let stopped = tokio::time::timeout(Duration::from_millis(100), read).await;
    assert!(stopped.is_err());
    client.source.close().await;
    let jobs = tenant.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].status, "cancelled");
    // And nobody goes on with it.
    tenant.behave(|behaviour| behaviour.job_polls = 1);
    let again = tenant.client_again(&client, &json!({}));
    let (run, store) = run(&again, &tenant, &["Account"]).await;
    run.ok();
    assert_all_exact(&tenant, &again, &["Account"], &store).await;
    // A good run leaves nothing to cancel.
    assert_eq!(tenant.calls("cancel"), 1);
}

#[tokio::test]
async fn a_tenant_that_has_no_place_for_a_job_is_waited_for() {
    for as_429 in [false, true] {
        let tenant = Tenant::small();
        tenant.behave(|behaviour| {
            behaviour.concurrent_jobs = 0;
            behaviour.concurrent_as_429 = as_429;
            behaviour.busy_retry_after_secs = 0;
        });
        let client = tenant.client(&json!({"http": {
            "backoff_base": "1ms", "backoff_cap": "3ms", "rate_limit_wait": "1ms", "retries": 4_000, "attempts": 100,
        }}));
        let free = async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if tenant.calls("submit") >= 3 {
                    tenant.behave(|behaviour| behaviour.concurrent_jobs = 50);
                    return;
                }
            }
        };
        let ((run, store), ()) = tokio::join!(run(&client, &tenant, FIVE), free);
        run.ok();
        assert_all_exact(&tenant, &client, FIVE, &store).await;
        assert_eq!(tenant.jobs().len(), 1);
    }
}

#[tokio::test]
async fn every_third_call_too_many_changes_nothing_but_the_number_of_calls() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.busy_every = 3;
        behaviour.busy_retry_after_secs = 0;
    });
    let client = tenant.client(&json!({}));
    let (run, store) = run(&client, &tenant, FIVE).await;
    run.ok();
    assert_all_exact(&tenant, &client, FIVE, &store).await;
    assert_eq!(tenant.jobs().len(), 1);
}

#[tokio::test]
async fn an_answer_to_a_submission_that_is_lost_makes_no_second_job() {
    let tenant = Tenant::small();
    let submission = || Match::path("/v1/batch-query*").method("POST").times(1);
    tenant.fault(submission(), Fault::Lost);
    let client = tenant.client(&json!({}));
    let (run, store) = run(&client, &tenant, FIVE).await;
    run.ok();
    assert_all_exact(&tenant, &client, FIVE, &store).await;
    assert_eq!(tenant.jobs().len(), 1);
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_cancelled_and_asked_in_halves() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.job_latency_secs = 100_000);
    let client = tenant.client(&json!({"job_timeout": "1s"}));
    let heal = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if tenant.calls("cancel") > 0 {
                tenant.behave(|behaviour| behaviour.job_latency_secs = 0);
                return;
            }
        }
    };
    let ((run, store), ()) = tokio::join!(run(&client, &tenant, &["Invoice"]), heal);
    run.ok();
    assert_all_exact(&tenant, &client, &["Invoice"], &store).await;
    let jobs = tenant.jobs();
    assert_eq!(jobs[0].status, "cancelled");
    assert_eq!(jobs.len(), 3);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_halved_down_to_a_second_and_then_read_by_id() {
    let tenant = Tenant::small();
    // Many rows of one second: no window is small enough.
    let at = tenant.now().minus(Duration::from_secs(5 * DAY));
    tenant.crowd("InvoiceItem", 400, at);
    tenant.behave(|behaviour| {
        behaviour.max_file_bytes = 130_000;
        behaviour.shuffled_columns = false;
    });
    let client = tenant.client(&json!({"format": "csv"}));
    let (run, store) = run(&client, &tenant, &["InvoiceItem"]).await;
    run.ok();
    assert_all_exact(&tenant, &client, &["InvoiceItem"], &store).await;
    let jobs = tenant.jobs();
    let texts: Vec<&String> = jobs
        .iter()
        .flat_map(|job| &job.queries)
        .map(|(_, text)| text)
        .collect();
    assert!(texts.iter().any(|text| text.contains("order by Id limit")));
    assert!(texts.iter().any(|text| text.contains("Id > '")));
    assert!(jobs.len() < 80, "{}", jobs.len());
}

#[tokio::test]
async fn a_query_of_too_many_rows_for_the_time_is_halved_until_it_fits() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.abort_above_rows = Some(60));
    let client = tenant.client(&json!({}));
    let names = ["InvoiceItem", "Account", "Usage"];
    let (run, store) = run(&client, &tenant, &names).await;
    run.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
}

#[tokio::test]
async fn windows_of_the_settings_are_kept() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({"window": "30d", "start_date": "2025-09-01T00:00:00Z"}));
    let reading = client.read(&tenant, "Usage", None).await.ok();
    assert!(reading.states.len() >= 6, "{}", reading.states.len());
    let stream = client.stream("Usage").await;
    let first = overlock_core::Timestamp::parse("2025-09-01").unwrap();
    let now = tenant.now();
    let expected: std::collections::BTreeSet<String> = tenant.world(|world| {
        let before = now.minus(crate::tenant::SETTLE);
        let rows = world.rows("Usage", now).into_iter();
        let change = world.object("Usage").unwrap().change;
        let fits = |row: &&overlock_zuora::emulator::Row| {
            row.stamp(change)
                .is_some_and(|stamp| stamp >= first && stamp < before)
        };
        rows.filter(fits).map(|row| row.id.clone()).collect()
    });
    let found: std::collections::BTreeSet<String> = reading.ids().into_iter().collect();
    assert_eq!(found, expected);
    assert_eq!(stream.primary_key, ["Id"]);
}
