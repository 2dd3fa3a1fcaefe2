//! Decompression that trusts nobody: in small pieces, capped in size and ratio, and over only when the
//! stream itself says so.
//!
//! A compressed body has exactly one gzip member; a file may have several. A cut stream, a wrong checksum or length, bytes after the end and a
//! second member are errors: each of them may hide lost rows. (flate2's readers differ here: `GzDecoder`
//! ignores what follows the first member, `MultiGzDecoder` accepts a second one.)

use flate2::{Decompress, FlushDecompress, Status};
use overlock_core::{Error, ErrorKind, Result};

use super::zip::Zip;

/// How a body is encoded on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As it is.
    #[default]
    Identity,
    /// One gzip member.
    Gzip,
    /// A gzip file: one member or several.
    GzipFile,
    /// A zip archive of one file.
    ZipFile,
}

/// How much a body may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Most bytes after decompression.
    pub max_bytes: u64,
    /// Largest ratio of bytes after and before decompression.
    pub max_ratio: u64,
    /// The ratio is looked at after this many decompressed bytes.
    pub ratio_after: u64,
}

impl Caps {
    /// At most `max_bytes`, and at most 200 to one after the first 64 MiB.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            max_ratio: 200,
            ratio_after: 64 << 20,
        }
    }
}

/// Size of the pieces that are handed on; bounds the memory of one step whatever the ratio.
const PIECE_BYTES: usize = 128 * 1024;

/// Window of gzip: 2^15 bytes, the only size there is.
const WINDOW_BITS: u8 = 15;

/// Turns the bytes of a body on the wire into the bytes that were meant. Pure: no I/O, no threads.
pub struct Inflater {
    kind: Kind,
    caps: Caps,
    bytes_in: u64,
    bytes_out: u64,
    piece: Vec<u8>,
}

enum Kind {
    Identity,
    Gzip {
        member: Box<Decompress>,
        ended: bool,
        /// Another member may follow.
        several: bool,
    },
    Zip(Box<Zip>),
}

impl Inflater {
    /// Starts at the first byte of a body.
    pub fn new(encoding: Encoding, caps: Caps) -> Self {
        let gzip = |several| Kind::Gzip {
            member: Box::new(Decompress::new_gzip(WINDOW_BITS)),
            ended: false,
            several,
        };
        let kind = match encoding {
            Encoding::Identity => Kind::Identity,
            Encoding::Gzip => gzip(false),
            Encoding::GzipFile => gzip(true),
            Encoding::ZipFile => Kind::Zip(Box::new(Zip::new())),
        };
        let piece = match kind {
            Kind::Identity => Vec::new(),
            _ => vec![0; PIECE_BYTES],
        };
        Self {
            kind,
            caps,
            bytes_in: 0,
            bytes_out: 0,
            piece,
        }
    }

