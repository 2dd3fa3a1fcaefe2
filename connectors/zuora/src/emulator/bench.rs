//! Many made-up invoice items for measurements, written while they are sent.
//!
//! Ten thousand different rows are rendered once per selected column list; more rows repeat them with other ids and
//! stamps, both of a fixed width, so that a block of rows costs one copy and the length of a file is known at once.
//! Stamps and ids ascend together: a window is one stretch of rows. Nothing of the file stays in memory.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use overlock_core::Timestamp;
use overlock_sandbox::Body;

use super::csv::{Format, Style, arranged, header, quoted};
use super::model::{ChangeKey, Field, Kind, Object};
use super::options::Behaviour;
use super::plan::{Filter, Literal, Plan, Source};
use super::world::World;
use super::zoql::Operator;

/// The object that is made up.
pub(super) const OBJECT: &str = "InvoiceItem";

/// Different rows; more repeat them.
const TEMPLATE_ROWS: u64 = 10_000;

/// Objects of a tenant that is measured.
const OBJECTS: usize = 110;

/// Rows per block.
const BLOCK_ROWS: u64 = 500;

/// A day.
const DAY_SECS: i64 = 86_400;

/// Stamps lie in a year.
const YEAR_SECS: u64 = 365 * 86_400;

const ID_PREFIX: &str = "8ad08f0692be9c7e";

/// Forty fields.
const FIELDS: [(&str, Kind); 40] = [
    ("Id", Kind::Text),
    ("CreatedById", Kind::Text),
    ("CreatedDate", Kind::DateTime),
    ("UpdatedById", Kind::Text),
    ("UpdatedDate", Kind::DateTime),
    ("InvoiceId", Kind::Text),
    ("AccountId", Kind::Text),
    ("SubscriptionId", Kind::Text),
    ("RatePlanChargeId", Kind::Text),
    ("ProductId", Kind::Text),
    ("SubscriptionNumber", Kind::Text),
    ("ChargeName", Kind::Text),
    ("ChargeNumber", Kind::Text),
    ("ChargeDate", Kind::DateTime),
    ("ChargeAmount", Kind::Decimal),
    ("UnitPrice", Kind::Decimal),
    ("Quantity", Kind::Decimal),
    ("TaxAmount", Kind::Decimal),
    ("TaxExemptAmount", Kind::Decimal),
    ("Balance", Kind::Decimal),
    ("UOM", Kind::Text),
    ("TaxCode", Kind::Text),
    ("TaxMode", Kind::Picklist),
    ("ServiceStartDate", Kind::Date),
    ("ServiceEndDate", Kind::Date),
    ("RevRecStartDate", Kind::Date),
    ("SKU", Kind::Text),
    ("ProcessingType", Kind::Picklist),
    ("AppliedToInvoiceItemId", Kind::Text),
    ("AccountingCode", Kind::Text),
    ("SourceItemType", Kind::Picklist),
    ("ProductName", Kind::Text),
    ("ProductDescription", Kind::LongText),
    ("Region__c", Kind::Picklist),
    ("CostCenter__c", Kind::Text),
    ("Discount__c", Kind::Decimal),
    ("Exported__c", Kind::Boolean),
    ("Attempts__c", Kind::Integer),
    ("ExportedOn__c", Kind::DateTime),
    ("Memo__c", Kind::Text),
];

/// The rows.
#[derive(Debug)]
pub(super) struct Bench {
    rows: u64,
    /// The stamp of the first.
    begin: i64,
    /// Texts of the last column lists.
    known: Mutex<Vec<(Vec<String>, Arc<Lines>)>>,
}

/// Column lists that are remembered.
const KEEP_LINES: usize = 4;

impl Bench {
    /// `rows` rows whose stamps lie in the year before yesterday: a reader that stays some hours behind has them all.
    pub(super) fn new(rows: u64, now: Timestamp) -> Self {
        let year = i64::try_from(YEAR_SECS).unwrap_or(i64::MAX);
        Self {
            rows,
            begin: now.seconds().saturating_sub(year + DAY_SECS),
            known: Mutex::default(),
        }
    }

