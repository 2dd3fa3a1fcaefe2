//! Hostile and odd CSV.

use std::sync::Arc;

use overlock_core::ErrorKind;
use overlock_kit::rows::{Oversize, limit_columns};
use sha2::{Digest as _, Sha256};

use super::*;

const SIZES: [&[usize]; 4] = [&[1], &[3, 1, 2], &[64], &[1 << 20]];

fn refused(text: &[u8], sizes: &[usize]) -> bool {
    match decode_csv(text, sizes, options()) {
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
    for (column, value, expected) in [
        (
            "int",
            "9007199254740993",
            Some(Cell::Int(9_007_199_254_740_993)),
        ),
        ("int", "9223372036854775807", Some(Cell::Int(i64::MAX))),
        ("int", "-9223372036854775808", Some(Cell::Int(i64::MIN))),
        ("int", "9223372036854775808", None),
        ("int", "12345678901234567890123456789012345678901", None),
        ("int", "3.0", Some(Cell::Int(3))),
        ("int", "1.0E7", Some(Cell::Int(10_000_000))),
        ("int", "3.5", None),
        (
            "decimal",
            "12345678901234567890.123456",
            Some(Cell::Decimal(12_345_678_901_234_567_890_123_456)),
        ),
        (
            "decimal",
            "1.6147805824397E13",
            Some(Cell::Decimal(16_147_805_824_397_000_000)),
        ),
        ("decimal", "-2.0E-5", Some(Cell::Decimal(-20))),
        ("decimal", "1884518522.1684267241", None),
        ("decimal", "0.1", Some(Cell::Decimal(100_000))),
        ("decimal", "1e400", None),
        ("decimal", "NaN", None),
        ("decimal", "Infinity", None),
        ("decimal", "-0.0", Some(Cell::Decimal(0))),
        ("decimal", "1,234.5", None),
        ("decimal", " 1", None),
        ("float", "-0.0", Some(Cell::Float(-0.0))),
        ("float", "0.1", Some(Cell::Float(0.1))),
        ("float", "NaN", None),
        ("float", "1e400", None),
        ("float", "0.1234567890123456789", None),
        ("bool", "true", Some(Cell::Bool(true))),
        ("bool", "FALSE", Some(Cell::Bool(false))),
        ("bool", "1", None),
        ("bool", "yes", None),
        ("date", "2020-11-16", Some(Cell::Date(18_582))),
        ("date", "0000-00-00", None),
        ("date", "2023-02-29", None),
        (
            "timestamp",
            "2023-10-22T06:25:12.000Z",
            Some(Cell::Timestamp(1_697_955_912_000_000)),
        ),
        (
            "timestamp",
            "0001-01-01T00:00:00Z",
            Some(Cell::Timestamp(-62_135_596_800_000_000)),
        ),
        (
            "timestamp",
            "9999-12-31T23:59:59.999999Z",
            Some(Cell::Timestamp(253_402_300_799_999_999)),
        ),
        ("timestamp", "10000-01-01T00:00:00Z", None),
        ("timestamp", "2020-01-01T24:00:00Z", None),
        ("timestamp", "2016-12-31T23:59:60Z", None),
        ("timestamp", "2020-01-01T00:00:00", None),
        ("timestamp", "1603400603000", None),
        (
            "json",
            "{\"a\":[1,2.50]}",
            Some(Cell::Text("{\"a\":[1,2.50]}".to_owned())),
        ),
        ("json", "{\"a\":", None),
        ("binary", "AAH/", Some(Cell::Bytes(vec![0, 1, 255]))),
        ("binary", "AAH", None),
        ("text", "007", Some(Cell::Text("007".to_owned()))),
        ("text", "null", Some(Cell::Text("null".to_owned()))),
        ("text", "  ", Some(Cell::Text("  ".to_owned()))),
    ] {
        let table = one_csv(column, value);
        if let Some(expected) = expected {
            assert_eq!(*table.cell(column, 0), expected, "{column} {value}");
            assert_eq!(table.counts.extra_values, 0, "{column} {value}");
        } else {
            assert_eq!(*table.cell(column, 0), Cell::Null, "{column} {value}");
            let kept: String = serde_json::from_str(&table.extra(0)[column]).unwrap();
            assert_eq!(kept, value);
            assert_eq!(table.counts.extra_values, 1, "{column} {value}");
        }
    }
}

#[test]
fn minus_zero_keeps_its_sign_in_a_float_column() {
    // covers: I4
    let Cell::Float(value) = *one_csv("float", "-0.0").cell("float", 0) else {
        panic!("not kept");
    };
    assert!(value.is_sign_negative());
}

#[test]
fn forty_digits_are_kept_where_the_column_has_room_for_them() {
    // covers: I2
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Decimal128(38, 0), true),
        json_field(EXTRA),
    ]));
    let largest = "9".repeat(38);
    let text = format!("\"n\"\n\"{largest}\"\n\"1{largest}\"\n");
    let table = decode_csv_as(schema, text.as_bytes(), &[5], Options::default()).unwrap();
    assert_eq!(*table.cell("n", 0), Cell::Decimal(largest.parse().unwrap()));
    assert_eq!(*table.cell("n", 1), Cell::Null);
    assert_eq!(table.extra(1)["n"], format!("\"1{largest}\""));
}

