//! `updated` and `deleted`: the replication resources of an object.

use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::Response;

use super::answer::{Answer, Refusal, quote};
use super::render::rest_instant;
use super::service::{Ask, Call};
use super::soql::datetime_seconds;

/// How far back each resource looks.
const UPDATED_DAYS: u64 = 30;
const DELETED_DAYS: u64 = 15;

/// Most ids in one answer.
const MAX_IDS: usize = 600_000;

/// `GET /sobjects/{name}/updated/?start=&end=`.
pub(super) fn updated(call: &mut Call<'_>, ask: &Ask, name: &str) -> Answer {
    let (name, start, end) = window(call, ask, name, UPDATED_DAYS)?;
    let ids = call
        .state
        .world
        .updated_between(&name, start, end, call.now);
    if ids.len() > MAX_IDS {
        return Err(too_many());
    }
    let ids: Vec<String> = ids.iter().map(|id| quote(id)).collect();
    let covered = call.state.world.latest_covered(call.now).min(end);
    Ok(Response::json(
        200,
        format!(
            "{{\"ids\":[{}],\"latestDateCovered\":\"{}\"}}",
            ids.join(","),
            rest_instant(covered)
        ),
    ))
}

/// `GET /sobjects/{name}/deleted/?start=&end=`.
pub(super) fn deleted(call: &mut Call<'_>, ask: &Ask, name: &str) -> Answer {
    let (name, start, end) = window(call, ask, name, DELETED_DAYS)?;
    let deleted = call
        .state
        .world
        .deleted_between(&name, start, end, call.now);
    if deleted.len() > MAX_IDS {
        return Err(too_many());
    }
    let records: Vec<String> = deleted
        .iter()
        .map(|(id, at)| {
            format!(
                "{{\"id\":{},\"deletedDate\":\"{}\"}}",
                quote(id),
                rest_instant(*at)
            )
        })
        .collect();
    let earliest = call.now.minus(days(DELETED_DAYS)).floor_second();
    let covered = call.state.world.latest_covered(call.now).min(end);
    Ok(Response::json(
        200,
        format!(
            "{{\"deletedRecords\":[{}],\"earliestDateAvailable\":\"{}\",\"latestDateCovered\":\"{}\"}}",
            records.join(","),
            rest_instant(earliest),
            rest_instant(covered)
        ),
    ))
}

fn too_many() -> Refusal {
    Refusal::new(
        400,
        "EXCEEDED_ID_LIMIT",
        "exceeded the maximum number of ids: narrow the window",
    )
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

fn window(
    call: &Call<'_>,
    ask: &Ask,
    name: &str,
    most_days: u64,
) -> Answer<(String, Timestamp, Timestamp)> {
    let object = call
        .object_at(name, call.now)
        .ok_or_else(Refusal::not_found)?;
    if !object.replicateable {
        return Err(Refusal::new(
            400,
            "INVALID_TYPE_FOR_OPERATION",
            format!("object {} is not replicable", object.name),
        ));
    }
    let instant = |key: &str| {
        let text = ask.parameter(key).unwrap_or_default();
        datetime_seconds(text)
            // Seconds are ignored.
            .and_then(|seconds| Timestamp::from_seconds(seconds.div_euclid(60) * 60))
            .ok_or_else(|| {
                Refusal::new(
                    400,
                    "INVALID_FIELD",
                    format!("parameter {key} must be a date and time in ISO 8601: {text}"),
                )
            })
    };
    let (start, end) = (instant("start")?, instant("end")?);
    let invalid = |message: &str| Refusal::new(400, "INVALID_REPLICATION_DATE", message);
    if end.since(start) < Duration::from_secs(60) {
        return Err(invalid("startDate before endDate by at least one minute"));
    }
    // One minute of grace: the client took its start before the request travelled.
    if start
        < call
            .now
            .minus(days(most_days))
            .minus(Duration::from_secs(60))
    {
        return Err(invalid("startDate before org replication enabled date"));
    }
    Ok((
        object.name.clone(),
        start,
        end.min(call.now.plus(Duration::from_secs(1))),
    ))
}
