//! What is read of an object, in which pieces, and where its rows are remembered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use overlock_core::{ReadRequest, Stream, Timestamp};
use overlock_kit::files;

use crate::api;
use crate::describe::Object;
use crate::discovery;
use crate::ids::Shelf;
use crate::jobs::{Ask, Span};
use crate::limits;
use crate::source::Zuora;
use crate::state::{ONLY, Position};
use crate::streams::{self, Column};

/// What is read of an object, and where its rows are remembered.
pub(super) struct Target {
    pub(super) stream: Arc<Stream>,
    pub(super) columns: Vec<Column>,
    /// The field that windows are cut by.
    pub(super) key: Option<String>,
    pub(super) filter: Option<String>,
    pub(super) shelves: PathBuf,
}

/// A part of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) lower: Option<Timestamp>,
    /// `None`: the whole object.
    pub(super) upper: Option<Timestamp>,
    /// Rows after this Id.
    pub(super) after: Option<String>,
    /// Rows at most.
    pub(super) page: Option<u64>,
    /// Other conditions.
    pub(super) conditions: Vec<String>,
}

impl Target {
    pub(super) fn new(
        source: &Zuora,
        object: &Object,
        stream: &Arc<Stream>,
        filter: Option<&str>,
    ) -> Self {
        let shape = discovery::shape(source, &object.name, source.client().now());
        let columns = streams::columns(object, shape)
            .into_iter()
            .filter(|column| stream.schema.field_with_name(&column.name).is_ok())
            .collect();
        Self {
            columns,
            key: stream.replication_key.clone(),
            filter: filter.map(ToOwned::to_owned),
            shelves: source
                .shelves()
                .join(files::fingerprint(stream.name.as_str())),
            stream: Arc::clone(stream),
        }
    }

    /// What a run reads at first of an entity: what is new, or everything.
    pub(super) fn first_piece(
        &self,
        source: &Zuora,
        request: &ReadRequest,
        position: &Position,
        entity: &str,
        upper: Timestamp,
    ) -> Option<Piece> {
        if self.key.is_none() {
            return Some(Piece::default());
        }
        let lower = position
            .mark(entity)
            .map(|mark| mark.minus(source.tuning().overlap))
            .max(start(source, request))
            .map(Timestamp::floor_second);
        if position.mark(entity).is_some_and(|mark| mark >= upper) || lower >= Some(upper) {
            return None;
        }
        Some(Piece {
            lower,
            upper: Some(upper),
            ..Piece::default()
        })
    }

    /// The window that a job of an earlier run covers.
    pub(super) fn kept(
        &self,
        source: &Zuora,
        request: &ReadRequest,
        position: &Position,
        entity: &str,
    ) -> Option<Kept> {
        let now = source.client().now();
        let piece = self.first_piece(source, request, position, entity, now)?;
        piece.upper?;
        let shape = self.ask(&piece).shape(source.learnt());
        let stream = self.stream.name.as_str();
        let (job, query) = source
            .kept()
            .find(entity, stream, &shape, piece.lower, now)?;
        Some(Kept {
            lower: piece.lower,
            upper: query.upper,
            job,
            query: query.name,
        })
    }

    /// Columns that change without moving the stamp.
    pub(super) fn silent_names(&self) -> impl Iterator<Item = &str> {
        streams::silent_columns(&self.columns, self.stream.name.as_str())
            .into_iter()
            .map(|column| column.name.as_str())
    }

    pub(super) fn ask(&self, piece: &Piece) -> Ask {
        let mut conditions = piece.conditions.clone();
        conditions.extend(self.filter.as_ref().map(|filter| format!("({filter})")));
        conditions.extend(piece.after.as_deref().map(api::after));
        let span = match (&self.key, piece.upper) {
            (Some(key), Some(upper)) => Span::Window {
                key: key.clone(),
                lower: piece.lower,
                upper,
            },
            _ => Span::Whole,
        };
        Ask {
            stream: self.stream.name.clone(),
            columns: self.columns.clone(),
            conditions,
            span,
            page: piece.page,
            deletes: self.key.is_some(),
        }
    }

