//! Committing sealed packages: one at a time, in parent order, believing only the head.
//!
//! An answer of the destination proves nothing: it may be lost, undecodable, or a lie told by a proxy. So
//! after every attempt the head is read, and [`decide`] alone says what happened. The local package is
//! deleted only after the head was seen to be ours.

use std::sync::Arc;

use overlock_core::{Commit, Error, ErrorKind, Event, Package, Result, crash_point};
use tokio::sync::mpsc;

use crate::run::{StreamContext, warning};

/// Attempts at one package before its failure is the stream's. Only failures that left the head where it
/// was are repeated, so a repeat can never double rows. A costly destination knows better what is worth another try.
const ATTEMPTS: u32 = 3;

/// What the head says about a commit.
#[derive(Debug)]
enum Verdict {
    /// Our package is in.
    Done(Commit),
    /// The head is still our parent: nothing happened, and the same call may succeed.
    Again(Error),
    /// The head is still our parent, or somebody else's: trying again is no use.
    Fail(Error),
}

/// Decides by the head whether `package` was committed.
fn decide(package: &Package, answer: Result<Commit>, head: Option<Commit>) -> Verdict {
    let id = package.manifest.id;
    let parent = package.manifest.parent;
    if let Some(head) = &head {
        if head.id == id {
            return Verdict::Done(head.clone());
        }
        // Another runner has already built on us; our packages after this one will conflict.
        if head.parent == Some(id)
            && let Ok(commit) = answer
        {
            return Verdict::Done(commit);
        }
    }
    if head.as_ref().map(|head| head.id) == parent {
        return match answer {
            Ok(_) => Verdict::Again(Error::new(
                ErrorKind::Destination,
                "commit: the destination said yes, but its head did not move",
            )),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Destination | ErrorKind::Unavailable
                ) =>
            {
                Verdict::Again(error)
            }
            Err(error) => Verdict::Fail(error),
        };
    }
    let shown = |id: Option<_>| {
        id.map_or_else(
            || "none".to_owned(),
            |id: overlock_core::CommitId| id.to_string(),
        )
    };
    let head = shown(head.map(|head| head.id));
    let mut error = Error::new(
        ErrorKind::Conflict,
        format!(
            "commit package {id}: it builds on {}, but the newest commit is {head}",
            shown(parent)
        ),
    )
    .context("commit", id)
    .context("parent", shown(parent))
    .context("head", head)
    .hint(
        "another run moved the stream on; run again: the rows are read again from the new commit",
    );
    if let Err(cause) = answer {
        error = error.source(cause);
    }
    Verdict::Fail(error)
}

/// Commits one package and deletes it locally.
///
/// # Errors
/// As the destination's; `Conflict` if another run moved the head. The package stays sealed.
pub(crate) async fn commit(
    cx: &StreamContext,
    package: &Package,
    recovered: bool,
) -> Result<Commit> {
    let most = if cx.run.destination.is_costly() {
        1
    } else {
        ATTEMPTS
    };
    let mut attempt = 1;
    let commit = loop {
        crash_point!("P7.before_commit");
        let answer = cx.run.destination.commit(package).await;
        crash_point!("P11.before_confirm");
        let head = match cx.run.destination.head(&cx.key).await {
            Ok(head) => head,
            Err(error) => {
                let error = answer.err().unwrap_or(error);
                return Err(describe(error, cx, package));
            }
        };
        crash_point!("P11.after_confirm");
        match decide(package, answer, head) {
            Verdict::Done(commit) => break commit,
            Verdict::Again(error) if attempt < most => {
                attempt += 1;
                tracing::warn!(stream = %cx.key.stream, attempt, %error, "Commit is repeated.");
            }
            Verdict::Again(error) | Verdict::Fail(error) => {
                return Err(describe(error, cx, package));
            }
        }
    };
    cx.progress.update(|counts| {
        counts.commits += 1;
        counts.rows_committed += package.manifest.rows();
        counts.bytes += package.manifest.bytes();
        counts.head = Some(commit.id);
    });
    cx.run.events.emit(Event::Committed {
        stream: cx.key.stream.clone(),
        id: commit.id,
        rows: package.manifest.rows(),
        bytes: package.manifest.bytes(),
        recovered,
    });
    let (shelf, done) = (Arc::clone(&cx.shelf), package.clone());
    if let Err(error) = cx.run.blocking(move || shelf.remove(&done)).await {
        // The next start deletes it: its id is the head's or an ancestor's.
        warning(
            cx,
            "W0304",
            format!("a committed package could not be deleted: {error}"),
        );
    }
    Ok(commit)
}

