//! The one middleware between the driver and the network.
//!
//! The driver ignores HTTP status codes, cannot read the answer to a long statement, logs in again in silence
//! and uploads whatever the server names. All of that is caught here: each request is sent once, its answer is
//! read whole, and the driver sees it only if it is the final answer to a statement that was done. Everything
//! else becomes a [`Failure`] that says whether anybody knows what happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Extensions, HeaderMap, HeaderValue, Method, header};
use overlock_core::{Error, ErrorKind};
use reqwest::{Body, Request, Response};
use reqwest_middleware::{Middleware, Next};
use serde_json::{Value, json};
use url::Url;

use super::codes::{self, AGAIN, IN_PROGRESS, SESSION_EXPIRED};
use super::login::Login;
use super::upload::{self, Upload};
use crate::warehouse::Failure;

/// Longest answer. Ours have a row per column of a table or per file of a package.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Between two looks at a statement that still runs.
const POLL: Duration = Duration::from_secs(1);

/// A statement is given up after that time (it keeps running; the head will tell).
const MAX_WAIT: Duration = Duration::from_secs(4 * 60 * 60);

/// First words of statements that commit an open transaction (snowflake.md, section 6).
const DDL: [&str; 6] = ["CREATE", "ALTER", "DROP", "GRANT", "COMMENT", "USE"];

/// What is known about a session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The number that Snowflake gave it; `None` before the login.
    id: Option<i64>,
    logged_in: bool,
    in_transaction: bool,
    /// A statement failed since BEGIN, so that COMMIT would lie.
    failed: bool,
    /// Why the last request failed.
    failure: Option<Failure>,
    /// The files that the next PUT means, and nothing else, until they were sent.
    upload: Option<Upload>,
    /// The last statement's id, for the audit trail.
    query_id: Option<String>,
    /// What the login or the last renewal gave. The driver has them too, and renews by its own clock only.
    tokens: Option<Tokens>,
}

/// The tokens of a session.
#[derive(Clone)]
struct Tokens {
    session: String,
    master: String,
    /// The driver's is over.
    is_renewed: bool,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// Shared by the middleware and by the session that uses it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedSession(Arc<Mutex<Session>>);

impl SharedSession {
    fn get(&self) -> MutexGuard<'_, Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last request failed.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.get().failure.take()
    }

    /// The id of the last statement.
    pub(crate) fn query_id(&self) -> Option<String> {
        self.get().query_id.clone()
    }

    /// The next PUT sends this.
    pub(crate) fn expect_upload(&self, upload: Option<Upload>) {
        self.get().upload = upload;
    }

    /// Whether the last PUT sent nothing, because the place that it was given has room for one file only.
    pub(crate) fn has_unsent(&self) -> bool {
        self.get().upload.is_some()
    }
}

/// Why a login was refused. It is not tried again: a few refusals lock a user, and streams are many.
pub(crate) type Refusal = Arc<tokio::sync::Mutex<Option<Error>>>;

/// The middleware of one session.
pub(crate) struct Wire {
    pub(crate) refusal: Refusal,
    pub(crate) base: Url,
    pub(crate) login: Arc<Login>,
    pub(crate) session: SharedSession,
    /// For uploads and for polling, which the driver does not know.
    pub(crate) client: reqwest::Client,
    /// Fill in what a stand-in leaves out.
    pub(crate) is_stand_in: bool,
}

/// An answer as JSON, with what HTTP said.
struct Answer {
    headers: HeaderMap,
    body: Value,
}

#[async_trait]
impl Middleware for Wire {
    async fn handle(
        &self,
        mut request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        match self.answer(&mut request).await {
            Ok(answer) => Ok(respond(&answer)),
            Err(failure) => {
                let mut session = self.session.get();
                session.failed = true;
                session.failure = Some(failure);
                // Its text is never shown: the session takes the failure itself.
                Err(reqwest_middleware::Error::Middleware(anyhow::anyhow!(
                    "refused"
                )))
            }
        }
    }
}

/// What a request of the driver is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Login,
    Renew,
    Close,
    Query,
}

fn call_of(path: &str) -> Option<Call> {
    // The driver's path for renewal begins with two slashes.
    match path.trim_start_matches('/') {
        "session/v1/login-request" => Some(Call::Login),
        "session/token-request" => Some(Call::Renew),
        "session" => Some(Call::Close),
        "queries/v1/query-request" => Some(Call::Query),
        _ => None,
    }
}

