//! Everything that the tenant has, on the first day and on the days after.

use std::collections::BTreeSet;

use serde_json::json;

use crate::tenant::{DAY, HOUR, Store, Tenant, WINDOWED, assert_all_exact};

#[tokio::test]
async fn a_first_run_of_all_objects_is_the_tenant_to_the_last_digit() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, WINDOWED, &mut store).await.ok();
    assert_all_exact(&tenant, &client, WINDOWED, &store).await;
    let rows: usize = store.0.values().map(|table| table.rows.len()).sum();
    assert!(rows > 1_000, "{rows}");
    // The books of the tenant balance, so the tables do.
    let now = tenant.now();
    tenant.world(|world| world.balances(now)).unwrap();
}

#[tokio::test]
async fn all_objects_take_one_job_and_few_calls() {
    let tenant = Tenant::small();
    let client = tenant.client(&json!({}));
    let mut store = Store::default();
    client.run(&tenant, WINDOWED, &mut store).await.ok();
    let objects = WINDOWED.len() as u64;
    assert!(objects < 50);
    assert_eq!(tenant.jobs().len(), 1);
    assert_eq!(tenant.calls("submit"), 1);
    assert_eq!(tenant.calls("file"), objects);
    assert_eq!(tenant.calls("token"), 1);
    // The descriptions are asked for once; the job is looked at by one reader.
    assert_eq!(tenant.calls("describe"), objects);
    assert!(tenant.calls("poll") <= 3, "{} polls", tenant.calls("poll"));
    // The next run needs no description again.
    tenant.pass(HOUR);
    client.run(&tenant, WINDOWED, &mut store).await.ok();
    assert_eq!(tenant.jobs().len(), 2);
    assert_eq!(tenant.calls("describe"), objects);
}

#[tokio::test]
async fn five_days_of_a_tenant_that_lives_are_followed_exactly() {
    let tenant = Tenant::living();
    // What changes in silence is looked for in each run, so that the tables can be compared whole.
    let extra = json!({"shadow_refresh": "1s", "sweep": "1s"});
    let mut store = Store::default();
    let mut client = tenant.client(&extra);
    for day in 0..=5 {
        client = tenant.client_again(&client, &extra);
        let run = client.run(&tenant, WINDOWED, &mut store).await.ok();
        assert_eq!(run.begun_again, 0, "day {day}");
        assert_all_exact(&tenant, &client, WINDOWED, &store).await;
        assert_eq!(client.warnings(), Vec::<String>::new(), "day {day}");
        tenant.pass(DAY);
    }
}

#[tokio::test]
async fn objects_of_one_job_fit_together_though_the_tenant_goes_on() {
    let tenant = Tenant::living();
    tenant.behave(|behaviour| {
        behaviour.job_polls = 3;
        behaviour.token_secs = 0;
    });
    let client = tenant.client(&json!({"settle": "0s"}));
    let mut store = Store::default();
    let names = [
        "InvoiceItem",
        "Invoice",
        "TaxationItem",
        "Account",
        "InvoicePayment",
        "Payment",
    ];
    let catalog = client.discover(&names).await.unwrap();
    let requests: Vec<_> = names
        .iter()
        .map(|name| crate::tenant::request(&tenant, catalog.get(name).unwrap(), None))
        .collect();
    client.source.plan(&requests);
    for request in requests {
        // Hours go by from one stream to the next; the job saw one instant.
        let reading = client.read_request(request.clone()).await.ok();
        store.commit(&request.stream, &reading);
        tenant.pass(5 * HOUR);
    }
    assert_eq!(tenant.jobs().len(), 1);
    let ids = |name: &str| -> BTreeSet<String> { store.table(name).rows.keys().cloned().collect() };
    for (child, column, parent) in [
        ("InvoiceItem", "InvoiceId", "Invoice"),
        ("TaxationItem", "InvoiceItemId", "InvoiceItem"),
        ("Invoice", "AccountId", "Account"),
        ("InvoicePayment", "PaymentId", "Payment"),
        ("InvoicePayment", "InvoiceId", "Invoice"),
    ] {
        let parents = ids(parent);
        for row in store.table(child).rows.values() {
            let id = &row[column];
            assert!(
                parents.contains(id),
                "{child} {}: no {parent} {id}",
                row["Id"]
            );
        }
    }
}
