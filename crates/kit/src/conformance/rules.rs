//! One function per rule. Each panics with the rule's name if it is broken.

use std::time::Duration;

use futures::StreamExt as _;
use overlock_core::{ErrorKind, Stream, StreamName};

use super::reading::{Outcome, Rows, Run, missing, read_with_fault};
use super::{Fault, Subject};

/// Most request numbers per stream and fault; more are sampled evenly.
const MAX_INDEXES: u64 = 150;

/// How the source came over the faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Healed {
    /// Reads with a fault.
    pub reads: u64,
    /// Those that ended well without the engine noticing.
    pub unnoticed: u64,
    /// Those that the engine had to begin again.
    pub begun_again: u64,
}

/// All rules, one after the other.
///
/// # Panics
/// If the rule is broken.
pub async fn every_rule(subject: &dyn Subject) {
    schemas_and_keys(subject).await;
    resume_from_every_state(subject).await;
    faults_at_every_request(subject).await;
    nothing_outlives_the_stream(subject).await;
    secrets_stay_secret(subject).await;
}

/// An undisturbed read of one stream.
async fn baseline(subject: &dyn Subject, name: &StreamName) -> (Run, Stream, Outcome) {
    let (run, outcome) = read_with_fault(subject.fresh().await, name, None).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{name}: an undisturbed read: {error:?}"));
    assert!(
        outcome.errors.is_empty(),
        "{name}: an undisturbed read failed: {:?}",
        outcome.errors
    );
    let stream = run.discover(name).await;
    let stream = stream.unwrap_or_else(|error| panic!("{name}: discover: {error:?}"));
    (run, (*stream).clone(), outcome)
}

async fn streams(subject: &dyn Subject) -> Vec<StreamName> {
    let names = subject.fresh().await.streams();
    assert!(!names.is_empty(), "the subject names no stream to test");
    names
}

/// S3, and the keys that the world knows of: an undisturbed read yields exactly them.
///
/// # Panics
/// If the rule is broken.
pub async fn schemas_and_keys(subject: &dyn Subject) {
    for name in streams(subject).await {
        let (run, stream, outcome) = baseline(subject, &name).await;
        let columns: Vec<_> = stream
            .schema
            .fields()
            .iter()
            .map(|field| field.name())
            .collect();
        assert_eq!(
            columns.last().map(|name| name.as_str()),
            Some(overlock_core::stream::EXTRA),
            "{name} (S3): the last column"
        );
        for key in stream.primary_key.iter().chain(&stream.replication_key) {
            assert!(
                columns.contains(&key),
                "{name} (S3): the key column {key} is not declared"
            );
        }
        if let Some(expected) = run.world.expected(&name) {
            let lost: Vec<_> = expected.difference(&outcome.keys).take(3).collect();
            let invented: Vec<_> = outcome.keys.difference(&expected).take(3).collect();
            assert!(
                lost.is_empty() && invented.is_empty(),
                "{name}: lost {lost:?}, invented {invented:?}"
            );
        }
        assert!(
            !outcome.rows.is_empty(),
            "{name}: a stream without rows shows nothing"
        );
        if stream.incremental {
            assert!(
                outcome.ends_with_state,
                "{name} (S2): the last page of an incremental stream has no state"
            );
        }
    }
}

/// S1 and S2: from each state that was emitted the rest comes, and no state comes again after others.
///
/// # Panics
/// If the rule is broken.
pub async fn resume_from_every_state(subject: &dyn Subject) {
    for name in streams(subject).await {
        let (run, stream, whole) = baseline(subject, &name).await;
        if !stream.incremental {
            continue;
        }
        run.telling.check(&run.world.canaries());
        check_order(&stream, &whole);
        for (number, (state, covered)) in whole.states.iter().enumerate() {
            // In the same world: a state may name a job that only exists there.
            let resumed = run.read(&name, Some(state.clone())).await;
            let shown = state.as_json();
            let resumed = resumed.unwrap_or_else(|error| {
                panic!("{name} (S1): resume from state {number} {shown}: {error:?}")
            });
            check_resume(
                &stream,
                &whole.rows,
                covered,
                &resumed.rows,
                &format!("state {number} {shown}"),
            );
        }
    }
}

/// A state is opaque, so "going back" can be seen only when an earlier one comes again.
fn check_order(stream: &Stream, whole: &Outcome) {
    let mut shown: Vec<String> = whole
        .states
        .iter()
        .map(|(state, _)| state.as_json().to_string())
        .collect();
    shown.dedup();
    for (number, state) in shown.iter().enumerate() {
        assert!(
            !shown.iter().take(number).any(|earlier| earlier == state),
            "{} (S2): the state {state} comes again after others",
            stream.name
        );
    }
}

