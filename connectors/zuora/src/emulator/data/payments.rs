//! What customers pay and get back: payments, refunds, memos, adjustments and the credit balance.

use overlock_sandbox::company::Dice;

use crate::emulator::world::World;

use super::customers;
use super::days::{DAY, Sec};
use super::deal::{Deal, row, time};
use super::money::Money;
use super::state::{Account, Payment};
use super::story::{batch_of_account, begin};

/// Collects what a batch of accounts that pay by themselves owes.
pub(super) fn run(world: &mut World, at: Sec, batch: i64, number: u64) {
    for place in 0..world.story.accounts.len() {
        let Some(mut account) = world.story.take(place) else {
            continue;
        };
        if account.auto_pay && batch_of_account(&world.options, account.number) == batch {
            let seed = world.options.seed;
            let dice = Dice::numbered(seed, "collect", number * 100_000 + account.number);
            let mut deal = begin(world, dice, at, &account);
            if pay(&mut deal, &mut account, "Electronic", 3) {
                account.lock = deal.visible;
            }
        }
        world.story.give_back(place, account);
    }
}

/// Pays some invoices by hand, at times more than is owed.
pub(super) fn pay_some(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    pay(deal, account, "External", 2)
}

/// Places of posted invoices with something open, oldest first.
fn open_invoices(account: &Account) -> Vec<usize> {
    let all = account.invoices.iter().enumerate();
    all.filter(|(_, invoice)| invoice.posted && invoice.balance().is_positive())
        .map(|(place, _)| place)
        .collect()
}

/// An amount in the currency of an account, of about so many cents of a dollar.
fn amount_of(account: &Account, cents: i64) -> Money {
    Money::of(cents, 2).percent(account.currency.rate, account.currency.digits)
}

fn pay(deal: &mut Deal<'_>, account: &mut Account, kind: &str, most: usize) -> bool {
    let places: Vec<usize> = open_invoices(account).into_iter().take(most).collect();
    if places.is_empty() {
        return false;
    }
    let has_failed = kind == "Electronic" && deal.dice.chance(1, 12);
    let mut parts = Vec::new();
    for place in places {
        let Some(invoice) = account.invoices.get(place) else {
            continue;
        };
        let open = invoice.balance();
        let is_partial = deal.dice.chance(1, 9);
        let half = open.part(2, account.currency.digits);
        let amount = if is_partial && half.is_positive() {
            half
        } else {
            open
        };
        parts.push((place, amount));
    }
    let applied: Money = parts.iter().map(|(_, amount)| *amount).sum();
    let extra = if kind == "External" && deal.dice.chance(1, 5) {
        amount_of(account, deal.dice.between(100, 90_000))
    } else {
        Money::ZERO
    };
    let (applied, unapplied, status) = if has_failed {
        (Money::ZERO, applied, "Error")
    } else {
        (applied, extra, "Processed")
    };
    let id = write_payment(deal, account, kind, status, applied, unapplied);
    transaction_log(deal, &id, kind, has_failed);
    if has_failed {
        deal.change(
            "PaymentMethod",
            &account.method,
            row! { NumConsecutiveFailures: 1, LastTransactionStatus: "Declined" },
        );
        return true;
    }
    for (place, amount) in parts {
        apply(deal, account, place, &id, amount);
    }
    customers::settle(deal, account);
    true
}

