//! The end of a run: a table of streams, one line that sums up, and the JSON end object.

use std::time::Duration;

use overlock_core::event::ErrorReport;
use overlock_core::{StreamStatus, StreamSummary};
use serde_json::{Value as Json, json};

use super::error::{error_json, retry_after};
use super::listing::{Cell, Listing};
use super::number;
use crate::exit;

/// What came of one pipeline, or why it did not even start.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Id of the run.
    pub(crate) run: String,
    /// Name of the pipeline.
    pub(crate) pipeline: String,
    /// Name of the source.
    pub(crate) source: String,
    /// Exit code of this pipeline alone.
    pub(crate) code: u8,
    /// What came of each stream.
    pub(crate) streams: Vec<StreamSummary>,
    /// Why it could not run at all.
    pub(crate) error: Option<ErrorReport>,
    /// HTTP requests.
    pub(crate) calls: u64,
    /// Wall time.
    pub(crate) elapsed: Duration,
    /// What was asked to end it early.
    pub(crate) stopped: Option<overlock_engine::StopReason>,
}

fn word(status: StreamStatus) -> &'static str {
    match status {
        StreamStatus::Ok => "ok",
        StreamStatus::Empty => "empty",
        StreamStatus::Skipped => "skipped",
        StreamStatus::Stopped => "stopped",
        StreamStatus::Failed => "FAIL",
    }
}

/// One row per stream.
pub(crate) fn table(ended: &[Ended]) -> Listing {
    let mut listing = Listing::new(&[
        "", "stream", "mode", "read", "rows", "bytes", "calls", "time",
    ]);
    for run in ended {
        for stream in &run.streams {
            let mode = format!("{:?}", stream.mode).to_lowercase();
            listing.row(vec![
                word(stream.status).into(),
                format!("{}.{}", run.source, stream.stream).into(),
                mode.into(),
                Cell::Number(stream.rows_read),
                Cell::Number(stream.rows_committed),
                Cell::Bytes(stream.bytes),
                Cell::Number(stream.calls),
                Cell::Millis(stream.millis),
            ]);
        }
    }
    listing
}

