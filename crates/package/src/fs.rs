//! The only file operations used for what must survive a crash.
//!
//! Everything that package, local and engine keep on disk goes through here, for three reasons: files
//! are 0600 and folders 0700, created new and never through a symbolic link; every failure names its
//! path and what to do about it; and tests can record each operation, replay it with a power loss at
//! any place, or make it fail (`Probe`, feature `conformance`).
//!
//! It refuses to be clever: no operation retries, and after a failed [`File::sync`] the file is dead
//! (the kernel may have dropped the pages that it could not write, and would call a second fsync clean).

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use overlock_core::{Error, ErrorKind, Result};

/// One operation, as a `Probe` sees it before it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// A new file.
    Create(&'a Path),
    /// Bytes at the end of a file.
    Write(&'a Path, &'a [u8]),
    /// A file's bytes become durable.
    Sync(&'a Path),
    /// A file or folder gets another name.
    Rename(&'a Path, &'a Path),
    /// A folder's entries become durable.
    SyncDir(&'a Path),
    /// A new folder.
    CreateDir(&'a Path),
    /// A file goes.
    RemoveFile(&'a Path),
    /// An empty folder goes.
    RemoveDir(&'a Path),
}

impl<'a> Op<'a> {
    /// The path it changes.
    pub fn path(&self) -> &'a Path {
        match self {
            Op::Create(path)
            | Op::Write(path, _)
            | Op::Sync(path)
            | Op::Rename(path, _)
            | Op::SyncDir(path)
            | Op::CreateDir(path)
            | Op::RemoveFile(path)
            | Op::RemoveDir(path) => path,
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    inner: std::fs::File,
}

impl File {
    /// Makes a new file, mode 0600.
    ///
    /// # Errors
    /// `Io`, also if something is there already.
    pub fn create_new(path: &Path) -> Result<Self> {
        let create = || {
            observe(&Op::Create(path))?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            platform::private_file(&mut options);
            options.open(path)
        };
        let inner = create().map_err(|error| failed(&error, "create", path))?;
        Ok(Self {
            path: path.to_owned(),
            inner,
        })
    }

    /// Where it was created.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes its bytes durable. After an error the file is dead: remove it and write a new one.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(self) -> Result<()> {
        observe(&Op::Sync(&self.path))
            .and_then(|()| self.inner.sync_all())
            .map_err(|error| failed(&error, "make durable", &self.path))
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        observe(&Op::Write(&self.path, bytes))?;
        self.inner.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Where [`replace`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The temporary file is written.
    Written,
    /// It is durable.
    Synced,
    /// It has its final name.
    Renamed,
    /// The final name is durable.
    Done,
}

/// Writes a whole file so that a crash leaves the old or the new content: temporary name, fsync,
/// rename, fsync of the folder. `after` is called after each step.
///
/// # Errors
/// `Io`; the temporary file is removed.
pub fn replace(path: &Path, bytes: &[u8], after: impl Fn(Step)) -> Result<()> {
    let temporary = temporary(path);
    remove_file(&temporary)?;
    let write = || {
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)
            .map_err(|error| failed(&error, "write", &temporary))?;
        after(Step::Written);
        file.sync()?;
        after(Step::Synced);
        rename(&temporary, path)
    };
    if let Err(error) = write() {
        discard(&temporary);
        return Err(error);
    }
    after(Step::Renamed);
    sync_dir(parent(path))?;
    after(Step::Done);
    Ok(())
}

/// The temporary name beside `path`.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Gives a file or folder another name on the same file system, replacing a file that has it.
///
/// # Errors
/// `Io`; the cause is the operating system's error.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    try_rename(from, to).map_err(|error| failed(&error, "rename", from))
}

/// Like [`rename`], for callers that act on the operating system's error.
///
/// # Errors
/// The operating system's.
pub fn try_rename(from: &Path, to: &Path) -> io::Result<()> {
    observe(&Op::Rename(from, to))?;
    std::fs::rename(from, to)
}

/// Makes the entries of a folder durable.
///
/// # Errors
/// `Io`.
pub fn sync_dir(path: &Path) -> Result<()> {
    observe(&Op::SyncDir(path))
        .and_then(|()| std::fs::File::open(path)?.sync_all())
        .map_err(|error| failed(&error, "make durable", path))
}

/// Makes a folder (mode 0700) and those above it that are missing, durably.
///
/// # Errors
/// `Io`; `Config` if something that is not a folder is in the way.
pub fn create_dir_all(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => {
            return Err(
                Error::new(ErrorKind::Config, "use as a folder what is none")
                    .context("path", path.display())
                    .hint("choose another folder, or move that file away"),
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&error, "look at", path)),
    }
    let above = parent(path);
    create_dir_all(above)?;
    create_dir(path)?;
    sync_dir(above)
}

/// Makes one folder, mode 0700; nothing happens if it is there.
///
/// # Errors
/// `Io`.
pub fn create_dir(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    platform::private_dir(&mut builder);
    match observe(&Op::CreateDir(path)).and_then(|()| builder.create(path)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed(&error, "create", path))
        }
        _ => Ok(()),
    }
}

/// Removes a file or symbolic link; nothing happens if it is gone.
///
/// # Errors
/// `Io`.
pub fn remove_file(path: &Path) -> Result<()> {
    if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    match observe(&Op::RemoveFile(path)).and_then(|()| std::fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(&error, "remove", path))
        }
        _ => Ok(()),
    }
}

