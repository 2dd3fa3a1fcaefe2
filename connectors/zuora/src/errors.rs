//! What Zuora's refusals mean: they come with any status, 200 among them, in half a dozen shapes.
//!
//! Nothing outside this file looks at the text of an answer; the rest of the connector asks [`Meaning::of`].

use overlock_core::text::printable;
use overlock_core::{Error, ErrorKind};
use overlock_kit::http::{HeaderMap, Verdict, refusal};
use serde::Deserialize;
use serde_json::Value;

use crate::limits;

/// What a refusal asks of whoever made the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A field of a query is not there (any more); the context pair `field` names it.
    UnknownField,
    /// A query cannot be made as it stands; the context pair `query` has its beginning.
    BadQuery,
    /// A query is too much for the time or the size that Zuora gives it.
    TooLarge,
    /// Jobs without a session cannot have deleted rows in this tenant.
    NoDeletes,
    /// One of the objects has no deleted rows to ask for.
    NoDeletesOfObject,
    /// Too many jobs run already.
    Busy,
    /// A problem of the moment.
    Passing,
    /// The job or file is gone.
    Gone,
    /// The user may not read it.
    Forbidden,
}

/// Key of the context pair that holds a meaning.
const MEANING: &str = "meaning";

impl Meaning {
    /// The meaning of an error of this connector, if it has one.
    pub fn of(error: &Error) -> Option<Self> {
        Some(match error.get(MEANING)? {
            "unknown_field" => Self::UnknownField,
            "bad_query" => Self::BadQuery,
            "too_large" => Self::TooLarge,
            "no_deletes" => Self::NoDeletes,
            "no_deletes_of_object" => Self::NoDeletesOfObject,
            "busy" => Self::Busy,
            "passing" => Self::Passing,
            "gone" => Self::Gone,
            "forbidden" => Self::Forbidden,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::UnknownField => "unknown_field",
            Self::BadQuery => "bad_query",
            Self::TooLarge => "too_large",
            Self::NoDeletes => "no_deletes",
            Self::NoDeletesOfObject => "no_deletes_of_object",
            Self::Busy => "busy",
            Self::Passing => "passing",
            Self::Gone => "gone",
            Self::Forbidden => "forbidden",
        }
    }

    /// Marks an error with the meaning.
    pub fn mark(self, error: Error) -> Error {
        error.context(MEANING, self.word())
    }
}

/// Says what an answer means.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
    match status {
        // A repeat under an `Idempotency-Key` gives the first answer again.
        200..=299 | 409 => match said(body) {
            Some(said) => said.verdict(status, headers, body),
            None => Verdict::Ok,
        },
        401 => Verdict::RefreshAuth,
        403 if contains(body, limits::MAX_FILE_MARK) => Verdict::Fail(Meaning::TooLarge.mark(
            Error::new(
                ErrorKind::Data,
                "fetch a result file: it is larger than Zuora hands out",
            )
            .context("status", status),
        )),
        403 => Verdict::Fail(Meaning::Forbidden.mark(refusal(status, headers, body).hint(
            "give the source's user API access with the permission \"Enable DataSource Exports Reporting\", and the right entity",
        ))),
        404 | 410 => Verdict::Fail(Meaning::Gone.mark(refusal(status, headers, body))),
        // The queue of Data Query drains in minutes or hours: whoever submits waits for it, not every call.
        429 if is_queue_full(body) => Verdict::Fail(Meaning::Busy.mark(
            refusal(status, headers, body).with_kind(ErrorKind::Unavailable),
        )),
        408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Verdict::Retry { after: None },
        _ => Verdict::Fail(match sentence(body) {
            Some(said) => query_error(&said)
                .unwrap_or_else(|| refusal(status, headers, body)),
            None => refusal(status, headers, body),
        }),
    }
}

fn contains(body: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(body).contains(word)
}

/// Whether a refusal is about jobs that wait, not about calls.
fn is_queue_full(body: &[u8]) -> bool {
    sentence(body).is_some_and(|said| said.to_lowercase().contains("queued query jobs"))
}

/// A refusal inside an answer of any status.
struct Said {
    code: Option<String>,
    message: String,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default, alias = "Success")]
    success: Option<bool>,
    #[serde(default, alias = "Errors")]
    reasons: Vec<Reason>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    code: Value,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default, alias = "Code")]
    code: Value,
    #[serde(default, alias = "Message")]
    message: String,
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Bodies longer than this are data.
const MOST_SAID: usize = 64 * 1024;

