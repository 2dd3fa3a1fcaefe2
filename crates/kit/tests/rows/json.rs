//! Hostile and odd JSON.

use overlock_core::ErrorKind;
use overlock_kit::rows::Oversize;

use super::*;

fn refused(page: impl AsRef<[u8]>) -> bool {
    match decode_json(page, options()) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            true
        }
    }
}

#[test]
fn values_are_kept_exactly_or_moved_to_extra_as_they_are() {
    // covers: I1, I2, I3, I4, I5, I6
    for (column, raw, expected) in [
        (
            "int",
            "9007199254740993",
            Some(Cell::Int(9_007_199_254_740_993)),
        ),
        ("int", "-9223372036854775808", Some(Cell::Int(i64::MIN))),
        ("int", "18446744073709551616", None),
        ("int", "1234567890123456789012345678901234567890", None),
        ("int", "3.0", Some(Cell::Int(3))),
        ("int", "1.0E7", Some(Cell::Int(10_000_000))),
        ("int", "3.5", None),
        ("int", "\"12\"", Some(Cell::Int(12))),
        ("int", "\"1\\u0032\"", Some(Cell::Int(12))),
        ("int", "\"\\ud800\"", None),
        ("int", "true", None),
        ("int", "[1]", None),
        (
            "decimal",
            "1884518522.168426",
            Some(Cell::Decimal(1_884_518_522_168_426)),
        ),
        ("decimal", "1884518522.1684267241", None),
        (
            "decimal",
            "1.6147805824397E13",
            Some(Cell::Decimal(16_147_805_824_397_000_000)),
        ),
        (
            "decimal",
            "950000000.0",
            Some(Cell::Decimal(950_000_000_000_000)),
        ),
        ("decimal", "-0.0", Some(Cell::Decimal(0))),
        ("decimal", "1e400", None),
        ("decimal", "\"NaN\"", None),
        ("decimal", "\"1,234.5\"", None),
        ("float", "0.1", Some(Cell::Float(0.1))),
        ("float", "1e400", None),
        ("float", "9007199254740993", None),
        ("float", "0.12345678901234567890", None),
        ("bool", "true", Some(Cell::Bool(true))),
        ("bool", "\"false\"", Some(Cell::Bool(false))),
        ("bool", "0", None),
        ("date", "\"2020-11-16\"", Some(Cell::Date(18_582))),
        ("date", "\"2023-02-29\"", None),
        ("date", "\"0000-00-00\"", None),
        ("date", "20201116", None),
        (
            "timestamp",
            "\"2020-10-22T21:03:23.000+0000\"",
            Some(Cell::Timestamp(1_603_400_603_000_000)),
        ),
        (
            "timestamp",
            "1603400603000",
            Some(Cell::Timestamp(1_603_400_603_000_000)),
        ),
        ("timestamp", "\"1603400603000\"", None),
        ("timestamp", "1e300", None),
        (
            "timestamp",
            "\"9999-12-31T23:59:59.999999Z\"",
            Some(Cell::Timestamp(253_402_300_799_999_999)),
        ),
        ("timestamp", "\"10000-01-01T00:00:00Z\"", None),
        (
            "json",
            "{\"a\": [1, 2.50, 1e400]}",
            Some(Cell::Text("{\"a\": [1, 2.50, 1e400]}".to_owned())),
        ),
        ("json", "\"x\"", Some(Cell::Text("\"x\"".to_owned()))),
        (
            "json",
            "18446744073709551616",
            Some(Cell::Text("18446744073709551616".to_owned())),
        ),
        (
            "text",
            "{\"a\":[]}",
            Some(Cell::Text("{\"a\":[]}".to_owned())),
        ),
        (
            "text",
            "18446744073709551616.50",
            Some(Cell::Text("18446744073709551616.50".to_owned())),
        ),
        ("text", "\"007\"", Some(Cell::Text("007".to_owned()))),
        (
            "text",
            "\"a\\\"b\\u20ac\"",
            Some(Cell::Text("a\"b€".to_owned())),
        ),
        ("binary", "\"AAH/\"", Some(Cell::Bytes(vec![0, 1, 255]))),
        ("binary", "5", None),
    ] {
        let table = one_json(column, raw);
        if let Some(expected) = expected {
            assert_eq!(*table.cell(column, 0), expected, "{column} {raw}");
            assert_eq!(table.counts.extra_values, 0, "{column} {raw}");
        } else {
            assert_eq!(*table.cell(column, 0), Cell::Null, "{column} {raw}");
            assert_eq!(table.extra(0)[column], raw.replace("\\ud800", "\\ufffd"));
            assert_eq!(table.counts.extra_values, 1, "{column} {raw}");
        }
    }
}

