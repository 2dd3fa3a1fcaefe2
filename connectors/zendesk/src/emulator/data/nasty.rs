//! Values that no schema foresees: other types than announced, numbers no machine word holds, text of all
//! sorts. Only in worlds that ask for it, because public clients give up on some of it.

use overlock_core::{Result, Timestamp};
use serde_json::{Value, json};

use crate::emulator::record::{Sec, raw};
use crate::emulator::world::World;

/// The service cuts comments here.
const LONGEST_BODY: usize = 65_535;

/// Adds the hostile records, all within the last day before the start.
pub(super) fn seed(world: &mut World) -> Result<()> {
    let start = world.options.start.seconds();
    let at = |secs: Sec| Timestamp::from_seconds(start - 9_000 + secs).unwrap_or(Timestamp::EPOCH);
    // Each value is of another type than the contract says.
    let wrong = [
        ("subject", json!(4711)),
        ("priority", json!(["high"])),
        ("due_at", json!("next week")),
        ("assignee_id", json!("28000000000001")),
        ("has_incidents", json!("yes")),
        ("tags", Value::Null),
        ("collaborator_ids", json!("none")),
        ("group_id", raw("28000000000001.0")),
        ("satisfaction_rating", json!(false)),
        ("custom_fields", json!({"360": "a map, not a list"})),
    ];
    world.insert_ticket(&wrong, at(0))?;
    // Numbers and times at the edges.
    let fields = &world.story.custom_fields;
    let texts = [
        "123456789012345678901234567890",
        "-0.0",
        "1E+2",
        "0.1000",
        "9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
        "1e-7",
    ];
    let values = fields.iter().zip(texts);
    let values: Vec<Value> = values
        .map(|(id, text)| json!({"id": id, "value": raw(text)}))
        .collect();
    let edges = [
        ("custom_fields", Value::Array(values)),
        ("due_at", json!("2026-03-04T05:06:07.123456+02:00")),
        ("problem_id", json!(i64::MAX)),
        ("forum_topic_id", json!(i64::MIN)),
        ("external_id", json!("")),
        ("recipient", json!("null")),
    ];
    world.insert_ticket(&edges, at(60))?;
    // Text.
    let mut deep = json!("bottom");
    for _ in 0..60 {
        deep = json!([deep]);
    }
    let ugly = "NUL \u{0} bell \u{7} escape \u{1b}[31m comma, \"quote\" \\ slash / CR \r LF \n PS \u{2029} \u{FFFF}";
    let text = [
        ("subject", json!(ugly)),
        ("raw_subject", json!("=HYPERLINK(\"https://evil.example\")")),
        ("description", json!("x".repeat(LONGEST_BODY))),
        ("tags", json!(["a b", "\u{0}", "", "ünï\u{301}"])),
        ("x \"strange\" name\n", deep),
        ("_extra", json!("not ours")),
        ("_deleted", json!(true)),
        ("Subject", json!("differs in case only")),
    ];
    let ticket = world.insert_ticket(&text, at(120))?;
    world.add_comment(
        ticket,
        &"\u{1F9E8}".repeat(LONGEST_BODY / 4),
        true,
        None,
        at(130),
    )?;
    let user = [
        ("active", json!("true")),
        ("organization_id", json!("none")),
        (
            "user_fields",
            json!({"plan level": 1, "": null, "plan_level": {"nested": [1, 2]}}),
        ),
        ("created_at", json!("2020-02-30T25:61:00Z")),
        ("tags", json!("vip")),
    ];
    let user_id = world.story.requester(3).to_string();
    world.update("users", &user_id, &user, at(200))?;
    let organization = [
        ("domain_names", Value::Null),
        ("organization_fields", json!([])),
        ("name", json!(12)),
    ];
    if let Some(id) = world.story.organization(2).as_i64() {
        world.update("organizations", &id.to_string(), &organization, at(210))?;
    }
    Ok(())
}
