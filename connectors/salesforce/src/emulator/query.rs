//! REST queries: `query`, `queryAll`, their cursors, single records and the bytes of attachments.
//!
//! A cursor remembers which rows matched; their values are read when a page is fetched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use overlock_core::Timestamp;
use overlock_sandbox::Response;

use super::answer::{Answer, Refusal, quote};
use super::bench::Selection;
use super::evaluate::{self, Column, Plan, Reader};
use super::model::{FieldKind, Row, Value};
use super::render::{Dialect, JsonWriter};
use super::service::{Ask, Call};
use super::soql;

/// Open cursors; more are dropped, oldest first.
const MAX_CURSORS: usize = 1_000;

#[derive(Debug, Clone)]
enum Matched {
    World(Arc<Vec<Arc<str>>>),
    Bench(Arc<Selection>),
}

impl Matched {
    fn count(&self) -> u64 {
        match self {
            Self::World(ids) => ids.len() as u64,
            Self::Bench(selection) => selection.count(),
        }
    }
}

#[derive(Debug, Clone)]
struct Cursor {
    plan: Arc<Plan>,
    all: bool,
    matched: Matched,
    page_rows: u64,
    opened: Timestamp,
    /// Where the page after the newest fetched one begins, for locators without an offset.
    next: u64,
}

/// Open cursors by locator.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: HashMap<String, Cursor>,
    order: Vec<String>,
}

impl Cursors {
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.order.clear();
    }

    fn keep(&mut self, locator: String, cursor: Cursor) {
        if self.order.len() >= MAX_CURSORS {
            let oldest = self.order.remove(0);
            self.open.remove(&oldest);
        }
        self.order.push(locator.clone());
        self.open.insert(locator, cursor);
    }
}

/// Parses a query and checks it against the schema and the habits of the org.
pub(super) fn prepare(call: &Call<'_>, text: &str) -> Answer<Plan> {
    let query = soql::parse(text)?;
    let named = |names: &[String]| {
        names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&query.object.text))
    };
    if named(&call.state.behaviour.not_queryable) {
        return Err(Refusal::new(
            400,
            "INVALID_TYPE_FOR_OPERATION",
            format!("entity type {} does not support query", query.object.text),
        ));
    }
    if named(&call.state.behaviour.filter_required) && query.filter.is_none() {
        return Err(Refusal::malformed(format!(
            "Implementation restriction: {} requires a filter by a single Id, ChildRecordId or ParentContentFolderId \
             using the equals operator",
            query.object.text
        )));
    }
    let plan = match call.bench_of(&query.object.text) {
        Some(bench) => {
            let object = bench.object().clone();
            evaluate::bind_to(text, &query, &call.state.world, object, call.now)?
        }
        None => evaluate::bind(text, &query, &call.state.world, call.now)?,
    };
    if !plan.object.queryable {
        return Err(Refusal::new(
            400,
            "INVALID_TYPE_FOR_OPERATION",
            format!("entity type {} does not support query", plan.object.name),
        ));
    }
    Ok(plan)
}

/// Refuses queries that the org takes too long for.
pub(super) fn within_time(call: &Call<'_>, plan: &Plan, matched: u64) -> Answer<()> {
    let behaviour = &call.state.behaviour;
    let too_wide = behaviour
        .timeout_days
        .is_some_and(|most| plan.window_days().is_none_or(|days| days > most));
    let too_many = behaviour.timeout_rows.is_some_and(|most| matched > most);
    if too_wide || too_many {
        return Err(Refusal::new(
            400,
            "QUERY_TIMEOUT",
            "Your query request was running for too long.",
        ));
    }
    Ok(())
}

/// `GET /query?q=` and `GET /queryAll?q=`.
pub(super) fn start(call: &mut Call<'_>, ask: &Ask, all: bool) -> Answer {
    let Some(text) = ask.parameter("q") else {
        return Err(Refusal::malformed("A query string has to be specified"));
    };
    let plan = prepare(call, text)?;
    let matched = if let Some(bench) = call.bench_of(&plan.object.name) {
        Matched::Bench(bench.select(&plan))
    } else {
        let reader = Reader {
            world: &call.state.world,
            at: call.now,
        };
        let rows = call.state.world.rows_at(&plan.object.name, call.now);
        let rows = reader.rows(&plan, rows, all);
        Matched::World(Arc::new(rows.into_iter().map(|row| row.id).collect()))
    };
    within_time(call, &plan, matched.count())?;
    if plan.count_only {
        let body = format!(
            "{{\"totalSize\":{},\"done\":true,\"records\":[]}}",
            matched.count()
        );
        return Ok(Response::json(200, body));
    }
    let mut cursor = Cursor {
        page_rows: page_rows(call, ask, &plan),
        plan: Arc::new(plan),
        all,
        matched,
        opened: call.now,
        next: 0,
    };
    let needs_cursor = cursor.matched.count() > cursor.page_rows;
    let locator = needs_cursor.then(|| call.state.new_id("01g"));
    cursor.next = cursor.page_rows;
    let body = page(call, ask, &cursor, 0, locator.as_deref());
    if let Some(locator) = locator {
        call.state.cursors.keep(locator, cursor);
    }
    Ok(Response::json(200, body))
}

