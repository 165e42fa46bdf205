//! What an accepted gap changes: what ended in it unseen is billed up to when it was last seen.

use std::collections::BTreeMap;

use leasehold_ledger::{
    document::GapDoc,
    fact::{Bounds, Fact, FactKind, Meter, Source},
    time::Second,
};

/// What the sources of declared meters begin with; then come the meter's name and the uid of its declaration.
const DECLARED: &str = "meter/";

/// Ends that bring what ended unseen in a gap back to the last moment at which it was seen.
///
/// `facts` are those of all objects in the order of the ledger. Only an end that is still the last word on its object is
/// replaced, and only one that was billed beyond its lower bound. It stays marked as an estimate. What lives on after etcd was
/// restored has ended in one life of it alone: it begins in the next one at the same instant, which is as sure or unsure as
/// the end, and nothing of it ended unseen.
pub fn known_ends<'a>(facts: impl IntoIterator<Item = &'a Fact>, gap: &GapDoc) -> Vec<Fact> {
    let mut last: BTreeMap<(&str, u32, &str, &Meter), &Fact> = BTreeMap::new();
    let mut begun: BTreeMap<(&str, &Meter, Second, u32), Option<Bounds>> = BTreeMap::new();
    for fact in facts {
        if is_of(&gap.source, &fact.meter) {
            let Source {
                cluster, etcd, uid, ..
            } = &fact.source;
            last.insert((cluster.as_str(), *etcd, uid.as_str(), &fact.meter), fact);
            if fact.kind == FactKind::Opened {
                begun.insert((uid.as_str(), &fact.meter, fact.at, *etcd), fact.bounds);
            }
        }
    }
    let lives_on = |end: &Fact| {
        let Source { uid, etcd, .. } = &end.source;
        let from = (uid.as_str(), &end.meter, end.at, etcd.saturating_add(1));
        let to = (uid.as_str(), &end.meter, end.at, u32::MAX);
        begun
            .range(from..=to)
            .any(|(_, bounds)| *bounds == end.bounds)
    };
    last.into_values()
        .filter(|fact| !lives_on(fact))
        .filter_map(|fact| known_end(fact, gap))
        .collect()
}

fn known_end(fact: &Fact, gap: &GapDoc) -> Option<Fact> {
    let bounds = fact.bounds.filter(|_| fact.kind == FactKind::Closed)?;
    let lies_in_it = bounds.lower >= gap.from && bounds.upper <= gap.to;
    (lies_in_it && fact.at > bounds.lower).then(|| Fact {
        kind: FactKind::Superseded,
        at: bounds.lower,
        evidence: "the gap was accepted: billed up to the last sight".to_owned(),
        ..fact.clone()
    })
}

