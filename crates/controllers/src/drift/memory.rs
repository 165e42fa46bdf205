//! What the operator remembers of the objects that it looks after: how they stood, and who keeps changing them.
//!
//! It is kept in memory alone. An operator that was started anew knows by the managed fields who changed what while it
//! was away; that somebody took something away is then put right without a word.

mod given;
mod gone;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use leasehold_ledger::{canonical::Digest, time::Second};
use leasehold_planner::{
    quota::Hard,
    repair::{Quarrel, Repair},
};

use super::words::{Drift, Key, Owner};

/// An older copy of an object than our own last write is a late cache for so many seconds, and what we wrote stands. After
/// that something is wrong with versions, as after a restore of etcd, and it is written again.
const LATE: i64 = 60;

/// An object that is looked after, and what it should be.
#[derive(Clone, Debug)]
pub(crate) struct Ward {
    /// The object.
    pub(crate) key: Key,
    /// Whose it is.
    pub(crate) owner: Owner,
    /// Digest of all that it should be. `None` when less than that is written.
    pub(crate) wanted: Option<Digest>,
}

/// What is remembered of the last time at which an object was as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recall {
    /// It was seen to be what is wanted now, at the version of the copy at hand.
    Same,
    /// The copy at hand is a little older than our own last write, which wrote what is wanted now.
    Late,
    /// The copy at hand is older than our own last write, and tells nothing.
    Older,
    /// It was what is wanted now.
    Stood,
    /// Something else was wanted.
    Other,
    /// Nothing is known.
    Unknown,
}

#[derive(Clone, Debug)]
struct Agreed {
    wanted: Option<Digest>,
    version: Option<u64>,
    at: Second,
    /// Whether it was seen so. What we wrote may have been stored otherwise, by whoever changes writes on their way.
    seen: bool,
}

#[derive(Clone, Debug, Default)]
struct Known {
    agreed: Option<Agreed>,
    /// Whether it was there.
    seen: bool,
    quarrel: Quarrel,
    /// Who changed it last.
    who: String,
    /// Whether its owner was told that it is a fight.
    told: bool,
}

/// Something that happened, for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What.
    pub(crate) sentence: String,
    /// What an event calls it: repetitions of one action are counted as one.
    pub(crate) action: String,
}

/// What an owner is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// What happened since it was told last.
    pub(crate) happened: Vec<Told>,
    /// Fights that go on, a sentence each. It changes with a repair, and not with what the other does.
    pub(crate) contests: Vec<String>,
    /// When something of this has to be looked at again.
    pub(crate) again: Option<Second>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<Owner, BTreeMap<Key, Known>>,
    happened: BTreeMap<Owner, Vec<Told>>,
    /// Fights of each owner, where there are any.
    contested: BTreeMap<Owner, usize>,
    /// What quotas that follow use were given last, or are on their way to, by namespace.
    given: BTreeMap<Owner, BTreeMap<String, Hard>>,
}

/// What the operator remembers of the objects that it looks after; shared by all controllers.
#[derive(Clone, Default)]
pub struct Repairs(Arc<Mutex<Inner>>);

impl Repairs {
    /// What is remembered of an object of which a copy of this version is at hand.
    pub(crate) fn recall(&self, ward: &Ward, version: Option<u64>, now: Second) -> Recall {
        let inner = self.lock();
        let known = inner.known(&ward.owner, &ward.key);
        let Some(agreed) = known.and_then(|known| known.agreed.as_ref()) else {
            return Recall::Unknown;
        };
        let is_older = version
            .zip(agreed.version)
            .is_some_and(|(copy, written)| copy < written);
        let is_same = ward.wanted.is_some() && agreed.wanted == ward.wanted;
        let is_it = agreed.seen && version.is_some() && version == agreed.version;
        match (is_older, is_same) {
            (false, true) if is_it => Recall::Same,
            (true, true) if now.since(agreed.at) < LATE => Recall::Late,
            (true, _) => Recall::Older,
            (false, true) => Recall::Stood,
            (false, false) if is_new(agreed, ward) => Recall::Other,
            (false, false) => Recall::Unknown,
        }
    }

