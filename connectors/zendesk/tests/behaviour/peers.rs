//! The bugs that other extractors of Zendesk had, one by one: each test fails if ours has it.
//!
//! The numbers are those of the list of known bugs that the project keeps; the names say what went wrong there.

use std::time::Duration;

use overlock_core::{ErrorKind, Timestamp};
use overlock_sandbox::{Fault, Match};
use serde_json::json;

use crate::desk::{Desk, Reading, Table};

/// A ticket that is open, and so can be changed.
fn open_ticket(desk: &Desk) -> i64 {
    let expected = desk.expected("tickets");
    let open = expected
        .iter()
        .find(|(_, ticket)| ticket["status"] == "open");
    open.unwrap().0.parse().unwrap()
}

fn ids(reading: &Reading) -> Vec<String> {
    reading.column("id")
}

#[tokio::test]
async fn p1_p2_a_change_by_the_system_moves_only_generated_timestamp_and_arrives() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let first = client.read(&desk, "tickets", None).await.ok();
    let ticket = open_ticket(&desk);
    let at = desk.now();
    desk.world(|world| world.system_update(ticket, at)).unwrap();
    desk.pass(600);
    let second = client
        .read(&desk, "tickets", Some(first.state()))
        .await
        .ok();
    assert_eq!(ids(&second), [ticket.to_string()]);
    let before = first
        .rows
        .iter()
        .rfind(|row| row["id"] == ticket.to_string())
        .unwrap();
    let after = &second.rows[0];
    assert_eq!(after["updated_at"], before["updated_at"]);
    assert_eq!(after["generated_timestamp"], at.seconds().to_string());
}

#[tokio::test]
async fn p3_the_bookmark_is_never_this_machines_clock() {
    let desk = Desk::small();
    for name in [
        "organizations",
        "ticket_events",
        "satisfaction_ratings",
        "ticket_metric_events",
    ] {
        let client = desk.client(&json!({"comments_mode": "events"}));
        let first = client.read(&desk, name, None).await.ok();
        let newest = first
            .rows
            .iter()
            .filter_map(|row| {
                let text = row
                    .get("timestamp")
                    .or(row.get("updated_at"))
                    .or(row.get("time"))?;
                text.parse::<i64>()
                    .ok()
                    .or_else(|| Some(Timestamp::parse(text).ok()?.seconds()))
            })
            .max()
            .unwrap();
        let at = first.state().as_json()["at"].as_i64().unwrap();
        assert!(
            at <= newest,
            "{name}: the bookmark {at} is behind the newest row {newest}"
        );
    }
    // A row that becomes visible late is behind the clock of the last run, and comes all the same.
    let client = desk.client(&json!({}));
    let first = client.read(&desk, "organizations", None).await.ok();
    let late = desk.now().minus(Duration::from_secs(30));
    let added = desk
        .world(|world| world.insert("organizations", &[("name", "Late".into())], late))
        .unwrap();
    desk.pass(600);
    let second = client
        .read(&desk, "organizations", Some(first.state()))
        .await
        .ok();
    assert!(ids(&second).contains(&added), "{:?}", ids(&second));
}

#[tokio::test]
async fn p4_archived_tickets_come_with_their_metrics_and_audits() {
    let desk = Desk::small();
    let now = desk.now();
    let archived: Vec<String> = desk.world(|world| {
        let all = world.ids("tickets", now);
        all.into_iter()
            .filter(|id| world.is_archived(id.parse().unwrap(), now))
            .collect()
    });
    assert!(!archived.is_empty());
    let client = desk.client(&json!({"comments_mode": "per_ticket"}));
    for (name, column) in [
        ("tickets", "id"),
        ("ticket_metrics", "ticket_id"),
        ("ticket_audits", "ticket_id"),
        ("ticket_comments", "ticket_id"),
    ] {
        let found = client.read(&desk, name, None).await.ok().column(column);
        for id in &archived {
            assert!(found.contains(id), "{name}: ticket {id}");
        }
    }
}

