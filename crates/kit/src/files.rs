//! The source's own small files in its work folder: replaced whole or not at all, readable by nobody else.
//!
//! **Invariant:** a reader sees the old content or the new one, also after power loss; a file that cannot
//! be read is a cache that is not there, except for the token store, which says so.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Largest file that is read back.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Reads a JSON file; `None` if there is none or it is not of this form.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    let file = open_plain(path)?;
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn open_plain(path: &Path) -> Option<File> {
    let metadata = fs::symlink_metadata(path).ok()?;
    metadata.is_file().then(|| File::open(path).ok()).flatten()
}

/// Replaces a JSON file. `between` is called after the new content is on disk and before it has the name.
///
/// # Errors
/// `Io` with the path.
pub fn replace<T: Serialize>(path: &Path, value: &T, between: impl FnOnce()) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Error::bug("write a file as JSON").source(error))?;
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Io, "write a file of the source")
            .context("path", path.display())
            .hint("check that the work folder is writable and the disk is not full")
            .source(error)
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder).map_err(failed)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    // A leftover of a dead process with our number: not ours, and of no use to anybody.
    if temporary.exists() {
        fs::remove_file(&temporary).map_err(failed)?;
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        between();
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed)
}

/// Makes a folder that nobody else can read, with those above it.
///
/// # Errors
/// Those of the system.
pub fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn lock_file(path: &Path) -> Result<File> {
    let open = || {
        make_folder(path.parent().unwrap_or(Path::new(".")))?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    };
    open().map_err(|error| {
        Error::new(ErrorKind::Io, "open a lock file")
            .context("path", path.display())
            .source(error)
    })
}

/// How long a lock of another process is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(120);
const LOCK_STEP: Duration = Duration::from_millis(100);

/// Locks a file, making it if needed, until the answer is dropped. `what` completes "log in: another run holds ...".
///
/// # Errors
/// `Conflict` if another process holds it for two minutes; `Io` with the path.
pub async fn lock(path: &Path, what: &str) -> Result<File> {
    let file = lock_file(path)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < LOCK_WAIT => {
                crate::sleep(LOCK_STEP).await;
                waited += LOCK_STEP;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("log in: another run holds {what}"),
                )
                .context("path", path.display())
                .hint("wait for the other run, or end it"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::new(ErrorKind::Io, format!("lock {what}"))
                    .context("path", path.display())
                    .source(error));
            }
        }
    }
}

/// A hash that tells secrets apart without showing them: 32 hexadecimal digits.
pub fn fingerprint(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex(digest.get(..16).unwrap_or(&digest))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        assert_eq!(read::<u32>(&path), None);
        replace(&path, &1_u32, || assert_eq!(read::<u32>(&path), None)).unwrap();
        replace(&path, &2_u32, || assert_eq!(read::<u32>(&path), Some(1))).unwrap();
        assert_eq!(read::<u32>(&path), Some(2));
        assert_eq!(read::<String>(&path), None);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(folder.path().join("a")).unwrap().collect();
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn a_symlink_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("t"), folder.path().join("l"));
        replace(&target, &1_u32, || ()).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(read::<u32>(&link), None);
    }
}
