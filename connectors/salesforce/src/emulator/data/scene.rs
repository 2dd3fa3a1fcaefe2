//! One event: what it may be, and the everyday ones.

use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Result, Timestamp};

use crate::emulator::model::Value;
use crate::emulator::world::{Change, LONGEST_TRANSACTION, Moment, World};

use super::dice::Dice;
use super::frame::counts;
use super::numbers::{cents, day};
use super::objects;
use super::story::DAY;

/// One event: its instant, its dice and the world it changes.
pub(super) struct Scene<'a> {
    pub(super) world: &'a mut World,
    pub(super) dice: Dice,
    pub(super) moment: Moment,
    pub(super) at: Timestamp,
    pub(super) user: Arc<str>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(world: &'a mut World, number: u64, at: Timestamp) -> Self {
        let mut dice = Dice::numbered(world.options.seed, "event", number);
        let late = world.options.late_commits && at >= world.options.start && dice.chance(1, 20);
        let longest = LONGEST_TRANSACTION.as_secs();
        let lag = if late { 1 + dice.below(longest) } else { 0 };
        let users = world.ids("User");
        let user = usize::try_from(dice.below(users.len() as u64)).unwrap_or(0);
        let user = users.get(user).cloned().unwrap_or_default();
        Self {
            moment: Moment::late(at, Duration::from_secs(lag)),
            world,
            dice,
            at,
            user,
        }
    }

    pub(super) fn play(&mut self) -> Result<()> {
        match self.dice.below(100) {
            0..9 => self.new_account().map(drop),
            9..22 => self.new_lead(),
            22..31 => self.convert_lead(),
            31..41 => self.new_sale_somewhere(),
            41..56 => self.advance_sale(),
            56..70 => self.new_task(),
            70..75 => self.new_meeting(),
            75..79 => self.complete_task(),
            79..83 => self.edit("Account", &[]),
            83..86 => self.edit("Contact", &[]),
            86..88 => self.edit("Lead", &[]),
            88..90 => self.change_items(),
            90..92 => self.invoice(),
            92 => self.new_attachment(),
            93 => self.staff(),
            94 | 95 => self.delete_something(),
            96 => self.undelete_something(),
            97 => self.merge_something(),
            98 => self.purge_something(),
            _ => self.touch_something(),
        }
    }
    // Creating.

    pub(super) fn insert(
        &mut self,
        object: &str,
        mut changes: Vec<Change<'_>>,
    ) -> Result<Arc<str>> {
        changes.push(("CreatedById", Value::text(&self.user)));
        let modified = !matches!(object, "OpportunityHistory" | "OpportunityFieldHistory");
        if modified {
            changes.push(("LastModifiedById", Value::text(&self.user)));
        }
        self.world.insert(object, &changes, self.moment)
    }

    pub(super) fn update(
        &mut self,
        object: &str,
        id: &str,
        mut changes: Vec<Change<'_>>,
    ) -> Result<()> {
        changes.push(("LastModifiedById", Value::text(&self.user)));
        self.world.update(object, id, &changes, self.moment)
    }

    pub(super) fn new_account(&mut self) -> Result<Arc<str>> {
        let mut changes = vec![("OwnerId", Value::text(&self.user))];
        if self.dice.chance(1, 5)
            && let Some(parent) = self.some("Account")
        {
            changes.push(("ParentId", Value::text(&parent)));
        }
        let account = self.insert("Account", changes)?;
        for _ in 0..self.dice.between(1, 3) {
            self.new_contact(&account)?;
        }
        Ok(account)
    }

    pub(super) fn new_contact(&mut self, account: &str) -> Result<Arc<str>> {
        let changes = vec![
            ("AccountId", Value::text(account)),
            ("OwnerId", Value::text(&self.user)),
        ];
        self.insert("Contact", changes)
    }

    pub(super) fn new_lead(&mut self) -> Result<()> {
        let statuses = ["Open - Not Contacted", "Working - Contacted"];
        let changes = vec![
            ("OwnerId", Value::text(&self.user)),
            ("Status", Value::text(self.dice.word(&statuses))),
            ("IsUnreadByOwner", Value::Bool(self.dice.chance(1, 2))),
        ];
        let lead = self.insert("Lead", changes)?;
        if self.dice.chance(1, 2)
            && let Some(campaign) = self.some("Campaign")
        {
            self.join_campaign(&campaign, &lead)?;
        }
        Ok(())
    }

    pub(super) fn join_campaign(&mut self, campaign: &str, lead: &str) -> Result<()> {
        let responded = self.dice.chance(1, 3);
        let mut changes = vec![
            ("CampaignId", Value::text(campaign)),
            ("LeadId", Value::text(lead)),
            ("LeadOrContactId", Value::text(lead)),
            ("LeadOrContactOwnerId", Value::text(&self.user)),
            ("Type", Value::text("Lead")),
            ("HasResponded", Value::Bool(responded)),
            (
                "Status",
                Value::text(if responded { "Responded" } else { "Sent" }),
            ),
            (
                "CompanyOrAccount",
                self.world.stored("Lead", lead, "Company"),
            ),
        ];
        if responded {
            changes.push(("FirstRespondedDate", day(self.at, 0)));
        }
        for name in COPIED {
            changes.push((name, self.world.stored("Lead", lead, name)));
        }
        self.insert("CampaignMember", changes)?;
        self.roll_up(campaign)
    }

    /// Works out the counts of a campaign anew.
    pub(super) fn roll_up(&mut self, campaign: &str) -> Result<()> {
        let mut numbers = [0_i64; 8];
        let [
            leads,
            converted,
            contacts,
            responses,
            sales,
            won,
            amount,
            amount_won,
        ] = &mut numbers;
        for member in self.children("CampaignMember", "CampaignId", campaign) {
            let stored = |name: &str| self.world.stored("CampaignMember", &member, name);
            match stored("LeadId") {
                Value::Null => *contacts += 1,
                _ => *leads += 1,
            }
            *converted += i64::from(stored("Type").as_text() == Some("Contact"));
            *responses += i64::from(stored("HasResponded") == Value::Bool(true));
        }
        for sale in self.children("Opportunity", "CampaignId", campaign) {
            let stored = |name: &str| self.world.stored("Opportunity", &sale, name);
            let cents = cents(&stored("Amount"));
            *sales += 1;
            *amount += cents;
            if stored("IsWon") == Value::Bool(true) {
                *won += 1;
                *amount_won += cents;
            }
        }
        // A campaign that a slow transaction holds is rolled up by the next event.
        if self.world.is_live("Campaign", campaign, self.at) {
            let changes = counts(numbers);
            self.world
                .system_update("Campaign", campaign, &changes, self.moment)?;
        }
        Ok(())
    }
    /// Who and what an activity is about, with the account.
    pub(super) fn subject(&mut self) -> Vec<Change<'static>> {
        let who = match self.dice.below(4) {
            0 => self.some("Lead"),
            _ => self.some("Contact"),
        };
        let Some(who) = who else {
            return Vec::new();
        };
        let mut changes = vec![("WhoId", Value::text(&who)), ("WhoCount", Value::Int(1))];
        let account = self.world.stored("Contact", &who, "AccountId");
        let what = match account.as_text() {
            Some(account) if self.dice.chance(1, 2) => {
                let sales = self.children("Opportunity", "AccountId", account);
                sales
                    .first()
                    .map_or(account.to_owned(), ToString::to_string)
            }
            Some(account) => account.to_owned(),
            None => return changes,
        };
        changes.push(("WhatId", Value::text(what)));
        changes.push(("WhatCount", Value::Int(1)));
        changes.push(("AccountId", account));
        changes
    }

    pub(super) fn new_task(&mut self) -> Result<()> {
        let mut changes = self.subject();
        let statuses = ["Not Started", "In Progress", "Completed"];
        let status = self.dice.word(&statuses);
        changes.push(("Status", Value::text(status)));
        changes.push((
            "Priority",
            Value::text(self.dice.word(&["High", "Normal", "Normal", "Low"])),
        ));
        changes.push(("ActivityDate", day(self.at, self.dice.between(0, 30))));
        changes.push(("OwnerId", Value::text(&self.user)));
        changes.push((
            "IsArchived",
            Value::Bool(self.at < self.world.options.start.minus(DAY * 365)),
        ));
        if status == "Completed" {
            changes.push(("CompletedDateTime", Value::DateTime(self.moment.begin)));
        }
        self.insert("Task", changes).map(drop)
    }

    pub(super) fn new_meeting(&mut self) -> Result<()> {
        let mut changes = self.subject();
        let minutes = self.dice.pick(&[15, 30, 45, 60, 90], 30);
        let hours = u64::try_from(self.dice.between(2, 400)).unwrap_or(2);
        let begins = self.at.seconds() - self.at.seconds().rem_euclid(3600);
        let begins = Timestamp::from_seconds(begins).unwrap_or(self.at);
        let begins = begins.plus(Duration::from_secs(hours * 3600));
        let ends = begins.plus(Duration::from_secs(minutes * 60));
        changes.extend([
            ("ActivityDateTime", Value::DateTime(begins)),
            ("StartDateTime", Value::DateTime(begins)),
            ("EndDateTime", Value::DateTime(ends)),
            ("ActivityDate", day(begins, 0)),
            ("EndDate", day(ends, 0)),
            (
                "DurationInMinutes",
                Value::Int(i64::try_from(minutes).unwrap_or(0)),
            ),
            ("OwnerId", Value::text(&self.user)),
            ("GroupEventType", Value::text("0")),
        ]);
        self.insert("Event", changes).map(drop)
    }

    pub(super) fn complete_task(&mut self) -> Result<()> {
        let Some(task) = self.some_where("Task", |scene, id| {
            scene.world.stored("Task", id, "IsClosed") == Value::Bool(false)
        }) else {
            return Ok(());
        };
        let changes = vec![
            ("Status", Value::text("Completed")),
            ("CompletedDateTime", Value::DateTime(self.moment.begin)),
        ];
        self.update("Task", &task, changes)?;
        let account = self.world.stored("Task", &task, "AccountId");
        if let Some(account) = account.as_text()
            && self.world.is_live("Account", account, self.at)
        {
            // The stamp of the account moves although no user changed it.
            let changes = [("LastActivityDate", day(self.at, 0))];
            self.world
                .system_update("Account", account, &changes, self.moment)?;
        }
        Ok(())
    }

    pub(super) fn edit(&mut self, object: &str, changes: &[Change<'_>]) -> Result<()> {
        match self.some(object) {
            Some(id) => self.update(object, &id, changes.to_vec()),
            None => Ok(()),
        }
    }

    pub(super) fn invoice(&mut self) -> Result<()> {
        if self.dice.chance(1, 2) {
            let open = self.some_where("Invoice__c", |scene, id| {
                scene.world.stored("Invoice__c", id, "Status__c").as_text() == Some("Sent")
            });
            if let Some(invoice) = open {
                let changes = vec![
                    ("Status__c", Value::text("Paid")),
                    ("Paid_At__c", Value::DateTime(self.moment.begin)),
                ];
                return self.update("Invoice__c", &invoice, changes);
            }
        }
        let Some(sale) = self.some("Opportunity") else {
            return Ok(());
        };
        let currencies = objects::picklist("Invoice__c", "CurrencyIsoCode");
        let changes = vec![
            ("Opportunity__c", Value::text(&sale)),
            (
                "Account__c",
                self.world.stored("Opportunity", &sale, "AccountId"),
            ),
            (
                "Amount__c",
                self.world.stored("Opportunity", &sale, "Amount"),
            ),
            ("CurrencyIsoCode", Value::text(self.dice.word(currencies))),
            ("Status__c", Value::text("Sent")),
            ("Issued__c", day(self.at, 0)),
        ];
        self.insert("Invoice__c", changes).map(drop)
    }

    pub(super) fn new_attachment(&mut self) -> Result<()> {
        let object = self.dice.word(&["Account", "Contact", "Opportunity"]);
        let Some(parent) = self.some(object) else {
            return Ok(());
        };
        let changes = vec![
            ("ParentId", Value::text(&parent)),
            ("OwnerId", Value::text(&self.user)),
            ("ContentType", Value::text("application/pdf")),
            ("BodyLength", Value::Int(self.dice.between(10, 4000))),
        ];
        self.insert("Attachment", changes).map(drop)
    }

    pub(super) fn staff(&mut self) -> Result<()> {
        match self.dice.below(3) {
            0 => self.edit("Product2", &[]),
            1 => self.edit("Campaign", &[]),
            _ => self.edit(
                "User",
                &[("LastLoginDate", Value::DateTime(self.moment.begin))],
            ),
        }
    }

    pub(super) fn touch_something(&mut self) -> Result<()> {
        let object = self
            .dice
            .word(&["Account", "Contact", "Task", "Event", "Opportunity"]);
        match self.some(object) {
            Some(id) => self.world.touch(object, &id, self.moment),
            None => Ok(()),
        }
    }
    // Finding.

    /// Some live row.
    pub(super) fn some(&mut self, object: &str) -> Option<Arc<str>> {
        self.some_where(object, |_, _| true)
    }

    /// Some live row that is as wanted; a few tries only.
    pub(super) fn some_where(
        &mut self,
        object: &str,
        wanted: impl Fn(&Self, &str) -> bool,
    ) -> Option<Arc<str>> {
        for _ in 0..12 {
            let ids = self.world.ids(object);
            let index = usize::try_from(self.dice.below(ids.len() as u64)).ok()?;
            let id = ids.get(index)?.clone();
            if self.world.is_live(object, &id, self.at) && wanted(self, &id) {
                return Some(id);
            }
        }
        None
    }

    /// Rows that refer to another and are not deleted, locked ones included.
    pub(super) fn children(&self, object: &str, field: &str, id: &str) -> Vec<Arc<str>> {
        self.world.referring(object, field, id)
    }
}

/// Fields of a lead that its campaign members show.
const COPIED: [&str; 12] = [
    "FirstName",
    "LastName",
    "Name",
    "Title",
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "Email",
    "Phone",
    "LeadSource",
];
