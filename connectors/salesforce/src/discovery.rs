//! Describing objects in few calls, and remembering what was learnt about them.
//!
//! Twenty-five describes travel in one composite call, which counts as one. Answers are kept in the work
//! folder and revalidated with `If-Modified-Since`. What errors taught about an object (not by Bulk, not
//! at all) is kept beside them, and so is the schema of the last read, for telling drift.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use overlock_core::{Error, ErrorKind, Result, StreamName, Timestamp};
use overlock_kit::files;
use overlock_kit::http::Request;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::Client;
use crate::describe::{self, Global, Object};
use crate::errors::{self, Meaning};
use crate::{api, limits};

/// Composite calls in flight.
const PARALLEL: usize = 4;

/// Objects of an org as this user sees them.
#[derive(Debug)]
pub(crate) struct Discovery {
    client: Client,
    folder: PathBuf,
    known: Mutex<HashMap<String, Arc<Object>>>,
    verdicts: Mutex<Verdicts>,
}

/// A describe on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Cached {
    api: String,
    /// When it was fetched whole, by the server's clock.
    fetched: Timestamp,
    object: Object,
}

impl Cached {
    fn is_trusted(&self, now: Timestamp) -> bool {
        now >= self.fetched && now.since(self.fetched) < limits::DESCRIBE_TRUST
    }
}

/// What errors taught about objects.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Verdicts {
    #[serde(default)]
    objects: HashMap<String, Verdict>,
}

/// What an error taught about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Version of the API that it holds for.
    pub(crate) api: String,
    /// Bulk refuses it, REST does not.
    pub(crate) rest_only: bool,
    /// When, by the local clock.
    pub(crate) at: Timestamp,
    /// The server's reason.
    pub(crate) reason: String,
}

impl Discovery {
    /// Keeps its files in `folder`, which belongs to one org and user.
    pub(crate) fn new(client: Client, folder: PathBuf) -> Self {
        let verdicts = files::read(&folder.join("verdicts.json")).unwrap_or_default();
        Self {
            client,
            folder,
            known: Mutex::default(),
            verdicts: Mutex::new(verdicts),
        }
    }

