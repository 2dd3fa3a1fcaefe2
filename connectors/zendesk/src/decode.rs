//! Records to batches of the stream's columns, on a thread of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use overlock_core::stream::{EXTRA, json_field};
use overlock_core::{Error, ErrorKind, Result, Stream};
use overlock_kit::rows::{Counts, JsonDecoder, Options};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::columns;
use crate::streams::Spec;

/// Keys of records that are not data of the record: `fields` repeats `custom_fields`, and a metric set is a row of
/// its own stream.
const SKIPPED: &[&str] = &["fields", "metric_set"];

/// Prefix of the column of a custom field.
pub(crate) const CUSTOM: &str = "cf_";

/// Decodes the records of one stream, two pages at a time if need be: one thread alone is slower than the network.
#[derive(Debug)]
pub(crate) struct Decoder {
    spec: &'static Spec,
    target: SchemaRef,
    /// Those that do not work now; they move to the thread that works, and back.
    idle: Vec<Inner>,
}

/// A page that is being decoded.
#[derive(Debug)]
pub(crate) struct Decoding(JoinHandle<(Inner, Batches)>);

/// Rows, and what was seen in them.
type Batches = Result<(Vec<Decoded>, Counts)>;

/// Rows of the stream's columns, with the epoch seconds that the stream goes by.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) batch: RecordBatch,
    /// Also where the column itself was left out by the pipeline; nothing for streams without stamps.
    pub(crate) seconds: Vec<Option<i64>>,
}

#[derive(Debug)]
struct Inner {
    spec: &'static Spec,
    target: SchemaRef,
    json: JsonDecoder,
    custom: Option<JsonDecoder>,
}

impl Decoder {
    /// Prepares for records of `spec`, to be given out with the columns of `stream`.
    ///
    /// # Errors
    /// `Bug` if the columns cannot be decoded.
    pub(crate) fn new(spec: &'static Spec, stream: &Stream) -> Result<Self> {
        let target = Arc::clone(&stream.schema);
        let first = Inner::new(spec, &target)?;
        Ok(Self {
            spec,
            target,
            idle: vec![first],
        })
    }

    /// Decodes a JSON array of records.
    ///
    /// # Errors
    /// `Data` if it is not an array of objects.
    pub(crate) async fn records(&mut self, records: Bytes) -> Result<(Vec<Decoded>, Counts)> {
        let decoding = self.start(records)?;
        self.finish(decoding).await
    }

    /// Begins with a JSON array of records. Whoever begins with several finishes them in their order.
    ///
    /// # Errors
    /// `Bug` if the columns cannot be decoded.
    pub(crate) fn start(&mut self, records: Bytes) -> Result<Decoding> {
        let mut inner = match self.idle.pop() {
            Some(inner) => inner,
            None => Inner::new(self.spec, &self.target)?,
        };
        let work = move || {
            let decoded = inner.records(&records);
            (inner, decoded)
        };
        Ok(Decoding(tokio::task::spawn_blocking(work)))
    }

    /// Waits for the rows.
    ///
    /// # Errors
    /// `Data` if it is not an array of objects.
    pub(crate) async fn finish(&mut self, decoding: Decoding) -> Result<(Vec<Decoded>, Counts)> {
        let (inner, decoded) = decoding
            .0
            .await
            .map_err(|error| Error::bug("decode a page").source(error))?;
        self.idle.push(inner);
        decoded
    }
}

impl Inner {
    fn new(spec: &'static Spec, target: &SchemaRef) -> Result<Self> {
        let full = columns::schema(spec.columns, spec.deleted, &[])?;
        let options = Options {
            skip_keys: SKIPPED.iter().map(|key| (*key).to_owned()).collect(),
            zoneless_is_utc: true,
            ..Options::default()
        };
        let mut fields: Vec<Field> = target
            .fields()
            .iter()
            .filter(|field| field.name().starts_with(CUSTOM))
            .map(|field| field.as_ref().clone())
            .collect();
        let custom = if fields.is_empty() {
            None
        } else {
            fields.push(json_field(EXTRA));
            let schema = Arc::new(Schema::new(fields));
            Some(JsonDecoder::new(schema, Options::default())?)
        };
        Ok(Inner {
            spec,
            target: Arc::clone(target),
            json: JsonDecoder::new(full, options)?,
            custom,
        })
    }

