//! A stage in a bucket of the user's own: files go there with the user's credentials, and Snowflake reads them
//! through a storage integration. What is on the stage is asked of the bucket; that Snowflake sees the same is
//! shown by the counts of the COPY.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Attributes, ObjectStore};
use overlock_core::{Error, ErrorKind, Secret};
use url::Url;

use super::codes::AGAIN;
use super::upload::{FILES_AT_ONCE, chunks, send_object};
use crate::step::Step;
use crate::warehouse::{Answer, Failure, Result};

/// The bucket of an external stage, and how to log in there.
#[derive(Debug)]
pub struct Bucket {
    /// As Snowflake spells it: `s3://bucket/path`, `gcs://bucket/path`,
    /// `azure://account.blob.core.windows.net/container/path`.
    pub url: Url,
    /// Login, by the names of the settings: `access_key_id`, `secret_access_key`, `session_token`, `region` and
    /// `endpoint` of S3; `sas_token` or `account_key` of Azure; an HMAC key of Google Cloud, named as in S3.
    pub login: Vec<(&'static str, Secret)>,
}

/// Settings that a bucket needs, by the scheme of its URL: all of one of these lists.
const NEEDED: [(&str, &[&[&str]]); 4] = [
    ("s3", &[&["access_key_id", "secret_access_key", "region"]]),
    ("azure", &[&["sas_token"], &["account_key"]]),
    ("gcs", &[&["access_key_id", "secret_access_key"]]),
    // Of a stand-in for tests.
    ("file", &[&[]]),
];

/// Where Google Cloud takes requests in the form of S3's, with HMAC keys.
const GOOGLE: &str = "https://storage.googleapis.com";

/// The open bucket.
#[derive(Debug, Clone)]
pub(crate) struct External {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl Bucket {
    fn get(&self, name: &str) -> Option<String> {
        let mut login = self.login.iter();
        let found = login.find(|(other, _)| *other == name);
        found.map(|(_, secret)| secret.expose().to_owned())
    }

    /// Prepares a client; no request yet.
    pub(crate) fn open(&self, is_stand_in: bool) -> overlock_core::Result<External> {
        let scheme = self.url.scheme();
        let needed = NEEDED.iter().find(|(name, _)| *name == scheme);
        let Some((_, needed)) = needed.filter(|_| scheme != "file" || is_stand_in) else {
            return Err(bad(
                "read the `url` of the stage",
                "write `s3://bucket/path`, `gcs://bucket/path` or `azure://account.blob.core.windows.net/container/path`",
            ));
        };
        let has = |names: &&[&str]| names.iter().all(|name| self.get(name).is_some());
        if !needed.iter().any(has) {
            let ways: Vec<String> = needed
                .iter()
                .map(|names| format!("`{}`", names.join("`, `")))
                .collect();
            return Err(bad(
                "log in to the bucket of the stage",
                &format!("set {} in `stage`", ways.join(" or ")),
            ));
        }
        let host = self.url.host_str().unwrap_or_default();
        let region = self.get("region").unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !region.bytes().all(is_word) {
            return Err(bad(
                "read the `region` of the stage",
                "write it as in `eu-central-1`",
            ));
        }
        let names_bucket = !host.is_empty() && (scheme != "azure" || host.contains('.'));
        if scheme != "file" && !names_bucket {
            return Err(bad(
                "find the bucket in the `url` of the stage",
                "write `s3://bucket/path` or `azure://account.blob.core.windows.net/container/path`",
            ));
        }
        self.build(is_stand_in).map_err(|_| {
            // Not its own words: they may quote a key.
            bad(
                "prepare the bucket of the stage",
                "look at the `url` and the credentials in `stage`",
            )
        })
    }

