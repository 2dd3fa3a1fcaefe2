//! Files of results: their text, the signed links that lead to them, and the store that serves them.

use std::io::Write;
use std::sync::atomic::Ordering;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header;
use overlock_core::Timestamp;
use overlock_sandbox::Response;
use overlock_sandbox::company::Dice;

use super::call::Call;
use super::cell::json_text;
use super::data_habits::DataHabits;
use super::data_job::{End, Format, Job};
use super::data_query::DataQueries;
use super::sql::Outcome;

/// A link to a job's file, good from `now` on.
pub(super) fn link(job: &Job, now: Timestamp, base: &str, habits: &DataHabits) -> String {
    let issued = now.seconds();
    format!(
        "{base}/data-files/{}?X-Amz-Date={issued}&X-Amz-Expires={}&X-Amz-Signature={}",
        job.id,
        habits.file_secs,
        signature(job.secret, issued),
    )
}

impl DataQueries {
    /// `GET /data-files/{id}`: a file behind its signed link, as a store of objects answers it.
    pub(super) fn file(&self, call: &Call<'_>, habits: &DataHabits) -> Response {
        if call.headers.contains_key(header::AUTHORIZATION) {
            return store_refusal(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified",
            );
        }
        let id = call.path.strip_prefix("/data-files/").unwrap_or_default();
        let job = self.jobs.iter().find(|job| job.id == id);
        let issued = call
            .parameter("X-Amz-Date")
            .and_then(|issued| issued.parse::<i64>().ok());
        let given = call.parameter("X-Amz-Signature");
        let signed = job.zip(issued).filter(|(job, issued)| {
            given.is_some_and(|given| given == signature(job.secret, *issued))
        });
        let Some((job, issued)) = signed else {
            return store_refusal(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            );
        };
        if call.now.seconds() - issued > i64::from(habits.file_secs) {
            return store_refusal(403, "AccessDenied", "Request has expired");
        }
        let End::Completed { file, .. } = &job.end else {
            return store_refusal(404, "NoSuchKey", "The specified key does not exist.");
        };
        let cut = self
            .cut
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |cut| {
                (cut < habits.cut_files).then_some(cut + 1)
            });
        let end = if cut.is_ok() {
            file.len() / 2
        } else {
            file.len()
        };
        let mut answer = Response::of(200, "application/octet-stream", file.slice(..end));
        // A store sends what it holds; nobody compresses it on the way.
        answer.compressible = false;
        answer
    }
}

fn store_refusal(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Response::of(status, "application/xml", body)
}

/// What a link carries that was signed at an instant.
fn signature(secret: u64, issued: i64) -> String {
    let mut dice = Dice::new(secret, &["signed link", &issued.to_string()]);
    let parts: [String; 4] = std::array::from_fn(|_| format!("{:016x}", dice.next()));
    parts.concat()
}

/// The text of a result file. One without rows has no bytes, whatever its format.
pub(super) fn written(outcome: &Outcome, format: Format) -> Vec<u8> {
    let mut text = String::new();
    let Format::Separated(separator) = format else {
        for row in &outcome.rows {
            // A name that is selected twice is written once, with the last value.
            let mut pairs: Vec<(&str, String)> = Vec::with_capacity(row.len());
            for (name, value) in outcome.columns.iter().zip(row) {
                match pairs.iter_mut().find(|pair| pair.0 == name) {
                    Some(pair) => pair.1 = value.json(),
                    None => pairs.push((name, value.json())),
                }
            }
            let pair = |pair: &(&str, String)| format!("{}:{}", json_text(pair.0), pair.1);
            let pairs: Vec<String> = pairs.iter().map(pair).collect();
            text.push('{');
            text.push_str(&pairs.join(","));
            text.push_str("}\n");
        }
        return text.into_bytes();
    };
    if outcome.rows.is_empty() {
        return Vec::new();
    }
    text.push_str(&outcome.columns.join(&separator.to_string()));
    text.push('\n');
    for row in &outcome.rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.separated(separator)).collect();
        text.push_str(&cells.join(&separator.to_string()));
        text.push('\n');
    }
    text.into_bytes()
}

pub(super) fn zipped(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::json;

    use super::super::query_bench::{Bench, Request, get, read, submission, time};
    use super::*;

    #[test]
    fn files_come_in_the_format_asked_for() {
        let query = "SELECT id, name FROM account WHERE id < 'a3' ORDER BY id";
        let cases = [
            (
                json!({"outputFormat": "CSV"}),
                "id,name\na1,Acme\na2,\"It's \"\"Beta\"\", Inc\"\n",
            ),
            (
                json!({"outputFormat": "TSV"}),
                "id\tname\na1\tAcme\na2\t\"It's \"\"Beta\"\", Inc\"\n",
            ),
            (
                json!({"outputFormat": "DSV", "columnSeparator": "|"}),
                "id|name\na1|Acme\na2|\"It's \"\"Beta\"\", Inc\"\n",
            ),
            (
                json!({"query": "SELECT id FROM account WHERE id = ''", "outputFormat": "CSV"}),
                "",
            ),
            (
                json!({"query": "SELECT name, id AS name FROM account WHERE id = 'a1'"}),
                "{\"name\":\"a1\"}\n",
            ),
        ];
        for (more, expected) in cases {
            let mut bench = Bench::new(DataHabits::default());
            let (_, answer) = bench.send(&submission(query, &more));
            let job = bench.ended(answer["data"]["id"].as_str().unwrap());
            assert_eq!(read(bench.download(&job)).1, expected, "{more}");
        }
        let mut bench = Bench::new(DataHabits::default());
        let (_, answer) = bench.send(&submission("SHOW TABLES", &json!({"compression": "GZIP"})));
        let job = bench.ended(answer["data"]["id"].as_str().unwrap());
        let answer = bench.download(&job);
        assert!(!answer.compressible);
        let mut text = String::new();
        GzDecoder::new(&*answer.body.into_bytes())
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.contains("{\"Table\":\"account\"}\n"), "{text}");
    }

    #[test]
    fn a_signed_link_wants_its_signature_and_nothing_else() {
        let mut bench = Bench::new(DataHabits::default());
        let job = bench.run("SELECT id FROM account");
        let url = job["dataFile"].as_str().unwrap();
        let good = get(url.strip_prefix("http://127.0.0.1:1").unwrap());
        let status =
            |request: &Request| read(request.answer(|call| bench.jobs.file(call, &bench.habits))).0;
        assert_eq!(status(&good), 200);
        let mut with_token = good.clone();
        with_token.headers.push(("authorization", "Bearer t"));
        assert_eq!(status(&with_token), 400);
        let mut forged = good.clone();
        forged.path.pop();
        assert_eq!(status(&forged), 403);
        let mut postponed = good.clone();
        postponed.path = good.path.replace("X-Amz-Date=1", "X-Amz-Date=2");
        assert_eq!(status(&postponed), 403);
        let mut late = good.clone();
        late.now = time("2024-11-20T01:00:01Z");
        assert_eq!(status(&late), 403);
        assert_eq!(status(&get("/data-files/none")), 403);
    }
}
