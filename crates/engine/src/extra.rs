//! Counting the values that did not fit the table.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use overlock_core::stream::EXTRA;

/// Values that the source's decoder put aside in `_extra`.
pub(crate) fn extra_values(batch: &RecordBatch) -> u64 {
    let Some(column) = batch.column_by_name(EXTRA) else {
        return 0;
    };
    if column.data_type() != &DataType::Utf8 || column.null_count() == column.len() {
        return 0;
    }
    let keys = |text: &str| {
        // Only the keys are looked at; a text that is no object is one value.
        type Keys<'a> = std::collections::HashMap<String, &'a serde_json::value::RawValue>;
        serde_json::from_str::<Keys<'_>>(text).map_or(1, |keys| keys.len() as u64)
    };
    column.as_string::<i32>().iter().flatten().map(keys).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn the_keys_of_each_row_are_counted() {
        for (texts, expected) in [
            (vec![None, None], 0),
            (vec![Some("{}"), None], 0),
            (
                vec![Some(r#"{"a":1,"b":{"c":[2,3]}}"#), Some(r#"{"x":null}"#)],
                3,
            ),
            (vec![Some("not json")], 1),
        ] {
            let column: ArrayRef = Arc::new(StringArray::from(texts));
            let batch = RecordBatch::try_from_iter_with_nullable([(EXTRA, column, true)]).unwrap();
            assert_eq!(extra_values(&batch), expected);
        }
    }
}
