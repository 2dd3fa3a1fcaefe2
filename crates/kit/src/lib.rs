//! What every connector would otherwise write again: HTTP with care, rows to Arrow, windows, polling.
pub mod rows;
