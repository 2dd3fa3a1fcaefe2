//! Lists: by cursor, by offset, or all at once; children of tickets and articles; single records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::answer::{Answer, Refusal, json};
use super::call::Call;
use super::catalog::{List, Paging, Target, target};
use super::record::{Key, Sec, quote};
use super::render::{self, Item};
use super::world::is_archived;

/// Records that offset paging reaches.
const DEEPEST: u64 = 10_000;

/// Answers a list, its count, children or a single record; `None` if the path is none of these.
pub(super) fn answer(call: &mut Call<'_>) -> Option<Answer> {
    let path = call.path.clone();
    Some(match target(&path)? {
        Target::List(list) => whole(call, list),
        Target::Count(list) => Ok(count(call, list)),
        Target::Child(parent, id, list) => children(call, parent, id, list),
        Target::Record(list, id) => record(call, list, id),
    })
}

/// Texts of `tags`, which no table holds.
fn tags(call: &Call<'_>) -> Vec<(Key, String)> {
    let tags = call.world.tags(call.now).into_iter();
    tags.map(|(name, count)| {
        let text = format!("{{\"name\":{},\"count\":{count}}}", quote(&name));
        (Key::from(name.as_str()), text)
    })
    .collect()
}

fn whole(call: &mut Call<'_>, list: List) -> Answer {
    if list.stream == "tags" {
        let tags = tags(call);
        let items: Vec<Item<'_>> = tags
            .iter()
            .map(|(key, text)| Item {
                key,
                stamp: 0,
                created: 0,
                marks: super::record::Marks::default(),
                text,
                lean: None,
            })
            .collect();
        return page(call, list, &items);
    }
    let texts = listed(call, list.stream);
    page(
        call,
        list,
        &texts.iter().map(Kept::item).collect::<Vec<_>>(),
    )
}

/// A row that is kept while the call goes on.
struct Kept {
    key: Key,
    stamp: Sec,
    created: Sec,
    text: std::sync::Arc<str>,
}

impl Kept {
    fn item(&self) -> Item<'_> {
        Item {
            key: &self.key,
            stamp: self.stamp,
            created: self.created,
            marks: super::record::Marks::default(),
            text: &self.text,
            lean: None,
        }
    }
}

/// Rows of a list: what is deleted or archived is in exports only.
fn listed(call: &Call<'_>, stream: &'static str) -> Vec<Kept> {
    let from = match stream {
        "ticket_activities" => call.parameter("since").and_then(instant),
        _ => call.seconds("start_time"),
    };
    let until = call.seconds("end_time");
    let span: Vec<Sec> = call
        .query
        .iter()
        .filter(|(name, _)| name == "filter[created_at][]")
        .filter_map(|(_, value)| instant(value))
        .collect();
    let rows = call.world.rows(stream, call.now);
    let rows = rows.filter(|row| match stream {
        "tickets" => !row.version.marks.deleted && !is_archived(row.version, call.now),
        "ticket_metrics" => {
            let ticket = row.record.parent.as_ref();
            let ticket = ticket.and_then(|key| call.world.row("tickets", key, call.now));
            ticket.is_some_and(|ticket| {
                !ticket.version.marks.deleted && !is_archived(ticket.version, call.now)
            })
        }
        "groups" => {
            !call.is_on("exclude_deleted") || !row.version.text.contains("\"deleted\":true")
        }
        "ticket_metric_events" => {
            let is_hidden =
                call.is_on("exclude_deleted") && row.version.text.contains("\"deleted\":true");
            !is_hidden && row.version.stamp <= call.now - super::world::WITHHELD_SECS
        }
        _ => !row.version.marks.deleted,
    });
    let rows = rows.filter(|row| {
        let stamp =
            if stream == "satisfaction_ratings" || stream == "ticket_skips" || from.is_some() {
                row.version.stamp
            } else {
                row.record.created
            };
        let created = row.record.created;
        from.is_none_or(|from| stamp >= from)
            && until.is_none_or(|until| stamp < until)
            && span.first().is_none_or(|from| created >= *from)
            && span.get(1).is_none_or(|until| created <= *until)
    });
    let mut kept: Vec<Kept> = rows
        .map(|row| Kept {
            key: row.key.clone(),
            stamp: row.version.stamp,
            created: row.record.created,
            text: row.version.text.clone(),
        })
        .collect();
    if stream == "ticket_metric_events" {
        kept.sort_by_key(|row| row.stamp);
    }
    kept
}

fn instant(text: &str) -> Option<Sec> {
    let parsed = overlock_core::Timestamp::parse(text).ok()?;
    Some(parsed.seconds())
}

fn count(call: &Call<'_>, list: List) -> overlock_sandbox::Response {
    let count = match list.stream {
        "tags" => tags(call).len(),
        stream => listed(call, stream).len(),
    };
    json(format!(
        "{{\"count\":{{\"value\":{count},\"refreshed_at\":{}}}}}",
        quote(&super::record::iso(call.now))
    ))
}

