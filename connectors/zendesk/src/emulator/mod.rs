//! The behaviour of a Zendesk account, for the demo and for tests: logins, exports, lists, children of
//! tickets, limits, over a seeded world and a clock that tests turn.
//!
//! Made from the API contract alone, so that independent clients run on it unchanged. Plain http on
//! 127.0.0.1; nothing can be written through the API. `GET /__stats` and `POST /__clock` are ours.

mod data;
mod record;
mod world;

mod desk;
mod people;
mod thread;

mod answer;
mod bench;
mod call;
mod catalog;
mod exports;
mod limits;
mod lists;
mod oauth;
mod options;
mod render;
mod sandbox;
mod service;

pub use options::{Behaviour, Credentials, RetryAfter};
pub use sandbox::{Login, SandboxOptions, ZendeskSandbox};
pub use service::ZendeskEmulator;
pub use world::{Change, World, WorldOptions};

#[cfg(test)]
mod tests;
