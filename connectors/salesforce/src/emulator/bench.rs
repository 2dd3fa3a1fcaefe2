//! One wide object of many rows for measurements, served with as little work as can be.
//!
//! Up to 100,000 different rows are rendered once per selected column list; more rows repeat them with
//! other ids. A page is copied in blocks with the ids written over, and pages are kept for the next
//! reader as long as memory allows, so that client and emulator can share two cores.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use overlock_core::Timestamp;
use overlock_sandbox::Body;

use super::evaluate::{Column, Filter, Plan, holds};
use super::model::{Object, Row, Value, Version};
use super::render::CsvStyle;
use super::schema::{self, Blueprint};
use super::soql::Operator;

/// Different rows; more repeat them.
const TEMPLATE_ROWS: u64 = 100_000;

/// Bytes of finished pages that are kept, all selections together.
const KEEP_BYTES: u64 = 700 * 1024 * 1024;

/// Selections that are remembered for the next query of the same rows and columns.
const KEEP_SELECTIONS: usize = 4;

/// Bytes per block of a page.
const BLOCK_BYTES: usize = 256 * 1024;

const PREFIX: &str = "aBn";

/// Forty fields, seven of them common: Id, IsDeleted and the audit fields.
const FIELDS: &str = "Name s80 name; AccountNumber__c s40 ext; Status__c pk40; Stage__c pk40; Region__c pk40; \
    Owner__c ref(User); Account__c ref(Account); Email__c em80; Phone__c ph40; Website__c url255; Street__c ta255; \
    City__c s40; State__c s80; PostalCode__c s20; Country__c s80; Amount__c cur18.2; Budget__c cur18.2; \
    Discount__c pct5.2; Quantity__c dbl18.2; Score__c dbl18.4; Probability__c pct3.0; Employees__c int8; \
    Visits__c int8; IsActive__c bool; IsPartner__c bool; CloseDate__c date; StartDate__c date; LastCall__c dt; \
    NextStep__c s255; Source__c pk40; Tags__c mpk255; Code__c s40; Description__c ta32000";

/// The object and its rows.
pub(super) struct Bench {
    object: Arc<Object>,
    template: Arc<Vec<Row>>,
    rows: u64,
    /// Bytes of pages that all selections keep.
    kept_bytes: Arc<AtomicU64>,
    /// The last ones, newest at the end.
    selections: Mutex<Vec<Arc<Selection>>>,
}

impl Bench {
    /// `rows` rows whose stamps lie in the year before `now`.
    pub(super) fn new(rows: u64, now: Timestamp) -> Self {
        let object = schema::build(&Blueprint::ordinary("Bench__c", PREFIX, FIELDS));
        let object = Arc::new(object);
        let count = rows.min(TEMPLATE_ROWS);
        let begin = now.floor_second().minus(Duration::from_secs(365 * 86_400));
        let template = (0..count).map(|row| template_row(&object, row, count, begin));
        Self {
            template: Arc::new(template.collect()),
            object,
            rows,
            kept_bytes: Arc::default(),
            selections: Mutex::default(),
        }
    }

    pub(super) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// The rows of a plan. Conditions over ids see the first hundred thousand rows only.
    ///
    /// Queries that select the same share their pages, whatever they are written like: the upper bound of
    /// an incremental read is another one in each run.
    pub(super) fn select(&self, plan: &Plan) -> Arc<Selection> {
        let passing = self.passing(plan.filter.as_ref());
        let count = count(&passing, self.template.len() as u64, self.rows)
            .min(plan.limit.unwrap_or(u64::MAX));
        let mut selections = self
            .selections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let same = selections.iter().position(|known| {
            known.count == count && known.columns == plan.columns && known.passing == passing
        });
        let selection = match same {
            Some(at) => selections.remove(at),
            None => Arc::new(Selection {
                template: self.template.clone(),
                template_rows: self.template.len() as u64,
                count,
                passing,
                columns: plan.columns.clone(),
                lines: Mutex::new(None),
                kept: Mutex::new(Kept::default()),
                kept_bytes: self.kept_bytes.clone(),
            }),
        };
        if selections.len() >= KEEP_SELECTIONS {
            selections.remove(0);
        }
        selections.push(selection.clone());
        selection
    }
}

impl Bench {
    /// Indices of the template rows that a filter lets through.
    fn passing(&self, filter: Option<&Filter>) -> Vec<u32> {
        let lets = |row: &Row| filter.is_none_or(|filter| passes(row, filter));
        let ends = [self.template.first(), self.template.last()];
        let is_whole = filter.is_none_or(is_stretch) && ends.into_iter().flatten().all(lets);
        let rows = self.template.iter().zip(0..);
        rows.filter(|(row, _)| is_whole || lets(row))
            .map(|(_, index)| index)
            .collect()
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bench({} rows)", self.rows)
    }
}

