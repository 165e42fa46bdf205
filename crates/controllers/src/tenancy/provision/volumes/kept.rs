//! Releases before an API server: what is held before the namespaces may go.

use std::collections::BTreeMap;

use leasehold_api::tenancy::Volume;
use leasehold_ledger::{
    document::{KeptVolume, NamespaceDoc, ReleaseDoc, ReleaseStage, VolumeRetainedDoc},
    time::Second,
};
use serde_json::{Value, json};

use super::super::{
    super::{observe::State, report::Report, retain},
    fixture::{Fake, context, refusal, state},
};
use crate::Error;

const CLAIM: &str = "/api/v1/namespaces/edu--prod/persistentvolumeclaims/files";
const DISK: &str = "/api/v1/persistentvolumes/pv-1";

fn claim(volume: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "files", "namespace": "edu--prod", "uid": "c1",
            "labels": {"leasehold.dev/managed-by": "leasehold"},
        },
        "spec": {"storageClassName": "ssd", "volumeName": volume},
    })
}

/// The volume as its provisioner made it.
fn disk() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "pv-1", "uid": "v1", "resourceVersion": "7"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {"namespace": "edu--prod", "name": "files", "uid": "c1"},
        },
    })
}

/// The volume as it is held for the first life of `edu/oa`.
fn held() -> Value {
    let mut disk = disk();
    disk["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
    disk["metadata"]["labels"] = json!({
        "leasehold.dev/managed-by": "leasehold", "leasehold.dev/department": "edu",
        "leasehold.dev/tenancy": "oa", "leasehold.dev/incarnation": "1",
    });
    disk["metadata"]["annotations"] = json!({
        "leasehold.dev/retained-until": "2026-05-01", "leasehold.dev/reclaim-policy": "Delete",
    });
    disk
}

/// What a round found.
struct Round {
    may_go: bool,
    calls: Vec<String>,
    recorded: Vec<VolumeRetainedDoc>,
}

async fn round(reclaim: &str, claim: Value, disk: Option<Value>) -> Round {
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", CLAIM) => Some((200, claim.clone())),
            ("GET", DISK) => Some(match &disk {
                Some(disk) => (200, disk.clone()),
                None => refusal(404, "NotFound"),
            }),
            // the answer to a patch is never relied on
            ("PATCH", DISK) => Some((200, held())),
            _ => None,
        },
    )
    .await;
    let (may_go, recorded) = before_deletion(&fake, reclaim).await;
    Round {
        may_go: may_go.unwrap(),
        calls: fake.calls(),
        recorded,
    }
}

/// Tells whether the namespace of the volume may go, and what is recorded then.
async fn before_deletion(
    fake: &Fake,
    reclaim: &str,
) -> (Result<bool, Error>, Vec<VolumeRetainedDoc>) {
    let mut state = state(&[("prod", "10")]);
    let volume: Volume = serde_json::from_value(json!({
        "name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": reclaim,
    }))
    .unwrap();
    state.tenancy.spec.namespaces[0].volumes = vec![volume];
    before_deletion_of(fake, &state).await
}

async fn before_deletion_of(
    fake: &Fake,
    state: &State,
) -> (Result<bool, Error>, Vec<VolumeRetainedDoc>) {
    let (context, _tasks) = context(fake).await;
    let namespace = NamespaceDoc {
        cluster: "cluster".to_owned(),
        uid: "n1".to_owned(),
        name: "edu--prod".to_owned(),
        department: "edu".to_owned(),
        tenancy: "oa".to_owned(),
        incarnation: 1,
        at: Second::new(0),
    };
    let known = BTreeMap::from([(namespace.uid.clone(), namespace)]);
    let mut report = Report::new(state);
    let since = state.now;
    let may_go = retain::before_deletion(state, &context, &mut report, &known, since).await;
    let store = context.books.store();
    let recorded = store.documents::<VolumeRetainedDoc>(None, None).await;
    let recorded = recorded.unwrap().into_iter();
    (may_go, recorded.map(|recorded| recorded.value).collect())
}

