//! The loop: read, package, commit; concurrency, stop, recovery.
//!
//! [`run`] takes a [`Pipeline`], a source and a destination, and brings each stream up to date: it commits
//! what an earlier run left sealed, continues what it left open, and reads the rest. The destination's
//! head is the only state there is; the engine keeps nothing of its own but packages and run records.
//!
//! **Invariant:** the engine does not know HTTP, Parquet or any warehouse. A state reaches the destination
//! only inside a package that holds every row it covers (E1), and the packages of one key are committed
//! one at a time in the order of their parents (E2).

mod commit;
mod extra;
mod gather;
mod pipeline;
mod read;
mod record;
mod reset;
mod run;
mod shelf;
mod stop;
mod stream;
mod tally;
mod worker;

#[cfg(test)]
mod tests;

pub use pipeline::{Modes, Pipeline, ReadMode, StreamPlan, StreamSettings, modes, project};
pub use record::{Record, Status as RecordStatus};
pub use reset::{Reset, reset};
pub use run::{Options, Report, run};
pub use shelf::LockMode;
pub use stop::{Stop, StopReason};
pub use tally::Tally;
