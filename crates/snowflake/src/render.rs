//! The SQL of each step.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use overlock_core::{CommitId, Part, SyncKey};

use crate::column::{ColumnType, Route};
use crate::sql::{Name, literal, literal_or_null, quoted};
use crate::step::{Choice, Claim, ExternalStage, HeadRow, Keys, Load, Step, StrayValue, Target};

/// The SQL of a step: one statement, without a comment and without a semicolon.
pub fn render(step: &Step) -> String {
    match step {
        Step::CreateSchema(place) => format!("CREATE SCHEMA IF NOT EXISTS {place}"),
        Step::CreateHeads(heads) => format!(
            "CREATE TABLE IF NOT EXISTS {heads} (\n  \"PIPELINE\" VARCHAR, \"STREAM\" VARCHAR, \
             \"TABLE_NAME\" VARCHAR,\n  \"ID\" VARCHAR, \"PARENT\" VARCHAR, \"ATTEMPT\" VARCHAR, \"HEAD\" VARCHAR\n)"
        ),
        Step::CreateCommits(commits) => format!(
            "CREATE TABLE IF NOT EXISTS {commits} (\n  \"PIPELINE\" VARCHAR, \"STREAM\" VARCHAR, \
             \"TABLE_NAME\" VARCHAR,\n  \"ID\" VARCHAR, \"PARENT\" VARCHAR, \"HEAD\" VARCHAR,\n  \
             \"ROW_COUNT\" NUMBER(38, 0), \"COMMITTED_AT\" TIMESTAMP_TZ, \
             \"UNPARSED_JSON\" NUMBER(38, 0)\n)"
        ),
        Step::CreateStage { stage, external } => create_stage(stage, external.as_ref()),
        Step::ShowCommits(commits) => format!(
            "SHOW TABLES LIKE {} IN SCHEMA {}",
            literal(&commits.object),
            commits.place
        ),
        Step::LookAll(target) => look_all(target),
        Step::Look(target) => look(target),
        Step::AddHead(target) => {
            let Target { heads, table, .. } = target;
            let (pipeline, stream) = key(&target.key);
            format!(
                "INSERT INTO {heads} (\"PIPELINE\", \"STREAM\", \"TABLE_NAME\")\n\
                 SELECT {pipeline}, {stream}, {table}\n\
                 WHERE NOT EXISTS (SELECT 1 FROM {heads} WHERE \"PIPELINE\" = {pipeline} AND \
                 \"STREAM\" = {stream})",
                table = literal(&table.object),
            )
        }
        Step::DropEmptyHeads(target) => {
            let (pipeline, stream) = key(&target.key);
            format!(
                "DELETE FROM {}\nWHERE \"PIPELINE\" = {pipeline} AND \"STREAM\" = {stream} AND \"ID\" IS NULL",
                target.heads
            )
        }
        Step::AskTime => {
            "SELECT DATE_PART('EPOCH_SECOND', CURRENT_TIMESTAMP())::VARCHAR AS \"NOW\"".to_owned()
        }
        Step::DescribeUser(user) => format!("DESCRIBE USER {}", quoted(user)),
        Step::DescribeStage(stage) => format!("DESCRIBE STAGE {stage}"),
        Step::CountRows(table) => format!("SELECT COUNT(*)::VARCHAR AS \"ROW_COUNT\" FROM {table}"),
        Step::CreateTable { table, columns } => format!(
            "CREATE TABLE IF NOT EXISTS {table} (\n  {}\n)",
            definitions(columns)
        ),
        Step::AddColumns { table, columns } => {
            let columns: Vec<String> = columns
                .iter()
                .map(|(name, kind)| format!("IF NOT EXISTS {} {kind}", quoted(name)))
                .collect();
            format!("ALTER TABLE {table} ADD COLUMN {}", columns.join(", "))
        }
        Step::Widen {
            table,
            column,
            kind,
        } => format!(
            "ALTER TABLE {table} ALTER COLUMN {} SET DATA TYPE {kind}",
            quoted(column)
        ),
        Step::CreateStaging { staging, columns } => format!(
            "CREATE OR REPLACE TRANSIENT TABLE {staging} (\n  {}\n)",
            definitions(columns)
        ),
        Step::Upload {
            stage,
            prefix,
            dir,
            files,
        } => {
            let url = format!("file://{}", put_path(dir, files).display());
            // The space keeps the driver's own uploader out, which knows one cloud of three.
            format!(
                " PUT {} @{stage}/{prefix} AUTO_COMPRESS = FALSE OVERWRITE = TRUE",
                literal(&url)
            )
        }
        Step::List { stage, prefix } => format!("LIST @{stage}/{prefix}"),
        Step::Copy {
            staging,
            stage,
            prefix,
            case_sensitive,
        } => format!(
            "COPY INTO {staging}\nFROM @{stage}/{prefix}\n\
             FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE NULL_IF = ())\n\
             MATCH_BY_COLUMN_NAME = {} ON_ERROR = ABORT_STATEMENT",
            if *case_sensitive {
                "CASE_SENSITIVE"
            } else {
                "CASE_INSENSITIVE"
            }
        ),
        Step::Begin => "BEGIN TRANSACTION".to_owned(),
        Step::MoveHead {
            target,
            head,
            stray,
            attempt,
        } => move_head(target, head, *stray, *attempt),
        Step::DeleteOld(load) => delete_old(load),
        Step::DeleteAll { target, claim } => {
            let Target { table, .. } = target;
            format!("DELETE FROM {table}\nWHERE {}", is_head(target, *claim))
        }
        Step::DeleteStray {
            target,
            claim,
            column,
            value,
        } => {
            let value = match value {
                StrayValue::Text(text) => literal(text),
                StrayValue::Number(number) => number.to_string(),
            };
            let Target { table, .. } = target;
            let column = quoted(column);
            format!(
                "DELETE FROM {table}\nWHERE {} AND {column} = {value}",
                is_head(target, *claim)
            )
        }
        Step::Insert(load) => insert(load),
        Step::LogCommit {
            target,
            head,
            attempt,
            staging,
            never_null,
            json,
        } => {
            let claim = Claim {
                id: head.id,
                attempt: *attempt,
            };
            log_commit(
                target,
                head,
                claim,
                staging.as_ref(),
                never_null.as_deref(),
                json,
            )
        }
        Step::Commit => "COMMIT".to_owned(),
        Step::Rollback => "ROLLBACK".to_owned(),
        Step::DropStaging(staging) => format!("DROP TABLE IF EXISTS {staging}"),
        Step::RemoveStaged { stage, prefix } => format!("REMOVE @{stage}/{prefix}"),
    }
}

