//! What is said to AQuA and what it answers: pure functions, no I/O.

use overlock_core::{Error, ErrorKind, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Format;
use crate::limits;

/// A query in Export ZOQL.
#[derive(Debug, Clone, Default)]
pub struct Query<'a> {
    /// Fields, such as `Name` and `Account.Id`.
    pub fields: Vec<&'a str>,
    /// The object.
    pub object: &'a str,
    /// Conditions, all of which hold.
    pub conditions: Vec<String>,
    /// Rows come in the order of their Ids, and at most so many.
    pub page: Option<u64>,
}

impl Query<'_> {
    /// The query as text.
    pub fn text(&self) -> String {
        let mut text = format!("select {} from {}", self.fields.join(", "), self.object);
        if !self.conditions.is_empty() {
            text.push_str(" where ");
            text.push_str(&self.conditions.join(" and "));
        }
        if let Some(rows) = self.page {
            text.push_str(" order by Id limit ");
            text.push_str(&rows.to_string());
        }
        text
    }
}

/// Text as a literal.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An instant as a literal; there is nothing finer than seconds.
pub fn instant(time: Timestamp) -> String {
    format!("'{}'", time.floor_second())
}

/// Conditions for rows whose `key` is in `lower..upper`; without a beginning, rows without a stamp belong to it.
pub fn window(key: &str, lower: Option<Timestamp>, upper: Timestamp) -> Vec<String> {
    match lower {
        Some(lower) => vec![
            format!("{key} >= {}", instant(lower)),
            format!("{key} < {}", instant(upper)),
        ],
        None => vec![format!("({key} < {} or {key} is null)", instant(upper))],
    }
}

/// Condition for rows whose Id comes after another.
pub fn after(id: &str) -> String {
    format!("Id > {}", quote(id))
}

/// Conditions for some rows by their Ids.
pub fn among(ids: &[String]) -> String {
    let each: Vec<String> = ids.iter().map(|id| format!("Id = {}", quote(id))).collect();
    format!("({})", each.join(" or "))
}

/// The name of a query of a job.
pub fn query_name(number: usize, object: &str) -> String {
    format!("q{number}_{object}")
}

/// A query with its name, and whether deleted rows are asked for.
#[derive(Debug, Clone)]
pub struct Named {
    /// Unique within the job.
    pub name: String,
    /// The query.
    pub text: String,
    /// Ask for deleted rows, too.
    pub deletes: bool,
}

/// The body that makes a job.
pub fn job(queries: &[Named], format: Format, name: &str) -> Value {
    let queries: Vec<Value> = queries
        .iter()
        .map(|query| {
            let mut one = json!({
                "name": query.name,
                "type": "zoqlexport",
                "apiVersion": limits::WSDL_VERSION,
                "query": query.text,
            });
            if query.deletes {
                one["deleted"] = json!({
                    "column": limits::DELETED_COLUMN,
                    "format": "Boolean",
                    "forceExport": true,
                });
            }
            one
        })
        .collect();
    let name: String = name.chars().take(limits::JOB_NAME_CHARS).collect();
    json!({
        "format": format.as_str(),
        "version": limits::AQUA_VERSION,
        "name": name,
        "encrypted": "none",
        "useQueryLabels": true,
        "dateTimeUtc": true,
        "nullReplacement": limits::NULL_TEXT,
        "queries": queries,
    })
}

/// An answer about a job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Job {
    /// Its id; refusals may have none.
    pub id: Option<String>,
    /// How it stands.
    pub status: Option<String>,
    /// Its queries.
    pub batches: Vec<Batch>,
    /// Why it was refused, as text or number.
    pub error_code: Option<Value>,
    /// The same in words.
    pub message: Option<String>,
}

/// A query of a job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Batch {
    /// The name it was given.
    pub name: Option<String>,
    /// How it stands.
    pub status: Option<String>,
    /// Rows, once it is completed.
    pub record_count: Option<Value>,
    /// Its file; text or a number.
    pub file_id: Option<Value>,
    /// Its files, instead.
    pub segments: Option<Vec<String>>,
    /// What went wrong.
    pub message: Option<String>,
}

/// How a job or a query of it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not over.
    Running,
    /// Done.
    Completed,
    /// Over, and not done.
    Ended,
}

/// Reads a status; what nobody knows is not over.
pub fn standing(status: Option<&str>) -> Standing {
    match status.unwrap_or_default().to_ascii_lowercase().as_str() {
        "completed" => Standing::Completed,
        "error" | "aborted" | "cancelled" | "canceled" | "failed" | "deleted_notallowed" => {
            Standing::Ended
        }
        _ => Standing::Running,
    }
}

impl Job {
    /// The code and the words of a refusal, if it is one.
    pub fn refusal(&self) -> Option<(Option<String>, String)> {
        let code = match &self.error_code {
            Some(Value::String(code)) => Some(code.clone()),
            Some(Value::Number(code)) => Some(code.to_string()),
            _ => None,
        };
        let is_error = self
            .status
            .as_deref()
            .is_some_and(|status| status.eq_ignore_ascii_case("error"));
        (code.is_some() || is_error).then(|| (code, self.message.clone().unwrap_or_default()))
    }

