//! The contract of overlock: what sources, destinations and the engine agree on.
//!
//! A [`Source`] reads a [`Stream`] and yields [`Page`]s; now and then a page carries a [`State`] that
//! covers every row before it. The engine writes pages into a [`Package`]; a [`Destination`] commits a
//! package so that rows and state become visible together. Everything a person sees is folded from
//! [`Event`]s.
//!
//! **Invariant:** no I/O, no clock but the one handed in, no async runtime, nothing that fails by itself.

pub mod connector;
pub mod crash;
pub mod destination;
pub mod error;
pub mod event;
pub mod name;
pub mod package;
pub mod secret;
pub mod source;
pub mod state;
pub mod stream;
pub mod text;
pub mod time;

pub use connector::{Config, Connector, Context, Key, KeyKind, Proxy, Spec};
pub use destination::Destination;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Events, StreamStatus, StreamSummary};
pub use name::{SourceName, StreamName, SyncKey};
pub use package::{Commit, CommitId, DeleteMode, Manifest, Package, Part, WriteMode};
pub use secret::{Redactor, Secret};
pub use source::{Page, ReadRequest, Source};
pub use state::State;
pub use stream::{Catalog, Deletes, Stream};
pub use time::{Clock, FixedClock, SystemClock, Timestamp};

/// A boxed stream of values that may borrow from its source for `'a`.
pub type BoxStream<'a, T> = std::pin::Pin<Box<dyn futures_core::Stream<Item = T> + Send + 'a>>;
