//! Configuration as a tree of values that remember where they came from.
//!
//! TOML files, the overlay of an environment, `OVERLOCK__` variables and `--set` flags all become
//! [`Node`]s and are laid over one another here; whoever finds a mistake later can still point at the
//! line and column, or name the variable or flag.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{FileId, Problem};

/// Where a key or value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a file, at these bytes.
    File(FileId, Range<usize>),
    /// In an environment variable of this name.
    Variable(String),
    /// In a flag, shown as the user wrote it up to the `=`.
    Flag(String),
    /// Nowhere: put there by the program, which says who.
    Program(&'static str),
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The value.
    pub(crate) value: Value,
    /// Where the value was written.
    pub(crate) origin: Origin,
    /// Where its key was written.
    pub(crate) key: Origin,
}

/// A configuration value; no key of overlock is a fraction, so fractions are kept as their text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Fraction(String),
    Boolean(bool),
    Instant(String),
    List(Vec<Node>),
    Table(Table),
}

/// Keys and what they hold.
pub(crate) type Table = BTreeMap<String, Node>;

impl Value {
    /// The kind of value in words, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Fraction(_) => "a fraction",
            Self::Boolean(_) => "true or false",
            Self::Instant(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// A value that the program itself puts into the tree.
    pub(crate) fn program(value: Value, who: &'static str) -> Self {
        Self {
            value,
            origin: Origin::Program(who),
            key: Origin::Program(who),
        }
    }

    /// An empty table that the program itself puts into the tree.
    pub(crate) fn empty() -> Self {
        Self::program(Value::Table(Table::new()), "default")
    }

    /// The table, if it is one.
    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What is at this path below.
    pub(crate) fn at<'a>(&'a self, path: &[&str]) -> Option<&'a Node> {
        path.iter()
            .try_fold(self, |node, key| node.table()?.get(*key))
    }

    /// The tree as JSON, without where things were written.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Text(text) | Value::Instant(text) | Value::Fraction(text) => {
                Json::from(text.as_str())
            }
            Value::Integer(number) => Json::from(*number),
            Value::Boolean(flag) => Json::from(*flag),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Table(table) => Json::Object(
                table
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_json()))
                    .collect(),
            ),
        }
    }

    /// Lays `over` over this tree: tables are joined key by key, anything else is replaced.
    pub(crate) fn overlay(&mut self, over: Node) {
        if let (Value::Table(base), Value::Table(_)) = (&mut self.value, &over.value) {
            let Value::Table(over) = over.value else {
                return;
            };
            for (key, node) in over {
                match base.get_mut(&key) {
                    Some(below) => below.overlay(node),
                    None => {
                        base.insert(key, node);
                    }
                }
            }
        } else {
            *self = over;
        }
    }

    /// Puts a value at a path, making the tables on the way. A step matches an existing key in any
    /// case, because variable names have only one.
    pub(crate) fn set(&mut self, path: &[String], value: Node) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if self.table().is_none() {
            self.value = Value::Table(Table::new());
        }
        let Value::Table(table) = &mut self.value else {
            return;
        };
        let key = table
            .keys()
            .find(|key| *key == first)
            .or_else(|| table.keys().find(|key| key.eq_ignore_ascii_case(first)))
            .unwrap_or(first)
            .clone();
        let below = table.entry(key).or_insert_with(|| Node {
            value: Value::Table(Table::new()),
            origin: value.origin.clone(),
            key: value.key.clone(),
        });
        below.set(rest, value);
    }
}

/// Reads TOML into a tree.
///
/// # Errors
/// Syntax errors and duplicate keys, each with its position.
pub(crate) fn parse(text: &str, file: FileId) -> Result<Node, Vec<Problem>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Node {
            value: Value::Table(table(root.get_ref(), file)),
            origin: Origin::File(file, root.span()),
            key: Origin::File(file, 0..0),
        });
    }
    let problems = errors
        .into_iter()
        .take(5)
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            Problem::new(overlock_core::text::printable(error.message()))
                .at(Origin::File(file, span))
                .syntax()
        })
        .collect();
    Err(problems)
}

fn table(table: &DeTable<'_>, file: FileId) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let mut node = node(value, file);
            node.key = Origin::File(file, key.span());
            (key.get_ref().to_string(), node)
        })
        .collect()
}

fn node(value: &Spanned<DeValue<'_>>, file: FileId) -> Node {
    let origin = Origin::File(file, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Fraction(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Value::Fraction(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(instant) => Value::Instant(instant.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, file)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, file)),
    };
    Node {
        value,
        key: origin.clone(),
        origin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(text, FileId(0)).unwrap()
    }

    #[test]
    fn overlays_join_tables_and_replace_the_rest() {
        let mut base = tree("[source.crm]\nlogin_url = 'a'\nobjects = ['x']\n");
        base.overlay(tree("source.crm = { login_url = 'b' }"));
        base.overlay(tree("source.crm.objects = ['y', 'z']"));
        assert_eq!(
            base.to_json().to_string(),
            r#"{"source":{"crm":{"login_url":"b","objects":["y","z"]}}}"#
        );
    }

    #[test]
    fn a_set_finds_keys_in_any_case_and_makes_tables() {
        let mut base = tree("[streams.Account]\n");
        let value = Node::program(Value::Text("append".into()), "test");
        base.set(
            &["streams".into(), "account".into(), "write_mode".into()],
            value,
        );
        assert_eq!(
            base.to_json().to_string(),
            r#"{"streams":{"Account":{"write_mode":"append"}}}"#
        );
    }

    #[test]
    fn duplicate_keys_and_bad_syntax_are_problems_with_a_place() {
        // covers: I22
        for text in ["a = 1\na = 2\n", "a = \n", "a = \"\u{0}\"\n", "[a]\n[a]\n"] {
            let problems = parse(text, FileId(0)).unwrap_err();
            assert!(
                matches!(problems[0].origin, Some(Origin::File(..))),
                "{text}"
            );
        }
    }
}
