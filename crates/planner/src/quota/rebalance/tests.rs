use leasehold_ledger::{
    book::{Basis, Category, Item, Per},
    money::Price,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::quota_step, *};
use crate::{
    quota::{lease_hard, split},
    request::ApprovedPart,
};

fn part(share: i64, floor: i64, has: i64, used: i64) -> Part {
    Part {
        share,
        floor,
        has,
        used,
    }
}

/// One that has its share and keeps nothing in particular.
fn sharing(share: i64, used: i64) -> Part {
    part(share, 0, share, used)
}

// A lease of 64 has a grid of ones.

#[test]
fn nothing_moves_while_everybody_has_head_room() {
    // 24 + 8 fit into 32, and 12 + 4 into 16
    let parts = [sharing(32, 24), sharing(16, 0), sharing(16, 12)];
    assert_eq!(rebalance(64, &parts), [32, 16, 16]);
}

#[test]
fn a_short_one_gets_twice_its_head_room_from_who_has_most_to_spare() {
    // 28 + 8 do not fit into 32; 28 + 16 are 44, of which twelve come from the one that uses nothing
    let parts = [sharing(32, 28), sharing(16, 0), sharing(16, 8)];
    assert_eq!(rebalance(64, &parts), [44, 4, 16]);
}

#[test]
fn what_nobody_has_is_given_before_anybody_has_to_give() {
    // 14 + 8 are 22
    let parts = [sharing(16, 14), sharing(16, 0)];
    assert_eq!(rebalance(64, &parts), [22, 16]);
}

#[test]
fn who_has_less_than_its_share_comes_before_who_has_more() {
    // the first has its head-room of 12 beyond its share of 48; the second is short by 4 of its 16
    let parts = [part(48, 0, 60, 48), part(16, 0, 4, 4)];
    assert_eq!(rebalance(64, &parts), [56, 8]);
}

#[test]
fn beyond_its_share_nobody_takes_the_head_room_of_others() {
    let parts = [sharing(32, 30), sharing(32, 26)];
    assert_eq!(rebalance(64, &parts), [32, 32]);
}

#[test]
fn what_a_namespace_keeps_at_least_is_filled_up_and_left_alone() {
    let raised = [part(48, 0, 48, 10), part(16, 30, 16, 0)];
    assert_eq!(rebalance(64, &raised), [34, 30]);
    // 32 + 16 are wanted, but only two are left above the floor
    let kept = [sharing(32, 32), part(32, 30, 32, 0)];
    assert_eq!(rebalance(64, &kept), [34, 30]);
}

#[test]
fn nothing_moves_back_when_use_is_low_everywhere() {
    let parts = [part(32, 0, 56, 2), part(32, 0, 8, 0)];
    assert_eq!(rebalance(64, &parts), [56, 8]);
}

#[test]
fn use_beyond_the_quota_is_made_good_and_a_smaller_lease_is_kept() {
    // 20 are used of 16; the others have 48 - 20 left, of which each keeps its head-room if it can
    let parts = [
        part(16, 0, 16, 20),
        part(16, 0, 16, 10),
        part(16, 0, 16, 10),
    ];
    assert_eq!(rebalance(48, &parts), [20, 14, 14]);
    // a lease of 24 among shares of 12: what is held beyond it is taken from who has it to spare
    let shrunk = [part(12, 0, 20, 8), part(12, 0, 12, 8)];
    assert_eq!(rebalance(24, &shrunk), [12, 12]);
}

#[test]
fn few_pieces_are_moved_one_by_one_and_who_has_no_share_takes_no_part() {
    // two accelerators of which each keeps one, and then nothing
    assert_eq!(rebalance(4, &[sharing(2, 2), sharing(2, 0)]), [3, 1]);
    assert_eq!(rebalance(4, &[sharing(4, 0), sharing(0, 0)]), [4, 0]);
    assert_eq!(rebalance(0, &[sharing(0, 0)]), [0]);
}

