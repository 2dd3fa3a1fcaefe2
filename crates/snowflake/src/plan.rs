//! What a commit does, in order: a pure function of the package and of the table as it stands.

use std::collections::HashSet;
use std::fmt::Write as _;

use overlock_core::stream::{self, DELETED, ROW};
use overlock_core::{
    Commit, CommitId, DeleteMode, Error, ErrorKind, Manifest, Package, Result, SyncKey, Timestamp,
    WriteMode,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::column::{ColumnType, Evolution, Route, Table, evolve, refuse_changes, staging};
use crate::render::render;
use crate::sql::{Name, Place, normalized};
use crate::step::{
    Choice, Claim, Constant, ExternalStage, HeadRow, Keys, Load, Step, StrayValue, Target,
};

/// The names of what overlock keeps for itself in a schema.
const HEADS: &str = "_OVERLOCK_HEADS";
const COMMITS: &str = "_OVERLOCK_COMMITS";
const STAGE: &str = "_OVERLOCK_STAGE";

/// What happens to a table whose stream changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSchemaChange {
    /// It follows.
    #[default]
    Evolve,
    /// The commit fails.
    Fail,
}

/// The columns that a load adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompatColumns {
    /// `_SYNCED_AT` and `_COMMIT_ID`.
    #[default]
    None,
    /// The set that Stitch writes: `_SDC_BATCHED_AT` and so on (snowflake.md, section 10).
    Stitch,
}

/// How packages are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether the table follows the stream.
    pub on_schema_change: OnSchemaChange,
    /// Whether a complete package without rows may empty a table.
    pub allow_empty_replace: bool,
    /// Which columns are added.
    pub compat_columns: CompatColumns,
}

/// Where the rows and the state of a stream live.
pub fn target(place: &Place, key: &SyncKey) -> Target {
    Target {
        key: key.clone(),
        table: place.name(normalized(key.stream.as_str())),
        heads: place.name(HEADS),
        commits: place.name(COMMITS),
        stage: place.name(STAGE),
        external: None,
    }
}

impl Target {
    /// The same, with files going over a stage in a bucket of the user's own. Its name has a part that is another one
    /// for another bucket, because a stage that is there already is never changed.
    #[must_use]
    pub fn over(mut self, external: Option<&ExternalStage>) -> Self {
        if let Some(external) = external {
            let integration = external.storage_integration.as_deref().unwrap_or_default();
            let hash = Sha256::digest(format!("{}\n{integration}", external.url));
            let part: String = hash.iter().take(4).fold(String::new(), |mut part, byte| {
                _ = write!(part, "{byte:02X}");
                part
            });
            self.stage.object = format!("{STAGE}_{part}");
            self.external = Some(external.clone());
        }
        self
    }
}

/// Makes what overlock needs in a schema. Repeatable. The heads come last: whoever finds them finds the rest.
pub fn prepare(target: &Target) -> Vec<Step> {
    vec![
        Step::CreateSchema(target.heads.place.clone()),
        Step::CreateStage {
            stage: target.stage.clone(),
            external: target.external.clone(),
        },
        Step::CreateCommits(target.commits.clone()),
        Step::CreateHeads(target.heads.clone()),
    ]
}

/// The staging table of a package.
pub(crate) fn staging_table(target: &Target, id: CommitId) -> Name {
    target.table.place.name(format!("_OVERLOCK_{id}"))
}

/// The folder of a package on the stage.
pub(crate) fn prefix(target: &Target, id: CommitId) -> String {
    format!("{}/{}/{id}/", target.key.pipeline, target.key.stream)
}

/// The head that a package becomes.
fn head_row(manifest: &Manifest, evolution: &Evolution, at: Timestamp) -> HeadRow {
    let Commit {
        id,
        parent,
        state,
        complete,
        rows,
        at,
    } = manifest.to_commit(at);
    HeadRow {
        id,
        parent,
        state,
        complete,
        rows,
        at,
        mapping: evolution.mapping.clone(),
    }
}

