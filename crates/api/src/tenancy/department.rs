//! An organisation that leases.

use crate::text::{Code, Domain, Identity, Label, Line};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An organisation that leases. Its object name is its code and never changes.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tenancy.leasehold.dev",
    version = "v1alpha1",
    kind = "Department",
    doc = "An organisation that leases capacity. Its object name is its code; its office namespace is dept-CODE.",
    status = "DepartmentStatus",
    shortname = "dept",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Level", type_ = "string", json_path = ".spec.level"),
    printcolumn(name = "Office", type_ = "string", json_path = ".status.officeNamespace"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && !self.metadata.name.contains('--') && size(self.metadata.name) <= 30").message("rule D01: a department's code is a DNS label of at most 30 characters without two dashes in a row, as gov-office; choose another code")
)]
#[serde(rename_all = "camelCase")]
pub struct DepartmentSpec {
    /// Full name of the department, as 市政府办.
    pub display_name: Line,
    /// Level of the department in the administration.
    #[serde(default)]
    pub level: Level,
    /// Code of the department above, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Label>,
    /// Users and groups that act for the department in its office namespace.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.all(a, !a.name.startsWith('system:'))").message("rule D02: users and groups of the control plane (system:) cannot administer a department; name users and groups of the department"))]
    pub administrators: Vec<Administrator>,
    /// Code of the budget unit that pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_unit: Option<Code>,
    /// Domains under which systems of the department are published, as edu.city.example: each host of its ingresses is one of them or lies below one (rule N09). None, and nothing is published. A domain belongs to one department (rule D04).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub domains: Vec<Domain>,
    /// Names of information systems whose tenancies are never suspended, as those of emergency and health services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub essential_systems: Vec<Label>,
}

/// Levels of the administration.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Level {
    /// City.
    #[default]
    City,
    /// County or district.
    County,
    /// Township or street.
    Township,
    /// Village or community.
    Village,
}

/// A user or a group.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Administrator {
    /// User or Group.
    pub kind: SubjectKind,
    /// Name of the user or the group, as the cluster knows it.
    pub name: Identity,
}

/// Kinds of subject.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
pub enum SubjectKind {
    /// One person or program.
    User,
    /// A group of them.
    Group,
}

/// What the operator says of the department.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepartmentStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The department's office namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub office_namespace: Option<String>,
    /// What was approved without a person and still stands, in yuan a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_approved_monthly: Option<String>,
    /// Tenancies that the ledger bills although their object is gone.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub detached: Vec<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