#[test]
fn small_changes_of_use_move_nothing() {
    // the grid of 6400 has steps of 100: 2400 + 800 are a share of 3200, 2401 + 800 are more
    for used in 2_000..=2_400 {
        let parts = [sharing(3200, used), sharing(3200, 0)];
        assert_eq!(rebalance(6400, &parts), [3200, 3200], "{used}");
    }
    // 2401 + 1600, up to the next step
    let short = [sharing(3200, 2_401), sharing(3200, 0)];
    assert_eq!(rebalance(6400, &short), [4100, 2300]);
    // until 3280 + 820 are used, and down to nothing
    for used in 0..=3_280 {
        let parts = [part(3200, 0, 4100, used), part(3200, 0, 2300, 0)];
        assert_eq!(rebalance(6400, &parts), [4100, 2300], "{used}");
    }
}

/// Divides a total by weights; something stays with nobody.
fn divided(total: i64, weights: &[i64]) -> Vec<i64> {
    let sum = weights.iter().sum::<i64>() + 1;
    weights.iter().map(|weight| total * weight / sum).collect()
}

/// A lease and its namespaces: shares, and what is used and has been granted, each together no more
/// than the lease; floors and use together no more than the lease either.
fn tenancy() -> impl Strategy<Value = (i64, Vec<Part>)> {
    let lease = prop_oneof![Just(1_i64), Just(4), Just(20), Just(64), 0..200_000_i64];
    let weights = (0..20_i64, 0..5_i64, 0..20_i64, 0..20_i64);
    (lease, prop::collection::vec(weights, 1..7)).prop_map(|(lease, weights)| {
        let of = |total: i64, pick: fn(&(i64, i64, i64, i64)) -> i64| {
            divided(total, &weights.iter().map(pick).collect::<Vec<_>>())
        };
        let shares = of(lease, |weights| weights.0);
        let floors = of(lease / 4, |weights| weights.1);
        let used = of(lease - lease / 4, |weights| weights.2);
        let has = of(lease, |weights| weights.3);
        let parts = shares.into_iter().zip(floors).zip(used).zip(has);
        let parts: Vec<Part> = parts
            .map(|(((share, floor), used), has)| part(share, floor, has, used))
            .collect();
        (lease, parts)
    })
}

fn with(parts: &[Part], has: &[i64]) -> Vec<Part> {
    let each = parts.iter().zip(has);
    each.map(|(part, has)| Part { has: *has, ..*part })
        .collect()
}

fn key() -> String {
    "requests.cpu".to_owned()
}

