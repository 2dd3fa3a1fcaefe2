//! Power loss, played: records what [`fs`](crate::fs) does and rebuilds what a disk may hold after the
//! power went at any moment.
//!
//! The model is harsher than most file systems. Bytes that were not synced may be there or not, in
//! blocks of 512 bytes; names that were made, moved or removed since the last sync of their folder may
//! have the old or the new form, each on its own, in any combination. Only a sync makes things certain.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "only tests call this: a panic is how a test fails, and nothing here is to last"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::{Op, Probe, ProbeGuard, attach};

/// Bytes that reach a disk together or not at all.
const BLOCK_BYTES: usize = 512;

/// A recorded operation, with paths relative to the folder of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// As [`Op::Create`].
    Create(PathBuf),
    /// As [`Op::Write`].
    Write(PathBuf, Vec<u8>),
    /// As [`Op::Sync`].
    Sync(PathBuf),
    /// As [`Op::Rename`].
    Rename(PathBuf, PathBuf),
    /// As [`Op::SyncDir`].
    SyncDir(PathBuf),
    /// As [`Op::CreateDir`].
    CreateDir(PathBuf),
    /// As [`Op::RemoveFile`] and [`Op::RemoveDir`].
    Remove(PathBuf),
}

/// Records all operations under a folder while it lives.
#[derive(Debug)]
pub struct Recorder {
    steps: Arc<Steps>,
    _guard: ProbeGuard,
}

#[derive(Debug)]
struct Steps {
    root: PathBuf,
    steps: Mutex<Vec<Step>>,
}

impl Recorder {
    /// Starts to record.
    pub fn start(root: &Path) -> Self {
        let steps = Arc::new(Steps {
            root: root.to_owned(),
            steps: Mutex::default(),
        });
        let guard = attach(root, Arc::clone(&steps) as _);
        Self {
            steps,
            _guard: guard,
        }
    }

    /// What was done so far.
    pub fn steps(&self) -> Vec<Step> {
        self.steps
            .steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Probe for Steps {
    fn before(&self, op: &Op<'_>) -> io::Result<()> {
        let relative = |path: &Path| path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        let step = match op {
            Op::Create(path) => Step::Create(relative(path)),
            Op::Write(path, bytes) => Step::Write(relative(path), bytes.to_vec()),
            Op::Sync(path) => Step::Sync(relative(path)),
            Op::Rename(from, to) => Step::Rename(relative(from), relative(to)),
            Op::SyncDir(path) => Step::SyncDir(relative(path)),
            Op::CreateDir(path) => Step::CreateDir(relative(path)),
            Op::RemoveFile(path) | Op::RemoveDir(path) => Step::Remove(relative(path)),
        };
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(step);
        Ok(())
    }
}

/// Builds under `target` what may be left if the power goes after `steps`; `seed` chooses among all
/// that may be. Nothing is there before the first step.
pub fn power_loss(steps: &[Step], target: &Path, seed: u64) {
    let mut disk = Disk::default();
    for step in steps {
        disk.apply(step);
    }
    disk.settle(target, &mut Dice(seed));
}

type Inode = usize;

#[derive(Debug, Default)]
struct Disk {
    files: Vec<Content>,
    /// Names as the kernel sees them.
    names: BTreeMap<PathBuf, Inode>,
    /// Names as they are certain to be on disk.
    certain: BTreeMap<PathBuf, Inode>,
    /// Changes of names that are not certain yet, oldest first.
    waiting: Vec<Change>,
}

#[derive(Debug)]
struct Content {
    is_dir: bool,
    bytes: Vec<u8>,
    synced: usize,
}

#[derive(Debug, Clone)]
struct Change {
    /// Folders whose sync makes it certain; all of them.
    folders: BTreeSet<PathBuf>,
    remove: Option<PathBuf>,
    insert: Option<(PathBuf, Inode)>,
}

impl Disk {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(path) => self.make(path, false),
            Step::CreateDir(path) if self.names.contains_key(path) => {}
            Step::CreateDir(path) => self.make(path, true),
            Step::Write(path, bytes) => {
                let inode = self.names[path];
                self.files[inode].bytes.extend_from_slice(bytes);
            }
            Step::Sync(path) => {
                let inode = self.names[path];
                self.files[inode].synced = self.files[inode].bytes.len();
            }
            Step::Rename(from, to) => {
                let Some(inode) = self.names.remove(from) else {
                    return;
                };
                self.names.insert(to.clone(), inode);
                let inside: Vec<PathBuf> = self
                    .names
                    .keys()
                    .filter(|path| path.starts_with(from))
                    .cloned()
                    .collect();
                for old in inside {
                    let inode = self.names.remove(&old).unwrap();
                    self.names
                        .insert(to.join(old.strip_prefix(from).unwrap()), inode);
                }
                let folders = [from, to].map(|path| parent(path)).into();
                let insert = Some((to.clone(), inode));
                self.waiting.push(Change {
                    folders,
                    remove: Some(from.clone()),
                    insert,
                });
            }
            Step::Remove(path) => {
                self.names.remove(path);
                let folders = [parent(path)].into();
                self.waiting.push(Change {
                    folders,
                    remove: Some(path.clone()),
                    insert: None,
                });
            }
            Step::SyncDir(path) => {
                let mut waiting = Vec::new();
                for mut change in std::mem::take(&mut self.waiting) {
                    change.folders.remove(path);
                    if change.folders.is_empty() {
                        enact(&mut self.certain, &change);
                    } else {
                        waiting.push(change);
                    }
                }
                self.waiting = waiting;
            }
        }
    }

