use serde_json::json;

use super::*;

/// The rule of a meter of buckets with this laid over it.
fn rule(over: &Value) -> Rule {
    let mut spec = json!({
        "displayName": "桶", "group": "storage.example.com", "version": "v1", "kind": "Bucket",
        "resource": "buckets", "unit": "GiB",
    });
    for (key, value) in over.as_object().unwrap() {
        spec[key.as_str()] = value.clone();
    }
    Rule::of(&serde_json::from_value(spec).unwrap()).unwrap()
}

fn object(fields: &Value) -> DynamicObject {
    let mut whole = json!({"metadata": {"name": "b", "labels": {"tier": "hot"}}});
    for (key, value) in fields.as_object().unwrap() {
        whole[key.as_str()] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn counted(rule: &Rule, fields: &Value) -> i64 {
    rule.quantity(&object(fields)).unwrap()
}

#[test]
fn a_quantity_is_read_as_kubernetes_writes_it_or_as_a_number_times_what_one_stands_for() {
    let bytes = rule(&json!({"quantity": {"path": ".spec.quota"}}));
    assert_eq!(counted(&bytes, &json!({"spec": {"quota": "5Gi"}})), 5 << 30);
    assert_eq!(counted(&bytes, &json!({"spec": {"quota": 4096}})), 4096);
    let gib = rule(&json!({"quantity": {"path": ".spec.sizeGiB", "times": "1Gi"}}));
    assert_eq!(counted(&gib, &json!({"spec": {"sizeGiB": 3}})), 3 << 30);
    assert_eq!(counted(&gib, &json!({"spec": {"sizeGiB": "1.5"}})), 3 << 29);
    let cores = rule(&json!({"unit": "Core", "quantity": {"path": ".spec.cpu"}}));
    assert_eq!(counted(&cores, &json!({"spec": {"cpu": "1500m"}})), 1500);
    assert_eq!(counted(&cores, &json!({"spec": {"cpu": 2}})), 2000);
    // what is finer than the unit is rounded up
    let pieces = rule(&json!({"unit": "Count", "quantity": {"path": ".spec.n"}}));
    assert_eq!(counted(&pieces, &json!({"spec": {"n": "2100m"}})), 3);
}

#[test]
fn an_object_without_the_field_counts_nothing_and_one_with_nonsense_in_it_is_no_zero() {
    let bytes = rule(&json!({"quantity": {"path": ".spec.quota"}}));
    assert_eq!(counted(&bytes, &json!({"spec": {}})), 0);
    assert_eq!(counted(&bytes, &json!({"spec": {"quota": null}})), 0);
    for nonsense in [
        json!("much"),
        json!("-5Gi"),
        json!({"bytes": 5}),
        json!(true),
        json!("9999999999999999999999"),
    ] {
        let fields = json!({"spec": {"quota": nonsense}});
        let error = bytes.quantity(&object(&fields)).unwrap_err();
        assert_eq!(error.resource, ".spec.quota", "{nonsense}");
    }
}

#[test]
fn only_objects_with_the_labels_and_fields_that_are_asked_for_count() {
    let of = |selector: Value| rule(&json!({"unit": "Count", "selector": selector}));
    let balancer = json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}});
    let by_type = of(json!({"matchFields": [{"path": ".spec.type", "equals": "LoadBalancer"}]}));
    assert_eq!(counted(&by_type, &balancer), 1);
    assert_eq!(
        counted(&by_type, &json!({"spec": {"type": "ClusterIP"}})),
        0
    );
    assert_eq!(counted(&by_type, &json!({"spec": {}})), 0);
    // by what was assigned: an empty list is none
    let assigned = of(json!({"matchFields": [
        {"path": ".spec.type", "equals": "LoadBalancer"}, {"path": ".status.loadBalancer.ingress"},
    ]}));
    assert_eq!(counted(&assigned, &balancer), 0);
    for (ingress, expected) in [(json!([]), 0), (json!([{"ip": "192.0.2.1"}]), 1)] {
        let mut with = balancer.clone();
        with["status"]["loadBalancer"]["ingress"] = ingress;
        assert_eq!(counted(&assigned, &with), expected);
    }
    assert_eq!(
        counted(&of(json!({"matchLabels": {"tier": "hot"}})), &json!({})),
        1
    );
    assert_eq!(
        counted(&of(json!({"matchLabels": {"tier": "cold"}})), &json!({})),
        0
    );
    let public = of(json!({"matchFields": [{"path": ".spec.public", "equals": "true"}]}));
    assert_eq!(counted(&public, &json!({"spec": {"public": true}})), 1);
    assert_eq!(counted(&public, &json!({"spec": {"public": false}})), 0);
}

