//! What the source makes of a tenant, and what it does when the tenant is not well-behaved.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: a failure is the test's"
)]

#[path = "../tenant/mod.rs"]
mod tenant;

mod care;
mod hostile;
mod jobs;
mod peers;
mod whole;
