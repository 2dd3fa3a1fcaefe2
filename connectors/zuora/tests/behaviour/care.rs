//! What goes wrong seldom, and must not go wrong silently.

use std::time::Duration;

use overlock_core::{ErrorKind, State};
use overlock_sandbox::{Fault, Match};
use overlock_zuora::emulator::{Behaviour, CutFiles, Field, Kind, Login, SandboxOptions, Value};
use serde_json::json;

use crate::tenant::{
    Client, DAY, HOUR, SETTLE, Store, Tenant, WINDOWED, assert_all_exact, request, seconds, time,
};

/// A read must end: a test that loops says nothing.
async fn bounded<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it never ends")
}

/// Reads some objects under a habit, and compares.
async fn exact_under(format: &str, names: &[&str], habit: impl FnOnce(&mut Behaviour)) -> Client {
    let tenant = Tenant::small();
    tenant.behave(habit);
    let client = tenant.client(&json!({"format": format}));
    let mut store = Store::default();
    client.run(&tenant, names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, names, &store).await;
    client
}

const THREE: &[&str] = &["Account", "InvoiceItem", "BillingRun"];

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_a_run_is_renewed() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let catalog = client.discover(THREE).await.unwrap();
    let requests: Vec<_> = THREE
        .iter()
        .map(|name| request(&tenant, catalog.get(name).unwrap(), None))
        .collect();
    client.source.plan(&requests);
    let mut store = Store::default();
    for (number, one) in requests.into_iter().enumerate() {
        if number == 1 {
            tenant.pass(2 * HOUR);
        }
        let reading = client.read_request(one.clone()).await.ok();
        store.commit(&one.stream, &reading);
    }
    assert_eq!(tenant.sandbox.emulator().logins(), 2);
    assert_eq!(tenant.jobs().len(), 1);
    // While a job is waited for, too.
    let client = tenant.client(&json!({}));
    let read = client.read(&tenant, "Account", None);
    let expire = async {
        while tenant.calls("submit") < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tenant.sandbox.emulator().expire_tokens();
    };
    tenant.behave(|behaviour| behaviour.job_polls = 5);
    let (reading, ()) = tokio::join!(read, expire);
    reading.ok();
}

#[tokio::test]
async fn key_headers_log_in_without_a_token() {
    let tenant = Tenant::small();
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let client = tenant.client_in(folder, Login::Keys, &json!({}));
    client.source.check().await.unwrap();
    let mut store = Store::default();
    client.run(&tenant, THREE, &mut store).await.ok();
    assert_all_exact(&tenant, &client, THREE, &store).await;
    assert_eq!(tenant.calls("token"), 0);
}

#[tokio::test]
async fn an_error_under_the_status_of_a_success_is_never_no_rows() {
    for kind in ["token", "describe", "submit", "poll", "file"] {
        for format in ["csv", "gzip", "zip"] {
            for is_html in [false, true] {
                let tenant = Tenant::small();
                tenant.behave(|behaviour| {
                    let plan = if is_html {
                        &mut behaviour.html_200
                    } else {
                        &mut behaviour.error_200
                    };
                    plan.insert(kind.to_owned(), 2);
                });
                let client = tenant.client(&json!({"format": format}));
                let place = format!("{kind} {format} html: {is_html}");
                let catalog = client.discover(&["Account"]).await;
                let Ok(catalog) = catalog else {
                    // A login that answers nonsense is given up at once, so as not to lock the account.
                    assert_eq!(kind, "token", "{place}: {catalog:?}");
                    continue;
                };
                let stream = catalog
                    .get("Account")
                    .unwrap_or_else(|| panic!("{place}"))
                    .clone();
                let reading = client.read_request(request(&tenant, &stream, None)).await;
                assert!(reading.error.is_none(), "{place}: {:?}", reading.error);
                let mut store = Store::default();
                store.commit(&stream, &reading);
                tenant.assert_exact(&stream, store.table("Account"));
            }
        }
    }
}

#[tokio::test]
async fn an_error_under_the_status_of_a_success_that_stays_is_an_error() {
    for kind in ["submit", "poll", "file"] {
        for is_html in [false, true] {
            let tenant = Tenant::small();
            let client = tenant.client(&json!({"format": "csv"}));
            let stream = client.stream("Account").await;
            tenant.behave(|behaviour| {
                let plan = if is_html {
                    &mut behaviour.html_200
                } else {
                    &mut behaviour.error_200
                };
                plan.insert(kind.to_owned(), u64::MAX);
            });
            let reading = bounded(client.read_request(request(&tenant, &stream, None))).await;
            assert!(reading.error.is_some(), "{kind} html: {is_html}");
            assert!(reading.states.is_empty(), "{kind} html: {is_html}");
        }
    }
}

#[tokio::test]
async fn rows_that_are_not_as_many_as_announced_are_not_believed() {
    for difference in [1, -1, 1_000_000] {
        let tenant = Tenant::small();
        tenant.behave(|behaviour| behaviour.wrong_count = difference);
        let client = tenant.client(&json!({}));
        let reading = client.read(&tenant, "Account", None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Data, "{difference}");
        assert!(reading.states.is_empty(), "{difference}");
        // The engine begins again, and another job is made: the old one is not asked a second time.
        tenant.behave(|behaviour| behaviour.wrong_count = 0);
        let mut store = Store::default();
        client.run(&tenant, &["Account"], &mut store).await.ok();
        assert_all_exact(&tenant, &client, &["Account"], &store).await;
        assert_eq!(tenant.jobs().len(), 2);
    }
}

