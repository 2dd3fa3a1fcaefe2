//! Tests of the whole loop: on memory with a crash at every step, and on disk.

mod protocol;
pub(crate) mod support;
mod world;
