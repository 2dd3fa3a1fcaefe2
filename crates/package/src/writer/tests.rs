//! Tests of writing, with the disk failing at every place.

use overlock_core::WriteMode;
use tempfile::TempDir;

use super::*;
use crate::fs::{Op, attach};
use crate::replay::{Fault, Recorder, Step};
use crate::sample::{Row, Sample, batch, row, rows_of, shelf, state, temp_dir};
use crate::verify;

fn rows(range: std::ops::Range<i64>) -> Vec<Row> {
    range.map(|id| row(id, 1, &format!("note {id}"))).collect()
}

fn sample() -> Sample {
    Sample::new(None, WriteMode::Merge)
}

fn create(work: &TempDir, settings: Settings) -> Writer {
    let sample = sample();
    Writer::create(
        &shelf(work.path(), &sample.key),
        sample.new_package(),
        settings,
    )
    .unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    fs::list(dir)
        .unwrap()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

fn read(package: &Package) -> Vec<Row> {
    let batches: Vec<_> = crate::read(package).unwrap().map(Result::unwrap).collect();
    rows_of(&batches)
}

#[test]
fn what_is_written_is_read() {
    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    writer.write(&batch(&rows(0..10))).unwrap();
    writer.write(&batch(&[])).unwrap();
    writer.add_extra_values(3);
    writer.write(&batch(&rows(10..25))).unwrap();
    assert_eq!(writer.pending_rows(), 25);
    assert!(writer.pending_bytes() > 0);
    let package = writer.seal(Some(state(25)), true, Some(25)).unwrap();
    assert_eq!(names(&package.dir), ["manifest.json", "part-00001.parquet"]);
    assert_eq!(manifest::load(&package.dir).unwrap(), package);
    let found = &package.manifest;
    assert_eq!(
        (found.rows(), found.rows_read, found.rows_reported),
        (25, 25, Some(25))
    );
    assert_eq!(
        (found.extra_values, found.sealed, found.complete),
        (3, true, true)
    );
    assert_eq!(found.state, Some(state(25)));
    verify(&package).unwrap();
    assert_eq!(read(&package), rows(0..25));
    let schema = crate::read(&package)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .schema();
    assert_eq!(schema.fields(), sample().schema.fields());
}

#[test]
fn files_roll_by_size_and_exist_only_once_listed() {
    let work = temp_dir();
    let mut writer = create(
        &work,
        Settings {
            file_bytes: 1,
            ..Settings::default()
        },
    );
    writer.write(&batch(&rows(0..5))).unwrap();
    writer.write(&batch(&rows(5..9))).unwrap();
    assert_eq!(manifest::load(writer.dir()).unwrap().manifest.files, []);
    assert_eq!(writer.pending_rows(), 9);
    writer.checkpoint(Some(state(9))).unwrap();
    assert_eq!((writer.pending_rows(), writer.pending_bytes()), (0, 0));
    let listed = manifest::load(writer.dir()).unwrap().manifest;
    assert_eq!(listed, *writer.manifest());
    assert_eq!(
        listed
            .files
            .iter()
            .map(|part| part.rows)
            .collect::<Vec<_>>(),
        [5, 4]
    );
    writer.write(&batch(&rows(9..12))).unwrap();
    let package = writer.seal(Some(state(12)), false, None).unwrap();
    assert_eq!(package.manifest.files.len(), 3);
    assert_eq!(read(&package), rows(0..12));
}

#[test]
fn row_groups_end_by_rows_and_by_bytes() {
    let work = temp_dir();
    for (settings, expected) in [
        (
            Settings {
                row_group_rows: 10,
                ..Settings::default()
            },
            3,
        ),
        (
            Settings {
                row_group_bytes: 1,
                ..Settings::default()
            },
            5,
        ),
        (Settings::default(), 1),
    ] {
        let mut writer = create(&work, settings);
        for start in (0..25).step_by(5) {
            writer.write(&batch(&rows(start..start + 5))).unwrap();
        }
        let package = writer.seal(None, true, None).unwrap();
        let info = crate::file_info(&package.dir.join("part-00001.parquet")).unwrap();
        assert_eq!((info.rows, info.row_groups), (25, expected));
        assert_eq!(read(&package), rows(0..25));
    }
}

#[test]
fn rows_that_compress_well_share_a_row_group_however_wide_they_are() {
    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    let text = "wide ".repeat(2_000);
    let wide =
        |range: std::ops::Range<i64>| -> Vec<Row> { range.map(|id| row(id, 1, &text)).collect() };
    // 40 MB of rows, of which little is left once they are encoded.
    for start in (0..4_000).step_by(500) {
        writer.write(&batch(&wide(start..start + 500))).unwrap();
    }
    let package = writer.seal(None, true, None).unwrap();
    let info = crate::file_info(&package.dir.join("part-00001.parquet")).unwrap();
    assert_eq!((info.rows, info.row_groups), (4_000, 1));
}

#[test]
fn a_batch_of_wide_rows_reaches_the_encoder_in_slices() {
    assert_eq!(slice_rows(8192, 1000), 8192);
    assert_eq!(slice_rows(8192, SLICE_BYTES * 4), 2048);
    assert_eq!(slice_rows(3, usize::MAX), 1);
    assert_eq!(slice_rows(0, 0), 1);
    let work = temp_dir();
    let text = "x".repeat(SLICE_BYTES / 2);
    let wide: Vec<Row> = (0..5).map(|id| row(id, 1, &text)).collect();
    let mut writer = create(
        &work,
        Settings {
            row_group_bytes: 1,
            ..Settings::default()
        },
    );
    writer.write(&batch(&wide)).unwrap();
    let package = writer.seal(None, true, None).unwrap();
    let info = crate::file_info(&package.dir.join("part-00001.parquet")).unwrap();
    assert!(info.row_groups >= 3, "{} row groups", info.row_groups);
    assert_eq!(read(&package), wide);
}

#[test]
fn a_rollback_forgets_what_no_checkpoint_covers() {
    let work = temp_dir();
    let mut writer = create(
        &work,
        Settings {
            file_bytes: 1,
            ..Settings::default()
        },
    );
    writer.write(&batch(&rows(0..5))).unwrap();
    writer.checkpoint(Some(state(5))).unwrap();
    let before = writer.manifest().clone();
    writer.write(&batch(&rows(100..105))).unwrap();
    writer.add_extra_values(9);
    writer.settings.file_bytes = u64::MAX;
    writer.write(&batch(&rows(200..205))).unwrap();
    writer.rollback().unwrap();
    assert_eq!((writer.pending_rows(), writer.pending_bytes()), (0, 0));
    assert_eq!(*writer.manifest(), before);
    assert_eq!(names(writer.dir()), ["manifest.json", "part-00001.parquet"]);
    writer.write(&batch(&rows(5..8))).unwrap();
    let package = writer.seal(Some(state(8)), true, None).unwrap();
    assert_eq!(read(&package), rows(0..8));
    assert_eq!(package.manifest.extra_values, 0);
    assert_eq!(
        package.manifest.files[1].name, "part-00004.parquet",
        "a name is used once"
    );
}

#[test]
fn an_open_package_is_continued() {
    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    writer.write(&batch(&rows(0..5))).unwrap();
    writer.checkpoint(Some(state(5))).unwrap();
    writer.write(&batch(&rows(5..6))).unwrap();
    let package = writer.into_open().unwrap();
    assert_eq!(package.manifest.state, Some(state(5)));
    let mut writer = Writer::reopen(package, Settings::default()).unwrap();
    writer.write(&batch(&rows(5..9))).unwrap();
    let package = writer.seal(Some(state(9)), true, None).unwrap();
    assert_eq!(read(&package), rows(0..9));
    assert!(Writer::reopen(package, Settings::default()).is_err());
}

#[test]
fn a_checkpoint_without_news_writes_nothing() {
    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    writer.write(&batch(&rows(0..5))).unwrap();
    writer.checkpoint(Some(state(5))).unwrap();
    let recorder = Recorder::start(work.path());
    writer.checkpoint(Some(state(5))).unwrap();
    assert_eq!(recorder.steps(), []);
    writer.checkpoint(Some(state(6))).unwrap();
    assert_eq!(
        manifest::load(writer.dir()).unwrap().manifest.state,
        Some(state(6))
    );
}

#[test]
fn rows_of_another_schema_are_refused() {
    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    let other = batch(&rows(0..1)).project(&[0, 1, 2]).unwrap();
    assert_eq!(writer.write(&other).unwrap_err().kind(), ErrorKind::Bug);
}

#[cfg(unix)]
#[test]
fn files_and_folders_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let work = temp_dir();
    let package = sample().seal(work.path(), &rows(0..1));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&package.dir), 0o700);
    assert_eq!(mode(package.dir.parent().unwrap()), 0o700);
    assert_eq!(mode(&package.dir.join("manifest.json")), 0o600);
    assert_eq!(mode(&package.dir.join("part-00001.parquet")), 0o600);
}

