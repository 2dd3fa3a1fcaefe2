//! Exports by cursor: tickets and users, and what comes with them.
//!
//! The next page is asked for while the rows of the last one are decoded and handed over. The bookmark is the
//! cursor; beside it stands the newest stamp that was read, from which the export is read again if Zendesk no longer
//! takes the cursor. A record that changes while the export is read comes again, later: the newest one counts.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::{OptionFuture, join};
use overlock_core::{Error, ErrorKind, Result};
use overlock_kit::http::Response;
use overlock_kit::out::Out;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::records::Records;
use super::{Reader, children};
use crate::client::{Ask, Bucket};
use crate::decode::{Decoded, Decoding};
use crate::envelope::Page;
use crate::errors::Meaning;
use crate::limits;
use crate::source::PageSize;
use crate::state::Position;
use crate::streams::Export;

impl Export {
    /// The array in the body; also the name that its pages are shared under.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Users => "users",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Tickets => "incremental/tickets/cursor",
            Self::Users => "incremental/users/cursor",
        }
    }

    fn bucket(self) -> Bucket {
        match self {
            Self::Tickets => Bucket::Exports,
            Self::Users => Bucket::Users,
        }
    }
}

/// A place in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Start(i64),
    Cursor(String),
}

/// What is made of a page.
#[derive(Debug, Clone, Copy)]
enum Take {
    /// Its rows.
    Rows,
    /// The metric sets of its tickets.
    Metrics,
    /// The identities of its users.
    Identities,
    /// A list below each of its tickets.
    Below {
        below: &'static str,
        list: &'static str,
    },
}

/// The rows of an export themselves.
pub(super) async fn rows(reader: &mut Reader<'_>, export: Export, out: &mut Out) -> Result<()> {
    Pass::new(reader, export, Take::Rows).run(out).await
}

/// The metrics of the tickets of the export.
pub(super) async fn metrics(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    Pass::new(reader, Export::Tickets, Take::Metrics)
        .run(out)
        .await
}

/// The identities of the users of the export.
pub(super) async fn identities(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    Pass::new(reader, Export::Users, Take::Identities)
        .run(out)
        .await
}

/// A list below each ticket of the export.
pub(super) async fn below(
    reader: &mut Reader<'_>,
    below: &'static str,
    list: &'static str,
    out: &mut Out,
) -> Result<()> {
    Pass::new(reader, Export::Tickets, Take::Below { below, list })
        .run(out)
        .await
}

/// How many tickets changed since the position, if it is less than a page.
pub(super) async fn is_small(reader: &mut Reader<'_>) -> Result<bool> {
    let pass = Pass::new(reader, Export::Tickets, Take::Rows);
    let at = pass.begin();
    let page = match pass.look(&at).await {
        Ok(page) => page,
        Err(error) if Meaning::of(&error) == Some(Meaning::TooRecent) => return Ok(true),
        // Whoever reads on will find out and do something about it.
        Err(error) if Meaning::of(&error).is_some() => return Ok(false),
        Err(error) => return Err(error),
    };
    let few = page.raw()?.len() as u64 <= limits::AUTO_PER_TICKET;
    Ok(few && page.paging.end_of_stream == Some(true))
}

/// One pass over an export, as one stream sees it.
struct Pass<'p, 'a> {
    reader: &'p mut Reader<'a>,
    export: Export,
    makes: Take,
    fell_back: bool,
    /// Pages that were begun and not yet handed over.
    flight: VecDeque<Flight>,
    /// Records so far.
    records: u64,
    without_metrics: u64,
    gone: u64,
}

/// Asks for pages; shares nothing with the reader, so that a page can be on its way while another is decoded.
struct Asker<'a> {
    source: &'a crate::source::Zendesk,
    export: Export,
    stream: overlock_core::StreamName,
    /// Who has the page then; nobody, to look at it beforehand.
    member: &'static str,
    include: Option<&'static str>,
}

impl<'p, 'a> Pass<'p, 'a> {
    fn new(reader: &'p mut Reader<'a>, export: Export, take: Take) -> Self {
        Self {
            reader,
            export,
            makes: take,
            fell_back: false,
            flight: VecDeque::new(),
            records: 0,
            without_metrics: 0,
            gone: 0,
        }
    }

