//! The bugs that other extractors of Zuora had, one by one: each test fails if ours has it.
//!
//! The letters are those of the list of known bugs that the project keeps (p: tap-zuora, a: Airbyte, e: Estuary,
//! f: Fivetran, g: guardian, o: others); the names say what went wrong there.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::datatypes::DataType;
use overlock_core::{ErrorKind, StreamName};
use overlock_sandbox::{Fault, Match};
use overlock_zuora::api;
use overlock_zuora::emulator::{
    BatchOutcome, CutFiles, Field, Kind, Outcome, SandboxOptions, Value,
};
use serde_json::json;

use crate::tenant::{
    DAY, HOUR, SETTLE, Store, Tenant, assert_all_exact, normal, request, seconds, time,
};

/// tap-zuora 1: a row stamped exactly at the start was smaller than it as text, and dropped.
#[tokio::test]
async fn p1_a_row_stamped_exactly_at_a_border_of_a_window_comes_once() {
    let tenant = Tenant::small();
    let id = tenant.some_id("Account");
    let stamp = time("2026-02-10T00:00:00Z");
    tenant.world(|world| world.update("Account", &id, &[], Some(stamp), stamp));
    let actual = tenant.row("Account", &id);
    assert_eq!(*actual.value("UpdatedDate"), Value::Time(stamp));
    // As the start of history,
    let client = tenant.client(&json!({"start_date": "2026-02-10T00:00:00Z"}));
    let reading = client.read(&tenant, "Account", None).await.ok();
    assert!(reading.ids().contains(&id));
    // as the border between two windows,
    let client = tenant.client(&json!({"window": "1d", "start_date": "2026-02-08T00:00:00Z"}));
    let reading = client.read(&tenant, "Account", None).await.ok();
    assert_eq!(
        reading.ids().iter().filter(|other| **other == id).count(),
        1
    );
    // and as the end of a run, which the next one begins with.
    let client = tenant.client(&json!({}));
    let stream = client.stream("Account").await;
    let mut first = request(&tenant, &stream, None);
    first.until = stamp;
    let first = client.read_request(first).await.ok();
    assert!(!first.ids().contains(&id));
    let second = client
        .read(&tenant, "Account", Some(first.state()))
        .await
        .ok();
    assert!(second.ids().contains(&id));
}

/// tap-zuora 2: a segment left the state when its first row was written, so a crash inside it lost the rest.
#[tokio::test]
async fn p2_a_segment_that_was_interrupted_is_read_whole() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.segments_of_rows = Some(30));
    let client = tenant.client(&json!({"format": "csv"}));
    let mut store = Store::default();
    let stream = client.stream("InvoiceItem").await;
    // The second segment breaks in its middle, and nobody tries again.
    tenant.fault(
        Match::path("/v1/file/*").nth(2),
        Fault::Stall { bytes: Some(2_000) },
    );
    let mut pages = client.source.read(request(&tenant, &stream, None));
    let mut reading = crate::tenant::Reading::default();
    let until_killed = async {
        use futures::StreamExt as _;
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            reading.rows.extend(crate::tenant::rows(&page.batch));
            if let Some(state) = page.state {
                reading.states.push((state, reading.rows.len()));
            }
        }
    };
    let killed = tokio::time::timeout(Duration::from_millis(400), until_killed).await;
    assert!(killed.is_err());
    drop(pages);
    assert_eq!(reading.states.len(), 1, "one whole segment is covered");
    store.commit(&stream, &reading);
    assert_eq!(store.table("InvoiceItem").rows.len(), 30);
    let again = tenant.client_again(&client, &json!({"format": "csv"}));
    again.run(&tenant, &["InvoiceItem"], &mut store).await.ok();
    assert_all_exact(&tenant, &again, &["InvoiceItem"], &store).await;
}

