//! The lease: a department's tenancy.

use super::{Acceptance, AcceptanceStatus, Backup, FinalBill, SignOff, SignOffStatus};
use crate::text::{Amount, Code, Day, Identity, Label, Paragraph, QuantityText};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lease of a system's capacity.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tenancy.leasehold.dev",
    version = "v1alpha1",
    kind = "Tenancy",
    plural = "tenancies",
    namespaced,
    doc = "The lease of a system's capacity: what is leased, from when, under which contract and budget, and how the department splits it among namespaces.",
    status = "TenancyStatus",
    shortname = "tcy",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Request", type_ = "integer", json_path = ".status.request.number"),
    printcolumn(name = "Waits for", type_ = "string", json_path = ".status.request.waitingFor[0]"),
    printcolumn(name = "Monthly", type_ = "string", json_path = ".status.quotation.monthly"),
    printcolumn(name = "So far", type_ = "string", json_path = ".status.period.grossSoFar"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.used"),
    printcolumn(name = "Credit left", type_ = "string", json_path = ".status.creditLeft"),
    printcolumn(name = "Period use", type_ = "string", json_path = ".status.period.usage", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("rule T01: a tenancy's name has at most 40 characters; choose a shorter name"),
    validation = Rule::new("!has(oldSelf.spec.release) || (has(oldSelf.status) && has(oldSelf.status.releaseDecision) && oldSelf.status.releaseDecision == 'Incomplete') || (!has(self.spec.release) && has(oldSelf.status) && has(oldSelf.status.releaseDecision) && oldSelf.status.releaseDecision == 'Rejected') || (has(self.spec.release) && self.spec.release == oldSelf.spec.release && self.spec.lease == oldSelf.spec.lease && self.spec.namespaces == oldSelf.spec.namespaces && self.spec.term == oldSelf.spec.term && self.spec.contract == oldSelf.spec.contract && self.spec.budget == oldSelf.spec.budget)").message("rule T03: this tenancy is being released; its lease and namespaces cannot change any more, and the release is taken back only after the office has rejected it; lease anew once it is Released")
)]
#[x_kube(validation = Rule::new("self.namespaces.all(n, n.share.all(k, self.lease.exists(l, l.item == k)))").message("rule T04: a namespace shares an item that the lease does not hold; add it to spec.lease or take it out of the share"))]
#[x_kube(validation = Rule::new("self.namespaces.all(n, !has(n.floor) || n.floor.all(k, self.lease.exists(l, l.item == k)))").message("rule T54: a floor names an item that the lease does not hold; add it to spec.lease or take it out of the floor"))]
#[x_kube(validation = Rule::new("!has(self.signOff) || has(self.release)").message("rule T58: a sign-off is of a release, and none is asked for; take spec.signOff away until spec.release is there"))]
#[x_kube(validation = Rule::new("self.term.from <= self.term.through").message("rule T05: the term ends before it begins; correct spec.term"))]
#[x_kube(validation = Rule::new("!has(self.effectiveFrom) || (self.effectiveFrom >= self.term.from && self.effectiveFrom <= self.term.through)").message("rule T06: effectiveFrom lies outside the term; choose a day of the term"))]
#[x_kube(validation = Rule::new("!has(oldSelf.acceptance) || !oldSelf.acceptance.accepted || (has(self.acceptance) && (self.acceptance.request != oldSelf.acceptance.request || (has(self.acceptance.incarnation) ? self.acceptance.incarnation : 1) != (has(oldSelf.acceptance.incarnation) ? oldSelf.acceptance.incarnation : 1) || self.acceptance.accepted))").message("rule T46: an acceptance cannot be taken back; leave spec.acceptance as it is, or release the tenancy"))]
#[serde(rename_all = "camelCase")]
pub struct TenancySpec {
    /// Name of the information system in this office namespace.
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule T07: a tenancy keeps its system; lease a new tenancy for another system"))]
    pub system: Label,
    /// Name of the network zone.
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule T08: a tenancy keeps its zone; lease a new tenancy in the other zone and move"))]
    pub zone: Label,
    /// Name of the cloudlet.
    #[serde(default = "self_cloudlet")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("rule T09: a tenancy keeps its cloudlet; lease a new tenancy on the other cloudlet and move"))]
    pub cloudlet: Label,
    /// First and last day of the lease.
    pub term: Term,
    /// Number of the contract under which capacity is leased.
    pub contract: Code,
    /// Budget that pays.
    pub budget: Budget,
    /// First day of a change. Without it a change counts as soon as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Day>,
    /// What is leased: items of the provider's price book. Together with the fields above, the part that needs approval.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["item".into()]))]
    pub lease: Vec<LeaseItem>,
    /// Namespaces among which the department splits the lease. Needs nobody's approval.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub namespaces: Vec<NamespaceShare>,
    /// Lets the operator move the lease among the namespaces by itself. Without it, the shares stand. Needs nobody's approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
    /// People who work in the namespaces.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub members: Vec<Member>,
    /// Asks again after a refusal, of a lease or of a release: raise the number.
    #[serde(default)]
    pub request: Attempt,
    /// Whether the department accepts its first lease, where the cloud policy bills from the acceptance. `leasehold accept` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<Acceptance>,
    /// Asks to end the tenancy. Growth stops at once; namespaces go after the grace period and an approval. Leave it out again to take it back, once the office has rejected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Confirms that everything may be deleted at the end of the grace period, where the cloud policy asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_off: Option<SignOff>,
}

