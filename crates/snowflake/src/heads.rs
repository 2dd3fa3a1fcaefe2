//! Where all streams of a pipeline stand, read once for the run, and without waking a warehouse if nothing changed.
//!
//! Every commit adds one row to the history, in the transaction that moves the head. So as long as the history has as
//! many rows as when the heads were last read, the heads are the same, and SHOW TABLES tells how many it has from
//! what Snowflake knows without a warehouse. A file remembers the heads and that number, under a hash. It is a cache: if it
//! names another commit than Snowflake, the commit notices, because it looks for itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use overlock_core::{CommitId, StreamName, SyncKey};
use overlock_package::fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::looks::{taken, two_heads, unreadable};
use crate::step::{HeadRow, Target};
use crate::warehouse::Answer;

/// Longest file of heads: some kilobytes for each stream.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Length of the hash before the JSON: a state with a flipped bit is no state.
const HASH_BYTES: usize = 64;

fn hash_of(json: &[u8]) -> String {
    format!("{:x}", Sha256::digest(json))
}

/// One row of the table of heads, with what the history knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    pipeline: String,
    stream: String,
    table: String,
    /// `None` if no commit was ever written there.
    id: Option<CommitId>,
    /// The newest commit that the history has too, for the pipeline's own streams.
    head: Option<HeadRow>,
    /// It has one before, which the history does not know.
    is_unreadable: bool,
}

/// What the history looked like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// When it was made.
    created: String,
    /// Its rows.
    rows: u64,
}

/// Where all streams of a pipeline stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Heads {
    /// Whose heads: the schema and the pipeline.
    of: String,
    /// `None`: not known, so that this is not worth keeping.
    shown: Option<Shown>,
    lines: Vec<Line>,
}

/// The heads that a run begins with.
#[derive(Debug)]
pub(crate) struct Reading {
    heads: Heads,
    file: Option<PathBuf>,
    /// Streams that were told theirs: each is told once, and once after each commit; later answers come from the
    /// warehouse.
    told: HashSet<StreamName>,
    /// Commits of this run.
    commits: u64,
    /// Rows of the history as last seen.
    seen: u64,
}

impl Shown {
    /// Finds the history in the answer to SHOW TABLES.
    pub(crate) fn find(answer: &Answer, target: &Target) -> Option<Self> {
        let row = (0..answer.rows.len())
            .find(|row| answer.get(*row, "name") == Some(target.commits.object.as_str()))?;
        Some(Self {
            created: answer.get(row, "created_on")?.to_owned(),
            rows: answer.get(row, "rows")?.parse().ok()?,
        })
    }
}

impl Heads {
    fn of(target: &Target) -> String {
        format!("{} {}", target.heads, target.key.pipeline)
    }

    /// What a file says; nothing if it is not there, damaged, or of another schema.
    fn load(file: &Path, target: &Target) -> Option<Self> {
        let bytes = fs::read(file, MAX_FILE_BYTES).ok()?;
        let (hash, json) = bytes.split_at_checked(HASH_BYTES)?;
        if hash != hash_of(json).as_bytes() {
            return None;
        }
        let heads: Self = serde_json::from_slice(json).ok()?;
        (heads.of == Self::of(target)).then_some(heads)
    }

    fn save(&self, file: &Path) {
        let json = serde_json::to_string(self).unwrap_or_default();
        let text = format!("{}{json}", hash_of(json.as_bytes()));
        let saved = fs::create_dir_all(fs::parent(file))
            .and_then(|()| fs::replace(file, text.as_bytes(), |_| {}));
        if let Err(error) = saved {
            tracing::debug!(%error, "The heads were not remembered; the next run asks for them.");
        }
    }
}

impl Reading {
    /// What `file` remembers, if the history has not changed since.
    pub(crate) fn remembered(file: Option<&Path>, target: &Target, shown: &Shown) -> Option<Self> {
        let heads = Heads::load(file?, target)?;
        if heads.shown.as_ref() != Some(shown) {
            return None;
        }
        Some(Self::new(heads, file))
    }