#[tokio::test]
async fn p5_a_comment_always_has_its_ticket_and_none_is_missing() {
    let desk = Desk::small();
    let client = desk.client(&json!({"comments_mode": "per_ticket"}));
    let comments = client.read(&desk, "ticket_comments", None).await.ok();
    for (key, record) in desk.expected("ticket_comments") {
        let row = comments.rows.iter().find(|row| row["id"] == key).unwrap();
        let parent = desk
            .world(|world| world.parent("ticket_comments", &key))
            .unwrap();
        assert_eq!(row["ticket_id"], parent, "{record}");
    }
    let events = desk.client(&json!({"comments_mode": "events"}));
    let events = events.read(&desk, "ticket_comments", None).await.ok();
    for (key, _) in desk.expected("ticket_comments") {
        let row = events.rows.iter().find(|row| row["id"] == key);
        let row = row.unwrap_or_else(|| panic!("comment {key} is not in the events"));
        assert!(row["ticket_id"].parse::<i64>().is_ok());
    }
}

#[tokio::test]
async fn p6_a_page_is_not_judged_by_its_first_row() {
    let desk = Desk::small();
    desk.behave(|behaviour| behaviour.list_page_rows = 3);
    let client = desk.client(&json!({}));
    for name in ["macros", "group_memberships", "satisfaction_ratings"] {
        let first = client.read(&desk, name, None).await.ok();
        // The first row of a page stays as it is, the others change.
        let changed: Vec<String> = ids(&first).into_iter().skip(1).collect();
        let now = desk.now();
        desk.world(|world| {
            for key in &changed {
                world.update(name, key, &[], now).unwrap();
            }
        });
        desk.pass(600);
        let mut second = ids(&client.read(&desk, name, Some(first.state())).await.ok());
        let mut expected = changed;
        second.sort();
        expected.sort();
        assert_eq!(second, expected, "{name}");
    }
}

#[tokio::test]
async fn p7_users_are_not_capped() {
    let mut options = Desk::options();
    options.world.users = 5_000;
    options.world.tickets = 5;
    let desk = Desk::of(options);
    let client = desk.client(&json!({"page_size": 100}));
    let users = client.read(&desk, "users", None).await.ok();
    let mut table = Table::default();
    table.merge(&*client.stream("users").await, &users.rows);
    let expected = desk.expected("users");
    assert!(expected.len() >= 5_000);
    assert!(expected.keys().all(|id| table.0.contains_key(id)));
    // From a bookmark only what is new, and from a start date only what is newer.
    let again = client.read(&desk, "users", Some(users.state())).await.ok();
    assert_eq!(again.rows.len(), 0);
}

#[tokio::test]
async fn p8_an_export_whose_next_page_is_never_null_ends() {
    let desk = Desk::small();
    desk.behave(|behaviour| behaviour.time_page_rows = 7);
    let client = desk.client(&json!({"comments_mode": "events"}));
    for name in [
        "organizations",
        "ticket_events",
        "calls",
        "call_legs",
        "articles",
    ] {
        let read = client.read(&desk, name, None);
        let reading = tokio::time::timeout(Duration::from_secs(20), read).await;
        let reading = reading.unwrap_or_else(|_| panic!("{name} never ends")).ok();
        let found: std::collections::BTreeSet<String> = ids(&reading).into_iter().collect();
        let expected: std::collections::BTreeSet<String> =
            desk.expected(name).into_keys().collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test]
async fn p9_more_rows_in_a_second_than_a_page_holds_are_read_or_refused_aloud() {
    let desk = Desk::small();
    let second = desk.now().minus(Duration::from_secs(1_200));
    let crowd = desk.world(|world| {
        let users = world.crowd("users", 1_203, second).unwrap();
        world.crowd("organizations", 1_105, second).unwrap();
        users
    });
    // Users go by a cursor, which passes.
    let client = desk.client(&json!({}));
    let users = ids(&client.read(&desk, "users", None).await.ok());
    assert!(crowd.iter().all(|id| users.contains(id)));
    // Organizations go by time: a server that sends the whole second is followed,
    let all = client.read(&desk, "organizations", None).await.ok();
    assert_eq!(
        ids(&all)
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>(),
        desk.expected("organizations").into_keys().collect()
    );
    // and one that cuts it is an error, within a few calls, and not a loop or a skip.
    desk.behave(|behaviour| behaviour.old_time_export = true);
    let before = desk.count("incremental/organizations");
    let client = desk.client(&json!({}));
    let stuck = client.read(&desk, "organizations", None).await;
    let error = stuck.failed();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("organizations") && error.hint_text().is_some());
    assert_eq!(
        error.get("second"),
        Some(second.seconds().to_string().as_str())
    );
    assert!(desk.count("incremental/organizations") - before < 10);
}

