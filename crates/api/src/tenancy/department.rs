//! An organisation that leases.

use crate::text::{Amount, Code, Domain, Identity, Label, Line, Paragraph, QuantityText};
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
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Office", type_ = "string", json_path = ".status.officeNamespace"),
    printcolumn(name = "Monthly", type_ = "string", json_path = ".status.leased.monthly"),
    printcolumn(name = "Subtree", type_ = "string", json_path = ".status.subtree.monthly"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && !self.metadata.name.contains('--') && size(self.metadata.name) <= 30").message("rule D01: a department's code is a DNS label of at most 30 characters without two dashes in a row, as gov-office; choose another code"),
    validation = Rule::new("!has(self.spec.parent) || self.spec.parent != self.metadata.name").message("rule D05: a department is not below itself; name the department above it in spec.parent, or leave it out")
)]
#[serde(rename_all = "camelCase")]
pub struct DepartmentSpec {
    /// Full name of the department, as 市政府办.
    pub display_name: Line,
    /// Level of the department in the administration.
    #[serde(default)]
    pub level: Level,
    /// Code of the department above, if there is one. Its administrators, and those of every department further above, read this department's leases and statements.
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
    /// What the department and everything below it may lease together at the most. Without it only the limits further above count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Says that the department ends. From then on it leases nothing new and nothing more; what it has it gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DepartmentEnd>,
}

/// Levels of the administration, from the highest down. A department is not above the level of the one that it is below.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
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

/// What a department and everything below it may lease together at the most.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Yuan a month, by the quotations of the leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<Amount>,
    /// Items of the price book and how much of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["item".into()]))]
    pub items: Vec<ItemLimit>,
}

/// How much of one item may be leased.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemLimit {
    /// Item of the price book, as vcpu-x86.
    pub item: Label,
    /// How much of it at the most, as 480, 2Ti.
    pub quantity: QuantityText,
}

/// The end of a department.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepartmentEnd {
    /// Why, and on which order it rests.
    pub reason: Paragraph,
    /// Code of the department that goes on with its work, if there is one. Whoever asks for a lease is sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Label>,
}

/// Where a department stands in its life.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum DepartmentPhase {
    /// Leases as it likes within what is allowed.
    #[default]
    Active,
    /// Is to end; still holds leases, or objects that ask for some, or has departments below it.
    Ending,
    /// Holds nothing any more, and nothing is below it. Its object may be deleted; its office namespace stays.
    Ended,
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
    /// Where the department stands in its life.
    #[serde(default)]
    pub phase: DepartmentPhase,
    /// The department's office namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub office_namespace: Option<String>,
    /// What was approved without a person and still stands, in yuan a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_approved_monthly: Option<String>,
    /// What the department itself leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased: Option<Leased>,
    /// What it leases together with everything below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtree: Option<Subtree>,
    /// Tenancies that the ledger bills although their object is gone.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub detached: Vec<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What a department itself leases. A request that waits for a decision counts where it asks for more than is leased: this is what limits are compared with.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leased {
    /// Yuan a month, by the quotations of the leases.
    pub monthly: String,
    /// Tenancies that hold something or wait for a decision.
    pub tenancies: u32,
    /// Items on which there is a limit here or above, and how much of each is leased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 576))]
    pub items: Vec<LeasedItem>,
}

/// How much of one item is leased.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeasedItem {
    /// Item of the price book.
    pub item: String,
    /// How much.
    pub quantity: String,
}

/// What a department leases together with everything below it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subtree {
    /// Departments, itself among them.
    pub departments: u32,
    /// Tenancies that hold something or wait for a decision.
    pub tenancies: u32,
    /// Yuan a month, by the quotations of the leases.
    pub monthly: String,
    /// Most that it may be, where there is a limit here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}