    pub(super) fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(&self.stream.schema))
    }

    pub(super) fn shelf(&self, what: &str, entity: &str) -> Shelf {
        let entity = match entity {
            ONLY => "only".to_owned(),
            entity => files::fingerprint(entity),
        };
        Shelf::new(self.shelves.join(entity).join(what))
    }

    /// Ids that were delivered.
    pub(super) fn known(&self, entity: &str) -> Shelf {
        self.shelf("known", entity)
    }

    /// Of these, the ones that were delivered as deleted.
    pub(super) fn gone(&self, entity: &str) -> Shelf {
        self.shelf("gone", entity)
    }

    /// Ids that were delivered apart from windows, and count once the state says that they are committed.
    pub(super) fn pending(&self, what: &str, entity: &str) -> Shelf {
        self.shelf(&format!("pending-{what}"), entity)
    }
}

/// A window whose rows a job of an earlier run has.
pub(super) struct Kept {
    pub(super) lower: Option<Timestamp>,
    pub(super) upper: Timestamp,
    pub(super) job: String,
    pub(super) query: String,
}

/// Rows from before are not wanted.
pub(super) fn start(source: &Zuora, request: &ReadRequest) -> Option<Timestamp> {
    let start = request.since.or(source.tuning().start_date);
    start.map(Timestamp::floor_second)
}

/// Where windows without a beginning begin, when they are halved.
pub(super) fn beginning() -> Timestamp {
    Timestamp::parse(limits::BEGINNING).unwrap_or(Timestamp::EPOCH)
}

/// The same in smaller pieces; `None` if they are as small as they get.
pub(super) fn smaller(piece: &Piece) -> Option<Vec<Piece>> {
    if let Some(rows) = piece.page {
        let page = rows / 2;
        return (page >= limits::MIN_ID_PAGE_ROWS).then(|| {
            vec![Piece {
                page: Some(page),
                ..piece.clone()
            }]
        });
    }
    let by_id = || {
        vec![Piece {
            page: Some(limits::ID_PAGE_ROWS),
            ..piece.clone()
        }]
    };
    let Some(upper) = piece.upper else {
        return Some(by_id());
    };
    let begin = piece.lower.unwrap_or(beginning());
    let half = begin.plus(upper.since(begin) / 2).floor_second();
    if half <= begin || upper.since(begin) < Duration::from_secs(2) {
        return Some(by_id());
    }
    let first = Piece {
        upper: Some(half),
        ..piece.clone()
    };
    let second = Piece {
        lower: Some(half),
        ..piece.clone()
    };
    Some(vec![first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn windows_are_halved_to_a_second_and_then_read_by_id() {
        let mut piece = Piece {
            lower: Some(time("2026-01-01")),
            upper: Some(time("2026-01-02")),
            ..Piece::default()
        };
        let mut steps = 0;
        while let Some(pieces) = smaller(&piece)
            && pieces.len() == 2
        {
            assert_eq!(pieces[0].lower, piece.lower);
            assert_eq!(pieces[0].upper, pieces[1].lower);
            assert_eq!(pieces[1].upper, piece.upper);
            piece = pieces[steps % 2].clone();
            steps += 1;
        }
        assert!(steps >= 16, "{steps}");
        let mut pages = Vec::new();
        while let Some(mut pieces) = smaller(&piece) {
            assert_eq!(pieces.len(), 1);
            piece = pieces.remove(0);
            pages.push(piece.page.unwrap());
        }
        assert_eq!(pages[0], limits::ID_PAGE_ROWS);
        assert!(*pages.last().unwrap() >= limits::MIN_ID_PAGE_ROWS);
        assert!(pages.windows(2).all(|pair| pair[0] / 2 == pair[1]));
    }

    #[test]
    fn a_window_without_a_beginning_keeps_its_first_half_open() {
        let piece = Piece {
            upper: Some(time("2026-01-01")),
            ..Piece::default()
        };
        let halves = smaller(&piece).unwrap();
        assert_eq!(halves[0].lower, None);
        assert_eq!(halves[0].upper, halves[1].lower);
        let whole = smaller(&Piece::default()).unwrap();
        assert_eq!(whole[0].page, Some(limits::ID_PAGE_ROWS));
    }
}