#[test]
fn empty_is_null_in_every_column_and_never_extra() {
    // covers: I7
    let header = NAMES.map(|name| format!("\"{name}\"")).join(",");
    let text = format!("{header},\"other\"\n{}\n", ["\"\""; 10].join(","));
    let table = decode_csv(text.as_bytes(), &[3], options()).unwrap();
    for name in NAMES.iter().chain(&[DELETED, EXTRA]) {
        assert_eq!(*table.cell(name, 0), Cell::Null, "{name}");
    }
    let options = Options {
        empty_is_null: false,
        ..options()
    };
    let table = decode_csv(text.as_bytes(), &[3], options).unwrap();
    assert_eq!(table.text("text", 0), "");
    assert_eq!(*table.cell("int", 0), Cell::Null);
    assert_eq!(table.extra(0)["other"], "\"\"");
}

#[test]
fn columns_are_mapped_by_name_and_what_is_unknown_or_missing_is_counted() {
    let text = "\"other\",\"int\",\"text\",\"bool\"\n\"x\"\"y\",\"1\",\"a\",\"true\"\n\"\",\"2\",\"b\",\"false\"\n";
    for sizes in SIZES {
        let table = decode_csv(text.as_bytes(), sizes, options()).unwrap();
        assert_eq!(*table.cell("int", 1), Cell::Int(2));
        assert_eq!(table.text("text", 0), "a");
        assert_eq!(table.extra(0)["other"], "\"x\\\"y\"");
        assert!(table.extra(1).is_empty());
        assert_eq!(*table.cell(DELETED, 0), Cell::Bool(true));
        assert_eq!(*table.cell(DELETED, 1), Cell::Bool(false));
        assert_eq!(*table.cell("bool", 1), Cell::Bool(false));
        assert_eq!(table.counts.missing_columns, 6);
        assert_eq!(table.counts.extra_values, 1);
        assert_eq!(table.batches[0].schema(), schema());
    }
}

#[test]
fn deleted_is_copied_from_a_column_that_is_not_part_of_the_schema() {
    let options = Options {
        deleted_from: Some("IsDeleted".to_owned()),
        ..Options::default()
    };
    let text = "\"text\",\"IsDeleted\"\n\"a\",\"true\"\n\"b\",\"maybe\"\n";
    let table = decode_csv(text.as_bytes(), &[9], options.clone()).unwrap();
    assert_eq!(*table.cell(DELETED, 0), Cell::Bool(true));
    assert_eq!(*table.cell(DELETED, 1), Cell::Null);
    assert!(table.extra(0).is_empty());
    assert_eq!(table.extra(1)["IsDeleted"], "\"maybe\"");
    let page = r#"[{"text":"a","IsDeleted":true},{"text":"b","IsDeleted":"maybe"},{"text":"c"}]"#;
    let table = decode_json(page, options).unwrap();
    assert_eq!(*table.cell(DELETED, 0), Cell::Bool(true));
    assert_eq!(table.extra(1)["IsDeleted"], "\"maybe\"");
    assert_eq!(*table.cell(DELETED, 2), Cell::Null);
    // A value that misfits both the column and its copy is kept once.
    let table = one_csv("bool", "maybe");
    assert_eq!(table.counts.extra_values, 1);
}

