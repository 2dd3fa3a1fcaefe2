//! One transaction: rows that come, change and go together, with one stamp, visible at one instant.

use overlock_sandbox::company::Dice;

use crate::emulator::model::{Kind, Row, Value};
use crate::emulator::world::World;

use super::days::{Day, Sec, instant};
use super::money::Money;
use super::words;

/// Values of a row by field.
pub(super) type Values = Vec<(&'static str, Value)>;

/// What can be the value of a field.
pub(super) trait Cell {
    fn cell(self) -> Value;
}

impl Cell for Value {
    fn cell(self) -> Value {
        self
    }
}

impl Cell for &str {
    fn cell(self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Cell for String {
    fn cell(self) -> Value {
        Value::Text(self)
    }
}

impl Cell for &String {
    fn cell(self) -> Value {
        Value::Text(self.clone())
    }
}

impl Cell for bool {
    fn cell(self) -> Value {
        Value::Boolean(self)
    }
}

impl Cell for i64 {
    fn cell(self) -> Value {
        Value::Number(self.to_string())
    }
}

impl Cell for Money {
    fn cell(self) -> Value {
        Value::Number(self.to_string())
    }
}

impl Cell for Day {
    fn cell(self) -> Value {
        Value::Date(self.text())
    }
}

impl<T: Cell> Cell for Option<T> {
    fn cell(self) -> Value {
        self.map_or(Value::Null, Cell::cell)
    }
}

/// An instant as a value.
pub(super) fn time(at: Sec) -> Value {
    Value::Time(instant(at))
}

/// Values by the names of fields.
macro_rules! row {
    ($($name:ident: $value:expr),* $(,)?) => {
        Vec::from([$((stringify!($name), crate::emulator::data::deal::Cell::cell($value))),*])
    };
}
pub(super) use row;

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Deal<'a> {
    pub(super) world: &'a mut World,
    pub(super) dice: Dice,
    /// What `UpdatedDate` will say.
    pub(super) stamp: Sec,
    /// When it commits. Never before `stamp`, and less than two hours after it.
    pub(super) visible: Sec,
    /// Number of the account that it is about; 0 if it is about none.
    pub(super) account: u64,
    user: String,
}

impl<'a> Deal<'a> {
    pub(super) fn new(world: &'a mut World, mut dice: Dice, stamp: Sec) -> Self {
        let user = user_id(dice.below(6));
        Self {
            world,
            dice,
            stamp,
            visible: stamp,
            account: 0,
            user,
        }
    }

    pub(super) fn today(&self) -> Day {
        Day::of(self.stamp)
    }

    /// An id nobody has.
    fn fresh_id(&mut self, object: &str) -> String {
        let number = self.world.story.next_id();
        let mut dice = Dice::numbered(self.world.options.seed, object, number);
        let prefix = dice.word(&["2c92", "8ad0", "8a8a", "4028"]);
        let (middle, end) = (dice.below(1 << 48), number & 0xFFFF_FFFF);
        let kind = Dice::new(0, &[object]).below(1 << 32);
        format!("{prefix}{middle:012x}{kind:08x}{end:08x}")
    }

    /// Adds a row and returns its id. Parents are given as relation and id; an empty id is no parent.
    pub(super) fn insert(
        &mut self,
        object: &str,
        values: Values,
        parents: &[(&str, &str)],
    ) -> String {
        let id = self.fresh_id(object);
        let Some(table) = self.world.tables.get(object) else {
            return id;
        };
        let mut dice = Dice::new(self.world.options.seed, &["fill", &id]);
        let mut row = Row {
            id: id.clone(),
            values: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            parents: std::collections::BTreeMap::new(),
            deleted: false,
            entity: self.world.entity_of(self.account),
        };
        for (relation, parent) in parents.iter().filter(|(_, parent)| !parent.is_empty()) {
            row.parents
                .insert((*relation).to_owned(), (*parent).to_owned());
        }
        for field in &table.object.fields {
            let name = field.name.as_str();
            if row.values.contains_key(name) {
                continue;
            }
            let parent = name
                .strip_suffix("Id")
                .and_then(|name| row.parents.get(name));
            let value = match name {
                "Id" => Value::Text(id.clone()),
                "CreatedDate" | "UpdatedDate" | "TransactionDate" => time(self.stamp),
                "CreatedById" | "UpdatedById" => Value::Text(self.user.clone()),
                _ => parent.map_or_else(
                    || filling(&mut dice, name, field.kind),
                    |id| Value::Text(id.clone()),
                ),
            };
            row.values.insert(name.to_owned(), value);
        }
        row.values.retain(|_, value| *value != Value::Null);
        self.world.story.own(&id, self.account);
        self.world.put(object, row, instant(self.visible));
        id
    }

    /// Changes a row, with a new stamp.
    pub(super) fn change(&mut self, object: &str, id: &str, mut values: Values) {
        values.push(("UpdatedById", Value::Text(self.user.clone())));
        let stamp = Some(instant(self.stamp));
        self.world
            .update(object, id, &values, stamp, instant(self.visible));
    }

    /// Changes a row without any trace in its stamp.
    pub(super) fn silently(&mut self, object: &str, id: &str, values: &[(&str, Value)]) {
        self.world
            .update(object, id, values, None, instant(self.visible));
    }

    /// Changes the parent that a row has by a relation; nothing else.
    pub(super) fn adopt(&mut self, object: &str, id: &str, relation: &str, parent: &str) {
        self.world
            .adopt(object, id, relation, parent, instant(self.visible));
    }

    /// Deletes a row; it can be seen as deleted for a while.
    pub(super) fn delete(&mut self, object: &str, id: &str) {
        let (stamp, visible) = (instant(self.stamp), instant(self.visible));
        self.world.delete_late(object, id, stamp, visible);
    }
}

/// Fields that few rows have, most of them null.
fn sparse(dice: &mut Dice, name: &str) -> Option<Value> {
    let is_there = dice.chance(1, 4);
    let value = match name {
        "PriceIncreasePercentage" | "DiscountPercentage" | "InternalScore" => {
            Money::of(dice.between(-50_000, 250_000), 4).cell()
        }
        "MinQuantity" | "MaxQuantity" => Money::of(dice.between(1, 90_000), 1).cell(),
        "UpToPeriods" | "SpecificBillingPeriod" | "MaxConsecutivePaymentFailures" => {
            dice.between(1, 24).cell()
        }
        "TaxExemptEffectiveDate"
        | "TaxExemptExpirationDate"
        | "MandateUpdateDate"
        | "SpecificEndDate"
        | "ScheduledDate" => Day(dice.between(17_500, 22_000)).cell(),
        "LastEmailSentDate" | "LastFailedSaleTransactionDate" | "MarkedForSubmissionOn" => {
            time(dice.between(1_700_000_000, 1_760_000_000))
        }
        "PersonalEmail" | "PaypalEmail" | "Cc" => {
            format!("someone.{}@mail.example", dice.below(9_000)).cell()
        }
        "NickName" | "CustomerServiceRepName" => dice.word(words::NICKNAMES).cell(),
        "State" | "County" | "TaxRegion" | "LocationCode" => dice.word(words::REGIONS).cell(),
        "BatchId" | "AuthTransactionId" | "SecondPaymentReferenceId" => {
            format!("{:012}", dice.below(1_000_000_000)).cell()
        }
        // Nobody may see it: whatever shows it has asked for a field that cannot be selected.
        "CreditCardNumber" => return Some("4000 canary 0000 0002".cell()),
        _ => return None,
    };
    Some(if is_there { value } else { Value::Null })
}

/// Ids of users of old tenants are short; here all are long.
fn user_id(number: u64) -> String {
    format!("2c92c0f9{:016x}{number:08x}", 0x6162_0000_u64 + number)
}

/// A value for a field on which nothing depends.
fn filling(dice: &mut Dice, name: &str, kind: Kind) -> Value {
    let choices = words::choices(name);
    if let Some(value) = sparse(dice, name) {
        return value;
    }
    match kind {
        Kind::Picklist if !choices.is_empty() => dice.word(choices).cell(),
        Kind::Boolean => dice.chance(1, 5).cell(),
        Kind::Text if name.ends_with("Id") || name.ends_with("ById") => Value::Null,
        Kind::Text if name.ends_with("Phone") || name == "Fax" => {
            let number = format!("+1 (555) {:07}", dice.below(9_999_999));
            dice.chance(1, 3).then_some(number).cell()
        }
        Kind::Text if name == "LegacyId__c" => {
            // It looks like a number and is none: the zeros in front matter.
            format!("{:07}", dice.below(90_000)).cell()
        }
        Kind::Text if name == "IntegrationId__NS" || name == "IntegrationStatus__NS" => dice
            .chance(2, 3)
            .then(|| format!("NS-{}", dice.below(100_000)))
            .cell(),
        Kind::Text
            if ["Notes", "Description", "Comment", "Comments", "Remarks"].contains(&name)
                || name.ends_with("__QT") =>
        {
            let text = dice.word(words::REMARKS);
            dice.chance(1, 3).then_some(text).cell()
        }
        Kind::LongText => {
            let count = dice.below(6);
            let text: Vec<&str> = (0..count).map(|_| dice.word(words::REMARKS)).collect();
            (count > 0).then(|| text.join(". ")).cell()
        }
        Kind::Zoql => "select Id from Account where Status = 'Active'".cell(),
        Kind::Number => Money::of(dice.between(-50_000, 50_000), 4).cell(),
        Kind::CapitalDecimal => Money::of(dice.between(-9, 9), 3).cell(),
        Kind::Timestamp => {
            let (hour, minute) = (dice.below(24), dice.below(60));
            format!("2026-01-05 {hour:02}:{minute:02}:07.125").cell()
        }
        Kind::Unheard(_) => format!("POINT ({} {})", dice.below(180), dice.below(90)).cell(),
        _ => Value::Null,
    }
}
