//! The tenant: every version of every row.
//!
//! A version has a stamp (what its `UpdatedDate` says) and an instant from which it is visible. Usually they are
//! the same; a long transaction makes rows visible up to two hours after their stamp, and some columns change
//! without any new stamp. Deleted rows can be seen for 30 days.
//!
//! Nothing here sleeps, reads a clock or knows HTTP.

use std::collections::BTreeMap;

use overlock_core::Timestamp;
use overlock_sandbox::company::Dice;

use super::data;
use super::model::{Field, Object, Row, Value};

/// Deleted rows are kept for 30 days.
pub(super) const DELETED_KEPT_SECS: i64 = 30 * 86_400;

/// What a world is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldOptions {
    /// Decides every random choice. A Salesforce world of the same seed has the same customers.
    pub seed: u64,
    /// Where history ends and evolution begins. Whole seconds.
    pub start: Timestamp,
    /// Days of history before `start`.
    pub history_days: u32,
    /// Billing accounts at `start`.
    pub accounts: u32,
    /// Changes per day after `start`, on average.
    pub changes_per_day: u32,
    /// Hostile values: quotes, newlines, NUL bytes, numbers at the edges, empty text, null stamps.
    pub nasty: bool,
}

/// One version of a row.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// From when on it can be seen.
    pub(super) visible: Timestamp,
    pub(super) row: Row,
    /// From here on there is no such row, deleted or not.
    pub(super) gone: bool,
}

/// The rows of one object.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) object: Object,
    /// Versions by id, oldest first.
    pub(super) rows: BTreeMap<String, Vec<Version>>,
}

/// The tenant.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) options: WorldOptions,
    pub(super) tables: BTreeMap<String, Table>,
    /// Ids of the entities of a tenant that has several: UUIDs with hyphens.
    pub(super) entities: Vec<String>,
    pub(super) story: data::Story,
}

impl WorldOptions {
    /// A dozen accounts and eight months: for tests.
    pub fn tiny(seed: u64, start: Timestamp) -> Self {
        Self {
            seed,
            start,
            history_days: 240,
            accounts: 12,
            changes_per_day: 48,
            nasty: false,
        }
    }

    /// 150 accounts and a year: for the demo.
    pub fn demo(seed: u64, start: Timestamp) -> Self {
        Self {
            history_days: 365,
            accounts: 150,
            changes_per_day: 240,
            ..Self::tiny(seed, start)
        }
    }
}

impl World {
    /// The tenant that follows from the options, as it stands at their start.
    pub fn seeded(options: WorldOptions) -> Self {
        let start = options.start;
        let story = data::Story::before(&options);
        let mut world = Self {
            story,
            ..Self::empty(options)
        };
        for object in data::all_objects() {
            world.add_object(object);
        }
        data::play(&mut world, start.seconds());
        world
    }

    /// Lets everything happen that happens up to an instant. In how many steps makes no difference; what is past
    /// does not change.
    pub fn evolve(&mut self, to: Timestamp) {
        data::play(self, to.seconds());
    }

    /// A tenant without objects, for tests.
    pub fn empty(options: WorldOptions) -> Self {
        Self {
            options,
            tables: BTreeMap::new(),
            entities: Vec::new(),
            story: data::Story::none(),
        }
    }

    /// Adds an object.
    pub fn add_object(&mut self, object: Object) {
        let name = object.name.clone();
        let rows = BTreeMap::new();
        self.tables.insert(name, Table { object, rows });
    }

