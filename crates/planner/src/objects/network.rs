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
        DEPARTMENT_LABEL, MANAGED_LABEL, MANAGED_VALUE, NETWORK_POLICY_NAME, ROLE_LABEL,
        ROLE_TENANCY, SYSTEM_LABEL, ZONE_LABEL,
    },
    platform::{NetworkZoneSpec, Peer},
};

use super::{NamespacePlan, labels};

/// Names under which network policies of ours stood before there was one for everything (ADR 0034): what still stands under
/// them is taken away.
pub const FORMER_NETWORK_POLICIES: [&str; 5] = [
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

/// The network policy of a tenancy namespace. It is about all pods and both directions, so that nothing passes but what it
/// names: it is one object, so that no moment has a part of it.
///
/// Systems of one department reach themselves over all their namespaces of one zone, of whichever of
/// their tenancies. Zones are separate networks, so the same system in another zone is not reached.
pub fn network_policy(plan: &NamespacePlan, zone: &NetworkZoneSpec) -> NetworkPolicy {
    let siblings = same_system_peer(plan);
    let mut ingress = vec![from(siblings.clone())];
    ingress.extend(zone.ingress_gateway.as_ref().map(|way| from(peer(way))));
    let mut egress = vec![to(peer(&zone.dns), Some(dns_ports())), to(siblings, None)];
    egress.extend(zone.egress_gateway.as_ref().map(|way| to(peer(way), None)));
    NetworkPolicy {
        metadata: plan.metadata(NETWORK_POLICY_NAME),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector::default()),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress),
            egress: Some(egress),
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
