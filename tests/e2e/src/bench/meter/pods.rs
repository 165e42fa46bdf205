//! Pods of a control plane: how fast the operator records what it watches, and what it takes when it comes back and
//! everything is another.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use leasehold_api::tenancy::Phase;
use leasehold_store::Store;
use leasehold_testkit::manifests;
use leasehold_testkit::{Failure, LONG, Session, User};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{MeterFailure, say};
use crate::bench::provision::policy;
use crate::bench::{Memory, spread};
use crate::{Office, Stage};

/// Pods of one department.
const OF_A_DEPARTMENT: u32 = 1000;
/// What a department leases: room for twice its pods, because those of the second round come before the quota has
/// forgotten the first. A core gives room for eight.
const LEASE: [(&str, &str); 2] = [("vcpu-x86", "256"), ("memory", "64Gi")];
/// What a pod needs.
const NEED: (&str, &str) = ("10m", "16Mi");
/// Pods that a node takes.
const OF_A_NODE: u32 = 5000;
/// Pods that are being created at a time.
const WORKERS: usize = 16;
/// Time that each pod may take, beside what anything may take.
const EACH: Duration = Duration::from_millis(100);
/// What is used by every pod that runs.
const METER: &str = "pod/cpu";

/// What came of a start after everything was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// From the start of the process until the ledger knows the end of all that is gone and the beginning of all that is
    /// new.
    pub elapsed: Duration,
    /// Of the process then.
    pub memory: Option<Memory>,
}

/// What was measured of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Versions of the pods that somebody else who watched has seen.
    pub events: u64,
    /// From the first creation until that one has seen all pods run.
    pub seen: Duration,
    /// From the first creation until all are recorded.
    pub recorded: Duration,
    /// Of the operator when all run and are recorded.
    pub memory: Option<Memory>,
    /// What came of a start after everything was replaced.
    pub caught: Caught,
}

impl Watched {
    /// Events in a second, until all are recorded: at least so many the operator keeps up with.
    pub(super) fn rate(&self) -> f64 {
        Duration::from_secs(self.events).div_duration_f64(self.recorded)
    }

    /// How much later the last one was recorded than seen.
    pub(super) fn lag(&self) -> Duration {
        self.recorded.saturating_sub(self.seen)
    }
}

/// Runs so many pods at once, has all of them replaced while the operator is away, and starts it again.
pub(super) async fn measure(pods: u32, progress: &mut impl Write) -> Result<Watched, MeterFailure> {
    let bound = LONG.saturating_add(EACH.saturating_mul(pods));
    say(progress, "starting a control plane and the operator")?;
    let stage = Stage::bare().await?;
    stage.furnish(&policy()?).await?;
    nodes(stage, pods).await?;
    let departments = pods.div_ceil(OF_A_DEPARTMENT);
    say(progress, &format!("leasing for {departments} departments"))?;
    let mut offices = Vec::new();
    for number in 1..=departments {
        offices.push(Box::pin(office(stage, number)).await?);
    }
    say(progress, &format!("running {pods} pods"))?;
    let began = Instant::now();
    let events = run(stage, &offices, pods, "first", bound).await?;
    let seen = began.elapsed();
    let known = recorded(stage, pods, &BTreeSet::new(), bound).await?;
    let recorded = began.elapsed();
    let memory = Memory::of(stage.operator.lock().await.id());
    say(progress, "replacing all of them while the operator is away")?;
    let caught = Box::pin(catch_up(stage, &offices, pods, &known, bound)).await?;
    Ok(Watched {
        events,
        seen,
        recorded,
        memory,
        caught,
    })
}

/// Nodes for twice as many pods.
async fn nodes(stage: &Stage, pods: u32) -> Result<(), Failure> {
    let admin = stage.user(User::Admin).await?;
    for number in 0..=pods.saturating_mul(2).div_ceil(OF_A_NODE) {
        let capacity = json!({"cpu": "2048", "memory": "2Ti", "pods": OF_A_NODE.to_string()});
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": format!("bench-{number:03}"),
                "labels": {"leasehold.node-restriction.kubernetes.io/zone": "gov-extranet"},
            },
            "status": {"capacity": capacity, "allocatable": capacity},
        });
        admin.create(&node).await?;
    }
    Ok(())
}

/// A department whose lease stands, and whose staff may work in its namespace.
async fn office(stage: &'static Stage, number: u32) -> Result<Office, Failure> {
    let office = stage
        .office(&format!("bench-{number:04}"), "水文局")
        .await?;
    let manifest = office.manifest("oa", &LEASE, &[("prod", &LEASE)])?;
    office.system().await?;
    office.staff.apply(&manifest).await?;
    office.phase("oa", Phase::Active).await?;
    let place = place(&office);
    stage
        .see("rights in the namespace", LONG, async || {
            let pods = office.staff.list::<Pod>(Some(&place)).await;
            pods.map(drop).map_err(|failure| format!("{failure:?}"))
        })
        .await?;
    Ok(office)
}

