//! Laws of the emulated org. Each is checked on several seeds and instants, the late-commit hazard on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::company;

use crate::emulator::model::{FieldKind, Row, Value, canonical_number};
use crate::emulator::schema::id18;
use crate::emulator::world::{LONGEST_TRANSACTION, Moment, World, WorldOptions};

use super::nasty;
use super::numbers::cents;

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> Timestamp {
    Timestamp::parse("2025-03-10T09:00:00Z").unwrap()
}

fn tiny(seed: u64) -> WorldOptions {
    WorldOptions::tiny(seed, start())
}

/// A world ten days on, and instants to look at it.
fn evolved(options: WorldOptions) -> (World, Vec<Timestamp>) {
    let mut world = World::seeded(options);
    world.evolve(start().plus(DAY * 10));
    let instants = (0..15).map(|step| start().plus(Duration::from_secs(step * 57_601)));
    (world, instants.collect())
}

fn get(world: &World, row: &Row, name: &str, t: Timestamp) -> Value {
    world.value_by_name(&row.object, row, name, t)
}

fn live(world: &World, object: &str, t: Timestamp) -> Vec<Row> {
    let rows = world.rows_at(object, t).into_iter();
    rows.filter(|row| !row.version.is_deleted).collect()
}

fn everything(world: &World, t: Timestamp) -> String {
    let objects = world.objects_at(t);
    let all = objects
        .iter()
        .map(|object| (object, world.ever(&object.name, t)));
    format!("{:?}", all.collect::<Vec<_>>())
}

#[test]
fn the_same_options_give_the_same_world_in_any_number_of_steps() {
    for seed in 0..3 {
        let end = start().plus(DAY * 12);
        let mut at_once = World::seeded(tiny(seed));
        at_once.evolve(end);
        let mut in_steps = World::seeded(tiny(seed));
        for step in 0..500 {
            in_steps.evolve(start().plus(Duration::from_secs(step * 2500)));
        }
        in_steps.evolve(end);
        // Looking ahead does not change what was seen before.
        in_steps.evolve(end.plus(DAY));
        for t in [start(), start().plus(DAY * 4), end] {
            assert!(
                everything(&at_once, t) == everything(&in_steps, t),
                "seed {seed} at {t}"
            );
        }
    }
    let other = World::seeded(tiny(1));
    assert!(everything(&other, start()) != everything(&World::seeded(tiny(2)), start()));
}

