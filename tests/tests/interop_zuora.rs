//! A Zuora client that no one here wrote, unchanged, on the emulated tenant, and its rows beside the tenant's world and
//! beside ours.
//!
//! The Python side makes its own virtual environments below `target/interop`, from pinned requirements.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a helper of tests; what the client said belongs in the test's output"
)]

use std::process::Command;

use overlock_tests::house::root;
use overlock_tests::lab::binary;

/// Runs some checks of `tests/interop/zuora_run.py`.
fn interop(arguments: &[&str]) {
    let mut command = Command::new("python3");
    command
        .arg(root().join("tests/interop/zuora_run.py"))
        .arg("--overlock")
        .arg(binary())
        .args(arguments);
    // `cargo test --workspace` has built the example; without it the runner asks cargo for it.
    let emulator = assert_cmd::cargo::cargo_bin("examples/emulator_zuora");
    if emulator.exists() {
        command.arg("--emulator").arg(emulator);
    }
    let output = command
        .output()
        .expect("python3 (3.11 or newer, with venv) is needed for the tests with real clients");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    println!("{stdout}");
}

#[test]
fn a_real_client_runs_unchanged_and_our_rows_are_a_superset_of_its_rows() {
    interop(&[]);
}
