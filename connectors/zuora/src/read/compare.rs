//! What windows cannot see: old values of a new field, columns that change without a stamp, rows that vanished.
//!
//! Each is read apart from the windows and never moves their mark. What was compared with what is kept on the shelf of
//! Ids; it counts only when the next run's state says that its rows were committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Schema;
use overlock_core::stream::{DELETED, UTC};
use overlock_core::{Error, ErrorKind, Result, Timestamp};
use overlock_kit::files;
use overlock_kit::out::Out;
use serde::{Deserialize, Serialize};

use super::fetch::{Fetched, Seen, Wanted};
use super::{Piece, Reader, Step, Target, Todo, blocking, no_repeats, smaller};
use crate::api;
use crate::ids::{Bag, Difference};
use crate::jobs::Outcome;
use crate::limits;
use crate::state::fingerprint;
use crate::streams::ENTITY;

/// Tombstones of a batch.
const BATCH_ROWS: usize = 4096;

/// With so many Ids known, a comparison that finds nine of ten gone is not believed.
const FEW: u64 = 100;

/// What a comparison found.
#[derive(Debug, Default)]
struct Differences {
    /// With the stamps that they had.
    missing: Vec<(String, i64)>,
    returned: Vec<String>,
    changed: Vec<String>,
    new: Vec<String>,
    known: u64,
}

/// When what is pending counts.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    refreshed: Option<Timestamp>,
    swept: Option<Timestamp>,
    columns: Option<String>,
    /// With it the shelf has everything that was delivered.
    baseline: bool,
}

/// What runs saw that had nothing to deliver: nothing is committed then, and the state stays as it is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Looked {
    /// Good for a state with this mark.
    mark: Option<Timestamp>,
    /// Windows were read up to here.
    until: Option<Timestamp>,
    refreshed: Option<Timestamp>,
    swept: Option<Timestamp>,
    columns: Option<String>,
}

