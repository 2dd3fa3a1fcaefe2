//! Values of rows: each a function of (seed, id, number of the version), so that a test can tell a stale
//! or an invented row from the right one by its payload.
//!
//! Fields are of three sorts. *Managed* ones are set by the story and kept otherwise: references,
//! amounts, stages, stamps. *Fixed* ones follow from the id: names, addresses. All others *move* with
//! every version of the row.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use overlock_core::{Error, ErrorKind, Result, Timestamp};
use overlock_sandbox::company;

use crate::emulator::model::{Computed, Field, FieldKind, Object, Row, Value};
use crate::emulator::world::World;

use super::dice::Dice;
use super::numbers::{cents, date, decimal, exponent, ratio};
use super::objects::STAGES;
use super::words;

/// A version of a row in the making.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    object: &'a Object,
    values: Vec<Value>,
}

impl<'a> Draft<'a> {
    /// Begins with the values of the version before, if there is one.
    pub(crate) fn new(object: &'a Object, before: &[Value], slots: usize) -> Self {
        let mut values = before.to_vec();
        values.resize(slots.max(before.len()), Value::Null);
        Self { object, values }
    }

    /// Sets a field; does nothing if the object has no such field.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        let slot = self.slot(name);
        if let Some(place) = slot.and_then(|slot| self.values.get_mut(slot)) {
            *place = value;
        }
    }

    /// Sets a field that must be there.
    pub(crate) fn set_checked(&mut self, name: &str, value: Value) -> Result<()> {
        if self.slot(name).is_none() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "find the field `{}.{name}` in the emulated org",
                    self.object.name
                ),
            ));
        }
        self.set(name, value);
        Ok(())
    }

    /// The value of a field; null if there is no such field.
    pub(crate) fn get(&self, name: &str) -> &Value {
        self.slot(name)
            .and_then(|slot| self.values.get(slot))
            .unwrap_or(&Value::Null)
    }

    /// The finished values.
    pub(crate) fn into_values(self) -> Arc<[Value]> {
        self.values.into()
    }

    fn slot(&self, name: &str) -> Option<usize> {
        let mut fields = self.object.fields.iter();
        fields
            .find(|field| field.name == name)
            .map(|field| field.slot)
    }
}

enum Sort {
    Managed,
    Fixed,
    Moving,
}

/// Gives every field of a new version its generated value.
pub(crate) fn fill(draft: &mut Draft<'_>, seed: u64, id: &str, number: u32) {
    let object = draft.object;
    let version = number.to_string();
    for field in &object.fields {
        let Some(before) = draft.values.get(field.slot) else {
            continue;
        };
        let value = match sort(&object.name, field) {
            Sort::Managed if number == 1 && field.kind == FieldKind::Boolean => Value::Bool(false),
            Sort::Managed => continue,
            Sort::Fixed if !before.is_null() => continue,
            Sort::Fixed => {
                let mut dice = Dice::new(seed, &[&object.name, id, &field.name]);
                make(&object.name, field, seed, id, 1, &mut dice)
            }
            Sort::Moving => {
                let mut dice = Dice::new(seed, &[&object.name, id, &field.name, &version]);
                make(&object.name, field, seed, id, number, &mut dice)
            }
        };
        if let Some(place) = draft.values.get_mut(field.slot) {
            *place = value;
        }
    }
}

/// Objects whose rows are written by the story down to the last field.
const WRITTEN: &[&str] = &[
    "OpportunityHistory",
    "OpportunityFieldHistory",
    "OpportunityContactRole",
    "OpportunityLineItem",
    "CampaignMember",
    "PricebookEntry",
    "Pricebook2",
    "RecordType",
    "TaskStatus",
    "AppDefinition",
];

