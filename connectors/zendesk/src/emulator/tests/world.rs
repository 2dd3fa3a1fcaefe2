//! Laws of the world.

use std::collections::BTreeSet;
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::company;
use serde_json::{Value, json};

use super::start;
use crate::emulator::{World, WorldOptions};

const DAY: Duration = Duration::from_secs(86_400);

fn tiny(seed: u64) -> World {
    World::seeded(WorldOptions::tiny(seed, start()))
}

fn everything(world: &World, at: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    for stream in World::streams() {
        for key in world.ids(stream, at) {
            all.push(format!(
                "{stream} {key} {:?}",
                world.expected_text(stream, &key, at)
            ));
        }
    }
    all
}

fn bodies(world: &World, stream: &str, at: Timestamp) -> Vec<Value> {
    let ids = world.ids(stream, at).into_iter();
    ids.map(|id| world.expected(stream, &id, at).unwrap())
        .collect()
}

#[test]
fn the_same_options_give_the_same_world_in_any_number_of_steps() {
    for seed in 0..2 {
        let end = start().plus(DAY * 9);
        let mut at_once = tiny(seed);
        at_once.evolve(end);
        let mut in_steps = tiny(seed);
        for hour in 0..9 * 24 {
            in_steps.evolve(start().plus(Duration::from_secs(hour * 3_600)));
        }
        in_steps.evolve(end);
        assert_eq!(everything(&at_once, end), everything(&in_steps, end));
        let middle = start().plus(DAY * 4);
        assert_eq!(everything(&at_once, middle), everything(&in_steps, middle));
        // What has happened is not changed by what comes.
        assert_eq!(
            everything(&tiny(seed), start()),
            everything(&at_once, start())
        );
    }
    assert_ne!(everything(&tiny(0), start()), everything(&tiny(1), start()));
}

#[test]
fn the_last_version_of_a_record_is_its_newest_text() {
    let mut world = tiny(4);
    world.evolve(start().plus(DAY * 30));
    for (stream, table) in &world.tables {
        for (key, record) in &table.records {
            let there = record
                .versions
                .iter()
                .rev()
                .find(|version| !version.marks.gone);
            let is_redacted =
                ["ticket_comments", "ticket_audits", "ticket_events"].contains(stream);
            assert!(
                is_redacted || there.is_some_and(|version| *version.text == *record.body.render()),
                "{stream} {key} was written out of order"
            );
            assert!(
                record.versions.is_sorted_by_key(|version| version.at),
                "{stream} {key}"
            );
        }
    }
}