    /// Whether something else is wanted of the object than when it was last as it should be.
    pub(crate) fn is_new_wish(&self, ward: &Ward) -> bool {
        let inner = self.lock();
        let known = inner.known(&ward.owner, &ward.key);
        let agreed = known.and_then(|known| known.agreed.as_ref());
        agreed.is_some_and(|agreed| is_new(agreed, ward))
    }

    /// The object is there; nothing more is said of it.
    pub(crate) fn saw(&self, owner: &Owner, key: &Key) {
        self.lock().of(owner, key).seen = true;
    }

    /// At this version the object is as it should be: it was seen so.
    pub(crate) fn agreed(&self, ward: &Ward, version: Option<u64>, now: Second) {
        self.remember(ward, version, now, true);
    }

    /// At this version the object was written as it should be.
    pub(crate) fn wrote(&self, ward: &Ward, version: Option<u64>, now: Second) {
        self.remember(ward, version, now, false);
    }

    fn remember(&self, ward: &Ward, version: Option<u64>, now: Second, seen: bool) {
        let mut inner = self.lock();
        inner.of(&ward.owner, &ward.key).agreed = Some(Agreed {
            wanted: ward.wanted.clone(),
            version,
            at: now,
            seen,
        });
    }

    /// A write failed, or nobody knows what became of it.
    pub(crate) fn unsure(&self, ward: &Ward) {
        self.lock().of(&ward.owner, &ward.key).agreed = None;
    }

    /// Whether the object was there: it was seen, or we wrote it. `None` where nothing is remembered of it.
    pub(crate) fn was_there(&self, ward: &Ward) -> Option<bool> {
        let inner = self.lock();
        let known = inner.known(&ward.owner, &ward.key);
        known.map(|known| known.seen || known.agreed.is_some())
    }

    /// Whether a pause is on before the next repair of the object.
    pub(crate) fn is_pausing(&self, ward: &Ward, now: Second) -> bool {
        let inner = self.lock();
        let next = inner
            .known(&ward.owner, &ward.key)
            .and_then(|known| known.quarrel.next(ward.key.what.weight()));
        next.is_some_and(|next| next > now)
    }

    /// Whether what became of an object without us is put right now.
    pub(crate) fn judge(&self, ward: &Ward, now: Second) -> Repair {
        let mut inner = self.lock();
        let known = inner.of(&ward.owner, &ward.key);
        known.quarrel.judge(now, ward.key.what.weight())
    }

    /// What became of an object without us was put right now.
    pub(crate) fn repaired(&self, ward: &Ward, drift: &Drift, now: Second) {
        let mut inner = self.lock();
        let known = inner.of(&ward.owner, &ward.key);
        known.quarrel.repaired(now);
        known.who = drift.who();
        let weight = ward.key.what.weight();
        // of a fight its beginning and its end are told: the rest would drown everything else
        if known.quarrel.contested(now, weight).is_none() {
            inner.tell(&ward.owner, &ward.key, drift.sentence(&ward.key));
        }
    }

    /// Something happened to an object for which nothing can be written.
    pub(crate) fn tell(&self, owner: &Owner, key: &Key, sentence: String) {
        self.lock().tell(owner, key, sentence);
    }

    /// Nothing more is known of the object: we took it away ourselves.
    pub(crate) fn forget(&self, owner: &Owner, key: &Key) {
        if let Some(objects) = self.lock().objects.get_mut(owner) {
            objects.remove(key);
        }
    }

    /// Nothing more is known of what was in the namespace: it is gone, and what is made anew in another of its name was
    /// not deleted one by one.
    pub(crate) fn forget_in(&self, owner: &Owner, namespace: &str) {
        if let Some(objects) = self.lock().objects.get_mut(owner) {
            objects.retain(|key, _| key.place.as_deref() != Some(namespace));
        }
        self.lose(owner, namespace);
    }

