//! Answers that refuse, and answers that only look good.

use std::sync::Arc;

use http::HeaderMap;
use overlock_core::{ErrorKind, Event};
use overlock_kit::HttpConfig;
use overlock_kit::http::{Api, Request, Verdict, classify_by_status};

use crate::server::{Server, Step, json, reply};
use crate::world::{CANARY, Setup, quick, simple, world};

const PAGE: &str = "<!DOCTYPE html><html><title>Sorry</title><p>We are down</p></html>";

#[tokio::test]
async fn a_servers_problem_is_tried_again_and_its_page_never_used() {
    // covers: N10
    for status in [500, 502, 503, 504, 520, 521, 522, 523, 524, 408, 420] {
        let server = Server::start(move |seen| match seen.index {
            0 | 1 => reply(status, &[("Content-Type", "text/html")], PAGE),
            _ => json("[]"),
        })
        .await;
        let world = simple(&server);
        let response = world.http.send(Request::get("/")).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"[]"[..]));
        assert_eq!(server.seen().len(), 3);
        assert_eq!(world.pauses().len(), 2);
    }
}

#[tokio::test]
async fn a_servers_problem_that_lasts_is_told_with_its_title() {
    // covers: N10
    let server = Server::start(|_| reply(503, &[("Content-Type", "text/html")], PAGE)).await;
    let world = simple(&server);
    for open in [false, true] {
        let request = Request::get("/a?token=abcdef123456");
        let error = if open {
            world.http.open(request).await.unwrap_err()
        } else {
            world.http.send(request).await.unwrap_err()
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(
            error.to_string(),
            "use the server: it answered 503 Service Unavailable: an HTML page with the title `Sorry`"
        );
        assert_eq!(error.get("status"), Some("503"));
        assert!(error.get("url").unwrap().ends_with("/a"));
        assert!(!format!("{error:?}{}", world.said()).contains("abcdef"));
    }
    assert_eq!(server.seen().len(), 12);
}

#[tokio::test]
async fn a_page_for_people_is_never_no_rows() {
    // covers: N16
    for (content_type, body) in [
        ("text/html; charset=utf-8", PAGE),
        ("text/html", ""),
        ("application/json", PAGE),
        ("text/csv", PAGE),
    ] {
        let server =
            Server::start(move |_| reply(200, &[("Content-Type", content_type)], body)).await;
        let config = HttpConfig {
            attempts: 2,
            ..quick()
        };
        let world = world(
            &server.url(),
            Setup {
                config: Some(config),
                ..Setup::default()
            },
        );
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{content_type}");
        assert!(error.to_string().contains("an HTML page"), "{error}");
        let error = world.http.open(Request::get("/").bulk()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{content_type}");
    }
    let server = Server::start(|_| json("")).await;
    let response = simple(&server).http.send(Request::get("/")).await.unwrap();
    let error = response.json::<Vec<u64>>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
}

struct Envelope;

impl Api for Envelope {
    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
        if status == 200 && body.starts_with(br#"{"success":false"#) {
            return Verdict::Fail(overlock_kit::http::refusal(403, headers, body));
        }
        classify_by_status(status, headers, body)
    }
}

#[tokio::test]
async fn a_refusal_inside_a_good_status_is_the_connectors_to_see() {
    // covers: N16
    let server = Server::start(|_| json(r#"{"success":false,"reason":"no"}"#)).await;
    let setup = Setup {
        api: Some(Arc::new(Envelope)),
        ..Setup::default()
    };
    let error = world(&server.url(), setup)
        .http
        .send(Request::get("/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_once() {
    // covers: N13, N15
    for (status, kind) in [
        (400, ErrorKind::Config),
        (403, ErrorKind::Permission),
        (404, ErrorKind::NotFound),
    ] {
        let server = Server::start(move |_| {
            reply(
                status,
                &[("Content-Type", "application/json")],
                r#"[{"errorCode":"NOPE"}]"#,
            )
        })
        .await;
        let error = simple(&server)
            .http
            .send(Request::get("/"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(
            error.to_string().ends_with(r#": [{"errorCode":"NOPE"}]"#),
            "{error}"
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn the_servers_words_are_cut_escaped_and_without_secrets() {
    // covers: I21
    let body = format!(
        "\u{1b}[2J\nerror: forged {CANARY}-1 {}",
        "x".repeat(1 << 20)
    );
    let server = Server::start(move |_| reply(400, &[], &body)).await;
    let world = simple(&server);
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(
        error
            .to_string()
            .contains("\\u{1b}[2J\\nerror: forged [redacted]"),
        "{text}"
    );
    assert!(!text.contains(CANARY) && text.len() < 2_000, "{text}");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    for (status, marked, calls) in [(500, false, 1), (500, true, 6), (429, false, 6)] {
        let server = Server::start(move |_| reply(status, &[("Retry-After", "0")], "")).await;
        let world = simple(&server);
        let request = Request::post("/jobs", "{}").idempotent(marked);
        let error = world.http.send(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(server.seen().len(), calls, "{status} {marked}");
    }
    let server = Server::start(|_| vec![Step::Reset]).await;
    let error = simple(&server)
        .http
        .send(Request::post("/jobs", "{}"))
        .await
        .unwrap_err();
    assert!(error.hint_text().unwrap().contains("unknown"), "{error:?}");
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].body, "{}");
    assert!(
        server.seen()[0]
            .headers
            .contains("content-type: application/json")
    );
}

#[tokio::test]
async fn each_attempt_is_an_event_without_query_and_secrets() {
    let server = Server::start(|seen| match seen.index {
        0 => reply(503, &[], ""),
        _ => json("[]"),
    })
    .await;
    let world = simple(&server);
    let stream = overlock_core::StreamName::new("Account").unwrap();
    let request = Request::get("/q?q=SELECT+Secret").stream(&stream);
    world.http.send(request).await.unwrap();
    let events = world.events.lock().unwrap().clone();
    let url = format!("http://{}/q", server.address);
    match &events[..] {
        [
            Event::Request {
                stream: Some(a),
                method,
                url: u,
                status: Some(503),
                ..
            },
            Event::Retry {
                stream: Some(b),
                attempt: 2,
                reason,
                ..
            },
            Event::Request {
                status: Some(200), ..
            },
        ] => {
            assert_eq!((a, b, method.as_str(), u), (&stream, &stream, "GET", &url));
            assert!(reason.contains("503"));
        }
        other => panic!("{other:?}"),
    }
    let said = world.said();
    assert!(!said.contains("Secret") && !said.contains(CANARY), "{said}");
}
