//! A warehouse in memory: what each step means, written a second time.
//!
//! It behaves as Snowflake is documented to: one statement at a time, READ COMMITTED, an UPDATE of the heads
//! locks them until the transaction ends, DDL commits an open transaction, a session that is dropped rolls
//! back. A fault can be put between any two operations.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "only tests call this, and a panic is how a test fails"
)]

mod files;
mod looks;
mod rows;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use overlock_core::{CommitId, SyncKey};
use tokio::sync::OwnedMutexGuard;

use crate::column::ColumnType;
use crate::sql::{Name, Place};
use crate::step::{Claim, HeadRow, Step, StrayValue, Target};
use crate::warehouse::{Answer, Failure, Result, Session, Tag, Warehouse};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// NUMBER, DATE or TIMESTAMP: digits without the point, days or microseconds.
    Number(i128),
    /// FLOAT.
    Float(f64),
    /// VARCHAR, or VARIANT as its text.
    Text(String),
    /// BINARY.
    Bytes(Vec<u8>),
}

impl Cell {
    fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// As SQL compares two values that are there.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(one), Self::Boolean(other)) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => Some(one.cmp(other)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Bytes(one), Self::Bytes(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// One row by column.
pub type Line = BTreeMap<String, Cell>;

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryTable {
    /// Columns in order.
    pub columns: Vec<(String, ColumnType)>,
    /// Rows in the order of insertion.
    pub rows: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
struct HeadLine {
    key: SyncKey,
    table: String,
    head: Option<HeadRow>,
    attempt: Option<CommitId>,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitLine {
    /// Whose.
    pub key: SyncKey,
    /// What.
    pub head: HeadRow,
    /// JSON values that did not parse.
    pub unparsed_json: u64,
}

#[derive(Debug, Clone, Default)]
struct Database {
    schemas: BTreeSet<Place>,
    heads: BTreeMap<Name, Vec<HeadLine>>,
    commits: BTreeMap<Name, Vec<CommitLine>>,
    tables: BTreeMap<Name, MemoryTable>,
    /// By stage and path: size and rows.
    files: BTreeMap<(Name, String), (u64, Vec<Line>)>,
    stages: BTreeSet<Name>,
}

/// What goes wrong, once, at the operation of this number, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This one and all later ones are not done.
    Down(u64),
    /// It is not done, and the answer does not come.
    NotDone(u64),
    /// It is done, and the answer does not come.
    AnswerLost(u64),
    /// Before it, the session is silently replaced by a new one without a transaction.
    SessionReplaced(u64),
    /// As that, and from the second number on nothing is done any more.
    ReplacedThenDown(u64, u64),
}

#[derive(Debug, Default)]
struct Shared {
    database: Database,
    operations: u64,
    fault: Option<Fault>,
    words: Vec<&'static str>,
}

/// A warehouse in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryWarehouse {
    shared: Arc<Mutex<Shared>>,
    heads_lock: Arc<tokio::sync::Mutex<()>>,
}

impl MemoryWarehouse {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a fault; operations are counted anew.
    pub fn fault(&self, fault: Option<Fault>) {
        let mut shared = self.shared();
        shared.operations = 0;
        shared.fault = fault;
        shared.words.clear();
    }

    /// The steps that were run since the last call of [`fault`](Self::fault).
    pub fn words(&self) -> Vec<&'static str> {
        self.shared().words.clone()
    }

    /// A table as others see it.
    pub fn table(&self, name: &Name) -> Option<MemoryTable> {
        self.shared().database.tables.get(name).cloned()
    }

    /// The names of all tables.
    pub fn tables(&self) -> Vec<Name> {
        self.shared().database.tables.keys().cloned().collect()
    }

    /// Changes a table by hand.
    pub fn change(&self, name: &Name, change: impl FnOnce(&mut MemoryTable)) {
        change(self.shared().database.tables.get_mut(name).unwrap());
    }

    /// Drops a table by hand.
    pub fn drop_table(&self, name: &Name) {
        self.shared().database.tables.remove(name);
    }

    /// How many files are on stages.
    pub fn staged_files(&self) -> usize {
        self.shared().database.files.len()
    }

    /// The history.
    pub fn commits(&self, target: &Target) -> Vec<CommitLine> {
        let shared = self.shared();
        let lines = shared.database.commits.get(&target.commits);
        lines.cloned().unwrap_or_default()
    }

