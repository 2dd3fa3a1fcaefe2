//! Clients that no one here wrote: their runners are Python and make their own virtual environments below
//! `target/interop`, from pinned requirements.

use std::path::Path;
use std::process::Command;

use crate::house::root;
use crate::lab::binary;

/// Runs the checks of `tests/interop/RUNNER`, whose emulator is an example of a connector, if it is built already.
pub fn run(runner: &str, emulator: &Path) -> String {
    let mut command = Command::new("python3");
    command
        .arg(root().join("tests/interop").join(runner))
        .arg("--overlock")
        .arg(binary());
    // `cargo test --workspace` has built the example; without it the runner asks cargo for it.
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
    stdout.into_owned()
}
