//! What follows for an object when the cluster's etcd was restored from a backup.
//!
//! The versions of the restored etcd were counted before, for other changes, so what is seen from now on is recorded in
//! another life of the database ([`Source::etcd`]). What is open in the old one is brought to its end there: at the
//! last sight, if the object goes on as it was known, and begins again in the new one at the same instant, so that not
//! a second is lost or counted twice, and whatever is on record of it later comes after that; somewhere between the last
//! sight and now, if it is gone, is another size, or says itself that it holds anything only since later. What had ended and is there again, because the backup is older than its end, begins again somewhere in between.

use std::{collections::BTreeSet, sync::Arc};

use leasehold_ledger::{
    fact::{Fact, FactKind, Meter, Source, Subject},
    policy::EstimateBound,
    time::Second,
};

use super::{Holding, Life, Moment, Seen, Standing, fact, opening};
use crate::meters::pods::Sight;

/// The version of an end in a life of the database that is over. It has no number: it comes after all that have one.
const CUT: &str = "restored";
/// What tells that an object goes on.
const GOES_ON: &str = "goes on in a restored etcd";
/// What tells that an object is not as it was known.
const DIFFERS: &str = "differs in a restored etcd";
/// What tells that an object that had ended is there again.
const AGAIN: &str = "there again in a restored etcd";

/// The time in which nothing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Up to when everything was known.
    pub from: Second,
    /// When it was looked again.
    pub to: Second,
    /// Which bound of an estimate is billed.
    pub billed: EstimateBound,
}

impl From<&Sight> for Unseen {
    fn from(sight: &Sight) -> Self {
        let from = sight.known_to.unwrap_or(sight.now);
        Self {
            from: from.min(sight.now),
            to: sight.now,
            billed: sight.billed,
        }
    }
}

impl Life {
    /// The facts that follow from seeing the object stand like this in another life of the database than the one in
    /// which it is recorded. `subject` is to whom new use counts, without one to whom it did.
    pub fn after_restore(
        &self,
        seen: &Seen,
        standing: &Standing,
        subject: Option<&Subject>,
        unseen: &Unseen,
    ) -> Vec<Fact> {
        let subject = subject.or(self.owner.as_ref());
        match standing {
            Standing::Idle => self.cut(seen, &unseen.end(DIFFERS)),
            Standing::Over { end, .. } if self.is_open() => self.cut(seen, end),
            Standing::Over { held, end } => self.over_again(seen, held, end, subject, unseen),
            Standing::Holding(held) if self.is_open() && self.is_held_anew(held, unseen) => {
                let upper = unseen.to.min(held.start.at);
                let unseen = Unseen {
                    to: upper,
                    ..*unseen
                };
                let mut facts = self.cut(seen, &unseen.end(DIFFERS));
                facts.extend(opening(seen, held, &held.start, subject));
                facts
            }
            Standing::Holding(held) if self.is_open() => self.goes_on(seen, held, subject, unseen),
            Standing::Holding(held) => {
                let start = self.start_again(held, unseen);
                opening(seen, held, &start, subject)
            }
        }
    }

    /// Whether what an object holds is not what it was known to hold: it says that it holds it only since later, as one does
    /// that the backup had before it held anything.
    fn is_held_anew(&self, held: &Holding, unseen: &Unseen) -> bool {
        let known = self.latest().map_or(unseen.from, |at| at.max(unseen.from));
        held.start.bounds.is_none() && held.start.at > known
    }

    /// Ends everything that is open, in the life of the database in which it is.
    pub fn cut(&self, seen: &Seen, end: &Moment) -> Vec<Fact> {
        let cut = |(meter, open): (&Meter, &Arc<Fact>)| {
            let moment = end.not_before(open);
            let seen = in_its_era(seen, &open.source);
            fact(&seen, meter, FactKind::Closed, &moment, 0, &open.subject)
        };
        self.open.iter().map(cut).collect()
    }

