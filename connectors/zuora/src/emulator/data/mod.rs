//! What the tenant holds: its objects, its customers, its story.
//!
//! `objects` says which fields there are, `catalog`, `customers`, `contracts`, `billing`, `payments`, `around` and
//! `removal` make rows up, `story` decides what happens when, `nasty` adds what breaks careless readers.

mod around;
mod billing;
mod catalog;
mod contracts;
mod customers;
mod days;
mod deal;
mod money;
mod nasty;
mod objects;
mod payments;
mod removal;
mod state;
mod story;
mod words;

pub(super) use money::Money;
pub(super) use objects::all as all_objects;
pub(super) use story::{Story, play};
