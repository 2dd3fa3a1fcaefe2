//! Whether the answers to a commit's statements are as they must be: every count is checked.

use overlock_core::{Error, ErrorKind, Package};

use crate::client::AGAIN;
use crate::destination::conflict;
use crate::looks::two_heads;
use crate::step::Step;
use crate::warehouse::{Answer, Failure, Result};

/// Checks the answer to a step.
pub(crate) fn verify(step: &Step, answer: &Answer, package: &Package) -> Result<()> {
    let manifest = &package.manifest;
    match step {
        Step::List { .. } => verify_list(answer, package),
        Step::Copy { .. } => verify_copy(answer, package),
        Step::MoveHead { target, .. } => match answer.number()? {
            1 => Ok(()),
            0 => Err(Failure::Refused(conflict(package, None))),
            _ => Err(Failure::Lost(two_heads(target))),
        },
        Step::Insert(load) => {
            let inserted = answer.number()?;
            let must_be_all = load.keys.primary.is_empty() && !load.without_deleted;
            if inserted > manifest.rows() || must_be_all && inserted != manifest.rows() {
                // A session that was replaced after the head was moved inserts nothing: only the head knows.
                let error = miscount("rows inserted", manifest.rows(), inserted);
                return Err(Failure::Lost(error));
            }
            Ok(())
        }
        Step::LogCommit { .. } => match answer.number()? {
            1 => Ok(()),
            _ => Err(Failure::Lost(
                Error::new(
                    ErrorKind::Destination,
                    "find as many staged rows as the package has",
                )
                .context("commit", manifest.id)
                .hint(AGAIN),
            )),
        },
        _ => Ok(()),
    }
}

fn miscount(what: &str, expected: u64, found: u64) -> Error {
    Error::new(
        ErrorKind::Destination,
        format!("balance the books: {expected} rows in the package, {found} {what}"),
    )
    .hint("nothing became visible; the package is kept and the next run tries it again")
}

/// The name of a staged or loaded file ends with the name of the part.
fn is_part(name: Option<&str>, part: &str) -> bool {
    name.is_some_and(|name| name.rsplit('/').next() == Some(part))
}

fn verify_list(answer: &Answer, package: &Package) -> Result<()> {
    for part in &package.manifest.files {
        let sizes: Vec<u64> = (0..answer.rows.len())
            .filter(|row| is_part(answer.get(*row, "name"), &part.name))
            .filter_map(|row| answer.get(row, "size")?.parse().ok())
            .collect();
        // Files that are encrypted by us are filled up to whole blocks of 16 bytes.
        let padded = (part.bytes / 16 + 1) * 16;
        if sizes != [part.bytes] && sizes != [padded] {
            return Err(Failure::Lost(
                Error::new(
                    ErrorKind::Destination,
                    "find a file on the stage as it was sent",
                )
                .context("file", &part.name)
                .context("bytes", part.bytes)
                .context("found", format!("{sizes:?}"))
                .hint(AGAIN),
            ));
        }
    }
    Ok(())
}

fn verify_copy(answer: &Answer, package: &Package) -> Result<()> {
    let manifest = &package.manifest;
    if answer.rows.len() != manifest.files.len() {
        let found = answer.rows.len() as u64;
        let error = miscount("files loaded", manifest.rows(), found);
        return Err(Failure::Refused(error));
    }
    for part in &manifest.files {
        let row = (0..answer.rows.len()).find(|row| is_part(answer.get(*row, "file"), &part.name));
        let number = |column: &str| -> Option<u64> { answer.get(row?, column)?.parse().ok() };
        let status = row
            .and_then(|row| answer.get(row, "status"))
            .unwrap_or("missing");
        if status.eq_ignore_ascii_case("LOADED")
            && number("rows_loaded") == Some(part.rows)
            && number("errors_seen").unwrap_or(0) == 0
        {
            continue;
        }
        let mut error = Error::new(
            ErrorKind::Destination,
            format!("load `{}`: {status}", part.name),
        )
        .context("rows", part.rows)
        .hint("nothing became visible; the package is kept and the next run tries it again");
        for column in ["rows_loaded", "errors_seen"] {
            if let Some(value) = number(column) {
                error = error.context(
                    if column == "rows_loaded" {
                        "loaded"
                    } else {
                        "errors"
                    },
                    value,
                );
            }
        }
        if let Some(first) = row.and_then(|row| answer.get(row, "first_error")) {
            error = error.context("first_error", first);
        }
        return Err(Failure::Refused(error));
    }
    Ok(())
}