fn check_resume(stream: &Stream, whole: &Rows, covered: &Rows, resumed: &Rows, from: &str) {
    let name = &stream.name;
    let mut both = covered.clone();
    for (row, count) in resumed {
        *both.entry(row.clone()).or_default() += count;
    }
    let lost = missing(whole, &both);
    assert!(
        lost.is_empty(),
        "{name} (S1): resume from {from} skips {lost:?}"
    );
    let invented = missing(resumed, whole);
    assert!(
        invented.is_empty(),
        "{name} (S1): resume from {from} invents {invented:?}"
    );
    if stream.exact_states {
        assert!(
            both == *whole,
            "{name} (S1): resume from {from} repeats rows, but the stream declares exact states"
        );
    }
}

/// S1 under fire: each fault at each request; every read ends with the same rows.
///
/// # Panics
/// If the rule is broken.
pub async fn faults_at_every_request(subject: &dyn Subject) -> Healed {
    let mut healed = Healed::default();
    for name in streams(subject).await {
        let (run, outcome) = read_with_fault(subject.fresh().await, &name, None).await;
        let whole =
            outcome.unwrap_or_else(|error| panic!("{name}: an undisturbed read: {error:?}"));
        let requests = run.world.requests();
        assert!(requests > 0, "{name}: the world counts no requests");
        let step = usize::try_from(requests.div_ceil(MAX_INDEXES)).unwrap_or(1);
        for fault in Fault::ALL {
            for index in (0..requests).step_by(step.max(1)) {
                let fresh = subject.fresh().await;
                let (run, outcome) = read_with_fault(fresh, &name, Some((index, fault))).await;
                let place = format!("{name}: {fault:?} at request {index} of {requests}");
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    // What breaks outside of the read is the next run's to repeat.
                    Err(error) if error.is_retryable() => {
                        let again = run.read(&name, None).await;
                        let mut again = again.unwrap_or_else(|error| panic!("{place}: {error:?}"));
                        again.errors.push(error.kind());
                        again
                    }
                    Err(error) => panic!("{place}: {error:?}"),
                };
                let lost = missing(&whole.rows, &outcome.rows);
                let invented = missing(&outcome.rows, &whole.rows);
                assert!(lost.is_empty(), "{place} (S1): lost {lost:?}");
                assert!(invented.is_empty(), "{place} (S1): invented {invented:?}");
                let stateless = outcome.errors.is_empty() || outcome.states.is_empty();
                if stateless {
                    let doubled = outcome.rows != whole.rows;
                    assert!(
                        !doubled,
                        "{place} (S1): rows came more often than without the fault"
                    );
                }
                for kind in &outcome.errors {
                    let expected = matches!(
                        kind,
                        ErrorKind::StateExpired | ErrorKind::Data | ErrorKind::Unavailable
                    );
                    assert!(
                        expected,
                        "{place}: the error must not be of the kind {kind:?}"
                    );
                }
                run.telling.check(&run.world.canaries());
                healed.reads += 1;
                if outcome.errors.is_empty() {
                    healed.unnoticed += 1;
                } else {
                    healed.begun_again += 1;
                }
            }
        }
    }
    healed
}

/// S4: when the stream is dropped, requests end.
///
/// # Panics
/// If the rule is broken.
pub async fn nothing_outlives_the_stream(subject: &dyn Subject) {
    for name in streams(subject).await {
        let run = Run::new(subject.fresh().await);
        let stream = run.discover(&name).await;
        let stream = stream.unwrap_or_else(|error| panic!("{name}: discover: {error:?}"));
        let mut pages = run.source.read(run.request(&stream, None));
        if let Some(Err(error)) = pages.next().await {
            panic!("{name}: the first page: {error:?}");
        }
        drop(pages);
        // What was on the wire when the stream was dropped may still arrive.
        crate::sleep(Duration::from_millis(30)).await;
        let requests = run.world.requests();
        crate::sleep(Duration::from_millis(60)).await;
        assert_eq!(
            run.world.requests(),
            requests,
            "{name} (S4): requests go on after the stream was dropped"
        );
    }
}

/// S5: neither a good run nor refused credentials show a secret.
///
/// # Panics
/// If the rule is broken.
pub async fn secrets_stay_secret(subject: &dyn Subject) {
    let names = streams(subject).await;
    for name in &names {
        let run = Run::new(subject.fresh().await);
        let canaries = run.world.canaries();
        assert!(!canaries.is_empty(), "the subject names no secret");
        if let Err(error) = run.source.check().await {
            panic!("check: {error:?}");
        }
        let outcome = run.read(name, None).await;
        assert!(outcome.is_ok(), "{name}: {:?}", outcome.err());
        run.telling.check(&run.world.canaries());
    }
    // The account refuses everything: the texts of errors are what a secret slips into.
    if let Some(name) = names.first() {
        let world = subject.fresh().await;
        for index in 0..50 {
            world.inject(index, Fault::TokenExpired);
        }
        let run = Run::new(world);
        if let Err(error) = run.source.check().await {
            run.telling.add_error(&error);
        }
        if let Err(error) = run.read(name, None).await {
            run.telling.add_error(&error);
        }
        run.telling.check(&run.world.canaries());
    }
}
