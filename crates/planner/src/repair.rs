//! When an object is put right that somebody else changes, and when that is a fight.
//!
//! A change is put right at once: the first five times within ten minutes. Whoever writes back after that is no slip of a
//! hand but another program, and two programs that undo each other's work wear out the API server and help nobody. From
//! then on pauses lie between the repairs, each twice as long as the one before, up to a longest. What keeps others out
//! is never left open for long ([`Weight::Fence`]). After half an hour of peace all is forgotten.

use leasehold_ledger::time::Second;

/// So many repairs of one object within [`WINDOW`] are made at once.
pub const AT_ONCE: usize = 5;
/// Repairs that lie further apart than this many seconds are no fight.
pub const WINDOW: i64 = 600;
/// The first pause, in seconds. Each further one is twice as long.
pub const FIRST_PAUSE: i64 = 10;
/// So many seconds after the last repair, its pause taken off, a fight counts as over.
pub const CALM: i64 = 300;
/// So many seconds after the last repair nothing is left of a fight: the next change is put right at once.
pub const PEACE: i64 = 1800;

/// What stands open as long as an object is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Others are protected by it: a quota, a network policy, who has rights, what a namespace is.
    Fence,
    /// It makes things easier for its own users, and another fence stands behind it: defaults of containers.
    Comfort,
}

impl Weight {
    /// The longest pause between two repairs, in seconds.
    pub const fn longest_pause(self) -> i64 {
        match self {
            Self::Fence => 60,
            Self::Comfort => 600,
        }
    }
}

/// Whether an object is put right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// At once.
    Go,
    /// Not before this instant.
    Wait(Second),
}

/// The past of one object that others change, as far as it is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarrel {
    /// The last repairs, oldest first, at most [`AT_ONCE`].
    recent: Vec<Second>,
    /// The number of the pause that follows the last repair, from 1. Zero: it is no fight.
    pause: u32,
    /// Repairs since the first that is remembered.
    repairs: u64,
    /// When that was.
    since: Option<Second>,
}

impl Quarrel {
    /// Whether a change that is seen now is put right now. The change after the fifth repair makes it a fight.
    pub fn judge(&mut self, now: Second, weight: Weight) -> Repair {
        self.forget(now);
        if self.pause == 0 {
            let within = self.recent.iter().filter(|at| now.since(**at) < WINDOW);
            if within.count() < AT_ONCE {
                return Repair::Go;
            }
            self.pause = 1;
        }
        match self.next(weight).filter(|next| *next > now) {
            Some(next) => Repair::Wait(next),
            None => Repair::Go,
        }
    }

    /// It was put right now.
    pub fn repaired(&mut self, now: Second) {
        self.forget(now);
        if self.pause > 0 {
            self.pause = self.pause.saturating_add(1);
        }
        self.recent.push(now);
        if self.recent.len() > AT_ONCE {
            self.recent.remove(0);
        }
        self.repairs = self.repairs.saturating_add(1);
        self.since = self.since.or(Some(now));
    }

    /// Before this instant the next change is not put right, in a fight.
    pub fn next(&self, weight: Weight) -> Option<Second> {
        let doubled = self.pause.checked_sub(1)?;
        let pause = FIRST_PAUSE.saturating_mul(2_i64.saturating_pow(doubled));
        let last = self.recent.last()?;
        Some(last.plus(pause.min(weight.longest_pause())))
    }

    /// Until when it counts as a fight, if it does now. It goes on as long as the other writes back within the pauses.
    pub fn contested(&self, now: Second, weight: Weight) -> Option<Second> {
        let until = self.next(weight)?.plus(CALM);
        (until > now).then_some(until)
    }

    /// Repairs since the first that is remembered, and when that was.
    pub fn repairs(&self) -> (u64, Option<Second>) {
        (self.repairs, self.since)
    }

