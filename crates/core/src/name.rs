//! Names that were checked once at the border.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Longest stream name, in bytes. Salesforce API names have at most 80 characters.
pub const MAX_NAME_BYTES: usize = 80;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the name.
            ///
            /// # Errors
            /// `Config` if it is not of the allowed form.
            pub fn new(name: impl Into<String>) -> Result<Self> {
                let name = name.into();
                let check: fn(&str) -> bool = $check;
                if check(&name) {
                    return Ok(Self(name));
                }
                let shown = crate::text::printable(&name);
                Err(Error::new(ErrorKind::Config, format!(concat!("accept `{}` as the name of a ", $what), shown))
                    .hint($rule))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type!(
    /// The name of a stream, as the source spells it: `[A-Za-z][A-Za-z0-9_]*`, at most 80 bytes.
    /// It is therefore safe as a folder name and inside a query.
    StreamName,
    "stream",
    "a stream name starts with a letter and has only letters, digits and `_`, at most 80",
    |name| name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
);

name_type!(
    /// The name that the user gave to a source, pipeline or destination: `[a-z0-9][a-z0-9_-]*`,
    /// at most 80 bytes, safe as a folder name.
    SourceName,
    "source, pipeline or destination",
    "use lowercase letters, digits, `_` and `-`, starting with a letter or digit, at most 80",
    |name| name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
);

/// What one head belongs to: a pipeline and one of its streams.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncKey {
    /// The pipeline.
    pub pipeline: SourceName,
    /// The stream.
    pub stream: StreamName,
}

impl SyncKey {
    /// Joins a pipeline and a stream.
    pub fn new(pipeline: SourceName, stream: StreamName) -> Self {
        Self { pipeline, stream }
    }
}

impl fmt::Display for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pipeline, self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_paths_or_sql() {
        // covers: I15
        let long = "a".repeat(300);
        for bad in [
            "",
            ".",
            "..",
            "../../etc/x",
            "a/b",
            "a b",
            "a\0",
            "/abs",
            "1a",
            "a;--",
            "_x",
            &long,
        ] {
            assert!(StreamName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["Account", "My_Object__c", "tickets"] {
            assert_eq!(StreamName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "../x", "a/b", "-a", "a.b", "CON\0"] {
            assert!(SourceName::new(bad).is_err(), "{bad:?}");
        }
        assert!(SourceName::new("sfdc-eu_2").is_ok());
    }
}
