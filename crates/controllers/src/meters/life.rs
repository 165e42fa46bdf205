//! The life of one metered object: what is recorded of it, and which facts follow from seeing it again.
//!
//! Pure. Pods and claims say how they stand ([`Standing`]); this module compares that with what is recorded ([`Life`]).
//! Seeing the same thing twice gives no second fact, because what was recorded is part of the life by then; seeing it
//! twice with nothing recorded in between gives facts with the same keys.

mod restored;

use std::{collections::BTreeMap, sync::Arc};

use leasehold_ledger::{
    fact::{Bounds, Fact, FactKind, Meter, Source, Subject},
    policy::EstimateBound,
    time::Second,
};

pub use restored::Unseen;

/// Clocks of one cluster differ by less than so many seconds.
const SKEW: i64 = 15;

/// An instant with whatever is known of its precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant that counts.
    pub at: Second,
    /// Between which instants the true one lies, when it is an estimate.
    pub bounds: Option<Bounds>,
    /// Which field or event told it.
    pub evidence: String,
}

impl Moment {
    /// An instant that was told.
    pub fn exact(at: Second, evidence: impl Into<String>) -> Self {
        Self {
            at,
            bounds: None,
            evidence: evidence.into(),
        }
    }

    /// The beginning of something at some time between two instants. The lower bound of a bill is the later beginning.
    pub fn began(
        lower: Second,
        upper: Second,
        billed: EstimateBound,
        evidence: impl Into<String>,
    ) -> Self {
        let bounds = Bounds {
            lower: lower.min(upper),
            upper,
        };
        let at = match billed {
            EstimateBound::Lower => bounds.upper,
            EstimateBound::Upper => bounds.lower,
        };
        Self::between(at, bounds, evidence)
    }

    /// The end of something at some time between two instants. The lower bound of a bill is the earlier end.
    pub fn ended(
        lower: Second,
        upper: Second,
        billed: EstimateBound,
        evidence: impl Into<String>,
    ) -> Self {
        let bounds = Bounds {
            lower: lower.min(upper),
            upper,
        };
        let at = match billed {
            EstimateBound::Lower => bounds.lower,
            EstimateBound::Upper => bounds.upper,
        };
        Self::between(at, bounds, evidence)
    }

    fn between(at: Second, bounds: Bounds, evidence: impl Into<String>) -> Self {
        let known = bounds.lower == bounds.upper;
        Self {
            bounds: (!known).then_some(bounds),
            ..Self::exact(at, evidence)
        }
    }

    /// The same for a quantity that became less: of two bounds, what is billed of less is what is not billed of more.
    fn of_less(self) -> Self {
        let at = match self.bounds {
            Some(Bounds { lower, upper }) if self.at == upper => lower,
            Some(Bounds { upper, .. }) => upper,
            None => self.at,
        };
        Self { at, ..self }
    }

    /// The same, but nothing of it before `least`.
    fn clamped(&self, least: Second) -> Self {
        Self {
            at: self.at.max(least),
            bounds: self.bounds.map(|bounds| Bounds {
                lower: bounds.lower.max(least),
                upper: bounds.upper.max(least),
            }),
            evidence: self.evidence.clone(),
        }
    }

    /// The same, but nothing of it before what is open began: clocks of nodes may run behind. What is before it by more than
    /// clocks differ was timed by a clock that was set. And what is before a beginning that is an estimate itself shows that
    /// it is billed later than it was. Both are estimates then, whatever they say.
    fn not_before(&self, open: &Fact) -> Self {
        let least = open.at;
        let was_set = least.since(self.at) > SKEW;
        let earlier = open
            .bounds
            .filter(|began| self.at < least && began.lower < least);
        let lower = match earlier {
            Some(began) => Some(self.at.max(began.lower)),
            None => was_set.then_some(least),
        };
        let doubt = lower.map(|lower| Bounds {
            lower,
            upper: least,
        });
        let clamped = self.clamped(least);
        Self {
            bounds: clamped.bounds.or(doubt),
            ..clamped
        }
    }
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Since when it holds anything.
    pub start: Moment,
    /// When the newest change of it was made.
    pub change: Moment,
    /// How much, in base units of each meter.
    pub quantities: BTreeMap<Meter, i64>,
    /// What is known of the meters of which it may have held another amount since the start.
    pub resized: BTreeMap<Meter, Resized>,
}

/// Since when an object holds no less than it does, where it was resized after its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    /// When it was resized last.
    pub at: Second,
    /// For an object of which nothing is recorded: what it held before the resize is not known.
    pub unknown_before: Moment,
    /// For one that is recorded with less, and was not watched meanwhile: when it came to hold as much.
    pub grown: Moment,
}

impl Holding {
    /// Since when it holds what it does of a meter, where it began to hold something at `start` and nothing else is known.
    fn since(&self, meter: &Meter, start: &Moment) -> Moment {
        let resized = self.resized.get(meter);
        let later = resized.filter(|resized| resized.at > start.at);
        later.map_or_else(
            || start.clone(),
            |resized| resized.unknown_before.clamped(start.at),
        )
    }