#[tokio::test]
async fn results_that_cannot_be_right_move_no_mark() {
    type Habit = fn(&mut Behaviour);
    let habits: [(&str, Habit); 3] = [
        ("a row twice", |behaviour| behaviour.duplicate_rows = 1),
        ("a row outside", |behaviour| {
            behaviour.out_of_window_rows = 1;
        }),
        ("a short row", |behaviour| behaviour.ragged = true),
    ];
    for (what, habit) in habits {
        for format in ["csv", "gzip"] {
            let tenant = Tenant::small();
            tenant.behave(habit);
            let client =
                tenant.client(&json!({"format": format, "start_date": "2025-12-01T00:00:00Z"}));
            let reading = client.read(&tenant, "InvoiceItem", None).await;
            assert_eq!(reading.failed().kind(), ErrorKind::Data, "{what}");
            assert!(reading.states.is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_download_that_ends_early_is_fetched_again() {
    for format in ["csv", "gzip", "zip"] {
        for at_line_end in [false, true] {
            for bytes in [0, 100, 2_000, 20_000] {
                exact_under(format, &["InvoiceItem"], |behaviour| {
                    behaviour.cut_files = Some(CutFiles {
                        files: 2,
                        bytes,
                        at_line_end,
                    });
                })
                .await;
            }
        }
    }
}

#[tokio::test]
async fn a_download_that_always_ends_early_is_an_error() {
    for at_line_end in [false, true] {
        let tenant = Tenant::small();
        tenant.behave(|behaviour| {
            behaviour.cut_files = Some(CutFiles {
                files: u64::MAX,
                bytes: 3_000,
                at_line_end,
            });
        });
        let client = tenant.client(&json!({"format": "csv"}));
        let reading = bounded(client.read(&tenant, "InvoiceItem", None)).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Data);
        assert!(reading.states.is_empty());
    }
}

#[tokio::test]
async fn files_that_are_purged_are_made_once_more_and_not_for_ever() {
    let tenant = Tenant::small();
    tenant.fault(Match::path("/v1/file/*").times(1), Fault::json(404, "{}"));
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Account"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Account"], &store).await;
    assert_eq!(tenant.jobs().len(), 2);
    tenant.behave(|behaviour| behaviour.purge_files = true);
    let client = tenant.client(&json!({}));
    let reading = bounded(client.read(&tenant, "Account", None)).await;
    assert!(reading.error.is_some() && reading.states.is_empty());
    assert!(tenant.jobs().len() < 8, "{} jobs", tenant.jobs().len());
}

#[tokio::test]
async fn jobs_that_are_always_gone_are_an_error_after_a_few() {
    let tenant = Tenant::small();
    tenant.fault(
        Match::path("/v1/batch-query/jobs/*").method("GET"),
        Fault::json(
            200,
            r#"{"status":"error","errorCode":"90002","message":"Invalid Job Id."}"#,
        ),
    );
    let client = tenant.client(&json!({}));
    let reading = bounded(client.read(&tenant, "Account", None)).await;
    assert!(reading.error.is_some() && reading.states.is_empty());
    assert!(tenant.jobs().len() < 10, "{} jobs", tenant.jobs().len());
}

#[tokio::test]
async fn a_file_that_vanishes_in_the_middle_of_its_download_begins_again() {
    let tenant = Tenant::of(SandboxOptions {
        bench_rows: Some(20_000),
        ..Tenant::options()
    });
    tenant.fault(
        Match::path("/v1/file/*").nth(1),
        Fault::ResetAt { bytes: 6_000_000 },
    );
    tenant.fault(Match::path("/v1/file/*").nth(2), Fault::json(404, "{}"));
    let client = tenant.client(&json!({"format": "csv"}));
    let mut store = Store::default();
    let run = client.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
    assert_eq!(store.table("InvoiceItem").rows.len(), 20_000);
    assert_eq!(run.begun_again, 1);
    assert_eq!(tenant.jobs().len(), 2);
}

#[tokio::test]
async fn downloads_that_the_user_may_not_have_are_a_question_of_permission() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.forbid_files = true);
    let client = tenant.client(&json!({}));
    let reading = client.read(&tenant, "Account", None).await;
    let error = reading.failed();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(
        error.hint_text().unwrap().contains("DataSource"),
        "{error:?}"
    );
}

#[tokio::test]
async fn odd_dialects_of_files_change_no_value() {
    for format in ["csv", "gzip", "zip"] {
        exact_under(format, THREE, |behaviour| behaviour.bom = true).await;
        let client = exact_under(format, THREE, |behaviour| behaviour.nul_bytes = true).await;
        assert!(client.warnings().contains(&"W0706".to_owned()));
        exact_under(format, THREE, |behaviour| behaviour.bare_midnight = false).await;
        exact_under(format, THREE, |behaviour| {
            behaviour.shuffled_columns = false;
        })
        .await;
        exact_under(format, THREE, |behaviour| {
            behaviour.canonical_headers = false;
        })
        .await;
        exact_under(format, THREE, |behaviour| behaviour.stray_fields = true).await;
        exact_under(format, THREE, |behaviour| behaviour.related_always = false).await;
    }
}

#[tokio::test]
async fn headers_in_another_case_find_their_columns() {
    let tenant = Tenant::small();
    tenant.world(|world| {
        world.change_object("Account", |object| {
            for field in &mut object.fields {
                field.header = Some(field.name.to_uppercase());
            }
        });
    });
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Account"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Account"], &store).await;
}

