//! Facts in little room: by object, and what many of them share is held once.
//!
//! A period of a city has facts by the million, and whoever closes or verifies it must have all of
//! them at hand, because an end may be learned long after its beginning. As [`Fact`]s they would
//! need about a kilobyte each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Bounds, Fact, FactKind, Meter, Subject};
use crate::time::Second;

/// The facts of a ledger, by object and meter; of one object in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub(super) objects: BTreeMap<ObjectKey, Vec<Kept>>,
    /// Subjects without the object's name, which no two objects share.
    subjects: BTreeSet<Arc<Subject>>,
    meters: BTreeSet<Arc<Meter>>,
    words: BTreeSet<Arc<str>>,
    count: usize,
}

/// What has a life of its own: an object under one meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectKey {
    cluster: Arc<str>,
    etcd: u32,
    uid: Box<str>,
    pub(super) meter: Arc<Meter>,
}

/// One fact of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The ledger's row.
    pub(super) seq: u64,
    version: Version,
    pub(super) kind: FactKind,
    pub(super) at: Second,
    pub(super) quantity: i64,
    pub(super) subject: Arc<Subject>,
    object: Arc<str>,
    pub(super) estimated: bool,
    bounds: Option<Box<Bounds>>,
    evidence: Arc<str>,
}

/// A `resourceVersion` is nearly always a number, which needs no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Number(u64),
    Text(Box<str>),
}

impl Facts {
    /// Adds the fact of a row.
    pub fn push(&mut self, seq: u64, fact: &Fact) {
        let cluster = shared(&mut self.words, &fact.source.cluster);
        let evidence = shared(&mut self.words, &fact.evidence);
        let meter = shared_value(&mut self.meters, &fact.meter);
        let Subject { object, .. } = &fact.subject;
        let subject = shared_value(
            &mut self.subjects,
            &Subject {
                object: String::new(),
                ..fact.subject.clone()
            },
        );
        let key = ObjectKey {
            cluster,
            etcd: fact.source.etcd,
            uid: fact.source.uid.as_str().into(),
            meter,
        };
        // most objects begin and end, and nothing else
        let facts = self
            .objects
            .entry(key)
            .or_insert_with(|| Vec::with_capacity(2));
        let object = match facts.last() {
            Some(last) if *last.object == **object => Arc::clone(&last.object),
            _ => object.as_str().into(),
        };
        facts.push(Kept {
            seq,
            version: Version::of(&fact.source.version),
            kind: fact.kind,
            at: fact.at,
            quantity: fact.quantity,
            subject,
            object,
            estimated: fact.estimated,
            bounds: fact.bounds.map(Box::new),
            evidence,
        });
        self.count = self.count.saturating_add(1);
    }

    /// Forgets objects whose use has ended for good before an instant, leases excepted, which are told from what stood
    /// before. Intervals from that instant on are the same without them; those before are not all there any more.
    pub fn forget_ended(&mut self, before: Second) {
        self.objects.retain(|key, facts| {
            matches!(*key.meter, Meter::Lease { .. }) || !has_ended(facts, before)
        });
        let left = self.objects.values().map(Vec::len);
        self.count = left.fold(0, usize::saturating_add);
    }

    /// How many facts there are, those that came twice counted twice.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Facts that no ledger holds yet, in the order given; their rows count from 1.
impl<'a> FromIterator<&'a Fact> for Facts {
    fn from_iter<I: IntoIterator<Item = &'a Fact>>(facts: I) -> Self {
        let mut kept = Self::default();
        for (seq, fact) in (1..).zip(facts) {
            kept.push(seq, fact);
        }
        kept
    }
}

/// Whether nothing of an object is before an instant but use that has ended, by an end that no later one replaces.
fn has_ended(facts: &[Kept], before: Second) -> bool {
    let for_good = facts.last().is_some_and(|last| match last.kind {
        FactKind::Closed => !last.estimated,
        FactKind::Superseded => true,
        FactKind::Opened | FactKind::Changed => false,
    });
    for_good && facts.iter().all(|fact| fact.at < before)
}

impl Kept {
    /// The key of the fact; see [`Fact::key`].
    pub(super) fn key(&self, of: &ObjectKey) -> String {
        let ObjectKey {
            cluster,
            etcd,
            uid,
            meter,
        } = of;
        let Self { version, kind, .. } = self;
        match version {
            Version::Number(version) => format!("{cluster}/{etcd}/{uid}/{meter}/{version}/{kind}"),
            Version::Text(version) => format!("{cluster}/{etcd}/{uid}/{meter}/{version}/{kind}"),
        }
    }

    /// What makes it the same fact as another of its object.
    pub(super) fn identity(&self) -> impl Ord + '_ {
        (&self.version, self.kind)
    }

    /// Whether it says what another fact of its object says, wherever in the ledger.
    pub(super) fn says_what(&self, other: &Self) -> bool {
        let Self {
            seq: _,
            version,
            kind,
            at,
            quantity,
            subject,
            object,
            estimated,
            bounds,
            evidence,
        } = self;
        *version == other.version
            && *kind == other.kind
            && *at == other.at
            && *quantity == other.quantity
            && *subject == other.subject
            && *object == other.object
            && *estimated == other.estimated
            && *bounds == other.bounds
            && *evidence == other.evidence
    }

    /// The subject with the object's name.
    pub(super) fn whole_subject(&self) -> Subject {
        Subject {
            object: self.object.as_ref().to_owned(),
            ..self.subject.as_ref().clone()
        }
    }

    /// An order of an object's facts that does not depend on how they came: by the version (a
    /// resource version or a request's number), kind and instant. Instants must not come first: a
    /// true end may lie before the estimated one that it replaces.
    pub(super) fn order(&self) -> impl Ord + '_ {
        (self.version.number(), self.kind, self.at, &self.version)
    }
}

