//! What can be bought, how it is booked, and what of it changes.

use super::days::Day;
use super::deal::{Deal, row, time};
use super::money::{CURRENCIES, Money};
use super::state::{Item, Plan, Product, Sort};
use super::words;

/// The largest price that a decimal of nine fraction digits is likely to meet; no float holds it.
const PRECIOUS: &str = "12345678901234567.123456789";

/// Makes the catalogue and the books, at the beginning of history.
pub(super) fn seed(deal: &mut Deal<'_>) {
    for (name, kind) in words::ACCOUNTING_CODES {
        accounting_code(deal, name, kind);
    }
    let count = if deal.world.options.accounts < 50 {
        4
    } else {
        words::PRODUCTS.len()
    };
    for product in words::PRODUCTS.iter().take(count) {
        add_product(deal, *product);
    }
    precious(deal);
    let vehicles = deal.world.options.accounts / 4;
    for number in 0..vehicles {
        let plate = format!("OV {number:03} É");
        let price = Money::of(deal.dice.between(1_000_000, 9_000_000), 2);
        let seats = deal.dice.between(2, 9);
        let bought = deal.today().plus(-deal.dice.between(1, 900));
        deal.insert(
            "default__vehicle",
            row! { Plate__c: plate, Seats__c: seats, Price__c: price, BoughtOn__c: bought },
            &[],
        );
    }
    deal.insert(
        "BillingPreviewRun",
        row! { RunNumber: "BPR-00000001", Status: "Completed", TotalAccounts: 3, SucceededAccounts: 3 },
        &[],
    );
    let amount = Money::of(1_250, 2);
    let at = time(deal.stamp);
    deal.insert(
        "BookingTransaction",
        row! { Type: "NewBooking", Amount: amount, TransactionDate: at },
        &[],
    );
}

pub(super) fn accounting_code(deal: &mut Deal<'_>, name: &str, kind: &str) {
    let number = deal.world.story.serial("accounting code");
    let id = deal.insert(
        "AccountingCode",
        row! { Name: name, Type: kind, GLAccountName: format!("{name} (GL)"),
        GLAccountNumber: format!("{:05}", 40 + number), Status: "Active" },
        &[],
    );
    deal.world.story.codes.push(id);
}

/// The accounting period a day is in; the first time it is asked for, it is opened.
pub(super) fn period(deal: &mut Deal<'_>, day: Day) -> String {
    let start = day.first_of_month();
    let known = deal
        .world
        .story
        .periods
        .iter()
        .find(|(day, _)| *day == start);
    if let Some((_, id)) = known {
        return id.clone();
    }
    let end = start.plus_months(1).plus(-1);
    let text = start.text();
    let month: i64 = text
        .get(5..7)
        .and_then(|month| month.parse().ok())
        .unwrap_or(1);
    let year: i64 = text
        .get(..4)
        .and_then(|year| year.parse().ok())
        .unwrap_or(1);
    let id = deal.insert(
        "AccountingPeriod",
        row! { Name: format!("FY {year}-{month:02}"), StartDate: start, EndDate: end, FiscalYear: year,
        FiscalQuarter: (month - 1) / 3 + 1, Status: "Open" },
        &[],
    );
    deal.world.story.periods.push((start, id.clone()));
    id
}

fn add_product(deal: &mut Deal<'_>, (name, sku, category, description): (&str, &str, &str, &str)) {
    let number = deal.world.story.serial("product");
    let (from, until) = (deal.today().plus(-400), deal.today().plus(9_000));
    let id = deal.insert(
        "Product",
        row! { Name: name, SKU: sku, ProductNumber: format!("PC-{number:08}"), Category: category,
        Description: description, EffectiveStartDate: from, EffectiveEndDate: until },
        &[],
    );
    let product = deal.world.story.products.len();
    deal.world.story.products.push(Product {
        id: id.clone(),
        name: name.to_owned(),
        sku: sku.to_owned(),
        description: description.to_owned(),
    });
    // The first product can be had by the month, the quarter and the year, the others in two ways.
    let all = [("Monthly", 1), ("Annual", 12), ("Quarterly", 3)];
    let ways = if product.is_multiple_of(2) { 3 } else { 2 };
    for (label, months) in all.iter().take(ways) {
        let plan_name = format!("{name} - {label}");
        let number = deal.world.story.serial("plan");
        let plan_id = deal.insert(
            "ProductRatePlan",
            row! { Name: &plan_name, EffectiveStartDate: from, EffectiveEndDate: until,
            ProductRatePlanNumber: format!("PRP-{number:08}"), Grade: 1 },
            &[("Product", &id)],
        );
        let base = deal.dice.between(400, 9_900) * months;
        let mut items = vec![item(
            deal,
            plan_id.as_str(),
            &id,
            Sort::Recurring,
            *months,
            Money::of(base, 2),
        )];
        if product.is_multiple_of(3) {
            let price = Money::of(deal.dice.between(10_000, 90_000), 2);
            items.push(item(
                deal,
                plan_id.as_str(),
                &id,
                Sort::OneTime,
                *months,
                price,
            ));
        }
        if product % 3 == 1 {
            let price = Money::of(deal.dice.between(120_000, 999_999_999), 9);
            items.push(item(
                deal,
                plan_id.as_str(),
                &id,
                Sort::Usage,
                *months,
                price,
            ));
        }
        deal.world.story.plans.push(Plan {
            id: plan_id,
            name: plan_name,
            product,
            items,
        });
    }
}

