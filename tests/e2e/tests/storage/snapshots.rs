//! A volume of which a snapshot is kept: promised where there are snapshots, made before the namespace goes, held when it has
//! gone; and the volume itself where no snapshot gets ready. A snapshot that the department took itself keeps nothing back.
//!
//! The snapshot controller is the real one, with its own account in `kube-system`. The driver is played, which makes data and
//! destroys them. One test, because there is one moment at which the kinds of the controller come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, ResourceQuota};
use leasehold_api::{
    names,
    tenancy::{Phase, RetainedVolume, Tenancy},
};
use leasehold_e2e::Office;
use leasehold_ledger::document::{SnapshotGoneDoc, SnapshotRetainedDoc, VolumeEnd};
use leasehold_planner::snapshots::{VolumeSnapshot, VolumeSnapshotContent};
use leasehold_store::Store;
use leasehold_testkit::{LONG, Session, User, snapshots};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::ground::{DRIVER, bound, disk, disk_when, lease, open, prod};

const CONTENTS: &str = "volumesnapshotcontents.snapshot.storage.k8s.io";
const WISHES: &str = "volumesnapshots.snapshot.storage.k8s.io";
/// The disk of which snapshots are made, and the one of which none gets ready.
const DISK: &str = "snapped-disk";
const UNREADY: &str = "unready-disk";

/// The lease of a department with a volume of 10 GiB that is to stay as a snapshot.
fn wanted(office: &Office) -> Value {
    let files =
        json!([{"name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": "Snapshot"}]);
    lease(office, &files)
}

/// Makes the disk of the department's volume, for it alone, before there is a claim that could take another test's.
async fn reserve(office: &Office, admin: &Session, name: &str) {
    let mut mine = disk(name, "10Gi");
    mine["spec"]["claimRef"] = json!({"namespace": prod(office), "name": "files"});
    admin.create(&mine).await.unwrap();
}

/// The wish for a snapshot, once the operator has it.
async fn wish(office: &Office, admin: &Session) -> Value {
    let place = prod(office);
    let seen = office.stage.see("a wish for a snapshot", LONG, async || {
        admin
            .get::<VolumeSnapshot>(Some(&place), "leasehold-files")
            .await
    });
    serde_json::to_value(seen.await.unwrap()).unwrap()
}

/// The content that the controller makes for the operator's wish, once the driver has made the data; gives its name.
async fn made(office: &Office, played: &mut Played<'_>) -> String {
    let wish = wish(office, played.admin).await;
    // what it waits for may take its time: nothing goes meanwhile
    let standing = played.admin.get::<Namespace>(None, &prod(office)).await;
    assert_eq!(standing.unwrap().metadata.deletion_timestamp, None);
    played.held.store(false, Ordering::Relaxed);
    content_of(&wish, played).await
}

/// The content of a wish, once its data are made; gives its name.
async fn content_of(wish: &Value, played: &mut Played<'_>) -> String {
    let name = snapshots::content_name(wish["metadata"]["uid"].as_str().unwrap());
    let admin = played.admin;
    let seen = played.controller.see("a content with data", async || {
        let content = admin.get::<VolumeSnapshotContent>(None, &name).await?;
        let content = serde_json::to_value(content).unwrap();
        let of = content.pointer("/spec/source/volumeHandle");
        if of == Some(&json!(DISK)) && content["status"]["readyToUse"] == true {
            Ok(())
        } else {
            Err(content.to_string())
        }
    });
    seen.await.unwrap();
    name
}

/// What the driver calls the data of a content.
fn handle(content: &str) -> String {
    format!("data-of-{content}")
}

