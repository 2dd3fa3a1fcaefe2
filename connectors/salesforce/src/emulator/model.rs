//! What the emulated org is made of: objects, fields, values, versions of rows.
//!
//! Plain data. How objects are laid out is `schema`'s business, how rows come to be and change is
//! `world`'s. Nothing here knows HTTP or SOQL: the rest of the emulator renders these types.

use std::collections::BTreeMap;
use std::sync::Arc;

use overlock_core::Timestamp;

/// The type of a field, as describe calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Record id.
    Id,
    /// Id of another record.
    Reference,
    /// Text of one line.
    Text,
    /// Text of several lines.
    Textarea,
    /// Phone number.
    Phone,
    /// E-mail address.
    Email,
    /// Web address.
    Url,
    /// One of some values.
    Picklist,
    /// Several of some values, joined by `;`.
    Multipicklist,
    /// Text with suggestions.
    Combobox,
    /// `true` or `false`.
    Boolean,
    /// Whole number of 32 bits.
    Int,
    /// Whole number of 64 bits.
    Long,
    /// Decimal number.
    Double,
    /// Amount of money.
    Currency,
    /// Percentage.
    Percent,
    /// Day.
    Date,
    /// Instant.
    Datetime,
    /// Time of day.
    Time,
    /// Bytes, delivered as the path of another resource.
    Base64,
    /// Compound of address parts.
    Address,
    /// Compound of latitude and longitude.
    Location,
    /// Text that comes masked.
    Encrypted,
    /// Text, number, boolean or date.
    Any,
    /// Structured value.
    Complex,
}

impl FieldKind {
    /// The `type` in describe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Reference => "reference",
            Self::Text => "string",
            Self::Textarea => "textarea",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Url => "url",
            Self::Picklist => "picklist",
            Self::Multipicklist => "multipicklist",
            Self::Combobox => "combobox",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Double => "double",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Time => "time",
            Self::Base64 => "base64",
            Self::Address => "address",
            Self::Location => "location",
            Self::Encrypted => "encryptedstring",
            Self::Any => "anyType",
            Self::Complex => "complexvalue",
        }
    }

    /// The `soapType` in describe.
    pub fn soap_name(self) -> &'static str {
        match self {
            Self::Id | Self::Reference => "tns:ID",
            Self::Boolean => "xsd:boolean",
            Self::Int => "xsd:int",
            Self::Long => "xsd:long",
            Self::Double | Self::Currency | Self::Percent => "xsd:double",
            Self::Date => "xsd:date",
            Self::Datetime => "xsd:dateTime",
            Self::Time => "xsd:time",
            Self::Base64 => "xsd:base64Binary",
            Self::Address => "urn:address",
            Self::Location => "urn:location",
            Self::Any => "xsd:anyType",
            Self::Complex => "urn:RecordTypesSupported",
            Self::Text
            | Self::Textarea
            | Self::Phone
            | Self::Email
            | Self::Url
            | Self::Picklist
            | Self::Multipicklist
            | Self::Combobox
            | Self::Encrypted => "xsd:string",
        }
    }

    /// Whether values are numbers with a point.
    pub fn is_decimal(self) -> bool {
        matches!(self, Self::Double | Self::Currency | Self::Percent)
    }

    /// Whether values are made of other fields of the same row.
    pub fn is_compound(self) -> bool {
        matches!(self, Self::Address | Self::Location)
    }
}

/// A field whose value is worked out when it is read; a change of it moves no stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Computed {
    /// Text of a field of the record that `reference` points at.
    Parent {
        /// Reference field of this object.
        reference: String,
        /// Object it points at.
        object: String,
        /// Field of that object.
        field: String,
    },
    /// Whole days since the row was created.
    AgeDays,
    /// A number field times `numerator / denominator`, with as many digits as a double shows.
    Ratio {
        /// Number field of this object.
        field: String,
        /// Factor.
        numerator: i64,
        /// Divisor, not zero.
        denominator: i64,
    },
}

