//! Policies of the folder destination.

use serde::{Deserialize, Serialize};

/// Policies of the folder destination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LocalOptions {
    /// Lets a complete package without rows replace a table with rows.
    pub allow_empty_replace: bool,
    /// What happens when a stream's schema differs from the table's.
    pub on_schema_change: OnSchemaChange,
}

impl LocalOptions {
    /// The same with this policy for empty replacements.
    #[must_use]
    pub fn allow_empty_replace(mut self, allow: bool) -> Self {
        self.allow_empty_replace = allow;
        self
    }

    /// The same with this policy for schema changes.
    #[must_use]
    pub fn on_schema_change(mut self, policy: OnSchemaChange) -> Self {
        self.on_schema_change = policy;
        self
    }
}

/// What happens when a stream's schema differs from the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSchemaChange {
    /// The table follows.
    #[default]
    Evolve,
    /// The commit is refused.
    Fail,
}
