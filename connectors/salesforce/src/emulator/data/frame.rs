//! What is there before the first event: staff, record types, products, price books, campaigns.

use std::sync::Arc;

use overlock_core::Result;

use crate::emulator::model::Value;
use crate::emulator::schema::record_id;
use crate::emulator::world::{Change, World};

use super::dice::Dice;
use super::numbers::money;
use super::story::beginning;
use super::{nasty, objects, words};

/// Creates what is there before the first event: staff, products, price books, campaigns.
pub(crate) fn seed(world: &mut World) {
    let _seeded = seed_frame(world);
    if world.options.nasty {
        let _seeded = nasty::seed(world);
    }
}

fn seed_frame(world: &mut World) -> Result<()> {
    let at = beginning(&world.options);
    let scale = u64::from(world.options.scale);
    let admin = record_id("005", 1);
    let by_admin = |mut changes: Vec<Change<'static>>| {
        changes.push(("CreatedById", Value::text(&admin)));
        changes.push(("LastModifiedById", Value::text(&admin)));
        changes
    };
    for number in 0..6 + scale / 15 {
        let mut changes = by_admin(vec![
            ("IsActive", Value::Bool(number % 7 != 6)),
            ("UserRoleId", Value::text(record_id("00E", 1 + number % 3))),
            ("ProfileId", Value::text(record_id("00e", 1 + number % 2))),
            ("UserType", Value::text("Standard")),
        ]);
        if number > 0 {
            changes.push(("ManagerId", Value::text(&admin)));
        }
        world.insert("User", &changes, at)?;
    }
    for name in ["New_Business", "Renewal"] {
        let changes = by_admin(vec![
            ("Name", Value::text(name.replace('_', " "))),
            ("DeveloperName", Value::text(name)),
            ("SobjectType", Value::text("Opportunity")),
            ("IsActive", Value::Bool(true)),
        ]);
        world.insert("RecordType", &changes, at)?;
    }
    for (order, &status) in objects::picklist("Task", "Status").iter().enumerate() {
        let changes = by_admin(vec![
            ("MasterLabel", Value::text(status)),
            ("ApiName", Value::text(status)),
            (
                "SortOrder",
                Value::Int(i64::try_from(order).unwrap_or(0) + 1),
            ),
            ("IsDefault", Value::Bool(order == 0)),
            ("IsClosed", Value::Bool(status == "Completed")),
        ]);
        world.insert("TaskStatus", &changes, at)?;
    }
    for number in 0..12 {
        let changes = [
            ("Id", Value::text("000000000000000AAA")),
            ("DurableId", Value::text(record_id("06m", number))),
            ("Label", Value::text(format!("App {number}"))),
            ("MasterLabel", Value::text(format!("App {number}"))),
            ("DeveloperName", Value::text(format!("App_{number}"))),
            ("UiType", Value::text("Lightning")),
            ("NavType", Value::text("Standard")),
        ];
        world.insert("AppDefinition", &changes, at)?;
    }
    let book = by_admin(vec![
        ("Name", Value::text("Standard Price Book")),
        ("IsActive", Value::Bool(true)),
        ("IsStandard", Value::Bool(true)),
    ]);
    let book = world.insert("Pricebook2", &book, at)?;
    for (number, &(name, family)) in words::PRODUCTS.iter().enumerate() {
        let mut dice = Dice::numbered(world.options.seed, "price", number as u64);
        let code = format!("P-{number:04}");
        let changes = by_admin(vec![
            ("Name", Value::text(name)),
            ("Family", Value::text(family)),
            ("ProductCode", Value::text(&code)),
            ("IsActive", Value::Bool(true)),
        ]);
        let product = world.insert("Product2", &changes, at)?;
        let changes = by_admin(vec![
            ("Name", Value::text(name)),
            ("Pricebook2Id", Value::text(&book)),
            ("Product2Id", Value::text(&product)),
            ("ProductCode", Value::text(&code)),
            ("UnitPrice", money(dice.between(999, 4_000_000))),
            ("IsActive", Value::Bool(true)),
        ]);
        world.insert("PricebookEntry", &changes, at)?;
    }
    let mut parent: Option<Arc<str>> = None;
    for number in 0..2 + scale / 20 {
        let mut dice = Dice::numbered(world.options.seed, "campaign", number);
        let topic = dice.word(words::COMPANY_STEMS);
        let mut changes = by_admin(vec![
            (
                "Name",
                Value::text(format!("{topic} {}", 2020 + number % 6)),
            ),
            ("Status", Value::text("In Progress")),
            ("IsActive", Value::Bool(true)),
            ("OwnerId", Value::text(&admin)),
        ]);
        changes.extend(counts([0; 8]));
        if let Some(parent) = parent.as_ref().filter(|_| number % 3 == 1) {
            changes.push(("ParentId", Value::text(parent)));
        }
        parent = Some(world.insert("Campaign", &changes, at)?);
    }
    Ok(())
}

/// The counts of a campaign: leads, converted, contacts, responses, sales, won, amount, amount won in cents.
pub(super) fn counts(numbers: [i64; 8]) -> Vec<Change<'static>> {
    let [
        leads,
        converted,
        contacts,
        responses,
        sales,
        won,
        amount,
        amount_won,
    ] = numbers;
    vec![
        ("NumberOfLeads", Value::Int(leads)),
        ("HierarchyNumberOfLeads", Value::Int(leads)),
        ("NumberOfConvertedLeads", Value::Int(converted)),
        ("NumberOfContacts", Value::Int(contacts)),
        ("NumberOfResponses", Value::Int(responses)),
        ("NumberOfOpportunities", Value::Int(sales)),
        ("NumberOfWonOpportunities", Value::Int(won)),
        ("AmountAllOpportunities", money(amount)),
        ("AmountWonOpportunities", money(amount_won)),
    ]
}
