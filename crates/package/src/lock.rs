//! The lock that keeps two runs of one pipeline on one machine apart.
//!
//! It is flock, not a pid file: the kernel lets go of it when the process ends, however it ends. What
//! makes two runs on two machines safe is not this lock but the parent id of a commit; the lock saves
//! the work of finding out late, and names the other run.

use std::fs::{OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use overlock_core::{Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fs;

/// Longest content of a lock file that is read.
const MAX_INFO_BYTES: u64 = 4 << 10;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockInfo {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// When the run began.
    pub started: Timestamp,
    /// Id of the run.
    pub run: String,
}

impl LockInfo {
    /// This process, for the run `run`.
    pub fn new(run: impl Into<String>, started: Timestamp) -> Self {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self {
            pid: std::process::id(),
            host,
            started,
            run: run.into(),
        }
    }
}

/// A held lock; released when dropped, or by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

/// What an attempt came to that no other run stood in the way of.
#[derive(Debug)]
enum Attempt {
    Held(Lock),
    /// The file system has no locks.
    Unsupported(Error),
}

impl Lock {
    /// Takes the lock at `path` without waiting. The file stays when the lock is released.
    ///
    /// # Errors
    /// `Conflict` with the context pairs `pid`, `host` and `started` if another run holds it; `Config`
    /// if the file system has no locks or the file is not ours; `Io`.
    pub fn acquire(path: &Path, info: &LockInfo) -> Result<Self> {
        match attempt(path, info, std::fs::File::try_lock)? {
            Attempt::Held(lock) => Ok(lock),
            Attempt::Unsupported(error) => Err(error),
        }
    }

    /// As [`acquire`](Self::acquire), but gives `None` if the file system has no locks. Then only the
    /// parent id of a commit keeps two runs apart, and nothing keeps them out of each other's packages.
    ///
    /// # Errors
    /// `Conflict` if another run holds it; `Config` if the file is not ours; `Io`.
    pub fn acquire_if_supported(path: &Path, info: &LockInfo) -> Result<Option<Self>> {
        Ok(match attempt(path, info, std::fs::File::try_lock)? {
            Attempt::Held(lock) => Some(lock),
            Attempt::Unsupported(_) => None,
        })
    }

    /// Who holds or last held the lock at `path`, if that is known.
    pub fn holder(path: &Path) -> Option<LockInfo> {
        let bytes = fs::read(path, MAX_INFO_BYTES).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Tries once, by `try_lock`.
fn attempt(
    path: &Path,
    info: &LockInfo,
    try_lock: impl FnOnce(&std::fs::File) -> std::result::Result<(), TryLockError>,
) -> Result<Attempt> {
    fs::create_dir_all(fs::parent(path))?;
    let mut file = open(path)?;
    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(&mut file, path)),
        Err(TryLockError::Error(error)) => {
            let unsupported = error.kind() == std::io::ErrorKind::Unsupported
                || error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error());
            let refused = fs::failed(&error, "lock", path);
            if !unsupported {
                return Err(refused);
            }
            return Ok(Attempt::Unsupported(
                refused.with_kind(ErrorKind::Config).hint(
                    "this file system has no locks: put the project on a local disk, or set \
                     `lock = \"head-only\"` in `[run]` of overlock.toml and see to it that no two runs \
                     of a pipeline share this folder",
                ),
            ));
        }
    }
    // The content is only for the message of the next who comes; the lock does not depend on it.
    let text = serde_json::to_vec(info)
        .map_err(|error| Error::bug("write lock information as JSON").source(error))?;
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(&text))
        .map_err(|error| fs::failed(&error, "write", path))?;
    Ok(Attempt::Held(Lock { _file: file }))
}

