//! File operations that must survive a crash.
