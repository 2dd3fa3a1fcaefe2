//! Exports by start time: organizations, events, calls, articles.
//!
//! Each page begins with the second that the last one ended with, so its rows come again; those that are the same to
//! the last byte are left out, and one that changed within the second is kept. The bookmark is the `end_time` that
//! Zendesk gives. A second that holds more rows than a page cannot be passed this way: that is an error, never a
//! loop and never a skip.

use std::collections::HashSet;

use futures::future::{OptionFuture, join};
use overlock_core::{Error, ErrorKind, Result};
use overlock_kit::out::Out;

use super::{Reader, comments};
use crate::client::{Ask, Bucket};
use crate::decode::{self, Decoded};
use crate::envelope::Page;
use crate::errors::Meaning;
use crate::limits;
use crate::streams::Way;

/// Epoch seconds of an instant as Zendesk writes it.
pub(super) fn epoch(text: &str) -> Option<i64> {
    let micros = overlock_kit::rows::timestamp(text.as_bytes(), true)?;
    Some(micros.div_euclid(1_000_000))
}

/// An export: where it is, and what is made of its records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Export {
    pub(super) path: &'static str,
    pub(super) list: &'static str,
    pub(super) bucket: Bucket,
    /// Column of the rows that the export goes by; none if the rows are not its records.
    pub(super) at: Option<&'static str>,
}

/// The events that comments are read from; the same calls as those of the stream `ticket_events`.
pub(super) const EVENTS: Export = Export {
    path: "incremental/ticket_events?include=comment_events",
    list: "ticket_events",
    bucket: Bucket::Exports,
    at: None,
};

/// The rows of the export of this stream.
pub(super) async fn rows(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    let Way::Time {
        path,
        list,
        bucket,
        at,
    } = reader.spec.way
    else {
        return Err(Error::bug("read an export that is none"));
    };
    let export = Export {
        path,
        list,
        bucket,
        at: Some(at),
    };
    read(reader, export, out).await
}

/// Follows an export from the position to its end.
pub(super) async fn read(reader: &mut Reader<'_>, export: Export, out: &mut Out) -> Result<()> {
    let asker = Asker {
        source: reader.source,
        export,
        stream: reader.stream.name.clone(),
    };
    let before = reader.position.clone();
    let mut seen: HashSet<u64> = reader.position.seen().collect();
    let mut start = reader.start();
    let mut rows = 0;
    let mut page = match asker.page(start).await {
        Err(error) if Meaning::of(&error) == Some(Meaning::TooRecent) => {
            reader.position.at.get_or_insert(reader.since);
            return reader.give(out, Vec::new()).await;
        }
        page => page?,
    };
    loop {
        let now = reader.client().server_time().unwrap_or(i64::MAX);
        check_page(&page, export, now)?;
        let next = next(&page, start, export.list)?;
        let ahead: OptionFuture<_> = next.map(|next| asker.page(next)).into();
        let taken = take(reader, export, &page, &mut seen);
        let (taken, ahead) = join(taken, ahead).await;
        let fresh = taken?;
        rows += fresh.iter().map(|one| one.batch.num_rows()).sum::<usize>();
        // An empty page proves nothing about time.
        let end = page
            .paging
            .end_time
            .filter(|end| *end >= start && !page.is_empty());
        let at = end.unwrap_or(start);
        let boundary = match export.at {
            Some(_) => boundary(&fresh, at, &reader.position, start)?,
            // Rows that are made of others: all of the page are remembered, if they are few.
            None => seen.iter().copied().collect(),
        };
        if next.is_none() && rows == 0 && before.at.is_some() {
            reader.position = before;
            return reader.give(out, Vec::new()).await;
        }
        reader.position.cursor = None;
        reader.position.reach(at, boundary);
        if next.is_none() || !fresh.is_empty() {
            let batches = fresh.into_iter().map(|one| one.batch).collect();
            reader.give(out, batches).await?;
        }
        let (Some(next), Some(ahead)) = (next, ahead) else {
            return Ok(());
        };
        start = next;
        page = ahead?;
    }
}

/// Refuses a page that sends fewer rows than it announces, or that ends in the future.
fn check_page(page: &Page, export: Export, now: i64) -> Result<()> {
    let rows = page.raw()?.len() as u64;
    // Elsewhere the number may be that of all rows.
    let is_of_page = matches!(export.list, "organizations" | "ticket_events");
    if let Some(count) = page
        .paging
        .count
        .filter(|count| is_of_page && *count > rows)
    {
        return Err(Error::new(
            ErrorKind::Data,
            format!(
                "balance a page: Zendesk announced {count} {} and sent {rows}",
                export.list
            ),
        ));
    }
    if page
        .paging
        .end_time
        .is_some_and(|end| end > now.saturating_add(limits::CLOCKS))
    {
        return Err(Error::new(
            ErrorKind::Data,
            "go on from the end of a page: it lies in Zendesk's own future",
        )
        .hint("this is a problem at Zendesk: run again later; what was read is kept"));
    }
    Ok(())
}

/// Hashes of the rows of second `at`, those of an earlier read included if the second is the same.
fn boundary(
    rows: &[Decoded],
    at: i64,
    position: &crate::state::Position,
    start: i64,
) -> Result<Vec<u64>> {
    let mut found: Vec<u64> = Vec::new();
    if at == start && position.at == Some(at) {
        found.extend(position.seen());
    }
    for Decoded { batch, seconds } in rows {
        let hashes = decode::hashes(batch)?.into_iter().zip(seconds);
        found.extend(
            hashes
                .filter(|(_, second)| **second == Some(at))
                .map(|(hash, _)| hash),
        );
    }
    Ok(found)
}

