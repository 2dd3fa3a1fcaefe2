//! `overlock plan [PIPELINE]`: what a run would do, down to the SQL of a commit.
//!
//! The source is asked for its columns; no warehouse is asked anything.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use overlock_core::{
    Clock as _, CommitId, Manifest, Package, Part, Stream, StreamName, SyncKey, SystemClock,
};
use overlock_engine::{StreamSettings, modes, project as project_columns};

use crate::app::{App, runtime};
use crate::args::{How, Plan};
use crate::commands::run::{only_pipeline, plan};
use crate::config::{DestinationSettings, PipelineSettings, Wanted};
use crate::failure::{Failure, Outcome};
use crate::render::listing::Listing;
use crate::render::progress::Progress;
use crate::signals::interruptible;

/// Lists the streams of a pipeline, or prints SQL.
pub(crate) fn run(app: &App, arguments: &Plan) -> Outcome<u8> {
    let project = match &arguments.pipeline {
        Some(name) => app.project(Wanted::Named(vec![name.clone()]))?,
        None => app.project(Wanted::All)?,
    };
    let name = match &arguments.pipeline {
        Some(name) => name.clone(),
        None => only_pipeline(&project)?,
    };
    let pipeline = project.pipeline(&name)?;
    let plan = plan(&pipeline, &How::default())?;
    let named = plan.streams.iter().map(|one| one.name.clone());
    let only: Vec<StreamName> = if plan.rest.is_some() {
        Vec::new()
    } else {
        named.collect()
    };
    let settings = project.source(&pipeline.source)?;
    let progress = Progress::new(&app.output, app.global.progress);
    let clock = Arc::new(SystemClock);
    let source = app.connect(
        &settings,
        &app.work_dir(&project),
        progress.events(),
        clock,
        None,
    )?;
    let catalog = runtime()?.block_on(interruptible(
        async { Ok(source.discover(&only).await?) },
        app.global.timeout,
    ));
    progress.finish();
    let catalog = catalog?;
    let to = app.destination(&project, pipeline.destination.as_deref())?;
    let mut listing = Listing::new(&["stream", "read", "write", "columns", "table"]);
    let mut sql = String::new();
    let is_wanted = |name: &StreamName| {
        arguments.stream.is_empty()
            || arguments
                .stream
                .iter()
                .any(|wanted| wanted == name.as_str())
    };
    let mut found = 0;
    let mut tables: HashMap<String, StreamName> = HashMap::new();
    for stream in catalog
        .streams
        .iter()
        .filter(|stream| is_wanted(&stream.name))
    {
        let own = plan.streams.iter().find(|one| one.name == stream.name);
        let Some(settings) = own.map(|one| &one.settings).or(plan.rest.as_ref()) else {
            continue;
        };
        found += 1;
        let chosen = modes(stream, settings, false)?;
        let stream = project_columns(stream, settings)?;
        let table = match &to {
            DestinationSettings::Local(root) => {
                let dir = root
                    .join(pipeline.source.as_str())
                    .join(stream.name.as_str());
                dir.display().to_string()
            }
            DestinationSettings::Snowflake(table) => {
                let target = table.target(&pipeline.source, &plan.key(&stream.name));
                if arguments.ddl {
                    let package = first_package(&stream, settings, &pipeline)?;
                    let at = SystemClock.now();
                    let policy = table.policy(&pipeline);
                    _ = writeln!(
                        sql,
                        "-- {}.{}: the first commit\n",
                        pipeline.name, stream.name
                    );
                    sql.push_str(&overlock_snowflake::ddl(&package, &target, policy, at)?);
                }
                target.table.to_string()
            }
        };
        if let Some(other) = tables.insert(table.clone(), stream.name.clone()) {
            return Err(Failure::usage(
                format!(
                    "fill the table {table} from two streams: `{other}` and `{}`",
                    stream.name
                ),
                "the names differ in case or in signs only; give one of them a pipeline with another schema",
            ));
        }
        let mode = |mode: String| mode.replace("FullRefresh", "full refresh").to_lowercase();
        listing.row(vec![
            stream.name.as_str().into(),
            mode(format!("{:?}", chosen.read)).as_str().into(),
            mode(format!("{:?}", chosen.write)).as_str().into(),
            stream.schema.fields().len().to_string().as_str().into(),
            table.as_str().into(),
        ]);
    }
    if found == 0 {
        return Err(Failure::usage(
            "find a stream to plan",
            format!("`overlock check` shows the streams of `{}`", pipeline.name),
        ));
    }
    if !arguments.ddl {
        app.output.listing(&listing);
    } else if matches!(to, DestinationSettings::Snowflake(_)) {
        app.output.result(sql.trim_end());
    } else {
        return Err(Failure::usage(
            "print SQL: the destination is a folder",
            "leave out --ddl, or name a pipeline whose destination is a warehouse",
        ));
    }
    App::ok()
}

/// A package as the first run would commit it: one file, ids that are zeros.
fn first_package(
    stream: &Stream,
    settings: &StreamSettings,
    pipeline: &PipelineSettings,
) -> Outcome<Package> {
    let now = SystemClock.now();
    let id: CommitId = "0".repeat(26).parse()?;
    let manifest = Manifest {
        format: 1,
        id,
        parent: None,
        key: SyncKey::new(pipeline.name.clone(), stream.name.clone()),
        source: pipeline.source.clone(),
        mode: modes(stream, settings, false)?.write,
        deletes: settings.deletes,
        primary_key: stream.primary_key.clone(),
        replication_key: stream.replication_key.clone(),
        schema: Arc::clone(&stream.schema),
        files: vec![Part {
            name: "part-00001.parquet".to_owned(),
            rows: 0,
            bytes: 0,
            sha256: "0".repeat(64),
        }],
        state: None,
        sealed: true,
        complete: true,
        started: now,
        until: now,
        rows_read: 0,
        rows_reported: None,
        extra_values: 0,
        row_numbers: true,
    };
    Ok(Package {
        dir: "/path/of/the/package".into(),
        manifest,
    })
}
