//! Rows R, K and T of the fault matrix on the real binary: signals, second starts, broken disks, damaged
//! packages; each with its exit code, and exact after the next clean run.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use overlock_sandbox::{Fault, Match};
use overlock_tests::house::files;
use overlock_tests::lab::{Lab, Outcome, binary, signal};
use rustix::process::Signal;

/// Several pages, files and packages.
fn lab() -> Lab {
    Lab::new(11, &["Account"])
        .source("max_records = 10")
        .source("rest_below_rows = 0")
        .run_setting("file_every = \"1ms\"")
        .run_setting("seal_rows = 25")
}

/// Starts a run that hangs in the middle of its result pages.
fn hanging(lab: &Lab) -> Child {
    lab.sandbox
        .faults()
        .add(Match::path("*/results").nth(2), Fault::Delay { ms: 600 });
    lab.sandbox.faults().add(
        Match::path("*/results").nth(2).times(50),
        Fault::Delay { ms: 300 },
    );
    let child = lab
        .run_command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while lab
        .sandbox
        .requests()
        .iter()
        .filter(|r| r.path.ends_with("/results"))
        .count()
        < 2
    {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the run never reached its pages"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn end(child: Child) -> Outcome {
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: begun.elapsed(),
    }
}

#[test]
fn r2_a_stop_signal_ends_at_a_state_and_the_next_run_goes_on() {
    // covers: R2
    for (stop, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let lab = lab();
        let child = hanging(&lab);
        signal(child.id(), stop);
        let outcome = end(child).expect(code);
        assert!(outcome.took < Duration::from_secs(12), "{:?}", outcome.took);
        lab.sandbox.faults().clear();
        lab.settle_and_judge();
    }
}