    fn goes_on(
        &self,
        seen: &Seen,
        held: &Holding,
        subject: Option<&Subject>,
        unseen: &Unseen,
    ) -> Vec<Fact> {
        let meters: BTreeSet<&Meter> = self.open.keys().chain(held.quantities.keys()).collect();
        let mut ends = Vec::new();
        let mut begins = Vec::new();
        for meter in meters {
            let open = self.open.get(meter);
            let known = open.map_or(0, |open| open.quantity);
            let now = held.quantities.get(meter).copied().unwrap_or(0);
            let mut moment = unseen.change(known, now);
            if let Some(open) = open {
                moment = if known == now {
                    // where it began after the last sight, its beginning is as sure as it was
                    let began = open.bounds.filter(|_| open.at >= unseen.from);
                    Moment {
                        bounds: began,
                        ..Moment::exact(moment.at.max(open.at), GOES_ON)
                    }
                } else {
                    moment.not_before(open)
                };
                let seen = in_its_era(seen, &open.source);
                ends.push(fact(
                    &seen,
                    meter,
                    FactKind::Closed,
                    &moment,
                    0,
                    &open.subject,
                ));
            }
            if now > 0
                && let Some(subject) = subject
            {
                begins.push(fact(seen, meter, FactKind::Opened, &moment, now, subject));
            }
        }
        ends.append(&mut begins);
        ends
    }

    /// When an object began again that had ended: when it says so itself, if that was after all that was known of it.
    fn start_again(&self, held: &Holding, unseen: &Unseen) -> Moment {
        let known = self.known_over(unseen);
        if held.start.at > known {
            return held.start.clone();
        }
        Moment::began(known, unseen.to, unseen.billed, AGAIN)
    }

    /// An object that had ended, was there again, and is over again.
    fn over_again(
        &self,
        seen: &Seen,
        held: &Holding,
        end: &Moment,
        subject: Option<&Subject>,
        unseen: &Unseen,
    ) -> Vec<Fact> {
        if end.at <= self.known_over(unseen) {
            // it is the end that was known
            return Vec::new();
        }
        let begun = Unseen {
            to: unseen.to.min(end.at),
            ..*unseen
        };
        let start = self.start_again(held, &begun);
        let mut facts = opening(seen, held, &start, subject);
        let closed = Self::of(&facts).cut(seen, end);
        facts.extend(closed);
        facts
    }

    /// Up to when it is known that the object had ended and was not there again.
    fn known_over(&self, unseen: &Unseen) -> Second {
        unseen.from.max(self.ended.unwrap_or(unseen.from))
    }
}

impl Unseen {
    fn end(&self, evidence: &str) -> Moment {
        Moment::ended(self.from, self.to, self.billed, evidence)
    }

    /// When a quantity became another one. What stayed the same is told at the last sight: it may be over by the instant of
    /// looking, and say so later. Of what grew, a later instant bills less, and of what shrank, an earlier one.
    fn change(&self, from: i64, to: i64) -> Moment {
        match from.cmp(&to) {
            std::cmp::Ordering::Equal => Moment::exact(self.from, GOES_ON),
            std::cmp::Ordering::Less => Moment::began(self.from, self.to, self.billed, DIFFERS),
            std::cmp::Ordering::Greater => self.end(DIFFERS),
        }
    }
}