#[test]
fn broken_text_changes_only_the_string_it_is_in() {
    // covers: I8
    for bytes in [
        &b"caf\xe9"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5x",
        b"x\xe2\x82",
    ] {
        let mut text = b"\"text\",\"json\",\"other\"\n\"before\",\"1\",\"ok\"\n\"".to_vec();
        text.extend_from_slice(bytes);
        text.extend_from_slice(b"\",\"2\",\"");
        text.extend_from_slice(bytes);
        text.extend_from_slice("\"\n\"after €\",\"3\",\"ok\"\n".as_bytes());
        for sizes in SIZES {
            let table = decode_csv(&text, sizes, options()).unwrap();
            let expected = String::from_utf8_lossy(bytes);
            assert_eq!(table.text("text", 0), "before");
            assert_eq!(table.text("text", 1), expected);
            assert_eq!(table.text("text", 2), "after €");
            let other: String = serde_json::from_str(&table.extra(1)["other"]).unwrap();
            assert_eq!(other, expected);
            assert_eq!(table.counts.lossy_strings, 2);
            assert_eq!(table.counts.rows, 3);
        }
    }
}

#[test]
fn two_broken_halves_do_not_make_a_whole_across_a_border_of_values() {
    // covers: I8
    let text = b"\"text\"\n\"\xe2\x82\"\n\"\xac\"\n";
    let table = decode_csv(text, &[100], options()).unwrap();
    assert_eq!(table.text("text", 0), "\u{fffd}");
    assert_eq!(table.text("text", 1), "\u{fffd}");
    assert_eq!(table.counts.lossy_strings, 2);
}

#[test]
fn nul_stays_in_text_and_is_replaced_in_json() {
    // covers: I9
    let text = "\"text\",\"json\",\"other\0\"\n\"a\0b\",\"[\"\"\\u0000\"\"]\",\"c\0d\"\n";
    for sizes in SIZES {
        let table = decode_csv(text.as_bytes(), sizes, options()).unwrap();
        assert_eq!(table.text("text", 0), "a\0b");
        assert_eq!(table.text("json", 0), "[\"\\ufffd\"]");
        let extra = table.extra(0);
        assert_eq!(extra["other\u{fffd}"], "\"c\u{fffd}d\"");
        assert_eq!(table.counts.nul_replaced, 3);
    }
}

#[test]
fn a_value_over_the_limit_leaves_its_length_and_hash() {
    // covers: I10
    let limits = Options {
        max_value_bytes: 1000,
        ..options()
    };
    let long = "y\"z".repeat(1000);
    let hash: String = Sha256::digest(&long)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let quoted = long.replace('"', "\"\"");
    let fits = "f".repeat(1000);
    let text = format!(
        "\"int\",\"text\",\"other\"\n\"1\",\"{quoted}\",\"{quoted}\"\n\"{quoted}\",\"{fits}\",\"\"\n"
    );
    for sizes in SIZES {
        let table = decode_csv(text.as_bytes(), sizes, limits.clone()).unwrap();
        let marker = format!("{{\"_truncated\":true,\"bytes\":3000,\"sha256\":\"{hash}\"}}");
        assert_eq!(*table.cell("text", 0), Cell::Null);
        assert_eq!(*table.cell("int", 0), Cell::Int(1));
        assert_eq!(table.extra(0)["text"], marker);
        assert_eq!(table.extra(0)["other"], marker);
        assert_eq!(table.extra(1)["int"], marker);
        assert_eq!(table.text("text", 1), fits);
        assert_eq!(table.counts.oversize_values, 3);
        assert_eq!(table.counts.extra_values, 3);
        let fail = Options {
            oversize: Oversize::Fail,
            ..limits.clone()
        };
        let error = decode_csv(text.as_bytes(), sizes, fail).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert_eq!(error.get("column"), Some("text"));
    }
}

#[test]
fn a_hundred_mebibytes_in_one_value_pass_through_little_memory() {
    // covers: I10
    let mut decoder = CsvDecoder::new(schema(), options()).unwrap();
    let mut batches = Vec::new();
    decoder.feed(b"\"text\",\"int\"\n\"", &mut batches).unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        decoder.feed(&piece, &mut batches).unwrap();
    }
    decoder
        .feed(b"\",\"5\"\n\"small\",\"6\"\n", &mut batches)
        .unwrap();
    let counts = decoder.finish(&mut batches).unwrap();
    let table = Table::new(batches, counts);
    assert!(table.extra(0)["text"].starts_with("{\"_truncated\":true,\"bytes\":104857600,"));
    assert_eq!(*table.cell("int", 0), Cell::Int(5));
    assert_eq!(table.text("text", 1), "small");
    let just_fits = "x".repeat(16 << 20);
    assert_eq!(one_csv("text", &just_fits).text("text", 0).len(), 16 << 20);
    assert_eq!(
        one_csv("text", &format!("{just_fits}x"))
            .counts
            .oversize_values,
        1
    );
}

