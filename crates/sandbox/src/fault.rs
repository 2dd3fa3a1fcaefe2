//! Fault plans as data: which request is hit, and by what.
//!
//! A plan is JSON: `{"rules": [{"match": {"path": "*/results", "nth": 2}, "do": {"kind": "cut_at",
//! "bytes": 1000}}], "random": {"seed": 7, "rate": 0.05}}`. Rules come first; a request that no rule hits
//! may draw a random fault. The same plan over the same requests always gives the same faults.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use overlock_core::{Error, ErrorKind, Result};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::message::Request;

/// What can go wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The connection is reset before the request is looked at.
    Reset,
    /// The request takes effect, then the connection is reset before the first byte of the answer.
    Lost,
    /// The connection is reset after so many bytes of the body.
    ResetAt {
        /// Bytes of the body that are sent first.
        bytes: u64,
    },
    /// The connection is closed early: the announced length is longer.
    CutAt {
        /// Bytes of the body that are sent first.
        bytes: u64,
    },
    /// The body ends early and the announced length agrees, so that HTTP cannot notice.
    TruncateAt {
        /// Bytes of the body that are left.
        bytes: u64,
    },
    /// One byte of the body is inverted.
    Garble {
        /// Which byte; counted from the end if negative.
        at: i64,
    },
    /// Compressed although nobody asked, and the last bytes are missing.
    GzipCut {
        /// How many bytes are missing at the end.
        missing: u64,
    },
    /// Compressed, with a wrong check sum.
    GzipBadCrc,
    /// Compressed, followed by a second gzip member with the same content.
    GzipSecondMember,
    /// Compressed, followed by bytes that are no gzip.
    GzipTrailing,
    /// Compressed, and inflating to so many zero bytes instead of the true body.
    GzipBomb {
        /// Bytes after inflating.
        bytes: u64,
    },
    /// Nothing more comes, and the connection stays open.
    Stall {
        /// Bytes of the body that are sent first; none at all, not even headers, if missing.
        #[serde(default)]
        bytes: Option<u64>,
    },
    /// The body comes in small pieces with a pause after each.
    Drip {
        /// Bytes per piece.
        bytes: u64,
        /// Pause in milliseconds.
        every_ms: u64,
    },
    /// The answer comes late.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Another answer; the request has no effect.
    Status {
        /// HTTP status.
        status: u16,
        /// Content type of the body.
        #[serde(default = "html")]
        content_type: String,
        /// The body.
        #[serde(default)]
        body: String,
        /// More header fields.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// The true answer with some header fields set to other values.
    SetHeader {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
    /// The true answer without a header field.
    RemoveHeader {
        /// Name.
        name: String,
    },
    /// The `Date` header is off by so many seconds.
    SkewDate {
        /// Seconds added; may be negative.
        seconds: i64,
    },
    /// A text in the body is replaced everywhere.
    Replace {
        /// Text that is looked for.
        find: String,
        /// What stands there instead.
        with: String,
    },
    /// The answer that was given last for the same path is given again.
    Repeat,
    /// Several faults on one request, in this order.
    All {
        /// The faults.
        faults: Vec<Fault>,
    },
}

fn html() -> String {
    "text/html; charset=utf-8".to_owned()
}

impl Fault {
    /// A status with an HTML page, as edge servers send it.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            content_type: html(),
            body: format!("<html><body><h1>{status}</h1><p>Please try again.</p></body></html>"),
            headers: Vec::new(),
        }
    }

    /// A status with a JSON body.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Status {
            status,
            content_type: "application/json;charset=UTF-8".to_owned(),
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// 429 with `Retry-After` as given; without the header if `None`.
    pub fn too_many_requests(retry_after: Option<&str>) -> Self {
        Self::Status {
            status: 429,
            content_type: html(),
            body: "<html><body><h1>429 Too Many Requests</h1></body></html>".to_owned(),
            headers: retry_after
                .map(|value| ("retry-after".to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
        }
    }

    /// A redirect to `location`.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Status {
            status,
            content_type: html(),
            body: String::new(),
            headers: vec![("location".to_owned(), location.to_owned())],
        }
    }

    /// 200 with the HTML of a login page instead of data.
    pub fn login_page() -> Self {
        Self::Status {
            status: 200,
            content_type: html(),
            body: "<!DOCTYPE html><html><head><title>Login</title></head><body><form action=\"/login\">\
                   <input name=\"username\"/></form></body></html>"
                .to_owned(),
            headers: Vec::new(),
        }
    }

    /// The kind as the plan spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Lost => "lost",
            Self::ResetAt { .. } => "reset_at",
            Self::CutAt { .. } => "cut_at",
            Self::TruncateAt { .. } => "truncate_at",
            Self::Garble { .. } => "garble",
            Self::GzipCut { .. } => "gzip_cut",
            Self::GzipBadCrc => "gzip_bad_crc",
            Self::GzipSecondMember => "gzip_second_member",
            Self::GzipTrailing => "gzip_trailing",
            Self::GzipBomb { .. } => "gzip_bomb",
            Self::Stall { .. } => "stall",
            Self::Drip { .. } => "drip",
            Self::Delay { .. } => "delay",
            Self::Status { .. } => "status",
            Self::SetHeader { .. } => "set_header",
            Self::RemoveHeader { .. } => "remove_header",
            Self::SkewDate { .. } => "skew_date",
            Self::Replace { .. } => "replace",
            Self::Repeat => "repeat",
            Self::All { .. } => "all",
        }
    }

    /// Transient faults that a client with a few quick retries must survive without losing a row.
    pub fn transient() -> Vec<Self> {
        vec![
            Self::Reset,
            Self::Lost,
            Self::CutAt { bytes: 0 },
            Self::CutAt { bytes: 700 },
            Self::ResetAt { bytes: 300 },
            Self::GzipCut { missing: 9 },
            Self::GzipBadCrc,
            Self::status(500),
            Self::status(502),
            Self::status(503),
            Self::too_many_requests(Some("0")),
            Self::Delay { ms: 5 },
        ]
    }
}

