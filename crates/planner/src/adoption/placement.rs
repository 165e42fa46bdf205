//! Pods: whether one runs, or names, what is not its zone's, as rules N05 and N08 would say.

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, PodSpec, Volume};

use crate::objects::Nameable;

/// So many seconds may a pod take to end.
const GRACE: i64 = 3_600;
/// Taints that every pod tolerates: the API server adds the first two, and may add the third.
const ALWAYS: [&str; 3] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
];

/// Where the pod may run, and beside whom.
pub(super) fn elsewhere(pod: &Pod, spec: &PodSpec, nameable: &Nameable) -> Vec<String> {
    let selector = spec.node_selector.as_ref();
    let wanted = nameable.node_selector.iter();
    let mut wrong: Vec<String> = wanted
        .filter(|(key, value)| selector.and_then(|all| all.get(*key)) != Some(*value))
        .map(|(key, value)| format!("does not ask for nodes with {key}={value} (rule N08)"))
        .collect();
    let tolerations = spec.tolerations.iter().flatten();
    wrong.extend(tolerations.filter_map(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        if ALWAYS.contains(&key) || nameable.tolerations.contains(key) {
            return None;
        }
        Some(match key {
            "" => "tolerates every taint (rule N08)".to_owned(),
            key => format!("tolerates {key} (rule N08)"),
        })
    }));
    if terms(spec).any(|term| goes_by_others(pod, term)) {
        wrong.push("goes by the pods of other namespaces (rule N08)".to_owned());
    }
    wrong
}