#[test]
fn every_reference_of_a_live_row_leads_to_a_live_row() {
    for seed in 0..3 {
        let (world, instants) = evolved(tiny(seed));
        for t in instants {
            let objects = world.objects_at(t);
            for object in &objects {
                let rows = live(&world, &object.name, t);
                let references = object.fields.iter().filter(|field| {
                    let known = |name: &String| objects.iter().any(|object| object.name == *name);
                    field.kind == FieldKind::Reference && field.reference_to.iter().any(known)
                });
                for field in references {
                    for row in &rows {
                        let Value::Text(id) = world.value(row, field, t) else {
                            continue;
                        };
                        let mut targets = field.reference_to.iter();
                        let target = targets.find_map(|name| world.row_at(name, &id, t));
                        let is_live = target.is_some_and(|target| !target.version.is_deleted);
                        let (object, field) = (&object.name, &field.name);
                        assert!(
                            is_live,
                            "seed {seed}: {object}.{field} of {} at {t}: {id}",
                            row.id
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn amounts_are_the_exact_sum_of_their_line_items_at_every_instant() {
    for seed in 0..3 {
        let (world, instants) = evolved(tiny(seed));
        let mut with_items = 0;
        for t in instants {
            let mut sums = BTreeMap::new();
            for item in live(&world, "OpportunityLineItem", t) {
                let total = cents(&get(&world, &item, "TotalPrice", t));
                let sale = get(&world, &item, "OpportunityId", t).canonical().unwrap();
                *sums.entry(sale).or_insert(0) += total;
            }
            for sale in live(&world, "Opportunity", t) {
                if get(&world, &sale, "HasOpportunityLineItem", t) == Value::Bool(true) {
                    with_items += 1;
                    let amount = cents(&get(&world, &sale, "Amount", t));
                    assert_eq!(sums.get(&*sale.id), Some(&amount), "{} at {t}", sale.id);
                }
            }
        }
        assert!(with_items > 0);
    }
}

#[test]
fn histories_agree_with_the_sale_at_every_instant() {
    for seed in 0..3 {
        let (world, instants) = evolved(tiny(seed));
        for t in instants {
            let text = |row: &Row, name: &str| get(&world, row, name, t).canonical();
            let by_sale = |object: &str| {
                let mut rows: BTreeMap<_, Vec<Row>> = BTreeMap::new();
                for row in live(&world, object, t) {
                    let sale = text(&row, "OpportunityId").unwrap();
                    rows.entry(sale).or_default().push(row);
                }
                rows
            };
            let history = by_sale("OpportunityHistory");
            let changes = by_sale("OpportunityFieldHistory");
            for sale in live(&world, "Opportunity", t) {
                let of_sale = history[&*sale.id].iter();
                let newest = of_sale
                    .max_by_key(|row| (row.version.begin, row.id.clone()))
                    .unwrap();
                for name in [
                    "StageName",
                    "Amount",
                    "CloseDate",
                    "Probability",
                    "ExpectedRevenue",
                ] {
                    assert_eq!(
                        text(&sale, name),
                        text(newest, name),
                        "{name} of {} at {t}",
                        sale.id
                    );
                }
                let mut stage: Option<String> = None;
                for row in &changes[&*sale.id] {
                    if text(row, "Field").as_deref() == Some("StageName") {
                        if let Some(stage) = stage {
                            assert_eq!(text(row, "OldValue"), Some(stage));
                        }
                        stage = text(row, "NewValue");
                    }
                }
                if let Some(stage) = stage {
                    assert_eq!(text(&sale, "StageName"), Some(stage));
                }
            }
        }
    }
}

#[test]
fn converted_leads_point_at_what_they_became() {
    let (world, instants) = evolved(tiny(1));
    let mut converted = 0;
    for t in instants {
        for lead in live(&world, "Lead", t) {
            let is_converted = get(&world, &lead, "IsConverted", t) == Value::Bool(true);
            let account = get(&world, &lead, "ConvertedAccountId", t);
            assert_eq!(is_converted, !account.is_null());
            if let Some(contact) = get(&world, &lead, "ConvertedContactId", t).as_text() {
                converted += 1;
                let contact = world.row_at("Contact", contact, t).unwrap();
                let name = get(&world, &contact, "LastName", t);
                assert_eq!(name, get(&world, &lead, "LastName", t));
                assert_eq!(get(&world, &contact, "AccountId", t), account);
            }
        }
    }
    assert!(converted > 0);
}

#[test]
fn campaigns_count_their_members_and_sales() {
    let options = WorldOptions {
        late_commits: false,
        ..tiny(3)
    };
    let (world, instants) = evolved(options);
    for t in instants {
        for campaign in live(&world, "Campaign", t) {
            let own =
                |row: &Row| get(&world, row, "CampaignId", t).as_text() == Some(&*campaign.id);
            let members: Vec<_> = live(&world, "CampaignMember", t)
                .into_iter()
                .filter(own)
                .collect();
            let sales: Vec<_> = live(&world, "Opportunity", t)
                .into_iter()
                .filter(own)
                .collect();
            let amount: i64 = sales
                .iter()
                .map(|sale| cents(&get(&world, sale, "Amount", t)))
                .sum();
            let count = |name: &str| get(&world, &campaign, name, t);
            assert_eq!(
                count("NumberOfLeads"),
                Value::Int(i64::try_from(members.len()).unwrap())
            );
            assert_eq!(
                count("NumberOfOpportunities"),
                Value::Int(i64::try_from(sales.len()).unwrap())
            );
            assert_eq!(cents(&count("AmountAllOpportunities")), amount);
        }
    }
}

#[test]
fn ids_are_well_formed_and_unique() {
    let (world, _) = evolved(WorldOptions {
        nasty: true,
        ..tiny(5)
    });
    let mut seen = BTreeSet::new();
    for object in world.objects_at(start()) {
        for id in world.ids(&object.name) {
            assert_eq!(id18(id.get(..15).unwrap()), **id);
            if let Some(prefix) = &object.key_prefix {
                assert!(
                    id.starts_with(prefix.as_str()) && seen.insert(id.clone()),
                    "{id}"
                );
            }
        }
    }
}

#[test]
fn versions_of_a_row_keep_their_order_and_tell_themselves_apart() {
    for seed in 0..3 {
        let (world, _) = evolved(tiny(seed));
        let (mut late, mut updated) = (0, 0);
        for object in world.objects_at(start()) {
            for id in world.ids(&object.name) {
                let versions = world.versions(&object.name, id);
                for (version, number) in versions.iter().zip(1..) {
                    assert_eq!(version.number, number);
                    assert_eq!(version.begin, version.begin.floor_second());
                    let lag = version.visible.since(version.begin);
                    assert!(version.visible >= version.begin && lag <= LONGEST_TRANSACTION);
                    late += u32::from(!lag.is_zero());
                }
                for pair in versions.windows(2) {
                    assert!(pair[0].begin <= pair[1].begin && pair[0].visible <= pair[1].begin);
                    updated += 1;
                    assert!(
                        pair[0].values != pair[1].values
                            || pair[1].purged
                            || pair[0].begin == pair[1].begin
                    );
                }
            }
        }
        assert!(
            late > 3 && updated > 100,
            "seed {seed}: {late} late, {updated} updated"
        );
    }
}

#[test]
fn a_late_commit_is_unseen_until_it_commits_and_covered_only_then() {
    let mut world = World::seeded(WorldOptions {
        changes_per_day: 0,
        ..tiny(1)
    });
    let at = start().plus(DAY);
    let id = world.ids("Account").last().unwrap().clone();
    let before = world.row_at("Account", &id, at).unwrap();
    world
        .update(
            "Account",
            &id,
            &[],
            Moment::late(at, Duration::from_secs(300)),
        )
        .unwrap();
    let during = at.plus(Duration::from_secs(299));
    assert_eq!(world.row_at("Account", &id, during).unwrap(), before);
    assert_eq!(world.latest_covered(during), at);
    assert!(
        world.update("Account", &id, &[], during).is_err(),
        "the row is locked"
    );
    let after = at.plus(Duration::from_secs(300));
    let row = world.row_at("Account", &id, after).unwrap();
    assert_eq!(
        (row.version.begin, row.version.number),
        (at, before.version.number + 1)
    );
    assert_eq!(world.latest_covered(after), after);
}

#[test]
fn the_bin_gives_back_expires_and_can_be_emptied() {
    let mut world = World::seeded(WorldOptions {
        changes_per_day: 0,
        ..tiny(1)
    });
    let id = world
        .insert("Task", &[("Status", Value::text("Not Started"))], start())
        .unwrap();
    let deleted = start().plus(DAY);
    world.delete("Task", &id, deleted).unwrap();
    let row = world
        .row_at("Task", id.get(..15).unwrap(), deleted.plus(DAY))
        .unwrap();
    assert!(row.version.is_deleted && row.version.begin == deleted);
    assert_eq!(get(&world, &row, "IsDeleted", deleted), Value::Bool(true));
    assert!(
        world.row_at("Task", &id, deleted.plus(DAY * 15)).is_none(),
        "the bin has expired"
    );
    let log = |world: &World, t| world.deleted_between("Task", start(), t, t);
    assert_eq!(log(&world, deleted.plus(DAY * 20)), [(id.clone(), deleted)]);
    let mut back = world.clone();
    back.undelete("Task", &id, deleted.plus(DAY)).unwrap();
    assert!(
        !back
            .row_at("Task", &id, deleted.plus(DAY * 20))
            .unwrap()
            .version
            .is_deleted
    );
    assert!(log(&back, deleted.plus(DAY * 20)).is_empty());
    world.purge("Task", &id, deleted.plus(DAY)).unwrap();
    assert!(world.row_at("Task", &id, deleted.plus(DAY)).is_none());
    assert_eq!(log(&world, deleted.plus(DAY * 2)), [(id.clone(), deleted)]);
    assert!(world.undelete("Task", &id, deleted.plus(DAY * 2)).is_err());
}

#[test]
fn a_merge_names_the_master_of_the_loser() {
    let mut world = World::seeded(WorldOptions {
        changes_per_day: 0,
        ..tiny(1)
    });
    let ids = world.ids("Contact")[..2].to_vec();
    world
        .merge("Contact", &ids[0], &ids[1], start().plus(DAY))
        .unwrap();
    let loser = world.row_at("Contact", &ids[1], start().plus(DAY)).unwrap();
    assert!(loser.version.is_deleted);
    let master = get(&world, &loser, "MasterRecordId", start().plus(DAY));
    assert_eq!(master.as_text(), Some(&*ids[0]));
}

#[test]
fn the_story_has_every_kind_of_change() {
    let (mut deleted, mut undeleted, mut purged, mut merged, mut border, mut shared) =
        (0, 0, 0, 0, 0, 0);
    for seed in 0..6 {
        let mut world = World::seeded(tiny(seed));
        world.evolve(start().plus(DAY * 30));
        let mut stamps: BTreeMap<(String, Timestamp), u32> = BTreeMap::new();
        for object in world.objects_at(start()) {
            for id in world.ids(&object.name) {
                let versions = world.versions(&object.name, id);
                for pair in versions.windows(2) {
                    deleted += u32::from(pair[1].is_deleted && !pair[0].is_deleted);
                    undeleted += u32::from(pair[0].is_deleted && !pair[1].is_deleted);
                    purged += u32::from(pair[1].purged);
                }
                let newest = Row {
                    object: object.name.as_str().into(),
                    id: id.clone(),
                    version: versions.last().unwrap().clone(),
                };
                merged += u32::from(!get(&world, &newest, "MasterRecordId", start()).is_null());
                for version in versions.iter().filter(|version| version.begin > start()) {
                    border += u32::from(version.begin.seconds() % 3600 == 0);
                    *stamps
                        .entry((object.name.clone(), version.begin))
                        .or_default() += 1;
                }
            }
        }
        shared += u32::from(stamps.values().any(|&rows| rows > 30));
    }
    for (what, count) in [
        ("deleted", deleted),
        ("undeleted", undeleted),
        ("purged", purged),
        ("merged", merged),
        ("on a border", border),
        ("with a mass update", shared),
    ] {
        assert!(count > 0, "no row {what}");
    }
}

#[test]
fn the_schema_drifts_on_its_days() {
    let (mut world, _) = evolved(tiny(1));
    world.evolve(start().plus(DAY * 40));
    let has = |day: u32, field: &str| {
        let account = world.object_at("account", start().plus(DAY * day)).unwrap();
        account.field(field).map(|field| field.kind)
    };
    assert_eq!(
        (has(6, "Territory__c"), has(8, "Territory__c")),
        (None, Some(FieldKind::Picklist))
    );
    assert_eq!(
        (has(15, "Sic"), has(36, "Sic")),
        (None, Some(FieldKind::Text))
    );
    assert_eq!(
        (has(20, "Legacy_Code__c"), has(22, "Legacy_Code__c")),
        (Some(FieldKind::Text), None)
    );
    assert_eq!(
        (has(27, "Support_Level__c"), has(29, "Support_Level__c")),
        (Some(FieldKind::Text), Some(FieldKind::Double))
    );
    // The values of before are still there for a read of before, and gone from one of after.
    let id = world.ids("Account")[0].clone();
    let row = world.row_at("Account", &id, start()).unwrap();
    assert!(!get(&world, &row, "SystemModstamp", start().plus(DAY * 40)).is_null());
}

#[test]
fn formulas_move_without_a_stamp() {
    let mut world = World::seeded(WorldOptions {
        changes_per_day: 0,
        ..tiny(1)
    });
    let id = world.ids("Account")[0].clone();
    let (t1, t2) = (start(), start().plus(DAY * 3));
    let row = world.row_at("Account", &id, t1).unwrap();
    assert_eq!(row, world.row_at("Account", &id, t2).unwrap());
    assert_ne!(
        get(&world, &row, "Age_In_Days__c", t1),
        get(&world, &row, "Age_In_Days__c", t2)
    );
    let owner = get(&world, &row, "OwnerId", t1).canonical().unwrap();
    world
        .update(
            "User",
            &owner,
            &[("Email", Value::text("new@overlock.example"))],
            t1.plus(DAY),
        )
        .unwrap();
    assert_ne!(
        get(&world, &row, "Owner_Email__c", t1),
        Value::text("new@overlock.example")
    );
    assert_eq!(
        get(&world, &row, "Owner_Email__c", t2),
        Value::text("new@overlock.example")
    );
    let expected = &world.expected("Account", t2)[0];
    assert!(
        !expected.payload.contains_key("Age_In_Days__c"),
        "no oracle can hold a sync to it"
    );
}

#[test]
fn nasty_objects_hold_what_the_contract_lists() {
    let world = World::seeded(WorldOptions {
        nasty: true,
        ..tiny(1)
    });
    let t = start();
    let values = |name: &str| -> BTreeSet<String> {
        let rows = world.expected("Nasty__c", t);
        rows.into_iter()
            .filter_map(|row| row.payload.get(name).cloned().flatten())
            .collect()
    };
    for text in nasty::TEXTS {
        assert!(values("Text__c").contains(*text), "{text:?}");
    }
    for number in nasty::NUMBERS {
        assert!(
            values("Amount__c").contains(&canonical_number(number)),
            "{number}"
        );
    }
    assert!(
        values("Rich__c")
            .iter()
            .any(|text| text.chars().count() == 131_072)
    );
    let burst: BTreeSet<_> = world
        .expected("Burst__c", t)
        .iter()
        .map(|row| row.stamp)
        .collect();
    assert_eq!(
        (burst.len(), world.expected("Burst__c", t).len()),
        (1, 3000)
    );
    assert!(world.object_at("Wide__c", t).unwrap().fields.len() > 800);
    assert!(world.expected("Empty__c", t).is_empty());
    assert!(!world.object_at("LightningUriEvent", t).unwrap().has_id());
    let apps = world.expected("AppDefinition", t);
    assert!(
        apps.iter()
            .all(|row| row.payload["Id"].as_deref() == Some("000000000000000AAA"))
    );
    assert_eq!(
        apps.iter()
            .map(|row| &row.key)
            .collect::<BTreeSet<_>>()
            .len(),
        apps.len()
    );
    assert!(World::seeded(tiny(1)).object_at("Nasty__c", t).is_none());
}

#[test]
fn scales_are_what_they_say() {
    for (options, least, most) in [
        (tiny(1), 150, 900),
        (WorldOptions::demo(1, start()), 2000, 8000),
    ] {
        let world = World::seeded(options);
        let objects = world.objects_at(start());
        let rows: usize = objects
            .iter()
            .map(|object| world.rows_at(&object.name, start()).len())
            .sum();
        assert!((least..most).contains(&rows), "{rows} rows");
        for object in objects {
            let is_late = matches!(object.name.as_str(), "Invoice__c" | "Attachment");
            assert!(
                is_late || !world.rows_at(&object.name, start()).is_empty(),
                "{}",
                object.name
            );
        }
    }
}

#[test]
fn accounts_and_contacts_are_those_of_the_company() {
    let world = World::seeded(tiny(3));
    for (number, row) in (1..).zip(world.rows_at("Account", start()).iter().take(9)) {
        let id = company::account_id(number);
        assert_eq!(&*row.id, id);
        let name = Value::text(company::account_name(3, &id));
        assert_eq!(get(&world, row, "Name", start()), name);
        let site = get(&world, row, "Website", start());
        let site = site.as_text().map(ToOwned::to_owned);
        let domain = company::account_domain(3, &id);
        assert_eq!(
            site,
            domain.map(|domain| format!("https://www.{domain}/?a=1&b=2"))
        );
    }
    for number in 1..12 {
        let id = company::contact_id(number);
        let row = world.row_at("Contact", &id, start()).unwrap();
        let (first, last) = company::contact_name(3, &id);
        let wanted = [
            ("FirstName", first.to_owned()),
            ("LastName", last.to_owned()),
            ("Email", company::contact_email(3, &id)),
        ];
        for (name, value) in wanted {
            assert_eq!(get(&world, &row, name, start()), Value::text(value));
        }
    }
}
