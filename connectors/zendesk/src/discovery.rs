//! What an account offers: the table of streams, without what its plan lacks, with columns for its custom fields.

use std::sync::Arc;

use futures::StreamExt as _;
use overlock_core::{Catalog, Deletes, Error, ErrorKind, Result, Stream, StreamName};
use serde::Deserialize;

use crate::client::{Ask, Bucket};
use crate::columns::{self, Deleted};
use crate::decode;
use crate::envelope::Page;
use crate::errors::Meaning;
use crate::read::all as read_all;
use crate::source::Zendesk;
use crate::streams::{Product, STREAMS, Spec, find};

/// The streams of an account; of those in `only`, if it is not empty.
///
/// # Errors
/// What the account answers, but for a plan that lacks something.
pub(crate) async fn discover(source: &Zendesk, only: &[StreamName]) -> Result<Catalog> {
    let wanted: Vec<&'static Spec> = STREAMS
        .iter()
        .filter(|spec| only.is_empty() || only.iter().any(|name| name.as_str() == spec.name))
        .collect();
    let mut more = Vec::new();
    if source.custom_field_columns() && wanted.iter().any(|spec| spec.name == "tickets") {
        more = custom_fields(source).await?;
    }
    let missing = lacking(source, &wanted).await?;
    let mut catalog = Catalog::default();
    for spec in wanted {
        let reason = |list: &[Lack]| {
            let mut found = list.iter().filter(|(product, name, _)| {
                *product == spec.product && name.is_none_or(|name| name == spec.name)
            });
            found
                .next()
                .map(|(_, _, reason)| (spec.name.to_owned(), reason.clone()))
        };
        if let Some(lack) = reason(&missing.lacking) {
            catalog.lacking.push(lack);
            continue;
        }
        if let Some(lack) = reason(&missing.forbidden) {
            catalog.unavailable.push(lack);
            continue;
        }
        let custom = if spec.name == "tickets" {
            more.as_slice()
        } else {
            &[]
        };
        catalog.streams.push(Arc::new(stream(spec, custom)?));
    }
    // Only those that will come: pages wait for each of them.
    let streams = catalog
        .streams
        .iter()
        .filter_map(|one| find(one.name.as_str()));
    source.shared().expect(streams.flat_map(|spec| {
        let exports = spec.follows().into_iter();
        exports.map(|export| (export, spec.name.to_owned()))
    }));
    Ok(catalog)
}

fn stream(spec: &Spec, custom: &[arrow::datatypes::Field]) -> Result<Stream> {
    let schema = columns::schema(spec.columns, spec.deleted, custom)?;
    Ok(Stream {
        name: StreamName::new(spec.name)?,
        schema,
        primary_key: spec.key.iter().map(|key| (*key).to_owned()).collect(),
        replication_key: spec.newer_by.map(str::to_owned),
        incremental: true,
        deletes: if spec.deleted == Deleted::Never {
            Deletes::NotReported
        } else {
            Deletes::Reported
        },
        exact_states: false,
        notes: spec.note.map(str::to_owned).into_iter().collect(),
    })
}

/// The columns of the custom fields of tickets.
async fn custom_fields(source: &Zendesk) -> Result<Vec<arrow::datatypes::Field>> {
    #[derive(Deserialize)]
    struct Definition {
        id: i64,
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        title: Option<String>,
        #[serde(default = "removable")]
        removable: bool,
    }
    fn removable() -> bool {
        true
    }
    let name = StreamName::new("ticket_fields")?;
    let pages = read_all(
        source.client(),
        "ticket_fields",
        "ticket_fields",
        Bucket::Plan,
        &name,
    )
    .await?;
    let mut fields = Vec::new();
    for page in &pages {
        let definitions: Vec<Definition> =
            serde_json::from_slice(&page.records()).map_err(|_| {
                Error::new(
                    ErrorKind::Schema,
                    "read the custom fields: one has no `id` or `type`",
                )
                .hint("set custom_field_columns = false and report this")
            })?;
        // Fields that cannot be removed are those of every ticket, which have columns of their own.
        for field in definitions.into_iter().filter(|field| field.removable) {
            let title = field.title.unwrap_or_default();
            fields.push(decode::custom_field(field.id, &field.kind, &title));
        }
    }
    fields.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(fields)
}

