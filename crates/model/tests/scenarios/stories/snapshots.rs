//! Volumes that stay as snapshots, over days. The snapshot controller and the driver are played; their kinds come while the
//! operator runs.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use leasehold_model::{Call, Crash, Faults, Kinds, Moment, PatchKind, Verb};
use leasehold_testkit::{manifests, snapshots};
use serde_json::{Value, json};

use super::{
    Stage,
    storage::{CLAIM, CODE, HOUR, PLACE, bind, disk, documents, lease, policy, status},
    tell,
};
use crate::{
    expect::{APPROVALS, TENANCIES},
    people::{ADMIN, staff},
    world::GRACE,
};

const WISHES: &str = "volumesnapshots.snapshot.storage.k8s.io";
const CONTENTS: &str = "volumesnapshotcontents.snapshot.storage.k8s.io";
const WISH: [&str; 3] = [WISHES, PLACE, "leasehold-files"];
const STORAGE_CLASS: [&str; 3] = ["storageclasses.storage.k8s.io", "", "ssd"];
/// Whose volumes `bind` makes, and by what it knows them.
const DRIVER: &str = "disks.example";
const HANDLE: &str = "disk";
/// So long a release waits for a snapshot.
const PATIENCE: u64 = 600;

/// The platform, with a storage class of a driver that makes snapshots.
async fn furnish(stage: &Stage<'_>) -> Result<(), String> {
    let release = json!({
        "graceSeconds": GRACE, "retainVolumesDays": 2, "snapshotWaitSeconds": PATIENCE,
    });
    let policy = json!({"spec": {"release": release}});
    stage.furnish(&policy, &[CODE]).await?;
    let driven = json!({"provisioner": DRIVER});
    stage.patch(ADMIN, STORAGE_CLASS, &driven)
}

/// The platform defines the kinds of the snapshot controller.
fn define() -> Kinds {
    let definitions = snapshots::definitions().unwrap().into_iter();
    let definitions: Vec<CustomResourceDefinition> = definitions
        .map(|definition| serde_json::from_value(definition).unwrap())
        .collect();
    Kinds::ours().and(&definitions)
}

fn install(stage: &Stage<'_>) -> Result<(), String> {
    stage.server.with_store(|store, _| store.serve(define()));
    stage.create(ADMIN, &snapshots::class("daily", DRIVER))
}

/// Merges into the status of an object, as the snapshot controller does.
fn report(stage: &Stage<'_>, [resource, place, name]: [&str; 3], patch: &Value) {
    stage.server.with_store(|store, now| {
        let kind = store.kinds().resource(resource).unwrap();
        let call = Call::new(Verb::Patch(PatchKind::Merge), &kind, place, name)
            .of("status")
            .with_body(patch.clone());
        store.handle(&call, now).unwrap();
    });
}

/// A tenancy whose volume is to become a snapshot is leased and has its disk.
async fn standing(stage: &Stage<'_>) -> Result<(), String> {
    furnish(stage).await?;
    install(stage)?;
    let office = manifests::office(CODE);
    stage.create(&staff(CODE), &lease("Snapshot"))?;
    stage.approve(&office, "oa-1-office").await?;
    bind(stage).await?;
    stage
        .until("the lease in force", |stage| {
            status(stage)["phase"] == "Active"
        })
        .await
}

/// Its end is asked for and approved.
async fn ends(stage: &Stage<'_>) -> Result<(), String> {
    let office = manifests::office(CODE);
    let ends = json!({"spec": {"release": {"reason": "系统下线"}}});
    stage.patch(&staff(CODE), [TENANCIES, &office, "oa"], &ends)?;
    stage.approve(&office, "oa-release-office").await
}

/// Both, until the operator wishes for the snapshot.
async fn ending(stage: &Stage<'_>) -> Result<(), String> {
    standing(stage).await?;
    ends(stage).await?;
    stage
        .until("the wish for a snapshot", |stage| {
            stage.find(WISH).is_some()
        })
        .await
}