#[tokio::test]
async fn p10_what_was_said_in_a_call_is_a_comment() {
    let desk = Desk::small();
    let ticket = open_ticket(&desk);
    let at = desk.now().minus(Duration::from_secs(600));
    let voice = desk
        .world(|world| world.add_voice_comment(ticket, at))
        .unwrap();
    for mode in ["events", "per_ticket"] {
        let client = desk.client(&json!({"comments_mode": mode}));
        let comments = client.read(&desk, "ticket_comments", None).await.ok();
        let row = comments
            .rows
            .iter()
            .find(|row| row["id"] == voice.to_string());
        let row = row.unwrap_or_else(|| panic!("{mode}: no comment {voice}"));
        assert_eq!(row["type"], "VoiceComment", "{mode}");
        assert_eq!(row["ticket_id"], ticket.to_string(), "{mode}");
    }
}

#[tokio::test]
async fn p11_an_answer_that_is_cut_is_asked_for_again_and_never_an_empty_page() {
    let desk = Desk::small();
    for (name, path) in [
        ("tickets", "*/incremental/tickets/cursor*"),
        ("ticket_events", "*/incremental/ticket_events*"),
        ("groups", "*/groups*"),
        ("ticket_audits", "*/audits*"),
    ] {
        let client = desk.client(&json!({}));
        let stream = client.stream(name).await;
        for body in [
            r#"{"tickets":[{"id":1,"#,
            "",
            "null",
            "[]",
            "{}",
            "<html></html>",
            "true",
        ] {
            // A whole answer by its length, but no page.
            desk.fault(Match::path(path).times(1), Fault::json(200, body));
            let reading = client.read_stream(&desk, &stream, None).await.ok();
            let mut table = Table::default();
            table.merge(&stream, &reading.rows);
            let expected = desk.expected(name);
            assert!(
                expected.keys().all(|key| table.0.contains_key(key)),
                "{name} after {body:?}"
            );
        }
    }
}

#[tokio::test]
async fn p12_two_changes_in_one_second_around_a_read_both_arrive() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    for name in [
        "organizations",
        "satisfaction_ratings",
        "macros",
        "articles",
    ] {
        let key = desk.expected(name).into_keys().next().unwrap();
        let second = desk.now();
        let field = if name == "satisfaction_ratings" {
            "comment"
        } else if name == "organizations" {
            "notes"
        } else {
            "title"
        };
        let change = |text: &str| {
            desk.world(|world| world.update(name, &key, &[(field, text.into())], second))
                .unwrap();
        };
        change("first");
        desk.pass(61);
        let first = client.read(&desk, name, None).await.ok();
        // Of the same second, but after the read.
        change("second");
        desk.pass(600);
        let second = client.read(&desk, name, Some(first.state())).await.ok();
        let row = second.rows.iter().find(|row| row["id"] == key);
        let row = row.unwrap_or_else(|| panic!("{name}: the second change is lost"));
        assert_eq!(row[field], "second", "{name}");
        // And what is the same to the last byte does not come again.
        assert_eq!(second.rows.len(), 1, "{name}: {:?}", ids(&second));
        let third = client.read(&desk, name, Some(second.state())).await.ok();
        assert_eq!(third.rows.len(), 0, "{name}");
        assert_eq!(
            third.state(),
            second.state(),
            "{name}: an idle read must not move the state"
        );
    }
}

#[tokio::test]
async fn p13_metrics_that_are_missing_are_counted_and_told() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let metrics = client.read(&desk, "ticket_metrics", None).await.ok();
    assert_eq!(client.warnings(), Vec::<String>::new());
    assert_eq!(desk.count("/metrics"), 0, "no call per ticket");
    assert!(!metrics.rows.is_empty());
    // A server that leaves the metrics of a ticket out.
    let page = r#"{"tickets":[{"id":7,"status":"open","generated_timestamp":1700000000,"metric_set":null}],"after_url":null,"after_cursor":"YQ==","end_of_stream":true}"#;
    desk.fault(
        Match::path("*/incremental/tickets/cursor*").times(1),
        Fault::json(200, page),
    );
    client.read(&desk, "ticket_metrics", None).await.ok();
    assert_eq!(client.warnings(), ["W0602"]);
}

