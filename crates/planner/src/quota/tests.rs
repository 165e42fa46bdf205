use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    fixture::{item, items, spec},
    *,
};

fn divided(lease: Value, namespaces: Value) -> Result<BTreeMap<String, Hard>, Vec<String>> {
    let spec = spec(lease, namespaces);
    split(&spec, &ApprovedPart::of(&spec), &items())
        .map_err(|refused| refused.iter().map(Refusal::to_string).collect())
}

#[test]
fn items_of_one_resource_add_up_and_what_is_not_leased_is_named_with_zero() {
    let lease = json!({"vcpu-x86": "4", "vcpu-arm": "500m", "block-ssd": "1Ti", "licence": "3"});
    let part = ApprovedPart::of(&spec(lease, json!([{"name": "prod"}])));
    let expected = Hard::from([
        ("limits.cpu".to_owned(), 4500),
        ("requests.cpu".to_owned(), 4500),
        ("limits.memory".to_owned(), 0),
        ("requests.memory".to_owned(), 0),
        ("requests.storage".to_owned(), 1 << 40),
        (
            "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
            1 << 40,
        ),
    ]);
    assert_eq!(lease_hard(&part, &items()).unwrap(), expected);
    assert!(expected.keys().all(|key| is_leased(key)));
}

#[test]
fn pods_may_ask_beside_processor_and_memory_for_what_an_item_of_the_lease_is() {
    let mut items = items();
    let gpu = "nvidia.com/gpu".to_owned();
    assert_eq!(extended_resources(&items), BTreeSet::from([gpu.clone()]));
    items.extend([
        item("scratch", Some("ephemeral-storage"), None, Unit::GiB),
        item("pages", Some("hugepages-2Mi"), None, Unit::GiB),
    ]);
    let more = ["ephemeral-storage".to_owned(), "hugepages-2Mi".to_owned()];
    let expected: BTreeSet<String> = more.into_iter().chain([gpu]).collect();
    assert_eq!(extended_resources(&items), expected);
}

#[test]
fn a_resource_sold_in_a_unit_that_it_is_not_counted_in_is_refused() {
    let wrong = Items::from([item("memory", Some("memory"), None, Unit::Count)]);
    let part = ApprovedPart::of(&spec(json!({"memory": "64"}), json!([{"name": "prod"}])));
    assert_eq!(lease_hard(&part, &wrong).unwrap_err().rule, "B10");
}

#[test]
fn a_split_gives_each_namespace_its_share_and_its_counts() {
    let quotas = divided(
        json!({"vcpu-x86": "48", "memory": "64Gi", "block-ssd": "2Ti", "gpu-a": "2"}),
        json!([
            {"name": "prod", "share": {"vcpu-x86": "40", "memory": "56Gi", "block-ssd": "2Ti",
                "gpu-a": "2"}, "volumes": [{"name": "files", "item": "block-ssd", "size": "1Ti"}]},
            {"name": "test", "share": {"vcpu-x86": "500m"}},
        ]),
    )
    .unwrap();
    let (prod, test) = (&quotas["prod"], &quotas["test"]);
    assert_eq!((prod["requests.cpu"], prod["limits.cpu"]), (40_000, 40_000));
    assert_eq!(prod["requests.nvidia.com/gpu"], 2);
    assert_eq!((prod["pods"], test["pods"]), (320, 8));
    assert_eq!(
        prod["ssd.storageclass.storage.k8s.io/persistentvolumeclaims"],
        100
    );
    assert_eq!(
        test["ssd.storageclass.storage.k8s.io/persistentvolumeclaims"],
        0
    );
    assert_eq!(
        (test["requests.nvidia.com/gpu"], test["requests.storage"]),
        (0, 0)
    );
    assert_eq!(
        (test["services.loadbalancers"], test["services.nodeports"]),
        (0, 0)
    );
    let snapshots = "count/volumesnapshots.snapshot.storage.k8s.io";
    assert_eq!((prod[snapshots], test[snapshots]), (20, 20));
    let keys = |hard: &Hard| hard.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(prod), keys(test));
}

#[test]
fn many_small_volumes_are_not_stopped_by_the_count_of_claims() {
    let volumes: Vec<Value> = (0..5)
        .map(|n| json!({"name": format!("v{n}"), "item": "block-ssd", "size": "100Mi"}))
        .collect();
    let quotas = divided(
        json!({"block-ssd": "1Gi"}),
        json!([{"name": "prod", "share": {"block-ssd": "1Gi"}, "volumes": volumes}]),
    )
    .unwrap();
    assert_eq!(
        quotas["prod"]["ssd.storageclass.storage.k8s.io/persistentvolumeclaims"],
        5
    );
    assert_eq!(quotas["prod"]["persistentvolumeclaims"], 5);
}