const MANAGED: &[&str] = &[
    "IsDeleted",
    "CreatedDate",
    "LastModifiedDate",
    "SystemModstamp",
    "LastViewedDate",
    "LastReferencedDate",
    "LastActivityDate",
    "IsConverted",
    "ConvertedDate",
    "EmailBouncedReason",
    "EmailBouncedDate",
    "IsEmailBounced",
    "LastCURequestDate",
    "LastCUUpdateDate",
    "StageName",
    "Amount",
    "Probability",
    "TotalOpportunityQuantity",
    "CloseDate",
    "IsClosed",
    "IsWon",
    "ForecastCategory",
    "ForecastCategoryName",
    "HasOpportunityLineItem",
    "LastStageChangeDate",
    "FiscalQuarter",
    "FiscalYear",
    "Fiscal",
    "PushCount",
    "HasOpenActivity",
    "HasOverdueTask",
    "WhoCount",
    "WhatCount",
    "IsHighPriority",
    "IsArchived",
    "CompletedDateTime",
    "IsRecurrence",
    "ReminderDateTime",
    "IsReminderSet",
    "IsChild",
    "IsGroupEvent",
    "NumberOfLeads",
    "IsActive",
    "NumberOfConvertedLeads",
    "NumberOfContacts",
    "NumberOfResponses",
    "NumberOfOpportunities",
    "NumberOfWonOpportunities",
    "AmountAllOpportunities",
    "AmountWonOpportunities",
    "HierarchyNumberOfLeads",
    "ActivityDate",
    "ActivityDateTime",
    "StartDateTime",
    "EndDateTime",
    "EndDate",
    "DurationInMinutes",
    "IsAllDayEvent",
    "LastLoginDate",
    "CurrencyIsoCode",
    "IsRecurrence2Exclusion",
    "Recurrence2PatternText",
    "BodyLength",
    "Body",
    "ContentType",
];

const FIXED: &[&str] = &[
    "Name",
    "FirstName",
    "LastName",
    "Salutation",
    "Company",
    "CompanyName",
    "Email",
    "Username",
    "Alias",
    "CommunityNickname",
    "Website",
    "PhotoUrl",
    "AccountNumber",
    "TickerSymbol",
    "Sic",
    "SicDesc",
    "NaicsCode",
    "NaicsDesc",
    "YearStarted",
    "DunsNumber",
    "Tradestyle",
    "Industry",
    "LeadSource",
    "AccountSource",
    "Birthdate",
    "ProductCode",
    "StockKeepingUnit",
    "Family",
    "StartDate",
    "Location",
    "Subject",
    "TaskSubtype",
    "EventSubtype",
    "CallType",
    "External_Key__c",
    "EmployeeNumber",
    "FederationIdentifier",
    "TimeZoneSidKey",
    "LocaleSidKey",
    "UserType",
    "LanguageLocaleKey",
    "EmailEncodingKey",
    "Priority",
    "Card__c",
    "Jigsaw",
    "Legacy_Code__c",
    "Opening_Time__c",
];

fn sort(object: &str, field: &Field) -> Sort {
    let name = field.name.as_str();
    let unwritten = matches!(field.kind, FieldKind::Id | FieldKind::Reference)
        || field.kind.is_compound()
        || field.calculated;
    let story = match object {
        "Task" | "Lead" | "CampaignMember" => name == "Status",
        "Opportunity" => name == "Type" || name == "Name",
        "Invoice__c" => matches!(name, "Amount__c" | "Status__c" | "Paid_At__c" | "Issued__c"),
        "Campaign" => name == "Name" || name == "Status",
        "Product2" => matches!(name, "Name" | "Family" | "ProductCode"),
        _ => false,
    };
    if unwritten || story || WRITTEN.contains(&object) || name.starts_with("Recurrence") {
        return Sort::Managed;
    }
    if MANAGED.contains(&name) {
        return Sort::Managed;
    }
    if FIXED.contains(&name) || field.compound.is_some() || name.starts_with("UserPreferences") {
        return Sort::Fixed;
    }
    Sort::Moving
}