#[tokio::test]
async fn p14_a_retired_option_and_equal_titles_survive() {
    let desk = Desk::small();
    let client = desk.client(&json!({"custom_field_columns": true}));
    let dictionary = client
        .read(&desk, "custom_field_dictionary", None)
        .await
        .ok();
    let has_option = |field: &str, value: &str| {
        let mut rows = dictionary.rows.iter();
        rows.any(|row| {
            row["field_id"] == field
                && row
                    .get("option_value")
                    .is_some_and(|option| option == value)
        })
    };
    let fields: Vec<_> = dictionary
        .rows
        .iter()
        .filter(|row| row["object"] == "ticket" && !row.contains_key("option_id"))
        .collect();
    let mut titles: Vec<_> = fields.iter().map(|row| row["title"].clone()).collect();
    titles.sort();
    let all = titles.len();
    titles.dedup();
    assert!(
        titles.len() < all,
        "the account has two fields of one title"
    );
    // A value of a dropdown that is no option any more is in the typed column and in the list.
    let stream = client.stream("tickets").await;
    let tickets = client.read_stream(&desk, &stream, None).await.ok();
    let mut retired = 0;
    for (key, record) in desk.expected("tickets") {
        let row = tickets.rows.iter().rfind(|row| row["id"] == key).unwrap();
        for field in record["custom_fields"].as_array().unwrap() {
            let id = &field["id"];
            let spelled = id.to_string();
            let definition = fields.iter().find(|one| one["field_id"] == spelled);
            let Some(definition) = definition else {
                continue;
            };
            let column = row.get(&format!("cf_{id}")).map(String::as_str);
            if definition["field_type"] == "tagger"
                && let Some(value) = field["value"].as_str().filter(|value| !value.is_empty())
            {
                assert_eq!(column, Some(value), "ticket {key}, field {id}");
                retired += u32::from(!has_option(&definition["field_id"], value));
            }
            if let Some(flag) = field["value"].as_bool() {
                assert_eq!(
                    column,
                    Some(flag.to_string().as_str()),
                    "ticket {key}, field {id}"
                );
            }
        }
    }
    assert!(retired > 0, "no ticket has a retired option");
    // An option that is taken away stays in the dictionary as it was: nothing is sent that could overwrite it.
    let (id, option) = dictionary
        .rows
        .iter()
        .find(|row| row["object"] == "ticket" && row.contains_key("option_id"))
        .map(|row| (row["field_id"].clone(), row["id"].clone()))
        .unwrap();
    let now = desk.now();
    desk.world(|world| {
        world.update(
            "ticket_fields",
            &id,
            &[("custom_field_options", json!([]))],
            now,
        )
    })
    .unwrap();
    let state = dictionary.state();
    let second = client
        .read(&desk, "custom_field_dictionary", Some(state))
        .await
        .ok();
    assert!(!second.column("id").contains(&option));
}

