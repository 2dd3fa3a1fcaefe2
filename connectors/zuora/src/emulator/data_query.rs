//! Data Query: jobs of SQL, their queue, and the files behind signed links.
//!
//! A job sees the tenant as it is at the instant of its submission. Its result is made there and then; what a client
//! polls for is only when it may see it. Jobs run by themselves: those that nobody asks about finish too, a little
//! later, while others are asked about.

use std::sync::atomic::AtomicU64;

use chrono_tz::Tz;
use http::{Method, header};
use overlock_core::Timestamp;
use overlock_sandbox::Response;
use overlock_sandbox::company::Dice;
use serde_json::{Value, json};

use super::call::{Call, json_answer};
use super::cell;
use super::data_file::{written, zipped};
use super::data_habits::DataHabits;
use super::data_job::{End, Format, Job, State, Submission, described, uuid};
use super::sql::{self, Scope, UNAVAILABLE};
use super::world::World;

/// Jobs are remembered for 30 days.
const HISTORY_SECS: i64 = 30 * 86_400;
/// No job takes longer than four hours: one, and three retries.
const LONGEST_SECS: i64 = 4 * 3_600;
/// How much longer a job takes that nobody asks about, in polls of others.
const UNATTENDED: u64 = 10;
/// A warehouse query may give so many times as many rows.
const WAREHOUSE_FACTOR: u64 = 100;
/// Where the warehouse shows instants.
const WAREHOUSE_ZONE: Tz = Tz::America__Los_Angeles;

/// The jobs of a tenant.
#[derive(Debug, Default)]
pub(super) struct DataQueries {
    /// In the order of submission.
    pub(super) jobs: Vec<Job>,
    submitted: u64,
    failed_in_passing: u64,
    counted_wrong: u64,
    /// Downloads that were cut so far.
    pub(super) cut: AtomicU64,
}

fn refused(status: u16, message: &str) -> Response {
    json_answer(status, &json!({"code": status, "message": message}))
}

impl DataQueries {
    /// `POST /query/jobs`, `GET /query/jobs`, `GET /query/jobs/{id}`, `DELETE /query/jobs/{id}`.
    pub(super) fn handle(
        &mut self,
        call: &Call<'_>,
        world: &World,
        habits: &DataHabits,
    ) -> Response {
        let path = call.path.trim_end_matches('/');
        let id = path
            .strip_prefix("/query/jobs")
            .map(|rest| rest.trim_start_matches('/'));
        match (call.method, id) {
            (&Method::POST, Some("")) => self.submit(call, world, habits),
            (&Method::GET, Some("")) => self.list(call, habits),
            (&Method::GET, Some(id)) => self.poll(id, call, habits),
            (&Method::DELETE, Some(id)) => self.cancel(id, call, habits),
            (_, Some(_)) => refused(405, "HTTP 405 Method Not Allowed"),
            (_, None) => refused(404, "HTTP 404 Not Found"),
        }
    }

