//! Custom fields of tickets, users and organizations, and the forms that show them.

use serde_json::{Value, json};

use crate::emulator::record::{Body, Key, NIL, Sec, body, iso};
use crate::emulator::thread::ACCOUNT;

/// Type, title and key or tag of the custom fields of tickets. Two titles are equal.
pub(super) const TICKET_FIELDS: &[(&str, &str)] = &[
    ("subject", "Subject"),
    ("description", "Description"),
    ("status", "Status"),
    ("tickettype", "Type"),
    ("priority", "Priority"),
    ("group", "Group"),
    ("assignee", "Assignee"),
    ("custom_status", "Ticket status"),
    ("text", "Order number"),
    ("textarea", "Steps to reproduce"),
    ("checkbox", "Confirmed"),
    ("date", "Due at customer"),
    ("integer", "Seats"),
    ("decimal", "Amount"),
    ("regexp", "Serial number"),
    ("partialcreditcard", "Card"),
    ("multiselect", "Products"),
    ("tagger", "Region"),
    ("tagger", "Region"),
    ("lookup", "Asset"),
];

/// Key, title and type of the fields of users.
pub(super) const USER_FIELDS: &[(&str, &str, &str)] = &[
    ("plan_level", "Plan level", "dropdown"),
    ("seats", "Seats", "integer"),
    ("customer_since", "Customer since", "date"),
    ("is_partner", "Is partner", "checkbox"),
    ("score", "Score", "decimal"),
    ("note", "Note", "textarea"),
];

/// Key, title and type of the fields of organizations.
pub(super) const ORGANIZATION_FIELDS: &[(&str, &str, &str)] = &[
    ("region", "Region", "dropdown"),
    ("arr", "ARR", "decimal"),
    ("renewal", "Renewal", "date"),
    ("tier", "Tier", "text"),
];

/// A record of this file's streams.
pub(super) fn blank(stream: &str, id: i64, now: Sec) -> Option<(Key, Body)> {
    let body = match stream {
        "ticket_fields" => ticket_field(id, now),
        "user_fields" | "organization_fields" => {
            body! {
                id: id, url: format!("{ACCOUNT}/api/v2/{stream}/{id}.json"), key: format!("field_{id}"),
                type: "text", title: "Text", raw_title: "Text", description: "", raw_description: "",
                position: 1, active: true, system: false, regexp_for_validation: NIL, tag: NIL,
                custom_field_options: Value::Array(Vec::new()), created_at: iso(now), updated_at: iso(now),
            }
        }
        "ticket_forms" => body! {
            id: id, url: format!("{ACCOUNT}/api/v2/ticket_forms/{id}.json"), name: "Default", raw_name: "Default",
            display_name: "Default", raw_display_name: "Default", position: 1, active: true, default: true,
            end_user_visible: true, in_all_brands: true, restricted_brand_ids: json!([]),
            ticket_field_ids: json!([]), agent_conditions: json!([]), end_user_conditions: json!([]),
            form_type: NIL, deleted_at: NIL, created_at: iso(now), updated_at: iso(now),
        },
        _ => return None,
    };
    Some((Key::from(id), body))
}

fn ticket_field(id: i64, now: Sec) -> Body {
    body! {
        id: id, url: format!("{ACCOUNT}/api/v2/ticket_fields/{id}.json"), type: "text", title: "Text",
        raw_title: "Text", title_in_portal: "Text", raw_title_in_portal: "Text", description: "",
        raw_description: "", position: 9_999, active: true, required: false, required_in_portal: false,
        visible_in_portal: false, editable_in_portal: false, agent_can_edit: true, agent_description: NIL,
        raw_agent_description: NIL, collapsed_for_agents: false, regexp_for_validation: NIL,
        removable: true, tag: NIL, key: NIL, custom_field_options: NIL, system_field_options: NIL,
        sub_type_id: NIL, created_at: iso(now), updated_at: iso(now),
    }
}

/// Options of a field with choices, as the field shows them; `without` leaves a retired one out.
pub(super) fn options(id: i64, kind: &str, without: Option<&str>) -> Value {
    let all = all_options(kind).iter().zip(1..);
    let kept = all.filter(|(value, _)| without != Some(**value));
    let shown = kept.map(|(value, number)| {
        json!({
            "id": id + number, "name": value.replace('_', " "), "raw_name": value.replace('_', " "),
            "value": value, "default": false,
        })
    });
    Value::Array(shown.collect())
}

/// Values that tickets may have, retired ones included.
pub(super) fn all_options(kind: &str) -> &'static [&'static str] {
    match kind {
        "multiselect" => &["product_edge", "product_rack", "product_sensor"],
        "tagger" | "dropdown" => &[
            "region_emea",
            "region_apac",
            "region_amer",
            "region_retired",
        ],
        _ => &[],
    }
}
