//! Lists that are read whole each time: what is new, changed or gone is known by comparison with the last time.
//!
//! The order of such a list says nothing about time, and stamps may be missing or stand still; so each row is compared
//! by its whole content, and the position moves only behind the last page.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt as _;
use overlock_core::{Error, ErrorKind, Result};
use overlock_kit::http::Response;
use overlock_kit::out::Out;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Reader;
use super::children::{Next, all, follow};
use super::cursor::adaptive;
use super::records::Records;
use crate::client::{Ask, Bucket};
use crate::columns::Deleted;
use crate::decode;
use crate::envelope::Page;
use crate::errors::Meaning;
use crate::limits;
use crate::snapshot::{Last, Rows, Snapshots};
use crate::source::PageSize;
use crate::streams::{List, Paging};

/// Reads a list.
pub(super) async fn read(reader: &mut Reader<'_>, list: List, out: &mut Out) -> Result<()> {
    let mut listing = Listing::new(reader);
    match list.paging {
        Paging::Object => {
            let ask = Ask::new(list.path, list.bucket).stream(&reader.stream.name);
            let body = reader
                .client()
                .read(&ask, |answer| object(&answer.body, list.key))
                .await?;
            listing.take(reader, body, out).await?;
        }
        Paging::Cursor | Paging::Offset | Paging::One => {
            let mut pages = Pages::new(list);
            while let Some(page) = pages.next(reader).await? {
                let decoded = reader.decode_page(&page).await?;
                let batches = decoded.into_iter().map(|one| one.batch).collect();
                listing.take_batches(reader, batches, out).await?;
            }
        }
    }
    listing.finish(reader, out).await
}

/// The pages of a list, one after the other.
struct Pages {
    path: String,
    key: &'static str,
    bucket: Bucket,
    paging: Paging,
    size: PageSize,
    at: Option<Next>,
    read: u32,
    empty: u32,
}

impl Pages {
    fn new(list: List) -> Self {
        Self::at(list.path.to_owned(), list.key, list.bucket, list.paging)
    }

    fn at(path: String, key: &'static str, bucket: Bucket, paging: Paging) -> Self {
        let first = match paging {
            Paging::Offset => Next::Number(1),
            _ => Next::Cursor(None),
        };
        Self {
            path,
            key,
            bucket,
            paging,
            size: PageSize::new(limits::LIST_ROWS),
            at: Some(first),
            read: 0,
            empty: 0,
        }
    }

    async fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Page>> {
        let Some(at) = self.at.take() else {
            return Ok(None);
        };
        let ask = || Ask::new(&self.path, self.bucket).stream(&reader.stream.name);
        let parse = |answer: &Response| Page::parse(answer.body.clone(), self.key);
        let page = match (&at, self.paging) {
            // All in one answer, as far as is known; if that names another page, it is followed.
            (Next::Cursor(None), Paging::One | Paging::Object) => {
                reader.client().read(&ask(), parse).await?
            }
            // Never with another size than the page before: numbers count rows.
            (Next::Number(page), _) => {
                let ask = ask()
                    .query("per_page", &limits::LIST_ROWS.to_string())
                    .query("page", &page.to_string());
                reader.client().read(&ask, parse).await?
            }
            (Next::Cursor(cursor), _) => {
                let make = |rows: u32| {
                    let ask = ask().query("page[size]", &rows.to_string());
                    match cursor {
                        Some(cursor) => ask.query("page[after]", cursor),
                        None => ask,
                    }
                };
                let name = &reader.stream.name;
                let check = |answer: &Response| parse(answer).map(drop);
                let body = adaptive(reader.source, &self.size, name, make, check).await?;
                Page::parse(body, self.key)?
            }
        };
        self.read += 1;
        self.empty = if page.is_empty() { self.empty + 1 } else { 0 };
        if self.read > limits::MAX_LIST_PAGES || self.empty > limits::MAX_EMPTY_PAGES {
            return Err(Error::new(
                ErrorKind::Data,
                "get to the end of a list: Zendesk names more and more pages",
            ));
        }
        self.at = follow(&page, &at)?;
        Ok(Some(page))
    }
}

/// `{"settings":{...}}` as a list of one record, with the name as its id.
fn object(body: &[u8], key: &str) -> Result<Bytes> {
    let wrong = || {
        Error::new(
            ErrorKind::Data,
            format!("read an answer: it has no object `{key}`"),
        )
    };
    let all: BTreeMap<&str, &RawValue> = serde_json::from_slice(body).map_err(|_| wrong())?;
    let one = all.get(key).map(|one| one.get()).ok_or_else(wrong)?;
    if !one.starts_with('{') {
        return Err(wrong());
    }
    let mut records = Records::default();
    records.push_with(one, &format!("\"id\":\"{key}\""));
    Ok(records.finish())
}

