//! The shape of `overlock.toml` and of the files in `pipelines/`.
//!
//! These types are the single source of truth: JSON Schema is derived from them (and from what each
//! connector says about its keys), the schema drives the check with positions in [`super::shape`], and
//! `overlock config schema` prints the same schema for editors.

use std::collections::BTreeMap;
use std::time::Duration;

use overlock_core::{DeleteMode, KeyKind, Spec, Timestamp, WriteMode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json, json};

use super::snowflake::SnowflakeTable;
use crate::registry;

/// `overlock.toml`: the connections of a project and its settings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "overlock.toml")]
pub(crate) struct ProjectFile {
    /// Version of this file's format.
    #[schemars(schema_with = "version_schema")]
    pub(crate) version: Option<u32>,
    /// Accept secrets written into files as they are; meant for test systems only.
    pub(crate) allow_plain_secrets: bool,
    /// Outside systems to read from, by the name you give them.
    #[schemars(schema_with = "sources_schema")]
    pub(crate) source: BTreeMap<String, Json>,
    /// Places to write to, by the name you give them.
    #[schemars(schema_with = "destinations_schema")]
    pub(crate) destination: BTreeMap<String, Json>,
    /// How runs behave.
    pub(crate) run: RunTable,
    /// Overlays: what differs in an environment that is chosen with `--env NAME`.
    #[schemars(extend("x-overlock-names" = "name"))]
    pub(crate) env: BTreeMap<String, EnvTable>,
}

/// How runs behave.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunTable {
    /// Streams that are read side by side; default 4.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) max_concurrent_streams: Option<u32>,
    /// A run stops at the next state after this time, such as `50m`; what is sealed is kept.
    pub(crate) timeout: Option<DurationText>,
    /// Time that a commit in flight gets after a stop signal; default `10s`.
    pub(crate) grace: Option<DurationText>,
    /// A file is finished at the first state after this time; default `30s`.
    pub(crate) file_every: Option<DurationText>,
    /// An incremental package is committed at the first state after this many rows.
    pub(crate) seal_rows: Option<u64>,
    /// An incremental package is committed at the first state after this many bytes.
    pub(crate) seal_bytes: Option<u64>,
    /// An incremental package is committed at the first state after this time.
    pub(crate) seal_every: Option<DurationText>,
    /// Rows per row group of a Parquet file.
    pub(crate) row_group_rows: Option<u64>,
    /// Size at which a Parquet file ends and the next begins.
    pub(crate) file_bytes: Option<u64>,
    /// `head-only` lets runs go on where `.overlock` is on a file system without locks, which is refused
    /// otherwise. Tables stay safe, since a commit names its parent; but see to it yourself that no two
    /// runs of a pipeline share the folder. Default `file`.
    pub(crate) lock: Option<LockText>,
}

/// What keeps two runs of one pipeline apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LockText {
    /// A lock file in the pipeline's folder.
    File,
    /// The lock file where the file system has locks, else the heads of the tables alone.
    HeadOnly,
}

impl From<LockText> for overlock_engine::LockMode {
    fn from(lock: LockText) -> Self {
        match lock {
            LockText::File => Self::Required,
            LockText::HeadOnly => Self::HeadOnly,
        }
    }
}

/// What differs in one environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EnvTable {
    /// Accept secrets written into files as they are.
    pub(crate) allow_plain_secrets: Option<bool>,
    /// Keys of `[source.NAME]` that differ.
    #[schemars(extend("x-overlock-names" = "name"))]
    pub(crate) source: BTreeMap<String, BTreeMap<String, Json>>,
    /// Keys of `[destination.NAME]` that differ.
    #[schemars(extend("x-overlock-names" = "name"))]
    pub(crate) destination: BTreeMap<String, BTreeMap<String, Json>>,
    /// Keys of `[run]` that differ.
    pub(crate) run: RunTable,
    /// Keys of `pipelines/NAME.toml` that differ.
    #[schemars(extend("x-overlock-names" = "name"))]
    pub(crate) pipeline: BTreeMap<String, BTreeMap<String, Json>>,
}

