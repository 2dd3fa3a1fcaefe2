//! Users, their identities, organizations and what joins them.

use overlock_sandbox::company::{self, Dice};
use serde_json::json;

use crate::emulator::record::{Body, Key, NIL, Sec, body, iso};
use crate::emulator::thread::ACCOUNT;
use crate::emulator::world::World;

use super::words;

/// A record of this file's streams.
pub(super) fn blank(world: &mut World, stream: &str, id: i64, now: Sec) -> Option<(Key, Body)> {
    let body = match stream {
        "users" => user(world, id, now),
        "organizations" => organization(world, id, now),
        "user_identities" => identity(id, now),
        "organization_memberships" => organization_membership(world, id, now),
        "group_memberships" => group_membership(world, id, now),
        "groups" => group(world, id, now),
        "deleted_users" => deleted_user(id, now),
        _ => return None,
    };
    Some((Key::from(id), body))
}

/// Customers come from the company: two contacts per account are sure to exist there.
fn user(world: &mut World, id: i64, now: Sec) -> Body {
    let seed = world.options.seed;
    let mut dice = Dice::numbered(seed, "user", id.unsigned_abs());
    let customer = world.story.customers + 1;
    let organizations = u64::from(world.options.organizations);
    let is_contact = customer <= 2 * organizations && !world.story.agents.is_empty();
    let (first, last) = (
        dice.word(company::FIRST_NAMES),
        dice.word(company::LAST_NAMES),
    );
    let (name, email, external_id) = if is_contact {
        let contact = company::contact_id(customer);
        let (first, last) = company::contact_name(seed, &contact);
        let email = company::contact_email(seed, &contact);
        (format!("{first} {last}"), email, json!(contact))
    } else {
        let email = format!("{}.{id}@mail.example", first.to_lowercase());
        (format!("{first} {last}"), email, NIL)
    };
    let (zone, iana) = dice.pick(words::CITIES, ("UTC", "Etc/UTC"));
    let organization = world.story.organization(customer);
    let phone = format!("+1555{:07}", dice.below(9_999_999));
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/users/{id}.json"), name: name, email: email,
        created_at: iso(now), updated_at: iso(now), time_zone: zone, iana_time_zone: iana,
        phone: if dice.chance(1, 2) { json!(phone) } else { NIL }, shared_phone_number: false,
        photo: NIL, locale_id: 1, locale: "en-US", organization_id: organization, role: "end-user",
        verified: dice.chance(3, 4), external_id: external_id,
        tags: if dice.chance(1, 4) { json!([dice.word(words::TAGS)]) } else { json!([]) }, alias: "",
        active: true, shared: false, shared_agent: false,
        last_login_at: if dice.chance(2, 3) { json!(iso(now)) } else { NIL },
        two_factor_auth_enabled: false, signature: NIL, details: "", notes: "", role_type: NIL,
        custom_role_id: NIL, is_billing_admin: false, moderator: false, ticket_restriction: "requested",
        only_private_comments: false, restricted_agent: true, suspended: false, suspension_details: NIL,
        default_group_id: NIL, report_csv: false, chat_only: false, permanently_deleted: false,
        user_fields: json!({
            "plan_level": dice.pick(&["gold", "silver", "bronze"], "gold"), "seats": dice.between(1, 900),
            "customer_since": "2018-11-04T00:00:00+00:00", "is_partner": dice.chance(1, 5), "score": 12.5,
            "note": null,
        }),
    }
}

fn organization(world: &mut World, id: i64, now: Sec) -> Body {
    let seed = world.options.seed;
    let number = world.story.accounts + 1;
    let account = company::account_id(number);
    let domains: Vec<String> = company::account_domain(seed, &account)
        .into_iter()
        .collect();
    let mut dice = Dice::numbered(seed, "organization", number);
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/organizations/{id}.json"),
        name: company::account_name(seed, &account), shared_tickets: dice.chance(1, 5),
        shared_comments: false, external_id: account, created_at: iso(now), updated_at: iso(now),
        deleted_at: NIL, domain_names: domains, details: "", notes: NIL, group_id: NIL,
        tags: if dice.chance(1, 2) { json!(["customer", dice.word(words::TAGS)]) } else { json!([]) },
        organization_fields: json!({
            "region": dice.pick(&["emea", "apac", "amer"], "emea"), "arr": 48_000.5,
            "renewal": "2012-07-23T00:00:00Z", "tier": null,
        }),
    }
}

fn identity(id: i64, now: Sec) -> Body {
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/users/0/identities/{id}.json"), user_id: 0, type: "email",
        value: format!("identity.{id}@mail.example"), verified: true, primary: true,
        created_at: iso(now), updated_at: iso(now), undeliverable_count: 0,
        deliverable_state: "deliverable",
    }
}

fn organization_membership(world: &mut World, id: i64, now: Sec) -> Body {
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/organization_memberships/{id}.json"),
        user_id: world.story.requester(id.unsigned_abs()),
        organization_id: world.story.organization(id.unsigned_abs()), default: true,
        organization_name: "", view_tickets: true, created_at: iso(now), updated_at: iso(now),
    }
}

fn group_membership(world: &mut World, id: i64, now: Sec) -> Body {
    // One in four has never been changed and has no such time.
    let updated = if id % 4 == 0 { NIL } else { json!(iso(now)) };
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/group_memberships/{id}.json"),
        user_id: world.story.agent(id.unsigned_abs()), group_id: world.story.group(id.unsigned_abs()),
        default: false, created_at: iso(now), updated_at: updated,
    }
}

fn group(world: &mut World, id: i64, now: Sec) -> Body {
    let names = [
        "Support",
        "Billing",
        "Logistics \u{2013} EMEA",
        "Field engineers",
    ];
    let number = world.story.groups.len();
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/groups/{id}.json"),
        name: names.get(number % names.len()).copied().unwrap_or("Support"), description: "",
        default: number == 0, deleted: false, is_public: true, created_at: iso(now), updated_at: iso(now),
    }
}

fn deleted_user(id: i64, now: Sec) -> Body {
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/deleted_users/{id}.json"), name: "", email: NIL,
        created_at: iso(now), updated_at: iso(now), time_zone: "Berlin", phone: NIL,
        shared_phone_number: NIL, photo: NIL, locale_id: 1, locale: "en-US", organization_id: NIL,
        role: "end-user", active: false,
    }
}
