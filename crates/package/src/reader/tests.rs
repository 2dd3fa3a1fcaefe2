//! Tests with files that nobody should have to read.

use std::io::Write as _;

use overlock_core::WriteMode;
use tempfile::TempDir;

use super::*;
use crate::sample::{Row, Sample, row, rows_of, temp_dir};

fn rows(range: std::ops::Range<i64>) -> Vec<Row> {
    range.map(|id| row(id, 1, &format!("note {id}"))).collect()
}

fn part(work: &TempDir) -> (PathBuf, Vec<u8>) {
    let package = Sample::new(None, WriteMode::Merge).seal(work.path(), &rows(0..40));
    let path = package.dir.join("part-00001.parquet");
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

/// Reads to the end; the rows, or the kind of the error.
fn outcome(path: &Path) -> Result<u64> {
    file_info(path)?;
    let mut count = 0;
    for batch in read_file(path, None)? {
        count += batch?.num_rows() as u64;
    }
    Ok(count)
}

fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[test]
fn columns_come_in_the_order_asked_for() {
    let work = temp_dir();
    let (path, _) = part(&work);
    let names = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let batch = read_file(&path, Some(&columns))?.next().unwrap()?;
        let names: Vec<String> = batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        Ok::<_, Error>((names, batch.num_rows()))
    };
    for columns in [
        &["note", "id"][..],
        &["id"],
        &[],
        &["_extra", "version", "id"],
    ] {
        assert_eq!(
            names(columns).unwrap(),
            (columns.iter().map(ToString::to_string).collect(), 40)
        );
    }
    assert_eq!(names(&["nope"]).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn truncated_and_flipped_files_are_errors_and_never_panics() {
    // covers: I25
    let work = temp_dir();
    let (path, bytes) = part(&work);
    assert_eq!(outcome(&path).unwrap(), 40);
    for cut in (0..bytes.len()).step_by(13) {
        overwrite(&path, &bytes[..cut]);
        assert_eq!(
            outcome(&path).unwrap_err().kind(),
            ErrorKind::Data,
            "cut at {cut}"
        );
    }
    let mut errors = 0;
    for bit in (0..bytes.len() * 8).step_by(5) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        overwrite(&path, &flipped);
        if let Err(error) = outcome(&path) {
            assert_eq!(error.kind(), ErrorKind::Data, "bit {bit}: {error:?}");
            errors += 1;
        }
    }
    assert!(errors > 100, "{errors}");
}

#[test]
fn random_bytes_and_huge_claims_are_errors() {
    // covers: I25
    let work = temp_dir();
    let path = work.path().join("x.parquet");
    let mut noise = vec![0_u8; 5000];
    for (index, byte) in noise.iter_mut().enumerate() {
        *byte = u8::try_from(index * 7919 % 251).unwrap();
    }
    let footer = |footer: &[u8]| {
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        [b"PAR1", footer, &length, b"PAR1"].concat()
    };
    // version 1, schema: a list that claims 2^31 - 1 elements.
    let list = [0x15, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
    for bytes in [
        noise.clone(),
        [b"PAR1", &noise[..], b"PAR1"].concat(),
        footer(&noise),
        footer(&list),
        footer(&[]),
        [b"PAR1".as_slice(), &u32::MAX.to_le_bytes(), b"PAR1"].concat(),
        Vec::new(),
    ] {
        overwrite(&path, &bytes);
        assert_eq!(outcome(&path).unwrap_err().kind(), ErrorKind::Data);
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_opened() {
    // covers: I25, K7
    let work = temp_dir();
    let fifo = work.path().join("fifo.parquet");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    for path in [fifo.as_path(), work.path(), Path::new("/dev/zero")] {
        assert_eq!(
            outcome(path).unwrap_err().kind(),
            ErrorKind::Config,
            "{path:?}"
        );
    }
    let missing = work.path().join("missing");
    assert_eq!(outcome(&missing).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_package_is_read_only_if_its_hashes_hold() {
    // covers: K5
    let work = temp_dir();
    let package = Sample::new(None, WriteMode::Merge).seal(work.path(), &rows(0..40));
    let path = package.dir.join("part-00001.parquet");
    let bytes = std::fs::read(&path).unwrap();
    for byte in (0..bytes.len()).step_by(29) {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1;
        overwrite(&path, &flipped);
        let error = read(&package)
            .and_then(|mut batches| batches.next().unwrap())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        let part = &package.manifest.files[0];
        assert!(read_part(&package.dir, part, None).is_err());
    }
    overwrite(&path, &bytes);
    let batches: Vec<_> = read(&package).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows_of(&batches), rows(0..40));
}
