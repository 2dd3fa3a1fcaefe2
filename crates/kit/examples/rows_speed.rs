//! How fast rows become Arrow on one core: `cargo run --release -p overlock-kit --example rows_speed`.
//!
//! The data is made here: Bulk CSV like Salesforce's (40 columns, all quoted, some 540 bytes a row), and JSON
//! pages like Zendesk's. Nothing is read or written.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(
    clippy::format_push_string,
    reason = "making the data is not what is measured"
)]

use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use overlock_core::Result;
use overlock_core::stream::{DELETED, EXTRA, json_field, timestamp_type};
use overlock_kit::rows::{CsvDecoder, JsonDecoder, Options};

const CSV_ROWS: usize = 200_000;
const JSON_ROWS: usize = 30_000;
const CHUNK: usize = 64 << 10;
const ROUNDS: usize = 7;

/// A small generator of numbers that look random; the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

const WORDS: [&str; 12] = [
    "granite", "harbour", "meadow", "lantern", "orchard", "quartz", "ridge", "willow", "copper",
    "summit", "river", "tundra",
];

fn words(numbers: &mut Numbers, count: u64) -> String {
    let mut text = String::new();
    for at in 0..count {
        if at > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[usize::try_from(numbers.next(12)).unwrap_or(0)]);
    }
    text
}

fn id(numbers: &mut Numbers, prefix: &str) -> String {
    format!("{prefix}{:012}AAG", numbers.next(1_000_000_000_000))
}

fn instant(numbers: &mut Numbers) -> String {
    format!(
        "20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
        10 + numbers.next(15),
        1 + numbers.next(12),
        1 + numbers.next(28),
        numbers.next(24),
        numbers.next(60),
        numbers.next(60)
    )
}

/// The kind of each of the 40 columns: id, reference, short text, picklist, free text, amount, whole number, flag,
/// date, instant, mostly empty text.
const KINDS: &str = "irstpppttstssrppaadwfffdzzzrreeeeettapsz";

fn csv() -> (SchemaRef, String) {
    let mut fields = Vec::new();
    let mut text = String::new();
    for (at, kind) in KINDS.chars().enumerate() {
        let data_type = match kind {
            'a' => DataType::Decimal128(38, 8),
            'w' => DataType::Int64,
            'f' => DataType::Boolean,
            'd' => DataType::Date32,
            'z' => timestamp_type(),
            _ => DataType::Utf8,
        };
        fields.push(Field::new(format!("Column{at}"), data_type, true));
        text += &format!("{}\"Column{at}\"", if at > 0 { "," } else { "" });
    }
    fields.push(Field::new(DELETED, DataType::Boolean, true));
    fields.push(json_field(EXTRA));
    text.push('\n');
    let mut numbers = Numbers(42);
    for _ in 0..CSV_ROWS {
        for (at, kind) in KINDS.chars().enumerate() {
            let value = match kind {
                'i' => id(&mut numbers, "001"),
                'r' => id(&mut numbers, "005"),
                's' => words(&mut numbers, 2),
                'p' => words(&mut numbers, 1),
                't' if numbers.next(20) == 0 => {
                    format!("{} \"\"so\"\",\nit is", words(&mut numbers, 4))
                }
                't' => words(&mut numbers, 5),
                'a' => format!("{}.{}", numbers.next(1_000_000), numbers.next(100)),
                'w' => numbers.next(100_000).to_string(),
                'f' => (numbers.next(2) == 0).to_string(),
                'd' => instant(&mut numbers).chars().take(10).collect(),
                'z' => instant(&mut numbers),
                _ if numbers.next(5) == 0 => words(&mut numbers, 1),
                _ => String::new(),
            };
            text += &format!("{}\"{value}\"", if at > 0 { "," } else { "" });
        }
        text.push('\n');
    }
    (Arc::new(Schema::new(fields)), text)
}

