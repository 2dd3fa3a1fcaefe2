//! Plays the outside world: HTTP host for emulators, virtual clock, faults, request accounting, oracle.
//!
//! An [`Emulator`] answers requests from memory by the [`VirtualClock`]; a [`Server`] puts it on a
//! loopback port, lets [`Faults`] break what is on the wire, and keeps a [`RequestRecord`] of every
//! request. The [`oracle`] says afterwards what a destination got wrong.
//!
//! **Invariant:** listens on 127.0.0.1 only, and everything it started ends with the [`Server`].

mod clock;
pub mod company;
mod fault;
mod message;
pub mod oracle;
mod requests;
mod running;
mod server;
mod wire;

pub use clock::VirtualClock;
pub use fault::{Fault, Faults, Match, Plan, Random, Rule};
pub use message::{Body, Emulator, Request, Response};
pub use requests::RequestRecord;
pub use running::{Running, Serving};
pub use server::{Server, ServerOptions};