#[tokio::test]
async fn midnights_without_a_time_are_those_of_los_angeles_also_where_clocks_change() {
    let tenant = Tenant::small();
    let id = tenant.some_id("Payment");
    // The days on which summer time begins and ends there, and their neighbours.
    for (text, expected) in [
        ("2025-03-08T08:00:00Z", "2025-03-08T08:00:00Z"),
        ("2025-03-09T08:00:00Z", "2025-03-09T08:00:00Z"),
        ("2025-03-10T07:00:00Z", "2025-03-10T07:00:00Z"),
        ("2025-11-02T07:00:00Z", "2025-11-02T07:00:00Z"),
        ("2025-11-03T08:00:00Z", "2025-11-03T08:00:00Z"),
    ] {
        let at = tenant.now();
        tenant.world(|world| {
            let value = Value::Time(time(text));
            world.update("Payment", &id, &[("SettledOn", value)], Some(at), at);
        });
        tenant.pass(4 * HOUR);
        let client = tenant.client(&json!({}));
        let reading = client.read(&tenant, "Payment", None).await.ok();
        let row = reading.rows.iter().find(|row| row["Id"] == id).unwrap();
        assert_eq!(row["SettledOn"], expected);
    }
}

#[tokio::test]
async fn without_a_word_for_null_texts_are_empty_and_nothing_else_changes() {
    // A tenant that ignores `nullReplacement` cannot tell NULL from empty text: text columns show empty text then,
    // all other columns NULL.
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.null_replacement_ignored = true);
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Account"], &mut store).await.ok();
    let stream = client.stream("Account").await;
    for row in store.table("Account").rows.values() {
        for field in stream.schema.fields() {
            if *field.data_type() != arrow::datatypes::DataType::Utf8 {
                assert_ne!(row.get(field.name()).map(String::as_str), Some(""));
            }
        }
        assert!(!row.contains_key("_extra"), "{row:?}");
    }
    assert_eq!(store.table("Account").rows.len(), {
        let now = tenant.now();
        tenant.world(|world| world.ids("Account", now).len())
    });
    assert!(client.warnings().contains(&"W0708".to_owned()));
}

#[tokio::test]
async fn every_hostile_value_is_kept_exactly() {
    let tenant = Tenant::of(SandboxOptions {
        world: overlock_zuora::emulator::WorldOptions {
            nasty: true,
            accounts: 30,
            ..Tenant::options().world
        },
        ..Tenant::options()
    });
    for format in ["csv", "gzip", "zip"] {
        let client = tenant.client(&json!({"format": format}));
        let mut store = Store::default();
        client.run(&tenant, WINDOWED, &mut store).await.ok();
        assert_all_exact(&tenant, &client, WINDOWED, &store).await;
    }
}

#[tokio::test]
async fn late_commits_over_thirty_rounds_lose_nothing() {
    for (settle, lookback) in [("2h", "0s"), ("0s", "0s"), ("30m", "0s"), ("0s", "3h")] {
        let tenant = Tenant::living();
        let extra =
            json!({"settle": settle, "lookback": lookback, "shadow_refresh": "1s", "sweep": "1s"});
        let mut client = tenant.client(&extra);
        let names = ["Invoice", "InvoiceItem", "Usage", "Subscription", "Contact"];
        let mut store = Store::default();
        for _ in 0..30 {
            client = tenant.client_again(&client, &extra);
            client.run(&tenant, &names, &mut store).await.ok();
            tenant.pass(40 * 60);
        }
        tenant.pass(2 * HOUR);
        client.run(&tenant, &names, &mut store).await.ok();
        assert_all_exact(&tenant, &client, &names, &store).await;
    }
}

#[tokio::test]
async fn a_row_that_is_committed_two_hours_late_arrives_whatever_the_settings() {
    for (settle, lookback) in [("2h", "0s"), ("0s", "0s"), ("1h", "10m")] {
        let tenant = Tenant::small();
        let extra = json!({"settle": settle, "lookback": lookback});
        let client = tenant.client(&extra);
        let mut store = Store::default();
        client.run(&tenant, &["Account"], &mut store).await.ok();
        let id = tenant.some_id("Account");
        let stamp = tenant.now();
        tenant.world(|world| {
            let late = stamp.plus(SETTLE);
            let value = Value::Text("late".to_owned());
            world.update("Account", &id, &[("Notes", value)], Some(stamp), late);
        });
        for minutes in [30, 30, 59, 1, 30, 150] {
            tenant.pass(minutes * 60);
            let client = tenant.client_again(&client, &extra);
            client.run(&tenant, &["Account"], &mut store).await.ok();
        }
        let row = &store.table("Account").rows[&id];
        assert_eq!(row["Notes"], "late", "settle {settle} lookback {lookback}");
    }
}