/// One value of the field's type. Every sixth value of a field that may be null is null.
fn make(object: &str, field: &Field, seed: u64, id: &str, number: u32, dice: &mut Dice) -> Value {
    let name = field.name.as_str();
    let needed = matches!(
        name,
        "LastName" | "Name" | "Company" | "Description" | "Email" | "Alias"
    );
    if field.nillable && !needed && field.compound.is_none() && dice.chance(1, 6) {
        return Value::Null;
    }
    let serial = company::serial(id);
    match (object, name) {
        ("Account", "Name") => return Value::text(company::account_name(seed, id)),
        ("Account", "Website") => {
            // Domain and web site are one draw, the missing ones above included.
            return company::account_domain(seed, id).map_or(Value::Null, |domain| {
                Value::text(format!("https://www.{domain}/?a=1&b=2"))
            });
        }
        ("Contact", "Email") => return Value::text(company::contact_email(seed, id)),
        ("Contact", "FirstName") => return Value::text(company::contact_name(seed, id).0),
        ("Contact", "LastName") => return Value::text(company::contact_name(seed, id).1),
        _ => {}
    }
    match field.kind {
        FieldKind::Boolean => Value::Bool(dice.chance(1, 4)),
        FieldKind::Int => Value::Int(match name {
            "NumberOfEmployees" => dice.between(1, 25_000),
            _ => dice.between(0, 10_i64.pow(field.digits.clamp(1, 6)) - 1),
        }),
        FieldKind::Long => Value::Int(dice.between(0, i64::MAX / 4)),
        FieldKind::Currency | FieldKind::Double | FieldKind::Percent => match field.compound {
            Some(_) => place(seed, id, field),
            None => amount(field, dice),
        },
        FieldKind::Date => date(NaiveDate::from_ymd_opt(2019, 1, 1), dice.between(0, 2500)),
        FieldKind::Datetime => Timestamp::from_seconds(dice.between(1_577_836_800, 1_735_689_600))
            .map_or(Value::Null, Value::DateTime),
        FieldKind::Time => {
            let (hour, minute) = (dice.between(0, 23), dice.between(0, 59));
            Value::Time(format!("{hour:02}:{minute:02}:00.000Z").into())
        }
        FieldKind::Picklist if field.compound.is_none() || name == "Salutation" => {
            choice(field, dice)
        }
        FieldKind::Picklist => place(seed, id, field),
        FieldKind::Combobox => choice(field, dice),
        FieldKind::Multipicklist => {
            let all = field.picklist.iter().map(String::as_str);
            let some: Vec<_> = all.filter(|_| dice.chance(1, 2)).collect();
            Value::text(some.join(";"))
        }
        FieldKind::Email => {
            let host = dice.word(words::COMPANY_STEMS).to_lowercase();
            let user = if object == "User" { "staff" } else { "person" };
            Value::text(format!("{user}.{}@{host}.example", serial.to_lowercase()))
        }
        FieldKind::Phone => Value::text(format!("+1 555 {:07}", dice.between(0, 9_999_999))),
        FieldKind::Url if name == "PhotoUrl" => Value::text(format!("/services/images/photo/{id}")),
        FieldKind::Url => {
            let host = dice.word(words::COMPANY_STEMS).to_lowercase();
            Value::text(format!("https://www.{host}-{serial}.example/?a=1&b=2"))
        }
        FieldKind::Encrypted => Value::text(format!("************{:04}", dice.between(0, 9999))),
        FieldKind::Text | FieldKind::Textarea if field.compound.is_some() => {
            person_or_place(seed, id, field, dice)
        }
        FieldKind::Text | FieldKind::Textarea => {
            let text = text(object, field, id, serial, number, dice);
            let limit = usize::try_from(field.length).unwrap_or(usize::MAX);
            Value::text(text.chars().take(limit).collect::<String>())
        }
        FieldKind::Id
        | FieldKind::Reference
        | FieldKind::Base64
        | FieldKind::Address
        | FieldKind::Location
        | FieldKind::Any
        | FieldKind::Complex => Value::Null,
    }
}