#[tokio::test]
async fn a_namespace_stays_until_its_volume_was_read_back_as_held() {
    let asked = round("Retain", claim(&json!("pv-1")), Some(disk())).await;
    assert!(!asked.may_go && asked.recorded.is_empty());
    assert_eq!(asked.calls.last().unwrap(), &format!("PATCH {DISK}"));

    let seen = round("Retain", claim(&json!("pv-1")), Some(held())).await;
    assert!(seen.may_go);
    assert_eq!(seen.calls, [format!("GET {CLAIM}"), format!("GET {DISK}")]);
    let [kept] = seen.recorded.as_slice() else {
        panic!("{:?}", seen.recorded);
    };
    // the state is of 2025-10-09: the day is the one on the volume, and the policy the one before
    assert_eq!(
        (kept.until.to_string().as_str(), kept.policy.as_str()),
        ("2026-05-01", "Delete")
    );
    assert_eq!((kept.claim_uid.as_str(), kept.bytes), ("c1", 10 << 30));
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_not_even_looked_at() {
    let seen = round("Delete", claim(&json!("pv-1")), Some(disk())).await;
    assert!(seen.may_go && seen.calls.is_empty(), "{:?}", seen.calls);
}

#[tokio::test]
async fn what_was_to_be_kept_when_the_release_was_asked_for_is_kept_whatever_the_manifest_says_now()
{
    for manifest in [json!([]), json!(["Delete"])] {
        let fake = Fake::start(|call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", CLAIM) => Some((200, claim(&json!("pv-1")))),
            ("GET", DISK) => Some((200, held())),
            _ => None,
        })
        .await;
        let mut state = state(&[("prod", "10")]);
        let volumes = manifest.as_array().unwrap().iter();
        let volumes = volumes.map(|reclaim| {
            serde_json::from_value::<Volume>(json!({
                "name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": reclaim,
            }))
            .unwrap()
        });
        state.tenancy.spec.namespaces[0].volumes = volumes.collect();
        state.view.release = vec![ReleaseDoc {
            department: "edu".to_owned(),
            tenancy: "oa".to_owned(),
            incarnation: 1,
            stage: ReleaseStage::Requested,
            round: 0,
            requested_by: "zhang@edu".to_owned(),
            at: Second::new(0),
            kept: vec![KeptVolume {
                namespace: "edu--prod".to_owned(),
                claim: "files".to_owned(),
                snapshot: false,
            }],
            backup: None,
        }];
        let (may_go, recorded) = before_deletion_of(&fake, &state).await;
        assert!(may_go.unwrap());
        assert_eq!(recorded.len(), 1, "{manifest}");
    }
}

#[tokio::test]
async fn a_claim_without_a_volume_of_its_own_holds_nothing_up() {
    let mut of_another = disk();
    of_another["spec"]["claimRef"]["uid"] = json!("c9");
    for (name, disk) in [
        (json!(null), Some(disk())),
        (json!("pv-1"), None),
        (json!("pv-1"), Some(of_another)),
    ] {
        let seen = round("Retain", claim(&name), disk).await;
        assert!(seen.may_go && seen.recorded.is_empty());
        assert!(
            !seen.calls.iter().any(|call| call.starts_with("PATCH")),
            "{:?}",
            seen.calls
        );
    }
}

#[tokio::test]
async fn a_volume_that_cannot_be_told_to_stay_keeps_its_namespace() {
    let fake = Fake::start(|call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", CLAIM) => Some((200, claim(&json!("pv-1")))),
        ("GET", DISK) => Some((200, disk())),
        ("PATCH", DISK) => Some(refusal(403, "Forbidden")),
        _ => None,
    })
    .await;
    let (may_go, recorded) = before_deletion(&fake, "Retain").await;
    assert!(may_go.is_err(), "the release does not go on");
    assert!(recorded.is_empty());
}
