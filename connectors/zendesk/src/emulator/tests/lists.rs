//! Lists and children show what the world holds.

use serde_json::{Value, json};

use super::{Desk, by_page, id, rest, start};

#[test]
fn every_list_by_cursor_shows_the_world() {
    let desk = Desk::tiny();
    for (path, key, stream) in [
        ("activities", "activities", "ticket_activities"),
        ("audit_logs", "audit_logs", "audit_logs"),
        ("automations", "automations", "automations"),
        ("brands", "brands", "brands"),
        ("community/posts", "posts", "posts"),
        (
            "custom_objects/asset/records",
            "custom_object_records",
            "custom_object_records",
        ),
        ("deleted_tickets", "deleted_tickets", "deleted_tickets"),
        ("deleted_users", "deleted_users", "deleted_users"),
        (
            "group_memberships",
            "group_memberships",
            "group_memberships",
        ),
        ("groups", "groups", "groups"),
        ("help_center/articles", "articles", "articles"),
        ("help_center/en-us/sections", "sections", "sections"),
        (
            "incremental/ticket_metric_events",
            "ticket_metric_events",
            "ticket_metric_events",
        ),
        ("job_statuses", "job_statuses", "job_statuses"),
        ("macros", "macros", "macros"),
        (
            "organization_memberships",
            "organization_memberships",
            "organization_memberships",
        ),
        (
            "satisfaction_ratings",
            "satisfaction_ratings",
            "satisfaction_ratings",
        ),
        ("skips", "skips", "ticket_skips"),
        (
            "suspended_tickets",
            "suspended_tickets",
            "suspended_tickets",
        ),
        ("tags", "tags", "tags"),
        ("ticket_fields", "ticket_fields", "ticket_fields"),
        (
            "trigger_categories",
            "trigger_categories",
            "trigger_categories",
        ),
        ("triggers", "triggers", "triggers"),
        ("user_fields", "user_fields", "user_fields"),
        ("views", "views", "views"),
    ] {
        for size in ["1", "2", "100"] {
            let target = format!("/api/v2/{path}.json?page%5Bsize%5D={size}&start_time=0");
            let rows = by_page(&desk, &target, key);
            let found: std::collections::BTreeSet<String> = rows.iter().map(id).collect();
            assert_eq!(found.len(), rows.len(), "{path}");
            assert_eq!(
                found,
                desk.world(|world| world.ids(stream, start())),
                "{path}"
            );
            let row = &rows[0];
            let expected = desk.world(|world| world.expected(stream, &id(row), start()));
            assert_eq!(expected.as_ref(), Some(row));
        }
    }
}

#[test]
fn lists_that_know_no_cursor_come_by_offset_or_at_once() {
    let desk = Desk::tiny();
    for (path, key, stream) in [
        ("slas/policies", "sla_policies", "sla_policies"),
        ("ticket_forms", "ticket_forms", "ticket_forms"),
        (
            "channels/voice/phone_numbers",
            "phone_numbers",
            "talk_phone_numbers",
        ),
        (
            "custom_statuses",
            "custom_statuses",
            "custom_ticket_statuses",
        ),
        ("custom_roles", "custom_roles", "custom_roles"),
        ("business_hours/schedules", "schedules", "schedules"),
        ("locales", "locales", "locales"),
    ] {
        let mut target = format!("/api/v2/{path}?per_page=1&include=None");
        let mut rows = Vec::new();
        loop {
            let body = desk.ok(&target);
            rows.extend(body[key].as_array().unwrap().clone());
            if body["next_page"].is_null() {
                assert_eq!(body["count"], rows.len());
                break;
            }
            target = rest(&body["next_page"]);
        }
        let found: std::collections::BTreeSet<String> = rows.iter().map(id).collect();
        assert_eq!(
            found,
            desk.world(|world| world.ids(stream, start())),
            "{path}"
        );
    }
    let (status, body) = desk.get("/api/v2/users?page=101");
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (400, &json!("InvalidPaginationDepth"))
    );
    assert!(desk.ok("/api/v2/account/settings")["settings"]["tickets"].is_object());
    assert_eq!(desk.ok("/api/v2/search.json?query=x")["count"], 0);
}

