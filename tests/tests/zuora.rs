//! The real binary against an emulated Zuora tenant: days of changes, kills, faults, late commits, refusals, and the
//! oracle.

use std::time::{Duration, Instant};

use overlock_sandbox::{Fault, Random};
use overlock_tests::lab::{kill, signal};
use overlock_tests::tenant::Tenant;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

const HOUR: Duration = Duration::from_secs(3_600);

/// Streams of each kind: with deletes and without, with silent columns, append-only, without any stamp.
const STREAMS: [&str; 10] = [
    "Account",
    "Subscription",
    "RatePlanCharge",
    "Invoice",
    "InvoiceItem",
    "Payment",
    "Usage",
    "AccountingCode",
    "PaymentTransactionLog",
    "EmailHistory",
];

/// Streams of the pipeline that is shipped.
fn shipped() -> Vec<String> {
    let path = overlock_tests::house::root().join("pipelines/billing.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("[streams.")?.strip_suffix(']'));
    names.map(ToOwned::to_owned).collect()
}

fn follow_for_days(tenant: &Tenant) {
    tenant.settle_and_judge();
    for hours in [5, 24, 30] {
        tenant.advance(hours * HOUR);
        tenant.settle_and_judge();
    }
    tenant
        .sandbox
        .with_world(|world| world.balances(tenant.now()))
        .unwrap();
}

#[test]
fn the_shipped_pipeline_is_the_tenant_over_days_and_idle_runs_commit_nothing() {
    let shipped = shipped();
    let names: Vec<&str> = shipped.iter().map(String::as_str).collect();
    assert!(names.contains(&"InvoiceItem"), "{names:?}");
    let tenant = Tenant::new(701, &names).compares_always();
    follow_for_days(&tenant);
}