/// How many of `rows` rows pass when row `k` repeats template row `k % template`.
fn count(passing: &[u32], template: u64, rows: u64) -> u64 {
    if template == 0 {
        return 0;
    }
    let rest = rows % template;
    let in_rest = passing.partition_point(|index| u64::from(*index) < rest);
    rows / template * passing.len() as u64 + in_rest as u64
}

/// Whether a filter lets through one stretch of the template, whose stamps ascend, and nothing around it.
fn is_stretch(filter: &Filter) -> bool {
    const STAMPS: [&str; 3] = ["SystemModstamp", "LastModifiedDate", "CreatedDate"];
    const ORDERS: [Operator; 4] = [
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
    ];
    match filter {
        Filter::And(parts) => parts.iter().all(is_stretch),
        Filter::Compare {
            column: Column::Own(field),
            operator,
            ..
        } => STAMPS.contains(&field.name.as_str()) && ORDERS.contains(operator),
        _ => false,
    }
}

fn passes(row: &Row, filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| passes(row, part)),
        Filter::Or(parts) => parts.iter().any(|part| passes(row, part)),
        Filter::Not(inner) => !passes(row, inner),
        Filter::Compare {
            column,
            operator,
            literals,
        } => match column {
            Column::Own(field) => {
                let by_id = field.name == "Id";
                holds(row.version.get(field.slot), *operator, literals, by_id)
            }
            Column::Parent { .. } => false,
        },
    }
}

/// Rows of the bench that a query selects.
pub(super) struct Selection {
    template: Arc<Vec<Row>>,
    template_rows: u64,
    passing: Vec<u32>,
    columns: Vec<Column>,
    count: u64,
    lines: Mutex<Option<(CsvStyle, Arc<Lines>)>>,
    kept: Mutex<Kept>,
    kept_bytes: Arc<AtomicU64>,
}

impl Drop for Selection {
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.kept_bytes.fetch_sub(kept.bytes, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Kept {
    pages: HashMap<(u64, u64), Arc<Vec<Bytes>>>,
    bytes: u64,
    /// The first page of records as JSON, and of what: version of the API and rows.
    first: Option<(String, Arc<str>)>,
}

/// The passing template rows as text.
struct Lines {
    text: Bytes,
    /// Where each line begins, and the end of the last.
    starts: Vec<usize>,
    /// Where the id stands inside a line, if it is selected as the first column.
    id_at: Option<usize>,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selection({} rows)", self.count)
    }
}

impl Selection {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Serial of the row at a position, and its place in `passing`.
    fn place(&self, position: u64) -> Option<(u64, usize)> {
        let passing = self.passing.len() as u64;
        let within = usize::try_from(position.checked_rem(passing)?).ok()?;
        let template = u64::from(*self.passing.get(within)?);
        Some((position / passing * self.template_rows + template, within))
    }

    /// One row, for REST.
    pub(super) fn row(&self, position: u64) -> Option<Row> {
        let (serial, within) = self.place(position)?;
        let index = usize::try_from(*self.passing.get(within)?).ok()?;
        let mut row = self.template.get(index)?.clone();
        let id: Arc<str> = schema::record_id(PREFIX, serial + 1).into();
        let mut values = row.version.values.to_vec();
        if let Some(first) = values.first_mut() {
            *first = Value::Text(id.clone());
        }
        row.id = id;
        row.version = Arc::new(Version {
            values: values.into(),
            ..Version::clone(&row.version)
        });
        Some(row)
    }