/// The refusal in a body that says `success: false`, if it does.
fn said(body: &[u8]) -> Option<Said> {
    if body.len() > MOST_SAID || body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    (envelope.success == Some(false)).then(|| envelope.into_said())
}

impl Envelope {
    fn into_said(self) -> Said {
        let first = self.reasons.into_iter().next();
        let (code, message) = match first {
            Some(reason) => (text(&reason.code), reason.message),
            None => (text(&self.code), self.message.unwrap_or_default()),
        };
        Said { code, message }
    }
}

impl Said {
    fn verdict(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
        // The last two digits of an eight-digit code are its category.
        let code = self.code.as_deref().unwrap_or_default();
        let category = (code.len() == 8).then(|| code.get(6..)).flatten();
        match (category, code) {
            (Some("50" | "61" | "70" | "99"), _)
            | (_, "REQUEST_EXCEEDED_LIMIT" | "SystemError") => Verdict::Retry { after: None },
            (Some("11"), _) => Verdict::RefreshAuth,
            (Some("10"), _) => {
                Verdict::Fail(Meaning::Forbidden.mark(self.error(status, ErrorKind::Permission)))
            }
            (Some("40"), _) => {
                Verdict::Fail(Meaning::Gone.mark(self.error(status, ErrorKind::NotFound)))
            }
            _ => Verdict::Fail(query_error(&self.message).unwrap_or_else(|| {
                let _ = (headers, body);
                self.error(status, ErrorKind::Data)
            })),
        }
    }

    fn error(&self, status: u16, kind: ErrorKind) -> Error {
        let message = printable(&self.message);
        let error = Error::new(
            kind,
            format!("use Zuora's answer: it says {status} and \"{message}\""),
        )
        .context("status", status);
        match &self.code {
            Some(code) => error.context("code", printable(code)),
            None => error,
        }
    }
}

/// The sentence of a refusal, in any of its shapes.
fn sentence(body: &[u8]) -> Option<String> {
    let body = body.get(..MOST_SAID).unwrap_or(body);
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let said = envelope.into_said();
    (!said.message.is_empty()).then_some(said.message)
}

/// What is wrong with a query, by the sentences of Export ZOQL and of Data Query.
fn query_error(message: &str) -> Option<Error> {
    let lower = message.to_lowercase();
    let shown = printable(message);
    let error = |kind| Error::new(kind, format!("query Zuora: it says \"{shown}\""));
    if let Some(field) = word_after(message, &lower, "no field named ") {
        return Some(
            Meaning::UnknownField
                .mark(error(ErrorKind::Config))
                .context("field", field),
        );
    }
    if lower.contains("cannot be resolved")
        && let Some(field) = message.split('\'').nth(1)
    {
        return Some(
            Meaning::UnknownField
                .mark(error(ErrorKind::Config))
                .context("field", printable(field)),
        );
    }
    let too_large = [
        "exceeded maximum processing time",
        "exceeded the maximum time limit",
        "exceeded maximum time limit",
        "maximum number of output rows",
        "maximum number of input rows",
        "exceeds the limit of",
        "exceeds the maximum limit",
        "output rows limit",
        "input rows limit",
    ];
    if too_large.iter().any(|words| lower.contains(words)) {
        return Some(Meaning::TooLarge.mark(error(ErrorKind::Unavailable)));
    }
    if lower.contains("failed to process object") || lower.contains("does not have permission") {
        return Some(Meaning::Forbidden.mark(error(ErrorKind::Permission)));
    }
    if lower.contains("link_30000007") || lower.contains("temporarily unavailable") {
        return Some(Meaning::Passing.mark(error(ErrorKind::Unavailable)));
    }
    if lower.contains("does not exist") || lower.contains("nosuchdatasource") {
        return Some(Meaning::Gone.mark(error(ErrorKind::NotFound)));
    }
    None
}

/// The word that follows some words, without the punctuation behind it.
fn word_after(message: &str, lower: &str, words: &str) -> Option<String> {
    // Lowering may change the length of text that is not ASCII: then nothing is found at the right place.
    let at = lower.find(words)? + words.len();
    let rest = message.get(at..)?;
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let word: String = rest.chars().take_while(|c| is_part(*c)).collect();
    let word = word.trim_end_matches('.');
    (!word.is_empty() && word.len() <= 200).then(|| word.to_owned())
}

