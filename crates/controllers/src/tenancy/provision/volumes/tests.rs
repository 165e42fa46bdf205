use std::{collections::BTreeMap, slice};

use leasehold_api::tenancy::{NamespaceShare, Volume};
use leasehold_ledger::{
    book::{Basis, Category, Item, Per},
    money::{Price, Unit},
};
use leasehold_planner::request::{ApprovedPart, Items};
use serde_json::{Value, json};

use super::{
    super::{
        super::report::Report,
        contents,
        fixture::{Fake, context, due, list, made, plans, refusal, state},
        usage,
    },
    *,
};

const PLACE: &str = "edu--prod";
const CLAIMS: &str = "/api/v1/persistentvolumeclaims";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const QUOTAS: &str = "/api/v1/resourcequotas";

fn labels() -> Value {
    json!({
        "leasehold.dev/managed-by": "leasehold", "leasehold.dev/department": "edu",
        "leasehold.dev/tenancy": "oa", "leasehold.dev/incarnation": "1",
    })
}

/// The named volume `files` of 10 GiB, as it stands.
fn claim(phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "files", "namespace": PLACE, "uid": "c1", "labels": labels()},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "ssd",
            "resources": {"requests": {"storage": "10Gi"}},
        },
        "status": {"phase": phase, "capacity": {"storage": "12Gi"}},
    })
}

fn class(grows: bool) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "ssd"},
        "provisioner": "disks.example", "allowVolumeExpansion": grows,
    })
}

/// The quota of the namespace: 20 GiB of the class, so much of it used by so many claims.
fn quota(used: &str, claims: &str) -> Value {
    let class = "ssd.storageclass.storage.k8s.io";
    let storage = format!("{class}/requests.storage");
    let hard = json!({(storage.as_str()): "20Gi", "requests.storage": "20Gi"});
    let used = json!({
        (storage.as_str()): used, "requests.storage": used,
        (format!("{class}/persistentvolumeclaims")): claims,
    });
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "leasehold", "namespace": PLACE, "labels": labels()},
        "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
    })
}

fn items() -> Items {
    let item = Item {
        name: "block-ssd".to_owned(),
        display_name: "SSD".to_owned(),
        category: Category::Storage,
        resource: None,
        storage_class: Some("ssd".to_owned()),
        meter: None,
        unit: Unit::GiB,
        per: Per::Month,
        basis: Basis::Reserved,
        price: Price::parse("0.70").unwrap(),
    };
    Items::from([(item.name.clone(), item)])
}

fn shared(size: &str) -> Vec<NamespaceShare> {
    let volume: Volume = serde_json::from_value(json!({
        "name": "files", "item": "block-ssd", "size": size,
    }))
    .unwrap();
    vec![NamespaceShare {
        name: "prod".into(),
        share: BTreeMap::new(),
        floor: BTreeMap::new(),
        volumes: vec![volume],
    }]
}

/// What is found when the volume is to be so large, and the writes of its claim.
async fn grown(
    size: &str,
    there: [Value; 3],
    allowed: bool,
    settled: bool,
) -> (Found, Vec<String>) {
    let [claim, class, quota] = there;
    let fake = Fake::start(move |call| match call.path.as_str() {
        "/api/v1/namespaces" => Some(list(&[made(&json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": PLACE, "labels": {"leasehold.dev/managed-by": "leasehold"}},
        }))])),
        CLAIMS => Some(list(slice::from_ref(&claim))),
        CLASSES => Some(list(slice::from_ref(&class))),
        QUOTAS => Some(list(slice::from_ref(&quota))),
        path if path.ends_with("/persistentvolumeclaims/files") && !allowed => {
            Some(refusal(403, "Forbidden"))
        }
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    let plans = plans(&state, &due(&state));
    state.tenancy.spec.namespaces = shared(size);
    let found = contents::admit(&state, &context, &plans[0], &items(), settled).await;
    let mut calls = fake.calls();
    calls.retain(|call| call.contains("persistentvolumeclaims"));
    (found.unwrap(), calls)
}

fn told(found: &Found) -> String {
    let refused: Vec<String> = found.refused.iter().map(ToString::to_string).collect();
    [refused, found.waits.clone()].concat().join("; ")
}

