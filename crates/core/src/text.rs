//! Making outside text safe to show.

/// Longest piece of outside text that is ever shown, in characters.
pub const MAX_SHOWN_CHARS: usize = 500;

/// Escapes control and bidirectional characters and cuts at [`MAX_SHOWN_CHARS`], so that outside text
/// can neither forge a log line nor drive a terminal.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_SHOWN_CHARS));
    for (count, character) in text.chars().enumerate() {
        if count == MAX_SHOWN_CHARS {
            shown.push('…');
            break;
        }
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() || is_bidi(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_mislead() {
        for (input, expected) in [
            ("plain", "plain"),
            ("a\nb\rc\td", "a\\nb\\rc\\td"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\u{202e}gnp", "\\u{202e}gnp"),
        ] {
            assert_eq!(printable(input), expected);
        }
        assert_eq!(
            printable(&"x".repeat(9_999)).chars().count(),
            MAX_SHOWN_CHARS + 1
        );
    }
}