fn open(path: &Path) -> Result<std::fs::File> {
    match fs::open_own(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    fs::private_file(&mut options);
    options
        .open(path)
        .map_err(|error| fs::failed(&error, "open", path))
}

/// How often and with which pause the name of a holder is looked for: 200 ms in all.
const NAME_TRIES: u32 = 20;
const NAME_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

fn busy(file: &mut std::fs::File, path: &Path) -> Error {
    let error = Error::new(ErrorKind::Conflict, "take the lock: another run holds it")
        .context("path", path.display());
    // Who has just taken the lock may not have written its name yet.
    let mut known = None;
    for _ in 0..NAME_TRIES {
        let mut text = Vec::new();
        let read = file
            .rewind()
            .and_then(|()| file.take(MAX_INFO_BYTES).read_to_end(&mut text));
        known = read
            .ok()
            .and_then(|_| serde_json::from_slice::<LockInfo>(&text).ok());
        if known.is_some() {
            break;
        }
        std::thread::sleep(NAME_PAUSE);
    }
    match known {
        Some(info) => error
            .context("pid", info.pid)
            .context("host", &info.host)
            .context("started", info.started)
            .context("run", &info.run)
            .hint(format!(
                "wait for process {} on `{}` (running since {}), or stop it",
                info.pid,
                overlock_core::text::printable(&info.host),
                info.started
            )),
        None => error.hint("wait until the other run is done"),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::manifest::tests::instant;

    #[test]
    fn the_second_is_told_who_holds_it_and_the_lock_dies_with_its_holder() {
        // covers: R8, R9
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipeline/lock");
        let info = LockInfo::new("run-1", instant(1_700_000_000));
        assert!(!info.host.is_empty());
        let held = Lock::acquire(&path, &info).unwrap();
        let error = Lock::acquire(&path, &info).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(
            error.get("pid"),
            Some(std::process::id().to_string().as_str())
        );
        assert_eq!(error.get("started"), Some("2023-11-14T22:13:20Z"));
        assert!(
            error
                .hint_text()
                .unwrap()
                .contains("running since 2023-11-14T22:13:20Z")
        );
        drop(held);
        // The file stays, with the name of a run that is gone; only the kernel's lock counts.
        assert!(path.exists());
        Lock::acquire(&path, &info).unwrap();
    }

    #[test]
    fn a_torn_lock_file_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let info = LockInfo::new("r", instant(0));
        std::fs::File::create(&path)
            .unwrap()
            .write_all(b"{\"pid\":")
            .unwrap();
        let held = Lock::acquire(&path, &info).unwrap();
        assert_eq!(Lock::holder(&path), Some(info.clone()));
        assert_eq!(
            Lock::acquire(&path, &info).unwrap_err().kind(),
            ErrorKind::Conflict
        );
        drop(held);
    }

    #[test]
    fn without_locks_in_the_file_system_the_user_decides() {
        // covers: K8
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let info = LockInfo::new("r", instant(0));
        let without = |errno: Errno| {
            let error = std::io::Error::from_raw_os_error(errno.raw_os_error());
            attempt(&path, &info, |_| Err(TryLockError::Error(error)))
        };
        for errno in [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS] {
            let Attempt::Unsupported(error) = without(errno).unwrap() else {
                panic!("{errno} taken for a lock");
            };
            assert_eq!(error.kind(), ErrorKind::Config);
            assert_eq!(error.get("path"), path.to_str());
            let hint = error.hint_text().unwrap();
            assert!(hint.contains("lock = \"head-only\""), "{hint}");
        }
        // A lock that fails for any other reason is no reason to go on.
        assert_eq!(without(Errno::IO).unwrap_err().kind(), ErrorKind::Io);
        // Where there are locks, both ways hold them.
        let held = Lock::acquire_if_supported(&path, &info).unwrap().unwrap();
        let second = Lock::acquire_if_supported(&path, &info).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Conflict);
        drop(held);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_refused() {
        // covers: K7
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("precious");
        std::fs::File::create(&target)
            .unwrap()
            .write_all(b"keep")
            .unwrap();
        let path = dir.path().join("lock");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let error = Lock::acquire(&path, &LockInfo::new("r", instant(0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(std::fs::read(&target).unwrap(), b"keep");
    }
}
