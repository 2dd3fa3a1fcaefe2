//! `[destination.NAME]` with `kind = "snowflake"`.

use overlock_core::{Secret, SourceName};
use overlock_snowflake::{Account, Auth, CompatColumns, Identity, Place, Policy, normalized};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use url::Url;

use super::PipelineSettings;
use super::files::OnSchemaChange;

/// The table, with variables and secrets put in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnowflakeTable {
    account: String,
    host: Option<String>,
    user: String,
    role: Option<String>,
    warehouse: Option<String>,
    database: String,
    schema: Option<String>,
    auth: AuthTable,
    #[serde(default)]
    compat_columns: CompatColumns,
    test_url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthTable {
    kind: AuthKind,
    private_key: Option<String>,
    passphrase: Option<String>,
    password: Option<String>,
    token: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AuthKind {
    KeyPair,
    Password,
    Oauth,
    Token,
}

/// Keys of `auth` that are secrets.
pub(crate) const SECRETS: [&str; 4] = ["private_key", "passphrase", "password", "token"];

impl SnowflakeTable {
    /// Where the rows of a source go: its own schema, unless one is named.
    pub(crate) fn place(&self, source: &SourceName) -> Place {
        let schema = self.schema.as_deref().unwrap_or(source.as_str());
        Place {
            database: normalized(&self.database),
            schema: normalized(schema),
        }
    }

    /// How packages of a pipeline are loaded.
    pub(crate) fn policy(&self, pipeline: &PipelineSettings) -> Policy {
        Policy {
            allow_empty_replace: pipeline.file.allow_empty_replace,
            on_schema_change: match pipeline.file.on_schema_change {
                OnSchemaChange::Evolve => overlock_snowflake::OnSchemaChange::Evolve,
                OnSchemaChange::Fail => overlock_snowflake::OnSchemaChange::Fail,
            },
            compat_columns: self.compat_columns,
        }
    }

    /// Who asks, for what `check` says.
    pub(crate) fn identity(&self, fingerprint: Option<&str>) -> Identity {
        Identity {
            user: Some(self.user.clone()),
            role: self.role.clone(),
            warehouse: self.warehouse.clone(),
            fingerprint: fingerprint.map(ToOwned::to_owned),
        }
    }

    /// Who logs in, and where.
    pub(crate) fn account(&self) -> Account {
        let secret = |text: &Option<String>| Secret::new(text.clone().unwrap_or_default());
        let auth = &self.auth;
        Account {
            account: self.account.clone(),
            host: self.host.clone(),
            user: self.user.clone(),
            auth: match auth.kind {
                AuthKind::KeyPair => Auth::KeyPair {
                    private_key: secret(&auth.private_key),
                    passphrase: auth.passphrase.clone().map(Secret::new),
                },
                AuthKind::Password => Auth::Password(secret(&auth.password)),
                AuthKind::Oauth => Auth::OAuth(secret(&auth.token)),
                AuthKind::Token => Auth::Token(secret(&auth.token)),
            },
            role: self.role.clone(),
            warehouse: self.warehouse.clone(),
            database: Some(normalized(&self.database)),
            test_url: self
                .test_url
                .as_deref()
                .and_then(|url| Url::parse(url).ok()),
        }
    }
}

fn text(description: &str) -> Json {
    json!({"type": "string", "description": description})
}

fn secret(description: &str) -> Json {
    let mut schema = super::files::secret_schema();
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), json!(description));
    }
    schema
}

fn auth(kind: &str, keys: &[(&str, &str)], required: &[&str]) -> Json {
    let mut properties = serde_json::Map::new();
    properties.insert("kind".to_owned(), json!({"type": "string", "const": kind}));
    for (name, description) in keys {
        properties.insert((*name).to_owned(), secret(description));
    }
    let required: Vec<&str> = required.iter().copied().chain(["kind"]).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Its JSON Schema.
pub(crate) fn schema() -> Json {
    json!({
        "type": "object",
        "description": "A schema of a Snowflake database.",
        "properties": {
            "kind": {"type": "string", "const": "snowflake"},
            "account": text("Account identifier, such as `myorg-myaccount`."),
            "host": text("Host, if it is not <account>.snowflakecomputing.com: PrivateLink and other domains."),
            "user": text("Login name of the user."),
            "role": text("Role; the user's default if left out."),
            "warehouse": text("Warehouse that runs the statements; the user's default if left out."),
            "database": text("Database, spelt as in Snowflake without quotes."),
            "schema": text("Schema; the name of the source if left out."),
            "auth": {
                "x-overlock-choose": "kind",
                "oneOf": [
                    auth("key_pair", &[
                        ("private_key", "RSA key in PEM: PKCS#8, plain or encrypted, or PKCS#1."),
                        ("passphrase", "Of an encrypted key."),
                    ], &["private_key"]),
                    auth("password", &[("password", "Password of the user.")], &["password"]),
                    auth("oauth", &[("token", "OAuth access token.")], &["token"]),
                    auth("token", &[("token", "Programmatic access token.")], &["token"]),
                ],
            },
            "compat_columns": {
                "type": "string",
                "enum": ["none", "stitch"],
                "default": "none",
                "description": "`stitch` writes the columns `_SDC_*` instead of `_SYNCED_AT` and `_COMMIT_ID`.",
            },
            "test_url": {
                "type": "string",
                "format": "overlock-url",
                "description": "Where a stand-in for tests listens on this machine.",
            },
        },
        "required": ["kind", "account", "user", "database", "auth"],
        "additionalProperties": false,
    })
}
