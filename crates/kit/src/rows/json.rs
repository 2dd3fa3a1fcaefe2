//! JSON to Arrow: one pass over an array of records, without building values.
//!
//! serde_json splits each record into keys and raw values that are borrowed from the page; it skips nested values
//! without recursion. Known keys are parsed from their text straight into their column. A column is found by the
//! place its key had in the record before, and by name only where that guess is wrong.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use overlock_core::{Error, ErrorKind, Result};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::batch::Builder;
use super::text::repair;
use super::{Counts, Options};

/// Decodes pages that are JSON arrays of records.
#[derive(Debug)]
pub struct JsonDecoder {
    builder: Builder,
    /// Keys in the order of the latest record.
    order: Vec<(String, Place)>,
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To a column, and perhaps to `_deleted`.
    Column(usize, bool),
    /// Only to `_deleted`.
    Deleted,
    /// Nowhere.
    Skip,
    /// To `_extra`.
    Unknown,
}

impl JsonDecoder {
    /// Prepares for pages with these columns, the last of which must be `_extra`.
    ///
    /// # Errors
    /// `Bug` if the schema has a column type that rows cannot have, or lacks `_extra`.
    pub fn new(schema: SchemaRef, options: Options) -> Result<Self> {
        Ok(Self {
            builder: Builder::new(schema, options)?,
            order: Vec::new(),
        })
    }

    /// Decodes a whole page, a JSON array of objects. All of its rows are in `batches` afterwards, or, after an
    /// error, none. Returns what was seen in this page.
    ///
    /// Strings with invalid UTF-8 or lone surrogates are repaired and counted; a page that is broken outside of
    /// its strings is refused.
    ///
    /// # Errors
    /// `Data` if the page is not a JSON array of objects.
    pub fn page(&mut self, array: &[u8], batches: &mut Vec<RecordBatch>) -> Result<Counts> {
        let before = batches.len();
        let decoded = self.decode(array, batches);
        if decoded.is_err() {
            batches.truncate(before);
            self.builder.clear();
        }
        decoded
    }

    fn decode(&mut self, array: &[u8], batches: &mut Vec<RecordBatch>) -> Result<Counts> {
        let before = batches.len();
        if let Ok(text) = std::str::from_utf8(array) {
            match self.decode_text(text, batches) {
                Err(Failure::Syntax(_)) if memchr::memmem::find(array, b"\\u").is_some() => {
                    // Perhaps a lone surrogate in a key, the only place where serde_json minds one.
                    batches.truncate(before);
                    self.builder.clear();
                }
                decoded => return decoded.map_err(Failure::into_error),
            }
        }
        let Some((fixed, lossy)) = repair(array) else {
            return Err(refuse());
        };
        let text = std::str::from_utf8(&fixed).map_err(|error| refuse().source(error))?;
        let mut counts = self
            .decode_text(text, batches)
            .map_err(Failure::into_error)?;
        counts.lossy_strings += lossy;
        Ok(counts)
    }

