//! Pure functions of the Salesforce API: paths, SOQL, headers, the meaning of an error. No I/O.

use std::fmt::Write as _;

use chrono::DateTime;
use overlock_core::{Error, ErrorKind, Result, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::limits;

/// What is left as it is in a query component. Commas and parentheses stay, because they are a third of
/// a query and the length of the URI is bounded.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',')
    .remove(b'(')
    .remove(b')')
    .remove(b':');

/// Text as one query component.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// A version of the API, such as `62.0`, and the paths below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// Checks the form `NN.0`.
    ///
    /// # Errors
    /// `Config` if it is of another form or older than 47.0, the first version with Bulk 2.0 queries.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim_start_matches('v');
        let major = text
            .strip_suffix(".0")
            .and_then(|major| major.parse::<u16>().ok());
        match major {
            Some(47..=999) => Ok(Self(text.to_owned())),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "use `{}` as api_version",
                    overlock_core::text::printable(text)
                ),
            )
            .context("key", "api_version")
            .hint("write it like 62.0; Bulk API 2.0 queries need 47.0 or newer")),
        }
    }

    /// The version as text, such as `62.0`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether parallel result pages exist (58.0).
    pub fn has_result_pages(&self) -> bool {
        self.0
            .strip_suffix(".0")
            .and_then(|major| major.parse::<u16>().ok())
            .is_some_and(|major| major >= 58)
    }

    /// `/services/data/v62.0` and what follows.
    pub fn path(&self, rest: &str) -> String {
        format!("/services/data/v{}{rest}", self.0)
    }

    /// Path of the describe of one object.
    pub fn describe(&self, object: &str) -> String {
        self.path(&format!("/sobjects/{object}/describe"))
    }

    /// Path of a REST query that sees deleted and archived rows too.
    pub fn query_all(&self, soql: &str) -> String {
        self.path(&format!("/queryAll?q={}", encode(soql)))
    }

    /// Path of a REST query over live rows.
    pub fn query(&self, soql: &str) -> String {
        self.path(&format!("/query?q={}", encode(soql)))
    }

    /// Path of the next page of a REST query, from the token that [`query_token`] took out of a link.
    pub fn next_query(&self, token: &str) -> String {
        self.path(&format!("/query/{}", encode(token)))
    }

    /// Path of the query jobs.
    pub fn jobs(&self) -> String {
        self.path("/jobs/query")
    }

    /// Path of one query job.
    pub fn job(&self, id: &str) -> String {
        self.path(&format!("/jobs/query/{}", encode(id)))
    }

    /// Path of one result page.
    pub fn results(&self, id: &str, max_records: u32, locator: Option<&str>) -> String {
        let mut path = self.job(id);
        let _infallible = write!(path, "/results?maxRecords={max_records}");
        if let Some(locator) = locator {
            let _infallible = write!(path, "&locator={}", encode(locator));
        }
        path
    }

    /// Path of the list of result pages.
    pub fn result_pages(&self, id: &str, max_records: u32) -> String {
        format!("{}/resultPages?maxRecords={max_records}", self.job(id))
    }
}

/// The opaque token of `nextRecordsUrl`: its last path segment. The rest of the link is ours, whatever
/// origin the server wrote.
///
/// # Errors
/// `Data` if the link has no such segment or carries characters that no locator has.
pub fn query_token(link: &str) -> Result<String> {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    let token = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !path.contains("/query") || token.is_empty() || !token.chars().all(plain) {
        return Err(Error::new(
            ErrorKind::Data,
            "follow the next link of a query: it is not of the documented form",
        ));
    }
    Ok(token.to_owned())
}

/// The `locator` parameter of a link to a result page; `None` if it has none (the first page).
pub fn link_locator(link: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "locator")
        .map(|(_, value)| value.into_owned())
}

/// Direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Up,
    /// Largest first.
    Down,
}

/// What a SOQL statement selects.
#[derive(Debug, Clone, Default)]
pub struct Select<'a> {
    /// Field names; from describe, so they are identifiers.
    pub fields: Vec<&'a str>,
    /// The object.
    pub object: &'a str,
    /// Conditions, joined by AND.
    pub conditions: Vec<String>,
    /// Field to order by, with its direction; never for Bulk, where it switches chunking off.
    pub order_by: Option<(&'a str, Direction)>,
    /// Most rows.
    pub limit: Option<u32>,
}

