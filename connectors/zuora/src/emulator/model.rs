//! What a tenant consists of: objects with fields and relations, and rows of values.

use std::collections::BTreeMap;

use overlock_core::Timestamp;

/// The type of a field, as Describe spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `text`.
    Text,
    /// `longtext`.
    LongText,
    /// `picklist`.
    Picklist,
    /// `ZOQL`.
    Zoql,
    /// `boolean`.
    Boolean,
    /// `integer`.
    Integer,
    /// `decimal`.
    Decimal,
    /// `Decimal`, capitalised as some tenants show it.
    CapitalDecimal,
    /// `number`.
    Number,
    /// `date`.
    Date,
    /// `datetime`.
    DateTime,
    /// `timestamp`.
    Timestamp,
    /// A type that nobody has heard of.
    Unheard(&'static str),
}

impl Kind {
    /// Its name in Describe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::LongText => "longtext",
            Self::Picklist => "picklist",
            Self::Zoql => "ZOQL",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::CapitalDecimal => "Decimal",
            Self::Number => "number",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Timestamp => "timestamp",
            Self::Unheard(name) => name,
        }
    }
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// API name, in the canonical spelling.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Describe says `selectable`.
    pub selectable: bool,
    /// Describe lists the context `export`. A query for another field is refused: "There is no field named X".
    pub export: bool,
    /// Describe says `custom`.
    pub custom: bool,
    /// The spelling of headers in result files, where it differs from `name` in case (`Mrr` for `MRR`).
    pub header: Option<String>,
    /// It exists from this instant on.
    pub since: Option<Timestamp>,
    /// It is gone from this instant on.
    pub until: Option<Timestamp>,
}

impl Field {
    /// An exportable standard field.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            selectable: true,
            export: true,
            custom: name.ends_with("__c") || name.ends_with("__QT") || name.ends_with("__NS"),
            header: None,
            since: None,
            until: None,
        }
    }

    /// Whether it is there at an instant.
    pub fn exists(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// A parent that an object's rows name by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Name of the relation, such as `BillToContact`.
    pub name: String,
    /// The object it leads to, such as `Contact`.
    pub object: String,
    /// A query that joins it fails the whole job, as `SubscriptionStatusHistory` does.
    pub poisonous: bool,
}

/// The field that says when a row changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKey {
    /// `UpdatedDate`: nearly every object.
    UpdatedDate,
    /// `UpdatedOn`.
    UpdatedOn,
    /// `TransactionDate` only.
    TransactionDate,
    /// Nothing.
    None,
}

impl ChangeKey {
    /// The field's name.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::UpdatedDate => Some("UpdatedDate"),
            Self::UpdatedOn => Some("UpdatedOn"),
            Self::TransactionDate => Some("TransactionDate"),
            Self::None => None,
        }
    }
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about an object, each of its own"
)]
pub struct Object {
    /// API name, in the canonical spelling.
    pub name: String,
    /// Own fields, `Id` among them.
    pub fields: Vec<Field>,
    /// Parents.
    pub related: Vec<Related>,
    /// The field that says when a row changed.
    pub change: ChangeKey,
    /// Deleted rows can be queried.
    pub deletes: bool,
    /// AQuA knows it; otherwise Describe lists it and a query is refused.
    pub aqua: bool,
    /// Its table in Data Query, lower case; `None`: it has none.
    pub table: Option<String>,
    /// Its plural in Object Query; `None`: it has none.
    pub plural: Option<String>,
    /// The legacy data source export knows it.
    pub data_source: bool,
    /// Describe lists it.
    pub described: bool,
    /// The user may not read it: the query is dropped from the job without a word (90018).
    pub forbidden: bool,
}

impl Object {
    /// An own field by its name, whatever the case.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// A relation by its name, whatever the case.
    pub fn relation(&self, name: &str) -> Option<&Related> {
        self.related
            .iter()
            .find(|related| related.name.eq_ignore_ascii_case(name))
    }
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// Text, also of picklists.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// A number in plain decimal digits, exactly as it is written to files.
    Number(String),
    /// A date, `YYYY-MM-DD`.
    Date(String),
    /// An instant, whole seconds.
    Time(Timestamp),
}

/// A row as it stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Values of own fields by their canonical names, `Id` and the stamp included; what is missing is null.
    pub values: BTreeMap<String, Value>,
    /// Ids of parents by the name of the relation.
    pub parents: BTreeMap<String, String>,
    /// It was deleted.
    pub deleted: bool,
    /// The entity it belongs to, in a tenant that has several; an index into the tenant's entities.
    pub entity: usize,
}

impl Row {
    /// The value of an own field; null if it has none.
    pub fn value(&self, field: &str) -> &Value {
        self.values.get(field).unwrap_or(&Value::Null)
    }

    /// The stamp by which its object is read.
    pub fn stamp(&self, change: ChangeKey) -> Option<Timestamp> {
        match self.value(change.field()?) {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }
}
