use proptest::prelude::*;
use serde_json::json;

use super::*;

const HORIZON: i64 = 1000;

fn fact(uid: &str, version: u32, kind: FactKind, at: i64, quantity: i64) -> Fact {
    Fact {
        source: Source {
            cluster: "c1".to_owned(),
            etcd: 1,
            uid: uid.to_owned(),
            version: version.to_string(),
        },
        meter: Meter::Pod {
            resource: "cpu".to_owned(),
        },
        kind,
        at: Second::new(at),
        quantity,
        subject: Subject {
            department: "gov-office".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            system: "oa".to_owned(),
            provider: "hs-bigdata".to_owned(),
            contract: "HS-ZFCG-2026-031".to_owned(),
            budget: "30227".to_owned(),
            request: 1,
            object: format!("Pod gov-office--prod/{uid}"),
        },
        estimated: false,
        bounds: None,
        evidence: "status.conditions[PodScheduled]".to_owned(),
    }
}

fn opened(at: i64, quantity: i64) -> Fact {
    fact("p", 1, FactKind::Opened, at, quantity)
}

fn changed(at: i64, quantity: i64) -> Fact {
    fact("p", 2, FactKind::Changed, at, quantity)
}

fn closed(at: i64, estimated: bool) -> Fact {
    Fact {
        estimated,
        ..fact("p", 3, FactKind::Closed, at, 0)
    }
}

fn superseded(at: i64) -> Fact {
    fact("p", 4, FactKind::Superseded, at, 0)
}

/// From, to, quantity, open, estimated.
fn shape(facts: &[Fact]) -> Vec<(i64, i64, i64, bool, bool)> {
    intervals(facts, Second::new(HORIZON))
        .unwrap()
        .iter()
        .map(|i| {
            (
                i.span.from.get(),
                i.span.to.get(),
                i.quantity,
                i.open,
                i.estimated,
            )
        })
        .collect()
}

fn contradictions(facts: &[Fact]) -> Vec<FactError> {
    trace_all(facts, Second::new(HORIZON))
        .unwrap()
        .contradictions
}

#[test]
fn a_meter_is_one_string_and_a_resource_may_contain_a_slash() {
    for text in [
        "lease/vcpu-x86",
        "pod/cpu",
        "pod/nvidia.com/gpu",
        "claim/ssd",
        "meter/buckets",
    ] {
        let meter: Meter = text.parse().unwrap();
        assert_eq!(serde_json::to_value(&meter).unwrap(), json!(text));
    }
    let gpu = Meter::Pod {
        resource: "nvidia.com/gpu".to_owned(),
    };
    assert_eq!("pod/nvidia.com/gpu".parse::<Meter>(), Ok(gpu));
    for bad in ["pod", "pod/", "node/cpu", "", "/cpu", "Pod/cpu"] {
        assert!(bad.parse::<Meter>().is_err(), "{bad}");
    }
}

#[test]
fn the_key_names_source_meter_version_and_kind() {
    assert_eq!(opened(5, 1).key(), "c1/1/p/pod/cpu/1/opened");
}

#[test]
fn a_fact_survives_json_and_leaves_absent_bounds_out() {
    let fact = opened(5, 1);
    let json = serde_json::to_value(&fact).unwrap();
    assert_eq!(json["at"], json!("1970-01-01T00:00:05Z"));
    assert_eq!(json["kind"], json!("Opened"));
    assert!(json.get("bounds").is_none());
    assert_eq!(serde_json::from_value::<Fact>(json).unwrap(), fact);
}

#[test]
fn a_change_splits_and_an_end_ends() {
    assert_eq!(
        shape(&[opened(10, 500), changed(30, 700), closed(60, false)]),
        [(10, 30, 500, false, false), (30, 60, 700, false, false)]
    );
}

#[test]
fn what_has_no_end_is_open_up_to_the_horizon() {
    assert_eq!(shape(&[opened(10, 500)]), [(10, HORIZON, 500, true, false)]);
    assert!(shape(&[opened(HORIZON, 500)]).is_empty());
    assert_eq!(
        shape(&[opened(10, 500), closed(HORIZON + 1, false)]),
        [(10, HORIZON, 500, true, false)]
    );
    assert_eq!(
        shape(&[opened(10, 500), closed(HORIZON, false)]),
        [(10, HORIZON, 500, false, false)]
    );
}

#[test]
fn intervals_without_length_are_dropped() {
    assert_eq!(
        shape(&[opened(10, 500), changed(10, 700), closed(20, false)]),
        [(10, 20, 700, false, false)]
    );
    assert!(shape(&[opened(10, 500), closed(10, false)]).is_empty());
}

