//! Events that delete, bring back, merge and purge, without ever leaving a live row that points nowhere.

use std::sync::Arc;

use overlock_core::Result;

use crate::emulator::model::Value;

use super::scene::Scene;
use super::story::DAY;

/// What a row refers to: (object, field, objects it may point at). Deleting or merging the target acts on
/// these.
const REFERENCES: &[(&str, &str, &[&str])] = &[
    ("Contact", "AccountId", &["Account"]),
    ("Opportunity", "AccountId", &["Account"]),
    ("OpportunityLineItem", "OpportunityId", &["Opportunity"]),
    ("OpportunityContactRole", "OpportunityId", &["Opportunity"]),
    ("OpportunityContactRole", "ContactId", &["Contact"]),
    ("OpportunityHistory", "OpportunityId", &["Opportunity"]),
    ("OpportunityFieldHistory", "OpportunityId", &["Opportunity"]),
    ("CampaignMember", "LeadId", &["Lead"]),
    ("CampaignMember", "ContactId", &["Contact"]),
    ("Task", "WhoId", &["Contact", "Lead"]),
    ("Task", "WhatId", &["Account", "Opportunity"]),
    ("Task", "AccountId", &["Account"]),
    ("Event", "WhoId", &["Contact", "Lead"]),
    ("Event", "WhatId", &["Account", "Opportunity"]),
    ("Event", "AccountId", &["Account"]),
    (
        "Attachment",
        "ParentId",
        &["Account", "Contact", "Opportunity"],
    ),
    ("Invoice__c", "Account__c", &["Account"]),
    ("Invoice__c", "Opportunity__c", &["Opportunity"]),
];

/// References that hold their target: what they point at is never deleted nor merged away.
const HOLDS: &[(&str, &str, &str)] = &[
    ("Lead", "ConvertedAccountId", "Account"),
    ("Lead", "ConvertedContactId", "Contact"),
    ("Lead", "ConvertedOpportunityId", "Opportunity"),
    ("Account", "ParentId", "Account"),
    ("Contact", "ReportsToId", "Contact"),
    ("Opportunity", "ContactId", "Contact"),
];