#[tokio::test]
async fn columns_that_change_in_silence_are_there_after_a_day_for_few_calls() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let names = ["RatePlanCharge", "InvoiceItem"];
    let mut store = Store::default();
    client.run(&tenant, &names, &mut store).await.ok();
    let charge = tenant.some_id("RatePlanCharge");
    let item = tenant.some_id("InvoiceItem");
    let now = tenant.now();
    tenant.world(|world| {
        let through = Value::Date("2031-07-31".to_owned());
        world.update(
            "RatePlanCharge",
            &charge,
            &[("ChargedThroughDate", through)],
            None,
            now,
        );
        let name = Value::Text("renamed in silence".to_owned());
        world.update("InvoiceItem", &item, &[("ProductName", name)], None, now);
    });
    tenant.pass(HOUR);
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, &names, &mut store).await.ok();
    assert_ne!(
        store.table("InvoiceItem").rows[&item]["ProductName"],
        "renamed in silence"
    );
    tenant.pass(DAY);
    let (jobs, files) = (tenant.jobs().len(), tenant.calls("file"));
    let client = tenant.client_again(&client, &json!({}));
    let run = client.run(&tenant, &names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
    assert!(
        run.rows <= 2,
        "only the changed rows are read again: {}",
        run.rows
    );
    assert!(
        tenant.jobs().len() - jobs <= 5,
        "{}",
        tenant.jobs().len() - jobs
    );
    assert!(tenant.calls("file") - files <= 6);
    // Nothing is due now.
    let jobs = tenant.jobs().len();
    tenant.pass(HOUR);
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, &names, &mut store).await.ok();
    assert_eq!(tenant.jobs().len(), jobs + 1);
}

#[tokio::test]
async fn a_refresh_whose_rows_were_not_committed_is_made_again() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
    let item = tenant.some_id("InvoiceItem");
    let now = tenant.now();
    tenant.world(|world| {
        let name = Value::Text("renamed in silence".to_owned());
        world.update("InvoiceItem", &item, &[("ProductName", name)], None, now);
    });
    tenant.pass(2 * DAY);
    // The run ends, and its commit does not happen.
    let client = tenant.client_again(&client, &json!({}));
    client
        .run(&tenant, &["InvoiceItem"], &mut store.clone())
        .await
        .ok();
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["InvoiceItem"], &store).await;
}

#[tokio::test]
async fn rows_that_vanish_without_a_word_become_tombstones_within_a_week() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let names = ["ProcessedUsage", "AccountingCode"];
    let mut store = Store::default();
    client.run(&tenant, &names, &mut store).await.ok();
    let gone = tenant.some_id("ProcessedUsage");
    let now = tenant.now();
    tenant.world(|world| world.vanish("ProcessedUsage", &gone, now));
    tenant.pass(8 * DAY);
    let client = tenant.client_again(&client, &json!({}));
    let run = client.run(&tenant, &names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
    assert_eq!(
        store.table("ProcessedUsage").rows[&gone]["_deleted"],
        "true"
    );
    assert_eq!(run.rows, 1);
    // It is told once.
    tenant.pass(8 * DAY);
    let client = tenant.client_again(&client, &json!({}));
    let run = client.run(&tenant, &names, &mut store).await.ok();
    assert_eq!(run.rows, 0);
}

#[tokio::test]
async fn a_tombstone_that_was_not_committed_is_told_again() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client
        .run(&tenant, &["ProcessedUsage"], &mut store)
        .await
        .ok();
    let gone = tenant.some_id("ProcessedUsage");
    let now = tenant.now();
    tenant.world(|world| world.vanish("ProcessedUsage", &gone, now));
    tenant.pass(8 * DAY);
    let client = tenant.client_again(&client, &json!({}));
    client
        .run(&tenant, &["ProcessedUsage"], &mut store.clone())
        .await
        .ok();
    let client = tenant.client_again(&client, &json!({}));
    client
        .run(&tenant, &["ProcessedUsage"], &mut store)
        .await
        .ok();
    assert_eq!(
        store.table("ProcessedUsage").rows[&gone]["_deleted"],
        "true"
    );
}

#[tokio::test]
async fn deletes_are_told_and_after_an_outage_of_forty_days_found() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    let mut ids = store.table("Contact").live().into_iter();
    let (told, purged, late) = (
        ids.next().unwrap(),
        ids.next().unwrap(),
        ids.next().unwrap(),
    );
    let now = tenant.now();
    tenant.world(|world| world.delete("Contact", &told, now));
    tenant.pass(DAY);
    let client = tenant.client_again(&client, &json!({}));
    let run = client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_eq!(run.rows, 1);
    assert_all_exact(&tenant, &client, &["Contact"], &store).await;
    assert_eq!(client.warnings(), Vec::<String>::new());
    // One is deleted and purged while nobody looks, another can still be told.
    let now = tenant.now();
    tenant.world(|world| world.delete("Contact", &purged, now));
    tenant.pass(20 * DAY);
    let now = tenant.now();
    tenant.world(|world| world.delete("Contact", &late, now));
    tenant.pass(20 * DAY);
    let client = tenant.client_again(&client, &json!({}));
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Contact"], &store).await;
    for id in [&told, &purged, &late] {
        assert_eq!(store.table("Contact").rows[id]["_deleted"], "true");
    }
    assert_eq!(client.warnings(), ["W0707"]);
}

#[tokio::test]
async fn deletions_from_before_zuora_learnt_to_tell_them_are_found() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.force_export = false);
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    let gone = store.table("Contact").live().into_iter().next().unwrap();
    for day in 0..9 {
        if day == 3 {
            let now = tenant.now();
            tenant.world(|world| world.delete("Contact", &gone, now));
        }
        if day == 5 {
            tenant.behave(|behaviour| behaviour.force_export = true);
        }
        tenant.pass(DAY);
        let client = tenant.client_again(&client, &json!({}));
        client.run(&tenant, &["Contact"], &mut store).await.ok();
    }
    assert_eq!(store.table("Contact").rows[&gone]["_deleted"], "true");
}

