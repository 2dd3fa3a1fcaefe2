//! The account: every version of every record.
//!
//! A world is a function of its options and an instant. [`World::evolve`] plays events up to an instant,
//! each drawn from (seed, number of the event), so that the same options give the same world in any number
//! of steps. Reads name the instant they look at and never change anything. Seconds are the finest time
//! here, as at the service: two changes in one second have the same stamp, and the later one is newer.
//!
//! What a complete sync must show is answered from here ([`World::ids`], [`World::expected`]), never from a
//! rendered answer. Nothing here sleeps, reads a clock or knows HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use overlock_core::{Error, ErrorKind, Result, Timestamp};
use serde_json::Value;

use super::data;
use super::record::{Body, Key, Marks, Record, Sec, Table, Version, iso, quote};

/// What a world is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldOptions {
    /// Decides every random choice. A Salesforce world of the same seed has the same customers.
    pub seed: u64,
    /// Where history ends and evolution begins. Whole seconds.
    pub start: Timestamp,
    /// Days of history before `start`. More than 130 give archived tickets.
    pub history_days: u32,
    /// Tickets at `start`.
    pub tickets: u32,
    /// Users at `start`, agents included.
    pub users: u32,
    /// Organizations at `start`.
    pub organizations: u32,
    /// Changes per day after `start`, on average.
    pub changes_per_day: u32,
    /// Hostile values: other types than the contract says, `via` as text, many huge ids and unknown fields,
    /// numbers at the edges, unprintable text. Public clients give up on such a world.
    pub nasty: bool,
}

impl WorldOptions {
    /// For tests: some sixty tickets and one of every oddity.
    pub fn tiny(seed: u64, start: Timestamp) -> Self {
        Self {
            seed,
            start,
            history_days: 240,
            tickets: 60,
            users: 40,
            organizations: 9,
            changes_per_day: 48,
            nasty: false,
        }
    }

    /// For the demo: some fifteen hundred tickets.
    pub fn demo(seed: u64, start: Timestamp) -> Self {
        Self {
            history_days: 365,
            tickets: 1_500,
            users: 420,
            organizations: 150,
            changes_per_day: 240,
            ..Self::tiny(seed, start)
        }
    }
}

/// A named value for a mutation.
pub type Change<'a> = (&'a str, Value);

/// Exports withhold what changed in the last minute.
pub(super) const WITHHELD_SECS: Sec = 60;

/// Closed tickets are archived after 120 days.
pub(super) const ARCHIVE_SECS: Sec = 120 * 86_400;

/// Streams that come from exports which withhold the last minute.
const WITHHELD: &[&str] = &[
    "tickets",
    "ticket_metrics",
    "ticket_events",
    "ticket_metric_events",
    "ticket_comments",
    "ticket_audits",
    "side_conversations",
    "users",
    "user_identities",
    "organizations",
];

/// Streams whose records are gone with their parent.
const BELOW: &[(&str, &str)] = &[
    ("articles", "article_attachments"),
    ("articles", "article_comments"),
    ("articles", "article_votes"),
    ("posts", "post_comments"),
    ("schedules", "schedule_holidays"),
];

/// Streams that hang on a ticket of the export.
const CHILDREN: &[&str] = &[
    "ticket_metrics",
    "ticket_comments",
    "ticket_audits",
    "side_conversations",
];

/// The account.
#[derive(Debug, Clone)]
pub struct World {
    pub(super) options: WorldOptions,
    pub(super) tables: BTreeMap<&'static str, Table>,
    pub(super) story: data::Story,
    /// Ids that no table counts: events inside audits, attachments.
    pub(super) serial: i64,
}

/// A record as it stands at an instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) key: &'a Key,
    pub(super) record: &'a Record,
    pub(super) version: &'a Version,
}

impl World {
    /// Makes the account as it stands at `options.start`, with its history.
    pub fn seeded(options: WorldOptions) -> Self {
        let mut options = options;
        options.start = options.start.floor_second();
        let mut world = Self {
            story: data::Story::before(&options),
            tables: data::STREAMS
                .iter()
                .map(|name| (*name, Table::default()))
                .collect(),
            options,
            serial: 0,
        };
        data::seed(&mut world);
        let start = world.options.start;
        world.evolve(start);
        world
    }

