//! The only place that writes to stdout and stderr.
//!
//! stdout carries the result, stderr everything else; both pass the redactor. A reader that goes away
//! (`| head`) is a quiet success. stderr is written by a thread of its own behind a bounded queue, so a
//! closed or full stderr never holds up a run: what does not fit is dropped.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::MultiProgress;
use overlock_core::{Error, ErrorKind, Redactor};
use serde::Serialize;

use crate::args::{Color, Format, Global};
use crate::env::Environment;
use crate::render::listing::Listing;

/// Lines that wait for stderr at most.
const QUEUE: usize = 4_096;
/// How long the end of the program waits for stderr.
const FLUSH: Duration = Duration::from_secs(2);

/// Where results and notes go. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Output(Arc<Inner>);

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent wishes of the user"
)]
struct Inner {
    redactor: Redactor,
    format: Format,
    quiet: bool,
    yes: bool,
    may_ask: bool,
    colour: bool,
    bars_fit: bool,
    stdout: Mutex<Stdout>,
    notes: SyncSender<Note>,
    bars: Mutex<Option<MultiProgress>>,
}

#[derive(Debug, Default)]
struct Stdout {
    closed: bool,
    error: Option<io::Error>,
}

enum Note {
    Text(String),
    Flush(SyncSender<()>),
}