/// Removes a file of no value while another error is on its way up.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = remove_file(path) {
        tracing::debug!(%error, "A useless file stays until the next start.");
    }
}

/// Removes a folder with all it holds, without following symbolic links; nothing happens if it is gone.
/// The order inside is unspecified: rename the folder first if half of it could be misread.
///
/// # Errors
/// `Io`.
pub fn remove_dir_all(path: &Path) -> Result<()> {
    let Some(entries) = list(path)? else {
        return Ok(());
    };
    for entry in entries {
        if entry.metadata.is_dir() {
            remove_dir_all(&entry.path)?;
        } else {
            remove_file(&entry.path)?;
        }
    }
    match observe(&Op::RemoveDir(path)).and_then(|()| std::fs::remove_dir(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(&error, "remove", path))
        }
        _ => Ok(()),
    }
}

/// One entry of a folder.
#[derive(Debug)]
pub struct Entry {
    /// Full path.
    pub path: PathBuf,
    /// Name; entries whose name is not UTF-8 have replacement characters in it.
    pub name: String,
    /// Of the entry itself, not of what a symbolic link points to.
    pub metadata: Metadata,
}

/// The entries of a folder by name; `None` if there is no such folder.
///
/// # Errors
/// `Io`.
pub fn list(path: &Path) -> Result<Option<Vec<Entry>>> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error, "list", path)),
        Ok(entries) => entries,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error, "list", path))?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&error, "look at", &entry.path())),
            Ok(metadata) => metadata,
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push(Entry {
            path: entry.path(),
            name,
            metadata,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Some(found))
}

/// Opens a regular file of ours for reading; never follows a symbolic link, never waits for a pipe.
///
/// # Errors
/// `NotFound`; `Config` if it is something else than a regular file or belongs to someone else; `Io`.
pub fn open_own(path: &Path) -> Result<std::fs::File> {
    let file = open_regular(path, true)?;
    let metadata = file
        .metadata()
        .map_err(|error| failed(&error, "look at", path))?;
    own(&metadata, path)?;
    Ok(file)
}

/// Opens a regular file for reading, whoever owns it; never waits for a pipe.
///
/// # Errors
/// `NotFound`; `Config` if it is something else than a regular file; `Io`.
pub fn open_any(path: &Path) -> Result<std::fs::File> {
    open_regular(path, false)
}

