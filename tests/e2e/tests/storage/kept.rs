//! A volume that outlives its tenancy: held before its namespace goes, bound to no other claim, given back by the platform.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume};
use leasehold_api::names;
use leasehold_api::tenancy::{RetainedVolume, Tenancy};
use leasehold_e2e::Office;
use leasehold_ledger::document::{Document, VolumeEnd, VolumeGoneDoc, VolumeRetainedDoc};
use leasehold_ledger::time::LocalDate;
use leasehold_store::Store;
use leasehold_testkit::manifests::Days;
use leasehold_testkit::{LONG, Session, User};
use serde_json::{Value, json};

use crate::ground::{CLASS, bound, claim, disk, disk_when, lease, open, pending, prod, stands};

/// The disk that is kept. All others of this test are larger: the binder takes the smallest that fits, so that whoever
/// gets another one could not have this.
const KEPT: &str = "kept-disk";

/// Volumes of 10 GiB.
fn volumes(office: &Office, names: &[&str], reclaim: &str) -> Value {
    let volumes = names
        .iter()
        .map(|name| json!({"name": name, "item": "block-ssd", "size": "10Gi", "reclaim": reclaim}));
    lease(office, &volumes.collect())
}

fn claim_of(disk: &PersistentVolume) -> Option<&ObjectReference> {
    disk.spec.as_ref()?.claim_ref.as_ref()
}

fn policy(disk: &PersistentVolume) -> Option<&str> {
    let spec = disk.spec.as_ref()?;
    spec.persistent_volume_reclaim_policy.as_deref()
}

/// Whether the disk is kept for the first life of the tenancy, and its claim is the one with this uid.
fn is_kept(disk: &PersistentVolume, uid: &str) -> bool {
    let labels = disk.metadata.labels.clone().unwrap_or_default();
    let label = |key: &str| labels.get(key).map(String::as_str);
    let phase = disk
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Released")
        && policy(disk) == Some("Retain")
        && label(names::DEPARTMENT_LABEL) == Some("keeper")
        && label(names::TENANCY_LABEL) == Some("oa")
        && label(names::INCARNATION_LABEL) == Some("1")
        && claim_of(disk).and_then(|claim| claim.uid.as_deref()) == Some(uid)
}

/// Documents of a kind about the keeper's tenancy.
async fn recorded<D: Document>(keeper: &Office) -> Vec<D> {
    let ledger = keeper.stage.operator.lock().await.ledger().to_owned();
    let store = Store::open_read_only(&ledger).await.unwrap();
    let found = store.documents::<D>(Some("keeper/oa"), None).await;
    store.close().await.unwrap();
    let found = found.unwrap().into_iter();
    found.map(|found| found.value).collect()
}

/// The last day of what is kept from today on, by the default of the policy.
fn last_day() -> LocalDate {
    Days::now().unwrap().today.add_days(30)
}

/// The tenancy ends; its disk is kept, and both department and ledger know. Gives the uid of the claim that it had.
async fn keep(keeper: &Office, admin: &Session) -> String {
    let files = bound(keeper, "files", KEPT).await;
    let uid = files.metadata.uid.unwrap();
    let earliest = last_day();
    keeper.give_back("oa").await.unwrap();
    let what = "the disk kept";
    let kept = disk_when(keeper, admin, KEPT, what, |disk| is_kept(disk, &uid)).await;
    let until =
        kept.metadata.annotations.unwrap_or_default()[names::RETAINED_UNTIL_ANNOTATION].clone();
    assert!(
        [earliest, last_day()]
            .map(|day| day.to_string())
            .contains(&until),
        "{until}"
    );
    let expected = RetainedVolume {
        volume: KEPT.to_owned(),
        claim: "keeper--prod/files".to_owned(),
        size: "10Gi".to_owned(),
        until: until.clone(),
        snapshot: None,
    };
    let shows = |tenancy: &Tenancy| {
        let status = tenancy.status.as_ref();
        status.is_some_and(|status| status.retained == [expected.clone()])
    };
    let what = "the kept volume in the status";
    let tenancy = keeper.when("oa", what, shows).await.unwrap();
    let told = format!("volume keeper--prod/files ({KEPT}) is kept through {until}");
    let history = tenancy.status.unwrap().history;
    assert!(
        history.iter().any(|entry| entry.what == told),
        "{history:?}"
    );
    let documents = recorded::<VolumeRetainedDoc>(keeper).await;
    let [document] = documents.as_slice() else {
        panic!("{documents:?}");
    };
    assert_eq!(
        (
            document.claim_uid.as_str(),
            document.bytes,
            document.policy.as_str()
        ),
        (uid.as_str(), 10 << 30, "Delete")
    );
    uid
}

