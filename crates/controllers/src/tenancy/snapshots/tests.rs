//! Releases before an API server: what of a snapshot must be there before its namespace may go.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use leasehold_ledger::document::{NamespaceDoc, VolumeRetainedDoc};
use serde_json::{Value, json};

use super::{
    super::provision::fixture::{Call, Fake, Reply, context, list, refusal, state},
    *,
};

const CLAIM: &str = "/api/v1/namespaces/edu--prod/persistentvolumeclaims/files";
const DISK: &str = "/api/v1/persistentvolumes/pv-1";
const PODS: &str = "/api/v1/namespaces/edu--prod/pods";
const WISHES: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/edu--prod/volumesnapshots";
const WISH: &str =
    "/apis/snapshot.storage.k8s.io/v1/namespaces/edu--prod/volumesnapshots/leasehold-files";
const CONTENT: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/snapcontent-1";
const CLASSES: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses";

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "files", "namespace": "edu--prod", "uid": "c1",
            "labels": {"leasehold.dev/managed-by": "leasehold"},
        },
        "spec": {"storageClassName": "ssd", "volumeName": "pv-1"},
    })
}

fn disk() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "pv-1", "uid": "v1", "resourceVersion": "7"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Delete",
            "csi": {"driver": "disks.example", "volumeHandle": "h1"},
            "claimRef": {"namespace": "edu--prod", "name": "files", "uid": "c1"},
        },
    })
}

fn marks() -> Value {
    json!({
        "leasehold.dev/managed-by": "leasehold", "leasehold.dev/department": "edu",
        "leasehold.dev/tenancy": "oa", "leasehold.dev/incarnation": "1",
    })
}

/// The wish, a few seconds old and ready. The state is of 2025-10-09T08:53:20Z.
fn wish() -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {
            "name": "leasehold-files", "namespace": "edu--prod", "uid": "w1",
            "creationTimestamp": "2025-10-09T08:53:00Z", "labels": marks(),
        },
        "spec": {"source": {"persistentVolumeClaimName": "files"}},
        "status": {"boundVolumeSnapshotContentName": "snapcontent-1", "readyToUse": true},
    })
}

/// The content as the snapshot controller made it.
fn content() -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": "snapcontent-1", "uid": "s1", "resourceVersion": "3"},
        "spec": {
            "deletionPolicy": "Delete", "driver": "disks.example",
            "source": {"volumeHandle": "h1"},
            "volumeSnapshotRef": {"namespace": "edu--prod", "name": "leasehold-files", "uid": "w1"},
        },
        "status": {"readyToUse": true, "snapshotHandle": "snap-h1"},
    })
}

fn held() -> Value {
    let mut content = content();
    content["spec"]["deletionPolicy"] = json!("Retain");
    content["metadata"]["labels"] = marks();
    content["metadata"]["annotations"] = json!({
        "leasehold.dev/retained-until": "2025-11-08",
        "leasehold.dev/retained-claim": "edu--prod/files",
    });
    content
}

/// The claim and its volume, which every round reads.
fn usual(call: &Call) -> Option<Reply> {
    match (call.method.as_str(), call.path.as_str()) {
        ("GET", CLAIM) => Some((200, claim())),
        ("GET" | "PATCH", DISK) => Some((200, disk())),
        ("PATCH", CONTENT) => Some((200, held())),
        ("GET", CLASSES) => Some(list(&[json!({
            "metadata": {"name": "daily"}, "driver": "disks.example", "deletionPolicy": "Delete",
        })])),
        _ => None,
    }
}

/// Whether the namespace may go, and the report of the round.
async fn round(context: &Context) -> (bool, Report) {
    let (may_go, report) = round_after(context, 0).await;
    (may_go.unwrap(), report)
}

