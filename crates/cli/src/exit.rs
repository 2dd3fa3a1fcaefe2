//! The one table of exit codes, as constants, and the rules that choose one.
//!
//! Scripts and schedulers branch on these numbers: changing one is a breaking change. Nothing else in
//! the workspace knows them; libraries report an [`ErrorKind`] and this module turns it into a number.

use overlock_core::ErrorKind;

/// Done, also when nothing was new.
pub(crate) const OK: u8 = 0;
/// Internal error: please report it.
pub(crate) const BUG: u8 = 1;
/// Usage or configuration.
pub(crate) const CONFIG: u8 = 2;
/// Credentials or permission refused.
pub(crate) const REFUSED: u8 = 3;
/// Partial: some streams failed, the rest is committed.
pub(crate) const PARTIAL: u8 = 4;
/// Source unavailable; worth retrying.
pub(crate) const SOURCE: u8 = 5;
/// Destination or local disk failed.
pub(crate) const DESTINATION: u8 = 6;
/// Busy or conflict: another run holds this key.
pub(crate) const CONFLICT: u8 = 7;
/// Data refused: schema policy, or counts that do not balance.
pub(crate) const SCHEMA: u8 = 8;
/// Quota or budget reached; state kept.
pub(crate) const QUOTA: u8 = 9;
/// Stopped by SIGINT after a clean stop.
pub(crate) const INTERRUPTED: u8 = 130;
/// Stopped by SIGTERM or SIGHUP after a clean stop.
pub(crate) const TERMINATED: u8 = 143;

/// Every code with its meaning, for the reference page and for tests.
pub(crate) const TABLE: &[(u8, &str)] = &[
    (OK, "done, also when nothing was new"),
    (BUG, "internal error: please report it"),
    (CONFIG, "usage or configuration"),
    (REFUSED, "credentials or permission refused"),
    (
        PARTIAL,
        "partial: some streams failed, the rest is committed",
    ),
    (
        SOURCE,
        "source unavailable, or it delivered what does not add up (worth retrying)",
    ),
    (DESTINATION, "destination or local disk failed"),
    (CONFLICT, "busy or conflict: another run holds this key"),
    (
        SCHEMA,
        "data refused: schema policy, or nothing instead of a table with rows",
    ),
    (
        QUOTA,
        "quota or budget reached; state kept, `retry_after_s` in the JSON",
    ),
    (INTERRUPTED, "stopped by SIGINT after a clean stop"),
    (
        TERMINATED,
        "stopped by SIGTERM or SIGHUP after a clean stop",
    ),
];

/// The code of a run or command that failed this way altogether.
pub(crate) fn of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config => CONFIG,
        ErrorKind::Auth | ErrorKind::Permission => REFUSED,
        ErrorKind::Unavailable
        | ErrorKind::NotFound
        | ErrorKind::StateExpired
        | ErrorKind::Data => SOURCE,
        ErrorKind::Destination | ErrorKind::Io => DESTINATION,
        ErrorKind::Conflict => CONFLICT,
        ErrorKind::Schema => SCHEMA,
        ErrorKind::RateLimited => QUOTA,
        ErrorKind::Cancelled => INTERRUPTED,
        // `ErrorKind` may grow: a kind without a row here is a defect of ours.
        _ => BUG,
    }
}

/// Joins the codes of several parts of one command: all alike keep their code, a mix of success and
/// failure is partial, and several different failures take the first one. A stop by signal, and a
/// defect, always show.
pub(crate) fn join(codes: &[u8]) -> u8 {
    for loud in [BUG, INTERRUPTED, TERMINATED] {
        if codes.contains(&loud) {
            return loud;
        }
    }
    let failures: Vec<u8> = codes.iter().copied().filter(|code| *code != OK).collect();
    match failures.first() {
        None => OK,
        Some(_) if failures.len() < codes.len() => PARTIAL,
        Some(first) if failures.iter().all(|code| code == first) => *first,
        Some(first) => *first,
    }
}

/// The word that the JSON end object carries for a code.
pub(crate) fn status(code: u8) -> &'static str {
    match code {
        OK => "ok",
        PARTIAL => "partial",
        QUOTA | INTERRUPTED | TERMINATED => "stopped",
        _ => "failed",
    }
}

/// Whether the same command may succeed later without anybody changing anything.
pub(crate) fn is_retryable(code: u8) -> bool {
    matches!(
        code,
        PARTIAL | SOURCE | DESTINATION | CONFLICT | QUOTA | INTERRUPTED | TERMINATED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_code_of_the_one_table() {
        for (kind, code) in [
            (ErrorKind::Config, 2),
            (ErrorKind::Auth, 3),
            (ErrorKind::Permission, 3),
            (ErrorKind::Unavailable, 5),
            (ErrorKind::NotFound, 5),
            (ErrorKind::StateExpired, 5),
            (ErrorKind::Data, 5),
            (ErrorKind::Destination, 6),
            (ErrorKind::Io, 6),
            (ErrorKind::Conflict, 7),
            (ErrorKind::Schema, 8),
            (ErrorKind::RateLimited, 9),
            (ErrorKind::Cancelled, 130),
            (ErrorKind::Bug, 1),
        ] {
            assert_eq!(of(kind), code, "{kind:?}");
            assert!(TABLE.iter().any(|row| row.0 == code));
        }
    }

    #[test]
    fn a_mix_of_good_and_bad_is_partial_and_a_signal_always_shows() {
        for (codes, expected) in [
            (&[][..], 0),
            (&[0, 0], 0),
            (&[0, 5], 4),
            (&[5, 5], 5),
            (&[3, 5], 3),
            (&[0, 130, 5], 130),
            (&[0, 1], 1),
            (&[4, 0], 4),
        ] {
            assert_eq!(join(codes), expected, "{codes:?}");
        }
    }
}
