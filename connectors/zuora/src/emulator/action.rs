//! The action query: `POST /v1/action/query` and `/queryMore`, rows as JSON, two thousand at a time.

use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::{Value as Json, json};

use super::call::{Call, json_answer};
use super::evaluate::{self, Found, Scope, value};
use super::model::{Kind, Row, Value};
use super::pacific;
use super::plan::{self, Column, Plan, Source, View};
use super::tenant::Tenant;
use super::zoql::{self, Item};

/// Rows per page.
const PAGE_ROWS: usize = 2_000;

/// Seconds after which an idle locator is dead.
const IDLE_SECS: u64 = 15 * 60;

/// Where a query goes on: pages that are left, and when it was last asked.
#[derive(Debug)]
pub(super) struct Locator {
    id: String,
    size: usize,
    records: Vec<String>,
    next: usize,
    touched: Timestamp,
}

fn invalid(code: &str, message: &str) -> Response {
    let body = json!({
        "faultcode": format!("fns:{code}"),
        "faultstring": message,
        "Success": false,
        "Errors": [{"Code": code, "Message": message}],
    });
    json_answer(400, &body)
}

/// `POST /v1/action/query`.
pub(super) fn query(tenant: &mut Tenant, call: &Call<'_>) -> Response {
    let given: Json = serde_json::from_slice(call.body).unwrap_or(Json::Null);
    let text = given["queryString"].as_str().unwrap_or_default();
    let query = match zoql::parse(text) {
        Ok(query) => query,
        Err(cause) => {
            let message = format!("You have an error in your ZOQL syntax: {cause}");
            return invalid("MALFORMED_QUERY", &message);
        }
    };
    let is_own =
        |item: &Item| matches!(item, Item::Field { name, alias: None } if !name.contains('.'));
    if !query.select.iter().all(is_own) || !query.order.is_empty() || query.limit.is_some() {
        let message = "You have an error in your ZOQL syntax";
        return invalid("MALFORMED_QUERY", message);
    }
    let view = tenant.view(call.now, call.entity);
    let bound = plan::bind(&query, view, tenant.rules());
    let plan = match bound {
        Ok(plan) => plan,
        Err(cause) => {
            return invalid(
                "INVALID_FIELD",
                &format!("invalid field for query: {cause}"),
            );
        }
    };
    let scope = Scope {
        deleted: false,
        window: None,
    };
    let Found::Rows(mut rows) = evaluate::run(&plan, view, scope) else {
        return invalid("MALFORMED_QUERY", "You have an error in your ZOQL syntax");
    };
    if plan.object == "RatePlan" {
        // The service leaves out what amendments removed.
        rows.retain(|row| *row.value("AmendmentType") != Value::Text("RemoveProduct".to_owned()));
    }
    let records: Vec<String> = rows.iter().map(|row| record(&plan, view, row)).collect();
    let locator = Locator {
        id: tenant.new_id(),
        size: records.len(),
        records,
        next: 0,
        touched: call.now,
    };
    page(tenant, locator, call.now)
}

/// `POST /v1/action/queryMore`.
pub(super) fn more(tenant: &mut Tenant, call: &Call<'_>) -> Response {
    let given: Json = serde_json::from_slice(call.body).unwrap_or(Json::Null);
    let name = given["queryLocator"].as_str().unwrap_or_default();
    let known = tenant.locators.remove(name);
    match known {
        Some(locator) if call.now.since(locator.touched).as_secs() < IDLE_SECS => {
            page(tenant, locator, call.now)
        }
        _ => invalid("INVALID_QUERY_LOCATOR", "The query locator is invalid."),
    }
}

fn page(tenant: &mut Tenant, mut locator: Locator, now: Timestamp) -> Response {
    let end = locator.records.len().min(locator.next + PAGE_ROWS);
    let records = locator.records.get(locator.next..end).unwrap_or_default();
    let mut body = format!(
        "{{\"size\":{},\"records\":[{}]",
        locator.size,
        records.join(",")
    );
    if end < locator.records.len() {
        locator.next = end;
        locator.touched = now;
        let name = format!("{}-{end}", locator.id);
        body.extend([format!(",\"queryLocator\":\"{name}\",\"done\":false}}")]);
        tenant.locators.insert(name, locator);
    } else {
        body.push_str(",\"done\":true}");
    }
    Response::json(200, body)
}

/// A row as JSON text, numbers with the digits they have; nulls are left out.
fn record(plan: &Plan, view: View<'_>, row: &Row) -> String {
    let mut text = String::from("{");
    let id = Column {
        source: Source::Own("Id".to_owned()),
        kind: Kind::Text,
        owner: plan.object.clone(),
        name: "Id".to_owned(),
        header: "Id".to_owned(),
        alias: None,
    };
    let has_id = plan.columns.iter().any(|column| column.name == "Id");
    let extra = (!has_id).then_some(&id);
    for column in plan.columns.iter().chain(extra) {
        let found = value(view, row, &column.source);
        let shown = match &*found {
            Value::Null => continue,
            Value::Text(value) | Value::Date(value) => json!(value).to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::Number(value) => value.clone(),
            Value::Time(time) => json!(pacific::millis(*time)).to_string(),
        };
        if text.len() > 1 {
            text.push(',');
        }
        text.extend([format!("\"{}\":{shown}", column.name)]);
    }
    text.push('}');
    text
}
