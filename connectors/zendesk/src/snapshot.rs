//! What a list was like when it was last read: the hash of each row by its key.
//!
//! Lists are always read whole, so what is new, changed or gone since the last time is known by comparison, whatever
//! the stamps of the rows say. A small snapshot travels in the state; a large one is a file in the work folder, named
//! by its own content, and the state has the name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use overlock_core::Result;
use overlock_kit::files;
use sha2::{Digest as _, Sha256};

use crate::state::Position;

/// Rows of a snapshot that travels in the state.
const MAX_IN_STATE: usize = 60;
/// Bytes of JSON that it may have there; a state has room for 4 KiB.
const MAX_STATE_BYTES: usize = 3_500;
/// A file that no run has used for so long belongs to a state that is long gone.
const FORGET_AFTER: Duration = Duration::from_secs(400 * 86_400);

/// Hashes by key.
pub(crate) type Rows = BTreeMap<String, u64>;

/// The snapshots of one stream.
#[derive(Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
}

/// What is known about the last time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// The list was never read.
    Never,
    /// It was like this.
    Known(Rows),
    /// It was read, but what it was like is not on this machine.
    Lost,
}

impl Snapshots {
    /// Those of a stream, below the source's folder.
    pub(crate) fn new(folder: &Path, stream: &str) -> Self {
        Self {
            folder: folder.join("lists").join(stream),
        }
    }

    /// What the list was like at a position.
    pub(crate) fn last(&self, position: &Position) -> Last {
        let Some(name) = &position.list else {
            return Last::Never;
        };
        let found = if position.rows.is_empty() {
            self.path(name).and_then(|path| {
                let rows: Rows = files::read(&path)?;
                // Used files stay: their time is when they were last of use.
                if let Ok(file) = std::fs::File::options().append(true).open(&path) {
                    let _unimportant = file.set_modified(SystemTime::now());
                }
                Some(rows)
            })
        } else {
            position
                .rows
                .iter()
                .map(|(key, hash)| Some((key.clone(), u64::from_str_radix(hash, 16).ok()?)))
                .collect()
        };
        // The name is the hash of the content: another content is none of this state.
        match found.or_else(|| (*name == name_of(&Rows::new())).then(Rows::new)) {
            Some(rows) if name_of(&rows) == *name => Last::Known(rows),
            _ => Last::Lost,
        }
    }

    /// Keeps what the list is like now, and puts it into the position.
    ///
    /// # Errors
    /// `Io` if it must be a file and cannot be written.
    pub(crate) fn keep(&self, position: &mut Position, rows: &Rows) -> Result<()> {
        let name = name_of(rows);
        position.rows.clear();
        let spelled: BTreeMap<String, String> = rows
            .iter()
            .take(MAX_IN_STATE + 1)
            .map(|(key, hash)| (key.clone(), format!("{hash:016x}")))
            .collect();
        let bytes = serde_json::to_vec(&spelled).map_or(usize::MAX, |text| text.len());
        if rows.len() <= MAX_IN_STATE && bytes <= MAX_STATE_BYTES {
            position.rows = spelled;
        } else if let Some(path) = self.path(&name) {
            if !path.exists() {
                files::replace(&path, rows, || ())?;
            }
            self.forget_old();
        }
        position.list = Some(name);
        Ok(())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_plain.then(|| self.folder.join(format!("{name}.json")))
    }

    fn forget_old(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let age = modified.ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > FORGET_AFTER) {
                let _unimportant = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The first half of the SHA-256 of all keys and hashes.
fn name_of(rows: &Rows) -> String {
    let mut sha = Sha256::new();
    for (key, hash) in rows {
        sha.update((key.len() as u64).to_le_bytes());
        sha.update(key.as_bytes());
        sha.update(hash.to_le_bytes());
    }
    let digest = sha.finalize();
    files::hex(digest.get(..16).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> Rows {
        (0..count)
            .map(|id| (format!("{}", 28_835_702_984_212 + id), id * 7))
            .collect()
    }

    #[test]
    fn small_and_large_lists_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path(), "groups");
        let mut position = Position::new("h");
        assert_eq!(snapshots.last(&position), Last::Never);
        for count in [0, 1, 60, 61, 5_000] {
            snapshots.keep(&mut position, &rows(count)).unwrap();
            let state = position.state().unwrap();
            let back = Position::of(Some(&state), "h").unwrap();
            assert_eq!(snapshots.last(&back), Last::Known(rows(count)), "{count}");
        }
    }

    #[test]
    fn a_snapshot_that_is_gone_or_changed_is_lost_and_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path(), "groups");
        let mut position = Position::new("h");
        snapshots.keep(&mut position, &rows(500)).unwrap();
        let path = snapshots.path(position.list.as_ref().unwrap()).unwrap();
        files::replace(&path, &rows(499), || ()).unwrap();
        assert_eq!(snapshots.last(&position), Last::Lost);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(snapshots.last(&position), Last::Lost);
        position.list = Some("../../etc/passwd".to_owned());
        assert_eq!(snapshots.last(&position), Last::Lost);
    }
}
