//! JSON text: taking strings out of it, putting them in, and copying values without parsing them.
//!
//! What is stored as JSON never holds U+0000 (warehouses cannot read such a value back) nor a lone surrogate
//! (no UTF-8 text can); both become U+FFFD. Everything else is copied byte for byte.

/// Deepest nesting that is stored as JSON; deeper values are stored as a string of their raw text, so that
/// nobody who parses a column recursively runs out of stack.
pub(super) const MAX_DEPTH: usize = 128;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
const REPLACEMENT_ESCAPE: &[u8] = b"\\ufffd";

/// What had to be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Replaced {
    /// U+0000.
    pub(super) nul: bool,
    /// Lone surrogates or invalid UTF-8.
    pub(super) lossy: bool,
}

/// Reads four hexadecimal digits behind `\u`.
fn hex4(text: &[u8]) -> Option<u32> {
    let mut value = 0;
    for digit in text.first_chunk::<4>()? {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    Some(value)
}

/// The code point of the escape that begins at `text` (with its backslash) and its length; `None` for a
/// lone surrogate, whose length is 6.
fn code_point(text: &[u8]) -> (Option<char>, usize) {
    let first = text.get(2..).and_then(hex4).unwrap_or(0xfffd);
    if !(0xd800..0xe000).contains(&first) {
        return (char::from_u32(first), 6);
    }
    let second = match text.get(6..8) {
        Some(b"\\u") => text.get(8..).and_then(hex4),
        _ => None,
    };
    match second {
        Some(second) if first < 0xdc00 && (0xdc00..0xe000).contains(&second) => {
            let value = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(value), 12)
        }
        _ => (None, 6),
    }
}