/// Plays the driver: makes the data of every content but those of [`UNREADY`], and destroys what is deleted. As long as it is
/// `held`, it makes none for what the operator wishes. Never ends.
async fn drive(admin: &Session, held: &AtomicBool) {
    let mut rounds = interval(Duration::from_millis(300));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let Ok(all) = admin.list::<VolumeSnapshotContent>(None).await else {
            continue;
        };
        for content in all {
            let content = serde_json::to_value(content).unwrap();
            let name = content["metadata"]["name"].as_str().unwrap();
            let of = &content["spec"]["volumeSnapshotRef"]["name"];
            let may = content["spec"]["source"]["volumeHandle"] != UNREADY
                && !(*of == "leasehold-files" && held.load(Ordering::Relaxed));
            let target = format!("{CONTENTS}/{name}");
            // whatever somebody else changes in the same moment is done in the next round
            if content["metadata"]["deletionTimestamp"].is_string() {
                let freed = json!({"metadata": {"finalizers": null}});
                drop(admin.try_patch(&target, &[], &freed).await.unwrap());
            } else if may && content["status"]["readyToUse"] != true {
                let (status, handle) = (["--subresource=status"], handle(name));
                let made = json!({"status": {"readyToUse": true, "snapshotHandle": handle}});
                drop(admin.try_patch(&target, &status, &made).await.unwrap());
            }
        }
    }
}

/// Who makes snapshots: the controller itself, and the driver as the administrator plays it.
struct Played<'a> {
    admin: &'a Session,
    controller: snapshots::Controller,
    held: &'a AtomicBool,
}

/// Snapshots that there may be in the namespace: 20 of the department's own and that of its volume.
const MOST: usize = 21;
/// A snapshot that the department takes itself.
const OWN: &str = "before-upgrade";

