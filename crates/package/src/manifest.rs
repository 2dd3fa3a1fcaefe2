//! The manifest file.

use std::path::Path;

use overlock_core::{Error, Manifest, Package, Result};

/// Name of the manifest file in a package folder.
pub const FILE_NAME: &str = "manifest.json";

/// Reads and checks the manifest of the folder `dir`; does not look at the files it names.
///
/// # Errors
/// `NotFound` if there is none, `Data` if it is damaged, `Config` if it is of a newer format.
pub fn load(dir: &Path) -> Result<Package> {
    let _ = dir;
    Err(Error::bug("load"))
}

/// The bytes of the manifest file.
///
/// # Errors
/// `Bug` if it cannot be written as JSON.
pub fn encode(manifest: &Manifest) -> Result<Vec<u8>> {
    let _ = manifest;
    Err(Error::bug("encode"))
}

/// Reads the bytes of a manifest file.
///
/// # Errors
/// `Data` if they are damaged, `Config` if they are of a newer format.
pub fn decode(bytes: &[u8]) -> Result<Manifest> {
    let _ = bytes;
    Err(Error::bug("decode"))
}