/// The same so many seconds after the namespace could have gone.
async fn round_after(context: &Context, seconds: i64) -> (Result<bool, Error>, Report) {
    let mut state = state(&[("prod", "10")]);
    let volume: Volume = serde_json::from_value(json!({
        "name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": "Snapshot",
    }))
    .unwrap();
    state.tenancy.spec.namespaces[0].volumes = vec![volume];
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
    let mut report = Report::new(&state);
    let since = state.now.plus(-seconds);
    let may_go = retain::before_deletion(&state, context, &mut report, &known, since).await;
    (may_go, report)
}

async fn recorded(context: &Context) -> Vec<SnapshotRetainedDoc> {
    let store = context.books.store();
    let found = store.documents::<SnapshotRetainedDoc>(None, None).await;
    let found = found.unwrap().into_iter();
    found.map(|found| found.value).collect()
}

fn pod(phase: &str, end: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "edu--prod", "deletionTimestamp": end},
        "status": {"phase": phase},
    })
}

#[test]
fn a_pod_may_write_until_it_has_ended_or_a_minute_after_it_should_have() {
    // 2027-01-15T10:00:00Z
    let now = Second::new(1_800_007_200);
    let writes = |phase: &str, end: Value| {
        let pod: Pod = serde_json::from_value(pod(phase, &end)).unwrap();
        may_write(&pod, now)
    };
    for phase in ["Pending", "Running", "Unknown"] {
        assert!(writes(phase, json!(null)), "{phase}");
    }
    assert!(writes("Running", json!("2027-01-15T10:00:30Z")));
    assert!(writes("Running", json!("2027-01-15T09:59:01Z")));
    assert!(!writes("Running", json!("2027-01-15T09:59:00Z")));
    assert!(!writes("Succeeded", json!(null)) && !writes("Failed", json!(null)));
}

#[tokio::test]
async fn pods_end_before_the_snapshot_is_wished_for() {
    let fake = Fake::start(|call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", PODS) => Some(list(&[pod("Running", &json!(null))])),
        _ => usual(call),
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    let (may_go, report) = round(&context).await;
    assert!(!may_go && report.ends.is_some());
    assert!(fake.writes("volume").is_empty());
}

#[tokio::test]
async fn a_snapshot_is_wished_for_once_and_waited_for() {
    let is_made = AtomicBool::new(false);
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", WISH) if is_made.load(Ordering::SeqCst) => {
                let mut unready = wish();
                unready["status"] = json!({"readyToUse": false});
                Some((200, unready))
            }
            ("POST", WISHES) => {
                is_made.store(true, Ordering::SeqCst);
                None
            }
            _ => usual(call),
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    for _ in 0..2 {
        let (may_go, report) = round(&context).await;
        assert!(!may_go && report.ends.is_none());
    }
    let writes = fake.writes("volume");
    let [(path, made)] = writes.as_slice() else {
        panic!("{writes:?}");
    };
    assert_eq!(
        (path.as_str(), &made["metadata"]["labels"]),
        (WISHES, &marks())
    );
    assert_eq!(made["spec"]["volumeSnapshotClassName"], "daily");
}

#[tokio::test]
async fn a_namespace_stays_until_its_snapshot_was_read_back_as_held_and_then_needs_no_wish_any_more()
 {
    let (is_held, is_ending) = (AtomicBool::new(false), AtomicBool::new(false));
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            // once it is held, the namespace goes, and the wish before the claim
            ("GET", WISH) if is_ending.load(Ordering::SeqCst) => Some(refusal(404, "NotFound")),
            ("GET", WISH) => {
                is_ending.store(is_held.load(Ordering::SeqCst), Ordering::SeqCst);
                Some((200, wish()))
            }
            ("PATCH", CONTENT) => {
                is_held.store(true, Ordering::SeqCst);
                // the answer to a patch is never relied on
                Some((200, content()))
            }
            ("GET", CONTENT) if is_held.load(Ordering::SeqCst) => Some((200, held())),
            ("GET", CONTENT) => Some((200, content())),
            _ => usual(call),
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    assert!(!round(&context).await.0);
    assert!(recorded(&context).await.is_empty());
    assert!(round(&context).await.0, "it is held");
    assert!(round(&context).await.0, "and stays so without the wish");
    let kept = recorded(&context).await;
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    assert_eq!(
        (kept.claim_uid.as_str(), kept.handle.as_str(), kept.bytes),
        ("c1", "snap-h1", 10 << 30)
    );
    assert_eq!(kept.until.to_string(), "2025-11-08");
    let written: Vec<String> = fake
        .writes("volume")
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(written, [CONTENT], "neither another wish nor the volume");
}

