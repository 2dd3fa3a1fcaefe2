//! Invoices: what is due of a subscription, with its tax, in drafts and in runs.

use super::customers;
use super::days::{Day, Sec};
use super::deal::{Deal, row, time};
use super::money::Money;
use super::state::{Account, Charge, Invoice, Item, Plan, Product, Sort, Subscription};
use super::story::{batch_of_account, begin};

use crate::emulator::world::World;
use overlock_sandbox::company::Dice;

/// What is due of one charge.
struct Due {
    subscription: usize,
    charge: usize,
    quantity: Money,
    from: Day,
    to: Day,
    usages: Vec<super::state::Usage>,
}

/// Bills a batch of accounts. All rows have one stamp; each account commits on its own, some late.
pub(super) fn run(world: &mut World, at: Sec, batch: i64, number: u64) {
    let dice = Dice::numbered(world.options.seed, "billing run", number);
    let mut deal = Deal::new(world, dice, at);
    let today = deal.today();
    let serial = deal.world.story.serial("billing run");
    let run = deal.insert(
        "BillingRun",
        row! { BillingRunNumber: format!("BR-{serial:08}"), Status: "Pending", TargetDate: today,
        InvoiceDate: today, ExecutedDate: time(at), Batch__c: format!("Batch{batch}") },
        &[],
    );
    let (mut invoices, mut accounts, mut last) = (0_i64, 0_i64, at);
    for place in 0..world.story.accounts.len() {
        let Some(mut account) = world.story.take(place) else {
            continue;
        };
        if batch_of_account(&world.options, account.number) == batch {
            let dice = Dice::numbered(
                world.options.seed,
                "bill",
                number * 100_000 + account.number,
            );
            let mut deal = begin(world, dice, at, &account);
            accounts += 1;
            let is_draft = deal.dice.chance(1, 10);
            if bill(&mut deal, &mut account, &run, !is_draft) {
                invoices += 1;
                account.lock = deal.visible;
                last = last.max(deal.visible);
            }
        }
        world.story.give_back(place, account);
    }
    let dice = Dice::numbered(world.options.seed, "end of run", number);
    // It is complete when the last account is.
    let mut deal = Deal::new(world, dice, last);
    deal.change(
        "BillingRun",
        &run,
        row! { Status: "Completed", NumberOfInvoices: invoices, NumberOfAccounts: accounts },
    );
}

/// Makes a draft out of turn, for what is due.
pub(super) fn bill_now(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let is_posted = deal.dice.chance(1, 3);
    bill(deal, account, "", is_posted)
}

/// Posts the oldest draft.
pub(super) fn post_draft(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let Some(place) = account.invoices.iter().position(|invoice| !invoice.posted) else {
        return false;
    };
    post(deal, account, place);
    customers::settle(deal, account);
    true
}

fn post(deal: &mut Deal<'_>, account: &mut Account, place: usize) {
    let Some(invoice) = account.invoices.get_mut(place) else {
        return;
    };
    invoice.posted = true;
    let id = invoice.id.clone();
    let at = time(deal.stamp);
    deal.change(
        "Invoice",
        &id,
        row! { Status: "Posted", PostedDate: at, PostedBy: "billing@overboard.example" },
    );
    let today = deal.today();
    deal.change("Account", &account.id, row! { LastInvoiceDate: today });
}

/// Invoices what is due; false if that is nothing.
fn bill(deal: &mut Deal<'_>, account: &mut Account, run: &str, is_posted: bool) -> bool {
    let dues = dues(deal, account);
    if dues.is_empty() {
        return false;
    }
    let today = deal.today();
    let serial = deal.world.story.serial("invoice");
    let source = if run.is_empty() {
        "AdhocFromPrpc"
    } else {
        "BillRun"
    };
    let id = deal.insert(
        "Invoice",
        row! { InvoiceNumber: format!("INV{serial:08}"), Status: "Draft", InvoiceDate: today,
        DueDate: today.plus(30), TargetDate: today, Source: source, SourceId: (!run.is_empty()).then_some(run),
        AutoPay: account.auto_pay, PaymentAmount: Money::ZERO, RefundAmount: Money::ZERO,
        AdjustmentAmount: Money::ZERO, CreditBalanceAdjustmentAmount: Money::ZERO, CreditMemoAmount: Money::ZERO,
        TaxExemptAmount: Money::ZERO },
        &[
            ("Account", &account.id),
            ("BillToContact", &account.bill_to),
            ("SoldToContact", &account.sold_to),
        ],
    );
    let mut invoice = Invoice {
        id: id.clone(),
        posted: false,
        amount: Money::ZERO,
        paid: Money::ZERO,
        refunded: Money::ZERO,
        adjusted: Money::ZERO,
        credited: Money::ZERO,
        balanced: Money::ZERO,
        items: Vec::new(),
        taxes: Vec::new(),
    };
    let (mut net, mut tax) = (Money::ZERO, Money::ZERO);
    let mut sorts = Vec::new();
    for due in dues {
        if let Some((amount, taxes, sort)) = item(deal, account, &mut invoice, &due) {
            net += amount;
            tax += taxes;
            sorts.push(sort);
        }
    }
    invoice.amount = net + tax;
    let balance = invoice.balance();
    deal.change(
        "Invoice",
        &id,
        row! { Amount: invoice.amount, AmountWithoutTax: net, TaxAmount: tax, Balance: balance,
        IncludesOneTime: sorts.contains(&Sort::OneTime), IncludesRecurring: sorts.contains(&Sort::Recurring),
        IncludesUsage: sorts.contains(&Sort::Usage) },
    );
    account.invoices.push(invoice);
    if is_posted {
        let place = account.invoices.len() - 1;
        post(deal, account, place);
    }
    customers::settle(deal, account);
    true
}

