//! The small lists of Support: rules, brands, roles, ratings, logs.

use overlock_sandbox::company::Dice;
use serde_json::json;

use crate::emulator::record::{Body, Key, NIL, Sec, body, iso, raw};
use crate::emulator::thread::{ACCOUNT, WEB};
use crate::emulator::world::World;

use super::tickets::{both, sentences};
use super::words;

/// A record of this file's streams.
pub(super) fn blank(world: &mut World, stream: &str, id: i64, now: Sec) -> Option<(Key, Body)> {
    let mut dice = Dice::numbered(world.options.seed, stream, id.unsigned_abs());
    let body = match stream {
        "macros" | "triggers" | "automations" | "views" => rule(stream, id, now),
        "trigger_categories" => {
            // Their ids are texts.
            let body = body! {
                id: id.to_string(), name: "Notifications", position: 1, created_at: iso(now), updated_at: iso(now),
            };
            return Some((Key::from(id), body));
        }
        "brands" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/brands/{id}.json"), name: "Acme", brand_url: ACCOUNT,
            subdomain: "acme", host_mapping: NIL, has_help_center: true, help_center_state: "enabled",
            active: true, default: false, is_deleted: false, logo: NIL, ticket_form_ids: json!([]),
            signature_template: "{{agent.signature}}", created_at: iso(now), updated_at: iso(now),
        },
        "custom_roles" => body! {
            id: id, name: "Advisor", description: "Can work on tickets", role_type: 0, team_member_count: 3,
            configuration: raw("{\"ticket_access\":\"all\",\"chat_access\":false,\"assign_tickets_to_any_group\":true}"),
            created_at: iso(now), updated_at: iso(now),
        },
        "custom_ticket_statuses" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/custom_statuses/{id}.json"), status_category: "open",
            agent_label: "Open", raw_agent_label: "Open", end_user_label: "Open", raw_end_user_label: "Open",
            description: "", raw_description: "", end_user_description: "", raw_end_user_description: "",
            active: true, default: true, created_at: iso(now), updated_at: iso(now),
        },
        "sla_policies" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/slas/policies/{id}.json"), title: "Urgent first",
            description: "For customers", position: 1,
            filter: raw("{\"all\":[{\"field\":\"type\",\"operator\":\"is\",\"value\":\"incident\"}],\"any\":[]}"),
            policy_metrics: raw(
                "[{\"priority\":\"urgent\",\"metric\":\"first_reply_time\",\"target\":10,\"target_in_seconds\":600,\
                 \"business_hours\":false}]",
            ),
            metric_settings: raw("{\"first_reply_time\":{\"activate_on_ticket_created_for_end_user\":true}}"),
            created_at: iso(now), updated_at: iso(now),
        },
        "schedules" => body! {
            id: id, name: "Dublin", time_zone: "Dublin",
            intervals: raw("[{\"start_time\":1980,\"end_time\":2460},{\"start_time\":3420,\"end_time\":3900}]"),
            created_at: iso(now), updated_at: iso(now),
        },
        "schedule_holidays" => body! {
            id: id, schedule_id: 0, name: "St. Patrick\u{2019}s Day", start_date: "2026-03-17",
            end_date: "2026-03-17",
        },
        "satisfaction_ratings" => {
            let good = dice.chance(3, 4);
            let ticket = world.story.ticket(dice.next());
            body! {
                id: id, url: format!("{ACCOUNT}/api/v2/satisfaction_ratings/{id}.json"),
                assignee_id: world.story.agent(dice.next()), group_id: world.story.group(dice.next()),
                requester_id: world.story.requester(dice.next()), ticket_id: ticket,
                score: if good { "good" } else { "bad" },
                comment: if dice.chance(1, 2) { json!(sentences(&mut dice, 1)) } else { NIL },
                reason: if good { "No reason provided" } else { "The issue took too long to resolve" },
                reason_id: id + 1, reason_code: if good { 0 } else { 5 }, created_at: iso(now),
                updated_at: iso(now),
            }
        }
        "suspended_tickets" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/suspended_tickets/{id}.json"),
            author: json!({"id": null, "name": "Win big", "email": "spam@mail.example"}),
            subject: "You have won!!!", content: sentences(&mut dice, 2), cause: "Detected as spam", cause_id: 0,
            message_id: format!("<{id}@mail.example>"), ticket_id: NIL, created_at: iso(now), updated_at: iso(now),
            recipient: "support@acme.zendesk.com", attachments: json!([]), via: raw(WEB),
            brand_id: world.story.brand(1), error_messages: NIL,
        },
        "ticket_skips" => body! {
            id: id, ticket_id: world.story.ticket(dice.next()), user_id: world.story.agent(dice.next()),
            reason: sentences(&mut dice, 1), created_at: iso(now), updated_at: iso(now),
            ticket: json!({"id": 1, "status": "open", "deleted_ticket_form_id": null}),
        },
        "ticket_activities" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/activities/{id}.json"), title: "Someone commented",
            verb: "tickets.comment", user_id: world.story.agent(dice.next()),
            actor_id: world.story.requester(dice.next()), object: json!({"comment": {"public": true}}),
            target: json!({"ticket": {"id": world.story.ticket(dice.next())}}), created_at: iso(now),
            updated_at: iso(now),
        },
        "audit_logs" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/audit_logs/{id}.json"), action: "update",
            action_label: "Updated", actor_id: if id % 3 == 0 { -1 } else { world.story.agent(dice.next()) },
            actor_name: "Zendesk", source_id: id - 1, source_type: "rule", source_label: "Trigger: Notify",
            change_description: "Title changed from \"A\" to \"B\"", ip_address: "192.0.2.17",
            created_at: iso(now),
        },
        "side_conversations" => {
            let uuid = format!(
                "{:08x}-{:04x}-11ec-9aaa-{:012x}",
                dice.below(1 << 32),
                dice.below(1 << 16),
                id
            );
            let stamp = format!("{}.141Z", iso(now).trim_end_matches('Z'));
            let body = body! {
                id: uuid, url: format!("{ACCOUNT}/api/v2/tickets/0/side_conversations/{uuid}"), ticket_id: 0,
                subject: dice.word(words::SUBJECTS), preview_text: sentences(&mut dice, 1), state: "open",
                participants: json!([{"user_id": world.story.agent(1), "name": "Ada", "email": "ada@acme.example"}]),
                created_at: stamp, updated_at: stamp, message_added_at: stamp, state_updated_at: stamp,
                external_ids: json!({}),
            };
            return Some((Key::from(uuid.as_str()), body));
        }
        "job_statuses" => {
            let hex = format!("8b726e606741012ffc2d782bcb{id:016x}");
            let body = body! {
                id: hex, job_type: "Bulk Update Ticket", url: format!("{ACCOUNT}/api/v2/job_statuses/{hex}.json"),
                total: 2, progress: 2, status: "completed", message: format!("Completed at {}", iso(now)),
                results: json!([{"id": 1, "action": "update", "success": true, "status": "Updated"}]),
            };
            return Some((Key::from(hex.as_str()), body));
        }
        "locales" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/locales/en-US.json"), locale: "en-US", name: "English",
            native_name: "English", presentation_name: "English", rtl: false, default: true,
            created_at: iso(now), updated_at: iso(now),
        },
        "account_settings" => {
            let text = "{\"active_features\":{\"user_tagging\":true,\"voice\":true},\"tickets\":\
                {\"comments_public_by_default\":true,\"list_newest_comments_first\":true},\
                \"branding\":{\"header_color\":\"78A300\",\"favicon_url\":null}}";
            return Some((Key::from(1), Body::new(vec![("settings", raw(text))])));
        }
        "ticket_metric_events" => {
            let seconds = i64::try_from(dice.below(9_000)).unwrap_or(0);
            body! {
                id: id, ticket_id: 0, metric: "reply_time", instance_id: 1 + i64::from(id % 7 == 0), type: "activate",
                time: iso(now), deleted: false,
                sla: json!({"target": 600, "business_hours": false, "policy": {"id": 25, "title": "Urgent", "description": null}}),
                group_sla: NIL, status: both(seconds / 60),
            }
        }
        _ => return None,
    };
    Some((Key::from(id), body))
}

