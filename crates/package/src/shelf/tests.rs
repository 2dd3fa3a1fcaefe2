//! Tests of what a crash, a power loss, a bad disk or a person may leave on a shelf.

use std::io::Write as _;

use overlock_core::{SourceName, StreamName, WriteMode};

use super::*;
use crate::replay::{Recorder, power_loss};
use crate::sample::{self, Row, Sample, batch, key, row, rows_of, state, temp_dir};
use crate::{Settings, Writer};

fn rows(range: std::ops::Range<i64>) -> Vec<Row> {
    range.map(|id| row(id, 1, &format!("note {id}"))).collect()
}

fn read(package: &Package) -> Vec<Row> {
    let batches: Vec<_> = crate::read(package).unwrap().map(Result::unwrap).collect();
    rows_of(&batches)
}

/// A sealed package on each of the last's shoulders, then an open one with a checkpoint.
fn three(work: &Path) -> [Package; 3] {
    let one = Sample::new(None, WriteMode::Merge).seal(work, &rows(0..2));
    let two = Sample::new(Some(one.manifest.id), WriteMode::Merge).seal(work, &rows(2..4));
    let mut writer = Sample::new(Some(two.manifest.id), WriteMode::Merge).create(work);
    writer.write(&batch(&rows(4..6))).unwrap();
    writer.checkpoint(Some(state(6))).unwrap();
    writer.write(&batch(&rows(6..8))).unwrap();
    let open = Package {
        dir: writer.dir().to_owned(),
        manifest: writer.manifest().clone(),
    };
    [one, two, open]
}

fn recover(work: &Path, head: Option<CommitId>) -> Recovered {
    sample::shelf(work, &key()).recover(&key(), head).unwrap()
}