/// tap-zuora 3: each row moved the bookmark though rows had no order; rows without a stamp were dropped.
#[tokio::test]
async fn p3_the_mark_moves_after_a_whole_window_and_rows_without_a_stamp_are_rows() {
    let tenant = Tenant::of(SandboxOptions {
        world: overlock_zuora::emulator::WorldOptions {
            nasty: true,
            ..Tenant::options().world
        },
        ..Tenant::options()
    });
    let client = tenant.client(&json!({}));
    let reading = client.read(&tenant, "AccountingCode", None).await.ok();
    // Each state covers everything before it.
    let (_, covered) = reading.states[0].clone();
    assert_eq!(covered, reading.rows.len());
    let without = reading
        .rows
        .iter()
        .filter(|row| !row.contains_key("UpdatedDate"));
    assert_eq!(without.count(), 2);
    // A file that breaks and stays broken moves nothing.
    tenant.behave(|behaviour| {
        behaviour.cut_files = Some(CutFiles {
            files: u64::MAX,
            bytes: 2_000,
            at_line_end: false,
        });
    });
    let client = tenant.client(&json!({"format": "csv"}));
    let broken = client.read(&tenant, "Usage", None).await;
    assert!(broken.error.is_some() && broken.states.is_empty());
}

/// tap-zuora 4: the token was never renewed, and a run of more than an hour died.
#[tokio::test]
async fn p4_a_token_that_ends_is_renewed_at_each_kind_of_call() {
    for (kind, path) in [
        ("describe", "/v1/describe/*"),
        ("submit", "/v1/batch-query/"),
        ("poll", "/v1/batch-query/jobs/*"),
        ("file", "/v1/file/*"),
    ] {
        let tenant = Tenant::small();
        let refused = r#"{"success":false,"reasons":[{"code":"90000011","message":"Failed to get user info"}]}"#;
        tenant.fault(Match::path(path).times(1), Fault::json(401, refused));
        let client = tenant.client(&json!({}));
        let mut store = Store::default();
        client.run(&tenant, &["Account"], &mut store).await.ok();
        assert_all_exact(&tenant, &client, &["Account"], &store).await;
        assert_eq!(tenant.sandbox.emulator().logins(), 2, "{kind}");
    }
}

/// tap-zuora 5: lines of the file were taken for rows, and a line break in a value stopped the stream for good.
#[tokio::test]
async fn p5_a_line_break_in_a_value_is_part_of_the_value() {
    let tenant = Tenant::small();
    let id = tenant.some_id("Account");
    for text in ["a\nb", "a\r\nb", "\n", "\"\n\"", "a,\"b\"\n,c\r"] {
        tenant.change("Account", &id, "Notes", text);
        tenant.pass(3 * HOUR);
        for format in ["csv", "gzip", "zip"] {
            let client = tenant.client(&json!({"format": format}));
            let reading = client.read(&tenant, "Account", None).await.ok();
            let row = reading.rows.iter().find(|row| row["Id"] == id).unwrap();
            assert_eq!(row["Notes"], text, "{format}");
        }
    }
}

/// tap-zuora 6: only `completed` and `failed` ended the waiting; `aborted`, `error`, `cancelled` went on for ever.
#[tokio::test]
async fn p6_every_end_of_a_job_ends_the_waiting() {
    for status in [
        "aborted",
        "error",
        "cancelled",
        "canceled",
        "failed",
        "ABORTED",
        "Error",
    ] {
        let tenant = Tenant::small();
        let body = format!(
            r#"{{"id":"8ad08f0600000001","status":"{status}","batches":[{{"name":"q0_Account","status":"{status}","message":"The query execution has been aborted.","recordCount":0}}]}}"#
        );
        tenant.fault(
            Match::path("/v1/batch-query/jobs/*").method("GET"),
            Fault::json(200, body),
        );
        let client = tenant.client(&json!({}));
        let read = client.read(&tenant, "Account", None);
        let reading = tokio::time::timeout(Duration::from_secs(20), read).await;
        let reading = reading.unwrap_or_else(|_| panic!("{status} is waited for"));
        assert!(
            reading.error.is_some() && reading.states.is_empty(),
            "{status}"
        );
        assert!(
            tenant.jobs().len() < 20,
            "{status}: {} jobs",
            tenant.jobs().len()
        );
    }
}

/// tap-zuora 7 (and Airbyte, PostHog, Fivetran's models): money was a binary fraction.
#[tokio::test]
async fn p7_money_keeps_every_digit() {
    let tenant = Tenant::small();
    let id = tenant.some_id("Invoice");
    for amount in [
        "12345678901234567.123456789",
        "-99999999999999999999999999999.999999999",
        "0.000000001",
        "9007199254740993",
        "0.1",
        "-0.01",
    ] {
        let now = tenant.now();
        tenant.world(|world| {
            let value = Value::Number(amount.to_owned());
            world.update("Invoice", &id, &[("Amount", value)], Some(now), now);
        });
        tenant.pass(3 * HOUR);
        let client = tenant.client(&json!({}));
        let stream = client.stream("Invoice").await;
        let field = stream.schema.field_with_name("Amount").unwrap();
        assert_eq!(*field.data_type(), DataType::Decimal128(38, 9));
        let reading = client.read(&tenant, "Invoice", None).await.ok();
        let row = reading.rows.iter().find(|row| row["Id"] == id).unwrap();
        assert_eq!(normal(&row["Amount"]), amount);
    }
}

