//! What a lease that takes effect, changes or ends tells the ledger.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_ledger::{
    fact::{Fact, FactKind, Interval, Meter, Source, Subject},
    policy::{DecreaseEffective, Policy},
    time::{LocalDate, Period, Second, TimeError},
};

use crate::request::{Asked, Change, shrinks};

/// Whose lease it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseContext {
    /// Uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Life of the cluster's etcd in which this tenancy's first lease was opened. A lease outlives
    /// a restored etcd: with another number its facts would begin a second lease.
    pub etcd: u32,
    /// Code of the department.
    pub department: String,
    /// Name of the tenancy.
    pub tenancy: String,
    /// Which life of the tenancy's name, from 1.
    pub incarnation: u32,
    /// Name of the information system.
    pub system: String,
    /// Who provides the capacity.
    pub provider: String,
    /// Contract under which it is leased from now on.
    pub contract: String,
    /// Code of the budget that pays from now on.
    pub budget: String,
}

/// What the ledger bills of one item at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLease {
    /// How much, in base units.
    pub quantity: i64,
    /// Under which contract.
    pub contract: String,
    /// From which budget.
    pub budget: String,
}

/// Why leases change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseCause {
    /// This request became the provisioned one.
    Request(u32),
    /// The same after a release was taken back, which may have ended what was billed of it before it stood.
    RequestAfter {
        /// The request.
        request: u32,
        /// How often a release was taken back before.
        round: u32,
    },
    /// The tenancy is released.
    Release {
        /// The last provisioned request.
        last_request: u32,
        /// How often a release was taken back before.
        round: u32,
    },
    /// The release was taken back, and what had ended of this request stands again.
    TakenBack {
        /// The provisioned request.
        request: u32,
        /// How often a release was taken back, this time among them.
        round: u32,
    },
}

impl LeaseCause {
    /// This request becomes the provisioned one, when a release was taken back so often.
    pub const fn of_request(request: u32, round: u32) -> Self {
        match round {
            0 => Self::Request(request),
            round => Self::RequestAfter { request, round },
        }
    }

    fn request(self) -> u32 {
        match self {
            Self::Request(number)
            | Self::RequestAfter {
                request: number, ..
            }
            | Self::Release {
                last_request: number,
                ..
            }
            | Self::TakenBack {
                request: number, ..
            } => number,
        }
    }

    fn version(self) -> String {
        match self {
            Self::Request(number) => format!("request-{number}"),
            Self::RequestAfter { request, round } => format!("request-{request}-{round}"),
            // each has keys of its own: an item ends, and begins, once for each of them
            Self::Release { round: 0, .. } => "release".to_owned(),
            Self::Release { round, .. } => format!("release-{round}"),
            Self::TakenBack { round, .. } => format!("taken-back-{round}"),
        }
    }
}

/// What is billed of a tenancy at the moment, by item, out of its intervals.
pub fn open_leases(context: &LeaseContext, intervals: &[Interval]) -> BTreeMap<String, OpenLease> {
    let mut open = BTreeMap::new();
    for interval in intervals.iter().filter(|interval| interval.open) {
        let subject = &interval.subject;
        let ours = subject.department == context.department
            && subject.tenancy == context.tenancy
            && subject.incarnation == context.incarnation;
        if let (true, Meter::Lease { item }) = (ours, &interval.meter) {
            let lease = OpenLease {
                quantity: interval.quantity,
                contract: subject.contract.clone(),
                budget: subject.budget.clone(),
            };
            open.insert(item.clone(), lease);
        }
    }
    open
}

/// The facts that lead from what is billed to `target`, by item.
///
/// An item whose quantity stays is changed all the same when its contract or budget is another
/// one, because the bill names them. Nothing follows where nothing differs, so that saying it
/// twice says it once.
pub fn lease_facts(
    context: &LeaseContext,
    open: &BTreeMap<String, OpenLease>,
    target: &BTreeMap<String, i64>,
    cause: LeaseCause,
    at: Second,
) -> Vec<Fact> {
    let items: BTreeSet<&String> = open.keys().chain(target.keys()).collect();
    items
        .into_iter()
        .filter_map(|item| {
            let to = target.get(item).copied().unwrap_or(0).max(0);
            let kind = match open.get(item) {
                None if to == 0 => return None,
                None => FactKind::Opened,
                Some(_) if to == 0 => FactKind::Closed,
                Some(lease) => {
                    let same = lease.quantity == to
                        && lease.contract == context.contract
                        && lease.budget == context.budget;
                    if same {
                        return None;
                    }
                    FactKind::Changed
                }
            };
            Some(fact(context, item, kind, to, cause, at))
        })
        .collect()
}