fn entries(work: &Path) -> Vec<String> {
    let dir = sample::shelf(work, &key()).dir().to_owned();
    fs::list(&dir)
        .unwrap()
        .unwrap_or_default()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[test]
fn an_empty_or_missing_shelf_is_fine() {
    let work = temp_dir();
    assert_eq!(recover(work.path(), None), Recovered::default());
}

#[test]
fn the_chain_from_the_head_is_found_in_order() {
    let work = temp_dir();
    let [one, two, open] = three(work.path());
    let found = recover(work.path(), None);
    assert_eq!(found.sealed, [one, two]);
    assert_eq!(found.open, Some(open.clone()));
    assert_eq!(found.warnings, [""; 0]);
    let left: Vec<_> = fs::list(&open.dir)
        .unwrap()
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(
        left,
        ["manifest.json", "part-00001.parquet"],
        "the unfinished part is gone"
    );
    // What was read after the checkpoint is read again, and nothing else.
    let mut writer = Writer::reopen(open, Settings::default()).unwrap();
    writer.write(&batch(&rows(6..8))).unwrap();
    assert_eq!(
        read(&writer.seal(Some(state(8)), true, None).unwrap()),
        rows(4..8)
    );
}

#[test]
fn what_is_committed_goes_and_what_follows_stays() {
    let work = temp_dir();
    let [one, two, open] = three(work.path());
    let found = recover(work.path(), Some(one.manifest.id));
    assert_eq!(
        (found.sealed, found.open),
        (vec![two.clone()], Some(open.clone()))
    );
    assert!(!one.dir.exists());
    let found = recover(work.path(), Some(two.manifest.id));
    assert_eq!((found.sealed, found.open), (vec![], Some(open)));
}

#[test]
fn a_head_from_elsewhere_makes_all_orphans() {
    // covers: T1, W13
    let work = temp_dir();
    three(work.path());
    let found = recover(work.path(), Some(CommitId::generate()));
    assert_eq!(found, Recovered::default());
    assert_eq!(entries(work.path()), [""; 0]);
}

#[test]
fn of_two_children_the_sealed_one_is_kept() {
    let work = temp_dir();
    let sealed = Sample::new(None, WriteMode::Merge).seal(work.path(), &rows(0..1));
    let open = Sample::new(None, WriteMode::Merge)
        .create(work.path())
        .into_open()
        .unwrap();
    let found = recover(work.path(), None);
    assert_eq!((found.sealed, found.open), (vec![sealed], None));
    assert!(!open.dir.exists());
}

#[test]
fn a_torn_manifest_is_put_aside_once() {
    // covers: K4, T2
    for cut in [0, 1, 100] {
        let work = temp_dir();
        let [one, two, _] = three(work.path());
        let path = two.dir.join("manifest.json");
        let bytes = std::fs::read(&path).unwrap();
        overwrite(&path, &bytes[..cut]);
        let found = recover(work.path(), None);
        assert_eq!((found.sealed, found.open), (vec![one.clone()], None));
        let aside = two.dir.with_extension("corrupt");
        assert_eq!(found.quarantined, std::slice::from_ref(&aside));
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
        assert!(found.warnings[0].contains(aside.to_str().unwrap()));
        let again = recover(work.path(), None);
        assert_eq!((again.sealed, again.warnings.len()), (vec![one], 0));
        assert!(aside.is_dir(), "kept for a person");
    }
    // Edited by hand.
    let work = temp_dir();
    let [one, ..] = three(work.path());
    let path = one.dir.join("manifest.json");
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    overwrite(
        &path,
        text.replace("\"complete\":true", "\"complete\":false")
            .as_bytes(),
    );
    let found = recover(work.path(), None);
    assert_eq!((found.sealed.len(), found.quarantined.len()), (0, 1));
}

/// A name, and what is done to a file.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_damaged_part_is_never_handed_on() {
    // covers: K5
    let damage: [Damage; 4] = [
        ("cut", |path| {
            let bytes = std::fs::read(path).unwrap();
            overwrite(path, &bytes[..bytes.len() - 1]);
        }),
        ("flipped", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            overwrite(path, &bytes);
        }),
        ("missing", |path| std::fs::remove_file(path).unwrap()),
        ("another", |path| {
            let work = temp_dir();
            let other = Sample::new(None, WriteMode::Merge).seal(work.path(), &rows(7..9));
            std::fs::copy(other.dir.join("part-00001.parquet"), path).unwrap();
        }),
    ];
    for (what, damage) in damage {
        for damaged in 0..3 {
            let work = temp_dir();
            let packages = three(work.path());
            damage(&packages[damaged].dir.join("part-00001.parquet"));
            let found = recover(work.path(), None);
            assert_eq!(found.sealed, packages[..damaged.min(2)], "{what} {damaged}");
            assert_eq!(found.open, None, "{what} {damaged}");
            assert_eq!((found.quarantined.len(), found.warnings.len()), (1, 1));
            // The next run makes a new package on what is left, and later finds only that.
            let parent = found.sealed.last().map(|package| package.manifest.id);
            let next = Sample::new(parent, WriteMode::Merge).seal(work.path(), &rows(0..1));
            assert_eq!(recover(work.path(), None).sealed.last(), Some(&next));
        }
    }
}

