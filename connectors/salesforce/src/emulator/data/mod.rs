//! What the emulated org holds: its objects, its words, its story.
//!
//! `objects` lists the fields, `values` makes values up, `frame` creates what is there first, `story` plays
//! events in time (`scene`, `sales`, `removal` say what happens in them), `nasty` holds everything that
//! breaks careless readers, `dice` is the source of all chance.

mod dice;
mod frame;
mod nasty;
mod numbers;
mod objects;
mod removal;
mod sales;
mod scene;
mod story;
mod table;
mod values;
mod words;

#[cfg(test)]
mod tests;

pub(super) use frame::seed;
pub(super) use nasty::is_nasty;
pub(super) use objects::{blueprints, picklist};
pub(super) use story::{Story, play};
pub(super) use table::{Column, Table};
pub(super) use values::{Draft, compute, fill, finish};
