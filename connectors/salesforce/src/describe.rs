//! What describe says about an object, cut down to what the extractor needs, and how two of them differ.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One object as `…/sobjects/{Name}/describe` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Object {
    /// API name.
    pub name: String,
    /// May appear after FROM.
    pub queryable: bool,
    /// `getUpdated` and `getDeleted` work.
    pub replicateable: bool,
    /// No longer available.
    pub deprecated_and_hidden: bool,
    /// What kind of side table it is, such as `History` or `Share`.
    pub associate_entity_type: Option<String>,
    /// Its fields that this user may see, in the server's order.
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the server's own flags, each independent of the others"
)]
pub struct Field {
    /// API name.
    pub name: String,
    /// Field type, such as `currency`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Type on the wire, such as `xsd:double`: tells what to do with a type that is new to us.
    pub soap_type: String,
    /// Digits in all.
    pub precision: i32,
    /// Digits after the point.
    pub scale: i32,
    /// Formula or roll-up summary.
    pub calculated: bool,
    /// Name of the compound field that it is a part of.
    pub compound_field_name: Option<String>,
    /// May appear after WHERE.
    pub filterable: bool,
    /// May be null, by the server's word (not always true).
    pub nillable: bool,
    /// Made by the customer.
    pub custom: bool,
    /// No longer available.
    pub deprecated_and_hidden: bool,
}

impl Object {
    /// Finds a field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The list of `…/sobjects`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Global {
    /// All objects this user may see, without fields.
    pub sobjects: Vec<Object>,
}

/// How an object changed since the last run, one line each.
pub fn drift(before: &Object, after: &Object) -> Vec<String> {
    let old: HashMap<&str, &Field> = index(before);
    let new: HashMap<&str, &Field> = index(after);
    let mut changes = Vec::new();
    for field in &after.fields {
        match old.get(field.name.as_str()) {
            None => changes.push(format!("field `{}` ({}) is new", field.name, field.kind)),
            Some(was) if was.kind != field.kind => changes.push(format!(
                "field `{}` was {} and is now {}",
                field.name, was.kind, field.kind
            )),
            Some(was) if (was.precision, was.scale) != (field.precision, field.scale) => {
                changes.push(format!(
                    "field `{}` had {} digits, {} of them after the point, and now has {} and {}",
                    field.name, was.precision, was.scale, field.precision, field.scale
                ));
            }
            Some(_) => {}
        }
    }
    for field in &before.fields {
        if !new.contains_key(field.name.as_str()) {
            changes.push(format!("field `{}` is gone: {}", field.name, loss(field)));
        }
    }
    changes
}

/// Why a field that was there is missing. Describe leaves out what the user may not see, so the two
/// cases look alike; but nobody can delete a standard field.
pub fn loss(field: &Field) -> &'static str {
    if field.custom {
        "it was deleted, or hidden from this user by field-level security; its column stays and gets nulls"
    } else {
        "a standard field cannot be deleted, so this user lost access to it; its column stays and gets nulls"
    }
}

fn index(object: &Object) -> HashMap<&str, &Field> {
    object
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: &str) -> Field {
        Field {
            name: name.to_owned(),
            kind: kind.to_owned(),
            custom: name.ends_with("__c"),
            ..Field::default()
        }
    }

    #[test]
    fn reads_what_the_server_sends_and_ignores_the_rest() {
        let object: Object = serde_json::from_str(
            r#"{"name":"Account","queryable":true,"urls":{},"keyPrefix":"001","fields":[
                {"name":"AnnualRevenue","type":"currency","soapType":"xsd:double","precision":18,"scale":0,
                 "calculated":false,"compoundFieldName":null,"filterable":true,"picklistValues":[{"x":1}]}]}"#,
        )
        .unwrap();
        assert_eq!(object.field("AnnualRevenue").unwrap().precision, 18);
    }

    #[test]
    fn lost_access_is_told_from_deletion_where_that_is_possible() {
        // covers: L12
        let before = Object {
            fields: vec![
                field("Name", "string"),
                field("A__c", "int"),
                field("B__c", "string"),
            ],
            ..Object::default()
        };
        let mut wider = field("C__c", "double");
        wider.scale = 2;
        let after = Object {
            fields: vec![field("B__c", "double"), wider],
            ..Object::default()
        };
        let changes = drift(&before, &after);
        for part in [
            "`B__c` was string and is now double",
            "`C__c` (double) is new",
            "`Name` is gone: a standard field cannot be deleted",
            "`A__c` is gone: it was deleted, or hidden",
        ] {
            assert!(changes.iter().any(|c| c.contains(part)), "{changes:?}");
        }
        assert_eq!(changes.len(), 4);
        assert!(drift(&before, &before).is_empty());
    }
}
