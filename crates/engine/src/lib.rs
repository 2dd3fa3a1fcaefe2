//! The loop: read, package, commit; concurrency, stop, recovery.
