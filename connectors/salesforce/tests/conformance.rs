//! The rules of a source, S1 to S5, against the emulated org.

mod org;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use overlock_core::{Clock, Context, Result, Source, StreamName, Timestamp};
use overlock_kit::conformance::{Fault, Subject, World};
use serde_json::json;

use org::{Mischief, Org};

/// Bulk with several pages, Bulk without `IsDeleted`, REST with several pages, and REST without dates.
struct Salesforce;

#[async_trait]
impl Subject for Salesforce {
    async fn fresh(&self) -> Box<dyn World> {
        let org = Org::small();
        org.emulator().behave(|behaviour| {
            behaviour.bulk_page_rows = 7;
            behaviour.tiny_batches = true;
            behaviour.job_polls = 1;
        });
        Box::new(Account(org))
    }
}

struct Account(Org);

impl World for Account {
    fn connect(&self, cx: &Context) -> Result<Arc<dyn Source>> {
        let extra = json!({"rest_below_rows": 0, "rest_page_rows": 9, "max_records": 7});
        self.0.connect(cx, &extra)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.0.clock())
    }

    fn streams(&self) -> Vec<StreamName> {
        ["Account", "User", "OpportunityHistory", "TaskStatus"]
            .into_iter()
            .filter_map(|name| StreamName::new(name).ok())
            .collect()
    }

    fn until(&self) -> Timestamp {
        self.0.now()
    }

    fn expected(&self, stream: &StreamName) -> Option<BTreeSet<String>> {
        Some(self.0.keys(stream.as_str()))
    }

    fn requests(&self) -> u64 {
        self.0.requests().len() as u64
    }

    fn inject(&self, index: u64, fault: Fault) {
        use overlock_sandbox::Fault as Wire;
        match fault {
            Fault::TooManyRequests => self.0.fault_at(index, Wire::too_many_requests(Some("0"))),
            Fault::Unavailable => self.0.fault_at(index, Wire::status(503)),
            Fault::Dropped => self.0.fault_at(index, Wire::Reset),
            Fault::Cut => self.0.fault_at(index, Wire::CutAt { bytes: 120 }),
            Fault::TokenExpired => self.0.mischief_at(index, Mischief::ExpireSessions),
            Fault::JobExpired => self.0.mischief_at(index, Mischief::ForgetJobs),
        }
    }

    fn canaries(&self) -> Vec<String> {
        self.0.canaries()
    }
}

overlock_kit::conformance!(Salesforce);
