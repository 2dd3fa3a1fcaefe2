//! Connections that fail, stall, break and lie.

use std::time::Duration;

use overlock_core::{ErrorKind, Proxy};
use overlock_kit::HttpConfig;
use overlock_kit::http::{Request, Url};

use crate::server::{Server, Step, answer, gzip, json};
use crate::world::{Setup, quick, simple, world};

const BODY: &str = r#"[{"Id":"001"},{"Id":"002"}]"#;

async fn closed_port() -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    Url::parse(&format!("http://{address}")).unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_even_for_a_post() {
    // covers: N1
    let world = world(&closed_port().await, Setup::default());
    for request in [Request::get("/a"), Request::post("/a", "{}")] {
        let before = world.http.calls();
        let error = world.http.send(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(world.http.calls() - before, 6);
        assert_eq!(error.get("attempts"), Some("6"));
        assert!(
            error.to_string().starts_with("connect to 127.0.0.1"),
            "{error}"
        );
        assert!(error.hint_text().is_some());
    }
}

#[tokio::test]
async fn an_unknown_name_is_tried_again() {
    // covers: N1
    let base = Url::parse("https://no-such-host.invalid").unwrap();
    let config = HttpConfig {
        attempts: 2,
        ..quick()
    };
    let setup = Setup {
        config: Some(config),
        ..Setup::default()
    };
    let world = world(&base, setup);
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(world.http.calls(), 2);
}

#[tokio::test]
async fn a_connection_that_is_never_made_times_out() {
    // covers: N2
    // Accepts, but never answers the beginning of TLS: the connect time-out includes TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let config = HttpConfig {
        attempts: 2,
        connect_timeout: Duration::from_millis(50),
        read_timeout: Duration::from_secs(60),
        ..quick()
    };
    let world = world(
        &base,
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("no connection in time"),
        "{error}"
    );
    assert_eq!(world.http.calls(), 2);
}

fn impatient() -> Setup {
    let config = HttpConfig {
        connect_timeout: Duration::from_millis(100),
        read_timeout: Duration::from_millis(200),
        bulk_read_timeout: Duration::from_millis(200),
        ..quick()
    };
    Setup {
        config: Some(config),
        ..Setup::default()
    }
}

#[tokio::test]
async fn silence_before_or_inside_the_body_is_tried_again() {
    // covers: N3
    let whole = answer(200, &[], BODY.as_bytes());
    let server = Server::start(move |seen| match seen.index {
        0 => vec![Step::Stall],
        1 => vec![Step::Send(whole[..whole.len() - 3].to_vec()), Step::Stall],
        _ => json(BODY),
    })
    .await;
    let world = world(&server.url(), impatient());
    let response = world.http.send(Request::get("/")).await.unwrap();
    assert_eq!(response.body, BODY);
    assert_eq!(world.http.calls(), 3);
    let said = world.said();
    assert!(
        said.contains("no answer for") && said.contains("nothing came for"),
        "{said}"
    );
}

#[tokio::test]
async fn silence_that_lasts_ends_as_unavailable() {
    // covers: N3
    let server = Server::start(|_| vec![Step::Stall]).await;
    let mut setup = impatient();
    if let Some(config) = &mut setup.config {
        config.attempts = 2;
    }
    let world = world(&server.url(), setup);
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_drip_is_cut_off_by_the_throughput_floor() {
    // covers: N4
    let server = Server::start(|seen| match seen.index {
        0 => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec();
            vec![
                Step::Send(head),
                Step::Drip(vec![b'x'; 1_000], Duration::from_millis(5)),
            ]
        }
        _ => json(BODY),
    })
    .await;
    let config = HttpConfig {
        min_bytes_per_s: 10_000,
        min_bytes_period: Duration::from_millis(60),
        ..quick()
    };
    let world = world(
        &server.url(),
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    assert_eq!(world.http.send(Request::get("/")).await.unwrap().body, BODY);
    assert!(
        world.said().contains("slower than 10000 bytes per second"),
        "{}",
        world.said()
    );
}

#[tokio::test]
async fn a_body_that_takes_too_long_in_all_is_given_up() {
    // covers: N4
    let server = Server::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec();
        vec![
            Step::Send(head),
            Step::Drip(vec![b'x'; 1_000], Duration::from_millis(5)),
        ]
    })
    .await;
    let config = HttpConfig {
        attempts: 1,
        total_timeout: Duration::from_millis(80),
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
    assert!(error.to_string().contains("longer than 80ms"), "{error}");
}