#[test]
fn deep_json_stays_raw_text() {
    // covers: I11
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let table = one_csv("json", &deep);
    let kept: String = serde_json::from_str(table.text("json", 0)).unwrap();
    assert_eq!(kept, deep);
    assert_eq!(table.counts.deep_values, 1);
    assert_eq!(one_csv("text", &deep).text("text", 0), deep);
}

#[test]
fn five_thousand_columns_keep_the_surplus_in_extra() {
    // covers: I13
    let mut fields: Vec<_> = (0..5000)
        .map(|at| Field::new(format!("c{at}"), DataType::Int64, true))
        .collect();
    fields.push(json_field(EXTRA));
    let (limited, dropped) = limit_columns(&Schema::new(fields), 2000, |name| name == "c4999");
    assert_eq!(limited.fields().len(), 2002);
    assert_eq!(dropped.len(), 2999);
    let header: Vec<_> = (0..5000).map(|at| format!("\"c{at}\"")).collect();
    let record: Vec<_> = (0..5000).map(|at| format!("\"{at}\"")).collect();
    let text = format!("{}\n{}\n", header.join(","), record.join(","));
    let table = decode_csv_as(limited, text.as_bytes(), &[1000], Options::default()).unwrap();
    assert_eq!(*table.cell("c1999", 0), Cell::Int(1999));
    assert_eq!(*table.cell("c4999", 0), Cell::Int(4999));
    assert_eq!(table.extra(0)["c2000"], "\"2000\"");
    assert_eq!(table.counts.extra_values, 2999);
}

#[test]
fn rows_of_200_kilobytes_and_fields_of_2_megabytes_are_ordinary() {
    // covers: I13, I17
    let long = "line\nwith \"\"quotes\"\", ".repeat(100_000);
    let text = format!(
        "\"int\",\"text\"\n\"1\",\"{}\"\n\"2\",\"{long}\"\n\"3\",\"x\"\n",
        "a".repeat(200_000)
    );
    for sizes in [&[1 << 16][..], &[4096, 1], &[usize::MAX]] {
        let table = decode_csv(text.as_bytes(), sizes, options()).unwrap();
        assert_eq!(table.text("text", 0).len(), 200_000);
        assert_eq!(table.text("text", 1), long.replace("\"\"", "\""));
        assert_eq!(*table.cell("int", 2), Cell::Int(3));
    }
}

#[test]
fn what_is_not_rfc_4180_or_not_this_stream_is_refused() {
    // covers: I17, N9
    for text in [
        "",
        "\n\n",
        "\"text\",\"int\"\n\"a\"\n",
        "\"text\",\"int\"\n\"a\",\"1\",\"x\"\n",
        "\"text\",\"int\"\n\"a\",\"1\"\n\"a\",\"1",
        "\"text\",\"int\"\n\"a\",\"1\"\n\"a",
        "\"text\",\"int\"\n\"a\"b,\"1\"\n",
        "\"text\",\"int\"\n\"a\" ,\"1\"\n",
        "\"text\",\"text\"\n\"a\",\"1\"\n",
        "\"text\",\"int\"\n\"text\",\"int\"\n\"a\",\"1\"\n",
        "\"001\",\"5\"\n\"a\",\"1\"\n",
        "<html><body>down for maintenance</body></html>\n",
        "\"tex",
        "\u{feff}",
    ] {
        for sizes in SIZES {
            assert!(refused(text.as_bytes(), sizes), "{text:?}");
        }
    }
    assert!(refused(b"\"text\xff\"\n\"a\"\n", &[4]));
}

/// A zip archive with one entry of this name, stored as it is: its data can be read in the archive.
pub(crate) fn zip(name: &str, data: &[u8]) -> Vec<u8> {
    let (name_bytes, size) = (name.as_bytes(), u32::try_from(data.len()).unwrap());
    let name_size = u16::try_from(name_bytes.len()).unwrap();
    // Flags, method, time, date, checksum, both sizes, size of the name: the same in both headers.
    let mut about = vec![0; 8];
    about.extend(crc32fast::hash(data).to_le_bytes());
    about.extend(size.to_le_bytes().repeat(2));
    about.extend(name_size.to_le_bytes());
    let local = [b"PK\x03\x04\x14\0", &about[..], &[0; 2], name_bytes, data].concat();
    let entry = [b"PK\x01\x02\x14\0\x14\0", &about[..], &[0; 16], name_bytes].concat();
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend(u32::try_from(entry.len()).unwrap().to_le_bytes());
    end.extend(u32::try_from(local.len()).unwrap().to_le_bytes());
    end.extend([0; 2]);
    [local, entry, end].concat()
}

