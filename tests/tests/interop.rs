//! Clients that no one here wrote, unchanged, on the emulator, and their rows beside ours.
//!
//! The Python side makes its own virtual environments below `target/interop`, from pinned requirements.

use std::process::Command;

use overlock_tests::house::root;
use overlock_tests::lab::binary;

/// Runs some checks of `tests/interop/run.py`.
fn interop(arguments: &[&str]) {
    let output = Command::new("python3")
        .arg(root().join("tests/interop/run.py"))
        .arg("--overlock")
        .arg(binary())
        .args(arguments)
        .output()
        .expect("python3 (3.11 or newer, with venv) is needed for the tests with real clients");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    println!("{stdout}");
}

#[test]
fn real_clients_run_unchanged_and_our_rows_are_a_superset_of_theirs() {
    interop(&[]);
}
