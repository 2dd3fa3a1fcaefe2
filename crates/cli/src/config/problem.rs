//! A mistake in the configuration, and how it is shown: message, place, line with a caret, suggestion.
//!
//! The line is shown as the user wrote it, with one exception: what may be a secret is masked, since a
//! misspelt key is exactly where a secret lands in the wrong place.

use std::fmt::Write as _;

use overlock_core::text::printable;
use serde::Serialize;

use super::tree::Origin;

/// Number of a file in [`Files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(pub(crate) usize);

/// The texts of all configuration files that were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(Vec<(String, String)>);

impl Files {
    /// Keeps a file under the name that messages show.
    pub(crate) fn add(&mut self, name: String, text: String) -> FileId {
        self.0.push((name, text));
        FileId(self.0.len() - 1)
    }

    /// Name and text of a file.
    pub(crate) fn get(&self, file: FileId) -> (&str, &str) {
        self.0
            .get(file.0)
            .map_or(("", ""), |(name, text)| (name, text))
    }

    /// Line and column, both from 1; columns count characters.
    pub(crate) fn position(&self, file: FileId, offset: usize) -> (usize, usize) {
        let before = self.get(file).1.get(..offset).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }

    /// Where something was written, in one line.
    pub(crate) fn describe(&self, origin: &Origin) -> String {
        match origin {
            Origin::File(file, span) => {
                let (line, column) = self.position(*file, span.start);
                format!("{}:{line}:{column}", self.get(*file).0)
            }
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::Flag(flag) => format!("flag {flag}"),
            Origin::Program(who) => (*who).to_owned(),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// What is wrong: a lowercase fragment.
    pub(crate) message: String,
    /// Where.
    pub(crate) origin: Option<Origin>,
    /// What stands behind the caret, usually "did you mean".
    pub(crate) label: Option<String>,
    /// What to do, where the label does not say it.
    pub(crate) hint: Option<String>,
    /// The line could not be parsed, so anything on it may be a secret.
    syntax: bool,
}

impl Problem {
    /// A mistake without a place yet.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            origin: None,
            label: None,
            hint: None,
            syntax: false,
        }
    }

    /// Says where.
    pub(crate) fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Says what stands behind the caret.
    pub(crate) fn label(mut self, label: Option<String>) -> Self {
        self.label = label;
        self
    }

    /// Says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Marks a line that could not be parsed.
    pub(crate) fn syntax(mut self) -> Self {
        self.syntax = true;
        self
    }

    /// As several lines, without colour and without a final newline.
    pub(crate) fn render(&self, files: &Files) -> String {
        let mut shown = format!("error: {}", self.message);
        let mut labelled = false;
        match &self.origin {
            Some(Origin::File(file, span)) => {
                let (name, text) = files.get(*file);
                let (line, column) = files.position(*file, span.start);
                let number = line.to_string();
                let margin = " ".repeat(number.len());
                // `write!` to a String cannot fail; the result is of no interest.
                _ = write!(shown, "\n{margin}--> {name}:{line}:{column}");
                let source = text.lines().nth(line - 1).unwrap_or("");
                let width = text
                    .get(span.clone())
                    .map_or(1, |marked| {
                        marked.lines().next().unwrap_or("").chars().count()
                    })
                    .max(1);
                let (source, offset) = window(source, column - 1);
                let source = if self.syntax { mask(&source) } else { source };
                let rest = source.chars().count().saturating_sub(offset).max(1);
                _ = write!(
                    shown,
                    "\n{margin} |\n{number} | {}\n{margin} | {}{}",
                    plain(&source),
                    " ".repeat(offset),
                    "^".repeat(width.min(rest)),
                );
                if let Some(label) = &self.label {
                    _ = write!(shown, " {label}");
                    labelled = true;
                }
            }
            Some(origin) => _ = write!(shown, "\n  --> {}", files.describe(origin)),
            None => {}
        }
        for text in [
            self.label.as_ref().filter(|_| !labelled),
            self.hint.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            _ = write!(shown, "\n\nhint: {text}");
        }
        shown
    }

    /// As JSON.
    pub(crate) fn to_json(&self, files: &Files) -> ProblemJson {
        let (file, line, column) = match &self.origin {
            Some(Origin::File(file, span)) => {
                let (line, column) = files.position(*file, span.start);
                (
                    Some(files.get(*file).0.to_owned()),
                    Some(line),
                    Some(column),
                )
            }
            Some(origin) => (Some(files.describe(origin)), None, None),
            None => (None, None, None),
        };
        ProblemJson {
            message: self.message.clone(),
            file,
            line,
            column,
            hint: self.label.clone().or_else(|| self.hint.clone()),
        }
    }
}