    /// All objects, in the order of their names.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.tables.values().map(|table| &table.object)
    }

    /// An object by its name, whatever the case.
    pub fn object(&self, name: &str) -> Option<&Object> {
        self.table(name).map(|table| &table.object)
    }

    /// Changes an object: fields that come and go, permissions.
    pub fn change_object(&mut self, name: &str, act: impl FnOnce(&mut Object)) {
        if let Some(table) = self.tables.get_mut(name) {
            act(&mut table.object);
        }
    }

    /// Adds a field that exists from an instant on.
    pub fn add_field(&mut self, object: &str, field: Field) {
        self.change_object(object, |object| object.fields.push(field));
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name).or_else(|| {
            self.tables
                .values()
                .find(|table| table.object.name.eq_ignore_ascii_case(name))
        })
    }

    /// Every row that can be seen at an instant, in the order of ids; deleted rows for 30 days.
    pub fn rows(&self, object: &str, at: Timestamp) -> Vec<&Row> {
        let Some(table) = self.table(object) else {
            return Vec::new();
        };
        table
            .rows
            .values()
            .filter_map(|versions| visible(versions, at))
            .collect()
    }

    /// One row as it can be seen at an instant.
    pub fn row(&self, object: &str, id: &str, at: Timestamp) -> Option<&Row> {
        visible(self.table(object)?.rows.get(id)?, at)
    }

    /// Puts a version of a row there, visible from an instant on; its stamp is among its values.
    pub fn put(&mut self, object: &str, row: Row, visible: Timestamp) {
        if let Some(table) = self.tables.get_mut(object) {
            let versions = table.rows.entry(row.id.clone()).or_default();
            let at = versions.partition_point(|version| version.visible <= visible);
            let gone = false;
            versions.insert(at, Version { visible, row, gone });
        }
    }

    /// The newest version of a row that is neither deleted nor gone, and when the next one can be seen at the
    /// earliest: a transaction that has not committed yet keeps its rows locked.
    fn newest(&self, object: &str, id: &str, at: Timestamp) -> Option<(Row, Timestamp)> {
        let newest = self.tables.get(object)?.rows.get(id)?.last()?;
        let is_there = !newest.gone && !newest.row.deleted;
        is_there.then(|| (newest.row.clone(), newest.visible.max(at)))
    }

    /// Adds a version to a row and writes the stamp of its object into it.
    fn put_stamped(
        &mut self,
        object: &str,
        mut row: Row,
        stamp: Option<Timestamp>,
        visible: Timestamp,
    ) {
        let key = self
            .tables
            .get(object)
            .and_then(|table| table.object.change.field());
        if let (Some(stamp), Some(key)) = (stamp, key) {
            row.values.insert(key.to_owned(), Value::Time(stamp));
        }
        self.put(object, row, visible);
    }

    /// Changes a row that is neither deleted nor gone: a new version with the values given, stamped `stamp`, visible from `visible` on.
    /// Without a stamp it is one of the changes that `UpdatedDate` does not tell of. A version that cannot be seen
    /// yet comes first: the change is visible no earlier than that.
    pub fn update(
        &mut self,
        object: &str,
        id: &str,
        changes: &[(&str, Value)],
        stamp: Option<Timestamp>,
        visible: Timestamp,
    ) {
        let Some((mut row, visible)) = self.newest(object, id, visible) else {
            return;
        };
        for (name, value) in changes {
            row.values.insert((*name).to_owned(), value.clone());
        }
        self.put_stamped(object, row, stamp, visible);
    }

    /// Deletes a row: it can be seen as deleted for 30 days, stamped with the instant.
    pub fn delete(&mut self, object: &str, id: &str, at: Timestamp) {
        self.delete_late(object, id, at, at);
    }

    /// Deletes a row in a transaction that commits later than its stamp says. A row of an object without deletes
    /// vanishes.
    pub(super) fn delete_late(
        &mut self,
        object: &str,
        id: &str,
        stamp: Timestamp,
        visible: Timestamp,
    ) {
        if self
            .tables
            .get(object)
            .is_some_and(|table| !table.object.deletes)
        {
            self.vanish(object, id, visible);
            return;
        }
        let Some((mut row, visible)) = self.newest(object, id, visible) else {
            return;
        };
        row.deleted = true;
        self.put_stamped(object, row, Some(stamp), visible);
    }

    /// Takes a row away without a trace, as a purge or a hand on the database does.
    pub fn vanish(&mut self, object: &str, id: &str, at: Timestamp) {
        let Some(versions) = self
            .tables
            .get_mut(object)
            .and_then(|table| table.rows.get_mut(id))
        else {
            return;
        };
        let Some(newest) = versions.last() else {
            return;
        };
        versions.push(Version {
            visible: newest.visible.max(at),
            row: newest.row.clone(),
            gone: true,
        });
    }

    /// Gives a row another parent, without a new stamp.
    pub(super) fn adopt(
        &mut self,
        object: &str,
        id: &str,
        relation: &str,
        parent: &str,
        at: Timestamp,
    ) {
        if let Some((mut row, visible)) = self.newest(object, id, at) {
            row.parents.insert(relation.to_owned(), parent.to_owned());
            self.put(object, row, visible);
        }
    }

    /// Ids of the entities, empty for a tenant that has one.
    pub fn entities(&self) -> &[String] {
        &self.entities
    }

    /// Makes it a tenant of several entities; rows say which they belong to.
    pub fn set_entities(&mut self, entities: Vec<String>) {
        self.entities = entities;
    }

    /// Spreads the accounts, and what hangs on them, over some entities with ids of their own. The catalogue and
    /// other things of the whole tenant belong to the first.
    pub fn split_entities(&mut self, count: usize) {
        let seed = self.options.seed;
        self.entities = (0..count as u64).map(|n| entity_id(seed, n)).collect();
        let mut tables = std::mem::take(&mut self.tables);
        for table in tables.values_mut() {
            for (id, versions) in &mut table.rows {
                let owner = self.story.owners.get(id).copied().unwrap_or(0);
                let entity = self.entity_of(owner);
                for version in versions {
                    version.row.entity = entity;
                }
            }
        }
        self.tables = tables;
    }

    /// The entity that the account with this number belongs to; 0 is no account.
    pub(super) fn entity_of(&self, account: u64) -> usize {
        let count = self.entities.len().max(1) as u64;
        usize::try_from(account.saturating_sub(1) % count).unwrap_or(0)
    }
}

fn entity_id(seed: u64, number: u64) -> String {
    let mut dice = Dice::numbered(seed, "entity", number);
    let mut hex = |digits: u32| {
        let width = usize::try_from(digits).unwrap_or(4);
        format!("{:0width$x}", dice.below(1 << (4 * digits)))
    };
    let parts = [hex(8), hex(4), hex(3), hex(3), hex(12)];
    let [first, second, third, fourth, fifth] = parts;
    format!("{first}-{second}-4{third}-8{fourth}-{fifth}")
}

fn visible(versions: &[Version], at: Timestamp) -> Option<&Row> {
    let seen = versions.partition_point(|version| version.visible <= at);
    let newest = versions.get(seen.checked_sub(1)?)?;
    if newest.gone {
        return None;
    }
    let purged = newest.row.deleted
        && at.seconds().saturating_sub(newest.visible.seconds()) > DELETED_KEPT_SECS;
    (!purged).then_some(&newest.row)
}
