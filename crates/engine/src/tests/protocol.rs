//! The commit protocol as a property: thousands of random histories against a model.
//!
//! A history is a list of runs on two machines with disks of their own, with changes at the source in
//! between. Any run may die at any step; answers get lost; pages come damaged; connectors panic; a stop
//! comes at any page; two runs may overlap. After every step the invariants of [`World::check`] hold, and
//! after a last clean run the table equals the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overlock_core::{ErrorKind, Event, Events, SourceName, StreamName};
use proptest::prelude::*;

use super::world::{
    Dice, Kind, Machine, MemoryDestination, MemoryShelf, MemorySource, Process, World,
};
use crate::pipeline::{Pipeline, StreamPlan, StreamSettings};
use crate::run::{Options, Parts, Report, run_on};
use crate::tally::Tally;

/// One life of the program.
#[derive(Debug, Clone)]
struct Life {
    /// The step at which it is killed.
    crash_at: Option<u16>,
    seed: u64,
    /// Percent of steps that go wrong.
    faults: u8,
    seal_rows: u64,
    /// Every state becomes a checkpoint.
    checkpoints: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Grow(u64, u64),
    Run(bool, Life),
    /// Two machines at once.
    Both(Life, Life),
}

fn life() -> impl Strategy<Value = Life> {
    (
        proptest::option::weighted(0.85, 1_u16..40),
        any::<u64>(),
        prop_oneof![Just(0_u8), Just(5), Just(20)],
        prop_oneof![1_u64..8, Just(1_000)],
        any::<bool>(),
    )
        .prop_map(|(crash_at, seed, faults, seal_rows, checkpoints)| Life {
            crash_at,
            seed,
            faults,
            seal_rows,
            checkpoints,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..14, any::<u64>()).prop_map(|(count, seed)| Step::Grow(count, seed)),
        4 => (any::<bool>(), life()).prop_map(|(machine, life)| Step::Run(machine, life)),
        1 => (life(), life()).prop_map(|(one, other)| Step::Both(one, other)),
    ]
}

pub(super) fn pipeline(kind: Kind) -> Pipeline {
    let settings = StreamSettings {
        write_mode: Some(kind.write_mode()),
        ..StreamSettings::default()
    };
    Pipeline {
        name: SourceName::new("crm").unwrap(),
        source: SourceName::new("sfdc").unwrap(),
        streams: vec![StreamPlan {
            name: StreamName::new("Account").unwrap(),
            settings,
        }],
        rest: None,
    }
}