fn open_regular(path: &Path, own: bool) -> Result<std::fs::File> {
    let look = if own {
        std::fs::symlink_metadata(path)
    } else {
        std::fs::metadata(path)
    };
    let metadata = look.map_err(|error| unseen(&error, "open", path))?;
    if !metadata.is_file() {
        return Err(not_regular(&metadata, path));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    platform::never_wait(&mut options, own);
    let file = options
        .open(path)
        .map_err(|error| unseen(&error, "open", path))?;
    // Looked at again through the handle: the name may have changed hands in between.
    let metadata = file
        .metadata()
        .map_err(|error| unseen(&error, "look at", path))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(not_regular(&metadata, path))
    }
}

fn not_regular(metadata: &Metadata, path: &Path) -> Error {
    let what = if metadata.is_dir() {
        "a folder"
    } else if metadata.file_type().is_symlink() {
        "a symbolic link"
    } else {
        "a pipe or device"
    };
    Error::new(ErrorKind::Config, format!("use {what} as a file"))
        .context("path", path.display())
        .hint("give the path of a regular file")
}

/// Reads a whole file of ours of at most `limit` bytes.
///
/// # Errors
/// As [`open_own`]; `Data` if it is longer.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open_own(path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error, "read", path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(Error::new(
            ErrorKind::Data,
            format!("read a file of more than {limit} bytes"),
        )
        .context("path", path.display()));
    }
    Ok(bytes)
}

/// Refuses a folder that is a symbolic link, belongs to someone else or can be written by others.
///
/// # Errors
/// `Config`; `NotFound` if there is nothing; `Io`.
pub fn check_own_dir(path: &Path) -> Result<()> {
    let metadata =
        std::fs::symlink_metadata(path).map_err(|error| unseen(&error, "look at", path))?;
    if metadata.file_type().is_symlink() || !metadata.is_dir() {
        return Err(Error::new(
            ErrorKind::Config,
            "use what is not a real folder as a work folder",
        )
        .context("path", path.display())
        .hint("remove the symbolic link or file, or choose another work folder"));
    }
    own(&metadata, path)?;
    if platform::others_may_write(&metadata) {
        return Err(
            Error::new(ErrorKind::Config, "use a folder that other users may write")
                .context("path", path.display())
                .hint(format!("run `chmod go-w {}`", path.display())),
        );
    }
    Ok(())
}

fn own(metadata: &Metadata, path: &Path) -> Result<()> {
    if platform::is_ours(metadata) {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Config, "use what belongs to another user")
            .context("path", path.display())
            .hint("run as the user that owns it, or choose another folder"),
    )
}

/// Free bytes for this user on the file system of `path`; `None` where that is unknown.
pub fn free_bytes(path: &Path) -> Option<u64> {
    platform::free_bytes(path)
}

/// Refuses to begin what cannot fit.
///
/// # Errors
/// `Io` that says how many bytes are needed and how many are free.
pub fn ensure_space(path: &Path, bytes: u64) -> Result<()> {
    match free_bytes(path) {
        Some(free) if free < bytes => Err(Error::new(
            ErrorKind::Io,
            format!("find room for {bytes} bytes: {free} are free"),
        )
        .context("path", path.display())
        .hint(format!("free {} bytes on that file system", bytes - free))),
        _ => Ok(()),
    }
}

/// Makes `options` create files with mode 0600 and never follow a symbolic link.
pub(crate) fn private_file(options: &mut OpenOptions) {
    platform::private_file(options);
}

/// The folder that holds `path`.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The error for a failed look at something: `NotFound` if it is not there, else as [`failed`].
fn unseen(error: &io::Error, doing: &str, path: &Path) -> Error {
    let failed = failed(error, doing, path);
    match error.kind() {
        io::ErrorKind::NotFound => failed.with_kind(ErrorKind::NotFound),
        _ => failed,
    }
}

