//! Volumes that outlive their tenancy, over days. The binder and the provisioner of the cluster are played.

use std::time::Duration;

use leasehold_testkit::manifests;
use serde_json::{Value, json};

use super::{Stage, tell};
use crate::{
    expect::TENANCIES,
    people::{ADMIN, staff},
    script::{Lessee, Wish},
    world::{self, GRACE},
};

pub const CODE: &str = "edu";
pub const PLACE: &str = "edu--prod";
pub const CLAIM: [&str; 3] = ["persistentvolumeclaims", PLACE, "files"];
const DISK: [&str; 3] = ["persistentvolumes", "", "disk"];
pub const HOUR: u64 = 3600;

/// The lease of a namespace with a volume of which this becomes at the release.
pub fn lease(reclaim: &str) -> Value {
    let lessee = Lessee {
        code: CODE,
        name: "oa".to_owned(),
        shorts: vec!["prod".to_owned()],
        keeps: false,
    };
    let wish = Wish {
        shares: vec![[2, 4, 20]],
        spare: [0, 0, 0],
    };
    let mut manifest = world::tenancy(&lessee, &wish);
    let files = json!({"name": "files", "item": "block-ssd", "size": "10Gi", "reclaim": reclaim});
    manifest["spec"]["namespaces"][0]["volumes"] = json!([files]);
    manifest
}

pub fn status(stage: &Stage<'_>) -> Value {
    let office = manifests::office(CODE);
    let tenancy = stage.find([TENANCIES, &office, "oa"]).unwrap_or_default();
    tenancy["status"].clone()
}

pub fn disk(stage: &Stage<'_>) -> Value {
    stage.find(DISK).unwrap_or_default()
}

pub fn policy(stage: &Stage<'_>) -> Value {
    disk(stage)["spec"]["persistentVolumeReclaimPolicy"].clone()
}

/// Documents of a kind in the ledger.
pub fn documents(stage: &Stage<'_>, kind: &str) -> Vec<Value> {
    let head = format!("{kind}/");
    let rows = stage.rows();
    let found = rows.iter().filter(|row| row.chain.key.starts_with(&head));
    found
        .map(|row| serde_json::from_str(&row.body).unwrap())
        .collect()
}

/// The claim gets a disk whose data would go with it; gives the claim's uid.
pub async fn bind(stage: &Stage<'_>) -> Result<String, String> {
    stage
        .until("the claim", |stage| stage.find(CLAIM).is_some())
        .await?;
    let claim = stage.find(CLAIM).unwrap_or_default();
    let uid = claim["metadata"]["uid"].as_str().unwrap_or_default();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "ssd",
            "csi": {"driver": "disks.example", "volumeHandle": "disk"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": PLACE, "name": "files", "uid": uid,
            },
        },
    });
    stage.create(ADMIN, &volume)?;
    stage.patch(ADMIN, CLAIM, &json!({"spec": {"volumeName": "disk"}}))?;
    Ok(uid.to_owned())
}

/// A tenancy is leased and released, and its disk is kept for two days; gives the uid of the claim that it had.
async fn kept(stage: &Stage<'_>) -> Result<String, String> {
    let release = json!({"graceSeconds": GRACE, "retainVolumesDays": 2});
    let policy = json!({"spec": {"release": release}});
    stage.furnish(&policy, &[CODE]).await?;
    let office = manifests::office(CODE);
    stage.create(&staff(CODE), &lease("Retain"))?;
    stage.approve(&office, "oa-1-office").await?;
    let uid = bind(stage).await?;
    stage
        .until("the lease in force", |stage| {
            status(stage)["phase"] == "Active"
        })
        .await?;
    let ends = json!({"spec": {"release": {"reason": "系统下线"}}});
    stage.patch(&staff(CODE), [TENANCIES, &office, "oa"], &ends)?;
    stage.approve(&office, "oa-release-office").await?;
    stage
        .until("the end of the tenancy", |stage| {
            status(stage)["phase"] == "Released"
        })
        .await?;
    Ok(uid)
}

#[test]
fn a_volume_is_kept_through_its_last_day_and_then_given_to_its_provisioner_to_destroy() {
    tell(async |stage| {
        let uid = kept(stage).await?;
        let told = json!([{
            "volume": "disk", "claim": "edu--prod/files", "size": "10Gi", "until": "2027-01-17",
        }]);
        let shown = |stage: &Stage<'_>| status(stage)["retained"] == told;
        stage.until("the kept volume in the status", shown).await?;
        assert!(
            stage.find(CLAIM).is_none(),
            "the claim went with its namespace"
        );
        let held = disk(stage);
        assert_eq!(held["spec"]["persistentVolumeReclaimPolicy"], "Retain");
        assert_eq!(held["spec"]["claimRef"]["uid"], uid);
        assert_eq!(held["metadata"]["labels"]["leasehold.dev/department"], CODE);
        assert_eq!(documents(stage, "volume-retained").len(), 1);

        // from the morning of the 15th to the late evening of the 17th
        stage.pass(Duration::from_secs(60 * HOUR)).await;
        assert_eq!(policy(stage), "Retain");
        stage.pass(Duration::from_secs(3 * HOUR)).await;
        assert_eq!(policy(stage), "Delete", "it is the 18th");
        assert!(
            documents(stage, "volume-gone").is_empty(),
            "it is still there"
        );
        stage.delete(ADMIN, DISK)?;
        let over = |stage: &Stage<'_>| {
            let gone = documents(stage, "volume-gone");
            gone.len() == 1 && gone[0]["end"] == "Deleted"
        };
        stage.until("the end of the volume", over).await?;
        let forgotten = |stage: &Stage<'_>| status(stage)["retained"].is_null();
        stage.until("a status without it", forgotten).await
    });
}