fn fact(
    context: &LeaseContext,
    item: &str,
    kind: FactKind,
    quantity: i64,
    cause: LeaseCause,
    at: Second,
) -> Fact {
    let LeaseContext {
        department,
        tenancy,
        incarnation,
        ..
    } = context;
    let evidence = match cause {
        LeaseCause::Request(_) | LeaseCause::RequestAfter { .. } | LeaseCause::TakenBack { .. } => {
            "status.hard of the tenancy's quotas"
        }
        LeaseCause::Release { .. } => "release of the tenancy",
    };
    Fact {
        source: Source {
            cluster: context.cluster.clone(),
            etcd: context.etcd,
            // the ledger knows a tenancy by its names, not by the object that may come and go
            uid: format!("{department}/{tenancy}/{incarnation}"),
            version: cause.version(),
        },
        meter: Meter::Lease {
            item: item.to_owned(),
        },
        kind,
        at,
        quantity,
        subject: Subject {
            department: department.clone(),
            tenancy: tenancy.clone(),
            incarnation: *incarnation,
            system: context.system.clone(),
            provider: context.provider.clone(),
            contract: context.contract.clone(),
            budget: context.budget.clone(),
            request: cause.request(),
            object: format!("Tenancy {department}/{tenancy}"),
        },
        estimated: false,
        bounds: None,
        evidence: evidence.to_owned(),
    }
}

/// The instant before which a request neither is provisioned nor billed.
///
/// Never before the decision, the first day of the term, or `effectiveFrom`, at local midnight. A
/// request that lowers anything counts from the period after its decision, unless the policy says
/// at once: otherwise one could shrink every evening. A request that also raises something waits
/// as a whole; ask for the increase first if it is urgent.
pub fn not_before(
    asked: &Asked,
    changes: &[Change],
    policy: &Policy,
    decided_at: Second,
) -> Result<Second, TimeError> {
    let zone = &policy.time_zone;
    let mut earliest =
        decided_at.max(zone.local_midnight(LocalDate::parse(&asked.part.term.from)?));
    if let Some(day) = &asked.effective_from {
        earliest = earliest.max(zone.local_midnight(LocalDate::parse(day)?));
    }
    if shrinks(changes) {
        match policy.decrease_effective {
            DecreaseEffective::AtOnce => {}
            DecreaseEffective::NextPeriod => {
                let running = Period::containing(policy.period, zone, decided_at)?;
                earliest = earliest.max(running.span.to);
            }
        }
    }
    Ok(earliest)
}

#[cfg(test)]
mod tests {
    use leasehold_api::tenancy::TenancySpec;
    use leasehold_ledger::{fact::intervals, money::Money, money::Unit};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::convert::ledger_policy;

    fn context() -> LeaseContext {
        LeaseContext {
            cluster: "c1".to_owned(),
            etcd: 1,
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "oa".to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-ZFCG-2026-031".to_owned(),
            budget: "30227".to_owned(),
        }
    }

    fn target(quantities: &[(&str, i64)]) -> BTreeMap<String, i64> {
        quantities
            .iter()
            .map(|(item, base)| ((*item).to_owned(), *base))
            .collect()
    }

    fn open(quantities: &[(&str, i64)]) -> BTreeMap<String, OpenLease> {
        let lease = |quantity| OpenLease {
            quantity,
            contract: context().contract,
            budget: context().budget,
        };
        quantities
            .iter()
            .map(|(item, base)| ((*item).to_owned(), lease(*base)))
            .collect()
    }

    fn said(facts: &[Fact]) -> Vec<(String, FactKind, i64)> {
        facts
            .iter()
            .map(|fact| (fact.meter.to_string(), fact.kind, fact.quantity))
            .collect()
    }