#[test]
fn a_page_that_is_not_an_array_of_objects_is_refused_whole() {
    // covers: I4, I13, I19
    for page in [
        "",
        "{}",
        "[1]",
        "[{\"int\":1},5]",
        "[{\"int\":1},null]",
        "[{\"int\":1},[]]",
        "[{\"int\":NaN}]",
        "[{\"int\":Infinity}]",
        "[{\"int\":-Infinity}]",
        "[{\"int\":01}]",
        "[{\"int\":1.}]",
        "[{\"int\":+1}]",
        "[{\"int\":1,}]",
        "[{\"int\":1}",
        "[{\"int\":1}]x",
        "[{\"int\":1}] []",
        "[{\"text\":\"a\nb\"}]",
        "[{\"text\":\"a\0b\"}]",
        "[{\"text\":\"a\\xb\"}]",
        "[{\"text\":\"a\\u12\"}]",
        "[{'int':1}]",
        "<html></html>",
    ] {
        assert!(refused(page), "{page}");
    }
    assert!(refused(b"[{\"int\":1},\xff{}]"));
    assert!(refused(csv::zip("../rows.json", b"[{\"int\":1}]")));
    // Rows before the broken place are not given out, even if they had filled batches.
    let mut decoder = JsonDecoder::new(
        schema(),
        Options {
            batch_rows: 2,
            ..options()
        },
    )
    .unwrap();
    let mut batches = Vec::new();
    decoder.page(b"[{\"int\":1}]", &mut batches).unwrap();
    let broken = format!("[{}{{\"int\":NaN}}]", "{\"int\":2},".repeat(7));
    assert!(decoder.page(broken.as_bytes(), &mut batches).is_err());
    assert_eq!(batches.len(), 1);
    // The next page is decoded as if nothing had happened.
    let counts = decoder.page(b"[{\"int\":3}]", &mut batches).unwrap();
    assert_eq!(counts.rows, 1);
    let total = Counts {
        rows: 2,
        ..Counts::default()
    };
    assert_eq!(
        Table::new(batches, total).columns["int"],
        [Cell::Int(1), Cell::Int(3)]
    );
}

#[test]
fn empty_null_and_missing_are_three_different_things() {
    // covers: I7
    let table = decode_json(
        "[{\"text\":\"\",\"int\":\"\",\"json\":\"\"},{\"text\":null,\"int\":null,\"json\":null},{}]",
        options(),
    )
    .unwrap();
    assert_eq!(
        table.columns["text"],
        [Cell::Text(String::new()), Cell::Null, Cell::Null]
    );
    assert_eq!(table.columns["int"], [Cell::Null, Cell::Null, Cell::Null]);
    assert_eq!(table.text("json", 0), "\"\"");
    assert_eq!(table.counts.nulls_from_empty, 1);
    assert_eq!(table.counts.extra_values, 0);
    assert_eq!(table.counts.rows, 3);
}

#[test]
fn broken_text_changes_only_the_string_it_is_in() {
    // covers: I8
    for broken in [
        &b"caf\xe9"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\udc00x",
        b"\\ud83d\\u0041",
    ] {
        let mut page = b"[{\"text\":\"before \\\"\"},{\"text\":\"".to_vec();
        page.extend_from_slice(broken);
        page.extend_from_slice(b"\",\"other\":[\"");
        page.extend_from_slice(broken);
        page.extend_from_slice("\"]},{\"text\":\"after €\\ud83d\\ude00\"}]".as_bytes());
        let table = decode_json(&page, options()).unwrap();
        assert_eq!(table.text("text", 0), "before \"");
        assert!(table.text("text", 1).contains('\u{fffd}'));
        assert_eq!(table.text("text", 2), "after €😀");
        assert_eq!(
            table.counts.lossy_strings,
            2,
            "{}",
            String::from_utf8_lossy(broken)
        );
        let other: Vec<String> = serde_json::from_str(&table.extra(1)["other"]).unwrap();
        assert_eq!(other, [table.text("text", 1)]);
    }
    let table = decode_json(
        r#"[{"a\ud800b":1,"text":"\udfff"},{"text":"fine"}]"#,
        options(),
    )
    .unwrap();
    assert_eq!(table.extra(0)["a\u{fffd}b"], "1");
    assert_eq!(table.text("text", 0), "\u{fffd}");
    assert_eq!(table.text("text", 1), "fine");
    assert_eq!(table.counts.lossy_strings, 2);
}

