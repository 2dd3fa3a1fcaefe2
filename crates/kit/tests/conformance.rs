//! The conformance suite against a small source that follows the rules, and against ones that break them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of test functions fail the test as well"
)]

#[expect(dead_code, reason = "shared with the tests of the HTTP client")]
#[path = "http/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::StreamExt as _;
use overlock_core::{
    BoxStream, Catalog, Clock, Context, Deletes, Error, ErrorKind, Event, FixedClock, Page,
    ReadRequest, Result, Secret, Source, State, Stream, StreamName, Timestamp,
};
use overlock_kit::conformance::{Fault, Subject, World};
use overlock_kit::http::{Auth, HttpSettings, LoginClient, Origins, PlainApi, Request, Token};
use overlock_kit::{Http, HttpConfig};
use server::{Script, Server, Step, answer, json, reply};

const PASSWORD: &str = "canary-password-81c2";
const ROWS: u64 = 11;
const PER_PAGE: u64 = 3;

/// What the small source does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vice {
    None,
    SkipsAfterResume,
    StateBeforeRows,
    NoLastState,
    GoesBack,
    OtherSchema,
    TellsThePassword,
    RunsOn,
    TakesAPageForTheEnd,
    RepeatsAfterResume,
}

struct Small(Vice);

struct SmallWorld {
    server: Server,
    faults: Arc<Mutex<Vec<(u64, Fault)>>>,
    vice: Vice,
}

#[async_trait]
impl Subject for Small {
    async fn fresh(&self) -> Box<dyn World> {
        let faults = Arc::new(Mutex::new(Vec::<(u64, Fault)>::new()));
        let (planned, good_token) = (Arc::clone(&faults), AtomicU64::new(0));
        let server = Server::start(move |seen| {
            let index = seen.index as u64;
            let fault = planned
                .lock()
                .unwrap()
                .iter()
                .find(|(at, _)| *at == index)
                .map(|(_, fault)| *fault);
            let body = if seen.target == "/login" {
                let token = good_token.fetch_add(1, Ordering::SeqCst) + 1;
                let fault = fault.filter(|fault| *fault != Fault::JobExpired);
                let body = format!("{{\"token\":\"canary-token-{token}\"}}");
                return disturb(fault, &body);
            } else {
                if fault == Some(Fault::TokenExpired) {
                    good_token.fetch_add(1, Ordering::SeqCst);
                }
                let token = good_token.load(Ordering::SeqCst);
                if !seen
                    .headers
                    .contains(&format!("bearer canary-token-{token}"))
                {
                    return reply(401, &[], "{}");
                }
                let from: u64 = seen.target.split('=').nth(1).unwrap().parse().unwrap();
                let ids = from..(from + PER_PAGE).min(ROWS);
                let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
                format!("[{}]", ids.join(","))
            };
            disturb(fault, &body)
        })
        .await;
        Box::new(SmallWorld {
            server,
            faults,
            vice: self.0,
        })
    }
}

fn disturb(fault: Option<Fault>, body: &str) -> Script {
    match fault {
        Some(Fault::TooManyRequests) => reply(429, &[("Retry-After", "0")], ""),
        Some(Fault::Unavailable) => reply(503, &[("Content-Type", "text/html")], "<html>"),
        Some(Fault::Dropped) => vec![Step::Reset],
        Some(Fault::Cut) => {
            let whole = answer(200, &[], body.as_bytes());
            vec![Step::Send(whole[..whole.len() - 2].to_vec()), Step::Reset]
        }
        Some(Fault::JobExpired) => reply(410, &[], ""),
        Some(Fault::TokenExpired) | None => json(body),
    }
}

impl World for SmallWorld {
    fn connect(&self, cx: &Context) -> Result<Arc<dyn Source>> {
        let base = self.server.url();
        let settings = HttpSettings {
            config: HttpConfig {
                backoff_base: Duration::from_millis(1),
                ..HttpConfig::default()
            },
            origins: Origins {
                configured: vec![base.clone()],
                ..Origins::default()
            },
            ..HttpSettings::default()
        };
        let http = Http::new(settings, Arc::new(Login(base)), Arc::new(PlainApi), cx)?;
        Ok(Arc::new(SmallSource {
            http,
            vice: self.vice,
            cx: cx.clone(),
        }))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(FixedClock(Timestamp::EPOCH))
    }

    fn streams(&self) -> Vec<StreamName> {
        vec![StreamName::new("numbers").unwrap()]
    }

    fn until(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn expected(&self, _: &StreamName) -> Option<BTreeSet<String>> {
        Some((0..ROWS).map(|id| id.to_string()).collect())
    }

    fn requests(&self) -> u64 {
        self.server.seen().len() as u64
    }

    fn inject(&self, index: u64, fault: Fault) {
        self.faults.lock().unwrap().push((index, fault));
    }

    fn canaries(&self) -> Vec<String> {
        let mut canaries: Vec<_> = (0..60).map(|i| format!("canary-token-{i}")).collect();
        canaries.push(PASSWORD.to_owned());
        canaries
    }
}

struct Login(overlock_kit::http::Url);

#[async_trait]
impl Auth for Login {
    async fn login(&self, client: &LoginClient<'_>) -> Result<Token> {
        let url = self.0.join("/login").unwrap();
        let response = client
            .post_form(&url, &[("password", PASSWORD)], true)
            .await?;
        let body: std::collections::HashMap<String, String> = response.json()?;
        Ok(Token::authorization(
            Secret::new(format!("Bearer {}", body["token"])),
            self.0.clone(),
        ))
    }
}

struct SmallSource {
    http: Http,
    vice: Vice,
    cx: Context,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        overlock_core::stream::json_field("_extra"),
    ]))
}

