//! Rows to Arrow and back: the same value, or in `_extra` and counted.

use arrow::datatypes::DecimalType as _;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use overlock_kit::rows::{date, decimal, float, integer, timestamp};
use proptest::prelude::*;

use super::*;

/// A value of the source: its text, and what must be in the column (`None`: whatever the text says).
#[derive(Debug, Clone)]
struct Value {
    text: String,
    expected: Option<Cell>,
}

fn value(text: String, expected: Cell) -> Value {
    Value {
        text,
        expected: Some(expected),
    }
}

/// Text that is likely to hurt.
fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\"',;\r\n\t\u{0}a€😀{}:.0-9TZeE+-]{0,12}",
        "-?[0-9]{1,45}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
        any::<String>(),
    ]
}

fn cell(column: &'static str) -> BoxedStrategy<Value> {
    let odd = odd().prop_map(|text| Value {
        text,
        expected: None,
    });
    let fitting = match column {
        "text" => any::<String>()
            .prop_map(|text| value(text.clone(), Cell::Text(text)))
            .boxed(),
        "int" => any::<i64>()
            .prop_map(|n| value(n.to_string(), Cell::Int(n)))
            .boxed(),
        "decimal" => (any::<i128>(), 2_u32..128)
            .prop_map(|(n, bits)| {
                let n = n >> bits;
                let text = Decimal128Type::format_decimal(n, 38, 6);
                value(text, Cell::Decimal(n))
            })
            .boxed(),
        "float" => any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("JSON has no others", |x| x.is_finite())
            .prop_map(|x| value(format!("{x:e}"), Cell::Float(x)))
            .boxed(),
        "bool" => any::<bool>()
            .prop_map(|b| value(b.to_string(), Cell::Bool(b)))
            .boxed(),
        "date" => (-719_162_i32..=2_932_896)
            .prop_map(|day| {
                let text = NaiveDate::from_epoch_days(day)
                    .unwrap()
                    .format("%Y-%m-%d")
                    .to_string();
                value(text, Cell::Date(day))
            })
            .boxed(),
        "timestamp" => (-62_135_596_800_000_000_i64..=253_402_300_799_999_999)
            .prop_map(|micros| {
                let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
                value(
                    time.to_rfc3339_opts(SecondsFormat::Micros, true),
                    Cell::Timestamp(micros),
                )
            })
            .boxed(),
        _ => Just(value(
            "{\"a\":[1.50,null]}".to_owned(),
            Cell::Text("{\"a\":[1.50,null]}".to_owned()),
        ))
        .boxed(),
    };
    prop_oneof![4 => fitting, 1 => odd, 1 => Just(value(String::new(), Cell::Null))].boxed()
}

const COLUMNS: [&str; 8] = [
    "text",
    "int",
    "decimal",
    "float",
    "bool",
    "date",
    "timestamp",
    "json",
];

fn row() -> impl Strategy<Value = Vec<Value>> {
    let mut cells: Vec<BoxedStrategy<Value>> = COLUMNS.iter().map(|name| cell(name)).collect();
    cells.push(
        odd()
            .prop_map(|text| Value {
                text,
                expected: None,
            })
            .boxed(),
    );
    cells
}

/// What must be in the column for an odd text; `None`: it belongs into `_extra`.
fn judge(column: &str, text: &str) -> Option<Cell> {
    let bytes = text.as_bytes();
    match column {
        "text" => Some(Cell::Text(text.to_owned())),
        "int" => integer(bytes).map(Cell::Int),
        "decimal" => decimal(bytes, 38, 6).map(Cell::Decimal),
        "float" => float(bytes).map(Cell::Float),
        "bool" => bytes
            .eq_ignore_ascii_case(b"true")
            .then_some(true)
            .or(bytes.eq_ignore_ascii_case(b"false").then_some(false))
            .map(Cell::Bool),
        "date" => date(bytes).map(Cell::Date),
        "timestamp" => timestamp(bytes, false).map(Cell::Timestamp),
        "json" => serde_json::from_str::<Box<RawValue>>(text)
            .ok()
            .map(|raw| Cell::Text(raw.get().to_owned())),
        _ => None,
    }
}

fn same(found: &Cell, expected: &Cell) -> bool {
    match (found, expected) {
        (Cell::Float(found), Cell::Float(expected)) => found.to_bits() == expected.to_bits(),
        _ => found == expected,
    }
}

/// Every value is in its column, or in `_extra` as it was; and every value there is counted.
fn check(
    table: &Table,
    rows: &[Vec<Value>],
    empty_is_null: bool,
) -> std::result::Result<(), TestCaseError> {
    prop_assert_eq!(table.counts.rows, rows.len() as u64);
    let mut extras = 0;
    for (at, row) in rows.iter().enumerate() {
        let extra = table.extra(at);
        for (name, value) in COLUMNS.iter().chain(&["unknown"]).zip(row) {
            let mut expected = match &value.expected {
                Some(expected) => Some(expected.clone()),
                None => judge(name, &value.text),
            };
            if value.text.is_empty() && (empty_is_null || *name != "unknown") {
                expected = Some(match *name {
                    "text" if !empty_is_null => Cell::Text(String::new()),
                    "json" if !empty_is_null => Cell::Text("\"\"".to_owned()),
                    _ => Cell::Null,
                });
            }
            let found = if *name == "unknown" {
                &Cell::Null
            } else {
                table.cell(name, at)
            };
            if let Some(expected) = expected {
                prop_assert!(same(found, &expected), "{} {:?}: {:?}", name, value, found);
                prop_assert!(!extra.contains_key(*name));
            } else {
                prop_assert_eq!(found, &Cell::Null, "{} {:?}", name, value);
                let kept: String = serde_json::from_str(&extra[*name]).unwrap();
                prop_assert_eq!(kept, value.text.replace('\0', "\u{fffd}"));
                extras += 1;
            }
        }
    }
    prop_assert_eq!(table.counts.extra_values, extras);
    prop_assert_eq!(table.counts.lossy_strings, 0);
    prop_assert_eq!(table.counts.duplicate_keys, 0);
    Ok(())
}

