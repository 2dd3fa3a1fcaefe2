//! Rows of the world as JSON text, with what is loaded beside them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use overlock_sandbox::Response;

use super::call::Call;
use super::record::{Key, Marks, Sec, quote};
use super::world::Row;

/// A row, ready to be sorted and written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) key: &'a Key,
    pub(super) stamp: Sec,
    pub(super) created: Sec,
    pub(super) marks: Marks,
    pub(super) text: &'a str,
    pub(super) lean: Option<&'a str>,
}

impl<'a> From<Row<'a>> for Item<'a> {
    fn from(row: Row<'a>) -> Self {
        Self {
            key: row.key,
            stamp: row.version.stamp,
            created: row.record.created,
            marks: row.version.marks,
            text: &row.version.text,
            lean: row.version.lean.as_deref(),
        }
    }
}

impl<'a> Item<'a> {
    /// Where it stands in an export.
    pub(super) fn place(&self) -> (Sec, &'a Key) {
        (self.stamp, self.key)
    }
}

/// 504 as the edge in front of the service writes it.
pub(super) fn timed_out() -> Response {
    Response::of(504, "text/plain", "upstream request timeout")
}

/// `{"KEY":[ROWS]` with sideloads behind it, without the closing brace.
pub(super) fn rows(call: &Call<'_>, stream: &str, key: &str, items: &[Item<'_>]) -> String {
    let mut body = format!("{{{}:[", quote(key));
    let is_full = stream != "ticket_events" || call.includes("comment_events");
    let hides_updates = call
        .behaviour
        .null_updated_at
        .iter()
        .any(|name| name == stream);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        let text = match item.lean {
            Some(lean) if !is_full => lean,
            _ => item.text,
        };
        let mut text = Cow::Borrowed(text);
        if hides_updates {
            text = without_updated_at(&text).into();
        }
        if let Some(url) = &call.behaviour.content_url {
            text = with_urls(&text, url).into();
        }
        if stream == "tickets" {
            let more = beside_ticket(call, item);
            if !more.is_empty() {
                text.to_mut().pop();
                text.to_mut().push_str(&more);
                text.to_mut().push('}');
            }
        }
        body.push_str(&text);
    }
    body.push(']');
    for name in ["users", "groups", "organizations", "brands", "ticket_forms"] {
        if call.includes(name) && name != stream {
            sideload(call, &mut body, name, items);
        }
    }
    if stream == "users" && call.includes("identities") {
        let texts = items.iter().flat_map(|item| {
            let identities = call.world.children("user_identities", item.key, call.now);
            identities.map(|row| row.version.text.to_string())
        });
        let texts: Vec<String> = texts.collect();
        body.extend([format!(",\"identities\":[{}]", texts.join(","))]);
    }
    body
}

/// What is loaded into a ticket.
fn beside_ticket(call: &Call<'_>, item: &Item<'_>) -> String {
    let mut more = String::new();
    if item.marks.deleted {
        return more;
    }
    let mut metrics = call.world.children("ticket_metrics", item.key, call.now);
    if call.includes("metric_sets")
        && let Some(row) = metrics.next()
    {
        more.extend([format!(",\"metric_set\":{}", row.version.text)]);
    }
    if call.includes("comment_count") {
        let count = call
            .world
            .children("ticket_comments", item.key, call.now)
            .count();
        more.extend([format!(",\"comment_count\":{count}")]);
    }
    if call.includes("incident_counts") {
        more.push_str(",\"incident_count\":0");
    }
    if call.includes("dates") {
        more.push_str(",\"dates\":{\"assignee_updated_at\":null,\"requester_updated_at\":null,\"solved_at\":null}");
    }
    if call.includes("slas") {
        more.push_str(",\"slas\":{\"policy_metrics\":[]}");
    }
    if call.includes("metric_events") {
        let events = call
            .world
            .children("ticket_metric_events", item.key, call.now);
        let texts: Vec<&str> = events.map(|row| &*row.version.text).collect();
        more.extend([format!(
            ",\"metric_events\":{{\"events\":[{}]}}",
            texts.join(",")
        )]);
    }
    more
}

/// Records that the rows refer to.
fn sideload(call: &Call<'_>, body: &mut String, name: &'static str, items: &[Item<'_>]) {
    let fields: &[&str] = match name {
        "users" => &["requester_id", "submitter_id", "assignee_id"],
        "groups" => &["group_id"],
        "organizations" => &["organization_id"],
        "brands" => &["brand_id"],
        _ => &["ticket_form_id"],
    };
    let mut keys = BTreeSet::new();
    for item in items {
        for field in fields {
            keys.extend(number_of(item.text, field).map(Key::from));
        }
    }
    let rows = keys
        .iter()
        .filter_map(|key| call.world.row(name, key, call.now));
    let texts: Vec<&str> = rows.map(|row| &*row.version.text).collect();
    body.extend([format!(",\"{name}\":[{}]", texts.join(","))]);
}

/// The number behind a name in JSON text.
pub(super) fn number_of(text: &str, name: &str) -> Option<i64> {
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    let end = rest.find([',', '}'])?;
    rest.get(..end)?.parse().ok()
}

fn without_updated_at(text: &str) -> String {
    let Some((before, rest)) = text.split_once("\"updated_at\":\"") else {
        return text.to_owned();
    };
    let after = rest.split_once('"').map_or("", |(_, after)| after);
    format!("{before}\"updated_at\":null{after}")
}

fn with_urls(text: &str, url: &str) -> String {
    let mut text = text.to_owned();
    for name in ["content_url", "mapped_content_url", "recording_url"] {
        let mark = format!("\"{name}\":\"");
        let mut out = String::with_capacity(text.len());
        let mut pieces = text.split(&mark);
        out.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let after = piece.split_once('"').map_or("", |(_, after)| after);
            out.extend([format!("\"{name}\":{}{after}", quote(url))]);
        }
        text = out;
    }
    text
}
