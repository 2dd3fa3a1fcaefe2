//! One object of the org as it is stored: every version of every row, and the fields over time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use overlock_core::Timestamp;

use crate::emulator::model::{Field, FieldKind, Object, Value, Version};

/// The rows of an object, all versions of them, and its fields over time.
#[derive(Debug, Clone)]
pub(in crate::emulator) struct Table {
    /// Every field there ever was, in slot order, and when it is seen.
    pub(in crate::emulator) columns: Vec<Column>,
    pub(in crate::emulator) name: Arc<str>,
    /// The object without its fields.
    pub(in crate::emulator) frame: Object,
    /// The object as it is seen from an instant on, in order of instants.
    pub(in crate::emulator) views: Vec<(Timestamp, Arc<Object>)>,
    /// The same, with the fields that are not permitted: transactions write those as well.
    pub(in crate::emulator) full: Vec<(Timestamp, Arc<Object>)>,
    /// Newest field of each name, for mutations.
    pub(in crate::emulator) slots: HashMap<String, usize>,
    pub(in crate::emulator) rows: BTreeMap<Arc<str>, Vec<Arc<Version>>>,
    /// Ids in the order they came.
    pub(in crate::emulator) order: Vec<Arc<str>>,
    pub(in crate::emulator) serial: u64,
    /// Rows that held an id in a reference field at some time, by slot and that id.
    referrers: HashMap<(usize, Arc<str>), Vec<Arc<str>>>,
}

/// A field and when it is there and permitted.
#[derive(Debug, Clone)]
pub(in crate::emulator) struct Column {
    pub(in crate::emulator) field: Field,
    pub(in crate::emulator) from: Timestamp,
    pub(in crate::emulator) until: Option<Timestamp>,
    pub(in crate::emulator) hidden: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Column {
    pub(in crate::emulator) fn is_there_at(&self, t: Timestamp) -> bool {
        is_within(t, self.from, self.until)
    }

    pub(in crate::emulator) fn seen_at(&self, t: Timestamp) -> bool {
        let mut hidden = self.hidden.iter();
        self.is_there_at(t) && !hidden.any(|&(from, until)| is_within(t, from, until))
    }
}

fn is_within(t: Timestamp, from: Timestamp, until: Option<Timestamp>) -> bool {
    t >= from && until.is_none_or(|until| t < until)
}

impl Table {
    pub(in crate::emulator) fn new(object: Object) -> Self {
        let columns = object
            .fields
            .iter()
            .map(|field| Column {
                field: field.clone(),
                from: BEGINNING,
                until: None,
                hidden: Vec::new(),
            })
            .collect();
        let mut table = Self {
            columns,
            name: object.name.as_str().into(),
            frame: Object {
                fields: Vec::new(),
                ..object
            },
            views: Vec::new(),
            full: Vec::new(),
            slots: HashMap::new(),
            rows: BTreeMap::new(),
            order: Vec::new(),
            serial: 0,
            referrers: HashMap::new(),
        };
        table.refresh();
        table
    }

    /// Works out the views after a change of the schema.
    pub(in crate::emulator) fn refresh(&mut self) {
        let mut instants = vec![BEGINNING];
        for column in &self.columns {
            instants.push(column.from);
            instants.extend(column.until);
            for &(from, until) in &column.hidden {
                instants.push(from);
                instants.extend(until);
            }
        }
        instants.sort_unstable();
        instants.dedup();
        let view_at = |instant: Timestamp, seen: &dyn Fn(&Column) -> bool| {
            let columns = self.columns.iter().filter(|column| seen(column));
            let fields = columns.map(|column| column.field.clone()).collect();
            let frame = self.frame.clone();
            (instant, Arc::new(Object { fields, ..frame }))
        };
        let views = instants
            .iter()
            .map(|&at| view_at(at, &|column| column.seen_at(at)))
            .collect();
        let full = instants
            .iter()
            .map(|&at| view_at(at, &|column| column.is_there_at(at)))
            .collect();
        self.views = views;
        self.full = full;
        self.slots = self
            .columns
            .iter()
            .map(|column| (column.field.name.clone(), column.field.slot))
            .collect();
    }

    pub(in crate::emulator) fn view(&self, t: Timestamp) -> Option<&Arc<Object>> {
        latest(&self.views, t)
    }

    pub(in crate::emulator) fn full(&self, t: Timestamp) -> Arc<Object> {
        latest(&self.full, t)
            .cloned()
            .unwrap_or_else(|| Arc::new(self.frame.clone()))
    }
}

fn latest(views: &[(Timestamp, Arc<Object>)], t: Timestamp) -> Option<&Arc<Object>> {
    let next = views.partition_point(|(from, _)| *from <= t);
    views.get(next.checked_sub(1)?).map(|(_, object)| object)
}

/// Before everything: fields that were always there.
pub(in crate::emulator) const BEGINNING: Timestamp = Timestamp::EPOCH;

impl Table {
    /// The newest version of a row, whether seen or not.
    pub(in crate::emulator) fn last(&self, id: &str) -> Option<&Arc<Version>> {
        self.rows.get(id)?.last()
    }

    /// Adds the next version of a row, or the first one of a new row.
    pub(in crate::emulator) fn push(&mut self, id: &Arc<str>, version: Version) {
        let before = self.rows.get(id).and_then(|versions| versions.last());
        let references = self.columns.iter().map(|column| &column.field);
        for field in references.filter(|field| field.kind == FieldKind::Reference) {
            let value = version.get(field.slot);
            let is_new = before.is_none_or(|before| before.get(field.slot) != value);
            if let (true, Value::Text(target)) = (is_new, value) {
                let key = (field.slot, target.clone());
                self.referrers.entry(key).or_default().push(id.clone());
            }
        }
        if before.is_none() {
            self.order.push(id.clone());
        }
        let versions = self.rows.entry(id.clone()).or_default();
        versions.push(Arc::new(version));
    }

    /// Ids of rows whose newest version is not deleted and refers to `target`, in the order they came.
    pub(in crate::emulator) fn referring(&self, field: &str, target: &str) -> Vec<Arc<str>> {
        let Some(&slot) = self.slots.get(field) else {
            return Vec::new();
        };
        let refers = |id: &&Arc<str>| {
            self.last(id).is_some_and(|version| {
                !version.is_deleted
                    && !version.purged
                    && matches!(version.get(slot), Value::Text(id) if **id == *target)
            })
        };
        let known = self.referrers.get(&(slot, target.into()));
        let mut ids: Vec<_> = known
            .into_iter()
            .flatten()
            .filter(refers)
            .cloned()
            .collect();
        // Ids count up, so their order is that of their coming.
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}