#[test]
fn an_estimated_end_marks_its_interval_until_the_true_end_is_known() {
    let history = [opened(10, 500), closed(60, true), superseded(45)];
    assert_eq!(shape(&history[..2]), [(10, 60, 500, false, true)]);
    assert_eq!(shape(&history), [(10, 45, 500, false, false)]);
    let later = [opened(10, 500), closed(60, true), superseded(90)];
    assert_eq!(shape(&later), [(10, 90, 500, false, false)]);
    let beyond = [opened(10, 500), closed(60, true), superseded(HORIZON + 5)];
    assert_eq!(shape(&beyond), [(10, HORIZON, 500, true, false)]);
    let within = [opened(10, 500), closed(HORIZON + 5, true), superseded(45)];
    assert_eq!(shape(&within), [(10, 45, 500, false, false)]);
}

#[test]
fn a_true_end_before_the_beginning_leaves_nothing_to_bill() {
    assert!(shape(&[opened(10, 500), closed(60, true), superseded(9)]).is_empty());
}

#[test]
fn a_change_that_was_seen_after_the_true_end_does_not_count() {
    let history = [
        opened(10, 500),
        changed(50, 700),
        closed(60, true),
        superseded(45),
    ];
    assert_eq!(shape(&history), [(10, 45, 500, false, false)]);
}

#[test]
fn a_true_end_replaces_the_estimate_whichever_was_handed_in_first() {
    let history = [opened(10, 500), superseded(45), closed(60, true)];
    assert_eq!(shape(&history), [(10, 45, 500, false, false)]);
}

#[test]
fn an_observed_end_cannot_be_superseded_and_stays_where_it_is() {
    let history = [opened(10, 500), closed(60, false), superseded(45)];
    assert_eq!(
        contradictions(&history),
        [FactError::NothingToSupersede {
            key: "c1/1/p/pod/cpu/4/superseded".to_owned()
        }]
    );
    assert_eq!(shape(&history), [(10, 60, 500, false, true)]);
    let after = [opened(10, 500), closed(60, false), superseded(90)];
    assert_eq!(shape(&after), [(10, 60, 500, false, true)]);
}

#[test]
fn something_may_open_again_after_its_end() {
    let again = fact("p", 5, FactKind::Opened, 80, 900);
    assert_eq!(
        shape(&[opened(10, 500), closed(60, false), again]),
        [(10, 60, 500, false, false), (80, HORIZON, 900, true, false)]
    );
}

#[test]
fn a_change_of_nothing_is_named_and_counts_for_nothing() {
    let history = [changed(30, 700)];
    assert_eq!(
        contradictions(&history),
        [FactError::NotOpen {
            key: "c1/1/p/pod/cpu/2/changed".to_owned()
        }]
    );
    assert!(shape(&history).is_empty());
    let after = [opened(10, 500), closed(20, false), changed(30, 700)];
    assert_eq!(shape(&after), [(10, 20, 500, false, true)]);
    assert_eq!(contradictions(&after).len(), 1);
}

#[test]
fn an_end_before_its_beginning_is_named_and_leaves_nothing_to_count() {
    let history = [opened(10, 500), closed(5, false)];
    assert_eq!(
        contradictions(&history),
        [FactError::NotOpen {
            key: "c1/1/p/pod/cpu/3/closed".to_owned()
        }]
    );
    assert!(shape(&history).is_empty());
    // an end that was handed in first cannot be that of the later beginning
    let again = fact("p", 4, FactKind::Opened, 80, 900);
    assert_eq!(
        shape(&[closed(5, false), again]),
        [(80, HORIZON, 900, true, false)]
    );
}

#[test]
fn a_second_beginning_is_named_and_the_first_goes_on_as_an_estimate() {
    let twice = fact("p", 2, FactKind::Opened, 20, 1);
    let history = [opened(10, 500), twice.clone(), closed(60, false)];
    assert_eq!(
        contradictions(&history),
        [FactError::OpenedTwice { key: twice.key() }]
    );
    assert_eq!(shape(&history), [(10, 60, 500, false, true)]);
}

#[test]
fn a_quantity_below_zero_is_named_and_not_counted() {
    let history = [opened(10, 500), changed(30, -1), closed(60, false)];
    assert!(matches!(
        contradictions(&history)[..],
        [FactError::Negative { quantity: -1, .. }]
    ));
    assert_eq!(shape(&history), [(10, 60, 500, false, true)]);
}