impl Wire {
    async fn answer(&self, request: &mut Request) -> Result<Answer, Failure> {
        let Some(call) = call_of(request.url().path()) else {
            // Parts of a result lie on other hosts; no statement of ours has a result that large.
            return Err(Failure::refused("read an answer of more than one part"));
        };
        self.redirect(request, call);
        match call {
            Call::Login => self.log_in(request).await,
            Call::Query => self.query(request).await,
            Call::Renew | Call::Close => {
                let answer = self.send(request).await?;
                self.check(&answer, false)?;
                if let Some(new) = tokens(&answer.body, "sessionToken", "masterToken") {
                    self.login.learn(&new.session);
                    self.login.learn(&new.master);
                    self.session.get().tokens = Some(new);
                }
                Ok(answer)
            }
        }
    }

    /// The driver has one host built in.
    fn redirect(&self, request: &mut Request, call: Call) {
        let path = match call {
            Call::Login => "session/v1/login-request",
            Call::Renew => "session/token-request",
            Call::Close => "session",
            Call::Query => "queries/v1/query-request",
        };
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(request.url().query());
        *request.url_mut() = url;
    }

    /// Logs in once. The driver logs in again when it believes that its tokens are over, and whatever the
    /// session held is gone then: temporary tables, parameters, an open transaction.
    async fn log_in(&self, request: &mut Request) -> Result<Answer, Failure> {
        if self.session.get().logged_in {
            return Err(Failure::lost(
                "keep the session with Snowflake: it wants a new login",
            ));
        }
        let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
        let mut body: Value = serde_json::from_slice(body).map_err(|error| {
            Failure::Refused(Error::bug("read the driver's login").source(error))
        })?;
        self.login
            .fill(&mut body, self.is_stand_in)
            .map_err(Failure::Refused)?;
        set_json(request, &body);
        let mut refusal = self.refusal.lock().await;
        if let Some(error) = &*refusal {
            return Err(Failure::Refused(same(error)));
        }
        let mut answer = self.send(request).await?;
        if let Err(failure) = self.check(&answer, true) {
            if let Failure::Refused(error) = &failure {
                *refusal = Some(same(error));
            }
            return Err(failure);
        }
        drop(refusal);
        if self.is_stand_in {
            fill_login(&mut answer.body);
        }
        self.login.verify(&answer.body)?;
        let mut session = self.session.get();
        session.logged_in = true;
        session.tokens = tokens(&answer.body, "token", "masterToken");
        session.id = answer
            .body
            .pointer("/data/sessionId")
            .and_then(Value::as_i64);
        tracing::debug!(session = session.id, "Logged in to Snowflake.");
        Ok(answer)
    }

    async fn query(&self, request: &mut Request) -> Result<Answer, Failure> {
        let word = first_word(request);
        self.guard(&word)?;
        let mut sent = self.send(self.authorize(request)).await?;
        if code(&sent.body) == SESSION_EXPIRED {
            // It was turned away at the door, so it may be sent again.
            self.renew().await?;
            sent = self.send(self.authorize(request)).await?;
        }
        let mut answer = self.wait(sent).await?;
        {
            let mut session = self.session.get();
            let id = answer.body.pointer("/data/queryId").and_then(Value::as_str);
            session.query_id = id.map(ToOwned::to_owned);
        }
        self.check(&answer, false)?;
        self.note(&word);
        if answer.body.pointer("/data/command").and_then(Value::as_str) == Some("UPLOAD") {
            let expected = self.session.get().upload.clone();
            let done = upload::run(
                &self.client,
                &self.base,
                self.is_stand_in,
                &answer.body,
                expected,
            )
            .await?;
            if done.is_all {
                self.session.get().upload = None;
            }
            answer.body = done.answer;
        } else if answer.body.pointer("/data/command").is_some() {
            return Err(Failure::refused(
                "run a statement that would bring a file here",
            ));
        }
        let parts = answer
            .body
            .pointer("/data/chunks")
            .and_then(Value::as_array);
        if parts.is_some_and(|parts| !parts.is_empty()) {
            // The driver would leave parts out, or mix them up.
            return Err(Failure::refused("read an answer of more than one part"));
        }
        fill_query(&mut answer.body, self.is_stand_in);
        Ok(answer)
    }

    /// What must not reach the server.
    fn guard(&self, word: &str) -> Result<(), Failure> {
        let session = self.session.get();
        if session.in_transaction && DDL.contains(&word) {
            let error = Error::bug(format!(
                "run {word} inside a transaction, which would commit it"
            ));
            return Err(Failure::Refused(error));
        }
        if session.failed && word == "COMMIT" {
            return Err(Failure::lost("commit after a statement failed"));
        }
        Ok(())
    }