fn self_cloudlet() -> Label {
    crate::names::SELF_CLOUDLET.into()
}

/// First and last day, both included.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Term {
    /// First day.
    pub from: Day,
    /// Last day.
    pub through: Day,
}

/// Budget that pays.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Code of the budget.
    pub code: Code,
    /// Greatest cost of the whole term in yuan; a request above it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Amount>,
}

/// One leased item.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseItem {
    /// Item of the price book, as vcpu-x86.
    pub item: Label,
    /// How much, as 48, 64Gi or 2Ti.
    pub quantity: QuantityText,
}

/// A namespace and its share of the lease.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceShare {
    /// Short name; the namespace is called CODE--NAME.
    #[schemars(length(max = 28))]
    pub name: Label,
    /// Share of each item, as {vcpu-x86: "40"}. What is shared out adds up to no more than the lease.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub share: BTreeMap<String, QuantityText>,
    /// What the namespace keeps at least of an item while the lease is rebalanced, as {vcpu-x86: "8"}, however little of it is used. Floors add up to no more than the lease.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub floor: BTreeMap<String, QuantityText>,
    /// Named volumes in the namespace.
    #[serde(default)]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub volumes: Vec<Volume>,
}

/// How the operator moves a lease among namespaces.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// What it goes by. Use: what pods and claims request; from the shares on, what is free goes to a namespace that is short of it.
    pub by: RebalanceBy,
}

/// What a lease is moved by.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RebalanceBy {
    /// What pods and claims request.
    Use,
}

/// A named volume.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Name of the claim.
    pub name: Label,
    /// Storage item of the lease.
    pub item: Label,
    /// Size, as 1Ti. Can grow where the storage class allows it, not shrink.
    pub size: QuantityText,
    /// What becomes of the data when the tenancy is released: Delete; Retain, which keeps the volume for as many days as the office's policy says; or Snapshot, which keeps a snapshot of it for as long, where its storage class has snapshots. Decide before the release; afterwards it cannot change.
    #[serde(default)]
    pub reclaim: Reclaim,
}

/// What becomes of a volume's data when its tenancy is released.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Reclaim {
    /// They go with the tenancy.
    #[default]
    Delete,
    /// The volume is kept for a while, bound to nobody; the platform can give it back.
    Retain,
    /// A snapshot is made of it and kept for a while; the platform can give it back. If none gets ready in time, the volume itself is kept.
    Snapshot,
}

/// Somebody who works in the namespaces.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.user) != has(self.group)").message("rule T10: a member is either a user or a group; take one away or name one"))]
#[x_kube(validation = Rule::new("(!has(self.user) || !self.user.startsWith('system:')) && (!has(self.group) || !self.group.startsWith('system:'))").message("rule T11: users and groups of the control plane (system:) cannot be members; name users and groups of the department"))]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// What they may do.
    pub role: MemberRole,
    /// A user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Identity>,
    /// A group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Identity>,
}

/// What a member may do.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Runs workloads.
    Admin,
    /// Looks.
    Viewer,
}

/// Asks again after a refusal.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Raise it to ask again for the same lease after a refusal.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub attempt: u32,
}

/// Asks to end the tenancy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Why.
    pub reason: Paragraph,
    /// Where the data were exported to before they go, or why they were not; the office reads it before it decides. The cloud policy may require it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

/// Where a tenancy stands in its life.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
pub enum Phase {
    /// Asked for; something is missing or a person must decide.
    #[default]
    Requested,
    /// Breaks a rule, or was rejected.
    Refused,
    /// Approved; being set up.
    Approved,
    /// In place; the department has to accept it, and nobody pays before.
    Provisioned,
    /// In place and billed.
    Active,
    /// In place; a changed lease waits for a decision or is being set up.
    Changing,
    /// In place and billed; the term ends soon.
    Expiring,
    /// In place and billed, and nothing runs: by order of the office, or because the term is over.
    Suspended,
    /// To be released; in the grace period or waiting for the approval.
    Reclaiming,
    /// Gone, with its last bill to come or sent.
    Released,
}

