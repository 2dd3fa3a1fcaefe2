//! Events of sales: leads that convert, opportunities that advance, line items that change. Each writes
//! the histories that go with it, inside the same transaction.

use std::sync::Arc;

use overlock_core::Result;

use crate::emulator::model::Value;

use super::numbers::{cents, date, day, decimal, money};
use super::objects;
use super::scene::Scene;

impl Scene<'_> {
    pub(super) fn convert_lead(&mut self) -> Result<()> {
        let Some(lead) = self.some_where("Lead", |scene, id| {
            scene.world.stored("Lead", id, "IsConverted") == Value::Bool(false)
        }) else {
            return Ok(());
        };
        let members = self.children("CampaignMember", "LeadId", &lead);
        if members
            .iter()
            .any(|id| !self.world.is_live("CampaignMember", id, self.at))
        {
            return Ok(());
        }
        let stored = |scene: &Self, name: &str| scene.world.stored("Lead", &lead, name);
        let mut of_account = vec![("OwnerId", Value::text(&self.user))];
        for (account_field, lead_field) in [
            ("BillingStreet", "Street"),
            ("BillingCity", "City"),
            ("BillingState", "State"),
            ("BillingPostalCode", "PostalCode"),
            ("BillingCountry", "Country"),
            ("Industry", "Industry"),
        ] {
            of_account.push((account_field, stored(self, lead_field)));
        }
        let account = if self.dice.chance(1, 4) {
            self.some("Account")
        } else {
            None
        };
        let account = match account {
            Some(account) => account,
            None => self.insert("Account", of_account)?,
        };
        let mut of_contact = vec![
            ("AccountId", Value::text(&account)),
            ("OwnerId", Value::text(&self.user)),
        ];
        for name in ["Salutation", "Phone", "Title", "LeadSource"] {
            of_contact.push((name, stored(self, name)));
        }
        let contact = self.insert("Contact", of_contact)?;
        let campaign = members
            .first()
            .map(|member| self.world.stored("CampaignMember", member, "CampaignId"));
        let sale = if self.dice.chance(4, 5) {
            Some(self.new_sale(&account, Some(&contact), campaign.clone())?)
        } else {
            None
        };
        // Whoever converts brings the lead in line: accounts and contacts are the company's customers, whose
        // names other systems know as well.
        let of =
            |scene: &Self, object: &str, id: &str, name: &str| scene.world.stored(object, id, name);
        let changes = vec![
            ("Company", of(self, "Account", &account, "Name")),
            ("Website", of(self, "Account", &account, "Website")),
            ("FirstName", of(self, "Contact", &contact, "FirstName")),
            ("LastName", of(self, "Contact", &contact, "LastName")),
            ("Email", of(self, "Contact", &contact, "Email")),
            ("Status", Value::text("Closed - Converted")),
            ("IsConverted", Value::Bool(true)),
            ("IsUnreadByOwner", Value::Bool(false)),
            ("ConvertedDate", day(self.at, 0)),
            ("ConvertedAccountId", Value::text(&account)),
            ("ConvertedContactId", Value::text(&contact)),
            (
                "ConvertedOpportunityId",
                sale.map_or(Value::Null, Value::text),
            ),
        ];
        self.update("Lead", &lead, changes)?;
        for member in members {
            let changes = vec![
                ("ContactId", Value::text(&contact)),
                ("LeadOrContactId", Value::text(&contact)),
                ("Type", Value::text("Contact")),
            ];
            self.update("CampaignMember", &member, changes)?;
        }
        match campaign.as_ref().and_then(Value::as_text) {
            Some(campaign) => self.roll_up(campaign),
            None => Ok(()),
        }
    }

    pub(super) fn new_sale_somewhere(&mut self) -> Result<()> {
        let Some(account) = self.some("Account") else {
            return Ok(());
        };
        let contacts = self.children("Contact", "AccountId", &account);
        let contact = contacts.first().cloned();
        let campaign = if self.dice.chance(1, 4) {
            self.some("Campaign")
        } else {
            None
        };
        let campaign_value = campaign.as_ref().map(Value::text);
        self.new_sale(&account, contact.as_deref(), campaign_value)?;
        match campaign {
            Some(campaign) => self.roll_up(&campaign),
            None => Ok(()),
        }
    }

    pub(super) fn new_sale(
        &mut self,
        account: &str,
        contact: Option<&str>,
        campaign: Option<Value>,
    ) -> Result<Arc<str>> {
        let items = if self.dice.chance(4, 5) {
            self.draw_items()
        } else {
            Vec::new()
        };
        let amount = match items.is_empty() {
            true if self.dice.chance(1, 4) => Value::Null,
            true => money(self.dice.between(100, 900_000_000)),
            false => money(items.iter().map(|item| item.total).sum()),
        };
        let quantity: i64 = items.iter().map(|item| item.quantity).sum();
        let stage = self.dice.word(&["Prospecting", "Qualification"]);
        let close = day(self.at, self.dice.between(14, 200));
        let name = self.world.stored("Account", account, "Name");
        let kinds = objects::picklist("Opportunity", "Type");
        let books = self.world.ids("Pricebook2").first().cloned();
        let types = self.world.ids("RecordType").to_vec();
        let record_type = usize::try_from(self.dice.below(types.len() as u64)).unwrap_or(0);
        let changes = vec![
            ("AccountId", Value::text(account)),
            ("ContactId", contact.map_or(Value::Null, Value::text)),
            (
                "RecordTypeId",
                types.get(record_type).map_or(Value::Null, Value::text),
            ),
            (
                "Name",
                Value::text(cut(
                    &format!("{} - {}", name.as_text().unwrap_or("?"), self.at),
                    120,
                )),
            ),
            ("StageName", Value::text(stage)),
            ("Amount", amount.clone()),
            ("CloseDate", close.clone()),
            ("Type", Value::text(self.dice.word(kinds))),
            ("CampaignId", campaign.unwrap_or(Value::Null)),
            ("HasOpportunityLineItem", Value::Bool(!items.is_empty())),
            (
                "TotalOpportunityQuantity",
                if items.is_empty() {
                    Value::Null
                } else {
                    decimal(quantity.into(), 0)
                },
            ),
            (
                "Pricebook2Id",
                books
                    .filter(|_| !items.is_empty())
                    .map_or(Value::Null, Value::text),
            ),
            ("OwnerId", Value::text(&self.user)),
            ("PushCount", Value::Int(0)),
        ];
        let sale = self.insert("Opportunity", changes)?;
        for (order, item) in items.iter().enumerate() {
            self.insert_item(&sale, order, item)?;
        }
        if let Some(contact) = contact {
            let roles = objects::picklist("OpportunityContactRole", "Role");
            let changes = vec![
                ("OpportunityId", Value::text(&sale)),
                ("ContactId", Value::text(contact)),
                ("Role", Value::text(self.dice.word(roles))),
                ("IsPrimary", Value::Bool(true)),
            ];
            self.insert("OpportunityContactRole", changes)?;
        }
        self.write_history(
            &sale,
            Value::text(stage),
            amount,
            close,
            (Value::Null, Value::Null),
        )?;
        self.write_field_history(&sale, "created", "Text", Value::Null, Value::Null)?;
        Ok(sale)
    }

    fn draw_items(&mut self) -> Vec<Item> {
        let entries = self.world.ids("PricebookEntry").to_vec();
        let mut items = Vec::new();
        for _ in 0..self.dice.between(1, 4) {
            let index = usize::try_from(self.dice.below(entries.len() as u64)).unwrap_or(0);
            let Some(entry) = entries.get(index).cloned() else {
                continue;
            };
            let list = cents(&self.world.stored("PricebookEntry", &entry, "UnitPrice"));
            let unit = list - list * self.dice.between(0, 10) / 100;
            let quantity = self.dice.between(1, 60);
            let discount = if self.dice.chance(1, 3) {
                self.dice.between(1, 4000)
            } else {
                0
            };
            let subtotal = unit * quantity;
            let total = (subtotal * (10_000 - discount) + 5_000).div_euclid(10_000);
            items.push(Item {
                entry,
                list,
                unit,
                quantity,
                discount,
                subtotal,
                total,
            });
        }
        items
    }

    fn insert_item(&mut self, sale: &str, order: usize, item: &Item) -> Result<()> {
        let of_entry = |name: &str| self.world.stored("PricebookEntry", &item.entry, name);
        let changes = vec![
            ("OpportunityId", Value::text(sale)),
            ("PricebookEntryId", Value::text(&item.entry)),
            ("Product2Id", of_entry("Product2Id")),
            ("ProductCode", of_entry("ProductCode")),
            ("Name", of_entry("Name")),
            (
                "SortOrder",
                Value::Int(i64::try_from(order).unwrap_or(0) + 1),
            ),
            ("Quantity", decimal(item.quantity.into(), 0)),
            ("UnitPrice", money(item.unit)),
            ("ListPrice", money(item.list)),
            (
                "Discount",
                if item.discount == 0 {
                    Value::Null
                } else {
                    decimal(item.discount.into(), 2)
                },
            ),
            ("Subtotal", money(item.subtotal)),
            ("TotalPrice", money(item.total)),
            ("ServiceDate", day(self.at, 30)),
        ];
        self.insert("OpportunityLineItem", changes).map(drop)
    }

    pub(super) fn write_history(
        &mut self,
        sale: &str,
        stage: Value,
        amount: Value,
        close: Value,
        (before_amount, before_close): (Value, Value),
    ) -> Result<Arc<str>> {
        let changes = vec![
            ("OpportunityId", Value::text(sale)),
            ("StageName", stage),
            ("Amount", amount),
            ("CloseDate", close),
            ("PrevAmount", before_amount),
            ("PrevCloseDate", before_close),
        ];
        self.insert("OpportunityHistory", changes)
    }

    pub(super) fn write_field_history(
        &mut self,
        sale: &str,
        field: &str,
        kind: &str,
        before: Value,
        after: Value,
    ) -> Result<()> {
        let changes = vec![
            ("OpportunityId", Value::text(sale)),
            ("Field", Value::text(field)),
            ("DataType", Value::text(kind)),
            ("OldValue", before),
            ("NewValue", after),
        ];
        self.insert("OpportunityFieldHistory", changes).map(drop)
    }

    pub(super) fn advance_sale(&mut self) -> Result<()> {
        let Some(sale) = self.some_where("Opportunity", |scene, id| {
            scene.world.stored("Opportunity", id, "IsClosed") == Value::Bool(false)
        }) else {
            return Ok(());
        };
        let stored = |scene: &Self, name: &str| scene.world.stored("Opportunity", &sale, name);
        let (stage, amount, close) = (
            stored(self, "StageName"),
            stored(self, "Amount"),
            stored(self, "CloseDate"),
        );
        let mut changes = Vec::new();
        let mut new_stage = stage.clone();
        let mut new_close = close.clone();
        match self.dice.below(6) {
            0 => {
                // The sale slips.
                if let Value::Date(text) = &close {
                    let from = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
                    new_close = date(from, self.dice.between(7, 60));
                }
                let pushed = match stored(self, "PushCount") {
                    Value::Int(pushed) => pushed + 1,
                    _ => 1,
                };
                changes.push(("PushCount", Value::Int(pushed)));
                self.write_field_history(
                    &sale,
                    "CloseDate",
                    "DateOnly",
                    close.clone(),
                    new_close.clone(),
                )?;
            }
            1 => {
                let owner = self.dice.below(self.world.ids("User").len() as u64);
                let owner = usize::try_from(owner).unwrap_or(0);
                let owner = self
                    .world
                    .ids("User")
                    .get(owner)
                    .cloned()
                    .unwrap_or_default();
                let before = stored(self, "OwnerId");
                let name = |scene: &Self, id: &Value| {
                    scene
                        .world
                        .stored("User", id.as_text().unwrap_or_default(), "Name")
                };
                let after = Value::text(&owner);
                let (name_before, name_after) = (name(self, &before), name(self, &after));
                // A change of a reference is written twice: by label and by id.
                self.write_field_history(&sale, "Owner", "Text", name_before, name_after)?;
                self.write_field_history(&sale, "Owner", "EntityId", before, after.clone())?;
                changes.push(("OwnerId", after));
            }
            _ => {
                let position = objects::STAGES
                    .iter()
                    .position(|(name, ..)| stage.as_text() == Some(*name));
                let next = match (position.unwrap_or(0), self.dice.below(5)) {
                    (_, 0) => 9,
                    (7.., _) => 8,
                    (position, step) => (position + usize::try_from(step).unwrap_or(1)).min(8),
                };
                new_stage = Value::text(
                    objects::STAGES
                        .get(next)
                        .map_or("Closed Lost", |(name, ..)| name),
                );
                changes.push(("LastStageChangeDate", Value::DateTime(self.moment.begin)));
                self.write_field_history(&sale, "StageName", "Text", stage, new_stage.clone())?;
            }
        }
        let before = (
            Value::Null,
            if new_close == close {
                Value::Null
            } else {
                close.clone()
            },
        );
        let history =
            self.write_history(&sale, new_stage.clone(), amount, new_close.clone(), before)?;
        if new_close != close {
            changes.push(("LastCloseDateChangedHistoryId", Value::text(&history)));
        }
        changes.push(("StageName", new_stage));
        changes.push(("CloseDate", new_close));
        self.update("Opportunity", &sale, changes)?;
        match stored(self, "CampaignId").as_text() {
            Some(campaign) => self.roll_up(campaign),
            None => Ok(()),
        }
    }

    /// Replaces the line items of an open sale and so its amount.
    pub(super) fn change_items(&mut self) -> Result<()> {
        let Some(sale) = self.some_where("Opportunity", |scene, id| {
            let stored = |name| scene.world.stored("Opportunity", id, name);
            stored("IsClosed") == Value::Bool(false)
                && stored("HasOpportunityLineItem") == Value::Bool(true)
        }) else {
            return Ok(());
        };
        let old = self.children("OpportunityLineItem", "OpportunityId", &sale);
        if old
            .iter()
            .any(|id| !self.world.is_live("OpportunityLineItem", id, self.at))
        {
            return Ok(());
        }
        let items = self.draw_items();
        for id in old {
            self.world.delete("OpportunityLineItem", &id, self.moment)?;
        }
        for (order, item) in items.iter().enumerate() {
            self.insert_item(&sale, order, item)?;
        }
        let stored = |scene: &Self, name: &str| scene.world.stored("Opportunity", &sale, name);
        let before = stored(self, "Amount");
        let amount = money(items.iter().map(|item| item.total).sum());
        let quantity: i64 = items.iter().map(|item| item.quantity).sum();
        self.write_field_history(&sale, "Amount", "Currency", before.clone(), amount.clone())?;
        let (stage, close) = (stored(self, "StageName"), stored(self, "CloseDate"));
        let history =
            self.write_history(&sale, stage, amount.clone(), close, (before, Value::Null))?;
        let changes = vec![
            ("Amount", amount),
            ("TotalOpportunityQuantity", decimal(quantity.into(), 0)),
            ("LastAmountChangedHistoryId", Value::text(&history)),
        ];
        self.update("Opportunity", &sale, changes)?;
        match stored(self, "CampaignId").as_text() {
            Some(campaign) => self.roll_up(campaign),
            None => Ok(()),
        }
    }
}

/// One line item in the making; amounts in cents, the discount in hundredths of a percent.
struct Item {
    entry: Arc<str>,
    list: i64,
    unit: i64,
    quantity: i64,
    discount: i64,
    subtotal: i64,
    total: i64,
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