fn describe(error: Error, cx: &StreamContext, package: &Package) -> Error {
    let named = error.get("commit").is_some();
    let error = error
        .while_doing(format!(
            "commit {} rows of `{}`",
            package.manifest.rows(),
            cx.key.stream
        ))
        .context("stream", &cx.key.stream);
    if named {
        error
    } else {
        error.context("commit", package.manifest.id)
    }
}

/// Commits what the queue brings until it closes; the first failure ends it, and so closes the queue.
pub(crate) async fn commit_all(
    cx: StreamContext,
    mut queue: mpsc::Receiver<Package>,
) -> Result<()> {
    let run = &cx.run;
    while let Some(package) = queue.recv().await {
        if run.destination.is_costly() {
            if package.manifest.complete {
                run.gather.wait(run.options.seal_after, &run.stop).await;
            } else {
                run.gather.go();
            }
        }
        let place = run.commits.acquire().await;
        commit(&cx, &package, false).await?;
        drop(place);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::{manifest, merge};
    use overlock_core::{CommitId, Timestamp};

    #[test]
    fn only_the_head_decides_what_became_of_a_commit() {
        // covers: W7, W8, W9, W13, W18
        let [grandparent, parent, other] = [(); 3].map(|()| CommitId::generate());
        let package = Package {
            dir: "x".into(),
            manifest: manifest(Some(parent), merge()),
        };
        let id = package.manifest.id;
        let commit = |id: CommitId, parent: Option<CommitId>| Commit {
            id,
            parent,
            state: None,
            complete: true,
            rows: 0,
            at: Timestamp::EPOCH,
        };
        let ours = || commit(id, Some(parent));
        let lost = || Error::new(ErrorKind::Destination, "read the answer");
        let full = || Error::new(ErrorKind::Io, "write");
        let before = || Some(commit(parent, Some(grandparent)));
        let cases: Vec<(Result<Commit>, Option<Commit>, &str)> = vec![
            (Ok(ours()), Some(ours()), "done"),
            (Err(lost()), Some(ours()), "done"),
            (Err(full()), Some(ours()), "done"),
            (Ok(ours()), Some(commit(other, Some(id))), "done"),
            (Ok(ours()), before(), "again"),
            (Err(lost()), before(), "again"),
            (Err(full()), before(), "fail Io"),
            (Err(lost()), Some(commit(other, Some(id))), "fail Conflict"),
            (
                Err(lost()),
                Some(commit(other, Some(parent))),
                "fail Conflict",
            ),
            (Ok(ours()), None, "fail Conflict"),
        ];
        for (index, (answer, head, expected)) in cases.into_iter().enumerate() {
            let got = match decide(&package, answer, head) {
                Verdict::Done(commit) => {
                    assert_eq!(commit.id, id);
                    "done".to_owned()
                }
                Verdict::Again(_) => "again".to_owned(),
                Verdict::Fail(error) => {
                    if error.kind() == ErrorKind::Conflict {
                        assert_eq!(error.get("commit"), Some(id.to_string().as_str()));
                        assert!(error.get("head").is_some());
                    }
                    format!("fail {:?}", error.kind())
                }
            };
            assert_eq!(got, expected, "case {index}");
        }
    }
}