/// Fields of the contract, stream by stream.
const FIELDS: &str = "
tickets: id url external_id encoded_id via created_at updated_at generated_timestamp type subject raw_subject description priority status custom_status_id recipient requester_id submitter_id assignee_id organization_id group_id collaborator_ids follower_ids email_cc_ids forum_topic_id problem_id has_incidents is_public due_at tags custom_fields fields satisfaction_rating sharing_agreement_ids followup_ids ticket_form_id brand_id allow_channelback allow_attachments from_messaging_channel support_type
users: id url name email created_at updated_at time_zone iana_time_zone phone shared_phone_number photo locale_id locale organization_id role verified external_id tags alias active shared shared_agent last_login_at two_factor_auth_enabled signature details notes role_type custom_role_id is_billing_admin moderator ticket_restriction only_private_comments restricted_agent suspended suspension_details default_group_id report_csv chat_only permanently_deleted user_fields
organizations: id url name shared_tickets shared_comments external_id created_at updated_at deleted_at domain_names details notes group_id tags organization_fields
ticket_metrics: id url ticket_id created_at updated_at group_stations assignee_stations reopens replies assignee_updated_at requester_updated_at status_updated_at initially_assigned_at assigned_at solved_at latest_comment_added_at custom_status_updated_at reply_time_in_minutes first_resolution_time_in_minutes full_resolution_time_in_minutes agent_wait_time_in_minutes requester_wait_time_in_minutes on_hold_time_in_minutes reply_time_in_seconds
ticket_audits: id ticket_id created_at author_id via metadata events
ticket_comments: id type author_id body html_body plain_body public attachments audit_id via created_at metadata
ticket_events: id instance_id ticket_id timestamp created_at updater_id via via_reference_id system metadata event_type merged_ticket_ids child_events
ticket_metric_events: id ticket_id metric instance_id type time deleted sla group_sla status
groups: id url name description default deleted is_public created_at updated_at
group_memberships: id url user_id group_id default created_at updated_at
organization_memberships: id url user_id organization_id default organization_name view_tickets created_at updated_at
brands: id url name brand_url subdomain host_mapping has_help_center help_center_state active default is_deleted logo ticket_form_ids signature_template created_at updated_at
satisfaction_ratings: id url assignee_id group_id requester_id ticket_id score comment reason reason_id reason_code created_at updated_at
ticket_forms: id url name raw_name display_name raw_display_name position active default end_user_visible in_all_brands restricted_brand_ids ticket_field_ids agent_conditions end_user_conditions form_type deleted_at created_at updated_at
ticket_fields: id url type title raw_title title_in_portal raw_title_in_portal description raw_description position active required required_in_portal visible_in_portal editable_in_portal agent_can_edit agent_description raw_agent_description collapsed_for_agents regexp_for_validation removable tag key custom_field_options system_field_options sub_type_id created_at updated_at
macros: id url title raw_title active default position description actions restriction permissions created_at updated_at
sla_policies: id url title description position filter policy_metrics metric_settings created_at updated_at
schedules: id name time_zone intervals created_at updated_at
custom_ticket_statuses: id url status_category agent_label raw_agent_label end_user_label raw_end_user_label description raw_description end_user_description raw_end_user_description active default created_at updated_at
tags: name count
deleted_tickets: id subject description actor deleted_at previous_state
side_conversations: id url ticket_id subject preview_text state participants created_at updated_at message_added_at state_updated_at external_ids
custom_roles: id name description role_type team_member_count configuration created_at updated_at
suspended_tickets: id url author subject content cause cause_id message_id ticket_id created_at updated_at recipient attachments via brand_id error_messages
";

#[test]
fn every_stream_has_records_with_all_fields_of_the_contract() {
    let world = tiny(1);
    for stream in World::streams() {
        let rows = bodies(&world, stream, start());
        assert!(!rows.is_empty(), "{stream} is empty");
        let Some(line) = FIELDS
            .lines()
            .find(|line| line.starts_with(&format!("{stream}: ")))
        else {
            continue;
        };
        for name in line.split_whitespace().skip(1) {
            for row in &rows {
                assert!(row.get(name).is_some(), "{stream} has no {name}");
            }
        }
    }
}