/// Another department cannot choose the disk either: not by its name, and not by the labels that it bears.
async fn cannot_choose(taker: &Office) {
    let place = prod(taker);
    let claim_with = |name: &str, spec: &Value| {
        let mut claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": place},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
                "resources": {"requests": {"storage": "10Gi"}},
            },
        });
        let fields = claim["spec"].as_object_mut().unwrap();
        fields.extend(spec.as_object().unwrap().clone());
        claim
    };
    let named = claim_with("named", &json!({"volumeName": KEPT}));
    let ran = taker.staff.try_create(&named).await.unwrap();
    ran.refused("rule N04:").unwrap();
    let labels = json!({"selector": {"matchLabels": {(names::DEPARTMENT_LABEL): "keeper"}}});
    let ran = taker.staff.try_create(&claim_with("chosen", &labels)).await;
    let ran = ran.unwrap();
    if !ran.is_ok() {
        ran.refused("rule N04:").unwrap();
    }
}

/// Makes a larger disk, which the claim gets that the kept one would have fitted.
async fn gets_another(office: &Office, admin: &Session, other: &str) {
    pending(office, "files").await;
    admin.create(&disk(other, "20Gi")).await.unwrap();
    bound(office, "files", other).await;
}

/// Whatever else was asked for is still without a disk, and gone afterwards.
async fn nothing_was_chosen(taker: &Office) {
    if let Ok(chosen) = claim(taker, "chosen").await {
        assert_eq!(stands(&chosen), ("Pending".to_owned(), None));
    }
    let place = prod(taker);
    let gone = [
        "delete",
        "pvc",
        "chosen",
        "-n",
        &place,
        "--ignore-not-found",
    ];
    taker.staff.kubectl(&gone, "").await.unwrap().ok().unwrap();
}

/// The administrator would free the disk for anybody by mistake, and is refused. What is freed all the same, here by the
/// operator's token in other hands while nobody waits for a disk, is put right.
async fn cleared_and_put_back(keeper: &Office, admin: &Session, uid: &str) {
    let free = json!({"spec": {"claimRef": null}});
    let target = format!("pv/{KEPT}");
    let ran = admin.try_patch(&target, &[], &free).await.unwrap();
    ran.refused("rule N15: a kept volume or snapshot stays that of its old claim")
        .unwrap();
    let thief = keeper.stage.rig.service_account().await.unwrap();
    let ran = thief.try_patch(&target, &[], &free).await.unwrap();
    ran.ok().unwrap();
    let what = "the claim put back into the disk";
    disk_when(keeper, admin, KEPT, what, |disk| is_kept(disk, uid)).await;
}

/// The department leases under the same name again: the claim has the old one's name, and nothing else of it.
async fn leases_again(keeper: &Office, admin: &Session) {
    let gone = ["delete", "tcy", "oa", "-n", &keeper.place];
    keeper.staff.kubectl(&gone, "").await.unwrap().ok().unwrap();
    let manifest = volumes(keeper, &["files"], "Delete");
    let again = keeper.lease(&manifest).await.unwrap();
    assert_eq!(again.status.unwrap().incarnation, Some(2));
    gets_another(keeper, admin, "another-disk").await;
}

