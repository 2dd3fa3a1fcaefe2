//! Records that are put together of others, as raw JSON: nothing is parsed that need not be.

use bytes::Bytes;

/// A JSON array that is put together of raw records.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// Adds a record as it is.
    pub(super) fn push(&mut self, raw: &str) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(raw.as_bytes());
    }

    /// Adds a record with more keys, which win over its own of the same name. `more` is `"key":value,...`.
    pub(super) fn push_with(&mut self, raw: &str, more: &str) {
        let inner = raw.trim_end().strip_suffix('}').unwrap_or(raw).trim_end();
        self.push(inner);
        if !inner.ends_with('{') {
            self.0.push(b',');
        }
        self.0.extend_from_slice(more.as_bytes());
        self.0.push(b'}');
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The array.
    pub(super) fn finish(mut self) -> Bytes {
        if self.0.is_empty() {
            self.0.push(b'[');
        }
        self.0.push(b']');
        Bytes::from(self.0)
    }
}