    #[test]
    fn items_are_opened_changed_and_closed_and_the_rest_is_left_alone() {
        let facts = lease_facts(
            &context(),
            &open(&[("cpu", 32), ("memory", 64), ("ssd", 5)]),
            &target(&[("cpu", 48), ("gpu", 1), ("memory", 64)]),
            LeaseCause::Request(2),
            Second::new(100),
        );
        assert_eq!(
            said(&facts),
            [
                ("lease/cpu".to_owned(), FactKind::Changed, 48),
                ("lease/gpu".to_owned(), FactKind::Opened, 1),
                ("lease/ssd".to_owned(), FactKind::Closed, 0),
            ]
        );
        assert_eq!(
            facts[0].key(),
            "c1/1/gov-office/oa/1/lease/cpu/request-2/changed"
        );
        assert_eq!(
            (facts[0].subject.request, facts[0].at),
            (2, Second::new(100))
        );
    }

    #[test]
    fn another_contract_is_told_although_no_quantity_changes() {
        let moved = LeaseContext {
            contract: "HS-ZFCG-2027-001".to_owned(),
            ..context()
        };
        let (now, same) = (open(&[("cpu", 32)]), target(&[("cpu", 32)]));
        let facts = lease_facts(&moved, &now, &same, LeaseCause::Request(3), Second::new(1));
        assert_eq!(
            said(&facts),
            [("lease/cpu".to_owned(), FactKind::Changed, 32)]
        );
        assert_eq!(facts[0].subject.contract, "HS-ZFCG-2027-001");
        let again = lease_facts(
            &context(),
            &now,
            &same,
            LeaseCause::Request(3),
            Second::new(1),
        );
        assert!(again.is_empty());
    }

    #[test]
    fn a_release_can_close_compute_first_and_storage_later() {
        let cause = LeaseCause::Release {
            last_request: 2,
            round: 0,
        };
        let now = open(&[("cpu", 32), ("ssd", 5)]);
        let first = lease_facts(
            &context(),
            &now,
            &target(&[("ssd", 5)]),
            cause,
            Second::new(1),
        );
        assert_eq!(
            said(&first),
            [("lease/cpu".to_owned(), FactKind::Closed, 0)]
        );
        assert_eq!(first[0].source.version, "release");
        let rest = open(&[("ssd", 5)]);
        let last = lease_facts(&context(), &rest, &target(&[]), cause, Second::new(9));
        assert_eq!(said(&last), [("lease/ssd".to_owned(), FactKind::Closed, 0)]);
        assert_ne!(first[0].key(), last[0].key());
    }

