//! A zip archive of exactly one file, read as it arrives.
//!
//! Services that offer results as zip write one entry. Its name is of no interest, and it is never put on a disk
//! under it. The archive's directory comes last: only there are the checksum and the length, and the proof that
//! there is one entry. (The crate `zip` wants a file to seek in, or a blocking reader.)

use flate2::{Decompress, FlushDecompress, Status};
use overlock_core::Result;

use super::inflate::damaged;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const DEFLATE: u16 = 8;
const ENCRYPTED: u16 = 1;

/// Names, extra fields and the directory of one entry; nobody needs more.
const MOST_AROUND: usize = 256 * 1024;

/// How far an archive is.
pub(super) struct Zip {
    stage: Stage,
    /// What is around the entry and not yet understood.
    held: Vec<u8>,
    entry: Decompress,
    crc: crc32fast::Hasher,
    bytes_out: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Local,
    Entry,
    Directory,
}

impl Zip {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Local,
            held: Vec::new(),
            entry: Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            bytes_out: 0,
        }
    }

    /// Takes some input; returns how much of it was used and how much of `piece` was filled.
    pub(super) fn step(&mut self, input: &[u8], piece: &mut [u8]) -> Result<(usize, usize)> {
        match self.stage {
            Stage::Local => {
                self.hold(input)?;
                let Some(length) = self.local_length()? else {
                    return Ok((input.len(), 0));
                };
                if self.held.len() < length {
                    return Ok((input.len(), 0));
                }
                // What belongs to the entry was not used.
                let surplus = self.held.len() - length;
                self.held.clear();
                self.stage = Stage::Entry;
                Ok((input.len() - surplus.min(input.len()), 0))
            }
            Stage::Entry => {
                let (in_before, out_before) = (self.entry.total_in(), self.entry.total_out());
                let status = self
                    .entry
                    .decompress(input, piece, FlushDecompress::None)
                    .map_err(|_| damaged("the zip archive is damaged"))?;
                let used = usize::try_from(self.entry.total_in() - in_before).unwrap_or(usize::MAX);
                let made =
                    usize::try_from(self.entry.total_out() - out_before).unwrap_or(usize::MAX);
                self.crc.update(piece.get(..made).unwrap_or_default());
                self.bytes_out += made as u64;
                if status == Status::StreamEnd {
                    self.stage = Stage::Directory;
                }
                Ok((used, made))
            }
            Stage::Directory => {
                self.hold(input)?;
                Ok((input.len(), 0))
            }
        }
    }

    fn hold(&mut self, input: &[u8]) -> Result<()> {
        if self.held.len() + input.len() > MOST_AROUND && self.stage == Stage::Directory {
            return Err(damaged("the zip archive has more than one entry"));
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    /// Bytes of the local header with name and extra field, once they can be told.
    fn local_length(&self) -> Result<Option<usize>> {
        let held = &self.held;
        if !held.starts_with(LOCAL.get(..held.len().min(4)).unwrap_or(LOCAL)) {
            return Err(damaged("it is no zip archive"));
        }
        let (Some(flags), Some(method)) = (number(held, 6, 2), number(held, 8, 2)) else {
            return Ok(None);
        };
        if flags & u64::from(ENCRYPTED) != 0 || method != u64::from(DEFLATE) {
            return Err(damaged("the zip archive is encrypted or of another method"));
        }
        let (Some(name), Some(extra)) = (number(held, 26, 2), number(held, 28, 2)) else {
            return Ok(None);
        };
        Ok(usize::try_from(name + extra)
            .ok()
            .map(|rest| LOCAL_BYTES + rest))
    }

    /// Checks the directory against what came.
    pub(super) fn finish(&self) -> Result<()> {
        let held = &self.held;
        if self.stage != Stage::Directory {
            return Err(damaged("the zip archive is cut"));
        }
        // Between entry and directory there may be a descriptor of 12 to 24 bytes.
        let central = (0..=24).find(|at| {
            held.get(*at..)
                .is_some_and(|rest| rest.starts_with(CENTRAL))
        });
        let Some(central) = central else {
            return Err(damaged(
                "the zip archive is cut, or has more than one entry",
            ));
        };
        let at = |offset, length| number(held, central + offset, length);
        let (crc, size) = (at(16, 4), at(24, 4));
        let around = [28, 30, 32].map(|offset| at(offset, 2));
        let [Some(name), Some(extra), Some(comment)] = around else {
            return Err(damaged("the zip archive is cut"));
        };
        let after = usize::try_from(name + extra + comment).unwrap_or(usize::MAX);
        let end = central.saturating_add(CENTRAL_BYTES).saturating_add(after);
        // A 64-bit archive has its own end before the common one.
        let rest = held.get(end..).unwrap_or_default();
        if rest.starts_with(CENTRAL) {
            return Err(damaged("the zip archive has more than one entry"));
        }
        let closed = memchr::memmem::find(rest, END).is_some_and(|at| {
            let comment = number(rest, at + 20, 2).and_then(|length| usize::try_from(length).ok());
            comment.is_some_and(|comment| rest.len() == at + 22 + comment)
        });
        if !closed {
            return Err(damaged("the zip archive is cut, or something follows it"));
        }
        let long = Some(u64::from(u32::MAX));
        if crc != Some(u64::from(self.crc.clone().finalize()))
            || (size != long && size != Some(self.bytes_out))
        {
            return Err(damaged("the zip archive is damaged"));
        }
        Ok(())
    }
}

/// A little-endian number of some bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}
