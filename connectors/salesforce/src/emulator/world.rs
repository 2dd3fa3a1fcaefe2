//! The org: every version of every row, and the schema over time.
//!
//! A world is a function of its options and an instant. [`World::evolve`] plays events up to an instant;
//! each event draws from a generator seeded by (seed, number of the event) and changes the world only
//! through the mutations below, so that the same options give the same world after a restart and playing
//! in several steps equals playing at once. Reads name the instant they look at and never change anything:
//! a version is seen from its commit on, carries the stamp of its begin, and is superseded, binned or
//! purged by later ones.
//!
//! Nothing here sleeps, reads a clock or knows HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result, Timestamp};

use super::data;
use super::model::{Expected, Field, Object, Row, Value, Version};
use super::schema;

/// What a world is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches that a test turns on one by one"
)]
pub struct WorldOptions {
    /// Decides every random choice.
    pub seed: u64,
    /// Where history ends and evolution begins. Whole seconds.
    pub start: Timestamp,
    /// Days of history before `start`.
    pub history_days: u32,
    /// Size: about this many accounts, twenty rows each, all objects together.
    pub scale: u32,
    /// Changes per day after `start`, on average.
    pub changes_per_day: u32,
    /// Days a deleted row stays in the recycle bin.
    pub bin_days: u32,
    /// Adds the objects with hostile values, 800 columns, no rows, no Id and constant Id.
    pub nasty: bool,
    /// Lets one transaction in twenty commit up to ten minutes after its stamp.
    pub late_commits: bool,
    /// Changes the schema while time goes by: a field added, hidden, dropped, of another type.
    pub drift: bool,
    /// Touches a whole object within one second every ten days.
    pub mass_updates: bool,
}

impl WorldOptions {
    /// For tests: a few hundred rows, everything switched on.
    pub fn tiny(seed: u64, start: Timestamp) -> Self {
        Self {
            seed,
            start,
            history_days: 60,
            scale: 12,
            changes_per_day: 48,
            bin_days: 15,
            nasty: false,
            late_commits: true,
            drift: true,
            mass_updates: true,
        }
    }

    /// For the demo: a few thousand rows.
    pub fn demo(seed: u64, start: Timestamp) -> Self {
        Self {
            history_days: 365,
            scale: 150,
            changes_per_day: 240,
            ..Self::tiny(seed, start)
        }
    }
}

/// When a transaction takes its stamp and when others see its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// `SystemModstamp` of its rows.
    pub begin: Timestamp,
    /// When it commits.
    pub visible: Timestamp,
}

impl Moment {
    /// Commits `lag` after its stamp.
    pub fn late(begin: Timestamp, lag: Duration) -> Self {
        let begin = begin.floor_second();
        Self {
            begin,
            visible: begin.plus(lag),
        }
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self::late(at, Duration::ZERO)
    }
}

/// A named value for a mutation.
pub type Change<'a> = (&'a str, Value);

/// The org.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) options: WorldOptions,
    tables: BTreeMap<String, data::Table>,
    pub(super) story: data::Story,
}

/// Longest time a transaction stays open.
pub const LONGEST_TRANSACTION: Duration = Duration::from_secs(600);

impl World {
    /// Makes the org as it stands at `options.start`, with its history.
    pub fn seeded(options: WorldOptions) -> Self {
        let mut options = options;
        options.start = options.start.floor_second();
        let mut world = Self {
            story: data::Story::before(&options),
            options,
            tables: BTreeMap::new(),
        };
        for blueprint in data::blueprints() {
            if world.options.nasty || !data::is_nasty(blueprint.name) {
                let object = schema::build(&blueprint);
                world
                    .tables
                    .insert(object.name.clone(), data::Table::new(object));
            }
        }
        data::seed(&mut world);
        let start = world.options.start;
        world.evolve(start);
        world
    }

    /// What it was made from.
    pub fn options(&self) -> &WorldOptions {
        &self.options
    }

    /// Plays every event up to and including `to`; does nothing if `to` has been played already.
    pub fn evolve(&mut self, to: Timestamp) {
        data::play(self, to);
    }

    // Reads.