impl Output {
    /// Opens both outputs as the flags and the environment want them.
    pub(crate) fn new(global: &Global, environment: &Environment, redactor: &Redactor) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        // If no thread can be had, notes are dropped; the run goes on.
        std::thread::Builder::new()
            .name("stderr".into())
            .spawn(move || write_notes(&receiver))
            .ok();
        let dumb = environment.get("TERM") == Some("dumb");
        let terminal = io::stderr().is_terminal();
        let colour = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if environment.get("NO_COLOR").is_some() => false,
            Color::Auto if environment.is_on("CLICOLOR_FORCE") => true,
            Color::Auto => terminal && !dumb,
        };
        Self(Arc::new(Inner {
            redactor: redactor.clone(),
            format: if global.json {
                Format::Json
            } else {
                global.format
            },
            quiet: global.quiet,
            yes: global.yes,
            may_ask: !global.no_input
                && !environment.is_on(crate::env::NO_INPUT)
                && io::stdin().is_terminal(),
            colour,
            bars_fit: terminal && !dumb && environment.get("CI").is_none(),
            stdout: Mutex::default(),
            notes: sender,
            bars: Mutex::new(None),
        }))
    }

    /// The form the user wants the result in.
    pub(crate) fn format(&self) -> Format {
        self.0.format
    }

    /// Whether the result is to be one JSON value.
    pub(crate) fn is_json(&self) -> bool {
        self.0.format == Format::Json
    }

    /// Whether nothing is to be printed on success.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.quiet
    }

    /// Whether bars make sense on stderr.
    pub(crate) fn bars_fit(&self) -> bool {
        self.0.bars_fit
    }

    /// What removes secrets.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// Whether the reader of stdout is gone, so that more output is of no use.
    pub(crate) fn is_closed(&self) -> bool {
        self.stdout().closed
    }

    /// Writes lines of the result.
    pub(crate) fn result(&self, text: &str) {
        let mut shown = self.0.redactor.redact(text).into_owned();
        if !shown.ends_with('\n') {
            shown.push('\n');
        }
        self.write_stdout(shown.as_bytes());
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.result(&text),
            Err(error) => self.stdout().error = Some(error.into()),
        }
    }

    /// Writes a table in the form the user wants.
    pub(crate) fn listing(&self, listing: &Listing) {
        let text = listing.render(self.0.format);
        if !text.is_empty() {
            self.result(&text);
        }
    }

    /// A writer for results that are too long to hold; redacts line by line.
    pub(crate) fn writer(&self) -> ResultWriter {
        ResultWriter {
            output: self.clone(),
            line: Vec::new(),
        }
    }

    /// Writes a line to stderr.
    pub(crate) fn note(&self, text: &str) {
        let shown = self.0.redactor.redact(text).into_owned();
        let bars = self.bars().clone();
        if let Some(bars) = bars {
            // A terminal that is gone is no reason to stop.
            bars.println(shown).ok();
            return;
        }
        match self.0.notes.try_send(Note::Text(shown)) {
            // A stderr that nobody reads loses notes, not rows.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Writes a line to stderr unless the user wants quiet.
    pub(crate) fn remark(&self, text: &str) {
        if !self.0.quiet {
            self.note(text);
        }
    }

    /// Colours a word for stderr, if colours are wanted there.
    pub(crate) fn paint(&self, style: Style, word: &str) -> String {
        if !self.0.colour {
            return word.to_owned();
        }
        let code = match style {
            Style::Bad => "1;31",
            Style::Good => "32",
            Style::Hint => "36",
        };
        format!("\u{1b}[{code}m{word}\u{1b}[0m")
    }

    /// From now on notes are printed above these bars; `None`: no more bars.
    pub(crate) fn set_bars(&self, bars: Option<MultiProgress>) {
        *self.bars() = bars;
    }

    /// Asks a yes-no question, unless `--yes` answers it or nobody is there to be asked.
    ///
    /// # Errors
    /// `Config` if the answer is needed and cannot be had; `Cancelled` if it is no.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Error> {
        if self.0.yes {
            return Ok(());
        }
        if !self.0.may_ask {
            return Err(
                Error::new(ErrorKind::Config, format!("get an answer to: {question}"))
                    .hint("add --yes to answer yes"),
            );
        }
        self.flush();
        let mut stderr = io::stderr();
        let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        if asked.is_ok() && io::stdin().read_line(&mut answer).is_ok() {
            let answer = answer.trim().to_lowercase();
            if answer == "y" || answer == "yes" {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Config, "go on: the answer was no").hint("nothing was changed"))
    }

    /// Waits, but not for ever, until all notes are written.
    pub(crate) fn flush(&self) {
        let (sender, receiver) = sync_channel(1);
        let mut note = Note::Flush(sender);
        for _ in 0..20 {
            match self.0.notes.try_send(note) {
                Ok(()) => {
                    match receiver.recv_timeout(FLUSH) {
                        Ok(())
                        | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                    }
                    return;
                }
                Err(TrySendError::Full(back)) => {
                    note = back;
                    std::thread::sleep(FLUSH / 20);
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// What went wrong on stdout, if anything but a reader that went away.
    ///
    /// # Errors
    /// `Io`, for example when the disk behind a redirection is full.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        match self.stdout().error.take() {
            Some(error) => {
                Err(Error::new(ErrorKind::Io, "write the result to stdout").source(error))
            }
            None => Ok(()),
        }
    }

    fn write_stdout(&self, bytes: &[u8]) {
        let mut state = self.stdout();
        if state.closed {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            state.closed = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                state.error = Some(error);
            }
        }
    }

    fn stdout(&self) -> MutexGuard<'_, Stdout> {
        self.0.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bars(&self) -> MutexGuard<'_, Option<MultiProgress>> {
        self.0.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a word is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Something failed.
    Bad,
    /// Something went well.
    Good,
    /// What to do.
    Hint,
}

fn write_notes(receiver: &Receiver<Note>) {
    let mut stderr = io::stderr();
    while let Ok(note) = receiver.recv() {
        match note {
            Note::Text(mut text) => {
                text.push('\n');
                // A closed stderr must not stop anything.
                stderr.write_all(text.as_bytes()).ok();
            }
            Note::Flush(done) => {
                stderr.flush().ok();
                done.send(()).ok();
            }
        }
    }
}

/// Writes long results to stdout, redacted line by line.
#[derive(Debug)]
pub(crate) struct ResultWriter {
    output: Output,
    line: Vec<u8>,
}

/// Longest run of bytes without a line end that is held for redaction.
const MAX_HELD: usize = 1024 * 1024;

impl Write for ResultWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.output.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.put(&lines);
        } else if self.line.len() > MAX_HELD {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.put(&line);
        }
        Ok(())
    }
}

impl ResultWriter {
    fn put(&self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let shown = self.output.0.redactor.redact(text);
                self.output.write_stdout(shown.as_bytes());
            }
            Err(_) => self.output.write_stdout(bytes),
        }
    }
}

impl Drop for ResultWriter {
    fn drop(&mut self) {
        self.flush().ok();
    }
}