    fn forget(&mut self, now: Second) {
        let last = self.recent.last();
        if last.is_some_and(|last| now.since(*last) >= PEACE) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_800_000_000;

    fn at(second: i64) -> Second {
        Second::new(START + second)
    }

    /// Somebody writes back a moment after every repair, for so many seconds. When it was put right, from the first on.
    fn fight(weight: Weight, seconds: i64) -> (Quarrel, Vec<i64>) {
        let mut quarrel = Quarrel::default();
        let mut repaired = Vec::new();
        let mut now = 0;
        while now <= seconds {
            match quarrel.judge(at(now), weight) {
                Repair::Go => {
                    quarrel.repaired(at(now));
                    repaired.push(now);
                }
                Repair::Wait(next) => now = next.since(at(0)),
            }
        }
        (quarrel, repaired)
    }

    #[test]
    fn five_repairs_are_made_at_once_and_then_pauses_double_up_to_the_longest() {
        let (_, comfort) = fight(Weight::Comfort, 3_600);
        // 10, 20, 40, 80, 160, 320 and then ten minutes each
        let expected = [
            0, 0, 0, 0, 0, 10, 30, 70, 150, 310, 630, 1_230, 1_830, 2_430, 3_030,
        ];
        assert_eq!(comfort, expected);
        let (_, fence) = fight(Weight::Fence, 310);
        // 10, 20, 40 and then one minute each
        assert_eq!(fence, [0, 0, 0, 0, 0, 10, 30, 70, 130, 190, 250, 310]);
    }

    #[test]
    fn changes_that_lie_minutes_apart_are_put_right_at_once_for_ever() {
        let mut quarrel = Quarrel::default();
        for turn in 0..500 {
            let now = at(turn * 150);
            assert_eq!(quarrel.judge(now, Weight::Fence), Repair::Go, "{turn}");
            quarrel.repaired(now);
            assert_eq!(quarrel.contested(now, Weight::Fence), None);
        }
        assert_eq!(quarrel.repairs(), (500, Some(at(0))));
    }

    #[test]
    fn the_fifth_repair_is_no_fight_and_the_change_after_it_is() {
        let mut quarrel = Quarrel::default();
        for second in [0, 1, 2, 3, 599] {
            assert_eq!(quarrel.judge(at(second), Weight::Fence), Repair::Go);
            quarrel.repaired(at(second));
        }
        assert_eq!(quarrel.contested(at(599), Weight::Fence), None);
        let sixth = quarrel.judge(at(599), Weight::Fence);
        assert_eq!(sixth, Repair::Wait(at(609)));
        let until = quarrel.contested(at(599), Weight::Fence);
        assert_eq!(until, Some(at(609 + CALM)));
    }

    #[test]
    fn a_fight_is_over_when_nobody_wrote_back_for_a_while_and_flares_up_with_its_pauses() {
        let (mut quarrel, repaired) = fight(Weight::Fence, 130);
        let last = *repaired.last().unwrap();
        assert_eq!(last, 130);
        let until = at(last + 60 + CALM);
        let before = until.plus(-1);
        assert_eq!(
            quarrel.contested(before, Weight::Fence),
            Some(until),
            "the pause is part of the fight"
        );
        assert_eq!(quarrel.contested(until, Weight::Fence), None);
        // one change more: at once, and then again a minute
        assert_eq!(quarrel.judge(until, Weight::Fence), Repair::Go);
        quarrel.repaired(until);
        assert!(quarrel.contested(until, Weight::Fence).is_some());
        let next = quarrel.judge(until, Weight::Fence);
        assert_eq!(next, Repair::Wait(until.plus(60)));
    }

    #[test]
    fn half_an_hour_of_peace_makes_everything_forgotten() {
        let (mut quarrel, repaired) = fight(Weight::Comfort, 700);
        let last = at(*repaired.last().unwrap());
        let mut still = quarrel.clone();
        still.judge(last.plus(PEACE - 1), Weight::Comfort);
        assert_eq!(still.repairs().0, 11);
        for turn in 0..5 {
            let now = last.plus(PEACE + turn);
            assert_eq!(quarrel.judge(now, Weight::Comfort), Repair::Go);
            quarrel.repaired(now);
        }
        assert_eq!(quarrel.repairs(), (5, Some(last.plus(PEACE))));
    }

    #[test]
    fn a_fence_is_never_left_open_for_longer_than_a_minute() {
        let (_, repaired) = fight(Weight::Fence, 7_200);
        assert!(repaired.windows(2).all(|pair| pair[1] - pair[0] <= 60));
        // five at once, 10, 30, 70, and then one a minute
        assert_eq!(repaired.len(), 5 + 3 + (7_200 - 70) / 60);
    }

    proptest! {
        #[test]
        fn however_somebody_writes_repairs_stay_few_and_none_waits_for_ever(
            gaps in prop::collection::vec(0_i64..900, 1..200),
        ) {
            for weight in [Weight::Fence, Weight::Comfort] {
                let mut quarrel = Quarrel::default();
                let mut now = at(0);
                let mut repaired: Vec<Second> = Vec::new();
                for gap in &gaps {
                    now = now.plus(*gap);
                    match quarrel.judge(now, weight) {
                        Repair::Go => {
                            quarrel.repaired(now);
                            repaired.push(now);
                        }
                        Repair::Wait(next) => {
                            let last = *repaired.last().unwrap();
                            prop_assert!(next > now);
                            prop_assert!(next.since(last) <= weight.longest_pause());
                            prop_assert!(quarrel.contested(now, weight).is_some());
                        }
                    }
                }
                // in no ten minutes more than five at once, and then one after each pause
                let most = 5 + 600 / 10;
                for (number, first) in repaired.iter().enumerate() {
                    let within = repaired[number..].iter().filter(|one| one.since(*first) < 600);
                    prop_assert!(within.count() <= most);
                }
            }
        }
    }
}
