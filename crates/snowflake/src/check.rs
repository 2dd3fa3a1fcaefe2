//! What can be said about an account before the first row.

use overlock_core::{Clock, Error, ErrorKind, Result};

use crate::plan::prepare;
use crate::sql::quoted;
use crate::step::{Step, Target};
use crate::warehouse::{Failure, Session};

/// A difference of clocks that is worth a word; a JWT bears less than its five minutes.
const MAX_SKEW_SECONDS: i64 = 60;

/// Who asks, for the statements that a person must run.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Login name.
    pub user: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Warehouse.
    pub warehouse: Option<String>,
    /// Of the key in use, as `DESCRIBE USER` shows it.
    pub fingerprint: Option<String>,
}

/// Looks at everything that a commit needs, makes what overlock keeps for itself, and puts a table up and away.
pub(crate) async fn run(
    session: &mut dyn Session,
    target: &Target,
    identity: &Identity,
    clock: &dyn Clock,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let now = session
        .run(&Step::AskTime)
        .await
        .map_err(Failure::into_error)?;
    if let Ok(server) = now.number() {
        let skew = clock.now().seconds() - i64::try_from(server).unwrap_or(0);
        if skew.abs() > MAX_SKEW_SECONDS {
            found.push(format!(
                "this machine's clock is {skew} s off Snowflake's: compare it with `date -u`"
            ));
        }
    }
    found.extend(fingerprint(session, identity).await?);
    let mut missing = Vec::new();
    let mut first = None;
    let probe = target.table.place.name("_OVERLOCK_CHECK");
    let mut steps = prepare(target);
    steps.push(Step::CreateStaging {
        staging: probe.clone(),
        columns: vec![("N".to_owned(), crate::ColumnType::Text)],
    });
    steps.push(Step::CountRows(probe.clone()));
    steps.push(Step::DropStaging(probe));
    steps.push(Step::Look(target.clone()));
    for step in &steps {
        if let Err(failure) = session.run(step).await {
            // What cannot be reached at all needs no grant.
            if matches!(failure, Failure::Lost(_)) {
                return Err(failure.into_error());
            }
            missing.extend(grant(step, target, identity));
            first.get_or_insert(failure.into_error());
        }
    }
    if let Some(error) = first {
        missing.dedup();
        return Err(Error::new(error.kind(), "prepare the schema for commits")
            .source(error)
            .hint(format!("let somebody who may run: {}", missing.join("; "))));
    }
    found.extend(stage(session, target).await?);
    Ok(found)
}

async fn fingerprint(session: &mut dyn Session, identity: &Identity) -> Result<Option<String>> {
    let (Some(user), Some(ours)) = (&identity.user, &identity.fingerprint) else {
        return Ok(None);
    };
    let user = user.to_ascii_uppercase();
    let Ok(answer) = session.run(&Step::DescribeUser(user.clone())).await else {
        return Ok(Some(format!(
            "key {ours}; DESCRIBE USER is not allowed, so it was not compared"
        )));
    };
    let theirs: Vec<&str> = (0..answer.rows.len())
        .filter(|row| {
            let property = answer.get(*row, "property").unwrap_or_default();
            ["RSA_PUBLIC_KEY_FP", "RSA_PUBLIC_KEY_2_FP"].contains(&property)
        })
        .filter_map(|row| answer.get(row, "value"))
        .collect();
    if theirs.is_empty() || theirs.contains(&ours.as_str()) {
        return Ok(Some(format!("key {ours}")));
    }
    Err(Error::new(
        ErrorKind::Auth,
        format!(
            "use the private key: it is {ours}, the user has {}",
            theirs.join(" and ")
        ),
    )
    .hint(format!(
        "ALTER USER {} SET RSA_PUBLIC_KEY = '...'",
        quoted(&user)
    )))
}

/// The bucket must let us in. Of a stage that Snowflake keeps, its encryption is told: its default expects that files
/// are encrypted here; it works, and costs time.
async fn stage(session: &mut dyn Session, target: &Target) -> Result<Option<String>> {
    if let Some(external) = &target.external {
        let list = Step::List {
            stage: target.stage.clone(),
            prefix: format!("{}/", target.key),
        };
        session.run(&list).await.map_err(Failure::into_error)?;
        return Ok(Some(format!("stage in {}", external.url)));
    }
    Ok(encryption(session, target).await)
}

async fn encryption(session: &mut dyn Session, target: &Target) -> Option<String> {
    let answer = session
        .run(&Step::DescribeStage(target.stage.clone()))
        .await
        .ok()?;
    let kind = (0..answer.rows.len()).find_map(|row| {
        let is_type = answer.get(row, "property")? == "ENCRYPTION_TYPE"
            || answer.get(row, "property")? == "TYPE";
        let is_encryption = answer.get(row, "parent_property")?.contains("ENCRYPTION");
        (is_type && is_encryption)
            .then(|| answer.get(row, "property_value").map(ToOwned::to_owned))?
    })?;
    Some(format!("stage encryption {kind}"))
}

/// The statements that mend what a step was refused.
fn grant(step: &Step, target: &Target, identity: &Identity) -> Vec<String> {
    let place = &target.table.place;
    let role = identity
        .role
        .as_deref()
        .map_or_else(|| "<role>".to_owned(), quoted);
    let database = quoted(&place.database);
    match step {
        Step::CreateSchema(_) => vec![format!(
            "GRANT USAGE, CREATE SCHEMA ON DATABASE {database} TO ROLE {role}"
        )],
        Step::CreateHeads(_) | Step::CreateCommits(_) | Step::CreateStaging { .. } => {
            vec![format!(
                "GRANT USAGE, CREATE TABLE ON SCHEMA {place} TO ROLE {role}"
            )]
        }
        Step::CreateStage { .. } => vec![format!(
            "GRANT CREATE STAGE ON SCHEMA {place} TO ROLE {role}"
        )],
        Step::CountRows(_) | Step::Look(_) => {
            let warehouse = identity.warehouse.as_deref();
            let warehouse = warehouse.map_or_else(|| "<warehouse>".to_owned(), quoted);
            vec![format!(
                "GRANT USAGE, OPERATE ON WAREHOUSE {warehouse} TO ROLE {role}"
            )]
        }
        _ => Vec::new(),
    }
}
