//! Statistics of each column: nulls, distinct values, range, a small histogram.
//!
//! Two passes over the rows: the first finds counts and ranges, the second fills the buckets. Memory is
//! bounded per column, so that a table of any size can be looked at: distinct values are exact up to a
//! limit and estimated beyond it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, TimestampMicrosecondType,
};
use overlock_core::{Error, ErrorKind, Result};
use overlock_local::Rows;
use serde::Serialize;

use super::grid::cut;
use super::value;

/// Distinct values that are counted exactly.
const EXACT: usize = 16_384;
/// Distinct values whose frequency is kept.
const FREQUENT: usize = 512;
/// Buckets of a histogram.
const BUCKETS: usize = 8;
/// Registers of the estimate: an error of about 1.6 %.
const REGISTERS: usize = 4_096;

/// What is known of one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ColumnStats {
    /// Its name.
    pub(super) column: String,
    /// Its type.
    pub(super) kind: String,
    /// Rows.
    pub(super) rows: u64,
    /// Rows without a value.
    pub(super) nulls: u64,
    /// Distinct values.
    pub(super) distinct: u64,
    /// Whether `distinct` is an estimate.
    pub(super) estimated: bool,
    /// Smallest value.
    pub(super) min: Option<String>,
    /// Largest value.
    pub(super) max: Option<String>,
    /// Rows per eighth of the range, for numbers and instants.
    pub(super) histogram: Option<Vec<u64>>,
    /// The most frequent values, where there are few different ones.
    pub(super) top: Vec<(String, u64)>,
}

/// A value that can be placed on a line.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Point {
    /// Integers, decimals of one scale, dates, instants: exact.
    Exact(i128),
    /// Floats.
    Float(f64),
}

/// Collects statistics of these columns.
///
/// # Errors
/// As a scan's.
pub(super) fn collect(rows: &Rows, columns: Option<&[String]>) -> Result<Vec<ColumnStats>> {
    let schema = rows.schema()?;
    let mut found: Vec<Collector> = match columns {
        None => schema
            .fields()
            .iter()
            .map(|field| Collector::new(field))
            .collect(),
        Some(columns) => {
            let wanted = |name: &String| {
                schema
                    .field_with_name(name)
                    .map(Collector::new)
                    .map_err(|_| {
                        let shown = overlock_core::text::printable(name);
                        Error::new(ErrorKind::Config, format!("find a column `{shown}`"))
                            .hint("`overlock inspect … schema` lists the columns")
                    })
            };
            columns.iter().map(wanted).collect::<Result<_>>()?
        }
    };
    for batch in rows.scan(columns)? {
        let batch = batch?;
        for (collector, column) in found.iter_mut().zip(batch.columns()) {
            collector.first_pass(column)?;
        }
    }
    for batch in rows.scan(columns)? {
        let batch = batch?;
        for (collector, column) in found.iter_mut().zip(batch.columns()) {
            collector.second_pass(column);
        }
    }
    Ok(found.into_iter().map(Collector::finish).collect())
}

struct Collector {
    column: String,
    kind: String,
    rows: u64,
    nulls: u64,
    seen: Option<HashSet<u64>>,
    registers: Vec<u8>,
    frequent: Option<HashMap<String, u64>>,
    points: Option<(Point, Point)>,
    range: Option<(String, String)>,
    buckets: [u64; BUCKETS],
}

impl Collector {
    fn new(field: &Field) -> Self {
        Self {
            column: field.name().clone(),
            kind: value::type_name(field),
            rows: 0,
            nulls: 0,
            seen: Some(HashSet::new()),
            registers: vec![0; REGISTERS],
            frequent: Some(HashMap::new()),
            points: None,
            range: None,
            buckets: [0; BUCKETS],
        }
    }