#[tokio::test]
async fn a_wish_that_is_refused_leaves_the_volume_to_be_kept() {
    for refused in [
        refusal(403, "Forbidden"),
        refusal(422, "Invalid"),
        // the cluster has no such kind any more
        refusal(404, "NotFound"),
    ] {
        let fake = Fake::start(
            move |call| match (call.method.as_str(), call.path.as_str()) {
                ("POST", WISHES) => Some(refused.clone()),
                _ => usual(call),
            },
        )
        .await;
        let (context, _tasks) = context(&fake).await;
        let (may_go, _) = round(&context).await;
        assert!(!may_go, "the volume was told to stay and not read back");
        let told = fake.writes(DISK);
        let [(_, patch)] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(patch["spec"]["persistentVolumeReclaimPolicy"], "Retain");
        let store = context.books.store();
        let kept = store.documents::<VolumeRetainedDoc>(None, None).await;
        assert!(kept.unwrap().is_empty() && recorded(&context).await.is_empty());
    }
}

#[tokio::test]
async fn a_volume_that_its_class_keeps_anyway_is_kept_beside_its_snapshot_and_recorded() {
    let is_marked = AtomicBool::new(false);
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", DISK) => {
                let mut disk = disk();
                disk["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
                if is_marked.load(Ordering::SeqCst) {
                    disk["metadata"]["labels"] = marks();
                    disk["metadata"]["annotations"] = json!({
                        "leasehold.dev/retained-until": "2025-11-08",
                        "leasehold.dev/reclaim-policy": "Retain",
                    });
                }
                Some((200, disk))
            }
            ("PATCH", DISK) => {
                is_marked.store(true, Ordering::SeqCst);
                usual(call)
            }
            ("GET", WISH) => Some((200, wish())),
            ("GET", CONTENT) => Some((200, held())),
            _ => usual(call),
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    assert!(!round(&context).await.0, "the volume is not recorded yet");
    assert_eq!(recorded(&context).await.len(), 1);
    assert!(round(&context).await.0);
    let store = context.books.store();
    let kept = store.documents::<VolumeRetainedDoc>(None, None).await;
    let kept = kept.unwrap().into_iter();
    let policies: Vec<String> = kept.map(|kept| kept.value.policy).collect();
    assert_eq!(policies, ["Retain"]);
}

#[tokio::test]
async fn a_snapshot_that_the_platform_took_over_is_not_marked_again_and_the_volume_is_kept() {
    let is_taken = Arc::new(AtomicBool::new(false));
    let taken = Arc::clone(&is_taken);
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", WISH) => Some((200, wish())),
            ("GET", CONTENT) if taken.load(Ordering::SeqCst) => Some((200, content())),
            ("GET", CONTENT) => Some((200, held())),
            _ => usual(call),
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    assert!(round(&context).await.0, "it is held");
    assert_eq!(recorded(&context).await.len(), 1);
    is_taken.store(true, Ordering::SeqCst);
    let (may_go, _) = round(&context).await;
    assert!(!may_go, "the volume was not read back as held");
    let written: Vec<String> = fake
        .writes("volume")
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(written, [DISK]);
}

/// Whether the volume is told to stay so many seconds after the namespace could have gone.
async fn stays(fake: &Fake, seconds: i64) -> bool {
    let (context, _tasks) = context(fake).await;
    let (may_go, _) = round_after(&context, seconds).await;
    assert!(!may_go.unwrap_or_default(), "it was not read back as held");
    let told = fake.writes(DISK);
    let mut told = told.iter();
    told.any(|(_, patch)| patch["spec"]["persistentVolumeReclaimPolicy"] == "Retain")
}

