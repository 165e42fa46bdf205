//! An evaluator of network policies, for tests and for answering "who reaches whom" without a
//! network: clusters without a network plugin store policies and enforce nothing.
//!
//! It knows pods, not addresses: peers given as blocks of addresses match no pod, and neither do
//! ports given by name.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

/// A pod and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of its namespace.
    pub namespace: String,
    /// Labels of its namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// Labels of the pod.
    pub pod_labels: BTreeMap<String, String>,
}

/// A port that is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
    /// Its number.
    pub number: i32,
}

/// Whether one pod may open a connection to another: the policies around the first must let it out
/// and those around the second must let it in.
pub fn reaches(policies: &[NetworkPolicy], from: &Endpoint, to: &Endpoint, port: Port<'_>) -> bool {
    lets_out(policies, from, to, port) && lets_in(policies, from, to, port)
}

fn lets_out(policies: &[NetworkPolicy], from: &Endpoint, to: &Endpoint, port: Port<'_>) -> bool {
    let mut isolated = false;
    for spec in around(policies, from, "Egress") {
        isolated = true;
        let open = spec.egress.iter().flatten().any(|rule| {
            peers_match(rule.to.as_deref(), &from.namespace, to)
                && ports_match(rule.ports.as_deref(), port)
        });
        if open {
            return true;
        }
    }
    !isolated
}

fn lets_in(policies: &[NetworkPolicy], from: &Endpoint, to: &Endpoint, port: Port<'_>) -> bool {
    let mut isolated = false;
    for spec in around(policies, to, "Ingress") {
        isolated = true;
        let open = spec.ingress.iter().flatten().any(|rule| {
            peers_match(rule.from.as_deref(), &to.namespace, from)
                && ports_match(rule.ports.as_deref(), port)
        });
        if open {
            return true;
        }
    }
    !isolated
}

/// The policies of a direction that select a pod.
fn around<'a>(
    policies: &'a [NetworkPolicy],
    pod: &'a Endpoint,
    direction: &'a str,
) -> impl Iterator<Item = &'a NetworkPolicySpec> {
    policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(pod.namespace.as_str()))
        .filter_map(|policy| policy.spec.as_ref())
        .filter(move |spec| governs(spec, direction))
        .filter(|spec| match &spec.pod_selector {
            Some(selector) => selects(selector, &pod.pod_labels),
            None => true,
        })
}

/// Whether a policy is about a direction. Without types it is about incoming traffic, and about
/// outgoing traffic if it has rules for it.
fn governs(spec: &NetworkPolicySpec, direction: &str) -> bool {
    match spec.policy_types.as_deref() {
        Some(types) if !types.is_empty() => types.iter().any(|type_| type_ == direction),
        Some(_) | None => direction == "Ingress" || spec.egress.is_some(),
    }
}

/// Whether a rule names the pod: one without peers names everybody.
fn peers_match(peers: Option<&[NetworkPolicyPeer]>, own: &str, pod: &Endpoint) -> bool {
    match peers {
        Some(peers) if !peers.is_empty() => peers.iter().any(|peer| peer_matches(peer, own, pod)),
        Some(_) | None => true,
    }
}

fn peer_matches(peer: &NetworkPolicyPeer, own: &str, pod: &Endpoint) -> bool {
    if peer.ip_block.is_some() {
        return false;
    }
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => selects(selector, &pod.namespace_labels),
        None => pod.namespace == own,
    };
    let named = match &peer.pod_selector {
        Some(selector) => selects(selector, &pod.pod_labels),
        None => peer.namespace_selector.is_some(),
    };
    in_namespace && named
}

fn ports_match(ports: Option<&[NetworkPolicyPort]>, port: Port<'_>) -> bool {
    match ports {
        Some(ports) if !ports.is_empty() => ports.iter().any(|allowed| port_matches(allowed, port)),
        Some(_) | None => true,
    }
}

fn port_matches(allowed: &NetworkPolicyPort, port: Port<'_>) -> bool {
    let number = match &allowed.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            (*first..=allowed.end_port.unwrap_or(*first)).contains(&port.number)
        }
        Some(IntOrString::String(_)) => false,
    };
    number && allowed.protocol.as_deref().unwrap_or("TCP") == port.protocol
}

/// Whether a selector matches; one without requirements matches everything.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|wanted| holds(wanted, labels))
}

fn holds(wanted: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let listed = |value: &String| wanted.values.iter().flatten().any(|one| one == value);
    let value = labels.get(&wanted.key);
    match wanted.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