/// tap-zuora 7, the other half: what does not fit is kept as it is, and never rounded.
#[tokio::test]
async fn p7_an_amount_of_too_many_digits_is_not_rounded() {
    let tenant = Tenant::small();
    let id = tenant.some_id("Invoice");
    let now = tenant.now();
    tenant.world(|world| {
        let value = Value::Number("0.1234567891".to_owned());
        world.update("Invoice", &id, &[("Amount", value)], Some(now), now);
    });
    tenant.pass(3 * HOUR);
    let client = tenant.client(&json!({}));
    let reading = client.read(&tenant, "Invoice", None).await.ok();
    let row = reading.rows.iter().find(|row| row["Id"] == id).unwrap();
    assert!(!row.contains_key("Amount"));
    assert!(row["_extra"].contains("0.1234567891"), "{}", row["_extra"]);
    assert!(client.warnings().contains(&"W0702".to_owned()));
    let client = tenant.client(&json!({"decimal_scale": 12}));
    let reading = client.read(&tenant, "Invoice", None).await.ok();
    let row = reading.rows.iter().find(|row| row["Id"] == id).unwrap();
    assert_eq!(normal(&row["Amount"]), "0.1234567891");
}

/// tap-zuora 8 (and #8, #10, #48): deletions did not arrive, and objects without them broke the run.
#[tokio::test]
async fn p8_deletions_arrive_and_objects_without_them_break_nothing() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let names = ["Contact", "AccountingCode", "PaymentTransactionLog"];
    let mut store = Store::default();
    client.run(&tenant, &names, &mut store).await.ok();
    let id = store.table("Contact").live().into_iter().next().unwrap();
    let now = tenant.now();
    tenant.world(|world| world.delete("Contact", &id, now));
    tenant.pass(3 * HOUR);
    client.run(&tenant, &names, &mut store).await.ok();
    assert_eq!(store.table("Contact").rows[&id]["_deleted"], "true");
    assert_all_exact(&tenant, &client, &names, &store).await;
    // A row that is alive says so, whether or not its object has deletions.
    for name in names {
        let rows = store.table(name).rows.values();
        let alive = rows.filter(|row| row["_deleted"] == "false").count();
        assert!(alive > 0, "{name}");
    }
}

/// tap-zuora 9 (and #53): a job per object to discover, and a refusal of other words aborted everything.
#[tokio::test]
async fn p9_discovery_makes_no_job_and_one_object_does_not_break_the_others() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.describe_500 = vec!["Refund".to_owned()];
        behaviour.describe_404 = vec!["Payment".to_owned()];
        behaviour.id_in_rejections = false;
    });
    let client = tenant
        .client(&json!({"http": {"attempts": 2, "backoff_base": "1ms", "backoff_cap": "1ms"}}));
    let catalog = client.discover(&[]).await.unwrap();
    assert_eq!(tenant.jobs().len(), 0);
    assert!(catalog.streams.len() >= 35, "{}", catalog.streams.len());
    let objects = tenant.world(|world| world.objects().filter(|object| object.described).count());
    assert!(tenant.calls("describe") <= objects as u64 + 8);
    // An object that Zuora lists and AQuA does not know is told when it is read, and nothing else fails.
    let mut store = Store::default();
    let run = client
        .run(&tenant, &["Account", "BookingTransaction"], &mut store)
        .await;
    assert_eq!(
        run.errors.keys().collect::<Vec<_>>(),
        ["BookingTransaction"]
    );
    assert_eq!(run.errors["BookingTransaction"].kind(), ErrorKind::Config);
    assert_all_exact(&tenant, &client, &["Account"], &store).await;
}

