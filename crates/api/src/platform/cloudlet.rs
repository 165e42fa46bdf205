//! A cluster that carries tenancies.

use crate::text::{Label, Line};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster that carries tenancies.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "platform.leasehold.dev",
    version = "v1alpha1",
    kind = "Cloudlet",
    doc = "A cluster that carries tenancies: its provider, its zones, what it has, what is leased and what is left.",
    status = "CloudletStatus",
    shortname = "cl",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "CPU free", type_ = "string", json_path = ".status.summary.cpu"),
    printcolumn(name = "Memory free", type_ = "string", json_path = ".status.summary.memory"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name == 'self'").message("rule P10: this version carries tenancies on its own cluster only; name the cloudlet self")
)]
#[serde(rename_all = "camelCase")]
pub struct CloudletSpec {
    /// Name of the site for people.
    pub display_name: Line,
    /// Who provides the capacity and is paid for it; price books are found by it.
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule P11: the provider cannot change; bills of two payees would mix"))]
    pub provider: Label,
    /// Network zones that this site offers.
    #[schemars(length(min = 1, max = 16))]
    pub zones: Vec<Label>,
}

/// Capacity of one resource.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Resource, as cpu, memory or nvidia.com/gpu.
    pub resource: String,
    /// What the nodes have.
    pub allocatable: String,
    /// What is leased.
    pub leased: String,
    /// What is left to lease.
    pub free: String,
}

/// Two figures for the columns.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct CapacitySummary {
    /// Processors left and in all.
    pub cpu: String,
    /// Memory left and in all.
    pub memory: String,
}

/// What the operator says of the cloudlet.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudletStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Capacity by resource.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub capacity: Vec<Capacity>,
    /// Figures for the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<CapacitySummary>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
