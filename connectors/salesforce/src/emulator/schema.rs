//! Field lists in a short notation, and the objects they describe.
//!
//! An object is written as one line per group of fields, such as `Name s255 name; Amount cur18.2`. The
//! notation keeps fifteen real field lists readable side by side with the vendor's reference. Wrong
//! notation is a defect of this crate: unknown words make the field a text, and a test refuses that.

use super::model::{Computed, Field, FieldKind, Object};

/// How an object is written down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blueprint {
    /// API name.
    pub(crate) name: &'static str,
    /// Key prefix; empty where ids are not its own.
    pub(crate) prefix: &'static str,
    /// Fields in notation, without the common ones.
    pub(crate) fields: &'static str,
    /// Whether it has Id, and if so which common fields besides.
    pub(crate) common: Common,
    /// `false` where the Bulk API refuses it.
    pub(crate) bulk: bool,
    /// Whether `/updated` and `/deleted` answer.
    pub(crate) replicateable: bool,
    /// `associateEntityType` and `associateParentEntity`.
    pub(crate) associate: Option<(&'static str, &'static str)>,
}

impl Blueprint {
    /// An ordinary object.
    pub(crate) const fn ordinary(
        name: &'static str,
        prefix: &'static str,
        fields: &'static str,
    ) -> Self {
        Self {
            name,
            prefix,
            fields,
            common: Common::Full,
            bulk: true,
            replicateable: true,
            associate: None,
        }
    }
}

/// Which of the common fields an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Common {
    /// Id, IsDeleted, created, modified and SystemModstamp.
    Full,
    /// As `Full`, but nothing can be deleted.
    WithoutIsDeleted,
    /// Id only; the rest is in the notation.
    IdOnly,
    /// Not even Id.
    Nothing,
}