    fn note(&self, word: &str) {
        let mut session = self.session.get();
        match word {
            "BEGIN" => (session.in_transaction, session.failed) = (true, false),
            "COMMIT" | "ROLLBACK" => session.in_transaction = false,
            _ => {}
        }
    }

    /// Sends a request once and reads its answer.
    async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let Some(request) = request.try_clone() else {
            return Err(Failure::Refused(Error::bug("send a request of the driver")));
        };
        let response = self
            .client
            .execute(request)
            .await
            .map_err(|error| unreachable(&error))?;
        read(response).await
    }

    /// Puts the newest token into a request.
    fn authorize<'a>(&self, request: &'a mut Request) -> &'a Request {
        let session = self.session.get();
        let tokens = session.tokens.as_ref();
        let is_poll = !request.headers().contains_key(header::AUTHORIZATION);
        if let Some(tokens) = tokens.filter(|tokens| tokens.is_renewed || is_poll)
            && let Ok(value) = bearer(&tokens.session)
        {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        request
    }

    /// Gets a new session token for the old one. The session stays the same.
    async fn renew(&self) -> Result<(), Failure> {
        let lost = || Failure::lost("renew the session with Snowflake");
        let old = self.session.get().tokens.clone().ok_or_else(lost)?;
        let mut url = self.base.clone();
        url.set_path("session/token-request");
        let mut request = Request::new(Method::POST, url);
        let authorization = bearer(&old.master).map_err(|_| lost())?;
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, authorization);
        let accept = HeaderValue::from_static("application/snowflake");
        request.headers_mut().insert(header::ACCEPT, accept);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let body = json!({"oldSessionToken": old.session, "requestType": "RENEW"});
        set_json(&mut request, &body);
        let answer = self.send(&request).await?;
        self.check(&answer, false)?;
        let mut new = tokens(&answer.body, "sessionToken", "masterToken").ok_or_else(lost)?;
        new.is_renewed = true;
        self.login.learn(&new.session);
        self.login.learn(&new.master);
        self.session.get().tokens = Some(new);
        tracing::debug!("Renewed the session with Snowflake.");
        Ok(())
    }

    /// Waits until a statement is done, however often the session must be renewed meanwhile.
    async fn wait(&self, first: Answer) -> Result<Answer, Failure> {
        let mut answer = first;
        let started = tokio::time::Instant::now();
        while IN_PROGRESS.contains(&code(&answer.body)) {
            if started.elapsed() > MAX_WAIT {
                return Err(Failure::lost("wait for a statement that does not end"));
            }
            let nowhere =
                || Failure::lost("wait for a statement: its answer names no place to ask");
            let path = answer
                .body
                .pointer("/data/getResultUrl")
                .and_then(Value::as_str);
            let path = path.filter(|path| path.starts_with('/') && !path.starts_with("//"));
            let url = path
                .and_then(|path| self.base.join(path).ok())
                .ok_or_else(nowhere)?;
            tokio::time::sleep(POLL).await;
            let poll = || {
                let mut request = Request::new(Method::GET, url.clone());
                let accept = HeaderValue::from_static("application/snowflake");
                request.headers_mut().insert(header::ACCEPT, accept);
                request
            };
            answer = self.send(self.authorize(&mut poll())).await?;
            if code(&answer.body) == SESSION_EXPIRED {
                self.renew().await?;
                answer = self.send(self.authorize(&mut poll())).await?;
            }
        }
        Ok(answer)
    }

    fn check(&self, answer: &Answer, is_login: bool) -> Result<(), Failure> {
        if answer.body.get("success").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        let message = answer
            .body
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("no message");
        let message = self.login.redact(message);
        Err(codes::failure(code(&answer.body), &message, is_login))
    }
}

/// An error that says the same.
fn same(error: &Error) -> Error {
    let mut same = Error::new(error.kind(), error.message());
    for (key, value) in error.pairs() {
        same = same.context(key, value);
    }
    match error.hint_text() {
        Some(hint) => same.hint(hint),
        None => same,
    }
}

/// The tokens in an answer.
fn tokens(body: &Value, session: &str, master: &str) -> Option<Tokens> {
    let text = |name: &str| {
        body.pointer(&format!("/data/{name}"))
            .and_then(Value::as_str)
    };
    Some(Tokens {
        session: text(session)?.to_owned(),
        master: text(master)?.to_owned(),
        is_renewed: false,
    })
}

fn bearer(token: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Snowflake Token=\"{token}\""))?;
    value.set_sensitive(true);
    Ok(value)
}

