//! A billing period.

use super::GapTreatmentSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A billing period. The operator opens it; finance closes it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "charging.leasehold.dev",
    version = "v1alpha1",
    kind = "BillingPeriod",
    doc = "A billing period: opened by the operator, closed on finance's word once usage is complete; never changes afterwards.",
    status = "BillingPeriodStatus",
    shortname = "bp",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.from"),
    printcolumn(name = "Through", type_ = "string", json_path = ".status.through"),
    printcolumn(name = "Complete to", type_ = "string", json_path = ".status.completeTo"),
    printcolumn(name = "Gross", type_ = "string", json_path = ".status.totals.gross"),
    printcolumn(name = "Offset", type_ = "string", json_path = ".status.totals.offset"),
    printcolumn(name = "Net", type_ = "string", json_path = ".status.totals.net"),
    printcolumn(name = "Closed by", type_ = "string", json_path = ".status.closedBy", priority = 1),
    printcolumn(name = "Rehearsal", type_ = "boolean", json_path = ".status.rehearsal", priority = 1),
    printcolumn(name = "Chain", type_ = "string", json_path = ".status.chain.head", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!oldSelf.spec.close || self.spec.close").message("rule C01: finance's word to close a period cannot be taken back; leave spec.close as it is")
)]
#[serde(rename_all = "camelCase")]
pub struct BillingPeriodSpec {
    /// Finance's word: close the period as soon as usage is complete. It accepts the gaps of the period that no Approval has accepted, those that come after it too, and cannot be taken back.
    #[serde(default)]
    pub close: bool,
}

/// Where a period stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum PeriodPhase {
    /// Usage comes in.
    #[default]
    Open,
    /// Over; waits for complete usage or for finance's word.
    Closing,
    /// Closed; nothing changes any more.
    Closed,
}

/// What the operator says of the period.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingPeriodStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(default)]
    pub phase: PeriodPhase,
    /// First instant, in the office's time zone.
    #[serde(default)]
    pub from: String,
    /// Last day (in a rehearsal: end, excluded).
    #[serde(default)]
    pub through: String,
    /// First instant that no longer belongs to it.
    #[serde(default)]
    pub end: String,
    /// The office's time zone.
    #[serde(default)]
    pub time_zone: String,
    /// Whether it is a rehearsal. Its documents are worth nothing.
    #[serde(default)]
    pub rehearsal: bool,
    /// Digest of the policy that governs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Usage is complete up to this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_to: Option<String>,
    /// Totals of all statements, once closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<TotalsSpec>,
    /// On whose word it was closed: a person of finance, `rehearsal`, or the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// Number of statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<u32>,
    /// Facts that came after the close and are not billed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncorrected: Option<u64>,
    /// Times in which use was not observed, the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub gaps: Vec<PeriodGap>,
    /// Head of the ledger's chain after the close. Whoever keeps it can prove later tampering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainHead>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A time in which use was not observed.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodGap {
    /// What was not observed: pods, claims, or a single object of them.
    pub source: String,
    /// First instant that was not observed, in the office's time zone.
    pub from: String,
    /// First instant that was observed again.
    pub to: String,
    /// Why.
    pub reason: String,
    /// Name of the Approval, in the operator's namespace, by which finance decides on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Who of finance accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_by: Option<String>,
    /// What is billed of what ended in it unseen: Accept or Estimate. Only of one that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treatment: Option<GapTreatmentSpec>,
}

/// Head of the ledger's chain.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainHead {
    /// Hash of the last record.
    pub head: String,
    /// Number of the last record.
    pub entry: u64,
}

/// Totals in yuan.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalsSpec {
    /// Before credit.
    pub gross: String,
    /// Paid by credit.
    pub offset: String,
    /// Adjustments.
    pub adjustments: String,
    /// To pay.
    pub net: String,
}