fn create_stage(stage: &Name, external: Option<&ExternalStage>) -> String {
    let Some(external) = external else {
        // Nothing is encrypted on our side, which the default of a stage expects.
        return format!("CREATE STAGE IF NOT EXISTS {stage} ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')");
    };
    let url = literal(&external.url);
    let mut sql = format!("CREATE STAGE IF NOT EXISTS {stage} URL = {url}");
    if let Some(integration) = &external.storage_integration {
        _ = write!(sql, " STORAGE_INTEGRATION = {}", quoted(integration));
    }
    sql
}

/// What a PUT of these files names: the one file, or a pattern. What is sent are the files, whatever else it meets.
pub(crate) fn put_path(dir: &Path, files: &[Part]) -> PathBuf {
    match files {
        [one] => dir.join(&one.name),
        _ => dir.join("*.parquet"),
    }
}

fn key(key: &SyncKey) -> (String, String) {
    (literal(key.pipeline.as_str()), literal(key.stream.as_str()))
}

fn definitions(columns: &[(String, ColumnType)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, kind)| format!("{} {kind}", quoted(name)))
        .collect();
    columns.join(",\n  ")
}

/// Columns of the answer to [`Step::Look`], all text. A column of the table has its name, type, precision,
/// scale and position where a head has the others.
pub(crate) const LOOK_COLUMNS: [&str; 6] = ["kind", "pipeline", "stream", "table", "id", "head"];

fn look(target: &Target) -> String {
    let Target {
        heads,
        commits,
        table,
        ..
    } = target;
    let (pipeline, stream) = key(&target.key);
    format!(
        "SELECT 'head', \"PIPELINE\", \"STREAM\", \"TABLE_NAME\", \"ID\", \"HEAD\"\n\
         FROM {heads}\n\
         WHERE \"PIPELINE\" = {pipeline} AND \"STREAM\" = {stream} OR \"TABLE_NAME\" = {name}\n\
         UNION ALL\n\
         SELECT 'commit', c.\"PIPELINE\", c.\"STREAM\", c.\"TABLE_NAME\", c.\"ID\", \
         IFF(c.\"ID\" = h.\"PARENT\", c.\"HEAD\", NULL)\n\
         FROM {commits} c JOIN {heads} h ON c.\"ID\" = h.\"ID\" OR c.\"ID\" = h.\"PARENT\"\n\
         WHERE h.\"PIPELINE\" = {pipeline} AND h.\"STREAM\" = {stream}\n\
         UNION ALL\n\
         SELECT 'count', NULL, NULL, NULL, COUNT(*)::VARCHAR, NULL FROM {commits}\n\
         UNION ALL\n\
         SELECT 'column', COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION::VARCHAR, NUMERIC_SCALE::VARCHAR, \
         ORDINAL_POSITION::VARCHAR\n\
         FROM {database}.INFORMATION_SCHEMA.COLUMNS\n\
         WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {name}",
        name = literal(&table.object),
        schema = literal(&table.place.schema),
        database = quoted(&table.place.database),
    )
}