    /// Nothing more is known of all that is the owner's.
    pub(crate) fn forget_all(&self, owner: &Owner) {
        let mut inner = self.lock();
        inner.objects.remove(owner);
        inner.contested.remove(owner);
        inner.given.remove(owner);
    }

    /// Whether something of the owner's is fought over.
    pub(crate) fn is_contested(&self, owner: &Owner, now: Second) -> bool {
        let inner = self.lock();
        let objects = inner.objects.get(owner);
        objects.into_iter().flatten().any(|(key, known)| {
            let until = known.quarrel.contested(now, key.what.weight());
            until.is_some()
        })
    }

    /// What the owner is told now. What happened is told once.
    pub(crate) fn take(&self, owner: &Owner, now: Second) -> News {
        let mut inner = self.lock();
        let mut news = News::default();
        for (key, known) in inner.objects.get_mut(owner).into_iter().flatten() {
            let weight = key.what.weight();
            let until = known.quarrel.contested(now, weight);
            if let Some(until) = until {
                let next = known.quarrel.next(weight);
                let look = next.filter(|next| *next > now).unwrap_or(until);
                news.again = Some(news.again.map_or(look, |known| known.min(look)));
                news.contests.push(known.contest(key, next));
            }
            if until.is_some() != known.told {
                known.told = until.is_some();
                let told = Told::of(key, known.turn(key));
                news.happened.push(told);
            }
        }
        let mut happened = inner.happened.remove(owner).unwrap_or_default();
        happened.append(&mut news.happened);
        news.happened = happened;
        if news.contests.is_empty() {
            inner.contested.remove(owner);
        } else {
            inner.contested.insert(owner.clone(), news.contests.len());
        }
        news
    }

