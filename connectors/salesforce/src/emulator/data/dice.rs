//! Repeatable chance, the same as that of the other emulators.

pub(crate) use overlock_sandbox::company::Dice;
