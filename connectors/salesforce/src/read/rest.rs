//! REST queries: small slices in one or few calls, and what Bulk cannot deliver.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use bytes::Bytes;
use overlock_core::{Error, ErrorKind, Result};
use overlock_kit::http::Request;
use overlock_kit::rows::{Counts, JsonDecoder, Options};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Place, Reader};
use crate::api;
use crate::errors::Meaning;
use crate::limits;
use crate::state::QueryAt;
use overlock_kit::out::Out;

/// The first page of a query, not decoded yet.
pub(super) struct First {
    /// Rows the query has.
    pub(super) total: u64,
    body: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryPage<'a> {
    pub(super) total_size: u64,
    pub(super) done: bool,
    #[serde(default)]
    pub(super) next_records_url: Option<String>,
    #[serde(borrow)]
    pub(super) records: &'a RawValue,
}

impl<'a> QueryPage<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(body).map_err(|error| {
            Error::new(
                ErrorKind::Data,
                format!(
                    "read a page of a query: it is not of the documented form at line {} column {}",
                    error.line(),
                    error.column()
                ),
            )
        })
    }
}

/// Fetches a page and makes sure that it is one.
pub(super) async fn fetch(reader: &Reader<'_>, path: &str) -> Result<Bytes> {
    let mut attempt = 1;
    loop {
        let request = Request::get(path).stream(&reader.stream.name).header(
            "sforce-query-options",
            &format!("batchSize={}", reader.source.tuning().rest_page_rows),
        );
        let body = reader.client().send(request).await?.body;
        let Err(error) = QueryPage::parse(&body) else {
            return Ok(body);
        };
        let name = Some(&reader.stream.name);
        reader.client().http().retry(name, attempt, error).await?;
        attempt += 1;
    }
}

/// The first page of a query.
pub(super) async fn first(reader: &Reader<'_>, path: &str) -> Result<First> {
    let body = fetch(reader, path).await?;
    let total = QueryPage::parse(&body)?.total_size;
    Ok(First { total, body })
}

/// A text value of the first row of a query; `None` if it has no rows.
pub(super) async fn first_text(
    reader: &Reader<'_>,
    soql: &str,
    field: &str,
) -> Result<Option<String>> {
    let path = reader.client().version().query_all(soql);
    let body = fetch(reader, &path).await?;
    let page = QueryPage::parse(&body)?;
    let rows: Vec<std::collections::HashMap<&str, &RawValue>> =
        serde_json::from_str(page.records.get())
            .map_err(|_| Error::new(ErrorKind::Data, "read the first row of a query"))?;
    let value = rows.first().and_then(|row| row.get(field));
    Ok(value.and_then(|value| serde_json::from_str(value.get()).ok()))
}

/// Yields all pages of a query.
pub(super) async fn deliver(
    reader: &Reader<'_>,
    place: &Place,
    first: First,
    out: &mut Out,
) -> Result<()> {
    reader.client().expect(&reader.stream.name, first.total);
    let at = QueryAt {
        next: String::new(),
        total: first.total,
        rows: 0,
    };
    follow(reader, place, at, first.body, out).await
}

/// Goes on with a query of an earlier run.
pub(super) async fn resume(
    reader: &Reader<'_>,
    place: &Place,
    at: QueryAt,
    out: &mut Out,
) -> Result<()> {
    let path = reader.client().version().next_query(&at.next);
    let body = fetch(reader, &path).await.map_err(expire_if_gone)?;
    follow(reader, place, at, body, out).await
}

fn expire_if_gone(error: Error) -> Error {
    if Meaning::of(&error) != Some(Meaning::Gone) {
        return error;
    }
    Error::new(
        ErrorKind::StateExpired,
        "go on with a query: its cursor is gone at Salesforce",
    )
    .hint("the stream is read again from its last commit; cursors are kept for two days")
    .source(error)
}

async fn follow(
    reader: &Reader<'_>,
    place: &Place,
    mut at: QueryAt,
    mut body: Bytes,
    out: &mut Out,
) -> Result<()> {
    let mut seen = HashSet::new();
    let mut empty_pages = 0_u32;
    let is_single_page = at.rows == 0 && QueryPage::parse(&body)?.done;
    loop {
        let next = {
            let page = QueryPage::parse(&body)?;
            match (page.done, page.next_records_url) {
                (true, _) => None,
                (false, Some(link)) => Some(link),
                (false, None) => {
                    return Err(Error::new(
                        ErrorKind::Data,
                        "go on with a query: it is not done and has no next page",
                    ));
                }
            }
        };
        let (mut batches, counts) = decode(reader, body.clone()).await?;
        for batch in &batches {
            reader.inspect(batch, &counts)?;
        }
        at.rows += counts.rows;
        let last = batches.pop().unwrap_or_else(|| reader.empty());
        for batch in batches {
            out.page(batch, None).await?;
        }
        let Some(link) = next else {
            check_total(reader, &at, is_single_page)?;
            return out.page(last, Some(reader.state(&place.after)?)).await;
        };
        empty_pages = if counts.rows == 0 { empty_pages + 1 } else { 0 };
        let path = reader.client().http().link(&link).await?;
        at.next = api::query_token(&path)?;
        if !seen.insert(at.next.clone()) || empty_pages >= limits::MAX_EMPTY_PAGES {
            return Err(Error::new(
                ErrorKind::Data,
                "get on with a query: Salesforce names a page that was read already, or only empty ones",
            ));
        }
        let state = reader.state(&place.inside(None, Some(at.clone())))?;
        out.page(last, Some(state)).await?;
        body = fetch(reader, &path).await.map_err(expire_if_gone)?;
    }
}

/// Rows that are deleted for good while a query is paged may be missing; anything else must balance.
fn check_total(reader: &Reader<'_>, at: &QueryAt, is_single_page: bool) -> Result<()> {
    let (rows, total) = (at.rows, at.total);
    if rows == total {
        return Ok(());
    }
    let is_few = rows < total && (total - rows).saturating_mul(1_000) < total;
    if is_few && !is_single_page {
        let message = format!(
            "a query announced {total} rows and sent {rows}: some were deleted for good meanwhile"
        );
        reader
            .client()
            .warn("W0505", Some(&reader.stream.name), message);
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Data,
        format!("balance a query: it announced {total} rows and sent {rows}"),
    ))
}

async fn decode(reader: &Reader<'_>, body: Bytes) -> Result<(Vec<RecordBatch>, Counts)> {
    let (schema, options) = (reader.schema(), reader.options());
    let work = move || {
        let page = QueryPage::parse(&body)?;
        decode_records(schema, options, page.records.get().as_bytes())
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::bug("decode a page of a query").source(error))?
}

/// Decodes a JSON array of records.
pub(super) fn decode_records(
    schema: arrow::datatypes::SchemaRef,
    options: Options,
    records: &[u8],
) -> Result<(Vec<RecordBatch>, Counts)> {
    let mut batches = Vec::new();
    let counts = JsonDecoder::new(schema, options)?.page(records, &mut batches)?;
    Ok((batches, counts))
}
