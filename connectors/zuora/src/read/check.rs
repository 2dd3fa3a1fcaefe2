//! What rows have to be like, and what is filled in that results do not have.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use overlock_core::stream::{DELETED, EXTRA};
use overlock_core::{Error, ErrorKind, Result, Timestamp};
use overlock_kit::files;
use serde_json::{Map, Value};

use crate::streams::ENTITY;

/// An Id as 32 hexadecimal digits, which take little room: custom objects have hyphens in theirs.
pub(super) fn compact(id: &str) -> String {
    let digits = id.replace('-', "");
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_plain = digits.len() == 32
        && digits.bytes().all(is_digit)
        && (id.len() == 32
            || [8, 13, 18, 23]
                .iter()
                .all(|at| id.as_bytes().get(*at) == Some(&b'-')));
    if is_plain {
        return digits;
    }
    files::fingerprint(id)
}

/// Refuses rows that the query should not have given: then it is not known which ones it should have.
pub(super) fn check_window(
    batch: &RecordBatch,
    key: Option<&str>,
    lower: Option<Timestamp>,
    upper: Option<Timestamp>,
) -> Result<()> {
    let (Some(key), Some(upper)) = (key, upper) else {
        return Ok(());
    };
    let outside = |what: &str| {
        Error::new(
            ErrorKind::Data,
            format!("believe a result: {what}, which its query does not let through"),
        )
    };
    let stamps = batch
        .column_by_name(key)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| Error::bug("read rows without a stamp"))?;
    if stamps.null_count() > 0 {
        if lower.is_some() {
            return Err(outside("a row has no stamp that can be read"));
        }
        let mut unstamped = (0..batch.num_rows()).filter(|row| stamps.is_null(*row));
        if unstamped.any(|row| is_kept_apart(batch, row, key)) {
            return Err(outside("a row has a stamp that is no instant"));
        }
    }
    let (lower, upper) = (lower.map_or(i64::MIN, Timestamp::micros), upper.micros());
    let bad = stamps
        .iter()
        .flatten()
        .find(|stamp| !(lower..upper).contains(stamp));
    match bad.and_then(Timestamp::from_micros) {
        Some(stamp) => Err(outside(&format!("a row is stamped {stamp}"))),
        None => Ok(()),
    }
}

/// Whether a value did not fit its column.
fn is_kept_apart(batch: &RecordBatch, row: usize, column: &str) -> bool {
    let extra = batch
        .column_by_name(EXTRA)
        .and_then(|column| column.as_string_opt::<i32>());
    let kept = extra.filter(|extra| extra.is_valid(row));
    kept.and_then(|extra| serde_json::from_str::<Map<String, Value>>(extra.value(row)).ok())
        .is_some_and(|kept| kept.contains_key(column))
}

/// Fills in which entity rows belong to, and that those are alive which nothing marks as deleted.
pub(super) fn fill_in(
    batch: &RecordBatch,
    deleted: Option<&str>,
    entity: Option<&str>,
) -> Result<RecordBatch> {
    let schema = batch.schema();
    let mut columns = batch.columns().to_vec();
    let at = |name: &str| schema.index_of(name).ok();
    let marks = deleted.zip(at(DELETED)).and_then(|(source, at)| {
        let marks = batch.column(at).as_boolean_opt()?;
        (marks.null_count() > 0).then_some((source, at, marks))
    });
    if let Some((source, at, marks)) = marks {
        let mut unmarked = (0..marks.len()).filter(|row| marks.is_null(*row));
        if unmarked.any(|row| is_kept_apart(batch, row, source)) {
            return Err(Error::new(
                ErrorKind::Data,
                "tell deleted rows from others: the mark of one is neither true nor false",
            ));
        }
        if let Some(column) = columns.get_mut(at) {
            let all = marks.iter().map(|mark| Some(mark.unwrap_or(false)));
            *column = Arc::new(all.collect::<BooleanArray>());
        }
    }
    let entity = entity.zip(at(ENTITY));
    if let Some((entity, column)) =
        entity.and_then(|(entity, at)| Some((entity, columns.get_mut(at)?)))
    {
        let all = std::iter::repeat_n(entity, batch.num_rows());
        *column = Arc::new(StringArray::from_iter_values(all));
    }
    RecordBatch::try_new(schema, columns).map_err(|error| Error::bug("build a batch").source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use overlock_core::stream::{json_field, timestamp_type};
    use overlock_kit::rows::{JsonDecoder, Options};

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn decoded(rows: &str) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("updateddate", timestamp_type(), true),
            Field::new(DELETED, DataType::Boolean, true),
            json_field(EXTRA),
        ]));
        let options = Options {
            deleted_from: Some("deleted".to_owned()),
            ..Options::default()
        };
        let mut batches = Vec::new();
        let mut decoder = JsonDecoder::new(schema, options).unwrap();
        decoder.page(rows.as_bytes(), &mut batches).unwrap();
        batches.remove(0)
    }

    #[test]
    fn stamps_outside_of_their_window_or_not_readable_are_not_believed() {
        let begun = Some(time("2026-01-01"));
        let first = None;
        for (rows, lower, good) in [
            (
                r#"[{"updateddate":"2026-01-01T00:00:00.000Z"}]"#,
                begun,
                true,
            ),
            (
                r#"[{"updateddate":"2026-01-01T23:59:59.999Z"}]"#,
                begun,
                true,
            ),
            (
                r#"[{"updateddate":"2026-01-02T00:00:00.000Z"}]"#,
                begun,
                false,
            ),
            (
                r#"[{"updateddate":"2025-12-31T23:59:59.999Z"}]"#,
                begun,
                false,
            ),
            (r#"[{"updateddate":null}]"#, begun, false),
            (
                r#"[{"updateddate":"1970-01-01T00:00:00Z"},{"updateddate":null}]"#,
                first,
                true,
            ),
            (r#"[{"updateddate":"2026-01-02 00:00"}]"#, first, false),
            (r#"[{"updateddate":"soon"}]"#, first, false),
        ] {
            let (key, upper) = (Some("updateddate"), Some(time("2026-01-02")));
            let checked = check_window(&decoded(rows), key, lower, upper);
            assert_eq!(checked.is_ok(), good, "{rows}");
            let whole = check_window(&decoded(rows), key, None, None);
            assert!(whole.is_ok());
        }
    }

    #[test]
    fn rows_are_alive_unless_they_are_marked_and_no_mark_is_guessed() {
        let batch = decoded(r#"[{"deleted":true},{"deleted":null},{"deleted":false},{}]"#);
        let filled = fill_in(&batch, Some("deleted"), None).unwrap();
        let marks: Vec<_> = filled.column(1).as_boolean().iter().collect();
        assert_eq!(marks, [Some(true), Some(false), Some(false), Some(false)]);
        let odd = decoded(r#"[{"deleted":"perhaps"}]"#);
        assert!(fill_in(&odd, Some("deleted"), None).is_err());
    }

    #[test]
    fn ids_of_custom_objects_take_as_little_room_as_others() {
        for (id, expected) in [
            (
                "2c92c0f85d8a4e1d0000000000000010",
                "2c92c0f85d8a4e1d0000000000000010",
            ),
            (
                "5948abde-b875-4d06-ad07-c2138853d8bc",
                "5948abdeb8754d06ad07c2138853d8bc",
            ),
        ] {
            assert_eq!(compact(id), expected);
        }
        assert_ne!(compact("A-1"), compact("A1"));
        assert_ne!(
            compact("5948abdeb-875-4d06-ad07-c2138853d8bc"),
            "5948abdeb8754d06ad07c2138853d8bc"
        );
    }
}
