//! Lists that take a start: ratings, audit logs, skips, activities, metric events.
//!
//! Most of them promise no order, so the bookmark moves only behind a whole range, to the newest stamp that was seen
//! in it. The next read begins with that second, inclusive: rows of it that are the same to the last byte are left
//! out, and all others come.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use overlock_core::{Error, Result, Timestamp};
use overlock_kit::out::Out;

use super::Reader;
use super::children::{Next, follow};
use super::cursor::adaptive;
use crate::client::{Ask, Bucket};
use crate::decode::{self, Decoded};
use crate::envelope::Page;
use crate::errors::Meaning;
use crate::limits;
use crate::source::PageSize;
use crate::streams::{Range, Way};

/// Where a list is, and what its range goes by.
#[derive(Debug, Clone, Copy)]
struct Place {
    path: &'static str,
    list: &'static str,
    range: Range,
}

/// A range of seconds, from the first one inclusive; the last one is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i64,
    until: Option<i64>,
}

/// Reads the list from the position to its end.
pub(super) async fn read(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    let Way::Since {
        path,
        list,
        range,
        rows,
        ..
    } = reader.spec.way
    else {
        return Err(Error::bug("read a list by its start that takes none"));
    };
    let place = Place { path, list, range };
    let size = PageSize::new(rows);
    let known: HashSet<u64> = reader.position.seen().collect();
    let first = reader.position.at;
    let from = first.unwrap_or(reader.since);
    let mut newest = Newest::new(first, &known);
    let before = reader.position.clone();
    let mut given = 0;
    let now = reader.client().server_time();
    for span in spans(from, now, range) {
        let mut next = Next::Cursor(None);
        let mut empty_pages = 0;
        let mut read_pages = 0;
        loop {
            let page = match ask(reader, place, span, &next, &size).await {
                // There is nothing that new.
                Err(error) if Meaning::of(&error) == Some(Meaning::TooRecent) => break,
                page => page?,
            };
            empty_pages = if page.is_empty() { empty_pages + 1 } else { 0 };
            read_pages += 1;
            if empty_pages > limits::MAX_EMPTY_PAGES || read_pages > limits::MAX_LIST_PAGES {
                return Err(Error::new(
                    overlock_core::ErrorKind::Data,
                    "get to the end of a list: Zendesk names more and more pages",
                ));
            }
            let mut fresh = Vec::new();
            for Decoded { batch, seconds } in reader.decode_page(&page).await? {
                let hashes = decode::hashes(&batch)?;
                let keep: Vec<bool> = hashes.iter().map(|hash| !known.contains(hash)).collect();
                newest.note(seconds, &hashes);
                fresh.push(decode::filter(&batch, keep)?);
            }
            fresh.retain(|batch| batch.num_rows() > 0);
            given += fresh.iter().map(RecordBatch::num_rows).sum::<usize>();
            let following = follow(&page, &next)?;
            if matches!(range, Range::Ordered(_)) && !fresh.is_empty() && following.is_some() {
                newest.reach(reader);
                reader.give(out, fresh).await?;
            } else {
                for batch in fresh {
                    out.page(batch, None).await?;
                }
            }
            match following {
                Some(following) => next = following,
                None => break,
            }
        }
        if let Some(until) = span.until {
            // A range that is long over, and was read whole.
            newest.pass(until);
            newest.reach(reader);
            reader.give(out, Vec::new()).await?;
        }
    }
    if given == 0 && before.at.is_some() && newest.at == before.at {
        reader.position = before;
    } else {
        newest.reach(reader);
        reader.position.at.get_or_insert(reader.since);
    }
    reader.give(out, Vec::new()).await
}

/// The ranges that are asked for one after the other.
///
/// A range is closed only where the server's own clock is long past its end: this machine's may be wrong, and a
/// bookmark in the future would skip what is yet to come.
fn spans(from: i64, now: Option<i64>, range: Range) -> Vec<Span> {
    let mut spans = Vec::new();
    let step = i64::try_from(limits::WINDOW_DAYS * 86_400).unwrap_or(i64::MAX);
    let late = i64::try_from(limits::LATE_ROWS.as_secs()).unwrap_or(i64::MAX);
    let settled = now.map_or(i64::MIN, |now| now.saturating_sub(late));
    let mut from = from;
    // Without any start there is no telling how many empty ranges would come first.
    if matches!(range, Range::Both | Range::Filter) && from > 0 {
        while from + step < settled {
            spans.push(Span {
                from,
                until: Some(from + step),
            });
            from += step;
        }
    }
    spans.push(Span { from, until: None });
    spans
}

