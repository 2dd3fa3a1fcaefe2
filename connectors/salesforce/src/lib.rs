//! Salesforce: Bulk API 2.0 and REST queries to Arrow pages.
//!
//! An org is discovered by describing its objects, 25 per call; each object is a stream whose columns
//! follow from its fields. A stream is read in half-open windows of its system stamp, by REST where few
//! rows are expected and by Bulk jobs otherwise, deleted rows included. The state names the end of the last
//! window, or, inside one, the job and the next result page of it.
//!
//! What it does not do: write to Salesforce, read the bytes of files, see rows that were deleted for good,
//! or notice that a formula's result changed.

pub mod api;
mod auth;
mod client;
pub mod config;
pub mod describe;
mod discovery;
pub mod errors;
pub mod hints;
pub mod ids;
pub mod limits;
mod read;
mod source;
pub mod state;
pub mod streams;

#[cfg(feature = "emulator")]
pub mod emulator;

mod connector;

pub use connector::Connector;
pub use source::Salesforce;