    /// The first page of records for REST, made once.
    pub(super) fn first_page(&self, what: &str, make: impl FnOnce() -> String) -> Arc<str> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, page)) = &kept.first
            && of == what
        {
            return page.clone();
        }
        let page: Arc<str> = make().into();
        kept.first = Some((what.to_owned(), page.clone()));
        page
    }

    fn lines(&self, style: CsvStyle) -> Arc<Lines> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, lines)) = lines.as_ref()
            && *known == style
        {
            return lines.clone();
        }
        let mut text = String::new();
        let mut starts = vec![0];
        for index in &self.passing {
            let row = usize::try_from(*index)
                .ok()
                .and_then(|index| self.template.get(index));
            if let Some(row) = row {
                style.plain_row(&mut text, &self.columns, row);
            }
            starts.push(text.len());
        }
        let first_is_id =
            matches!(self.columns.first(), Some(Column::Own(field)) if field.name == "Id");
        let made = Arc::new(Lines {
            text: text.into(),
            starts,
            id_at: first_is_id.then_some(1),
        });
        *lines = Some((style, made.clone()));
        made
    }

    /// Mean length of a row as comma-separated text.
    pub(super) fn mean_row_bytes(&self) -> u64 {
        let known = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map_or(538, |(_, lines)| {
            (lines.text.len() as u64)
                .checked_div(self.passing.len() as u64)
                .unwrap_or(538)
        })
    }

    /// Rows `[from, end)` behind a header.
    pub(super) fn page(&self, header: String, style: CsvStyle, from: u64, end: u64) -> Body {
        let header = Bytes::from(header);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blocks) = kept.pages.get(&(from, end)) {
            let blocks = blocks.clone();
            let length = blocks.iter().map(|block| block.len() as u64).sum::<u64>();
            let count = blocks.len();
            let chunks = (0..count).filter_map(move |index| blocks.get(index).cloned());
            return Body::Chunks {
                length: length + header.len() as u64,
                chunks: Box::new(std::iter::once(header).chain(chunks)),
            };
        }
        drop(kept);
        let lines = self.lines(style);
        let mut blocks = Vec::new();
        let mut position = from;
        let mut length = 0;
        while position < end {
            let (block, next) = self.block(&lines, position, end);
            if next == position {
                break;
            }
            length += block.len() as u64;
            blocks.push(block);
            position = next;
        }
        let blocks = Arc::new(blocks);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.kept_bytes.load(Ordering::Relaxed) + length <= KEEP_BYTES {
            self.kept_bytes.fetch_add(length, Ordering::Relaxed);
            kept.bytes += length;
            kept.pages.insert((from, end), blocks.clone());
        }
        drop(kept);
        let count = blocks.len();
        let chunks = (0..count).filter_map(move |index| blocks.get(index).cloned());
        Body::Chunks {
            length: length + header.len() as u64,
            chunks: Box::new(std::iter::once(header).chain(chunks)),
        }
    }

    /// One block of rows from `position` on, with their ids, and where the next begins.
    fn block(&self, lines: &Lines, position: u64, end: u64) -> (Bytes, u64) {
        let Some((mut serial, first)) = self.place(position) else {
            return (Bytes::new(), position);
        };
        let start = lines.starts.get(first).copied().unwrap_or(0);
        let most = usize::try_from(end - position).unwrap_or(usize::MAX);
        let mut last = first;
        while last < self.passing.len()
            && last - first < most
            && lines
                .starts
                .get(last)
                .is_some_and(|at| at - start < BLOCK_BYTES)
        {
            last += 1;
        }
        let stop = lines.starts.get(last).copied().unwrap_or(start);
        let mut block = lines.text.get(start..stop).unwrap_or_default().to_vec();
        if let Some(id_at) = lines.id_at {
            let base = serial - self.passing.get(first).map_or(0, |index| u64::from(*index));
            for within in first..last {
                serial = base
                    + self
                        .passing
                        .get(within)
                        .map_or(0, |index| u64::from(*index));
                let at = lines.starts.get(within).map_or(0, |line| line - start) + id_at;
                if let Some(id) = block.get_mut(at..at + 18) {
                    write_id(id, serial + 1);
                }
            }
        }
        (block.into(), position + (last - first) as u64)
    }
}

/// Writes the serial and the check sum of an id over one of the same prefix, as
/// [`schema::record_id`] makes it, without allocating.
fn write_id(id: &mut [u8], serial: u64) {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let mut rest = serial;
    for digit in id.iter_mut().take(15).skip(7).rev() {
        *digit = BASE62[usize::try_from(rest % 62).unwrap_or(0)];
        rest /= 62;
    }
    let mut sums = [0_usize; 3];
    for (position, byte) in id.iter().take(15).enumerate() {
        if byte.is_ascii_uppercase() {
            sums[position / 5] |= 1 << (position % 5);
        }
    }
    for (byte, sum) in id.iter_mut().skip(15).zip(sums) {
        *byte = CHECK[sum & 31];
    }
}