#[tokio::test]
async fn a_slow_consumer_is_not_a_slow_server() {
    let server = Server::start(|_| json(&"x".repeat(600_000))).await;
    let config = HttpConfig {
        bulk_read_timeout: Duration::from_millis(300),
        bulk_total_timeout: Duration::from_millis(600),
        min_bytes_per_s: 1 << 20,
        min_bytes_period: Duration::from_millis(20),
        ..quick()
    };
    let world = world(
        &server.url(),
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    let mut body = world.http.open(Request::get("/").bulk()).await.unwrap();
    let mut bytes = 0;
    for _ in 0..2 {
        if let Some(chunk) = body.chunk().await.unwrap() {
            bytes += chunk.len();
        }
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
    while let Some(chunk) = body.chunk().await.unwrap() {
        bytes += chunk.len();
    }
    assert_eq!(bytes, 600_000);
}

/// Cuts an answer at each of its bytes from `first` on; every second request gets it whole.
async fn cut_everywhere(whole: Vec<u8>, first: usize, reset: bool) {
    let cuts = whole.len() - first;
    let server = Server::start(move |seen| match (seen.index % 2, seen.index / 2 + first) {
        (0, cut) if reset => vec![Step::Send(whole[..cut].to_vec()), Step::Reset],
        (0, cut) => vec![Step::Send(whole[..cut].to_vec())],
        _ => json(BODY),
    })
    .await;
    let world = simple(&server);
    for cut in 0..cuts {
        let response = world.http.send(Request::get("/")).await.unwrap();
        assert_eq!(response.body, BODY, "cut at {}", cut + first);
        let calls = world.http.calls();
        assert_eq!(calls, 2 * (cut as u64 + 1), "cut at {}", cut + first);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_at_any_byte_is_asked_for_again() {
    // covers: N5
    let whole = answer(
        200,
        &[("Content-Type", "application/json")],
        BODY.as_bytes(),
    );
    cut_everywhere(whole.clone(), 0, false).await;
    cut_everywhere(whole, 0, true).await;
}

#[tokio::test]
async fn a_chunked_answer_without_its_end_is_asked_for_again() {
    // covers: N5
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = format!("{head}1b\r\n{BODY}\r\n0\r\n\r\n").into_bytes();
    cut_everywhere(whole, head.len(), false).await;
}

#[tokio::test]
async fn a_streamed_body_that_breaks_says_so_and_is_opened_again() {
    // covers: N5
    let whole = answer(200, &[], BODY.as_bytes());
    let server = Server::start(move |seen| match seen.index {
        0 => vec![Step::Send(whole[..whole.len() - 5].to_vec()), Step::Reset],
        _ => json(BODY),
    })
    .await;
    let world = simple(&server);
    let mut attempt = 1;
    let body = loop {
        let body = world.http.open(Request::get("/").bulk()).await.unwrap();
        match body.collect().await {
            Ok(body) => break body,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                world.http.retry(None, attempt, error).await.unwrap();
                attempt += 1;
            }
        }
    };
    assert_eq!(body, BODY);
    assert_eq!(
        (attempt, world.http.calls(), world.pauses().len()),
        (2, 2, 1)
    );
}

#[tokio::test]
async fn retries_of_broken_bodies_end_with_the_attempts() {
    // covers: N5
    let server = Server::start(|_| json(BODY)).await;
    let world = simple(&server);
    let broken = || overlock_core::Error::new(ErrorKind::Unavailable, "receive an answer");
    assert!(world.http.retry(None, 5, broken()).await.is_ok());
    assert!(world.http.retry(None, 6, broken()).await.is_err());
    let limit = overlock_core::Error::new(ErrorKind::Data, "accept").context("limit", "body");
    assert!(world.http.retry(None, 1, limit).await.is_err());
    let used_up = broken().context("attempts", 6);
    assert!(world.http.retry(None, 1, used_up).await.is_err());
    let refused = broken().with_kind(ErrorKind::Permission);
    assert!(world.http.retry(None, 1, refused).await.is_err());
}

#[tokio::test]
async fn damaged_gzip_is_asked_for_again() {
    // covers: N7
    let wire = gzip(BODY.as_bytes());
    let mut crc = wire.clone();
    let at = crc.len() - 6;
    crc[at] ^= 1;
    let bad = [
        wire[..wire.len() - 9].to_vec(),
        wire[..wire.len() - 4].to_vec(),
        crc,
        [&wire[..], b"\0"].concat(),
        [&wire[..], &wire[..]].concat(),
        b"not gzip".to_vec(),
    ];
    let count = bad.len() as u64;
    let server = Server::start(move |seen| {
        let body = bad.get(seen.index).unwrap_or(&wire);
        vec![Step::Send(answer(
            200,
            &[("Content-Encoding", "gzip")],
            body,
        ))]
    })
    .await;
    let config = HttpConfig {
        attempts: 20,
        ..quick()
    };
    let world = world(
        &server.url(),
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    let response = world.http.send(Request::get("/")).await.unwrap();
    assert_eq!(response.body, BODY);
    assert_eq!(world.http.calls(), count + 1);
    assert!(
        server.seen()[0]
            .headers
            .contains("accept-encoding: gzip\r\n")
    );
}

#[tokio::test]
async fn a_streamed_gzip_body_arrives_as_it_was_meant() {
    let data = "0123456789".repeat(100_000);
    let wire = gzip(data.as_bytes());
    let server = Server::start(move |_| {
        vec![Step::Send(answer(
            200,
            &[("Content-Encoding", "gzip")],
            &wire,
        ))]
    })
    .await;
    let body = simple(&server)
        .http
        .open(Request::get("/").bulk())
        .await
        .unwrap();
    assert!(body.collect().await.unwrap() == data);
}

#[tokio::test]
async fn an_answer_without_a_body_has_no_encoding() {
    let server = Server::start(|_| {
        let head = "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n";
        vec![Step::Send(head.as_bytes().to_vec())]
    })
    .await;
    let world = simple(&server);
    let response = world.http.send(Request::delete("/job")).await.unwrap();
    assert_eq!((response.status, response.body.len()), (204, 0));
}

#[tokio::test]
async fn a_bomb_or_a_flood_is_given_up_at_once() {
    // covers: I18
    let bomb = gzip(&vec![0; 80 << 20]);
    let server = Server::start(move |seen| {
        if seen.target == "/bomb" {
            vec![Step::Send(answer(
                200,
                &[("Content-Encoding", "gzip")],
                &bomb,
            ))]
        } else {
            // Larger than allowed: it is the client that ends it.
            let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())];
            steps.extend((0..40).map(|_| Step::Send(vec![b'x'; 65_536])));
            steps
        }
    })
    .await;
    let world = simple(&server);
    for path in ["/bomb", "/flood"] {
        let before = world.http.calls();
        let request = Request::get(path).max_body(if path == "/bomb" { 1 << 40 } else { 1 << 20 });
        let error = world.http.send(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(error.get("limit"), Some("body"));
        assert_eq!(world.http.calls() - before, 1, "{path}");
    }
}

#[tokio::test]
async fn a_header_without_measure_is_an_error_and_not_a_flood() {
    // covers: I20
    let server = Server::start(|seen| {
        let mut head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_vec();
        if seen.target == "/long" {
            head.extend_from_slice(format!("X-Long: {}\r\n", "x".repeat(1 << 20)).as_bytes());
        } else {
            for i in 0..10_000 {
                head.extend_from_slice(format!("X-{i}: 1\r\n").as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n[]");
        vec![Step::Send(head)]
    })
    .await;
    let config = HttpConfig {
        attempts: 1,
        ..quick()
    };
    let world = world(
        &server.url(),
        Setup {
            config: Some(config),
            ..Setup::default()
        },
    );
    for path in ["/long", "/many"] {
        let error = world.http.send(Request::get(path)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{path}: {error}");
    }
}

#[tokio::test]
async fn a_dead_proxy_is_named_by_its_variable() {
    // covers: N22
    let proxy = closed_port().await;
    let address = format!("127.0.0.1:{}", proxy.port().unwrap());
    let base = Url::parse("https://acme.test").unwrap();
    let config = HttpConfig {
        attempts: 2,
        ..quick()
    };
    let world = world(
        &base,
        Setup {
            config: Some(config),
            proxy: Proxy {
                https: Some(format!("http://user:proxy-password-1@{address}")),
                ..Proxy::default()
            },
            ..Setup::default()
        },
    );
    let error = world.http.send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(
        text.contains("HTTPS_PROXY") && text.contains(&address),
        "{text}"
    );
    assert!(error.hint_text().unwrap().contains("NO_PROXY"));
    assert!(!format!("{error:?}{}", world.said()).contains("proxy-password"));
}

#[tokio::test]
async fn this_machine_is_reached_without_the_proxy() {
    let server = Server::start(|_| json("[]")).await;
    let dead = closed_port().await.to_string();
    let proxy = Proxy {
        https: Some(dead.clone()),
        http: Some(dead),
        no_proxy: None,
    };
    let world = world(
        &server.url(),
        Setup {
            proxy,
            ..Setup::default()
        },
    );
    assert!(world.http.send(Request::get("/")).await.is_ok());
}
