//! What these tests share: departments at work, what the control plane has recorded, and what stands
//! in the ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use leasehold_e2e::{Office, Stage};
use leasehold_ledger::document::Document;
use leasehold_ledger::fact::{Fact, FactKind, Interval};
use leasehold_ledger::time::{Second, Span};
use leasehold_store::{Cursor, FactFilter, Store, StoreError};
use leasehold_testkit::{Failure, LONG, Ran, Session, User, eventually};
use serde_json::json;
use tokio::sync::RwLock;
use tokio::time::timeout;

/// Held for writing by the test that breaks the watch of pods, and for reading by whoever cannot have
/// it broken meanwhile. It is taken before the operator's lock.
pub static WATCHED: RwLock<()> = RwLock::const_new(());

/// How kubectl is told to remove a pod's object at once, as if its node were lost.
pub const AT_ONCE: [&str; 2] = ["--grace-period=0", "--force"];

/// A department with a lease that stands, in one namespace.
pub async fn leased(code: &str, name: &str, lease: &[(&str, &str)]) -> Office {
    let stage = Stage::shared().await.unwrap();
    let office = stage.office(code, name).await.unwrap();
    let manifest = office.manifest("oa", lease, &[("prod", lease)]).unwrap();
    office.lease(&manifest).await.unwrap();
    office
}

/// The second of a time of Kubernetes.
pub fn second(time: &Time) -> Second {
    Second::new(time.0.as_second())
}

/// When the pod was scheduled and, if it has ended, when its last container finished.
pub fn recorded(pod: &Pod) -> (Option<Second>, Option<Second>) {
    let Some(status) = &pod.status else {
        return (None, None);
    };
    let scheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
        .and_then(|condition| condition.last_transition_time.as_ref());
    let finished = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref())
        .filter_map(|terminated| terminated.finished_at.as_ref())
        .max();
    (scheduled.map(second), finished.map(second))
}

/// From when to when a pod that has ended was used, as recorded.
pub fn lived(pod: &Pod) -> Span {
    let (from, to) = recorded(pod);
    Span::new(from.unwrap(), to.unwrap())
}

/// When the object was last written, as the API server has it: through this subresource, or at all.
pub fn written(meta: &ObjectMeta, subresource: Option<&str>) -> Second {
    let entries = meta.managed_fields.iter().flatten();
    let newest = entries
        .filter(|entry| subresource.is_none() || entry.subresource.as_deref() == subresource)
        .filter_map(|entry| entry.time.as_ref())
        .max();
    second(newest.unwrap())
}

/// The API server's clock, as it dates an object that is not stored.
pub async fn server_time(admin: &Session) -> Second {
    let asked = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "clock", "namespace": "default"},
    });
    let dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    let ran = admin.kubectl(&dry, &asked.to_string()).await.unwrap();
    let dated: ConfigMap = ran.ok().unwrap().json().unwrap();
    second(dated.metadata.creation_timestamp.as_ref().unwrap())
}

/// Waits until the API server's clock is past an instant.
pub async fn past(admin: &Session, at: Second) {
    let what = format!("the API server's clock past {at}");
    let seen = eventually(&what, LONG, async || {
        let now = server_time(admin).await;
        if now > at {
            Ok(())
        } else {
            Err(now.to_string())
        }
    });
    seen.await.unwrap();
}

/// The pod, if it is in this phase.
pub async fn phase(staff: &Session, place: &str, name: &str, phase: &str) -> Result<Pod, String> {
    let pod = staff.get::<Pod>(Some(place), name).await?;
    let found = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if found == Some(phase) {
        Ok(pod)
    } else {
        Err(format!("{:?}", pod.status))
    }
}

/// The pod, once it is in this phase; needs no operator.
pub async fn in_phase(staff: &Session, place: &str, name: &str, wanted: &str) -> Pod {
    let what = format!("pod {name} in phase {wanted}");
    let seen = eventually(&what, LONG, async || {
        phase(staff, place, name, wanted).await
    });
    seen.await.unwrap()
}

/// Lets the containers of a running pod end: its lifetime is over. Gives the first version of the pod in
/// which it had ended, for that is what the operator goes by: a played node that is short of time may end
/// a pod once more, a second later.
pub async fn finish(staff: &Session, place: &str, name: &str) -> Pod {
    let running: Pod = staff.get(Some(place), name).await.unwrap();
    let version = running.metadata.resource_version.unwrap();
    let pods: Api<Pod> = Api::namespaced(staff.client(), place);
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let events = pods.watch(&only, &version).await.unwrap();
    let ended = events.try_filter_map(async |event| {
        let WatchEvent::Modified(pod) = event else {
            return Ok(None);
        };
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        Ok((phase == Some("Succeeded")).then_some(pod))
    });
    let over = "kwok.leasehold.dev/lifetime=1";
    let arguments = ["annotate", "pod", name, "-n", place, over];
    let ran = staff.kubectl(&arguments, "").await.unwrap();
    ran.ok().unwrap();
    let first = timeout(LONG, pin!(ended).try_next()).await;
    first.expect("the pod ends in time").unwrap().unwrap()
}

