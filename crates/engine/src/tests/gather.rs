//! Where a commit costs money, those of a run go together.

use std::sync::atomic::Ordering;
use std::time::Duration;

use overlock_core::StreamStatus;

use super::script::{Act, Desk, Script, page};
use super::world::Kind;

/// Streams that need so many seconds for their one page.
fn script(seconds: &[(&str, u64)]) -> (Script, Vec<&'static str>) {
    let names: Vec<&'static str> = ["A", "B", "C", "D"]
        .into_iter()
        .take(seconds.len())
        .collect();
    let streams = names.iter().map(|name| Kind::Merge.stream(name)).collect();
    let mut script = Script::new(streams);
    for (name, seconds) in seconds {
        let act = Act::Sleep(Duration::from_secs(*seconds));
        script = script.reads(name, vec![vec![act, page(0..1, 1)]]);
    }
    (script, names)
}

fn desk(is_costly: bool) -> Desk {
    let mut desk = Desk::new();
    desk.options.max_concurrent_streams = 2;
    desk.place.is_costly.store(is_costly, Ordering::SeqCst);
    desk
}

/// When each stream was committed.
fn seconds(desk: &Desk) -> Vec<(String, u64)> {
    let mut committed = desk.place.committed.lock().unwrap().clone();
    committed.sort();
    committed
}

fn expected(seconds: &[(&str, u64)]) -> Vec<(String, u64)> {
    let owned = |(name, second): &(&str, u64)| ((*name).to_owned(), *second);
    seconds.iter().map(owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_warehouse_is_woken_once_a_folder_gets_rows_at_once() {
    for (is_costly, wanted) in [
        (false, [("A", 1), ("B", 5), ("C", 8), ("D", 6)]),
        (true, [("A", 8), ("B", 8), ("C", 8), ("D", 8)]),
    ] {
        let desk = desk(is_costly);
        let (script, names) = script(&[("A", 1), ("B", 5), ("C", 7), ("D", 1)]);
        let (report, script) = desk.run_streams(script, &names).await;
        assert!(report.is_ok());
        assert_eq!(seconds(&desk), expected(&wanted));
        assert_eq!(script.most_open_reads.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_do_not_wait_longer_than_a_package_may_be_open() {
    let mut desk = desk(true);
    desk.options.seal_after = Duration::from_secs(60);
    let (script, names) = script(&[("A", 1), ("B", 5), ("C", 1_000)]);
    let (report, _) = desk.run_streams(script, &names).await;
    assert!(report.is_ok());
    // C begins when A has read; B waits no longer than A.
    let wanted = [("A", 61), ("B", 61), ("C", 1_001)];
    assert_eq!(seconds(&desk), expected(&wanted));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_asked_to_stop_does_not_wait() {
    let desk = desk(true);
    let (mut script, names) = script(&[("A", 1), ("B", 5), ("C", 1_000)]);
    script = script.reads(
        "B",
        vec![vec![Act::Sleep(Duration::from_secs(5)), Act::Stop]],
    );
    let (report, _) = desk.run_streams(script, &names).await;
    assert_eq!(report.streams[0].status, StreamStatus::Ok);
    assert_eq!(seconds(&desk), expected(&[("A", 5)]));
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_the_middle_of_a_read_takes_the_others_along() {
    let mut desk = desk(true);
    desk.options.seal_rows = 2;
    let (mut script, names) = script(&[("A", 1), ("B", 1)]);
    let sleep = |seconds| Act::Sleep(Duration::from_secs(seconds));
    script = script.reads(
        "B",
        vec![vec![sleep(9), page(0..2, 2), sleep(50), page(2..3, 3)]],
    );
    let (report, _) = desk.run_streams(script, &names).await;
    assert!(report.is_ok());
    let wanted = [("A", 9), ("B", 9), ("B", 59)];
    assert_eq!(seconds(&desk), expected(&wanted));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_keeps_nobody_waiting() {
    let desk = desk(true);
    let (mut script, names) = script(&[("A", 1), ("B", 1)]);
    let fail = Act::Fail(overlock_core::ErrorKind::Permission);
    script = script.reads("B", vec![vec![Act::Sleep(Duration::from_secs(7)), fail]]);
    let (report, _) = desk.run_streams(script, &names).await;
    assert_eq!(report.streams[1].status, StreamStatus::Failed);
    assert_eq!(seconds(&desk), expected(&[("A", 7)]));
}
