//! A suspension.

use crate::text::{Day, Label, Line, Paragraph};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order of the e-government office that what runs in a tenancy stops for a time. It lives in the department's office
/// namespace; deleting it lifts the suspension.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "platform.leasehold.dev",
    version = "v1alpha1",
    kind = "Suspension",
    namespaced,
    doc = "An order of the e-government office that what runs in a tenancy stops for a time. Pods go and none starts; the lease, its billing and all data stay. Deleting it lifts the suspension.",
    status = "SuspensionStatus",
    shortname = "sus",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Tenancy", type_ = "string", json_path = ".spec.tenancy"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Since", type_ = "string", json_path = ".status.since"),
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.until"),
    printcolumn(name = "Authority", type_ = "string", json_path = ".spec.authority"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self.reason.trim() != ''").message("rule U01: a suspension gives its reason; set spec.reason"))]
#[x_kube(validation = Rule::new("self.tenancy == oldSelf.tenancy && self.reason == oldSelf.reason && self.authority == oldSelf.authority").message("rule U02: tenancy, reason and authority of a suspension cannot change; change spec.until alone, or delete it and order another"))]
#[x_kube(validation = Rule::new("!has(self.until) || (!self.until.matches('-(02-3[01]|(04|06|09|11)-31)$') && (!self.until.endsWith('-02-29') || self.until.matches('^([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-')))").message("rule U03: the last day of a suspension is a day of the calendar; correct spec.until"))]
#[serde(rename_all = "camelCase")]
pub struct SuspensionSpec {
    /// Name of the tenancy in this office namespace.
    pub tenancy: Label,
    /// Why; the department reads it.
    #[schemars(length(min = 1))]
    pub reason: Paragraph,
    /// Who ordered it, and the number of the paper, as 市政府办 黄政办〔2026〕12号.
    pub authority: Line,
    /// Last day of the suspension, which is included. Without it the suspension lasts until this object is deleted. It can be moved while the suspension lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Day>,
}

/// Where a suspension stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum SuspensionPhase {
    /// Waits for the tenancy that it names.
    #[default]
    Waiting,
    /// Nothing of the tenancy runs.
    InForce,
    /// Breaks a rule and has no effect.
    Refused,
    /// Has ended, and does not come back.
    Over,
}

/// What the operator says of the suspension.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(default)]
    pub phase: SuspensionPhase,
    /// Since when it has been in force, in the office's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Pods that were ended for it.
    #[serde(default)]
    pub evicted: u32,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
