//! Parts of a table, and how they are made smaller: by time down to a second, inside a second by Id.

use std::time::Duration;

use overlock_core::Timestamp;

use crate::limits;

/// How often a slice is halved: forty times by time, and a digit of an Id has four halves.
const DEEPEST: u16 = 240;

/// Stamps are whole seconds, so that a shorter window holds no fewer rows.
const SHORTEST: Duration = Duration::from_secs(1);

/// A part of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    /// Stamps from here on; `None`: from the beginning, rows without a stamp among them.
    pub(super) lower: Option<Timestamp>,
    /// Stamps before this; `None`: stamps do not matter.
    pub(super) upper: Option<Timestamp>,
    /// Ids from here on.
    pub(super) from: Option<String>,
    /// Ids before this.
    pub(super) to: Option<String>,
    /// With it, everything before `upper` is read.
    pub(super) ends_window: bool,
    /// How often it was halved.
    pub(super) depth: u16,
}

/// What a count has seen of a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rows: u64,
    /// The first and the last stamp, if there is any.
    pub(super) stamps: Option<(Timestamp, Timestamp)>,
    /// The first and the last Id, if there is any.
    pub(super) ids: Option<(String, String)>,
}

impl Slice {
    /// All rows.
    pub(super) fn whole() -> Self {
        Self {
            lower: None,
            upper: None,
            from: None,
            to: None,
            ends_window: true,
            depth: 0,
        }
    }

    /// The rows of a window.
    pub(super) fn window(lower: Option<Timestamp>, upper: Timestamp) -> Self {
        Self {
            lower,
            upper: Some(upper),
            ..Self::whole()
        }
    }

    /// Two halves that hold together what it holds; `None` if it is as small as it gets. Where nothing was seen of
    /// its rows, they may be anywhere in it.
    pub(super) fn halves(&self, has_ids: bool, seen: Option<&Seen>) -> Option<[Self; 2]> {
        let depth = self.depth + 1;
        if depth > DEEPEST {
            return None;
        }
        if self.from.is_none()
            && self.to.is_none()
            && let Some(half) = self.half_time(seen)
        {
            let first = Self {
                upper: Some(half),
                depth,
                ..self.clone()
            };
            let second = Self {
                lower: Some(half),
                depth,
                ..self.clone()
            };
            return Some([first, second]);
        }
        if !has_ids {
            return None;
        }
        let half = match seen.map(|seen| seen.ids.as_ref()) {
            Some(ids) => ids.and_then(|(first, last)| between(first, last)),
            None => between_bounds(self.from.as_deref(), self.to.as_deref()),
        }?;
        // A half that is the whole would be halved for ever.
        let is_inside = self.from.as_deref().is_none_or(|from| from < half.as_str())
            && self.to.as_deref().is_none_or(|to| half.as_str() < to);
        if !is_inside {
            return None;
        }
        let first = Self {
            to: Some(half.clone()),
            ends_window: false,
            depth,
            ..self.clone()
        };
        let second = Self {
            from: Some(half),
            depth,
            ..self.clone()
        };
        Some([first, second])
    }

    /// The middle of the window, or of the stamps that were seen in it, at a whole millisecond.
    fn half_time(&self, seen: Option<&Seen>) -> Option<Timestamp> {
        let upper = self.upper?;
        let (begin, end) = match seen {
            // Without any stamp there is nothing to be gained by time.
            Some(seen) => seen.stamps?,
            None => (self.lower.unwrap_or(beginning()), upper),
        };
        let span = end.since(begin);
        if span <= SHORTEST {
            return None;
        }
        let micros = begin.plus(span / 2).micros();
        let half = Timestamp::from_micros(micros - micros.rem_euclid(1_000))?;
        (self.lower.is_none_or(|lower| lower < half) && half < upper).then_some(half)
    }
}

/// Where windows without a beginning begin, when they are halved.
fn beginning() -> Timestamp {
    Timestamp::parse(limits::BEGINNING).unwrap_or(Timestamp::EPOCH)
}

/// The hexadecimal digits that a text begins with, as the top digits of a number.
fn number(text: &str) -> u128 {
    let digits = text
        .chars()
        .map_while(|c| c.to_digit(16).filter(|_| !c.is_ascii_uppercase()));
    let shifts = (0..32_u32).rev().map(|digit| digit * 4);
    digits.zip(shifts).fold(0, |number, (digit, shift)| {
        number | u128::from(digit) << shift
    })
}

fn digits(number: u128) -> Option<String> {
    let text = format!("{number:032x}");
    let text = text.trim_end_matches('0');
    (!text.is_empty()).then(|| text.to_owned())
}

