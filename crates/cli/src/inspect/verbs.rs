//! What each verb of `inspect` shows.

use std::collections::VecDeque;

use arrow::record_batch::RecordBatch;
use overlock_core::{Error, ErrorKind, Result};
use overlock_local::{Rows, Table, View};
use serde_json::json;

use super::export::{self, ExportForm};
use super::target::{self, Target};
use super::{Columns, Diff, Export, Few, Sql, ViewName, Which, diff, grid, stats, value};
use crate::app::App;
use crate::args::Format;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render::listing::{Cell, Listing};
use crate::render::number;

pub(super) fn table(target: &Target) -> Outcome<&Table> {
    match target {
        Target::Table(_, table) => Ok(table),
        Target::Folder(_) => Err(which_table()),
        Target::File(_) => Err(Failure::usage(
            "show this of a single file: it has no commits",
            "give a table: SOURCE.STREAM or its folder",
        )),
    }
}

fn which_table() -> Failure {
    Failure::usage(
        "choose a table: this is a folder of several",
        "add the stream's name, such as SOURCE.STREAM",
    )
}

pub(super) fn rows(target: &Target, which: &Which) -> Outcome<Rows> {
    match target {
        Target::Folder(_) => Err(which_table()),
        Target::File(path) => {
            if which.as_of.is_some() {
                return Err(Failure::usage(
                    "find a commit in a single file",
                    "give the table's folder",
                ));
            }
            Ok(Rows::File(path.clone()))
        }
        Target::Table(_, table) => {
            let view = match (&which.as_of, which.view) {
                (Some(commit), _) => View::AsOf(target::commit(table, commit)?),
                (None, view) => view.into(),
            };
            Ok(Rows::Table(table.clone(), view))
        }
    }
}

impl From<ViewName> for View {
    fn from(name: ViewName) -> Self {
        match name {
            ViewName::Current => Self::Current,
            ViewName::All => Self::All,
        }
    }
}

fn wanted(columns: &[String]) -> Option<&[String]> {
    (!columns.is_empty()).then_some(columns)
}

pub(super) fn overview(output: &Output, target: &Target) -> Outcome {
    match target {
        Target::Folder(tables) => {
            let mut listing =
                Listing::new(&["table", "rows", "columns", "commits", "bytes", "newest"]);
            for (name, dir) in tables {
                let table = Table::open(dir)?;
                listing.row(vec![
                    name.as_str().into(),
                    Cell::Number(table.count(View::Current)?),
                    Cell::Number(table.schema(View::Current)?.fields().len() as u64),
                    Cell::Number(table.commits().len() as u64),
                    Cell::Bytes(size(&table)),
                    Cell::maybe(
                        table
                            .commits()
                            .last()
                            .map(|info| info.commit.at.floor_second()),
                    ),
                ]);
            }
            output.listing(&listing);
        }
        Target::Table(name, table) => {
            let rows = table.count(View::Current)?;
            let columns = table.schema(View::Current)?.fields().len();
            let newest = table.commits().last();
            if output.is_json() {
                output.json(&json!({
                    "table": name, "rows": rows, "columns": columns, "bytes": size(table),
                    "commits": table.commits().len(), "path": table.dir(),
                    "newest": newest.map(|info| &info.commit),
                }));
                return Ok(());
            }
            let newest = newest
                .map(|info| format!("\nnewest commit {} at {}", info.commit.id, info.commit.at));
            output.result(&format!(
                "{name}: {}, {}, {}, {}{}",
                number::plural(rows, "row"),
                number::plural(columns as u64, "column"),
                number::plural(table.commits().len() as u64, "commit"),
                number::bytes(size(table)),
                newest.unwrap_or_default(),
            ));
            output.listing(&schema(target)?);
        }
        Target::File(path) => {
            let info = overlock_package::file_info(path)?;
            if output.is_json() {
                output.json(&json!({
                    "path": path, "rows": info.rows, "row_groups": info.row_groups, "bytes": info.bytes,
                    "columns": info.schema.fields().len(), "created_by": info.created_by,
                }));
                return Ok(());
            }
            output.result(&format!(
                "{}: {}, {}, {}, {}",
                overlock_core::text::printable(&path.display().to_string()),
                number::plural(info.rows, "row"),
                number::plural(info.schema.fields().len() as u64, "column"),
                number::plural(info.row_groups as u64, "row group"),
                number::bytes(info.bytes),
            ));
            output.listing(&schema(target)?);
        }
    }
    Ok(())
}

fn size(table: &Table) -> u64 {
    table
        .commits()
        .iter()
        .map(|info| info.package.manifest.bytes())
        .sum()
}

