//! Everything that breaks careless readers, behind [`WorldOptions::nasty`](crate::emulator::world::WorldOptions).
//!
//! The list is that of the API contract, section 17.7.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use overlock_core::{Result, Timestamp};

use crate::emulator::model::{Value, canonical_number};
use crate::emulator::schema::{Blueprint, Common, record_id};
use crate::emulator::world::{Change, Moment, World};

use super::numbers::day;

/// Columns of the wide object besides the common ones.
const WIDE_COLUMNS: usize = 800;
/// Rows that share one second.
const BURST_ROWS: u32 = 3000;
/// Longest rich text.
const LONGEST_TEXT: usize = 131_072;

static WIDE: LazyLock<String> = LazyLock::new(|| {
    const KINDS: [&str; 8] = [
        "s80", "dbl18.4", "cur18.2", "int8", "bool", "date", "dt", "pk40",
    ];
    let columns = (0..WIDE_COLUMNS).zip(KINDS.iter().cycle());
    let columns: Vec<_> = columns
        .map(|(number, kind)| format!("Column_{number:03}__c {kind}"))
        .collect();
    format!("Name s80 name; {}", columns.join(";"))
});

/// The objects that only a nasty world has.
pub(super) fn blueprints() -> Vec<Blueprint> {
    vec![
        Blueprint::ordinary("Nasty__c", "a90", NASTY),
        Blueprint::ordinary("Burst__c", "a91", "Name s80 name; Value__c dbl18.4"),
        Blueprint::ordinary("Wide__c", "a92", WIDE.as_str()),
        Blueprint::ordinary("Empty__c", "a93", "Name s80 name; Amount__c cur18.2"),
        Blueprint {
            common: Common::Nothing,
            bulk: false,
            replicateable: false,
            ..Blueprint::ordinary(
                "LightningUriEvent",
                "",
                "EventIdentifier s36 !; EventDate dt nofilter; UserId ref(User); Username s80; \
                 PageUrl url1000; Duration dbl18.0; Operation pk40",
            )
        },
    ]
}

/// Whether an object exists in nasty worlds only.
pub(crate) fn is_nasty(object: &str) -> bool {
    matches!(
        object,
        "Nasty__c" | "Burst__c" | "Wide__c" | "Empty__c" | "LightningUriEvent"
    )
}

const NASTY: &str = "Name s80 name; CurrencyIsoCode pk3 !; Text__c s255; Long__c ta32000; Rich__c html131072; \
    Whole__c int8; Big__c long; Number__c dbl18.2; Amount__c cur18.2; Share__c pct5.2; Day__c date; Moment__c dt; \
    Clock__c time; Who__c ref(Account,Contact,Lead,User); Picks__c mpk4099; Card__c enc16; Anything__c any";

/// Texts that get lost, split, unquoted or taken for null.
pub(crate) const TEXTS: &[&str] = &[
    "NA",
    "N/A",
    "#N/A",
    "null",
    "NULL",
    "None",
    "nil",
    "-",
    " ",
    "  two spaces  ",
    "true",
    "0",
    "007",
    "+49 30 123",
    "1e5",
    "=1+1",
    "@SUM(A1)",
    "a,b",
    "a;b",
    "a|b",
    "a^b",
    "a`b",
    "\"",
    "\"\"",
    "\"quoted\"",
    "he said \"no\", twice",
    "line\nline",
    "line\r\nline",
    "line\rline",
    "tab\tstop",
    "end\n",
    "\nbegin",
    "\"\n\"",
    ",",
    ",,,",
    "NUL\u{0}inside",
    "\u{FEFF}mark",
    "\u{FFFD}",
    "😀🏳️‍🌈",
    "שלום עולם",
    "مرحبا",
    "e\u{301}",
    "\u{202E}reversed",
    "\u{2028}separator",
    "\\",
    "\\n",
    "\\N",
    "'",
    "''",
    "';--",
    "<script>",
    "&amp;",
    "%00",
    "001xx000003DGb2",
    "0017000000hZ3bE",
    "{\"a\":1}",
    "[]",
    "\u{7F}",
    "\u{1}",
    "ﬀ",
    "ß",
    "İ",
    "ǅ",
    "𝒳",
];

/// Numbers in spellings and sizes that a column of the declared scale does not foresee.
pub(crate) const NUMBERS: &[&str] = &[
    "0.0",
    "-0.0",
    "1.0",
    "1.0E7",
    "-1.0E7",
    "1.6147805824397E13",
    "9.99999999999999E15",
    "2.0E-5",
    "-2.0E-5",
    "0.1",
    "0.30000000000000004",
    "12.345",
    "99.999999",
    "1234567.891234",
    "9.5E8",
    "950000000.0",
    "1.0E-8",
    "123456789012.12",
];

