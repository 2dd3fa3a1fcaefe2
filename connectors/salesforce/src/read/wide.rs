//! Objects that Bulk refuses and whose query does not fit a URI: read in ranges of Ids, each range in
//! several queries of some columns, whose rows are put together by Id.
//!
//! The ranges are closed: the first query of a range finds its last Id, the others ask for exactly the
//! rows up to it. A row that is missing in one of them changed or went away meanwhile; then the range is
//! read again, so that no row is made of pieces of two versions unnoticed.

use std::collections::HashMap;
use std::fmt::Write as _;

use overlock_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;

use super::rest::{QueryPage, decode_records, fetch};
use super::{Place, Reader};
use crate::api::{Direction, Select, id_range};
use crate::limits;
use crate::state::{Position, Slice};
use overlock_kit::out::Out;

/// One row: its fields as the server wrote them.
type Row = Vec<(String, Box<RawValue>)>;

/// How often a range is read before it counts as impossible.
const RANGE_ATTEMPTS: u32 = 4;

pub(super) async fn deliver(reader: &Reader<'_>, place: &Place, out: &mut Out) -> Result<()> {
    let fields = reader.fields();
    if !fields.iter().any(|field| field == "Id") {
        return Err(Error::new(
            ErrorKind::Config,
            "read an object without Id whose query is too long for REST and which Bulk refuses",
        )
        .hint("select fewer columns"));
    }
    let groups = groups(reader, &place.slice, &fields)?;
    let mut slice = place.slice.clone();
    loop {
        let Some((through, rows)) = range(reader, &slice, &groups).await? else {
            let state = reader.state(&place.after)?;
            return out.page(reader.empty(), Some(state)).await;
        };
        let records = render(&rows);
        let (schema, options) = (reader.schema(), reader.options());
        let work = move || decode_records(schema, options, records.as_bytes());
        let (mut batches, counts) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::bug("decode a range of rows").source(error))??;
        for batch in &batches {
            reader.inspect(batch, &counts)?;
        }
        slice.after = Some(through);
        let inside = Position::at(place.from).inside(slice.clone(), None, None);
        let state = reader.state(&inside)?;
        let last = batches.pop().unwrap_or_else(|| reader.empty());
        for batch in batches {
            out.page(batch, None).await?;
        }
        out.page(last, Some(state)).await?;
    }
}

/// Columns in groups whose queries fit a URI; each has `Id`, and the key that windows are cut by, so that
/// pieces of two versions can be told.
fn groups(reader: &Reader<'_>, slice: &Slice, fields: &[String]) -> Result<Vec<Vec<String>>> {
    let key = reader.key.as_ref().map(|(key, _)| key.as_str());
    let shared: Vec<String> = fields
        .iter()
        .filter(|field| *field == "Id" || Some(field.as_str()) == key)
        .cloned()
        .collect();
    let longest = Slice {
        after: Some(limits::CONSTANT_ID.to_owned()),
        through: Some(limits::CONSTANT_ID.to_owned()),
        ..slice.clone()
    };
    let length = |group: &[String]| {
        let select = Select {
            order_by: Some(("Id", Direction::Up)),
            limit: Some(limits::REST_PAGE_ROWS),
            ..reader.select(&longest, group)
        };
        reader.client().version().query_all(&select.to_soql()).len()
    };
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut group = shared.clone();
    for field in fields.iter().filter(|field| !shared.contains(field)) {
        group.push(field.clone());
        if length(&group) <= reader.source.tuning().max_query_bytes {
            continue;
        }
        group.pop();
        if group.len() == shared.len() {
            return Err(
                Error::new(ErrorKind::Config, "fit the stream's filter into a query")
                    .hint("write a shorter filter"),
            );
        }
        groups.push(std::mem::replace(&mut group, shared.clone()));
        group.push(field.clone());
    }
    groups.push(group);
    Ok(groups)
}

/// The rows of the next range and its last Id; `None` at the end.
async fn range(
    reader: &Reader<'_>,
    slice: &Slice,
    groups: &[Vec<String>],
) -> Result<Option<(String, Vec<Row>)>> {
    let mut attempt = 1;
    loop {
        let Some((head, others)) = groups.split_first() else {
            return Ok(None);
        };
        let mut rows = rows(
            reader,
            slice,
            head,
            Some(reader.source.tuning().rest_page_rows),
        )
        .await?;
        let Some(through) = rows.last().and_then(id) else {
            return Ok(None);
        };
        let closed = Slice {
            through: Some(through.clone()),
            ..slice.clone()
        };
        let mut fits = true;
        for group in others {
            let pieces = self::rows(reader, &closed, group, None).await?;
            fits = fits
                && join(
                    &mut rows,
                    pieces,
                    reader.key.as_ref().map(|(key, _)| key.as_str()),
                );
        }
        if fits {
            return Ok(Some((through, rows)));
        }
        let error = Error::new(
            ErrorKind::Data,
            "put the columns of a wide object together: its rows change faster than they are read",
        )
        .hint("select fewer columns, so that one query is enough");
        if attempt >= RANGE_ATTEMPTS {
            return Err(error);
        }
        let name = Some(&reader.stream.name);
        reader.client().http().retry(name, attempt, error).await?;
        attempt += 1;
    }
}