    #[test]
    fn what_ends_with_every_release_and_begins_with_every_one_taken_back_is_told_each_time() {
        let (nothing, leased) = (target(&[]), target(&[("cpu", 32)]));
        let mut at = Second::new(0);
        let first = LeaseCause::Request(1);
        let mut facts = lease_facts(&context(), &open(&[]), &leased, first, at);
        for round in 0..3 {
            let release = LeaseCause::Release {
                last_request: 1,
                round,
            };
            at = at.plus(10);
            let ended = lease_facts(&context(), &open(&[("cpu", 32)]), &nothing, release, at);
            facts.extend(ended);
            let back = LeaseCause::TakenBack {
                request: 1,
                round: round + 1,
            };
            at = at.plus(5);
            facts.extend(lease_facts(&context(), &open(&[]), &leased, back, at));
        }
        // two facts with one key would be an error; 0-10, 15-25, 30-40, and from 45 on
        let found: Vec<(Second, Second, u32)> = intervals(&facts, Second::new(60))
            .unwrap()
            .iter()
            .map(|found| (found.span.from, found.span.to, found.subject.request))
            .collect();
        let expected = [(0, 10), (15, 25), (30, 40), (45, 60)]
            .map(|(from, to)| (Second::new(from), Second::new(to), 1));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_request_began_early_and_releases_ended_begins_anew_after_each_that_was_taken_back() {
        let (nothing, leased) = (target(&[]), target(&[("cpu", 32)]));
        let mut facts = Vec::new();
        for round in 0..3_u32 {
            let at = Second::new(i64::from(round) * 10);
            let began = LeaseCause::of_request(1, round);
            facts.extend(lease_facts(&context(), &open(&[]), &leased, began, at));
            let ended = LeaseCause::Release {
                last_request: 1,
                round,
            };
            let billed = open(&[("cpu", 32)]);
            facts.extend(lease_facts(
                &context(),
                &billed,
                &nothing,
                ended,
                at.plus(5),
            ));
        }
        let versions: Vec<&str> = facts
            .iter()
            .map(|fact| fact.source.version.as_str())
            .collect();
        let expected = [
            "request-1",
            "release",
            "request-1-1",
            "release-1",
            "request-1-2",
            "release-2",
        ];
        assert_eq!(versions, expected);
        // 0-5, 10-15, 20-25
        let found: Vec<Second> = intervals(&facts, Second::new(60))
            .unwrap()
            .iter()
            .map(|found| found.span.from)
            .collect();
        assert_eq!(found, [0, 10, 20].map(Second::new));
        assert!(facts.iter().all(|fact| fact.subject.request == 1));
    }

    proptest! {
        #[test]
        fn any_sequence_of_targets_becomes_intervals_and_ends_where_the_last_target_is(
            targets in prop::collection::vec(
                prop::collection::btree_map(
                    prop::sample::select(vec!["a".to_owned(), "b".to_owned()]), 0..3_i64, 0..3,
                ),
                1..8,
            ),
        ) {
            let mut facts = Vec::new();
            let mut at = Second::new(0);
            for (number, target) in (1..).zip(&targets) {
                let open = open_leases(&context(), &intervals(&facts, at).unwrap());
                let cause = LeaseCause::Request(number);
                at = at.plus(10);
                facts.extend(lease_facts(&context(), &open, target, cause, at));
                at = at.plus(10);
            }
            let open = open_leases(&context(), &intervals(&facts, at).unwrap());
            let found: BTreeMap<String, i64> =
                open.into_iter().map(|(item, lease)| (item, lease.quantity)).collect();
            let mut expected = targets.last().cloned().unwrap_or_default();
            expected.retain(|_, base| *base > 0);
            prop_assert_eq!(found, expected);
        }
    }

    fn asked(effective_from: Option<&str>) -> Asked {
        let spec: TenancySpec = serde_json::from_value(json!({
            "system": "oa", "zone": "gov-extranet",
            "term": {"from": "2026-09-01", "through": "2027-08-31"},
            "contract": "c", "budget": {"code": "30227"}, "effectiveFrom": effective_from,
            "lease": [{"item": "cpu", "quantity": "1"}], "namespaces": [{"name": "prod"}],
        }))
        .unwrap();
        Asked::of(&spec)
    }

    fn change(from: i64, to: i64) -> Change {
        Change {
            item: "cpu".to_owned(),
            from,
            to,
            unit: Unit::Core,
            monthly: Money::ZERO,
            once: Money::ZERO,
        }
    }

    fn earliest(day: Option<&str>, changes: &[Change], at_once: bool, decided: &str) -> String {
        let effective = if at_once { "AtOnce" } else { "NextPeriod" };
        let spec = serde_json::from_value(json!({"decreaseEffective": effective})).unwrap();
        let policy = ledger_policy(&spec).unwrap();
        let decided = Second::parse(decided).unwrap();
        not_before(&asked(day), changes, &policy, decided)
            .unwrap()
            .to_string()
    }

    #[test]
    fn an_increase_counts_from_its_decision_but_not_before_its_day_or_the_term() {
        let more = [change(1, 2)];
        let decided = "2026-09-05T03:00:00Z";
        assert_eq!(earliest(None, &more, false, decided), decided);
        // 00:00 of 11 September in Shanghai
        let day = earliest(Some("2026-09-11"), &more, false, decided);
        assert_eq!(day, "2026-09-10T16:00:00Z");
        let early = earliest(None, &more, false, "2026-08-20T03:00:00Z");
        assert_eq!(early, "2026-08-31T16:00:00Z");
    }

    #[test]
    fn a_decrease_counts_from_the_next_period_unless_the_policy_says_at_once() {
        let decided = "2026-09-05T03:00:00Z";
        for less in [vec![change(2, 1)], vec![change(2, 1), change(1, 2)]] {
            let next_month = "2026-09-30T16:00:00Z";
            assert_eq!(earliest(None, &less, false, decided), next_month);
            assert_eq!(
                earliest(Some("2026-09-11"), &less, false, decided),
                next_month
            );
            let later = earliest(Some("2026-11-15"), &less, false, decided);
            assert_eq!(later, "2026-11-14T16:00:00Z");
            assert_eq!(earliest(None, &less, true, decided), decided);
        }
    }
}
