//! A kernel in trouble, on the real binary: a preloaded library (`tests/kernel/shim.c`) refuses to write, to make
//! durable and to lock, or lets the wall clock jump.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use overlock_core::{Clock as _, CommitId, SystemClock};
use overlock_tests::house::{files, root};
use overlock_tests::lab::Lab;

/// The library, built once by the C compiler that the build needs anyway.
fn shim() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(root().join("tests/kernel/shim.c"))
            .arg("-ldl")
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
        library
    })
}

/// Several pages, files and packages, on a kernel that does not do what this variable names.
fn lab(variable: &str, value: &str) -> Lab {
    Lab::new(31, &["Account"])
        .source("max_records = 10")
        .source("rest_below_rows = 0")
        .run_setting("file_every = \"1ms\"")
        .run_setting("seal_rows = 25")
        .environment("LD_PRELOAD", shim().to_str().unwrap())
        .environment(variable, value)
}

#[test]
fn k3_a_file_that_cannot_be_written_or_made_durable_is_dead() {
    // covers: K3
    for refused in ["write", "fsync"] {
        let broken = lab("SHIM_EIO", refused);
        let outcome = broken.run().expect(6);
        for part in ["Input/output error", "hint", "Account"] {
            assert!(
                outcome.stderr.contains(part),
                "{refused}: {}",
                outcome.stderr
            );
        }
        assert!(broken.commits("Account").is_empty(), "{refused}");
        let kept = files(&broken.project.path().join("data"), "parquet");
        assert!(kept.is_empty(), "{refused}: {kept:?}");
        let mended = broken.environment("SHIM_EIO", "");
        mended.settle_and_judge();
    }
}

#[test]
fn k8_a_file_system_without_locks_is_refused_unless_the_head_alone_shall_decide() {
    // covers: K8
    let refused = lab("SHIM_NO_LOCKS", "1");
    let outcome = refused.run().expect(2);
    assert!(
        outcome.stderr.contains("lock = \"head-only\""),
        "{}",
        outcome.stderr
    );
    assert!(refused.commits("Account").is_empty());
    let allowed = refused.run_setting("lock = \"head-only\"");
    let outcome = allowed.run().expect(0);
    assert!(outcome.stderr.contains("no locks"), "{}", outcome.stderr);
    allowed.settle_and_judge();
}

#[test]
fn r10_a_wall_clock_that_jumps_by_hours_changes_nothing() {
    // covers: R10
    let lab = lab("SHIM_CLOCK", "1");
    for _ in 0..3 {
        let outcome = lab.run().expect(0);
        assert!(outcome.took < Duration::from_secs(60), "{:?}", outcome.took);
        lab.judge();
        lab.advance(Duration::from_secs(100_000));
    }
    lab.settle_and_judge();
    let mut commits = lab.commits("Account");
    let count = commits.len();
    commits.sort();
    commits.dedup();
    assert_eq!(commits.len(), count, "ids are unique");
    // An id tells when it was made, so the jumps were really seen.
    let now = SystemClock.now().seconds();
    let jumped = commits.iter().filter(|id| {
        let id: CommitId = id.parse().unwrap();
        (id.made_at().unwrap().seconds() - now).abs() > 5 * 3_600
    });
    assert!(jumped.count() > 0, "{commits:?}");
}
