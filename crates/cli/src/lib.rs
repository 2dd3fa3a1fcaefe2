//! The binary: arguments, config files, registry, rendering, exit codes.