/// Builds the object of a blueprint.
pub(crate) fn build(blueprint: &Blueprint) -> Object {
    let mut fields = Vec::new();
    if blueprint.common != Common::Nothing {
        push(&mut fields, blueprint.name, "Id id18 !");
    }
    if blueprint.common == Common::Full {
        push(&mut fields, blueprint.name, "IsDeleted bool !");
    }
    for item in blueprint.fields.split(';').map(str::trim) {
        if item.is_empty() {
        } else if let Some(prefix) = item.strip_prefix("address ") {
            push_address(&mut fields, blueprint.name, prefix.trim_matches('*'));
        } else {
            push(&mut fields, blueprint.name, item);
        }
    }
    if matches!(blueprint.common, Common::Full | Common::WithoutIsDeleted) {
        for item in [
            "CreatedDate dt !",
            "CreatedById ref(User) !",
            "LastModifiedDate dt !",
            "LastModifiedById ref(User) !",
            "SystemModstamp dt !",
        ] {
            push(&mut fields, blueprint.name, item);
        }
    }
    let custom = blueprint.name.ends_with("__c");
    let label = words(blueprint.name.trim_end_matches("__c"));
    Object {
        name: blueprint.name.to_owned(),
        key_prefix: Some(blueprint.prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
        label_plural: plural(&label),
        label,
        fields,
        queryable: true,
        replicateable: blueprint.replicateable,
        custom,
        bulk: blueprint.bulk,
        undeletable: blueprint.common == Common::Full,
        associate_type: blueprint.associate.map(|(kind, _)| kind.to_owned()),
        associate_parent: blueprint.associate.map(|(_, parent)| parent.to_owned()),
    }
}

/// Builds one field from notation such as `Amount cur18.2`; the slot is the next one of `object_fields`.
pub(crate) fn field(object: &str, notation: &str, slot: usize) -> Field {
    let mut tokens = notation.split_whitespace();
    let name = tokens.next().unwrap_or_default();
    let kind_token = tokens.next().unwrap_or_default();
    let (kind, numbers, targets) = kind(kind_token);
    let (first, second) = numbers.split_once('.').unwrap_or((numbers, "0"));
    let first: u32 = first.parse().unwrap_or(0);
    let second: u32 = second.parse().unwrap_or(0);
    let custom = name.ends_with("__c") || name.ends_with("__s");
    let long_text = kind == FieldKind::Textarea && first > 255;
    let readable_only = matches!(
        kind,
        FieldKind::Base64 | FieldKind::Any | FieldKind::Encrypted | FieldKind::Complex
    );
    let mut field = Field {
        name: name.to_owned(),
        label: words(name.trim_end_matches("__c").trim_end_matches("__s")),
        kind,
        length: match kind {
            FieldKind::Id | FieldKind::Reference => 18,
            _ if kind.is_decimal() || kind == FieldKind::Int => 0,
            _ => first,
        },
        precision: if kind.is_decimal() { first } else { 0 },
        scale: if kind.is_decimal() { second } else { 0 },
        digits: if kind == FieldKind::Int { first } else { 0 },
        calculated: false,
        formula: None,
        computed: None,
        filterable: !long_text && !readable_only && !kind.is_compound(),
        sortable: !long_text && !readable_only && !kind.is_compound(),
        nillable: kind != FieldKind::Boolean,
        custom,
        compound: None,
        reference_to: targets.into_iter().map(str::to_owned).collect(),
        relationship: relationship(name, kind),
        picklist: Vec::new(),
        name_field: false,
        external_id: false,
        unique: false,
        html: kind_token.starts_with("html"),
        slot,
    };
    for token in tokens {
        if token == "!" {
            field.nillable = false;
        } else if token == "name" {
            field.name_field = true;
        } else if token == "ext" {
            field.external_id = true;
        } else if token == "uniq" {
            field.unique = true;
        } else if token == "calc" {
            field.calculated = true;
        } else if token == "nofilter" {
            field.filterable = false;
            field.sortable = false;
        } else if let Some(compound) = inside(token, "in(") {
            field.compound = Some(compound.to_owned());
        } else if let Some(formula) = inside(token, "parent(") {
            if let [reference, object, parent] = formula.split(',').collect::<Vec<_>>()[..] {
                field.calculated = true;
                let through = reference.trim_end_matches("Id");
                field.formula = Some(format!("{through}.{parent}"));
                field.computed = Some(Computed::Parent {
                    reference: reference.to_owned(),
                    object: object.to_owned(),
                    field: parent.to_owned(),
                });
            }
        } else if token == "age" {
            field.calculated = true;
            field.formula = Some("TODAY() - DATEVALUE(CreatedDate)".to_owned());
            field.computed = Some(Computed::AgeDays);
        } else if let Some(ratio) = inside(token, "ratio(")
            && let [base, numerator, denominator] = ratio.split(',').collect::<Vec<_>>()[..]
        {
            field.calculated = true;
            field.formula = Some(format!("{base} * {numerator} / {denominator}"));
            field.computed = Some(Computed::Ratio {
                field: base.to_owned(),
                numerator: numerator.parse().unwrap_or(1),
                denominator: denominator.parse().unwrap_or(1),
            });
        }
    }
    if kind == FieldKind::Picklist
        || kind == FieldKind::Multipicklist
        || kind == FieldKind::Combobox
    {
        field.picklist = super::data::picklist(object, name)
            .iter()
            .map(|&value| value.to_owned())
            .collect();
    }
    field
}

fn push(fields: &mut Vec<Field>, object: &str, notation: &str) {
    fields.push(field(object, notation, fields.len()));
}

fn push_address(fields: &mut Vec<Field>, object: &str, prefix: &str) {
    let compound = format!("{prefix}Address");
    for part in [
        "Street ta255",
        "City s40",
        "State s80",
        "PostalCode s20",
        "Country s80",
        "Latitude dbl18.15",
        "Longitude dbl18.15",
        "GeocodeAccuracy pk40",
    ] {
        push(fields, object, &format!("{prefix}{part} in({compound})"));
    }
    push(fields, object, &format!("{compound} address"));
}

/// Words of the notation, longer ones first where one begins with another.
const KINDS: [(&str, FieldKind); 27] = [
    ("address", FieldKind::Address),
    ("location", FieldKind::Location),
    ("html", FieldKind::Textarea),
    ("bool", FieldKind::Boolean),
    ("long", FieldKind::Long),
    ("date", FieldKind::Date),
    ("time", FieldKind::Time),
    ("json", FieldKind::Complex),
    ("mpk", FieldKind::Multipicklist),
    ("cur", FieldKind::Currency),
    ("dbl", FieldKind::Double),
    ("pct", FieldKind::Percent),
    ("int", FieldKind::Int),
    ("url", FieldKind::Url),
    ("any", FieldKind::Any),
    ("b64", FieldKind::Base64),
    ("enc", FieldKind::Encrypted),
    ("id", FieldKind::Id),
    ("pk", FieldKind::Picklist),
    ("cb", FieldKind::Combobox),
    ("ta", FieldKind::Textarea),
    ("ph", FieldKind::Phone),
    ("em", FieldKind::Email),
    ("dt", FieldKind::Datetime),
    ("s", FieldKind::Text),
    ("x", FieldKind::Text),
    ("", FieldKind::Text),
];

/// The kind that a token such as `cur18.2` or `ref(Account)` means, its numbers and its targets.
fn kind(token: &str) -> (FieldKind, &str, Vec<&str>) {
    if let Some(targets) = inside(token, "ref(") {
        return (FieldKind::Reference, "18", targets.split(',').collect());
    }
    for (word, kind) in KINDS {
        if let Some(numbers) = token.strip_prefix(word) {
            return (kind, numbers, Vec::new());
        }
    }
    (FieldKind::Text, "255", Vec::new())
}

fn inside<'a>(token: &'a str, opening: &str) -> Option<&'a str> {
    token.strip_prefix(opening)?.strip_suffix(')')
}

