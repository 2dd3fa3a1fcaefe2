//! The source: what the engine sees of an account.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use overlock_core::{
    BoxStream, Catalog, Context, Error, ErrorKind, Page, ReadRequest, Result, Source, StreamName,
    Timestamp,
};
use overlock_kit::http::{HttpSettings, Origins};
use overlock_kit::{Http, files};
use serde::Deserialize;

use crate::auth::{self, Login};
use crate::client::{self, Answers, Ask, Bucket, Client};
use crate::config::{Auth, CommentsMode, Settings, SupportTypeScope};
use crate::errors::Meaning;
use crate::shared::Shared;
use crate::streams::Export;
use crate::{discovery, limits, read};

/// One account, seen by one user.
#[derive(Debug)]
pub struct Zendesk {
    client: Client,
    lists: PathBuf,
    shared: Shared,
    ticket_rows: PageSize,
    user_rows: PageSize,
    start_date: Option<Timestamp>,
    comments_mode: CommentsMode,
    custom_field_columns: bool,
    scope: SupportTypeScope,
    calls_at_once: usize,
    is_api_token: bool,
    warned: AtomicBool,
    wants_scope: Option<&'static str>,
}

/// Rows that a page is asked for: fewer while Zendesk cannot make it in time, more again later.
#[derive(Debug)]
pub(crate) struct PageSize {
    pub(crate) rows: AtomicU32,
    most: u32,
    good: AtomicU32,
}

/// Pages that go well before a larger one is tried.
const GOOD_PAGES: u32 = 10;

impl PageSize {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            rows: AtomicU32::new(most),
            most,
            good: AtomicU32::new(0),
        }
    }

    pub(crate) fn went_well(&self) {
        let rows = self.rows.load(Ordering::Relaxed);
        if rows < self.most && self.good.fetch_add(1, Ordering::Relaxed) + 1 >= GOOD_PAGES {
            self.good.store(0, Ordering::Relaxed);
            self.rows
                .store(rows.saturating_mul(2).min(self.most), Ordering::Relaxed);
        }
    }

    /// Halves a page of `rows` that was too large; false if it cannot be smaller.
    pub(crate) fn halve(&self, rows: u32) -> bool {
        self.good.store(0, Ordering::Relaxed);
        let half = (rows / 2).max(1);
        let now = self.rows.fetch_min(half, Ordering::Relaxed);
        half < rows || now < rows
    }
}

impl Zendesk {
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
                suffixes: &[],
            },
            limits: client::limits(settings.rate_share_percent, settings.max_concurrent_calls),
            max_api_calls: settings.max_api_calls,
            stop_at_percent: None,
        };
        // Not the port: that of an emulator differs from run to run.
        let host = base.host_str().unwrap_or_default();
        let identity = format!("{host}\n{}", settings.auth.identity());
        let folder = cx.work_dir.join(files::fingerprint(&identity));
        // What lists were like is of the account, whoever reads them.
        let lists = cx.work_dir.join(files::fingerprint(host));
        let refused_hint = auth::refused_hint(&settings.auth);
        let is_api_token = matches!(settings.auth, Auth::ApiToken { .. });
        let wants_scope = matches!(settings.auth, Auth::Bearer { .. }).then_some("read");
        let login = Login::new(settings.auth, base.clone(), folder.clone())?;
        let http = Http::new(http, Arc::new(login), Arc::new(Answers), cx)?;
        Ok(Self {
            client: Client::new(http, cx.events.clone(), base, refused_hint),
            shared: Shared::new(folder),
            lists,
            ticket_rows: PageSize::new(settings.page_size),
            user_rows: PageSize::new(settings.page_size),
            start_date: settings.start_date,
            comments_mode: settings.comments_mode,
            custom_field_columns: settings.custom_field_columns,
            scope: settings.support_type_scope,
            calls_at_once: settings.max_concurrent_calls,
            is_api_token,
            warned: AtomicBool::new(false),
            wants_scope,
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where the snapshots of lists are.
    pub(crate) fn lists(&self) -> &Path {
        &self.lists
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn start_date(&self) -> Option<Timestamp> {
        self.start_date
    }

    pub(crate) fn comments_mode(&self) -> CommentsMode {
        self.comments_mode
    }

    pub(crate) fn custom_field_columns(&self) -> bool {
        self.custom_field_columns
    }

    pub(crate) fn scope(&self) -> SupportTypeScope {
        self.scope
    }

    pub(crate) fn calls_at_once(&self) -> usize {
        self.calls_at_once
    }

    pub(crate) fn page_size(&self, export: Export) -> &PageSize {
        match export {
            Export::Tickets => &self.ticket_rows,
            Export::Users => &self.user_rows,
        }
    }

    fn warn_of_api_token(&self) {
        if self.is_api_token && !self.warned.swap(true, Ordering::Relaxed) {
            let message = auth::api_token_warning(self.client.http().now());
            self.client.warn("W0607", None, message);
        }
    }

    /// The scopes of a token that was made elsewhere; what cannot be asked is not doubted.
    async fn check_scopes(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Current {
            token: Token,
        }
        #[derive(Deserialize)]
        struct Token {
            scopes: Vec<String>,
        }
        let Some(wanted) = self.wants_scope else {
            return Ok(());
        };
        let ask = Ask::new("oauth/tokens/current", Bucket::Plan);
        match self.client.json::<Current>(&ask).await {
            Ok(current) => auth::check_scopes(wanted, Some(&current.token.scopes.join(" "))),
            Err(error) if error.kind() == ErrorKind::Auth => Err(error),
            Err(error) => {
                tracing::debug!(%error, "The scopes of the token cannot be read.");
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Source for Zendesk {
    async fn check(&self) -> Result<()> {
        self.warn_of_api_token();
        self.client.http().login().await?;
        self.check_scopes().await?;
        // `/users/me` answers 200 to anybody. An export needs a good token and an administrator, as a sync does.
        let start = self
            .client
            .http()
            .now()
            .minus(limits::HELD_BACK * 60)
            .seconds();
        let ask = Ask::new("incremental/tickets/cursor", Bucket::Exports)
            .query("start_time", &start.max(0).to_string())
            .query("per_page", "1");
        let probe = self
            .client
            .read(&ask, |answer| {
                crate::envelope::Page::parse(answer.body.clone(), "tickets").map(drop)
            })
            .await;
        match probe {
            Err(error) if Meaning::of(&error) == Some(Meaning::TooRecent) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::new(
                ErrorKind::Config,
                format!("find the account at {}", self.client.host()),
            )
            .hint("check `subdomain`: for https://acme.zendesk.com write subdomain = \"acme\"")
            .source(error)),
            other => other,
        }
    }

    async fn discover(&self, only: &[StreamName]) -> Result<Catalog> {
        self.warn_of_api_token();
        discovery::discover(self, only).await
    }

    fn read(&self, request: ReadRequest) -> BoxStream<'_, Result<Page>> {
        read::read(self, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_shrink_to_one_row_and_grow_back() {
        let size = PageSize::new(1_000);
        let mut rows = 1_000;
        let mut steps = 0;
        while size.halve(rows) {
            rows = size.rows.load(Ordering::Relaxed);
            steps += 1;
        }
        assert_eq!((rows, steps), (1, 9));
        for _ in 0..GOOD_PAGES * 10 {
            size.went_well();
        }
        assert_eq!(size.rows.load(Ordering::Relaxed), 1_000);
    }
}