fn text(
    object: &str,
    field: &Field,
    id: &str,
    serial: &str,
    number: u32,
    dice: &mut Dice,
) -> String {
    let name = field.name.as_str();
    match (object, name) {
        (_, "Company" | "CompanyName" | "Tradestyle") => format!(
            "{} {} {serial}",
            dice.word(words::COMPANY_STEMS),
            dice.word(words::COMPANY_TAILS)
        ),
        ("Attachment", "Name") => format!("contract-{serial}.pdf"),
        ("User", "Username") => format!("user.{serial}@overlock.example").to_lowercase(),
        ("User", "Alias") => format!("u{serial}").chars().take(8).collect(),
        ("User", "CommunityNickname") => format!("nick-{serial}"),
        (_, "Title") => dice.word(words::TITLES).to_owned(),
        (_, "Department" | "Division") => dice.word(words::DEPARTMENTS).to_owned(),
        (_, "AccountNumber" | "YearStarted" | "Sic" | "DunsNumber" | "NaicsCode") => {
            // Leading zeros must survive.
            format!(
                "{:0width$}",
                dice.below(1900),
                width = field.length.min(9) as usize
            )
        }
        (_, "Support_Level__c") => dice.between(1, 9).to_string(),
        (_, "External_Key__c") => format!("EXT-{id}"),
        _ if field.html => format!(
            "<p>Version {number} of {id}</p>\r\n<ul><li>{}</li></ul>",
            dice.word(words::PHRASES)
        ),
        _ if field.length > 255 => format!(
            "{}\nversion {number} of {id}: {}",
            dice.word(words::PHRASES),
            dice.next()
        ),
        _ => format!(
            "{} {number}/{}",
            dice.word(words::PHRASES),
            dice.below(1_000_000)
        ),
    }
}

/// Parts of a person's name and of an address agree with each other: they draw from the same dice.
fn person_or_place(seed: u64, id: &str, field: &Field, dice: &mut Dice) -> Value {
    match field.name.as_str() {
        "FirstName" => Value::text(dice.word(words::FIRST_NAMES)),
        "LastName" => Value::text(dice.word(words::LAST_NAMES)),
        _ => place(seed, id, field),
    }
}

fn place(seed: u64, id: &str, field: &Field) -> Value {
    let compound = field.compound.as_deref().unwrap_or_default();
    let mut dice = Dice::new(seed, &["place", id, compound]);
    // One address in eight is empty.
    if dice.chance(1, 8) {
        return Value::Null;
    }
    let (city, state, country, code, latitude, longitude) =
        dice.pick(words::PLACES, ("", "", "", "", 0, 0));
    let number = dice.between(1, 240);
    let (street, floor) = (dice.word(words::STREETS), dice.between(1, 9));
    let located = dice.chance(1, 2);
    let name = field.name.trim_end_matches("__s");
    let coordinate = |millionths: i64| {
        if located {
            decimal(i128::from(millionths), 6)
        } else {
            Value::Null
        }
    };
    if name.ends_with("Street") {
        Value::text(format!("{number} {street}\r\nFloor {floor}"))
    } else if name.ends_with("City") {
        Value::text(city)
    } else if name.ends_with("State") {
        Value::text(state)
    } else if name.ends_with("PostalCode") {
        Value::text(code)
    } else if name.ends_with("Country") {
        Value::text(country)
    } else if name.ends_with("Latitude") {
        coordinate(latitude)
    } else if name.ends_with("Longitude") {
        coordinate(longitude)
    } else if located {
        Value::text("Address")
    } else {
        Value::Null
    }
}

fn choice(field: &Field, dice: &mut Dice) -> Value {
    let all: Vec<_> = field.picklist.iter().map(String::as_str).collect();
    Value::text(dice.word(&all))
}