    /// Puts a second row for a key into the table of heads.
    pub fn double_head(&self, target: &Target) {
        let mut shared = self.shared();
        let lines = shared.database.heads.get_mut(&target.heads).unwrap();
        let line = lines
            .iter()
            .find(|line| line.key == target.key)
            .unwrap()
            .clone();
        lines.push(line);
    }
}

#[async_trait]
impl Warehouse for MemoryWarehouse {
    async fn open(&self, _: &Tag) -> Result<Box<dyn Session>> {
        self.operation("open")?;
        Ok(Box::new(MemorySession {
            warehouse: self.clone(),
            transaction: None,
        }))
    }
}

enum Verdict {
    Go,
    LoseAnswer,
    Replace,
}

impl MemoryWarehouse {
    fn operation(&self, word: &'static str) -> Result<Verdict> {
        let mut shared = self.shared();
        let number = shared.operations;
        shared.operations += 1;
        shared.words.push(word);
        match shared.fault {
            Some(Fault::Down(from)) if number >= from => Err(Failure::lost("reach the warehouse")),
            Some(Fault::NotDone(at)) if number == at => Err(Failure::lost("reach the warehouse")),
            Some(Fault::AnswerLost(at)) if number == at => Ok(Verdict::LoseAnswer),
            Some(Fault::SessionReplaced(at) | Fault::ReplacedThenDown(at, _)) if number == at => {
                Ok(Verdict::Replace)
            }
            Some(Fault::ReplacedThenDown(_, from)) if number >= from => {
                Err(Failure::lost("reach the warehouse"))
            }
            _ => Ok(Verdict::Go),
        }
    }
}

struct Transaction {
    /// As this transaction sees it.
    database: Database,
    changed: Vec<Name>,
    /// Held from the first UPDATE of heads on.
    lock: Option<OwnedMutexGuard<()>>,
}

struct MemorySession {
    warehouse: MemoryWarehouse,
    transaction: Option<Transaction>,
}

#[async_trait]
impl Session for MemorySession {
    async fn run(&mut self, step: &Step) -> Result<Answer> {
        let verdict = self.warehouse.operation(step.word())?;
        if matches!(verdict, Verdict::Replace) {
            self.transaction = None;
        }
        // Others run here, and before each operation.
        tokio::task::yield_now().await;
        let answer = self.apply(step).await?;
        if matches!(verdict, Verdict::LoseAnswer) {
            return Err(Failure::lost("read the answer of the warehouse"));
        }
        Ok(answer)
    }
}

impl MemorySession {
    async fn apply(&mut self, step: &Step) -> Result<Answer> {
        if step.is_ddl() {
            self.commit();
        }
        match step {
            Step::Begin => {
                // While one is open, it is ignored.
                if self.transaction.is_none() {
                    self.transaction = Some(Transaction {
                        database: self.warehouse.shared().database.clone(),
                        changed: Vec::new(),
                        lock: None,
                    });
                }
                return Ok(Answer::default());
            }
            Step::Commit => {
                self.commit();
                return Ok(Answer::default());
            }
            Step::Rollback => {
                self.transaction = None;
                return Ok(Answer::default());
            }
            Step::MoveHead {
                target,
                head,
                stray,
                attempt,
            } => return self.move_head(target, head, *stray, *attempt).await,
            _ => {}
        }
        let mut shared = self.warehouse.shared();
        match &mut self.transaction {
            Some(transaction) => {
                let answer = transaction.database.apply(step);
                transaction.changed.extend(changed_table(step));
                answer
            }
            None => shared.database.apply(step),
        }
    }

    async fn move_head(
        &mut self,
        target: &Target,
        head: &HeadRow,
        stray: Option<CommitId>,
        attempt: CommitId,
    ) -> Result<Answer> {
        let lock = Arc::clone(&self.warehouse.heads_lock).lock_owned().await;
        let mut shared = self.warehouse.shared();
        let Some(transaction) = &mut self.transaction else {
            return shared.database.move_head(target, head, stray, attempt);
        };
        // Each statement sees what was committed before it began.
        transaction.database = shared.database.clone();
        transaction.lock = Some(lock);
        transaction.changed.push(target.heads.clone());
        transaction.database.move_head(target, head, stray, attempt)
    }