/// Which requests a rule hits. Everything that is given must agree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Method.
    pub method: Option<String>,
    /// Path; `*` stands for any characters.
    pub path: Option<String>,
    /// Decoded query; `*` stands for any characters.
    pub query: Option<String>,
    /// Body as text; `*` stands for any characters.
    pub body: Option<String>,
    /// Position among all requests of the server, from 0.
    pub index: Option<u64>,
    /// The first request that is hit among those that agree with the rest, from 1.
    pub nth: Option<u64>,
    /// How many requests are hit, counted from `nth`; all if missing, or one if `nth` is given.
    pub times: Option<u64>,
}

impl Match {
    /// Every request to a path.
    pub fn path(pattern: &str) -> Self {
        Self {
            path: Some(pattern.to_owned()),
            ..Self::default()
        }
    }

    /// Only the `nth` request that agrees, from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = Some(nth);
        self
    }

    /// Only so many requests.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    fn agrees(&self, request: &Request) -> bool {
        let fits = |pattern: &Option<String>, text: &dyn Fn() -> String| {
            pattern
                .as_deref()
                .is_none_or(|pattern| glob(pattern, &text()))
        };
        self.method
            .as_deref()
            .is_none_or(|method| request.method.as_str().eq_ignore_ascii_case(method))
            && self.index.is_none_or(|index| index == request.index)
            && fits(&self.path, &|| request.path.clone())
            && fits(&self.query, &|| {
                percent_encoding::percent_decode_str(&request.query.replace('+', " "))
                    .decode_utf8_lossy()
                    .into_owned()
            })
            && fits(&self.body, &|| {
                String::from_utf8_lossy(&request.body).into_owned()
            })
    }

    fn counts(&self, seen: u64) -> bool {
        let first = self.nth.unwrap_or(1).max(1);
        let times = self.times.or(self.nth.map(|_| 1));
        seen >= first && times.is_none_or(|times| seen - first < times)
    }
}