/// The error of a job, or of one of its queries, by code and sentence.
pub fn aqua_error(code: Option<&str>, message: &str) -> Error {
    let shown = printable(message);
    let named = match code {
        Some(code) => format!(
            "run an AQuA job: Zuora says {} \"{shown}\"",
            printable(code)
        ),
        None => format!("run an AQuA job: Zuora says \"{shown}\""),
    };
    let error = |kind| {
        let error = Error::new(kind, named.clone());
        match code {
            Some(code) => error.context("code", printable(code)),
            None => error,
        }
    };
    let code = code.map_or_else(|| code_in(message), ToOwned::to_owned);
    match code.as_str() {
        "90006" | "90008" | "90010" | "90022" => {
            Meaning::Passing.mark(error(ErrorKind::Unavailable))
        }
        "90028" => Meaning::Busy.mark(error(ErrorKind::Unavailable)),
        "90027" | "90029" => Meaning::TooLarge.mark(error(ErrorKind::Unavailable)),
        "90012" => Meaning::NoDeletes.mark(error(ErrorKind::Config)),
        "90017" => Meaning::NoDeletesOfObject.mark(error(ErrorKind::Config)),
        "90001" | "90002" => Meaning::Gone.mark(error(ErrorKind::NotFound)),
        "90009" | "90018" => Meaning::Forbidden.mark(error(ErrorKind::Permission)),
        "90005" | "90020" | "90021" => {
            let refused = query_error(message);
            let error = refused.unwrap_or_else(|| Meaning::BadQuery.mark(error(ErrorKind::Config)));
            match object_of(message) {
                Some(object) => error.context("object", object),
                None => error,
            }
        }
        _ => query_error(message).unwrap_or_else(|| error(ErrorKind::Unavailable)),
    }
}

/// Codes by their sentences, for answers that have only those.
fn code_in(message: &str) -> String {
    const SENTENCES: &[(&str, &str)] = &[
        ("syntax error in one of the queries", "90005"),
        ("exceeded maximum processing time", "90027"),
        ("exceeded maximum time limit", "90029"),
        ("does not support deleted columns", "90012"),
        ("do not support the querying of deleted records", "90017"),
        ("concurrent jobs has exceeded", "90028"),
        ("does not have permission", "90018"),
        ("not authorized", "90009"),
        ("internal storage error", "90006"),
        ("internal database connection", "90008"),
        ("internal server error", "90010"),
        ("retry the query", "90022"),
    ];
    let lower = message.to_lowercase();
    let known = SENTENCES.iter().find(|(words, _)| lower.contains(words));
    known.map_or_else(String::new, |(_, code)| (*code).to_owned())
}

/// The object of the query that a message quotes: `Query = SELECT ... from Account where ...`.
fn object_of(message: &str) -> Option<String> {
    let at = message.find("Query = ")?;
    let query = message.get(at..)?;
    let mut words = query.split_whitespace();
    words.find(|word| word.eq_ignore_ascii_case("from"))?;
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    let object: String = words.next()?.chars().take_while(is_part).collect();
    (!object.is_empty()).then_some(object)
}

/// The error of a Data Query job that failed.
pub fn data_query_error(message: &str) -> Error {
    query_error(message).unwrap_or_else(|| {
        Error::new(
            ErrorKind::Unavailable,
            format!("run a Data Query: Zuora says \"{}\"", printable(message)),
        )
    })
}

