//! What a stream has delivered: Ids in files, each sorted.
//!
//! **Invariant:** a run on the shelf is complete or not there; it is on disk before the state that covers its rows.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use overlock_core::Result;
use overlock_kit::files;

use super::bag::{ENTRY_BYTES, Entry, Odd, Run, Sorted, failed, key, put};

/// The Ids that a stream has delivered, or what it delivered them with.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

const SUFFIX: &str = "ids";
const ODD: &str = "odd.json";

impl Shelf {
    /// The shelf in this folder, which need not be there.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Complete runs, oldest first: number, path, entries.
    fn runs(&self) -> Result<Vec<(u64, PathBuf, u64)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error, &self.folder)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(error, &self.folder))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| stem.parse::<u64>().ok());
            let is_run = path.extension().is_some_and(|one| one == SUFFIX);
            if let (Some(number), true) = (number, is_run) {
                let length = fs::symlink_metadata(&path)
                    .map_err(|error| failed(error, &self.folder))?
                    .len();
                runs.push((number, path, length / ENTRY_BYTES as u64));
            }
        }
        runs.sort_unstable();
        Ok(runs)
    }

    fn odd(&self) -> Odd {
        let kept: Vec<String> = files::read(&self.folder.join(ODD)).unwrap_or_default();
        kept.into_iter().map(|id| (key(&id).0, id)).collect()
    }

    /// Everything in order; an Id may stand there several times.
    pub(crate) fn open(&self) -> Result<Sorted> {
        let mut runs = Vec::new();
        for (_, path, entries) in self.runs()? {
            runs.push(self.run(&path, entries)?);
        }
        Sorted::new(runs, self.odd())
    }

    fn run(&self, path: &Path, entries: u64) -> Result<Run> {
        let file = File::open(path).map_err(|error| failed(error, &self.folder))?;
        Ok(Run::disk(file, 0, entries, &self.folder))
    }

    /// Puts the Ids of a bag here, each once; returns the first that was in it twice.
    ///
    /// # Errors
    /// `Io` if the disk fails; nothing has changed then.
    pub(crate) fn add(&self, mut sorted: Sorted) -> Result<Option<String>> {
        let runs = self.runs()?;
        let number = runs.last().map_or(1, |(number, _, _)| number + 1);
        let (written, twice) = self.write_run(number, &mut sorted, true)?;
        if let Some(twice) = twice {
            return Ok(Some(sorted.id(&twice)));
        }
        self.keep_odd(&mut sorted)?;
        let Some(written) = written else {
            return Ok(None);
        };
        written.publish(&self.folder)?;
        self.tidy(number)?;
        Ok(None)
    }

    /// Puts everything of a list here, the last of several.
    ///
    /// # Errors
    /// `Io` if the disk fails; nothing has changed then.
    pub(crate) fn add_all(&self, mut sorted: Sorted) -> Result<()> {
        let number = self.runs()?.last().map_or(1, |(number, _, _)| number + 1);
        let (written, _) = self.write_run(number, &mut sorted, false)?;
        self.keep_odd(&mut sorted)?;
        let Some(written) = written else {
            return Ok(());
        };
        written.publish(&self.folder)?;
        self.tidy(number)
    }

    /// Takes everything away.
    ///
    /// # Errors
    /// `Io` if the disk fails.
    pub(crate) fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed(error, &self.folder))
            }
            _ => Ok(()),
        }
    }

    fn keep_odd(&self, sorted: &mut Sorted) -> Result<()> {
        if sorted.odd.is_empty() {
            return Ok(());
        }
        let mut odd = self.odd();
        odd.append(&mut sorted.odd);
        let ids: Vec<&String> = odd.values().collect();
        files::replace(&self.folder.join(ODD), &ids, || ())
    }

    /// Merges young runs, so that there are about as many as the number of entries has binary digits.
    fn tidy(&self, newest: u64) -> Result<()> {
        let mut runs = self.runs()?;
        let mut sum = 0;
        let mut first = runs.len();
        for (at, (_, _, entries)) in runs.iter().enumerate().rev() {
            if at + 1 < runs.len() && *entries > 2 * sum {
                break;
            }
            sum += entries;
            first = at;
        }
        if runs.len() - first < 4 {
            return Ok(());
        }
        let merged = runs.split_off(first);
        let mut open = Vec::new();
        for (_, path, entries) in &merged {
            open.push(self.run(path, *entries)?);
        }
        let mut sorted = Sorted::new(open, Odd::new())?;
        let (written, _) = self.write_run(newest + 1, &mut sorted, false)?;
        if let Some(written) = written {
            written.publish(&self.folder)?;
            for (_, path, _) in merged {
                fs::remove_file(path).ok();
            }
        }
        Ok(())
    }

    /// Writes a run under a temporary name. If `strict`, it stops at the first Id that comes twice; else the last
    /// of several is written.
    fn write_run(
        &self,
        number: u64,
        sorted: &mut Sorted,
        strict: bool,
    ) -> Result<(Option<Written>, Option<Entry>)> {
        let fail = |error| failed(error, &self.folder);
        files::make_folder(&self.folder).map_err(fail)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(fail)?;
        let mut count = 0_u64;
        {
            let mut out = BufWriter::with_capacity(64 << 10, file.as_file_mut());
            let mut bytes = Vec::with_capacity(ENTRY_BYTES);
            let mut held = sorted.next()?;
            while let Some(entry) = held {
                held = sorted.next()?;
                if held.is_some_and(|next| next.0 == entry.0) {
                    if strict {
                        return Ok((None, Some(entry)));
                    }
                    continue;
                }
                bytes.clear();
                put(&entry, &mut bytes);
                out.write_all(&bytes).map_err(fail)?;
                count += 1;
            }
            out.flush().map_err(fail)?;
        }
        let written = (count > 0).then_some(Written { number, file });
        Ok((written, None))
    }

    /// Tells of Ids that are here and neither in `present` nor `gone`, and the other way round; returns how many are here.
    ///
    /// # Errors
    /// `Io` if the disk fails.
    pub(crate) fn differences(
        &self,
        gone: &Self,
        present: Sorted,
        mut take: impl FnMut(Difference, String, i64) -> Result<()>,
    ) -> Result<u64> {
        let mut count = 0;
        let mut known = Distinct::new(self.open()?)?;
        let mut gone = Distinct::new(gone.open()?)?;
        let mut found = Distinct::new(present)?;
        loop {
            let order = match (known.head, found.head) {
                (None, None) => return Ok(count),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(known), Some(found)) => known.0.cmp(&found.0),
            };
            if order != std::cmp::Ordering::Greater {
                count += 1;
            }
            match order {
                std::cmp::Ordering::Less => {
                    if let Some(entry) = known.head
                        && !gone.skip_to(&entry)?
                    {
                        take(Difference::Missing, known.sorted.id(&entry), entry.2)?;
                    }
                    known.advance()?;
                }
                std::cmp::Ordering::Greater => {
                    if let Some(entry) = found.head {
                        take(Difference::New, found.sorted.id(&entry), entry.2)?;
                    }
                    found.advance()?;
                }
                std::cmp::Ordering::Equal => {
                    if let (Some(before), Some(now)) = (known.head, found.head) {
                        let id = found.sorted.id(&now);
                        if gone.skip_to(&before)? {
                            take(Difference::Returned, id, now.2)?;
                        } else if before.1 != now.1 {
                            take(Difference::Changed, id, now.2)?;
                        }
                    }
                    known.advance()?;
                    found.advance()?;
                }
            }
        }
    }
}

