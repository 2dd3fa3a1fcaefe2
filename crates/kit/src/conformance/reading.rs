//! Reading a stream the way the engine does, keeping what the rules are about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt as _;
use overlock_core::{
    Error, ErrorKind, Page, ReadRequest, Result, Source, State, Stream, StreamName,
};

use super::telling::Telling;
use super::{Fault, World};

/// Reads that the engine begins again after an error that asks for it.
const MAX_READS: u32 = 4;

/// A world with a source that reads one stream of it.
pub(super) struct Run {
    pub(super) world: Box<dyn World>,
    pub(super) source: Arc<dyn Source>,
    pub(super) telling: Telling,
    _work_dir: tempfile::TempDir,
}

/// How often each row came; a row is its columns as text.
pub(super) type Rows = BTreeMap<String, u64>;

/// What a whole read gave.
#[derive(Default)]
pub(super) struct Outcome {
    /// All rows, repeats counted.
    pub(super) rows: Rows,
    /// Each state, with the rows before it.
    pub(super) states: Vec<(State, Rows)>,
    /// The last page had a state.
    pub(super) ends_with_state: bool,
    /// Errors on the way, after which the read began again.
    pub(super) errors: Vec<ErrorKind>,
    /// Keys of the rows.
    pub(super) keys: BTreeSet<String>,
}

impl Run {
    pub(super) fn new(world: Box<dyn World>) -> Self {
        let telling = Telling::default();
        let work_dir = tempfile::tempdir();
        let work_dir = work_dir.unwrap_or_else(|error| panic!("no folder for the test: {error}"));
        let cx = telling.context(world.clock(), work_dir.path().to_owned());
        let source = world.connect(&cx);
        let source = source.unwrap_or_else(|error| panic!("connect: {error:?}"));
        Self {
            world,
            source,
            telling,
            _work_dir: work_dir,
        }
    }

    pub(super) async fn discover(&self, name: &StreamName) -> Result<Arc<Stream>> {
        let catalog = self.source.discover(std::slice::from_ref(name)).await?;
        let found = catalog.get(name.as_str()).cloned();
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("find {name}: {:?}", catalog.unavailable),
            )
        })
    }

    pub(super) fn request(&self, stream: &Arc<Stream>, state: Option<State>) -> ReadRequest {
        ReadRequest {
            stream: Arc::clone(stream),
            state,
            since: self.world.since(),
            until: self.world.until(),
            filter: None,
        }
    }

    /// Discovers and reads a stream to its end, beginning again after errors that ask for it.
    pub(super) async fn read(&self, name: &StreamName, from: Option<State>) -> Result<Outcome> {
        let stream = self
            .discover(name)
            .await
            .inspect_err(|error| self.telling.add_error(error))?;
        let mut outcome = Outcome::default();
        let mut start = from.clone();
        loop {
            let error = match self.read_once(&stream, start.clone(), &mut outcome).await {
                Ok(()) => return Ok(outcome),
                Err(error) => error,
            };
            self.telling.add_error(&error);
            outcome.errors.push(error.kind());
            if outcome.errors.len() >= MAX_READS as usize || !error.is_retryable() {
                return Err(error);
            }
            // The engine: rows after the last state are thrown away; if the state itself is gone, all are.
            let errors = std::mem::take(&mut outcome.errors);
            match outcome.states.pop() {
                Some((state, rows)) if error.kind() != ErrorKind::StateExpired => {
                    outcome.rows.clone_from(&rows);
                    start = Some(state.clone());
                    outcome.states.push((state, rows));
                }
                _ => {
                    outcome = Outcome::default();
                    start = from.clone();
                }
            }
            outcome.errors = errors;
        }
    }

    async fn read_once(
        &self,
        stream: &Arc<Stream>,
        from: Option<State>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut pages = self.source.read(self.request(stream, from));
        while let Some(page) = pages.next().await {
            let Page { batch, state } = page?;
            assert!(
                batch.schema() == stream.schema,
                "{} (S3): the batch has {:?}, the stream declares {:?}",
                stream.name,
                batch.schema(),
                stream.schema
            );
            for (key, row) in rows(&batch, stream) {
                outcome.keys.insert(key);
                *outcome.rows.entry(row).or_default() += 1;
            }
            outcome.ends_with_state = state.is_some();
            if let Some(state) = state {
                self.telling.add_state(&state);
                outcome.states.push((state, outcome.rows.clone()));
            }
        }
        Ok(())
    }
}

/// Key and text of each row.
fn rows(batch: &RecordBatch, stream: &Stream) -> Vec<(String, String)> {
    let options = FormatOptions::default().with_null("\u{2205}");
    let schema = batch.schema();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options);
            formatter.unwrap_or_else(|error| panic!("{}: {error}", stream.name))
        })
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let mut key = Vec::new();
            let mut text = String::new();
            for (field, column) in schema.fields().iter().zip(&columns) {
                let value = column.value(row).to_string();
                text.extend([field.name(), "=", value.as_str(), "\u{1f}"]);
                if stream.primary_key.contains(field.name()) {
                    key.push(value);
                }
            }
            (key.join("|"), text)
        })
        .collect()
}

/// Reads the stream in a fresh world with a fault at one request.
pub(super) async fn read_with_fault(
    world: Box<dyn World>,
    name: &StreamName,
    fault: Option<(u64, Fault)>,
) -> (Run, Result<Outcome>) {
    if let Some((index, fault)) = fault {
        world.inject(index, fault);
    }
    let run = Run::new(world);
    let outcome = run.read(name, None).await;
    (run, outcome)
}

/// The rows of `a` that are not in `b`, a few of them, for messages.
pub(super) fn missing(a: &Rows, b: &Rows) -> Vec<String> {
    a.keys()
        .filter(|row| !b.contains_key(*row))
        .take(3)
        .map(|row| row.replace('\u{1f}', " ").chars().take(300).collect())
        .collect()
}