/// Whether facts of a meter come from a source. None does of a single object that was never known: nothing of it is
/// recorded.
fn is_of(source: &str, meter: &Meter) -> bool {
    match meter {
        Meter::Pod { .. } => source == "pods",
        Meter::Claim { .. } => source == "claims",
        Meter::Declared { name } => source
            .strip_prefix(DECLARED)
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(of, uid)| of == name && !uid.contains('/')),
        Meter::Lease { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use leasehold_ledger::fact::{Subject, intervals};

    use super::*;

    fn fact(uid: &str, meter: &str, kind: FactKind, at: i64) -> Fact {
        Fact {
            source: Source {
                cluster: "c".to_owned(),
                etcd: 1,
                uid: uid.to_owned(),
                version: at.to_string(),
            },
            meter: meter.parse().unwrap(),
            kind,
            at: Second::new(at),
            quantity: 1000,
            subject: Subject {
                department: "gov-office".to_owned(),
                tenancy: "oa".to_owned(),
                incarnation: 1,
                system: "oa".to_owned(),
                provider: "hs-bigdata".to_owned(),
                contract: "C".to_owned(),
                budget: "B".to_owned(),
                request: 1,
                object: format!("Pod gov-office--prod/{uid}"),
            },
            estimated: false,
            bounds: None,
            evidence: "e".to_owned(),
        }
    }

    /// An end that was billed at the upper of two bounds.
    fn estimated(uid: &str, meter: &str, lower: i64, upper: i64) -> Fact {
        Fact {
            estimated: true,
            bounds: Some(Bounds {
                lower: Second::new(lower),
                upper: Second::new(upper),
            }),
            ..fact(uid, meter, FactKind::Closed, upper)
        }
    }

    fn gap() -> GapDoc {
        GapDoc {
            source: "pods".to_owned(),
            from: Second::new(100),
            to: Second::new(160),
            reason: "r".to_owned(),
            upper: BTreeMap::new(),
            at: Second::new(160),
        }
    }

    #[test]
    fn what_ended_unseen_is_billed_up_to_the_last_sight_and_stays_an_estimate() {
        let facts = [
            fact("a", "pod/cpu", FactKind::Opened, 10),
            estimated("a", "pod/cpu", 100, 160),
        ];
        let more = known_ends(&facts, &gap());
        let all = [&facts[..], &more].concat();
        let found = intervals(&all, Second::new(500)).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|i| (i.span.from.get(), i.span.to.get(), i.estimated))
            .collect();
        assert_eq!(told, [(10, 100, true)]);
        assert!(known_ends(&all, &gap()).is_empty(), "once");
    }

    #[test]
    fn ends_of_other_gaps_other_sources_and_true_ends_stay() {
        let facts = [
            fact("a", "pod/cpu", FactKind::Opened, 10),
            estimated("a", "pod/cpu", 20, 90),
            fact("b", "claim/ssd", FactKind::Opened, 10),
            estimated("b", "claim/ssd", 100, 160),
            fact("c", "pod/cpu", FactKind::Opened, 10),
            fact("c", "pod/cpu", FactKind::Closed, 130),
            fact("d", "pod/cpu", FactKind::Opened, 10),
            estimated("d", "pod/cpu", 100, 160),
            fact("d", "pod/cpu", FactKind::Superseded, 150),
        ];
        assert!(known_ends(&facts, &gap()).is_empty());
        let claims = GapDoc {
            source: "claims".to_owned(),
            ..gap()
        };
        assert_eq!(known_ends(&facts, &claims).len(), 1);
    }

    #[test]
    fn what_lives_on_after_a_restore_with_less_has_no_hole() {
        let again = |fact: Fact| Fact {
            kind: FactKind::Opened,
            source: Source {
                etcd: 2,
                ..fact.source.clone()
            },
            ..fact
        };
        let goes_on = again(estimated("a", "pod/cpu", 100, 160));
        let other = again(fact("b", "pod/cpu", FactKind::Opened, 150));
        // which says itself that it was bound then
        let anew = again(fact("c", "pod/cpu", FactKind::Opened, 130));
        let facts = [
            fact("a", "pod/cpu", FactKind::Opened, 10),
            fact("b", "pod/cpu", FactKind::Opened, 10),
            fact("c", "pod/cpu", FactKind::Opened, 10),
            estimated("a", "pod/cpu", 100, 160),
            goes_on,
            // was gone, and is there again because the backup is older
            estimated("b", "pod/cpu", 100, 140),
            other,
            estimated("c", "pod/cpu", 100, 130),
            anew,
        ];
        let more = known_ends(&facts, &gap());
        let told: Vec<_> = more
            .iter()
            .map(|fact| (fact.source.uid.as_str(), fact.at.get()))
            .collect();
        assert_eq!(told, [("b", 100), ("c", 100)]);
    }

    #[test]
    fn ends_of_a_declared_meter_are_those_of_its_own_gap() {
        let facts = [
            fact("a", "meter/buckets", FactKind::Opened, 10),
            estimated("a", "meter/buckets", 100, 160),
            fact("b", "meter/lines", FactKind::Opened, 10),
            estimated("b", "meter/lines", 100, 160),
        ];
        let of = |source: &str| {
            let gap = GapDoc {
                source: source.to_owned(),
                ..gap()
            };
            let ends = known_ends(&facts, &gap);
            ends.iter().map(Fact::key).collect::<Vec<_>>()
        };
        assert_eq!(
            of("meter/buckets/m-1"),
            ["c/1/a/meter/buckets/160/superseded"]
        );
        // one of a single bucket that was never known
        assert!(of("meter/buckets/m-1/u-7").is_empty());
        assert!(of("pods").is_empty());
    }
}
