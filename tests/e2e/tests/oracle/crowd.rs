//! People who run pods of every fate, and hold volumes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use leasehold_api::tenancy::{Phase, Tenancy};
use leasehold_e2e::{Office, Stage};
use leasehold_ledger::time::Second;
use leasehold_model::Chance;
use leasehold_store::Store;
use leasehold_testkit::manifests::pod;
use leasehold_testkit::{Failure, LONG, Ran, Session, User, eventually};
use serde_json::{Value, json};

use crate::scale::Scale;

/// Departments; each leases the same.
const CODES: [&str; 3] = ["seen-a", "seen-b", "seen-c"];
const LEASE: [(&str, &str); 3] = [
    ("vcpu-x86", "16"),
    ("memory", "32Gi"),
    ("block-ssd", "100Gi"),
];
/// What one of them leases in the end.
const MORE: [(&str, &str); 3] = [
    ("vcpu-x86", "18"),
    ("memory", "32Gi"),
    ("block-ssd", "100Gi"),
];
/// While the API server is away, while its store is read out, and while a lease is used up, people try again for so long.
const PATIENCE: Duration = Duration::from_secs(600);
/// How kwok is told what becomes of a pod.
const LIFETIME: &str = "kwok.leasehold.dev/lifetime";
const ABRUPT: &str = "kwok.leasehold.dev/abrupt";
const RESIZE_DELAY: &str = "kwok.leasehold.dev/resize-delay";

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It ends by itself within five seconds.
    Short,
    /// It ends by itself later.
    Ends,
    /// It is deleted, and its node says how its containers ended.
    Deleted,
    /// Its object is taken away at once, as when its node is lost.
    Pulled,
    /// It is deleted, and its node says nothing.
    Vanished,
    /// It is resized, up and down again, and deleted.
    Resized,
    /// It has containers that run before the others and beside them, and ends by itself.
    Prepared,
    /// It finds no node.
    Stuck,
}

/// Every fate in its share of all pods.
const FATES: [Fate; 16] = [
    Fate::Short,
    Fate::Resized,
    Fate::Short,
    Fate::Pulled,
    Fate::Short,
    Fate::Ends,
    Fate::Deleted,
    Fate::Short,
    Fate::Resized,
    Fate::Short,
    Fate::Vanished,
    Fate::Prepared,
    Fate::Short,
    Fate::Deleted,
    Fate::Resized,
    Fate::Stuck,
];

/// Departments with leases that stand, and a volume each.
pub struct Crowd {
    offices: Vec<Office>,
    made: AtomicU32,
}

impl Crowd {
    /// Opens the departments.
    pub async fn open(stage: &'static Stage) -> Self {
        let opening = CODES.map(|code| Box::pin(settle(stage, code)));
        Self {
            offices: join_all(opening).await,
            made: AtomicU32::new(0),
        }
    }

    /// Everybody runs one pod after the other until there were enough, and nothing goes wrong any more.
    pub async fn work(&self, scale: &Scale, is_quiet: &AtomicBool) {
        let people = self.offices.iter().flat_map(move |office| {
            (0..scale.people()).map(move |_| {
                Box::pin(async move {
                    loop {
                        let number = self.made.fetch_add(1, Ordering::Relaxed);
                        if number >= scale.pods && is_quiet.load(Ordering::Relaxed) {
                            break;
                        }
                        live(office, number, scale.seed).await;
                    }
                })
            })
        });
        join_all(people).await;
    }