#[tokio::test]
async fn a_new_field_is_filled_from_the_rows_that_have_it_and_no_others() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client
        .run(&tenant, &["Account", "Contact"], &mut store)
        .await
        .ok();
    let before = store.table("Account").clone();
    tenant.pass(DAY);
    let now = tenant.now();
    let ids: Vec<String> = before.live().into_iter().take(3).collect();
    tenant.world(|world| {
        let field = Field {
            since: Some(now),
            ..Field::new("Tier__c", Kind::Text)
        };
        world.add_field("Account", field);
        for id in &ids {
            // A migration fills old rows without a new stamp.
            let value = Value::Text("gold".to_owned());
            world.update("Account", id, &[("Tier__c", value)], None, now);
        }
    });
    tenant.pass(HOUR);
    let client = tenant.client_again(&client, &json!({"describe_age": "0s"}));
    let run = client
        .run(&tenant, &["Account", "Contact"], &mut store)
        .await
        .ok();
    assert_eq!(run.rows, ids.len());
    assert_eq!(client.drifts().len(), 1, "{:?}", client.drifts());
    assert_all_exact(&tenant, &client, &["Account", "Contact"], &store).await;
    for (id, row) in &before.rows {
        let mut now = store.table("Account").rows[id].clone();
        now.remove("Tier__c");
        assert_eq!(now, *row);
    }
}

#[tokio::test]
async fn three_hundred_new_fields_at_once_are_not_too_much() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    tenant.pass(DAY);
    let now = tenant.now();
    let id = tenant.some_id("Contact");
    tenant.world(|world| {
        for number in 0..300 {
            let name = format!("ANewFieldOfTheCompany{number:03}__c");
            world.add_field("Contact", Field::new(&name, Kind::Text));
            let value = Value::Text("new".to_owned());
            world.update("Contact", &id, &[(&name, value)], None, now);
        }
    });
    let client = tenant.client_again(&client, &json!({"describe_age": "0s"}));
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Contact"], &store).await;
}

#[tokio::test]
async fn a_first_read_that_was_interrupted_goes_on_and_begins_nothing_anew() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.abort_above_rows = Some(20));
    let client = tenant.client(&json!({}));
    let whole = client.read(&tenant, "InvoiceItem", None).await.ok();
    assert!(whole.states.len() > 3);
    let (state, covered): (State, usize) = whole.states[whole.states.len() / 2].clone();
    assert!(covered > 0 && covered < whole.rows.len());
    let fresh = tenant.client_again(&client, &json!({}));
    let rest = fresh.read(&tenant, "InvoiceItem", Some(state)).await.ok();
    assert_eq!(covered + rest.rows.len(), whole.rows.len());
    assert_eq!(fresh.drifts(), Vec::<String>::new());
    assert_eq!(fresh.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn types_that_nobody_knows_are_kept_as_text() {
    let tenant = Tenant::small();
    let now = tenant.now();
    let id = tenant.some_id("Account");
    tenant.world(|world| {
        world.add_field("Account", Field::new("Place__c", Kind::Unheard("geometry")));
        let value = Value::Text("POINT(1 2)".to_owned());
        let at = now.minus(seconds(3 * HOUR));
        world.update("Account", &id, &[("Place__c", value)], Some(at), at);
    });
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Account"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Account"], &store).await;
    assert_eq!(store.table("Account").rows[&id]["Place__c"], "POINT(1 2)");
    let stream = client.stream("Account").await;
    assert!(stream.notes.join(" ").contains("Place__c"));
}

#[tokio::test]
async fn each_entity_is_read_and_rows_say_whose_they_are() {
    let (tenant, entities) = Tenant::of_two_entities();
    let extra = json!({"entities": entities});
    let client = tenant.client(&extra);
    client.source.check().await.unwrap();
    let names = ["Account", "Invoice", "Product", "ProcessedUsage"];
    let mut store = Store::default();
    client.run(&tenant, &names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
    assert_eq!(tenant.jobs().len(), 2);
    let accounts = store.table("Account").rows.values();
    let seen: std::collections::BTreeSet<&String> = accounts.map(|row| &row["entity_id"]).collect();
    assert_eq!(seen.len(), 2);
    // Tombstones say it, too.
    let gone = tenant.some_id("ProcessedUsage");
    let now = tenant.now();
    tenant.world(|world| world.vanish("ProcessedUsage", &gone, now));
    tenant.pass(8 * DAY);
    let client = tenant.client_again(&client, &extra);
    client.run(&tenant, &names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
}

#[tokio::test]
async fn a_wrong_entity_is_refused_with_what_to_do() {
    let (tenant, mut entities) = Tenant::of_two_entities();
    entities[1] = "00000000-0000-4000-8000-000000000000".to_owned();
    let client = tenant.client(&json!({"entities": entities}));
    let error = client.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.hint_text().unwrap().contains("entity"), "{error:?}");
    // One that forgets to name them is refused, too, and never gets the rows of one of them.
    let client = tenant.client(&json!({}));
    let error = client.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(
        client.discover(&["Account"]).await.is_err_and(|_| true) || {
            let catalog = client.discover(&["Account"]).await.unwrap();
            catalog.get("Account").is_none()
        }
    );
}

#[tokio::test]
async fn organizations_are_named_in_each_call() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.org_ids = vec!["org-1".to_owned(), "org-2".to_owned()]);
    let client = tenant.client(&json!({"organizations": ["org-1", "org-2"]}));
    client.source.check().await.unwrap();
    let mut store = Store::default();
    client.run(&tenant, &["Account"], &mut store).await.ok();
    for record in tenant.sandbox.requests() {
        if record.path != "/oauth/token" {
            assert_eq!(record.headers["zuora-org-ids"], "org-1,org-2", "{record:?}");
        }
    }
    let stranger = tenant.client(&json!({"organizations": ["org-3"]}));
    let error = stranger.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
}