/// The snapshot controller makes the content, and the driver the snapshot; gives the content's name.
fn make(stage: &Stage<'_>) -> Result<String, String> {
    let wish = stage.find(WISH).unwrap_or_default();
    let uid = wish["metadata"]["uid"].as_str().unwrap_or_default();
    let name = snapshots::content_name(uid);
    stage.create(ADMIN, &snapshots::content(&wish, DRIVER, HANDLE))?;
    report(stage, [CONTENTS, "", &name], &snapshots::made());
    report(stage, WISH, &snapshots::ready(&wish));
    Ok(name)
}

/// The version of the tenancy, which every write of its status raises.
fn version(stage: &Stage<'_>) -> Value {
    let office = manifests::office(CODE);
    let tenancy = stage.find([TENANCIES, &office, "oa"]).unwrap_or_default();
    tenancy["metadata"]["resourceVersion"].clone()
}

async fn released(stage: &Stage<'_>) -> Result<(), String> {
    stage
        .until("the end of the tenancy", |stage| {
            status(stage)["phase"] == "Released"
        })
        .await
}

#[test]
fn a_snapshot_is_kept_in_place_of_its_volume_through_its_last_day_and_then_deleted() {
    tell(async |stage| {
        ending(stage).await?;
        // as long as it is not ready, nothing goes
        stage.pass(Duration::from_secs(60)).await;
        assert!(stage.find(["namespaces", "", PLACE]).is_some());
        assert!(stage.find(CLAIM).is_some());
        let name = make(stage)?;
        let content = [CONTENTS, "", name.as_str()];
        released(stage).await?;

        assert!(stage.find(CLAIM).is_none() && stage.find(WISH).is_none());
        let held = stage.find(content).unwrap_or_default();
        assert_eq!(held["spec"]["deletionPolicy"], "Retain");
        assert_eq!(held["metadata"]["labels"]["leasehold.dev/department"], CODE);
        assert_eq!(held["metadata"]["labels"]["leasehold.dev/tenancy"], "oa");
        assert_eq!(
            held["metadata"]["annotations"]["leasehold.dev/retained-claim"],
            "edu--prod/files"
        );
        assert_eq!(policy(stage), "Delete", "its class has the volume");
        assert!(disk(stage)["metadata"]["labels"].is_null());
        assert_eq!(documents(stage, "snapshot-retained").len(), 1);
        assert!(documents(stage, "volume-retained").is_empty());
        let told = json!([{
            "volume": "disk", "snapshot": name, "claim": "edu--prod/files", "size": "10Gi",
            "until": "2027-01-17",
        }]);
        let shown = |stage: &Stage<'_>| status(stage)["retained"] == told;
        stage
            .until("the kept snapshot in the status", shown)
            .await?;

        // from the morning of the 15th to the late evening of the 17th
        stage.pass(Duration::from_secs(60 * HOUR)).await;
        let held = stage.find(content).unwrap_or_default();
        assert_eq!(held["spec"]["deletionPolicy"], "Retain");
        stage.pass(Duration::from_secs(3 * HOUR)).await;
        let over = |stage: &Stage<'_>| {
            let gone = documents(stage, "snapshot-gone");
            gone.len() == 1 && gone[0]["end"] == "Deleted"
        };
        stage.until("the end of the snapshot", over).await?;
        assert!(stage.find(content).is_none(), "it is the 18th");
        let forgotten = |stage: &Stage<'_>| status(stage)["retained"].is_null();
        stage.until("a status without it", forgotten).await
    });
}

