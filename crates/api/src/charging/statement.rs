//! A department's statement. Its spec has the very shape of the document in the ledger, so that digests agree.

use super::{ChainHead, TotalsSpec};
use crate::platform::Category;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A department's statement of one period.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "charging.leasehold.dev",
    version = "v1alpha1",
    kind = "Statement",
    namespaced,
    doc = "A department's statement of one period, in its office namespace: lines, credit, totals. Draft until the close, then immutable.",
    shortname = "stm",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Number", type_ = "string", json_path = ".spec.number"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state"),
    printcolumn(name = "Gross", type_ = "string", json_path = ".spec.totals.gross"),
    printcolumn(name = "Offset", type_ = "string", json_path = ".spec.totals.offset"),
    printcolumn(name = "Net", type_ = "string", json_path = ".spec.totals.net"),
    printcolumn(name = "As of", type_ = "string", json_path = ".spec.asOf"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("oldSelf.spec.state != 'Final' || self.spec == oldSelf.spec").message("rule C02: a final statement cannot change; leave it; what comes late is counted on the BillingPeriod")
)]
#[serde(rename_all = "camelCase")]
pub struct StatementSpec {
    /// Number of the statement.
    #[schemars(length(max = 128))]
    pub number: String,
    /// Draft until the close, then Final.
    pub state: StatementState,
    /// The period.
    pub period: StatementPeriod,
    /// The department.
    pub department: StatementDepartment,
    /// Who is paid.
    #[schemars(length(max = 512))]
    pub payee: String,
    /// Currency.
    #[schemars(length(max = 3))]
    pub currency: String,
    /// The charges.
    #[schemars(length(max = 200))]
    pub lines: Vec<StatementLine>,
    /// Lines of the full document that did not fit here; the ledger has them.
    #[serde(default)]
    pub more_lines: u32,
    /// Credits in the order in which they were used.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub credits: Vec<StatementCredit>,
    /// Times of the period in which use was not observed. What came and went in them unseen is not charged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub gaps: Vec<StatementGap>,
    /// Such times that did not fit here; `leasehold gaps` lists them all.
    #[serde(default)]
    pub more_gaps: u32,
    /// Totals.
    pub totals: TotalsSpec,
    /// When a draft was reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Digest of the policy that governed the period.
    pub policy: String,
    /// Head of the ledger's chain when the statement was made final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainHead>,
    /// Digest of the full document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// States of a statement.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum StatementState {
    /// Not closed yet; amounts grow.
    Draft,
    /// Closed.
    Final,
}

/// The period of a statement.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementPeriod {
    /// Name of the BillingPeriod.
    pub name: String,
    /// First day (in a rehearsal: instant).
    pub from: String,
    /// Last day (in a rehearsal: end, excluded).
    pub through: String,
    /// First instant.
    pub start: String,
    /// First instant that no longer belongs to it.
    pub end: String,
    /// The office's time zone.
    pub time_zone: String,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
}

/// The department of a statement.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementDepartment {
    /// Code.
    pub name: String,
    /// Full name.
    pub display_name: String,
}

/// One charge.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementLine {
    /// Identifier of the line, for `leasehold explain`.
    pub id: String,
    /// Tenancy.
    pub tenancy: String,
    /// Information system.
    pub system: String,
    /// Contract.
    pub contract: String,
    /// Budget code.
    pub budget: String,
    /// Provider.
    pub provider: String,
    /// Item of the price book.
    pub item: String,
    /// Its name for people.
    pub display_name: String,
    /// Its category.
    pub category: Category,
    /// What was billed.
    pub basis: super::Basis,
    /// Unit, as Core·Month.
    pub unit: String,
    /// Price of one unit.
    pub unit_price: String,
    /// Digests of the rates that priced it.
    #[schemars(length(max = 16))]
    pub rates: Vec<String>,
    /// Quantity in units.
    pub quantity: String,
    /// Whether an estimate is part of it.
    pub estimated: bool,
    /// Exact charge before rounding.
    pub gross_exact: String,
    /// Charge, rounded half up.
    pub gross: String,
    /// Paid by credit.
    pub offset: String,
    /// To pay.
    pub net: String,
    /// Stretches of time with a constant quantity.
    #[schemars(length(max = 30))]
    pub segments: Vec<StatementSegment>,
    /// Stretches that did not fit here.
    #[serde(default)]
    pub more_segments: u32,
}

/// A stretch of time with a constant quantity.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementSegment {
    /// First instant.
    pub from: String,
    /// First instant that no longer belongs to it.
    pub to: String,
    /// Quantity.
    pub quantity: String,
    /// Request that brought it.
    pub request: u32,
    /// Whether it is an estimate.
    #[serde(default)]
    pub estimated: bool,
}

/// A credit's part in a statement.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementCredit {
    /// The credit.
    pub lot: String,
    /// Its turn.
    pub order: u32,
    /// Left before.
    pub opening: String,
    /// Used here.
    pub applied: String,
    /// Left after.
    pub closing: String,
    /// Last day (in a rehearsal: end) on which it counts.
    pub through: String,
    /// Why not more.
    pub why: String,
}

/// A time in which use was not observed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementGap {
    /// What was not observed: pods, claims, a declared meter, or clock where the API server's clock was set.
    pub source: String,
    /// First instant that was not observed; it may lie before the period.
    pub from: String,
    /// First instant that was observed again; it may lie after the period.
    pub to: String,
    /// Why.
    pub reason: String,
    /// By whose Approval it was accepted. Without it, finance's word on the whole period accepted it, or nobody has yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<StatementGapWord>,
}

/// What finance said of a time in which use was not observed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementGapWord {
    /// Accepted: what ended in it unseen is billed up to when it was last seen. Estimated: as the policy's estimate says.
    pub treatment: StatementGapTreatment,
    /// Who decided.
    pub by: String,
    /// Number of the paper order behind it.
    pub order_no: String,
    /// Identifier (metadata.uid) of the Approval.
    pub approval: String,
}

/// What is billed of use that ended unseen.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum StatementGapTreatment {
    /// What is known.
    Accepted,
    /// What the policy's bound says.
    Estimated,
}
