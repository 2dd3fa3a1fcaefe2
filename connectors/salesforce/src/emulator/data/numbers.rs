//! Numbers and days in the spelling of the service.

use chrono::NaiveDate;
use overlock_core::Timestamp;

use crate::emulator::model::{Value, canonical_number};

/// `12345678` as `1.2345678E7`.
pub(super) fn exponent(whole: i64) -> Value {
    let digits = whole.to_string();
    let (first, rest) = digits.split_at(1);
    let fraction = match rest.trim_end_matches('0') {
        "" => "0",
        rest => rest,
    };
    Value::Number(format!("{first}.{fraction}E{}", rest.len()).into())
}

/// A number with `scale` digits after the point, written as the service writes it: `1250.0`, `0.05`.
pub(crate) fn decimal(unscaled: i128, scale: u32) -> Value {
    let power = 10_u128.pow(scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let (whole, fraction) = (
        unscaled.unsigned_abs() / power,
        unscaled.unsigned_abs() % power,
    );
    let width = usize::try_from(scale).unwrap_or(0);
    let fraction = format!("{fraction:0width$}");
    let fraction = match fraction.trim_end_matches('0') {
        "" => "0",
        rest => rest,
    };
    Value::Number(format!("{sign}{whole}.{fraction}").into())
}

/// Money from cents.
pub(crate) fn money(cents: i64) -> Value {
    decimal(i128::from(cents), 2)
}

/// Cents from money; 0 for null or what is no money.
pub(crate) fn cents(value: &Value) -> i64 {
    let Value::Number(text) = value else {
        return 0;
    };
    let text = canonical_number(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{fraction:0<2}").parse().unwrap_or(0)
}

/// A day some days after another.
pub(crate) fn date(from: Option<NaiveDate>, days: i64) -> Value {
    let day = from.and_then(|from| from.checked_add_signed(chrono::TimeDelta::days(days)));
    day.map_or(Value::Null, |day| {
        Value::Date(day.format("%Y-%m-%d").to_string().into())
    })
}

/// The day of an instant, some days later.
pub(crate) fn day(at: Timestamp, later: i64) -> Value {
    date(Some(at.to_chrono().date_naive()), later)
}

/// The service works formulas out as doubles and shows all their digits: so does this.
#[expect(clippy::cast_precision_loss, reason = "factors of formulas are small")]
pub(super) fn ratio(text: &str, numerator: i64, denominator: i64) -> Value {
    let result = text.parse::<f64>().unwrap_or(0.0) * numerator as f64 / denominator as f64;
    if result.is_finite() {
        Value::Number(format!("{result:?}").replace('e', "E").into())
    } else {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_and_read_back_exactly() {
        for (amount, expected) in [
            (0, "0.0"),
            (5, "0.05"),
            (-5, "-0.05"),
            (125_000, "1250.0"),
            (999_999_999_999, "9999999999.99"),
        ] {
            let value = money(amount);
            assert_eq!(value, Value::Number(expected.into()));
            assert_eq!(cents(&value), amount);
        }
        assert_eq!(cents(&Value::Number("1.5E3".into())), 150_000);
    }

    #[test]
    fn large_numbers_use_the_exponent_of_java() {
        assert_eq!(exponent(12_345_678), Value::Number("1.2345678E7".into()));
        assert_eq!(exponent(10_000_000), Value::Number("1.0E7".into()));
    }
}