#[test]
fn an_archive_is_never_a_page() {
    // covers: I19
    let page = b"\n\"text\",\"int\"\n\"a\",\"1\"\n";
    for name in [
        "rows.csv",
        "../../etc/passwd",
        "/etc/passwd",
        "\ntext,int\na,1\n",
        "text,int\n",
    ] {
        for data in [&b""[..], &page[1..], page] {
            for sizes in SIZES {
                assert!(refused(&zip(name, data), sizes), "{name:?} {data:?}");
            }
        }
    }
}

#[test]
fn every_legal_spelling_of_a_page_means_the_same() {
    // covers: I17
    for text in [
        "\"text\",\"int\"\n\"a,\r\nb\"\"\",\"1\"\n\"c\",\"2\"\n",
        "text,int\n\"a,\r\nb\"\"\",1\nc,2\n",
        "\u{feff}\"text\",\"int\"\r\n\"a,\r\nb\"\"\",\"1\"\r\n\"c\",\"2\"\r\n",
        "\u{feff}int,text\n1,\"a,\r\nb\"\"\"\n2,c",
        "\n\"text\",\"int\"\n\n\"a,\r\nb\"\"\",\"1\"\n\r\n\"c\",\"2\"\n\n",
    ] {
        for sizes in SIZES {
            let table = decode_csv(text.as_bytes(), sizes, options()).unwrap();
            assert_eq!(
                table.columns["text"],
                [
                    Cell::Text("a,\r\nb\"".to_owned()),
                    Cell::Text("c".to_owned())
                ]
            );
            assert_eq!(table.columns["int"], [Cell::Int(1), Cell::Int(2)]);
            assert_eq!(
                table.counts.unterminated_pages,
                u64::from(!text.ends_with('\n'))
            );
        }
    }
}

#[test]
fn a_page_of_only_a_header_has_no_rows() {
    // covers: I17
    let table = decode_csv(b"\"text\",\"int\"\n", &[2], options()).unwrap();
    assert_eq!(table.counts.rows, 0);
    assert!(table.batches.is_empty());
    assert_eq!(table.counts.missing_columns, 7);
    assert!(table.counts.check_page(Some(0)).is_ok());
    assert!(table.counts.check_page(Some(1)).is_err());
}

#[test]
fn a_cut_at_a_record_border_is_caught_by_the_count() {
    // covers: N9
    let cut = decode_csv(b"\"text\",\"int\"\n\"a\",\"1\"\n", &[2], options()).unwrap();
    assert_eq!(
        cut.counts.check_page(Some(2)).unwrap_err().kind(),
        ErrorKind::Data
    );
    assert!(cut.counts.check_page(None).is_ok());
    let cut = decode_csv(b"\"text\",\"int\"\n\"a\",\"1\"", &[2], options()).unwrap();
    assert_eq!(
        cut.counts.check_page(None).unwrap_err().kind(),
        ErrorKind::Data
    );
    assert!(cut.counts.check_page(Some(1)).is_ok());
}

#[test]
fn a_later_page_with_another_header_is_refused() {
    let options = Options {
        expected_header: Some(vec!["text".to_owned(), "int".to_owned()]),
        ..options()
    };
    assert!(decode_csv(b"\"text\",\"int\"\n", &[4], options.clone()).is_ok());
    let error = decode_csv(b"\"int\",\"text\"\n", &[4], options)
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Data);
}

#[test]
fn other_delimiters_are_only_delimiters_where_they_were_asked_for() {
    let options = Options {
        delimiter: b'\t',
        ..options()
    };
    let table = decode_csv(b"text\tint\n\"a,b\tc\"\t1\nd,e\t2\n", &[5], options).unwrap();
    assert_eq!(table.text("text", 0), "a,b\tc");
    assert_eq!(table.text("text", 1), "d,e");
    let options = Options {
        delimiter: b'"',
        ..Options::default()
    };
    assert_eq!(
        CsvDecoder::new(schema(), options).unwrap_err().kind(),
        ErrorKind::Bug
    );
}

