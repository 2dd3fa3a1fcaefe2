//! Object Query: rows of one object as pages of JSON, without jobs.
//!
//! The pages of one query are of one instant: the cursor carries it. Deleted rows do not come. The case of keys
//! follows what is published for standard fields; of names that begin with several capitals no source says how they
//! come, so the whole run is lowered.

use std::cmp::Ordering;

use chrono_tz::Tz;
use http::Method;
use overlock_core::Timestamp;
use overlock_sandbox::Response;
use overlock_sandbox::company::Dice;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::cell::{self, Cell, json_text};
use super::model::{Object, Row};
use super::object_filter::{
    Answer, Column, Filter, INVALID_VALUE, columns, filter, named, refused, sort,
};
use super::world::World;

/// Bad habits of Object Query. A test changes them at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectHabits {
    /// The tenant's time zone, by name; one that does not exist counts as Zuora's own.
    pub time_zone: String,
    /// Pages have at most so many rows, however many were asked for, and more follow all the same.
    pub short_pages: Option<usize>,
    /// Plurals that the tenant does not have.
    pub missing: Vec<String>,
}

impl Default for ObjectHabits {
    fn default() -> Self {
        Self {
            time_zone: cell::DEFAULT_ZONE.to_owned(),
            short_pages: None,
            missing: Vec::new(),
        }
    }
}

/// Rows of a page if the client does not say.
const DEFAULT_PAGE: usize = 10;
/// Most rows of a page.
const MAX_PAGE: usize = 99;

/// Codes of refusals: six digits of a resource, two of a category.
const NOT_FOUND: u64 = 58_730_040;
const NO_PERMISSION: u64 = 58_730_010;

/// `GET /object-query/{plural}`.
pub(super) fn handle(call: &Call<'_>, world: &World, habits: &ObjectHabits) -> Response {
    page(call, world, habits).unwrap_or_else(|refusal| *refusal)
}

fn page(call: &Call<'_>, world: &World, habits: &ObjectHabits) -> Answer<Response> {
    if call.method != Method::GET {
        return refused(405, 58_730_045, "Method not allowed");
    }
    let plural = call
        .path
        .strip_prefix("/object-query/")
        .unwrap_or_default()
        .trim_end_matches('/');
    let known = |object: &&Object| object.plural.as_deref() == Some(plural);
    let object = world.objects().find(known);
    let Some(object) = object.filter(|_| habits.missing.iter().all(|missing| missing != plural))
    else {
        return refused(404, NOT_FOUND, &format!("Cannot find object '{plural}'"));
    };
    if object.forbidden {
        return refused(
            403,
            NO_PERMISSION,
            "You do not have permission to read this object",
        );
    }
    let zone = cell::zone(&habits.time_zone).unwrap_or(Tz::America__Los_Angeles);
    let request = Request::read(call, object, zone)?;
    let rows = request.rows(world, object, call.entity, zone);
    let size = habits
        .short_pages
        .map_or(request.size, |most| request.size.min(most.max(1)));
    let end = request.from.saturating_add(size);
    let shown: Vec<String> = rows
        .iter()
        .skip(request.from)
        .take(size)
        .map(|row| shown(row, &request, zone))
        .collect();
    let next = if end < rows.len() {
        format!(
            "\"nextPage\":{},",
            json_text(&cursor(end, request.at, request.shape))
        )
    } else {
        String::new()
    };
    let body = format!("{{{next}\"data\":[{}]}}", shown.join(","));
    Ok(Response::json(200, body))
}

#[derive(Debug)]
struct Request {
    size: usize,
    /// Rows before the page.
    from: usize,
    /// The instant that the pages show.
    at: Timestamp,
    /// Stands for everything that the pages of one query have in common.
    shape: u64,
    selected: Vec<Column>,
    filters: Vec<Filter>,
    sort: Option<(Column, bool)>,
    nulls: bool,
}