/// tap-zuora 10 (and #33, #54): the rows were never compared with `recordCount`: a file cut at a line end was taken.
#[tokio::test]
async fn p10_a_file_that_is_cut_at_a_line_end_is_not_taken() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.cut_files = Some(CutFiles {
            files: u64::MAX,
            bytes: 5_000,
            at_line_end: true,
        });
    });
    let client = tenant.client(&json!({"format": "csv"}));
    let reading = client.read(&tenant, "InvoiceItem", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(reading.states.is_empty());
    // The same over several files: the last is missing rows.
    tenant.behave(|behaviour| {
        behaviour.cut_files = None;
        behaviour.segments_of_rows = Some(50);
        behaviour.wrong_count = 3;
    });
    let client = tenant.client(&json!({}));
    let reading = client.read(&tenant, "InvoiceItem", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
}

/// tap-zuora 11: fields of types it did not know were left out.
#[tokio::test]
async fn p11_fields_of_every_type_are_columns() {
    let tenant = Tenant::small();
    let now = tenant.now();
    let id = tenant.some_id("Product");
    let kinds = [
        ("A__c", Kind::LongText),
        ("B__c", Kind::Zoql),
        ("C__c", Kind::Number),
        ("D__c", Kind::Timestamp),
        ("E__c", Kind::CapitalDecimal),
        ("F__c", Kind::Unheard("hologram")),
    ];
    tenant.world(|world| {
        for (name, kind) in kinds {
            world.add_field("Product", Field::new(name, kind));
            let value = match kind {
                Kind::Number | Kind::CapitalDecimal => Value::Number("1.5".to_owned()),
                _ => Value::Text("some text".to_owned()),
            };
            let at = now.minus(seconds(3 * HOUR));
            world.update("Product", &id, &[(name, value)], Some(at), at);
        }
    });
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Product"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Product"], &store).await;
    for (name, _) in kinds {
        assert!(
            store.table("Product").rows[&id].contains_key(name),
            "{name}"
        );
    }
}

/// tap-zuora 12: dates became instants.
#[tokio::test]
async fn p12_dates_are_dates() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let stream = client.stream("Account").await;
    let field = stream.schema.field_with_name("LastInvoiceDate").unwrap();
    assert_eq!(*field.data_type(), DataType::Date32);
    let reading = client.read(&tenant, "Account", None).await.ok();
    let dates = reading.column("LastInvoiceDate");
    assert!(dates.iter().any(|date| date.len() == 10));
    assert!(dates.iter().all(|date| date.is_empty() || date.len() == 10));
}

/// tap-zuora 13: names of jobs were longer than 32 characters.
#[tokio::test]
async fn p13_names_of_jobs_keep_to_their_length() {
    let tenant = Tenant::small();
    let long = "PaymentGatewayReconciliationEventLogOfTheLongestKind";
    tenant.world(|world| {
        let mut object = world.object("Product").unwrap().clone();
        long.clone_into(&mut object.name);
        world.add_object(object);
    });
    let client = tenant.client(&json!({}));
    client.read(&tenant, long, None).await.ok();
    let submissions = tenant.sandbox.requests();
    let submission = submissions
        .iter()
        .find(|record| record.method == "POST" && record.path.starts_with("/v1/batch"));
    let body: serde_json::Value = serde_json::from_slice(&submission.unwrap().body).unwrap();
    let name = body["name"].as_str().unwrap();
    assert!((1..=32).contains(&name.chars().count()), "{name}");
}

/// tap-zuora 14 (and #56, #50, #39, #37, #35): times were sent in a zone that depends on the data centre.
#[tokio::test]
async fn p14_windows_are_asked_in_utc_whatever_the_data_centre() {
    for european in [false, true] {
        let tenant = Tenant::small();
        tenant.behave(|behaviour| behaviour.european = european);
        let client = tenant.client(&json!({}));
        let mut store = Store::default();
        client.run(&tenant, &["Account"], &mut store).await.ok();
        let id = tenant.some_id("Account");
        tenant.change("Account", &id, "Notes", "one change");
        tenant.pass(3 * HOUR);
        let run = client.run(&tenant, &["Account"], &mut store).await.ok();
        assert_eq!(run.rows, 1, "nothing is read again, nothing is missing");
        assert_all_exact(&tenant, &client, &["Account"], &store).await;
        for job in tenant.jobs() {
            assert!(job.queries.iter().all(|(_, text)| text.contains("Z'")));
        }
        let requests = tenant.sandbox.requests();
        let has_session = requests.iter().any(|record| {
            let body = String::from_utf8_lossy(&record.body).into_owned();
            body.contains("incrementalTime") || body.contains("\"partner\"")
        });
        assert!(!has_session);
    }
}