pub(super) fn schema(target: &Target) -> Outcome<Listing> {
    let rows = rows(target, &Which::default())?;
    let mut listing = Listing::new(&["column", "type", "key"]);
    let keys = newest_key(target);
    for field in rows.schema()?.fields() {
        let key = if keys.contains(field.name()) {
            "primary".into()
        } else {
            Cell::None
        };
        listing.row(vec![
            overlock_core::text::printable(field.name()).into(),
            value::type_name(field).into(),
            key,
        ]);
    }
    Ok(listing)
}

/// The primary key by the newest commit that names one; a reset does not.
fn newest_key(target: &Target) -> Vec<String> {
    let Target::Table(_, table) = target else {
        return Vec::new();
    };
    let mut keys = table
        .commits()
        .iter()
        .rev()
        .map(|info| &info.package.manifest.primary_key);
    keys.find(|key| !key.is_empty())
        .cloned()
        .unwrap_or_default()
}

pub(super) fn head(output: &Output, target: &Target, few: &Few) -> Outcome {
    let rows = rows(target, &few.columns.which)?;
    let mut found = Vec::new();
    let mut left = few.rows;
    let mut batches = rows.scan(wanted(&few.columns.columns))?;
    while left > 0
        && let Some(batch) = batches.next()
    {
        let batch = batch?;
        let taken = batch.slice(0, batch.num_rows().min(left));
        left -= taken.num_rows();
        found.push(taken);
    }
    show(output, &rows, &few.columns.columns, &found)
}

pub(super) fn tail(output: &Output, target: &Target, few: &Few) -> Outcome {
    let rows = rows(target, &few.columns.which)?;
    let mut found: VecDeque<RecordBatch> = VecDeque::new();
    let mut held = 0;
    for batch in rows.scan(wanted(&few.columns.columns))? {
        let batch = batch?;
        held += batch.num_rows();
        found.push_back(batch);
        while let Some(first) = found.front()
            && held - first.num_rows() >= few.rows
        {
            held -= first.num_rows();
            found.pop_front();
        }
    }
    let surplus = held.saturating_sub(few.rows);
    if let Some(first) = found.front_mut() {
        *first = first.slice(surplus, first.num_rows() - surplus);
    }
    show(output, &rows, &few.columns.columns, found.make_contiguous())
}

fn show(output: &Output, rows: &Rows, columns: &[String], batches: &[RecordBatch]) -> Outcome {
    let schema = match batches.first() {
        Some(batch) => batch.schema(),
        None => export::project(&rows.schema()?, wanted(columns))?,
    };
    let text = grid::render(&schema, batches, output.format())?;
    if !text.is_empty() {
        output.result(&text);
    }
    Ok(())
}

pub(super) fn count(output: &Output, target: &Target, which: &Which) -> Outcome {
    let count = rows(target, which)?.count()?;
    if output.is_json() {
        output.json(&json!({ "rows": count }));
    } else {
        output.result(&count.to_string());
    }
    Ok(())
}

pub(super) fn files(target: &Target) -> Outcome<Listing> {
    let mut listing = Listing::new(&["commit", "rows", "bytes", "path"]);
    let mut add = |commit: Cell, rows: u64, bytes: u64, path: &std::path::Path| {
        let path = overlock_core::text::printable(&path.display().to_string());
        listing.row(vec![
            commit,
            Cell::Number(rows),
            Cell::Bytes(bytes),
            path.into(),
        ]);
    };
    match target {
        Target::File(path) => {
            let info = overlock_package::file_info(path)?;
            add(Cell::None, info.rows, info.bytes, path);
        }
        Target::Table(_, table) => {
            for info in table.commits() {
                for part in &info.package.manifest.files {
                    let path = info.package.dir.join(&part.name);
                    add(
                        info.commit.id.to_string().into(),
                        part.rows,
                        part.bytes,
                        &path,
                    );
                }
            }
        }
        Target::Folder(_) => return Err(which_table()),
    }
    Ok(listing)
}

pub(super) fn commits(table: &Table, format: Format) -> Listing {
    let mut listing = Listing::new(&["commit", "at", "mode", "rows", "bytes", "complete", "state"]);
    for info in table.commits() {
        let manifest = &info.package.manifest;
        let mode = match manifest.mode {
            overlock_core::WriteMode::Merge => "merge",
            overlock_core::WriteMode::Append => "append",
            overlock_core::WriteMode::Replace => "replace",
        };
        let state = info
            .commit
            .state
            .as_ref()
            .map(|state| state.as_json().to_string());
        let is_for_people = matches!(format, Format::Auto | Format::Table | Format::Md);
        let state = state.map(|state| {
            if is_for_people {
                grid::cut(&state)
            } else {
                state
            }
        });
        listing.row(vec![
            info.commit.id.to_string().into(),
            info.commit.at.floor_second().to_string().into(),
            mode.into(),
            Cell::Number(info.commit.rows),
            Cell::Bytes(manifest.bytes()),
            Cell::Flag(info.commit.complete),
            Cell::maybe(state),
        ]);
    }
    listing
}