impl SmallSource {
    async fn page(&self, from: u64) -> Result<Vec<i64>> {
        let got = self
            .http
            .send(Request::get("/rows").query("from", &from.to_string()))
            .await;
        match got {
            Err(_) if self.vice == Vice::TakesAPageForTheEnd => Ok(Vec::new()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(error.with_kind(ErrorKind::StateExpired))
            }
            Err(error) => Err(error),
            Ok(response) => response.json(),
        }
    }

    fn batch(&self, ids: Vec<i64>) -> RecordBatch {
        let extra = StringArray::from(vec![None::<&str>; ids.len()]);
        let ids = Arc::new(Int64Array::from(ids));
        if self.vice == Vice::OtherSchema {
            let schema = Schema::new(vec![
                Field::new("ID", DataType::Int64, true),
                overlock_core::stream::json_field("_extra"),
            ]);
            return RecordBatch::try_new(Arc::new(schema), vec![ids, Arc::new(extra)]).unwrap();
        }
        RecordBatch::try_new(schema(), vec![ids, Arc::new(extra)]).unwrap()
    }
}

#[async_trait]
impl Source for SmallSource {
    async fn check(&self) -> Result<()> {
        if self.vice == Vice::TellsThePassword {
            let message = format!("tried with {PASSWORD}");
            self.cx.events.emit(Event::Warning {
                code: "W1".into(),
                stream: None,
                message,
            });
        }
        self.http.login().await.map(drop)
    }

    async fn discover(&self, _: &[StreamName]) -> Result<Catalog> {
        let stream = Stream {
            name: StreamName::new("numbers")?,
            schema: schema(),
            primary_key: vec!["id".to_owned()],
            replication_key: None,
            incremental: true,
            deletes: Deletes::NotReported,
            exact_states: true,
            notes: Vec::new(),
        };
        Ok(Catalog {
            streams: vec![Arc::new(stream)],
            unavailable: Vec::new(),
            lacking: Vec::new(),
        })
    }

    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
        let resumed = request.state.is_some();
        let start = match request.state {
            Some(state) => match state.parse::<serde_json::Value>(1) {
                Ok(state) => state["next"].as_u64().unwrap(),
                Err(error) => return futures::stream::iter([Err(error)]).boxed(),
            },
            None => 0,
        };
        let start = match (self.vice, resumed) {
            (Vice::SkipsAfterResume, true) => start + 1,
            (Vice::RepeatsAfterResume, true) => start.saturating_sub(1),
            _ => start,
        };
        if self.vice == Vice::RunsOn {
            let http = self.http.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    let _answer = http.send(Request::get("/rows?from=0")).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        futures::stream::try_unfold(Some(start), move |next| async move {
            let Some(from) = next else {
                return Ok::<_, Error>(None);
            };
            let ids = self.page(from).await?;
            let next = from + ids.len() as u64;
            let ended = ids.is_empty();
            let told = match self.vice {
                Vice::StateBeforeRows => next + 1,
                Vice::GoesBack if ended => 3,
                _ => next,
            };
            let state = State::new(&serde_json::json!({"v": 1, "next": told}))?;
            let state = (self.vice != Vice::NoLastState || !ended).then_some(state);
            let page = Page {
                batch: self.batch(ids),
                state,
            };
            Ok(Some((page, (!ended).then_some(next))))
        })
        .boxed()
    }
}

overlock_kit::conformance!(Small(Vice::None));

#[tokio::test]
async fn single_faults_are_healed_before_the_engine_notices() {
    let healed = overlock_kit::conformance::faults_at_every_request(&Small(Vice::None)).await;
    // Six requests; only a lost cursor, at each but the login, is the engine's to repair.
    assert_eq!((healed.reads, healed.begun_again), (36, 5), "{healed:?}");
}

#[tokio::test]
async fn every_vice_is_found_and_named() {
    for (vice, rule) in [
        (Vice::SkipsAfterResume, "S1"),
        (Vice::StateBeforeRows, "S1"),
        (Vice::RepeatsAfterResume, "S1"),
        (Vice::TakesAPageForTheEnd, "S1"),
        (Vice::NoLastState, "S2"),
        (Vice::GoesBack, "S"),
        (Vice::OtherSchema, "S3"),
        (Vice::RunsOn, "S4"),
        (Vice::TellsThePassword, "S5"),
    ] {
        let run = tokio::spawn(async move {
            overlock_kit::conformance::every_rule(&Small(vice)).await;
        });
        let panic = run
            .await
            .expect_err(&format!("{vice:?} was not found"))
            .into_panic();
        let text = panic.downcast_ref::<String>().expect("a message");
        assert!(text.contains(&format!("({rule}")), "{vice:?}: {text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}
