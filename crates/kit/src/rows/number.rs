//! Numbers from their text, exactly or not at all.
//!
//! A literal is read into its digits and a power of ten; nothing is ever rounded and nothing passes through
//! `f64` but the values of `Float64` columns. Accepted are the spellings of JSON, XML Schema and Java:
//! `12`, `-0.50`, `+3`, `.5`, `5.`, `1.6147805824397E13`, `-2.0e-5`. Not accepted: spaces, grouping, `NaN`.

/// Ten to the power of 0 to 38, all that `Decimal128` can hold.
const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut at = 1;
    while at < 39 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A decimal literal taken apart: `digits * 10^exponent`, negative or not.
struct Literal {
    negative: bool,
    /// Significant digits as a number, without trailing zeros.
    digits: u128,
    /// How many digits there are; 0 for zero.
    count: u32,
    exponent: i64,
}

/// Splits the sign off; says whether it is a minus.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((sign @ (b'-' | b'+'), rest)) => (*sign == b'-', rest),
        _ => (false, text),
    }
}

/// Reads a literal of up to 38 significant digits; `None` if it is not a number or longer.
fn literal(text: &[u8]) -> Option<Literal> {
    let (negative, mut rest) = sign(text);
    let mut digits = 0_u128;
    let mut count = 0_u32;
    // Zeros are held back: they count only if another digit follows.
    let mut zeros = 0_u32;
    let mut exponent = 0_i64;
    let mut any = false;
    let mut fraction = false;
    while let [byte, tail @ ..] = rest {
        match byte {
            b'0' => {
                any = true;
                zeros += u32::from(count > 0);
                exponent -= i64::from(fraction);
            }
            b'1'..=b'9' => {
                any = true;
                count = count.checked_add(zeros)?.checked_add(1)?;
                if count > 38 {
                    return None;
                }
                let shift = u128::try_from(*POWERS.get(zeros as usize + 1)?).ok()?;
                digits = digits * shift + u128::from(byte - b'0');
                zeros = 0;
                exponent -= i64::from(fraction);
            }
            b'.' if !fraction => fraction = true,
            _ => break,
        }
        rest = tail;
    }
    if !any {
        return None;
    }
    exponent += i64::from(zeros);
    if let [b'e' | b'E', tail @ ..] = rest {
        exponent = exponent.checked_add(power(tail)?)?;
        rest = &[];
    }
    rest.is_empty().then_some(Literal {
        negative,
        digits,
        count,
        exponent,
    })
}

/// Reads the number behind `e`; absurd ones are cut to a value that fits nowhere.
fn power(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + i64::from(byte - b'0')).min(1_000_000_000);
    }
    Some(if negative { -value } else { value })
}

/// The value as a count of `10^-scale`, if that is exact and has at most `precision` digits.
///
/// `decimal(b"1.50", 38, 2)` is 150; `decimal(b"1.505", 38, 2)` is nothing, because it would have to be rounded.
pub fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    if let Some(value) = short_decimal(text, scale) {
        let limit = *POWERS.get(usize::from(precision))?;
        return (value.unsigned_abs() < limit.unsigned_abs()).then_some(value);
    }
    let literal = literal(text)?;
    if literal.count == 0 {
        return Some(0);
    }
    // Without trailing zeros in `digits`, a negative shift always means a lost digit.
    let shift = usize::try_from(literal.exponent + i64::from(scale)).ok()?;
    if literal.count as usize + shift > usize::from(precision) {
        return None;
    }
    let value = i128::try_from(literal.digits)
        .ok()?
        .checked_mul(*POWERS.get(shift)?)?;
    Some(if literal.negative { -value } else { value })
}

/// The common case, `-123.45` with up to 18 digits and no exponent; `None`: ask the slow way.
#[inline]
fn short_decimal(text: &[u8], scale: i8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_u64;
    let mut places = None;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + u64::from(digit);
            places = places.map(|places: i8| places + 1);
        } else if *byte == b'.' && places.is_none() {
            places = Some(0);
        } else {
            return None;
        }
    }
    if digits == b"." {
        return None;
    }
    let shift = usize::try_from(scale.checked_sub(places.unwrap_or(0))?).ok()?;
    let value = i128::from(value).checked_mul(*POWERS.get(shift)?)?;
    Some(if negative { -value } else { value })
}