/// Pipeline, stream, table, id and parent of each head row; the newest commit that the history has too, without its
/// mapping; whether that is the id's own; rows of the history.
fn look_all(target: &Target) -> String {
    let Target { heads, commits, .. } = target;
    let (pipeline, _) = key(&target.key);
    format!(
        "SELECT h.\"PIPELINE\", h.\"STREAM\", h.\"TABLE_NAME\", h.\"ID\", h.\"PARENT\",\n  \
         IFF(h.\"PIPELINE\" = {pipeline}, COALESCE(c.\"HEAD\", p.\"HEAD\"), NULL), c.\"ID\",\n  \
         (SELECT COUNT(*)::VARCHAR FROM {commits})\n\
         FROM {heads} h\n\
         LEFT JOIN {commits} c ON c.\"ID\" = h.\"ID\"\n\
         LEFT JOIN {commits} p ON p.\"ID\" = h.\"PARENT\""
    )
}

fn is_head(target: &Target, claim: Claim) -> String {
    let (pipeline, stream) = key(&target.key);
    format!(
        "EXISTS (SELECT 1 FROM {} WHERE \"PIPELINE\" = {pipeline} AND \"STREAM\" = {stream} AND \
         \"ID\" = {} AND \"ATTEMPT\" = {})",
        target.heads,
        literal(&claim.id.to_string()),
        literal(&claim.attempt.to_string())
    )
}

fn json_of(head: &HeadRow) -> String {
    // Its parts are all text, numbers and JSON.
    serde_json::to_string(head).unwrap_or_default()
}

fn move_head(
    target: &Target,
    head: &HeadRow,
    stray: Option<CommitId>,
    attempt: CommitId,
) -> String {
    let Target { heads, commits, .. } = target;
    let (pipeline, stream) = key(&target.key);
    let parent = head.parent.map(|parent| parent.to_string());
    let stands = match (stray, &parent) {
        (Some(stray), _) => {
            let stray = literal(&stray.to_string());
            format!("= {stray}\n  AND NOT EXISTS (SELECT 1 FROM {commits} WHERE \"ID\" = {stray})")
        }
        (None, Some(parent)) => format!("= {}", literal(parent)),
        (None, None) => "IS NULL".to_owned(),
    };
    format!(
        "UPDATE {heads} SET\n  \"ID\" = {id}, \"PARENT\" = {parent}, \"TABLE_NAME\" = {table},\n  \
         \"ATTEMPT\" = {attempt}, \"HEAD\" = {json}\n\
         WHERE \"PIPELINE\" = {pipeline} AND \"STREAM\" = {stream} AND \"ID\" {stands}",
        id = literal(&head.id.to_string()),
        parent = literal_or_null(parent.as_deref()),
        table = literal(&target.table.object),
        attempt = literal(&attempt.to_string()),
        json = literal(&json_of(head)),
    )
}

fn delete_old(load: &Load) -> String {
    let Load {
        staging,
        target,
        keys,
        ..
    } = load;
    let mut condition = String::new();
    for key in &keys.primary {
        let (column, name) = (quoted(&key.column), quoted(&key.name));
        _ = writeln!(condition, "  AND t.{column} = s.{name}");
    }
    if let Some(version) = &keys.replication {
        let (column, name) = (quoted(&version.column), quoted(&version.name));
        // What came late never wins; nothing is older than no version.
        _ = writeln!(
            condition,
            "  AND (t.{column} IS NULL OR s.{name} >= t.{column})"
        );
    }
    format!(
        "DELETE FROM {} t USING {staging} s\nWHERE {}\n{}",
        target.table,
        is_head(target, load.claim),
        condition.trim_end()
    )
}

