//! What the tables of overlock's own say.

use overlock_core::SyncKey;

use super::{CommitLine, Database, missing};
use crate::column::ColumnType;
use crate::sql::Name;
use crate::step::{HeadRow, Target};
use crate::warehouse::{Answer, Result};

impl Database {
    fn history(&self, commits: &Name) -> &[CommitLine] {
        self.commits.get(commits).map_or(&[], Vec::as_slice)
    }

    pub(super) fn show_commits(&self, commits: &Name) -> Answer {
        let shown = self.commits.get(commits).map(|lines| {
            let cells = [
                "2026-01-01",
                commits.object.as_str(),
                &lines.len().to_string(),
            ]
            .map(|cell| Some(cell.to_owned()));
            cells.to_vec()
        });
        Answer {
            columns: ["created_on", "name", "rows"]
                .map(ToOwned::to_owned)
                .to_vec(),
            rows: shown.into_iter().collect(),
        }
    }

    pub(super) fn look_all(&self, target: &Target) -> Result<Answer> {
        let lines = self
            .heads
            .get(&target.heads)
            .ok_or_else(|| missing(&target.heads))?;
        let history = self.history(&target.commits);
        let rows = lines.iter().map(|line| {
            let id = line.head.as_ref().map(|head| head.id);
            let parent = line.head.as_ref().and_then(|head| head.parent);
            let logged = |id| history.iter().find(|commit| Some(commit.head.id) == id);
            let is_logged = id.and_then(|_| logged(id));
            let known = is_logged.or_else(|| parent.and_then(|_| logged(parent)));
            let known = known.filter(|_| line.key.pipeline == target.key.pipeline);
            vec![
                Some(line.key.pipeline.to_string()),
                Some(line.key.stream.to_string()),
                Some(line.table.clone()),
                id.map(|id| id.to_string()),
                parent.map(|parent| parent.to_string()),
                known.map(|commit| {
                    let head = HeadRow {
                        mapping: Vec::new(),
                        ..commit.head.clone()
                    };
                    serde_json::to_string(&head).unwrap()
                }),
                is_logged.map(|commit| commit.head.id.to_string()),
                Some(history.len().to_string()),
            ]
        });
        Ok(Answer {
            columns: Vec::new(),
            rows: rows.collect(),
        })
    }

    pub(super) fn look(&self, target: &Target) -> Result<Answer> {
        let lines = self
            .heads
            .get(&target.heads)
            .ok_or_else(|| missing(&target.heads))?;
        let mut rows = Vec::new();
        let text = |value: &str| Some(value.to_owned());
        let describe = |kind: &str, key: &SyncKey, table: &str, head: Option<&HeadRow>| {
            vec![
                text(kind),
                text(key.pipeline.as_str()),
                text(key.stream.as_str()),
                text(table),
                head.map(|head| head.id.to_string()),
                head.map(|head| serde_json::to_string(head).unwrap()),
            ]
        };
        for line in lines {
            if line.key == target.key || line.table == target.table.object {
                rows.push(describe("head", &line.key, &line.table, line.head.as_ref()));
            }
            if line.key != target.key {
                continue;
            }
            for commit in self.commits.get(&target.commits).into_iter().flatten() {
                let id = Some(commit.head.id);
                let named = line
                    .head
                    .as_ref()
                    .is_some_and(|head| Some(head.id) == id || head.parent == id);
                if named {
                    let mut logged = describe("commit", &commit.key, "", Some(&commit.head));
                    if line.head.as_ref().is_none_or(|head| head.parent != id) {
                        logged[5] = None;
                    }
                    rows.push(logged);
                }
            }
        }
        let count = self.history(&target.commits).len().to_string();
        rows.push(vec![text("count"), None, None, None, Some(count), None]);
        let columns = self.tables.get(&target.table).map(|table| &table.columns);
        for (position, (name, kind)) in columns.into_iter().flatten().enumerate() {
            let (kind, precision, scale) = match kind {
                ColumnType::Number(precision, scale) => (
                    "NUMBER".to_owned(),
                    Some(precision.to_string()),
                    Some(scale.to_string()),
                ),
                ColumnType::Text => ("TEXT".to_owned(), None, None),
                other => (other.to_string(), None, None),
            };
            let position = (position + 1).to_string();
            rows.push(vec![
                text("column"),
                text(name),
                Some(kind),
                precision,
                scale,
                Some(position),
            ]);
        }
        Ok(Answer {
            columns: Vec::new(),
            rows,
        })
    }
}