    fn build(&self, is_stand_in: bool) -> object_store::Result<External> {
        let host = self.url.host_str().unwrap_or_default();
        let path = self.url.path().trim_matches('/');
        let (store, path): (Arc<dyn ObjectStore>, &str) = match self.url.scheme() {
            scheme @ ("s3" | "gcs") => {
                let is_s3 = scheme == "s3";
                let region = if is_s3 { self.get("region") } else { None };
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(host)
                    .with_allow_http(is_stand_in)
                    .with_region(region.unwrap_or_else(|| "auto".to_owned()))
                    .with_access_key_id(self.get("access_key_id").unwrap_or_default())
                    .with_secret_access_key(self.get("secret_access_key").unwrap_or_default());
                if let Some(token) = self.get("session_token") {
                    builder = builder.with_token(token);
                }
                // Google Cloud speaks the same language at an address of its own.
                let google = (!is_s3).then(|| GOOGLE.to_owned());
                if let Some(endpoint) = self.get("endpoint").or(google) {
                    builder = builder.with_endpoint(endpoint);
                }
                (Arc::new(builder.build()?), path)
            }
            "azure" => {
                let (container, path) = path.split_once('/').unwrap_or((path, ""));
                let account = host.split('.').next().unwrap_or_default();
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_account(account)
                    .with_container_name(container)
                    .with_endpoint(format!("https://{host}"));
                if let Some(token) = self.get("sas_token") {
                    let key = object_store::azure::AzureConfigKey::SasKey;
                    builder = builder.with_config(key, token.trim_start_matches('?'));
                }
                if let Some(key) = self.get("account_key") {
                    builder = builder.with_access_key(key);
                }
                (Arc::new(builder.build()?), path)
            }
            _ => (Arc::new(LocalFileSystem::new()), path),
        };
        let root = Path::from_url_path(path)?;
        Ok(External { store, root })
    }
}

fn bad(doing: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, doing).hint(hint)
}

impl External {
    /// Does what a step wants of the stage; `None` if it is a statement.
    pub(crate) async fn run(&self, step: &Step) -> Option<Result<Answer>> {
        match step {
            Step::Upload {
                prefix, dir, files, ..
            } => {
                let sending = files.iter().map(|part| {
                    let file = dir.join(&part.name);
                    async move {
                        let to = self.path(&format!("{prefix}{}", part.name))?;
                        let attributes = Attributes::new();
                        let chunks = chunks(&file, None)?;
                        send_object(self.store.as_ref(), &to, attributes, part.bytes, chunks).await
                    }
                });
                let sent = futures::stream::iter(sending.collect::<Vec<_>>());
                let sent = sent.buffer_unordered(FILES_AT_ONCE);
                let sent = sent.try_collect::<()>().await;
                Some(sent.map(|()| Answer::default()))
            }
            Step::List { prefix, .. } => Some(self.list(prefix).await),
            Step::RemoveStaged { prefix, .. } => Some(self.remove(prefix).await),
            _ => None,
        }
    }

    fn path(&self, relative: &str) -> Result<Path> {
        let relative = relative.trim_end_matches('/');
        let full = match (self.root.as_ref(), relative) {
            (root, "") => root.to_owned(),
            ("", relative) => relative.to_owned(),
            (root, relative) => format!("{root}/{relative}"),
        };
        Path::parse(full).map_err(|_| Failure::refused("name a file in the bucket of the stage"))
    }

    async fn list(&self, prefix: &str) -> Result<Answer> {
        let prefix = self.path(prefix)?;
        let found = self.store.list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let found = found.map_err(|error| broken("list the bucket of the stage", &error))?;
        let rows = found.iter().map(|object| {
            vec![
                Some(object.location.to_string()),
                Some(object.size.to_string()),
            ]
        });
        Ok(Answer {
            columns: vec!["name".to_owned(), "size".to_owned()],
            rows: rows.collect(),
        })
    }

    async fn remove(&self, prefix: &str) -> Result<Answer> {
        let prefix = self.path(prefix)?;
        let found = self.store.list(Some(&prefix));
        // One by one: not every cloud has a request for many.
        let gone =
            found.try_for_each(|object| async move { self.store.delete(&object.location).await });
        gone.await
            .map_err(|error| broken("empty a folder in the bucket of the stage", &error))?;
        Ok(Answer::default())
    }
}

/// What a bucket refused, in words of ours: its own may quote a signature.
pub(crate) fn broken(doing: &str, error: &object_store::Error) -> Failure {
    let (why, hint) = match error {
        object_store::Error::Unauthenticated { .. } => (
            ": its login was refused",
            "look at the credentials and at the clock of this machine",
        ),
        object_store::Error::PermissionDenied { .. } => (
            ": this login may not",
            "allow it to list, write and delete objects there",
        ),
        object_store::Error::NotFound { .. } => (": there is none", "look at the name"),
        _ => ("", AGAIN),
    };
    let failed = Error::new(ErrorKind::Destination, format!("{doing}{why}")).hint(hint);
    // The innermost cause is the system's; those around it may quote a signed URL.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    let is_safe = cause.len() < 200 && !cause.contains("://") && !cause.contains('=');
    Failure::Lost(if is_safe {
        failed.context("cause", cause)
    } else {
        failed
    })
}
