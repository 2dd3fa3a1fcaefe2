//! Waits that the server asks for, and budgets that end a run.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use overlock_core::{ErrorKind, Event};
use overlock_kit::HttpConfig;
use overlock_kit::http::{Api, Quota, Request};

use crate::server::{Server, json, reply};
use crate::world::{Setup, quick, simple, world};

#[tokio::test]
async fn a_429_without_a_usable_time_waits_the_default() {
    // covers: N8
    for headers in [
        vec![],
        vec![("Retry-After", "soon")],
        vec![("Retry-After", "-5")],
        vec![("Retry-After", "")],
        vec![("Retry-After", "999999999999999999999999")],
    ] {
        let server = Server::start(move |seen| match seen.index {
            0 => reply(429, &headers, ""),
            _ => json("[]"),
        })
        .await;
        let world = simple(&server);
        world.http.send(Request::get("/")).await.unwrap();
        assert_eq!(world.pauses(), [30]);
        let seen = server.seen();
        assert!(seen[1].at - seen[0].at >= Duration::from_millis(30));
    }
}

#[tokio::test]
async fn a_429_shuts_the_gate_for_all_requests() {
    // covers: N8
    let server = Server::start(|seen| match seen.target.as_str() {
        "/limited" if seen.index == 0 => reply(429, &[], ""),
        _ => json("[]"),
    })
    .await;
    let config = HttpConfig {
        rate_limit_wait: Duration::from_millis(150),
        ..quick()
    };
    let world = world(
        &server.url(),
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    let other = async {
        while server.seen().is_empty() || world.pauses().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.http.send(Request::get("/other")).await
    };
    let (a, b) = tokio::join!(world.http.send(Request::get("/limited")), other);
    assert!(a.is_ok() && b.is_ok());
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    for later in &seen[1..] {
        assert!(
            later.at - seen[0].at >= Duration::from_millis(140),
            "{}",
            later.target
        );
    }
}

#[tokio::test]
async fn a_wait_beyond_the_budget_ends_the_run_with_the_time_to_come_again() {
    // covers: N8, N9
    for (status, value, seconds) in [
        (429, "7", "7"),
        (429, "Sat, 31 Jan 2026 10:30:00 GMT", "3600"),
        (503, "86400", "86400"),
    ] {
        let server = Server::start(move |_| reply(status, &[("Retry-After", value)], "")).await;
        let world = simple(&server);
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.get("retry_after_s"), Some(seconds), "{value}");
        // The others are told without asking the server again.
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn the_sum_of_waits_is_bounded() {
    // covers: N9
    let server = Server::start(|_| reply(429, &[], "")).await;
    let config = HttpConfig {
        attempts: 50,
        rate_limit_wait: Duration::from_millis(20),
        max_total_wait: Duration::from_millis(90),
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
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(server.seen().len() <= 6, "{}", server.seen().len());
}

#[tokio::test]
async fn a_429_that_lasts_is_unavailable_with_the_time_to_come_again() {
    // covers: N8
    let server =
        Server::start(|_| reply(429, &[("Retry-After", "0")], r#"{"message":"slow"}"#)).await;
    let world = simple(&server);
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.get("retry_after_s"), Some("1"));
    assert!(error.to_string().contains("slow"), "{error}");
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn retries_of_a_run_are_bounded() {
    // covers: N10
    let server = Server::start(|_| reply(500, &[], "")).await;
    let config = HttpConfig {
        retries: 7,
        retry_percent: 0,
        ..quick()
    };
    let world = world(
        &server.url(),
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    for _ in 0..5 {
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    // Five requests, seven retries in all.
    assert_eq!(server.seen().len(), 12);
}

#[tokio::test]
async fn the_call_budget_counts_every_attempt() {
    // covers: L16
    let server = Server::start(|seen| match seen.index {
        0 => reply(500, &[], ""),
        _ => json("[]"),
    })
    .await;
    let setup = Setup {
        max_api_calls: Some(3),
        ..Setup::default()
    };
    let world = world(&server.url(), setup);
    assert!(world.http.send(Request::get("/")).await.is_ok());
    assert!(world.http.send(Request::get("/")).await.is_ok());
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.to_string().contains("budget of 3 calls"), "{error}");
    assert_eq!((world.http.calls(), server.seen().len()), (3, 3));
}

struct Counted;

impl Api for Counted {
    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        let used = headers.get("x-used")?.to_str().ok()?.parse().ok()?;
        Some(Quota { used, max: 100 })
    }
}

#[tokio::test]
async fn the_service_own_quota_stops_the_run_in_time() {
    // covers: L16
    let server = Server::start(|seen| {
        let used = (78 + seen.index).to_string();
        reply(200, &[("X-Used", &used)], "[]")
    })
    .await;
    let setup = Setup {
        api: Some(Arc::new(Counted)),
        stop_at_percent: Some(80),
        ..Setup::default()
    };
    let world = world(&server.url(), setup);
    for _ in 0..3 {
        world.http.send(Request::get("/")).await.unwrap();
    }
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.get("quota_used"), Some("80"));
    let quotas = world.events.lock().unwrap();
    let quotas = quotas
        .iter()
        .filter(|event| matches!(event, Event::Quota { max: 100, .. }));
    assert_eq!((quotas.count(), server.seen().len()), (3, 3));
}