/// tap-zuora 15 (and iron_bank 65, 107): lists of forbidden fields by hand. Describe says which can be exported.
#[tokio::test]
async fn p15_fields_that_cannot_be_exported_are_not_asked_for() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let account = client.stream("Account").await;
    assert!(account.schema.index_of("InternalScore").is_err());
    let method = client.stream("PaymentMethod").await;
    assert!(method.schema.index_of("CreditCardNumber").is_err());
    assert!(
        method
            .notes
            .join(" ")
            .contains("1 field cannot be exported")
    );
    // What Describe calls exportable and AQuA refuses costs a refusal and no list.
    tenant.behave(|behaviour| {
        behaviour.unknown_fields =
            vec!["Account.VATId".to_owned(), "PaymentMethod.IBAN".to_owned()];
    });
    let mut store = Store::default();
    client
        .run(&tenant, &["Account", "PaymentMethod"], &mut store)
        .await
        .ok();
    assert_eq!(client.drifts().len(), 2);
}

/// tap-zuora #21: NUL bytes. #25: a bookmark of nothing wiped the state. #29: a purged file.
#[tokio::test]
async fn p_history_nul_bytes_empty_windows_and_purged_files_lose_nothing() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.nul_bytes = true;
        behaviour.token_secs = 0;
    });
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Contact"], &store).await;
    // A window without a row keeps the mark.
    let before = store.table("Contact").state.clone().unwrap();
    tenant.pass(3 * HOUR);
    let run = client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_eq!(run.rows, 0);
    let after = store.table("Contact").state.clone().unwrap();
    let mark = |state: &overlock_core::State| time(state.as_json()["from"][""].as_str().unwrap());
    assert!(mark(&after) >= mark(&before));
    tenant.fault(Match::path("/v1/file/*").times(1), Fault::json(404, "{}"));
    let id = tenant.some_id("Contact");
    tenant.change("Contact", &id, "City", "Paris");
    tenant.pass(3 * HOUR);
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Contact"], &store).await;
}

/// Airbyte 25319: bursts larger than any window. Also guardian 458, 457: a large object never finishes.
#[tokio::test]
async fn a1_a_burst_of_one_second_is_read_by_id() {
    let tenant = Tenant::small();
    let at = tenant.now().minus(seconds(30 * DAY));
    // All charges of the tenant in one billing run of a second.
    tenant.crowd("Usage", 350, at);
    tenant.behave(|behaviour| behaviour.abort_above_rows = Some(130));
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Usage"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Usage"], &store).await;
    let jobs = tenant.jobs();
    let pages = jobs.iter().flat_map(|job| &job.queries);
    assert!(
        pages
            .filter(|(_, text)| text.contains("order by Id limit"))
            .count()
            >= 4
    );
}

/// Airbyte 24460: literals finer than the index; hundreds of jobs to describe.
#[test]
fn a2_literals_have_whole_seconds() {
    let text = api::window(
        "UpdatedDate",
        Some(time("2026-01-01T00:00:00.123456Z")),
        time("2026-01-02T00:00:00.5Z"),
    );
    assert_eq!(
        text,
        [
            "UpdatedDate >= '2026-01-01T00:00:00Z'",
            "UpdatedDate < '2026-01-02T00:00:00Z'"
        ]
    );
}

/// Airbyte: the ends of slices were inclusive on both sides. Each row comes once.
#[tokio::test]
async fn a3_windows_do_not_overlap() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({"window": "7d", "start_date": "2025-01-01T00:00:00Z"}));
    for name in ["InvoiceItem", "Usage", "Subscription"] {
        let reading = client.read(&tenant, name, None).await.ok();
        let ids: BTreeSet<String> = reading.ids().into_iter().collect();
        assert_eq!(ids.len(), reading.rows.len(), "{name}");
    }
}