#[tokio::test]
async fn since_and_a_filter_bound_what_is_read() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let stream = client.stream("Invoice").await;
    let since = time("2026-01-01T00:00:00Z");
    let mut one = request(&tenant, &stream, None);
    one.since = Some(since);
    let reading = client.read_request(one).await.ok();
    assert!(!reading.rows.is_empty());
    assert!(
        reading
            .column("UpdatedDate")
            .iter()
            .all(|stamp| time(stamp) >= since)
    );
    let mut one = request(&tenant, &stream, None);
    one.filter = Some("Status = 'Posted' or Status = 'Draft'".to_owned());
    let posted = client.read_request(one).await.ok();
    let all = client.read(&tenant, "Invoice", None).await.ok();
    let status = |status: &String| status == "Posted" || status == "Draft";
    assert!(posted.column("Status").iter().all(status));
    assert_eq!(
        posted.rows.len(),
        all.column("Status")
            .iter()
            .filter(|one| status(one))
            .count()
    );
    // A condition that Zuora does not take is the stream's error, and says so.
    let mut one = request(&tenant, &stream, None);
    one.filter = Some("Status ==== 'x'".to_owned());
    let reading = client.read_request(one).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn what_is_older_than_the_start_date_stays_out_also_when_ids_are_compared() {
    let tenant = Tenant::small();
    let extra =
        json!({"start_date": "2026-01-01T00:00:00Z", "sweep": "1h", "shadow_refresh": "1h"});
    let client = tenant.client(&extra);
    let names = ["ProcessedUsage", "InvoiceItem"];
    let mut store = Store::default();
    client.run(&tenant, &names, &mut store).await.ok();
    tenant.pass(DAY);
    let client = tenant.client_again(&client, &extra);
    client.run(&tenant, &names, &mut store).await.ok();
    for name in names {
        for row in store.table(name).rows.values() {
            let stamp = time(&row["UpdatedDate"]);
            assert!(
                stamp >= time("2026-01-01T00:00:00Z"),
                "{name} {} of {stamp}",
                row["Id"]
            );
        }
    }
}

#[tokio::test]
async fn an_object_that_is_listed_but_not_described_is_told() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.describe_404 = vec!["Payment".to_owned()];
        behaviour.describe_500 = vec!["Refund".to_owned()];
        behaviour.without_contexts = vec!["Usage".to_owned()];
    });
    let client = tenant
        .client(&json!({"http": {"attempts": 2, "backoff_base": "1ms", "backoff_cap": "1ms"}}));
    let catalog = client.discover(&[]).await.unwrap();
    assert!(catalog.get("Account").is_some());
    for name in ["Payment", "Refund", "Usage", "BillingPreviewRun"] {
        let told = catalog.unavailable.iter().any(|(other, _)| other == name);
        assert!(told, "{name} is not told: {:?}", catalog.unavailable);
    }
}

#[tokio::test]
async fn a_busy_tenant_is_read_with_fewer_calls_at_once_and_still_whole() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.concurrency_limit = 10;
        behaviour.concurrency_remaining = Some(0);
    });
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    bounded(client.run(&tenant, THREE, &mut store)).await.ok();
    assert_all_exact(&tenant, &client, THREE, &store).await;
}

#[tokio::test]
async fn a_state_of_the_future_or_of_another_tenant_is_refused() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    for bad in [
        r#"{"v":1,"from":{"":"2030-01-01T00:00:00Z"}}"#,
        r#"{"v":1,"from":{"":"2026-01-01T00:00:00Z"},"tenant":{"host":"rest.zuora.com"}}"#,
        r#"{"v":1,"from":{"":"2026-01-01T00:00:00Z"},"tenant":{"host":"127.0.0.1","number":"20"}}"#,
        r#"{"v":2}"#,
    ] {
        let state: State = serde_json::from_str(bad).unwrap();
        let reading = client.read(&tenant, "Account", Some(state)).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Config, "{bad}");
        assert!(reading.rows.is_empty());
    }
}

#[tokio::test]
async fn a_lost_work_folder_costs_a_comparison_and_no_silent_change() {
    for has_news in [false, true] {
        let tenant = Tenant::small();
        let client = tenant.client(&json!({}));
        let mut store = Store::default();
        client.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
        let ids: Vec<String> = store
            .table("InvoiceItem")
            .live()
            .into_iter()
            .take(3)
            .collect();
        let rename = |id: &str| {
            let now = tenant.now();
            tenant.world(|world| {
                let name = Value::Text("renamed in silence".to_owned());
                world.update("InvoiceItem", id, &[("ProductName", name)], None, now);
            });
        };
        rename(&ids[0]);
        if has_news {
            tenant.change("InvoiceItem", &ids[1], "SKU", "news");
        }
        tenant.pass(2 * DAY);
        // Another machine: the state is there, the folder is not.
        let client = tenant.client(&json!({}));
        client.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
        assert!(
            client.warnings().contains(&"W0704".to_owned()),
            "news: {has_news}"
        );
        rename(&ids[2]);
        tenant.pass(2 * DAY);
        let client = tenant.client_again(&client, &json!({}));
        client.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
        assert_all_exact(&tenant, &client, &["InvoiceItem"], &store).await;
    }
}