/// The sighting, told in the life of the database in which something was opened.
fn in_its_era(seen: &Seen, opened: &Source) -> Seen {
    let here = &seen.source;
    if here.cluster == opened.cluster && here.etcd == opened.etcd {
        return seen.clone();
    }
    Seen {
        source: Source {
            cluster: opened.cluster.clone(),
            etcd: opened.etcd,
            uid: here.uid.clone(),
            version: CUT.to_owned(),
        },
        object: seen.object.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{seen, subject},
        *,
    };
    use leasehold_ledger::fact::{Bounds, Interval, intervals};

    /// Everything is known up to 100, and it is looked again at 160.
    fn unseen(billed: EstimateBound) -> Unseen {
        Unseen {
            from: Second::new(100),
            to: Second::new(160),
            billed,
        }
    }

    fn again(version: u64) -> Seen {
        let mut seen = seen(version);
        seen.source.etcd = 2;
        seen
    }

    fn holding(start: i64, cores: i64) -> Holding {
        Holding {
            start: Moment::exact(Second::new(start), "PodScheduled lastTransitionTime"),
            change: Moment::exact(Second::new(start), "written"),
            quantities: [("pod/cpu".parse().unwrap(), cores)].into(),
            resized: [].into(),
        }
    }

    /// A pod of a core since 10, at version 900, that ended at 60 if it did.
    fn before(ended: bool) -> (Life, Vec<Fact>) {
        let mut life = Life::default();
        let mut all = life.facts(
            &seen(900),
            &Standing::Holding(holding(10, 1000)),
            Some(&subject()),
        );
        all.iter().for_each(|fact| life.note(fact));
        if ended {
            let over = Standing::Over {
                held: holding(10, 1000),
                end: Moment::exact(Second::new(60), "finishedAt"),
            };
            let closed = life.facts(&seen(901), &over, None);
            closed.iter().for_each(|fact| life.note(fact));
            all.extend(closed);
        }
        (life, all)
    }

    fn tell(ended: bool, standing: &Standing, billed: EstimateBound) -> (Vec<Fact>, Vec<Interval>) {
        let (mut life, mut all) = before(ended);
        // the restored etcd counts less than what was seen before
        let facts = life.after_restore(&again(70), standing, Some(&subject()), &unseen(billed));
        facts.iter().for_each(|fact| life.note(fact));
        all.extend(facts.iter().cloned());
        let mut found = intervals(&all, Second::new(200)).unwrap();
        found.sort_by_key(|interval| interval.span.from);
        (facts, found)
    }

    fn spans(found: &[Interval]) -> Vec<(i64, i64, i64, bool)> {
        let told = |interval: &Interval| {
            let span = interval.span;
            let (from, to) = (span.from.get(), span.to.get());
            (from, to, interval.quantity, interval.estimated)
        };
        found.iter().map(told).collect()
    }

    #[test]
    fn what_goes_on_ends_in_the_old_life_and_begins_in_the_new_one_at_one_instant() {
        let same = Standing::Holding(holding(10, 1000));
        let (facts, found) = tell(false, &same, EstimateBound::Lower);
        let keys: Vec<String> = facts.iter().map(Fact::key).collect();
        assert_eq!(
            keys,
            ["c/1/u/pod/cpu/restored/closed", "c/2/u/pod/cpu/70/opened"]
        );
        assert_eq!(
            spans(&found),
            [(10, 100, 1000, false), (100, 200, 1000, false)]
        );
    }

    #[test]
    fn what_goes_on_and_says_later_that_it_was_over_by_then_ended_when_it_says() {
        let (mut life, mut all) = before(false);
        let same = Standing::Holding(holding(10, 1000));
        let unseen = unseen(EstimateBound::Lower);
        let facts = life.after_restore(&again(70), &same, Some(&subject()), &unseen);
        facts.iter().for_each(|fact| life.note(fact));
        all.extend(facts);
        // the list was answered a moment before it, and the clock was read a moment after it
        let over = Standing::Over {
            held: holding(10, 1000),
            end: Moment::exact(Second::new(159), "finishedAt"),
        };
        all.extend(life.facts(&again(71), &over, None));
        let mut found = intervals(&all, Second::new(200)).unwrap();
        found.sort_by_key(|interval| interval.span.from);
        assert_eq!(
            spans(&found),
            [(10, 100, 1000, false), (100, 159, 1000, false)]
        );
    }

    #[test]
    fn what_was_opened_after_the_last_sight_of_all_goes_on_from_then_and_is_no_estimate() {
        let mut life = Life::default();
        let late = Standing::Holding(holding(140, 1000));
        let opened = life.facts(&seen(900), &late, Some(&subject()));
        opened.iter().for_each(|fact| life.note(fact));
        let unseen = unseen(EstimateBound::Lower);
        let facts = life.after_restore(&again(70), &late, Some(&subject()), &unseen);
        let told: Vec<_> = facts.iter().map(|f| (f.at.get(), f.estimated)).collect();
        assert_eq!(told, [(140, false), (140, false)]);
    }

    #[test]
    fn what_is_another_size_changed_at_a_bound() {
        let larger = Standing::Holding(holding(10, 3000));
        let lower = tell(false, &larger, EstimateBound::Lower).1;
        assert_eq!(
            spans(&lower),
            [(10, 160, 1000, true), (160, 200, 3000, true)]
        );
        let upper = tell(false, &larger, EstimateBound::Upper).1;
        assert_eq!(
            spans(&upper),
            [(10, 100, 1000, true), (100, 200, 3000, true)]
        );
        let smaller = Standing::Holding(holding(10, 500));
        let lower = tell(false, &smaller, EstimateBound::Lower).1;
        assert_eq!(
            spans(&lower),
            [(10, 100, 1000, true), (100, 200, 500, true)]
        );
    }

    #[test]
    fn a_beginning_that_was_an_estimate_stays_one() {
        let mut life = Life::default();
        let found = Moment::began(
            Second::new(40),
            Second::new(140),
            EstimateBound::Lower,
            "found Bound",
        );
        let held = Holding {
            start: found.clone(),
            change: found,
            ..holding(140, 1000)
        };
        let standing = Standing::Holding(held);
        let opened = life.facts(&seen(900), &standing, Some(&subject()));
        opened.iter().for_each(|fact| life.note(fact));
        let unseen = unseen(EstimateBound::Lower);
        let facts = life.after_restore(&again(70), &standing, Some(&subject()), &unseen);
        let told: Vec<_> = facts.iter().map(|f| (f.at.get(), f.bounds)).collect();
        let bounds = Some(Bounds {
            lower: Second::new(40),
            upper: Second::new(140),
        });
        assert_eq!(told, [(140, bounds), (140, bounds)]);
    }

    #[test]
    fn what_the_backup_had_before_it_held_anything_ended_at_a_bound_and_holds_again_since_it_says_so()
     {
        let bound_anew = Standing::Holding(holding(140, 1000));
        let lower = tell(false, &bound_anew, EstimateBound::Lower).1;
        assert_eq!(
            spans(&lower),
            [(10, 100, 1000, true), (140, 200, 1000, false)]
        );
        let upper = tell(false, &bound_anew, EstimateBound::Upper).1;
        assert_eq!(
            spans(&upper),
            [(10, 140, 1000, true), (140, 200, 1000, false)]
        );
    }

    #[test]
    fn what_is_not_there_yet_in_the_backup_ended_at_a_bound() {
        let (facts, found) = tell(false, &Standing::Idle, EstimateBound::Lower);
        assert_eq!(spans(&found), [(10, 100, 1000, true)]);
        let bounds = Bounds {
            lower: Second::new(100),
            upper: Second::new(160),
        };
        assert_eq!(facts[0].bounds, Some(bounds));
    }

    #[test]
    fn what_is_over_by_its_own_word_ended_then() {
        let over = Standing::Over {
            held: holding(10, 1000),
            end: Moment::exact(Second::new(130), "finishedAt"),
        };
        let found = tell(false, &over, EstimateBound::Lower).1;
        assert_eq!(spans(&found), [(10, 130, 1000, false)]);
    }

    #[test]
    fn what_had_ended_and_is_there_again_never_counts_for_the_time_before() {
        let alive = Standing::Holding(holding(10, 1000));
        let lower = tell(true, &alive, EstimateBound::Lower).1;
        assert_eq!(
            spans(&lower),
            [(10, 60, 1000, false), (160, 200, 1000, true)]
        );
        let upper = tell(true, &alive, EstimateBound::Upper).1;
        assert_eq!(
            spans(&upper),
            [(10, 60, 1000, false), (100, 200, 1000, true)]
        );
        let bound_anew = Standing::Holding(holding(140, 1000));
        let found = tell(true, &bound_anew, EstimateBound::Lower).1;
        assert_eq!(
            spans(&found),
            [(10, 60, 1000, false), (140, 200, 1000, false)]
        );
    }

    #[test]
    fn an_end_that_was_known_is_not_told_again_and_a_second_one_is() {
        let over = |end: i64| Standing::Over {
            held: holding(10, 1000),
            end: Moment::exact(Second::new(end), "finishedAt"),
        };
        let (facts, _) = tell(true, &over(60), EstimateBound::Upper);
        assert!(facts.is_empty(), "{facts:?}");
        let found = tell(true, &over(150), EstimateBound::Upper).1;
        assert_eq!(
            spans(&found),
            [(10, 60, 1000, false), (100, 150, 1000, true)]
        );
        let lower = tell(true, &over(150), EstimateBound::Lower).1;
        assert_eq!(spans(&lower), [(10, 60, 1000, false)]);
    }

    #[test]
    fn a_version_that_was_counted_before_is_news_in_the_new_life_and_then_counts_on() {
        let (mut life, _) = before(false);
        let same = Standing::Holding(holding(10, 1000));
        let unseen = unseen(EstimateBound::Lower);
        let facts = life.after_restore(&again(70), &same, Some(&subject()), &unseen);
        facts.iter().for_each(|fact| life.note(fact));
        assert!(life.is_of(&again(71).source));
        // 71 is below the 900 of the old life
        let over = Standing::Over {
            held: holding(10, 1000),
            end: Moment::exact(Second::new(180), "finishedAt"),
        };
        let closed = life.facts(&again(71), &over, None);
        assert_eq!(closed[0].key(), "c/2/u/pod/cpu/71/closed");
        // old news of the new life is none
        assert!(life.facts(&again(70), &over, None).is_empty());
    }
}
