//! The made-up rows for measurements.

use std::io::Read as _;

use super::aqua::with;
use super::*;

#[test]
fn the_bench_serves_many_rows_and_windows() {
    let clock = VirtualClock::still(time(START));
    let emulator = ZuoraEmulator::new(world(), clock.clone()).with_bench(25_000);
    let mut tenant = Tenant {
        emulator,
        clock,
        token: String::new(),
    };
    tenant.log_in();
    let described = tenant.get("/v1/describe/InvoiceItem").text();
    assert_eq!(described.matches("<field>").count(), 40);
    let whole = tenant.file(&job(&["select * from InvoiceItem"])).bytes;
    let mean = whole.len() / 25_000;
    assert!((520..=560).contains(&mean), "{mean} bytes per row");
    let gzip = tenant.file(&with(
        job(&["select * from InvoiceItem"]),
        &[("format", json!("gzip"))],
    ));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&gzip.bytes[..])
        .read_to_end(&mut text)
        .unwrap();
    assert!(text == whole);
    let mut all = Vec::new();
    let borders = [
        "2025-01-01T00:00:00Z",
        "2025-07-04T12:00:00Z",
        "2025-12-31T00:00:01Z",
        "2027-01-01T00:00:00Z",
    ];
    for pair in borders.windows(2) {
        let query = format!(
            "select Id, UpdatedDate from InvoiceItem where UpdatedDate >= '{}' and UpdatedDate < '{}'",
            pair[0], pair[1]
        );
        let submitted = tenant.submit(&[&query]);
        let count = tenant.poll(&submitted)["batches"][0]["recordCount"]
            .as_u64()
            .unwrap();
        let lines = tenant.lines(&query);
        assert_eq!(lines.len() as u64, count + 1);
        let stamp = |line: &String| {
            line.split(',')
                .find(|cell| cell.contains('T'))
                .unwrap()
                .to_owned()
        };
        for line in &lines[1..] {
            assert!(
                stamp(line).as_str() >= pair[0].trim_end_matches('Z')
                    && stamp(line).as_str() < pair[1],
                "{line}"
            );
        }
        all.extend(lines[1..].iter().cloned());
    }
    assert_eq!(all.len(), 25_000);
    let unique: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(unique.len(), 25_000);
    let keyset = tenant.lines("select Id from InvoiceItem where Id > '8ad08f0692be9c7e0000000000000009' order by Id limit 10,2");
    assert_eq!(
        keyset[1..],
        [
            "8ad08f0692be9c7e0000000000000014",
            "8ad08f0692be9c7e0000000000000015"
        ]
    );
}

#[test]
fn made_up_rows_have_nulls_and_say_what_they_cannot_do() {
    let clock = VirtualClock::still(time(START));
    let emulator = ZuoraEmulator::new(world(), clock.clone()).with_bench(100);
    let mut tenant = Tenant {
        emulator,
        clock,
        token: String::new(),
    };
    tenant.log_in();
    let query = "select RevRecStartDate from InvoiceItem";
    let nulls = tenant.file(&with(job(&[query]), &[("nullReplacement", json!("\\N"))]));
    let count = |text: &str, cell: &str| text.lines().filter(|line| *line == cell).count();
    assert!(count(&nulls.text(), "\\N") > 20);
    assert_eq!(
        count(&nulls.text(), "\\N"),
        count(&tenant.file(&job(&[query])).text(), "")
    );
    let refused = tenant.submit(&["select Id from InvoiceItem where UOM = 'Each'"]);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("cannot be filtered by UOM")
    );
    let zip = with(job(&[query]), &[("format", json!("zip"))]);
    assert_eq!(
        tenant.post("/v1/batch-query/", &zip).json()["errorCode"],
        "90010"
    );
}