#[test]
fn every_tiny_world_has_one_of_every_oddity() {
    for seed in 0..6 {
        let world = tiny(seed);
        let tickets = bodies(&world, "tickets:all", start());
        let some = |what: &str, holds: &dyn Fn(&Value) -> bool| {
            assert!(tickets.iter().any(holds), "seed {seed}: no ticket {what}");
        };
        some("deleted", &|ticket| {
            ticket["status"] == "deleted" && ticket["subject"] != "SCRUBBED"
        });
        some("scrubbed", &|ticket| {
            ticket["subject"] == "SCRUBBED" && ticket["requester_id"] == -1
        });
        some("of a robot", &|ticket| ticket["support_type"] == "ai_agent");
        some("with a huge id", &|ticket| {
            ticket["id"].as_i64() > Some(1 << 53)
        });
        some("from nobody", &|ticket| ticket["submitter_id"] == -1);
        some("with an unknown field", &|ticket| {
            ticket.get("x_recently_added").is_some()
        });
        some("with a number as channel", &|ticket| {
            ticket["via"]["channel"] == 29
        });
        some("with a word as rating", &|ticket| {
            ticket["satisfaction_rating"] == "offered"
        });
        some("moved by the system", &|ticket| {
            let updated = Timestamp::parse(ticket["updated_at"].as_str().unwrap()).unwrap();
            ticket["generated_timestamp"].as_i64() > Some(updated.seconds())
        });
        some("archived", &|ticket| {
            world.is_archived(ticket["id"].as_i64().unwrap(), start())
        });
        let retired = |ticket: &Value| {
            ticket["custom_fields"]
                .to_string()
                .contains("region_retired")
        };
        some("with a retired option", &retired);
        let kinds: BTreeSet<&str> = tickets
            .iter()
            .flat_map(|ticket| ticket["custom_fields"].as_array().unwrap())
            .map(|field| match &field["value"] {
                Value::Null => "null",
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::String(_) => "text",
                Value::Array(_) => "list",
                Value::Object(_) => "object",
            })
            .collect();
        assert_eq!(kinds.len(), 6, "seed {seed}: {kinds:?}");
        let stamps: Vec<_> = tickets
            .iter()
            .map(|ticket| ticket["generated_timestamp"].as_i64())
            .collect();
        let distinct: BTreeSet<_> = stamps.iter().collect();
        assert!(
            distinct.len() < stamps.len(),
            "seed {seed}: no two tickets in one second"
        );

        let comments = bodies(&world, "ticket_comments", start());
        assert!(
            comments
                .iter()
                .any(|one| one["type"] == "VoiceComment" && one["data"].is_object())
        );
        assert!(
            comments
                .iter()
                .any(|one| one["body"].as_str().unwrap().contains('\u{2587}'))
        );
        assert!(
            !everything(&world, start()).join("").contains("4111 1111"),
            "not redacted everywhere"
        );
        assert!(
            comments
                .iter()
                .any(|one| one.get("ticket_id") == Some(&Value::Null))
        );
        let audits = bodies(&world, "ticket_audits", start());
        let events: BTreeSet<&str> = audits
            .iter()
            .flat_map(|audit| audit["events"].as_array().unwrap())
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        for kind in [
            "Create",
            "Change",
            "Comment",
            "VoiceComment",
            "Notification",
            "Cc",
            "Error",
            "External",
        ] {
            assert!(events.contains(kind), "seed {seed}: no event {kind}");
        }
        assert!(audits.iter().any(|audit| audit["author_id"] == -1));

        let users = bodies(&world, "users", start());
        assert!(users.iter().any(|user| user["permanently_deleted"] == true));
        assert!(
            users
                .iter()
                .any(|user| user["active"] == false && user["permanently_deleted"] == false)
        );
        assert!(users.iter().any(|user| user["suspended"] == true));
        assert!(users.iter().any(|user| user["id"].as_i64() > Some(1 << 53)));
        let silent = world.ids("users", start());
        assert!(
            silent
                .iter()
                .any(|user| world.changed_silently("users", user, start()))
        );
        assert!(
            bodies(&world, "organizations", start())
                .iter()
                .any(|one| !one["deleted_at"].is_null())
        );
        assert!(
            bodies(&world, "group_memberships", start())
                .iter()
                .any(|one| one["updated_at"].is_null())
        );
        let events = bodies(&world, "ticket_events", start());
        assert!(events.iter().any(|event| event["via"].is_string()));
        assert!(events.iter().any(|event| event["via"].is_object()));
        assert!(events.iter().any(|event| event["updater_id"] == -1));
    }
}

