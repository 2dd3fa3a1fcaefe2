//! Zendesk clients that no one here wrote, unchanged, on the emulated account, and their rows beside its world and
//! beside ours.

use assert_cmd::cargo::cargo_bin;
use overlock_tests::interop;

#[test]
fn real_clients_run_unchanged_and_our_rows_are_a_superset_of_theirs() {
    let said = interop::run("zendesk_run.py", &cargo_bin("examples/emulator_zendesk"));
    println!("{said}");
}
