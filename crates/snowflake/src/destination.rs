//! The destination: a commit is one transaction, and the head read back in a new session is its proof.
//!
//! No statement is ever repeated on its own. After any doubt the session is dropped, which gives up what it
//! did not commit, and a new one looks where the head stands: at our package, and all is done; at its
//! parent, and the commit begins again; elsewhere, and another run was faster.
//!
//! The head that counts is one that the history has too. The history is written last in the transaction, so a
//! pointer that was moved without it was moved outside: by a server that had dropped the transaction in
//! silence. Such a stray pointer stands for its parent, and what it left is deleted by the next commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use overlock_core::Timestamp;
use overlock_core::{
    Clock, Commit, CommitId, Destination, Error, ErrorKind, Package, SourceName, StreamName,
    SyncKey, WriteMode,
};
use overlock_package as package;
use tokio::sync::Mutex;

use crate::books::verify;
use crate::check::{self, Identity};
use crate::heads::{Reading, Shown};
use crate::looks::{Seen, seen};
use crate::plan::{self, Policy};
use crate::sql::Place;
use crate::step::{ExternalStage, HeadRow, Step, Target};
use crate::warehouse::{Failure, Result, Session, Tag, Warehouse};

/// How often a commit is tried (reliability.md, W12).
const ATTEMPTS: u32 = 3;

/// Before the second attempt; twice as long before each later one.
const PAUSE: Duration = Duration::from_secs(2);

/// Older packages that are still on the stage are nobody's (reliability.md, P12).
const STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Snowflake as a destination.
#[derive(Clone)]
pub struct Snowflake {
    warehouse: Arc<dyn Warehouse>,
    place: Place,
    policy: Policy,
    external: Option<ExternalStage>,
    clock: Arc<dyn Clock>,
    pause: Duration,
    identity: Identity,
    /// Whether this process has looked for what dead ones left.
    has_swept: Arc<AtomicBool>,
    /// Where the heads are remembered between runs.
    memory: Option<PathBuf>,
    /// What the streams of this process begin with.
    reading: Arc<Mutex<Option<Reading>>>,
}