pub(super) fn show_stats(output: &Output, target: &Target, columns: &Columns) -> Outcome {
    let rows = rows(target, &columns.which)?;
    let found = stats::collect(&rows, wanted(&columns.columns))?;
    match output.format() {
        Format::Json => output.json(&found),
        Format::Jsonl => found.iter().for_each(|stats| output.json(stats)),
        Format::Auto | Format::Table | Format::Md | Format::Csv => {
            let mut listing = Listing::new(&[
                "column", "type", "nulls", "distinct", "min", "max", "values",
            ]);
            for stats in &found {
                let distinct = if stats.estimated {
                    Cell::Text(format!("~{}", number::count(stats.distinct)))
                } else {
                    Cell::Number(stats.distinct)
                };
                listing.row(vec![
                    grid::cut(&stats.column).into(),
                    stats.kind.as_str().into(),
                    Cell::Number(stats.nulls),
                    distinct,
                    Cell::maybe(stats.min.as_deref().map(short)),
                    Cell::maybe(stats.max.as_deref().map(short)),
                    stats::picture(stats).into(),
                ]);
            }
            output.listing(&listing);
        }
    }
    Ok(())
}

/// Text for a narrow column.
fn short(text: &str) -> String {
    const CHARS: usize = 20;
    let start: String = text.chars().take(CHARS).collect();
    let ending = if start.len() < text.len() { "…" } else { "" };
    overlock_core::text::printable(&start) + ending
}

/// What a single file is called in SQL.
#[cfg(feature = "sql")]
const FILE_TABLE: &str = "file";

/// Longest query. The planner goes down one level of the stack for each `OR`.
#[cfg(feature = "sql")]
const MAX_QUERY_BYTES: usize = 64 << 10;

/// Stack for the longest query; only what is used takes memory.
#[cfg(feature = "sql")]
const STACK_BYTES: usize = 512 << 20;

#[cfg(feature = "sql")]
fn with_deep_stack<T: Send>(work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::new(ErrorKind::Io, "start a thread").source(error))?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(feature = "sql")]
fn rows_of(table: Table, sql: &Sql) -> Rows {
    Rows::Table(table, sql.view.into())
}

#[cfg(feature = "sql")]
pub(super) fn query(app: &App, target: &Target, sql: &Sql) -> Outcome {
    if sql.query.len() > MAX_QUERY_BYTES {
        return Err(Failure::usage(
            "run a query of more than 64 KiB",
            "join with a table instead of listing its values",
        ));
    }
    let mut tables = Vec::new();
    match target {
        Target::Table(name, table) => {
            tables.push((name.clone(), rows_of(table.clone(), sql)));
            // Its neighbours too, so that it can be joined with them.
            let neighbours = table
                .dir()
                .parent()
                .map(overlock_local::tables)
                .transpose()?;
            for (other, dir) in neighbours.into_iter().flatten() {
                if other.as_str() != name {
                    tables.push((other.to_string(), rows_of(Table::open(dir)?, sql)));
                }
            }
        }
        Target::Folder(found) => {
            for (name, dir) in found {
                tables.push((name.clone(), rows_of(Table::open(dir)?, sql)));
            }
        }
        Target::File(path) => tables.push((FILE_TABLE.to_owned(), Rows::File(path.clone()))),
    }
    let answer = with_deep_stack(|| {
        let answer = overlock_local::sql::query(&tables, &sql.query);
        Ok(crate::app::runtime()?.block_on(answer)?)
    })?;
    let schema = answer.first().map_or_else(
        || std::sync::Arc::new(arrow::datatypes::Schema::empty()),
        RecordBatch::schema,
    );
    let text = grid::render(&schema, &answer, app.output.format())?;
    if !text.trim().is_empty() {
        app.output.result(&text);
    }
    Ok(())
}

#[cfg(not(feature = "sql"))]
pub(super) fn query(_app: &App, _target: &Target, _sql: &Sql) -> Outcome {
    Err(Failure::usage(
        "ask in SQL: this is the lean build",
        "build with the default features, or use `head`, `stats` and `export`",
    ))
}