#[test]
fn a_header_cannot_fill_the_memory() {
    // covers: I13
    let options = Options {
        max_header_bytes: 10_000,
        ..options()
    };
    assert!(decode_csv("x".repeat(20_000).as_bytes(), &[1000], options.clone()).is_err());
    assert!(decode_csv(",".repeat(200_000).as_bytes(), &[1000], options).is_err());
}

#[test]
fn a_decoder_that_failed_stays_failed() {
    let mut decoder = CsvDecoder::new(schema(), options()).unwrap();
    let mut batches = Vec::new();
    assert!(
        decoder
            .feed(b"\"text\"\n\"a\",\"b\"\n", &mut batches)
            .is_err()
    );
    assert_eq!(
        decoder.feed(b"\"c\"\n", &mut batches).unwrap_err().kind(),
        ErrorKind::Bug
    );
    assert_eq!(
        decoder.finish(&mut batches).unwrap_err().kind(),
        ErrorKind::Bug
    );
    assert!(batches.is_empty());
}

#[test]
fn batches_are_closed_by_rows_and_by_bytes() {
    let mut text = "text\n".to_owned();
    for row in 0..1000 {
        text.push_str(&format!("value {row}\n"));
    }
    let by_rows = Options {
        batch_rows: 64,
        ..options()
    };
    let table = decode_csv(text.as_bytes(), &[50, 3000], by_rows).unwrap();
    assert_eq!(table.batches.len(), 16);
    assert!(table.batches.iter().all(|batch| batch.num_rows() <= 64));
    assert_eq!(table.text("text", 999), "value 999");
    let by_bytes = Options {
        batch_bytes: 1000,
        ..options()
    };
    assert!(
        decode_csv(text.as_bytes(), &[200], by_bytes)
            .unwrap()
            .batches
            .len()
            > 8
    );
}

#[test]
fn names_are_translated_and_nulls_dates_and_nul_bytes_read_as_a_service_means_them() {
    let options = || Options {
        renamed: [
            ("Account.Text", "text"),
            ("Account.Mrr", "decimal"),
            ("Account.UpdatedDate", "timestamp"),
            ("Account.Deleted", "Deleted"),
            ("Account.When", "date"),
        ]
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .to_vec(),
        deleted_from: Some("Deleted".to_owned()),
        empty_is_null: false,
        null_text: Some("~N~".to_owned()),
        bare_date_zone: Some(chrono_tz::America::Los_Angeles),
        strip_nul: true,
        ..Options::default()
    };
    let text = b"Account.Deleted,ACCOUNT.MRR,account.text,Account.UpdatedDate,Account.When,New\n\
        false,~N~,~N~,2024-07-01,~N~,~N~\n\
        true,-0.000001,,2024-12-01,2024-02-29,\n\
        FALSE,12,a\0b~N~,2019-03-12T08:11:09+0000,2024-02-30,x\n\
        false,1.5,\"~N~\",~N~,,\"~N~ \"\n";
    let midsummer = 1_719_817_200_000_000; // 07:00 UTC
    let winter = 1_733_040_000_000_000; // 08:00 UTC
    for sizes in SIZES {
        let table = decode_csv(text, sizes, options()).unwrap();
        let column = |name: &str| table.columns[name].clone();
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(
            column("text"),
            [Cell::Null, text(""), text("ab~N~"), Cell::Null]
        );
        assert_eq!(
            column("decimal"),
            [
                Cell::Null,
                Cell::Decimal(-1),
                Cell::Decimal(12_000_000),
                Cell::Decimal(1_500_000)
            ]
        );
        assert_eq!(
            column("timestamp"),
            [
                Cell::Timestamp(midsummer),
                Cell::Timestamp(winter),
                Cell::Timestamp(1_552_378_269_000_000),
                Cell::Null
            ]
        );
        assert_eq!(
            column(DELETED),
            [false, true, false, false].map(Cell::Bool).to_vec()
        );
        assert_eq!(column("date")[0], Cell::Null);
        let extras: Vec<_> = (0..4).map(|row| table.extra(row)).collect();
        assert!(extras[0].is_empty());
        assert_eq!(extras[1].len(), 1, "an empty text is not null: {extras:?}");
        assert_eq!(extras[2].len(), 2, "{extras:?}");
        assert_eq!(table.counts.nul_stripped, 1);
        assert_eq!(table.counts.nulls_from_empty, 1, "one date is empty");
    }
    let zoneless = Options {
        bare_date_zone: None,
        ..options()
    };
    let table = decode_csv(text, &[1 << 20], zoneless).unwrap();
    assert_eq!(table.columns["timestamp"][0], Cell::Null);
}