/// Rounds of the operator over quotas that have these amounts, until there is nothing to write; in
/// each of them statuses follow. Gives how many rounds wrote something, and what stands.
fn settled(lease: i64, parts: &[Part]) -> (usize, Vec<i64>) {
    let name = |place: usize| format!("n{place}");
    let leased = Hard::from([(key(), lease)]);
    let mut quotas: BTreeMap<String, ObservedQuota> = parts
        .iter()
        .enumerate()
        .map(|(place, part)| {
            let hard = Hard::from([(key(), part.has)]);
            let quota = ObservedQuota {
                spec_hard: hard.clone(),
                status_hard: Some(hard),
                // a pod is admitted by what the quota has
                used: Hard::from([(key(), part.used.min(part.has))]),
            };
            (name(place), quota)
        })
        .collect();
    for round in 0..32 {
        let now: Vec<Part> = parts
            .iter()
            .zip(quotas.values())
            .map(|(part, quota)| Part {
                has: quota.spec_hard[&key()],
                used: quota.used[&key()],
                ..*part
            })
            .collect();
        let desired: BTreeMap<String, Hard> = rebalance(lease, &now)
            .into_iter()
            .enumerate()
            .map(|(place, amount)| (name(place), Hard::from([(key(), amount)])))
            .collect();
        let step = quota_step(&leased, &desired, &quotas, false);
        assert!(step.refused.is_empty(), "{step:?}");
        if step.writes.is_empty() {
            assert!(step.settled, "{step:?}");
            let has = quotas.values().map(|quota| quota.spec_hard[&key()]);
            return (round, has.collect());
        }
        for (name, hard) in step.writes {
            let quota = quotas.get_mut(&name).unwrap();
            quota.spec_hard = hard.clone();
            quota.status_hard = Some(hard);
        }
    }
    panic!("it never comes to rest: {lease} {parts:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn everybody_has_what_it_uses_and_keeps_and_all_have_the_shares_and_no_more_than_the_lease(
        (lease, parts) in tenancy(),
    ) {
        let has = rebalance(lease, &parts);
        let sum: i64 = has.iter().sum();
        let shares: i64 = parts.iter().map(|part| part.share).sum();
        prop_assert!(sum <= lease, "{has:?}");
        prop_assert!(sum >= shares, "{has:?}");
        for (part, has) in parts.iter().zip(&has) {
            prop_assert!(*has >= part.used.max(part.floor), "{part:?} has {has}");
        }
    }

    #[test]
    fn the_same_use_moves_nothing_a_second_time((lease, parts) in tenancy()) {
        let once = rebalance(lease, &parts);
        prop_assert_eq!(rebalance(lease, &with(&parts, &once)), once);
    }

    #[test]
    fn whatever_stands_is_brought_within_the_lease(
        (lease, parts) in tenancy(),
        stood in prop::collection::vec(0..500_000_i64, 7),
    ) {
        let has = rebalance(lease, &with(&parts, &stood));
        prop_assert!(has.iter().sum::<i64>() <= lease, "{has:?}");
    }

    #[test]
    fn shares_stand_as_long_as_nothing_is_used((lease, parts) in tenancy()) {
        let unused: Vec<Part> = parts
            .iter()
            .map(|part| sharing(part.share, 0))
            .collect();
        let shares: Vec<i64> = parts.iter().map(|part| part.share).collect();
        prop_assert_eq!(rebalance(lease, &unused), shares);
    }

    #[test]
    fn it_comes_to_rest_in_no_more_rounds_than_there_are_namespaces(
        (lease, parts) in tenancy(),
    ) {
        let (rounds, has) = settled(lease, &parts);
        prop_assert!(rounds <= parts.len(), "{rounds} rounds");
        prop_assert!(has.iter().sum::<i64>() <= lease);
    }

    #[test]
    fn two_that_grow_in_turn_do_not_make_it_move_without_a_change_of_use(
        grown in prop::collection::vec((0..2_usize, 1..8_i64), 1..40),
    ) {
        let (lease, shares) = (64, [32, 32]);
        let (mut has, mut used) = (shares.to_vec(), [0_i64; 2]);
        for (who, more) in grown {
            used[who] = (used[who] + more).min(has[who]);
            let parts: Vec<Part> = (0..2)
                .map(|place| part(shares[place], 0, has[place], used[place]))
                .collect();
            has = rebalance(lease, &parts);
            prop_assert_eq!(&rebalance(lease, &with(&parts, &has)), &has);
            prop_assert_eq!(has.iter().sum::<i64>(), lease);
        }
    }
}

fn item(name: &str, resource: Option<&str>, class: Option<&str>, unit: Unit) -> (String, Item) {
    let item = Item {
        name: name.to_owned(),
        display_name: name.to_owned(),
        category: Category::Compute,
        resource: resource.map(str::to_owned),
        storage_class: class.map(str::to_owned),
        meter: None,
        unit,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse("1.00").unwrap(),
    };
    (name.to_owned(), item)
}

