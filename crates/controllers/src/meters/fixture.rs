//! Sightings of one object and the facts that follow, for the tests of how each metered kind stands.

use leasehold_ledger::{fact::Fact, policy::EstimateBound, time::Second};

use super::{
    effective::Uncountable,
    life::{
        Life, Standing,
        fixture::{seen, subject},
    },
    pods::Sight,
};

/// 2026-09-01T00:00:00Z.
const START: i64 = 1_788_220_800;

/// So many seconds after the beginning.
pub fn at(second: i64) -> Second {
    Second::new(START + second)
}

/// A change seen at a second, when all before the five last ones was known.
pub fn sight(now: i64) -> Sight {
    Sight {
        now: at(now),
        known_to: Some(at(now - 5)),
        billed: EstimateBound::Lower,
        gone: false,
        listed: false,
        prompt: true,
        unbound: false,
    }
}

/// The facts of all sightings, by version, each recorded before the next one.
pub fn lived<T>(
    sightings: &[(u64, T, Sight)],
    standing: impl Fn(&T, &Sight) -> Result<Standing, Uncountable>,
) -> Vec<Fact> {
    let mut life = Life::default();
    let mut all = Vec::new();
    for (version, object, sight) in sightings {
        let standing = standing(object, sight).unwrap();
        let facts = life.facts(&seen(*version), &standing, Some(&subject()));
        facts.iter().for_each(|fact| life.note(fact));
        all.extend(facts);
    }
    all
}
