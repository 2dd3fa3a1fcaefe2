//! Progress on stderr, folded from events: bars on a terminal, plain lines in cron, JSON lines for
//! programs. Drawing never decides anything and never fails a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use overlock_core::{Clock as _, Event, Events, StreamName, StreamStatus, SystemClock, WriteMode};
use serde_json::{Value as Json, json};

use super::number;
use crate::args::ProgressMode;
use crate::output::Output;

/// Shortest time between two progress lines of one stream.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Shortest time between two JSON progress objects of one stream.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Shows events as they come.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Mutex<Fold>>);

#[derive(Debug)]
struct Fold {
    output: Output,
    mode: Mode,
    run: String,
    pipeline: String,
    source: String,
    streams: BTreeMap<StreamName, Line>,
}

#[derive(Debug)]
enum Mode {
    Bars(MultiProgress),
    Lines,
    Json,
    Silent,
}

#[derive(Debug)]
struct Line {
    rows: u64,
    expected: Option<u64>,
    calls: u64,
    mode: Option<WriteMode>,
    began: Instant,
    shown: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Chooses how to show progress.
    pub(crate) fn new(output: &Output, wanted: ProgressMode) -> Self {
        let bars = || {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bars = MultiProgress::with_draw_target(target);
            output.set_bars(Some(bars.clone()));
            Mode::Bars(bars)
        };
        let mode = match wanted {
            ProgressMode::Json => Mode::Json,
            ProgressMode::None => Mode::Silent,
            _ if output.is_quiet() => Mode::Silent,
            ProgressMode::Auto | ProgressMode::Bar if output.bars_fit() => bars(),
            ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Log => Mode::Lines,
        };
        Self(Arc::new(Mutex::new(Fold {
            output: output.clone(),
            mode,
            run: String::new(),
            pipeline: String::new(),
            source: String::new(),
            streams: BTreeMap::new(),
        })))
    }

    /// Where to send events.
    pub(crate) fn events(&self) -> Events {
        let fold = Arc::clone(&self.0);
        Events::new(move |event| {
            let mut fold = fold.lock().unwrap_or_else(PoisonError::into_inner);
            fold.take(&event);
        })
    }

    /// Takes the bars off the screen.
    pub(crate) fn finish(&self) {
        let mut fold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in fold.streams.values() {
            if let Some(bar) = &line.bar {
                bar.finish_and_clear();
            }
        }
        if let Mode::Bars(bars) = &fold.mode {
            bars.clear().ok();
        }
        fold.streams.clear();
        fold.output.set_bars(None);
    }

    /// Writes the one final object of `--progress json`.
    pub(crate) fn end(&self, end: &Json) {
        let fold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(fold.mode, Mode::Json) {
            let mut end = end.clone();
            if let Some(object) = end.as_object_mut() {
                object.insert("ts".into(), SystemClock.now().to_string().into());
            }
            fold.output.note(&end.to_string());
        }
    }
}

impl Fold {
    fn take(&mut self, event: &Event) {
        if let Event::RunStarted {
            run,
            pipeline,
            source,
            streams,
            until,
        } = event
        {
            self.run.clone_from(run);
            self.pipeline = pipeline.to_string();
            self.source = source.to_string();
            self.streams.clear();
            match self.mode {
                Mode::Lines | Mode::Bars(_) => {
                    let count = number::plural(streams.len() as u64, "stream");
                    let until = until.floor_second();
                    self.output
                        .note(&format!("{pipeline}  run {run}  {count}  until {until}"));
                }
                Mode::Json => self.json("start", None, json!({"until": until})),
                Mode::Silent => {}
            }
            return;
        }
        self.count(event);
        match self.mode {
            Mode::Silent => {}
            Mode::Json => self.take_json(event),
            Mode::Lines => self.take_line(event),
            Mode::Bars(_) => self.take_bar(event),
        }
    }