fn rule(stream: &str, id: i64, now: Sec) -> Body {
    let title = format!("{} {id}", stream.trim_end_matches('s'));
    let actions = raw(
        "[{\"field\":\"status\",\"value\":\"solved\"},{\"field\":\"current_tags\",\"value\":\"done\"}]",
    );
    let conditions = raw(
        "{\"all\":[{\"field\":\"update_type\",\"operator\":\"is\",\"value\":\"Create\"}],\"any\":[]}",
    );
    let mut body = body! {
        id: id, url: format!("{ACCOUNT}/api/v2/{stream}/{id}.json"), title: title, raw_title: title, active: true,
        default: false, position: 1, description: NIL,
    };
    match stream {
        "macros" => {
            body.set("actions", actions);
            body.set("restriction", NIL);
            body.set("permissions", raw("{\"can_edit\":true}"));
        }
        "views" => {
            body.set(
                "execution",
                raw("{\"group_by\":\"status\",\"sort_by\":\"nice_id\",\"columns\":[]}"),
            );
            body.set("conditions", conditions);
            body.set("restriction", raw("{\"type\":\"Group\",\"id\":4}"));
        }
        _ => {
            body.set("actions", actions);
            body.set("conditions", conditions);
            if stream == "triggers" {
                body.set("category_id", "28000000000001");
            }
        }
    }
    body.set("created_at", iso(now));
    body.set("updated_at", iso(now));
    body
}
