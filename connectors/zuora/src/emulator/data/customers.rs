//! Accounts, their contacts and how they pay. Names and addresses are those of the company.

use overlock_sandbox::company;

use super::contracts;
use super::deal::{Deal, Values, row, time};
use super::money::{CURRENCIES, Money};
use super::state::Account;
use super::story::batch_of_account;
use super::words;

/// Opens the next account, with two contacts, a payment method and its first subscription.
pub(super) fn open(deal: &mut Deal<'_>) {
    let number = deal.world.story.accounts.len() as u64 + 1;
    deal.account = number;
    let seed = deal.world.options.seed;
    let crm_id = company::account_id(number);
    let name = company::account_name(seed, &crm_id);
    let place = usize::try_from(number % 8).unwrap_or(0);
    // Of eight accounts one pays in yen, one in dinars, two in euros, the others in dollars.
    let currency = match place {
        3 => CURRENCIES[2],
        5 => CURRENCIES[3],
        2 | 6 => CURRENCIES[1],
        _ => CURRENCIES[0],
    };
    let account_number = format!("A{number:08}");
    let auto_pay = deal.dice.chance(2, 3);
    let parent = deal
        .dice
        .chance(1, 6)
        .then(|| deal.dice.below(number - 1))
        .and_then(|place| usize::try_from(place).ok())
        .and_then(|place| deal.world.story.accounts.get(place))
        .map(|account| account.id.clone())
        .unwrap_or_default();
    let batch = batch_of_account(&deal.world.options, number);
    let day = deal.dice.between(1, 28);
    let vat = vat(deal, currency.code);
    let seller = deal.dice.word(company::LAST_NAMES);
    let id = deal.insert(
        "Account",
        row! { AccountNumber: &account_number, Name: &name, Status: "Active", Currency: currency.code,
        Batch: format!("Batch{batch}"), BillCycleDay: day, AutoPay: auto_pay, AllowInvoiceEdit: false,
        Balance: Money::ZERO, CreditBalance: Money::ZERO, TotalInvoiceBalance: Money::ZERO, Mrr: Money::ZERO,
        PaymentGateway: "Stripe v2", CrmId: crm_id, ParentId: (!parent.is_empty()).then_some(&parent),
        InvoiceDeliveryPrefsEmail: true, InvoiceDeliveryPrefsPrint: false,
        SalesRepName: seller, VATId: vat },
        &[("ParentAccount", &parent)],
    );
    let numbers = contact_numbers(u64::from(deal.world.options.accounts), number);
    let [bill_to, sold_to] = numbers.map(|contact| company_contact(deal, &id, contact));
    let method = payment_method(deal, &id, &name);
    for (relation, parent) in [
        ("BillToContact", &bill_to),
        ("SoldToContact", &sold_to),
        ("DefaultPaymentMethod", &method),
    ] {
        deal.adopt("Account", &id, relation, parent);
    }
    let mut account = Account {
        number,
        id,
        code: account_number,
        name,
        currency,
        bill_to,
        sold_to,
        method,
        auto_pay,
        tax: deal.dice.pick(&[0, 0, 8, 19, 21], 0),
        credit_balance: Money::ZERO,
        lock: deal.visible,
        subscriptions: Vec::new(),
        invoices: Vec::new(),
        payments: Vec::new(),
        usages: Vec::new(),
        extra_contacts: Vec::new(),
        adjustments: Vec::new(),
    };
    contracts::subscribe(deal, &mut account);
    deal.world.story.accounts.push(account);
}

fn vat(deal: &mut Deal<'_>, currency: &str) -> Option<String> {
    (currency == "EUR").then(|| format!("DE{:09}", deal.dice.below(999_999_999)))
}

/// Which contacts of the company belong to an account. The help desk deals contacts out to the accounts of the
/// beginning one by one, twice over; accounts that come later have two of their own.
pub(super) fn contact_numbers(accounts: u64, number: u64) -> [u64; 2] {
    if number <= accounts {
        [number, number + accounts]
    } else {
        [2 * number - 1, 2 * number]
    }
}

fn address(deal: &mut Deal<'_>) -> Values {
    let place = deal.dice.below(words::CITIES.len() as u64);
    let place = usize::try_from(place).unwrap_or(0);
    let (city, country, code) = words::CITIES.get(place).copied().unwrap_or_default();
    row! { Address1: deal.dice.word(words::STREETS), City: city, Country: country, PostalCode: code }
}

fn company_contact(deal: &mut Deal<'_>, account: &str, number: u64) -> String {
    let seed = deal.world.options.seed;
    let id = company::contact_id(number);
    let (first, last) = company::contact_name(seed, &id);
    let email = company::contact_email(seed, &id);
    contact(deal, account, first, last, &email)
}

