//! Subscriptions and what changes them: every change makes a version with rate plans and charges of its own.

use super::customers;
use super::days::Day;
use super::deal::{Deal, Values, row, time};
use super::money::Money;
use super::state::{Account, Charge, Item, Plan, Sort, Subscription};

const TERMS: [i64; 3] = [12, 24, 36];

/// Sells a subscription of one plan or two.
pub(super) fn subscribe(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let order = order(deal, account, "New");
    let start = deal.today().plus(-deal.dice.between(0, 3));
    let term = deal.dice.pick(&TERMS, 12);
    let serial = deal.world.story.serial("subscription");
    let mut subscription = Subscription {
        id: String::new(),
        original_id: String::new(),
        name: format!("A-S{serial:08}"),
        version: 1,
        active: true,
        suspended: false,
        created: deal.stamp,
        start,
        end: start.plus_months(term),
        term,
        plans: Vec::new(),
        charges: Vec::new(),
    };
    write_version(deal, account, &mut subscription, "", None);
    subscription.original_id.clone_from(&subscription.id);
    let plans = deal.world.story.plans.len() as u64;
    let count = if deal.dice.chance(1, 4) { 2 } else { 1 };
    for _ in 0..count {
        let place = usize::try_from(deal.dice.below(plans)).unwrap_or(0);
        add_plan(deal, account, &mut subscription, place);
    }
    action(deal, &order, &subscription, "CreateSubscription", "");
    if deal.dice.chance(1, 3) {
        line(deal, account, &order);
    }
    account.subscriptions.push(subscription);
    customers::settle(deal, account);
    true
}

fn add_plan(deal: &mut Deal<'_>, account: &Account, subscription: &mut Subscription, place: usize) {
    let Some(plan) = deal.world.story.plans.get(place).cloned() else {
        return;
    };
    let id = write_plan(deal, account, subscription, &plan, "", "");
    let position = subscription.plans.len();
    subscription.plans.push((id.clone(), id, place));
    for item_place in plan.items {
        let Some(item) = deal.world.story.items.get(item_place).cloned() else {
            continue;
        };
        let serial = deal.world.story.serial("charge");
        let quantity = match item.sort {
            Sort::Recurring => Money::whole(deal.dice.between(1, 250)),
            Sort::OneTime => Money::whole(1),
            Sort::Usage => Money::ZERO,
        };
        let discount = deal.dice.between(70, 100);
        let digits = if item.sort == Sort::Usage {
            9
        } else {
            account.currency.digits
        };
        let mut charge = Charge {
            id: String::new(),
            original_id: String::new(),
            number: format!("C-{serial:08}"),
            plan: position,
            item: item_place,
            price: item.price_in(account.currency).percent(discount, digits),
            quantity,
            mrr: Money::ZERO,
            through: None,
        };
        write_charge(deal, account, subscription, &mut charge, "");
        subscription.charges.push(charge);
    }
}

/// Writes the row of the current version, and sets its id.
fn write_version(
    deal: &mut Deal<'_>,
    account: &Account,
    subscription: &mut Subscription,
    amendment: &str,
    cancelled: Option<Day>,
) {
    let previous = subscription.id.clone();
    let original = subscription.original_id.clone();
    let status = match (subscription.active, subscription.suspended) {
        (true, _) => "Active",
        (false, true) => "Suspended",
        (false, false) => "Cancelled",
    };
    let values = row! { Name: &subscription.name, Version: subscription.version, Status: status,
    OriginalId: (!original.is_empty()).then_some(&original),
    PreviousSubscriptionId: (!previous.is_empty()).then_some(&previous),
    OriginalCreatedDate: time(subscription.created), IsLatestVersion: true, TermType: "TERMED",
    InitialTerm: subscription.term, CurrentTerm: subscription.term, RenewalTerm: 12, AutoRenew: true,
    ContractEffectiveDate: subscription.start, ServiceActivationDate: subscription.start,
    ContractAcceptanceDate: subscription.start, SubscriptionStartDate: subscription.start,
    SubscriptionEndDate: subscription.end, TermStartDate: subscription.start, TermEndDate: subscription.end,
    CancelledDate: cancelled, CancelReason: cancelled.map(|_| "Customer's wish, \"no budget\""),
    IsInvoiceSeparate: false, CreatorAccountId: &account.id, CreatorInvoiceOwnerId: &account.id,
    LastBookingDate: deal.today() };
    let parents = [
        ("Account", account.id.as_str()),
        ("InvoiceOwner", account.id.as_str()),
        ("BillToContact", account.bill_to.as_str()),
        ("SoldToContact", account.sold_to.as_str()),
        ("SubscriptionVersionAmendment", amendment),
    ];
    subscription.id = deal.insert("Subscription", values, &parents);
    if original.is_empty() {
        // The first version is its own original.
        let id = subscription.id.clone();
        deal.silently("Subscription", &id, &row! { OriginalId: &id });
    }
}