fn csv(rows: &[Vec<Value>], quote_all: bool, line_end: &str) -> String {
    let mut text = String::new();
    let header: Vec<_> = COLUMNS
        .iter()
        .chain(&["unknown"])
        .map(ToString::to_string)
        .collect();
    let records = rows
        .iter()
        .map(|row| row.iter().map(|value| value.text.clone()).collect());
    for record in std::iter::once(header).chain(records) {
        for (at, value) in record.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            if quote_all || value.contains(['"', ',', '\r', '\n']) {
                text.push_str(&format!("\"{}\"", value.replace('"', "\"\"")));
            } else {
                text.push_str(value);
            }
        }
        text.push_str(line_end);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn csv_survives_any_chunks_and_any_quoting(
        rows in proptest::collection::vec(row(), 0..12),
        sizes in proptest::collection::vec(1_usize..200, 1..6),
        quote_all in any::<bool>(),
        crlf in any::<bool>(),
        batch_rows in 1_usize..10,
    ) {
        let text = csv(&rows, quote_all, if crlf { "\r\n" } else { "\n" });
        let options = Options { batch_rows, ..options() };
        let table = decode_csv(text.as_bytes(), &sizes, options.clone()).unwrap();
        check(&table, &rows, true)?;
        let whole = decode_csv(text.as_bytes(), &[usize::MAX], options).unwrap();
        prop_assert_eq!(whole.counts, table.counts);
        prop_assert_eq!(format!("{:?}", whole.columns), format!("{:?}", table.columns));
    }

    #[test]
    fn json_survives_any_order_of_keys(
        rows in proptest::collection::vec(row(), 0..12),
        turn in 0_usize..9,
        batch_rows in 1_usize..10,
    ) {
        let mut page = "[".to_owned();
        for (at, row) in rows.iter().enumerate() {
            let mut fields: Vec<_> = COLUMNS
                .iter()
                .chain(&["unknown"])
                .zip(row)
                .map(|(name, value)| {
                    let raw = if *name == "json" && serde_json::from_str::<&RawValue>(&value.text).is_ok() {
                        value.text.clone()
                    } else {
                        serde_json::to_string(&value.text).unwrap()
                    };
                    format!("\"{name}\":{raw}")
                })
                .collect();
            fields.rotate_left((turn * at) % 9);
            page.push_str(&format!("{}{{{}}}", if at > 0 { ", " } else { "" }, fields.join(",")));
        }
        page.push(']');
        let table = decode_json(&page, Options { batch_rows, ..options() }).unwrap();
        // Text that is no JSON is a string for a JSON column, and so it fits.
        let rows: Vec<Vec<Value>> = rows
            .into_iter()
            .map(|mut row| {
                for (name, value) in COLUMNS.iter().zip(&mut row) {
                    if *name == "json" && value.expected.is_none() {
                        let raw = match serde_json::from_str::<&RawValue>(&value.text) {
                            Ok(raw) => raw.get().to_owned(),
                            Err(_) => serde_json::to_string(&value.text).unwrap().replace("\\u0000", "\\ufffd"),
                        };
                        value.expected = Some(Cell::Text(raw));
                    }
                }
                row
            })
            .collect();
        // A JSON null inside a text is the text.
        check(&table, &rows, false)?;
    }

    #[test]
    fn csv_bytes_of_any_kind_never_panic_and_chunks_do_not_matter(
        bytes in proptest::collection::vec(prop_oneof![
            4 => Just(b'"'), 3 => Just(b','), 2 => Just(b'\n'), 1 => Just(b'\r'), 3 => Just(b'1'), 1 => any::<u8>()
        ], 0..300),
        sizes in proptest::collection::vec(1_usize..50, 1..4),
        max_value_bytes in 1_usize..20,
    ) {
        let mut text = b"text,int,other\n".to_vec();
        text.extend_from_slice(&bytes);
        let options = Options { max_value_bytes, max_row_bytes: 60, ..options() };
        let whole = decode_csv(&text, &[usize::MAX], options.clone());
        let pieces = decode_csv(&text, &sizes, options);
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            prop_assert_eq!(whole.counts, pieces.counts);
            prop_assert_eq!(format!("{:?}", whole.columns), format!("{:?}", pieces.columns));
        }
    }

    #[test]
    fn json_bytes_of_any_kind_never_panic(
        bytes in proptest::collection::vec(prop_oneof![
            3 => Just(b'"'), 2 => Just(b','), 2 => Just(b':'), 2 => Just(b'{'), 2 => Just(b'}'), 1 => Just(b'['),
            1 => Just(b']'), 2 => Just(b'\\'), 2 => Just(b'u'), 2 => Just(b'1'), 1 => any::<u8>()
        ], 0..100),
    ) {
        let mut page = b"[{\"text\":\"".to_vec();
        page.extend_from_slice(&bytes);
        page.extend_from_slice(b"\"}]");
        drop(decode_json(&page, options()));
        drop(decode_json(&bytes, options()));
    }
}