#[test]
fn one_object_that_contradicts_itself_leaves_the_others_as_they_are() {
    let other = fact("q", 1, FactKind::Opened, 10, 300);
    let traced = trace_all(&[changed(30, 700), other.clone()], Second::new(HORIZON)).unwrap();
    assert_eq!(traced.contradictions.len(), 1);
    assert_eq!(
        Ok(traced.intervals),
        intervals(&[other], Second::new(HORIZON))
    );
}

#[test]
fn the_same_key_with_another_body_is_refused_even_beyond_the_horizon() {
    let facts = [opened(10, 500), closed(2000, false), closed(2001, false)];
    let refused = intervals(&facts, Second::new(HORIZON));
    assert!(matches!(refused, Err(FactError::Conflict { .. })));
}

#[test]
fn an_object_with_the_same_uid_in_another_life_of_etcd_is_another_object() {
    let mut restored = opened(20, 700);
    restored.source.etcd = 2;
    assert_eq!(shape(&[opened(10, 500), restored]).len(), 2);
}

/// A life: start, then steps of (seconds later, quantity), and whether it ends with the last.
type Life = (i64, Vec<(i64, i64)>, bool);

fn any_life() -> impl Strategy<Value = Life> {
    let step = (0..200_i64, 1..5_i64);
    (0..400_i64, prop::collection::vec(step, 1..6), any::<bool>())
}

fn facts_of(uid: &str, (start, steps, ends): &Life) -> Vec<Fact> {
    let mut at = *start;
    let mut facts = vec![fact(uid, 0, FactKind::Opened, at, 1)];
    for (version, (later, quantity)) in (1..).zip(steps) {
        at += later;
        let last = version == u32::try_from(steps.len()).unwrap();
        facts.push(if last && *ends {
            fact(uid, version, FactKind::Closed, at, 0)
        } else {
            fact(uid, version, FactKind::Changed, at, *quantity)
        });
    }
    facts
}

/// Quantity times seconds, second by second: what was told last holds.
fn by_seconds(facts: &[Fact], from: i64, to: i64) -> i64 {
    let holds = |second: i64| {
        facts
            .iter()
            .rev()
            .find(|f| f.at.get() <= second)
            .map_or(0, |f| f.quantity)
    };
    (from..to).map(holds).sum()
}

fn by_intervals(intervals: &[Interval], from: i64, to: i64) -> i64 {
    let window = Span::new(Second::new(from), Second::new(to));
    intervals
        .iter()
        .filter_map(|i| {
            i.span
                .intersect(&window)
                .map(|part| part.seconds() * i.quantity)
        })
        .sum()
}

proptest! {
    #[test]
    fn intervals_hold_what_a_count_of_every_second_holds(
        life in any_life(),
        cut in 0..=HORIZON,
    ) {
        let facts = facts_of("p", &life);
        let found = intervals(&facts, Second::new(HORIZON)).unwrap();
        let whole = by_intervals(&found, 0, HORIZON);
        prop_assert_eq!(whole, by_seconds(&facts, 0, HORIZON));
        prop_assert_eq!(by_intervals(&found, 0, cut), by_seconds(&facts, 0, cut));
        prop_assert_eq!(
            by_intervals(&found, 0, cut) + by_intervals(&found, cut, HORIZON),
            whole
        );
    }

    #[test]
    fn an_earlier_horizon_cuts_and_changes_nothing_else(
        life in any_life(),
        cut in 0..=HORIZON,
    ) {
        let facts = facts_of("p", &life);
        let whole = intervals(&facts, Second::new(HORIZON)).unwrap();
        let early = intervals(&facts, Second::new(cut)).unwrap();
        prop_assert_eq!(by_intervals(&early, 0, HORIZON), by_intervals(&whole, 0, cut));
    }

    #[test]
    fn neither_duplicates_nor_the_order_of_objects_show(
        lives in prop::collection::vec(any_life(), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        repeated in any::<prop::sample::Index>(),
    ) {
        let mut queues: Vec<Vec<Fact>> = lives
            .iter()
            .enumerate()
            .map(|(n, life)| facts_of(&format!("p{n}"), life))
            .collect();
        let plain = queues.concat();
        let mut mixed = Vec::new();
        for index in order.iter().cycle() {
            queues.retain(|queue| !queue.is_empty());
            if queues.is_empty() {
                break;
            }
            let n = index.index(queues.len());
            mixed.push(queues[n].remove(0));
        }
        let copy = mixed[repeated.index(mixed.len())].clone();
        mixed.push(copy);
        let horizon = Second::new(HORIZON);
        prop_assert_eq!(intervals(&mixed, horizon), intervals(&plain, horizon));
    }
}