fn items() -> Items {
    Items::from([
        item("vcpu-x86", Some("cpu"), None, Unit::Core),
        item("vcpu-arm", Some("cpu"), None, Unit::Core),
        item("memory", Some("memory"), None, Unit::GiB),
        item("block-ssd", None, Some("ssd"), Unit::GiB),
        item("block-hdd", None, Some("hdd"), Unit::GiB),
    ])
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!")]
fn spec(lease: Value, namespaces: Value) -> TenancySpec {
    let lease: Vec<Value> = lease
        .as_object()
        .unwrap()
        .iter()
        .map(|(item, quantity)| json!({"item": item, "quantity": quantity}))
        .collect();
    serde_json::from_value(json!({
        "system": "oa", "zone": "gov-extranet",
        "term": {"from": "2026-09-01", "through": "2027-08-31"},
        "contract": "c", "budget": {"code": "30227"},
        "lease": lease, "namespaces": namespaces, "rebalance": {"by": "Use"},
    }))
    .unwrap()
}

fn refused(lease: Value, namespaces: Value) -> Vec<String> {
    let spec = spec(lease, namespaces);
    let refused = split(&spec, &ApprovedPart::of(&spec), &items()).err();
    let refused = refused.unwrap_or_default();
    refused.iter().map(Refusal::to_string).collect()
}

/// Follows a manifest from the split that it has reached.
fn following(spec: &TenancySpec) -> (ByUse, BTreeMap<String, Hard>) {
    let part = ApprovedPart::of(spec);
    let lease = lease_hard(&part, &items()).unwrap();
    let split = split(spec, &part, &items()).unwrap();
    let begin = |reached| ByUse::new(spec, &lease, &items(), &split, reached).unwrap();
    let begun = begin(None).begun().to_owned();
    (begin(Some(begun.as_str())), split)
}

fn standing(hard: &Hard, used: &[(&str, i64)]) -> ObservedQuota {
    ObservedQuota {
        spec_hard: hard.clone(),
        status_hard: Some(hard.clone()),
        used: used
            .iter()
            .map(|(key, amount)| ((*key).to_owned(), *amount))
            .collect(),
    }
}

const SSD: &str = "ssd.storageclass.storage.k8s.io/requests.storage";

#[test]
fn keys_of_one_thing_move_together_and_storage_adds_up() {
    let spec = spec(
        json!({"vcpu-x86": "60", "vcpu-arm": "4", "block-ssd": "64Gi", "block-hdd": "8Gi"}),
        json!([
            {"name": "a", "share": {"vcpu-x86": "32", "block-ssd": "32Gi", "block-hdd": "8Gi"}},
            {"name": "b", "share": {"vcpu-x86": "28", "vcpu-arm": "4", "block-ssd": "32Gi"}},
        ]),
    );
    let (by_use, split) = following(&spec);
    // limits are used to the full, requests by half: the scarcer of two bounds counts
    let busy = [
        ("limits.cpu", 32_000),
        ("requests.cpu", 16_000),
        (SSD, 30 << 30),
        ("requests.storage", 30 << 30),
    ];
    let observed = BTreeMap::from([
        ("a".to_owned(), standing(&split["a"], &busy)),
        ("b".to_owned(), standing(&split["b"], &[])),
    ]);
    let moved = by_use.over(&split, &observed);
    // 32 + 16 cores; 30 + 16 GiB, as much as twice the head-room of 8
    for key in ["requests.cpu", "limits.cpu"] {
        assert_eq!((moved["a"][key], moved["b"][key]), (48_000, 16_000));
    }
    assert_eq!((moved["a"][SSD], moved["b"][SSD]), (46 << 30, 18 << 30));
    assert_eq!(moved["a"]["requests.storage"], (46 + 8) << 30);
    assert_eq!(moved["b"]["requests.storage"], 18 << 30);
    assert_eq!(
        moved["a"]["pods"], split["a"]["pods"],
        "objects do not move"
    );
}

#[test]
fn counts_of_objects_follow_in_leaps_and_never_fall_below_those_of_the_share() {
    let spec = spec(
        json!({"vcpu-x86": "64"}),
        json!([
            {"name": "a", "share": {"vcpu-x86": "32"}}, {"name": "b", "share": {"vcpu-x86": "32"}},
        ]),
    );
    let (by_use, mut split) = following(&spec);
    let [a, b] = ["a", "b"].map(str::to_owned);
    for (name, cores) in [(&a, 48_000), (&b, 16_000)] {
        let hard = split.get_mut(name).unwrap();
        hard.insert("requests.cpu".to_owned(), cores);
    }
    by_use.count(&mut split);
    // twice the share is as much as the first has
    assert_eq!((split[&a]["pods"], split[&b]["pods"]), (64 * 8, 32 * 8));
}

#[test]
fn another_split_begins_anew_from_its_shares_and_a_lease_that_holds_more_does_not() {
    let shares = |a: &str, b: &str| json!([{"name": "a", "share": {"vcpu-x86": a}}, {"name": "b", "share": {"vcpu-x86": b}}]);
    let lease = json!({"vcpu-x86": "64"});
    let (by_use, split) = following(&spec(lease.clone(), shares("32", "32")));
    assert!(by_use.is_under_way());
    let begun = by_use.begun().to_owned();
    let hard = |cores: i64| -> Hard {
        let keys = ["requests.cpu", "limits.cpu"];
        keys.map(|key| (key.to_owned(), cores)).into()
    };
    let observed = BTreeMap::from([
        (
            "a".to_owned(),
            standing(&hard(54_000), &[("requests.cpu", 4_000)]),
        ),
        ("b".to_owned(), standing(&hard(10_000), &[])),
    ]);
    let cores =
        |moved: &BTreeMap<String, Hard>| ["a", "b"].map(|name| moved[name]["requests.cpu"] / 1000);
    assert_eq!(cores(&by_use.over(&split, &observed)), [54, 10]);

    let again = |spec: &TenancySpec| {
        let part = ApprovedPart::of(spec);
        let lease = lease_hard(&part, &items()).unwrap();
        let division = crate::quota::split(spec, &part, &items()).unwrap();
        let by_use = ByUse::new(spec, &lease, &items(), &division, Some(begun.as_str())).unwrap();
        let moved = by_use.over(&division, &observed);
        (by_use.is_under_way(), cores(&moved))
    };
    assert_eq!(again(&spec(lease, shares("40", "24"))), (false, [40, 24]));
    let more = json!({"vcpu-x86": "80", "memory": "8Gi"});
    assert_eq!(again(&spec(more, shares("32", "32"))), (true, [54, 10]));
}

#[test]
fn floors_and_named_volumes_are_kept_and_what_is_used_elsewhere_is_not_given_away() {
    let spec = spec(
        json!({"vcpu-x86": "64", "block-ssd": "64Gi"}),
        json!([
            {"name": "a", "share": {"vcpu-x86": "32", "block-ssd": "32Gi"}},
            {
                "name": "b", "share": {"vcpu-x86": "32", "block-ssd": "32Gi"},
                "floor": {"vcpu-x86": "28"},
                "volumes": [{"name": "files", "item": "block-ssd", "size": "30Gi"}],
            },
        ]),
    );
    let (by_use, split) = following(&spec);
    let full = [("requests.cpu", 32_000), (SSD, 32 << 30)];
    let mut observed = BTreeMap::from([
        ("a".to_owned(), standing(&split["a"], &full)),
        ("b".to_owned(), standing(&split["b"], &[])),
    ]);
    let moved = by_use.over(&split, &observed);
    assert_eq!(moved["a"]["requests.cpu"], 36_000);
    assert_eq!(moved["b"]["requests.cpu"], 28_000);
    assert_eq!(moved["b"][SSD], 30 << 30);
    // a namespace that is no longer named still runs two cores
    let gone = standing(&Hard::new(), &[("requests.cpu", 2_000)]);
    observed.insert("gone".to_owned(), gone);
    let moved = by_use.over(&split, &observed);
    assert_eq!(moved["a"]["requests.cpu"], 34_000);
    assert!(!moved.contains_key("gone"));
}

#[test]
fn a_smaller_lease_is_reached_once_donors_have_come_down() {
    // 24 are too much: 17 beyond the head-room of the first, and seven of the second's
    let parts = [part(20, 0, 32, 10), part(20, 0, 32, 10)];
    assert_eq!(settled(40, &parts), (1, vec![15, 25]));
}

#[test]
fn a_lease_below_what_is_used_or_kept_is_refused_with_the_numbers_and_never_reached() {
    let shares = json!([
        {"name": "a", "share": {"vcpu-x86": "20"}},
        {"name": "b", "share": {"vcpu-x86": "20"}, "floor": {"vcpu-x86": "28"}},
    ]);
    let (by_use, split) = following(&spec(json!({"vcpu-x86": "40"}), shares));
    // as they stood under a lease of 64
    let mut hard = [split["a"].clone(), split["b"].clone()];
    for hard in &mut hard {
        for key in ["requests.cpu", "limits.cpu"] {
            hard.insert(key.to_owned(), 32_000);
        }
    }
    let busy = [("requests.cpu", 20_000), ("limits.cpu", 18_000)];
    let mut observed = BTreeMap::from([
        ("a".to_owned(), standing(&hard[0], &busy)),
        ("b".to_owned(), standing(&hard[1], &[])),
    ]);
    let lease = by_use.lease.clone();
    let moved = by_use.over(&split, &observed);
    assert_eq!(
        ["a", "b"].map(|name| moved[name]["requests.cpu"]),
        [20_000, 28_000]
    );
    let refused = by_use.refused(&moved, &observed);
    let refused: Vec<String> = refused.iter().map(Refusal::to_string).collect();
    assert_eq!(
        refused,
        [
            "rule T31: asked 48 of cpu, in use or kept at least (a 20, b 28), allowed the lease of 40; \
             remove workloads or claims there, lower the floors, or lease more"
        ]
    );
    for (name, hard) in &moved {
        observed.get_mut(name).unwrap().spec_hard.clone_from(hard);
        observed.get_mut(name).unwrap().status_hard = Some(hard.clone());
    }
    let step = quota_step(&lease, &by_use.over(&split, &observed), &observed, false);
    assert!(step.writes.is_empty(), "{step:?}");
    assert!(!step.settled && !step.leased_settled, "{step:?}");
    // twelve cores end
    let less = [("requests.cpu", 12_000)];
    observed.insert("a".to_owned(), standing(&moved["a"], &less));
    let moved = by_use.over(&split, &observed);
    assert_eq!(moved["a"]["requests.cpu"], 12_000);
    assert!(by_use.refused(&moved, &observed).is_empty());
}

#[test]
fn a_namespace_that_the_manifest_no_longer_names_gets_nothing_although_it_is_desired() {
    let shares = json!([{"name": "a", "share": {"vcpu-x86": "32"}}]);
    let (by_use, mut split) = following(&spec(json!({"vcpu-x86": "64"}), shares));
    let cores = |cores: i64| -> Hard {
        let keys = ["requests.cpu", "limits.cpu"];
        keys.map(|key| (key.to_owned(), cores)).into()
    };
    let used = [("requests.cpu", 4_000), ("limits.cpu", 4_000)];
    let observed = BTreeMap::from([
        (
            "a".to_owned(),
            standing(&split["a"], &[("requests.cpu", 32_000)]),
        ),
        ("gone".to_owned(), standing(&cores(32_000), &used)),
    ]);
    // wanted for its counts alone, as when a suspension leaves it no pods
    let none = Hard::from([("pods".to_owned(), 0)]);
    split.insert("gone".to_owned(), none.clone());
    let moved = by_use.over(&split, &observed);
    assert_eq!(moved["gone"], none);
    // 32 + 16 cores of the 60 that the other does not use, on a grid of 938m
    assert_eq!(moved["a"]["requests.cpu"], 48_776);
}

#[test]
fn floors_together_are_no_more_than_the_lease_and_of_what_it_holds() {
    let floors = |a: Value, b: Value| {
        refused(
            json!({"vcpu-x86": "4"}),
            json!([{"name": "a", "floor": a}, {"name": "b", "floor": b}]),
        )
    };
    assert!(floors(json!({"vcpu-x86": "3"}), json!({"vcpu-x86": "1"})).is_empty());
    assert_eq!(
        floors(json!({"vcpu-x86": "3"}), json!({"vcpu-x86": "1500m"})),
        ["rule T53: asked floors of 4500m of vcpu-x86, allowed 4; lower the floors or lease more"]
    );
    let strange = floors(json!({"tape": "1Gi"}), json!({"vcpu-x86": "lots"}));
    assert!(
        strange[0].starts_with("rule T53: asked a floor of 1Gi of tape in a, allowed 0"),
        "{strange:?}"
    );
    assert!(strange[1].starts_with("rule T22: asked a floor of lots of vcpu-x86 in b"));
}

#[test]
fn floors_of_a_tenancy_that_is_not_rebalanced_say_nothing() {
    let mut fixed = spec(
        json!({"vcpu-x86": "4"}),
        json!([{"name": "a", "floor": {"vcpu-x86": "5"}}]),
    );
    fixed.rebalance = None;
    assert!(split(&fixed, &ApprovedPart::of(&fixed), &items()).is_ok());
}