/// What is due today of all active subscriptions.
fn dues(deal: &mut Deal<'_>, account: &mut Account) -> Vec<Due> {
    let today = deal.today();
    let mut found = Vec::new();
    for (subscription_place, subscription) in account.subscriptions.iter().enumerate() {
        if !subscription.active {
            continue;
        }
        for (place, charge) in subscription.charges.iter().enumerate() {
            let Some(item) = deal.world.story.items.get(charge.item) else {
                continue;
            };
            let from = charge.through.unwrap_or(subscription.start);
            let (is_due, to) = match item.sort {
                Sort::OneTime => (charge.through.is_none(), subscription.start.plus(1)),
                Sort::Recurring => (from <= today, from.plus_months(item.months)),
                Sort::Usage => (true, today.max(from.plus(1))),
            };
            if is_due {
                found.push(Due {
                    subscription: subscription_place,
                    charge: place,
                    quantity: charge.quantity,
                    from,
                    to,
                    usages: Vec::new(),
                });
            }
        }
    }
    found.retain_mut(|due| {
        let charge = account
            .subscriptions
            .get(due.subscription)
            .and_then(|subscription| subscription.charges.get(due.charge));
        let Some(charge) = charge else {
            return false;
        };
        let is_usage = deal
            .world
            .story
            .items
            .get(charge.item)
            .is_some_and(|item| item.sort == Sort::Usage);
        if is_usage {
            let (of_it, others) = std::mem::take(&mut account.usages)
                .into_iter()
                .partition(|usage| usage.charge == charge.number);
            account.usages = others;
            due.usages = of_it;
            due.quantity = due.usages.iter().map(|usage| usage.quantity).sum();
        }
        due.quantity.is_positive()
    });
    found
}

/// What an item is of.
struct Origin {
    subscription: Subscription,
    charge: Charge,
    plan_row: String,
    plan: Plan,
    product: Product,
    item: Item,
}

fn origin(deal: &Deal<'_>, account: &Account, due: &Due) -> Option<Origin> {
    let subscription = account.subscriptions.get(due.subscription)?.clone();
    let charge = subscription.charges.get(due.charge)?.clone();
    let (plan_row, _, plan) = subscription.plans.get(charge.plan)?.clone();
    let plan = deal.world.story.plans.get(plan)?.clone();
    let product = deal.world.story.products.get(plan.product)?.clone();
    let item = deal.world.story.items.get(charge.item)?.clone();
    Some(Origin {
        subscription,
        charge,
        plan_row,
        plan,
        product,
        item,
    })
}

/// Writes one item with its tax, and moves the charge on, which its stamp does not tell.
fn item(
    deal: &mut Deal<'_>,
    account: &mut Account,
    invoice: &mut Invoice,
    due: &Due,
) -> Option<(Money, Money, Sort)> {
    let of = origin(deal, account, due)?;
    let digits = account.currency.digits;
    let amount = of.charge.price.times(due.quantity, digits);
    let tax = amount.percent(account.tax, digits);
    let code = |place: usize| {
        deal.world
            .story
            .codes
            .get(place)
            .cloned()
            .unwrap_or_default()
    };
    let (receivable, deferred, revenue) = (code(0), code(1), code(2));
    let values = row! { ChargeName: &of.item.name, ChargeNumber: &of.charge.number,
    ChargeDate: time(due.from.midnight_in_los_angeles()), ChargeAmount: amount, UnitPrice: of.charge.price,
    Quantity: due.quantity, UOM: (!of.item.unit.is_empty()).then_some(of.item.unit), TaxAmount: tax,
    TaxCode: "Sales Tax", TaxMode: "TaxExclusive", TaxExemptAmount: Money::ZERO, ServiceStartDate: due.from,
    ServiceEndDate: due.to.plus(-1), RevRecStartDate: due.from, SKU: &of.product.sku, ProcessingType: "Charge",
    SubscriptionId: &of.subscription.id, SubscriptionNumber: &of.subscription.name,
    AccountingCode: &of.item.accounting_code, SourceItemType: "SubscriptionComponent",
    ProductName: &of.product.name, ProductDescription: &of.product.description };
    let id = deal.insert(
        "InvoiceItem",
        values,
        &[
            ("Invoice", &invoice.id),
            ("Account", &account.id),
            ("Subscription", &of.subscription.id),
            ("RatePlanCharge", &of.charge.id),
            ("RatePlan", &of.plan_row),
            ("Product", &of.product.id),
            ("ProductRatePlan", &of.plan.id),
            ("ProductRatePlanCharge", &of.item.id),
            ("AccountsReceivableAccountingCode", &receivable),
            ("DeferredRevenueAccountingCode", &deferred),
            ("RecognizedRevenueAccountingCode", &revenue),
        ],
    );
    taxes(deal, account, invoice, &id, tax);
    let rebate = rebate(deal, account, invoice, &of, due, (&id, amount));
    used(deal, account, invoice, &of, due, &id);
    let through = due.to;
    let charge = account
        .subscriptions
        .get_mut(due.subscription)
        .and_then(|subscription| subscription.charges.get_mut(due.charge))?;
    charge.through = Some(through);
    let shown = row! { ChargedThroughDate: through, ProcessedThroughDate: through };
    deal.silently("RatePlanCharge", &of.charge.id, &shown);
    invoice.items.push(id);
    Some((amount + rebate, tax, of.item.sort))
}