fn amount(field: &Field, dice: &mut Dice) -> Value {
    let digits = field.precision.saturating_sub(field.scale).min(9);
    let whole = dice.between(0, 10_i64.pow(digits.max(1)) - 1);
    let fraction = dice.between(0, 10_i64.pow(field.scale.min(9)) - 1);
    let unscaled = i128::from(whole) * 10_i128.pow(field.scale.min(9)) + i128::from(fraction);
    // Large amounts come in the notation of Java's Double.toString.
    if whole >= 10_000_000 && field.scale == 0 {
        return exponent(whole);
    }
    decimal(unscaled, field.scale.min(9))
}

/// Values that follow from others of the same row.
pub(crate) fn finish(draft: &mut Draft<'_>) {
    let object = draft.object.name.as_str();
    if matches!(object, "Contact" | "Lead" | "User") {
        let parts = ["FirstName", "LastName"].map(|name| draft.get(name).clone());
        let parts: Vec<_> = parts.iter().filter_map(Value::as_text).collect();
        draft.set("Name", Value::text(parts.join(" ")));
    }
    if object == "Opportunity" || object == "OpportunityHistory" {
        finish_sale(draft);
    }
    if object == "Task" {
        let closed = draft.get("Status").as_text() == Some("Completed");
        let high = draft.get("Priority").as_text() == Some("High");
        draft.set("IsClosed", Value::Bool(closed));
        draft.set("IsHighPriority", Value::Bool(high));
    }
}

fn finish_sale(draft: &mut Draft<'_>) {
    let stage = draft.get("StageName").clone();
    let found = STAGES
        .iter()
        .find(|(name, ..)| stage.as_text() == Some(*name));
    let Some(&(name, probability, category, category_name)) = found else {
        return;
    };
    draft.set("Probability", decimal(i128::from(probability), 0));
    draft.set("IsClosed", Value::Bool(name.starts_with("Closed")));
    draft.set("IsWon", Value::Bool(name == "Closed Won"));
    draft.set("ForecastCategory", Value::text(category));
    draft.set("ForecastCategoryName", Value::text(category_name));
    let expected = match draft.get("Amount") {
        Value::Null => Value::Null,
        amount => {
            let product = i128::from(cents(amount)) * i128::from(probability);
            decimal((product + 50).div_euclid(100), 2)
        }
    };
    draft.set("ExpectedRevenue", expected);
    let Value::Date(close) = draft.get("CloseDate").clone() else {
        return;
    };
    if let Ok(close) = NaiveDate::parse_from_str(&close, "%Y-%m-%d") {
        let quarter = (close.month() - 1) / 3 + 1;
        draft.set("FiscalYear", Value::Int(i64::from(close.year())));
        draft.set("FiscalQuarter", Value::Int(i64::from(quarter)));
        draft.set("Fiscal", Value::text(format!("{} {quarter}", close.year())));
    }
}

/// The value of a formula as a read at `t` shows it.
pub(crate) fn compute(world: &World, row: &Row, computed: &Computed, t: Timestamp) -> Value {
    let own = |name: &str| world.stored_at(row, name);
    match computed {
        Computed::Parent {
            reference,
            object,
            field,
        } => {
            let id = own(reference);
            let parent = id.as_text().and_then(|id| world.row_at(object, id, t));
            parent.map_or(Value::Null, |parent| {
                world.value_by_name(object, &parent, field, t)
            })
        }
        Computed::AgeDays => match own("CreatedDate") {
            Value::DateTime(created) => {
                let days = t.since(created).as_secs() / 86_400;
                decimal(i128::from(days), 0)
            }
            _ => Value::Null,
        },
        Computed::Ratio {
            field,
            numerator,
            denominator,
        } => match own(field) {
            Value::Number(text) => ratio(&text, *numerator, *denominator),
            Value::Int(whole) => ratio(&whole.to_string(), *numerator, *denominator),
            _ => Value::Null,
        },
    }
}
