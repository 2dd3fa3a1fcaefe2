//! The real binary: screens, exit codes, outputs and files, as a user or a script meets them.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may unwrap as the tests do"
)]

mod behaviour;
mod bench;
mod configuration;
mod outputs;
mod screens;