/// `[destination.NAME]`, chosen by its key `kind`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub(crate) enum DestinationTable {
    /// A folder of Parquet files.
    Local {
        /// The folder, relative to `overlock.toml`.
        #[serde(default = "default_path")]
        path: String,
    },
    /// A schema of a Snowflake database.
    Snowflake(Box<SnowflakeTable>),
}

fn default_path() -> String {
    "data".to_owned()
}

/// `pipelines/NAME.toml`: one source, one destination, some streams.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "overlock pipeline")]
pub(crate) struct PipelineFile {
    /// Name of a `[source.NAME]` in `overlock.toml`.
    pub(crate) source: String,
    /// Name of a `[destination.NAME]`; may be left out if there is at most one.
    #[serde(default)]
    pub(crate) destination: Option<String>,
    /// When `overlock run --due` runs this pipeline.
    #[serde(default)]
    pub(crate) schedule: Option<ScheduleTable>,
    /// Settings for every stream that does not say otherwise.
    #[serde(default)]
    pub(crate) defaults: DefaultsTable,
    /// What happens when the schema at the source changed; default `evolve`.
    #[serde(default)]
    pub(crate) on_schema_change: OnSchemaChange,
    /// Let a full refresh that brings no rows empty a table that has some.
    #[serde(default)]
    pub(crate) allow_empty_replace: bool,
    /// Streams to read, by the source's own names; `"*"` stands for all others.
    #[schemars(extend("x-overlock-names" = "stream"))]
    pub(crate) streams: BTreeMap<String, StreamTable>,
}

/// When a pipeline runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleTable {
    /// Five cron fields: minute, hour, day of month, month, day of week.
    #[schemars(extend("format" = "cron"))]
    pub(crate) cron: String,
    /// Zone of the cron fields, such as `Europe/Berlin`; default `UTC`.
    #[serde(default)]
    #[schemars(extend("format" = "timezone"))]
    pub(crate) timezone: Option<String>,
    /// Spreads starts: each is later by a part of this time that depends on the pipeline's name.
    #[serde(default)]
    pub(crate) jitter: Option<DurationText>,
    /// A run stops at the next state after this time.
    #[serde(default)]
    pub(crate) timeout: Option<DurationText>,
}

/// Settings for every stream of a pipeline.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DefaultsTable {
    /// Read only what changed, or everything; default by the stream.
    pub(crate) read_mode: Option<ReadModeText>,
    /// How rows reach the table; default by the stream.
    pub(crate) write_mode: Option<WriteModeText>,
    /// What deleted rows do.
    pub(crate) deletes: Option<DeleteModeText>,
    /// Start of history.
    pub(crate) since: Option<InstantText>,
}

/// Settings of one stream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StreamTable {
    /// Read only what changed, or everything; default by the stream.
    pub(crate) read_mode: Option<ReadModeText>,
    /// How rows reach the table; default by the stream.
    pub(crate) write_mode: Option<WriteModeText>,
    /// What deleted rows do.
    pub(crate) deletes: Option<DeleteModeText>,
    /// Start of history.
    pub(crate) since: Option<InstantText>,
    /// A condition in the source's own language, handed to it as it is.
    pub(crate) r#where: Option<String>,
    /// Columns to read, with `*` and `?`; default all. Keys are always read.
    pub(crate) include: Vec<String>,
    /// Columns not to read, with `*` and `?`.
    pub(crate) exclude: Vec<String>,
}

/// Read only what changed, or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadModeText {
    /// What changed since the last commit.
    Incremental,
    /// Everything, each time.
    FullRefresh,
}

/// How rows reach the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WriteModeText {
    /// Newest version per primary key.
    Merge,
    /// Every version of every row.
    Append,
    /// The table is exactly what was read last.
    Replace,
}

impl From<WriteModeText> for WriteMode {
    fn from(mode: WriteModeText) -> Self {
        match mode {
            WriteModeText::Merge => Self::Merge,
            WriteModeText::Append => Self::Append,
            WriteModeText::Replace => Self::Replace,
        }
    }
}

/// What deleted rows do in merge mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeleteModeText {
    /// The row stays, with `_deleted` set.
    Soft,
    /// The row disappears.
    Hard,
}

impl From<DeleteModeText> for DeleteMode {
    fn from(mode: DeleteModeText) -> Self {
        match mode {
            DeleteModeText::Soft => Self::Soft,
            DeleteModeText::Hard => Self::Hard,
        }
    }
}