/// The value as an integer, however it is written: `3`, `3.0` and `3E0` alike.
pub fn integer(text: &[u8]) -> Option<i64> {
    short_integer(text).or_else(|| i64::try_from(decimal(text, 38, 0)?).ok())
}

#[inline]
fn short_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// The value as a float, if its text can be had back from it: at most 17 significant digits, all of which the
/// float repeats when it is written with as many.
///
/// `float(b"0.1")` is a value although no float is exactly a tenth; `float(b"0.12345678901234567890")` is not.
pub fn float(text: &[u8]) -> Option<f64> {
    let literal = literal(text)?;
    if literal.count > 17 {
        return None;
    }
    let parsed: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if literal.count == 0 {
        return Some(parsed);
    }
    let largest = literal.exponent + i64::from(literal.count);
    // Up to 15 digits always survive in the range of normal floats.
    if literal.count <= 15 && (-300..=300).contains(&largest) {
        return Some(parsed);
    }
    if !parsed.is_finite() {
        return None;
    }
    // Of the texts with as many digits that lie closest, either may be meant when there are two: 1195109109738815.25
    // is a float, which some print with .2 and others with .3 at its end.
    let places = literal.count as usize - 1;
    let repeats = |written: String| {
        self::literal(written.as_bytes()).is_some_and(|again| {
            again.digits == literal.digits
                && again.exponent == literal.exponent
                && again.negative == literal.negative
        })
    };
    (repeats(format!("{parsed:.places$e}")) || repeats(format!("{parsed:e}"))).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DecimalType as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_keep_every_digit_or_do_not_fit() {
        // covers: I3, I4
        for (text, precision, scale, expected) in [
            ("0", 38, 0, Some(0)),
            ("1.5", 38, 2, Some(150)),
            ("-1.5", 38, 2, Some(-150)),
            ("+1.5", 38, 2, Some(150)),
            ("1.50000", 38, 2, Some(150)),
            ("1.505", 38, 2, None),
            ("0.1", 38, 18, Some(100_000_000_000_000_000)),
            (
                "1884518522.1684267241",
                38,
                10,
                Some(18_845_185_221_684_267_241),
            ),
            ("1884518522.1684267241", 38, 9, None),
            ("123456789012345678", 18, 0, Some(123_456_789_012_345_678)),
            ("1234567890123456789", 18, 0, None),
            ("1.6147805824397E13", 38, 2, Some(1_614_780_582_439_700)),
            ("-2.0E-5", 38, 5, Some(-2)),
            ("-2.0E-5", 38, 4, None),
            ("2e3", 38, 0, Some(2000)),
            ("2000e-3", 38, 0, Some(2)),
            ("2500", 38, -2, Some(25)),
            ("2550", 38, -2, None),
            ("1e37", 38, 0, Some(POWERS[37])),
            ("1e38", 38, 0, None),
            (
                "99999999999999999999999999999999999999",
                38,
                0,
                Some(POWERS[38] - 1),
            ),
            ("1e400", 38, 2, None),
            ("1e-400", 38, 18, None),
            ("0e400", 38, 2, Some(0)),
            ("0e99999999999999999999", 38, 2, Some(0)),
            ("1e99999999999999999999", 38, 2, None),
            ("-0.0", 38, 2, Some(0)),
            (
                "000000000000000000000000000000000000000000007.5",
                38,
                1,
                Some(75),
            ),
            (
                "7.50000000000000000000000000000000000000000000000",
                38,
                1,
                Some(75),
            ),
            (".5", 38, 1, Some(5)),
            ("5.", 38, 1, Some(50)),
            ("999.99", 5, 2, Some(99_999)),
            ("1000.00", 5, 2, None),
            ("NaN", 38, 2, None),
            ("Infinity", 38, 2, None),
            ("-Infinity", 38, 2, None),
            ("1,234.5", 38, 2, None),
            (" 1", 38, 2, None),
            ("1 ", 38, 2, None),
            ("", 38, 2, None),
            ("-", 38, 2, None),
            (".", 38, 2, None),
            ("1.2.3", 38, 2, None),
            ("1e", 38, 2, None),
            ("e5", 38, 2, None),
            ("1e+", 38, 2, None),
            ("0x10", 38, 2, None),
            ("--1", 38, 2, None),
        ] {
            assert_eq!(
                decimal(text.as_bytes(), precision, scale),
                expected,
                "{text} at {precision},{scale}"
            );
        }
    }

    #[test]
    fn integers_are_exact_to_the_last_bit_and_must_be_whole() {
        // covers: I1, I2
        for (text, expected) in [
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("3.0", Some(3)),
            ("1.0E7", Some(10_000_000)),
            ("9.223372036854775807E18", Some(i64::MAX)),
            ("3.5", None),
            ("1e-1", None),
            ("-0.0", Some(0)),
            ("", None),
            ("12a", None),
            ("NaN", None),
        ] {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn floats_are_kept_only_if_their_text_comes_back() {
        // covers: I4
        for (text, fits) in [
            ("0.1", true),
            ("-0.0", true),
            ("0.10000000000000001", true),
            ("0.30000000000000004", true),
            ("9007199254740993", false),
            ("9007199254740992", true),
            ("123456789012345678", false),
            ("1.7976931348623157E308", true),
            ("1.8E308", false),
            ("1e400", false),
            ("4.9E-324", true),
            ("5e-324", true),
            ("1e-400", false),
            ("0.12345678901234567890", false),
            ("1195109109738815.2", true),
            ("1195109109738815.3", true),
            ("1195109109738815.4", false),
            ("NaN", false),
            ("Infinity", false),
            ("1,234.5", false),
        ] {
            assert_eq!(float(text.as_bytes()).is_some(), fits, "{text}");
        }
        assert!(float(b"-0.0").unwrap().is_sign_negative());
    }

    proptest! {
        #[test]
        fn every_decimal_written_plainly_or_with_an_exponent_is_read_back(
            value in -99_999_999_999_999_999_999_999_999_999_999_999_999_i128..=99_999_999_999_999_999_999_999_999_999_999_999_999,
            bits in 0_u32..127,
            scale in 0_i8..=38,
            shift in -60_i32..60,
        ) {
            let value = value >> bits;
            let plain = arrow::datatypes::Decimal128Type::format_decimal(value, 38, scale);
            prop_assert_eq!(decimal(plain.as_bytes(), 38, scale), Some(value), "{}", plain);
            let with_exponent = format!("{value}E{}", shift - i32::from(scale));
            let expected = match u32::try_from(shift) {
                _ if value == 0 => Some(0),
                Ok(up) => POWERS.get(up as usize).and_then(|power| value.checked_mul(*power)),
                Err(_) => POWERS
                    .get(shift.unsigned_abs() as usize)
                    .and_then(|power| (value % power == 0).then_some(value / power)),
            };
            let expected = expected.filter(|value| value.unsigned_abs() < POWERS[38].unsigned_abs());
            prop_assert_eq!(decimal(with_exponent.as_bytes(), 38, scale), expected);
        }

        #[test]
        fn the_short_way_and_the_long_way_agree(text in "-?[0-9]{1,12}(\\.[0-9]{0,8})?", scale in 0_i8..20) {
            let short = decimal(text.as_bytes(), 38, scale);
            let long = decimal(format!("{text}e0").as_bytes(), 38, scale);
            prop_assert_eq!(short, long);
        }

        #[test]
        fn every_float_is_read_back_from_its_shortest_and_its_longest_text(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [format!("{value:e}"), format!("{value:?}"), format!("{value:.16e}")] {
                prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), Some(bits), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (integer(&text), float(&text), decimal(&text, 38, 10), decimal(&text, 1, -5));
        }
    }
}