#[test]
fn children_show_the_world_and_archived_tickets_have_them_on_one_page() {
    let desk = Desk::tiny();
    let tickets = desk.world(|world| world.ids("tickets", start()));
    let mut found: std::collections::BTreeMap<&str, std::collections::BTreeSet<String>> =
        std::collections::BTreeMap::default();
    let (mut archived, mut most) = (0, 0);
    for ticket in &tickets {
        let deleted = desk
            .world(|world| world.expected("tickets", ticket, start()))
            .unwrap();
        let deleted = deleted["status"] == "deleted";
        for (name, stream) in [
            ("audits", "ticket_audits"),
            ("comments", "ticket_comments"),
            ("side_conversations", "side_conversations"),
        ] {
            let target = format!("/api/v2/tickets/{ticket}/{name}.json?page[size]=2");
            if deleted {
                assert_eq!(desk.get(&target).1["error"], "RecordNotFound");
                continue;
            }
            let body = desk.ok(&target);
            let is_paged = name != "side_conversations";
            assert_eq!(body["meta"].is_object(), is_paged);
            let is_archived =
                desk.world(|world| world.is_archived(ticket.parse().unwrap(), start()));
            if is_archived && name == "audits" {
                archived += 1;
                let pages = (&body["meta"]["has_more"], &body["links"]["next"]);
                assert_eq!(pages, (&json!(false), &Value::Null));
                most = most.max(body["audits"].as_array().unwrap().len());
            }
            let rows = if is_paged {
                by_page(&desk, &target, name)
            } else {
                body[name].as_array().unwrap().clone()
            };
            for row in rows {
                let expected = desk.world(|world| world.expected(stream, &id(&row), start()));
                assert_eq!(expected, Some(row.clone()));
                found.entry(stream).or_default().insert(id(&row));
            }
        }
    }
    assert!(archived > 2 && most > 2, "{archived} {most}");
    for (stream, found) in found {
        assert_eq!(
            found,
            desk.world(|world| world.ids(stream, start())),
            "{stream}"
        );
    }
}

#[test]
fn archived_and_deleted_tickets_are_in_no_list() {
    let desk = Desk::tiny();
    let listed = by_page(&desk, "/api/v2/tickets?page[size]=50", "tickets");
    let ids: Vec<String> = listed.iter().map(id).collect();
    let all = desk.world(|world| world.ids("tickets", start()));
    assert!(ids.len() < all.len());
    for ticket in all {
        let number = ticket.parse().unwrap();
        let body = desk
            .world(|world| world.expected("tickets", &ticket, start()))
            .unwrap();
        let hidden =
            body["status"] == "deleted" || desk.world(|world| world.is_archived(number, start()));
        assert_eq!(ids.contains(&ticket), !hidden, "{ticket}");
    }
    let metrics = by_page(
        &desk,
        "/api/v2/ticket_metrics?page[size]=50",
        "ticket_metrics",
    );
    assert!(metrics.len() <= ids.len() + 1);
    let count = desk.ok("/api/v2/tickets/count.json");
    assert_eq!(count["count"]["value"], ids.len());
    let ticket = desk.ok(&format!("/api/v2/tickets/{}.json", ids[0]));
    assert_eq!(ticket["ticket"]["subject"], listed[0]["subject"]);
}

#[test]
fn the_end_of_a_list_is_told_in_the_ways_the_service_has() {
    let desk = Desk::tiny();
    let last = desk.ok("/api/v2/groups?page[size]=100");
    assert_eq!(last["meta"]["has_more"], false);
    assert!(last["meta"]["after_cursor"].is_string() && last["links"]["next"].is_string());
    let behind = desk.ok(&rest(&last["links"]["next"]));
    assert_eq!(
        (&behind["groups"], &behind["meta"]["after_cursor"]),
        (&json!([]), &Value::Null)
    );
    desk.emulator.behave(|behaviour| {
        behaviour.extra_empty_page = true;
        behaviour.without_has_more = vec!["users".to_owned()];
    });
    assert_eq!(
        desk.ok("/api/v2/groups?page[size]=100")["meta"]["has_more"],
        true
    );
    assert!(
        desk.ok("/api/v2/users?page[size]=3")["meta"]
            .get("has_more")
            .is_none()
    );
    let told = desk.ok("/api/v2/users?page[size]=3&include_boundary_indicators=true");
    assert_eq!(told["meta"]["has_more"], true);
    assert_eq!(
        desk.get("/api/v2/groups?page[size]=1&page[after]=nonsense")
            .0,
        400
    );
    for (target, status) in [
        ("groups?page[size]=1&sort=secret", 400),
        ("tickets?page[size]=5&sort=created_at", 400),
        ("tickets?page[size]=5&sort=-updated_at", 200),
        ("tickets?page[size]=5&sort=status", 200),
        ("groups?page[size]=0", 400),
    ] {
        assert_eq!(desk.get(&format!("/api/v2/{target}")).0, status, "{target}");
    }
}