/// The policy waits an hour for a snapshot; pods have ended after 70 minutes.
const HOUR: i64 = 3600;
const PODS_HAVE_ENDED: i64 = 4200;

#[tokio::test]
async fn pods_that_never_end_leave_the_volume_to_be_kept() {
    for (seconds, expected) in [
        (0, false),
        (PODS_HAVE_ENDED + HOUR - 1, false),
        (PODS_HAVE_ENDED + HOUR, true),
    ] {
        let fake = Fake::start(|call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", PODS) => Some(list(&[pod("Running", &json!(null))])),
            _ => usual(call),
        })
        .await;
        assert_eq!(stays(&fake, seconds).await, expected, "{seconds} s after");
    }
}

#[tokio::test]
async fn what_nobody_answers_or_everybody_refuses_leaves_the_volume_to_be_kept_in_the_end() {
    for (method, path, code) in [
        // the wish cannot be read, nor be made; the content cannot be held
        ("GET", WISH, 403),
        ("POST", WISHES, 429),
        ("POST", WISHES, 500),
        ("PATCH", CONTENT, 403),
    ] {
        let late = PODS_HAVE_ENDED + 2 * HOUR;
        for (seconds, expected) in [(late - 1, false), (late, true)] {
            let fake = Fake::start(move |call| {
                let is_it = call.method == method && call.path == path;
                match (call.method.as_str(), call.path.as_str()) {
                    _ if is_it => Some(refusal(code, "Refused")),
                    ("GET", WISH) if path == CONTENT => Some((200, wish())),
                    ("GET", CONTENT) => Some((200, content())),
                    _ => usual(call),
                }
            })
            .await;
            let found = stays(&fake, seconds).await;
            assert_eq!(found, expected, "{method} {path} {code} after {seconds} s");
        }
    }
}

#[tokio::test]
async fn a_wish_waits_until_the_quota_counts_snapshots_and_not_for_ever() {
    for (seconds, expected) in [
        (0, false),
        (PODS_HAVE_ENDED + 2 * HOUR - 1, false),
        (PODS_HAVE_ENDED + 2 * HOUR, true),
    ] {
        let fake = Fake::start(
            move |call| match (call.method.as_str(), call.path.as_str()) {
                ("POST", WISHES) => {
                    let (code, mut status) = refusal(403, "Forbidden");
                    status["message"] = json!(
                        "volumesnapshots \"leasehold-files\" is forbidden: status unknown for quota: leasehold, resources: count/volumesnapshots.snapshot.storage.k8s.io"
                    );
                    Some((code, status))
                }
                _ => usual(call),
            },
        )
        .await;
        assert_eq!(stays(&fake, seconds).await, expected, "{seconds} s after");
    }
}

#[tokio::test]
async fn a_wish_that_is_taken_away_again_and_again_is_not_made_for_ever() {
    let fake = Fake::start(usual).await;
    assert!(stays(&fake, PODS_HAVE_ENDED + 2 * HOUR).await);
    assert!(fake.writes("volumesnapshots").is_empty());
}

#[tokio::test]
async fn a_volume_that_was_told_to_stay_stays_although_its_snapshot_got_good() {
    let fake = Fake::start(|call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", DISK) => {
            let mut disk = disk();
            disk["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
            disk["metadata"]["labels"] = marks();
            disk["metadata"]["annotations"] = json!({
                "leasehold.dev/retained-until": "2025-11-08",
                "leasehold.dev/reclaim-policy": "Delete",
            });
            Some((200, disk))
        }
        ("GET", WISH) => Some((200, wish())),
        ("GET", CONTENT) => Some((200, content())),
        _ => usual(call),
    })
    .await;
    let (context, _tasks) = context(&fake).await;
    assert!(round(&context).await.0);
    assert!(recorded(&context).await.is_empty());
    let store = context.books.store();
    let kept = store.documents::<VolumeRetainedDoc>(None, None).await;
    assert_eq!(kept.unwrap().len(), 1);
    assert!(fake.writes("volume").is_empty());
}

