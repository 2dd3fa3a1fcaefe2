//! The incremental exports, by cursor and by time, and their samples.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use overlock_core::Timestamp;
use overlock_sandbox::Response;

use super::answer::{Answer, Refusal, json};
use super::call::Call;
use super::record::{Key, Sec, quote};
use super::render::{self, Item};
use super::world::{WITHHELD_SECS, withheld};

/// Most rows of a page by cursor.
const CURSOR_ROWS: u64 = 1_000;

/// Most rows of a sample.
const SAMPLE_ROWS: usize = 50;

/// Stream and key of an export by cursor.
fn of_cursor(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "incremental/tickets/cursor" => Some(("tickets", "tickets")),
        "incremental/users/cursor" => Some(("users", "users")),
        _ if path.starts_with("incremental/custom_objects/") && path.ends_with("/cursor") => {
            Some(("custom_object_records", "custom_object_records"))
        }
        _ => None,
    }
}

/// Stream and key of an export by time.
fn of_time(path: &str) -> Option<(&'static str, &'static str)> {
    Some(match path {
        "incremental/tickets" => ("tickets", "tickets"),
        "incremental/users" => ("users", "users"),
        "incremental/organizations" => ("organizations", "organizations"),
        "incremental/ticket_events" => ("ticket_events", "ticket_events"),
        "incremental/ticket_metric_events" => ("ticket_metric_events", "ticket_metric_events"),
        "help_center/incremental/articles" => ("articles", "articles"),
        "channels/voice/stats/incremental/calls" => ("calls", "calls"),
        "channels/voice/stats/incremental/legs" => ("call_legs", "legs"),
        _ => return None,
    })
}

/// The stream behind an export's path, for plans and roles.
pub(super) fn stream_of(path: &str) -> Option<&'static str> {
    let path = path.strip_suffix("/sample").unwrap_or(path);
    of_cursor(path)
        .or_else(|| of_time(path))
        .map(|(stream, _)| stream)
}

/// Answers an export; `None` if the path is none.
pub(super) fn answer(call: &mut Call<'_>) -> Option<Answer> {
    let path = call.path.clone();
    if let Some((stream, key)) = of_cursor(&path) {
        return Some(by_cursor(call, stream, key));
    }
    if let Some(plain) = path.strip_suffix("/sample") {
        let (stream, key) = of_time(plain)?;
        return Some(by_time(call, stream, key, true));
    }
    let (stream, key) = of_time(&path)?;
    if stream == "ticket_metric_events" && call.parameter("page[size]").is_some() {
        return None;
    }
    Some(by_time(call, stream, key, false))
}

fn check_rows(call: &Call<'_>, rows: u64) -> Answer<Option<Response>> {
    if call
        .parameter("include")
        .is_some_and(|include| include.contains("last_audits"))
    {
        return Err(Refusal::new(
            400,
            "InvalidValue",
            "last_audits is not supported",
        ));
    }
    let is_slow = call.behaviour.timeout_above.is_some_and(|most| rows > most);
    Ok(is_slow.then(render::timed_out))
}

/// Every record of an export in its order.
fn ordered<'a>(call: &'a Call<'_>, stream: &'static str, key: &str) -> Vec<Item<'a>> {
    let newest = call.now - withheld(stream);
    let scope = call.parameter("support_type_scope").unwrap_or("agent");
    let hides_deleted = call.is_on("exclude_deleted");
    let object = key
        .is_empty()
        .then(|| call.path.split('/').nth(2))
        .flatten();
    let rows = call.world.rows(stream, call.now);
    let mut items: Vec<Item<'_>> = rows
        .filter(|row| row.version.stamp <= newest)
        .filter(|row| match (stream, scope) {
            ("tickets" | "ticket_events", "agent") => !row.version.marks.ai_agent,
            ("tickets" | "ticket_events", "ai_agent") => row.version.marks.ai_agent,
            _ => true,
        })
        .filter(|row| !(hides_deleted && row.version.marks.deleted))
        .filter(|row| object.is_none_or(|object| row.record.parent == Some(Key::from(object))))
        .map(Item::from)
        .collect();
    items.sort_by(|left, right| left.place().cmp(&right.place()));
    items
}