    /// Every object with the fields that are there and permitted at `t`.
    pub fn objects_at(&self, t: Timestamp) -> Vec<Arc<Object>> {
        self.tables
            .values()
            .filter_map(|table| table.view(t).cloned())
            .collect()
    }

    /// One object, its name in any case.
    pub fn object_at(&self, name: &str, t: Timestamp) -> Option<Arc<Object>> {
        let table = self.table(name)?;
        table.view(t).cloned()
    }

    /// The newest visible version of each row in the order of ids, those in the recycle bin included.
    pub fn rows_at(&self, object: &str, t: Timestamp) -> Vec<Row> {
        let Some(table) = self.table(object) else {
            return Vec::new();
        };
        table
            .rows
            .iter()
            .filter_map(|(id, versions)| self.newest(&table.name, id, versions, t))
            .collect()
    }

    /// One row by its id of 15 or 18 characters.
    pub fn row_at(&self, object: &str, id: &str, t: Timestamp) -> Option<Row> {
        let table = self.table(object)?;
        let id = if id.len() == 15 {
            schema::id18(id)
        } else {
            id.to_owned()
        };
        let (id, versions) = table.rows.get_key_value(id.as_str())?;
        self.newest(&table.name, id, versions, t)
    }

    /// Every version of a row there ever was, oldest first; also those that are not visible yet.
    pub fn versions(&self, object: &str, id: &str) -> &[Arc<Version>] {
        self.table(object)
            .and_then(|table| table.rows.get(id))
            .map_or(&[], Vec::as_slice)
    }

    /// Ids of all rows there ever were, in the order they came.
    pub fn ids(&self, object: &str) -> &[Arc<str>] {
        self.table(object)
            .map_or(&[], |table| table.order.as_slice())
    }

    /// The value of a field as a read at `t` shows it. Compounds give null: see [`Object::components`].
    pub fn value(&self, row: &Row, field: &Field, t: Timestamp) -> Value {
        match &field.computed {
            None => row.version.get(field.slot).clone(),
            Some(computed) => data::compute(self, row, computed, t),
        }
    }

    /// The value of a field by name; null where there is no such field.
    pub fn value_by_name(&self, object: &str, row: &Row, name: &str, t: Timestamp) -> Value {
        let object = self.object_at(object, t);
        let field = object.as_ref().and_then(|object| object.field(name));
        field.map_or(Value::Null, |field| self.value(row, field, t))
    }

    /// Rows deleted in `[start, end)`, as seen at `t`, with the instant of their deletion; purged ones too.
    pub fn deleted_between(
        &self,
        object: &str,
        start: Timestamp,
        end: Timestamp,
        t: Timestamp,
    ) -> Vec<(Arc<str>, Timestamp)> {
        let Some(table) = self.table(object) else {
            return Vec::new();
        };
        let mut deleted = Vec::new();
        for (id, versions) in &table.rows {
            let seen = versions.partition_point(|version| version.visible <= t);
            let seen = versions.get(..seen).unwrap_or_default();
            let live = seen
                .iter()
                .rposition(|version| !version.is_deleted && !version.purged);
            let first = live.map_or(0, |live| live + 1);
            // The first deleted version after the last live one is the deletion; purging is no second one.
            if let Some(version) = seen.get(first)
                && version.begin >= start
                && version.begin < end
            {
                deleted.push((id.clone(), version.begin));
            }
        }
        deleted
    }

    /// Ids of live rows whose newest version at `t` is stamped in `[start, end)`.
    pub fn updated_between(
        &self,
        object: &str,
        start: Timestamp,
        end: Timestamp,
        t: Timestamp,
    ) -> Vec<Arc<str>> {
        self.rows_at(object, t)
            .into_iter()
            .filter(|row| !row.version.is_deleted)
            .filter(|row| row.version.begin >= start && row.version.begin < end)
            .map(|row| row.id)
            .collect()
    }

    /// The newest instant before which no transaction can still commit, as known at `t`.
    pub fn latest_covered(&self, t: Timestamp) -> Timestamp {
        let open = self.tables.values().flat_map(|table| table.rows.values());
        let open = open
            .flat_map(|versions| versions.iter().rev().take(2))
            .filter(|version| version.begin <= t && version.visible > t)
            .map(|version| version.begin)
            .min();
        open.unwrap_or(t).floor_second()
    }