#[test]
fn nul_stays_in_text_and_is_replaced_in_json() {
    // covers: I9
    let table = decode_json(
        r#"[{"text":"a\u0000b","json":{"k\u0000":"\u0000"},"other\u0000":"c\u0000d"}]"#,
        options(),
    )
    .unwrap();
    assert_eq!(table.text("text", 0), "a\0b");
    assert_eq!(table.text("json", 0), r#"{"k\ufffd":"\ufffd"}"#);
    assert_eq!(table.extra(0)["other\u{fffd}"], r#""c\ufffdd""#);
    assert_eq!(table.counts.nul_replaced, 3);
}

#[test]
fn a_value_over_the_limit_leaves_its_length_and_hash() {
    // covers: I10
    let limits = Options {
        max_value_bytes: 1000,
        ..options()
    };
    let long = "\\u00e9".repeat(600);
    let array = format!("[{}1]", "1,".repeat(1000));
    let fits = "\\u00e9".repeat(500);
    let page = format!(
        r#"[{{"text":"{long}","json":{array},"other":"{long}","int":{}}},{{"text":"{fits}"}}]"#,
        "1".repeat(2000)
    );
    let table = decode_json(&page, limits.clone()).unwrap();
    let extra = table.extra(0);
    assert!(extra["text"].starts_with(r#"{"_truncated":true,"bytes":1200,"sha256":""#));
    assert_eq!(extra["text"], extra["other"]);
    assert!(extra["json"].starts_with(r#"{"_truncated":true,"bytes":2003,"#));
    assert!(extra["int"].starts_with(r#"{"_truncated":true,"bytes":2000,"#));
    assert_eq!(table.text("text", 1), "é".repeat(500));
    assert_eq!(table.counts.oversize_values, 4);
    assert_eq!(table.counts.extra_values, 4);
    let fail = Options {
        oversize: Oversize::Fail,
        ..limits.clone()
    };
    assert_eq!(
        decode_json(&page, fail).err().unwrap().kind(),
        ErrorKind::Schema
    );
    // The object of a row is a value, too.
    let many: Vec<_> = (0..500).map(|at| format!("\"k{at}\":1")).collect();
    let table = decode_json(format!("[{{{}}}]", many.join(",")), limits).unwrap();
    assert_eq!(table.extra(0)["_truncated"], "true");
    assert_eq!(table.counts.extra_values, 500);
    assert_eq!(table.counts.oversize_values, 1);
}

#[test]
fn the_default_limit_is_sixteen_mebibytes() {
    // covers: I10
    let fits = "x".repeat(16 << 20);
    assert_eq!(
        one_json("text", &format!("\"{fits}\""))
            .text("text", 0)
            .len(),
        16 << 20
    );
    assert_eq!(
        one_json("text", &format!("\"{fits}x\""))
            .counts
            .oversize_values,
        1
    );
}

#[test]
fn nesting_size_and_number_of_keys_cost_no_stack_and_no_row() {
    // covers: I11
    let deep = format!("{}1{}", "[{\"a\":".repeat(50_000), "}]".repeat(50_000));
    let table = decode_json(
        format!("[{{\"json\":{deep},\"text\":{deep},\"int\":{deep},\"other\":{deep}}}]"),
        options(),
    )
    .unwrap();
    assert_eq!(table.text("text", 0), deep);
    for kept in [
        table.text("json", 0),
        &table.extra(0)["int"],
        &table.extra(0)["other"],
    ] {
        assert_eq!(serde_json::from_str::<String>(kept).unwrap(), deep);
    }
    assert_eq!(table.counts.deep_values, 4);
    let elements = format!("[{}0]", "0,".repeat(1_000_000));
    let table = one_json("json", &elements);
    assert_eq!(table.counts.oversize_values, 0);
    assert_eq!(table.text("json", 0).len(), elements.len());
    let elements = format!("[{}0]", "0,".repeat(10_000_000));
    assert_eq!(one_json("json", &elements).counts.oversize_values, 1);
    let keys: Vec<_> = (0..1_000_000).map(|at| format!("\"{at}\":0")).collect();
    let object = format!("{{{}}}", keys.join(","));
    // As keys of the record itself.
    let table = decode_json(format!("[{object},{{\"int\":1}}]"), options()).unwrap();
    assert_eq!(table.counts.extra_values, 1_000_000);
    assert_eq!(table.text(EXTRA, 0).len(), object.len());
    assert_eq!(*table.cell("int", 1), Cell::Int(1));
}

#[test]
fn the_last_of_repeated_keys_wins_and_is_counted() {
    // covers: I12
    let table = decode_json(
        r#"[{"int":1,"x":1,"int":2,"x":2,"y":0,"x":3},{"int":"odd","int":5},{"int":6,"int":"odd"}]"#,
        options(),
    )
    .unwrap();
    assert_eq!(
        table.columns["int"],
        [Cell::Int(2), Cell::Int(5), Cell::Null]
    );
    assert_eq!(table.extra(0)["x"], "3");
    assert_eq!(table.extra(2)["int"], "\"odd\"");
    assert_eq!(table.counts.duplicate_keys, 5);
    assert_eq!(table.counts.extra_values, 3);
    let many: Vec<_> = (0..60).map(|at| format!("\"k{}\":{at}", at % 30)).collect();
    let table = decode_json(format!("[{{{}}}]", many.join(",")), options()).unwrap();
    assert_eq!(table.extra(0)["k7"], "37");
    assert_eq!(table.counts.duplicate_keys, 30);
}

#[test]
fn keys_may_come_in_any_order_and_be_skipped() {
    let options = Options {
        skip_keys: vec!["attributes".to_owned()],
        ..options()
    };
    let table = decode_json(
        r#" [ {"attributes":{"type":"A"},"int":1,"text":"a"} , {"text":"b","other":null,"int":2,"attributes":1},
            {"\u0074ext":"c","extra":{"a":1}} , {} ] "#,
        options,
    )
    .unwrap();
    assert_eq!(
        table.columns["int"],
        [Cell::Int(1), Cell::Int(2), Cell::Null, Cell::Null]
    );
    assert_eq!(table.text("text", 2), "c");
    assert_eq!(table.extra(1)["other"], "null");
    assert_eq!(table.extra(2)["extra"], "{\"a\":1}");
    assert_eq!(table.counts.extra_values, 2);
}

#[test]
fn reserved_names_at_the_source_do_not_reach_reserved_columns() {
    let table = decode_json(
        r#"[{"_extra":5,"_deleted":true,"_truncated":1,"bool":false}]"#,
        options(),
    )
    .unwrap();
    assert_eq!(*table.cell(DELETED, 0), Cell::Bool(false));
    let extra = table.extra(0);
    assert_eq!(
        (extra["_extra"].as_str(), extra["_deleted"].as_str()),
        ("5", "true")
    );
}

#[test]
fn a_record_over_the_limit_is_refused() {
    let options = Options {
        max_row_bytes: 100,
        ..options()
    };
    let page = format!(
        "[{{\"text\":\"{}\",\"other\":\"{}\"}}]",
        "a".repeat(60),
        "b".repeat(60)
    );
    assert_eq!(
        decode_json(page, options).err().unwrap().kind(),
        ErrorKind::Data
    );
}

#[test]
fn long_pages_come_in_batches() {
    let page = format!("[{}{{\"int\":9}}]", "{\"int\":1},".repeat(99));
    let options = Options {
        batch_rows: 30,
        ..options()
    };
    let table = decode_json(page, options).unwrap();
    assert_eq!(
        table
            .batches
            .iter()
            .map(RecordBatch::num_rows)
            .collect::<Vec<_>>(),
        [30, 30, 30, 10]
    );
    assert_eq!(*table.cell("int", 99), Cell::Int(9));
}

#[test]
fn a_schema_that_rows_cannot_fill_is_a_defect() {
    let without_extra = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let odd_type = Schema::new(vec![
        Field::new("a", DataType::Int8, true),
        json_field(EXTRA),
    ]);
    let odd_deleted = Schema::new(vec![
        Field::new(DELETED, DataType::Utf8, true),
        json_field(EXTRA),
    ]);
    let twice = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("a", DataType::Int64, true),
        json_field(EXTRA),
    ]);
    for schema in [without_extra, odd_type, odd_deleted, twice, Schema::empty()] {
        let error = JsonDecoder::new(Arc::new(schema), options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
    }
}
