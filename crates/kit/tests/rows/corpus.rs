//! The corpora of the fuzz targets, run as plain tests.

use std::path::{Path, PathBuf};

use overlock_kit::rows::fuzz;

/// Every file of a corpus. A corpus that is not there would be a test that shows nothing.
fn each(name: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{}", folder.display());
    for file in files {
        run(&std::fs::read(file).unwrap());
    }
}

#[test]
fn corpus_of_csv_rows_holds() {
    each("csv_rows", fuzz::csv_rows);
}

#[test]
fn corpus_of_json_rows_holds() {
    each("json_rows", fuzz::json_rows);
}

#[test]
fn corpus_of_timestamps_holds() {
    each("timestamps", fuzz::timestamps);
}

#[test]
fn corpus_of_decimals_holds() {
    each("decimals", fuzz::decimals);
}
