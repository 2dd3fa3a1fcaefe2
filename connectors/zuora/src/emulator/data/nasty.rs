//! Values that careless readers trip over. Only in worlds that ask for it, because public clients give up on some.
//!
//! No amount that adds up is touched.

use overlock_core::Timestamp;
use overlock_sandbox::company::Dice;

use crate::emulator::model::Value;
use crate::emulator::world::World;

use super::days::{Sec, instant};
use super::deal::{Deal, Values, row};

/// Past what any field is announced to hold.
const LONG_TEXT: usize = 20 * 1024;

/// Adds hostile values, all at one instant.
pub(super) fn seed(world: &mut World, at: Sec) {
    let texts = texts();
    let ids = |world: &World, object: &str| -> Vec<String> {
        let rows = world.rows(object, instant(at));
        let live = rows.into_iter().filter(|row| !row.deleted);
        live.map(|row| row.id.clone()).collect()
    };
    let contacts = ids(world, "Contact");
    let accounts = ids(world, "Account");
    let subscriptions = ids(world, "Subscription");
    let tiers = ids(world, "ProductRatePlanChargeTier");
    let charges = ids(world, "RatePlanCharge");
    let codes = ids(world, "AccountingCode");
    let dice = Dice::numbered(world.options.seed, "nasty", 0);
    let mut deal = Deal::new(world, dice, at);
    for (text, (place, id)) in texts.iter().zip(contacts.iter().enumerate()) {
        let field = ["Description", "NickName", "County", "TaxRegion"];
        let field = field.get(place % 4).copied().unwrap_or("Description");
        deal.change("Contact", id, vec![(field, Value::Text(text.clone()))]);
    }
    for (values, id) in rows_of_accounts().into_iter().zip(&accounts) {
        deal.change("Account", id, values);
    }
    for (values, id) in rows_of_subscriptions().into_iter().zip(&subscriptions) {
        deal.change("Subscription", id, values);
    }
    for (text, id) in NUMBERS.iter().zip(&tiers) {
        let values = vec![("DiscountAmount", Value::Number((*text).to_owned()))];
        deal.change("ProductRatePlanChargeTier", id, values);
    }
    for (text, id) in NUMBERS.iter().zip(charges.iter().rev()) {
        let values = vec![("Weight__c", Value::Number((*text).to_owned()))];
        deal.change("RatePlanCharge", id, values);
    }
    for (text, id) in ["9.0", "9223372036854775808", "7.5"].iter().zip(&charges) {
        let values = vec![("UpToPeriods", Value::Number((*text).to_owned()))];
        deal.change("RatePlanCharge", id, values);
    }
    // Rows that no window finds: nobody knows when they changed.
    for id in codes.iter().take(2) {
        deal.silently("AccountingCode", id, &row! { UpdatedDate: Value::Null });
    }
    deal.insert(
        "Usage",
        row! { Quantity: super::Money::whole(1), UOM: "Minute", RbeStatus: "Importing", UpdatedDate: Value::Null,
        CreatedDate: Value::Null },
        &[("Account", accounts.first().map_or("", String::as_str))],
    );
}

/// Numbers at the edges, which no binary fraction holds.
const NUMBERS: &[&str] = &[
    "0.123456789012",
    "12345678901234567890123456789",
    "-12345678901234567890123456789",
    "-0.000000000001",
    "100.0",
    "-0",
    "00042",
    "9007199254740993",
];

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "\\N",
        "null",
        "NULL",
        " leading",
        "trailing ",
        "   ",
        "comma, \"quote\" and 'apostrophe'",
        "line\nbreak",
        "carriage\rreturn",
        "both\r\nof them",
        "NUL\u{0}byte",
        "\u{0}",
        "emoji \u{1F9E8}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
        "\"",
        "\"\"",
        "\n",
        "\u{FEFF}mark",
        "=HYPERLINK(\"https://evil.example\")",
        "tab\tand bell\u{7} and escape \u{1b}[31m",
        "a\u{2028}b\u{85}c",
        "true",
        "0x1F",
        "\\",
        "\\\"",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    texts.push("x".repeat(LONG_TEXT));
    texts.push("\u{1F9E8}, \"long\"\n".repeat(LONG_TEXT / 13));
    texts
}

fn rows_of_accounts() -> Vec<Values> {
    let date = |text: &str| Value::Date(text.to_owned());
    vec![
        row! { Notes: "", Remarks__c: "one\ntwo, \"three\"\r\nfour", LegacyId__c: "\\N" },
        row! { TaxExemptEffectiveDate: date("0001-01-01"), TaxExemptExpirationDate: date("9999-12-31") },
        row! { TaxExemptEffectiveDate: date("12019-01-01"), TaxExemptExpirationDate: date("2026-02-30") },
        row! { CreatedById: "3", Notes: "null", IntegrationId__NS: "" },
        row! { Notes: Value::Null, LegacyId__c: "", Remarks__c: "\u{0}" },
    ]
}

fn rows_of_subscriptions() -> Vec<Values> {
    let number = |text: &str| Value::Number(text.to_owned());
    let latest = Timestamp::parse("9999-12-31T23:59:59Z").unwrap_or(Timestamp::EPOCH);
    let first = Timestamp::parse("0001-01-01T00:00:00Z").unwrap_or(Timestamp::EPOCH);
    vec![
        row! { OriginalCreatedDate: Value::Time(latest), RenewalTerm: number("12.0") },
        row! { OriginalCreatedDate: Value::Time(first), Filter__c: "Status = 'Active'\nand Name like '%\"%'" },
        row! { InitialTerm: number("36.0"), CancelReason: "" },
        row! { OriginalCreatedDate: Value::Null, CurrentTerm: number("-0") },
    ]
}