#[tokio::test]
async fn a_lost_work_folder_hides_no_row_that_vanishes_later() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client
        .run(&tenant, &["ProcessedUsage"], &mut store)
        .await
        .ok();
    let ids: Vec<String> = store
        .table("ProcessedUsage")
        .live()
        .into_iter()
        .take(2)
        .collect();
    let now = tenant.now();
    tenant.world(|world| {
        let amount = Value::Number("1".to_owned());
        world.update(
            "ProcessedUsage",
            &ids[0],
            &[("Amount", amount)],
            Some(now),
            now,
        );
    });
    tenant.pass(8 * DAY);
    let client = tenant.client(&json!({}));
    client
        .run(&tenant, &["ProcessedUsage"], &mut store)
        .await
        .ok();
    let now = tenant.now();
    tenant.world(|world| world.vanish("ProcessedUsage", &ids[1], now));
    tenant.pass(8 * DAY);
    let client = tenant.client_again(&client, &json!({}));
    client
        .run(&tenant, &["ProcessedUsage"], &mut store)
        .await
        .ok();
    assert_all_exact(&tenant, &client, &["ProcessedUsage"], &store).await;
}

#[tokio::test]
async fn an_entity_that_is_added_later_is_read_whole_and_hides_no_new_field_of_the_others() {
    let (tenant, entities) = Tenant::of_two_entities();
    let one = json!({"entities": [entities[0]], "describe_age": "0s"});
    let both = json!({"entities": entities, "describe_age": "0s"});
    tenant.behave(|behaviour| behaviour.token_secs = 0);
    let names = ["Account", "ProcessedUsage"];
    let mut store = Store::default();
    let client = tenant.client(&one);
    client.run(&tenant, &names, &mut store).await.ok();
    let now = tenant.now();
    tenant.world(|world| {
        let field = Field {
            since: Some(now),
            ..Field::new("Tier__c", Kind::Text)
        };
        world.add_field("Account", field);
        for id in world.ids("Account", now) {
            let value = Value::Text("gold".to_owned());
            world.update("Account", &id, &[("Tier__c", value)], None, now);
        }
    });
    tenant.pass(DAY);
    let client = tenant.client(&both);
    client.run(&tenant, &names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
}

#[tokio::test]
async fn an_own_field_of_the_name_of_our_column_for_deletions_is_no_trap() {
    let tenant = Tenant::small();
    let id = tenant.some_id("Product");
    tenant.world(|world| {
        world.add_field("Product", Field::new("Deleted", Kind::Text));
        let at = time("2026-02-28T00:00:00Z");
        let value = Value::Text("by whom".to_owned());
        world.update("Product", &id, &[("Deleted", value)], Some(at), at);
    });
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Product"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Product"], &store).await;
}

#[tokio::test]
async fn a_page_of_ids_that_is_not_in_order_is_not_believed() {
    let tenant = Tenant::small();
    let at = tenant.now().minus(seconds(30 * DAY));
    tenant.crowd("AccountingPeriod", 244, at);
    tenant.behave(|behaviour| behaviour.abort_above_rows = Some(122));
    let client = tenant.client(&json!({"format": "csv"}));
    let stream = client.stream("AccountingPeriod").await;
    // The first page's last Id is not its largest: the next page would leave rows out.
    let last = format!("2c92{:028x}", 121);
    tenant.fault(
        Match::path("/v1/file/*"),
        Fault::Replace {
            find: last,
            with: "2c920000000000000000000000000001".to_owned(),
        },
    );
    let reading = bounded(client.read_request(request(&tenant, &stream, None))).await;
    assert!(reading.error.is_some());
}

#[tokio::test]
async fn settings_that_change_between_runs_lose_nothing() {
    let tenant = Tenant::living();
    tenant.behave(|behaviour| behaviour.token_secs = 0);
    let names = ["Invoice", "InvoiceItem", "Contact", "Usage"];
    let mut store = Store::default();
    let mut client = tenant.client(&json!({}));
    for (number, extra) in [
        json!({"settle": "0s"}),
        json!({"settle": "2h"}),
        json!({"settle": "1h", "format": "zip"}),
        json!({"joins": false}),
        json!({"joins": true, "settle": "3h"}),
        json!({"window": "6h"}),
        json!({"own_jobs": ["Usage"], "settle": "0s", "lookback": "5h"}),
        json!({"shadow_refresh": "1s", "sweep": "1s"}),
    ]
    .into_iter()
    .enumerate()
    {
        client = tenant.client_again(&client, &extra);
        let run = client.run(&tenant, &names, &mut store).await.ok();
        assert_eq!(run.begun_again, 0, "run {number}");
        tenant.pass(7 * HOUR);
    }
    let extra = json!({"shadow_refresh": "1s", "sweep": "1s"});
    client = tenant.client_again(&client, &extra);
    client.run(&tenant, &names, &mut store).await.ok();
    assert_all_exact(&tenant, &client, &names, &store).await;
}