pub(super) fn show_diff(output: &Output, target: &Target, wanted: &Diff) -> Outcome {
    let table = table(target)?;
    let view = |text: &str| -> Result<Rows> {
        Ok(Rows::Table(
            table.clone(),
            View::AsOf(target::commit(table, text)?),
        ))
    };
    let key = if wanted.key.is_empty() {
        newest_key(target)
    } else {
        wanted.key.clone()
    };
    if key.is_empty() {
        return Err(Failure::usage(
            "compare rows: the table has no primary key",
            "name it: --key Id",
        ));
    }
    let found = diff::compare(&view(&wanted.from)?, &view(&wanted.to)?, &key, wanted.rows)?;
    match output.format() {
        Format::Json => output.json(&found),
        Format::Jsonl => found.rows.iter().for_each(|row| output.json(row)),
        Format::Auto | Format::Table | Format::Md | Format::Csv => {
            let mut listing = Listing::new(&["change", "key", "column", "from", "to"]);
            for row in &found.rows {
                let key: Vec<String> = row
                    .key
                    .iter()
                    .map(|value| short(value.as_deref().unwrap_or("null")))
                    .collect();
                let nothing = [(String::new(), None, None)];
                let values = if row.values.is_empty() {
                    &nothing[..]
                } else {
                    &row.values
                };
                let values = if row.change == "added" {
                    &nothing[..]
                } else {
                    values
                };
                for (column, from, to) in values {
                    listing.row(vec![
                        row.change.into(),
                        key.join(" ").into(),
                        grid::cut(column).into(),
                        Cell::maybe(from.as_deref().map(grid::cut)),
                        Cell::maybe(to.as_deref().map(grid::cut)),
                    ]);
                }
            }
            if !found.rows.is_empty() {
                output.listing(&listing);
            }
            let total = format!(
                "{} added, {} changed, {} removed, {} the same",
                number::count(found.added),
                number::count(found.changed),
                number::count(found.removed),
                number::count(found.same),
            );
            // The table itself may be the input of another program.
            if output.format() == Format::Csv {
                output.remark(&total);
            } else {
                output.result(&total);
            }
            if !found.columns.is_empty() {
                let names: Vec<String> = found.columns.iter().map(|name| grid::cut(name)).collect();
                output.remark(&format!(
                    "columns of only one of them: {}",
                    names.join(", ")
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn write(output: &Output, target: &Target, wanted_rows: &Export) -> Outcome {
    let rows = rows(target, &wanted_rows.columns.which)?;
    let columns = wanted(&wanted_rows.columns.columns);
    let form = form(wanted_rows, output.format())?;
    let Some(path) = &wanted_rows.output else {
        if form == ExportForm::Parquet {
            return Err(Failure::usage(
                "write Parquet to stdout",
                "give a file: -o rows.parquet",
            ));
        }
        export::text(&rows, columns, form, &mut output.writer())?;
        return Ok(());
    };
    if std::fs::symlink_metadata(path).is_ok() && !wanted_rows.force {
        return Err(
            Error::new(ErrorKind::Config, "export: the file is there already")
                .context("path", path.display())
                .hint("choose another name, or add --force to replace it")
                .into(),
        );
    }
    let count = match form {
        ExportForm::Parquet => export::parquet(&rows, columns, path)?,
        ExportForm::Csv | ExportForm::Jsonl => export::file(&rows, columns, form, path)?,
    };
    if output.is_json() {
        output.json(&json!({ "path": path, "rows": count }));
    } else {
        output.remark(&format!(
            "{} in {}",
            number::plural(count, "row"),
            path.display()
        ));
    }
    Ok(())
}

fn form(wanted: &Export, format: Format) -> Outcome<ExportForm> {
    let ending = wanted
        .output
        .as_deref()
        .and_then(std::path::Path::extension);
    let is_json = matches!(format, Format::Json | Format::Jsonl);
    let ending = ending.map(|ending| ending.to_string_lossy().to_lowercase());
    Ok(match (wanted.form, ending.as_deref()) {
        (Some(form), _) => form,
        (None, Some("parquet")) => ExportForm::Parquet,
        (None, Some("jsonl" | "ndjson" | "json")) => ExportForm::Jsonl,
        (None, Some("csv")) => ExportForm::Csv,
        (None, Some(other)) => {
            let other = overlock_core::text::printable(other);
            return Err(Failure::usage(
                format!("export to a file that ends in `.{other}`"),
                "end its name in .csv, .jsonl or .parquet, or say the form: --as csv",
            ));
        }
        (None, None) if is_json => ExportForm::Jsonl,
        (None, None) => ExportForm::Csv,
    })
}
