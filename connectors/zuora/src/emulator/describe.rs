//! Describe: the list of objects and what each consists of, as XML.

use overlock_core::Timestamp;
use overlock_sandbox::Response;

use super::call::Call;
use super::csv::{label, xml};
use super::model::{Field, Kind, Object};
use super::options::{Behaviour, names};
use super::plan::find;
use super::world::World;

const XML: &str = "text/xml;charset=UTF-8";
const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// `GET /v1/describe` and `GET /v1/describe/{Object}`; `rest` is what follows `/v1/describe`.
pub(super) fn answer(
    call: &Call<'_>,
    rest: &str,
    world: &World,
    behaviour: &Behaviour,
) -> Response {
    if call.method != http::Method::GET {
        return error(405, "Request method is not supported");
    }
    let name = rest.trim_matches('/');
    if name.is_empty() {
        return list(call, world);
    }
    if names(&behaviour.describe_500, name) {
        return error(500, "Internal server error");
    }
    let known = find(world, name).filter(|object| object.described);
    match known {
        Some(object) if !names(&behaviour.describe_404, name) => {
            let asked = call.parameter("showRelationships");
            let relationships = asked.is_some_and(|asked| asked.eq_ignore_ascii_case("true"));
            let text = object_text(object, call.base, call.now, relationships, behaviour);
            Response::of(200, XML, text)
        }
        _ => error(404, &format!("Invalid object: {name}")),
    }
}

fn error(status: u16, message: &str) -> Response {
    let text = format!(
        "{PROLOGUE}<errors>\n  <error>\n    <code>{status}</code>\n    <message>{}</message>\n  </error>\n</errors>\n",
        xml(message)
    );
    Response::of(status, XML, text)
}

fn list(call: &Call<'_>, world: &World) -> Response {
    let mut text = format!("{PROLOGUE}<objects>\n");
    for object in world.objects().filter(|object| object.described) {
        let name = xml(&object.name);
        text.extend([format!(
            "  <object href=\"{}/v1/describe/{name}\"><name>{name}</name><label>{}</label></object>\n",
            xml(call.base),
            xml(&label(&object.name)),
        )]);
    }
    text.push_str("</objects>\n");
    Response::of(200, XML, text)
}

fn object_text(
    object: &Object,
    base: &str,
    now: Timestamp,
    relationships: bool,
    behaviour: &Behaviour,
) -> String {
    let name = xml(&object.name);
    let base = xml(base);
    let contexts = !names(&behaviour.without_contexts, &object.name);
    let mut text = format!(
        "{PROLOGUE}<object href=\"{base}/v1/describe/{name}\">\n  <name>{name}</name><label>{}</label>\n  <fields>\n",
        xml(&label(&object.name))
    );
    for field in object.fields.iter().filter(|field| field.exists(now)) {
        text.push_str(&field_text(field, contexts));
    }
    text.push_str("  </fields>\n");
    if relationships || behaviour.related_always {
        text.push_str("  <related-objects>\n");
        for related in &object.related {
            let target = xml(&related.object);
            let relation = xml(&related.name);
            text.extend([format!(
                "    <object href=\"{base}/v1/describe/{target}\">\n      <name>{relation}</name><label>{}</label>\n",
                xml(&label(&related.name)),
            )]);
            if relationships {
                text.extend([format!(
                    "      <cardinality>TO_ONE</cardinality><direct-relationship>true</direct-relationship>\
                     <path>{name}.{relation}</path>\n",
                )]);
            }
            if behaviour.stray_fields {
                let stray = Field::new("Stray", Kind::Text);
                text.push_str(&field_text(&stray, true));
            }
            text.push_str("    </object>\n");
        }
        text.push_str("  </related-objects>\n");
    }
    text.push_str("</object>\n");
    text
}

fn field_text(field: &Field, contexts: bool) -> String {
    let own = matches!(
        field.name.as_str(),
        "Id" | "CreatedById" | "CreatedDate" | "UpdatedById" | "UpdatedDate"
    );
    let mut text = format!(
        "    <field>\n      <name>{}</name><label>{}</label>\n      <selectable>{}</selectable>\
         <createable>{}</createable><updateable>{}</updateable><filterable>true</filterable>\n      \
         <custom>{}</custom><maxlength>{}</maxlength><required>{}</required>\n      <type>{}</type>\n",
        xml(&field.name),
        xml(&label(&field.name)),
        field.selectable,
        !own,
        !own,
        field.custom,
        match field.kind {
            Kind::Text if !own => "255",
            Kind::LongText => "65535",
            _ => "",
        },
        // Both spellings occur.
        if field.name == "Id" { "True" } else { "false" },
        xml(field.kind.name()),
    );
    if field.kind == Kind::Picklist {
        text.push_str(
            "      <options><option>Active</option><option>Draft &amp; Other</option></options>\n",
        );
    }
    if contexts {
        text.push_str("      <contexts><context>soap</context>");
        if field.export {
            text.push_str("<context>export</context>");
        }
        text.push_str("</contexts>\n");
    }
    text.push_str("    </field>\n");
    text
}