/// The platform gives the disk back as its guide says: it takes it over, reserves it, and the department names a volume.
async fn given_back(keeper: &Office, admin: &Session) {
    let target = format!("pv/{KEPT}");
    let label = format!("{}-", names::MANAGED_LABEL);
    let taken_over = ["label", &target, &label];
    admin.kubectl(&taken_over, "").await.unwrap().ok().unwrap();
    let known = keeper
        .stage
        .see("the end of the retention", LONG, async || {
            let found = recorded::<VolumeGoneDoc>(keeper).await;
            let ends: Vec<VolumeEnd> = found.iter().map(|document| document.end).collect();
            if ends == [VolumeEnd::HandedOver] {
                Ok(())
            } else {
                Err(format!("{ends:?}"))
            }
        });
    known.await.unwrap();
    let reserved = json!({"spec": {"claimRef": {
        "namespace": prod(keeper), "name": "old", "uid": null, "resourceVersion": null,
    }}});
    let ran = admin.try_patch(&target, &[], &reserved).await.unwrap();
    ran.ok().unwrap();
    let both = volumes(keeper, &["files", "old"], "Delete");
    keeper.staff.apply(&both).await.unwrap();
    bound(keeper, "old", KEPT).await;
    // nobody touches it any more: it is the platform's and the department's
    let disk = admin.get::<PersistentVolume>(None, KEPT).await.unwrap();
    assert_eq!(policy(&disk), Some("Retain"));
}

#[tokio::test]
async fn a_volume_that_is_kept_is_never_bound_to_another_claim_until_the_platform_gives_it_back() {
    let keeper = open("keeper", "档案馆").await;
    let taker = open("taker", "信访局").await;
    let admin = keeper.stage.user(User::Admin).await.unwrap();
    admin.create(&disk(KEPT, "10Gi")).await.unwrap();
    let manifest = volumes(&keeper, &["files"], "Retain");
    keeper.lease(&manifest).await.unwrap();
    let uid = keep(&keeper, &admin).await;

    taker
        .lease(&volumes(&taker, &["files"], "Delete"))
        .await
        .unwrap();
    cannot_choose(&taker).await;
    gets_another(&taker, &admin, "other-disk").await;
    nothing_was_chosen(&taker).await;
    cleared_and_put_back(&keeper, &admin, &uid).await;
    leases_again(&keeper, &admin).await;
    let kept = admin.get::<PersistentVolume>(None, KEPT).await.unwrap();
    assert!(is_kept(&kept, &uid), "{kept:?}");

    given_back(&keeper, &admin).await;
    let auditor = keeper.stage.user(User::Auditor).await.unwrap();
    let folder = keeper.stage.rig.scratch("kept").unwrap();
    let copy = keeper.stage.operator.lock().await.copy_ledger(&folder);
    let copy = copy.unwrap().display().to_string();
    let verified = auditor.leasehold(&["verify", "--db", &copy]).await;
    verified.unwrap().ok().unwrap();
}

/// Without a word to the contrary, a volume goes with its tenancy.
#[tokio::test]
async fn a_volume_that_is_not_to_be_kept_is_left_to_its_class() {
    let office = open("leaver", "方志办").await;
    let admin = office.stage.user(User::Admin).await.unwrap();
    let mut mine = disk("leaver-disk", "10Gi");
    mine["spec"]["claimRef"] = json!({"namespace": prod(&office), "name": "files"});
    admin.create(&mine).await.unwrap();
    let files = json!([{"name": "files", "item": "block-ssd", "size": "10Gi"}]);
    office.lease(&lease(&office, &files)).await.unwrap();
    bound(&office, "files", "leaver-disk").await;
    let ended = office.give_back("oa").await.unwrap();
    assert!(ended.status.unwrap().retained.is_empty());
    let left = disk_when(
        &office,
        &admin,
        "leaver-disk",
        "the disk released",
        |disk| {
            let status = disk.status.as_ref();
            status.is_some_and(|status| status.phase.as_deref() == Some("Released"))
        },
    );
    let left = left.await;
    assert_eq!(policy(&left), Some("Delete"), "its provisioner destroys it");
    let labels = left.metadata.labels.unwrap_or_default();
    assert!(!labels.contains_key(names::MANAGED_LABEL), "{labels:?}");
}