/// Airbyte: a failed job without a message was an exception, and a stream that could not be stopped.
#[tokio::test]
async fn a4_a_failed_job_without_a_word_is_an_error_of_its_stream() {
    for body in [
        r#"{"status":"error"}"#,
        r#"{"id":"8ad0","status":"aborted","batches":null}"#,
        r#"{"id":"8ad0","status":"aborted","batches":[{"name":"q0_Account"}]}"#,
        r#"{"id":"8ad0","status":"completed","batches":[]}"#,
        r#"{"id":"8ad0","status":"completed"}"#,
        r#"{"id":"8ad0","status":"completed","batches":[{"name":"q0_Account","status":"completed","recordCount":5}]}"#,
        r#"{"id":"8ad0","status":"completed","batches":[{"name":"q0_Account","status":"completed","fileId":"abc"}]}"#,
        r#"{"id":"8ad0","status":"completed","batches":[{"name":"q0_Account","status":"executing"}]}"#,
    ] {
        let tenant = Tenant::small();
        tenant.fault(
            Match::path("/v1/batch-query/jobs/*").method("GET"),
            Fault::json(200, body),
        );
        let client = tenant.client(&json!({}));
        let read = client.read(&tenant, "Account", None);
        let reading = tokio::time::timeout(Duration::from_secs(20), read).await;
        let reading = reading.unwrap_or_else(|_| panic!("{body} never ends"));
        assert!(
            reading.error.is_some() && reading.states.is_empty(),
            "{body}"
        );
    }
}

/// The same: a result without a number of rows proves nothing, not even that there are none.
#[tokio::test]
async fn a4_a_result_without_a_count_is_not_believed_even_if_it_is_empty() {
    let tenant = Tenant::small();
    tenant.fault(
        Match::path("/v1/batch-query/jobs/*").method("GET"),
        Fault::Replace {
            find: "\"recordCount\"".to_owned(),
            with: "\"recordCounts\"".to_owned(),
        },
    );
    let client = tenant.client(&json!({"start_date": "2026-03-01T12:59:00Z"}));
    let reading = client.read(&tenant, "Account", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Data);
    assert!(reading.states.is_empty());
}

/// Airbyte: a result that hit its limit of rows was taken for whole. A page of Ids that is full is never the last.
#[tokio::test]
async fn a5_a_full_page_of_ids_is_followed_by_another() {
    let tenant = Tenant::small();
    let at = tenant.now().minus(seconds(30 * DAY));
    // Exactly two pages of 122 rows, which 250,000 become when they are halved often enough.
    tenant.crowd("Usage", 244, at);
    tenant.behave(|behaviour| behaviour.abort_above_rows = Some(122));
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, &["Usage"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Usage"], &store).await;
}

/// Estuary: five minutes of lag against two hours of late commits.
#[tokio::test]
async fn e1_a_row_that_is_committed_late_is_not_missed() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.token_secs = 0);
    for extra in [json!({}), json!({"settle": "5m"})] {
        let client = tenant.client(&extra);
        let mut store = Store::default();
        client.run(&tenant, &["Account"], &mut store).await.ok();
        let id = tenant.some_id("Account");
        let stamp = tenant.now();
        let text = format!("late {extra}");
        tenant.world(|world| {
            let value = Value::Text(text.clone());
            world.update(
                "Account",
                &id,
                &[("Notes", value)],
                Some(stamp),
                stamp.plus(SETTLE),
            );
        });
        for _ in 0..8 {
            tenant.pass(1_200);
            client.run(&tenant, &["Account"], &mut store).await.ok();
        }
        tenant.pass(2 * HOUR);
        client.run(&tenant, &["Account"], &mut store).await.ok();
        assert_eq!(store.table("Account").rows[&id]["Notes"], text);
    }
}

/// Estuary: one type that it did not know failed the whole discovery.
#[tokio::test]
async fn e2_an_unknown_type_fails_no_discovery() {
    let tenant = Tenant::small();
    tenant.world(|world| world.add_field("Account", Field::new("X__c", Kind::Unheard("hologram"))));
    let client = tenant.client(&json!({}));
    let catalog = client.discover(&[]).await.unwrap();
    let account = catalog.get("Account").unwrap();
    let field = account.schema.field_with_name("X__c").unwrap();
    assert_eq!(*field.data_type(), DataType::Utf8);
}

/// Estuary: an object read whole failed above 2,047 MB.
#[tokio::test]
async fn e3_an_object_without_stamps_that_is_too_large_is_read_by_id() {
    let tenant = Tenant::small();
    let now = tenant.now();
    tenant.crowd("EmailHistory", 300, now);
    tenant.behave(|behaviour| behaviour.abort_above_rows = Some(130));
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client
        .run(&tenant, &["EmailHistory"], &mut store)
        .await
        .ok();
    assert_all_exact(&tenant, &client, &["EmailHistory"], &store).await;
    assert!(store.table("EmailHistory").rows.len() >= 300);
}