#[tokio::test]
async fn rows_that_vanish_and_come_back_are_there_again() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    let names = ["ProcessedUsage"];
    client.run(&tenant, &names, &mut store).await.ok();
    let id = tenant.some_id("ProcessedUsage");
    let row = tenant.row("ProcessedUsage", &id);
    // A permission is taken away and given back: the row is as it was, its stamp is old.
    for _ in 0..2 {
        let now = tenant.now();
        tenant.world(|world| world.vanish("ProcessedUsage", &id, now));
        tenant.pass(8 * DAY);
        let client = tenant.client_again(&client, &json!({}));
        client.run(&tenant, &names, &mut store).await.ok();
        assert_eq!(store.table("ProcessedUsage").rows[&id]["_deleted"], "true");
        let now = tenant.now();
        tenant.world(|world| world.put("ProcessedUsage", row.clone(), now));
        tenant.pass(8 * DAY);
        let client = tenant.client_again(&client, &json!({}));
        let run = client.run(&tenant, &names, &mut store).await.ok();
        assert_eq!(run.rows, 1);
        assert_all_exact(&tenant, &client, &names, &store).await;
    }
}

#[tokio::test]
async fn a_table_that_vanishes_whole_is_not_believed() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    let names = ["AccountingCode"];
    client.run(&tenant, &names, &mut store).await.ok();
    let live = store.table("AccountingCode").live();
    assert!((2..100).contains(&live.len()), "{}", live.len());
    let now = tenant.now();
    for id in &live {
        tenant.world(|world| world.vanish("AccountingCode", id, now));
    }
    tenant.pass(8 * DAY);
    let client = tenant.client_again(&client, &json!({}));
    let run = client.run(&tenant, &names, &mut store).await;
    assert_eq!(run.errors.len(), 1);
    assert_eq!(store.table("AccountingCode").live(), live);
}

#[tokio::test]
async fn two_results_of_one_query_are_not_believed() {
    let tenant = Tenant::small();
    tenant.fault(
        Match::path("/v1/batch-query/jobs/*").method("GET"),
        Fault::Replace {
            find: r#""batches":[{"#.to_owned(),
            with: r#""batches":[{"name":"q0_Contact","status":"completed","recordCount":0,"fileId":"x"},{"#
                .to_owned(),
        },
    );
    let client = tenant.client(&json!({}));
    let reading = bounded(client.read(&tenant, "Contact", None)).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(reading.failed().to_string().contains("two results"));
    assert!(reading.states.is_empty());
}

#[tokio::test]
async fn a_file_without_the_mark_of_deleted_rows_is_not_believed() {
    let tenant = Tenant::small();
    tenant.fault(
        Match::path("/v1/file/*").method("GET"),
        Fault::Replace {
            find: "RowIsDeleted".to_owned(),
            with: "RowIsOther".to_owned(),
        },
    );
    let client = tenant.client(&json!({"format": "csv"}));
    let reading = bounded(client.read(&tenant, "Contact", None)).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(reading.states.is_empty());
    // Who did not ask for deleted rows misses nothing.
    client.read(&tenant, "ProcessedUsage", None).await.ok();
}

#[tokio::test]
async fn who_is_refused_for_deleted_rows_without_asking_for_them_asks_a_few_times_only() {
    for body in [
        r#"{"status":"error","errorCode":"90012","message":"Stateless AQuA does not support deleted columns."}"#,
        r#"{"status":"error","errorCode":"90017","message":"Objects included in the queries do not support the querying of deleted records."}"#,
    ] {
        let tenant = Tenant::small();
        tenant.fault(
            Match::path("/v1/batch-query/").method("POST"),
            Fault::json(200, body),
        );
        let client = tenant.client(&json!({}));
        let names = ["Contact", "ProcessedUsage", "Account"];
        let mut store = Store::default();
        let run = bounded(client.run(&tenant, &names, &mut store)).await;
        assert_eq!(run.errors.len(), 3, "{:?}", run.errors);
        assert!(tenant.calls("submit") <= 16, "{}", tenant.calls("submit"));
    }
    let tenant = Tenant::small();
    tenant.fault(
        Match::path("/v1/batch-query/jobs/*").method("GET"),
        Fault::Replace {
            find: r#""status":"completed""#.to_owned(),
            with: r#""status":"deleted_notallowed""#.to_owned(),
        },
    );
    let client = tenant.client(&json!({}));
    let reading = bounded(client.read(&tenant, "ProcessedUsage", None)).await;
    assert!(reading.error.is_some());
    assert!(tenant.calls("submit") <= 3, "{}", tenant.calls("submit"));
}

#[tokio::test]
async fn a_key_that_changes_between_runs_is_refused_and_an_earlier_start_is_told() {
    let (tenant, entities) = Tenant::of_two_entities();
    let one = json!({"entities": entities, "start_date": "2026-01-01T00:00:00Z"});
    let client = tenant.client(&one);
    let stream = client.stream("Account").await;
    let first = client
        .read_request(request(&tenant, &stream, None))
        .await
        .ok();
    tenant.pass(DAY);
    let earlier = json!({"entities": entities, "start_date": "2025-06-01T00:00:00Z"});
    let again = tenant.client_again(&client, &earlier);
    again
        .read(&tenant, "Account", Some(first.state()))
        .await
        .ok();
    assert!(
        again.warnings().iter().any(|text| text.contains("W0710")),
        "{:?}",
        again.warnings()
    );
    let again = tenant.client_again(&client, &one);
    again
        .read(&tenant, "Account", Some(first.state()))
        .await
        .ok();
    assert_eq!(again.warnings(), Vec::<String>::new());
    // Without `entity_id` the key is another one.
    let mut stream = (*stream).clone();
    stream.primary_key.retain(|name| name == "Id");
    let stream = std::sync::Arc::new(stream);
    let reading = again
        .read_request(request(&tenant, &stream, Some(first.state())))
        .await;
    assert_eq!(reading.failed().kind(), ErrorKind::Config);
    assert!(reading.rows.is_empty());
}
