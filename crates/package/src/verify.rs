//! Checks of finished packages, and their removal.

use std::path::Path;

use overlock_core::{Error, Package, Part, Result};

/// Checks that every file of the package has the size and hash of the manifest.
///
/// # Errors
/// `Data` if one has not.
pub fn verify(package: &Package) -> Result<()> {
    let _ = package;
    Err(Error::bug("verify"))
}

/// Checks the sizes of all files, without reading them.
///
/// # Errors
/// `Data` if one differs or is missing.
pub fn verify_sizes(package: &Package) -> Result<()> {
    let _ = package;
    Err(Error::bug("verify"))
}

/// Checks size and hash of one file in `dir`.
///
/// # Errors
/// `Data` if it differs or is missing.
pub fn verify_part(dir: &Path, part: &Part) -> Result<()> {
    let _ = (dir, part);
    Err(Error::bug("verify"))
}

/// Removes a package that is committed or not wanted any more; nothing happens if it is gone.
///
/// # Errors
/// `Io`.
pub fn remove(package: &Package) -> Result<()> {
    let _ = package;
    Err(Error::bug("remove"))
}