/// What the operator says of the tenancy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenancyStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the tenancy stands in its life.
    #[serde(default)]
    pub phase: Phase,
    /// Number of the tenancy's incarnation; it rises when a released name is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u32>,
    /// The request that is decided or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestStatus>,
    /// What the waiting request changes.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub pending: Vec<PendingChange>,
    /// The lease that is provisioned.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub approved: Vec<LeaseItem>,
    /// The acceptance of the first lease, where the department had to accept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<AcceptanceStatus>,
    /// What the lease costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotation: Option<QuotationStatus>,
    /// What was charged in the running period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodSoFar>,
    /// Hardware credit that the department has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_left: Option<String>,
    /// Used and leased, for the columns, as `cpu 21/32, memory 20Gi/64Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// Leased and requested by pods and claims, per item.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub usage: Vec<ItemUsage>,
    /// The namespaces.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub namespaces: Vec<NamespaceStatus>,
    /// Mark of the shares from which capacity began to follow use. When the shares change, it begins anew from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Since when the release has been asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaiming_since: Option<String>,
    /// What the office has said of the release that is asked for: Undecided, Approved or Rejected. One that was rejected can be taken back. Incomplete: it lacks what the cloud policy requires, and has not begun; complete it, or leave it out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_decision: Option<String>,
    /// The department's confirmation that everything may be deleted, where it is asked for or given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_off: Option<SignOffStatus>,
    /// What the released tenancy has cost altogether, once every period in which it was billed is closed. The condition Billed says which one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_bill: Option<FinalBill>,
    /// Volumes, and snapshots of volumes, that are kept although the tenancy is released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub retained: Vec<RetainedVolume>,
    /// The suspension in force; of several the one that ends last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<SuspensionInForce>,
    /// The last 20 things that happened.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub history: Vec<HistoryEntry>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A numbered request.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// Number of the request; never used twice.
    pub number: u32,
    /// Digest of the approved part as it was asked for.
    pub digest: String,
    /// Who asked, as the API server saw it.
    #[serde(default)]
    pub requested_by: String,
    /// Roles whose decision is missing.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub waiting_for: Vec<String>,
    /// Name of the Approval object in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Undecided, Approved, Rejected or Withdrawn.
    #[serde(default)]
    pub decision: String,
}

/// What a request changes in one item.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// Item of the price book.
    pub item: String,
    /// Leased now.
    pub from: String,
    /// Asked for.
    pub to: String,
    /// Difference in yuan a month, with its sign.
    pub monthly: String,
}

/// What a lease costs.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotationStatus {
    /// Yuan a month.
    pub monthly: String,
    /// Yuan for the whole term.
    pub term: String,
    /// Last day for which a price is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices_through: Option<String>,
    /// What hardware credit would pay of a month, as a negative amount.
    pub credit_monthly: String,
    /// Price book.
    pub book: String,
    /// Currency.
    pub currency: String,
    /// What the monthly price is made of, item by item.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub items: Vec<QuotedItem>,
}

/// What one item of a lease costs.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotedItem {
    /// Item of the price book.
    pub item: String,
    /// Its name for people.
    pub display_name: String,
    /// How many units.
    pub quantity: String,
    /// Unit, as `Core·Month`; the unit alone for what is paid once.
    pub unit: String,
    /// Yuan for one unit, on the first day.
    pub unit_price: String,
    /// Yuan a month; zero for what is paid once.
    pub monthly: String,
}

/// What was charged in the running period.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodSoFar {
    /// Name of the billing period.
    pub name: String,
    /// Yuan charged so far, before credit.
    pub gross_so_far: String,
    /// What is charged so far, per item, as `memory 31.2 GiB·Month, vcpu-x86 15.6 Core·Month`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// When that was reckoned.
    pub as_of: String,
}

/// Use of one item.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemUsage {
    /// Item of the price book.
    pub item: String,
    /// Leased.
    pub leased: String,
    /// Requested by pods and claims, as the quotas count it.
    pub requested: String,
    /// How many claims there are of the item's storage class; of storage items only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<u32>,
    /// When that was read.
    pub as_of: String,
}

/// One namespace of the tenancy.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceStatus {
    /// Name of the namespace.
    pub name: String,
    /// Its identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Whether everything in it is in place.
    pub ready: bool,
    /// What is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Used and granted of what is leased, as `cpu 12/20, memory 20Gi/40Gi`; as old as the figures of usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// Its named volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub volumes: Vec<VolumeStatus>,
}

/// One named volume.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStatus {
    /// Name of the claim.
    pub name: String,
    /// Size that is asked for.
    pub size: String,
    /// Size that it has, once it is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A volume, or the snapshot of one, that is kept although its tenancy is released.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetainedVolume {
    /// Name of the volume in the cluster, by which the platform finds it; of a snapshot, the name of the volume that it was made of.
    pub volume: String,
    /// Where a snapshot is kept and not the volume: its name in the cluster, by which the platform finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Namespace and name of the claim that it was, as edu--prod/files.
    pub claim: String,
    /// Its size.
    pub size: String,
    /// Last day on which it is kept.
    pub until: String,
}

/// A suspension in force.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionInForce {
    /// Name of the Suspension in this namespace, or CloudPolicy default.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Who ordered it, and the number of the paper.
    pub authority: String,
    /// Who wrote it, as the API server saw it.
    pub by: String,
    /// Since when, in the office's time zone.
    pub since: String,
    /// Last day, which is included; without it until it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Pods that were ended for it.
    #[serde(default)]
    pub evicted: u32,
}

/// Something that happened.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
}
