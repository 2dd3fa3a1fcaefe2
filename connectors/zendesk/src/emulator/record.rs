//! What a record is: its key, its versions, its JSON text.
//!
//! A body keeps its fields in the order of the API and is rendered once per version. Values may hold
//! [`raw`] JSON text, so that key order inside objects and the spelling of numbers are what the story wrote.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use overlock_core::Timestamp;
use serde_json::Value;

/// Seconds since the epoch: the service knows nothing finer.
pub(super) type Sec = i64;

/// No value.
pub(super) const NIL: Value = Value::Null;

/// Marks a text as JSON that is written as it stands.
const RAW: char = '\u{1}';

/// JSON text as a value.
pub(super) fn raw(text: impl fmt::Display) -> Value {
    Value::String(format!("{RAW}{text}"))
}

/// An instant as the service writes it.
pub(super) fn iso(at: Sec) -> String {
    Timestamp::from_seconds(at)
        .unwrap_or(Timestamp::EPOCH)
        .to_string()
}

/// A JSON string literal.
pub(super) fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// The key of a record: numbers order as numbers, texts as texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Number(i64),
    Text(Arc<str>),
}

impl Key {
    pub(super) fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(number) => Self::Number(number),
            Err(_) => Self::Text(text.into()),
        }
    }

    /// The number; 0 for a text.
    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(_) => 0,
        }
    }
}

impl From<i64> for Key {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The fields of a record in the order of the API.
#[derive(Debug, Clone, Default)]
pub(super) struct Body(Vec<(Cow<'static, str>, Value)>);

/// Builds a [`Body`]: `body! { id: 1, name: "x" }`.
macro_rules! body {
    ($($name:ident : $value:expr),* $(,)?) => {
        $crate::emulator::record::Body::new(vec![$((stringify!($name), serde_json::json!($value))),*])
    };
}
pub(super) use body;

impl Body {
    pub(super) fn new(fields: Vec<(&'static str, Value)>) -> Self {
        let fields = fields.into_iter();
        Self(fields.map(|(name, value)| (name.into(), value)).collect())
    }

    pub(super) fn get(&self, name: &str) -> &Value {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or(&Value::Null, |(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        self.get(name).as_i64().unwrap_or(0)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_default()
    }

    /// Sets a field, at the end if it is new.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name.to_owned().into(), value)),
        }
    }

    /// Sets a field only if the record has one of that name.
    pub(super) fn set_known(&mut self, name: &str, value: impl Into<Value>) {
        if let Some((_, place)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *place = value.into();
        }
    }

    /// The JSON text. `fields` repeats `custom_fields`, as it does in every ticket.
    pub(super) fn render(&self) -> String {
        let mut out = String::from("{");
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(&quote(name));
            out.push(':');
            let from = out.len();
            write_value(&mut out, value);
            if name == "custom_fields" {
                let again = out.get(from..).unwrap_or_default().to_owned();
                out.push_str(",\"fields\":");
                out.push_str(&again);
            }
        }
        out.push('}');
        out
    }
}

/// Appends a value, raw texts as they stand.
pub(super) fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) if text.starts_with(RAW) => {
            out.push_str(text.trim_start_matches(RAW));
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, item)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&quote(name));
                out.push(':');
                write_value(out, item);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// What a version is besides its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The record is absent from here on.
    pub(super) gone: bool,
    /// A ticket in the bin, or what is left of it.
    pub(super) deleted: bool,
    /// A ticket of an AI agent.
    pub(super) ai_agent: bool,
    /// When the ticket was closed.
    pub(super) closed: Option<Sec>,
}

/// One state of a record.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// Seen from this second on.
    pub(super) at: Sec,
    /// The second that exports order and filter by.
    pub(super) stamp: Sec,
    pub(super) marks: Marks,
    pub(super) text: Arc<str>,
    /// The shorter form, where there are two.
    pub(super) lean: Option<Arc<str>>,
}

/// A record with its past.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) parent: Option<Key>,
    pub(super) created: Sec,
    /// The newest fields, to go on from.
    pub(super) body: Body,
    pub(super) versions: Vec<Version>,
}

impl Record {
    /// The newest version at an instant; `None` before the first.
    pub(super) fn seen(&self, at: Sec) -> Option<&Version> {
        let seen = self.versions.partition_point(|version| version.at <= at);
        self.versions.get(seen.checked_sub(1)?)
    }

    /// The newest version that is there at an instant.
    pub(super) fn live(&self, at: Sec) -> Option<&Version> {
        self.seen(at).filter(|version| !version.marks.gone)
    }

    pub(super) fn push(&mut self, version: Version) {
        let place = self.versions.partition_point(|old| old.at <= version.at);
        self.versions.insert(place, version);
    }
}

/// All records of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) records: BTreeMap<Key, Record>,
    pub(super) children: BTreeMap<Key, Vec<Key>>,
    /// Keys in the order they came, to draw from.
    pub(super) order: Vec<Key>,
    pub(super) serial: i64,
}

impl Table {
    pub(super) fn live(&self, at: Sec) -> impl Iterator<Item = (&Key, &Record, &Version)> {
        self.records
            .iter()
            .filter_map(move |(key, record)| Some((key, record, record.live(at)?)))
    }

    pub(super) fn of_parent(&self, parent: &Key) -> &[Key] {
        self.children.get(parent).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_keep_their_order_and_numbers_their_spelling() {
        let mut body =
            body! { z: 1, custom_fields: vec![json!({"id": 2, "value": raw("1.50")})], a: NIL };
        body.set("via", raw("{\"z\":1,\"a\":2}"));
        assert_eq!(
            body.render(),
            "{\"z\":1,\"custom_fields\":[{\"id\":2,\"value\":1.50}],\
             \"fields\":[{\"id\":2,\"value\":1.50}],\"a\":null,\"via\":{\"z\":1,\"a\":2}}"
        );
    }

    #[test]
    fn keys_order_as_numbers_before_texts() {
        let mut keys = [
            Key::parse("b"),
            Key::parse("10"),
            Key::parse("-1"),
            Key::parse("9"),
        ];
        keys.sort();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["-1", "9", "10", "b"]);
    }
}