fn write_payment(
    deal: &mut Deal<'_>,
    account: &Account,
    kind: &str,
    status: &str,
    applied: Money,
    unapplied: Money,
) -> String {
    let serial = deal.world.story.serial("payment");
    let is_electronic = kind == "Electronic";
    let reference = format!("ch_{:020x}", deal.dice.next());
    let (submitted, settled) = (time(deal.stamp - 40), time(deal.stamp + DAY));
    let today = deal.today();
    let values = row! { PaymentNumber: format!("P-{serial:08}"), Status: status, Type: kind,
    Amount: applied + unapplied, AppliedAmount: applied, UnappliedAmount: unapplied,
    AppliedCreditBalanceAmount: Money::ZERO, RefundAmount: Money::ZERO, Currency: account.currency.code,
    EffectiveDate: today, Gateway: is_electronic.then_some("Stripe v2"),
    GatewayState: if is_electronic { "Submitted" } else { "NotSubmitted" },
    GatewayResponse: is_electronic.then_some("Approved, \"00\""),
    GatewayResponseCode: is_electronic.then_some("00"), ReferenceId: is_electronic.then_some(reference),
    SubmittedOn: submitted, SettledOn: is_electronic.then_some(settled), Source: "PaymentRun",
    SoftDescriptor: "OVERBOARD* PLATFORM", AccountingCode: "Cash" };
    let parents = [
        ("Account", account.id.as_str()),
        ("PaymentMethod", account.method.as_str()),
    ];
    deal.insert("Payment", values, &parents)
}

fn transaction_log(deal: &mut Deal<'_>, payment: &str, kind: &str, has_failed: bool) {
    if kind == "External" {
        return;
    }
    let (code, text) = if has_failed {
        ("51", "Insufficient funds")
    } else {
        ("00", "Approved")
    };
    let transaction = format!("ch_{:016x}", deal.dice.next());
    deal.insert(
        "PaymentTransactionLog",
        row! { Gateway: "Stripe v2", GatewayReasonCode: code, GatewayReasonCodeDescription: text,
        GatewayState: "Submitted", GatewayTransactionType: "Sale", TransactionId: &transaction,
        RequestString: format!("amount=1&reference={transaction}"),
        ResponseString: format!("{{\"code\":\"{code}\",\"text\":\"{text}\"}}") },
        &[("Payment", payment)],
    );
}

/// Applies a part of a payment to an invoice.
fn apply(deal: &mut Deal<'_>, account: &mut Account, place: usize, payment: &str, amount: Money) {
    let Some(invoice) = account.invoices.get_mut(place) else {
        return;
    };
    invoice.paid += amount;
    let (id, paid, balance) = (invoice.id.clone(), invoice.paid, invoice.balance());
    let part = deal.insert(
        "InvoicePayment",
        row! { Amount: amount, RefundAmount: Money::ZERO },
        &[
            ("Invoice", &id),
            ("Payment", payment),
            ("Account", &account.id),
        ],
    );
    deal.change(
        "Invoice",
        &id,
        row! { PaymentAmount: paid, Balance: balance },
    );
    account.payments.push(Payment {
        id: payment.to_owned(),
        part,
        invoice: id,
        amount,
        refunded: Money::ZERO,
    });
}

/// Gives back a part of what was paid for an invoice, which is open again by as much.
pub(super) fn refund(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let count = account.payments.len() as u64;
    let place = usize::try_from(deal.dice.below(count)).unwrap_or(0);
    let digits = account.currency.digits;
    let percent = deal.dice.pick(&[10, 25, 100], 100);
    let Some(payment) = account.payments.get_mut(place) else {
        return false;
    };
    let amount = (payment.amount - payment.refunded).percent(percent, digits);
    if !amount.is_positive() {
        return false;
    }
    payment.refunded += amount;
    let payment = payment.clone();
    let of_all = account
        .payments
        .iter()
        .filter(|other| other.id == payment.id);
    let of_all: Money = of_all.map(|other| other.refunded).sum();
    let Some(invoice) = account
        .invoices
        .iter_mut()
        .find(|one| one.id == payment.invoice)
    else {
        return false;
    };
    invoice.refunded += amount;
    let (refunded, balance) = (invoice.refunded, invoice.balance());
    let serial = deal.world.story.serial("refund");
    let today = deal.today();
    let at = time(deal.stamp);
    let reference = format!("re_{:016x}", deal.dice.next());
    let refund = deal.insert(
        "Refund",
        row! { RefundNumber: format!("R-{serial:08}"), Amount: amount, Type: "Electronic", Status: "Processed",
        MethodType: "CreditCard", RefundDate: today, ReasonCode: "Customer Satisfaction", SourceType: "Payment",
        Gateway: "Stripe v2", GatewayState: "Submitted", ReferenceID: reference,
        RefundTransactionTime: at.clone(), SubmittedOn: at, AccountingCode: "Customer Refunds" },
        &[("Account", &account.id), ("PaymentMethod", &account.method)],
    );
    deal.insert(
        "RefundTransactionLog",
        row! { Gateway: "Stripe v2", GatewayReasonCode: "00", GatewayReasonCodeDescription: "Approved",
        GatewayState: "Submitted", GatewayTransactionType: "Credit", TransactionId: format!("re_{serial:016x}") },
        &[("Refund", &refund)],
    );
    deal.insert(
        "RefundInvoicePayment",
        row! { RefundAmount: amount },
        &[
            ("Refund", &refund),
            ("InvoicePayment", &payment.part),
            ("Invoice", &payment.invoice),
            ("Payment", &payment.id),
            ("Account", &account.id),
        ],
    );
    deal.change(
        "InvoicePayment",
        &payment.part,
        row! { RefundAmount: payment.refunded },
    );
    deal.change("Payment", &payment.id, row! { RefundAmount: of_all });
    deal.change(
        "Invoice",
        &payment.invoice,
        row! { RefundAmount: refunded, Balance: balance },
    );
    customers::settle(deal, account);
    true
}