    fn make(&mut self, path: &Path, is_dir: bool) {
        self.files.push(Content {
            is_dir,
            bytes: Vec::new(),
            synced: 0,
        });
        let inode = self.files.len() - 1;
        self.names.insert(path.to_owned(), inode);
        let insert = Some((path.to_owned(), inode));
        self.waiting.push(Change {
            folders: [parent(path)].into(),
            remove: None,
            insert,
        });
    }

    fn settle(mut self, target: &Path, dice: &mut Dice) {
        let mut names = std::mem::take(&mut self.certain);
        for change in &self.waiting {
            if dice.coin() {
                enact(&mut names, change);
            }
        }
        std::fs::create_dir_all(target).unwrap();
        // Folders sort before what is in them; what has lost its folder is lost.
        for (path, inode) in names {
            let content = &self.files[inode];
            let path = target.join(path);
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            if content.is_dir {
                std::fs::create_dir_all(&path).unwrap();
            } else if !path.is_dir() {
                std::fs::write(&path, content.after_loss(dice)).unwrap();
            }
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

fn enact(names: &mut BTreeMap<PathBuf, Inode>, change: &Change) {
    let Some((to, inode)) = &change.insert else {
        if let Some(path) = &change.remove {
            names.retain(|name, _| !name.starts_with(path));
        }
        return;
    };
    if let Some(from) = &change.remove {
        names.retain(|name, found| name != from || found != inode);
        // What is in a folder moves with it.
        let inside: Vec<PathBuf> = names
            .keys()
            .filter(|name| name.starts_with(from))
            .cloned()
            .collect();
        for old in inside {
            let found = names.remove(&old).unwrap();
            names.insert(to.join(old.strip_prefix(from).unwrap()), found);
        }
    }
    names.insert(to.clone(), *inode);
}

impl Content {
    fn after_loss(&self, dice: &mut Dice) -> Vec<u8> {
        let mut left = self.bytes.clone();
        let unsynced = self.bytes.len() - self.synced;
        left.truncate(self.synced + dice.below(unsynced + 1));
        let mut start = self.synced;
        while start < left.len() {
            let end = ((start / BLOCK_BYTES + 1) * BLOCK_BYTES).min(left.len());
            if dice.coin() && dice.coin() {
                left[start..end].fill(0);
            }
            start = end;
        }
        left
    }
}

/// splitmix64: small, seeded, good enough to choose what is lost.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Lets some operations through, then fails with an error of the operating system.
#[derive(Debug)]
pub struct Fault {
    errno: i32,
    matches: fn(&Op<'_>) -> bool,
    left: Mutex<Option<u64>>,
}

impl Fault {
    /// `errno` for every operation that `matches`, after `left` of them; `None`: for none.
    pub fn new(errno: i32, matches: fn(&Op<'_>) -> bool, left: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            errno,
            matches,
            left: Mutex::new(left),
        })
    }

    /// Changes how many operations succeed from now on.
    pub fn set(&self, left: Option<u64>) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

impl Probe for Fault {
    fn before(&self, op: &Op<'_>) -> io::Result<()> {
        if !(self.matches)(op) {
            return Ok(());
        }
        match &mut *self.left.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(0) => Err(io::Error::from_raw_os_error(self.errno)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}
