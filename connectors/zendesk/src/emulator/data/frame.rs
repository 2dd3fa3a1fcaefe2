//! What is there before the first event: staff, customers, fields, forms, rules, the help center.

use overlock_core::Result;
use overlock_sandbox::company::{Dice, FIRST_NAMES, LAST_NAMES};
use serde_json::{Value, json};

use crate::emulator::record::{Key, Sec};
use crate::emulator::world::{Change, World};

use super::fields::{self, ORGANIZATION_FIELDS, TICKET_FIELDS, USER_FIELDS, options};
use super::story::beginning;

/// Creates what is there before the first event.
pub(crate) fn seed(world: &mut World) {
    let at = beginning(&world.options);
    let _seeded = staff(world, at)
        .and_then(|()| customers(world, at))
        .and_then(|()| settings(world, at))
        .and_then(|()| help_center(world, at));
}

/// Creates a record and returns its key.
fn add(world: &mut World, stream: &str, at: Sec, changes: &[Change<'_>]) -> Result<Key> {
    world.create(stream, changes, at)
}

fn staff(world: &mut World, at: Sec) -> Result<()> {
    for (name, default) in [("Acme", true), ("Acme Outlet", false)] {
        let changes = [("name", name.into()), ("default", default.into())];
        let id = add(world, "brands", at, &changes)?.number();
        world.story.brands.push(id);
    }
    for category in ["new", "open", "pending", "hold", "solved"] {
        let changes = [
            ("status_category", category.into()),
            ("agent_label", category.into()),
        ];
        let id = add(world, "custom_ticket_statuses", at, &changes)?.number();
        world.story.statuses.push((category, id));
    }
    for _ in 0..3 {
        add(world, "groups", at, &[])?;
    }
    let deleted = [("name", "Fax desk".into()), ("deleted", true.into())];
    add(world, "groups", at, &deleted)?;
    world.story.groups.truncate(3);
    let role = add(world, "custom_roles", at, &[])?.number();
    add(
        world,
        "custom_roles",
        at,
        &[("name", "Light agent".into()), ("role_type", 1.into())],
    )?;
    for number in 0..(3 + world.options.users / 20) {
        let role_name = if number == 0 { "admin" } else { "agent" };
        let mut dice = Dice::numbered(world.options.seed, "staff", u64::from(number));
        let (first, last) = (dice.word(FIRST_NAMES), dice.word(LAST_NAMES));
        let changes: [Change<'_>; 10] = [
            ("role", role_name.into()),
            ("name", format!("{first} {last}").into()),
            ("external_id", Value::Null),
            ("email", format!("agent{number}@acme.example").into()),
            ("role_type", json!(if number == 0 { 4 } else { 0 })),
            ("custom_role_id", role.into()),
            ("restricted_agent", false.into()),
            ("moderator", true.into()),
            ("signature", "--\nAcme Support".into()),
            (
                "default_group_id",
                world.story.group(u64::from(number)).into(),
            ),
        ];
        let agent = add(world, "users", at, &changes)?.number();
        let group = world.story.group(u64::from(number));
        let changes = [
            ("user_id", agent.into()),
            ("group_id", group.into()),
            ("default", true.into()),
        ];
        add(world, "group_memberships", at, &changes)?;
        identity(world, agent, at)?;
    }
    Ok(())
}

/// Gives a user an identity with the user's own address.
pub(super) fn identity(world: &mut World, user: i64, at: Sec) -> Result<()> {
    let users = world.table("users");
    let email = users.and_then(|users| users.records.get(&Key::from(user)));
    let email = email.map_or(Value::Null, |user| user.body.get("email").clone());
    let changes = [("user_id", user.into()), ("value", email)];
    add(world, "user_identities", at, &changes).map(drop)
}

fn customers(world: &mut World, at: Sec) -> Result<()> {
    for number in 0..world.options.organizations {
        // They came one after the other, not all at once.
        add(world, "organizations", at + 40 + i64::from(number), &[])?;
    }
    let staff = u32::try_from(world.story.agents.len()).unwrap_or(0);
    for number in 0..world.options.users.saturating_sub(staff) {
        let at = at + 90 + i64::from(number);
        customer(world, at)?;
    }
    Ok(())
}

/// A new end user with identity and membership.
pub(super) fn customer(world: &mut World, at: Sec) -> Result<i64> {
    let key = add(world, "users", at, &[])?;
    let user = key.number();
    identity(world, user, at)?;
    let users = world.table("users");
    let organization = users.and_then(|users| users.records.get(&key));
    let organization =
        organization.map_or(Value::Null, |user| user.body.get("organization_id").clone());
    if let Some(id) = organization.as_i64() {
        let table = world.table("organizations");
        let name = table.and_then(|table| table.records.get(&Key::from(id)));
        let name = name
            .map_or("", |organization| organization.body.text("name"))
            .to_owned();
        let changes = [
            ("user_id", user.into()),
            ("organization_id", organization),
            ("organization_name", name.into()),
        ];
        add(world, "organization_memberships", at, &changes)?;
    }
    Ok(user)
}

fn settings(world: &mut World, at: Sec) -> Result<()> {
    for (position, (kind, title)) in TICKET_FIELDS.iter().enumerate() {
        let is_custom = position >= 8;
        let mut changes = vec![
            ("type", json!(kind)),
            ("title", json!(title)),
            ("raw_title", json!(title)),
            ("position", json!(position)),
            ("removable", json!(is_custom)),
        ];
        let key = add(world, "ticket_fields", at, &[])?;
        let id = key.number();
        if !fields::all_options(kind).is_empty() {
            let without = (*kind == "tagger").then_some("region_retired");
            changes.push(("custom_field_options", options(id, kind, without)));
        }
        match *kind {
            "status" => {
                let text = json!([{"name": "Open", "value": "open"}, {"name": "Solved", "value": "solved"}]);
                changes.push(("system_field_options", text));
            }
            "custom_status" => changes.push(("custom_statuses", json!([]))),
            "checkbox" => changes.push(("tag", json!("confirmed"))),
            "regexp" => changes.push(("regexp_for_validation", json!("\\ASN-\\d{4}\\z"))),
            "lookup" => {
                changes.push(("relationship_target_type", json!("zen:custom_object:asset")));
            }
            _ => {}
        }
        world.amend("ticket_fields", &key, at, Some(at), |body| {
            for (name, value) in changes {
                body.set(name, value);
            }
        })?;
        if is_custom {
            world.story.custom_fields.push(id);
        }
    }
    for (stream, all) in [
        ("user_fields", USER_FIELDS),
        ("organization_fields", ORGANIZATION_FIELDS),
    ] {
        for (key, title, kind) in all {
            let mut changes = vec![
                ("key", json!(key)),
                ("title", json!(title)),
                ("raw_title", json!(title)),
                ("type", json!(kind)),
            ];
            if *kind == "dropdown" {
                changes.push(("custom_field_options", options(7, kind, None)));
            }
            // `key` would be taken for the key of the record.
            let (key_change, rest) = changes.split_at(1);
            let key = add(world, stream, at, rest)?;
            world.amend(stream, &key, at, Some(at), |body| {
                for (name, value) in key_change {
                    body.set(name, value.clone());
                }
            })?;
        }
    }
    for name in ["Default", "Returns"] {
        let shown = world.story.custom_fields.clone();
        let changes = [
            ("name", name.into()),
            ("raw_name", name.into()),
            ("ticket_field_ids", json!(shown)),
        ];
        let id = add(world, "ticket_forms", at, &changes)?.number();
        world.story.forms.push(id);
    }
    for (stream, count) in [
        ("macros", 4),
        ("trigger_categories", 2),
        ("triggers", 5),
        ("automations", 3),
        ("views", 4),
        ("sla_policies", 2),
        ("schedules", 2),
        ("locales", 2),
        ("account_settings", 1),
        ("talk_phone_numbers", 3),
        ("job_statuses", 2),
    ] {
        for number in 0..count {
            let key = add(world, stream, at, &[])?;
            if stream == "schedules" {
                let changes = [("schedule_id", json!(key.number()))];
                add(world, "schedule_holidays", at, &changes)?;
            }
            if number == 3 && stream == "macros" {
                world.amend(stream, &key, at, Some(at), |body| body.set("active", false))?;
            }
        }
    }
    Ok(())
}

fn help_center(world: &mut World, at: Sec) -> Result<()> {
    world.story.category = add(world, "categories", at, &[])?.number();
    world.story.section = add(world, "sections", at, &[])?.number();
    add(world, "sections", at, &[("name", "Deliveries".into())])?;
    for number in 0..6 {
        let at = at + number;
        let article = add(world, "articles", at, &[])?.number();
        add(
            world,
            "article_comments",
            at,
            &[("source_id", article.into())],
        )?;
        add(world, "article_votes", at, &[("item_id", article.into())])?;
        add(
            world,
            "article_attachments",
            at,
            &[("article_id", article.into())],
        )?;
    }
    world.story.topic = add(world, "topics", at, &[])?.number();
    for _ in 0..3 {
        let post = add(world, "posts", at, &[])?.number();
        add(world, "post_comments", at, &[("post_id", post.into())])?;
    }
    add(world, "custom_objects", at, &[("key", "asset".into())])?;
    for number in 0..5 {
        let changes = [("custom_object_key", "asset".into())];
        add(world, "custom_object_records", at + number, &changes)?;
    }
    Ok(())
}
