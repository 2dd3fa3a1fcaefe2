//! One error for every public border.
//!
//! The [`ErrorKind`] alone decides retry, exit code and whose move it is; nothing ever matches on text.
//! A message is a lowercase fragment that fits after "failed to"; the hint says what to do.

use std::fmt;

/// The result of every fallible public function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whose move it is after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The user's arguments or files are wrong, or a stored state cannot be understood.
    Config,
    /// Credentials were refused.
    Auth,
    /// Credentials are good, but not for this.
    Permission,
    /// The thing asked for is not there (any more).
    NotFound,
    /// A quota or budget is used up; try again after the time in `retry_after_s`, if given.
    RateLimited,
    /// The source cannot be reached or keeps failing; worth trying again.
    Unavailable,
    /// A position inside a state is gone at the source: read again from the head.
    StateExpired,
    /// The schema, or a policy about it, forbids to go on.
    Schema,
    /// The source delivered something that does not add up.
    Data,
    /// The destination failed.
    Destination,
    /// Another run holds the key or moved the head.
    Conflict,
    /// The local disk failed.
    Io,
    /// Asked to stop.
    Cancelled,
    /// A defect of overlock itself.
    Bug,
}

/// What failed, what is known about it, what caused it and what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<BoxError>,
}

impl Error {
    /// Makes an error from a lowercase fragment that fits after "failed to".
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// A defect of overlock itself.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
            .hint("this is a defect of overlock: please report it with the run id")
    }

    /// Adds a machine-readable pair, such as `("stream", "Account")`. Never a secret, never a raw URL.
    #[must_use]
    pub fn context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0
            .context
            .push((key, crate::text::printable(&value.to_string())));
        self
    }

    /// Says what to do; replaces an earlier hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Wraps this error: the new message says what was being done; kind, context and hint stay.
    #[must_use]
    pub fn while_doing(self, message: impl Into<String>) -> Self {
        let kind = self.0.kind;
        let hint = self.0.hint.clone();
        let context = self.0.context.clone();
        let mut outer = Self::new(kind, message).source(self);
        outer.0.hint = hint;
        outer.0.context = context;
        outer
    }

    /// The kind, the only thing that is ever acted on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The same error under another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The message without cause and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The context pairs, in the order they were added.
    pub fn pairs(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// The value of a context pair.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .context
            .iter()
            .find(|pair| pair.0 == key)
            .map(|pair| pair.1.as_str())
    }

    /// What to do, if known.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::{
            Auth, Bug, Cancelled, Config, Conflict, Data, Destination, Io, NotFound, Permission,
            RateLimited, Schema, StateExpired, Unavailable,
        };
        match self.0.kind {
            RateLimited | Unavailable | StateExpired | Data | Destination | Conflict | Io
            | Cancelled => true,
            Config | Auth | Permission | NotFound | Schema | Bug => false,
        }
    }

    /// The chain of causes as text, outermost first, without this error's own message.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            causes.push(match error.downcast_ref::<Error>() {
                Some(own) => own.0.message.clone(),
                None => error.to_string(),
            });
            next = error.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    /// One line: the message and its causes, joined by colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// Several lines: kind, message, context, hint and causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        for (key, value) in &self.0.context {
            write!(f, "\n  {key}: {value}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_with_causes() {
        let error = Error::new(ErrorKind::Unavailable, "the server answered 503")
            .hint("try again later")
            .while_doing("read page 12 of `tickets`");
        assert_eq!(
            error.to_string(),
            "read page 12 of `tickets`: the server answered 503"
        );
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.hint_text(), Some("try again later"));
    }

    #[test]
    fn context_values_cannot_forge_log_lines() {
        let error =
            Error::new(ErrorKind::Data, "parse id").context("id", "a\nerror: forged\u{1b}[2J");
        assert_eq!(error.get("id"), Some("a\\nerror: forged\\u{1b}[2J"));
    }
}
