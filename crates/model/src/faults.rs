//! What goes wrong between a client and the API server, all from one seed.

use crate::{call::Call, chance::Chance};

/// How a server in trouble refuses a call: too many at once, a failure of its own, not there.
pub(crate) const REFUSALS: [u16; 3] = [429, 500, 503];

/// When the client's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The write is on its way and never arrives.
    BeforeCommit,
    /// The write is stored; nobody hears of it.
    AfterCommit,
    /// The write is stored and answered, and that was the last thing.
    AfterAnswer,
}

impl Moment {
    /// Every moment.
    pub const ALL: [Self; 3] = [Self::BeforeCommit, Self::AfterCommit, Self::AfterAnswer];
}

/// The death of the client's process around one of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Around which write, counted from 0.
    pub write: u64,
    /// When.
    pub moment: Moment,
}

/// Objects that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// `plural.group` of their kind.
    pub resource: String,
    /// Their namespace.
    pub namespace: String,
}

/// What goes wrong. Likelihoods are in thousandths; nothing happens by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Where all chance comes from.
    pub seed: u64,
    /// The client's process dies.
    pub crash: Option<Crash>,
    /// A call is refused before anything is done, with 429, 500 or 503.
    pub refused: u16,
    /// Writes to these objects are refused with 500, as by a webhook of others that does not work.
    pub barred: Option<Barred>,
    /// This resource (`plural.group`) is not served to anybody. What is stored of it stays.
    pub unserved: Option<String>,
    /// The answer to a write that was carried out is a 504.
    pub unanswered: u16,
    /// Calls take up to so many milliseconds.
    pub slow_ms: u64,
    /// Events of a watch come up to so many milliseconds late, each watch by itself: caches are stale, and kinds
    /// overtake each other.
    pub late_ms: u64,
    /// A watch ends after an event.
    pub cut: u16,
    /// A watch ends with the word that its version is no longer kept, so that its client must list.
    pub expired: u16,
    /// An event never reaches its watch. No API server does this: it is what a client must survive by looking again
    /// now and then.
    pub lost: u16,
    /// A step of the cluster's own controllers waits up to so many milliseconds, and any that is due may come first.
    pub housekeeping_ms: u64,
}

impl Faults {
    /// Trouble of every kind that a cluster has, and no crash.
    pub fn rough(seed: u64) -> Self {
        Self {
            seed,
            crash: None,
            refused: 30,
            barred: None,
            unserved: None,
            unanswered: 30,
            slow_ms: 40,
            late_ms: 400,
            cut: 30,
            expired: 15,
            lost: 0,
            housekeeping_ms: 300,
        }
    }

    /// The same with objects that cannot be written.
    #[must_use]
    pub fn barring(mut self, resource: &str, namespace: &str) -> Self {
        self.barred = Some(Barred {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
        });
        self
    }

    /// The same without a resource.
    #[must_use]
    pub fn without(mut self, resource: &str) -> Self {
        self.unserved = Some(resource.to_owned());
        self
    }

    /// Whether a call writes what cannot be written.
    pub(crate) fn bars(&self, call: &Call) -> bool {
        call.is_write()
            && self.barred.as_ref().is_some_and(|barred| {
                barred.resource == call.kind.resource() && barred.namespace == call.namespace
            })
    }

    /// The same with a crash.
    #[must_use]
    pub fn with_crash(mut self, crash: Crash) -> Self {
        self.crash = Some(crash);
        self
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) delay_ms: u64,
    /// The code with which it is refused, if it is.
    pub(crate) refused: Option<u16>,
    pub(crate) unanswered: bool,
    pub(crate) crash: Option<Moment>,
}

/// What happens to one event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It arrives.
    Arrives,
    /// It never arrives.
    Lost,
    /// It arrives, and the watch ends.
    Cut,
    /// It does not arrive; the watch ends with an error.
    Expired,
}

/// The faults as they happen.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) faults: Faults,
    pub(crate) chance: Chance,
    writes: u64,
}