fn write_plan(
    deal: &mut Deal<'_>,
    account: &Account,
    subscription: &Subscription,
    plan: &Plan,
    original: &str,
    amendment: &str,
) -> String {
    let product = product_id(deal, plan.product);
    deal.insert(
        "RatePlan",
        row! { Name: &plan.name, AmendmentType: (!amendment.is_empty()).then_some("UpdateProduct"),
        InvoiceOwnerId: &account.id, SubscriptionOwnerId: &account.id,
        OriginalRatePlanId: (!original.is_empty()).then_some(original) },
        &[
            ("Subscription", &subscription.id),
            ("Account", &account.id),
            ("ProductRatePlan", &plan.id),
            ("Product", &product),
            ("Amendment", amendment),
        ],
    )
}

fn product_id(deal: &Deal<'_>, place: usize) -> String {
    let product = deal.world.story.products.get(place);
    product
        .map(|product| product.id.clone())
        .unwrap_or_default()
}

/// Writes the row of a charge with its tier and its metrics, and sets its id and what it is worth in a month.
fn write_charge(
    deal: &mut Deal<'_>,
    account: &Account,
    subscription: &Subscription,
    charge: &mut Charge,
    amendment: &str,
) {
    let Some(item) = deal.world.story.items.get(charge.item).cloned() else {
        return;
    };
    let Some((plan_row, _, plan_place)) = subscription.plans.get(charge.plan).cloned() else {
        return;
    };
    let Some(plan) = deal.world.story.plans.get(plan_place).cloned() else {
        return;
    };
    let product = product_id(deal, plan.product);
    let digits = account.currency.digits;
    let recurring = if item.sort == Sort::Recurring {
        charge.price
    } else {
        Money::ZERO
    };
    // The worth of a month of a yearly price is kept to nine digits, not to those of the currency.
    charge.mrr = recurring
        .times(charge.quantity, digits)
        .part(item.months, 9);
    let total = Money::whole(subscription.term).times(charge.mrr, 9);
    let values = charge_values(charge, &item, subscription, total);
    let parents = [
        ("RatePlan", plan_row.as_str()),
        ("Subscription", &subscription.id),
        ("Account", &account.id),
        ("Product", &product),
        ("ProductRatePlan", &plan.id),
        ("ProductRatePlanCharge", &item.id),
        ("Amendment", amendment),
    ];
    charge.id = deal.insert("RatePlanCharge", values, &parents);
    if charge.original_id.is_empty() {
        charge.original_id.clone_from(&charge.id);
        let id = charge.id.clone();
        deal.silently("RatePlanCharge", &id, &row! { OriginalId: &id });
    }
    deal.insert(
        "RatePlanChargeTier",
        row! { Tier: 1, StartingUnit: Money::ZERO, Price: charge.price, IsOveragePrice: false,
        IncludedUnits: Money::ZERO },
        &[
            ("RatePlanCharge", &charge.id),
            ("RatePlan", &plan_row),
            ("Subscription", &subscription.id),
            ("Account", &account.id),
        ],
    );
    if item.sort == Sort::Recurring {
        let metrics = deal.insert(
            "ChargeMetrics",
            row! { Mrr: charge.mrr, StartDate: subscription.start, EndDate: subscription.end,
            ChargeId: &charge.id, ChargeNumber: &charge.number, SubscriptionId: &subscription.id,
            AccountId: &account.id, Currency: account.currency.code },
            &[],
        );
        if deal.dice.chance(1, 6) {
            deal.insert(
                "ChargeMetricsDiscountAllocationDetail",
                row! { Mrr: -charge.mrr.percent(10, 9), StartDate: subscription.start, EndDate: subscription.end,
                ChargeMetricsId: metrics },
                &[],
            );
        }
    }
}

fn charge_values(
    charge: &Charge,
    item: &Item,
    subscription: &Subscription,
    total: Money,
) -> Values {
    let unit = (!item.unit.is_empty()).then_some(item.unit);
    let timing = if item.sort == Sort::Usage {
        "IN_ARREARS"
    } else {
        "IN_ADVANCE"
    };
    let quantity = (item.sort != Sort::Usage).then_some(charge.quantity);
    let original = (!charge.original_id.is_empty()).then_some(&charge.original_id);
    row! { ChargeNumber: &charge.number, Name: &item.name, Version: subscription.version, Segment: 1,
    IsLastSegment: true, OriginalId: original, ChargeModel: item.model, ChargeType: item.kind(),
    BillingPeriod: item.period(), BillingTiming: timing, BillCycleDay: 1, EffectiveStartDate: subscription.start,
    EffectiveEndDate: subscription.end, ChargedThroughDate: charge.through, ProcessedThroughDate: charge.through,
    TriggerDate: subscription.start, Quantity: quantity, UOM: unit, MRR: charge.mrr, DMRC: charge.mrr,
    TCV: total, DTCV: total, NumberOfPeriods: 1, AccountingCode: &item.accounting_code,
    RevenueRecognitionRuleName: "Recognize monthly", RevRecCode: &item.rev_rec_code, TaxCode: "Sales Tax",
    IsProcessed: true }
}

