//! What is below a ticket: audits, comments, side conversations, one call per ticket and some more for long lists.
//!
//! Several tickets are asked at once; what they bring is handed over in the order of the tickets. A ticket that is
//! gone by now has nothing below it: it is counted and told.

use bytes::Bytes;
use futures::StreamExt as _;
use overlock_core::{Error, ErrorKind, Result, StreamName};
use overlock_kit::out::Out;

use super::Reader;
use super::records::Records;
use crate::client::{Ask, Bucket, Client};
use crate::envelope::Page;
use crate::errors::Meaning;
use crate::limits;

/// Bytes of records that are decoded at a time.
const TOGETHER: usize = 2 << 20;

/// Reads a list below each of these tickets; returns how many of the tickets are gone.
pub(super) async fn of_tickets(
    reader: &mut Reader<'_>,
    ids: &[i64],
    below: &'static str,
    list: &'static str,
    out: &mut Out,
) -> Result<u64> {
    let client = reader.client();
    let stream = reader.stream.name.clone();
    let mut answers = futures::stream::iter(ids.iter().copied())
        .map(|id| {
            let path = format!("tickets/{id}/{below}");
            let stream = stream.clone();
            async move {
                let pages = all(client, &path, list, Bucket::Plan, &stream).await;
                (id, pages)
            }
        })
        .buffered(reader.source.calls_at_once());
    let mut gone = 0;
    let mut records = Records::default();
    let mut ready = Vec::new();
    while let Some((id, pages)) = answers.next().await {
        let pages = match pages {
            Ok(pages) => pages,
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && Meaning::of(&error) != Some(Meaning::NoEndpoint) =>
            {
                gone += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        // The parent's id is not in the records, or is null there.
        let parent = format!("\"ticket_id\":{id}");
        for page in &pages {
            for raw in page.raw()? {
                records.push_with(raw.get(), &parent);
            }
        }
        if records.len() >= TOGETHER {
            ready.push(std::mem::take(&mut records).finish());
            for array in ready.drain(..) {
                hand_over(reader, array, out).await?;
            }
        }
    }
    drop(answers);
    hand_over(reader, records.finish(), out).await?;
    Ok(gone)
}

async fn hand_over(reader: &mut Reader<'_>, records: Bytes, out: &mut Out) -> Result<()> {
    for batch in reader.batches(records).await? {
        out.page(batch, None).await?;
    }
    Ok(())
}

/// All pages of a list, whichever way it is paged.
pub(crate) async fn all(
    client: &Client,
    path: &str,
    list: &str,
    bucket: Bucket,
    stream: &StreamName,
) -> Result<Vec<Page>> {
    let size = limits::LIST_ROWS.to_string();
    let mut pages: Vec<Page> = Vec::new();
    let mut next = Next::Cursor(None);
    while pages.len() < limits::MAX_CHILD_PAGES as usize {
        let ask = Ask::new(path, bucket).stream(stream);
        let ask = match &next {
            Next::Cursor(cursor) => {
                let ask = ask.query("page[size]", &size);
                match cursor {
                    Some(cursor) => ask.query("page[after]", cursor),
                    None => ask,
                }
            }
            Next::Number(page) => ask
                .query("per_page", &size)
                .query("page", &page.to_string()),
        };
        let page = client
            .read(&ask, |answer| Page::parse(answer.body.clone(), list))
            .await?;
        let following = follow(&page, &next)?;
        if following == Some(Next::Number(1)) {
            // It is paged by number, and by sizes of its own: from the beginning, in ours.
            pages.clear();
        } else {
            pages.push(page);
        }
        match following {
            Some(following) => next = following,
            None => return Ok(pages),
        }
    }
    Err(Error::new(
        ErrorKind::Data,
        format!(
            "read a list to its end: it has more than {} pages",
            limits::MAX_CHILD_PAGES
        ),
    )
    .context("list", list))
}

/// Where the next page of a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Cursor(Option<String>),
    Number(u32),
}

/// The place behind a page of a list; `None` at the end.
///
/// The word of the server is `has_more`. Where it is missing (zendesk.md, section 3.1), the list goes on as long as
/// pages have rows and the cursor moves. On the last page the cursor is there all the same.
pub(super) fn follow(page: &Page, at: &Next) -> Result<Option<Next>> {
    let stuck = |why: &str| {
        Error::new(ErrorKind::Data, format!("get on with a list: {why}"))
            .hint("this is a problem at Zendesk: run again later; what was read is kept")
    };
    if let Some(meta) = &page.paging.meta {
        let next = meta.after_cursor.clone();
        let is_same = matches!((at, &next), (Next::Cursor(Some(at)), Some(next)) if at == next);
        return match (meta.has_more, next) {
            (Some(true), Some(_)) if is_same => Err(stuck("it names the same cursor again")),
            (Some(true), Some(next)) => Ok(Some(Next::Cursor(Some(next)))),
            (Some(true), None) => Err(stuck("it has more and names no cursor")),
            (None, Some(next)) if !is_same && !page.is_empty() => {
                Ok(Some(Next::Cursor(Some(next))))
            }
            (Some(false) | None, _) => Ok(None),
        };
    }
    // A list that is paged by number: of the link only the fact that there is one is used.
    if page.paging.next_page.is_some() && !page.is_empty() {
        // Asked for by cursor and answered by number: how long its pages are is not known, so it begins again.
        return Ok(Some(match at {
            Next::Number(number) => Next::Number(number + 1),
            Next::Cursor(_) => Next::Number(1),
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(body: &str, at: &Next) -> Result<Option<Next>> {
        let page = Page::parse(Bytes::copy_from_slice(body.as_bytes()), "groups").unwrap();
        follow(&page, at)
    }

    #[test]
    fn a_list_ends_where_the_server_says_so_and_not_where_its_links_end() {
        let first = Next::Cursor(None);
        let cursor = |text: &str| Next::Cursor(Some(text.to_owned()));
        for (body, at, expected) in [
            (
                r#"{"groups":[1],"meta":{"has_more":true,"after_cursor":"b"}}"#,
                first.clone(),
                Some(cursor("b")),
            ),
            (
                r#"{"groups":[1],"meta":{"has_more":false,"after_cursor":"b"}}"#,
                first.clone(),
                None,
            ),
            (
                r#"{"groups":[],"meta":{"has_more":false,"after_cursor":null}}"#,
                first.clone(),
                None,
            ),
            (
                r#"{"groups":[],"meta":{"has_more":true,"after_cursor":"b"}}"#,
                cursor("a"),
                Some(cursor("b")),
            ),
            // Without has_more.
            (
                r#"{"groups":[1],"meta":{"after_cursor":"b"}}"#,
                first.clone(),
                Some(cursor("b")),
            ),
            (
                r#"{"groups":[1],"meta":{"after_cursor":"b"}}"#,
                cursor("b"),
                None,
            ),
            (
                r#"{"groups":[],"meta":{"after_cursor":"c"}}"#,
                cursor("b"),
                None,
            ),
            (
                r#"{"groups":[1],"meta":{"after_cursor":null}}"#,
                cursor("b"),
                None,
            ),
            // By number.
            (
                r#"{"groups":[1],"next_page":"https://evil.test/?page=9"}"#,
                first.clone(),
                Some(Next::Number(1)),
            ),
            (
                r#"{"groups":[1],"next_page":"x"}"#,
                Next::Number(2),
                Some(Next::Number(3)),
            ),
            (r#"{"groups":[1],"next_page":null}"#, Next::Number(3), None),
            (r#"{"groups":[],"next_page":"x"}"#, Next::Number(3), None),
            (r#"{"groups":[1]}"#, first, None),
        ] {
            assert_eq!(after(body, &at).unwrap(), expected, "{body}");
        }
        for body in [
            r#"{"groups":[1],"meta":{"has_more":true,"after_cursor":"a"}}"#,
            r#"{"groups":[1],"meta":{"has_more":true,"after_cursor":null}}"#,
        ] {
            assert_eq!(
                after(body, &cursor("a")).unwrap_err().kind(),
                ErrorKind::Data,
                "{body}"
            );
        }
    }
}
