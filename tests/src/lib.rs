//! Acceptance: the real binary against the sandbox, judged by oracles.
//!
//! The tests themselves are in `tests/tests/`; this library holds what they share.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "only tests call this, and a panic is how a test fails"
)]

pub mod desk;
pub mod house;
pub mod interop;
pub mod lab;
pub mod project;
pub mod proxy;
pub mod rows;
pub mod tenant;
