//! What finance said of a time in which use was not observed.

use serde::{Deserialize, Serialize};

use super::Document;
use crate::time::Second;

/// What is billed of use that was open over a gap and whose end was not seen. What came and went in the gap unseen is
/// billed in neither case.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GapTreatment {
    /// What is known: up to the last moment at which it was seen.
    Accepted,
    /// What the policy in force named when it was recorded: the lower or the upper bound.
    Estimated,
}

/// A gap was accepted: no close waits for more to be known of it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GapAcceptedDoc {
    /// Key of the gap's document.
    pub gap: String,
    /// Name of the source.
    pub source: String,
    /// Name of the period for which it was asked.
    pub period: String,
    /// What is billed.
    pub treatment: GapTreatment,
    /// User who decided.
    pub decided_by: String,
    /// Number of the paper order behind it.
    pub order_no: String,
    /// Uid of the Approval object.
    pub approval_uid: String,
    /// When it was recorded.
    pub at: Second,
}

impl Document for GapAcceptedDoc {
    const KIND: &'static str = "gap-accepted";

    fn key(&self) -> String {
        self.gap.clone()
    }

    fn subject(&self) -> String {
        self.source.clone()
    }
}