impl std::fmt::Debug for Snowflake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snowflake")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Snowflake {
    /// The destination in the schema `place`.
    pub fn new(
        warehouse: Arc<dyn Warehouse>,
        place: Place,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            warehouse,
            place,
            policy,
            external: None,
            clock,
            pause: PAUSE,
            identity: Identity::default(),
            has_swept: Arc::default(),
            memory: None,
            reading: Arc::default(),
        }
    }

    /// Remembers the heads in this file, so that a run with nothing new wakes no warehouse.
    #[must_use]
    pub fn remember(mut self, file: PathBuf) -> Self {
        self.memory = Some(file);
        self
    }

    /// Names who asks in what `check` says.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = identity;
        self
    }

    /// Waits that long before the second attempt of a commit, and longer before later ones; 2 s by default.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sends files over a stage in a bucket of the user's own.
    #[must_use]
    pub fn external_stage(mut self, external: Option<ExternalStage>) -> Self {
        self.external = external;
        self
    }

    fn target(&self, key: &SyncKey) -> Target {
        plan::target(&self.place, key).over(self.external.as_ref())
    }

    async fn open(&self, key: &SyncKey, id: Option<CommitId>) -> Result<Box<dyn Session>> {
        let tag = Tag {
            key: key.clone(),
            id,
        };
        self.warehouse.open(&tag).await
    }

    async fn commit_once(&self, package: &Package) -> Result<Commit> {
        let manifest = &package.manifest;
        let target = self.target(&manifest.key);
        let mut session = self.open(&manifest.key, Some(manifest.id)).await?;
        let done = self.commit_in(session.as_mut(), package, &target).await;
        session.close().await;
        match done? {
            Some(commit) => Ok(commit),
            None => self.confirm(package, &target).await,
        }
    }

    /// The commit, if it was made before; `None` after a transaction that nobody has seen yet.
    async fn commit_in(
        &self,
        session: &mut dyn Session,
        package: &Package,
        target: &Target,
    ) -> Result<Option<Commit>> {
        let seen = self.look_or_prepare(session, target).await?;
        if let Some(commit) = is_done(package, &seen)? {
            if let Some(reading) = self.reading.lock().await.as_mut() {
                reading.forget();
            }
            clean(session, package, target).await;
            return Ok(Some(commit));
        }
        plan::refuse_dropped(&package.manifest, &seen.table, seen.head.as_ref())
            .map_err(Failure::Refused)?;
        self.refuse_emptying(session, package, target, &seen)
            .await?;
        if let Some(commit) = refuse_foreign(session, package, target, &seen).await? {
            return Ok(Some(commit));
        }
        let at = self.clock.now();
        let attempt = CommitId::generate();
        let steps = plan::plan(
            package,
            &seen.table,
            seen.stray.as_ref(),
            target,
            self.policy,
            at,
            attempt,
        )
        .map_err(Failure::Refused)?;
        if let Err(failure) = run_all(session, &steps, package).await {
            // The session ends here anyway; this only lets go of its locks sooner.
            if let Err(failure) = session.run(&Step::Rollback).await {
                tracing::debug!(error = %failure.into_error(), "The rollback was not answered.");
            }
            return Err(mend(session, target, failure).await);
        }
        Ok(None)
    }

    /// Reads the head back in a new session: "COMMIT answered OK" proves nothing.
    async fn confirm(&self, package: &Package, target: &Target) -> Result<Commit> {
        let mut session = self.open(&target.key, Some(package.manifest.id)).await?;
        let seen = look(session.as_mut(), target).await?;
        let head = seen.head.filter(|head| head.id == package.manifest.id);
        let Some(head) = head else {
            return Err(Failure::lost("find the commit after it was committed"));
        };
        clean(session.as_mut(), package, target).await;
        if !package.manifest.files.is_empty() && !self.has_swept.swap(true, Ordering::Relaxed) {
            sweep(session.as_mut(), target, self.clock.now()).await;
        }
        session.close().await;
        if let Some(reading) = self.reading.lock().await.as_mut() {
            reading.note(target, &head, seen.commits);
        }
        Ok(to_commit(head))
    }

    /// The head of a stream, from one reading that all streams of the process share. Each is told once, and once after
    /// each commit what a new session saw then; else only a look of its own is good enough.
    async fn first_head(&self, target: &Target) -> Option<Result<Option<HeadRow>>> {
        let mut reading = self.reading.lock().await;
        if reading.is_none() {
            match self.read_heads(target).await {
                Ok(found) => *reading = Some(found),
                Err(Failure::Lost(error)) => return Some(Err(Failure::Lost(error))),
                // Its own look will tell.
                Err(_) => return None,
            }
        }
        let found = reading.as_mut()?.first(target)?;
        Some(found.map_err(Failure::Refused))
    }

    async fn read_heads(&self, target: &Target) -> Result<Reading> {
        let mut session = self.open(&target.key, None).await?;
        let reading = self.read_heads_in(session.as_mut(), target).await;
        session.close().await;
        reading
    }

    async fn read_heads_in(&self, session: &mut dyn Session, target: &Target) -> Result<Reading> {
        let file = self.memory.as_deref();
        let shown = session
            .run(&Step::ShowCommits(target.commits.clone()))
            .await;
        let shown = match shown {
            Ok(answer) => Shown::find(&answer, target),
            Err(Failure::Lost(error)) => return Err(Failure::Lost(error)),
            // There is no such schema, or it may not be seen.
            Err(_) => None,
        };
        let remembered = shown
            .as_ref()
            .and_then(|shown| Reading::remembered(file, target, shown));
        if let Some(reading) = remembered {
            return Ok(reading);
        }
        match session.run(&Step::LookAll(target.clone())).await {
            Ok(answer) => Reading::read(&answer, target, shown, file).map_err(Failure::Refused),
            // "Missing" may mean "not allowed": only a table that is there and empty means "never".
            Err(Failure::Missing(_)) => {
                for step in plan::prepare(target) {
                    session.run(&step).await?;
                }
                let answer = session.run(&Step::LookAll(target.clone())).await?;
                Reading::read(&answer, target, None, file).map_err(Failure::Refused)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn look_for_head(&self, target: &Target) -> Result<Option<HeadRow>> {
        if let Some(found) = self.first_head(target).await {
            return found;
        }
        let mut session = self.open(&target.key, None).await?;
        let found = look_and_prepare(session.as_mut(), target).await;
        session.close().await;
        Ok(found?.head)
    }

    async fn look_or_prepare(&self, session: &mut dyn Session, target: &Target) -> Result<Seen> {
        let seen = look_and_prepare(session, target).await?;
        if seen.has_row && !seen.has_empty {
            return Ok(seen);
        }
        if seen.has_empty {
            session.run(&Step::DropEmptyHeads(target.clone())).await?;
        }
        session.run(&Step::AddHead(target.clone())).await?;
        look(session, target).await
    }

    async fn refuse_emptying(
        &self,
        session: &mut dyn Session,
        package: &Package,
        target: &Target,
        seen: &Seen,
    ) -> Result<()> {
        let manifest = &package.manifest;
        let empties =
            manifest.mode == WriteMode::Replace && manifest.complete && manifest.rows() == 0;
        if !empties || self.policy.allow_empty_replace || seen.table.columns.is_empty() {
            return Ok(());
        }
        let count = session.run(&Step::CountRows(target.table.clone())).await?;
        if count.number()? == 0 {
            return Ok(());
        }
        Err(Failure::Refused(
            Error::new(
                ErrorKind::Schema,
                "replace a table that has rows by nothing: the source returned 0 rows",
            )
            .context("stream", &manifest.key.stream)
            .hint(
                "check the source; if it is empty indeed, set `allow_empty_replace = true` in the \
                 pipeline file",
            ),
        ))
    }
}

/// What is missing may be a stage that somebody dropped, or that the settings name since the schema was made: it is
/// made, and the commit may begin again. If something else is missing, it ends in the same way.
async fn mend(session: &mut dyn Session, target: &Target, failure: Failure) -> Failure {
    let Failure::Missing(error) = failure else {
        return failure;
    };
    for step in plan::prepare(target) {
        if session.run(&step).await.is_err() {
            return Failure::Missing(error);
        }
    }
    Failure::Lost(error)
}

/// Rows that no commit brought are somebody else's: merged with ours, nobody could tell them apart. Gives the commit,
/// if it was made by another process meanwhile.
async fn refuse_foreign(
    session: &mut dyn Session,
    package: &Package,
    target: &Target,
    seen: &Seen,
) -> Result<Option<Commit>> {
    let is_new = seen.head.is_none() && seen.stray.is_none();
    if !is_new || seen.table.columns.is_empty() || package.manifest.files.is_empty() {
        return Ok(None);
    }
    let count = session.run(&Step::CountRows(target.table.clone())).await?;
    let rows = count.number()?;
    if rows == 0 {
        return Ok(None);
    }
    // Another first run may have been faster, between the look and the count.
    let again = look(session, target).await?;
    if again.head.is_some() || again.stray.is_some() {
        return is_done(package, &again);
    }
    Err(Failure::Refused(
        Error::new(
            ErrorKind::Schema,
            format!(
                "fill the table {}: it has {rows} rows that overlock did not load",
                target.table
            ),
        )
        .context("stream", &target.key.stream)
        .hint("rename or drop that table, or give the destination another `schema`"),
    ))
}

/// The commit, if it was made before; an error if the package builds on another one.
fn is_done(package: &Package, seen: &Seen) -> Result<Option<Commit>> {
    let id = seen.head.as_ref().map(|head| head.id);
    if id == Some(package.manifest.id) {
        return Ok(seen.head.clone().map(to_commit));
    }
    if id != package.manifest.parent {
        return Err(Failure::Refused(conflict(package, id)));
    }
    Ok(None)
}

/// The hash of each file is the only defence against a changed bit, so it is checked before it leaves.
async fn verify_files(package: &Package) -> overlock_core::Result<()> {
    let package = package.clone();
    let verified = tokio::task::spawn_blocking(move || package::verify(&package)).await;
    verified.map_err(|error| Error::bug("finish disk work").source(error))?
}

/// Runs the steps and checks each answer: a count that is not as it must be stops the commit.
async fn run_all(session: &mut dyn Session, steps: &[Step], package: &Package) -> Result<()> {
    for step in steps {
        let answer = session.run(step).await?;
        verify(step, &answer, package)?;
    }
    Ok(())
}

/// What is left behind goes; if it does not, it costs a little storage until the next start.
async fn clean(session: &mut dyn Session, package: &Package, target: &Target) {
    for step in plan::clean(package, target) {
        if let Err(failure) = session.run(&step).await {
            let error = failure.into_error();
            tracing::debug!(step = step.word(), %error, "What a commit left behind stays.");
        }
    }
}

/// Removes what packages left behind that nobody will ever commit: files on the stage and their staging tables.
/// A failure costs a little storage until another process looks.
async fn sweep(session: &mut dyn Session, target: &Target, now: Timestamp) {
    let everything = Step::List {
        stage: target.stage.clone(),
        prefix: String::new(),
    };
    let Ok(listed) = session.run(&everything).await else {
        return;
    };
    let names = (0..listed.rows.len()).filter_map(|row| listed.get(row, "name"));
    let mut prefixes: Vec<(CommitId, String)> = names.filter_map(package_of).collect();
    prefixes.sort();
    prefixes.dedup();
    for (id, prefix) in prefixes {
        let is_stale = id.made_at().is_some_and(|made| now.since(made) >= STALE);
        if !is_stale {
            continue;
        }
        let steps = [
            Step::DropStaging(plan::staging_table(target, id)),
            Step::RemoveStaged {
                stage: target.stage.clone(),
                prefix,
            },
        ];
        for step in steps {
            if let Err(failure) = session.run(&step).await {
                let error = failure.into_error();
                tracing::debug!(step = step.word(), %error, "What a dead package left stays.");
            }
        }
    }
}

/// The package of a staged file, and its folder: `<stage>/<pipeline>/<stream>/<id>/<part>`.
fn package_of(name: &str) -> Option<(CommitId, String)> {
    let mut parts = name.rsplit('/').skip(1);
    let (id, stream, pipeline) = (parts.next()?, parts.next()?, parts.next()?);
    Some((id.parse().ok()?, format!("{pipeline}/{stream}/{id}/")))
}

/// Looks; makes first what overlock keeps for itself, where it is missing.
async fn look_and_prepare(session: &mut dyn Session, target: &Target) -> Result<Seen> {
    match look(session, target).await {
        Err(Failure::Missing(_)) => {
            for step in plan::prepare(target) {
                session.run(&step).await?;
            }
            look(session, target).await
        }
        seen => seen,
    }
}

async fn look(session: &mut dyn Session, target: &Target) -> Result<Seen> {
    let answer = session.run(&Step::Look(target.clone())).await?;
    seen(&answer, target).map_err(Failure::Refused)
}

fn to_commit(head: HeadRow) -> Commit {
    Commit {
        id: head.id,
        parent: head.parent,
        state: head.state,
        complete: head.complete,
        rows: head.rows,
        at: head.at,
    }
}

pub(crate) fn conflict(package: &Package, head: Option<CommitId>) -> Error {
    let shown = head.map_or_else(|| "another".to_owned(), |head| head.to_string());
    Error::new(
        ErrorKind::Conflict,
        "commit a package that builds on another commit than the newest",
    )
    .context("stream", &package.manifest.key.stream)
    .context("commit", package.manifest.id)
    .context("head", shown)
    .hint("another run was faster; nothing is lost: the next run reads on from its commit")
}

#[async_trait]
impl Destination for Snowflake {
    async fn check(&self) -> overlock_core::Result<Vec<String>> {
        let key = SyncKey::new(SourceName::new("check")?, StreamName::new("check")?);
        let target = self.target(&key);
        let mut session = self.open(&key, None).await.map_err(Failure::into_error)?;
        let found = check::run(
            session.as_mut(),
            &target,
            &self.identity,
            self.clock.as_ref(),
        )
        .await;
        session.close().await;
        found
    }

    /// A commit wakes a warehouse, which is billed by the minute.
    fn is_costly(&self) -> bool {
        true
    }

    async fn head(&self, key: &SyncKey) -> overlock_core::Result<Option<Commit>> {
        let target = self.target(key);
        let mut attempt = 1;
        loop {
            match self.look_for_head(&target).await {
                Ok(head) => return Ok(head.map(to_commit)),
                Err(Failure::Lost(_)) if attempt < ATTEMPTS => {}
                Err(failure) => return Err(failure.into_error()),
            }
            tokio::time::sleep(self.pause * attempt).await;
            attempt += 1;
        }
    }

    async fn commit(&self, package: &Package) -> overlock_core::Result<Commit> {
        let manifest = &package.manifest;
        if !manifest.sealed {
            return Err(Error::bug("commit a package that is not sealed"));
        }
        if manifest.mode == WriteMode::Replace && !manifest.complete && !manifest.files.is_empty() {
            return Err(Error::bug("replace a table by rows that are not complete"));
        }
        verify_files(package).await?;
        let mut attempt = 1;
        loop {
            match self.commit_once(package).await {
                Ok(commit) => return Ok(commit),
                Err(Failure::Lost(error)) if attempt < ATTEMPTS => {
                    tracing::debug!(attempt, %error, "The commit begins again at the head.");
                }
                Err(failure) => {
                    if let Some(reading) = self.reading.lock().await.as_mut() {
                        reading.forget();
                    }
                    return Err(failure.into_error());
                }
            }
            tokio::time::sleep(self.pause * attempt).await;
            attempt += 1;
        }
    }
}
