//! The manifest file, format 1: one JSON object whose last member, `crc32`, covers all bytes before it.
//!
//! The checksum is against accident (a torn write, a hand edit), not against malice. It covers bytes
//! rather than values, so that any change of the text is seen, and so that it can be checked before
//! anything is parsed.

use std::collections::HashSet;
use std::path::Path;

use overlock_core::{Error, ErrorKind, Manifest, Package, Result};
use serde::Deserialize;

use crate::fs;

/// Name of the manifest file in a package folder.
pub const FILE_NAME: &str = "manifest.json";

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// Longest manifest that is read. A package of 100,000 files and 2,000 columns stays far below.
const MAX_BYTES: u64 = 64 << 20;

const CHECKSUM: &[u8] = b",\"crc32\":\"";

/// Reads and checks the manifest of the folder `dir`; does not look at the files it names.
///
/// # Errors
/// `NotFound` if there is none, `Data` if it is damaged, `Config` if it is of a newer format or is a
/// symbolic link or somebody else's.
pub fn load(dir: &Path) -> Result<Package> {
    let path = dir.join(FILE_NAME);
    let bytes = fs::read(&path, MAX_BYTES)?;
    let manifest = decode(&bytes).map_err(|error| error.context("path", path.display()))?;
    Ok(Package {
        dir: dir.to_owned(),
        manifest,
    })
}

/// The bytes of the manifest file.
///
/// # Errors
/// `Bug` if it cannot be written as JSON.
pub fn encode(manifest: &Manifest) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(manifest)
        .map_err(|error| Error::bug("write a manifest as JSON").source(error))?;
    if bytes.pop() != Some(b'}') {
        return Err(Error::bug("write a manifest as a JSON object"));
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(CHECKSUM);
    bytes.extend_from_slice(format!("{checksum:08x}\"}}\n").as_bytes());
    Ok(bytes)
}

/// Reads the bytes of a manifest file.
///
/// # Errors
/// `Data` if they are damaged, `Config` if they are of a newer format.
pub fn decode(bytes: &[u8]) -> Result<Manifest> {
    let body = checked_body(bytes).ok_or_else(|| damaged("a manifest whose checksum differs"))?;
    let probe: FormatOnly = serde_json::from_slice(&body)
        .map_err(|error| damaged("a manifest without format").source(error))?;
    if probe.format != FORMAT {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "read a manifest of format {}; this overlock knows {FORMAT}",
                probe.format
            ),
        )
        .context("format", probe.format)
        .hint("use the overlock version that wrote it"));
    }
    let manifest: Manifest = serde_json::from_slice(&body)
        .map_err(|error| damaged("a manifest of another form").source(error))?;
    check(&manifest)?;
    Ok(manifest)
}

/// What must hold for any bytes: they are refused, or they mean a manifest that means the same when it is
/// written and read again. The corpora of the fuzz target run through this as a plain test.
///
/// # Panics
/// If that is false.
pub fn fuzz(data: &[u8]) {
    let Ok(manifest) = decode(data) else { return };
    let again = encode(&manifest).and_then(|bytes| decode(&bytes));
    assert!(
        again.is_ok_and(|again| again == manifest),
        "a manifest changed by being written and read"
    );
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// The JSON object without its checksum, if the checksum is right.
fn checked_body(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let tail = bytes.len().checked_sub(CHECKSUM.len() + 10)?;
    let (body, tail) = bytes.split_at_checked(tail)?;
    let digits = tail.strip_prefix(CHECKSUM)?.strip_suffix(b"\"}")?;
    let digits = std::str::from_utf8(digits).ok()?;
    let stored = u32::from_str_radix(digits, 16).ok()?;
    (stored == crc32fast::hash(body)).then(|| [body, b"}"].concat())
}

/// What no honest writer could have written.
fn check(manifest: &Manifest) -> Result<()> {
    let mut names = HashSet::new();
    for part in &manifest.files {
        let stem = part.name.strip_suffix(".parquet").unwrap_or("");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if stem.is_empty() || !stem.bytes().all(plain) {
            return Err(damaged("a manifest with a file name that is none"));
        }
        if !names.insert(part.name.as_str()) {
            return Err(damaged("a manifest that names a file twice"));
        }
    }
    let rows = manifest
        .files
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(part.rows));
    let bytes = manifest
        .files
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(part.bytes));
    if rows != Some(manifest.rows_read) || bytes.is_none() {
        return Err(damaged("a manifest whose counts do not balance"));
    }
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Data, format!("accept {what}"))
        .hint("the package is put aside and its rows are read again from the last commit")
}

