//! Many tickets for measurements, served by the export by cursor with as little work as can be.
//!
//! Two thousand different tickets are rendered once; more repeat them with other ids and times, written
//! over in a copy that is made block by block while it is sent. So a million tickets need no more memory
//! than a thousand, and client and emulator can share two cores.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use overlock_sandbox::company::Dice;
use overlock_sandbox::{Body, Response};

use super::answer::JSON;
use super::record::{Sec, iso, quote};
use super::thread::ACCOUNT;

/// Different tickets; more repeat them.
const TEMPLATE_ROWS: u64 = 2_000;

/// Bytes per block of a page: what goes to the socket at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// The first id; all have as many digits.
const FIRST_ID: u64 = 10_000_000_000_000;

/// Tickets that share a second.
const PER_SECOND: u64 = 10;

const CUSTOM_FIELDS: u64 = 30;

/// The tickets.
pub(super) struct Bench {
    rows: u64,
    /// The second of the first ticket.
    begin: Sec,
    /// Without and with metrics.
    templates: [OnceLock<Arc<Template>>; 2],
}

/// Tickets as text, each with a comma behind it.
struct Template {
    text: Vec<u8>,
    /// Where each begins, and the end of the last.
    starts: Vec<usize>,
    /// Where its numbers stand: from the beginning of the text.
    marks: Vec<Vec<(usize, Mark)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Fourteen digits.
    Id,
    /// Ten digits.
    Stamp,
}

/// What a page is asked for with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) base: &'a str,
    pub(super) path: &'a str,
    pub(super) start_time: Option<Sec>,
    pub(super) cursor: Option<&'a str>,
    pub(super) per_page: u64,
    pub(super) metrics: bool,
}

impl Bench {
    /// `rows` tickets, the newest an hour old at `now`.
    pub(super) fn new(rows: u64, now: Sec) -> Self {
        let span = Sec::try_from(rows / PER_SECOND).unwrap_or(0);
        Self {
            rows,
            begin: now - 3_600 - span,
            templates: [OnceLock::new(), OnceLock::new()],
        }
    }

    /// One page; `None` if the cursor is none of ours.
    pub(super) fn page(&self, ask: Ask<'_>) -> Option<Response> {
        let start = ask.start_time.unwrap_or(0).max(self.begin) - self.begin;
        let start = u64::try_from(start).unwrap_or(0).saturating_mul(PER_SECOND);
        let from = ask.cursor.map_or(Some(start), position)?;
        let from = from.min(self.rows);
        let end = from.saturating_add(ask.per_page).min(self.rows);
        let cursor = match end.checked_sub(1) {
            Some(last) => STANDARD.encode(format!(
                "{}.0||{}|",
                stamp(self.begin, last),
                FIRST_ID + last
            )),
            None => return Some(Response::of(200, JSON, EMPTY)),
        };
        let include = if ask.metrics {
            "&include=metric_sets"
        } else {
            ""
        };
        let (base, path) = (ask.base, ask.path);
        let url = format!(
            "{base}{path}?per_page={}{include}&cursor={}",
            ask.per_page,
            cursor
                .replace('=', "%3D")
                .replace('+', "%2B")
                .replace('/', "%2F")
        );
        let tail = format!(
            "],\"after_url\":{},\"before_url\":null,\"after_cursor\":{},\"before_cursor\":null,\"end_of_stream\":{}}}",
            quote(&url),
            quote(&cursor),
            end == self.rows
        );
        let [plain, full] = &self.templates;
        let template = if ask.metrics { full } else { plain };
        let template = template.get_or_init(|| Arc::new(Template::render(ask.metrics)));
        let head = Bytes::from_static(b"{\"tickets\":[");
        let tail = Bytes::from(tail);
        let length = template.length(from, end) + head.len() + tail.len();
        let chunks = Blocks {
            template: template.clone(),
            begin: self.begin,
            row: from,
            end,
        };
        let mut response = Response::of(200, JSON, Bytes::new());
        response.compressible = false;
        response.body = Body::Chunks {
            length: length as u64,
            chunks: Box::new(
                std::iter::once(head)
                    .chain(chunks)
                    .chain(std::iter::once(tail)),
            ),
        };
        Some(response)
    }
}

