//! Sessions over the wire.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use overlock_core::{Error, ErrorKind, Redactor};
use serde_json::Value;
use snowflake_api::{
    AuthArgs, AuthType, PasswordArgs, QueryResult, SnowflakeApi, SnowflakeApiBuilder,
};
use url::Url;

use super::config::{Account, Auth};
use super::external::{Bucket, External};
use super::login::{Key, Login};
use super::upload::Upload;
use super::wire::{Refusal, SharedSession, Wire};
use crate::render::render;
use crate::step::Step;
use crate::warehouse::{Answer, Failure, Result, Session, Tag, Warehouse};

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Until the next byte. A statement of more than about 45 s is answered in between.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Snowflake, over the wire.
#[derive(Debug, Clone)]
pub struct SnowflakeWarehouse {
    account: Arc<Account>,
    key: Option<Key>,
    base: Url,
    client: reqwest::Client,
    external: Option<External>,
    refusal: Refusal,
    redactor: Redactor,
}

impl SnowflakeWarehouse {
    /// Reads the key and prepares a client; no request yet.
    ///
    /// # Errors
    /// `Config`.
    pub fn new(account: Account, redactor: Redactor) -> overlock_core::Result<Self> {
        account.validate()?;
        let key = match &account.auth {
            Auth::KeyPair {
                private_key,
                passphrase,
            } => Some(Key::read(private_key, passphrase.as_ref())?),
            _ => None,
        };
        let base = account.base()?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("overlock/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .https_only(account.test_url.is_none())
            .min_tls_version(reqwest::tls::Version::TLS_1_2)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .gzip(true);
        let client = if account.test_url.is_some() {
            client.no_proxy()
        } else {
            client
        };
        let client = client
            .build()
            .map_err(|error| Error::new(ErrorKind::Config, "prepare TLS").source(error))?;
        Ok(Self {
            account: Arc::new(account),
            key,
            base,
            client,
            external: None,
            refusal: Refusal::default(),
            redactor,
        })
    }

    /// Sends files to a bucket of the user's own instead of the stage that Snowflake keeps.
    ///
    /// # Errors
    /// `Config`.
    pub fn external_stage(mut self, bucket: &Bucket) -> overlock_core::Result<Self> {
        self.external = Some(bucket.open(self.account.test_url.is_some())?);
        Ok(self)
    }

    /// The public key's fingerprint, as `DESC USER` shows it; `None` without a key.
    pub fn fingerprint(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.fingerprint.as_str())
    }
}

#[async_trait]
impl Warehouse for SnowflakeWarehouse {
    async fn open(&self, tag: &Tag) -> Result<Box<dyn Session>> {
        let session = SharedSession::default();
        let login = Login::new(
            Arc::clone(&self.account),
            self.key.clone(),
            tag.clone(),
            self.redactor.clone(),
        );
        let is_stand_in = self.account.test_url.is_some();
        let wire = Wire {
            refusal: Arc::clone(&self.refusal),
            base: self.base.clone(),
            login: Arc::new(login),
            session: session.clone(),
            client: self.client.clone(),
            is_stand_in,
        };
        // No retries of the driver's own: a POST that is repeated blindly could run a statement twice.
        let client = reqwest_middleware::ClientBuilder::new(self.client.clone())
            .with(wire)
            .build();
        let arguments = AuthArgs {
            account_identifier: self.account.login_name(),
            warehouse: self.account.warehouse.clone(),
            database: self.account.database.clone(),
            schema: None,
            username: self.account.user.clone(),
            role: self.account.role.clone(),
            // The middleware puts the real credentials in.
            auth_type: AuthType::Password(PasswordArgs {
                password: String::new(),
            }),
        };
        let api = SnowflakeApiBuilder::new(arguments)
            .with_client(client)
            .build()
            .map_err(|error| Failure::Refused(Error::bug("prepare the driver").source(error)))?;
        Ok(Box::new(WireSession {
            api,
            session,
            tag: tag.clone(),
            external: self.external.clone(),
            is_stand_in,
        }))
    }
}

struct WireSession {
    api: SnowflakeApi,
    session: SharedSession,
    tag: Tag,
    external: Option<External>,
    is_stand_in: bool,
}