/// How an Id differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It is on the shelf, and not present any more.
    Missing,
    /// It is present, and not on the shelf.
    New,
    /// It was told to be gone, and is present.
    Returned,
    /// It stands beside something else.
    Changed,
}

/// A run with a temporary name.
struct Written {
    number: u64,
    file: tempfile::NamedTempFile,
}

impl Written {
    fn publish(self, folder: &Path) -> Result<()> {
        let fail = |error| failed(error, folder);
        self.file.as_file().sync_all().map_err(fail)?;
        let path = folder.join(format!("{:012}.{SUFFIX}", self.number));
        self.file
            .persist(path)
            .map_err(|error| failed(error.error, folder))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fail)
    }
}

/// The Ids of a sorted list, each once; of several, the last.
struct Distinct {
    sorted: Sorted,
    head: Option<Entry>,
    ahead: Option<Entry>,
}

impl Distinct {
    fn new(mut sorted: Sorted) -> Result<Self> {
        let ahead = sorted.next()?;
        let mut distinct = Self {
            sorted,
            head: None,
            ahead,
        };
        distinct.advance()?;
        Ok(distinct)
    }

    fn advance(&mut self) -> Result<()> {
        self.head = self.ahead.take();
        let Some(mut head) = self.head else {
            return Ok(());
        };
        while let Some(next) = self.sorted.next()? {
            if next.0 != head.0 {
                self.ahead = Some(next);
                break;
            }
            head = next;
        }
        self.head = Some(head);
        Ok(())
    }

