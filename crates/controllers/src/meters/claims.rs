//! How a volume claim stands.
//!
//! A claim holds the real capacity of its volume, of its storage class, from the moment that it was bound until it is
//! removed. What it asked for and has not got is not held, unless the policy counts claims from their creation.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use leasehold_ledger::{fact::Meter, time::Second};

use super::{
    effective::{self, Uncountable},
    life::{Holding, Moment, Standing},
    pods::{Sight, found_changed, second, written},
};

/// A removal that is seen within this many seconds of complete knowledge is timed by the API server's clock.
const PROMPT: i64 = 30;
/// A claim that was last written within so many seconds of its creation was not changed since.
const AT_ONCE: i64 = 1;

/// How the claim stands.
pub fn standing(claim: &PersistentVolumeClaim, sight: &Sight) -> Result<Standing, Uncountable> {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let bound = phase == Some("Bound");
    let waits = sight.unbound && phase.is_none_or(|phase| phase == "Pending");
    if !bound && !waits && !sight.gone {
        return Ok(Standing::Idle);
    }
    let quantities = match quantities(claim, waits) {
        Ok(quantities) => quantities,
        // what is recorded must end, whatever the claim says now
        Err(_) if sight.gone => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let held = Holding {
        start: start(claim, sight),
        change: change(claim, sight),
        quantities,
        resized: BTreeMap::new(),
    };
    Ok(if sight.gone {
        let end = end(claim, &held, sight);
        Standing::Over { held, end }
    } else {
        Standing::Holding(held)
    })
}

/// Bytes of its class that the claim has got, or asks for while it waits. A claim without a class is bound to a volume by
/// hand and leases nothing.
fn quantities(
    claim: &PersistentVolumeClaim,
    waits: bool,
) -> Result<BTreeMap<Meter, i64>, Uncountable> {
    let class = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.as_deref());
    let got = claim
        .status
        .as_ref()
        .and_then(|status| status.capacity.as_ref());
    let asked = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let amounts = if waits { asked } else { got };
    let capacity = amounts.and_then(|amounts| amounts.get("storage"));
    let (Some(class), Some(capacity)) = (class.filter(|class| !class.is_empty()), capacity) else {
        return Ok(BTreeMap::new());
    };
    let meter = Meter::Claim {
        storage_class: class.to_owned(),
    };
    Ok(BTreeMap::from([(
        meter,
        effective::bytes("storage", capacity)?,
    )]))
}

/// When it was bound: when this change was written. Of one that was found bound it is only known that it was after its
/// creation and not after its status was written last.
fn start(claim: &PersistentVolumeClaim, sight: &Sight) -> Moment {
    let created = claim.metadata.creation_timestamp.as_ref().map(second);
    if let Some(made) = created.filter(|made| is_news(claim, *made, sight)) {
        return Moment::exact(made, "creationTimestamp");
    }
    if !sight.listed && !sight.gone {
        return change(claim, sight);
    }
    let created = created.unwrap_or(sight.now).min(sight.latest());
    let upper = status_written(claim, sight)
        .unwrap_or(sight.now)
        .max(created);
    Moment::began(created, upper, sight.billed, "found Bound")
}

/// Whether claims count from their creation, and this one was made so lately that it counted from the first.
fn is_news(claim: &PersistentVolumeClaim, made: Second, sight: &Sight) -> bool {
    let unchanged = || written(&claim.metadata, sight).is_some_and(|at| at.since(made) <= AT_ONCE);
    let unseen = || sight.known_to.is_some_and(|known| known < made);
    sight.unbound && (unchanged() || unseen())
}

/// When the status was last written: binding and expansion are.
fn status_written(claim: &PersistentVolumeClaim, sight: &Sight) -> Option<Second> {
    let entries = claim.metadata.managed_fields.iter().flatten();
    entries
        .filter(|entry| entry.subresource.as_deref() == Some("status"))
        .filter_map(|entry| entry.time.as_ref())
        .map(second)
        .max()
        .map(|newest| newest.min(sight.latest()))
}

