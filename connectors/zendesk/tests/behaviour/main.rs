//! What the source makes of an account, and what it does when the account is not well-behaved.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure is the test's"
)]

#[path = "../desk/mod.rs"]
mod desk;

mod care;
mod hostile;
mod peers;
mod whole;