    fn asker(&self) -> Asker<'a> {
        let (sideload, stream) = match self.export {
            Export::Tickets => ("metric_sets", "ticket_metrics"),
            Export::Users => ("identities", "user_identities"),
        };
        // The same for all streams of the run, so that they share their pages.
        let shared = self.reader.source.shared();
        let wanted = shared.is_wanted(self.export.list(), stream)
            || matches!(
                (self.export, self.makes),
                (_, Take::Metrics | Take::Identities)
            );
        Asker {
            source: self.reader.source,
            export: self.export,
            stream: self.reader.stream.name.clone(),
            member: self.reader.name(),
            include: wanted.then_some(sideload),
        }
    }

    fn begin(&self) -> At {
        match &self.reader.position.cursor {
            Some(cursor) => At::Cursor(cursor.clone()),
            None => At::Start(self.reader.start()),
        }
    }

    async fn look(&self, at: &At) -> Result<Page> {
        // The page stays for the read that may follow.
        let asker = Asker {
            member: "",
            ..self.asker()
        };
        asker.page(at).await
    }

    async fn run(&mut self, out: &mut Out) -> Result<()> {
        self.follow(out).await?;
        self.report();
        Ok(())
    }

    async fn follow(&mut self, out: &mut Out) -> Result<()> {
        let asker = self.asker();
        let before = self.reader.position.clone();
        let mut at = self.begin();
        let mut page = match asker.page(&at).await {
            Err(error) if Meaning::of(&error) == Some(Meaning::TooRecent) => {
                self.reader.position.at.get_or_insert(self.reader.since);
                self.reader.position.open = false;
                return self.reader.give(out, Vec::new()).await;
            }
            Err(error) => {
                at = self.fall_back(&at, error)?;
                asker.page(&at).await?
            }
            Ok(page) => page,
        };
        let mut empty_pages = 0;
        loop {
            let next = Self::next(&page, &at)?;
            empty_pages = if page.is_empty() { empty_pages + 1 } else { 0 };
            if empty_pages > limits::MAX_EMPTY_EXPORT_PAGES {
                return Err(stuck("it sends only empty pages"));
            }
            if next.as_ref() == Some(&at) {
                asker.source.shared().forget(self.export.list());
            }
            let ahead: OptionFuture<_> = next.as_ref().map(|next| asker.page(next)).into();
            self.start(&page, next.is_none())?;
            // One page is decoded while the one before it goes out and the one behind it comes in.
            let waiting = usize::from(next.is_some());
            let (taken, ahead) = join(self.take(waiting, &before, out), ahead).await;
            let is_past = taken?;
            let (Some(next), Some(ahead), false) = (next, ahead, is_past) else {
                return Ok(());
            };
            at = next;
            page = match ahead {
                Ok(page) => page,
                Err(error) => {
                    if self.take(0, &before, out).await? {
                        return Ok(());
                    }
                    at = self.fall_back(&at, error)?;
                    asker.page(&at).await?
                }
            };
        }
    }

    /// Begins with a page.
    fn start(&mut self, page: &Page, is_end: bool) -> Result<()> {
        let begun = match self.makes {
            Take::Rows => Begun::Rows(self.reader.decoder.start(page.records())?),
            Take::Metrics => self.metrics(page)?,
            Take::Identities => self.identities(page)?,
            Take::Below { .. } => Begun::Below,
        };
        self.flight.push_back(Flight {
            page: page.clone(),
            begun,
            is_end,
        });
        Ok(())
    }

    /// Hands over the pages that were begun but for the newest `waiting` ones, each with the position behind it; says
    /// whether the end of the run was passed.
    async fn take(&mut self, waiting: usize, before: &Position, out: &mut Out) -> Result<bool> {
        while self.flight.len() > waiting {
            let Some(flight) = self.flight.pop_front() else {
                break;
            };
            if self.land(flight, before, out).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn land(&mut self, flight: Flight, before: &Position, out: &mut Out) -> Result<bool> {
        let Flight {
            page,
            begun,
            is_end,
        } = flight;
        let Delivered {
            batches,
            newest,
            count,
        } = self.finish(&page, begun, out).await?;
        self.records += count;
        // A stamp of the future is no place to go on from.
        let now = self.reader.client().server_time().unwrap_or(i64::MAX);
        let newest = newest.filter(|newest| *newest <= now);
        let position = &mut self.reader.position;
        position.at = position.at.max(newest).or(Some(self.reader.since));
        if let Some(cursor) = &page.paging.after_cursor {
            position.cursor = Some(cursor.clone());
        }
        let is_past = newest.is_some_and(|newest| newest >= self.reader.until.seconds());
        let ends = is_end || is_past;
        if ends && self.records == 0 && before.cursor.is_some() && !self.fell_back {
            // Nothing was new: a state that moves by itself would be a commit of nothing.
            self.reader.position = before.clone();
        }
        if ends {
            self.reader.position.open = false;
        }
        if ends || count > 0 {
            self.reader.give(out, batches).await?;
        }
        Ok(is_past)
    }

    /// The place behind a page; `None` at the end of the stream.
    fn next(page: &Page, at: &At) -> Result<Option<At>> {
        let paging = &page.paging;
        let cursor = paging.after_cursor.clone();
        let is_same = matches!((at, &cursor), (At::Cursor(at), Some(cursor)) if at == cursor);
        match (paging.end_of_stream, cursor) {
            (Some(true), _) => Ok(None),
            // An empty page may name its own cursor: there will be more of it in a while.
            (Some(false), Some(_)) if is_same && !page.is_empty() => {
                Err(stuck("it names the same cursor again"))
            }
            (Some(false), Some(cursor)) => Ok(Some(At::Cursor(cursor))),
            (Some(false), None) => Err(stuck("it is not at its end and names no cursor")),
            // Without the word of the server only a page without rows and a cursor that stands still are an end.
            (None, Some(cursor)) if !is_same && !page.is_empty() => Ok(Some(At::Cursor(cursor))),
            (None, _) if page.is_empty() || is_same => Ok(None),
            (None, _) => Err(stuck("it names neither an end nor a cursor")),
        }
    }

    /// Where to read on if Zendesk does not take the cursor: a second before the newest stamp that was read.
    fn fall_back(&mut self, at: &At, error: Error) -> Result<At> {
        let is_refused = matches!(
            Meaning::of(&error),
            Some(Meaning::Refused | Meaning::NoRecord)
        );
        let At::Cursor(_) = at else { return Err(error) };
        if !is_refused || self.fell_back {
            return Err(error);
        }
        self.fell_back = true;
        let now = self.reader.client().server_time().unwrap_or(i64::MAX);
        let start = self
            .reader
            .position
            .at
            .filter(|at| *at <= now)
            .map_or(self.reader.since, |at| (at - 1).max(0));
        let start = start.min(self.reader.until.minus(limits::HELD_BACK).seconds());
        self.reader.client().warn(
            "W0601",
            Some(&self.reader.stream.name),
            format!("Zendesk does not take the stored cursor any more: the export is read again from second {start}, the newest that was read, minus one; nothing is skipped"),
        );
        self.reader.position.cursor = None;
        Ok(At::Start(start))
    }

    async fn finish(&mut self, page: &Page, begun: Begun, out: &mut Out) -> Result<Delivered> {
        match begun {
            Begun::Rows(decoding) => {
                let decoded = self.reader.finish_page(page, decoding).await?;
                let mut delivered = Delivered::default();
                for Decoded { batch, seconds } in decoded {
                    delivered.count += batch.num_rows() as u64;
                    let now = self.reader.client().server_time().unwrap_or(i64::MAX);
                    let stamps = seconds.into_iter().flatten();
                    let newest = stamps.filter(|second| *second <= now).max();
                    delivered.newest = delivered.newest.max(newest);
                    delivered.batches.push(batch);
                }
                Ok(delivered)
            }
            Begun::Made {
                decoding,
                newest,
                count,
            } => {
                let (decoded, counts) = self.reader.decoder.finish(decoding).await?;
                self.reader.note(&counts);
                Ok(Delivered {
                    batches: decoded.into_iter().map(|one| one.batch).collect(),
                    newest,
                    count,
                })
            }
            Begun::Below => match self.makes {
                Take::Below { below, list } => self.below(page, below, list, out).await,
                _ => Err(Error::bug("read what is below a ticket")),
            },
        }
    }

    fn metrics(&mut self, page: &Page) -> Result<Begun> {
        let mut records = Records::default();
        let (tickets, newest) = tickets(page)?;
        let mut missing = 0;
        for ticket in &tickets {
            match ticket.metric_set {
                Some(set) => records.push(set.get()),
                None if ticket.is_deleted() => {}
                None => missing += 1,
            }
        }
        if records.len() == 0 && missing > limits::FEW {
            return Err(Error::new(
                ErrorKind::Data,
                format!("read metrics: Zendesk sent {missing} tickets that are not deleted, and none of their metrics"),
            )
            .hint("nothing is skipped: run again, and ask Zendesk if it stays so"));
        }
        self.without_metrics += missing;
        Ok(Begun::Made {
            decoding: self.reader.decoder.start(records.finish())?,
            newest,
            count: tickets.len() as u64,
        })
    }

    fn identities(&mut self, page: &Page) -> Result<Begun> {
        #[derive(Deserialize)]
        struct User<'a> {
            #[serde(borrow, default)]
            updated_at: Option<&'a str>,
            #[serde(borrow, default)]
            identities: Option<&'a RawValue>,
        }
        let mut newest = None;
        let mut count = 0;
        let mut inline = false;
        let mut records = Records::default();
        for raw in page.raw()? {
            let user: User<'_> = serde_json::from_str(raw.get()).map_err(|_| odd("a user"))?;
            newest = newest.max(user.updated_at.and_then(super::time::epoch));
            count += 1;
            if let Some(own) = user.identities
                && let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(own.get())
            {
                inline = true;
                for identity in list {
                    records.push(identity.get());
                }
            }
        }
        // Sideloads stand beside the users.
        match page.beside("identities") {
            Ok(beside) => {
                for identity in beside.raw()? {
                    records.push(identity.get());
                }
            }
            Err(_) if count == 0 || inline => {}
            Err(error) => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    "read identities: Zendesk sends the users without them",
                )
                .hint("leave the stream out; the other streams are not affected")
                .source(error));
            }
        }
        Ok(Begun::Made {
            decoding: self.reader.decoder.start(records.finish())?,
            newest,
            count,
        })
    }

    async fn below(
        &mut self,
        page: &Page,
        below: &'static str,
        list: &'static str,
        out: &mut Out,
    ) -> Result<Delivered> {
        let (tickets, newest) = tickets(page)?;
        let ids: Vec<i64> = tickets
            .iter()
            .filter(|ticket| !ticket.is_deleted())
            .map(|ticket| ticket.id)
            .collect();
        let count = tickets.len() as u64;
        let gone = children::of_tickets(self.reader, &ids, below, list, out).await?;
        if gone > limits::FEW && gone == ids.len() as u64 {
            return Err(Error::new(
                ErrorKind::Data,
                format!("believe that all {gone} tickets of a page are gone, whose {list} were asked for"),
            )
            .hint("nothing is skipped: run again, and look at the permissions of this source's user"));
        }
        self.gone += gone;
        Ok(Delivered {
            batches: Vec::new(),
            newest,
            count,
        })
    }

    fn report(&self) {
        let client = self.reader.client();
        let stream = Some(&self.reader.stream.name);
        if self.without_metrics > 0 {
            let message = format!(
                "{} tickets that are not deleted came without metrics: Zendesk sent none",
                self.without_metrics
            );
            client.warn("W0602", stream, message);
        }
        if self.gone > 0 {
            let message = format!(
                "{} tickets were deleted before what is below them could be read; it was skipped",
                self.gone
            );
            client.warn("W0603", stream, message);
        }
    }
}

