//! Cutting an object into slices, and halving a slice that was too much. Pure.

use std::time::Duration;

use overlock_core::Timestamp;

use crate::state::Slice;
use crate::{ids, limits};

/// Slices that cover `lower <= stamp < upper` without gap or overlap, oldest first. An open lower end
/// stays open in the first slice; `oldest` says where the rows begin there, for cutting only.
pub(super) fn cut(
    lower: Option<Timestamp>,
    upper: Timestamp,
    step: Option<Duration>,
    oldest: Option<Timestamp>,
) -> impl Iterator<Item = Slice> + Send {
    let step = step.map(|step| step.max(limits::SMALLEST_WINDOW));
    let mut next = Some(lower);
    std::iter::from_fn(move || {
        let from = next.take()?;
        if from.is_some_and(|from| from >= upper) {
            return None;
        }
        let to = match (step, from.or(oldest)) {
            (Some(step), Some(start)) => start.plus(step).floor_second().min(upper),
            _ => upper,
        };
        if to < upper {
            next = Some(Some(to));
        }
        Some(Slice {
            lower: from,
            upper: Some(to),
            ..Slice::default()
        })
    })
}

/// Two halves of the slice's time, on whole seconds; `None` if it is too short or cut by Id already.
pub(super) fn halve_time(slice: &Slice) -> Option<[Slice; 2]> {
    let upper = slice.upper?;
    if slice.after.is_some() || slice.through.is_some() {
        return None;
    }
    let floor = Timestamp::from_seconds(limits::OLDEST_SPLIT_SECONDS)?;
    let lower = slice.lower.unwrap_or(floor);
    let length = upper.since(lower);
    if length < limits::SMALLEST_WINDOW * 2 {
        return None;
    }
    let middle = lower.plus(length / 2).floor_second();
    let first = Slice {
        lower: slice.lower,
        upper: Some(middle),
        nulls: slice.nulls,
        ..Slice::default()
    };
    let second = Slice {
        lower: Some(middle),
        upper: Some(upper),
        ..Slice::default()
    };
    Some([first, second])
}

/// Two halves of the slice's Ids, given the smallest and largest Id in it.
pub(super) fn halve_ids(slice: &Slice, smallest: &str, largest: &str) -> Option<[Slice; 2]> {
    let middle = ids::id_between(smallest, largest)?;
    let first = Slice {
        through: Some(middle.clone()),
        ..slice.clone()
    };
    let second = Slice {
        after: Some(middle),
        ..slice.clone()
    };
    Some([first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + second).unwrap()
    }

    fn ends(slices: impl Iterator<Item = Slice>) -> Vec<(Option<i64>, i64)> {
        let second = |time: Timestamp| time.seconds() - 1_700_000_000;
        slices
            .map(|slice| (slice.lower.map(second), second(slice.upper.unwrap())))
            .collect()
    }

    #[test]
    fn slices_tile_the_range() {
        // covers: L3, L5
        let minute = Some(Duration::from_secs(60));
        assert_eq!(
            ends(cut(Some(at(0)), at(150), minute, None)),
            [(Some(0), 60), (Some(60), 120), (Some(120), 150)]
        );
        assert_eq!(
            ends(cut(None, at(150), minute, Some(at(40)))),
            [(None, 100), (Some(100), 150)]
        );
        assert_eq!(ends(cut(None, at(150), minute, None)), [(None, 150)]);
        assert_eq!(
            ends(cut(Some(at(0)), at(150), None, None)),
            [(Some(0), 150)]
        );
        assert_eq!(ends(cut(Some(at(150)), at(150), None, None)), []);
        // A step below the smallest window does not make endless many slices.
        let tiny = Some(Duration::from_nanos(1));
        assert_eq!(ends(cut(Some(at(0)), at(120), tiny, None)).len(), 2);
    }

    #[test]
    fn halves_tile_their_slice_down_to_a_minute() {
        // covers: L7
        let whole = |lower: Option<i64>, upper: i64| Slice {
            lower: lower.map(at),
            upper: Some(at(upper)),
            ..Slice::default()
        };
        let [first, second] = halve_time(&whole(Some(0), 301)).unwrap();
        assert_eq!((first.lower, first.upper), (Some(at(0)), Some(at(150))));
        assert_eq!((second.lower, second.upper), (Some(at(150)), Some(at(301))));
        assert_eq!(halve_time(&whole(Some(0), 119)), None);
        let [first, second] = halve_time(&whole(None, 0)).unwrap();
        assert_eq!(first.lower, None);
        assert_eq!(first.upper, second.lower);
        assert_eq!(halve_time(&Slice::default()), None);
        let mut count = 0;
        let mut left = vec![whole(None, 0)];
        while let Some(slice) = left.pop() {
            count += 1;
            left.extend(halve_time(&slice).map(|[first, _]| first));
        }
        assert!(count < 40, "halving ends: {count}");
    }

    #[test]
    fn id_halves_share_one_border() {
        let slice = Slice {
            after: Some("001000000000000AAA".to_owned()),
            ..Slice::default()
        };
        let [first, second] =
            halve_ids(&slice, "001000000000001AAA", "001zzzzzzzzzzzzAAA").unwrap();
        assert_eq!(first.after, slice.after);
        assert_eq!(first.through, second.after);
        assert_eq!(second.through, None);
        assert_eq!(
            halve_ids(&slice, "001000000000001AAA", "001000000000002AAA"),
            None
        );
    }
}