/// The department takes a snapshot itself, up to as many as its quota lets it, and throws the others away again; gives the
/// name of the content.
async fn taken(office: &Office, played: &mut Played<'_>) -> String {
    let place = prod(office);
    let staff = &office.staff;
    let create = async |name: &str| {
        let wish = snapshots::wish(&place, name, "files");
        staff.try_create(&wish).await.unwrap()
    };
    create(OWN).await.ok().unwrap();
    for number in 1..MOST {
        create(&format!("more-{number}")).await.ok().unwrap();
    }
    create("too-many").await.refused("exceeded quota").unwrap();
    create("leasehold-own").await.refused("rule N13").unwrap();
    for number in 1..MOST {
        let gone = ["delete", WISHES, &format!("more-{number}"), "-n", &place];
        staff.kubectl(&gone, "").await.unwrap().ok().unwrap();
    }
    let seen = office.stage.see("one snapshot counted", LONG, async || {
        let quota = staff
            .get::<ResourceQuota>(Some(&place), "leasehold")
            .await?;
        let used = quota.status.and_then(|status| status.used);
        let used = used.unwrap_or_default().remove(snapshots::COUNT);
        match used.as_ref().map(|used| used.0.as_str()) {
            Some("1") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    seen.await.unwrap();
    let own = staff.get::<VolumeSnapshot>(Some(&place), OWN).await;
    let own = serde_json::to_value(own.unwrap()).unwrap();
    content_of(&own, played).await
}

/// The department's own snapshot went with its namespace, and its data as its class says: the operator held neither.
async fn goes_by_its_class(office: &Office, admin: &Session, own: &str) {
    let seen = office.stage.see("no content of its own", LONG, async || {
        match admin.find::<VolumeSnapshotContent>(None, own).await {
            Ok(None) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    });
    seen.await.unwrap();
}

/// What the department reads of what is kept.
async fn shown(office: &Office, expected: &RetainedVolume) {
    let what = format!("{expected:?} in the status");
    let holds = |tenancy: &Tenancy| {
        let status = tenancy.status.as_ref();
        status.is_some_and(|status| {
            let [kept] = status.retained.as_slice() else {
                return false;
            };
            let until = kept.until.clone();
            *kept
                == RetainedVolume {
                    until,
                    ..expected.clone()
                }
        })
    };
    office.when("oa", &what, holds).await.unwrap();
}

fn policy(disk: &PersistentVolume) -> Option<&str> {
    let spec = disk.spec.as_ref()?;
    spec.persistent_volume_reclaim_policy.as_deref()
}

/// Before there are snapshots none is promised, and as soon as there are it is. Gives the controller that makes them.
async fn promised(office: &Office, admin: &Session) -> snapshots::Controller {
    office.system().await.unwrap();
    office.staff.apply(&wanted(office)).await.unwrap();
    let words = "rule T43: asked reclaim Snapshot for volume files in snapped--prod, allowed Delete or Retain, because this cluster has no snapshots; write reclaim: Retain, which keeps the volume itself, or ask the data centre to install the snapshot controller and its kinds";
    assert_eq!(office.refused("oa", "T43").await.unwrap(), words);
    snapshots::install(office.stage.rig, admin).await.unwrap();
    let controller = snapshots::Controller::start(office.stage.rig, admin).await;
    let class = snapshots::class("daily", DRIVER);
    admin.create(&class).await.unwrap();
    office.approve("oa", 1).await.unwrap();
    office.phase("oa", Phase::Active).await.unwrap();
    controller.unwrap()
}

/// The tenancy ends, its disk goes the way of its class, and the snapshot stays until the platform takes it over.
async fn kept_as_a_snapshot(office: &Office, played: &mut Played<'_>) {
    let admin = played.admin;
    bound(office, "files", DISK).await;
    let own = taken(office, played).await;
    let (ended, name) = futures::join!(
        Box::pin(office.give_back("oa")),
        Box::pin(made(office, played))
    );
    ended.unwrap();
    let place = prod(office);
    let gone = admin.find::<Namespace>(None, &place).await.unwrap();
    assert!(gone.is_none(), "{gone:?}");
    let content = admin.get::<VolumeSnapshotContent>(None, &name).await;
    let content = content.unwrap();
    assert_eq!(content.spec.deletion_policy, "Retain");
    let labels = content.metadata.labels.unwrap_or_default();
    let label = |key: &str| labels.get(key).map(String::as_str);
    assert_eq!(
        [
            names::DEPARTMENT_LABEL,
            names::TENANCY_LABEL,
            names::INCARNATION_LABEL
        ]
        .map(label),
        [Some("snapped"), Some("oa"), Some("1")]
    );
    let expected = RetainedVolume {
        volume: DISK.to_owned(),
        snapshot: Some(name.clone()),
        claim: format!("{place}/files"),
        size: "10Gi".to_owned(),
        until: String::new(),
    };
    shown(office, &expected).await;
    goes_by_its_class(office, admin, &own).await;
    let left = admin.get::<PersistentVolume>(None, DISK).await;
    let left = left.unwrap();
    assert_eq!(policy(&left), Some("Delete"), "its provisioner destroys it");

    mended(office, admin, &name).await;
    handed_over(office, admin, &name).await;
}

/// Whoever would have the storage forget it is refused, and what is changed all the same, here by the operator's token in
/// other hands, is put right.
async fn mended(office: &Office, admin: &Session, name: &str) {
    let target = format!("{CONTENTS}/{name}");
    let spoilt = json!({"spec": {"deletionPolicy": "Delete"}});
    let ran = admin.try_patch(&target, &[], &spoilt).await.unwrap();
    ran.refused("rule N15: what becomes of kept data").unwrap();
    let thief = office.stage.rig.service_account().await.unwrap();
    let ran = thief.try_patch(&target, &[], &spoilt).await.unwrap();
    ran.ok().unwrap();
    let seen = office.stage.see("the snapshot held again", LONG, async || {
        let content = admin.get::<VolumeSnapshotContent>(None, name).await?;
        match content.spec.deletion_policy.as_str() {
            "Retain" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    seen.await.unwrap();
}

/// The platform takes it over: it is in the ledger, and let alone.
async fn handed_over(office: &Office, admin: &Session, name: &str) {
    let label = format!("{}-", names::MANAGED_LABEL);
    let taken = ["label", CONTENTS, name, &label];
    admin.kubectl(&taken, "").await.unwrap().ok().unwrap();
    let ledger = office.stage.operator.lock().await.ledger().to_owned();
    let seen = office.stage.see("the end of the keeping", LONG, async || {
        let store = Store::open_read_only(&ledger).await;
        let store = store.map_err(|error| error.to_string())?;
        let kept = store.documents::<SnapshotRetainedDoc>(Some("snapped/oa"), None);
        let kept = kept.await.map_err(|error| error.to_string())?;
        let gone = store.documents::<SnapshotGoneDoc>(Some("snapped/oa"), None);
        let gone = gone.await.map_err(|error| error.to_string())?;
        store.close().await.map_err(|error| error.to_string())?;
        let ends: Vec<VolumeEnd> = gone.iter().map(|found| found.value.end).collect();
        let handles: Vec<&str> = kept
            .iter()
            .map(|found| found.value.handle.as_str())
            .collect();
        if handles == [handle(name)] && ends == [VolumeEnd::HandedOver] {
            Ok(())
        } else {
            Err(format!("{handles:?} {ends:?}"))
        }
    });
    seen.await.unwrap();
    let content = admin.get::<VolumeSnapshotContent>(None, name).await;
    assert_eq!(content.unwrap().spec.deletion_policy, "Retain");
}

/// No snapshot gets ready: the disk is kept itself, as it would be with Retain, and the department reads why.
async fn kept_itself(office: &Office, admin: &Session) {
    let chen = office.stage.user(User::Office).await.unwrap();
    let hurried = json!({"spec": {"release": {"snapshotWaitSeconds": 5}}});
    let ran = chen.try_patch("cpol/default", &[], &hurried).await.unwrap();
    ran.ok().unwrap();
    reserve(office, admin, UNREADY).await;
    office.lease(&wanted(office)).await.unwrap();
    bound(office, "files", UNREADY).await;
    office.give_back("oa").await.unwrap();
    let expected = RetainedVolume {
        volume: UNREADY.to_owned(),
        snapshot: None,
        claim: format!("{}/files", prod(office)),
        size: "10Gi".to_owned(),
        until: String::new(),
    };
    shown(office, &expected).await;
    let what = "the disk kept itself";
    disk_when(office, admin, UNREADY, what, |disk| {
        let status = disk.status.as_ref();
        policy(disk) == Some("Retain")
            && status.is_some_and(|status| status.phase.as_deref() == Some("Released"))
    })
    .await;
    let told = format!(
        "volume {}/files is kept itself, without a snapshot: no snapshot was ready after 5 s",
        prod(office)
    );
    let ended = office.phase("oa", Phase::Released).await.unwrap();
    let history = ended.status.unwrap().history;
    assert!(
        history.iter().any(|entry| entry.what == told),
        "{history:?}"
    );
}

#[tokio::test]
async fn a_snapshot_stays_of_a_volume_where_its_class_has_snapshots_and_the_volume_where_none_gets_ready_t43()
 {
    let (snapped, unready) = (
        open("snapped", "统计局").await,
        open("unready", "史志办").await,
    );
    let admin = snapped.stage.user(User::Admin).await.unwrap();
    reserve(&snapped, &admin, DISK).await;
    let (held, admin) = (AtomicBool::new(true), &admin);
    let controller = Box::pin(promised(&snapped, admin)).await;
    let mut played = Played {
        admin,
        controller,
        held: &held,
    };
    let story = async {
        Box::pin(kept_as_a_snapshot(&snapped, &mut played)).await;
        Box::pin(kept_itself(&unready, admin)).await;
    };
    tokio::select! {
        () = Box::pin(drive(admin, &held)) => {}
        () = Box::pin(story) => {}
    }
}
