//! What a run does where the file system has no locks.

use std::sync::Arc;

use overlock_core::{Error, ErrorKind, Events, FixedClock, Result, StreamName, Timestamp};
use overlock_package::LockInfo;

use super::script::{Desk, Script, page};
use crate::record::Record;
use crate::run::{Parts, Report, run_on};
use crate::shelf::{Disk, Hold, LockMode, Shelf, Shelves};
use crate::tally::Tally;

/// The shelves of a desk, on a file system without locks.
struct Lockless(Disk);

impl Shelves for Lockless {
    fn lock(&self, _info: &LockInfo) -> Result<Option<Hold>> {
        match self.0.lock {
            LockMode::Required => Err(Error::new(ErrorKind::Config, "lock")),
            LockMode::HeadOnly => Ok(None),
        }
    }

    fn record(&self, record: &Record) -> Result<()> {
        self.0.record(record)
    }

    fn shelf(&self, stream: &StreamName) -> Arc<dyn Shelf> {
        self.0.shelf(stream)
    }

    fn known(&self) -> Result<Vec<StreamName>> {
        self.0.known()
    }
}

async fn run_without_locks(desk: &Desk, lock: LockMode) -> Report {
    let shelves = Lockless(Disk {
        work_dir: desk.options.work_dir.clone(),
        dir: desk.options.work_dir.join("crm"),
        settings: desk.options.settings.clone(),
        lock,
        redactor: desk.options.redactor.clone(),
    });
    let script = Arc::new(Script::account(vec![vec![page(0..3, 3)]]));
    let heard = Arc::clone(&desk.events);
    let parts = Parts {
        source: Arc::clone(&script) as _,
        destination: Arc::clone(&desk.place) as _,
        tally: Tally::new(&Events::new(move |event| heard.lock().unwrap().push(event))),
        clock: Arc::new(FixedClock(Timestamp::EPOCH)),
    };
    let pipeline = desk.pipeline(&["Account"]);
    run_on(
        &pipeline,
        parts,
        &desk.options,
        &script.stop,
        Arc::new(shelves),
    )
    .await
}

// covers: K8
#[tokio::test(start_paused = true)]
async fn without_locks_a_run_goes_on_only_if_told_and_then_says_what_guards_it() {
    let desk = Desk::new();
    let refused = run_without_locks(&desk, LockMode::Required).await;
    assert_eq!(refused.error.unwrap().kind(), ErrorKind::Config);
    assert!(refused.streams.is_empty());
    let report = run_without_locks(&desk, LockMode::HeadOnly).await;
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(desk.codes(), ["W0308"]);
    assert_eq!(desk.table("Account"), [0, 1, 2]);
    // Where there are locks, the same setting takes them and has nothing to say.
    let mut desk = Desk::new();
    desk.options.lock = LockMode::HeadOnly;
    let (_, report, _) = desk.run(Script::account(vec![vec![page(0..3, 3)]])).await;
    assert!(report.is_ok(), "{report:?}");
    assert!(desk.codes().is_empty());
    assert!(desk.options.work_dir.join("crm/lock").exists());
}