    /// Nothing goes wrong any more: what a restore has brought back is taken away, volumes are given back, and one department
    /// leases more.
    pub async fn end(&self) {
        for office in &self.offices {
            let place = place(office);
            let running = "--field-selector=status.phase!=Succeeded";
            let removal = ["delete", "pods", running, "-n", &place];
            let gone = office.stage.see("nothing that runs", LONG, async || {
                Ran::succeeded(office.staff.kubectl(&removal, "").await)
            });
            gone.await.unwrap();
            let removal = ["delete", "pvc", "data", "-n", &place, "--ignore-not-found"];
            let gone = office.stage.see("volumes given back", LONG, async || {
                Ran::succeeded(office.staff.kubectl(&removal, "").await)
            });
            gone.await.unwrap();
        }
        let office = &self.offices[0];
        let manifest = office.manifest("oa", &MORE, &[("prod", &MORE)]).unwrap();
        // an API server that was started a moment ago does not serve every kind yet
        let asked = office.stage.see("more cores asked for", LONG, async || {
            let applied = office.staff.apply(&manifest).await;
            applied.map_err(|why| format!("{why:?}"))
        });
        asked.await.unwrap();
        office.approve("oa", 2).await.unwrap();
        let has_more = |tenancy: &Tenancy| {
            let Some(status) = &tenancy.status else {
                return false;
            };
            let mut held = status.approved.iter();
            let cores = held.find(|held| &*held.item == "vcpu-x86");
            let is_more = cores.is_some_and(|cores| cores.quantity.to_string() == "18");
            status.phase == Phase::Active && is_more
        };
        let grown = office.when("oa", "more cores in force", has_more).await;
        drop(grown.unwrap());
        self.one_more_pod(office).await;
    }

    /// A pod after all the others, which dates what came before it.
    async fn one_more_pod(&self, office: &Office) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let desk = Desk::at(office, number);
        desk.make(&desk.pod("500m", 1)).await;
        assert!(desk.until("Succeeded").await, "{} is gone", desk.name);
    }
}

fn place(office: &Office) -> String {
    format!("{}--prod", office.code)
}

/// A department with its lease in force and a bound volume.
async fn settle(stage: &'static Stage, code: &str) -> Office {
    let office = stage.office(code, "水文局").await.unwrap();
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)]);
    office.lease(&manifest.unwrap()).await.unwrap();
    let place = place(&office);
    let seen = stage.see("rights in the namespace", LONG, async || {
        let pods = office.staff.list::<Pod>(Some(&place)).await;
        pods.map(drop).map_err(|failure| format!("{failure:?}"))
    });
    seen.await.unwrap();
    hold_volume(&office, &place).await;
    office
}