/// One item in six has a rebate: an item of its own with a negative amount.
fn rebate(
    deal: &mut Deal<'_>,
    account: &Account,
    invoice: &mut Invoice,
    of: &Origin,
    due: &Due,
    (item, amount): (&str, Money),
) -> Money {
    let rebate = -amount.percent(10, account.currency.digits);
    if rebate == Money::ZERO || !deal.dice.chance(1, 6) {
        return Money::ZERO;
    }
    let values = row! { ChargeName: "Rebate, 10%", ChargeNumber: &of.charge.number,
    ChargeDate: time(due.from.midnight_in_los_angeles()), ChargeAmount: rebate, UnitPrice: rebate,
    Quantity: Money::whole(1), TaxAmount: Money::ZERO, TaxMode: "TaxInclusive", TaxExemptAmount: Money::ZERO,
    ServiceStartDate: due.from, ServiceEndDate: due.to.plus(-1), SKU: &of.product.sku, ProcessingType: "Discount",
    AppliedToInvoiceItemId: item, SubscriptionId: &of.subscription.id,
    SubscriptionNumber: &of.subscription.name, AccountingCode: &of.item.accounting_code,
    SourceItemType: "SubscriptionComponent", ProductName: &of.product.name,
    ProductDescription: &of.product.description };
    let id = deal.insert(
        "InvoiceItem",
        values,
        &[
            ("Invoice", &invoice.id),
            ("Account", &account.id),
            ("Subscription", &of.subscription.id),
            ("RatePlanCharge", &of.charge.id),
            ("Product", &of.product.id),
        ],
    );
    invoice.items.push(id);
    rebate
}

/// Taxes of an item: of two jurisdictions where the rate is that of a city in a state.
fn taxes(deal: &mut Deal<'_>, account: &Account, invoice: &mut Invoice, item: &str, tax: Money) {
    if account.tax == 0 {
        return;
    }
    let city = if account.tax == 8 {
        tax.percent(25, account.currency.digits)
    } else {
        Money::ZERO
    };
    let mut parts = vec![("State", tax - city)];
    if account.tax == 8 {
        parts.push(("City", city));
    }
    let today = deal.today();
    for (jurisdiction, amount) in parts {
        let id = deal.insert(
            "TaxationItem",
            row! { Name: format!("{jurisdiction} tax"), Jurisdiction: jurisdiction, TaxAmount: amount,
            ExemptAmount: Money::ZERO, TaxRate: Money::of(account.tax, 2), TaxCode: "Sales Tax", TaxDate: today,
            TaxDescription: "as of the day of the invoice", AccountingCode: "Sales Tax Payable",
            InvoiceItemId: item },
            &[
                ("Invoice", &invoice.id),
                ("InvoiceItem", item),
                ("Account", &account.id),
            ],
        );
        invoice.taxes.push(id);
    }
}

/// Marks usage as billed.
fn used(
    deal: &mut Deal<'_>,
    account: &Account,
    invoice: &Invoice,
    of: &Origin,
    due: &Due,
    item: &str,
) {
    for usage in &due.usages {
        deal.change(
            "Usage",
            &usage.id,
            row! { RbeStatus: "Processed", InvoiceId: &invoice.id },
        );
        let amount = of.charge.price.times(usage.quantity, 9);
        let start = due.from.midnight_in_los_angeles().min(usage.from);
        deal.insert(
            "ProcessedUsage",
            row! { Amount: amount, Quantity: usage.quantity, BillingPeriodStartDate: time(start),
            BillingPeriodEndDate: time(due.to.midnight_in_los_angeles()) },
            &[
                ("Usage", &usage.id),
                ("RatePlanCharge", &of.charge.id),
                ("InvoiceItem", item),
                ("Account", &account.id),
            ],
        );
    }
}
