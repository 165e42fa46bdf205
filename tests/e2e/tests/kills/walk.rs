//! What people do meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use leasehold_e2e::Office;
use leasehold_testkit::User;
use leasehold_testkit::manifests::{self, Contributed, pod};
use serde_json::{Value, json};

use crate::killing::passed;

/// The department.
pub const CODE: &str = "kills";
/// The namespace of its lease.
pub const PLACE: &str = "kills--prod";
/// The tenancy that it gives back, and its namespace.
pub const MAIL: &str = "mail";
pub const MAIL_PLACE: &str = "kills--mail";
/// The server that it hands over: the contribution and what the agency finds it worth.
pub const SERVERS: &str = "servers";
pub const WORTH: &str = "20000.00";
/// How many pods it runs.
pub const PODS: usize = 8;
/// Processors before and after the change of the lease, in cores and as the ledger counts them.
pub const CORES: [(&str, i64); 2] = [("16", 16_000), ("24", 24_000)];
/// The volume: its claim, and how much the disk that it is bound to has, which is more than it asks for.
pub const FILES: &str = "files";
pub const DISK: (&str, i64) = ("600Gi", 600 << 30);

const SERIAL: &str = "SN-KILLS-0001";
/// From one pod to the next.
const TURN: Duration = Duration::from_secs(12);
/// The lease changes before this pod.
const CHANGED_BEFORE: u32 = 3;
/// When the department has had enough of its mail system.
const GIVEN_BACK: Duration = Duration::from_secs(75);

/// All that the department and those who serve it do; gives the names of the pods.
pub async fn walk(office: &Office, began: Instant, lifetimes: &[u32]) -> BTreeSet<String> {
    // before the two leases, which would both make it
    office.system().await.unwrap();
    let (pods, (), ()) = tokio::join!(
        Box::pin(work(office, began, lifetimes)),
        Box::pin(hand_over(office)),
        Box::pin(give_back(office, began)),
    );
    pods
}

/// Leases, runs pods, the first of them on the volume, and leases more in between.
async fn work(office: &Office, began: Instant, lifetimes: &[u32]) -> BTreeSet<String> {
    plug_in(office).await;
    office.lease(&lease(office, CORES[0].0)).await.unwrap();
    let mut pods = BTreeSet::new();
    for (number, lifetime) in (0..).zip(lifetimes) {
        passed(&format!("the turn of pod {number}"), began, TURN * number).await;
        if number == CHANGED_BEFORE {
            change(office).await;
        }
        let name = format!("batch-{number}");
        let mut batch = pod(PLACE, &name, "1", "1Gi", Some(*lifetime));
        if number == 0 {
            let volume = json!({"name": FILES, "persistentVolumeClaim": {"claimName": FILES}});
            batch["spec"]["volumes"] = json!([volume]);
        }
        office.staff.create(&batch).await.unwrap();
        pods.insert(name);
    }
    pods
}

/// A disk of the class `ssd`, which nobody provisions here.
async fn plug_in(office: &Office) {
    let disk = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "kills-disk"},
        "spec": {
            "capacity": {"storage": DISK.0}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "ssd",
            "hostPath": {"path": "/mnt/kills"},
        },
    });
    let admin = office.stage.user(User::Admin).await.unwrap();
    admin.create(&disk).await.unwrap();
}

fn lease(office: &Office, cores: &str) -> Value {
    let lease = [
        ("vcpu-x86", cores),
        ("memory", "32Gi"),
        ("block-ssd", "1Ti"),
    ];
    let mut manifest = office.manifest("oa", &lease, &[("prod", &lease)]).unwrap();
    let volume = json!({"name": FILES, "item": "block-ssd", "size": "512Gi"});
    manifest["spec"]["namespaces"][0]["volumes"] = json!([volume]);
    manifest
}

async fn change(office: &Office) {
    let cores = CORES[1].0;
    office.staff.apply(&lease(office, cores)).await.unwrap();
    office.approve("oa", 2).await.unwrap();
    office
        .when("oa", "the larger lease", |tenancy| {
            let mut approved = tenancy.status.iter().flat_map(|status| &status.approved);
            approved.any(|held| &*held.item == "vcpu-x86" && held.quantity.to_string() == cores)
        })
        .await
        .unwrap();
}

/// A server becomes credit: offered, valued, received, decided.
async fn hand_over(office: &Office) {
    let offer = manifests::contribution(CODE, SERVERS, &[SERIAL]);
    let uid = office.offer(&offer).await.unwrap();
    let of = Contributed {
        code: CODE,
        name: SERVERS,
        uid: &uid,
    };
    office.appraised(of, SERIAL, WORTH).await.unwrap();
    office.received(of, SERIAL).await.unwrap();
    office.credited(SERVERS).await.unwrap();
}

/// Leases for a mail system, and gives it back.
async fn give_back(office: &Office, began: Instant) {
    let lease = [("vcpu-x86", "2"), ("memory", "4Gi")];
    let manifest = office.manifest(MAIL, &lease, &[(MAIL, &lease)]).unwrap();
    office.lease(&manifest).await.unwrap();
    passed("the end of the mail system", began, GIVEN_BACK).await;
    office.give_back(MAIL).await.unwrap();
}
