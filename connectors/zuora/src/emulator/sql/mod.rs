//! The SQL that clients send to Data Query: a small parser, and an evaluator over a tenant's tables.
//!
//! `SHOW TABLES`, `DESCRIBE t`, `SHOW COLUMNS FROM t`, and `SELECT` over one table with a condition, an order and a
//! limit. No joins, groups or sub-queries: they are refused as text that the grammar does not know. Conditions know
//! three values, as the engine's do: what compares with a null is neither true nor false.

mod bind;
mod bound;
mod parse;
mod run;
mod table;
mod token;
mod tree;

pub(super) use parse::parse;
pub(super) use run::{Outcome, Scope, run, table_name};
pub(super) use table::UNAVAILABLE;
