//! Ids as they come, given back in order.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use overlock_core::{Error, ErrorKind, Result};
use overlock_kit::files;

/// An Id of 32 hexadecimal digits as a number, something beside it, and a stamp.
pub(super) type Entry = (u128, u64, i64);

/// Bytes of an entry on disk.
pub(super) const ENTRY_BYTES: usize = 32;
/// Entries that are sorted in memory: 3 MB with what aligns them.
pub(super) const PIECE: usize = 1 << 16;
/// Entries that are read at a time.
const READ: usize = 512;
/// Ids of another form, which are kept as they are.
const MOST_ODD: usize = 200_000;

/// Ids that are not 32 hexadecimal digits, by what stands for them.
pub(super) type Odd = BTreeMap<u128, String>;

/// Values of hexadecimal digits in small letters; 16: none.
const DIGITS: [u8; 256] = {
    let mut digits = [16; 256];
    let mut value = 0_u8;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// The number that 32 hexadecimal digits in small letters are.
fn parse(id: &str) -> Option<u128> {
    let digits: &[u8; 32] = id.as_bytes().try_into().ok()?;
    let mut halves = [0_u64; 2];
    let mut bad = 0;
    for (half, digits) in halves.iter_mut().zip(digits.chunks_exact(16)) {
        for digit in digits {
            let value = DIGITS[usize::from(*digit)];
            bad |= value;
            *half = *half << 4 | u64::from(value & 15);
        }
    }
    let [high, low] = halves;
    (bad < 16).then(|| u128::from(high) << 64 | u128::from(low))
}

/// What stands for an Id, and whether that is something else than its digits.
pub(super) fn key(id: &str) -> (u128, bool) {
    match parse(id) {
        Some(number) => (number, false),
        None => (parse(&files::fingerprint(id)).unwrap_or_default(), true),
    }
}

/// Ids as they come.
#[derive(Debug)]
pub(crate) struct Bag {
    folder: PathBuf,
    piece: Vec<Entry>,
    /// Where each sorted piece begins in the file, and how many entries it has.
    runs: Vec<(u64, u64)>,
    file: Option<File>,
    end: u64,
    odd: Odd,
}

impl Bag {
    /// An empty one that puts what is too much into this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            piece: Vec::new(),
            runs: Vec::new(),
            file: None,
            end: 0,
            odd: Odd::new(),
        }
    }

    /// Adds an Id with something beside it, and a stamp.
    ///
    /// # Errors
    /// `Io` if the disk fails; `Data` if too many Ids are of an unknown form.
    pub(crate) fn add(&mut self, id: &str, beside: u64, stamp: i64) -> Result<()> {
        let (key, is_odd) = key(id);
        if is_odd {
            if self.odd.len() >= MOST_ODD {
                return Err(Error::new(
                    ErrorKind::Data,
                    "remember Ids: too many of them are not 32 hexadecimal digits",
                ));
            }
            self.odd.insert(key, id.to_owned());
        }
        self.push((key, beside, stamp))
    }

    fn spill(&mut self) -> Result<()> {
        self.piece.sort_unstable();
        let folder = &self.folder;
        if self.file.is_none() {
            let make = || {
                files::make_folder(folder)?;
                tempfile::tempfile_in(folder)
            };
            self.file = Some(make().map_err(|error| failed(error, folder))?);
        }
        let Some(file) = &self.file else {
            return Err(Error::bug("lose a file that was just made"));
        };
        let mut bytes = Vec::with_capacity(self.piece.len() * ENTRY_BYTES);
        for entry in &self.piece {
            put(entry, &mut bytes);
        }
        file.write_all_at(&bytes, self.end)
            .map_err(|error| failed(error, folder))?;
        self.runs.push((self.end, self.piece.len() as u64));
        self.end += bytes.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Adds all of these to another bag.
    ///
    /// # Errors
    /// `Io` if the disk fails.
    pub(crate) fn copy_to(&self, other: &mut Self) -> Result<()> {
        for (begin, entries) in &self.runs {
            if let Some(file) = &self.file {
                let file = file
                    .try_clone()
                    .map_err(|error| failed(error, &self.folder))?;
                let mut run = Run::disk(file, *begin, *entries, &self.folder);
                while let Some(entry) = run.next()? {
                    other.push(entry)?;
                }
            }
        }
        for entry in &self.piece {
            other.push(*entry)?;
        }
        other.odd.extend(self.odd.clone());
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<()> {
        self.piece.push(entry);
        if self.piece.len() >= PIECE {
            self.spill()?;
        }
        Ok(())
    }

    /// All of them in order.
    ///
    /// # Errors
    /// `Io` if the disk fails.
    pub(crate) fn sorted(mut self) -> Result<Sorted> {
        let mut runs = Vec::new();
        if self.runs.is_empty() {
            self.piece.sort_unstable();
            runs.push(Run::Memory(self.piece.into_iter()));
        } else {
            self.spill()?;
            let folder = self.folder.clone();
            if let Some(file) = self.file.take() {
                for (begin, entries) in &self.runs {
                    let file = file.try_clone().map_err(|error| failed(error, &folder))?;
                    runs.push(Run::disk(file, *begin, *entries, &folder));
                }
            }
        }
        Sorted::new(runs, self.odd)
    }
}

pub(super) fn put(entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(&entry.0.to_be_bytes());
    out.extend_from_slice(&entry.1.to_be_bytes());
    out.extend_from_slice(&entry.2.to_be_bytes());
}

fn get(bytes: &[u8]) -> Option<Entry> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (beside, stamp) = rest.split_first_chunk::<8>()?;
    Some((
        u128::from_be_bytes(*id),
        u64::from_be_bytes(*beside),
        i64::from_be_bytes(stamp.try_into().ok()?),
    ))
}