    fn submit(&mut self, call: &Call<'_>, world: &World, habits: &DataHabits) -> Response {
        let content_type = call.headers.get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return refused(415, "HTTP 415 Unsupported Media Type");
        }
        let submission: Submission = match serde_json::from_slice(call.body) {
            Ok(submission) => submission,
            Err(error) => return refused(400, &format!("Unable to process JSON: {error}")),
        };
        let format = match submission.format() {
            Ok(format) => format,
            Err(problem) => return refused(400, problem),
        };
        self.jobs
            .retain(|job| call.now.seconds() - job.created.seconds() <= HISTORY_SECS);
        self.settle(call.now);
        let open = self.jobs.iter().filter(|job| job.open()).count();
        if open >= habits.running.saturating_add(habits.queued) {
            return refused(
                429,
                "The number of queued query jobs has exceeded the limit allowed by the system. \
                 Please resubmit your query later.",
            );
        }
        let end = self.run(&submission, format, call, world, habits);
        self.submitted += 1;
        let mut dice = Dice::numbered(world.options.seed, "zuora query job", self.submitted);
        let job = Job {
            id: uuid(&mut dice),
            secret: dice.next(),
            entity: call.entity,
            submission,
            created: call.now,
            updated: call.now,
            end,
            state: State::Accepted,
            polls: 0,
            other_polls: 0,
        };
        let answer = json!({"data": described(&job, call, habits)});
        self.jobs.push(job);
        json_answer(200, &answer)
    }

    /// What will become of a job.
    fn run(
        &mut self,
        submission: &Submission,
        format: Format,
        call: &Call<'_>,
        world: &World,
        habits: &DataHabits,
    ) -> End {
        if self.failed_in_passing < habits.fail_first {
            self.failed_in_passing += 1;
            return End::Failed(UNAVAILABLE.to_owned());
        }
        let warehouse = submission.of_warehouse();
        let zone = cell::zone(&habits.time_zone).unwrap_or(WAREHOUSE_ZONE);
        let scope = Scope {
            world,
            at: call.now,
            entity: call.entity,
            zone: if warehouse { WAREHOUSE_ZONE } else { zone },
            read_deleted: submission.read_deleted,
            input_rows: (!warehouse).then_some(habits.input_rows),
            microsecond_literals_fail: habits.microsecond_literals_fail,
        };
        let outcome = sql::parse(&submission.query).and_then(|statement| {
            let table = sql::table_name(&statement);
            match table.and_then(|table| habits.fail_tables.get(table)) {
                Some(message) => Err(message.clone()),
                None => sql::run(&statement, scope),
            }
        });
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(message) => return End::Failed(message),
        };
        let factor = if warehouse { WAREHOUSE_FACTOR } else { 1 };
        let most = habits.output_rows.saturating_mul(factor);
        if outcome.rows.len() as u64 > most {
            if !habits.truncate_silently {
                return End::Failed(format!(
                    "The number of output records exceeds the maximum limit of {most}"
                ));
            }
            outcome
                .rows
                .truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        let mut rows = outcome.rows.len() as u64;
        if self.counted_wrong < habits.wrong_output_rows {
            self.counted_wrong += 1;
            rows += 1;
        }
        let text = written(&outcome, format);
        let file = match submission.compression.as_deref() {
            Some("GZIP") => zipped(&text),
            _ => Ok(text),
        };
        match file {
            Ok(file) => End::Completed {
                file: file.into(),
                rows,
            },
            Err(error) => End::Failed(format!("failed to write the result: {error}")),
        }
    }

    /// Ends jobs that have been there for longer than any job takes.
    fn settle(&mut self, now: Timestamp) {
        for job in &mut self.jobs {
            if job.open() && now.seconds() - job.created.seconds() >= LONGEST_SECS {
                job.state = State::Ended;
                job.updated = now;
            }
        }
    }

    fn poll(&mut self, id: &str, call: &Call<'_>, habits: &DataHabits) -> Response {
        if !self
            .jobs
            .iter()
            .any(|job| job.id == id && job.entity == call.entity)
        {
            return refused(404, "HTTP 404 Not Found");
        }
        self.settle(call.now);
        for job in self
            .jobs
            .iter_mut()
            .filter(|job| job.open())
            .take(habits.running)
        {
            if job.id == id {
                job.polls += 1;
            } else {
                job.other_polls += 1;
            }
            let patience = habits.polls.saturating_add(1).saturating_mul(UNATTENDED);
            let next = if job.polls > habits.polls || job.other_polls > patience {
                State::Ended
            } else if job.polls > 1 || habits.polls < 2 {
                State::InProgress
            } else {
                State::Accepted
            };
            if next != job.state {
                job.state = next;
                job.updated = call.now;
            }
        }
        self.jobs.iter().find(|job| job.id == id).map_or_else(
            || refused(404, "HTTP 404 Not Found"),
            |job| json_answer(200, &json!({"data": described(job, call, habits)})),
        )
    }

    fn list(&mut self, call: &Call<'_>, habits: &DataHabits) -> Response {
        self.settle(call.now);
        let size = call
            .parameter("pageSize")
            .map_or(Ok(20), |size| size.parse::<usize>());
        let Some(size) = size.ok().filter(|size| (1..=1_000).contains(size)) else {
            return refused(400, "pageSize must be between 1 and 1000");
        };
        let wanted = call.parameter("queryStatus");
        let jobs: Vec<Value> = self
            .jobs
            .iter()
            .rev()
            .filter(|job| job.entity == call.entity)
            .filter(|job| {
                wanted
                    .as_deref()
                    .is_none_or(|wanted| wanted == job.status())
            })
            .take(size)
            .map(|job| described(job, call, habits))
            .collect();
        json_answer(200, &json!({"data": jobs}))
    }

    fn cancel(&mut self, id: &str, call: &Call<'_>, habits: &DataHabits) -> Response {
        let found = self
            .jobs
            .iter_mut()
            .find(|job| job.id == id && job.entity == call.entity);
        let Some(job) = found else {
            return refused(404, "HTTP 404 Not Found");
        };
        if !job.open() {
            return refused(
                400,
                &format!("A query job that is {} cannot be cancelled", job.status()),
            );
        }
        job.state = State::Cancelled;
        job.updated = call.now;
        json_answer(200, &json!({"data": described(job, call, habits)}))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::query_bench::{Bench, NOW, get, read, submission, time};
    use super::*;

    #[test]
    fn a_job_goes_through_its_states_and_gives_a_file() {
        for (polls, expected) in [
            (0, vec!["completed"]),
            (1, vec!["in_progress", "completed"]),
            (
                3,
                vec!["accepted", "in_progress", "in_progress", "completed"],
            ),
        ] {
            let mut bench = Bench::new(DataHabits {
                polls,
                ..DataHabits::default()
            });
            let id = bench.submit("SELECT id, balance, billcycleday FROM account ORDER BY id");
            let seen: Vec<Value> = expected
                .iter()
                .map(|_| bench.poll(&id)["queryStatus"].clone())
                .collect();
            assert_eq!(seen, expected);
            let job = bench.poll(&id);
            assert_eq!(job["outputRows"], 3);
            assert!(job["processingTime"].is_u64() && job["errorMessage"].is_null());
            let (status, text) = read(bench.download(&job));
            assert_eq!(status, 200);
            assert_eq!(
                text,
                "{\"id\":\"a1\",\"balance\":9007199254740993.000000001,\"billcycleday\":31}\n\
                 {\"id\":\"a2\",\"balance\":-0.010,\"billcycleday\":null}\n\
                 {\"id\":\"a4\",\"balance\":7,\"billcycleday\":null}\n"
            );
        }
    }

    #[test]
    fn a_job_sees_the_instant_of_its_submission() {
        let mut bench = Bench::new(DataHabits::default());
        let id = bench.submit("SELECT name FROM account WHERE id = 'a1'");
        let changes = [("Name", super::super::model::Value::Text("Late".to_owned()))];
        bench
            .world
            .update("Account", "a1", &changes, Some(time(NOW)), time(NOW));
        let job = bench.ended(&id);
        assert_eq!(read(bench.download(&job)).1, "{\"name\":\"Acme\"}\n");
    }

    #[test]
    fn submissions_are_checked() {
        let query = "SELECT id FROM account";
        for (more, expected) in [
            (
                json!({"compression": "LZ4"}),
                "compression must be one of NONE, GZIP, ZIP",
            ),
            (
                json!({"compression": "ZIP"}),
                "compression ZIP is not emulated",
            ),
            (json!({"output": null}), "output.target must be S3"),
            (
                json!({"outputFormat": null}),
                "outputFormat must be one of JSON, CSV, TSV, DSV",
            ),
            (
                json!({"outputFormat": "DSV"}),
                "columnSeparator must be given with DSV",
            ),
            (
                json!({"sourceData": "MOON"}),
                "sourceData must be one of LIVE, WAREHOUSE",
            ),
            (json!({"query": " "}), "query must not be empty"),
        ] {
            let (status, answer) =
                Bench::new(DataHabits::default()).send(&submission(query, &more));
            assert_eq!(
                (status, answer),
                (400, json!({"code": 400, "message": expected}))
            );
        }
        let mut bench = Bench::new(DataHabits::default());
        let mut bare = submission(query, &json!({}));
        bare.headers.clear();
        let (status, answer) = bench.send(&bare);
        assert_eq!(
            (status, answer),
            (
                415,
                json!({"code": 415, "message": "HTTP 415 Unsupported Media Type"})
            )
        );
        assert_eq!(bench.send(&get("/query/jobs/none")).0, 404);
        let mut cut = submission(query, &json!({}));
        cut.body.truncate(9);
        assert_eq!(bench.send(&cut).0, 400);
    }

    #[test]
    fn five_run_ten_wait_and_the_sixteenth_is_refused() {
        let mut bench = Bench::new(DataHabits::default());
        let ids: Vec<String> = (0..15)
            .map(|_| bench.submit("SELECT id FROM account"))
            .collect();
        let (status, answer) = bench.send(&submission("SELECT id FROM account", &json!({})));
        assert_eq!((status, &answer["code"]), (429, &json!(429)));
        // The sixth waits however often it is asked about, until one before it has ended.
        for _ in 0..5 {
            assert_eq!(bench.poll(&ids[5])["queryStatus"], "accepted");
        }
        bench.ended(&ids[0]);
        assert_eq!(bench.ended(&ids[5])["queryStatus"], "completed");
        bench.submit("SELECT id FROM account");
        let (_, listed) = bench.send(&get("/query/jobs?queryStatus=completed&pageSize=1000"));
        assert_eq!(listed["data"].as_array().unwrap().len(), 2);
        let (_, listed) = bench.send(&get("/query/jobs?pageSize=3"));
        assert_eq!(listed["data"].as_array().unwrap().len(), 3);
        assert_eq!(bench.send(&get("/query/jobs?pageSize=0")).0, 400);
    }

    #[test]
    fn abandoned_jobs_end_by_themselves() {
        let mut bench = Bench::new(DataHabits::default());
        for _ in 0..5 {
            bench.submit("SELECT id FROM account");
        }
        assert_eq!(
            bench.run("SELECT id FROM account")["queryStatus"],
            "completed"
        );
        let id = bench.submit("SELECT id FROM account");
        let mut later = get(&format!("/query/jobs/{id}"));
        later.now = time("2024-11-20T04:00:00Z");
        assert_eq!(bench.send(&later).1["data"]["queryStatus"], "completed");
    }

    #[test]
    fn a_cancelled_job_stays_cancelled() {
        let mut bench = Bench::new(DataHabits::default());
        let id = bench.submit("SELECT id FROM account");
        let mut cancel = get(&format!("/query/jobs/{id}"));
        cancel.method = Method::DELETE;
        assert_eq!(bench.send(&cancel).1["data"]["queryStatus"], "cancelled");
        assert_eq!(bench.poll(&id)["queryStatus"], "cancelled");
        assert_eq!(bench.send(&cancel).0, 400);
    }

    #[test]
    fn every_habit_bites() {
        let fails = |habits: DataHabits, query: &str| {
            let job = Bench::new(habits).run(query);
            let message = job["errorMessage"].as_str().unwrap_or_default().to_owned();
            (job["queryStatus"] == "failed", message)
        };
        let all = "SELECT id FROM account";
        let normal = DataHabits::default;
        let (failed, message) = fails(
            DataHabits {
                output_rows: 2,
                ..normal()
            },
            all,
        );
        assert!(failed && message.contains("limit of 2"), "{message}");
        let (failed, message) = fails(
            DataHabits {
                input_rows: 2,
                ..normal()
            },
            "SELECT count(*) FROM account",
        );
        assert!(failed && message.contains("input records"), "{message}");
        let table = [("account".to_owned(), "no".to_owned())];
        let (failed, message) = fails(
            DataHabits {
                fail_tables: table.into(),
                ..normal()
            },
            all,
        );
        assert!(failed && message == "no");
        let six = "SELECT id FROM account WHERE updateddate > TIMESTAMP '2024-01-01 00:00:00.000000 +00:00'";
        let careful = DataHabits {
            microsecond_literals_fail: true,
            ..normal()
        };
        assert!(fails(careful.clone(), six).0 && !fails(normal(), six).0);
        assert!(!fails(careful, &six.replace(".000000", ".000")).0);

        let mut passing = Bench::new(DataHabits {
            fail_first: 2,
            ..normal()
        });
        let ends: Vec<Value> = (0..3).map(|_| passing.run(all)).collect();
        let statuses: Vec<&Value> = ends.iter().map(|job| &job["queryStatus"]).collect();
        assert_eq!(statuses, ["failed", "failed", "completed"]);
        assert!(
            ends[0]["errorMessage"]
                .as_str()
                .unwrap()
                .contains("LINK_30000007")
        );

        let mut short = Bench::new(DataHabits {
            output_rows: 2,
            truncate_silently: true,
            ..normal()
        });
        let job = short.run(all);
        assert_eq!(
            (&job["queryStatus"], &job["outputRows"]),
            (&json!("completed"), &json!(2))
        );
        assert_eq!(read(short.download(&job)).1.lines().count(), 2);

        let mut wrong = Bench::new(DataHabits {
            wrong_output_rows: 1,
            ..normal()
        });
        assert_eq!(wrong.run(all)["outputRows"], 4);
        assert_eq!(wrong.run(all)["outputRows"], 3);

        let mut cut = Bench::new(DataHabits {
            cut_files: 1,
            ..normal()
        });
        let job = cut.run(all);
        let (half, whole) = (read(cut.download(&job)).1, read(cut.download(&job)).1);
        assert_eq!(half.len(), whole.len() / 2);

        let base = Some("http://127.0.0.1:9".to_owned());
        let job = Bench::new(DataHabits {
            file_base: base,
            ..normal()
        })
        .run(all);
        assert!(
            job["dataFile"]
                .as_str()
                .unwrap()
                .starts_with("http://127.0.0.1:9/data-files/")
        );

        let zone = "Europe/Berlin".to_owned();
        let mut abroad = Bench::new(DataHabits {
            time_zone: zone,
            ..normal()
        });
        let job = abroad.run("SELECT updateddate FROM account WHERE id = 'a1'");
        assert_eq!(
            read(abroad.download(&job)).1,
            "{\"updateddate\":\"2024-11-10T18:35:45.000+01:00\"}\n"
        );
    }

    #[test]
    fn the_warehouse_gives_more_rows_in_its_own_zone() {
        let habits = DataHabits {
            output_rows: 1,
            time_zone: "UTC".to_owned(),
            ..DataHabits::default()
        };
        let mut bench = Bench::new(habits);
        let query = "SELECT updateddate FROM account ORDER BY updateddate";
        let (_, answer) = bench.send(&submission(query, &json!({"sourceData": "WAREHOUSE"})));
        let job = bench.ended(answer["data"]["id"].as_str().unwrap());
        assert_eq!(job["outputRows"], 3);
        assert!(
            read(bench.download(&job))
                .1
                .contains("2024-11-10T09:35:45.000-08:00")
        );
    }

    #[test]
    fn an_entity_sees_its_own_rows_and_jobs() {
        let mut bench = Bench::new(DataHabits::default());
        let mut request = submission("SELECT id FROM account", &json!({}));
        request.entity = Some(1);
        let (_, answer) = bench.send(&request);
        let mut poll = get(&format!(
            "/query/jobs/{}",
            answer["data"]["id"].as_str().unwrap()
        ));
        assert_eq!(bench.send(&poll).0, 404);
        poll.entity = Some(1);
        bench.send(&poll);
        let job = bench.send(&poll).1["data"].clone();
        assert_eq!(read(bench.download(&job)).1, "{\"id\":\"a4\"}\n");
    }
}
