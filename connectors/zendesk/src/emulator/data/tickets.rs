//! Tickets and their metrics, made up.

use overlock_sandbox::company::Dice;
use serde_json::{Value, json};

use crate::emulator::record::{Body, Key, NIL, Sec, body, iso, raw};
use crate::emulator::thread::{ACCOUNT, WEB};
use crate::emulator::world::World;

use super::{fields, words};

/// A new ticket with all fields.
pub(crate) fn blank_ticket(world: &World, id: i64, now: Sec) -> Body {
    let story = &world.story;
    let number = id.unsigned_abs();
    let mut dice = Dice::numbered(world.options.seed, "ticket", number);
    let requester = story.requester(dice.next());
    let group = story.group(dice.next());
    let subject = dice.word(words::SUBJECTS);
    let description = sentences(&mut dice, 3);
    let organization = world.table("users").and_then(|users| {
        let user = users.records.get(&Key::from(requester))?;
        Some(user.body.get("organization_id").clone())
    });
    let mut tags: Vec<&str> = (0..dice.below(4)).map(|_| dice.word(words::TAGS)).collect();
    tags.sort_unstable();
    tags.dedup();
    let status = dice.pick(&["new", "open", "open"], "new");
    let assignee = match status {
        "new" => NIL,
        _ => json!(story.agent(dice.next())),
    };
    let follower = json!([story.agent(dice.next())]);
    let mut ticket = body! {
        url: format!("{ACCOUNT}/api/v2/tickets/{id}.json"), id: id,
        external_id: if dice.chance(1, 4) { json!(format!("ext-{id:05}")) } else { NIL },
        encoded_id: encoded(&mut dice), via: via(&mut dice, world, id), created_at: iso(now), updated_at: iso(now),
        generated_timestamp: now,
        type: dice.pick(&[Some("question"), Some("incident"), Some("problem"), Some("task"), None], None),
        subject: subject, raw_subject: subject, description: description,
        priority: dice.pick(&[Some("low"), Some("normal"), Some("high"), Some("urgent"), None], None),
        status: status, custom_status_id: story.status(status),
        recipient: if dice.chance(1, 3) { json!("support@acme.zendesk.com") } else { NIL },
        requester_id: requester, submitter_id: requester, assignee_id: assignee,
        organization_id: organization.unwrap_or(NIL), group_id: group,
        collaborator_ids: if dice.chance(1, 3) { follower.clone() } else { json!([]) },
        follower_ids: if dice.chance(1, 3) { follower } else { json!([]) },
        email_cc_ids: json!([]), forum_topic_id: NIL, problem_id: NIL, has_incidents: false, is_public: true,
        due_at: if dice.chance(1, 6) { json!(iso(now + 7 * 86_400)) } else { NIL }, tags: tags,
        custom_fields: Value::Array(custom_fields(world, &mut dice)),
        satisfaction_rating: dice.pick(&[0, 1, 2], 0), sharing_agreement_ids: json!([]),
        followup_ids: json!([]), ticket_form_id: story.form(number), brand_id: story.brand(number),
        allow_channelback: false, allow_attachments: true, from_messaging_channel: dice.chance(1, 9),
        support_type: "agent",
    };
    let rating = match ticket.number("satisfaction_rating") {
        0 => json!({"score": "unoffered"}),
        1 => NIL,
        // Old tickets have the bare word.
        _ => json!("offered"),
    };
    ticket.set("satisfaction_rating", rating);
    if id % 3 == 0 {
        ticket.set("attribute_value_ids", json!([]));
    }
    if id % 10 == 7 || world.options.nasty {
        // Fields appear without notice.
        ticket.set("x_recently_added", json!({"mode": "beta", "n": 1}));
        ticket.set("x_flag", true);
    }
    ticket
}

fn via(dice: &mut Dice, world: &World, id: i64) -> Value {
    // Public clients give up on the bare word, so that only hostile worlds have it.
    if world.options.nasty && id % 4 == 1 {
        return "web".into();
    }
    if id % 17 == 11 {
        // Old channels are numbers.
        return raw("{\"channel\":29,\"source\":{\"to\":{},\"from\":{},\"rel\":null}}");
    }
    match dice.below(4) {
        0 => raw(WEB),
        1 => raw(
            "{\"channel\":\"email\",\"source\":{\"from\":{\"address\":\"someone@mail.example\",\"name\":\"Some \
             One\"},\"to\":{\"name\":\"Acme\",\"address\":\"support@acme.zendesk.com\"},\"rel\":null}}",
        ),
        2 => raw("{\"channel\":\"api\",\"source\":{\"from\":{},\"to\":{},\"rel\":null}}"),
        _ => raw(
            "{\"channel\":\"native_messaging\",\"source\":{\"from\":{},\"to\":{\"profile\":null},\"rel\":\"x\"}}",
        ),
    }
}

