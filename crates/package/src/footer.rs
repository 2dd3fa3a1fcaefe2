//! A look at a Parquet footer before the parser sees it.
//!
//! The parser reserves memory for as many elements as a list claims to have, and a reservation that
//! fails ends the process: no `catch_unwind` helps. So every claim is compared with the bytes that are
//! there, without building anything.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

/// Longest footer that is read.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Deepest nesting of structs and lists.
const MAX_DEPTH: u32 = 24;
const MAGIC: &[u8] = b"PAR1";

/// Says what is wrong with the footer of `file`, if something is; leaves the file at its beginning.
pub(crate) fn check(file: &mut File) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let length = file.metadata().map_err(text)?.len();
    if length < 12 {
        return Err(format!("{length} bytes are too few"));
    }
    let mut head = [0; 4];
    let mut tail = [0; 8];
    file.seek(SeekFrom::Start(0)).map_err(text)?;
    file.read_exact(&mut head).map_err(text)?;
    file.seek(SeekFrom::End(-8)).map_err(text)?;
    file.read_exact(&mut tail).map_err(text)?;
    let [a, b, c, d, magic @ ..] = tail;
    if head != MAGIC || magic != MAGIC {
        return Err("it does not begin and end with `PAR1`".to_owned());
    }
    let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
    if footer > length - 12 || footer > MAX_FOOTER_BYTES {
        return Err(format!("a footer of {footer} bytes cannot be"));
    }
    file.seek(SeekFrom::Start(length - 8 - footer))
        .map_err(text)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(footer)
        .read_to_end(&mut bytes)
        .map_err(text)?;
    file.seek(SeekFrom::Start(0)).map_err(text)?;
    Walk { rest: &bytes }
        .structure(0)
        .ok_or_else(|| "its footer is malformed".to_owned())
}

/// Walks over Thrift's compact protocol; `None` as soon as something cannot be.
struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn structure(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            if header >> 4 == 0 {
                self.number()?;
            }
            match header & 0x0f {
                1 | 2 => {}
                kind => self.value(kind, depth)?,
            }
        }
    }

    fn value(&mut self, kind: u8, depth: u32) -> Option<()> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = match header >> 4 {
                    15 => self.number()?,
                    few => u64::from(few),
                };
                self.elements(count, &[header & 0x0f], depth)
            }
            11 => {
                let count = self.number()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                self.elements(count, &[kinds >> 4, kinds & 0x0f], depth)
            }
            12 => self.structure(depth + 1),
            _ => None,
        }
    }

    fn elements(&mut self, count: u64, kinds: &[u8], depth: u32) -> Option<()> {
        // Each element takes a byte at least.
        if depth > MAX_DEPTH || count > u64::try_from(self.rest.len()).ok()? {
            return None;
        }
        for _ in 0..count {
            kinds
                .iter()
                .try_for_each(|kind| self.value(*kind, depth + 1))?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_compared_with_the_bytes_that_are_there() {
        let walk = |bytes: &[u8]| Walk { rest: bytes }.structure(0).is_some();
        assert!(walk(&[0]));
        assert!(walk(&[0x15, 0x02, 0]));
        assert!(walk(&[0x18, 3, b'a', b'b', b'c', 0]));
        assert!(walk(&[0x19, 0x25, 1, 2, 0]));
        // A list of 2^31 structs, text longer than the rest, nesting without end, no end at all.
        assert!(!walk(&[0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0]));
        assert!(!walk(&[0x18, 100, b'a', 0]));
        assert!(!walk(&[0x1c; 4096]));
        assert!(!walk(&[0x15]));
        assert!(!walk(&[]));
    }
}
