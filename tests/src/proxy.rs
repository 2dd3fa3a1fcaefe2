//! A proxy between the binary and the Snowflake stand-in, which loses, refuses, delays and lies as it is told.
//!
//! A statement is known by the word of its step, the last one of its comment (`-- overlock crm.Account <id> copy`).
//! Other requests have words too: `login`, `renew`, `close`, `poll`, and `put_file` for a file on its way to the
//! stage. What the stand-in cannot do, to renew a session and to be asked for a result later, the proxy does itself.

#![expect(
    clippy::disallowed_methods,
    reason = "the other side is a stand-in on this machine, which sends no more than it has"
)]

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use overlock_snowflake::stand_in::StandIn;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// Longest request.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Between two looks whether what is held may go on.
const HELD: Duration = Duration::from_millis(10);

/// What the token of a renewed session begins with, which the stand-in never sees.
const RENEWED: &str = "renewed-";

/// What the binary gets to see.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The connection ends.
    Cut,
    /// This.
    Text {
        /// HTTP status.
        status: u16,
        /// Its type.
        kind: &'static str,
        /// The body.
        body: String,
    },
}

impl Reply {
    fn json(body: &Value) -> Self {
        Self::Text {
            status: 200,
            kind: "application/json",
            body: body.to_string(),
        }
    }

    /// What something between here and Snowflake says.
    pub fn html(status: u16) -> Self {
        Self::Text {
            status,
            kind: "text/html",
            body: "<html>Sign in</html>".to_owned(),
        }
    }

    /// Snowflake's no.
    pub fn refusal(code: &str, message: &str) -> Self {
        Self::json(&json!({"success": false, "code": code, "message": message, "data": null}))
    }

    /// Snowflake's yes, with rows.
    pub fn rows(columns: &[&str], rows: &[&[&str]]) -> Self {
        let rowtype: Vec<Value> = columns
            .iter()
            .map(|name| json!({"name": name, "type": "text", "nullable": true}))
            .collect();
        Self::json(&json!({
            "success": true, "code": null, "message": null,
            "data": {"queryResultFormat": "json", "rowtype": rowtype, "rowset": rows, "total": rows.len()},
        }))
    }

    /// Snowflake's yes to what it did not do.
    pub fn done() -> Self {
        Self::rows(&["status"], &[&["Statement executed successfully."]])
    }
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It never reaches the stand-in.
    NotDone(Reply),
    /// It is done, and the answer is another.
    Done(Reply),
    /// The connection ends, and it is done only when a request comes that meets [`Fault::BehindLate`].
    Late,
    /// It waits for what is late, as a statement waits for a lock.
    BehindLate,
    /// It waits until the faults are cleared.
    Held,
    /// It is done, and so many polls are told that it still runs.
    InProgress(u32),
    /// The session's token is over; the request is turned away at the door.
    Expired,
    /// Only so many bytes of it arrive.
    Short(usize),
}

/// Which requests meet a fault.
#[derive(Debug, Clone)]
struct Rule {
    word: &'static str,
    skip: u32,
    times: u32,
    fault: Fault,
}

/// Where the stand-in listens. Faults are put before it alone, never before a real account.
pub fn stand_in() -> &'static str {
    StandIn::shared().url().unwrap()
}

/// A running proxy; stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Shared {
    client: reqwest::Client,
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    rules: Vec<Rule>,
    fired: u32,
    words: Vec<String>,
    /// Tokens that were turned away.
    expired: HashSet<String>,
    late: Option<Call>,
    /// Answers that are there already, and how often they are still denied.
    results: HashMap<String, (u32, Reply)>,
}

impl Proxy {
    /// Starts on a free port, without faults.
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        let app = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            url,
            shared,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on, every request with this word meets the fault.
    pub fn always(&self, word: &'static str, fault: Fault) {
        self.some(word, 0, u32::MAX, fault);
    }

    /// The next request with this word meets the fault.
    pub fn once(&self, word: &'static str, fault: Fault) {
        self.some(word, 0, 1, fault);
    }

    /// So many requests with this word pass, the one after them meets the fault.
    pub fn later(&self, word: &'static str, skip: u32, fault: Fault) {
        self.some(word, skip, 1, fault);
    }

    /// So many requests with this word pass, and so many after them meet the fault.
    pub fn some(&self, word: &'static str, skip: u32, times: u32, fault: Fault) {
        let mut known = self.shared.known();
        known.rules.push(Rule {
            word,
            skip,
            times,
            fault,
        });
    }

    /// Lifts all faults, lets go of what is held, and forgets what was seen.
    pub fn clear(&self) {
        let mut known = self.shared.known();
        *known = Known {
            expired: std::mem::take(&mut known.expired),
            ..Known::default()
        };
    }

    /// How many requests met a fault.
    pub fn fired(&self) -> u32 {
        self.shared.known().fired
    }

    /// How many requests with this word came.
    pub fn count(&self, word: &str) -> usize {
        let known = self.shared.known();
        known.words.iter().filter(|seen| *seen == word).count()
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    word: String,
}

impl Call {
    async fn read(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await;
        let body = body.unwrap_or_default();
        let path = parts.uri.path_and_query();
        let path = path.map(ToString::to_string).unwrap_or_default();
        let word = match (parts.method.as_str(), parts.uri.path()) {
            ("PUT", _) => "put_file".to_owned(),
            ("GET", _) => "poll".to_owned(),
            (_, "/session/v1/login-request") => "login".to_owned(),
            (_, "/session/token-request") => "renew".to_owned(),
            (_, "/session") => "close".to_owned(),
            _ => word_of(&body),
        };
        Self {
            method: parts.method,
            path,
            headers: parts.headers,
            body,
            word,
        }
    }

