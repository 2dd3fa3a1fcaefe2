//! Discovery: the list of objects and the description of each, with every key the service sends.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use overlock_core::Timestamp;
use overlock_sandbox::Response;

use super::answer::{Answer, Refusal, empty, quote, quote_option};
use super::model::{Field, FieldKind, Object};
use super::service::{Ask, Call};

/// `GET /sobjects`.
pub(super) fn global(call: &mut Call<'_>, ask: &Ask) -> Response {
    let now = call.objects();
    if let Some(since) = modified_since(ask) {
        let names = |objects: &[Arc<Object>]| -> Vec<String> {
            objects.iter().map(|object| object.name.clone()).collect()
        };
        let before = call.state.world.objects_at(since);
        let before_names = names(&before);
        if now
            .iter()
            .all(|object| before_names.contains(&object.name) || is_bench(call, object))
        {
            return empty(304);
        }
    }
    let version = ask.version_segment();
    let mut body = "{\"encoding\":\"UTF-8\",\"maxBatchSize\":200,\"sobjects\":[".to_owned();
    for (position, object) in now.iter().enumerate() {
        if position > 0 {
            body.push(',');
        }
        body.push('{');
        body.push_str(&head(object, &version));
        body.push('}');
    }
    body.push_str("]}");
    Response::json(200, body)
}

fn is_bench(call: &Call<'_>, object: &Object) -> bool {
    call.bench_of(&object.name).is_some()
}

/// `GET /sobjects/{name}`.
pub(super) fn basic(call: &mut Call<'_>, ask: &Ask, name: &str) -> Answer {
    let object = call
        .object_at(name, call.now)
        .ok_or_else(Refusal::not_found)?;
    let head = head(&object, &ask.version_segment());
    Ok(Response::json(
        200,
        format!("{{\"objectDescribe\":{{{head}}},\"recentItems\":[]}}"),
    ))
}

/// `GET /sobjects/{name}/describe`.
pub(super) fn object(call: &mut Call<'_>, ask: &Ask, name: &str) -> Answer {
    let object = call
        .object_at(name, call.now)
        .ok_or_else(Refusal::not_found)?;
    // A change in the very second of the client's copy counts as newer, so that a clock that stands
    // still hides no change.
    let unchanged = modified_since(ask).is_some_and(|since| {
        call.object_at(name, since.minus(Duration::from_secs(1))) == Some(object.clone())
    });
    if unchanged {
        return Ok(empty(304));
    }
    let body = describe(&object, &ask.version_segment());
    let seconds = u64::try_from(call.now.seconds()).unwrap_or(0);
    let date = httpdate(seconds);
    Ok(Response::json(200, body).with_header("last-modified", &date))
}

