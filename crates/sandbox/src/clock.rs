//! The clock of the world that is played: it stands still until turned, or runs at a chosen speed.
//!
//! Sessions expire, jobs finish and rows appear by this clock alone, so a test covers a week in a
//! millisecond. It never steers how long a socket waits: that is the machine's own time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use overlock_core::{Clock, Timestamp};

/// A clock that can be turned. Cheap to clone; all clones show the same time.
#[derive(Clone)]
pub struct VirtualClock(Arc<Mutex<Hand>>);

struct Hand {
    /// What the clock showed at `since`.
    shown: Timestamp,
    since: Instant,
    /// Virtual seconds per real second; 0 stands still.
    speed: u32,
}

impl Hand {
    fn now(&self) -> Timestamp {
        match self.speed {
            0 => self.shown,
            speed => self.shown.plus(self.since.elapsed().saturating_mul(speed)),
        }
    }

    fn settle(&mut self) {
        self.shown = self.now();
        self.since = Instant::now();
    }
}

impl VirtualClock {
    /// A clock that stands still at `start` until it is turned.
    pub fn still(start: Timestamp) -> Self {
        Self::at_speed(start, 0)
    }

    /// A clock that shows `start` now and then runs as fast as real time.
    pub fn running(start: Timestamp) -> Self {
        Self::at_speed(start, 1)
    }

    /// A clock that shows `start` now and then runs `speed` times as fast as real time.
    pub fn at_speed(start: Timestamp, speed: u32) -> Self {
        Self(Arc::new(Mutex::new(Hand {
            shown: start,
            since: Instant::now(),
            speed,
        })))
    }

    /// Turns the clock to `time`, also backwards.
    pub fn set(&self, time: Timestamp) {
        let mut hand = self.hand();
        hand.shown = time;
        hand.since = Instant::now();
    }

    /// Turns the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut hand = self.hand();
        hand.settle();
        hand.shown = hand.shown.plus(by);
    }

    /// Changes the speed; 0 stops the clock where it is.
    pub fn set_speed(&self, speed: u32) {
        let mut hand = self.hand();
        hand.settle();
        hand.speed = speed;
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.hand().now()
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualClock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_clock_moves_only_when_turned() {
        let start = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let clock = VirtualClock::still(start);
        let other = clock.clone();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(90));
        assert_eq!(other.now().to_string(), "2026-03-01T00:01:30Z");
        other.set(start);
        assert_eq!(clock.now(), start);
    }

    #[test]
    fn a_running_clock_never_goes_back() {
        let start = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let clock = VirtualClock::at_speed(start, 1_000);
        let first = clock.now();
        assert!(first >= start);
        clock.set_speed(0);
        let second = clock.now();
        assert!(second >= first);
        assert_eq!(clock.now(), second);
    }
}