/// What happens when the schema at the source changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnSchemaChange {
    /// New columns are added; misfitting values are kept in `_extra`.
    #[default]
    Evolve,
    /// The stream fails.
    Fail,
}

/// A duration such as `90s`, `15m`, `2h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationText(pub(crate) Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("not a duration"))
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "overlock-duration", "pattern": "^[0-9]+(ms|s|m|h|d)$"})
    }
}

/// Parses a duration: digits and one of `ms`, `s`, `m`, `h`, `d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    overlock_kit::duration::parse(text).ok()
}

/// An instant or date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct InstantText(pub(crate) Timestamp);

impl JsonSchema for InstantText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "overlock-instant"})
    }
}

fn version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "enum": [1], "default": 1})
}

fn destinations_schema(_: &mut SchemaGenerator) -> Schema {
    let local = json!({
        "type": "object",
        "description": "A folder of Parquet files.",
        "properties": {
            "kind": {"type": "string", "const": "local"},
            "path": {
                "type": "string",
                "default": "data",
                "description": "The folder, relative to overlock.toml.",
            },
        },
        "required": ["kind"],
        "additionalProperties": false,
    });
    json_schema!({
        "type": "object",
        "x-overlock-names": "name",
        "additionalProperties": {
            "x-overlock-choose": "kind",
            "oneOf": [local, super::snowflake::schema()],
        },
    })
}

fn sources_schema(_: &mut SchemaGenerator) -> Schema {
    let connectors: Vec<Json> = registry::CONNECTORS
        .iter()
        .map(|connector| source_schema(connector.name(), &connector.spec()))
        .collect();
    json_schema!({
        "type": "object",
        "x-overlock-names": "name",
        "additionalProperties": {"x-overlock-choose": "connector", "oneOf": connectors},
    })
}

/// Keys of the table `http`, which every connector that speaks HTTP has: kit reads them itself.
const HTTP_KEYS: &[(&str, KeyKind, &str)] = &[
    (
        "connect_timeout",
        KeyKind::Duration,
        "Longest wait for a connection, TLS included.",
    ),
    (
        "read_timeout",
        KeyKind::Duration,
        "Longest silence of the server.",
    ),
    (
        "total_timeout",
        KeyKind::Duration,
        "Longest network time of one request, body included.",
    ),
    (
        "bulk_read_timeout",
        KeyKind::Duration,
        "Longest silence of a bulk download.",
    ),
    (
        "bulk_total_timeout",
        KeyKind::Duration,
        "Longest network time of a bulk download.",
    ),
    (
        "min_bytes_per_s",
        KeyKind::Integer,
        "A body that is slower than this is given up.",
    ),
    (
        "min_bytes_period",
        KeyKind::Duration,
        "Over how much waiting the speed is measured.",
    ),
    (
        "attempts",
        KeyKind::Integer,
        "Tries per request, the first one included.",
    ),
    (
        "backoff_base",
        KeyKind::Duration,
        "Longest pause before the second try; then doubles.",
    ),
    (
        "backoff_cap",
        KeyKind::Duration,
        "Longest pause that doubling reaches.",
    ),
    (
        "rate_limit_wait",
        KeyKind::Duration,
        "Pause after a 429 that does not say how long.",
    ),
    (
        "max_wait",
        KeyKind::Duration,
        "Longest single pause that the server may ask for.",
    ),
    (
        "max_total_wait",
        KeyKind::Duration,
        "Longest sum of pauses in one run.",
    ),
    (
        "retries",
        KeyKind::Integer,
        "Retries that every run may use up.",
    ),
    (
        "retry_percent",
        KeyKind::Integer,
        "Further retries, in percent of the run's requests.",
    ),
    (
        "max_body_bytes",
        KeyKind::Integer,
        "Largest ordinary body, decompressed.",
    ),
    (
        "bulk_max_body_bytes",
        KeyKind::Integer,
        "Largest bulk body, decompressed.",
    ),
];

/// The schema of a secret: a reference in either form.
pub(crate) fn secret_schema() -> Json {
    json!({
        "x-overlock-secret": true,
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "env": {"type": "string"},
                    "file": {"type": "string"},
                    "cmd": {"type": "string"},
                },
                "additionalProperties": false,
            },
        ],
    })
}