    /// The number of fights that go on, as far as their owners were told.
    pub(crate) fn contested(&self) -> usize {
        let inner = self.lock();
        inner
            .contested
            .values()
            .fold(0_usize, |sum, one| sum.saturating_add(*one))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all that is wanted is known of both times, and is not the same.
fn is_new(agreed: &Agreed, ward: &Ward) -> bool {
    let wishes = agreed.wanted.as_ref().zip(ward.wanted.as_ref());
    wishes.is_some_and(|(then, now)| then != now)
}

impl Inner {
    fn known(&self, owner: &Owner, key: &Key) -> Option<&Known> {
        self.objects.get(owner)?.get(key)
    }

    fn of(&mut self, owner: &Owner, key: &Key) -> &mut Known {
        let objects = self.objects.entry(owner.clone()).or_default();
        objects.entry(key.clone()).or_default()
    }

    fn tell(&mut self, owner: &Owner, key: &Key, sentence: String) {
        let told = Told::of(key, sentence);
        self.happened.entry(owner.clone()).or_default().push(told);
    }
}

impl Told {
    fn of(key: &Key, sentence: String) -> Self {
        Self {
            sentence,
            action: format!("Repair{}", key.what.kind()),
        }
    }
}

impl Known {
    /// How a fight stands.
    fn contest(&self, key: &Key, next: Option<Second>) -> String {
        let (repairs, since) = self.quarrel.repairs();
        let since = since.map(|since| format!(" since {since}"));
        let next = next.map(|next| format!(", the next time not before {next}"));
        format!(
            "{key} is changed again and again, last by {}: put right {repairs} times{}{}; find what writes it (its \
             managed fields, the API server's audit log) and stop it",
            self.who,
            since.unwrap_or_default(),
            next.unwrap_or_default(),
        )
    }

    /// That a fight has begun, or is over.
    fn turn(&self, key: &Key) -> String {
        let (repairs, _) = self.quarrel.repairs();
        if self.told {
            return format!(
                "{key} is changed again and again, last by {}; from now on it is put right with pauses",
                self.who
            );
        }
        format!("nobody changes {key} any more; it was put right {repairs} times")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_api::names;
    use leasehold_kit::Writer;
    use leasehold_ledger::canonical::digest_bytes;

    use super::*;
    use crate::drift::words::What;

    fn at(second: i64) -> Second {
        // 2027-01-15T08:00:00Z and so many seconds
        Second::new(1_800_000_000 + second)
    }

    fn ward(name: &str, wanted: &str) -> Ward {
        Ward {
            key: Key {
                place: Some("edu--prod".to_owned()),
                what: What::NetworkPolicy,
                name: name.to_owned(),
            },
            owner: Owner::tenancy("edu", "oa"),
            wanted: Some(digest_bytes(wanted.as_bytes())),
        }
    }

    fn by(manager: &str) -> Drift {
        Drift::Changed(Some(Writer {
            manager: manager.to_owned(),
            operation: "Update".to_owned(),
            subresource: None,
            at: None,
        }))
    }

    impl Repairs {
        /// A quota is fought over from now on. It was last as it should be when something else was wanted.
        pub(crate) fn fight_over_quota(&self, owner: &Owner, place: &str, now: Second) {
            let ward = Ward {
                key: Key {
                    place: Some(place.to_owned()),
                    what: What::Quota,
                    name: names::QUOTA_NAME.to_owned(),
                },
                owner: owner.clone(),
                wanted: Some(digest_bytes(b"another wish")),
            };
            for _ in 0..5 {
                self.repaired(&ward, &by("night-shift"), now);
            }
            assert!(matches!(self.judge(&ward, now), Repair::Wait(_)));
            self.agreed(&ward, None, now);
        }
    }

    #[test]
    fn an_object_stood_as_long_as_the_same_is_wanted() {
        let repairs = Repairs::default();
        let (one, other) = (ward("leasehold", "one"), ward("leasehold", "other"));
        assert_eq!(repairs.recall(&one, Some(7), at(0)), Recall::Unknown);
        repairs.agreed(&one, Some(7), at(0));
        assert_eq!(repairs.recall(&one, Some(7), at(1)), Recall::Same);
        assert_eq!(repairs.recall(&other, Some(7), at(1)), Recall::Other);
        assert_eq!(repairs.recall(&one, Some(9), at(1)), Recall::Stood);
        assert_eq!(repairs.recall(&other, Some(9), at(1)), Recall::Other);
        assert!(repairs.is_new_wish(&other) && !repairs.is_new_wish(&one));
        repairs.unsure(&one);
        assert!(!repairs.is_new_wish(&other), "nothing is known");
        assert_eq!(repairs.recall(&one, Some(9), at(1)), Recall::Unknown);
        let nothing = Ward {
            wanted: None,
            ..one
        };
        repairs.agreed(&nothing, Some(9), at(2));
        assert_eq!(
            repairs.recall(&nothing, Some(9), at(2)),
            Recall::Unknown,
            "two writes of which nothing is known are not the same"
        );
    }

    #[test]
    fn a_copy_from_before_our_own_write_is_late_for_a_minute() {
        let repairs = Repairs::default();
        let (one, other) = (ward("leasehold", "one"), ward("leasehold", "other"));
        repairs.wrote(&one, Some(12), at(0));
        assert_eq!(
            repairs.recall(&one, Some(12), at(1)),
            Recall::Stood,
            "it was written so and not seen so"
        );
        repairs.agreed(&one, Some(12), at(0));
        assert_eq!(repairs.recall(&one, Some(11), at(59)), Recall::Late);
        assert_eq!(repairs.recall(&other, Some(11), at(59)), Recall::Older);
        assert_eq!(repairs.recall(&one, Some(12), at(59)), Recall::Same);
        assert_eq!(repairs.recall(&one, Some(11), at(60)), Recall::Older);
        assert_eq!(
            repairs.recall(&one, None, at(1)),
            Recall::Stood,
            "what has no version is taken as it is"
        );
    }

    #[test]
    fn what_happened_is_told_once_and_to_its_owner() {
        let repairs = Repairs::default();
        let one = ward("leasehold", "one");
        repairs.repaired(&one, &by("night-shift"), at(0));
        let stranger = repairs.take(&Owner::tenancy("edu", "mail"), at(1));
        assert_eq!(stranger, News::default());
        let news = repairs.take(&one.owner, at(1));
        assert_eq!(
            news.happened,
            [Told {
                sentence:
                    "network policy leasehold in edu--prod was changed by night-shift; put right"
                        .to_owned(),
                action: "RepairNetworkPolicy".to_owned(),
            }]
        );
        assert_eq!((news.contests.len(), news.again), (0, None));
        assert_eq!(repairs.take(&one.owner, at(2)), News::default());
    }

    /// Five changes that are put right, and a sixth that is not.
    fn fought(repairs: &Repairs, one: &Ward) {
        for second in 0..5 {
            assert_eq!(repairs.judge(one, at(second)), Repair::Go);
            repairs.repaired(one, &by("night-shift"), at(second));
        }
        assert_eq!(repairs.judge(one, at(4)), Repair::Wait(at(14)));
    }

    #[test]
    fn of_a_fight_the_beginning_the_state_and_the_end_are_told() {
        let repairs = Repairs::default();
        let one = ward("leasehold", "one");
        fought(&repairs, &one);
        assert!(repairs.is_contested(&one.owner, at(5)));
        let news = repairs.take(&one.owner, at(5));
        assert_eq!(
            news.happened.len(),
            6,
            "five repairs, and that it is a fight"
        );
        assert_eq!(news.again, Some(at(14)));
        let first = news.contests[0].clone();
        assert!(
            first.starts_with(
                "network policy leasehold in edu--prod is changed again and again, last by night-shift: put right 5 times since 2027-01-15T08:00:00Z, the next time not before 2027-01-15T08:00:14Z; "
            ),
            "{first}"
        );
        assert_eq!(repairs.contested(), 1);
        // the same until the next repair, whatever the other does meanwhile
        assert_eq!(repairs.judge(&one, at(9)), Repair::Wait(at(14)));
        let same = repairs.take(&one.owner, at(9));
        assert_eq!((same.happened.len(), same.contests), (0, vec![first]));
        assert_eq!(repairs.judge(&one, at(14)), Repair::Go);
        repairs.repaired(&one, &by("night-shift"), at(14));
        let next = repairs.take(&one.owner, at(14));
        assert_eq!((next.happened.len(), next.again), (0, Some(at(34))));
        assert!(next.contests[0].contains("put right 6 times"), "{next:?}");
        // nobody writes back: looked at when the fight is over, 300 seconds after the pause of 20
        assert_eq!(repairs.take(&one.owner, at(40)).again, Some(at(334)));
        let over = repairs.take(&one.owner, at(334));
        assert!(over.contests.is_empty() && over.again.is_none(), "{over:?}");
        assert_eq!(
            over.happened[0].sentence,
            "nobody changes network policy leasehold in edu--prod any more; it was put right 6 times"
        );
        assert_eq!(repairs.contested(), 0);
    }

    #[test]
    fn what_is_forgotten_was_never_there() {
        let repairs = Repairs::default();
        let (one, other) = (ward("leasehold", "one"), ward("allow-dns", "one"));
        for ward in [&one, &other] {
            assert_eq!(repairs.was_there(ward), None);
            repairs.unsure(ward);
            assert_eq!(repairs.was_there(ward), Some(false), "a write that failed");
            repairs.agreed(ward, Some(1), at(0));
            assert_eq!(repairs.was_there(ward), Some(true));
            repairs.saw(&ward.owner, &ward.key);
            repairs.unsure(ward);
            assert_eq!(repairs.was_there(ward), Some(true), "it was seen");
        }
        repairs.forget(&one.owner, &one.key);
        assert_eq!(repairs.was_there(&one), None);
        assert_eq!(repairs.was_there(&other), Some(true));
        repairs.forget_in(&other.owner, "edu--test");
        assert_eq!(repairs.was_there(&other), Some(true));
        repairs.forget_in(&other.owner, "edu--prod");
        assert_eq!(repairs.was_there(&other), None);
        fought(&repairs, &one);
        repairs.take(&one.owner, at(5));
        repairs.forget_all(&one.owner);
        assert_eq!(repairs.contested(), 0);
        assert!(!repairs.is_contested(&one.owner, at(5)));
    }
}
