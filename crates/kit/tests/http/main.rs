//! The HTTP client against small servers that misbehave in one way each.
#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of test functions fail the test as well"
)]

mod answers;
mod budgets;
mod corpora;
mod network;
mod origins;
mod server;
mod sessions;
mod tls;
mod world;
