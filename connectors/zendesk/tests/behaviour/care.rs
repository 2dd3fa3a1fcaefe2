//! What goes wrong seldom, and must not go wrong silently.

use std::sync::Arc;
use std::time::Duration;

use overlock_core::ErrorKind;
use overlock_sandbox::{Fault, Match};
use overlock_zendesk::emulator::Login;
use serde_json::json;

use crate::desk::{Desk, Table};

#[tokio::test]
async fn a_token_with_too_few_scopes_is_refused_but_not_thrown_away() {
    let desk = Desk::small();
    desk.behave(|behaviour| behaviour.echoed_scope = Some("tickets:read".to_owned()));
    let first = desk.client_as(Login::RefreshToken, &json!({}));
    let error = first.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.to_string().contains("tickets:read"), "{error}");
    // The token before it is used up: only the stored one can go on.
    desk.behave(|behaviour| behaviour.echoed_scope = None);
    desk.pass(2 * 86_400);
    let second = desk.client_in(Arc::clone(&first.folder), Login::RefreshToken, &json!({}));
    second.source.check().await.unwrap();
}

#[tokio::test]
async fn a_token_that_another_run_has_fetched_is_used_and_not_killed() {
    let desk = Desk::small();
    let a = desk.client_as(Login::RefreshToken, &json!({}));
    a.source.check().await.unwrap();
    let b = desk.client_in(Arc::clone(&a.folder), Login::RefreshToken, &json!({}));
    b.source.check().await.unwrap();
    desk.sandbox.emulator().expire_tokens();
    a.read(&desk, "groups", None).await.ok();
    let logins = desk.sandbox.emulator().logins();
    // B's token is dead, too; A's new one is in the store.
    b.read(&desk, "groups", None).await.ok();
    assert_eq!(desk.sandbox.emulator().logins(), logins);
}

#[tokio::test]
async fn a_token_store_that_cannot_be_read_is_said_and_not_ignored() {
    let desk = Desk::small();
    let client = desk.client_as(Login::RefreshToken, &json!({}));
    client.source.check().await.unwrap();
    let mut folders = std::fs::read_dir(client.folder.path()).unwrap();
    let store = folders.next().unwrap().unwrap().path().join("token.json");
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&store)
        .unwrap();
    let again = desk.client_in(Arc::clone(&client.folder), Login::RefreshToken, &json!({}));
    let error = again.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.hint_text().unwrap().contains("auth.refresh_token"));
}

#[tokio::test]
async fn a_stamp_of_the_future_does_not_hide_what_comes_before_it() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let now = desk.now();
    let ahead = now.plus(Duration::from_secs(90 * 86_400));
    let dated = json!(ahead.to_string());
    desk.world(|world| {
        let key = world
            .ids("satisfaction_ratings", now)
            .into_iter()
            .next()
            .unwrap();
        world
            .update_silently("satisfaction_ratings", &key, &[("updated_at", dated)], now)
            .unwrap();
    });
    let first = client.read(&desk, "satisfaction_ratings", None).await.ok();
    assert!(
        first
            .rows
            .iter()
            .any(|row| row["updated_at"].starts_with("2026-05"))
    );
    desk.pass(3_600);
    let now = desk.now();
    let added = desk
        .world(|world| world.insert("satisfaction_ratings", &[], now))
        .unwrap();
    desk.pass(600);
    let second = client
        .read(&desk, "satisfaction_ratings", Some(first.state()))
        .await
        .ok();
    assert!(
        second.column("id").contains(&added),
        "{:?}",
        second.column("id")
    );
}

