//! Who may talk to whom: nothing by default, and then name service, the same system, and the
//! zone's one way out and one way in.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use leasehold_api::{
    names::{
        DEPARTMENT_LABEL, MANAGED_LABEL, MANAGED_VALUE, ROLE_LABEL, ROLE_TENANCY, SYSTEM_LABEL,
        ZONE_LABEL,
    },
    platform::{NetworkZoneSpec, Peer},
};

use super::{NamespacePlan, labels};

/// Names of the network policies of a tenancy namespace. The last two only where the zone has an
/// egress or an ingress gateway.
pub const NETWORK_POLICIES: [&str; 5] = [
    "default-deny",
    "allow-dns",
    "allow-same-system",
    "allow-egress-gateway",
    "allow-ingress-gateway",
];

/// Label that the API server puts on every namespace: its name.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Port of the name service.
const DNS_PORT: i32 = 53;

/// The network policies of a tenancy namespace.
///
/// Systems of one department reach themselves over all their namespaces of one zone, of whichever of
/// their tenancies. Zones are separate networks, so the same system in another zone is not reached.
pub fn network_policies(plan: &NamespacePlan, zone: &NetworkZoneSpec) -> Vec<NetworkPolicy> {
    let [deny, dns, same_system, out, into] = NETWORK_POLICIES;
    let siblings = same_system_peer(plan);
    let mut policies = vec![
        policy(plan, deny, Some(Vec::new()), Some(Vec::new())),
        policy(
            plan,
            dns,
            None,
            Some(vec![to(peer(&zone.dns), Some(dns_ports()))]),
        ),
        policy(
            plan,
            same_system,
            Some(vec![from(siblings.clone())]),
            Some(vec![to(siblings, None)]),
        ),
    ];
    if let Some(way_out) = &zone.egress_gateway {
        policies.push(policy(plan, out, None, Some(vec![to(peer(way_out), None)])));
    }
    if let Some(way_in) = &zone.ingress_gateway {
        let rules = Some(vec![from(peer(way_in))]);
        policies.push(policy(plan, into, rules, None));
    }
    policies
}

/// A policy for all pods of the namespace. An empty list of rules allows nothing; no list leaves
/// that direction alone.
fn policy(
    plan: &NamespacePlan,
    name: &str,
    ingress: Option<Vec<NetworkPolicyIngressRule>>,
    egress: Option<Vec<NetworkPolicyEgressRule>>,
) -> NetworkPolicy {
    let mut types = Vec::new();
    if ingress.is_some() {
        types.push("Ingress".to_owned());
    }
    if egress.is_some() {
        types.push("Egress".to_owned());
    }
    NetworkPolicy {
        metadata: plan.metadata(name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(types),
            // An empty list means the same as none and is not stored, but it is ours: rules that somebody adds to it
            // are taken away.
            ingress,
            egress,
        }),
    }
}

fn from(peer: NetworkPolicyPeer) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(vec![peer]),
        ports: None,
    }
}

fn to(peer: NetworkPolicyPeer, ports: Option<Vec<NetworkPolicyPort>>) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![peer]),
        ports,
    }
}

fn dns_ports() -> Vec<NetworkPolicyPort> {
    ["UDP", "TCP"]
        .into_iter()
        .map(|protocol| NetworkPolicyPort {
            port: Some(IntOrString::Int(DNS_PORT)),
            protocol: Some(protocol.to_owned()),
            end_port: None,
        })
        .collect()
}

fn matching(pairs: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(pairs),
        match_expressions: None,
    }
}

/// Pods with these labels in one namespace.
fn peer(peer: &Peer) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(matching(labels([(
            NAMESPACE_NAME_LABEL,
            peer.namespace.to_string(),
        )]))),
        pod_selector: (!peer.pod_labels.is_empty()).then(|| matching(peer.pod_labels.clone())),
        ip_block: None,
    }
}

/// All pods of the same department and system in the same zone.
fn same_system_peer(plan: &NamespacePlan) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(matching(labels([
            (MANAGED_LABEL, MANAGED_VALUE.to_owned()),
            (ROLE_LABEL, ROLE_TENANCY.to_owned()),
            (DEPARTMENT_LABEL, plan.identity.department.clone()),
            (SYSTEM_LABEL, plan.identity.system.clone()),
            (ZONE_LABEL, plan.identity.zone_name.clone()),
        ]))),
        pod_selector: None,
        ip_block: None,
    }
}