fn place(office: &Office) -> String {
    format!("{}--prod", office.code)
}

/// Creates so many pods, dealt out to the departments in turn, and waits until all run. Gives the number of versions that
/// were seen of them.
async fn run(
    stage: &Stage,
    offices: &[Office],
    pods: u32,
    name: &str,
    bound: Duration,
) -> Result<u64, Failure> {
    let admin = stage.user(User::Admin).await?;
    // the server ends watches and begins them with what is there: a version may come twice
    let mut versions = BTreeSet::new();
    let mut running = BTreeSet::new();
    let watching = admin.follow::<Pod>(|pod| {
        let title = pod.metadata.name.unwrap_or_default();
        if title.starts_with(name) {
            versions.extend(pod.metadata.resource_version);
            let phase = pod.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Running") {
                running.insert((pod.metadata.namespace, title));
            }
        }
        u32::try_from(running.len()).is_ok_and(|count| count >= pods)
    });
    let jobs: Vec<(Session, Value)> = (0..pods)
        .zip(offices.iter().cycle())
        .map(|(number, office)| {
            let title = format!("{name}-{number:05}");
            let (cpu, memory) = NEED;
            let pod = manifests::pod(&place(office), &title, cpu, memory, None);
            (office.staff.clone(), pod)
        })
        .collect();
    let creating = spread(WORKERS, jobs, |(staff, pod): (Session, Value)| async move {
        staff.post::<Pod>(&pod).await
    });
    let both = async { tokio::try_join!(watching, creating) };
    let both = timeout(bound, both).await;
    if let Ok(ended) = both {
        ended?;
        return Ok(u64::try_from(versions.len()).unwrap_or(u64::MAX));
    }
    Err(Failure::Late {
        what: format!("{pods} pods that run"),
        bound,
        last: format!("{} run", running.len()),
    })
}

/// Waits until the ledger knows so many pods that run, and none of those of before. Gives their uids.
async fn recorded(
    stage: &Stage,
    pods: u32,
    before: &BTreeSet<String>,
    bound: Duration,
) -> Result<BTreeSet<String>, Failure> {
    let ledger = stage.operator.lock().await.ledger().to_owned();
    stage
        .see("all pods in the ledger", bound, async || {
            let open = open(&ledger).await?;
            let left = open.intersection(before).count();
            let is_all = u32::try_from(open.len()).is_ok_and(|count| count >= pods);
            if is_all && left == 0 {
                Ok(open)
            } else {
                Err(format!("{} are known, {left} of them are gone", open.len()))
            }
        })
        .await
}

/// The uids of the pods that the ledger believes to run.
async fn open(ledger: &Path) -> Result<BTreeSet<String>, String> {
    let told = |error: leasehold_store::StoreError| error.to_string();
    let store = Store::open_read_only(ledger).await.map_err(told)?;
    let open = store.open_objects(METER).await.map_err(told)?;
    store.close().await.map_err(told)?;
    Ok(open
        .into_iter()
        .map(|recorded| recorded.value.source.uid)
        .collect())
}

/// Replaces every pod while the operator is away, has the API server forget what came between, as it has after 72 hours,
/// and starts the operator again.
async fn catch_up(
    stage: &'static Stage,
    offices: &[Office],
    pods: u32,
    known: &BTreeSet<String>,
    bound: Duration,
) -> Result<Caught, Failure> {
    stage.operator.lock().await.kill();
    let jobs: Vec<(Session, String)> = offices
        .iter()
        .map(|office| (office.staff.clone(), place(office)))
        .collect();
    spread(4, jobs, |(staff, place): (Session, String)| async move {
        let mut arguments = vec!["delete", "pods", "--all", "--grace-period=0", "--force"];
        arguments.extend(["--wait=false", "-n", &place]);
        staff.kubectl(&arguments, "").await?.ok().map(drop)
    })
    .await?;
    run(stage, offices, pods, "again", bound).await?;
    stage.rig.restart_api_server().await?;
    let began = Instant::now();
    stage.operator.lock().await.respawn()?;
    recorded(stage, pods, known, bound).await?;
    let elapsed = began.elapsed();
    let memory = Memory::of(stage.operator.lock().await.id());
    Ok(Caught { elapsed, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_department_leases_has_room_for_twice_its_pods() {
        // 1000 pods of 10m and 16Mi; eight pods to a core
        assert_eq!((NEED, OF_A_DEPARTMENT), (("10m", "16Mi"), 1000));
        let (cores, room, gibibytes) = (2 * 10, 2 * 1000 / 8, 2 * 16_000 / 1024);
        assert!(LEASE[0].1.parse::<i32>().unwrap() >= cores.max(room));
        let memory = LEASE[1].1.strip_suffix("Gi").unwrap();
        assert!(memory.parse::<i32>().unwrap() >= gibibytes);
    }
}
