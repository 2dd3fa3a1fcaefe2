//! Laws of the world.

use std::collections::BTreeSet;
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::company;

use crate::emulator::model::{ChangeKey, Kind, Row, Value};
use crate::emulator::{World, WorldOptions};

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> Timestamp {
    Timestamp::parse("2026-03-04T12:00:00Z").unwrap()
}

fn tiny(seed: u64) -> World {
    World::seeded(WorldOptions::tiny(seed, start()))
}

fn everything(world: &World, at: Timestamp) -> Vec<String> {
    let names: Vec<String> = world.objects().map(|object| object.name.clone()).collect();
    let rows = names.iter().flat_map(|name| {
        let rows = world.rows(name, at).into_iter();
        rows.map(move |row| format!("{name} {row:?}"))
    });
    rows.collect()
}

fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    match row.value(field) {
        Value::Text(text) => text,
        other => panic!("{field} of {} is {other:?}", row.id),
    }
}

#[test]
fn the_same_options_give_the_same_world_in_any_number_of_steps() {
    for seed in 0..2 {
        let end = start().plus(DAY * 9);
        let mut at_once = tiny(seed);
        at_once.evolve(end);
        let mut in_steps = tiny(seed);
        for hour in 0..9 * 24 {
            in_steps.evolve(start().plus(Duration::from_secs(hour * 3_600)));
        }
        in_steps.evolve(end);
        assert_eq!(everything(&at_once, end), everything(&in_steps, end));
        // What has happened is not changed by what comes.
        for days in [0, 4] {
            let then = start().plus(DAY * days);
            let mut young = tiny(seed);
            young.evolve(then);
            assert_eq!(everything(&young, then), everything(&at_once, then));
        }
    }
    assert_ne!(everything(&tiny(0), start()), everything(&tiny(1), start()));
}

#[test]
fn money_adds_up_at_every_instant() {
    for seed in 0..3 {
        let mut world = tiny(seed);
        world.evolve(start().plus(DAY * 40));
        for hours in (0..40 * 24).step_by(7) {
            let at = start().plus(Duration::from_secs(hours * 3_600 + 1_234));
            assert_eq!(world.balances(at), Ok(()), "{at}");
        }
        for days in [1, 60, 200] {
            assert_eq!(world.balances(start().minus(DAY * days)), Ok(()));
        }
    }
    let nasty = WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(9, start())
    };
    let mut nasty = World::seeded(nasty);
    nasty.evolve(start().plus(DAY * 5));
    assert_eq!(nasty.balances(start()), Ok(()));
    assert_eq!(nasty.balances(start().plus(DAY * 5)), Ok(()));
}

#[test]
fn a_wrong_digit_is_found() {
    let mut world = tiny(1);
    let invoice = world.ids("Invoice", start()).pop_first().unwrap();
    let wrong = [("Balance", Value::Number("0.000000001".to_owned()))];
    world.update("Invoice", &invoice, &wrong, Some(start()), start());
    assert!(world.balances(start()).is_err());
}

#[test]
fn the_demo_has_some_ten_thousand_rows_and_every_object() {
    let mut demo = World::seeded(WorldOptions::demo(1, start()));
    for (world, least, most) in [(&tiny(1), 500, 3_000), (&demo, 10_000, 16_000)] {
        let mut sum = 0;
        for object in world.objects() {
            let rows = world.rows(&object.name, start()).len();
            // Those that clients must leave alone are empty.
            let is_empty = object.name.starts_with('a');
            assert_eq!(rows == 0, is_empty, "{}", object.name);
            sum += rows;
        }
        assert!((least..most).contains(&sum), "{sum} rows");
    }
    demo.evolve(start().plus(DAY * 5));
    assert_eq!(demo.balances(start().plus(DAY * 5)), Ok(()));
    demo.evolve(start().plus(DAY * 40));
    assert_eq!(demo.balances(start().plus(DAY * 40)), Ok(()));
}

