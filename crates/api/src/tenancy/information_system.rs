//! A system in the register.

use crate::text::{Day, Label, Line};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A system in the register.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tenancy.leasehold.dev",
    version = "v1alpha1",
    kind = "InformationSystem",
    namespaced,
    doc = "A system in the register: origin, funding, secrecy, protection level, audience and current network.",
    status = "InformationSystemStatus",
    shortname = "isys",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Origin", type_ = "string", json_path = ".spec.origin"),
    printcolumn(name = "Level", type_ = "integer", json_path = ".spec.protectionLevel"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.currentNetwork"),
    printcolumn(name = "Leased", type_ = "string", json_path = ".status.total"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("rule S01: a system's name has at most 40 characters; choose a shorter name")
)]
#[serde(rename_all = "camelCase")]
pub struct InformationSystemSpec {
    /// Full name of the system, as 政府办公OA.
    pub display_name: Line,
    /// New, Upgrade or Existing.
    pub origin: Origin,
    /// Who paid for it.
    #[serde(default)]
    pub funding: Funding,
    /// Secrecy. Classified systems are not hosted here and are not described here.
    #[serde(default)]
    pub secrecy: Secrecy,
    /// Protection level, 1 to 4.
    #[schemars(range(min = 1, max = 4))]
    pub protection_level: u8,
    /// Who uses it.
    #[serde(default)]
    pub audience: Audience,
    /// Network on which the system runs today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_network: Option<CurrentNetwork>,
    /// Day on which the system was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_on: Option<Day>,
    /// Sub-systems.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub components: Vec<Component>,
    /// Departments that bear the cost together. Shown on reports; no money moves by it yet.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["department".into()]))]
    #[x_kube(validation = Rule::new("size(self) == 0 || self.map(s, s.percent).sum() == 100").message("rule S02: cost shares add up to 100; correct spec.costShares"))]
    pub cost_shares: Vec<CostShare>,
}

/// Where a system comes from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Origin {
    /// Newly built.
    New,
    /// Rebuilt.
    Upgrade,
    /// Running before it came here.
    Existing,
}

/// Who paid.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Funding {
    /// Public funds.
    #[default]
    Fiscal,
    /// Other funds.
    Other,
}

/// Secrecy.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Secrecy {
    /// Not classified.
    #[default]
    Unclassified,
    /// Internal matter of work.
    WorkSecret,
}

/// Who uses a system.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Audience {
    /// The public.
    Public,
    /// All of the administration.
    #[default]
    Gov,
    /// One department.
    Dept,
}

/// Networks on which systems run before they come here.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum CurrentNetwork {
    /// Government intranet.
    GovIntranet,
    /// Government extranet.
    GovExtranet,
    /// A department's private network.
    DeptPrivate,
    /// The internet.
    Internet,
}

/// A sub-system.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Short name.
    pub name: Label,
    /// Name for people.
    pub display_name: Line,
}

/// One department's share of the cost.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostShare {
    /// Code of the department.
    pub department: Label,
    /// Its share in whole percent.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
}

/// What the operator says of the system.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InformationSystemStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What the system's tenancies lease together, by zone and item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub leased: Vec<SystemLease>,
    /// The same for the columns, as `vcpu-x86 48, memory 96Gi`; zone by zone, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What is leased of one item for a system in one zone.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemLease {
    /// Name of the network zone.
    pub zone: String,
    /// Item of the price book.
    pub item: String,
    /// How much, over all tenancies.
    pub quantity: String,
    /// How many tenancies hold some of it.
    pub tenancies: u32,
}