fn relationship(name: &str, kind: FieldKind) -> Option<String> {
    if kind != FieldKind::Reference {
        return None;
    }
    if let Some(custom) = name.strip_suffix("__c") {
        return Some(format!("{custom}__r"));
    }
    Some(name.strip_suffix("Id")?.to_owned())
}

/// `LastModifiedDate` becomes `Last Modified Date`.
fn words(name: &str) -> String {
    let mut label = String::new();
    let mut before = ' ';
    for character in name.chars() {
        if character.is_ascii_uppercase() && before.is_ascii_lowercase() {
            label.push(' ');
        }
        label.push(if character == '_' { ' ' } else { character });
        before = character;
    }
    label
}

fn plural(label: &str) -> String {
    match label.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{label}s"),
    }
}

/// Appends the checksum that makes an id of 15 characters one of 18.
pub(crate) fn id18(id15: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let mut id = id15.to_owned();
    for group in id15.as_bytes().chunks(5) {
        let number = group
            .iter()
            .enumerate()
            .filter(|(_, byte)| byte.is_ascii_uppercase())
            .fold(0_usize, |number, (bit, _)| number | 1 << bit);
        id.push(char::from(ALPHABET[number & 31]));
    }
    id
}

/// The id of the `serial`th record of an object with this key prefix.
pub(crate) fn record_id(prefix: &str, serial: u64) -> String {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; 8];
    let mut rest = serial;
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(rest % 62).unwrap_or(0)];
        rest /= 62;
    }
    let tail: String = digits.iter().map(|&digit| char::from(digit)).collect();
    // Two characters of instance and a reserved zero stand between prefix and serial.
    id18(&format!("{prefix:0<3}Ov00{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::data;

    #[test]
    fn checksum_is_the_known_one() {
        // Ids printed in the vendor's own documentation.
        for id in [
            "001RM00000559kHYAQ",
            "005xx000001SwiUAAS",
            "00300000003T2PGAA0",
        ] {
            assert_eq!(id18(id.get(..15).unwrap()), id);
        }
    }

    #[test]
    fn ids_sort_by_serial_and_have_18_characters() {
        let ids: Vec<_> = (0..5000).map(|serial| record_id("001", serial)).collect();
        assert!(ids.iter().all(|id| id.len() == 18 && id.starts_with("001")));
        assert!(
            ids.windows(2)
                .all(|pair| pair[0].get(..15) < pair[1].get(..15))
        );
    }

    #[test]
    fn every_field_is_written_in_known_notation() {
        for blueprint in data::blueprints() {
            let object = build(&blueprint);
            for (slot, field) in object.fields.iter().enumerate() {
                assert_eq!(field.slot, slot);
                let text = field.kind == FieldKind::Text;
                assert!(!text || field.length > 0, "{}.{}", object.name, field.name);
                let picklist = field.kind == FieldKind::Picklist;
                assert!(
                    !picklist || !field.picklist.is_empty(),
                    "{}.{}",
                    object.name,
                    field.name
                );
                let reference = field.kind == FieldKind::Reference;
                assert!(
                    !reference || !field.reference_to.is_empty(),
                    "{}.{}",
                    object.name,
                    field.name
                );
                let decimal = field.kind.is_decimal();
                assert!(
                    !decimal || field.precision > 0,
                    "{}.{}",
                    object.name,
                    field.name
                );
            }
        }
    }
}
