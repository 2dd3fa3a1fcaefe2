//! Data Query jobs: submitted, waited for, cancelled.
//!
//! A tenant has five places for jobs that run and ten for jobs that wait, which its own people use, too: no more than
//! [`limits::DATA_QUERY_JOBS`] are taken at a time, and a full queue is waited for.
//!
//! **Invariant:** a job whose end was not seen is on the list of those that [`TableJobs::cancel_all`] cancels.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind, Result, StreamName, crash_point};
use overlock_kit::http::{Request, Url};
use overlock_kit::{Poll, poll};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api;
use crate::client::Client;
use crate::errors::{self, Meaning};
use crate::limits;
use crate::source::Zuora;

/// How often a query is submitted again after an error that passes.
const PASSING_TRIES: u32 = 5;

/// The pause between two looks at a job grows up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Jobs that are under way, with their entities.
#[derive(Debug, Default)]
pub(crate) struct TableJobs(Mutex<BTreeSet<(String, String)>>);

impl TableJobs {
    fn note(&self, id: &str, entity: &str, runs: bool) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = (id.to_owned(), entity.to_owned());
        if runs {
            running.insert(job);
        } else {
            running.remove(&job);
        }
    }

    /// Cancels what is under way.
    pub(crate) async fn cancel_all(&self, client: &Client) {
        let running = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        for (id, entity) in running {
            cancel(client, &id, &entity).await;
        }
    }
}

/// Cancels a job; best effort.
async fn cancel(client: &Client, id: &str, entity: &str) {
    let request = client.scoped(Request::delete(format!("/query/jobs/{id}")), entity);
    if let Err(error) = client.send(request).await {
        tracing::debug!(%error, "A query is not cancelled.");
    }
}

/// An answer about a job.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Job,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Job {
    id: Option<String>,
    query_status: Option<String>,
    error_message: Option<String>,
    data_file: Option<String>,
    output_rows: Option<Value>,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Running,
    Completed,
    Failed,
    Cancelled,
}

fn standing(status: &str) -> Standing {
    match status.to_ascii_lowercase().as_str() {
        "completed" => Standing::Completed,
        "failed" | "error" => Standing::Failed,
        "cancelled" | "canceled" | "aborted" => Standing::Cancelled,
        // `submitted`, `accepted`, `in_progress`, and what nobody knows.
        _ => Standing::Running,
    }
}

/// A job that is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) id: String,
    /// A signed link to its rows, which is good for a while.
    pub(super) file: Option<Url>,
    pub(super) rows: u64,
}

impl Job {
    /// What came of it, if it is over.
    fn outcome(self, id: &str) -> Option<Result<Finished>> {
        let status = self.query_status.as_deref().unwrap_or_default();
        Some(match standing(status) {
            Standing::Running => return None,
            Standing::Completed => self.finished(id),
            Standing::Failed => Err(errors::data_query_error(
                self.error_message.as_deref().unwrap_or("(no reason)"),
            )),
            Standing::Cancelled => Err(Error::new(
                ErrorKind::Unavailable,
                format!("run a Data Query: it is {} at Zuora", printable(status)),
            )
            .hint("somebody cancelled the job: run again")),
        })
    }

    fn finished(self, id: &str) -> Result<Finished> {
        let unproven = |what: &str| {
            Error::new(
                ErrorKind::Data,
                format!("use the result of a Data Query: {what}"),
            )
        };
        let rows = match &self.output_rows {
            Some(Value::Number(rows)) => rows.as_u64(),
            Some(Value::String(rows)) => rows.parse().ok(),
            _ => None,
        };
        let rows = rows.ok_or_else(|| unproven("Zuora gives no number of its rows"))?;
        let file = match self.data_file.as_deref() {
            Some(file) => {
                Some(Url::parse(file).map_err(|_| unproven("the link to its file is none"))?)
            }
            None if rows == 0 => None,
            None => return Err(unproven("it is completed and has no file")),
        };
        Ok(Finished {
            id: id.to_owned(),
            file,
            rows,
        })
    }
}

fn schedule(source: &Zuora) -> Poll {
    let first = source.tuning().first_pause;
    Poll {
        first,
        cap: LONGEST_PAUSE.max(first),
        budget: limits::DATA_QUERY_TIMEOUT,
    }
}

/// Runs a query to its end; again, if it fails for a reason that passes.
pub(super) async fn run(
    source: &Zuora,
    stream: Option<&StreamName>,
    entity: &str,
    sql: &str,
) -> Result<Finished> {
    let mut attempt = 1;
    loop {
        let error = match run_once(source, stream, entity, sql).await {
            Ok(finished) => return Ok(finished),
            Err(error) => error,
        };
        if Meaning::of(&error) != Some(Meaning::Passing) || attempt >= PASSING_TRIES {
            return Err(error);
        }
        source.client().http().retry(stream, attempt, error).await?;
        attempt += 1;
    }
}