fn httpdate(seconds: u64) -> String {
    let time = chrono::DateTime::<chrono::Utc>::from(UNIX_EPOCH + Duration::from_secs(seconds));
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn modified_since(ask: &Ask) -> Option<Timestamp> {
    let text = ask.header("if-modified-since");
    let time = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Timestamp::from_seconds(time.timestamp())
}

/// The keys that the list and the description share.
fn head(object: &Object, version: &str) -> String {
    let name = &object.name;
    let side_table = object.associate_type.is_some();
    let base = format!("/services/data/{version}/sobjects/{name}");
    format!(
        "\"activateable\":false,\"associateEntityType\":{},\"associateParentEntity\":{},\"createable\":{},\
         \"custom\":{},\"customSetting\":false,\"deepCloneable\":false,\"deletable\":{},\
         \"deprecatedAndHidden\":false,\"feedEnabled\":{},\"hasSubtypes\":false,\"isInterface\":false,\
         \"isSubtype\":false,\"keyPrefix\":{},\"label\":{},\"labelPlural\":{},\"layoutable\":{},\"mergeable\":{},\
         \"mruEnabled\":{},\"name\":{},\"queryable\":{},\"replicateable\":{},\"retrieveable\":{},\
         \"searchable\":{},\"triggerable\":{},\"undeletable\":{},\"updateable\":{},\"urls\":{{\
         \"compactLayouts\":{},\"rowTemplate\":{},\"describe\":{},\"sobject\":{}}}",
        quote_option(object.associate_type.as_deref()),
        quote_option(object.associate_parent.as_deref()),
        !side_table,
        object.custom,
        !side_table,
        !side_table,
        quote_option(object.key_prefix.as_deref()),
        quote(&object.label),
        quote(&object.label_plural),
        !side_table,
        matches!(name.as_str(), "Account" | "Contact" | "Lead"),
        !side_table,
        quote(name),
        object.queryable,
        object.replicateable,
        object.has_id(),
        !side_table,
        !side_table,
        object.undeletable,
        !side_table,
        quote(&format!("{base}/describe/compactLayouts")),
        quote(&format!("{base}/{{ID}}")),
        quote(&format!("{base}/describe")),
        quote(&base),
    )
}

/// The whole description of an object.
fn describe(object: &Object, version: &str) -> String {
    let mut body = format!(
        "{{\"actionOverrides\":[],\"childRelationships\":[],\"compactLayoutable\":true,\
         \"defaultImplementation\":null,\"extendedBy\":null,\"extendsInterfaces\":null,\"implementedBy\":null,\
         \"implementsInterfaces\":null,\"listviewable\":null,\"lookupLayoutable\":null,\"namedLayoutInfos\":[],\
         \"networkScopeFieldName\":null,\"recordTypeInfos\":[{{\"active\":true,\"available\":true,\
         \"defaultRecordTypeMapping\":true,\"developerName\":\"Master\",\"master\":true,\"name\":\"Master\",\
         \"recordTypeId\":\"012000000000000AAA\",\"urls\":{{}}}}],\"searchLayoutable\":true,\
         \"sobjectDescribeOption\":\"FULL\",\"supportedScopes\":[{{\"label\":\"All\",\"name\":\"everything\"}}],{},\
         \"fields\":[",
        head(object, version)
    );
    for (position, field) in object.fields.iter().enumerate() {
        if position > 0 {
            body.push(',');
        }
        body.push_str(&describe_field(field));
    }
    body.push_str("]}");
    body
}

fn describe_field(field: &Field) -> String {
    let kind = field.kind;
    let system = matches!(
        field.name.as_str(),
        "Id" | "IsDeleted"
            | "CreatedDate"
            | "CreatedById"
            | "LastModifiedDate"
            | "LastModifiedById"
            | "SystemModstamp"
    );
    let writable = !system && !field.calculated && !kind.is_compound();
    let default = if kind == FieldKind::Boolean {
        "false"
    } else {
        "null"
    };
    let picklist: Vec<String> = field
        .picklist
        .iter()
        .map(|value| {
            format!(
                "{{\"active\":true,\"defaultValue\":false,\"label\":{0},\"validFor\":null,\"value\":{0}}}",
                quote(value)
            )
        })
        .collect();
    let reference_to: Vec<String> = field.reference_to.iter().map(|name| quote(name)).collect();
    // Text takes up to three bytes per character in the service's counting.
    let byte_length = match kind {
        FieldKind::Id | FieldKind::Reference => 18,
        _ => field.length.saturating_mul(3),
    };
    let encrypted = kind == FieldKind::Encrypted;
    format!(
        "{{\"aggregatable\":{},\"aiPredictionField\":false,\"autoNumber\":false,\"byteLength\":{byte_length},\
         \"calculated\":{},\"calculatedFormula\":{},\"cascadeDelete\":false,\"caseSensitive\":false,\
         \"compoundFieldName\":{},\"controllerName\":null,\"createable\":{writable},\"custom\":{},\
         \"defaultValue\":{default},\"defaultValueFormula\":null,\"defaultedOnCreate\":{system},\
         \"dependentPicklist\":false,\"deprecatedAndHidden\":false,\"digits\":{},\
         \"displayLocationInDecimal\":false,\"encrypted\":{encrypted},\"externalId\":{},\"extraTypeInfo\":{},\
         \"filterable\":{},\"filteredLookupInfo\":null,\"formulaTreatNullNumberAsZero\":false,\"groupable\":{},\
         \"highScaleNumber\":false,\"htmlFormatted\":{},\"idLookup\":{},\"inlineHelpText\":null,\"label\":{},\
         \"length\":{},\"mask\":{},\"maskType\":{},\"name\":{},\"nameField\":{},\"namePointing\":{},\
         \"nillable\":{},\"permissionable\":{},\"picklistValues\":[{}],\"polymorphicForeignKey\":{},\
         \"precision\":{},\"queryByDistance\":{},\"referenceTargetField\":null,\"referenceTo\":[{}],\
         \"relationshipName\":{},\"relationshipOrder\":null,\"restrictedDelete\":false,\
         \"restrictedPicklist\":false,\"scale\":{},\"searchPrefilterable\":{},\"soapType\":{},\"sortable\":{},\
         \"type\":{},\"unique\":{},\"updateable\":{writable},\"writeRequiresMasterRead\":false}}",
        field.filterable,
        field.calculated,
        quote_option(field.formula.as_deref()),
        quote_option(field.compound.as_deref()),
        field.custom,
        field.digits,
        field.external_id,
        if kind == FieldKind::Textarea && field.length > 255 {
            if field.html {
                "\"richtextarea\""
            } else {
                "\"plaintextarea\""
            }
        } else {
            "null"
        },
        field.filterable,
        field.filterable && !kind.is_decimal() && kind != FieldKind::Datetime,
        field.html,
        kind == FieldKind::Id || field.external_id,
        quote(&field.label),
        field.length,
        if encrypted { "\"*\"" } else { "null" },
        if encrypted { "\"lastFour\"" } else { "null" },
        quote(&field.name),
        field.name_field,
        field.reference_to.len() > 1,
        field.nillable,
        writable && field.custom,
        picklist.join(","),
        field.reference_to.len() > 1,
        field.precision,
        kind == FieldKind::Location || kind == FieldKind::Address,
        reference_to.join(","),
        quote_option(field.relationship.as_deref()),
        field.scale,
        kind == FieldKind::Reference,
        quote(kind.soap_name()),
        field.sortable,
        quote(kind.name()),
        field.unique,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::*;
    use crate::emulator::schema;

    #[test]
    fn every_key_of_a_field_is_there() {
        let field = schema::field("Account", "Amount__c cur18.2", 0);
        let text = describe_field(&field);
        let keys: BTreeMap<String, &RawValue> = serde_json::from_str(&text).unwrap();
        let wanted = "aggregatable, aiPredictionField, autoNumber, byteLength, calculated, calculatedFormula, \
            cascadeDelete, caseSensitive, compoundFieldName, controllerName, createable, custom, defaultValue, \
            defaultValueFormula, defaultedOnCreate, dependentPicklist, deprecatedAndHidden, digits, \
            displayLocationInDecimal, encrypted, externalId, extraTypeInfo, filterable, filteredLookupInfo, \
            formulaTreatNullNumberAsZero, groupable, highScaleNumber, htmlFormatted, idLookup, inlineHelpText, label, \
            length, mask, maskType, name, nameField, namePointing, nillable, permissionable, picklistValues, \
            polymorphicForeignKey, precision, queryByDistance, referenceTargetField, referenceTo, relationshipName, \
            relationshipOrder, restrictedDelete, restrictedPicklist, scale, searchPrefilterable, soapType, sortable, \
            type, unique, updateable, writeRequiresMasterRead";
        for key in wanted.split(',').map(str::trim) {
            assert!(keys.contains_key(key), "{key} is missing");
        }
        assert_eq!(keys.len(), wanted.split(',').count());
        assert_eq!(keys["type"].get(), "\"currency\"");
        assert_eq!((keys["precision"].get(), keys["scale"].get()), ("18", "2"));
    }

    #[test]
    fn http_dates_are_fixed_length_english() {
        assert_eq!(httpdate(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
