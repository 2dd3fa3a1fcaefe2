//! What the source does when the org is not well-behaved, and that every value arrives as it is.

#[path = "../org/mod.rs"]
mod org;

mod logic;
mod logins;
mod network;
mod values;