#[tokio::test]
async fn p15_a_list_without_has_more_goes_on_to_its_end() {
    let desk = Desk::small();
    desk.behave(|behaviour| {
        behaviour.list_page_rows = 2;
        behaviour.without_has_more = overlock_zendesk::emulator::World::streams()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
    });
    let client = desk.client(&json!({}));
    for name in [
        "groups",
        "organization_memberships",
        "ticket_fields",
        "group_memberships",
        "ticket_audits",
    ] {
        let reading = client.read(&desk, name, None).await.ok();
        let stream = client.stream(name).await;
        let mut table = Table::default();
        table.merge(&stream, &reading.rows);
        let expected = desk.expected(name);
        assert!(expected.len() > 2, "{name} has one page");
        assert!(
            expected.keys().all(|key| table.0.contains_key(key)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn p16_a_field_that_nobody_knows_lands_in_extra() {
    let desk = Desk::small();
    let ticket = open_ticket(&desk);
    let at = desk.now().minus(Duration::from_secs(600));
    desk.world(|world| {
        let news = [
            ("field_of_tomorrow", json!({"a": [1, "x"]})),
            ("custom_status_id", json!("text")),
        ];
        world.update_ticket(ticket, &news, at)
    })
    .unwrap();
    let client = desk.client(&json!({}));
    let reading = client.read(&desk, "tickets", None).await.ok();
    let row = reading
        .rows
        .iter()
        .rfind(|row| row["id"] == ticket.to_string())
        .unwrap();
    let extra: serde_json::Value = serde_json::from_str(&row["_extra"]).unwrap();
    assert_eq!(extra["field_of_tomorrow"], json!({"a": [1, "x"]}));
    // A value of another type than its column's is kept there, too, and the row is not lost.
    assert_eq!(extra["custom_status_id"], json!("text"));
    assert!(!row.contains_key("custom_status_id"));
}

#[tokio::test]
async fn p17_the_bookmark_of_a_list_moves_only_behind_its_last_page() {
    let desk = Desk::small();
    desk.behave(|behaviour| behaviour.list_page_rows = 2);
    let client = desk.client(&json!({}));
    for (name, path) in [
        ("group_memberships", "*/group_memberships*"),
        ("satisfaction_ratings", "*/satisfaction_ratings*"),
    ] {
        // The list breaks on its third page.
        for nth in 3..40 {
            desk.fault(Match::path(path).nth(nth).times(1), Fault::status(422));
        }
        let broken = client.read(&desk, name, None).await;
        assert!(broken.error.is_some() && !broken.rows.is_empty(), "{name}");
        assert!(broken.states.is_empty(), "{name}: {:?}", broken.states);
        desk.sandbox.faults().clear();
        let whole = client.read(&desk, name, None).await.ok();
        let expected = desk.expected(name);
        assert!(
            expected.keys().all(|key| ids(&whole).contains(key)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn p18_what_zendesk_does_not_show_is_said_in_the_notes() {
    let desk = Desk::small();
    let client = desk.client(&json!({}));
    let catalog = client.discover(&[]).await.unwrap();
    for (name, words) in [
        ("tags", "20,000"),
        ("ticket_activities", "30 days"),
        ("deleted_tickets", "30 days"),
        ("tickets", "generated_timestamp"),
        ("users", "two_factor_auth_enabled"),
        ("ticket_comments", "redacted"),
        ("ticket_metric_events", "deleted"),
    ] {
        let notes = catalog.get(name).unwrap().notes.join(" ");
        assert!(notes.contains(words), "{name}: {notes}");
    }
    // Tickets of AI agents are there unless the settings leave them out.
    let now = desk.now();
    let hidden: Vec<String> = desk.world(|world| {
        let shown = world.ids("tickets", now);
        world
            .ids("tickets:all", now)
            .difference(&shown)
            .cloned()
            .collect()
    });
    assert!(!hidden.is_empty());
    let all = ids(&client.read(&desk, "tickets", None).await.ok());
    let agents = desk.client(&json!({"support_type_scope": "agent"}));
    let agents = ids(&agents.read(&desk, "tickets", None).await.ok());
    for id in &hidden {
        assert!(all.contains(id) && !agents.contains(id), "ticket {id}");
    }
}

#[tokio::test]
async fn p19_a_rotated_refresh_token_is_on_disk_before_it_is_used() {
    use overlock_zendesk::emulator::Login;
    let desk = Desk::small();
    let first = desk.client_as(Login::RefreshToken, &json!({}));
    first.source.check().await.unwrap();
    // Another process, at once: it finds the token of the first one and asks for none.
    let second = desk.client_in(
        std::sync::Arc::clone(&first.folder),
        Login::RefreshToken,
        &json!({}),
    );
    second.source.check().await.unwrap();
    assert_eq!(desk.sandbox.emulator().logins(), 1);
    // Hours later the access token is dead: the stored refresh token gets another one, the first would be refused.
    desk.pass(2 * 86_400);
    let third = desk.client_in(
        std::sync::Arc::clone(&first.folder),
        Login::RefreshToken,
        &json!({}),
    );
    third.source.check().await.unwrap();
    assert_eq!(desk.sandbox.emulator().logins(), 2);
    // A token that dies while a run goes on is replaced within it.
    desk.sandbox.emulator().expire_tokens();
    third.read(&desk, "groups", None).await.ok();
    assert_eq!(desk.sandbox.emulator().logins(), 3);
    // Without the store the used-up first token is refused, with what to do.
    let lost = desk.client_as(Login::RefreshToken, &json!({}));
    let error = lost.source.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(
        error.hint_text().unwrap().contains("authorise"),
        "{error:?}"
    );
}
