//! The middleware on canned answers, built from the documents, for what the stand-in cannot show.

#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::single_match_else,
    reason = "helpers of tests"
)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aes::cipher::{BlockDecrypt as _, BlockDecryptMut as _, KeyInit as _, KeyIvInit as _};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use overlock_core::{CommitId, Error, ErrorKind, Part, Redactor, Secret};
use overlock_package::sample::key;
use overlock_snowflake::{
    Account, Answer, Auth, Bucket, Failure, Place, Session, SnowflakeWarehouse, Step, Tag,
    Warehouse, target,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// One request as it came.
#[derive(Debug, Clone)]
struct Seen {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_str()
            .unwrap()
    }
}

type Canned = (u16, &'static str, String);

/// A server that says what it was told to say, in order; to a login it says yes.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Canned>>>,
    logins: Arc<Mutex<VecDeque<Canned>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    port: u16,
}

async fn serve(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let is_post = parts.method == "POST";
    server.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: path.clone(),
        query: query.clone(),
        headers: parts.headers,
        body,
    });
    let canned = if path == "/session/v1/login-request" {
        server
            .logins
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(login)
    } else if path == "/session" {
        good(json!(null))
    } else if path.starts_with("/storage") {
        let body = match query.as_str() {
            "uploads=" | "uploads" => {
                "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            }
            _ if is_post => {
                "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"
            }
            _ => "",
        };
        (200, "text/xml", body.to_owned())
    } else {
        let canned = server.answers.lock().unwrap().pop_front();
        canned.unwrap_or_else(|| panic!("no answer for {path}"))
    };
    let (status, kind, body) = canned;
    (
        StatusCode::from_u16(status).unwrap(),
        [("content-type", kind), ("etag", "\"1\"")],
        body,
    )
        .into_response()
}

fn good(data: Value) -> Canned {
    let body = json!({"success": true, "code": null, "message": null, "data": data});
    (200, "application/json", body.to_string())
}

fn login() -> Canned {
    good(json!({
        "sessionId": 7, "token": "session-token-0123", "masterToken": "master-token-0123",
        "serverVersion": "9", "validityInSeconds": 3600, "masterValidityInSeconds": 14400,
        "sessionInfo": {"roleName": "LOADER"}, "parameters": [{"name": "TIMEZONE", "value": "UTC"}],
    }))
}

fn bad(code: &str) -> Canned {
    let body =
        json!({"success": false, "code": code, "message": "told\u{7} by the server", "data": null});
    (200, "application/json", body.to_string())
}

/// The answer to a statement that changed one row.
fn one_row() -> Canned {
    table(&[("number of rows updated", "fixed")], json!([["1"]]))
}

fn table(columns: &[(&str, &str)], rows: Value) -> Canned {
    let rowtype: Vec<Value> = columns
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": kind, "nullable": true}))
        .collect();
    let count = rows.as_array().unwrap().len();
    good(json!({
        "parameters": [], "rowtype": rowtype, "rowset": rows, "total": count, "returned": count,
        "queryId": "01-query", "finalRoleName": "LOADER", "statementTypeId": 0, "version": 1,
    }))
}

impl Server {
    async fn start(answers: Vec<Canned>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            answers: Arc::new(Mutex::new(answers.into())),
            port: listener.local_addr().unwrap().port(),
            ..Self::default()
        };
        let app = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    fn warehouse(&self, auth: Auth, redactor: Redactor) -> SnowflakeWarehouse {
        let account = Account {
            account: "acme.eu-central-1".to_owned(),
            host: None,
            user: "loader".to_owned(),
            auth,
            role: None,
            warehouse: None,
            database: None,
            test_url: Some(format!("http://127.0.0.1:{}", self.port).parse().unwrap()),
        };
        SnowflakeWarehouse::new(account, redactor).unwrap()
    }

    async fn session(&self) -> Box<dyn Session> {
        let auth = Auth::Password(Secret::new("a-password"));
        self.warehouse(auth, Redactor::default())
            .open(&tag())
            .await
            .unwrap_or_else(|_| panic!())
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Paths of what came, without logins and ends of sessions.
    fn statements(&self) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|one| !one.path.starts_with("/session"));
        seen
    }
}