    fn line(&mut self, stream: &StreamName) -> &mut Line {
        self.streams.entry(stream.clone()).or_insert_with(|| Line {
            rows: 0,
            expected: None,
            calls: 0,
            mode: None,
            began: Instant::now(),
            shown: Instant::now(),
            bar: None,
        })
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::StreamStarted { stream, mode, .. } => {
                let line = self.line(stream);
                line.mode = Some(*mode);
                line.began = Instant::now();
            }
            Event::Rows { stream, rows, .. } => self.line(stream).rows += rows,
            Event::Expected { stream, rows } => self.line(stream).expected = Some(*rows),
            Event::Request {
                stream: Some(stream),
                ..
            } => self.line(stream).calls += 1,
            _ => {}
        }
    }

    /// What is worth a line wherever lines are shown.
    fn remarkable(&self, event: &Event) -> Option<String> {
        let name = |stream: &StreamName| format!("{}.{stream}", self.source);
        match event {
            Event::Retry {
                stream,
                attempt,
                wait_millis,
                reason,
            } if *wait_millis >= 1_000 => {
                let who = stream.as_ref().map_or(self.source.clone(), name);
                let wait = number::duration(Duration::from_millis(*wait_millis));
                let reason = overlock_core::text::printable(reason);
                Some(format!(
                    "{who}  waiting {wait}  {reason} (attempt {attempt})"
                ))
            }
            Event::Drift { stream, change } => {
                let change = overlock_core::text::printable(change);
                Some(format!("{}  schema: {change}", name(stream)))
            }
            Event::Warning {
                code,
                stream,
                message,
            } => {
                let who = stream.as_ref().map_or(self.source.clone(), name);
                let who = if who.is_empty() {
                    who
                } else {
                    format!("{who}: ")
                };
                let message = overlock_core::text::printable(message);
                Some(format!("warning[{code}]: {who}{message}"))
            }
            Event::Committed {
                stream,
                rows,
                recovered: true,
                ..
            } => {
                let rows = number::plural(*rows, "row");
                Some(format!(
                    "{}  committed {rows} of an earlier run",
                    name(stream)
                ))
            }
            _ => None,
        }
    }

    fn finished(&self, event: &Event) -> Option<String> {
        let Event::StreamFinished { summary } = event else {
            return None;
        };
        let name = format!("{}.{}", self.source, summary.stream);
        let rows = number::plural(summary.rows_committed, "row");
        let calls = number::plural(summary.calls, "call");
        let time = number::duration(Duration::from_millis(summary.millis));
        Some(match summary.status {
            StreamStatus::Ok => format!("{name}  {rows}  {calls}  {time}"),
            StreamStatus::Empty => format!("{name}  nothing new  {calls}  {time}"),
            StreamStatus::Skipped => format!("{name}  not offered  {calls}  {time}"),
            StreamStatus::Stopped => format!("{name}  stopped, {rows} committed  {calls}  {time}"),
            StreamStatus::Failed => format!("{name}  FAILED, {rows} committed  {calls}  {time}"),
        })
    }

    fn take_line(&mut self, event: &Event) {
        if let Some(text) = self.remarkable(event).or_else(|| self.finished(event)) {
            self.output.note(&text);
            return;
        }
        let source = self.source.clone();
        if let Event::Rows { stream, .. } = event {
            let line = self.line(stream);
            if line.shown.elapsed() >= LINE_EVERY {
                line.shown = Instant::now();
                let text = format!("{source}.{stream}  {}", line.describe());
                self.output.note(&text);
            }
        }
    }

    fn take_bar(&mut self, event: &Event) {
        if let Some(text) = self.remarkable(event) {
            self.output.note(&text);
        }
        let finished = self.finished(event);
        let Mode::Bars(bars) = &self.mode else { return };
        let bars = bars.clone();
        let source = self.source.clone();
        match event {
            Event::StreamStarted { stream, .. } => {
                let bar = bars.add(ProgressBar::no_length());
                let style = ProgressStyle::with_template("  {prefix:32!} {spinner} {wide_msg}");
                if let Ok(style) = style {
                    bar.set_style(style.tick_chars("-\\|/ "));
                }
                bar.set_prefix(format!("{source}.{stream}"));
                bar.enable_steady_tick(Duration::from_millis(200));
                self.line(stream).bar = Some(bar);
            }
            Event::Rows { stream, .. }
            | Event::Expected { stream, .. }
            | Event::Checkpoint { stream, .. } => {
                let line = self.line(stream);
                let text = line.describe();
                if let Some(bar) = &line.bar {
                    bar.set_message(text);
                }
            }
            Event::StreamFinished { summary } => {
                if let Some(bar) = self.line(&summary.stream).bar.take() {
                    bar.finish_and_clear();
                    bars.remove(&bar);
                }
                if let Some(text) = finished {
                    bars.println(format!("  {text}")).ok();
                }
            }
            _ => {}
        }
    }

    fn take_json(&mut self, event: &Event) {
        let (name, stream, more) = match event {
            Event::StreamStarted {
                stream,
                mode,
                resumed,
            } => ("start", stream, json!({"mode": mode, "resumed": resumed})),
            Event::Rows { stream, .. } => {
                let line = self.line(stream);
                if line.shown.elapsed() < JSON_EVERY {
                    return;
                }
                line.shown = Instant::now();
                let more = json!({"rows": line.rows, "calls": line.calls, "eta_s": line.eta()});
                ("progress", stream, more)
            }
            Event::Retry {
                stream,
                attempt,
                wait_millis,
                reason,
            } => {
                let more =
                    json!({"attempt": attempt, "wait_millis": wait_millis, "reason": reason});
                self.json("retry", stream.as_ref(), more);
                return;
            }
            Event::Checkpoint { stream, rows } => ("checkpoint", stream, json!({"rows": rows})),
            Event::Drift { stream, change } => ("drift", stream, json!({"change": change})),
            Event::Committed {
                stream,
                id,
                rows,
                bytes,
                recovered,
            } => {
                let more =
                    json!({"commit": id, "rows": rows, "bytes": bytes, "recovered": recovered});
                ("commit", stream, more)
            }
            Event::Warning {
                code,
                stream,
                message,
            } => {
                let more = json!({"code": code, "message": message});
                self.json("warning", stream.as_ref(), more);
                return;
            }
            Event::StreamFinished { summary } => {
                let more = json!({"summary": summary});
                ("stream_end", &summary.stream, more)
            }
            _ => return,
        };
        self.json(name, Some(stream), more);
    }

    fn json(&self, event: &str, stream: Option<&StreamName>, more: Json) {
        let mut object = json!({
            "ts": SystemClock.now(),
            "run": self.run,
            "pipeline": self.pipeline,
            "stream": stream,
            "event": event,
        });
        if let (Some(object), Json::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        self.output.note(&object.to_string());
    }
}

impl Line {
    fn describe(&self) -> String {
        let rows = match self.expected {
            Some(expected) if expected >= self.rows => {
                format!(
                    "{}/~{} rows",
                    number::count(self.rows),
                    number::count(expected)
                )
            }
            _ => number::plural(self.rows, "row"),
        };
        let millis = self.began.elapsed().as_millis().max(1);
        let rate = u128::from(self.rows) * 1_000 / millis;
        let rate = number::count(u64::try_from(rate).unwrap_or(u64::MAX));
        let mut text = format!("{rows}  {rate}/s  {}", number::plural(self.calls, "call"));
        if let Some(eta) = self.eta() {
            text.push_str("  eta ");
            text.push_str(&number::duration(Duration::from_secs(eta)));
        }
        text
    }

    /// Seconds to go, if the source said how many rows there are.
    fn eta(&self) -> Option<u64> {
        let left = self.expected?.checked_sub(self.rows)?;
        if self.rows == 0 {
            return None;
        }
        let millis = u64::try_from(self.began.elapsed().as_millis()).ok()?;
        Some(millis.saturating_mul(left) / self.rows / 1_000)
    }
}