/// Runs a package through with a fault after each number of operations; returns how many there were.
fn with_fault_everywhere(errno: i32, matches: fn(&Op<'_>) -> bool) -> u64 {
    for operations in 0..200 {
        let work = temp_dir();
        let mut writer = create(
            &work,
            Settings {
                file_bytes: 1,
                ..Settings::default()
            },
        );
        writer.write(&batch(&rows(0..5))).unwrap();
        writer.checkpoint(Some(state(5))).unwrap();
        let before = writer.manifest().clone();
        let fault = Fault::new(errno, matches, Some(operations));
        let guard = attach(work.path(), fault.clone());
        let attempt = |writer: &mut Writer| {
            writer.write(&batch(&rows(5..7)))?;
            writer.settings.file_bytes = u64::MAX;
            writer.write(&batch(&rows(7..9)))?;
            writer.checkpoint(Some(state(9)))
        };
        let outcome = attempt(&mut writer);
        fault.set(None);
        let Err(error) = outcome else {
            return operations;
        };
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
        assert!(error.get("path").is_some());
        if errno == rustix::io::Errno::NOSPC.raw_os_error() {
            assert!(
                error.hint_text().unwrap().contains("free space"),
                "{error:?}"
            );
        }
        // On disk is the last checkpoint, or all of it if only the folder's sync failed.
        let stored = manifest::load(writer.dir()).unwrap();
        verify(&stored).unwrap();
        assert!(stored.manifest == before || stored.manifest.state == Some(state(9)));
        // The same process goes on after a rollback, and reads again from its own last checkpoint.
        writer.rollback().unwrap();
        assert_eq!(*writer.manifest(), before);
        writer.write(&batch(&rows(5..9))).unwrap();
        let package = writer.seal(Some(state(9)), true, None).unwrap();
        assert_eq!(read(&package), rows(0..9), "after {operations}");
        assert!(
            !names(&package.dir)
                .iter()
                .any(|name| fs::temporary(Path::new("")) == Path::new(name))
        );
        drop(guard);
    }
    panic!("it never got through");
}

#[test]
fn a_full_disk_costs_only_what_no_checkpoint_covers() {
    // covers: K1
    assert!(with_fault_everywhere(rustix::io::Errno::NOSPC.raw_os_error(), |_| true) > 12);
    with_fault_everywhere(rustix::io::Errno::DQUOT.raw_os_error(), |op| {
        matches!(op, Op::Write(..))
    });
}

#[test]
fn a_read_only_disk_names_the_path() {
    // covers: K2
    for errno in [
        rustix::io::Errno::ROFS,
        rustix::io::Errno::ACCESS,
        rustix::io::Errno::MFILE,
    ] {
        let is_create = |op: &Op<'_>| matches!(op, Op::Create(_));
        assert!(with_fault_everywhere(errno.raw_os_error(), is_create) > 1);
    }
}

#[test]
fn a_file_whose_fsync_failed_is_dead() {
    // covers: K3
    let errno = rustix::io::Errno::IO.raw_os_error();
    with_fault_everywhere(errno, |op| matches!(op, Op::Write(..)));
    with_fault_everywhere(errno, |op| matches!(op, Op::Sync(_) | Op::SyncDir(_)));

    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    writer.write(&batch(&rows(0..5))).unwrap();
    {
        let fault = Fault::new(errno, |op| matches!(op, Op::Sync(_)), Some(0));
        let _guard = attach(work.path(), fault);
        assert_eq!(
            writer.checkpoint(Some(state(5))).unwrap_err().kind(),
            ErrorKind::Io
        );
    }
    assert_eq!(
        names(writer.dir()),
        ["manifest.json"],
        "the dead file is gone"
    );
    let recorder = Recorder::start(work.path());
    assert!(
        writer.checkpoint(Some(state(5))).is_err(),
        "its rows are gone: no second fsync"
    );
    assert!(writer.write(&batch(&rows(0..5))).is_err());
    assert!(
        !recorder
            .steps()
            .iter()
            .any(|step| matches!(step, Step::Sync(_)))
    );
    writer.rollback().unwrap();
    writer.write(&batch(&rows(0..5))).unwrap();
    let package = writer.seal(Some(state(5)), true, None).unwrap();
    assert_eq!(read(&package), rows(0..5));
}

#[test]
fn a_folder_that_vanishes_is_an_error() {
    // covers: R11
    let work = temp_dir();
    let mut writer = create(&work, Settings::default());
    std::fs::remove_dir_all(writer.dir()).unwrap();
    let error = writer.write(&batch(&rows(0..1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
}

#[test]
fn a_writer_moves_to_its_own_thread() {
    fn is_send<T: Send>(_: &T) {}
    let work = temp_dir();
    is_send(&create(&work, Settings::default()));
}
