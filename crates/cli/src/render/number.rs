//! Numbers as people read them.

use std::time::Duration;

/// A whole number with thin spaces between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push('\u{2009}');
        }
        shown.push(digit);
    }
    shown
}

/// A number of bytes with a binary unit.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    // Tenths in whole numbers: exact enough for a screen, and no float rounding to explain.
    let mut tenths = u128::from(number) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("PiB");
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// A duration with at most two units.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// "1 row", "2 rows".
pub(crate) fn plural(number: u64, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {word}{ending}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_true() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{2009}000"),
            (12_345_678, "12\u{2009}345\u{2009}678"),
        ] {
            assert_eq!(count(number), expected);
        }
        for (number, expected) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (2_000_000, "1.9 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
        for (millis, expected) in [
            (0, "0.0s"),
            (4_260, "4.2s"),
            (59_999, "59s"),
            (72_000, "1m12s"),
            (7_500_000, "2h05m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(0, "call"), "0 calls");
    }
}