impl Request {
    fn read(call: &Call<'_>, object: &Object, zone: Tz) -> Answer<Self> {
        let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(call.query.as_bytes())
            .into_owned()
            .collect();
        pairs.retain(|(name, _)| name != "cursor" && name != "pageSize");
        let shape: Vec<&str> = pairs
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value])
            .collect();
        let mut request = Self {
            size: DEFAULT_PAGE,
            from: 0,
            at: call.now,
            shape: Dice::new(0, &[&[call.path], shape.as_slice()].concat()).next(),
            selected: Vec::new(),
            filters: Vec::new(),
            sort: None,
            nulls: false,
        };
        if let Some(size) = call.parameter("pageSize") {
            match size.parse() {
                Ok(size) if (1..=MAX_PAGE).contains(&size) => request.size = size,
                _ => return refused(400, INVALID_VALUE, "pageSize must be between 1 and 99"),
            }
        }
        if let Some(given) = call.parameter("cursor") {
            let Some((from, at)) = position(&given, request.shape) else {
                return refused(400, INVALID_VALUE, "The cursor is invalid");
            };
            (request.from, request.at) = (from, at);
        }
        let columns = columns(object, request.at);
        for (name, value) in &pairs {
            match name.as_str() {
                "fields[]" => {
                    for name in value.split(',').filter(|name| !name.is_empty()) {
                        let column = named(name.trim(), &columns)?;
                        if !request.selected.contains(&column) {
                            request.selected.push(column);
                        }
                    }
                }
                "filter[]" => request.filters.push(filter(value, &columns, zone)?),
                "sort[]" if request.sort.is_some() => {
                    return refused(400, INVALID_VALUE, "Only one sort key is supported");
                }
                "sort[]" => request.sort = Some(sort(value, &columns)?),
                "includeNullFields" => request.nulls = value == "true",
                "expand[]" => return refused(400, INVALID_VALUE, "expand[] is not emulated"),
                _ => {}
            }
        }
        if request.selected.is_empty() {
            request.selected = columns;
        }
        Ok(request)
    }

    fn rows<'a>(
        &self,
        world: &'a World,
        object: &Object,
        entity: Option<usize>,
        zone: Tz,
    ) -> Vec<&'a Row> {
        let mut rows = world.rows(&object.name, self.at);
        rows.retain(|row| {
            !row.deleted
                && entity.is_none_or(|entity| row.entity == entity)
                && self.filters.iter().all(|filter| filter.holds(row, zone))
        });
        if let Some((column, descending)) = &self.sort {
            rows.sort_by(|left, right| {
                let (left, right) = (column.cell(left, zone), column.cell(right, zone));
                let order = match (left.is_null(), right.is_null()) {
                    (true, true) => Ordering::Equal,
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    (false, false) => left.compare(&right, zone).unwrap_or(Ordering::Equal),
                };
                if *descending { order.reverse() } else { order }
            });
        }
        rows
    }
}

/// A row in an answer.
fn shown(row: &Row, request: &Request, zone: Tz) -> String {
    let mut pairs = Vec::with_capacity(request.selected.len());
    for column in &request.selected {
        let cell = column.cell(row, zone);
        let text = match &cell {
            Cell::Null if !request.nulls => continue,
            Cell::Time(time, zone) => json_text(&cell::spelled(*time, *zone, "%Y-%m-%dT%H:%M:%S")),
            cell => cell.json(),
        };
        pairs.push(format!("{}:{text}", json_text(&column.key)));
    }
    format!("{{{}}}", pairs.join(","))
}

/// Where a page begins, hidden from clients that would count on it.
fn cursor(from: usize, at: Timestamp, shape: u64) -> String {
    format!("{shape:016x}{:016x}{from:08x}", at.micros())
}

