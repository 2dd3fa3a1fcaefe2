//! Budgets.

use http::Method;
use serde_json::json;

use super::{Behaviour, Desk};

const EXPORT: &str = "/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=1";

#[test]
fn each_bucket_refuses_for_itself_and_refills_with_the_clock() {
    let desk = Desk::with(Behaviour::default());
    for _ in 0..10 {
        desk.ok(EXPORT);
    }
    desk.pass(18);
    let refused = desk.send(Method::GET, EXPORT, "");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.headers["retry-after"], "42");
    assert_eq!(
        refused.headers["zendesk-ratelimit-incremental-exports"],
        "total=10; remaining=0; resets=42"
    );
    assert_eq!(
        desk.get("/api/v2/incremental/organizations?start_time=0").0,
        429
    );
    let users = desk.send(
        Method::GET,
        "/api/v2/incremental/users/cursor?start_time=0",
        "",
    );
    assert_eq!(users.status, 200);
    assert_eq!(
        users.headers["zendesk-ratelimit-incremental-exports-cursor"],
        "total=20; remaining=19; resets=60"
    );
    let list = desk.send(Method::GET, "/api/v2/groups", "");
    assert_eq!(list.headers["x-rate-limit"], "700");
    assert_eq!(list.headers["x-rate-limit-remaining"], "688");
    assert_eq!(list.headers["ratelimit-reset"], "42");
    let articles = desk.send(Method::GET, "/api/v2/help_center/articles", "");
    assert_eq!(articles.headers["x-rate-limit-remaining"], "699");
    desk.pass(42);
    desk.ok(EXPORT);
    let stats = desk.ok("/__stats");
    let exports = json!({"requests": 11, "refused": 2, "most_per_window": 10});
    assert_eq!(stats["buckets"]["incremental-exports"], exports);
    assert_eq!(stats["refused"], 2);
}

#[test]
fn plans_and_the_add_on_move_the_limits() {
    let desk = Desk::with(Behaviour {
        plan_per_minute: 3,
        used_by_others: 1,
        ..Behaviour::default()
    });
    let states: Vec<u16> = (0..3).map(|_| desk.get("/api/v2/groups").0).collect();
    assert_eq!(states, [200, 200, 429]);
    desk.emulator.behave(|behaviour| {
        behaviour.high_volume = true;
        behaviour.old_headers = true;
    });
    let answered = desk.send(Method::GET, EXPORT, "");
    assert_eq!(answered.headers["x-rate-limit"], "2500");
    assert_eq!(
        answered.headers["zendesk-rate-limit-incremental-exports"],
        "total=30; remaining=29; resets=60"
    );
    assert!(answered.headers.contains_key("rate-limit-remaining"));
}

#[test]
fn a_clock_can_be_turned_by_request() {
    let desk = Desk::with(Behaviour::default());
    let (_, body) = desk.post("/__clock", &json!({"advance": 90}));
    assert_eq!(body["now"], "2026-03-02T09:01:30Z");
}
