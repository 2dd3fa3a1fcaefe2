//! The behaviour of a Zuora tenant, for the demo and for tests: logins, describe, AQuA, Data Query, Object Query
//! and the legacy calls, over a seeded world and a clock that tests turn.
//!
//! Made from the API contract alone, so that independent clients run on it unchanged. Plain http on 127.0.0.1;
//! nothing can be written through the API. `GET /__stats` and `POST /__clock` are ours.

mod action;
mod aqua;
mod bench;
mod call;
mod cell;
mod csv;
mod data;
mod data_file;
mod data_habits;
mod data_job;
mod data_query;
mod describe;
mod evaluate;
mod files;
mod job;
mod legacy;
mod limits;
mod model;
mod oauth;
mod object_filter;
mod object_query;
mod options;
mod oracle;
mod pacific;
mod plan;
mod sandbox;
mod service;
mod sql;
mod tenant;
mod world;
mod zoql;

#[cfg(test)]
mod query_bench;
#[cfg(test)]
mod tests;

pub use data_habits::DataHabits;
pub use job::JobRecord;
pub use model::{ChangeKey, Field, Kind, Object, Related, Row, Value};
pub use object_query::ObjectHabits;
pub use options::{BatchOutcome, Behaviour, Credentials, CutFiles, Outcome, RateLimits};
pub use sandbox::{Login, SandboxOptions, ZuoraSandbox};
pub use service::ZuoraEmulator;
pub use world::{World, WorldOptions};