impl Asker<'_> {
    async fn page(&self, at: &At) -> Result<Page> {
        let position = match at {
            At::Start(start) => format!("from {start}"),
            At::Cursor(cursor) => format!("after {cursor}"),
        };
        let position = format!("{} {position}", self.include.unwrap_or("alone"));
        let body = self
            .source
            .shared()
            .page(self.export.list(), &position, self.member, self.ask(at))
            .await?;
        Page::parse(body, self.export.list())
    }

    /// Asks for a page, for smaller ones as long as Zendesk cannot make it in time.
    async fn ask(&self, at: &At) -> Result<Bytes> {
        let size = self.source.page_size(self.export);
        adaptive(
            self.source,
            size,
            &self.stream,
            |rows| {
                let mut ask =
                    Ask::new(self.export.path(), self.export.bucket()).stream(&self.stream);
                ask = match at {
                    At::Start(start) => ask.query("start_time", &start.to_string()),
                    At::Cursor(cursor) => ask.query("cursor", cursor),
                };
                ask = ask.query("per_page", &rows.to_string());
                if let Some(include) = self.include {
                    ask = ask.query("include", include);
                }
                if self.export == Export::Tickets {
                    ask = ask.query("support_type_scope", self.source.scope().as_str());
                }
                ask
            },
            |answer| Page::parse(answer.body.clone(), self.export.list()).map(drop),
        )
        .await
    }
}