#[test]
fn the_volume_itself_is_kept_when_its_snapshot_does_not_get_ready_in_time() {
    tell(async |stage| {
        ending(stage).await?;
        let failed =
            json!({"status": {"readyToUse": false, "error": {"message": "storage is full"}}});
        report(stage, WISH, &failed);
        let waits = |stage: &Stage<'_>| {
            let conditions = status(stage)["conditions"].to_string();
            conditions.contains("the volume itself is kept; its driver says: storage is full")
        };
        stage.until("what the driver says", waits).await?;
        // with every try it says something else, and that is no news
        let before = version(stage);
        for number in 0..4 {
            let message = format!("storage is full; try {number}");
            let again = json!({"status": {"error": {"message": message}}});
            report(stage, WISH, &again);
            stage.pass(Duration::from_secs(11)).await;
        }
        assert_eq!(version(stage), before, "the status was written again");
        report(stage, WISH, &failed);
        stage.pass(Duration::from_secs(PATIENCE - 120)).await;
        assert!(stage.find(CLAIM).is_some(), "it is still waited for");
        assert_eq!(policy(stage), "Delete");
        // the operator was away when time was up
        stage.operator().stop();
        released(stage).await?;

        assert_eq!(policy(stage), "Retain");
        assert_eq!(
            disk(stage)["metadata"]["annotations"]["leasehold.dev/retained-until"],
            "2027-01-17"
        );
        assert_eq!(documents(stage, "volume-retained").len(), 1);
        assert!(documents(stage, "snapshot-retained").is_empty());
        let history = status(stage)["history"].to_string();
        let why = "volume edu--prod/files is kept itself, without a snapshot: no snapshot was ready after 600 s: storage is full";
        assert!(history.contains(why), "{history}");
        let told = json!([{
            "volume": "disk", "claim": "edu--prod/files", "size": "10Gi", "until": "2027-01-17",
        }]);
        let shown = |stage: &Stage<'_>| status(stage)["retained"] == told;
        stage.until("the kept volume in the status", shown).await
    });
}

#[test]
fn a_snapshot_of_another_volume_lets_nothing_go() {
    tell(async |stage| {
        ending(stage).await?;
        let wish = stage.find(WISH).unwrap_or_default();
        let uid = wish["metadata"]["uid"].as_str().unwrap_or_default();
        let name = snapshots::content_name(uid);
        stage.create(ADMIN, &snapshots::content(&wish, DRIVER, "another"))?;
        report(stage, [CONTENTS, "", &name], &snapshots::made());
        report(stage, WISH, &snapshots::ready(&wish));
        stage.pass(Duration::from_secs(PATIENCE - 120)).await;
        assert!(stage.find(CLAIM).is_some());
        released(stage).await?;
        assert_eq!(policy(stage), "Retain");
        let other = stage.find([CONTENTS, "", &name]).unwrap_or_default();
        assert_eq!(other["spec"]["deletionPolicy"], "Delete");
        Ok(())
    });
}

/// Snapshots that there may be in the namespace, 20 of the department's own and that of its volume, and how one more is refused.
const MOST: usize = 21;
const FULL: &str = "exceeded quota";

/// The department takes so many snapshots itself, and gets no other.
fn takes(stage: &Stage<'_>, number: usize) -> Result<(), String> {
    for number in 0..number {
        let own = snapshots::wish(PLACE, &format!("own-{number}"), "files");
        stage.create(&staff(CODE), &own)?;
    }
    let one_more = snapshots::wish(PLACE, "one-more", "files");
    match stage.create(&staff(CODE), &one_more) {
        Err(why) if why.contains(FULL) => Ok(()),
        other => Err(format!("after {number} snapshots: {other:?}")),
    }
}