fn children(call: &mut Call<'_>, parent: &str, id: &str, list: List) -> Answer {
    let key = Key::parse(id);
    let row = call
        .world
        .row(parent, &key, call.now)
        .ok_or_else(Refusal::record_not_found)?;
    if row.version.marks.deleted && parent == "tickets" {
        return Err(Refusal::record_not_found());
    }
    let is_whole = list.stream == "ticket_audits" && is_archived(row.version, call.now);
    let rows = call.world.children(list.stream, &key, call.now);
    let mut kept: Vec<Kept> = rows
        .map(|row| Kept {
            key: row.key.clone(),
            stamp: row.version.stamp,
            created: row.record.created,
            text: row.version.text.clone(),
        })
        .collect();
    kept.sort_by(|left, right| left.key.cmp(&right.key));
    let items: Vec<Item<'_>> = kept.iter().map(Kept::item).collect();
    if is_whole {
        // Audits of archived tickets come all at once, whatever page is asked for.
        return Ok(all(call, list, &items));
    }
    page(call, list, &items)
}

fn record(call: &Call<'_>, list: List, id: &str) -> Answer {
    let row = call.world.row(list.stream, &Key::parse(id), call.now);
    let row = row.ok_or_else(Refusal::record_not_found)?;
    if list.stream == "tickets" && row.version.marks.deleted {
        return Err(Refusal::record_not_found());
    }
    let name = match list.key {
        "categories" => "category",
        "activities" => "activity",
        "sla_policies" => "sla_policy",
        "trigger_categories" => "trigger_category",
        "custom_statuses" => "custom_status",
        "ticket_metrics" => "ticket_metric",
        other => other.strip_suffix('s').unwrap_or(other),
    };
    Ok(json(format!("{{{}:{}}}", quote(name), row.version.text)))
}

fn all(call: &Call<'_>, list: List, items: &[Item<'_>]) -> overlock_sandbox::Response {
    let mut body = render::rows(call, list.stream, list.key, items);
    let count = items.len();
    if list.paging == Paging::Cursor && call.parameter("page[size]").is_some() {
        // Who asks by cursor looks for the end there.
        body.push_str(
            ",\"meta\":{\"has_more\":false,\"after_cursor\":null,\"before_cursor\":null},\
             \"links\":{\"prev\":null,\"next\":null}}",
        );
        return json(body);
    }
    body.extend([format!(
        ",\"next_page\":null,\"previous_page\":null,\"count\":{count}}}"
    )]);
    json(body)
}

fn page(call: &mut Call<'_>, list: List, items: &[Item<'_>]) -> Answer {
    match list.paging {
        Paging::One => Ok(all(call, list, items)),
        Paging::Cursor if call.parameter("page[size]").is_some() => by_cursor(call, list, items),
        Paging::Cursor | Paging::Offset => by_offset(call, list, items),
    }
}

fn by_offset(call: &mut Call<'_>, list: List, items: &[Item<'_>]) -> Answer {
    let most = call.behaviour.list_page_rows.clamp(1, 100);
    let usual = if list.stream == "articles" { 30 } else { 100 };
    let size = call
        .seconds("per_page")
        .map_or(usual, |rows| rows.max(1).unsigned_abs())
        .min(most);
    if call.behaviour.timeout_above.is_some_and(|rows| size > rows) {
        return Ok(render::timed_out());
    }
    let number = call
        .seconds("page")
        .map_or(1, |page| page.max(1).unsigned_abs());
    let first = (number - 1).saturating_mul(size);
    if number > 100 || first >= DEEPEST {
        return Err(Refusal::too_deep());
    }
    let mut items = items.to_vec();
    match call.parameter("sort_by") {
        Some("updated_at") => items.sort_by_key(|item| item.stamp),
        Some("created_at") => items.sort_by_key(|item| item.created),
        _ => {}
    }
    if call.parameter("sort_order") == Some("desc") {
        items.reverse();
    }
    let from = usize::try_from(first)
        .unwrap_or(usize::MAX)
        .min(items.len());
    let end = from
        .saturating_add(usize::try_from(size).unwrap_or(1))
        .min(items.len());
    let shown = items.get(from..end).unwrap_or_default();
    let mut body = render::rows(call, list.stream, list.key, shown);
    let mut turn = |there: bool, page: u64| {
        if there {
            quote(&call.page_url(&[("page", &page.to_string())], &[]))
        } else {
            "null".to_owned()
        }
    };
    let next = turn(end < items.len(), number + 1);
    let previous = turn(number > 1, number.saturating_sub(1));
    let count = items.len();
    body.extend([format!(
        ",\"next_page\":{next},\"previous_page\":{previous},\"count\":{count}}}"
    )]);
    Ok(json(body))
}

/// Fields that a list by cursor can be sorted by: fewer than by offset.
fn sorts(stream: &str) -> &'static [&'static str] {
    match stream {
        "tickets" => &["updated_at", "id", "status"],
        "audit_logs" => &["created_at"],
        _ => &["id", "updated_at", "created_at", "name"],
    }
}