fn template_row(object: &Object, row: u64, rows: u64, begin: Timestamp) -> Row {
    let id: Arc<str> = schema::record_id(PREFIX, row + 1).into();
    // A year of stamps, oldest first.
    let offset = row * 365 * 86_400 / rows.max(1);
    let stamp = begin.plus(Duration::from_secs(offset));
    let mut values = vec![Value::Null; object.fields.len()];
    for field in &object.fields {
        if let Some(value) = values.get_mut(field.slot) {
            *value = value_of(&field.name, row, &id, stamp);
        }
    }
    Row {
        object: object.name.as_str().into(),
        id,
        version: Arc::new(Version {
            number: 1,
            values: values.into(),
            begin: stamp,
            visible: stamp,
            is_deleted: false,
            purged: false,
        }),
    }
}

/// A value that depends on the row alone; lengths add up to 538 bytes per row on average.
fn value_of(name: &str, row: u64, id: &Arc<str>, stamp: Timestamp) -> Value {
    const WORDS: [&str; 16] = [
        "amber", "basalt", "cobalt", "delta", "ember", "fjord", "garnet", "harbor", "indigo",
        "juniper", "kelvin", "lumen", "meridian", "nimbus", "onyx", "prairie",
    ];
    let mut mixed = row.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= name.bytes().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^= mixed >> 32;
    let word = |shift: u64| {
        let index = usize::try_from((mixed >> shift) % 16).unwrap_or(0);
        WORDS.get(index).copied().unwrap_or("amber")
    };
    let pick = |choices: &[&str]| {
        let index = usize::try_from(mixed % choices.len().max(1) as u64).unwrap_or(0);
        Value::text(choices.get(index).copied().unwrap_or_default())
    };
    let day = |span: u64| {
        let at = stamp.plus(Duration::from_secs(mixed % span * 86_400));
        at.to_chrono().format("%Y-%m-%d").to_string()
    };
    match name {
        "Id" => Value::Text(id.clone()),
        "IsDeleted" => Value::Bool(false),
        "SystemModstamp" | "LastModifiedDate" | "CreatedDate" => Value::DateTime(stamp),
        "CreatedById" | "LastModifiedById" | "Owner__c" => {
            Value::text(schema::record_id("005", mixed % 40 + 1))
        }
        "Account__c" => Value::text(schema::record_id("001", mixed % 5_000 + 1)),
        "Name" => Value::text(format!("{} {row}", word(8))),
        "AccountNumber__c" => Value::text(format!("{:08}", mixed % 100_000_000)),
        "Status__c" => pick(&["New", "Working", "Qualified", "Closed"]),
        "Stage__c" => pick(&["Prospecting", "Proposal", "Negotiation", "Closed Won"]),
        "Region__c" => pick(&["EMEA", "APAC", "AMER", "LATAM"]),
        "Source__c" => pick(&["Web", "Partner", "Phone Inquiry", "Other"]),
        "Email__c" => Value::text(format!("{}@{}.example", word(4), word(20))),
        "Phone__c" => Value::text(format!("555 {:07}", mixed % 10_000_000)),
        "Website__c" if mixed.is_multiple_of(3) => Value::Null,
        "Website__c" => Value::text(format!("https://www.{}.example", word(8))),
        "Street__c" => Value::text(format!("{} {}", mixed % 900 + 1, word(8))),
        "City__c" => pick(&["Springfield", "Riverton", "Lakewood", "Fairview"]),
        "State__c" => pick(&["CA", "TX", "NY", "WA"]),
        "PostalCode__c" => Value::text(format!("{:05}", mixed % 100_000)),
        "Country__c" => pick(&["USA", "Germany", "Japan", "Brazil"]),
        "Amount__c" | "Budget__c" => {
            Value::Number(format!("{}.{:02}", mixed % 9_000_000, mixed % 100).into())
        }
        "Discount__c" | "Probability__c" => Value::Number(format!("{}.0", mixed % 100).into()),
        "Quantity__c" => Value::Number(format!("{}.5", mixed % 1_000).into()),
        "Score__c" => Value::Number(format!("{}.{:04}", mixed % 100, mixed % 10_000).into()),
        "Employees__c" => Value::Int(i64::try_from(mixed % 50_000).unwrap_or(0)),
        "Visits__c" => Value::Int(i64::try_from(mixed % 300).unwrap_or(0)),
        "IsActive__c" => Value::Bool(!mixed.is_multiple_of(4)),
        "IsPartner__c" => Value::Bool(mixed.is_multiple_of(9)),
        "CloseDate__c" | "StartDate__c" => Value::Date(day(400).into()),
        "LastCall__c" if mixed.is_multiple_of(4) => Value::Null,
        "LastCall__c" => Value::DateTime(stamp.plus(Duration::from_secs(mixed % 86_400))),
        "NextStep__c" if mixed.is_multiple_of(2) => Value::Null,
        "NextStep__c" => Value::text(format!("Call \"{}\" about {}", word(8), word(16))),
        "Tags__c" => Value::text(word(16)),
        "Code__c" => Value::text(format!("{:04X}", mixed % 65_536)),
        "Description__c" if mixed.is_multiple_of(5) => Value::Null,
        "Description__c" => Value::text(format!("{},\n{}", word(4), word(28))),
        _ => Value::Null,
    }
}

