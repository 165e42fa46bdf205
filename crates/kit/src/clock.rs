//! Clocks: the only place where one is read.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The wall clock of this machine. It may jump; money is never reckoned by it.
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant, which never runs backwards.
    fn monotonic(&self) -> Duration;
}

/// The clocks of this machine.
///
/// The monotonic one is that of the runtime, so that a test which pauses the runtime's time pauses this too.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The clocks of this machine, with the monotonic one at zero.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that only moves when it is told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<Hands>);

#[derive(Clone, Copy, Debug)]
struct Hands {
    wall: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock whose wall stands at `wall` and whose monotonic time is zero.
    pub fn new(wall: Timestamp) -> Self {
        Self(Mutex::new(Hands {
            wall,
            monotonic: Duration::ZERO,
        }))
    }

    /// Moves both hands forward.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.wall = hands.wall.checked_add(by).unwrap_or(Timestamp::MAX);
        hands.monotonic = hands.monotonic.saturating_add(by);
    }

    /// Sets the wall clock alone, as an administrator or a broken time service does.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }

    fn hands(&self) -> Hands {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.hands().wall
    }

    fn monotonic(&self) -> Duration {
        self.hands().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_leaves_the_monotonic_hand_alone() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(7));
        clock.set_wall(Timestamp::from_second(1_000_000).unwrap());
        clock.advance(Duration::from_secs(3));
        assert_eq!(clock.now(), Timestamp::from_second(1_000_003).unwrap());
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_follows_the_time_of_the_runtime() {
        let clock = SystemClock::new();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(90));
    }
}
