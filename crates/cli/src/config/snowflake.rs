//! `[destination.NAME]` with `kind = "snowflake"`.

use overlock_core::{Error, ErrorKind, Result, Secret, SourceName, SyncKey};
use overlock_snowflake::{
    Account, Auth, Bucket, CompatColumns, ExternalStage, Identity, Place, Policy, Target,
    normalized,
};
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
    stage: Option<StageTable>,
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

/// A stage in a bucket of one's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageTable {
    url: String,
    storage_integration: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
    sas_token: Option<String>,
    account_key: Option<String>,
}

/// Keys of its tables that are secrets.
pub(crate) const SECRETS: [(&str, &str); 9] = [
    ("auth", "private_key"),
    ("auth", "passphrase"),
    ("auth", "password"),
    ("auth", "token"),
    ("stage", "access_key_id"),
    ("stage", "secret_access_key"),
    ("stage", "session_token"),
    ("stage", "sas_token"),
    ("stage", "account_key"),
];

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

    /// Where a stream's rows and its state live.
    pub(crate) fn target(&self, source: &SourceName, key: &SyncKey) -> Target {
        overlock_snowflake::target(&self.place(source), key).over(self.external_stage().as_ref())
    }

    /// The stage in a bucket of one's own, if there is one.
    pub(crate) fn external_stage(&self) -> Option<ExternalStage> {
        let stage = self.stage.as_ref()?;
        let integration = stage.storage_integration.as_deref();
        Some(ExternalStage {
            url: format!("{}/", stage.url.trim_end_matches('/')),
            storage_integration: integration.map(normalized),
        })
    }

    /// Its bucket, and how to log in there.
    ///
    /// # Errors
    /// `Config` for a URL that is none.
    pub(crate) fn bucket(&self) -> Result<Option<Bucket>> {
        let Some(stage) = &self.stage else {
            return Ok(None);
        };
        let url = Url::parse(&stage.url).map_err(|error| {
            Error::new(ErrorKind::Config, "read the `url` of the stage")
                .source(error)
                .hint("write `s3://bucket/path`")
        })?;
        if stage.storage_integration.is_none() && url.scheme() != "file" {
            return Err(Error::new(
                ErrorKind::Config,
                "let Snowflake read the bucket of the stage",
            )
            .hint("set `storage_integration` in `stage`"));
        }
        let login = [
            ("region", &stage.region),
            ("endpoint", &stage.endpoint),
            ("access_key_id", &stage.access_key_id),
            ("secret_access_key", &stage.secret_access_key),
            ("session_token", &stage.session_token),
            ("sas_token", &stage.sas_token),
            ("account_key", &stage.account_key),
        ];
        let login = login
            .into_iter()
            .filter_map(|(name, value)| Some((name, Secret::new(value.clone()?))));
        Ok(Some(Bucket {
            url,
            login: login.collect(),
        }))
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

fn name(description: &str) -> Json {
    json!({"type": "string", "format": "overlock-name", "description": description})
}

fn text(description: &str) -> Json {
    json!({"type": "string", "description": description})
}

fn account(description: &str) -> Json {
    json!({"type": "string", "format": "overlock-account", "description": description})
}

fn host(description: &str) -> Json {
    json!({"type": "string", "format": "overlock-host", "description": description})
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
            "account": account("Account identifier, such as `myorg-myaccount`."),
            "host": host("Host, if it is not <account>.snowflakecomputing.com: PrivateLink and other domains."),
            "user": name("Login name of the user."),
            "role": name("Role; the user's default if left out."),
            "warehouse": name("Warehouse that runs the statements; the user's default if left out."),
            "database": name("Database, spelt as in Snowflake without quotes."),
            "schema": name("Schema; the name of the source if left out."),
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
            "stage": {
                "type": "object",
                "description": "A stage in a bucket of your own, instead of the one that Snowflake keeps.",
                "properties": {
                    "url": text("`s3://bucket/path`, `gcs://bucket/path` or \
                        `azure://account.blob.core.windows.net/container/path`."),
                    "storage_integration": text("Storage integration through which Snowflake reads it."),
                    "region": text("Region of an S3 bucket."),
                    "endpoint": {
                        "type": "string",
                        "format": "overlock-url",
                        "description": "Address of an S3 bucket, if it is not Amazon's own.",
                    },
                    "access_key_id": secret("Access key of S3, or HMAC key of Google Cloud."),
                    "secret_access_key": secret("Its secret."),
                    "session_token": secret("Of a temporary access key."),
                    "sas_token": secret("Shared access signature of Azure."),
                    "account_key": secret("Account key of Azure."),
                },
                "required": ["url"],
                "additionalProperties": false,
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