    fn commit(&mut self) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        let mut shared = self.warehouse.shared();
        let (ours, all) = (transaction.database, &mut shared.database);
        for name in &transaction.changed {
            if let Some(lines) = ours.heads.get(name) {
                let others = all.heads.get(name).cloned().unwrap_or_default();
                let mut merged = lines.clone();
                // A row that somebody added meanwhile stays.
                merged.extend(others.into_iter().skip(lines.len()));
                all.heads.insert(name.clone(), merged);
            }
            if let Some(lines) = ours.commits.get(name) {
                all.commits.insert(name.clone(), lines.clone());
            }
            if let Some(table) = ours.tables.get(name) {
                all.tables.insert(name.clone(), table.clone());
            }
        }
    }
}

fn changed_table(step: &Step) -> Option<Name> {
    match step {
        Step::DeleteOld(load) | Step::Insert(load) => Some(load.target.table.clone()),
        Step::DeleteAll { target, .. } | Step::DeleteStray { target, .. } => {
            Some(target.table.clone())
        }
        Step::LogCommit { target, .. } => Some(target.commits.clone()),
        _ => None,
    }
}

fn changed(rows: usize) -> Answer {
    Answer {
        columns: vec!["number of rows changed".to_owned()],
        rows: vec![vec![Some(rows.to_string())]],
    }
}

fn missing(name: impl std::fmt::Display) -> Failure {
    let Failure::Refused(error) = Failure::refused(format!("find {name}")) else {
        return Failure::lost("");
    };
    Failure::Missing(error)
}

impl Database {
    fn table(&mut self, name: &Name) -> Result<&mut MemoryTable> {
        self.tables.get_mut(name).ok_or_else(|| missing(name))
    }

    fn is_head(&self, target: &Target, claim: Claim) -> bool {
        let mut lines = self.heads.get(&target.heads).into_iter().flatten();
        lines.any(|line| {
            line.key == target.key
                && line.head.as_ref().is_some_and(|head| head.id == claim.id)
                && line.attempt == Some(claim.attempt)
        })
    }

