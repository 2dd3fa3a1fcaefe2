//! Result files: `GET /v1/file/{id}` and `GET /v1/files/{id}`.
//!
//! Their length is never announced, so that a download that ends early looks like a whole one.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use overlock_core::Timestamp;
use overlock_sandbox::{Body, Response};

use super::bench::Selection;
use super::call::{json_answer, refusal};
use super::csv::Format;
use super::options::Behaviour;

/// Files of the legacy export are kept for a week.
const EXPORT_DAYS: u64 = 7;

/// What a file holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Bytes(Bytes),
    /// Made-up rows, written while they are sent.
    Bench(Selection),
}

impl Content {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Bench(selection) => selection.length(),
        }
    }
}

#[derive(Debug, Clone)]
struct File {
    content: Content,
    format: Format,
    made: Timestamp,
    /// Of the legacy export.
    export: bool,
}

impl File {
    fn is_gone(&self, now: Timestamp, behaviour: &Behaviour) -> bool {
        let days = if self.export {
            EXPORT_DAYS
        } else {
            behaviour.file_days
        };
        behaviour.purge_files || now.since(self.made).as_secs() >= days.saturating_mul(86_400)
    }
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, File>);

impl Files {
    /// Keeps a file under an id, and forgets those that are past their time.
    pub(super) fn keep(
        &mut self,
        id: String,
        content: Content,
        format: Format,
        made: Timestamp,
        export: bool,
    ) {
        self.0
            .retain(|_, file| made.since(file.made).as_secs() < EXPORT_DAYS * 86_400);
        let file = File {
            content,
            format,
            made,
            export,
        };
        self.0.insert(id, file);
    }

    /// Length of a file in bytes.
    pub(super) fn length(&self, id: &str) -> u64 {
        self.0.get(id).map_or(0, |file| file.content.length())
    }

    /// Answers a download.
    pub(super) fn answer(&self, id: &str, now: Timestamp, behaviour: &mut Behaviour) -> Response {
        if behaviour.forbid_files {
            let message = "The user lacks the permission \"Enable DataSource Exports Reporting\".";
            return refusal(403, 50_000_010, message);
        }
        let known = self.0.get(id);
        let Some(file) = known.filter(|file| !file.is_gone(now, behaviour)) else {
            return refusal(
                404,
                50_000_040,
                "Cannot find entity by key: the file does not exist.",
            );
        };
        let length = file.content.length();
        if length > behaviour.max_file_bytes {
            return Response::of(
                403,
                "text/xml;charset=UTF-8",
                "<security:max-object-size>2047MB</security:max-object-size>",
            );
        }
        let mut response = Response::new(200);
        let content_type = HeaderValue::from_static(file.format.content_type());
        response.headers.insert(CONTENT_TYPE, content_type);
        response.compressible = file.format == Format::Csv;
        let cut = behaviour.cut_files.as_mut().filter(|cut| cut.files > 0);
        response.body = match (&file.content, cut) {
            (Content::Bytes(bytes), None) => Body::open(bytes.clone()),
            (Content::Bytes(bytes), Some(cut)) => {
                cut.files -= 1;
                let mut end = usize::try_from(cut.bytes)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                if cut.at_line_end {
                    let before = bytes.get(..end).unwrap_or_default();
                    end = before
                        .iter()
                        .rposition(|byte| *byte == b'\n')
                        .map_or(0, |at| at + 1);
                }
                Body::open(bytes.slice(..end))
            }
            (Content::Bench(selection), _) => {
                response.compressible = false;
                selection.body(file.format)
            }
        };
        response
    }
}

/// A page of HTML, as a proxy shows it.
pub(super) fn html() -> Response {
    Response::of(
        200,
        "text/html;charset=UTF-8",
        "<html><head><title>Maintenance</title></head><body>Please try again later.</body></html>",
    )
}

/// An error under the status of a success.
pub(super) fn error_200() -> Response {
    json_answer(
        200,
        &serde_json::json!({
            "success": false,
            "processId": "9E2F40B1C7D85A63",
            "reasons": [{"code": "SystemError", "message": "internal server error"}],
        }),
    )
}
