//! The life of the account: what happens, and when.
//!
//! History and future are one sequence of numbered events; when an event happens and what it does is drawn
//! from (seed, number) alone. Before the start every fifth event is a new ticket, so that there are as many
//! as the options say; after it events come at the configured rate.

use overlock_core::{Result, Timestamp};
use overlock_sandbox::company::Dice;
use serde_json::{Value, json};

use crate::emulator::desk::SYSTEM;
use crate::emulator::record::{Body, Key, Sec, iso};
use crate::emulator::world::{Change, World, WorldOptions};

use super::tickets::{custom_fields, sentences};
use super::{frame, oddities, words};

const DAY: Sec = 86_400;

/// Events of history per ticket.
const EVENTS_PER_TICKET: u64 = 5;

/// Where the sequence of events stands, and who takes part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    next: Sec,
    number: u64,
    had_oddities: bool,
    /// Customers and accounts that ever came, those that are gone included.
    pub(crate) customers: u64,
    pub(crate) accounts: u64,
    pub(crate) agents: Vec<i64>,
    pub(crate) requesters: Vec<i64>,
    pub(crate) organizations: Vec<i64>,
    pub(crate) groups: Vec<i64>,
    pub(crate) brands: Vec<i64>,
    pub(crate) forms: Vec<i64>,
    pub(crate) statuses: Vec<(&'static str, i64)>,
    pub(crate) custom_fields: Vec<i64>,
    pub(crate) tickets: Vec<i64>,
    /// Tickets that are neither closed nor deleted.
    pub(crate) open: Vec<i64>,
    pub(crate) category: i64,
    pub(crate) section: i64,
    pub(crate) topic: i64,
}

/// One of some, by any number; 0 if there is none.
fn one(from: &[i64], number: u64) -> i64 {
    let count = u64::try_from(from.len()).unwrap_or(1).max(1);
    let index = usize::try_from(number % count).unwrap_or(0);
    from.get(index).copied().unwrap_or(0)
}

impl Story {
    /// Nothing has happened yet.
    pub(crate) fn before(options: &WorldOptions) -> Self {
        Self {
            next: beginning(options) + DAY,
            ..Self::default()
        }
    }

    /// Takes a new record into account.
    pub(crate) fn note(&mut self, stream: &str, key: &Key, body: &Body) {
        let id = key.number();
        match stream {
            "users" if body.text("role") == "end-user" => {
                self.customers += 1;
                self.requesters.push(id);
            }
            "users" => self.agents.push(id),
            "organizations" => {
                self.accounts += 1;
                self.organizations.push(id);
            }
            "groups" => self.groups.push(id),
            _ => {}
        }
    }

    pub(crate) fn agent(&self, number: u64) -> i64 {
        one(&self.agents, number)
    }

    pub(crate) fn requester(&self, number: u64) -> i64 {
        one(&self.requesters, number)
    }

    pub(crate) fn group(&self, number: u64) -> i64 {
        one(&self.groups, number)
    }

    pub(crate) fn brand(&self, number: u64) -> i64 {
        one(&self.brands, number)
    }

    pub(crate) fn form(&self, number: u64) -> i64 {
        one(&self.forms, number)
    }

    pub(crate) fn ticket(&self, number: u64) -> i64 {
        one(&self.tickets, number)
    }

    /// An organization, or null if there is none.
    pub(crate) fn organization(&self, number: u64) -> Value {
        match one(&self.organizations, number.wrapping_sub(1)) {
            0 => Value::Null,
            id => id.into(),
        }
    }

    /// The id of the custom status behind a status.
    pub(crate) fn status(&self, name: &str) -> Value {
        let found = self.statuses.iter().find(|(known, _)| *known == name);
        found.map_or(Value::Null, |(_, id)| (*id).into())
    }
}

/// When history begins.
pub(super) fn beginning(options: &WorldOptions) -> Sec {
    options.start.seconds() - Sec::from(options.history_days.max(2)) * DAY
}

