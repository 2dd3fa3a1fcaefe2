//! What happens beside sales and money: usage, messages, the books, and edits of the catalogue.

use super::catalog;
use super::days::DAY;
use super::deal::{Deal, row, time};
use super::money::{CURRENCIES, Money};
use super::state::{Account, Sort, Usage};
use super::words;

/// Reports usage of one charge, one row to three.
pub(super) fn usage(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let mut metered = Vec::new();
    for subscription in account.subscriptions.iter().filter(|one| one.active) {
        for charge in &subscription.charges {
            let item = deal.world.story.items.get(charge.item);
            if let Some(item) = item.filter(|item| item.sort == Sort::Usage) {
                metered.push((subscription.id.clone(), charge.clone(), item.unit));
            }
        }
    }
    let place = usize::try_from(deal.dice.below(metered.len() as u64)).unwrap_or(0);
    let Some((subscription, charge, unit)) = metered.get(place).cloned() else {
        return false;
    };
    let batch = deal.world.story.serial("import");
    for part in 0..=deal.dice.between(0, 2) {
        let quantity = if deal.dice.chance(1, 2) {
            Money::whole(deal.dice.between(1, 9_000))
        } else {
            Money::of(deal.dice.between(1_000_000, 4_000_000_000_000), 9)
        };
        // Whole days begin at midnight in the time of the service, which some exports write as a bare date.
        let day = deal.today().plus(-1 - part);
        let from = if deal.dice.chance(2, 3) {
            day.midnight_in_los_angeles()
        } else {
            deal.stamp - 7_200 - part * DAY
        };
        let submitted = time(deal.stamp);
        let serial = deal.world.story.serial("usage");
        let id = deal.insert(
            "Usage",
            row! { Quantity: quantity, UOM: unit, StartDateTime: time(from), EndDateTime: time(from + DAY - 1),
            SubmissionDateTime: submitted, RbeStatus: "Pending", SourceType: "Import",
            SourceName: format!("usage, {}.csv", day.text()), AccountNumber: &account.code,
            ImportId: format!("I-{batch:06}"), UniqueKey: format!("uk-{serial}"), SubscriptionId: &subscription,
            ChargeId: &charge.id },
            &[("Account", &account.id)],
        );
        account.usages.push(Usage {
            id,
            charge: charge.number.clone(),
            quantity,
            from,
        });
    }
    true
}

/// An e-mail to a customer or a call to some other program.
pub(super) fn messages(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let at = time(deal.stamp);
    if deal.dice.chance(2, 3) {
        let bounced = deal.dice.chance(1, 9);
        let number = account.number;
        deal.insert(
            "EmailHistory",
            row! { EventCategory: "1210", FromEmail: "billing@overboard.example", Notification: "Invoice posted",
            Result: if bounced { "Not Sent" } else { "OK" }, Error: bounced.then_some("550 no such user, <sorry>"),
            SendTime: at, Subject: "Your invoice, \"as agreed\"", ToEmail: format!("person.{number}@mail.example") },
            &[("Account", &account.id)],
        );
        return true;
    }
    let failed = deal.dice.chance(1, 8);
    deal.insert(
        "CalloutHistory",
        row! { AttemptedNum: 1, CreateTime: at, EventCategory: "1120",
        EventContext: format!("<Account.ID>{}</Account.ID>", account.id), Notification: "Account edited",
        RequestMethod: "POST", RequestUrl: "https://hooks.overboard.example/zuora?a=1&b=2",
        ResponseCode: if failed { "504" } else { "200" }, ResponseContent: "{\"ok\":true}" },
        &[],
    );
    true
}

/// What is about no account: edits of the catalogue and the books. `choice` is below 40.
pub(super) fn company(deal: &mut Deal<'_>, choice: u64) {
    match choice {
        0..4 => catalog::edit_product(deal),
        4..8 => catalog::edit_item(deal),
        8..13 => {
            let serial = deal.world.story.serial("code");
            let name = format!(
                "Regional revenue {serial}, \"{}\"",
                deal.dice.word(&["EMEA", "APAC"])
            );
            catalog::accounting_code(deal, &name, "SalesRevenue");
        }
        13..17 => vanish_code(deal),
        17..19 => vehicle(deal),
        _ => journal(deal),
    }
}

/// Accounting codes go without a trace; those of the beginning are in use and stay.
fn vanish_code(deal: &mut Deal<'_>) {
    if deal.world.story.codes.len() > words::ACCOUNTING_CODES.len()
        && let Some(id) = deal.world.story.codes.pop()
    {
        deal.delete("AccountingCode", &id);
    }
}

/// A row of a custom object changes.
fn vehicle(deal: &mut Deal<'_>) {
    let table = deal.world.tables.get("default__vehicle");
    let first = table.and_then(|table| table.rows.keys().next().cloned());
    if let Some(id) = first {
        let price = Money::of(deal.dice.between(100_000, 900_000), 2);
        deal.change("default__vehicle", &id, row! { Price__c: price });
    }
}

fn journal(deal: &mut Deal<'_>) {
    let today = deal.today();
    let period = catalog::period(deal, today);
    let serial = deal.world.story.serial("journal");
    let currency = deal.dice.pick(&CURRENCIES, CURRENCIES[0]);
    let kind = deal
        .dice
        .word(&["InvoiceItem", "Payment", "TaxationItem", "CreditMemoItem"]);
    let count = deal.dice.between(1, 400);
    deal.insert(
        "JournalEntry",
        row! { Number: format!("JE-{serial:08}"), Status: "Created", TransactionType: kind, JournalEntryDate: today,
        Currency: currency.code, TransactionCount: count },
        &[("AccountingPeriod", &period)],
    );
}
