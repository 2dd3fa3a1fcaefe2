//! How things look: tables, numbers, errors, progress. Pure functions wherever nothing has to move.

pub(crate) mod error;
pub(crate) mod listing;
pub(crate) mod number;
pub(crate) mod progress;
pub(crate) mod summary;