#[tokio::test]
async fn a_list_that_is_suddenly_empty_is_not_believed() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let first = client.read(&desk, "macros", None).await.ok();
    desk.fault(
        Match::path("*/macros*").times(1),
        Fault::json(200, r#"{"macros":[],"meta":{"has_more":false}}"#),
    );
    let empty = client.read(&desk, "macros", Some(first.state())).await;
    assert_eq!(empty.failed().kind(), ErrorKind::Data);
    assert!(empty.rows.is_empty() && empty.states.is_empty());
    // One that loses a row marks it.
    let key = desk.expected("macros").into_keys().next().unwrap();
    let now = desk.now();
    desk.world(|world| world.remove("macros", &key, now))
        .unwrap();
    let second = client.read(&desk, "macros", Some(first.state())).await.ok();
    assert_eq!(second.column("id"), [key]);
    assert_eq!(second.column("_deleted"), ["true"]);
}

#[tokio::test]
async fn a_record_without_its_id_is_an_error_and_not_a_row() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    desk.fault(
        Match::path("*/brands*").times(1),
        Fault::json(
            200,
            r#"{"brands":[{"id":null,"name":"x"}],"meta":{"has_more":false}}"#,
        ),
    );
    let reading = client.read(&desk, "brands", None).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Schema);
}