/// Asks for a page with fewer and fewer rows until Zendesk can make it.
pub(super) async fn adaptive(
    source: &crate::source::Zendesk,
    size: &PageSize,
    stream: &overlock_core::StreamName,
    make: impl Fn(u32) -> Ask,
    check: impl Fn(&Response) -> Result<()>,
) -> Result<Bytes> {
    let client = source.client();
    let mut attempt = 1;
    loop {
        let rows = size.rows.load(Ordering::Relaxed);
        let answer = client.send(&make(rows)).await;
        let error = match answer.and_then(|answer| check(&answer).map(|()| answer)) {
            Ok(answer) => {
                size.went_well();
                return Ok(answer.body);
            }
            Err(error) => error,
        };
        let is_too_large = Meaning::of(&error) == Some(Meaning::TooLarge);
        if !is_too_large && error.kind() != ErrorKind::Data {
            return Err(error);
        }
        if is_too_large && size.halve(rows) {
            attempt = 1;
        }
        client.http().retry(Some(stream), attempt, error).await?;
        attempt += 1;
    }
}

/// A page on its way to the engine.
struct Flight {
    page: Page,
    begun: Begun,
    is_end: bool,
}

/// What a page was begun with.
enum Begun {
    /// Its records, as they came.
    Rows(Decoding),
    /// Records that were made of it.
    Made {
        decoding: Decoding,
        newest: Option<i64>,
        count: u64,
    },
    /// Nothing: what is below its tickets is asked for when its turn comes.
    Below,
}