#[tokio::test]
async fn a_volume_grows_by_one_write_where_its_class_lets_it() {
    let there = || [claim("Bound"), class(true), quota("10Gi", "1")];
    let (found, calls) = grown("20Gi", there(), true, true).await;
    assert!(found.is_complete(), "{}", told(&found));
    let write = format!("PATCH /api/v1/namespaces/{PLACE}/persistentvolumeclaims/files");
    assert_eq!(calls, [write]);
    // as large as asked: nothing is written
    let (found, calls) = grown("10Gi", there(), true, true).await;
    assert!(found.is_complete() && calls.is_empty(), "{calls:?}");
    // and not before its quota has grown
    let (found, calls) = grown("20Gi", there(), true, false).await;
    assert_eq!(
        told(&found),
        format!("volume files in {PLACE} waits for its quota")
    );
    assert!(calls.is_empty(), "{calls:?}");
}

#[tokio::test]
async fn what_cannot_become_of_a_volume_is_refused_by_rule_without_a_write() {
    for (size, phase, grows, rule) in [
        ("5Gi", "Bound", true, "rule T60: asked volume files of 5Gi"),
        (
            "20Gi",
            "Bound",
            false,
            "rule T61: asked volume files of 20Gi",
        ),
        (
            "20Gi",
            "Pending",
            true,
            "rule T61: asked volume files of 20Gi",
        ),
    ] {
        let there = [claim(phase), class(grows), quota("10Gi", "1")];
        let (found, calls) = grown(size, there, true, true).await;
        let told = told(&found);
        assert!(told.starts_with(rule), "{told}");
        assert!(found.waits.is_empty() && calls.is_empty(), "{calls:?}");
    }
}

#[tokio::test]
async fn a_volume_that_its_quota_refuses_is_told_with_the_numbers() {
    let there = [claim("Bound"), class(true), quota("15Gi", "2")];
    let (found, _) = grown("20Gi", there, false, true).await;
    let told_ = told(&found);
    assert!(
        told_.starts_with("rule T30: asked 10Gi more of storage class ssd for volume files in edu--prod, allowed 5Gi more: claims there hold 15Gi of 20Gi"),
        "{told_}"
    );
    // forbidden for another reason: the API server's own words
    let there = [claim("Bound"), class(true), quota("10Gi", "1")];
    let (found, _) = grown("20Gi", there, false, true).await;
    assert!(found.refused.is_empty());
    assert!(
        told(&found).contains("cannot be made or grown") && told(&found).contains("Forbidden"),
        "{}",
        told(&found)
    );
}

#[tokio::test]
async fn the_status_has_each_named_volume_and_what_claims_use_of_the_lease() {
    let fake = Fake::start(|call| match call.path.as_str() {
        CLAIMS => Some(list(&[claim("Bound")])),
        CLASSES => Some(list(&[class(true)])),
        QUOTAS => Some(list(&[quota("15Gi", "2")])),
        _ => None,
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let mut state = state(&[("prod", "10")]);
    state.tenancy.spec.namespaces = shared("10Gi");
    let mut namespaces = [
        NamespaceStatus {
            name: PLACE.to_owned(),
            ..NamespaceStatus::default()
        },
        // no longer named
        NamespaceStatus {
            name: "edu--old".to_owned(),
            ..NamespaceStatus::default()
        },
    ];
    describe(&state, &context, &mut namespaces);
    let [files] = namespaces[0].volumes.as_slice() else {
        panic!("{namespaces:?}");
    };
    assert_eq!(
        (files.size.as_str(), files.bound.as_deref(), &files.message),
        ("10Gi", Some("12Gi"), &None)
    );
    assert!(namespaces[1].volumes.is_empty());

    let part: ApprovedPart = serde_json::from_value(json!({
        "system": "oa", "zone": "gov-extranet", "cloudlet": "self",
        "term": {"from": "2026-09-01", "through": "2027-08-31"},
        "contract": "HS-1", "budget": {"code": "30227"},
        "lease": [{"item": "block-ssd", "quantity": "100Gi"}],
    }))
    .unwrap();
    let mut report = Report::new(&state);
    usage(&state, &context, &mut report, &part, &items());
    let [used] = report.usage.as_slice() else {
        panic!("{:?}", report.usage);
    };
    assert_eq!(
        (used.requested.as_str(), used.leased.as_str(), used.claims),
        ("15Gi", "100Gi", Some(2))
    );
    assert_eq!(report.used.as_deref(), Some("block-ssd 15Gi/100Gi"));
}