/// An open invoice of an account, any.
fn some_open(deal: &mut Deal<'_>, account: &Account) -> Option<usize> {
    let open = open_invoices(account);
    let place = deal.dice.below(open.len() as u64);
    open.get(usize::try_from(place).ok()?).copied()
}

/// Writes a credit memo and applies it to the invoice that it is about.
pub(super) fn credit(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let Some(place) = some_open(deal, account) else {
        return false;
    };
    let digits = account.currency.digits;
    let Some(invoice) = account.invoices.get_mut(place) else {
        return false;
    };
    let net = invoice.balance().part(deal.dice.between(2, 9), digits);
    if !net.is_positive() {
        return false;
    }
    // What is credited over what is applied stays on the memo.
    let tax = net.percent(account.tax, digits);
    let total = net + tax;
    let applied = net;
    invoice.credited += applied;
    let (id, credited, balance) = (invoice.id.clone(), invoice.credited, invoice.balance());
    let item = invoice.items.first().cloned().unwrap_or_default();
    let serial = deal.world.story.serial("credit memo");
    let (today, at) = (deal.today(), time(deal.stamp));
    let memo = deal.insert(
        "CreditMemo",
        row! { MemoNumber: format!("CM{serial:08}"), MemoDate: today, Status: "Posted", TargetDate: today,
        TotalAmount: total, TotalAmountWithoutTax: net, TotalTaxExemptAmount: Money::ZERO, TaxAmount: tax,
        DiscountAmount: Money::ZERO, AppliedAmount: applied, RefundAmount: Money::ZERO,
        Balance: total - applied, ReasonCode: "Correcting invoice error", SourceType: "Invoice", PostedOn: at,
        ExchangeRateDate: today },
        &[("Account", &account.id), ("Invoice", &id)],
    );
    memo_item(
        deal,
        account,
        ("CreditMemo", "CreditMemoItem"),
        &memo,
        (net, tax),
        &item,
    );
    deal.change(
        "Invoice",
        &id,
        row! { CreditMemoAmount: credited, Balance: balance },
    );
    customers::settle(deal, account);
    true
}

/// Writes a debit memo, which is owed beside the invoices.
pub(super) fn debit(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let digits = account.currency.digits;
    let net = amount_of(account, deal.dice.between(500, 50_000));
    let tax = net.percent(account.tax, digits);
    let serial = deal.world.story.serial("debit memo");
    let (today, at) = (deal.today(), time(deal.stamp));
    let memo = deal.insert(
        "DebitMemo",
        row! { MemoNumber: format!("DM{serial:08}"), MemoDate: today, Status: "Posted", TargetDate: today,
        DueDate: today.plus(30), TotalAmount: net + tax, TotalAmountWithoutTax: net,
        TotalTaxExemptAmount: Money::ZERO, TaxAmount: tax, DiscountAmount: Money::ZERO,
        AppliedAmount: Money::ZERO, Balance: net + tax, ReasonCode: "Charge Dispute", SourceType: "Standalone",
        PostedOn: at },
        &[("Account", &account.id)],
    );
    memo_item(
        deal,
        account,
        ("DebitMemo", "DebitMemoItem"),
        &memo,
        (net, tax),
        "",
    );
    true
}