    /// What a complete sync at `t` must show of an object, in the order of keys.
    pub fn expected(&self, object: &str, t: Timestamp) -> Vec<Expected> {
        let Some(view) = self.object_at(object, t) else {
            return Vec::new();
        };
        self.rows_at(object, t)
            .iter()
            .map(|row| Self::expect(&view, row))
            .collect()
    }

    /// Every version of every row that was visible at some instant up to `t`, with the fields of `t`.
    /// A row that a destination shows and this does not hold was invented or altered.
    pub fn ever(&self, object: &str, t: Timestamp) -> Vec<Expected> {
        let Some((table, view)) = self.table(object).zip(self.object_at(object, t)) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (id, versions) in &table.rows {
            for version in versions {
                if version.visible <= t && !version.purged {
                    let row = Row {
                        object: table.name.clone(),
                        id: id.clone(),
                        version: version.clone(),
                    };
                    all.push(Self::expect(&view, &row));
                }
            }
        }
        all
    }

    fn expect(view: &Object, row: &Row) -> Expected {
        let stored = view
            .fields
            .iter()
            .filter(|field| !field.kind.is_compound() && field.computed.is_none());
        let payload: BTreeMap<_, _> = stored
            .map(|field| (field.name.clone(), row.version.get(field.slot).canonical()))
            .collect();
        let named = |name: &str| payload.get(name).cloned().flatten();
        let key = named("DurableId").or_else(|| named("Id"));
        Expected {
            key: key.unwrap_or_else(|| row.id.to_string()),
            version: row.version.number,
            stamp: row.version.begin,
            is_deleted: row.version.is_deleted,
            payload,
        }
    }

    // Mutations. All take the moment of their transaction and keep the stamps of a row in order.