#[test]
fn a_claim_that_was_cleared_is_put_back_and_a_volume_without_our_label_is_let_alone() {
    tell(async |stage| {
        let uid = kept(stage).await?;
        let free = json!({"spec": {"claimRef": null}});
        stage.patch(ADMIN, DISK, &free)?;
        let back = |stage: &Stage<'_>| disk(stage)["spec"]["claimRef"]["uid"] == uid;
        stage.until("the claim put back", back).await?;
        // the operator was away when it happened
        stage.operator().stop();
        stage.patch(ADMIN, DISK, &free)?;
        stage.until("the claim put back again", back).await?;

        let label = json!({"metadata": {"labels": {"leasehold.dev/managed-by": null}}});
        stage.patch(ADMIN, DISK, &label)?;
        let over = |stage: &Stage<'_>| {
            let gone = documents(stage, "volume-gone");
            gone.len() == 1 && gone[0]["end"] == "HandedOver"
        };
        stage.until("the volume handed over", over).await?;
        stage.patch(ADMIN, DISK, &free)?;
        stage.pass(Duration::from_secs(96 * HOUR)).await;
        assert!(disk(stage)["spec"]["claimRef"].is_null());
        assert_eq!(policy(stage), "Retain", "nobody's day is over any more");
        Ok(())
    });
}

#[test]
fn a_later_day_that_the_platform_writes_on_a_volume_counts() {
    tell(async |stage| {
        kept(stage).await?;
        let later = json!({"metadata": {"annotations": {
            "leasehold.dev/retained-until": "2027-01-19",
        }}});
        stage.patch(ADMIN, DISK, &later)?;
        stage.pass(Duration::from_secs(84 * HOUR)).await;
        assert_eq!(policy(stage), "Retain", "it is the 18th");
        stage.pass(Duration::from_secs(40 * HOUR)).await;
        assert_eq!(policy(stage), "Delete", "it is the 20th");
        Ok(())
    });
}

#[test]
fn a_claim_that_is_cleared_while_others_fight_over_the_labels_is_put_back_at_once() {
    tell(async |stage| {
        let uid = kept(stage).await?;
        let foreign = json!({"metadata": {"labels": {"leasehold.dev/department": "health"}}});
        let is_ours = |stage: &Stage<'_>| {
            disk(stage)["metadata"]["labels"]["leasehold.dev/department"] == CODE
        };
        // five are put right at once, two after 10 and 20 seconds: the next pause is of 40
        for _ in 0..8 {
            stage.until("the labels", is_ours).await?;
            stage.patch(ADMIN, DISK, &foreign)?;
        }
        stage.pass(Duration::from_secs(5)).await;
        assert!(!is_ours(stage), "it is no fight");
        stage.patch(ADMIN, DISK, &json!({"spec": {"claimRef": null}}))?;
        stage.pass(Duration::from_secs(5)).await;
        assert_eq!(disk(stage)["spec"]["claimRef"]["uid"], uid);
        Ok(())
    });
}

/// How often the operator has written the disk.
fn written(stage: &Stage<'_>) -> usize {
    let written = stage.server.written();
    let its = written.iter().filter(|one| one.resource == DISK[0]);
    its.count()
}

#[test]
fn whoever_frees_a_kept_volume_again_and_again_is_met_with_pauses_until_he_stops() {
    tell(async |stage| {
        let uid = kept(stage).await?;
        let is_whole = |stage: &Stage<'_>| disk(stage)["spec"]["claimRef"]["uid"] == uid;
        let before = written(stage);
        for _ in 0..600 {
            if is_whole(stage) {
                stage.patch(ADMIN, DISK, &json!({"spec": {"claimRef": null}}))?;
            }
            stage.pass(Duration::from_secs(1)).await;
        }
        // five at once, then after 10, 20, 40 and eight times 60 seconds; each pause may lose two
        let repairs = written(stage) - before;
        if !(14..=18).contains(&repairs) {
            return Err(format!("{repairs} repairs in ten minutes"));
        }
        stage.until("the claim put back for good", is_whole).await?;
        stage.pass(Duration::from_secs(HOUR)).await;
        assert!(is_whole(stage));
        // and a slip of the hand is put right at once again
        stage.patch(ADMIN, DISK, &json!({"spec": {"claimRef": null}}))?;
        stage.pass(Duration::from_secs(5)).await;
        assert!(is_whole(stage), "{}", disk(stage)["spec"]);
        Ok(())
    });
}