/// When the newest change was made: when it was written. Of what comes from a list the last write may be another one, made
/// after the change.
fn change(claim: &PersistentVolumeClaim, sight: &Sight) -> Moment {
    match written(&claim.metadata, sight) {
        Some(at) if sight.listed => found_changed(&claim.metadata, at, sight),
        Some(at) => Moment::exact(at, "managedFields time of the write"),
        None => Moment::exact(sight.now, "API server's clock at the event"),
    }
}

/// When it was removed: now, unless the news is old. What was removed while nobody watched is told as soon as somebody does.
fn end(claim: &PersistentVolumeClaim, held: &Holding, sight: &Sight) -> Moment {
    let known = sight.known_to.unwrap_or(held.start.at);
    if sight.prompt && sight.now.since(known) <= PROMPT {
        return Moment::exact(sight.now, "API server's clock at DELETED");
    }
    let alive = written(&claim.metadata, sight).map_or(known, |written| written.max(known));
    Moment::ended(alive.min(sight.now), sight.now, sight.billed, "DELETED")
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{self, at, sight},
        *,
    };
    use leasehold_ledger::{
        fact::{Bounds, Fact, FactKind},
        policy::EstimateBound,
    };
    use serde_json::json;

    fn claim(phase: &str, capacity: &str, written: i64) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {
                "creationTimestamp": at(0).to_string(),
                "managedFields": [
                    { "manager": "kubectl", "time": at(0).to_string() },
                    { "manager": "kcm", "subresource": "status", "time": at(written).to_string() },
                ],
            },
            "spec": { "storageClassName": "ssd", "resources": { "requests": { "storage": "1Gi" } } },
            "status": { "phase": phase, "capacity": { "storage": capacity } },
        }))
        .unwrap()
    }

    fn lived(sightings: &[(u64, PersistentVolumeClaim, Sight)]) -> Vec<Fact> {
        fixture::lived(sightings, standing)
    }

    #[test]
    fn a_claim_holds_its_real_capacity_from_the_binding_to_the_removal() {
        let gone = Sight {
            gone: true,
            ..sight(50)
        };
        let facts = lived(&[
            (1, claim("Pending", "0", 0), sight(1)),
            (2, claim("Bound", "2Gi", 10), sight(12)),
            (3, claim("Bound", "3Gi", 20), sight(21)),
            (4, claim("Bound", "3Gi", 30), sight(31)),
            (5, claim("Bound", "3Gi", 30), gone),
        ]);
        let told: Vec<_> = facts
            .iter()
            .map(|f| (f.kind, f.at, f.quantity >> 30, f.estimated))
            .collect();
        assert_eq!(
            told,
            [
                (FactKind::Opened, at(10), 2, false),
                (FactKind::Changed, at(20), 3, false),
                (FactKind::Closed, at(50), 0, false),
            ]
        );
        assert_eq!(facts[0].meter.to_string(), "claim/ssd");
    }

    #[test]
    fn where_the_policy_says_so_a_claim_counts_from_its_creation_at_what_it_asks_for() {
        let made = |now: i64| Sight {
            unbound: true,
            ..sight(now)
        };
        let mut waiting = claim("Pending", "0", 0);
        waiting.status.as_mut().unwrap().capacity = None;
        let gone = Sight {
            gone: true,
            ..made(50)
        };
        let facts = lived(&[
            (1, waiting, made(1)),
            (2, claim("Bound", "2Gi", 10), made(12)),
            (3, claim("Bound", "2Gi", 10), gone),
        ]);
        let told: Vec<_> = facts
            .iter()
            .map(|f| (f.kind, f.at, f.quantity >> 30))
            .collect();
        assert_eq!(
            told,
            [
                (FactKind::Opened, at(0), 1),
                (FactKind::Changed, at(10), 2),
                (FactKind::Closed, at(50), 0),
            ]
        );
    }

    #[test]
    fn a_claim_found_bound_was_bound_since_its_creation_and_by_its_last_status() {
        let listed = Sight {
            listed: true,
            ..sight(100)
        };
        let facts = lived(&[(1, claim("Bound", "2Gi", 10), listed)]);
        assert_eq!(
            facts[0].bounds,
            Some(Bounds {
                lower: at(0),
                upper: at(10)
            })
        );
        assert_eq!(facts[0].at, at(10));
        let upper = Sight {
            billed: EstimateBound::Upper,
            ..listed
        };
        assert_eq!(lived(&[(1, claim("Bound", "2Gi", 10), upper)])[0].at, at(0));
    }

    #[test]
    fn a_removal_that_is_old_news_is_an_estimate() {
        let late = Sight {
            gone: true,
            known_to: Some(at(40)),
            ..sight(4000)
        };
        let facts = lived(&[
            (2, claim("Bound", "2Gi", 10), sight(12)),
            (3, claim("Bound", "2Gi", 10), late),
        ]);
        assert_eq!(
            facts[1].bounds,
            Some(Bounds {
                lower: at(40),
                upper: at(4000)
            })
        );
        assert_eq!(facts[1].at, at(40));
    }

    #[test]
    fn a_removal_while_nobody_watched_is_an_estimate_be_it_for_seconds() {
        let away = |billed| Sight {
            gone: true,
            prompt: false,
            billed,
            ..sight(50)
        };
        let end = |billed| {
            let facts = lived(&[
                (2, claim("Bound", "2Gi", 10), sight(12)),
                (3, claim("Bound", "2Gi", 10), away(billed)),
            ]);
            (facts[1].at, facts[1].estimated, facts[1].bounds)
        };
        let bounds = Bounds {
            lower: at(45),
            upper: at(50),
        };
        assert_eq!(end(EstimateBound::Lower), (at(45), true, Some(bounds)));
        assert_eq!(end(EstimateBound::Upper), (at(50), true, Some(bounds)));
    }

    #[test]
    fn an_expansion_that_a_list_after_a_gap_shows_was_between_the_last_sight_and_the_last_write() {
        let found = |capacity: &str, billed| {
            let listed = Sight {
                known_to: Some(at(100)),
                billed,
                listed: true,
                ..sight(500)
            };
            // expanded in the gap, and written once more after that
            let facts = lived(&[
                (2, claim("Bound", "2Gi", 10), sight(12)),
                (9, claim("Bound", capacity, 300), listed),
            ]);
            let bounds = Bounds {
                lower: at(100),
                upper: at(300),
            };
            assert_eq!(facts[1].bounds, Some(bounds), "{facts:?}");
            facts[1].at
        };
        assert_eq!(found("3Gi", EstimateBound::Lower), at(300));
        assert_eq!(found("3Gi", EstimateBound::Upper), at(100));
        // what became less is billed as less from the earliest instant
        assert_eq!(found("1Gi", EstimateBound::Lower), at(100));
    }

    #[test]
    fn a_claim_that_lost_its_volume_goes_on_until_it_is_removed() {
        let facts = lived(&[
            (2, claim("Bound", "2Gi", 10), sight(12)),
            (3, claim("Lost", "2Gi", 20), sight(21)),
            (
                4,
                claim("Lost", "2Gi", 20),
                Sight {
                    gone: true,
                    ..sight(30)
                },
            ),
        ]);
        let told: Vec<_> = facts.iter().map(|f| (f.kind, f.at)).collect();
        assert_eq!(
            told,
            [(FactKind::Opened, at(10)), (FactKind::Closed, at(30))]
        );
    }

    #[test]
    fn a_claim_without_a_class_or_never_bound_counts_nothing() {
        let mut by_hand = claim("Bound", "2Gi", 10);
        by_hand.spec.as_mut().unwrap().storage_class_name = Some(String::new());
        assert!(lived(&[(1, by_hand, sight(12))]).is_empty());
        let mut pending = claim("Pending", "0", 0);
        pending.status.as_mut().unwrap().capacity = None;
        assert!(
            lived(&[(
                1,
                pending,
                Sight {
                    gone: true,
                    ..sight(12)
                }
            )])
            .is_empty()
        );
    }
}