    /// Whether an object is the one that is made up.
    pub(super) fn serves(object: &str) -> bool {
        object == OBJECT
    }

    /// The object as Describe shows it.
    pub(super) fn object() -> Object {
        Object {
            name: OBJECT.to_owned(),
            fields: FIELDS
                .iter()
                .map(|(name, kind)| Field::new(name, *kind))
                .collect(),
            related: Vec::new(),
            change: ChangeKey::UpdatedDate,
            deletes: true,
            aqua: true,
            table: None,
            plural: None,
            data_source: false,
            described: true,
            forbidden: false,
        }
    }

    /// Empty objects, so many that a tenant has some more than a hundred.
    pub(super) fn more_objects(world: &World) -> Vec<Object> {
        let missing = OBJECTS.saturating_sub(world.objects().count());
        let object = |number| Object {
            name: format!("Empty{number:03}"),
            data_source: false,
            ..Self::object()
        };
        (0..missing).map(object).collect()
    }

    /// The stamp of a row.
    fn stamp(&self, row: u64) -> i64 {
        let passed = u128::from(row) * u128::from(YEAR_SECS) / u128::from(self.rows.max(1));
        self.begin
            .saturating_add(i64::try_from(passed).unwrap_or(0))
    }

    /// The first row stamped at `seconds` or later.
    fn first_from(&self, seconds: i64) -> u64 {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.stamp(middle) < seconds {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first row with this id or a later one.
    fn first_id(&self, id: &str) -> u64 {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if id_of(middle).as_str() < id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The rows that a query selects: windows of stamps and ids only; the error is a sentence.
    pub(super) fn select(
        self: &Arc<Self>,
        plan: &Plan,
        style: &Style,
        behaviour: &Behaviour,
    ) -> Result<Selection, String> {
        let mut stretch = (0, self.rows);
        if let Some(filter) = &plan.filter {
            self.narrow(filter, &mut stretch)?;
        }
        let (from, end) = stretch;
        let from = from.saturating_add(plan.offset).min(end);
        let end = end.min(from.saturating_add(plan.limit.unwrap_or(u64::MAX)));
        let columns = arranged(&plan.columns, behaviour.shuffled_columns);
        let names: Option<Vec<&str>> = columns
            .iter()
            .map(|column| match &column.source {
                Source::Own(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let names = names.ok_or("Made-up rows have own fields only")?;
        let deleted = style
            .deleted
            .as_ref()
            .map(|deleted| if deleted.numeric { "0" } else { "false" });
        let null = style.null.as_deref();
        let null = null.filter(|_| !behaviour.null_replacement_ignored);
        let null = null.unwrap_or_default();
        Ok(Selection {
            head: header(&plan.object, &columns, style, behaviour).into(),
            lines: self.lines(&names, deleted, null),
            bench: self.clone(),
            from,
            end: end.max(from),
        })
    }

    fn lines(&self, names: &[&str], deleted: Option<&str>, null: &str) -> Arc<Lines> {
        let mut key: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        key.extend([deleted.unwrap_or_default(), null].map(str::to_owned));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lines)) = known.iter().find(|(of, _)| *of == key) {
            return lines.clone();
        }
        let lines = Arc::new(Lines::new(names, deleted, null, self.rows));
        if known.len() >= KEEP_LINES {
            known.remove(0);
        }
        known.push((key, lines.clone()));
        lines
    }

    fn narrow(&self, filter: &Filter, stretch: &mut (u64, u64)) -> Result<(), String> {
        match filter {
            Filter::And(parts) => parts.iter().try_for_each(|part| self.narrow(part, stretch)),
            // No made-up row lacks a value: "or it is null" adds none.
            Filter::Or(parts) => {
                let mut rest = parts
                    .iter()
                    .filter(|part| !matches!(part, Filter::Null { not: false, .. }));
                match (rest.next(), rest.next()) {
                    (Some(only), None) => self.narrow(only, stretch),
                    _ => Err("Made-up rows can be selected by windows only".to_owned()),
                }
            }
            Filter::Compare {
                source: Source::Own(name),
                operator,
                literal,
            } => {
                // The first row that is not less, and the first that is greater.
                let (from, behind) = match (name.as_str(), literal) {
                    ("UpdatedDate" | "CreatedDate", Literal::Span(first, last)) => {
                        (self.first_from(*first), self.first_from(last + 1))
                    }
                    ("Id", Literal::Text(id)) => {
                        (self.first_id(id), self.first_id(&format!("{id}\0")))
                    }
                    _ => return Err(format!("Made-up rows cannot be filtered by {name}")),
                };
                match operator {
                    Operator::GreaterOrEqual => stretch.0 = stretch.0.max(from),
                    Operator::Greater => stretch.0 = stretch.0.max(behind),
                    Operator::Less => stretch.1 = stretch.1.min(from),
                    Operator::LessOrEqual => stretch.1 = stretch.1.min(behind),
                    Operator::Equal => {
                        *stretch = (stretch.0.max(from), stretch.1.min(behind));
                    }
                    _ => return Err("Made-up rows can be compared by order only".to_owned()),
                }
                Ok(())
            }
            _ => Err("Made-up rows can be selected by windows only".to_owned()),
        }
    }
}

/// A stretch of rows in a style.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    head: Arc<str>,
    lines: Arc<Lines>,
    bench: Arc<Bench>,
    from: u64,
    end: u64,
}

impl Selection {
    pub(super) fn rows(&self) -> u64 {
        self.end - self.from
    }

    /// Bytes of the file as text.
    pub(super) fn length(&self) -> u64 {
        self.head.len() as u64 + self.lines.before(self.end) - self.lines.before(self.from)
    }

    /// The file.
    pub(super) fn body(&self, format: Format) -> Body {
        let texts = self.clone().blocks();
        match format {
            Format::Csv => Body::Open {
                length: self.length(),
                chunks: Box::new(texts),
            },
            // A zip file needs its sizes first, so jobs do not offer one.
            Format::Gzip | Format::Zip => Body::Open {
                length: 0,
                chunks: Box::new(Packed {
                    texts: Box::new(texts),
                    encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
                }),
            },
        }
    }

    fn blocks(self) -> impl Iterator<Item = Bytes> + Send {
        let head = Bytes::copy_from_slice(self.head.as_bytes());
        let mut next = self.from;
        let blocks = std::iter::from_fn(move || {
            if next >= self.end {
                return None;
            }
            // A block does not go across the end of the template.
            let within = next % TEMPLATE_ROWS;
            let count = BLOCK_ROWS.min(self.end - next).min(TEMPLATE_ROWS - within);
            let block = self.lines.block(&self.bench, next, count);
            next += count;
            Some(block)
        });
        std::iter::once(head).chain(blocks)
    }
}

/// A text on its way through gzip.
struct Packed {
    texts: Box<dyn Iterator<Item = Bytes> + Send>,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Iterator for Packed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        const ENOUGH: usize = 128 * 1024;
        loop {
            let encoder = self.encoder.as_mut()?;
            let Some(text) = self.texts.next() else {
                let rest = self.encoder.take()?.finish().ok()?;
                return Some(rest.into());
            };
            encoder.write_all(&text).ok()?;
            if encoder.get_ref().len() >= ENOUGH {
                return Some(std::mem::take(encoder.get_mut()).into());
            }
        }
    }
}

/// The template as text.
#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    /// Where each line begins, and the end of the last.
    starts: Vec<usize>,
    /// Where ids and stamps stand, as places in `text`, per line.
    ids: Vec<usize>,
    stamps: Vec<Vec<usize>>,
}

impl Lines {
    fn new(names: &[&str], deleted: Option<&str>, null: &str, rows: u64) -> Self {
        let mut lines = Self {
            text: Vec::new(),
            starts: vec![0],
            ids: Vec::new(),
            stamps: Vec::new(),
        };
        let mut text = String::new();
        for row in 0..rows.min(TEMPLATE_ROWS) {
            let mut stamps = Vec::new();
            if let Some(deleted) = deleted {
                text.push_str(deleted);
            }
            for (place, name) in names.iter().enumerate() {
                if place > 0 || deleted.is_some() {
                    text.push(',');
                }
                match *name {
                    "Id" => lines.ids.push(text.len()),
                    "CreatedDate" | "UpdatedDate" => stamps.push(text.len()),
                    _ => {}
                }
                let value = value_of(name, row);
                quoted(&mut text, if value.is_empty() { null } else { &value });
            }
            text.push('\n');
            lines.starts.push(text.len());
            lines.stamps.push(stamps);
        }
        lines.text = text.into_bytes();
        lines
    }

