//! Servers that would like requests to go elsewhere.

use overlock_core::ErrorKind;
use overlock_kit::HttpConfig;
use overlock_kit::http::{Request, Url};

use crate::server::{Server, json, reply};
use crate::world::{Setup, quick, simple, world};

#[tokio::test]
async fn redirects_are_not_followed() {
    // covers: N17
    let other = Server::start(|_| json("[]")).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}?token=abcdef123456", other.url());
        let server = Server::start(move |_| reply(status, &[("Location", &to)], "")).await;
        let world = simple(&server);
        for open in [false, true] {
            let error = if open {
                world.http.open(Request::get("/")).await.unwrap_err()
            } else {
                world.http.send(Request::get("/")).await.unwrap_err()
            };
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("http://127.0.0.1"), "{error}");
            assert!(!format!("{error:?}").contains("abcdef"));
        }
        assert_eq!(server.seen().len(), 2);
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_to_itself_ends_at_once() {
    // covers: N17
    let server = Server::start(|_| reply(302, &[("Location", "/")], "")).await;
    let error = simple(&server)
        .http
        .send(Request::get("/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn links_of_the_server_stay_on_our_origin() {
    // covers: N18
    let server = Server::start(|_| json("[]")).await;
    let world = simple(&server);
    let path = world
        .http
        .link("/services/query/01g-2000?a=b")
        .await
        .unwrap();
    assert_eq!(path, "/services/query/01g-2000?a=b");
    world.http.send(Request::get(path)).await.unwrap();
    let absolute = format!("http://{}/x", server.address);
    assert_eq!(world.http.link(&absolute).await.unwrap(), "/x");
    for bad in [
        "https://evil.test/x",
        "//evil.test/x",
        "http://127.0.0.1:1/x",
    ] {
        assert!(world.http.link(bad).await.is_err(), "{bad}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_name_that_nobody_configured_must_not_lead_to_this_machine() {
    // covers: I23
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let base = Url::parse(&format!("https://localhost:{port}")).unwrap();
    let config = HttpConfig {
        attempts: 3,
        ..quick()
    };
    let setup = Setup {
        config: Some(config),
        configured: Some(Vec::new()),
        known: vec![base.clone()],
        ..Setup::default()
    };
    let world = world(&base, setup);
    let error = world.http.send(Request::get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("nobody configured that"),
        "{error}"
    );
    assert_eq!(world.http.calls(), 1);
    let connected = tokio::time::timeout(std::time::Duration::from_millis(20), listener.accept());
    assert!(connected.await.is_err(), "nothing may have connected");
}
