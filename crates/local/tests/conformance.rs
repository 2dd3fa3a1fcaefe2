//! The suite for destinations, on the folder destination.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use overlock_core::{Destination, ErrorKind, FixedClock, Result, SyncKey};
use overlock_local::{Local, LocalOptions, Table, View};
use overlock_package::conformance::{self, Subject};
use overlock_package::fs::{Op, ProbeGuard, attach};
use overlock_package::replay::Fault;
use overlock_package::sample;
use tempfile::TempDir;

const EIO: i32 = 5;
const EXDEV: i32 = 18;

struct World {
    root: PathBuf,
    work: PathBuf,
    fault: Arc<Fault>,
    _guards: Vec<ProbeGuard>,
    _dir: TempDir,
}

impl World {
    fn new(crosses_devices: bool) -> Self {
        let dir = sample::temp_dir();
        let (root, work) = (dir.path().join("data/zendesk"), dir.path().join("work"));
        let fault = Fault::new(EIO, |_| true, None);
        let mut guards = vec![attach(&root, Arc::clone(&fault) as _)];
        if crosses_devices {
            // The work folder is on another file system: no rename leads out of it.
            let out = |op: &Op<'_>| {
                let Op::Rename(from, to) = op else {
                    return false;
                };
                to.components().any(|part| part.as_os_str() == "data") && !from.starts_with(to)
            };
            guards.push(attach(&work, Fault::new(EXDEV, out, Some(0))));
        } else {
            guards.push(attach(&work, Arc::clone(&fault) as _));
        }
        Self {
            root,
            work,
            fault,
            _guards: guards,
            _dir: dir,
        }
    }
}

#[async_trait]
impl Subject for World {
    fn destination(&self) -> Arc<dyn Destination> {
        let clock = Arc::new(FixedClock(sample::instant()));
        Arc::new(Local::new(&self.root, LocalOptions::default(), clock))
    }

    fn work_dir(&self) -> &Path {
        &self.work
    }

    async fn rows(&self, key: &SyncKey) -> Result<Vec<RecordBatch>> {
        match Table::open(self.root.join(key.stream.as_str())) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            table => table?.scan(View::Current, None)?.collect(),
        }
    }

    fn fail_after(&self, operations: Option<u64>) {
        self.fault.set(operations);
    }
}

#[tokio::test]
async fn the_folder_destination_keeps_the_rules() {
    // covers: L12, L13, W13, K1, K3
    conformance::destination(async || World::new(false)).await;
}

#[tokio::test]
async fn so_it_does_across_file_systems() {
    conformance::destination(async || World::new(true)).await;
}
