//! The source: what the engine sees of a tenant.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use overlock_core::{
    BoxStream, Catalog, Context, Page, ReadRequest, Result, Source, StreamName, Timestamp,
};
use overlock_kit::http::{HttpSettings, Origins, Request};
use overlock_kit::{Http, Limit, Limits, files};
use serde_json::Value;

use crate::auth::Login;
use crate::client::{self, Answers, Client};
use crate::config::Settings;
use crate::discovery::{self, Descriptions};
use crate::jobs::{Jobs, Tenant};
use crate::kept::Kept;
use crate::learnt::Learnt;
use crate::plan::Foreseen;
use crate::read::tables::TableJobs;
use crate::state::ONLY;
use crate::{limits, read};

/// One tenant, seen by one user.
#[derive(Debug)]
pub struct Zuora {
    client: Client,
    tuning: Tuning,
    jobs: Jobs,
    learnt: Learnt,
    kept: Kept,
    descriptions: Descriptions,
    /// Ids of what was delivered.
    shelves: PathBuf,
    /// Places for Data Query jobs.
    tables: Limits,
    /// Data Query jobs that are under way.
    table_jobs: TableJobs,
    foreseen: Mutex<Arc<Foreseen>>,
}

/// The settings that reading needs.
#[derive(Debug)]
pub(crate) struct Tuning {
    pub(crate) entities: Vec<String>,
    pub(crate) start_date: Option<Timestamp>,
    pub(crate) settle: Duration,
    pub(crate) overlap: Duration,
    pub(crate) window: Option<Duration>,
    pub(crate) joins: bool,
    pub(crate) without_joins: Vec<String>,
    pub(crate) own_jobs: Vec<String>,
    pub(crate) home_currency: bool,
    pub(crate) decimal_scale: i8,
    pub(crate) shadow_refresh: Duration,
    pub(crate) sweep: Duration,
    pub(crate) data_query: bool,
    pub(crate) describe_age: Duration,
    pub(crate) first_pause: Duration,
}

impl Zuora {
    /// Prepares the source; no network.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    pub fn new(settings: Settings, cx: &Context) -> Result<Self> {
        let base = settings.validate()?;
        settings.auth.teach(&cx.redactor);
        let http = HttpSettings {
            config: settings.http.clone(),
            origins: Origins {
                configured: vec![base.clone()],
                known: Vec::new(),
                suffixes: limits::RESULT_HOSTS,
            },
            limits: client::limits(settings.max_concurrent_calls),
            max_api_calls: settings.max_api_calls,
            stop_at_percent: None,
        };
        let host = base.host_str().unwrap_or_default();
        let entities = settings.entities.join(",");
        let organizations = settings.organizations.join(",");
        // What a user may see differs: two users never share what is remembered.
        let identity = format!(
            "{host}\n{}\n{entities}\n{organizations}",
            settings.auth.identity()
        );
        let folder = cx.work_dir.join(files::fingerprint(&identity));
        let tuning = Tuning {
            entities: if settings.entities.is_empty() {
                vec![ONLY.to_owned()]
            } else {
                settings.entities.clone()
            },
            start_date: settings.start_date,
            settle: settings.settle,
            overlap: settings.overlap(),
            window: settings.window,
            joins: settings.joins,
            without_joins: settings.without_joins.clone(),
            own_jobs: settings.own_jobs.clone(),
            home_currency: settings.home_currency,
            decimal_scale: settings.decimal_scale,
            shadow_refresh: settings.shadow_refresh,
            sweep: settings.sweep,
            data_query: settings.data_query,
            describe_age: settings.describe_age,
            first_pause: settings.first_pause(),
        };
        let login = Login::new(settings.auth, base.clone())?;
        let (tenant, ahead) = (login.tenant(), login.ahead());
        let http = Http::new(http, Arc::new(login), Arc::new(Answers), cx)?;
        let client = Client::new(
            http,
            cx.events.clone(),
            &base,
            &settings.organizations,
            tenant,
            ahead,
        );
        Ok(Self {
            jobs: Jobs::new(
                client.clone(),
                settings.format,
                tuning.first_pause,
                settings.job_timeout,
                settings.max_concurrent_jobs,
            ),
            client,
            tuning,
            learnt: Learnt::new(folder.join("learnt.json"), cx.redactor.clone()),
            kept: Kept::new(folder.join("jobs.json")),
            descriptions: Descriptions::new(folder.join("describe.json")),
            shelves: folder.join("ids"),
            tables: Limits::new([Limit::Concurrent {
                bucket: None,
                calls: limits::DATA_QUERY_JOBS,
            }]),
            table_jobs: TableJobs::default(),
            foreseen: Mutex::default(),
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    pub(crate) fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(crate) fn descriptions(&self) -> &Descriptions {
        &self.descriptions
    }

    pub(crate) fn shelves(&self) -> &Path {
        &self.shelves
    }

    pub(crate) fn table_places(&self) -> &Limits {
        &self.tables
    }

    pub(crate) fn table_jobs(&self) -> &TableJobs {
        &self.table_jobs
    }

    /// How result files are packed.
    pub(crate) fn format(&self) -> crate::config::Format {
        self.jobs.format
    }

    /// What jobs need.
    pub(crate) fn tenant(&self) -> Tenant<'_> {
        Tenant {
            jobs: &self.jobs,
            learnt: &self.learnt,
            kept: &self.kept,
            descriptions: &self.descriptions,
        }
    }

    /// Whether rows say which entity they belong to.
    pub(crate) fn has_entities(&self) -> bool {
        self.tuning.entities.iter().any(|entity| entity != ONLY)
    }

    /// The entity that is asked where all give the same answer.
    pub(crate) fn first_entity(&self) -> &str {
        self.tuning.entities.first().map_or(ONLY, String::as_str)
    }

    /// What the run is about to read.
    pub(crate) fn foreseen(&self) -> Arc<Foreseen> {
        Arc::clone(&self.foreseen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Source for Zuora {
    async fn check(&self) -> Result<()> {
        self.client.http().login().await?;
        // The cheapest call that a token without rights does not survive: one account by Object Query, no job.
        for entity in &self.tuning.entities {
            let request = Request::get("/object-query/accounts?pageSize=1");
            let answer: Value = self
                .client
                .json(&self.client.scoped(request, entity))
                .await?;
            if !answer.get("data").is_some_and(Value::is_array) {
                return Err(overlock_core::Error::new(
                    overlock_core::ErrorKind::Data,
                    "read an account by Object Query: the answer is of another form",
                ));
            }
        }
        Ok(())
    }

    async fn discover(&self, only: &[StreamName]) -> Result<Catalog> {
        discovery::discover(self, only).await
    }

    fn plan(&self, requests: &[ReadRequest]) {
        let foreseen = Foreseen {
            requests: requests.to_vec(),
            ..Foreseen::default()
        };
        *self.foreseen.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(foreseen);
    }

    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
        read::read(self, request)
    }

    async fn close(&self) {
        self.jobs.cancel_all(&self.kept).await;
        self.table_jobs.cancel_all(&self.client).await;
    }
}