/// Asks for a volume, and has the administrator make one that is larger.
async fn hold_volume(office: &Office, place: &str) {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": place},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "ssd",
            "resources": {"requests": {"storage": "8Gi"}},
        },
    });
    office.staff.create(&claim).await.unwrap();
    let claim = office
        .staff
        .get::<PersistentVolumeClaim>(Some(place), "data");
    let uid = claim.await.unwrap().metadata.uid.unwrap();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": place},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "ssd", "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": format!("/mnt/{place}")},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": place, "name": "data", "uid": uid,
            },
        },
    });
    let admin = office.stage.user(User::Admin).await.unwrap();
    admin.create(&volume).await.unwrap();
    let seen = office.stage.see("the claim bound", LONG, async || {
        let claim = office
            .staff
            .get::<PersistentVolumeClaim>(Some(place), "data");
        let status = claim.await?.status.unwrap_or_default();
        if status.phase.as_deref() == Some("Bound") {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    seen.await.unwrap();
}

/// One pod from its creation to its end; its fate follows from its number.
async fn live(office: &Office, number: u32, seed: u64) {
    let mut chance = Chance::new(seed.wrapping_add(number.into()));
    let desk = Desk::at(office, number);
    let fate = FATES[usize::try_from(number).unwrap() % FATES.len()];
    match fate {
        Fate::Short => desk.ends_after(1 + chance.below(3)).await,
        Fate::Ends => desk.ends_after(6 + chance.below(8)).await,
        Fate::Deleted => {
            desk.runs_for(chance.below(6)).await;
            desk.delete(&DeleteParams::default()).await;
        }
        Fate::Pulled => {
            desk.runs_for(chance.below(6)).await;
            desk.delete(&DeleteParams::default().grace_period(0)).await;
        }
        Fate::Vanished => {
            let mut manifest = desk.pod("500m", 0);
            manifest["metadata"]["annotations"][ABRUPT] = json!("true");
            desk.make(&manifest).await;
            desk.until("Running").await;
            passed(Duration::from_secs(chance.below(6))).await;
            desk.delete(&DeleteParams::default()).await;
        }
        Fate::Resized => desk.is_resized(&mut chance).await,
        Fate::Prepared => {
            let mut manifest = desk.pod("500m", 2 + chance.below(4));
            manifest["spec"]["initContainers"] =
                json!([init("sidecar", "250m", true), init("set-up", "1", false),]);
            desk.make(&manifest).await;
            desk.until("Succeeded").await;
        }
        Fate::Stuck => {
            let mut manifest = desk.pod("500m", 0);
            manifest["spec"]["nodeSelector"] = json!({"there-is": "no-such-node"});
            desk.make(&manifest).await;
            passed(Duration::from_secs(1)).await;
            desk.delete(&DeleteParams::default().grace_period(0)).await;
        }
    }
    // what has ended by itself is tidied away by some and left by others
    if matches!(fate, Fate::Short | Fate::Prepared) && chance.happens(500) {
        desk.delete(&DeleteParams::default()).await;
    }
}

/// An init container that Pod Security lets in.
fn init(name: &str, cpu: &str, is_sidecar: bool) -> Value {
    let size = json!({"cpu": cpu, "memory": "128Mi"});
    let mut container = json!({
        "name": name, "image": "registry.example/init:1",
        "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": size, "limits": size},
    });
    if is_sidecar {
        container["restartPolicy"] = json!("Always");
    }
    container
}

/// Where somebody looks after one pod, whatever becomes of the API server meanwhile.
struct Desk {
    pods: Api<Pod>,
    place: String,
    name: String,
}

impl Desk {
    fn at(office: &Office, number: u32) -> Self {
        let place = place(office);
        Self {
            pods: Api::namespaced(office.staff.client(), &place),
            place,
            name: format!("p{number}"),
        }
    }

    /// A pod that ends after so many seconds; with none it does not end by itself.
    fn pod(&self, cpu: &str, seconds: u64) -> Value {
        let mut manifest = pod(&self.place, &self.name, cpu, "256Mi", None);
        if seconds > 0 {
            manifest["metadata"]["annotations"][LIFETIME] = json!(seconds.to_string());
        }
        manifest
    }

    async fn ends_after(&self, seconds: u64) {
        self.make(&self.pod("500m", seconds)).await;
        self.until("Succeeded").await;
    }

    async fn runs_for(&self, seconds: u64) {
        self.make(&self.pod("1", 0)).await;
        self.until("Running").await;
        passed(Duration::from_secs(seconds)).await;
    }

    /// It grows, and shrinks again some seconds later.
    async fn is_resized(&self, chance: &mut Chance) {
        let mut manifest = self.pod("500m", 0);
        let delay = chance.below(3).to_string();
        manifest["metadata"]["annotations"][RESIZE_DELAY] = json!(delay);
        self.make(&manifest).await;
        self.until("Running").await;
        for cpu in ["1500m", "750m"] {
            passed(Duration::from_secs(2 + chance.below(3))).await;
            self.resize(cpu).await;
        }
        passed(Duration::from_secs(4)).await;
        self.delete(&DeleteParams::default()).await;
    }

    /// Creates it as soon as there is room. An answer that was lost is no reason to make another.
    async fn make(&self, manifest: &Value) {
        let wanted: Pod = serde_json::from_value(manifest.clone()).unwrap();
        let what = format!("pod {} in {} made", self.name, self.place);
        let seen = eventually(&what, PATIENCE, async || {
            let made = self.pods.create(&PostParams::default(), &wanted).await;
            match made {
                Ok(_) => Ok(()),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
        seen.await.unwrap();
    }

    /// Waits for a phase; tells whether it came to that, or the store has forgotten the pod.
    async fn until(&self, phase: &str) -> bool {
        let what = format!("pod {} in {} in phase {phase}", self.name, self.place);
        let seen = eventually(&what, PATIENCE, async || {
            let found = self.pods.get_opt(&self.name).await;
            let Some(found) = found.map_err(|error| error.to_string())? else {
                return Ok(false);
            };
            let status = found.status.unwrap_or_default();
            if status.phase.as_deref() == Some(phase) {
                Ok(true)
            } else {
                Err(format!("{status:?}"))
            }
        });
        seen.await.unwrap()
    }

    async fn resize(&self, cpu: &str) {
        let size = json!({"cpu": cpu});
        let patch = json!({"spec": {"containers": [
            {"name": "main", "resources": {"requests": size, "limits": size}},
        ]}});
        let what = format!("pod {} in {} resized", self.name, self.place);
        let seen = eventually(&what, PATIENCE, async || {
            let patch = Patch::Strategic(&patch);
            let resized = self
                .pods
                .patch_resize(&self.name, &PatchParams::default(), &patch)
                .await;
            match resized {
                Ok(_) => Ok(()),
                // forgotten by the store
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
        seen.await.unwrap();
    }

    /// Deletes it and waits until its object is gone.
    async fn delete(&self, how: &DeleteParams) {
        let what = format!("pod {} in {} gone", self.name, self.place);
        let mut is_asked = false;
        let seen = eventually(&what, PATIENCE, async || {
            if !is_asked {
                match self.pods.delete(&self.name, how).await {
                    Ok(_) => is_asked = true,
                    Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            match self.pods.get_opt(&self.name).await {
                Ok(None) => Ok(()),
                Ok(Some(found)) => {
                    // a store that was put back may have forgotten that it was asked
                    is_asked = found.metadata.deletion_timestamp.is_some();
                    Err(format!("{:?}", found.status))
                }
                Err(error) => Err(error.to_string()),
            }
        });
        seen.await.unwrap();
    }
}

/// Waits until so much time has passed.
pub async fn passed(length: Duration) {
    let began = Instant::now();
    let seen = eventually("time", length + LONG, async || {
        let elapsed = began.elapsed();
        if elapsed >= length {
            Ok(())
        } else {
            Err(format!("{elapsed:?} of {length:?} have passed"))
        }
    });
    seen.await.unwrap();
}

/// The API server's clock, as it dates an object that is not stored.
pub async fn server_time(admin: &Session) -> Result<Second, String> {
    let asked = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "clock", "namespace": "default"},
    });
    let dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    let told = |failure: Failure| format!("{failure:?}");
    let ran = admin.kubectl(&dry, &asked.to_string()).await;
    let ran = ran.and_then(Ran::ok).map_err(told)?;
    let dated: ConfigMap = ran.json().map_err(told)?;
    let at = dated.metadata.creation_timestamp.ok_or("it has no time")?;
    Ok(Second::from_timestamp(at.0))
}

/// Waits until the ledger knows everything up to now.
pub async fn all_is_recorded(stage: &Stage) {
    let admin = stage.user(User::Admin).await.unwrap();
    let now = server_time(&admin).await.unwrap();
    let ledger = stage.operator.lock().await.ledger().to_owned();
    for source in ["pods", "claims"] {
        let what = format!("{source} known beyond {now}");
        let seen = stage.see(&what, LONG, async || {
            let known = known(&ledger, source).await?;
            if known > now {
                Ok(())
            } else {
                Err(known.to_string())
            }
        });
        seen.await.unwrap();
    }
}

/// Up to when the ledger knows a source.
async fn known(ledger: &Path, source: &str) -> Result<Second, String> {
    let store = Store::open_read_only(ledger).await;
    let store = store.map_err(|error| error.to_string())?;
    let cursor = store.cursor(source).await;
    let cursor = cursor.map_err(|error| error.to_string())?;
    store.close().await.map_err(|error| error.to_string())?;
    let cursor = cursor.ok_or_else(|| format!("there is no cursor of {source}"))?;
    Ok(cursor.observed_at)
}