#[cfg(test)]
pub(crate) mod tests {
    use overlock_core::{CommitId, State, Timestamp};
    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../tests/golden/manifest-1.json");

    #[test]
    fn the_fuzz_corpus_holds_also_cut_and_flipped() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/manifest");
        let mut seen = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            fuzz(&bytes);
            for position in (0..bytes.len()).step_by(7) {
                fuzz(&bytes[..position]);
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << (position % 8);
                fuzz(&flipped);
            }
            seen += 1;
        }
        assert!(seen >= 10, "only {seen} files");
    }

    #[test]
    fn format_1_is_read_and_written_as_ever() {
        // covers: T4
        let manifest = decode(GOLDEN).unwrap();
        assert_eq!(manifest.id.to_string(), "01JB5T6Q3V8F2K9M7N4P0R1S2T");
        assert_eq!(manifest.rows(), 150);
        assert_eq!(manifest.bytes(), 7_000);
        assert_eq!(manifest.key.to_string(), "support.tickets");
        assert_eq!(manifest.schema.fields().len(), 5);
        assert!(overlock_core::stream::is_json(manifest.schema.field(4)));
        assert_eq!(encode(&manifest).unwrap(), GOLDEN);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        // covers: K4, T2
        for cut in 0..GOLDEN.len() - 1 {
            assert!(decode(&GOLDEN[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..(GOLDEN.len() - 1) * 8 {
            let mut bytes = GOLDEN.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The case of a hex digit of the checksum is the one thing that says nothing.
            let digit = bytes.len() - 11..bytes.len() - 3;
            let only_case = digit.contains(&(bit / 8)) && bit % 8 == 5;
            if !only_case {
                assert!(decode(&bytes).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_left_to_a_newer_version() {
        // covers: K6
        let error = decode(&sealed_text(br#"{"format":2,"new":{"member":1}"#)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn what_no_writer_writes_is_refused_though_the_checksum_is_right() {
        // covers: T2
        let text = String::from_utf8(GOLDEN.to_vec()).unwrap();
        let (body, _) = text.rsplit_once(",\"crc32\"").unwrap();
        assert!(decode(&sealed_text(body.as_bytes())).is_ok());
        for (from, to) in [
            ("part-00001.parquet", "../part-00001.parquet"),
            ("part-00001.parquet", "/etc/passwd"),
            ("part-00001.parquet", ".parquet"),
            ("part-00002.parquet", "part-00001.parquet"),
            ("\"rows\":100", "\"rows\":18446744073709551615"),
            ("\"rows\":100", "\"rows\":101"),
            ("\"sealed\":true", "\"sealed\":true,\"unheard_of\":1"),
            ("\"support\"", "\"../x\""),
        ] {
            let edited = body.replacen(from, to, 1);
            assert_ne!(edited, body);
            assert!(
                decode(&sealed_text(edited.as_bytes())).is_err(),
                "{from} -> {to}"
            );
        }
    }

    fn sealed_text(body: &[u8]) -> Vec<u8> {
        let checksum = format!(",\"crc32\":\"{:08x}\"}}\n", crc32fast::hash(body));
        [body, checksum.as_bytes()].concat()
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(rows in 0_u64..u64::MAX / 4, text in ".{0,40}", sealed: bool) {
            let mut manifest = decode(GOLDEN).unwrap();
            manifest.id = CommitId::generate();
            manifest.files[0].rows = rows;
            manifest.rows_read = manifest.rows();
            manifest.primary_key = vec![text.clone()];
            manifest.sealed = sealed;
            manifest.state = Some(State::new(&serde_json::json!({"v": 1, "cursor": text})).unwrap());
            prop_assert_eq!(decode(&encode(&manifest).unwrap()).unwrap(), manifest);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(decode(&bytes).is_err());
            prop_assert!(decode(&sealed_text(&bytes)).is_err());
        }
    }

    pub(crate) fn instant(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }
}
