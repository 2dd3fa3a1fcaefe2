//! Every stream, whole and by increments, against what the world knows.

use std::time::Duration;

use overlock_zendesk::emulator::SandboxOptions;
use serde_json::json;

use crate::desk::{Client, Desk, Table, differences};

/// Changes that Zendesk does not date, and that no increment can see: the notes of the streams say so.
const UNDATED: &[(&str, &str)] = &[
    ("ticket_metric_events", "deleted"),
    ("users", "two_factor_auth_enabled"),
];

/// Compares a table with what the world says that a complete sync shows.
async fn judge(
    client: &Client,
    desk: &Desk,
    name: &str,
    table: &Table,
    forgiven: &[(&str, &str)],
    complaints: &mut Vec<String>,
) {
    let stream = client.stream(name).await;
    let expected = desk.expected(name);
    for (key, record) in &expected {
        match table.0.get(key) {
            None => complaints.push(format!("{name}/{key}: lost")),
            Some(row) => {
                for (field, wrong) in differences(&stream, row, record) {
                    if !forgiven.contains(&(name, field.as_str())) {
                        complaints.push(format!("{name}/{key}: {wrong}"));
                    }
                }
            }
        }
    }
    if stream.deletes == overlock_core::Deletes::Reported
        && !["users", "organizations"].contains(&name)
    {
        for key in table.live() {
            if !expected.contains_key(key) {
                complaints.push(format!("{name}/{key}: invented, or deleted long ago"));
            }
        }
    }
}

async fn names(client: &Client) -> Vec<String> {
    let catalog = client.discover(&[]).await.unwrap();
    assert!(catalog.lacking.is_empty(), "{:?}", catalog.lacking);
    catalog
        .streams
        .iter()
        .map(|stream| stream.name.to_string())
        .filter(|name| name != "custom_field_dictionary")
        .collect()
}

#[tokio::test]
async fn every_stream_brings_every_record_with_every_field() {
    let desk = Desk::small();
    let client = desk.client(&json!({"comments_mode": "per_ticket"}));
    let mut complaints = Vec::new();
    for name in names(&client).await {
        let stream = client.stream(&name).await;
        let reading = client.read(&desk, &name, None).await;
        if let Some(error) = &reading.error {
            complaints.push(format!("{name}: {error:?}"));
            continue;
        }
        if reading.rows.is_empty() {
            complaints.push(format!("{name}: a stream without rows shows nothing"));
        }
        let mut table = Table::default();
        table.merge(&stream, &reading.rows);
        judge(&client, &desk, &name, &table, &[], &mut complaints).await;
    }
    let shown: Vec<&String> = complaints.iter().take(60).collect();
    assert!(
        complaints.is_empty(),
        "{} complaints: {shown:#?}",
        complaints.len()
    );
}

#[tokio::test]
async fn increments_follow_an_account_that_lives() {
    let desk = Desk::of(SandboxOptions {
        evolves: true,
        ..Desk::options()
    });
    let client = desk.client(&json!({"comments_mode": "per_ticket"}));
    let mut complaints = Vec::new();
    let names = names(&client).await;
    let mut tables: Vec<Table> = names.iter().map(|_| Table::default()).collect();
    let mut states = vec![None; names.len()];
    for day in 0..6 {
        // Each run is a process of its own, as from cron.
        let client = desk.client_again(&client, &json!({"comments_mode": "per_ticket"}));
        for ((name, table), state) in names.iter().zip(&mut tables).zip(&mut states) {
            let stream = client.stream(name).await;
            let reading = client.read(&desk, name, state.clone()).await;
            if let Some(error) = &reading.error {
                complaints.push(format!("{name}, day {day}: {error:?}"));
                continue;
            }
            table.merge(&stream, &reading.rows);
            *state = Some(reading.state());
            if day == 5 {
                judge(&client, &desk, name, table, UNDATED, &mut complaints).await;
            }
        }
        // Not in whole minutes: some changes are withheld at first.
        desk.sandbox
            .clock()
            .advance(Duration::from_secs(86_400 - 37));
    }
    let shown: Vec<&String> = complaints.iter().take(60).collect();
    assert!(
        complaints.is_empty(),
        "{} complaints: {shown:#?}",
        complaints.len()
    );
}
