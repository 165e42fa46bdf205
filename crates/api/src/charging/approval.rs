//! A decision of a person.

use crate::{
    platform::Category,
    text::{Amount, Code, DigestText, Identity, Line, ObjectName, Paragraph, Snapshot, Uid},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A decision of a person on one request.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "charging.leasehold.dev",
    version = "v1alpha1",
    kind = "Approval",
    namespaced,
    doc = "A decision on one request: written undecided by the operator, decided once by a person with the right, never by the applicant.",
    status = "ApprovalStatus",
    shortname = "apv",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name"),
    printcolumn(name = "What", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Monthly", type_ = "string", json_path = ".spec.amounts.monthly"),
    printcolumn(name = "Asked by", type_ = "string", json_path = ".spec.subject.requestedBy"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Due", type_ = "string", json_path = ".status.dueBy"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.decidedBy"),
    printcolumn(name = "Note", type_ = "string", json_path = ".status.conditions[?(@.type=='Refused')].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(oldSelf.spec.decision) || self.spec == oldSelf.spec").message("rule A01: this is decided and cannot change any more; ask for a new request")
)]
#[x_kube(validation = Rule::new("self.role == oldSelf.role && self.subject == oldSelf.subject && self.title == oldSelf.title && self.snapshot == oldSelf.snapshot && has(self.amounts) == has(oldSelf.amounts) && (!has(self.amounts) || self.amounts == oldSelf.amounts) && self.evidence == oldSelf.evidence && has(self.grants) == has(oldSelf.grants) && (!has(self.grants) || self.grants == oldSelf.grants) && has(self.number) == has(oldSelf.number) && (!has(self.number) || self.number == oldSelf.number) && has(self.notBy) == has(oldSelf.notBy) && (!has(self.notBy) || self.notBy == oldSelf.notBy)").message("rule A02: only decision, orderNo and reason of an approval can be written; leave the rest as it is"))]
#[x_kube(validation = Rule::new("!has(self.decision) || self.decision != 'Rejected' || (has(self.reason) && self.reason.trim() != '')").message("rule A03: a rejection gives its reason; set spec.reason"))]
#[x_kube(validation = Rule::new("!has(self.treatment) || self.subject.kind == 'Gap'").message("rule B14: only gaps are accepted or estimated; leave spec.treatment out"))]
#[x_kube(validation = Rule::new("!has(self.treatment) || has(self.decision)").message("rule B15: what is billed of gaps is said together with the decision on them; set spec.treatment together with spec.decision"))]
#[x_kube(validation = Rule::new("has(self.decision) || !has(self.decidedBy)").message("rule A04: decidedBy is stamped by the API server when a decision is written; leave spec.decidedBy out"))]
#[x_kube(validation = Rule::new("has(self.decision) && has(self.number) ? has(self.answers) && self.answers == self.number : !has(self.answers)").message("rule N14: a decision repeats the number of a question that was asked anew; read the question, and set spec.answers to its spec.number together with spec.decision"))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// Who must decide: office or finance.
    pub role: DecisionRole,
    /// What is decided.
    pub subject: ApprovalSubject,
    /// What is decided, in one line.
    pub title: Line,
    /// What is decided, in full and readable.
    pub snapshot: Snapshot,
    /// Money at stake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amounts: Option<Amounts>,
    /// Objects on which the decision rests, with their digests.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub evidence: Vec<Evidence>,
    /// What the decision grants, for hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grant>,
    /// Which question under this name it is, from 2, where something else was asked under it before. None: it is the
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub number: Option<u32>,
    /// Who may not decide, because the other decision on the same request is theirs (rule T57).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_by: Option<Identity>,
    /// Number of the question that is decided; required where it has one (rule N14), so that nobody decides on what they
    /// have not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub answers: Option<u32>,
    /// Approved or Rejected. Written once, by a person with the right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionSpec>,
    /// For gaps in the observation of use: what is billed of what ended in them unseen. Written with the decision; without it, Accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treatment: Option<GapTreatmentSpec>,
    /// Number of the order or paper on which the decision rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_no: Option<Line>,
    /// Why; required to reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Paragraph>,
    /// Who decided; stamped by the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Identity>,
}

/// Roles that decide.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DecisionRole {
    /// The e-government office.
    Office,
    /// Finance.
    Finance,
}

/// Decisions.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum DecisionSpec {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

/// What is decided.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSubject {
    /// Kind of the object: Tenancy, Release, HardwareContribution, PriceBook or Gap. Gaps are those of a billing period.
    pub kind: SubjectOfDecision,
    /// Its name.
    pub name: ObjectName,
    /// Its identifier.
    pub uid: Uid,
    /// Number of the request.
    pub request: u32,
    /// Digest of what is asked for.
    pub digest: DigestText,
    /// Who asked, as the API server saw it.
    pub requested_by: Identity,
}

/// Kinds of things that are decided.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum SubjectOfDecision {
    /// A request of a tenancy.
    Tenancy,
    /// The end of a tenancy.
    Release,
    /// Credit for hardware.
    HardwareContribution,
    /// Publication of prices.
    PriceBook,
    /// Times of a billing period in which use was not observed.
    Gap,
}

/// What is billed of what was in use when it was last seen and ended in a gap unseen. What came and went unseen is billed in neither case.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum GapTreatmentSpec {
    /// What is known: up to when it was last seen.
    Accept,
    /// Up to the bound that the cloud policy names (metering.estimateBound).
    Estimate,
}

/// Money at stake.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Yuan a month.
    pub monthly: Amount,
    /// Yuan for the term.
    pub term: Amount,
}

/// An object on which a decision rests.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Kind: Appraisal or HandoverReceipt.
    pub kind: Code,
    /// Name.
    pub name: ObjectName,
    /// Identifier.
    pub uid: Uid,
    /// Digest of its content.
    pub digest: DigestText,
}

/// What a decision grants.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Amount in yuan.
    pub amount: Amount,
    /// Currency.
    pub currency: Code,
    /// Number of devices.
    pub devices: u32,
    /// Categories of charges that it can pay.
    #[schemars(length(max = 8))]
    pub classes: Vec<Category>,
    /// Whole billing periods for which it can be used, from the first after the approval.
    pub periods: u32,
    /// Greatest part of its eligible charges that it may pay, in percent.
    pub cap_percent: u8,
}

/// What the operator says of the decision.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// When the decision was written into the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    /// Until when it was to be decided, in the office's time zone: the end of the last working day that the cloud policy allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<String>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