/// All rows of one query, ordered by Id.
async fn rows(
    reader: &Reader<'_>,
    slice: &Slice,
    group: &[String],
    limit: Option<u32>,
) -> Result<Vec<Row>> {
    let mut conditions = reader.conditions(&Slice {
        after: None,
        through: None,
        ..slice.clone()
    });
    conditions.extend(id_range(slice.after.as_deref(), slice.through.as_deref()));
    let select = Select {
        fields: group.iter().map(String::as_str).collect(),
        object: reader.stream.name.as_str(),
        conditions,
        order_by: Some(("Id", Direction::Up)),
        limit,
    };
    let mut path = reader.client().version().query_all(&select.to_soql());
    let mut rows = Vec::new();
    loop {
        let body = fetch(reader, &path).await?;
        let page = QueryPage::parse(&body)?;
        let found: Vec<HashMap<String, Box<RawValue>>> =
            serde_json::from_str(page.records.get())
                .map_err(|_| Error::new(ErrorKind::Data, "read the rows of a query"))?;
        let is_empty = found.is_empty();
        rows.extend(found.into_iter().map(|row| {
            row.into_iter()
                .filter(|(name, _)| name != "attributes")
                .collect::<Row>()
        }));
        match page.next_records_url {
            Some(link) if !page.done && !is_empty => {
                path = reader.client().http().link(&link).await?;
            }
            _ => return Ok(rows),
        }
    }
}

fn value<'r>(row: &'r Row, name: &str) -> Option<&'r RawValue> {
    row.iter()
        .find(|(field, _)| field == name)
        .map(|(_, value)| value.as_ref())
}

fn id(row: &Row) -> Option<String> {
    let id: String = serde_json::from_str(value(row, "Id")?.get()).ok()?;
    id.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(id)
}

/// Adds the columns of `pieces` to `rows`; false if they are not the same versions of the same rows.
fn join(rows: &mut [Row], pieces: Vec<Row>, key: Option<&str>) -> bool {
    if rows.len() != pieces.len() {
        return false;
    }
    for (row, piece) in rows.iter_mut().zip(pieces) {
        let same = |name: &str| {
            value(row, name).map(RawValue::get) == value(&piece, name).map(RawValue::get)
        };
        if !same("Id") || !key.is_none_or(same) {
            return false;
        }
        for (name, value) in piece {
            if !row.iter().any(|(known, _)| *known == name) {
                row.push((name, value));
            }
        }
    }
    true
}

/// A JSON array of the rows, each value as the server wrote it.
fn render(rows: &[Row]) -> String {
    let mut text = String::from("[");
    for (index, row) in rows.iter().enumerate() {
        text.push_str(if index == 0 { "{" } else { ",{" });
        for (index, (name, value)) in row.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let name = serde_json::Value::from(name.as_str());
            let _infallible = write!(text, "{comma}{name}:{}", value.get());
        }
        text.push('}');
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(json: &str) -> Vec<Row> {
        let rows: Vec<std::collections::BTreeMap<String, Box<RawValue>>> =
            serde_json::from_str(json).unwrap();
        rows.into_iter()
            .map(|row| row.into_iter().collect())
            .collect()
    }

    #[test]
    fn pieces_of_the_same_version_make_a_row_with_its_numbers_untouched() {
        let mut left = rows(r#"[{"Id":"1","S":"t1","A":1.0E7},{"Id":"2","S":"t2","A":0.10}]"#);
        let right = rows(r#"[{"Id":"1","S":"t1","B":"x\"y"},{"Id":"2","S":"t2","B":null}]"#);
        assert!(join(&mut left, right, Some("S")));
        assert_eq!(
            render(&left),
            r#"[{"A":1.0E7,"Id":"1","S":"t1","B":"x\"y"},{"A":0.10,"Id":"2","S":"t2","B":null}]"#
        );
    }

    #[test]
    fn pieces_of_two_versions_are_not_put_together() {
        for right in [
            r#"[{"Id":"1","S":"t2","B":1}]"#,
            r#"[{"Id":"2","S":"t1","B":1}]"#,
            "[]",
        ] {
            let mut left = rows(r#"[{"Id":"1","S":"t1","A":1}]"#);
            assert!(!join(&mut left, rows(right), Some("S")), "{right}");
        }
    }
}