/// The error of a refused login.
pub fn login_error(status: u16, body: &[u8]) -> Error {
    let words = sentence(body).unwrap_or_default();
    let words = match printable(&words).as_str() {
        "" => String::new(),
        words => format!(": \"{words}\""),
    };
    let kind = if status == 404 {
        ErrorKind::Config
    } else {
        ErrorKind::Auth
    };
    Error::new(kind, format!("log in to Zuora: it answered {status}{words}"))
        .context("status", status)
        .hint("check client id and secret, and the data centre: credentials are good in one of them only, and a sandbox is another one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        classify(status, &HeaderMap::new(), body.as_bytes())
    }

    fn failed(status: u16, body: &str) -> Error {
        match verdict(status, body) {
            Verdict::Fail(error) => error,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_with_status_200_may_be_a_refusal() {
        // covers: N16
        for (body, expected) in [
            (
                r#"{"success":false,"reasons":[{"code":53100350,"message":"lock"}]}"#,
                "retry",
            ),
            (
                r#"{"success":false,"reasons":[{"code":"53100061","message":"x"}]}"#,
                "retry",
            ),
            (
                r#"{"success":false,"reasons":[{"code":"90000011","message":"Failed to get user info"}]}"#,
                "login",
            ),
            (
                r#"{"success":false,"reasons":[{"code":"SystemError","message":"internal server error"}]}"#,
                "retry",
            ),
            (
                r#"{"Success":false,"Errors":[{"Code":"INVALID_VALUE","Message":"no"}]}"#,
                "fail",
            ),
            (r#"{"success":false}"#, "fail"),
            (r#"{"success":true}"#, "ok"),
            (
                r#"{"id":"x","status":"error","errorCode":"90005","message":"y"}"#,
                "ok",
            ),
            ("Account.Id\n", "ok"),
        ] {
            let got = match verdict(200, body) {
                Verdict::Ok => "ok",
                Verdict::Retry { .. } => "retry",
                Verdict::RefreshAuth => "login",
                Verdict::Fail(_) => "fail",
            };
            assert_eq!(got, expected, "{body}");
        }
    }

    #[test]
    fn a_403_for_size_is_told_from_one_for_permission() {
        let size = failed(
            403,
            "<security:max-object-size>2047MB</security:max-object-size>",
        );
        assert_eq!(Meaning::of(&size), Some(Meaning::TooLarge));
        let permission = failed(403, "{}");
        assert_eq!(permission.kind(), ErrorKind::Permission);
        assert!(permission.hint_text().unwrap().contains("DataSource"));
        assert_eq!(Meaning::of(&failed(404, "")), Some(Meaning::Gone));
        assert!(matches!(verdict(409, r#"{"id":"1"}"#), Verdict::Ok));
    }

    #[test]
    fn sentences_and_codes_of_jobs_are_understood_alike() {
        use Meaning::*;
        let syntax = "There is a syntax error in one of the queries in the AQuA input";
        for (code, message, meaning) in [
            (Some("90027"), "x".to_owned(), Some(TooLarge)),
            (None, "The query exceeded maximum processing time.".to_owned(), Some(TooLarge)),
            (None, "The job was marked as Error as it exceeded maximum time limit in Processing status.".to_owned(), Some(TooLarge)),
            (Some("90028"), String::new(), Some(Busy)),
            (Some("90012"), "Stateless AQuA does not support deleted columns.".to_owned(), Some(NoDeletes)),
            (Some("90017"), String::new(), Some(NoDeletesOfObject)),
            (Some("90018"), String::new(), Some(Forbidden)),
            (Some("90010"), String::new(), Some(Passing)),
            (Some("90005"), syntax.to_owned(), Some(BadQuery)),
            (None, format!("{syntax} (Error = There is no field named X__c, Query = select X__c from Account)"), Some(UnknownField)),
            (Some("90007"), "The query execution has been aborted.".to_owned(), None),
        ] {
            let error = aqua_error(code, &message);
            assert_eq!(Meaning::of(&error), meaning, "{code:?} {message}");
        }
    }

    #[test]
    fn the_field_and_the_object_of_a_refused_query_are_found() {
        let message = "There is a syntax error in one of the queries in the AQuA input (Error = There is no field named CorporateAccountId__c, Query = SELECT Id, CorporateAccountId__c FROM Account where Id = '1')";
        let error = aqua_error(Some("90005"), message);
        assert_eq!(error.get("field"), Some("CorporateAccountId__c"));
        assert_eq!(error.get("object"), Some("Account"));
        let dotted = aqua_error(Some("90005"), "There is no field named BillToContact.Id.");
        assert_eq!(dotted.get("field"), Some("BillToContact.Id"));
        for limit in [
            "The number of input records of table x exceeds the maximum limit after filtering",
            "The number of output records exceeds the maximum limit of 500000",
            "Query exceeded the maximum time limit of 3600.00s",
        ] {
            let error = data_query_error(limit);
            assert_eq!(Meaning::of(&error), Some(Meaning::TooLarge), "{limit}");
        }
        let queue =
            r#"{"code":429,"message":"The number of queued query jobs has exceeded the limit"}"#;
        assert_eq!(Meaning::of(&failed(429, queue)), Some(Meaning::Busy));
        assert!(matches!(verdict(429, "{}"), Verdict::Retry { .. }));
        let trino = data_query_error("line 1:8: Column 'mrr' cannot be resolved");
        assert_eq!(trino.get("field"), Some("mrr"));
    }

    #[test]
    fn the_servers_words_are_escaped() {
        // covers: I21
        let error = aqua_error(None, "no\n\u{1b}[2Jerror");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
}