/// Deletes a pod and waits until its object is gone. `how` are further arguments of kubectl.
pub async fn delete(staff: &Session, place: &str, name: &str, how: &[&str]) {
    let mut arguments = vec!["delete", "pod", name, "-n", place];
    arguments.extend_from_slice(how);
    let ran = staff.kubectl(&arguments, "").await.unwrap();
    ran.ok().unwrap();
    let what = format!("pod {name} gone");
    let seen = eventually(&what, LONG, async || {
        match staff.find::<Pod>(Some(place), name).await {
            Ok(None) => Ok(()),
            Ok(Some(found)) => Err(format!("{:?}", found.status)),
            Err(failure) => Err(format!("{failure:?}")),
        }
    });
    seen.await.unwrap();
}

/// What the command line tells of a department's use, from a copy of the ledger.
pub async fn usage(stage: &Stage, code: &str, format: &str) -> Result<Ran, Failure> {
    let folder = stage.rig.scratch(code)?;
    let copy = stage.operator.lock().await.copy_ledger(&folder)?;
    let auditor = stage.user(User::Auditor).await?;
    let db = copy.display().to_string();
    let arguments = ["usage", "--db", &db, "--department", code, "-o", format];
    auditor.leasehold(&arguments).await?.ok()
}

/// The intervals of a department and meter, by time, as the command line shows them.
pub async fn intervals(stage: &Stage, code: &str, meter: &str) -> Result<Vec<Interval>, String> {
    let told = |failure: Failure| format!("{failure:?}");
    let ran = usage(stage, code, "json").await.map_err(told)?;
    let all: Vec<Interval> = ran.json().map_err(told)?;
    Ok(all
        .into_iter()
        .filter(|interval| interval.meter.to_string() == meter)
        .collect())
}

/// The intervals of one object, once the last of them has ended.
pub async fn ended(stage: &Stage, code: &str, meter: &str, object: &str) -> Vec<Interval> {
    let what = format!("the end of {object} in the ledger");
    stage
        .see(&what, LONG, async || {
            let mut found = intervals(stage, code, meter).await?;
            found.retain(|interval| interval.subject.object == object);
            let over = found.last().is_some_and(|last| !last.open);
            if over {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await
        .unwrap()
}

/// All intervals of a department and meter, by object, once there are so many and all have ended.
pub async fn settled(stage: &Stage, code: &str, meter: &str, least: usize) -> Vec<Interval> {
    let what = format!("the end of {least} intervals of {meter} in the ledger");
    stage
        .see(&what, LONG, async || {
            let mut found = intervals(stage, code, meter).await?;
            found.sort_by_cached_key(|interval| interval.subject.object.clone());
            let over = found.iter().all(|interval| !interval.open);
            if over && found.len() >= least {
                Ok(found)
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await
        .unwrap()
}

/// Where the ledger is.
pub async fn ledger(stage: &Stage) -> PathBuf {
    stage.operator.lock().await.ledger().to_owned()
}

/// How far a watch has come, by the ledger.
pub async fn cursor(ledger: &Path, source: &str) -> Result<Cursor, String> {
    let told = |error: StoreError| error.to_string();
    let store = Store::open_read_only(ledger).await.map_err(told)?;
    let found = store.cursor(source).await.map_err(told)?;
    store.close().await.map_err(told)?;
    found.ok_or_else(|| format!("there is no cursor of {source}"))
}

/// Waits until the ledger knows a source completely beyond an instant.
pub async fn known_beyond(ledger: &Path, source: &str, at: Second) {
    let what = format!("{source} known beyond {at}");
    let seen = eventually(&what, LONG, async || {
        let known = cursor(ledger, source).await?.observed_at;
        if known > at {
            Ok(())
        } else {
            Err(known.to_string())
        }
    });
    seen.await.unwrap();
}

/// The ends that the ledger has of a department's objects, by object.
pub async fn ends(
    ledger: &Path,
    code: &str,
    meter: &str,
) -> Result<BTreeMap<String, Fact>, String> {
    let told = |error: StoreError| error.to_string();
    let store = Store::open_read_only(ledger).await.map_err(told)?;
    let filter = FactFilter {
        department: Some(code.to_owned()),
        ..FactFilter::default()
    };
    let found = store.facts(&filter).await.map_err(told)?;
    store.close().await.map_err(told)?;
    Ok(found
        .into_iter()
        .map(|recorded| recorded.value)
        .filter(|fact| fact.kind == FactKind::Closed && fact.meter.to_string() == meter)
        .map(|fact| (fact.subject.object.clone(), fact))
        .collect())
}

/// All documents of a kind, in the order of the ledger.
pub async fn documents<D: Document>(ledger: &Path) -> Result<Vec<D>, String> {
    let told = |error: StoreError| error.to_string();
    let store = Store::open_read_only(ledger).await.map_err(told)?;
    let found = store.documents::<D>(None, None).await.map_err(told)?;
    store.close().await.map_err(told)?;
    Ok(found.into_iter().map(|recorded| recorded.value).collect())
}