fn by_cursor(call: &mut Call<'_>, list: List, items: &[Item<'_>]) -> Answer {
    let is_large = list.stream == "ticket_metric_events";
    let most = if is_large {
        1_000
    } else {
        call.behaviour.list_page_rows.clamp(1, 100)
    };
    let size = call.seconds("page[size]").unwrap_or(100);
    if size < 1 {
        return Err(Refusal::bad_page("page[size] must be between 1 and 100"));
    }
    let size = size.unsigned_abs().min(most);
    if call.behaviour.timeout_above.is_some_and(|rows| size > rows) {
        return Ok(render::timed_out());
    }
    let mut items = items.to_vec();
    // With `page[size]`, the sorts of offset paging are ignored in silence.
    let sort = call.parameter("sort").unwrap_or_default().to_owned();
    let field = sort.trim_start_matches('-');
    if !field.is_empty() && !sorts(list.stream).contains(&field) {
        return Err(Refusal::bad_page("sort is not valid"));
    }
    match field {
        "updated_at" => items.sort_by_key(|item| item.stamp),
        "created_at" => items.sort_by_key(|item| item.created),
        "status" => items.sort_by_cached_key(|item| {
            let (_, rest) = item.text.split_once("\"status\":\"").unwrap_or_default();
            rest.split('"').next().unwrap_or_default().to_owned()
        }),
        _ => {}
    }
    if sort.starts_with('-') {
        items.reverse();
    }
    let after = call.parameter("page[after]").map(str::to_owned);
    let before = call.parameter("page[before]").map(str::to_owned);
    if after.is_some() && before.is_some() {
        return Err(Refusal::bad_page(
            "page[after] and page[before] exclude each other",
        ));
    }
    let place = |cursor: &str| {
        place(cursor, &items).ok_or_else(|| Refusal::bad_page("page[after] is not valid"))
    };
    let size = usize::try_from(size).unwrap_or(1);
    let (mut first, end) = match (&after, &before) {
        (Some(cursor), _) => {
            let first = place(cursor)?.1;
            (first, first.saturating_add(size).min(items.len()))
        }
        (None, Some(cursor)) => {
            let end = place(cursor)?.0;
            (end.saturating_sub(size), end)
        }
        (None, None) => (0, size.min(items.len())),
    };
    let is_stuck = after.is_some() && Call::take(&mut call.behaviour.stuck_pages);
    if after.is_some() {
        let repeat = usize::try_from(call.behaviour.repeat_rows).unwrap_or(0);
        first = first.saturating_sub(repeat);
    }
    let shown = items.get(first..end).unwrap_or_default();
    let mut has_more = end < items.len();
    if call.behaviour.extra_empty_page && !shown.is_empty() {
        has_more = true;
    }
    let next = match (shown.last(), is_stuck) {
        (_, true) => after.clone(),
        (Some(row), false) => Some(cursor(row.key, end)),
        (None, false) => None,
    };
    has_more |= is_stuck;
    let previous = shown.first().map(|item| cursor(item.key, first + 1));
    let mut body = render::rows(call, list.stream, list.key, shown);
    let is_silent = call
        .behaviour
        .without_has_more
        .iter()
        .any(|name| name == list.stream)
        && !call.is_on("include_boundary_indicators");
    let has_more = if is_silent {
        String::new()
    } else {
        format!("\"has_more\":{has_more},")
    };
    let mut link = |name: &str, other: &str, cursor: Option<&String>| {
        cursor.map_or("null".to_owned(), |cursor| {
            quote(&call.page_url(&[(name, cursor)], &[other]))
        })
    };
    let links = format!(
        "\"links\":{{\"prev\":{},\"next\":{}}}",
        link("page[before]", "page[after]", previous.as_ref()),
        link("page[after]", "page[before]", next.as_ref()),
    );
    let text = |cursor: Option<String>| cursor.map_or("null".to_owned(), |cursor| quote(&cursor));
    body.extend([format!(
        ",\"meta\":{{{has_more}\"after_cursor\":{},\"before_cursor\":{}}},{links}}}",
        text(next),
        text(previous),
    )]);
    Ok(json(body))
}

/// A cursor behind a row that stood at a position.
fn cursor(key: &Key, position: usize) -> String {
    STANDARD.encode(format!(
        "{{\"o\":\"nice_id\",\"n\":{position},\"v\":{}}}",
        quote(&key.to_string())
    ))
}

/// Positions of a cursor's row and of the one behind it, wherever it stands now; a row that is gone leaves
/// its place to those behind it.
fn place(cursor: &str, items: &[Item<'_>]) -> Option<(usize, usize)> {
    let text = STANDARD.decode(cursor).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let key = Key::parse(value["v"].as_str()?);
    if let Some(at) = items.iter().position(|item| *item.key == key) {
        return Some((at, at + 1));
    }
    let is_by_key = items.windows(2).all(|pair| match pair {
        [left, right] => left.key <= right.key,
        _ => true,
    });
    let at = if is_by_key {
        items.partition_point(|item| *item.key < key)
    } else {
        let position = value["n"]
            .as_u64()
            .and_then(|at| usize::try_from(at).ok())?;
        position.saturating_sub(1).min(items.len())
    };
    Some((at, at))
}