    fn records(&mut self, records: &[u8]) -> Result<(Vec<Decoded>, Counts)> {
        let mut batches = Vec::new();
        let counts = self.json.page(records, &mut batches)?;
        let mut ready = Vec::with_capacity(batches.len());
        for batch in batches {
            for key in self.spec.key {
                if batch
                    .column_by_name(key)
                    .is_none_or(|keys| keys.null_count() > 0)
                {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!(
                            "tell rows apart: Zendesk sent one of `{}` without a `{key}` that can be used",
                            self.spec.name
                        ),
                    )
                    .hint(
                        "Zendesk has changed this list, or it is no list of this kind: report it",
                    ));
                }
            }
            let seconds = match self.spec.stamp() {
                Some(stamp) => seconds(&batch, stamp)?,
                None => Vec::new(),
            };
            let mut batch = columns::mark(batch, self.spec.deleted)?;
            if let Some(custom) = &mut self.custom {
                batch = with_custom_fields(batch, custom)?;
            }
            let batch = columns::select(&batch, &self.target)?;
            ready.push(Decoded { batch, seconds });
        }
        Ok((ready, counts))
    }
}

/// Adds the typed columns of custom fields, from the list that stays as it came.
fn with_custom_fields(batch: RecordBatch, decoder: &mut JsonDecoder) -> Result<RecordBatch> {
    #[derive(Deserialize)]
    struct Value<'a> {
        id: i64,
        #[serde(borrow, default)]
        value: Option<&'a RawValue>,
    }
    let wrong = || Error::bug("read the column `custom_fields`");
    let lists = batch
        .column_by_name("custom_fields")
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(wrong)?;
    let mut text = String::with_capacity(lists.values().len());
    text.push('[');
    for row in 0..lists.len() {
        if row > 0 {
            text.push(',');
        }
        text.push('{');
        let list = if lists.is_valid(row) {
            lists.value(row)
        } else {
            "[]"
        };
        // A list of another form stays in its own column, and the typed ones are null.
        let values: Vec<Value<'_>> = serde_json::from_str(list).unwrap_or_default();
        let mut first = true;
        for Value { id, value } in values {
            if let Some(value) = value {
                text.push_str(if first { "\"" } else { ",\"" });
                text.extend([CUSTOM, &id.to_string(), "\":", value.get()]);
                first = false;
            }
        }
        text.push('}');
    }
    text.push(']');
    let mut typed = Vec::new();
    decoder.page(text.as_bytes(), &mut typed)?;
    let Some(schema) = typed.first().map(RecordBatch::schema) else {
        return Ok(batch);
    };
    let typed = arrow::compute::concat_batches(&schema, &typed)
        .map_err(|error| Error::bug("join the columns of custom fields").source(error))?;
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (field, column) in typed.schema().fields().iter().zip(typed.columns()) {
        if field.name() != EXTRA {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::bug("add the columns of custom fields").source(error))
}

/// The column of a custom field of this type.
pub(crate) fn custom_field(id: i64, kind: &str, title: &str) -> Field {
    let name = format!("{CUSTOM}{id}");
    let field = match kind {
        "checkbox" => Field::new(name, DataType::Boolean, true),
        "integer" => Field::new(name, DataType::Int64, true),
        "date" => Field::new(name, DataType::Date32, true),
        // Text or number; ten digits behind the point, more than Zendesk shows.
        "decimal" => Field::new(name, DataType::Decimal128(38, 10), true),
        "text" | "textarea" | "regexp" | "partialcreditcard" | "tagger" | "lookup" => {
            Field::new(name, DataType::Utf8, true)
        }
        _ => json_field(name),
    };
    let mut metadata: std::collections::HashMap<_, _> = field.metadata().clone();
    metadata.insert("overlock.title".to_owned(), title.to_owned());
    field.with_metadata(metadata)
}