/// One field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "describe has one boolean per property and so has this"
)]
pub struct Field {
    /// API name.
    pub name: String,
    /// Label.
    pub label: String,
    /// Type.
    pub kind: FieldKind,
    /// Most characters of text; 0 for others.
    pub length: u32,
    /// Digits of a decimal number; 0 for others.
    pub precision: u32,
    /// Digits after the point; 0 for others.
    pub scale: u32,
    /// Digits of a whole number; 0 for others.
    pub digits: u32,
    /// Formula or roll-up.
    pub calculated: bool,
    /// `calculatedFormula`; `None` for roll-ups.
    pub formula: Option<String>,
    /// How the value is worked out at read time; `None` where it is stored.
    pub computed: Option<Computed>,
    /// May stand in WHERE.
    pub filterable: bool,
    /// May stand in ORDER BY.
    pub sortable: bool,
    /// May be null, as describe says.
    pub nillable: bool,
    /// Custom field.
    pub custom: bool,
    /// `compoundFieldName`.
    pub compound: Option<String>,
    /// Objects that a reference points at.
    pub reference_to: Vec<String>,
    /// `relationshipName` of a reference, such as `Owner`.
    pub relationship: Option<String>,
    /// Values of a picklist.
    pub picklist: Vec<String>,
    /// `nameField`.
    pub name_field: bool,
    /// `externalId`.
    pub external_id: bool,
    /// `unique`.
    pub unique: bool,
    /// `htmlFormatted`.
    pub html: bool,
    /// Position of the value inside [`Version::values`]; stays when other fields come and go.
    pub slot: usize,
}

/// One object (table) of the org, with the fields that are visible at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "describe has one boolean per property and so has this"
)]
pub struct Object {
    /// API name.
    pub name: String,
    /// First three characters of its ids; `None` where ids are not its own.
    pub key_prefix: Option<String>,
    /// Label.
    pub label: String,
    /// Label of many.
    pub label_plural: String,
    /// Fields in the order of describe.
    pub fields: Vec<Field>,
    /// May be queried at all.
    pub queryable: bool,
    /// Answers `/updated` and `/deleted`.
    pub replicateable: bool,
    /// Custom object.
    pub custom: bool,
    /// Bulk API 2.0 and 1.0 know it.
    pub bulk: bool,
    /// May be undeleted.
    pub undeletable: bool,
    /// `associateEntityType`, such as `History`.
    pub associate_type: Option<String>,
    /// `associateParentEntity`.
    pub associate_parent: Option<String>,
}

impl Object {
    /// Finds a field by its name, in any case.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Whether it has the field `IsDeleted`.
    pub fn has_is_deleted(&self) -> bool {
        self.field("IsDeleted").is_some()
    }

    /// Whether it has the field `Id`.
    pub fn has_id(&self) -> bool {
        self.field("Id").is_some()
    }

    /// The parts of a compound field with the key that REST gives to each, such as `("city", BillingCity)`.
    pub fn components(&self, compound: &Field) -> Vec<(&'static str, &Field)> {
        const PARTS: [(&str, &str); 8] = [
            ("City", "city"),
            ("Country", "country"),
            ("GeocodeAccuracy", "geocodeAccuracy"),
            ("Latitude", "latitude"),
            ("Longitude", "longitude"),
            ("PostalCode", "postalCode"),
            ("State", "state"),
            ("Street", "street"),
        ];
        PARTS
            .into_iter()
            .filter_map(|(suffix, key)| {
                let field = self.fields.iter().find(|field| {
                    field.compound.as_deref() == Some(&compound.name)
                        && field.name.trim_end_matches("__s").ends_with(suffix)
                })?;
                Some((key, field))
            })
            .collect()
    }
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Null; an empty text is stored as this.
    Null,
    /// Boolean.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Number, as the exact text that goes on the wire, such as `1250.0` or `1.5E7`.
    Number(Arc<str>),
    /// Any text, also ids.
    Text(Arc<str>),
    /// Day, `YYYY-MM-DD`.
    Date(Arc<str>),
    /// Instant of whole seconds.
    DateTime(Timestamp),
    /// Time of day, `hh:mm:ss.SSSZ`.
    Time(Arc<str>),
}