    /// Creates a row and returns its id. Fields that are not given get generated values.
    pub fn insert(
        &mut self,
        object: &str,
        changes: &[Change<'_>],
        moment: impl Into<Moment>,
    ) -> Result<Arc<str>> {
        let moment = moment.into();
        let seed = self.options.seed;
        let table = self.table_mut(object)?;
        table.serial += 1;
        let prefix = table.frame.key_prefix.clone().unwrap_or("000".to_owned());
        let id: Arc<str> = schema::record_id(&prefix, table.serial).into();
        let view = table.full(moment.begin);
        let mut draft = data::Draft::new(&view, &[], table.columns.len());
        data::fill(&mut draft, seed, &id, 1);
        draft.set("Id", Value::Text(id.clone()));
        draft.set("IsDeleted", Value::Bool(false));
        for name in ["CreatedDate", "LastModifiedDate", "SystemModstamp"] {
            draft.set(name, Value::DateTime(moment.begin));
        }
        for (name, value) in changes {
            draft.set_checked(name, value.clone())?;
        }
        data::finish(&mut draft);
        let version = Version {
            number: 1,
            values: draft.into_values(),
            begin: moment.begin,
            visible: moment.visible,
            is_deleted: false,
            purged: false,
        };
        table.push(&id, version);
        Ok(id)
    }

    /// Changes a row. Fields that move with every version move as well.
    pub fn update(
        &mut self,
        object: &str,
        id: &str,
        changes: &[Change<'_>],
        moment: impl Into<Moment>,
    ) -> Result<()> {
        self.write(object, id, changes, moment.into(), Write::Update)
    }

    /// Moves the stamp of a row and nothing else, as a change of the setup does.
    pub fn touch(&mut self, object: &str, id: &str, moment: impl Into<Moment>) -> Result<()> {
        self.write(object, id, &[], moment.into(), Write::Touch)
    }

    /// Moves a row into the recycle bin.
    pub fn delete(&mut self, object: &str, id: &str, moment: impl Into<Moment>) -> Result<()> {
        self.write(object, id, &[], moment.into(), Write::Delete)
    }

    /// Takes a row back out of the recycle bin.
    pub fn undelete(&mut self, object: &str, id: &str, moment: impl Into<Moment>) -> Result<()> {
        self.write(object, id, &[], moment.into(), Write::Undelete)
    }

    /// Removes a row for good, from the bin or without it (hard delete).
    pub fn purge(&mut self, object: &str, id: &str, moment: impl Into<Moment>) -> Result<()> {
        self.write(object, id, &[], moment.into(), Write::Purge)
    }

    /// Merges `loser` into `winner`: the loser goes into the bin with `MasterRecordId` set.
    pub fn merge(
        &mut self,
        object: &str,
        winner: &str,
        loser: &str,
        moment: impl Into<Moment>,
    ) -> Result<()> {
        let moment = moment.into();
        let master = [("MasterRecordId", Value::text(winner))];
        self.write(object, loser, &master, moment, Write::Delete)?;
        self.write(object, winner, &[], moment, Write::Update)
    }

    /// Touches up to `most` live rows of an object in one transaction; returns how many.
    pub fn mass_update(
        &mut self,
        object: &str,
        most: usize,
        moment: impl Into<Moment>,
    ) -> Result<usize> {
        let moment = moment.into();
        let ids: Vec<_> = self.live(object, moment.begin).take(most).collect();
        for id in &ids {
            self.update(object, id, &[], moment)?;
        }
        Ok(ids.len())
    }

    /// Adds a field, in the notation of the schema module, such as `Region__c pk40`. Rows that are not
    /// touched afterwards keep null.
    pub fn add_field(&mut self, object: &str, notation: &str, at: Timestamp) -> Result<()> {
        let table = self.table_mut(object)?;
        let field = schema::field(&table.frame.name, notation, table.columns.len());
        table.columns.push(data::Column {
            field,
            from: at,
            until: None,
            hidden: Vec::new(),
        });
        table.refresh();
        Ok(())
    }

    /// Deletes a field for good.
    pub fn drop_field(&mut self, object: &str, field: &str, at: Timestamp) -> Result<()> {
        let column = self.column_mut(object, field)?;
        column.until = Some(at);
        self.table_mut(object)?.refresh();
        Ok(())
    }

    /// Withdraws the permission for a field, until `until` if given.
    pub fn hide_field(
        &mut self,
        object: &str,
        field: &str,
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<()> {
        let column = self.column_mut(object, field)?;
        column.hidden.push((from, until));
        self.table_mut(object)?.refresh();
        Ok(())
    }

    /// Gives a field another type: the old one is dropped and a new one of the same name is added.
    pub fn change_type(&mut self, object: &str, notation: &str, at: Timestamp) -> Result<()> {
        let name = notation.split_whitespace().next().unwrap_or_default();
        self.drop_field(object, name, at)?;
        self.add_field(object, notation, at)
    }

    // For the story.

    /// Ids of live, unlocked rows at `at`.
    pub(super) fn live(&self, object: &str, at: Timestamp) -> impl Iterator<Item = Arc<str>> {
        let table = self.table(object);
        table
            .into_iter()
            .flat_map(|table| table.order.iter())
            .filter(move |id| self.is_live(object, id, at))
            .cloned()
    }

    /// Whether a row may be changed at `at`.
    pub(super) fn is_live(&self, object: &str, id: &str, at: Timestamp) -> bool {
        self.versions(object, id)
            .last()
            .is_some_and(|version| !version.is_deleted && !version.purged && version.visible <= at)
    }

    /// A stored value of the newest version of a row, seen or not.
    pub(super) fn stored(&self, object: &str, id: &str, name: &str) -> Value {
        let Some(table) = self.table(object) else {
            return Value::Null;
        };
        let slot = table.slots.get(name);
        table
            .last(id)
            .zip(slot)
            .map_or(Value::Null, |(version, &slot)| version.get(slot).clone())
    }

    /// Rows that refer to another and are not deleted, locked ones included.
    pub(super) fn referring(&self, object: &str, field: &str, id: &str) -> Vec<Arc<str>> {
        self.table(object)
            .map_or_else(Vec::new, |table| table.referring(field, id))
    }

    /// A stored value of this very version of a row.
    pub(super) fn stored_at(&self, row: &Row, name: &str) -> Value {
        let slot = self
            .table(&row.object)
            .and_then(|table| table.slots.get(name));
        slot.map_or(Value::Null, |&slot| row.version.get(slot).clone())
    }

    /// Changes some fields without a user: the stamp moves, `LastModifiedDate` does not.
    pub(super) fn system_update(
        &mut self,
        object: &str,
        id: &str,
        changes: &[Change<'_>],
        moment: Moment,
    ) -> Result<()> {
        self.write(object, id, changes, moment, Write::Touch)
    }

    fn write(
        &mut self,
        object: &str,
        id: &str,
        changes: &[Change<'_>],
        moment: Moment,
        write: Write,
    ) -> Result<()> {
        let seed = self.options.seed;
        let bin = self.bin();
        let table = self.table_mut(object)?;
        let view = table.full(moment.begin);
        let known = table.rows.get_key_value(id);
        let (id, versions) = known.ok_or_else(|| unknown("row", id))?;
        let id = id.clone();
        let last = versions
            .last()
            .cloned()
            .ok_or_else(|| unknown("row", &id))?;
        if last.visible > moment.begin {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("change row `{id}`: another transaction holds it"),
            ));
        }
        let expired = last.is_deleted && moment.begin >= last.begin.plus(bin);
        let possible = match write {
            Write::Undelete => last.is_deleted && !last.purged && !expired,
            Write::Purge => !last.purged,
            Write::Update | Write::Touch | Write::Delete => !last.is_deleted && !last.purged,
        };
        if !possible {
            return Err(Error::new(
                ErrorKind::Config,
                format!("change row `{id}` in this way: it is not in the right place for it"),
            ));
        }
        let number = last.number + 1;
        let mut draft = data::Draft::new(&view, &last.values, table.columns.len());
        if write == Write::Update {
            data::fill(&mut draft, seed, &id, number);
            draft.set("LastModifiedDate", Value::DateTime(moment.begin));
        }
        if write != Write::Purge {
            draft.set("SystemModstamp", Value::DateTime(moment.begin));
        }
        let is_deleted = match write {
            Write::Delete => true,
            Write::Undelete => false,
            Write::Update | Write::Touch | Write::Purge => last.is_deleted,
        };
        draft.set("IsDeleted", Value::Bool(is_deleted));
        for (name, value) in changes {
            draft.set_checked(name, value.clone())?;
        }
        data::finish(&mut draft);
        let version = Version {
            number,
            values: draft.into_values(),
            begin: moment.begin,
            visible: moment.visible,
            is_deleted,
            purged: write == Write::Purge,
        };
        table.push(&id, version);
        Ok(())
    }

    fn bin(&self) -> Duration {
        Duration::from_secs(u64::from(self.options.bin_days) * 86_400)
    }

    fn newest(
        &self,
        object: &Arc<str>,
        id: &Arc<str>,
        versions: &[Arc<Version>],
        t: Timestamp,
    ) -> Option<Row> {
        let seen = versions.partition_point(|version| version.visible <= t);
        let version = versions.get(seen.checked_sub(1)?)?;
        let expired = version.is_deleted && t >= version.begin.plus(self.bin());
        (!version.purged && !expired).then(|| Row {
            object: object.clone(),
            id: id.clone(),
            version: version.clone(),
        })
    }

    fn table(&self, name: &str) -> Option<&data::Table> {
        self.tables.get(name).or_else(|| {
            let mut tables = self.tables.iter();
            tables
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, table)| table)
        })
    }

    fn table_mut(&mut self, name: &str) -> Result<&mut data::Table> {
        self.tables
            .get_mut(name)
            .ok_or_else(|| unknown("object", name))
    }

    fn column_mut(&mut self, object: &str, field: &str) -> Result<&mut data::Column> {
        self.table_mut(object)?
            .columns
            .iter_mut()
            .rfind(|column| column.field.name == field)
            .ok_or_else(|| unknown("field", field))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Update,
    Touch,
    Delete,
    Undelete,
    Purge,
}

fn unknown(what: &str, name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("find the {what} `{name}` in the emulated org"),
    )
}
