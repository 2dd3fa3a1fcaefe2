//! The life of the tenant: what happens, and when.
//!
//! History and future are one sequence of numbered events; when an event happens and what it does is drawn from
//! (seed, number) alone. Billing runs and the payment runs after them come by the calendar.

use std::collections::BTreeMap;

use overlock_sandbox::company::Dice;

use crate::emulator::world::{World, WorldOptions};

use super::days::{DAY, Day, Sec};
use super::deal::Deal;
use super::state::{Account, Item, Plan, Product};
use super::{around, billing, catalog, contracts, customers, nasty, payments, removal};

/// Events of history per account.
const EVENTS_PER_ACCOUNT: u64 = 14;

/// Every so many events of the first half of history, an account comes.
const ACCOUNT_EVERY: u64 = EVENTS_PER_ACCOUNT / 2;

/// An account is billed every four weeks.
const CYCLE_DAYS: i64 = 28;

/// When hostile values come: so early that a reader who stays two hours behind has them at the start.
const NASTY_BEFORE_START: Sec = 3 * 3_600;

/// Where the sequence of events stands, and who takes part.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    is_on: bool,
    has_nasty: bool,
    number: u64,
    next: Sec,
    /// Number of the next billing run, counted from the first after the start.
    run: i64,
    /// Number of the next payment run.
    collection: i64,
    ids: u64,
    serials: BTreeMap<&'static str, u64>,
    /// Whose a row is: numbers of accounts by ids of rows.
    pub(crate) owners: BTreeMap<String, u64>,
    pub(super) accounts: Vec<Account>,
    pub(super) products: Vec<Product>,
    pub(super) plans: Vec<Plan>,
    pub(super) items: Vec<Item>,
    pub(super) codes: Vec<String>,
    pub(super) periods: Vec<(Day, String)>,
}

impl Story {
    /// No story: nothing ever happens.
    pub(crate) fn none() -> Self {
        Self {
            is_on: false,
            has_nasty: false,
            number: 0,
            next: 0,
            run: 0,
            collection: 0,
            ids: 0,
            serials: BTreeMap::new(),
            owners: BTreeMap::new(),
            accounts: Vec::new(),
            products: Vec::new(),
            plans: Vec::new(),
            items: Vec::new(),
            codes: Vec::new(),
            periods: Vec::new(),
        }
    }

    /// Nothing has happened yet.
    pub(crate) fn before(options: &WorldOptions) -> Self {
        let first = -(i64::from(options.history_days) / period(options)) + 1;
        Self {
            is_on: true,
            next: beginning(options) + DAY,
            run: first,
            collection: first,
            ..Self::none()
        }
    }

    /// The next number for an id.
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// The next number of a series of documents.
    pub(super) fn serial(&mut self, series: &'static str) -> u64 {
        let serial = self.serials.entry(series).or_default();
        *serial += 1;
        *serial
    }

    /// Notes whose a row is.
    pub(super) fn own(&mut self, id: &str, account: u64) {
        if account > 0 {
            self.owners.insert(id.to_owned(), account);
        }
    }

    /// Takes an account out, to work on it beside the world; it has to be given back.
    pub(super) fn take(&mut self, place: usize) -> Option<Account> {
        let account = self.accounts.get_mut(place)?;
        let blank = Account {
            id: String::new(),
            subscriptions: Vec::new(),
            invoices: Vec::new(),
            payments: Vec::new(),
            usages: Vec::new(),
            ..account.clone()
        };
        Some(std::mem::replace(account, blank))
    }

    /// Puts an account back.
    pub(super) fn give_back(&mut self, place: usize, account: Account) {
        if let Some(slot) = self.accounts.get_mut(place) {
            *slot = account;
        }
    }
}

/// When history begins: at a whole day.
pub(super) fn beginning(options: &WorldOptions) -> Sec {
    Day::of(options.start.seconds() - Sec::from(options.history_days.max(2)) * DAY).0 * DAY
}

/// Groups of accounts that are billed together.
fn batches(options: &WorldOptions) -> i64 {
    if options.accounts < 50 { 2 } else { 7 }
}

/// Days from one billing run to the next.
fn period(options: &WorldOptions) -> i64 {
    CYCLE_DAYS / batches(options)
}

/// When a billing run takes place: the first on the day after the start. Every other one has a stamp at exactly
/// midnight in Los Angeles, which some exports write as a bare date.
fn run_at(options: &WorldOptions, run: i64) -> Sec {
    let day = Day::of(options.start.seconds()).plus(1 + run * period(options));
    let late = if run % 2 == 0 { 0 } else { 2 * 3_600 + 61 };
    day.midnight_in_los_angeles() + late
}

/// A payment run follows each billing run, 30 hours later.
fn collection_at(options: &WorldOptions, run: i64) -> Sec {
    run_at(options, run) + 30 * 3_600
}

/// Which batch a run bills, from 1.
fn batch_of_run(options: &WorldOptions, run: i64) -> i64 {
    run.rem_euclid(batches(options)) + 1
}

/// Which batch an account is in, from 1.
pub(super) fn batch_of_account(options: &WorldOptions, account: u64) -> i64 {
    i64::try_from(account)
        .unwrap_or(1)
        .rem_euclid(batches(options))
        + 1
}