#[tokio::test]
async fn a_content_that_was_marked_before_its_wish_failed_is_recorded_beside_the_volume() {
    let (is_marked, stays) = (AtomicBool::new(false), AtomicBool::new(false));
    let contents = CONTENT.strip_suffix("/snapcontent-1").unwrap();
    let fake = Fake::start(
        move |call| match (call.method.as_str(), call.path.as_str()) {
            ("GET", WISH) => {
                let mut wish = wish();
                if is_marked.load(Ordering::SeqCst) {
                    wish["metadata"]["deletionTimestamp"] = json!("2025-10-09T08:53:10Z");
                }
                Some((200, wish))
            }
            ("PATCH", CONTENT) => {
                is_marked.store(true, Ordering::SeqCst);
                usual(call)
            }
            ("GET", CONTENT) if is_marked.load(Ordering::SeqCst) => Some((200, held())),
            ("GET", CONTENT) => Some((200, content())),
            ("GET", path) if path == contents && is_marked.load(Ordering::SeqCst) => {
                Some(list(&[held()]))
            }
            ("PATCH", DISK) => {
                stays.store(true, Ordering::SeqCst);
                usual(call)
            }
            ("GET", DISK) if stays.load(Ordering::SeqCst) => {
                let mut disk = disk();
                disk["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
                disk["metadata"]["labels"] = marks();
                disk["metadata"]["annotations"] = json!({
                    "leasehold.dev/retained-until": "2025-11-08",
                    "leasehold.dev/reclaim-policy": "Delete",
                });
                Some((200, disk))
            }
            _ => usual(call),
        },
    )
    .await;
    let (context, _tasks) = context(&fake).await;
    assert!(!round(&context).await.0, "the content is marked");
    assert!(!round(&context).await.0, "the volume is told to stay");
    assert!(recorded(&context).await.is_empty());
    assert!(round(&context).await.0, "the volume stays");
    let kept = recorded(&context).await;
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    assert_eq!(
        (kept.content.as_str(), kept.uid.as_str()),
        ("snapcontent-1", "s1")
    );
    let store = context.books.store();
    let volumes = store.documents::<VolumeRetainedDoc>(None, None).await;
    assert_eq!(volumes.unwrap().len(), 1);
    assert!(round(&context).await.0, "and it is not recorded again");
    assert_eq!(recorded(&context).await.len(), 1);
}

#[tokio::test]
async fn a_namespace_waits_until_it_is_known_whether_snapshots_were_marked_but_not_for_ever() {
    let contents = CONTENT.strip_suffix("/snapcontent-1").unwrap();
    let late = PODS_HAVE_ENDED + 2 * HOUR;
    for (seconds, expected) in [(0, false), (late - 1, false), (late, true)] {
        // what the caches list at the start is answered
        let is_up = Arc::new(AtomicBool::new(true));
        let up = Arc::clone(&is_up);
        let fake = Fake::start(
            move |call| match (call.method.as_str(), call.path.as_str()) {
                ("GET", DISK) => {
                    let mut disk = disk();
                    disk["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
                    disk["metadata"]["labels"] = marks();
                    disk["metadata"]["annotations"] = json!({
                        "leasehold.dev/retained-until": "2025-11-08",
                        "leasehold.dev/reclaim-policy": "Delete",
                    });
                    Some((200, disk))
                }
                ("GET", path) if path == contents && !up.load(Ordering::SeqCst) => {
                    Some(refusal(403, "Forbidden"))
                }
                _ => usual(call),
            },
        )
        .await;
        let (context, _tasks) = context(&fake).await;
        is_up.store(false, Ordering::SeqCst);
        let (may_go, _) = round_after(&context, seconds).await;
        assert_eq!(may_go.is_ok_and(|may_go| may_go), expected, "{seconds} s");
    }
}
