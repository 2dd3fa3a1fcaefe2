//! One fault at a time, on disk and with time that stands still unless everybody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use overlock_core::{Destination as _, ErrorKind, Event, StreamStatus, WriteMode};
use tokio::time::Instant;

use super::script::{Act, Desk, Script, Trouble, page};
use super::support::key;
use super::world::{Kind, state};
use crate::pipeline::ReadMode;
use crate::record::{Record, Status};
use crate::reset::{Reset, reset};
use crate::stop::StopReason;

fn kind(summary: &overlock_core::StreamSummary) -> Option<ErrorKind> {
    summary.error.as_ref().map(|error| error.kind)
}

fn packages(desk: &Desk) -> usize {
    let shelf = desk.dir.path().join("work/crm/Account");
    std::fs::read_dir(shelf).map_or(0, Iterator::count)
}

#[tokio::test(start_paused = true)]
async fn a_run_reads_writes_commits_and_leaves_a_record() {
    let desk = Desk::new();
    let (summary, report, script) = desk
        .run(Script::account(vec![vec![page(0..3, 3), page(3..5, 5)]]))
        .await;
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(summary.status, StreamStatus::Ok);
    assert_eq!(
        (summary.rows_read, summary.rows_committed, summary.commits),
        (5, 5, 1)
    );
    assert_eq!(desk.table("Account"), [0, 1, 2, 3, 4]);
    assert_eq!(script.begun(), [None]);
    assert_eq!(packages(&desk), 0);
    let head = desk.place.head(&key("Account")).await.unwrap().unwrap();
    assert_eq!(
        (head.state, head.complete, Some(head.id)),
        (Some(state(5)), true, summary.head)
    );

    let path = desk.dir.path().join("work/runs/01RUN/run.json");
    let record: Record = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((record.status, record.exit_code), (Status::Ok, Some(0)));
    assert_eq!(record.streams[0], summary);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let events = desk.events.lock().unwrap();
    assert!(matches!(events.first(), Some(Event::RunStarted { .. })));
    assert!(matches!(
        events.last(),
        Some(Event::RunFinished { exit_code: 0, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_committed_unless_rows_or_the_state_are_new() {
    let desk = Desk::new();
    desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    let (again, ..) = desk.run(Script::account(vec![vec![page(3..3, 3)]])).await;
    assert_eq!((again.status, again.commits), (StreamStatus::Empty, 0));
    let (moved, _, script) = desk.run(Script::account(vec![vec![page(3..3, 4)]])).await;
    assert_eq!((moved.status, moved.commits), (StreamStatus::Empty, 1));
    assert_eq!(script.begun(), [Some(state(3))]);
    assert_eq!(desk.table("Account"), [0, 1, 2]);
}

// covers: L9
#[tokio::test(start_paused = true)]
async fn an_expired_state_drops_the_open_package_and_reads_again_from_head() {
    let mut desk = Desk::new();
    desk.options.checkpoint_after = Duration::ZERO;
    desk.run(Script::account(vec![vec![page(0..2, 2)]])).await;
    desk.trouble(Some(Trouble::Defect));
    // The next run dies with an open package at state 4.
    desk.run(Script::account(vec![vec![page(2..4, 4), Act::Panic]]))
        .await;
    desk.trouble(None);
    let reads = vec![
        vec![Act::Fail(ErrorKind::StateExpired)],
        vec![page(2..6, 6)],
    ];
    let (summary, report, script) = desk.run(Script::account(reads)).await;
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(script.begun(), [Some(state(4)), Some(state(2))]);
    assert_eq!((summary.rows_read, summary.rows_committed), (4, 4));
    assert_eq!(desk.table("Account"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(desk.codes(), ["W0303"]);
}

#[tokio::test(start_paused = true)]
async fn damaged_rows_are_thrown_away_and_read_again() {
    let desk = Desk::new();
    let reads = vec![
        vec![
            page(0..2, 2),
            Act::Page(90..99, None),
            Act::Fail(ErrorKind::Data),
        ],
        vec![page(0..2, 2), page(2..4, 4)],
    ];
    let (summary, _, script) = desk.run(Script::account(reads)).await;
    assert_eq!(summary.status, StreamStatus::Ok);
    assert_eq!((summary.rows_read, summary.rows_committed), (4, 4));
    assert_eq!(script.begun().len(), 2);
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
}

// covers: N6, N19
#[tokio::test(start_paused = true)]
async fn data_that_never_adds_up_fails_the_stream_and_nothing_of_it_is_kept() {
    let desk = Desk::new();
    let read = vec![
        page(0..2, 2),
        Act::Page(90..99, None),
        Act::Fail(ErrorKind::Data),
    ];
    let (summary, _, script) = desk
        .run(Script::account(vec![
            read.clone(),
            read.clone(),
            read.clone(),
            read,
        ]))
        .await;
    assert_eq!(
        (summary.status, kind(&summary)),
        (StreamStatus::Failed, Some(ErrorKind::Data))
    );
    assert_eq!(script.begun().len(), 3);
    assert_eq!(
        (
            summary.rows_read,
            desk.table("Account").len(),
            packages(&desk)
        ),
        (0, 0, 0)
    );
}

// covers: L16, N9
#[tokio::test(start_paused = true)]
async fn a_used_up_quota_stops_at_the_last_state_and_keeps_it() {
    let desk = Desk::new();
    let reads = vec![vec![
        page(0..2, 2),
        page(2..4, 4),
        Act::Fail(ErrorKind::RateLimited),
    ]];
    let (summary, ..) = desk.run(Script::account(reads)).await;
    assert_eq!(
        (summary.status, kind(&summary)),
        (StreamStatus::Stopped, Some(ErrorKind::RateLimited))
    );
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
    let (_, _, script) = desk.run(Script::account(vec![vec![page(4..5, 5)]])).await;
    assert_eq!(script.begun(), [Some(state(4))]);
    assert_eq!(desk.table("Account"), [0, 1, 2, 3, 4]);
}

// covers: R2
#[tokio::test(start_paused = true)]
async fn a_stop_takes_effect_at_the_next_state_and_commits_what_it_covers() {
    let desk = Desk::new();
    let reads = vec![vec![
        Act::Page(0..2, None),
        Act::Stop,
        page(2..4, 4),
        Act::Stall,
    ]];
    let began = Instant::now();
    let (summary, report, _) = desk.run(Script::account(reads)).await;
    assert_eq!(
        (summary.status, kind(&summary)),
        (StreamStatus::Stopped, Some(ErrorKind::Cancelled))
    );
    assert_eq!(report.stopped, Some(StopReason::Interrupt));
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
    assert!(began.elapsed() < Duration::from_secs(1));
    let head = desk.place.head(&key("Account")).await.unwrap().unwrap();
    assert!(!head.complete);
}

// covers: R2
#[tokio::test(start_paused = true)]
async fn after_the_grace_time_what_is_not_finished_is_left_for_the_next_run() {
    let desk = Desk::new();
    let reads = vec![vec![
        page(0..2, 2),
        Act::Page(2..3, None),
        Act::Stop,
        Act::Stall,
    ]];
    let began = Instant::now();
    let (summary, ..) = desk.run(Script::account(reads)).await;
    assert_eq!(kind(&summary), Some(ErrorKind::Cancelled));
    assert_eq!(began.elapsed().as_secs(), 10);
    assert!(desk.table("Account").is_empty());
    let (next, ..) = desk.run(Script::account(vec![vec![page(0..4, 4)]])).await;
    assert_eq!(next.status, StreamStatus::Ok);
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
}

// covers: R3
#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_the_run_at_once() {
    let desk = Desk::new();
    let reads = vec![vec![
        page(0..2, 2),
        Act::Page(2..3, None),
        Act::Stop,
        Act::Stop,
        Act::Stall,
    ]];
    let began = Instant::now();
    let (summary, ..) = desk.run(Script::account(reads)).await;
    assert_eq!(kind(&summary), Some(ErrorKind::Cancelled));
    assert!(began.elapsed() < Duration::from_secs(1));
}

// covers: R5, R10
#[tokio::test(start_paused = true)]
async fn the_time_limit_is_a_stop_by_the_monotonic_clock() {
    let mut desk = Desk::new();
    desk.options.timeout = Some(Duration::from_secs(60));
    let slow = (0..100).flat_map(|i| {
        [
            Act::Sleep(Duration::from_secs(7)),
            page(i..i + 1, usize::try_from(i).unwrap() + 1),
        ]
    });
    let began = Instant::now();
    let (summary, report, _) = desk.run(Script::account(vec![slow.collect()])).await;
    assert_eq!(report.stopped, Some(StopReason::Timeout));
    assert_eq!(summary.status, StreamStatus::Stopped);
    assert_eq!(desk.table("Account").len(), 8);
    assert!(began.elapsed() < Duration::from_secs(71));
}

// covers: R4
#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_stream_and_asks_for_a_report_with_the_run_id() {
    super::hush();
    let desk = Desk::new();
    let script = Script::new(vec![
        Kind::Merge.stream("Account"),
        Kind::Merge.stream("Lead"),
    ])
    .reads("Account", vec![vec![page(0..2, 2), Act::Panic]])
    .reads("Lead", vec![vec![page(0..2, 2)]]);
    let (report, _) = desk.run_streams(script, &["Account", "Lead"]).await;
    let [account, lead] = &report.streams[..] else {
        panic!()
    };
    let error = account.error.as_ref().unwrap();
    assert_eq!((error.kind, account.head), (ErrorKind::Bug, None));
    assert!(
        error
            .context
            .contains(&("run".to_owned(), "01RUN".to_owned()))
    );
    assert!(error.hint.as_ref().unwrap().contains("report"));
    assert_eq!(lead.status, StreamStatus::Ok);
    assert!(desk.table("Account").is_empty());

    desk.trouble(Some(Trouble::Defect));
    let (summary, ..) = desk.run(Script::account(vec![vec![page(0..2, 2)]])).await;
    assert_eq!(kind(&summary), Some(ErrorKind::Bug));
    desk.trouble(None);
    let (summary, ..) = desk.run(Script::account(vec![])).await;
    assert_eq!(summary.status, StreamStatus::Ok);
    assert_eq!(desk.table("Account"), [0, 1]);
}

// covers: N13, N14
#[tokio::test(start_paused = true)]
async fn a_refused_stream_does_not_stop_the_others() {
    let desk = Desk::new();
    let streams = || vec![Kind::Merge.stream("Account"), Kind::Merge.stream("Lead")];
    let script = Script::new(streams())
        .reads("Account", vec![vec![Act::Fail(ErrorKind::Permission)]])
        .reads("Lead", vec![vec![page(0..2, 2)]]);
    let (report, _) = desk.run_streams(script, &["Account", "Lead"]).await;
    assert_eq!(kind(&report.streams[0]), Some(ErrorKind::Permission));
    assert_eq!(report.streams[1].status, StreamStatus::Ok);
    assert!(report.error.is_none() && !report.is_ok());

    let mut script = Script::new(streams());
    script.discover_fails = Some(ErrorKind::Auth);
    let (report, _) = desk.run_streams(script, &["Account", "Lead"]).await;
    assert_eq!(report.error.unwrap().kind(), ErrorKind::Auth);
    assert!(
        report
            .streams
            .iter()
            .all(|summary| kind(summary) == Some(ErrorKind::Auth))
    );
}

// covers: N15
#[tokio::test(start_paused = true)]
async fn a_vanished_stream_fails_alone_but_a_misspelt_one_stops_the_run_before_it_reads() {
    let desk = Desk::new();
    desk.run(Script::account(vec![vec![page(0..2, 2)]])).await;
    let lead =
        || Script::new(vec![Kind::Merge.stream("Lead")]).reads("Lead", vec![vec![page(0..2, 2)]]);
    let (report, _) = desk.run_streams(lead(), &["Account", "Lead"]).await;
    assert_eq!(kind(&report.streams[0]), Some(ErrorKind::NotFound));
    assert_eq!(report.streams[1].status, StreamStatus::Ok);

    let (report, script) = desk.run_streams(lead(), &["Lead", "Acount"]).await;
    assert_eq!(report.error.unwrap().kind(), ErrorKind::Config);
    assert!(script.begun().is_empty());

    let mut script = lead();
    script.unavailable = vec![("Quote".to_owned(), "the user may not see it".to_owned())];
    let (report, _) = desk.run_streams(script, &["Lead", "Quote"]).await;
    assert_eq!(kind(&report.streams[1]), Some(ErrorKind::Permission));

    // What the account has not bought is no failure, unless it was there before.
    let mut script = lead();
    script.lacking = vec![
        ("Quote".to_owned(), "not in this plan".to_owned()),
        ("Account".to_owned(), "not in this plan".to_owned()),
    ];
    let (report, _) = desk
        .run_streams(script, &["Lead", "Quote", "Account"])
        .await;
    assert_eq!(report.streams[1].status, StreamStatus::Skipped);
    assert_eq!(kind(&report.streams[1]), None);
    assert_eq!(kind(&report.streams[2]), Some(ErrorKind::Permission));
}

#[tokio::test(start_paused = true)]
async fn fail_fast_stops_the_other_streams_at_their_next_state() {
    let mut desk = Desk::new();
    desk.options.fail_fast = true;
    let long = (0..50).flat_map(|i| {
        [
            Act::Sleep(Duration::from_secs(1)),
            page(i..i + 1, usize::try_from(i).unwrap() + 1),
        ]
    });
    let script = Script::new(vec![
        Kind::Merge.stream("Account"),
        Kind::Merge.stream("Lead"),
    ])
    .reads(
        "Account",
        vec![vec![
            Act::Sleep(Duration::from_secs(3)),
            Act::Fail(ErrorKind::Permission),
        ]],
    )
    .reads("Lead", vec![long.collect()]);
    let (report, _) = desk.run_streams(script, &["Account", "Lead"]).await;
    assert_eq!(report.stopped, Some(StopReason::FailFast));
    assert_eq!(report.streams[1].status, StreamStatus::Stopped);
    assert!((1..6).contains(&desk.table("Lead").len()));
}

#[tokio::test(start_paused = true)]
async fn streams_run_side_by_side_up_to_the_limit() {
    let mut desk = Desk::new();
    desk.options.max_concurrent_streams = 2;
    let names = ["A", "B", "C", "D", "E"];
    let mut script = Script::new(names.map(|name| Kind::Merge.stream(name)).to_vec());
    for name in names {
        script = script.reads(
            name,
            vec![vec![Act::Sleep(Duration::from_secs(5)), page(0..1, 1)]],
        );
    }
    let began = Instant::now();
    let (report, script) = desk.run_streams(script, &names).await;
    assert!(report.is_ok());
    assert_eq!(script.most_open_reads.load(Ordering::SeqCst), 2);
    assert_eq!(began.elapsed().as_secs(), 15);
    let order: Vec<_> = report
        .streams
        .iter()
        .map(|summary| summary.stream.as_str())
        .collect();
    assert_eq!(order, names);
}

// covers: W6
#[tokio::test(start_paused = true)]
async fn sealed_packages_are_committed_without_a_call_to_the_source() {
    let desk = Desk::new();
    desk.trouble(Some(Trouble::Down));
    let (summary, ..) = desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    assert_eq!(
        (summary.status, kind(&summary)),
        (StreamStatus::Failed, Some(ErrorKind::Destination))
    );
    assert_eq!(desk.place.attempts.load(Ordering::SeqCst), 3);
    assert_eq!(packages(&desk), 1);
    desk.trouble(None);
    let mut script = Script::account(vec![]);
    script.discover_fails = Some(ErrorKind::Unavailable);
    let (summary, _, script) = desk.run(script).await;
    assert!(script.begun().is_empty());
    assert_eq!(
        (summary.rows_committed, kind(&summary)),
        (3, Some(ErrorKind::Unavailable))
    );
    assert_eq!(desk.table("Account"), [0, 1, 2]);
    assert!(desk.events.lock().unwrap().iter().any(|event| matches!(
        event,
        Event::Committed {
            recovered: true,
            ..
        }
    )));
}

// covers: W7
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_settled_by_the_head() {
    let desk = Desk::new();
    desk.trouble(Some(Trouble::Mute));
    let (summary, ..) = desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    assert_eq!((summary.status, summary.commits), (StreamStatus::Ok, 1));
    assert_eq!(desk.place.attempts.load(Ordering::SeqCst), 1);
    assert_eq!(desk.table("Account"), [0, 1, 2]);
}

// covers: L13
#[tokio::test(start_paused = true)]
async fn nothing_does_not_replace_something_and_the_next_read_may_heal_it() {
    let mut desk = Desk::new();
    desk.settings.write_mode = Some(WriteMode::Replace);
    let script =
        |reads| Script::new(vec![Kind::ReplaceKeyless.stream("Account")]).reads("Account", reads);
    desk.run(script(vec![vec![Act::Page(0..3, None)]])).await;
    let (summary, ..) = desk.run(script(vec![vec![]])).await;
    assert_eq!(kind(&summary), Some(ErrorKind::Schema));
    assert_eq!(desk.table("Account"), [0, 1, 2]);
    let (summary, ..) = desk.run(script(vec![vec![Act::Page(0..4, None)]])).await;
    assert_eq!(summary.status, StreamStatus::Ok, "{summary:?}");
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_full_refresh_goes_on_and_shows_nothing_before_its_end() {
    let mut desk = Desk::new();
    desk.options.checkpoint_after = Duration::ZERO;
    desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    desk.options.full_refresh = true;
    let reads = vec![vec![page(10..12, 12), Act::Fail(ErrorKind::Unavailable)]];
    let (summary, _, script) = desk.run(Script::account(reads)).await;
    assert_eq!(
        (script.begun(), kind(&summary)),
        (vec![None], Some(ErrorKind::Unavailable))
    );
    assert_eq!(desk.table("Account"), [0, 1, 2]);
    // Even a run that was not asked for a full refresh finishes it.
    desk.options.full_refresh = false;
    let (summary, _, script) = desk
        .run(Script::account(vec![vec![page(12..14, 14)]]))
        .await;
    assert_eq!(
        (script.begun(), summary.mode),
        (vec![Some(state(12))], WriteMode::Replace)
    );
    assert_eq!(desk.table("Account"), [10, 11, 12, 13]);
    let (_, _, script) = desk
        .run(Script::account(vec![vec![page(14..15, 15)]]))
        .await;
    assert_eq!(script.begun(), [Some(state(14))]);
    assert_eq!(desk.table("Account"), [10, 11, 12, 13, 14]);
}

#[tokio::test(start_paused = true)]
async fn an_open_package_of_other_columns_is_dropped_and_read_again() {
    let mut desk = Desk::new();
    desk.options.checkpoint_after = Duration::ZERO;
    super::hush();
    desk.run(Script::account(vec![vec![page(0..2, 2), Act::Panic]]))
        .await;
    assert_eq!(packages(&desk), 1);
    desk.settings.exclude = vec!["value".to_owned()];
    let narrow = RecordBatch::try_new(
        Arc::new(super::support::schema().project(&[0, 1, 3]).unwrap()),
        vec![
            Arc::new(Int64Array::from(vec![7])),
            Arc::new(Int64Array::from(vec![7])),
            Arc::new(arrow::array::StringArray::from(vec![Some(
                r#"{"a":1,"b":{"c":2}}"#,
            )])),
        ],
    )
    .unwrap();
    let (summary, _, script) = desk
        .run(Script::account(vec![vec![Act::Batch(narrow, Some(3))]]))
        .await;
    assert_eq!(script.begun(), [None]);
    assert_eq!((summary.rows_committed, summary.extra), (1, 2));
    assert_eq!(desk.codes(), ["W0302"]);
}

// covers: T1
#[tokio::test(start_paused = true)]
async fn packages_off_the_chain_are_deleted_when_the_head_is_newer() {
    let desk = Desk::new();
    desk.trouble(Some(Trouble::Down));
    desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    desk.trouble(None);
    // Another machine reads the same and commits first.
    let mut other = Desk::new();
    other.place = Arc::clone(&desk.place);
    other.run(Script::account(vec![vec![page(0..4, 4)]])).await;
    let (summary, _, script) = desk.run(Script::account(vec![vec![page(4..5, 5)]])).await;
    assert_eq!(
        (summary.status, script.begun()),
        (StreamStatus::Ok, vec![Some(state(4))])
    );
    assert_eq!(desk.table("Account"), [0, 1, 2, 3, 4]);
    assert_eq!(packages(&desk), 0);
}

// covers: R8
#[tokio::test(start_paused = true)]
async fn a_second_run_of_the_pipeline_is_told_who_holds_it() {
    let desk = Desk::new();
    let shelves = crate::shelf::Disk {
        work_dir: desk.options.work_dir.clone(),
        dir: desk.options.work_dir.join("crm"),
        settings: overlock_package::Settings::default(),
        lock: crate::LockMode::default(),
        redactor: overlock_core::Redactor::default(),
    };
    let info = overlock_package::LockInfo::new("01FIRST", overlock_core::Timestamp::EPOCH);
    let hold = crate::shelf::Shelves::lock(&shelves, &info).unwrap();
    let (report, script) = desk
        .run_streams(Script::account(vec![]), &["Account"])
        .await;
    let error = report.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.get("pid"),
        Some(std::process::id().to_string().as_str())
    );
    assert!(script.begun().is_empty());
    drop(hold);
    assert!(
        desk.run_streams(Script::account(vec![]), &["Account"])
            .await
            .0
            .is_ok()
    );
}

// covers: R11
#[tokio::test(start_paused = true)]
async fn a_work_folder_that_vanishes_is_an_error_and_the_head_stays() {
    let desk = Desk::new();
    desk.run(Script::account(vec![vec![page(0..2, 2)]])).await;
    let before = desk.place.head(&key("Account")).await.unwrap();
    let work = desk.dir.path().join("work");
    let (summary, ..) = desk
        .run(Script::account(vec![vec![
            Act::Page(2..3, None),
            Act::Sleep(Duration::from_secs(1)),
            Act::Delete(work),
            page(3..4, 4),
        ]]))
        .await;
    assert_eq!(
        (summary.status, kind(&summary)),
        (StreamStatus::Failed, Some(ErrorKind::Io)),
        "{summary:?}"
    );
    assert_eq!(desk.place.head(&key("Account")).await.unwrap(), before);
    let (summary, ..) = desk.run(Script::account(vec![vec![page(2..4, 4)]])).await;
    assert_eq!(summary.status, StreamStatus::Ok);
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_breaks_the_contract_is_a_defect_and_moves_nothing() {
    let desk = Desk::new();
    let (summary, ..) = desk
        .run(Script::account(vec![vec![
            page(0..2, 2),
            Act::Page(2..3, None),
        ]]))
        .await;
    assert_eq!((kind(&summary), summary.head), (Some(ErrorKind::Bug), None));
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let other = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let (summary, ..) = desk
        .run(Script::account(vec![vec![Act::Batch(other, Some(1))]]))
        .await;
    assert_eq!((kind(&summary), summary.head), (Some(ErrorKind::Bug), None));
}

#[tokio::test(start_paused = true)]
async fn a_long_incremental_read_becomes_visible_in_parts_and_a_refresh_does_not() {
    let mut desk = Desk::new();
    desk.options.seal_rows = 2;
    let read = || {
        vec![vec![
            page(0..2, 2),
            page(2..3, 3),
            page(3..5, 5),
            page(5..6, 6),
        ]]
    };
    let (summary, ..) = desk.run(Script::account(read())).await;
    assert_eq!((summary.commits, summary.rows_committed), (3, 6));
    assert_eq!(desk.table("Account").len(), 6);
    desk.settings.read_mode = Some(ReadMode::FullRefresh);
    let (summary, ..) = desk.run(Script::account(read())).await;
    assert_eq!((summary.commits, summary.mode), (1, WriteMode::Replace));
}

#[tokio::test(start_paused = true)]
async fn a_reset_keeps_the_rows_and_the_next_run_reads_from_the_beginning() {
    let desk = Desk::new();
    desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    // Another version of the rows, so that a reader who forgot the key would see them twice.
    desk.run(Script::account(vec![vec![page(1..4, 4)]])).await;
    let what = Reset {
        key: key("Account"),
        source: overlock_core::SourceName::new("sfdc").unwrap(),
        run: "01RESET".to_owned(),
        lock: crate::LockMode::default(),
    };
    let clock = Arc::new(overlock_core::FixedClock(overlock_core::Timestamp::EPOCH));
    let place = Arc::clone(&desk.place);
    let head = reset(&what, place, &desk.options.work_dir, clock)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.state, None);
    assert_eq!(desk.table("Account"), [0, 1, 2, 3]);
    let (summary, _, script) = desk.run(Script::account(vec![vec![page(0..5, 5)]])).await;
    assert_eq!(
        (summary.status, script.begun()),
        (StreamStatus::Ok, vec![None])
    );
    assert_eq!(desk.table("Account"), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_the_catalog_runs_too_if_asked_for() {
    let desk = Desk::new();
    let script = Script::new(
        ["Account", "Lead", "Task"]
            .map(|name| Kind::Merge.stream(name))
            .to_vec(),
    )
    .reads("Account", vec![vec![page(0..1, 1)]])
    .reads("Lead", vec![vec![page(0..2, 2)]])
    .reads("Task", vec![vec![page(0..3, 3)]]);
    let mut pipeline = desk.pipeline(&["Lead"]);
    pipeline.rest = Some(desk.settings.clone());
    let script = Arc::new(script);
    let report = crate::run(
        &pipeline,
        Arc::clone(&script) as _,
        Arc::clone(&desk.place) as _,
        &desk.options,
        &crate::Tally::new(&overlock_core::Events::none()),
        Arc::new(overlock_core::FixedClock(overlock_core::Timestamp::EPOCH)),
        &script.stop,
    )
    .await;
    let rows: Vec<_> = report
        .streams
        .iter()
        .map(|s| (s.stream.as_str(), s.rows_committed))
        .collect();
    assert_eq!(rows, [("Lead", 2), ("Account", 1), ("Task", 3)]);
}
