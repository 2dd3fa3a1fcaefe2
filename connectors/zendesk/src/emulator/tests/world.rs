//! Laws of the world.

use std::time::Duration;

use overlock_core::Timestamp;

use crate::emulator::{World, WorldOptions};

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

fn everything(world: &World, at: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    for stream in World::streams() {
        for key in world.ids(stream, at) {
            all.push(format!(
                "{stream} {key} {:?}",
                world.expected(stream, &key, at)
            ));
        }
    }
    all
}

#[test]
fn the_same_options_give_the_same_world_in_any_number_of_steps() {
    for seed in 0..2 {
        let end = start().plus(DAY * 9);
        let mut at_once = World::seeded(WorldOptions::tiny(seed, start()));
        at_once.evolve(end);
        let mut in_steps = World::seeded(WorldOptions::tiny(seed, start()));
        for hour in 0..9 * 24 {
            in_steps.evolve(start().plus(Duration::from_secs(hour * 3_600)));
        }
        in_steps.evolve(end);
        assert_eq!(everything(&at_once, end), everything(&in_steps, end));
        let middle = start().plus(DAY * 4);
        assert_eq!(everything(&at_once, middle), everything(&in_steps, middle));
    }
}

#[test]
fn every_stream_has_records_and_no_body_is_missing() {
    let world = World::seeded(WorldOptions::tiny(1, start()));
    for stream in World::streams() {
        let ids = world.ids(stream, start());
        assert!(!ids.is_empty(), "{stream} is empty");
        for id in &ids {
            assert!(
                world.expected(stream, id, start()).is_some(),
                "{stream} {id}"
            );
        }
        println!("{stream}: {}", ids.len());
    }
}
