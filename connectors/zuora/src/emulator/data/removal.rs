//! What is deleted.

use super::catalog::children;
use super::customers;
use super::deal::{Deal, row};
use super::state::{Account, Usage};

use crate::emulator::model::Value;

/// Deletes something of an account: a draft with all its items, usage nobody has billed, or a contact.
pub(super) fn remove(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    match deal.dice.below(5) {
        0 | 1 => draft(deal, account) || usage(deal, account) || contact(deal, account),
        2 | 3 => usage(deal, account) || draft(deal, account),
        _ => contact(deal, account) || draft(deal, account),
    }
}

fn draft(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let Some(place) = account.invoices.iter().position(|invoice| !invoice.posted) else {
        return false;
    };
    let invoice = account.invoices.remove(place);
    for tax in &invoice.taxes {
        deal.delete("TaxationItem", tax);
    }
    for item in &invoice.items {
        for processed in children(deal, "ProcessedUsage", "InvoiceItem", item) {
            deal.delete("ProcessedUsage", &processed);
        }
        deal.delete("InvoiceItem", item);
    }
    deal.delete("Invoice", &invoice.id);
    // Usage that the draft had billed waits for the next invoice.
    for usage in billed(deal, account, &invoice.id) {
        deal.change(
            "Usage",
            &usage.id,
            row! { RbeStatus: "Pending", InvoiceId: Value::Null },
        );
        account.usages.push(usage);
    }
    customers::settle(deal, account);
    true
}

/// Usage that an invoice has billed, with the numbers of its charges.
fn billed(deal: &Deal<'_>, account: &Account, invoice: &str) -> Vec<Usage> {
    let mut found = Vec::new();
    for id in children(deal, "Usage", "Account", &account.id) {
        let newest = deal
            .world
            .tables
            .get("Usage")
            .and_then(|table| table.rows.get(&id)?.last());
        let Some(row) = newest.map(|version| &version.row) else {
            continue;
        };
        if !matches!(row.value("InvoiceId"), Value::Text(text) if text == invoice) {
            continue;
        }
        let number = match row.value("ChargeId") {
            Value::Text(id) => charge_number(deal, id),
            _ => None,
        };
        let quantity = match row.value("Quantity") {
            Value::Number(text) => super::Money::parse(text),
            _ => None,
        };
        let from = match row.value("StartDateTime") {
            Value::Time(time) => time.seconds(),
            _ => deal.stamp,
        };
        if let (Some(charge), Some(quantity)) = (number, quantity) {
            found.push(Usage {
                id,
                charge,
                quantity,
                from,
            });
        }
    }
    found
}

fn charge_number(deal: &Deal<'_>, id: &str) -> Option<String> {
    let versions = deal.world.tables.get("RatePlanCharge")?.rows.get(id)?;
    match versions.last()?.row.value("ChargeNumber") {
        Value::Text(number) => Some(number.clone()),
        _ => None,
    }
}

fn usage(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let Some(usage) = account.usages.pop() else {
        return false;
    };
    deal.delete("Usage", &usage.id);
    true
}

fn contact(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let Some(contact) = account.extra_contacts.pop() else {
        return false;
    };
    deal.delete("Contact", &contact);
    true
}
