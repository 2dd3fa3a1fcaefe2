//! One of everything that breaks careless readers, whatever the dice say.
//!
//! What changes tickets of its own lies days before the start, some of it long before; what changes records
//! that have a history lies in the last day, which history leaves free.

use overlock_core::{Result, Timestamp};
use serde_json::{Value, json};

use crate::emulator::record::{Key, NIL, Sec};
use crate::emulator::thread::Happening;
use crate::emulator::world::World;

use super::nasty;

const DAY: Sec = 86_400;

/// Adds the oddities. Their tickets come after those of history.
pub(super) fn seed(world: &mut World) -> Result<()> {
    let start = world.options.start.seconds();
    let at = |days: Sec, secs: Sec| {
        Timestamp::from_seconds(start - days * DAY + secs).unwrap_or(Timestamp::EPOCH)
    };
    // Closed long ago, then touched by the system: archived, and new in the export.
    let archived = world.insert_ticket(&[("subject", "Archived long ago".into())], at(200, 0))?;
    world.add_comment(archived, "Solved by phone.", true, None, at(199, 0))?;
    world.add_voice_comment(archived, at(198, 0))?;
    world.update_ticket(archived, &[("status", "closed".into())], at(197, 0))?;
    world.system_update(archived, at(3, 7))?;
    // An AI agent's ticket: hidden unless asked for.
    let ai_agent = [
        ("support_type", "ai_agent".into()),
        ("subject", "Talked to the bot".into()),
    ];
    world.insert_ticket(&ai_agent, at(6, 1))?;
    // Deleted, and deleted and scrubbed.
    let deleted = world.insert_ticket(&[("subject", "Sent twice".into())], at(9, 0))?;
    world.delete_ticket(deleted, at(8, 0))?;
    let scrubbed = world.insert_ticket(&[("subject", "Contains a password".into())], at(50, 0))?;
    world.delete_ticket(scrubbed, at(45, 0))?;
    world.scrub_ticket(scrubbed, at(2, 0))?;
    // Merged.
    let winner = world.insert_ticket(&[("subject", "The printer is on fire".into())], at(7, 0))?;
    let loser = world.insert_ticket(&[("subject", "Printer: fire!".into())], at(7, 60))?;
    world.merge_tickets(winner, loser, at(6, 0))?;
    // Several changes of one ticket, and of several tickets, in one second.
    for number in 0..3 {
        let text = format!("Said in one second, {number}");
        world.add_comment(winner, &text, true, None, at(5, 33))?;
    }
    // A redacted comment, and words that need care.
    let secret = world.add_comment(
        winner,
        "My card is 4111 1111 1111 1111",
        true,
        None,
        at(4, 0),
    )?;
    world.redact_comment(secret, at(4, 60))?;
    let ugly = "\u{FEFF}tab\there \"quotes\" back\\slash\r\nline two\u{2028}three, emoji \u{1F9E8}, \
        rtl \u{202E}abc\u{202C}, zero\u{200B}width, null text: null, <b>bold</b> &amp; more";
    world.add_comment(winner, ugly, true, None, at(4, 90))?;
    // Written by the system, with a value whose option is gone and an id that no field has.
    let fields = world.story.custom_fields.clone();
    let mut values: Vec<Value> = fields
        .iter()
        .map(|id| json!({"id": id, "value": null}))
        .collect();
    if let Some(tagger) = values.get_mut(9) {
        tagger["value"] = "region_retired".into();
    }
    values.push(json!({"id": 28_999_999_999_999_i64, "value": {"unknown": ["shape"]}}));
    let system = [
        ("submitter_id", json!(-1)),
        ("requester_id", json!(-1)),
        ("assignee_id", NIL),
        ("custom_fields", Value::Array(values)),
        (
            "satisfaction_rating",
            json!({"score": "good", "id": 77, "comment": "Thx", "reason": null, "reason_id": 5}),
        ),
        ("problem_id", json!(9_007_199_254_740_995_i64)),
    ];
    world.insert_ticket(&system, at(4, 120))?;
    // Events of the kinds that are rare.
    let rare = Happening::rare(world);
    let system = -1;
    world.change_ticket(winner, system, &[], rare, start - 3 * DAY)?;
    // Deleted and taken back.
    let back = world.insert_ticket(&[("subject", "Deleted by mistake".into())], at(20, 0))?;
    world.delete_ticket(back, at(19, 0))?;
    world.restore_ticket(back, at(19, 600))?;
    // A ticket whose last word is later than its last update says.
    let touched = world.insert_ticket(
        &[("subject", "Only the system moved this".into())],
        at(30, 0),
    )?;
    world.system_update(touched, at(1, 5))?;
    // Two in one second.
    for ticket in [winner, loser] {
        world.system_update(ticket, at(0, -33_000))?;
    }
    // Users: changed in silence, inactive, gone for good.
    let users = world.story.requesters.clone();
    let user = |back: usize| users.iter().rev().nth(back).copied().unwrap_or(0);
    let silent = [("two_factor_auth_enabled", true.into())];
    world.update_silently("users", &user(0).to_string(), &silent, at(0, -40_000))?;
    world.delete_user(user(1), false, at(0, -39_000))?;
    world.delete_user(user(2), true, at(0, -38_000))?;
    world.update(
        "users",
        &user(3).to_string(),
        &[("suspended", true.into())],
        at(0, -37_000),
    )?;
    if let Some(organization) = world.story.organizations.last().copied() {
        world.delete_organization(organization, at(0, -36_000))?;
    }
    // What only some accounts have.
    let ticket = [("ticket_id", winner.into())];
    world.create("side_conversations", &ticket, start - 4 * DAY)?;
    for stream in [
        "satisfaction_ratings",
        "suspended_tickets",
        "ticket_activities",
        "ticket_skips",
        "audit_logs",
    ] {
        for number in 0..3 {
            world.create(stream, &[], start - 2 * DAY + number)?;
        }
    }
    let call = world.create("calls", &[], start - 2 * DAY)?.number();
    world.create("call_legs", &[("call_id", call.into())], start - 2 * DAY)?;
    world.create("call_legs", &[("call_id", call.into())], start - 2 * DAY)?;
    // A membership that is gone.
    let memberships = world.table("organization_memberships");
    let last = memberships.and_then(|table| table.order.last().cloned());
    if let Some(last) = last {
        world.vanish("organization_memberships", &last, start - 35_000)?;
    }
    let unstamped: Vec<Key> = world
        .rows("group_memberships", start)
        .map(|row| row.key.clone())
        .take(1)
        .collect();
    for key in unstamped {
        world.amend("group_memberships", &key, start - 34_000, None, |body| {
            body.set("updated_at", NIL);
        })?;
    }
    if world.options.nasty {
        nasty::seed(world)?;
    }
    Ok(())
}
