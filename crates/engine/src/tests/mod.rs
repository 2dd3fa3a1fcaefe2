//! Tests of the whole loop: on memory with a crash at every step, and on disk.

pub(crate) mod support;
