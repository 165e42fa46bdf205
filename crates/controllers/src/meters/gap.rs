//! How much may have lived unseen while nothing was watched.
//!
//! A quota bounds what can have run at any moment, so quota times the length of the gap bounds all that can have come
//! and gone in it. Nothing of it is billed; the bound is recorded, so that a person can judge the gap.

use std::collections::BTreeMap;

use leasehold_ledger::{
    document::GapDoc,
    fact::Meter,
    time::{Second, Span},
};
use leasehold_planner::quota::Hard;

/// Why there is a gap when the API server has forgotten what was to be resumed.
pub const FORGOTTEN: &str = "the API server no longer had the changes since the last one seen";

/// What the reason of a gap begins with that an object leaves while it cannot be counted.
pub const UNCOUNTED: &str = "it cannot be counted: ";
/// What the reason of a gap begins with up to whose end an object could not be counted.
pub const COUNTED: &str = "it could not be counted until now: ";

/// What follows a storage class in the key of its capacity.
const CLASS_CAPACITY: &str = ".storageclass.storage.k8s.io/requests.storage";

/// Upper bounds by meter, in base units times seconds, for the meters that begin with `prefix`. What exceeds 64 bits is
/// shown as the most that they hold.
pub fn upper_bounds(prefix: &str, quotas: &[Hard], seconds: i64) -> BTreeMap<String, i64> {
    let mut bounds: BTreeMap<String, i64> = BTreeMap::new();
    for (key, quantity) in quotas.iter().flatten() {
        let Some(meter) = meter(key).filter(|meter| meter.starts_with(prefix)) else {
            continue;
        };
        let product = quantity.saturating_mul(seconds.max(0));
        let sum = bounds.entry(meter).or_insert(0);
        *sum = sum.saturating_add(product);
    }
    bounds.retain(|_, bound| *bound > 0);
    bounds
}

/// The upper bound of one meter that is bounded by any of these keys, in base units times seconds. Each quota is a namespace's,
/// and counts with the least of them that it has; one that has none bounds nothing, and then there is no bound at all. A bound of
/// zero is one.
pub fn upper_bound(
    meter: &str,
    keys: &[String],
    quotas: &[Hard],
    seconds: i64,
) -> BTreeMap<String, i64> {
    let least = |hard: &Hard| keys.iter().filter_map(|key| hard.get(key)).min().copied();
    let of_each: Option<Vec<i64>> = quotas.iter().map(least).collect();
    let of_each = of_each.filter(|found| !found.is_empty());
    let sum = of_each.map(|found| {
        found.into_iter().fold(0_i64, |sum, most| {
            sum.saturating_add(most.saturating_mul(seconds.max(0)))
        })
    });
    sum.map(|sum| (meter.to_owned(), sum)).into_iter().collect()
}

/// The gap that one object leaves which went before it was known to whom it counts. `object` names it for people, `held`
/// is what it held; one that lived for less than a second counts as one second, so that it lies in some period.
pub fn of_object(
    source: &str,
    uid: &str,
    object: &str,
    held: &BTreeMap<Meter, i64>,
    lived: Span,
    at: Second,
) -> GapDoc {
    let seconds = lived.seconds().max(1);
    let upper = held
        .iter()
        .map(|(meter, quantity)| (meter.to_string(), quantity.saturating_mul(seconds)))
        .filter(|(_, bound)| *bound > 0)
        .collect();
    GapDoc {
        source: format!("{source}/{uid}"),
        from: lived.from,
        to: lived.from.plus(seconds),
        reason: format!("{object} went before the ledger knew whose its namespace is"),
        upper,
        at,
    }
}