/// What came of a page.
#[derive(Default)]
struct Delivered {
    batches: Vec<RecordBatch>,
    /// The newest stamp on it.
    newest: Option<i64>,
    /// Records on it.
    count: u64,
}

/// What other streams need of a ticket.
#[derive(Deserialize)]
struct Ticket<'a> {
    id: i64,
    #[serde(default)]
    status: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    generated_timestamp: Option<i64>,
    #[serde(borrow, default)]
    metric_set: Option<&'a RawValue>,
}

impl Ticket<'_> {
    fn is_deleted(&self) -> bool {
        self.status.as_deref() == Some("deleted")
    }
}

/// The tickets of a page, the last of those with the same id, and the newest stamp.
fn tickets(page: &Page) -> Result<(Vec<Ticket<'_>>, Option<i64>)> {
    let mut tickets: Vec<Ticket<'_>> = Vec::new();
    let mut newest = None;
    for raw in page.raw()? {
        let ticket: Ticket<'_> = serde_json::from_str(raw.get()).map_err(|_| odd("a ticket"))?;
        newest = newest.max(ticket.generated_timestamp);
        tickets.push(ticket);
    }
    let mut seen = std::collections::BTreeSet::new();
    tickets.reverse();
    tickets.retain(|ticket| seen.insert(ticket.id));
    tickets.reverse();
    Ok((tickets, newest))
}

fn odd(what: &str) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!(
            "follow an export: {what} in it has no whole number as `id`, or stamps that are none"
        ),
    )
    .hint("Zendesk has changed its export: report this")
}

fn stuck(why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("get on with an export: {why}"))
        .hint("this is a problem at Zendesk: run again later; what was read is kept")
}