#[test]
fn customers_are_those_of_the_company() {
    let world = tiny(3);
    let organizations = bodies(&world, "organizations", start());
    assert_eq!(organizations.len(), 9);
    let mut known: Vec<&str> = Vec::new();
    for organization in &organizations {
        let account = organization["external_id"].as_str().unwrap();
        assert_eq!(organization["name"], company::account_name(3, account));
        let domains: Vec<String> = company::account_domain(3, account).into_iter().collect();
        assert_eq!(organization["domain_names"], json!(domains));
        known.push(account);
    }
    known.sort_unstable();
    let accounts: Vec<String> = (1..=9).map(company::account_id).collect();
    assert_eq!(known, accounts);
    let users = bodies(&world, "users", start());
    let contacts = users.iter().filter(|user| user["external_id"].is_string());
    let mut count = 0;
    for user in contacts {
        let contact = user["external_id"].as_str().unwrap();
        let (first, last) = company::contact_name(3, contact);
        assert_eq!(user["name"], format!("{first} {last}"));
        assert_eq!(user["email"], company::contact_email(3, contact));
        count += 1;
    }
    assert!((15..=18).contains(&count), "{count}");
}

#[test]
fn actions_show_in_every_place_they_should() {
    let mut world = tiny(2);
    let (now, later) = (start().plus(DAY), start().plus(DAY * 2));
    let ticket = world
        .insert_ticket(&[("subject", "Mine".into())], now)
        .unwrap();
    let key = ticket.to_string();
    let comment = world
        .add_comment(ticket, "secret words", true, None, now)
        .unwrap();
    world.redact_comment(comment, now).unwrap();
    let text = world
        .expected("ticket_comments", &comment.to_string(), now)
        .unwrap();
    assert!(!text.to_string().contains("secret"));
    world
        .system_update(ticket, now.plus(Duration::from_secs(9)))
        .unwrap();
    let body = world.expected("tickets", &key, later).unwrap();
    assert_eq!(body["updated_at"], now.to_string());
    assert_eq!(body["generated_timestamp"], now.seconds() + 9);
    world.delete_ticket(ticket, later).unwrap();
    assert!(world.ids("deleted_tickets", later).contains(&key));
    assert_eq!(
        world.parent("ticket_comments", &comment.to_string()),
        Some(key.clone())
    );
    let after = later.plus(DAY);
    assert!(
        world
            .ids("ticket_comments:events", after)
            .contains(&comment.to_string())
    );
    assert!(
        !world
            .ids("ticket_comments", after)
            .contains(&comment.to_string())
    );
    world.restore_ticket(ticket, after).unwrap();
    assert!(!world.ids("deleted_tickets", after).contains(&key));
    let restored = world.expected("tickets", &key, after.plus(DAY)).unwrap();
    assert_ne!(restored["status"], "deleted");
    world.delete_ticket(ticket, after.plus(DAY)).unwrap();
    world.scrub_ticket(ticket, after.plus(DAY)).unwrap();
    let scrubbed = world
        .expected("tickets", &key, after.plus(DAY * 2))
        .unwrap();
    assert_eq!(
        (&scrubbed["subject"], &scrubbed["status"]),
        (&json!("SCRUBBED"), &json!("deleted"))
    );
    assert!(
        world
            .update_ticket(ticket, &[], after.plus(DAY * 2))
            .is_err()
    );
    assert_eq!(world.ever("tickets", &key, after.plus(DAY * 2)).len(), 8);
    assert_eq!(world.crowd("calls", 12, after).unwrap().len(), 12);
    assert_eq!(world.crowd("ticket_events", 12, after).unwrap().len(), 11);
}

#[test]
fn hostile_and_large_worlds_can_be_made() {
    let nasty = World::seeded(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(5, start())
    });
    let tickets = bodies(&nasty, "tickets", start());
    assert!(tickets.iter().any(|ticket| ticket["via"] == "web"));
    let huge = tickets
        .iter()
        .filter(|ticket| ticket["id"].as_i64() > Some(1 << 53));
    assert!(huge.count() > 5);
    let began = std::time::Instant::now();
    let demo = World::seeded(WorldOptions {
        tickets: 400,
        ..WorldOptions::demo(1, start())
    });
    assert!((380..460).contains(&demo.ids("tickets", start()).len()));
    println!("a quarter of the demo took {:?}", began.elapsed());
}