    fn decode_text(
        &mut self,
        text: &str,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<Counts, Failure> {
        let mut page = Page {
            values: vec![None; self.builder.width()],
            builder: &mut self.builder,
            order: &mut self.order,
            unknown: Vec::new(),
            batches,
            counts: Counts::default(),
            failure: None,
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json
            .deserialize_seq(Records(&mut page))
            .and_then(|()| json.end());
        if let Some(error) = page.failure {
            return Err(Failure::Other(error));
        }
        read.map_err(Failure::Syntax)?;
        page.flush().map_err(Failure::Other)?;
        Ok(page.counts)
    }
}

enum Failure {
    /// The page is not JSON of the right form.
    Syntax(serde_json::Error),
    Other(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            // serde_json's message may quote a key or a value, so that only the place is told.
            Self::Syntax(error) => refuse()
                .context("line", error.line())
                .context("column", error.column()),
            Self::Other(error) => error,
        }
    }
}

fn refuse() -> Error {
    Error::new(
        ErrorKind::Data,
        "read a page: it is not a JSON array of objects",
    )
}

/// A page on its way through serde.
struct Page<'p, 'de> {
    builder: &'p mut Builder,
    order: &'p mut Vec<(String, Place)>,
    /// The value of each column in the record at hand.
    values: Vec<Option<&'de str>>,
    unknown: Vec<(Cow<'de, str>, &'de str)>,
    batches: &'p mut Vec<RecordBatch>,
    counts: Counts,
    failure: Option<Error>,
}

impl<'de> Page<'_, 'de> {
    /// Where the key at this place of the record goes.
    fn place(&mut self, at: usize, key: &str) -> Place {
        if let Some((known, place)) = self.order.get(at)
            && known == key
        {
            return *place;
        }
        let place = if self
            .builder
            .options
            .skip_keys
            .iter()
            .any(|skipped| skipped == key)
        {
            Place::Skip
        } else {
            let target = self.builder.target(key);
            match (target.column, target.copy) {
                (Some(column), copy) => Place::Column(column, copy.is_some()),
                (None, Some(_)) => Place::Deleted,
                (None, None) => Place::Unknown,
            }
        };
        // A record with a million keys must not make the memory of them permanent.
        if at < self.order.len() {
            if let Some(entry) = self.order.get_mut(at) {
                *entry = (key.to_owned(), place);
            }
        } else if at < 4096 && at == self.order.len() {
            self.order.push((key.to_owned(), place));
        }
        place
    }

    fn take_record<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        self.values.fill(None);
        self.unknown.clear();
        let mut copy = None;
        let mut at = 0;
        while let Some(Key(key)) = map.next_key()? {
            let raw = map.next_value::<&'de RawValue>()?.get();
            let place = self.place(at, &key);
            let slot = match place {
                Place::Column(column, copied) => {
                    if copied {
                        copy = Some(raw);
                    }
                    self.values.get_mut(column)
                }
                Place::Deleted => Some(&mut copy),
                Place::Skip => None,
                Place::Unknown => {
                    self.unknown.push((key, raw));
                    None
                }
            };
            if let Some(slot) = slot
                && slot.replace(raw).is_some()
            {
                self.builder.counts.duplicate_keys += 1;
            }
            at += 1;
        }
        self.drop_duplicates();
        let unknown = self.unknown.iter().map(|(key, raw)| (key.as_ref(), *raw));
        if let Err(error) = self.builder.take_record(&self.values, copy, unknown) {
            self.failure = Some(error);
        } else if self.builder.is_full()
            && let Err(error) = self.flush()
        {
            self.failure = Some(error);
        }
        Ok(())
    }

    /// Of unknown keys that are there more than once, the last one stays, in the place of the first.
    fn drop_duplicates(&mut self) {
        let unknown = self.unknown.as_slice();
        let repeats = |at: usize, key: &str| unknown.iter().take(at).any(|(other, _)| other == key);
        // A few keys are compared with each other; only many are worth a table.
        if unknown.len() <= 16
            && !unknown
                .iter()
                .enumerate()
                .any(|(at, (key, _))| repeats(at, key))
        {
            return;
        }
        let mut seen: HashMap<Cow<'de, str>, usize> = HashMap::with_capacity(self.unknown.len());
        let mut kept: Vec<(Cow<'de, str>, &'de str)> = Vec::with_capacity(self.unknown.len());
        for (key, raw) in self.unknown.drain(..) {
            if let Some(entry) = seen.get(&key).and_then(|first| kept.get_mut(*first)) {
                entry.1 = raw;
                self.builder.counts.duplicate_keys += 1;
            } else {
                seen.insert(key.clone(), kept.len());
                kept.push((key, raw));
            }
        }
        self.unknown = kept;
    }

    fn flush(&mut self) -> Result<()> {
        if let Some((batch, counts)) = self.builder.finish()? {
            self.counts += counts;
            self.batches.push(batch);
        }
        Ok(())
    }
}

/// The array of records.
struct Records<'a, 'p, 'de>(&'a mut Page<'p, 'de>);

impl<'de> Visitor<'de> for Records<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while records.next_element_seed(Record(self.0))?.is_some() {
            if self.0.failure.is_some() {
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// One record.
struct Record<'a, 'p, 'de>(&'a mut Page<'p, 'de>);

impl<'de> DeserializeSeed<'de> for Record<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.take_record(map)
    }
}

/// A key, borrowed unless it has escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
