//! Acceptance: the real binary against the sandbox, judged by oracles.