async fn run_once(
    source: &Zuora,
    stream: Option<&StreamName>,
    entity: &str,
    sql: &str,
) -> Result<Finished> {
    let place = source.table_places().ready(None, Duration::MAX).await;
    let _place = place.map_err(|_| Error::bug("get a place for a Data Query"))?;
    let id = submit(source, stream, entity, sql).await?;
    source.table_jobs().note(&id, entity, true);
    crash_point!("S1.after_job_created");
    let ended = poll(schedule(source), "a Data Query", || async {
        Ok(look(source, stream, entity, &id).await?.outcome(&id))
    })
    .await;
    match ended {
        Ok(outcome) => {
            source.table_jobs().note(&id, entity, false);
            crash_point!("S2.after_job_complete");
            outcome
        }
        Err(error) if Meaning::of(&error) == Some(Meaning::Gone) => {
            source.table_jobs().note(&id, entity, false);
            Err(Meaning::Passing.mark(
                Error::new(
                    ErrorKind::Unavailable,
                    "wait for a Data Query: it is gone at Zuora",
                )
                .source(error),
            ))
        }
        Err(error) => {
            // Whether it runs on is not known, and nobody waits for it any more.
            cancel(source.client(), &id, entity).await;
            source.table_jobs().note(&id, entity, false);
            Err(error)
        }
    }
}

/// A completed job once more: its link is signed anew.
pub(super) async fn refreshed(
    source: &Zuora,
    stream: Option<&StreamName>,
    entity: &str,
    id: &str,
) -> Result<Finished> {
    let job = look(source, stream, entity, id).await?;
    job.outcome(id).unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Data,
            "fetch the result of a Data Query: it is not completed any more",
        ))
    })
}

async fn look(source: &Zuora, stream: Option<&StreamName>, entity: &str, id: &str) -> Result<Job> {
    let request = for_stream(Request::get(format!("/query/jobs/{id}")), stream);
    let request = source.client().scoped(request, entity);
    let answer: Answer = source.client().json(&request).await?;
    Ok(answer.data)
}

fn for_stream(request: Request, stream: Option<&StreamName>) -> Request {
    match stream {
        Some(stream) => request.stream(stream),
        None => request,
    }
}

/// The body that makes a job.
fn body(sql: &str) -> Value {
    json!({
        "query": sql,
        "compression": "GZIP",
        "output": {"target": "S3"},
        "outputFormat": "JSON",
        "sourceData": "LIVE",
        "useIndexJoin": false,
        "readDeleted": false,
    })
}

/// Makes a job; waits while there are too many.
async fn submit(
    source: &Zuora,
    stream: Option<&StreamName>,
    entity: &str,
    sql: &str,
) -> Result<String> {
    let body = body(sql).to_string();
    poll(schedule(source), "a place for a Data Query", || async {
        // Should an answer be lost, the key may spare the tenant a second job.
        let key = ulid::Ulid::r#gen().to_string();
        let request = Request::post("/query/jobs", body.clone())
            .header("idempotency-key", &key)
            .idempotent(true);
        let request = source.client().scoped(for_stream(request, stream), entity);
        let answer: Result<Answer> = source.client().json(&request).await;
        match answer {
            Ok(answer) => {
                let id = answer.data.id.as_deref().and_then(api::word);
                let missing = || {
                    Error::new(
                        ErrorKind::Data,
                        "use the id of a Data Query: it is missing, or not of the documented form",
                    )
                };
                Ok(Some(id.ok_or_else(missing)?))
            }
            Err(error) if Meaning::of(&error) == Some(Meaning::Busy) => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Option<Result<Finished>> {
        let answer: Answer = serde_json::from_str(text).unwrap();
        answer.data.outcome("j1")
    }

    #[test]
    fn only_a_counted_result_with_a_file_is_one() {
        let good = outcome(
            r#"{"data":{"queryStatus":"completed","outputRows":7,"dataFile":"https://b.s3.amazonaws.com/f?X=1"}}"#,
        );
        assert_eq!(good.unwrap().unwrap().rows, 7);
        let empty = outcome(r#"{"data":{"queryStatus":"COMPLETED","outputRows":"0"}}"#);
        assert_eq!(empty.unwrap().unwrap().file, None);
        for bad in [
            r#"{"data":{"queryStatus":"completed","dataFile":"https://b.s3.amazonaws.com/f"}}"#,
            r#"{"data":{"queryStatus":"completed","outputRows":-1,"dataFile":"https://b.s3.amazonaws.com/f"}}"#,
            r#"{"data":{"queryStatus":"completed","outputRows":1}}"#,
            r#"{"data":{"queryStatus":"completed","outputRows":1,"dataFile":"/f"}}"#,
        ] {
            let error = outcome(bad).unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{bad}");
        }
    }

    #[test]
    fn a_job_ends_by_each_documented_status_and_no_other() {
        for status in ["submitted", "accepted", "in_progress", "new one", ""] {
            assert_eq!(standing(status), Standing::Running, "{status}");
        }
        for (status, expected) in [
            ("failed", Standing::Failed),
            ("cancelled", Standing::Cancelled),
            ("canceled", Standing::Cancelled),
            ("aborted", Standing::Cancelled),
        ] {
            assert_eq!(standing(status), expected, "{status}");
        }
        let failed = outcome(r#"{"data":{"queryStatus":"failed"}}"#).unwrap();
        assert!(failed.unwrap_err().to_string().contains("no reason"));
    }
}
