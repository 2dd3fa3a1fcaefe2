//! Secrets, and the last line of defence that keeps them out of every output.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A value that must never be shown: no `Display`, no `Serialize`, no `Clone`; wiped on drop.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself. Call it only where the value goes on the wire or into a signature.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

/// Knows every secret value of the process and removes it from text, in each usual spelling.
///
/// Cheap to clone; all clones share one list.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<Zeroizing<String>>>>);

/// Shorter values would redact ordinary words; the configuration refuses them as secrets.
const MIN_SECRET_BYTES: usize = 6;

/// What stands in a text instead of a secret.
pub const REDACTED: &str = "[redacted]";

impl Redactor {
    /// Learns a secret in its raw, percent-encoded, base64 and JSON-escaped spelling. For values of
    /// several lines, such as private keys, each line is learnt as well.
    pub fn learn(&self, secret: &str) {
        let mut spellings = Vec::new();
        for piece in std::iter::once(secret).chain(secret.lines()) {
            let piece = piece.trim();
            if piece.len() < MIN_SECRET_BYTES || piece.starts_with("-----") {
                continue;
            }
            spellings.push(piece.to_owned());
            spellings.push(percent_encode(piece));
            spellings.push(base64(piece.as_bytes()));
            let json = serde_json::Value::from(piece).to_string();
            // Not by trimming: a secret may end with a quote itself.
            let inner = json
                .strip_prefix('"')
                .and_then(|json| json.strip_suffix('"'));
            spellings.extend(inner.map(ToOwned::to_owned));
        }
        let mut known = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for spelling in spellings {
            if !known.iter().any(|seen| **seen == spelling) {
                known.push(Zeroizing::new(spelling));
            }
        }
        // Longest first, so that a secret that contains another is replaced whole.
        known.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    }

    /// Replaces every known spelling by `[redacted]`.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self
            .0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = Cow::Borrowed(text);
        for secret in known.iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(["%".to_owned(), format!("{byte:02X}")]);
        }
    }
    encoded
}

/// Standard base64 with padding. Ten lines here keep floor 0 free of one more dependency.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_u32, |group, i| {
            group << 8 | u32::from(*chunk.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            let symbol = ALPHABET[(group >> (18 - 6 * i) & 63) as usize];
            encoded.push(if i <= chunk.len() {
                char::from(symbol)
            } else {
                '='
            });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_removed() {
        let redactor = Redactor::default();
        redactor.learn("p@ss\"word/1");
        for text in [
            "p@ss\"word/1",
            "p%40ss%22word%2F1",
            "cEBzcyJ3b3JkLzE=",
            r#"{"k":"p@ss\"word/1"}"#,
        ] {
            let shown = redactor.redact(text).into_owned();
            assert!(
                shown.contains(REDACTED) && !shown.contains("word"),
                "{shown}"
            );
        }
        assert_eq!(redactor.redact("nothing here"), "nothing here");
    }

    #[test]
    fn base64_is_the_standard_one() {
        for (input, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(input.as_bytes()), expected);
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter22")), "[redacted]");
    }
}
