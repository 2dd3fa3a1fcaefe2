//! Plays the outside world: HTTP host for emulators, virtual clock, faults, request accounting, oracle.