#[test]
fn r3_a_second_signal_ends_at_once() {
    // covers: R3
    let lab = lab();
    let child = hanging(&lab);
    signal(child.id(), Signal::INT);
    std::thread::sleep(Duration::from_millis(50));
    signal(child.id(), Signal::INT);
    let outcome = end(child);
    assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
    assert!(
        matches!(outcome.code, Some(130) | None),
        "{:?}",
        outcome.code
    );
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn r4_a_panic_in_a_task_is_exit_1_and_loses_nothing() {
    // covers: R4
    for point in [
        "S3.after_page",
        "P4.part_written",
        "P6.before_seal",
        "P7.before_commit",
    ] {
        let lab = lab();
        let outcome = lab.run_armed(&format!("{point}=panic")).expect(1);
        assert!(outcome.stderr.contains("crash point"), "{}", outcome.stderr);
        lab.settle_and_judge();
    }
}

#[test]
fn r5_a_run_that_slept_goes_on() {
    // covers: R5
    let lab = lab();
    let child = hanging(&lab);
    signal(child.id(), Signal::STOP);
    std::thread::sleep(Duration::from_secs(2));
    signal(child.id(), Signal::CONT);
    lab.sandbox.faults().clear();
    end(child).expect(0);
    lab.settle_and_judge();
}

#[test]
fn r7_a_closed_stderr_does_not_stop_a_run() {
    // covers: R7
    let lab = lab();
    let script = format!("exec '{}' run crm 2>&-", binary().display());
    let outcome = lab.finish(in_shell(&lab, &script));
    outcome.expect(0);
    let script = format!("exec '{}' run crm -vvv 2>/dev/full", binary().display());
    lab.finish(in_shell(&lab, &script)).expect(0);
    lab.settle_and_judge();
}

#[test]
fn r6_a_closed_stdout_is_quiet() {
    // covers: R6
    let lab = lab();
    lab.run().expect(0);
    let script = format!(
        "'{}' inspect crm.Account head -n 100000 --format csv | head -n 1; exit ${{PIPESTATUS[0]}}",
        binary().display()
    );
    let outcome = lab.finish(in_shell(&lab, &script)).expect(0);
    assert_eq!(outcome.stderr, "");
}

/// The same environment, in a shell.
fn in_shell(lab: &Lab, script: &str) -> Command {
    let template = lab.command(&[]);
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .current_dir(lab.project.path())
        .env_clear()
        .stdin(Stdio::null());
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

#[test]
fn r8_a_second_start_is_busy_within_a_second_and_names_the_holder() {
    // covers: R8
    let lab = lab();
    let child = hanging(&lab);
    let outcome = lab.run().expect(7);
    assert!(outcome.took < Duration::from_secs(1), "{:?}", outcome.took);
    assert!(
        outcome.stderr.contains(&child.id().to_string()),
        "{}",
        outcome.stderr
    );
    assert_eq!(end(child).code, Some(0));
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn r9_the_lock_of_a_dead_process_is_taken_over() {
    // covers: R9
    let lab = lab();
    let child = hanging(&lab);
    overlock_tests::lab::kill(child.id());
    assert_eq!(end(child).code, None);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn r11_a_work_folder_that_vanishes_is_an_error_of_the_disk() {
    // covers: R11
    let lab = Lab::new(11, &["Contact"])
        .source("rest_below_rows = 0")
        .run_setting("file_every = \"1ms\"");
    let child = hanging(&lab);
    let work = lab.project.path().join(".overlock");
    let begun = Instant::now();
    while files(&work, "parquet").is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "no file was ever written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    // The run may put a new file into a folder that is just being emptied.
    while std::fs::remove_dir_all(&work).is_err() && work.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the folder cannot be removed"
        );
    }
    let outcome = end(child).expect(6);
    assert!(outcome.stderr.contains(".overlock"), "{}", outcome.stderr);
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}

#[test]
fn k1_a_full_disk_leaves_the_head_where_it_was() {
    // covers: K1
    let lab = lab();
    lab.run().expect(0);
    let commits = lab.commits("Account");
    lab.sandbox.clock().advance(Duration::from_secs(1));
    lab.advance(Duration::from_secs(20 * 86_400));
    // A limit on the size of files fails a write in the middle just as a full disk does, and needs no rights.
    let script = format!(
        "trap '' XFSZ; ulimit -f 4; exec '{}' run crm",
        binary().display()
    );
    let outcome = lab.finish(in_shell(&lab, &script)).expect(6);
    assert_eq!(lab.commits("Account"), commits);
    assert!(
        outcome.stderr.contains("error") && !outcome.stderr.contains("panicked"),
        "{}",
        outcome.stderr
    );
    lab.settle_and_judge();
}

#[test]
fn k1_a_full_file_system_leaves_the_head_where_it_was() {
    // covers: K1
    let lab = lab();
    lab.run().expect(0);
    let commits = lab.commits("Account");
    lab.advance(Duration::from_secs(20 * 86_400));
    let work = lab.project.path().join(".overlock");
    let script = format!(
        "mount -t tmpfs -o size=40k,mode=0700 none '{}' && exec '{}' run crm",
        work.display(),
        binary().display()
    );
    let mut command = Command::new("unshare");
    let template = in_shell(&lab, &script);
    command
        .args(["-r", "-m", "bash", "-c", &script])
        .current_dir(lab.project.path())
        .env_clear()
        .stdin(Stdio::null());
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let may_mount = Command::new("unshare")
        .args(["-r", "-m", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: this machine lets nobody mount a small file system; the file size limit stands in for it"
        );
        return;
    }
    let outcome = lab.finish(command).expect(6);
    assert!(
        outcome.stderr.contains("No space left"),
        "{}",
        outcome.stderr
    );
    assert_eq!(lab.commits("Account"), commits);
    lab.settle_and_judge();
}

#[test]
fn k2_a_work_folder_that_is_a_file_and_too_few_handles_are_plain_errors() {
    // covers: K2
    let lab = lab();
    let work = lab.project.path().join(".overlock");
    overwrite(&work, b"I am a file");
    let outcome = lab.run();
    assert!(
        matches!(outcome.code, Some(2 | 6)),
        "{:?} {}",
        outcome.code,
        outcome.stderr
    );
    assert!(outcome.stderr.contains(".overlock"), "{}", outcome.stderr);
    std::fs::remove_file(&work).unwrap();
    let script = format!("ulimit -n 9; exec '{}' run crm", binary().display());
    let outcome = lab.finish(in_shell(&lab, &script));
    assert!(
        matches!(outcome.code, Some(1 | 5 | 6)),
        "{:?} {}",
        outcome.code,
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    lab.settle_and_judge();
}

/// Manifests of packages that wait in the work folder.
fn manifests(lab: &Lab) -> Vec<PathBuf> {
    let mut found = files(&lab.project.path().join(".overlock/crm"), "json");
    found.retain(|path| path.file_name().is_some_and(|name| name == "manifest.json"));
    found
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test damages a file on purpose"
)]
fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// Leaves a package in the work folder by a crash, damages it, and expects a warning and an exact table.
fn damaged(crash: &str, damage: impl Fn(&Path)) {
    let lab = lab();
    assert_eq!(lab.run_armed(crash).code, None, "{crash}");
    let left = manifests(&lab);
    assert!(!left.is_empty(), "no package was left by {crash}");
    for manifest in &left {
        damage(manifest);
    }
    let outcome = lab.run().expect(0);
    assert!(
        outcome.stderr.contains("corrupt"),
        "no warning:\n{}",
        outcome.stderr
    );
    let kept = std::fs::read_dir(lab.project.path().join(".overlock/crm/Account")).unwrap();
    assert!(
        kept.flatten()
            .any(|entry| entry.file_name().to_string_lossy().ends_with(".corrupt")),
        "the damaged package is kept for the operator"
    );
    lab.settle_and_judge();
}

#[test]
fn k4_a_torn_or_empty_manifest_is_put_aside_and_read_again() {
    // covers: K4
    damaged("P5.after_folder_fsync:2", |manifest| {
        let text = std::fs::read(manifest).unwrap();
        overwrite(manifest, &text[..text.len() / 2]);
    });
    damaged("P6.after_seal", |manifest| overwrite(manifest, b""));
}

#[test]
fn t2_a_manifest_edited_by_hand_is_put_aside() {
    // covers: T2
    damaged("P6.after_seal", |manifest| {
        let text = std::fs::read_to_string(manifest).unwrap();
        overwrite(
            manifest,
            text.replace("\"sealed\":true", "\"sealed\":false")
                .as_bytes(),
        );
    });
}

#[test]
fn k5_a_flipped_bit_a_cut_and_a_swap_of_parts_are_noticed() {
    // covers: K5
    let parts = |manifest: &Path| {
        let parts = files(manifest.parent().unwrap(), "parquet");
        assert!(!parts.is_empty());
        parts
    };
    damaged("P6.after_seal", |manifest| {
        let part = &parts(manifest)[0];
        let mut bytes = std::fs::read(part).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        overwrite(part, &bytes);
    });
    damaged("P6.after_seal", |manifest| {
        let part = &parts(manifest)[0];
        let bytes = std::fs::read(part).unwrap();
        overwrite(part, &bytes[..bytes.len() - 10]);
    });
    damaged("P6.after_seal", |manifest| {
        let parts = parts(manifest);
        assert!(parts.len() >= 2, "{parts:?}");
        let aside = parts[0].with_extension("aside");
        std::fs::rename(&parts[0], &aside).unwrap();
        std::fs::rename(&parts[1], &parts[0]).unwrap();
        std::fs::rename(&aside, &parts[1]).unwrap();
    });
}

#[test]
fn k6_leftovers_and_unknown_files_do_no_harm() {
    // covers: K6
    let lab = lab();
    assert_eq!(lab.run_armed("P6.after_seal").code, None);
    let shelf = lab.project.path().join(".overlock/crm/Account");
    overwrite(&shelf.join("manifest.json.tmp"), b"half");
    overwrite(&shelf.join("notes.txt"), b"mine");
    std::fs::create_dir(shelf.join("something else")).unwrap();
    lab.settle_and_judge();
    assert!(shelf.join("notes.txt").exists(), "what is not ours stays");
}

#[test]
fn k7_a_work_folder_behind_a_link_is_refused() {
    // covers: K7
    let lab = lab();
    lab.run().expect(0);
    let stream = lab.project.path().join(".overlock/crm/Account");
    let elsewhere = lab.project.path().join("elsewhere");
    std::fs::rename(&stream, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &stream).unwrap();
    lab.advance(Duration::from_secs(86_400));
    let outcome = lab.run().expect(2);
    assert!(outcome.stderr.contains("Account"), "{}", outcome.stderr);
    std::fs::remove_file(&stream).unwrap();
    lab.settle_and_judge();
}

#[test]
fn t1_packages_off_the_chain_are_deleted() {
    // covers: T1
    let lab = lab();
    assert_eq!(lab.run_armed("P6.after_seal").code, None);
    // Another machine reads and commits the same rows first.
    let aside = lab.project.path().join("aside");
    let shelf = lab.project.path().join(".overlock/crm/Account");
    std::fs::rename(&shelf, &aside).unwrap();
    lab.run().expect(0);
    std::fs::remove_dir_all(&shelf).unwrap();
    std::fs::rename(&aside, &shelf).unwrap();
    let commits = lab.commits("Account");
    lab.run().expect(0);
    assert_eq!(&lab.commits("Account")[..commits.len()], commits);
    assert!(manifests(&lab).is_empty(), "{:?}", manifests(&lab));
    lab.settle_and_judge();
}

#[test]
fn t5_a_package_of_another_stream_is_ignored() {
    // covers: T5
    let lab = Lab::new(11, &["Account", "Contact"])
        .source("rest_below_rows = 0")
        .source("max_records = 10");
    assert_eq!(lab.run_armed("P6.after_seal").code, None);
    let manifest = manifests(&lab).pop().unwrap();
    let package = manifest.parent().unwrap();
    let own = package
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let other = if own == "Account" {
        "Contact"
    } else {
        "Account"
    };
    let target = lab.project.path().join(".overlock/crm").join(other);
    std::fs::create_dir_all(&target).unwrap();
    std::fs::rename(package, target.join(package.file_name().unwrap())).unwrap();
    lab.run().expect(0);
    lab.settle_and_judge();
}

#[test]
fn t3_a_state_that_nobody_understands_is_never_a_fresh_start() {
    // covers: T3
    let lab = lab();
    lab.run().expect(0);
    let commits = lab.commits("Account");
    // A newer overlock wrote the head: same manifest, another version in its state.
    let mut manifests = files(&lab.table_dir("Account"), "json");
    manifests.retain(|path| path.file_name().is_some_and(|name| name == "manifest.json"));
    for manifest in manifests {
        let text = std::fs::read_to_string(&manifest).unwrap();
        overlock_tests::lab::rewrite_manifest(&manifest, &text.replace("\"v\":1", "\"v\":99"));
    }
    let outcome = lab.run().expect(2);
    assert!(outcome.stderr.contains("99"), "{}", outcome.stderr);
    assert_eq!(lab.commits("Account"), commits);
}

#[test]
fn sealed_packages_are_committed_without_a_call_to_the_source() {
    // covers: R1
    let lab = lab();
    assert_eq!(lab.run_armed("P6.after_seal").code, None);
    assert!(lab.commits("Account").is_empty());
    let calls = lab.calls();
    lab.sandbox.faults().add(Match::path("*"), Fault::Reset);
    let outcome = lab.run().expect(5);
    assert_eq!(lab.commits("Account").len(), 1, "{}", outcome.stderr);
    assert!(lab.calls() > calls, "the run did not go on to the source");
    lab.sandbox.faults().clear();
    lab.settle_and_judge();
}
