//! A server that names other hosts, in every spelling: nobody else is ever asked, and no row is lost by it.

use std::net::TcpListener;

use overlock_sandbox::{Fault, Match};
use serde_json::json;

use crate::desk::{Desk, Table};

/// A thousand addresses for further pages, most of them of a host that nobody configured.
fn addresses(evil: u16, good: &str) -> Vec<String> {
    let hosts = [
        format!("http://127.0.0.1:{evil}"),
        format!("https://127.0.0.1:{evil}"),
        format!("http://localhost:{evil}"),
        format!("http://[::1]:{evil}"),
        format!("//127.0.0.1:{evil}"),
        format!("http://{good}@127.0.0.1:{evil}"),
        format!("http://{good}%40127.0.0.1:{evil}"),
        format!("http://127.0.0.1:{evil}#@{good}"),
        format!("http://127.0.0.1:{evil}/{good}"),
        format!("http:\\\\127.0.0.1:{evil}"),
        format!("/\\127.0.0.1:{evil}"),
        format!("http://user:pass@127.0.0.1:{evil}"),
        format!("HTTP://127.0.0.1:{evil}"),
        format!("http://2130706433:{evil}"),
        format!("http://0x7f.1:{evil}"),
        format!("http://127.1:{evil}"),
        format!("gopher://127.0.0.1:{evil}"),
        "file:///etc/passwd".to_owned(),
        "javascript:alert(1)".to_owned(),
        "http://169.254.169.254".to_owned(),
        String::new(),
        "\u{0}".to_owned(),
        "x".repeat(100_000),
        format!("http://{good}\r\nHost: 127.0.0.1:{evil}"),
        format!("http://{good}:80"),
    ];
    let tails = [
        "{rest}",
        "",
        "/",
        "?",
        "{rest}&cursor=evil",
        "/api/v2/../../..",
        "/%2e%2e/",
        "#",
    ];
    let mut all = Vec::new();
    for number in 0.. {
        for host in &hosts {
            for tail in tails {
                all.push(format!(
                    "{host}{tail}{}",
                    if number == 0 {
                        String::new()
                    } else {
                        format!("&n={number}")
                    }
                ));
                if all.len() == 1_000 {
                    return all;
                }
            }
        }
    }
    all
}

#[tokio::test]
async fn a_thousand_hostile_addresses_lead_nowhere() {
    // covers: N18, I20
    let evil = TcpListener::bind("127.0.0.1:0").unwrap();
    evil.set_nonblocking(true).unwrap();
    let port = evil.local_addr().unwrap().port();
    let mut options = Desk::options();
    options.world.tickets = 24;
    options.world.users = 24;
    let desk = Desk::of(options);
    let good = desk.sandbox.base_url().replace("http://", "");
    let addresses = addresses(port, &good);
    assert_eq!(addresses.len(), 1_000);
    desk.behave(|behaviour| {
        behaviour.time_page_rows = 3;
        behaviour.list_page_rows = 1;
        behaviour.content_url = Some(format!("http://127.0.0.1:{port}/attachment"));
    });
    let names = [
        "tickets",
        "users",
        "organizations",
        "ticket_events",
        "groups",
        "group_memberships",
        "macros",
        "triggers",
        "ticket_comments",
        "side_conversations",
        "calls",
        "call_legs",
        "articles",
        "sla_policies",
        "ticket_forms",
        "talk_phone_numbers",
        "satisfaction_ratings",
        "ticket_metric_events",
        "tags",
        "article_comments",
    ];
    let client = desk.client(&json!({"page_size": 1, "comments_mode": "per_ticket"}));
    for chunk in addresses.chunks(100) {
        desk.behave(|behaviour| behaviour.foreign_urls = chunk.to_vec());
        let before = desk.sandbox.server().request_count();
        for name in names {
            let reading = client.read(&desk, name, None).await.ok();
            let stream = client.stream(name).await;
            let mut table = Table::default();
            table.merge(&stream, &reading.rows);
            let expected = desk.expected(name);
            assert!(
                expected.keys().all(|key| table.0.contains_key(key)),
                "{name}"
            );
        }
        // Each address of the chunk was named at least once.
        assert!(desk.sandbox.server().request_count() - before > 100);
    }
    // Not a redirect either.
    for status in [301, 302, 303, 307, 308] {
        let to = format!("http://127.0.0.1:{port}/api/v2/groups");
        desk.fault(
            Match::path("*/groups*").times(1),
            Fault::redirect(status, &to),
        );
        let refused = client.read(&desk, "groups", None).await;
        assert!(refused.error.is_some(), "a {status} was followed");
    }
    let visit = evil.accept();
    assert!(
        visit.is_err(),
        "somebody was sent to the other host: {visit:?}"
    );
}