    /// What it was made from.
    pub fn options(&self) -> &WorldOptions {
        &self.options
    }

    /// Names of all streams, as in the contract.
    pub fn streams() -> Vec<&'static str> {
        data::STREAMS.iter().copied().chain(["tags"]).collect()
    }

    /// Plays every event up to and including `to`; does nothing if `to` has been played already.
    pub fn evolve(&mut self, to: Timestamp) {
        data::play(self, to.seconds());
    }

    // Oracles.

    /// Keys of everything that a complete sync at `at` must show, as text.
    ///
    /// Tickets are those that the export gives by default, deleted ones included; `tickets:all` adds those
    /// of AI agents. Comments, audits and side conversations are those of tickets that are not deleted;
    /// `ticket_comments:events` are those inside exported events, where deleted tickets keep theirs. A record
    /// that changed within the last minute is withheld by the exports and missing here.
    pub fn ids(&self, stream: &str, at: Timestamp) -> BTreeSet<String> {
        let now = at.seconds();
        if stream == "tags" {
            return self.tags(now).into_iter().map(|(name, _)| name).collect();
        }
        if stream == "ticket_comments:events" {
            return self
                .rows("ticket_comments", now)
                .filter(|row| row.record.created <= now - WITHHELD_SECS)
                .filter(|row| {
                    let ticket = row.record.parent.as_ref();
                    let ticket = ticket.and_then(|key| self.row("tickets", key, now));
                    ticket.is_none_or(|ticket| !ticket.version.marks.ai_agent)
                })
                .map(|row| row.key.to_string())
                .collect();
        }
        let (stream, all) = match stream.strip_suffix(":all") {
            Some(stream) => (stream, true),
            None => (stream, false),
        };
        self.rows(stream, now)
            .filter(|row| self.is_shown(stream, *row, now, all))
            .map(|row| row.key.to_string())
            .collect()
    }

    fn is_shown(&self, stream: &str, row: Row<'_>, now: Sec, all: bool) -> bool {
        let lag = withheld(stream);
        if stream == "tickets" {
            return row.version.stamp <= now - lag && (all || !row.version.marks.ai_agent);
        }
        if CHILDREN.contains(&stream) {
            let ticket = row.record.parent.as_ref();
            let ticket = ticket.and_then(|key| self.row("tickets", key, now));
            return ticket.is_some_and(|ticket| {
                !ticket.version.marks.deleted && self.is_shown("tickets", ticket, now, all)
            });
        }
        if stream == "user_identities" {
            let user = row.record.parent.as_ref();
            let user = user.and_then(|key| self.row("users", key, now));
            return user.is_some_and(|user| user.version.stamp <= now - lag);
        }
        if stream == "deleted_tickets" || stream == "deleted_users" {
            return true;
        }
        row.version.stamp <= now - lag && (all || !row.version.marks.ai_agent)
    }

    /// The body of a record as the API gives it at `at`; `None` if it is not there.
    ///
    /// For streams from exports this is the newest version that is not withheld, so that an increment
    /// which came too early for the last one is right as well.
    pub fn expected(&self, stream: &str, key: &str, at: Timestamp) -> Option<Value> {
        if stream == "tags" {
            let tags = self.tags(at.seconds());
            let count = tags.into_iter().find(|(name, _)| name == key)?.1;
            return Some(serde_json::json!({ "name": key, "count": count }));
        }
        serde_json::from_str(&self.expected_text(stream, key, at)?).ok()
    }

    /// The same as JSON text, with the order of keys and the spelling of numbers.
    pub fn expected_text(&self, stream: &str, key: &str, at: Timestamp) -> Option<String> {
        let stream = stream.split(':').next().unwrap_or(stream);
        let lag = if CHILDREN.contains(&stream) && stream != "ticket_metrics" {
            0
        } else {
            withheld(stream)
        };
        let record = self.table(stream)?.records.get(&Key::parse(key))?;
        let now = at.seconds();
        let mut newest = record.versions.iter().rev();
        let version = newest.find(|version| version.at <= now && version.stamp <= now - lag)?;
        (!version.marks.gone).then(|| version.text.to_string())
    }

    /// Whether the newest change of a record moved neither its place in the export nor a time that an
    /// increment could go by: two-factor settings of users, redacted words, the mark of deleted metric events.
    pub fn changed_silently(&self, stream: &str, key: &str, at: Timestamp) -> bool {
        let record = self.table(stream);
        let record = record.and_then(|table| table.records.get(&Key::parse(key)));
        let version = record.and_then(|record| record.live(at.seconds()));
        version.is_some_and(|version| version.stamp < version.at)
    }

    /// The key of the record that a record hangs on: the ticket of a comment, the user of an identity.
    pub fn parent(&self, stream: &str, key: &str) -> Option<String> {
        let record = self.table(stream)?.records.get(&Key::parse(key))?;
        record.parent.as_ref().map(ToString::to_string)
    }

    /// Every text that a record ever had up to `at`, oldest first. A row that a destination shows and this
    /// does not hold was invented or altered.
    pub fn ever(&self, stream: &str, key: &str, at: Timestamp) -> Vec<String> {
        let record = self
            .table(stream)
            .and_then(|table| table.records.get(&Key::parse(key)));
        let versions = record.map_or(&[] as &[Version], |record| record.versions.as_slice());
        let there = versions.iter().filter(|version| version.at <= at.seconds());
        there
            .filter(|version| !version.marks.gone)
            .map(|version| version.text.to_string())
            .collect()
    }

    /// Whether a ticket is archived: closed for more than 120 days, and only in exports and by id.
    pub fn is_archived(&self, ticket: i64, at: Timestamp) -> bool {
        let row = self.row("tickets", &Key::from(ticket), at.seconds());
        row.is_some_and(|row| is_archived(row.version, at.seconds()))
    }

    // Mutations. Instants count in whole seconds.

    /// Creates a record and returns its key; fields that are not given get made-up values. A field that
    /// names a parent (`ticket_id`, `user_id`, ..) must be given where the record hangs on one.
    ///
    /// # Errors
    /// `NotFound` if there is no such stream. Tickets come from [`World::insert_ticket`].
    pub fn insert(
        &mut self,
        stream: &str,
        changes: &[Change<'_>],
        at: Timestamp,
    ) -> Result<String> {
        let key = self.create(stream, changes, at.seconds())?;
        Ok(key.to_string())
    }

    /// Changes a record; `updated_at` moves unless it is among the changes.
    ///
    /// # Errors
    /// `NotFound` if there is no such record.
    pub fn update(
        &mut self,
        stream: &str,
        key: &str,
        changes: &[Change<'_>],
        at: Timestamp,
    ) -> Result<()> {
        let now = at.seconds();
        self.amend(stream, &Key::parse(key), now, Some(now), |body| {
            body.set_known("updated_at", iso(now));
            for (name, value) in changes {
                body.set(name, value.clone());
            }
        })
    }

    /// Changes a record although neither `updated_at` nor its place in the export moves.
    ///
    /// # Errors
    /// `NotFound` if there is no such record.
    pub fn update_silently(
        &mut self,
        stream: &str,
        key: &str,
        changes: &[Change<'_>],
        at: Timestamp,
    ) -> Result<()> {
        self.amend(stream, &Key::parse(key), at.seconds(), None, |body| {
            for (name, value) in changes {
                body.set(name, value.clone());
            }
        })
    }

    /// Removes a record: from `at` on it is absent.
    ///
    /// # Errors
    /// `NotFound` if there is no such record.
    pub fn remove(&mut self, stream: &str, key: &str, at: Timestamp) -> Result<()> {
        self.vanish(stream, &Key::parse(key), at.seconds())
    }

    /// Puts `count` new records into one second and returns their keys. For `ticket_events` these are
    /// comments on one ticket.
    ///
    /// # Errors
    /// `NotFound` if there is no such stream.
    pub fn crowd(&mut self, stream: &str, count: usize, second: Timestamp) -> Result<Vec<String>> {
        if stream == "ticket_events" {
            let ticket = self.insert_ticket(&[], second)?;
            let added = (1..count).map(|number| {
                let text = format!("one of many: {number}");
                self.add_comment(ticket, &text, true, None, second)
            });
            return added.map(|id| id.map(|id| id.to_string())).collect();
        }
        let added = (0..count).map(|_| match stream {
            "tickets" => Ok(self.insert_ticket(&[], second)?.to_string()),
            _ => self.insert(stream, &[], second),
        });
        added.collect()
    }

    // What the story and the service use.

    pub(super) fn table(&self, stream: &str) -> Option<&Table> {
        self.tables.get(stream)
    }

    /// Every record that is there at an instant, in the order of keys.
    pub(super) fn rows<'a>(&'a self, stream: &str, now: Sec) -> impl Iterator<Item = Row<'a>> {
        let table = self.table(stream).into_iter();
        table.flat_map(move |table| {
            table.live(now).map(|(key, record, version)| Row {
                key,
                record,
                version,
            })
        })
    }

    pub(super) fn row(&self, stream: &str, key: &Key, now: Sec) -> Option<Row<'_>> {
        let (key, record) = self.table(stream)?.records.get_key_value(key)?;
        let version = record.live(now)?;
        Some(Row {
            key,
            record,
            version,
        })
    }

    /// Records that hang on another, in the order they came.
    pub(super) fn children<'a>(
        &'a self,
        stream: &'a str,
        parent: &Key,
        now: Sec,
    ) -> impl Iterator<Item = Row<'a>> {
        let table = self.table(stream);
        let keys = table.map_or(&[] as &[Key], |table| table.of_parent(parent));
        keys.iter()
            .filter_map(move |key| self.row(stream, key, now))
    }

    /// Tags of tickets that changed in the last sixty days, most used first.
    pub(super) fn tags(&self, now: Sec) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.rows("tickets", now) {
            let version = row.version;
            if version.marks.deleted || version.stamp < now - 60 * 86_400 {
                continue;
            }
            let text: &str = &version.text;
            let tags = text
                .split_once("\"tags\":[")
                .and_then(|(_, rest)| rest.split_once(']'));
            let tags = tags.map_or("", |(tags, _)| tags);
            for tag in tags.split(',').map(|tag| tag.trim_matches('"')) {
                if !tag.is_empty() {
                    *counts.entry(tag.to_owned()).or_default() += 1;
                }
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
        counts
    }

    pub(super) fn create(&mut self, stream: &str, changes: &[Change<'_>], now: Sec) -> Result<Key> {
        let (key, mut body) = data::blank(self, stream, changes, now)?;
        for (name, value) in changes {
            body.set(name, value.clone());
        }
        data::grow(&mut body, stream, &key, self.options.nasty);
        let parent = data::parent_field(stream).map(|field| match body.get(field) {
            Value::String(text) => Key::from(text.as_str()),
            other => Key::from(other.as_i64().unwrap_or(0)),
        });
        self.story.note(stream, &key, &body);
        self.put(stream, &key, parent, now, now, body, Marks::default())?;
        Ok(key)
    }

    /// Writes the first version of a record.
    #[expect(
        clippy::too_many_arguments,
        reason = "one place that knows what a first version is"
    )]
    pub(super) fn put(
        &mut self,
        stream: &str,
        key: &Key,
        parent: Option<Key>,
        at: Sec,
        stamp: Sec,
        body: Body,
        marks: Marks,
    ) -> Result<()> {
        let table = self.table_mut(stream)?;
        let version = Version {
            at,
            stamp,
            marks,
            text: body.render().into(),
            lean: None,
        };
        if let Some(parent) = &parent {
            table
                .children
                .entry(parent.clone())
                .or_default()
                .push(key.clone());
        }
        table.order.push(key.clone());
        let record = Record {
            parent,
            created: at,
            body,
            versions: vec![version],
        };
        table.records.insert(key.clone(), record);
        Ok(())
    }

    /// Writes a further version; without a stamp its place in exports stays.
    pub(super) fn amend(
        &mut self,
        stream: &str,
        key: &Key,
        at: Sec,
        stamp: Option<Sec>,
        change: impl FnOnce(&mut Body),
    ) -> Result<()> {
        let record = self.record_mut(stream, key)?;
        change(&mut record.body);
        // The last one may lie in the future: the record is known to vanish then.
        let last = record.seen(at);
        let version = Version {
            at,
            stamp: stamp.unwrap_or_else(|| last.map_or(at, |last| last.stamp)),
            marks: last.map(|last| last.marks).unwrap_or_default(),
            text: record.body.render().into(),
            lean: None,
        };
        record.push(version);
        Ok(())
    }

    /// Makes a record absent from an instant on, which may lie in the future.
    pub(super) fn vanish(&mut self, stream: &str, key: &Key, at: Sec) -> Result<()> {
        // What hangs on it goes with it.
        let below = BELOW.iter().filter(|(parent, _)| *parent == stream);
        for (_, child) in below {
            let keys: Vec<Key> = self
                .rows(child, at)
                .filter(|row| row.record.parent.as_ref() == Some(key))
                .map(|row| row.key.clone())
                .collect();
            for key in keys {
                self.vanish(child, &key, at)?;
            }
        }
        let record = self.record_mut(stream, key)?;
        let version = Version {
            at,
            stamp: at,
            marks: Marks {
                gone: true,
                ..Marks::default()
            },
            text: "".into(),
            lean: None,
        };
        record.push(version);
        Ok(())
    }

    /// Replaces words in the newest text of a record, as a redaction does.
    pub(super) fn redact_text(
        &mut self,
        stream: &str,
        key: &Key,
        words: &[(String, String)],
        at: Sec,
    ) -> Result<()> {
        let record = self.record_mut(stream, key)?;
        let Some(last) = record.versions.last().cloned() else {
            return Ok(());
        };
        let clean = |text: &Arc<str>| -> Arc<str> {
            let mut text = text.to_string();
            for (old, new) in words {
                text = text.replace(&quote(old), &quote(new));
            }
            text.into()
        };
        record.push(Version {
            at,
            text: clean(&last.text),
            lean: last.lean.as_ref().map(clean),
            ..last
        });
        Ok(())
    }

    pub(super) fn table_mut(&mut self, stream: &str) -> Result<&mut Table> {
        self.tables
            .get_mut(stream)
            .ok_or_else(|| unknown("stream", stream))
    }

    pub(super) fn record_mut(&mut self, stream: &str, key: &Key) -> Result<&mut Record> {
        self.table_mut(stream)?
            .records
            .get_mut(key)
            .ok_or_else(|| unknown("record", &key.to_string()))
    }

    /// The next id of a stream: 14 digits, and one in each stream that no double can hold.
    pub(super) fn next_id(&mut self, stream: &str) -> Result<i64> {
        let place = self
            .tables
            .keys()
            .position(|name| *name == stream)
            .unwrap_or(0);
        let place = i64::try_from(place).unwrap_or(0);
        let nasty = self.options.nasty;
        let table = self.table_mut(stream)?;
        table.serial += 1;
        let serial = table.serial;
        if serial == 13 || nasty && serial % 5 == 3 {
            return Ok(9_007_199_254_740_993 + place * 1_000_000 + (serial - 13) * 2);
        }
        if stream == "tickets" {
            return Ok(serial);
        }
        Ok(28_000_000_000_000 + place * 100_000_000_000 + serial * 37)
    }

    /// An id for what has no table.
    pub(super) fn inner_id(&mut self) -> i64 {
        self.serial += 1;
        39_000_000_000_000 + self.serial * 17
    }
}

/// Seconds that the export behind a stream withholds.
pub(super) fn withheld(stream: &str) -> Sec {
    if WITHHELD.contains(&stream) {
        WITHHELD_SECS
    } else {
        0
    }
}

/// Whether a version of a ticket is archived at an instant.
pub(super) fn is_archived(version: &Version, now: Sec) -> bool {
    version
        .marks
        .closed
        .is_some_and(|closed| now - closed > ARCHIVE_SECS)
}

pub(super) fn unknown(what: &str, name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("find the {what} `{name}` in the emulated account"),
    )
}
