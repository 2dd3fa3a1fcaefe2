//! What the story knows of the tenant: who has which contracts and owes what.
//!
//! Rows are written from it and never read back, so that amounts are computed from exact numbers only.

use super::days::{Day, Sec};
use super::money::{Currency, Money};

/// A customer.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// From 1, as in the company.
    pub(super) number: u64,
    pub(super) id: String,
    /// Its number in the tenant.
    pub(super) code: String,
    pub(super) name: String,
    pub(super) currency: Currency,
    pub(super) bill_to: String,
    pub(super) sold_to: String,
    pub(super) method: String,
    pub(super) auto_pay: bool,
    /// Percent of tax; none for some.
    pub(super) tax: i64,
    pub(super) credit_balance: Money,
    /// Its newest transaction commits then, and no other before that.
    pub(super) lock: Sec,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) invoices: Vec<Invoice>,
    pub(super) payments: Vec<Payment>,
    pub(super) usages: Vec<Usage>,
    pub(super) extra_contacts: Vec<String>,
    pub(super) adjustments: Vec<String>,
}

impl Account {
    /// What it owes.
    pub(super) fn balance(&self) -> Money {
        let posted = self.invoices.iter().filter(|invoice| invoice.posted);
        posted.map(Invoice::balance).sum()
    }

    /// Monthly recurring revenue of what is active.
    pub(super) fn mrr(&self) -> Money {
        let active = self.subscriptions.iter().filter(|one| one.active);
        active
            .flat_map(|one| &one.charges)
            .map(|charge| charge.mrr)
            .sum()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Subscription {
    /// Of the newest version.
    pub(super) id: String,
    pub(super) original_id: String,
    pub(super) name: String,
    pub(super) version: i64,
    pub(super) active: bool,
    pub(super) suspended: bool,
    pub(super) created: Sec,
    pub(super) start: Day,
    pub(super) end: Day,
    pub(super) term: i64,
    /// Rate plans: id, original id, place in the catalogue.
    pub(super) plans: Vec<(String, String, usize)>,
    pub(super) charges: Vec<Charge>,
}

#[derive(Debug, Clone)]
pub(super) struct Charge {
    pub(super) id: String,
    pub(super) original_id: String,
    pub(super) number: String,
    /// Place in `plans` of the subscription.
    pub(super) plan: usize,
    /// Place in the catalogue.
    pub(super) item: usize,
    pub(super) price: Money,
    pub(super) quantity: Money,
    pub(super) mrr: Money,
    /// Billed up to here; nothing has been billed of what never was.
    pub(super) through: Option<Day>,
}

#[derive(Debug, Clone)]
pub(super) struct Invoice {
    pub(super) id: String,
    pub(super) posted: bool,
    pub(super) amount: Money,
    pub(super) paid: Money,
    pub(super) refunded: Money,
    pub(super) adjusted: Money,
    pub(super) credited: Money,
    /// Taken from the credit balance.
    pub(super) balanced: Money,
    pub(super) items: Vec<String>,
    pub(super) taxes: Vec<String>,
}

impl Invoice {
    pub(super) fn balance(&self) -> Money {
        self.amount + self.adjusted + self.refunded - self.paid - self.credited - self.balanced
    }
}

/// What of a payment went to one invoice.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) part: String,
    pub(super) invoice: String,
    pub(super) amount: Money,
    pub(super) refunded: Money,
}

/// Usage that has not been billed.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    pub(super) id: String,
    /// Number of the charge, which stays the same through all versions.
    pub(super) charge: String,
    pub(super) quantity: Money,
    pub(super) from: Sec,
}

/// A plan of the catalogue.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) name: String,
    /// Place of its product.
    pub(super) product: usize,
    /// Places of its charges.
    pub(super) items: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) sku: String,
    pub(super) description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    OneTime,
    Recurring,
    Usage,
}

/// A charge of the catalogue.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) sort: Sort,
    pub(super) model: &'static str,
    pub(super) unit: &'static str,
    /// Months of a billing period.
    pub(super) months: i64,
    pub(super) accounting_code: String,
    pub(super) rev_rec_code: String,
    /// In dollars.
    pub(super) price: Money,
}

impl Item {
    pub(super) fn kind(&self) -> &'static str {
        match self.sort {
            Sort::OneTime => "OneTime",
            Sort::Recurring => "Recurring",
            Sort::Usage => "Usage",
        }
    }

    pub(super) fn period(&self) -> Option<&'static str> {
        match (self.sort, self.months) {
            (Sort::OneTime, _) => None,
            (_, 1) => Some("Month"),
            (_, 3) => Some("Quarter"),
            _ => Some("Annual"),
        }
    }

    /// In a currency. Prices of usage have up to nine digits, those of other things as many as amounts.
    pub(super) fn price_in(&self, currency: Currency) -> Money {
        let digits = if self.sort == Sort::Usage {
            9
        } else {
            currency.digits
        };
        self.price.percent(currency.rate, digits)
    }
}
