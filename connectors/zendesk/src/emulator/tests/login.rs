//! Logins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Credentials, Desk};

fn wanted(kind: &str) -> Value {
    let known = Credentials::default();
    json!({
        "grant_type": kind, "client_id": known.client_id, "client_secret": known.client_secret,
        "refresh_token": known.refresh_token, "scope": "read",
    })
}

#[test]
fn each_way_in_reads_tickets_and_wrong_ones_do_not() {
    let known = Credentials::default();
    let mut desk = Desk::tiny();
    let basic =
        |user: &str, word: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{word}")));
    let token = format!("{}/token", known.email);
    for (authorization, status) in [
        (format!("Bearer {}", known.access_token), 200),
        (basic(&token, &known.api_token), 200),
        (basic(&token, "wrong"), 401),
        (basic(&known.email, "password"), 401),
        ("Bearer wrong".to_owned(), 401),
        (String::new(), 401),
    ] {
        desk.authorization = authorization;
        assert_eq!(
            desk.get("/api/v2/tickets.json?page[size]=1").0,
            status,
            "{}",
            desk.authorization
        );
    }
    assert_eq!(
        desk.ok("/api/v2/users/me.json")["user"]["name"],
        "Anonymous user"
    );
    desk.authorization = basic(&token, "wrong");
    assert_eq!(desk.get("/api/v2/users/me.json").0, 401);
}

#[test]
fn a_token_of_client_credentials_ends_by_the_clock() {
    let mut desk = Desk::tiny();
    let (status, grant) = desk.post("/oauth/tokens", &wanted("client_credentials"));
    assert_eq!(
        (status, &grant["scope"], &grant["expires_in"]),
        (200, &json!("read"), &json!(1_800))
    );
    assert!(grant["refresh_token"].is_null());
    desk.authorization = format!("Bearer {}", grant["access_token"].as_str().unwrap());
    let current = desk.ok("/api/v2/oauth/tokens/current.json");
    assert_eq!(current["token"]["expires_at"], "2026-03-02T09:30:00Z");
    desk.pass(1_800);
    let (status, body) = desk.get("/api/v2/tickets");
    assert_eq!((status, &body["error"]), (401, &json!("invalid_token")));
    assert_eq!(desk.emulator.logins(), 1);
}

#[test]
fn refresh_rotates_and_replay_is_refused_without_harm() {
    let mut desk = Desk::tiny();
    let (_, first) = desk.post("/oauth/tokens", &wanted("refresh_token"));
    let mut again = wanted("refresh_token");
    assert_eq!(
        desk.post("/oauth/tokens", &again).1["error"],
        "invalid_grant"
    );
    again["refresh_token"] = first["refresh_token"].clone();
    desk.authorization = format!("Bearer {}", first["access_token"].as_str().unwrap());
    assert_eq!(desk.get("/api/v2/tickets").0, 200);
    let (status, second) = desk.post("/oauth/tokens", &again);
    assert_eq!(status, 200);
    assert_eq!(desk.get("/api/v2/tickets").0, 401);
    desk.authorization = format!("Bearer {}", second["access_token"].as_str().unwrap());
    assert_eq!(desk.get("/api/v2/tickets").0, 200);
}

#[test]
fn scopes_have_a_ceiling_and_decide_what_is_read() {
    let desk = Desk::tiny();
    let mut ask = wanted("client_credentials");
    ask["scope"] = "impersonate:write".into();
    assert_eq!(desk.post("/oauth/tokens", &ask).0, 200);
    let mut narrow = desk;
    narrow.emulator = narrow.emulator.with_credentials(Credentials {
        scopes: vec!["tickets:read".to_owned()],
        ..Credentials::default()
    });
    let (status, body) = narrow.post("/oauth/tokens", &wanted("client_credentials"));
    assert_eq!((status, &body["error"]), (400, &json!("invalid_scope")));
    ask["scope"] = "tickets:read".into();
    let (_, grant) = narrow.post("/oauth/tokens", &ask);
    narrow.authorization = format!("Bearer {}", grant["access_token"].as_str().unwrap());
    assert_eq!(narrow.get("/api/v2/tickets").0, 200);
    let (status, body) = narrow.get("/api/v2/tickets/1/audits");
    assert_eq!(status, 403);
    assert_eq!(
        body["description"],
        "Missing the following required scopes: read"
    );
    ask["scope"] = "no_such_thing".into();
    let (status, grant) = narrow.post("/oauth/tokens", &ask);
    assert_eq!((status, &grant["scope"]), (200, &json!("no_such_thing")));
    narrow.authorization = format!("Bearer {}", grant["access_token"].as_str().unwrap());
    assert_eq!(narrow.get("/api/v2/tickets").0, 403);
}

#[test]
fn tokens_end_in_the_middle_of_a_run_and_agents_may_not_export() {
    let mut desk = Desk::tiny();
    desk.emulator
        .behave(|behaviour| behaviour.access_token_requests = Some(2));
    let (_, grant) = desk.post("/oauth/tokens", &wanted("client_credentials"));
    desk.authorization = format!("Bearer {}", grant["access_token"].as_str().unwrap());
    let states: Vec<u16> = (0..3).map(|_| desk.get("/api/v2/groups").0).collect();
    assert_eq!(states, [200, 200, 401]);
    desk.authorization = format!("Bearer {}", Credentials::default().access_token);
    desk.emulator.behave(|behaviour| behaviour.is_agent = true);
    assert_eq!(desk.get("/api/v2/groups").0, 200);
    assert_eq!(
        desk.get("/api/v2/incremental/users/cursor?start_time=0").0,
        403
    );
    desk.emulator.revoke_access();
    assert_eq!(desk.get("/api/v2/groups").0, 401);
}

#[test]
fn a_sandbox_answers_on_a_socket_and_tells_how_to_log_in() {
    use std::io::{Read as _, Write as _};

    use crate::emulator::{Login, SandboxOptions, ZendeskSandbox};

    let sandbox = ZendeskSandbox::start(SandboxOptions::tiny(1, super::start())).unwrap();
    let config = sandbox.config(Login::Bearer);
    let token = config["auth"]["access_token"].as_str().unwrap();
    assert!(
        sandbox
            .canaries()
            .iter()
            .all(|secret| secret.contains("canary"))
    );
    for login in [
        Login::ClientCredentials,
        Login::RefreshToken,
        Login::ApiToken,
    ] {
        assert!(sandbox.config(login)["auth"]["kind"].is_string());
    }
    let host = sandbox.base_url();
    let host = host.strip_prefix("http://").unwrap();
    let mut socket = std::net::TcpStream::connect(host).unwrap();
    write!(
        socket,
        "GET /api/v2/incremental/tickets/cursor.json?start_time=0&per_page=1 HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(&format!(
        "\"after_url\":\"http://{host}/api/v2/incremental/tickets/cursor.json?"
    )));
    assert_eq!(sandbox.requests().len(), 1);
}
