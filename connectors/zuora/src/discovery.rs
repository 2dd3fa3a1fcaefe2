//! What a tenant offers: the objects that Describe lists, the tables that only Data Query has.
//!
//! Describe costs a call for each object and has no conditional requests, so a run believes what it was told some
//! hours ago; `discover` asks. A query for a field that is gone makes a run ask at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use overlock_core::{Catalog, Deletes, Error, ErrorKind, Result, Stream, StreamName, Timestamp};
use overlock_kit::files;
use overlock_kit::http::{Request, encode};
use serde::{Deserialize, Serialize};

use crate::describe::{self, Object};
use crate::errors::Meaning;
use crate::limits;
use crate::read::tables::{self, Table};
use crate::source::Zuora;
use crate::streams::{self, Shape};

/// Descriptions that are asked for at once.
const AT_ONCE: usize = 10;

/// What a name means.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Offer {
    /// An object of AQuA.
    Object(Arc<Object>),
    /// A table of Data Query.
    Table(Arc<Table>),
}

/// Descriptions, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Descriptions {
    path: PathBuf,
    known: Mutex<BTreeMap<String, Described>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Described {
    at: Timestamp,
    offer: Offer,
}

impl Descriptions {
    pub(crate) fn new(path: PathBuf) -> Self {
        let known = files::read(&path).unwrap_or_default();
        Self {
            path,
            known: Mutex::new(known),
        }
    }

    /// What is known about a name, and since when.
    pub(crate) fn get(&self, name: &str) -> Option<(Timestamp, Offer)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(name)?;
        Some((found.at, found.offer.clone()))
    }

    /// Asks again at the next run: a query did not agree with the description.
    pub(crate) fn doubt(&self, name: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(described) = known.get_mut(name) {
            described.at = Timestamp::EPOCH;
        }
        if let Err(error) = files::replace(&self.path, &*known, || ()) {
            tracing::debug!(%error, "Descriptions are not kept.");
        }
    }

    fn put(&self, found: Vec<(String, Offer)>, now: Timestamp) {
        if found.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, offer) in found {
            known.insert(name, Described { at: now, offer });
        }
        if let Err(error) = files::replace(&self.path, &*known, || ()) {
            tracing::debug!(%error, "Descriptions are not kept.");
        }
    }
}

