//! The behaviour of a Salesforce org, for the demo and for tests: logins, describe, REST queries, Bulk API
//! 2.0 and 1.0, quotas, over a seeded world and a clock that tests turn.
//!
//! Made from the API contract alone, so that independent clients run on it unchanged. Plain http on
//! 127.0.0.1; no SOAP calls but login; nothing can be written through the API.

mod data;
mod model;
mod schema;
mod world;

mod answer;
mod bench;
mod bulk1;
mod bulk2;
mod composite;
mod describe;
mod evaluate;
mod job;
mod oauth;
mod options;
mod query;
mod quota;
mod render;
mod replication;
mod sandbox;
mod service;
mod soql;

pub use model::{
    Computed, Expected, Field, FieldKind, Object, Row, Value, Version, canonical_number,
};
pub use options::{
    Behaviour, Credentials, JobFault, LatencyClock, Outcome, TEST_OTHER_PRIVATE_KEY,
    TEST_PRIVATE_KEY, TEST_PUBLIC_KEY,
};
pub use sandbox::{Login, SalesforceSandbox, SandboxOptions};
pub use service::SalesforceEmulator;
pub use world::{Change, LONGEST_TRANSACTION, Moment, World, WorldOptions};

#[cfg(test)]
mod tests;
