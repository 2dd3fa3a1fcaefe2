//! Sets of Ids that are larger than memory: sorted in pieces, merged from disk.
//!
//! A [`Bag`] takes the Ids of a result as they come, in a megabyte of memory however many they are, and gives them back
//! in order: one that comes twice stands beside itself. A [`Shelf`] keeps what a stream has delivered, so that a later
//! comparison with what Zuora still has finds the deletions that nobody told.

mod bag;
mod shelf;

pub(crate) use bag::Bag;
pub(crate) use shelf::{Difference, Shelf};