fn position(cursor: &str, shape: u64) -> Option<(usize, Timestamp)> {
    let number = |from: usize, to: usize| u64::from_str_radix(cursor.get(from..to)?, 16).ok();
    if number(0, 16)? != shape {
        return None;
    }
    let at = i64::from_ne_bytes(number(16, 32)?.to_ne_bytes());
    let from = usize::try_from(number(32, cursor.len())?).ok()?;
    Some((from, Timestamp::from_micros(at)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::model::Value;
    use super::super::query_bench::{NOW, Request as Raw, get, read, tenant, time};
    use super::*;

    fn asked(request: &Raw, world: &World, habits: &ObjectHabits) -> (u16, String) {
        read(request.answer(|call| handle(call, world, habits)))
    }

    fn ask(path: &str) -> (u16, String) {
        asked(&get(path), &tenant(), &ObjectHabits::default())
    }

    #[test]
    fn a_row_has_camel_case_keys_exact_numbers_and_the_tenants_offset() {
        let (status, text) = ask("/object-query/accounts?filter[]=id.EQ:a1");
        assert_eq!(status, 200);
        assert_eq!(
            text,
            "{\"data\":[{\"id\":\"a1\",\"name\":\"Acme\",\"balance\":9007199254740993.000000001,\
             \"billCycleDay\":31,\"autoPay\":true,\"lastInvoiceDate\":\"2024-11-10\",\
             \"updatedDate\":\"2024-11-10T09:35:45-08:00\",\"billToContactId\":\"c1\"}]}"
        );
        let (_, text) = ask(
            "/object-query/accounts?filter[]=id.EQ:a2&fields[]=id,VATID,Tier__c&includeNullFields=true",
        );
        assert_eq!(
            text,
            "{\"data\":[{\"id\":\"a2\",\"vatId\":null,\"Tier__c\":null}]}"
        );
    }

    #[test]
    fn filters_pick_rows() {
        for (query, expected) in [
            ("", "a1 a2 a4"),
            ("filter[]=name.SW:Acme", "a1 a4"),
            ("filter%5B%5D=id.IN:%5Ba1,a4,a9%5D", "a1 a4"),
            ("filter[]=balance.GT:7", "a1"),
            ("filter[]=balance.LE:7.0", "a2 a4"),
            ("filter[]=balance.NE:7", "a1 a2"),
            ("filter[]=billcycleday.EQ:null", "a2 a4"),
            ("filter[]=billcycleday.NE:null", "a1"),
            ("filter[]=autopay.EQ:true", "a1"),
            ("filter[]=updateddate.GE:2024-11-11T08:00:00Z", "a2 a4"),
            ("filter[]=updateddate.LT:2024-11-11T00:00:00-08:00", "a1"),
            ("filter[]=updateddate.LT:2024-11-11T09:00:00+01:00", "a1"),
            (
                "filter[]=updateddate.GE:2024-11-11T00:00:00Z&filter[]=id.LT:a4",
                "a2",
            ),
            ("filter[]=lastinvoicedate.EQ:2024-11-10", "a1"),
            ("sort[]=updateddate.DESC", "a4 a2 a1"),
            ("sort[]=name.ASC", "a1 a4 a2"),
        ] {
            let (status, text) = ask(&format!("/object-query/accounts?{query}"));
            let rows: Json = serde_json::from_str(&text).unwrap();
            let ids = rows["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_str().unwrap());
            assert_eq!(
                (status, ids.collect::<Vec<_>>().join(" ").as_str()),
                (200, expected),
                "{query}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (path, expected) in [
            ("/object-query/unknowns", 404),
            ("/object-query/secrets", 403),
            ("/object-query/accounts?pageSize=0", 400),
            ("/object-query/accounts?pageSize=100", 400),
            ("/object-query/accounts?pageSize=99", 200),
            ("/object-query/accounts?cursor=zz", 400),
            ("/object-query/accounts?fields[]=nothing", 400),
            ("/object-query/accounts?filter[]=name.LIKE:a", 400),
            ("/object-query/accounts?filter[]=name", 400),
            ("/object-query/accounts?filter[]=id.IN:a", 400),
            ("/object-query/accounts?filter[]=balance.GT:1e3", 400),
            (
                "/object-query/accounts?filter[]=updateddate.GT:2024-11-11",
                400,
            ),
            ("/object-query/accounts?sort[]=id.UP", 400),
            ("/object-query/accounts?sort[]=id.ASC&sort[]=name.ASC", 400),
            ("/object-query/accounts?expand[]=invoices", 400),
        ] {
            let (status, text) = ask(path);
            assert_eq!(status, expected, "{path}: {text}");
        }
        let mut post = get("/object-query/accounts");
        post.method = Method::POST;
        assert_eq!(asked(&post, &tenant(), &ObjectHabits::default()).0, 405);
    }

    #[test]
    fn pages_follow_each_other_and_show_one_instant() {
        let mut world = tenant();
        let habits = ObjectHabits::default();
        let mut seen = Vec::new();
        let mut path = "/object-query/accounts?pageSize=2&sort[]=id.ASC".to_owned();
        loop {
            let (status, text) = asked(&get(&path), &world, &habits);
            let page: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(status, 200, "{text}");
            for row in page["data"].as_array().unwrap() {
                seen.push(format!(
                    "{}:{}",
                    row["id"].as_str().unwrap(),
                    row["name"].as_str().unwrap()
                ));
            }
            let Some(next) = page["nextPage"].as_str() else {
                break;
            };
            // The change comes later than the instant of the first page.
            let later = time(NOW).plus(std::time::Duration::from_secs(1));
            world.update(
                "Account",
                "a4",
                &[("Name", Value::Text("New".to_owned()))],
                Some(later),
                later,
            );
            let other = get(&format!(
                "/object-query/accounts?sort[]=id.DESC&cursor={next}"
            ));
            assert_eq!(
                asked(&other, &world, &habits).0,
                400,
                "a cursor belongs to its query"
            );
            path = format!("/object-query/accounts?pageSize=2&sort[]=id.ASC&cursor={next}");
        }
        assert_eq!(seen, ["a1:Acme", "a2:It's \"Beta\", Inc", "a4:Acme West"]);
    }

    #[test]
    fn every_habit_bites() {
        let world = tenant();
        let short = ObjectHabits {
            short_pages: Some(1),
            ..ObjectHabits::default()
        };
        let (_, text) = asked(&get("/object-query/accounts?pageSize=99"), &world, &short);
        let page: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(page["data"].as_array().unwrap().len(), 1);
        assert!(page["nextPage"].is_string());
        let missing = ObjectHabits {
            missing: vec!["accounts".to_owned()],
            ..ObjectHabits::default()
        };
        assert_eq!(
            asked(&get("/object-query/accounts"), &world, &missing).0,
            404
        );
        let abroad = ObjectHabits {
            time_zone: "Europe/Berlin".to_owned(),
            ..ObjectHabits::default()
        };
        let path = "/object-query/accounts?fields[]=updateddate&pageSize=1";
        let (_, text) = asked(&get(path), &world, &abroad);
        let page: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(
            page["data"],
            json!([{"updatedDate": "2024-11-10T18:35:45+01:00"}])
        );
    }

    #[test]
    fn an_entity_sees_its_own_rows() {
        let mut request = get("/object-query/accounts?fields[]=id");
        request.entity = Some(1);
        let (_, text) = asked(&request, &tenant(), &ObjectHabits::default());
        assert_eq!(text, "{\"data\":[{\"id\":\"a4\"}]}");
    }
}