impl Reader<'_> {
    fn looked_file(&self) -> std::path::PathBuf {
        self.target.shelves.join("looked.json")
    }

    /// What is known of runs that had nothing to deliver, if the state is still the one they had.
    pub(super) fn looked(&self) -> Looked {
        let mark = self.position.from.values().min().copied();
        files::read::<Looked>(&self.looked_file())
            .filter(|looked| mark.is_some() && looked.mark == mark)
            .unwrap_or_default()
    }

    /// Keeps what a run saw that had nothing to deliver.
    pub(super) fn keep_looked(&self, mark: Option<Timestamp>, upper: Timestamp) {
        if mark.is_none() || self.emitted.load(Ordering::Relaxed) > 0 {
            return;
        }
        let looked = Looked {
            mark,
            until: Some(upper),
            refreshed: self.position.refreshed,
            swept: self.position.swept,
            columns: self.position.columns.clone(),
        };
        if let Err(error) = files::replace(&self.looked_file(), &looked, || ()) {
            tracing::debug!(%error, "What a run looked at is not kept.");
        }
    }

    /// Notes what a stream is read with before its first row: an interrupted first read goes on with other columns,
    /// perhaps.
    pub(super) fn begin(&mut self) {
        if self.position.columns.is_none() {
            self.position.columns = Some(self.shape());
            self.remember_columns();
        }
    }

    /// Whether deleted rows are asked for.
    pub(super) fn is_told(&self) -> bool {
        let now = self.source.client().now();
        let name = self.target.stream.name.as_str();
        self.source.learnt().has_deletes(name, now)
    }

    /// The fields that are asked for: not those that Zuora has refused in this run.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let name = self.target.stream.name.as_str();
        self.target
            .columns
            .iter()
            .map(|column| column.path.as_str())
            .filter(move |path| !self.source.learnt().is_dropped(name, path))
    }

    /// Fingerprint of these.
    fn shape(&self) -> String {
        fingerprint(self.paths())
    }

    /// A state must not say that rows were read with a field that Zuora has refused meanwhile.
    pub(super) fn note_columns(&mut self) {
        let all = fingerprint(self.target.columns.iter().map(|one| one.path.as_str()));
        let asked = self.shape();
        if asked != all && self.position.columns.as_deref() == Some(all.as_str()) {
            self.position.columns = Some(asked);
            self.remember_columns();
        }
    }

    /// Whatever is due beside the windows. `before`: the oldest mark at the beginning of the run, if there was one.
    pub(super) async fn look_beyond(
        &mut self,
        before: Option<Timestamp>,
        looked: Looked,
        upper: Timestamp,
        out: &mut Out,
    ) -> Result<()> {
        let now = self.source.client().now();
        self.position.refreshed = self.position.refreshed.max(looked.refreshed);
        self.position.swept = self.position.swept.max(looked.swept);
        if looked.columns.is_some() {
            self.position.columns = looked.columns;
        }
        self.fill_new_columns(out).await?;
        let is_told = self.is_told();
        if self.position.swept.is_none() {
            // The first read ends here: everything is as it was just now.
            self.position.refreshed = Some(upper);
            self.position.swept = Some(upper);
            self.position.untold = false;
            return self.set_baseline();
        }
        let every = |wanted: Duration, last: Option<Timestamp>| {
            !wanted.is_zero() && last.is_none_or(|last| now.since(last) >= wanted)
        };
        let tuning = self.source.tuning();
        let is_silent = self.target.silent_names().next().is_some();
        let refresh = is_silent && every(tuning.shadow_refresh, self.position.refreshed);
        // After a long outage, some deletions can no longer be asked for.
        let seen = before.max(looked.until).max(self.position.swept);
        let outage = is_told && seen.is_some_and(|seen| now.since(seen) > limits::DELETED_KEPT);
        let sweep = if is_told {
            outage || self.position.untold
        } else {
            every(tuning.sweep, self.position.swept)
        };
        // The work folder was lost: what is compared with has to be made anew, and at once.
        let lost = !self.has_baseline() && (is_silent || !is_told || sweep);
        let (refresh, sweep) = (refresh || (lost && is_silent), sweep || lost);
        if !refresh && !sweep {
            return Ok(());
        }
        if outage {
            self.source.client().warn(
                "W0707",
                Some(&self.target.stream.name),
                "the last run is so long ago that Zuora no longer tells all deletions since: Ids are compared",
            );
        }
        for entity in tuning.entities.clone() {
            if lost {
                self.begin_anew(&entity, refresh, out).await?;
            } else {
                self.compare(&entity, refresh, sweep, out).await?;
            }
        }
        if lost && !refresh {
            self.set_baseline()?;
        }
        if refresh {
            self.position.refreshed = Some(now);
        }
        if sweep {
            self.position.swept = Some(now);
            self.position.untold = !is_told;
        }
        self.pend(lost && refresh)
    }

    fn pending_file(&self) -> std::path::PathBuf {
        self.target.shelves.join("pending.json")
    }

    fn now_pending(&self, baseline: bool) -> Pending {
        Pending {
            baseline,
            refreshed: self.position.refreshed,
            swept: self.position.swept,
            columns: self.position.columns.clone(),
        }
    }

    /// What this run delivers apart from windows counts if the next state is this one.
    fn pend(&self, baseline: bool) -> Result<()> {
        files::replace(&self.pending_file(), &self.now_pending(baseline), || ())
    }

    /// Says that the shelf has everything that was delivered.
    fn baseline_file(&self) -> std::path::PathBuf {
        self.target.shelves.join("baseline.json")
    }

    fn has_baseline(&self) -> bool {
        files::read::<bool>(&self.baseline_file()).unwrap_or(false)
    }

    fn set_baseline(&self) -> Result<()> {
        files::replace(&self.baseline_file(), &true, || ())
    }

    /// Takes over what the last run delivered, or drops it if that was not committed.
    pub(super) async fn settle_pending(&self) -> Result<()> {
        let path = self.pending_file();
        let Some(pending) = files::read::<Pending>(&path) else {
            return Ok(());
        };
        let counts = pending == self.now_pending(pending.baseline);
        for entity in &self.source.tuning().entities {
            for what in ["known", "gone"] {
                let from = self.target.pending(what, entity);
                let to = self.target.shelf(what, entity);
                blocking(move || {
                    if counts {
                        to.add_all(from.open()?)?;
                    }
                    from.clear()
                })
                .await?;
            }
        }
        if counts && pending.baseline {
            self.set_baseline()?;
        }
        std::fs::remove_file(&path).ok();
        Ok(())
    }

    fn columns_file(&self) -> std::path::PathBuf {
        self.target.shelves.join("columns.json")
    }

    /// Keeps which columns a fingerprint stands for.
    fn remember_columns(&self) {
        let path = self.columns_file();
        let mut known: BTreeMap<String, Vec<String>> = files::read(&path).unwrap_or_default();
        let columns = self.paths().map(ToOwned::to_owned).collect();
        if known.insert(self.shape(), columns).is_none()
            && let Err(error) = files::replace(&path, &known, || ())
        {
            tracing::debug!(%error, "The columns of a stream are not kept.");
        }
    }

    /// Reads the rows that have a value in a column which earlier rows were read without.
    async fn fill_new_columns(&mut self, out: &mut Out) -> Result<()> {
        let shape = self.shape();
        let before = self.position.columns.clone();
        if before.as_deref() == Some(shape.as_str()) {
            return Ok(());
        }
        let known: BTreeMap<String, Vec<String>> =
            files::read(&self.columns_file()).unwrap_or_default();
        let before = before.and_then(|before| known.get(&before));
        let new: Vec<String> = self
            .paths()
            .map(ToOwned::to_owned)
            .filter(|path| before.is_none_or(|before| !before.contains(path)))
            .collect();
        if !new.is_empty() {
            let name = &self.target.stream.name;
            let each: Vec<String> = new
                .iter()
                .map(|path| format!("{path} is not null"))
                .collect();
            let condition = format!("({})", each.join(" or "));
            let fields: usize = self.paths().map(|path| path.len() + 2).sum();
            // Which rows have a parent is not for a condition to find out, and a query has an end.
            let whole = before.is_none()
                || new.iter().any(|path| path.contains('.'))
                || fields + condition.len() + 1_000 > limits::QUERY_CHARS;
            let (conditions, what) = if whole {
                (Vec::new(), "all rows are")
            } else {
                (vec![condition], "rows that have a value in them are")
            };
            let columns = self.target.columns.iter();
            let shown: Vec<&str> = columns
                .filter(|column| new.contains(&column.path))
                .map(|column| column.name.as_str())
                .collect();
            self.source.client().drift(
                name,
                format!("new columns {}: {what} read again", shown.join(", ")),
            );
            for entity in self.source.tuning().entities.clone() {
                let Some(mark) = self.position.mark(&entity) else {
                    continue;
                };
                let piece = Piece {
                    lower: self.start(),
                    upper: Some(mark),
                    conditions: conditions.clone(),
                    ..Piece::default()
                };
                let target = Arc::clone(&self.target);
                let seen = self.scan(&target, piece, &entity, Some(out)).await?;
                self.put_aside(seen, &entity).await?;
            }
        }
        self.position.columns = Some(shape);
        self.remember_columns();
        self.pend(false)
    }

    /// Reads pieces apart from the windows, and the smaller ones that become of them.
    async fn scan(
        &mut self,
        target: &Arc<Target>,
        piece: Piece,
        entity: &str,
        mut out: Option<&mut Out>,
    ) -> Result<Seen> {
        let mut todo = VecDeque::from([Todo::new(piece)]);
        let mut all = Seen::new(&target.shelves);
        while let Some(Todo { piece, from }) = todo.pop_front() {
            let found = match self.find(target, &piece, from, entity).await? {
                Step::Found(found) => found,
                Step::Again => {
                    todo.push_front(Todo::new(piece));
                    continue;
                }
                Step::Smaller(pieces) => {
                    super::push_all(&mut todo, pieces);
                    continue;
                }
            };
            let mut rows = 0;
            let mut instead = None;
            let mut last = None;
            let count = found.files.files.len();
            for (number, file) in found.files.files.iter().enumerate() {
                let expected = (number + 1 == count).then(|| found.files.rows.saturating_sub(rows));
                let out = out.as_deref_mut();
                match self
                    .fetch(
                        Wanted {
                            target,
                            piece: &piece,
                            file,
                            expected,
                            deletes: found.deletes,
                            entity,
                        },
                        &mut all,
                        out,
                    )
                    .await?
                {
                    Fetched::Done(delivered) => rows += delivered,
                    Fetched::Gone if number == 0 => {
                        self.count_gone()?;
                        instead = Some(vec![piece.clone()]);
                    }
                    Fetched::TooLarge(error) if number == 0 => {
                        instead = Some(smaller(&piece).ok_or(error)?);
                    }
                    Fetched::Gone => return Err(vanished()),
                    Fetched::TooLarge(error) => return Err(error),
                }
                if instead.is_some() {
                    break;
                }
                last = all.last.take().or(last);
            }
            if let Some(pieces) = instead {
                super::push_all(&mut todo, pieces);
                continue;
            }
            if rows != found.files.rows {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!(
                        "balance a query: Zuora announced {} rows and its files have {rows}",
                        found.files.rows
                    ),
                ));
            }
            if let (Some(page), Some(last)) = (piece.page, last)
                && rows >= page
            {
                todo.push_front(Todo::new(Piece {
                    after: Some(last),
                    ..piece
                }));
            }
        }
        Ok(all)
    }

    /// Keeps Ids that were delivered apart from windows until the next run.
    async fn put_aside(&self, seen: Seen, entity: &str) -> Result<()> {
        let known = self.target.pending("known", entity);
        let gone = self.target.pending("gone", entity);
        blocking(move || {
            no_repeats(known.add(seen.ids.sorted()?)?)?;
            no_repeats(gone.add(seen.gone.sorted()?)?)
        })
        .await
    }

    /// Compares the Ids of an object, and its columns that change in silence, with what was delivered.
    async fn compare(
        &mut self,
        entity: &str,
        refresh: bool,
        sweep: bool,
        out: &mut Out,
    ) -> Result<()> {
        let narrow = Arc::new(self.narrow(refresh)?);
        let known = self.target.known(entity);
        let seen = self.scan(&narrow, Piece::default(), entity, None).await?;
        let gone = self.target.gone(entity);
        let has_start = self.start().is_some();
        let found = blocking(move || {
            let mut found = Differences::default();
            found.known =
                known.differences(&gone, seen.ids.sorted()?, |difference, id, stamp| {
                    // Beyond the most only the number counts.
                    let list = match difference {
                        Difference::Missing if sweep => {
                            if found.missing.len() <= MOST_LISTED {
                                found.missing.push((id, stamp));
                            }
                            return Ok(());
                        }
                        Difference::Returned if sweep => &mut found.returned,
                        // Without the columns in question, everything looks changed.
                        Difference::Changed if refresh => &mut found.changed,
                        // Rows from before the start are not wanted.
                        Difference::New if sweep && !has_start => &mut found.new,
                        _ => return Ok(()),
                    };
                    if list.len() <= MOST_LISTED {
                        list.push(id);
                    }
                    Ok(())
                })?;
            Ok(found)
        })
        .await?;
        if sweep {
            self.bury(&found, entity, out).await?;
        }
        let mut again = Vec::new();
        if refresh {
            again.extend(found.changed);
        }
        if sweep {
            self.welcome(&found.returned, entity).await?;
            again.extend(found.returned);
            // Usually rows of the last two hours; sometimes one that no window shows.
            again.extend(found.new);
        }
        self.read_again(again, entity, out).await
    }

    /// Without knowledge of what was delivered there is nothing to compare with: this is where it begins.
    async fn begin_anew(&mut self, entity: &str, refresh: bool, out: &mut Out) -> Result<()> {
        self.source.client().warn(
            "W0704",
            Some(&self.target.stream.name),
            "the work folder knows nothing of what was delivered: deletions until now are not seen, a full refresh would show them",
        );
        let seen = if refresh {
            // What was delivered long ago may have changed in silence.
            let whole = Piece {
                lower: self.start(),
                upper: self.position.mark(entity),
                ..Piece::default()
            };
            let target = Arc::clone(&self.target);
            self.scan(&target, whole, entity, Some(out)).await?
        } else {
            // Nothing is delivered, so there is no commit to wait for.
            let narrow = Arc::new(self.narrow(false)?);
            let seen = self.scan(&narrow, Piece::default(), entity, None).await?;
            let known = self.target.known(entity);
            return blocking(move || no_repeats(known.add(seen.ids.sorted()?)?)).await;
        };
        self.put_aside(seen, entity).await
    }

    /// The same object with Id and stamp alone, and the columns that change in silence.
    fn narrow(&self, refresh: bool) -> Result<Target> {
        let target = &self.target;
        let silent: Vec<&str> = target.silent_names().collect();
        let is_kept = |name: &str| {
            target.stream.primary_key.iter().any(|key| key == name)
                || (refresh && silent.contains(&name))
                || target.stream.replication_key.as_deref() == Some(name)
                || name == overlock_core::stream::EXTRA
        };
        let fields: Vec<_> = target
            .stream
            .schema
            .fields()
            .iter()
            .filter(|field| is_kept(field.name()))
            .cloned()
            .collect();
        if fields.len() < 2 {
            return Err(Error::bug("compare a stream without an Id"));
        }
        let mut stream = (*target.stream).clone();
        stream.schema = Arc::new(Schema::new(fields));
        Ok(Target {
            columns: target
                .columns
                .iter()
                .filter(|column| is_kept(&column.name))
                .cloned()
                .collect(),
            key: None,
            stream: Arc::new(stream),
            filter: target.filter.clone(),
            shelves: target.shelves.clone(),
        })
    }

    /// Tells of rows that are gone without a word.
    async fn bury(&self, found: &Differences, entity: &str, out: &mut Out) -> Result<()> {
        let missing = found.missing.len() as u64;
        let all = missing == found.known && missing > 1;
        let most = missing > FEW && missing.saturating_mul(10) > found.known.saturating_mul(9);
        if all || most || found.missing.len() > MOST_LISTED {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "believe that {missing} of {} rows of `{}` are deleted",
                    found.known, self.target.stream.name
                ),
            )
            .hint("look at Zuora whether the source's user still sees them; if they are gone, run with --full-refresh"));
        }
        let mut gone = Bag::new(&self.target.shelves);
        for rows in found.missing.chunks(BATCH_ROWS) {
            for (id, stamp) in rows {
                gone.add(id, 1, *stamp)?;
            }
            self.emitted.fetch_add(rows.len() as u64, Ordering::Relaxed);
            out.page(self.tombstones(rows, entity)?, None).await?;
        }
        let pending = self.target.pending("gone", entity);
        blocking(move || no_repeats(pending.add(gone.sorted()?)?)).await
    }

    /// Rows that are there again are not gone.
    async fn welcome(&self, ids: &[String], entity: &str) -> Result<()> {
        let mut back = Bag::new(&self.target.shelves);
        for id in ids {
            back.add(id, 0, 0)?;
        }
        let pending = self.target.pending("gone", entity);
        blocking(move || no_repeats(pending.add(back.sorted()?)?)).await
    }

    /// The last stamp of a row stays with it: should it come back, it is not older than its tombstone.
    fn tombstones(&self, rows: &[(String, i64)], entity: &str) -> Result<RecordBatch> {
        let stream = &self.target.stream;
        let columns: Vec<ArrayRef> = stream
            .schema
            .fields()
            .iter()
            .map(|field| -> ArrayRef {
                let name = field.name().as_str();
                if name == ENTITY {
                    let all = std::iter::repeat_n(entity, rows.len());
                    Arc::new(StringArray::from_iter_values(all))
                } else if stream.primary_key.iter().any(|key| key == name) {
                    Arc::new(StringArray::from_iter_values(rows.iter().map(|(id, _)| id)))
                } else if name == DELETED {
                    Arc::new(BooleanArray::from(vec![true; rows.len()]))
                } else if stream.replication_key.as_deref() == Some(name) {
                    let stamps: TimestampMicrosecondArray = rows
                        .iter()
                        .map(|(_, stamp)| Some(*stamp).filter(|stamp| *stamp != i64::MIN))
                        .collect();
                    Arc::new(stamps.with_timezone(UTC))
                } else {
                    new_null_array(field.data_type(), rows.len())
                }
            })
            .collect();
        RecordBatch::try_new(Arc::clone(&stream.schema), columns)
            .map_err(|error| Error::bug("build tombstones").source(error))
    }

    /// Reads some rows once more, whole.
    async fn read_again(&mut self, ids: Vec<String>, entity: &str, out: &mut Out) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let target = Arc::clone(&self.target);
        if ids.len() > limits::MOST_SINGLE_ROWS {
            let whole = Piece {
                lower: self.start(),
                upper: self.position.mark(entity),
                ..Piece::default()
            };
            let seen = self.scan(&target, whole, entity, Some(out)).await?;
            return self.put_aside(seen, entity).await;
        }
        let fields: usize = target
            .columns
            .iter()
            .map(|column| column.path.len() + 2)
            .sum();
        let room = limits::QUERY_CHARS.saturating_sub(fields + 1_000) / 60;
        let each = room.clamp(1, limits::IDS_PER_QUERY);
        let mut all = Seen::new(&target.shelves);
        for some in ids.chunks(each * limits::QUERIES_PER_JOB) {
            let pieces: Vec<Piece> = some
                .chunks(each)
                .map(|ids| Piece {
                    conditions: vec![api::among(ids)],
                    ..Piece::default()
                })
                .collect();
            let asks: Vec<_> = pieces.iter().map(|piece| target.ask(piece)).collect();
            let outcomes = self.source.tenant().run(entity, &asks).await?;
            for (piece, outcome) in pieces.iter().zip(outcomes) {
                let (files, deletes) = match outcome {
                    Outcome::Files { files, deletes, .. } => (files, deletes),
                    Outcome::Refused(error) | Outcome::TooLarge(error, _) => return Err(error),
                };
                for file in &files.files {
                    let expected = (files.files.len() == 1).then_some(files.rows);
                    let fetched = self
                        .fetch(
                            Wanted {
                                target: &target,
                                piece,
                                file,
                                expected,
                                deletes,
                                entity,
                            },
                            &mut all,
                            Some(out),
                        )
                        .await?;
                    match fetched {
                        Fetched::Done(_) => {}
                        Fetched::Gone => return Err(vanished()),
                        Fetched::TooLarge(error) => return Err(error),
                    }
                }
            }
        }
        self.put_aside(all, entity).await
    }
}

/// Ids of one kind that a comparison lists.
const MOST_LISTED: usize = 2_000_000;

fn vanished() -> Error {
    Error::new(
        ErrorKind::Data,
        "fetch a result file: it is gone at Zuora, minutes after it was made",
    )
}