/// Plays everything up to and including `to`.
pub(crate) fn play(world: &mut World, to: Sec) {
    while world.story.next <= to {
        let (number, at) = (world.story.number, world.story.next);
        let start = world.options.start.seconds();
        if at > start && !world.story.had_oddities {
            break;
        }
        // An event that finds nothing to work on does not happen.
        let _happened = scene(world, number, at);
        world.story.number += 1;
        world.story.next = following(&world.options, number, at);
    }
    if !world.story.had_oddities && to >= world.options.start.seconds() {
        world.story.had_oddities = true;
        let _happened = oddities::seed(world);
        play(world, to);
    }
}

/// When the event after event `number` happens.
fn following(options: &WorldOptions, number: u64, at: Sec) -> Sec {
    let mut dice = Dice::numbered(options.seed, "gap", number);
    let start = options.start.seconds();
    let past = u64::from(options.tickets) * EVENTS_PER_TICKET;
    if number + 1 < past {
        // Evenly spread, so that their number is certain, and none in the day before the start.
        let span = (Sec::from(options.history_days.max(3)) - 2) * DAY;
        let next = Sec::try_from(number + 1).unwrap_or(0);
        let slot = span / Sec::try_from(past).unwrap_or(1).max(1);
        return beginning(options) + DAY + next * slot + dice.between(0, slot / 2);
    }
    let rate = Sec::from(options.changes_per_day);
    if rate == 0 {
        return Sec::MAX;
    }
    at.max(start) + dice.between(1, 2 * (DAY / rate).max(1))
}

fn instant(at: Sec) -> Timestamp {
    Timestamp::from_seconds(at).unwrap_or(Timestamp::EPOCH)
}

fn scene(world: &mut World, number: u64, at: Sec) -> Result<()> {
    let mut dice = Dice::numbered(world.options.seed, "event", number);
    let is_past = at <= world.options.start.seconds();
    if is_past && number.is_multiple_of(EVENTS_PER_TICKET) || !is_past && dice.chance(1, 7) {
        return world.insert_ticket(&[], instant(at)).map(drop);
    }
    match dice.below(100) {
        0..28 => talk(world, &mut dice, at),
        28..44 => work(world, &mut dice, at),
        44..54 => close(world, at),
        54..60 => system(world, &mut dice, at),
        60..68 => people(world, &mut dice, at),
        68..72 => join(world, &mut dice, at),
        72..84 => around(world, &mut dice, at),
        84..90 => remove(world, &mut dice, at),
        90..95 => settings(world, &mut dice, at),
        95 => mass(world, at),
        _ => public(world, &mut dice, at),
    }
}

/// An open ticket, rather an old one.
fn open(world: &World, dice: &mut Dice) -> Option<i64> {
    let open = &world.story.open;
    let count = open.len() as u64;
    let index = dice.below(count).min(dice.below(count));
    open.get(usize::try_from(index).ok()?).copied()
}

fn talk(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    let Some(ticket) = open(world, dice) else {
        return Ok(());
    };
    if dice.chance(1, 12) {
        return world.add_voice_comment(ticket, instant(at)).map(drop);
    }
    let requester = dice.chance(2, 5).then(|| {
        let ticket = world
            .table("tickets")
            .and_then(|table| table.records.get(&Key::from(ticket)));
        ticket.map_or(0, |ticket| ticket.body.number("requester_id"))
    });
    let text = sentences(dice, 4);
    let public = requester.is_some() || dice.chance(3, 4);
    let comment = world.add_comment(ticket, &text, public, requester, instant(at))?;
    if dice.chance(1, 25) {
        world.redact_comment(comment, instant(at))?;
    }
    Ok(())
}

fn work(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    let Some(ticket) = open(world, dice) else {
        return Ok(());
    };
    let changes: Vec<Change<'_>> = match dice.below(6) {
        0 => vec![
            ("assignee_id", world.story.agent(dice.next()).into()),
            ("status", "open".into()),
        ],
        1 => vec![("priority", dice.word(&["low", "high", "urgent"]).into())],
        2 => vec![("status", dice.word(&["pending", "hold", "open"]).into())],
        3 => vec![("tags", json!([dice.word(words::TAGS), "touched"]))],
        4 => vec![("custom_fields", Value::Array(custom_fields(world, dice)))],
        _ => vec![
            ("group_id", world.story.group(dice.next()).into()),
            ("due_at", Value::Null),
        ],
    };
    world.update_ticket(ticket, &changes, instant(at))
}