/// Plays everything up to and including `to`.
pub(crate) fn play(world: &mut World, to: Sec) {
    if !world.story.is_on {
        return;
    }
    if world.story.products.is_empty() {
        let at = beginning(&world.options);
        let dice = Dice::numbered(world.options.seed, "catalog", 0);
        catalog::seed(&mut Deal::new(world, dice, at));
    }
    loop {
        let (event, run, collection) = (
            world.story.next,
            run_at(&world.options, world.story.run),
            collection_at(&world.options, world.story.collection),
        );
        let next = event.min(run).min(collection);
        let nasty = world.options.start.seconds() - NASTY_BEFORE_START;
        if world.options.nasty && !world.story.has_nasty && next.min(to) >= nasty {
            world.story.has_nasty = true;
            nasty::seed(world, nasty);
            continue;
        }
        if next > to {
            return;
        }
        if next == run {
            let number = world.story.run;
            world.story.run += 1;
            let batch = batch_of_run(&world.options, number);
            billing::run(world, run, batch, number.unsigned_abs());
        } else if next == collection {
            let number = world.story.collection;
            world.story.collection += 1;
            let batch = batch_of_run(&world.options, number);
            payments::run(world, collection, batch, number.unsigned_abs());
        } else {
            let number = world.story.number;
            world.story.number += 1;
            scene(world, number, event);
            world.story.next = following(&world.options, number, event);
        }
    }
}

fn past_events(options: &WorldOptions) -> u64 {
    u64::from(options.accounts) * EVENTS_PER_ACCOUNT
}

/// When the event after event `number` happens.
fn following(options: &WorldOptions, number: u64, at: Sec) -> Sec {
    let mut dice = Dice::numbered(options.seed, "gap", number);
    let start = options.start.seconds();
    let past = past_events(options);
    if number + 1 < past {
        // Evenly spread, so that their number is certain, up to some hours before the start.
        let span = start - beginning(options) - DAY - 4 * 3_600;
        let slot = span / Sec::try_from(past).unwrap_or(1).max(1);
        let next = Sec::try_from(number + 1).unwrap_or(0);
        return beginning(options) + DAY + next * slot + dice.between(0, slot / 2);
    }
    let rate = Sec::from(options.changes_per_day);
    if rate == 0 {
        return Sec::MAX;
    }
    at.max(start) + dice.between(1, 2 * (DAY / rate).max(1))
}

/// One event. One that finds nothing to work on does not happen.
fn scene(world: &mut World, number: u64, at: Sec) {
    let mut dice = Dice::numbered(world.options.seed, "event", number);
    let is_past = at <= world.options.start.seconds();
    let there = world.story.accounts.len() as u64;
    let is_due = is_past
        && number.is_multiple_of(ACCOUNT_EVERY)
        && there < u64::from(world.options.accounts);
    let choice = dice.below(1_000);
    if is_due || (!is_past && choice >= 985) {
        let mut deal = Deal::new(world, dice, at);
        customers::open(&mut deal);
        return;
    }
    if choice < 40 {
        around::company(&mut Deal::new(world, dice, at), choice);
        return;
    }
    let first = dice.below(there);
    // Some accounts have nothing that can be paid, refunded or deleted: the next ones may.
    for attempt in 0..6 {
        let Ok(place) = usize::try_from((first + attempt * 5) % there.max(1)) else {
            return;
        };
        if about_account(world, dice.clone(), at, place, choice) {
            return;
        }
    }
}

/// Works on one account; false if there was nothing to do.
fn about_account(world: &mut World, dice: Dice, at: Sec, place: usize, choice: u64) -> bool {
    let Some(mut account) = world.story.take(place) else {
        return false;
    };
    let mut deal = begin(world, dice, at, &account);
    let account_mut = &mut account;
    let has_happened = match choice {
        40..280 => around::usage(&mut deal, account_mut),
        280..340 => payments::pay_some(&mut deal, account_mut),
        340..400 => contracts::subscribe(&mut deal, account_mut),
        400..480 => contracts::amend(&mut deal, account_mut),
        480..540 => customers::edit(&mut deal, account_mut),
        540..590 => customers::edit_contact(&mut deal, account_mut),
        590..640 => removal::remove(&mut deal, account_mut),
        640..700 => payments::refund(&mut deal, account_mut),
        700..755 => payments::credit(&mut deal, account_mut),
        755..785 => payments::debit(&mut deal, account_mut),
        785..820 => payments::adjust(&mut deal, account_mut),
        820..850 => payments::credit_balance(&mut deal, account_mut),
        850..900 => billing::bill_now(&mut deal, account_mut),
        900..940 => billing::post_draft(&mut deal, account_mut),
        _ => around::messages(&mut deal, account_mut),
    };
    if has_happened {
        account.lock = deal.visible;
    }
    world.story.give_back(place, account);
    has_happened
}

/// Begins a transaction on an account. One in twelve takes long; and whoever comes meanwhile has to wait, as with
/// any database that locks rows, so that sums are right at every instant.
pub(super) fn begin<'a>(
    world: &'a mut World,
    mut dice: Dice,
    at: Sec,
    account: &Account,
) -> Deal<'a> {
    let late = if dice.chance(1, 12) {
        60 * dice.between(1, 118) + dice.between(0, 59)
    } else {
        0
    };
    let mut deal = Deal::new(world, dice, at);
    deal.visible = (at + late).max(account.lock);
    deal.account = account.number;
    deal
}
