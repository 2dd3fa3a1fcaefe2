//! What a reader should have: the rows of an instant, and whether their money adds up.

use std::collections::{BTreeMap, BTreeSet};

use overlock_core::Timestamp;

use super::data::Money;
use super::model::{Row, Value};
use super::world::World;

/// Sums by id.
type Sums = BTreeMap<String, Money>;

impl World {
    /// The rows that a read up to `before` should have delivered: those that can be seen at `at` and are not
    /// deleted, with a stamp before it or none.
    pub fn expected(
        &self,
        object: &str,
        at: Timestamp,
        before: Timestamp,
    ) -> BTreeMap<String, Row> {
        let Some(change) = self.object(object).map(|object| object.change) else {
            return BTreeMap::new();
        };
        let rows = self.rows(object, at).into_iter();
        rows.filter(|row| !row.deleted && row.stamp(change).is_none_or(|stamp| stamp < before))
            .map(|row| (row.id.clone(), row.clone()))
            .collect()
    }

    /// Ids of the rows that can be seen at an instant and are not deleted.
    pub fn ids(&self, object: &str, at: Timestamp) -> BTreeSet<String> {
        let rows = self.rows(object, at).into_iter();
        rows.filter(|row| !row.deleted)
            .map(|row| row.id.clone())
            .collect()
    }

    /// Whether there ever was a row with this id, deleted and purged ones included.
    pub fn was_ever(&self, object: &str, id: &str) -> bool {
        let table = self.tables.get(object);
        table.is_some_and(|table| table.rows.contains_key(id))
    }

    /// Proves that money adds up at an instant, to the last digit, from items up to accounts.
    ///
    /// # Errors
    /// The first sum that is wrong.
    pub fn balances(&self, at: Timestamp) -> Result<(), String> {
        let taxes = self.sums("TaxationItem", "TaxAmount", "InvoiceItem", at)?;
        for item in self.live("InvoiceItem", at) {
            equal(
                item,
                "TaxAmount",
                taxes.get(&item.id).copied().unwrap_or_default(),
            )?;
        }
        self.invoices(at)?;
        self.payments(at)?;
        self.memos(at)?;
        self.accounts(at)
    }

    fn live(&self, object: &str, at: Timestamp) -> impl Iterator<Item = &Row> {
        self.rows(object, at).into_iter().filter(|row| !row.deleted)
    }

    /// Sums of a field by parent. A row whose parent cannot be seen is an error.
    fn sums(
        &self,
        object: &str,
        field: &str,
        relation: &str,
        at: Timestamp,
    ) -> Result<Sums, String> {
        let target = self
            .object(object)
            .and_then(|object| object.relation(relation))
            .map(|related| related.object.clone())
            .unwrap_or_default();
        let parents = self.ids(&target, at);
        let mut sums = Sums::new();
        for row in self.live(object, at) {
            let Some(parent) = row.parents.get(relation) else {
                continue;
            };
            if !parents.contains(parent) {
                return Err(format!(
                    "{object} {} names {target} {parent}, which is not there",
                    row.id
                ));
            }
            *sums.entry(parent.clone()).or_default() += number(row, field)?;
        }
        Ok(sums)
    }

    fn invoices(&self, at: Timestamp) -> Result<(), String> {
        let nets = self.sums("InvoiceItem", "ChargeAmount", "Invoice", at)?;
        let item_taxes = self.sums("InvoiceItem", "TaxAmount", "Invoice", at)?;
        let taxes = self.sums("TaxationItem", "TaxAmount", "Invoice", at)?;
        let paid = self.sums("InvoicePayment", "Amount", "Invoice", at)?;
        let refunded = self.sums("RefundInvoicePayment", "RefundAmount", "Invoice", at)?;
        let credited = self.sums("CreditMemo", "AppliedAmount", "Invoice", at)?;
        let balanced = self.sums("CreditBalanceAdjustment", "Amount", "Invoice", at)?;
        let mut adjusted = Sums::new();
        for row in self.live("InvoiceItemAdjustment", at) {
            let amount = number(row, "Amount")?;
            let is_credit = text(row, "Type") == "Credit";
            let sum = adjusted
                .entry(row.parents.get("Invoice").cloned().unwrap_or_default())
                .or_default();
            *sum += if is_credit { -amount } else { amount };
        }
        for invoice in self.live("Invoice", at) {
            let of = |sums: &Sums| sums.get(&invoice.id).copied().unwrap_or_default();
            let amount = of(&nets) + of(&item_taxes);
            equal(invoice, "AmountWithoutTax", of(&nets))?;
            equal(invoice, "Amount", amount)?;
            equal(invoice, "TaxAmount", of(&taxes))?;
            equal(invoice, "PaymentAmount", of(&paid))?;
            equal(invoice, "RefundAmount", of(&refunded))?;
            equal(invoice, "CreditMemoAmount", of(&credited))?;
            equal(invoice, "CreditBalanceAdjustmentAmount", of(&balanced))?;
            equal(invoice, "AdjustmentAmount", of(&adjusted))?;
            let balance =
                amount + of(&adjusted) + of(&refunded) - of(&paid) - of(&credited) - of(&balanced);
            equal(invoice, "Balance", balance)?;
        }
        Ok(())
    }