/// A rule: what to match and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// What happens to them.
    #[serde(rename = "do")]
    pub fault: Fault,
}

/// Random faults from a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// The seed.
    pub seed: u64,
    /// Share of requests that are hit, 0 to 1.
    pub rate: f64,
    /// What they draw from.
    #[serde(default = "Fault::transient")]
    pub faults: Vec<Fault>,
    /// Only requests to these paths; all if empty.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Most faults in a row on one path, so that a client with few retries gets through.
    #[serde(default = "in_a_row")]
    pub in_a_row: u64,
}

fn in_a_row() -> u64 {
    2
}

impl Random {
    /// Transient faults at a rate.
    pub fn new(seed: u64, rate: f64) -> Self {
        Self {
            seed,
            rate,
            faults: Fault::transient(),
            paths: Vec::new(),
            in_a_row: in_a_row(),
        }
    }
}

/// A whole fault plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Rules; the first that hits decides.
    pub rules: Vec<Rule>,
    /// Random faults for requests that no rule hits.
    pub random: Option<Random>,
}

/// Handle to the faults of a server. Cheap to clone; all clones act on the same server.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    rules: Vec<(Rule, u64)>,
    random: Option<Random>,
    row: HashMap<String, u64>,
    fired: u64,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&self, matches: Match, fault: Fault) {
        self.inner().rules.push((Rule { matches, fault }, 0));
    }

    /// Replaces the random faults.
    pub fn set_random(&self, random: Option<Random>) {
        self.inner().random = random;
    }

    /// Replaces everything by a plan; counting starts anew.
    pub fn load(&self, plan: Plan) {
        let mut inner = self.inner();
        inner.rules = plan.rules.into_iter().map(|rule| (rule, 0)).collect();
        inner.random = plan.random;
        inner.row.clear();
    }

    /// Replaces everything by a plan in JSON.
    ///
    /// # Errors
    /// `Config` if the text is no plan.
    pub fn load_json(&self, text: &str) -> Result<()> {
        let plan = serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Config, "read the fault plan")
                .source(error)
                .hint("a plan looks like {\"rules\": [{\"match\": {\"path\": \"*\"}, \"do\": {\"kind\": \"reset\"}}]}")
        })?;
        self.load(plan);
        Ok(())
    }

    /// Removes all rules and random faults.
    pub fn clear(&self) {
        self.load(Plan::default());
    }

    /// How many requests were hit since the start.
    pub fn fired(&self) -> u64 {
        self.inner().fired
    }

    /// Whether some rule may ask for an earlier answer again.
    pub(crate) fn may_repeat(&self) -> bool {
        let inner = self.inner();
        let random = inner.random.iter().flat_map(|random| &random.faults);
        inner
            .rules
            .iter()
            .map(|(rule, _)| &rule.fault)
            .chain(random)
            .any(|fault| match fault {
                Fault::Repeat => true,
                Fault::All { faults } => faults.contains(&Fault::Repeat),
                _ => false,
            })
    }

    /// The faults that hit this request, flattened.
    pub(crate) fn draw(&self, request: &Request) -> Vec<Fault> {
        let mut inner = self.inner();
        let mut hit = None;
        for (rule, seen) in &mut inner.rules {
            if rule.matches.agrees(request) {
                *seen += 1;
                if hit.is_none() && rule.matches.counts(*seen) {
                    hit = Some(rule.fault.clone());
                }
            }
        }
        let hit = hit.or_else(|| inner.draw_random(request));
        if hit.is_some() {
            inner.fired += 1;
        }
        match hit {
            Some(Fault::All { faults }) => faults,
            other => other.into_iter().collect(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn draw_random(&mut self, request: &Request) -> Option<Fault> {
        let random = self.random.as_ref()?;
        let paths = &random.paths;
        if !paths.is_empty() && !paths.iter().any(|pattern| glob(pattern, &request.path)) {
            return None;
        }
        let mut generator =
            StdRng::seed_from_u64(random.seed ^ request.index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let row = self.row.entry(request.path.clone()).or_default();
        if *row >= random.in_a_row || !generator.random_bool(random.rate.clamp(0.0, 1.0)) {
            *row = 0;
            return None;
        }
        *row += 1;
        random.faults.choose(&mut generator).cloned()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("Faults")
            .field("rules", &inner.rules.len())
            .field("fired", &inner.fired)
            .finish_non_exhaustive()
    }
}

/// Whether `text` fits `pattern`, where `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use overlock_core::Timestamp;

    use super::*;

    fn request(index: u64, path: &str) -> Request {
        Request {
            index,
            at: Timestamp::EPOCH,
            method: Method::GET,
            path: path.to_owned(),
            query: "q=SELECT+Id%20FROM+Account".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{\"state\":\"Aborted\"}"),
            head_bytes: 0,
        }
    }

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("*/results", "/jobs/1/results", true),
            ("/jobs/*/results*", "/jobs/1/resultPages", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn nth_and_times_count_only_requests_that_agree() {
        let faults = Faults::default();
        faults.add(Match::path("*/results").nth(2).times(2), Fault::Reset);
        let hits: Vec<bool> = ["/results", "/x", "/results", "/results", "/results"]
            .iter()
            .zip(0..)
            .map(|(path, index)| {
                !faults
                    .draw(&request(index, &format!("/jobs{path}")))
                    .is_empty()
            })
            .collect();
        assert_eq!(hits, [false, false, true, true, false]);
        assert_eq!(faults.fired(), 2);
    }

    #[test]
    fn query_and_body_are_matched_decoded() {
        let faults = Faults::default();
        let rule = Match {
            query: Some("*SELECT Id FROM*".to_owned()),
            body: Some("*Aborted*".to_owned()),
            ..Match::default()
        };
        faults.add(rule, Fault::GzipBadCrc);
        assert_eq!(faults.draw(&request(0, "/query")), [Fault::GzipBadCrc]);
    }

    #[test]
    fn the_same_seed_draws_the_same_faults_at_about_the_rate() {
        let draws = |seed| {
            let faults = Faults::default();
            faults.set_random(Some(Random::new(seed, 0.3)));
            (0..1_000)
                .map(|index| faults.draw(&request(index, &format!("/{}", index % 97))))
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let hits = draws(3).iter().filter(|faults| !faults.is_empty()).count();
        assert!((200..400).contains(&hits), "{hits} of 1000");
    }

    #[test]
    fn random_faults_leave_a_path_alone_after_some_in_a_row() {
        let faults = Faults::default();
        faults.set_random(Some(Random::new(5, 1.0)));
        let hits: Vec<bool> = (0..6)
            .map(|index| !faults.draw(&request(index, "/a")).is_empty())
            .collect();
        assert_eq!(hits, [true, true, false, true, true, false]);
    }

    #[test]
    fn a_plan_reads_from_json_and_back() {
        let text = r#"{"rules":[{"match":{"path":"*/results","nth":2},"do":{"kind":"cut_at","bytes":1000}},
            {"match":{"method":"POST"},"do":{"kind":"status","status":503}},
            {"match":{},"do":{"kind":"all","faults":[{"kind":"stall"},{"kind":"drip","bytes":1,"every_ms":5}]}}],
            "random":{"seed":7,"rate":0.05}}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.rules.len(), 3);
        assert_eq!(plan.random.as_ref().unwrap().in_a_row, 2);
        let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(again, plan);
        let error = Faults::default().load_json("{\"rule\":[]}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
