//! Steps of the API server's clock, by which use is timed.
//!
//! The operator's own clock times nothing: it is only asked how much time has passed. When the API server's clock is set
//! forward, what was open seems to have run for longer than it did; when it is set back, a stretch of time happens twice.
//! Neither can be put right by arithmetic, so the stretch is a gap that finance sees before a period closes over it. After
//! a step back, nothing is complete beyond where the clock stands now.

use std::collections::BTreeMap;

use leasehold_ledger::{
    document::GapDoc,
    time::{Second, Span},
};

/// Name of the source of such gaps.
pub const CLOCK: &str = "clock";
/// The server's clock is known to about a second; a step back by less is none, in seconds.
const BACK: i64 = 5;
/// An answer may be late by much; a step forward by less is none, in seconds.
const FORWARD: i64 = 30;

/// An instant by the server's clock and by both of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// By the API server's clock.
    pub server: Second,
    /// By this machine's wall clock.
    pub wall: Second,
    /// Seconds by this machine's monotonic clock, since some instant of this process.
    pub monotonic: i64,
}

/// The stretch of the server's time that was skipped or happens again; none when its clock was not set.
///
/// A machine that slept finds the server far ahead of its monotonic clock, and one whose wall clock was set finds it far
/// from that: only what is far from both is a step.
pub fn step(before: &Reading, now: &Reading) -> Option<Span> {
    if before.server.since(now.server) > BACK {
        return Some(Span::new(now.server, before.server));
    }
    let passed = now.wall.since(before.wall);
    let passed = passed.max(now.monotonic.saturating_sub(before.monotonic));
    let expected = before.server.plus(passed.max(0));
    (now.server.since(expected) > FORWARD).then(|| Span::new(expected, now.server))
}

/// The stretch that happens again when the server's clock stands before what the ledger knows; none when it does not.
pub fn step_back(known: Option<Second>, now: Second) -> Option<Span> {
    let known = known.filter(|known| known.since(now) > BACK)?;
    Some(Span::new(now, known))
}

/// The gap that a step leaves.
pub fn gap(step: Span, now: Second) -> GapDoc {
    let seconds = step.seconds();
    let reason = if now == step.from {
        format!(
            "the API server's clock was set back by {seconds} s: this time happens twice, and what begins or ends in it \
             may be counted too long or not at all"
        )
    } else {
        format!(
            "the API server's clock was set forward by {seconds} s: this time has not passed, and what was open counts \
             through it"
        )
    };
    GapDoc {
        source: CLOCK.to_owned(),
        from: step.from,
        to: step.to,
        reason,
        upper: BTreeMap::new(),
        at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(server: i64, wall: i64, monotonic: i64) -> Reading {
        Reading {
            server: Second::new(server),
            wall: Second::new(wall),
            monotonic,
        }
    }

    fn span(from: i64, to: i64) -> Span {
        Span::new(Second::new(from), Second::new(to))
    }

    #[test]
    fn time_that_passes_on_all_clocks_is_no_step() {
        let before = reading(1000, 900, 50);
        assert_eq!(step(&before, &reading(1005, 905, 55)), None);
        // a second that is known less precisely, and an answer that was late
        assert_eq!(step(&before, &reading(999, 905, 55)), None);
        assert_eq!(step(&before, &reading(1034, 905, 55)), None);
    }

    #[test]
    fn a_server_that_is_set_back_repeats_a_stretch() {
        let before = reading(1000, 900, 50);
        assert_eq!(step(&before, &reading(400, 905, 55)), Some(span(400, 1000)));
        let told = gap(
            Span::new(Second::new(400), Second::new(1000)),
            Second::new(400),
        );
        assert!(told.reason.contains("set back by 600 s"), "{}", told.reason);
    }

    #[test]
    fn a_server_that_is_set_forward_skips_a_stretch() {
        let before = reading(1000, 900, 50);
        let found = step(&before, &reading(4605, 905, 55));
        assert_eq!(found, Some(span(1005, 4605)));
        let told = gap(found.unwrap(), Second::new(4605));
        assert!(
            told.reason.contains("set forward by 3600 s"),
            "{}",
            told.reason
        );
    }

    #[test]
    fn our_own_clocks_may_jump_or_sleep_as_they_like() {
        let before = reading(1000, 900, 50);
        // set forward, set back
        assert_eq!(step(&before, &reading(1005, 90_000, 55)), None);
        assert_eq!(step(&before, &reading(1005, 1, 55)), None);
        // asleep for an hour: the monotonic clock stood still
        assert_eq!(step(&before, &reading(4600, 4500, 51)), None);
        // the wall clock was set back while an hour passed
        assert_eq!(step(&before, &reading(4600, 100, 3650)), None);
    }

    #[test]
    fn after_a_start_the_ledger_shows_a_step_back() {
        let now = Second::new(400);
        assert_eq!(
            step_back(Some(Second::new(1000)), now),
            Some(span(400, 1000))
        );
        assert_eq!(step_back(Some(Second::new(405)), now), None);
        assert_eq!(step_back(None, now), None);
    }
}