/// What happened in all histories of a test: proof that they were not all sunshine.
#[derive(Debug, Default)]
struct Seen {
    lives: AtomicU64,
    killed: AtomicU64,
    recovered: AtomicU64,
    resumed: AtomicU64,
    conflicts: AtomicU64,
    panics: AtomicU64,
    stopped: AtomicU64,
    read_again: AtomicU64,
    commits: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Seen {
    fn event(&self, event: &Event) {
        match event {
            Event::Committed { recovered, .. } => {
                count(&self.commits);
                if *recovered {
                    count(&self.recovered);
                }
            }
            Event::StreamStarted { resumed: true, .. } => count(&self.resumed),
            Event::Warning { code, .. } if code == "W0303" => count(&self.read_again),
            Event::StreamFinished { summary } => {
                match summary.error.as_ref().map(|error| error.kind) {
                    Some(ErrorKind::Conflict) => count(&self.conflicts),
                    Some(ErrorKind::Bug) => count(&self.panics),
                    Some(ErrorKind::Cancelled) => count(&self.stopped),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// Lives one life; `None` if it was killed.
async fn live(
    world: &Arc<World>,
    machine: &Arc<Machine>,
    process: &Arc<Process>,
    life: &Life,
    seen: &Arc<Seen>,
) -> Option<Report> {
    let heard = Arc::clone(seen);
    count(&seen.lives);
    let mut options = Options::new("/nowhere", "run");
    options.seal_rows = life.seal_rows;
    options.checkpoint_after = if life.checkpoints {
        Duration::ZERO
    } else {
        Duration::from_secs(30)
    };
    let parts = Parts {
        source: Arc::new(MemorySource {
            world: Arc::clone(world),
            process: Arc::clone(process),
            planned: std::sync::Mutex::default(),
        }),
        destination: Arc::new(MemoryDestination {
            world: Arc::clone(world),
            process: Arc::clone(process),
        }),
        tally: Tally::new(&Events::new(move |event| heard.event(&event))),
        clock: Arc::clone(world) as _,
    };
    let shelves = MemoryShelf {
        world: Arc::clone(world),
        machine: Arc::clone(machine),
        process: Arc::clone(process),
    };
    let pipeline = pipeline(world.kind);
    let report = tokio::select! {
        biased;
        () = process.died() => {
            count(&seen.killed);
            return None;
        }
        report = run_on(&pipeline, parts, &options, &process.stop, Arc::new(shelves)) => report,
    };
    world.check_report(&report);
    Some(report)
}

fn process(life: &Life) -> Arc<Process> {
    Process::new(life.crash_at, life.seed, life.faults)
}

async fn replay(kind: Kind, steps: &[Step], seen: &Arc<Seen>) {
    let world = World::new(kind);
    let machines = [Arc::<Machine>::default(), Arc::default()];
    for step in steps {
        match step {
            Step::Grow(count, dice) => world.grow(*count, &Dice::new(*dice)),
            Step::Run(which, life) => {
                live(
                    &world,
                    &machines[usize::from(*which)],
                    &process(life),
                    life,
                    seen,
                )
                .await;
            }
            Step::Both(one, other) => {
                let (left, right) = (process(one), process(other));
                futures::join!(
                    live(&world, &machines[0], &left, one, seen),
                    live(&world, &machines[1], &right, other, seen)
                );
            }
        }
        world.check();
    }
    // The last clean runs: the first on the machine with the longest memory, one on the other.
    let clean = Life {
        crash_at: None,
        seed: 1,
        faults: 0,
        seal_rows: 5,
        checkpoints: false,
    };
    for machine in &machines {
        let report = live(&world, machine, &Process::clean(), &clean, seen)
            .await
            .unwrap();
        assert!(report.is_ok(), "a clean run failed: {report:?}");
        world.check();
        assert_eq!(machine.packages(), 0, "a clean run left packages behind");
        // An interrupted full refresh is finished first; the next one sees what changed meanwhile.
        if world.kind == Kind::ReplaceKeyed {
            live(&world, machine, &Process::clean(), &clean, seen)
                .await
                .unwrap();
        }
        assert_eq!(world.table(), world.expected());
    }
    let head = world.head();
    let report = live(&world, &machines[1], &Process::clean(), &clean, seen)
        .await
        .unwrap();
    assert!(report.is_ok());
    if kind == Kind::AppendExact {
        assert_eq!(world.head(), head, "a run without news moved the head");
    }
    assert_eq!(world.table(), world.expected());
}

fn on_paused_time<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

fn check(kind: Kind, cases: u32) {
    let seen = Arc::new(Seen::default());
    super::hush();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::from_seed(
            proptest::test_runner::RngAlgorithm::ChaCha,
            &[kind as u8 + 1; 32],
        ),
    );
    runner
        .run(&proptest::collection::vec(step(), 3..12), |steps| {
            on_paused_time(replay(kind, &steps, &seen));
            Ok(())
        })
        .unwrap();
    let lives = seen.lives.load(Ordering::Relaxed);
    for (counter, share) in [
        (&seen.killed, 8),
        (&seen.recovered, 300),
        (&seen.resumed, 200),
        (&seen.conflicts, 500),
        (&seen.panics, 500),
        (&seen.stopped, 500),
        (&seen.read_again, 200),
        (&seen.commits, 3),
    ] {
        assert!(
            counter.load(Ordering::Relaxed) * share > lives,
            "too tame: {seen:?}"
        );
    }
    if std::env::args().any(|argument| argument == "--nocapture") {
        println!("{kind:?}: {seen:?}");
    }
}

// covers: R1, W6, W7, W8, W9, W13, W18, L9, N5, N20, T1 (and E1, E2 for every history)
#[test]
fn merge_ends_equal_to_the_model_after_any_history() {
    check(Kind::Merge, 1_000);
}

// covers: R1, R4, N20
#[test]
fn append_has_no_gap_and_no_double_after_any_history() {
    check(Kind::AppendKeyed, 1_000);
}

// covers: R1, R4
#[test]
fn append_of_exact_states_needs_no_keys_to_stay_exact() {
    check(Kind::AppendExact, 1_000);
}

// covers: R1, R4
#[test]
fn replace_is_never_empty_or_mixed_and_ends_equal_to_the_model() {
    check(Kind::ReplaceKeyed, 1_000);
}

// covers: R1
#[test]
fn replace_without_keys_never_doubles_a_row() {
    check(Kind::ReplaceKeyless, 1_000);
}
