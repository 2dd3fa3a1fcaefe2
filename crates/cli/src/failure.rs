//! How a command fails: with mistakes in the configuration, or with one error.

use overlock_core::{Error, ErrorKind};

use crate::config::{Files, Problem};
use crate::exit;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Mistakes in configuration files, variables or flags, each with its place.
    Problems(Vec<Problem>, Files),
    /// Anything else.
    Error(Error),
    /// Everything was said already; only the exit code is left.
    Code(u8),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Problems(..) => exit::CONFIG,
            Self::Error(error) => exit::of(error.kind()),
            Self::Code(code) => *code,
        }
    }

    /// A usage error with a hint.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Error(Error::new(ErrorKind::Config, message).hint(hint))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;
