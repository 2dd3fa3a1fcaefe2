//! The source: what the engine sees of an org.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use overlock_core::{
    BoxStream, Catalog, Context, Error, ErrorKind, Page, ReadRequest, Result, Source, StreamName,
    Timestamp,
};
use overlock_kit::http::{HttpSettings, Origins, Request};
use overlock_kit::{Http, Limit, Limits, Permit, files};
use serde::Deserialize;

use crate::auth::Login;
use crate::client::{Answers, Client};
use crate::config::{Auth, Settings};
use crate::discovery::Discovery;
use crate::read::{self, JOB_PLACE_WAIT, JobsDone, Orphans};
use crate::{api, limits, streams};

/// Short calls at once; Salesforce limits only those that run for more than 20 seconds (25 per org).
const CALLS_AT_ONCE: usize = 8;

/// Orphaned jobs that one call cleans up.
const SWEEP: usize = 10;

/// One org, seen by one user.
#[derive(Debug)]
pub struct Salesforce {
    client: Client,
    discovery: Discovery,
    tuning: Tuning,
    /// Places for Bulk jobs in flight, shared by all streams.
    jobs: Limits,
    orphans: Orphans,
    jobs_done: JobsDone,
}

/// The settings that reading needs.
#[derive(Debug)]
pub(crate) struct Tuning {
    pub(crate) start_date: Option<Timestamp>,
    pub(crate) lookback: Duration,
    pub(crate) settle: Duration,
    pub(crate) window: Option<Duration>,
    pub(crate) max_records: u32,
    pub(crate) rest_below_rows: u64,
    pub(crate) rest_page_rows: u32,
    pub(crate) max_query_bytes: usize,
    pub(crate) max_concurrent_jobs: usize,
    pub(crate) parallel_pages: usize,
    pub(crate) poll_interval: Duration,
    pub(crate) job_timeout: Duration,
}

impl Salesforce {
    /// Prepares the source; no network.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    pub fn new(settings: Settings, cx: &Context) -> Result<Self> {
        let version = settings.validate()?;
        settings.auth.teach(&cx.redactor);
        let configured = [
            Some(settings.login_url.clone()),
            settings.token_url.clone(),
            settings.instance_url.clone(),
        ];
        let http = HttpSettings {
            config: settings.http.clone(),
            origins: Origins {
                configured: configured.into_iter().flatten().collect(),
                known: Vec::new(),
                suffixes: limits::INSTANCE_SUFFIXES,
            },
            limits: Limits::new([Limit::Concurrent {
                bucket: None,
                calls: CALLS_AT_ONCE,
            }]),
            max_api_calls: settings.max_api_calls,
            stop_at_percent: Some(settings.stop_at_percent_of_daily),
        };
        let tuning = Tuning {
            start_date: settings.start_date,
            lookback: settings.lookback,
            settle: settings.settle,
            window: settings.window,
            max_records: settings.max_records,
            rest_below_rows: settings.rest_below_rows,
            rest_page_rows: settings.rest_page_rows,
            max_query_bytes: settings.max_query_bytes.min(limits::MAX_QUERY_BYTES),
            max_concurrent_jobs: settings.max_concurrent_jobs,
            parallel_pages: settings.parallel_pages.min(limits::MAX_PARALLEL_PAGES),
            poll_interval: settings.poll_interval,
            job_timeout: settings.job_timeout,
        };
        // What a user may see differs: two users never share what is remembered.
        let user = match &settings.auth {
            Auth::Jwt { username, .. } => username.as_str(),
            Auth::ClientCredentials { .. } => "client_credentials",
            Auth::RefreshToken { .. } => "refresh_token",
        };
        let identity = format!(
            "{}\n{}\n{user}",
            settings.login_url,
            settings.auth.client_id()
        );
        let folder = cx.work_dir.join(files::fingerprint(&identity));
        let login = Login::new(settings, folder.clone())?;
        let jobs_done = JobsDone::new(folder.join("jobs.json"));
        let org = login.org();
        let http = Http::new(http, Arc::new(login), Arc::new(Answers), cx)?;
        let client = Client::new(http, version, cx.events.clone(), org);
        Ok(Self {
            discovery: Discovery::new(client.clone(), folder),
            client,
            jobs: Limits::new([Limit::Concurrent {
                bucket: None,
                calls: tuning.max_concurrent_jobs,
            }]),
            tuning,
            orphans: Orphans::default(),
            jobs_done,
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    pub(crate) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    pub(crate) fn orphans(&self) -> &Orphans {
        &self.orphans
    }

    pub(crate) fn jobs_done(&self) -> &JobsDone {
        &self.jobs_done
    }

    /// Waits for a place among the jobs in flight.
    pub(crate) async fn job_permit(&self) -> Result<Permit> {
        self.jobs
            .ready(None, JOB_PLACE_WAIT)
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "get a place for a Bulk job"))
    }