async fn ask(
    reader: &Reader<'_>,
    place: Place,
    span: Span,
    next: &Next,
    size: &PageSize,
) -> Result<Page> {
    let text = |seconds: i64| {
        Timestamp::from_seconds(seconds).map_or_else(|| seconds.to_string(), |at| at.to_string())
    };
    let bucket = match place.range {
        Range::Ordered(_) => Bucket::Exports,
        _ => Bucket::Plan,
    };
    let make = |rows: u32| {
        let ask = Ask::new(place.path, bucket).stream(&reader.stream.name);
        let ask = match place.range {
            Range::Ordered(name) | Range::Start(name) => ask.query(name, &span.from.to_string()),
            Range::StartText(name) => ask.query(name, &text(span.from)),
            Range::Both => {
                let ask = ask.query("start_time", &span.from.to_string());
                match span.until {
                    Some(until) => ask.query("end_time", &until.to_string()),
                    None => ask,
                }
            }
            Range::Filter => {
                // Both ends are needed; the last range ends with the run.
                let until = span.until.unwrap_or(reader.until.seconds().max(span.from));
                ask.query("filter[created_at][]", &text(span.from))
                    .query("filter[created_at][]", &text(until))
                    .query("sort", "created_at")
            }
        };
        match next {
            Next::Cursor(None) => ask.query("page[size]", &rows.to_string()),
            Next::Cursor(Some(cursor)) => ask
                .query("page[size]", &rows.to_string())
                .query("page[after]", cursor),
            // Never with another size than the page before: numbers count rows.
            Next::Number(page) => ask
                .query("per_page", &limits::LIST_ROWS.to_string())
                .query("page", &page.to_string()),
        }
    };
    let body = adaptive(reader.source, size, &reader.stream.name, make, |answer| {
        Page::parse(answer.body.clone(), place.list).map(drop)
    })
    .await?;
    Page::parse(body, place.list)
}

/// The newest stamp that was seen, and the rows that have it.
#[derive(Debug)]
struct Newest {
    at: Option<i64>,
    seen: Vec<u64>,
}

impl Newest {
    fn new(at: Option<i64>, seen: &HashSet<u64>) -> Self {
        Self {
            at,
            seen: seen.iter().copied().collect(),
        }
    }

    fn note(&mut self, seconds: Vec<Option<i64>>, hashes: &[u64]) {
        for (second, hash) in seconds.into_iter().zip(hashes) {
            let Some(second) = second else { continue };
            if self.at.is_none_or(|at| second > at) {
                self.at = Some(second);
                self.seen.clear();
            }
            if self.at == Some(second) && !self.seen.contains(hash) {
                self.seen.push(*hash);
            }
        }
    }

    /// Everything before `until` was read.
    fn pass(&mut self, until: i64) {
        if self.at.is_none_or(|at| at < until) {
            self.at = Some(until);
            self.seen.clear();
        }
    }

    /// Moves the position there; but not into the last minutes, in which rows may still appear that are stamped
    /// before others, and not behind a stamp of the future.
    fn reach(&self, reader: &mut Reader<'_>) {
        let now = reader.client().server_time();
        let position = &mut reader.position;
        let settle = i64::try_from(limits::SETTLE.as_secs()).unwrap_or(i64::MAX);
        let settled = now.map_or(i64::MAX, |now| now.saturating_sub(settle));
        match self.at {
            Some(at) if at <= settled => position.reach(at, self.seen.iter().copied()),
            Some(_) => position.reach(settled.max(position.at.unwrap_or(0)), []),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ranges_are_cut_and_the_last_is_open() {
        let until = Some(100 * 86_400);
        let day = 86_400;
        let span = |from, until| Span {
            from: from * day,
            until: Option::map(until, |until: i64| until * day),
        };
        assert_eq!(spans(0, until, Range::Both), [span(0, None)]);
        assert_eq!(
            spans(10 * day, until, Range::Both),
            [span(10, Some(40)), span(40, Some(70)), span(70, None)]
        );
        assert_eq!(spans(98 * day, until, Range::Filter), [span(98, None)]);
        assert_eq!(spans(0, until, Range::Start("x")), [span(0, None)]);
        assert_eq!(spans(200 * day, until, Range::Both), [span(200, None)]);
        // Nobody has told the time yet.
        assert_eq!(spans(10 * day, None, Range::Both), [span(10, None)]);
    }

    #[test]
    fn the_bookmark_is_the_newest_stamp_and_the_rows_that_have_it() {
        let mut newest = Newest::new(Some(5), &[50].into());
        newest.note(vec![Some(3), None, Some(5)], &[30, 0, 51]);
        assert_eq!((newest.at, newest.seen.clone()), (Some(5), vec![50, 51]));
        newest.note(vec![Some(9), Some(7), Some(9)], &[90, 70, 91]);
        assert_eq!((newest.at, newest.seen.clone()), (Some(9), vec![90, 91]));
        newest.pass(8);
        assert_eq!(newest.at, Some(9));
        newest.pass(20);
        assert_eq!((newest.at, newest.seen.len()), (Some(20), 0));
    }
}
