//! Names and values inside SQL text. The driver has no bindings, so this is the only door.

use std::fmt;

/// A name in double quotes; any name is safe.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal. Snowflake reads backslash escapes inside single quotes.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A text literal, or `NULL`.
pub(crate) fn literal_or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

/// A database and a schema in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Database, as Snowflake spells it.
    pub database: String,
    /// Schema, as Snowflake spells it.
    pub schema: String,
}

impl Place {
    /// Something in this schema.
    #[must_use]
    pub fn name(&self, object: impl Into<String>) -> Name {
        Name {
            place: self.clone(),
            object: object.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quoted(&self.database), quoted(&self.schema))
    }
}

/// The full name of a table or stage; shown as SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Where.
    pub place: Place,
    /// Its own name, as Snowflake spells it.
    pub object: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.place, quoted(&self.object))
    }
}

/// Longest identifier (unverified: snowflake.md, section 9).
const MAX_IDENTIFIER_BYTES: usize = 255;

/// The name under which something of the source is found without quotes: upper case, `[A-Z_][A-Z0-9_]*`.
///
/// Different names may become one; a plan then adds a number.
pub fn normalized(name: &str) -> String {
    let mut text: String = name
        .chars()
        .map(|one| match one.to_ascii_uppercase() {
            upper @ ('A'..='Z' | '0'..='9' | '_') => upper,
            _ => '_',
        })
        .collect();
    if text.is_empty() || text.starts_with(|first: char| first.is_ascii_digit()) {
        text.insert(0, '_');
    }
    text.truncate(MAX_IDENTIFIER_BYTES - 16);
    text
}

/// `wanted`, or `wanted_2`, `wanted_3` and so on: the first that is not taken.
pub(crate) fn unused(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = wanted.to_owned();
    let mut number = 1_u32;
    while is_taken(&name) {
        number += 1;
        name = format!("{wanted}_{number}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_never_become_sql() {
        // covers: I14
        assert_eq!(
            quoted("a\"; DROP TABLE x; --"),
            "\"a\"\"; DROP TABLE x; --\""
        );
        assert_eq!(literal(r"it's \' a \ trap"), r"'it''s \\'' a \\ trap'");
        assert_eq!(literal_or_null(None), "NULL");
    }

    #[test]
    fn normalized_names_need_no_quotes() {
        for (name, expected) in [
            ("Amount__c", "AMOUNT__C"),
            ("a.b", "A_B"),
            ("Count of \"x\"", "COUNT_OF__X_"),
            ("2nd", "_2ND"),
            ("", "_"),
            ("größe", "GR__E"),
        ] {
            assert_eq!(normalized(name), expected, "{name}");
        }
        assert!(normalized(&"x".repeat(1000)).len() < MAX_IDENTIFIER_BYTES);
        assert_eq!(
            unused("A_B", |name| name == "A_B" || name == "A_B_2"),
            "A_B_3"
        );
    }
}