    /// The token between the quotes of `Snowflake Token="..."`.
    fn token(&self) -> &str {
        let value = self.headers.get(header::AUTHORIZATION);
        let value = value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        value.split('"').nth(1).unwrap_or_default()
    }
}

/// The last word of the first line: the word of the step.
fn word_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let sql = body.get("sqlText").and_then(Value::as_str);
    let comment = sql.and_then(|sql| sql.lines().next()).unwrap_or_default();
    comment
        .split(' ')
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that a request meets.
    fn meet(&self, call: &Call) -> Option<Fault> {
        let mut known = self.known();
        known.words.push(call.word.clone());
        let mut met = None;
        for rule in known.rules.iter_mut().filter(|rule| rule.word == call.word) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 && met.is_none() {
                rule.times -= 1;
                met = Some(rule.fault.clone());
            }
        }
        known.fired += u32::from(met.is_some());
        met
    }

    /// What the stand-in answers, or the proxy in its place.
    async fn answer(&self, call: &Call) -> Reply {
        match call.word.as_str() {
            "renew" => renewal(call),
            "poll" => self.result(&call.path),
            _ => self.forward(call).await.unwrap_or(Reply::Cut),
        }
    }

    /// The stand-in sees the proxy's own host, which it names as the place of its stages too.
    async fn forward(&self, call: &Call) -> reqwest::Result<Reply> {
        let url = format!("{}{}", stand_in(), call.path);
        let mut headers = call.headers.clone();
        for name in [
            header::ACCEPT_ENCODING,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ] {
            headers.remove(name);
        }
        let token = format!(
            "Snowflake Token=\"{}\"",
            call.token().trim_start_matches(RENEWED)
        );
        if headers.contains_key(header::AUTHORIZATION)
            && let Ok(token) = token.parse()
        {
            headers.insert(header::AUTHORIZATION, token);
        }
        let request = self.client.request(call.method.clone(), url);
        let response = request
            .headers(headers)
            .body(call.body.clone())
            .send()
            .await?;
        Ok(Reply::Text {
            status: response.status().as_u16(),
            kind: "application/json",
            body: response.text().await?,
        })
    }

    fn in_progress(&self, polls: u32, reply: Reply) -> Reply {
        let mut known = self.known();
        let path = format!("/queries/{}/result", known.results.len());
        known.results.insert(path.clone(), (polls, reply));
        still_runs(&path)
    }

    fn result(&self, path: &str) -> Reply {
        match self.known().results.get_mut(path) {
            Some((0, reply)) => reply.clone(),
            Some((polls, _)) => {
                *polls -= 1;
                still_runs(path)
            }
            None => Reply::html(404),
        }
    }

    async fn apply(&self, fault: Option<Fault>, mut call: Call) -> Reply {
        match fault {
            None => self.answer(&call).await,
            Some(Fault::NotDone(reply)) => reply,
            Some(Fault::Done(reply)) => {
                self.answer(&call).await;
                reply
            }
            Some(Fault::Late) => {
                self.known().late = Some(call);
                Reply::Cut
            }
            Some(Fault::BehindLate) => {
                let late = self.known().late.take();
                if let Some(late) = late {
                    self.answer(&late).await;
                }
                self.answer(&call).await
            }
            Some(Fault::Held) => {
                while !self.known().rules.is_empty() {
                    tokio::time::sleep(HELD).await;
                }
                self.answer(&call).await
            }
            Some(Fault::InProgress(polls)) => {
                let reply = self.answer(&call).await;
                self.in_progress(polls, reply)
            }
            Some(Fault::Expired) => {
                self.known().expired.insert(call.token().to_owned());
                expired()
            }
            Some(Fault::Short(bytes)) => {
                call.body.truncate(bytes);
                self.answer(&call).await
            }
        }
    }
}

fn expired() -> Reply {
    Reply::refusal("390112", "Your session has expired. Please login again.")
}

fn renewal(call: &Call) -> Reply {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let old = body.get("oldSessionToken").and_then(Value::as_str);
    let new = format!("{RENEWED}{}", old.unwrap_or_default());
    Reply::json(&json!({
        "success": true, "code": null, "message": null,
        "data": {
            "sessionToken": new, "validityInSecondsST": 3600, "masterToken": "",
            "validityInSecondsMT": 14400, "sessionId": 1,
        },
    }))
}

fn still_runs(path: &str) -> Reply {
    Reply::json(&json!({
        "success": true, "code": "333334", "message": "Asynchronous execution in progress.",
        "data": {"queryId": "q", "getResultUrl": path, "queryAbortsAfterSecs": 300},
    }))
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let call = Call::read(request).await;
    let is_turned_away = call.word != "close" && shared.known().expired.contains(call.token());
    let fault = shared.meet(&call);
    let reply = if is_turned_away && fault.is_none() {
        expired()
    } else {
        shared.apply(fault, call).await
    };
    match reply {
        Reply::Cut => {
            let nothing = std::future::ready(Err::<Bytes, _>(io::Error::other("cut")));
            Body::from_stream(futures::stream::once(nothing)).into_response()
        }
        Reply::Text { status, kind, body } => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            (status, [(header::CONTENT_TYPE, kind)], body).into_response()
        }
    }
}