#[test]
fn customers_are_those_of_the_company() {
    let world = tiny(3);
    let accounts = world.rows("Account", start());
    assert_eq!(accounts.len(), 12);
    let mut seen = BTreeSet::new();
    for account in accounts {
        let number = (1..=12)
            .find(|number| company::account_id(*number) == text(account, "CrmId"))
            .unwrap();
        seen.insert(number);
        let name = company::account_name(3, &company::account_id(number));
        assert_eq!(text(account, "Name"), name);
        for (relation, number) in [("BillToContact", number), ("SoldToContact", number + 12)] {
            let contact = world.row("Contact", &account.parents[relation], start());
            let contact = contact.unwrap();
            let id = company::contact_id(number);
            let (first, last) = company::contact_name(3, &id);
            assert_eq!(text(contact, "FirstName"), first);
            assert_eq!(text(contact, "LastName"), last);
            assert_eq!(text(contact, "WorkEmail"), company::contact_email(3, &id));
        }
    }
    assert_eq!(seen.len(), 12);
}

#[test]
fn some_transactions_commit_up_to_two_hours_after_their_stamp() {
    let mut world = World::seeded(WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(2, start())
    });
    world.evolve(start().plus(DAY * 20));
    let (mut late, mut longest) = (0, 0);
    for table in world.tables.values() {
        for versions in table.rows.values() {
            assert!(versions.is_sorted_by_key(|version| version.visible));
            let mut previous = None;
            for version in versions {
                let stamp = version.row.stamp(table.object.change);
                if let Some(stamp) = stamp.filter(|stamp| Some(*stamp) != previous) {
                    let lateness = version.visible.seconds() - stamp.seconds();
                    assert!((0..7_200).contains(&lateness), "{lateness}");
                    assert_eq!(stamp.floor_second(), stamp);
                    late += usize::from(lateness > 0);
                    longest = longest.max(lateness);
                }
                assert!(
                    stamp.is_none() || stamp >= previous || version.gone,
                    "a stamp went back: no reader of windows would see the change"
                );
                previous = stamp;
            }
        }
    }
    assert!(late > 100, "{late} rows came late");
    assert!(longest > 3_600, "none came later than {longest} seconds");
}

/// Fields that change between two versions of equal stamps, with their objects.
fn silent_changes(world: &World) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, table) in &world.tables {
        if table.object.change == ChangeKey::None {
            continue;
        }
        for versions in table.rows.values() {
            for pair in versions.windows(2) {
                let [old, new] = [&pair[0], &pair[1]];
                let change = table.object.change;
                if old.row.stamp(change) != new.row.stamp(change) || old.visible == new.visible {
                    continue;
                }
                let fields = new.row.values.iter();
                let changed = fields.filter(|(field, value)| old.row.value(field) != *value);
                found.extend(changed.map(|(field, _)| format!("{name}.{field}")));
            }
        }
    }
    found
}

#[test]
fn columns_of_the_contract_change_without_a_stamp() {
    let mut world = World::seeded(WorldOptions::demo(2, start()));
    world.evolve(start().plus(DAY * 20));
    let found = silent_changes(&world);
    for wanted in [
        "RatePlanCharge.ChargedThroughDate",
        "RatePlanCharge.ProcessedThroughDate",
        "RatePlanCharge.RevRecCode",
        "RatePlanCharge.RevenueRecognitionRuleName",
        "InvoiceItem.ProductName",
        "InvoiceItem.ProductDescription",
        "InvoiceItemAdjustment.CustomerName",
        "InvoiceItemAdjustment.CustomerNumber",
    ] {
        assert!(found.contains(wanted), "{wanted} is not in {found:?}");
    }
    let known = ["RatePlanCharge.", "InvoiceItem.", "InvoiceItemAdjustment."];
    for field in &found {
        assert!(
            known.iter().any(|known| field.starts_with(known)),
            "{field}"
        );
    }
}

#[test]
fn rows_vanish_or_stay_as_deleted_for_a_month() {
    let mut world = tiny(5);
    let later = |days: u32| start().plus(DAY * days);
    let mut ids = world.ids("Contact", start()).into_iter();
    let (first, second) = (ids.next().unwrap(), ids.next().unwrap());
    world.vanish("Contact", &first, later(1));
    assert!(world.row("Contact", &first, start()).is_some());
    assert!(world.row("Contact", &first, later(1)).is_none());
    world.delete("Contact", &second, later(1));
    assert!(world.row("Contact", &second, later(2)).unwrap().deleted);
    assert!(world.row("Contact", &second, later(40)).is_none());
    // An object without deletes knows only one way to go.
    let code = world.ids("AccountingCode", start()).pop_first().unwrap();
    world.delete("AccountingCode", &code, later(1));
    assert!(world.row("AccountingCode", &code, later(2)).is_none());
}