/// The blocks of a page.
struct Blocks {
    template: Arc<Template>,
    begin: Sec,
    row: u64,
    end: u64,
}

impl Iterator for Blocks {
    type Item = Bytes;

    /// Tickets as many as make a block, with their numbers.
    fn next(&mut self) -> Option<Bytes> {
        if self.row >= self.end {
            return None;
        }
        let template = &self.template;
        let first = usize::try_from(self.row % TEMPLATE_ROWS).unwrap_or(0);
        let most = usize::try_from(self.end - self.row).unwrap_or(usize::MAX);
        let begin = template.starts.get(first).copied().unwrap_or(0);
        let stops = template.starts.iter().skip(first + 1).take(most);
        let count = stops
            .take_while(|stop| **stop - begin <= BLOCK_BYTES)
            .count()
            .max(1);
        let stop = template.starts.get(first + count).copied().unwrap_or(begin);
        let mut block = template.text.get(begin..stop).unwrap_or_default().to_vec();
        let marks = template.marks.iter().skip(first).take(count);
        for (row, marks) in (self.row..).zip(marks) {
            let (id, stamp) = (FIRST_ID + row, stamp(self.begin, row).unsigned_abs());
            for (at, mark) in marks {
                let at = at - begin;
                let (width, number) = match mark {
                    Mark::Id => (14, id),
                    Mark::Stamp => (10, stamp),
                };
                if let Some(digits) = block.get_mut(at..at + width) {
                    write_digits(digits, number);
                }
            }
        }
        self.row += count as u64;
        if self.row >= self.end {
            // The comma behind the last ticket.
            block.pop();
        }
        Some(block.into())
    }
}

/// The second of a ticket.
fn stamp(begin: Sec, row: u64) -> Sec {
    begin + Sec::try_from(row / PER_SECOND).unwrap_or(0)
}

const EMPTY: &str = "{\"tickets\":[],\"after_url\":null,\"before_url\":null,\"after_cursor\":null,\
    \"before_cursor\":null,\"end_of_stream\":true}";

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bench({} tickets)", self.rows)
    }
}

/// The row behind the one that a cursor names.
fn position(cursor: &str) -> Option<u64> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (_, id) = text.trim_end_matches('|').split_once("||")?;
    Some(id.parse::<u64>().ok()?.checked_sub(FIRST_ID)? + 1)
}