impl Version {
    fn of(text: &str) -> Self {
        let plain = text == "0" || text.starts_with(|first: char| ('1'..='9').contains(&first));
        match text.parse() {
            Ok(number) if plain => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }

    /// The number in it. What has none, such as a release, comes after everything that has one.
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => text
                .rsplit('-')
                .next()
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(u64::MAX),
        }
    }
}

fn shared(words: &mut BTreeSet<Arc<str>>, word: &str) -> Arc<str> {
    if let Some(known) = words.get(word) {
        return Arc::clone(known);
    }
    let new: Arc<str> = word.into();
    words.insert(Arc::clone(&new));
    new
}

fn shared_value<T: Ord + Clone>(values: &mut BTreeSet<Arc<T>>, value: &T) -> Arc<T> {
    if let Some(known) = values.get(value) {
        return Arc::clone(known);
    }
    let new = Arc::new(value.clone());
    values.insert(Arc::clone(&new));
    new
}

#[cfg(test)]
mod tests {
    use super::super::{Source, trace_all};
    use super::*;

    fn fact(version: &str, kind: FactKind, at: i64) -> Fact {
        Fact {
            source: Source {
                cluster: "c1".to_owned(),
                etcd: 1,
                uid: "p".to_owned(),
                version: version.to_owned(),
            },
            meter: Meter::Claim {
                storage_class: "ssd".to_owned(),
            },
            kind,
            at: Second::new(at),
            quantity: 1,
            subject: Subject {
                department: "gov-office".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 1,
                system: "oa".to_owned(),
                provider: "hs-bigdata".to_owned(),
                contract: "HS-ZFCG-2026-031".to_owned(),
                budget: "30227".to_owned(),
                request: 1,
                object: "PersistentVolumeClaim gov-office--prod/数据".to_owned(),
            },
            estimated: false,
            bounds: None,
            evidence: "status.phase".to_owned(),
        }
    }

    #[test]
    fn an_interval_has_the_subject_and_the_keys_of_the_facts_that_it_came_from() {
        for version in [
            "17",
            "017",
            "+17",
            "request-3",
            "release",
            "0",
            "",
            "18446744073709551616",
        ] {
            let facts = [
                fact(version, FactKind::Opened, 5),
                fact(version, FactKind::Closed, 9),
            ];
            let traced = trace_all(&facts, Second::new(10)).unwrap();
            let [interval] = traced.intervals.as_slice() else {
                panic!("{version}: {traced:?}");
            };
            assert_eq!(interval.subject, facts[0].subject);
            assert_eq!(interval.meter, facts[0].meter);
            assert_eq!(interval.opened_by, facts[0].key());
            assert_eq!(interval.closed_by, Some(facts[1].key()));
        }
    }

    #[test]
    fn versions_are_ordered_as_numbers_and_what_has_none_comes_last() {
        let mut versions = ["release", "10", "request-2", "9"].map(Version::of);
        versions.sort_by_key(Version::number);
        let expected = ["request-2", "9", "10", "release"].map(Version::of);
        assert_eq!(versions, expected);
    }

    #[test]
    fn what_has_ended_for_good_is_forgotten_and_what_may_still_matter_is_kept() {
        let of = |uid: &str, kind: FactKind, at: i64, estimated: bool| {
            let mut found = fact(&at.to_string(), kind, at);
            found.source.uid = uid.to_owned();
            found.estimated = estimated;
            found
        };
        let mut leased = of("leased", FactKind::Opened, 1, false);
        leased.meter = "lease/vcpu-x86".parse().unwrap();
        let released = Fact {
            kind: FactKind::Closed,
            at: Second::new(5),
            ..leased.clone()
        };
        let told = [
            of("over", FactKind::Opened, 1, false),
            of("over", FactKind::Closed, 99, false),
            of("runs", FactKind::Opened, 1, false),
            of("guessed", FactKind::Opened, 1, false),
            of("guessed", FactKind::Closed, 50, true),
            of("corrected", FactKind::Opened, 1, false),
            of("corrected", FactKind::Closed, 50, true),
            of("corrected", FactKind::Superseded, 60, false),
            of("later", FactKind::Opened, 1, false),
            of("later", FactKind::Closed, 100, false),
            leased,
            released,
        ];
        let mut facts: Facts = told.iter().collect();
        facts.forget_ended(Second::new(100));
        let left: Vec<&str> = facts.objects.keys().map(|key| &*key.uid).collect();
        assert_eq!(left, ["guessed", "later", "leased", "runs"]);
        assert_eq!(facts.len(), 7);
    }

    #[test]
    fn what_facts_share_is_held_once() {
        let mut facts = Facts::default();
        for uid in 0..100_u32 {
            let mut begun = fact("1", FactKind::Opened, 5);
            begun.source.uid = uid.to_string();
            begun.subject.object = format!("PersistentVolumeClaim gov-office--prod/{uid}");
            facts.push(u64::from(uid), &begun);
        }
        assert_eq!((facts.len(), facts.objects.len()), (100, 100));
        assert_eq!((facts.subjects.len(), facts.meters.len()), (1, 1));
        assert_eq!(facts.words.len(), 2);
    }
}