fn json() -> (SchemaRef, Vec<String>) {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("created_at", timestamp_type(), true),
        Field::new("updated_at", timestamp_type(), true),
        Field::new("subject", DataType::Utf8, true),
        Field::new("description", DataType::Utf8, true),
        Field::new("status", DataType::Utf8, true),
        Field::new("requester_id", DataType::Int64, true),
        Field::new("is_public", DataType::Boolean, true),
        json_field("via"),
        json_field("custom_fields"),
        json_field("tags"),
        json_field(EXTRA),
    ]);
    let mut numbers = Numbers(7);
    let mut pages = Vec::new();
    for _ in 0..JSON_ROWS / 1000 {
        let mut page = "[".to_owned();
        for row in 0..1000 {
            page += &format!(
                "{}{{\"id\":{},\"created_at\":\"{}\",\"updated_at\":\"{}\",\"subject\":\"{}\",\"description\":\"{}\\n{}\",\"status\":\"open\",\"requester_id\":{},\"is_public\":true,\"via\":{{\"channel\":\"web\",\"source\":{{\"from\":{{}},\"to\":{{}},\"rel\":null}}}},\"custom_fields\":[",
                if row > 0 { "," } else { "" },
                numbers.next(1 << 50),
                instant(&mut numbers),
                instant(&mut numbers),
                words(&mut numbers, 6),
                words(&mut numbers, 40),
                words(&mut numbers, 40),
                numbers.next(1 << 50),
            );
            for field in 0..40 {
                page += &format!(
                    "{}{{\"id\":{},\"value\":\"{}\"}}",
                    if field > 0 { "," } else { "" },
                    360_000_000 + field,
                    words(&mut numbers, 1)
                );
            }
            page.push_str("],\"tags\":[\"a\",\"b\"]}");
        }
        page.push(']');
        pages.push(page);
    }
    (Arc::new(schema), pages)
}

/// Seconds that this thread has computed, so that a busy machine does not spoil the figure; where the system does
/// not tell, seconds of the clock.
fn seconds_of_work(since: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    nanos.map_or_else(|| since.elapsed().as_secs_f64(), |nanos| nanos as f64 / 1e9)
}

fn report(name: &str, bytes: usize, rows: usize, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (bytes, rows) = (bytes as f64, rows as f64);
    for (what, at) in [("median", seconds[seconds.len() / 2]), ("best", seconds[0])] {
        println!(
            "{name:28} {what:7} {:7.0} MB/s {:9.0} rows/s {:7.1} ns/row",
            bytes / at / 1e6,
            rows / at,
            at / rows * 1e9
        );
    }
}

fn main() -> Result<()> {
    let clock = Instant::now();
    let only = std::env::args().nth(1).unwrap_or_default();
    if only != "json" {
        let (schema, text) = csv();
        println!("CSV: {} bytes a row", text.len() / CSV_ROWS);
        let unquoted_schema = Arc::clone(&schema);
        let mut seconds = Vec::new();
        for _ in 0..ROUNDS {
            let options = Options {
                deleted_from: Some("Column20".to_owned()),
                ..Options::default()
            };
            let mut decoder = CsvDecoder::new(Arc::clone(&unquoted_schema), options)?;
            let mut batches = Vec::new();
            let started = seconds_of_work(clock);
            for chunk in text.as_bytes().chunks(CHUNK) {
                decoder.feed(chunk, &mut batches)?;
                batches.clear();
            }
            let counts = decoder.finish(&mut batches)?;
            seconds.push(seconds_of_work(clock) - started);
            assert_eq!(counts.rows, CSV_ROWS as u64);
            assert_eq!(counts.extra_values, 0);
        }
        report("CSV to Arrow", text.len(), CSV_ROWS, seconds);
    }
    if only != "csv" {
        let (schema, pages) = json();
        let bytes: usize = pages.iter().map(String::len).sum();
        println!("JSON: {} bytes a row", bytes / JSON_ROWS);
        let mut seconds = Vec::new();
        for _ in 0..ROUNDS {
            let mut decoder = JsonDecoder::new(Arc::clone(&schema), Options::default())?;
            let mut batches = Vec::new();
            let started = seconds_of_work(clock);
            for page in &pages {
                decoder.page(page.as_bytes(), &mut batches)?;
                batches.clear();
            }
            seconds.push(seconds_of_work(clock) - started);
        }
        report("JSON to Arrow", bytes, JSON_ROWS, seconds);
    }
    Ok(())
}