fn insert(load: &Load) -> String {
    let Load {
        target, staging, ..
    } = load;
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for route in &load.routes {
        columns.push(quoted(&route.column));
        let value = format!("s.{}", quoted(&route.name));
        values.push(if route.target == ColumnType::Variant {
            // JSON that does not parse is kept as the text that it is, and counted.
            format!("COALESCE(TRY_PARSE_JSON({value}), TO_VARIANT({value}))")
        } else {
            value
        });
    }
    for constant in &load.constants {
        columns.push(quoted(&constant.column));
        let value = match constant.kind {
            ColumnType::Number(..) => constant.value.clone(),
            ColumnType::Timestamp => format!("{}::TIMESTAMP_TZ", literal(&constant.value)),
            _ => literal(&constant.value),
        };
        values.push(if constant.only_deleted {
            format!("IFF(s.\"_deleted\", {value}, NULL)")
        } else {
            value
        });
    }
    let mut sql = format!(
        "INSERT INTO {} (\n  {}\n)\nSELECT\n  {}\nFROM {}\nWHERE {}",
        target.table,
        columns.join(", "),
        values.join(",\n  "),
        chosen(load, staging),
        is_head(target, load.claim),
    );
    if load.without_deleted {
        sql.push_str("\n  AND NOT COALESCE(s.\"_deleted\", FALSE)");
    }
    let same: Vec<&Route> = match load.choice {
        Choice::All => Vec::new(),
        Choice::Newest => load.keys.primary.iter().collect(),
        Choice::Unseen => load
            .keys
            .primary
            .iter()
            .chain(&load.keys.replication)
            .collect(),
    };
    if !same.is_empty() {
        let same: Vec<String> = same
            .iter()
            .map(|key| {
                // A version may be missing, a primary key not: rows without one are no versions of each other.
                let is_version = load.keys.replication.as_ref() == Some(*key);
                let equals = if is_version {
                    "IS NOT DISTINCT FROM"
                } else {
                    "="
                };
                format!("t.{} {equals} s.{}", quoted(&key.column), quoted(&key.name))
            })
            .collect();
        _ = write!(
            sql,
            "\n  AND NOT EXISTS (SELECT 1 FROM {} t WHERE {})",
            target.table,
            same.join(" AND ")
        );
    }
    sql
}

/// The staged rows of a load, under the name `s`.
fn chosen(load: &Load, staging: &Name) -> String {
    let Keys {
        primary,
        replication,
        row_numbers,
    } = &load.keys;
    let names = |keys: &mut dyn Iterator<Item = &Route>| -> Vec<String> {
        keys.map(|key| format!("f.{}", quoted(&key.name))).collect()
    };
    let (same, order, direction) = match load.choice {
        Choice::All => return format!("{staging} s"),
        Choice::Newest => (
            names(&mut primary.iter()),
            replication
                .as_ref()
                .map(|key| format!("f.{} DESC NULLS LAST", quoted(&key.name))),
            "DESC",
        ),
        Choice::Unseen => (names(&mut primary.iter().chain(replication)), None, "ASC"),
    };
    let row = row_numbers.then(|| format!("f.\"_row\" {direction}"));
    let mut order: Vec<String> = order.into_iter().chain(row).collect();
    if order.is_empty() {
        order.push("1".to_owned());
    }
    // A row without a key is no version of another row.
    let keyless = names(&mut primary.iter());
    let keyless: Vec<String> = keyless
        .iter()
        .map(|name| format!("{name} IS NULL"))
        .collect();
    format!(
        "(\n  SELECT f.* FROM {staging} f\n  QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {}) = 1 \
         OR {}\n) s",
        same.join(", "),
        order.join(", "),
        keyless.join(" OR "),
    )
}

fn log_commit(
    target: &Target,
    head: &HeadRow,
    claim: Claim,
    staging: Option<&Name>,
    never_null: Option<&str>,
    json: &[String],
) -> String {
    let (pipeline, stream) = key(&target.key);
    let parent = head.parent.map(|parent| parent.to_string());
    let unparsed: Vec<String> = json
        .iter()
        .map(|name| {
            let name = quoted(name);
            format!("COUNT_IF({name} IS NOT NULL AND TRY_PARSE_JSON({name}) IS NULL)")
        })
        .collect();
    let (counted, unparsed) = match staging {
        Some(staging) => (
            format!(
                "\n  AND (SELECT COUNT({}) FROM {staging}) = {}",
                never_null.map_or_else(|| "*".to_owned(), quoted),
                head.rows
            ),
            if unparsed.is_empty() {
                "0".to_owned()
            } else {
                format!("(SELECT {} FROM {staging})", unparsed.join(" + "))
            },
        ),
        None => (String::new(), "0".to_owned()),
    };
    format!(
        "INSERT INTO {commits} (\n  \"PIPELINE\", \"STREAM\", \"TABLE_NAME\", \"ID\", \"PARENT\", \"HEAD\", \
         \"ROW_COUNT\", \"COMMITTED_AT\", \"UNPARSED_JSON\"\n)\n\
         SELECT {pipeline}, {stream}, {table}, {id}, {parent}, {json},\n  {rows}, {at}::TIMESTAMP_TZ, \
         {unparsed}\n\
         WHERE {is_head}{counted}",
        commits = target.commits,
        table = literal(&target.table.object),
        id = literal(&head.id.to_string()),
        parent = literal_or_null(parent.as_deref()),
        json = literal(&json_of(&HeadRow {
            mapping: Vec::new(),
            ..head.clone()
        })),
        rows = head.rows,
        at = literal(&head.at.to_string()),
        is_head = is_head(target, claim),
    )
}