    /// Whether it has this Id, and means it: beside one that came back stands nothing. What comes before is passed over.
    fn skip_to(&mut self, entry: &Entry) -> Result<bool> {
        while self.head.is_some_and(|head| head.0 < entry.0) {
            self.advance()?;
        }
        Ok(self
            .head
            .is_some_and(|head| head.0 == entry.0 && head.1 != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::bag::{Bag, PIECE};
    use super::*;

    fn id(number: u64) -> String {
        format!("2c92{:028x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn bag(folder: &Path, ids: impl IntoIterator<Item = (String, u64)>) -> Bag {
        let mut bag = Bag::new(folder);
        for (id, beside) in ids {
            bag.add(&id, beside, 0).unwrap();
        }
        bag
    }

    fn plain(folder: &Path, numbers: impl IntoIterator<Item = u64>) -> Sorted {
        bag(folder, numbers.into_iter().map(|number| (id(number), 0)))
            .sorted()
            .unwrap()
    }

    fn all(mut sorted: Sorted) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(entry) = sorted.next().unwrap() {
            ids.push(sorted.id(&entry));
        }
        ids
    }

    fn differences(shelf: &Shelf, gone: &Shelf, present: Sorted) -> Vec<(Difference, String)> {
        let mut found = Vec::new();
        shelf
            .differences(gone, present, |difference, id, _| {
                found.push((difference, id));
                Ok(())
            })
            .unwrap();
        found
    }

    #[test]
    fn ids_come_back_in_order_whether_they_fit_in_memory_or_not() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 1, 1_000, PIECE as u64, PIECE as u64 * 2 + 17] {
            let mut expected: Vec<String> = (0..count).map(id).collect();
            expected.sort();
            assert!(all(plain(folder.path(), 0..count)) == expected, "{count}");
        }
        // What was too much for memory had no name.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_id_that_comes_twice_is_found_however_far_apart() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("s"));
        let far = PIECE as u64 * 2;
        let twice = (0..far).chain([7]);
        assert_eq!(shelf.add(plain(folder.path(), twice)).unwrap(), Some(id(7)));
        assert!(shelf.runs().unwrap().is_empty());
        assert_eq!(shelf.add(plain(folder.path(), 0..far)).unwrap(), None);
        assert!(!shelf.runs().unwrap().is_empty());
    }

    #[test]
    fn what_is_gone_new_or_changed_is_found_once() {
        use Difference::{Changed, Missing, New, Returned};
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("known"));
        let gone = Shelf::new(folder.path().join("gone"));
        shelf.add(plain(folder.path(), 0..10)).unwrap();
        shelf.add(plain(folder.path(), 5..20)).unwrap();
        let told = bag(folder.path(), [(id(3), 1), (id(6), 1), (id(7), 1)]);
        gone.add(told.sorted().unwrap()).unwrap();
        // This one came back.
        gone.add(plain(folder.path(), [7])).unwrap();
        let present = bag(
            folder.path(),
            (0..25)
                .filter(|number| ![3, 4, 19].contains(number))
                .map(|number| (id(number), u64::from(number == 8))),
        );
        let mut found = differences(&shelf, &gone, present.sorted().unwrap());
        found.sort_by(|a, b| a.1.cmp(&b.1));
        let mut expected = vec![
            (Missing, id(4)),
            (Missing, id(19)),
            (Changed, id(8)),
            (Returned, id(6)),
        ];
        expected.extend((20..25).map(|number| (New, id(number))));
        expected.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(found, expected);
    }

    #[test]
    fn runs_are_merged_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().to_owned());
        for round in 0..50_u64 {
            let ids = round * 10..round * 10 + 15;
            shelf.add(plain(folder.path(), ids)).unwrap();
        }
        assert!(shelf.runs().unwrap().len() < 12);
        let none = Shelf::new(folder.path().join("none"));
        assert_eq!(differences(&shelf, &none, plain(folder.path(), 0..505)), []);
        shelf.clear().unwrap();
        assert!(shelf.runs().unwrap().is_empty());
        shelf.clear().unwrap();
    }

    #[test]
    fn of_what_stands_beside_an_id_the_latest_counts() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("s"));
        let none = Shelf::new(folder.path().join("none"));
        let one = |beside| bag(folder.path(), [(id(1), beside)]).sorted().unwrap();
        for beside in [9, 3, 7, 1, 8, 2] {
            shelf.add(one(beside)).unwrap();
            assert_eq!(differences(&shelf, &none, one(beside)), [], "{beside}");
        }
        assert_eq!(
            differences(&shelf, &none, one(9)),
            [(Difference::Changed, id(1))]
        );
    }

    #[test]
    fn ids_of_another_form_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("s"));
        let odd = ["3", "2C92A0", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "é"];
        let ids = || odd.iter().map(|id| ((*id).to_owned(), 0));
        shelf
            .add(bag(folder.path(), ids()).sorted().unwrap())
            .unwrap();
        let none = Shelf::new(folder.path().join("none"));
        let empty = bag(folder.path(), []).sorted().unwrap();
        let mut found: Vec<String> = differences(&shelf, &none, empty)
            .into_iter()
            .map(|(_, id)| id)
            .collect();
        found.sort();
        let mut expected: Vec<String> = odd.iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(found, expected);
    }
}