#[tokio::test]
async fn a_stream_is_read_without_the_column_it_goes_by() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    for name in [
        "ticket_events",
        "ticket_metric_events",
        "audit_logs",
        "tickets",
    ] {
        let stream = client.stream(name).await;
        let narrow = Arc::new(stream.project(|column| column == "id"));
        let whole = client.read_stream(&desk, &stream, None).await.ok();
        let reading = client.read_stream(&desk, &narrow, None).await.ok();
        assert_eq!(reading.column("id"), whole.column("id"), "{name}");
        assert_eq!(
            reading.state().as_json()["at"],
            whole.state().as_json()["at"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_probe_that_fails_does_not_take_the_other_streams_with_it() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    desk.fault(
        Match::path("*/help_center/sections*"),
        Fault::json(403, r#"{"error":"Forbidden","description":"Missing the following required scopes: hc:read"}"#),
    );
    desk.fault(Match::path("*/audit_logs*"), Fault::status(503));
    let catalog = client.discover(&[]).await.unwrap();
    assert!(catalog.get("tickets").is_some() && catalog.get("audit_logs").is_some());
    let unavailable: Vec<_> = catalog
        .unavailable
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        unavailable.contains(&"sections") && unavailable.contains(&"articles"),
        "{unavailable:?}"
    );
}

#[tokio::test]
async fn a_cursor_that_is_refused_costs_repeats_and_no_row() {
    for status in [400, 404, 422] {
        let desk = Desk::small();
        let client = desk.client(&json!({"page_size": 9, "comments_mode": "per_ticket"}));
        for name in ["tickets", "users", "ticket_audits"] {
            let stream = client.stream(name).await;
            let first = client.read_stream(&desk, &stream, None).await.ok();
            let mut table = Table::default();
            table.merge(&stream, &first.rows);
            let now = desk.now();
            desk.world(|world| {
                world.insert_ticket(&[], now).unwrap();
                world.insert("users", &[], now).unwrap();
            });
            desk.pass(300);
            desk.sandbox.emulator().refuse_cursors(status);
            let second = client
                .read_stream(&desk, &stream, Some(first.state()))
                .await
                .ok();
            table.merge(&stream, &second.rows);
            let expected = desk.expected(name);
            assert!(
                expected.keys().all(|key| table.0.contains_key(key)),
                "{name} after {status}"
            );
            assert!(
                client.warnings().contains(&"W0601".to_owned()),
                "{name} after {status}"
            );
            assert!(
                second.rows.len() < first.rows.len(),
                "{name}: it began anew"
            );
        }
    }
}

#[tokio::test]
async fn pages_that_cannot_be_made_in_time_become_smaller() {
    let desk = Desk::small();
    desk.behave(|behaviour| behaviour.timeout_above = Some(7));
    let client = desk.client(&json!({"comments_mode": "per_ticket"}));
    for name in [
        "tickets",
        "users",
        "group_memberships",
        "ticket_metric_events",
        "satisfaction_ratings",
    ] {
        let stream = client.stream(name).await;
        let reading = client.read_stream(&desk, &stream, None).await.ok();
        let mut table = Table::default();
        table.merge(&stream, &reading.rows);
        let expected = desk.expected(name);
        assert!(
            expected.keys().all(|key| table.0.contains_key(key)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_moves_while_it_is_read_is_neither_lost_nor_doubled() {
    let desk = Desk::small();
    desk.behave(|behaviour| {
        behaviour.updates_between_pages = 20;
        behaviour.deletes_after_export = 5;
        behaviour.repeat_rows = 2;
        behaviour.empty_pages = 2;
    });
    let client = desk.client(&json!({"page_size": 10, "comments_mode": "per_ticket"}));
    for name in [
        "ticket_audits",
        "ticket_comments",
        "tickets",
        "users",
        "groups",
    ] {
        let stream = client.stream(name).await;
        let first = client.read_stream(&desk, &stream, None).await.ok();
        let mut table = Table::default();
        table.merge(&stream, &first.rows);
        desk.pass(600);
        let second = client
            .read_stream(&desk, &stream, Some(first.state()))
            .await
            .ok();
        table.merge(&stream, &second.rows);
        for key in desk.expected(name).keys() {
            assert!(table.0.contains_key(key), "{name}/{key} is lost");
        }
    }
    assert!(
        client.warnings().contains(&"W0603".to_owned()),
        "{:?}",
        client.warnings()
    );
}

#[tokio::test]
async fn a_cursor_that_stands_still_is_an_error_and_not_a_loop() {
    let desk = Desk::small();
    desk.behave(|behaviour| {
        behaviour.stuck_pages = 1_000;
        behaviour.list_page_rows = 2;
    });
    let client = desk.client(&json!({"page_size": 10}));
    for name in ["tickets", "users", "group_memberships"] {
        let reading = client.read(&desk, name, None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Data, "{name}");
    }
    assert!(desk.sandbox.server().request_count() < 60);
}

#[tokio::test]
async fn a_filter_is_refused_and_not_ignored() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let stream = client.stream("tickets").await;
    let request = overlock_core::ReadRequest {
        stream,
        state: None,
        since: None,
        until: desk.now(),
        filter: Some("status = 'open'".to_owned()),
    };
    let reading = client.read_request(request).await;
    assert_eq!(reading.failed().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn hostile_values_keep_every_row() {
    let mut options = Desk::options();
    options.world.nasty = true;
    let desk = Desk::of(options);
    let client = desk.client(&json!({"comments_mode": "per_ticket", "custom_field_columns": true}));
    let catalog = client.discover(&[]).await.unwrap();
    for stream in &catalog.streams {
        let name = stream.name.as_str();
        if name == "custom_field_dictionary" {
            continue;
        }
        let reading = client.read_stream(&desk, stream, None).await.ok();
        let mut table = Table::default();
        table.merge(stream, &reading.rows);
        let expected = desk.expected(name);
        let lost: Vec<_> = expected
            .keys()
            .filter(|key| !table.0.contains_key(*key))
            .collect();
        assert!(lost.is_empty(), "{name}: {lost:?}");
    }
}

#[tokio::test]
async fn a_wrong_stamp_and_a_refused_cursor_together_skip_nothing() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let page = r#"{"tickets":[{"id":7,"status":"open","generated_timestamp":99999999999}],"after_url":null,"after_cursor":"b2xk","end_of_stream":true}"#;
    desk.fault(
        Match::path("*/incremental/tickets/cursor*").times(1),
        Fault::json(200, page),
    );
    let first = client.read(&desk, "tickets", None).await.ok();
    let refused = Fault::json(
        404,
        r#"{"error":"RecordNotFound","description":"Not found"}"#,
    );
    desk.fault(
        Match::path("*/incremental/tickets/cursor*").times(1),
        refused,
    );
    let second = client
        .read(&desk, "tickets", Some(first.state()))
        .await
        .ok();
    let ids = second.column("id");
    assert!(desk.expected("tickets").keys().all(|key| ids.contains(key)));
}

#[tokio::test]
async fn pages_that_announce_more_than_they_bring_or_end_in_the_future_are_refused() {
    let desk = Desk::small();
    for body in [
        r#"{"organizations":[{"id":1,"updated_at":"2026-01-01T00:00:00Z"}],"count":2,"end_time":1767225600,"end_of_stream":true}"#,
        r#"{"organizations":[{"id":1,"updated_at":"2026-01-01T00:00:00Z"}],"count":1,"end_time":99999999999,"end_of_stream":true}"#,
    ] {
        let client = desk.client(&json!({}));
        desk.fault(
            Match::path("*/incremental/organizations*").times(1),
            Fault::json(200, body),
        );
        let reading = client.read(&desk, "organizations", None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Data, "{body}");
        assert!(reading.states.is_empty());
    }
}

#[tokio::test]
async fn what_is_missing_for_all_tickets_is_a_fault_and_not_a_fact() {
    let desk = Desk::small();
    let client = desk.client(&json!({"comments_mode": "per_ticket"}));
    let gone = Fault::json(
        404,
        r#"{"error":"RecordNotFound","description":"Not found"}"#,
    );
    desk.fault(Match::path("*/comments*"), gone);
    let comments = client.read(&desk, "ticket_comments", None).await;
    assert_eq!(comments.failed().kind(), ErrorKind::Data);
    assert!(comments.states.is_empty());
    let tickets: Vec<String> = (1..9)
        .map(|id| format!(r#"{{"id":{id},"status":"open","generated_timestamp":1700000000}}"#))
        .collect();
    let page = format!(
        r#"{{"tickets":[{}],"after_url":null,"after_cursor":"YQ==","end_of_stream":true}}"#,
        tickets.join(",")
    );
    desk.fault(
        Match::path("*/incremental/tickets/cursor*").times(1),
        Fault::json(200, page),
    );
    let metrics = client.read(&desk, "ticket_metrics", None).await;
    assert_eq!(metrics.failed().kind(), ErrorKind::Data);
    assert!(metrics.states.is_empty());
}

#[tokio::test]
async fn a_start_in_the_future_is_refused() {
    let desk = Desk::small();
    let client = desk.client(&json!({"start_date": "2099-01-01T00:00:00Z"}));
    for name in ["tickets", "organizations", "satisfaction_ratings"] {
        let reading = client.read(&desk, name, None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Config, "{name}");
    }
}

#[tokio::test]
async fn streams_of_a_run_keep_asking_for_the_same_sideloads() {
    let desk = Desk::small();
    let client = desk.client(&json!({"page_size": 10}));
    let catalog = client
        .discover(&["users", "user_identities"])
        .await
        .unwrap();
    let stream = |name: &str| Arc::clone(catalog.get(name).unwrap());
    // A page that leads nowhere: both streams end, and are read again.
    let broken = r#"{"users":[],"after_url":null,"after_cursor":null,"end_of_stream":false}"#;
    desk.fault(
        Match::path("*/users/cursor*").times(2),
        Fault::json(200, broken),
    );
    for name in ["user_identities", "users"] {
        let reading = client.read_stream(&desk, &stream(name), None).await;
        assert_eq!(reading.failed().kind(), ErrorKind::Data, "{name}");
    }
    for name in ["users", "user_identities"] {
        let ids = client
            .read_stream(&desk, &stream(name), None)
            .await
            .ok()
            .column("id");
        assert!(
            desk.expected(name).keys().all(|key| ids.contains(key)),
            "{name}"
        );
    }
    let asked = desk.sandbox.requests();
    let exports = asked.iter().filter(|one| one.path.contains("users/cursor"));
    assert!(
        exports
            .into_iter()
            .all(|one| one.query.contains("include=identities"))
    );
}
