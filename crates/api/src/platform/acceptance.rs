//! From when a first lease is billed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a department accepts its first lease before it pays for it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptancePolicy {
    /// Provisioned: a tenancy is billed from when it is in place. Accepted: the first lease of a tenancy is billed from when the department accepts it; later changes are not accepted separately.
    #[serde(default)]
    pub billing_starts: BillingStarts,
    /// Days after which what is in place counts as accepted if nobody rejected it: whole days of 24 hours from the instant at which the quota stood. What is in place already keeps the day that it was promised.
    #[serde(default = "seven")]
    #[schemars(range(min = 0, max = 90))]
    pub auto_after_days: u16,
}

fn seven() -> u16 {
    7
}

impl Default for AcceptancePolicy {
    fn default() -> Self {
        Self {
            billing_starts: BillingStarts::Provisioned,
            auto_after_days: seven(),
        }
    }
}

/// From when a first lease is billed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum BillingStarts {
    /// From when it is in place.
    #[default]
    Provisioned,
    /// From when the department accepts it.
    Accepted,
}