impl Select<'_> {
    /// The statement as text.
    pub fn to_soql(&self) -> String {
        let mut soql = format!("SELECT {} FROM {}", self.fields.join(","), self.object);
        for (index, condition) in self.conditions.iter().enumerate() {
            soql.push_str(if index == 0 { " WHERE " } else { " AND " });
            soql.push_str(condition);
        }
        if let Some((field, direction)) = self.order_by {
            let word = match direction {
                Direction::Up => "ASC",
                Direction::Down => "DESC",
            };
            let _infallible = write!(soql, " ORDER BY {field} {word}");
        }
        if let Some(limit) = self.limit {
            let _infallible = write!(soql, " LIMIT {limit}");
        }
        soql
    }
}

/// A datetime literal. Whole seconds: Salesforce compares at that granularity, so a fraction would move
/// a border without anybody noticing.
pub fn datetime(time: Timestamp) -> String {
    time.floor_second().to_string()
}

/// Conditions for `lower <= key < upper`; either end may be open. With `nulls` rows whose key is null
/// are kept too.
pub fn window(
    key: &str,
    lower: Option<Timestamp>,
    upper: Option<Timestamp>,
    nulls: bool,
) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(lower) = lower {
        conditions.push(format!("{key} >= {}", datetime(lower)));
    }
    if let Some(upper) = upper {
        conditions.push(format!("{key} < {}", datetime(upper)));
    }
    if nulls && !conditions.is_empty() {
        return vec![format!("(({}) OR {key} = null)", conditions.join(" AND "))];
    }
    conditions
}

/// Conditions for `after < Id <= through`; either end may be open.
pub fn id_range(after: Option<&str>, through: Option<&str>) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(after) = after {
        conditions.push(format!("Id > {}", quote(after)));
    }
    if let Some(through) = through {
        conditions.push(format!("Id <= {}", quote(through)));
    }
    conditions
}

/// A text literal.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// Whether the text may stand as a name in SOQL.
pub fn is_identifier(name: &str) -> bool {
    name.len() <= 120
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `Sforce-Limit-Info`: calls used and allowed in the rolling 24 hours.
///
/// Two forms: `api-usage=18/15000` and `api-usage=25/5000; per-app-api-usage=17/250(appName=my app)`.
pub fn limit_info(header: &str) -> Option<(u64, u64)> {
    let usage = header
        .split([';', ','])
        .find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, max) = usage.split_once('/')?;
    let (used, max) = (used.trim().parse().ok()?, max.trim().parse().ok()?);
    (max > 0).then_some((used, max))
}

/// `Sforce-Locator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locator {
    /// There is a next page.
    Next(String),
    /// The text `null`: this was the last page.
    End,
    /// The header is missing or empty: the end only if the counts say so.
    Missing,
}

/// Longest locator that is followed and stored.
const MAX_LOCATOR_BYTES: usize = 1_024;

/// Reads `Sforce-Locator`.
///
/// # Errors
/// `Data` if it is too long to be one.
pub fn locator(header: Option<&str>) -> Result<Locator> {
    match header.map(str::trim) {
        None | Some("") => Ok(Locator::Missing),
        Some("null") => Ok(Locator::End),
        Some(text) if text.len() <= MAX_LOCATOR_BYTES && text.is_ascii() => {
            Ok(Locator::Next(text.to_owned()))
        }
        Some(_) => Err(Error::new(
            ErrorKind::Data,
            format!("use a result locator of more than {MAX_LOCATOR_BYTES} bytes"),
        )),
    }
}

/// `Sforce-NumberOfRecords`: rows in this page; `None` if missing or not a number.
pub fn number_of_records(header: Option<&str>) -> Option<u64> {
    header?.trim().parse().ok()
}