    fn apply(&mut self, step: &Step) -> Result<Answer> {
        match step {
            Step::CreateSchema(place) => {
                self.schemas.insert(place.clone());
            }
            Step::CreateHeads(name) => {
                self.heads.entry(name.clone()).or_default();
            }
            Step::CreateCommits(name) => {
                self.commits.entry(name.clone()).or_default();
            }
            Step::CreateStage { stage, .. } => {
                self.stages.insert(stage.clone());
            }
            Step::ShowCommits(commits) => return Ok(self.show_commits(commits)),
            Step::LookAll(target) => return self.look_all(target),
            Step::Look(target) => return self.look(target),
            Step::AddHead(target) => {
                let lines = self
                    .heads
                    .get_mut(&target.heads)
                    .ok_or_else(|| missing(&target.heads))?;
                let is_new = lines.iter().all(|line| line.key != target.key);
                if is_new {
                    lines.push(HeadLine {
                        key: target.key.clone(),
                        table: target.table.object.clone(),
                        head: None,
                        attempt: None,
                    });
                }
                return Ok(changed(usize::from(is_new)));
            }
            Step::DropEmptyHeads(target) => {
                let lines = self
                    .heads
                    .get_mut(&target.heads)
                    .ok_or_else(|| missing(&target.heads))?;
                let before = lines.len();
                lines.retain(|line| line.key != target.key || line.head.is_some());
                let count = before - lines.len();
                return Ok(changed(count));
            }
            Step::CountRows(table) => return Ok(changed(self.table(table)?.rows.len())),
            Step::CreateTable { table, columns } => {
                let table = self.tables.entry(table.clone()).or_default();
                if table.columns.is_empty() {
                    table.columns.clone_from(columns);
                }
            }
            Step::AddColumns { table, columns } => {
                let table = self.table(table)?;
                for (name, kind) in columns {
                    if table.columns.iter().all(|(old, _)| old != name) {
                        table.columns.push((name.clone(), *kind));
                    }
                }
            }
            Step::Widen {
                table,
                column,
                kind,
            } => {
                let table = self.table(table)?;
                table
                    .columns
                    .iter_mut()
                    .filter(|(name, _)| name == column)
                    .for_each(|one| one.1 = *kind);
            }
            Step::CreateStaging { staging, columns } => {
                let table = MemoryTable {
                    columns: columns.clone(),
                    rows: Vec::new(),
                };
                self.tables.insert(staging.clone(), table);
            }
            Step::Upload {
                stage,
                prefix,
                dir,
                files,
            } => {
                for part in files {
                    self.upload(stage, prefix, &dir.join(&part.name), part.bytes)?;
                }
            }
            Step::List { stage, prefix } => return Ok(self.list(stage, prefix)),
            Step::Copy {
                staging,
                stage,
                prefix,
                ..
            } => return self.copy(staging, stage, prefix),
            Step::DeleteOld(load) => return self.delete_old(load),
            Step::DeleteAll { target, claim } => {
                if !self.is_head(target, *claim) {
                    return Ok(changed(0));
                }
                let rows = std::mem::take(&mut self.table(&target.table)?.rows);
                return Ok(changed(rows.len()));
            }
            Step::DeleteStray {
                target,
                claim,
                column,
                value,
            } => {
                if !self.is_head(target, *claim) {
                    return Ok(changed(0));
                }
                let value = match value {
                    StrayValue::Text(text) => Cell::Text(text.clone()),
                    StrayValue::Number(number) => Cell::Number((*number).into()),
                };
                let table = self.table(&target.table)?;
                let before = table.rows.len();
                table.rows.retain(|row| cell(row, column) != value);
                let count = before - table.rows.len();
                return Ok(changed(count));
            }
            Step::Insert(load) => return self.insert(load),
            Step::LogCommit {
                target,
                head,
                attempt,
                staging,
                json,
                ..
            } => {
                return self.log_commit(target, head, *attempt, staging.as_ref(), json);
            }
            Step::DropStaging(name) => {
                self.tables.remove(name);
            }
            Step::RemoveStaged { stage, prefix } => {
                self.files
                    .retain(|(of, path), _| of != stage || !path.starts_with(prefix.as_str()));
            }
            Step::Begin
            | Step::Commit
            | Step::Rollback
            | Step::MoveHead { .. }
            | Step::AskTime
            | Step::DescribeUser(_)
            | Step::DescribeStage(_) => {}
        }
        Ok(Answer::default())
    }

    fn move_head(
        &mut self,
        target: &Target,
        head: &HeadRow,
        stray: Option<CommitId>,
        attempt: CommitId,
    ) -> Result<Answer> {
        let mut log = self.commits.get(&target.commits).into_iter().flatten();
        let is_logged = log.any(|line| Some(line.head.id) == stray);
        let lines = self
            .heads
            .get_mut(&target.heads)
            .ok_or_else(|| missing(&target.heads))?;
        let mut count = 0;
        for line in lines {
            let id = line.head.as_ref().map(|head| head.id);
            let stands = match stray {
                Some(_) => id == stray && !is_logged,
                None => id == head.parent,
            };
            if line.key == target.key && stands {
                line.head = Some(head.clone());
                line.attempt = Some(attempt);
                line.table.clone_from(&target.table.object);
                count += 1;
            }
        }
        Ok(changed(count))
    }

    fn log_commit(
        &mut self,
        target: &Target,
        head: &HeadRow,
        attempt: CommitId,
        staging: Option<&Name>,
        json: &[String],
    ) -> Result<Answer> {
        let claim = Claim {
            id: head.id,
            attempt,
        };
        if !self.is_head(target, claim) {
            return Ok(changed(0));
        }
        let mut unparsed_json = 0;
        if let Some(staging) = staging {
            let table = self.table(staging)?;
            if table.rows.len() as u64 != head.rows {
                return Ok(changed(0));
            }
            for line in &table.rows {
                for name in json {
                    let text = cell(line, name);
                    if let Cell::Text(text) = text
                        && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err()
                    {
                        unparsed_json += 1;
                    }
                }
            }
        }
        let lines = self
            .commits
            .get_mut(&target.commits)
            .ok_or_else(|| missing(&target.commits))?;
        lines.push(CommitLine {
            key: target.key.clone(),
            head: head.clone(),
            unparsed_json,
        });
        Ok(changed(1))
    }
}

fn cell(line: &Line, name: &str) -> Cell {
    line.get(name).cloned().unwrap_or(Cell::Null)
}
