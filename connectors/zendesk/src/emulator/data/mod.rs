//! What the account holds: its lists, its people, its story.
//!
//! `people`, `fields`, `lists`, `extras` and `tickets` make records up, `frame` creates what is there
//! first, `story` plays events in time, `oddities` adds one of everything that breaks careless readers,
//! `nasty` what breaks careful ones.

mod extras;
mod fields;
mod frame;
mod lists;
mod nasty;
mod oddities;
mod people;
mod story;
mod tickets;
mod words;

use overlock_core::Result;

use super::record::{Body, Key, Sec};
use super::world::{Change, World, unknown};

pub(super) use frame::seed;
pub(super) use story::{Story, play};
pub(super) use tickets::{blank_metrics, blank_ticket, both};

/// Every table. `tags` is not among them: it is counted.
pub(super) const STREAMS: &[&str] = &[
    "account_settings",
    "article_attachments",
    "article_comments",
    "article_votes",
    "articles",
    "audit_logs",
    "automations",
    "brands",
    "call_legs",
    "calls",
    "categories",
    "custom_object_records",
    "custom_objects",
    "custom_roles",
    "custom_ticket_statuses",
    "deleted_tickets",
    "deleted_users",
    "group_memberships",
    "groups",
    "job_statuses",
    "locales",
    "macros",
    "organization_fields",
    "organization_memberships",
    "organizations",
    "post_comments",
    "posts",
    "satisfaction_ratings",
    "schedule_holidays",
    "schedules",
    "sections",
    "side_conversations",
    "sla_policies",
    "suspended_tickets",
    "talk_phone_numbers",
    "ticket_activities",
    "ticket_audits",
    "ticket_comments",
    "ticket_events",
    "ticket_fields",
    "ticket_forms",
    "ticket_metric_events",
    "ticket_metrics",
    "ticket_skips",
    "tickets",
    "topics",
    "trigger_categories",
    "triggers",
    "user_fields",
    "user_identities",
    "users",
    "views",
];

/// The field that names the record which records of a stream hang on.
pub(super) fn parent_field(stream: &str) -> Option<&'static str> {
    match stream {
        "side_conversations" | "ticket_metrics" | "ticket_metric_events" | "ticket_skips" => {
            Some("ticket_id")
        }
        "user_identities" => Some("user_id"),
        "article_comments" => Some("source_id"),
        "article_votes" => Some("item_id"),
        "article_attachments" => Some("article_id"),
        "post_comments" => Some("post_id"),
        "custom_object_records" => Some("custom_object_key"),
        "schedule_holidays" => Some("schedule_id"),
        "call_legs" => Some("call_id"),
        _ => None,
    }
}

/// A record with everything made up; what is given is set by the caller.
pub(super) fn blank(
    world: &mut World,
    stream: &str,
    changes: &[Change<'_>],
    now: Sec,
) -> Result<(Key, Body)> {
    let given = |name: &str| {
        changes
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let given_id = given("id")
        .or(given("key").filter(|_| stream == "custom_objects"))
        .cloned();
    let id = world.next_id(stream)?;
    let (key, body) = people::blank(world, stream, id, now)
        .or_else(|| fields::blank(stream, id, now))
        .or_else(|| lists::blank(world, stream, id, now))
        .or_else(|| extras::blank(world, stream, id, now))
        .ok_or_else(|| unknown("stream", stream))?;
    let key = match given_id {
        Some(serde_json::Value::String(text)) => Key::from(text.as_str()),
        Some(number) => number.as_i64().map_or(key, Key::from),
        None => key,
    };
    Ok((key, body))
}

/// Fields appear without notice: some records of some streams have one that nobody has heard of.
pub(super) fn grow(body: &mut Body, stream: &str, key: &Key, nasty: bool) {
    let is_known = matches!(
        stream,
        "users" | "organizations" | "satisfaction_ratings" | "calls"
    );
    if is_known && key.number() % 10 == 7 || nasty && key.number() % 4 == 1 {
        body.set(
            "x_recently_added",
            serde_json::json!({"mode": "beta", "n": 1}),
        );
    }
}