/// The rows of a page without those that the last page had as well.
async fn take(
    reader: &mut Reader<'_>,
    export: Export,
    page: &Page,
    seen: &mut HashSet<u64>,
) -> Result<Vec<Decoded>> {
    let decoded = match export.at {
        Some(_) => reader.decode_page(page).await?,
        None => reader.decode(comments::of_events(page)?).await?,
    };
    let mut fresh = Vec::new();
    let mut now = HashSet::new();
    for Decoded { batch, seconds } in decoded {
        let hashes = decode::hashes(&batch)?;
        let keep: Vec<bool> = hashes
            .iter()
            .map(|hash| now.insert(*hash) && !seen.contains(hash))
            .collect();
        let seconds = seconds.into_iter().zip(&keep);
        let seconds = seconds
            .filter(|(_, keep)| **keep)
            .map(|(second, _)| second)
            .collect();
        let batch = decode::filter(&batch, keep)?;
        if batch.num_rows() > 0 {
            fresh.push(Decoded { batch, seconds });
        }
    }
    *seen = now;
    Ok(fresh)
}

/// The start of the next page; `None` at the end of the stream.
///
/// `next_page` is never null on the last page, so only the time counts: a page that does not get past its own start
/// is the last one, unless it is full.
fn next(page: &Page, start: i64, list: &str) -> Result<Option<i64>> {
    let paging = &page.paging;
    if paging.end_of_stream == Some(true) {
        return Ok(None);
    }
    let count = page.raw()?.len() as u64;
    let moved = paging.end_time.filter(|end| *end > start);
    match moved {
        Some(end) if !page.is_empty() => Ok(Some(end)),
        Some(end) if paging.end_of_stream == Some(false) => Ok(Some(end)),
        // By its own word it is not at its end: nothing but an error may come of that.
        None if paging.end_of_stream == Some(false) => {
            if count > 0 && paging.end_time == Some(start) {
                return Err(crowded(start, count, list));
            }
            Err(Error::new(
                ErrorKind::Data,
                "get on with an export: it is not at its end and its end_time does not move",
            )
            .hint("this is a problem at Zendesk: run again later; what was read is kept"))
        }
        None if paging.end_time == Some(start) && count >= u64::from(limits::EXPORT_ROWS) => {
            Err(crowded(start, count, list))
        }
        Some(_) | None => Ok(None),
    }
}

fn crowded(start: i64, count: u64, list: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("get past second {start} of the export: {count} or more {list} changed in it, and Zendesk sends no more than a page of one second"),
    )
    .context("second", start)
    .hint("nothing is skipped, so this stream waits here: ask Zendesk's support to raise the page, or touch some of these records in Zendesk so that they move to another second")
}

struct Asker<'a> {
    source: &'a crate::source::Zendesk,
    export: Export,
    stream: overlock_core::StreamName,
}

impl Asker<'_> {
    async fn page(&self, start: i64) -> Result<Page> {
        let list = self.export.list;
        let body = self
            .source
            .shared()
            .page(list, &start.to_string(), self.stream.as_str(), async {
                let mut ask = Ask::new(self.export.path, self.export.bucket)
                    .stream(&self.stream)
                    .query("start_time", &start.to_string());
                if list == EVENTS.list {
                    ask = ask.query("support_type_scope", self.source.scope().as_str());
                }
                self.source
                    .client()
                    .read(&ask, |answer| {
                        Page::parse(answer.body.clone(), list).map(|_| answer.body.clone())
                    })
                    .await
            })
            .await?;
        Page::parse(body, list)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn after(paging: &str, rows: usize) -> Result<Option<i64>> {
        let rows = vec!["1"; rows].join(",");
        let body = format!("{{\"calls\":[{rows}]{paging}}}");
        let page = Page::parse(Bytes::from(body), "calls").unwrap();
        next(&page, 100, "calls")
    }

    #[test]
    fn an_export_ends_where_time_stands_still_and_never_loops() {
        // next_page is there on every one of them.
        for (paging, rows, expected) in [
            (
                r#","next_page":"x","end_time":150,"end_of_stream":false"#,
                1000,
                Some(150),
            ),
            (
                r#","next_page":"x","end_time":150,"end_of_stream":true"#,
                7,
                None,
            ),
            (
                r#","next_page":"x","end_time":150,"end_of_stream":true"#,
                1500,
                None,
            ),
            // Talk and help center say nothing.
            (r#","next_page":"x","end_time":150"#, 30, Some(150)),
            (r#","next_page":"x","end_time":100"#, 30, None),
            (r#","next_page":null,"end_time":null"#, 0, None),
            (r#","next_page":"x""#, 3, None),
            // More than a page in one second, on a server that sends them all.
            (r#","end_time":150,"end_of_stream":false"#, 2000, Some(150)),
            (r#","end_time":150,"end_of_stream":false"#, 0, Some(150)),
            (r#","end_time":90,"end_of_stream":true"#, 0, None),
        ] {
            assert_eq!(after(paging, rows).unwrap(), expected, "{paging} {rows}");
        }
        // covers: L9
        for paging in [
            r#","end_time":100,"end_of_stream":false"#,
            r#","end_time":100"#,
        ] {
            let error = after(paging, 1000).unwrap_err();
            assert!(error.to_string().contains("second 100"), "{error}");
        }
        for rows in [0, 3, 60, 1000] {
            assert!(after(r#","end_of_stream":false"#, rows).is_err(), "{rows}");
            let stands = r#","end_time":100,"end_of_stream":false"#;
            assert!(after(stands, rows).is_err(), "{rows}");
        }
    }
}