/// The meter that a key of a quota bounds, if any.
fn meter(key: &str) -> Option<String> {
    if let Some(class) = key.strip_suffix(CLASS_CAPACITY) {
        return Some(format!("claim/{class}"));
    }
    let resource = key.strip_prefix("requests.")?;
    super::effective::is_metered(resource).then(|| format!("pod/{resource}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(amounts: &[(&str, i64)]) -> Hard {
        amounts
            .iter()
            .map(|(key, amount)| ((*key).to_owned(), *amount))
            .collect()
    }

    #[test]
    fn quotas_of_all_namespaces_times_the_gap_bound_what_was_not_seen() {
        let quotas = [
            hard(&[
                ("requests.cpu", 4000),
                ("limits.cpu", 9000),
                ("requests.nvidia.com/gpu", 2),
                ("requests.storage", 7),
                ("ssd.storageclass.storage.k8s.io/requests.storage", 100),
                ("ssd.storageclass.storage.k8s.io/persistentvolumeclaims", 9),
                ("pods", 30),
            ]),
            hard(&[("requests.cpu", 1000), ("requests.memory", 0)]),
        ];
        let of = |pairs: &[(&str, i64)]| -> BTreeMap<String, i64> {
            pairs
                .iter()
                .map(|(meter, bound)| ((*meter).to_owned(), *bound))
                .collect()
        };
        assert_eq!(
            upper_bounds("pod/", &quotas, 60),
            of(&[("pod/cpu", 300_000), ("pod/nvidia.com/gpu", 120)])
        );
        assert_eq!(
            upper_bounds("claim/", &quotas, 60),
            of(&[("claim/ssd", 6000)])
        );
    }

    #[test]
    fn a_meter_that_several_keys_bound_counts_the_least_of_each_namespace_and_none_where_one_has_no_bound()
     {
        let keys = ["count/services".to_owned(), "services".to_owned()];
        let quotas = [
            hard(&[("services", 100), ("count/services", 7), ("pods", 3)]),
            hard(&[("services", 100)]),
        ];
        let of = |quotas: &[Hard]| upper_bound("meter/doors", &keys, quotas, 60);
        let bound = |most: i64| BTreeMap::from([("meter/doors".to_owned(), most)]);
        // 7 of one namespace and 100 of the other, for a minute
        assert_eq!(of(&quotas), bound(6420));
        assert!(of(&[quotas[0].clone(), hard(&[("pods", 3)])]).is_empty());
        assert!(of(&[]).is_empty(), "no quota says nothing");
        assert_eq!(of(&[hard(&[("services", 0)])]), bound(0));
        assert!(upper_bound("meter/doors", &[], &quotas, 60).is_empty());
        let huge = [hard(&[("services", i64::MAX / 2)])];
        assert_eq!(of(&huge), bound(i64::MAX));
    }

    #[test]
    fn an_object_that_went_unknown_is_bounded_by_what_it_held_and_how_long() {
        let held: BTreeMap<Meter, i64> = BTreeMap::from([
            ("pod/cpu".parse().unwrap(), 500),
            ("pod/memory".parse().unwrap(), 0),
        ]);
        let of = |to: i64| {
            let lived = Span::new(Second::new(100), Second::new(to));
            of_object("pods", "u1", "Pod a--b/web", &held, lived, Second::new(900))
        };
        let gap = of(160);
        assert_eq!(gap.source, "pods/u1");
        assert_eq!((gap.from, gap.to), (Second::new(100), Second::new(160)));
        assert_eq!(gap.upper, BTreeMap::from([("pod/cpu".to_owned(), 30_000)]));
        assert!(
            gap.reason.starts_with("Pod a--b/web went"),
            "{}",
            gap.reason
        );
        let short = of(100);
        assert_eq!(short.to, Second::new(101), "it lies in some period");
        assert_eq!(short.upper["pod/cpu"], 500);
    }

    #[test]
    fn a_gap_without_length_bounds_nothing_and_a_huge_one_does_not_wrap() {
        let quotas = [hard(&[("requests.memory", i64::MAX / 2)])];
        assert!(upper_bounds("pod/", &quotas, -5).is_empty());
        assert_eq!(upper_bounds("pod/", &quotas, 60)["pod/memory"], i64::MAX);
    }
}
