//! SQL over tables, by DataFusion.
//!
//! DataFusion knows nothing of our files: it asks [`Rows`] for the columns it needs and gets their
//! batches, read on a blocking thread and handed over through a short queue.
//! So it sees exactly what every other reader sees, and memory stays bounded by what the query holds.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use overlock_core::{Error, ErrorKind, Result};

use crate::rows::Rows;

/// Batches that wait for DataFusion at most.
const QUEUE: usize = 2;

/// Runs one SQL query over rows under their given names, and returns all rows of its result.
///
/// Only queries: nothing that makes, fills or drops a table, and nothing that sets options.
///
/// # Errors
/// `Config` if the statement is wrong or is no query; errors of [`Rows::scan`].
pub async fn query(tables: &[(String, Rows)], sql: &str) -> Result<Vec<RecordBatch>> {
    let context = SessionContext::new_with_config(
        SessionConfig::new()
            .with_information_schema(true)
            // Columns keep the source's own names: people write them as they see them, without quotes.
            .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
            .with_target_partitions(1),
    );
    for (name, rows) in tables {
        let provider = Provider {
            schema: rows.schema()?,
            rows: rows.clone(),
        };
        let quoted = datafusion::sql::TableReference::bare(name.as_str());
        context
            .register_table(quoted, Arc::new(provider))
            .map_err(refused)?;
    }
    let only_queries = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let frame = context
        .sql_with_options(sql, only_queries)
        .await
        .map_err(refused)?;
    frame.collect().await.map_err(refused)
}

/// Errors of our own scan come back as they went in; the rest is the statement's fault.
fn refused(error: DataFusionError) -> Error {
    let error = match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<ScanFailed>() {
            Some(ScanFailed { kind, message }) => return Error::new(*kind, message.clone()),
            None => error,
        },
        _ => error,
    };
    Error::new(ErrorKind::Config, "run the query")
        .hint("names are case-sensitive; `inspect TABLE schema` lists the columns")
        .source(error)
}

/// An error of ours on its way through DataFusion.
#[derive(Debug)]
struct ScanFailed {
    kind: ErrorKind,
    message: String,
}

impl fmt::Display for ScanFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScanFailed {}

fn carried(error: &Error) -> DataFusionError {
    let carried = ScanFailed {
        kind: error.kind(),
        message: error.to_string(),
    };
    DataFusionError::External(Box::new(carried))
}

#[derive(Debug)]
struct Provider {
    schema: SchemaRef,
    rows: Rows,
}

#[async_trait]
impl TableProvider for Provider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let stream = Stream {
            schema: Arc::clone(&schema),
            rows: self.rows.clone(),
        };
        let plan =
            StreamingTableExec::try_new(schema, vec![Arc::new(stream)], None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// The only partition of a table.
#[derive(Debug)]
struct Stream {
    schema: SchemaRef,
    rows: Rows,
}

impl PartitionStream for Stream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), QUEUE);
        let sender = builder.tx();
        let rows = self.rows.clone();
        let columns: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        builder.spawn_blocking(move || {
            let scan = rows.scan(Some(&columns)).map_err(|error| carried(&error))?;
            for batch in scan {
                // Nobody listens any more once a limit is reached.
                if sender
                    .blocking_send(batch.map_err(|error| carried(&error)))
                    .is_err()
                {
                    break;
                }
            }
            Ok(())
        });
        builder.build()
    }
}
