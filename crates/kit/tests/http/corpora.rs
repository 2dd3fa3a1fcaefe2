//! The fuzz targets over their corpora, so that no fuzzer is needed every day.

use std::path::PathBuf;

fn run(target: &str, check: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        check(&data);
        // Cheap mutations: every cut, and one changed byte at a time.
        for cut in (0..data.len()).step_by(1 + data.len() / 200) {
            check(&data[..cut]);
            let mut changed = data.clone();
            changed[cut] ^= 0x41;
            check(&changed);
        }
        count += 1;
    }
    assert!(count >= 5, "{target} has only {count} inputs");
}

#[test]
fn headers() {
    run("headers", overlock_kit::http::fuzz::headers);
}

#[test]
fn url_pinning() {
    run("url_pinning", overlock_kit::http::fuzz::url_pinning);
}

#[test]
fn gzip_stream() {
    run("gzip_stream", overlock_kit::http::fuzz::gzip_stream);
}