/// `GET /query/{locator}[-{offset}]`. A repeated `q` is ignored.
pub(super) fn next(call: &mut Call<'_>, ask: &Ask, locator: &str) -> Answer {
    let invalid = || Refusal::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let (locator, offset) = match locator.rsplit_once('-') {
        Some((locator, offset)) => (locator, Some(offset.parse::<u64>().map_err(|_| invalid())?)),
        None => (locator, None),
    };
    let lifetime = Duration::from_secs(call.state.behaviour.cursor_secs);
    let cursor = call
        .state
        .cursors
        .open
        .get_mut(locator)
        .ok_or_else(invalid)?;
    if call.now.since(cursor.opened) >= lifetime {
        call.state.cursors.open.remove(locator);
        return Err(invalid());
    }
    let offset = offset.unwrap_or(cursor.next);
    if offset > cursor.matched.count() {
        return Err(invalid());
    }
    cursor.next = offset + cursor.page_rows;
    let cursor = cursor.clone();
    Ok(Response::json(
        200,
        page(call, ask, &cursor, offset, Some(locator)),
    ))
}

/// Rows per page: what the client asks for within the limits, fewer for wide rows.
fn page_rows(call: &Call<'_>, ask: &Ask, plan: &Plan) -> u64 {
    let behaviour = &call.state.behaviour;
    let asked = ask
        .header("sforce-query-options")
        .split(',')
        .find_map(|option| option.trim().strip_prefix("batchSize="))
        .and_then(|size| size.trim().parse::<u64>().ok());
    let least = if behaviour.tiny_batches { 1 } else { 200 };
    let size = asked.map_or(behaviour.query_page_rows, |size| size.clamp(least, 2_000));
    match plan.columns.len() {
        0..=150 => size,
        151..=400 => size.min(500),
        _ => size.min(250),
    }
    .max(1)
}

fn page(call: &Call<'_>, ask: &Ask, cursor: &Cursor, offset: u64, locator: Option<&str>) -> String {
    let total = cursor.matched.count();
    let end = total.min(offset.saturating_add(cursor.page_rows));
    let version = ask.version_segment();
    let mut body = format!("{{\"totalSize\":{total},\"done\":{}", end >= total);
    if let (Some(locator), true) = (locator, end < total) {
        let next = format!("/services/data/{version}/query/{locator}-{end}");
        body.extend([",\"nextRecordsUrl\":".to_owned(), quote(&next)]);
    }
    body.push_str(",\"records\":[");
    let world = &call.state.world;
    let writer = JsonWriter {
        reader: Reader {
            world,
            at: call.now,
        },
        version: &version,
        dialect: Dialect::Rest,
    };
    let name = &cursor.plan.object.name;
    let join = |rows: &mut dyn Iterator<Item = Row>| {
        let mut records = String::new();
        for row in rows {
            if !records.is_empty() {
                records.push(',');
            }
            writer.record(&mut records, name, &cursor.plan.columns, &row);
        }
        records
    };
    match &cursor.matched {
        Matched::World(ids) => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let count = usize::try_from(end - offset).unwrap_or(usize::MAX);
            // Rows that went away meanwhile are missing from the page.
            let rows = ids.iter().skip(from).take(count);
            let rows = rows.filter_map(|id| world.row_at(name, id, call.now));
            let mut rows = rows.filter(|row| cursor.all || !row.version.is_deleted);
            body.push_str(&join(&mut rows));
        }
        Matched::Bench(selection) => {
            let mut rows = (offset..end).filter_map(|position| selection.row(position));
            if offset == 0 && end == cursor.page_rows {
                body.push_str(
                    &selection.first_page(&format!("{version} {end}"), || join(&mut rows)),
                );
            } else {
                body.push_str(&join(&mut rows));
            }
        }
    }
    body.push_str("]}");
    body
}

/// `GET /sobjects/{name}/{id}`.
pub(super) fn record(call: &mut Call<'_>, ask: &Ask, name: &str, id: &str) -> Answer {
    let object = call
        .object_at(name, call.now)
        .ok_or_else(Refusal::not_found)?;
    let row = call
        .state
        .world
        .row_at(&object.name, id, call.now)
        .filter(|row| !row.version.is_deleted)
        .ok_or_else(Refusal::not_found)?;
    let mut columns = Vec::new();
    match ask.parameter("fields") {
        None => columns.extend(object.fields.iter().cloned().map(Box::new).map(Column::Own)),
        Some(names) => {
            for name in names.split(',').map(str::trim) {
                let field = object.field(name).ok_or_else(|| {
                    Refusal::invalid_field(format!(
                        "No such column '{name}' on sobject of type {}",
                        object.name
                    ))
                })?;
                columns.push(Column::Own(Box::new(field.clone())));
            }
        }
    }
    let version = ask.version_segment();
    let writer = JsonWriter {
        reader: Reader {
            world: &call.state.world,
            at: call.now,
        },
        version: &version,
        dialect: Dialect::Rest,
    };
    let mut body = String::new();
    writer.record(&mut body, &object.name, &columns, &row);
    Ok(Response::json(200, body))
}

/// `GET /sobjects/{name}/{id}/{field}`: the bytes of a base64 field.
pub(super) fn blob(call: &mut Call<'_>, name: &str, id: &str, field: &str) -> Answer {
    let object = call
        .object_at(name, call.now)
        .ok_or_else(Refusal::not_found)?;
    let field = object
        .field(field)
        .filter(|field| field.kind == FieldKind::Base64)
        .ok_or_else(Refusal::not_found)?;
    let row = call
        .state
        .world
        .row_at(&object.name, id, call.now)
        .ok_or_else(Refusal::not_found)?;
    let Value::Text(text) = row.version.get(field.slot) else {
        return Err(Refusal::not_found());
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .unwrap_or_else(|_| text.as_bytes().to_vec());
    Ok(Response::of(200, "application/octet-stream", bytes))
}