/// A [`Problem`] as `--json` shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProblemJson {
    message: String,
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    hint: Option<String>,
}

/// Longest part of a line that is shown, in characters.
const MAX_LINE_CHARS: usize = 160;

/// The part of a line around a column, and the column inside that part.
fn window(line: &str, column: usize) -> (String, usize) {
    if line.chars().count() <= MAX_LINE_CHARS {
        return (line.to_owned(), column);
    }
    let start = column.saturating_sub(MAX_LINE_CHARS / 2);
    let part = line.chars().skip(start).take(MAX_LINE_CHARS).collect();
    (part, column - start)
}

/// Replaces control characters one by one, so that columns stay true.
fn plain(line: &str) -> String {
    line.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if printable(c.encode_utf8(&mut [0; 4])).chars().count() == 1 => c,
            _ => '\u{fffd}',
        })
        .collect()
}

/// Stars for everything on an unparsable line that may be a secret: what follows a key with a telling
/// name, and long runs of letters and digits. Lengths stay, so that the caret stays true.
fn mask(line: &str) -> String {
    let split = line.find('=').map_or(line.len(), |at| at + 1);
    let (key, value) = line.split_at(split);
    if split < line.len() && is_telling(key) {
        return format!(
            "{key} {}",
            "*".repeat(value.chars().count().saturating_sub(1))
        );
    }
    let mut shown = String::with_capacity(line.len());
    let mut run = String::new();
    for c in line.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_alphanumeric() || "+/_-!.".contains(c) {
            run.push(c);
            continue;
        }
        if run.len() >= 16
            && run
                .bytes()
                .any(|b| b.is_ascii_digit() || b == b'+' || b == b'/')
        {
            shown.push_str(&"*".repeat(run.len()));
        } else {
            shown.push_str(&run);
        }
        run.clear();
        shown.push(c);
    }
    shown.pop();
    shown
}

/// Whether a key's name says that its value is a secret.
pub(crate) fn is_telling(key: &str) -> bool {
    let key = key.to_lowercase();
    [
        "secret",
        "token",
        "passw",
        "private",
        "credential",
        "api_key",
        "apikey",
        "secert",
    ]
    .iter()
    .any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, part: &str) -> (Files, Problem) {
        let mut files = Files::default();
        let file = files.add("overlock.toml".into(), text.into());
        let start = text.find(part).unwrap();
        let origin = Origin::File(file, start..start + part.len());
        (files, Problem::new("unknown key `x`").at(origin))
    }

    #[test]
    fn shows_place_line_caret_and_suggestion() {
        let (files, problem) = problem(
            "a = 1\nAccount = { mode = \"upsert\", primary_kee = \"Id\" }\n",
            "primary_kee",
        );
        let shown = problem
            .label(Some("did you mean `primary_key`?".into()))
            .render(&files);
        let expected = "error: unknown key `x`\n --> overlock.toml:2:30\n  |\n\
            2 | Account = { mode = \"upsert\", primary_kee = \"Id\" }\n  \
            |                              ^^^^^^^^^^^ did you mean `primary_key`?";
        assert_eq!(shown, expected);
    }

    #[test]
    fn columns_count_characters_and_control_characters_cannot_drive_the_terminal() {
        let (files, problem) = problem("ä = \"\u{1b}[2J\", bad = 1\n", "bad");
        let shown = problem.render(&files);
        assert!(shown.contains("overlock.toml:1:13"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn a_line_that_does_not_parse_shows_no_secret() {
        for line in [
            "client_secret = \"hunter22",
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
            "x = \"00D5g000004x!AQ8AQH0dMHZ",
        ] {
            let shown = mask(line);
            assert_eq!(shown.chars().count(), line.chars().count());
            for secret in ["hunter22", "MIIEvQ", "00D5g"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        assert_eq!(mask("[source.crm"), "[source.crm");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_caret() {
        let text = format!("{}bad{}", "x".repeat(1_000), "y".repeat(1_000));
        let (files, problem) = problem(&text, "bad");
        let shown = problem.render(&files);
        assert!(shown.contains("bad") && shown.len() < 600, "{shown}");
    }
}
