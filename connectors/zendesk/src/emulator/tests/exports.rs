//! Exports show what the world holds, in every paging, and break as told.

use overlock_core::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::emulator::{Behaviour, WorldOptions};

use super::{Desk, by_cursor, by_time, rest, start};

fn check(desk: &Desk, stream: &str, rows: &std::collections::BTreeMap<String, Vec<Value>>) {
    let now = desk.clock.now();
    let ids = desk.world(|world| world.ids(stream, now));
    let keys: std::collections::BTreeSet<String> = rows.keys().cloned().collect();
    assert_eq!(keys, ids, "{stream}");
    for (key, versions) in rows {
        let mut newest = versions.last().unwrap().clone();
        if let Some(row) = newest.as_object_mut() {
            row.remove("metric_set");
        }
        let expected = desk.world(|world| world.expected(stream, key, now));
        assert_eq!(Some(newest), expected, "{stream} {key}");
    }
}

#[test]
fn cursor_and_time_exports_show_the_world_with_any_page_size() {
    let desk = Desk::tiny();
    for (path, key) in [("tickets", "tickets"), ("users", "users")] {
        for rows in [1, 7, 1_000] {
            let target =
                format!("/api/v2/incremental/{path}/cursor.json?start_time=0&per_page={rows}");
            let (found, pages) = by_cursor(&desk, &target, key);
            check(&desk, key, &found);
            assert!(rows == 1_000 || pages > 5);
        }
    }
    for rows in [3, 1_000] {
        desk.emulator
            .behave(|behaviour| behaviour.time_page_rows = rows);
        for (path, key, stream) in [
            ("incremental/tickets", "tickets", "tickets"),
            ("incremental/users", "users", "users"),
            (
                "incremental/organizations",
                "organizations",
                "organizations",
            ),
            (
                "incremental/ticket_metric_events",
                "ticket_metric_events",
                "ticket_metric_events",
            ),
            ("help_center/incremental/articles", "articles", "articles"),
            ("channels/voice/stats/incremental/calls", "calls", "calls"),
            ("channels/voice/stats/incremental/legs", "legs", "call_legs"),
        ] {
            let (found, _) = by_time(&desk, &format!("/api/v2/{path}?start_time=0"), key);
            check(&desk, stream, &found);
        }
        let target = "/api/v2/incremental/ticket_events.json?start_time=0&include=comment_events";
        let (found, _) = by_time(&desk, target, "ticket_events");
        check(&desk, "ticket_events", &found);
    }
    let target = "/api/v2/incremental/custom_objects/asset/cursor?start_time=0&per_page=2";
    let (found, _) = by_cursor(&desk, target, "custom_object_records");
    check(&desk, "custom_object_records", &found);
}

#[test]
fn identities_and_metrics_come_beside_what_they_belong_to() {
    let desk = Desk::tiny();
    let body = desk.ok("/api/v2/incremental/users/cursor?start_time=0&include=identities");
    let ids: Vec<String> = body["identities"]
        .as_array()
        .unwrap()
        .iter()
        .map(super::id)
        .collect();
    let known = desk.world(|world| world.ids("user_identities", start()));
    assert_eq!(ids.len(), known.len());
    assert!(ids.iter().all(|id| known.contains(id)));
    let body = desk.ok("/api/v2/incremental/tickets/cursor?start_time=0&include=metric_sets,users");
    assert!(!body["users"].as_array().unwrap().is_empty());
    let mut metrics = 0;
    for ticket in body["tickets"].as_array().unwrap() {
        assert_eq!(ticket["fields"], ticket["custom_fields"]);
        let is_deleted = ticket["status"] == "deleted";
        assert_eq!(ticket.get("metric_set").is_none(), is_deleted, "{ticket}");
        metrics += usize::from(!is_deleted);
    }
    assert_eq!(
        metrics,
        desk.world(|world| world.ids("ticket_metrics", start()).len())
    );
}