/// What cannot be read: the product, the one stream it is about if not all of it, the reason.
struct Missing {
    /// Not bought.
    lacking: Vec<Lack>,
    /// Not allowed.
    forbidden: Vec<Lack>,
}

type Lack = (Product, Option<&'static str>, String);

/// What the account lacks of what is wanted: the product, the one stream it is about if not all of it, the reason.
async fn lacking(source: &Zendesk, wanted: &[&'static Spec]) -> Result<Missing> {
    let mut probes: Vec<(Product, Option<&'static str>)> = Vec::new();
    for spec in wanted {
        let probe = match spec.product {
            Product::Support => continue,
            // Each stands for itself.
            Product::Plan => (Product::Plan, Some(spec.name)),
            product => (product, None),
        };
        if !probes.contains(&probe) {
            probes.push(probe);
        }
    }
    // Made before the stream: a closure over borrowed pairs would not be general enough for it.
    let mut questions = Vec::with_capacity(probes.len());
    for (product, name) in &probes {
        questions.push(ask(source, *product, *name));
    }
    let answers: Vec<Result<()>> = futures::stream::iter(questions)
        .buffered(source.calls_at_once())
        .collect()
        .await;
    let mut lacking = Vec::new();
    let mut forbidden = Vec::new();
    for ((product, name), answer) in probes.into_iter().zip(answers) {
        match answer {
            Ok(()) => {}
            Err(error) => match Meaning::of(&error) {
                // A list that is not there; of a ticket it means that only the ticket is not.
                Some(Meaning::NoRecord) if product == Product::SideConversations => {}
                Some(Meaning::Forbidden | Meaning::NoEndpoint | Meaning::NoRecord) => {
                    let reason = "not in this plan, or not for this user's role".to_owned();
                    lacking.push((product, name, reason));
                }
                Some(Meaning::Scope) => {
                    let reason = "the token lacks a scope for it: ask for `read`".to_owned();
                    forbidden.push((product, name, reason));
                }
                Some(_) => {}
                None if error.kind() == ErrorKind::Unavailable => {
                    // Its own read will say so; the others are not to wait for it.
                    tracing::debug!(%error, "A product cannot be asked for now.");
                }
                None => return Err(error),
            },
        }
    }
    Ok(Missing { lacking, forbidden })
}

/// The cheapest question that tells whether a product is there.
async fn ask(source: &Zendesk, product: Product, name: Option<&'static str>) -> Result<()> {
    let list = |path: &str, bucket| Ask::new(path, bucket).query("page[size]", "1");
    let ask = match product {
        Product::Support => return Ok(()),
        Product::Talk => {
            Ask::new("channels/voice/phone_numbers", Bucket::Plan).query("per_page", "1")
        }
        Product::HelpCenter => list("help_center/sections", Bucket::HelpCenter),
        Product::Community => list("community/topics", Bucket::HelpCenter),
        Product::CustomObjects => Ask::new("custom_objects", Bucket::Plan),
        Product::SideConversations => {
            let Some(id) = any_ticket(source).await? else {
                return Ok(());
            };
            Ask::new(&format!("tickets/{id}/side_conversations"), Bucket::Plan)
        }
        Product::Plan => match name {
            Some(name @ ("audit_logs" | "satisfaction_ratings" | "suspended_tickets")) => {
                list(name, Bucket::Plan)
            }
            Some("ticket_forms") => Ask::new("ticket_forms", Bucket::Plan).query("per_page", "1"),
            Some("sla_policies") => Ask::new("slas/policies", Bucket::Plan).query("per_page", "1"),
            Some("custom_roles") => Ask::new("custom_roles", Bucket::Plan),
            Some("schedules" | "schedule_holidays") => {
                Ask::new("business_hours/schedules", Bucket::Plan)
            }
            _ => return Ok(()),
        },
    };
    // That there is an answer is all that is asked.
    source.client().read(&ask, |_| Ok(())).await
}

async fn any_ticket(source: &Zendesk) -> Result<Option<i64>> {
    #[derive(Deserialize)]
    struct Ticket {
        id: i64,
    }
    let ask = Ask::new("tickets", Bucket::Plan).query("page[size]", "1");
    let page = source
        .client()
        .read(&ask, |answer| Page::parse(answer.body.clone(), "tickets"))
        .await?;
    let tickets: Vec<Ticket> = serde_json::from_slice(&page.records()).unwrap_or_default();
    Ok(tickets.first().map(|ticket| ticket.id))
}