/// The schema of `[source.NAME]` for one connector, made from what the connector says about its keys.
pub(crate) fn source_schema(name: &str, spec: &Spec) -> Json {
    let mut root = json!({
        "type": "object",
        "description": spec.summary,
        "properties": {"connector": {"type": "string", "const": name}},
        "required": ["connector"],
        "additionalProperties": false,
    });
    for key in &spec.keys {
        let mut schema = match key.kind {
            KeyKind::Text => json!({"type": "string"}),
            KeyKind::OneOf(words) => json!({"type": "string", "enum": words}),
            KeyKind::Integer => json!({"type": "integer"}),
            KeyKind::Boolean => json!({"type": "boolean"}),
            KeyKind::Duration => json!({"type": "string", "format": "overlock-duration"}),
            KeyKind::Instant => json!({"type": "string", "format": "overlock-instant"}),
            KeyKind::TextList => json!({"type": "array", "items": {"type": "string"}}),
        };
        let last = key.path.rsplit('.').next().unwrap_or(key.path);
        if key.kind == KeyKind::Text && (last == "url" || last.ends_with("_url")) {
            set(&mut schema, "format", json!("overlock-url"));
        }
        if key.secret {
            schema = secret_schema();
        }
        set(&mut schema, "description", json!(key.doc));
        if let Some(default) = key.default {
            set(&mut schema, "default", json!(default));
        }
        let steps: Vec<&str> = key.path.split('.').collect();
        insert(&mut root, &steps, schema, key.required);
    }
    if spec
        .keys
        .iter()
        .any(|key| key.path == "http" || key.path.starts_with("http."))
    {
        for (name, kind, doc) in HTTP_KEYS {
            let mut schema = match kind {
                KeyKind::Duration => json!({"type": "string", "format": "overlock-duration"}),
                _ => json!({"type": "integer", "minimum": 0}),
            };
            set(&mut schema, "description", json!(doc));
            insert(&mut root, &["http", name], schema, false);
        }
    }
    root
}

fn set(schema: &mut Json, key: &str, value: Json) {
    if let Some(object) = schema.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn insert(table: &mut Json, steps: &[&str], schema: Json, required: bool) {
    let (Some((first, rest)), Some(table)) = (steps.split_first(), table.as_object_mut()) else {
        return;
    };
    if required {
        let names = table
            .entry("required")
            .or_insert_with(|| Json::Array(Vec::new()));
        if let Some(names) = names.as_array_mut()
            && !names.contains(&json!(first))
        {
            names.push(json!(first));
        }
    }
    let properties = table
        .entry("properties")
        .or_insert_with(|| Json::Object(Map::new()));
    let Some(properties) = properties.as_object_mut() else {
        return;
    };
    if rest.is_empty() {
        properties.insert((*first).to_owned(), schema);
        return;
    }
    let below = properties
        .entry(*first)
        .or_insert_with(|| json!({"type": "object", "additionalProperties": false}));
    insert(below, rest, schema, required);
}

/// JSON Schema of `overlock.toml`.
pub(crate) fn project_schema() -> Json {
    schemars::schema_for!(ProjectFile).to_value()
}

/// JSON Schema of the files in `pipelines/`.
pub(crate) fn pipeline_schema() -> Json {
    schemars::schema_for!(PipelineFile).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_keys_are_those_of_kit() {
        let mut table = Map::new();
        for (name, kind, _) in HTTP_KEYS {
            let value = if *kind == KeyKind::Duration {
                json!("7s")
            } else {
                json!(7)
            };
            table.insert((*name).to_owned(), value);
        }
        overlock_kit::HttpConfig::deserialize(Json::Object(table)).unwrap();
    }

    #[test]
    fn a_schema_has_every_key_of_its_connector_and_no_other() {
        for connector in registry::CONNECTORS {
            let schema = source_schema(connector.name(), &connector.spec());
            for key in connector.spec().keys {
                let pointer = format!("/properties/{}", key.path.replace('.', "/properties/"));
                assert!(schema.pointer(&pointer).is_some(), "{}", key.path);
            }
            assert_eq!(schema["additionalProperties"], false);
        }
    }
}