/// Adds a contact, and the snapshot that documents keep of it.
fn contact(deal: &mut Deal<'_>, account: &str, first: &str, last: &str, email: &str) -> String {
    let address = address(deal);
    let mut values = row! { FirstName: first, LastName: last, WorkEmail: email };
    values.extend(address.iter().cloned());
    let parents = [("Account", account)];
    let id = deal.insert("Contact", values.clone(), &parents);
    let parents = [("Account", account), ("Contact", id.as_str())];
    deal.insert("ContactSnapshot", values, &parents);
    id
}

fn payment_method(deal: &mut Deal<'_>, account: &str, holder: &str) -> String {
    let (month, year) = (deal.dice.between(1, 12), deal.dice.between(2027, 2031));
    let digits = deal.dice.below(10_000);
    let common = row! { Active: true, PaymentMethodStatus: "Active", Name: holder, NumConsecutiveFailures: 0,
    TotalNumberOfProcessedPayments: 0, TotalNumberOfErrorPayments: 0, UseDefaultRetryRule: true };
    let mut values = if deal.dice.chance(3, 4) {
        row! { Type: "CreditCard", CreditCardType: deal.dice.word(&["Visa", "MasterCard", "AmericanExpress"]),
        CreditCardMaskNumber: format!("************{digits:04}"), CreditCardExpirationMonth: month,
        CreditCardExpirationYear: year, CreditCardHolderName: holder,
        TokenId: format!("card_{:024x}", deal.dice.next()) }
    } else {
        row! { Type: "BankTransfer", BankTransferType: "SEPA", IBAN: format!("DE**************{digits:04}"),
        MandateCreationDate: deal.today() }
    };
    values.extend(common);
    deal.insert("PaymentMethod", values, &[("Account", account)])
}

/// Writes what an account owes, has in credit, and is worth in a month.
pub(super) fn settle(deal: &mut Deal<'_>, account: &Account) {
    let balance = account.balance();
    let values = row! { Balance: balance, TotalInvoiceBalance: balance, CreditBalance: account.credit_balance,
    Mrr: account.mrr() };
    deal.change("Account", &account.id, values);
}

/// Edits an account. Adjustments show its name and number, and change without a new stamp.
pub(super) fn edit(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    if deal.dice.chance(1, 2) {
        let values = row! { Notes: deal.dice.word(words::REMARKS),
        PurchaseOrderNumber: format!("PO-{}", deal.dice.below(100_000)), Region__c: deal.dice.word(words::choices("Region__c")) };
        deal.change("Account", &account.id, values);
        return true;
    }
    let edition = deal.world.story.serial("account number");
    account.code = format!("A{:08}-{edition}", account.number);
    let number = account.code.clone();
    // Up to the start names are those of the company; later some are changed here and not in the CRM.
    if deal.stamp > deal.world.options.start.seconds() {
        let stem = account.name.split(" (ex ").next().unwrap_or_default();
        account.name = format!("{stem} (ex {edition})");
    }
    let values = row! { AccountNumber: &number, Name: &account.name };
    deal.change("Account", &account.id, values);
    let shown = row! { CustomerName: &account.name, CustomerNumber: &number };
    for adjustment in &account.adjustments {
        deal.silently("InvoiceItemAdjustment", adjustment, &shown);
    }
    true
}

/// Adds a contact or edits one that is not of the company.
pub(super) fn edit_contact(deal: &mut Deal<'_>, account: &mut Account) -> bool {
    if account.extra_contacts.len() < 2 || deal.dice.chance(1, 4) {
        let (first, last) = (
            deal.dice.word(company::FIRST_NAMES),
            deal.dice.word(company::LAST_NAMES),
        );
        let serial = deal.world.story.serial("contact");
        let email = format!("billing.{serial}@mail.example");
        let id = contact(deal, &account.id, first, last, &email);
        account.extra_contacts.push(id);
        return true;
    }
    let mut values = address(deal);
    let mut touched = deal.dice.chance(1, 2).then(|| row! { NickName: "Boss" });
    values.append(touched.get_or_insert_default());
    let who = if deal.dice.chance(1, 3) {
        Some(account.sold_to.clone())
    } else {
        account.extra_contacts.last().cloned()
    };
    let Some(id) = who else {
        return false;
    };
    deal.change("Contact", &id, values);
    let at = time(deal.stamp);
    deal.change(
        "PaymentMethod",
        &account.method,
        row! { LastTransactionDateTime: at },
    );
    true
}