#[test]
fn snapshots_of_the_departments_own_go_with_their_namespace_and_are_neither_held_nor_told() {
    tell(async |stage| {
        ending(stage).await?;
        // beside that of the operator
        takes(stage, MOST - 1)?;
        let own = stage.find([WISHES, PLACE, "own-0"]).unwrap_or_default();
        let uid = own["metadata"]["uid"].as_str().unwrap_or_default();
        let of_own = snapshots::content_name(uid);
        stage.create(ADMIN, &snapshots::content(&own, DRIVER, HANDLE))?;
        report(stage, [CONTENTS, "", &of_own], &snapshots::made());
        report(stage, [WISHES, PLACE, "own-0"], &snapshots::ready(&own));
        let kept = make(stage)?;
        released(stage).await?;

        assert!(stage.all(WISHES).is_empty(), "they went");
        let told = json!([{
            "volume": "disk", "snapshot": kept, "claim": "edu--prod/files", "size": "10Gi",
            "until": "2027-01-17",
        }]);
        let shown = |stage: &Stage<'_>| status(stage)["retained"] == told;
        stage.until("the kept snapshot alone", shown).await?;
        assert_eq!(documents(stage, "snapshot-retained").len(), 1);
        // what becomes of the data is their class's word
        stage.pass(Duration::from_secs(96 * HOUR)).await;
        let content = stage.find([CONTENTS, "", &of_own]).unwrap_or_default();
        assert_eq!(content["spec"]["deletionPolicy"], "Delete");
        assert!(content["metadata"]["labels"].is_null(), "{content}");
        Ok(())
    });
}

#[test]
fn a_department_that_has_filled_the_room_of_snapshots_has_its_volume_kept_itself() {
    tell(async |stage| {
        standing(stage).await?;
        takes(stage, MOST)?;
        ends(stage).await?;
        released(stage).await?;
        assert_eq!(policy(stage), "Retain");
        assert_eq!(documents(stage, "volume-retained").len(), 1);
        let history = status(stage)["history"].to_string();
        let why = "volume edu--prod/files is kept itself, without a snapshot: ";
        assert!(history.contains(why) && history.contains(FULL), "{history}");
        assert!(stage.all(WISHES).is_empty());
        Ok(())
    });
}

#[test]
fn snapshots_are_promised_as_soon_as_the_cluster_has_them_and_not_before() {
    tell(async |stage| {
        furnish(stage).await?;
        let office = manifests::office(CODE);
        stage.create(&staff(CODE), &lease("Snapshot"))?;
        let says = |words: &'static str| {
            move |stage: &Stage<'_>| status(stage)["conditions"].to_string().contains(words)
        };
        let nothing = "rule T43: asked reclaim Snapshot for volume files in edu--prod, allowed Delete or Retain, because this cluster has no snapshots";
        stage.until("the refusal", says(nothing)).await?;
        assert_eq!(status(stage)["phase"], "Refused");
        stage.server.with_store(|store, _| store.serve(define()));
        // another driver's class helps nobody
        let foreign = snapshots::class("foreign", "tapes.example");
        stage.create(ADMIN, &foreign)?;
        let lacking = "because storage class ssd has no snapshots";
        stage.until("another refusal", says(lacking)).await?;
        stage.create(ADMIN, &snapshots::class("daily", DRIVER))?;
        stage
            .until("the request", |stage| {
                stage.find([APPROVALS, &office, "oa-1-office"]).is_some()
            })
            .await
    });
}

#[test]
fn whoever_changes_a_kept_snapshot_again_and_again_is_met_with_pauses() {
    tell(async |stage| {
        ending(stage).await?;
        let name = make(stage)?;
        released(stage).await?;
        let content = [CONTENTS, "", name.as_str()];
        let is_held = |stage: &Stage<'_>| {
            let found = stage.find(content).unwrap_or_default();
            found["spec"]["deletionPolicy"] == "Retain"
        };
        let written = |stage: &Stage<'_>| {
            let written = stage.server.written();
            written
                .iter()
                .filter(|one| one.resource == CONTENTS)
                .count()
        };
        let before = written(stage);
        let delete = json!({"spec": {"deletionPolicy": "Delete"}});
        for _ in 0..600 {
            if is_held(stage) {
                stage.patch(ADMIN, content, &delete)?;
            }
            stage.pass(Duration::from_secs(1)).await;
        }
        // five at once, then after 10, 20, 40 and eight times 60 seconds; each pause may lose two
        let repairs = written(stage) - before;
        if !(14..=18).contains(&repairs) {
            return Err(format!("{repairs} repairs in ten minutes"));
        }
        stage.until("the snapshot held for good", is_held).await
    });
}

