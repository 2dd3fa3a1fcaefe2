//! Errors as people see them: what failed, what the server said, what is safe, what to do.

use std::fmt::Write as _;

use overlock_core::ErrorKind;
use overlock_core::event::ErrorReport;
use overlock_core::text::printable;
use serde_json::{Value as Json, json};

use crate::exit;
use crate::failure::Failure;

/// Most lines of causes that are shown, outermost and innermost first.
const MAX_CAUSES: usize = 8;

/// Whether a message has a value in it: a number as a number of its own.
fn says(message: &str, value: &str) -> bool {
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        let mut words = message.split(|sign: char| !sign.is_ascii_alphanumeric());
        return words.any(|word| word == value);
    }
    message.contains(value)
}

/// An error in several lines, beginning with `error:`.
pub(crate) fn report(error: &ErrorReport, safe: Option<&str>, detailed: bool) -> String {
    let mut shown = format!("error: failed to {}", printable(&error.message));
    let skipped = error.causes.len().saturating_sub(MAX_CAUSES);
    for (index, cause) in error.causes.iter().enumerate() {
        if skipped > 0 && index == MAX_CAUSES - 1 {
            _ = write!(shown, "\n  ... {skipped} more");
        }
        if skipped > 0 && (MAX_CAUSES - 1..MAX_CAUSES - 1 + skipped).contains(&index) {
            continue;
        }
        _ = write!(shown, "\n  caused by: {}", printable(cause));
    }
    for (key, value) in &error.context {
        // The message names the stream already; a pair that says the same again is noise.
        if detailed || !says(&error.message, value) {
            _ = write!(shown, "\n  {key}: {value}");
        }
    }
    if detailed {
        _ = write!(shown, "\n  kind: {:?}", error.kind);
    }
    if let Some(safe) = safe {
        _ = write!(shown, "\n  {safe}");
    }
    if let Some(hint) = error.hint.as_deref().or(usual_hint(error.kind)) {
        _ = write!(shown, "\n\nhint: {}", printable(hint));
    }
    shown
}

/// What to do where nobody closer to the failure knew better.
fn usual_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Data | ErrorKind::Unavailable | ErrorKind::StateExpired => Some(
            "run it again: the source did not deliver, which often passes; if it stays, \
             `overlock check` shows how far a request gets",
        ),
        ErrorKind::Destination | ErrorKind::Io => {
            Some("look at this path, its rights and the space on its disk, then run it again")
        }
        _ => None,
    }
}

/// A failed command in several lines.
pub(crate) fn failure(failure: &Failure, detailed: bool) -> String {
    match failure {
        Failure::Problems(problems, files) => {
            let shown: Vec<String> = problems
                .iter()
                .take(20)
                .map(|problem| problem.render(files))
                .collect();
            let mut shown = shown.join("\n\n");
            if problems.len() > 1 {
                _ = write!(
                    shown,
                    "\n\n{} problems in the configuration",
                    problems.len()
                );
            }
            shown
        }
        Failure::Error(error) => report(&ErrorReport::from(error), None, detailed),
        Failure::Code(_) => String::new(),
    }
}

/// The JSON end object of a failed command.
pub(crate) fn end(failure: &Failure) -> Json {
    let code = failure.code();
    let (error, problems) = match failure {
        Failure::Problems(problems, files) => {
            let problems: Vec<_> = problems
                .iter()
                .map(|problem| problem.to_json(files))
                .collect();
            (Json::Null, json!(problems))
        }
        Failure::Error(error) => (error_json(&ErrorReport::from(error)), json!([])),
        Failure::Code(_) => (Json::Null, json!([])),
    };
    let retry_after = match failure {
        Failure::Error(error) => retry_after(&ErrorReport::from(error)),
        _ => None,
    };
    json!({
        "event": "end",
        "status": exit::status(code),
        "exit_code": code,
        "retryable": exit::is_retryable(code),
        "retry_after_s": retry_after,
        "streams": [],
        "error": error,
        "problems": problems,
    })
}

/// An error as JSON; context pairs become an object.
pub(crate) fn error_json(error: &ErrorReport) -> Json {
    let context: serde_json::Map<String, Json> = error
        .context
        .iter()
        .map(|(key, value)| (key.clone(), Json::from(value.as_str())))
        .collect();
    json!({
        "kind": error.kind,
        "message": error.message,
        "causes": error.causes,
        "context": context,
        "hint": error.hint,
    })
}

/// Seconds after which another try makes sense, if the source said so.
pub(crate) fn retry_after(error: &ErrorReport) -> Option<u64> {
    let found = error.context.iter().find(|(key, _)| key == "retry_after_s");
    found.and_then(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use overlock_core::{Error, ErrorKind};

    use super::*;

    #[test]
    fn says_what_failed_what_is_safe_and_what_to_do() {
        let error = Error::new(
            ErrorKind::Permission,
            "the server answered 403: INSUFFICIENT_ACCESS\u{1b}[2J",
        )
        .hint("give the user read access")
        .while_doing("read page 12 of `Task`")
        .context("stream", "Task")
        .context("status", 403);
        let shown = report(
            &ErrorReport::from(&error),
            Some("pages 1-11 are kept"),
            false,
        );
        assert_eq!(
            shown,
            "error: failed to read page 12 of `Task`\n  \
             caused by: the server answered 403: INSUFFICIENT_ACCESS\\u{1b}[2J\n  \
             status: 403\n  pages 1-11 are kept\n\nhint: give the user read access"
        );
    }

    #[test]
    fn a_long_chain_of_causes_takes_at_most_eight_lines() {
        let mut error = Error::new(ErrorKind::Unavailable, "innermost");
        for layer in 0..30 {
            error = error.while_doing(format!("layer {layer}"));
        }
        let shown = report(&ErrorReport::from(&error), None, false);
        let causes = shown.lines().take_while(|line| !line.is_empty()).count();
        assert!(causes <= 10, "{shown}");
        assert!(shown.contains("innermost"), "{shown}");
    }

    #[test]
    fn a_pair_is_left_out_only_if_the_message_says_it() {
        for (message, value, is_said) in [
            ("commit 20 rows of `Account`", "20", true),
            ("commit 20 rows of `Account`", "0", false),
            ("commit 20 rows of `Account`", "2", false),
            ("commit 20 rows of `Account`", "Account", true),
            ("read `a/b.parquet`", "a/b.parquet", true),
        ] {
            assert_eq!(says(message, value), is_said, "{message} {value}");
        }
    }

    #[test]
    fn the_end_object_says_whether_to_try_again() {
        let error = Error::new(ErrorKind::RateLimited, "go on: quota used up")
            .context("retry_after_s", 3_600);
        let end = end(&Failure::Error(error));
        assert_eq!(end["exit_code"], 9);
        assert_eq!(end["retryable"], true);
        assert_eq!(end["retry_after_s"], 3_600);
    }
}
