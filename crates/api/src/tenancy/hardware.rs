//! Hardware that a department hands over for credit.

use crate::text::{Amount, Code, Day, DigestText, Label, Line, Link};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Devices offered for credit. Carries no money by itself.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "tenancy.leasehold.dev",
    version = "v1alpha1",
    kind = "HardwareContribution",
    namespaced,
    doc = "Devices that a department offers for credit: serial numbers, dates, prices, documents. Carries no money by itself.",
    status = "HardwareContributionStatus",
    shortname = "hwc",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Granted", type_ = "string", json_path = ".status.credit.granted"),
    printcolumn(name = "Applied", type_ = "string", json_path = ".status.credit.applied"),
    printcolumn(name = "Remaining", type_ = "string", json_path = ".status.credit.remaining"),
    printcolumn(name = "Through", type_ = "string", json_path = ".status.credit.through"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("rule H00: a contribution's name has at most 40 characters; choose a shorter name")
)]
#[x_kube(validation = Rule::new("self.devices == oldSelf.devices && self.documents == oldSelf.documents && self.system == oldSelf.system && self.agency == oldSelf.agency && self.transferMode == oldSelf.transferMode").message("rule H13: a contribution cannot change after it was offered; withdraw it and offer a new one"))]
#[x_kube(validation = Rule::new("!oldSelf.withdrawn || self.withdrawn").message("rule H21: a withdrawn contribution stays withdrawn; offer a new one"))]
#[serde(rename_all = "camelCase")]
pub struct HardwareContributionSpec {
    /// Information system for which the devices were bought.
    pub system: Label,
    /// Accredited agency that appraises the devices.
    pub agency: Label,
    /// How the devices change hands.
    #[serde(default)]
    pub transfer_mode: TransferMode,
    /// The devices.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["serial".into()]))]
    pub devices: Vec<Device>,
    /// Papers, by hash and place; never the papers themselves.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub documents: Vec<Document>,
    /// Takes the offer back, as long as no credit was used.
    #[serde(default)]
    pub withdrawn: bool,
}

/// How devices change hands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum TransferMode {
    /// Exchanged for service (置换).
    #[default]
    ExchangeForService,
    /// Allocated without payment (划转).
    AllocationToInstitution,
    /// Entrusted for use (委托使用).
    EntrustedUse,
}

/// One device.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("self.acceptedOn >= self.invoiceDate").message("rule H02: a device cannot be accepted before it was invoiced; correct the dates of the device"))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Serial number as it stands on the device.
    #[schemars(length(min = 4, max = 64))]
    pub serial: String,
    /// Maker, by the short name of the platform's list.
    pub maker: Label,
    /// Model.
    pub model: Line,
    /// Class of device.
    pub class: DeviceClass,
    /// Number of the asset card.
    pub asset_card: Code,
    /// Number of the invoice.
    pub invoice: Code,
    /// Day of the invoice.
    pub invoice_date: Day,
    /// Day on which the device was accepted.
    pub accepted_on: Day,
    /// Price that was paid, in yuan.
    pub original_price: Amount,
}

/// Classes of device that can be credited.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
pub enum DeviceClass {
    /// Server; proven by the node that it became.
    Server,
    /// Storage.
    Storage,
    /// Network.
    Network,
}

/// A paper.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Which paper it is.
    #[serde(rename = "type")]
    pub type_: DocumentType,
    /// Where it lies.
    pub uri: Link,
    /// Its SHA-256 digest.
    pub sha256: DigestText,
}

/// Papers that go with a contribution.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum DocumentType {
    /// Invoice.
    Invoice,
    /// Contract of purchase.
    Contract,
    /// Report of acceptance.
    Acceptance,
    /// Card of the asset register.
    AssetCard,
    /// Approval of the disposal by the department's superior.
    DisposalApproval,
    /// Anything else.
    Other,
}

/// Where a contribution stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ContributionPhase {
    /// Offered; appraisal or receipt is missing.
    #[default]
    Offered,
    /// Breaks a rule.
    Refused,
    /// Appraised and received; finance decides.
    WaitingForFinance,
    /// Credited.
    Credited,
    /// Finance said no.
    Rejected,
    /// Taken back.
    Withdrawn,
}

/// What the operator says of the contribution.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HardwareContributionStatus {
    /// Generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(default)]
    pub phase: ContributionPhase,
    /// Rules that it breaks.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub findings: Vec<RuleFinding>,
    /// Name of finance's Approval object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The credit, once granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<CreditStatus>,
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A broken rule.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleFinding {
    /// The rule, as H01.
    pub rule: String,
    /// The device, if one device is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// What was asked, what is allowed, what to do.
    pub message: String,
}

/// A credit and what is left of it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditStatus {
    /// Granted, in yuan.
    pub granted: String,
    /// Used by closed statements.
    pub applied: String,
    /// Left.
    pub remaining: String,
    /// First day (in a rehearsal: instant) on which it counts.
    pub from: String,
    /// Last day (in a rehearsal: end) on which it counts.
    pub through: String,
}