#[test]
fn volumes_that_are_kept_as_snapshots_leave_a_department_its_own_snapshots() {
    let volumes: Vec<Value> = (0..25)
        .map(|n| {
            let reclaim = if n < 24 { "Snapshot" } else { "Retain" };
            json!({"name": format!("v{n}"), "item": "block-ssd", "size": "1Gi", "reclaim": reclaim})
        })
        .collect();
    let quotas = divided(
        json!({"block-ssd": "30Gi"}),
        json!([{"name": "prod", "share": {"block-ssd": "30Gi"}, "volumes": volumes}]),
    )
    .unwrap();
    assert_eq!(
        quotas["prod"]["count/volumesnapshots.snapshot.storage.k8s.io"],
        44
    );
}

#[test]
fn sharing_more_than_is_leased_is_refused_with_both_numbers() {
    let refused = divided(
        json!({"block-ssd": "2Ti", "vcpu-x86": "8"}),
        json!([
            {"name": "prod", "share": {"block-ssd": "2Ti", "vcpu-x86": "8"}},
            {"name": "test", "share": {"block-ssd": "1Ti"}},
        ]),
    );
    let expected = "rule T20: asked 3Ti of block-ssd, allowed 2Ti; lease more or share less";
    assert_eq!(refused.unwrap_err(), [expected]);
}

#[test]
fn volumes_need_a_storage_item_and_room_in_the_share() {
    let refused = divided(
        json!({"block-ssd": "2Ti", "memory": "8Gi"}),
        json!([{"name": "prod", "share": {"block-ssd": "1Ti", "memory": "8Gi"}, "volumes": [
            {"name": "a", "item": "block-ssd", "size": "1Ti"},
            {"name": "b", "item": "block-ssd", "size": "1Gi"},
            {"name": "c", "item": "memory", "size": "1Gi"},
        ]}]),
    )
    .unwrap_err();
    assert_eq!(refused.len(), 2);
    assert!(refused[0].starts_with("rule T30: asked volume c of 1Gi in prod on memory"));
    assert!(refused[1].starts_with("rule T30: asked 1025Gi of block-ssd for volumes in prod"));
}

#[test]
fn every_faulty_share_is_told_at_once() {
    let refused = divided(
        json!({"vcpu-x86": "8"}),
        json!([{"name": "a", "share": {"vcpu-x86": "lots"}}, {"name": "b", "share": {"tape": "1"}}]),
    )
    .unwrap_err();
    let rules: Vec<&str> = refused.iter().map(|text| &text[..8]).collect();
    assert_eq!(rules, ["rule T22", "rule T20"]);
}

#[test]
fn counts_of_objects_are_not_leased() {
    for (key, _) in OBJECT_COUNTS {
        assert!(!is_leased(key), "{key}");
    }
    assert!(!is_leased("pods"));
    assert!(!is_leased(
        "ssd.storageclass.storage.k8s.io/persistentvolumeclaims"
    ));
    assert!(is_leased(
        "ssd.storageclass.storage.k8s.io/requests.storage"
    ));
    assert!(is_leased("requests.nvidia.com/gpu"));
}

#[test]
fn amounts_are_compared_by_value_and_read_upwards() {
    let read = |key: &str, text: &str| {
        parse(&BTreeMap::from([(
            key.to_owned(),
            Quantity(text.to_owned()),
        )]))[key]
    };
    assert_eq!(read("requests.cpu", "1000m"), read("requests.cpu", "1"));
    assert_eq!(read("requests.memory", "64Gi"), 64 << 30);
    assert_eq!(read("count/jobs.batch", "1k"), 1000);
    assert_eq!(read("requests.memory", "1500m"), 2);
    assert_eq!(read("requests.memory", "2000m"), 2);
    assert_eq!(read("requests.cpu", "100u"), 1);
    assert_eq!(read("requests.memory", "8Ei"), i64::MAX);
    assert_eq!(read("requests.memory", "?"), i64::MAX);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(cpu in 0..i64::MAX, bytes in 0..i64::MAX, count in 0..i64::MAX) {
        let hard = Hard::from([
            ("requests.cpu".to_owned(), cpu),
            ("ssd.storageclass.storage.k8s.io/requests.storage".to_owned(), bytes),
            ("pods".to_owned(), count),
        ]);
        prop_assert_eq!(parse(&render(&hard)), hard);
    }

    #[test]
    fn the_shares_of_a_split_never_exceed_the_lease(
        lease in 1..100_i64,
        shares in prop::collection::vec(0..40_i64, 1..5),
    ) {
        let namespaces: Vec<Value> = shares
            .iter()
            .enumerate()
            .map(|(n, share)| json!({
                "name": format!("n{n}"), "share": {"vcpu-x86": share.to_string()},
            }))
            .collect();
        let total: i64 = shares.iter().sum();
        match divided(json!({"vcpu-x86": lease.to_string()}), json!(namespaces)) {
            Ok(quotas) => {
                prop_assert!(total <= lease);
                let sum: i64 = quotas.values().map(|hard| hard["requests.cpu"]).sum();
                prop_assert_eq!(sum, total * 1000);
            }
            Err(_) => prop_assert!(total > lease),
        }
    }
}