/// Estuary: no deletions at all, and no proof that each row has an Id of its own.
#[tokio::test]
async fn e4_an_id_that_comes_twice_in_a_result_is_not_believed() {
    for segments in [None, Some(40)] {
        let tenant = Tenant::small();
        tenant.behave(|behaviour| {
            behaviour.duplicate_rows = 1;
            behaviour.segments_of_rows = segments;
        });
        let client = tenant.client(&json!({}));
        let reading = client.read(&tenant, "InvoiceItem", None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Data, "{segments:?}");
        assert!(
            reading.failed().to_string().contains("twice"),
            "{segments:?}"
        );
    }
}

/// Fivetran: columns that change without a stamp are documented as not synced.
#[tokio::test]
async fn f1_columns_that_change_in_silence_are_synced() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.token_secs = 0);
    let client = tenant.client(&json!({"shadow_refresh": "6h"}));
    let mut store = Store::default();
    client
        .run(&tenant, &["RatePlanCharge"], &mut store)
        .await
        .ok();
    let id = tenant.some_id("RatePlanCharge");
    for (field, value) in [
        ("ChargedThroughDate", Value::Date("2030-01-31".to_owned())),
        ("ProcessedThroughDate", Value::Date("2030-02-28".to_owned())),
        ("AccountingCode", Value::Text("4711".to_owned())),
        ("RevRecCode", Value::Text("R1".to_owned())),
        ("RevRecTriggerCondition", Value::Null),
        (
            "RevenueRecognitionRuleName",
            Value::Text("monthly".to_owned()),
        ),
    ] {
        let now = tenant.now();
        tenant.world(|world| {
            let exists = world
                .object("RatePlanCharge")
                .unwrap()
                .field(field)
                .is_some();
            assert!(exists, "{field}");
            world.update("RatePlanCharge", &id, &[(field, value)], None, now);
        });
        tenant.pass(7 * HOUR);
        client
            .run(&tenant, &["RatePlanCharge"], &mut store)
            .await
            .ok();
        assert_all_exact(&tenant, &client, &["RatePlanCharge"], &store).await;
    }
}

/// Fivetran's models: money without its currency. It stands beside each amount.
#[tokio::test]
async fn f2_amounts_have_their_currency_beside_them() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let catalog = client.discover(&[]).await.unwrap();
    let mut with = 0;
    for stream in &catalog.streams {
        let fields = stream.schema.fields();
        let has_money = fields.iter().any(|field| {
            field.name() == "Amount" && matches!(field.data_type(), DataType::Decimal128(..))
        });
        let has_account = fields.iter().any(|field| field.name() == "AccountId");
        if has_money && has_account {
            let told = fields
                .iter()
                .any(|field| field.name().ends_with("Currency"));
            assert!(told, "{}", stream.name);
            with += 1;
        }
    }
    assert!(with >= 5, "{with}");
}

/// guardian 394, 398: a session moved with each job, and an export that was not ingested lost its increment.
#[tokio::test]
async fn g1_a_run_that_was_not_committed_is_read_again_from_the_same_place() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client
        .run(&tenant, &["Account", "Invoice"], &mut store)
        .await
        .ok();
    let id = tenant.some_id("Account");
    tenant.change("Account", &id, "Notes", "the increment");
    tenant.pass(3 * HOUR);
    for _ in 0..3 {
        let client = tenant.client_again(&client, &json!({}));
        let lost = client
            .run(&tenant, &["Account", "Invoice"], &mut store.clone())
            .await
            .ok();
        assert_eq!(lost.rows, 1);
        tenant.pass(HOUR);
    }
    let client = tenant.client_again(&client, &json!({}));
    client
        .run(&tenant, &["Account", "Invoice"], &mut store)
        .await
        .ok();
    assert_all_exact(&tenant, &client, &["Account", "Invoice"], &store).await;
}