fn tag() -> Tag {
    Tag {
        key: key(),
        id: Some("01K00000000000000000000001".parse::<CommitId>().unwrap()),
    }
}

fn place() -> Place {
    Place {
        database: "RAW".to_owned(),
        schema: "ZENDESK".to_owned(),
    }
}

fn count() -> Step {
    Step::CountRows(target(&place(), &key()).table)
}

fn error(result: Result<Answer, Failure>) -> (&'static str, Error) {
    match result {
        Ok(answer) => panic!("{answer:?}"),
        Err(Failure::Lost(error)) => ("lost", error),
        Err(Failure::Missing(error)) => ("missing", error),
        Err(Failure::Refused(error)) => ("refused", error),
    }
}

#[tokio::test]
async fn a_statement_in_progress_is_waited_for() {
    // covers: W10
    let progress = |code: &str| {
        let body = json!({
            "success": true, "code": code, "message": "Query execution in progress",
            "data": {"queryId": "q", "getResultUrl": "/queries/q/result", "queryAbortsAfterSecs": 300},
        });
        (200, "application/json", body.to_string())
    };
    let server = Server::start(vec![progress("333334"), progress("333333"), one_row()]).await;
    let answer = server
        .session()
        .await
        .run(&count())
        .await
        .unwrap_or_else(|_| panic!());
    assert_eq!(answer.number().unwrap_or_default(), 1);
    let statements = server.statements();
    let paths: Vec<_> = statements
        .iter()
        .map(|seen| (seen.method.as_str(), seen.path.as_str()))
        .collect();
    let polls = ("GET", "/queries/q/result");
    assert_eq!(paths, [("POST", "/queries/v1/query-request"), polls, polls]);
    assert_eq!(
        statements[2].header("authorization"),
        "Snowflake Token=\"session-token-0123\""
    );
}

#[tokio::test]
async fn what_is_not_an_answer_is_told_as_what_it_is() {
    // covers: W6, W11, W12, W16
    let html = |status| (status, "text/html", "<html>Sign in</html>".to_owned());
    let elsewhere = json!({
        "success": true, "code": "333334", "message": "",
        "data": {"queryId": "q", "getResultUrl": "https://evil.test/result"},
    });
    let cases: Vec<(Canned, &str, ErrorKind)> = vec![
        (html(503), "lost", ErrorKind::Destination),
        (html(200), "lost", ErrorKind::Destination),
        (html(404), "refused", ErrorKind::Destination),
        (
            (200, "application/json", "{\"success\":tr".to_owned()),
            "lost",
            ErrorKind::Destination,
        ),
        (
            (200, "application/json", elsewhere.to_string()),
            "lost",
            ErrorKind::Destination,
        ),
        (bad("390114"), "lost", ErrorKind::Destination),
        (bad("000625"), "lost", ErrorKind::Destination),
        (bad("002003"), "missing", ErrorKind::Destination),
        (bad("000606"), "refused", ErrorKind::Destination),
        (bad("100082"), "refused", ErrorKind::Destination),
        (bad("090073"), "refused", ErrorKind::RateLimited),
    ];
    for (canned, expected, kind) in cases {
        let server = Server::start(vec![canned.clone()]).await;
        let (found, error) = error(server.session().await.run(&count()).await);
        assert_eq!(
            (found, error.kind()),
            (expected, kind),
            "{canned:?}: {error:?}"
        );
        assert!(error.hint_text().is_some(), "{canned:?}: {error:?}");
        // Sent once, whatever came back.
        assert_eq!(server.statements().len(), 1, "{canned:?}");
    }
}

