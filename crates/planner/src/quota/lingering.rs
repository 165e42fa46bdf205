//! What a namespace still holds that ends: its quota may be gone long before its pods and claims are.
//!
//! Nothing new can be made in such a namespace. What is there can be resized all the same, and a node gives back what a pod
//! no longer asks for when it comes to it. So the greatest counts of what is asked for, allocated and in force.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerStatus, PersistentVolumeClaim, Pod, PodSpec, PodStatus,
        ResourceRequirements,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{Hard, add, parse};
use crate::{
    adoption::{class_of, stored},
    volumes::bytes,
};

/// Whether the pod may still run. One that is to end does so until it is gone.
pub fn runs(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The most that these hold, by the key of a quota. Of a pod everything adds up that it names, also where one container
/// runs after another: too much is given back a moment later, too little would be leased twice.
pub fn lingering(pods: &[Pod], claims: &[PersistentVolumeClaim]) -> Hard {
    let mut held = Hard::new();
    let running = pods.iter().filter(|pod| runs(pod));
    for (pod, spec) in running.filter_map(|pod| Some((pod, pod.spec.as_ref()?))) {
        add(&mut held, of_pod(spec, pod.status.as_ref()));
    }
    for claim in claims {
        let bytes = of_claim(claim);
        let of_class = format!(
            "{}.storageclass.storage.k8s.io/requests.storage",
            class_of(claim)
        );
        add(
            &mut held,
            vec![(of_class, bytes), ("requests.storage".to_owned(), bytes)],
        );
    }
    held
}

fn of_claim(claim: &PersistentVolumeClaim) -> i64 {
    let status = claim.status.as_ref();
    let (given, allocated) = status.map_or((0, 0), |status| {
        let allocated = bytes(status.allocated_resources.as_ref());
        (bytes(status.capacity.as_ref()), allocated)
    });
    stored(claim).max(given).max(allocated)
}

fn of_pod(spec: &PodSpec, status: Option<&PodStatus>) -> Vec<(String, i64)> {
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let mut sum = Hard::new();
    for container in containers {
        let of_it = status.and_then(|status| reported(status, &container.name));
        add(
            &mut sum,
            of_container(container, of_it).into_iter().collect(),
        );
    }
    // what is said of the pod as a whole takes the place of what its containers say
    raise(&mut sum, of_resources(spec.resources.as_ref()));
    if let Some(status) = status {
        raise(&mut sum, of_resources(status.resources.as_ref()));
        let allocated = keyed("requests", status.allocated_resources.as_ref());
        raise(&mut sum, allocated);
    }
    for what in ["requests", "limits"] {
        let overhead = keyed(what, spec.overhead.as_ref());
        add(&mut sum, overhead.into_iter().collect());
    }
    sum.into_iter().collect()
}

fn of_container(container: &Container, status: Option<&ContainerStatus>) -> Hard {
    let mut held = of_resources(container.resources.as_ref());
    if let Some(status) = status {
        raise(&mut held, of_resources(status.resources.as_ref()));
        let allocated = keyed("requests", status.allocated_resources.as_ref());
        raise(&mut held, allocated);
    }
    held
}

/// What the node says of a container. A name is used once in a pod.
fn reported<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let containers = status.container_statuses.iter().flatten();
    containers
        .chain(status.init_container_statuses.iter().flatten())
        .find(|found| found.name == name)
}

fn of_resources(resources: Option<&ResourceRequirements>) -> Hard {
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let mut all = keyed("requests", requests);
    all.extend(keyed("limits", limits));
    all
}

/// Each key as it is, or as here if that is more.
fn raise(held: &mut Hard, to: Hard) {
    for (key, amount) in to {
        let known = held.entry(key).or_insert(0);
        *known = amount.max(*known);
    }
}