pub(super) fn failed(error: std::io::Error, folder: &Path) -> Error {
    Error::new(ErrorKind::Io, "keep the Ids of a stream")
        .context("path", folder.display())
        .hint("check that the work folder is writable and the disk is not full")
        .source(error)
}

/// Entries that are in order.
pub(super) enum Run {
    Memory(std::vec::IntoIter<Entry>),
    Disk {
        file: File,
        folder: PathBuf,
        at: u64,
        left: u64,
        read: std::vec::IntoIter<Entry>,
    },
}

impl Run {
    pub(super) fn disk(file: File, at: u64, left: u64, folder: &Path) -> Self {
        Self::Disk {
            file,
            folder: folder.to_owned(),
            at,
            left,
            read: Vec::new().into_iter(),
        }
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::Disk {
                file,
                folder,
                at,
                left,
                read,
            } => {
                if let Some(entry) = read.next() {
                    return Ok(Some(entry));
                }
                if *left == 0 {
                    return Ok(None);
                }
                let entries = usize::try_from(*left).unwrap_or(READ).min(READ);
                let mut bytes = vec![0; entries * ENTRY_BYTES];
                file.read_exact_at(&mut bytes, *at)
                    .map_err(|error| failed(error, folder))?;
                *at += bytes.len() as u64;
                *left -= entries as u64;
                let found: Vec<Entry> = bytes.chunks_exact(ENTRY_BYTES).filter_map(get).collect();
                *read = found.into_iter();
                Ok(read.next())
            }
        }
    }
}

/// Ids in order; equal ones beside each other.
pub(crate) struct Sorted {
    runs: Vec<Run>,
    /// By Id, then by run: of equal Ids the youngest comes last.
    heads: BinaryHeap<Reverse<(u128, usize, u64, i64)>>,
    pub(super) odd: Odd,
}

impl Sorted {
    pub(super) fn new(mut runs: Vec<Run>, odd: Odd) -> Result<Self> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (at, run) in runs.iter_mut().enumerate() {
            if let Some(entry) = run.next()? {
                heads.push(Reverse((entry.0, at, entry.1, entry.2)));
            }
        }
        Ok(Self { runs, heads, odd })
    }

    /// The next one.
    ///
    /// # Errors
    /// `Io` if the disk fails.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(None);
        };
        let Reverse((id, at, beside, stamp)) = *head;
        let next = match self.runs.get_mut(at) {
            Some(run) => run.next()?,
            None => None,
        };
        // In place: an entry that goes and one that comes would order the heap twice.
        match next {
            Some(next) => *head = Reverse((next.0, at, next.1, next.2)),
            None => drop(PeekMut::pop(head)),
        }
        Ok(Some((id, beside, stamp)))
    }

    /// The first Id that comes twice, if there is one.
    ///
    /// # Errors
    /// `Io` if the disk fails.
    pub(crate) fn repeated(mut self) -> Result<Option<String>> {
        let mut last: Option<Entry> = None;
        while let Some(entry) = self.next()? {
            if last.is_some_and(|last| last.0 == entry.0) {
                return Ok(Some(self.id(&entry)));
            }
            last = Some(entry);
        }
        Ok(None)
    }

    /// The Id that an entry stands for.
    pub(crate) fn id(&self, entry: &Entry) -> String {
        name(&self.odd, entry)
    }
}

fn name(odd: &Odd, entry: &Entry) -> String {
    odd.get(&entry.0)
        .cloned()
        .unwrap_or_else(|| format!("{:032x}", entry.0))
}

impl std::fmt::Debug for Sorted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sorted")
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}
