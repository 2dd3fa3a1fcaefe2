//! Record Ids as numbers, for halving a range of them. Pure.
//!
//! Fifteen characters in base 62 and three that make the spelling safe where case is ignored.

/// Ids in the order of SOQL: digits, then upper case, then lower case.
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What the letters of five characters that are upper case, as bits, stand for at the end of an Id.
const CHECK_32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The number that the first 15 characters of an Id stand for in that order.
pub fn id_number(id: &str) -> Option<u128> {
    let bytes = id.as_bytes().get(..15)?;
    bytes.iter().try_fold(0_u128, |number, byte| {
        let digit = BASE_62.iter().position(|digit| digit == byte)?;
        Some(number * 62 + u128::try_from(digit).ok()?)
    })
}

/// The 18-character Id for such a number.
pub fn id_from_number(mut number: u128) -> String {
    let mut digits = [b'0'; 15];
    for place in digits.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or(0);
        *place = BASE_62.get(digit).copied().unwrap_or(b'0');
        number /= 62;
    }
    let mut id: String = digits.iter().map(|byte| char::from(*byte)).collect();
    for group in digits.chunks(5) {
        let bits = group.iter().enumerate().fold(0_usize, |bits, (i, byte)| {
            bits | usize::from(byte.is_ascii_uppercase()) << i
        });
        id.push(char::from(CHECK_32.get(bits).copied().unwrap_or(b'A')));
    }
    id
}

/// The Id in the middle of two, if there is one strictly between them.
pub fn id_between(low: &str, high: &str) -> Option<String> {
    let (low, high) = (id_number(low)?, id_number(high)?);
    let middle = low + high.checked_sub(low)? / 2;
    (middle > low && middle < high).then(|| id_from_number(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_order_and_halve_like_numbers() {
        assert_eq!(
            id_from_number(id_number("001RM00000559kHYAQ").unwrap()),
            "001RM00000559kHYAQ"
        );
        let middle = id_between("001000000000000AAA", "001zzzzzzzzzzzzAAA").unwrap();
        assert!(middle.as_str() > "001000000000000" && middle.as_str() < "001zzzzzzzzzzzz");
        assert_eq!(id_between("001000000000001AAA", "001000000000002AAA"), None);
        assert_eq!(id_number("short"), None);
        assert!(id_number("00500000000000a").unwrap() > id_number("00500000000000Z").unwrap());
    }
}