fn is_hex(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A text that comes after `first` and not after `last`, about half way.
fn between(first: &str, last: &str) -> Option<String> {
    if first >= last {
        return None;
    }
    let half = if is_hex(first) && is_hex(last) {
        let (first, last) = (number(first), number(last));
        digits(first + (last - first).div_ceil(2))?
    } else {
        let mut lasts = last.chars();
        let mut firsts = first.chars();
        let mut half = String::new();
        loop {
            let last = lasts.next()?;
            let first = firsts.next();
            if first != Some(last) {
                let middle = first.and_then(|first| {
                    let (first, last) = (u32::from(first), u32::from(last));
                    char::from_u32(first + last.checked_sub(first)?.div_ceil(2))
                });
                half.push(middle.unwrap_or(last));
                break half;
            }
            half.push(last);
        }
    };
    (first < half.as_str() && half.as_str() <= last).then_some(half)
}

/// The middle of a range of which nobody knows what it holds.
fn between_bounds(from: Option<&str>, to: Option<&str>) -> Option<String> {
    let from = from.map_or(0, number);
    let span = match to {
        Some(to) => number(to).checked_sub(from)?,
        None => u128::MAX - from,
    };
    digits(
        from.checked_add(span / 2)?
            .checked_add(u128::from(to.is_none()))?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn windows_are_halved_to_a_second_without_gap_or_overlap() {
        let mut slice = Slice::window(Some(time("2026-01-01")), time("2026-01-02T00:00:01Z"));
        let mut steps = 0;
        while let Some([first, second]) = slice.halves(false, None) {
            assert_eq!(first.lower, slice.lower);
            assert_eq!(first.upper, second.lower);
            assert_eq!(second.upper, slice.upper);
            assert_eq!(first.upper.unwrap().micros() % 1_000, 0);
            assert!(first.ends_window && second.ends_window);
            slice = if steps % 2 == 0 { second } else { first };
            steps += 1;
        }
        assert!((16..20).contains(&steps), "{steps}");
        let span = slice.upper.unwrap().since(slice.lower.unwrap());
        assert!(span <= SHORTEST, "{span:?}");
        let open = Slice::window(None, time("2026-01-01"));
        let [first, second] = open.halves(true, None).unwrap();
        assert_eq!((first.lower, first.upper), (None, second.lower));
    }

    #[test]
    fn inside_a_second_ids_are_halved_and_only_the_last_ends_the_window() {
        let second = Slice::window(Some(time("2026-01-01")), time("2026-01-01T00:00:01Z"));
        assert_eq!(second.halves(false, None), None);
        let [low, high] = second.halves(true, None).unwrap();
        assert_eq!(
            (low.to.as_deref(), high.from.as_deref()),
            (Some("8"), Some("8"))
        );
        assert!(!low.ends_window && high.ends_window);
        assert_eq!((low.lower, low.upper), (second.lower, second.upper));
        let (a, b) = (
            "2c92c0f85d8a4e1d0000000000000010",
            "2c92c0f85d8a4e1d0000000000000020",
        );
        let ids = |a: &str, b: &str| Seen {
            ids: Some((a.to_owned(), b.to_owned())),
            ..Seen::default()
        };
        let [low, high] = second.halves(true, Some(&ids(a, b))).unwrap();
        assert_eq!(low.to.as_deref(), Some("2c92c0f85d8a4e1d0000000000000018"));
        assert_eq!(low.to, high.from);
        assert_eq!(second.halves(true, Some(&ids(a, a))), None);
    }

    #[test]
    fn what_was_seen_spares_empty_halves() {
        let first = Slice::window(None, time("2026-01-01"));
        let seen = |first: &str, last: &str| Seen {
            rows: 9,
            stamps: Some((time(first), time(last))),
            ids: Some(("2".to_owned(), "8".to_owned())),
        };
        let half = |slice: &Slice, seen: &Seen| {
            let [first, second] = slice.halves(true, Some(seen)).unwrap();
            assert_eq!(
                (first.upper, first.to),
                (second.lower.or(slice.upper), second.from.clone())
            );
            (second.lower, second.from)
        };
        let days = seen("2025-12-01", "2025-12-03");
        assert_eq!(half(&first, &days), (Some(time("2025-12-02")), None));
        // All rows have one stamp, or none at all.
        let ids = (None, Some("5".to_owned()));
        assert_eq!(half(&first, &seen("2025-12-01", "2025-12-01")), ids);
        let unstamped = Seen {
            stamps: None,
            ..days
        };
        assert_eq!(half(&first, &unstamped), ids);
    }

    #[test]
    fn ranges_of_ids_end_however_often_they_are_halved() {
        for lower_half in [true, false] {
            let mut slice = Slice::whole();
            let mut steps = 0;
            while let Some([low, high]) = slice.halves(true, None) {
                assert_ne!((&low.from, &low.to), (&slice.from, &slice.to));
                assert_ne!((&high.from, &high.to), (&slice.from, &slice.to));
                slice = if lower_half { low } else { high };
                steps += 1;
            }
            assert!((100..=u32::from(DEEPEST)).contains(&steps), "{steps}");
        }
    }

    #[test]
    fn the_middle_parts_what_it_lies_between() {
        for (first, last) in [
            ("5948abde-b875-4d06", "5948abde-b875-4d07"),
            ("a", "b"),
            ("a", "ab"),
            ("", "x"),
            ("A-000001", "A-999999"),
            ("é", "ü'"),
            (
                "00000000000000000000000000000000",
                "00000000000000000000000000000001",
            ),
        ] {
            let half = between(first, last).unwrap();
            assert!(first < half.as_str() && half.as_str() <= last, "{half}");
        }
        assert_eq!(between("b", "a"), None);
        assert_eq!(between("a", "a"), None);
    }
}
