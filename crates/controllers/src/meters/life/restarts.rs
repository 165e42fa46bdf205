//! Restarts anywhere in a life change nothing: neither what is read back from the ledger, nor what is told again, nor what could not
//! be recorded the first time.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    fixture::{seen, subject},
    *,
};

/// How an object is found to stand at one time, by chance.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    kind: Kind,
    /// Cores and memory that it holds.
    held: [i64; 2],
    /// How far the clock that times it is from the others.
    off: i64,
    /// Whether it is known to whom it counts.
    known: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Idle,
    Holding,
    Ended,
    /// It has ended, and nobody knows when.
    Gone,
}

/// The operator starts anew while it takes a sighting.
#[derive(Clone, Copy, Debug)]
struct Restart {
    /// Whether what follows from that sighting was recorded before.
    recorded: bool,
    /// It is told so many sightings again, besides this one.
    back: usize,
}

impl Sighting {
    fn standing(&self, number: usize) -> Standing {
        let at = Second::new(100 + 10 * i64::try_from(number).unwrap() + self.off);
        let [cores, memory] = self.held;
        let quantities = [("pod/cpu", cores * 1000), ("pod/memory", memory * 64)];
        let held = Holding {
            start: Moment::exact(Second::new(90), "start"),
            change: Moment::exact(at, "change"),
            quantities: quantities
                .into_iter()
                .map(|(meter, quantity)| (meter.parse().unwrap(), quantity))
                .collect(),
            resized: BTreeMap::new(),
        };
        let end = match self.kind {
            Kind::Idle => return Standing::Idle,
            Kind::Holding => return Standing::Holding(held),
            Kind::Ended => Moment::exact(at, "finishedAt"),
            Kind::Gone => Moment::ended(at.plus(-15), at, EstimateBound::Lower, "gone"),
        };
        Standing::Over { held, end }
    }
}

/// What is recorded of these sightings, with a restart at some of them, and the life that is left.
fn recorded(sightings: &[Sighting], restarts: &BTreeMap<usize, Restart>) -> (Vec<Fact>, Life) {
    let mut restarts = restarts.clone();
    let (mut life, mut all) = (Life::default(), Vec::new());
    let mut next = 0;
    while let Some(sighting) = sightings.get(next) {
        let version = u64::try_from(next).unwrap() + 1;
        let owner = sighting.known.then(subject);
        let facts = life.facts(&seen(version), &sighting.standing(next), owner.as_ref());
        if let Some(restart) = restarts.remove(&next) {
            if restart.recorded {
                all.extend(facts);
            }
            life = Life::of(&all);
            next = next.saturating_sub(restart.back);
        } else {
            facts.iter().for_each(|fact| life.note(fact));
            all.extend(facts);
            next += 1;
        }
    }
    (all, life)
}

fn any_sighting() -> impl Strategy<Value = Sighting> {
    let kind = prop_oneof![
        1 => Just(Kind::Idle),
        6 => Just(Kind::Holding),
        1 => Just(Kind::Ended),
        1 => Just(Kind::Gone),
    ];
    (
        kind,
        [0..3_i64, 0..3_i64],
        -25..25_i64,
        prop::bool::weighted(0.8),
    )
        .prop_map(|(kind, held, off, known)| Sighting {
            kind,
            held,
            off,
            known,
        })
}

fn any_restart() -> impl Strategy<Value = Restart> {
    (any::<bool>(), 0..12_usize).prop_map(|(recorded, back)| Restart { recorded, back })
}

proptest! {
    #[test]
    fn a_life_with_restarts_anywhere_leaves_the_facts_of_one_without(
        sightings in prop::collection::vec(any_sighting(), 1..16),
        restarts in prop::collection::btree_map(0..16_usize, any_restart(), 0..6),
    ) {
        let (expected, life) = recorded(&sightings, &BTreeMap::new());
        let (found, after) = recorded(&sightings, &restarts);
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(&after, &life);
        prop_assert_eq!(&Life::of(&found), &life);
        let keys: BTreeSet<String> = found.iter().map(Fact::key).collect();
        prop_assert_eq!(keys.len(), found.len(), "a key tells one thing");
    }
}
