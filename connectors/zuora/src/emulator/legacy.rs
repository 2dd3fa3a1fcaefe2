//! The export of data sources: `POST /v1/object/export` and `GET /v1/object/export/{id}`.

use overlock_core::Timestamp;
use overlock_sandbox::Response;
use serde_json::{Value, json};

use super::call::{Call, json_answer, refusal};
use super::csv::{self, Format, Style};
use super::evaluate::{self, Scope};
use super::files::Content;
use super::pacific;
use super::plan::{self, Rules, no_object};
use super::tenant::Tenant;
use super::zoql;

/// An export.
#[derive(Debug, Clone)]
pub(super) struct Export {
    file: String,
    name: String,
    query: String,
    zip: bool,
    submitted: Timestamp,
    polls: u64,
    over: bool,
}

fn invalid(message: &str) -> Response {
    let body = json!({
        "Success": false,
        "Errors": [{"Code": "INVALID_VALUE", "Message": message}],
    });
    json_answer(400, &body)
}

/// `POST /v1/object/export`.
pub(super) fn submit(tenant: &mut Tenant, call: &Call<'_>) -> Response {
    let Ok(given) = serde_json::from_slice::<Value>(call.body) else {
        return invalid("The request body is malformed.");
    };
    let text = given["Query"].as_str().unwrap_or_default();
    let query = match zoql::parse(text) {
        Ok(query) => query,
        Err(cause) => return invalid(&format!("You have an error in your ZOQL syntax: {cause}")),
    };
    let behaviour = &tenant.behaviour;
    let lacks = [
        behaviour.export_lacks.as_slice(),
        behaviour.unknown_fields.as_slice(),
    ]
    .concat();
    let rules = Rules {
        unknown_fields: &lacks,
        data_source: true,
    };
    let view = tenant.view(call.now, call.entity);
    let forbidden = plan::find(&tenant.world, &query.object).is_some_and(|known| known.forbidden);
    let plan = match plan::bind(&query, view, rules) {
        Ok(plan) if !forbidden && !plan.poisonous => plan,
        Err(cause) if cause != no_object(&query.object) => return invalid(&cause),
        _ => return invalid(&format!("noSuchDataSource: {}", query.object)),
    };
    let style = Style {
        labels: true,
        ..Style::default()
    };
    let scope = Scope {
        deleted: false,
        window: None,
    };
    let mut whole = behaviour.clone();
    whole.segments_of_rows = None;
    let found = evaluate::run(&plan, view, scope);
    let written = csv::write(&plan, &found, view, &style, &whole);
    let zip = given["Zip"].as_bool().unwrap_or(false);
    let format = if zip { Format::Zip } else { Format::Csv };
    let name = given["Name"].as_str().unwrap_or_default().to_owned();
    let entry = format!("{}.csv", plan.object);
    let Ok(packed) = csv::pack(format, &entry, written.texts.concat()) else {
        return refusal(500, 50_000_060, "Internal Server Error");
    };
    let file = tenant.new_id();
    let content = Content::Bytes(packed);
    tenant
        .files
        .keep(file.clone(), content, format, call.now, true);
    let id = tenant.new_id();
    let export = Export {
        file,
        name,
        query: text.to_owned(),
        zip,
        submitted: call.now,
        polls: 0,
        over: false,
    };
    tenant.exports.insert(id.clone(), export);
    json_answer(200, &json!({"Success": true, "Id": id}))
}

/// `GET /v1/object/export/{id}`.
pub(super) fn poll(tenant: &mut Tenant, call: &Call<'_>, id: &str) -> Response {
    let latency = tenant.behaviour.job_latency_secs;
    let polls = tenant.behaviour.job_polls;
    let Some(export) = tenant.exports.get_mut(id) else {
        let body = json!({
            "Success": false,
            "Errors": [{"Code": "INVALID_ID", "Message": "The export does not exist."}],
        });
        return json_answer(404, &body);
    };
    export.polls += 1;
    let passed = call.now.since(export.submitted).as_secs();
    export.over |= passed >= latency && export.polls >= polls;
    let status = match (export.over, export.polls) {
        (true, _) => "Completed",
        (false, 1) => "Pending",
        (false, _) => "Processing",
    };
    let stamp = pacific::millis(export.submitted);
    let mut body = json!({
        "Id": id, "Format": "csv", "Query": export.query, "Name": export.name, "Zip": export.zip,
        "Encrypted": false, "Status": status, "CreatedDate": stamp, "UpdatedDate": stamp,
        "CreatedById": "3", "UpdatedById": "3",
    });
    if export.over {
        body["FileId"] = export.file.as_str().into();
        body["Size"] = tenant.files.length(&export.file).into();
    }
    json_answer(200, &body)
}