impl Value {
    /// Text; null where it is empty, as the real service stores it.
    pub fn text(text: impl AsRef<str>) -> Self {
        match text.as_ref() {
            "" => Self::Null,
            text => Self::Text(text.into()),
        }
    }

    /// The text inside, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// One spelling per value, for comparisons by an oracle: numbers without exponent and without
    /// zeros at their end, instants as RFC 3339. `None` for null.
    pub fn canonical(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::Number(text) => Some(canonical_number(text)),
            Self::Text(text) | Self::Date(text) | Self::Time(text) => Some(text.to_string()),
            Self::DateTime(time) => Some(time.to_string()),
        }
    }
}

/// One version of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 1 for the first version of a row, then counting up.
    pub number: u32,
    /// Values by [`Field::slot`]; a slot past the end is null.
    pub values: Arc<[Value]>,
    /// When the transaction took its stamp: `SystemModstamp`. Whole seconds.
    pub begin: Timestamp,
    /// When the transaction committed: from then on the version is seen. Never before `begin`.
    pub visible: Timestamp,
    /// In the recycle bin.
    pub is_deleted: bool,
    /// Gone for good: no query shows it any more.
    pub purged: bool,
}

impl Version {
    /// The stored value of a slot.
    pub fn get(&self, slot: usize) -> &Value {
        self.values.get(slot).unwrap_or(&Value::Null)
    }
}

/// A row as it stands at some instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name of its object.
    pub object: Arc<str>,
    /// Its key inside the world, 18 characters. The same as its `Id`, but for objects without one.
    pub id: Arc<str>,
    /// The version that is visible.
    pub version: Arc<Version>,
}

/// A row as a complete sync must show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// `Id`, or `DurableId` where ids are constant, or the row's inner key where there is neither.
    pub key: String,
    /// Number of the version.
    pub version: u32,
    /// Its `SystemModstamp`.
    pub stamp: Timestamp,
    /// In the recycle bin.
    pub is_deleted: bool,
    /// Canonical value by field name, null as `None`; without compounds and without fields that are
    /// worked out at read time, whose change no stamp tells.
    pub payload: BTreeMap<String, Option<String>>,
}

/// A number in its one canonical spelling: no exponent, no `+`, no zeros in front or at the end.
pub fn canonical_number(text: &str) -> String {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).unwrap_or(0) + exponent;
    let (whole, fraction) = match usize::try_from(point) {
        Err(_) | Ok(0) => {
            let zeros = usize::try_from(-point).unwrap_or(0);
            (String::new(), format!("{}{digits}", "0".repeat(zeros)))
        }
        Ok(point) if point >= digits.len() => {
            let zeros = point - digits.len();
            (format!("{digits}{}", "0".repeat(zeros)), String::new())
        }
        Ok(point) => (
            digits.chars().take(point).collect(),
            digits.chars().skip(point).collect(),
        ),
    };
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction {
        "" if whole == "0" => "0".to_owned(),
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("1.0E7", "10000000"),
            ("1.6147805824397E13", "16147805824397"),
            ("-2.0E-5", "-0.00002"),
            ("12.50", "12.5"),
            ("007", "7"),
            ("0.05", "0.05"),
            ("123.456e1", "1234.56"),
        ] {
            assert_eq!(canonical_number(text), expected, "{text}");
        }
    }

    #[test]
    fn empty_text_is_null() {
        assert_eq!(Value::text(""), Value::Null);
        assert_eq!(Value::text("NA").canonical().as_deref(), Some("NA"));
    }
}