    /// Aborts and deletes jobs that an ended read left behind. Best effort: Salesforce deletes what is
    /// left after seven days.
    pub(crate) async fn sweep(&self) {
        for id in self.orphans.take().into_iter().take(SWEEP) {
            read::discard(&self.client, &id).await;
        }
    }

    async fn check_version(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Offered {
            version: String,
        }
        let response = self.client.send(Request::get("/services/data")).await?;
        let offered: Vec<Offered> = response.json()?;
        let wanted = self.client.version().as_str();
        if offered.iter().any(|offered| offered.version == wanted) {
            return Ok(());
        }
        let newest = offered
            .last()
            .map_or("none", |offered| offered.version.as_str());
        Err(Error::new(
            ErrorKind::Config,
            format!("use version {wanted} of the API: this org does not offer it"),
        )
        .context("key", "api_version")
        .hint(format!("set api_version; the newest one here is {newest}")))
    }

    /// Without "View All Data" the API silently returns only rows that are shared with the user.
    async fn check_view_all(&self) {
        let may_see_all = match self.view_all().await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "Permissions of the user cannot be read.");
                return;
            }
        };
        if may_see_all == Some(false) {
            self.client.warn(
                "W0502",
                None,
                "this user has no permission \"View All Data\": rows that are not shared with it are missing without any sign",
            );
        }
    }

    async fn view_all(&self) -> Result<Option<bool>> {
        #[derive(Deserialize)]
        struct Me {
            user_id: String,
        }
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            records: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            #[serde(rename = "Profile")]
            profile: Option<Profile>,
        }
        #[derive(Deserialize)]
        struct Profile {
            #[serde(rename = "PermissionsViewAllData")]
            view_all: Option<bool>,
        }
        let me: Me = self
            .client
            .send(Request::get("/services/oauth2/userinfo"))
            .await?
            .json()?;
        let soql = format!(
            "SELECT Profile.PermissionsViewAllData FROM User WHERE Id = {}",
            api::quote(&me.user_id)
        );
        let path = self.client.version().query(&soql);
        let page: Page = self.client.send(Request::get(path)).await?.json()?;
        Ok(page
            .records
            .first()
            .and_then(|row| row.profile.as_ref()?.view_all))
    }
}

#[async_trait]
impl Source for Salesforce {
    async fn check(&self) -> Result<()> {
        self.client.http().login().await?;
        self.check_version().await?;
        // The version list needs no session: this call proves that the token is good for data.
        let resources = self.client.version().path("/");
        self.client
            .send(Request::get(resources.trim_end_matches('/')))
            .await?;
        self.check_view_all().await;
        Ok(())
    }

    async fn discover(&self, only: &[StreamName]) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        let mut names: Vec<String> = Vec::new();
        if only.is_empty() {
            for object in self.discovery.list().await? {
                let learnt = self.discovery.verdict(&object.name);
                let reason = match streams::refusal(&object) {
                    Some(reason) => Some(reason.to_owned()),
                    None => learnt
                        .filter(|verdict| !verdict.rest_only)
                        .map(|verdict| verdict.reason),
                };
                match reason {
                    Some(reason) => catalog.unavailable.push((object.name, reason)),
                    None => names.push(object.name),
                }
            }
        } else {
            names.extend(only.iter().map(|name| name.as_str().to_owned()));
        }
        for (name, object) in self.discovery.describe(&names).await? {
            let object = match object {
                Ok(object) => object,
                // A name that was asked for and does not exist is left out: the run stops before it
                // reads anything, instead of half way.
                Err(error) if !only.is_empty() && error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    catalog.unavailable.push((name, error.to_string()));
                    continue;
                }
            };
            if !object.queryable {
                let reason = "Salesforce says that it cannot be queried".to_owned();
                catalog.unavailable.push((name, reason));
                continue;
            }
            let mut stream = match streams::stream(&object) {
                Ok(stream) => stream,
                Err(error) => {
                    catalog.unavailable.push((name, error.to_string()));
                    continue;
                }
            };
            if let Some(verdict) = self.discovery.verdict(&object.name) {
                stream.notes.push(if verdict.rest_only {
                    format!("read by REST: Bulk refused it ({})", verdict.reason)
                } else {
                    format!("could not be read last time: {}", verdict.reason)
                });
            }
            catalog.streams.push(Arc::new(stream));
        }
        catalog.streams.sort_by(|a, b| a.name.cmp(&b.name));
        catalog.unavailable.sort();
        Ok(catalog)
    }

    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
        read::read(self, request)
    }
}
