//! What a namespace still holds that ends: its quota may be gone long before its pods and claims are.
//!
//! Nothing new can be made in such a namespace, so what is left in it is the most that it holds.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, PersistentVolumeClaim, Pod, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{Hard, add, parse};
use crate::adoption::{class_of, stored};

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
    let specs = pods
        .iter()
        .filter(|pod| runs(pod))
        .filter_map(|pod| pod.spec.as_ref());
    for spec in specs {
        add(&mut held, of_pod(spec));
    }
    for claim in claims {
        let bytes = stored(claim);
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

fn of_pod(spec: &PodSpec) -> Vec<(String, i64)> {
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let mut sum = Hard::new();
    for container in containers {
        add(&mut sum, of_container(container));
    }
    // what is said of the pod as a whole takes the place of what its containers say
    if let Some(whole) = &spec.resources {
        let whole = keyed("requests", whole.requests.as_ref())
            .into_iter()
            .chain(keyed("limits", whole.limits.as_ref()));
        for (key, amount) in whole {
            let known = sum.entry(key).or_insert(0);
            *known = amount.max(*known);
        }
    }
    for what in ["requests", "limits"] {
        let overhead = keyed(what, spec.overhead.as_ref());
        add(&mut sum, overhead.into_iter().collect());
    }
    sum.into_iter().collect()
}

fn of_container(container: &Container) -> Vec<(String, i64)> {
    let Some(resources) = &container.resources else {
        return Vec::new();
    };
    let requests = keyed("requests", resources.requests.as_ref());
    let limits = keyed("limits", resources.limits.as_ref());
    requests.into_iter().chain(limits).collect()
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