    /// Takes the next bytes from the wire and hands on what they mean, in pieces of at most 128 KiB
    /// (an unencoded body: as it came).
    ///
    /// # Errors
    /// `Unavailable` if the stream is damaged; `Data` with a context pair `limit` if it grows beyond its
    /// caps; whatever `take` returns. After an error the inflater must not be used any more.
    pub fn push(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.bytes_in = self.bytes_in.saturating_add(input.len() as u64);
        if matches!(self.kind, Kind::Identity) {
            self.bytes_out = self.bytes_in;
            self.caps.check(self.bytes_in, self.bytes_out, false)?;
            return if input.is_empty() {
                Ok(())
            } else {
                take(input)
            };
        }
        loop {
            let (used, made) = self.kind.step(input, &mut self.piece)?;
            input = input.get(used..).unwrap_or_default();
            self.bytes_out = self.bytes_out.saturating_add(made as u64);
            self.caps.check(self.bytes_in, self.bytes_out, true)?;
            if made > 0 {
                take(self.piece.get(..made).unwrap_or_default())?;
            }
            if input.is_empty() && made < self.piece.len() {
                return Ok(());
            }
            if used == 0 && made == 0 {
                return Err(damaged("the compressed stream is damaged"));
            }
        }
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// `Unavailable` if the stream is not at its end.
    pub fn finish(&self) -> Result<()> {
        match &self.kind {
            Kind::Gzip { ended: false, .. } => Err(damaged("the gzip stream is cut")),
            Kind::Zip(zip) => zip.finish(),
            _ => Ok(()),
        }
    }

    /// Bytes handed on so far.
    pub fn bytes(&self) -> u64 {
        self.bytes_out
    }
}

impl Kind {
    /// Takes some input; returns how much of it was used and how much of `piece` was filled.
    fn step(&mut self, input: &[u8], piece: &mut [u8]) -> Result<(usize, usize)> {
        let (member, ended, several) = match self {
            Self::Identity => return Ok((0, 0)),
            Self::Zip(zip) => return zip.step(input, piece),
            Self::Gzip {
                member,
                ended,
                several,
            } => (member, ended, *several),
        };
        if *ended && !input.is_empty() {
            if !several {
                return Err(damaged("bytes follow the end of the gzip stream"));
            }
            **member = Decompress::new_gzip(WINDOW_BITS);
            *ended = false;
        }
        if *ended {
            return Ok((0, 0));
        }
        let (in_before, out_before) = (member.total_in(), member.total_out());
        let status = member
            .decompress(input, piece, FlushDecompress::None)
            .map_err(|_| damaged("the gzip stream is damaged"))?;
        *ended = status == Status::StreamEnd;
        Ok((
            to_usize(member.total_in() - in_before),
            to_usize(member.total_out() - out_before),
        ))
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater")
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .finish_non_exhaustive()
    }
}

impl Caps {
    fn check(self, bytes_in: u64, bytes_out: u64, compressed: bool) -> Result<()> {
        if bytes_out > self.max_bytes {
            return Err(over(&format!("it has more than {} bytes", self.max_bytes)));
        }
        if compressed
            && bytes_out > self.ratio_after
            && bytes_out / bytes_in.max(1) >= self.max_ratio
        {
            return Err(over(&format!(
                "it grows more than {} times when it is decompressed",
                self.max_ratio
            )));
        }
        Ok(())
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(super) fn damaged(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("receive an answer: {why}"))
        .hint("the connection or a proxy damaged it; try again later")
}

fn over(why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("accept an answer: {why}"))
        .context("limit", "body")
        .hint("ask for less at a time, or raise `http.max_body_bytes` or `http.bulk_max_body_bytes` of the source")
}

/// Entry point of the fuzz target `gzip_stream`: the same result however the bytes are cut into chunks.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let caps = Caps {
        max_bytes: 1 << 20,
        max_ratio: 200,
        ratio_after: 64 << 10,
    };
    let run = |chunk: usize| -> Option<Vec<u8>> {
        let mut inflater = Inflater::new(Encoding::Gzip, caps);
        let mut out = Vec::new();
        for piece in data.chunks(chunk) {
            inflater
                .push(piece, |bytes| {
                    out.extend_from_slice(bytes);
                    Ok(())
                })
                .ok()?;
            assert!(out.len() as u64 <= caps.max_bytes);
        }
        inflater.finish().ok()?;
        Some(out)
    };
    let whole = run(usize::MAX);
    let pieces = run(7);
    // Cut in pieces the ratio is looked at earlier: a body may then be refused, never read differently.
    if let (Some(whole), Some(pieces)) = (whole, pieces) {
        assert!(whole == pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(wire: &[u8], chunk: usize, caps: Caps) -> Result<Vec<u8>> {
        inflate_as(Encoding::Gzip, wire, chunk, caps)
    }

    fn inflate_as(encoding: Encoding, wire: &[u8], chunk: usize, caps: Caps) -> Result<Vec<u8>> {
        let mut inflater = Inflater::new(encoding, caps);
        let mut out = Vec::new();
        for piece in wire.chunks(chunk) {
            inflater.push(piece, |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        inflater.finish()?;
        Ok(out)
    }

    fn sample() -> Vec<u8> {
        (0..40_000_u32)
            .flat_map(|i| (i.wrapping_mul(2_654_435_761) % 251).to_le_bytes())
            .collect()
    }

    #[test]
    fn what_was_compressed_comes_back_however_it_is_cut() {
        let data = sample();
        let wire = gzip(&data);
        for chunk in [1, 7, 4_096, usize::MAX] {
            assert!(inflate(&wire, chunk, Caps::new(1 << 30)).unwrap() == data);
        }
        assert!(inflate(&gzip(b""), 3, Caps::new(10)).unwrap().is_empty());
    }

    #[test]
    fn every_cut_of_a_gzip_stream_is_noticed() {
        // covers: N7
        let wire = gzip(b"\"Id\"\n\"001\"\n\"002\"\n");
        for cut in 0..wire.len() {
            let error = inflate(&wire[..cut], 5, Caps::new(1 << 20)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "cut at {cut}");
        }
    }

    #[test]
    fn checksum_length_trailing_bytes_and_a_second_member_are_noticed() {
        // covers: N7
        let wire = gzip(b"\"Id\"\n\"001\"\n");
        let n = wire.len();
        for at in n - 8..n {
            let mut bad = wire.clone();
            bad[at] ^= 1;
            assert!(inflate(&bad, 4, Caps::new(1 << 20)).is_err(), "byte {at}");
        }
        for tail in [&b"\0"[..], b"x", &wire] {
            let mut bad = wire.clone();
            bad.extend_from_slice(tail);
            for chunk in [1, n, usize::MAX] {
                let error = inflate(&bad, chunk, Caps::new(1 << 20)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable);
            }
        }
        assert!(inflate(b"not gzip at all", 99, Caps::new(1 << 20)).is_err());
    }

    #[test]
    fn a_bomb_is_refused_by_ratio_and_by_size() {
        // covers: I18
        let wire = gzip(&vec![0; 80 << 20]);
        let error = inflate(&wire, 4_096, Caps::new(u64::MAX)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert_eq!(error.get("limit"), Some("body"));
        assert!(error.to_string().contains("200 times"), "{error}");
        let error = inflate(&wire, 4_096, Caps::new(1 << 20)).unwrap_err();
        assert!(error.to_string().contains("1048576 bytes"), "{error}");
        // Nested: what comes out is not unpacked again, so it stays as small as it is.
        let nested = gzip(&wire);
        assert!(inflate(&nested, 4_096, Caps::new(1 << 20)).unwrap() == wire);
    }

    #[test]
    fn a_gzip_file_may_have_several_members_and_every_cut_is_noticed() {
        let (first, second) = (gzip(b"\"Id\"\n"), gzip(b"\"001\"\n"));
        let wire = [first.clone(), second].concat();
        let file = |wire: &[u8], chunk| inflate_as(Encoding::GzipFile, wire, chunk, Caps::new(99));
        for chunk in [1, 7, first.len(), usize::MAX] {
            assert_eq!(file(&wire, chunk).unwrap(), b"\"Id\"\n\"001\"\n");
            for cut in (0..wire.len()).filter(|cut| *cut != first.len()) {
                assert!(file(&wire[..cut], chunk).is_err(), "cut at {cut}");
            }
            for tail in [&b"\0\0"[..], b"x"] {
                assert!(file(&[&wire, tail].concat(), chunk).is_err());
            }
        }
    }

    /// An archive of one file, with its sizes behind it as a writer does that cannot seek.
    fn zip(data: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        let body = encoder.finish().unwrap();
        let sizes = [
            crc32fast::hash(data).to_le_bytes(),
            u32::try_from(body.len()).unwrap().to_le_bytes(),
            u32::try_from(data.len()).unwrap().to_le_bytes(),
        ]
        .concat();
        let name = b"../result.csv";
        let length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let mut wire = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\0\0".to_vec();
        wire.extend([0; 12]);
        wire.extend(length);
        wire.extend([0, 0]);
        wire.extend(name);
        wire.extend(body);
        wire.extend(b"PK\x07\x08");
        wire.extend(&sizes);
        wire.extend(b"PK\x01\x02\x14\0\x14\0\x08\0\x08\0\0\0\0\0");
        wire.extend(&sizes);
        wire.extend(length);
        wire.extend([0; 16]);
        wire.extend(name);
        wire.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        wire.extend([0; 10]);
        wire
    }

    #[test]
    fn a_zip_archive_has_one_file_and_every_cut_and_flipped_byte_of_it_is_noticed() {
        // covers: I19
        let data = sample();
        let wire = zip(&data);
        let open =
            |wire: &[u8], chunk| inflate_as(Encoding::ZipFile, wire, chunk, Caps::new(1 << 20));
        for chunk in [1, 7, 4_096, usize::MAX] {
            assert!(open(&wire, chunk).unwrap() == data, "{chunk}");
        }
        for cut in 0..wire.len() {
            assert!(open(&wire[..cut], 997).is_err(), "cut at {cut}");
        }
        // The body, and checksum and sizes in the directory; times and attributes mean nothing.
        let directory = wire.len() - 22 - 13 - 46;
        for at in (43..directory - 16)
            .step_by(13)
            .chain(directory + 16..directory + 20)
        {
            let mut bad = wire.clone();
            bad[at] ^= 1;
            assert!(open(&bad, 997).is_err(), "byte {at}");
        }
        let twice = [wire.clone(), wire].concat();
        assert!(open(&twice, 997).is_err());
        assert!(open(b"\"Id\"\n", 99).is_err());
        let bomb = zip(&vec![0; 2 << 20]);
        assert_eq!(open(&bomb, 997).unwrap_err().kind(), ErrorKind::Data);
    }

    #[test]
    fn an_unencoded_body_is_capped_too() {
        let mut inflater = Inflater::new(Encoding::Identity, Caps::new(10));
        assert!(inflater.push(b"1234567890", |_| Ok(())).is_ok());
        assert_eq!(
            inflater.push(b"x", |_| Ok(())).unwrap_err().kind(),
            ErrorKind::Data
        );
    }
}
