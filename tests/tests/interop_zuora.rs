//! A Zuora client that no one here wrote, unchanged, on the emulated tenant, and its rows beside the tenant's world and
//! beside ours.

use assert_cmd::cargo::cargo_bin;
use overlock_tests::interop;

#[test]
fn a_real_client_runs_unchanged_and_our_rows_are_a_superset_of_its_rows() {
    let said = interop::run("zuora_run.py", &cargo_bin("examples/emulator_zuora"));
    println!("{said}");
}
