//! Proofs about hardware: the appraiser's valuation and the data centre's receipt.

use crate::text::{Amount, Code, Day, DigestText, Label, Line, Link, ObjectName, Percent, Uid};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The contribution that a proof speaks of.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContributionReference {
    /// Name of the HardwareContribution in this namespace.
    pub name: ObjectName,
    /// Its identifier, so that a later object of the same name is not meant.
    pub uid: Uid,
}

/// The third party's valuation of a contribution.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "charging.leasehold.dev",
    version = "v1alpha1",
    kind = "Appraisal",
    namespaced,
    doc = "The valuation of a contribution by an accredited agency. Cannot change; a better one is a new object.",
    status = "EvidenceStatus",
    shortname = "aps",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(
        name = "Contribution",
        type_ = "string",
        json_path = ".spec.contribution.name"
    ),
    printcolumn(name = "Agency", type_ = "string", json_path = ".spec.agency"),
    printcolumn(name = "Report", type_ = "string", json_path = ".spec.reportNo"),
    printcolumn(
        name = "Valid through",
        type_ = "string",
        json_path = ".spec.validThrough"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("rule H22: an appraisal cannot change; write a new one under another name"))]
#[x_kube(validation = Rule::new("self.baseDate <= self.validThrough").message("rule H04: the appraisal ends before its base date; correct spec.baseDate or spec.validThrough"))]
#[serde(rename_all = "camelCase")]
pub struct AppraisalSpec {
    /// What is appraised.
    pub contribution: ContributionReference,
    /// The agency.
    pub agency: Label,
    /// Number of the report.
    pub report_no: Code,
    /// Where the report lies, and its digest.
    pub report: Paper,
    /// Day for which the values hold.
    pub base_date: Day,
    /// Last day on which the values can be used.
    pub valid_through: Day,
    /// How the values were found.
    pub method: Method,
    /// Who signed the report; two persons.
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.all(a, self.filter(b, b == a).size() == 1)").message("rule H05: two different persons sign an appraisal; let a second person sign"))]
    pub signatories: Vec<Line>,
    /// Value of each device.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["serial".into()]))]
    pub devices: Vec<AppraisedDevice>,
}

/// Where a paper lies, and its digest.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Paper {
    /// Where it lies.
    pub uri: Link,
    /// Its SHA-256 digest.
    pub sha256: DigestText,
}

/// Methods of appraisal.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Method {
    /// Cost of replacement less wear.
    ReplacementCost,
    /// Price on the market.
    Market,
    /// Value of the income.
    Income,
}

/// Value of one device.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppraisedDevice {
    /// Serial number, as in the contribution.
    #[schemars(length(min = 4, max = 64))]
    pub serial: String,
    /// Value in yuan.
    pub value: Amount,
    /// How new the device is, in percent.
    pub newness_percent: Percent,
}

/// The record that devices arrived.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "charging.leasehold.dev",
    version = "v1alpha1",
    kind = "HandoverReceipt",
    namespaced,
    doc = "The data centre's record that devices arrived, were wiped, tested and joined as nodes. Cannot change.",
    status = "EvidenceStatus",
    shortname = "hor",
    category = "leasehold",
    derive = "PartialEq",
    printcolumn(
        name = "Contribution",
        type_ = "string",
        json_path = ".spec.contribution.name"
    ),
    printcolumn(name = "Arrived", type_ = "string", json_path = ".spec.arrivedOn"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("rule H23: a receipt cannot change; write a new one under another name"))]
#[serde(rename_all = "camelCase")]
pub struct HandoverReceiptSpec {
    /// What arrived.
    pub contribution: ContributionReference,
    /// Day of arrival.
    pub arrived_on: Day,
    /// The devices.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["serial".into()]))]
    pub devices: Vec<ReceivedDevice>,
}

/// One device that arrived.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedDevice {
    /// Serial number, as in the contribution.
    #[schemars(length(min = 4, max = 64))]
    pub serial: String,
    /// Tag that the data centre gave to it.
    pub asset_tag: Code,
    /// Certificate that its storage was wiped.
    pub wipe: WipeCertificate,
    /// Result of the test. A device that failed drops out of the credit.
    pub test: TestResult,
    /// Document of the test; required for storage and network devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_report: Option<Paper>,
    /// Node that a server became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<ObjectName>,
    /// Second person of the data centre who signs for storage and network devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_signature: Option<Line>,
}

/// Certificate of a wipe.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WipeCertificate {
    /// Digest of the certificate.
    pub sha256: DigestText,
}

/// Results of a test.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum TestResult {
    /// The device works.
    Passed,
    /// It does not.
    Failed,
}

/// What the operator says of a proof.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceStatus {
    /// Conditions, one per type.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
