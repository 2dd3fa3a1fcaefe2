//! Exact decimal numbers: billionths in an integer, because money must add up to the last digit.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

const FRACTION: usize = 9;
const ONE: i128 = 1_000_000_000;

/// An amount, a price or a quantity with up to nine fraction digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Money(i128);

impl Money {
    pub(crate) const ZERO: Self = Self(0);

    /// A whole number.
    pub(crate) fn whole(number: i64) -> Self {
        Self(i128::from(number).saturating_mul(ONE))
    }

    /// `number` of the units that are `digits` behind the point: `of(1999, 2)` is 19.99.
    pub(crate) fn of(number: i64, digits: u32) -> Self {
        Self(i128::from(number).saturating_mul(unit(digits)))
    }

    /// Reads plain digits; nothing if they need more than nine behind the point, or are none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !is_plain(whole)
            || !is_plain(fraction)
            || fraction.len() > FRACTION
            || digits.ends_with('.')
        {
            return None;
        }
        let scaled = format!("{whole}{fraction:0<FRACTION$}");
        let number: i128 = scaled.parse().ok()?;
        Some(Self(if is_negative { -number } else { number }))
    }

    /// The product, rounded half away from zero to some digits behind the point.
    pub(crate) fn times(self, other: Self, digits: u32) -> Self {
        Self(self.0.saturating_mul(other.0) / ONE).rounded(digits)
    }

    /// A number of hundredths of it, rounded as above.
    pub(crate) fn percent(self, percent: i64, digits: u32) -> Self {
        Self(self.0.saturating_mul(i128::from(percent)) / 100).rounded(digits)
    }

    /// An equal part of it, rounded as above.
    pub(crate) fn part(self, of: i64, digits: u32) -> Self {
        Self(self.0 / i128::from(of.max(1))).rounded(digits)
    }

    /// Rounded half away from zero.
    pub(crate) fn rounded(self, digits: u32) -> Self {
        let unit = unit(digits);
        let half = if self.0 < 0 { -unit / 2 } else { unit / 2 };
        Self((self.0 + half) / unit * unit)
    }

    pub(crate) fn is_positive(self) -> bool {
        self.0 > 0
    }
}

/// Billionths in one unit of the last of some digits.
fn unit(digits: u32) -> i128 {
    10_i128.pow(9_u32.saturating_sub(digits))
}

impl fmt::Display for Money {
    /// Plain digits, without zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let one = ONE.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", size / one)?;
        let fraction = format!("{:0>FRACTION$}", size % one);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            return Ok(());
        }
        write!(f, ".{fraction}")
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// A currency, how many digits its amounts have, and roughly what a dollar is worth in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Currency {
    pub(crate) code: &'static str,
    pub(crate) digits: u32,
    /// Hundredths of it per dollar.
    pub(crate) rate: i64,
}

/// The currencies of the tenant; the first is the home currency.
pub(crate) const CURRENCIES: [Currency; 4] = [
    Currency {
        code: "USD",
        digits: 2,
        rate: 100,
    },
    Currency {
        code: "EUR",
        digits: 2,
        rate: 91,
    },
    Currency {
        code: "JPY",
        digits: 0,
        rate: 15_100,
    },
    Currency {
        code: "KWD",
        digits: 3,
        rate: 31,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_both_ways() {
        for text in [
            "0",
            "-0.01",
            "77.86",
            "12345678901234567.123456789",
            "-3",
            "0.000000001",
        ] {
            assert_eq!(Money::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "-", "1.", ".5", "1e3", "0.0000000001", "+1"] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let round = |text: &str, digits| Money::parse(text).unwrap().rounded(digits).to_string();
        assert_eq!(round("0.125", 2), "0.13");
        assert_eq!(round("-0.125", 2), "-0.13");
        assert_eq!(round("1234.5", 0), "1235");
        assert_eq!(
            Money::of(1999, 2).times(Money::whole(3), 2).to_string(),
            "59.97"
        );
    }
}