/// What the pod says of other pods, near or far from which it wants to run.
fn terms(spec: &PodSpec) -> impl Iterator<Item = &PodAffinityTerm> {
    let affinity = spec.affinity.as_ref();
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let required = near
        .and_then(|near| {
            near.required_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .into_iter()
        .chain(far.and_then(|far| {
            far.required_during_scheduling_ignored_during_execution
                .as_ref()
        }))
        .flatten();
    let preferred = near
        .and_then(|near| {
            near.preferred_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .into_iter()
        .chain(far.and_then(|far| {
            far.preferred_during_scheduling_ignored_during_execution
                .as_ref()
        }))
        .flatten();
    required.chain(preferred.map(|weighted| &weighted.pod_affinity_term))
}

fn goes_by_others(pod: &Pod, term: &PodAffinityTerm) -> bool {
    let own = pod.metadata.namespace.as_ref();
    let mut named = term.namespaces.iter().flatten();
    term.namespace_selector.is_some() || named.any(|namespace| Some(namespace) != own)
}

/// Classes that are not for tenants of the zone, volumes that no quota counts, and no end in sight.
pub(super) fn unnameable(spec: &PodSpec, nameable: &Nameable) -> Vec<String> {
    let mut wrong = Vec::new();
    let class = spec.priority_class_name.as_deref().unwrap_or_default();
    let given = class.is_empty() || nameable.priority_classes.contains(class);
    if !given || class.starts_with("system-") {
        wrong.push(format!("has priority class {class} (rule N05)"));
    }
    let class = spec.runtime_class_name.as_deref().unwrap_or_default();
    if !class.is_empty() && !nameable.runtime_classes.contains(class) {
        wrong.push(format!("has runtime class {class} (rule N05)"));
    }
    let volumes = spec.volumes.iter().flatten();
    // a path of the node is told in words of its own
    let others = volumes.filter(|volume| volume.host_path.is_none() && !is_counted(volume));
    wrong.extend(others.map(|volume| {
        format!(
            "mounts {}, of a kind that no quota counts (rule N05)",
            volume.name
        )
    }));
    if let Some(seconds) = spec.termination_grace_period_seconds
        && seconds > GRACE
    {
        wrong.push(format!("may take {seconds} seconds to end (rule N05)"));
    }
    wrong
}

/// Whether a volume is a claim, or made of the namespace's own objects.
fn is_counted(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A zone whose nodes are labelled, and which names one of everything.
    fn zone() -> Nameable {
        let set = |name: &str| [name.to_owned()].into();
        Nameable {
            node_selector: [("zone".to_owned(), "gov".to_owned())].into(),
            tolerations: set("dedicated"),
            priority_classes: ["low", "system-node-critical"].map(str::to_owned).into(),
            runtime_classes: set("boxed"),
            ..Nameable::default()
        }
    }

    /// What is said of a pod on the zone's nodes, with values laid over its spec.
    fn told(spec: &Value) -> Vec<String> {
        let mut whole = json!({"containers": [], "nodeSelector": {"zone": "gov"}});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let pod = json!({"metadata": {"name": "web", "namespace": "edu--prod"}, "spec": whole});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let spec = pod.spec.as_ref().unwrap();
        let mut told = elsewhere(&pod, spec, &zone());
        told.extend(unnameable(spec, &zone()));
        told
    }

    #[test]
    fn what_the_zone_names_and_what_every_pod_has_is_nothing_to_speak_of() {
        let spec = json!({
            "nodeSelector": {"zone": "gov", "disk": "ssd"},
            "tolerations": [
                {"key": "dedicated", "operator": "Exists"},
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
            ],
            "priorityClassName": "low", "runtimeClassName": "boxed",
            "terminationGracePeriodSeconds": 3600,
            "volumes": [
                {"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "b"}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "c"}},
                {"name": "d", "projected": {"sources": []}},
            ],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "host", "namespaces": ["edu--prod"]},
            ]}},
        });
        assert_eq!(told(&spec), Vec::<String>::new());
    }

    #[test]
    fn nodes_taints_classes_and_volumes_that_are_not_the_zones_are_named() {
        for (spec, reason) in [
            (
                json!({"nodeSelector": null}),
                "does not ask for nodes with zone=gov (rule N08)",
            ),
            (
                json!({"nodeSelector": {"zone": "internet"}}),
                "does not ask for nodes with zone=gov (rule N08)",
            ),
            (
                json!({"tolerations": [{"operator": "Exists"}]}),
                "tolerates every taint (rule N08)",
            ),
            (
                json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
                "tolerates gpu (rule N08)",
            ),
            (
                json!({"priorityClassName": "high"}),
                "has priority class high (rule N05)",
            ),
            // whatever the zone says
            (
                json!({"priorityClassName": "system-node-critical"}),
                "has priority class system-node-critical (rule N05)",
            ),
            (
                json!({"runtimeClassName": "thin"}),
                "has runtime class thin (rule N05)",
            ),
            (
                json!({"volumes": [{"name": "a", "csi": {"driver": "d"}}]}),
                "mounts a, of a kind that no quota counts (rule N05)",
            ),
            (
                json!({"volumes": [{"name": "a", "image": {"reference": "r"}}]}),
                "mounts a, of a kind that no quota counts (rule N05)",
            ),
            (
                json!({"terminationGracePeriodSeconds": 3601}),
                "may take 3601 seconds to end (rule N05)",
            ),
        ] {
            assert_eq!(told(&spec), [reason]);
        }
    }

    #[test]
    fn each_of_the_four_lists_of_terms_is_looked_at_for_other_namespaces() {
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for side in ["podAffinity", "podAntiAffinity"] {
            for term in [
                json!({"topologyKey": "host", "namespaceSelector": {}}),
                json!({"topologyKey": "host", "namespaces": ["edu--prod", "health--prod"]}),
            ] {
                let weighted = json!({"weight": 1, "podAffinityTerm": term});
                for (list, term) in [(required, &term), (preferred, &weighted)] {
                    let spec = json!({"affinity": {(side): {(list): [term]}}});
                    let reason = "goes by the pods of other namespaces (rule N08)";
                    assert_eq!(told(&spec), [reason], "{side} {list}");
                }
            }
        }
    }
}