impl Scene<'_> {
    pub(super) fn delete_something(&mut self) -> Result<()> {
        let object = self.dice.word(&[
            "Task",
            "Task",
            "Event",
            "Lead",
            "Contact",
            "Account",
            "Opportunity",
            "Invoice__c",
            "Attachment",
        ]);
        let Some(id) = self.some(object) else {
            return Ok(());
        };
        let mut doomed = Vec::new();
        if !self.collect(object, &id, &mut doomed) {
            return Ok(());
        }
        let mut campaigns: Vec<Value> = Vec::new();
        for (object, id) in &doomed {
            if *object == "CampaignMember" || *object == "Opportunity" {
                campaigns.push(self.world.stored(object, id, "CampaignId"));
            }
            self.world.delete(object, id, self.moment)?;
        }
        for campaign in campaigns.iter().filter_map(Value::as_text) {
            self.roll_up(campaign)?;
        }
        Ok(())
    }

    /// The row and everything that goes with it; `false` if one of them must stay or is locked.
    pub(super) fn collect(
        &self,
        object: &'static str,
        id: &str,
        doomed: &mut Vec<(&'static str, Arc<str>)>,
    ) -> bool {
        if doomed.iter().any(|(_, known)| **known == *id) {
            return true;
        }
        if !self.world.is_live(object, id, self.at) {
            return false;
        }
        let held = HOLDS.iter().filter(|(_, _, target)| *target == object);
        for (holder, field, _) in held {
            let holders = self.children(holder, field, id);
            if holders
                .iter()
                .any(|holder| !doomed.iter().any(|(_, known)| known == holder))
            {
                return false;
            }
        }
        doomed.push((object, id.into()));
        for (child, field, targets) in REFERENCES {
            if targets.contains(&object) {
                for id in self.children(child, field, id) {
                    if !self.collect(child, &id, doomed) {
                        return false;
                    }
                }
            }
        }
        true
    }

    pub(super) fn undelete_something(&mut self) -> Result<()> {
        let object =
            self.dice
                .word(&["Task", "Event", "Lead", "Contact", "Account", "Opportunity"]);
        let bin: Vec<Arc<str>> = self.binned(object);
        let index = usize::try_from(self.dice.below(bin.len() as u64)).unwrap_or(0);
        let Some(id) = bin.get(index).cloned() else {
            return Ok(());
        };
        let mut back = Vec::new();
        self.collect_binned(object, &id, &mut back);
        let all_parents_live = back.iter().all(|(object, id)| {
            let references = REFERENCES.iter().filter(|(child, ..)| child == object);
            references.into_iter().all(|(_, field, targets)| {
                let target = self.world.stored(object, id, field);
                target.as_text().is_none_or(|target| {
                    back.iter().any(|(_, known)| **known == *target)
                        || targets
                            .iter()
                            .any(|object| self.world.is_live(object, target, self.at))
                })
            })
        });
        if !all_parents_live || !self.holds_are_live(&back) {
            return Ok(());
        }
        let mut campaigns: Vec<Value> = Vec::new();
        for (object, id) in &back {
            if *object == "CampaignMember" || *object == "Opportunity" {
                campaigns.push(self.world.stored(object, id, "CampaignId"));
            }
            self.world.undelete(object, id, self.moment)?;
        }
        for campaign in campaigns.iter().filter_map(Value::as_text) {
            self.roll_up(campaign)?;
        }
        Ok(())
    }

    pub(super) fn holds_are_live(&self, back: &[(&'static str, Arc<str>)]) -> bool {
        back.iter().all(|(object, id)| {
            let holds = HOLDS.iter().filter(|(holder, ..)| holder == object);
            holds.into_iter().all(|(_, field, target_object)| {
                let target = self.world.stored(object, id, field);
                target.as_text().is_none_or(|target| {
                    back.iter().any(|(_, known)| **known == *target)
                        || self.world.is_live(target_object, target, self.at)
                })
            })
        })
    }

    /// Deleted rows of an object that are still in the bin and were not merged.
    pub(super) fn binned(&self, object: &str) -> Vec<Arc<str>> {
        let ids = self.world.ids(object).iter();
        ids.filter(|id| self.is_binned(object, id))
            .cloned()
            .collect()
    }

    pub(super) fn is_binned(&self, object: &str, id: &str) -> bool {
        let bin = DAY * self.world.options.bin_days;
        let last = self.world.versions(object, id).last();
        last.is_some_and(|version| {
            version.is_deleted
                && !version.purged
                && version.visible <= self.at
                && self.at < version.begin.plus(bin)
        }) && self.world.stored(object, id, "MasterRecordId").is_null()
    }

    /// The row and what was deleted together with it.
    pub(super) fn collect_binned(
        &self,
        object: &'static str,
        parent: &str,
        back: &mut Vec<(&'static str, Arc<str>)>,
    ) {
        if back.iter().any(|(_, known)| **known == *parent) {
            return;
        }
        back.push((object, parent.into()));
        let deleted = self
            .world
            .versions(object, parent)
            .last()
            .map(|version| version.begin);
        for (child, field, targets) in REFERENCES {
            if !targets.contains(&object) {
                continue;
            }
            for id in self.world.ids(child) {
                let together = self
                    .world
                    .versions(child, id)
                    .last()
                    .map(|version| version.begin)
                    == deleted;
                if together
                    && self.is_binned(child, id)
                    && self.world.stored(child, id, field).as_text() == Some(parent)
                {
                    self.collect_binned(child, id, back);
                }
            }
        }
    }

    pub(super) fn merge_something(&mut self) -> Result<()> {
        let object = self.dice.word(&["Account", "Contact", "Lead"]);
        let free = |scene: &Self, id: &str| {
            scene.world.stored(object, id, "IsConverted") != Value::Bool(true)
        };
        let (Some(winner), Some(loser)) =
            (self.some_where(object, free), self.some_where(object, free))
        else {
            return Ok(());
        };
        let held = HOLDS.iter().filter(|(_, _, target)| *target == object);
        let held = held
            .into_iter()
            .any(|(holder, field, _)| !self.children(holder, field, &loser).is_empty());
        if winner == loser || held {
            return Ok(());
        }
        let mut moved = Vec::new();
        for (child, field, targets) in REFERENCES {
            if targets.contains(&object) {
                for id in self.children(child, field, &loser) {
                    if !moved.iter().any(|(_, _, known)| *known == id) {
                        moved.push((*child, *field, id));
                    }
                }
            }
        }
        if moved
            .iter()
            .any(|(child, _, id)| !self.world.is_live(child, id, self.at))
        {
            return Ok(());
        }
        for (child, field, id) in moved {
            let mut changes = vec![(field, Value::text(&winner))];
            // Activities and campaign members keep a second reference to the same record.
            for second in ["AccountId", "LeadOrContactId"] {
                if self.world.stored(child, &id, second).as_text() == Some(&*loser)
                    && second != field
                {
                    changes.push((second, Value::text(&winner)));
                }
            }
            self.update(child, &id, changes)?;
        }
        self.world.merge(object, &winner, &loser, self.moment)
    }

    pub(super) fn purge_something(&mut self) -> Result<()> {
        // A bin is emptied, or a leaf is hard-deleted without ever being in it.
        let object = self.dice.word(&["Task", "Event", "Lead", "Contact"]);
        if self.dice.chance(1, 3) {
            let leaf = self.dice.word(&["Task", "Event", "Invoice__c"]);
            return match self.some(leaf) {
                Some(id) => self.world.purge(leaf, &id, self.moment),
                None => Ok(()),
            };
        }
        let bin = self.binned(object);
        let index = usize::try_from(self.dice.below(bin.len() as u64)).unwrap_or(0);
        match bin.get(index) {
            Some(id) => self.world.purge(object, id, self.moment),
            None => Ok(()),
        }
    }
}
