//! Checks of finished packages, and their removal.
//!
//! Parquet has no checksum that the reader checks, and a flipped bit can give wrong rows without an
//! error, so the hash in the manifest is the only defence.

use std::io::Read as _;
use std::path::Path;

use overlock_core::{Error, ErrorKind, Package, Part, Result, crash_point};
use sha2::{Digest as _, Sha256};

use crate::fs;

/// Name that a folder gets before its files go one by one.
pub(crate) const TRASH: &str = "trash";

/// Checks that every file of the package has the size and hash of the manifest.
///
/// # Errors
/// `Data` if one has not, `Config` if one is a symbolic link or somebody else's.
pub fn verify(package: &Package) -> Result<()> {
    verify_sizes(package)?;
    package
        .manifest
        .files
        .iter()
        .try_for_each(|part| verify_part(&package.dir, part))
}

/// Checks the sizes of all files, without reading them.
///
/// # Errors
/// `Data` if one differs or is missing, `Config` if one is a symbolic link or somebody else's.
pub fn verify_sizes(package: &Package) -> Result<()> {
    for part in &package.manifest.files {
        open(&package.dir.join(&part.name), part)?;
    }
    Ok(())
}

/// Checks size and hash of one file in `dir`.
///
/// # Errors
/// `Data` if it differs or is missing, `Config` if it is a symbolic link or somebody else's.
pub fn verify_part(dir: &Path, part: &Part) -> Result<()> {
    let path = dir.join(&part.name);
    let mut file = open(&path, part)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|error| fs::failed(&error, "read", &path))?;
        match buffer.get(..count) {
            Some([]) | None => break,
            Some(bytes) => hasher.update(bytes),
        }
    }
    if hex(hasher) == part.sha256 {
        return Ok(());
    }
    Err(damaged("its content is not what was written", &path))
}

fn open(path: &Path, part: &Part) -> Result<std::fs::File> {
    let file = match fs::open_own(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged("it is missing", path).source(error));
        }
        opened => opened?,
    };
    let length = file
        .metadata()
        .map_err(|error| fs::failed(&error, "look at", path))?
        .len();
    if length == part.bytes {
        return Ok(file);
    }
    Err(damaged(
        &format!("it has {length} bytes instead of {}", part.bytes),
        path,
    ))
}

fn damaged(what: &str, path: &Path) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Error::new(ErrorKind::Data, format!("accept the file `{name}`: {what}"))
        .context("path", path.display())
}

pub(crate) fn hex(hasher: Sha256) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    hasher
        .finalize()
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Removes a package that is committed or not wanted any more; nothing happens if it is gone.
///
/// # Errors
/// `Io`.
pub fn remove(package: &Package) -> Result<()> {
    crash_point!("P12.before_clean");
    remove_dir(&package.dir)?;
    crash_point!("P12.after_clean");
    Ok(())
}

/// Removes a package folder so that no crash leaves half of it under its own name.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    if std::fs::symlink_metadata(dir).is_err() {
        return Ok(());
    }
    let trash = dir.with_extension(TRASH);
    fs::remove_dir_all(&trash)?;
    fs::rename(dir, &trash)?;
    fs::sync_dir(fs::parent(dir))?;
    fs::remove_dir_all(&trash)
}