/// A list on its way, beside what it was like the last time.
struct Listing {
    snapshots: Snapshots,
    last: Last,
    rows: Rows,
}

impl Listing {
    fn new(reader: &Reader<'_>) -> Self {
        let snapshots = Snapshots::new(reader.source.lists(), reader.name());
        let last = snapshots.last(&reader.position);
        Self {
            snapshots,
            last,
            rows: Rows::new(),
        }
    }

    /// Hands over the rows that are new or have changed.
    async fn take(&mut self, reader: &mut Reader<'_>, records: Bytes, out: &mut Out) -> Result<()> {
        let batches = reader.batches(records).await?;
        self.take_batches(reader, batches, out).await
    }

    async fn take_batches(
        &mut self,
        reader: &Reader<'_>,
        batches: Vec<RecordBatch>,
        out: &mut Out,
    ) -> Result<()> {
        for batch in batches {
            let keys = decode::keys(&batch, &reader.stream.primary_key)?;
            let hashes = decode::hashes(&batch)?;
            let mut keep = Vec::with_capacity(batch.num_rows());
            for (key, hash) in keys.into_iter().zip(hashes) {
                let known = match &self.last {
                    Last::Known(rows) => rows.get(&key) == Some(&hash),
                    Last::Never | Last::Lost => false,
                };
                // A row that moved to another page while the list was read comes twice.
                let again = self.rows.insert(key, hash) == Some(hash);
                keep.push(!known && !again);
            }
            let batch = decode::filter(&batch, keep)?;
            if batch.num_rows() > 0 {
                out.page(batch, None).await?;
            }
        }
        Ok(())
    }

    /// Hands over the rows that are gone, and the position.
    async fn finish(self, reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let client = reader.client();
        let stream = &reader.stream.name;
        match &self.last {
            Last::Known(before) if reader.spec.deleted != Deleted::Never => {
                let gone: BTreeMap<String, u64> = before
                    .iter()
                    .filter(|(key, _)| !self.rows.contains_key(*key))
                    .map(|(key, hash)| (key.clone(), *hash))
                    .collect();
                let is_left = self.rows.len() * 10 >= before.len();
                if !is_left && gone.len() > 1 {
                    return Err(Error::new(
                        ErrorKind::Data,
                        format!(
                            "believe a list of {} rows: it had {} the last time, and {} of them would be marked as deleted",
                            self.rows.len(),
                            before.len(),
                            gone.len()
                        ),
                    )
                    .hint("look at the permissions of this source's user; if they are really gone, run this stream once with --full-refresh and allow_empty_replace = true"));
                }
                if !gone.is_empty() {
                    batches.push(decode::tombstones(&reader.stream, &gone)?);
                }
            }
            Last::Lost if reader.spec.deleted != Deleted::Never => client.warn(
                "W0604",
                Some(stream),
                "what this list was like the last time is not on this machine: rows that were deleted since then stay in the table. Run this stream once with --full-refresh, or keep the work folder",
            ),
            _ => {}
        }
        // What is gone for good, but stays in the table, is no longer compared.
        self.snapshots.keep(&mut reader.position, &self.rows)?;
        reader.give(out, batches).await
    }
}

/// The definitions of custom fields and of their options, of tickets, users and organizations.
pub(super) async fn dictionary(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    #[derive(Deserialize)]
    struct Field<'a> {
        id: i64,
        #[serde(borrow, default)]
        key: Option<&'a RawValue>,
        #[serde(borrow, default, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow, default)]
        title: Option<&'a RawValue>,
        #[serde(borrow, default)]
        active: Option<&'a RawValue>,
        #[serde(default)]
        removable: Option<bool>,
        #[serde(borrow, default)]
        custom_field_options: Option<Vec<Choice<'a>>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        id: i64,
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        value: Option<&'a RawValue>,
        #[serde(borrow, default)]
        default: Option<&'a RawValue>,
    }
    let null = |raw: Option<&RawValue>| raw.map_or("null".to_owned(), |raw| raw.get().to_owned());
    let mut listing = Listing::new(reader);
    for (object, list) in [
        ("ticket", "ticket_fields"),
        ("user", "user_fields"),
        ("organization", "organization_fields"),
    ] {
        let mut pages = Pages::new(List {
            path: list,
            key: list,
            paging: Paging::Cursor,
            bucket: Bucket::Plan,
        });
        while let Some(page) = pages.next(reader).await? {
            let mut records = Records::default();
            for raw in page.raw()? {
                let field: Field<'_> = serde_json::from_str(raw.get()).map_err(|_| {
                    Error::new(
                        ErrorKind::Schema,
                        format!("read a definition of {list}: it has no whole number as `id`"),
                    )
                })?;
                let column = match object {
                    // Fields of every ticket have columns of their own names.
                    "ticket" if field.removable != Some(false) => {
                        format!("\"{}{}\"", decode::CUSTOM, field.id)
                    }
                    _ => "null".to_owned(),
                };
                let common = format!(
                    "\"object\":\"{object}\",\"field_id\":{},\"field_key\":{},\"field_type\":{},\"title\":{},\"column_name\":{column},\"active\":{}",
                    field.id,
                    null(field.key),
                    null(field.kind),
                    null(field.title),
                    null(field.active),
                );
                records.push(&format!("{{\"id\":\"{object}/{}\",{common}}}", field.id));
                for choice in field.custom_field_options.unwrap_or_default() {
                    records.push(&format!(
                        "{{\"id\":\"{object}/{}/{}\",{common},\"option_id\":{},\"option_name\":{},\"option_value\":{},\"option_default\":{}}}",
                        field.id,
                        choice.id,
                        choice.id,
                        null(choice.name),
                        null(choice.value),
                        null(choice.default),
                    ));
                }
            }
            listing.take(reader, records.finish(), out).await?;
        }
    }
    listing.finish(reader, out).await
}