    /// From the answer to [`Step::LookAll`](crate::Step::LookAll).
    pub(crate) fn read(
        answer: &Answer,
        target: &Target,
        shown: Option<Shown>,
        file: Option<&Path>,
    ) -> overlock_core::Result<Self> {
        let mut lines = Vec::new();
        let mut rows = None;
        for row in &answer.rows {
            let cell = |at: usize| row.get(at)?.as_deref();
            let text = |at: usize| cell(at).unwrap_or_default().to_owned();
            let (id, is_logged) = (cell(3), cell(6).is_some());
            let id = id.map(|id| id.parse().map_err(|_| unreadable("ID")));
            let head = cell(5).map(|head| {
                serde_json::from_str(head).map_err(|error| unreadable("HEAD").source(error))
            });
            lines.push(Line {
                pipeline: text(0),
                stream: text(1),
                table: text(2),
                is_unreadable: text(0) == target.key.pipeline.as_str()
                    && !is_logged
                    && cell(4).is_some()
                    && head.is_none(),
                id: id.transpose()?,
                head: head.transpose()?,
            });
            rows = cell(7).and_then(|rows| rows.parse().ok());
        }
        // Another run may have committed since SHOW: then nobody knows which heads its number belongs to.
        let shown = shown.filter(|shown| Some(shown.rows) == rows);
        let heads = Heads {
            of: Heads::of(target),
            shown,
            lines,
        };
        let reading = Self::new(heads, file);
        reading.save();
        Ok(reading)
    }

    fn new(heads: Heads, file: Option<&Path>) -> Self {
        let seen = heads.shown.as_ref().map_or(0, |shown| shown.rows);
        Self {
            heads,
            file: file.map(Path::to_owned),
            told: HashSet::new(),
            commits: 0,
            seen,
        }
    }

    /// Forgets what is remembered: something was not as it said.
    pub(crate) fn forget(&mut self) {
        self.heads.shown = None;
        if let Some(file) = self.file.take()
            && let Err(error) = fs::remove_file(&file)
        {
            tracing::debug!(%error, "The remembered heads were not forgotten.");
        }
    }

    fn save(&self) {
        if let (Some(file), Some(_)) = (&self.file, &self.heads.shown) {
            self.heads.save(file);
        }
    }

    /// The head of a stream, if it is asked for the first time and the pipeline is the one that was read.
    pub(crate) fn first(
        &mut self,
        target: &Target,
    ) -> Option<overlock_core::Result<Option<HeadRow>>> {
        let is_new = self.heads.of == Heads::of(target);
        if !is_new || !self.told.insert(target.key.stream.clone()) {
            return None;
        }
        Some(self.head(target))
    }

    fn head(&self, target: &Target) -> overlock_core::Result<Option<HeadRow>> {
        let mut found = None;
        for line in self.heads.lines.iter().filter(|line| line.id.is_some()) {
            if !is_of(line, &target.key) {
                if line.table == target.table.object {
                    return Err(taken(target, &line.pipeline));
                }
                continue;
            }
            if found.is_some() {
                return Err(two_heads(target));
            }
            if line.is_unreadable {
                return Err(unreadable("HEAD"));
            }
            found = Some(line);
        }
        Ok(found.and_then(|line| line.head.clone()))
    }

    /// Notes a commit of this run as a new session saw it, when the history had `rows` rows. Whoever asks next for the
    /// head of that stream is told this.
    pub(crate) fn note(&mut self, target: &Target, head: &HeadRow, rows: u64) {
        if self.heads.of != Heads::of(target) {
            return;
        }
        let lines = &mut self.heads.lines;
        lines.retain(|line| !is_of(line, &target.key));
        lines.push(Line {
            pipeline: target.key.pipeline.to_string(),
            stream: target.key.stream.to_string(),
            table: target.table.object.clone(),
            id: Some(head.id),
            head: Some(HeadRow {
                mapping: Vec::new(),
                ..head.clone()
            }),
            is_unreadable: false,
        });
        self.told.remove(&target.key.stream);
        self.commits += 1;
        self.seen = self.seen.max(rows);
        // If it has more rows than this run made, somebody else commits too, and only the warehouse knows what.
        let Some(shown) = &mut self.heads.shown else {
            return;
        };
        if shown.rows + self.commits == self.seen {
            shown.rows = self.seen;
            self.commits = 0;
            self.save();
        }
    }
}

fn is_of(line: &Line, key: &SyncKey) -> bool {
    line.pipeline == key.pipeline.as_str() && line.stream == key.stream.as_str()
}
