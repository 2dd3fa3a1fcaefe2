//! Zendesk Support: one export pass, every stream, to Arrow pages.
//!
//! Tickets, their metrics, audits and comments follow one cursor export, each of whose pages is asked for once in a
//! run however many streams need it. Users go by a cursor, organizations and events by time, and small lists are read
//! whole and compared with the last time, so that deletions are seen. The state of an export is its opaque cursor with
//! the newest stamp that was read beside it.
//!
//! What it does not do: write to Zendesk, fetch attachments or recordings, follow redirects or links to any other
//! host, or see changes that Zendesk does not date.

mod auth;
mod client;
mod columns;
pub mod config;
mod decode;
mod discovery;
mod envelope;
pub mod errors;
pub mod limits;
mod read;
mod shared;
mod snapshot;
mod source;
mod state;
mod streams;

#[cfg(feature = "emulator")]
pub mod emulator;

mod connector;

pub use connector::Connector;
pub use source::Zendesk;