/// Solves the oldest open ticket, or closes it if it is solved.
fn close(world: &mut World, at: Sec) -> Result<()> {
    let Some(ticket) = world.story.open.first().copied() else {
        return Ok(());
    };
    let status = world
        .table("tickets")
        .and_then(|table| table.records.get(&Key::from(ticket)));
    let is_solved = status.is_some_and(|ticket| ticket.body.text("status") == "solved");
    if is_solved {
        // An automation closes what has been solved for days.
        let changes = [("status", "closed".into())];
        return world.change_ticket(ticket, SYSTEM, &changes, Vec::new(), at);
    }
    let status = world.story.status("solved");
    let changes = [("status", "solved".into()), ("custom_status_id", status)];
    world.update_ticket(ticket, &changes, instant(at))
}

fn system(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    let ticket = world.story.ticket(dice.next());
    world.system_update(ticket, instant(at))
}

fn people(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    let user = world.story.requester(dice.next()).to_string();
    match dice.below(8) {
        0 => frame::customer(world, at).map(drop),
        1 => world.update(
            "users",
            &user,
            &[("notes", sentences(dice, 1).into())],
            instant(at),
        ),
        2 => world.update(
            "users",
            &user,
            &[("last_login_at", iso(at).into())],
            instant(at),
        ),
        // Nobody can see from the time of the last update that this has changed.
        3 => world.update_silently(
            "users",
            &user,
            &[("two_factor_auth_enabled", true.into())],
            instant(at),
        ),
        4 => {
            let details = json!({"type": "manual", "reason": "spam"});
            let changes = [("suspended", true.into()), ("suspension_details", details)];
            world.update("users", &user, &changes, instant(at))
        }
        5 => {
            let organization = world.story.organization(dice.next() >> 1).to_string();
            let tags = json!([dice.word(words::TAGS)]);
            world.update(
                "organizations",
                &organization,
                &[("tags", tags)],
                instant(at),
            )
        }
        _ => world.update(
            "users",
            &user,
            &[("phone", "+15550001111".into())],
            instant(at),
        ),
    }
}

fn join(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    let stream = dice.word(&["group_memberships", "organization_memberships"]);
    if dice.chance(1, 2) {
        return world.create(stream, &[], at).map(drop);
    }
    let Some(key) = some(world, stream, dice, at) else {
        return Ok(());
    };
    if dice.chance(1, 2) {
        world.vanish(stream, &key, at)
    } else {
        world.update(
            stream,
            &key.to_string(),
            &[("default", true.into())],
            instant(at),
        )
    }
}

/// Some record that is there.
pub(super) fn some(world: &World, stream: &str, dice: &mut Dice, at: Sec) -> Option<Key> {
    let table = world.table(stream)?;
    for _ in 0..12 {
        let index = usize::try_from(dice.below(table.order.len() as u64)).ok()?;
        let key = table.order.get(index)?;
        if table.records.get(key)?.live(at).is_some() {
            return Some(key.clone());
        }
    }
    None
}

/// What happens around tickets.
fn around(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    match dice.below(8) {
        0 | 1 => world.create("satisfaction_ratings", &[], at).map(drop),
        2 => {
            let Some(ticket) = open(world, dice) else {
                return Ok(());
            };
            world.create("side_conversations", &[("ticket_id", ticket.into())], at)?;
            // Triggers run on side conversations, so the service updates the ticket.
            world.system_update(ticket, instant(at))
        }
        3 => {
            let call = world.create("calls", &[], at)?.number();
            for _ in 0..2 {
                world.create("call_legs", &[("call_id", call.into())], at)?;
            }
            Ok(())
        }
        4 => {
            let key = world.create("suspended_tickets", &[], at)?;
            world.vanish("suspended_tickets", &key, at + 14 * DAY)
        }
        5 => {
            let key = world.create("ticket_activities", &[], at)?;
            world.vanish("ticket_activities", &key, at + 30 * DAY)
        }
        6 => world.create("ticket_skips", &[], at).map(drop),
        _ => world.create("audit_logs", &[], at).map(drop),
    }
}