    /// Bytes of the first `rows` rows.
    fn before(&self, rows: u64) -> u64 {
        let within = usize::try_from(rows % TEMPLATE_ROWS).unwrap_or(0);
        let rest = self.starts.get(within).copied().unwrap_or(0);
        rows / TEMPLATE_ROWS * self.text.len() as u64 + rest as u64
    }

    fn block(&self, bench: &Bench, first: u64, count: u64) -> Bytes {
        let within = usize::try_from(first % TEMPLATE_ROWS).unwrap_or(0);
        let last = within + usize::try_from(count).unwrap_or(0);
        let start = self.starts.get(within).copied().unwrap_or(0);
        let end = self.starts.get(last).copied().unwrap_or(start);
        let mut block = self.text.get(start..end).unwrap_or_default().to_vec();
        let mut stamp = Stamp::default();
        for (line, row) in (within..last).zip(first..) {
            if let Some(at) = self.ids.get(line) {
                write_id(&mut block, at - start, row);
            }
            let places = self.stamps.get(line).map_or(&[][..], Vec::as_slice);
            if !places.is_empty() {
                stamp.set(bench.stamp(row));
            }
            for at in places {
                if let Some(cell) = block.get_mut(at - start..at - start + stamp.text.len()) {
                    cell.copy_from_slice(&stamp.text);
                }
            }
        }
        block.into()
    }
}

/// A stamp as text, of which little changes from row to row.
struct Stamp {
    day: i64,
    text: [u8; 24],
}

impl Default for Stamp {
    fn default() -> Self {
        Self {
            day: i64::MIN,
            text: *b"0000-00-00T00:00:00+0000",
        }
    }
}

impl Stamp {
    fn set(&mut self, seconds: i64) {
        let day = seconds.div_euclid(86_400);
        if day != self.day {
            self.day = day;
            let date = Timestamp::from_seconds(day * 86_400).unwrap_or(Timestamp::EPOCH);
            let date = date.to_chrono().format("%Y-%m-%d").to_string();
            for (to, from) in self.text.iter_mut().zip(date.bytes()) {
                *to = from;
            }
        }
        let second = seconds.rem_euclid(86_400);
        for (at, part) in [
            (11, second / 3_600),
            (14, second / 60 % 60),
            (17, second % 60),
        ] {
            let part = u8::try_from(part).unwrap_or(0);
            if let Some([tens, ones]) = self.text.get_mut(at..at + 2) {
                *tens = b'0' + part / 10;
                *ones = b'0' + part % 10;
            }
        }
    }
}

fn id_of(row: u64) -> String {
    format!("{ID_PREFIX}{row:016x}")
}

/// Writes the serial of an id over one of the same prefix.
fn write_id(block: &mut [u8], at: usize, row: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = row;
    let from = at + ID_PREFIX.len();
    if let Some(digits) = block.get_mut(from..from + 16) {
        for digit in digits.iter_mut().rev() {
            let place = usize::try_from(rest % 16).unwrap_or(0);
            *digit = DIGITS.get(place).copied().unwrap_or(b'0');
            rest /= 16;
        }
    }
}

/// A value that depends on the row alone; lengths add up to about 540 bytes per row.
fn value_of(name: &str, row: u64) -> String {
    const WORDS: [&str; 16] = [
        "amber", "basalt", "cobalt", "delta", "ember", "fjord", "garnet", "harbor", "indigo",
        "juniper", "kelvin", "lumen", "meridian", "nimbus", "onyx", "prairie",
    ];
    let mut mixed = row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= name.bytes().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 32;
    let word = |shift: u64| {
        let place = usize::try_from((mixed >> shift) % 16).unwrap_or(0);
        WORDS.get(place).copied().unwrap_or("amber")
    };
    let pick = |choices: &[&str]| {
        let place = usize::try_from(mixed % choices.len().max(1) as u64).unwrap_or(0);
        choices.get(place).copied().unwrap_or_default().to_owned()
    };
    let key = |kinds: u64| format!("8ad08f0681aa77c4{:016x}", mixed % kinds + 1);
    let day = || {
        format!(
            "20{:02}-{:02}-{:02}",
            mixed % 5 + 21,
            mixed % 12 + 1,
            mixed % 28 + 1
        )
    };
    match name {
        "Id" => id_of(row),
        // Written over.
        "CreatedDate" | "UpdatedDate" => "0000-00-00T00:00:00+0000".to_owned(),
        // Ids of users can be short.
        "CreatedById" | "UpdatedById" => format!("{}", mixed % 40 + 3),
        "InvoiceId" => key(1_000_000),
        "AccountId" => key(50_000),
        "SubscriptionId" => key(80_000),
        "RatePlanChargeId" => key(200_000),
        "ProductId" => format!("P-{:08}", mixed % 300),
        "AppliedToInvoiceItemId" if mixed.is_multiple_of(8) => key(1_000_000),
        "SubscriptionNumber" => format!("A-S{:08}", mixed % 100_000_000),
        "ChargeNumber" => format!("C-{:08}", mixed % 100_000_000),
        "ChargeName" => format!("{} {} fee", word(4), word(12)),
        "ExportedOn__c" | "ProductDescription" | "RevRecStartDate" if mixed.is_multiple_of(2) => {
            String::new()
        }
        "ChargeDate" | "ExportedOn__c" => {
            format!("{}T{:02}:{:02}:07+0000", day(), mixed % 24, mixed % 60)
        }
        "ChargeAmount" | "Balance" => format!("{}.{:02}", mixed % 90_000, mixed % 100),
        "UnitPrice" => format!("{}.{:06}", mixed % 900, mixed % 1_000_000),
        "Quantity" => format!("{}", mixed % 1_000),
        "TaxAmount" | "TaxExemptAmount" => format!("{}.{:04}", mixed % 900, mixed % 10_000),
        "Discount__c" => format!("-{}.{:09}", mixed % 90, mixed % 1_000_000_000),
        "UOM" => pick(&["Each", "License", "GB", "Hour"]),
        "TaxCode" => format!("TX{:03}", mixed % 200),
        "TaxMode" => pick(&["TaxExclusive", "TaxInclusive"]),
        "ServiceStartDate" | "ServiceEndDate" | "RevRecStartDate" => day(),
        "SKU" => format!("SKU-{:08}", mixed % 3_000),
        "ProcessingType" => pick(&["Charge", "Discount", "Prepayment", "Tax"]),
        "AccountingCode" => format!("{} revenue", word(8)),
        "SourceItemType" => pick(&["SubscriptionComponent", "Rounding"]),
        "ProductName" => format!("{} {}", word(16), word(24)),
        "ProductDescription" => format!("The \"{}\" plan, with {}", word(20), word(28)),
        "Region__c" => pick(&["EMEA", "APAC", "AMER", "LATAM"]),
        "CostCenter__c" => format!("CC{:04}", mixed % 10_000),
        "Exported__c" => (!mixed.is_multiple_of(4)).to_string(),
        "Attempts__c" => format!("{}", mixed % 9),
        "Memo__c" => format!("{},\n{}", word(4), word(32)),
        _ => String::new(),
    }
}