fn keyed(what: &str, of: Option<&BTreeMap<String, Quantity>>) -> Hard {
    let keyed = of.into_iter().flatten();
    let keyed = keyed.map(|(resource, amount)| (format!("{what}.{resource}"), amount.clone()));
    parse(&keyed.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(phase: &str, spec: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "deletionTimestamp": "2027-01-15T02:00:00Z"},
            "spec": spec, "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn cores(requests: &str, limits: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": requests}, "limits": {"cpu": limits}}})
    }

    #[test]
    fn pods_hold_what_they_name_until_they_have_ended_and_claims_until_they_are_gone() {
        let two = json!({"containers": [cores("500m", "1"), cores("1500m", "3")]});
        let pods = [
            pod("Running", &two),
            pod("Pending", &json!({"containers": [cores("1", "1")]})),
            pod("Succeeded", &two),
            pod("Failed", &two),
        ];
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "files"},
            "spec": {"storageClassName": "ssd", "resources": {"requests": {"storage": "10Gi"}}},
        }))
        .unwrap();
        let expected = Hard::from([
            ("limits.cpu".to_owned(), 5000),
            ("requests.cpu".to_owned(), 3000),
            ("requests.storage".to_owned(), 10 << 30),
            (
                "ssd.storageclass.storage.k8s.io/requests.storage".to_owned(),
                10 << 30,
            ),
        ]);
        assert_eq!(lingering(&pods, &[claim]), expected);
        assert!(lingering(&pods[2..], &[]).is_empty());
    }

    #[test]
    fn what_a_node_or_a_storage_still_gives_is_held_although_less_is_asked_for() {
        let shrunk = |status: &Value| -> Pod {
            let mut pod = pod("Running", &json!({"containers": [cores("1", "1")]}));
            let mut whole = status.clone();
            whole["phase"] = json!("Running");
            pod.status = serde_json::from_value(whole).unwrap();
            pod
        };
        let of = |name: &str, allocated: &str, actual: &str| {
            json!({"containerStatuses": [{
                "name": name, "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
                "allocatedResources": {"cpu": allocated},
                "resources": {"requests": {"cpu": actual}, "limits": {"cpu": actual}},
            }]})
        };
        for (status, requests, limits) in [
            (of("c", "4", "1"), 4000, 1000),
            (of("c", "1", "4"), 4000, 4000),
            (of("c", "500m", "500m"), 1000, 1000),
            (of("another", "4", "4"), 1000, 1000),
            (json!({"allocatedResources": {"cpu": "4"}}), 4000, 1000),
        ] {
            let held = lingering(&[shrunk(&status)], &[]);
            let found = (held["requests.cpu"], held["limits.cpu"]);
            assert_eq!(found, (requests, limits), "{status}");
        }
        for (status, expected) in [
            (json!({"capacity": {"storage": "20Gi"}}), 20 << 30),
            (json!({"allocatedResources": {"storage": "30Gi"}}), 30 << 30),
            (json!({"capacity": {"storage": "5Gi"}}), 10 << 30),
        ] {
            let claim: PersistentVolumeClaim = serde_json::from_value(json!({
                "metadata": {"name": "files"}, "status": status,
                "spec": {"storageClassName": "ssd", "resources": {"requests": {"storage": "10Gi"}}},
            }))
            .unwrap();
            assert_eq!(
                lingering(&[], &[claim])["requests.storage"],
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn what_runs_before_the_containers_what_the_pod_says_as_a_whole_and_its_overhead_are_not_forgotten()
     {
        let spec = json!({
            "initContainers": [cores("4", "4")], "containers": [cores("1", "2")],
            "overhead": {"cpu": "250m"},
        });
        // 4 + 1 + 0.25 and 4 + 2 + 0.25
        let held = lingering(&[pod("Running", &spec)], &[]);
        assert_eq!((held["requests.cpu"], held["limits.cpu"]), (5250, 6250));
        let whole = json!({
            "containers": [cores("1", "1")],
            "resources": {"requests": {"cpu": "6"}, "limits": {"cpu": "8"}},
        });
        let held = lingering(&[pod("Running", &whole)], &[]);
        assert_eq!((held["requests.cpu"], held["limits.cpu"]), (6000, 8000));
    }
}