/// The error for a failed operation: kind `Io`, the path, and what to do.
pub fn failed(error: &io::Error, doing: &str, path: &Path) -> Error {
    // The original cannot be cloned; its code and text can.
    let cause = match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    };
    let failed = Error::new(ErrorKind::Io, format!("{doing} `{}`", path.display()))
        .context("path", path.display())
        .source(cause);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let free = free_bytes(parent(path)).unwrap_or(0);
            failed.hint(format!(
                "free space on that file system ({free} bytes are left; a file needs up to 128 MiB, \
                 or less with a smaller `file_bytes`); what is finished is kept"
            ))
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            failed.hint("make it writable for this user, or choose another folder")
        }
        _ => failed,
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::{DirBuilder, Metadata, OpenOptions};
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
    use std::path::Path;

    use rustix::fs::OFlags;

    fn flags(options: &mut OpenOptions, flags: OFlags) {
        options.custom_flags(flags.bits().cast_signed());
    }

    pub(super) fn private_file(options: &mut OpenOptions) {
        options.mode(0o600);
        flags(options, OFlags::NOFOLLOW);
    }

    pub(super) fn never_wait(options: &mut OpenOptions, no_links: bool) {
        let links = if no_links {
            OFlags::NOFOLLOW
        } else {
            OFlags::empty()
        };
        flags(options, OFlags::NONBLOCK | links);
    }

    pub(super) fn private_dir(builder: &mut DirBuilder) {
        builder.mode(0o700);
    }

    pub(super) fn is_ours(metadata: &Metadata) -> bool {
        metadata.uid() == rustix::process::geteuid().as_raw()
    }

    pub(super) fn others_may_write(metadata: &Metadata) -> bool {
        metadata.mode() & 0o022 != 0
    }

    pub(super) fn free_bytes(path: &Path) -> Option<u64> {
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::{DirBuilder, Metadata, OpenOptions};
    use std::path::Path;

    pub(super) fn private_file(_: &mut OpenOptions) {}
    pub(super) fn never_wait(_: &mut OpenOptions, _: bool) {}
    pub(super) fn private_dir(_: &mut DirBuilder) {}
    pub(super) fn is_ours(_: &Metadata) -> bool {
        true
    }
    pub(super) fn others_may_write(_: &Metadata) -> bool {
        false
    }
    pub(super) fn free_bytes(_: &Path) -> Option<u64> {
        None
    }
}

#[cfg(any(test, feature = "conformance"))]
use probe::observe;
#[cfg(any(test, feature = "conformance"))]
pub use probe::{Probe, ProbeGuard, attach};

#[cfg(not(any(test, feature = "conformance")))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "the probed form fails")]
fn observe(_: &Op<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(any(test, feature = "conformance"))]
mod probe {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use super::Op;

    /// Sees every operation under a folder before it happens, and may make it fail.
    pub trait Probe: Send + Sync {
        /// `Err` makes the operation fail with this error, without being done.
        fn before(&self, op: &Op<'_>) -> io::Result<()>;
    }

    type Attached = (PathBuf, Arc<dyn Probe>);

    static PROBES: Mutex<Vec<Attached>> = Mutex::new(Vec::new());

    fn probes() -> MutexGuard<'static, Vec<Attached>> {
        PROBES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Detaches the probe when dropped.
    #[derive(Debug)]
    pub struct ProbeGuard(PathBuf);

    impl Drop for ProbeGuard {
        fn drop(&mut self) {
            probes().retain(|(root, _)| *root != self.0);
        }
    }

    /// Lets `probe` see all operations under `root`, on all threads.
    pub fn attach(root: &Path, probe: Arc<dyn Probe>) -> ProbeGuard {
        probes().push((root.to_owned(), probe));
        ProbeGuard(root.to_owned())
    }

    pub(super) fn observe(op: &Op<'_>) -> io::Result<()> {
        let found = probes()
            .iter()
            .find(|(root, _)| op.path().starts_with(root))
            .cloned();
        found.map_or(Ok(()), |(_, probe)| probe.before(op))
    }
}