/// The steps that commit `package` to `table` at `at`, from the table's shape to the end of the transaction.
/// `stray` is a head that was moved outside a transaction, so that its rows may be there in part; `attempt`
/// is a number of this attempt alone.
///
/// # Errors
/// `Schema` if the policy forbids a change; `Bug` for a type that no connector may use.
pub fn plan(
    package: &Package,
    table: &Table,
    stray: Option<&HeadRow>,
    target: &Target,
    policy: Policy,
    at: Timestamp,
    attempt: CommitId,
) -> Result<Vec<Step>> {
    let manifest = &package.manifest;
    let has_rows = !manifest.files.is_empty();
    let constants = constants(policy.compat_columns, manifest, at);
    let mut evolution = Evolution {
        mapping: table.mapping.clone(),
        ..Evolution::default()
    };
    let mut steps = Vec::new();
    if has_rows {
        let added: Vec<(&str, ColumnType)> = constants
            .iter()
            .map(|constant| (constant.column.as_str(), constant.kind))
            .collect();
        evolution = evolve(table, manifest, &added)?;
        if policy.on_schema_change == OnSchemaChange::Fail {
            refuse_changes(&evolution, target.key.stream.as_str())?;
        }
        refuse_new_keys(manifest, table, &evolution)?;
        steps.extend(shape(table, target, &evolution));
        steps.extend(stage(package, target)?);
    }
    let head = head_row(manifest, &evolution, at);
    steps.push(Step::Begin);
    steps.push(Step::MoveHead {
        target: target.clone(),
        head: head.clone(),
        stray: stray.map(|stray| stray.id),
        attempt,
    });
    let claim = Claim {
        id: manifest.id,
        attempt,
    };
    if let Some(stray) = stray.filter(|_| !table.columns.is_empty()) {
        steps.push(delete_stray(stray, target, policy, claim));
    }
    let is_replaced = manifest.mode == WriteMode::Replace && manifest.complete;
    if is_replaced && !table.columns.is_empty() {
        steps.push(Step::DeleteAll {
            target: target.clone(),
            claim,
        });
    }
    if has_rows {
        steps.extend(rows(manifest, target, claim, &evolution, &constants)?);
    }
    steps.push(Step::LogCommit {
        target: target.clone(),
        head,
        attempt,
        staging: has_rows.then(|| staging_table(target, manifest.id)),
        never_null: manifest.row_numbers.then(|| ROW.to_owned()),
        json: if has_rows {
            json_columns(manifest)
        } else {
            Vec::new()
        },
    });
    steps.push(Step::Commit);
    Ok(steps)
}

/// The SQL of a first commit of such a package, every statement ended by a semicolon.
///
/// # Errors
/// As [`plan`].
pub fn ddl(package: &Package, target: &Target, policy: Policy, at: Timestamp) -> Result<String> {
    let mut steps = prepare(target);
    steps.push(Step::Look(target.clone()));
    steps.push(Step::AddHead(target.clone()));
    steps.extend(plan(
        package,
        &Table::default(),
        None,
        target,
        policy,
        at,
        package.manifest.id,
    )?);
    steps.push(Step::Look(target.clone()));
    steps.extend(clean(package, target));
    let mut sql = String::new();
    for step in &steps {
        match (&target.external, step) {
            // A bucket of the user's own is no business of statements.
            (
                Some(external),
                Step::Upload { .. } | Step::List { .. } | Step::RemoveStaged { .. },
            ) => {
                _ = writeln!(
                    sql,
                    "-- {}: by overlock itself, in {}\n",
                    step.word(),
                    external.url
                );
            }
            _ => _ = writeln!(sql, "-- {}\n{};\n", step.word(), render(step).trim()),
        }
    }
    Ok(sql)
}