fn remove(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    match dice.below(8) {
        0 => match open(world, dice) {
            Some(ticket) => world.delete_ticket(ticket, instant(at)),
            None => Ok(()),
        },
        1 => {
            let key = some(world, "deleted_tickets", dice, at);
            let is_kept = dice.chance(1, 2);
            key.filter(|_| is_kept).map_or(Ok(()), |key| {
                world.restore_ticket(key.number(), instant(at))
            })
        }
        2 => {
            let key = some(world, "deleted_tickets", dice, at);
            key.map_or(Ok(()), |key| world.scrub_ticket(key.number(), instant(at)))
        }
        3 => match (open(world, dice), open(world, dice)) {
            (Some(winner), Some(loser)) if winner != loser => {
                world.merge_tickets(winner, loser, instant(at))
            }
            _ => Ok(()),
        },
        4 => {
            let user = world.story.requester(dice.next());
            world.delete_user(user, dice.chance(1, 3), instant(at))
        }
        5 => {
            let organization = world.story.organization(dice.next() >> 1);
            organization
                .as_i64()
                .map_or(Ok(()), |id| world.delete_organization(id, instant(at)))
        }
        6 => {
            let key = some(world, "side_conversations", dice, at);
            let state = [("state", "closed".into())];
            let Some(key) = key.map(|key| key.to_string()) else {
                return Ok(());
            };
            world.update("side_conversations", &key, &state, instant(at))?;
            let ticket = world.parent("side_conversations", &key);
            let ticket = ticket.and_then(|ticket| ticket.parse().ok());
            ticket.map_or(Ok(()), |ticket| world.system_update(ticket, instant(at)))
        }
        _ => {
            let stream = dice.word(&["custom_object_records", "articles", "satisfaction_ratings"]);
            let key = some(world, stream, dice, at);
            key.map_or(Ok(()), |key| world.vanish(stream, &key, at))
        }
    }
}

fn settings(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    let stream = dice.word(&[
        "macros",
        "triggers",
        "automations",
        "views",
        "ticket_fields",
        "ticket_forms",
        "sla_policies",
        "groups",
    ]);
    let Some(key) = some(world, stream, dice, at) else {
        return Ok(());
    };
    let key = key.to_string();
    match dice.below(6) {
        0 if matches!(stream, "triggers" | "views") => world.remove(stream, &key, instant(at)),
        1 if matches!(stream, "macros" | "triggers") => world.create(stream, &[], at).map(drop),
        2 => world.update(
            stream,
            &key,
            &[("description", sentences(dice, 1).into())],
            instant(at),
        ),
        _ => world.update(
            stream,
            &key,
            &[("position", dice.between(1, 99).into())],
            instant(at),
        ),
    }
}

/// A trigger runs over several tickets within one second.
fn mass(world: &mut World, at: Sec) -> Result<()> {
    let tickets: Vec<i64> = world.story.open.iter().copied().take(5).collect();
    for ticket in tickets {
        let tags = json!(["mass_update"]);
        world.update_ticket(ticket, &[("tags", tags)], instant(at))?;
    }
    Ok(())
}

fn public(world: &mut World, dice: &mut Dice, at: Sec) -> Result<()> {
    match dice.below(6) {
        0 => {
            let changes = [("custom_object_key", "asset".into())];
            world
                .create("custom_object_records", &changes, at)
                .map(drop)
        }
        1 => {
            let key = some(world, "custom_object_records", dice, at);
            let name = [("name", "Asset, renamed".into())];
            key.map_or(Ok(()), |key| {
                world.update(
                    "custom_object_records",
                    &key.to_string(),
                    &name,
                    instant(at),
                )
            })
        }
        2 => {
            let key = some(world, "articles", dice, at);
            key.map_or(Ok(()), |key| {
                let body = [("body", format!("<p>{}</p>", sentences(dice, 4)).into())];
                world.update("articles", &key.to_string(), &body, instant(at))?;
                let changes = [("source_id", key.number().into())];
                world.create("article_comments", &changes, at).map(drop)
            })
        }
        3 => world.create("articles", &[], at).map(drop),
        4 => world.create("posts", &[], at).map(drop),
        _ => {
            let key = some(world, "posts", dice, at);
            key.map_or(Ok(()), |key| {
                let changes = [("post_id", key.number().into())];
                world.create("post_comments", &changes, at).map(drop)
            })
        }
    }
}