#[test]
fn the_last_minute_is_withheld_and_comes_with_the_next_read() {
    let desk = Desk::tiny();
    let body = desk.ok("/api/v2/incremental/tickets/cursor?start_time=0");
    let cursor = rest(&body["after_url"]);
    let ticket = desk
        .world(|world| world.insert_ticket(&[], start()).unwrap())
        .to_string();
    assert!(desk.ok(&cursor)["tickets"].as_array().unwrap().is_empty());
    assert!(!desk.world(|world| world.ids("tickets", start()).contains(&ticket)));
    desk.pass(59);
    assert!(desk.ok(&cursor)["tickets"].as_array().unwrap().is_empty());
    desk.pass(1);
    let body = desk.ok(&cursor);
    assert_eq!(super::id(&body["tickets"][0]), ticket);
    assert_eq!(body["end_of_stream"], true);
    assert!(body["after_cursor"].is_string());
}

#[test]
fn start_times_are_read_as_real_clients_write_them() {
    let desk = Desk::tiny();
    for (start_time, status) in [
        ("0", 200),
        ("1672531200.0", 200),
        ("2026-11-22T01:28:02Z", 200),
        (&start().seconds().to_string(), 400),
        (&(start().seconds() - 60).to_string(), 200),
    ] {
        let target = format!("/api/v2/incremental/organizations?start_time={start_time}");
        assert_eq!(desk.get(&target).0, status, "{start_time}");
    }
    let (status, body) = desk.get("/api/v2/incremental/tickets/cursor.json?start_time=99999999999");
    assert_eq!(
        (status, &body["error"]),
        (400, &json!("StartTimeTooRecent"))
    );
    let body = desk.ok("/api/v2/incremental/ticket_metric_events.json?start_time=99999999999");
    assert_eq!(
        (&body["count"], &body["end_time"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(desk.get("/api/v2/incremental/tickets/cursor").0, 400);
}

#[test]
fn more_rows_than_a_page_in_one_second_come_whole_or_stand_still_on_an_old_server() {
    let desk = Desk::tiny();
    let second = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
    desk.world(|world| world.crowd("users", 25, second).unwrap());
    desk.emulator
        .behave(|behaviour| behaviour.time_page_rows = 10);
    let target = format!("/api/v2/incremental/users?start_time={}", second.seconds());
    let body = desk.ok(&target);
    assert!(body["count"].as_u64().unwrap() >= 25);
    desk.emulator
        .behave(|behaviour| behaviour.old_time_export = true);
    let body = desk.ok(&target);
    assert_eq!(body["count"], 10);
    assert_eq!(
        (&body["end_time"], &body["end_of_stream"]),
        (&json!(second.seconds()), &json!(false))
    );
    // The cursor form has no such trouble.
    let target = format!(
        "/api/v2/incremental/users/cursor?start_time={}&per_page=4",
        second.seconds()
    );
    assert!(by_cursor(&desk, &target, "users").0.len() >= 25);
}

#[test]
fn events_have_comments_only_if_asked_for() {
    let desk = Desk::tiny();
    let comments = |target: &str| {
        let body = desk.ok(target);
        let events = body["ticket_events"].as_array().unwrap().clone();
        let children = events
            .iter()
            .flat_map(|event| event["child_events"].as_array().unwrap());
        children.filter(|child| child["body"].is_string()).count()
    };
    assert_eq!(
        comments("/api/v2/incremental/ticket_events?start_time=0"),
        0
    );
    let all = comments("/api/v2/incremental/ticket_events?start_time=0&include=comment_events");
    let ids = desk.world(|world| world.ids("ticket_comments:events", start()));
    assert_eq!(all, ids.len());
    assert!(all > desk.world(|world| world.ids("ticket_comments", start()).len()));
    let body = desk.ok("/api/v2/incremental/ticket_events/sample?start_time=0");
    assert_eq!(body["ticket_events"].as_array().unwrap().len(), 50);
}

#[test]
fn agents_tickets_of_robots_and_deleted_ones_are_shown_as_asked() {
    let desk = Desk::tiny();
    let read = |more: &str| {
        let target = format!("/api/v2/incremental/tickets/cursor?start_time=0{more}");
        by_cursor(&desk, &target, "tickets").0
    };
    let usual = read("");
    let all = read("&support_type_scope=all");
    let ids = desk.world(|world| world.ids("tickets:all", start()));
    assert_eq!(all.len(), ids.len());
    assert!(all.len() > usual.len());
    assert!(!read("&support_type_scope=ai_agent").is_empty());
    assert!(read("&exclude_deleted=true").len() < usual.len());
}

#[test]
fn cursors_are_refused_and_stand_still_and_pages_come_empty_when_told() {
    let desk = Desk::tiny();
    let first = desk.ok("/api/v2/incremental/tickets/cursor?start_time=0&per_page=5");
    let next = rest(&first["after_url"]);
    desk.emulator.behave(|behaviour| behaviour.stuck_pages = 1);
    assert_eq!(desk.ok(&next)["after_cursor"], first["after_cursor"]);
    desk.emulator.behave(|behaviour| behaviour.empty_pages = 1);
    let empty = desk.ok(&next);
    assert_eq!(
        (
            empty["tickets"].as_array().unwrap().len(),
            &empty["end_of_stream"]
        ),
        (0, &json!(false))
    );
    desk.emulator.behave(|behaviour| behaviour.repeat_rows = 1);
    assert_eq!(
        desk.ok(&next)["tickets"][0]["id"],
        first["tickets"][4]["id"]
    );
    desk.emulator.behave(|behaviour| {
        behaviour.foreign_urls = vec![
            "https://evil.example{rest}".to_owned(),
            "file:///etc/passwd".to_owned(),
        ];
    });
    assert!(
        desk.ok(&next)["after_url"]
            .as_str()
            .unwrap()
            .starts_with("https://evil.example/api/v2/incremental")
    );
    assert_eq!(desk.ok(&next)["after_url"], "file:///etc/passwd");
    desk.emulator
        .behave(|behaviour| behaviour.cursor_secs = Some(3_600));
    desk.pass(3_601);
    assert_eq!(desk.get(&next).0, 400);
    desk.emulator
        .behave(|behaviour| behaviour.cursor_secs = None);
    desk.emulator.refuse_cursors(422);
    assert_eq!(desk.get(&next).0, 422);
    let fresh = desk.ok("/api/v2/incremental/tickets/cursor?start_time=0&per_page=5");
    assert!(fresh["after_cursor"].is_string());
    assert_eq!(desk.get(&next).0, 200);
}

#[test]
fn pages_that_are_too_large_time_out_in_plain_text() {
    let desk = Desk::tiny();
    desk.emulator
        .behave(|behaviour| behaviour.timeout_above = Some(20));
    let (status, body) = desk.get("/api/v2/incremental/tickets/cursor?start_time=0");
    assert_eq!((status, body), (504, json!("upstream request timeout")));
    assert_eq!(
        desk.get("/api/v2/incremental/tickets/cursor?start_time=0&per_page=20")
            .0,
        200
    );
}

#[test]
fn the_world_moves_between_pages_when_told() {
    let desk = Desk::tiny();
    desk.emulator
        .behave(|behaviour| behaviour.updates_between_pages = 1);
    let target = "/api/v2/incremental/tickets/cursor?start_time=0&per_page=5";
    let (rows, _) = by_cursor(&desk, target, "tickets");
    let twice: Vec<_> = rows
        .values()
        .filter(|versions| versions.len() > 1)
        .collect();
    assert_eq!(twice.len(), 1);
    assert!(
        twice[0][0]["generated_timestamp"].as_i64() < twice[0][1]["generated_timestamp"].as_i64()
    );
    desk.emulator
        .behave(|behaviour| behaviour.deletes_after_export = 1);
    let body = desk.ok(target);
    let first = body["tickets"]
        .as_array()
        .unwrap()
        .iter()
        .find(|ticket| ticket["status"] != "deleted");
    let id = &first.unwrap()["id"];
    assert_eq!(
        desk.get(&format!("/api/v2/tickets/{id}/audits.json")).0,
        404
    );
}

#[test]
fn hostile_worlds_are_served_whole() {
    let options = WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(7, start())
    };
    let desk = Desk::over(
        options,
        Behaviour {
            limits: false,
            ..Behaviour::default()
        },
    );
    let (found, _) = by_cursor(
        &desk,
        "/api/v2/incremental/tickets/cursor?start_time=0&per_page=9&include=metric_sets,users",
        "tickets",
    );
    check(&desk, "tickets", &found);
    let (found, _) = by_cursor(
        &desk,
        "/api/v2/incremental/users/cursor?start_time=0&per_page=9",
        "users",
    );
    check(&desk, "users", &found);
    let target = "/api/v2/incremental/ticket_events?start_time=0&include=comment_events";
    check(
        &desk,
        "ticket_events",
        &by_time(&desk, target, "ticket_events").0,
    );
}