#[test]
fn leftovers_go_and_strangers_stay() {
    // covers: K6
    let work = temp_dir();
    let [one, _, open] = three(work.path());
    let dir = one.dir.parent().unwrap();
    overwrite(&dir.join("head.tmp"), b"x");
    overwrite(&dir.join("notes.txt"), b"mine");
    overwrite(&one.dir.join("README"), b"mine");
    overwrite(&open.dir.join("part-00009.parquet"), b"never listed");
    overwrite(&open.dir.join("manifest.json.tmp"), b"torn");
    std::fs::create_dir(dir.join("backup")).unwrap();
    let killed = dir.join(CommitId::generate().to_string());
    std::fs::create_dir(&killed).unwrap();
    let trash = dir
        .join(CommitId::generate().to_string())
        .with_extension("trash");
    std::fs::create_dir(&trash).unwrap();
    overwrite(&trash.join("part-00001.parquet"), b"half gone");
    let newer = dir.join(CommitId::generate().to_string());
    std::fs::create_dir(&newer).unwrap();
    let body = br#"{"format":2,"x":1"#;
    let text = format!(",\"crc32\":\"{:08x}\"}}\n", crc32fast::hash(body));
    overwrite(
        &newer.join("manifest.json"),
        &[&body[..], text.as_bytes()].concat(),
    );

    let found = recover(work.path(), None);
    assert_eq!((found.sealed.len(), found.open.is_some()), (2, true));
    for gone in [
        dir.join("head.tmp"),
        killed,
        trash,
        open.dir.join("part-00009.parquet"),
    ] {
        assert!(!gone.exists(), "{gone:?}");
    }
    for stays in [
        dir.join("notes.txt"),
        dir.join("backup"),
        one.dir.join("README"),
        newer,
    ] {
        assert!(stays.exists(), "{stays:?}");
    }
    assert_eq!(found.warnings.len(), 3, "{:#?}", found.warnings);
    assert!(
        found
            .warnings
            .iter()
            .any(|text| text.contains("backup, notes.txt"))
    );
    assert!(found.warnings.iter().any(|text| text.contains("README")));
    assert!(found.warnings.iter().any(|text| text.contains("format 2")));
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_refused_and_what_they_point_to_stays() {
    // covers: K7
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let refused = |work: &Path| {
        let error = sample::shelf(work, &key())
            .recover(&key(), None)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(error.get("path").is_some() && error.hint_text().is_some());
    };
    let elsewhere = temp_dir();
    let victim = Sample::new(None, WriteMode::Merge).seal(elsewhere.path(), &rows(0..1));

    // The shelf itself.
    let work = temp_dir();
    let shelf = sample::shelf(work.path(), &key()).dir().to_owned();
    std::fs::create_dir_all(shelf.parent().unwrap()).unwrap();
    symlink(victim.dir.parent().unwrap(), &shelf).unwrap();
    refused(work.path());
    let create = Writer::create(
        &Shelf::new(&shelf),
        Sample::new(None, WriteMode::Merge).new_package(),
        Settings::default(),
    );
    assert_eq!(create.unwrap_err().kind(), ErrorKind::Config);

    // A package, a manifest, a part.
    for inner in ["", "manifest.json", "part-00001.parquet"] {
        let work = temp_dir();
        let [one, ..] = three(work.path());
        let (link, target) = match inner {
            "" => (one.dir.clone(), victim.dir.clone()),
            name => (one.dir.join(name), victim.dir.join(name)),
        };
        std::fs::rename(&link, work.path().join("moved")).unwrap();
        symlink(target, link).unwrap();
        refused(work.path());
    }
    assert_eq!(read(&victim), rows(0..1));

    // A folder that others may write.
    let work = temp_dir();
    three(work.path());
    let shelf = sample::shelf(work.path(), &key()).dir().to_owned();
    std::fs::set_permissions(&shelf, std::fs::Permissions::from_mode(0o777)).unwrap();
    refused(work.path());
}

#[test]
fn a_package_of_another_stream_is_left_alone() {
    // covers: T5
    let work = temp_dir();
    let [one, ..] = three(work.path());
    let stream = StreamName::new("users").unwrap();
    let other = SyncKey::new(SourceName::new("support").unwrap(), stream);
    let foreign = Sample {
        key: other.clone(),
        ..Sample::new(None, WriteMode::Merge)
    };
    let foreign = foreign.seal(work.path(), &rows(50..51));
    let copied = one
        .dir
        .parent()
        .unwrap()
        .join(foreign.dir.file_name().unwrap());
    std::fs::rename(&foreign.dir, &copied).unwrap();
    // A copy of our own under another name is not ours either: ids are used once.
    let renamed = one
        .dir
        .parent()
        .unwrap()
        .join(CommitId::generate().to_string());
    std::fs::create_dir(&renamed).unwrap();
    std::fs::copy(one.dir.join("manifest.json"), renamed.join("manifest.json")).unwrap();
    let found = recover(work.path(), None);
    assert_eq!(found.sealed.first(), Some(&one));
    assert_eq!(found.sealed.len(), 2);
    assert_eq!(found.warnings.len(), 2, "{:#?}", found.warnings);
    assert!(
        found
            .warnings
            .iter()
            .any(|text| text.contains("support.users"))
    );
    assert!(copied.exists() && renamed.exists());
}

#[test]
fn removing_twice_is_removing_once() {
    let work = temp_dir();
    let package = Sample::new(None, WriteMode::Merge).seal(work.path(), &rows(0..1));
    crate::remove(&package).unwrap();
    crate::remove(&package).unwrap();
    assert_eq!(entries(work.path()), [""; 0]);
}

/// What the destination's head and the durable promise were once so many steps were done.
struct Promise {
    steps: usize,
    head: Option<CommitId>,
    cursor: i64,
}

/// Rows below the cursor of the state; the first package has 0..9, the second goes on from there.
fn check_recovered(found: &Recovered, head: Option<CommitId>, first: CommitId) -> i64 {
    let mut cursor = if head == Some(first) { 9 } else { 0 };
    for package in found.sealed.iter().chain(&found.open) {
        let Some(state) = &package.manifest.state else {
            assert_eq!(package.manifest.rows(), 0);
            continue;
        };
        let after = state.as_json()["cursor"].as_i64().unwrap();
        assert_eq!(
            read(package),
            rows(cursor..after),
            "rows and state disagree"
        );
        cursor = after;
    }
    cursor
}

#[test]
fn after_a_power_loss_at_any_moment_no_row_is_wrong_and_no_promise_broken() {
    // covers: R1, I25
    let origin = temp_dir();
    let recorder = Recorder::start(origin.path());
    let mut promises = Vec::new();
    let mut promise = |head, cursor| {
        promises.push(Promise {
            steps: recorder.steps().len(),
            head,
            cursor,
        });
    };
    promise(None, 0);
    let small = Settings {
        file_bytes: 1,
        ..Settings::default()
    };
    let shelf = sample::shelf(origin.path(), &key());
    let new = Sample::new(None, WriteMode::Merge).new_package();
    let mut writer = Writer::create(&shelf, new, small).unwrap();
    let first = writer.manifest().id;
    writer.write(&batch(&rows(0..2))).unwrap();
    writer.write(&batch(&rows(2..4))).unwrap();
    writer.checkpoint(Some(state(4))).unwrap();
    promise(None, 4);
    writer.write(&batch(&rows(70..75))).unwrap();
    writer.rollback().unwrap();
    writer.write(&batch(&rows(4..7))).unwrap();
    writer.checkpoint(Some(state(7))).unwrap();
    promise(None, 7);
    writer.write(&batch(&rows(7..9))).unwrap();
    let sealed = writer.seal(Some(state(9)), false, None).unwrap();
    promise(None, 9);
    let mut writer = Sample::new(Some(first), WriteMode::Merge).create(origin.path());
    writer.write(&batch(&rows(9..12))).unwrap();
    writer.checkpoint(Some(state(12))).unwrap();
    promise(None, 12);
    // Here the destination has the first package, durably; then it is removed.
    promise(Some(first), 12);
    crate::remove(&sealed).unwrap();
    let mut writer = Writer::reopen(writer.into_open().unwrap(), Settings::default()).unwrap();
    writer.write(&batch(&rows(12..13))).unwrap();
    writer.seal(Some(state(13)), true, None).unwrap();
    promise(Some(first), 13);

    let steps = recorder.steps();
    drop(recorder);
    assert!(steps.len() > 60, "{} steps", steps.len());
    let mut lost = 0;
    for count in 0..=steps.len() {
        let kept = promises
            .iter()
            .rev()
            .find(|promise| promise.steps <= count)
            .unwrap();
        for seed in 0..24 {
            let disk = temp_dir();
            power_loss(&steps[..count], disk.path(), seed * 1000 + count as u64);
            let shelf = sample::shelf(disk.path(), &key());
            if shelf.dir().exists() {
                // The rebuilt folders have the mode of the test's umask.
                private(shelf.dir());
            }
            let found = shelf.recover(&key(), kept.head).unwrap();
            let cursor = check_recovered(&found, kept.head, first);
            assert!(
                cursor >= kept.cursor,
                "{cursor} after {count} steps, seed {seed}"
            );
            assert_eq!(
                found.quarantined.len(),
                0,
                "after {count} steps, seed {seed}: {found:?}"
            );
            lost += usize::from(cursor < 13);
            // A second look finds the same, and nothing more to say.
            let again = shelf.recover(&key(), kept.head).unwrap();
            assert_eq!((again.sealed, again.open), (found.sealed, found.open));
            assert_eq!(again.warnings, [""; 0]);
        }
    }
    assert!(lost > 0, "the model loses nothing: it proves nothing");
}

#[cfg(unix)]
fn private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::list(dir).unwrap().unwrap() {
        if entry.metadata.is_dir() {
            private(&entry.path);
        }
    }
}
#[cfg(not(unix))]
fn private(_: &Path) {}