impl Course {
    pub(crate) fn new(faults: Faults) -> Self {
        Self {
            chance: Chance::new(faults.seed),
            faults,
            writes: 0,
        }
    }

    /// Writes that clients under these faults have sent.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    /// What happens to the next call.
    pub(crate) fn of_call(&mut self, is_write: bool) -> Fate {
        let faults = &self.faults;
        let crash = faults
            .crash
            .filter(|crash| is_write && crash.write == self.writes)
            .map(|crash| crash.moment);
        if is_write {
            self.writes = self.writes.saturating_add(1);
        }
        Fate {
            delay_ms: up_to(&mut self.chance, faults.slow_ms),
            refused: if crash.is_none() && self.chance.happens(faults.refused) {
                self.chance.pick(&REFUSALS).copied()
            } else {
                None
            },
            unanswered: crash.is_none() && is_write && self.chance.happens(faults.unanswered),
            crash,
        }
    }

    /// How late the next event of a watch is.
    pub(crate) fn lateness_ms(&self, chance: &mut Chance) -> u64 {
        up_to(chance, self.faults.late_ms)
    }

    /// What happens to the next event of a watch.
    pub(crate) fn of_event(&self, chance: &mut Chance) -> Delivery {
        let faults = &self.faults;
        if chance.happens(faults.lost) {
            Delivery::Lost
        } else if chance.happens(faults.expired) {
            Delivery::Expired
        } else if chance.happens(faults.cut) {
            Delivery::Cut
        } else {
            Delivery::Arrives
        }
    }
}

/// Up to so many, at least 0; nothing is drawn when it can only be 0.
pub(crate) fn up_to(chance: &mut Chance, most: u64) -> u64 {
    if most == 0 {
        return 0;
    }
    chance.below(most.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        call::{PatchKind, Verb},
        kinds::Kinds,
    };

    #[test]
    fn a_crash_meets_the_write_that_it_is_meant_for_and_no_read() {
        let crash = Crash {
            write: 1,
            moment: Moment::AfterCommit,
        };
        let mut course = Course::new(Faults::default().with_crash(crash));
        let fates: Vec<_> = [true, false, true, true]
            .map(|is_write| course.of_call(is_write).crash)
            .into();
        assert_eq!(fates, [None, None, Some(Moment::AfterCommit), None]);
        assert_eq!(course.writes(), 3);
    }

    #[test]
    fn without_faults_nothing_happens() {
        let mut course = Course::new(Faults::default());
        assert_eq!(course.of_call(true), Fate::default());
        let mut chance = Chance::new(1);
        assert_eq!(course.of_event(&mut chance), Delivery::Arrives);
        assert_eq!(course.lateness_ms(&mut chance), 0);
    }

    #[test]
    fn what_is_barred_can_be_read_and_its_like_elsewhere_written() {
        let kinds = Kinds::ours();
        let [quotas, claims] = ["resourcequotas", "persistentvolumeclaims"]
            .map(|resource| kinds.resource(resource).unwrap());
        let faults = Faults::default().barring("resourcequotas", "edu--dev");
        let apply = Verb::Patch(PatchKind::Apply);
        for (verb, kind, place, expected) in [
            (apply, &quotas, "edu--dev", true),
            (Verb::Delete, &quotas, "edu--dev", true),
            (Verb::Get, &quotas, "edu--dev", false),
            (apply, &quotas, "edu--test", false),
            (apply, &claims, "edu--dev", false),
        ] {
            let call = Call::new(verb, kind, place, "leasehold");
            assert_eq!(faults.bars(&call), expected, "{verb:?} {place}");
            assert!(!Faults::default().bars(&call));
        }
    }

    #[test]
    fn the_same_seed_brings_the_same_trouble() {
        let run = |seed| {
            let mut course = Course::new(Faults::rough(seed));
            (0..200)
                .map(|call| course.of_call(call % 2 == 0))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
        assert!(run(5).iter().any(|fate| fate.refused.is_some()));
        assert!(run(5).iter().any(|fate| fate.unanswered));
    }
}