/// guardian 1932: one custom field that was removed broke the whole job.
#[tokio::test]
async fn g2_a_removed_custom_field_breaks_no_job() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    let names = ["Account", "Invoice", "Order"];
    client.run(&tenant, &names, &mut store).await.ok();
    let now = tenant.now();
    tenant.world(|world| {
        world.change_object("Account", |object| {
            for field in &mut object.fields {
                if field.name.ends_with("__c") {
                    field.until = Some(now);
                }
            }
        });
    });
    for name in names {
        let id = tenant.some_id(name);
        tenant.world(|world| world.update(name, &id, &[], Some(now), now));
    }
    tenant.pass(3 * HOUR);
    let run = client.run(&tenant, &names, &mut store).await.ok();
    assert_eq!(run.rows, 3);
    assert_all_exact(&tenant, &client, &names, &store).await;
}

/// guardian: its count of rows counted lines.
#[tokio::test]
async fn g3_rows_are_counted_and_not_lines() {
    let tenant = Tenant::small();
    let now = tenant.now();
    tenant.world(|world| {
        for id in world.ids("Contact", now) {
            let value = Value::Text("\n".repeat(40));
            let at = now.minus(seconds(3 * HOUR));
            world.update("Contact", &id, &[("Description", value)], Some(at), at);
        }
    });
    let client = tenant.client(&json!({"format": "csv"}));
    let mut store = Store::default();
    client.run(&tenant, &["Contact"], &mut store).await.ok();
    assert_all_exact(&tenant, &client, &["Contact"], &store).await;
}

/// customers-gitlab-com 8514: too many calls at once. Never more than the settings say.
#[tokio::test]
async fn o1_calls_and_jobs_at_once_keep_to_the_settings() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| behaviour.concurrent_jobs = 1);
    let client = tenant
        .client(&json!({"max_concurrent_jobs": 1, "own_jobs": ["Account", "Contact", "Invoice"]}));
    let catalog = client
        .discover(&["Account", "Contact", "Invoice"])
        .await
        .unwrap();
    let requests: Vec<_> = catalog
        .streams
        .iter()
        .map(|stream| request(&tenant, stream, None))
        .collect();
    client.source.plan(&requests);
    let reads = requests
        .into_iter()
        .map(|request| client.read_request(request));
    for reading in futures::future::join_all(reads).await {
        reading.ok();
    }
    assert_eq!(tenant.jobs().len(), 3);
    assert_eq!(
        tenant.calls("submit"),
        3,
        "no submission was refused for want of a place"
    );
}

/// All of them: one snapshot of several objects. A query that is left out (90018) is never an empty table.
#[tokio::test]
async fn o2_a_query_that_is_left_out_is_never_an_empty_table() {
    let tenant = Tenant::small();
    tenant.world(|world| world.change_object("Invoice", |object| object.forbidden = true));
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    let run = client
        .run(&tenant, &["Account", "Invoice"], &mut store)
        .await;
    assert_eq!(run.errors["Invoice"].kind(), ErrorKind::Permission);
    assert!(
        store
            .0
            .get("Invoice")
            .is_none_or(|table| table.state.is_none())
    );
    assert_all_exact(&tenant, &client, &["Account"], &store).await;
}

/// All of them: several ways to fail in one job, none of which harms the others.
#[tokio::test]
async fn o3_many_troubles_in_one_job_stay_with_their_streams() {
    let tenant = Tenant::small();
    tenant.behave(|behaviour| {
        behaviour.unknown_fields = vec!["Contact.Fax".to_owned()];
        behaviour.vanish_queries = vec!["Refund".to_owned()];
        behaviour.batch_outcomes = vec![
            BatchOutcome {
                object: "Usage".to_owned(),
                outcome: Outcome::TooLong,
                jobs: 2,
            },
            BatchOutcome {
                object: "Order".to_owned(),
                outcome: Outcome::DeletedNotallowed,
                jobs: 1,
            },
        ];
    });
    tenant.world(|world| world.change_object("Product", |object| object.deletes = false));
    let client = tenant.client(&json!({}));
    let names = [
        "Account",
        "Contact",
        "Invoice",
        "Order",
        "Product",
        "Refund",
        "Usage",
        "BookingTransaction",
    ];
    let mut store = Store::default();
    let run = client.run(&tenant, &names, &mut store).await;
    assert_eq!(
        run.errors.keys().collect::<Vec<_>>(),
        ["BookingTransaction", "Refund"]
    );
    let good = ["Account", "Invoice", "Order", "Product", "Usage"];
    assert_all_exact(&tenant, &client, &good, &store).await;
    assert_eq!(client.drifts().len(), 1);
    assert!(StreamName::new("Account").is_ok());
}