#[test]
fn the_entries_of_a_list_are_counted() {
    let addresses = rule(&json!({"unit": "Count", "quantity": {"countOf": ".status.addresses"}}));
    assert_eq!(
        counted(&addresses, &json!({"status": {"addresses": ["a", "b"]}})),
        2
    );
    assert_eq!(counted(&addresses, &json!({"status": {}})), 0);
    let text = object(&json!({"status": {"addresses": "a"}}));
    assert!(addresses.quantity(&text).is_err());
}

#[test]
fn devices_of_a_claim_are_counted_by_the_class_of_the_request_that_they_answer() {
    let claim = json!({
        "spec": {"devices": {"requests": [
            {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com", "count": 2}},
            {"name": "net", "exactly": {"deviceClassName": "nic.example.com"}},
            {"name": "any", "firstAvailable": [
                {"name": "big", "deviceClassName": "big.example.com"},
                {"name": "small", "deviceClassName": "gpu.example.com"},
            ]},
            {"name": "look", "exactly": {"deviceClassName": "gpu.example.com", "adminAccess": true}},
        ]}},
        "status": {"allocation": {"devices": {"results": [
            {"request": "gpu", "driver": "d", "pool": "p", "device": "0"},
            {"request": "gpu", "driver": "d", "pool": "p", "device": "1"},
            {"request": "net", "driver": "d", "pool": "p", "device": "2"},
            {"request": "any/small", "driver": "d", "pool": "p", "device": "3"},
            {"request": "look", "driver": "d", "pool": "p", "device": "0", "adminAccess": true},
        ]}}},
    });
    let of = |class: &str| rule(&json!({"unit": "Count", "quantity": {"deviceClass": class}}));
    assert_eq!(counted(&of("gpu.example.com"), &claim), 3);
    assert_eq!(counted(&of("nic.example.com"), &claim), 1);
    assert_eq!(counted(&of("big.example.com"), &claim), 0);
    let mut waiting = claim;
    waiting["status"] = json!({});
    assert_eq!(counted(&of("gpu.example.com"), &waiting), 0);
}

#[test]
fn only_what_counts_each_object_as_one_is_constant() {
    assert!(rule(&json!({"unit": "Count"})).is_constant());
    assert!(!rule(&json!({"quantity": {"path": ".spec.quota"}})).is_constant());
    let selected = json!({"unit": "Count", "selector": {"matchLabels": {"a": "b"}}});
    assert!(!rule(&selected).is_constant());
}

#[test]
fn quotas_bound_what_is_counted_by_the_object_or_the_device_and_nothing_that_objects_say() {
    let keys = |over: &Value, group: &str, plural: &str| {
        let kind = ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: String::new(),
            kind: String::new(),
            plural: plural.to_owned(),
        };
        rule(over).quota_keys(&kind)
    };
    let count = json!({"unit": "Count"});
    let storage = "storage.example.com";
    assert_eq!(
        keys(&count, storage, "buckets"),
        ["count/buckets.storage.example.com"]
    );
    assert_eq!(keys(&count, "", "services"), ["count/services", "services"]);
    // the other one lets any number of pods lie that have ended
    assert_eq!(keys(&count, "", "pods"), ["count/pods"]);
    let balancers = json!({"unit": "Count", "selector": {
        "matchFields": [{"path": ".spec.type", "equals": "LoadBalancer"}]
    }});
    assert_eq!(
        keys(&balancers, "", "services"),
        ["count/services", "services", "services.loadbalancers"]
    );
    let devices = json!({"unit": "Count", "quantity": {"deviceClass": "gpu.example.com"}});
    assert_eq!(
        keys(&devices, "resource.k8s.io", "resourceclaims"),
        ["gpu.example.com.deviceclass.resource.k8s.io/devices"]
    );
    let sizes = json!({"quantity": {"path": ".spec.quota"}});
    assert!(keys(&sizes, storage, "buckets").is_empty());
    let entries = json!({"unit": "Count", "quantity": {"countOf": ".spec.rules"}});
    assert!(keys(&entries, storage, "buckets").is_empty());
}
