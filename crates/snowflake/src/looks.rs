//! What a look at the heads, the history and the columns of a table tells.

use overlock_core::{Error, ErrorKind};

use crate::column::{Column, ColumnType, Table};
use crate::render::LOOK_COLUMNS;
use crate::step::{HeadRow, Target};
use crate::warehouse::Answer;

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Whether there is a row for the key's head, with or without one.
    pub(crate) has_row: bool,
    /// Whether there are more rows than one, of which at most one was ever written to.
    pub(crate) has_empty: bool,
    pub(crate) head: Option<HeadRow>,
    /// Rows of the history.
    pub(crate) commits: u64,
    /// A pointer that the history does not know.
    pub(crate) stray: Option<HeadRow>,
    pub(crate) table: Table,
}

/// Reads the answer to a look.
pub(crate) fn seen(answer: &Answer, target: &Target) -> overlock_core::Result<Seen> {
    let mut seen = Seen::default();
    let mut columns = Vec::new();
    let mut pointer = None;
    let mut logged = Vec::new();
    let mut before = None;
    for row in &answer.rows {
        let cell = |name: &str| -> Option<&str> {
            let position = LOOK_COLUMNS.iter().position(|column| *column == name)?;
            row.get(position)?.as_deref()
        };
        match cell("kind") {
            Some("column") => {
                let number = |name: &str| cell(name).and_then(|text| text.parse().ok());
                let kind = cell("stream").unwrap_or_default();
                let column = Column {
                    name: cell("pipeline").unwrap_or_default().to_owned(),
                    kind: ColumnType::parse(kind, number("table"), number("id")),
                };
                columns.push((number_of(cell("head")), column));
                continue;
            }
            Some("count") => {
                seen.commits = cell("id").and_then(|id| id.parse().ok()).unwrap_or(0);
                continue;
            }
            Some("commit") => {
                logged.push(cell("id").unwrap_or_default().to_owned());
                // Of the head itself only the id is told, which is all that is new.
                if cell("head").is_some() {
                    before = Some(head_row(cell("head"))?);
                }
                continue;
            }
            _ => {}
        }
        let key = &target.key;
        let is_ours = cell("pipeline") == Some(key.pipeline.as_str())
            && cell("stream") == Some(key.stream.as_str());
        if !is_ours {
            if let Some(owner) = cell("id").and(cell("pipeline")) {
                return Err(taken(target, owner));
            }
            continue;
        }
        if cell("id").is_none() {
            seen.has_empty |= seen.has_row;
        } else if pointer.is_some() {
            return Err(two_heads(target));
        } else {
            seen.has_empty |= seen.has_row;
            pointer = Some(head_row(cell("head"))?);
        }
        seen.has_row = true;
    }
    if let Some(pointer) = pointer {
        let parent = pointer.parent;
        seen.table.mapping.clone_from(&pointer.mapping);
        if logged.contains(&pointer.id.to_string()) {
            seen.head = Some(pointer);
        } else {
            seen.head = before.filter(|before: &HeadRow| Some(before.id) == parent);
            if seen.head.is_none() && parent.is_some() {
                return Err(unreadable("HEAD"));
            }
            seen.stray = Some(pointer);
        }
    }
    columns.sort_by_key(|(position, _)| *position);
    seen.table.columns = columns.into_iter().map(|(_, column)| column).collect();
    Ok(seen)
}

fn number_of(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) fn unreadable(column: &'static str) -> Error {
    Error::new(
        ErrorKind::Destination,
        format!("read the column `{column}` of a head"),
    )
    .hint("somebody changed the tables `_OVERLOCK_...`; restore them with Snowflake's Time Travel")
}

fn head_row(text: Option<&str>) -> overlock_core::Result<HeadRow> {
    serde_json::from_str(text.unwrap_or_default()).map_err(|error| unreadable("HEAD").source(error))
}

pub(crate) fn two_heads(target: &Target) -> Error {
    Error::new(
        ErrorKind::Destination,
        format!(
            "trust the table of heads: it has two rows for {}",
            target.key
        ),
    )
    .hint(format!(
        "look at both rows and delete the one whose ID is not in {commits}: SELECT * FROM {heads} \
         WHERE PIPELINE = '{pipeline}' AND STREAM = '{stream}'",
        commits = target.commits,
        heads = target.heads,
        pipeline = target.key.pipeline,
        stream = target.key.stream,
    ))
}

pub(crate) fn taken(target: &Target, owner: &str) -> Error {
    let Target { key, table, .. } = target;
    let owner = overlock_core::text::printable(owner);
    Error::new(
        ErrorKind::Config,
        format!("use the table {table}: the pipeline `{owner}` fills it"),
    )
    .context("filled_by", &owner)
    .hint(format!(
        "give `{}` another schema, or run the pipeline `{owner}`",
        key.pipeline
    ))
}