fn encoded(dice: &mut Dice) -> String {
    const LETTERS: &[char] = &[
        'A', 'D', 'E', 'G', 'J', 'L', 'N', 'P', 'W', 'X', '0', '3', '5', '7', '9',
    ];
    let mut part =
        |length: usize| -> String { (0..length).map(|_| dice.pick(LETTERS, 'A')).collect() };
    format!("{}-{}", part(6), part(4))
}

pub(super) fn sentences(dice: &mut Dice, most: u64) -> String {
    let count = 1 + dice.below(most);
    let all: Vec<&str> = (0..count).map(|_| dice.word(words::SENTENCES)).collect();
    all.join(" ")
}

/// A value for each custom field there is.
pub(super) fn custom_fields(world: &World, dice: &mut Dice) -> Vec<Value> {
    let table = world.table("ticket_fields");
    let keys = world.story.custom_fields.iter();
    let known = keys.filter_map(|id| table?.records.get(&Key::from(*id)));
    known
        .map(|field| {
            let value = custom_value(field.body.text("type"), dice);
            json!({ "id": field.body.number("id"), "value": value })
        })
        .collect()
}

fn custom_value(kind: &str, dice: &mut Dice) -> Value {
    if dice.chance(1, 4) {
        return NIL;
    }
    let options = fields::all_options(kind);
    match kind {
        "checkbox" => json!(dice.chance(1, 2)),
        "date" => json!(format!(
            "2026-{:02}-{:02}",
            dice.between(1, 12),
            dice.between(1, 28)
        )),
        "integer" => match dice.below(3) {
            0 => json!(dice.between(0, 900).to_string()),
            1 => json!(9_007_199_254_740_993_i64 + dice.between(0, 900)),
            _ => json!(dice.between(-5, 900)),
        },
        "decimal" => match dice.below(3) {
            0 => json!(format!("{}.50", dice.between(0, 900))),
            // No double holds these digits, and none is spelled like it.
            1 => raw(format!("{}.1000000000000000050", dice.between(1, 900))),
            _ => raw(format!("{}.250", dice.between(0, 900))),
        },
        "regexp" => json!(format!("SN-{:04}", dice.between(0, 9_999))),
        "partialcreditcard" => json!(format!("XXXXXXXXXXXX{:04}", dice.between(0, 9_999))),
        "multiselect" => {
            let some = options.iter().filter(|_| dice.chance(1, 2));
            json!(some.collect::<Vec<_>>())
        }
        "tagger" => json!(dice.word(options)),
        "lookup" => json!(format!("01J{:010}", dice.between(0, 99_999))),
        "textarea" => json!(format!(
            "1. open\n2. \"save\"\r\n3. {}",
            dice.word(words::SENTENCES)
        )),
        _ => match dice.below(8) {
            0 => json!(""),
            1 => json!("null"),
            2 => json!("0012"),
            _ => json!(format!("4711-{}/b", dice.between(0, 9_999))),
        },
    }
}

/// Minutes by the calendar and by business hours.
pub(crate) fn both(calendar: i64) -> Value {
    json!({ "calendar": calendar, "business": calendar / 3 })
}

/// The metrics of a new ticket.
pub(crate) fn blank_metrics(id: i64, ticket: i64, now: Sec) -> Body {
    let none = || json!({ "calendar": null, "business": null });
    body! {
        url: format!("{ACCOUNT}/api/v2/ticket_metrics/{id}.json"), id: id, ticket_id: ticket,
        created_at: iso(now), updated_at: iso(now), group_stations: 1, assignee_stations: 0, reopens: 0,
        replies: 0, assignee_updated_at: NIL, requester_updated_at: iso(now), status_updated_at: iso(now),
        initially_assigned_at: NIL, assigned_at: NIL, solved_at: NIL, latest_comment_added_at: iso(now),
        custom_status_updated_at: iso(now), reply_time_in_minutes: none(),
        first_resolution_time_in_minutes: none(), full_resolution_time_in_minutes: none(),
        agent_wait_time_in_minutes: both(0), requester_wait_time_in_minutes: both(0),
        on_hold_time_in_minutes: both(0), reply_time_in_seconds: json!({ "calendar": null }),
    }
}
