//! The life of the company: what happens in the org, and when.
//!
//! History and future are one sequence of numbered events. When an event happens and what it does is drawn
//! from (seed, number) alone, so the sequence can be played in any number of steps. Before the start there
//! are a fixed number of events spread over the days of history; after it they come at the configured
//! rate, some moved onto a full minute or hour, because readers cut time there. Milestones (mass updates,
//! changes of the schema) stand at fixed days after the start.

use std::time::Duration;

use overlock_core::Timestamp;

use crate::emulator::world::{World, WorldOptions};

use super::dice::Dice;
use super::scene::Scene;

/// Where the sequence of events stands.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    next: Timestamp,
    number: u64,
    milestone: u64,
}

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Events of history per unit of scale; they make about twenty rows.
const EVENTS_PER_SCALE: u64 = 12;

impl Story {
    /// Nothing has happened yet.
    pub(crate) fn before(options: &WorldOptions) -> Self {
        Self {
            next: beginning(options).plus(DAY),
            number: 0,
            milestone: 0,
        }
    }
}

/// When history begins.
pub(super) fn beginning(options: &WorldOptions) -> Timestamp {
    options.start.minus(DAY * options.history_days.max(2))
}

/// Plays everything up to and including `to`.
pub(crate) fn play(world: &mut World, to: Timestamp) {
    loop {
        let milestone = milestone_at(world);
        if milestone <= world.story.next && milestone <= to {
            pass_milestone(world, milestone);
        } else if world.story.next <= to {
            let (number, at) = (world.story.number, world.story.next);
            let mut scene = Scene::new(world, number, at);
            // An event that finds nothing to work on, or finds it locked, does not happen.
            let _happened = scene.play();
            world.story.number += 1;
            world.story.next = following(&world.options, number, at);
        } else {
            return;
        }
    }
}

/// When the event after event `number` happens.
fn following(options: &WorldOptions, number: u64, at: Timestamp) -> Timestamp {
    let mut dice = Dice::numbered(options.seed, "gap", number);
    let is_history = at < options.start;
    let mean = if is_history {
        let days = u64::from(options.history_days.max(2)) - 1;
        days * DAY.as_secs() / (u64::from(options.scale) * EVENTS_PER_SCALE).max(1)
    } else if options.changes_per_day > 0 {
        DAY.as_secs() / u64::from(options.changes_per_day)
    } else {
        return Timestamp::from_seconds(253_402_300_799).unwrap_or(at);
    };
    let mut next = at.plus(Duration::from_secs(dice.below(2 * mean.max(1) + 1)));
    let border = match dice.below(30) {
        0 => 3600,
        1..4 => 60,
        _ => 1,
    };
    let late = next.seconds().rem_euclid(border);
    if late > 0 {
        next = next.plus(Duration::from_secs((border - late).unsigned_abs()));
    }
    // The first event after the start belongs to the future, so that the start itself is quiet.
    if is_history && next >= options.start {
        let gap = DAY.as_secs() / u64::from(options.changes_per_day.max(1));
        return match options.changes_per_day {
            0 => Timestamp::from_seconds(253_402_300_799).unwrap_or(next),
            _ => options
                .start
                .plus(Duration::from_secs(1 + dice.below(2 * gap))),
        };
    }
    next
}

const MILESTONE_DAYS: u64 = 1;

fn milestone_at(world: &World) -> Timestamp {
    // Milestones stand on midnights, where windows of days meet.
    let start = world.options.start.seconds();
    let midnight = start - start.rem_euclid(86_400);
    let days = (world.story.milestone + 1) * MILESTONE_DAYS;
    Timestamp::from_seconds(midnight)
        .unwrap_or(world.options.start)
        .plus(DAY * u32::try_from(days).unwrap_or(u32::MAX))
}

fn pass_milestone(world: &mut World, at: Timestamp) {
    world.story.milestone += 1;
    let day = world.story.milestone;
    if world.options.mass_updates && day % 10 == 5 {
        let objects = ["Contact", "Task", "Account", "Lead", "OpportunityLineItem"];
        let index = usize::try_from(day / 10).unwrap_or(0) % objects.len();
        let object = objects.get(index).copied().unwrap_or("Task");
        let _touched = world.mass_update(object, usize::MAX, at);
    }
    if world.options.drift {
        let _changed = match day {
            7 => world.add_field("Account", "Territory__c pk40", at),
            14 => world.hide_field("Account", "Sic", at, Some(at.plus(DAY * 21))),
            21 => world.drop_field("Account", "Legacy_Code__c", at),
            28 => world.change_type("Account", "Support_Level__c dbl5.0", at),
            _ => Ok(()),
        };
    }
}