#[tokio::test]
async fn a_login_that_was_refused_is_not_tried_again() {
    // covers: W1
    let server = Server::start(Vec::new()).await;
    server.logins.lock().unwrap().push_back(bad("390100"));
    let warehouse = server.warehouse(Auth::Password(Secret::new("x")), Redactor::default());
    for _ in 0..3 {
        // As many streams would: a few refusals lock the user.
        let mut session = warehouse.open(&tag()).await.unwrap_or_else(|_| panic!());
        let (found, error) = error(session.run(&count()).await);
        assert_eq!((found, error.kind()), ("refused", ErrorKind::Auth));
        assert!(
            error.hint_text().is_some() && error.get("code") == Some("390100"),
            "{error:?}"
        );
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_expired_session_is_renewed_also_while_a_statement_runs() {
    let progress = json!({
        "success": true, "code": "333334", "message": "",
        "data": {"queryId": "q", "getResultUrl": "/queries/q/result"},
    });
    let renewed = |number: u32| {
        good(json!({
            "sessionToken": format!("renewed-{number}"), "validityInSecondsST": 3600, "sessionId": 7,
            "masterToken": format!("master-{number}"), "validityInSecondsMT": 14400,
        }))
    };
    let server = Server::start(vec![
        bad("390112"),
        renewed(1),
        (200, "application/json", progress.to_string()),
        bad("390112"),
        renewed(2),
        one_row(),
        one_row(),
    ])
    .await;
    let mut session = server.session().await;
    session.run(&count()).await.unwrap_or_else(|_| panic!());
    session.run(&count()).await.unwrap_or_else(|_| panic!());
    let said: Vec<(String, String)> = server
        .seen()
        .iter()
        .skip(1)
        .map(|seen| (seen.path.clone(), seen.header("authorization").to_owned()))
        .collect();
    let with = |path: &str, token: &str| (path.to_owned(), format!("Snowflake Token=\"{token}\""));
    let (query, renew, poll) = (
        "/queries/v1/query-request",
        "/session/token-request",
        "/queries/q/result",
    );
    let expected = [
        with(query, "session-token-0123"),
        with(renew, "master-token-0123"),
        with(query, "renewed-1"),
        with(poll, "renewed-1"),
        with(renew, "master-1"),
        with(poll, "renewed-2"),
        with(query, "renewed-2"),
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn refused_logins_say_what_to_do() {
    // covers: W1
    for (code, hint) in [
        ("394304", "compare the fingerprint"),
        ("394302", "date -u"),
        ("390318", "fetch a new one"),
        ("390100", "GET_LOGIN_FAILURE_DETAILS"),
    ] {
        let server = Server::start(Vec::new()).await;
        server.logins.lock().unwrap().push_back(bad(code));
        let (found, error) = error(server.session().await.run(&count()).await);
        assert_eq!(
            (found, error.kind()),
            ("refused", ErrorKind::Auth),
            "{code}"
        );
        assert!(
            error.hint_text().unwrap().contains(hint),
            "{code}: {error:?}"
        );
        assert_eq!(server.seen().len(), 1, "{code}: nothing is tried again");
    }
}

#[tokio::test]
async fn a_session_is_never_replaced_in_silence() {
    // covers: W11
    let server = Server::start(vec![one_row(), one_row()]).await;
    let over = json!({
        "sessionId": 7, "token": "session-token-0123", "masterToken": "m", "serverVersion": "9",
        "validityInSeconds": 3600, "masterValidityInSeconds": 0, "sessionInfo": {"roleName": "LOADER"},
    });
    server.logins.lock().unwrap().push_back(good(over));
    let mut session = server.session().await;
    session.run(&Step::Begin).await.unwrap_or_else(|_| panic!());
    // The driver believes that its tokens are over and logs in again.
    let (found, error) = error(session.run(&count()).await);
    assert_eq!(found, "lost", "{error:?}");
    assert_eq!(
        server.seen().len(),
        2,
        "no second login, and no statement in another session"
    );
}

#[tokio::test]
async fn what_would_end_a_transaction_is_refused() {
    let server = Server::start(vec![one_row(), bad("100038"), one_row()]).await;
    let mut session = server.session().await;
    session.run(&Step::Begin).await.unwrap_or_else(|_| panic!());
    let drop = Step::DropStaging(place().name("X"));
    let (found, refused) = error(session.run(&drop).await);
    assert_eq!((found, refused.kind()), ("refused", ErrorKind::Bug));
    let (found, _) = error(session.run(&count()).await);
    assert_eq!(found, "refused");
    // After a failure, COMMIT would lie.
    let (found, refused) = error(session.run(&Step::Commit).await);
    assert_eq!(found, "lost", "{refused:?}");
    session
        .run(&Step::Rollback)
        .await
        .unwrap_or_else(|_| panic!());
    let words: Vec<String> = server
        .statements()
        .iter()
        .map(|seen| {
            seen.json()["sqlText"]
                .as_str()
                .unwrap()
                .lines()
                .nth(1)
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(
        words
            .iter()
            .all(|sql| !sql.contains("DROP") && sql != "COMMIT"),
        "{words:?}"
    );
}

#[tokio::test]
async fn unknown_types_of_columns_are_read_as_text() {
    let server = Server::start(vec![table(
        &[("a", "vector"), ("b", "fixed")],
        json!([["[1]", null]]),
    )])
    .await;
    let answer = server
        .session()
        .await
        .run(&count())
        .await
        .unwrap_or_else(|_| panic!());
    assert_eq!(answer.rows, [[Some("[1]".to_owned()), None]]);
}

#[tokio::test]
async fn each_login_says_who_and_for_what() {
    let pem = include_str!("keys/plain.p8");
    let key_pair = |pem: &str, passphrase: Option<&str>| Auth::KeyPair {
        private_key: Secret::new(pem),
        passphrase: passphrase.map(Secret::new),
    };
    let logins = [
        (Auth::OAuth(Secret::new("oauth-token")), "OAUTH"),
        (
            Auth::Token(Secret::new("access-token")),
            "PROGRAMMATIC_ACCESS_TOKEN",
        ),
        (key_pair(pem, None), "SNOWFLAKE_JWT"),
        (
            key_pair(include_str!("keys/pkcs1.pem"), None),
            "SNOWFLAKE_JWT",
        ),
        (
            key_pair(include_str!("keys/encrypted.p8"), Some("a passphrase")),
            "SNOWFLAKE_JWT",
        ),
    ];
    // `openssl rsa -in plain.p8 -pubout -outform DER | openssl dgst -sha256 -binary | base64`
    let fingerprint = include_str!("keys/fingerprint.txt").trim();
    for (auth, expected) in logins {
        let server = Server::start(vec![one_row()]).await;
        let warehouse = server.warehouse(auth, Redactor::default());
        let mut session = warehouse.open(&tag()).await.unwrap_or_else(|_| panic!());
        session.run(&count()).await.unwrap_or_else(|_| panic!());
        let data = server.seen()[0].json()["data"].clone();
        assert_eq!(data["AUTHENTICATOR"], expected);
        assert_eq!(data["ACCOUNT_NAME"], "ACME");
        assert!(data.get("PASSWORD").is_none());
        assert_eq!(
            data["SESSION_PARAMETERS"]["TRANSACTION_ABORT_ON_ERROR"],
            true
        );
        let query_tag = data["SESSION_PARAMETERS"]["QUERY_TAG"].as_str().unwrap();
        assert!(
            query_tag.contains("tickets") && query_tag.contains("01K0"),
            "{query_tag}"
        );
        if expected == "SNOWFLAKE_JWT" {
            assert_eq!(warehouse.fingerprint(), Some(fingerprint));
            let token = data["TOKEN"].as_str().unwrap();
            let claims = token.split('.').nth(1).unwrap();
            let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(claims)
                .unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!(claims["iss"], format!("ACME.LOADER.{fingerprint}"));
            assert_eq!(claims["sub"], "ACME.LOADER");
            assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 3600);
        }
        let sql = server.statements()[0].json()["sqlText"].clone();
        let sql = sql.as_str().unwrap();
        assert!(
            sql.starts_with("-- overlock support.tickets 01K00000000000000000000001 count_rows\n"),
            "{sql}"
        );
    }
    for (pem, passphrase, hint) in [
        (include_str!("keys/encrypted.p8"), None, "auth.passphrase"),
        (
            include_str!("keys/encrypted.p8"),
            Some("wrong one"),
            "openssl pkcs8",
        ),
        ("not a key", None, "openssl pkcs8"),
        (
            "-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n",
            None,
            "openssl genrsa",
        ),
    ] {
        let account = Account {
            account: "acme".to_owned(),
            host: None,
            user: "loader".to_owned(),
            auth: key_pair(pem, passphrase),
            role: None,
            warehouse: None,
            database: None,
            test_url: None,
        };
        let error = SnowflakeWarehouse::new(account, Redactor::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.hint_text().unwrap().contains(hint), "{error:?}");
        assert!(!format!("{error:?}").contains("PRIVATE"), "{error:?}");
    }
}

/// A file of this many bytes, and the step that sends it.
fn file(bytes: usize) -> (tempfile::TempDir, Vec<u8>, Step) {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("part-00001.parquet");
    let content: Vec<u8> = (0..bytes)
        .map(|at| u8::try_from(at * 7 % 251).unwrap())
        .collect();
    std::fs::write(&path, &content).unwrap();
    let part = Part {
        name: "part-00001.parquet".to_owned(),
        rows: 1,
        bytes: bytes as u64,
        sha256: format!("{:x}", Sha256::digest(&content)),
    };
    let step = Step::Upload {
        stage: place().name("_OVERLOCK_STAGE"),
        prefix: "support/tickets/01K0/".to_owned(),
        dir: dir.path().to_owned(),
        files: vec![part],
    };
    (dir, content, step)
}

fn upload(step: &Step, info: Value, material: Value) -> Canned {
    let Step::Upload { dir, files, .. } = step else {
        panic!()
    };
    let file = match files.as_slice() {
        [one] => dir.join(&one.name),
        _ => dir.join("*.parquet"),
    };
    good(json!({
        "command": "UPLOAD", "src_locations": [file], "parallel": 4, "threshold": 209_715_200,
        "autoCompress": false, "overwrite": true, "sourceCompression": "none", "queryId": "q",
        "stageInfo": info, "encryptionMaterial": material,
    }))
}

/// The stages of three clouds, as they would be on this server.
fn stages(port: u16) -> Vec<(&'static str, Value)> {
    let host = format!("127.0.0.1:{port}");
    let secret = "a-secret-of-the-storage";
    vec![
        (
            "s3",
            json!({
                "locationType": "S3", "location": "storage/some/prefix/", "region": "eu-central-1", "endPoint": host,
                "creds": {"AWS_KEY_ID": "AKIA", "AWS_SECRET_KEY": secret, "AWS_TOKEN": "a-session-token"},
            }),
        ),
        (
            "azure",
            json!({
                "locationType": "AZURE", "location": "container/some/prefix/", "storageAccount": "storage",
                "endPoint": host, "creds": {"AZURE_SAS_TOKEN": format!("?sig={secret}")},
            }),
        ),
        (
            "gcs",
            json!({
                "locationType": "GCS", "location": "storage/some/prefix/", "endPoint": host,
                "creds": {"GCS_ACCESS_TOKEN": secret}, "storageAccount": null,
            }),
        ),
        (
            "presigned",
            json!({
                "locationType": "GCS", "location": "storage/", "creds": {},
                "presignedUrl": format!("http://{host}/storage/some/prefix/part-00001.parquet?X-Goog-Signature={secret}"),
            }),
        ),
    ]
}

#[tokio::test]
async fn files_reach_every_cloud_as_they_are() {
    for name in 0..4 {
        let server = Server::start(Vec::new()).await;
        let (kind, info) = stages(server.port).swap_remove(name);
        let (_dir, content, step) = file(3_000_001);
        server
            .answers
            .lock()
            .unwrap()
            .push_back(upload(&step, info, Value::Null));
        let answer = server
            .session()
            .await
            .run(&step)
            .await
            .unwrap_or_else(|failure| panic!("{kind}: {failure:?}"));
        assert_eq!(answer.get(0, "status"), Some("UPLOADED"));
        let statements = server.statements();
        let put = statements.last().unwrap();
        assert_eq!(put.method, "PUT", "{kind}");
        assert!(
            put.path.ends_with("/some/prefix/part-00001.parquet"),
            "{kind}: {}",
            put.path
        );
        assert_eq!(
            put.header("content-length"),
            content.len().to_string(),
            "{kind}"
        );
        assert!(put.body == content, "{kind}: other bytes");
        let digest = STANDARD.encode(Sha256::digest(&content));
        let header = match kind {
            "s3" => "x-amz-meta-sfc-digest",
            "azure" => "x-ms-meta-sfcdigest",
            _ => "x-goog-meta-sfc-digest",
        };
        assert_eq!(put.header(header), digest, "{kind}");
        match kind {
            "s3" => assert!(put.header("authorization").contains("/eu-central-1/s3/")),
            "azure" => assert_eq!(put.header("x-ms-blob-type"), "BlockBlob"),
            "gcs" => assert_eq!(
                put.header("authorization"),
                "Bearer a-secret-of-the-storage"
            ),
            _ => assert!(put.headers.get("authorization").is_none()),
        }
    }
}

#[tokio::test]
async fn a_large_file_reaches_s3_in_parts() {
    let server = Server::start(Vec::new()).await;
    let info = stages(server.port).swap_remove(0).1;
    let (_dir, content, step) = file((11 << 20) + 7);
    let canned = upload(&step, info, Value::Null);
    server.answers.lock().unwrap().push_back(canned);
    let answer = server.session().await.run(&step).await;
    answer.unwrap_or_else(|failure| panic!("{failure:?}"));
    let statements = server.statements();
    let parts = statements.iter().filter(|seen| seen.method == "PUT");
    let parts: Vec<(&str, &Bytes)> = parts
        .map(|seen| (seen.query.as_str(), &seen.body))
        .collect();
    let numbers: Vec<&str> = parts.iter().map(|(query, _)| *query).collect();
    assert_eq!(
        numbers,
        [
            "partNumber=1&uploadId=u",
            "partNumber=2&uploadId=u",
            "partNumber=3&uploadId=u"
        ]
    );
    let sent: Vec<u8> = parts.iter().flat_map(|(_, body)| body.to_vec()).collect();
    assert!(sent == content, "other bytes");
}

/// Three files, and the step that sends them.
fn files() -> (tempfile::TempDir, Step) {
    let (dir, content, mut step) = file(100_000);
    let Step::Upload { files, .. } = &mut step else {
        panic!()
    };
    for number in 2..=3 {
        let mut part = files[0].clone();
        part.name = format!("part-0000{number}.parquet");
        std::fs::write(dir.path().join(&part.name), &content).unwrap();
        files.push(part);
    }
    // What else is there stays there.
    std::fs::write(dir.path().join("other.parquet"), "mine").unwrap();
    (dir, step)
}

/// What was put where, sorted.
fn put(server: &Server) -> Vec<(String, usize)> {
    let puts = server.statements().into_iter();
    let puts = puts.filter(|seen| seen.method == "PUT");
    let mut puts: Vec<_> = puts.map(|seen| (seen.path, seen.body.len())).collect();
    puts.sort();
    puts
}

fn parts(folder: &str) -> Vec<(String, usize)> {
    let part = |number| (format!("{folder}/part-0000{number}.parquet"), 100_000);
    (1..=3).map(part).collect()
}

#[tokio::test]
async fn one_statement_sends_all_files_of_a_package_and_nothing_else() {
    for name in 0..3 {
        let server = Server::start(Vec::new()).await;
        let (kind, info) = stages(server.port).swap_remove(name);
        let (_dir, step) = files();
        let canned = upload(&step, info, Value::Null);
        server.answers.lock().unwrap().push_back(canned);
        let answer = server.session().await.run(&step).await;
        let answer = answer.unwrap_or_else(|failure| panic!("{kind}: {failure:?}"));
        assert_eq!(answer.rows.len(), 3, "{kind}");
        let folder = match kind {
            "azure" => "/storage/container/some/prefix",
            _ => "/storage/some/prefix",
        };
        assert_eq!(put(&server), parts(folder), "{kind}");
        let asked = server.statements().into_iter();
        assert_eq!(asked.filter(|seen| seen.method == "POST").count(), 1);
    }
}

#[tokio::test]
async fn where_one_statement_has_room_for_one_file_each_gets_its_own() {
    let server = Server::start(Vec::new()).await;
    let (_dir, step) = files();
    let Step::Upload {
        stage,
        prefix,
        dir,
        files,
    } = &step
    else {
        panic!()
    };
    let presigned = |name: &str| {
        json!({
            "locationType": "GCS", "location": "storage/", "creds": {},
            "presignedUrl": format!("http://127.0.0.1:{}/storage/some/prefix/{name}", server.port),
        })
    };
    let mut canned = vec![upload(&step, presigned("*.parquet"), Value::Null)];
    for part in files {
        let one = Step::Upload {
            stage: stage.clone(),
            prefix: prefix.clone(),
            dir: dir.clone(),
            files: vec![part.clone()],
        };
        canned.push(upload(&one, presigned(&part.name), Value::Null));
    }
    server.answers.lock().unwrap().extend(canned);
    let answer = server.session().await.run(&step).await;
    assert_eq!(
        answer
            .unwrap_or_else(|failure| panic!("{failure:?}"))
            .rows
            .len(),
        3
    );
    assert_eq!(put(&server), parts("/storage/some/prefix"));
}

#[tokio::test]
async fn files_reach_a_bucket_of_ones_own_without_a_statement() {
    let server = Server::start(Vec::new()).await;
    let (_dir, step) = files();
    let secret = |text: &str| Secret::new(text);
    let bucket = |login| Bucket {
        url: "s3://storage/deep".parse().unwrap(),
        login,
    };
    let warehouse = || server.warehouse(Auth::Password(secret("x")), Redactor::default());
    let missing = warehouse().external_stage(&bucket(vec![("region", secret("eu-central-1"))]));
    let error = missing.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint_text().unwrap().contains("secret_access_key"));
    let login = vec![
        ("region", secret("eu-central-1")),
        ("access_key_id", secret("AKIA")),
        ("secret_access_key", secret("a-secret-of-the-storage")),
        (
            "endpoint",
            Secret::new(format!("http://127.0.0.1:{}", server.port)),
        ),
    ];
    let warehouse = warehouse().external_stage(&bucket(login)).unwrap();
    let mut session = warehouse.open(&tag()).await.unwrap_or_else(|_| panic!());
    session
        .run(&step)
        .await
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(put(&server), parts("/storage/deep/support/tickets/01K0"));
    let seen = server.seen();
    assert!(seen.iter().all(|seen| seen.method == "PUT"), "{seen:?}");
    let signed = seen
        .iter()
        .all(|seen| seen.header("authorization").contains("/eu-central-1/s3/"));
    assert!(signed, "{seen:?}");
}

type Padding = cbc::cipher::block_padding::Pkcs7;

/// What the receiver does: unwrap the file's key with the stage's, then decrypt.
fn decrypt(master: &[u8], wrapped: &str, iv: &str, body: &[u8]) -> Vec<u8> {
    let mut key = STANDARD.decode(wrapped).unwrap();
    for block in key.chunks_exact_mut(16) {
        let block = aes::Block::from_mut_slice(block);
        match master.len() {
            16 => aes::Aes128::new_from_slice(master)
                .unwrap()
                .decrypt_block(block),
            _ => aes::Aes256::new_from_slice(master)
                .unwrap()
                .decrypt_block(block),
        }
    }
    let padding = usize::from(*key.last().unwrap());
    key.truncate(key.len() - padding);
    let iv = STANDARD.decode(iv).unwrap();
    match key.len() {
        16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(&key, &iv)
            .unwrap()
            .decrypt_padded_vec_mut::<Padding>(body)
            .unwrap(),
        _ => cbc::Decryptor::<aes::Aes256>::new_from_slices(&key, &iv)
            .unwrap()
            .decrypt_padded_vec_mut::<Padding>(body)
            .unwrap(),
    }
}

#[tokio::test]
async fn stages_that_ask_for_encryption_get_it() {
    for bytes in [0, 16, 1_000, 1 << 20, (1 << 20) + 5] {
        for size in [16, 32] {
            let master: Vec<u8> = (0..size).collect();
            let material = json!({
                "queryStageMasterKey": STANDARD.encode(&master), "queryId": "query-1", "smkId": 42,
            });
            for name in 0..3 {
                let server = Server::start(Vec::new()).await;
                let (kind, info) = stages(server.port).swap_remove(name);
                let (_dir, content, step) = file(bytes);
                server
                    .answers
                    .lock()
                    .unwrap()
                    .push_back(upload(&step, info, material.clone()));
                server
                    .session()
                    .await
                    .run(&step)
                    .await
                    .unwrap_or_else(|failure| panic!("{kind}: {failure:?}"));
                let statements = server.statements();
                let put = statements.last().unwrap();
                let data =
                    |name: &str| -> Value { serde_json::from_str(put.header(name)).unwrap() };
                let (wrapped, iv, about) = match kind {
                    "s3" => (
                        put.header("x-amz-meta-x-amz-key").to_owned(),
                        put.header("x-amz-meta-x-amz-iv").to_owned(),
                        data("x-amz-meta-x-amz-matdesc"),
                    ),
                    _ => {
                        let prefix = if kind == "azure" {
                            "x-ms-meta"
                        } else {
                            "x-goog-meta"
                        };
                        let encryption = data(&format!("{prefix}-encryptiondata"));
                        (
                            encryption["WrappedContentKey"]["EncryptedKey"]
                                .as_str()
                                .unwrap()
                                .to_owned(),
                            encryption["ContentEncryptionIV"]
                                .as_str()
                                .unwrap()
                                .to_owned(),
                            data(&format!("{prefix}-matdesc")),
                        )
                    }
                };
                assert_eq!(about["smkId"], "42");
                assert_eq!(about["keySize"], (master.len() * 8).to_string());
                assert!(put.body != content, "{kind} {bytes}: sent as it is");
                assert!(
                    decrypt(&master, &wrapped, &iv, &put.body) == content,
                    "{kind} {bytes} {size}"
                );
            }
        }
    }
}

#[tokio::test]
async fn only_the_file_that_was_meant_leaves_and_only_for_storage() {
    let server = Server::start(Vec::new()).await;
    let (_dir, _, step) = file(10);
    let info = stages(server.port).swap_remove(3).1;
    let elsewhere = json!({
        "locationType": "GCS", "location": "x/", "creds": {}, "presignedUrl": "http://127.0.0.2:9/steal",
    });
    let mut other = upload(&step, info.clone(), Value::Null);
    other.2 = other.2.replace("part-00001.parquet\"]", "*\"]");
    for (canned, step) in [
        (other, step.clone()),
        (upload(&step, elsewhere, Value::Null), step.clone()),
        (
            upload(
                &step,
                json!({"locationType": "LOCAL_FS", "location": "/tmp"}),
                Value::Null,
            ),
            step.clone(),
        ),
        // A statement that is no upload, and an answer that wants one.
        (upload(&step, info, Value::Null), count()),
    ] {
        server.answers.lock().unwrap().push_back(canned);
        let (found, error) = error(server.session().await.run(&step).await);
        assert_eq!(found, "refused", "{error:?}");
    }
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| !seen.path.starts_with("/storage"))
    );
}

#[tokio::test]
async fn expired_credentials_of_a_stage_are_worth_a_new_put() {
    // covers: W2
    let server = Server::start(Vec::new()).await;
    let (_dir, _, step) = file(10);
    let info = json!({
        "locationType": "GCS", "location": "x/", "creds": {},
        "presignedUrl": format!("http://127.0.0.1:{}/expired/part-00001.parquet", server.port),
    });
    let answers = [
        upload(&step, info, Value::Null),
        (403, "text/xml", "<Error/>".to_owned()),
    ];
    server.answers.lock().unwrap().extend(answers);
    let (found, error) = error(server.session().await.run(&step).await);
    assert_eq!(found, "lost", "{error:?}");
}
