//! The rules of a source, S1 to S5, against the emulated account.

mod desk;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use overlock_core::{Clock, Context, Result, Source, StreamName, Timestamp};
use overlock_kit::conformance::{Fault, Subject, World};
use overlock_sandbox::{Fault as Wire, Match};
use serde_json::json;

use desk::Desk;

/// One stream of each way of reading, with several pages each.
struct Zendesk(&'static [&'static str], &'static str);

#[async_trait]
impl Subject for Zendesk {
    async fn fresh(&self) -> Box<dyn World> {
        let mut options = Desk::options();
        options.world.tickets = 24;
        options.world.users = 24;
        let desk = Desk::of(options);
        desk.behave(|behaviour| {
            behaviour.time_page_rows = 60;
            behaviour.list_page_rows = 3;
        });
        Box::new(Account(desk, self.0, self.1))
    }
}

struct Account(Desk, &'static [&'static str], &'static str);

impl World for Account {
    fn connect(&self, cx: &Context) -> Result<Arc<dyn Source>> {
        let extra = json!({"page_size": 9, "comments_mode": self.2});
        self.0.connect(cx, &extra)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.0.sandbox.clock().clone())
    }

    fn streams(&self) -> Vec<StreamName> {
        self.1
            .iter()
            .filter_map(|name| StreamName::new(*name).ok())
            .collect()
    }

    fn until(&self) -> Timestamp {
        self.0.now()
    }

    fn expected(&self, stream: &StreamName) -> Option<BTreeSet<String>> {
        // Events also hold the comments of tickets that were deleted since.
        let events = stream.as_str() == "ticket_comments" && self.2 == "events";
        (!events).then(|| self.0.expected(stream.as_str()).into_keys().collect())
    }

    fn requests(&self) -> u64 {
        self.0.sandbox.requests().len() as u64
    }

    fn inject(&self, index: u64, fault: Fault) {
        let wire = match fault {
            Fault::TooManyRequests => Wire::too_many_requests(Some("0")),
            Fault::Unavailable => Wire::status(503),
            Fault::Dropped => Wire::Reset,
            Fault::Cut => Wire::CutAt { bytes: 120 },
            Fault::TokenExpired => Wire::json(
                401,
                r#"{"error":"invalid_token","error_description":"The access token provided is expired, revoked, malformed or invalid for other reasons."}"#,
            ),
            // Zendesk has no jobs; a cursor that is refused is its like, and a refusal may come anywhere.
            Fault::JobExpired => Wire::status(504),
        };
        let is_token = fault == Fault::TokenExpired;
        self.0.fault(
            Match {
                index: Some(index),
                times: Some(1),
                // The token endpoint has no token that could be expired.
                path: is_token.then(|| "/api/*".to_owned()),
                ..Match::default()
            },
            wire,
        );
    }

    fn canaries(&self) -> Vec<String> {
        self.0.sandbox.canaries()
    }
}

mod exports {
    use super::Zendesk;
    overlock_kit::conformance!(Zendesk(
        &[
            "tickets",
            "ticket_metrics",
            "users",
            "user_identities",
            "organizations"
        ],
        "events"
    ));
}

mod below_tickets {
    use super::Zendesk;
    overlock_kit::conformance!(Zendesk(&["ticket_audits", "ticket_comments"], "per_ticket"));
}

mod lists {
    use super::Zendesk;
    overlock_kit::conformance!(Zendesk(
        &[
            "groups",
            "sla_policies",
            "schedules",
            "account_settings",
            "ticket_metric_events",
            "satisfaction_ratings",
            "calls",
            "article_comments",
            "custom_object_records"
        ],
        "events"
    ));
}

mod events {
    use super::Zendesk;
    overlock_kit::conformance!(Zendesk(&["ticket_comments", "ticket_events"], "events"));
}