    fn first_pass(&mut self, column: &dyn Array) -> Result<()> {
        for row in 0..column.len() {
            self.rows += 1;
            let Some(text) = value::text(column, row)? else {
                self.nulls += 1;
                continue;
            };
            self.count_distinct(&text);
            match point(column, row) {
                Some(point) => self.stretch(point, text),
                None if has_no_order(column.data_type()) => {}
                None => match &mut self.range {
                    None => self.range = Some((text.clone(), text)),
                    Some((min, _)) if text < *min => *min = text,
                    Some((_, max)) if text > *max => *max = text,
                    Some(_) => {}
                },
            }
        }
        Ok(())
    }

    fn stretch(&mut self, point: Point, text: String) {
        let (Some((low, high)), Some((min, max))) = (&mut self.points, &mut self.range) else {
            self.points = Some((point, point));
            self.range = Some((text.clone(), text));
            return;
        };
        if point < *low {
            (*low, *min) = (point, text);
        } else if point > *high {
            (*high, *max) = (point, text);
        }
    }

    fn count_distinct(&mut self, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        // HyperLogLog: the low bits choose a register, the rest counts leading zeros.
        let index = usize::try_from(hash % REGISTERS as u64).unwrap_or(0);
        let zeros = (hash / REGISTERS as u64).leading_zeros() - REGISTERS.ilog2() + 1;
        if let Some(register) = self.registers.get_mut(index) {
            *register = (*register).max(u8::try_from(zeros).unwrap_or(u8::MAX));
        }
        if let Some(seen) = &mut self.seen {
            seen.insert(hash);
            if seen.len() > EXACT {
                self.seen = None;
            }
        }
        let Some(frequent) = &mut self.frequent else {
            return;
        };
        if let Some(count) = frequent.get_mut(text) {
            *count += 1;
        } else if frequent.len() < FREQUENT {
            frequent.insert(text.to_owned(), 1);
        } else {
            self.frequent = None;
        }
    }

    fn second_pass(&mut self, column: &dyn Array) {
        let Some((low, high)) = self.points else {
            return;
        };
        for row in 0..column.len() {
            if let Some(point) = point(column, row).filter(|_| !column.is_null(row))
                && let Some(count) = self.buckets.get_mut(bucket(point, low, high))
            {
                *count += 1;
            }
        }
    }

    fn finish(self) -> ColumnStats {
        let exact = self.seen.as_ref().map(|seen| seen.len() as u64);
        let mut top: Vec<(String, u64)> = self.frequent.into_iter().flatten().collect();
        top.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        top.truncate(3);
        // Values that all differ have no frequent ones.
        if top.first().is_none_or(|(_, count)| *count == 1) {
            top.clear();
        }
        let (min, max) = self.range.unzip();
        ColumnStats {
            column: self.column,
            kind: self.kind,
            rows: self.rows,
            nulls: self.nulls,
            distinct: exact.unwrap_or_else(|| estimate(&self.registers)),
            estimated: exact.is_none(),
            min,
            max,
            histogram: self.points.map(|_| self.buckets.to_vec()),
            top,
        }
    }
}

fn has_no_order(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Boolean | DataType::Binary | DataType::Float64
    )
}

fn point(column: &dyn Array, row: usize) -> Option<Point> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int64 => Point::Exact(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::Decimal128(..) => {
            Point::Exact(column.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::Date32 => Point::Exact(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => Point::Exact(
            column
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .into(),
        ),
        DataType::Float64 => {
            let number = column.as_primitive::<Float64Type>().value(row);
            return number.is_finite().then_some(Point::Float(number));
        }
        _ => return None,
    })
}

/// Which eighth of the range a point lies in. Only the picture depends on it, so floats are good enough.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bucket of a picture; the value is clamped right after"
)]
fn bucket(point: Point, low: Point, high: Point) -> usize {
    let float = |point| match point {
        Point::Exact(number) => number as f64,
        Point::Float(number) => number,
    };
    let (at, low, high) = (float(point), float(low), float(high));
    if high <= low {
        return 0;
    }
    let share = (at / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    ((share * BUCKETS as f64) as usize).min(BUCKETS - 1)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate by nature"
)]
fn estimate(registers: &[u8]) -> u64 {
    let size = registers.len() as f64;
    let sum: f64 = registers
        .iter()
        .map(|register| 2_f64.powi(-i32::from(*register)))
        .sum();
    let alpha = 0.7213 / (1.0 + 1.079 / size);
    (alpha * size * size / sum).round() as u64
}