/// `run 01JD2F7Q partial: 3 ok, 1 failed, 21 946 rows, 23 calls, 1m12s`.
pub(crate) fn line(run: &Ended) -> String {
    let count = |wanted: StreamStatus| run.streams.iter().filter(|s| s.status == wanted).count();
    let mut parts = Vec::new();
    for (status, word) in [
        (StreamStatus::Ok, "ok"),
        (StreamStatus::Empty, "empty"),
        (StreamStatus::Skipped, "skipped"),
        (StreamStatus::Stopped, "stopped"),
        (StreamStatus::Failed, "failed"),
    ] {
        let count = count(status);
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let rows = run.streams.iter().map(|stream| stream.rows_committed).sum();
    parts.push(number::plural(rows, "row"));
    parts.push(number::plural(run.calls, "call"));
    parts.push(number::duration(run.elapsed));
    format!(
        "run {} of {} {}: {}",
        run.run,
        run.pipeline,
        exit::status(run.code),
        parts.join(", ")
    )
}

/// What is safe after a stream failed or stopped.
pub(crate) fn safe(stream: &StreamSummary) -> String {
    match (stream.rows_committed, stream.head) {
        (0, None) => "nothing was committed; what earlier runs committed is unchanged".to_owned(),
        (0, Some(_)) => {
            "what earlier runs committed is unchanged; the next run goes on from there".to_owned()
        }
        (rows, _) => format!(
            "{} of this run {} committed; the next run goes on after them",
            number::plural(rows, "row"),
            if rows == 1 { "is" } else { "are" }
        ),
    }
}

/// The JSON end object of `run`, `sync` and `demo`.
pub(crate) fn end(ended: &[Ended], code: u8) -> Json {
    let mut streams = Vec::new();
    let mut wait = None;
    for run in ended {
        for stream in &run.streams {
            let mut object = json!(stream);
            if let Some(fields) = object.as_object_mut() {
                fields.insert("pipeline".into(), run.pipeline.as_str().into());
                fields.insert("source".into(), run.source.as_str().into());
                let error = stream.error.as_ref().map(error_json);
                fields.insert("error".into(), error.into());
            }
            streams.push(object);
        }
        let errors = run
            .streams
            .iter()
            .filter_map(|stream| stream.error.as_ref());
        wait = errors
            .chain(&run.error)
            .filter_map(retry_after)
            .chain(wait)
            .max();
    }
    let runs: Vec<Json> = ended
        .iter()
        .map(|run| {
            json!({
                "run": run.run,
                "pipeline": run.pipeline,
                "source": run.source,
                "status": exit::status(run.code),
                "exit_code": run.code,
                "calls": run.calls,
                "millis": u64::try_from(run.elapsed.as_millis()).unwrap_or(u64::MAX),
                "error": run.error.as_ref().map(error_json),
            })
        })
        .collect();
    json!({
        "event": "end",
        "status": exit::status(code),
        "exit_code": code,
        "retryable": exit::is_retryable(code),
        "retry_after_s": wait,
        "runs": runs,
        "streams": streams,
    })
}

/// The exit code of a finished pipeline, by its streams.
pub(crate) fn code(
    streams: &[StreamSummary],
    error: Option<&ErrorReport>,
    stopped: Option<overlock_engine::StopReason>,
) -> u8 {
    use overlock_engine::StopReason;
    let of_kind = |kind| match (kind, stopped) {
        (overlock_core::ErrorKind::Cancelled, Some(StopReason::Terminate)) => exit::TERMINATED,
        // A time limit is a budget: state is kept, come again.
        (overlock_core::ErrorKind::Cancelled, Some(StopReason::Timeout)) => exit::QUOTA,
        (kind, _) => exit::of(kind),
    };
    match stopped {
        Some(StopReason::Interrupt) => return exit::INTERRUPTED,
        Some(StopReason::Terminate) => return exit::TERMINATED,
        Some(StopReason::Timeout | StopReason::FailFast) | None => {}
    }
    if let Some(error) = error
        && streams.iter().all(|stream| stream.error.is_some())
    {
        return of_kind(error.kind);
    }
    // With fail-fast the others were only cancelled: the one that failed says why.
    let failed_fast = stopped == Some(StopReason::FailFast);
    let codes: Vec<u8> = streams
        .iter()
        .map(|stream| {
            stream
                .error
                .as_ref()
                .map_or(exit::OK, |error| of_kind(error.kind))
        })
        .filter(|code| !(failed_fast && *code == exit::INTERRUPTED))
        .collect();
    if let Some(error) = error
        && exit::join(&codes) == exit::OK
    {
        return of_kind(error.kind);
    }
    exit::join(&codes)
}

#[cfg(test)]
mod tests {
    use overlock_core::{Error, ErrorKind, StreamName, WriteMode};
    use overlock_engine::StopReason;

    use super::*;

    fn stream(name: &str, kind: Option<ErrorKind>) -> StreamSummary {
        let error =
            kind.map(|kind| ErrorReport::from(&Error::new(kind, "x").context("retry_after_s", 60)));
        StreamSummary {
            stream: StreamName::new(name).unwrap(),
            status: if error.is_some() {
                StreamStatus::Failed
            } else {
                StreamStatus::Ok
            },
            mode: WriteMode::Merge,
            rows_read: 2,
            rows_committed: 2,
            bytes: 100,
            calls: 3,
            extra: 0,
            commits: 1,
            head: None,
            millis: 10,
            error,
        }
    }

    #[test]
    fn the_exit_code_follows_the_one_table() {
        use ErrorKind::{Auth, Cancelled, Config, Io, Permission, RateLimited, Unavailable};
        type Row<'a> = (
            &'a [Option<ErrorKind>],
            Option<ErrorKind>,
            Option<StopReason>,
            u8,
        );
        let table: &[Row<'_>] = &[
            (&[None, None], None, None, 0),
            (&[None, Some(Permission)], None, None, 4),
            (&[Some(Permission), Some(Permission)], None, None, 3),
            (&[Some(Unavailable)], None, None, 5),
            (&[Some(RateLimited), Some(RateLimited)], None, None, 9),
            (&[], Some(Auth), None, 3),
            (&[Some(Config)], Some(Config), None, 2),
            (&[Some(Io)], Some(Io), None, 6),
            (
                &[None, Some(Cancelled)],
                None,
                Some(StopReason::Interrupt),
                130,
            ),
            (&[None, None], None, Some(StopReason::Terminate), 143),
            (&[Some(Cancelled)], None, Some(StopReason::Timeout), 9),
            (
                &[Some(Cancelled), Some(Auth)],
                None,
                Some(StopReason::FailFast),
                3,
            ),
        ];
        for (kinds, error, stopped, expected) in table {
            let streams: Vec<_> = kinds.iter().map(|kind| stream("A", *kind)).collect();
            let error = error.map(|kind| ErrorReport::from(&Error::new(kind, "x")));
            let code = code(&streams, error.as_ref(), *stopped);
            assert_eq!(code, *expected, "{kinds:?} {stopped:?}");
        }
    }

    #[test]
    fn the_end_object_carries_code_wait_and_streams() {
        let ended = Ended {
            run: "01JD2F7Q".into(),
            pipeline: "crm".into(),
            source: "sfdc".into(),
            code: 4,
            streams: vec![
                stream("Account", None),
                stream("Task", Some(ErrorKind::RateLimited)),
            ],
            error: None,
            calls: 7,
            elapsed: Duration::from_secs(72),
            stopped: None,
        };
        let end = end(std::slice::from_ref(&ended), 4);
        assert_eq!(
            (&end["event"], &end["exit_code"]),
            (&json!("end"), &json!(4))
        );
        assert_eq!(end["retry_after_s"], 60);
        assert_eq!(end["streams"][1]["error"]["kind"], "rate_limited");
        assert_eq!(
            line(&ended),
            "run 01JD2F7Q of crm partial: 1 ok, 1 failed, 4 rows, 7 calls, 1m12s"
        );
    }
}
