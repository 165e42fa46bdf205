//! What a department says of what it was given.

use super::LeaseItem;
use crate::text::Paragraph;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the department accepts what is in place.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("self.accepted || (has(self.reason) && self.reason.trim() != '')").message("rule T45: what is not accepted is given back with a reason; set spec.acceptance.reason"))]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// Number of the request that is in place, as status.acceptance shows it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub request: u32,
    /// Which life of the tenancy's name that request is of, as status.incarnation shows it; the first, if left out. What was said of an earlier life counts for no later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub incarnation: Option<u32>,
    /// True accepts: from then on it is billed, and that cannot be taken back. False rejects: nobody pays, what runs is ended, and nothing starts until it is accepted.
    pub accepted: bool,
    /// Why; required to reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Paragraph>,
}

/// Where the acceptance of a tenancy's first lease stands.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
pub enum AcceptanceState {
    /// The department has to say something, or wait.
    #[default]
    Open,
    /// The department gave it back.
    Rejected,
    /// Accepted, and billed since.
    Accepted,
}

/// What the operator says of the acceptance.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptanceStatus {
    /// Number of the request that is in place.
    pub request: u32,
    /// Where its acceptance stands.
    #[serde(default)]
    pub state: AcceptanceState,
    /// What it leases.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub items: Vec<LeaseItem>,
    /// What that costs a month, as it was quoted; currency names the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<String>,
    /// Currency of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Since when it is in place.
    pub delivered_at: String,
    /// When it counts as accepted by itself; none once somebody rejected or accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Who accepted or rejected it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// From when on that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