/// Appends the text of a JSON string, given without its quotes; says whether a lone surrogate was replaced.
pub(super) fn unescape(inner: &[u8], out: &mut Vec<u8>) -> bool {
    let mut lossy = false;
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let length = match escape.get(1) {
            Some(b'u') => {
                let (character, length) = code_point(escape);
                if let Some(character) = character {
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                } else {
                    out.extend_from_slice(REPLACEMENT);
                    lossy = true;
                }
                length
            }
            Some(other) => {
                out.push(match other {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                2
            }
            None => 1,
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    lossy
}

/// Appends `text` as a JSON string with its quotes.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) -> Replaced {
    let mut replaced = Replaced::default();
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        write_escaped(chunk.valid().as_bytes(), out, &mut replaced);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(REPLACEMENT);
            replaced.lossy = true;
        }
    }
    out.push(b'"');
    replaced
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>, replaced: &mut Replaced) {
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = special.split_first() else {
            break;
        };
        match byte {
            0 => {
                out.extend_from_slice(REPLACEMENT);
                replaced.nul = true;
            }
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// Appends a valid JSON value as it is, but for NUL and lone surrogates.
pub(super) fn copy_json(raw: &[u8], out: &mut Vec<u8>) -> Replaced {
    let mut replaced = Replaced::default();
    let mut rest = raw;
    // In valid JSON a backslash only ever begins an escape inside a string.
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let length = if escape.get(1) == Some(&b'u') {
            let (character, length) = code_point(escape);
            match character {
                Some('\0') => {
                    out.extend_from_slice(REPLACEMENT_ESCAPE);
                    replaced.nul = true;
                }
                Some(_) => out.extend_from_slice(escape.get(..length).unwrap_or_default()),
                None => {
                    out.extend_from_slice(REPLACEMENT_ESCAPE);
                    replaced.lossy = true;
                }
            }
            length
        } else {
            out.extend_from_slice(escape.get(..2).unwrap_or_default());
            2
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    replaced
}

/// Whether a valid JSON value is nested deeper than [`MAX_DEPTH`].
pub(super) fn is_deep(raw: &[u8]) -> bool {
    if !matches!(raw.first(), Some(b'[' | b'{')) || raw.len() <= MAX_DEPTH {
        return false;
    }
    // `[` and `{` differ in one bit. Too few of them in all, strings included, cannot nest deeply.
    // Counted in bytes, many at a time; a chunk is shorter than a byte can count.
    let count =
        |chunk: &[u8]| -> u8 { chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum() };
    let openings: usize = raw.chunks(192).map(|chunk| usize::from(count(chunk))).sum();
    if openings <= MAX_DEPTH {
        return false;
    }
    let mut depth = 0_usize;
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

/// A page whose strings are all valid UTF-8 without lone surrogates, and the number of strings that were not;
/// `None` if there is nothing to repair. What is wrong outside of strings stays wrong.
pub(super) fn repair(page: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut fixed = Vec::with_capacity(page.len() + 64);
    let mut count = 0;
    let mut rest = page;
    while let Some(open) = memchr::memchr(b'"', rest) {
        let (before, string) = rest.split_at(open + 1);
        fixed.extend_from_slice(before);
        let mut end = 0;
        loop {
            match memchr::memchr2(b'"', b'\\', string.get(end..).unwrap_or_default()) {
                Some(at) if string.get(end + at) == Some(&b'\\') => end += at + 2,
                Some(at) => {
                    end += at;
                    break;
                }
                None => {
                    end = string.len();
                    break;
                }
            }
        }
        let (inner, after) = string.split_at(end.min(string.len()));
        let mut lossy = false;
        let valid = String::from_utf8_lossy(inner);
        lossy |= matches!(valid, std::borrow::Cow::Owned(_));
        lossy |= repair_surrogates(valid.as_bytes(), &mut fixed);
        count += u64::from(lossy);
        if let Some((quote, after)) = after.split_first() {
            fixed.push(*quote);
            rest = after;
        } else {
            rest = after;
        }
    }
    fixed.extend_from_slice(rest);
    (count > 0).then_some((fixed, count))
}

fn repair_surrogates(inner: &[u8], out: &mut Vec<u8>) -> bool {
    let mut lossy = false;
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let is_code = escape.get(1) == Some(&b'u') && escape.get(2..).and_then(hex4).is_some();
        let (character, length) = if is_code {
            code_point(escape)
        } else {
            (Some('\\'), escape.len().min(2))
        };
        if character.is_some() {
            out.extend_from_slice(escape.get(..length).unwrap_or_default());
        } else {
            out.extend_from_slice(REPLACEMENT_ESCAPE);
            lossy = true;
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    lossy
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_are_taken_out_of_their_escapes() {
        // covers: I8
        for (inner, expected, lossy) in [
            ("plain", "plain", false),
            (r#"a\"b\\c\/d"#, "a\"b\\c/d", false),
            (r"\b\f\n\r\t", "\u{8}\u{c}\n\r\t", false),
            (r"\u00e9\u20AC", "é€", false),
            (r"\ud83d\ude00", "😀", false),
            (r"\ud800", "\u{fffd}", true),
            (r"\ud800x", "\u{fffd}x", true),
            (r"\udc00\ud800", "\u{fffd}\u{fffd}", true),
            (r"\ud83dA", "\u{fffd}A", true),
            (r"\u0000", "\0", false),
        ] {
            let mut out = Vec::new();
            assert_eq!(unescape(inner.as_bytes(), &mut out), lossy, "{inner}");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{inner}");
        }
    }

    #[test]
    fn copied_json_has_no_nul_and_no_lone_surrogate() {
        // covers: I8, I9
        for (raw, expected, nul, lossy) in [
            (
                r#"{"a":[1,2.50,"x"]}"#,
                r#"{"a":[1,2.50,"x"]}"#,
                false,
                false,
            ),
            (r#"["\u0000"]"#, r#"["\ufffd"]"#, true, false),
            (
                r#"{"\u0000k":"\ud800"}"#,
                r#"{"\ufffdk":"\ufffd"}"#,
                true,
                true,
            ),
            (
                r#"["\\u0000","\\\u0000"]"#,
                r#"["\\u0000","\\\ufffd"]"#,
                true,
                false,
            ),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#, false, false),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                copy_json(raw.as_bytes(), &mut out),
                Replaced { nul, lossy },
                "{raw}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn depth_is_measured_outside_of_strings() {
        // covers: I11
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_deep(nested(128).as_bytes()));
        assert!(is_deep(nested(129).as_bytes()));
        assert!(!is_deep(
            format!("[\"{}\\\"{}\"]", "[".repeat(500), "{".repeat(500)).as_bytes()
        ));
        assert!(!is_deep("[[]]".repeat(100).as_bytes()));
    }

    #[test]
    fn repair_touches_only_the_broken_strings() {
        // covers: I8
        let page = b"[{\"a\":\"caf\xe9\",\"b\":\"ok\",\"\\ud800\":1,\"c\":\"\\\\ud800\"}]";
        let (fixed, count) = repair(page).unwrap();
        assert_eq!(
            String::from_utf8(fixed).unwrap(),
            "[{\"a\":\"caf\u{fffd}\",\"b\":\"ok\",\"\\ufffd\":1,\"c\":\"\\\\ud800\"}]"
        );
        assert_eq!(count, 2);
        assert!(repair(b"[{\"a\":\"\\ud83d\\ude00\"}]").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_written_as_a_string_are_valid_json(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut out = Vec::new();
            let replaced = write_string(&text, &mut out);
            let back: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&back, &String::from_utf8_lossy(&text).replace('\0', "\u{fffd}"));
            prop_assert_eq!(replaced.nul, text.contains(&0));
            prop_assert_eq!(replaced.lossy, std::str::from_utf8(&text).is_err());
        }

        #[test]
        fn unescape_agrees_with_serde(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let mut out = Vec::new();
            unescape(&json.as_bytes()[1..json.len() - 1], &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
        }

        #[test]
        fn no_bytes_make_anything_panic(raw in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b'\\'), Just(b'u'), Just(b'd'), Just(b'8'), Just(b'0'), Just(b'['), any::<u8>()
        ], 0..64)) {
            let mut out = Vec::new();
            unescape(&raw, &mut out);
            copy_json(&raw, &mut out);
            is_deep(&raw);
            repair(&raw);
        }
    }
}