    /// All objects this user may see, without fields.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(crate) async fn list(&self) -> Result<Vec<Object>> {
        let path = self.client.version().path("/sobjects");
        let request = Request::get(path).max_body(limits::MAX_DESCRIBE_BYTES);
        Ok(self.client.send(request).await?.json::<Global>()?.sobjects)
    }

    /// Describes objects, in the given order; what cannot be described comes with its reason.
    ///
    /// # Errors
    /// As [`Client::send`], if it concerns all of them.
    pub(crate) async fn describe(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, Result<Arc<Object>>)>> {
        let chunks: Vec<Vec<String>> = names
            .chunks(limits::COMPOSITE_PARTS)
            .map(<[String]>::to_vec)
            .collect();
        let described: Vec<Vec<_>> = stream::iter(chunks)
            .map(|chunk| self.describe_chunk(chunk, true))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(described.into_iter().flatten().collect())
    }

    /// Describes one object; `fresh` asks the server even if the answer is known.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(crate) async fn one(&self, name: &str, fresh: bool) -> Result<Arc<Object>> {
        if !fresh && let Some(known) = lock(&self.known).get(name) {
            return Ok(Arc::clone(known));
        }
        let described = self.describe_chunk(vec![name.to_owned()], !fresh).await?;
        match described.into_iter().next() {
            Some((_, object)) => object,
            None => Err(Error::bug("describe one object and get none")),
        }
    }

    async fn describe_chunk(
        &self,
        names: Vec<String>,
        revalidate: bool,
    ) -> Result<Vec<(String, Result<Arc<Object>>)>> {
        let version = self.client.version();
        let mut cached: Vec<Option<Cached>> = names
            .iter()
            .map(|name| revalidate.then(|| self.cached(name)).flatten())
            .collect();
        if cached.iter().any(Option::is_some) {
            let now = self.client.server_now().await?;
            for slot in &mut cached {
                slot.take_if(|cached| !cached.is_trusted(now));
            }
        }
        let parts: Vec<Part> = names
            .iter()
            .zip(&cached)
            .enumerate()
            .map(|(index, (name, cached))| Part {
                method: "GET",
                url: version.describe(name),
                reference_id: format!("r{index}"),
                http_headers: cached.as_ref().map(|cached| Conditional {
                    since: http_date(cached.fetched),
                }),
            })
            .collect();
        let body = serde_json::to_vec(&Composite {
            all_or_none: false,
            collate_subrequests: false,
            parts,
        })
        .map_err(|error| Error::bug("write a composite request").source(error))?;
        let request = Request::post(version.path("/composite"), body)
            .idempotent(true)
            .max_body(limits::MAX_DESCRIBE_BYTES);
        let mut answers: HashMap<String, AnswerPart> = HashMap::new();
        match self.client.send(request).await {
            Ok(response) => {
                let answer: CompositeAnswer = response.json()?;
                for part in answer.parts {
                    answers.insert(part.reference_id.clone(), part);
                }
            }
            // Not offered, too large, or refused as a whole: ask one by one.
            Err(error) if asks_singly(&error) => {}
            Err(error) => return Err(error),
        }
        let fetched = self.client.server_now().await?;
        let mut described = Vec::with_capacity(names.len());
        for (index, (name, cached)) in names.into_iter().zip(cached).enumerate() {
            let part = answers.remove(&format!("r{index}"));
            let unchanged = part
                .as_ref()
                .is_some_and(|part| part.http_status_code == 304);
            if let (true, Some(cached)) = (unchanged, cached) {
                // Its file keeps the date of the whole fetch, so that trust in it ends.
                let object = self.remember(cached.object);
                described.push((name, Ok(object)));
                continue;
            }
            let object = match part {
                Some(part) if part.http_status_code == 200 => part.object(),
                Some(part) if part.http_status_code == 404 => Err(part.refusal()),
                _ => self.single(&name).await,
            };
            // A lost session or an empty budget concerns all objects, not this one.
            let object = match object {
                Err(error) if !is_about_one(&error) => return Err(error),
                object => object.map(|object| self.keep(object, fetched)),
            };
            described.push((name, object));
        }
        Ok(described)
    }

    async fn single(&self, name: &str) -> Result<Object> {
        let request =
            Request::get(self.client.version().describe(name)).max_body(limits::MAX_DESCRIBE_BYTES);
        self.client.send(request).await?.json()
    }

    fn cached(&self, name: &str) -> Option<Cached> {
        let cached: Cached = files::read(&self.path("describe", name)?)?;
        let fits = cached.api == self.client.version().as_str() && cached.object.name == name;
        fits.then_some(cached)
    }

    /// A cache that cannot be written is none: the next run pays for a describe.
    fn keep(&self, object: Object, fetched: Timestamp) -> Arc<Object> {
        if let Some(path) = self.path("describe", &object.name) {
            let cached = Cached {
                api: self.client.version().as_str().to_owned(),
                fetched,
                object: object.clone(),
            };
            if let Err(error) = files::replace(&path, &cached, || ()) {
                tracing::debug!(%error, object = %object.name, "Describe is not cached.");
            }
        }
        self.remember(object)
    }

    fn remember(&self, object: Object) -> Arc<Object> {
        let object = Arc::new(object);
        lock(&self.known).insert(object.name.clone(), Arc::clone(&object));
        object
    }

    fn path(&self, kind: &str, name: &str) -> Option<PathBuf> {
        api::is_identifier(name).then(|| self.folder.join(kind).join(format!("{name}.json")))
    }

    /// Compares the object with how the last read saw it, reports each difference, and remembers it.
    pub(crate) fn note_drift(&self, stream: &StreamName, object: &Object) {
        let Some(path) = self.path("read", &object.name) else {
            return;
        };
        let before = files::read::<Object>(&path);
        if before.as_ref() == Some(object) {
            return;
        }
        for change in before
            .iter()
            .flat_map(|before| describe::drift(before, object))
        {
            self.client.drift(stream, change);
        }
        if let Err(error) = files::replace(&path, object, || ()) {
            tracing::debug!(%error, stream = %stream, "Schema of the read is not kept.");
        }
    }

    /// What errors taught about an object.
    pub(crate) fn verdict(&self, name: &str) -> Option<Verdict> {
        let verdicts = lock(&self.verdicts);
        let verdict = verdicts.objects.get(name)?;
        // Permissions and features change: an old verdict is tried again.
        let age = self.client.http().now().since(verdict.at);
        let holds = verdict.api == self.client.version().as_str() && age < limits::VERDICT_LIFE;
        holds.then(|| verdict.clone())
    }

    /// Remembers what an error taught.
    pub(crate) fn learn(&self, name: &str, rest_only: bool, error: &Error) {
        let verdict = Verdict {
            api: self.client.version().as_str().to_owned(),
            rest_only,
            at: self.client.http().now(),
            reason: error.message().to_owned(),
        };
        let mut verdicts = lock(&self.verdicts);
        verdicts.objects.insert(name.to_owned(), verdict);
        if let Err(error) = files::replace(&self.folder.join("verdicts.json"), &*verdicts, || ()) {
            tracing::debug!(%error, object = name, "Verdict is not kept.");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the refusal of a composite call is about composite itself.
fn asks_singly(error: &Error) -> bool {
    error.get("limit").is_some()
        || matches!(
            Meaning::of(error),
            Some(Meaning::Gone | Meaning::Refused | Meaning::TooWide | Meaning::Unreadable)
        )
}

/// Whether a failed describe says something about that object only.
fn is_about_one(error: &Error) -> bool {
    matches!(
        Meaning::of(error),
        Some(
            Meaning::Gone
                | Meaning::Forbidden
                | Meaning::UnknownObject
                | Meaning::Unreadable
                | Meaning::Refused
        )
    ) || error.kind() == ErrorKind::Data
}

/// An instant as HTTP writes it, a minute earlier: a change in the very second of the fetch must count.
fn http_date(time: Timestamp) -> String {
    time.minus(limits::SMALLEST_WINDOW)
        .to_chrono()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    all_or_none: bool,
    collate_subrequests: bool,
    #[serde(rename = "compositeRequest")]
    parts: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    method: &'static str,
    url: String,
    reference_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_headers: Option<Conditional>,
}

#[derive(Serialize)]
struct Conditional {
    #[serde(rename = "If-Modified-Since")]
    since: String,
}

#[derive(Deserialize)]
struct CompositeAnswer {
    #[serde(rename = "compositeResponse")]
    parts: Vec<AnswerPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerPart {
    #[serde(default)]
    body: Option<Box<RawValue>>,
    http_status_code: u16,
    reference_id: String,
}

impl AnswerPart {
    fn object(&self) -> Result<Object> {
        let body = self.body.as_ref().map_or("", |body| body.get());
        serde_json::from_str(body).map_err(|_| {
            Error::new(
                ErrorKind::Data,
                "read a describe: it is not of the documented form",
            )
        })
    }

    fn refusal(&self) -> Error {
        let body = self.body.as_ref().map_or("", |body| body.get());
        errors::to_error(self.http_status_code, &errors::parse_error(body.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_parts_have_the_documented_form() {
        let part = Part {
            method: "GET",
            url: "/x".to_owned(),
            reference_id: "r0".to_owned(),
            http_headers: Some(Conditional {
                since: http_date(Timestamp::parse("2026-11-22T03:52:03Z").unwrap()),
            }),
        };
        assert_eq!(
            serde_json::to_string(&part).unwrap(),
            r#"{"method":"GET","url":"/x","referenceId":"r0","httpHeaders":{"If-Modified-Since":"Sun, 22 Nov 2026 03:51:03 GMT"}}"#
        );
        let answer: CompositeAnswer = serde_json::from_str(
            r#"{"compositeResponse":[
                {"body":{"name":"A","fields":[]},"httpHeaders":{},"httpStatusCode":200,"referenceId":"r0"},
                {"body":[{"errorCode":"NOT_FOUND","message":"x"}],"httpHeaders":{},"httpStatusCode":404,"referenceId":"r1"},
                {"body":null,"httpHeaders":{},"httpStatusCode":304,"referenceId":"r2"}]}"#,
        )
        .unwrap();
        assert_eq!(answer.parts[0].object().unwrap().name, "A");
        let error = answer.parts[1].refusal();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(is_about_one(&error));
        assert!(answer.parts[2].object().is_err());
    }
}