/// Writes a number over digits, all of them.
fn write_digits(digits: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

impl Template {
    /// Bytes of some tickets with commas between them.
    fn length(&self, from: u64, end: u64) -> usize {
        let whole = self.starts.last().copied().unwrap_or(0);
        let up_to = |row: u64| {
            let within = usize::try_from(row % TEMPLATE_ROWS).unwrap_or(0);
            let rounds = usize::try_from(row / TEMPLATE_ROWS).unwrap_or(0);
            rounds * whole + self.starts.get(within).copied().unwrap_or(0)
        };
        (up_to(end) - up_to(from)).saturating_sub(1)
    }

    fn render(metrics: bool) -> Self {
        let mut template = Self {
            text: Vec::new(),
            starts: vec![0],
            marks: Vec::new(),
        };
        for row in 0..TEMPLATE_ROWS {
            let begin = template.text.len();
            let text = ticket(row, metrics);
            let mut marks = Vec::new();
            for (name, mark) in [
                ("/tickets/", Mark::Id),
                ("\"id\":", Mark::Id),
                ("\"generated_timestamp\":", Mark::Stamp),
                ("\"metric_set\":{\"id\":", Mark::Id),
                ("\"ticket_id\":", Mark::Id),
            ] {
                marks.extend(text.find(name).map(|at| (begin + at + name.len(), mark)));
            }
            template.marks.push(marks);
            template.text.extend_from_slice(text.as_bytes());
            template.starts.push(template.text.len());
        }
        template
    }
}

/// One ticket of the template with a comma behind it: three kilobytes.
fn ticket(row: u64, metrics: bool) -> String {
    const WORDS: &[&str] = &[
        "order",
        "invoice",
        "login",
        "update",
        "printer",
        "contract",
        "delivery",
        "refund",
        "sensor",
        "export",
        "please",
        "customer",
        "account",
        "since",
        "yesterday",
        "größer",
        "cannot",
        "email",
        "report",
        "error",
    ];
    let mut dice = Dice::numbered(7, "bench", row);
    let words = |dice: &mut Dice, count: u64| {
        let all: Vec<&str> = (0..count).map(|_| dice.word(WORDS)).collect();
        all.join(" ")
    };
    let subject = words(&mut dice, 4);
    let description = words(&mut dice, 14);
    let custom: Vec<String> = (0..CUSTOM_FIELDS)
        .map(|field| {
            let value = match field % 7 {
                0 | 5 => "null".to_owned(),
                1 => dice.chance(1, 2).to_string(),
                2 => quote(dice.word(WORDS)),
                3 => dice.below(90_000).to_string(),
                4 => quote(&format!(
                    "2026-{:02}-{:02}",
                    1 + dice.below(12),
                    1 + dice.below(28)
                )),
                _ => format!("[{}]", quote(dice.word(WORDS))),
            };
            format!(
                "{{\"id\":{},\"value\":{value}}}",
                28_000_000_000_100 + field * 37
            )
        })
        .collect();
    let custom = custom.join(",");
    let created = iso(1_700_000_000 + Sec::try_from(dice.below(60_000_000)).unwrap_or(0));
    let updated = iso(1_770_000_000 + Sec::try_from(dice.below(900_000)).unwrap_or(0));
    let person = 28_300_000_000_000 + dice.below(50_000) * 37;
    let agent = 28_300_000_000_000 + dice.below(40) * 37;
    let group = 28_100_000_000_000 + dice.below(9) * 37;
    let metric_set = if metrics {
        format!(
            ",\"metric_set\":{{\"id\":{FIRST_ID},\"url\":\"{ACCOUNT}/api/v2/ticket_metrics/1.json\",\
             \"ticket_id\":{FIRST_ID},\"created_at\":\"{created}\",\"updated_at\":\"{updated}\",\"group_stations\":1,\
             \"assignee_stations\":1,\"reopens\":0,\"replies\":{},\"assignee_updated_at\":\"{updated}\",\
             \"requester_updated_at\":\"{created}\",\"status_updated_at\":\"{updated}\",\"initially_assigned_at\":\
             \"{created}\",\"assigned_at\":\"{created}\",\"solved_at\":null,\"latest_comment_added_at\":\"{updated}\",\
             \"custom_status_updated_at\":\"{updated}\",\"reply_time_in_minutes\":{{\"calendar\":{},\"business\":null}},\
             \"first_resolution_time_in_minutes\":{{\"calendar\":null,\"business\":null}},\
             \"full_resolution_time_in_minutes\":{{\"calendar\":null,\"business\":null}},\
             \"agent_wait_time_in_minutes\":{{\"calendar\":0,\"business\":0}},\
             \"requester_wait_time_in_minutes\":{{\"calendar\":9,\"business\":3}},\
             \"on_hold_time_in_minutes\":{{\"calendar\":0,\"business\":0}},\
             \"reply_time_in_seconds\":{{\"calendar\":null}}}}",
            dice.below(9),
            dice.below(9_000),
        )
    } else {
        String::new()
    };
    format!(
        "{{\"url\":\"{ACCOUNT}/api/v2/tickets/{FIRST_ID}.json\",\"id\":{FIRST_ID},\"external_id\":null,\
         \"encoded_id\":\"{:06X}-{:04X}\",\"via\":{{\"channel\":\"{}\",\"source\":{{\"from\":{{\"address\":\
         \"person{}@mail.example\",\"name\":\"{}\"}},\"to\":{{\"name\":\"Acme\",\"address\":\"support@acme.example\"}},\
         \"rel\":null}}}},\"created_at\":\"{created}\",\"updated_at\":\"{updated}\",\"generated_timestamp\":1770000000,\
         \"type\":\"{}\",\"subject\":{subject},\"raw_subject\":{subject},\"description\":{description},\
         \"priority\":\"{}\",\"status\":\"{}\",\"recipient\":null,\"requester_id\":{person},\"submitter_id\":{person},\
         \"assignee_id\":{agent},\"organization_id\":{},\"group_id\":{group},\"collaborator_ids\":[{agent}],\
         \"follower_ids\":[],\"email_cc_ids\":[],\"forum_topic_id\":null,\"problem_id\":null,\"has_incidents\":false,\
         \"is_public\":true,\"due_at\":null,\"tags\":[\"{}\",\"{}\"],\"custom_fields\":[{custom}],\
         \"satisfaction_rating\":{{\"score\":\"unoffered\"}},\"sharing_agreement_ids\":[],\"custom_status_id\":{},\
         \"fields\":[{custom}],\"followup_ids\":[],\"ticket_form_id\":28400000000111,\"brand_id\":28500000000111,\
         \"allow_channelback\":false,\"allow_attachments\":true,\"from_messaging_channel\":false,\
         \"support_type\":\"agent\"{metric_set}}},",
        dice.below(1 << 24),
        dice.below(1 << 16),
        dice.word(&["web", "email", "api"]),
        dice.below(90_000),
        words(&mut dice, 2),
        dice.word(&["question", "incident", "problem", "task"]),
        dice.word(&["low", "normal", "high", "urgent"]),
        dice.word(&["new", "open", "pending", "hold", "solved", "closed"]),
        28_200_000_000_000 + dice.below(900) * 37,
        dice.word(WORDS),
        dice.word(WORDS),
        28_600_000_000_000 + dice.below(5) * 37,
        subject = quote(&subject),
        description = quote(&description),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(bench: &Bench, cursor: Option<&str>, per_page: u64, metrics: bool) -> Value {
        let ask = Ask {
            base: "http://127.0.0.1:1",
            path: "/api/v2/incremental/tickets/cursor",
            start_time: Some(0),
            cursor,
            per_page,
            metrics,
        };
        let body = bench.page(ask).unwrap().body.into_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn every_ticket_comes_once_in_order_and_the_end_is_told() {
        let bench = Bench::new(5_003, 1_780_000_000);
        let mut next = FIRST_ID;
        let mut cursor: Option<String> = None;
        let mut stamp = 0;
        loop {
            let page = read(&bench, cursor.as_deref(), 700, true);
            for ticket in page["tickets"].as_array().unwrap() {
                assert_eq!(ticket["id"], next);
                assert_eq!(ticket["metric_set"]["ticket_id"], next);
                assert!(
                    ticket["url"]
                        .as_str()
                        .unwrap()
                        .ends_with(&format!("/{next}.json"))
                );
                assert_eq!(ticket["fields"], ticket["custom_fields"]);
                assert!(ticket["generated_timestamp"].as_i64().unwrap() >= stamp);
                stamp = ticket["generated_timestamp"].as_i64().unwrap();
                next += 1;
            }
            cursor = page["after_cursor"].as_str().map(str::to_owned);
            if page["end_of_stream"] == true {
                break;
            }
        }
        assert_eq!(next, FIRST_ID + 5_003);
        let behind = read(&bench, cursor.as_deref(), 700, false);
        assert_eq!(
            (
                behind["tickets"].as_array().unwrap().len(),
                &behind["end_of_stream"]
            ),
            (0, &Value::Bool(true))
        );
        let plain = read(&bench, None, 1_000, false);
        assert!(plain["tickets"][0].get("metric_set").is_none());
        let bytes = plain.to_string().len() / 1_000;
        assert!((2_700..3_700).contains(&bytes), "{bytes}");
    }
}