/// The position that a cursor stands for.
fn position(call: &Call<'_>, cursor: &str) -> Answer<(Sec, Option<Key>)> {
    let given = call.memory.cursors.get(cursor).copied();
    if let (Some(status), None) = (call.memory.refuse, given) {
        return Err(Refusal::stale_cursor(status));
    }
    let life = call
        .behaviour
        .cursor_secs
        .and_then(|secs| Sec::try_from(secs).ok());
    if life.is_some_and(|life| given.is_none_or(|given| call.now - given > life)) {
        return Err(Refusal::stale_cursor(call.behaviour.stale_cursor_status));
    }
    decode(cursor).ok_or_else(|| Refusal::stale_cursor(400))
}

/// `start_time` of an export by cursor.
fn beginning(call: &Call<'_>) -> Answer<Sec> {
    let start = call.seconds("start_time").ok_or_else(|| {
        Refusal::new(
            400,
            "InvalidValue",
            "Either start_time or cursor is required",
        )
    })?;
    if start > call.now - WITHHELD_SECS {
        return Err(Refusal::too_recent());
    }
    Ok(start)
}

fn by_cursor(call: &mut Call<'_>, stream: &'static str, key: &'static str) -> Answer {
    let size = call
        .seconds("per_page")
        .map_or(CURSOR_ROWS, |rows| rows.clamp(1, 1_000).unsigned_abs());
    if let Some(response) = check_rows(call, size)? {
        return Ok(response);
    }
    let given = call.parameter("cursor").map(str::to_owned);
    let after = match &given {
        Some(cursor) => position(call, cursor)?,
        None => (beginning(call)?, None),
    };
    let mut repeat = if given.is_some() {
        call.behaviour.repeat_rows
    } else {
        0
    };
    let is_empty_page = Call::take(&mut call.behaviour.empty_pages);
    let is_stuck = given.is_some() && Call::take(&mut call.behaviour.stuck_pages);
    let by_key = if stream == "custom_object_records" {
        ""
    } else {
        key
    };
    let items = ordered(call, stream, by_key);
    let first = items.partition_point(|item| match &after.1 {
        Some(id) => item.place() <= (after.0, id),
        None => item.stamp < after.0,
    });
    let size = usize::try_from(size).unwrap_or(1);
    let rest = items.get(first..).unwrap_or_default();
    let taken = if is_empty_page {
        0
    } else {
        rest.len().min(size)
    };
    let is_end = rest.len() <= size && !is_empty_page;
    let page = rest.get(..taken).unwrap_or_default();
    let cursor = match page.last() {
        Some(last) => Some(encode(last.stamp, last.key)),
        // Nothing new: the position stays. Nothing at all: there is none.
        None if is_empty_page => Some(
            given
                .clone()
                .unwrap_or_else(|| encode(after.0 - 1, &Key::from(0))),
        ),
        None => given.clone(),
    };
    let mut shown: Vec<Item<'_>> = Vec::new();
    let mut before = first;
    while repeat > 0 && before > 0 {
        before -= 1;
        repeat -= 1;
        shown.extend(items.get(before).copied());
    }
    shown.reverse();
    shown.extend(page);
    let mut body = render::rows(call, stream, key, &shown);
    let first_ticket = shown
        .iter()
        .find(|item| !item.marks.deleted)
        .map(|item| item.key.number());
    let before_cursor = match shown.first() {
        Some(item) if given.is_some() => {
            quote(&STANDARD.encode(format!("|{}.0||{}|", item.stamp, item.key)))
        }
        _ => "null".to_owned(),
    };
    let cursor = if is_stuck { given.clone() } else { cursor };
    let is_end = is_end && !is_stuck;
    if let Some(cursor) = &cursor {
        call.memory.cursors.insert(cursor.clone(), call.now);
    }
    let url = match &cursor {
        Some(cursor) => quote(&call.page_url(&[("cursor", cursor)], &["start_time"])),
        None => "null".to_owned(),
    };
    let cursor = cursor.map_or("null".to_owned(), |cursor| quote(&cursor));
    body.extend([format!(
        ",\"after_url\":{url},\"before_url\":null,\"after_cursor\":{cursor},\"before_cursor\":{before_cursor}"
    )]);
    if !call
        .behaviour
        .without_end_of_stream
        .iter()
        .any(|name| name == stream)
    {
        body.extend([format!(",\"end_of_stream\":{is_end}")]);
    }
    body.push('}');
    if stream == "tickets" {
        meddle(call, first_ticket, is_end);
    }
    Ok(json(body))
}