/// Changes a subscription: more or fewer seats, a renewal, a pause or its end.
pub(super) fn amend(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    let count = account.subscriptions.len() as u64;
    let place = usize::try_from(deal.dice.below(count)).unwrap_or(0);
    let choice = deal.dice.below(12);
    let alone = account
        .subscriptions
        .iter()
        .filter(|one| one.active)
        .count()
        < 2;
    let Some(mut subscription) = account.subscriptions.get(place).cloned() else {
        return false;
    };
    if !subscription.active && !subscription.suspended {
        return false;
    }
    let today = deal.today();
    let (kind, action_kind) = if subscription.suspended {
        subscription.suspended = false;
        subscription.active = true;
        ("ResumeSubscription", "Resume")
    } else {
        match choice {
            0..6 => ("UpdateProduct", "UpdateProduct"),
            6..9 => {
                subscription.term = 12;
                subscription.end = subscription.end.plus_months(12);
                ("Renewal", "RenewSubscription")
            }
            9 if !alone => {
                subscription.active = false;
                subscription.suspended = true;
                ("SuspendSubscription", "Suspend")
            }
            10 if !alone => {
                subscription.active = false;
                ("Cancellation", "CancelSubscription")
            }
            _ => ("TermsAndConditions", "TermsAndConditions"),
        }
    };
    if kind == "UpdateProduct" {
        let step = Money::whole(deal.dice.between(1, 40));
        let recurring = subscription
            .charges
            .iter_mut()
            .filter(|charge| charge.mrr.is_positive());
        for charge in recurring {
            charge.quantity += step;
        }
    }
    let cancelled = (kind == "Cancellation").then_some(today);
    let order = order(deal, account, kind);
    let serial = deal.world.story.serial("amendment");
    let amendment = deal.insert(
        "Amendment",
        row! { Code: format!("A-AM{serial:08}"), Name: format!("{kind}, {}", subscription.name), Type: kind,
        Status: "Completed", ContractEffectiveDate: today, ServiceActivationDate: today,
        CustomerAcceptanceDate: today, EffectiveDate: today, TermStartDate: subscription.start,
        CurrentTerm: subscription.term, RenewalTerm: 12, TermType: "TERMED", AutoRenew: true },
        &[("Subscription", &subscription.id)],
    );
    new_version(deal, account, &mut subscription, &amendment, cancelled);
    action(deal, &order, &subscription, action_kind, &amendment);
    if let Some(slot) = account.subscriptions.get_mut(place) {
        *slot = subscription;
    }
    customers::settle(deal, account);
    true
}

/// Writes the next version: the subscription, its rate plans and its charges again, with ids of their own.
fn new_version(
    deal: &mut Deal<'_>,
    account: &Account,
    subscription: &mut Subscription,
    amendment: &str,
    cancelled: Option<Day>,
) {
    let previous = subscription.id.clone();
    deal.change("Subscription", &previous, row! { IsLatestVersion: false });
    subscription.version += 1;
    write_version(deal, account, subscription, amendment, cancelled);
    let mut plans = subscription.plans.clone();
    for (id, original, place) in &mut plans {
        if let Some(plan) = deal.world.story.plans.get(*place).cloned() {
            *id = write_plan(deal, account, subscription, &plan, original, amendment);
        }
    }
    subscription.plans = plans;
    let mut charges = std::mem::take(&mut subscription.charges);
    for charge in &mut charges {
        write_charge(deal, account, subscription, charge, amendment);
    }
    subscription.charges = charges;
}

fn order(deal: &mut Deal<'_>, account: &Account, what: &str) -> String {
    let serial = deal.world.story.serial("order");
    let today = deal.today();
    deal.insert(
        "Order",
        row! { OrderNumber: format!("O-{serial:08}"), OrderDate: today, Status: "Completed", State: "Complete",
        Category: "NewSales", Description: format!("{what}, agreed on {}", today.text()), AccountId: &account.id,
        CreatedByMigration: false },
        &[("Account", &account.id)],
    )
}

fn action(
    deal: &mut Deal<'_>,
    order: &str,
    subscription: &Subscription,
    kind: &str,
    amendment: &str,
) {
    let today = deal.today();
    deal.insert(
        "OrderAction",
        row! { Type: kind, Sequence: 1, OrderId: order, SubscriptionId: &subscription.id,
        ContractEffectiveDate: today, ServiceActivationDate: today,
        SubscriptionVersionAmendmentId: (!amendment.is_empty()).then_some(amendment) },
        &[("Order", order), ("Subscription", &subscription.id)],
    );
}

fn line(deal: &mut Deal<'_>, account: &Account, order: &str) {
    let quantity = deal.dice.between(1, 20);
    let price = Money::of(deal.dice.between(500, 20_000), account.currency.digits);
    let today = deal.today();
    deal.insert(
        "OrderLineItem",
        row! { ItemNumber: "1", ItemName: "T-shirt, \"limited edition\"", ItemType: "Product", ItemState: "Executing",
        Quantity: quantity, AmountPerUnit: price,
        AmountWithoutTax: price.times(Money::whole(quantity), account.currency.digits),
        TransactionStartDate: today, TransactionEndDate: today, OrderId: order },
        &[("Order", order), ("Account", &account.id)],
    );
}
