//! Several calls in one: `composite`, which costs one API call, and `composite/batch`, which costs one
//! per part.

use bytes::Bytes;
use http::{HeaderMap, Method};
use overlock_sandbox::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::{Answer, Refusal, quote};
use super::service::{Ask, Call, dispatch, live_version};

/// Most parts of one call.
const MAX_PARTS: usize = 25;

/// Most queries among the parts of `composite`.
const MAX_QUERIES: usize = 5;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    #[serde(default)]
    all_or_none: bool,
    composite_request: Vec<CompositePart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompositePart {
    method: String,
    url: String,
    reference_id: String,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    #[serde(default)]
    halt_on_error: bool,
    batch_requests: Vec<BatchPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchPart {
    method: String,
    url: String,
}

/// API calls that a call is counted as.
pub(super) fn price(ask: &Ask) -> u64 {
    if ask.method == Method::POST && ask.segments() == ["composite", "batch"] {
        let parts = ask
            .json::<Batch>()
            .map_or(1, |batch| batch.batch_requests.len());
        return (parts as u64).max(1);
    }
    1
}

/// `POST /composite`.
pub(super) fn composite(call: &mut Call<'_>, ask: &Ask) -> Answer {
    let composite: Composite = ask.json()?;
    let parts = &composite.composite_request;
    check_count(parts.len())?;
    let queries = parts
        .iter()
        .filter(|part| part.url.contains("/query"))
        .count();
    if queries > MAX_QUERIES {
        return Err(Refusal::new(
            400,
            "LIMIT_EXCEEDED",
            format!("The number of query requests exceeds the limit of {MAX_QUERIES}."),
        ));
    }
    let mut seen: Vec<&str> = Vec::new();
    for part in parts {
        let id = part.reference_id.as_str();
        let well_formed = id.starts_with(|c: char| c.is_ascii_alphabetic())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !well_formed || seen.contains(&id) {
            return Err(Refusal::new(
                400,
                "JSON_PARSER_ERROR",
                format!(
                    "Invalid reference specified. Provide a valid and unique referenceId: {id}"
                ),
            ));
        }
        seen.push(id);
    }
    let answers: Vec<(u16, String)> = parts
        .iter()
        .map(|part| {
            let body = part.body.as_ref().map_or("", |body| body.get());
            answer_part(call, ask, &part.method, &part.url, body, false)
        })
        .collect();
    let failed = answers.iter().any(|answer| answer.0 >= 400);
    let entries: Vec<String> = parts
        .iter()
        .zip(answers)
        .map(|(part, (status, body))| {
            // With allOrNone the parts that would have worked report that they were rolled back.
            let (status, body) = if composite.all_or_none && failed && status < 400 {
                let refusal = Refusal::new(
                    400,
                    "PROCESSING_HALTED",
                    "The transaction was rolled back since another operation in the same transaction failed.",
                );
                (400, refusal.array())
            } else {
                (status, body)
            };
            format!(
                "{{\"body\":{body},\"httpHeaders\":{{}},\"httpStatusCode\":{status},\"referenceId\":{}}}",
                quote(&part.reference_id)
            )
        })
        .collect();
    let body = format!("{{\"compositeResponse\":[{}]}}", entries.join(","));
    Ok(Response::json(200, body))
}

/// `POST /composite/batch`.
pub(super) fn batch(call: &mut Call<'_>, ask: &Ask) -> Answer {
    let batch: Batch = ask.json()?;
    check_count(batch.batch_requests.len())?;
    let mut failed = false;
    let mut entries = Vec::new();
    for part in &batch.batch_requests {
        let (status, body) = if failed && batch.halt_on_error {
            let refusal = Refusal::new(
                412,
                "BATCH_PROCESSING_HALTED",
                "Batch processing halted per request",
            );
            (412, refusal.array())
        } else {
            answer_part(call, ask, &part.method, &part.url, "", true)
        };
        failed |= status >= 400;
        entries.push(format!("{{\"statusCode\":{status},\"result\":{body}}}"));
    }
    let body = format!(
        "{{\"hasErrors\":{failed},\"results\":[{}]}}",
        entries.join(",")
    );
    Ok(Response::json(200, body))
}

fn check_count(count: usize) -> Answer<()> {
    if count == 0 || count > MAX_PARTS {
        return Err(Refusal::new(
            400,
            "LIMIT_EXCEEDED",
            format!("The number of subrequests must be between 1 and {MAX_PARTS}."),
        ));
    }
    Ok(())
}

/// Status and body of one part.
fn answer_part(
    call: &mut Call<'_>,
    outer: &Ask,
    method: &str,
    url: &str,
    body: &str,
    is_batch: bool,
) -> (u16, String) {
    let answered =
        part_ask(call, outer, method, url, body, is_batch).and_then(|ask| dispatch(call, &ask));
    match answered {
        Ok(response) => {
            let status = response.status.as_u16();
            let bytes = response.body.into_bytes();
            let body = String::from_utf8_lossy(&bytes).into_owned();
            let body = if body.is_empty() {
                "null".to_owned()
            } else {
                body
            };
            (status, body)
        }
        Err(refusal) => (refusal.status, refusal.array()),
    }
}

fn part_ask(
    call: &Call<'_>,
    outer: &Ask,
    method: &str,
    url: &str,
    body: &str,
    is_batch: bool,
) -> Answer<Ask> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            percent_encoding::percent_decode_str(segment)
                .decode_utf8_lossy()
                .into_owned()
        })
        .collect();
    // Batch parts may leave out the first two segments.
    let rest = match segments.as_slice() {
        [services, data, rest @ ..] if services == "services" && data == "data" => rest,
        rest if is_batch => rest,
        _ => return Err(Refusal::not_found()),
    };
    let [version, path @ ..] = rest else {
        return Err(Refusal::not_found());
    };
    let (version, major) = live_version(version.trim_start_matches('v'), &call.state.behaviour)?;
    if is_batch && major > outer.major {
        return Err(Refusal::new(
            400,
            "INVALID_VERSION",
            "The version of a subrequest must not be newer than that of the batch request.",
        ));
    }
    let allowed = !matches!(path.first().map(String::as_str), Some("composite" | "jobs"));
    if !allowed {
        return Err(Refusal::not_found());
    }
    Ok(Ask {
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::OPTIONS),
        path: path.to_vec(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
        version,
        major,
    })
}
