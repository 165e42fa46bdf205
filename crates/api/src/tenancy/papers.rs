//! The papers of an end: what a department says of its data before they go, and what the whole lease has cost.

use crate::text::{DigestText, InstantText, Paragraph, Uri};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the department's data were exported to before they go.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("self.taken ? has(self.uri) : (has(self.because) && self.because.trim() != '')").message("rule T55: a backup that was taken says where, one that was not says why; set spec.release.backup.uri or spec.release.backup.because"))]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Whether one was taken.
    pub taken: bool,
    /// Where it lies, as `s3://archive/oa-2027` or `file:///mnt/nas/oa.tar`; required if one was taken. Nobody looks there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Uri>,
    /// SHA-256 of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<DigestText>,
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<InstantText>,
    /// Why none was taken; required if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Paragraph>,
}

/// Confirms that everything in the namespaces may be deleted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignOff {
    /// Number of the release, as status.signOff shows it: 1, and one more for each that was taken back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub release: u32,
    /// Which life of the tenancy's name it is of, as status.incarnation shows it; the first, if left out. What was said of an earlier life counts for no later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub incarnation: Option<u32>,
}

/// Where the sign-off of a release stands.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
pub enum SignOffState {
    /// The department has to say something before anything is deleted.
    #[default]
    Open,
    /// The department has confirmed.
    Signed,
}

/// What the operator says of the sign-off.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignOffStatus {
    /// Number of the release.
    pub release: u32,
    /// Where its sign-off stands.
    #[serde(default)]
    pub state: SignOffState,
    /// Who confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// What a released tenancy has cost from its first day to its last, by final statements alone.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinalBill {
    /// Up to when it was billed, in the office's time zone.
    pub through: String,
    /// Sums over all statements, one per currency.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub totals: Vec<FinalTotal>,
    /// The statements that the sums consist of, the newest 120 of them, by time.
    #[serde(default)]
    #[schemars(length(max = 120))]
    pub statements: Vec<FinalStatement>,
    /// How many older ones are counted and not listed.
    #[serde(default)]
    pub more_statements: u32,
}

/// Sums in one currency.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinalTotal {
    /// Currency of the amounts.
    pub currency: String,
    /// Charged.
    pub gross: String,
    /// Paid by hardware credit.
    pub offset: String,
    /// To be paid.
    pub net: String,
}

/// The tenancy's part of one final statement.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinalStatement {
    /// Number of the statement, as HS-2026-09-gov-office.
    pub number: String,
    /// Name of the billing period.
    pub period: String,
    /// To be paid for this tenancy by that statement.
    pub net: String,
}
