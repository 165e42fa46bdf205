//! A network zone.

use crate::text::{Label, LabelKey, Line, ObjectName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A network zone: where systems of one kind of audience and protection live.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "platform.leasehold.dev",
    version = "v1alpha1",
    kind = "NetworkZone",
    doc = "A network zone: protection level, nodes, storage classes, and whom its systems may talk to.",
    status = "NetworkZoneStatus",
    shortname = "nz",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "Level", type_ = "integer", json_path = ".spec.protectionLevel"),
    printcolumn(name = "Classes", type_ = "string", json_path = ".spec.storageClasses"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkZoneSpec {
    /// Name of the zone for people.
    pub display_name: Line,
    /// Which of the three government networks the zone belongs to.
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule P20: a zone cannot move to another network; make a new zone and move the systems"))]
    pub network: Network,
    /// Protection level of the zone, 1 to 4. Systems of a higher level are refused.
    #[schemars(range(min = 1, max = 4))]
    pub protection_level: u8,
    /// Labels of the nodes that carry the zone, with values as Kubernetes takes them. Pods of its tenancies get them as nodeSelector, and run nowhere else (rule N08). None: on every node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
    }))]
    pub node_selector: BTreeMap<String, String>,
    /// Keys of the taints that pods of the zone may tolerate, as those of nodes kept for it. A tenant's pod that tolerates any other is refused (rule N08).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<LabelKey>,
    /// Priority classes that pods of the zone may name; none, and they name none (rule N05). A class of the cluster that holds for pods without one (globalDefault) must be among them, or no pod is let in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub priority_classes: Vec<ObjectName>,
    /// Runtime classes that pods of the zone may name; none, and they name none (rule N05). Taints that a class tolerates belong into tolerations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub runtime_classes: Vec<ObjectName>,
    /// Storage classes that tenancies of the zone may lease.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub storage_classes: Vec<ObjectName>,
    /// Ingress classes through which tenancies of the zone publish their systems; none, and nothing is published (rule N09).
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub ingress_classes: Vec<ObjectName>,
    /// Where the zone's name service runs.
    #[serde(default)]
    pub dns: Peer,
    /// The one gateway through which traffic may leave, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_gateway: Option<Peer>,
    /// The ingress controller whose traffic is let into every namespace of the zone. Name it where ingressClasses names a class: without it nothing from outside of a system reaches what it publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_gateway: Option<Peer>,
}

/// The three networks that a government keeps.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Network {
    /// Government intranet.
    GovIntranet,
    /// Government extranet, the backbone of systems that are not classified.
    GovExtranet,
    /// The internet.
    Internet,
}

/// Pods that may be talked to.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Namespace of the pods.
    #[serde(default = "kube_system")]
    pub namespace: Label,
    /// Labels of the pods, with values as Kubernetes takes them.
    #[serde(default = "dns_pods")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
    }))]
    pub pod_labels: BTreeMap<String, String>,
}

fn kube_system() -> Label {
    "kube-system".into()
}

fn dns_pods() -> BTreeMap<String, String> {
    BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())])
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            namespace: kube_system(),
            pod_labels: dns_pods(),
        }
    }
}

/// What the operator says of the zone.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkZoneStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