    /// When it came to hold as much of a meter, where it is recorded with less since `recorded`.
    fn growth(&self, meter: &Meter, recorded: Second) -> &Moment {
        let resized = self.resized.get(meter);
        let later = resized.filter(|resized| resized.at > recorded);
        later.map_or(&self.change, |resized| &resized.grown)
    }
}

/// How an object stands when it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds nothing yet.
    Idle,
    /// It holds something.
    Holding(Holding),
    /// It holds nothing any more.
    Over {
        /// What it held, for one whose beginning was not seen.
        held: Holding,
        /// When that ended.
        end: Moment,
    },
}

impl Standing {
    /// Whether an object of which nothing is recorded leaves nothing to record.
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Idle => true,
            Self::Holding(held) | Self::Over { held, .. } => held.quantities.is_empty(),
        }
    }
}

/// Which object is seen, in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Cluster and life of its database, uid and version.
    pub source: Source,
    /// The object in words, such as `Pod gov-office--prod/web-1`.
    pub object: String,
}

/// What is recorded of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    begun: bool,
    /// Cluster and life of its database in which the newest is recorded.
    era: Option<(String, u32)>,
    /// To whom the newest counts.
    owner: Option<Subject>,
    /// The latest end that is recorded.
    ended: Option<Second>,
    /// The newest version of which anything is recorded in this life of the database.
    newest: Option<u128>,
    // a node of the map has room for eleven of them, of which most objects need two
    open: BTreeMap<Meter, Arc<Fact>>,
    estimated: BTreeMap<Meter, Arc<Fact>>,
}

impl Life {
    /// The life that these facts of one object tell of, in the order in which they were recorded.
    pub fn of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut life = Self::default();
        facts.into_iter().for_each(|fact| life.note(fact));
        life
    }

    /// Takes a recorded fact into account.
    pub fn note(&mut self, fact: &Fact) {
        self.begun = true;
        if self.era.is_none() || !self.is_of(&fact.source) {
            // versions count anew, and no end of an earlier life of the database is told better in a later one
            self.newest = None;
            self.estimated.clear();
            self.era = Some((fact.source.cluster.clone(), fact.source.etcd));
        }
        self.owner = Some(fact.subject.clone());
        self.newest = self.newest.max(number(&fact.source.version));
        match fact.kind {
            FactKind::Opened | FactKind::Changed => {
                self.open.insert(fact.meter.clone(), Arc::new(fact.clone()));
                self.estimated.remove(&fact.meter);
            }
            FactKind::Closed => {
                self.ended = self.ended.max(Some(fact.at));
                self.open.remove(&fact.meter);
                if fact.estimated {
                    let closed = Arc::new(fact.clone());
                    self.estimated.insert(fact.meter.clone(), closed);
                }
            }
            FactKind::Superseded => {
                self.ended = self.ended.max(Some(fact.at));
                self.estimated.remove(&fact.meter);
            }
        }
    }

    /// Whether anything is recorded at all.
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Whether what is recorded was seen in the same life of the cluster's database, or nothing is.
    pub fn is_of(&self, source: &Source) -> bool {
        self.era
            .as_ref()
            .is_none_or(|(cluster, etcd)| *cluster == source.cluster && *etcd == source.etcd)
    }

    /// To whom the newest that is recorded counts, whether or not it has ended.
    pub fn owner(&self) -> Option<&Subject> {
        self.owner.as_ref()
    }

    /// Whether something is recorded that has not ended.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether everything that was recorded has ended for good: nothing that is seen later can matter.
    pub fn is_settled(&self) -> bool {
        self.begun && self.open.is_empty() && self.estimated.is_empty()
    }

    /// To whom what is open counts.
    pub fn subject(&self) -> Option<&Subject> {
        self.open.values().next().map(|fact| &fact.subject)
    }

    /// Since when something is open: the latest instant at which it was recorded to be.
    pub fn latest(&self) -> Option<Second> {
        self.open.values().map(|fact| fact.at).max()
    }

    /// The same life for an object that counts anew after it has ended: of what is recorded only the end and the version
    /// matter. A version tells one thing only, so that an object that was not written since is told of in the version at
    /// which it was seen again.
    #[must_use]
    pub fn anew(&self, version: &mut String, seen_at: &str) -> Self {
        if number(version) <= self.newest {
            *version = again(seen_at);
        }
        Self {
            newest: self.newest,
            ended: self.ended,
            ..Self::default()
        }
    }

    /// The facts that end everything that is open, for a reason that is no version of the object.
    pub fn ended_for(&self, reason: &str, seen: &Seen, end: &Moment) -> Vec<Fact> {
        let mut seen = seen.clone();
        seen.source.version = format!("{reason}-{}", self.newest.unwrap_or(0));
        self.cut(&seen, end)
    }

    /// The facts that follow from seeing the object stand like this. `subject` is to whom new use counts; without one
    /// nothing can begin, and what changes goes on counting to whom it did.
    ///
    /// A version that is not newer than what is recorded is old news, told again after a restart: nothing follows.
    pub fn facts(&self, seen: &Seen, standing: &Standing, subject: Option<&Subject>) -> Vec<Fact> {
        let version = number(&seen.source.version);
        if version.is_some() && version <= self.newest {
            return Vec::new();
        }
        match standing {
            Standing::Idle => Vec::new(),
            Standing::Holding(held) if self.begun => self.changing(seen, held, subject),
            Standing::Holding(held) => opening(seen, held, &self.after(&held.start), subject),
            Standing::Over { end, .. } if self.is_open() => self.closing(seen, end),
            Standing::Over { end, .. } if self.begun => self.superseding(seen, end),
            Standing::Over { held, end } => {
                let mut facts = opening(seen, held, &held.start, subject);
                let closed = Self::of(&facts).closing(seen, end);
                facts.extend(closed);
                facts
            }
        }
    }

    /// A beginning, but not before what was recorded has ended.
    fn after(&self, start: &Moment) -> Moment {
        self.ended
            .map_or_else(|| start.clone(), |ended| start.clamped(ended))
    }

    /// Facts of quantities that differ from what is recorded. What has ended does not begin again.
    fn changing(&self, seen: &Seen, held: &Holding, subject: Option<&Subject>) -> Vec<Fact> {
        let Some(known) = self.subject() else {
            return Vec::new();
        };
        let subject = subject.unwrap_or(known);
        let mut facts = Vec::new();
        for (meter, open) in &self.open {
            let quantity = held.quantities.get(meter).copied().unwrap_or(0);
            if quantity != open.quantity {
                let moment = if quantity < open.quantity {
                    held.change.clone().of_less().not_before(open)
                } else {
                    held.growth(meter, open.at).not_before(open)
                };
                facts.push(fact(
                    seen,
                    meter,
                    FactKind::Changed,
                    &moment,
                    quantity,
                    subject,
                ));
            }
        }
        let mut more = held.clone();
        more.quantities
            .retain(|meter, _| !self.open.contains_key(meter));
        // it is known that it held nothing of these
        more.resized.clear();
        facts.extend(opening(seen, &more, &held.change, Some(subject)));
        facts
    }

    fn closing(&self, seen: &Seen, end: &Moment) -> Vec<Fact> {
        self.open
            .iter()
            .map(|(meter, open)| {
                let moment = end.not_before(open);
                fact(seen, meter, FactKind::Closed, &moment, 0, &open.subject)
            })
            .collect()
    }

    /// The true end of what was closed by an estimate. The end that was doubted is told again with each version, and is no
    /// news.
    fn superseding(&self, seen: &Seen, end: &Moment) -> Vec<Fact> {
        if end.bounds.is_some() {
            return Vec::new();
        }
        self.estimated
            .iter()
            .filter(|(_, closed)| closed.evidence != end.evidence || closed.at < end.at)
            .map(|(meter, closed)| fact(seen, meter, FactKind::Superseded, end, 0, &closed.subject))
            .collect()
    }
}

