//! Clients that no one here wrote, unchanged, on the emulator, and their rows beside ours.

use assert_cmd::cargo::cargo_bin;
use overlock_tests::interop;

#[test]
fn real_clients_run_unchanged_and_our_rows_are_a_superset_of_theirs() {
    let said = interop::run("run.py", &cargo_bin("examples/emulator"));
    println!("{said}");
}
