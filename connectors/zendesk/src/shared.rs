//! Pages that several streams of a run need: asked for once, kept until each has had it.
//!
//! Tickets, their metrics, audits and comments all follow the same export. Each stream has a state of its own and
//! reads on its own; whoever comes first to a page asks Zendesk for it, and the others are given the same bytes.
//! Which streams will come is known from what a run discovers. A page that somebody is late for waits in a file
//! without a name, so that a slow stream costs disk and neither memory nor calls.
//!
//! **Invariant:** what is shared is only ever an answer of this run; a stream that finds nothing here asks itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::Future;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use overlock_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

/// Pages that are kept in memory; others wait on disk.
const IN_MEMORY: usize = 3;

/// The pages of one source.
#[derive(Debug)]
pub(crate) struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Streams that will follow an export, by the name of the export.
    expected: BTreeMap<&'static str, BTreeSet<String>>,
    /// The same as it was at the beginning of the run.
    wanted: BTreeMap<&'static str, BTreeSet<String>>,
    pages: BTreeMap<Place, Slot>,
    order: u64,
    file: Option<Spill>,
}

/// An export and a position in it.
type Place = (&'static str, String);

#[derive(Debug)]
struct Slot {
    /// Streams that have not had it.
    awaited: BTreeSet<String>,
    held: Held,
    age: u64,
}

#[derive(Debug)]
enum Held {
    /// In memory, or on its way.
    Cell(Arc<OnceCell<Bytes>>),
    Disk {
        at: u64,
        bytes: usize,
    },
}

/// A file without a name: it is gone with the process, however that ends.
#[derive(Debug)]
struct Spill {
    file: File,
    end: u64,
    pages: usize,
}

/// What came of looking for a page.
enum Found {
    Cell(Arc<OnceCell<Bytes>>),
    Page(Bytes),
}

impl Shared {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run: these streams will follow these exports.
    pub(crate) fn expect(&self, streams: impl IntoIterator<Item = (&'static str, String)>) {
        let mut state = self.state();
        *state = State::default();
        for (export, stream) in streams {
            state.expected.entry(export).or_default().insert(stream);
        }
        state.wanted = state.expected.clone();
    }

    /// Whether a stream of this run follows the export, or did so.
    pub(crate) fn is_wanted(&self, export: &'static str, stream: &str) -> bool {
        self.state()
            .wanted
            .get(export)
            .is_some_and(|streams| streams.contains(stream))
    }

    /// The page at a position of an export, from `ask` if nobody had it before.
    ///
    /// # Errors
    /// Those of `ask`, and `Io` if the disk fails.
    pub(crate) async fn page(
        &self,
        export: &'static str,
        position: &str,
        stream: &str,
        ask: impl Future<Output = Result<Bytes>>,
    ) -> Result<Bytes> {
        let place: Place = (export, position.to_owned());
        let cell = match self.find(&place, stream)? {
            Found::Page(page) => return Ok(page),
            Found::Cell(cell) => cell,
        };
        let page = cell.get_or_try_init(|| ask).await?.clone();
        self.taken(&place, stream)?;
        Ok(page)
    }

    /// Looks for a page; makes an empty place for it if there is none.
    fn find(&self, place: &Place, stream: &str) -> Result<Found> {
        let mut state = self.state();
        let expected = state.expected.get(place.0).cloned().unwrap_or_default();
        state.order += 1;
        let age = state.order;
        let slot = state.pages.entry(place.clone()).or_insert_with(|| Slot {
            awaited: expected,
            held: Held::Cell(Arc::default()),
            age,
        });
        match &slot.held {
            Held::Cell(cell) => Ok(Found::Cell(Arc::clone(cell))),
            Held::Disk { at, bytes } => {
                let (at, bytes) = (*at, *bytes);
                let page = state.file.as_mut().map(|spill| spill.read(at, bytes));
                drop(state);
                let page = page.ok_or_else(|| Error::bug("read a page that is not kept"))??;
                self.taken(place, stream)?;
                Ok(Found::Page(page))
            }
        }
    }

    /// The stream has had the page: it goes if nobody else waits for it, and to disk if it is one too many.
    fn taken(&self, place: &Place, stream: &str) -> Result<()> {
        let mut state = self.state();
        if let Some(slot) = state.pages.get_mut(place) {
            slot.awaited.remove(stream);
            if slot.awaited.is_empty() {
                state.drop_page(place);
            }
        }
        let mut full: Vec<(u64, Place)> = state
            .pages
            .iter()
            .filter(|(_, slot)| matches!(&slot.held, Held::Cell(cell) if cell.initialized()))
            .map(|(place, slot)| (slot.age, place.clone()))
            .collect();
        full.sort_unstable();
        // The oldest is what the latest stream asks for next; the newest are what the quick ones need.
        let surplus = full.len().saturating_sub(IN_MEMORY);
        for (_, place) in full.into_iter().rev().take(surplus) {
            state.spill(&place, &self.folder)?;
        }
        Ok(())
    }

    /// Drops what is kept of an export: one of its pages turned out damaged.
    pub(crate) fn forget(&self, export: &'static str) {
        let mut state = self.state();
        let places: Vec<Place> = state
            .pages
            .keys()
            .filter(|place| place.0 == export)
            .cloned()
            .collect();
        for place in places {
            state.drop_page(&place);
        }
    }

    /// The stream will ask for no more pages of the export.
    pub(crate) fn leave(&self, export: &'static str, stream: &str) {
        let mut state = self.state();
        if let Some(expected) = state.expected.get_mut(export) {
            expected.remove(stream);
        }
        let mut done = Vec::new();
        for (place, slot) in &mut state.pages {
            if place.0 == export {
                slot.awaited.remove(stream);
                if slot.awaited.is_empty() {
                    done.push(place.clone());
                }
            }
        }
        for place in done {
            state.drop_page(&place);
        }
    }
}

impl State {
    fn drop_page(&mut self, place: &Place) {
        let removed = self.pages.remove(place);
        if let (
            Some(Slot {
                held: Held::Disk { .. },
                ..
            }),
            Some(spill),
        ) = (removed, &mut self.file)
        {
            spill.pages -= 1;
            if spill.pages == 0 {
                // The room is given back at once.
                self.file = None;
            }
        }
    }

    fn spill(&mut self, place: &Place, folder: &std::path::Path) -> Result<()> {
        let Some(slot) = self.pages.get_mut(place) else {
            return Ok(());
        };
        let Held::Cell(cell) = &slot.held else {
            return Ok(());
        };
        let Some(page) = cell.get() else {
            return Ok(());
        };
        let spill = match &mut self.file {
            Some(spill) => spill,
            none => none.insert(Spill::new(folder)?),
        };
        let at = spill.write(page)?;
        slot.held = Held::Disk {
            at,
            bytes: page.len(),
        };
        Ok(())
    }
}

impl Spill {
    fn new(folder: &std::path::Path) -> Result<Self> {
        let make = || {
            overlock_kit::files::make_folder(folder)?;
            tempfile::tempfile_in(folder)
        };
        let file = make().map_err(|error| failed(error).context("path", folder.display()))?;
        Ok(Self {
            file,
            end: 0,
            pages: 0,
        })
    }

    fn write(&mut self, page: &[u8]) -> Result<u64> {
        let at = self.end;
        self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        self.file.write_all(page).map_err(failed)?;
        self.end += page.len() as u64;
        self.pages += 1;
        Ok(at)
    }

    fn read(&mut self, at: u64, bytes: usize) -> Result<Bytes> {
        let mut page = vec![0; bytes];
        self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        self.file.read_exact(&mut page).map_err(failed)?;
        Ok(Bytes::from(page))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        "keep a page of an export for a stream that is behind",
    )
    .hint("check that the work folder is writable and the disk is not full")
    .source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const EXPORT: &str = "tickets";

    fn shared(streams: &[&str]) -> (tempfile::TempDir, Shared) {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::new(folder.path().to_owned());
        shared.expect(streams.iter().map(|stream| (EXPORT, (*stream).to_owned())));
        (folder, shared)
    }

    async fn take(shared: &Shared, stream: &str, number: u32, asked: &AtomicU32) -> Bytes {
        let position = number.to_string();
        let page = shared.page(EXPORT, &position, stream, async {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from(format!("page {number}").repeat(100)))
        });
        page.await.unwrap()
    }

    #[tokio::test]
    async fn each_page_is_asked_for_once_however_far_apart_the_streams_are() {
        let (folder, shared) = shared(&["a", "b", "c"]);
        let asked = AtomicU32::new(0);
        let mut pages = Vec::new();
        for number in 0..20 {
            pages.push(take(&shared, "a", number, &asked).await);
        }
        for number in 0..20 {
            let (b, c) = tokio::join!(
                take(&shared, "b", number, &asked),
                take(&shared, "c", number, &asked)
            );
            assert_eq!((&b, &c), (&pages[number as usize], &pages[number as usize]));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 20);
        let state = shared.state();
        assert!(state.pages.is_empty() && state.file.is_none());
        drop(state);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn who_is_not_expected_or_left_holds_nothing() {
        let (_folder, shared) = shared(&["a", "b"]);
        let asked = AtomicU32::new(0);
        take(&shared, "x", 1, &asked).await;
        take(&shared, "a", 1, &asked).await;
        assert_eq!(shared.state().pages.len(), 1);
        shared.leave(EXPORT, "b");
        assert!(shared.state().pages.is_empty());
        take(&shared, "a", 2, &asked).await;
        assert!(shared.state().pages.is_empty());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_failed_answer_is_not_kept() {
        let (_folder, shared) = shared(&["a", "b"]);
        let failed = shared.page(EXPORT, "1", "a", async {
            Err(Error::new(ErrorKind::Unavailable, "ask"))
        });
        assert!(failed.await.is_err());
        let asked = AtomicU32::new(0);
        take(&shared, "b", 1, &asked).await;
        take(&shared, "a", 1, &asked).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