/// Adds a charge and its prices in all currencies; gives its place.
fn item(
    deal: &mut Deal<'_>,
    plan: &str,
    product: &str,
    sort: Sort,
    months: i64,
    price: Money,
) -> usize {
    let (name, model, unit, code) = match sort {
        Sort::OneTime => ("Setup fee", "Flat Fee Pricing", "", "Services Revenue"),
        Sort::Recurring => (
            "Seats, recurring",
            "Per Unit Pricing",
            "Seat",
            "Subscription Revenue",
        ),
        Sort::Usage => ("Minutes", "Per Unit Pricing", "Minute", "Usage Revenue"),
    };
    let item = Item {
        id: String::new(),
        name: name.to_owned(),
        sort,
        model,
        unit,
        months,
        accounting_code: code.to_owned(),
        rev_rec_code: format!("RR-{}", deal.dice.below(90) + 10),
        price,
    };
    let quantity = (sort == Sort::Recurring).then(|| Money::whole(10));
    let id = deal.insert(
        "ProductRatePlanCharge",
        row! { Name: name, ChargeModel: model, ChargeType: item.kind(), BillingPeriod: item.period(),
        BillCycleDay: 1, DefaultQuantity: quantity, IncludedUnits: Money::ZERO, UOM: (!unit.is_empty()).then_some(unit),
        Taxable: true, TaxCode: "Sales Tax", AccountingCode: code, DeferredRevenueAccount: "Deferred Revenue",
        RecognizedRevenueAccount: code, RevenueRecognitionRuleName: "Recognize monthly", RevRecCode: &item.rev_rec_code },
        &[("ProductRatePlan", plan), ("Product", product)],
    );
    for currency in CURRENCIES {
        let price = item.price_in(currency);
        deal.insert(
            "ProductRatePlanChargeTier",
            row! { Currency: currency.code, Tier: 1, StartingUnit: Money::ZERO, Price: price, IsOveragePrice: false,
            Active: true },
            &[("ProductRatePlanCharge", &id), ("ProductRatePlan", plan), ("Product", product)],
        );
    }
    deal.world.story.items.push(Item { id, ..item });
    deal.world.story.items.len() - 1
}

/// A tier for whoever needs a great deal: the number that shows who reads decimals as floats.
fn precious(deal: &mut Deal<'_>) {
    let price = Money::parse(PRECIOUS);
    let Some(item) = deal.world.story.items.first().map(|item| item.id.clone()) else {
        return;
    };
    deal.insert(
        "ProductRatePlanChargeTier",
        row! { Currency: "USD", Tier: 2, StartingUnit: Money::whole(1_000_000), EndingUnit: price, Price: price,
        IsOveragePrice: true, Active: false },
        &[("ProductRatePlanCharge", &item)],
    );
}

/// Edits a product. What has been invoiced of it shows the new name, and nobody can see from its stamp.
pub(super) fn edit_product(deal: &mut Deal<'_>) {
    let count = deal.world.story.products.len() as u64;
    let place = usize::try_from(deal.dice.below(count)).unwrap_or(0);
    let edition = deal.world.story.serial("edition");
    let Some(product) = deal.world.story.products.get_mut(place) else {
        return;
    };
    let base = product.description.split(" (").next().unwrap_or_default();
    product.description = format!("{base} (edition {edition})");
    let stem = product.name.split(" v").next().unwrap_or_default();
    product.name = format!("{stem} v{edition}");
    let Product {
        id,
        name,
        description,
        ..
    } = product.clone();
    deal.change(
        "Product",
        &id,
        row! { Name: &name, Description: &description },
    );
    let shown = row! { ProductName: &name, ProductDescription: &description };
    for item in children(deal, "InvoiceItem", "Product", &id) {
        deal.silently("InvoiceItem", &item, &shown);
    }
}

/// Edits a charge of the catalogue. Charges of subscriptions follow without a new stamp.
pub(super) fn edit_item(deal: &mut Deal<'_>) {
    let count = deal.world.story.items.len() as u64;
    let place = usize::try_from(deal.dice.below(count)).unwrap_or(0);
    let code = deal.dice.word(&[
        "Subscription Revenue",
        "Services Revenue",
        "Usage Revenue, new",
    ]);
    let rule = deal.dice.word(&[
        "Recognize monthly",
        "Recognize daily",
        "Recognize upon invoicing",
    ]);
    let rev_rec_code = format!("RR-{}", deal.dice.below(900) + 100);
    let Some(item) = deal.world.story.items.get_mut(place) else {
        return;
    };
    code.clone_into(&mut item.accounting_code);
    item.rev_rec_code.clone_from(&rev_rec_code);
    let id = item.id.clone();
    let shown =
        row! { AccountingCode: code, RevenueRecognitionRuleName: rule, RevRecCode: rev_rec_code };
    deal.change("ProductRatePlanCharge", &id, shown.clone());
    for charge in children(deal, "RatePlanCharge", "ProductRatePlanCharge", &id) {
        deal.silently("RatePlanCharge", &charge, &shown);
    }
}

/// Ids of the rows that name a parent.
pub(super) fn children(deal: &Deal<'_>, object: &str, relation: &str, parent: &str) -> Vec<String> {
    let Some(table) = deal.world.tables.get(object) else {
        return Vec::new();
    };
    let newest = table.rows.values().filter_map(|versions| versions.last());
    let named = newest.filter(|version| {
        !version.gone
            && !version.row.deleted
            && version
                .row
                .parents
                .get(relation)
                .is_some_and(|id| id == parent)
    });
    named.map(|version| version.row.id.clone()).collect()
}
