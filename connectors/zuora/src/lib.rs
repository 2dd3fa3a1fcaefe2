//! Zuora: AQuA jobs of one snapshot, Data Query, money to the last digit, to Arrow pages.
//!
//! Objects are discovered by Describe; what a run reads of them is put into as few AQuA jobs as there can be, each of
//! up to fifty queries over one snapshot. A stream is read in half-open windows of its stamp that end two hours before
//! the present. Beside the windows it compares, now and then, what they cannot show: columns that change in silence,
//! deletions that nobody tells. Tables that only Data Query has are read by it.
//!
//! What it does not do: write to Zuora, keep a session at Zuora (its increments could not be asked for again), follow
//! redirects or links to hosts that nobody configured, or read Zuora Revenue.

pub mod api;
mod auth;
mod client;
pub mod config;
pub mod describe;
mod discovery;
pub mod errors;
mod ids;
mod jobs;
mod kept;
mod learnt;
pub mod limits;
mod plan;
mod read;
mod source;
pub mod state;
pub mod streams;

#[cfg(feature = "emulator")]
pub mod emulator;

mod connector;

pub use connector::Connector;
pub use source::Zuora;