/// What is left behind once a package is committed, and goes.
pub fn clean(package: &Package, target: &Target) -> Vec<Step> {
    if package.manifest.files.is_empty() {
        return Vec::new();
    }
    vec![
        Step::DropStaging(staging_table(target, package.manifest.id)),
        Step::RemoveStaged {
            stage: target.stage.clone(),
            prefix: prefix(target, package.manifest.id),
        },
    ]
}

/// A key whose old values stand in another column, or nowhere, would find no row that is there already.
fn refuse_new_keys(manifest: &Manifest, table: &Table, evolution: &Evolution) -> Result<()> {
    let is_new = table.mapping.is_empty() || table.columns.is_empty();
    if manifest.mode == WriteMode::Replace || is_new {
        return Ok(());
    }
    let keys = manifest.primary_key.iter().chain(&manifest.replication_key);
    for key in keys {
        let mut routes = evolution.routes.iter();
        let route = routes.find(|route| route.name == *key);
        let was_known = table.mapping.iter().any(|mapped| {
            mapped.name == *key && route.is_some_and(|route| route.column == mapped.column)
        });
        let is_new = |column: &str| evolution.add.iter().any(|(name, _)| name == column);
        if !was_known || route.is_some_and(|route| is_new(&route.column)) {
            let kind = route.map_or_else(String::new, |route| route.kind.to_string());
            return Err(Error::new(
                ErrorKind::Schema,
                format!("load rows whose key `{key}` became {kind}, or is gone from the table"),
            )
            .context("stream", &manifest.key.stream)
            .hint("rows that are there would not be found again: drop the table, then `overlock state reset` the stream and run"));
        }
    }
    Ok(())
}

/// Rows that were loaded before and are gone with their table would never come again by themselves.
///
/// # Errors
/// `Schema`.
pub(crate) fn refuse_dropped(
    manifest: &Manifest,
    table: &Table,
    head: Option<&HeadRow>,
) -> Result<()> {
    let goes_on = head.is_some_and(|head| head.state.is_some());
    let is_dropped = table.columns.is_empty() && !table.mapping.is_empty();
    let has_rows = !manifest.files.is_empty();
    if !is_dropped || !goes_on || !has_rows || manifest.mode == WriteMode::Replace {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Schema,
        "add to a table that is gone: what was loaded before would be missing",
    )
    .context("stream", &manifest.key.stream)
    .hint("UNDROP TABLE, or `overlock state reset` the stream and run: it is loaded from the beginning"))
}

fn shape(table: &Table, target: &Target, evolution: &Evolution) -> Vec<Step> {
    let mut steps = Vec::new();
    if table.columns.is_empty() {
        steps.push(Step::CreateTable {
            table: target.table.clone(),
            columns: evolution.add.clone(),
        });
        return steps;
    }
    if !evolution.add.is_empty() {
        steps.push(Step::AddColumns {
            table: target.table.clone(),
            columns: evolution.add.clone(),
        });
    }
    for (column, kind) in &evolution.widen {
        steps.push(Step::Widen {
            table: target.table.clone(),
            column: column.clone(),
            kind: *kind,
        });
    }
    steps
}

fn stage(package: &Package, target: &Target) -> Result<Vec<Step>> {
    let manifest = &package.manifest;
    let staged = staging_table(target, manifest.id);
    let prefix = prefix(target, manifest.id);
    Ok(vec![
        Step::Upload {
            stage: target.stage.clone(),
            prefix: prefix.clone(),
            dir: package.dir.clone(),
            files: manifest.files.clone(),
        },
        Step::List {
            stage: target.stage.clone(),
            prefix: prefix.clone(),
        },
        Step::CreateStaging {
            staging: staged.clone(),
            columns: staging(manifest)?,
        },
        Step::Copy {
            staging: staged,
            stage: target.stage.clone(),
            prefix,
            case_sensitive: differ_in_case_only(manifest),
        },
    ])
}

fn differ_in_case_only(manifest: &Manifest) -> bool {
    let mut seen = HashSet::new();
    let mut fields = manifest.schema.fields().iter();
    !fields.all(|field| seen.insert(field.name().to_uppercase()))
}