#[async_trait]
impl Session for WireSession {
    async fn run(&mut self, step: &Step) -> Result<Answer> {
        if let Some(external) = &self.external
            && let Some(answer) = external.run(step).await
        {
            return answer;
        }
        let answer = self.execute(step).await?;
        match step {
            Step::Upload {
                stage,
                prefix,
                dir,
                files,
            } if files.len() > 1 && self.session.has_unsent() => {
                let mut answers = Answer::default();
                for part in files {
                    let one = Step::Upload {
                        stage: stage.clone(),
                        prefix: prefix.clone(),
                        dir: dir.clone(),
                        files: vec![part.clone()],
                    };
                    let answer = self.execute(&one).await?;
                    answers.columns = answer.columns;
                    answers.rows.extend(answer.rows);
                }
                Ok(answers)
            }
            _ => Ok(answer),
        }
    }

    async fn close(&mut self) {
        if self.api.close_session().await.is_err() {
            tracing::debug!("A session was not closed; it ends by itself.");
        }
    }
}

impl WireSession {
    /// Runs one statement.
    async fn execute(&mut self, step: &Step) -> Result<Answer> {
        let upload = match step {
            Step::Upload { dir, files, .. } => Some(Upload {
                dir: dir.clone(),
                files: files.clone(),
            }),
            _ => None,
        };
        self.session.expect_upload(upload);
        let sql = format!("{}\n{}", self.comment(step), self.render(step));
        let result = self.api.exec(&sql).await;
        let id = self.session.query_id();
        tracing::debug!(step = step.word(), query_id = id, "Statement answered.");
        match result {
            Ok(result) => Ok(self.narrow(step, read(result)?)),
            Err(error) => Err(self.session.take_failure().unwrap_or_else(|| {
                // Not the driver's text: it may quote what it could not read.
                drop(error);
                Failure::lost("understand the answer of Snowflake")
            })),
        }
    }

    /// Says in the query history whose statement it is.
    fn comment(&self, step: &Step) -> String {
        let Tag { key, id } = &self.tag;
        let id = id.map_or_else(String::new, |id| format!(" {id}"));
        format!("-- overlock {key}{id} {}", step.word())
    }

    fn render(&self, step: &Step) -> String {
        match step {
            // The stand-in can list a whole stage only.
            Step::List { stage, .. } if self.is_stand_in => render(&Step::List {
                stage: stage.clone(),
                prefix: String::new(),
            })
            .trim_end_matches('/')
            .to_owned(),
            _ => render(step),
        }
    }

    fn narrow(&self, step: &Step, mut answer: Answer) -> Answer {
        if let Step::List { prefix, .. } = step
            && self.is_stand_in
        {
            let rows = std::mem::take(&mut answer.rows).into_iter();
            let named = |row: &Vec<Option<String>>| {
                row.first()
                    .and_then(Option::as_deref)
                    .is_some_and(|name| name.contains(prefix.as_str()))
            };
            answer.rows = rows.filter(named).collect();
        }
        answer
    }
}

/// The driver's answer as text. Statements of ours cast what they ask for to VARCHAR, because the driver
/// shows raw encodings otherwise.
fn read(result: QueryResult) -> Result<Answer> {
    let unreadable = |error: arrow::error::ArrowError| {
        Failure::Lost(
            Error::new(ErrorKind::Destination, "understand the answer of Snowflake").source(error),
        )
    };
    match result {
        QueryResult::Empty => Ok(Answer::default()),
        QueryResult::Json(result) => {
            let columns = result
                .schema
                .iter()
                .map(|column| column.name.to_ascii_lowercase());
            let rows = result.value.as_array().into_iter().flatten();
            let rows = rows.map(|row| row.as_array().into_iter().flatten().map(text).collect());
            Ok(Answer {
                columns: columns.collect(),
                rows: rows.collect(),
            })
        }
        QueryResult::Arrow(batches) => {
            let mut answer = Answer::default();
            for batch in batches {
                let schema = batch.schema();
                let names = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().to_ascii_lowercase());
                answer.columns = names.collect();
                let options = FormatOptions::default();
                let columns: Vec<_> = batch
                    .columns()
                    .iter()
                    .map(|column| ArrayFormatter::try_new(column, &options))
                    .collect::<std::result::Result<_, _>>()
                    .map_err(unreadable)?;
                for row in 0..batch.num_rows() {
                    let cells = columns.iter().zip(batch.columns()).map(|(format, column)| {
                        let value = format.value(row).try_to_string();
                        if column.is_null(row) {
                            Ok(None)
                        } else {
                            value.map(Some)
                        }
                    });
                    let cells: std::result::Result<Vec<_>, _> = cells.collect();
                    answer.rows.push(cells.map_err(unreadable)?);
                }
            }
            Ok(answer)
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