/// The hash of each row's whole content, the same on every machine.
///
/// # Errors
/// `Bug` if a column cannot be compared.
pub(crate) fn hashes(batch: &RecordBatch) -> Result<Vec<u64>> {
    let failed = |error| Error::bug("compare rows").source(error);
    let fields = batch
        .schema()
        .fields()
        .iter()
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields).map_err(failed)?;
    let rows = converter.convert_columns(batch.columns()).map_err(failed)?;
    Ok(rows
        .iter()
        .map(|row| {
            let digest = Sha256::digest(row.as_ref());
            digest
                .iter()
                .take(8)
                .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
        })
        .collect())
}

/// The key of each row as text, its parts joined by `|`.
///
/// # Errors
/// `Bug` if there is no such column.
pub(crate) fn keys(batch: &RecordBatch, key: &[String]) -> Result<Vec<String>> {
    let mut keys = vec![String::new(); batch.num_rows()];
    for (part, name) in key.iter().enumerate() {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::bug(format!("find the key column `{name}`")))?;
        for (row, key) in keys.iter_mut().enumerate() {
            if part > 0 {
                key.push('|');
            }
            if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
                if numbers.is_valid(row) {
                    key.push_str(&numbers.value(row).to_string());
                }
            } else if let Some(text) = column.as_string_opt::<i32>()
                && text.is_valid(row)
            {
                key.push_str(text.value(row));
            }
        }
    }
    Ok(keys)
}

/// Epoch seconds of each row by a column of instants or of epoch seconds.
///
/// # Errors
/// `Bug` if there is no such column.
fn seconds(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| Error::bug(format!("find the column `{name}`")))?;
    if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
        return Ok(numbers.iter().collect());
    }
    let instants = column
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| Error::bug(format!("read the column `{name}` as an instant")))?;
    Ok(instants
        .iter()
        .map(|micros| micros.map(|micros| micros.div_euclid(1_000_000)))
        .collect())
}

/// The rows that are to be kept.
///
/// # Errors
/// `Bug` if the lengths differ.
pub(crate) fn filter(batch: &RecordBatch, keep: Vec<bool>) -> Result<RecordBatch> {
    if keep.iter().all(|keep| *keep) {
        return Ok(batch.clone());
    }
    arrow::compute::filter_record_batch(batch, &keep.into())
        .map_err(|error| Error::bug("leave out rows").source(error))
}

/// A batch of deleted rows of which only the key is known.
///
/// # Errors
/// `Bug` if the key cannot be written.
pub(crate) fn tombstones(stream: &Stream, gone: &BTreeMap<String, u64>) -> Result<RecordBatch> {
    use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, new_null_array};
    let parts = |at: usize| gone.keys().map(move |key| key.split('|').nth(at));
    let columns: Vec<ArrayRef> = stream
        .schema
        .fields()
        .iter()
        .map(|field| {
            if field.name() == overlock_core::stream::DELETED {
                return Arc::new(BooleanArray::from(vec![true; gone.len()])) as ArrayRef;
            }
            match stream
                .primary_key
                .iter()
                .position(|key| key == field.name())
            {
                Some(at) if *field.data_type() == DataType::Int64 => Arc::new(
                    parts(at)
                        .map(|part| part.and_then(|part| part.parse::<i64>().ok()))
                        .collect::<Int64Array>(),
                ),
                Some(at) => Arc::new(parts(at).collect::<StringArray>()),
                None => new_null_array(field.data_type(), gone.len()),
            }
        })
        .collect();
    RecordBatch::try_new(Arc::clone(&stream.schema), columns)
        .map_err(|error| Error::bug("write deleted rows").source(error))
}