fn memo_item(
    deal: &mut Deal<'_>,
    account: &Account,
    (relation, object): (&str, &str),
    memo: &str,
    (net, tax): (Money, Money),
    item: &str,
) {
    let today = deal.today();
    let mut parents = vec![(relation, memo), ("Account", account.id.as_str())];
    if object == "CreditMemoItem" {
        parents.push(("InvoiceItem", item));
    }
    deal.insert(
        object,
        row! { AmountWithoutTax: net, ChargeName: "Correction", ChargeDate: time(deal.stamp),
        Quantity: Money::whole(1), UnitPrice: net, ServiceStartDate: today, ServiceEndDate: today, TaxAmount: tax,
        ProcessingType: "Charge" },
        &parents,
    );
}

/// Adjusts an item of an open invoice, up or down.
pub(super) fn adjust(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let Some(place) = some_open(deal, account) else {
        return false;
    };
    let digits = account.currency.digits;
    let is_credit = deal.dice.chance(3, 4);
    let Some(invoice) = account.invoices.get_mut(place) else {
        return false;
    };
    let amount = invoice.balance().part(deal.dice.between(3, 20), digits);
    if !amount.is_positive() {
        return false;
    }
    if is_credit {
        invoice.adjusted -= amount;
    } else {
        invoice.adjusted += amount;
    }
    let (id, adjusted, balance) = (invoice.id.clone(), invoice.adjusted, invoice.balance());
    let item = invoice.items.last().cloned().unwrap_or_default();
    let serial = deal.world.story.serial("adjustment");
    let today = deal.today();
    let adjustment = deal.insert(
        "InvoiceItemAdjustment",
        row! { AdjustmentNumber: format!("IIA-{serial:08}"), AdjustmentDate: today, Amount: amount,
        Type: if is_credit { "Credit" } else { "Charge" }, Status: "Processed", ReasonCode: "Write-off",
        SourceType: "InvoiceDetail", AccountingCode: "Accounts Receivable", CustomerName: &account.name,
        CustomerNumber: &account.code },
        &[("Account", &account.id), ("Invoice", &id), ("InvoiceItem", &item)],
    );
    account.adjustments.push(adjustment);
    deal.change(
        "Invoice",
        &id,
        row! { AdjustmentAmount: adjusted, Balance: balance },
    );
    customers::settle(deal, account);
    true
}

/// Raises the credit balance, or takes from it to settle an invoice.
pub(super) fn credit_balance(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let open = some_open(deal, account).filter(|_| account.credit_balance.is_positive());
    let mut amount = amount_of(account, deal.dice.between(1_000, 100_000));
    let mut invoice_id = String::new();
    if let Some(invoice) = open.and_then(|place| account.invoices.get_mut(place)) {
        amount = account.credit_balance.min(invoice.balance());
        account.credit_balance -= amount;
        invoice.balanced += amount;
        invoice_id.clone_from(&invoice.id);
        let (balanced, balance) = (invoice.balanced, invoice.balance());
        deal.change(
            "Invoice",
            &invoice_id,
            row! { CreditBalanceAdjustmentAmount: balanced, Balance: balance },
        );
    } else {
        account.credit_balance += amount;
    }
    let kind = if invoice_id.is_empty() {
        "Increase"
    } else {
        "Decrease"
    };
    let serial = deal.world.story.serial("credit balance");
    let today = deal.today();
    deal.insert(
        "CreditBalanceAdjustment",
        row! { Number: format!("CBA-{serial:08}"), Amount: amount, AdjustmentDate: today, Type: kind,
        Status: "Processed", ReasonCode: "Standard Adjustment", AccountingCode: "Cash" },
        &[("Account", &account.id), ("Invoice", &invoice_id)],
    );
    customers::settle(deal, account);
    true
}
