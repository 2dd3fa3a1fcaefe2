//! SQL over committed tables.
#![cfg(feature = "sql")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use overlock_core::{Destination as _, ErrorKind, FixedClock, WriteMode};
use overlock_local::{Local, LocalOptions, Rows, Table, View, sql};
use overlock_package::sample::{self, Sample, row, temp_dir};

async fn world() -> (tempfile::TempDir, Vec<(String, Rows)>) {
    let dir = temp_dir();
    let local = Local::new(
        dir.path().join("data"),
        LocalOptions::default(),
        Arc::new(FixedClock(sample::instant())),
    );
    let mut parent = None;
    for version in 1..4 {
        let rows: Vec<_> = (0..1000)
            .map(|id| row(id, version, if id % 2 == 0 { "open" } else { "closed" }))
            .collect();
        let package = Sample::new(parent, WriteMode::Merge).seal(&dir.path().join("work"), &rows);
        parent = Some(local.commit(&package).await.unwrap().id);
    }
    let table = Table::open(dir.path().join("data/tickets")).unwrap();
    let tables = vec![
        (
            "tickets".to_owned(),
            Rows::Table(table.clone(), View::Current),
        ),
        ("Tickets_history".to_owned(), Rows::Table(table, View::All)),
    ];
    (dir, tables)
}

fn shown(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

#[tokio::test]
async fn queries_see_current_rows_and_history() {
    let (_dir, tables) = world().await;
    let run = async |text: &str| shown(&sql::query(&tables, text).await.unwrap());
    let counts = run("select count(*), count(distinct id), min(version) from tickets").await;
    assert!(counts.contains("| 1000     | 1000"), "{counts}");
    let groups = run("select note, count(*) n from tickets group by note order by note desc").await;
    assert!(groups.contains("| open   | 500 |"), "{groups}");
    let history =
        run("select count(*) n, count(distinct _commit_id) c from \"Tickets_history\"").await;
    assert!(history.contains("| 3000 | 3 |"), "{history}");
    let few = sql::query(&tables, "select * from tickets limit 3")
        .await
        .unwrap();
    assert_eq!(few.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    let joined = run(
        "select count(*) n from tickets t join \"Tickets_history\" h on t.id = h.id and t.version = h.version",
    )
    .await;
    assert!(joined.contains("| 1000 |"), "{joined}");
}

#[tokio::test]
async fn only_queries_run_and_errors_say_whose_fault_it_is() {
    let (dir, tables) = world().await;
    for text in [
        "drop table tickets",
        "create table x as select 1",
        "insert into tickets values (1)",
        "create external table x stored as csv location '/etc/passwd'",
        "copy tickets to '/tmp/x.csv'",
        "set datafusion.execution.batch_size = 1",
        "select nope from tickets",
        "selec",
    ] {
        let error = sql::query(&tables, text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}: {error}");
    }
    let part = dir.path().join("data/tickets/root/part-00001.parquet");
    std::fs::File::options()
        .write(true)
        .open(part)
        .unwrap()
        .set_len(50)
        .unwrap();
    let error = sql::query(&tables, "select count(note) from tickets")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
}