fn code(body: &Value) -> &str {
    let outer = body.get("code").and_then(Value::as_str);
    let inner = body.pointer("/data/errorCode").and_then(Value::as_str);
    outer.or(inner).unwrap_or("no code")
}

/// The first word of the statement, in upper case, without its comment.
fn first_word(request: &Request) -> String {
    let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let sql = body
        .get("sqlText")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let statement = sql
        .lines()
        .find(|line| !line.trim_start().starts_with("--"));
    let word = statement.and_then(|line| line.split_whitespace().next());
    word.unwrap_or_default().to_ascii_uppercase()
}

fn set_json(request: &mut Request, body: &Value) {
    let bytes = body.to_string().into_bytes();
    let length = HeaderValue::from(bytes.len());
    request.headers_mut().insert(header::CONTENT_LENGTH, length);
    *request.body_mut() = Some(Body::from(bytes));
}

/// A request whose answer did not come. Nobody knows whether it was done, unless it was not even sent.
fn unreachable(error: &reqwest::Error) -> Failure {
    let doing = if error.is_timeout() {
        "reach Snowflake: no answer in time"
    } else if error.is_connect() {
        "connect to Snowflake"
    } else {
        "read the answer of Snowflake"
    };
    // The URL holds ids of requests, which say nothing to anybody.
    let mut cause = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    Failure::Lost(
        Error::new(ErrorKind::Destination, doing)
            .context("cause", cause)
            .hint(
                "check `account` or `host`, and the network; nothing is lost: the next run goes on",
            ),
    )
}

async fn read(mut response: Response) -> Result<Answer, Failure> {
    let status = response.status();
    let headers = response.headers().clone();
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(unreachable(&error)),
        }
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(Failure::refused(
                "read an answer of Snowflake that has no end",
            ));
        }
    }
    match serde_json::from_slice::<Value>(&bytes) {
        // Also a refusal is told in JSON, with a code that says more than the status.
        Ok(body)
            if body.is_object()
                && (status.is_success() || body.get("code").is_some_and(Value::is_string)) =>
        {
            Ok(Answer { headers, body })
        }
        _ => {
            let error = Error::new(
                ErrorKind::Destination,
                format!(
                    "read the answer of Snowflake: HTTP {status}, and not what Snowflake answers"
                ),
            )
            .context("status", status.as_u16());
            Err(
                if status.is_success()
                    || status.is_server_error()
                    || [408, 429].contains(&status.as_u16())
                {
                    Failure::Lost(error.hint(AGAIN))
                } else {
                    Failure::Refused(
                        error.hint("check `account` and `host`: nobody there speaks Snowflake"),
                    )
                },
            )
        }
    }
}

fn respond(answer: &Answer) -> Response {
    let mut response = http::Response::new(answer.body.to_string());
    if let Some(kind) = answer.headers.get(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.clone());
    }
    response.into()
}

/// Types that the driver can read; any other makes the whole answer unreadable for it.
const KNOWN_TYPES: [&str; 13] = [
    "fixed",
    "real",
    "text",
    "date",
    "variant",
    "timestamp_ltz",
    "timestamp_ntz",
    "timestamp_tz",
    "object",
    "binary",
    "time",
    "boolean",
    "array",
];

/// Makes an answer to a statement readable for the driver.
fn fill_query(body: &mut Value, is_stand_in: bool) {
    let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) else {
        return;
    };
    for column in data
        .get_mut("rowtype")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let kind = column.get("type").and_then(Value::as_str);
        if !kind.is_some_and(|kind| KNOWN_TYPES.contains(&kind)) {
            column["type"] = json!("text");
        }
    }
    if !is_stand_in {
        return;
    }
    let total = data.get("total").cloned().unwrap_or(json!(0));
    for (name, value) in [
        ("returned", total),
        ("total", json!(0)),
        ("parameters", json!([])),
        ("rowtype", json!([])),
        ("finalRoleName", json!("")),
        ("version", json!(1)),
        ("queryId", json!("")),
        ("statementTypeId", json!(0)),
    ] {
        data.entry(name).or_insert(value);
    }
}

/// What a stand-in leaves out of the answer to a login.
fn fill_login(body: &mut Value) {
    let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, value) in [
        ("sessionId", json!(1)),
        ("masterToken", json!("")),
        ("validityInSeconds", json!(3600)),
        ("masterValidityInSeconds", json!(14_400)),
    ] {
        data.entry(name).or_insert(value);
    }
    if let Some(info) = data.get_mut("sessionInfo").and_then(Value::as_object_mut) {
        info.entry("roleName").or_insert(json!(""));
    }
}