/// The `Date` header as an instant; `None` if it cannot be one that a server sent.
pub fn server_date(header: Option<&str>) -> Option<Timestamp> {
    let parsed = DateTime::parse_from_rfc2822(header?.trim()).ok()?;
    let seconds = parsed.timestamp();
    (seconds >= limits::OLDEST_DATE_SECONDS)
        .then(|| Timestamp::from_seconds(seconds))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn soql_is_half_open_second_aligned_and_unordered() {
        // covers: L1, L3
        let select = Select {
            fields: vec!["Id", "Name"],
            object: "Account",
            conditions: window(
                "SystemModstamp",
                Some(time("2026-01-01T00:00:00.999Z")),
                Some(time("2026-01-02T00:00:00Z")),
                false,
            ),
            ..Select::default()
        };
        assert_eq!(
            select.to_soql(),
            "SELECT Id,Name FROM Account WHERE SystemModstamp >= 2026-01-01T00:00:00Z AND SystemModstamp < 2026-01-02T00:00:00Z"
        );
    }

    #[test]
    fn rows_without_a_key_are_kept_where_the_key_may_be_null() {
        // covers: L4
        assert_eq!(
            window("LoginTime", None, Some(time("2026-01-02")), true),
            ["((LoginTime < 2026-01-02T00:00:00Z) OR LoginTime = null)"]
        );
        assert!(window("X", None, None, true).is_empty());
    }

    #[test]
    fn literals_cannot_leave_their_quotes() {
        // covers: I16
        for (text, expected) in [
            ("abc", "'abc'"),
            ("a'b", r"'a\'b'"),
            (r"a\", r"'a\\'"),
            (r"\' OR Name != '", r"'\\\' OR Name != \''"),
        ] {
            assert_eq!(quote(text), expected);
        }
        for bad in ["", "1a", "a b", "a;", "a'", "Ä", "a.b"] {
            assert!(!is_identifier(bad), "{bad}");
        }
        assert!(is_identifier("Foo__Latitude__s"));
    }

    #[test]
    fn limit_info_has_two_forms() {
        for (header, expected) in [
            ("api-usage=18/15000", Some((18, 15_000))),
            (
                "api-usage=25/5000; per-app-api-usage=17/250(appName=my app)",
                Some((25, 5_000)),
            ),
            (
                "per-app-api-usage=17/250(appName=a), api-usage=3/9",
                Some((3, 9)),
            ),
            ("api-usage=1/0", None),
            ("api-usage=x/5", None),
            ("api-usage=-1/5", None),
            ("", None),
            ("per-app-api-usage=17/250", None),
        ] {
            assert_eq!(limit_info(header), expected, "{header}");
        }
    }

    #[test]
    fn locators_end_only_at_the_word_null() {
        for (header, expected) in [
            (Some("MTAwMDA"), Locator::Next("MTAwMDA".to_owned())),
            (Some("null"), Locator::End),
            (Some("  null "), Locator::End),
            (Some(""), Locator::Missing),
            (None, Locator::Missing),
        ] {
            assert_eq!(locator(header).unwrap(), expected);
        }
        assert!(locator(Some(&"x".repeat(10_000))).is_err());
        assert_eq!(number_of_records(Some(" 50000 ")), Some(50_000));
        assert_eq!(number_of_records(Some("-1")), None);
        assert_eq!(number_of_records(Some("9".repeat(40).as_str())), None);
        assert_eq!(number_of_records(None), None);
    }

    #[test]
    fn absurd_dates_are_not_believed() {
        // covers: N21
        for (header, expected) in [
            (
                Some("Sun, 22 Nov 2026 03:51:03 GMT"),
                Some("2026-11-22T03:51:03Z"),
            ),
            (Some("Sat, 01 Jan 1983 00:00:00 GMT"), None),
            (Some("yesterday"), None),
            (None, None),
        ] {
            assert_eq!(
                server_date(header).map(|t| t.to_string()).as_deref(),
                expected
            );
        }
    }

    #[test]
    fn only_the_token_of_a_next_link_is_taken() {
        // covers: N18
        for (link, expected) in [
            (
                "/services/data/v62.0/query/01gRM000001hKlzYAE-2000",
                Some("01gRM000001hKlzYAE-2000"),
            ),
            (
                "https://evil.example/services/data/v62.0/query/01g-2000?q=x",
                Some("01g-2000"),
            ),
            ("https://evil.example/", None),
            ("/services/data/v62.0/query/..", None),
            ("/services/data/v62.0/query/a%2Fb", None),
            ("", None),
        ] {
            assert_eq!(query_token(link).ok().as_deref(), expected, "{link}");
        }
        assert_eq!(
            link_locator("/x/results?maxRecords=5&locator=aB%2BcD").as_deref(),
            Some("aB+cD")
        );
        assert_eq!(link_locator("/x/results"), None);
    }

    #[test]
    fn versions_and_paths() {
        let version = Version::parse("v62.0").unwrap();
        assert_eq!(
            version.describe("Account"),
            "/services/data/v62.0/sobjects/Account/describe"
        );
        assert_eq!(
            version.results("750x", 5, Some("a+b/")),
            "/services/data/v62.0/jobs/query/750x/results?maxRecords=5&locator=a%2Bb%2F"
        );
        assert_eq!(
            version.query("SELECT Id FROM A WHERE B > 'x y'"),
            "/services/data/v62.0/query?q=SELECT%20Id%20FROM%20A%20WHERE%20B%20%3E%20%27x%20y%27"
        );
        assert!(version.has_result_pages());
        assert!(!Version::parse("57.0").unwrap().has_result_pages());
        for bad in ["", "62", "sixty", "62.1", "46.0", "../62.0"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
