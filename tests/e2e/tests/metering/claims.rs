//! Volume claims: what they got, not what they asked for, and only while they have it.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use leasehold_e2e::Office;
use leasehold_ledger::fact::{Fact, Interval};
use leasehold_ledger::time::{Second, Span};
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{LONG, Session, User, eventually};
use serde_json::json;

use crate::ground::{
    ended, ends, intervals, known_beyond, leased, ledger, second, server_time, settled, written,
};

const CODE: &str = "meter-claim";
const PLACE: &str = "meter-claim--prod";
const LEASE: [(&str, &str); 3] = [
    ("vcpu-x86", "8"),
    ("memory", "16Gi"),
    ("block-ssd", "100Gi"),
];
const METER: &str = "claim/ssd";
const OBJECT: &str = "PersistentVolumeClaim meter-claim--prod/data";
/// The volume is larger than what the claim asks for.
const CAPACITY: i64 = 10 << 30;

#[tokio::test]
async fn a_claim_is_metered_at_its_volumes_real_capacity_from_its_binding_to_its_removal() {
    let office = leased(CODE, "体育局", &LEASE).await;
    let (stage, staff) = (office.stage, &office.staff);
    let admin = stage.user(User::Admin).await.unwrap();
    let uid = ask(&office).await;
    let bound = bind(&office, &admin, &uid).await;
    let start = written(&bound.metadata, Some("status"));
    let created = second(bound.metadata.creation_timestamp.as_ref().unwrap());
    assert!(start.since(created) >= 3, "it waited: {created} {start}");
    let open = stage.see("the claim in the ledger", LONG, async || {
        let found = intervals(stage, CODE, METER).await?;
        match <[Interval; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(found) => Err(format!("{found:?}")),
        }
    });
    let open = open.await.unwrap();
    assert!(open.open, "{open:?}");
    assert_eq!((open.span.from, open.quantity), (start, CAPACITY));

    let (before, end, after) = remove(&office, &admin).await;
    // nothing records a removal: it is timed at its event, by the operator's idea of the API server's
    // clock, which is good to a second
    let removed = before.plus(-1)..=after.plus(1);
    assert!(removed.contains(&end.at), "{removed:?}: {end:?}");
    assert_eq!((end.estimated, end.bounds), (false, None));
    let found = settled(stage, CODE, METER, 1).await;
    let [interval] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(interval.subject.object, OBJECT);
    assert_eq!(
        (interval.span, interval.quantity, interval.estimated),
        (Span::new(start, end.at), CAPACITY, false)
    );
    let gone = staff.find::<PersistentVolumeClaim>(Some(PLACE), "data");
    assert!(gone.await.unwrap().is_none());
}

/// Asks for a volume, which is not there, and shows that nothing is metered as long as it waits; gives the
/// claim's uid.
async fn ask(office: &Office) -> String {
    let (stage, staff) = (office.stage, &office.staff);
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": PLACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "ssd",
            "resources": {"requests": {"storage": "8Gi"}},
        },
    });
    staff.create(&claim).await.unwrap();
    let meanwhile = pod(PLACE, "meanwhile", "1", "1Gi", Some(4));
    staff.create(&meanwhile).await.unwrap();
    let object = format!("Pod {PLACE}/meanwhile");
    let ran = ended(stage, CODE, "pod/cpu", &object).await;
    let over = ran.last().unwrap().span.to;
    known_beyond(&ledger(stage).await, "claims", over).await;
    let found = intervals(stage, CODE, METER).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
    let claim = staff.get::<PersistentVolumeClaim>(Some(PLACE), "data");
    claim.await.unwrap().metadata.uid.unwrap()
}

/// The administrator makes a volume for the claim; gives the claim once it is bound.
async fn bind(office: &Office, admin: &Session, uid: &str) -> PersistentVolumeClaim {
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "meter-claim"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "ssd", "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/mnt/meter-claim"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": PLACE, "name": "data", "uid": uid,
            },
        },
    });
    admin.create(&volume).await.unwrap();
    let seen = office.stage.see("the claim bound", LONG, async || {
        let claim = office
            .staff
            .get::<PersistentVolumeClaim>(Some(PLACE), "data");
        let claim = claim.await?;
        let status = claim.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        if phase == Some("Bound") {
            Ok(claim)
        } else {
            Err(format!("{status:?}"))
        }
    });
    seen.await.unwrap()
}

/// Removes the claim while the operator watches, which nobody may stop meanwhile; gives its end in the
/// ledger, between the API server's clock before and after.
async fn remove(office: &Office, admin: &Session) -> (Second, Fact, Second) {
    let operator = office.stage.operator.lock().await;
    // after a restart it takes a while until claims are known up to now
    known_beyond(operator.ledger(), "claims", server_time(admin).await).await;
    let before = server_time(admin).await;
    let deletion = ["delete", "pvc", "data", "-n", PLACE];
    let ran = office.staff.kubectl(&deletion, "").await.unwrap();
    ran.ok().unwrap();
    let seen = eventually("the claim's end in the ledger", LONG, async || {
        let mut ends = ends(operator.ledger(), CODE, METER).await?;
        ends.remove(OBJECT)
            .ok_or_else(|| "it has no end".to_owned())
    });
    let end = seen.await.unwrap();
    (before, end, server_time(admin).await)
}