    /// Its id, if that is of the documented form.
    ///
    /// # Errors
    /// `Data` otherwise.
    pub fn id(&self) -> Result<String> {
        self.id.as_deref().map_or_else(
            || Err(bad_id("job")),
            |id| word(id).ok_or_else(|| bad_id("job")),
        )
    }
}

/// Files of a query, and the rows that they have together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Their ids, in order.
    pub files: Vec<String>,
    /// Rows of all of them.
    pub rows: u64,
}

impl Batch {
    /// Its files.
    ///
    /// # Errors
    /// `Data` if it has none, or no number of rows: nothing could be proven then.
    pub fn files(&self) -> Result<Files> {
        let rows = match &self.record_count {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let rows = rows.ok_or_else(|| {
            Error::new(
                ErrorKind::Data,
                "use the result of a query: Zuora gives no number of its rows",
            )
        })?;
        let ids = match (&self.segments, &self.file_id) {
            (Some(segments), _) if !segments.is_empty() => segments.clone(),
            (_, Some(Value::String(file))) => vec![file.clone()],
            (_, Some(Value::Number(file))) => vec![file.to_string()],
            _ => {
                return Err(Error::new(
                    ErrorKind::Data,
                    "use the result of a query: it is completed and has no file",
                ));
            }
        };
        let files: Option<Vec<String>> = ids.iter().map(|id| word(id)).collect();
        match files {
            Some(files) => Ok(Files { files, rows }),
            None => Err(bad_id("file")),
        }
    }
}

fn bad_id(what: &str) -> Error {
    Error::new(
        ErrorKind::Data,
        format!("use the id of a {what}: it is missing, or not of the documented form"),
    )
}

/// An id that may stand in a path.
pub fn word(id: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    ((1..=64).contains(&id.len()) && id.bytes().all(good)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn queries_are_written_as_documented() {
        let mut query = Query {
            fields: vec!["Id", "Name", "Account.Id"],
            object: "Invoice",
            conditions: window(
                "UpdatedDate",
                Some(time("2024-01-01T00:00:00.9Z")),
                time("2024-01-02"),
            ),
            page: None,
        };
        assert_eq!(
            query.text(),
            "select Id, Name, Account.Id from Invoice where UpdatedDate >= '2024-01-01T00:00:00Z' and UpdatedDate < '2024-01-02T00:00:00Z'"
        );
        query.conditions = window("UpdatedDate", None, time("2024-01-02"));
        query.conditions.push(after("2c92"));
        query.page = Some(500);
        assert_eq!(
            query.text(),
            "select Id, Name, Account.Id from Invoice where (UpdatedDate < '2024-01-02T00:00:00Z' or UpdatedDate is null) and Id > '2c92' order by Id limit 500"
        );
    }

    #[test]
    fn values_cannot_leave_their_literal() {
        assert_eq!(quote("O'Brien' or Id != '"), "'O''Brien'' or Id != '''");
        let ids = ["a".to_owned(), "b'".to_owned()];
        assert_eq!(among(&ids), "(Id = 'a' or Id = 'b''')");
    }

    #[test]
    fn ids_fit_below_the_limit_of_a_query() {
        let ids: Vec<String> = (0..limits::IDS_PER_QUERY)
            .map(|number| format!("{number:032x}"))
            .collect();
        // Half of the characters are left for fields.
        assert!(among(&ids).len() < limits::QUERY_CHARS * 3 / 4);
    }

    #[test]
    fn refusals_and_standings_are_read_in_all_their_forms() {
        for (text, refused) in [
            (
                r#"{"status":"error","errorCode":"90005","message":"m"}"#,
                Some(Some("90005")),
            ),
            (
                r#"{"errorCode":90028,"message":"m","id":"x"}"#,
                Some(Some("90028")),
            ),
            (r#"{"status":"error"}"#, Some(None)),
            (r#"{"id":"8ad0","status":"submitted"}"#, None),
        ] {
            let job: Job = serde_json::from_str(text).unwrap();
            let code = job.refusal().map(|(code, _)| code);
            assert_eq!(code.as_ref().map(|code| code.as_deref()), refused, "{text}");
        }
        for (status, expected) in [
            ("COMPLETED", Standing::Completed),
            ("aborted", Standing::Ended),
            ("canceled", Standing::Ended),
            ("deleted_notallowed", Standing::Ended),
            ("pending", Standing::Running),
            ("new one", Standing::Running),
        ] {
            assert_eq!(standing(Some(status)), expected, "{status}");
        }
    }

    #[test]
    fn a_result_needs_a_count_and_files_with_sane_ids() {
        let files = |text: &str| serde_json::from_str::<Batch>(text).unwrap().files();
        let both = files(r#"{"recordCount":"7","fileId":"a","segments":["s1","s2"]}"#).unwrap();
        assert_eq!(
            (both.files, both.rows),
            (vec!["s1".to_owned(), "s2".to_owned()], 7)
        );
        assert_eq!(
            files(r#"{"recordCount":0,"fileId":"a","segments":[]}"#)
                .unwrap()
                .rows,
            0
        );
        for bad in [
            r#"{"fileId":"a"}"#,
            r#"{"recordCount":1}"#,
            r#"{"recordCount":1,"fileId":"../../oauth/token"}"#,
            r#"{"recordCount":-1,"fileId":"a"}"#,
        ] {
            assert_eq!(files(bad).unwrap_err().kind(), ErrorKind::Data, "{bad}");
        }
    }
}