#[test]
fn a_kept_snapshot_is_not_taken_for_deleted_while_its_kind_is_away() {
    tell(async |stage| {
        ending(stage).await?;
        let name = make(stage)?;
        released(stage).await?;
        stage
            .server
            .with_store(|store, _| store.serve(Kinds::ours()));
        stage.pass(Duration::from_secs(2 * HOUR)).await;
        assert!(documents(stage, "snapshot-gone").is_empty());
        stage.server.with_store(|store, _| store.serve(define()));
        // whoever takes the label off has it
        let mine = json!({"metadata": {"labels": {"leasehold.dev/managed-by": null}}});
        stage.patch(ADMIN, [CONTENTS, "", &name], &mine)?;
        let over = |stage: &Stage<'_>| {
            let gone = documents(stage, "snapshot-gone");
            gone.len() == 1 && gone[0]["end"] == "HandedOver"
        };
        stage.until("the snapshot handed over", over).await?;
        stage.pass(Duration::from_secs(96 * HOUR)).await;
        assert!(stage.find([CONTENTS, "", &name]).is_some());
        Ok(())
    });
}

/// The operator dies right after it has marked the content, before the ledger has it.
async fn dies_marking(stage: &Stage<'_>, content: [&str; 3]) -> Result<(), String> {
    // of each life another write is the last one, until that is the mark
    for write in 0..40 {
        let moment = Moment::AfterCommit;
        let crash = Crash { write, moment };
        let deaths = stage.server.deaths();
        stage.server.set_faults(Faults::default().with_crash(crash));
        stage.server.died(deaths + 1).await;
        let found = stage.find(content).unwrap_or_default();
        if found["spec"]["deletionPolicy"] == "Retain" {
            let known = documents(stage, "snapshot-retained");
            return if known.is_empty() {
                Ok(())
            } else {
                Err("it was recorded before anything broke".to_owned())
            };
        }
    }
    Err("the content was never marked".to_owned())
}

#[test]
fn a_snapshot_that_was_marked_before_its_wish_failed_is_tended_beside_the_volume_that_is_kept() {
    tell(async |stage| {
        ending(stage).await?;
        let name = make(stage)?;
        let content = [CONTENTS, "", name.as_str()];
        dies_marking(stage, content).await?;
        let failed =
            json!({"status": {"readyToUse": false, "error": {"message": "storage is full"}}});
        report(stage, WISH, &failed);
        released(stage).await?;

        assert_eq!(policy(stage), "Retain", "the volume is kept");
        assert_eq!(documents(stage, "volume-retained").len(), 1);
        let known = documents(stage, "snapshot-retained");
        assert_eq!(known.len(), 1);
        assert_eq!(known[0]["content"], name);
        let told = json!([
            {"volume": "disk", "claim": "edu--prod/files", "size": "10Gi", "until": "2027-01-17"},
            {"volume": "disk", "snapshot": name, "claim": "edu--prod/files", "size": "10Gi",
                "until": "2027-01-17"},
        ]);
        let shown = |stage: &Stage<'_>| status(stage)["retained"] == told;
        stage.until("both in the status", shown).await?;

        // from the morning of the 15th to the 18th
        stage.pass(Duration::from_secs(63 * HOUR)).await;
        let over = |stage: &Stage<'_>| {
            let gone = documents(stage, "snapshot-gone");
            gone.len() == 1 && gone[0]["end"] == "Deleted"
        };
        stage.until("the end of the snapshot", over).await?;
        assert!(stage.find(content).is_none(), "nobody else would delete it");
        assert_eq!(policy(stage), "Delete");
        Ok(())
    });
}