/// The version in which an object is told of that was not written since: that at which it was seen again.
pub fn again(seen_at: &str) -> String {
    format!("again-{seen_at}")
}

/// The number in a version, which grows with each write; also of one with words before it.
fn number(version: &str) -> Option<u128> {
    version.rsplit('-').next()?.parse().ok()
}

fn opening(seen: &Seen, held: &Holding, start: &Moment, subject: Option<&Subject>) -> Vec<Fact> {
    let Some(subject) = subject else {
        return Vec::new();
    };
    held.quantities
        .iter()
        .filter(|(_, quantity)| **quantity > 0)
        .map(|(meter, quantity)| {
            let since = held.since(meter, start);
            fact(seen, meter, FactKind::Opened, &since, *quantity, subject)
        })
        .collect()
}

fn fact(
    seen: &Seen,
    meter: &Meter,
    kind: FactKind,
    moment: &Moment,
    quantity: i64,
    subject: &Subject,
) -> Fact {
    Fact {
        source: seen.source.clone(),
        meter: meter.clone(),
        kind,
        at: moment.at,
        quantity,
        subject: Subject {
            object: seen.object.clone(),
            ..subject.clone()
        },
        estimated: moment.bounds.is_some(),
        bounds: moment.bounds,
        evidence: moment.evidence.clone(),
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;

    /// To whom everything counts in tests.
    pub fn subject() -> Subject {
        Subject {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "oa".to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-ZFCG-2026-031".to_owned(),
            budget: "30227".to_owned(),
            request: 1,
            object: String::new(),
        }
    }

    /// An object seen in this version.
    pub fn seen(version: u64) -> Seen {
        Seen {
            source: Source {
                cluster: "c".to_owned(),
                etcd: 1,
                uid: "u".to_owned(),
                version: version.to_string(),
            },
            object: "Pod gov-office--prod/web-1".to_owned(),
        }
    }
}

#[cfg(test)]
mod restarts;
#[cfg(test)]
mod tests;
