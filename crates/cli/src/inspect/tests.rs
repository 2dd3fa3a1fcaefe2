//! The whole command on small tables and hostile files.

use std::path::Path;

use overlock_core::{ErrorKind, Result};
use overlock_local::View;

use super::export::{self, ExportForm};
use super::samples::Project;
use overlock_local::Rows;

use super::target::{self, Target};
use super::verbs::{commits, files, rows, schema};
use super::{ViewName, Which, stats};
use crate::args::Format;

fn project() -> Project {
    let project = Project::new();
    project.replace(&[("a", Some("1")), ("b", Some("2"))]);
    project.replace(&[("a", Some("1")), ("b", Some("3")), ("c", None)]);
    project
}

fn put(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::File::create(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

fn current(project: &Project) -> Rows {
    Rows::Table(project.table(), View::Current)
}

#[test]
fn commits_are_found_by_id_beginning_and_distance() {
    let project = project();
    let table = project.table();
    let ids: Vec<_> = table.commits().iter().map(|info| info.commit.id).collect();
    assert_eq!(target::commit(&table, "head").unwrap(), ids[1]);
    assert_eq!(target::commit(&table, "head~1").unwrap(), ids[0]);
    assert_eq!(
        target::commit(&table, &ids[0].to_string().to_lowercase()).unwrap(),
        ids[0]
    );
    for bad in [
        "head~2",
        "head~x",
        "headx",
        "0",
        "zzzzzz",
        "head~99999999999999999999",
    ] {
        let error = target::commit(&table, bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
    }
}

#[test]
fn a_folder_is_a_table_or_a_folder_of_tables() {
    let project = project();
    let root = project.dir.path().join("sfdc");
    assert!(
        matches!(target::open(&root.join("Account")).unwrap(), Target::Table(name, _) if name == "Account")
    );
    assert!(matches!(target::open(&root).unwrap(), Target::Folder(tables) if tables.len() == 1));
    let empty = project.dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(
        target::open(&empty).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn hostile_files_are_errors_and_never_a_panic_or_a_wait() {
    // covers: I25
    let project = project();
    let dir = project.dir.path();
    let table = project.table();
    let info = &table.commits()[0];
    let good = info.package.dir.join(&info.package.manifest.files[0].name);
    let bytes = std::fs::read(&good).unwrap();
    let look = |path: &Path| -> Result<u64> {
        let Target::File(path) = target::open(path)? else {
            return Ok(0);
        };
        let rows = Rows::File(path);
        rows.schema()?;
        stats::collect(&rows, None)?;
        rows.count()
    };
    assert_eq!(look(&good).unwrap(), 2);
    let file = dir.join("hostile.parquet");
    let mut cases: Vec<Vec<u8>> = (0..bytes.len())
        .step_by(7)
        .map(|end| bytes[..end].to_vec())
        .collect();
    cases.push(b"PAR1".repeat(1_000));
    cases.push(
        [
            b"PAR1".as_slice(),
            &[0xff; 4_096],
            &u32::MAX.to_le_bytes(),
            b"PAR1",
        ]
        .concat(),
    );
    for case in &cases {
        put(&file, case);
        look(&file).unwrap_err();
    }
    // Flipped bits may go unnoticed by the format, but never panic.
    for position in (0..bytes.len()).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        put(&file, &flipped);
        look(&file).ok();
    }
    let fifo = dir.join("fifo.parquet");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    if made.is_ok_and(|status| status.success()) {
        assert_eq!(look(&fifo).unwrap_err().kind(), ErrorKind::Config);
    }
    assert_eq!(
        look(Path::new("/dev/null")).unwrap_err().kind(),
        ErrorKind::Config
    );
}

#[test]
fn an_export_holds_the_rows_it_was_asked_for() {
    let project = project();
    let columns = ["Id".to_owned(), "Name".to_owned()];
    let mut text = Vec::new();
    let count = export::text(
        &current(&project),
        Some(&columns),
        ExportForm::Csv,
        &mut text,
    )
    .unwrap();
    assert_eq!(
        (count, String::from_utf8(text).unwrap().as_str()),
        (3, "Id,Name\na,1\nb,3\nc,\n")
    );

    let path = project.dir.path().join("out.parquet");
    assert_eq!(
        export::parquet(&current(&project), Some(&columns), &path).unwrap(),
        3
    );
    let back = Rows::File(path.clone());
    assert_eq!(back.count().unwrap(), 3);
    let mut text = Vec::new();
    export::text(&back, None, ExportForm::Jsonl, &mut text).unwrap();
    assert!(text.starts_with(b"{\"Id\":\"a\",\"Name\":\"1\"}\n"));

    let path = project.dir.path().join("out.csv");
    assert_eq!(
        export::file(&current(&project), None, ExportForm::Csv, &path).unwrap(),
        3
    );
    let left: Vec<_> = std::fs::read_dir(project.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("export") || name.ends_with("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let nothing = ["Nme".to_owned()];
    let error = export::file(
        &current(&project),
        Some(&nothing),
        ExportForm::Csv,
        &project.dir.path().join("x"),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_reader_that_goes_away_ends_an_export_quietly() {
    // covers: R6
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    for form in [ExportForm::Csv, ExportForm::Jsonl] {
        assert_eq!(
            export::text(&current(&project()), None, form, &mut Gone).unwrap(),
            0
        );
    }
}

#[test]
fn listings_name_what_is_committed() {
    let project = project();
    let target = Target::Table("Account".to_owned(), project.table());
    let text = schema(&target).unwrap().render(Format::Csv);
    assert_eq!(
        text,
        "column,type,key\nId,text,primary\nName,text,\n_extra,json,"
    );
    assert_eq!(files(&target).unwrap().to_json().len(), 2);
    let shown = commits(&project.table(), Format::Json).to_json();
    assert_eq!(
        (&shown[0]["rows"], &shown[1]["rows"], &shown[1]["mode"]),
        (&2.into(), &3.into(), &"replace".into())
    );
    let Ok(which) = rows(
        &target,
        &Which {
            view: ViewName::All,
            as_of: None,
        },
    ) else {
        panic!()
    };
    assert_eq!(which.count().unwrap(), 5);
}