#[test]
fn a_row_that_vanishes_between_pages_hides_no_other() {
    let desk = Desk::tiny();
    let first = desk.ok("/api/v2/organization_memberships?page[size]=5");
    let rows = first["organization_memberships"]
        .as_array()
        .unwrap()
        .clone();
    let before = desk.world(|world| world.ids("organization_memberships", start()));
    desk.world(|world| {
        world
            .remove("organization_memberships", &id(&rows[4]), start())
            .unwrap();
    });
    let more = by_page(
        &desk,
        &rest(&first["links"]["next"]),
        "organization_memberships",
    );
    assert_eq!(rows.len() + more.len(), before.len());
}

#[test]
fn filters_cut_where_they_should() {
    let desk = Desk::tiny();
    let all = desk.ok("/api/v2/audit_logs?page[size]=100&sort=created_at");
    let all = all["audit_logs"].as_array().unwrap().clone();
    let created = all[1]["created_at"].as_str().unwrap();
    let target = format!(
        "/api/v2/audit_logs?page[size]=100&filter[created_at][]={created}&filter%5Bcreated_at%5D%5B%5D=2099-01-01T00:00:00Z"
    );
    let some = desk.ok(&target);
    assert!(some["audit_logs"].as_array().unwrap().len() < all.len());
    let none = desk.ok("/api/v2/satisfaction_ratings?page[size]=100&start_time=99999999999");
    assert_eq!(none["satisfaction_ratings"], json!([]));
    let groups = desk.ok("/api/v2/groups?exclude_deleted=true");
    assert_eq!(groups["count"], 3);
}

#[test]
fn hostile_addresses_and_missing_times_are_shown_when_told() {
    let desk = Desk::tiny();
    desk.emulator.behave(|behaviour| {
        behaviour.content_url = Some("https://evil.example/steal".to_owned());
        behaviour.null_updated_at = vec!["groups".to_owned()];
    });
    let articles = desk.ok("/api/v2/help_center/articles");
    let article = &articles["articles"][0]["id"];
    let files = desk.ok(&format!(
        "/api/v2/help_center/articles/{article}/attachments"
    ));
    assert_eq!(
        files["article_attachments"][0]["content_url"],
        "https://evil.example/steal"
    );
    assert!(desk.ok("/api/v2/groups")["groups"][0]["updated_at"].is_null());
    assert!(desk.ok("/api/v2/groups")["groups"][0]["created_at"].is_string());
}

#[test]
fn what_the_plan_lacks_is_refused() {
    let desk = Desk::tiny();
    desk.emulator.behave(|behaviour| {
        behaviour.plan_lacks = vec!["sla_policies".to_owned(), "side_conversations".to_owned()];
        behaviour.not_enabled = vec!["calls".to_owned()];
    });
    assert_eq!(desk.get("/api/v2/slas/policies.json").0, 403);
    let (status, body) = desk.get("/api/v2/tickets/1/side_conversations");
    assert_eq!(
        (status, &body["error"]["title"]),
        (403, &json!("Forbidden"))
    );
    let (status, body) = desk.get("/api/v2/channels/voice/stats/incremental/calls?start_time=0");
    assert_eq!((status, &body["error"]), (404, &json!("InvalidEndpoint")));
    assert_eq!(desk.get("/api/v2/nowhere").1["error"], "InvalidEndpoint");
}
