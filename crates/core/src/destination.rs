//! What a destination does.

use async_trait::async_trait;

use crate::error::Result;
use crate::name::SyncKey;
use crate::package::{Commit, Package};

/// A place where packages become visible.
///
/// Rules, each with a test in the conformance suite:
/// - **D1** `commit` of a package whose id equals the head id returns the head (already done).
/// - **D2** `commit` of a package whose parent is not the head fails with `Conflict` and changes nothing.
/// - **D3** After any crash, `head` tells the truth: old head and old rows, or new head and new rows.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Proves that rows could be written, without writing any; says what a person should know, in phrases.
    async fn check(&self) -> Result<Vec<String>>;

    /// The newest commit for this key, if any. This is the only state store there is.
    async fn head(&self, key: &SyncKey) -> Result<Option<Commit>>;

    /// Whether a commit costs money, so that one without rows is not worth making: the head then stays where
    /// it is, and the next run reads the same empty stretch again. Commits of a run are made together, and each is
    /// tried once: such a destination repeats by itself what is worth another try.
    fn is_costly(&self) -> bool {
        false
    }

    /// Makes the package's rows and state visible atomically. Safe to call again after any failure.
    ///
    /// # Errors
    /// `Conflict` if the parent is not the head; `Schema` if a policy refuses the rows, for example an
    /// empty replace over a table with rows; `Destination` or `Io` otherwise.
    async fn commit(&self, package: &Package) -> Result<Commit>;
}
