//! The rules of a source, S1 to S5, against the emulated tenant.

mod tenant;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use overlock_core::{Clock, Context, Result, Source, StreamName, Timestamp};
use overlock_kit::conformance::{Fault, Subject, World};
use overlock_sandbox::{Fault as Wire, Match};
use overlock_zuora::emulator::Behaviour;
use serde_json::{Value, json};

use tenant::{SETTLE, Tenant};

/// Some streams of a tenant that packs its files in a certain way.
struct Zuora {
    streams: &'static [&'static str],
    format: &'static str,
    behaviour: fn(&mut Behaviour),
    entities: bool,
}

#[async_trait]
impl Subject for Zuora {
    async fn fresh(&self) -> Box<dyn World> {
        let (tenant, entities) = if self.entities {
            Tenant::of_two_entities()
        } else {
            (Tenant::small(), Vec::new())
        };
        tenant.behave(self.behaviour);
        let extra = json!({"format": self.format, "entities": entities});
        Box::new(Account {
            tenant,
            streams: self.streams,
            extra,
        })
    }
}

struct Account {
    tenant: Tenant,
    streams: &'static [&'static str],
    extra: Value,
}

impl World for Account {
    fn connect(&self, cx: &Context) -> Result<Arc<dyn Source>> {
        self.tenant.connect(cx, &self.extra)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.tenant.sandbox.clock().clone())
    }

    fn streams(&self) -> Vec<StreamName> {
        self.streams
            .iter()
            .filter_map(|name| StreamName::new(*name).ok())
            .collect()
    }

    fn until(&self) -> Timestamp {
        self.tenant.now()
    }

    fn expected(&self, stream: &StreamName) -> Option<BTreeSet<String>> {
        let now = self.tenant.now();
        self.tenant.world(|world| {
            let object = world.object(stream.as_str())?;
            let entities = world.entities();
            let settled = now.minus(SETTLE);
            let rows = world.rows(stream.as_str(), now).into_iter();
            let seen = rows.filter(|row| {
                let is_settled = row.stamp(object.change).is_none_or(|stamp| stamp < settled);
                is_settled && (object.deletes || !row.deleted)
            });
            let key = |row: &overlock_zuora::emulator::Row| match entities.get(row.entity) {
                Some(entity) => format!("{entity}|{}", row.id),
                None => row.id.clone(),
            };
            Some(seen.map(key).collect())
        })
    }

    fn requests(&self) -> u64 {
        self.tenant.sandbox.server().request_count()
    }

    fn inject(&self, index: u64, fault: Fault) {
        let only = |method: &str, path: &str| Match {
            index: Some(index),
            times: Some(1),
            method: (!method.is_empty()).then(|| method.to_owned()),
            path: (!path.is_empty()).then(|| path.to_owned()),
            ..Match::default()
        };
        let add = |matches, wire| self.tenant.fault(matches, wire);
        match fault {
            Fault::TooManyRequests => add(only("", ""), Wire::too_many_requests(Some("0"))),
            Fault::Unavailable => add(only("", ""), Wire::status(503)),
            Fault::Dropped => add(only("", ""), Wire::Reset),
            Fault::Cut => add(only("", ""), Wire::CutAt { bytes: 120 }),
            // The token endpoint has no token that could be expired.
            Fault::TokenExpired => add(
                only("", "/v1/*"),
                Wire::json(
                    401,
                    r#"{"success":false,"reasons":[{"code":"90000011","message":"Failed to get user info"}]}"#,
                ),
            ),
            Fault::JobExpired => {
                add(
                    only("GET", "/v1/batch-query/jobs/*"),
                    Wire::json(
                        200,
                        r#"{"status":"error","errorCode":"90002","message":"Invalid Job Id."}"#,
                    ),
                );
                add(
                    only("GET", "/v1/file/*"),
                    Wire::json(
                        404,
                        r#"{"success":false,"reasons":[{"code":50000040,"message":"Cannot find entity by key: the file does not exist."}]}"#,
                    ),
                );
            }
        }
    }

    fn canaries(&self) -> Vec<String> {
        self.tenant.sandbox.canaries()
    }
}

/// Windows, with deleted rows and without, in gzip files.
mod windows {
    use super::Zuora;
    overlock_kit::conformance!(Zuora {
        streams: &[
            "Account",
            "InvoiceItem",
            "AccountingCode",
            "PaymentTransactionLog"
        ],
        format: "gzip",
        behaviour: |_| (),
        entities: false,
    });
}

/// Objects that say nothing about changes.
mod whole {
    use super::Zuora;
    overlock_kit::conformance!(Zuora {
        streams: &["CalloutHistory", "EmailHistory"],
        format: "csv",
        behaviour: |_| (),
        entities: false,
    });
}

/// Results in several files.
mod segments {
    use super::Zuora;
    overlock_kit::conformance!(Zuora {
        streams: &["Invoice", "Usage"],
        format: "zip",
        behaviour: |behaviour| behaviour.segments_of_rows = Some(40),
        entities: false,
    });
}

/// Results that Zuora does not hand out until they are small.
mod too_large {
    use super::Zuora;
    overlock_kit::conformance!(Zuora {
        streams: &["ProcessedUsage"],
        format: "csv",
        behaviour: |behaviour| behaviour.abort_above_rows = Some(20),
        entities: false,
    });
}

/// A tenant of two entities.
mod entities {
    use super::Zuora;
    overlock_kit::conformance!(Zuora {
        streams: &["Account", "Payment", "EmailHistory"],
        format: "csv",
        behaviour: |_| (),
        entities: true,
    });
}
