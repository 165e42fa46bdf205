//! The kinds of the snapshot controller, which are not part of Kubernetes, that controller as a process, and as tests play it
//! where there is none.

mod controller;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Failure, LONG, Rig, Session, eventually};

pub use controller::Controller;

/// Group and version of the kinds.
const KIND: &str = "snapshot.storage.k8s.io/v1";
/// What a quota says of how many snapshots there may be.
pub const COUNT: &str = "count/volumesnapshots.snapshot.storage.k8s.io";
/// Names of the definitions.
const DEFINED: [&str; 3] = [
    "crd/volumesnapshots.snapshot.storage.k8s.io",
    "crd/volumesnapshotcontents.snapshot.storage.k8s.io",
    "crd/volumesnapshotclasses.snapshot.storage.k8s.io",
];

/// The definitions of the three kinds, with the fields that tests need.
pub fn definitions() -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple(include_str!("snapshots/kinds.yaml")).map_err(|error| {
        Failure::Manifest {
            path: PathBuf::from("crates/testkit/src/snapshots/kinds.yaml"),
            message: error.to_string(),
        }
    })
}

/// Defines the kinds, and waits until they are served and counted.
pub async fn install(rig: &Rig, admin: &Session) -> Result<(), Failure> {
    for definition in definitions()? {
        admin.apply(&definition).await?;
    }
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    wait.extend(DEFINED);
    admin.kubectl(&wait, "").await?.ok()?;
    eventually("the kinds of snapshots served", LONG, async || {
        for (_, name) in DEFINED.iter().filter_map(|name| name.split_once('/')) {
            let ran = admin.kubectl(&["get", name, "--all-namespaces"], "").await;
            let ran = ran.map_err(|failure| format!("{failure:?}"))?;
            if !ran.is_ok() {
                return Err(format!("{ran:?}"));
            }
        }
        Ok(())
    })
    .await?;
    rig.restart_controllers()?;
    counted(admin).await
}

/// Waits until every quota that bounds snapshots knows how many there are; until then it refuses each. One of our own is among
/// them, so that this is not said of none.
async fn counted(admin: &Session) -> Result<(), Failure> {
    let probe = "snapshots-counted";
    let place = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": probe}});
    admin.apply(&place).await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": probe, "namespace": probe}, "spec": {"hard": {(COUNT): "0"}},
    });
    admin.apply(&quota).await?;
    eventually("snapshots counted by every quota", LONG, async || {
        let all = ["get", "resourcequotas", "--all-namespaces", "-o", "json"];
        let ran = admin.kubectl(&all, "").await;
        let ran = ran.map_err(|failure| format!("{failure:?}"))?;
        let quotas: Value =
            serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}"))?;
        let quotas = quotas.get("items").and_then(Value::as_array);
        let counts = |quota: &Value, part: &str| {
            let amounts = quota.pointer(part).and_then(Value::as_object);
            amounts.is_some_and(|amounts| amounts.contains_key(COUNT))
        };
        let uncounted: Vec<Option<&Value>> = quotas
            .into_iter()
            .flatten()
            .filter(|quota| counts(quota, "/spec/hard") && !counts(quota, "/status/used"))
            .map(|quota| quota.pointer("/metadata/namespace"))
            .collect();
        if uncounted.is_empty() {
            Ok(())
        } else {
            Err(format!("not in {uncounted:?}"))
        }
    })
    .await?;
    let gone = ["delete", "namespace", probe, "--wait=false"];
    admin.kubectl(&gone, "").await?.ok()?;
    Ok(())
}

/// A class of a driver's snapshots, which is the default one of that driver.
pub fn class(name: &str, driver: &str) -> Value {
    let default = json!({"snapshot.storage.kubernetes.io/is-default-class": "true"});
    json!({
        "apiVersion": KIND, "kind": "VolumeSnapshotClass",
        "metadata": {"name": name, "annotations": default},
        "driver": driver, "deletionPolicy": "Delete",
    })
}

/// A wish for a snapshot of a claim.
pub fn wish(place: &str, name: &str, claim: &str) -> Value {
    json!({
        "apiVersion": KIND, "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": place},
        "spec": {"source": {"persistentVolumeClaimName": claim}},
    })
}

/// Name of the content that the snapshot controller makes for a wish of this uid.
pub fn content_name(uid: &str) -> String {
    format!("snapcontent-{uid}")
}

/// The content that the snapshot controller makes for a wish, of a volume that its driver knows by this handle. Its data
/// would go with the wish.
pub fn content(wish: &Value, driver: &str, handle: &str) -> Value {
    let meta = &wish["metadata"];
    json!({
        "apiVersion": KIND, "kind": "VolumeSnapshotContent",
        "metadata": {"name": content_name(meta["uid"].as_str().unwrap_or_default())},
        "spec": {
            "deletionPolicy": "Delete", "driver": driver, "source": {"volumeHandle": handle},
            "volumeSnapshotRef": {
                "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
            },
        },
    })
}

/// What the driver says of a content once it has made the snapshot.
pub fn made() -> Value {
    json!({"status": {"readyToUse": true, "snapshotHandle": "snap-1"}})
}

/// What the snapshot controller says of a wish once its content is there and made.
pub fn ready(wish: &Value) -> Value {
    let uid = wish.pointer("/metadata/uid").and_then(Value::as_str);
    let content = content_name(uid.unwrap_or_default());
    json!({"status": {"boundVolumeSnapshotContentName": content, "readyToUse": true}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_those_that_are_waited_for() {
        let definitions = definitions().unwrap();
        let names: Vec<String> = definitions
            .iter()
            .map(|definition| format!("crd/{}", definition["metadata"]["name"].as_str().unwrap()))
            .collect();
        assert_eq!(names, DEFINED);
    }
}