/// Faults that change the world behind the reader's back.
fn meddle(call: &mut Call<'_>, ticket: Option<i64>, is_end: bool) {
    let Some(ticket) = ticket else {
        return;
    };
    let instant = |at: Sec| Timestamp::from_seconds(at).unwrap_or(Timestamp::EPOCH);
    if !is_end && Call::take(&mut call.behaviour.updates_between_pages) {
        let at = instant(call.now - WITHHELD_SECS);
        let _updated = call
            .world
            .update_ticket(ticket, &[("priority", "urgent".into())], at);
    }
    if Call::take(&mut call.behaviour.deletes_after_export) {
        let _deleted = call.world.delete_ticket(ticket, instant(call.now));
    }
}

/// `1576613539.0||467|`, as the service has it.
fn encode(stamp: Sec, key: &Key) -> String {
    STANDARD.encode(format!("{stamp}.0||{key}|"))
}

fn decode(cursor: &str) -> Option<(Sec, Option<Key>)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (stamp, rest) = text.split_once("||")?;
    let stamp = stamp.split('.').next()?.parse().ok()?;
    Some((stamp, Some(Key::parse(rest.trim_end_matches('|')))))
}

fn by_time(
    call: &mut Call<'_>,
    stream: &'static str,
    key: &'static str,
    is_sample: bool,
) -> Answer {
    let own = call.behaviour.time_page_rows.max(1);
    let size = call
        .seconds("per_page")
        .map_or(own, |rows| rows.clamp(1, 1_000).unsigned_abs().min(own));
    if let Some(response) = check_rows(call, size)? {
        return Ok(response);
    }
    let start = call
        .seconds("start_time")
        .ok_or_else(|| Refusal::new(400, "InvalidValue", "start_time is required"))?;
    let may_be_recent = withheld(stream) == 0 || stream == "ticket_metric_events";
    if start > call.now - WITHHELD_SECS && !may_be_recent {
        return Err(Refusal::too_recent());
    }
    let is_empty_page = Call::take(&mut call.behaviour.empty_pages);
    let is_old = call.behaviour.old_time_export;
    let items = ordered(call, stream, key);
    let first = items.partition_point(|item| item.stamp < start);
    let rest = items.get(first..).unwrap_or_default();
    let mut taken = rest.len().min(usize::try_from(size).unwrap_or(1));
    if is_sample {
        taken = taken.min(SAMPLE_ROWS);
    } else if !is_old {
        // A page never ends inside a second, and never holds nothing but the second it begins with.
        let last = taken
            .checked_sub(1)
            .and_then(|last| rest.get(last))
            .map(|item| item.stamp);
        let last = match last {
            Some(stamp) if stamp == start => rest
                .iter()
                .map(|item| item.stamp)
                .find(|later| *later > stamp)
                .or(Some(stamp)),
            last => last,
        };
        taken = rest.partition_point(|item| last.is_some_and(|last| item.stamp <= last));
    }
    if is_empty_page {
        taken = 0;
    }
    let is_end = taken == rest.len() || is_sample;
    let page: Vec<Item<'_>> = rest.get(..taken).unwrap_or_default().to_vec();
    let end = page
        .last()
        .map(|item| item.stamp)
        .or(is_empty_page.then_some(start));
    let first_ticket = page
        .iter()
        .find(|item| !item.marks.deleted)
        .map(|item| item.key.number());
    let mut body = render::rows(call, stream, key, &page);
    let count = page.len();
    let next = match end {
        Some(end) => quote(&call.page_url(&[("start_time", &end.to_string())], &[])),
        None => "null".to_owned(),
    };
    let end = end.map_or("null".to_owned(), |end| end.to_string());
    body.extend([format!(
        ",\"next_page\":{next},\"count\":{count},\"end_time\":{end}"
    )]);
    let is_silent = matches!(stream, "articles" | "calls" | "call_legs")
        || call
            .behaviour
            .without_end_of_stream
            .iter()
            .any(|name| name == stream);
    if !is_silent {
        body.extend([format!(",\"end_of_stream\":{is_end}")]);
    }
    body.push('}');
    if stream == "tickets" {
        meddle(call, first_ticket, is_end);
    }
    Ok(json(body))
}
