//! Acceptance: the real binary against the sandbox, judged by oracles.
//!
//! The tests themselves are in `tests/tests/`; this library holds what they share.

pub mod house;
pub mod lab;
pub mod rows;