#[test]
fn some_instants_are_midnight_in_los_angeles() {
    let mut world = tiny(5);
    let end = start().plus(DAY * 20);
    world.evolve(end);
    // It is winter there until the 8th of March.
    let is_midnight = |value: &Value| match value {
        Value::Time(time) => {
            [7, 8].contains(&(time.seconds().rem_euclid(86_400) / 3_600))
                && time.seconds() % 3_600 == 0
        }
        _ => false,
    };
    for (object, field) in [
        ("Usage", "StartDateTime"),
        ("InvoiceItem", "ChargeDate"),
        ("InvoiceItem", "UpdatedDate"),
    ] {
        let rows = world.rows(object, end);
        assert!(
            rows.iter().any(|row| is_midnight(row.value(field))),
            "{object}.{field}"
        );
    }
}

#[test]
fn things_are_deleted_with_and_without_a_trace() {
    let mut world = World::seeded(WorldOptions::demo(4, start()));
    world.evolve(start().plus(DAY * 20));
    let (mut deleted, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for (name, table) in &world.tables {
        for versions in table.rows.values() {
            let last = versions.last().unwrap();
            if last.gone {
                gone.insert(name.as_str());
            } else if last.row.deleted {
                deleted.insert(name.as_str());
            }
        }
    }
    for name in ["Invoice", "InvoiceItem", "TaxationItem", "Usage", "Contact"] {
        assert!(deleted.contains(name), "no {name} was deleted");
    }
    assert!(gone.contains("AccountingCode"), "{gone:?}");
}

#[test]
fn a_billing_run_writes_many_rows_of_one_second() {
    let mut world = World::seeded(WorldOptions::demo(4, start()));
    let end = start().plus(DAY * 9);
    world.evolve(end);
    let mut most = 0;
    let mut stamps = std::collections::BTreeMap::<Timestamp, usize>::new();
    for row in world.rows("InvoiceItem", end) {
        let stamp = row.stamp(ChangeKey::UpdatedDate).unwrap();
        let count = stamps.entry(stamp).or_default();
        *count += 1;
        most = most.max(*count);
    }
    assert!(most > 10, "{most} rows at most");
}

#[test]
fn values_are_of_fields_and_parents_of_relations() {
    let mut world = tiny(6);
    let end = start().plus(DAY * 10);
    world.evolve(end);
    for object in world.objects() {
        for row in world.rows(&object.name, end) {
            for (name, value) in &row.values {
                let field = object.field(name);
                let field = field.unwrap_or_else(|| panic!("{}.{name}", object.name));
                assert_eq!(&field.name, name);
                let fits = match (field.kind, value) {
                    (_, Value::Null) => true,
                    (Kind::Boolean, value) => matches!(value, Value::Boolean(_)),
                    (Kind::Date, value) => matches!(value, Value::Date(_)),
                    (Kind::DateTime, value) => matches!(value, Value::Time(_)),
                    (
                        Kind::Integer | Kind::Decimal | Kind::CapitalDecimal | Kind::Number,
                        value,
                    ) => matches!(value, Value::Number(_)),
                    (_, value) => matches!(value, Value::Text(_)),
                };
                assert!(fits, "{}.{name}: {value:?}", object.name);
                if let Value::Text(text) = value {
                    assert!(!text.contains(['\n', '\r', '\0']), "{}.{name}", object.name);
                }
            }
            for (relation, parent) in &row.parents {
                let related = object.relation(relation);
                let related = related.unwrap_or_else(|| panic!("{} {relation}", object.name));
                assert!(!parent.is_empty());
                assert!(
                    world.tables[&related.object].rows.contains_key(parent),
                    "{} {relation}",
                    object.name
                );
            }
            assert_eq!(row.id.len(), 32);
        }
    }
}

#[test]
fn nasty_values_are_only_where_they_are_asked_for() {
    let options = WorldOptions {
        nasty: true,
        ..WorldOptions::tiny(6, start())
    };
    let world = World::seeded(options);
    let all = everything(&world, start()).join("\n");
    for wanted in [
        "\"line\\nbreak\"",
        "NUL\\0byte",
        "\"\\\\N\"",
        "Text(\"\")",
        "12345678901234567890123456789",
        "0.123456789012",
        "9999-12-31",
        "Text(\"3\")",
        "36.0",
    ] {
        assert!(all.contains(wanted), "{wanted}");
    }
    let unstamped = world.rows("AccountingCode", start()).into_iter();
    let unstamped = unstamped.filter(|row| row.stamp(ChangeKey::UpdatedDate).is_none());
    assert_eq!(unstamped.count(), 2);
    let plain = everything(&tiny(6), start()).join("\n");
    assert!(plain.contains("12345678901234567.123456789"));
    assert!(!plain.contains("0.123456789012"));
}

#[test]
fn entities_share_out_the_accounts_and_what_hangs_on_them() {
    let mut world = tiny(7);
    world.split_entities(3);
    world.evolve(start().plus(DAY * 5));
    let at = start().plus(DAY * 5);
    assert_eq!(world.entities().len(), 3);
    for id in world.entities() {
        assert_eq!(id.len(), 36);
    }
    for invoice in world.rows("Invoice", at) {
        let account = world.row("Account", &invoice.parents["Account"], at);
        assert_eq!(account.unwrap().entity, invoice.entity);
    }
    let entities: BTreeSet<usize> = world
        .rows("Account", at)
        .iter()
        .map(|row| row.entity)
        .collect();
    assert_eq!(entities.len(), 3);
    assert!(world.rows("Product", at).iter().all(|row| row.entity == 0));
    assert_eq!(world.balances(at), Ok(()));
}

#[test]
fn what_is_expected_is_what_a_window_holds() {
    let mut world = tiny(8);
    let end = start().plus(DAY * 5);
    world.evolve(end);
    let before = end.minus(DAY);
    let expected = world.expected("Usage", end, before);
    assert!(!expected.is_empty());
    assert!(expected.len() < world.ids("Usage", end).len());
    for row in expected.values() {
        assert!(row.stamp(ChangeKey::UpdatedDate).unwrap() < before);
    }
    let emails = world.expected("EmailHistory", end, start());
    assert_eq!(emails.len(), world.ids("EmailHistory", end).len());
}

/// Columns that change without a stamp, which windows cannot deliver.
const SILENT: &[&str] = &[
    "AccountingCode",
    "ChargedThroughDate",
    "CustomerName",
    "CustomerNumber",
    "ProcessedThroughDate",
    "ProductDescription",
    "ProductName",
    "RevRecCode",
    "RevenueRecognitionRuleName",
];

fn loud(row: &Row) -> Vec<(&String, &Value)> {
    let values = row.values.iter();
    values
        .filter(|(field, _)| !SILENT.contains(&field.as_str()))
        .collect()
}

#[test]
fn windows_that_end_two_hours_ago_lose_nothing_and_shorter_ones_do() {
    let end = start().plus(DAY * 8);
    for (safety, is_enough) in [(7_200, true), (60, false)] {
        let mut world = tiny(11);
        world.evolve(end);
        let mut lost = 0;
        let objects: Vec<_> = world.objects().cloned().collect();
        for object in objects
            .iter()
            .filter(|object| object.deletes && object.described)
        {
            let mut have = std::collections::BTreeMap::new();
            let mut low = Timestamp::EPOCH;
            let mut at = start();
            while at <= end {
                let high = at.minus(Duration::from_secs(safety));
                for row in world.rows(&object.name, at) {
                    let stamp = row.stamp(object.change);
                    if stamp.is_none_or(|stamp| stamp < low || stamp >= high) {
                        continue;
                    }
                    if row.deleted {
                        have.remove(&row.id);
                    } else {
                        have.insert(row.id.clone(), row.clone());
                    }
                }
                low = high;
                at = at.plus(Duration::from_secs(3 * 3_600));
            }
            for (id, row) in world.expected(&object.name, end, low) {
                let same = have.get(&id).is_some_and(|had| loud(had) == loud(&row));
                let is_unstamped = row.stamp(object.change).is_none();
                lost += usize::from(!same && !is_unstamped);
            }
            let there = world.rows(&object.name, end).into_iter();
            let there: BTreeSet<&str> = there
                .filter(|row| !row.deleted || row.stamp(object.change) >= Some(low))
                .map(|row| row.id.as_str())
                .collect();
            lost += have
                .keys()
                .filter(|id| !there.contains(id.as_str()))
                .count();
        }
        assert_eq!(lost == 0, is_enough, "{lost} rows are lost or old");
    }
}
