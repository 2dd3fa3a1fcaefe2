//! Cutting a span of time into windows: half-open, without gap or overlap, oldest first.

use std::time::Duration;

use overlock_core::Timestamp;

/// From `from`, inclusive, to `until`, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// First instant inside.
    pub from: Timestamp,
    /// First instant after it.
    pub until: Timestamp,
}

/// Windows that cover `[from - overlap, until - settle)` exactly, each at most `step` long.
///
/// `overlap` looks back for rows that became visible late; `settle` stays behind now, where rows may still
/// appear. A `step` of zero means one window. If nothing is left between the bounds there are no windows.
pub fn windows(
    from: Timestamp,
    until: Timestamp,
    step: Duration,
    overlap: Duration,
    settle: Duration,
) -> impl Iterator<Item = Window> + Send + use<> {
    let end = until.minus(settle);
    let mut next = from.minus(overlap);
    std::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let from = next;
        next = if step.as_micros() == 0 {
            end
        } else {
            from.plus(step).min(end)
        };
        Some(Window { from, until: next })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn the_lookback_comes_first_and_the_last_window_is_cut() {
        let second = Duration::from_secs(1);
        let found: Vec<_> = windows(at(5_000_000), at(9_500_000), second * 2, second, second)
            .map(|window| (window.from.micros(), window.until.micros()))
            .collect();
        assert_eq!(
            found,
            [
                (4_000_000, 6_000_000),
                (6_000_000, 8_000_000),
                (8_000_000, 8_500_000)
            ]
        );
        assert_eq!(
            windows(at(5), at(5), second, Duration::ZERO, Duration::ZERO).count(),
            0
        );
        assert_eq!(
            windows(at(9), at(5), second, Duration::ZERO, Duration::ZERO).count(),
            0
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn windows_cover_the_span_without_gap_or_overlap(
            from in -10_000_i64..10_000, length in -100_i64..10_000,
            step in 0_u64..3_000, overlap in 0_u64..500, settle in 0_u64..500,
        ) {
            let micros = Duration::from_micros;
            let (from, until) = (at(from), at(from + length));
            let found: Vec<_> =
                windows(from, until, micros(step), micros(overlap), micros(settle)).take(40_000).collect();
            let (begin, end) = (from.minus(micros(overlap)), until.minus(micros(settle)));
            if begin >= end {
                prop_assert!(found.is_empty());
                return Ok(());
            }
            prop_assert_eq!(found.first().unwrap().from, begin);
            prop_assert_eq!(found.last().unwrap().until, end);
            for window in &found {
                prop_assert!(window.from < window.until);
                prop_assert!(step == 0 || window.until.since(window.from) <= micros(step));
            }
            for pair in found.windows(2) {
                prop_assert_eq!(pair[0].until, pair[1].from);
            }
        }
    }
}
