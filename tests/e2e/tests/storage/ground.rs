//! What these tests share: departments with a volume each, and disks.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use leasehold_e2e::{Office, Stage};
use leasehold_testkit::{Failure, LONG, Session, User};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The one storage class.
pub const CLASS: &str = "ssd";
/// Who would make disks.
pub const DRIVER: &str = "disks.example";

static BINDS_AT_ONCE: OnceCell<()> = OnceCell::const_new();

/// A department at work, on a cluster that binds a claim as soon as there is a disk for it.
pub async fn open(code: &str, name: &str) -> Office {
    let stage = Stage::shared().await.unwrap();
    BINDS_AT_ONCE
        .get_or_init(|| async { bind_at_once(stage).await.unwrap() })
        .await;
    stage.office(code, name).await.unwrap()
}

/// The class of the examples waits for pods, and how a class binds never changes: it is made anew.
async fn bind_at_once(stage: &Stage) -> Result<(), Failure> {
    let admin = stage.user(User::Admin).await?;
    let gone = ["delete", "storageclass", CLASS];
    admin.kubectl(&gone, "").await?.ok()?;
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS},
        "provisioner": DRIVER, "volumeBindingMode": "Immediate", "reclaimPolicy": "Delete",
    });
    admin.create(&class).await?;
    Ok(())
}

/// A disk as a provisioner would have made it: its data go with its claim.
pub fn disk(name: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": name, "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER},
        },
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": CLASS,
            "csi": {"driver": DRIVER, "volumeHandle": name},
        },
    })
}

/// The lease of a department: a terabyte, 500 GiB of it shared to `prod`, and in it these named volumes.
pub fn lease(office: &Office, volumes: &Value) -> Value {
    let lease = [("vcpu-x86", "2"), ("memory", "4Gi"), ("block-ssd", "1Ti")];
    let share = [("vcpu-x86", "2"), ("memory", "4Gi"), ("block-ssd", "500Gi")];
    let mut manifest = office.manifest("oa", &lease, &[("prod", &share)]).unwrap();
    manifest["spec"]["namespaces"][0]["volumes"] = volumes.clone();
    manifest
}

/// The namespace of the lease.
pub fn prod(office: &Office) -> String {
    format!("{}--prod", office.code)
}

/// A claim of the department, as it stands.
pub async fn claim(office: &Office, name: &str) -> Result<PersistentVolumeClaim, String> {
    let place = prod(office);
    let found = office
        .staff
        .get::<PersistentVolumeClaim>(Some(&place), name);
    found.await
}

/// Phase of a claim, and the disk that it has.
pub fn stands(claim: &PersistentVolumeClaim) -> (String, Option<String>) {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.clone());
    let disk = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.clone());
    (phase.unwrap_or_default(), disk)
}

/// Waits until a claim has a disk, and gives it.
pub async fn bound(office: &Office, name: &str, disk: &str) -> PersistentVolumeClaim {
    let what = format!("{} bound to {disk}", prod(office));
    let seen = office.stage.see(&what, LONG, async || {
        let claim = claim(office, name).await?;
        let found = stands(&claim);
        if found == ("Bound".to_owned(), Some(disk.to_owned())) {
            Ok(claim)
        } else {
            Err(format!("{found:?}"))
        }
    });
    seen.await.unwrap()
}

/// Waits until a claim is there and has no disk.
pub async fn pending(office: &Office, name: &str) {
    let what = format!("a claim without a disk in {}", prod(office));
    let seen = office.stage.see(&what, LONG, async || {
        let found = stands(&claim(office, name).await?);
        if found == ("Pending".to_owned(), None) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    seen.await.unwrap();
}

/// Waits until a disk is as `holds` says.
pub async fn disk_when(
    office: &Office,
    admin: &Session,
    name: &str,
    what: &str,
    holds: impl Fn(&PersistentVolume) -> bool,
) -> PersistentVolume {
    let seen = office.stage.see(what, LONG, async || {
        let disk = admin.get::<PersistentVolume>(None, name).await?;
        if holds(&disk) {
            Ok(disk)
        } else {
            Err(format!(
                "{:?} {:?} {:?}",
                disk.metadata.labels, disk.spec, disk.status
            ))
        }
    });
    seen.await.unwrap()
}