impl CsvStyle {
    /// Appends a row whose values need no world.
    fn plain_row(self, out: &mut String, columns: &[Column], row: &Row) {
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                out.push(self.delimiter);
            }
            let value = match column {
                Column::Own(field) => row.version.get(field.slot),
                Column::Parent { .. } => &Value::Null,
            };
            self.value(out, value);
        }
        self.end(out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_written_in_place_are_the_same_as_made_ones() {
        for serial in [1, 61, 62, 99_999, 1_234_567_890] {
            let mut id = schema::record_id(PREFIX, 7).into_bytes();
            write_id(&mut id, serial);
            assert_eq!(
                String::from_utf8(id).unwrap(),
                schema::record_id(PREFIX, serial)
            );
        }
    }

    #[test]
    fn counts_agree_with_counting_one_by_one() {
        let passing = [1, 4, 5, 9];
        for rows in 0..45 {
            let naive = (0..rows).filter(|row| passing.contains(&u32::try_from(row % 10).unwrap()));
            assert_eq!(count(&passing, 10, rows), naive.count() as u64, "{rows}");
        }
    }

    fn plan(bench: &Bench) -> Plan {
        let world = crate::emulator::World::seeded(crate::emulator::WorldOptions::tiny(
            1,
            Timestamp::parse("2026-03-01T00:00:00Z").unwrap(),
        ));
        let names: Vec<&str> = bench
            .object()
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        let text = format!("SELECT {} FROM Bench__c", names.join(","));
        let query = crate::emulator::soql::parse(&text).unwrap();
        let now = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        crate::emulator::evaluate::bind_to(&text, &query, &world, bench.object().clone(), now)
            .unwrap()
    }

    #[test]
    fn rows_are_wide_distinct_and_repeat_with_other_ids() {
        let now = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let bench = Bench::new(2_500, now);
        assert_eq!(bench.object().fields.len(), 40);
        let selection = bench.select(&plan(&bench));
        let style = CsvStyle {
            delimiter: ',',
            crlf: false,
            double_integers: false,
        };
        let body = selection.page(String::new(), style, 0, 2_500);
        let announced = body.length();
        let bytes = body.into_bytes();
        assert_eq!(bytes.len() as u64, announced);
        let mean = bytes.len() / 2_500;
        assert!((530..=546).contains(&mean), "{mean} bytes per row");
    }

    #[test]
    fn pages_of_a_repeated_template_have_unique_ids_and_tile() {
        let now = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let mut bench = Bench::new(1_000, now);
        bench.rows = 3_700;
        let selection = bench.select(&plan(&bench));
        assert_eq!(selection.count(), 3_700);
        let style = CsvStyle {
            delimiter: ',',
            crlf: false,
            double_integers: false,
        };
        let page = |from, end| selection.page(String::new(), style, from, end).into_bytes();
        let whole = page(0, 3_700);
        let tiled = [page(0, 999), page(999, 2_001), page(2_001, 3_700)].concat();
        assert!(whole == tiled);
        assert!(page(999, 2_001) == page(999, 2_001));
        let text = String::from_utf8(whole.to_vec()).unwrap();
        let prefix = format!("\"{PREFIX}");
        let ids: HashSet<&str> = text
            .split('\n')
            .filter(|line| line.starts_with(&prefix))
            .filter_map(|line| line.get(1..19))
            .collect();
        assert_eq!(ids.len(), 3_700);
        let row = selection.row(2_345).unwrap();
        assert!(ids.contains(&*row.id));
    }

    #[test]
    fn queries_for_the_same_rows_share_their_pages() {
        let now = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let bench = Bench::new(100, now);
        let whole = plan(&bench);
        let first = bench.select(&whole);
        assert!(Arc::ptr_eq(&first, &bench.select(&whole)));
        for limit in 1..10 {
            let mut few = plan(&bench);
            few.limit = Some(limit);
            assert_eq!(bench.select(&few).count(), limit);
            assert!(Arc::ptr_eq(&first, &bench.select(&whole)), "{limit}");
        }
        assert!(bench.selections.lock().unwrap().len() <= KEEP_SELECTIONS);
    }
}