/// Asks for an object; `None` if there is none of this name.
///
/// # Errors
/// What Zuora answers.
async fn object(source: &Zuora, name: &str) -> Result<Option<Object>> {
    let mut path = format!("/v1/describe/{}", encode(name));
    path.push_str("?showRelationships=true");
    if source.tuning().home_currency {
        path.push_str("&showCurrencyConversionInformation=yes");
    }
    let client = source.client();
    let request = client.scoped(Request::get(path), source.first_entity());
    let found = client
        .read(&request, |answer| describe::parse_object(&answer.body))
        .await;
    match found {
        Ok(object) => Ok(Some(object)),
        Err(error) if Meaning::of(&error) == Some(Meaning::Gone) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The streams of a tenant; of those in `only`, if it is not empty.
///
/// # Errors
/// What Zuora answers; a single object that cannot be described is told in the catalog.
pub(crate) async fn discover(source: &Zuora, only: &[StreamName]) -> Result<Catalog> {
    let now = source.client().now();
    let mut catalog = Catalog::default();
    let mut found: Vec<(String, Offer)> = Vec::new();
    let mut wanted: Vec<String> = Vec::new();
    let mut listed: Vec<String> = Vec::new();
    if only.is_empty() {
        wanted = list(source).await?;
        listed.clone_from(&wanted);
    } else {
        for name in only {
            let name = name.as_str();
            match source.descriptions().get(name) {
                Some((at, offer)) if now.since(at) < source.tuning().describe_age => {
                    found.push((name.to_owned(), offer));
                }
                _ => wanted.push(name.to_owned()),
            }
        }
    }
    let mut unknown = Vec::new();
    let mut failed = Vec::new();
    let mut asked = Vec::new();
    let answers = futures::stream::iter(wanted)
        .map(|name| async move {
            let answer = object(source, &name).await;
            (name, answer)
        })
        .buffer_unordered(AT_ONCE);
    let answers: Vec<_> = answers.collect().await;
    for (name, answer) in answers {
        match answer {
            // Zuora spells it in its own way; that is the name of the stream.
            Ok(Some(object)) if object.name == name => {
                asked.push((name, Offer::Object(Arc::new(object))));
            }
            Ok(Some(_) | None) => {
                if only.is_empty() {
                    let reason = "Zuora lists it and has no description of it".to_owned();
                    catalog.unavailable.push((name.clone(), reason));
                }
                unknown.push(name);
            }
            Err(error) => {
                // A stale description is better than none: a query says what is wrong with it.
                if let Some((_, offer)) = source
                    .descriptions()
                    .get(&name)
                    .filter(|_| !only.is_empty())
                {
                    found.push((name, offer));
                } else {
                    failed.push((name, error));
                }
            }
        }
    }
    // One object without a description is told; if nothing works, or nobody answers, that is not about objects.
    let is_general = |error: &Error| {
        matches!(
            error.kind(),
            ErrorKind::Auth | ErrorKind::RateLimited | ErrorKind::Config
        ) || (error.kind() == ErrorKind::Unavailable && error.get("status").is_none())
    };
    let all = asked.is_empty() && found.is_empty() && unknown.is_empty();
    if let Some(at) = failed
        .iter()
        .position(|(_, error)| all || is_general(error))
    {
        return Err(failed.swap_remove(at).1);
    }
    for (name, error) in failed {
        catalog.unavailable.push((name, error.to_string()));
    }
    if source.tuning().data_query {
        let names = if only.is_empty() {
            let objects: Vec<&str> = listed.iter().map(String::as_str).collect();
            tables::extra(source, &objects).await
        } else {
            let is_table = |name: &&String| tables::is_name(name);
            Ok(unknown.iter().filter(is_table).cloned().collect())
        };
        match names {
            Ok(names) => {
                let answers = futures::stream::iter(names)
                    .map(|name| async move {
                        let answer = tables::describe(source, &name).await;
                        (name, answer)
                    })
                    // They take turns for the places of the tenant.
                    .buffer_unordered(limits::DATA_QUERY_JOBS);
                let answers: Vec<_> = answers.collect().await;
                for (name, answer) in answers {
                    match answer {
                        Ok(Some(table)) => asked.push((name, Offer::Table(Arc::new(table)))),
                        Ok(None) => {}
                        Err(error) => catalog.unavailable.push((name, error.to_string())),
                    }
                }
            }
            Err(error) => catalog
                .unavailable
                .push(("Data Query".to_owned(), error.to_string())),
        }
    }
    source.descriptions().put(asked.clone(), now);
    found.extend(asked);
    for (name, offer) in found {
        if let (Some(reason), Offer::Object(_)) = (source.learnt().refusal(&name, now), &offer)
            && only.is_empty()
        {
            catalog.unavailable.push((name, reason));
            continue;
        }
        match stream(source, &offer, now) {
            Ok(stream) => catalog.streams.push(Arc::new(stream)),
            Err(error) => catalog.unavailable.push((name, error.to_string())),
        }
    }
    catalog.streams.sort_by(|a, b| a.name.cmp(&b.name));
    catalog.unavailable.sort();
    Ok(catalog)
}

async fn list(source: &Zuora) -> Result<Vec<String>> {
    let client = source.client();
    let request = client.scoped(Request::get("/v1/describe"), source.first_entity());
    let mut names = client
        .read(&request, |answer| describe::parse_list(&answer.body))
        .await?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// How the settings shape the columns of an object.
pub(crate) fn shape<'a>(source: &'a Zuora, object: &str, now: Timestamp) -> Shape<'a> {
    let tuning = source.tuning();
    let is_told = source.learnt().has_deletes(object, now);
    Shape {
        joins: tuning.joins,
        without_joins: &tuning.without_joins,
        decimal_scale: tuning.decimal_scale,
        entities: source.has_entities(),
        deletes: if is_told || !tuning.sweep.is_zero() {
            Deletes::Reported
        } else {
            Deletes::NotReported
        },
    }
}

fn stream(source: &Zuora, offer: &Offer, now: Timestamp) -> Result<Stream> {
    match offer {
        Offer::Object(object) => {
            let mut stream = streams::stream(object, shape(source, &object.name, now))?;
            if stream.incremental && !source.learnt().has_deletes(&object.name, now) {
                stream.notes.push(match source.tuning().sweep {
                    every if every.is_zero() => "deletions are not told".to_owned(),
                    every => format!(
                        "deletions are found by comparison, every {}",
                        overlock_kit::duration::format(every)
                    ),
                });
            }
            Ok(stream)
        }
        Offer::Table(table) => table.stream(source.has_entities(), source.tuning().decimal_scale),
    }
}