    fn payments(&self, at: Timestamp) -> Result<(), String> {
        let applied = self.sums("InvoicePayment", "Amount", "Payment", at)?;
        let refunded = self.sums("RefundInvoicePayment", "RefundAmount", "Payment", at)?;
        let of_parts = self.sums("RefundInvoicePayment", "RefundAmount", "InvoicePayment", at)?;
        let of_refunds = self.sums("RefundInvoicePayment", "RefundAmount", "Refund", at)?;
        let of = |sums: &Sums, row: &Row| sums.get(&row.id).copied().unwrap_or_default();
        for payment in self.live("Payment", at) {
            let sum = number(payment, "AppliedAmount")? + number(payment, "UnappliedAmount")?;
            equal(payment, "Amount", sum)?;
            equal(payment, "AppliedAmount", of(&applied, payment))?;
            equal(payment, "RefundAmount", of(&refunded, payment))?;
        }
        for part in self.live("InvoicePayment", at) {
            equal(part, "RefundAmount", of(&of_parts, part))?;
        }
        for refund in self.live("Refund", at) {
            equal(refund, "Amount", of(&of_refunds, refund))?;
        }
        Ok(())
    }

    fn memos(&self, at: Timestamp) -> Result<(), String> {
        for (memos, items) in [
            ("CreditMemo", "CreditMemoItem"),
            ("DebitMemo", "DebitMemoItem"),
        ] {
            let nets = self.sums(items, "AmountWithoutTax", memos, at)?;
            let taxes = self.sums(items, "TaxAmount", memos, at)?;
            for memo in self.live(memos, at) {
                let of = |sums: &Sums| sums.get(&memo.id).copied().unwrap_or_default();
                equal(memo, "TotalAmountWithoutTax", of(&nets))?;
                equal(memo, "TaxAmount", of(&taxes))?;
                equal(memo, "TotalAmount", of(&nets) + of(&taxes))?;
                let used = number(memo, "AppliedAmount")? + number(memo, "RefundAmount")?;
                equal(memo, "Balance", of(&nets) + of(&taxes) - used)?;
            }
        }
        Ok(())
    }

    fn accounts(&self, at: Timestamp) -> Result<(), String> {
        let mut balances = Sums::new();
        for invoice in self.live("Invoice", at) {
            if text(invoice, "Status") == "Posted" {
                let account = text(invoice, "AccountId").to_owned();
                *balances.entry(account).or_default() += number(invoice, "Balance")?;
            }
        }
        let mut credits = Sums::new();
        for row in self.live("CreditBalanceAdjustment", at) {
            let amount = number(row, "Amount")?;
            let account = row.parents.get("Account").cloned().unwrap_or_default();
            let is_decrease = text(row, "Type") == "Decrease";
            *credits.entry(account).or_default() += if is_decrease { -amount } else { amount };
        }
        let mut active = BTreeSet::new();
        for row in self.live("Subscription", at) {
            let is_latest = *row.value("IsLatestVersion") == Value::Boolean(true);
            if is_latest && text(row, "Status") == "Active" {
                active.insert(row.id.clone());
            }
        }
        let mut monthly = Sums::new();
        for row in self.live("RatePlanCharge", at) {
            let of = |relation: &str| row.parents.get(relation).cloned().unwrap_or_default();
            if active.contains(&of("Subscription")) {
                *monthly.entry(of("Account")).or_default() += number(row, "MRR")?;
            }
        }
        for account in self.live("Account", at) {
            let of = |sums: &Sums| sums.get(&account.id).copied().unwrap_or_default();
            equal(account, "Balance", of(&balances))?;
            equal(account, "TotalInvoiceBalance", of(&balances))?;
            equal(account, "CreditBalance", of(&credits))?;
            equal(account, "Mrr", of(&monthly))?;
        }
        Ok(())
    }
}

fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    match row.value(field) {
        Value::Text(text) => text,
        _ => "",
    }
}

/// A number of a row; null is nothing.
fn number(row: &Row, field: &str) -> Result<Money, String> {
    match row.value(field) {
        Value::Null => Ok(Money::ZERO),
        Value::Number(text) => {
            Money::parse(text).ok_or_else(|| format!("{field} of {} is `{text}`", row.id))
        }
        other => Err(format!("{field} of {} is {other:?}", row.id)),
    }
}

fn equal(row: &Row, field: &str, wanted: Money) -> Result<(), String> {
    let found = number(row, field)?;
    if found == wanted {
        return Ok(());
    }
    Err(format!("{field} of {} is {found}, not {wanted}", row.id))
}
