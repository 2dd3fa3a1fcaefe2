//! Committing to another file system than the work folder's: copy, check, sync, and only then rename.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use overlock_core::{Error, ErrorKind, Package, Result};
use overlock_package::{self as package, COMMIT_FILE, fs, manifest};

const CHUNK_BYTES: usize = 256 << 10;
/// What the small files may need beside the parts.
const SPARE_BYTES: u64 = 1 << 20;

/// A durable copy of the package in the table's folder, under a name that no reader knows.
pub(crate) fn beside(package: &Package, table: &Path) -> Result<PathBuf> {
    let target = table.join(format!("{}.tmp", package.manifest.id));
    fs::remove_dir_all(&target)?;
    fs::ensure_space(table, package.manifest.bytes().saturating_add(SPARE_BYTES))?;
    let fill = || {
        fs::create_dir(&target)?;
        let parts = package.manifest.files.iter().map(|part| part.name.as_str());
        for name in parts.chain([manifest::FILE_NAME, COMMIT_FILE]) {
            copy(&package.dir.join(name), &target.join(name))?;
        }
        fs::sync_dir(&target)?;
        fs::sync_dir(table)?;
        // The other file system may be a network or a failing disk: trust what can be read back.
        package::verify(&Package {
            dir: target.clone(),
            manifest: package.manifest.clone(),
        })
        .map_err(|error| error.with_kind(ErrorKind::Destination))
    };
    if let Err(error) = fill() {
        if let Err(error) = fs::remove_dir_all(&target) {
            tracing::debug!(%error, "A useless copy stays for a day.");
        }
        return Err(Error::while_doing(
            error,
            "copy a package to the destination's file system",
        ));
    }
    Ok(target)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = fs::open_own(from)?;
    let mut target = fs::File::create_new(to)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = source
            .read(&mut buffer)
            .map_err(|error| fs::failed(&error, "read", from))?;
        match buffer.get(..count) {
            Some([]) | None => break,
            Some(bytes) => {
                target
                    .write_all(bytes)
                    .map_err(|error| fs::failed(&error, "write", to))?;
            }
        }
    }
    target.sync()
}
