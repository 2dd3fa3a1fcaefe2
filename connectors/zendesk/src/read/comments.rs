//! Comments: from the export of events, or ticket by ticket.
//!
//! Events cost one call per thousand and show what was written; tickets cost one call each and show what stands there
//! now. `auto` takes events for the first read and for large changes, and tickets where less than a page of them has
//! changed. Each way leaves a position that the other can go on from without a gap.

use std::borrow::Cow;

use bytes::Bytes;
use overlock_core::{Error, ErrorKind, Result};
use overlock_kit::out::Out;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::records::Records;
use super::{Reader, cursor, time};
use crate::config::CommentsMode;
use crate::envelope::Page;

/// Kinds of events below an event that are comments; what was said in a call is one, too.
const COMMENTS: &[&str] = &["Comment", "VoiceComment"];

/// Reads comments by the way that the settings say.
pub(super) async fn read(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    let was_per_ticket = reader.position.cursor.is_some();
    let is_first = reader.position.at.is_none();
    let per_ticket = match reader.source.comments_mode() {
        CommentsMode::Events => false,
        CommentsMode::PerTicket => true,
        // A pass over tickets that is still going on is finished as it was begun.
        CommentsMode::Auto if reader.position.open => true,
        CommentsMode::Auto => !is_first && cursor::is_small(reader).await?,
    };
    if per_ticket {
        reader
            .source
            .shared()
            .leave(time::EVENTS.list, reader.name());
        if !reader.position.open {
            // Where the oldest of the passes since the last events began: a ticket may move out of the sight of
            // several, one after the other.
            reader.position.base = reader.position.base.or(reader.position.at);
            reader.position.open = true;
        }
        reader.position.seen.clear();
        return cursor::below(reader, "comments", "comments", out).await;
    }
    reader
        .source
        .shared()
        .leave(crate::streams::Export::Tickets.list(), reader.name());
    if was_per_ticket {
        // A ticket that changed while the last pass went on may have moved out of its sight, with an event from
        // before that pass's end: events are read from where that pass began.
        let chase = i64::try_from(crate::limits::LONGEST_CHASE.as_secs()).unwrap_or(i64::MAX);
        let earliest = reader.position.at.map(|at| at.saturating_sub(chase));
        reader.position.at = reader.position.base.max(earliest).or(Some(reader.since));
        reader.position.seen.clear();
        reader.position.cursor = None;
    }
    reader.position.base = None;
    reader.position.open = false;
    time::read(reader, time::EVENTS, out).await
}

/// The comments among the events of a page, as records of their own.
///
/// # Errors
/// `Schema` if an event is none.
pub(super) fn of_events(page: &Page) -> Result<Bytes> {
    #[derive(Deserialize)]
    struct Event<'a> {
        id: i64,
        ticket_id: i64,
        #[serde(borrow, default)]
        created_at: Option<&'a RawValue>,
        #[serde(borrow, default)]
        updater_id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        child_events: Option<Vec<&'a RawValue>>,
    }
    #[derive(Deserialize)]
    struct Child<'a> {
        #[serde(borrow, default)]
        event_type: Option<Cow<'a, str>>,
        #[serde(borrow, default, rename = "type")]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        author_id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        created_at: Option<&'a RawValue>,
        #[serde(borrow, default)]
        audit_id: Option<&'a RawValue>,
    }
    let odd = |_| {
        Error::new(
            ErrorKind::Schema,
            "read comments from events: an event has no whole number as `id` or `ticket_id`",
        )
        .hint("set comments_mode = \"per_ticket\" and report this")
    };
    let mut records = Records::default();
    for raw in page.raw()? {
        let event: Event<'_> = serde_json::from_str(raw.get()).map_err(odd)?;
        for raw in event.child_events.unwrap_or_default() {
            let child: Child<'_> = serde_json::from_str(raw.get()).map_err(odd)?;
            let kind = child.event_type.as_deref().or(child.kind.as_deref());
            let Some(kind) = kind.filter(|kind| COMMENTS.contains(kind)) else {
                continue;
            };
            let mut more = format!(
                "\"ticket_id\":{},\"event_id\":{},\"type\":\"{kind}\"",
                event.ticket_id, event.id
            );
            // What the comment does not say itself, its event does.
            for (key, own, of_event) in [
                ("created_at", child.created_at, event.created_at),
                ("author_id", child.author_id, event.updater_id),
            ] {
                if let (None, Some(value)) = (own, of_event) {
                    more.extend([",\"", key, "\":", value.get()]);
                }
            }
            if child.audit_id.is_none() {
                more.extend([",\"audit_id\":", &event.id.to_string()]);
            }
            records.push_with(raw.get(), &more);
        }
    }
    Ok(records.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_calls_are_taken_with_their_ticket() {
        let body = r#"{"ticket_events":[{"id":9,"ticket_id":7,"created_at":"2026-01-01T00:00:00Z","updater_id":-1,"child_events":[
            {"id":1,"event_type":"Comment","body":"a","ticket_id":null},
            {"id":2,"event_type":"Change","status":"open"},
            {"id":3,"event_type":"VoiceComment","author_id":5,"audit_id":8}]},
            {"id":10,"ticket_id":7},{"id":11,"ticket_id":7,"child_events":null}],"end_time":1}"#;
        let page = Page::parse(Bytes::from(body), "ticket_events").unwrap();
        let found: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(&of_events(&page).unwrap()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["ticket_id"], 7);
        assert_eq!(found[0]["author_id"], -1);
        assert_eq!(found[0]["audit_id"], 9);
        assert_eq!(found[0]["type"], "Comment");
        assert_eq!(found[1]["type"], "VoiceComment");
        assert_eq!(found[1]["author_id"], 5);
        assert_eq!(found[1]["audit_id"], 8);
    }
}