/// A histogram in one character per bucket.
pub(super) fn bars(buckets: &[u64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = buckets.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| {
        if *count == 0 {
            return ' ';
        }
        let level = (u128::from(*count) * 7).div_ceil(u128::from(most));
        LEVELS
            .get(usize::try_from(level).unwrap_or(7))
            .copied()
            .unwrap_or('█')
    };
    buckets.iter().map(bar).collect()
}

/// What stands in the last column of the table: bars, or the most frequent values.
pub(super) fn picture(stats: &ColumnStats) -> String {
    if let Some(buckets) = &stats.histogram {
        return bars(buckets);
    }
    let share = |(text, count): &(String, u64)| {
        let rows = u128::from(stats.rows.max(1));
        let percent = (u128::from(*count) * 100 + rows / 2) / rows;
        format!("{} {percent}%", cut(text))
    };
    stats.top.iter().map(share).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray};

    use super::*;

    fn stats(column: &ArrayRef) -> ColumnStats {
        let field = Field::new("a", column.data_type().clone(), true);
        let mut collector = Collector::new(&field);
        collector.first_pass(column).unwrap();
        collector.second_pass(column);
        collector.finish()
    }

    #[test]
    fn numbers_have_an_exact_range_and_a_histogram() {
        let numbers = (0..100).map(|n| (n != 7).then_some(10_000_000_000_000_000_000_000_i128 + n));
        let column = numbers
            .collect::<Decimal128Array>()
            .with_precision_and_scale(38, 2)
            .unwrap();
        let stats = stats(&(Arc::new(column) as ArrayRef));
        assert_eq!(
            (stats.rows, stats.nulls, stats.distinct, stats.estimated),
            (100, 1, 99, false)
        );
        assert_eq!(stats.min.as_deref(), Some("100000000000000000000.00"));
        assert_eq!(stats.max.as_deref(), Some("100000000000000000000.99"));
        assert_eq!(stats.histogram.unwrap().iter().sum::<u64>(), 99);
    }

    #[test]
    fn text_has_a_range_and_its_most_frequent_values() {
        let texts = [[Some("b")].repeat(7), [Some("a")].repeat(2), vec![None; 2]].concat();
        let column = StringArray::from(texts);
        let stats = stats(&(Arc::new(column) as ArrayRef));
        assert_eq!(
            (stats.min.as_deref(), stats.max.as_deref()),
            (Some("a"), Some("b"))
        );
        assert_eq!(stats.top, [("b".to_owned(), 7), ("a".to_owned(), 2)]);
        assert_eq!(picture(&stats), "b 64%, a 18%");
    }

    #[test]
    fn many_distinct_values_are_estimated_closely() {
        let column = StringArray::from_iter_values((0..100_000).map(|n| format!("id-{n}")));
        let stats = stats(&(Arc::new(column) as ArrayRef));
        assert!(stats.estimated && stats.top.is_empty());
        assert!(
            (95_000..105_000).contains(&stats.distinct),
            "{}",
            stats.distinct
        );
    }

    #[test]
    fn odd_floats_break_nothing() {
        let column = Float64Array::from(vec![f64::NAN, f64::MIN, f64::MAX, 0.0, f64::INFINITY]);
        let stats = stats(&(Arc::new(column) as ArrayRef));
        assert_eq!(stats.histogram.unwrap(), [1, 0, 0, 0, 1, 0, 0, 1]);
        assert_eq!(bars(&[0, 1, 100]), " ▂█");
        assert_eq!(bars(&[]), "");
    }
}