/// The records of every custom object.
pub(super) async fn custom_records(reader: &mut Reader<'_>, out: &mut Out) -> Result<()> {
    #[derive(Deserialize)]
    struct Object {
        key: String,
    }
    let mut listing = Listing::new(reader);
    let mut objects = Pages::at(
        "custom_objects".to_owned(),
        "custom_objects",
        Bucket::Plan,
        Paging::One,
    );
    while let Some(page) = objects.next(reader).await? {
        for raw in page.raw()? {
            let object: Object = serde_json::from_str(raw.get()).map_err(|_| {
                Error::new(
                    ErrorKind::Schema,
                    "read the custom objects: one has no `key`",
                )
            })?;
            let key = serde_json::to_string(&object.key)
                .map_err(|error| Error::bug("write a key as JSON").source(error))?;
            let more = format!("\"custom_object_key\":{key}");
            let path = format!(
                "custom_objects/{}/records",
                overlock_kit::http::encode(&object.key)
            );
            let mut pages = Pages::at(path, "custom_object_records", Bucket::Plan, Paging::Cursor);
            while let Some(page) = pages.next(reader).await? {
                let mut records = Records::default();
                for raw in page.raw()? {
                    records.push_with(raw.get(), &more);
                }
                listing.take(reader, records.finish(), out).await?;
            }
        }
    }
    listing.finish(reader, out).await
}

/// A list below each row of another list.
pub(super) async fn per_parent(
    reader: &mut Reader<'_>,
    parents: List,
    below: &'static str,
    list: &'static str,
    column: &'static str,
    out: &mut Out,
) -> Result<()> {
    #[derive(Deserialize)]
    struct Parent {
        id: i64,
    }
    let mut listing = Listing::new(reader);
    let stream = reader.stream.name.clone();
    let client = reader.client();
    let mut gone = 0_u64;
    let mut pages = Pages::new(parents);
    while let Some(page) = pages.next(reader).await? {
        let ids: Vec<i64> = page
            .raw()?
            .into_iter()
            .map(|raw| serde_json::from_str::<Parent>(raw.get()).map(|parent| parent.id))
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| {
                Error::new(
                    ErrorKind::Schema,
                    format!("read {}: one has no whole number as `id`", parents.key),
                )
            })?;
        let mut answers = futures::stream::iter(ids)
            .map(|id| {
                let path = format!("{}/{id}/{below}", parents.path);
                let stream = stream.clone();
                async move {
                    let pages = all(client, &path, list, parents.bucket, &stream).await;
                    (id, pages)
                }
            })
            .buffered(reader.source.calls_at_once());
        let mut records = Records::default();
        while let Some((id, pages)) = answers.next().await {
            let pages = match pages {
                Ok(pages) => pages,
                // Deleted since its list was read.
                Err(error) if Meaning::of(&error) == Some(Meaning::NoRecord) => {
                    gone += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for page in &pages {
                for raw in page.raw()? {
                    records.push_with(raw.get(), &format!("\"{column}\":{id}"));
                }
            }
        }
        drop(answers);
        listing.take(reader, records.finish(), out).await?;
    }
    if gone > 0 {
        let message = format!(
            "{gone} of {} were deleted before what is below them could be read; it was skipped",
            parents.key
        );
        client.warn("W0603", Some(&stream), message);
    }
    listing.finish(reader, out).await
}