fn rows(
    manifest: &Manifest,
    target: &Target,
    claim: Claim,
    evolution: &Evolution,
    constants: &[Constant],
) -> Result<Vec<Step>> {
    let route = |name: &String| -> Result<Route> {
        let mut routes = evolution.routes.iter();
        let found = routes.find(|route| route.name == *name).cloned();
        found.ok_or_else(|| Error::bug(format!("find the key column `{name}` in a package")))
    };
    let keys = Keys {
        primary: manifest
            .primary_key
            .iter()
            .map(route)
            .collect::<Result<_>>()?,
        replication: manifest.replication_key.as_ref().map(route).transpose()?,
        row_numbers: manifest.row_numbers,
    };
    let choice = match manifest.mode {
        _ if keys.primary.is_empty() => Choice::All,
        WriteMode::Merge | WriteMode::Replace => Choice::Newest,
        WriteMode::Append if keys.replication.is_some() => Choice::Unseen,
        WriteMode::Append => Choice::All,
    };
    let has_flag = manifest.schema.field_with_name(DELETED).is_ok();
    let load = Load {
        staging: staging_table(target, manifest.id),
        target: target.clone(),
        claim,
        routes: evolution.routes.clone(),
        constants: constants.to_vec(),
        keys,
        choice,
        without_deleted: has_flag
            && manifest.deletes == DeleteMode::Hard
            && manifest.mode != WriteMode::Append,
    };
    let mut steps = Vec::new();
    if manifest.mode == WriteMode::Merge && choice == Choice::Newest {
        steps.push(Step::DeleteOld(load.clone()));
    }
    steps.push(Step::Insert(load));
    Ok(steps)
}

fn delete_stray(stray: &HeadRow, target: &Target, policy: Policy, claim: Claim) -> Step {
    let (column, value) = match policy.compat_columns {
        CompatColumns::None => ("_COMMIT_ID", StrayValue::Text(stray.id.to_string())),
        CompatColumns::Stitch => ("_SDC_SEQUENCE", StrayValue::Number(stray.at.micros())),
    };
    Step::DeleteStray {
        target: target.clone(),
        claim,
        column: column.to_owned(),
        value,
    }
}

fn json_columns(manifest: &Manifest) -> Vec<String> {
    let fields = manifest.schema.fields().iter();
    fields
        .filter(|field| stream::is_json(field))
        .map(|field| field.name().clone())
        .collect()
}

fn constants(compat: CompatColumns, manifest: &Manifest, at: Timestamp) -> Vec<Constant> {
    let constant = |column: &str, kind: ColumnType, value: String| Constant {
        column: column.to_owned(),
        kind,
        value,
        only_deleted: false,
    };
    let now = at.to_string();
    match compat {
        CompatColumns::None => vec![
            constant("_SYNCED_AT", ColumnType::Timestamp, now),
            constant("_COMMIT_ID", ColumnType::Text, manifest.id.to_string()),
        ],
        CompatColumns::Stitch => {
            let mut columns = vec![
                constant("_SDC_BATCHED_AT", ColumnType::Timestamp, now.clone()),
                constant("_SDC_RECEIVED_AT", ColumnType::Timestamp, now.clone()),
                constant(
                    "_SDC_EXTRACTED_AT",
                    ColumnType::Timestamp,
                    manifest.started.to_string(),
                ),
                constant(
                    "_SDC_SEQUENCE",
                    ColumnType::Number(38, 0),
                    at.micros().to_string(),
                ),
                constant(
                    "_SDC_TABLE_VERSION",
                    ColumnType::Number(38, 0),
                    "0".to_owned(),
                ),
            ];
            if manifest.schema.field_with_name(DELETED).is_ok() {
                columns.push(Constant {
                    only_deleted: true,
                    ..constant("_SDC_DELETED_AT", ColumnType::Timestamp, now)
                });
            }
            columns
        }
    }
}
