//! What the source does when the org is not well-behaved, and that every value arrives as it is.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

#[path = "../org/mod.rs"]
mod org;

mod logic;
mod logins;
mod network;
mod values;
