//! What workloads of a tenancy may name of the cluster, told to the admission policies by annotations of the namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use leasehold_api::{
    names::{
        DOMAINS_ANNOTATION, INGRESS_CLASSES_ANNOTATION, NODE_SELECTOR_ANNOTATION,
        PRIORITY_CLASSES_ANNOTATION, RUNTIME_CLASSES_ANNOTATION, TOLERATIONS_ANNOTATION,
    },
    platform::NetworkZoneSpec,
};

use super::{joined, labels};

/// What workloads of a tenancy may name: by its zone nodes and classes, by its department domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nameable {
    /// Labels of the nodes that carry the zone; pods must have them as their selector.
    pub node_selector: BTreeMap<String, String>,
    /// Keys of taints that pods may tolerate.
    pub tolerations: BTreeSet<String>,
    /// Priority classes of pods.
    pub priority_classes: BTreeSet<String>,
    /// Runtime classes of pods.
    pub runtime_classes: BTreeSet<String>,
    /// Classes of ingresses.
    pub ingress_classes: BTreeSet<String>,
    /// Domains of the hosts of ingresses.
    pub domains: BTreeSet<String>,
}

impl Nameable {
    /// What the zone lets its tenancies name, with the domains that the department has.
    pub fn of(zone: &NetworkZoneSpec, domains: BTreeSet<String>) -> Self {
        Self {
            node_selector: zone.node_selector.clone(),
            tolerations: texts(&zone.tolerations),
            priority_classes: texts(&zone.priority_classes),
            runtime_classes: texts(&zone.runtime_classes),
            ingress_classes: texts(&zone.ingress_classes),
            domains,
        }
    }

    /// The annotations that say so. All are always there: one that is empty takes back what stood in it before.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let selector: BTreeSet<String> = self
            .node_selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        labels([
            (NODE_SELECTOR_ANNOTATION, joined(&selector)),
            (TOLERATIONS_ANNOTATION, joined(&self.tolerations)),
            (PRIORITY_CLASSES_ANNOTATION, joined(&self.priority_classes)),
            (RUNTIME_CLASSES_ANNOTATION, joined(&self.runtime_classes)),
            (INGRESS_CLASSES_ANNOTATION, joined(&self.ingress_classes)),
            (DOMAINS_ANNOTATION, joined(&self.domains)),
        ])
    }
}

fn texts<T: Display>(names: &[T]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}