/// Whole numbers as the Bulk API may write them.
const WHOLES: &[&str] = &["3.0", "1.0E7", "-5", "0", "99999999", "1.2345E4"];

const DAYS: &[&str] = &[
    "1700-01-01",
    "4000-12-31",
    "1969-12-31",
    "1970-01-01",
    "2024-02-29",
    "1900-03-01",
];

const CLOCKS: &[&str] = &[
    "00:00:00.000Z",
    "23:59:59.999Z",
    "12:30:15.001Z",
    "08:00:00.000Z",
];

const MOMENTS: &[&str] = &[
    "1700-01-01T00:00:00Z",
    "4000-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2024-03-31T01:30:00Z",
    "2016-12-31T23:59:59Z",
];

/// Creates the rows of the nasty objects.
pub(super) fn seed(world: &mut World) -> Result<()> {
    let start = world.options.start;
    let began = start.minus(Duration::from_secs(86_400 * 3));
    let rows = TEXTS.len().max(NUMBERS.len());
    let people: Vec<Arc<str>> = ["Account", "Contact", "Lead", "User"]
        .iter()
        .filter_map(|object| world.ids(object).first().cloned())
        .collect();
    let user = world.ids("User").first().cloned().unwrap_or_default();
    for row in 0..rows {
        let cycle =
            |texts: &[&'static str]| texts.get(row % texts.len().max(1)).copied().unwrap_or("");
        let number = |texts: &[&'static str]| Value::Number(cycle(texts).into());
        let text = cycle(TEXTS);
        let moment = Timestamp::parse(cycle(MOMENTS)).map_or(Value::Null, Value::DateTime);
        let long = match row {
            0 => "x".repeat(32_000),
            _ => format!("{text}\r\n{text}\n{text}"),
        };
        let rich = match row {
            1 => "<p>ü\"</p>\r\n"
                .chars()
                .cycle()
                .take(LONGEST_TEXT)
                .collect(),
            _ => format!("<b>{text}</b>"),
        };
        let big = [i64::MAX, i64::MIN + 1, 9_007_199_254_740_993, 0];
        let anything = match row % 4 {
            0 => Value::text("007"),
            1 => Value::Bool(true),
            2 => number(NUMBERS),
            _ => Value::Date(cycle(DAYS).into()),
        };
        let changes: Vec<Change<'_>> = vec![
            ("Name", Value::text(format!("nasty {row}"))),
            (
                "CurrencyIsoCode",
                Value::text(["EUR", "JPY", "KWD"].get(row % 3).copied().unwrap_or("USD")),
            ),
            ("Text__c", Value::text(text)),
            ("Long__c", Value::text(long)),
            ("Rich__c", Value::text(rich)),
            ("Whole__c", number(WHOLES)),
            ("Big__c", Value::Int(big.get(row % 4).copied().unwrap_or(0))),
            ("Number__c", number(NUMBERS)),
            ("Amount__c", number(NUMBERS)),
            ("Share__c", number(NUMBERS)),
            ("Day__c", Value::Date(cycle(DAYS).into())),
            ("Moment__c", moment),
            ("Clock__c", Value::Time(cycle(CLOCKS).into())),
            (
                "Who__c",
                people
                    .get(row % people.len().max(1))
                    .map_or(Value::Null, Value::text),
            ),
            ("Picks__c", Value::text("One;Two;Three")),
            ("Card__c", Value::text("************1234")),
            ("Anything__c", anything),
            ("CreatedById", Value::text(&user)),
            ("LastModifiedById", Value::text(&user)),
        ];
        // Two rows per second, the first of them exactly on midnight.
        let midnight = began.seconds() - began.seconds().rem_euclid(86_400);
        let at = Timestamp::from_seconds(midnight + i64::try_from(row / 2).unwrap_or(0));
        world.insert("Nasty__c", &changes, at.unwrap_or(began))?;
    }
    let stamped = [
        ("CreatedById", Value::text(&user)),
        ("LastModifiedById", Value::text(&user)),
    ];
    for _ in 0..BURST_ROWS {
        world.insert("Burst__c", &stamped, began)?;
    }
    for row in 0..40_u64 {
        world.insert(
            "Wide__c",
            &stamped,
            began.plus(Duration::from_secs(row * 3600)),
        )?;
    }
    for row in 0..25_u64 {
        let changes = [
            ("EventIdentifier", Value::text(record_id("0Nx", row))),
            ("EventDate", Value::DateTime(began)),
            ("UserId", Value::text(&user)),
        ];
        world.insert("LightningUriEvent", &changes, Moment::from(began))?;
    }
    debug_assert!(
        NUMBERS
            .iter()
            .all(|number| !canonical_number(number).contains('E'))
    );
    debug_assert!(!day(start, 0).is_null());
    Ok(())
}
