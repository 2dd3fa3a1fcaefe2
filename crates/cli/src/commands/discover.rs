//! `overlock discover SOURCE`: what there is to read.

use std::sync::Arc;

use overlock_core::{Catalog, Deletes, StreamName, SystemClock};

use crate::app::{App, runtime};
use crate::args::Discover;
use crate::config::{Project, Wanted};
use crate::failure::{Failure, Outcome};
use crate::render::listing::{Cell, Listing};
use crate::render::progress::Progress;
use crate::signals::interruptible;
use crate::suggest;

/// Lists streams, or the columns of some.
pub(crate) fn run(app: &App, arguments: &Discover) -> Outcome<u8> {
    let project = app.project(Wanted::None)?;
    let name = source_name(&project, arguments.source.as_deref())?;
    let only: Vec<StreamName> = arguments
        .stream
        .iter()
        .map(StreamName::new)
        .collect::<Result<_, _>>()?;
    let settings = project.source(&project.require_source(&name)?)?;
    let work_dir = app.work_dir(&project);
    let clock = Arc::new(SystemClock);
    let progress = Progress::new(&app.output, app.global.progress);
    let source = app.connect(&settings, &work_dir, progress.events(), clock, None)?;
    let runtime = runtime()?;
    let found = runtime.block_on(interruptible(
        async {
            let found = source.discover(&only).await?;
            // A name that is not there gets a suggestion from all that are.
            let missing = only.iter().any(|name| found.get(name.as_str()).is_none());
            if missing {
                Ok(source.discover(&[]).await?)
            } else {
                Ok(found)
            }
        },
        app.global.timeout,
    ));
    progress.finish();
    let catalog = found?;
    for name in &only {
        if !knows(&catalog, name.as_str()) {
            let known = catalog.streams.iter().map(|stream| stream.name.as_str());
            let hint = suggest::nearest(name.as_str(), known)
                .map_or("run discover without --stream".to_owned(), |near| {
                    format!("did you mean `{near}`?")
                });
            return Err(Failure::usage(format!("find stream `{name}`"), hint));
        }
    }
    let chosen = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted.as_str() == name);
    let mut listing;
    if arguments.columns || !only.is_empty() {
        listing = Listing::new(&["stream", "column", "type", "key", "nullable"]);
        for stream in catalog
            .streams
            .iter()
            .filter(|stream| chosen(stream.name.as_str()))
        {
            for field in stream.schema.fields() {
                let key = if stream.primary_key.contains(field.name()) {
                    "primary"
                } else if stream.replication_key.as_ref() == Some(field.name()) {
                    "replication"
                } else {
                    ""
                };
                listing.row(vec![
                    stream.name.as_str().into(),
                    field.name().as_str().into(),
                    type_name(field).into(),
                    key.into(),
                    Cell::Flag(field.is_nullable()),
                ]);
            }
        }
    } else {
        listing = Listing::new(&[
            "stream",
            "columns",
            "primary_key",
            "replication_key",
            "incremental",
            "deletes",
            "notes",
        ]);
        for stream in &catalog.streams {
            listing.row(vec![
                stream.name.as_str().into(),
                Cell::Number(stream.schema.fields().len() as u64),
                stream.primary_key.join(", ").into(),
                Cell::maybe(stream.replication_key.as_ref()),
                Cell::Flag(stream.incremental),
                Cell::Flag(stream.deletes == Deletes::Reported),
                stream.notes.join("; ").into(),
            ]);
        }
    }
    app.output.listing(&listing);
    for (name, reason) in catalog.unavailable.iter().filter(|(name, _)| chosen(name)) {
        let reason = overlock_core::text::printable(reason);
        app.output
            .remark(&format!("not available: {name}: {reason}"));
    }
    for (name, reason) in catalog.lacking.iter().filter(|(name, _)| chosen(name)) {
        let reason = overlock_core::text::printable(reason);
        app.output.remark(&format!("not offered: {name}: {reason}"));
    }
    App::ok()
}

fn knows(catalog: &Catalog, name: &str) -> bool {
    let mut others = catalog.unavailable.iter().chain(&catalog.lacking);
    catalog.get(name).is_some() || others.any(|(other, _)| other == name)
}

fn type_name(field: &arrow::datatypes::Field) -> String {
    if overlock_core::stream::is_json(field) {
        return "json".to_owned();
    }
    field.data_type().to_string()
}

/// The source that was named, or the only one.
pub(crate) fn source_name(project: &Project, wanted: Option<&str>) -> Outcome<String> {
    match (wanted, project.sources().as_slice()) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => Err(Failure::usage(
            "find a source: overlock.toml has no [source.NAME]",
            "see `overlock connectors`",
        )),
        (None, several) => Err(Failure::usage(
            "choose a source: the project has several",
            format!("name one: {}", several.join(", ")),
        )),
    }
}
